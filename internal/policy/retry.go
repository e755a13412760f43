package policy

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

// RetryConfig bounds attempts and delays.
type RetryConfig struct {
	MaxAttempts int           // at one batch, the first included; 0 means 5
	BaseDelay   time.Duration // first back-off, doubling; 0 means 1 s
	MaxDelay    time.Duration // longest back-off; 0 means 60 s
	// Longest delay that a failing server may ask for; less than MaxDelay means
	// MaxDelay. Also how long a batch is repeated after 429s that do not say when to
	// come back; MaxAttempts are made in any case.
	MaxWait time.Duration
	// OnWait is called when 429s without a delay outlast MaxAttempts, with the refusal and
	// the time until which the batch is repeated. Once per run; nil: not called.
	OnWait func(refusal string, until time.Time)
	Now    func() time.Time // dates the end of a wait; nil means time.Now
	// BreakerLimit stops the run: after so many calls in a row with an unknown
	// outcome, or so many batches in a row that were given up; 0 means 5.
	BreakerLimit int
	Jitter       func() float64 // in [0, 1), spreads the back-off; nil means random
}

// Retrier repeats a call that is known not to have been charged, and no other.
// It may be used concurrently.
//
// It repeats a call after a 429 as well. The rate limiter below decides how long to
// wait for a window or a stated pause and whether that is worth it: it sees the same
// refusals, those of other runs, and every attempt before it is sent. A 429 that says
// nothing is repeated with a back-off for up to MaxWait, and then ends the run.
type Retrier struct {
	inner  pipeline.Fetcher
	vendor Vendor
	cfg    RetryConfig

	tripped     context.Context // done once the run has to stop
	cancelWaits context.CancelFunc

	mu            sync.Mutex
	stop          *pipeline.Stop // why
	indeterminate int            // calls in doubt since the last answer
	exhausted     int            // batches given up since the last response
	announced     bool           // OnWait was called
}

// Retry wraps a decoded fetcher. The vendor explains its refusals.
func Retry(inner pipeline.Fetcher, vendor Vendor, cfg RetryConfig) *Retrier {
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
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Jitter == nil {
		cfg.Jitter = rand.Float64
	}
	r := &Retrier{inner: inner, vendor: vendor, cfg: cfg}
	// The context belongs to no single call: it ends the waits of all calls of
	// this Retrier at once.
	r.tripped, r.cancelWaits = context.WithCancel(context.Background())
	return r
}

// Fetch sends the batch and repeats it after refusals that cost nothing. Once one
// batch meets a reason to stop, Fetch turns every waiting and later batch away
// with the same reason and without a request.
func (r *Retrier) Fetch(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	waitCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.tripped, cancel)()

	if stop := r.stopReason(); stop != nil {
		return r.vendor.UnsentReply(b, "not requested: "+stop.Reason), stop
	}
	merged := &pipeline.Reply{}
	firstAttempt := max(b.NextAttempt, 1)
	var firstAnswer time.Time // of the first attempt
	for try := 0; ; try++ {
		attempt := *b
		attempt.NextAttempt = firstAttempt + try
		reply, err := r.inner.Fetch(waitCtx, &attempt)
		merged.Calls = append(merged.Calls, reply.Calls...)
		merged.Items = reply.Items
		merged.Unmatched = append(merged.Unmatched, reply.Unmatched...)
		if err != nil {
			r.tripOn(err)
			if stop := r.stopReason(); stop != nil && ctx.Err() == nil {
				err = stop // another batch's reason to stop ended the wait
				for i := range merged.Items {
					if item := &merged.Items[i]; item.Status == schema.Deferred {
						item.Reason = "not requested: " + stop.Reason
					}
				}
			}
			return merged, err
		}
		if len(reply.Calls) == 0 {
			return merged, nil
		}
		call := &reply.Calls[len(reply.Calls)-1]
		if try == 0 {
			firstAnswer = time.Now()
		}
		delay, stop := r.decideRetry(b, call, progress{tries: try + 1, waited: time.Since(firstAnswer)})
		if stop != nil {
			return merged, stop
		}
		if delay < 0 {
			return merged, nil
		}
		if !Sleep(waitCtx, delay) && ctx.Err() != nil {
			return merged, interruptedStop()
		}
		if stop := r.stopReason(); stop != nil {
			return merged, stop
		}
	}
}

func (r *Retrier) stopReason() *pipeline.Stop {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stop
}

// progress is what a batch has taken so far.
type progress struct {
	tries  int           // attempts
	waited time.Duration // since the answer to the first of them
}

// decideRetry decides what follows an attempt: the delay before the next one,
// negative when there is no next one, or the reason to stop the run.
func (r *Retrier) decideRetry(b *pipeline.Batch, call *pipeline.Call, p progress) (delay time.Duration, stop *pipeline.Stop) {
	delay, stop = r.nextDelay(b, call, p)
	if stop != nil {
		r.trip(stop)
	}
	return delay, stop
}

// tripOn ends the run for the error of an inner fetcher, such as a rate window
// that does not turn in time, but not because one caller was interrupted.
func (r *Retrier) tripOn(err error) {
	var stop *pipeline.Stop
	if errors.As(err, &stop) && stop.Kind != pipeline.StopInterrupted {
		r.trip(stop)
	}
}

// trip turns away every waiting and every later batch.
func (r *Retrier) trip(stop *pipeline.Stop) {
	r.mu.Lock()
	if r.stop == nil {
		r.stop = stop
	}
	r.mu.Unlock()
	r.cancelWaits()
}

const noRetry = time.Duration(-1)

