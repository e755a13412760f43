package sinks

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding"
	"github.com/parquet-go/parquet-go/format"

	"github.com/siglake/siglake/internal/extsort"
	"github.com/siglake/siglake/internal/parallel"
	"github.com/siglake/siglake/schema"
)

// Metadata keys of a file, in addition to those of package schema.
const (
	metaVersion = "siglake.version"        // of the program
	metaDigest  = "siglake.logical_digest" // SHA-256 of the rows, as in the manifest
	metaColumn  = "siglake.column."        // + name: the column's type, doc, unit and source as JSON
	metaArrow   = "ARROW:schema"           // lets Arrow restore the fields' own metadata
	metaRuns    = "siglake.runs"           // of a compaction's file: the runs that wrote its rows, comma-separated
)

// maxRowGroupBytes ends a row group early: its encoded pages and dictionaries are in
// memory until it is complete. Each row group repeats the dictionaries.
const maxRowGroupBytes = 12 << 20

// A page ends once it takes pageSize before it is encoded, and then only after a multiple of pageRows rows:
// DuckDB reads so many at a time, and decodes the few rows that it looks for alone only where a page holds all
// of them. Pages of 256 KiB make files 0.9 % larger. Rows with long texts end a page at maxPageSize.
const (
	pageSize    = 512 << 10
	pageRows    = 2048
	maxPageSize = 3 * pageSize
)

// describedSize is the size from which a file describes its columns. The description takes 11 KB of the footer,
// which every query reads. Package schema has it too.
const describedSize = 4 << 20

// encoder writes one Parquet file, column by column, several at once. It keeps the first rows until it is
// known whether the file is small. A page of a column depends on the rows alone, and where a row group ends
// on the pages of all columns: so the bytes of the file do not depend on how many are encoded at once.
type encoder struct {
	out     io.Writer
	table   *schema.Table
	options *Options
	small   smallFile

	w          *parquet.GenericWriter[any] // nil: the file may be small
	tail       tailWriter
	columns    []columnPages
	described  int64 // size from which the file describes its columns
	maxRows    int   // rows of a row group
	groupRows  int   // in the current row group
	groupStart int64 // size of the file when the last row group ended
}

func newEncoder(out io.Writer, t *schema.Table, o *Options) *encoder {
	return &encoder{out: out, table: t, options: o, described: describedSize, maxRows: o.RowGroupRows}
}

// columnPages writes the pages of a column.
type columnPages struct {
	*parquet.ColumnWriter
	valueBytes int // of a value in a page; texts that are no indexes into a dictionary add their length
	isText     bool
	bytes      int // about what the current page takes
}

// begin starts the file with the rows that were kept.
func (e *encoder) begin(out io.Writer, small bool) error {
	e.tail.out = out
	e.w = parquet.NewGenericWriter[any](&e.tail, writerOptions(e.table, e.options, small)...)
	for i, w := range e.w.ColumnWriters() {
		c := columnPages{ColumnWriter: w, valueBytes: 8}
		isIndex := leafNode(e.table.Columns[i], e.options, small).Encoding().Encoding() == format.RLEDictionary
		if c.isText = e.table.Columns[i].Type == schema.String && !isIndex; c.isText || isIndex {
			c.valueBytes = 4
		}
		e.columns = append(e.columns, c)
	}
	return e.small.moveRows(e.encodeRows)
}

