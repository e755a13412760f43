package policy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/internal/lusha/lushatest"
	"github.com/siglake/siglake/internal/policy"
	"github.com/siglake/siglake/pipeline"
)

// refusing refuses every batch that holds one of the bad items.
func refusing(status int, bad ...string) func(*pipeline.Batch) lushatest.Step {
	return func(b *pipeline.Batch) lushatest.Step {
		for i, item := range b.Items {
			for _, id := range bad {
				if item.Account.ID == id {
					return lushatest.Step{Status: status, Body: fmt.Sprintf(`{"statusCode":%d,"message":"bad field","errors":["companyIds.%d is not known"]}`, status, i)}
				}
			}
		}
		return lushatest.Good
	}
}

func TestBisect(t *testing.T) {
	for _, tt := range []struct {
		name   string
		n      int
		next   func(*pipeline.Batch) lushatest.Step
		status string
		calls  int
	}{
		{"nothing wrong", 4, refusing(400), "enriched enriched enriched enriched", 1},
		{"one bad", 4, refusing(400, "1003"), "enriched enriched rejected enriched", 5},
		{"two bad", 5, refusing(422, "1001", "1005"), "rejected enriched enriched enriched rejected", 9},
		{"all bad", 3, refusing(412, "1001", "1002", "1003"), "rejected rejected rejected", 5},
		{"a legal one", 2, refusing(451, "1002"), "enriched restricted", 3},
		{"a bad one alone", 1, refusing(400, "1001"), "rejected", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := &lushatest.FakeAPI{Next: tt.next}
				reply, err := policy.Bisect(policy.Retry(lusha.Decode(api), lusha.Rules{}, policy.RetryConfig{}), lusha.Rules{}).Fetch(t.Context(), lushatest.Companies(tt.n))
				if err != nil || lushatest.Statuses(reply.Items) != tt.status || len(reply.Calls) != tt.calls {
					t.Errorf("Fetch() = %s in %d calls, %v, want %s in %d", lushatest.Statuses(reply.Items), len(reply.Calls), err, tt.status, tt.calls)
				}
				for ref, n := range api.Billed {
					if n != 1 {
						t.Errorf("%s was billed %d times, want 1", ref, n)
					}
				}
			})
		})
	}
}

func TestBisectIDs(t *testing.T) {
	reply, err := policy.Bisect(lusha.Decode(&lushatest.FakeAPI{Next: refusing(400, "1003")}), lusha.Rules{}).Fetch(t.Context(), lushatest.Companies(4))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range reply.Calls {
		got = append(got, c.ID)
	}
	if diff := cmp.Diff([]string{"000012-1", "000012.0-1", "000012.1-1", "000012.1.0-1", "000012.1.1-1"}, got); diff != "" {
		t.Errorf("call ids (-want +got):\n%s", diff)
	}
	if r := reply.Items[2]; r.CallID != "000012.1.0-1" || !strings.Contains(r.Reason, "companyIds.0 is not known") {
		t.Errorf("rejected item = %+v, want the call and words that condemned it", r)
	}
}

