package sinks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync/atomic"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/siglake/siglake/internal/durable"
	"github.com/siglake/siglake/internal/extsort"
	"github.com/siglake/siglake/internal/parallel"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// ErrConflict means that another process published to the lake at the same
// moment. Nothing is lost: publishing again takes the next generation.
var ErrConflict = errors.New("another process published at the same moment")

// ErrIntegrity means that the lake does not hold what it claims to hold: the chain of
// manifests is broken, or a file has other content than its name says.
var ErrIntegrity = errors.New("the lake contradicts itself")

// Lake writes one run into a lake. It is a pipeline.Sink and, like one, used by
// one goroutine. After an error of Write or Stage only Close is of use; Publish
// may be called again.
type Lake struct {
	generations
	uri     string // as it was opened
	options Options
	dir     *durable.Dir   // scratch space
	runDir  string         // this run's directory in it
	space   *extsort.Space // for spilling, in runDir

	prefix string // compactDir for a compaction, which keeps every row
	sorters
	fileCount *atomic.Int64 // files written so far

	comparison comparison // of events
	staged     []pipeline.File
	published  map[string][]int64 // of a Check: rows of the published files, by their directory; nil: files are written
	closed     bool
}

var _ pipeline.Sink = (*Lake)(nil)

// Write keeps the rows of a record. The record must have the layout of the
// partition's table. Rows of a partition that are equal in the table's sort
// columns stay in the order in which they were written.
func (l *Lake) Write(ctx context.Context, part schema.Partition, rec arrow.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if l.closed {
		return fmt.Errorf("write %s: the lake is closed", part)
	}
	p, err := l.partitionFor(part)
	if err != nil {
		return fmt.Errorf("write %s: %w", part, err)
	}
	if p.staged {
		return fmt.Errorf("write %s: its files have been staged", part)
	}
	if p.compared != nil && p.compared.verdicts != nil {
		return fmt.Errorf("write %s: the events of its table have been compared", part)
	}
	if err := checkLayout(p.table, rec); err != nil {
		return fmt.Errorf("write %s: %w", part, err)
	}
	if rec.NumRows() == 0 {
		return nil
	}
	if err := p.Add(rec); err != nil {
		return fmt.Errorf("write %s: %w", part, err)
	}
	return l.limitMemory(ctx, l.options.SortMemory, l.options.Jobs)
}

// sorters are what keeps rows in memory until they are staged.
type sorters struct {
	partitions map[string]*partition
	comparers  map[string]*comparer // by scope
}

func newSorters() sorters { return sorters{map[string]*partition{}, map[string]*comparer{}} }

// limitMemory spills rows and keys if they take more memory than they may, several sorters at once. Half is
// freed, largest first: few, large runs.
func (s *sorters) limitMemory(ctx context.Context, limit int64, jobs int) error {
	memory := s.memory()
	if memory <= limit {
		return nil
	}
	largest := s.bySize()
	n := 0
	for ; memory > limit/2; n++ {
		memory -= largest[n].Memory()
	}
	return parallel.Do(ctx, jobs, n, func(ctx context.Context, i int) error {
		if err := largest[i].Spill(ctx); err != nil {
			return fmt.Errorf("sort the rows of %s on disk: %w", largest[i].name, err)
		}
		return nil
	})
}

// all are the sorters by name.
func (s *sorters) all(yield func(name string, of *extsort.Sorter) bool) {
	for name, p := range s.partitions {
		if !yield(name, p.Sorter) {
			return
		}
	}
	for scope, c := range s.comparers {
		if !yield("the keys of "+scope, c.keys) {
			return
		}
	}
}

// memory is about how many bytes the rows and keys in memory take.
func (s *sorters) memory() (n int64) {
	for _, of := range s.all {
		n += of.Memory()
	}
	return n
}

// namedSorter is one of the sorters.
type namedSorter struct {
	*extsort.Sorter
	name string
}

