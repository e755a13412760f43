package main

import (
	"bytes"
	"context"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/siglake/siglake/internal/bench/answers"
	"github.com/siglake/siglake/internal/bench/cputime"
	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// transport answers requests from memory: each is composed once.
type transport struct {
	server *answers.Server
	bodies map[string][]byte // by the body of the request
	read   int64             // bytes of answers
}

// RoundTrip answers one request. It is not for concurrent use.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	asked, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	body, known := t.bodies[string(asked)]
	if !known {
		w := httptest.NewRecorder()
		t.server.ServeHTTP(w, httptest.NewRequest(r.Method, r.URL.Path, bytes.NewReader(asked)))
		body = w.Body.Bytes()
		t.bodies[string(asked)] = body
	}
	t.read += int64(len(body))
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/json"}}, ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)),
	}, nil
}

// companies is a list of companies by id.
type companies []int64

func (c companies) Accounts(context.Context) iter.Seq2[schema.Account, error] {
	return func(yield func(schema.Account, error) bool) {
		for i, id := range c {
			name := strconv.FormatInt(id, 10)
			a := schema.Account{Row: int64(i + 1), Line: int64(i + 2), Key: "acct-" + name, Object: schema.Company, ID: name}
			if !yield(a, nil) {
				return
			}
		}
	}
}

// dropped is a sink that counts events and keeps nothing.
type dropped struct{ events int64 }

func (d *dropped) Write(_ context.Context, p schema.Partition, rec arrow.Record) error {
	if p.Key != "" {
		d.events += rec.NumRows()
	}
	return nil
}
func (*dropped) Stage(context.Context) ([]pipeline.File, error)    { return nil, nil }
func (*dropped) Comparison() pipeline.Comparison                   { return pipeline.Comparison{} }
func (*dropped) Publish(context.Context, *pipeline.Manifest) error { return nil }
func (*dropped) Close() error                                      { return nil }

// BenchmarkColumns measures the way from the bytes of answers to Arrow records, with everything that a
// run does in between: decoding, types, digests, and the rows of the ledger's tables. The records are
// dropped. One call is made at a time, of the size that the program chooses.
func BenchmarkColumns(b *testing.B) {
	server, err := answers.New(answers.Config{Companies: 4000})
	if err != nil {
		b.Fatal(err)
	}
	wire := &transport{server: server, bodies: map[string][]byte{}}
	run := func() *dropped {
		sink := new(dropped)
		if _, err := columnsRunner(b, wire, sink).Run(b.Context(), companies(server.IDs())); err != nil {
			b.Fatal(err)
		}
		if sink.events != server.Events() {
			b.Fatalf("%d events were written, want %d", sink.events, server.Events())
		}
		return sink
	}
	run() // composes the answers
	wire.read = 0
	b.ReportAllocs()
	began, events := cputime.Now(), int64(0)
	before := testing.AllocsPerRun(1, func() { run() })
	for b.Loop() {
		events += run().events
	}
	used := (cputime.Now() - began).Seconds()
	runs := float64(b.N + 2) // with those that count allocations
	b.ReportMetric(float64(wire.read)/1e6/used, "MB/cpu-s")
	b.ReportMetric(used*1e9/runs/float64(server.Events()), "cpu-ns/event")
	b.ReportMetric(before/float64(server.Events()), "allocs/event")
}

func columnsRunner(b *testing.B, wire *transport, sink pipeline.Sink) *pipeline.Runner {
	b.Helper()
	client, err := lusha.New(lusha.Config{BaseURL: "http://127.0.0.1", Key: lusha.NewKey("bench"), Transport: wire})
	if err != nil {
		b.Fatal(err)
	}
	var types []string
	for _, s := range schema.Signals {
		if s.Object == schema.Company && s.V2 == schema.Documented {
			types = append(types, s.Key)
		}
	}
	query := &pipeline.Query{Object: schema.Company, Since: answers.Since, Until: answers.Today, Ask: pipeline.SignalsAsk{Types: types, MaxResults: 100}}
	return &pipeline.Runner{
		Fetcher: lusha.Decode(client), Sink: sink, Queries: map[schema.Object]*pipeline.Query{schema.Company: query},
		Spec:        pipeline.RunSpec{ID: "20260630T200000Z-00000000", Started: time.Date(2026, 6, 30, 20, 0, 0, 0, time.UTC)},
		Concurrency: 1, BatchSize: 14,
	}
}
