package export

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/siglake/siglake/internal/extsort"
	"github.com/siglake/siglake/schema"
)

// sortedRows are rows that are collected in any order and read in the order of their key. A row has the
// columns of the key, texts or numbers, and one text that holds all other values packed.
type sortedRows struct {
	table   schema.Table
	sorter  *extsort.Sorter
	budget  int64
	builder *array.RecordBuilder
	column  int // the next one of the current row
	rows    int // in the builder
	bytes   int // of texts in the builder
	packed  packer
}

// maxBatchText is how many bytes of text a batch of rows collects.
const maxBatchText = 1 << 20

// newSortedRows has a key of the given columns; those whose names begin with # are numbers.
func newSortedRows(name string, space *extsort.Space, budget int64, key ...string) *sortedRows {
	s := &sortedRows{table: schema.Table{Name: name, Version: 1}, budget: budget}
	for _, column := range key {
		t := schema.String
		if column[0] == '#' {
			t = schema.Int64
		}
		s.table.Columns = append(s.table.Columns, schema.Column{Name: column, Type: t})
		s.table.Sort = append(s.table.Sort, column)
	}
	s.table.Columns = append(s.table.Columns, schema.Column{Name: "packed"})
	s.sorter = extsort.New(&s.table, name, space)
	s.builder = array.NewRecordBuilder(memory.DefaultAllocator, s.table.Arrow())
	return s
}

// text sets the next column of the key.
func (s *sortedRows) text(value string) {
	s.builder.Field(s.column).(*array.StringBuilder).Append(value)
	s.bytes += len(value)
	s.column++
}

// number sets the next column of the key.
func (s *sortedRows) number(value int64) {
	s.builder.Field(s.column).(*array.Int64Builder).Append(value)
	s.column++
}

// end completes the row with what was packed.
func (s *sortedRows) end(ctx context.Context) error {
	s.builder.Field(s.column).(*array.StringBuilder).BinaryBuilder.Append(s.packed)
	s.bytes += len(s.packed)
	s.column, s.packed = 0, s.packed[:0]
	if s.rows++; s.rows < maxBatchRows && s.bytes < maxBatchText {
		return nil
	}
	return s.flush(ctx)
}

func (s *sortedRows) flush(ctx context.Context) error {
	rec := s.builder.NewRecord()
	defer rec.Release()
	s.rows, s.bytes = 0, 0
	if err := s.sorter.Add(rec); err != nil {
		return err
	}
	if s.sorter.Memory() > s.budget {
		return errors.Join(s.sorter.Spill(ctx), ctx.Err())
	}
	return nil
}

// read hands all rows over in order, and drops them. The row is valid during the call only.
func (s *sortedRows) read(ctx context.Context, yield func(sortedRow) error) error {
	if err := s.flush(ctx); err != nil {
		return err
	}
	last := len(s.table.Columns) - 1
	err := s.sorter.Merge(ctx, func(rows []extsort.Row) error {
		for _, r := range rows {
			row := sortedRow{Row: r, unpacker: unpacker{r.View.Columns[last].TextAt(r.Index)}}
			if err := yield(row); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
	s.release()
	return errors.Join(err, s.sorter.RemoveRuns())
}

func (s *sortedRows) release() {
	s.sorter.Release()
	if s.builder != nil {
		s.builder.Release()
		s.builder = nil
	}
}

// sortedRow is a row with its packed values, which are read in the order in which they were packed.
type sortedRow struct {
	extsort.Row
	unpacker
}

func (r *sortedRow) keyText(column int) []byte { return r.View.Columns[column].TextAt(r.Index) }

func (r *sortedRow) keyNumber(column int) int64 { return r.View.Columns[column].Int64At(r.Index) }

// packer appends values.
type packer []byte

func (p *packer) text(s string) {
	*p = append(binary.AppendUvarint(*p, uint64(len(s))), s...)
}

func (p *packer) number(n int64) { *p = binary.AppendVarint(*p, n) }

// optional packs a number that may be missing.
func (p *packer) optional(c Cell) {
	if !c.Set {
		*p = append(*p, 0)
		return
	}
	*p = append(*p, 1)
	p.number(c.N)
}

// unpacker reads values back.
type unpacker struct{ rest []byte }

func (u *unpacker) text() string {
	size, n := binary.Uvarint(u.rest)
	end := n + int(size) //nolint:gosec // it was packed by this process
	s := string(u.rest[n:end])
	u.rest = u.rest[end:]
	return s
}

func (u *unpacker) number() int64 {
	v, n := binary.Varint(u.rest)
	u.rest = u.rest[n:]
	return v
}

func (u *unpacker) optional() Cell {
	set := u.rest[0] == 1
	u.rest = u.rest[1:]
	if !set {
		return Cell{}
	}
	return numberCell(u.number())
}
