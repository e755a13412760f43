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

func v2Signals(form v2Form) *operation {
	return &operation{parse: v2Parse(form), answer: (*Server).answerSignals, encode: v2Encode}
}

func v2Parse(form v2Form) func(*Server, []byte, time.Time) (*order, *problem) {
	return func(s *Server, body []byte, now time.Time) (*order, *problem) {
		root, err := decodeStrict(body)
		if err != nil {
			return nil, badRequest(err.Error())
		}
		c := &checker{}
		allowed := []string{form.list, "signals", "startDate", "maxResultsPerSignal"}
		if form.object == company {
			allowed = append(allowed, "filters")
		}
		obj := c.readObject("", root, allowed...)
		if obj == nil {
			return nil, badRequest("body must be a JSON object")
		}
		o := &order{object: form.object, now: now}
		v2Items(c, s, form, obj, o)
		o.types = readSignals(c, s, form.object, s.signals[apiV2][form.object], "", obj, "signals")
		o.span = readSpan(c, s, "", obj, dayOf(now))
		o.maxEvents = readMaxEvents(c, s, "", obj, 0)
		if v, ok := obj.get("filters"); ok && form.object == company {
			o.filter = readFilters(c, v, v2Filters)
		}
		switch {
		case c.errorCount > 0 && c.errorCount == c.nameErrors:
			// Only names without a first and a last part are wrong: they have a status of their
			// own.
			return nil, &problem{status: 412, message: "Precondition failed", errors: c.errors}
		case c.errorCount > 0:
			return nil, badRequest(c.errors...)
		}
		return o, nil
	}
}

// v2Items reads the ids or identifiers.
func v2Items(c *checker, s *Server, form v2Form, obj *jsonObject, o *order) {
	items := c.readBatch(s, "", obj, form.list)
	o.lookups = make([]lookup, 0, len(items))
	indexByRef := make(map[string]int, len(items))
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
		index, repeated := indexByRef[l.ref]
		switch {
		case !repeated:
			indexByRef[l.ref] = len(o.lookups)
			o.lookups = append(o.lookups, l)
		case !form.search:
			// A repeated id is one entry, billed once.
		case s.switches.Duplicates == "refuse":
			c.addError(field+".id", "repeats a reference used before")
		default:
			o.lookups[index] = l
		}
	}
}

func v2ID(c *checker, field string, item any) (lookup, bool) {
	id, ok := parseInteger(item)
	if !ok || id < 1 {
		c.addError(field, "must be a positive integer")
		return lookup{}, false
	}
	ref := strconv.FormatInt(id, 10)
	return lookup{ref: ref, id: id, keys: []string{ref}}, true
}

func v2Company(c *checker, w world, field string, item any) (lookup, bool) {
	obj := c.readObject(field, item, "id", "name", "domain")
	if obj == nil {
		return lookup{}, false
	}
	var l lookup
	ref, ok := v2Reference(c, field, obj)
	name, nameOK := c.readText(field, obj, "name")
	domain, domainOK := readDomain(c, field, obj, "domain")
	_, hasName := obj.get("name")
	_, hasDomain := obj.get("domain")
	if !hasName && !hasDomain {
		c.addError(field, "needs a domain or a name")
	}
	if !ok || !nameOK && !domainOK {
		return l, false
	}
	l.ref = ref
	if domainOK {
		l.id, l.domain = w.companyByDomain(domain)
		l.keys = append(l.keys, foldCase(domain), l.domain)
	} else {
		l.id, l.domain = w.companyByName(name)
	}
	if nameOK {
		l.name = strings.TrimSpace(name)
		l.keys = append(l.keys, foldCase(name))
	}
	return l, true
}

func v2Contact(c *checker, w world, field string, item any) (lookup, bool) {
	obj := c.readObject(field, item, "id", "social_link", "email", "full_name", "companies")
	if obj == nil {
		return lookup{}, false
	}
	ref, ok := v2Reference(c, field, obj)
	before := c.errorCount
	link, linkOK := c.readText(field, obj, "social_link")
	if linkOK && !isProfile(link) {
		c.addError(field+".social_link", "must be a LinkedIn profile URL")
	}
	email, emailOK := c.readText(field, obj, "email")
	if emailOK && !isEmail(email) {
		c.addError(field+".email", "must be an e-mail address")
	}
	name, nameOK := c.readText(field, obj, "full_name")
	employer, employerOK := v2Employer(c, w, field, obj)
	if !ok || c.errorCount > before {
		return lookup{}, false
	}
	l := lookup{ref: ref}
	// Which identifier wins when several are given is not documented; here the most specific one
	// wins.
	switch {
	case linkOK:
		l.id = w.contactByProfile(link)
	case emailOK:
		l.id = w.contactByEmail(email)
	case nameOK && employerOK:
		if len(strings.Fields(name)) < 2 {
			c.nameErrors++
			c.addError(field+".full_name", "must have a first and a last part")
			return l, false
		}
		l.id = w.contactByName(name, employer)
	default:
		c.addError(field, "needs social_link, email, or full_name with companies")
		return l, false
	}
	if linkOK {
		l.keys = append(l.keys, foldCase(link), profileSlug(link))
	}
	if emailOK {
		l.keys = append(l.keys, foldCase(email))
	}
	if nameOK {
		l.keys = append(l.keys, foldCase(name))
	}
	return l, true
}

// v2Employer reads the companies of a contact and returns the domain of the current one.
func v2Employer(c *checker, w world, field string, obj *jsonObject) (string, bool) {
	v, ok := obj.get("companies")
	if !ok {
		return "", false
	}
	items, ok := v.([]any)
	if !ok {
		c.addError(field+".companies", "must be a list")
		return "", false
	}
	if len(items) == 0 {
		c.addError(field+".companies", "must contain at least 1 items")
		return "", false
	}
	var first, current string
	for i, item := range items {
		at := field + ".companies." + strconv.Itoa(i)
		one := c.readObject(at, item, "name", "domain", "is_current")
		if one == nil {
			continue
		}
		name, nameOK := c.readText(at, one, "name")
		domain, domainOK := readDomain(c, at, one, "domain")
		_, hasName := one.get("name")
		_, hasDomain := one.get("domain")
		if !hasName && !hasDomain {
			c.addError(at, "needs a domain or a name")
		}
		isCurrent := true
		if v, ok := one.get("is_current"); ok {
			if isCurrent, ok = v.(bool); !ok {
				c.addError(at+".is_current", "must be a boolean")
			}
		}
		switch {
		case domainOK:
			domain = cleanDomain(domain)
		case nameOK:
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

func v2Reference(c *checker, field string, obj *jsonObject) (string, bool) {
	if _, ok := obj.get("id"); !ok {
		c.addError(field+".id", "is required")
		return "", false
	}
	return c.readText(field, obj, "id")
}
