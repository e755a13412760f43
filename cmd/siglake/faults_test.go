package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// domainLines is a list of n domains, none of which stands in it twice.
func domainLines(n int) string {
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
	outcome  pipeline.RunOutcome
	stop     pipeline.StopKind // empty: the run continued
	inDoubt  int64             // lines
	deferred int64
	notFound int64 // at least
	calls    int64 // attempts; 0: not looked at
	unknown  int64 // calls with an unknown charge
	says     string
}

var (
	reportUnharmed  = faultReport{code: exitComplete, outcome: pipeline.RunComplete, calls: 3}
	reportRetried   = faultReport{code: exitComplete, outcome: pipeline.RunComplete, calls: 4}
	reportBisected  = faultReport{code: exitComplete, outcome: pipeline.RunComplete, calls: 5}
	reportInDoubt   = faultReport{code: exitInDoubt, outcome: pipeline.RunInDoubt, inDoubt: 100, calls: 3, says: "may have been charged"}
	reportUnknown   = faultReport{code: exitComplete, outcome: pipeline.RunComplete, calls: 3, unknown: 1, says: "charge is unknown"}
	reportForbidden = faultReport{code: exitAuth, outcome: pipeline.RunRefused, stop: pipeline.StopAuth, deferred: 150, calls: 2, says: "Stopped early"}
)

// faultReports has every kind of the simulator's menu.
var faultReports = map[string]faultReport{
	"429-burst":   reportRetried,
	"429-hourly":  reportRetried,
	"429-daily":   {code: exitDeferred, outcome: pipeline.RunDeferred, stop: pipeline.StopQuota, deferred: 150, calls: 2, says: "Run again after"},
	"429-trial":   reportForbidden,
	"400-refused": reportBisected,
	"401-revoked": reportForbidden,
	"402-credits": {code: exitDeferred, outcome: pipeline.RunDeferred, stop: pipeline.StopCredits, deferred: 150, calls: 2, says: "Stopped early"},
	"403-plan":    reportForbidden,
	"404-none":    {code: exitComplete, outcome: pipeline.RunComplete, notFound: 100, calls: 3},
	"404-route":   reportForbidden,
	"412-name":    reportBisected,
	"422-value":   reportBisected,
	"451-legal":   reportBisected,
	"499-refused": reportInDoubt,
	"500-refused": reportRetried, "502-refused": reportRetried, "503-refused": reportRetried,
	"504-refused":     reportInDoubt, // a gateway that answers "timed out" does not know what the server behind it did
	"html-502":        reportInDoubt,
	"drop-before":     reportInDoubt,
	"error-under-200": {code: exitComplete, outcome: pipeline.RunComplete}, // a 400 or a 5xx, as the day's dice fall: bisected or retried
	"redirect":        reportForbidden,

	"499-billed": reportInDoubt,
	"500-billed": reportInDoubt, "502-billed": reportInDoubt, "503-billed": reportInDoubt, "504-billed": reportInDoubt,
	"hang":              reportInDoubt,
	"drop-after-charge": reportInDoubt,
	"reset-mid-body":    reportInDoubt,
	"truncated-close":   reportInDoubt,
	"truncated-chunked": reportInDoubt,
	"empty-200":         reportInDoubt,
	"garbage-200":       reportInDoubt,
	"html-200":          reportInDoubt,
	"huge-body":         reportUnharmed,
	"slow":              reportUnharmed,
	"slow-drip":         reportUnharmed,

	"charge-missing": reportUnknown, "charge-null": reportUnknown, "charge-string": reportUnknown, "charge-negative": reportUnknown,
	"charge-fraction": reportUnknown, "charge-duplicate": reportUnknown, "charge-case": reportUnknown,
	"charge-elsewhere":      reportUnharmed,
	"extra-fields":          reportUnharmed,
	"unknown-type":          reportUnharmed,
	"odd-types":             reportUnharmed,
	"missing-entities-some": {code: exitUnexplained, outcome: pipeline.RunComplete, notFound: 20, calls: 3},
	"foreign-entity":        reportUnharmed,
	"duplicate-entity-key":  reportUnharmed,
	"root-list":             reportUnharmed,
	"wrong-content-type":    reportUnharmed,
	"201":                   reportUnharmed,
	"drift":                 reportUnharmed,
}

