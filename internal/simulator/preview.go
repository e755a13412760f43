package simulator

import (
	"strings"
)

// This file is what V3 shows of an entity without its events: enough to recognise it.

// employeeBands are the size classes of companies, by employees.
var employeeBands = [][2]int{{1, 10}, {11, 50}, {51, 200}, {201, 500}, {501, 1000}, {1001, 5000}, {5001, 10_000}, {10_001, 100_000}}

// employeeCount returns the headcount of a company this month, the value its signals start from.
func (w world) employeeCount(e *entity, today day) int {
	h := history{world: w, entity: e, span: span{from: today, to: today, today: today}}
	return int(h.headcountAt(today.monthIndex()))
}

func (w world) industry(e *entity) string {
	d := dice(mix(e.root, 'i'))
	return pick(&d, industries)
}

// profile is what an answer shows of a contact.
type profile struct {
	first, last string
	// Its employer is the one the caller named, if any.
	position position
	url      string
}

func (w world) contactProfile(f *finding, today day) profile {
	l := f.lookup
	h := history{world: w, entity: &f.entity, span: span{from: today, to: today, today: today}}
	h.careerEvents()
	p := profile{first: l.first, last: l.last, position: *h.position}
	if p.first == "" {
		p.first, p.last = w.inventPerson(f.entity.id)
	}
	if l.domain != "" {
		p.position.companyID, p.position.domain = w.companyByDomain(l.domain)
		if p.position.company = l.name; l.name == "" {
			p.position.company = nameOfDomain(l.domain)
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
	w.clientReference(f.lookup)
	w.entityID("id", f.entity.object, f.entity.id)
	today := dayOf(a.order.now)
	if f.entity.object == contact {
		p := w.world.contactProfile(f, today)
		w.string("firstName", p.first)
		w.string("lastName", p.last)
		w.jobTitle(&p.position)
		w.employer("id", &p.position)
		w.location(f.entity.home, false, false)
		w.socialLinks(p.url)
	} else {
		w.companySummary(&f.entity, today)
		w.location(f.entity.home, true, false)
		w.socialLinks(companyProfileURL(f))
	}
	w.revealOffers(a, f)
}

// revealOffers writes which data exists and its price.
func (w *writer) revealOffers(a *answer, f *finding) {
	d := dice(mix(f.entity.root, 'r'))
	var available []reveal
	for _, r := range reveals[f.entity.object] {
		if d.chance(0.7) {
			available = append(available, r)
		}
	}
	w.b = append(appendKey(w.b, "has"), '[')
	for _, r := range available {
		w.b = appendString(appendComma(w.b), r.has)
	}
	w.b = append(appendKey(append(w.b, ']'), "canReveal"), '[')
	for _, r := range available {
		w.b = append(appendComma(w.b), '{')
		w.string("field", r.field)
		w.number("credits", float64(a.tariffs[r.action].credits))
		w.b = append(w.b, '}')
	}
	w.b = append(w.b, ']')
}

// clientReference writes the caller's own reference, if there is one. Faults leave it unchanged:
// without it, their effect could not be attributed.
func (w *writer) clientReference(l *lookup) {
	if l.hasReference {
		w.b = appendString(appendKey(w.b, "clientReferenceId"), l.ref)
	}
}

// requestID writes the id of an answer, a function of the request.
func (w *writer) requestID(a *answer) {
	w.b = appendString(appendKey(w.b, "requestId"), newUUID(mix(a.draw, 'q')))
}

// newUUID derives a random-looking UUID from a draw.
func newUUID(draw uint64) string {
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
