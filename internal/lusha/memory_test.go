package lusha

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/siglake/siglake/internal/lusha/lushatest"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

type fetcherFunc func(context.Context, *pipeline.Batch) (*pipeline.Reply, error)

func (f fetcherFunc) Fetch(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	return f(ctx, b)
}

// TestLongAnswersTakeTurns: long answers are admitted to memory one after the other, short ones
// whenever they come, and none keeps its body.
func TestLongAnswersTakeTurns(t *testing.T) {
	t.Parallel()
	var admitted, most, waiting atomic.Int64
	text := `{"companies":{"1001":{"surgeInHiring":[{"signalId":"1"}]}},"creditCharged":1,"padding":"` + strings.Repeat("x", maxKeptBody) + `"}`
	all := make(chan struct{})
	const calls = 8
	inner := fetcherFunc(func(_ context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
		reply := pipeline.NewReply(b, "not decoded")
		body := []byte(`{"companies":{},"creditCharged":0}`)
		if b.ID != "short" {
			if waiting.Add(1) == calls {
				close(all)
			}
			<-all // all of them have arrived
			b.Admit(decodeMemory + 1)
			most.Store(max(most.Load(), admitted.Add(1)))
			body = []byte(text)
			admitted.Add(-1)
		}
		reply.Calls = []pipeline.Call{{ID: b.ID + "-1", Status: 200, Outcome: pipeline.InDoubt, Body: body}}
		return reply, nil
	})
	d := Decode(inner)
	var group sync.WaitGroup
	for range calls {
		group.Go(func() {
			reply, err := d.Fetch(t.Context(), lushatest.Companies(1))
			if call := &reply.Calls[0]; err != nil || call.Outcome != pipeline.Charged || call.Body != nil || call.AnswerBytes() != int64(len(text)) || reply.Items[0].Status != schema.Enriched {
				t.Errorf("Fetch() = %s, %d bytes in memory, %s, %v", call.Outcome, len(call.Body), reply.Items[0].Status, err)
			}
		})
	}
	group.Wait()
	if most.Load() != 1 {
		t.Errorf("%d long answers were in memory at a time, want 1", most.Load())
	}
	if !d.memory.TryAcquire(decodeMemory) {
		t.Fatal("memory is still taken")
	}
	short := lushatest.Companies(1)
	short.ID = "short"
	if reply, err := d.Fetch(t.Context(), short); err != nil || reply.Calls[0].Outcome != pipeline.Charged {
		t.Errorf("a short answer waits for long ones: %v", err)
	}
}
