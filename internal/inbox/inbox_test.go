package inbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/bucket/membucket"
	"github.com/siglake/siglake/internal/durable/durabletest"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/wal"
)

// start is when the tests begin.
var start = time.Date(2026, 12, 1, 3, 4, 5, 678_901_000, time.UTC)

// clock is a clock that stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// place is a lake to test with.
type place struct {
	lake  string
	clock *clock
	o     Options
}

// places are a lake in a directory and one in a bucket.
func places(t *testing.T) map[string]*place {
	t.Helper()
	found := map[string]*place{}
	for _, name := range []string{"directory", "bucket"} {
		c := &clock{now: start}
		p := &place{lake: t.TempDir(), clock: c, o: Options{Now: c.Now}}
		if name == "bucket" {
			p.o.Bucket = membucket.New().WithHook(nil)
		}
		found[name] = p
	}
	return found
}

func (p *place) open(t *testing.T) *Inbox {
	t.Helper()
	i, err := Open(t.Context(), p.lake, p.o)
	if err != nil {
		t.Fatalf("Open() = %v", err)
	}
	return i
}

func (p *place) append(t *testing.T, i *Inbox, id string, want bool) Delivery {
	t.Helper()
	d := Delivery{ID: id, Kind: Event, Received: p.clock.Now(), Stamp: "1775117730", Body: []byte(`{"id":"` + id + `"}`)}
	fresh, err := i.Append(t.Context(), &d)
	if err != nil || fresh != want {
		t.Fatalf("Append(%s) = %t, %v, want %t", id, fresh, err, want)
	}
	return d
}

func (p *place) reader(t *testing.T) *Reader {
	t.Helper()
	r, err := OpenReader(t.Context(), p.lake, p.o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func read(t *testing.T, r *Reader, from, to Position) (all []Delivery) {
	t.Helper()
	for d, err := range r.Deliveries(t.Context(), from, to) {
		if err != nil {
			t.Fatalf("Deliveries(%q, %q): %v", from, to, err)
		}
		all = append(all, d)
	}
	return all
}

func endOf(t *testing.T, r *Reader) Position {
	t.Helper()
	end, err := r.End(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return end
}

func closeInbox(t *testing.T, i *Inbox) {
	t.Helper()
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRoundTrip: what was appended is read by another process while the writer is open, part by part,
// and by one that opens it later. Nothing differs from what was received.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for name, p := range places(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if end := endOf(t, p.reader(t)); end != "" {
				t.Errorf("End() without an inbox = %q, want none", end)
			}
			i := p.open(t)
			r := p.reader(t)
			var want []Delivery
			ends := []Position{""}
			for n, kind := range []Kind{Event, OptOut, Test, Unreadable} {
				d := Delivery{ID: fmt.Sprint("id-", n), Kind: kind, Received: start.Add(time.Duration(n) * time.Microsecond), Stamp: strings.Repeat("1", n*100), Body: []byte(strings.Repeat("\x00é", n*500))}
				if fresh, err := i.Append(t.Context(), &d); !fresh || err != nil {
					t.Fatalf("Append() = %t, %v", fresh, err)
				}
				want, ends = append(want, d), append(ends, endOf(t, r))
				if !ends[n].Before(ends[n+1]) || i.End() != ends[n+1] {
					t.Errorf("positions %q, then %q, want the second one to be behind, and that of the writer, %q", ends[n], ends[n+1], i.End())
				}
			}
			for n, d := range want {
				if diff := cmp.Diff([]Delivery{d}, read(t, r, ends[n], ends[n+1])); diff != "" {
					t.Errorf("delivery %d differs (-want +got):\n%s", n, diff)
				}
			}
			closeInbox(t, i)
			if got := endOf(t, r); got != ends[4] {
				t.Errorf("End() after Close = %q, want %q", got, ends[4])
			}
			if diff := cmp.Diff(want, read(t, p.reader(t), "", ends[4])); diff != "" {
				t.Errorf("after Close (-want +got):\n%s", diff)
			}
		})
	}
}

// TestKnownIDs: a copy is acknowledged and not appended for a day, also by the next process; after a day
// it is a delivery again.
func TestKnownIDs(t *testing.T) {
	t.Parallel()
	for name, p := range places(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p.o.SegmentSize = 200 // so that ids lie in several segments
			i := p.open(t)
			p.append(t, i, "a", true)
			p.append(t, i, "a", false)
			p.clock.advance(12 * time.Hour)
			for n := range 10 {
				p.append(t, i, fmt.Sprint("b", n), true)
			}
			closeInbox(t, i)
			i = p.open(t)
			if got := i.Len(); got != 11 {
				t.Errorf("Len() when opened again = %d, want 11", got)
			}
			p.append(t, i, "a", false)
			p.clock.advance(12 * time.Hour)
			p.append(t, i, "b3", false)
			p.append(t, i, "a", true)
			closeInbox(t, i)
			i = p.open(t)
			if got := i.Len(); got != 11 {
				t.Errorf("Len() a day later = %d, want 11: the first id is too old, and was received again", got)
			}
			closeInbox(t, i)
			r := p.reader(t)
			if got := len(read(t, r, "", endOf(t, r))); got != 12 {
				t.Errorf("%d deliveries in the inbox, want 12", got)
			}
		})
	}
}

