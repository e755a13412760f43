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

// v3List returns the name of the list of items.
func v3List(of object) string {
	if of == contact {
		return "contacts"
	}
	return "companies"
}

func v3Search(of object) *dialect {
	return &dialect{
		parse: func(s *Server, body []byte, now time.Time) (*order, *problem) {
			o := &order{product: productSearch, object: of, now: now}
			return o, v3Read(body, []string{v3List(of), "options", "signals"}, func(c *complaints, obj *jsonObject) {
				o.lookups = v3Items(c, s, of, obj, "id", "domain", "name")
				v3Options(c, obj)
				v, ok := obj.get("signals")
				narrow := &jsonObject{}
				if ok {
					if narrow = c.members("signals", v, "types", "startDate", "maxResultsPerSignal"); narrow == nil {
						return
					}
					o.types = readSignals(c, s, of, s.offered[generation3][of], "signals", narrow, "types")
				}
				o.span = readSpan(c, s, "signals", narrow, dayOf(now))
				o.most = readMost(c, s, "signals", narrow, v3Most)
			})
		},
		answer: (*Server).search,
		encode: v3Encode((*writer).found),
	}
}

// v3Options reads options that have no effect here: this world has no partial profiles.
func v3Options(c *complaints, obj *jsonObject) {
	v, ok := obj.get("options")
	if !ok {
		return
	}
	options := c.members("options", v, "includePartialProfiles")
	if options == nil {
		return
	}
	if v, ok = options.get("includePartialProfiles"); ok {
		if _, ok = v.(bool); !ok {
			c.add("options.includePartialProfiles", "must be a boolean")
		}
	}
}

// v3Items reads identifiers, each with or without a reference of the caller's own. Companies
// accept the given kinds of identifiers.
func v3Items(c *complaints, s *Server, of object, obj *jsonObject, families ...string) []lookup {
	items := c.batch(s, "", obj, v3List(of))
	lookups := make([]lookup, 0, len(items))
	at := make(map[string]int, len(items))
	for i, item := range items {
		field := v3List(of) + "." + strconv.Itoa(i)
		var l lookup
		var ok bool
		if of == company {
			l, ok = v3Company(c, s, field, item, families)
		} else {
			l, ok = v3Contact(c, s, field, item)
		}
		if !ok {
			continue
		}
		if !l.referred {
			l.ref = strconv.FormatInt(l.id, 10)
			lookups = append(lookups, l)
			continue
		}
		before, twice := at[l.ref]
		switch {
		case !twice:
			at[l.ref] = len(lookups)
			lookups = append(lookups, l)
		case s.switches.Duplicates == "refuse":
			c.add(field+".clientReferenceId", "repeats a reference used before")
		default:
			lookups[before] = l
		}
	}
	return lookups
}

// longestReference is the largest number of characters in a reference.
const longestReference = 256

func v3Reference(c *complaints, field string, obj *jsonObject, l *lookup) {
	if _, l.referred = obj.get("clientReferenceId"); !l.referred {
		return
	}
	l.ref, _ = c.text(field, obj, "clientReferenceId")
	if utf8.RuneCountInString(l.ref) > longestReference {
		c.add(field+".clientReferenceId", "must not be longer than %d characters", longestReference)
	}
}

func v3Company(c *complaints, s *Server, field string, item any, families []string) (lookup, bool) {
	obj := c.members(field, item, append([]string{"clientReferenceId"}, families...)...)
	if obj == nil {
		return lookup{}, false
	}
	var l lookup
	before := c.total
	v3Reference(c, field, obj, &l)
	given := ""
	for _, family := range families {
		if _, ok := obj.get(family); !ok {
			continue
		}
		if given != "" {
			c.add(field, "must have only one of %s", strings.Join(families, ", "))
			return l, false
		}
		given = family
	}
	switch given {
	case "id":
		v3Numbered(c, s, company, field, obj, &l)
	case "domain":
		if domain, ok := readDomain(c, field, obj, "domain"); ok {
			l.id, l.domain = s.world.companyByDomain(domain)
			l.keys = []string{fold(domain), l.domain}
		}
	case "email":
		if email, ok := v3Email(c, field, obj); ok {
			_, domain, _ := strings.Cut(email, "@")
			l.id, l.domain = s.world.companyByDomain(domain)
			l.keys = []string{fold(email), l.domain}
		}
	case "name":
		if name, ok := c.text(field, obj, "name"); ok {
			l.name = strings.TrimSpace(name)
			l.id, l.domain = s.world.companyByName(name)
			l.keys = []string{fold(name)}
		}
	default:
		c.add(field, "must have one of %s", strings.Join(families, ", "))
	}
	return l, c.total == before
}

// contactFamilies maps each identifying member of a contact to its kind of identifier.
var contactFamilies = map[string]string{
	"id": "id", "linkedinUrl": "linkedinUrl", "email": "email",
	"firstName": "name", "lastName": "name", "companyName": "name", "companyDomain": "name",
}

func v3Contact(c *complaints, s *Server, field string, item any) (lookup, bool) {
	obj := c.members(field, item, "clientReferenceId", "id", "linkedinUrl", "email", "firstName", "lastName", "companyName", "companyDomain")
	if obj == nil {
		return lookup{}, false
	}
	var l lookup
	before := c.total
	v3Reference(c, field, obj, &l)
	given := ""
	for _, key := range obj.keys {
		family := contactFamilies[key]
		if family != "" && given != "" && family != given {
			c.add(field, "must have only one of id, linkedinUrl, email, or a name with its company")
			return l, false
		}
		if family != "" {
			given = family
		}
	}
	switch given {
	case "id":
		v3Numbered(c, s, contact, field, obj, &l)
	case "linkedinUrl":
		if link, ok := v3Profile(c, field, obj); ok {
			contactByLink(s.world, &l, link)
		}
	case "email":
		if email, ok := v3Email(c, field, obj); ok {
			contactByMail(s.world, &l, email)
		}
	case "name":
		v3Person(c, s.world, field, obj, &l)
	default:
		c.add(field, "must have id, linkedinUrl, email, or firstName and lastName with companyName or companyDomain")
	}
	return l, c.total == before
}

