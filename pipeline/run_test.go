package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/siglake/siglake/internal/columns"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/schema"
)

// companies are n lines that are requested by domain.
func companies(n int) list {
	var l list
	for i := range n {
		l.accounts = append(l.accounts, company(fmt.Sprintf("c%d.example", i)))
	}
	rows(l.accounts...)
	return l
}

// paidScript is a script of one charged call with one event for every item.
func paidScript(credits int64, items ...scriptedItem) script {
	if len(items) == 0 {
		items = []scriptedItem{{status: schema.Enriched, events: []string{"surgeInHiring"}}}
	}
	return script{calls: []scriptedCall{{Charged, knownCharge(credits)}}, items: items}
}

func mustRun(t *testing.T, r Runner, src Source) rig {
	t.Helper()
	g := run(t, t.Context(), r, src)
	if g.err != nil {
		t.Fatalf("Run() = %v, want no error", g.err)
	}
	if !g.sink.published || g.sink.manifest != g.manifest {
		t.Fatal("Run() did not publish the manifest it returned")
	}
	return g
}

func TestRun(t *testing.T) {
	sc := paidScript(7,
		scriptedItem{status: schema.Enriched, events: []string{"surgeInHiring", "surgeInHiring", "riskNews"}},
		scriptedItem{status: schema.NoSignal},
		scriptedItem{status: schema.NotFound},
		scriptedItem{status: schema.Enriched, events: []string{"newsEvent", "surgeInHiring", "surgeInHiring", "surgeInHiring"}},
		scriptedItem{status: schema.Restricted},
	)
	sc.calls = append([]scriptedCall{{outcome: NotCharged}}, sc.calls...)
	for i := range sc.items {
		sc.items[i].call = 1
	}
	src := companies(5)
	src.accounts = append(src.accounts, src.accounts[1], schema.Account{Key: "odd", File: "list.csv", Line: 9, Object: schema.Company, Reject: &schema.Reject{Column: "domain", Value: "?", Reason: "not a host name"}})
	src.accounts[5].Row, src.accounts[6].Row = 6, 7
	queries := bothQueries()
	queries[schema.Company].Ask = SignalsAsk{Types: queries[schema.Company].ResultTypes(), MaxResults: 3}
	g := mustRun(t, Runner{Fetcher: &scriptedAPI{scripts: []script{sc}}, Queries: queries, Spec: RunSpec{Versions: map[string]string{"siglake": "test"}, Endpoint: "https://api.example"},
		Input: func() Input { return Input{Records: 7} }}, src)

	if got, want := g.statusRanges(), "1 enriched, 2 no_signal, 3 not_found, 4 enriched, 5 restricted, 6 duplicate, 7 rejected"; got != want {
		t.Errorf("statuses = %s, want %s", got, want)
	}
	type billed struct {
		Row, Events, Credits int64
		Signal, Basis        string
	}
	var bill []billed
	for _, row := range g.sink.read("credits") {
		bill = append(bill, billed{row.int("row"), row.int("events"), row.int("credits"), row.text("signal_type"), row.text("basis")})
	}
	wantBill := []billed{
		{1, 2, 2, "surgeInHiring", "per_event"}, {1, 1, 1, "riskNews", "per_event"}, {4, 1, 1, "newsEvent", "per_event"}, {4, 3, 3, "surgeInHiring", "per_event"},
	}
	if diff := cmp.Diff(wantBill, bill); diff != "" {
		t.Errorf("credits table (-want +got):\n%s", diff)
	}
	accounts := g.sink.read("accounts")
	if i := slices.IndexFunc(accounts, func(c cells) bool { return c.int("row") == 6 }); accounts[i].int("duplicate_of_row") != 2 || !strings.Contains(accounts[i].text("reason"), "row 2") {
		t.Errorf("the duplicate = %v, want row 2 in its reason", accounts[i])
	}
	m := g.manifest
	wantEvents := EventTotals{
		Returned: 7, Written: 7, New: 7, CappedPairs: 1,
		BySignal:   map[string]int64{"surgeInHiring": 5, "riskNews": 1, "newsEvent": 1},
		ByCategory: map[schema.Category]int64{schema.CategoryGrowth: 5, schema.CategoryNews: 1, schema.CategoryOther: 1},
	}
	if diff := cmp.Diff(wantEvents, m.Events); diff != "" {
		t.Errorf("manifest's events (-want +got):\n%s", diff)
	}
	wantRejects := []RejectLine{{"list.csv", 9, "odd", `domain "?": not a host name`}}
	if diff := cmp.Diff(wantRejects, m.Accounts.Rejects); diff != "" {
		t.Errorf("manifest's rejects (-want +got):\n%s", diff)
	}
	if m.Run.Outcome != RunWithRejects || m.Run.Stop != nil || m.Calls.Retries != 1 || m.Input.Records != 7 || m.Versions["siglake"] != "test" || len(m.Queries) != 2 {
		t.Errorf("manifest = %+v, want a complete run with rejects and one retry", m)
	}
	if text, err := json.Marshal(m); err != nil || strings.Contains(string(text), ":null,") {
		t.Errorf("the manifest as JSON = %s, %v, want no nulls", text, err)
	}
}