func writerOptions(t *schema.Table, o *Options, small bool) []parquet.WriterOption {
	options := []parquet.WriterOption{
		parquetSchema(t, o, small),
		&parquet.WriterConfig{CreatedBy: "siglake version " + o.Version},
		parquet.Compression(new(pageCodec)),
		parquet.PageBufferSize(maxPageSize),
		parquet.WriteBufferSize(256 << 10),
		parquet.ColumnIndexSizeLimit(func([]string) int { return maxBound }),
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
	if len(t.Bloom) > 0 && !small {
		var filters []parquet.BloomFilterColumn
		for _, name := range t.Bloom {
			filters = append(filters, parquet.SplitBlockFilter(10, name))
		}
		options = append(options, parquet.BloomFilters(filters...))
	}
	for key, value := range fileMetadata(t, o) {
		options = append(options, parquet.KeyValueMetadata(key, value))
	}
	return options
}

// writeRows appends rows and retains none of them.
func (e *encoder) writeRows(rows []extsort.Row) error {
	if e.w != nil {
		return e.encodeRows(rows)
	}
	if e.small.keepRows(e.table, rows) {
		if !e.small.isSmall(e.options.TargetFileSize) {
			return e.begin(e.out, false)
		}
		return nil
	}
	if err := e.begin(e.out, false); err != nil {
		return err
	}
	return e.encodeRows(rows)
}

func (e *encoder) encodeRows(rows []extsort.Row) error {
	for len(rows) > 0 {
		n := min(len(rows), e.maxRows-e.groupRows, pageRows-e.groupRows%pageRows)
		e.groupRows += n
		pageMayEnd := e.groupRows%pageRows == 0
		err := e.eachColumn(func(i int) error {
			err := e.writeColumn(i, rows[:n])
			if err == nil && pageMayEnd && e.columns[i].bytes >= pageSize {
				err = e.columns[i].endPage()
			}
			return err
		})
		if err != nil {
			return err
		}
		rows = rows[n:]
		if e.groupRows == e.maxRows || e.w.Size()-e.groupStart > maxRowGroupBytes {
			if err := e.endRowGroup(); err != nil {
				return err
			}
		}
	}
	return nil
}

// eachColumn does something with every column. They have nothing in common but where their pages go in the end.
func (e *encoder) eachColumn(do func(i int) error) error {
	return parallel.Each(e.options.Jobs, len(e.columns), do)
}

func (c *columnPages) endPage() error {
	c.bytes = 0
	return c.Flush()
}

func (e *encoder) endRowGroup() error {
	if err := e.endPages(); err != nil {
		return err
	}
	if err := e.w.Flush(); err != nil {
		return err
	}
	e.groupRows, e.groupStart = 0, e.w.Size()
	return nil
}

// endPages ends the pages of a row group, as its end would, one column after another.
func (e *encoder) endPages() error {
	return e.eachColumn(func(i int) error { return e.columns[i].endPage() })
}

// pageValues has values of a column, whose memory is used again: *[]parquet.Value.
var pageValues sync.Pool

// writeColumn appends one column of the rows. A page of maxPageSize ends with the call that
// fills it, so long texts are handed over in pieces.
func (e *encoder) writeColumn(index int, rows []extsort.Row) error {
	w := &e.columns[index]
	w.bytes += w.valueBytes * len(rows)
	kept, _ := pageValues.Get().(*[]parquet.Value)
	if kept == nil {
		kept = new([]parquet.Value)
	}
	defer pageValues.Put(kept)
	values, text := (*kept)[:0], 0
	for _, r := range rows {
		c := &r.View.Columns[index]
		if c.IsNull(r.Index) {
			values = append(values, parquet.Value{})
			continue
		}
		var v parquet.Value
		switch c.Type {
		case schema.String:
			s := c.TextAt(r.Index)
			v, text = parquet.ByteArrayValue(s), text+len(s)
			if w.isText {
				w.bytes += len(s)
			}
		case schema.Int64, schema.Time:
			v = parquet.Int64Value(c.Int64At(r.Index))
		case schema.Double:
			v = parquet.DoubleValue(c.Float64At(r.Index))
		case schema.Date:
			v = parquet.Int32Value(c.DateAt(r.Index))
		case schema.Bool:
			v = parquet.BooleanValue(c.BoolAt(r.Index))
		}
		values = append(values, v)
		values[len(values)-1].SetDefinitionLevel(1)
		if text >= pageSize/4 {
			if _, err := w.WriteRowValues(values); err != nil {
				return err
			}
			values, text = values[:0], 0
		}
	}
	*kept = values[:0]
	if len(values) == 0 {
		return nil
	}
	_, err := w.WriteRowValues(values)
	return err
}

// encodedSize is the current size of the file, including pages in memory.
func (e *encoder) encodedSize() int64 {
	if e.w == nil {
		return 0
	}
	return e.w.Size()
}

// closeWithDigest writes the footer, with the digest of the rows.
func (e *encoder) closeWithDigest(digest string) error {
	if e.w == nil {
		return e.writeSmall(digest)
	}
	e.w.SetKeyValueMetadata(metaDigest, digest)
	if err := e.endRowGroup(); err != nil {
		return err
	}
	if e.w.Size() >= e.described {
		metadata := columnMetadata(e.table)
		for _, key := range slices.Sorted(maps.Keys(metadata)) {
			e.w.SetKeyValueMetadata(key, metadata[key])
		}
	}
	e.tail.keep = true
	if err := e.w.Close(); err != nil {
		return err
	}
	tail, err := trimFooter(e.tail.kept.Bytes())
	if err != nil {
		return err
	}
	_, err = e.out.Write(tail)
	return err
}

// writeSmall writes all of a small file.
func (e *encoder) writeSmall(digest string) error {
	var file bytes.Buffer
	if err := e.begin(&file, true); err != nil {
		return err
	}
	e.w.SetKeyValueMetadata(metaDigest, digest)
	if err := e.w.Close(); err != nil {
		return err
	}
	trimmed, err := trimSmallFile(file.Bytes())
	if err != nil {
		return err
	}
	_, err = e.out.Write(trimmed)
	return err
}

// footer is what a file states about itself, readable without its rows.
type footer struct {
	rows      int64
	rowGroups int
	digest    string
}

// readFooter opens a file as a reader would. Files may come from anywhere, so every
// failure, even a panic, becomes an error.
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

// readRows reads a file of a table and hands its rows over in records, which are valid
// during the call only. The records have the table's current layout: columns that were
// added later are null. readRows returns the runs that wrote the rows. It checks the
// rows against the digest in the file's footer, so a misread value is an error.
func readRows(r io.ReaderAt, size int64, t *schema.Table, yield func(arrow.Record) error) (runs []string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: not a readable Parquet file: %v", ErrIntegrity, p)
		}
	}()
	file, err := parquet.OpenFile(r, size)
	if err != nil {
		return nil, fmt.Errorf("%w: not a readable Parquet file: %w", ErrIntegrity, err)
	}
	written, err := tableAsWritten(file, t)
	if err != nil {
		return nil, err
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, written.Arrow())
	defer b.Release()
	d := newDigest(written)
	for _, group := range file.RowGroups() {
		if err := readRowGroup(group, b, func(rec arrow.Record) error {
			view := extsort.NewRecordView(written, rec)
			for i := range int32(rec.NumRows()) {
				d.addRow(view.Row(i))
			}
			rec = addMissingColumns(t, rec)
			defer rec.Release()
			return yield(rec)
		}); err != nil {
			return nil, err
		}
	}
	stated, _ := file.Lookup(metaDigest)
	if got := d.hexSum(); got != stated {
		return nil, fmt.Errorf("%w: its rows have digest %.16s, its footer says %.16s", ErrIntegrity, got, stated)
	}
	text, ok := file.Lookup(metaRuns)
	if !ok {
		text, _ = file.Lookup(schema.MetaRun)
	}
	return strings.Split(text, ","), nil
}

