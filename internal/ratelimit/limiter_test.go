package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/ratelimit"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// TestShared: two limiters on one directory act as one. They have their own file handles, like two
// processes.
func TestShared(t *testing.T) {
	for _, name := range []string{"free", "pro"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, _ := ratelimit.PlanByName(name)
				server := newCountingAPI(newSimulated(t, simulator.Config{Plan: p.Name}))
				midnight := time.Now().UTC().Add(24 * time.Hour)
				time.Sleep(24*time.Hour + 30*time.Second)
				const skew = -30 * time.Second
				ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
				defer cancel()
				theirs := make(chan int)
				go func() { theirs <- runOtherClient(ctx, server, skew, p, 0.1) }()
				cfg := ratelimit.Config{Dir: t.TempDir(), Account: "a1", Plan: p, Reserve: ratelimit.Reserve{Share: 0.1}, MaxWait: 48 * time.Hour}
				first, second := newWire(server, skew, 300*time.Millisecond), newWire(server, skew, 300*time.Millisecond)
				done := make(chan struct{})
				go func() {
					defer close(done)
					runWorkers(ctx, t, ratelimit.Limit(second, openLimiter(t, cfg), classify), 0, 4)
				}()
				runWorkers(ctx, t, ratelimit.Limit(first, openLimiter(t, cfg), classify), 0, 4)
				<-done
				if n := total(first.refused) + total(second.refused) + <-theirs; n > 0 {
					t.Errorf("refused: %v and %v of ours, %d in all, want none", first.refused, second.refused, n)
				}
				if used := server.days[midnight]; float64(used) < 0.97*float64(p.Day) || first.calls == 0 || second.calls == 0 {
					t.Errorf("%d + %d calls of ours, %d of the day's %d in all, want both and 97 %%", first.calls, second.calls, used, p.Day)
				}
				t.Logf("%s: %d + %d calls of ours, %d of the day's %d in all", name, first.calls, second.calls, server.days[midnight], p.Day)
			})
		})
	}
}

// TestSharedSecond: two limiters on one directory share the calls per second, too.
func TestSharedSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(newModel("utc", ratelimit.Plan{Minute: 10000}), 0, 0)
		cfg := ratelimit.Config{Dir: t.TempDir(), Plan: ratelimit.Plan{Minute: 10000}}
		done := make(chan struct{})
		go func() {
			defer close(done)
			runWorkers(t.Context(), t, ratelimit.Limit(w, openLimiter(t, cfg), classify), 100, 4)
		}()
		runWorkers(t.Context(), t, ratelimit.Limit(w, openLimiter(t, cfg), classify), 100, 4)
		<-done
		for i := range w.times[:len(w.times)-25] {
			if d := w.times[i+25].Sub(w.times[i]); d < time.Second-time.Millisecond {
				t.Fatalf("calls %d to %d came within %s, want a second", i, i+25, d)
			}
		}
	})
}

// TestRestart: calls made before a restart count after it, without a statement of the server, and
// however its windows are aligned.
func TestRestart(t *testing.T) {
	for _, alignment := range []string{"utc", "first", "rolling"}[proof.Size(2, 0, 0):] {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(10*time.Hour + 17*time.Minute)
			p, _ := ratelimit.PlanByName("pro")
			w := newWire(newModel(alignment, p), 0, 300*time.Millisecond)
			w.noHeaders = true
			cfg := ratelimit.Config{Dir: t.TempDir(), Account: "a1", Plan: p, MaxWait: 48 * time.Hour}
			for range 40 {
				l, err := ratelimit.Open(cfg)
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 31*time.Minute)
				runWorkers(ctx, t, ratelimit.Limit(w, l, classify), 0, 8)
				cancel()
				l.Close()
			}
			if total(w.refused) > 0 || w.calls < 1455 {
				t.Errorf("%s: %d calls in 20 hours, refused %v, want 1500 and none", alignment, w.calls, w.refused)
			}
		})
	}
}