func TestRunTypesWhatItWrites(t *testing.T) {
	shrinking := record(t, "headcountDecrease3m")
	f := fetchFunc(func(_ context.Context, b *Batch) (*Reply, error) {
		return &Reply{
			Calls: []Call{{ID: "1-1", Batch: b.ID, Attempt: 1, Object: schema.Company, Sent: epoch, Duration: 1500 * time.Millisecond, Outcome: Charged, Charge: knownCharge(1),
				Rate: Rate{Minute: Window{-1, -1, -1}, Hour: Window{100, 40, 60}, Day: Window{200, 200, 0}}, StartDate: "2026-01-01", EndDate: "2026-05-07T00:00:00Z", Warnings: []string{"a", "b"}}},
			Items: []ItemReply{{Status: schema.Enriched, CallID: "1-1", Entity: schema.Entity{Object: schema.Company, ID: "50023", Name: "Kestrel Loom", Domain: "kestrelloom.example"},
				Events: []RawEvent{{Type: "headcountDecrease3m", Raw: []byte(shrinking)}}, UnknownFields: json.RawMessage(`{"size":3}`), Warnings: []string{"odd"}}},
		}, nil
	})
	src := companies(1)
	src.accounts[0].Notes = []string{"www. was removed"}
	g := mustRun(t, Runner{Fetcher: f, Spec: RunSpec{URI: "list.csv", Job: "nightly"}, ExitCode: func(*Manifest) int { return 7 }}, src)
	for table, want := range map[string]cells{
		"risk": {
			"signal_type": "headcountDecrease3m", "object_type": "company", "entity_id": "50023", "account_key": "key 1", "event_date": "2026-04-01",
			"fetched_at": epoch.Add(1500 * time.Millisecond), "run_id": "run-1", "call_id": "1-1", "ingest_source": "poll", "schema_version": int64(schema.Version), "raw": shrinking,
			"company_id": "50023", "company_name": "Kestrel Loom", "company_domain": "kestrelloom.example", "signal_id": "910042", "signal_date": "2026-04-01",
			"change_rate_percent": -13.0, "change_rate_percent_abs": 13.0, "direction": "decrease", "window_months": int64(3),
			"baseline_employees_count": int64(276), "new_employees_count": int64(240),
			"first_seen_at": epoch.Add(1500 * time.Millisecond), "revision": int64(1), "content_digest": "810b31035fafaa288484ff73f1c8564d",
			"summary_text": "Headcount decrease of 13 % in 3 months, from 276 to 240 people",
		},
		"accounts": {
			"run_id": "run-1", "row": int64(1), "account_key": "key 1", "status": "enriched", "object_type": "company", "identifier_type": "domain", "identifier": "c0.example",
			"entity_id": "50023", "entity_name": "Kestrel Loom", "entity_domain": "kestrelloom.example", "events": int64(1), "credits": int64(1), "call_id": "1-1",
			"input_line": int64(0), "notes": "www. was removed; odd", "answer_extra": `{"size":3}`, "command": "run", "new_events": int64(1), "known_events": int64(0),
		},
		"calls": {
			"run_id": "run-1", "call_id": "1-1", "batch_id": "000001", "attempt": int64(1), "endpoint": "", "object_type": "company", "entities": int64(0), "signal_types": int64(0),
			"sent_at": epoch, "duration_ms": int64(1500), "http_status": int64(0), "outcome": "charged", "credits": int64(1), "ceiling": int64(0), "events": int64(1), "answer_bytes": int64(0),
			"window_start": "2026-01-01", "window_end": "2026-05-07", "hour_left": int64(60), "day_left": int64(0), "notes": "a; b",
		},
		"runs": {
			"run_id": "run-1", "command": "run", "since_last": false, "simulated": false, "list": "list.csv", "job": "nightly", "signals": "companyChange; promotion; surgeInHiring; riskNews; intent", "window_start": "2026-01-01",
			"started_at": epoch, "finished_at": epoch, "outcome": "complete", "exit_code": int64(7), "lines": int64(1), "enriched": int64(1), "rejected": int64(0), "deferred": int64(0), "held": int64(0),
			"calls": int64(1), "events": int64(1), "new_events": int64(1), "changed_events": int64(0), "credits": int64(1), "credits_at_most": int64(1),
		},
	} {
		got := g.sink.read(table)
		if len(got) != 1 {
			t.Fatalf("%s has %d rows, want 1", table, len(got))
		}
		delete(got[0], "event_uid")
		if diff := cmp.Diff(want, got[0]); diff != "" {
			t.Errorf("row of %s (-want +got):\n%s", table, diff)
		}
	}
}

// What was not stated is null, not zero or the year 1.
func TestRunWritesNothingForWhatWasNotStated(t *testing.T) {
	f := fetchFunc(func(_ context.Context, b *Batch) (*Reply, error) {
		return &Reply{
			Calls: []Call{{ID: "1-1", Batch: b.ID, Attempt: 1, Object: schema.Company, Outcome: NotCharged, Problem: "no connection"}},
			Items: []ItemReply{{Status: schema.Deferred, Reason: "no connection", CallID: "1-1"}},
		}, nil
	})
	call := mustRun(t, Runner{Fetcher: f}, companies(1)).sink.read("calls")[0]
	for _, column := range []string{"sent_at", "window_start", "window_end", "minute_left", "hour_left", "day_left", "charge_text"} {
		if !call.null(column) {
			t.Errorf("%s of a call that was never sent = %v, want null", column, call[column])
		}
	}
	if got := call["credits"]; got != int64(0) {
		t.Errorf("credits of a call that was not charged = %v, want 0", got)
	}
}

