package pipeline

import (
	"context"
	"slices"
	"testing"

	"github.com/siglake/siglake/schema"
)

// TestMissingQuery: what an answer about one entity was too long for is requested by fewer signal
// types, then with fewer results, and what that leaves is counted.
func TestMissingQuery(t *testing.T) {
	t.Parallel()
	types := []string{"a", "b", "c", "d"}
	q := &Query{Object: schema.Company, Ask: SignalsAsk{Types: types, MaxResults: 10}}
	signals := func(full string, maxResults ...int) (out []SignalCoverage) {
		for i, s := range types {
			c := SignalCoverage{}
			if slices.Contains([]string{full}, s) {
				c.State = CoverageFull
			}
			if len(maxResults) > i {
				c.MaxResults = maxResults[i]
			}
			out = append(out, c)
		}
		return out
	}
	for _, tt := range []struct {
		name       string
		coverage   Coverage
		types      []string
		maxResults int
		left       int
	}{
		{"nothing bought", Coverage{}, types, 10, 0},
		{"one type bought", Coverage{Signals: signals("a")}, []string{"b", "c", "d"}, 10, 0},
		{"all types at once were cut", Coverage{Signals: signals(""), MaxTypes: 2}, []string{"a", "b"}, 10, 2},
		{"two of three that are left", Coverage{Signals: signals("a"), MaxTypes: 2}, []string{"b", "c"}, 10, 1},
		{"fewer are left", Coverage{Signals: signals("a"), MaxTypes: 3}, []string{"b", "c", "d"}, 10, 0},
		{"two types at once were cut", Coverage{Signals: signals(""), MaxTypes: 1}, []string{"a"}, 10, 3},
		{"one type was cut", Coverage{Signals: signals("", 5), MaxTypes: 1}, []string{"a"}, 5, 3},
		{"another type was cut", Coverage{Signals: signals("a", 5), MaxTypes: 1}, []string{"b"}, 10, 2},
	} {
		s := newTestBatcher(10)
		part, left := s.missingQuery(q, tt.coverage.Missing(q), &tt.coverage)
		if !slices.Equal(part.ResultTypes(), tt.types) || part.MaxResults() != tt.maxResults || left != tt.left {
			t.Errorf("%s: %v, %d results, %d types left; want %v, %d, %d", tt.name, part.ResultTypes(), part.MaxResults(), left, tt.types, tt.maxResults, tt.left)
		}
		if again, _ := s.missingQuery(q, tt.coverage.Missing(q), &tt.coverage); again != part {
			t.Errorf("%s: the same question is another query for the next line", tt.name)
		}
	}
	s := newTestBatcher(10)
	s.planning = true
	c := Coverage{MaxTypes: 3}
	if all, left := s.missingQuery(q, types, &c); !slices.Equal(all.ResultTypes(), types) || left != 1 {
		t.Errorf("a plan counts %v and %d types left, want all types, and 1", all.ResultTypes(), left)
	}
}

// cutOnce are purchases of which answers about more than two types of an entity were cut.
type cutOnce struct{ noLedger }

func (cutOnce) Coverage(context.Context, *schema.Account, *Query) Coverage {
	return Coverage{MaxBatch: 1, MaxTypes: 2}
}

// TestPlanOfDividedTypes: a plan counts the calls and the cost of all passes of a command.
func TestPlanOfDividedTypes(t *testing.T) {
	t.Parallel()
	q := &Query{Object: schema.Company, Ask: SignalsAsk{Types: []string{"a", "b", "c", "d", "e"}, MaxResults: 10}}
	r := &Runner{Queries: map[schema.Object]*Query{schema.Company: q}, Purchases: cutOnce{}}
	p, err := r.Plan(t.Context(), list{accounts: rows(company("a.example"), company("b.example"))})
	if err != nil || p.Calls() != 6 || p.Ceiling() != 100 || p.Entities() != 2 {
		t.Errorf("Plan() = %d calls, at most %d credits, %v; want 6 and 100", p.Calls(), p.Ceiling(), err)
	}
}
