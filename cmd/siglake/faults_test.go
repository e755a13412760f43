package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"time"

	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// domains is a list of n domains, none of which stands in it twice.
func domains(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "company-%04d.example\n", i)
	}
	return b.String()
}

// faultReport is what a run must say of a fault that struck its second of three
// batches.
type faultReport struct {
	code     int
	outcome  pipeline.Outcomes
	stop     pipeline.StopKind // empty: the run went on
	held     int64             // lines
	deferred int64
	notFound int64 // at least
	calls    int64 // attempts; 0: not looked at
	unknown  int64 // calls with an unknown charge
	says     string
}

var (
	unharmed  = faultReport{code: exitComplete, outcome: pipeline.Complete, calls: 3}
	retried   = faultReport{code: exitComplete, outcome: pipeline.Complete, calls: 4}
	bisected  = faultReport{code: exitComplete, outcome: pipeline.Complete, calls: 5}
	inDoubt   = faultReport{code: exitHeld, outcome: pipeline.InDoubt, held: 100, calls: 3, says: "may have been charged"}
	unknown   = faultReport{code: exitComplete, outcome: pipeline.Complete, calls: 3, unknown: 1, says: "charge is unknown"}
	forbidden = faultReport{code: exitAuth, outcome: pipeline.Refused, stop: pipeline.StopAuth, deferred: 150, calls: 2, says: "Stopped early"}
)

// faultReports has every kind of the simulator's menu.
var faultReports = map[string]faultReport{
	"429-burst":   retried,
	"429-hourly":  retried,
	"429-daily":   {code: exitDeferred, outcome: pipeline.Incomplete, stop: pipeline.StopQuota, deferred: 150, calls: 2, says: "Useful again from"},
	"429-trial":   forbidden,
	"400-refused": bisected,
	"401-revoked": forbidden,
	"402-credits": {code: exitDeferred, outcome: pipeline.Incomplete, stop: pipeline.StopCredits, deferred: 150, calls: 2, says: "Stopped early"},
	"403-plan":    forbidden,
	"404-none":    {code: exitComplete, outcome: pipeline.Complete, notFound: 100, calls: 3},
	"404-route":   forbidden,
	"412-name":    bisected,
	"422-value":   bisected,
	"451-legal":   bisected,
	"499-refused": inDoubt,
	"500-refused": retried, "502-refused": retried, "503-refused": retried,
	"504-refused":     inDoubt, // whoever answers "timed out" does not know what the one behind did
	"html-502":        inDoubt,
	"drop-before":     inDoubt,
	"error-under-200": {code: exitComplete, outcome: pipeline.Complete}, // a 400 or a 5xx, as the day's dice fall: bisected or retried
	"redirect":        forbidden,

	"499-billed": inDoubt,
	"500-billed": inDoubt, "502-billed": inDoubt, "503-billed": inDoubt, "504-billed": inDoubt,
	"hang":              inDoubt,
	"drop-after-charge": inDoubt,
	"reset-mid-body":    inDoubt,
	"truncated-close":   inDoubt,
	"truncated-chunked": inDoubt,
	"empty-200":         inDoubt,
	"garbage-200":       inDoubt,
	"html-200":          inDoubt,
	"huge-body":         inDoubt,
	"slow":              unharmed,
	"slow-drip":         unharmed,

	"charge-missing": unknown, "charge-null": unknown, "charge-string": unknown, "charge-negative": unknown,
	"charge-fraction": unknown, "charge-duplicate": unknown, "charge-case": unknown,
	"charge-elsewhere":      unharmed,
	"extra-fields":          unharmed,
	"unknown-type":          unharmed,
	"odd-types":             unharmed,
	"missing-entities-some": {code: exitComplete, outcome: pipeline.Complete, notFound: 20, calls: 3},
	"foreign-entity":        unharmed,
	"duplicate-entity-key":  unharmed,
	"root-list":             unharmed,
	"wrong-content-type":    unharmed,
	"201":                   unharmed,
}

// TestFaults strikes each fault at the second of three batches and says what
// the run must report. The rig reconciles the bill each time.
func TestFaults(t *testing.T) {
	strikeEach(t, nil, func(r *rig) {
		r.run(domains(250), "--signals", "news,growth", "--concurrency", "1", "--timeout", "3s")
	})
}

// strikeEach lets a command meet each fault at its second call that costs.
// others are the reports that differ from those of "siglake run".
func strikeEach(t *testing.T, others map[string]faultReport, carry func(r *rig)) {
	t.Helper()
	calm := newRig(t, simulator.Config{})
	carry(calm)
	for _, kind := range simulator.FaultKinds() {
		t.Run(kind.Name, func(t *testing.T) {
			want, ok := others[kind.Name]
			if !ok {
				want, ok = faultReports[kind.Name]
			}
			if !ok {
				t.Fatalf("the simulator's menu has %q and nothing says what a run reports", kind.Name)
			}
			fault, err := simulator.ParseFault(kind.Name + "@2")
			if err != nil {
				t.Fatal(err)
			}
			r := newRig(t, simulator.Config{Faults: []simulator.Fault{fault}})
			carry(r)
			r.reports(want, kind, calm.manifest)
		})
	}
}

