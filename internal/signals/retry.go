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
	MaxAttempts  int            // at one batch, the first included; 0 means 5
	BaseDelay    time.Duration  // first back-off, doubling; 0 means 1 s
	MaxDelay     time.Duration  // longest back-off; 0 means 60 s
	MaxWait      time.Duration  // longest wait that a failing server may ask for; 0 means none beyond Cap
	BreakerLimit int            // calls in a row with an unknown outcome, or batches in a row given up, that stop the run; 0 means 5
	Jitter       func() float64 // in [0, 1), spreads the back-off; nil means random
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

	tripped     context.Context // done once the run has to stop
	cancelWaits context.CancelFunc

	mu            sync.Mutex
	stop          *pipeline.Stop // why
	indeterminate int            // unclear calls since the last clear answer
	exhausted     int            // batches given up since the last answer
}

// Retry wraps a decoded fetcher.
func Retry(inner pipeline.Fetcher, cfg RetryConfig) *Retrier {
	if cfg.MaxAttempts <= 0 {
		cfg.MaxAttempts = 5
	}
	if cfg.BaseDelay <= 0 {
		cfg.BaseDelay = time.Second
	}
	if cfg.MaxDelay <= 0 {
		cfg.MaxDelay = 60 * time.Second
	}
	if cfg.BreakerLimit <= 0 {
		cfg.BreakerLimit = 5
	}
	if cfg.Jitter == nil {
		cfg.Jitter = rand.Float64
	}
	r := &Retrier{inner: inner, cfg: cfg}
	// Lives as long as the Retrier and belongs to no single call: it ends the
	// waiting of all of them at once.
	r.tripped, r.cancelWaits = context.WithCancel(context.Background())
	return r
}

// Fetch asks, and asks again after refusals that cost nothing. Once one batch
// has met a reason to stop, every later or waiting one is turned away with the
// same reason and without a request.
func (r *Retrier) Fetch(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	waitCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.tripped, cancel)()

	merged := &pipeline.Reply{}
	firstAttempt := max(b.NextAttempt, 1)
	for try := 0; ; try++ {
		if stop := r.stopReason(); stop != nil {
			return r.fillDeferred(merged, b, "not asked: "+stop.Reason), stop
		}
		attempt := *b
		attempt.NextAttempt = firstAttempt + try
		reply, err := r.inner.Fetch(waitCtx, &attempt)
		if reply != nil {
			merged.Calls = append(merged.Calls, reply.Calls...)
			merged.Items = reply.Items
			merged.Unmatched = append(merged.Unmatched, reply.Unmatched...)
		}
		if err != nil {
			r.tripOn(err)
			if stop := r.stopReason(); stop != nil && ctx.Err() == nil {
				err = stop // the wait was ended by another batch's reason to stop
				for i := range merged.Items {
					if item := &merged.Items[i]; item.Status == schema.Deferred {
						item.Reason = "not asked: " + stop.Reason
					}
				}
			}
			return r.fillDeferred(merged, b, err.Error()), err
		}
		if reply == nil || len(reply.Calls) == 0 {
			return r.fillDeferred(merged, b, "not asked"), nil
		}
		call := &reply.Calls[len(reply.Calls)-1]
		delay, stop := r.decideRetry(b, call, try+1)
		if stop != nil {
			return r.fillDeferred(merged, b, stop.Reason), stop
		}
		if delay < 0 {
			return r.fillDeferred(merged, b, call.Problem), nil
		}
		if !sleep(waitCtx, delay) && ctx.Err() != nil {
			stop := interruptedStop()
			return r.fillDeferred(merged, b, stop.Reason+"; last answer: "+call.Problem), stop
		}
	}
}

// fillDeferred makes sure that every item has a fate: what the last answer left open
// is Deferred.
func (r *Retrier) fillDeferred(reply *pipeline.Reply, b *pipeline.Batch, reason string) *pipeline.Reply {
	if len(reply.Items) != len(b.Items) {
		reply.Items = itemsWithStatus(b, schema.Deferred, reason, "")
	}
	for i := range reply.Items {
		if item := &reply.Items[i]; item.Status == "" || item.Status == schema.Deferred && item.Reason == "" {
			item.Status, item.Reason = schema.Deferred, reason
		}
	}
	return reply
}

func (r *Retrier) stopReason() *pipeline.Stop {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stop
}

// decideRetry decides what follows an attempt: the wait before the next one, or
// less than nothing when this one stands; or the reason to stop the run.
func (r *Retrier) decideRetry(b *pipeline.Batch, call *pipeline.Call, tries int) (delay time.Duration, stop *pipeline.Stop) {
	delay, stop = r.nextDelay(b, call, tries)
	if stop != nil {
		r.trip(stop)
	}
	return delay, stop
}

// tripOn ends the run for a reason that lies further in, such as a rate window
// that will not open in time, but not because one caller's waiting was ended.
func (r *Retrier) tripOn(err error) {
	var stop *pipeline.Stop
	if errors.As(err, &stop) && stop.Kind != pipeline.StopInterrupted {
		r.trip(stop)
	}
}

