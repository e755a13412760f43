package lusha_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/siglake/siglake/internal/bench/cputime"
	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// discard is a sink that counts rows and drops them.
type discard struct{ events int64 }

func (d *discard) Write(_ context.Context, p schema.Partition, rec arrow.Record) error {
	if p.Key != "" {
		d.events += rec.NumRows()
	}
	return nil
}
func (*discard) Stage(context.Context) ([]pipeline.File, error)    { return nil, nil }
func (*discard) Comparison() pipeline.Comparison                   { return pipeline.Comparison{} }
func (*discard) Publish(context.Context, *pipeline.Manifest) error { return nil }
func (*discard) Close() error                                      { return nil }

// benchAnswers are the simulator's answers about 500 companies, with all types of a year.
func benchAnswers(b *testing.B) (batches []*pipeline.Batch, bodies [][]byte) {
	b.Helper()
	now := time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)
	sim, err := simulator.New(simulator.Config{Plan: "unlimited", Credits: 1 << 50, Now: func() time.Time { return now }})
	if err != nil {
		b.Fatal(err)
	}
	var types []string
	for _, s := range schema.Signals {
		if s.Object == schema.Company && s.V2 == schema.Documented {
			types = append(types, s.Key)
		}
	}
	query := &pipeline.Query{Object: schema.Company, Since: "2025-05-02", Until: "2026-05-01", Ask: pipeline.SignalsAsk{Types: types, MaxResults: 100}}
	for n := range 5 {
		batch := &pipeline.Batch{ID: fmt.Sprintf("%06d", n+1), Query: query}
		body := []byte(`{"companies":[`)
		for i := range 100 {
			ref, domain := fmt.Sprintf("row-%d", i), fmt.Sprintf("firm-%d-%d.example", i, n)
			if i > 0 {
				body = append(body, ',')
			}
			body = fmt.Appendf(body, `{"id":%q,"domain":%q}`, ref, domain)
			row := int64(n*100 + i + 1)
			batch.Items = append(batch.Items, pipeline.Item{Ref: ref, Account: schema.Account{Object: schema.Company, Row: row, Line: row + 1, Key: fmt.Sprintf("crm-%d", row), Domain: domain}})
		}
		body = append(body, `],"startDate":"2025-05-02","maxResultsPerSignal":100,"signals":["allSignals"]}`...)
		r := httptest.NewRequest(http.MethodPost, "/api/signals/companies/search", bytes.NewReader(body))
		r.Header = http.Header{"Api_key": {"k"}, "User-Agent": {"bench/1"}, "Content-Type": {"application/json"}}
		w := httptest.NewRecorder()
		if sim.ServeHTTP(w, r); w.Code != http.StatusOK {
			b.Fatalf("%d: %s", w.Code, w.Body)
		}
		batches, bodies = append(batches, batch), append(bodies, w.Body.Bytes())
	}
	return batches, bodies
}

// BenchmarkFlatten measures the way from the bytes of answers to Arrow records: decode, type, digest,
// account. The records are dropped. It runs on one goroutine.
func BenchmarkFlatten(b *testing.B) {
	batches, bodies := benchAnswers(b)
	size := 0
	for _, body := range bodies {
		size += len(body)
	}
	sent := time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)
	const rounds = 10 // about as many events as a run of 5,000 companies has
	size *= rounds
	answers := func(yield func(pipeline.AnsweredBatch, error) bool) {
		for n := range rounds * len(batches) {
			i := n % len(batches)
			batch := batches[i]
			call := pipeline.Call{ID: batch.ID + "-1", Batch: batch.ID, Attempt: 1, Object: schema.Company, Sent: sent, Duration: time.Second, Status: 200, Body: bodies[i]}
			reply := &pipeline.Reply{Calls: []pipeline.Call{call}}
			var err error
			if reply.Items, reply.Unmatched, err = lusha.DecodeAnswer(batch, &reply.Calls[0]); err != nil {
				b.Fatal(err)
			}
			if !yield(pipeline.AnsweredBatch{Batch: batch, Reply: reply}, nil) {
				return
			}
		}
	}
	lines := func(func(pipeline.Line, error) bool) {}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	var events int64
	start := cputime.Now()
	for b.Loop() {
		sink := &discard{}
		r := pipeline.Runner{Sink: sink, Spec: pipeline.RunSpec{ID: "20260501T100000Z-0badcafe", Started: sent}, Queries: map[schema.Object]*pipeline.Query{schema.Company: batches[0].Query},
			Recorded: &pipeline.RunLog{Answers: answers, Lines: lines}, Now: func() time.Time { return sent }}
		if _, err := r.Replay(b.Context(), nil); err != nil {
			b.Fatal(err)
		}
		events = sink.events
	}
	cpu := (cputime.Now() - start).Seconds()
	b.ReportMetric(float64(size)/float64(events), "B/event")
	b.ReportMetric(cpu*1e9/float64(b.N)/float64(events), "cpu-ns/event")
	b.ReportMetric(float64(size)*float64(b.N)/cpu/1e6, "MB/cpu-s")
	b.ReportMetric(float64(events), "events")
}
