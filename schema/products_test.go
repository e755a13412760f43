package schema

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// columnNamed is a column of a table, reduced to the properties that readers see.
func columnNamed(t *testing.T, table, name string) (c Column, ok bool) {
	t.Helper()
	found, known := TableNamed(table)
	if !known {
		t.Fatalf("TableNamed(%s) = none", table)
	}
	i := slices.IndexFunc(found.Columns, func(c Column) bool { return c.Name == name })
	if i < 0 {
		return Column{}, false
	}
	return found.Columns[i], true
}

// TestVisitsAndVisitorsAgree: what both a visits page and a websiteVisitors signal say about a
// company is stored in columns of the same name and type.
func TestVisitsAndVisitorsAgree(t *testing.T) {
	for _, name := range []string{
		"score", "score_band", "total_sessions", "unique_visitors", "avg_session_minutes", "days_visited", "high_intent_pageviews", "last_visit", "visitor_country",
	} {
		signal, inSignals := columnNamed(t, string(CategoryIntent), name)
		visit, inVisits := columnNamed(t, string(CategoryVisits), name)
		if diff := cmp.Diff(signal, visit); diff != "" || !inSignals || !inVisits {
			t.Errorf("%s, in intent %t, in website_visits %t (-intent +website_visits):\n%s", name, inSignals, inVisits, diff)
		}
	}
}

// TestColumnsOfOneName: a column has the same form in every table that has it, so that UNIONs and
// joins of tables work.
func TestColumnsOfOneName(t *testing.T) {
	type form struct {
		Type Type
		Host bool // see BareHost
	}
	forms := map[string]form{}
	for _, table := range Tables {
		for _, c := range table.Columns {
			is := form{c.Type, c.Host}
			if was, seen := forms[c.Name]; seen && was != is {
				t.Errorf("%s.%s is %+v, elsewhere %+v", table.Name, c.Name, is, was)
			}
			forms[c.Name] = is
		}
	}
}

// TestBareHost: every form of a domain has one bare host.
func TestBareHost(t *testing.T) {
	for text, want := range map[string]string{
		"harbor.example": "harbor.example", "WWW.Harbor.Example.": "harbor.example", "https://www.harbor.example/about?x#y": "harbor.example",
		"http://harbor.example:8080": "harbor.example", "www2.harbor.example": "www2.harbor.example", "www.com": "www.com", "www.www.example": "www.example",
		" harbor.example ": "harbor.example", "": "", "https://": "", "wwwharbor.example": "wwwharbor.example", "bücher.example": "bücher.example",
	} {
		if got := BareHost(text); got != want {
			t.Errorf("BareHost(%q) = %q, want %q", text, got, want)
		}
	}
}
