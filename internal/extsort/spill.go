package extsort

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/siglake/siglake/internal/durable"
)

const (
	// mergeFanIn is how many runs are merged at a time, and so how many files are open.
	mergeFanIn = 12
	// A batch in a run has at most this many rows and, unless one row is larger,
	// bytes. While merging, two batches of every run are in memory.
	maxBatchRows  = 1024
	maxBatchBytes = 256 << 10
)

// Space is where sorters spill: numbered files in one folder. Sorters of several goroutines
// can share it.
type Space struct {
	dir    *durable.Dir
	folder string
	runs   atomic.Int64 // written so far

	writers sync.Pool // of *blockWriter, whose memory is used again
}

// NewSpace returns a space in an existing folder, which nothing else writes runs to.
func NewSpace(dir *durable.Dir, folder string) *Space { return &Space{dir: dir, folder: folder} }

// sortedRun is sorted rows of one sorter: blocks in a file or, where the rows of one file follow those of
// another one, in several. Runs are scratch: they are not synced and do not outlive the process.
type sortedRun struct {
	names       []string
	first, last []byte // keys of its rows
	level       int    // how many merges its rows went through
}

// Spill sorts the rows in memory and moves them to disk.
func (s *Sorter) Spill(ctx context.Context) error {
	run, err := s.writeRun(ctx, []cursor{s.sortRecords()})
	if err != nil {
		return err
	}
	s.Release()
	s.runs = append(s.runs, run)
	return s.mergeLevels(ctx)
}

// Merge hands over all rows in order, in slices that yield must not keep, and of which it keeps rows by
// [Row.Keep] only; rows with equal keys are in the order in which they were added. It leaves the sorter's rows
// where they are, so that they outlive an error.
func (s *Sorter) Merge(ctx context.Context, yield func([]Row) error) error {
	if err := s.reduceRuns(ctx); err != nil {
		return err
	}
	cursors, err := s.openRuns(s.runs)
	if err != nil {
		return err
	}
	return mergeSorted(ctx, append(cursors, s.sortRecords()), yield)
}

// RemoveRuns removes what was spilled.
func (s *Sorter) RemoveRuns() error {
	if err := s.removeRuns(s.runs); err != nil {
		return err
	}
	s.runs = nil
	return nil
}

