package main

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"

	"github.com/siglake/siglake/internal/bench/answers"
	"github.com/siglake/siglake/internal/bench/cputime"
)

// TestPlain: the files have every event of the answers, with its text and its columns.
func TestPlain(t *testing.T) {
	t.Parallel()
	s, err := answers.New(answers.Config{Companies: 1})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s)
	defer server.Close()
	dir := t.TempDir()
	list := filepath.Join(dir, "list.csv")
	f, err := os.Create(list)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.WriteList(f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	events, err := run(t.Context(), list, server.URL, answers.Since, out)
	if err != nil || int64(events) != s.Events() {
		t.Fatalf("run() = %d, %v, want %d events", events, err, s.Events())
	}
	paths, err := filepath.Glob(filepath.Join(out, "*", "event_month=*", "*.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	rows := int64(0)
	for _, path := range paths {
		rows += readFile(t, path)
	}
	if rows != s.Events() {
		t.Errorf("%d files have %d rows, want %d", len(paths), rows, s.Events())
	}
}

// readFile gives the number of rows of a file. The columns that every event has must have values.
func readFile(t *testing.T, path string) int64 {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	table, err := pqarrow.ReadTable(t.Context(), f, parquet.NewReaderProperties(memory.DefaultAllocator), pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	defer table.Release()
	for _, name := range []string{"event_uid", "signal_type", "entity_id", "account_key", "event_date", "raw", "company_name", "content_digest", "summary_text", "revision"} {
		i := table.Schema().FieldIndices(name)
		if len(i) != 1 || table.Column(i[0]).Data().NullN() > 0 {
			t.Errorf("%s: column %s is missing or has nulls", path, name)
		}
	}
	return table.NumRows()
}

// BenchmarkPlainColumns measures the way from the bytes of answers to Arrow records, which are dropped.
func BenchmarkPlainColumns(b *testing.B) {
	s, err := answers.New(answers.Config{Companies: 700})
	if err != nil {
		b.Fatal(err)
	}
	server := httptest.NewServer(s)
	defer server.Close()
	var accounts []account
	for i, id := range s.IDs() {
		accounts = append(accounts, account{"acct-" + strconv.Itoa(i), strconv.FormatInt(id, 10)})
	}
	var replies []reply
	size := 0
	for r := range fetchAll(context.Background(), server.URL, answers.Since, accounts) {
		if r.err != nil {
			b.Fatal(r.err)
		}
		replies, size = append(replies, r), size+len(r.body)
	}
	began, n := cputime.Now(), 0
	for b.Loop() {
		t := newTables("", accounts)
		for _, r := range replies {
			if err := t.add(r); err != nil {
				b.Fatal(err)
			}
		}
		if err := t.close(); err != nil || int64(t.events) != s.Events() {
			b.Fatalf("%d events, %v, want %d", t.events, err, s.Events())
		}
		n++
	}
	b.ReportMetric(float64(size)*float64(n)/1e6/(cputime.Now()-began).Seconds(), "MB/cpu-s")
}

// TestFields: the fields that an event of the simulator has are those that are read.
func TestFields(t *testing.T) {
	t.Parallel()
	s, err := answers.New(answers.Config{Companies: 20})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s)
	defer server.Close()
	ids := s.IDs()
	batch := make([]account, len(ids))
	for i, id := range ids {
		batch[i].id = strconv.FormatInt(id, 10)
	}
	r := fetch(t.Context(), server.URL, answers.Since, batch)
	var answer struct {
		Companies map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(r.body, &answer); err != nil || r.err != nil {
		t.Fatal(err, r.err)
	}
	text, err := json.Marshal(record{})
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]any{}
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	for _, entry := range answer.Companies {
		for key, list := range entry {
			var records []map[string]any
			if json.Unmarshal(list, &records) != nil {
				continue // a field of the company
			}
			for _, record := range records {
				for field := range record {
					if _, read := fields[field]; !read {
						t.Errorf("an event of %s has the field %s, which is not read", key, field)
					}
				}
			}
		}
	}
}