// Some engines cannot read a file with text that is not UTF-8, so an invalid byte of an answer must
// not reach it.
func TestRunWritesUTF8(t *testing.T) {
	f := fetchFunc(func(_ context.Context, b *Batch) (*Reply, error) {
		return &Reply{
			Calls: []Call{{ID: "1-1", Batch: b.ID, Object: schema.Company, Sent: epoch, Outcome: Charged, Charge: knownCharge(1)}},
			Items: []ItemReply{{Status: schema.Enriched, CallID: "1-1", Events: []RawEvent{{Type: "linkedinActivityIntent", Raw: []byte("{\"intentTopics\":[\"\xff\"],\"activityLikes\":\"\xfe\"}")}}}},
		}, nil
	})
	row := mustRun(t, Runner{Fetcher: f}, companies(1)).sink.read("intent")[0]
	want := map[string]string{"raw": "{\"intentTopics\":[\"\uFFFD\"],\"activityLikes\":\"\uFFFD\"}", "intent_topics": "[\"\uFFFD\"]", "notes": "activityLikes: not a bigint: \uFFFD"}
	got := map[string]string{}
	for column := range want {
		got[column] = row.text(column)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("texts with an invalid byte (-want +got):\n%s", diff)
	}
}

// TestRunRequests: the table of requests has every type of every call, also those without events, and
// leaves out calls that the server refused.
func TestRunRequests(t *testing.T) {
	sc := paidScript(3, scriptedItem{status: schema.Enriched, events: []string{"surgeInHiring", "surgeInHiring", "riskNews"}}, scriptedItem{status: schema.NoSignal})
	sc.calls = append([]scriptedCall{{outcome: NotCharged}}, sc.calls...)
	for i := range sc.items {
		sc.items[i].call = 1
	}
	g := mustRun(t, Runner{Fetcher: &scriptedAPI{scripts: []script{sc}}}, companies(2))
	type request struct {
		Call, Signal                    string
		Entities, With, Events, Credits any
	}
	var got []request
	for _, row := range g.sink.read("requests") {
		got = append(got, request{row.text("call_id"), row.text("signal_type"), row["entities"], row["entities_with_events"], row["events"], row["credits"]})
	}
	call := g.sink.read("calls")[1].text("call_id")
	n := func(i int) any { return int64(i) }
	want := []request{{call, "surgeInHiring", n(2), n(1), n(2), n(2)}, {call, "riskNews", n(2), n(1), n(1), n(1)}, {call, "intent", n(2), n(0), n(0), n(0)}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestRunPartitionsByDate(t *testing.T) {
	shrinking := record(t, "headcountDecrease3m")
	f := fetchFunc(func(_ context.Context, b *Batch) (*Reply, error) {
		return &Reply{
			Calls: []Call{{ID: "1-1", Batch: b.ID, Object: schema.Company, Sent: epoch, Outcome: Charged, Charge: knownCharge(2)}},
			Items: []ItemReply{{Status: schema.Enriched, CallID: "1-1", Events: []RawEvent{{Type: "headcountDecrease3m", Raw: []byte(shrinking)}, {Type: "riskNews", Raw: []byte(`{}`)}}}},
		}, nil
	})
	for by, want := range map[string][]string{
		"":            {"accounts", "calls", "credits", "drift", "news/event_month=unknown", "requests", "risk/event_month=2026-04", "runs"},
		"event_month": {"accounts", "calls", "credits", "drift", "news/event_month=unknown", "requests", "risk/event_month=2026-04", "runs"},
		"event_day":   {"accounts", "calls", "credits", "drift", "news/event_day=1970-01-01", "requests", "risk/event_day=2026-04-01", "runs"},
	} {
		var got []string
		for _, w := range mustRun(t, Runner{Fetcher: f, Spec: RunSpec{Partition: by}}, companies(1)).sink.records {
			got = append(got, w.partition.String())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("partitions by %q, in the order of the writes (-want +got):\n%s", by, diff)
		}
	}
}

func TestRunEmptyList(t *testing.T) {
	g := mustRun(t, Runner{Fetcher: fetchFunc(func(context.Context, *Batch) (*Reply, error) { panic("nothing to ask") })}, list{})
	if rows := g.sink.read("runs"); len(g.sink.records) != 1 || len(rows) != 1 || rows[0]["lines"] != int64(0) || g.manifest.Run.Outcome != RunComplete {
		t.Errorf("a run of an empty list wrote %d records and ended %s, want only the row of the run, and complete", len(g.sink.records), g.manifest.Run.Outcome)
	}
}

func TestRunDefaults(t *testing.T) {
	for _, c := range []struct{ concurrency, size, wantConcurrency, wantSize int }{
		{0, 0, 4, MaxBatch}, {-1, -1, 4, MaxBatch}, {1, 1, 1, 1}, {9, MaxBatch + 1, 9, MaxBatch},
	} {
		most := 0
		api := &scriptedAPI{scripts: []script{paidScript(1)}}
		f := fetchFunc(func(ctx context.Context, b *Batch) (*Reply, error) {
			api.mu.Lock()
			most = max(most, len(b.Items))
			api.mu.Unlock()
			return api.Fetch(ctx, b)
		})
		g := mustRun(t, Runner{Fetcher: f, Concurrency: c.concurrency, BatchSize: c.size}, companies(2*MaxBatch))
		if got := g.manifest.Run; got.Concurrency != c.wantConcurrency || got.BatchSize != c.wantSize || most != c.wantSize {
			t.Errorf("Run with concurrency %d, batch size %d used %d, %d and sent %d items, want %d, %d", c.concurrency, c.size, got.Concurrency, got.BatchSize, most, c.wantConcurrency, c.wantSize)
		}
	}
}

func TestRunProgress(t *testing.T) {
	var got []Progress
	api := &scriptedAPI{scripts: []script{paidScript(2)}}
	mustRun(t, Runner{Fetcher: api, BatchSize: 2, Progress: func(p Progress) { got = append(got, p) }}, companies(5))
	want := []Progress{
		{Lines: 2, Batches: 1, Calls: 1, Events: 2, Credits: 2}, {Lines: 4, Batches: 2, Calls: 2, Events: 4, Credits: 4}, {Lines: 5, Batches: 3, Calls: 3, Events: 5, Credits: 6},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
}

// drawScript draws the calls and items of a batch, with only those statuses that the calls can
// result in.
func drawScript(t *rapid.T) script {
	var sc script
	items := []scriptedItem{{status: schema.Deferred, call: -1}}
	signals := []string{"surgeInHiring", "riskNews", "intent", "companyChange", "promotion", "newsEvent"}
	for i := range rapid.IntRange(1, 3).Draw(t, "calls") {
		c := scriptedCall{outcome: rapid.SampledFrom([]Outcome{Charged, Charged, NotCharged, InDoubt}).Draw(t, "outcome")}
		switch c.outcome {
		case Charged:
			switch rapid.IntRange(0, 4).Draw(t, "charge") {
			case 0:
				c.charge = Charge{Text: "null"}
			case 1:
				c.charge = knownCharge(rapid.Int64Range(0, 1<<40).Draw(t, "credits"))
			default:
				c.charge = knownCharge(rapid.Int64Range(0, 30).Draw(t, "credits"))
			}
			for range rapid.IntRange(0, 3).Draw(t, "enriched") {
				items = append(items, scriptedItem{schema.Enriched, i, rapid.SliceOfN(rapid.SampledFrom(signals), 1, 8).Draw(t, "events")})
			}
			for _, status := range []schema.Status{schema.NoSignal, schema.NotFound, schema.Restricted} {
				items = append(items, scriptedItem{status: status, call: i})
			}
		case NotCharged:
			items = append(items, scriptedItem{status: schema.Rejected, call: i}, scriptedItem{status: schema.Deferred, call: i})
		case InDoubt:
			items = append(items, scriptedItem{status: schema.InDoubt, call: i})
		}
		sc.calls = append(sc.calls, c)
	}
	sc.items = rapid.Permutation(items).Draw(t, "fates")
	sc.unmatched = rapid.IntRange(0, 3).Draw(t, "strays")
	return sc
}

func TestRunReconciles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		api := &scriptedAPI{scripts: rapid.SliceOfN(rapid.Custom(drawScript), 1, 4).Draw(t, "scripts")}
		g := run(t, context.Background(), Runner{
			Fetcher: api, BatchSize: rapid.IntRange(1, 9).Draw(t, "size"), Concurrency: rapid.IntRange(1, 5).Draw(t, "concurrency"),
		}, list{accounts: lines(rapid.IntRange(0, 60).Draw(t, "lines"))})
		if g.err != nil || !g.sink.published {
			t.Fatalf("Run() = %v, published %t", g.err, g.sink.published)
		}
		c := g.manifest.Credits
		got := []int64{c.Charged, c.UnknownCalls, c.InDoubtCalls, g.manifest.Calls.Total, g.manifest.Events.Returned}
		want := []int64{api.charged, api.unknown, api.inDoubt, api.calls, api.events}
		if !slices.Equal(got, want) {
			t.Fatalf("charged, unknown, in doubt, calls, events of the manifest = %d, want those of the API: %d", got, want)
		}
		for ref, n := range api.asked {
			if n != 1 {
				t.Fatalf("%s was requested %d times, want once", ref, n)
			}
		}
		for _, d := range g.manifest.InDoubt {
			if d.MaxCredits <= 0 || len(d.Signals) == 0 {
				t.Fatalf("call in doubt %+v has no maximum cost", d)
			}
		}
		if by := g.manifest.Accounts.ByStatus; g.manifest.Run.Outcome != outcomeOf(by, c.InDoubtCalls) {
			t.Fatalf("outcome of %v with %d calls in doubt = %s, want %s", by, c.InDoubtCalls, g.manifest.Run.Outcome, outcomeOf(by, c.InDoubtCalls))
		}
	})
}