// TestLostState: without the state, the first answer shows what is left, and no second call is made
// before it.
func TestLostState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := ratelimit.PlanByName("pro")
		server := newModel("utc", p)
		for range 148 {
			server.used[1]++
			server.used[2]++
		}
		server.start = [3]time.Time{time.Now().UTC(), time.Now().UTC(), time.Now().UTC()}
		w := newWire(server, 0, time.Second)
		l := openLimiter(t, ratelimit.Config{Plan: p})
		_, stop := runWorkers(t.Context(), t, ratelimit.Limit(w, l, classify), 0, 8)
		if w.calls != 2 || total(w.refused) > 0 {
			t.Errorf("%d calls, refused %v, want the 2 that were left and none", w.calls, w.refused)
		}
		if stop == nil || stop.Kind != pipeline.StopQuota {
			t.Errorf("stop = %v, want quota", stop)
		}
	})
}

// TestOthersTookAll: if others have used up the hour, calls wait for it by the server's clock, and
// not a second longer. The first call shows what is left.
func TestOthersTookAll(t *testing.T) {
	for _, skew := range []time.Duration{-30 * time.Second, 0, 30 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(10*time.Hour + 17*time.Minute)
			p, _ := ratelimit.PlanByName("pro")
			server := newModel("utc", p)
			for range 149 {
				if server.used[0] = 0; server.limits[0] > 0 {
					server.count(time.Now().Add(skew))
				}
			}
			server.used[0] = 0
			w := newWire(server, skew, 300*time.Millisecond)
			l := openLimiter(t, ratelimit.Config{Plan: p, MaxWait: time.Hour})
			runWorkers(t.Context(), t, ratelimit.Limit(w, l, classify), 40, 8)
			at := w.times[1].UTC() // by the server's clock
			if late := at.Sub(at.Truncate(time.Hour)); at.Hour() != 11 || late > 3*time.Second || total(w.refused) > 0 {
				t.Errorf("skew %s: the second call came at %s, refused %v, want 11:00:01 and none", skew, at.Format(time.TimeOnly), w.refused)
			}
		})
	}
}

// TestDamaged: an unreadable state is copied aside, with a warning.
func TestDamaged(t *testing.T) {
	for name, content := range map[string]string{
		"garbage":       strings.Repeat("garbage", 2000),
		"short":         "slquota1",
		"later version": "slquota2" + strings.Repeat("\x00", 20000),
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, "quota-a1")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		var notes []string
		l := openLimiter(t, ratelimit.Config{Dir: dir, Account: "a1", Warn: func(s string) { notes = append(notes, s) }})
		if kept, err := os.ReadFile(file + ".damaged"); err != nil || string(kept) != content || len(notes) != 1 {
			t.Errorf("%s: saved %d bytes, %v, warnings %q, want all of them and one warning", name, len(kept), err, notes)
		}
		w := newWire(newModel("utc", ratelimit.Plan{Minute: 40}), 0, 0)
		runWorkers(t.Context(), t, ratelimit.Limit(w, l, classify), 3, 1)
		if here := l.State().Windows[0].Recent; here != 3 || len(notes) != 1 {
			t.Errorf("%s: afterwards %d calls are counted, warnings %q, want 3 and no further warning", name, here, notes)
		}
		if here := openLimiter(t, ratelimit.Config{Dir: dir, Account: "a1"}).State().Windows[0].Recent; here != 3 {
			t.Errorf("%s: after another Open %d calls are counted, want 3", name, here)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ratelimit.Open(ratelimit.Config{Dir: filepath.Join(file, "x")}); err == nil {
		t.Error("Open below a file = nil, want an error")
	}
	if _, err := ratelimit.Open(ratelimit.Config{Dir: t.TempDir(), Account: "../key"}); err == nil {
		t.Error("Open for account ../key = nil, want an error")
	}
}

// TestDiedInFlight: calls of a process that died stop being in flight, and count as made.
func TestDiedInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := ratelimit.Config{Dir: t.TempDir(), Plan: ratelimit.Plan{Hour: 2}, MaxWait: 2 * time.Hour}
		stuck := fetcherFunc(func(_ context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
			<-t.Context().Done()
			return pipeline.NewReply(b, "not sent"), nil
		})
		go ratelimit.Limit(stuck, openLimiter(t, cfg), classify).Fetch(t.Context(), batch(1))
		synctest.Wait()
		w := newWire(newModel("utc", ratelimit.Plan{}), 0, 0)
		took, _ := runWorkers(t.Context(), t, ratelimit.Limit(w, openLimiter(t, cfg), classify), 2, 1)
		// The first call waits until the one in flight expires, the second for an hour after that.
		if took < time.Hour+90*time.Second || took > time.Hour+110*time.Second {
			t.Errorf("two more calls took %s, want an hour and 90 s", took)
		}
	})
}

