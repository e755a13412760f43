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
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/durable"
	"github.com/siglake/siglake/internal/durable/durabletest"
	"github.com/siglake/siglake/internal/proof"
)

// long is whether the full numbers of histories, bit flips and races run.
var long = proof.IsFull()

func mustOpenDir(t testing.TB, path string, hook durable.Hook) *Dir {
	t.Helper()
	d, err := OpenDir(path, hook)
	if err != nil {
		t.Fatalf("OpenDir(%s) = %v", path, err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func mustOpenLog(t testing.TB, path string, hook durable.Hook, o Options) *Log {
	t.Helper()
	l, err := Open(t.Context(), mustOpenDir(t, path, hook), o)
	if err != nil {
		t.Fatalf("open(%s) = %v", path, err)
	}
	return l
}

// entry is a record as walk and read found it.
type entry struct {
	pos        Position
	kind       byte
	head, body string
}

// contents walks the log with its bodies and reads every record again.
func contents(l *Log) ([]entry, error) {
	var all []entry
	err := l.Walk(context.Background(), true, func(p Position, kind byte, head []byte, body int64) error {
		rec, err := l.Read(context.Background(), p)
		if err != nil {
			return err
		}
		if rec.Pruned && body == PrunedBody {
			rec.Body, body = []byte(prunedText), int64(len(prunedText))
		}
		if rec.Kind != kind || !bytes.Equal(rec.Head, head) || int64(len(rec.Body)) != body {
			return fmt.Errorf("read(%v) and walk differ", p)
		}
		all = append(all, entry{p, kind, string(head), string(rec.Body)})
		return nil
	})
	return all, err
}

// reopen opens what is in the directory and reads all of it.
func reopen(path string, hook durable.Hook, o Options) ([]entry, error) {
	d, err := OpenDir(path, hook)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	l, err := Open(context.Background(), d, o)
	if err != nil {
		return nil, err
	}
	all, err := contents(l)
	return all, errors.Join(err, l.Close())
}

// randomBody has a content that only its numbers tell, and that may be all zeros.
func randomBody(rng *rand.Rand, longest int) []byte {
	body := make([]byte, rng.IntN(longest+1))
	switch rng.IntN(3) {
	case 0: // zeros
	case 1:
		for i := range body {
			body[i] = byte(rng.Uint32())
		}
	default: // text with holes
		for i := 0; i < len(body); i += 1 + rng.IntN(700) {
			body[i] = 'x'
		}
	}
	return body
}

func TestRoundTrip(t *testing.T) {
	for _, tc := range []struct {
		name string
		hook durable.Hook
	}{{"allocated", nil}, {"zeros", withoutAllocate}} {
		t.Run(tc.name, func(t *testing.T) {
			dir := filepath.Join(durabletest.Scratch(t), "a", "b")
			o := Options{SegmentSize: 4 << 10}
			rng := rand.New(rand.NewPCG(1, 2))
			var want []entry
			for range 3 {
				l := mustOpenLog(t, dir, tc.hook, o)
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
				if err := l.Close(); err != nil {
					t.Fatalf("close = %v", err)
				}
				if _, err := l.Append(0, nil, nil); !errors.Is(err, fs.ErrClosed) {
					t.Fatalf("append after close = %v, want %v", err, fs.ErrClosed)
				}
			}
			var writes []string
			got, err := reopen(dir, func(op, path string, do func() error) error {
				if op != "list" && op != "open" && op != "read" {
					writes = append(writes, op)
				}
				return do()
			}, o)
			if err != nil || !slices.Equal(got, want) {
				t.Fatalf("reopen = %d records, %v; want %d", len(got), err, len(want))
			}
			if len(writes) != 0 {
				t.Errorf("opening a closed journal does %q", writes)
			}
			// Nothing is left of the room.
			for name, data := range durabletest.SnapshotFiles(t, dir) {
				if len(data) > dirBlockSize+segmentHeaderSize && data[len(data)-1] == 0 && bytes.HasSuffix(data, make([]byte, 16)) {
					t.Errorf("%s ends with zeros", name)
				}
			}
		})
	}
}

func withoutAllocate(op, _ string, do func() error) error {
	if op == "allocate" {
		return errors.ErrUnsupported
	}
	return do()
}

func TestEmpty(t *testing.T) {
	dir := durabletest.Scratch(t)
	l := mustOpenLog(t, dir, nil, Options{})
	if _, err := l.Read(t.Context(), Position{1, segmentHeaderSize}); err == nil {
		t.Errorf("read from an empty journal = nil")
	}
	if err := errors.Join(l.Flush(), l.Close(), l.Close()); err != nil {
		t.Errorf("flush, close, close = %v", err)
	}
	if files := durabletest.SnapshotFiles(t, dir); len(files) != 0 {
		t.Errorf("an unused journal left %d files", len(files))
	}
}

func TestTooLong(t *testing.T) {
	l := mustOpenLog(t, durabletest.Scratch(t), nil, Options{})
	if _, err := l.Append(0, make([]byte, maxFrame), nil); err == nil || errors.Is(err, ErrBroken) {
		t.Errorf("append of %d bytes = %v", maxFrame, err)
	}
	if _, err := l.Append(0, nil, nil); err != nil {
		t.Errorf("append after one that was too long = %v", err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("close = %v", err)
	}
}

// die closes what a process that ends has open, without writing.
func die(l *Log) { l.active.(*dirSegment).f.Discard() }

// TestOneWriter: a second writer finds a name taken, and a segment locked, when no other lock
// kept it out.
func TestOneWriter(t *testing.T) {
	dir := durabletest.Scratch(t)
	o := Options{SegmentSize: 200}
	a, b := mustOpenLog(t, dir, nil, o), mustOpenLog(t, dir, nil, o)
	want := []string{"a", "a2", "a3"}
	if _, err := a.Append(0, []byte("a"), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Append(0, []byte("b"), nil); !errors.Is(err, ErrBroken) || !errors.Is(err, ErrFenced) || !errors.Is(err, fs.ErrExist) {
		t.Errorf("append by a second writer = %v, want %v, %v and %v", err, ErrBroken, ErrFenced, fs.ErrExist)
	}
	for i, head := range want[1:] { // the second one begins a segment
		if _, err := a.Append(0, []byte(head), make([]byte, 100*i)); err != nil {
			t.Fatal(err)
		}
		before := durabletest.SnapshotFiles(t, dir)
		if _, err := Open(t.Context(), mustOpenDir(t, dir, nil), o); !errors.Is(err, ErrLocked) {
			t.Errorf("open of a journal that is being written = %v, want %v", err, ErrLocked)
		}
		if !maps.EqualFunc(before, durabletest.SnapshotFiles(t, dir), bytes.Equal) {
			t.Error("the open that was refused changed files")
		}
	}
	if got, err := reopen(dir, nil, Options{ReadOnly: true}); err != nil || len(got) != len(want) {
		t.Errorf("reopen to read, while it is written = %d records, %v; want %d", len(got), err, len(want))
	}
	die(a)
	got, err := reopen(dir, nil, o)
	for i := range got {
		if got[i].head != want[i] {
			t.Errorf("record %d = %q, want %q", i, got[i].head, want[i])
		}
	}
	if err != nil || len(got) != len(want) {
		t.Errorf("reopen after the writer ended = %d records, %v; want %d", len(got), err, len(want))
	}
}

// TestAppendWithoutLock: where files are not locked, or a file is not what it was, an append
// that would damage the journal, or be lost, is refused before it is written.
func TestAppendWithoutLock(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(segment, successor string) error{
		"successor": func(segment, successor string) error { return os.Link(segment, successor) },
		"removed":   func(segment, _ string) error { return os.Remove(segment) },
		"replaced": func(segment, _ string) error {
			data, err := os.ReadFile(segment)
			return errors.Join(err, os.Remove(segment), os.WriteFile(segment, data, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := durabletest.Scratch(t)
			l := mustOpenLog(t, dir, nil, Options{})
			if _, err := l.Append(0, []byte("before"), nil); err != nil {
				t.Fatal(err)
			}
			segment := l.active.(*dirSegment)
			if err := harm(filepath.Join(dir, segmentName(1)+segmentSuffix), filepath.Join(dir, segmentName(2)+segmentSuffix)); err != nil {
				t.Fatal(err)
			}
			before := segment.f.Size()
			if _, err := l.Append(0, []byte("after"), nil); !errors.Is(err, ErrFenced) || !errors.Is(err, ErrBroken) {
				t.Errorf("append = %v, want %v and %v", err, ErrFenced, ErrBroken)
			}
			if after := segment.f.Size(); after != before {
				t.Errorf("the append that was refused wrote %d bytes", after-before)
			}
			die(l)
		})
	}
}

// TestRecoverStale: a process that read the end of a segment, and locks it after another one has
// appended and ended, does not cut off what that one wrote.
func TestRecoverStale(t *testing.T) {
	t.Parallel()
	dir := durabletest.Scratch(t)
	l := mustOpenLog(t, dir, nil, Options{})
	if _, err := l.Append(0, []byte("first"), nil); err != nil {
		t.Fatal(err)
	}
	late := mustOpenDir(t, dir, nil)
	r, err := late.Open(t.Context(), segmentName(1))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	end := l.durableEnd
	if _, err := l.Append(0, []byte("second"), nil); err != nil {
		t.Fatal(err)
	}
	if err := r.Recover(end, end); !errors.Is(err, ErrLocked) {
		t.Errorf("Recover of a segment that is being written = %v, want %v", err, ErrLocked)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.Recover(end, end); !errors.Is(err, errGrown) {
		t.Errorf("Recover of a segment that has grown = %v, want %v", err, errGrown)
	}
	if got, err := reopen(dir, nil, Options{}); err != nil || len(got) != 2 {
		t.Errorf("reopen = %d records, %v; want 2", len(got), err)
	}
}

// TestMissingSegment: a gap is damage.
func TestMissingSegment(t *testing.T) {
	dir := durabletest.Scratch(t)
	o := Options{SegmentSize: 100}
	l := mustOpenLog(t, dir, nil, o)
	for range 4 {
		if _, err := l.Append(0, make([]byte, 100), nil); err != nil {
			t.Fatal(err)
		}
	}
	l.Close()
	files := durabletest.SnapshotFiles(t, dir)
	if len(files) != 4 {
		t.Fatalf("%d segments, want 4", len(files))
	}
	for _, number := range []int{1, 2, 3} {
		durabletest.RestoreFiles(t, dir, files)
		os.Remove(filepath.Join(dir, segmentName(number)+segmentSuffix))
		if _, err := reopen(dir, nil, o); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), segmentName(number)) {
			t.Errorf("reopen without segment %d = %v", number, err)
		}
		durabletest.RestoreFiles(t, dir, files)
		os.WriteFile(filepath.Join(dir, segmentName(number)+segmentSuffix), files[segmentName(number+1)+segmentSuffix], 0o600)
		if _, err := reopen(dir, nil, o); !errors.Is(err, ErrCorrupt) {
			t.Errorf("reopen with another segment in place of %d = %v", number, err)
		}
	}
}

// TestTruncation cuts the last segment at every byte. Three states of the same
// journal differ in what is known to be durable.
func TestTruncation(t *testing.T) {
	t.Parallel()
	dir := durabletest.Scratch(t)
	o := Options{SegmentSize: 1 << 20}
	rng := rand.New(rand.NewPCG(3, 4))
	l := mustOpenLog(t, dir, nil, o)
	var old [watermarkSize * 2]byte // both statements as they were two appends ago
	var oldDurable int64
	path := filepath.Join(dir, segmentName(1)+segmentSuffix)
	ends := []int64{segmentHeaderSize}
	for i := range 6 {
		if i == 3 {
			data := durabletest.SnapshotFiles(t, dir)[filepath.Base(path)]
			copy(old[:watermarkSize], data[watermarkOffsets[0]:])
			copy(old[watermarkSize:], data[watermarkOffsets[1]:])
			oldDurable = l.durableEnd
		}
		if _, err := l.Write(1, []byte("head"), randomBody(rng, 100)); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, l.offset)
		if _, err := l.Append(1, []byte("head"), randomBody(rng, 100)); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, l.offset)
	}
	durable := l.durableEnd
	// A group that was written when the process was killed, before the sync.
	for range 3 {
		l.Write(1, []byte("head"), randomBody(rng, 100))
		ends = append(ends, l.offset)
	}
	finishGroup(l.pending, l.segments.list[0].id, l.durableEnd)
	f := l.active.(*dirSegment)
	if err := f.writeAt(l.pending, dirBlockSize+l.durableEnd); err != nil {
		t.Fatal(err)
	}
	killed := durabletest.SnapshotFiles(t, dir)[filepath.Base(path)]
	die(l)
	cut := slices.Clone(killed)
	copy(cut[watermarkOffsets[0]:], old[:watermarkSize])
	copy(cut[watermarkOffsets[1]:], old[watermarkSize:])
	if _, err := reopen(dir, nil, o); err != nil { // settles and seals
		t.Fatal(err)
	}
	closed := durabletest.SnapshotFiles(t, dir)[filepath.Base(path)]

	for _, state := range []struct {
		name    string
		data    []byte
		durable int64
	}{
		{"killed", killed, durable},
		{"power cut", cut, oldDurable},
		{"closed", closed, ends[len(ends)-1]},
	} {
		torn, refused := 0, 0
		for size := range len(state.data) + 1 {
			if state.name != "closed" && size < dirBlockSize && size%97 != 0 {
				continue // there is no difference between the states there
			}
			durabletest.RestoreFiles(t, dir, map[string][]byte{filepath.Base(path): state.data[:size]})
			got, err := reopen(dir, nil, o)
			content := int64(size) - dirBlockSize
			if content < state.durable {
				refused++
				if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "segment 00000001, offset ") {
					t.Fatalf("%s, cut at %d below %d: reopen = %v, want %v", state.name, content, state.durable, err, ErrCorrupt)
				}
				continue
			}
			torn++
			want := 0
			for want+1 < len(ends) && ends[want+1] <= content {
				want++
			}
			if err != nil || len(got) != want {
				t.Fatalf("%s, cut at %d, not below %d: reopen = %d records, %v; want %d", state.name, content, state.durable, len(got), err, want)
			}
		}
		t.Logf("%s: %d cuts: %d refused, %d torn", state.name, refused+torn, refused, torn)
	}
}

// TestLostSectors: sectors that read as zeros are a torn append only beyond the
// watermark, which the store or a later record states.
func TestLostSectors(t *testing.T) {
	dir := durabletest.Scratch(t)
	l := mustOpenLog(t, dir, nil, Options{})
	name := segmentName(1) + segmentSuffix
	durable := []int64{segmentHeaderSize} // after each append
	files := []map[string][]byte{}
	for range 6 {
		if _, err := l.Append(1, nil, make([]byte, 1500)); err != nil {
			t.Fatal(err)
		}
		durable = append(durable, l.durableEnd)
		files = append(files, durabletest.SnapshotFiles(t, dir))
	}
	last := files[len(files)-1][name]
	for _, old := range durable {
		for at := int64(dirBlockSize); at < int64(len(last)); at += 512 {
			data := slices.Clone(last)
			for _, slot := range watermarkOffsets {
				copy(data[slot:], encodeWatermark(segmentName(1), old))
			}
			clear(data[max(at, dirBlockSize+segmentHeaderSize):min(at+512, int64(len(data)))])
			durabletest.RestoreFiles(t, dir, map[string][]byte{name: data})
			got, err := reopen(dir, nil, Options{})
			// The last record states that everything before it was durable; it does so
			// while its own header is intact.
			content := at - dirBlockSize
			header := durable[len(durable)-2]
			lost := content < header+frameHeaderSize && header < content+512
			switch first := max(content, segmentHeaderSize); {
			case first < old || first < header && !lost:
				if !errors.Is(err, ErrCorrupt) {
					t.Errorf("%d stated, sector at %d lost: reopen = %d records, %v; want %v", old, content, len(got), err, ErrCorrupt)
				}
			case lost && first < header:
				// Then the one before it says so of what is before that.
				if want := first < durable[len(durable)-3]; errors.Is(err, ErrCorrupt) != want {
					t.Errorf("%d stated, sector at %d lost: reopen = %d records, %v; damage: %v", old, content, len(got), err, want)
				}
			default:
				if err != nil || len(got) != len(durable)-2 {
					t.Errorf("%d stated, sector at %d lost: reopen = %d records, %v; want %d", old, content, len(got), err, len(durable)-2)
				}
			}
		}
	}
}

// TestFlipInLast flips every bit of the last append. Without the store's word for
// it, it is only that no part of it is missing which tells damage from a crash.
func TestFlipInLast(t *testing.T) {
	dir := durabletest.Scratch(t)
	l := mustOpenLog(t, dir, nil, Options{})
	name := segmentName(1) + segmentSuffix
	var from int64
	for i, size := range []int{100, 0, 50} {
		from = l.durableEnd
		l.Write(1, []byte("lazy"), make([]byte, size))
		if _, err := l.Append(1, []byte("a head"), make([]byte, size+i)); err != nil {
			t.Fatal(err)
		}
	}
	data := durabletest.SnapshotFiles(t, dir)[name]
	for _, slot := range watermarkOffsets {
		copy(data[slot:], encodeWatermark(segmentName(1), segmentHeaderSize))
	}
	for at := dirBlockSize + from; at < int64(len(data)); at++ {
		for bit := range 8 {
			data[at] ^= 1 << bit
			durabletest.RestoreFiles(t, dir, map[string][]byte{name: data})
			if got, err := reopen(dir, nil, Options{}); !errors.Is(err, ErrCorrupt) {
				t.Errorf("bit %d of %d flipped: reopen = %d records, %v; want %v", bit, at-dirBlockSize, len(got), err, ErrCorrupt)
			}
			data[at] ^= 1 << bit
		}
	}
}

// TestRecoverRewrites: what a process left behind that could not sync it may be
// in memory only, in pages that the kernel believes to be on the disk.
func TestRecoverRewrites(t *testing.T) {
	dir := durabletest.Scratch(t)
	fail := false
	l := mustOpenLog(t, dir, func(op, _ string, do func() error) error {
		if fail && op == "sync" {
			return syscall.EIO
		}
		return do()
	}, Options{})
	if _, err := l.Append(1, []byte("durable"), nil); err != nil {
		t.Fatal(err)
	}
	durableEnd := l.durableEnd
	fail = true
	if _, err := l.Append(1, []byte("written, not synced"), nil); !errors.Is(err, ErrBroken) {
		t.Fatalf("append = %v, want %v", err, ErrBroken)
	}
	die(l)
	// Whether the pages are written again shows when the file lacks them.
	path := filepath.Join(dir, segmentName(1)+segmentSuffix)
	var ops []string
	got, err := reopen(dir, func(op, p string, do func() error) error {
		if op != "list" && op != "open" && op != "read" {
			ops = append(ops, op)
		}
		if op == "write" && len(ops) == 1 {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			f.WriteAt(make([]byte, l.offset-durableEnd), dirBlockSize+durableEnd)
			f.Close()
		}
		return do()
	}, Options{})
	if want := []string{"write", "sync", "syncdir", "truncate", "write", "write", "sync", "close"}; err != nil || len(got) != 2 || !slices.Equal(ops, want) {
		t.Errorf("reopen = %d records, %v, and did %q; want 2 and %q", len(got), err, ops, want)
	}
}

// TestFlips changes single bits of journals in all states.
func TestFlips(t *testing.T) {
	t.Parallel()
	flips := 500
	if long {
		flips = 20000
	}
	dir := durabletest.Scratch(t)
	o := Options{SegmentSize: 6 << 10}
	rng := rand.New(rand.NewPCG(5, 6))
	type count struct{ flips, below, found, harmless int }
	counts := map[string]*count{}
	states := []string{"closed", "killed", "power cut"}
	const perJournal = 50
	for n := 0; n < flips; n += perJournal {
		state := states[n/perJournal%len(states)]
		c := counts[state]
		if c == nil {
			c = &count{}
			counts[state] = c
		}
		os.RemoveAll(dir)
		os.Mkdir(dir, 0o700)
		w := newCrashSim(dir, rng)
		w.disk.NoAllocate = rng.IntN(3) == 0
		w.o = o
		w.runWriters(t, 4+rng.IntN(12), 0)
		acked := w.durableEnds() // up to where each segment was acknowledged
		switch state {
		case "closed":
			if err := w.log.Close(); err != nil {
				t.Fatal(err)
			}
			acked = w.durableEnds()
		case "killed":
			w.leaveUnsynced(rng)
		case "power cut":
			w.leaveUnsynced(rng)
			w.disk.PowerCut(t, dir)
		}
		w.closeFiles()
		files := durabletest.SnapshotFiles(t, dir)
		want, err := reopen(dir, nil, o)
		if err != nil {
			t.Fatalf("%s: reopen = %v", state, err)
		}
		names := make([]string, 0, len(files))
		for name := range files {
			names = append(names, name)
		}
		slices.Sort(names)
		for range perJournal {
			durabletest.RestoreFiles(t, dir, files)
			name := names[rng.IntN(len(names))]
			if len(files[name]) == 0 {
				continue
			}
			at := rng.IntN(len(files[name]))
			if rng.IntN(20) != 0 && len(files[name]) > dirBlockSize {
				at = dirBlockSize + rng.IntN(len(files[name])-dirBlockSize) // most of them behind the block
			}
			data := slices.Clone(files[name])
			data[at] ^= 1 << rng.IntN(8)
			os.WriteFile(filepath.Join(dir, name), data, 0o600)
			c.flips++
			got, err := reopen(dir, nil, o)
			if err != nil && !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%s, flip at %d of %s: reopen = %v", state, at, name, err)
			}
			content := int64(at) - dirBlockSize
			below := content >= 0 && content < acked[strings.TrimSuffix(name, segmentSuffix)]
			if below {
				c.below++
			}
			switch {
			case err != nil:
				c.found++
			case below:
				t.Errorf("%s, flip at %d of %s, acknowledged up to %d: not found", state, content, name, acked[strings.TrimSuffix(name, segmentSuffix)])
			case len(got) <= len(want) && slices.Equal(got, want[:len(got)]) && w.checkRecords(got) == nil:
				c.harmless++
			default:
				t.Errorf("%s, flip at %d of %s: other records: %v", state, at, name, w.checkRecords(got))
			}
		}
	}
	for _, state := range states {
		c := counts[state]
		t.Logf("%s: %d flips, %d of them in acknowledged content; %d found, %d changed nothing that was acknowledged", state, c.flips, c.below, c.found, c.harmless)
	}
}

// TestReadDamaged: a record that went bad since the journal was opened is not
// given out, wherever the bit flipped.
func TestReadDamaged(t *testing.T) {
	dir := durabletest.Scratch(t)
	l := mustOpenLog(t, dir, nil, Options{})
	p, err := l.Append(1, []byte("head"), []byte("an answer that was paid for"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, segmentName(1)+segmentSuffix)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	size := frameHeaderSize + int64(len("head")+len("an answer that was paid for")) // what fills up to a multiple of eight is not read
	for at := dirBlockSize + p.offset; at < dirBlockSize+p.offset+size; at++ {
		data[at] ^= 1
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if rec, err := l.Read(t.Context(), p); !errors.Is(err, ErrCorrupt) {
			t.Errorf("byte %d flipped: read = %q %q, %v, want %v", at-dirBlockSize-p.offset, rec.Head, rec.Body, err, ErrCorrupt)
		}
		data[at] ^= 1
	}
}

// TestFaults fails every single operation of a small history in every way.
func TestFaults(t *testing.T) {
	t.Parallel()
	faults := []struct {
		name string
		fail func(op, path string, do func() error) error
	}{
		{"no space", func(_, _ string, _ func() error) error { return syscall.ENOSPC }},
		{"not done", func(_, _ string, _ func() error) error { return syscall.EIO }},
		{"done but failed", func(_, _ string, do func() error) error { return errors.Join(do(), syscall.EIO) }},
		{"short", shortWrite},
	}
	step := proof.Size(8, 1, 1)
	for _, zeros := range []bool{false, true} {
		for i, f := range faults {
			name := f.name
			if zeros {
				name += " without allocate"
			}
			t.Run(name, func(t *testing.T) {
				n := 1 + i%step
				for faultAt(t, n, zeros, f.fail) {
					n += step
				}
				t.Logf("%d operations", n-1)
			})
		}
	}
}

// shortWrite does a part of a write and says so.
func shortWrite(op, path string, do func() error) error {
	if op != "write" {
		return syscall.EIO
	}
	before, _ := os.ReadFile(path)
	if err := do(); err != nil {
		return err
	}
	after, _ := os.ReadFile(path)
	from, to := 0, len(after)
	for from < len(before) && from < to && before[from] == after[from] {
		from++
	}
	if len(before) == len(after) {
		for to > from && before[to-1] == after[to-1] {
			to--
		}
		half := from + (to-from)/2
		if half > dirBlockSize {
			half &^= 7 // in room made of zeros: see doc.go
		}
		copy(after[half:], before[half:])
		os.WriteFile(path, after, 0o600)
	} else {
		os.Truncate(path, int64(max(len(before), from)+(to-max(len(before), from))/2))
	}
	return syscall.ENOSPC
}

// faultAt lets operation n fail; false when there were fewer.
func faultAt(t *testing.T, n int, zeros bool, fail func(op, path string, do func() error) error) bool {
	t.Helper()
	dir := durabletest.Scratch(t)
	ops, failed := 0, ""
	var mu sync.Mutex
	hook := func(op, path string, do func() error) error {
		mu.Lock()
		defer mu.Unlock()
		if zeros && op == "allocate" {
			return errors.ErrUnsupported
		}
		if ops++; ops == n {
			failed = op
			return fail(op, path, do)
		}
		return do()
	}
	var acked []string
	// One process writes and is killed, a second one opens the log and continues. What
	// a failure allows is checked within.
	o := Options{SegmentSize: 600}
	life := func(who string) {
		d, err := OpenDir(filepath.Join(dir, "j"), hook)
		if err != nil {
			return
		}
		defer d.Close()
		l, err := Open(t.Context(), d, o)
		if err != nil {
			if errors.Is(err, ErrCorrupt) {
				t.Fatalf("operation %d, %s: open = %v", n, failed, err)
			}
			return
		}
		defer func() {
			if l.active != nil {
				l.active.(*dirSegment).f.Discard()
			}
		}()
		var broken error
		see := func(call string, err error) bool {
			switch {
			case broken != nil && !errors.Is(err, ErrBroken):
				t.Fatalf("operation %d, %s: %s after %v = %v", n, failed, call, broken, err)
			case errors.Is(err, ErrBroken):
				broken = err
			case err != nil && !errors.Is(err, errNoSpace):
				t.Fatalf("operation %d, %s: %s = %v", n, failed, call, err)
			}
			return err == nil
		}
		r, err := l.Reserve(2, 300)
		see("reserve", err)
		var lazy []string
		for i := range 5 {
			head := fmt.Sprint(who, " ", i)
			if _, err := l.Write(2, []byte(head+" lazy"), make([]byte, 40)); see("write", err) {
				lazy = append(lazy, head+" lazy")
			}
			add := l.Append
			if i == 3 && r != nil {
				add = r.Append
			}
			if _, err := add(1, []byte(head), make([]byte, 150)); see("append", err) {
				acked = append(append(acked, lazy...), head)
				lazy = nil
			}
		}
		see("flush", l.Flush())
		if broken != nil {
			_, err := l.Reserve(1, 1)
			see("reserve", err)
			see("close", l.Close())
		} else if who == "second" {
			// Sealing is all that can fail here, and what was written stays.
			_ = l.Close()
		}
	}
	life("first")
	life("second")
	if failed == "" {
		n = 0 // everything must be there
	}
	want := acked
	for round := range 2 {
		got, err := reopen(filepath.Join(dir, "j"), nil, o)
		if err != nil {
			t.Fatalf("operation %d, %s: reopen = %v", n, failed, err)
		}
		var heads []string
		for _, e := range got {
			heads = append(heads, e.head)
		}
		at := 0
		for _, head := range heads {
			if at < len(want) && head == want[at] {
				at++
			}
		}
		if at < len(want) {
			t.Fatalf("operation %d, %s, opened %d times: %q is missing in %q", n, failed, round+1, want[at], heads)
		}
		if round == 0 {
			l := mustOpenLog(t, filepath.Join(dir, "j"), nil, o)
			if _, err := l.Append(1, []byte("after"), nil); err != nil {
				t.Fatalf("operation %d, %s: append after reopening = %v", n, failed, err)
			}
			if err := l.Close(); err != nil {
				t.Fatalf("operation %d, %s: close after reopening = %v", n, failed, err)
			}
			want = append(slices.Clone(heads), "after")
		}
	}
	return n != 0
}

// TestGroupBreaks: everyone in the group hears of the failure.
func TestGroupBreaks(t *testing.T) {
	var syncs atomic.Int32
	release := make(chan struct{})
	l := mustOpenLog(t, durabletest.Scratch(t), func(op, _ string, do func() error) error {
		if op == "sync" {
			switch syncs.Add(1) {
			case 2: // the first append; the others gather behind it
				<-release
			case 3:
				return syscall.EIO
			}
		}
		return do()
	}, Options{})
	errs := make(chan error)
	go func() {
		_, err := l.Append(0, []byte("first"), nil)
		errs <- err
	}()
	for syncs.Load() < 2 {
		time.Sleep(time.Millisecond)
	}
	for range 8 {
		go func() {
			_, err := l.Append(0, []byte("more"), nil)
			errs <- err
		}()
	}
	for {
		l.mu.Lock()
		waiting := len(l.pending)
		l.mu.Unlock()
		if waiting == int(frameSize(4, 0))*8 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	close(release)
	if err := <-errs; err != nil {
		t.Errorf("append before the failure = %v", err)
	}
	for range 8 {
		if err := <-errs; !errors.Is(err, ErrBroken) || !errors.Is(err, syscall.EIO) {
			t.Errorf("append in the failing group = %v, want %v and %v", err, ErrBroken, syscall.EIO)
		}
	}
	if got := syncs.Load(); got != 3 {
		t.Errorf("%d syncs, want 3: nothing is tried again", got)
	}
	if err := l.Close(); !errors.Is(err, ErrBroken) {
		t.Errorf("close = %v, want %v", err, ErrBroken)
	}
}

func TestConcurrency(t *testing.T) {
	const writers, each = 64, 40
	dir := durabletest.Scratch(t)
	var syncs atomic.Int32
	o := Options{SegmentSize: 64 << 10}
	l := mustOpenLog(t, dir, func(op, _ string, do func() error) error {
		if op == "sync" {
			syncs.Add(1)
		}
		return do()
	}, o)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(7, uint64(w)))
			for i := range each {
				head := binary.LittleEndian.AppendUint32([]byte{byte(w)}, uint32(i))
				body := bytes.Repeat([]byte{byte(w)}, rng.IntN(300))
				var err error
				var p Position
				switch rng.IntN(8) {
				case 0:
					p, err = l.Write(9, head, body)
				case 1:
					r, reserveErr := l.Reserve(1, 400)
					if reserveErr != nil {
						t.Errorf("reserve = %v", reserveErr)
						return
					}
					p, err = r.Append(9, head, body)
					r.Release()
				default:
					p, err = l.Append(9, head, body)
				}
				if err != nil {
					t.Errorf("append = %v", err)
					return
				}
				if rng.IntN(10) == 0 {
					if rec, err := l.Read(context.Background(), p); err != nil || !bytes.Equal(rec.Head, head) || !bytes.Equal(rec.Body, body) {
						t.Errorf("read(%v) = %v, %v; want %v", p, rec.Head, err, head)
					}
				}
			}
		})
	}
	wg.Go(func() {
		for range 10 {
			if err := l.Walk(context.Background(), true, func(Position, byte, []byte, int64) error { return nil }); err != nil {
				t.Errorf("walk = %v", err)
			}
		}
	})
	wg.Wait()
	if l.reserved != 0 {
		t.Errorf("%d bytes are reserved in the end", l.reserved)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := reopen(dir, nil, o)
	if err != nil || len(got) != writers*each {
		t.Fatalf("reopen = %d records, %v; want %d", len(got), err, writers*each)
	}
	var next [writers]uint32
	for i, e := range got {
		w, n := e.head[0], binary.LittleEndian.Uint32([]byte(e.head[1:]))
		if next[w] != n {
			t.Fatalf("record %d is number %d of writer %d, want %d", i, n, w, next[w])
		}
		next[w]++
	}
	t.Logf("%d appends, %d syncs", writers*each, syncs.Load())
	if n := syncs.Load(); n >= writers*each {
		t.Errorf("%d syncs for %d appends", n, writers*each)
	}
}

