package simulator

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// This file is the V3 search: it resolves identifiers to ids, with a preview of each entity.

const productSearch = "search"

// v3ListKey returns the name of the list of items.
func v3ListKey(of object) string {
	if of == contact {
		return "contacts"
	}
	return "companies"
}

func v3Search(of object) *operation {
	return &operation{
		parse: func(s *Server, body []byte, now time.Time) (*order, *problem) {
			o := &order{product: productSearch, object: of, now: now}
			return o, v3Decode(body, []string{v3ListKey(of), "options", "signals"}, func(c *checker, obj *jsonObject) {
				o.lookups = v3Items(c, s, of, obj, "id", "domain", "name")
				v3Options(c, obj)
				v, ok := obj.get("signals")
				narrow := &jsonObject{}
				if ok {
					if narrow = c.readObject("signals", v, "types", "startDate", "maxResultsPerSignal"); narrow == nil {
						return
					}
					o.types = readSignals(c, s, of, s.signals[apiV3][of], "signals", narrow, "types")
				}
				o.span = readSpan(c, s, "signals", narrow, dayOf(now))
				o.maxEvents = readMaxEvents(c, s, "signals", narrow, v3MaxEvents)
			})
		},
		answer: (*Server).answerSearch,
		encode: v3Encode((*writer).searchResult),
	}
}

// v3Options reads options that have no effect here: this world has no partial profiles.
func v3Options(c *checker, obj *jsonObject) {
	v, ok := obj.get("options")
	if !ok {
		return
	}
	options := c.readObject("options", v, "includePartialProfiles")
	if options == nil {
		return
	}
	if v, ok = options.get("includePartialProfiles"); ok {
		if _, ok = v.(bool); !ok {
			c.addError("options.includePartialProfiles", "must be a boolean")
		}
	}
}

// v3Items reads identifiers, each with or without a reference of the caller's own. Companies
// accept the given kinds of identifiers.
func v3Items(c *checker, s *Server, of object, obj *jsonObject, kinds ...string) []lookup {
	items := c.readBatch(s, "", obj, v3ListKey(of))
	lookups := make([]lookup, 0, len(items))
	indexByRef := make(map[string]int, len(items))
	for i, item := range items {
		field := v3ListKey(of) + "." + strconv.Itoa(i)
		var l lookup
		var ok bool
		if of == company {
			l, ok = v3Company(c, s, field, item, kinds)
		} else {
			l, ok = v3Contact(c, s, field, item)
		}
		if !ok {
			continue
		}
		if !l.hasReference {
			l.ref = strconv.FormatInt(l.id, 10)
			lookups = append(lookups, l)
			continue
		}
		index, repeated := indexByRef[l.ref]
		switch {
		case !repeated:
			indexByRef[l.ref] = len(lookups)
			lookups = append(lookups, l)
		case s.switches.Duplicates == "refuse":
			c.addError(field+".clientReferenceId", "repeats a reference used before")
		default:
			lookups[index] = l
		}
	}
	return lookups
}

// maxReference is the largest number of characters in a reference.
const maxReference = 256

func v3Reference(c *checker, field string, obj *jsonObject, l *lookup) {
	if _, l.hasReference = obj.get("clientReferenceId"); !l.hasReference {
		return
	}
	l.ref, _ = c.readText(field, obj, "clientReferenceId")
	if utf8.RuneCountInString(l.ref) > maxReference {
		c.addError(field+".clientReferenceId", "must not be longer than %d characters", maxReference)
	}
}

