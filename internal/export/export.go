// Package export joins the lines of a list, or of a lake, with their events, and writes the result as
// one table: CSV, an Excel workbook or Parquet.
//
// # One row a prospect, or one an event
//
// A [Join] takes three streams, in any order: lines ([Join.AddLine]), what runs say about identifiers
// ([Join.AddState]) and revisions of events ([Join.AddEvent]). [Join.Match] finds the entity of each line
// by the identifier, and its events by the entity. [Join.Write] writes the lines in their order, each
// with what was found, or the events of the lines.
//
// # Memory
//
// Every step is a sort and a merge (package extsort), and rows beyond a fixed budget spill to a
// temporary directory. So memory depends neither on the number of lines nor on the size of the lake: 200,000
// lines with 2.6 million events take about 200 MiB in every format. In memory are the names of columns and
// signals, and of one entity at a time what its signals add up to, or with [Options.Events] its events.
//
// # Formulas
//
// Lists and events hold text from outside. Spreadsheets execute a cell that begins like a formula, so
// the CSV writer puts an apostrophe before it (see neutralise). In a workbook a text is typed as text,
// and Parquet has no formulas: both have every text as it is.
package export

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/siglake/siglake/schema"
)

// Format is a file format.
type Format string

// The formats.
const (
	CSV     Format = "csv"
	XLSX    Format = "xlsx"
	Parquet Format = "parquet"
)

// Formats lists the formats.
var Formats = []Format{CSV, XLSX, Parquet}

// Cell is a value of a column. The zero value is an empty cell.
type Cell struct {
	Set  bool
	Text string // of a String
	// Of an Int64; days since 1970-01-01 of a Date; microseconds since then of a Time, in UTC.
	N int64
}

// textCell is a text; empty: no value.
func textCell(s string) Cell { return Cell{Set: s != "", Text: s} }

func numberCell(n int64) Cell { return Cell{Set: true, N: n} }

// tableWriter writes a table, row by row. A row has a cell for each column.
type tableWriter interface {
	writeRow(cells []Cell) error
	// close completes the file. Without it the file is not readable.
	close() error
}

// RecordWriter encodes records of a table as a Parquet file. Close completes it.
type RecordWriter interface {
	WriteRecord(rec arrow.Record) error
	Close() error
}

// Output says where and how a table is written.
type Output struct {
	Format Format
	W      io.Writer
	// BOM begins a CSV file with a byte order mark, without which Excel takes UTF-8 for another encoding.
	BOM bool
	// Parquet begins a Parquet file. It is required for that format only.
	Parquet func(w io.Writer, t schema.Table) (RecordWriter, error)
}

func (o *Output) newWriter(columns []schema.Column, sheet, dir string) (tableWriter, error) {
	switch o.Format {
	case CSV:
		return newCSV(o.W, columns, o.BOM)
	case XLSX:
		return newWorkbook(o.W, columns, sheet, dir)
	case Parquet:
		return newParquet(o, columns)
	}
	return nil, fmt.Errorf("unknown format %q", o.Format)
}

// maxNameLength is how many characters of a header are kept.
const maxNameLength = 200

// columnNames makes the names of columns printable and distinct. Letter case does not distinguish:
// many engines ignore it.
type columnNames map[string]bool

// add returns the name of the next column.
func (n columnNames) add(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r), unicode.IsSpace(r):
			return ' '
		case unicode.Is(unicode.Cf, r), r == utf8.RuneError:
			return -1
		}
		return r
	}, name)
	name = strings.Join(strings.Fields(name), " ")
	if runes := []rune(name); len(runes) > maxNameLength {
		name = string(runes[:maxNameLength])
	}
	if name == "" {
		name = "column"
	}
	unique := name
	for i := 2; n[strings.ToLower(unique)]; i++ {
		unique = fmt.Sprintf("%s (%d)", name, i)
	}
	n[strings.ToLower(unique)] = true
	return unique
}