// v3Person reads a contact named by first and last name and a company.
func v3Person(c *complaints, w world, field string, obj *jsonObject, l *lookup) {
	var ok [2]bool
	for i, key := range []string{"firstName", "lastName"} {
		if _, there := obj.get(key); !there {
			c.add(join(field, key), "is required")
			continue
		}
		var name string
		name, ok[i] = c.text(field, obj, key)
		*[]*string{&l.first, &l.last}[i] = strings.TrimSpace(name)
	}
	name, named := c.text(field, obj, "companyName")
	domain, hosted := readDomain(c, field, obj, "companyDomain")
	_, hasName := obj.get("companyName")
	_, hasDomain := obj.get("companyDomain")
	if !hasName && !hasDomain {
		c.add(field, "needs companyName or companyDomain")
	}
	if !ok[0] || !ok[1] || !named && !hosted {
		return
	}
	l.name = strings.TrimSpace(name)
	if hosted {
		l.domain = cleanDomain(domain)
	} else {
		_, l.domain = w.companyByName(name)
	}
	full := l.first + " " + l.last
	l.id = w.contactByName(full, l.domain)
	l.keys = []string{fold(full)}
}

func contactByLink(w world, l *lookup, link string) {
	l.id, l.url = w.contactByProfile(link), strings.TrimSpace(link)
	l.keys = []string{fold(link), profileSlug(link)}
}

func contactByMail(w world, l *lookup, email string) {
	_, domain, _ := strings.Cut(strings.TrimSpace(email), "@")
	l.id, l.domain = w.contactByEmail(email), cleanDomain(domain)
	l.keys = []string{fold(email)}
}

func v3Numbered(c *complaints, s *Server, of object, field string, obj *jsonObject, l *lookup) {
	v, _ := obj.get("id")
	numbered, ok := v3ID(c, s, of, field+".id", v)
	if !ok {
		return
	}
	l.id, l.keys = numbered.id, numbered.keys
}

func v3Email(c *complaints, field string, obj *jsonObject) (string, bool) {
	email, ok := c.text(field, obj, "email")
	if ok && !isEmail(email) {
		c.add(field+".email", "must be an e-mail address")
		return "", false
	}
	return strings.TrimSpace(email), ok
}

func v3Profile(c *complaints, field string, obj *jsonObject) (string, bool) {
	link, ok := c.text(field, obj, "linkedinUrl")
	if ok && !isProfile(link) {
		c.add(field+".linkedinUrl", "must be a LinkedIn profile URL")
		return "", false
	}
	return link, ok
}

// search resolves the lookups of an order. With signals in the request, only entities that have
// such an event count as found.
func (s *Server) search(o *order, draw uint64) *answer {
	a := s.newAnswer(o, draw)
	for i := range o.lookups {
		f := &a.findings[i]
		s.identify(f, o)
		if f.known && len(o.types) > 0 {
			s.recall(f, o)
			for j, list := range f.events {
				if len(list) > 0 {
					f.kinds = append(f.kinds, o.types[j].key)
				}
			}
			if f.known = len(f.kinds) > 0; !f.known {
				f.trouble = notFound
			}
		}
		if f.known {
			a.found++
		}
	}
	a.unmatched = a.nobody()
	t := a.tariffs["api_search"]
	blocks := (int64(a.found) + t.perAmount - 1) / t.perAmount
	a.bill(productSearch, blocks*t.credits)
	if a.charge == 0 && s.minimum() {
		a.bill(minimumCharge, 1)
	}
	return a
}

// nobody reports that no lookup matched.
func (a *answer) nobody() bool {
	return !slices.ContainsFunc(a.findings, func(f finding) bool { return f.trouble != notFound })
}

// identify finds the entity behind a lookup, or the error code that stands for it.
func (s *Server) identify(f *finding, o *order) {
	f.entity, f.known = s.world.find(o.object, f.lookup)
	if s.switches.Events == "most" {
		f.known = true
		return
	}
	switch {
	case !f.known:
		f.trouble = notFound
	case o.product == productSearch && s.switches.Restricted == "some" && fraction(blend(f.entity.root, 'c')) < restrictedShare:
		f.known, f.trouble = false, restricted
	}
}

// restrictedShare is the share of entities that may not be looked up, under the switch.
const restrictedShare = 1.0 / 200

// v3Encode writes answers that have a request id, results with an error per item, and a bill.
// entry writes one result without the braces around it.
func v3Encode(entry func(*writer, *answer, *finding)) func([]byte, *answer, *Switches, *quirks) []byte {
	return func(dst []byte, a *answer, sw *Switches, q *quirks) []byte {
		w := newWriter(dst, a, sw, q)
		w.generation, w.charged = generation3, "billing"
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
		w.unasked(a.order)
		w.b = append(w.b, '}')
	}, func(f *finding) bool {
		w.b = append(w.b, '{')
		w.reference(f.lookup)
		w.itemError(f.trouble)
		w.b = append(w.b, '}')
		return true
	})
}

func (w *writer) found(a *answer, f *finding) {
	w.preview(a, f)
	w.extras("segment")
	if len(a.order.types) > 0 {
		w.b = jsonTexts(jsonKey(w.b, "signalTypes"), f.kinds)
	}
}
