package sinks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/siglake/siglake/internal/extsort/rowtest"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// seenRow is a news event as a run brings it: note names the row, at is when it was received.
type seenRow struct {
	uid, digest, entity, call string
	at                        int64
	note                      string
}

func (r seenRow) values() rowtest.Values {
	table := schema.EventTable(schema.CategoryNews)
	row := newsRow("n", r.entity, nil, r.uid, r.digest, r.note)
	row[table.ColumnIndex("call_id")] = r.call
	row[table.ColumnIndex("fetched_at")] = arrow.Timestamp(r.at)
	row[table.ColumnIndex("first_seen_at")] = arrow.Timestamp(r.at)
	row[table.ColumnIndex("revision")] = int64(1)
	return row
}

// month is the month of the row's event, which follows from the content.
func (r seenRow) month() string {
	switch r.digest {
	case "c":
		return "2026-04"
	case "d":
		return schema.UnknownPartition
	}
	return "2026-03"
}

// runOf writes rows as a run of a lake, and publishes it.
func runOf(t testing.TB, lake, id string, o Options, rows ...seenRow) *pipeline.Manifest {
	t.Helper()
	table := schema.EventTable(schema.CategoryNews)
	o.RunID = id
	l := openLake(t, lake, o)
	for _, r := range rows {
		writeRecord(t, l, partitionOf(table, r.month()), rowtest.NewRecord(t, table, []rowtest.Values{r.values()}))
	}
	files, err := l.Stage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m := &pipeline.Manifest{Run: pipeline.RunInfo{ID: id}, Files: files, Unread: l.Comparison().Unread}
	m.Events.Known, m.Events.Changed = l.Comparison().Known, l.Comparison().Changed
	if err := l.Publish(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return m
}

// shownRows are the rows that a reader who globs the news of a lake sees: note, revision and
// first_seen_at.
func shownRows(t testing.TB, lake string) (shown []string) {
	t.Helper()
	table := schema.EventTable(schema.CategoryNews)
	files, err := filepath.Glob(filepath.Join(lake, "data/news/*/*.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		_, rows := readArrow(t, f)
		for _, r := range rows {
			shown = append(shown, fmt.Sprintf("%v revision %v since %d", r[table.ColumnIndex("notes")], r[table.ColumnIndex("revision")], r[table.ColumnIndex("first_seen_at")]))
		}
	}
	slices.Sort(shown)
	return shown
}

// TestRevisions: an event that the lake has is dropped, one that has changed is its next revision.
func TestRevisions(t *testing.T) {
	t.Parallel()
	lake := t.TempDir()
	steps := []struct {
		rows           []seenRow
		known, changed int64
	}{
		{rows: []seenRow{{"u1", "a", "1", "c1", 100, "first"}, {"u2", "x", "1", "c1", 100, "other"}, {"u3", "p", "1", "c1", 100, "twin"}, {"u3", "q", "1", "c1", 100, "twin's brother"}}},
		{rows: []seenRow{{"u1", "a", "1", "c1", 200, "again"}, {"u2", "x", "v1.token", "c1", 200, "under another id"}, {"u3", "p", "1", "c1", 200, "again"}}, known: 3},
		{rows: []seenRow{{"u1", "b", "1", "c1", 300, "changed"}, {"u1", "b", "1", "c2", 300, "changed, twice"}, {"u3", "q", "1", "c1", 300, "again"}}, known: 1, changed: 1},
		{rows: []seenRow{{"u1", "a", "1", "c1", 400, "taken back"}, {"u1", "c", "2", "c2", 401, "changed again"}}, known: 1, changed: 1},
		{rows: []seenRow{{"u2", "x", "1", "c1", 500, "again"}, {"u2", "y", "1", "c1", 500, "beside a known one"}}, known: 1},
	}
	for i, s := range steps {
		m := runOf(t, lake, fmt.Sprint("r", i), Options{}, s.rows...)
		if m.Events.Known != s.known || m.Events.Changed != s.changed {
			t.Errorf("run %d: %d known and %d changed, want %d and %d", i, m.Events.Known, m.Events.Changed, s.known, s.changed)
		}
	}
	want := []string{
		"beside a known one revision 1 since 500",
		"changed again revision 3 since 100",
		"changed revision 2 since 100",
		"first revision 1 since 100",
		"other revision 1 since 100",
		"twin revision 1 since 100",
		"twin's brother revision 1 since 100",
	}
	if diff := gocmp.Diff(want, shownRows(t, lake)); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

// TestMovedEvents: an event that comes with a date in another partition is its next revision there. A run
// of an earlier version of the schema compared each partition on its own, and is written again like that.
func TestMovedEvents(t *testing.T) {
	t.Parallel()
	for version, want := range map[int][]string{
		wholeTableVersion - 1: {
			"dated revision 1 since 100", "moved and moved again revision 1 since 401", "other revision 1 since 100",
			"other, without a date revision 1 since 301", "without a date revision 1 since 300",
		},
		wholeTableVersion: {
			"dated revision 1 since 100", "moved and moved again revision 3 since 100", "other revision 1 since 100",
			"other, without a date revision 2 since 100", "without a date revision 2 since 100",
		},
	} {
		lake := t.TempDir()
		for i, rows := range [][]seenRow{
			{{"u1", "a", "1", "c1", 100, "dated"}, {"u2", "c", "1", "c1", 100, "other"}},
			{{"u1", "a", "1", "c1", 200, "again"}},
			{{"u1", "d", "1", "c1", 300, "without a date"}, {"u2", "d", "1", "c2", 301, "other, without a date"}},
			{{"u1", "a", "1", "c1", 400, "taken back"}, {"u1", "c", "1", "c2", 401, "moved and moved again"}},
		} {
			o := Options{SchemaVersion: version}
			m := runOf(t, lake, fmt.Sprint("r", i), o, rows...)
			again := writeAgain(t, lake, m, o, rows)
			if !sameFiles(m.Files, again.Files) || m.Events.Known != again.Events.Known || m.Events.Changed != again.Events.Changed {
				t.Errorf("version %d, run %d: written again it has %+v, want %+v", version, i, again, m)
			}
		}
		if diff := gocmp.Diff(want, shownRows(t, lake)); diff != "" {
			t.Errorf("version %d: rows (-want +got):\n%s", version, diff)
		}
	}
}

// writeAgain writes a run into another lake, compared with what its own had before it.
func writeAgain(t *testing.T, lake string, m *pipeline.Manifest, o Options, rows []seenRow) *pipeline.Manifest {
	t.Helper()
	i, err := Inspect(t.Context(), lake, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	o.Earlier = i.Before(m)
	if o.SchemaVersion == 0 || o.SchemaVersion >= wholeTableVersion {
		// Records of other partitions may come sooner or later than the first time.
		rows = slices.Clone(rows)
		slices.SortStableFunc(rows, func(a, b seenRow) int { return cmp.Compare(a.month(), b.month()) })
	}
	return runOf(t, t.TempDir(), m.Run.ID, o, rows...)
}

// answersInOrder are the positions of rows, those of the first answer first.
func answersInOrder(rows []seenRow) (at []int) {
	for i := range rows {
		at = append(at, i)
	}
	slices.SortStableFunc(at, func(a, b int) int { return cmp.Compare(rows[a].at, rows[b].at) })
	return at
}

// TestOneCopy: whatever runs bring, in whatever order, memory and files, each content of an event is
// there once, from the run that brought it first, and a run that is written again is the same.
func TestOneCopy(t *testing.T) {
	t.Parallel()
	dir, n := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		lake := filepath.Join(dir, fmt.Sprint(n))
		row := rapid.Custom(func(rt *rapid.T) seenRow {
			pick := func(name string, from ...string) string { return rapid.SampledFrom(from).Draw(rt, name) }
			return seenRow{uid: pick("uid", "", "u1", "u2", "u3"), digest: pick("digest", "a", "b", "c", "d"), entity: pick("entity", "1", "2"), call: pick("call", "c1", "c2")}
		})
		first := map[string]string{} // note by uid and digest
		runs := rapid.IntRange(1, 4).Draw(rt, "runs")
		for run := range runs {
			rows := rapid.SliceOfN(row, 0, 30).Draw(rt, "rows")
			var known int64
			had := len(first)
			before := map[string]bool{}
			for key := range first {
				before[key] = true
			}
			for i := range rows {
				rows[i].at, rows[i].note = int64(run*1000), fmt.Sprintf("%d.%d", run, i)
				if rows[i].call == "c2" {
					rows[i].at++
				}
			}
			for _, i := range answersInOrder(rows) {
				key := rows[i].uid + " " + rows[i].digest
				if before[key] {
					known++
				}
				if _, ok := first[key]; !ok {
					first[key] = rows[i].note
				}
			}
			o := Options{SortMemory: rapid.SampledFrom([]int64{1, 30_000, 1 << 20}).Draw(rt, "memory"), RowGroupRows: 3}
			m := runOf(t, lake, fmt.Sprint("r", run), o, rows...)
			var written int64
			for _, f := range m.Files {
				written += f.Rows
			}
			if m.Events.Known != known || written != int64(len(first)-had) {
				rt.Fatalf("run %d: %d known and %d written, want %d and %d", run, m.Events.Known, written, known, len(first)-had)
			}
			if again := writeAgain(t, lake, m, o, rows); !sameFiles(m.Files, again.Files) {
				rt.Fatalf("run %s: written again it has the files %+v, want %+v", m.Run.ID, again.Files, m.Files)
			}
			if rapid.Bool().Draw(rt, "compact") {
				if _, err := Compact(t.Context(), lake, Options{Hook: skipSync, RowGroupRows: 4}, CompactOptions{MinFiles: 2}); err != nil {
					rt.Fatal(err)
				}
			}
		}
		shown := map[string]bool{}
		for _, r := range shownRows(t, lake) {
			var note string
			_, _ = fmt.Sscan(r, &note)
			if shown[note] {
				rt.Fatalf("%s is there twice", note)
			}
			shown[note] = true
		}
		for key, note := range first {
			if !shown[note] {
				rt.Fatalf("%s, the first of %s, is not there: %v", note, key, shown)
			}
		}
		if len(shown) != len(first) {
			rt.Fatalf("%d rows, want %d", len(shown), len(first))
		}
	})
}

// TestUnreadFiles: what a missing or damaged file may hold is written again, since it was paid for.
func TestUnreadFiles(t *testing.T) {
	t.Parallel()
	for _, damage := range []string{"missing", "damaged", "empty"} {
		lake := t.TempDir()
		first := runOf(t, lake, "r1", Options{}, seenRow{"u1", "a", "1", "c1", 100, "first"})
		path := filepath.Join(lake, first.Files[0].Path)
		harm(t, path, damage)
		second := runOf(t, lake, "r2", Options{}, seenRow{"u1", "a", "1", "c1", 200, "again"})
		if want := []string{first.Files[0].Path}; !slices.Equal(second.Unread, want) || len(second.Files) != 1 {
			t.Errorf("%s: unread %q and %d files, want %q and one file", damage, second.Unread, len(second.Files), want)
		}
		l := openLake(t, lake, Options{RunID: "r3"})
		if missing, err := l.MissingNeighbours(context.Background(), second); err != nil || !slices.Equal(missing, second.Unread) {
			t.Errorf("%s: MissingNeighbours() = %q, %v, want %q", damage, missing, err, second.Unread)
		}
	}
}

// TestPublishedRunIsNotCompared: a run whose process died between its publication and the note of it
// is staged again. Its own files do not count as those of an earlier run.
func TestPublishedRunIsNotCompared(t *testing.T) {
	t.Parallel()
	lake := t.TempDir()
	row := seenRow{"u1", "a", "1", "c1", 100, "first"}
	first, again := runOf(t, lake, "r1", Options{}, row), runOf(t, lake, "r1", Options{}, row)
	if first.Generation != again.Generation || !sameFiles(first.Files, again.Files) {
		t.Errorf("generation %d with %+v, and again %d with %+v", first.Generation, first.Files, again.Generation, again.Files)
	}
}

// TestKnownEventsOfAccounts: an account says which of its events the lake had.
func TestKnownEventsOfAccounts(t *testing.T) {
	t.Parallel()
	lake, news := t.TempDir(), schema.EventTable(schema.CategoryNews)
	account := func(key, call string, events int64) rowtest.Values {
		r := make(rowtest.Values, len(schema.Accounts.Columns))
		for name, v := range map[string]any{"account_key": key, "entity_id": "1", "call_id": call, "events": events, "new_events": events, "known_events": int64(0)} {
			r[schema.Accounts.ColumnIndex(name)] = v
		}
		return r
	}
	var got []string
	for run := range 2 {
		l := openLake(t, lake, Options{RunID: fmt.Sprint("r", run)})
		for i, key := range []string{"a", "a", "b"}[:2+run] {
			row := seenRow{fmt.Sprint("u", i), "x", "1", "c1", 100, ""}.values()
			row[news.ColumnIndex("account_key")] = key
			writeRecord(t, l, partitionOf(news, "2026-03"), rowtest.NewRecord(t, news, []rowtest.Values{row}))
		}
		writeRecord(t, l, schema.Partition{Table: "accounts"}, rowtest.NewRecord(t, schema.Accounts, []rowtest.Values{account("a", "c1", 2), account("b", "c1", 1), account("a", "c2", 2)}))
		m := stageAndPublish(t, l)
		for _, f := range m.Files {
			if f.Table == "accounts" {
				_, rows := readArrow(t, filepath.Join(lake, f.Path))
				for _, r := range rows {
					got = append(got, fmt.Sprintln(run, r[schema.Accounts.ColumnIndex("account_key")], r[schema.Accounts.ColumnIndex("new_events")], r[schema.Accounts.ColumnIndex("known_events")]))
				}
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"0 a 2 0\n", "0 b 1 0\n", "0 a 2 0\n", "1 a 0 2\n", "1 b 1 0\n", "1 a 2 0\n"}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("accounts (-want +got):\n%s", diff)
	}
}

func TestUIDFilter(t *testing.T) {
	t.Parallel()
	var f uidFilter
	const uids = 20_000
	for i := range uids {
		f.add(fmt.Appendf(nil, "u%d", i))
	}
	falsePositives := 0
	for i := range uids {
		if !f.mayHave(fmt.Appendf(nil, "u%d", i)) {
			t.Fatalf("u%d was added and is not there", i)
		}
		if f.mayHave(fmt.Appendf(nil, "other %d", i)) {
			falsePositives++
		}
	}
	if falsePositives > uids/10 {
		t.Errorf("%d of %d others pass, want few", falsePositives, uids)
	}
}

// harm removes or damages a file.
func harm(t *testing.T, path, how string) {
	t.Helper()
	err := os.Remove(path)
	if how == "damaged" {
		err = errors.Join(err, os.WriteFile(path, []byte("no Parquet"), 0o600))
	}
	if how == "empty" {
		err = errors.Join(err, os.WriteFile(path, nil, 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestKeysInBucket: of a large file in a bucket only the columns of keys are read, and of a small one
// all at once.
func TestKeysInBucket(t *testing.T) {
	t.Parallel()
	b := &memoryBucket{objects: map[string][]byte{}}
	options := Options{Hook: skipSync, Scratch: t.TempDir(), Bucket: func(context.Context, string) (Bucket, error) { return b, nil }}
	table := schema.EventTable(schema.CategoryNews)
	stage := func(id string, recs ...arrow.Record) (*Lake, *pipeline.Manifest) {
		o := options
		o.RunID = id
		l, err := Open(t.Context(), "s3://memory/lake", o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		for _, rec := range recs {
			if err := l.Write(t.Context(), partitionOf(table, "2026-03"), rec); err != nil {
				t.Fatal(err)
			}
		}
		b.rangeReads, b.rangeBytes = 0, 0
		return l, stageAndPublish(t, l)
	}
	rng := rand.New(rand.NewPCG(7, 7))
	var recs []arrow.Record
	for from := range 10 {
		var rows []rowtest.Values
		for i := range 230 {
			long := make([]byte, 5000) // which does not compress well
			for n := range long {
				long[n] = ' ' + byte(rng.IntN(90))
			}
			rows = append(rows, seenRow{fmt.Sprint(from, "-", i), "x", "1", "c1", 100, string(long)}.values())
		}
		recs = append(recs, rowtest.NewRecord(t, table, rows))
	}
	last := len(recs) - 1
	_, large := stage("r1", recs[:last]...)
	size := large.Files[0].Bytes
	if size < 2*minReadSize {
		t.Fatalf("the file has %d bytes, want more: the test shows nothing", size)
	}
	if l, _ := stage("r2", recs[last]); l.comparison.known != 0 || b.rangeBytes > size/4 {
		t.Errorf("new rows: %d known, %d of %d bytes read, want none and few", l.comparison.known, b.rangeBytes, size)
	}
	if l, _ := stage("r3", recs[0], recs[last]); l.comparison.known != recs[0].NumRows()+recs[last].NumRows() || b.rangeBytes > size/2 {
		t.Errorf("known rows: %d known, %d of %d bytes read, want all and some", l.comparison.known, b.rangeBytes, size)
	}
	t.Logf("%d of %d bytes in %d reads", b.rangeBytes, size, b.rangeReads)
}
