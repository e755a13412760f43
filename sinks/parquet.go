package sinks

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strconv"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/parquet-go/parquet-go"

	"github.com/siglake/siglake/schema"
)

// Metadata keys of a file, beside those of package schema.
const (
	metaVersion = "siglake.version"        // of the program
	metaDigest  = "siglake.logical_digest" // SHA-256 of the rows, as in the manifest
	metaColumn  = "siglake.column."        // + name: the column's type, doc, unit and source as JSON
	metaArrow   = "ARROW:schema"           // lets Arrow restore the fields' own metadata
)

// maxRowGroup ends a row group early: until it is complete, its encoded pages
// and dictionaries are in memory.
const maxRowGroup = 16 << 20

// pageSize is what a page may take before it is encoded. Small pages make the
// page index worth reading and keep fifty open columns affordable.
const pageSize = 64 << 10

// encoder writes one Parquet file, column by column.
type encoder struct {
	w       *parquet.GenericWriter[any]
	columns []*parquet.ColumnWriter
	values  []parquet.Value
	most    int   // rows of a row group
	rows    int   // in the row group at hand
	flushed int64 // size of the file when the last row group ended
}

func newEncoder(out io.Writer, t *schema.Table, o *Options) *encoder {
	options := []parquet.WriterOption{
		parquetSchema(t),
		&parquet.WriterConfig{CreatedBy: "siglake version " + o.Version},
		parquet.Compression(&parquet.Zstd),
		parquet.PageBufferSize(pageSize),
		parquet.WriteBufferSize(256 << 10),
		// Version 1 pages, because every engine reads them. Their headers carry
		// no statistics: the page index has them, shortened.
		parquet.DataPageVersion(1),
		parquet.DataPageStatistics(false),
	}
	if len(t.Sort) > 0 {
		var order []parquet.SortingColumn
		for _, name := range t.Sort {
			order = append(order, parquet.NullsFirst(parquet.Ascending(name)))
		}
		options = append(options, parquet.SortingWriterConfig(parquet.SortingColumns(order...)))
	}
	if len(t.Bloom) > 0 {
		var filters []parquet.BloomFilterColumn
		for _, name := range t.Bloom {
			filters = append(filters, parquet.SplitBlockFilter(10, name))
		}
		options = append(options, parquet.BloomFilters(filters...))
	}
	for key, value := range metadata(t, o) {
		options = append(options, parquet.KeyValueMetadata(key, value))
	}
	w := parquet.NewGenericWriter[any](out, options...)
	return &encoder{w: w, columns: w.ColumnWriters(), most: o.RowGroupRows}
}

