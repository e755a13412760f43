package flatten

import (
	"slices"
	"strings"

	"github.com/siglake/siglake/internal/jsonscan"
	"github.com/siglake/siglake/schema"
)

// dateKeys are, for each of schema.RowTables, the keys of a record that hold a date of the event.
var dateKeys = func() (tables [][]dateKey) {
	for _, t := range schema.RowTables {
		var keys []dateKey
		for _, c := range t.Columns {
			if rank := slices.Index(dateColumns[:], c.Name); rank >= 0 {
				for _, name := range c.From {
					keys = append(keys, dateKey{name, rank})
				}
			}
		}
		tables = append(tables, keys)
	}
	return tables
}()

// dateKey is a key of a record and the place of its column in dateColumns.
type dateKey struct {
	name string
	rank int
}

// Day is the date of an event, as its row has it, in days since 1970; false if it has none. Of a
// record with several topics, which has a row for each, it is the newest one.
func Day(signal string, record []byte) (day int64, ok bool) {
	category := Category(signal)
	keys := dateKeys[tableIndex(category)]
	var dates recordDates
	dates.read(record, keys)
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
			own.read(topic, keys)
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
func (d *recordDates) read(record []byte, keys []dateKey) {
	for name, raw := range jsonscan.Fields(record) {
		for i := range keys {
			if string(name) == keys[i].name {
				if day, ok := readDay(raw); ok {
					d[keys[i].rank] = recordDate{true, day}
				}
				break
			}
		}
	}
}

// readDay reads a value that is a date.
func readDay(raw []byte) (day int64, ok bool) {
	if jsonscan.IsNull(raw) || raw[0] == '{' || raw[0] == '[' {
		return 0, false
	}
	if len(raw) > 1 && raw[0] == '"' {
		if day, ok = readDate(raw[1 : len(raw)-1]); ok && isPlausible(day) {
			return day, true
		}
	}
	v := parseText(schema.Date, strings.TrimSpace(jsonscan.Text(raw)))
	return v.n, v.set
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