// reports holds what a run says of a fault against what it must say.
func (r *rig) reports(want faultReport, kind simulator.FaultKind, calm *pipeline.Manifest) {
	r.t.Helper()
	m := r.manifest
	if m == nil {
		r.t.Fatalf("no manifest; exit %d, %s", r.code, r.stderr)
	}
	got := faultReport{
		code: r.code, outcome: m.Run.Outcome, calls: m.Calls.Total, unknown: m.Credits.UnknownCalls,
		held: m.Accounts.ByStatus[schema.Held], deferred: m.Accounts.ByStatus[schema.Deferred], says: want.says, notFound: want.notFound,
	}
	if m.Run.Stop != nil {
		got.stop = m.Run.Stop.Kind
	}
	if want.calls == 0 {
		got.calls = 0
	}
	if got != want {
		r.t.Errorf("run reports %+v, want %+v\n%s", got, want, r.stdout)
	}
	if n := m.Accounts.ByStatus[schema.NotFound]; n < want.notFound {
		r.t.Errorf("%d lines not found, want at least %d", n, want.notFound)
	}
	mended := want.code == exitComplete && want.stop == "" && want.notFound == 0
	if mended && kind.Name != "unknown-type" { // whose events enrich lines that have no others
		if diff := cmp.Diff(calm.Accounts.ByStatus, m.Accounts.ByStatus); diff != "" {
			r.t.Errorf("the fault does no harm, and yet lines fare otherwise than without it (-without +with):\n%s", diff)
		}
	}
	if !strings.Contains(r.stdout, want.says) {
		r.t.Errorf("the summary does not say %q:\n%s", want.says, r.stdout)
	}
	r.checkBill(kind)
}

// checkBill holds what the run declared against what the simulator booked for
// the struck call, to the credit.
func (r *rig) checkBill(kind simulator.FaultKind) {
	r.t.Helper()
	var struck int64
	for _, e := range r.sim.Bill().Entries {
		if e.Fault != "" {
			struck += e.Credits
		}
	}
	if kind.Billed == (struck == 0) {
		r.t.Errorf("the struck call was booked with %d credits; the menu says billed: %v", struck, kind.Billed)
	}
	c := r.manifest.Credits
	declared := int64(0)
	if c.UnknownCalls > 0 || c.AmbiguousCalls > 0 {
		declared = struck
	}
	if got, want := c.Charged+declared, r.sim.Bill().Credits; got != want {
		r.t.Errorf("charged %d + booked for declared doubt %d = %d, want the simulator's %d", c.Charged, declared, got, want)
	}
	for _, d := range r.manifest.Held {
		if len(d.Accounts) == 0 || len(d.Signals) == 0 || d.Problem == "" || d.Most < struck {
			r.t.Errorf("held call is not itemised: %+v", d)
		}
	}
}

// TestBreaker: a service that charges and never answers is not fed a whole list.
func TestBreaker(t *testing.T) {
	r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "drop-after-charge", Every: 1}}})
	r.run(domains(3000), "--signals", "news", "--concurrency", "1")
	if r.code != exitHeld {
		t.Errorf("exit %d, want %d", r.code, exitHeld)
	}
	if n := r.manifest.Calls.ByOutcome[pipeline.Ambiguous]; n > 8 {
		t.Errorf("%d calls in doubt before the run stopped, want a handful", n)
	}
	if n := r.manifest.Accounts.ByStatus[schema.Deferred]; n < 2000 {
		t.Errorf("%d lines deferred, want the rest of the list", n)
	}
}

// TestRefusedItems: identifiers that the API refuses do not sink their batch.
func TestRefusedItems(t *testing.T) {
	r := newRig(t, simulator.Config{Refuse: map[string]int{"company-0003.example": 400, "company-0040.example": 451, "company-0077.example": 422}})
	r.run(domains(100), "--signals", "news")
	by := r.manifest.Accounts.ByStatus
	if by[schema.Rejected] != 2 || by[schema.Restricted] != 1 || by[schema.Deferred]+by[schema.Held] != 0 {
		t.Errorf("statuses %v, want 2 rejected, 1 restricted, all others answered", by)
	}
	if r.code != exitRejects {
		t.Errorf("exit %d, want %d", r.code, exitRejects)
	}
	for _, row := range r.table(schema.Accounts) {
		if row["status"] == "rejected" && (row["reason"] == nil || row["input_line"] == nil) {
			t.Errorf("a rejected line does not say why and where: %v", row)
		}
	}
}

// TestInterrupted: a stop publishes what is paid and defers the rest.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	r := newRig(t, simulator.Config{Latency: 20 * time.Millisecond, Log: func(e simulator.Entry) {
		if e.Seq >= 6 {
			cancel()
		}
	}})
	r.runContext(ctx, strings.NewReader(domains(5000)), "-", "--signals", "news", "--concurrency", "2")
	by := r.manifest.Accounts.ByStatus
	if r.code != exitDeferred || by[schema.Deferred] == 0 || by[schema.Deferred] == 5000 || by[schema.Held] != 0 {
		t.Errorf("exit %d, statuses %v; want %d, some answered and the rest deferred", r.code, by, exitDeferred)
	}
	if r.manifest.Run.Stop == nil || r.manifest.Run.Stop.Kind != pipeline.StopInterrupted {
		t.Errorf("stop %+v, want %s", r.manifest.Run.Stop, pipeline.StopInterrupted)
	}
}