func (s *Sorter) removeRuns(runs []sortedRun) error {
	for _, r := range runs {
		for _, name := range r.names {
			if err := s.space.dir.Remove(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// mergeLevels merges the newest runs into one as soon as mergeFanIn of them are on the
// same level, so that each row is rewritten once per level. Neighbours only are
// merged, so that rows stay in the order in which they were added.
func (s *Sorter) mergeLevels(ctx context.Context) error {
	for {
		level, first := s.runs[len(s.runs)-1].level, len(s.runs)
		for first > 0 && s.runs[first-1].level == level {
			first--
		}
		if len(s.runs)-first < mergeFanIn {
			return nil
		}
		if err := s.mergeRuns(ctx, first, len(s.runs)); err != nil {
			return err
		}
	}
}

// reduceRuns merges the newest, smallest runs until few enough are left to be read
// at once.
func (s *Sorter) reduceRuns(ctx context.Context) error {
	for len(s.runs) > mergeFanIn {
		n := min(mergeFanIn, len(s.runs)-mergeFanIn+1)
		if err := s.mergeRuns(ctx, len(s.runs)-n, len(s.runs)); err != nil {
			return err
		}
	}
	return nil
}

// mergeRuns replaces neighbouring runs by one. Rows that were added in their order, as those of a list are, are
// not rewritten for that.
func (s *Sorter) mergeRuns(ctx context.Context, from, to int) error {
	merged, inOrder := joinRuns(s.runs[from:to])
	if !inOrder {
		cursors, err := s.openRuns(s.runs[from:to])
		if err != nil {
			return err
		}
		if merged, err = s.writeRun(ctx, cursors); err != nil {
			return err
		}
		if err := s.removeRuns(s.runs[from:to]); err != nil {
			return err
		}
	}
	merged.level = s.runs[from].level + 1
	s.runs = append(append(s.runs[:from:from], merged), s.runs[to:]...)
	return nil
}

// joinRuns makes one run of several, each of which begins where the one before it ended, or later; false: they
// overlap.
func joinRuns(runs []sortedRun) (joined sortedRun, inOrder bool) {
	joined.first, joined.last = runs[0].first, runs[len(runs)-1].last
	for i, r := range runs {
		if i > 0 && bytes.Compare(runs[i-1].last, r.first) > 0 {
			return sortedRun{}, false
		}
		joined.names = append(joined.names, r.names...)
	}
	return joined, true
}

// writeRun merges the cursors into a new run, and closes them.
func (s *Sorter) writeRun(ctx context.Context, cursors []cursor) (run sortedRun, err error) {
	name := fmt.Sprintf("%s/run-%06d.tmp", s.space.folder, s.space.runs.Add(1))
	f, err := s.space.dir.Create(name)
	if err != nil {
		return run, errors.Join(err, closeCursors(cursors))
	}
	w, _ := s.space.writers.Get().(*blockWriter)
	if w == nil {
		w = &blockWriter{raw: make([]byte, 0, 2*maxBatchBytes)}
	}
	defer s.space.writers.Put(w)
	w.out, w.table = f, s.table
	run.names = []string{name}
	var rows []Row
	size := 0
	flush := func() error {
		if len(rows) == 0 {
			return nil
		}
		if run.first == nil {
			run.first = appendKey(nil, s.order, rows[0])
		}
		run.last = appendKey(run.last[:0], s.order, rows[len(rows)-1])
		err := w.writeRows(rows)
		rows, size = rows[:0], 0
		return err
	}
	err = mergeSorted(ctx, cursors, func(merged []Row) error {
		for _, r := range merged {
			bytes := r.ByteSize()
			if len(rows) == maxBatchRows || len(rows) > 0 && size+bytes > maxBatchBytes {
				if err := flush(); err != nil {
					return err
				}
			}
			rows, size = append(rows, r), size+bytes
		}
		return flush() // the rows are valid during this call only
	})
	return run, errors.Join(err, f.Close())
}

// openRuns opens runs for merging.
func (s *Sorter) openRuns(runs []sortedRun) ([]cursor, error) {
	var cursors []cursor
	for _, r := range runs {
		c := &runCursor{sorter: s, next: r.names}
		cursors = append(cursors, c)
		if err := c.openNext(); err != nil {
			return nil, errors.Join(err, closeCursors(cursors))
		}
	}
	return cursors, nil
}

func closeCursors(cursors []cursor) error {
	var err error
	for _, c := range cursors {
		err = errors.Join(err, c.close())
	}
	return err
}

// runCursor is a cursor over a run. [mergeSorted] releases its views.
type runCursor struct {
	sorter   *Sorter
	file     *durable.File // nil: it could not be opened
	next     []string      // files behind it
	blocks   blockReader
	view     *RecordView
	keys     sortKeys // of view
	position int32
}

func (s *runCursor) nextRow() (Row, []byte, bool, error) {
	if s.view == nil || int(s.position) == s.view.rows {
		ok, err := s.readBlock()
		if !ok || err != nil {
			return Row{}, nil, false, err
		}
	}
	r := s.view.Row(s.position)
	s.position++
	return r, s.keys.keyAt(int(r.Index)), true, nil
}

// readBlock reads the next block and computes its keys.
func (s *runCursor) readBlock() (ok bool, err error) {
	s.view = nil
	view, err := s.blocks.readRows()
	for errors.Is(err, io.EOF) {
		if len(s.next) == 0 {
			return false, nil
		}
		if err := s.openNext(); err != nil {
			return false, err
		}
		view, err = s.blocks.readRows()
	}
	if err != nil {
		return false, fmt.Errorf("read spilled rows of %s: %w", s.sorter.name, err)
	}
	s.view, s.position = view, 0
	s.keys.reset()
	for i := range int32(view.rows) { //nolint:gosec // at most maxBatchRows
		s.keys.addKey(s.sorter.order, view.Row(i))
	}
	return true, nil
}

// openNext opens the next file instead of the one that is read to its end.
func (s *runCursor) openNext() error {
	if err := s.close(); err != nil {
		return err
	}
	f, err := s.sorter.space.dir.Open(s.next[0])
	if err != nil {
		return err
	}
	s.file, s.next = f, s.next[1:]
	s.blocks.in, s.blocks.table = bufio.NewReaderSize(f, 64<<10), s.sorter.table
	return nil
}

func (s *runCursor) close() error {
	f := s.file
	if s.file = nil; f == nil {
		return nil
	}
	return f.Close()
}
