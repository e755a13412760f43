package ratelimit_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/internal/ratelimit"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// handlerTransport sends requests to a handler without a network, and dates its answers like a
// server does.
type handlerTransport struct{ handler http.Handler }

func (p handlerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	r = r.Clone(r.Context())
	for name, values := range r.Header { // as a server reads them
		r.Header[http.CanonicalHeaderKey(name)] = values
	}
	p.handler.ServeHTTP(w, r)
	resp := w.Result()
	resp.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	return resp, nil
}

// classifyAnswer classifies with the API client's own classifier.
func classifyAnswer(call *pipeline.Call) (ratelimit.Refusal, time.Duration) {
	fields, header := map[string]string{}, http.Header{}
	if json.Unmarshal(call.Header, &fields) == nil {
		for name, value := range fields {
			header.Set(name, value)
		}
	}
	switch v := lusha.Classify(call.Status, header, call.Body); v.Class {
	case lusha.ClassRateBurst:
		return ratelimit.Burst, v.RetryAfter
	case lusha.ClassRateHour:
		return ratelimit.Hour, v.RetryAfter
	case lusha.ClassRateDay:
		return ratelimit.Day, v.RetryAfter
	}
	return ratelimit.NoRefusal, 0
}

// newRig makes the API client for a simulator, behind a limiter.
func newRig(t *testing.T, sim simulator.Config, cfg ratelimit.Config) (*ratelimit.Limiter, pipeline.Fetcher) {
	t.Helper()
	server, err := simulator.New(sim)
	if err != nil {
		t.Fatal(err)
	}
	client, err := lusha.New(lusha.Config{BaseURL: "https://api.test", Key: lusha.NewKey("key-1"), Transport: handlerTransport{server}})
	if err != nil {
		t.Fatal(err)
	}
	l := openLimiter(t, cfg)
	return l, ratelimit.Limit(lusha.Decode(client), l, classifyAnswer)
}

func companyBatch() *pipeline.Batch {
	return &pipeline.Batch{
		ID: "000001", ByID: true,
		Query: &pipeline.Query{Object: schema.Company, Ask: pipeline.SignalsAsk{Types: []string{"surgeInHiring"}, MaxResults: 1}, Since: "1999-10-01"},
		Items: []pipeline.Item{{Ref: "r1", Account: schema.Account{Object: schema.Company, ID: "1001"}}},
	}
}

// TestClient: with the real client, the data recorded of an answer suffice to stay within the
// limits even if the wrong plan was given.
func TestClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(17 * time.Minute)
		l, f := newRig(t, simulator.Config{Plan: "pro", Latency: 300 * time.Millisecond}, ratelimit.Config{Plan: ratelimit.Plans[4], MaxWait: 2 * time.Hour})
		var mu sync.Mutex
		var wg sync.WaitGroup
		start, charged := time.Now(), 0
		for range 8 {
			wg.Go(func() {
				for range 40 {
					reply, err := f.Fetch(t.Context(), companyBatch())
					if err != nil || len(reply.Calls) != 1 || reply.Calls[0].Status != 200 {
						t.Errorf("Fetch() = %d calls, %v, want an answer", len(reply.Calls), err)
						return
					}
					mu.Lock()
					charged++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		// 150 in each of three hours.
		elapsed := time.Since(start)
		if charged != 320 || elapsed > 2*time.Hour+2*time.Minute {
			t.Errorf("%d answers in %s, want 320 in two hours", charged, elapsed)
		}
		if s := l.State(); s.Windows[1].Limit != 150 || s.Windows[2].Left != 1500-320 {
			t.Errorf("State() =\n%v want 150 an hour, 1180 left of the day", s)
		}
	})
}

// TestClientRefusals: the simulator's four kinds of 429, through the real client and its
// classifier.
func TestClientRefusals(t *testing.T) {
	// Time until the next call; negative: until it may be made.
	for fault, want := range map[string]time.Duration{
		"429-burst":  80 * time.Millisecond,
		"429-hourly": 3 * time.Second,
		"429-daily":  -(14*time.Hour + time.Second),
		"429-trial":  40 * time.Millisecond,
	} {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(10 * time.Hour)
			spec, err := simulator.ParseFault(fault + "@1")
			if err != nil {
				t.Fatal(err)
			}
			_, f := newRig(t, simulator.Config{Plan: "scale", Faults: []simulator.Fault{spec}}, ratelimit.Config{Plan: ratelimit.Plans[4], MaxWait: time.Minute})
			start := time.Now()
			if reply, err := f.Fetch(t.Context(), companyBatch()); err != nil || reply.Calls[0].Status != 429 {
				t.Fatalf("%s: Fetch() = %d, %v, want 429", fault, reply.Calls[0].Status, err)
			}
			_, err = f.Fetch(t.Context(), companyBatch())
			took := time.Since(start)
			var stop *pipeline.Stop
			if errors.As(err, &stop) {
				took = -stop.RetryAt.Sub(start)
			}
			if (took-want).Abs() > time.Second && want.Abs() > time.Second || want < time.Second && want > 0 && took != want {
				t.Errorf("%s: the next call after %s (%v), want %s", fault, took, err, want)
			}
		})
	}
}
