package ratelimit_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/ratelimit"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/pipeline"
)

// fullTests enables all cases; without it the day of the largest plans is tested with one clock
// offset only.
var fullTests = proof.IsFull()

// countingAPI counts the calls of an api by the windows of its own clock.
type countingAPI struct {
	api
	mu    sync.Mutex
	hours map[time.Time]int64 // admitted calls
	days  map[time.Time]int64
}

func newCountingAPI(a api) *countingAPI {
	return &countingAPI{api: a, hours: map[time.Time]int64{}, days: map[time.Time]int64{}}
}

func (c *countingAPI) count(now time.Time) (int, string, pipeline.Rate) {
	status, message, rate := c.api.count(now)
	c.mu.Lock()
	defer c.mu.Unlock()
	if status == 200 {
		c.hours[now.UTC().Truncate(time.Hour)]++
		c.days[now.UTC().Truncate(24*time.Hour)]++
	}
	return status, message, rate
}

// runOtherClient uses the account, too: bursts of calls, a fifth of a second apart, at random
// moments of every hour, until it has used its share of each window.
func runOtherClient(ctx context.Context, a api, skew time.Duration, p ratelimit.Plan, share float64) (refused int) {
	random := rand.New(rand.NewPCG(3, 4))
	day := int(share * float64(p.Day))
	hour := int(share * float64(p.Hour))
	if p.Hour == 0 {
		hour = max(1, day/8)
	}
	burst := max(1, int(share*float64(p.Minute)))
	sleep := func(d time.Duration) bool {
		select {
		case <-time.After(d):
			return true
		case <-ctx.Done():
			return false
		}
	}
	for day > 0 {
		end := time.Now().Add(skew).Truncate(time.Hour).Add(time.Hour).Add(-skew)
		for left := min(hour, day); left > 0; {
			bursts := (left + burst - 1) / burst
			gap := time.Until(end) / time.Duration(bursts+1)
			if !sleep(time.Duration(float64(gap) * (0.5 + random.Float64()))) {
				return refused
			}
			// Within one minute of the server, not across two.
			if second := time.Now().Add(skew).Second(); second > 50 && !sleep(10*time.Second) {
				return refused
			}
			for range min(burst, left) {
				if status, _, _ := a.count(time.Now().Add(skew)); status == 429 {
					refused++
				}
				left, day = left-1, day-1
				if !sleep(200 * time.Millisecond) {
					return refused
				}
			}
		}
		if !sleep(time.Until(end)) {
			return refused
		}
	}
	return refused
}

// TestDay: for a day of the simulator's clock, eight workers make as many calls as possible,
// together with another client that takes a tenth of each window in bursts. No call is refused, and
// both together use at least 97 % of the day's limit, and of the hour's limit in each hour in which
// the day is not yet used up.
func TestDay(t *testing.T) {
	for _, p := range ratelimit.Plans {
		for _, skew := range []time.Duration{30 * time.Second, -30 * time.Second} {
			large := p.Name == "scale" || p.Name == "premium"
			if p.Name == "starter" || p.Name == "unlimited" || large && (!proof.IsShort() || !proof.IsFull() && skew > 0) {
				continue
			}
			t.Run(p.Name+" "+skew.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					server := newCountingAPI(newSimulated(t, simulator.Config{Plan: p.Name}))
					midnight := time.Now().UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
					time.Sleep(time.Until(midnight.Add(-skew))) // by the server's clock
					ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(24*time.Hour))
					defer cancel()
					w := newWire(server, skew, 300*time.Millisecond)
					l := openLimiter(t, ratelimit.Config{Plan: p, Reserve: ratelimit.Reserve{Share: 0.1}, MaxWait: 48 * time.Hour})
					done := make(chan int)
					go func() { done <- runOtherClient(ctx, server, skew, p, 0.1) }()
					runWorkers(ctx, t, ratelimit.Limit(w, l, classify), 0, 8)
					theirs := <-done
					if n := total(w.refused) + theirs; n > 0 {
						t.Errorf("refused: %v of ours, %d of theirs, want none", w.refused, theirs)
					}
					used := server.days[midnight]
					if float64(used) < 0.97*float64(p.Day) {
						t.Errorf("%d of the day's %d calls were used, want 97 %%", used, p.Day)
					}
					var hours, sum int64
					for at, soFar := midnight, int64(0); p.Hour > 0 && soFar+p.Hour <= used; at = at.Add(time.Hour) {
						soFar += server.hours[at]
						sum += server.hours[at]
						hours++
					}
					if hours > 0 && float64(sum) < 0.97*float64(hours*p.Hour) {
						t.Errorf("%d of %d calls were used in the first %d hours, want 97 %%", sum, hours*p.Hour, hours)
					}
					t.Logf("%s: %d calls of ours; day %.2f %%; %d full hours %.2f %%", p.Name, w.calls, 100*float64(used)/float64(p.Day), hours, 100*float64(sum)/float64(max(1, hours*p.Hour)))
				})
			})
		}
	}
}

// TestAlone: however the server's windows are aligned, a client that is alone on the account is
// never refused. The windows used all day are those of the table, and some in which only the minute
// or the hour counts.
func TestAlone(t *testing.T) {
	plans := []ratelimit.Plan{
		{Name: "free", Minute: 40, Day: 100},
		{Name: "pro", Minute: 50, Hour: 150, Day: 1500},
		{Name: "legacy", Minute: 300, Hour: 600, Day: 6000},
		{Name: "minute", Minute: 50},
		{Name: "hour", Minute: 300, Hour: 600},
	}
	for _, p := range plans {
		for _, alignment := range []string{"utc", "first", "rolling"} {
			for _, silent := range []bool{false, true} {
				name := p.Name + " " + alignment
				if silent {
					name += " without headers"
				}
				if silent && !fullTests && p.Name != "pro" || p.Name == "legacy" && alignment != "utc" && !proof.IsShort() {
					continue
				}
				t.Run(name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						time.Sleep(10*time.Hour + 17*time.Minute + 33*time.Second)
						length := time.Duration(proof.Size(25, 49, 49)) * time.Hour
						switch {
						case p.Name == "hour" && !fullTests:
							length = time.Duration(proof.Size(3, 25, 25)) * time.Hour
						case p.Name == "minute":
							length = 2 * time.Hour
						}
						ctx, cancel := context.WithTimeout(t.Context(), length)
						defer cancel()
						w := newWire(newModel(alignment, p), 30*time.Second, 300*time.Millisecond)
						w.noHeaders = silent
						l := openLimiter(t, ratelimit.Config{Plan: p, MaxWait: 48 * time.Hour})
						runWorkers(ctx, t, ratelimit.Limit(w, l, classify), 0, 8)
						if total(w.refused) > 0 {
							t.Errorf("refused: %v of %d, want none", w.refused, w.calls)
						}
						// As many as fit, however the windows are aligned: whole days, and the
						// hours or minutes of the last one.
						allowed := int64(0)
						for rest := length; rest > 0; rest -= 24 * time.Hour {
							part := int64(1 << 62)
							for i, n := range []int64{p.Minute, p.Hour, p.Day} {
								if n > 0 {
									part = min(part, n*int64((min(rest, 24*time.Hour)+realSpans[i]-1)/realSpans[i]))
								}
							}
							allowed += part
						}
						share := float64(w.calls) / float64(allowed)
						t.Logf("%d calls, %.2f %% of %d", w.calls, 100*share, allowed)
						if share < 0.97 {
							t.Errorf("%.2f %% of what is allowed was used, want 97 %%", 100*share)
						}
					})
				})
			}
		}
	}
}
