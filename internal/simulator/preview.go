package simulator

import (
	"strings"
)

// This file is what V3 shows of an entity without its events: enough to recognise it.

// bands are the size classes of companies, by employees.
var bands = [][2]int{{1, 10}, {11, 50}, {51, 200}, {201, 500}, {501, 1000}, {1001, 5000}, {5001, 10_000}, {10_001, 100_000}}

// employees returns the headcount of a company this month, the value its signals start from.
func (w world) employees(e *entity, today day) int {
	h := history{world: w, entity: e, span: span{from: today, to: today, today: today}}
	return int(h.level(today.month()))
}

func (w world) industry(e *entity) string {
	d := dice(blend(e.root, 'i'))
	return pick(&d, industries)
}

// profile is what an answer shows of a contact.
type profile struct {
	first, last string
	// Its employer is the one the caller named, if any.
	job stint
	url string
}

func (w world) profile(f *finding, today day) profile {
	l := f.lookup
	h := history{world: w, entity: &f.entity, span: span{from: today, to: today, today: today}}
	h.lifetime()
	p := profile{first: l.first, last: l.last, job: *h.job}
	if p.first == "" {
		p.first, p.last = w.inventPerson(f.entity.id)
	}
	if l.domain != "" {
		p.job.companyID, p.job.domain = w.companyByDomain(l.domain)
		if p.job.company = l.name; l.name == "" {
			p.job.company = nameOfDomain(l.domain)
		}
	}
	if p.url = l.url; l.url == "" {
		p.url = profileURL(p.first, p.last, f.entity.id)
	}
	return p
}

// reveal is a piece of data that can be bought.
type reveal struct{ has, field, action string }

var reveals = map[object][]reveal{
	contact: {{"emails", "emails", "revealEmail"}, {"phones", "phones", "revealPhone"}},
	company: {{"description", "competitors", "reveal_company"}, {"technologies", "technologies", "reveal_company"}},
}

// preview writes an entity in the form of search results, without the braces around it.
func (w *writer) preview(a *answer, f *finding) {
	w.reference(f.lookup)
	w.entityID("id", f.entity.object, f.entity.id)
	today := dayOf(a.order.now)
	if f.entity.object == contact {
		p := w.world.profile(f, today)
		w.string("firstName", p.first)
		w.string("lastName", p.last)
		w.jobTitle(&p.job)
		w.employer("id", &p.job)
		w.location(f.entity.home, false, false)
		w.links(p.url)
	} else {
		w.firm(&f.entity, today)
		w.location(f.entity.home, true, false)
		w.links(companyLink(f))
	}
	w.offers(a, f)
}

// firm writes name, domain, size and industry of a company.
func (w *writer) firm(e *entity, today day) {
	w.string("name", e.name)
	w.string("domain", w.www(e))
	n := w.world.employees(e, today)
	w.b = append(jsonKey(w.b, "employeeCount"), '{')
	w.number("exact", float64(n))
	for _, band := range bands {
		if n <= band[1] {
			w.number("min", float64(band[0]))
			w.number("max", float64(band[1]))
			break
		}
	}
	w.b = append(w.b, '}')
	w.string("industry", w.world.industry(e))
}

func (w *writer) jobTitle(job *stint) {
	w.b = append(jsonKey(w.b, "jobTitle"), '{')
	w.string("title", job.title())
	w.b = jsonTexts(jsonKey(w.b, "departments"), []string{job.department()})
	w.string("seniority", seniorityNames[job.rung])
	w.b = append(w.b, '}')
}

func (w *writer) employer(idKey string, job *stint) {
	w.b = append(jsonKey(w.b, "company"), '{')
	w.entityID(idKey, company, job.companyID)
	w.string("name", job.company)
	w.string("domain", w.hosted(job.companyID, job.domain))
	w.b = append(w.b, '}')
}

// location writes a place: in full with codes, and with null or nothing for a missing state.
func (w *writer) location(p place, full, null bool) {
	w.b = append(jsonKey(w.b, "location"), '{')
	w.string("city", p.city)
	switch {
	case p.state != "":
		w.string("state", p.state)
	case null:
		w.b = append(jsonKey(w.b, "state"), "null"...)
	}
	w.string("country", p.country)
	if full {
		w.string("countryIso2", countries[p.country].iso)
		w.string("continent", countries[p.country].continent)
	}
	w.b = append(w.b, '}')
}

func companyLink(f *finding) string {
	if f.lookup.url != "" {
		return f.lookup.url
	}
	return companyURL(f.entity.name)
}

func (w *writer) links(url string) {
	w.b = append(jsonKey(w.b, "socialLinks"), '{')
	w.string("linkedin", url)
	w.b = append(w.b, '}')
}

// offers writes which data exists and its price.
func (w *writer) offers(a *answer, f *finding) {
	d := dice(blend(f.entity.root, 'r'))
	var there []reveal
	for _, r := range reveals[f.entity.object] {
		if d.under(0.7) {
			there = append(there, r)
		}
	}
	w.b = append(jsonKey(w.b, "has"), '[')
	for _, r := range there {
		w.b = jsonText(jsonComma(w.b), r.has)
	}
	w.b = append(jsonKey(append(w.b, ']'), "canReveal"), '[')
	for _, r := range there {
		w.b = append(jsonComma(w.b), '{')
		w.string("field", r.field)
		w.number("credits", float64(a.tariffs[r.action].credits))
		w.b = append(w.b, '}')
	}
	w.b = append(w.b, ']')
}

// reference writes the caller's own reference, if there is one. Faults leave it unchanged:
// without it, their effect could not be attributed.
func (w *writer) reference(l *lookup) {
	if l.referred {
		w.b = jsonText(jsonKey(w.b, "clientReferenceId"), l.ref)
	}
}

// requestID writes the id of an answer, a function of the request.
func (w *writer) requestID(a *answer) {
	w.b = jsonText(jsonKey(w.b, "requestId"), uuid(blend(a.draw, 'q')))
}

// uuid derives a random-looking UUID from a draw.
func uuid(draw uint64) string {
	const hex = "0123456789abcdef"
	d := dice(draw)
	words := [2]uint64{d.next(), d.next()}
	words[0] = words[0]&^0xf000 | 0x4000 // version 4
	words[1] = words[1]&^(3<<62) | 2<<62 // the variant that belongs to it
	b := make([]byte, 0, 36)
	for i := range 32 {
		switch i {
		case 8, 12, 16, 20:
			b = append(b, '-')
		}
		b = append(b, hex[words[i/16]>>(60-4*(i%16))&15])
	}
	return string(b)
}

// isUUID accepts the canonical form of a UUID.
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch i {
		case 8, 13, 18, 23:
			if s[i] != '-' {
				return false
			}
		default:
			if !strings.ContainsRune("0123456789abcdefABCDEF", rune(s[i])) {
				return false
			}
		}
	}
	return true
}