// tableAsWritten is the table's layout at the time when the file was written.
func tableAsWritten(file *parquet.File, t *schema.Table) (*schema.Table, error) {
	text, _ := file.Lookup(schema.MetaVersion)
	version, err := strconv.Atoi(text)
	if err != nil {
		return nil, fmt.Errorf("it states no schema version: %q", text)
	}
	fields := file.Schema().Fields()
	if version > t.Version || len(fields) > len(t.Columns) {
		return nil, fmt.Errorf("it has version %d of table %s with %d columns, this program knows version %d with %d: use the program that wrote it", version, t.Name, len(fields), t.Version, len(t.Columns))
	}
	written := *t
	written.Version, written.Columns = version, make([]schema.Column, len(fields))
	for i, f := range fields {
		at := t.ColumnIndex(f.Name())
		if at < 0 {
			return nil, fmt.Errorf("column %d is %s, a %s, which table %s does not have", i+1, f.Name(), f.Type(), t.Name)
		}
		c := t.Columns[at]
		if !f.Optional() || f.Type().Kind() != leafNode(c, &Options{}, false).Type().Kind() {
			return nil, fmt.Errorf("column %d, %s, is a %s; table %s has a %s there", i+1, f.Name(), f.Type(), t.Name, c.Type)
		}
		written.Columns[i] = c
	}
	return &written, nil
}

