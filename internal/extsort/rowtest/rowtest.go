// Package rowtest makes, reads, compares and sorts rows for tests. It is the
// reference for the tests of package extsort and of the lake, so it imports
// neither.
package rowtest

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/siglake/siglake/schema"
)

// Values are a row's values in the order of its table's columns. A value is nil,
// string, int64, float64, bool, arrow.Date32 or arrow.Timestamp.
type Values []any

// NewRecord builds a record of a table.
func NewRecord(t testing.TB, table schema.Table, rows []Values) arrow.Record {
	t.Helper()
	b := array.NewRecordBuilder(memory.DefaultAllocator, table.Arrow())
	defer b.Release()
	for _, r := range rows {
		for i, v := range r {
			switch v := v.(type) {
			case nil:
				b.Field(i).AppendNull()
			case string:
				b.Field(i).(*array.StringBuilder).Append(v)
			case int64:
				b.Field(i).(*array.Int64Builder).Append(v)
			case float64:
				b.Field(i).(*array.Float64Builder).Append(v)
			case bool:
				b.Field(i).(*array.BooleanBuilder).Append(v)
			case arrow.Date32:
				b.Field(i).(*array.Date32Builder).Append(v)
			case arrow.Timestamp:
				b.Field(i).(*array.TimestampBuilder).Append(v)
			default:
				t.Fatalf("no column holds a %T", v)
			}
		}
	}
	return b.NewRecord()
}

// ValuesOf is the inverse of NewRecord.
func ValuesOf(t testing.TB, rec arrow.Record) []Values {
	t.Helper()
	rows := make([]Values, rec.NumRows())
	for i := range rows {
		for _, a := range rec.Columns() {
			rows[i] = append(rows[i], valueOf(t, a, i))
		}
	}
	return rows
}

func valueOf(t testing.TB, a arrow.Array, i int) any {
	if a.IsNull(i) {
		return nil
	}
	switch a := a.(type) {
	case *array.String:
		return strings.Clone(a.Value(i))
	case *array.Int64:
		return a.Value(i)
	case *array.Float64:
		return a.Value(i)
	case *array.Boolean:
		return a.Value(i)
	case *array.Date32:
		return a.Value(i)
	case *array.Timestamp:
		return a.Value(i)
	}
	t.Fatalf("column of type %s", a.DataType())
	return nil
}

// Awkward are values that tend to get lost, per type.
var Awkward = map[schema.Type][]any{
	schema.String: {nil, "", " ", "\x00", "a\x00b", "a\x00", "naïve", "日本語", "👩‍👩‍👧", "\u202eabc", "'; --", `{"a":null}`,
		strings.Repeat("x", 20_000), strings.Repeat("é", 3000), "\n\r\t", "\uFFFD"},
	schema.Int64:  {nil, int64(0), int64(-1), int64(math.MaxInt64), int64(math.MinInt64), int64(1) << 53},
	schema.Double: {nil, 0.0, math.Copysign(0, -1), math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, math.Inf(1), math.Inf(-1), math.NaN(), 0.1},
	schema.Bool:   {nil, true, false},
	schema.Date:   {nil, arrow.Date32(0), arrow.Date32(-1), arrow.Date32(math.MaxInt32), arrow.Date32(math.MinInt32), arrow.Date32(20_000)},
	schema.Time:   {nil, arrow.Timestamp(0), arrow.Timestamp(-1), arrow.Timestamp(math.MaxInt64), arrow.Timestamp(math.MinInt64), arrow.Timestamp(1_700_000_000_123_456)},
}

// AwkwardRows are n rows of a table, from the awkward values.
func AwkwardRows(table schema.Table, n int, rng *rand.Rand) []Values {
	rows := make([]Values, n)
	for i := range rows {
		for _, c := range table.Columns {
			choice := Awkward[c.Type]
			rows[i] = append(rows[i], choice[rng.IntN(len(choice))])
		}
	}
	return rows
}

// AllTables are the tables of a lake.
func AllTables() []schema.Table { return slices.Concat(schema.EventTables, schema.LedgerTables) }

// Format makes rows comparable and short: NaN equals itself, -0 is not 0.
func Format(rows []Values) []string {
	out := make([]string, len(rows))
	for i, r := range rows {
		var b strings.Builder
		for _, v := range r {
			if s, ok := v.(string); ok && len(s) > 100 {
				v = fmt.Sprintf("%.20s…%d", s, len(s))
			}
			fmt.Fprintf(&b, "%T %v|", v, v)
		}
		out[i] = b.String()
	}
	return out
}

// Compare is the reference order of two values of one type: nulls first, then by value.
func Compare(a, b any) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	switch a := a.(type) {
	case string:
		return strings.Compare(a, b.(string))
	case int64:
		return cmp.Compare(a, b.(int64))
	case float64:
		return cmp.Compare(a, b.(float64))
	case arrow.Date32:
		return cmp.Compare(a, b.(arrow.Date32))
	case arrow.Timestamp:
		return cmp.Compare(a, b.(arrow.Timestamp))
	case bool:
		if a == b.(bool) {
			return 0
		} else if a {
			return 1
		}
		return -1
	}
	panic("no order")
}

// Sort is the reference sort. It leaves its argument as it is.
func Sort(table schema.Table, rows []Values) []Values {
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, func(a, b Values) int {
		for _, name := range table.Sort {
			if c := Compare(a[table.ColumnIndex(name)], b[table.ColumnIndex(name)]); c != 0 {
				return c
			}
		}
		return 0
	})
	return rows
}