func outcomeOf(by map[schema.Status]int64, inDoubt int64) RunOutcome {
	switch {
	case inDoubt > 0:
		return RunInDoubt
	case by[schema.Deferred] > 0:
		return RunDeferred
	case by[schema.Rejected] > 0:
		return RunWithRejects
	}
	return RunComplete
}

func TestRunOrderDoesNotDependOnConcurrency(t *testing.T) {
	var first []written
	for _, concurrency := range []int{1, 16, 3}[:proof.Size(2, 3, 3)] {
		synctest.Test(t, func(t *testing.T) {
			dice := rand.New(rand.NewPCG(7, uint64(concurrency)))
			waits := make([]time.Duration, 200)
			for i := range waits {
				waits[i] = time.Duration(dice.IntN(5000)) * time.Millisecond
			}
			inDoubt := script{
				calls: []scriptedCall{{outcome: InDoubt}, {Charged, knownCharge(9)}},
				items: []scriptedItem{{status: schema.InDoubt}, {schema.Enriched, 1, []string{"promotion", "riskNews"}}, {status: schema.NotFound, call: 1}}, unmatched: 1,
			}
			api := &scriptedAPI{scripts: []script{paidScript(3), inDoubt, paidScript(1)}, wait: func(b *Batch) time.Duration {
				var n int
				_, _ = fmt.Sscanf(b.ID, "%d", &n)
				return waits[n]
			}}
			g := mustRun(t, Runner{Fetcher: api, BatchSize: 40, Concurrency: concurrency}, list{accounts: lines(5800)})
			got := g.sink.records
			if first == nil {
				first = got
			}
			same := func(a, b written) bool { return a.partition == b.partition && array.RecordEqual(a.record, b.record) }
			if !slices.EqualFunc(first, got, same) {
				diff := cmp.Diff(marshalWrites(t, first), marshalWrites(t, got))
				t.Errorf("records with concurrency %d (-with 1 +got):\n%s", concurrency, diff)
			}
		})
	}
	if len(first) < 8 {
		t.Errorf("the run wrote %d records, want 8 or more: the test proves nothing", len(first))
	}
}

