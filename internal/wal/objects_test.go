package wal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siglake/siglake/internal/bucket/membucket"
	"github.com/siglake/siglake/internal/proof"
)

// noRetryObjects is a store that a test can see fail.
func noRetryObjects(b Bucket) *Objects { return NewObjects(b, "j", ObjectsOptions{Patience: -1}) }

func openObjects(t testing.TB, b Bucket, o Options) *Log {
	t.Helper()
	l, err := Open(t.Context(), noRetryObjects(b), o)
	if err != nil {
		t.Fatalf("open = %v", err)
	}
	return l
}

// readBucket opens what is in the bucket and reads all of it.
func readBucket(b Bucket, o Options) ([]entry, error) {
	l, err := Open(context.Background(), noRetryObjects(b), o)
	if err != nil {
		return nil, err
	}
	all, err := contents(l)
	return all, errors.Join(err, l.Close())
}

func heads(entries []entry) (all []string) {
	for _, e := range entries {
		all = append(all, e.head)
	}
	return all
}

func TestObjectsRoundTrip(t *testing.T) {
	for _, late := range []int{0, 3, 1000} {
		t.Run(fmt.Sprintf("%d not listed yet", late), func(t *testing.T) {
			m := membucket.New()
			m.Unlisted = late
			o := Options{SegmentSize: 4 << 10}
			rng := rand.New(rand.NewPCG(1, 2))
			var want []entry
			for life := range 4 {
				l := openObjects(t, m, o)
				for i := range 40 {
					e := entry{kind: byte(i), head: fmt.Sprint("head ", len(want)), body: string(randomBody(rng, 1500))}
					add := l.Append
					if i%3 == 0 {
						add = l.Write
					}
					var err error
					if e.pos, err = add(e.kind, []byte(e.head), []byte(e.body)); err != nil {
						t.Fatalf("append = %v", err)
					}
					rec, err := l.Read(t.Context(), e.pos)
					if err != nil || string(rec.Body) != e.body {
						t.Fatalf("read(%v) = %d bytes, %v; want %d bytes", e.pos, len(rec.Body), err, len(e.body))
					}
					want = append(want, e)
				}
				got, err := contents(l)
				if err != nil || !slices.Equal(got, want) {
					t.Fatalf("contents = %d records, %v; want %d", len(got), err, len(want))
				}
				if life == 2 { // this one is killed
					if err := l.Flush(); err != nil {
						t.Fatal(err)
					}
					continue
				}
				if err := l.Close(); err != nil {
					t.Fatalf("close = %v", err)
				}
				if _, err := l.Append(0, nil, nil); !errors.Is(err, fs.ErrClosed) {
					t.Fatalf("append after close = %v, want %v", err, fs.ErrClosed)
				}
			}
			if got, err := readBucket(m, o); err != nil || !slices.Equal(got, want) {
				t.Fatalf("reread = %d records, %v; want %d", len(got), err, len(want))
			}
			// Everything is there as a whole now, and that is all that is read.
			var ops []string
			h := m.WithHook(func(op, name string, do func() error) error {
				if op == "create" || op == "get" && strings.HasPrefix(name, "j/parts/") {
					ops = append(ops, op+" "+name)
				}
				return do()
			})
			if got, err := readBucket(h, o); err != nil || !slices.Equal(got, want) || len(ops) > 0 {
				t.Errorf("reread = %d records, %v, with %q; want %d, with no part read and nothing written", len(got), err, ops, len(want))
			}
			// And the parts alone would do.
			for _, name := range m.Names("j/whole/") {
				delete(m.Objects, name)
			}
			if got, err := readBucket(m, o); err != nil || !slices.Equal(got, want) {
				t.Errorf("reread without wholes = %d records, %v; want %d", len(got), err, len(want))
			}
		})
	}
}

