package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/schema"
)

// TestWidenedInDoubt: a question that asks for more than a call in doubt, or for another part of
// it, is held like the question itself, and the plan says so. A decision releases it.
func TestWidenedInDoubt(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	list := domainLines(40)
	first := []string{"--signals", "news", "--max-results", "5", "--since", "60d", "--concurrency", "1"}
	for _, c := range []struct {
		name  string
		flags []string
	}{
		{"a higher cap", []string{"--max-results", "8"}},
		{"a lower cap", []string{"--max-results", "3"}},
		{"an earlier start", []string{"--since", "90d"}},
		{"a later start", []string{"--since", "30d"}},
		{"a filter", []string{"--news-event-types", "Partnership"}},
		{"more types", []string{"--signals", "news,growth"}},
		{"the other version of the API", []string{"--api", "v3", "--max-results", "8"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 1}}})
			r.run(list, first...)
			if r.code != exitInDoubt || len(r.manifest.InDoubt) != 1 {
				t.Fatalf("exit %d, in doubt %+v; want %d and one call", r.code, r.manifest.InDoubt, exitInDoubt)
			}
			name := r.manifest.Run.ID + "/" + r.manifest.InDoubt[0].Call
			wider := slices.Concat(first, c.flags)
			plan := r.exec(t.Context(), []string{"plan", "-"}, list, wider...)
			if plan.credits != 0 || !strings.Contains(plan.stdout, name) || !strings.Contains(plan.stdout, "40 lines held") {
				t.Errorf("the plan does not name %s: %s%s", name, plan.stdout, plan.stderr)
			}
			held := r.rerun(list, wider...)
			signals := held.credits
			if c.name == "the other version of the API" {
				signals -= r.sim.Bill().ByType["search"]
			}
			if held.code != exitInDoubt || signals != 0 || r.manifest.Accounts.ByStatus[schema.InDoubt] != 40 {
				t.Errorf("exit %d, %d credits, lines %v; want %d, none, all held: %s", held.code, signals, r.manifest.Accounts.ByStatus, exitInDoubt, held.stderr)
			}
			if r.manifest.InDoubt[0].Name() != name {
				t.Errorf("held by %s, want %s", r.manifest.InDoubt[0].Name(), name)
			}
			r.mustExit(exitComplete, "verify")
			r.mustExit(exitComplete, "held", "retry")
			if again := r.rerun(list, wider...); again.code != exitComplete || again.credits == 0 || again.calls < 4 {
				t.Errorf("released: exit %d, %d credits in %d calls; want %d, some, small batches: %s", again.code, again.credits, again.calls, exitComplete, again.stderr)
			}
			r.mustExit(exitComplete, "verify")
		})
	}
}

// TestWidenedInDoubtBudget: --in-doubt-budget counts what the calls can cost that repeat a lost one,
// by the question that is asked now, and in the small batches that it is asked in.
func TestWidenedInDoubtBudget(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	lose := simulator.Config{Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 1}}, Switches: simulator.Switches{Events: "most"}}
	signals := []string{"--signals", "news", "--concurrency", "1", "--max-results"}
	for _, c := range []struct {
		name         string
		words        []string
		first, again []string
		most         int64
	}{
		{"a higher cap", []string{"run", "-"}, append(slices.Clone(signals), "2"), append(slices.Clone(signals), "9"), 40 * 9},
		{"a search by 25", []string{app.ResolveName, "-"}, nil, nil, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, lose)
			list := domainLines(40)
			r.exec(t.Context(), c.words, list, c.first...)
			if len(r.manifest.InDoubt) != 1 {
				t.Fatalf("in doubt: %+v, want one call", r.manifest.InDoubt)
			}
			types := int64(len(r.manifest.Queries[0].ResultTypes()))
			within := func(budget int64) runResult {
				return r.exec(t.Context(), c.words, list, append(c.again, "--in-doubt", "retry", "--in-doubt-budget", fmt.Sprint(budget))...)
			}
			if v := within(c.most*types - 1); v.code != exitInDoubt || v.credits != 0 || !strings.Contains(v.stderr, fmt.Sprintf("the cheapest can cost %d", c.most*types)) {
				t.Errorf("one credit too little: exit %d, %d credits, want %d and none: %s", v.code, v.credits, exitInDoubt, v.stderr)
			}
			if v := within(c.most * types); v.code != exitComplete || v.credits == 0 || v.credits > c.most*types {
				t.Errorf("enough: exit %d, %d credits, want %d and at most %d: %s", v.code, v.credits, exitComplete, c.most*types, v.stderr)
			}
		})
	}
}