// TestConcurrentCopies: of copies that arrive at once one is appended, and none is acknowledged before it
// is durable.
func TestConcurrentCopies(t *testing.T) {
	t.Parallel()
	for name, p := range places(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := p.open(t)
			var mu sync.Mutex
			fresh := 0
			var wg sync.WaitGroup
			for n := range 60 {
				wg.Go(func() {
					d := Delivery{ID: fmt.Sprint(n % 6), Kind: Event, Received: start}
					added, err := i.Append(context.Background(), &d)
					if err != nil {
						t.Errorf("Append() = %v", err)
					}
					mu.Lock()
					defer mu.Unlock()
					if added {
						fresh++
					}
				})
			}
			wg.Wait()
			r := p.reader(t)
			if got := len(read(t, r, "", endOf(t, r))); fresh != 6 || got != 6 {
				t.Errorf("%d deliveries are new and %d in the inbox, want 6 and 6", fresh, got)
			}
			closeInbox(t, i)
		})
	}
}

// TestOneWriter: a second process that would receive for the lake says who does; a reader is not disturbed.
func TestOneWriter(t *testing.T) {
	t.Parallel()
	for name, p := range places(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := p.open(t)
			p.append(t, i, "a", true)
			if second, err := Open(t.Context(), p.lake, p.o); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
				t.Errorf("a second Open() = %v, %v, want %v, with the process", second, err, ErrLocked)
			}
			p.append(t, i, "b", true)
			closeInbox(t, i)
			closeInbox(t, p.open(t))
		})
	}
}

// TestReaderSeesDurable: a record that was written and not synced is not there for a reader of another
// process, and is when the sync has ended.
func TestReaderSeesDurable(t *testing.T) {
	t.Parallel()
	c := &clock{now: start}
	syncing, proceed := make(chan struct{}), make(chan struct{})
	hold := false
	p := &place{lake: t.TempDir(), clock: c, o: Options{Now: c.Now}}
	reading := p.o
	p.o.Hook = func(op, _ string, do func() error) error {
		if op == "sync" && hold {
			close(syncing)
			<-proceed
			hold = false
		}
		return do()
	}
	i := p.open(t)
	p.append(t, i, "a", true)
	r, err := OpenReader(t.Context(), p.lake, reading)
	if err != nil {
		t.Fatal(err)
	}
	before := endOf(t, r)
	hold = true
	done := make(chan error)
	go func() { // ends when the sync is let through
		_, err := i.Append(context.Background(), &Delivery{ID: "b", Kind: Event, Received: start})
		done <- err
	}()
	select {
	case <-syncing:
	case err := <-done:
		t.Fatalf("Append() without a sync = %v", err)
	}
	if got := endOf(t, r); got != before {
		t.Errorf("End() during the sync = %q, want %q: the record can still be lost", got, before)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if fresh, err := i.Append(cancelled, &Delivery{ID: "b", Kind: Event, Received: start}); fresh || !errors.Is(err, context.Canceled) {
		t.Errorf("Append() of a copy during the sync = %t, %v, want that it waits", fresh, err)
	}
	close(proceed)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := endOf(t, r); !before.Before(got) {
		t.Errorf("End() after the sync = %q, want one behind %q", got, before)
	}
	closeInbox(t, i)
}

// TestBusy: when too many deliveries wait, the next one is refused at once; a caller that does not wait
// any longer leaves its delivery to become durable.
func TestBusy(t *testing.T) {
	t.Parallel()
	c := &clock{now: start}
	syncing, proceed := make(chan struct{}), make(chan struct{})
	hold := false
	var once sync.Once
	p := &place{lake: t.TempDir(), clock: c, o: Options{Now: c.Now, MaxWaiting: 3}}
	p.o.Hook = func(op, _ string, do func() error) error {
		if op == "sync" && hold {
			once.Do(func() { close(syncing) })
			<-proceed
		}
		return do()
	}
	i := p.open(t)
	p.append(t, i, "a", true)
	hold = true
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, id := range []string{"b", "c", "d"} {
		wg.Go(func() {
			if fresh, err := i.Append(ctx, &Delivery{ID: id, Kind: Event, Received: start}); fresh || !errors.Is(err, context.Canceled) {
				t.Errorf("Append(%s) that is cancelled = %t, %v", id, fresh, err)
			}
		})
	}
	<-syncing
	for i.Waiting() < 3 {
		runtime.Gosched()
	}
	if fresh, err := i.Append(t.Context(), &Delivery{ID: "e", Kind: Event, Received: start}); fresh || !errors.Is(err, ErrBusy) {
		t.Errorf("Append() while three wait = %t, %v, want %v", fresh, err, ErrBusy)
	}
	cancel()
	wg.Wait()
	close(proceed)
	for i.Waiting() > 0 {
		runtime.Gosched()
	}
	p.append(t, i, "e", true)
	for _, id := range []string{"b", "c", "d"} {
		p.append(t, i, id, false)
	}
	closeInbox(t, i)
}

// TestBrokenInbox: after a failed sync nothing is acknowledged, and the next process has what was.
func TestBrokenInbox(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"sync", "write"} {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			c := &clock{now: start}
			p := &place{lake: t.TempDir(), clock: c, o: Options{Now: c.Now}}
			whole := p.o
			fail := false
			p.o.Hook = func(o, _ string, do func() error) error {
				if fail && o == op {
					return durabletest.ErrCrashed
				}
				return do()
			}
			i := p.open(t)
			p.append(t, i, "a", true)
			fail = true
			for _, id := range []string{"b", "c"} {
				if fresh, err := i.Append(t.Context(), &Delivery{ID: id, Kind: Event, Received: start}); fresh || err == nil {
					t.Errorf("Append(%s) = %t, %v, want an error", id, fresh, err)
				}
			}
			_ = i.Close() // reports the same
			p.o = whole
			i = p.open(t)
			p.append(t, i, "a", false)
			p.append(t, i, "c", true)
			closeInbox(t, i)
		})
	}
}

