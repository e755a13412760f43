package pipeline

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"weak"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/columns"
	"github.com/siglake/siglake/internal/flatten"
	"github.com/siglake/siglake/schema"
)

// manyAnswers are replies with events of several types, partitions and calls, some of which differ from
// what the schema knows.
func manyAnswers(n int) (list []AnsweredBatch) {
	query := &Query{Object: schema.Company, Ask: SignalsAsk{Types: []string{"surgeInHiring", "riskNews"}, MaxResults: 100}}
	for i := range n {
		b := &Batch{ID: fmt.Sprintf("%06d", i+1), Query: query}
		call := Call{ID: b.ID + "-1", Batch: b.ID, Attempt: 1, Object: schema.Company, Entities: 3, Sent: epoch.Add(time.Duration(i) * time.Second), Status: 200, Outcome: Charged, Charge: knownCharge(3)}
		reply := &Reply{Calls: []Call{call}}
		for item := range 3 {
			b.Items = append(b.Items, Item{Ref: fmt.Sprint(item), Account: schema.Account{Row: int64(3*i + item + 1), Key: fmt.Sprintf("crm-%d-%d", i, item), Object: schema.Company, ID: fmt.Sprint(1000*i + item)}})
			a := ItemReply{Status: schema.Enriched, CallID: call.ID, Entity: schema.Entity{Object: schema.Company, ID: fmt.Sprint(1000*i + item)}}
			for e := range 8 {
				month := 1 + (i+item+e)%12
				raw := fmt.Appendf(nil, `{"signalId":"%d-%d-%d","signalDate":"2026-%02d-09","newJobsPostedLastWeek":%d,"field%d":"x"}`, i, item, e, month, e, (i+e)%40)
				a.Events = append(a.Events, RawEvent{Type: "surgeInHiring", Raw: raw})
				raw = fmt.Appendf(nil, `{"signalId":"n%d-%d-%d","articlePublishedDate":"2026-%02d-11","articleTitle":"A \"title\" of %d","eventType":"type%d"}`, i, item, e, month, i, i%7)
				a.Events = append(a.Events, RawEvent{Type: "riskNews", Raw: raw})
			}
			reply.Items = append(reply.Items, a)
		}
		list = append(list, AnsweredBatch{b, reply})
	}
	return list
}

// rowsAsText are the rows of chunks, as text.
func rowsAsText(chunks []*columns.Chunk) (rows []string) {
	for _, c := range chunks {
		for i := range c.Rows() {
			place := c.Place(i)
			values := map[string]columns.Value{"partition": columns.Text(place.Partition.String())}
			for at, v := range c.Values(i) {
				values[place.Table.Columns[at].Name] = v
			}
			rows = append(rows, fmt.Sprint(values))
		}
	}
	return rows
}

// TestRowMakerSharesNothing: goroutines that flatten side by side make the same rows and find the same
// drift as one, and no two of them have the same flattener.
func TestRowMakerSharesNothing(t *testing.T) {
	t.Parallel()
	answers := manyAnswers(20)
	options := flatten.Options{RunID: "run-1", PartitionBy: schema.ByMonth, Version: schema.Version}
	want := make([]*answerRows, len(answers))
	for i, a := range answers {
		want[i] = newRowMaker(options).flatten(a.Batch, a.Reply)
	}
	maker, got := newRowMaker(options), make([]*answerRows, len(answers))
	var next atomic.Int64
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(answers); i = int(next.Add(1)) - 1 {
				got[i] = maker.flatten(answers[i].Batch, answers[i].Reply)
			}
		})
	}
	workers.Wait()
	for i := range answers {
		if diff := cmp.Diff(rowsAsText(want[i].chunks), rowsAsText(got[i].chunks)); diff != "" {
			t.Fatalf("answer %d (-alone +side by side):\n%s", i, diff)
		}
		if diff := cmp.Diff(want[i].drift.report(Evolve), got[i].drift.report(Evolve)); diff != "" || want[i].drift.isEmpty() {
			t.Fatalf("drift of answer %d (-alone +side by side):\n%s", i, diff)
		}
	}
	b, reply := answers[0].Batch, answers[0].Reply
	rows, inner := 0, []*answerRows{}
	_, _ = maker.eachChunk(b, reply, func(c *columns.Chunk) error { // its flattener is in use meanwhile
		inner = append(inner, maker.flatten(b, reply))
		rows += len(rowsAsText([]*columns.Chunk{c}))
		return nil
	})
	if diff := cmp.Diff(rowsAsText(want[0].chunks), rowsAsText(inner[0].chunks)); diff != "" || rows != len(rowsAsText(want[0].chunks)) {
		t.Errorf("%d rows, and of a second flattener meanwhile (-want +got):\n%s", rows, diff)
	}
}

