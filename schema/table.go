package schema

import (
	"strconv"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
)

// Type is the type of a column. All types are flat, nullable and readable by every query engine.
type Type int

// The column types with their Parquet types: String is UTF8, Int64 INT64, Double DOUBLE, Bool
// BOOLEAN, Date DATE, Time TIMESTAMP(MICROS, UTC).
const (
	String Type = iota
	Int64
	Double
	Bool
	Date
	Time
)

// Arrow is the Arrow type of the column type.
func (t Type) Arrow() arrow.DataType {
	switch t {
	case Int64:
		return arrow.PrimitiveTypes.Int64
	case Double:
		return arrow.PrimitiveTypes.Float64
	case Bool:
		return arrow.FixedWidthTypes.Boolean
	case Date:
		return arrow.FixedWidthTypes.Date32
	case Time:
		return &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
	default:
		return arrow.BinaryTypes.String
	}
}

// String is the name of the type in SQL.
func (t Type) String() string {
	return [...]string{"VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN", "DATE", "TIMESTAMP"}[t]
}

// Column describes one column of a table.
type Column struct {
	Name string
	Type Type
	Doc  string // meaning, in one sentence
	// "credits", "percent", "people"; empty if there is none.
	Unit string
	// Keys of the record that the value is read from ("author.id" is nested); the first one present
	// wins. Empty for columns that siglake derives.
	From []string
	// What a String column does with a list or an object.
	List ListMode
	// The value is a host name, written in lower case and without a leading www.
	Host bool
	// Values rarely repeat within a file, so a dictionary would be a second copy of them.
	Rare bool
	// The content digest ignores the letter case, which the API varies in its own vocabulary.
	AnyCase bool
	// The content digest ignores the sign, which the API does not document.
	AnySign bool
	// Version of the schema that added the column; 0: OldestVersion had it.
	Since int
}

// ListMode is what a String column does with a JSON list or object. Columns are never nested, so
// that every query engine can read them.
type ListMode int

// The list modes. ListRejected, the default, writes null and adds a note. ListJoined writes the
// elements (or their "value"), separated by "; ". ListJSON writes the list as compact JSON; a
// single value becomes a list of one.
const (
	ListRejected ListMode = iota
	ListJoined
	ListJSON
)

// Table is the layout of a dataset. Version increases when a column is added, renamed or changes
// its meaning. New columns are always added at the end.
type Table struct {
	Name    string
	Version int
	Doc     string
	Columns []Column
	Sort    []string // sort order of the rows of a file
	Bloom   []string // columns with a bloom filter
	// Rows with the same value in this column and the same content are written once: the same
	// content_digest in the whole lake, or in tables without that column, adjacent rows of one run
	// with the same raw text. Empty: all rows are kept.
	Unique string
}

// PartitionFieldID is the field id of the month by which events are partitioned. No file holds it: it is
// the name of a folder.
const PartitionFieldID = 1

// FieldID is the id of a column in Parquet files and in Iceberg tables, where it stands for the column
// whatever its name. Ids count the columns in the order in which versions added them, so that a table
// that lacks the newest columns has the same ids; in event tables they begin after the partition's.
func (t Table) FieldID(column int) int {
	if t.IsEvent() {
		return PartitionFieldID + 1 + column
	}
	return 1 + column
}

// Metadata keys of the written files.
const (
	MetaTable   = "siglake.table"
	MetaVersion = "siglake.schema_version"
	MetaDoc     = "siglake.doc"
	MetaRun     = "siglake.run_id"
)

// Arrow converts the table to an Arrow schema. Every field is nullable and has its documentation as
// metadata ("doc", "unit", "source"). The schema has the table's name, version and documentation.
func (t Table) Arrow() *arrow.Schema {
	fields := make([]arrow.Field, len(t.Columns))
	for i, c := range t.Columns {
		fields[i] = arrow.Field{Name: c.Name, Type: c.Type.Arrow(), Nullable: true, Metadata: c.arrowMetadata()}
	}
	md := arrow.NewMetadata(
		[]string{MetaTable, MetaVersion, MetaDoc},
		[]string{t.Name, strconv.Itoa(t.Version), t.Doc},
	)
	return arrow.NewSchema(fields, &md)
}

func (c Column) arrowMetadata() arrow.Metadata {
	keys, values := []string{"doc"}, []string{c.Doc}
	if c.Unit != "" {
		keys, values = append(keys, "unit"), append(values, c.Unit)
	}
	keys, values = append(keys, "source"), append(values, c.sourceDoc())
	return arrow.NewMetadata(keys, values)
}

// sourceDoc says where the values of the column come from: fields of the answer, or siglake.
func (c Column) sourceDoc() string {
	if len(c.From) == 0 {
		return "siglake"
	}
	return "answer field " + strings.Join(c.From, ", else ")
}

// AsOf is the table as a version of the schema had it. Columns that were added later are its last.
func (t Table) AsOf(version int) Table {
	t.Version = min(t.Version, version)
	for len(t.Columns) > 0 && t.Columns[len(t.Columns)-1].Since > version {
		t.Columns = t.Columns[:len(t.Columns)-1]
	}
	return t
}

// ColumnIndex is the index of a column, or -1.
func (t Table) ColumnIndex(column string) int {
	for i, c := range t.Columns {
		if c.Name == column {
			return i
		}
	}
	return -1
}

// TypeNamed finds a type by its name in SQL.
func TypeNamed(name string) (t Type, ok bool) {
	for t := String; t <= Time; t++ {
		if t.String() == name {
			return t, true
		}
	}
	return String, false
}
