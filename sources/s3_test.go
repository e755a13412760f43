package sources

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/bucket"
	"github.com/siglake/siglake/internal/bucket/buckettest"
)

// onStore returns options that read lists from the store.
func onStore(t *testing.T, s *buckettest.Store) Options {
	t.Helper()
	s.Setenv(t)
	return Options{Bucket: func(ctx context.Context, uri string) (*bucket.Bucket, error) {
		return bucket.Open(ctx, uri, bucket.Config{Endpoint: s.URL, Region: s.Region, PathStyle: true, MaxBackoff: time.Millisecond, HTTP: s.Client})
	}}
}

// putObject writes an object, replacing an existing one.
func putObject(t *testing.T, o Options, uri string, data []byte) {
	t.Helper()
	name, key, err := bucket.SplitURI(uri)
	if err != nil {
		t.Fatal(err)
	}
	b, err := o.Bucket(t.Context(), "s3://"+name)
	if err != nil {
		t.Fatal(err)
	}
	there, err := b.Stat(t.Context(), key)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if err := b.Swap(t.Context(), key, there.ETag, data); err != nil {
		t.Fatal(err)
	}
}

// TestMalformedOnS3 reads the malformed lists from a store, over a network that breaks off every
// third answer, and expects the same as TestMalformed.
func TestMalformedOnS3(t *testing.T) {
	store := buckettest.Start(t)
	var answers atomic.Int32
	o := onStore(t, buckettest.StartProxy(t, store, func(r *http.Request) buckettest.Fault {
		if r.Method == http.MethodGet && answers.Add(1)%3 == 0 {
			return buckettest.CutAfter(20)
		}
		return buckettest.Fault{}
	}))
	checkMalformed(t, func(t *testing.T, file string) (string, Options) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		uri := store.URI("awful/" + filepath.Base(file))
		putObject(t, o, uri, data)
		return uri, o
	})
}

