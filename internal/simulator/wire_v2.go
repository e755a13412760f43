package simulator

import (
	"strconv"
	"strings"
	"time"
)

// This file is V2: how its requests are read.

// v2Form says where an operation keeps its items.
type v2Form struct {
	object object
	// Name of the list of items, and of the map in the answer when searching.
	list string
	// Items are identifiers with a reference, not ids.
	search bool
}

func v2(form v2Form) *dialect {
	return &dialect{parse: v2Parse(form), answer: (*Server).answer, encode: v2Encode}
}

func v2Parse(form v2Form) func(*Server, []byte, time.Time) (*order, *problem) {
	return func(s *Server, body []byte, now time.Time) (*order, *problem) {
		root, err := decodeStrict(body)
		if err != nil {
			return nil, badRequest(err.Error())
		}
		c := &complaints{}
		allowed := []string{form.list, "signals", "startDate", "maxResultsPerSignal"}
		if form.object == company {
			allowed = append(allowed, "filters")
		}
		obj := c.members("", root, allowed...)
		if obj == nil {
			return nil, badRequest("body must be a JSON object")
		}
		o := &order{object: form.object, now: now}
		v2Items(c, s, form, obj, o)
		o.types = readSignals(c, s, form.object, s.offered[generation2][form.object], "", obj, "signals")
		o.span = readSpan(c, s, "", obj, dayOf(now))
		o.most = readMost(c, s, "", obj, 0)
		if v, ok := obj.get("filters"); ok && form.object == company {
			o.filter = readFilters(c, v, subFilters)
		}
		switch {
		case c.total > 0 && c.total == c.names:
			// Only names without a first and a last part are wrong: they have a status of their
			// own.
			return nil, &problem{status: 412, message: "Precondition failed", errors: c.list}
		case c.total > 0:
			return nil, badRequest(c.list...)
		}
		return o, nil
	}
}

// v2Items reads the ids or identifiers.
func v2Items(c *complaints, s *Server, form v2Form, obj *jsonObject, o *order) {
	items := c.batch(s, "", obj, form.list)
	o.lookups = make([]lookup, 0, len(items))
	at := make(map[string]int, len(items))
	for i, item := range items {
		field := form.list + "." + strconv.Itoa(i)
		var l lookup
		ok := false
		switch {
		case !form.search:
			l, ok = v2ID(c, field, item)
		case form.object == company:
			l, ok = v2Company(c, s.world, field, item)
		default:
			l, ok = v2Contact(c, s.world, field, item)
		}
		if !ok {
			continue
		}
		before, twice := at[l.ref]
		switch {
		case !twice:
			at[l.ref] = len(o.lookups)
			o.lookups = append(o.lookups, l)
		case !form.search:
			// A repeated id is one entry, billed once.
		case s.switches.Duplicates == "refuse":
			c.add(field+".id", "repeats a reference used before")
		default:
			o.lookups[before] = l
		}
	}
}

func v2ID(c *complaints, field string, item any) (lookup, bool) {
	id, ok := integer(item)
	if !ok || id < 1 {
		c.add(field, "must be a positive integer")
		return lookup{}, false
	}
	ref := strconv.FormatInt(id, 10)
	return lookup{ref: ref, id: id, keys: []string{ref}}, true
}

func v2Company(c *complaints, w world, field string, item any) (lookup, bool) {
	obj := c.members(field, item, "id", "name", "domain")
	if obj == nil {
		return lookup{}, false
	}
	var l lookup
	ref, ok := v2Reference(c, field, obj)
	name, named := c.text(field, obj, "name")
	domain, hosted := readDomain(c, field, obj, "domain")
	_, hasName := obj.get("name")
	_, hasDomain := obj.get("domain")
	if !hasName && !hasDomain {
		c.add(field, "needs a domain or a name")
	}
	if !ok || !named && !hosted {
		return l, false
	}
	l.ref = ref
	if hosted {
		l.id, l.domain = w.companyByDomain(domain)
		l.keys = append(l.keys, fold(domain), l.domain)
	} else {
		l.id, l.domain = w.companyByName(name)
	}
	if named {
		l.name = strings.TrimSpace(name)
		l.keys = append(l.keys, fold(name))
	}
	return l, true
}

func v2Contact(c *complaints, w world, field string, item any) (lookup, bool) {
	obj := c.members(field, item, "id", "social_link", "email", "full_name", "companies")
	if obj == nil {
		return lookup{}, false
	}
	ref, ok := v2Reference(c, field, obj)
	before := c.total
	link, linked := c.text(field, obj, "social_link")
	if linked && !isProfile(link) {
		c.add(field+".social_link", "must be a LinkedIn profile URL")
	}
	email, mailed := c.text(field, obj, "email")
	if mailed && !isEmail(email) {
		c.add(field+".email", "must be an e-mail address")
	}
	name, named := c.text(field, obj, "full_name")
	employer, employed := v2Employer(c, w, field, obj)
	if !ok || c.total > before {
		return lookup{}, false
	}
	l := lookup{ref: ref}
	// Which identifier wins when several are given is not documented; here the most specific one
	// wins.
	switch {
	case linked:
		l.id = w.contactByProfile(link)
	case mailed:
		l.id = w.contactByEmail(email)
	case named && employed:
		if len(strings.Fields(name)) < 2 {
			c.names++
			c.add(field+".full_name", "must have a first and a last part")
			return l, false
		}
		l.id = w.contactByName(name, employer)
	default:
		c.add(field, "needs social_link, email, or full_name with companies")
		return l, false
	}
	if linked {
		l.keys = append(l.keys, fold(link), profileSlug(link))
	}
	if mailed {
		l.keys = append(l.keys, fold(email))
	}
	if named {
		l.keys = append(l.keys, fold(name))
	}
	return l, true
}

// v2Employer reads the companies of a contact and returns the domain of the current one.
func v2Employer(c *complaints, w world, field string, obj *jsonObject) (string, bool) {
	v, ok := obj.get("companies")
	if !ok {
		return "", false
	}
	items, ok := v.([]any)
	if !ok {
		c.add(field+".companies", "must be a list")
		return "", false
	}
	if len(items) == 0 {
		c.add(field+".companies", "must contain at least 1 items")
		return "", false
	}
	var first, current string
	for i, item := range items {
		at := field + ".companies." + strconv.Itoa(i)
		one := c.members(at, item, "name", "domain", "is_current")
		if one == nil {
			continue
		}
		name, named := c.text(at, one, "name")
		domain, hosted := readDomain(c, at, one, "domain")
		_, hasName := one.get("name")
		_, hasDomain := one.get("domain")
		if !hasName && !hasDomain {
			c.add(at, "needs a domain or a name")
		}
		isCurrent := true
		if v, ok := one.get("is_current"); ok {
			if isCurrent, ok = v.(bool); !ok {
				c.add(at+".is_current", "must be a boolean")
			}
		}
		switch {
		case hosted:
			domain = cleanDomain(domain)
		case named:
			_, domain = w.companyByName(name)
		default:
			continue
		}
		if first == "" {
			first = domain
		}
		if isCurrent && current == "" {
			current = domain
		}
	}
	if current == "" {
		current = first
	}
	return current, current != ""
}

func v2Reference(c *complaints, field string, obj *jsonObject) (string, bool) {
	if _, ok := obj.get("id"); !ok {
		c.add(field+".id", "is required")
		return "", false
	}
	return c.text(field, obj, "id")
}