type fetcherFunc func(context.Context, *pipeline.Batch) (*pipeline.Reply, error)

func (f fetcherFunc) Fetch(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	return f(ctx, b)
}

// scripted returns the given answers, one after another, then successes.
func scripted(calls ...pipeline.Call) fetcherFunc {
	return func(_ context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
		call := pipeline.Call{Status: 200, Outcome: pipeline.Charged, Rate: unstatedRate}
		if len(calls) > 0 {
			call, calls = calls[0], calls[1:]
		}
		call.Sent = time.Now()
		return replyWith(b, call), nil
	}
}

var (
	unstatedWindow = pipeline.Window{Limit: -1, Used: -1, Left: -1}
	unstatedRate   = pipeline.Rate{Minute: unstatedWindow, Hour: unstatedWindow, Day: unstatedWindow}
)

func newRefusal(message string) pipeline.Call {
	return pipeline.Call{Status: 429, Outcome: pipeline.NotCharged, Problem: message, Rate: unstatedRate}
}

// TestRefusals: each kind of 429 has its wait, or its stop.
func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		name    string
		message string
		maxWait time.Duration
		// When the next call is made; the first is at 01:30:00.
		second time.Duration
		stop   time.Duration // time until it may be made
	}{
		{"burst", "slow down", 0, 80 * time.Millisecond, 0},
		{"hour, waited for", "Hourly request limit reached. Reset in 600 seconds", time.Hour, 601 * time.Second, 0},
		{"hour, not waited for", "Hourly request limit reached. Reset in 600 seconds", time.Minute, 0, 601 * time.Second},
		{"hour, no time", "Hourly limit", time.Hour, 30*time.Minute + 31*time.Second, 0},
		{"day", "Daily request limit reached", time.Hour, 0, 22*time.Hour + 30*time.Minute + 31*time.Second},
		{"trial", "The requests of your trial are used up", 0, 40 * time.Millisecond, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(90 * time.Minute)
				classifyTrial := func(call *pipeline.Call) (ratelimit.Refusal, time.Duration) {
					if strings.Contains(call.Problem, "trial") {
						return ratelimit.NoRefusal, 0
					}
					return classify(call)
				}
				for _, plan := range []ratelimit.Plan{{Minute: 1000, Hour: 1000, Day: 1000}, {Name: "unlimited"}} {
					start := time.Now()
					l := openLimiter(t, ratelimit.Config{Plan: plan, MaxWait: tt.maxWait})
					f := ratelimit.Limit(scripted(newRefusal(tt.message)), l, classifyTrial)
					if _, err := f.Fetch(t.Context(), batch(1)); err != nil {
						t.Fatal(err)
					}
					_, err := f.Fetch(t.Context(), batch(1))
					var stop *pipeline.Stop
					switch took := time.Since(start); {
					case tt.stop > 0 && (!errors.As(err, &stop) || stop.Kind != pipeline.StopQuota || stop.RetryAt.Sub(start).Round(time.Second) != tt.stop || took > time.Second):
						t.Errorf("%s: Fetch() = %v after %s, want quota at once until %s", plan.Name, err, took, start.Add(tt.stop))
					case tt.stop == 0 && (err != nil || took.Round(time.Millisecond) != tt.second):
						t.Errorf("%s: Fetch() = %v after %s, want %s", plan.Name, err, took, tt.second)
					}
					if tt.second > time.Minute {
						break
					}
				}
			})
		})
	}
}

