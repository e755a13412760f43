package bucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/bucket/buckettest"
	"github.com/siglake/siglake/internal/proof"
)

// openBucket opens a prefix of a store's bucket, with minimal waits.
func openBucket(t *testing.T, s *buckettest.Store, change ...func(*Config)) *Bucket {
	t.Helper()
	s.Setenv(t)
	cfg := Config{Endpoint: s.URL, Region: s.Region, PathStyle: true, PartSize: minPartSize, MaxBackoff: time.Millisecond, HTTP: s.Client}
	for _, f := range change {
		f(&cfg)
	}
	b, err := Open(t.Context(), s.URI("a folder/"), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// errorKind names an error by what callers can tell from it, and checks that it contains no
// credentials.
func errorKind(t *testing.T, s *buckettest.Store, err error) string {
	t.Helper()
	if err == nil {
		return "done"
	}
	if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(text, s.SecretKey) || strings.Contains(text, s.AccessKey) {
		t.Errorf("error %q contains credentials", text)
	}
	for name, is := range map[string]error{
		"exists": fs.ErrExist, "moved": ErrChanged, "missing": fs.ErrNotExist, "denied": fs.ErrPermission,
		"unconditional": ErrUnconditional, "cancelled": context.Canceled,
	} {
		if errors.Is(err, is) {
			return name
		}
	}
	return "open: " + err.Error()
}

// randomBytes makes incompressible content.
func randomBytes(n int) []byte {
	data, random := make([]byte, n), rand.NewChaCha8([32]byte{byte(n)})
	_, _ = random.Read(data) // never fails
	return data
}

func noFault(*http.Request) buckettest.Fault { return buckettest.Fault{} }

func TestStores(t *testing.T) {
	for name, start := range map[string]func(*testing.T) (*buckettest.Store, *Bucket){
		"versitygw": func(t *testing.T) (*buckettest.Store, *Bucket) {
			s := buckettest.Start(t)
			return s, openBucket(t, s)
		},
		"gofakes3": func(t *testing.T) (*buckettest.Store, *Bucket) {
			s := buckettest.StartFake(t)
			return s, openBucket(t, s)
		},
		"over TLS": func(t *testing.T) (*buckettest.Store, *Bucket) {
			s := buckettest.StartTLSProxy(t, buckettest.Start(t), noFault)
			return s, openBucket(t, s)
		},
		"by AWS's names, with trailing checksums": func(t *testing.T) (*buckettest.Store, *Bucket) {
			var trailers atomic.Int32
			s := buckettest.StartTLSProxy(t, buckettest.Start(t), func(r *http.Request) buckettest.Fault {
				if r.Header.Get("X-Amz-Trailer") != "" {
					trailers.Add(1)
				}
				return buckettest.Fault{}
			})
			t.Cleanup(func() {
				if trailers.Load() == 0 {
					t.Error("no request had a checksum in its trailer, want one for every body")
				}
			})
			return s, openBucket(t, s, func(c *Config) { c.Endpoint, c.PathStyle = "", false })
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, b := start(t)
			t.Run("small", func(t *testing.T) { testSmallObject(t, s, b) })
			t.Run("large", func(t *testing.T) { testLargeObject(t, s, b) })
			many := 3
			if s.Client == nil {
				many = 130 // times 8: more than one page of 1,000
			}
			t.Run("list", func(t *testing.T) { testList(t, b, many) })
			t.Run("folders", func(t *testing.T) { testFolders(t, b, many) })
		})
	}
}

// testSmallObject tests the life cycle of a small object.
func testSmallObject(t *testing.T, s *buckettest.Store, b *Bucket) {
	ctx := t.Context()
	var etag string
	for _, step := range []struct {
		name string
		do   func() error
		want string
		then string // content afterwards
	}{
		{"Get of nothing", func() error { _, _, err := b.Get(ctx, "o ü+&"); return err }, "missing", ""},
		{"Stat of nothing", func() error { _, err := b.Stat(ctx, "o ü+&"); return err }, "missing", ""},
		{"Range of nothing", func() error { _, err := b.ReadRange(ctx, Object{Name: "o ü+&"}, 0, 5); return err }, "missing", ""},
		{"Delete of nothing", func() error { return b.Delete(ctx, "o ü+&") }, "done", ""},
		{"Swap of nothing", func() error { return b.Swap(ctx, "o ü+&", `"0123456789abcdef0123456789abcdef"`, []byte("zero")) }, "moved", ""},
		{"Swap for nothing", func() error { return b.Swap(ctx, "o ü+&", "", []byte("one")) }, "done", "one"},
		{"Swap for nothing, again", func() error { return b.Swap(ctx, "o ü+&", "", []byte("one")) }, "done", "one"},
		{"Swap for nothing, when there is something", func() error { return b.Swap(ctx, "o ü+&", "", []byte("two")) }, "moved", "one"},
		{"Create of the same", func() error { return b.Create(ctx, "o ü+&", []byte("one")) }, "done", "one"},
		{"Create of another", func() error { return b.Create(ctx, "o ü+&", []byte("two")) }, "exists", "one"},
		{"Upload of the same", func() error { return b.Upload(ctx, "o ü+&", strings.NewReader("one"), 3) }, "exists", "one"},
		{"Swap", func() error {
			o, err := b.Stat(ctx, "o ü+&")
			etag = o.ETag
			return errors.Join(err, b.Swap(ctx, "o ü+&", etag, []byte("three")))
		}, "done", "three"},
		{"Swap again", func() error { return b.Swap(ctx, "o ü+&", etag, []byte("three")) }, "done", "three"},
		{"Swap of what was", func() error { return b.Swap(ctx, "o ü+&", etag, []byte("four")) }, "moved", "three"},
		{"Range of what was", func() error { _, err := b.ReadRange(ctx, Object{Name: "o ü+&", ETag: etag}, 0, 2); return err }, "moved", "three"},
		{"Delete", func() error { return b.Delete(ctx, "o ü+&") }, "done", ""},
		{"Create of nothing at all", func() error { return b.Create(ctx, "o ü+&", nil) }, "done", ""},
		{"Upload of an empty file", func() error { return b.Upload(ctx, "empty", strings.NewReader(""), 0) }, "done", ""},
	} {
		if got := errorKind(t, s, step.do()); got != step.want {
			t.Errorf("%s = %s, want %s", step.name, got, step.want)
		}
		data, tag, err := b.Get(ctx, "o ü+&")
		if err != nil && errorKind(t, s, err) != "missing" || string(data) != step.then {
			t.Errorf("after %s: Get() = %q, %v, want %q", step.name, data, err, step.then)
		}
		if o, err := b.Stat(ctx, "o ü+&"); err == nil && (o.ETag != tag || o.Size != int64(len(step.then)) || o.Modified.IsZero()) {
			t.Errorf("after %s: Stat() = %+v, want %d bytes, ETag %s", step.name, o, len(step.then), tag)
		}
	}
}

// testLargeObject tests the life cycle of an object uploaded in parts.
func testLargeObject(t *testing.T, s *buckettest.Store, b *Bucket) {
	ctx := t.Context()
	data := randomBytes(2*minPartSize + 12345)
	if err := b.Upload(ctx, "large", bytes.NewReader(data), int64(len(data))); err != nil {
		t.Fatalf("Upload() = %v", err)
	}
	o, err := b.Stat(ctx, "large")
	if err != nil || o.Size != int64(len(data)) {
		t.Fatalf("Stat() = %+v, %v, want %d bytes", o, err, len(data))
	}
	for _, span := range []struct{ off, n int64 }{{0, -1}, {0, 1}, {minPartSize - 1, 2}, {int64(len(data)) - 5, -1}, {7, 0}} {
		body, err := b.ReadRange(ctx, o, span.off, span.n)
		if err != nil {
			t.Errorf("ReadRange(%d, %d) = %v", span.off, span.n, err)
			continue
		}
		got, err := io.ReadAll(body)
		body.Close()
		want := data[span.off:]
		if span.n >= 0 {
			want = want[:span.n]
		}
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("ReadRange(%d, %d) = %d bytes, %v, want %d", span.off, span.n, len(got), err, len(want))
		}
	}
	if got, etag, err := b.Get(ctx, "large"); err != nil || !bytes.Equal(got, data) || etag != o.ETag {
		t.Errorf("Get() = %d bytes, %s, %v, want %d, %s", len(got), etag, err, len(data), o.ETag)
	}
	if err := b.ProbeConditions(ctx, "_probe"); err != nil {
		return // this store ignores conditions of uploads in parts; see TestProbe
	}
	if got := errorKind(t, s, b.Upload(ctx, "large", bytes.NewReader(data[1:]), int64(len(data)-1))); got != "exists" {
		t.Errorf("second Upload() = %s, want exists", got)
	}
}

