package report

import (
	"errors"
	"io"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/pipeline"
)

// PrintCompaction says what a compaction did; m is nil when there was nothing to merge. restored are files that were
// missing and that it has written.
func PrintCompaction(w io.Writer, o app.CompactOptions, m *pipeline.Manifest, restored ...string) {
	if m == nil && len(restored) > 0 {
		format.Fprintf(w, "Wrote %s again from the manifests. No partition of %s has %d or more small files.\n", format.List(restored, 2), o.Lake, o.MinFiles)
		return
	}
	if m == nil {
		format.Fprintf(w, "Nothing to do: no partition of %s has %d or more small files.\n", o.Lake, o.MinFiles)
		return
	}
	var rows, bytes int64
	for _, f := range m.Files {
		rows += f.Rows
		bytes += f.Bytes
	}
	format.Fprintf(w, "Compacted %s into %s (%s, %s) as generation %d; no API call was made and no row has changed.\n",
		format.Count(len(m.Replaces), "file"), format.Thousands(int64(len(m.Files))), format.Count(rows, "row"), format.Bytes(bytes), m.Generation)
}

// PrintCheckup prints findings; if quiet, only those that are not ok.
func PrintCheckup(w io.Writer, results []app.CheckResult, policy string, quiet bool) {
	for _, r := range results {
		if quiet && r.State == "ok" {
			continue
		}
		format.Fprintf(w, "  %-8s %-10s %s\n", r.State, r.Name, r.Detail)
		if r.Advice != "" {
			format.Fprintf(w, "  %-8s %-10s %s\n", "", "", r.Advice)
		}
	}
	if policy != "" && !quiet {
		format.Fprintf(w, "\nThe minimal permissions that siglake needs on the bucket, as an IAM policy:\n%s\n", format.Lines(policy))
	}
}

// Verification is what machines read of siglake verify.
type Verification struct {
	Lake  string `json:"lake"`
	Quick bool   `json:"quick"` // no answer was read
	// State is holds, partly (what was checked holds), violated, invalid (a run worked on the lake meanwhile) or failed: the
	// check could not be completed, and found nothing until then.
	State string `json:"state"`
	// Error is why the check could not be completed; empty: it was.
	Error string `json:"error,omitempty"`
	// Rebuildable says that siglake rebuild mends what is violated, and nothing less does; only if answers were read.
	Rebuildable bool        `json:"rebuildable"`
	Invariants  []Invariant `json:"invariants"`
}

// Invariant is one of Verification.
type Invariant struct {
	Number     int      `json:"number"`
	Name       string   `json:"name"`  // never changes
	State      string   `json:"state"` // holds, partly, violated or not_checked
	Text       string   `json:"text"`
	Detail     string   `json:"detail"`
	LeftOut    string   `json:"left_out,omitempty"`
	Violations []string `json:"violations"`
}

// invariantNames are the names of the invariants by their numbers, from 1.
var invariantNames = []string{
	"charges_allocated", "bill_within_interval", "recorded_before_sent", "bought_once", "rows_match", "files_listed",
	"files_intact", "one_chain", "one_status", "within_budget", "key_nowhere", "nothing_left",
}

// NewVerification describes findings, and the error with which they came.
func NewVerification(lake string, quick bool, findings []app.Finding, err error) *Verification {
	v := &Verification{Lake: lake, Quick: quick, State: "holds", Invariants: []Invariant{}}
	for _, f := range findings {
		i := Invariant{Number: f.Number, State: "holds", Text: f.Text, Detail: f.Detail, LeftOut: f.LeftOut, Violations: append([]string{}, f.Violations...)}
		if f.Number > 0 && f.Number <= len(invariantNames) {
			i.Name = invariantNames[f.Number-1]
		}
		switch {
		case len(f.Violations) > 0:
			i.State, v.State = "violated", "violated"
		case f.Unchecked:
			i.State = "not_checked"
		case f.LeftOut != "":
			i.State = "partly"
			if v.State == "holds" {
				v.State = "partly"
			}
		}
		v.Invariants = append(v.Invariants, i)
	}
	typed := new(app.Error)
	isTyped, isViolated := errors.As(err, &typed), app.IsViolated(findings)
	switch {
	case isTyped && typed.Kind == app.KindIntegrity && isViolated, err == nil:
		v.Rebuildable = !quick && app.IsRebuildable(findings)
		return v
	case isTyped && typed.Kind == app.KindLocked && isViolated:
		v.State = "invalid"
	case !isViolated:
		v.State = "failed"
	}
	v.Error = err.Error()
	return v
}

// PrintFindings prints the state of the invariants and whether all hold; if quiet, only the violated ones.
func PrintFindings(w io.Writer, findings []app.Finding, quiet bool) {
	violated, unchecked, partly := 0, 0, 0
	for _, f := range findings {
		mark := "holds"
		switch {
		case len(f.Violations) > 0:
			mark = "BROKEN"
			violated++
		case f.Unchecked:
			mark = "not checked"
			unchecked++
		case f.LeftOut != "":
			mark = "partly"
			partly++
		}
		if f.LeftOut != "" {
			f.Detail += "; not checked: " + f.LeftOut
		}
		if !quiet || len(f.Violations) > 0 {
			format.Fprintf(w, "%3d  %-11s %s: %s\n", f.Number, mark, f.Text, f.Detail)
		}
		for i, b := range f.Violations {
			if i == 10 {
				format.Fprintf(w, "                 and %d more\n", len(f.Violations)-i)
				break
			}
			format.Fprintf(w, "                 %s\n", b)
		}
	}
	if violated > 0 || quiet || len(findings) == 0 {
		return
	}
	holds := len(findings) - unchecked - partly
	verdict := "The lake and its journal agree"
	if partly > 0 {
		verdict = "What was checked agrees"
	}
	format.Fprintf(w, "\n%s: %s", verdict, format.Count(holds, "invariant")+map[bool]string{true: " holds", false: " hold"}[holds == 1])
	if partly > 0 {
		format.Fprintf(w, ", %d as far as they were checked", partly)
	}
	if unchecked > 0 {
		format.Fprintf(w, ", %d not checked", unchecked)
	}
	format.Fprintf(w, ".\n")
}
