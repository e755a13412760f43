package sinks

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/bucket"
	"github.com/siglake/siglake/internal/extsort/rowtest"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// memoryBucket is a bucket without a store: it keeps the conditions, and counts.
type memoryBucket struct {
	mu         sync.Mutex
	objects    map[string][]byte
	rangeReads int // pieces that were read
	rangeBytes int64
	listCalls  int
}

func (b *memoryBucket) etag(name string) string {
	return fmt.Sprintf("%x", sha256.Sum256(b.objects[name]))
}

func (b *memoryBucket) Create(_ context.Context, name string, data []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if existing, ok := b.objects[name]; ok {
		if bytes.Equal(existing, data) {
			return nil
		}
		return &fs.PathError{Op: "create", Path: b.URI(name), Err: fs.ErrExist}
	}
	b.objects[name] = bytes.Clone(data)
	return nil
}

func (b *memoryBucket) Upload(ctx context.Context, name string, file io.ReaderAt, size int64) error {
	data, err := io.ReadAll(io.NewSectionReader(file, 0, size))
	if err != nil {
		return err
	}
	return b.Create(ctx, name, data)
}

func (b *memoryBucket) Swap(_ context.Context, name, etag string, data []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.objects[name]; ok != (etag != "") || ok && b.etag(name) != etag {
		return bucket.ErrChanged
	}
	b.objects[name] = bytes.Clone(data)
	return nil
}

func (b *memoryBucket) Get(_ context.Context, name string) ([]byte, string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	data, ok := b.objects[name]
	if !ok {
		return nil, "", &fs.PathError{Op: "get", Path: b.URI(name), Err: fs.ErrNotExist}
	}
	return bytes.Clone(data), b.etag(name), nil
}

func (b *memoryBucket) Stat(ctx context.Context, name string) (bucket.Object, error) {
	data, etag, err := b.Get(ctx, name)
	return bucket.Object{Name: name, Size: int64(len(data)), ETag: etag}, err
}

func (b *memoryBucket) ReadRange(ctx context.Context, o bucket.Object, off, n int64) (io.ReadCloser, error) {
	data, _, err := b.Get(ctx, o.Name)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rangeReads++
	b.rangeBytes += n
	return io.NopCloser(bytes.NewReader(data[off : off+n])), nil
}

func (b *memoryBucket) List(_ context.Context, prefix string) iter.Seq2[bucket.Object, error] {
	return func(yield func(bucket.Object, error) bool) {
		b.mu.Lock()
		b.listCalls++
		names := slices.Sorted(maps.Keys(b.objects))
		b.mu.Unlock()
		for _, name := range names {
			if strings.HasPrefix(name, prefix) && !yield(bucket.Object{Name: name}, nil) {
				return
			}
		}
	}
}

func (b *memoryBucket) ProbeConditions(context.Context, string) error { return nil }
func (b *memoryBucket) ProbeWrite(context.Context, string) error      { return nil }
func (b *memoryBucket) URI(name string) string                        { return "s3://memory/lake/" + name }

// TestCompactInBucket publishes and compacts the same runs in a bucket and in a
// directory, and finds the same rows under the same names.
func TestCompactInBucket(t *testing.T) {
	b := &memoryBucket{objects: map[string][]byte{}}
	options := Options{Hook: skipSync, Scratch: t.TempDir(), Bucket: func(context.Context, string) (Bucket, error) { return b, nil }}
	bucketURI, dirURI := "s3://memory/lake", filepath.Join(t.TempDir(), "lake")
	table := schema.EventTable(schema.CategoryNews)
	for run := range 3 {
		for _, uri := range []string{bucketURI, dirURI} {
			o := options
			o.RunID = fmt.Sprintf("run-%d", run)
			l, err := Open(t.Context(), uri, o)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 20 {
				writeRecord(t, l, partitionOf(table, "2026-01"), rowtest.NewRecord(t, table, []rowtest.Values{newsRow("n", "1", nil, fmt.Sprint(run, i), "{}", "")}))
			}
			stageAndPublish(t, l)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	snapshotFiles := func(uri string) (files []DataFile) {
		t.Helper()
		i, err := Inspect(t.Context(), uri, options)
		if err != nil {
			t.Fatal(err)
		}
		defer i.Close()
		chain, err := i.ReadChain(t.Context())
		if err != nil || len(chain) != 4 {
			t.Fatalf("Chain() of %s = %d generations, %v, want 4", uri, len(chain), err)
		}
		if broken, err := i.CheckSnapshots(t.Context(), chain); err != nil || broken != nil {
			t.Errorf("CheckSnapshots() of %s = %q, %v, want nothing", uri, broken, err)
		}
		last := chain[3]
		before, err := i.HashRows(t.Context(), "news", last.Replaces)
		if err != nil {
			t.Fatal(err)
		}
		if after, err := i.HashRows(t.Context(), "news", []string{last.Files[0].Path}); err != nil || after != before || after.Rows != 60 {
			t.Errorf("rows of the compaction of %s = %+v, %v, want %+v", uri, after, err, before)
		}
		s, err := i.ReadSnapshot(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		return s.Files
	}
	for _, uri := range []string{bucketURI, dirURI} {
		b.rangeReads, b.listCalls = 0, 0
		m, err := Compact(t.Context(), uri, options, CompactOptions{MinFiles: 2})
		if err != nil || m == nil || m.Run.Kind != pipeline.CompactionGeneration {
			t.Fatalf("Compact(%s) = %v, %v, want a generation", uri, m, err)
		}
		if uri == bucketURI && (b.rangeReads != 3 || b.listCalls != 0) {
			t.Errorf("a compaction of 3 objects read %d pieces and listed %d times, want one of each object, and never", b.rangeReads, b.listCalls)
		}
	}
	if diff := gocmp.Diff(shortNames(snapshotFiles(dirURI)), shortNames(snapshotFiles(bucketURI))); diff != "" {
		t.Errorf("files of a directory and of a bucket (-directory +bucket):\n%s", diff)
	}
	if m, err := Compact(t.Context(), bucketURI, options, CompactOptions{MinFiles: 2}); m != nil || err != nil {
		t.Errorf("Compact() again = %v, %v, want nothing to do", m, err)
	}
}