func v3Company(c *checker, s *Server, field string, item any, kinds []string) (lookup, bool) {
	obj := c.readObject(field, item, append([]string{"clientReferenceId"}, kinds...)...)
	if obj == nil {
		return lookup{}, false
	}
	var l lookup
	before := c.errorCount
	v3Reference(c, field, obj, &l)
	given := ""
	for _, kind := range kinds {
		if _, ok := obj.get(kind); !ok {
			continue
		}
		if given != "" {
			c.addError(field, "must have only one of %s", strings.Join(kinds, ", "))
			return l, false
		}
		given = kind
	}
	switch given {
	case "id":
		v3ByID(c, s, company, field, obj, &l)
	case "domain":
		if domain, ok := readDomain(c, field, obj, "domain"); ok {
			l.id, l.domain = s.world.companyByDomain(domain)
			l.keys = []string{foldCase(domain), l.domain}
		}
	case "email":
		if email, ok := v3Email(c, field, obj); ok {
			_, domain, _ := strings.Cut(email, "@")
			l.id, l.domain = s.world.companyByDomain(domain)
			l.keys = []string{foldCase(email), l.domain}
		}
	case "name":
		if name, ok := c.readText(field, obj, "name"); ok {
			l.name = strings.TrimSpace(name)
			l.id, l.domain = s.world.companyByName(name)
			l.keys = []string{foldCase(name)}
		}
	default:
		c.addError(field, "must have one of %s", strings.Join(kinds, ", "))
	}
	return l, c.errorCount == before
}

// contactIdentifierKinds maps each identifying member of a contact to its kind of identifier.
var contactIdentifierKinds = map[string]string{
	"id": "id", "linkedinUrl": "linkedinUrl", "email": "email",
	"firstName": "name", "lastName": "name", "companyName": "name", "companyDomain": "name",
}

func v3Contact(c *checker, s *Server, field string, item any) (lookup, bool) {
	obj := c.readObject(field, item, "clientReferenceId", "id", "linkedinUrl", "email", "firstName", "lastName", "companyName", "companyDomain")
	if obj == nil {
		return lookup{}, false
	}
	var l lookup
	before := c.errorCount
	v3Reference(c, field, obj, &l)
	given := ""
	for _, key := range obj.keys {
		kind := contactIdentifierKinds[key]
		if kind != "" && given != "" && kind != given {
			c.addError(field, "must have only one of id, linkedinUrl, email, or a name with its company")
			return l, false
		}
		if kind != "" {
			given = kind
		}
	}
	switch given {
	case "id":
		v3ByID(c, s, contact, field, obj, &l)
	case "linkedinUrl":
		if link, ok := v3Profile(c, field, obj); ok {
			fillByProfile(s.world, &l, link)
		}
	case "email":
		if email, ok := v3Email(c, field, obj); ok {
			fillByEmail(s.world, &l, email)
		}
	case "name":
		v3Person(c, s.world, field, obj, &l)
	default:
		c.addError(field, "must have id, linkedinUrl, email, or firstName and lastName with companyName or companyDomain")
	}
	return l, c.errorCount == before
}

// v3Person reads a contact named by first and last name and a company.
func v3Person(c *checker, w world, field string, obj *jsonObject, l *lookup) {
	var ok [2]bool
	for i, key := range []string{"firstName", "lastName"} {
		if _, present := obj.get(key); !present {
			c.addError(joinPath(field, key), "is required")
			continue
		}
		var name string
		name, ok[i] = c.readText(field, obj, key)
		*[]*string{&l.first, &l.last}[i] = strings.TrimSpace(name)
	}
	name, nameOK := c.readText(field, obj, "companyName")
	domain, domainOK := readDomain(c, field, obj, "companyDomain")
	_, hasName := obj.get("companyName")
	_, hasDomain := obj.get("companyDomain")
	if !hasName && !hasDomain {
		c.addError(field, "needs companyName or companyDomain")
	}
	if !ok[0] || !ok[1] || !nameOK && !domainOK {
		return
	}
	l.name = strings.TrimSpace(name)
	if domainOK {
		l.domain = cleanDomain(domain)
	} else {
		_, l.domain = w.companyByName(name)
	}
	full := l.first + " " + l.last
	l.id = w.contactByName(full, l.domain)
	l.keys = []string{foldCase(full)}
}

func fillByProfile(w world, l *lookup, link string) {
	l.id, l.url = w.contactByProfile(link), strings.TrimSpace(link)
	l.keys = []string{foldCase(link), profileSlug(link)}
}

func fillByEmail(w world, l *lookup, email string) {
	_, domain, _ := strings.Cut(strings.TrimSpace(email), "@")
	l.id, l.domain = w.contactByEmail(email), cleanDomain(domain)
	l.keys = []string{foldCase(email)}
}

