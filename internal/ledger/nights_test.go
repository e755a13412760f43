package ledger

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// nightSignals are the types that a night requests.
var nightSignals = func() (types []string) {
	for _, s := range schema.Signals {
		if s.Object == schema.Company && len(types) < 22 {
			types = append(types, s.Key)
		}
	}
	return types
}()

// nights is a ledger to which the same list is added every night, through the real writer: every
// entity is requested by its domain, and the answer states its id.
type nights struct {
	companies, batch int
	first            time.Time
	// The events that a company has on a night; nil: one in a hundred has one.
	events func(night, company int) []pipeline.RawEvent
	// Which calls get no answer; nil: all do.
	lose func(night int, b *pipeline.Batch) bool
	// Whether the answer about a company states no charge; nil: all do.
	uncharged       func(night, company int) bool
	checkpointEvery int64
	asks            bool // for cursors, every night
}

const nightsPerEvent = 100

func (n *nights) day(night int) time.Time { return n.first.AddDate(0, 0, night) }

// eventsOf are the events of a company that a night's answer has.
func (n *nights) eventsOf(night, company int) []pipeline.RawEvent {
	if n.events != nil {
		return n.events(night, company)
	}
	if (company*31+night*17)%nightsPerEvent != 0 {
		return nil
	}
	day := n.day(night - 3).Format(time.DateOnly)
	return []pipeline.RawEvent{{Type: nightSignals[(company+night)%len(nightSignals)], Raw: fmt.Appendf(nil, `{"signalDate":%q,"value":%d}`, day, company)}}
}

// query is that of a night.
func (n *nights) query(night int) *pipeline.Query {
	return &pipeline.Query{
		Object: schema.Company, Ask: pipeline.SignalsAsk{Types: nightSignals, MaxResults: 10}, Price: 1,
		Since: n.day(night).AddDate(0, 0, -90).Format(time.DateOnly), Until: n.day(night).Format(time.DateOnly),
	}
}

// entityOf is the id that answers state for a company.
func (n *nights) entityOf(company int) string { return fmt.Sprint(1_000_000 + company) }

// decode is a Decode: it knows what a night's answer says.
func (n *nights) decode(b *pipeline.Batch, c *pipeline.Call) (items, _ []pipeline.ItemReply) {
	var night int
	var total int64
	unknown := false
	items = make([]pipeline.ItemReply, len(b.Items))
	if _, err := fmt.Sscanf(string(c.Body), "night %d", &night); err != nil {
		for i := range items {
			items[i] = pipeline.ItemReply{Status: schema.InDoubt, CallID: c.ID}
		}
		return items, nil
	}
	for i := range items {
		company := int(b.Items[i].Account.Row)
		unknown = unknown || n.uncharged != nil && n.uncharged(night, company)
		items[i] = pipeline.ItemReply{Status: schema.NoSignal, CallID: c.ID, Entity: schema.Entity{Object: schema.Company, ID: n.entityOf(company)}}
		if items[i].Events = n.eventsOf(night, company); len(items[i].Events) > 0 {
			items[i].Status = schema.Enriched
			total += int64(len(items[i].Events))
		}
	}
	if c.Outcome, c.Charge = pipeline.Charged, pipeline.StatedCharge(total, ""); unknown {
		c.Charge = pipeline.Charge{}
	}
	return items, nil
}

// answer is what arrives, about as long as a real answer once it is compressed.
func (n *nights) answer(night int, b *pipeline.Batch) *pipeline.Reply {
	body := fmt.Sprintf("night %d ", night)
	for i := range b.Items {
		body += fmt.Sprintf(`{"companyId":"%d","name":"Company %x","domain":%q,"signals":[]}`, 1_000_000+i, b.Items[i].Account.Row*2654435761%1_000_003, b.Items[i].Account.Domain)
	}
	if n.lose != nil && n.lose(night, b) {
		body = ""
	}
	reply := pipeline.NewReply(b, "not decoded")
	reply.Calls = []pipeline.Call{{
		ID: b.ID + "-1", Batch: b.ID, Attempt: 1, Object: schema.Company, Entities: len(b.Items), Status: 200, Outcome: pipeline.InDoubt, Body: []byte(body),
		Sent: n.day(night), Duration: time.Second, Header: []byte(`{"X-Credits-Charged":"1","X-Request-Id":"` + strings.Repeat("0", 32) + `"}`),
	}}
	return reply
}