// TestBurst: a burst refusal halves the speed, which recovers slowly.
func TestBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := openLimiter(t, ratelimit.Config{Plan: ratelimit.Plan{Minute: 10000}})
		f := ratelimit.Limit(scripted(newRefusal("slow"), newRefusal("slow")), l, classify)
		for i, want := range []float64{12.5, 6.25, 6.75} {
			if _, err := f.Fetch(t.Context(), batch(1)); err != nil {
				t.Fatal(err)
			}
			if got := l.State().PerSecond; got != want {
				t.Errorf("after call %d: %v calls a second, want %v", i+1, got, want)
			}
		}
		runWorkers(t.Context(), t, f, 100, 1)
		if got := l.State().PerSecond; got != 25 {
			t.Errorf("after 100 successful calls: %v a second, want 25", got)
		}
	})
}

// TestMaxWait: calls wait for the minute, and for the hour if it resets soon enough.
func TestMaxWait(t *testing.T) {
	for _, tt := range []struct {
		plan   ratelimit.Plan
		wait   time.Duration
		calls  int
		atMost time.Duration
		stop   time.Duration
	}{
		{ratelimit.Plan{Minute: 40}, 0, 200, 5 * time.Minute, 0},
		{ratelimit.Plan{Minute: 300, Hour: 150}, time.Hour, 400, 3 * time.Hour, 0},
		{ratelimit.Plan{Minute: 300, Hour: 150}, 30 * time.Minute, 150, 15 * time.Second, time.Hour},
		{ratelimit.Plan{Minute: 300, Day: 100}, 2 * time.Hour, 100, 15 * time.Second, 24 * time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(33 * time.Second)
			w := newWire(newModel("utc", tt.plan), 0, 300*time.Millisecond)
			took, stop := runWorkers(t.Context(), t, ratelimit.Limit(w, openLimiter(t, ratelimit.Config{Plan: tt.plan, MaxWait: tt.wait}), classify), max(200, tt.calls), 8)
			if w.calls != tt.calls || took > tt.atMost || total(w.refused) > 0 || (stop != nil) != (tt.stop > 0) {
				t.Errorf("%+v, wait %s: %d calls in %s, refused %v, stop %v, want %d within %s", tt.plan, tt.wait, w.calls, took, w.refused, stop, tt.calls, tt.atMost)
			}
			// The first slot becomes free one span after the first answer.
			if d := time.Duration(0); stop != nil {
				if d = stop.RetryAt.Sub(time.Now().Add(-took)); d < tt.stop || d > tt.stop+tt.stop/100 {
					t.Errorf("%+v: may run again after %s, want %s", tt.plan, d, tt.stop)
				}
			}
		})
	}
}

// TestOnWait: OnWait is called when a long wait begins, once per window, by the first of the
// waiting calls.
func TestOnWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(33 * time.Second)
		plan := ratelimit.Plan{Minute: 40, Hour: 100}
		var mu sync.Mutex
		notified := map[string]int{}
		begun := time.Now()
		cfg := ratelimit.Config{Plan: plan, MaxWait: 2 * time.Hour, OnWait: func(window string, until time.Time) {
			mu.Lock()
			defer mu.Unlock()
			notified[window]++
			if wait := time.Until(until); wait <= 5*time.Second || wait > 61*time.Minute {
				t.Errorf("OnWait was called for a wait of %[2]s for the %[1]s", window, wait)
			}
		}}
		w := newWire(newModel("utc", plan), 0, 300*time.Millisecond)
		if _, stop := runWorkers(t.Context(), t, ratelimit.Limit(w, openLimiter(t, cfg), classify), 200, 8); stop != nil {
			t.Fatal(stop)
		}
		minutes := int(time.Since(begun) / time.Minute)
		if notified["hour"] != 1 || notified["minute"] < 2 || notified["minute"] > minutes+1 || len(notified) != 2 {
			t.Errorf("OnWait was called for %v in %d minutes, want once for the hour, and 2 or more times for minutes", notified, minutes)
		}
	})
}

