package simulator

import (
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// This file holds what all billed operations share: the order that a request becomes, and the
// parsing of its common parts.

// order is a parsed request, independent of the wire format: entities, signals, and the part of
// their history.
type order struct {
	product   string // billed product; "" for events
	object    object
	now       time.Time
	lookups   []lookup
	types     []*signal
	span      span
	maxEvents int // events per type and entity; 0: all
	filter    signalFilter
	lookalike *lookalikeOrder // lookalikes only
	visits    *visitOrder     // visits only
}

// billedTypes returns the types or the product of an order, as the bill names them.
func (o *order) billedTypes() []string {
	if o.product != "" {
		return []string{o.product}
	}
	keys := make([]string, len(o.types))
	for i, s := range o.types {
		keys[i] = s.key
	}
	return keys
}

// operation is one billed operation at one path of the API. It parses a request into an order,
// answers the order from the world, and encodes the answer. The day of now is the last one of
// every window.
//
// check, which may be nil, refuses an order that is well formed but cannot be served.
type operation struct {
	parse  func(s *Server, body []byte, now time.Time) (*order, *problem)
	check  func(s *Server, o *order) *problem
	answer func(s *Server, o *order, draw uint64) *answer
	encode func(dst []byte, a *answer, sw *Switches, q *quirks) []byte
}

// readSignals reads a list of signal keys; served holds the signals that exist.
func readSignals(c *checker, s *Server, o object, served []*signal, at string, obj *jsonObject, name string) []*signal {
	chosen := make([]bool, len(served))
	all, others := false, false
	for i, item := range c.readList(at, obj, name, true, 1) {
		field := joinPath(at, name) + "." + strconv.Itoa(i)
		key, ok := item.(string)
		if !ok {
			c.addError(field, "must be a string")
			continue
		}
		if key == allSignals {
			all = true
			for j := range chosen {
				chosen[j] = true
			}
			continue
		}
		others = true
		known := false
		for j, sig := range served {
			if sig.key == key {
				chosen[j], known = true, true
			}
		}
		if !known {
			c.addError(field, "%q is not a %s signal", truncate(key), o)
		}
	}
	if all && others && s.switches.AllSignals == "refuse" {
		c.addError(joinPath(at, name), "must not name allSignals next to other signals")
	}
	var types []*signal
	for j, sig := range served {
		if chosen[j] {
			types = append(types, sig)
		}
	}
	return types
}

// readSpan reads the window of a request, which always ends today.
func readSpan(c *checker, s *Server, at string, obj *jsonObject, today day) span {
	sp := span{from: today.monthsBack(6), to: today, today: today}
	if s.switches.DefaultWindow == "three-months" {
		sp.from = today.monthsBack(3)
	}
	if v, ok := obj.get("startDate"); ok {
		text, _ := v.(string)
		from, ok := parseDay(text)
		switch {
		case !ok:
			c.addError(joinPath(at, "startDate"), "must be a date written YYYY-MM-DD")
		case from > today:
			c.addError(joinPath(at, "startDate"), "must not be in the future")
		}
		sp.from = from
	}
	return sp
}

// readMaxEvents reads the cap on the events of a type; limit is the largest one allowed, 0 for any.
func readMaxEvents(c *checker, s *Server, at string, obj *jsonObject, limit int64) int {
	v, ok := obj.get("maxResultsPerSignal")
	if !ok {
		if s.switches.MissingCap == "10" {
			return 10
		}
		return 0
	}
	maxEvents, ok := parseInteger(v)
	switch {
	case limit > 0 && (!ok || maxEvents < 1 || maxEvents > limit):
		c.addError(joinPath(at, "maxResultsPerSignal"), "must be an integer from 1 to %d", limit)
	case !ok || maxEvents < 1:
		c.addError(joinPath(at, "maxResultsPerSignal"), "must be an integer of at least 1")
	}
	return int(min(maxEvents, 1<<30))
}

// v2Filters are the filters that V2 documents for signals.
var v2Filters = []string{"newsEventTypes", "hiringByDepartments", "hiringByLocations"}

// readFilters reads the filters of signals and refuses any outside known.
func readFilters(c *checker, v any, known []string) signalFilter {
	var f signalFilter
	obj := c.readObject("filters", v, "include")
	if obj == nil {
		return f
	}
	v, ok := obj.get("include")
	if !ok {
		return f
	}
	const at = "filters.include"
	inner := c.readObject(at, v, known...)
	if inner == nil {
		return f
	}
	f.newsTypes = readValues(c, at, inner, "newsEventTypes", newsEventTypes())
	f.categories = readValues(c, at, inner, "intentCategories", intentCategories())
	f.departments = readValues(c, at, inner, "hiringByDepartments", departments)
	if v, ok := inner.get("hiringByLocations"); ok {
		items, ok := v.([]any)
		if !ok {
			c.addError(at+".hiringByLocations", "must be a list")
		}
		for i, item := range items {
			field := at + ".hiringByLocations." + strconv.Itoa(i)
			one := c.readObject(field, item, "country", "state")
			if one == nil {
				continue
			}
			if _, ok := one.get("country"); !ok {
				c.addError(field+".country", "is required")
			}
			country, _ := c.readText(field, one, "country")
			state, _ := c.readText(field, one, "state")
			f.places = append(f.places, place{country: strings.TrimSpace(country), state: strings.TrimSpace(state)})
		}
	}
	return f
}

// readValues reads a list of words from a vocabulary, in any letter case.
func readValues(c *checker, at string, obj *jsonObject, key string, vocabulary []string) []string {
	v, ok := obj.get(key)
	if !ok {
		return nil
	}
	items, ok := v.([]any)
	if !ok {
		c.addError(at+"."+key, "must be a list")
		return nil
	}
	var values []string
	for i, item := range items {
		field := at + "." + key + "." + strconv.Itoa(i)
		text, ok := item.(string)
		if !ok {
			c.addError(field, "must be a string")
			continue
		}
		value, ok := canonicalValue(vocabulary, text)
		if !ok {
			c.addError(field, "%q is not one of the values of this filter", truncate(text))
			continue
		}
		values = append(values, value)
	}
	return values
}

// readDomain reads an optional host name.
func readDomain(c *checker, field string, obj *jsonObject, key string) (string, bool) {
	domain, ok := c.readText(field, obj, key)
	if ok && !isHost(domain) {
		c.addError(joinPath(field, key), "must be a host name, not a URL")
		return "", false
	}
	return domain, ok
}

func foldCase(s string) string { return strings.ToLower(strings.TrimSpace(s)) }

func truncate(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "..."
	}
	return s
}

// isHost accepts a bare host name of at least two labels, international ones included.
func isHost(s string) bool {
	s = strings.TrimSuffix(strings.TrimSpace(s), ".")
	if len(s) > 253 || !strings.Contains(s, ".") {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, r := range label {
			if r != '-' && r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) {
				return false
			}
		}
	}
	return true
}

func isEmail(s string) bool {
	local, domain, ok := strings.Cut(strings.TrimSpace(s), "@")
	return ok && local != "" && !strings.ContainsAny(local, " \t\r\n") && isHost(domain)
}

func isProfile(s string) bool {
	s = strings.TrimSpace(s)
	if !strings.Contains(s, "://") {
		s = "https://" + s
	}
	u, err := url.Parse(s)
	if err != nil {
		return false
	}
	host := strings.ToLower(u.Hostname())
	return (host == "linkedin.com" || strings.HasSuffix(host, ".linkedin.com")) && len(strings.Trim(u.Path, "/")) > 0
}
