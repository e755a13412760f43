package sinks

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"

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

// sortedRun is a file of sorted rows of one partition, in Arrow's stream format. Runs
// are scratch: they are not synced and do not outlive the process.
type sortedRun struct {
	name  string
	level int // how many merges its rows went through
}

// spillPartition sorts what the partition has in memory and moves it to disk.
func (l *Lake) spillPartition(ctx context.Context, p *partition) error {
	name, err := l.writeRun(ctx, p, []cursor{p.sortRecords()})
	if err != nil {
		return err
	}
	p.releaseRecords()
	p.runs = append(p.runs, sortedRun{name: name})
	return l.mergeLevels(ctx, p)
}

// mergeLevels merges the newest runs into one as soon as mergeFanIn of them are on the
// same level, so that each row is rewritten once per level. Neighbours only are
// merged, so that rows stay in the order they came.
func (l *Lake) mergeLevels(ctx context.Context, p *partition) error {
	for {
		level, first := p.runs[len(p.runs)-1].level, len(p.runs)
		for first > 0 && p.runs[first-1].level == level {
			first--
		}
		if len(p.runs)-first < mergeFanIn {
			return nil
		}
		if err := l.mergeRuns(ctx, p, first, len(p.runs)); err != nil {
			return err
		}
	}
}

// reduceRuns merges the newest, smallest runs until few enough are left to be read
// at once.
func (l *Lake) reduceRuns(ctx context.Context, p *partition) error {
	for len(p.runs) > mergeFanIn {
		n := min(mergeFanIn, len(p.runs)-mergeFanIn+1)
		if err := l.mergeRuns(ctx, p, len(p.runs)-n, len(p.runs)); err != nil {
			return err
		}
	}
	return nil
}

// mergeRuns replaces neighbouring runs by one.
func (l *Lake) mergeRuns(ctx context.Context, p *partition, from, to int) error {
	cursors, err := l.openRuns(p, p.runs[from:to])
	if err != nil {
		return err
	}
	name, err := l.writeRun(ctx, p, cursors)
	if err != nil {
		return err
	}
	for _, r := range p.runs[from:to] {
		if err := l.dir.Remove(r.name); err != nil {
			return err
		}
	}
	merged := sortedRun{name: name, level: p.runs[from].level + 1}
	p.runs = append(append(p.runs[:from:from], merged), p.runs[to:]...)
	return nil
}

// writeRun merges the cursors into a new run, and closes them.
func (l *Lake) writeRun(ctx context.Context, p *partition, cursors []cursor) (name string, err error) {
	l.runCount++
	name = fmt.Sprintf("%s/run-%06d.arrow.tmp", l.runDir, l.runCount)
	f, err := l.dir.Create(name)
	if err != nil {
		return "", errors.Join(err, closeCursors(cursors))
	}
	buffered := bufio.NewWriterSize(f, 256<<10)
	w := ipc.NewWriter(buffered, ipc.WithSchema(p.arrow), ipc.WithLZ4())
	b := array.NewRecordBuilder(memory.DefaultAllocator, p.arrow)
	defer b.Release()

	var rows []row
	bytes := 0
	flush := func() error {
		if len(rows) == 0 {
			return nil
		}
		rec := buildRecord(b, p.table, rows)
		defer rec.Release()
		rows, bytes = rows[:0], 0
		return w.Write(rec)
	}
	err = mergeSorted(ctx, cursors, func(merged []row) error {
		for _, r := range merged {
			size := r.byteSize()
			if len(rows) == maxBatchRows || len(rows) > 0 && bytes+size > maxBatchBytes {
				if err := flush(); err != nil {
					return err
				}
			}
			rows, bytes = append(rows, r), bytes+size
		}
		return flush() // the rows are lent for this call only
	})
	if err == nil {
		err = w.Close()
	}
	if err == nil {
		err = buffered.Flush()
	}
	return name, errors.Join(err, f.Close())
}

// openRuns opens runs for merging.
func (l *Lake) openRuns(p *partition, runs []sortedRun) ([]cursor, error) {
	var cursors []cursor
	for _, r := range runs {
		f, err := l.dir.Open(r.name)
		if err != nil {
			return nil, errors.Join(err, closeCursors(cursors))
		}
		cursors = append(cursors, &runCursor{p: p, file: f, buffered: bufio.NewReaderSize(f, 64<<10)})
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

// runCursor is a cursor over a run. Its batches are released by whoever has
// finished with their last row.
type runCursor struct {
	p        *partition
	file     *durable.File
	buffered io.Reader
	reader   *ipc.Reader
	view     *recordView
	keys     sortKeys // of batch
	position int32
}

func (s *runCursor) nextRow() (row, []byte, bool, error) {
	if s.view == nil || int64(s.position) == s.view.record.NumRows() {
		ok, err := s.readBatch()
		if !ok || err != nil {
			return row{}, nil, false, err
		}
	}
	r := row{s.view, s.position}
	s.position++
	return r, s.keys.keyAt(int(r.index)), true, nil
}

// readBatch reads the next batch and computes its keys.
func (s *runCursor) readBatch() (ok bool, err error) {
	if s.reader == nil {
		s.reader, err = ipc.NewReader(s.buffered, ipc.WithSchema(s.p.arrow))
		if err != nil {
			return false, s.readError(err)
		}
	}
	s.view = nil
	rec, err := s.reader.Read()
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	if err != nil {
		return false, s.readError(err)
	}
	rec.Retain()
	s.view, s.position = newRecordView(s.p.table, rec), 0
	s.keys.reset()
	for i := range int32(rec.NumRows()) {
		s.keys.addKey(s.p.order, row{s.view, i})
	}
	return true, nil
}

func (s *runCursor) readError(err error) error {
	return fmt.Errorf("read spilled rows of %s: %w", s.p, err)
}

func (s *runCursor) close() error {
	if s.reader != nil {
		s.reader.Release()
	}
	return s.file.Close()
}