// write appends rows; it keeps nothing of them.
func (e *encoder) write(rows []row) error {
	for len(rows) > 0 {
		n := min(len(rows), e.most-e.rows)
		for i, c := range e.columns {
			if err := e.writeColumn(c, i, rows[:n]); err != nil {
				return err
			}
		}
		e.rows += n
		rows = rows[n:]
		if e.rows == e.most || e.w.Size()-e.flushed > maxRowGroup {
			if err := e.endRowGroup(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *encoder) endRowGroup() error {
	if err := e.w.Flush(); err != nil {
		return err
	}
	e.rows, e.flushed = 0, e.w.Size()
	return nil
}

// writeColumn appends one column of the rows. A page ends with the call that
// fills it, so long texts are handed over in pieces of about a page.
func (e *encoder) writeColumn(w *parquet.ColumnWriter, index int, rows []row) error {
	values, text := e.values[:0], 0
	for _, r := range rows {
		c := &r.b.cols[index]
		if c.null(r.i) {
			values = append(values, parquet.Value{}.Level(0, 0, index))
			continue
		}
		var v parquet.Value
		switch c.typ {
		case schema.String:
			s := c.str(r.i)
			v, text = parquet.ByteArrayValue(s), text+len(s)
		case schema.Int64, schema.Time:
			v = parquet.Int64Value(c.long(r.i))
		case schema.Double:
			v = parquet.DoubleValue(c.real(r.i))
		case schema.Date:
			v = parquet.Int32Value(c.day(r.i))
		case schema.Bool:
			v = parquet.BooleanValue(c.bit(r.i))
		}
		values = append(values, v.Level(0, 1, index))
		if text >= pageSize/4 {
			if _, err := w.WriteRowValues(values); err != nil {
				return err
			}
			values, text = values[:0], 0
		}
	}
	e.values = values[:0]
	if len(values) == 0 {
		return nil
	}
	_, err := w.WriteRowValues(values)
	return err
}

// size is how large the file is so far, pages in memory included.
func (e *encoder) size() int64 { return e.w.Size() }

// close writes the footer, with the digest of the rows.
func (e *encoder) close(digest string) error {
	e.w.SetKeyValueMetadata(metaDigest, digest)
	return e.w.Close()
}

// footer is what can be learnt of a file without reading its rows.
type footer struct {
	rows      int64
	rowGroups int
	digest    string
}

// readFooter opens a file as a reader would. Files may come from anywhere, so
// whatever goes wrong is an error.
func readFooter(r io.ReaderAt, size int64) (f footer, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("not a readable Parquet file: %v", p)
		}
	}()
	file, err := parquet.OpenFile(r, size)
	if err != nil {
		return footer{}, fmt.Errorf("not a readable Parquet file: %w", err)
	}
	digest, _ := file.Lookup(metaDigest)
	return footer{rows: file.NumRows(), rowGroups: len(file.RowGroups()), digest: digest}, nil
}

// parquetSchema lays the table out with its columns in their order, all
// optional.
func parquetSchema(t *schema.Table) *parquet.Schema {
	root := orderedGroup{Group: parquet.Group{}}
	for _, c := range t.Columns {
		node := parquet.Optional(leaf(c))
		root.Group[c.Name] = node
		root.fields = append(root.fields, &field{Node: node, name: c.Name})
	}
	return parquet.NewSchema(t.Name, root)
}

// leaf picks a column's type and encoding.
func leaf(c schema.Column) parquet.Node {
	switch c.Type {
	case schema.Int64:
		return parquet.Encoded(parquet.Int(64), &parquet.DeltaBinaryPacked)
	case schema.Double:
		return parquet.Encoded(parquet.Leaf(parquet.DoubleType), &parquet.Plain)
	case schema.Bool:
		return parquet.Encoded(parquet.Leaf(parquet.BooleanType), &parquet.Plain)
	case schema.Date:
		return parquet.Encoded(parquet.Date(), &parquet.RLEDictionary)
	case schema.Time:
		return parquet.Encoded(parquet.Timestamp(parquet.Microsecond), &parquet.RLEDictionary)
	}
	if c.Rare {
		return parquet.Encoded(parquet.String(), &parquet.Plain)
	}
	return parquet.Encoded(parquet.String(), &parquet.RLEDictionary)
}

// orderedGroup is a group that keeps its fields in order, where parquet.Group
// sorts them by name.
type orderedGroup struct {
	parquet.Group
	fields []parquet.Field
}

// Fields gives the fields in the table's order.
func (g orderedGroup) Fields() []parquet.Field { return g.fields }

type field struct {
	parquet.Node
	name string
}

// Name is the column's name.
func (f *field) Name() string { return f.name }

// Value is asked for by readers of Go structs, of which there are none here.
func (f *field) Value(base reflect.Value) reflect.Value {
	return base.MapIndex(reflect.ValueOf(f.name))
}

// metadata is what a file says about itself to readers, down to each column.
func metadata(t *schema.Table, o *Options) map[string]string {
	md := map[string]string{
		schema.MetaTable:   t.Name,
		schema.MetaVersion: strconv.Itoa(t.Version),
		schema.MetaDoc:     t.Doc,
		schema.MetaRun:     o.RunID,
		metaVersion:        o.Version,
		metaArrow:          arrowSchema(t.Arrow()),
	}
	for _, f := range t.Arrow().Fields() {
		of := func(key string) string {
			value, _ := f.Metadata.GetValue(key)
			return value
		}
		doc, _ := json.Marshal(struct { // strings only: cannot fail
			Type   string `json:"type"`
			Doc    string `json:"doc"`
			Unit   string `json:"unit,omitempty"`
			Source string `json:"source"`
		}{t.Columns[t.Index(f.Name)].Type.String(), of("doc"), of("unit"), of("source")})
		md[metaColumn+f.Name] = string(doc)
	}
	return md
}

// arrowSchema is the schema as an empty Arrow stream, in base64, as Arrow's own
// Parquet writers keep it.
func arrowSchema(s *arrow.Schema) string {
	var b bytes.Buffer
	w := ipc.NewWriter(&b, ipc.WithSchema(s))
	if err := w.Close(); err != nil {
		return "" // cannot happen in memory; readers do without
	}
	return base64.StdEncoding.EncodeToString(b.Bytes())
}