// TestReservation: on a full disk what was reserved can be appended, also behind
// the size at which a segment ends, and nothing else can.
func TestReservation(t *testing.T) {
	for _, zeros := range []bool{false, true} {
		t.Run(fmt.Sprintf("zeros=%v", zeros), func(t *testing.T) {
			full := false
			var after []string
			dir := durabletest.Scratch(t)
			hook := func(op, path string, do func() error) error {
				if full {
					after = append(after, op)
				}
				switch {
				case zeros && op == "allocate" && !full:
					return errors.ErrUnsupported
				case full && (op == "allocate" || op == "create" || op == "mkdir" || op == "link"):
					return syscall.ENOSPC
				case full && op == "write":
					// A write that makes the file grow must go to blocks that it has.
					// Where zeros were written it must not make it grow at all.
					before, _ := os.Stat(path)
					err := do()
					now, _ := os.Stat(path)
					if zeros && now.Size() != before.Size() ||
						blocksOf(now) != blocksOf(before) {
						t.Errorf("a write on the full disk took room")
					}
					return err
				}
				return do()
			}
			o := Options{SegmentSize: 4 << 10}
			l := mustOpenLog(t, dir, hook, o)
			first, err := l.Reserve(10, 10*2000)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.Append(1, nil, make([]byte, 3000)); err != nil {
				t.Fatal(err)
			}
			// This begins a second segment, which must take the reservation over.
			if _, err := l.Append(1, nil, make([]byte, 3000)); err != nil {
				t.Fatal(err)
			}
			if l.segments.count() != 2 {
				t.Fatalf("%d segments, want 2", l.segments.count())
			}
			second, err := l.Reserve(3, 3*5000)
			if err != nil {
				t.Fatal(err)
			}
			full = true
			if _, err := l.Append(2, nil, make([]byte, 1000)); !errors.Is(err, errNoSpace) {
				t.Errorf("append on a full disk into room that is reserved = %v, want %v", err, errNoSpace)
			}
			after = nil
			for range 10 {
				if _, err := first.Append(2, nil, make([]byte, 2000)); err != nil {
					t.Fatalf("append on a full disk = %v", err)
				}
			}
			for range 3 {
				if _, err := second.Write(3, nil, make([]byte, 5000)); err != nil {
					t.Fatalf("write on a full disk = %v", err)
				}
			}
			if err := l.Flush(); err != nil {
				t.Fatal(err)
			}
			for _, op := range after {
				if op != "write" && op != "sync" {
					t.Errorf("an append within a reservation does %q", op)
				}
			}
			if _, err := first.Append(2, nil, make([]byte, 20000)); !errors.Is(err, errNoSpace) || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), " KiB: ") {
				t.Errorf("append beyond the reservation = %v, want %v", err, syscall.ENOSPC)
			}
			if _, err := l.Append(2, nil, make([]byte, 20000)); !errors.Is(err, errNoSpace) {
				t.Errorf("append on a full disk = %v, want %v", err, errNoSpace)
			}
			if _, err := l.Reserve(1, 20000); !errors.Is(err, errNoSpace) {
				t.Errorf("reserve on a full disk = %v, want %v", err, errNoSpace)
			}
			full = false
			if _, err := l.Append(4, nil, nil); err != nil {
				t.Errorf("append when the disk has room again = %v", err)
			}
			first.Release()
			second.Release()
			if l.reserved != 0 {
				t.Errorf("%d bytes are reserved in the end", l.reserved)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if got, err := reopen(dir, nil, o); err != nil || len(got) != 16 {
				t.Errorf("reopen = %d records, %v; want 16", len(got), err)
			}
		})
	}
}
