package main

import (
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