// TestCancel: ctx ends a wait at once, for a window and for the start, and an unused slot is free
// again.
func TestCancel(t *testing.T) {
	for name, cfg := range map[string]ratelimit.Config{
		"window":    {Plan: ratelimit.Plan{Minute: 1}},
		"turn":      {Plan: ratelimit.Plan{Minute: 9}, PerSecond: 1.0 / 1.6},
		"unlimited": {Plan: ratelimit.Plan{Name: "unlimited"}, PerSecond: 0.1},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := openLimiter(t, cfg)
			f := ratelimit.Limit(scripted(), l, classify)
			if _, err := f.Fetch(t.Context(), batch(1)); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			start := time.Now()
			reply, err := f.Fetch(ctx, batch(2))
			var stop *pipeline.Stop
			if !errors.As(err, &stop) || stop.Kind != pipeline.StopInterrupted || time.Since(start) != time.Second {
				t.Errorf("%s: Fetch() = %v after %s, want interrupted after 1s", name, err, time.Since(start))
			}
			if len(reply.Items) != 2 || reply.Items[1].Status != schema.Deferred || reply.Items[1].Reason == "" || len(reply.Calls) != 0 {
				t.Errorf("%s: reply = %+v, want two deferred items", name, reply)
			}
			if s := l.State(); s.InFlight != 0 || name != "unlimited" && s.Windows[0].Recent != 1 {
				t.Errorf("%s: afterwards\n%v want 1 call, none in flight", name, s)
			}
		})
	}
}

// TestCancelInWords: the reason of an interrupted run says that it was stopped, not how the program
// noticed.
func TestCancelInWords(t *testing.T) {
	for _, tt := range []struct {
		cause error
		want  string
	}{
		{nil, "stopped on request"},
		{errors.New("the night is over"), "the night is over"},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := openLimiter(t, ratelimit.Config{Plan: ratelimit.Plan{Minute: 1}})
			f := ratelimit.Limit(scripted(), l, classify)
			if _, err := f.Fetch(t.Context(), batch(1)); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			cancelled := time.AfterFunc(time.Second, func() { cancel(tt.cause) })
			defer cancelled.Stop()
			_, err := f.Fetch(ctx, batch(1))
			var stop *pipeline.Stop
			if !errors.As(err, &stop) || !strings.Contains(stop.Reason, tt.want) {
				t.Errorf("Fetch() = %v, want a stop that contains %q", err, tt.want)
			}
		})
	}
}

// TestOnTheWire: ctx does not interrupt an admitted call.
func TestOnTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(newModel("utc", ratelimit.Plan{Minute: 40}), 0, 10*time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		reply, err := ratelimit.Limit(w, openLimiter(t, ratelimit.Config{}), classify).Fetch(ctx, batch(1))
		if err != nil || len(reply.Calls) != 1 {
			t.Errorf("Fetch() = %+v, %v, want its call", reply, err)
		}
	})
}

