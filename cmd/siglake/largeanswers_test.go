package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// askedEntities are the numbers of entities in the calls that cost, by the simulator's bill.
func (r *rig) askedEntities() (sizes []int) {
	for _, e := range r.sim.Bill().Entries {
		if e.Entities > 0 {
			sizes = append(sizes, e.Entities)
		}
	}
	return sizes
}

// linesFrom are the lines of a list of domains from the given one on.
func linesFrom(from, to int) string {
	return strings.Join(strings.SplitAfter(domainLines(to), "\n")[from:], "")
}

// TestAnswerTarget: batches are cut so that no answer can become longer than the target. The plan
// says how many calls that takes, the rows and the bill are those of full batches, and once
// answers have shown how long events are, batches grow.
func TestAnswerTarget(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	flags := []string{"--signals", "news,growth", "--max-results", "20", "--concurrency", "3"}
	calm := newRig(t, simulator.Config{})
	calm.run(domainLines(230), flags...)
	for _, flag := range []string{"", "--max-credits=1000000"} {
		r := newRig(t, simulator.Config{})
		e := envFor(t)
		e.AnswerTarget = 6 << 20
		words := flags
		if flag != "" {
			words = append(flags[:len(flags):len(flags)], flag)
		}
		plan := r.exec(t.Context(), []string{"plan", "-", "--json"}, domainLines(230), words...)
		r.run(domainLines(230), words...)
		first := r.askedEntities()
		if r.code != exitComplete || len(first) < 4 || len(first) > 40 {
			t.Errorf("exit %d, %v entities a call, want %d and 4 to 40 calls: %s", r.code, first, exitComplete, r.stderr)
		}
		if want := fmt.Sprintf(`"calls": %d,`, len(first)); !strings.Contains(plan.stdout, want) {
			t.Errorf("the run made %d calls, and the plan said otherwise: %s", len(first), plan.stdout)
		}
		if diff := cmp.Diff(calm.uids(calm.manifest), r.uids(r.manifest)); diff != "" || r.sim.Bill().Credits != calm.sim.Bill().Credits {
			t.Errorf("%d credits, want %d; events (-full batches +cut):\n%s", r.sim.Bill().Credits, calm.sim.Bill().Credits, diff)
		}
		if v := r.rerun(linesFrom(230, 430), words...); v.code != exitComplete || v.entities != 200 || v.calls >= len(first)*200/230 {
			t.Errorf("later: exit %d, %d entities in %d calls, want fewer calls than %d (%d events)", v.code, v.entities, v.calls, len(first)*200/230, r.manifest.Events.Returned)
		}
		r.checkRebuild()
		e.AnswerTarget = 0
	}
}

// TestCutAnswer: an answer that is cut holds its entities; the rest of the run asks about half as
// many at a time, and a retry about fewer than were cut. The bill of the simulator says the same.
func TestCutAnswer(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	e := envFor(t)
	e.AnswerTarget, e.AnswerLimit = 512<<10, 32<<10
	const kind = "huge-body" // which is far longer than 80 entities with one type and two results can bring
	r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: kind, At: 1}, {Kind: kind, At: 5}}})
	list, flags := domainLines(200), []string{"--signals", "commercialActivityNews", "--max-results", "2", "--batch-size", "80", "--concurrency", "1"}
	r.run(list, flags...)
	if diff := cmp.Diff([]int{80, 40, 40, 40}, r.askedEntities()); diff != "" || r.code != exitInDoubt || r.manifest.Accounts.ByStatus[schema.InDoubt] != 80 {
		t.Fatalf("exit %d, lines %v, entities of the calls (-want +got):\n%s%s", r.code, r.manifest.Accounts.ByStatus, diff, r.stderr)
	}
	if v := r.rerun(list, flags...); v.calls != 0 || v.code != exitInDoubt {
		t.Errorf("the same command: exit %d after %d calls, want %d and none", v.code, v.calls, exitInDoubt)
	}
	r.checkRebuild()
	for range 2 {
		r.mustExit(exitComplete, "held", "retry")
		r.rerun(list, flags...)
	}
	want := slices.Concat([]int{80, 40, 40, 40, 10}, slices.Repeat([]int{5}, 16))
	if diff := cmp.Diff(want, r.askedEntities()); diff != "" || r.manifest.Accounts.ByStatus[schema.InDoubt] != 0 {
		t.Errorf("after two retries: lines %v, entities of the calls (-want +got):\n%s", r.manifest.Accounts.ByStatus, diff)
	}
	r.checkInvariants()
	r.checkRebuild()
}