// TestConcurrentRuns: the rows, their order, and the drift of a run do not depend on the order in which
// answers arrive, nor on how many are flattened side by side; and a replay of the run, which flattens
// ahead, repeats them.
func TestConcurrentRuns(t *testing.T) {
	t.Parallel()
	answers := manyAnswers(20)
	byID := map[string]*Reply{}
	var accounts []schema.Account
	for _, a := range answers {
		byID[a.Batch.ID] = a.Reply
		for _, item := range a.Batch.Items {
			accounts = append(accounts, item.Account)
		}
	}
	run := func(concurrency int, order func(id string)) (rows map[string][]cells, drift *DriftReport) {
		api := fetchFunc(func(_ context.Context, b *Batch) (*Reply, error) {
			order(b.ID)
			reply := *byID[b.ID]
			return &reply, nil
		})
		g := mustRun(t, Runner{Fetcher: api, BatchSize: 3, Concurrency: concurrency}, list{accounts: accounts})
		return eventRows(g.sink), g.manifest.Drift
	}
	want, wantDrift := run(1, func(string) {})
	if len(want["growth"]) != 20*24 || len(wantDrift.Found) < 20 {
		t.Fatalf("%d rows, %d differences", len(want["growth"]), len(wantDrift.Found))
	}
	pairs := make([]chan struct{}, len(answers)+2)
	for i := range pairs {
		pairs[i] = make(chan struct{})
	}
	rows, drift := run(8, func(id string) { // every other answer waits for the next one
		n, _ := strconv.Atoi(id)
		if close(pairs[n]); n%2 == 1 && n < len(answers) {
			<-pairs[n+1]
		}
	})
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("rows of answers out of order (-in order +out of order):\n%s", diff)
	}
	if diff := cmp.Diff(wantDrift, drift); diff != "" {
		t.Errorf("drift of answers out of order (-in order +out of order):\n%s", diff)
	}
	body := make([]byte, longAnswer) // whose rows are made at its turn
	for _, reply := range byID {
		reply.Calls[0].Body = body
	}
	rows, drift = run(8, func(string) {})
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("rows of long answers (-short +long):\n%s", diff)
	}
	if diff := cmp.Diff(wantDrift, drift); diff != "" {
		t.Errorf("drift of long answers (-short +long):\n%s", diff)
	}
	for _, reply := range byID {
		reply.Calls[0].Body = nil
	}
	sink := &memorySink{}
	replay := &Runner{Sink: sink, Queries: map[schema.Object]*Query{schema.Company: answers[0].Batch.Query}, Spec: RunSpec{ID: "run-1"}, Recorded: &RunLog{Answers: new(memoryLedger).answers(answers), Lines: new(memoryLedger).lines}}
	m, err := replay.Replay(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, eventRows(sink)); diff != "" {
		t.Errorf("rows (-run +replay):\n%s", diff)
	}
	m.Drift.Contract = wantDrift.Contract
	if diff := cmp.Diff(wantDrift, m.Drift); diff != "" {
		t.Errorf("drift (-run +replay):\n%s", diff)
	}
}

// TestFreezeReadsLongAnswers: an answer that differs stops a run under a frozen contract when it comes, also
// one whose rows are made later.
func TestFreezeReadsLongAnswers(t *testing.T) {
	t.Parallel()
	answers := manyAnswers(1)
	for _, body := range [][]byte{nil, make([]byte, longAnswer)} {
		reply := *answers[0].Reply
		reply.Calls[0].Body = body
		r := &Runner{Sink: &memorySink{}, Contract: Freeze, Spec: RunSpec{ID: "run-1"}}
		p := &paidPhase{Runner: r, recorder: newRecorder(r.Sink, &r.Spec, schema.Version, r.newManifest(epoch))}
		f := p.flatten(answers[0].Batch, &reply)
		if stop := p.stop.Load(); stop == nil || stop.Kind != StopDrift || (f.rows == nil) != (body != nil) {
			t.Errorf("an answer of %d bytes: stop %v, rows %v", len(body), stop, f.rows != nil)
		}
	}
}