// TestObjectsMemory: a journal that does not fit into the memory is read again
// and again, and read right.
func TestObjectsMemory(t *testing.T) {
	m := membucket.New()
	small := ObjectsOptions{Memory: 2500}
	l, err := Open(t.Context(), NewObjects(m, "j", small), Options{SegmentSize: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		if _, err := l.Append(1, fmt.Append(nil, i), make([]byte, 300)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if whole, all := len(m.Names("j/whole/")), len(m.Names("j/segments/")); whole == 0 || whole > all/2 {
		t.Errorf("the writer left %d segments of %d as wholes, want only those that it remembers", whole, all)
	}
	for range 2 { // most of them in parts, and as wholes
		store := NewObjects(m, "j", small)
		l, err := Open(t.Context(), store, Options{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := contents(l)
		if err != nil || len(got) != 60 {
			t.Errorf("contents = %d records, %v; want 60", len(got), err)
		}
		for i, e := range got {
			if e.head != fmt.Sprint(i) || len(e.body) != 300 {
				t.Errorf("record %d is %q with %d bytes, want %d with 300", i, e.head, len(e.body), i)
			}
		}
		sum := 0
		for _, c := range store.cache.segments {
			sum += len(c.data)
		}
		if len(store.cache.segments) > 4 || sum > 2500+1000 {
			t.Errorf("%d segments of %d bytes are kept, of 2500 allowed beside the last", len(store.cache.segments), sum)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if whole, all := len(m.Names("j/whole/")), len(m.Names("j/segments/")); whole != all {
			t.Errorf("%d segments of %d are there as wholes after they were read", whole, all)
		}
	}
}

// TestObjectsDamage misses every object, and changes every byte of every object.
func TestObjectsDamage(t *testing.T) {
	m := membucket.New()
	o := Options{SegmentSize: 400}
	for life := range 3 {
		l := openObjects(t, m, o)
		for range 4 {
			if _, err := l.Append(1, []byte("head"), make([]byte, 100)); err != nil {
				t.Fatal(err)
			}
		}
		if life == 1 {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	kept := m.Snapshot()
	last := slices.Max(m.Names("j/segments/"))[len("j/segments/"):]
	want, err := readBucket(m, o)
	if err != nil || len(want) != 12 {
		t.Fatalf("reread = %d records, %v; want 12", len(want), err)
	}
	hasWhole := func(name string) bool {
		for whole := range kept {
			if segment, ok := strings.CutPrefix(whole, "j/whole/"); ok && strings.Contains(name+"/", "/"+segment+"/") {
				return true
			}
		}
		return false
	}
	end := slices.Max(slices.DeleteFunc(slices.Collect(maps.Keys(kept)), func(name string) bool { return !strings.Contains(name, "/parts/"+last) }))
	for name := range kept {
		m.Restore(kept)
		delete(m.Objects, name)
		got, err := readBucket(m, o)
		switch {
		case strings.Contains(name, "/whole/"), strings.Contains(name, "/parts/") && hasWhole(name):
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("reread without %s = %d records, %v; want %d", name, len(got), err, len(want))
			}
		case name == end, strings.HasPrefix(name, "j/segments/") && strings.HasSuffix(name, last):
			// Nothing tells that there was more.
			if err != nil && !errors.Is(err, ErrCorrupt) {
				t.Errorf("reread without %s = %v", name, err)
			}
		case kept[name].Data[12] == objectSeal:
			// Its successor says the same.
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("reread without the seal %s = %d records, %v; want %d", name, len(got), err, len(want))
			}
		default:
			if !strings.HasPrefix(name, "j/segments/") || !hasWhole(name) {
				if !errors.Is(err, ErrCorrupt) {
					t.Errorf("reread without %s = %d records, %v; want %v", name, len(got), err, ErrCorrupt)
				}
			}
		}
		for at := range kept[name].Data {
			m.Restore(kept)
			changed := kept[name]
			changed.Data = bytes.Clone(changed.Data)
			changed.Data[at] ^= 1 << (at % 8)
			m.Objects[name] = changed
			got, err := readBucket(m, o)
			if !errors.Is(err, ErrCorrupt) && !(err == nil && slices.Equal(got, want)) {
				t.Errorf("reread with byte %d of %s changed = %d records, %v; want %v", at, name, len(got), err, ErrCorrupt)
			}
			if err == nil && (strings.Contains(name, "/whole/") || !hasWhole(name)) {
				t.Errorf("byte %d of %s changed, and nobody noticed", at, name)
			}
		}
	}
	// An object in the place of another one.
	m.Restore(kept)
	parts := slices.DeleteFunc(m.Names("j/parts/"), hasWhole)
	m.Objects[parts[0]] = kept[parts[1]]
	if got, err := readBucket(m, o); !errors.Is(err, ErrCorrupt) {
		t.Errorf("reread with %s in the place of %s = %d records, %v; want %v", parts[1], parts[0], len(got), err, ErrCorrupt)
	}
}

// TestObjectsOneWriter: two writers, and neither a lock nor a pause helps the
// one that was shut out.
func TestObjectsOneWriter(t *testing.T) {
	m := membucket.New()
	a, b := openObjects(t, m, Options{}), openObjects(t, m, Options{})
	if _, err := a.Append(0, []byte("a"), nil); err != nil {
		t.Fatal(err)
	}
	wantFenced := func(call string, err error) {
		t.Helper()
		if !errors.Is(err, ErrFenced) || !errors.Is(err, ErrBroken) || !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s = %v, want %v, %v and %v", call, err, ErrBroken, ErrFenced, fs.ErrExist)
		}
	}
	_, err := b.Append(0, []byte("b"), nil)
	wantFenced("append by one that came second", err)
	c := openObjects(t, m, Options{})
	_, err = a.Append(0, []byte("a2"), nil)
	wantFenced("append by one that was taken over", err)
	if _, err := c.Append(0, []byte("c"), nil); err != nil {
		t.Fatal(err)
	}
	// Nor can it begin another segment, or end its own as if nothing was.
	d := openObjects(t, m, Options{SegmentSize: 200})
	if _, err := d.Append(0, make([]byte, 100), nil); err != nil {
		t.Fatal(err)
	}
	e := openObjects(t, m, Options{})
	_, err = d.Append(0, make([]byte, 100), nil)
	wantFenced("append that begins a segment by one that was taken over", err)
	f := openObjects(t, m, Options{})
	if _, err := e.Append(0, []byte("e"), nil); err != nil {
		t.Fatal(err)
	}
	g := openObjects(t, m, Options{})
	if err := e.Close(); !errors.Is(err, ErrFenced) {
		t.Errorf("close by one that was taken over = %v, want %v", err, ErrFenced)
	}
	_, err = f.Append(0, []byte("f"), nil)
	wantFenced("append by one that was idle", err)
	if _, err := g.Append(0, []byte("g"), nil); err != nil {
		t.Fatal(err)
	}
	got, err := readBucket(m, Options{})
	if want := []string{"a", "c", string(make([]byte, 100)), "e", "g"}; err != nil || !slices.Equal(heads(got), want) {
		t.Errorf("reread = %q, %v; want %q", heads(got), err, want)
	}
}

// TestObjectsAppendDuringTakeover: the old process appends while the new one reads.
func TestObjectsAppendDuringTakeover(t *testing.T) {
	m := membucket.New()
	old := openObjects(t, m, Options{})
	if _, err := old.Append(0, []byte("before"), nil); err != nil {
		t.Fatal(err)
	}
	left := 3
	l := openObjects(t, m.WithHook(func(op, name string, do func() error) error {
		if op == "create" && left > 0 { // the seal
			left--
			if _, err := old.Append(0, fmt.Append(nil, "late ", left), nil); err != nil {
				t.Errorf("append before the seal = %v", err)
			}
		}
		return do()
	}), Options{})
	if _, err := old.Append(0, []byte("too late"), nil); !errors.Is(err, ErrFenced) {
		t.Errorf("append after the seal = %v, want %v", err, ErrFenced)
	}
	got, err := contents(l)
	if want := []string{"before", "late 2", "late 1", "late 0"}; err != nil || !slices.Equal(heads(got), want) {
		t.Errorf("contents = %q, %v; want %q", heads(got), err, want)
	}
}

// objectFaults are the ways in which one request fails, the second kind after it
// was done.
var objectFaults = []struct {
	name string
	fail func(op string, do func() error) error
}{
	{"not done", func(string, func() error) error { return membucket.ErrNet }},
	{"done but failed", func(_ string, do func() error) error { return errors.Join(do(), membucket.ErrNet) }},
	{"done but refused", func(op string, do func() error) error {
		if op != "create" {
			return membucket.ErrNet
		}
		if err := do(); err != nil {
			return err
		}
		return fs.ErrExist // the client repeated the request itself
	}},
}

// TestObjectsFaults fails every single request of a small history in every way,
// once, and for good from there on.
func TestObjectsFaults(t *testing.T) {
	t.Parallel()
	step := proof.Size(4, 1, 1)
	for i, f := range objectFaults {
		for _, lasting := range []bool{false, true} {
			for _, naive := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, lasting %v, naive %v", f.name, lasting, naive), func(t *testing.T) {
					n := 1 + i%step
					for ; objectFaultAt(t, n, lasting, naive, f.fail); n += step {
					}
					t.Logf("%d requests", n-1)
				})
			}
		}
	}
}

// objectFaultAt lets request n fail, and those of the same process behind it if
// it lasts; false when there were fewer.
func objectFaultAt(t *testing.T, n int, lasting, naive bool, fail func(op string, do func() error) error) bool {
	t.Helper()
	m := membucket.New()
	m.RefusesRepeats = naive
	ops, failed := 0, ""
	var acked []string
	o := Options{SegmentSize: 600}
	var mu sync.Mutex
	life := func(who string, killed bool) {
		down := false
		h := m.WithHook(func(op, name string, do func() error) error {
			mu.Lock()
			ops++
			hit := ops == n
			if hit {
				failed = op + " " + name
				down = lasting
			}
			doomed := hit || down
			mu.Unlock()
			if doomed {
				return fail(op, do)
			}
			return do()
		})
		l, err := Open(t.Context(), noRetryObjects(h), o)
		if err != nil {
			if errors.Is(err, ErrCorrupt) || failed == "" {
				t.Fatalf("request %d, %s: open = %v", n, failed, err)
			}
			return
		}
		broken := false
		for i := range 6 {
			head := fmt.Sprint(who, " ", i)
			_, err := l.Append(1, []byte(head), make([]byte, 150))
			switch {
			case err == nil && broken:
				t.Fatalf("request %d, %s: append after a failure = nil", n, failed)
			case err == nil:
				acked = append(acked, head)
			case !errors.Is(err, ErrBroken) || failed == "":
				t.Fatalf("request %d, %s: append = %v", n, failed, err)
			default:
				broken = true
			}
		}
		if killed {
			return
		}
		if err := l.Close(); err == nil && broken {
			t.Fatalf("request %d, %s: close after a failure = nil", n, failed)
		}
	}
	life("first", true) // so the second one has to seal what it left
	life("second", false)
	life("third", false)
	var before []string
	for range 2 {
		got, err := readBucket(m, o)
		if err != nil {
			t.Fatalf("request %d, %s: reread = %v", n, failed, err)
		}
		all := heads(got)
		if before != nil && !slices.Equal(before, all) {
			t.Fatalf("request %d, %s: reread = %q, and %q before", n, failed, all, before)
		}
		before = all
		at := 0
		for _, head := range all {
			if at < len(acked) && head == acked[at] {
				at++
			}
		}
		if at < len(acked) {
			t.Fatalf("request %d, %s: %q is missing in %q", n, failed, acked[at], all)
		}
	}
	if once := slices.Compact(slices.Sorted(slices.Values(before))); len(once) != len(before) {
		t.Fatalf("request %d, %s: in %q something is there twice", n, failed, before)
	}
	return failed != ""
}

// TestObjectsPatience: an append waits for a network that comes back.
func TestObjectsPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := membucket.New()
		var down time.Time
		var outage time.Duration
		trouble := membucket.ErrNet
		requests := 0
		after := false // requests are done, and their answers lost
		m.Hook = func(op, _ string, do func() error) error {
			if op == "create" && time.Now().Before(down.Add(outage)) {
				requests++
				if after {
					return errors.Join(do(), trouble)
				}
				return trouble
			}
			return do()
		}
		// At first, a refusal is one for good.
		down, outage, trouble = time.Now(), time.Hour, fs.ErrPermission
		l, err := Open(t.Context(), NewObjects(m, "j", ObjectsOptions{}), Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = l.Append(1, nil, nil)
		elapsed := time.Since(down)
		if !errors.Is(err, ErrBroken) || !errors.Is(err, fs.ErrPermission) || elapsed != 0 {
			t.Errorf("append without permission = %v after %s, want %v at once", err, elapsed, fs.ErrPermission)
		}
		outage = 0
		l, err = Open(t.Context(), NewObjects(m, "j", ObjectsOptions{}), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Append(1, []byte("first"), nil); err != nil {
			t.Fatal(err)
		}
		for i, lost := range []bool{false, true, false} {
			down, outage, after, requests, trouble = time.Now(), 90*time.Second, lost, 0, membucket.ErrNet
			if i == 2 {
				trouble = fs.ErrPermission // a token has run out
			}
			_, err := l.Append(1, fmt.Append(nil, i), nil)
			if err != nil || requests < 4 || requests > 20 {
				t.Errorf("append in an outage of %s = %v after %d failures", outage, err, requests)
			}
		}
		down, outage, after, trouble = time.Now(), time.Hour, false, membucket.ErrNet
		_, err = l.Append(1, nil, nil)
		elapsed = time.Since(down)
		if !errors.Is(err, ErrBroken) || !errors.Is(err, membucket.ErrNet) || elapsed > 2*time.Minute {
			t.Errorf("append in an outage of %s = %v after %s, want %v within 2m", outage, err, elapsed, ErrBroken)
		}
		outage = 0
		if got, err := readBucket(m, Options{}); err != nil || !slices.Equal(heads(got), []string{"first", "0", "1", "2"}) {
			t.Errorf("reread = %q, %v; want first, 0, 1 and 2", heads(got), err)
		}
	})
}

func TestObjectsConcurrency(t *testing.T) {
	const writers, each = 32, 30
	m := membucket.New()
	o := Options{SegmentSize: 64 << 10}
	l := openObjects(t, m, o)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				head := binary.LittleEndian.AppendUint32([]byte{byte(w)}, uint32(i))
				body := bytes.Repeat([]byte{byte(w)}, i*10)
				p, err := l.Append(9, head, body)
				if err != nil {
					t.Errorf("append = %v", err)
					return
				}
				if i%5 != 0 {
					continue
				}
				if rec, err := l.Read(context.Background(), p); err != nil || !bytes.Equal(rec.Head, head) || !bytes.Equal(rec.Body, body) {
					t.Errorf("read(%v) = %v, %v; want %v", p, rec.Head, err, head)
				}
			}
		})
	}
	wg.Go(func() { // another process reads along
		for range 20 {
			if _, err := peek(noRetryObjects(m)); err != nil {
				t.Errorf("reading along = %v", err)
			}
		}
	})
	wg.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := readBucket(m, o)
	if err != nil || len(got) != writers*each {
		t.Fatalf("reread = %d records, %v; want %d", len(got), err, writers*each)
	}
	var next [writers]uint32
	for i, e := range got {
		w, n := e.head[0], binary.LittleEndian.Uint32([]byte(e.head[1:]))
		if next[w] != n {
			t.Fatalf("record %d is number %d of writer %d, want %d", i, n, w, next[w])
		}
		next[w]++
	}
	parts := len(m.Names("j/parts/"))
	t.Logf("%d appends, %d objects", writers*each, parts)
	if parts >= writers*each {
		t.Errorf("%d objects for %d appends", parts, writers*each)
	}
}