// TestWidenedAfterWriteOff: what was written off is given up for its own question only; more of it
// is bought, and announced as bought again.
func TestWidenedAfterWriteOff(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 1}}})
	list, flags := domainLines(20), []string{"--signals", "news", "--max-results", "5"}
	r.run(list, flags...)
	r.mustExit(exitComplete, "held", "accept-loss")
	if v := r.rerun(list, flags...); v.calls != 0 || v.code != exitComplete {
		t.Errorf("the same: exit %d after %d calls, want %d and none", v.code, v.calls, exitComplete)
	}
	if v := r.rerun(list, append(flags, "--max-results", "8")...); v.code != exitComplete || v.credits == 0 || !strings.Contains(v.stderr, "repeating purchases") {
		t.Errorf("more: exit %d, %d credits, want %d, some, and an announcement: %s", v.code, v.credits, exitComplete, v.stderr)
	}
}

// TestContinuedRunAnnounces: a run that continues one with held lines announces what it buys
// again: the one that held them did not.
func TestContinuedRunAnnounces(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 2}}, Switches: simulator.Switches{Events: "most"}})
	list, flags := domainLines(40), []string{"--since", "60d", "--concurrency", "1", "--max-results"}
	r.run(list, append(flags, "1", "--signals", "news")...)
	r.rerun(list, append(flags, "1", "--signals", "growth")...)
	wider := append(flags, "5", "--signals", "news,growth")
	if v := r.rerun(list, wider...); v.code != exitInDoubt || v.credits != 0 || strings.Contains(v.stderr, "repeating purchases") {
		t.Errorf("held: exit %d, %d credits, want %d, none, and no announcement: %s", v.code, v.credits, exitInDoubt, v.stderr)
	}
	held := r.manifest.Run.ID
	r.mustExit(exitComplete, "held", "retry")
	v := r.rerun(list, wider...)
	if v.code != exitComplete || v.credits == 0 || r.manifest.Run.Continues != held || !strings.Contains(v.stderr, "repeating purchases") {
		t.Errorf("released: exit %d, %d credits, continues %q; want %d, some, %q, and an announcement: %s", v.code, v.credits, r.manifest.Run.Continues, exitComplete, held, v.stderr)
	}
	r.mustExit(exitComplete, "verify")
}

// TestResumedRunAnnounces: a resumed run announces what it buys again if the lines were held in its
// first session, and does not count what that session bought.
func TestResumedRunAnnounces(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 2}}, Switches: simulator.Switches{Events: "most"}})
	list, flags := domainLines(40), []string{"--since", "60d", "--concurrency", "1", "--max-results"}
	r.run(list, append(flags, "1", "--signals", "news")...)
	r.rerun(list, append(flags, "1", "--signals", "growth")...)
	wider, longer := append(flags, "5", "--signals", "news,growth"), extraDomain+"\n"+list
	crashAt(t, func(op, _ string) bool { return op == "sync" && r.billedCalls() == 3 })
	v := r.rerun(longer, wider...)
	clearHook(t)
	if v.code != exitStorage || v.entities != 1 || strings.Contains(v.stderr, "repeating purchases") {
		t.Fatalf("the session that dies: exit %d, %d entities, want %d, the one that is not held, and no announcement: %s", v.code, v.entities, exitStorage, v.stderr)
	}
	r.mustExit(exitComplete, "held", "retry")
	again := r.rerun(longer, wider...)
	if again.code != exitComplete || again.entities != 40 || !strings.Contains(again.stderr, "resuming run") || !strings.Contains(again.stderr, "repeating purchases") {
		t.Errorf("the next session: exit %d, %d entities; want %d, 40, and an announcement: %s", again.code, again.entities, exitComplete, again.stderr)
	}
	r.mustExit(exitComplete, "verify")
}

