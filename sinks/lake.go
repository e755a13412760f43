package sinks

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/siglake/siglake/internal/durable"
	"github.com/siglake/siglake/internal/extsort"
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

	prefix     string // compactDir for a compaction, which keeps every row
	partitions map[string]*partition
	memory     int64 // of all partitions
	fileCount  int   // files written so far

	comparison comparison // of events
	staged     []pipeline.File
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
	if err := checkLayout(p.table, rec); err != nil {
		return fmt.Errorf("write %s: %w", part, err)
	}
	if rec.NumRows() == 0 {
		return nil
	}
	l.memory -= p.Memory()
	err = p.Add(rec)
	l.memory += p.Memory()
	if err != nil {
		return fmt.Errorf("write %s: %w", part, err)
	}
	if l.memory <= l.options.SortMemory {
		return nil
	}
	// Half is freed at once, largest first: few, large runs.
	for l.memory > l.options.SortMemory/2 {
		p := l.largestPartition()
		l.memory -= p.Memory()
		if err := p.Spill(ctx); err != nil {
			return fmt.Errorf("spill %s: %w", p, err)
		}
	}
	return nil
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

// Memory is about how many bytes the rows in memory take.
func (p *partition) Memory() int64 {
	if p.compared == nil {
		return p.Sorter.Memory()
	}
	return p.Sorter.Memory() + p.compared.keys.Memory()
}

// Spill moves the rows in memory to disk.
func (p *partition) Spill(ctx context.Context) error {
	err := p.Sorter.Spill(ctx)
	if err == nil && p.compared != nil {
		err = p.compared.keys.Spill(ctx)
	}
	return err
}

// Release drops what is in memory.
func (p *partition) Release() {
	p.Sorter.Release()
	if p.compared != nil {
		p.compared.keys.Release()
	}
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
		p.compared, sorted = newComparer(&t, part.String(), l.space), numberedTable(&t)
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

func (l *Lake) largestPartition() *partition {
	var largest *partition
	for _, name := range slices.Sorted(maps.Keys(l.partitions)) {
		if p := l.partitions[name]; largest == nil || p.Memory() > largest.Memory() {
			largest = p
		}
	}
	return largest
}

// Close drops what was not published and removes the run's scratch directory.
// Closing again does nothing.
func (l *Lake) Close() error {
	if l.closed {
		return nil
	}
	l.closed = true
	for _, p := range l.partitions {
		p.Release()
	}
	l.partitions, l.staged = nil, nil
	err := l.dir.RemoveAll(l.runDir)
	l.dir.RemoveEmpty(stagingDir)
	if err := errors.Join(err, l.dir.Close()); err != nil {
		return fmt.Errorf("close lake: %w", err)
	}
	return nil
}