// TestRowsKeepFewAnswers: rows that wait to be written keep few answers in memory, however little of the
// answers they are.
func TestRowsKeepFewAnswers(t *testing.T) {
	r := &Runner{Sink: &memorySink{}, Spec: RunSpec{ID: "run-1"}}
	rec := newRecorder(r.Sink, &r.Spec, schema.Version, r.newManifest(epoch))
	const length = 1 << 20
	var bodies []weak.Pointer[byte]
	for _, a := range manyAnswers(60) {
		body := make([]byte, length)
		event := &a.Reply.Items[0].Events[0]
		event.Raw = body[:copy(body, event.Raw)]
		a.Reply.Items[0].Events = a.Reply.Items[0].Events[:1]
		a.Reply.Items[1].Events, a.Reply.Items[2].Events = nil, nil
		a.Reply.Calls[0].Body = body
		bodies = append(bodies, weak.Make(&body[0]))
		if err := rec.writeEvents(t.Context(), a.Batch, &flattened{a.Reply, rec.maker.flatten(a.Batch, a.Reply)}); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	kept := 0
	for _, b := range bodies {
		if b.Value() != nil {
			kept++
		}
	}
	if kept > columns.MaxBytes/length+1 || kept == 0 {
		t.Errorf("of %d answers %d are in memory", len(bodies), kept)
	}
	runtime.KeepAlive(rec)
}

// TestRowsOfManyTopics: rows with records of their own count what these take, in chunks that are passed on
// in time. Rows that take too much are made at the turn of their reply.
func TestRowsOfManyTopics(t *testing.T) {
	t.Parallel()
	maker := newRowMaker(flatten.Options{RunID: "run-1", PartitionBy: schema.ByMonth, Version: schema.Version})
	topics := func(n, rest int) (*Batch, *Reply) {
		a := manyAnswers(1)[0]
		raw := fmt.Sprintf(`{"signalId":"1","signalDate":"2026-05-04","padding":%q,"detectedTopics":[%s{"topicName":"last"}]}`, strings.Repeat("x", rest), strings.Repeat(`{"topicName":"a"},`, n-1))
		a.Reply.Items[0].Events = []RawEvent{{Type: "intent", Raw: []byte(raw)}}
		a.Reply.Items[1].Events, a.Reply.Items[2].Events = nil, nil
		return a.Batch, a.Reply
	}
	const rest = 20 << 10
	b, reply := topics(200, rest)
	before, rows, f := (&flattened{Reply: reply}).memory(), 0, &flattened{reply, maker.flatten(b, reply)}
	if f.rows == nil {
		t.Fatal("no rows, want those of 4 MB")
	}
	for _, c := range f.rows.chunks {
		rows += c.Rows()
		if c.Memory() > 1<<20 {
			t.Errorf("a chunk of %d bytes, want the next one sooner", c.Memory())
		}
	}
	if got := f.memory() - before; rows != 200 || got < 200*rest || got > 300*rest {
		t.Errorf("%d rows count %d bytes, want 200 with %d each", rows, got, rest)
	}
	if b, reply := topics(1000, rest); maker.flatten(b, reply) != nil {
		t.Errorf("rows of 20 MB were made ahead of their turn")
	}
	b, reply = topics(50, rest) // all rows have the record of the answer
	f = &flattened{reply, maker.flatten(b, reply)}
	if got := f.memory() - (&flattened{Reply: reply}).memory(); got > 2*rest {
		t.Errorf("50 rows with one record count %d bytes, want less than %d", got, 2*rest)
	}
}

// eventRows are the rows of the event tables that a sink has got.
func eventRows(s *memorySink) map[string][]cells {
	return map[string][]cells{"growth": s.read("growth"), "risk": s.read("risk"), "news": s.read("news")}
}

// TestRecoverRowsReadsAhead: recorded answers are written in order, with their errors; few are read ahead,
// none next to a long one; and nothing is read after the last one that is wanted.
func TestRecoverRowsReadsAhead(t *testing.T) {
	t.Parallel()
	failed := errors.New("damaged")
	for _, long := range []bool{false, true} {
		for _, failing := range []int{19, 3} {
			answers := manyAnswers(20)
			r := &Runner{Sink: &memorySink{}, Concurrency: 2, Spec: RunSpec{ID: "run-1"}}
			rec := newRecorder(r.Sink, &r.Spec, schema.Version, r.newManifest(epoch))
			var read atomic.Int64
			r.Recorded = &RunLog{Answers: func(yield func(RecordedAnswer, error) bool) {
				for i, a := range answers {
					if long {
						a.Reply.Calls[0].Body = make([]byte, longAnswer)
					}
					answer := recorded(a)
					answer.Read = func(context.Context) (AnsweredBatch, error) {
						if long && rec.manifest.Calls.Total != int64(i) { // nothing is written meanwhile
							t.Errorf("answer %d is read when %d of the long ones before it are written", i, rec.manifest.Calls.Total)
						}
						read.Add(1)
						if i == failing {
							return AnsweredBatch{}, failed
						}
						return a, nil
					}
					if !yield(answer, nil) {
						return
					}
				}
			}}
			_, err := r.recoverRows(t.Context(), rec)
			if n := rec.manifest.Calls.Total; !errors.Is(err, failed) || n != int64(failing) || read.Load() > int64(failing+2+prefetchDepth*2+2) {
				t.Errorf("long: %v: %d answers written, %d read, %v; want %d written", long, n, read.Load(), err, failing)
			}
		}
	}
}