func (r *Retrier) nextDelay(b *pipeline.Batch, call *pipeline.Call, p progress) (time.Duration, *pipeline.Stop) {
	if call.Outcome == pipeline.Charged {
		r.resetBreaker(true)
		return noRetry, nil
	}
	refusal := r.vendor.Refusal(call)
	if call.Outcome != pipeline.NotCharged {
		if refusal.Kind == Intercepted {
			return noRetry, &pipeline.Stop{
				Kind:   pipeline.StopAuth,
				Reason: "a proxy or gateway answered instead of the API: " + refusal.Summary,
				Advice: "check the API's address and the proxy; the last batch is held, since it may have been charged",
			}
		}
		if n := r.increment(&r.indeterminate); n >= r.cfg.BreakerLimit {
			return noRetry, &pipeline.Stop{
				Kind:   pipeline.StopUnstable,
				Reason: fmt.Sprintf("%d calls in a row ended without a clear charge, the last one with: %s", n, call.Problem),
				Advice: "wait until the API is stable, compare the account's usage, then decide with siglake held",
			}
		}
		return noRetry, nil
	}
	switch refusal.Kind {
	case BadItem, RestrictedItem, NoMatch:
		r.resetBreaker(refusal.Kind == NoMatch)
		return noRetry, nil
	case RateWindow:
		if p.tries >= r.cfg.MaxAttempts {
			return noRetry, r.stopUntil(pipeline.StopQuota, refusal) // the limiter waited, and the window did not turn
		}
		return 0, nil
	case RateBurst:
		return r.burstDelay(refusal, p)
	case Transient:
		return r.transientDelay(call, refusal, p.tries)
	case SessionExpired:
		if b.ContinuesSession() { // the session is gone, not the endpoint: the caller starts another one
			r.resetBreaker(false)
			return noRetry, nil
		}
		return noRetry, refusal.Stop
	case Terminal:
		return noRetry, refusal.Stop
	}
	return r.giveUp(call, p.tries)
}

// increment adds one to a counter of the breaker and returns the sum.
func (r *Retrier) increment(counter *int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	*counter++
	return *counter
}

// resetBreaker resets the breaker. A refusal proves that the API responds, but
// not that its answers arrive: only an answer to the query proves that.
func (r *Retrier) resetBreaker(byAnswer bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.exhausted = 0
	if byAnswer {
		r.indeterminate = 0
	}
}

// backoff is the delay after some attempts: full jitter, up to MaxDelay.
func (r *Retrier) backoff(tries int) time.Duration {
	maxDelay := min(r.cfg.MaxDelay, r.cfg.BaseDelay<<min(tries-1, 20))
	return time.Duration(r.cfg.Jitter() * float64(maxDelay))
}

// burstDelay is the delay after a 429 that concerns no hour and no day.
func (r *Retrier) burstDelay(refusal Refusal, p progress) (time.Duration, *pipeline.Stop) {
	d := r.backoff(p.tries)
	if p.tries < r.cfg.MaxAttempts {
		return d, nil
	}
	if p.waited+d > r.cfg.MaxWait {
		stop := r.stopUntil(pipeline.StopQuota, refusal)
		stop.Reason = fmt.Sprintf("the API still refuses calls after %d attempts in %s, and does not say for how long: %s", p.tries, p.waited.Round(time.Second), refusal.Summary)
		stop.Advice += "; --max-wait sets how long a run waits"
		return noRetry, stop
	}
	r.mu.Lock()
	first := !r.announced
	r.announced = true
	r.mu.Unlock()
	if first && r.cfg.OnWait != nil {
		r.cfg.OnWait(refusal.Summary, r.cfg.Now().Add(r.cfg.MaxWait-p.waited))
	}
	return d, nil
}

// transientDelay is the delay after a failure of the server.
func (r *Retrier) transientDelay(call *pipeline.Call, refusal Refusal, tries int) (time.Duration, *pipeline.Stop) {
	if tries >= r.cfg.MaxAttempts {
		return r.giveUp(call, tries)
	}
	d := r.backoff(tries)
	if refusal.RetryAfter == 0 {
		return d, nil
	}
	if refusal.RetryAfter > max(r.cfg.MaxDelay, r.cfg.MaxWait) {
		return noRetry, r.stopUntil(pipeline.StopUnstable, refusal)
	}
	// Not less than the server asks for, and not all batches at the same moment.
	return refusal.RetryAfter + min(d, time.Second), nil
}

// stopUntil stops the run, until the time that the answer named if it named one.
func (r *Retrier) stopUntil(kind pipeline.StopKind, refusal Refusal) *pipeline.Stop {
	stop := &pipeline.Stop{Kind: kind, Reason: refusal.Summary, Advice: "run again later"}
	if refusal.RetryAfter > 0 {
		stop.RetryAt = r.cfg.Now().Add(refusal.RetryAfter)
		stop.Advice = "run again after " + stop.RetryAt.UTC().Format("2006-01-02 15:04:05 UTC")
	}
	return stop
}

// giveUp leaves a batch to a later run, and stops this run when that happens too
// often.
func (r *Retrier) giveUp(call *pipeline.Call, tries int) (time.Duration, *pipeline.Stop) {
	if n := r.increment(&r.exhausted); n >= r.cfg.BreakerLimit {
		return noRetry, &pipeline.Stop{
			Kind:   pipeline.StopUnstable,
			Reason: fmt.Sprintf("%d batches in a row failed, the last one after %d attempts: %s", n, tries, call.Problem),
			Advice: "check the network and the API's status, then run again",
		}
	}
	return noRetry, nil
}
