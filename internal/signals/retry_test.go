package signals

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// step is what a fake API does with one request. Failures come in pairs that look
// the same to the client: one is billed and one is not.
type step struct {
	status  int    // 0: no answer
	body    string // empty: a good answer for every item of the batch
	header  string // Call.Header
	unsent  bool   // the request provably never left
	billed  bool   // whether the fake bills a failure; it always bills good answers
	latency time.Duration
}

// The steps, by what the client sees.
var (
	good       = step{status: 200}
	refused    = step{status: 500, body: `{"statusCode":500,"message":"try later"}`}
	lost       = step{billed: true} // charged, not delivered
	lostFree   = step{}             // not charged, and looks the same
	unsent     = step{unsent: true} // not charged, provably
	cut        = step{status: 200, body: `{"companies":{"1001":{`, billed: true}
	proxyPage  = step{status: 502, body: `<html>bad gateway</html>`, billed: true}
	burst      = step{status: 429, body: `{"statusCode":429,"message":"slow down"}`}
	hourly     = step{status: 429, body: `{"statusCode":429,"message":"hourly limit hit. Reset in 600 seconds"}`}
	daily      = step{status: 429, body: `{"statusCode":429,"message":"daily limit hit"}`}
	trial      = step{status: 429, body: `{"statusCode":429,"message":"trial requests are used up"}`}
	noCredits  = step{status: 402, body: `{"statusCode":402,"message":"not enough credits"}`}
	forbidden  = step{status: 403, body: `{"statusCode":403,"message":"not in plan"}`}
	badKey     = step{status: 401, body: `{"statusCode":401,"error":"invalid_request"}`}
	noRoute    = step{status: 404, body: `{"message":"no Route matched","request_id":"1"}`}
	noMatch    = step{status: 404, body: `{"statusCode":404,"message":"no match"}`}
	redirected = step{status: 302}
	proxyBlock = step{status: 403, body: `<html>blocked</html>`, billed: true}
	badItem    = step{status: 400, body: `{"statusCode":400,"message":"bad field"}`}
	oddRefusal = step{status: 418, body: `{"statusCode":418,"message":"no coffee"}`}
)

// fakeAPI plays steps, then good answers. It takes the place of the client.
type fakeAPI struct {
	mu      sync.Mutex
	steps   []step
	next    func(*pipeline.Batch) step // chooses the step, instead of steps
	billed  map[string]int             // item ref -> requests that were billed for it
	callIDs []string                   // of all calls, in order
}

// Fetch plays the next step for a batch.
func (f *fakeAPI) Fetch(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	if ctx.Err() != nil {
		return interrupted(ctx, b)
	}
	f.mu.Lock()
	s := good
	if f.next != nil {
		s = f.next(b)
	} else if len(f.steps) > 0 {
		s, f.steps = f.steps[0], f.steps[1:]
	}
	if s.billed || s.status == 200 && s.body == "" {
		if f.billed == nil {
			f.billed = map[string]int{}
		}
		for _, i := range b.Items {
			f.billed[i.Ref]++
		}
	}
	noRate := pipeline.Window{Limit: -1, Used: -1, Left: -1}
	call := pipeline.Call{
		ID: fmt.Sprintf("%s-%d", b.ID, max(b.NextAttempt, 1)), Batch: b.ID, Attempt: max(b.NextAttempt, 1),
		Entities: len(b.Items), Sent: time.Now(), Status: s.status, Outcome: pipeline.InDoubt, Body: []byte(s.body),
		Header: []byte(s.header), Rate: pipeline.Rate{Minute: noRate, Hour: noRate, Day: noRate},
	}
	f.callIDs = append(f.callIDs, call.ID)
	f.mu.Unlock()
	time.Sleep(s.latency)
	if s.status == 200 && s.body == "" {
		call.Body = goodAnswer(b)
	}
	if s.status == 0 {
		call.Problem = "connection reset"
	}
	if s.unsent {
		call.Outcome = pipeline.NotCharged
	}
	return &pipeline.Reply{Calls: []pipeline.Call{call}}, nil
}