// TestResumedRefreshAnnounces: a resumed refresh announces what it has yet to buy again, and holds its
// own calls in doubt.
func TestResumedRefreshAnnounces(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{Switches: simulator.Switches{Events: "most"}})
	list, flags := domainLines(30), []string{"--signals", "surgeInHiring", "--concurrency", "1", "--batch-size", "10"}
	lines := strings.SplitAfter(list, "\n")
	r.run(strings.Join(slices.Concat(lines[:10], lines[20:]), ""), flags...)
	refresh := append(flags, "--refresh")
	crashAt(t, func(op, _ string) bool { return op == "write" && r.billedCalls() == 4 }) // of the lines that are new
	v := r.rerun(list, refresh...)
	clearHook(t)
	if v.code != exitStorage || v.entities != 20 || !strings.Contains(v.stderr, "pairs_again=20 ") {
		t.Fatalf("the session that dies: exit %d, %d entities; want %d, 20, and 20 pairs announced: %s", v.code, v.entities, exitStorage, v.stderr)
	}
	again := r.rerun(list, refresh...)
	if again.code != exitInDoubt || again.entities != 10 || !strings.Contains(again.stderr, "resuming run") || !strings.Contains(again.stderr, "pairs_again=10 ") {
		t.Errorf("the next session: exit %d, %d entities; want %d, 10, and 10 pairs announced: %s", again.code, again.entities, exitInDoubt, again.stderr)
	}
	if strings.Contains(again.stderr, "repeating calls in doubt") {
		t.Errorf("it says that it repeats the call that it holds: %s", again.stderr)
	}
}

// TestRefreshContinuedByRefresh: only a refresh continues a refresh. The command without --refresh buys
// nothing of what an unfinished refresh left, or of its calls that were released, and the refresh continues
// after it.
func TestRefreshContinuedByRefresh(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{Switches: simulator.Switches{Events: "most"}})
	list, plain := domainLines(40), []string{"--signals", "surgeInHiring", "--concurrency", "1", "--batch-size", "10"}
	refresh := append(slices.Clone(plain), "--refresh")
	exec := func(what, word string, flags []string, code, entities int, says string) {
		t.Helper()
		v := r.exec(t.Context(), []string{word, "-"}, list, flags...)
		if word == "plan" {
			var report app.PlanReport
			r.decode([]byte(v.stdout), &report)
			v.entities = int(report.Entities)
		}
		if v.code != code || v.entities != entities || !strings.Contains(v.stdout+v.stderr, says) {
			t.Fatalf("%s: exit %d, %d entities; want %d, %d, and %q: %s%s", what, v.code, v.entities, code, entities, says, v.stdout, v.stderr)
		}
	}
	exec("a run", "run", plain, exitComplete, 40, "")
	crashAt(t, func(op, _ string) bool { return op == "write" && r.billedCalls() == 6 }) // the second call of the refresh is lost
	exec("a refresh that dies", "run", refresh, exitStorage, 20, "pairs_again=40 ")
	clearHook(t)
	exec("a plan without it", "plan", append(slices.Clone(plain), "--json"), exitComplete, 0, "--refresh is missing")
	exec("without it", "run", plain, exitUsage, 0, "--refresh is missing")
	exec("a night without it", "run", append(slices.Clone(plain), "--unattended", "--max-credits", "1000"), exitInDoubt, 0, "closed an unfinished run")
	exec("a plan of the refresh", "plan", append(slices.Clone(refresh), "--json"), exitComplete, 20, "")
	exec("the refresh", "run", refresh, exitInDoubt, 20, "pairs_again=20 ")
	r.mustExit(exitComplete, "held", "retry")
	exec("a plan without the refresh", "plan", append(slices.Clone(plain), "--json"), exitComplete, 0, "")
	exec("without the refresh", "run", plain, exitComplete, 0, "40 cached")
	exec("what was released", "run", refresh, exitComplete, 10, "pairs_again=10 ")
	exec("without it at last", "run", plain, exitComplete, 0, "Nothing to do")
	r.mustExit(exitComplete, "verify")
}

