package sources

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/siglake/siglake/internal/bucket"
)

// The first range of an object is enough to detect its columns; later ranges double up to the
// largest. A range is given up after maxInterruptions broken answers.
const (
	firstRange       = 256 << 10
	largestRange     = 8 << 20
	maxInterruptions = 6
)

// remoteReader reads one version of an object, range by range. It fetches each range as a whole, so
// that no answer stays open while lines are being requested: that may take hours, and stores close
// idle connections.
type remoteReader struct {
	ctx     context.Context // of the current reader; io.Reader takes none
	store   *bucket.Bucket
	object  bucket.Object
	off     int64  // offset of the next range
	size    int64  // size of the next range
	buf     []byte // fetched but not yet read
	storage []byte
}

func newRemote(ctx context.Context, store *bucket.Bucket, o Object) (*remoteReader, error) {
	_, key, err := bucket.SplitURI(o.URI)
	if err != nil {
		return nil, err
	}
	return &remoteReader{ctx: ctx, store: store, object: bucket.Object{Name: key, Size: o.Size, ETag: o.ETag}, size: firstRange}, nil
}

func (r *remoteReader) Read(p []byte) (int, error) {
	if len(r.buf) == 0 {
		if r.off >= r.object.Size {
			return 0, io.EOF
		}
		if err := r.fetchRange(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.buf)
	r.buf = r.buf[n:]
	return n, nil
}

// fetchRange fetches the next range. It resumes where an answer breaks off.
func (r *remoteReader) fetchRange() error {
	n := min(r.size, r.object.Size-r.off)
	if int64(len(r.storage)) < n {
		r.storage = make([]byte, n)
	}
	got := int64(0)
	for interruptions := 0; got < n; {
		body, err := r.store.ReadRange(r.ctx, r.object, r.off+got, n-got)
		if err != nil {
			return err // the store has already retried it
		}
		m, err := io.ReadFull(body, r.storage[got:n])
		body.Close()
		got += int64(m)
		if err == nil {
			break
		}
		if interruptions++; interruptions == maxInterruptions {
			return fmt.Errorf("the connection broke off %d times, the last time at byte %d: %w", interruptions, r.off+got, err)
		}
		select {
		case <-r.ctx.Done():
			return r.ctx.Err()
		case <-time.After(10 * time.Millisecond << interruptions):
		}
	}
	r.buf, r.off, r.size = r.storage[:n], r.off+n, min(2*r.size, largestRange)
	return nil
}

func (r *remoteReader) Close() error { return nil }

// openBucket opens the whole bucket of an s3:// URI.
func openBucket(ctx context.Context, uri string, o Options) (*bucket.Bucket, error) {
	name, _, err := bucket.SplitURI(uri)
	if err != nil {
		return nil, &Error{File: uri, Problem: "is not an S3 URI", Expected: "s3://bucket/key", Err: err}
	}
	store, err := o.Bucket(ctx, "s3://"+name+"/")
	if err != nil {
		return nil, &Error{File: uri, Problem: "the bucket cannot be opened: " + err.Error(), Err: err}
	}
	return store, nil
}

// remoteError says what is wrong with an object, or with access to it.
func remoteError(uri string, err error) *Error {
	e := &Error{File: uri, Problem: "cannot be read: " + err.Error(), Err: err}
	switch {
	case errors.Is(err, bucket.ErrChanged):
		e.Problem, e.Fix = "was replaced by another version after siglake first read it", "run again when no process writes to it any more"
	case errors.Is(err, fs.ErrNotExist):
		e.Problem, e.Fix = "no such object", "check bucket and key; to read all objects below it, append a /"
	case errors.Is(err, fs.ErrPermission):
		e.Problem, e.Fix = "access denied: "+err.Error(), "check the credentials and the bucket's policy: s3:GetObject, and s3:ListBucket for folders and patterns"
	}
	return e
}
