package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/lakereport"
	"github.com/siglake/siglake/internal/simulator"
)

// reportOf runs siglake report --format json.
func reportOf(t *testing.T, words ...string) *lakereport.Report {
	t.Helper()
	code, stdout, stderr := says(t, append([]string{"report", "--format", "json", "--output", "-"}, words...)...)
	var r lakereport.Report
	if err := json.Unmarshal([]byte(stdout), &r); code != exitComplete || err != nil {
		t.Fatalf("report %q: exit %d, %v\n%s", words, code, err, stderr)
	}
	return &r
}

// figureOf is a headline number of whole ones.
func figureOf(t *testing.T, r *lakereport.Report, id string) any {
	t.Helper()
	i := slices.IndexFunc(r.Figures, func(f lakereport.Figure) bool { return f.ID == id })
	if i < 0 {
		t.Fatalf("the report has no figure %s", id)
	}
	return r.Figures[i].Value
}

// TestReport: the figures of a lake and of its last run are those of the manifests, the lake stays as it is, and a
// file that exists is kept.
func TestReport(t *testing.T) {
	t.Parallel()
	r, _ := exportRig(t)
	before := tree(t, r.lake)
	generations := r.generations()
	var credits, events int64
	for _, m := range generations {
		credits, events = credits+m.Credits.Charged, events+m.Events.New
	}
	all := reportOf(t, "--lake", r.lake)
	if got := []any{figureOf(t, all, "credits"), figureOf(t, all, "new_events"), figureOf(t, all, "rejected_lines")}; !slices.Equal(got, []any{float64(credits), float64(events), 1.0}) {
		t.Errorf("credits, new events and rejected lines are %v, want %d, %d and 1", got, credits, events)
	}
	last := generations[len(generations)-1]
	for _, run := range []string{"last", last.Run.ID} {
		of := reportOf(t, "--lake", r.lake, "--run", run)
		if got := figureOf(t, of, "credits"); got != float64(last.Credits.Charged) || of.Run != last.Run.ID || of.Runs != 1 {
			t.Errorf("--run %s: %v credits of %s, want %d of %s", run, got, of.Run, last.Credits.Charged, last.Run.ID)
		}
	}
	if got := figureOf(t, reportOf(t, "--lake", r.lake, "--since", "2126-01-01"), "credits"); got != 0.0 {
		t.Errorf("%v credits of a period without a run, want 0", got)
	}
	first := reportOf(t, "--lake", r.lake, "--generation", "1")
	if got := figureOf(t, first, "new_events"); got != float64(generations[0].Events.New) || first.Generation != 1 {
		t.Errorf("--generation 1: %v new events, want %d", got, generations[0].Events.New)
	}
	file := filepath.Join(t.TempDir(), "report.html")
	for i, want := range []int{exitComplete, exitUsage} {
		if code, _, stderr := says(t, "report", "--lake", r.lake, "--output", file); code != want {
			t.Errorf("report %d to %s: exit %d, want %d: %s", i+1, file, code, want, stderr)
		}
	}
	if page, err := os.ReadFile(file); err != nil || !strings.HasPrefix(string(page), "<!DOCTYPE html>") || !strings.HasSuffix(string(page), "</html>\n") {
		t.Errorf("the page: %v, %.40q", err, page)
	}
	if code, stdout, _ := says(t, "report", "--lake", r.lake, "--format", "md", "--output", "-"); code != exitComplete || !strings.Contains(stdout, "- Credits: **") {
		t.Errorf("Markdown: exit %d, %.200q", code, stdout)
	}
	sameTree(t, before, tree(t, r.lake))
}

// sameTree: nothing was written.
func sameTree(t *testing.T, before, after map[string]string) {
	t.Helper()
	for name, content := range after {
		if before[name] != content {
			t.Errorf("%s was written", name)
		}
	}
}

// TestReportMessages: what cannot be reported is said.
func TestReportMessages(t *testing.T) {
	t.Parallel()
	r, _ := exportRig(t)
	for _, tt := range []struct {
		args []string
		says string
	}{
		{[]string{"--output", "report"}, "the name says no format; end it with .html, .md or .json"},
		{[]string{"--output", filepath.Join(t.TempDir(), "report.html"), "--format", "json"}, "says another format"},
		{[]string{"--output", "-", "--format", "pdf"}, "expected html, md or json"},
		{[]string{"--output", "-", "--run", "r", "--since", "3d"}, "exclude each other"},
		{[]string{"--output", "-", "--run", "none"}, "has no such run; the newest are"},
		{[]string{"--output", "-", "--since", "soon"}, "expected a date"},
		{[]string{"--output", "-", "--generation", "9"}, "no generation 9"},
		{[]string{"--output", filepath.Join(r.lake, "report.html")}, "lies in the lake"},
		{[]string{"--output", "-", "more"}, "report takes no arguments"},
	} {
		if code, stdout, stderr := says(t, append([]string{"report", "--lake", r.lake}, tt.args...)...); code != exitUsage || stdout != "" || !strings.Contains(stderr, tt.says) {
			t.Errorf("%q: exit %d, %.40q, %q; want %d, nothing, %q", tt.args, code, stdout, stderr, exitUsage, tt.says)
		}
	}
}

// TestReportWithoutRun: a lake without a run has a report that says so.
func TestReportWithoutRun(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	if err := os.MkdirAll(filepath.Join(r.lake, "_meta"), 0o700); err != nil {
		t.Fatal(err)
	}
	of := reportOf(t, "--lake", r.lake)
	if got := figureOf(t, of, "credits"); got != nil || of.Generation != 0 || of.Runs != 0 {
		t.Errorf("%v credits, generation %d, %d runs; want none", got, of.Generation, of.Runs)
	}
	if of.Lists == nil || slices.ContainsFunc(of.Sections, func(s lakereport.Section) bool {
		return slices.ContainsFunc(s.Tables, func(t lakereport.Table) bool { return t.Rows == nil })
	}) {
		t.Error("the JSON has null for an empty list")
	}
	code, stdout, stderr := says(t, "report", "--lake", r.lake, "--output", "-")
	if code != exitComplete || !strings.Contains(stdout, "none: nothing is published") || !strings.Contains(stdout, "No new event.") {
		t.Errorf("exit %d, %s\n%.3000s", code, stderr, stdout)
	}
}
