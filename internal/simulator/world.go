package simulator

import (
	"math"
	"strconv"
	"strings"
	"unicode"
)

// world is the population and its history. It holds nothing but a seed and a profile, and computes
// every answer, so it is safe for concurrent use.
type world struct {
	seed     uint64
	lateness *lateness // nil: the default
}

// Shares of the identifiers that lead to an entity known to the service.
const (
	knownCompanies = 0.86
	knownContacts  = 0.78
)

// entity is a company or a contact as one request sees it. All that is known of it follows from
// its id; name and domain are those the caller asked with, if any.
type entity struct {
	object object
	id     int64
	name   string // companies only
	domain string // companies only
	root   uint64 // start of every draw about this entity

	activity float64 // how eventful it is; 1 is average
	home     place
	size     float64 // employees; the headcount varies around it
}

// lookup is one item of a request, with its identifiers already in comparable form.
type lookup struct {
	// Key of the answer map, or the caller's reference.
	ref string
	// Reports that ref is a reference of the caller's own, not an id.
	hasReference bool
	id           int64
	// Name of the company, or of a contact's employer; "" for an invented one.
	name string
	// Domain of the company, or of a contact's employer; "" for an invented one.
	domain string
	// First name of a contact; "" for an invented one.
	first string
	// Last name of a contact; "" for an invented one.
	last string
	url  string // profile by which the caller knows a contact
	// Every identifier that the caller gave, case-folded.
	keys []string
}

// find returns the entity behind an id, and false when the service does not know it.
func (w world) find(o object, l *lookup) (entity, bool) {
	root := w.entityRoot(o, l.id)
	share := knownCompanies
	if o == contact {
		share = knownContacts
	}
	d := dice(mix(root, 'k'))
	known := d.chance(share)
	e := entity{object: o, id: l.id, root: root, activity: min(0.2+0.8*d.expFloat(), 8)}
	if o == company {
		e.name, e.domain = w.inventCompany(l.id)
		if l.domain != "" {
			e.domain, e.name = l.domain, nameOfDomain(l.domain)
		}
		if l.name != "" {
			e.name = l.name
		}
		e.home = pick(&d, places)
		e.size = 12 * math.Exp(6*d.float()) // 12 to about 5,000
	} else {
		e.home = pick(&d, places)
	}
	return e, known
}

func (w world) entityRoot(o object, id int64) uint64 {
	return mix(w.seed^uint64(o+1)<<60, uint64(id))
}

// idOf turns an identifier in its canonical form into an id. Most ids have ten to twelve digits.
// One in fifty is beyond what a float64 can hold exactly, because the description calls ids
// 64-bit integers and tests should expose a reader that goes through float64.
func (w world) idOf(o object, canonical string) int64 {
	h := hashText(w.seed^uint64(o+11)<<56, canonical)
	if h%50 == 0 {
		const beyondFloat = 1 << 53
		return beyondFloat + int64(mix64(h)%(1<<62))
	}
	return 1_000_000_000 + int64(mix64(h)%999_000_000_000)
}

func (w world) companyByDomain(domain string) (id int64, shown string) {
	shown = cleanDomain(domain)
	return w.idOf(company, shown), shown
}

// companyByName derives a domain from the name of a company without one, so that the name and
// that domain are one company.
func (w world) companyByName(name string) (id int64, domain string) {
	domain = companyStem(name) + ".example"
	return w.idOf(company, domain), domain
}

// contactByName also resolves e-mail addresses: their local part without punctuation is compared
// with the name without blanks.
func (w world) contactByName(name, domain string) int64 {
	return w.idOf(contact, lettersOnly(name)+"@"+cleanDomain(domain))
}

func (w world) contactByEmail(email string) int64 {
	local, domain, _ := strings.Cut(strings.ToLower(email), "@")
	local, _, _ = strings.Cut(local, "+")
	return w.contactByName(local, domain)
}

// companyByPage reads the name from the URL of a company's page.
func (w world) companyByPage(slug string) (id int64, domain string) {
	return w.companyByName(strings.ReplaceAll(strings.TrimPrefix(slug, companyPage), "-", " "))
}

const companyPage = "company/"

