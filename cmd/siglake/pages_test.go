package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// threePageFlags are the flags of a purchase of three pages.
var threePageFlags = []string{"--limit", "60", "--page-size", "20", "--timeout", "2s"}

// TestFaultsOfSearches is TestFaults for the searches of ids.
func TestFaultsOfSearches(t *testing.T) {
	t.Parallel()
	forEachFault(t, nil, proof.Size(3, 1, 1), func(r *rig) {
		r.runProductChecked(app.ResolveName, domainLines(250), "--concurrency", "1", "--timeout", "2s")
	})
}

// TestFaultsOfPages is TestFaults for pages: nothing continues after a page that is
// refused or lost, and the eight seeds share one status.
func TestFaultsOfPages(t *testing.T) {
	t.Parallel()
	reports := map[string]faultReport{}
	for name, want := range faultReports {
		switch {
		case want.inDoubt > 0:
			want.inDoubt, want.calls = 8, 2
		case want.deferred > 0:
			want.deferred = 8
		case want == reportBisected:
			want = faultReport{code: exitUsage, outcome: pipeline.RunDeferred, stop: pipeline.StopRequest, deferred: 8, calls: 2, says: "the API refuses the page"}
		case name == "404-none": // there are no more
			want = faultReport{code: exitComplete, outcome: pipeline.RunComplete, calls: 2, says: "20 results"}
		case name == "missing-entities-some": // a short page
			want = faultReport{code: exitUnexplained, outcome: pipeline.RunComplete, calls: 4}
		}
		reports[name] = want
	}
	forEachFault(t, reports, proof.Size(4, 1, 1), func(r *rig) {
		r.runProductChecked(app.LookalikesName, seedList(schema.Company, 7), threePageFlags...)
	})
}

// pageFlags are the flags of a purchase of so many results in pages of 20.
func pageFlags(limit int, flags ...string) []string {
	return append([]string{"--limit", fmt.Sprint(limit), "--page-size", "20"}, flags...)
}

// TestSessionEnds: when the API forgets a session, in whatever way, nothing is bought
// again while all results can be excluded. Otherwise the run stops and says so, and
// buys everything again with --refresh.
func TestSessionEnds(t *testing.T) {
	t.Parallel()
	for _, o := range []schema.Object{schema.Contact, schema.Company} {
		for _, how := range []string{"code", "envelope", "restart"} {
			if !proof.IsShort() && (o == schema.Contact) == (how == "envelope") {
				continue // each way of ending once, and both kinds of seeds
			}
			t.Run(fmt.Sprint(o, " ", how), func(t *testing.T) {
				cfg, pass := fakeClock(t)
				cfg.Switches.SessionExpiry = how
				cfg.Switches.Events = "most" // there are always more
				r := newRig(t, cfg)
				seeds := seedList(o, 3)
				buy := func(limit, code, results int, flags ...string) runResult {
					t.Helper()
					v := r.runProduct(app.LookalikesName, seeds, pageFlags(limit, flags...)...)
					if v.code != code || v.credits != int64(results) {
						t.Errorf("--limit %d: exit %d, %d credits; want %d, %d: %s%s", limit, v.code, v.credits, code, results, v.stdout, v.stderr)
					}
					return v
				}
				buy(60, exitComplete, 60)
				buy(80, exitComplete, 20) // in the session
				pass(31)
				buy(100, exitComplete, 20) // in a new one
				buy(140, exitComplete, 40) // in that, which knows nothing of the first
				buy(160, exitComplete, 20) // and more than can be excluded
				if n := r.countTwice(); n > 0 {
					t.Errorf("%d results were bought twice", n)
				}
				pass(31)
				says := "the session has expired, so the API no longer knows what it returned (160 results)"
				paid := 0
				if how == "restart" {
					says, paid = "the API returned, and charged for, 20 results a second time", 20 // the session alone cannot show it
				}
				if v := buy(180, exitDeferred, paid); !strings.Contains(v.stdout, says) || !strings.Contains(v.stdout, "--refresh") {
					t.Errorf("it does not say %q, and what to do:\n%s", says, v.stdout)
				}
				if n := r.countTwice(); n > paid {
					t.Errorf("%d results were bought twice, want at most the %d of one page", n, paid)
				}
				buy(200, exitDeferred, 0)
				if ranks := r.rankedLookalikes(); len(ranks) != 160+paid || ranks[len(ranks)-1]["rank"].(int64) != int64(len(ranks)) {
					t.Errorf("%d results, want %d, with ranks without a gap", len(ranks), 160+paid)
				}
				r.checkRebuild()
				buy(40, exitComplete, 40, "--refresh", "--new-run")
				r.checkRebuild()
			})
		}
	}
}

