package ratelimit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/ratelimit"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

var realSpans = [3]time.Duration{time.Minute, time.Hour, 24 * time.Hour}

// api counts one call at its own time, and returns status, message and headers of the answer.
type api interface {
	count(now time.Time) (status int, message string, rate pipeline.Rate)
}

// model is a server with a given alignment of windows: "utc", "first" (they begin with the first
// request) or "rolling". Refused calls are not counted.
type model struct {
	mu        sync.Mutex
	alignment string
	spans     [3]time.Duration
	limits    [3]int64 // 0: none
	start     [3]time.Time
	used      [3]int64
	times     [3][]time.Time
}

func newModel(alignment string, p ratelimit.Plan) *model {
	return &model{alignment: alignment, spans: realSpans, limits: [3]int64{p.Minute, p.Hour, p.Day}}
}

func (m *model) count(now time.Time) (int, string, pipeline.Rate) {
	m.mu.Lock()
	defer m.mu.Unlock()
	full := -1
	for i, span := range m.spans {
		switch at := now.UTC().Truncate(span); m.alignment {
		case "utc":
			if !at.Equal(m.start[i]) {
				m.start[i], m.used[i] = at, 0
			}
		case "first":
			if m.start[i].IsZero() || now.Sub(m.start[i]) >= span {
				m.start[i], m.used[i] = now, 0
			}
		case "rolling":
			gone := 0
			for gone < len(m.times[i]) && now.Sub(m.times[i][gone]) >= span {
				gone++
			}
			m.times[i] = m.times[i][gone:]
			m.used[i] = int64(len(m.times[i]))
		}
		if m.limits[i] > 0 && m.used[i] >= m.limits[i] {
			full = i
		}
	}
	status, message := 200, ""
	if full >= 0 {
		status, message = 429, [3]string{"Too many requests", "Hourly limit", "Daily limit"}[full]
	} else {
		for i := range m.used {
			m.used[i]++
			if m.alignment == "rolling" {
				m.times[i] = append(m.times[i], now)
			}
		}
	}
	var rate pipeline.Rate
	for i, w := range []*pipeline.Window{&rate.Minute, &rate.Hour, &rate.Day} {
		*w = pipeline.Window{Limit: m.limits[i], Used: m.used[i], Left: m.limits[i] - m.used[i]}
		if m.limits[i] == 0 {
			*w = pipeline.Window{Limit: -1, Used: -1, Left: -1}
		}
	}
	return status, message, rate
}

// simulated is the simulator, called through its handler, without a network.
type simulated struct {
	handler http.Handler
	now     *time.Time // of the request being served; requests are served one by one
	mu      *sync.Mutex
}

func newSimulated(t testing.TB, cfg simulator.Config) simulated {
	t.Helper()
	s := simulated{now: new(time.Time), mu: new(sync.Mutex)}
	cfg.Now = func() time.Time { return *s.now }
	handler, err := simulator.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.handler = handler
	return s
}

func (s simulated) count(now time.Time) (int, string, pipeline.Rate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*s.now = now
	r := httptest.NewRequest(http.MethodGet, "/api/signals/filters/contact", nil)
	r.Header.Set("User-Agent", "siglake-test")
	r.Header.Set("api_key", "key")
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	number := func(name string) int64 {
		n, err := strconv.ParseInt(w.Header().Get(name), 10, 64)
		if err != nil {
			return -1
		}
		return n
	}
	window := func(long, short string) pipeline.Window {
		return pipeline.Window{Limit: number("x-rate-limit-" + long), Used: number("x-" + short + "-usage"), Left: number("x-" + short + "-requests-left")}
	}
	var body struct{ Message string }
	if w.Code != 200 {
		_ = json.Unmarshal(w.Body.Bytes(), &body)
	}
	return w.Code, body.Message, pipeline.Rate{Minute: window("minute", "minute"), Hour: window("hourly", "hourly"), Day: window("daily", "daily")}
}

// wire is the innermost fetcher: it takes the time of an answer, and lets the server count the call
// somewhere within it, by the server's clock.
type wire struct {
	api       api
	skew      time.Duration // how far the server's clock is ahead
	answer    time.Duration // typical; 0: at once
	local     time.Duration // how far the host's clock is ahead of the test's
	noHeaders bool          // answers have no headers

	mu      sync.Mutex
	random  *rand.Rand
	calls   int
	refused map[string]int
	times   []time.Time // when calls were counted
}

