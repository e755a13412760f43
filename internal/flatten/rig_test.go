package flatten

import (
	"pgregory.net/rapid"

	"github.com/siglake/siglake/internal/columns"
	"github.com/siglake/siglake/schema"
)

// row is a row with a value for each column of its table, as the current version of the schema has it.
type row struct {
	table     int // in schema.RowTables
	uid       string
	partition schema.Partition
	values    []columns.Value
}

func (r *row) value(column string) columns.Value {
	return r.values[schema.RowTables[r.table].ColumnIndex(column)]
}

// rowsOf flattens an event. It fails if a row has two cells of one column.
func rowsOf(t rapid.TB, f *Flattener, e schema.Event) (list []row) {
	t.Helper()
	rows := columns.NewChunk()
	defer rows.Release()
	f.Flatten(&e, rows)
	for i := range rows.Rows() {
		place := rows.Place(i)
		one := row{tableIndex(schema.Category(place.Table.Name)), "", place.Partition, make([]columns.Value, len(place.Table.Columns))}
		for at, v := range rows.Values(i) {
			if one.values[at].Set {
				t.Errorf("flatten(%s): two cells of %s", e.Raw, place.Table.Columns[at].Name)
			}
			if one.values[at] = v; at == f.kind.columns.uid {
				one.uid = v.Text
			}
		}
		list = append(list, one)
	}
	return list
}

// byMonth is a flattener of a version of the schema for a lake with months.
func byMonth(version int) *Flattener {
	return New(Options{RunID: "run-1", PartitionBy: schema.ByMonth, Version: version})
}

// byDay is one for a lake with days.
func byDay(version int) *Flattener {
	return New(Options{RunID: "run-1", PartitionBy: schema.ByDay, Version: version})
}
