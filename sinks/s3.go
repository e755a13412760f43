package sinks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"strings"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/siglake/siglake/internal/bucket"
	"github.com/siglake/siglake/internal/durable"
)

// Bucket is what a lake on S3 needs of its bucket; *bucket.Bucket implements it.
type Bucket interface {
	// Create, Upload and Swap write conditionally. If an answer is lost, they determine
	// the outcome: fs.ErrExist and bucket.ErrChanged mean that another object is there.
	Create(ctx context.Context, name string, data []byte) error
	Upload(ctx context.Context, name string, file io.ReaderAt, size int64) error
	Swap(ctx context.Context, name, etag string, data []byte) error
	Get(ctx context.Context, name string) (data []byte, etag string, err error)
	Stat(ctx context.Context, name string) (bucket.Object, error)
	ReadRange(ctx context.Context, o bucket.Object, off, n int64) (io.ReadCloser, error)
	List(ctx context.Context, prefix string) iter.Seq2[bucket.Object, error]
	ProbeConditions(ctx context.Context, dir string) error
	ProbeWrite(ctx context.Context, dir string) error
	URI(name string) string
}

// OnS3 reports whether a lake's address names a bucket.
func OnS3(uri string) bool { return strings.HasPrefix(uri, "s3://") }

// s3Backend is a lake in a bucket. Files are staged on the local disk and uploaded under
// their final names: an object appears complete or not at all, and is durable when the
// store acknowledges it, so there is nothing to sync.
type s3Backend struct {
	bucket  Bucket
	staging *durable.Dir
}

// maxUploads is how many files are uploaded at once: one connection rarely uses the
// whole bandwidth to a store.
const maxUploads = 8

func (p *s3Backend) publishFile(ctx context.Context, staged, name string) error {
	f, err := p.staging.Open(staged)
	if err != nil {
		return err
	}
	defer f.Discard()
	return p.bucket.Upload(ctx, name, f, f.Size())
}

func (p *s3Backend) syncPublished(context.Context) error { return nil }

func (p *s3Backend) createObject(ctx context.Context, name string, data []byte) error {
	return p.bucket.Create(ctx, name, data)
}

// swapObject reads the current version, and replaces that version only.
func (p *s3Backend) swapObject(ctx context.Context, name string, old, data []byte) error {
	stored, etag, err := p.bucket.Get(ctx, name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !bytes.Equal(stored, old) {
		return &fs.PathError{Op: "replace", Path: p.bucket.URI(name), Err: errChanged}
	}
	if err = p.bucket.Swap(ctx, name, etag, data); errors.Is(err, bucket.ErrChanged) {
		return fmt.Errorf("%w: %w", errChanged, err)
	}
	return err
}

func (p *s3Backend) readObject(ctx context.Context, name string) ([]byte, error) {
	data, _, err := p.bucket.Get(ctx, name)
	return data, err
}

func (p *s3Backend) openObject(ctx context.Context, name string) (object, error) {
	o, err := p.bucket.Stat(ctx, name)
	if err != nil {
		return nil, err
	}
	return &s3Object{ctx: ctx, bucket: p.bucket, Object: o}, nil
}

// listNames lists objects for verification; no decision depends on it.
func (p *s3Backend) listNames(ctx context.Context, folder string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if folder != "" {
			folder += "/"
		}
		for o, err := range p.bucket.List(ctx, folder) {
			if !yield(o.Name, err) || err != nil {
				return
			}
		}
	}
}

// prepareWrites verifies that the store honours conditional writes, on which everything depends,
// and that the policy of the bucket allows to write wherever files are published.
func (p *s3Backend) prepareWrites(ctx context.Context) error {
	if err := p.bucket.ProbeConditions(ctx, metaDir); err != nil {
		return err
	}
	failed := make([]error, len(publishedDirs))
	var probes sync.WaitGroup // awaited below
	for i, dir := range publishedDirs {
		probes.Go(func() {
			if err := p.bucket.ProbeWrite(ctx, dir); err != nil {
				failed[i] = fmt.Errorf("the lake cannot be written: %w; siglake doctor prints the policy that it needs", err)
			}
		})
	}
	probes.Wait()
	return errors.Join(failed...)
}

func (p *s3Backend) removeObject(ctx context.Context, name string) error {
	b, ok := p.bucket.(interface {
		Delete(ctx context.Context, name string) error
	})
	if !ok {
		return errors.ErrUnsupported
	}
	return b.Delete(ctx, name)
}

func (p *s3Backend) maxParallel() int { return maxUploads }

// s3Object reads one version of an object. Readers of Parquet files make many small
// reads, so it reads ahead.
type s3Object struct {
	ctx    context.Context // of the one operation that opened it
	bucket Bucket
	bucket.Object

	bufferOffset int64
	buffer       []byte
	reserved     int64 // of the size that may be buffered
}

const (
	minReadSize  = 4 << 20
	readAttempts = 5 // attempts at one that breaks off
)

// Size is the object's length in bytes.
func (r *s3Object) Size() int64 { return r.Object.Size }

// Close drops the buffer.
func (r *s3Object) Close() error {
	buffered.Release(r.reserved)
	r.buffer, r.reserved = nil, 0
	return nil
}

// ReadAt is used by one goroutine.
func (r *s3Object) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) && off+int64(n) < r.Size() {
		from := off + int64(n)
		if from < r.bufferOffset || from >= r.bufferOffset+int64(len(r.buffer)) {
			if err := r.fillBuffer(from); err != nil {
				return n, err
			}
		}
		n += copy(p[n:], r.buffer[from-r.bufferOffset:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// bufferAll fetches the whole object if it is in a bucket, for readers that seek back and forth in it.
// Large objects wait for each other: what is fetched at a time is bounded, whatever runs side by side.
func bufferAll(o object) error {
	r, ok := o.(*s3Object)
	if !ok {
		return nil
	}
	if r.reserved == 0 {
		size := min(r.Size(), maxBufferedSize)
		if err := buffered.Acquire(r.ctx, size); err != nil {
			return err
		}
		r.reserved = size
	}
	return r.fetch(0, r.Size())
}

// maxBufferedSize is the size of the whole objects that are in memory at a time, unless one is larger.
const maxBufferedSize = 64 << 20

var buffered = semaphore.NewWeighted(maxBufferedSize)

// fillBuffer fetches the bytes from an offset on into the buffer.
func (r *s3Object) fillBuffer(from int64) error {
	return r.fetch(from, min(minReadSize, r.Size()-from))
}

// fetch makes a part of the object the buffer.
func (r *s3Object) fetch(from, size int64) (err error) {
	for range readAttempts {
		var body io.ReadCloser
		if body, err = r.bucket.ReadRange(r.ctx, r.Object, from, size); err != nil {
			return err // the bucket has tried often enough
		}
		r.bufferOffset, r.buffer = from, make([]byte, size)
		_, err = io.ReadFull(body, r.buffer)
		_ = body.Close() // it was read to its end, or broke off
		if err == nil {
			return nil
		}
	}
	r.buffer = nil
	return &fs.PathError{Op: "read", Path: r.bucket.URI(r.Name), Err: err}
}