// TestManyFiles reads lists of several files from a folder and from a store with the same content:
// both behave alike.
func TestManyFiles(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	fmt.Fprint(z, "Website;CRM Id\nhttps://www.acme.de/;7\n\nnone at all;8\n")
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"lists/b.csv": packed.String(), "lists/a.csv": "domain\nacme.com\nbeta.com\n", "lists/a-1.csv": "gamma.com\ndelta.com\n",
		"lists/2026/01/c.csv": "\xff\xfed\x00o\x00m\x00a\x00i\x00n\x00\n\x00e\x00.\x00c\x00o\x00m\x00\n\x00", "lists/readme.txt": "domain\nf.com\n",
		"lists/empty.csv": "", "lists/_SUCCESS": "1", "lists/.hidden.csv": "domain\nhidden.com\n", "lists/_tmp/d.csv": "domain\nhidden.com\n",
		"other[1].csv": "domain\ng.com\n", "people/p.csv": "first name,last name,company\nAda,Lovelace,Acme\n",
	}
	dir := t.TempDir()
	store := buckettest.Start(t)
	remote := onStore(t, store)
	for name, text := range files {
		if err := os.MkdirAll(filepath.Join(dir, path.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		putObject(t, remote, store.URI(name), []byte(text))
	}
	a, a1 := []string{"lists/a.csv:2 acme.com", "lists/a.csv:3 beta.com"}, []string{"lists/a-1.csv:1 gamma.com", "lists/a-1.csv:2 delta.com"}
	b := []string{"lists/b.csv:2 acme.de", "lists/b.csv:4 rejected"}
	c, readme := []string{"lists/2026/01/c.csv:2 e.com"}, []string{"lists/readme.txt:2 f.com"}
	otherwise := "lists/b.csv: read differently from the first file: company · domain = Website · key = CRM Id · utf-8"
	for _, test := range []struct {
		name  string
		want  []string
		notes []string // notes about single files
	}{
		{"lists/a.csv", a, nil},
		{"lists/*.csv", slices.Concat(a1, a, b), []string{"lists/a.csv: read differently from the first file: company · domain = domain · utf-8", otherwise}},
		{"lists/?.csv", slices.Concat(a, b), []string{otherwise}},
		{"lists/[ab]*.csv", slices.Concat(a1, a, b), nil},
		{"lists/", slices.Concat(c, a1, a, b, readme), nil},
		{"lists/**", slices.Concat(c, a1, a, b, readme), nil},
		{"**/*.csv", slices.Concat(c, a1, a, b, []string{"other[1].csv:2 g.com", "people/p.csv:2 Ada Lovelace"}), nil},
		{"lists/**/c.csv", c, nil},
		{"**/a.csv", a, nil},
		{"*/2026/*/*", c, nil},
		{"lists/_tmp/*.csv", []string{"lists/_tmp/d.csv:2 hidden.com"}, nil},
		{"lists/.*.csv", []string{"lists/.hidden.csv:2 hidden.com"}, nil},
		{"other[1].csv", []string{"other[1].csv:2 g.com"}, nil},
		{"lists/*.xlsx", []string{"error: no files, or only empty ones, were found"}, nil},
		{"none/", []string{"error: "}, nil},
		{"none.csv", []string{"error: no such "}, nil},
		{"lists/[", []string{"error: "}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			var prints []string
			for root, o := range map[string]Options{dir + "/": {}, store.URI(""): remote, "file://" + dir + "/": {}} {
				if strings.HasPrefix(root, "file:") && strings.ContainsAny(test.name, "[?") {
					continue // these have another meaning there
				}
				got, in := readList(t, root+test.name, o, root)
				if len(got) == 1 && strings.HasPrefix(got[0], "error: ") && strings.HasPrefix(got[0], test.want[0]) {
					continue
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("accounts of %s%s (-want +got):\n%s", root, test.name, diff)
				}
				for _, note := range test.notes {
					if !slices.Contains(in.Notes, root+note) {
						t.Errorf("notes of %s%s = %q, want %q", root, test.name, in.Notes, root+note)
					}
				}
				found, err := Find(t.Context(), root+test.name, o)
				if err != nil {
					t.Fatal(err)
				}
				if print := Fingerprint(found); print != in.SHA256 || print == "" || slices.Contains(prints, print) && len(found) > 1 {
					t.Errorf("Fingerprint(Find(%s%s)) = %s, want %s, that of Input()", root, test.name, print, in.SHA256)
				}
				prints = append(prints, in.SHA256)
				o.Objects = found
				if again, _ := readList(t, root+test.name, o, root); !cmp.Equal(got, again) {
					t.Errorf("accounts of the files that Find found = %q, want %q", again, got)
				}
			}
		})
	}
}

// readList reads a list and formats each account with its place, relative to root.
func readList(t *testing.T, uri string, o Options, root string) (rows []string, in Input) {
	t.Helper()
	l, err := Open(t.Context(), uri, o)
	if err != nil {
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("Open(%s) = %v, want an *Error", uri, err)
		}
		return []string{"error: " + strings.TrimPrefix(err.Error(), e.File+": ")}, in
	}
	defer l.Close()
	for a, err := range l.Accounts(t.Context()) {
		switch {
		case err != nil:
			rows = append(rows, "error: "+err.Error())
			continue
		case a.Reject != nil:
			a.Domain = "rejected"
		}
		file, _ := url.PathUnescape(strings.TrimPrefix(a.File, root)) // of a file:// URI
		rows = append(rows, fmt.Sprintf("%s:%d %s", file, a.Line, a.Domain+a.Name))
		if a.Row != int64(len(rows)) {
			t.Errorf("account %s has Row %d, want %d", rows[len(rows)-1], a.Row, len(rows))
		}
	}
	in = l.Input()
	if in.Records != int64(len(rows)) || in.URI != uri {
		t.Errorf("Input() has %d records of %s, want %d of %s", in.Records, in.URI, len(rows), uri)
	}
	var size int64
	for _, object := range in.Objects {
		size += object.Size
	}
	if in.Objects != nil && size != in.Bytes {
		t.Errorf("Input() has %d bytes, want %d", in.Bytes, size)
	}
	return rows, in
}

// bigList makes a list of n lines of a known length: 1.5 MB for 50,000.
func bigList(n int) []byte {
	list := bytes.NewBufferString("domain,note\n")
	for i := range n {
		fmt.Fprintf(list, "company-%06d.example.com,x\n", i)
	}
	return list.Bytes()
}

