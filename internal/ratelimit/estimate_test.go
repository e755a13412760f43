package ratelimit_test

import (
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/ratelimit"
)

// TestEstimateDuration: the estimate is right to within 5 %, or 1.5 s, for an unused account and
// for one in the middle of a run.
func TestEstimateDuration(t *testing.T) {
	unlimited, _ := ratelimit.PlanByName("unlimited")
	for _, tt := range []struct {
		plan  ratelimit.Plan
		sizes []int
	}{
		{ratelimit.Plans[0], []int{1, 30, 90, 250}},
		{ratelimit.Plans[2], []int{20, 200, 2000, 4000}},
		{ratelimit.Plans[3], []int{500, 5000, 20000}},
		{ratelimit.Plans[4], []int{1000, 30000}},
		{ratelimit.Plans[5], []int{250, 1000, 7000}},
		{unlimited, []int{1, 5000}},
		{ratelimit.Plan{Name: "minute", Minute: 50}, []int{40, 2000}},
		{ratelimit.Plan{Name: "slow answers", Minute: 300}, []int{100, 2000}},
	} {
		for _, reserve := range []float64{0, 0.1} {
			for _, before := range []int{0, 35} {
				for _, n := range tt.sizes {
					if n > proof.Size(500, 10000, math.MaxInt) && (before > 0 || reserve > 0 || n > proof.Size(2000, math.MaxInt, math.MaxInt)) || !fullTests && reserve > 0 && before > 0 {
						continue
					}
					name := fmt.Sprintf("%s %d after %d reserve %v", tt.plan.Name, n, before, reserve)
					synctest.Test(t, func(t *testing.T) {
						time.Sleep(10*time.Hour + 17*time.Minute + 33*time.Second)
						answer, workers := 330*time.Millisecond, 8 // the mean of the wire's answers
						w := newWire(newModel("utc", tt.plan), 10*time.Second, 300*time.Millisecond)
						if tt.plan.Name == "slow answers" {
							answer, workers = 4400*time.Millisecond, 4
							w.answer = 4 * time.Second
						}
						l := openLimiter(t, ratelimit.Config{Plan: tt.plan, Reserve: ratelimit.Reserve{Share: reserve}, MaxWait: 1000 * time.Hour})
						f := ratelimit.Limit(w, l, classify)
						if before > 0 {
							runWorkers(t.Context(), t, f, before, workers)
						}
						estimated := l.EstimateDuration(int64(n), 0, time.Now(), answer, workers)
						took, stop := runWorkers(t.Context(), t, f, n, workers)
						if d := (estimated - took).Abs(); stop != nil || d > took/20 && d > 1500*time.Millisecond {
							t.Errorf("%s: estimated %s, took %s, stop %v", name, estimated, took, stop)
						}
						if total(w.refused) > 0 {
							t.Errorf("%s: refused %v", name, w.refused)
						}
						t.Logf("%s: estimated %s, took %s, off by %.2f %%", name, estimated.Round(time.Second), took.Round(time.Second), 100*(estimated-took).Seconds()/took.Seconds())
					})
				}
			}
		}
	}
}

// TestEstimateDurationLarge: an estimate of months is right, and leaves the limiter's state as it is.
func TestEstimateDurationLarge(t *testing.T) {
	scale, _ := ratelimit.PlanByName("scale")
	l := openLimiter(t, ratelimit.Config{Plan: scale})
	before := l.State()
	start := time.Now()
	got := l.EstimateDuration(50000*100, 0, start, 300*time.Millisecond, 8)
	if days := got.Hours() / 24; days < 99 || days > 101 {
		t.Errorf("EstimateDuration(100 days of calls) = %.1f days, want 100", days)
	}
	if after := l.State(); after != before {
		t.Errorf("state %+v, want %+v", after, before)
	}
	if got := l.EstimateDuration(0, 0, start, time.Second, 1); got != 0 {
		t.Errorf("no calls: %s, want 0", got)
	}
}

// BenchmarkEstimateDuration estimates a hundred days of calls.
func BenchmarkEstimateDuration(b *testing.B) {
	scale, _ := ratelimit.PlanByName("scale")
	l := openLimiter(b, ratelimit.Config{Plan: scale})
	for b.Loop() {
		l.EstimateDuration(50000*100, 0, time.Now(), 300*time.Millisecond, 8)
	}
}
