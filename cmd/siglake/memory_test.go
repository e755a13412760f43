package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/simulator"
)

// TestHeapLimit: a heap that is in use beyond the limit may grow nevertheless, so that the collector
// does not run all the time.
func TestHeapLimit(t *testing.T) {
	t.Parallel()
	l := new(heapLimit)
	l.bytes.Store(200 << 20)
	for inUse, want := range map[int64]int64{0: 200 << 20, 100 << 20: 200 << 20, 160 << 20: 216 << 20, 400 << 20: 516 << 20} {
		if got := l.limit(inUse); got != want {
			t.Errorf("limit(%d) = %d, want %d", inUse, got, want)
		}
	}
}

// TestMemoryFlag: --memory limits the heap of the process, --answer-memory the answers that are asked
// for, and the plan counts the calls that this takes. Neither makes another run of a command.
func TestMemoryFlag(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	var limits []int64
	envFor(t).LimitHeap = func(bytes int64) { limits = append(limits, bytes) }
	r := newRig(t, simulator.Config{})
	flags := []string{"--signals", "news,growth", "--max-results", "20", "--memory", "512MiB", "--answer-memory", "6MiB"}
	plan := r.exec(t.Context(), []string{"plan", "-", "--json"}, domainLines(150), flags...)
	r.run(domainLines(150), flags...)
	calls := len(r.askedEntities())
	if r.code != exitComplete || calls < 3 || !strings.Contains(plan.stdout, fmt.Sprintf(`"calls": %d,`, calls)) {
		t.Errorf("exit %d, %d calls, want 0 and at least 3; the plan: %s", r.code, calls, plan.stdout)
	}
	for _, limit := range limits {
		if limit != 464<<20 {
			t.Errorf("the heap was limited to %d, want %d", limit, 464<<20)
		}
	}
	if len(limits) == 0 {
		t.Error("the heap was not limited")
	}
	if v := r.rerun(domainLines(150), flags[:4]...); v.code != exitComplete || v.calls != 0 {
		t.Errorf("the same without --memory: exit %d after %d calls, want none", v.code, v.calls)
	}
	for _, wrong := range [][]string{{"--memory", "1MiB"}, {"--answer-memory", "none"}, {"--answer-memory", "1GiB"}, {"--answer-memory", "512MiB", "--memory", "512MiB"}} {
		if v := r.exec(t.Context(), []string{"plan", "-"}, domainLines(1), append(flags[:4:4], wrong...)...); v.code != exitUsage || !strings.Contains(v.stderr, wrong[0]) {
			t.Errorf("%v: exit %d, %s, want %d", wrong, v.code, v.stderr, exitUsage)
		}
	}
}