// TestRefreshCompleted: a refresh whose process died while it was published is completed by the same
// command, which buys nothing a third time. Only the next one is another refresh.
func TestRefreshCompleted(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	for _, words := range [][]string{{"run", "-"}, {"resume", "-"}} {
		r := newRig(t, simulator.Config{})
		list, flags := domainLines(10), []string{"--signals", "news"}
		r.run(list, flags...)
		refresh := append(slices.Clone(flags), "--refresh")
		crashAt(t, func(op, path string) bool {
			return r.billedCalls() == 2 && op == "rename" && strings.Contains(path, "/ledger/")
		})
		if v := r.rerun(list, refresh...); v.code != exitStorage || v.entities != 10 {
			t.Fatalf("the refresh that dies: exit %d, %d entities; want %d, 10: %s", v.code, v.entities, exitStorage, v.stderr)
		}
		clearHook(t)
		again := refresh
		if words[0] == "resume" {
			again = nil
		}
		if v := r.exec(t.Context(), words, list, again...); v.code != exitComplete || v.entities != 0 || !strings.Contains(v.stderr, "completed the publication") || !strings.Contains(v.stdout, "Nothing to do") {
			t.Errorf("%s: exit %d, %d entities; want %d, none, and the publication: %s%s", words[0], v.code, v.entities, exitComplete, v.stdout, v.stderr)
		}
		if v := r.rerun(list, refresh...); v.code != exitComplete || v.entities != 10 {
			t.Errorf("another refresh: exit %d, %d entities; want %d, 10: %s", v.code, v.entities, exitComplete, v.stderr)
		}
	}
}

// TestRefreshAnnouncesCapped: a refresh for more than was bought announces all pairs that were bought.
func TestRefreshAnnouncesCapped(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{Switches: simulator.Switches{Events: "most"}})
	list, flags := domainLines(5), []string{"--signals", "surgeInHiring", "--max-results"}
	r.run(list, append(flags, "1")...)
	if v := r.rerun(list+extraDomain, append(flags, "3", "--refresh")...); v.code != exitComplete || v.entities != 6 || !strings.Contains(v.stderr, "pairs_again=5 pairs=6 ") {
		t.Errorf("exit %d, %d entities; want %d, 6, and 5 of 6 pairs announced: %s", v.code, v.entities, exitComplete, v.stderr)
	}
}

// TestRefreshedPagesContinuedByRefresh is TestRefreshContinuedByRefresh for pages.
func TestRefreshedPagesContinuedByRefresh(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{})
	for _, step := range []struct {
		flags   []string
		code    int
		credits int64
	}{
		{nil, exitComplete, 60},
		{[]string{"--refresh", "--max-credits", "20"}, exitDeferred, 20},
		{nil, exitComplete, 0},
		{[]string{"--refresh"}, exitComplete, 40},
	} {
		v := r.runProduct(app.VisitorsName, "", append(step.flags, "--domain", "shop.example.com", "--page-size", "20", "--limit", "60")...)
		if v.code != step.code || v.credits != step.credits {
			t.Errorf("%v: exit %d, %d credits; want %d, %d: %s%s", step.flags, v.code, v.credits, step.code, step.credits, v.stdout, v.stderr)
		}
		r.mustExit(exitComplete, "verify")
	}
}

// TestRefreshOverInDoubt: a refresh names the undecided calls that it passes over, and settles
// what they held: nothing of it is held afterwards.
func TestRefreshOverInDoubt(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 1}}})
	list, flags := domainLines(20), []string{"--signals", "news", "--max-results", "5"}
	r.run(list, flags...)
	name := r.manifest.Run.ID + "/" + r.manifest.InDoubt[0].Call
	refresh := append(slices.Clone(flags), "--refresh", "--new-run")
	if v := r.exec(t.Context(), []string{"plan", "-"}, list, refresh...); !strings.Contains(v.stdout, name) {
		t.Errorf("the plan does not name %s: %s", name, v.stdout)
	}
	if v := r.rerun(list, refresh...); v.code != exitComplete || v.credits == 0 || !strings.Contains(v.stderr, name) {
		t.Errorf("exit %d, %d credits, and it must name %s: %s", v.code, v.credits, name, v.stderr)
	}
	wider := r.rerun(list, append(flags, "--max-results", "8")...)
	if wider.code != exitComplete || r.manifest.Accounts.ByStatus[schema.InDoubt] != 0 {
		t.Errorf("exit %d, lines %v; want %d, none held: %s", wider.code, r.manifest.Accounts.ByStatus, exitComplete, wider.stderr)
	}
}

