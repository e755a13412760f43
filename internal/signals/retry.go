package signals

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// RetryConfig says how patient to be.
type RetryConfig struct {
	Attempts int            // at one batch, the first included; 0 means 5
	Base     time.Duration  // first back-off, doubling; 0 means 1 s
	Cap      time.Duration  // longest back-off; 0 means 60 s
	MaxWait  time.Duration  // longest wait that a failing server may ask for; 0 means none beyond Cap
	Breaker  int            // calls in a row with an unknown outcome, or batches in a row given up, that stop the run; 0 means 5
	Jitter   func() float64 // in [0, 1), spreads the back-off; nil means random
}

// Retrier asks again where it is certain that nothing was charged, and only
// there. It may be used concurrently.
//
// After a 429 it asks again as well, a bounded number of times. How long that
// window stays closed, and whether it is worth waiting for, is not decided here
// but by the rate limiter below, which sees the same refusals, those of other
// runs, and every attempt before it leaves.
type Retrier struct {
	inner pipeline.Fetcher
	cfg   RetryConfig

	halted context.Context // done once the run has to stop
	halt   context.CancelFunc

	mu        sync.Mutex
	stop      *pipeline.Stop // why
	ambiguous int            // unclear calls since the last clear answer
	exhausted int            // batches given up since the last answer
}

// Retry wraps a decoded fetcher.
func Retry(inner pipeline.Fetcher, cfg RetryConfig) *Retrier {
	if cfg.Attempts <= 0 {
		cfg.Attempts = 5
	}
	if cfg.Base <= 0 {
		cfg.Base = time.Second
	}
	if cfg.Cap <= 0 {
		cfg.Cap = 60 * time.Second
	}
	if cfg.Breaker <= 0 {
		cfg.Breaker = 5
	}
	if cfg.Jitter == nil {
		cfg.Jitter = rand.Float64
	}
	r := &Retrier{inner: inner, cfg: cfg}
	// Lives as long as the Retrier and belongs to no single call: it ends the
	// waiting of all of them at once.
	r.halted, r.halt = context.WithCancel(context.Background())
	return r
}

// Fetch asks, and asks again after refusals that cost nothing. Once one batch
// has met a reason to stop, every later or waiting one is turned away with the
// same reason and without a request.
func (r *Retrier) Fetch(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.halted, cancel)()

	all := &pipeline.Reply{}
	first := max(b.Attempt, 1)
	for try := 0; ; try++ {
		if stop := r.stopped(); stop != nil {
			return r.finish(all, b, "not asked: "+stop.Reason), stop
		}
		attempt := *b
		attempt.Attempt = first + try
		reply, err := r.inner.Fetch(waiting, &attempt)
		if reply != nil {
			all.Calls = append(all.Calls, reply.Calls...)
			all.Items = reply.Items
			all.Strays = append(all.Strays, reply.Strays...)
		}
		if err != nil {
			r.heed(err)
			if stop := r.stopped(); stop != nil && ctx.Err() == nil {
				err = stop // the wait was ended by another batch's reason to stop
				for i := range all.Items {
					if item := &all.Items[i]; item.Status == schema.Deferred {
						item.Reason = "not asked: " + stop.Reason
					}
				}
			}
			return r.finish(all, b, err.Error()), err
		}
		if reply == nil || len(reply.Calls) == 0 {
			return r.finish(all, b, "not asked"), nil
		}
		call := &reply.Calls[len(reply.Calls)-1]
		again, stop := r.judge(b, call, try+1)
		if stop != nil {
			return r.finish(all, b, stop.Reason), stop
		}
		if again < 0 {
			return r.finish(all, b, call.Problem), nil
		}
		if !wait(waiting, again) && ctx.Err() != nil {
			stop := cancelled()
			return r.finish(all, b, stop.Reason+"; last answer: "+call.Problem), stop
		}
	}
}

// finish makes sure that every item has a fate: what the last answer left open
// is Deferred.
func (r *Retrier) finish(reply *pipeline.Reply, b *pipeline.Batch, reason string) *pipeline.Reply {
	if len(reply.Items) != len(b.Items) {
		reply.Items = fates(b, schema.Deferred, reason, "")
	}
	for i := range reply.Items {
		if item := &reply.Items[i]; item.Status == "" || item.Status == schema.Deferred && item.Reason == "" {
			item.Status, item.Reason = schema.Deferred, reason
		}
	}
	return reply
}

func (r *Retrier) stopped() *pipeline.Stop {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stop
}

// judge decides what follows an attempt: the wait before the next one, or
// less than nothing when this one stands; or the reason to stop the run.
func (r *Retrier) judge(b *pipeline.Batch, call *pipeline.Call, tries int) (again time.Duration, stop *pipeline.Stop) {
	again, stop = r.follow(b, call, tries)
	if stop != nil {
		r.end(stop)
	}
	return again, stop
}

// heed ends the run for a reason that lies further in, such as a rate window
// that will not open in time, but not because one caller's waiting was ended.
func (r *Retrier) heed(err error) {
	var stop *pipeline.Stop
	if errors.As(err, &stop) && stop.Kind != pipeline.StopInterrupted {
		r.end(stop)
	}
}

