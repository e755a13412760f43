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
func rowsOf(t rapid.TB, f *Flattener, e schema.Event) (rows []row) {
	t.Helper()
	err := f.Flatten(&e, func(r *Row) error {
		table := tableIndex(schema.Category(r.Table.Name))
		one := row{table, string(r.UID), *r.Partition, make([]columns.Value, len(r.Table.Columns))}
		for i := range r.Cells.Len() {
			at := r.Cells.Column(i)
			if at < 0 {
				continue
			}
			if one.values[at].Set {
				t.Errorf("flatten(%s): two cells of %s", e.Raw, r.Table.Columns[at].Name)
			}
			if one.values[at].Set = true; r.Table.Columns[at].Type == schema.String {
				one.values[at].Text = string(r.Cells.Text(i))
			} else {
				one.values[at].N = r.Cells.Int(i)
			}
		}
		rows = append(rows, one)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// byMonth is a flattener of a version of the schema for a lake with months.
func byMonth(version int) *Flattener {
	return New(Options{RunID: "run-1", PartitionBy: schema.ByMonth, Version: version})
}

// byDay is one for a lake with days.
func byDay(version int) *Flattener {
	return New(Options{RunID: "run-1", PartitionBy: schema.ByDay, Version: version})
}
