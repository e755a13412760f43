package pipeline

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"pgregory.net/rapid"

	"github.com/siglake/siglake/internal/columns"
	"github.com/siglake/siglake/schema"
)

// list is a Source of given lines, followed by err if it is set. Like a real one, it cannot be read
// after its context has ended.
type list struct {
	accounts []schema.Account
	err      error
}

func (l list) Accounts(ctx context.Context) iter.Seq2[schema.Account, error] {
	return func(yield func(schema.Account, error) bool) {
		for a, err := range walk(l.accounts, l.err) {
			if ctxErr := ctx.Err(); ctxErr != nil {
				yield(schema.Account{}, ctxErr)
				return
			}
			if !yield(a, err) {
				return
			}
		}
	}
}

// fetchFunc is a Fetcher made of a function.
type fetchFunc func(ctx context.Context, b *Batch) (*Reply, error)

func (f fetchFunc) Fetch(ctx context.Context, b *Batch) (*Reply, error) { return f(ctx, b) }

// written is one record that a sink received.
type written struct {
	partition schema.Partition
	record    arrow.Record
}

// memorySink keeps records, and fails in the steps that have an error set.
type memorySink struct {
	failWrite, failStage, failPublish error

	records           []written
	staged, published bool
	manifest          *Manifest
}

func (s *memorySink) Write(ctx context.Context, p schema.Partition, rec arrow.Record) error {
	if s.failWrite != nil {
		return s.failWrite
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("a sink must be able to write what was paid for: %w", err)
	}
	rec.Retain()
	s.records = append(s.records, written{p, rec})
	return nil
}

func (s *memorySink) Stage(ctx context.Context) ([]File, error) {
	if s.failStage != nil {
		return nil, s.failStage
	}
	s.staged = true
	var files []File
	for _, w := range s.records {
		files = append(files, File{Table: w.partition.Table, Rows: w.record.NumRows()})
	}
	return files, ctx.Err()
}

func (s *memorySink) Comparison() Comparison { return Comparison{} }

func (s *memorySink) Publish(ctx context.Context, m *Manifest) error {
	if s.failPublish != nil {
		return s.failPublish
	}
	s.published, s.manifest = true, m
	return ctx.Err()
}

func (s *memorySink) Close() error { return nil }

// cells is a row read back from Arrow: string, int64, float64, bool, a date as text or a time.Time;
// null cells are absent.
type cells map[string]any

// read returns the rows of a table in the order in which the sink received them.
func (s *memorySink) read(tables ...string) []cells {
	var out []cells
	for _, w := range s.records {
		if !slices.Contains(tables, w.partition.Table) {
			continue
		}
		for i := range int(w.record.NumRows()) {
			row := cells{}
			for j, field := range w.record.Schema().Fields() {
				if v := cell(w.record.Column(j), i); v != nil {
					row[field.Name] = v
				}
			}
			out = append(out, row)
		}
	}
	return out
}

func cell(column arrow.Array, i int) any {
	if column.IsNull(i) {
		return nil
	}
	switch c := column.(type) {
	case *array.String:
		return c.Value(i)
	case *array.Int64:
		return c.Value(i)
	case *array.Float64:
		return c.Value(i)
	case *array.Boolean:
		return c.Value(i)
	case *array.Date32:
		return c.Value(i).FormattedString()
	case *array.Timestamp:
		return c.Value(i).ToTime(arrow.Microsecond)
	}
	panic("a column of type " + column.DataType().String())
}

func (c cells) text(name string) string { s, _ := c[name].(string); return s }
func (c cells) int(name string) int64   { n, _ := c[name].(int64); return n }
func (c cells) null(name string) bool   { _, set := c[name]; return !set }

var eventTables = func() (names []string) {
	for _, t := range schema.EventTables {
		names = append(names, t.Name)
	}
	return names
}()

// script is the result of a batch.
type script struct {
	calls     []scriptedCall
	items     []scriptedItem // of the items, in turn
	unmatched int
}

type scriptedCall struct {
	outcome Outcome
	charge  Charge
}

type scriptedItem struct {
	status schema.Status
	call   int // index in calls; -1: no call
	events []string
}

