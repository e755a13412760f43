package policy

import (
	"context"
	"time"

	"github.com/siglake/siglake/pipeline"
)

// Sleep waits for d and reports whether it elapsed before ctx ended.
func Sleep(ctx context.Context, d time.Duration) bool {
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

// interruptedStop is the reason to stop when ctx ends during a wait.
func interruptedStop() *pipeline.Stop {
	return &pipeline.Stop{
		Kind:   pipeline.StopInterrupted,
		Reason: "stopped on request",
		Advice: "run again to request the rest",
	}
}
