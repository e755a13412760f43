package simulator

import (
	"strconv"
	"time"
)

// This file is V3: signals by id. The other operations of this version have files of their own:
// search.go, score.go, lookalike.go and visits.go.

// v3Decode decodes the body of a V3 request: an object without unknown keys. The callback reads its
// members.
func v3Decode(body []byte, allowed []string, read func(c *checker, obj *jsonObject)) *problem {
	root, err := decodeStrict(body)
	if err != nil {
		return badRequest(err.Error())
	}
	c := &checker{}
	obj := c.readObject("", root, allowed...)
	if obj == nil {
		return badRequest("body must be a JSON object")
	}
	read(c, obj)
	if c.errorCount > 0 {
		return badRequest(c.errors...)
	}
	return nil
}

// v3MaxEvents is the largest cap on the events of one type in V3.
const v3MaxEvents = 100

func v3Signals(of object) *operation {
	return &operation{
		parse: func(s *Server, body []byte, now time.Time) (*order, *problem) {
			allowed := []string{"ids", "signalTypes", "startDate", "maxResultsPerSignal"}
			if of == company {
				allowed = append(allowed, "filters")
			}
			o := &order{object: of, now: now}
			return o, v3Decode(body, allowed, func(c *checker, obj *jsonObject) {
				o.lookups = v3IDs(c, s, of, obj)
				o.types = readSignals(c, s, of, s.signals[apiV3][of], "", obj, "signalTypes")
				o.span = readSpan(c, s, "", obj, dayOf(now))
				o.maxEvents = readMaxEvents(c, s, "", obj, v3MaxEvents)
				if v, ok := obj.get("filters"); ok && of == company {
					o.filter = v3Filters(c, s, v)
				}
			})
		},
		answer: (*Server).answerSignals,
		encode: v3EncodeSignals,
	}
}

func v3IDs(c *checker, s *Server, of object, obj *jsonObject) []lookup {
	items := c.readBatch(s, "", obj, "ids")
	lookups := make([]lookup, 0, len(items))
	seen := make(map[string]bool, len(items))
	for i, item := range items {
		l, ok := v3ID(c, s, of, "ids."+strconv.Itoa(i), item)
		if ok && !seen[l.ref] { // a repeated id is one entry, billed once
			seen[l.ref] = true
			lookups = append(lookups, l)
		}
	}
	return lookups
}

func v3ID(c *checker, s *Server, of object, field string, item any) (lookup, bool) {
	text, ok := item.(string)
	if !ok {
		c.addError(field, "must be a string")
		return lookup{}, false
	}
	id, ok := s.world.parseID(of, text)
	if !ok {
		c.addError(field, "%q is not an id", truncate(text))
	}
	return lookup{ref: text, id: id, keys: []string{foldCase(text), strconv.FormatInt(id, 10)}}, ok
}

// v3Filters reads the one filter that V3 documents for signals, and by switch those of V2.
func v3Filters(c *checker, s *Server, v any) signalFilter {
	known := []string{"intentCategories"}
	if s.switches.V3Filters == "lenient" {
		known = append(known, v2Filters...)
	}
	return readFilters(c, v, known)
}

func v3EncodeSignals(dst []byte, a *answer, sw *Switches, q *quirks) []byte {
	w := newWriter(dst, a, sw, q)
	w.apiVersion, w.chargeKey = apiV3, "billing"
	w.open()
	w.entries("results", a, q.rootList, w.v3Entry, func(f *finding) bool {
		if sw.NotFound != "error" {
			return false
		}
		w.b = append(w.b, '{')
		w.echoID("id", f.lookup.ref)
		w.itemError(notFound)
		w.b = append(w.b, '}')
		return true
	})
	w.window(a.order)
	w.charge(a)
	return append(w.b, '}')
}

func (w *writer) v3Entry(a *answer, f *finding) {
	w.b = append(w.b, '{')
	w.echoID("id", f.lookup.ref)
	if f.entity.object == company {
		w.string("companyName", f.entity.name)
		w.string("domain", w.companyDomain(&f.entity))
	}
	w.signalLists(a.order, f)
	w.b = append(w.b, '}')
}

// Error codes of one item of a batch.
const (
	notFound   = "NOT_FOUND"
	restricted = "COMPLIANCE_RESTRICTED"
	noScore    = "NO_SCORE"
)

var itemMessages = map[string]string{
	notFound:   "Nothing is known under these identifiers",
	restricted: "This entry may not be looked up",
	noScore:    "There is no score for this entry",
}

func (w *writer) itemError(code string) {
	w.b = append(appendKey(w.b, "error"), `{"code":`...)
	w.b = append(appendString(w.b, code), `,"message":`...)
	w.b = append(appendString(w.b, itemMessages[code]), '}')
}