// TestRanges reads an object of several ranges, over networks that break off.
func TestRanges(t *testing.T) {
	store := buckettest.Start(t)
	data := bigList(50_000)
	putObject(t, onStore(t, store), store.URI("big.csv"), data)
	for name, c := range map[string]struct {
		decide   func(n int32) buckettest.Fault // fault of the n-th GET
		want     int
		problem  string
		requests int32 // maximum
	}{
		"whole": {func(int32) buckettest.Fault { return buckettest.Fault{} }, 50_000, "", 4},
		"cut": {func(n int32) buckettest.Fault {
			return map[bool]buckettest.Fault{true: buckettest.CutAfter(100_000)}[n%2 == 1]
		}, 50_000, "", 8},
		"refused": {func(n int32) buckettest.Fault { return map[bool]buckettest.Fault{true: buckettest.SlowDown}[n%2 == 1] }, 50_000, "", 8},
		"cut always": {func(n int32) buckettest.Fault {
			return map[bool]buckettest.Fault{true: buckettest.CutAfter(1000)}[n > 1]
		}, 9_000, "broke off 6 times", 8},
		"forbidden": {func(n int32) buckettest.Fault { return map[bool]buckettest.Fault{true: buckettest.Denied}[n > 1] }, 9_000, "access denied", 2},
	} {
		t.Run(name, func(t *testing.T) {
			var requests atomic.Int32
			front := buckettest.StartProxy(t, store, func(r *http.Request) buckettest.Fault {
				if r.Method != http.MethodGet {
					return buckettest.Fault{}
				}
				return c.decide(requests.Add(1))
			})
			l, err := Open(t.Context(), store.URI("big.csv"), onStore(t, front))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			var problem string
			count := 0
			for a, err := range l.Accounts(t.Context()) {
				if err != nil {
					problem = err.Error()
					continue
				}
				if count++; a.Line != int64(count+1) {
					t.Fatalf("account %d is on line %d", count, a.Line)
				}
			}
			if count < c.want || problem == "" && count != c.want || !strings.Contains(problem, c.problem) || c.problem == "" && problem != "" {
				t.Errorf("read %d accounts, then %q; want %d, then %q", count, problem, c.want, c.problem)
			}
			if requests.Load() > c.requests {
				t.Errorf("made %d requests, want at most %d", requests.Load(), c.requests)
			}
		})
	}
}

// TestReplaced changes objects between Open, or the first range, and the rest.
func TestReplaced(t *testing.T) {
	store := buckettest.Start(t)
	o := onStore(t, store)
	big := bigList(20_000)
	for name, change := range map[string]func(uri string){
		"replaced": func(uri string) { putObject(t, o, uri, append(big, "one.more.example.com\n"...)) },
		"deleted": func(uri string) {
			b, err := o.Bucket(t.Context(), store.URI(""))
			if err != nil {
				t.Fatal(err)
			}
			_, key, _ := strings.Cut(strings.TrimPrefix(uri, "s3://"), "/")
			if err := b.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, file := range []string{"1.csv", "2.csv"} { // the file being read, the next file
				putObject(t, o, store.URI(name+"/1.csv"), big)
				putObject(t, o, store.URI(name+"/2.csv"), big)
				l, err := Open(t.Context(), store.URI(name+"/"), o)
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				changed := store.URI(name + "/" + file)
				change(changed)
				var last error
				for _, err := range l.Accounts(t.Context()) {
					last = err
				}
				want := map[string]string{"replaced": "was replaced by another version", "deleted": "no such object"}[name]
				var e *Error
				if !errors.As(last, &e) || e.File != changed || !strings.Contains(e.Problem, want) {
					t.Errorf("after %s is %s: Accounts() ends with %v, want an error about it that contains %q", file, name, last, want)
				}
			}
		})
	}
}

// TestEveryFileIsLookedAt opens a list with an unreadable last file: Open must fail, before
// anything is requested.
func TestEveryFileIsLookedAt(t *testing.T) {
	store := buckettest.Start(t)
	o := onStore(t, store)
	putObject(t, o, store.URI("lists/1.csv"), []byte("domain\nacme.com\n"))
	putObject(t, o, store.URI("lists/2.csv"), []byte("acme.com\nAcme Inc\n"))
	_, err := Open(t.Context(), store.URI("lists/*.csv"), o)
	if want := store.URI("lists/2.csv") + ":1: no header, and the lines hold different kinds"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("Open() = %v, want %s", err, want)
	}
}