// addMissingColumns gives a record the columns of the table: those that were added later are null. The caller owns the
// record.
func addMissingColumns(t *schema.Table, rec arrow.Record) arrow.Record {
	s := t.Arrow()
	columns := make([]arrow.Array, s.NumFields())
	for i, f := range s.Fields() {
		if at := rec.Schema().FieldIndices(f.Name); len(at) > 0 {
			columns[i] = rec.Column(at[0])
			continue
		}
		columns[i] = array.MakeArrayOfNull(memory.DefaultAllocator, f.Type, int(rec.NumRows()))
		defer columns[i].Release()
	}
	return array.NewRecord(s, columns, rec.NumRows())
}

// readBatchRows is how many rows are read at a time.
const readBatchRows = 1024

// readRowGroup reads the columns of a row group side by side.
func readRowGroup(group parquet.RowGroup, b *array.RecordBuilder, yield func(arrow.Record) error) (err error) {
	var columns []*columnReader
	defer func() {
		for _, c := range columns {
			err = errors.Join(err, c.closePages())
		}
	}()
	for _, chunk := range group.ColumnChunks() {
		columns = append(columns, &columnReader{Pages: chunk.Pages()})
	}
	for remaining := group.NumRows(); remaining > 0; {
		n := min(remaining, readBatchRows)
		for i, c := range columns {
			if err := c.readInto(int(n), b.Field(i)); err != nil {
				return fmt.Errorf("column %s: %w", b.Schema().Field(i).Name, err)
			}
		}
		rec := b.NewRecord()
		err := yield(rec)
		rec.Release()
		if err != nil {
			return err
		}
		remaining -= n
	}
	return nil
}

// columnReader walks the values of a column chunk.
type columnReader struct {
	parquet.Pages
	page   parquet.Page
	values parquet.ValueReader
	buf    [256]parquet.Value
}

// readInto appends n values to a builder.
func (p *columnReader) readInto(n int, b array.Builder) error {
	return p.visitValues(int64(n), func(_ int64, v parquet.Value) { appendValue(b, v) })
}

