package signals

import (
	"context"
	"time"

	"github.com/siglake/siglake/pipeline"
)

// sleep sleeps until d has passed; false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	if ctx.Err() != nil {
		return false
	}
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// interruptedStop is the reason of whoever was waiting when ctx ended.
func interruptedStop() *pipeline.Stop {
	return &pipeline.Stop{
		Kind:   pipeline.StopInterrupted,
		Reason: "stopped on request",
		Advice: "run again to ask about the rest",
	}
}