// marshalWrites returns the partitions and records as text.
func marshalWrites(t *testing.T, writes []written) (texts []string) {
	t.Helper()
	for _, w := range writes {
		text, err := w.record.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, w.partition.String()+" "+string(text))
	}
	return texts
}

// A Stop lets the calls on the wire finish; everything after them is deferred.
func TestRunStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := &Stop{Kind: StopQuota, Reason: "the day is used up", Advice: "run again tomorrow", RetryAt: epoch.Add(time.Hour)}
		api := &scriptedAPI{scripts: []script{paidScript(2)}}
		var calls atomic.Int64
		f := fetchFunc(func(ctx context.Context, b *Batch) (*Reply, error) {
			calls.Add(1)
			if b.ID != "000002" {
				time.Sleep(time.Minute)
				return api.Fetch(ctx, b)
			}
			time.Sleep(time.Second)
			reply, _ := api.Fetch(ctx, b)
			reply.Items[1] = NewReply(b, stop.Reason).Items[1] // the second half of a split batch was not requested
			return reply, fmt.Errorf("batch %s: %w", b.ID, stop)
		})
		g := mustRun(t, Runner{Fetcher: f, BatchSize: 2, Concurrency: 3}, companies(20))
		if got, want := g.statusRanges(), "1-3 enriched, 4 deferred, 5-6 enriched, 7-20 deferred"; got != want {
			t.Errorf("statuses after a stop = %s, want %s", got, want)
		}
		if calls.Load() != 3 || g.manifest.Credits.Charged != 6 {
			t.Errorf("%d calls, %d credits, want 3 and 6", calls.Load(), g.manifest.Credits.Charged)
		}
		want := &StopInfo{Kind: StopQuota, Reason: stop.Reason, Advice: stop.Advice, RetryAt: &stop.RetryAt}
		if diff := cmp.Diff(want, g.manifest.Run.Stop); diff != "" || g.manifest.Run.Outcome != RunDeferred {
			t.Errorf("outcome %s, stop (-want +got):\n%s", g.manifest.Run.Outcome, diff)
		}
	})
}

func TestRunStopKinds(t *testing.T) {
	for _, c := range []struct {
		err   error
		calls []Call
		kind  StopKind
		want  RunOutcome
	}{
		{&Stop{Kind: StopAuth, Reason: "key refused"}, nil, StopAuth, RunRefused},
		{&Stop{Kind: StopBudget, Reason: "cap reached"}, nil, StopBudget, RunDeferred},
		{errBroken, nil, StopUnstable, RunDeferred},
		{errBroken, []Call{{ID: "x", Object: schema.Company, Outcome: InDoubt}}, StopUnstable, RunInDoubt},
	} {
		f := fetchFunc(func(_ context.Context, b *Batch) (*Reply, error) {
			reply := NewReply(b, c.err.Error())
			reply.Calls = c.calls
			return reply, c.err
		})
		g := mustRun(t, Runner{Fetcher: f, Concurrency: 1, BatchSize: 1}, companies(3))
		if got := g.manifest.Run; got.Stop == nil || got.Stop.Kind != c.kind || got.Outcome != c.want {
			t.Errorf("Run with %v ended %s with %+v, want %s with %s", c.err, got.Outcome, got.Stop, c.want, c.kind)
		}
		if got, want := g.statusRanges(), "1-3 deferred"; got != want {
			t.Errorf("statuses after %v = %s, want %s", c.err, got, want)
		}
	}
}

func TestRunCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		api := &scriptedAPI{scripts: []script{paidScript(2)}}
		var calls atomic.Int64
		f := fetchFunc(func(ctx context.Context, b *Batch) (*Reply, error) {
			if calls.Add(1) == 2 {
				cancel()
			}
			time.Sleep(time.Second) // on the wire: not cancelled
			return api.Fetch(ctx, b)
		})
		g := run(t, ctx, Runner{Fetcher: f, BatchSize: 2, Concurrency: 2}, companies(12))
		if g.err != nil || !g.sink.published {
			t.Fatalf("Run() = %v, published %t, want it to publish what was paid for", g.err, g.sink.published)
		}
		if got, want := g.statusRanges(), "1-4 enriched, 5-12 deferred"; got != want || calls.Load() != 2 {
			t.Errorf("statuses after %d calls = %s, want %s after 2", calls.Load(), got, want)
		}
		if got := g.manifest.Run; got.Outcome != RunDeferred || got.Stop == nil || got.Stop.Kind != StopInterrupted {
			t.Errorf("outcome = %s, %+v, want deferred, interrupted", got.Outcome, got.Stop)
		}

		g = run(t, ctx, Runner{Fetcher: fetchFunc(func(context.Context, *Batch) (*Reply, error) { panic("asked after a cancel") })}, companies(3))
		if got, want := g.statusRanges(), "1-3 deferred"; got != want || g.err != nil {
			t.Errorf("Run with a cancelled context = %v with %s, want %s", g.err, got, want)
		}
		// If a fetcher gives up waiting, the API is not unstable.
		ctx, cancel = context.WithCancel(t.Context())
		g = run(t, ctx, Runner{Fetcher: fetchFunc(func(ctx context.Context, b *Batch) (*Reply, error) {
			cancel()
			return NewReply(b, "cancelled"), ctx.Err()
		})}, companies(3))
		if g.err != nil || g.manifest.Run.Stop.Kind != StopInterrupted {
			t.Errorf("Run = %v, stop %+v, want interrupted", g.err, g.manifest.Run.Stop)
		}
	})
}

// TestRunInterruptedLongList: after a stop, the run reads so many lines of a list and no more, says
// so, and tells meanwhile that it stops and what it waits for. A stop by the API or a budget reads on.
func TestRunInterruptedLongList(t *testing.T) {
	t.Parallel()
	const lines = 3 * maxLinesAfterInterrupt
	for _, interrupted := range []bool{true, false} {
		ctx, cancel := context.WithCancel(t.Context())
		api, activity := &scriptedAPI{scripts: []script{paidScript(2)}}, new(Activity)
		var during []string
		f := fetchFunc(func(_ context.Context, b *Batch) (*Reply, error) {
			note := func() {
				during = append(during, fmt.Sprint(activity.Calls(), activity.Stopping(), activity.Publishing()))
			}
			note()
			if !interrupted {
				return NewReply(b, "budget"), &Stop{Kind: StopBudget, Reason: "the budget is exhausted"}
			}
			cancel()
			for !activity.Stopping() {
				runtime.Gosched() // until the end of ctx is noticed
			}
			note()
			return api.Fetch(ctx, b)
		})
		g := run(t, ctx, Runner{Fetcher: f, BatchSize: 2, Concurrency: 1, Activity: activity}, companies(lines))
		cancel()
		m := g.manifest
		if g.err != nil || m.Input.Unread != interrupted || m.Run.Outcome != RunDeferred || (m.Accounts.Lines < lines) != interrupted {
			t.Errorf("interrupted %t: Run() = %v, %d of %d lines, unread %t, %s", interrupted, g.err, m.Accounts.Lines, lines, m.Input.Unread, m.Run.Outcome)
		}
		if most := int64(maxLinesAfterInterrupt + 100); interrupted && m.Accounts.Lines > most {
			t.Errorf("%d lines have a status, want at most %d", m.Accounts.Lines, most)
		}
		want := []string{"1 false false"}
		if interrupted {
			want = append(want, "1 true false")
		}
		if !slices.Equal(during, want) || activity.Calls() != 0 || !activity.Stopping() || !activity.Publishing() {
			t.Errorf("activity during the call %q, afterwards %d calls, stopping %t, publishing %t; want %q", during, activity.Calls(), activity.Stopping(), activity.Publishing(), want)
		}
	}
}

func TestRunSourceError(t *testing.T) {
	src := companies(5)
	src.err = fmt.Errorf("list.csv line 7: %w", errBroken)
	g := run(t, t.Context(), Runner{Fetcher: &scriptedAPI{scripts: []script{paidScript(1)}}, BatchSize: 2}, src)
	if !errors.Is(g.err, errBroken) || g.manifest == nil || !g.sink.published {
		t.Fatalf("Run() = %v, %v, published %t, want the error, a manifest and its publication", g.manifest, g.err, g.sink.published)
	}
	if got, want := g.statusRanges(), "1-5 enriched"; got != want {
		t.Errorf("statuses = %s, want %s", got, want)
	}
	if got := g.manifest.Run; got.Outcome != RunDeferred || got.Stop.Kind != StopInput || !strings.Contains(got.Stop.Reason, "line 7") {
		t.Errorf("outcome = %s, %+v, want deferred with stop input", got.Outcome, got.Stop)
	}

	g = run(t, t.Context(), Runner{Fetcher: &scriptedAPI{scripts: []script{paidScript(1)}}}, list{err: errBroken})
	if !errors.Is(g.err, errBroken) || g.manifest != nil || g.sink.staged {
		t.Errorf("Run of a list that cannot be read = %v, %v, staged %t, want the error alone", g.manifest, g.err, g.sink.staged)
	}
}

func TestRunSinkErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		sink *memorySink
	}{
		{"write", &memorySink{failWrite: errBroken}}, {"stage", &memorySink{failStage: errBroken}}, {"publish", &memorySink{failPublish: errBroken}},
	} {
		g := run(t, t.Context(), Runner{Fetcher: &scriptedAPI{scripts: []script{paidScript(1)}}, Sink: c.sink, BatchSize: 1}, companies(30))
		if !errors.Is(g.err, errBroken) || g.manifest != nil || g.sink.published {
			t.Errorf("%s: Run() = %v, %v, published %t, want the sink's error alone", c.name, g.manifest, g.err, g.sink.published)
		}
	}
}