func TestOnS3Errors(t *testing.T) {
	store := buckettest.Start(t)
	o := onStore(t, store)
	putObject(t, o, store.URI("lists/1.csv"), []byte("domain\nacme.com\n"))
	stranger := *store
	stranger.SecretKey += "x"
	for name, c := range map[string]struct {
		uri  string
		o    func() Options
		want string
	}{
		"no such object":       {store.URI("none.csv"), func() Options { return o }, "no such object; fix: check bucket and key"},
		"a folder without /":   {store.URI("lists"), func() Options { return o }, "append a /"},
		"no such bucket":       {"s3://none-such/lists/", func() Options { return o }, "NoSuchBucket"},
		"no bucket":            {"s3://", func() Options { return o }, "not an S3 URI"},
		"a bucket without key": {"s3:///lists/", func() Options { return o }, "not an S3 URI"},
		"not allowed":          {store.URI("lists/1.csv"), func() Options { return onStore(t, &stranger) }, "access denied"},
		"not allowed to list":  {store.URI("lists/*"), func() Options { return onStore(t, &stranger) }, "access denied"},
		"not configured": {store.URI("lists/1.csv"), func() Options {
			return Options{Bucket: func(context.Context, string) (*bucket.Bucket, error) { return nil, errors.New("no such profile") }}
		}, "no such profile"},
	} {
		t.Run(name, func(t *testing.T) {
			onStore(t, store)
			_, err := Open(t.Context(), c.uri, c.o())
			var e *Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Open(%s) = %v, want an *Error that contains %q", c.uri, err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), store.SecretKey) {
				t.Errorf("error %q contains a secret", err)
			}
		})
	}
}

// TestCancelledOnS3 cancels a reader that waits for a range.
func TestCancelledOnS3(t *testing.T) {
	store := buckettest.Start(t)
	putObject(t, onStore(t, store), store.URI("big.csv"), bigList(20_000))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var gets atomic.Int32
	front := buckettest.StartProxy(t, store, func(r *http.Request) buckettest.Fault {
		if r.Method == http.MethodGet && gets.Add(1) == 2 {
			cancel()
			return buckettest.Fault{Delay: time.Minute}
		}
		return buckettest.Fault{}
	})
	l, err := Open(t.Context(), store.URI("big.csv"), onStore(t, front))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var last error
	for _, err := range l.Accounts(ctx) {
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("Accounts(cancelled) ends with %v, want context.Canceled", last)
	}
	if in := l.Input(); in.SHA256 != "" {
		t.Errorf("Input() of a partly read list has SHA256 %s, want none", in.SHA256)
	}
}

func TestPattern(t *testing.T) {
	for text, names := range map[string]map[string]bool{
		"a/*.csv":    {"x.csv": true, "x.txt": false, "b/x.csv": false, ".x.csv": false},
		"a/**":       {"x": true, "b/x": true, "b/_x": false, ".b/x": false, "b/": false},
		"a/**/x.csv": {"x.csv": true, "b/x.csv": true, "b/c/x.csv": true, "b/xx.csv": false},
		"a/**/b/**":  {"b/x": true, "c/b/x/y": true, "b": false, "x": false},
		"a/[0-9]*/?": {"2026/x": true, "2026/xy": false, "x/x": false},
		`a/\**`:      {"*x": true, "x": false},
	} {
		p, err := parsePattern(text, text)
		if err != nil || p.root != "a" {
			t.Errorf("parsePattern(%q) = %+v, %v, want the root a", text, p, err)
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(names)) {
			if got := p.matchName(name); got != names[name] {
				t.Errorf("%q matches %q = %t, want %t", text, name, got, names[name])
			}
			if names[name] && !strings.HasPrefix(name, p.literalPrefix()) {
				t.Errorf("%q matches %q, which does not begin with %q", text, name, p.literalPrefix())
			}
		}
	}
}