// end turns away whoever waits, and whoever comes.
func (r *Retrier) end(stop *pipeline.Stop) {
	r.mu.Lock()
	if r.stop == nil {
		r.stop = stop
	}
	r.mu.Unlock()
	r.halt()
}

const stands = time.Duration(-1)

func (r *Retrier) follow(b *pipeline.Batch, call *pipeline.Call, tries int) (time.Duration, *pipeline.Stop) {
	if call.Outcome == pipeline.Charged {
		r.answered(true)
		return stands, nil
	}
	v := verdictOf(call)
	if call.Outcome != pipeline.NotCharged {
		if v.Class == ClassProxy && v.Status/100 == 4 || v.Class == ClassRedirect {
			return stands, &pipeline.Stop{
				Kind:   pipeline.StopAuth,
				Reason: "something between here and the API answered: " + v.problem(),
				Advice: "check the API's address and the proxy; the last batch is held, since it may have been charged",
			}
		}
		if n := r.count(&r.ambiguous); n >= r.cfg.Breaker {
			return stands, &pipeline.Stop{
				Kind:   pipeline.StopUnstable,
				Reason: fmt.Sprintf("%d calls in a row ended without telling whether they were charged, the last one: %s", n, call.Problem),
				Advice: "wait until the API is steady, compare the account's usage, then release what is held",
			}
		}
		return stands, nil
	}
	switch v.Class {
	case ClassBadRequest, ClassName, ClassLegal, ClassNotFound:
		r.answered(v.Class == ClassNotFound)
		return stands, nil
	case ClassRateDay, ClassRateHour:
		if tries >= r.cfg.Attempts {
			return stands, later(pipeline.StopQuota, v) // it was waited for, and it did not turn
		}
		return 0, nil
	case ClassRateBurst:
		v.Wait = 0 // which the limiter keeps, for every batch at once
		return r.backOff(call, v, tries)
	case ClassServer, ClassUnsent:
		return r.backOff(call, v, tries)
	case ClassGone:
		if resumes(b) { // the session is gone, not the endpoint: whoever asked begins another
			r.answered(false)
			return stands, nil
		}
	}
	if stop := stopFor(v); stop != nil {
		return stands, stop
	}
	return r.giveUp(call, tries)
}

// count adds one to a counter of the breaker.
func (r *Retrier) count(counter *int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	*counter++
	return *counter
}

// answered resets the breaker. A refusal shows that the API is there, but not
// that its answers arrive: only an answer to the question shows that.
func (r *Retrier) answered(toTheQuestion bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.exhausted = 0
	if toTheQuestion {
		r.ambiguous = 0
	}
}

func (r *Retrier) backOff(call *pipeline.Call, v Verdict, tries int) (time.Duration, *pipeline.Stop) {
	if tries >= r.cfg.Attempts {
		return r.giveUp(call, tries)
	}
	longest := min(r.cfg.Cap, r.cfg.Base<<min(tries-1, 20))
	d := time.Duration(r.cfg.Jitter() * float64(longest))
	if v.Wait == 0 {
		return d, nil
	}
	if v.Wait > max(r.cfg.Cap, r.cfg.MaxWait) {
		return stands, later(pipeline.StopUnstable, v)
	}
	// At least as long as asked, and not all at the same moment.
	return v.Wait + min(d, time.Second), nil
}

// later stops the run until the time that the answer named, if it did.
func later(kind pipeline.StopKind, v Verdict) *pipeline.Stop {
	stop := &pipeline.Stop{Kind: kind, Reason: v.problem(), Advice: "run again later"}
	if v.Wait > 0 {
		stop.RetryAt = time.Now().Add(v.Wait)
		stop.Advice = "run again after " + stop.RetryAt.UTC().Format("2006-01-02 15:04:05 UTC")
	}
	return stop
}

// giveUp leaves a batch for a later run, and the run when that happens too
// often.
func (r *Retrier) giveUp(call *pipeline.Call, tries int) (time.Duration, *pipeline.Stop) {
	if n := r.count(&r.exhausted); n >= r.cfg.Breaker {
		return stands, &pipeline.Stop{
			Kind:   pipeline.StopUnstable,
			Reason: fmt.Sprintf("%d batches in a row were given up, the last one after %d attempts: %s", n, tries, call.Problem),
			Advice: "check the network and the API's status, then run again",
		}
	}
	return stands, nil
}

// Advice is what to do about a refusal that whoever asks next would meet, too;
// empty for others.
func (r *RefusalError) Advice() string {
	if stop := stopFor(r.Verdict); stop != nil {
		return stop.Advice
	}
	return ""
}

// stopFor names the refusals that every further batch would meet, too.
func stopFor(v Verdict) *pipeline.Stop {
	stop := &pipeline.Stop{Kind: pipeline.StopAuth, Reason: v.problem()}
	switch v.Class {
	case ClassCredits:
		stop.Kind = pipeline.StopCredits
		stop.Advice = "buy credits, then run again"
	case ClassAuth:
		stop.Advice = "check the API key and that the account is active"
	case ClassEntitlement:
		stop.Advice = "the account's plan does not include this; ask its administrator"
	case ClassTrial:
		stop.Advice = "the trial is used up; ask the account's administrator"
	case ClassRoute, ClassGone, ClassRedirect:
		stop.Advice = "check the API's address; if this generation of the API has ended, --api v3 asks in the newer one"
	default:
		return nil
	}
	return stop
}
