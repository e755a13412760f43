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

	"github.com/siglake/siglake/internal/bucket"
)

// Bucket is what a lake on S3 needs of its bucket; *bucket.Bucket is one.
type Bucket interface {
	// Create, Upload and Swap write conditionally and find out what a lost answer
	// said: fs.ErrExist and bucket.ErrMoved mean that something else is there.
	Create(ctx context.Context, name string, data []byte) error
	Upload(ctx context.Context, name string, file io.ReaderAt, size int64) error
	Swap(ctx context.Context, name, etag string, data []byte) error
	Get(ctx context.Context, name string) (data []byte, etag string, err error)
	Stat(ctx context.Context, name string) (bucket.Object, error)
	Range(ctx context.Context, o bucket.Object, off, n int64) (io.ReadCloser, error)
	List(ctx context.Context, prefix string) iter.Seq2[bucket.Object, error]
	Probe(ctx context.Context, dir string) error
	URI(name string) string
}

// OnS3 reports whether a lake's address is one of a bucket.
func OnS3(uri string) bool { return strings.HasPrefix(uri, "s3://") }

// s3Place is a lake in a bucket. Files are staged on the local disk and put
// under their names whole: an object appears complete or not at all, and is
// durable when the store says so, so there is nothing to settle.
type s3Place struct {
	bucket  Bucket
	staging *dir
}

// uploads is how many files are on their way at once: one connection rarely
// fills a line to a store.
const uploads = 8

func (p *s3Place) promote(ctx context.Context, staged, name string) error {
	f, err := p.staging.open(staged)
	if err != nil {
		return err
	}
	defer f.drop()
	return p.bucket.Upload(ctx, name, f, f.Size())
}

func (p *s3Place) settle(context.Context) error { return nil }

func (p *s3Place) create(ctx context.Context, name string, data []byte) error {
	return p.bucket.Create(ctx, name, data)
}

// swap looks at what is there, and replaces that version and no other.
func (p *s3Place) swap(ctx context.Context, name string, old, data []byte) error {
	now, etag, err := p.bucket.Get(ctx, name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !bytes.Equal(now, old) {
		return &fs.PathError{Op: "replace", Path: p.bucket.URI(name), Err: errMoved}
	}
	if err = p.bucket.Swap(ctx, name, etag, data); errors.Is(err, bucket.ErrMoved) {
		return fmt.Errorf("%w: %w", errMoved, err)
	}
	return err
}

func (p *s3Place) read(ctx context.Context, name string) ([]byte, error) {
	data, _, err := p.bucket.Get(ctx, name)
	return data, err
}

func (p *s3Place) open(ctx context.Context, name string) (object, error) {
	o, err := p.bucket.Stat(ctx, name)
	if err != nil {
		return nil, err
	}
	return &remote{ctx: ctx, bucket: p.bucket, Object: o}, nil
}

// walk lists what there is, for verification: nothing is decided by it.
func (p *s3Place) walk(ctx context.Context, folder string) iter.Seq2[string, error] {
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

// prepare makes sure that conditions are heeded: everything depends on it.
func (p *s3Place) prepare(ctx context.Context) error { return p.bucket.Probe(ctx, metaDir) }

func (p *s3Place) width() int { return uploads }

// remote reads one version of an object. Readers of Parquet files take many
// small bites, so what lies behind a bite is fetched with it.
type remote struct {
	ctx    context.Context // of the one operation that opened it
	bucket Bucket
	bucket.Object

	bite int64 // how much is fetched at a time, if that is more than usual
	at   int64
	held []byte
}

const (
	bite  = 4 << 20
	bites = 5 // attempts at one that breaks off
)

// Size is the object's length in bytes.
func (r *remote) Size() int64 { return r.Object.Size }

// Close lets go of what is held.
func (r *remote) Close() error {
	r.held = nil
	return nil
}

// ReadAt is used by one goroutine.
func (r *remote) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) && off+int64(n) < r.Size() {
		from := off + int64(n)
		if from < r.at || from >= r.at+int64(len(r.held)) {
			if err := r.fetch(from); err != nil {
				return n, err
			}
		}
		n += copy(p[n:], r.held[from-r.at:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// hold fetches all of the object, for readers who jump from end to end of it.
func (r *remote) hold() error {
	r.bite = r.Size()
	return r.fetch(0)
}

// fetch holds the bite that begins at a place.
func (r *remote) fetch(from int64) (err error) {
	size := min(max(bite, r.bite), r.Size()-from)
	for range bites {
		var body io.ReadCloser
		if body, err = r.bucket.Range(r.ctx, r.Object, from, size); err != nil {
			return err // the bucket has tried often enough
		}
		r.at, r.held = from, make([]byte, size)
		_, err = io.ReadFull(body, r.held)
		_ = body.Close() // it was read to its end, or broke off
		if err == nil {
			return nil
		}
	}
	r.held = nil
	return &fs.PathError{Op: "read", Path: r.bucket.URI(r.Name), Err: err}
}
