package ledger

import (
	"context"
	"testing"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// TestAuditOfRepeatedDoubts: a purchase that overlaps an undecided call in doubt is named, whether
// it asks for more or for less. One that was decided about, or that shares nothing, is not.
func TestAuditOfRepeatedDoubts(t *testing.T) {
	t.Parallel()
	signals := func(since string, cap int, types ...string) *pipeline.Query {
		return &pipeline.Query{Object: schema.Company, Ask: pipeline.SignalsAsk{Types: types, MaxResults: cap}, Since: since, Until: "2026-05-01"}
	}
	lookalikes := func(excluded ...schema.Account) *pipeline.Query {
		seeds := []schema.Account{{Object: schema.Company, Domain: "seed.example"}}
		return &pipeline.Query{Object: schema.Company, APIVersion: pipeline.V3, Ask: pipeline.LookalikeAsk{Seeds: seeds, Exclude: excluded, PageSize: 10}, Since: "2026-05-01", Until: "2026-05-01"}
	}
	apart := schema.Account{Object: schema.Company, Domain: "apart.example"}
	lost := signals("2026-02-01", 5, "riskNews")
	for _, c := range []struct {
		name          string
		first, second *pipeline.Query
		subject       string // of the second
		decided       bool
		refresh       bool
		want          int
	}{
		{name: "the same", first: lost, second: lost, want: 1},
		{name: "a higher cap", first: lost, second: signals("2026-02-01", 8, "riskNews"), want: 1},
		{name: "a lower cap", first: lost, second: signals("2026-02-01", 3, "riskNews"), want: 1},
		{name: "an earlier start", first: lost, second: signals("2026-01-01", 5, "riskNews"), want: 1},
		{name: "more types", first: lost, second: signals("2026-02-01", 5, "riskNews", "surgeInHiring"), want: 1},
		{name: "another type", first: lost, second: signals("2026-02-01", 5, "surgeInHiring")},
		{name: "decided", first: lost, second: signals("2026-02-01", 8, "riskNews"), decided: true},
		{name: "on request", first: lost, second: signals("2026-02-01", 8, "riskNews"), refresh: true},
		{name: "pages with other exclusions", first: lookalikes(), second: lookalikes(apart), subject: "another", want: 1},
		{name: "decided pages", first: lookalikes(), second: lookalikes(apart), subject: "another", decided: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			rig := newLedgerRig(t)
			ask := func(number int, q *pipeline.Query, subject, body string) {
				t.Helper()
				b := testBatch(number, 1)
				b.Query = q
				b.Items[0].Account.Domain = subject
				if q.Service().IsPaged() {
					b.Items[0].Page = &pipeline.Page{Number: 1, Limit: 10}
				}
				if _, err := rig.fetch(b, func(context.Context, *pipeline.Batch) (*pipeline.Reply, error) { return answerOf(b, body), nil }, nil); err != nil {
					t.Fatal(err)
				}
			}
			ask(1, c.first, "c.example", "lost")
			if c.decided {
				if err := rig.recorder.RecordDecision(rig.ledger.state.calls[0], Retry, "a test"); err != nil {
					t.Fatal(err)
				}
			}
			if c.refresh {
				var err error
				if rig.recorder, err = rig.ledger.BeginRun(pipeline.RunSpec{ID: "refresh", Session: 1, Refresh: true}); err != nil {
					t.Fatal(err)
				}
			}
			subject := c.subject
			if subject == "" {
				subject = "c.example"
			}
			ask(2, c.second, subject, "paid 3")
			later, err := Open(t.Context(), openStore(t, rig.disk.Dir, nil), Options{Decode: decodeTest, ReadOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			defer later.Close()
			audit, err := later.Audit(t.Context(), nil)
			if err != nil || len(audit.BoughtTwice) != c.want {
				t.Errorf("Audit() = %v, %v, want %d", audit.BoughtTwice, err, c.want)
			}
		})
	}
}

// TestAuditBehindCheckpoint: an event that is late counts as such also if the newer one that was known
// before was bought by a call that a checkpoint has left behind.
func TestAuditBehindCheckpoint(t *testing.T) {
	t.Parallel()
	const last = 60
	n := manyNights()
	event := func(date string) pipeline.RawEvent {
		return pipeline.RawEvent{Type: nightSignals[0], Raw: []byte(`{"signalDate":"` + date + `"}`)}
	}
	n.events = func(night, company int) []pipeline.RawEvent {
		known, late, recent := event("2026-06-10"), event("2026-06-05"), event("2026-07-28")
		return map[int][]pipeline.RawEvent{15: {known}, last: {recent, known, late}}[night*map[bool]int{true: 1}[company == 0]]
	}
	store := openStore(t, t.TempDir(), unsynced)
	n.addAll(t, store, 0, last)
	l, err := Open(t.Context(), store, n.options(last))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // nothing is at stake
	if left := l.state.past.days; left < DayOf("2026-06-16") {
		t.Fatalf("the checkpoint has left behind up to %s; want the purchase of 2026-06-16", left)
	}
	recorder, err := l.BeginRun(pipeline.RunSpec{ID: "audits", Session: 1, Settings: map[string]string{auditSetting: "100%"}, Lateness: map[string]int{nightSignals[0]: 20}})
	if err != nil {
		t.Fatal(err)
	}
	q := n.query(last)
	q.Ask, q.Since = pipeline.SignalsAsk{Types: nightSignals[:1], MaxResults: 10}, "2026-05-20"
	b := &pipeline.Batch{ID: "000001", Query: q, Items: []pipeline.Item{{Account: *n.account(0), Audit: true}}}
	record := recorder.RecordCalls(fetchFunc(func(context.Context, *pipeline.Batch) (*pipeline.Reply, error) { return n.answer(last, b), nil }))
	if _, err := recorder.RecordOutcomes(fetchFunc(func(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
		reply, err := record.Fetch(ctx, b)
		if err == nil {
			reply.Items, _ = n.decode(b, &reply.Calls[0])
		}
		return reply, err
	})).Fetch(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	found, err := (&pairAuditor{loader: l.loader, run: recorder.Run()}).audit(t.Context())
	if want := (pipeline.AuditCounts{Pairs: 1, Events: 2, Missed: 1, Late: 1}); err != nil || found == nil || found.AuditCounts != want {
		t.Errorf("audit() = %+v, %v, want %+v", found, err, want)
	}
}
