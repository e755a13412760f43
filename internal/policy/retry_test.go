package policy_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/internal/lusha/lushatest"
	"github.com/siglake/siglake/internal/policy"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

func halfJitter() float64 { return 0.5 }

// TestRetryTable is the outcome table: what follows each kind of answer.
func TestRetryTable(t *testing.T) {
	five := func(s lushatest.Step) []lushatest.Step { return []lushatest.Step{s, s, s, s, s} }
	for _, tt := range []struct {
		name   string
		steps  []lushatest.Step
		calls  int
		status string
		stop   pipeline.StopKind
		waited time.Duration
	}{
		{"good", []lushatest.Step{lushatest.Good}, 1, "enriched", "", 0},
		{"a failure, then good", []lushatest.Step{lushatest.Refused}, 2, "enriched", "", 500 * time.Millisecond},
		{"failures to the end", five(lushatest.Refused), 5, "deferred", "", 7500 * time.Millisecond},
		{"too fast, then good", []lushatest.Step{lushatest.Burst, lushatest.Burst}, 3, "enriched", "", 1500 * time.Millisecond},
		// Back-off of 0.5, 1, 2, 4, 8, 16 s and then of 30 s, for up to MaxWait.
		{"too fast, for minutes, then good", slices.Repeat([]lushatest.Step{lushatest.Burst}, 20), 21, "enriched", "", 31500*time.Millisecond + 14*30*time.Second},
		{"too fast without a word, then good", slices.Repeat([]lushatest.Step{{Status: 429}}, 10), 11, "enriched", "", 31500*time.Millisecond + 4*30*time.Second},
		{"too fast for longer than is waited", slices.Repeat([]lushatest.Step{lushatest.Burst}, 200), 125, "deferred", pipeline.StopQuota, 31500*time.Millisecond + 118*30*time.Second},
		{"too fast, told how long, which the limiter sees to", []lushatest.Step{{Status: 429, Body: lushatest.Burst.Body, Header: `{"retry-after":"7"}`}}, 2, "enriched", "", 500 * time.Millisecond},
		{"failed, told how long", []lushatest.Step{{Status: 503, Body: `{"statusCode":503}`, Header: `{"retry-after":"7"}`}}, 2, "enriched", "", 7500 * time.Millisecond},
		{"failed, told too long", []lushatest.Step{{Status: 503, Body: `{"statusCode":503}`, Header: `{"retry-after":"7200"}`}}, 1, "deferred", pipeline.StopUnstable, 0},
		{"failed, told a date", []lushatest.Step{{Status: 503, Body: `{"statusCode":503}`, Header: `{"retry-after":"Fri, 01 May 2026 10:00:09 GMT","date":"Fri, 01 May 2026 10:00:00 GMT"}`}}, 2, "enriched", "", 9500 * time.Millisecond},
		{"not sent, then good", []lushatest.Step{lushatest.Unsent}, 2, "enriched", "", 500 * time.Millisecond},
		{"the hour, which the limiter sees to", []lushatest.Step{lushatest.Hourly}, 2, "enriched", "", 0},
		{"the hour, again and again", five(lushatest.Hourly), 5, "deferred", pipeline.StopQuota, 0},
		{"the day, which the limiter sees to", []lushatest.Step{lushatest.Daily}, 2, "enriched", "", 0},
		{"the day, again and again", five(lushatest.Daily), 5, "deferred", pipeline.StopQuota, 0},
		{"the trial", []lushatest.Step{lushatest.Trial}, 1, "deferred", pipeline.StopAuth, 0},
		{"no credits", []lushatest.Step{lushatest.NoCredits}, 1, "deferred", pipeline.StopCredits, 0},
		{"not in the plan", []lushatest.Step{lushatest.Forbidden}, 1, "deferred", pipeline.StopAuth, 0},
		{"bad key", []lushatest.Step{lushatest.BadKey}, 1, "deferred", pipeline.StopAuth, 0},
		{"no such route", []lushatest.Step{lushatest.NoRoute}, 1, "deferred", pipeline.StopAuth, 0},
		{"gone", []lushatest.Step{{Status: 410, Body: `{"code":"X","message":"gone"}`}}, 1, "deferred", pipeline.StopAuth, 0},
		{"redirect", []lushatest.Step{lushatest.Redirected}, 1, "deferred", pipeline.StopAuth, 0},
		{"see other", []lushatest.Step{{Status: 303, Billed: true}}, 1, "held", pipeline.StopAuth, 0},
		{"nobody known", []lushatest.Step{lushatest.NoMatchAnswer}, 1, "not_found", "", 0},
		{"bad request", []lushatest.Step{lushatest.BadItemAnswer}, 1, "deferred", "", 0},
		{"an unknown refusal", []lushatest.Step{lushatest.OddRefusal}, 1, "deferred", "", 0},
		{"lost, charged", []lushatest.Step{lushatest.Lost}, 1, "held", "", 0},
		{"lost, not charged", []lushatest.Step{lushatest.LostFree}, 1, "held", "", 0},
		{"cut", []lushatest.Step{lushatest.Cut}, 1, "held", "", 0},
		{"a proxy's page", []lushatest.Step{lushatest.ProxyPage}, 1, "held", "", 0},
		{"a wall's page", []lushatest.Step{lushatest.ProxyBlock}, 1, "held", pipeline.StopAuth, 0},
		{"a failure, then lost", []lushatest.Step{lushatest.Refused, lushatest.Lost}, 2, "held", "", 500 * time.Millisecond},
		{"too fast under a success", []lushatest.Step{{Status: 200, Body: lushatest.Burst.Body}}, 2, "enriched", "", 500 * time.Millisecond},
		{"refused with a charge", []lushatest.Step{{Status: 500, Body: `{"statusCode":500,"creditCharged":1}`, Billed: true}}, 1, "held", "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := &lushatest.FakeAPI{Steps: tt.steps}
				start := time.Now()
				reply, err := policy.Retry(lusha.Decode(api), lusha.Rules{}, policy.RetryConfig{MaxWait: time.Hour, Jitter: halfJitter}).Fetch(t.Context(), lushatest.Companies(1))
				var stop *pipeline.Stop
				errors.As(err, &stop)
				var kind pipeline.StopKind
				if stop != nil {
					kind = stop.Kind
				}
				if (err == nil) != (kind == "") || kind != tt.stop {
					t.Errorf("Fetch() error = %v (%s), want %q", err, kind, tt.stop)
				}
				if len(reply.Calls) != tt.calls || lushatest.Statuses(reply.Items) != tt.status {
					t.Errorf("Fetch() = %d calls, %s, want %d, %s", len(reply.Calls), lushatest.Statuses(reply.Items), tt.calls, tt.status)
				}
				if d := time.Since(start); d != tt.waited {
					t.Errorf("Fetch() waited %s, want %s", d, tt.waited)
				}
				if n := api.Billed["r0"]; n > 1 {
					t.Errorf("the item was billed %d times", n)
				}
				if reply.Items[0].Status != schema.Enriched && reply.Items[0].Reason == "" {
					t.Errorf("%s without a reason", reply.Items[0].Status)
				}
			})
		})
	}
}

