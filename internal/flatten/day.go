package flatten

import (
	"slices"
	"strings"

	"github.com/siglake/siglake/internal/jsonscan"
	"github.com/siglake/siglake/schema"
)

// dateRanks are, for each of schema.RowTables, the keys of a record that hold a date of the event,
// with their places in dateColumns.
var dateRanks = func() (tables []map[string]int) {
	for _, t := range schema.RowTables {
		ranks := map[string]int{}
		for _, c := range t.Columns {
			if rank := slices.Index(dateColumns[:], c.Name); rank >= 0 {
				for _, key := range c.From {
					ranks[key] = rank
				}
			}
		}
		tables = append(tables, ranks)
	}
	return tables
}()

// Day is the date of an event, as its row has it, in days since 1970; false if it has none. Of a
// record with several topics, which has a row for each, it is the newest one.
func Day(signal string, record []byte) (day int64, ok bool) {
	category := Category(signal)
	ranks := dateRanks[tableIndex(category)]
	var dates recordDates
	dates.read(record, ranks)
	first := dates.first()
	day, ok = first.day, first.set
	if category != schema.CategoryIntent {
		return day, ok
	}
	isFirst := true
	for key, raw := range jsonscan.Members(record) {
		if key != topicsField {
			continue
		}
		for topic := range jsonscan.Elements(raw) {
			own := dates
			own.read(topic, ranks)
			if date := own.first(); date.set && (isFirst || !ok || date.day > day) {
				day, ok = date.day, true
			}
			isFirst = false
		}
	}
	return day, ok
}

// recordDates are the dates of a record, in the order of dateColumns.
type recordDates [len(dateColumns)]recordDate

type recordDate struct {
	set bool
	day int64
}

// read reads the dates of a record.
func (d *recordDates) read(record []byte, ranks map[string]int) {
	for key, raw := range jsonscan.Members(record) {
		if rank, isDate := ranks[key]; isDate && !jsonscan.IsNull(raw) && raw[0] != '{' && raw[0] != '[' {
			if v := parseText(schema.Date, strings.TrimSpace(jsonscan.Text(raw))); v.set {
				d[rank] = recordDate{true, v.n}
			}
		}
	}
}

// first is the first date that the record has.
func (d *recordDates) first() (date recordDate) {
	for _, date = range d {
		if date.set {
			break
		}
	}
	return date
}