func (w world) contactByProfile(url string) int64 {
	return w.idOf(contact, "in/"+profileSlug(url))
}

// inventCompany returns a name and a domain for a company that the caller did not name.
func (w world) inventCompany(id int64) (name, domain string) {
	d := dice(mix(w.entityRoot(company, id), 'n'))
	first, second := pick(&d, companyFirst), pick(&d, companySecond)
	name = first + " " + second
	domain = strings.ToLower(first+second) + ".example"
	// Twelve hundred pairs are few; a number distinguishes namesakes.
	if d.chance(0.5) {
		domain = strings.ToLower(first+second) + strconv.Itoa(d.between(2, 999)) + ".example"
	}
	return name, domain
}

// inventPerson returns a name for a contact that the caller did not name.
func (w world) inventPerson(id int64) (first, last string) {
	d := dice(mix(w.entityRoot(contact, id), 'n'))
	return pick(&d, givenNames), pick(&d, familyNames)
}

// nthResident returns the n-th entity that answers show without a request by name. The identifiers
// in the answer lead back to its id.
func (w world) nthResident(o object, n uint64) *lookup {
	d := dice(mix(w.entityRoot(o, 0), n))
	number := strconv.FormatUint(n, 10)
	l := &lookup{}
	if o == contact {
		l.url = "https://www.linkedin.com/in/" + strings.ToLower(pick(&d, companyFirst)) + "-" + number
		l.id = w.contactByProfile(l.url)
	} else {
		l.name = pick(&d, companyFirst) + " " + pick(&d, companySecond)
		l.url = companyURL(l.name + " " + number)
		l.id, l.domain = w.companyByName(l.name + number)
	}
	l.ref = strconv.FormatInt(l.id, 10)
	return l
}

// profileURL returns the URL of a person's profile.
func profileURL(first, last string, id int64) string {
	return "https://www.linkedin.com/in/" + companyStem(first+last) + "-" + strconv.FormatInt(id, 36)
}

// companyURL returns the URL of a company's profile; its last part leads back to the name.
func companyURL(name string) string {
	return "https://www.linkedin.com/company/" + strings.Join(strings.Fields(strings.ToLower(name)), "-")
}

// personName draws the name of a person in a news text.
func personName(d *dice) string { return pick(d, givenNames) + " " + pick(d, familyNames) }

func cleanDomain(s string) string {
	s = strings.TrimSuffix(strings.ToLower(strings.TrimSpace(s)), ".")
	return strings.TrimPrefix(s, "www.")
}

// nameOfDomain derives a company name from a domain: "harbor-quill.co.uk" is "Harbor Quill".
func nameOfDomain(domain string) string {
	labels := strings.Split(domain, ".")
	label := labels[0]
	if n := len(labels); n >= 2 {
		label = labels[n-2]
		if n >= 3 && len(labels[n-1]) == 2 {
			switch label {
			case "co", "com", "org", "net", "ac", "gov", "or", "ne":
				label = labels[n-3]
			}
		}
	}
	words := strings.FieldsFunc(label, func(r rune) bool { return r == '-' || r == '_' })
	for i, word := range words {
		r := []rune(word)
		r[0] = unicode.ToUpper(r[0])
		words[i] = string(r)
	}
	if len(words) == 0 {
		return label
	}
	return strings.Join(words, " ")
}

// companyStem returns a company name without blanks, punctuation and legal form.
func companyStem(name string) string {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '\''
	})
	for len(words) > 1 && legalForms[words[len(words)-1]] {
		words = words[:len(words)-1]
	}
	return strings.ReplaceAll(strings.Join(words, ""), "'", "")
}

func lettersOnly(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, name)
}

// profileSlug returns the part of a LinkedIn URL that names the person.
func profileSlug(url string) string {
	s := strings.ToLower(strings.TrimSpace(url))
	if _, rest, ok := strings.Cut(s, "linkedin.com/"); ok {
		s = rest
	}
	s, _, _ = strings.Cut(s, "?")
	s, _, _ = strings.Cut(s, "#")
	s = strings.TrimPrefix(s, "in/")
	s = strings.TrimPrefix(s, "pub/")
	return strings.TrimSuffix(s, "/")
}
