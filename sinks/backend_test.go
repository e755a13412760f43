package sinks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/siglake/siglake/internal/bucket"
	"github.com/siglake/siglake/internal/bucket/buckettest"
	"github.com/siglake/siglake/internal/durable"
	"github.com/siglake/siglake/internal/extsort/rowtest"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// openTestBucket opens a folder of a store's bucket.
func openTestBucket(t testing.TB, store *buckettest.Store, uri string) *bucket.Bucket {
	t.Helper()
	store.Setenv(t)
	b, err := bucket.Open(t.Context(), uri, bucket.Config{Endpoint: store.URL, Region: store.Region, PathStyle: true})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// backendKinds are the places that a lake can lie in. Each gives a new one, the
// directory that files are staged in, and a second writer to the same place.
func backendKinds(t *testing.T) map[string]func(t *testing.T) (p, other backend, staging *durable.Dir) {
	onBucket := func(store *buckettest.Store) func(t *testing.T) (p, other backend, staging *durable.Dir) {
		n := 0
		return func(t *testing.T) (p, other backend, staging *durable.Dir) {
			n++
			uri := store.URI(fmt.Sprintf("places/%d", n))
			staging, err := openScratch(t.TempDir(), nil)
			if err != nil {
				t.Fatal(err)
			}
			return &s3Backend{openTestBucket(t, store, uri), staging}, &s3Backend{openTestBucket(t, store, uri), staging}, staging
		}
	}
	return map[string]func(t *testing.T) (p, other backend, staging *durable.Dir){
		"directory": func(t *testing.T) (p, other backend, staging *durable.Dir) {
			path := t.TempDir()
			var backends []backend
			for i := range 2 {
				d, err := openLakeDir(path, nil)
				if err != nil {
					t.Fatal(err)
				}
				scratch := fmt.Sprintf("%s/run-%d", stagingDir, i)
				if err := d.MkdirAll(scratch); err != nil {
					t.Fatal(err)
				}
				backends, staging = append(backends, &dirBackend{Dir: d, runDir: scratch}), d
			}
			return backends[0], backends[1], staging
		},
		"versitygw": onBucket(buckettest.Start(t)),
		"gofakes3":  onBucket(buckettest.StartFake(t)),
	}
}

// TestBackends: what publication rests on holds wherever a lake lies.
func TestBackends(t *testing.T) {
	for name, fresh := range backendKinds(t) {
		t.Run(name, func(t *testing.T) {
			p, other, staging := fresh(t)
			ctx := t.Context()
			if _, onBucket := p.(*s3Backend); !onBucket || name != "gofakes3" { // gofakes3 ignores conditions of uploads in parts, so the backend gets none
				if err := p.prepareWrites(ctx); err != nil {
					t.Fatalf("prepare() = %v", err)
				}
			}
			stage := func(content string) string {
				t.Helper()
				if err := staging.MkdirAll(stagingDir); err != nil {
					t.Fatal(err)
				}
				name := stagingDir + "/file.parquet.tmp"
				if err := staging.WriteFile(name, []byte(content)); err != nil {
					t.Fatal(err)
				}
				return name
			}

			// A file appears whole, once, and never again.
			const file = "data/news/event_month=2026-01/a.parquet"
			if _, err := p.openObject(ctx, file); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("open of nothing = %v, want fs.ErrNotExist", err)
			}
			if err := p.publishFile(ctx, stage("first"), file); err != nil {
				t.Fatalf("promote() = %v", err)
			}
			if err := other.publishFile(ctx, stage("second"), file); !errors.Is(err, fs.ErrExist) {
				t.Errorf("promote over another = %v, want fs.ErrExist", err)
			}
			if err := p.publishFile(ctx, stagingDir+"/nothing.tmp", "data/b.parquet"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("promote of nothing = %v, want fs.ErrNotExist", err)
			}
			if err := p.syncPublished(ctx); err != nil {
				t.Errorf("settle() = %v", err)
			}
			o, err := other.openObject(ctx, file)
			if err != nil {
				t.Fatal(err)
			}
			got := make([]byte, o.Size())
			if n, err := o.ReadAt(got, 0); string(got) != "first" || n != 5 || err != nil && err != io.EOF {
				t.Errorf("ReadAt() = %q, %d, %v, want the first content", got, n, err)
			}
			if n, err := o.ReadAt(make([]byte, 9), 2); n != 3 || err != io.EOF {
				t.Errorf("ReadAt beyond the end = %d, %v, want 3, io.EOF", n, err)
			}
			if err := o.Close(); err != nil {
				t.Error(err)
			}

			// A small object under a free name.
			if err := p.createObject(ctx, manifestName(1), []byte("one")); err != nil {
				t.Fatalf("create() = %v", err)
			}
			if err := other.createObject(ctx, manifestName(1), []byte("two")); !errors.Is(err, fs.ErrExist) {
				t.Errorf("create over another = %v, want fs.ErrExist", err)
			}
			if data, err := other.readObject(ctx, manifestName(1)); string(data) != "one" || err != nil {
				t.Errorf("read() = %q, %v, want what was created first", data, err)
			}

			// Compare and swap.
			if _, err := p.readObject(ctx, currentFile); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("read of nothing = %v, want fs.ErrNotExist", err)
			}
			for i, step := range []struct {
				old, data string
				want      error
			}{{"", "1", nil}, {"", "2", errChanged}, {"0", "2", errChanged}, {"1", "2", nil}, {"1", "3", errChanged}, {"2", "3", nil}} {
				by := []backend{p, other}[i%2]
				var old []byte
				if step.old != "" {
					old = []byte(step.old)
				}
				if err := by.swapObject(ctx, currentFile, old, []byte(step.data)); !errors.Is(err, step.want) {
					t.Errorf("swap %q for %q = %v, want %v", step.old, step.data, err, step.want)
				}
			}
			if data, err := p.readObject(ctx, currentFile); string(data) != "3" || err != nil {
				t.Errorf("read() = %q, %v, want what was swapped in last", data, err)
			}

			var names []string
			for name, err := range p.listNames(ctx, dataDir) {
				if err != nil {
					t.Fatal(err)
				}
				names = append(names, name)
			}
			if diff := gocmp.Diff([]string{file}, names); diff != "" {
				t.Errorf("walk(data) (-want +got):\n%s", diff)
			}
			for name, err := range p.listNames(ctx, ledgerDir) {
				t.Errorf("walk of nothing gives %s, %v", name, err)
			}
			raceWriters(t, p, other, name == "directory")
		})
	}
}

