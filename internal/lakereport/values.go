package lakereport

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/siglake/siglake/internal/extsort"
	"github.com/siglake/siglake/schema"
)

// row reads values of a row by the names of the columns. A column that the table does not have is empty.
type row struct {
	view    *extsort.RecordView
	index   int32
	columns map[string]int
}

// eachRow visits the rows of a record that has some columns of a table.
func eachRow(t schema.Table, names []string, rec arrow.Record, visit func(*row)) {
	chosen, at := schema.Table{Name: t.Name}, map[string]int{}
	for i, name := range names {
		chosen.Columns = append(chosen.Columns, t.Columns[t.ColumnIndex(name)])
		at[name] = i
	}
	r := &row{view: extsort.NewRecordView(&chosen, rec), columns: at}
	for r.index = range int32(rec.NumRows()) { //nolint:gosec // records are small
		visit(r)
	}
}

func (r *row) column(name string) *extsort.ColumnView {
	i, ok := r.columns[name]
	if !ok || r.view.Columns[i].IsNull(r.index) {
		return nil
	}
	return &r.view.Columns[i]
}

// bytes is a text, valid until the next record.
func (r *row) bytes(name string) []byte {
	if c := r.column(name); c != nil {
		return c.TextAt(r.index)
	}
	return nil
}

func (r *row) text(name string) string { return string(r.bytes(name)) }

// number is a whole number or a time, or missing.
type number struct {
	n  int64
	ok bool
}

func (r *row) number(name string) number {
	if c := r.column(name); c != nil {
		return number{c.Int64At(r.index), true}
	}
	return number{}
}

// rate is a rate of change, in percent; NaN if there is none.
func (r *row) rate(name string) float64 {
	if c := r.column(name); c != nil {
		return c.Float64At(r.index)
	}
	return math.NaN()
}

func (r *row) flag(name string) bool {
	c := r.column(name)
	return c != nil && c.BoolAt(r.index)
}

// noDay is the day of what has none. It comes before all others.
const noDay = math.MinInt32

// day counts from 1970-01-01.
func (r *row) day(name string) int32 {
	if c := r.column(name); c != nil {
		return c.DateAt(r.index)
	}
	return noDay
}

const microsecondsPerDay = 86_400_000_000

// dayOf is the day of a time, in UTC.
func dayOf(microseconds int64) int32 {
	return int32(floorDivide(microseconds, microsecondsPerDay)) //nolint:gosec // days fit
}

func floorDivide(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// weekOf is the Monday of a day's week.
func weekOf(day int32) int32 {
	if day == noDay {
		return noDay
	}
	const monday = -3                                          // 1969-12-29
	return int32(floorDivide(int64(day)-monday, 7)*7 + monday) //nolint:gosec // days fit
}

// The values of the model.

func textValue(s string) any {
	if s == "" {
		return nil
	}
	return Shown(s)
}

func (n number) value() any {
	if !n.ok {
		return nil
	}
	return n.n
}

func dayValue(day int32) any {
	if day == noDay {
		return nil
	}
	return time.Unix(int64(day)*86400, 0).UTC().Format(time.DateOnly)
}

func (n number) timeValue() any {
	if !n.ok {
		return nil
	}
	return time.UnixMicro(n.n).UTC().Format(time.RFC3339)
}

func rateValue(rate float64) any {
	if math.IsNaN(rate) || math.IsInf(rate, 0) {
		return nil
	}
	return math.Round(rate*10) / 10
}

// perEvent is what one of some events cost, to a hundredth; nil without events. Half a hundredth is one.
func perEvent(credits number, events int64) any {
	if !credits.ok || events <= 0 {
		return nil
	}
	hundredths := roundedQuotient(credits.n, 100, events)
	sign := ""
	if hundredths < 0 {
		sign, hundredths = "-", -hundredths
	}
	return fmt.Sprintf("%s%d.%02d", sign, hundredths/100, hundredths%100)
}

// share is a part of a whole in percent; nil without a whole.
func share(part, whole int64) any {
	if whole <= 0 {
		return nil
	}
	return float64(roundedQuotient(part, 1000, whole)) / 10
}

// roundedQuotient is a times factor by b, rounded half away from zero. b is positive.
func roundedQuotient(a, factor, b int64) int64 {
	if a < 0 {
		return -roundedQuotient(-a, factor, b)
	}
	whole, rest := a/b, a%b
	if rest > math.MaxInt64/factor/2 { // it cannot be counted to that precision
		return whole * factor
	}
	return whole*factor + (rest*factor*2+b)/(2*b)
}

// Orders. What is missing comes last.

func byText(a, b string) int {
	if (a == "") != (b == "") {
		return cmp.Compare(b, a)
	}
	return cmp.Compare(a, b)
}

func byNumberDown(a, b number) int {
	if a.ok != b.ok {
		return order(!a.ok, !b.ok)
	}
	return cmp.Compare(b.n, a.n)
}

func byRateDown(a, b float64) int {
	if math.IsNaN(a) != math.IsNaN(b) {
		return order(math.IsNaN(a), math.IsNaN(b))
	}
	return cmp.Compare(b, a)
}

// order puts false before true.
func order(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// top keeps the first rows of an order, and counts all.
type top[T any] struct {
	limit   int
	compare func(a, b *T) int
	rows    []T
	bound   *T // rows from here on need not be kept
	total   int64
}

func (t *top[T]) add(v *T) {
	t.total++
	if t.bound != nil && t.compare(v, t.bound) >= 0 {
		return
	}
	if t.rows = append(t.rows, *v); len(t.rows) >= 2*t.limit {
		t.cut()
	}
}

func (t *top[T]) values(a, b T) int { return t.compare(&a, &b) }

// cut sorts the rows and drops those beyond the limit.
func (t *top[T]) cut() {
	slices.SortStableFunc(t.rows, t.values)
	if len(t.rows) > t.limit {
		clear(t.rows[t.limit:])
		t.rows = t.rows[:t.limit]
		bound := t.rows[t.limit-1]
		t.bound = &bound
	}
}

// sorted are the first rows.
func (t *top[T]) sorted() []T {
	t.cut()
	return t.rows
}
