package ledger

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/bucket/membucket"
	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// partitionsOf are the partitions of a ledger's runs, with a star where they are not those that the
// run prepared.
func partitionsOf(l *Ledger) string {
	var words []string
	for _, r := range l.Runs() {
		word := r.ID + " " + r.PartitionKey()
		if l.Partitions().ChangedAfter(r) {
			word += "*"
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

// TestRepartition: a copy of a ledger with other partitions says so about the runs that it was made from,
// opened from its records or from a checkpoint, and about no later one. The ledger itself stays as it is.
func TestRepartition(t *testing.T) {
	t.Parallel()
	n := manyNights()
	n.companies, n.batch = 6, 3
	old := openStore(t, t.TempDir(), unsynced)
	n.addAll(t, old, 0, 2)
	unfinished, err := Open(t.Context(), old, n.options(2))
	if err == nil {
		_, err = unfinished.BeginRun(pipeline.RunSpec{ID: "open", Session: 1})
		err = errors.Join(err, unfinished.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	source := n.open(t, old, 2, false)
	before := n.answersOf(t, source, 2)
	source.Partitions().Change(schema.ByDay)
	copied := wal.NewObjects(membucket.New(), "j", wal.ObjectsOptions{})
	if err := source.CopyTo(t.Context(), copied); err != nil {
		t.Fatal(err)
	}
	const months = "run-0000 event_month, run-0001 event_month, open event_month"
	if got := partitionsOf(n.open(t, old, 2, false)); got != months {
		t.Errorf("the source has %s, want %s", got, months)
	}
	const days = "run-0000 event_day*, run-0001 event_day*, open event_day"
	for _, full := range []bool{false, true} {
		l := n.open(t, copied, 2, full)
		if got := partitionsOf(l); got != days || l.Partitions().ChangedTo() != schema.ByDay {
			t.Errorf("the copy has %s, by %q, want %s", got, l.Partitions().ChangedTo(), days)
		}
		if diff := cmp.Diff(before, n.answersOf(t, l, 2)); diff != "" {
			t.Errorf("answers (-source +copy):\n%s", diff)
		}
	}

	n.addAll(t, copied, 3, 4) // with a checkpoint, which says where the copy was made
	const later = days + ", run-0003 event_month"
	for _, full := range []bool{false, true} {
		if got := partitionsOf(n.open(t, copied, 4, full)); got != later {
			t.Errorf("from all records %v: after a run the copy has %s, want %s", full, got, later)
		}
	}
	l := n.open(t, copied, 4, false)
	if l.checkpoints.at == (wal.Position{}) {
		t.Error("the run after the repartition wrote no checkpoint")
	}
	if audit, err := l.Audit(t.Context(), nil); err != nil || len(audit.Checkpoint) > 0 {
		t.Errorf("Audit() = %v, %v", audit.Checkpoint, err)
	}

	again := wal.NewObjects(membucket.New(), "j", wal.ObjectsOptions{})
	if err := l.CopyTo(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	if got := partitionsOf(n.open(t, again, 4, true)); got != later {
		t.Errorf("a copy of the copy has %s, want %s", got, later)
	}
	l.Partitions().Change(schema.ByMonth)
	twice := wal.NewObjects(membucket.New(), "j", wal.ObjectsOptions{})
	if err := l.CopyTo(t.Context(), twice); err != nil {
		t.Fatal(err)
	}
	const back = "run-0000 event_month*, run-0001 event_month*, open event_month, run-0003 event_month*"
	if got := partitionsOf(n.open(t, twice, 4, false)); got != back {
		t.Errorf("changed back, the copy has %s, want %s", got, back)
	}
}

// TestRepartitionUnknown: a key of a later version is refused.
func TestRepartitionUnknown(t *testing.T) {
	t.Parallel()
	r := replayer{state: newState()}
	if err := r.applyRepartition(wal.First, &repartitionRecord{By: "event_hour"}); !errors.Is(err, wal.ErrCorrupt) {
		t.Errorf("by hour: %v, want %v", err, wal.ErrCorrupt)
	}
	for by, want := range map[string]error{schema.ByDay: nil, "event_hour": wal.ErrCorrupt} {
		s := newState()
		s.repartition(by, wal.First)
		parts, _, err := encodeCheckpoint(s)
		if err != nil {
			t.Fatal(err)
		}
		packed, err := unpackParts(packParts(parts))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeCheckpoint(packed); !errors.Is(err, want) {
			t.Errorf("a checkpoint by %s: %v, want %v", by, err, want)
		}
	}
}

// TestCopyIsWhole: a ledger that is copied into a directory is there with its repartition or, whatever
// step fails, not at all.
func TestCopyIsWhole(t *testing.T) {
	t.Parallel()
	dir, _ := richJournal(t)
	for failing, failed := 1, true; failed; failing++ {
		source, err := Open(t.Context(), openStore(t, dir, nil), Options{Decode: laterVersion, ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		source.Partitions().Change(schema.ByDay)
		at, steps := filepath.Join(t.TempDir(), "journal"), 0
		failed = false
		err = wal.CreateDir(at, func(op, path string, do func() error) error {
			if steps++; steps >= failing {
				failed = true
				return errors.New("the process is dead")
			}
			return unsynced(op, path, do)
		}, func(to wal.Store) error { return source.CopyTo(t.Context(), to) })
		if failed != (err != nil) {
			t.Errorf("step %d failed: CreateDir = %v", failing, err)
		}
		there, statErr := wal.HasSegments(at)
		if err := errors.Join(statErr, source.Close()); err != nil {
			t.Fatal(err)
		}
		if !there && failed {
			continue
		}
		l, err := Open(t.Context(), openStore(t, at, nil), Options{Decode: laterVersion, ReadOnly: true})
		if err != nil {
			t.Fatalf("step %d failed: %v", failing, err)
		}
		if got := partitionsOf(l); got != "run event_day*, again event_day*, next event_day*" {
			t.Errorf("step %d failed: the copy has %s", failing, got)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSalvageRepartition: a salvage keeps a repartition, and restores one of which the record is lost
// from the files that the manifests name, and so the partitions of a run that began in a lost record.
func TestSalvageRepartition(t *testing.T) {
	t.Parallel()
	dir, published := richJournal(t)
	for _, m := range published {
		m.Files = []pipeline.File{{Path: "ledger/calls/x.parquet"}, {Path: "data/news/x.parquet", Partition: "event_day=2026-03-01"}}
	}
	const days = "run event_day*, again event_day*, next event_day*"
	_, lost, _ := mustSalvage(t, "without its record", dir, published)
	if got := partitionsOf(lost); got != days {
		t.Errorf("without its record: %s, want %s", got, days)
	}
	source, err := Open(t.Context(), openStore(t, dir, nil), Options{Decode: laterVersion, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	source.Partitions().Change(schema.ByDay)
	at := filepath.Join(t.TempDir(), "journal")
	if err := wal.CreateDir(at, unsynced, func(to wal.Store) error { return source.CopyTo(t.Context(), to) }); err != nil {
		t.Fatal(err)
	}
	s, kept, _ := mustSalvage(t, "with its record", at, published)
	if got := partitionsOf(kept); got != days || s.Records != records(t, kept) {
		t.Errorf("with its record: %s in %d records of %d, want %s and none added", got, records(t, kept), s.Records, days)
	}
	_, begun, _ := mustSalvage(t, "without any record", t.TempDir(), published)
	if got := partitionsOf(begun); got != "run event_day, again event_day, next event_day" {
		t.Errorf("without any record: %s", got)
	}
}

// records counts the records of a ledger.
func records(t *testing.T, l *Ledger) (n int) {
	t.Helper()
	err := l.log.Walk(t.Context(), false, func(wal.Position, byte, []byte, int64) error {
		n++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
