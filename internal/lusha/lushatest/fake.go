package lushatest

import (
	"context"
	"fmt"
	"github.com/siglake/siglake/pipeline"
	"strings"
	"sync"
	"time"
)

// Step is what a fake API does with one request. Failures come in pairs that look
// the same to the client: one is billed and one is not.
type Step struct {
	Status  int    // 0: no answer
	Body    string // empty: a good answer for every item of the batch
	Header  string // Call.Header
	Unsent  bool   // the request provably never left
	Billed  bool   // whether the fake bills a failure; it always bills good answers
	Latency time.Duration
}

// The steps, by what the client sees.
var (
	Good          = Step{Status: 200}
	Refused       = Step{Status: 500, Body: `{"statusCode":500,"message":"try later"}`}
	Lost          = Step{Billed: true} // charged, not delivered
	LostFree      = Step{}             // not charged, and looks the same
	Unsent        = Step{Unsent: true} // not charged, provably
	Cut           = Step{Status: 200, Body: `{"companies":{"1001":{`, Billed: true}
	ProxyPage     = Step{Status: 502, Body: `<html>bad gateway</html>`, Billed: true}
	Burst         = Step{Status: 429, Body: `{"statusCode":429,"message":"slow down"}`}
	Hourly        = Step{Status: 429, Body: `{"statusCode":429,"message":"hourly limit hit. Reset in 600 seconds"}`}
	Daily         = Step{Status: 429, Body: `{"statusCode":429,"message":"daily limit hit"}`}
	Trial         = Step{Status: 429, Body: `{"statusCode":429,"message":"trial requests are used up"}`}
	NoCredits     = Step{Status: 402, Body: `{"statusCode":402,"message":"not enough credits"}`}
	Forbidden     = Step{Status: 403, Body: `{"statusCode":403,"message":"not in plan"}`}
	BadKey        = Step{Status: 401, Body: `{"statusCode":401,"error":"invalid_request"}`}
	NoRoute       = Step{Status: 404, Body: `{"message":"no Route matched","request_id":"1"}`}
	NoMatchAnswer = Step{Status: 404, Body: `{"statusCode":404,"message":"no match"}`}
	Redirected    = Step{Status: 302}
	ProxyBlock    = Step{Status: 403, Body: `<html>blocked</html>`, Billed: true}
	BadItemAnswer = Step{Status: 400, Body: `{"statusCode":400,"message":"bad field"}`}
	OddRefusal    = Step{Status: 418, Body: `{"statusCode":418,"message":"no coffee"}`}
)

// FakeAPI plays steps, then good answers. It takes the place of the client.
type FakeAPI struct {
	mu      sync.Mutex
	Steps   []Step
	Next    func(*pipeline.Batch) Step // chooses the step, instead of steps
	Billed  map[string]int             // item ref -> requests that were billed for it
	CallIDs []string                   // of all calls, in order
}

// Fetch plays the next step for a batch.
func (f *FakeAPI) Fetch(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	if ctx.Err() != nil {
		return interrupted(ctx, b)
	}
	f.mu.Lock()
	s := Good
	if f.Next != nil {
		s = f.Next(b)
	} else if len(f.Steps) > 0 {
		s, f.Steps = f.Steps[0], f.Steps[1:]
	}
	if s.Billed || s.Status == 200 && s.Body == "" {
		if f.Billed == nil {
			f.Billed = map[string]int{}
		}
		for _, i := range b.Items {
			f.Billed[i.Ref]++
		}
	}
	noRate := pipeline.Window{Limit: -1, Used: -1, Left: -1}
	call := pipeline.Call{
		ID: fmt.Sprintf("%s-%d", b.ID, max(b.NextAttempt, 1)), Batch: b.ID, Attempt: max(b.NextAttempt, 1),
		Entities: len(b.Items), Sent: time.Now(), Status: s.Status, Outcome: pipeline.InDoubt, Body: []byte(s.Body),
		Header: []byte(s.Header), Rate: pipeline.Rate{Minute: noRate, Hour: noRate, Day: noRate},
	}
	f.CallIDs = append(f.CallIDs, call.ID)
	f.mu.Unlock()
	time.Sleep(s.Latency)
	if s.Status == 200 && s.Body == "" {
		call.Body = goodAnswer(b)
	}
	if s.Status == 0 {
		call.Problem = "connection reset"
	}
	if s.Unsent {
		call.Outcome = pipeline.NotCharged
	}
	reply := pipeline.NewReply(b, "the answer is not decoded")
	reply.Calls = []pipeline.Call{call}
	return reply, nil
}

// interrupted is the reply to a batch that was not sent because ctx had ended.
func interrupted(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	reason := "stopped: " + context.Cause(ctx).Error()
	return pipeline.NewReply(b, reason), &pipeline.Stop{Kind: pipeline.StopInterrupted, Reason: reason}
}

// goodAnswer is a V2 answer for a batch that asks by ids.
func goodAnswer(b *pipeline.Batch) []byte {
	var out strings.Builder
	out.WriteString(`{"companies":{`)
	for i := range b.Items {
		if i > 0 {
			out.WriteByte(',')
		}
		fmt.Fprintf(&out, `"%s":{"companyId":"%[1]s","surgeInHiring":[{"signalId":"9%[1]s"}]}`, b.Items[i].Account.ID)
	}
	fmt.Fprintf(&out, `},"creditCharged":%d}`, len(b.Items))
	return []byte(out.String())
}