// TestNotUsed: a batch that led to no request, or to one that was never sent, counts no call.
func TestNotUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, calls := range [][]pipeline.Call{nil, {{Outcome: pipeline.NotCharged, Rate: unstatedRate}}} {
			l := openLimiter(t, ratelimit.Config{Plan: ratelimit.Plan{Minute: 1, Day: 1}})
			f := ratelimit.Limit(fetcherFunc(func(_ context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
				reply := pipeline.NewReply(b, "not sent")
				reply.Calls = calls
				return reply, nil
			}), l, classify)
			start := time.Now()
			runWorkers(t.Context(), t, f, 5, 2)
			elapsed := time.Since(start)
			if s := l.State(); elapsed > time.Second || s.Windows[2].Recent != 0 || s.InFlight != 0 {
				t.Errorf("calls %+v: after %s\n%v want no call counted, at once", calls, elapsed, s)
			}
		}
	})
}

// TestReleased: a released admission is not taken for a call, which would hide one of another
// client.
func TestReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := ratelimit.Plan{Minute: 300, Day: 100}
		time.Sleep(time.Hour)
		server := newModel("utc", p)
		l := openLimiter(t, ratelimit.Config{Plan: p})
		runWorkers(t.Context(), t, ratelimit.Limit(newWire(server, 0, 0), l, classify), 1, 1)
		unused := fetcherFunc(func(_ context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
			return pipeline.NewReply(b, "not sent"), nil
		})
		runWorkers(t.Context(), t, ratelimit.Limit(unused, l, classify), 5, 1)
		for range 7 {
			server.count(time.Now())
		}
		runWorkers(t.Context(), t, ratelimit.Limit(newWire(server, 0, 0), l, classify), 1, 1)
		if day := l.State().Windows[2]; day.Recent != 2 || day.External != 7 || day.Left != 91 {
			t.Errorf("State() = %+v, want 2 here, 7 of others, 91 left", day)
		}
	})
}

// TestSlowerThanTimeout: a call that expired, and ends after all, counts once.
func TestSlowerThanTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := openLimiter(t, ratelimit.Config{Plan: ratelimit.Plan{Day: 100}, Timeout: time.Second})
		w := newWire(newModel("utc", ratelimit.Plan{}), 0, 10*time.Second)
		go func() {
			time.Sleep(2 * time.Second)
			l.State()
		}()
		runWorkers(t.Context(), t, ratelimit.Limit(w, l, classify), 1, 1)
		if s := l.State(); s.Windows[2].Recent != 1 || s.InFlight != 0 {
			t.Errorf("State() = %v, want one call, none in flight", s)
		}
	})
}

// TestUpdateWindows: the statement of the usage page applies before the first call, and so does its
// reset time.
func TestUpdateWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := openLimiter(t, ratelimit.Config{})
		reset := time.Now().Add(5 * time.Hour)
		l.UpdateWindows(pipeline.Rate{Minute: unstatedWindow, Hour: unstatedWindow, Day: pipeline.Window{Limit: 100, Used: 100, Left: 0}}, [3]time.Time{2: reset})
		_, err := ratelimit.Limit(scripted(), l, classify).Fetch(t.Context(), batch(1))
		var stop *pipeline.Stop
		// The server's clock may be half a minute behind.
		if !errors.As(err, &stop) || stop.Kind != pipeline.StopQuota || stop.RetryAt.Sub(reset) != 31*time.Second {
			t.Errorf("Fetch() = %v, want quota until %s", err, reset)
		}
		if s := l.State().Windows[2]; s.Limit != 100 || s.Left != 0 || s.External != 100 || !s.ResetAt.Equal(stop.RetryAt) {
			t.Errorf("State() = %+v, want 100, 0, 100, %s", s, stop.RetryAt)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		// What is left is used, and no more.
		time.Sleep(time.Hour)
		p := ratelimit.Plan{Minute: 300, Day: 100}
		server := newModel("utc", p)
		for range 95 {
			server.count(time.Now())
		}
		l := openLimiter(t, ratelimit.Config{Plan: p})
		l.UpdateWindows(pipeline.Rate{Minute: unstatedWindow, Hour: unstatedWindow, Day: pipeline.Window{Limit: 100, Used: 95, Left: 5}}, [3]time.Time{})
		w := newWire(server, 0, time.Second)
		if runWorkers(t.Context(), t, ratelimit.Limit(w, l, classify), 0, 8); w.calls != 5 || total(w.refused) > 0 {
			t.Errorf("%d calls, refused %v, want 5 and none", w.calls, w.refused)
		}
	})
}