// TestFaults strikes each fault at the second of three batches and says what
// the run must report. The rig reconciles the bill each time.
func TestFaults(t *testing.T) {
	t.Parallel()
	forEachFault(t, nil, 1, func(r *rig) {
		r.run(domainLines(250), "--signals", "news,growth", "--concurrency", "1", "--timeout", "3s")
	})
}

// forEachFault lets a command meet each fault at its second call that costs, or one in so many
// faults. others are the reports that differ from those of "siglake run".
func forEachFault(t *testing.T, others map[string]faultReport, every int, exec func(r *rig)) {
	t.Helper()
	baseline := newRig(t, simulator.Config{})
	exec(baseline)
	if baseline.manifest == nil {
		t.Fatalf("without a fault: exit %d, %s", baseline.code, baseline.stderr)
	}
	for i, kind := range simulator.FaultKinds() {
		if i%every != every/2 {
			continue
		}
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
			exec(r)
			r.checkReport(want, kind, baseline.manifest)
		})
	}
}

// checkReport holds what a run says of a fault against what it must say.
func (r *rig) checkReport(want faultReport, kind simulator.FaultKind, calm *pipeline.Manifest) {
	r.t.Helper()
	m := r.manifest
	if m == nil {
		r.t.Fatalf("no manifest; exit %d, %s", r.code, r.stderr)
	}
	got := faultReport{
		code: r.code, outcome: m.Run.Outcome, calls: m.Calls.Total, unknown: m.Credits.UnknownCalls,
		inDoubt: m.Accounts.ByStatus[schema.InDoubt], deferred: m.Accounts.ByStatus[schema.Deferred], says: want.says, notFound: want.notFound,
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
	mended := (want.code == exitComplete || want.code == exitUnexplained) && want.stop == "" && want.notFound == 0
	if mended && kind.Name != "unknown-type" && kind.Name != "drift" { // its events enrich lines that have no others
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
	if c.UnknownCalls > 0 || c.InDoubtCalls > 0 {
		declared = struck
	}
	if got, want := c.Charged+declared, r.sim.Bill().Credits; got != want {
		r.t.Errorf("charged %d + booked for declared doubt %d = %d, want the simulator's %d", c.Charged, declared, got, want)
	}
	for _, d := range r.manifest.InDoubt {
		if len(d.Accounts) == 0 || len(d.Signals) == 0 || d.Problem == "" || d.MaxCredits < struck {
			r.t.Errorf("held call is not itemised: %+v", d)
		}
	}
}

// TestBreaker: a service that charges and never answers is not fed a whole list.
func TestBreaker(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "drop-after-charge", Every: 1}}})
	r.run(domainLines(3000), "--signals", "news", "--concurrency", "1")
	if r.code != exitInDoubt {
		t.Errorf("exit %d, want %d", r.code, exitInDoubt)
	}
	if n := r.manifest.Calls.ByOutcome[pipeline.InDoubt]; n > 8 {
		t.Errorf("%d calls in doubt before the run stopped, want a handful", n)
	}
	if n := r.manifest.Accounts.ByStatus[schema.Deferred]; n < 2000 {
		t.Errorf("%d lines deferred, want the rest of the list", n)
	}
}

// TestRefusedItems: identifiers that the API refuses do not sink their batch.
func TestRefusedItems(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{Refuse: map[string]int{"company-0003.example": 400, "company-0040.example": 451, "company-0077.example": 422}})
	r.run(domainLines(100), "--signals", "news")
	by := r.manifest.Accounts.ByStatus
	if by[schema.Rejected] != 2 || by[schema.Restricted] != 1 || by[schema.Deferred]+by[schema.InDoubt] != 0 {
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
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	r := newRig(t, simulator.Config{Latency: 20 * time.Millisecond, Log: func(e simulator.Entry) {
		if e.Seq >= 6 {
			cancel()
		}
	}})
	r.runList(ctx, strings.NewReader(domainLines(2000)), "-", "--signals", "news", "--concurrency", "2")
	by := r.manifest.Accounts.ByStatus
	if r.code != exitDeferred || by[schema.Deferred] == 0 || by[schema.Deferred] == 2000 || by[schema.InDoubt] != 0 {
		t.Errorf("exit %d, statuses %v; want %d, some answered and the rest deferred", r.code, by, exitDeferred)
	}
	if r.manifest.Run.Stop == nil || r.manifest.Run.Stop.Kind != pipeline.StopInterrupted {
		t.Errorf("stop %+v, want %s", r.manifest.Run.Stop, pipeline.StopInterrupted)
	}
}
