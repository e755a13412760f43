package simulator

import "strconv"

// fieldWriter writes members of JSON objects, in the forms that switches and faults demand.
type fieldWriter struct {
	b       []byte
	sw      *Switches
	q       *quirks
	oddDice dice // decides which values are odd
}

func (w *fieldWriter) string(key, value string) {
	w.b = appendKey(w.b, key)
	switch {
	case w.q.oddTypes && w.oddDice.chance(0.04):
		w.b = strconv.AppendInt(w.b, int64(w.oddDice.intN(100000)), 10)
	case w.q.oddTypes && w.oddDice.chance(0.04):
		w.b = append(w.b, "null"...)
	default:
		w.b = appendString(w.b, value)
	}
}

func (w *fieldWriter) number(key string, value float64) {
	w.b = appendKey(w.b, key)
	if w.q.oddTypes && w.oddDice.chance(0.3) {
		w.b = append(appendNumber(append(w.b, '"'), value), '"')
		return
	}
	w.b = appendNumber(w.b, value)
}

// id writes an id as documented for its field, or in the form of the switch.
func (w *fieldWriter) id(key string, id int64, asNumber bool) {
	switch w.sw.IDs {
	case "text":
		asNumber = false
	case "number":
		asNumber = true
	}
	if w.q.oddTypes && w.oddDice.chance(0.3) {
		asNumber = !asNumber
	}
	w.b = appendKey(w.b, key)
	if asNumber {
		w.b = strconv.AppendInt(w.b, id, 10)
		return
	}
	w.b = append(strconv.AppendInt(append(w.b, '"'), id, 10), '"')
}

var oddDates = []string{`"31/12/2026"`, `"2026-02-30"`, `"soon"`, `""`, `1767225600`, `"2026-W07"`, `null`, `"0000-00-00"`, `"12026-01-01"`}

func (w *fieldWriter) date(key string, d day) {
	w.b = appendKey(w.b, key)
	if w.q.oddTypes && w.oddDice.chance(0.3) {
		w.b = append(w.b, pick(&w.oddDice, oddDates)...)
		return
	}
	w.b = append(d.appendTo(append(w.b, '"')), '"')
}

// extraFields writes undocumented members of an entity, the first under the given name.
func (w *fieldWriter) extraFields(name string) {
	if w.q.extraFields {
		w.b = append(appendKey(w.b, name), `{"main":"Manufacturing","sub":["Valves & Pumps"]},"isCustomer":false`...)
	}
}
