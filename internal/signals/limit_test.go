package signals

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/siglake/siglake/pipeline"
)

// quotaAPI counts requests as the vendor is taken to: in windows aligned to
// UTC, at a moment between sending and answering.
type quotaAPI struct {
	mu      sync.Mutex
	latency time.Duration
	limits  [3]int64
	used    [3]int64
	start   [3]time.Time
	sent    []time.Time
	over    int // requests beyond a limit
	silent  bool
	others  int64 // requests that other users of the account have made in each window
}

var spans = [3]time.Duration{time.Minute, time.Hour, 24 * time.Hour}

func (q *quotaAPI) Fetch(_ context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	sent := time.Now()
	time.Sleep(q.latency / 2)
	q.mu.Lock()
	call := pipeline.Call{ID: b.ID + "-1", Sent: sent, Status: 200, Outcome: pipeline.Charged, Rate: rateOf(nil)}
	now := time.Now()
	q.sent = append(q.sent, now)
	windows := []*pipeline.Window{&call.Rate.Minute, &call.Rate.Hour, &call.Rate.Day}
	for i, span := range spans {
		if at := now.UTC().Truncate(span); !at.Equal(q.start[i]) {
			q.start[i], q.used[i] = at, q.others
		}
		q.used[i]++
		if q.limits[i] == 0 {
			continue
		}
		if q.used[i] > q.limits[i] {
			q.over++
		}
		if !q.silent {
			*windows[i] = pipeline.Window{Limit: q.limits[i], Used: q.used[i], Left: max(0, q.limits[i]-q.used[i])}
		}
	}
	q.mu.Unlock()
	time.Sleep(q.latency / 2)
	return &pipeline.Reply{Calls: []pipeline.Call{call}}, nil
}

// ask sends n requests through workers and gives the time it took and the
// first stop.
func ask(t *testing.T, f pipeline.Fetcher, n, workers int) (took time.Duration, stop *pipeline.Stop) {
	start := time.Now()
	work := make(chan int, n)
	for i := range n {
		work <- i
	}
	close(work)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range work {
				reply, err := f.Fetch(t.Context(), companies(1))
				mu.Lock()
				if err != nil && stop == nil && !errors.As(err, &stop) {
					t.Errorf("Fetch() = %v, want a stop", err)
				}
				if err != nil && (len(reply.Calls) != 0 || statuses(reply.Items) != "deferred") {
					t.Errorf("Fetch() = %+v with %v, want deferred and no calls", reply, err)
				}
				stopped := stop != nil
				mu.Unlock()
				if stopped {
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(start), stop
}

func TestLimitWindows(t *testing.T) {
	for _, tt := range []struct {
		name   string
		cfg    LimitConfig
		api    *quotaAPI
		n      int
		atMost time.Duration
		stop   pipeline.StopKind
	}{
		{"the second", LimitConfig{PerSecond: 10, Plan: Plan{Minute: 10000}}, &quotaAPI{latency: 300 * time.Millisecond}, 200, 25 * time.Second, ""},
		{"the minute, from the plan", LimitConfig{Plan: Plan{Minute: 40}}, &quotaAPI{latency: time.Second, limits: [3]int64{40}, silent: true}, 200, 6 * time.Minute, ""},
		{"the minute, lower than planned", LimitConfig{Plan: Plan{Minute: 300}}, &quotaAPI{latency: time.Second, limits: [3]int64{40}}, 200, 6 * time.Minute, ""},
		{"the minute, higher than planned", LimitConfig{}, &quotaAPI{latency: time.Second, limits: [3]int64{300}}, 600, 3 * time.Minute, ""},
		{"others use most of the minute", LimitConfig{Plan: Plan{Minute: 40}}, &quotaAPI{latency: time.Second, limits: [3]int64{40}, others: 30}, 100, 12 * time.Minute, ""},
		{"the hour, waited for", LimitConfig{Plan: Plan{Minute: 300}, MaxWait: time.Hour}, &quotaAPI{latency: time.Second, limits: [3]int64{300, 150}}, 400, 3 * time.Hour, ""},
		{"the hour, not waited for", LimitConfig{Plan: Plan{Minute: 300}, MaxWait: time.Minute}, &quotaAPI{latency: time.Second, limits: [3]int64{300, 150}}, 400, time.Hour, pipeline.StopQuota},
		{"the day", LimitConfig{Plan: Plan{Minute: 300}, MaxWait: time.Hour}, &quotaAPI{latency: time.Second, limits: [3]int64{300, 0, 100}}, 400, time.Hour, pipeline.StopQuota},
		{"the day, from the plan", LimitConfig{Plan: Plan{Minute: 300, Day: 100}}, &quotaAPI{latency: time.Second, limits: [3]int64{300, 0, 100}, silent: true}, 400, time.Hour, pipeline.StopQuota},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(33 * time.Second) // not at the beginning of a window
				api := tt.api
				took, stop := ask(t, Limit(api, tt.cfg), tt.n, 8)
				if api.over > 0 {
					t.Errorf("%d of %d requests were beyond a limit, want 0", api.over, len(api.sent))
				}
				var kind pipeline.StopKind
				if stop != nil {
					kind = stop.Kind
				}
				if kind != tt.stop || took > tt.atMost {
					t.Errorf("ask() = %s, stop %q, want at most %s, %q", took, kind, tt.atMost, tt.stop)
				}
				if kind == "" && len(api.sent) != tt.n {
					t.Errorf("%d requests were made, want %d", len(api.sent), tt.n)
				}
				if stop != nil && !stop.RetryAt.After(time.Now()) {
					t.Errorf("RetryAt = %s, want a time to come", stop.RetryAt)
				}
			})
		})
	}
}

