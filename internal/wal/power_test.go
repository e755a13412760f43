package wal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/siglake/siglake/internal/durable/durabletest"
	"github.com/siglake/siglake/internal/proof"
)

// crashSim is a journal on a machine, and what is known about its records: some
// streams of them, each in order, made by one goroutine each.
type crashSim struct {
	rng     *rand.Rand
	disk    *durabletest.Disk
	o       Options
	dir     *Dir
	log     *Log
	streams [3]stream
}

type stream struct {
	bodies []string // as last tried to append
	acked  int      // so many must be there
}

func newCrashSim(dir string, rng *rand.Rand) *crashSim {
	return &crashSim{rng: rng, disk: durabletest.NewDisk(dir, rng), o: Options{SegmentSize: 1 << 10 << rng.IntN(5)}}
}

// runWriters opens the journal and adds records until it has made steps groups, or the
// process dies at operation dieAt.
func (w *crashSim) runWriters(t testing.TB, steps, dieAt int) {
	t.Helper()
	w.disk.Restart(dieAt)
	var err error
	if w.dir, err = OpenDir(w.disk.Dir, w.disk.Hook); err != nil {
		t.Fatal(err)
	}
	w.log, err = Open(context.Background(), w.dir, w.o)
	if err != nil {
		if !errors.Is(err, durabletest.ErrCrashed) {
			t.Fatalf("open = %v", err)
		}
		return
	}
	if w.rng.IntN(2) == 0 {
		w.appendStream(t, &w.streams[0], 0, w.rng, steps)
		return
	}
	var wg sync.WaitGroup
	seed := w.rng.Uint64() // the machine uses rng meanwhile
	for i := range w.streams {
		wg.Go(func() { w.appendStream(t, &w.streams[i], i, rand.New(rand.NewPCG(seed, uint64(i))), steps/2) })
	}
	wg.Wait()
}

func (w *crashSim) appendStream(t testing.TB, s *stream, id int, rng *rand.Rand, steps int) {
	head := func() []byte {
		return binary.LittleEndian.AppendUint32([]byte{byte(id)}, uint32(len(s.bodies)))
	}
	add := func(add func(byte, []byte, []byte) (Position, error)) error {
		h, body := head(), randomBody(rng, 1+rng.IntN(3000))
		s.bodies = append(s.bodies, string(body))
		_, err := add(7, h, body)
		return err
	}
	for range steps {
		var err error
		switch rng.IntN(6) {
		case 0:
			err = add(w.log.Write)
		case 1:
			if err = add(w.log.Write); err == nil {
				err = w.log.Flush()
			}
			if err == nil {
				s.acked = len(s.bodies)
			}
		case 2:
			var r *Reservation
			if r, err = w.log.Reserve(1, 2000); err == nil {
				if err = add(r.Append); err == nil {
					s.acked = len(s.bodies)
				}
				r.Release()
			}
		default:
			if err = add(w.log.Append); err == nil {
				s.acked = len(s.bodies)
			}
		}
		if err != nil {
			if !errors.Is(err, ErrBroken) || !errors.Is(err, durabletest.ErrCrashed) {
				t.Errorf("append = %v", err)
			}
			return
		}
	}
}

// leaveUnsynced leaves a group that was written and not synced.
func (w *crashSim) leaveUnsynced(rng *rand.Rand) {
	if w.log.active == nil {
		return
	}
	for range 1 + rng.IntN(4) {
		s := &w.streams[0]
		body := string(randomBody(rng, 2000))
		if _, err := w.log.Write(7, binary.LittleEndian.AppendUint32([]byte{0}, uint32(len(s.bodies))), []byte(body)); err != nil {
			return
		}
		s.bodies = append(s.bodies, body)
	}
	group := slices.Clone(w.log.pending)
	finishGroup(group, w.log.id, w.log.durableEnd)
	w.log.active.(*dirSegment).writeAt(group, dirBlockSize+w.log.durableEnd)
}

// durableEnds is up to where each segment is durable.
func (w *crashSim) durableEnds() map[string]int64 {
	ends := map[string]int64{}
	for i := range w.log.segments.list {
		s := w.log.segments.snapshot(i + 1)
		ends[s.name] = s.end
	}
	return ends
}

// checkRecords checks records against what was appended: all that was acknowledged is
// there, and nothing that was never appended, and no stream has a gap.
func (w *crashSim) checkRecords(got []entry) error {
	var next [len(w.streams)]int
	for i, e := range got {
		id, n := int(e.head[0]), int(binary.LittleEndian.Uint32([]byte(e.head[1:])))
		s := &w.streams[id]
		switch {
		case n != next[id]:
			return fmt.Errorf("record %d is number %d of stream %d, want %d", i, n, id, next[id])
		case n >= len(s.bodies) || e.body != s.bodies[n] || e.kind != 7:
			return fmt.Errorf("record %d, number %d of stream %d, is not what was appended", i, n, id)
		}
		next[id]++
	}
	for id := range w.streams {
		if next[id] < w.streams[id].acked {
			return fmt.Errorf("stream %d has %d records, and %d were acknowledged", id, next[id], w.streams[id].acked)
		}
	}
	return nil
}