// scriptedAPI answers batches by its scripts, in turn, and keeps its own bill. Answers come after
// wait, so that concurrent ones overtake each other.
type scriptedAPI struct {
	scripts []script
	wait    func(b *Batch) time.Duration // nil: at once

	mu      sync.Mutex
	asked   map[string]int // by item reference and object
	charged int64
	unknown int64
	inDoubt int64
	events  int64
	calls   int64
}

var epoch = time.Date(2026, 5, 7, 2, 30, 0, 0, time.UTC)

func (s *scriptedAPI) Fetch(_ context.Context, b *Batch) (*Reply, error) {
	if s.wait != nil {
		time.Sleep(s.wait(b)) // in a bubble only
	}
	var number int
	_, _ = fmt.Sscanf(b.ID, "%d", &number)
	sc := s.scripts[number%len(s.scripts)]
	s.mu.Lock()
	defer s.mu.Unlock()

	reply := &Reply{}
	for i, c := range sc.calls {
		reply.Calls = append(reply.Calls, Call{
			ID: fmt.Sprintf("%s-%d", b.ID, i+1), Batch: b.ID, Attempt: i + 1, Endpoint: "POST /signals", Object: b.Query.Object,
			Entities: len(b.Items), Types: len(b.Query.ResultTypes()), Ceiling: b.Ceiling(), Sent: epoch, Duration: time.Second, Status: 200,
			Outcome: c.outcome, Charge: c.charge,
		})
		s.calls++
		switch {
		case c.outcome == InDoubt:
			s.inDoubt++
		case c.outcome == Charged && c.charge.Known:
			s.charged += c.charge.Credits
		case c.outcome == Charged:
			s.unknown++
		}
	}
	for i, item := range b.Items {
		if s.asked == nil {
			s.asked = map[string]int{}
		}
		s.asked[string(b.Query.Object)+item.Ref]++
		reply.Items = append(reply.Items, s.answer(b, sc, i, item.Ref))
	}
	for i := range sc.unmatched {
		reply.Unmatched = append(reply.Unmatched, s.answer(b, sc, i, fmt.Sprintf("stray %d", i)))
	}
	return reply, nil
}

func (s *scriptedAPI) answer(b *Batch, sc script, i int, ref string) ItemReply {
	f := sc.items[i%len(sc.items)]
	a := ItemReply{Status: f.status}
	if f.call >= 0 {
		a.CallID = fmt.Sprintf("%s-%d", b.ID, f.call+1)
	}
	if f.status == schema.Enriched || f.status == schema.NoSignal {
		a.Entity = schema.Entity{Object: b.Query.Object, ID: "e" + ref, Name: "Name of " + ref}
	} else {
		a.Reason = "because " + string(f.status)
	}
	for n, key := range f.events {
		s.events++
		a.Events = append(a.Events, RawEvent{Type: key, Raw: fmt.Appendf(nil,
			`{"signalId":"%s.%s.%d","personId":"e%s","currentCompanyId":%d,"signalDate":"2026-%02d-15"}`, b.ID, ref, n, ref, n, 1+n%12)})
	}
	return a
}

// lines makes a list of n companies and contacts, some of them duplicates, rejected or requested by
// id.
func lines(n int) []schema.Account {
	accounts := make([]schema.Account, n)
	for i := range accounts {
		a := schema.Account{Row: int64(i + 1), Line: int64(i + 2), File: "list.csv", Key: fmt.Sprintf("crm-%d", i+1), Object: schema.Company}
		switch {
		case i%11 == 7:
			a.Domain = "c0.example"
		case i%13 == 5:
			a.Reject = &schema.Reject{Column: "domain", Value: "?", Reason: "not a host name"}
		case i%7 == 3:
			a.Object, a.Email = schema.Contact, fmt.Sprintf("p%d@example.org", i)
		case i%5 == 1:
			a.ID = fmt.Sprint(7000 + i)
		default:
			a.Domain = fmt.Sprintf("c%d.example", i)
		}
		accounts[i] = a
	}
	return accounts
}

// rig is a run and its results.
type rig struct {
	sink     *memorySink
	manifest *Manifest
	err      error
}