func testList(t *testing.T, b *Bucket, many int) {
	var want []string
	var writing sync.WaitGroup
	for i := range 8 {
		writing.Go(func() {
			for j := range many {
				if err := b.Create(t.Context(), fmt.Sprintf("list/%d/%03d", i, j), []byte("x")); err != nil {
					t.Error(err)
				}
			}
		})
		for j := range many {
			want = append(want, fmt.Sprintf("list/%d/%03d", i, j))
		}
	}
	writing.Wait()
	var got []string
	for o, err := range b.List(t.Context(), "list/") {
		if err != nil {
			t.Fatal(err)
		}
		if o.Size != 1 || o.ETag == "" {
			t.Errorf("List() yields %+v, want a size of 1 and an ETag", o)
		}
		got = append(got, o.Name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("List() (-want +got):\n%s", diff)
	}
	for range b.List(t.Context(), "list/") {
		break
	}
	for o, err := range b.List(t.Context(), "none/") {
		t.Errorf("List() of nothing yields %+v, %v", o, err)
	}
}

// testFolders: the folders below a prefix are those with objects at any depth, each once, on however many pages. Objects
// that lie there themselves, and what only begins like the prefix, are none.
func testFolders(t *testing.T, top *Bucket, many int) {
	below := func(folder string) *Bucket {
		b := *top
		b.prefix += folder + "/"
		return &b
	}
	b := below("folders")
	want := []string{"100 %+ü", "shard-0"}
	objects := []string{"100 %+ü/x", "shard-0/_state/wal/1", "shard-0/_state/wal/2", "shard-0/x", "file"}
	for i := range 8 * many {
		want = append(want, fmt.Sprintf("shard-1%04d", i))
		objects = append(objects, want[len(want)-1]+"/x")
	}
	var writing sync.WaitGroup
	for i := range 8 {
		writing.Go(func() {
			for j := i; j < len(objects); j += 8 {
				if err := b.Create(t.Context(), objects[j], []byte("x")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writing.Wait()
	if err := below("folders-2").Create(t.Context(), "other/x", []byte("x")); err != nil {
		t.Fatal(err)
	}
	got, err := b.Folders(t.Context())
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("Folders(), %v (-want +got):\n%s", err, diff)
	}
	if none, err := below("none").Folders(t.Context()); len(none) > 0 || err != nil {
		t.Errorf("Folders() of nothing = %q, %v", none, err)
	}
}

func TestProbe(t *testing.T) {
	real, fake := buckettest.Start(t), buckettest.StartFake(t)
	without := func(header string) *buckettest.Store {
		return buckettest.StartProxy(t, fake, func(r *http.Request) buckettest.Fault {
			r.Header.Del(header)
			return buckettest.Fault{}
		})
	}
	single := func(c *Config) { c.PartSize = maxPartSize }
	for name, c := range map[string]struct {
		store  *buckettest.Store
		change func(*Config)
		want   string
		says   string
	}{
		"a store that honours all conditions":            {store: real, want: "done"},
		"one that ignores those of parts":                {store: fake, want: "unconditional", says: "If-None-Match of uploads in parts"},
		"one that ignores those of parts, without parts": {store: fake, change: single, want: "done"},
		"one that ignores If-None-Match":                 {store: without("If-None-Match"), change: single, want: "unconditional", says: "If-None-Match of PUT"},
		"one that ignores If-Match":                      {store: without("If-Match"), change: single, want: "unconditional", says: "If-Match of PUT"},
		"no bucket":                                      {store: func() *buckettest.Store { s := *real; s.Bucket = "none-such"; return &s }(), want: "open", says: "NoSuchBucket"},
		"wrong credentials":                              {store: func() *buckettest.Store { s := *real; s.SecretKey += "x"; return &s }(), want: "denied"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.change == nil {
				c.change = func(*Config) {}
			}
			b := openBucket(t, c.store, c.change)
			err := b.ProbeConditions(t.Context(), "_meta")
			if got := errorKind(t, c.store, err); !strings.HasPrefix(got, c.want) || c.says != "" && !strings.Contains(err.Error(), c.says) {
				t.Errorf("ProbeConditions() = %s (%v), want %s, containing %q", got, err, c.want, c.says)
			}
			for o, err := range b.List(t.Context(), "") {
				if err != nil {
					// The bucket does not exist, or may not be listed.
					break
				}
				t.Errorf("ProbeConditions() leaves %s", o.Name)
			}
		})
	}
}

// TestFaults injects each fault into each request of each operation. Whenever the result is nil,
// the object exists and is complete.
func TestFaults(t *testing.T) {
	store := buckettest.Start(t)
	plain := openBucket(t, store)
	data := randomBytes(minPartSize + 1)
	faults := map[string]buckettest.Fault{
		"reset": buckettest.Reset, "lost": buckettest.ResetLate, "slow down": buckettest.SlowDown, "conflict": buckettest.Conflict,
		"internal": buckettest.Internal, "internal, late": buckettest.InternalLate, "skewed": buckettest.Skewed,
		"expired": buckettest.ExpiredToken, "denied": buckettest.Denied,
	}
	final := map[string]string{"expired": "denied", "denied": "denied"} // not retried
	// Indistinguishable in an answer to HEAD, which has no body.
	coded := []string{"conflict", "skewed", "expired"}
	operations := map[string]struct {
		method string // of the request that has the fault
		query  string // required in its URL
		do     func(ctx context.Context, b *Bucket, name string) error
		// Result if the store had executed the request; empty: done.
		late string
		want []byte
	}{
		"Create":           {http.MethodPut, "", func(ctx context.Context, b *Bucket, name string) error { return b.Create(ctx, name, []byte("new")) }, "", []byte("new")},
		"Swap for nothing": {http.MethodPut, "", func(ctx context.Context, b *Bucket, name string) error { return b.Swap(ctx, name, "", []byte("new")) }, "", []byte("new")},
		"Swap":             {http.MethodPut, "", swapOld, "", []byte("new")},
		"Upload": {http.MethodPut, "", func(ctx context.Context, b *Bucket, name string) error {
			return b.Upload(ctx, name, strings.NewReader("new"), 3)
		}, "exists", []byte("new")},
		"Upload, beginning": {http.MethodPost, "uploads", uploadLarge(data), "", data},
		"Upload, a part":    {http.MethodPut, "partNumber", uploadLarge(data), "", data},
		// versitygw answers a second completion like the first.
		"Upload, completion": {http.MethodPost, "uploadId", uploadLarge(data), "", data},
		"Get":                {http.MethodGet, "", getOld, "", []byte("old")},
		"Stat":               {http.MethodHead, "", statOld, "", []byte("old")},
		"Delete":             {http.MethodDelete, "", func(ctx context.Context, b *Bucket, name string) error { return b.Delete(ctx, name) }, "", nil},
		"Probe, beginning":   {http.MethodPost, "uploads", probe, "", nil},
		"Probe, abort":       {http.MethodDelete, "uploadId", probe, "", nil},
	}
	for operation, op := range operations {
		for kind, fault := range faults {
			if op.method == http.MethodHead && slices.Contains(coded, kind) {
				continue
			}
			name := strings.NewReplacer(" ", "-", ",", "").Replace(operation + "." + kind)
			t.Run(operation+"/"+kind, func(t *testing.T) {
				if op.late == "" && (operation == "Swap" || strings.HasSuffix(operation, "et") || operation == "Stat") {
					if err := plain.Create(t.Context(), name, []byte("old")); err != nil {
						t.Fatal(err)
					}
				}
				var met atomic.Bool
				front := buckettest.StartProxy(t, store, func(r *http.Request) buckettest.Fault {
					if r.Method == op.method && r.URL.Query().Has(op.query) == (op.query != "") && met.CompareAndSwap(false, true) {
						return fault
					}
					return buckettest.Fault{}
				})
				want := "done"
				if fault.Late && op.late != "" {
					want = op.late
				}
				if final[kind] != "" {
					want = final[kind]
				}
				if got := errorKind(t, front, op.do(t.Context(), openBucket(t, front), name)); got != want {
					t.Errorf("%s = %s, want %s", operation, got, want)
				}
				if !met.Load() {
					t.Fatal("no request met the fault")
				}
				if want == "denied" {
					return
				}
				if got, _, err := plain.Get(t.Context(), name); !bytes.Equal(got, op.want) || (err != nil) != (op.want == nil) {
					t.Errorf("after %s: Get() = %d bytes, %v, want %d", operation, len(got), err, len(op.want))
				}
			})
		}
	}
}

func probe(ctx context.Context, b *Bucket, name string) error { return b.ProbeWrite(ctx, name) }

func swapOld(ctx context.Context, b *Bucket, name string) error {
	o, err := b.Stat(ctx, name)
	return errors.Join(err, b.Swap(ctx, name, o.ETag, []byte("new")))
}

func getOld(ctx context.Context, b *Bucket, name string) error {
	data, _, err := b.Get(ctx, name)
	if err == nil && string(data) != "old" {
		return fmt.Errorf("got %q", data)
	}
	return err
}

func statOld(ctx context.Context, b *Bucket, name string) error {
	_, err := b.Stat(ctx, name)
	return err
}

func uploadLarge(data []byte) func(context.Context, *Bucket, string) error {
	return func(ctx context.Context, b *Bucket, name string) error {
		return b.Upload(ctx, name, bytes.NewReader(data), int64(len(data)))
	}
}

// TestUploadForgotten completes an upload that the store no longer knows: it was completed before,
// or it was aborted.
func TestUploadForgotten(t *testing.T) {
	store := buckettest.Start(t)
	data := randomBytes(minPartSize + 1)
	for want, after := range map[string]bool{"exists": true, "done": false} {
		var met atomic.Bool
		front := buckettest.StartProxy(t, store, func(r *http.Request) buckettest.Fault {
			if r.Method == http.MethodPost && r.URL.Query().Has("uploadId") && met.CompareAndSwap(false, true) {
				return buckettest.Fault{Status: http.StatusNotFound, Code: "NoSuchUpload", Late: after}
			}
			return buckettest.Fault{}
		})
		b := openBucket(t, front)
		if got := errorKind(t, front, uploadLarge(data)(t.Context(), b, want)); got != want {
			t.Errorf("Upload() = %s, want %s", got, want)
		}
		if got, _, err := b.Get(t.Context(), want); err != nil || !bytes.Equal(got, data) {
			t.Errorf("Get() = %d bytes, %v, want %d", len(got), err, len(data))
		}
	}
}

// TestPersistentFaults injects the same fault into every attempt.
func TestPersistentFaults(t *testing.T) {
	store := buckettest.Start(t)
	data := randomBytes(minPartSize + 1)
	for name, c := range map[string]struct {
		fault buckettest.Fault
		want  string
	}{
		"reset": {buckettest.Reset, "open: create s3://siglake-test/a folder/"}, "lost": {buckettest.ResetLate, "open: create s3://siglake-test/a folder/"},
		"slow down": {buckettest.SlowDown, "open: create s3://siglake-test/a folder/"}, "conflict": {buckettest.Conflict, "open: create s3://siglake-test/a folder/"},
		"expired": {buckettest.ExpiredToken, "denied"},
	} {
		t.Run(name, func(t *testing.T) {
			var requests atomic.Int32
			front := buckettest.StartProxy(t, store, func(r *http.Request) buckettest.Fault {
				requests.Add(1)
				return c.fault
			})
			b := openBucket(t, front, func(c *Config) { c.MaxAttempts = 3 })
			if got := errorKind(t, front, b.Create(t.Context(), "o", []byte("x"))); !strings.HasPrefix(got, c.want) {
				t.Errorf("Create() = %s, want %s", got, c.want)
			}
			if n := requests.Load(); n > 3 {
				t.Errorf("Create() made %d requests, want at most 3", n)
			}
			if got := errorKind(t, front, b.Upload(t.Context(), "p", bytes.NewReader(data), int64(len(data)))); !strings.HasPrefix(got, c.want) {
				t.Errorf("Upload() = %s, want %s", got, c.want)
			}
		})
	}
}

// TestCut breaks off the bodies of answers.
func TestCut(t *testing.T) {
	store := buckettest.Start(t)
	data := randomBytes(1 << 20)
	if err := openBucket(t, store).Create(t.Context(), "o", data); err != nil {
		t.Fatal(err)
	}
	b := openBucket(t, buckettest.StartProxy(t, store, buckettest.FaultOnce(http.MethodGet, buckettest.CutAfter(1000))))
	if got, _, err := b.Get(t.Context(), "o"); err != nil || !bytes.Equal(got, data) {
		t.Errorf("Get() = %d bytes, %v, want all %d", len(got), err, len(data))
	}
	always := buckettest.StartProxy(t, store, func(*http.Request) buckettest.Fault { return buckettest.CutAfter(1000) })
	if _, _, err := openBucket(t, always).Get(t.Context(), "o"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Get() = %v, want io.ErrUnexpectedEOF", err)
	}
	body, err := openBucket(t, always).ReadRange(t.Context(), Object{Name: "o"}, 5, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if got, err := io.ReadAll(body); err == nil || !bytes.HasPrefix(data[5:], got) {
		t.Errorf("ReadRange() reads %d bytes, %v, want a beginning and an error", len(got), err)
	}
}

// TestErrorIn200 tests the answer of CompleteMultipartUpload if it fails after the status was sent.
func TestErrorIn200(t *testing.T) {
	front := buckettest.StartProxy(t, buckettest.Start(t), func() func(*http.Request) buckettest.Fault {
		var met atomic.Bool
		return func(r *http.Request) buckettest.Fault {
			if r.URL.Query().Has("uploadId") && r.Method == http.MethodPost && met.CompareAndSwap(false, true) {
				return buckettest.ErrorIn200
			}
			return buckettest.Fault{}
		}
	}())
	data := randomBytes(minPartSize + 1)
	b := openBucket(t, front)
	if err := b.Upload(t.Context(), "o", bytes.NewReader(data), int64(len(data))); err != nil {
		t.Errorf("Upload() = %v, want a retry", err)
	}
	if o, err := b.Stat(t.Context(), "o"); err != nil || o.Size != int64(len(data)) {
		t.Errorf("Stat() = %+v, %v, want %d bytes", o, err, len(data))
	}
}

// TestNoVersion: a success without a version of the object does not come from the store. The object
// is written, and read, nevertheless.
func TestNoVersion(t *testing.T) {
	store := buckettest.Start(t)
	var method atomic.Value
	method.Store("")
	front := buckettest.StartProxy(t, store, func(r *http.Request) buckettest.Fault {
		if method.CompareAndSwap(r.Method, "") {
			return buckettest.ErrorIn200
		}
		return buckettest.Fault{}
	})
	b := openBucket(t, front)
	for name, write := range map[string]func() error{
		"created":  func() error { return b.Create(t.Context(), "created", []byte("1")) },
		"swapped":  func() error { return b.Swap(t.Context(), "swapped", "", []byte("1")) },
		"uploaded": func() error { return b.Upload(t.Context(), "uploaded", strings.NewReader("1"), 1) },
	} {
		method.Store(http.MethodPut)
		if err := write(); err != nil {
			t.Errorf("%s: %v, want a retry", name, err)
		}
		method.Store(http.MethodGet)
		if data, _, err := b.Get(t.Context(), name); string(data) != "1" || err != nil {
			t.Errorf("Get(%s) = %q, %v, want what was written", name, data, err)
		}
	}
}

// TestRaces lets two writers meet many times: one wins, the other gets an error, and the
// object is that of the winner.
func TestRaces(t *testing.T) {
	for name, store := range map[string]*buckettest.Store{"versitygw": buckettest.Start(t), "gofakes3": buckettest.StartFake(t)} {
		t.Run(name, func(t *testing.T) {
			b := [2]*Bucket{openBucket(t, store), openBucket(t, store)}
			etag := ""
			for round := range proof.Size(25, 100, 100) {
				name := fmt.Sprintf("round-%d", round)
				raceWriters(t, store, name, "exists", func(i int, data []byte) error { return b[i].Create(t.Context(), name, data) }, b[0])
				raceWriters(t, store, "current", "moved", func(i int, data []byte) error { return b[i].Swap(t.Context(), "current", etag, data) }, b[0])
				var err error
				if _, etag, err = b[0].Get(t.Context(), "current"); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func raceWriters(t *testing.T, s *buckettest.Store, name, loser string, write func(i int, data []byte) error, b *Bucket) {
	t.Helper()
	var got [2]string
	var data [2][]byte
	var writers sync.WaitGroup
	start := make(chan struct{})
	for i := range got {
		data[i] = fmt.Appendf(nil, "%s of writer %d, %d", name, i, rand.Uint64())
		writers.Go(func() {
			<-start
			got[i] = errorKind(t, s, write(i, data[i]))
		})
	}
	close(start)
	writers.Wait()
	winner := slices.Index(got[:], "done")
	if winner < 0 || got[1-winner] != loser {
		t.Fatalf("two concurrent writes of %s = %s, %s, want one done and one %s", name, got[0], got[1], loser)
	}
	if stored, _, err := b.Get(t.Context(), name); err != nil || !bytes.Equal(stored, data[winner]) {
		t.Fatalf("%s has %q, %v, want %q of the winner", name, stored, err, data[winner])
	}
}

func TestCancel(t *testing.T) {
	store := buckettest.Start(t)
	ctx, cancel := context.WithCancel(t.Context())
	front := buckettest.StartProxy(t, store, func(*http.Request) buckettest.Fault {
		cancel()
		return buckettest.Fault{Delay: time.Minute}
	})
	if got := errorKind(t, front, openBucket(t, front).Create(ctx, "o", []byte("x"))); got != "cancelled" {
		t.Errorf("Create(cancelled) = %s, want cancelled", got)
	}
}

// TestSettings checks the headers that settings add to every new object.
func TestSettings(t *testing.T) {
	store := buckettest.Start(t)
	var mu sync.Mutex
	seen := map[string]http.Header{}
	front := buckettest.StartProxy(t, store, func(r *http.Request) buckettest.Fault {
		mu.Lock()
		defer mu.Unlock()
		switch q := r.URL.Query(); {
		case r.Method == http.MethodPut && !q.Has("partNumber"):
			seen["PUT"] = r.Header.Clone()
		case r.Method == http.MethodPost && q.Has("uploads"):
			seen["uploads"] = r.Header.Clone()
		}
		return buckettest.Fault{}
	})
	b := openBucket(t, front, func(c *Config) {
		c.Encryption, c.KMSKey, c.StorageClass = "aws:kms", "alias/lake", "STANDARD_IA"
	})
	data := randomBytes(minPartSize + 1)
	if err := errors.Join(b.Create(t.Context(), "o", []byte("x")), b.Upload(t.Context(), "p", bytes.NewReader(data), int64(len(data)))); err != nil {
		t.Fatal(err)
	}
	for _, request := range []string{"PUT", "uploads"} {
		got := map[string]string{}
		for _, name := range []string{"X-Amz-Server-Side-Encryption", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id", "X-Amz-Storage-Class", "X-Amz-Checksum-Algorithm"} {
			got[name] = seen[request].Get(name)
		}
		want := map[string]string{
			"X-Amz-Server-Side-Encryption": "aws:kms", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": "alias/lake",
			"X-Amz-Storage-Class": "STANDARD_IA", "X-Amz-Checksum-Algorithm": "",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("headers of %s (-want +got):\n%s", request, diff)
		}
	}
}

// TestEndpointOfTheEnvironment reaches a store by a variable of the SDK: it is not AWS, so it gets
// no checksums.
func TestEndpointOfTheEnvironment(t *testing.T) {
	var sums atomic.Int32
	front := buckettest.StartProxy(t, buckettest.Start(t), func(r *http.Request) buckettest.Fault {
		if r.Header.Get("X-Amz-Checksum-Crc32") != "" || r.Header.Get("X-Amz-Trailer") != "" {
			sums.Add(1)
		}
		return buckettest.Fault{}
	})
	b := openBucket(t, front)
	t.Setenv("AWS_ENDPOINT_URL_S3", front.URL)
	cfg := b.cfg
	cfg.Endpoint = ""
	b, err := Open(t.Context(), front.URI(""), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Create(t.Context(), "o", []byte("x")); err != nil || sums.Load() != 0 {
		t.Errorf("Create() = %v, with %d checksums, want done, with none", err, sums.Load())
	}
}

// TestRole assumes a role at a token service that returns the store's credentials.
func TestRole(t *testing.T) {
	store := buckettest.Start(t)
	var asked atomic.Value
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		asked.Store(r.Form.Get("RoleArn") + " " + r.Form.Get("ExternalId") + " " + r.Form.Get("RoleSessionName"))
		fmt.Fprintf(w, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
<Credentials><AccessKeyId>%s</AccessKeyId><SecretAccessKey>%s</SecretAccessKey><SessionToken></SessionToken><Expiration>%s</Expiration></Credentials>
</AssumeRoleResult></AssumeRoleResponse>`, store.AccessKey, store.SecretKey, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	}))
	defer tokens.Close()
	other := *store
	other.AccessKey, other.SecretKey = "SOMEBODY", "else"
	b := openBucket(t, &other, func(c *Config) { c.Role, c.ExternalID = "arn:aws:iam::123456789012:role/lake", "outside" })
	t.Setenv("AWS_ENDPOINT_URL_STS", tokens.URL)
	b, err := Open(t.Context(), store.URI(""), b.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Create(t.Context(), "o", []byte("x")); err != nil {
		t.Errorf("Create() = %v, want the role to be allowed", err)
	}
	if got, want := asked.Load(), "arn:aws:iam::123456789012:role/lake outside siglake"; got != want {
		t.Errorf("the requested role is %q, want %q", got, want)
	}
}

func TestOpenErrors(t *testing.T) {
	for uri, cfg := range map[string]Config{
		"/a/path": {}, "s3://": {}, "s3:///key": {}, "https://bucket/key": {},
		"s3://bucket/small-parts": {PartSize: 1 << 20}, "s3://bucket/large-parts": {PartSize: 6 << 30},
	} {
		if _, err := Open(t.Context(), uri, cfg); err == nil {
			t.Errorf("Open(%q, %+v) = nil, want an error", uri, cfg)
		}
	}
}
