package sinks

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/siglake/siglake/internal/proof"
)

var errDead = errors.New("the process is dead")

// mergedLake is a lake that tables over folders read, while it is compacted and pruned.
type mergedLake struct {
	t       *testing.T
	uri     string
	options Options
	now     time.Time
	// Changes of the lake that succeed before the process dies; negative: it does not.
	left int
	// Changes of the lake so far.
	changes int
	mu      sync.Mutex // of left and changes
}

// change makes a change of the lake, unless the process is dead.
func (l *mergedLake) change(do func() error) error {
	l.mu.Lock()
	l.changes++
	dead := l.left == 0
	if !dead {
		l.left--
	}
	l.mu.Unlock()
	if dead {
		return errDead
	}
	return do()
}

// mortalBucket is a bucket of a process that may die.
type mortalBucket struct {
	*memoryBucket
	lake *mergedLake
}

func (b mortalBucket) Create(ctx context.Context, name string, data []byte) error {
	return b.lake.change(func() error { return b.memoryBucket.Create(ctx, name, data) })
}

func (b mortalBucket) Upload(ctx context.Context, name string, file io.ReaderAt, size int64) error {
	return b.lake.change(func() error { return b.memoryBucket.Upload(ctx, name, file, size) })
}

func (b mortalBucket) Swap(ctx context.Context, name, etag string, data []byte) error {
	return b.lake.change(func() error { return b.memoryBucket.Swap(ctx, name, etag, data) })
}

func (b mortalBucket) Delete(_ context.Context, name string) error {
	return b.lake.change(func() error {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.objects, name)
		return nil
	})
}

// newMergedLake has three small runs, in a directory or in a bucket.
func newMergedLake(t *testing.T, inBucket bool) *mergedLake {
	t.Helper()
	l := &mergedLake{t: t, uri: filepath.Join(t.TempDir(), "lake"), now: time.Date(2026, 5, 1, 2, 0, 0, 0, time.UTC), left: -1}
	l.options.Hook = skipSync
	if inBucket {
		b := mortalBucket{&memoryBucket{objects: map[string][]byte{}}, l}
		l.uri, l.options.Bucket, l.options.Scratch = "s3://memory/lake", func(context.Context, string) (Bucket, error) { return b, nil }, t.TempDir()
	} else {
		l.options.Hook = func(op, path string, do func() error) error {
			if !isMutation(op) {
				return do()
			}
			return l.change(func() error { return skipSync(op, path, do) })
		}
	}
	l.options.Now = func() time.Time { return l.now }
	for _, run := range []string{"run-1", "run-2", "run-3"} {
		l.run(run)
	}
	return l
}

func (l *mergedLake) run(id string) {
	l.t.Helper()
	o := l.options
	o.RunID, o.SortMemory = id, 1
	lake, err := Open(l.t.Context(), l.uri, o)
	if err != nil {
		l.t.Fatal(err)
	}
	if _, err := publishSmallRun(l.t.Context(), l.t, lake, id); err != nil {
		l.t.Fatal(err)
	}
}

func (l *mergedLake) inspect() *Inspector {
	l.t.Helper()
	i, err := Inspect(l.t.Context(), l.uri, Options{Bucket: l.options.Bucket, Scratch: l.options.Scratch, Hook: skipSync})
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = i.Close() }) // it was only read
	return i
}

// shown are the files of which a table shows the rows at a moment, by dataset: as the views of package ddl
// choose them.
func (l *mergedLake) shown(i *Inspector, at time.Time) map[string][]string {
	l.t.Helper()
	var list []MergedFile
	names := map[string][]string{}
	for _, folder := range []string{dataDir, ledgerDir, compactDir, MergesDir} {
		for name, err := range i.published.backend.listNames(l.t.Context(), folder) {
			if err != nil {
				l.t.Fatal(err)
			}
			names[folder] = append(names[folder], name)
		}
	}
	for _, name := range names[MergesDir] {
		data, err := i.published.backend.readObject(l.t.Context(), name)
		if err != nil {
			l.t.Fatal(err)
		}
		rows, err := parquet.Read[MergedFile](bytes.NewReader(data), int64(len(data)))
		if err != nil {
			l.t.Fatal(err)
		}
		for _, row := range rows {
			if row.EffectiveAt <= at.Unix() {
				list = append(list, row)
			}
		}
	}
	listed := func(name string, shown bool) bool {
		parts := strings.Split(strings.TrimPrefix(name, compactDir+"/"), "/")
		return slices.ContainsFunc(list, func(m MergedFile) bool {
			return m.Table == parts[1] && m.Name == strings.Join(parts[len(parts)-2:], "/") && m.Shown == shown
		})
	}
	files := map[string][]string{}
	for folder, all := range names {
		for _, name := range all {
			if show := folder != MergesDir && !listed(name, false) && (folder != compactDir || listed(name, true)); show {
				table := strings.Split(strings.TrimPrefix(name, compactDir+"/"), "/")[1]
				files[table] = append(files[table], name)
			}
		}
	}
	return files
}

