package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/schema"
)

// TestDryRunOfPages: lookalikes and visitors say what they would request, beyond what was bought
// before, and the run keeps to it. A plan buys nothing and leaves nothing behind.
func TestDryRunOfPages(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	for _, tt := range []struct{ command, list string }{
		{app.LookalikesName, seedList(schema.Company, 7)},
		{app.VisitorsName, ""},
	} {
		r := newRig(t, simulator.Config{})
		flags := func(words ...string) []string {
			if tt.command == app.VisitorsName {
				words = append(words, "--domain", "shop.example")
			}
			return append(words, "--page-size", "20")
		}
		plan := func(what string, says []string, words ...string) {
			t.Helper()
			v := r.runProduct(tt.command, tt.list, flags(append(words, "--dry-run")...)...)
			if v.code != exitComplete || v.credits != 0 || v.calls != 0 {
				t.Errorf("%s, %s: exit %d, %d credits, want %d and none: %s", tt.command, what, v.code, v.credits, exitComplete, v.stderr)
			}
			for _, text := range says {
				if !strings.Contains(v.stdout, text) {
					t.Errorf("%s, %s: the plan does not say %q: %s", tt.command, what, text, v.stdout)
				}
			}
		}
		plan("no lake", []string{"0 results", "30 results at most, in 2 calls", "at most 30"}, "--limit", "30")
		if m := r.readManifest(); m != nil {
			t.Errorf("%s: the plan published something", tt.command)
		}
		if v := r.runProduct(tt.command, tt.list, flags("--limit", "30")...); v.credits != 30 || v.calls != 2 {
			t.Errorf("%s: %d credits in %d calls, want 30 in 2: %s", tt.command, v.credits, v.calls, v.stderr)
		}
		plan("bought before", []string{"30 results, which are not bought again", "15 results at most, in 1 call", "at most 15"}, "--limit", "45")
		plan("nothing left", []string{"0 results at most, in 0 calls"}, "--limit", "30")
		plan("bought again", []string{"30 results at most"}, "--limit", "30", "--refresh")
		if tt.command == app.VisitorsName {
			plan("without a bound", []string{"no bound; at most 20 a page", "without --limit"})
		}
	}
}

// TestDryRunOfRehearsedPages: a lake that a rehearsal filled is planned for under the same day, with
// what the simulator's account says and without a key of the user's.
func TestDryRunOfRehearsedPages(t *testing.T) {
	t.Parallel()
	n := newNights(t, simulator.Config{}, companyDomains(5))
	for _, words := range [][]string{
		{app.LookalikesName, "--seeds", "-"},
		{app.VisitorsName, "--domain", "shop.example"},
	} {
		n.lake = filepath.Join(t.TempDir(), "lake")
		flags := []string{"--as-of", "2026-06-01", "--page-size", "20", "--limit"}
		if v := n.exec(t.Context(), words, n.list, append(flags, "20")...); v.code != exitComplete || v.credits != 20 {
			t.Fatalf("%v: exit %d, %d credits, want %d and 20: %s", words, v.code, v.credits, exitComplete, v.stderr)
		}
		v := n.exec(t.Context(), words, n.list, append(flags, "30", "--dry-run")...)
		if v.code != exitComplete || v.credits != 0 || v.requests == 0 || !strings.Contains(v.stdout, "20 results, which are not bought again") || strings.Contains(v.stdout, "no API key") {
			t.Errorf("%v: exit %d, %d credits, %d requests; want %d, none and some, and what was bought: %s%s", words, v.code, v.credits, v.requests, exitComplete, v.stdout, v.stderr)
		}
		if v := n.exec(t.Context(), words, n.list, "--page-size", "20", "--limit", "30", "--dry-run"); v.code != exitUsage || !strings.Contains(v.stderr, "simulate") {
			t.Errorf("%v without --as-of: exit %d, want %d: %s", words, v.code, exitUsage, v.stderr)
		}
	}
}