// interrupted is the reply to a batch that was not sent because ctx had ended.
func interrupted(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	reason := "stopped: " + context.Cause(ctx).Error()
	return &pipeline.Reply{Items: slices.Repeat([]pipeline.ItemReply{{Status: schema.Deferred, Reason: reason}}, len(b.Items))},
		&pipeline.Stop{Kind: pipeline.StopInterrupted, Reason: reason}
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

func halfJitter() float64 { return 0.5 }

// statuses lists the items' statuses on one line.
func statuses(items []pipeline.ItemReply) string {
	var out []string
	for _, i := range items {
		out = append(out, string(i.Status))
	}
	return strings.Join(out, " ")
}

// TestRetryTable is the outcome table: what follows each kind of answer.
func TestRetryTable(t *testing.T) {
	five := func(s step) []step { return []step{s, s, s, s, s} }
	for _, tt := range []struct {
		name   string
		steps  []step
		calls  int
		status string
		stop   pipeline.StopKind
		waited time.Duration
	}{
		{"good", []step{good}, 1, "enriched", "", 0},
		{"a failure, then good", []step{refused}, 2, "enriched", "", 500 * time.Millisecond},
		{"failures to the end", five(refused), 5, "deferred", "", 7500 * time.Millisecond},
		{"too fast, then good", []step{burst, burst}, 3, "enriched", "", 1500 * time.Millisecond},
		{"too fast, told how long, which the limiter sees to", []step{{status: 429, body: burst.body, header: `{"retry-after":"7"}`}}, 2, "enriched", "", 500 * time.Millisecond},
		{"failed, told how long", []step{{status: 503, body: `{"statusCode":503}`, header: `{"retry-after":"7"}`}}, 2, "enriched", "", 7500 * time.Millisecond},
		{"failed, told too long", []step{{status: 503, body: `{"statusCode":503}`, header: `{"retry-after":"7200"}`}}, 1, "deferred", pipeline.StopUnstable, 0},
		{"failed, told a date", []step{{status: 503, body: `{"statusCode":503}`, header: `{"retry-after":"Fri, 01 May 2026 10:00:09 GMT","date":"Fri, 01 May 2026 10:00:00 GMT"}`}}, 2, "enriched", "", 9500 * time.Millisecond},
		{"not sent, then good", []step{unsent}, 2, "enriched", "", 500 * time.Millisecond},
		{"the hour, which the limiter sees to", []step{hourly}, 2, "enriched", "", 0},
		{"the hour, again and again", five(hourly), 5, "deferred", pipeline.StopQuota, 0},
		{"the day, which the limiter sees to", []step{daily}, 2, "enriched", "", 0},
		{"the day, again and again", five(daily), 5, "deferred", pipeline.StopQuota, 0},
		{"the trial", []step{trial}, 1, "deferred", pipeline.StopAuth, 0},
		{"no credits", []step{noCredits}, 1, "deferred", pipeline.StopCredits, 0},
		{"not in the plan", []step{forbidden}, 1, "deferred", pipeline.StopAuth, 0},
		{"bad key", []step{badKey}, 1, "deferred", pipeline.StopAuth, 0},
		{"no such route", []step{noRoute}, 1, "deferred", pipeline.StopAuth, 0},
		{"gone", []step{{status: 410, body: `{"code":"X","message":"gone"}`}}, 1, "deferred", pipeline.StopAuth, 0},
		{"redirect", []step{redirected}, 1, "deferred", pipeline.StopAuth, 0},
		{"see other", []step{{status: 303, billed: true}}, 1, "held", pipeline.StopAuth, 0},
		{"nobody known", []step{noMatch}, 1, "not_found", "", 0},
		{"bad request", []step{badItem}, 1, "deferred", "", 0},
		{"an unknown refusal", []step{oddRefusal}, 1, "deferred", "", 0},
		{"lost, charged", []step{lost}, 1, "held", "", 0},
		{"lost, not charged", []step{lostFree}, 1, "held", "", 0},
		{"cut", []step{cut}, 1, "held", "", 0},
		{"a proxy's page", []step{proxyPage}, 1, "held", "", 0},
		{"a wall's page", []step{proxyBlock}, 1, "held", pipeline.StopAuth, 0},
		{"a failure, then lost", []step{refused, lost}, 2, "held", "", 500 * time.Millisecond},
		{"too fast under a success", []step{{status: 200, body: burst.body}}, 2, "enriched", "", 500 * time.Millisecond},
		{"refused with a charge", []step{{status: 500, body: `{"statusCode":500,"creditCharged":1}`, billed: true}}, 1, "held", "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := &fakeAPI{steps: tt.steps}
				start := time.Now()
				reply, err := Retry(Decode(api), Rules{}, RetryConfig{MaxWait: time.Hour, Jitter: halfJitter}).Fetch(t.Context(), companies(1))
				var stop *pipeline.Stop
				errors.As(err, &stop)
				var kind pipeline.StopKind
				if stop != nil {
					kind = stop.Kind
				}
				if (err == nil) != (kind == "") || kind != tt.stop {
					t.Errorf("Fetch() error = %v (%s), want %q", err, kind, tt.stop)
				}
				if len(reply.Calls) != tt.calls || statuses(reply.Items) != tt.status {
					t.Errorf("Fetch() = %d calls, %s, want %d, %s", len(reply.Calls), statuses(reply.Items), tt.calls, tt.status)
				}
				if d := time.Since(start); d != tt.waited {
					t.Errorf("Fetch() waited %s, want %s", d, tt.waited)
				}
				if n := api.billed["r0"]; n > 1 {
					t.Errorf("the item was billed %d times", n)
				}
				if reply.Items[0].Status != schema.Enriched && reply.Items[0].Reason == "" {
					t.Errorf("%s without a reason", reply.Items[0].Status)
				}
			})
		})
	}
}

