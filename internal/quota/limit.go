package quota

import (
	"context"
	"time"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// Limit makes a fetcher wait for the governor's admission. Judge says whether a
// call was refused for its number, and how long the answer asked to wait (0
// when it did not); it is called for answers that were not charged, and may be
// nil.
//
// When ctx ends while a batch waits, or a window will not open within MaxWait,
// nothing is asked: every item is Deferred and a *pipeline.Stop says why. A
// call that was admitted is never touched.
func Limit(inner pipeline.Fetcher, g *Governor, judge func(*pipeline.Call) (Refusal, time.Duration)) pipeline.Fetcher {
	return &limited{inner, g, judge}
}

type limited struct {
	inner    pipeline.Fetcher
	governor *Governor
	judge    func(*pipeline.Call) (Refusal, time.Duration)
}

func (l *limited) Fetch(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	place, stop := l.governor.admit(ctx)
	if stop != nil {
		return deferred(b, stop.Reason), stop
	}
	reply, err := l.inner.Fetch(ctx, b)
	if made := l.made(reply); len(made) > 0 {
		l.governor.settle(place, made)
	} else {
		l.governor.release(place)
	}
	return reply, err
}

// made are the calls that reached the server, or may have.
func (l *limited) made(reply *pipeline.Reply) (out []verdict) {
	if reply == nil {
		return nil
	}
	for i := range reply.Calls {
		v := verdict{call: &reply.Calls[i]}
		if v.call.Status == 0 && v.call.Outcome == pipeline.NotCharged {
			continue // it never left
		}
		if v.call.Outcome != pipeline.Charged && v.call.Status != 0 && l.judge != nil {
			v.refusal, v.wait = l.judge(v.call)
		}
		out = append(out, v)
	}
	return out
}

func deferred(b *pipeline.Batch, reason string) *pipeline.Reply {
	items := make([]pipeline.ItemReply, len(b.Items))
	for i := range items {
		items[i] = pipeline.ItemReply{Status: schema.Deferred, Reason: reason}
	}
	return &pipeline.Reply{Items: items}
}
