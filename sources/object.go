package sources

import (
	"fmt"
	"slices"
	"strings"

	"github.com/siglake/siglake/schema"
)

// A list of companies often has a column of e-mail addresses, and a list of contacts has columns of their employers. A
// column about a person decides: a name, a profile, an id. If there is none but e-mail addresses next to columns of
// companies, the addresses decide: those of offices, such as info@acme.com, are a company's, and others are people's.
// Input.OtherObject then says that the list can be read both ways. Addresses of both kinds decide nothing.

// decideObject decides by the columns whether the list holds companies or contacts.
func (r *roleColumns) decideObject(m map[string]string) (schema.Object, error) {
	if r.namesPeople() {
		return r.objectOfPeople(), nil
	}
	if i := r.filledColumn(roleEmail); i >= 0 {
		return r.objectOfEmails(i)
	}
	if n, c := r.best[roleName], r.best[roleOrganisation]; n >= 0 && c >= 0 && len(m) == 0 && r.mayBePeople(n, c) {
		return "", r.undecided(fmt.Sprintf("%s and %s may be a person and an employer, or a company twice", r.names[n], r.names[c]))
	}
	if r.header == nil || decidedByMap(m) {
		return schema.Company, nil
	}
	if err := r.checkPeople(); err != nil {
		return "", err
	}
	return r.objectOfContent()
}

// chosenObjects are the objects that the content of columns decided, by the header of a file: the first of two is used, and
// the list could be read as the other. The other files of a list with the same header are read alike.
type chosenObjects map[string][2]schema.Object

func (chosen chosenObjects) remember(l *draft) {
	if key := strings.Join(l.header, "\x00"); l.otherObject != "" && l.header != nil && chosen != nil {
		chosen[key] = [2]schema.Object{l.object, l.otherObject}
	}
}

// apply uses the choice for an earlier file, if there is one.
func (chosen chosenObjects) apply(l *draft) bool {
	objects, known := chosen[strings.Join(l.header, "\x00")]
	if known = known && l.header != nil; known {
		l.object, l.otherObject = objects[0], objects[1]
	}
	return known
}

// namesPeople reports whether a column can only be about people.
func (r *roleColumns) namesPeople() bool {
	if i := r.best[rolePersonKey]; i >= 0 {
		if _, exact, _ := meaningOf(r.header[i]); exact {
			return true
		}
	}
	if r.columnOf(rolePersonID, rolePerson, roleFirstName, roleLastName, roleLinkedIn) >= 0 {
		return true
	}
	for _, f := range []field{fieldFirstName, fieldLastName, fieldLinkedIn, fieldEmail} {
		if r.has(f) {
			return true
		}
	}
	if i := r.best[roleOrganisation]; i >= 0 && r.best[roleName] >= 0 && slices.ContainsFunc(headerTokens(r.header[i]), func(w string) bool { return employerWords[w] }) {
		return true
	}
	return r.has(fieldName) && (r.has(fieldCompanyName) || r.has(fieldCompanyDomain))
}

// employerWords are words for a company that only people have.
var employerWords = wordSet("employer arbeitgeber employeur empleador empregador empregadora datore werkgever pracodawca 勤務先") //nolint:misspell // in nine languages

// objectOfPeople decides if a column is about people: a list of companies may name who to speak to, so a header such as
// "Contact" alone next to websites leaves both open.
func (r *roleColumns) objectOfPeople() schema.Object {
	person, site, email := r.best[rolePerson], r.best[roleSite], r.filledColumn(roleEmail)
	if person < 0 || site < 0 || r.columnOf(rolePersonKey, rolePersonID, roleFirstName, roleLastName, roleLinkedIn) >= 0 || r.has(fieldEmail) || r.has(fieldLinkedIn) {
		return schema.Contact
	}
	if m, _, _ := meaningOf(r.header[person]); m.rank < 2*rankStep {
		return schema.Contact
	}
	if email >= 0 && r.contents[email].areOffices() {
		r.readAsOffices(email)
		return schema.Company
	}
	r.otherObject = schema.Company
	r.notes = append(r.notes, fmt.Sprintf("%s is about people: the lines are read as contacts; --object=company reads them as companies, by %s", r.names[person], r.names[site]))
	return schema.Contact
}

// readAsOffices notes that the lines are companies, because column i holds addresses of offices.
func (r *roleColumns) readAsOffices(i int) {
	r.otherObject = schema.Contact
	r.notes = append(r.notes, fmt.Sprintf("%s holds addresses of offices, such as info@acme.com: the lines are read as companies; --object=contact reads them as contacts", r.names[i]))
}

// mayBePeople reports whether a column of names next to one of companies may hold people: some names have several words
// and are not those of the companies.
func (r *roleColumns) mayBePeople(name, company int) bool {
	return slices.ContainsFunc(r.rows, func(row []string) bool {
		return name < len(row) && company < len(row) && strings.Contains(row[name], " ") && companyKey(row[name]) != companyKey(row[company])
	})
}

