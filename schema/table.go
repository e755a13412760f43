package schema

import (
	"strconv"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
)

// Type is the type of a column: flat, nullable and readable by every engine.
type Type int

// The column types and what they are in Parquet: String is UTF8, Int64 INT64,
// Double DOUBLE, Bool BOOLEAN, Date DATE, Time TIMESTAMP(MICROS, UTC).
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

// String is the type's name in SQL.
func (t Type) String() string {
	return [...]string{"VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN", "DATE", "TIMESTAMP"}[t]
}

// Column is one column of a table, as data.
type Column struct {
	Name string
	Type Type
	Doc  string   // what it means, one sentence
	Unit string   // "credits", "percent", "people"; empty where there is none
	From []string // the keys it is read from ("author.id" is a nested one), first present wins; empty for columns siglake derives
	List ListMode // what a String column makes of a list or an object
	Host bool     // a host name: written in lower case, without a leading www.
	Rare bool     // values rarely repeat within a file, so that a dictionary of them would be a second copy
}

// ListMode is what a String column does with a JSON list or object. No column is
// nested, so that every engine reads every column.
type ListMode int

// The listings: by default a list or object is odd and becomes null with a
// note; Joined writes the elements (or their "value") separated by "; ";
// ListJSON writes the compact JSON text of the list; a single value is a list of
// one.
const (
	ListRejected ListMode = iota
	ListJoined
	ListJSON
)

// Table is a dataset's layout. Version rises when a column is added, renamed or
// changes meaning; columns are only ever added at the end.
type Table struct {
	Name    string
	Version int
	Doc     string
	Columns []Column
	Sort    []string // columns that order the rows of a file
	Bloom   []string // columns that get a bloom filter
	Unique  string   // column whose equal neighbours, when the whole row's Raw is equal too, are one row; empty: keep all
}

// Metadata keys of the written files.
const (
	MetaTable   = "siglake.table"
	MetaVersion = "siglake.schema_version"
	MetaDoc     = "siglake.doc"
	MetaRun     = "siglake.run_id"
)

// Arrow gives the table as an Arrow schema. Every field is nullable and carries
// its documentation as metadata ("doc", "unit", "source"); the schema carries
// the table's name, version and documentation.
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

// sourceDoc says where the column's values come from: the answer's fields, or siglake.
func (c Column) sourceDoc() string {
	if len(c.From) == 0 {
		return "siglake"
	}
	return "answer field " + strings.Join(c.From, ", else ")
}

// ColumnIndex is the position of a column, or -1.
func (t Table) ColumnIndex(column string) int {
	for i, c := range t.Columns {
		if c.Name == column {
			return i
		}
	}
	return -1
}