// visitValues calls visit with the next n values, which are valid during the call only.
func (p *columnReader) visitValues(n int64, visit func(at int64, v parquet.Value)) (err error) {
	for at := int64(0); at < n; {
		if p.page == nil {
			if p.page, err = p.ReadPage(); errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			if err != nil {
				return err
			}
			p.values = p.page.Values()
		}
		got, err := p.values.ReadValues(p.buf[:min(n-at, int64(len(p.buf)))])
		for _, v := range p.buf[:got] {
			visit(at, v)
			at++
		}
		if errors.Is(err, io.EOF) {
			parquet.Release(p.page)
			p.page = nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (p *columnReader) closePages() error {
	if p.page != nil {
		parquet.Release(p.page)
	}
	return p.Close()
}

func appendValue(b array.Builder, v parquet.Value) {
	if v.IsNull() {
		b.AppendNull()
		return
	}
	switch b := b.(type) {
	case *array.StringBuilder:
		b.BinaryBuilder.Append(v.ByteArray())
	case *array.Int64Builder:
		b.Append(v.Int64())
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(v.Int64()))
	case *array.Float64Builder:
		b.Append(v.Double())
	case *array.Date32Builder:
		b.Append(arrow.Date32(v.Int32()))
	case *array.BooleanBuilder:
		b.Append(v.Boolean())
	default:
		panic(fmt.Sprintf("no column is built by a %T", b))
	}
}

// parquetSchema lays the table out with its columns in their order, all
// optional and with their field ids.
func parquetSchema(t *schema.Table, o *Options, small bool) *parquet.Schema {
	root := orderedGroup{Group: parquet.Group{}}
	for i, c := range t.Columns {
		node := parquet.FieldID(parquet.Optional(leafNode(c, o, small)), t.FieldID(i))
		root.Group[c.Name] = node
		root.fields = append(root.fields, &columnField{Node: node, name: c.Name})
	}
	return parquet.NewSchema(t.Name, root)
}

// text is the leaf of text columns.
var text = parquet.Leaf(boundedText{parquet.String().Type()})

// leafNode picks a column's type and encoding. Every reader knows PLAIN and dictionaries.
// Deltas are smaller where integers are close to their neighbours, as row numbers are, but
// Spark before 3.3 refuses them and fastparquet misreads them.
func leafNode(c schema.Column, o *Options, small bool) parquet.Node {
	node, code := text, encoding.Encoding(&parquet.RLEDictionary)
	switch c.Type {
	case schema.Int64:
		node = parquet.Int(64)
	case schema.Double:
		node, code = parquet.Leaf(parquet.DoubleType), &parquet.Plain
	case schema.Bool:
		node, code = parquet.Leaf(parquet.BooleanType), &parquet.Plain
	case schema.Date:
		node = parquet.Date()
	case schema.Time:
		node = parquet.Timestamp(parquet.Microsecond)
	}
	switch {
	case c.Rare && c.Type == schema.Int64 && o.DeltaIntegers:
		code = &parquet.DeltaBinaryPacked
	case c.Rare, small:
		code = &parquet.Plain
	}
	return parquet.Encoded(node, code)
}

// orderedGroup is a group that keeps its fields in order, where parquet.Group
// sorts them by name.
type orderedGroup struct {
	parquet.Group
	fields []parquet.Field
}

// Fields gives the fields in the table's order.
func (g orderedGroup) Fields() []parquet.Field { return g.fields }

type columnField struct {
	parquet.Node
	name string
}

// Name is the column's name.
func (f *columnField) Name() string { return f.name }

// Value is for readers of Go structs, which are not used here.
func (f *columnField) Value(base reflect.Value) reflect.Value {
	return base.MapIndex(reflect.ValueOf(f.name))
}

// fileMetadata is the metadata that describes a file.
func fileMetadata(t *schema.Table, o *Options) map[string]string {
	md := map[string]string{
		schema.MetaTable:   t.Name,
		schema.MetaVersion: strconv.Itoa(t.Version),
		schema.MetaDoc:     t.Doc,
		schema.MetaRun:     o.RunID,
		metaVersion:        o.Version,
	}
	if len(o.sourceRuns) > 0 {
		md[metaRuns] = strings.Join(o.sourceRuns, ",")
	}
	return md
}

// columnMetadata is the metadata that describes each column to readers, twice: Arrow reads its own.
func columnMetadata(t *schema.Table) map[string]string {
	md := map[string]string{metaArrow: encodeArrowSchema(t.Arrow())}
	for _, f := range t.Arrow().Fields() {
		fieldMeta := func(key string) string {
			value, _ := f.Metadata.GetValue(key)
			return value
		}
		doc, _ := json.Marshal(struct { // strings only: cannot fail
			Type   string `json:"type"`
			Doc    string `json:"doc"`
			Unit   string `json:"unit,omitempty"`
			Source string `json:"source"`
		}{t.Columns[t.ColumnIndex(f.Name)].Type.String(), fieldMeta("doc"), fieldMeta("unit"), fieldMeta("source")})
		md[metaColumn+f.Name] = string(doc)
	}
	return md
}

// encodeArrowSchema is the schema as an empty Arrow stream, in base64, as Arrow's own
// Parquet writers keep it.
func encodeArrowSchema(s *arrow.Schema) string {
	var b bytes.Buffer
	w := ipc.NewWriter(&b, ipc.WithSchema(s))
	if err := w.Close(); err != nil {
		return "" // cannot happen in memory; readers do without
	}
	return base64.StdEncoding.EncodeToString(b.Bytes())
}