// checkPeople is the error about a list of names that may be those of people, and can only be requested as companies.
func (r *roleColumns) checkPeople() error {
	trait := r.traitOfPeople()
	if trait < 0 {
		return nil
	}
	return &Error{Line: r.line, Problem: fmt.Sprintf("%s may hold people, because %s is about people, or companies; no column names the employers of people, or holds their e-mail addresses or profiles",
		r.names[r.best[roleName]], r.names[trait]), Fix: "add a column of employers, e-mail addresses or profiles, or --object=company if they are companies"}
}

// traitOfPeople is a column that says something of people, such as "Job Title", in a list that has only names to request by,
// some of which have several words; -1: there is none.
func (r *roleColumns) traitOfPeople() int {
	name := r.best[roleName]
	if name < 0 || r.columnOf(roleOrganisation, roleSite, roleID, roleCompanyID) >= 0 {
		return -1
	}
	for _, k := range []kind{kindToken, kindPerson, kindEmail, kindDomain} {
		if sure, doubtful := r.candidates(k); len(sure)+len(doubtful) > 0 {
			return -1 // the content of the columns decides
		}
	}
	trait := slices.IndexFunc(r.header, func(h string) bool { return headerWords.classes[foldName(h)]&wordTrait != 0 })
	if trait < 0 || !slices.ContainsFunc(r.rows, func(row []string) bool { return name < len(row) && strings.Contains(row[name], " ") }) {
		return -1
	}
	return trait
}

// columnOf is the column of the first of several roles that has one; -1: none has.
func (r *roleColumns) columnOf(roles ...role) int {
	for _, wanted := range roles {
		if i := r.best[wanted]; i >= 0 {
			return i
		}
	}
	return -1
}

// objectOfContent decides by the cells of columns without a known header.
func (r *roleColumns) objectOfContent() (schema.Object, error) {
	profiles, _ := r.candidates(kindPerson)
	addresses, _ := r.candidates(kindEmail)
	company := r.columnOf(roleCompanyID, roleID, roleSite, roleOrganisation)
	switch {
	case len(profiles)+len(addresses) == 0:
		return schema.Company, nil
	case company < 0 && len(profiles) > 0:
		return schema.Contact, nil
	case company < 0:
		return r.objectOfEmails(addresses[0])
	case len(profiles) == 0 && r.contents[addresses[0]].areOffices():
		return r.objectOfEmails(addresses[0])
	}
	i := slices.Concat(profiles, addresses)[0]
	return "", r.undecided(fmt.Sprintf("%s is a column of companies, and %s is one of contacts (%s)", r.names[company], r.columnText(i), r.contents[i].share(r.contents[i].kind())))
}

// objectOfEmails decides by the e-mail addresses of column i, if no other column is about people.
func (r *roleColumns) objectOfEmails(i int) (schema.Object, error) {
	c, company := &r.contents[i], r.columnOf(roleCompanyID, roleSite, roleOrganisation)
	if company < 0 {
		company = max(r.columns[fieldDomain], r.columns[fieldName], r.columns[fieldCompanyDomain], r.columns[fieldCompanyName])
	}
	if sure, _ := r.candidates(kindDomain); company < 0 && len(sure) > 0 {
		company = sure[0]
	}
	switch {
	case company < 0 && c.areOffices() && i < len(r.header):
		r.notes = append(r.notes, fmt.Sprintf("%s holds addresses of offices, such as info@acme.com: the lines are read as contacts; --object=company --map domain=%s reads them as companies, by their domains",
			r.names[i], r.mapReference(i)))
		return schema.Contact, nil
	case company < 0:
		return schema.Contact, nil
	case c.filled == 0:
		r.notes = append(r.notes, fmt.Sprintf("%s has no value in the sample: the lines are read as companies; --object=contact reads them as contacts", r.names[i]))
		return schema.Company, nil
	case c.areOffices():
		r.readAsOffices(i)
		return schema.Company, nil
	case c.offices*10 > c.count[kindEmail]:
		return "", r.undecided(fmt.Sprintf("%s is a column of companies, and %s holds addresses of people and of offices (%d of %d sampled ones are like info@acme.com)",
			r.names[company], r.columnText(i), c.offices, c.count[kindEmail]))
	}
	r.otherObject = schema.Company
	r.notes = append(r.notes, fmt.Sprintf("%s holds e-mail addresses: the lines are read as contacts; --object=company reads them as companies, by %s", r.names[i], r.names[company]))
	return schema.Contact, nil
}

// undecided is the error about a list that may hold companies or contacts.
func (r *roleColumns) undecided(problem string) error {
	return &Error{Line: r.line, Problem: problem, Fix: "add --object=contact or --object=company", Undecided: true}
}

// areOffices reports whether nearly all of the e-mail addresses are those of offices.
func (c *content) areOffices() bool { return c.offices > 0 && c.offices*10 >= c.count[kindEmail]*9 }

// minOffice is the number of letters from which the first word of an address tells an office: info.de@acme.com.
const minOffice = 4

// isOffice reports whether an address is that of an office: it begins with a word for one, or is named like its domain.
func isOffice(address string) bool {
	local, host, _ := strings.Cut(address, "@")
	folded := foldWords(local)
	first, _, _ := strings.Cut(folded, " ")
	joined := strings.ReplaceAll(folded, " ", "")
	return notAccounts.offices[joined] || len(first) >= minOffice && notAccounts.offices[first] || joined != "" && joined == squash(domainLabel(host))
}