// raceWriters lets two writers want the same name, and the same swap: one has it. A
// directory is swapped under its lock, so there only names are raced for.
func raceWriters(t *testing.T, p, other backend, locked bool) {
	t.Helper()
	ctx := t.Context()
	current, err := p.readObject(ctx, currentFile)
	if err != nil {
		t.Fatal(err)
	}
	for round := range 50 {
		var wg sync.WaitGroup
		var created, swapped [2]error
		next := [2][]byte{fmt.Appendf(nil, "%d by 0", round), fmt.Appendf(nil, "%d by 1", round)}
		for i, by := range []backend{p, other} {
			wg.Go(func() {
				created[i] = by.createObject(ctx, manifestName(int64(100+round)), next[i])
				if !locked {
					swapped[i] = by.swapObject(ctx, currentFile, current, next[i])
				}
			})
		}
		wg.Wait()
		for what, errs := range map[string][2]error{"create": created, "swap": swapped} {
			if locked && what == "swap" {
				continue
			}
			won := slices.IndexFunc(errs[:], func(err error) bool { return err == nil })
			if won < 0 || errs[1-won] == nil || !errors.Is(errs[1-won], fs.ErrExist) && !errors.Is(errs[1-won], errChanged) {
				t.Fatalf("round %d: %s: %v and %v, want one winner", round, what, errs[0], errs[1])
			}
			if what == "swap" {
				current = next[won]
			}
		}
	}
}

