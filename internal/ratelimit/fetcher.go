package ratelimit

import (
	"context"
	"time"

	"github.com/siglake/siglake/pipeline"
)

// Limit makes a fetcher wait for the limiter's admission. classify says whether a call was refused
// because of a rate limit, and how long the answer asked to wait (0 if it did not). It is called
// for answers that were not charged, and may be nil.
//
// If ctx ends while a batch waits, or a window will not reset within MaxWait, no request is sent:
// every item is Deferred and a *pipeline.Stop says why. A call that was admitted is never
// interrupted.
func Limit(inner pipeline.Fetcher, limiter *Limiter, classify func(*pipeline.Call) (Refusal, time.Duration)) pipeline.Fetcher {
	return &limitedFetcher{inner, limiter, classify}
}

type limitedFetcher struct {
	inner    pipeline.Fetcher
	limiter  *Limiter
	classify func(*pipeline.Call) (Refusal, time.Duration)
}

func (f *limitedFetcher) Fetch(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	admission, stop := f.limiter.admit(ctx)
	if stop != nil {
		return pipeline.NewReply(b, stop.Reason), stop
	}
	reply, err := f.inner.Fetch(ctx, b)
	if results := f.callResults(reply); len(results) > 0 {
		f.limiter.complete(admission, results)
	} else {
		f.limiter.release(admission)
	}
	return reply, err
}

// callResults are the calls that reached the server, or may have.
func (f *limitedFetcher) callResults(reply *pipeline.Reply) (out []callResult) {
	for i := range reply.Calls {
		result := callResult{call: &reply.Calls[i]}
		if result.call.Status == 0 && result.call.Outcome == pipeline.NotCharged {
			continue // it was never sent
		}
		if result.call.Outcome != pipeline.Charged && result.call.Status != 0 && f.classify != nil {
			result.refusal, result.retryAfter = f.classify(result.call)
		}
		out = append(out, result)
	}
	return out
}
