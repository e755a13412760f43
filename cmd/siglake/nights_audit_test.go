package main

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/pipeline"
)

// lakeWatch says which events of a lake are new, and which of those are late.
type lakeWatch struct {
	rows   map[string]bool
	newest map[string]string // date, by company and signal type
}

// add adds the rows of a run, and counts the late events among them: those that are new, and not newer
// than the newest event that the lake had of their pair.
func (w *lakeWatch) add(rows []map[string]any) (late int64) {
	before := maps.Clone(w.newest)
	for _, row := range rows {
		pair := fmt.Sprint(row["account_key"], " ", row["signal_type"])
		event, day := pair+fmt.Sprint(" ", row["signal_id"]), row["event_date"].(string)
		if !w.rows[event] && day <= before[pair] {
			late++
		}
		w.rows[event] = true
		w.newest[pair] = max(w.newest[pair], day)
	}
	return late
}

// TestNightsAudit: audits find the events that became visible behind a newer one, count them as the
// rows of the lake do, cost what is billed, and the sums are in manifest, summary and status.
func TestNightsAudit(t *testing.T) {
	t.Parallel()
	n := newNights(t, simulator.Config{Lateness: "late20"}, companyDomains(proof.Size(60, 400, 2000)))
	flags := []string{"--signals", "growth,news,risk", "--nightly-types", "growth,news,risk", "--since", "last"}
	lake := lakeWatch{map[string]bool{}, map[string]string{}}
	var sum pipeline.AuditCounts
	for night := 0; night <= proof.Size(45, 60, 90); night += 5 {
		v := n.run(night, append(flags, "--audit", "90%")...)
		if v.code != exitComplete || v.credits != n.manifest.Credits.Charged {
			t.Fatalf("night %d: exit %d, %d credits billed, the manifest says %d: %s", night, v.code, v.credits, n.manifest.Credits.Charged, v.stderr)
		}
		a := n.manifest.Audit
		if a == nil {
			t.Fatalf("night %d: no audit in the manifest", night)
		}
		if late := lake.add(n.events()); late != a.Late {
			t.Errorf("night %d: %d late events by the audits, %d by the rows", night, a.Late, late)
		}
		sum.Add(a.AuditCounts)
		if a.Total != sum || a.Pairs > 0 && !strings.Contains(v.stdout+v.stderr, "missed: ") {
			t.Errorf("night %d: %+v so far, want %+v: %s", night, a.Total, sum, v.stderr)
		}
	}
	if sum.Pairs == 0 || sum.Late == 0 || sum.Events == 0 {
		t.Errorf("the audits found too little to test them: %+v", sum)
	}
	last := n.day(int(n.today.Load())).Format(time.DateOnly)
	var status app.LakeStatus
	n.decode([]byte(n.mustExit(exitComplete, "status", "--json", "--as-of", last)), &status)
	if status.Audits == nil || status.Audits.AuditCounts != sum {
		t.Errorf("status: %+v, want %+v", status.Audits, sum)
	}
	if text := n.mustExit(exitComplete, "status", "--as-of", last); !strings.Contains(text, "missed: ") {
		t.Errorf("status: %s", text)
	}
	n.checkRebuild()
	t.Logf("%+v", sum)

	n.today.Add(7)
	words := append([]string{"plan", "-", "--as-of", n.day(int(n.today.Load())).Format(time.DateOnly), "--audit", "50%"}, flags...)
	if v := n.exec(t.Context(), words, n.list); v.code != exitComplete || !strings.Contains(v.stdout, "(--audit 50%)") {
		t.Errorf("plan: exit %d: %s %s", v.code, v.stdout, v.stderr)
	}
	for _, wrong := range [][]string{{"--audit", "0%"}, {"--audit", "101%"}, {"--audit", "2"}, {"--audit", "NaN%"}, {"--audit", "2%", "--completeness", "strict"}} {
		if v := n.run(int(n.today.Load()), append(flags, wrong...)...); v.code != exitUsage || !strings.Contains(v.stderr, "--audit") {
			t.Errorf("%v: exit %d, want %d: %s", wrong, v.code, exitUsage, v.stderr)
		}
	}
}

// TestNightFlagsWithoutNights: flags of --since last say that they have no effect in a run that asks one
// window; if the window was not chosen, before it buys anything.
func TestNightFlagsWithoutNights(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{})
	for _, flags := range [][]string{{"--audit", "2%"}, {"--completeness", "strict"}, {"--backfill", "30d"}, {"--lateness", "news=20"}, {"--nightly-types", "riskNews"}} {
		v := r.rerun(domainLines(3), append([]string{"--signals", "news"}, flags...)...)
		if v.code != exitUsage || v.calls != 0 || !strings.Contains(v.stderr, flags[0]) || !strings.Contains(v.stderr, "--since last") {
			t.Errorf("%v: exit %d after %d calls, want %d and none: %s", flags, v.code, v.calls, exitUsage, v.stderr)
		}
	}
	v := r.rerun(domainLines(3), "--signals", "news", "--since", "30d", "--audit", "2%", "--completeness", "economy")
	if v.code != exitComplete || !strings.Contains(v.stderr, "--audit has no effect with --since 30d") {
		t.Errorf("a chosen window: exit %d, want %d and a warning: %s", v.code, exitComplete, v.stderr)
	}
	if v := r.rerun(domainLines(3), "--signals", "news", "--since", "last", "--audit", "2%"); v.code != exitComplete || strings.Contains(v.stderr, "no effect") {
		t.Errorf("--since last: exit %d, want %d and no warning: %s", v.code, exitComplete, v.stderr)
	}
	if s := r.statusJSON(); s.Credits != r.sim.Bill().Credits {
		t.Errorf("%d credits in status, %d by the simulator", s.Credits, r.sim.Bill().Credits)
	}
}