// add records a night, in a process of its own.
func (n *nights) add(ctx context.Context, store wal.Store, night int) (err error) {
	l, err := Open(ctx, store, n.options(night))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	return n.record(ctx, l, night)
}

func (n *nights) options(night int) Options {
	return Options{Decode: n.decode, CheckpointEvery: n.checkpointEvery, Now: func() time.Time { return n.day(night).Add(3 * time.Hour) }}
}

// record records a night.
func (n *nights) record(ctx context.Context, l *Ledger, night int) error {
	if n.asks {
		if _, err := l.Cursors(ctx); err != nil {
			return err
		}
	}
	q := n.query(night)
	id := fmt.Sprintf("run-%04d", night)
	recorder, err := l.BeginRun(pipeline.RunSpec{ID: id, Session: 1, Started: l.now(), CommandDigest: "nightly", URI: "list.csv", Queries: []pipeline.Query{*q}})
	if err != nil {
		return err
	}
	record := recorder.RecordCalls(fetchFunc(func(_ context.Context, b *pipeline.Batch) (*pipeline.Reply, error) { return n.answer(night, b), nil }))
	decoded := fetchFunc(func(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
		reply, err := record.Fetch(ctx, b)
		if err == nil {
			reply.Items, _ = n.decode(b, &reply.Calls[0])
		}
		return reply, err
	})
	settle := recorder.RecordOutcomes(decoded)
	if undated, _ := ctx.Value(undatedKey{}).(bool); undated {
		settle = fetchFunc(func(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
			reply, err := decoded.Fetch(ctx, b)
			if err != nil {
				return reply, err
			}
			k, h, identities := outcomeOf(&reply.Calls[0], b, reply.Items)
			h.Pairs, h.IDs = nil, nil
			return reply, recorder.writeOutcome(recorder.log.Write, recorder.run.Calls[len(recorder.run.Calls)-1], k, h, identities)
		})
	}
	for from, number := 0, 1; from < n.companies; from, number = from+n.batch, number+1 {
		b := &pipeline.Batch{ID: fmt.Sprintf("%06d", number), Query: q}
		for company := from; company < min(from+n.batch, n.companies); company++ {
			b.Items = append(b.Items, pipeline.Item{Ref: fmt.Sprint(company), Account: schema.Account{Row: int64(company), Object: schema.Company, Domain: fmt.Sprintf("company-%06d.example", company)}})
		}
		if _, err := settle.Fetch(ctx, b); err != nil {
			return err
		}
	}
	m := &pipeline.Manifest{Generation: int64(night + 1)}
	m.Run.ID, m.Run.Outcome = id, pipeline.RunComplete
	if err := recorder.Prepare(m); err != nil {
		return err
	}
	return recorder.Commit(m)
}

// undatedKey is set in a context to record nights as versions did that recorded neither dates of events nor
// ids.
type undatedKey struct{}

// unsynced is a hook of a machine that never loses power.
func unsynced(op, _ string, do func() error) error {
	if op == "sync" {
		return nil
	}
	return do()
}

// BenchmarkOpen opens the ledger of a list of 10,000 companies after some nights: to look at its runs, and
// to plan a night.
func BenchmarkOpen(b *testing.B) {
	n := &nights{companies: 10_000, batch: 100, asks: true, first: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)}
	store := openStore(b, b.TempDir(), unsynced)
	night := 0
	options := n.options(0)
	options.Now = func() time.Time { return n.day(night).Add(3 * time.Hour) } // or checkpoints keep every call
	for _, count := range []int{10, 60, 365} {
		l, err := Open(b.Context(), store, options)
		for ; night < count && err == nil; night++ {
			err = n.record(b.Context(), l, night)
		}
		if err = errors.Join(err, l.Close()); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("nights=%d", count), func(b *testing.B) {
			n.benchmarkOpen(b, store, func(*Ledger) error { return nil })
		})
		b.Run(fmt.Sprintf("plan/nights=%d", count), func(b *testing.B) {
			n.benchmarkOpen(b, store, func(l *Ledger) error {
				l.Purchases(nil, TTL{})
				_, err := l.Cursors(b.Context())
				return err
			})
		})
	}
}

// benchmarkOpen opens a ledger and asks something about it.
func (n *nights) benchmarkOpen(b *testing.B, store wal.Store, ask func(*Ledger) error) {
	b.ReportAllocs()
	for range b.N {
		l, err := Open(b.Context(), store, Options{Decode: n.decode, ReadOnly: true})
		if err == nil {
			err = ask(l)
		}
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapInuse)/(1<<20), "MiB")
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