// TestRefreshOverDoubtsOfRefresh: a refresh names the undecided calls that earlier ones left, although
// older answers to the same questions count for a run without --refresh.
func TestRefreshOverDoubtsOfRefresh(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	for _, c := range []struct {
		name  string
		words []string
		flags []string
		crash bool // the refresh dies; its next session holds what it lost
	}{
		{"lost answers", []string{"run", "-"}, []string{"--signals", "news"}, false},
		{"a process that died", []string{"run", "-"}, []string{"--signals", "news"}, true},
		{"searches", []string{app.ResolveName, "-"}, nil, false},
		{"scores", []string{app.ScoreName, "-"}, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			faults := []simulator.Fault{{Kind: "drop-after-charge", At: 4}, {Kind: "drop-after-charge", At: 7}}
			if c.crash {
				faults = nil
			}
			r := newRig(t, simulator.Config{Faults: faults})
			list, flags := domainLines(30), append(c.flags, "--concurrency", "1", "--batch-size", "10")
			refresh := append(slices.Clone(flags), "--refresh")
			exec := func(flags []string) runResult { return r.exec(t.Context(), c.words, list, flags...) }
			if v := exec(flags); v.code != exitComplete {
				t.Fatalf("exit %d, want %d: %s", v.code, exitComplete, v.stderr)
			}
			if c.crash {
				crashAt(t, func(op, _ string) bool { return op == "write" && r.billedCalls() == 4 })
				exec(refresh)
				clearHook(t)
			}
			var names []string
			for len(names) < 2 { // the second refresh loses a call about the same lines; a crash loses one call
				v := exec(refresh)
				if v.code != exitInDoubt || len(r.manifest.InDoubt) != 1 {
					t.Fatalf("exit %d, in doubt %+v; want %d and one call: %s", v.code, r.manifest.InDoubt, exitInDoubt, v.stderr)
				}
				for _, name := range names {
					if !strings.Contains(v.stderr, name) {
						t.Errorf("the refresh that loses a call as well does not name %s: %s", name, v.stderr)
					}
				}
				if names = append(names, r.manifest.Run.ID+"/"+r.manifest.InDoubt[0].Call); c.crash {
					break
				}
			}
			if v := exec(flags); v.calls != 0 || strings.Contains(v.stderr, "repeating") {
				t.Errorf("without --refresh: %d calls, want none, and no word: %s", v.calls, v.stderr)
			}
			plan := r.exec(t.Context(), []string{"plan", "-", "--for", c.words[0]}, list, refresh...)
			v := exec(refresh)
			for _, name := range names {
				if !strings.Contains(plan.stdout, "requests 10 lines again") || !strings.Contains(plan.stdout, name) {
					t.Errorf("the plan does not name %s: %s%s", name, plan.stdout, plan.stderr)
				}
				if v.code != exitComplete || v.calls == 0 || !strings.Contains(v.stderr, "repeating calls in doubt that are undecided") || !strings.Contains(v.stderr, name) {
					t.Errorf("exit %d after %d calls, and it must name %s: %s", v.code, v.calls, name, v.stderr)
				}
			}
			if v := exec(refresh); v.code != exitComplete || strings.Contains(v.stderr, "repeating calls in doubt") {
				t.Errorf("bought again since: exit %d, want %d and no call named: %s", v.code, exitComplete, v.stderr)
			}
		})
	}
}

