package simulator

import (
	"slices"
	"strconv"
)

// This file holds the encoding that all operations share: the list of entities and the charge.

// quirks are the ways in which a fault distorts the text of a paid answer. The zero value changes
// nothing.
type quirks struct {
	charge      string // form of the charge; "" for the normal one
	extraFields bool   // undocumented fields
	unknownType bool   // a signal type that was not requested
	oddTypes    bool   // values of another JSON type than documented
	drift       bool   // the form of a later release
	// Entities that were found and paid for are left out.
	dropSome     bool
	foreign      bool   // an entity that was not requested
	duplicateKey bool   // one entity twice, with different content
	rootList     bool   // a list in place of the map, or the reverse
	status       int    // in place of the usual status
	contentType  string // in place of the usual content type
}

// writer writes one answer, in either version of the API. Entities, events and fields are the work
// of the writers inside it.
type writer struct {
	eventWriter
	// Documented place of the charge: a name, or "billing" for one inside that object.
	chargeKey string
}

func newWriter(dst []byte, a *answer, sw *Switches, q *quirks) *writer {
	a.sortEvents(sw.Order)
	w := new(writer)
	w.fieldWriter = fieldWriter{b: dst, sw: sw, q: q, oddDice: dice(mix(a.draw, 'o'))}
	w.world = a.world
	return w
}

// open begins an answer.
func (w *writer) open() {
	w.b = append(w.b, '{')
	if w.q.extraFields {
		w.b = append(w.b, `"apiRevision":"2031-04","trace":{"hops":[1,2,3],"region":null}`...)
	}
	if w.q.drift {
		w.b = append(w.b, `"apiRelease":"2031-07"`...)
	}
}

// entries writes the findings under a name, as a map by reference or as a list. missing writes
// the stand-in for an entity that is not known, or returns false.
func (w *writer) entries(name string, a *answer, asMap bool, known func(*answer, *finding), missing func(*finding) bool) {
	brackets := "[]"
	if asMap {
		brackets = "{}"
	}
	w.b = append(appendKey(w.b, name), brackets[0])
	next := func(f *finding) {
		w.b = appendComma(w.b)
		if asMap {
			w.b = append(appendString(w.b, f.lookup.ref), ':')
		}
	}
	nth, repeated := 0, false
	for i := range a.findings {
		f := &a.findings[i]
		if !f.known {
			before := len(w.b)
			next(f)
			if !missing(f) {
				w.b = w.b[:before]
			}
			continue
		}
		nth++
		if w.q.dropSome && nth%3 == 1 {
			continue
		}
		next(f)
		known(a, f)
		if w.q.duplicateKey && !repeated {
			repeated = true
			empty := *f
			empty.events = make([][]event, len(f.events))
			next(f)
			known(a, &empty)
		}
	}
	if w.q.foreign {
		f := foreignFinding(a)
		next(f)
		known(a, f)
	}
	w.b = append(w.b, brackets[1])
}

// foreignFinding returns an entity that was not requested.
func foreignFinding(a *answer) *finding {
	id := int64(700_000_000_000 + a.draw%90_000_000_000)
	for i := range a.order.lookups {
		if a.order.lookups[i].id == id {
			id++
		}
	}
	f := &finding{lookup: &lookup{ref: strconv.FormatInt(id, 10), id: id, hasReference: true}, known: true,
		entity: entity{object: a.order.object, id: id, root: a.draw, name: "Stranger & Sons", domain: "stranger.example"},
		events: make([][]event, len(a.order.types))}
	if len(a.order.types) > 0 && a.order.types[0].shape == hiring {
		f.events[0] = []event{{signal: a.order.types[0], id: 900_000_000_000_000_001, date: a.order.span.from, value: 30, baseline: 10, changePercent: 200}}
	}
	return f
}

// window writes the days that an answer covers.
func (w *writer) window(o *order) {
	w.b = append(appendKey(w.b, "startDate"), '"')
	w.b = append(o.span.from.appendTo(w.b), '"')
	w.b = append(appendKey(w.b, "endDate"), '"')
	w.b = append(o.span.to.appendTo(w.b), '"')
}

// signalLists writes the events of an entity, one list per requested type.
func (w *writer) signalLists(o *order, f *finding) {
	w.extraFields("industry")
	for i, sig := range o.types {
		w.eventList(sig.key, &f.entity, f.events[i])
	}
	w.unknownSignal(o)
}

// unknownSignal writes a key of an older version of the API, with the value words it had there, and one
// of a later version.
func (w *writer) unknownSignal(o *order) {
	if w.q.drift {
		w.b = append(appendKey(w.b, "patentFiling"), `[{"signalId":"7`...)
		w.b = strconv.AppendUint(w.b, mix(w.oddDice.next(), 'p')%1_000_000_000, 10)
		w.b = append(w.b, `","patentTitle":"A valve","signalDate":"`...)
		w.b = append(o.span.from.appendTo(w.b), `"}]`...)
	}
	if w.q.unknownType {
		w.b = append(appendKey(w.b, "headcountGrowth"), `[{"score":"high","oldValue":120,"newValue":180,"signalDate":"`...)
		w.b = append(o.span.from.appendTo(w.b), `"}]`...)
	}
}

// charge writes what the call cost, in the form that a fault may impose.
func (w *writer) charge(a *answer) {
	field := w.sw.ChargeField
	if field == "documented" {
		field = w.chargeKey
	}
	if w.q.charge == "elsewhere" {
		others := slices.DeleteFunc([]string{"creditCharged", "creditsCharged", "billing"}, func(f string) bool { return f == field })
		field = others[a.draw&1]
	}
	if field != "billing" {
		w.credits(field, a.charge)
		return
	}
	w.b = append(appendKey(w.b, "billing"), '{')
	w.credits("creditsCharged", a.charge)
	w.b = append(strconv.AppendInt(appendKey(w.b, "resultsReturned"), int64(a.found), 10), '}')
}

func (w *writer) credits(key string, n int64) {
	switch w.q.charge {
	case "missing":
	case "null":
		w.b = append(appendKey(w.b, key), "null"...)
	case "string":
		w.b = append(strconv.AppendInt(append(appendKey(w.b, key), '"'), n, 10), '"')
	case "negative":
		w.b = append(appendKey(w.b, key), "-1"...)
	case "fraction":
		w.b = append(strconv.AppendInt(appendKey(w.b, key), n, 10), ".5"...)
	case "duplicate":
		w.b = strconv.AppendInt(appendKey(w.b, key), n, 10)
		w.b = strconv.AppendInt(appendKey(w.b, key), n+7, 10)
	case "case":
		w.b = strconv.AppendInt(appendKey(w.b, "C"+key[1:]), n, 10)
	default:
		w.b = strconv.AppendInt(appendKey(w.b, key), n, 10)
	}
}