// peek reads the heads of a journal without taking it over.
func peek(store Store) (all []string, err error) {
	names, err := store.Segments(context.Background())
	if err != nil {
		return nil, err
	}
	for i, name := range names {
		if name != segmentName(i+1) {
			return nil, fmt.Errorf("segment %s is number %d", name, i+1)
		}
		r, err := store.Open(context.Background(), name)
		if err != nil {
			return nil, err
		}
		b := make([]byte, segmentHeaderSize)
		if err := readFull(r, b, 0); err != nil {
			return nil, err
		}
		h, _ := decodeHeader(b)
		scan := scanner{src: r, id: h.id, end: r.Size()}
		for off := int64(segmentHeaderSize); off < r.Size(); {
			f, whole, err := scan.readFrame(off, true)
			if err == nil && !whole {
				err = corruptError(name, off, "the record here is damaged")
			}
			if err != nil {
				return nil, err
			}
			all = append(all, string(scan.head))
			off += f.size()
		}
	}
	return all, nil
}

// TestObjectsManyParts opens a segment of 5,000 parts over a network on which
// every request takes 20 ms.
func TestObjectsManyParts(t *testing.T) {
	const parts, latency = 5000, 20 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		m := membucket.New()
		l := openObjects(t, m, Options{})
		for i := range parts {
			if _, err := l.Append(1, fmt.Append(nil, i), make([]byte, 100)); err != nil {
				t.Fatal(err)
			}
		}
		var mu sync.Mutex
		var requests int
		open := func() (*Log, int, time.Duration) {
			t.Helper()
			requests = 0
			begun := time.Now()
			l := openObjects(t, m.WithHook(func(op, name string, do func() error) error {
				pages := 1
				if op == "list" { // as many as S3 makes of it, one after another
					pages += len(m.Names(name)) / 1000
				}
				mu.Lock()
				requests += pages
				mu.Unlock()
				<-time.After(time.Duration(pages) * latency)
				return do()
			}), Options{})
			return l, requests, time.Since(begun)
		}
		l, n, took := open()
		t.Logf("in parts: %d requests, %s, %d trips one after another", n, took, took/latency)
		if took > 200*latency {
			t.Errorf("opening %d parts took %d trips one after another, want at most 200", parts, took/latency)
		}
		got, err := contents(l)
		if err != nil || len(got) != parts {
			t.Errorf("contents = %d records, %v; want %d", len(got), err, parts)
		}
		m.Unlisted = 2000
		delete(m.Objects, m.Names("whole")[0])
		_, n, took = open()
		t.Logf("in parts, the last of which are not listed yet: %d requests, %s, %d trips one after another", n, took, took/latency)
		m.Unlisted = 0
		_, n, took = open()
		t.Logf("as a whole: %d requests, %s, %d trips one after another", n, took, took/latency)
		if n > 6 {
			t.Errorf("opening a whole took %d requests, want at most 6", n)
		}
	})
}