// TestBisectQuery: when the question is at fault, no item is blamed and the
// search ends at once.
func TestBisectQuery(t *testing.T) {
	answer := func(body string) func(*pipeline.Batch) lushatest.Step {
		return func(*pipeline.Batch) lushatest.Step { return lushatest.Step{Status: 400, Body: body} }
	}
	for _, tt := range []struct {
		name, body string
		n, calls   int
		stops      bool
	}{
		{"a signal key", `{"statusCode":400,"message":"bad field","errors":["signals: unknown signal type nope"]}`, 100, 3, true},
		{"the start date", `{"statusCode":400,"message":"startDate must not be in the future"}`, 100, 3, true},
		{"a filter", `{"error":{"code":400,"message":"state needs a country in filters.include"}}`, 8, 3, true},
		{"of a single item", `{"statusCode":400,"message":"maxResultsPerSignal must be at most 50"}`, 1, 1, true},
		{"vague words", `{"statusCode":400,"message":"bad request"}`, 100, 40, true},
		{"vague words, few items", `{"statusCode":400,"message":"bad request"}`, 4, 7, false},
		{"an item", `{"statusCode":400,"message":"companies[0].signals is not a field"}`, 4, 7, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reply, err := policy.Bisect(lusha.Decode(&lushatest.FakeAPI{Next: answer(tt.body)}), lusha.Rules{}).Fetch(t.Context(), lushatest.Companies(tt.n))
			var stop *pipeline.Stop
			if errors.As(err, &stop) != tt.stops || tt.stops && stop.Kind != pipeline.StopRequest {
				t.Errorf("Fetch() error = %v, want a stop %v", err, tt.stops)
			}
			if len(reply.Calls) < tt.calls || len(reply.Calls) > tt.calls+2 || len(reply.Items) != tt.n {
				t.Errorf("Fetch() = %d calls, %d items, want about %d, %d", len(reply.Calls), len(reply.Items), tt.calls, tt.n)
			}
			if want := "deferred"; tt.stops && tt.calls <= 3 && !strings.HasPrefix(lushatest.Statuses(reply.Items), want) {
				t.Errorf("statuses = %s, want %s", lushatest.Statuses(reply.Items), want)
			}
		})
	}
}

// TestBisectStopped: what one half brought is kept when the other ends the run.
func TestBisectStopped(t *testing.T) {
	n := 0
	api := &lushatest.FakeAPI{Next: func(b *pipeline.Batch) lushatest.Step {
		if n++; n == 1 {
			return lushatest.BadItemAnswer
		}
		if b.ID == "000012.1" {
			return lushatest.NoCredits
		}
		return lushatest.Good
	}}
	reply, err := policy.Bisect(policy.Retry(lusha.Decode(api), lusha.Rules{}, policy.RetryConfig{}), lusha.Rules{}).Fetch(t.Context(), lushatest.Companies(4))
	var stop *pipeline.Stop
	if !errors.As(err, &stop) || stop.Kind != pipeline.StopCredits || lushatest.Statuses(reply.Items) != "enriched enriched deferred deferred" || len(reply.Calls) != 3 {
		t.Errorf("Fetch() = %s, %d calls, %v, want the first half, 3, credits", lushatest.Statuses(reply.Items), len(reply.Calls), err)
	}
	// And the other way round: the first half ends it, the second is not asked.
	n = 0
	api.Next = func(b *pipeline.Batch) lushatest.Step {
		if n++; n == 1 {
			return lushatest.BadItemAnswer
		}
		return lushatest.NoCredits
	}
	reply, err = policy.Bisect(policy.Retry(lusha.Decode(api), lusha.Rules{}, policy.RetryConfig{}), lusha.Rules{}).Fetch(t.Context(), lushatest.Companies(4))
	if !errors.As(err, &stop) || lushatest.Statuses(reply.Items) != "deferred deferred deferred deferred" || len(reply.Calls) != 2 {
		t.Errorf("Fetch() = %s, %d calls, %v, want deferred, 2, credits", lushatest.Statuses(reply.Items), len(reply.Calls), err)
	}
}

// TestBisectInDoubt: an unclear half is held, the other half is answered.
func TestBisectInDoubt(t *testing.T) {
	n := 0
	api := &lushatest.FakeAPI{Next: func(*pipeline.Batch) lushatest.Step {
		n++
		return []lushatest.Step{lushatest.BadItemAnswer, lushatest.Lost, lushatest.Good}[n-1]
	}}
	reply, err := policy.Bisect(policy.Retry(lusha.Decode(api), lusha.Rules{}, policy.RetryConfig{}), lusha.Rules{}).Fetch(t.Context(), lushatest.Companies(4))
	if err != nil || lushatest.Statuses(reply.Items) != "held held enriched enriched" {
		t.Errorf("Fetch() = %s, %v, want held held enriched enriched", lushatest.Statuses(reply.Items), err)
	}
}
