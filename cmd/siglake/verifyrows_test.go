package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

// forge publishes the rows of a lake with one generation in another lake, as edit changes them, and gives it
// the journal: its manifest, lists, sizes and digests are consistent.
func forge(t *testing.T, from string, m pipeline.Manifest, edit func(table string, rec arrow.Record) arrow.Record) (lake string) {
	t.Helper()
	lake = filepath.Join(t.TempDir(), "forged")
	reader, err := sinks.Inspect(t.Context(), from, sinks.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close() //nolint:errcheck // it was only read
	snapshot, err := reader.ReadSnapshot(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	sink, err := sinks.Open(t.Context(), lake, sinks.Options{RunID: m.Run.ID})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range snapshot.Files {
		table, _ := schema.TableNamed(f.Table)
		part := schema.Partition{Table: f.Table}
		part.Key, part.Value, _ = strings.Cut(f.Partition, "=")
		var columns []string
		for _, c := range table.Columns {
			columns = append(columns, c.Name)
		}
		if err := reader.ReadColumns(t.Context(), f, columns, func(rec arrow.Record) error {
			rec = edit(f.Table, rec)
			defer rec.Release()
			return sink.Write(t.Context(), part, rec)
		}); err != nil {
			t.Fatal(err)
		}
	}
	if m.Files, err = sink.Stage(t.Context()); err == nil {
		m.Previous, m.Snapshot = nil, nil
		err = sink.Publish(t.Context(), &m)
	}
	if err := errors.Join(err, sink.Close(), os.CopyFS(filepath.Join(lake, "_state"), os.DirFS(filepath.Join(from, "_state")))); err != nil {
		t.Fatal(err)
	}
	return lake
}

// unchanged keeps a record.
func unchanged(_ string, rec arrow.Record) arrow.Record {
	rec.Retain()
	return rec
}

// withText gives the first row of a record another text in a column.
func withText(rec arrow.Record, column string) arrow.Record {
	at := rec.Schema().FieldIndices(column)[0]
	b := array.NewStringBuilder(memory.DefaultAllocator)
	old := rec.Column(at).(*array.String)
	for i := range old.Len() {
		switch {
		case i == 0:
			b.Append("forged")
		case old.IsNull(i):
			b.AppendNull()
		default:
			b.Append(old.Value(i))
		}
	}
	columns := slices.Clone(rec.Columns())
	columns[at] = b.NewArray()
	return array.NewRecord(rec.Schema(), columns, rec.NumRows())
}

// TestVerifyFindsOtherRows: a lake that is consistent, but holds other rows than follow from the answers,
// is reported as broken.
func TestVerifyFindsOtherRows(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	r.run(domainLines(40), baseFlags...)
	for _, c := range []struct {
		name string
		edit func(table string, rec arrow.Record) arrow.Record
		says string // empty: all invariants hold
	}{
		{"the same rows", unchanged, ""},
		{"a changed row", func(table string, rec arrow.Record) arrow.Record {
			if table != schema.Calls.Name {
				return unchanged(table, rec)
			}
			return withText(rec, "problem")
		}, "ledger/calls/"},
		{"a lost row", func(table string, rec arrow.Record) arrow.Record {
			if table != "news" {
				return unchanged(table, rec)
			}
			return rec.NewSlice(1, rec.NumRows())
		}, "data/news/"},
	} {
		t.Run(c.name, func(t *testing.T) {
			forged := &rig{t: t, lake: forge(t, r.lake, *r.manifest, c.edit)}
			if c.says == "" {
				forged.mustExit(exitComplete, "verify")
				forged.mustExit(exitComplete, "verify", "--quick")
				return
			}
			out := forged.mustExit(exitIntegrity, "verify")
			if !strings.Contains(out, "  5  BROKEN") || !strings.Contains(out, c.says) ||
				!strings.Contains(out, "follows from the answers but is not published") || !strings.Contains(out, "is published but does not follow from the answers") {
				t.Errorf("verify does not say what differs:\n%s", out)
			}
			if !strings.Contains(out, "  7  holds") || !strings.Contains(out, "  8  holds") {
				t.Errorf("the forged lake is not consistent:\n%s", out)
			}
		})
	}
}

// TestVerifyFindsExchangedFiles: a file whose bytes are those of another one, of the same table and
// size or not, is found, with and without --quick; so is a flipped bit.
func TestVerifyFindsExchangedFiles(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	r.run(domainLines(40), baseFlags...)
	var months []string
	for _, f := range r.manifest.Files {
		if f.Table == "news" {
			months = append(months, filepath.Join(r.lake, filepath.FromSlash(f.Path)))
		}
	}
	if len(months) < 2 {
		t.Fatal("the run wrote fewer than two files of news")
	}
	exchange := func() {
		aside := months[0] + ".aside"
		if err := errors.Join(os.Rename(months[0], aside), os.Rename(months[1], months[0]), os.Rename(aside, months[1])); err != nil {
			t.Fatal(err)
		}
	}
	flip := func() {
		raw, err := os.ReadFile(months[0])
		if err == nil {
			raw[len(raw)/2] ^= 1
			err = os.WriteFile(months[0], raw, fs.ModePerm)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, damage := range map[string]func(){"exchanged": exchange, "flipped": flip} {
		damage()
		for _, flags := range [][]string{nil, {"--quick"}, {"--jobs", "1"}} {
			out := r.mustExit(exitIntegrity, append([]string{"verify"}, flags...)...)
			if !strings.Contains(out, "  7  BROKEN") {
				t.Errorf("%s: verify %q does not say that files are damaged:\n%s", name, flags, out)
			}
		}
		damage() // undoes it
		r.mustExit(exitComplete, "verify", "--quick")
	}
}
