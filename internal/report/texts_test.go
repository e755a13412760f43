package report

import (
	"bytes"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

// TestVerdict: verify ends with its verdict if all invariants hold, and with none otherwise.
func TestVerdict(t *testing.T) {
	t.Parallel()
	holds, unchecked, broken := app.Finding{Number: 1}, app.Finding{Number: 2, Unchecked: true}, app.Finding{Number: 3, Violations: []string{"x"}}
	for _, tt := range []struct {
		findings []app.Finding
		quiet    bool
		want     string // the last line
	}{
		{[]app.Finding{holds, holds, unchecked}, false, "The lake and its journal agree: 2 invariants hold, 1 not checked."},
		{[]app.Finding{holds}, false, "The lake and its journal agree: 1 invariant holds."},
		{[]app.Finding{holds, broken}, false, "                 x"},
		{[]app.Finding{holds}, true, ""},
	} {
		var b bytes.Buffer
		PrintFindings(&b, tt.findings, tt.quiet)
		lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
		if got := lines[len(lines)-1]; got != tt.want {
			t.Errorf("PrintFindings(%v, %t) ends with %q, want %q", tt.findings, tt.quiet, got, tt.want)
		}
	}
}

// TestPruningCounts: what is removed is counted, and what there is none of is not mentioned.
func TestPruningCounts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		plan        sinks.PrunePlan
		want, never string
	}{
		{sinks.PrunePlan{Lists: []string{"a"}}, "Would remove 1 list of", "0 "},
		{sinks.PrunePlan{Replaced: []string{"a", "b"}, ReplacedRows: 3, Abandoned: []string{"c"}}, "(0 bytes) that compactions merged", "list"},
	} {
		var b bytes.Buffer
		PrintPruning(&b, &app.PruneReport{Lake: "lake", Files: &app.FilePruning{PrunePlan: tt.plan}})
		first, _, _ := strings.Cut(b.String(), "\n")
		if !strings.Contains(first, tt.want) || strings.Contains(first, tt.never) {
			t.Errorf("PrintPruning(%+v) = %q, want %q and no %q", tt.plan, first, tt.want, tt.never)
		}
	}
}

// TestPlanOfNothing: a plan of nothing has no forecast of its cost or time.
func TestPlanOfNothing(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	PrintPlan(&b, &app.PlanReport{Lines: 1, WithoutCall: map[schema.Status]int64{schema.Cached: 1}}, "siglake run list", false)
	if got := b.String(); !strings.Contains(got, "There is nothing to request.") || strings.Contains(got, "guess") || strings.Contains(got, "per answer") {
		t.Errorf("PrintPlan of nothing = %q, want neither a guess nor a time", got)
	}
}

// TestNoCalls: a run without calls has no rate.
func TestNoCalls(t *testing.T) {
	t.Parallel()
	m := pipeline.NewManifest(pipeline.RunInfo{ID: "run"})
	if got := callText(m); got != "" {
		t.Errorf("callText of no calls = %q, want nothing", got)
	}
	if m.Calls.Total = 2; !strings.Contains(callText(m), "a second") {
		t.Errorf("callText of two calls = %q, want their rate", callText(m))
	}
}