// A sink that fails midway ends the requests: what is bought after that is lost.
func TestRunSinkErrorStopsAsking(t *testing.T) {
	api := &scriptedAPI{scripts: []script{paidScript(0, scriptedItem{status: schema.NotFound})}}
	g := run(t, t.Context(), Runner{Fetcher: api, Sink: &memorySink{failWrite: errBroken}, BatchSize: 100, Concurrency: 2}, companies(20*columns.MaxRows))
	if !errors.Is(g.err, errBroken) || g.sink.staged {
		t.Fatalf("Run() = %v, staged %t, want the sink's error and no staging", g.err, g.sink.staged)
	}
	if got, most := api.calls, int64(2*columns.MaxRows/100); got > most {
		t.Errorf("%d batches were requested, want at most %d: the first full record failed", got, most)
	}
}

// inDoubtLedger is a ledger in which some lines, by key, are in doubt because of calls of earlier
// runs.
type inDoubtLedger struct {
	noLedger
	inDoubt  map[string]*InDoubtCall
	recorded []Line
}

func (d *inDoubtLedger) Coverage(_ context.Context, a *schema.Account, _ *Query) Coverage {
	return Coverage{InDoubt: d.inDoubt[a.Key]}
}

func (d *inDoubtLedger) RecordLines(lines []Line) error {
	d.recorded = append(d.recorded, lines...)
	return nil
}

// TestEarlierInDoubtCalls: lines in doubt because of calls of earlier runs are listed under these
// calls, after the run's own, and add nothing to the run's bill. The order in which they occur does
// not matter, nor whether they are read from the journal.
func TestEarlierInDoubtCalls(t *testing.T) {
	first := &InDoubtCall{Run: "run-0", Call: "000001-1", Sent: epoch, Problem: "reset", Signals: []string{"riskNews"}, MaxCredits: 9}
	second := &InDoubtCall{Run: "run-0", Call: "000002-1", Sent: epoch, Signals: []string{"riskNews"}, MinCredits: 1, MaxCredits: 5, WrittenOff: true}
	j := &inDoubtLedger{inDoubt: map[string]*InDoubtCall{"key 1": second, "key 2": first, "key 4": second}}
	sc := script{calls: []scriptedCall{{outcome: InDoubt}}, items: []scriptedItem{{status: schema.InDoubt}}}
	g := mustRun(t, Runner{Fetcher: &scriptedAPI{scripts: []script{sc}}, Purchases: j, Ledger: j}, companies(5))

	itemised := func(d InDoubtCall, keys ...string) InDoubtCall {
		d.Accounts = keys
		return d
	}
	want := []InDoubtCall{
		{Call: "000001-1", Sent: epoch, Signals: []string{"surgeInHiring", "riskNews", "intent"}, Accounts: []string{"key 3", "key 5"}, MaxCredits: 30},
		itemised(*first, "key 2"),
		itemised(*second, "key 1", "key 4"),
	}
	if diff := cmp.Diff(want, g.manifest.InDoubt); diff != "" {
		t.Errorf("calls in doubt (-want +got):\n%s", diff)
	}
	if c := g.manifest.Credits; c.InDoubtCalls != 1 || c.InDoubtCeiling != 30 {
		t.Errorf("in doubt = %d calls, %d credits, want only the run's own: 1, 30", c.InDoubtCalls, c.InDoubtCeiling)
	}
	if len(j.inDoubt["key 1"].Accounts) > 0 {
		t.Errorf("the ledger's own copy of a call in doubt was changed: %+v", j.inDoubt["key 1"])
	}

	log := &RunLog{
		Answers: func(func(RecordedAnswer, error) bool) {},
		Lines: func(yield func(Line, error) bool) {
			for _, l := range j.recorded {
				if !yield(l, nil) {
					return
				}
			}
		},
	}
	replayed, err := (&Runner{Sink: &memorySink{}, Queries: bothQueries(), Spec: RunSpec{ID: "run-1"}, Recorded: log}).Replay(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want[1:], replayed.InDoubt); diff != "" {
		t.Errorf("calls in doubt, from the recorded lines (-want +got):\n%s", diff)
	}
}

