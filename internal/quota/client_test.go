package quota_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siglake/siglake/internal/quota"
	"github.com/siglake/siglake/internal/signals"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// handlerTransport carries requests to a handler without a network, and dates its
// answers as a server does.
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

// classifyAnswer is a judge made of the API client's own classifier.
func classifyAnswer(call *pipeline.Call) (quota.Refusal, time.Duration) {
	fields, header := map[string]string{}, http.Header{}
	if json.Unmarshal(call.Header, &fields) == nil {
		for name, value := range fields {
			header.Set(name, value)
		}
	}
	switch v := signals.Classify(call.Status, header, call.Body); v.Class {
	case signals.ClassRateBurst:
		return quota.Burst, v.RetryAfter
	case signals.ClassRateHour:
		return quota.Hour, v.RetryAfter
	case signals.ClassRateDay:
		return quota.Day, v.RetryAfter
	}
	return quota.NoRefusal, 0
}

// newRig is the API client on a simulator, behind the limiter.
func newRig(t *testing.T, sim simulator.Config, cfg quota.Config) (*quota.Limiter, pipeline.Fetcher) {
	t.Helper()
	server, err := simulator.New(sim)
	if err != nil {
		t.Fatal(err)
	}
	client, err := signals.New(signals.Config{BaseURL: "https://api.test", Key: signals.NewKey("key-1"), Transport: handlerTransport{server}})
	if err != nil {
		t.Fatal(err)
	}
	l := openLimiter(t, cfg)
	return l, quota.Limit(signals.Decode(client), l, classifyAnswer)
}

func companyBatch() *pipeline.Batch {
	return &pipeline.Batch{
		ID: "000001", ByID: true,
		Query: &pipeline.Query{Object: schema.Company, Signals: []string{"surgeInHiring"}, Since: "1999-10-01", MaxResults: 1},
		Items: []pipeline.Item{{Ref: "r1", Account: schema.Account{Object: schema.Company, ID: "1001"}}},
	}
}

// TestClient: with the real client, what it keeps of an answer is enough to stay
// within the limits of a plan that was named wrongly.
func TestClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(17 * time.Minute)
		l, f := newRig(t, simulator.Config{Plan: "pro", Latency: 300 * time.Millisecond}, quota.Config{Plan: quota.Plans[4], MaxWait: 2 * time.Hour})
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

// TestClientRefusals: the simulator's four flavours of 429, through the real
// client and its classifier.
func TestClientRefusals(t *testing.T) {
	for fault, want := range map[string]time.Duration{ // until the next call, or before it may be made
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
			_, f := newRig(t, simulator.Config{Plan: "scale", Faults: []simulator.Fault{spec}}, quota.Config{Plan: quota.Plans[4], MaxWait: time.Minute})
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