// TestPrune: bodies before a position that are older than a time are removed; ids and times stay, and the
// ids are known to the next process.
func TestPrune(t *testing.T) {
	t.Parallel()
	for name, p := range places(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p.o.SegmentSize = 300
			i := p.open(t)
			var want []Delivery
			for n := range 20 {
				want = append(want, p.append(t, i, fmt.Sprint("delivery-", n), true))
				p.clock.advance(time.Minute)
			}
			end := i.End()
			for _, removed := range []time.Duration{0, 5 * time.Minute} { // at first there is nothing to remove
				if err := i.Prune(t.Context(), end, start.Add(removed)); err != nil {
					t.Fatal(err)
				}
			}
			for n := range 5 {
				want[n].Stamp, want[n].Body, want[n].Pruned = "", nil, true
			}
			r := p.reader(t)
			if diff := cmp.Diff(want, read(t, r, "", end)); diff != "" {
				t.Errorf("after pruning five (-want +got):\n%s", diff)
			}
			if err := i.Prune(t.Context(), end, start.Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
			got := read(t, p.reader(t), "", end)
			pruned := 0
			for n, d := range got {
				if d.ID != want[n].ID || d.Received != want[n].Received {
					t.Errorf("delivery %d after pruning all = %+v, want id and time of %+v", n, d, want[n])
				}
				if d.Pruned {
					pruned++
				}
			}
			if pruned < 15 || pruned == 20 {
				t.Errorf("%d of 20 are pruned, want all but those of the last segment", pruned)
			}
			closeInbox(t, i)
			i = p.open(t)
			p.append(t, i, "delivery-0", false)
			closeInbox(t, i)
		})
	}
}

// TestReplaced: a position of an inbox that was removed, or restored from an older copy, is recognised.
func TestReplaced(t *testing.T) {
	t.Parallel()
	c := &clock{now: start}
	p := &place{lake: t.TempDir(), clock: c, o: Options{Now: c.Now}}
	i := p.open(t)
	p.append(t, i, "a", true)
	end := i.End()
	closeInbox(t, i)
	if err := os.RemoveAll(filepath.Join(p.lake, "_state")); err != nil {
		t.Fatal(err)
	}
	check := func(when string, from, to Position) {
		t.Helper()
		for _, err := range p.reader(t).Deliveries(t.Context(), from, to) {
			if !errors.Is(err, ErrReplaced) {
				t.Errorf("Deliveries %s: %v, want %v", when, err, ErrReplaced)
			}
		}
	}
	check("without an inbox", "", end)
	i = p.open(t)
	p.append(t, i, "b", true)
	p.append(t, i, "c", true)
	check("of another inbox", end, i.End())
	check("to a place in another inbox", "", end)
	closeInbox(t, i)
	for _, bad := range []Position{"x", "1@48", "00000001@0000000048#00", "00000001@0000000048#0000000000000000 "} {
		found := error(nil)
		for _, err := range p.reader(t).Deliveries(t.Context(), bad, end) {
			found = err
		}
		if found == nil || errors.Is(found, ErrReplaced) {
			t.Errorf("Deliveries from %q: %v, want an error that it is no position", bad, found)
		}
	}
}