// TestSessionEndsUnderWay: a session that ends between two pages of one run.
func TestSessionEndsUnderWay(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"code", "envelope", "restart"} {
		r := newRig(t, simulator.Config{SessionLife: time.Nanosecond, Switches: simulator.Switches{SessionExpiry: how, Events: "most"}})
		v := r.runProduct(app.LookalikesName, seedList(schema.Company, 3), pageFlags(60)...)
		paid, code := 0, exitComplete
		if how == "restart" {
			paid, code = 20, exitDeferred // the second page, until its results are seen to be those of the first
		}
		if n := r.countTwice(); v.code != code || v.credits != 60 || n > paid {
			t.Errorf("%s: exit %d, %d credits, %d results twice; want %d, 60, at most %d: %s", how, v.code, v.credits, n, code, paid, v.stderr)
		}
		v = r.runProduct(app.LookalikesName, seedList(schema.Company, 3), pageFlags(200)...)
		if n := r.countTwice(); v.code != exitDeferred || n > paid {
			t.Errorf("%s: exit %d, %d results twice; want %d, at most %d: %s", how, v.code, n, exitDeferred, paid, v.stdout)
		}
		r.checkRebuild()
	}
}

// pagedCommand is a command that asks for page after page, of 20 results each.
type pagedCommand struct {
	name  string
	words []string // up to its flags
	list  string
	table schema.Category
}

var pagedCommands = []pagedCommand{
	{"contacts", []string{app.LookalikesName, "--seeds"}, seedList(schema.Contact, 5), schema.CategoryLookalikes},
	{"companies", []string{app.LookalikesName, "--seeds"}, seedList(schema.Company, 5), schema.CategoryLookalikes},
	{"visitors", []string{app.VisitorsName, "--domain", "shop.example"}, "", schema.CategoryVisits},
}