// TestRetryAt: a window that does not open, however often it is waited for,
// ends the run; if the API said when it opens, so does the stop.
func TestRetryAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(90 * time.Minute) // from midnight UTC, 2000-01-01
		for _, tt := range []struct {
			step lushatest.Step
			at   string
		}{{lushatest.Daily, "0001-01-01 00:00:00"}, {lushatest.Hourly, "2000-01-01 01:40:00"}} {
			api := &lushatest.FakeAPI{Next: func(*pipeline.Batch) lushatest.Step { return tt.step }}
			_, err := policy.Retry(lusha.Decode(api), lusha.Rules{}, policy.RetryConfig{}).Fetch(t.Context(), lushatest.Companies(1))
			var stop *pipeline.Stop
			if !errors.As(err, &stop) || stop.RetryAt.UTC().Format(time.DateTime) != tt.at {
				t.Errorf("Fetch() after %s = %+v, want RetryAt %s", tt.step.Body, stop, tt.at)
			}
		}
	})
}

func TestRetryIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &lushatest.FakeAPI{Steps: []lushatest.Step{lushatest.Refused, lushatest.Refused}}
		b := lushatest.Companies(1)
		b.NextAttempt = 3
		if _, err := policy.Retry(lusha.Decode(api), lusha.Rules{}, policy.RetryConfig{}).Fetch(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"000012-3", "000012-4", "000012-5"}, api.CallIDs); diff != "" {
			t.Errorf("call ids (-want +got):\n%s", diff)
		}
		if b.NextAttempt != 3 {
			t.Errorf("the batch's Attempt = %d, want 3, as the caller left it", b.NextAttempt)
		}
	})
}