// TestCutAnswerOfOne: an answer about one entity that is cut is not asked that way again. Once the
// call may be retried, one command requests all of it: by fewer signal types, then with fewer results.
// The rows and the bill are those of a lake without cut answers.
func TestCutAnswerOfOne(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	list := simulatorDomain + "\n"
	requested := func(r *rig) (types []int) {
		for _, e := range r.sim.Bill().Entries {
			if e.Entities > 0 {
				types = append(types, len(e.Types))
			}
		}
		return types
	}
	start := func(faults ...int) *rig {
		cfg := simulator.Config{}
		for _, n := range faults {
			cfg.Faults = append(cfg.Faults, simulator.Fault{Kind: "huge-body", At: n})
		}
		return newRig(t, cfg)
	}
	e := envFor(t)
	e.AnswerTarget, e.AnswerLimit = 16<<20, 1<<20

	flags := []string{"--signals", "news", "--max-results", "2", "--concurrency", "1"}
	calm, r := start(), start(1, 3)
	calm.run(list, flags...)
	r.run(list, flags...)
	for range 2 {
		if r.readManifest().Run.Outcome != pipeline.RunInDoubt {
			t.Errorf("the run ended %s, want in doubt: types of the calls %v", r.readManifest().Run.Outcome, requested(r))
		}
		r.mustExit(exitComplete, "held", "retry")
		r.rerun(list, flags...)
	}
	if diff := cmp.Diff([]int{7, 3, 3, 1, 1, 1, 1}, requested(r)); diff != "" {
		t.Errorf("signal types of the calls (-want +got):\n%s", diff)
	}
	if v := r.rerun(list, flags...); v.code != exitComplete || v.calls != 0 {
		t.Errorf("the same again: exit %d after %d calls, want %d and none: %s", v.code, v.calls, exitComplete, v.stderr)
	}
	if diff := cmp.Diff(calm.uids(calm.generations()...), r.uids(r.generations()...)); diff != "" {
		t.Errorf("events (-whole answers +cut):\n%s", diff)
	}
	r.checkInvariants()
	r.checkRebuild()

	flags = []string{"--signals", "commercialActivityNews", "--max-results", "2", "--since", "1y", "--concurrency", "1"}
	r = start(1)
	r.run(list, flags...)
	r.mustExit(exitComplete, "held", "retry")
	r.rerun(list, flags...)
	if v := r.rerun(list, flags...); v.code != exitComplete || v.calls != 0 {
		t.Errorf("one result of two: exit %d after %d calls, want %d and none: %s", v.code, v.calls, exitComplete, v.stderr)
	}
	r.checkInvariants()
	r.checkRebuild()

	r = start(1, 2)
	r.run(list, flags...)
	r.mustExit(exitComplete, "held", "retry")
	r.rerun(list, flags...)
	if text := r.mustExit(exitInDoubt, "held", "retry"); !strings.Contains(text, "nothing smaller can be requested") {
		t.Errorf("held retry does not say that nothing smaller is left: %s", text)
	}
	if v := r.rerun(list, flags...); v.code != exitInDoubt || v.calls != 0 {
		t.Errorf("one result was cut: exit %d after %d calls, want %d and none: %s", v.code, v.calls, exitInDoubt, v.stderr)
	}
	r.checkRebuild()
}

// TestAnswerInPieces: a journal that holds answers in several records gives the same lake, and so
// does its rebuild.
func TestAnswerInPieces(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	flags := []string{"--signals", "news,growth", "--concurrency", "3"}
	calm := newRig(t, simulator.Config{})
	calm.run(domainLines(150), flags...)
	envFor(t).AnswerPiece = 3000
	r := newRig(t, simulator.Config{})
	r.run(domainLines(150), flags...)
	if diff := cmp.Diff(calm.uids(calm.manifest), r.uids(r.manifest)); diff != "" || r.code != exitComplete {
		t.Errorf("exit %d, events (-one record +pieces):\n%s", r.code, diff)
	}
	r.checkInvariants()
	r.checkRebuild()
	if v := r.rerun(domainLines(150), flags...); v.calls != 0 {
		t.Errorf("the same again: %d calls, want none", v.calls)
	}
}