// run runs the job on a list, and checks the invariants of every published run.
func run(t rapid.TB, ctx context.Context, r Runner, src Source) rig { //nolint:revive // t first, as everywhere
	t.Helper()
	g := rig{sink: &memorySink{}}
	if s, ok := r.Sink.(*memorySink); ok {
		g.sink = s
	}
	r.Sink = g.sink
	if r.Queries == nil {
		r.Queries = bothQueries()
	}
	if r.Spec.ID == "" {
		r.Spec.ID = "run-1"
	}
	if r.Now == nil {
		r.Now = func() time.Time { return epoch }
	}
	g.manifest, g.err = r.Run(ctx, src)
	if g.sink.published {
		lines := src.(list).accounts
		if m := g.sink.manifest; m.Input.Unread { // in the order of the list
			lines = lines[:min(int64(len(lines)), m.Accounts.Lines)]
		}
		g.check(t, lines)
	}
	return g
}

func (g rig) check(t rapid.TB, accounts []schema.Account) {
	t.Helper()
	m := g.sink.manifest
	equal := func(what string, got, want int64) {
		t.Helper()
		if got != want {
			t.Errorf("%s = %d, want %d", what, got, want)
		}
	}

	for _, w := range g.sink.records {
		table, ok := schema.TableNamed(w.partition.Table)
		if !ok || !w.record.Schema().Equal(table.Arrow()) {
			t.Errorf("a record of %s does not have the layout of its table", w.partition)
		}
		if n := w.record.NumRows(); n < 1 || n > columns.MaxRows {
			t.Errorf("a record of %s has %d rows, want 1 to %d", w.partition, n, columns.MaxRows)
		}
	}

	// Every line has one status.
	byRow := map[int64]cells{}
	byStatus := map[schema.Status]int64{}
	var accountCredits int64
	for _, row := range g.sink.read("accounts") {
		if _, dup := byRow[row.int("row")]; dup {
			t.Errorf("row %d has two statuses", row.int("row"))
		}
		byRow[row.int("row")] = row
		status := schema.Status(row.text("status"))
		if !slices.Contains(schema.Statuses, status) {
			t.Errorf("row %d has status %q, want a known one", row.int("row"), status)
		}
		byStatus[status]++
		accountCredits += row.int("credits")
		if status == schema.InDoubt && !row.null("credits") {
			t.Errorf("row %d is in doubt and has %d credits, want null", row.int("row"), row.int("credits"))
		}
		answer := status == schema.Enriched || status == schema.NoSignal
		if row.null("reason") != answer {
			t.Errorf("row %d is %s with reason %q, want one unless it is an answer", row.int("row"), status, row.text("reason"))
		}
	}
	for _, a := range accounts {
		row, ok := byRow[a.Row]
		if !ok || row.text("account_key") != a.Key || row.text("input_file") != a.File || row.int("input_line") != a.Line {
			t.Errorf("row %d (%s) is %v in the accounts table, want its account", a.Row, a.Key, row)
		}
	}
	equal("lines in the accounts table", int64(len(byRow)), int64(len(accounts)))
	equal("Accounts.Lines", m.Accounts.Lines, int64(len(accounts)))
	var statuses int64
	for status, n := range m.Accounts.ByStatus {
		equal("Accounts.ByStatus "+string(status), n, byStatus[status])
		statuses += n
	}
	equal("sum of Accounts.ByStatus", statuses, m.Accounts.Lines)

	// The bill adds up, call by call and row by row.
	perCall, perRow, unknownRow := map[string]int64{}, map[int64]int64{}, map[int64]bool{}
	var total, allocated, pairs int64
	for _, row := range g.sink.read("credits") {
		perCall[row.text("call_id")] += row.int("credits")
		total += row.int("credits")
		pairs += row.int("events")
		if row.null("credits") != (row.text("basis") == string(UnknownBasis)) {
			t.Errorf("credits of call %s = %v on basis %s, want null if and only if unknown", row.text("call_id"), row["credits"], row.text("basis"))
		}
		if !row.null("row") {
			perRow[row.int("row")] += row.int("credits")
			unknownRow[row.int("row")] = row.null("credits")
			allocated += row.int("credits")
		}
	}
	equal("sum of the credits table", total, m.Credits.Charged)
	equal("credits of the accounts table", accountCredits, allocated)
	for n, row := range byRow {
		if unknown := unknownRow[n]; !unknown && !row.null("credits") {
			equal(fmt.Sprintf("credits of row %d", n), row.int("credits"), perRow[n])
		} else if unknown && !row.null("credits") {
			t.Errorf("row %d has %d credits though its call's charge is unknown", n, row.int("credits"))
		}
	}
	calls := g.sink.read("calls")
	equal("calls table", int64(len(calls)), m.Calls.Total)
	equal("PerCall", int64(len(m.PerCall)), m.Calls.Total)
	var callEvents, inDoubt, charged int64
	for i, row := range calls {
		id, outcome := row.text("call_id"), Outcome(row.text("outcome"))
		if outcome == Charged && !row.null("credits") {
			equal("allocations of call "+id, perCall[id], row.int("credits"))
			charged += row.int("credits")
		}
		if c := m.PerCall[i]; c.ID != id || c.Outcome != outcome || (c.Credits == nil) != row.null("credits") || c.Credits != nil && *c.Credits != row.int("credits") || c.Events != row.int("events") {
			t.Errorf("PerCall[%d] = %+v, want %v", i, c, row)
		}
		if outcome == InDoubt {
			inDoubt++
		}
		callEvents += row.int("events")
	}
	equal("credits of the calls table", charged, m.Credits.Charged)
	own := int64(0)
	for _, d := range m.InDoubt {
		if d.Run == "" {
			own++
		}
	}
	equal("own calls in InDoubt", own, inDoubt)
	equal("Credits.AmbiguousCalls", m.Credits.InDoubtCalls, inDoubt)
	equal("events of the calls", callEvents, m.Events.Returned)
	if sum := sumOf(m.Credits.BySignal) + m.Credits.WholeCall; sum != m.Credits.Charged || sumOf(m.Credits.ByCategory) != sumOf(m.Credits.BySignal) || sumOf(m.Credits.ByBasis) != m.Credits.Charged {
		t.Errorf("Credits by signal, category and basis = %v, %v, %v, want each to sum to %d with %d of calls without events",
			m.Credits.BySignal, m.Credits.ByCategory, m.Credits.ByBasis, m.Credits.Charged, m.Credits.WholeCall)
	}

	// Every returned event is a row, with the key of its line.
	keys := map[string]bool{}
	for _, a := range accounts {
		keys[a.Key] = true
	}
	var unmatched int64
	eventRows := g.sink.read(eventTables...)
	for _, row := range eventRows {
		if row.null("account_key") {
			unmatched++
		} else if !keys[row.text("account_key")] {
			t.Errorf("an event has the key %q, want a key of the list", row.text("account_key"))
		}
		if row.null("call_id") || row.null("fetched_at") || row.text("run_id") != m.Run.ID {
			t.Errorf("an event's call, time and run = %v, %v, %v", row["call_id"], row["fetched_at"], row["run_id"])
		}
	}
	equal("Events.Returned", m.Events.Returned, int64(len(eventRows)))
	equal("Events.Written", m.Events.Written, int64(len(eventRows)))
	equal("Events.Strays", m.Events.Unmatched, unmatched)
	equal("sum of Events.BySignal", sumOf(m.Events.BySignal), m.Events.Returned)
	equal("sum of Events.ByCategory", sumOf(m.Events.ByCategory), m.Events.Returned)
	if m.Credits.Charged > 0 && pairs > m.Events.Returned {
		t.Errorf("the credits table counts %d events, want at most the %d returned", pairs, m.Events.Returned)
	}
}

func sumOf[K comparable](m map[K]int64) (sum int64) {
	for _, n := range m {
		sum += n
	}
	return sum
}

// statuses returns the statuses of the accounts table by row.
func (g rig) statuses() map[int64]schema.Status {
	out := map[int64]schema.Status{}
	for _, row := range g.sink.read("accounts") {
		out[row.int("row")] = schema.Status(row.text("status"))
	}
	return out
}

// statusRanges formats the statuses by row for a comparison: "1-3 enriched, 4 deferred".
func (g rig) statusRanges() string {
	by := g.statuses()
	var out []string
	for first := int64(1); first <= int64(len(by)); {
		last := first
		for by[last+1] == by[first] {
			last++
		}
		span := fmt.Sprint(first)
		if last > first {
			span = fmt.Sprintf("%d-%d", first, last)
		}
		out = append(out, span+" "+string(by[first]))
		first = last + 1
	}
	return strings.Join(out, ", ")
}

var errBroken = errors.New("broken")