// TestInDoubtOfYesterday: another day's window is another purchase, but a run names the undecided
// calls with windows that overlap its own before it repeats them.
func TestInDoubtOfYesterday(t *testing.T) {
	t.Parallel()
	cfg, pass := fakeClock(t)
	cfg.Faults = []simulator.Fault{{Kind: "drop-after-charge", At: 1}}
	r := newRig(t, cfg)
	list, flags := domainLines(20), []string{"--signals", "news", "--max-results", "5", "--since", "30d"}
	r.run(list, flags...)
	name := r.manifest.Run.ID + "/" + r.manifest.InDoubt[0].Call
	pass(1)
	if v := r.exec(t.Context(), []string{"plan", "-"}, list, flags...); !strings.Contains(v.stdout, name) {
		t.Errorf("the plan does not name %s: %s", name, v.stdout)
	}
	if v := r.rerun(list, flags...); v.code != exitComplete || v.credits == 0 || !strings.Contains(v.stderr, name) {
		t.Errorf("exit %d, %d credits, and it must name %s: %s", v.code, v.credits, name, v.stderr)
	}
	pass(40)
	if v := r.rerun(list, flags...); v.code != exitComplete || strings.Contains(v.stderr, name) {
		t.Errorf("windows that share no day: exit %d, %s", v.code, v.stderr)
	}
}

// TestWidenedPagesInDoubt: pages of the same seeds or sites are held under other exclusions, or
// another start, and a refresh of them names the call.
func TestWidenedPagesInDoubt(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	seeds := writeText(t, seedList(schema.Company, 7))
	exclude := writeText(t, "domain\ncompany-0900.example\n")
	for _, c := range []struct {
		name         string
		words, wider []string
	}{
		{"lookalikes", []string{app.LookalikesName, "--seeds", seeds}, []string{"--exclude", exclude}},
		{"visitors", []string{app.VisitorsName, "--domain", "shop.example.com", "--since", "30d"}, []string{"--since", "60d"}},
		{"visitors of more sites", []string{app.VisitorsName, "--domain", "shop.example.com"}, []string{"--domain", "shop.example.com,www2.example.com"}},
	} {
		for at := 1; at <= 2; at++ {
			t.Run(fmt.Sprint(c.name, " ", at), func(t *testing.T) {
				r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "drop-after-charge", At: at}}, Switches: simulator.Switches{Events: "most"}})
				v := r.exec(t.Context(), c.words, "", pageFlags(60)...)
				if v.code != exitInDoubt {
					t.Fatalf("exit %d, want %d: %s", v.code, exitInDoubt, v.stderr)
				}
				name := r.manifest.Run.ID + "/" + r.manifest.InDoubt[0].Call
				wider := slices.Concat(c.words, c.wider)
				if v := r.exec(t.Context(), wider, "", pageFlags(60)...); v.code != exitInDoubt || v.calls != 0 || !strings.Contains(v.stdout, name) {
					t.Errorf("exit %d after %d calls, want %d and none, because of %s: %s%s", v.code, v.calls, exitInDoubt, name, v.stdout, v.stderr)
				}
				for _, words := range [][]string{{"plan", "-"}, {"plan", "-", "--for", c.words[0]}} {
					if v := r.exec(t.Context(), words, domainLines(3), baseFlags...); !strings.Contains(v.stdout+v.stderr, name) {
						t.Errorf("%v does not name %s: %s%s", words, name, v.stdout, v.stderr)
					}
				}
				r.checkRebuild()
				if v := r.onCopy().exec(t.Context(), wider, "", pageFlags(60, "--refresh", "--new-run")...); v.code != exitComplete || v.calls != 3 || !strings.Contains(v.stderr, name) {
					t.Errorf("refresh: exit %d after %d calls, want %d and 3, and %s named: %s", v.code, v.calls, exitComplete, name, v.stderr)
				}
				r.mustExit(exitComplete, "held", "retry")
				if v := r.exec(t.Context(), wider, "", pageFlags(60)...); v.code != exitComplete || v.calls != 3 {
					t.Errorf("released: exit %d after %d calls, want %d and 3: %s", v.code, v.calls, exitComplete, v.stderr)
				}
				r.mustExit(exitComplete, "verify")
			})
		}
	}
}