// TestRunInABucket: a run published into a bucket has the files of one published
// into a directory, byte for byte described by its manifest.
func TestRunInABucket(t *testing.T) {
	store := buckettest.Start(t)
	uri := store.URI("lake")
	options := Options{RunID: "r1", SortMemory: 1, Scratch: t.TempDir(), Bucket: func(context.Context, string) (Bucket, error) {
		return openTestBucket(t, store, uri), nil
	}}
	local, err := smallRun(t.Context(), t, filepath.Join(t.TempDir(), "lake"), "r1", nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := Open(t.Context(), uri, options)
	if err != nil {
		t.Fatal(err)
	}
	m := stageSmallRun(t, l, "r1")
	if err := l.Publish(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	paths := func(m *pipeline.Manifest) (all []string) {
		for _, f := range m.Files {
			all = append(all, f.Path)
		}
		return all
	}
	if diff := gocmp.Diff(paths(local), paths(m)); diff != "" {
		t.Errorf("files in a directory and in a bucket (-directory +bucket):\n%s", diff)
	}
	inspector, err := Inspect(t.Context(), uri, options)
	if err != nil {
		t.Fatal(err)
	}
	visible, err := inspector.ListGlobbed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(visible)
	if diff := gocmp.Diff(paths(m), visible); diff != "" {
		t.Errorf("files named and files there (-named +there):\n%s", diff)
	}
	for _, f := range m.Files {
		got, err := inspector.DescribeFile(t.Context(), f.Path)
		if err != nil || got.SHA256 != f.SHA256 || got.Bytes != f.Bytes || got.Rows != f.Rows || got.Digest != f.Digest {
			t.Errorf("Describe(%s) = %+v, %v, want %+v", f.Path, got, err, f)
		}
	}
}

// stageSmallRun writes and stages what smallRun does.
func stageSmallRun(t testing.TB, l *Lake, run string) *pipeline.Manifest {
	t.Helper()
	news := schema.EventTable(schema.CategoryNews)
	for i, month := range []string{"2026-01", "2026-02", "2026-01"} {
		writeRecord(t, l, partitionOf(news, month), rowtest.NewRecord(t, news, []rowtest.Values{newsRow("n", "1", nil, fmt.Sprint(run, i), "{}", "")}))
	}
	writeRecord(t, l, partitionOf(schema.Calls, ""), rowtest.NewRecord(t, schema.Calls, []rowtest.Values{make(rowtest.Values, len(schema.Calls.Columns))}))
	files, err := l.Stage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &pipeline.Manifest{Run: pipeline.RunInfo{ID: run}, Files: files}
}

// BenchmarkUpload publishes 32 staged files of 4 MiB into a bucket, and copies
// the same files there plainly, by as many connections, turn by turn. It reports
// how many times as long publishing takes.
func BenchmarkUpload(b *testing.B) {
	store := buckettest.Start(b)
	const files, size = 32, 4 << 20
	scratch, err := openScratch(b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	content := make([]byte, size)
	dice := rand.NewChaCha8([32]byte{})
	_, _ = dice.Read(content)
	for i := range files {
		content[i]++
		if err := scratch.WriteFile(fmt.Sprintf("%02d.tmp", i), content); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(2 * files * size)
	rounds := 0
	var published, copied float64
	for b.Loop() {
		rounds++
		to := openTestBucket(b, store, store.URI(fmt.Sprintf("published/%d", rounds)))
		p := &s3Backend{to, scratch}
		published += timeParallel(b, p.maxParallel(), files, func(i int) error {
			return p.publishFile(b.Context(), fmt.Sprintf("%02d.tmp", i), fmt.Sprintf("data/%02d.parquet", i))
		})
		plain := openTestBucket(b, store, store.URI(fmt.Sprintf("copied/%d", rounds)))
		copied += timeParallel(b, p.maxParallel(), files, func(i int) error {
			raw, err := scratch.ReadFile(fmt.Sprintf("%02d.tmp", i))
			if err != nil {
				return err
			}
			return plain.Upload(b.Context(), fmt.Sprintf("%02d", i), bytes.NewReader(raw), int64(len(raw)))
		})
	}
	b.ReportMetric(published/copied, "published/copied")
}

func timeParallel(b *testing.B, width, n int, do func(i int) error) float64 {
	b.Helper()
	before := b.Elapsed()
	var g errgroup.Group
	g.SetLimit(width)
	for i := range n {
		g.Go(func() error { return do(i) })
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	return (b.Elapsed() - before).Seconds()
}