// recoverTwice opens the journal, twice, and takes what it holds as given from now on.
func (w *crashSim) recoverTwice(t testing.TB) int {
	t.Helper()
	w.disk.Restart(0)
	first, err := w.openAndRead()
	if err != nil {
		t.Fatalf("open after a crash = %v", err)
	}
	if err := w.checkRecords(first); err != nil {
		t.Fatal(err)
	}
	second, err := w.openAndRead()
	if err != nil || !slices.Equal(first, second) {
		t.Fatalf("opened again = %d records, %v; want the %d of the first time", len(second), err, len(first))
	}
	for id := range w.streams {
		s := &w.streams[id]
		s.acked = 0
		for _, e := range first {
			if int(e.head[0]) == id {
				s.acked++
			}
		}
		s.bodies = s.bodies[:s.acked]
	}
	return len(first)
}

func (w *crashSim) openAndRead() ([]entry, error) {
	d, err := OpenDir(w.disk.Dir, w.disk.Hook)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	l, err := Open(context.Background(), d, w.o)
	if err != nil {
		return nil, err
	}
	return contents(l)
}

// TestPowerLoss lets journals live through kills and power cuts at any operation,
// those of recovery included.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	histories := proof.Size(100, 2000, 100000)
	const workers = 2
	var wg sync.WaitGroup
	var mu sync.Mutex
	cuts, kills, records := 0, 0, 0
	for worker := range workers {
		base := durabletest.Scratch(t)
		wg.Go(func() {
			for n := worker; n < histories && !t.Failed(); n += workers {
				c, k, r := runHistory(t, base, uint64(n))
				mu.Lock()
				cuts, kills, records = cuts+c, kills+k, records+r
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t.Logf("%d histories, %d power cuts, %d kills, %d records in the end", histories, cuts, kills, records)
}

func runHistory(t testing.TB, base string, seed uint64) (cuts, kills, records int) {
	rng := rand.New(rand.NewPCG(seed, 8))
	dir := filepath.Join(base, fmt.Sprint(seed))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Error(err)
		return
	}
	defer os.RemoveAll(dir)
	defer func() {
		if t.Failed() {
			t.Logf("history %d", seed)
		}
	}()
	w := newCrashSim(dir, rng)
	w.disk.NoAllocate = rng.IntN(4) == 0
	for range 1 + rng.IntN(4) {
		steps := 1 + rng.IntN(8)
		w.runWriters(t, steps, 1+rng.IntN(8+5*steps))
		switch end := rng.IntN(5); {
		case end == 0 && w.log != nil:
			if err := w.log.Close(); err == nil && w.log.active != nil {
				if w.disk.Restart(0); w.rng.IntN(2) == 0 {
					w.closeFiles()
					w.disk.PowerCut(t, dir)
				}
				if _, err := w.openAndRead(); err != nil || w.disk.Ops > 0 {
					t.Errorf("opening a closed journal = %v, and changed %d things", err, w.disk.Ops)
				}
				for i := range w.streams {
					w.streams[i].acked = len(w.streams[i].bodies)
				}
			}
			fallthrough
		case end == 1:
			// Only the process ends; what is not synced may still be lost later.
			w.closeFiles()
			kills++
		default:
			w.closeFiles()
			w.disk.PowerCut(t, dir)
			cuts++
		}
		// Every other time the next process dies early, in recovery maybe, and the
		// machine with it.
		if rng.IntN(2) == 0 {
			w.disk.Restart(1 + rng.IntN(8))
			if got, err := w.openAndRead(); err == nil {
				if err := w.checkRecords(got); err != nil {
					t.Errorf("opened between crashes: %v", err)
				}
			} else if !errors.Is(err, durabletest.ErrCrashed) {
				t.Errorf("opened between crashes = %v", err)
			}
			if rng.IntN(2) == 0 {
				w.disk.PowerCut(t, dir)
				cuts++
			}
		}
		records = w.recoverTwice(t)
		// What recovery has shown must be there whatever happens next.
		if rng.IntN(2) == 0 {
			w.disk.PowerCut(t, dir)
			cuts++
			records = w.recoverTwice(t)
		}
	}
	return cuts, kills, records
}

// closeFiles closes the files of a process that has ended.
func (w *crashSim) closeFiles() {
	if w.log != nil && w.log.active != nil {
		w.log.active.(*dirSegment).f.Discard()
	}
	w.dir.Close()
	w.log = nil
}