func v3ByID(c *checker, s *Server, of object, field string, obj *jsonObject, l *lookup) {
	v, _ := obj.get("id")
	byID, ok := v3ID(c, s, of, field+".id", v)
	if !ok {
		return
	}
	l.id, l.keys = byID.id, byID.keys
}

func v3Email(c *checker, field string, obj *jsonObject) (string, bool) {
	email, ok := c.readText(field, obj, "email")
	if ok && !isEmail(email) {
		c.addError(field+".email", "must be an e-mail address")
		return "", false
	}
	return strings.TrimSpace(email), ok
}

func v3Profile(c *checker, field string, obj *jsonObject) (string, bool) {
	link, ok := c.readText(field, obj, "linkedinUrl")
	if ok && !isProfile(link) {
		c.addError(field+".linkedinUrl", "must be a LinkedIn profile URL")
		return "", false
	}
	return link, ok
}

// answerSearch resolves the lookups of an order. With signals in the request, only entities that have
// such an event count as found.
func (s *Server) answerSearch(o *order, draw uint64) *answer {
	a := s.newAnswer(o, draw)
	for i := range o.lookups {
		f := &a.findings[i]
		s.resolveLookup(f, o)
		if f.known && len(o.types) > 0 {
			s.fillEvents(f, o)
			for j, list := range f.events {
				if len(list) > 0 {
					f.signalNames = append(f.signalNames, o.types[j].key)
				}
			}
			if f.known = len(f.signalNames) > 0; !f.known {
				f.errorCode = notFound
			}
		}
		if f.known {
			a.found++
		}
	}
	a.unmatched = a.nothingFound()
	t := a.tariffs["api_search"]
	blocks := (int64(a.found) + t.perQuantity - 1) / t.perQuantity
	a.addCharge(productSearch, blocks*t.credits)
	if a.charge == 0 && s.hasMinimumCharge() {
		a.addCharge(minimumCharge, 1)
	}
	return a
}

// nothingFound reports that no lookup matched.
func (a *answer) nothingFound() bool {
	return !slices.ContainsFunc(a.findings, func(f finding) bool { return f.errorCode != notFound })
}

// resolveLookup finds the entity behind a lookup, or the error code that stands for it.
func (s *Server) resolveLookup(f *finding, o *order) {
	f.entity, f.known = s.names.find(s.world, o.object, f.lookup)
	if s.switches.Events == "most" {
		f.known = true
		return
	}
	switch {
	case !f.known:
		f.errorCode = notFound
	case o.product == productSearch && s.switches.Restricted == "some" && unitFloat(mix(f.entity.root, 'c')) < restrictedShare:
		f.known, f.errorCode = false, restricted
	}
}

// restrictedShare is the share of entities that may not be looked up, under the switch.
const restrictedShare = 1.0 / 200

// v3Encode writes answers that have a request id, results with an error per item, and a bill.
// entry writes one result without the braces around it.
func v3Encode(entry func(*writer, *answer, *finding)) func([]byte, *answer, *Switches, *quirks) []byte {
	return func(dst []byte, a *answer, sw *Switches, q *quirks) []byte {
		w := newWriter(dst, a, sw, q)
		w.apiVersion, w.chargeKey = apiV3, "billing"
		w.open()
		w.requestID(a)
		w.results(a, entry)
		w.charge(a)
		return append(w.b, '}')
	}
}

func (w *writer) results(a *answer, entry func(*writer, *answer, *finding)) {
	w.entries("results", a, w.q.rootList, func(a *answer, f *finding) {
		w.b = append(w.b, '{')
		entry(w, a, f)
		w.unknownSignal(a.order)
		w.b = append(w.b, '}')
	}, func(f *finding) bool {
		w.b = append(w.b, '{')
		w.clientReference(f.lookup)
		w.itemError(f.errorCode)
		w.b = append(w.b, '}')
		return true
	})
}

func (w *writer) searchResult(a *answer, f *finding) {
	w.preview(a, f)
	w.extraFields("segment")
	if len(a.order.types) > 0 {
		w.b = appendStrings(appendKey(w.b, "signalTypes"), f.signalNames)
	}
}