// TestRetryAt: a window that does not open, however often it is waited for,
// ends the run; if the API said when it opens, so does the stop.
func TestRetryAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(90 * time.Minute) // from midnight UTC, 2000-01-01
		for _, tt := range []struct {
			step step
			at   string
		}{{daily, "0001-01-01 00:00:00"}, {hourly, "2000-01-01 01:40:00"}} {
			api := &fakeAPI{next: func(*pipeline.Batch) step { return tt.step }}
			_, err := Retry(Decode(api), Rules{}, RetryConfig{}).Fetch(t.Context(), companies(1))
			var stop *pipeline.Stop
			if !errors.As(err, &stop) || stop.RetryAt.UTC().Format(time.DateTime) != tt.at {
				t.Errorf("Fetch() after %s = %+v, want RetryAt %s", tt.step.body, stop, tt.at)
			}
		}
	})
}

func TestRetryIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &fakeAPI{steps: []step{refused, refused}}
		b := companies(1)
		b.NextAttempt = 3
		if _, err := Retry(Decode(api), Rules{}, RetryConfig{}).Fetch(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"000012-3", "000012-4", "000012-5"}, api.callIDs); diff != "" {
			t.Errorf("call ids (-want +got):\n%s", diff)
		}
		if b.NextAttempt != 3 {
			t.Errorf("the batch's Attempt = %d, want 3, as the caller left it", b.NextAttempt)
		}
	})
}

// TestBreaker: too many unclear calls in a row end the run, and what waits is
// turned away without a request.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct {
			name  string
			steps []step
			stops int // ordinal of the batch that stops; 0 none
		}{
			{"five in a row", []step{lost, cut, proxyPage, lostFree, lost}, 5},
			{"a good one between", []step{lost, lost, lost, lost, good, lost, lost, lost, lost}, 0},
			{"a refusal between resets nothing", []step{lost, lost, badItem, lost, lost, lost}, 6},
			{"given up", slices.Repeat([]step{refused}, 25), 5},
		} {
			r := Retry(Decode(&fakeAPI{steps: tt.steps}), Rules{}, RetryConfig{})
			stops := 0
			for n := 1; n <= 9 && stops == 0; n++ {
				_, err := r.Fetch(t.Context(), companies(1))
				var stop *pipeline.Stop
				if errors.As(err, &stop) {
					stops = n
					if stop.Kind != pipeline.StopUnstable {
						t.Errorf("%s: stop = %s, want unstable", tt.name, stop.Kind)
					}
				}
			}
			if stops != tt.stops {
				t.Errorf("%s: stopped at batch %d, want %d", tt.name, stops, tt.stops)
			}
			if tt.stops > 0 {
				reply, err := r.Fetch(t.Context(), companies(2))
				if err == nil || len(reply.Calls) != 0 || statuses(reply.Items) != "deferred deferred" {
					t.Errorf("%s: next Fetch() = %+v, %v, want no calls, deferred", tt.name, reply, err)
				}
			}
		}
	})
}

// TestStopReachesWaiting: a batch in its back-off is turned away as soon as
// another one meets a reason to stop; one that is on the wire is not.
func TestStopReachesWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &fakeAPI{next: func(b *pipeline.Batch) step {
			switch b.ID {
			case "waits":
				return step{status: 503, body: `{"statusCode":503}`, header: `{"retry-after":"50"}`}
			case "on the wire":
				return step{status: 200, latency: 30 * time.Second}
			}
			return step{status: 402, body: noCredits.body, latency: 10 * time.Second}
		}}
		r := Retry(Decode(api), Rules{}, RetryConfig{})
		var wg sync.WaitGroup
		for _, tt := range []struct {
			id, status string
			after      time.Duration
			stop       bool
		}{{"waits", "deferred", 10 * time.Second, true}, {"on the wire", "enriched", 30 * time.Second, false}, {"stops", "deferred", 10 * time.Second, true}} {
			wg.Go(func() {
				b := companies(1)
				b.ID = tt.id
				start := time.Now()
				reply, err := r.Fetch(t.Context(), b)
				var stop *pipeline.Stop
				if statuses(reply.Items) != tt.status || time.Since(start) != tt.after || errors.As(err, &stop) != tt.stop || tt.stop && stop.Kind != pipeline.StopCredits {
					t.Errorf("Fetch(%s) = %s, %v after %s, want %s after %s", tt.id, statuses(reply.Items), err, time.Since(start), tt.status, tt.after)
				}
			})
		}
		wg.Wait()
	})
}

// TestRetryInterrupted: ctx ends a back-off at once; the call is kept.
func TestRetryInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		reply, err := Retry(Decode(&fakeAPI{steps: []step{refused}}), Rules{}, RetryConfig{Jitter: halfJitter}).Fetch(ctx, companies(2))
		var stop *pipeline.Stop
		if !errors.As(err, &stop) || stop.Kind != pipeline.StopInterrupted || len(reply.Calls) != 1 || statuses(reply.Items) != "deferred deferred" || time.Since(start) != 100*time.Millisecond {
			t.Errorf("Fetch() = %d calls, %s, %v, want 1, deferred, interrupted", len(reply.Calls), statuses(reply.Items), err)
		}
	})
}