// TestAddCalls: calls to free endpoints count, too.
func TestAddCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := openLimiter(t, ratelimit.Config{Plan: ratelimit.Plan{Minute: 300, Day: 100}})
		l.AddCalls(3)
		w := newWire(newModel("utc", ratelimit.Plan{}), 0, 0)
		if runWorkers(t.Context(), t, ratelimit.Limit(w, l, classify), 0, 4); w.calls != 97 {
			t.Errorf("%d calls, want 97", w.calls)
		}
	})
}

// TestReserve: the reserve is left to others, but never everything.
func TestReserve(t *testing.T) {
	for _, tt := range []struct {
		reserve ratelimit.Reserve
		others  int
		want    int
	}{
		{ratelimit.Reserve{}, 0, 100},
		{ratelimit.Reserve{Day: 20}, 0, 80},
		{ratelimit.Reserve{Share: 0.2}, 0, 80},
		{ratelimit.Reserve{Share: 0.2, Day: 30}, 0, 70},
		{ratelimit.Reserve{Day: 20}, 15, 80}, // what they have used was reserved for them
		{ratelimit.Reserve{Day: 20}, 50, 50},
		{ratelimit.Reserve{Day: 1000}, 0, 1},
		{ratelimit.Reserve{Share: 2}, 0, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := ratelimit.Plan{Minute: 300, Day: 100}
			server := newModel("utc", p)
			for range tt.others {
				server.count(time.Now())
			}
			w := newWire(server, 0, time.Second)
			if runWorkers(t.Context(), t, ratelimit.Limit(w, openLimiter(t, ratelimit.Config{Plan: p, Reserve: tt.reserve}), classify), 0, 8); w.calls != tt.want {
				t.Errorf("%+v, %d calls by others: %d calls, want %d", tt.reserve, tt.others, w.calls, tt.want)
			}
		})
	}
}

// TestPlanCorrected: the limits in answers replace those of the plan, in both directions, and are
// kept until another plan is given.
func TestPlanCorrected(t *testing.T) {
	for _, limit := range []int64{20, 300} {
		synctest.Test(t, func(t *testing.T) {
			w := newWire(newModel("utc", ratelimit.Plan{Minute: limit}), 0, 300*time.Millisecond)
			cfg := ratelimit.Config{Dir: t.TempDir(), Plan: ratelimit.Plan{Minute: 40}}
			l := openLimiter(t, cfg)
			took, _ := runWorkers(t.Context(), t, ratelimit.Limit(w, l, classify), 600, 8)
			if want := time.Duration(600/limit) * time.Minute; total(w.refused) > 0 || took > want+want/50 {
				t.Errorf("600 calls at %d a minute took %s, refused %v, want %s", limit, took, w.refused, want)
			}
			if got := openLimiter(t, cfg).State().Windows[0]; got.Limit != limit || got.Left < 0 {
				t.Errorf("after a restart: %+v, want limit %d", got, limit)
			}
			cfg.Plan.Minute = 50
			if got := openLimiter(t, cfg).State().Windows[0]; got.Limit != 50 || got.Left >= 0 || got.Recent == 0 {
				t.Errorf("after another plan: %+v, want limit 50, left unknown", got)
			}
		})
	}
}