// TestLostPages: a page with a lost answer holds all pages after it until the user
// decides; then the same command, or siglake resume, continues.
func TestLostPages(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	for _, p := range pagedCommands {
		for _, decide := range []string{"retry", "accept-loss"} {
			for _, resume := range []bool{false, true} {
				for at := 1; at <= 2; at++ {
					if !proof.IsShort() && resume == (at == 1) {
						continue
					}
					t.Run(fmt.Sprint(p.name, " ", decide, " ", resume, " ", at), func(t *testing.T) {
						r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "drop-after-charge", At: at}}, Switches: simulator.Switches{Events: "most"}})
						words := slices.Clone(p.words)
						if p.list != "" {
							words = append(words, writeText(t, p.list))
						}
						carry := func() runResult { return r.exec(t.Context(), words, "", pageFlags(60)...) }
						v := carry()
						if v.code != exitInDoubt || v.calls != at || !strings.Contains(v.stdout, "held list") {
							t.Errorf("exit %d after %d calls, want %d and %d: %s", v.code, v.calls, exitInDoubt, at, v.stdout)
						}
						if listed := r.mustExit(exitComplete, "held", "list"); !strings.Contains(listed, "0 to 20 credits") || !strings.Contains(listed, "1 call in doubt") {
							t.Errorf("held list:\n%s", listed)
						}
						if v := carry(); v.code != exitInDoubt || v.calls != 0 || !strings.Contains(v.stdout, "lets this command continue after it") {
							t.Errorf("undecided: exit %d after %d calls, want %d and none: %s", v.code, v.calls, exitInDoubt, v.stdout)
						}
						if v := r.onCopy().exec(t.Context(), words, "", pageFlags(80)...); v.code != exitInDoubt || v.calls != 0 {
							t.Errorf("undecided, and more wanted: exit %d after %d calls, want %d and none: %s", v.code, v.calls, exitInDoubt, v.stdout)
						}
						r.checkRebuild()
						r.mustExit(exitComplete, "held", decide)
						if resume {
							v = r.exec(t.Context(), []string{"resume"}, "")
						} else {
							v = carry()
						}
						want := 4 - at // pages that are left
						if decide == "accept-loss" && p.table == schema.CategoryVisits {
							want-- // its place is known, and it is not asked for again
						}
						if decide == "accept-loss" && at == 1 && p.table == schema.CategoryLookalikes {
							want = 0 // the session is lost with it: another one would give the same
						}
						if v.code != exitComplete || v.calls != want {
							t.Errorf("decided: exit %d after %d calls, want %d and %d: %s%s", v.code, v.calls, exitComplete, want, v.stdout, v.stderr)
						}
						if n := r.countResults(); n != int64(20*(at-1+want)) {
							t.Errorf("%d results, want %d", n, 20*(at-1+want))
						}
						r.checkInterval(int64(20*(at-1+want)), int64(20*(at+want)))
						if decide == "accept-loss" && want == 0 && r.manifest.Accounts.ByStatus[schema.WrittenOff] == 0 && !resume {
							t.Errorf("lines %v, want the seeds lost", r.manifest.Accounts.ByStatus)
						}
						if v := carry(); v.code != exitComplete || v.calls != 0 {
							t.Errorf("once more: exit %d after %d calls, want %d and none: %s", v.code, v.calls, exitComplete, v.stdout)
						}
						r.checkRebuild()
					})
				}
			}
		}
	}
}

// countResults counts what pages brought, over all generations.
func (r *rig) countResults() (n int64) {
	r.t.Helper()
	for _, m := range r.generations() {
		for _, brought := range m.Products {
			n += brought
		}
	}
	return n
}

// TestLostSearches: a search with a lost answer holds its lines until the user
// decides; then only they are searched, and requested.
func TestLostSearches(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	for _, product := range []string{"run", app.ResolveName} {
		for _, decide := range []string{"retry", "accept-loss"} {
			for _, resume := range []bool{false, true} {
				if !proof.IsShort() && resume == ((product == "run") == (decide == "retry")) {
					continue // half of the combinations, with each of the values
				}
				t.Run(fmt.Sprint(product, " ", decide, " ", resume), func(t *testing.T) {
					r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 2}}})
					words, flags := []string{product, writeText(t, domainLines(250))}, []string{"--concurrency", "1"}
					if product == "run" {
						flags = append(flags, v3Flags...)
					}
					carry := func() runResult { return r.exec(t.Context(), words, "", flags...) }
					v := carry()
					if n := r.manifest.Accounts.ByStatus[schema.InDoubt]; v.code != exitInDoubt || n != 100 {
						t.Errorf("exit %d, %d lines held; want %d, 100: %s", v.code, n, exitInDoubt, v.stdout)
					}
					if listed := r.mustExit(exitComplete, "held", "list"); !strings.Contains(listed, "0 to 4 credits") || !strings.Contains(listed, "100 compan") {
						t.Errorf("held list:\n%s", listed)
					}
					for _, at := range []*rig{r, r.onCopy()} {
						if v := at.exec(t.Context(), words, "", flags...); v.code != exitInDoubt || v.calls != 0 {
							t.Errorf("undecided: exit %d after %d calls, want %d and none: %s", v.code, v.calls, exitInDoubt, v.stdout)
						}
						flags = append(flags, "--new-run")
					}
					flags = flags[:len(flags)-2]
					r.checkRebuild()
					r.mustExit(exitComplete, "held", decide)
					v, got := r.countCalls(func() runResult {
						if resume {
							return r.exec(t.Context(), []string{"resume"}, "")
						}
						return carry()
					})
					searched := 0
					if decide == "retry" {
						searched = 100
					}
					if v.code != exitComplete || got.searched != searched || got.entities > searched || got.entities > 0 != (searched > 0 && product == "run") {
						t.Errorf("decided: exit %d, %+v; want %d, %d searched and only they asked about: %s", v.code, got, exitComplete, searched, v.stderr)
					}
					if v := carry(); v.code != exitComplete || v.calls != 0 {
						t.Errorf("once more: exit %d after %d calls, want %d and none: %s", v.code, v.calls, exitComplete, v.stdout)
					}
					status := r.mustExit(exitComplete, "status")
					if says := map[string]string{"retry": "1 call released", "accept-loss": "1 call accepted as lost"}[decide]; !strings.Contains(status, says) {
						t.Errorf("status does not say %q:\n%s", says, status)
					}
					r.checkRebuild()
				})
			}
		}
	}
}