// bySize are the sorters, largest first.
func (s *sorters) bySize() (all []namedSorter) {
	for name, of := range s.all {
		all = append(all, namedSorter{of, name})
	}
	slices.SortFunc(all, func(a, b namedSorter) int {
		return cmp.Or(cmp.Compare(b.Memory(), a.Memory()), cmp.Compare(a.name, b.name))
	})
	return all
}

// release drops what is in memory.
func (s *sorters) release() {
	for _, of := range s.all {
		of.Release()
	}
	s.partitions, s.comparers = nil, nil
}

// partition collects the rows of one partition.
type partition struct {
	schema.Partition
	*extsort.Sorter
	table    *schema.Table
	staged   bool      // its files are complete, and no row may be added
	compared *comparer // nil: its rows are not compared with published ones
	// Of the lines of a list; nil: other rows.
	originals *originals
}

// Add keeps a record.
func (p *partition) Add(rec arrow.Record) error {
	if p.originals != nil {
		p.originals.addRows(rec)
	}
	if p.compared == nil {
		return p.Sorter.Add(rec)
	}
	numbered, err := p.compared.addRows(rec)
	if err != nil {
		return err
	}
	defer numbered.Release()
	return p.Sorter.Add(numbered)
}

// partitionFor finds or begins a partition.
func (l *Lake) partitionFor(part schema.Partition) (*partition, error) {
	if p, ok := l.partitions[part.String()]; ok {
		return p, nil
	}
	if _, err := partitionDir(part); err != nil {
		return nil, err
	}
	t, ok := schema.TableNamed(part.Table)
	if !ok {
		return nil, fmt.Errorf("unknown table %q", part.Table)
	}
	t = t.AsOf(l.options.SchemaVersion)
	p := &partition{Partition: part, table: &t, originals: newOriginals(&t)}
	sorted := &t
	if l.prefix == "" && isCompared(&t) {
		p.compared, sorted = l.comparerFor(comparisonScope(part, l.options.SchemaVersion), &t, l.space), numberedTable(&t)
	}
	p.Sorter = extsort.New(sorted, part.String(), l.space)
	l.partitions[part.String()] = p
	return p, nil
}

// checkLayout compares a record with its table.
func checkLayout(t *schema.Table, rec arrow.Record) error {
	s := rec.Schema()
	if s.NumFields() != len(t.Columns) {
		return fmt.Errorf("record has %d columns, table %s has %d", s.NumFields(), t.Name, len(t.Columns))
	}
	for i, c := range t.Columns {
		f := s.Field(i)
		if f.Name != c.Name || !arrow.TypeEqual(f.Type, c.Type.Arrow()) {
			return fmt.Errorf("column %d of the record is %s %s, table %s has %s %s",
				i, f.Name, f.Type, t.Name, c.Name, c.Type.Arrow())
		}
	}
	return nil
}

// partitionDir is the directory of a partition.
func partitionDir(p schema.Partition) (string, error) {
	if p.Key == "" && p.Value == "" {
		if t, ok := schema.TableNamed(p.Table); ok && t.IsProduct() {
			return dataDir + "/" + p.Table, nil
		}
		return ledgerDir + "/" + p.Table, nil
	}
	if !validHive.MatchString(p.Key) || !validHive.MatchString(p.Value) {
		return "", fmt.Errorf("partition %q=%q: want letters, digits, '-' and '_'", p.Key, p.Value)
	}
	return dataDir + "/" + p.String(), nil
}

var validHive = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*$`)

// Close drops what was not published and removes the run's scratch directory.
// Closing again does nothing.
func (l *Lake) Close() error {
	if l.closed {
		return nil
	}
	l.closed = true
	l.release()
	l.staged = nil
	err := l.dir.RemoveAll(l.runDir)
	l.dir.RemoveEmpty(stagingDir)
	if err := errors.Join(err, l.dir.Close()); err != nil {
		return fmt.Errorf("close lake: %w", err)
	}
	return nil
}