// check compares what tables show, now and when the newest list counts, with the rows of the newest
// generation.
func (l *mergedLake) check(when string) {
	l.t.Helper()
	i := l.inspect()
	s, err := i.ReadSnapshot(l.t.Context(), 0)
	if err != nil {
		l.t.Fatal(err)
	}
	want := map[string][]string{}
	for _, f := range s.Files {
		want[f.Table] = append(want[f.Table], f.Path)
	}
	for _, at := range []time.Time{l.now, l.now.Add(mergeDelay)} {
		got := l.shown(i, at)
		for table := range want {
			a, err := i.HashRows(l.t.Context(), table, want[table])
			b, errs := i.HashRows(l.t.Context(), table, got[table])
			if err = errors.Join(err, errs); err != nil || a != b {
				l.t.Fatalf("%s, %s: tables show %d rows of %s, %v, and the lake has %d", when, at.Sub(l.now), b.Rows, table, err, a.Rows)
			}
		}
		if len(got) != len(want) {
			l.t.Fatalf("%s: tables show %q, want those of %q", when, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
		}
	}
}

func (l *mergedLake) compact() error {
	_, err := Compact(l.t.Context(), l.uri, l.options, CompactOptions{MinFiles: 2})
	return err
}

func (l *mergedLake) plan() *PrunePlan {
	l.t.Helper()
	p, err := l.inspect().PlanPrune(l.t.Context(), l.now.Add(-24*time.Hour), l.now)
	if err != nil {
		l.t.Fatal(err)
	}
	return p
}

func (l *mergedLake) prune() error {
	_, err := Prune(l.t.Context(), l.uri, l.options, l.plan(), PruneOptions{Proceed: func() error { return nil }})
	return err
}

// TestMerges: tables over folders show every row once, before and after compactions and prunings, wherever
// one of them dies, in a directory and in a bucket.
func TestMerges(t *testing.T) {
	t.Parallel()
	for _, inBucket := range []bool{false, true} {
		for step, end := 0, false; !end; step += proof.Size(29, 5, 1) {
			l := newMergedLake(t, inBucket)
			l.check("three runs")
			l.left, l.changes = step, 0
			for _, change := range []func() error{l.compact, func() error { l.now = l.now.Add(3 * 24 * time.Hour); return l.prune() }} {
				if err := change(); err != nil && !errors.Is(err, errDead) {
					t.Fatalf("step %d: %v", step, err)
				}
				l.check("a process that died, or not")
			}
			end = l.left > 0
			l.left = -1
			l.run("run-4")
			l.check("another run")
			for _, next := range []string{"run-5", "run-6"} { // a second compaction merges what the first one has written
				if err := l.compact(); err != nil {
					t.Fatal(err)
				}
				l.check("compacted")
				l.now = l.now.Add(3 * 24 * time.Hour)
				if err := l.prune(); err != nil {
					t.Fatal(err)
				}
				l.check("pruned")
				l.run(next)
			}
			i := l.inspect()
			chain, err := i.ReadChain(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := i.CheckMerges(t.Context(), chain); err != nil {
				t.Fatalf("step %d: CheckMerges() = %v", step, err)
			}
			if end && l.changes < 20 {
				t.Errorf("bucket %t: a compaction and a pruning have %d changes", inBucket, l.changes)
			}
		}
	}
}

// TestMergesOfEarlierVersions: a pruning of a lake whose compaction wrote no list writes it, and removes
// nothing before tables have read it for an hour.
func TestMergesOfEarlierVersions(t *testing.T) {
	t.Parallel()
	l := newMergedLake(t, false)
	if err := l.compact(); err != nil {
		t.Fatal(err)
	}
	if err := l.inspect().published.backend.removeObject(t.Context(), mergesName(4)); err != nil {
		t.Fatal(err)
	}
	l.now = l.now.Add(48 * time.Hour)
	for range 2 {
		if p := l.plan(); len(p.Replaced) > 0 || p.Waiting != 9 || p.IsEmpty() {
			t.Fatalf("PlanPrune() = %+v, want that 9 files wait", p)
		}
		if err := l.prune(); err != nil {
			t.Fatal(err)
		}
		l.check("a pruning that waits")
		l.now = l.now.Add(90 * time.Minute)
	}
	l.now = l.now.Add(30 * time.Minute)
	if p := l.plan(); len(p.Replaced) != 9 || p.Waiting != 0 {
		t.Fatalf("PlanPrune() = %+v, want 9 files", p)
	}
	if err := l.prune(); err != nil {
		t.Fatal(err)
	}
	l.check("pruned")
	if p := l.plan(); !p.IsEmpty() {
		t.Errorf("PlanPrune() = %+v, want nothing", p)
	}
}

// TestMissingMerges: a list that a process may not have written is missed; without the one that a pruning relied on, tables lack
// rows, which is damage.
func TestMissingMerges(t *testing.T) {
	t.Parallel()
	l := newMergedLake(t, false)
	check := func(wantMissing string, damaged bool) {
		t.Helper()
		i := l.inspect()
		chain, err := i.ReadChain(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if name, err := i.MissingMerges(t.Context(), chain); name != wantMissing || err != nil {
			t.Errorf("MissingMerges() = %q, %v, want %q", name, err, wantMissing)
		}
		remedy := new(RemedyError)
		if err := i.CheckMerges(t.Context(), chain); errors.As(err, &remedy) != damaged || damaged && !strings.Contains(err.Error(), "siglake compact writes it again") {
			t.Errorf("CheckMerges() = %v, want damage: %t", err, damaged)
		}
	}
	check("", false)
	if err := l.compact(); err != nil {
		t.Fatal(err)
	}
	check("", false)
	remove := func() {
		t.Helper()
		if err := l.inspect().published.backend.removeObject(t.Context(), mergesName(4)); err != nil {
			t.Fatal(err)
		}
	}
	remove()
	check(mergesName(4), false)
	for range 2 { // the first one writes the list
		l.now = l.now.Add(3 * 24 * time.Hour)
		if err := l.prune(); err != nil {
			t.Fatal(err)
		}
		check("", false)
	}
	remove()
	check(mergesName(4), true)
}

// TestMergesRestored: lists of generations that an older _meta does not have are removed, and a list of
// another compaction is noticed.
func TestMergesRestored(t *testing.T) {
	t.Parallel()
	l := newMergedLake(t, false)
	if err := l.compact(); err != nil {
		t.Fatal(err)
	}
	writer := openLake(t, l.uri, Options{RunID: "x"})
	i, b := l.inspect(), writer.backend
	data, err := b.readObject(t.Context(), mergesName(4))
	if err == nil {
		err = b.createObject(t.Context(), mergesName(9), data)
	}
	if err != nil {
		t.Fatal(err)
	}
	chain, err := i.ReadChain(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	remedy := new(RemedyError)
	if err := i.CheckMerges(t.Context(), chain); !errors.As(err, &remedy) || !errors.Is(err, ErrIntegrity) {
		t.Errorf("CheckMerges() = %v, want that the list is another one's, and what to do", err)
	}
	chain[3].Replaces = chain[3].Replaces[1:]
	if err := b.removeObject(t.Context(), mergesName(9)); err != nil {
		t.Fatal(err)
	}
	if err := i.CheckMerges(t.Context(), chain); !errors.As(err, &remedy) || !strings.Contains(err.Error(), "other files") || !strings.Contains(err.Error(), "remove it, and run siglake compact") {
		t.Errorf("CheckMerges() = %v, want that it names other files, and what to do", err)
	}
}

// TestPruneRestored: tables over folders show every row once while a pruning removes a compaction that an older _meta does
// not have, wherever it dies.
func TestPruneRestored(t *testing.T) {
	t.Parallel()
	for step, end := 0, false; !end; step += proof.Size(5, 2, 1) {
		l := newMergedLake(t, true)
		bucket, err := l.options.Bucket(t.Context(), l.uri)
		if err != nil {
			t.Fatal(err)
		}
		objects := bucket.(mortalBucket).objects
		isMeta := func(name string, _ []byte) bool { return strings.Contains(name, "_meta/") }
		older := maps.Clone(objects)
		maps.DeleteFunc(older, func(name string, data []byte) bool { return !isMeta(name, data) })
		if err := l.compact(); err != nil {
			t.Fatal(err)
		}
		maps.DeleteFunc(objects, isMeta)
		maps.Copy(objects, older)
		l.now = l.now.Add(3 * 24 * time.Hour)
		l.check("restored")
		l.left = step
		if err := l.prune(); err != nil && !errors.Is(err, errDead) {
			t.Fatalf("step %d: %v", step, err)
		}
		l.check("a pruning that died, or not")
		end = l.left > 0
		l.left = -1
		if err := l.prune(); err != nil {
			t.Fatal(err)
		}
		l.check("pruned")
		l.run("run-4")
		if err := l.compact(); err != nil {
			t.Fatal(err)
		}
		l.check("compacted again")
	}
}