// TestResumeOf: siglake resume continues a killed run of any command.
func TestResumeOf(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	list := []string{"--concurrency", "1", "--batch-size", "50"}
	for _, c := range []struct {
		name  string
		words []string
		text  string
		flags []string
		calls int
	}{
		{"signals", []string{"run"}, domainLines(200), slices.Concat(list, v3Flags), 0},
		{app.ResolveName, []string{app.ResolveName}, domainLines(200), list, 4},
		{app.ScoreName, []string{app.ScoreName}, domainLines(200), list, 4},
		{"contacts", pagedCommands[0].words, pagedCommands[0].list, pageFlags(80), 4},
		{"companies", pagedCommands[1].words, pagedCommands[1].list, pageFlags(80), 4},
		{"visitors", pagedCommands[2].words, "", pageFlags(80), 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := simulator.Config{Switches: simulator.Switches{Events: "most"}}
			words := slices.Clone(c.words)
			if c.text != "" {
				words = append(words, writeText(t, c.text))
			}
			baseline := newRig(t, cfg)
			baseline.exec(t.Context(), words, "", c.flags...)
			want, _ := lakeRowsByKey(baseline)

			r := newRig(t, cfg)
			crashAt(t, func(op, _ string) bool { return op == "sync" && r.billedCalls() == 2 })
			first := r.exec(t.Context(), words, "", c.flags...)
			clearHook(t)
			if first.code != exitStorage || first.calls != 2 {
				t.Fatalf("exit %d after %d calls, want %d after 2: %s", first.code, first.calls, exitStorage, first.stderr)
			}
			v := r.exec(t.Context(), []string{"resume"}, "", list...)
			if v.code != exitComplete || c.calls > 0 && v.calls != c.calls-2 || r.billedCalls() != baseline.billedCalls() {
				t.Errorf("resume: exit %d after %d calls, %d billed in all; want %d, and %d in all: %s", v.code, v.calls, r.billedCalls(), exitComplete, baseline.billedCalls(), v.stderr)
			}
			got, _ := lakeRowsByKey(r)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("rows, undisturbed and resumed (-want +got):\n%.2000s", diff)
			}
			r.checkRebuild()
			if v := r.exec(t.Context(), []string{"resume"}, ""); v.code != exitComplete || !strings.Contains(v.stdout, "Nothing to resume") {
				t.Errorf("once more: exit %d: %s%s", v.code, v.stdout, v.stderr)
			}
		})
	}
}