// TestUnlimited: without limits no file is written, and a stated limit takes effect.
func TestUnlimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := ratelimit.PlanByName("unlimited")
		dir := t.TempDir()
		l := openLimiter(t, ratelimit.Config{Dir: dir, Plan: p, PerSecond: -1})
		w := newWire(newSimulated(t, simulator.Config{Plan: "unlimited"}), 0, 0)
		start := time.Now()
		runWorkers(t.Context(), t, ratelimit.Limit(w, l, classify), 1000, 8)
		elapsed := time.Since(start)
		if info, err := os.Stat(filepath.Join(dir, "quota")); err != nil || info.Size() > 0 || elapsed != 0 {
			t.Errorf("1000 calls: %v, %v after %s, want an empty file at once", info, err, elapsed)
		}
		w = newWire(newModel("utc", ratelimit.Plan{Minute: 100}), 0, time.Second)
		runWorkers(t.Context(), t, ratelimit.Limit(w, l, classify), 1000, 8)
		elapsed = time.Since(start)
		if total(w.refused) > 0 || elapsed < 9*time.Minute {
			t.Errorf("1000 calls at 100 a minute took %s, refused %v, want 9 minutes or more, none refused", elapsed, w.refused)
		}
	})
}

func BenchmarkUnlimited(b *testing.B) {
	p, _ := ratelimit.PlanByName("unlimited")
	benchmark(b, ratelimit.Config{Dir: b.TempDir(), Plan: p, PerSecond: -1})
}

func BenchmarkMemory(b *testing.B) {
	benchmark(b, ratelimit.Config{Plan: ratelimit.Plan{Minute: 80_000_000}, PerSecond: -1})
}

func BenchmarkShared(b *testing.B) {
	benchmark(b, ratelimit.Config{Dir: b.TempDir(), Plan: ratelimit.Plan{Minute: 80_000_000}, PerSecond: -1})
}

func benchmark(b *testing.B, cfg ratelimit.Config) {
	f := ratelimit.Limit(scripted(), openLimiter(b, cfg), classify)
	one := batch(1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Fetch(b.Context(), one); err != nil {
			b.Fatal(err)
		}
	}
}

// TestRandom: whatever the plan, the clock, the answer times, the other clients and the windows
// are, a client that keeps within the reserve gets no 429.
func TestRandom(t *testing.T) {
	rounds := proof.Size(1, 4, 100)
	for seed := range uint64(rounds) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 7))
			time.Sleep(time.Duration(random.Int64N(int64(24 * time.Hour))))
			p := ratelimit.Plan{Minute: 20 + random.Int64N(100), Hour: 100 + random.Int64N(400), Day: 1000 + random.Int64N(1000)}
			alignment := []string{"utc", "first", "rolling"}[random.IntN(3)]
			skew := time.Duration(random.Int64N(int64(time.Minute))) - 30*time.Second
			answer := time.Duration(random.Int64N(int64(5 * time.Second)))
			workers := 1 + random.IntN(12)
			server := newCountingAPI(newModel(alignment, p))
			w := newWire(server, skew, answer)
			cfg := ratelimit.Config{Plan: p, MaxWait: 48 * time.Hour, Dir: t.TempDir()}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Hour)
			defer cancel()
			name := fmt.Sprintf("seed %d: %+v %s skew %s answer %s workers %d", seed, p, alignment, skew, answer, workers)
			theirs := make(chan int, 1)
			if theirs <- 0; alignment == "utc" && random.IntN(2) == 0 {
				name += " with another client"
				cfg.Reserve.Share = 0.1
				<-theirs
				go func() { theirs <- runOtherClient(ctx, server, skew, p, 0.1) }()
			}
			for ctx.Err() == nil { // restarts now and then
				part, cancel := context.WithTimeout(ctx, time.Duration(random.Int64N(int64(10*time.Hour))))
				runWorkers(part, t, ratelimit.Limit(w, openLimiter(t, cfg), classify), 0, workers)
				cancel()
			}
			if n := total(w.refused) + <-theirs; n > 0 {
				t.Errorf("%s: refused %v, %d in all, of %d", name, w.refused, n, w.calls)
			}
			t.Logf("%s: %d calls", name, w.calls)
		})
	}
}