func newWire(a api, skew, answer time.Duration) *wire {
	return &wire{api: a, skew: skew, answer: answer, random: rand.New(rand.NewPCG(1, 2)), refused: map[string]int{}}
}

// delay is half to one and a half times the typical time, and three times as long for one answer in
// twenty.
func (w *wire) delay() (outgoing, returning time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	spread := 0.5 + w.random.Float64()
	if w.random.IntN(20) == 0 {
		spread = 3
	}
	total := time.Duration(float64(w.answer) * spread)
	outgoing = time.Duration(float64(total) * w.random.Float64())
	return outgoing, total - outgoing
}

func (w *wire) Fetch(_ context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	outgoing, returning := w.delay()
	call := pipeline.Call{ID: b.ID + "-1", Sent: time.Now().Add(w.local), Outcome: pipeline.Charged}
	time.Sleep(outgoing)
	at := time.Now().Add(w.skew)
	call.Status, call.Problem, call.Rate = w.api.count(at)
	call.Header = fmt.Appendf(nil, `{"date":%q}`, at.UTC().Format(http.TimeFormat))
	if w.noHeaders {
		unstated := pipeline.Window{Limit: -1, Used: -1, Left: -1}
		call.Rate, call.Header = pipeline.Rate{Minute: unstated, Hour: unstated, Day: unstated}, nil
	}
	w.mu.Lock()
	w.calls++
	w.times = append(w.times, at)
	if call.Status == 429 {
		call.Outcome = pipeline.NotCharged
		w.refused[call.Problem]++
	}
	w.mu.Unlock()
	time.Sleep(returning)
	call.Duration = time.Since(call.Sent.Add(-w.local))
	return replyWith(b, call), nil
}

// replyWith is the reply to a batch after one call with an undecoded answer.
func replyWith(b *pipeline.Batch, call pipeline.Call) *pipeline.Reply {
	reply := pipeline.NewReply(b, "not decoded")
	reply.Calls = []pipeline.Call{call}
	return reply
}

// classify distinguishes the refusals of the test servers.
func classify(call *pipeline.Call) (ratelimit.Refusal, time.Duration) {
	if call.Status != 429 {
		return ratelimit.NoRefusal, 0
	}
	var n int
	switch {
	case len(call.Problem) > 5 && call.Problem[:5] == "Daily":
		return ratelimit.Day, 0
	case len(call.Problem) > 6 && call.Problem[:6] == "Hourly":
		_, _ = fmt.Sscanf(call.Problem, "Hourly request limit reached. Reset in %d seconds", &n)
		return ratelimit.Hour, time.Duration(n) * time.Second
	}
	return ratelimit.Burst, 0
}

func openLimiter(t testing.TB, cfg ratelimit.Config) *ratelimit.Limiter {
	t.Helper()
	l, err := ratelimit.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// runWorkers keeps workers busy until n calls were admitted (0: no end), ctx ends, or a fetcher
// returns a stop. It returns that stop, and the time it took.
func runWorkers(ctx context.Context, t testing.TB, f pipeline.Fetcher, n, workers int) (took time.Duration, stop *pipeline.Stop) {
	t.Helper()
	start := time.Now()
	var mu sync.Mutex
	var wg sync.WaitGroup
	started := 0
	for range workers {
		wg.Go(func() {
			for {
				mu.Lock()
				if stop != nil || n > 0 && started == n {
					mu.Unlock()
					return
				}
				started++
				mu.Unlock()
				reply, err := f.Fetch(ctx, batch(1))
				mu.Lock()
				if err != nil && stop == nil && !errors.As(err, &stop) {
					t.Errorf("Fetch() = %v, want a stop", err)
				}
				if err != nil && (len(reply.Calls) != 0 || len(reply.Items) != 1 || reply.Items[0].Status != schema.Deferred) {
					t.Errorf("Fetch() = %+v with %v, want deferred and no calls", reply, err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return time.Since(start), stop
}

func batch(n int) *pipeline.Batch {
	b := &pipeline.Batch{ID: "000001", Query: &pipeline.Query{Object: schema.Company}}
	for i := range n {
		b.Items = append(b.Items, pipeline.Item{Ref: strconv.Itoa(i)})
	}
	return b
}

func total(m map[string]int) (n int) {
	for _, k := range m {
		n += k
	}
	return n
}