// trip turns away whoever waits, and whoever comes.
func (r *Retrier) trip(stop *pipeline.Stop) {
	r.mu.Lock()
	if r.stop == nil {
		r.stop = stop
	}
	r.mu.Unlock()
	r.cancelWaits()
}

const noRetry = time.Duration(-1)

func (r *Retrier) nextDelay(b *pipeline.Batch, call *pipeline.Call, tries int) (time.Duration, *pipeline.Stop) {
	if call.Outcome == pipeline.Charged {
		r.resetBreaker(true)
		return noRetry, nil
	}
	v := classifyCall(call)
	if call.Outcome != pipeline.NotCharged {
		if v.Class == ClassProxy && v.Status/100 == 4 || v.Class == ClassRedirect {
			return noRetry, &pipeline.Stop{
				Kind:   pipeline.StopAuth,
				Reason: "something between here and the API answered: " + v.summary(),
				Advice: "check the API's address and the proxy; the last batch is held, since it may have been charged",
			}
		}
		if n := r.increment(&r.indeterminate); n >= r.cfg.BreakerLimit {
			return noRetry, &pipeline.Stop{
				Kind:   pipeline.StopUnstable,
				Reason: fmt.Sprintf("%d calls in a row ended without telling whether they were charged, the last one: %s", n, call.Problem),
				Advice: "wait until the API is steady, compare the account's usage, then release what is held",
			}
		}
		return noRetry, nil
	}
	switch v.Class {
	case ClassBadRequest, ClassBadName, ClassLegal, ClassNotFound:
		r.resetBreaker(v.Class == ClassNotFound)
		return noRetry, nil
	case ClassRateDay, ClassRateHour:
		if tries >= r.cfg.MaxAttempts {
			return noRetry, stopUntil(pipeline.StopQuota, v) // it was waited for, and it did not turn
		}
		return 0, nil
	case ClassRateBurst:
		v.RetryAfter = 0 // which the limiter keeps, for every batch at once
		return r.backoffDelay(call, v, tries)
	case ClassServer, ClassUnsent:
		return r.backoffDelay(call, v, tries)
	case ClassGone:
		if continuesSession(b) { // the session is gone, not the endpoint: whoever asked begins another
			r.resetBreaker(false)
			return noRetry, nil
		}
	}
	if stop := terminalStop(v); stop != nil {
		return noRetry, stop
	}
	return r.giveUp(call, tries)
}

// increment adds one to a counter of the breaker.
func (r *Retrier) increment(counter *int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	*counter++
	return *counter
}

// resetBreaker resets the breaker. A refusal shows that the API is there, but not
// that its answers arrive: only an answer to the question shows that.
func (r *Retrier) resetBreaker(byAnswer bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.exhausted = 0
	if byAnswer {
		r.indeterminate = 0
	}
}

func (r *Retrier) backoffDelay(call *pipeline.Call, v Verdict, tries int) (time.Duration, *pipeline.Stop) {
	if tries >= r.cfg.MaxAttempts {
		return r.giveUp(call, tries)
	}
	maxDelay := min(r.cfg.MaxDelay, r.cfg.BaseDelay<<min(tries-1, 20))
	d := time.Duration(r.cfg.Jitter() * float64(maxDelay))
	if v.RetryAfter == 0 {
		return d, nil
	}
	if v.RetryAfter > max(r.cfg.MaxDelay, r.cfg.MaxWait) {
		return noRetry, stopUntil(pipeline.StopUnstable, v)
	}
	// At least as long as asked, and not all at the same moment.
	return v.RetryAfter + min(d, time.Second), nil
}

// stopUntil stops the run until the time that the answer named, if it did.
func stopUntil(kind pipeline.StopKind, v Verdict) *pipeline.Stop {
	stop := &pipeline.Stop{Kind: kind, Reason: v.summary(), Advice: "run again later"}
	if v.RetryAfter > 0 {
		stop.RetryAt = time.Now().Add(v.RetryAfter)
		stop.Advice = "run again after " + stop.RetryAt.UTC().Format("2006-01-02 15:04:05 UTC")
	}
	return stop
}

// giveUp leaves a batch for a later run, and the run when that happens too
// often.
func (r *Retrier) giveUp(call *pipeline.Call, tries int) (time.Duration, *pipeline.Stop) {
	if n := r.increment(&r.exhausted); n >= r.cfg.BreakerLimit {
		return noRetry, &pipeline.Stop{
			Kind:   pipeline.StopUnstable,
			Reason: fmt.Sprintf("%d batches in a row were given up, the last one after %d attempts: %s", n, tries, call.Problem),
			Advice: "check the network and the API's status, then run again",
		}
	}
	return noRetry, nil
}

// Advice is what to do about a refusal that whoever asks next would meet, too;
// empty for others.
func (r *RefusalError) Advice() string {
	if stop := terminalStop(r.Verdict); stop != nil {
		return stop.Advice
	}
	return ""
}

// terminalStop names the refusals that every further batch would meet, too.
func terminalStop(v Verdict) *pipeline.Stop {
	stop := &pipeline.Stop{Kind: pipeline.StopAuth, Reason: v.summary()}
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