func TestRunInDoubtHasNoCredits(t *testing.T) {
	for _, call := range []int{0, -1} { // with and without the call that decided it
		sc := script{
			calls: []scriptedCall{{outcome: InDoubt}, {Charged, Charge{Text: "1.5"}}},
			items: []scriptedItem{{status: schema.InDoubt, call: call}, {schema.Enriched, 1, []string{"riskNews"}}, {status: schema.Deferred, call: -1}},
		}
		g := mustRun(t, Runner{Fetcher: &scriptedAPI{scripts: []script{sc}}}, companies(3))
		accounts := g.sink.read("accounts")
		for i, want := range []any{nil, nil, int64(0)} {
			if got := accounts[i]["credits"]; got != want {
				t.Errorf("credits of a line with status %s = %v, want %v", accounts[i].text("status"), got, want)
			}
		}
		m := g.manifest
		wantHeld := []InDoubtCall{{Call: "000001-1", Sent: epoch, Signals: []string{"surgeInHiring", "riskNews", "intent"}, Accounts: []string{}, MaxCredits: 45}}
		if call == 0 {
			wantHeld[0].Accounts = []string{"key 1"}
		}
		if diff := cmp.Diff(wantHeld, m.InDoubt); diff != "" {
			t.Errorf("calls in doubt (-want +got):\n%s", diff)
		}
		if m.Run.Outcome != RunInDoubt || m.Credits.InDoubtCeiling != 45 || m.Credits.UnknownCalls != 1 || m.Credits.UnknownCeiling != 45 || m.Credits.Charged != 0 {
			t.Errorf("outcome, credits = %s, %+v, want held and 45 in doubt twice", m.Run.Outcome, m.Credits)
		}
		if len(m.Credits.BySignal)+len(m.Credits.ByBasis) > 0 {
			t.Errorf("credits by signal and basis = %v, %v, want none: no charge is known", m.Credits.BySignal, m.Credits.ByBasis)
		}
		calls := g.sink.read("calls")
		if !calls[0].null("credits") || !calls[1].null("credits") || calls[1].text("charge_text") != "1.5" {
			t.Errorf("calls = %v, want both without credits, and the text of the invalid charge", calls)
		}
	}
}

func TestRunWholeCall(t *testing.T) {
	sc := paidScript(1, scriptedItem{status: schema.NotFound})
	g := mustRun(t, Runner{Fetcher: &scriptedAPI{scripts: []script{sc}}}, companies(3))
	credits := g.sink.read("credits")
	if len(credits) != 1 || credits[0].int("credits") != 1 || !credits[0].null("row") || !credits[0].null("signal_type") || credits[0].text("basis") != "whole_call" {
		t.Errorf("credits of a charge without events = %v, want one row of the whole call", credits)
	}
	if got := g.manifest.Credits.WholeCall; got != 1 {
		t.Errorf("Credits.WholeCall = %d, want 1", got)
	}
}

func TestRunRefusesIncompleteReplies(t *testing.T) {
	full := func(n int) *Reply {
		r := &Reply{Items: make([]ItemReply, n)}
		for i := range r.Items {
			r.Items[i] = ItemReply{Status: schema.NotFound, Reason: "unknown"}
		}
		return r
	}
	blank := full(3)
	blank.Items[1].Status = ""
	odd := full(3)
	odd.Calls = []Call{{ID: "1-1", Object: schema.Company, Outcome: "paid", Charge: knownCharge(3)}}
	for name, reply := range map[string]*Reply{
		"none": nil, "empty": {}, "too few": full(2), "too many": full(4), "an item without a status": blank, "a call without a known outcome": odd,
	} {
		f := fetchFunc(func(context.Context, *Batch) (*Reply, error) { return reply, nil })
		g := run(t, t.Context(), Runner{Fetcher: f}, companies(3))
		if g.err == nil || !strings.Contains(g.err.Error(), "000001") || g.sink.published {
			t.Errorf("%s: Run() = %v, published %t, want an error that contains 000001", name, g.err, g.sink.published)
		}
	}
}

// Records keep their content after their builders are reused.
func TestRunRecordsAreTheSinks(t *testing.T) {
	const n = 2*columns.MaxRows + 100
	g := mustRun(t, Runner{Fetcher: &scriptedAPI{scripts: []script{paidScript(100)}}}, companies(n))
	seen := map[string]bool{}
	for i, row := range g.sink.read("accounts") {
		if row.int("row") != int64(i+1) || row.text("identifier") != fmt.Sprintf("c%d.example", i) {
			t.Fatalf("row %d of the accounts table = %v", i+1, row)
		}
	}
	for _, row := range g.sink.read("growth") {
		seen[row.text("signal_id")] = true
		if want := fmt.Sprintf(`{"signalId":"%s"`, row.text("signal_id")); !strings.HasPrefix(row.text("raw"), want) {
			t.Fatalf("raw = %s, want prefix %s", row.text("raw"), want)
		}
	}
	if len(seen) != n {
		t.Errorf("%d different events were written, want %d", len(seen), n)
	}
	for _, w := range g.sink.records {
		w.record.Release()
	}
}

// Large texts are flushed before a buffer is full, so memory stays bounded.
func TestRunFlushesLargeTextsEarly(t *testing.T) {
	const n, size = 40, 1 << 20
	big := fmt.Appendf(nil, `{"signalDate":"2026-04-01","note":%q}`, strings.Repeat("x", size))
	f := fetchFunc(func(_ context.Context, b *Batch) (*Reply, error) {
		r := &Reply{Calls: []Call{{ID: b.ID + "-1", Batch: b.ID, Object: schema.Company, Sent: epoch, Outcome: Charged, Charge: knownCharge(1)}}}
		for range b.Items {
			r.Items = append(r.Items, ItemReply{Status: schema.Enriched, CallID: b.ID + "-1", Events: []RawEvent{{Type: "surgeInHiring", Raw: big}}})
		}
		return r, nil
	})
	g := mustRun(t, Runner{Fetcher: f, BatchSize: 1, Concurrency: 1}, companies(n))
	for _, w := range g.sink.records {
		if rows, most := w.record.NumRows(), int64(columns.MaxBytes/size+1); w.partition.Table == "growth" && rows > most {
			t.Errorf("a record holds %d rows of 1 MiB, want at most %d", rows, most)
		}
	}
}

// record is the documented record of a key, as the API sends it.
func record(t testing.TB, key string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "testdata", "golden", "records", key+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(raw))
}