// TestBreaker: too many unclear calls in a row end the run, and what waits is
// turned away without a request.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct {
			name  string
			steps []lushatest.Step
			stops int // ordinal of the batch that stops; 0 none
		}{
			{"five in a row", []lushatest.Step{lushatest.Lost, lushatest.Cut, lushatest.ProxyPage, lushatest.LostFree, lushatest.Lost}, 5},
			{"a good one between", []lushatest.Step{lushatest.Lost, lushatest.Lost, lushatest.Lost, lushatest.Lost, lushatest.Good, lushatest.Lost, lushatest.Lost, lushatest.Lost, lushatest.Lost}, 0},
			{"a refusal between resets nothing", []lushatest.Step{lushatest.Lost, lushatest.Lost, lushatest.BadItemAnswer, lushatest.Lost, lushatest.Lost, lushatest.Lost}, 6},
			{"given up", slices.Repeat([]lushatest.Step{lushatest.Refused}, 25), 5},
		} {
			r := policy.Retry(lusha.Decode(&lushatest.FakeAPI{Steps: tt.steps}), lusha.Rules{}, policy.RetryConfig{})
			stops := 0
			for n := 1; n <= 9 && stops == 0; n++ {
				_, err := r.Fetch(t.Context(), lushatest.Companies(1))
				var stop *pipeline.Stop
				if errors.As(err, &stop) {
					stops = n
					if stop.Kind != pipeline.StopUnstable {
						t.Errorf("%s: stop = %s, want unstable", tt.name, stop.Kind)
					}
				}
			}
			if stops != tt.stops {
				t.Errorf("%s: stopped at batch %d, want %d", tt.name, stops, tt.stops)
			}
			if tt.stops > 0 {
				reply, err := r.Fetch(t.Context(), lushatest.Companies(2))
				if err == nil || len(reply.Calls) != 0 || lushatest.Statuses(reply.Items) != "deferred deferred" {
					t.Errorf("%s: next Fetch() = %+v, %v, want no calls, deferred", tt.name, reply, err)
				}
			}
		}
	})
}

// TestStopReachesWaiting: a batch in its back-off is turned away as soon as
// another one meets a reason to stop; one that is on the wire is not.
func TestStopReachesWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &lushatest.FakeAPI{Next: func(b *pipeline.Batch) lushatest.Step {
			switch b.ID {
			case "waits":
				return lushatest.Step{Status: 503, Body: `{"statusCode":503}`, Header: `{"retry-after":"50"}`}
			case "on the wire":
				return lushatest.Step{Status: 200, Latency: 30 * time.Second}
			}
			return lushatest.Step{Status: 402, Body: lushatest.NoCredits.Body, Latency: 10 * time.Second}
		}}
		r := policy.Retry(lusha.Decode(api), lusha.Rules{}, policy.RetryConfig{})
		var wg sync.WaitGroup
		for _, tt := range []struct {
			id, status string
			after      time.Duration
			stop       bool
		}{{"waits", "deferred", 10 * time.Second, true}, {"on the wire", "enriched", 30 * time.Second, false}, {"stops", "deferred", 10 * time.Second, true}} {
			wg.Go(func() {
				b := lushatest.Companies(1)
				b.ID = tt.id
				start := time.Now()
				reply, err := r.Fetch(t.Context(), b)
				var stop *pipeline.Stop
				if lushatest.Statuses(reply.Items) != tt.status || time.Since(start) != tt.after || errors.As(err, &stop) != tt.stop || tt.stop && stop.Kind != pipeline.StopCredits {
					t.Errorf("Fetch(%s) = %s, %v after %s, want %s after %s", tt.id, lushatest.Statuses(reply.Items), err, time.Since(start), tt.status, tt.after)
				}
			})
		}
		wg.Wait()
	})
}

// TestRetryInterrupted: ctx ends a back-off at once; the call is kept.
func TestRetryInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		reply, err := policy.Retry(lusha.Decode(&lushatest.FakeAPI{Steps: []lushatest.Step{lushatest.Refused}}), lusha.Rules{}, policy.RetryConfig{Jitter: halfJitter}).Fetch(ctx, lushatest.Companies(2))
		var stop *pipeline.Stop
		if !errors.As(err, &stop) || stop.Kind != pipeline.StopInterrupted || len(reply.Calls) != 1 || lushatest.Statuses(reply.Items) != "deferred deferred" || time.Since(start) != 100*time.Millisecond {
			t.Errorf("Fetch() = %d calls, %s, %v, want 1, deferred, interrupted", len(reply.Calls), lushatest.Statuses(reply.Items), err)
		}
	})
}