// TestLimitRolling: no stretch of a minute holds more than the quota, wherever
// it begins; a token bucket would admit twice as many.
func TestLimitRolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &quotaAPI{latency: 4 * time.Second, silent: true}
		ask(t, Limit(api, LimitConfig{Plan: Plan{Minute: 40}}), 300, 16)
		for i := range api.sent {
			if i+40 < len(api.sent) && api.sent[i+40].Sub(api.sent[i]) < time.Minute {
				t.Fatalf("requests %d to %d came within %s", i, i+40, api.sent[i+40].Sub(api.sent[i]))
			}
		}
	})
}

// TestLimitReserve: others' share is left alone, by the count and by the headers.
func TestLimitReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &quotaAPI{latency: time.Second, limits: [3]int64{300, 0, 100}}
		_, stop := ask(t, Limit(api, LimitConfig{Plan: Plan{Minute: 300, Day: 100}, Reserve: Plan{Day: 20}}), 200, 4)
		if stop == nil || len(api.sent) != 80 {
			t.Errorf("%d requests, stop %v, want 80, quota", len(api.sent), stop)
		}
	})
}

// TestLimitCancelled: waiting for a window ends with ctx, at once.
func TestLimitCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := Limit(&quotaAPI{}, LimitConfig{Plan: Plan{Minute: 1}})
		if _, err := l.Fetch(t.Context(), companies(1)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		reply, err := l.Fetch(ctx, companies(2))
		var stop *pipeline.Stop
		if !errors.As(err, &stop) || stop.Kind != pipeline.StopInterrupted || time.Since(start) != time.Second || statuses(reply.Items) != "deferred deferred" {
			t.Errorf("Fetch() = %s, %v after %s, want deferred, interrupted, 1s", statuses(reply.Items), err, time.Since(start))
		}
	})
}

// TestLimitRefusals: what a 429 says about a window is heeded, and a burst
// slows the pace, which recovers.
func TestLimitRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := Limit(Decode(&fakeAPI{steps: []step{hourly}}), LimitConfig{MaxWait: time.Hour, Plan: Plan{Minute: 1000}})
		start := time.Now()
		for range 2 {
			if _, err := l.Fetch(t.Context(), companies(1)); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(start); d != 600*time.Second {
			t.Errorf("two calls took %s, want the 600 s that the API asked for", d)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		l := Limit(Decode(&fakeAPI{steps: []step{burst, burst}}), LimitConfig{Plan: Plan{Minute: 1000}})
		for i, want := range []rate.Limit{12.5, 6.25, 6.75} {
			if _, err := l.Fetch(t.Context(), companies(1)); err != nil {
				t.Fatal(err)
			}
			if got := l.second.Limit(); got != want {
				t.Errorf("after call %d: %v requests per second, want %v", i+1, got, want)
			}
		}
		for range 100 {
			l.Fetch(t.Context(), companies(1))
		}
		if got := l.second.Limit(); got != 25 {
			t.Errorf("after 100 good calls: %v requests per second, want 25", got)
		}
	})
}

// TestLimitLearn: the usage endpoint's word is heeded before the first call.
func TestLimitLearn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := Limit(&quotaAPI{}, LimitConfig{})
		none := pipeline.Window{Limit: -1, Used: -1, Left: -1}
		l.Learn(pipeline.Rate{Minute: none, Hour: none, Day: pipeline.Window{Limit: 100, Used: 100, Left: 0}})
		_, err := l.Fetch(t.Context(), companies(1))
		var stop *pipeline.Stop
		if !errors.As(err, &stop) || stop.Kind != pipeline.StopQuota {
			t.Errorf("Fetch() = %v, want quota", err)
		}
	})
}

func TestPlanNamed(t *testing.T) {
	if p, ok := PlanNamed("Scale"); !ok || p.Day != 50000 {
		t.Errorf("PlanNamed(Scale) = %+v, %v, want 50000 a day, true", p, ok)
	}
	if _, ok := PlanNamed("gold"); ok {
		t.Error("PlanNamed(gold) = true, want false")
	}
}

// TestLimitGivesBack: a place that was taken and not used is free again,
// whether the wait between requests was cut short or nothing had to be sent.
func TestLimitGivesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := Limit(&quotaAPI{}, LimitConfig{PerSecond: 0.1, Plan: Plan{Minute: 5, Day: 5}})
		if _, err := l.Fetch(t.Context(), companies(1)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var stop *pipeline.Stop
		if _, err := l.Fetch(ctx, companies(1)); !errors.As(err, &stop) || stop.Kind != pipeline.StopInterrupted {
			t.Errorf("Fetch() = %v, want interrupted", err)
		}
		if l.flying != 0 || l.minute.flying != 0 || l.windows[2].count != 1 {
			t.Errorf("after a cancelled wait: %d, %d in flight, %d in the day, want 0, 0, 1", l.flying, l.minute.flying, l.windows[2].count)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		c, _ := playing(t, `200 {}`)
		l := Limit(c, LimitConfig{Plan: Plan{Minute: 1}})
		b := companies(1)
		b.Items[0].Account.ID = "v1.token"
		start := time.Now()
		for range 3 {
			if reply, err := l.Fetch(t.Context(), b); err != nil || statuses(reply.Items) != "rejected" {
				t.Errorf("Fetch() = %+v, %v, want rejected", reply, err)
			}
		}
		if time.Since(start) > time.Second {
			t.Errorf("three batches without a request took %s of the quota's time", time.Since(start))
		}
	})
}