// TestFlatMemory: however many ids arrive, so many are remembered as the options say, the latest ones.
func TestFlatMemory(t *testing.T) {
	t.Parallel()
	ids := newRecentIDs(1000)
	for n := range 100_000 {
		ids.add(digestOf(fmt.Sprint(n)), start)
	}
	before := start.Add(-time.Second)
	if ids.len() != 1000 || len(ids.ring) != 1000 || !ids.has(digestOf("99999"), before) || !ids.has(digestOf("99000"), before) || ids.has(digestOf("98999"), before) {
		t.Errorf("%d ids are remembered, in a ring of %d, want the last 1000", ids.len(), len(ids.ring))
	}
	ids.add(digestOf("99500"), start.Add(time.Hour))
	if ids.len() != 1000 || !ids.has(digestOf("99500"), start) {
		t.Error("an id that arrives again is not remembered with its later time")
	}
}

// TestRecords: heads and bodies of records that were cut short are errors.
func TestRecords(t *testing.T) {
	t.Parallel()
	if _, _, err := decodeHead(make([]byte, 7)); !errors.Is(err, errRecord) {
		t.Errorf("decodeHead of 7 bytes = %v, want %v", err, errRecord)
	}
	whole := encodeBody("1775117730", []byte("{}"))
	for n := range len("1775117730") + 1 {
		if _, _, err := decodeBody(whole[:n]); !errors.Is(err, errRecord) {
			t.Errorf("decodeBody of %d bytes = %v, want %v", n, err, errRecord)
		}
	}
	if _, _, err := decodeBody([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}); !errors.Is(err, errRecord) {
		t.Errorf("decodeBody with an absurd length = %v, want %v", err, errRecord)
	}
}

// TestTakenOver: a process that was cut off until another one took its lock over can append nothing, whatever it
// believes of its lock.
func TestTakenOver(t *testing.T) {
	t.Parallel()
	c := &clock{now: start}
	m := membucket.New()
	p := &place{lake: "s3://bucket/lake", clock: c, o: Options{Now: c.Now, Bucket: m.WithHook(nil)}}
	first := p.open(t)
	p.append(t, first, "a", true)
	m.Delete(lockObject) // as if it had expired
	second := p.open(t)
	if fresh, err := first.Append(t.Context(), &Delivery{ID: "b", Kind: Event, Received: start}); fresh || !errors.Is(err, wal.ErrFenced) {
		t.Errorf("Append() of the process that was taken over = %t, %v, want %v", fresh, err, wal.ErrFenced)
	}
	p.append(t, second, "a", false)
	p.append(t, second, "b", true)
	_ = first.Close() // says the same
	closeInbox(t, second)
	r := p.reader(t)
	if got := len(read(t, r, "", endOf(t, r))); got != 2 {
		t.Errorf("%d deliveries in the inbox, want 2", got)
	}
}

// TestFlatHeap: the memory of an inbox does not grow with the deliveries, once it remembers as many ids as it
// may.
func TestFlatHeap(t *testing.T) {
	c := &clock{now: start}
	total := proof.Size(6_000, 100_000, 100_000)
	p := &place{lake: t.TempDir(), clock: c, o: Options{Now: c.Now, MaxIDs: 1000}}
	i := p.open(t)
	heap := func() int64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return int64(s.HeapAlloc)
	}
	var early int64
	for from := 0; from < total; from += 2000 {
		var wg sync.WaitGroup
		for worker := range 50 {
			wg.Go(func() {
				for n := range 40 {
					d := Delivery{ID: fmt.Sprint(from + worker*40 + n), Kind: Event, Received: start, Body: make([]byte, 500)}
					if fresh, err := i.Append(context.Background(), &d); !fresh || err != nil {
						t.Errorf("Append() = %t, %v", fresh, err)
					}
				}
			})
		}
		wg.Wait()
		if from == 2000 {
			early = heap()
		}
	}
	if grown := heap() - early; grown > 4<<20 {
		t.Errorf("the heap grew by %d bytes from delivery 4,000 to %d", grown, total)
	}
	if i.Len() != 1000 {
		t.Errorf("%d ids are remembered, want 1,000", i.Len())
	}
	closeInbox(t, i)
}
