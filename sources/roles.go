package sources

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/siglake/siglake/schema"
)

// roleColumns decides which column has which role, by the words of the header and the content of the columns.
type roleColumns struct {
	*draft
	best [numRoles]int // index of the best column of each role; -1: none
}

// bestColumns finds the best column for each role: content that suits the role counts first, then
// the rank of the header name. A column whose content contradicts its header has no role.
func (l *draft) bestColumns() *roleColumns {
	r := &roleColumns{l, noRoles()}
	l.setAssociatedAside()
	best := &r.best
	var of [numRoles]meaning
	known := map[int]meaning{}
	seen := map[string]int{}
	for i, name := range l.header {
		folded := strings.ToLower(name)
		if name == "" {
			continue
		}
		if first, twice := seen[folded]; twice {
			l.setAside(i, unusedColumn{"an earlier column has the same header", true, first, ""})
			continue
		}
		seen[folded] = i
		m, _, ok := meaningOf(name)
		if _, aside := l.unused[i]; !ok || aside || i >= len(l.contents) || l.usedAsIdentifier(i) {
			continue // or --map names it
		}
		if l.contents[i].fits(m.role) == 0 {
			l.contradicted[i] = kindNames[l.contents[i].kind()]
			continue
		}
		known[i] = m
		j := best[m.role]
		if j < 0 {
			best[m.role], of[m.role] = i, m
			continue
		}
		suits, before := l.contents[i].suits(m.role), l.contents[j].suits(m.role)
		if isFallback(m.role) && m.rank != of[m.role].rank && m.rank/rankStep == of[m.role].rank/rankStep {
			suits = before // "Website" and "Website 2"
		}
		if suits > before || suits == before && m.rank < of[m.role].rank {
			best[m.role], of[m.role] = i, m
		}
	}
	r.noteFurther(known)
	l.emailDomain = best[roleSite] >= 0 && of[roleSite].rank >= rankEmailDomain
	return r
}

// setAssociatedAside sets the columns of contacts aside that an export of companies lists with each: "Associated Contact",
// "Associated Contact IDs". Companies are those of a list whose own columns name a company and no person.
func (l *draft) setAssociatedAside() {
	var associated []int
	own := map[role]bool{}
	for i, name := range l.header {
		m, exact, ok := meaningOf(name)
		switch {
		case !ok || !exact:
		case (m.role == rolePerson || m.role == rolePersonKey) && slices.Contains(headerTokens(name), "associated"):
			associated = append(associated, i)
		case !slices.Contains(headerTokens(name), "associated"):
			own[m.role] = true
		}
	}
	if !own[roleOrganisation] && !own[roleSite] || own[rolePerson] || own[rolePersonKey] || own[roleFirstName] || own[roleLastName] {
		return
	}
	for _, i := range associated {
		if !l.usedAsIdentifier(i) {
			l.setAside(i, unusedColumn{reason: "it lists contacts of a company", noted: true, instead: -1})
		}
	}
}

// isFallback reports whether the columns of a role are read cell by cell: the next where the best has no usable one.
func isFallback(r role) bool { return r == roleSite || r == roleEmail || r == roleLinkedIn }

// noteFurther notes the columns of a role behind the best. A website, an address or a profile is read
// from the next column if the cell in the best is not usable. A domain of e-mail addresses is, if the best has no cell.
func (r *roleColumns) noteFurther(known map[int]meaning) {
	for i := range r.header {
		m, ok := known[i]
		switch {
		case !ok || r.best[m.role] == i:
			continue
		case m.role == roleSite && r.reasonNoFallback(i, r.best[m.role], m) != "":
			r.setAside(i, unusedColumn{r.reasonNoFallback(i, r.best[m.role], m), r.contents[i].filled > 0, r.best[m.role], ""})
			continue
		case isFallback(m.role) && (m.rank < rankEmailDomain || r.contents[r.best[m.role]].filled == 0):
			r.further[m.role] = append(r.further[m.role], i)
			r.setAside(i, unusedColumn{"", false, r.best[m.role], ""})
			continue
		}
		// Lists have many ids, of which only the best is used.
		noted := m.role != roleKey && m.role != rolePersonKey && m.role != roleCompanyPage
		r.setAside(i, unusedColumn{r.names[r.best[m.role]] + " means the same", noted, r.best[m.role], ""})
	}
	for _, further := range r.further {
		slices.SortStableFunc(further, func(i, j int) int { return cmp.Compare(known[i].rank, known[j].rank) })
	}
}

// reasonNoFallback is why column i of websites is not read where the best one has no usable cell; empty: it is. A link to
// the line's record in a CRM is no website, and "URL" above it does not say so.
func (l *draft) reasonNoFallback(i, best int, m meaning) string {
	c := &l.contents[i]
	sites := c.count[kindDomain]
	switch {
	case sites > 1 && c.sameHost == sites:
		return "all of its addresses lie on one site"
	case c.isOneSite():
		return "most of its addresses lie on one site"
	case m.rank < 3*rankStep || m.rank >= rankEmailDomain || l.contents[best].filled == 0:
		return ""
	case sites == 0:
		return "the sample of it holds no website"
	case c.home*10 < sites*9:
		return "its addresses are those of pages"
	}
	return ""
}

// filledColumn is the best column of a role that has cells in the sample, or the best; -1: there is none.
func (r *roleColumns) filledColumn(wanted role) int {
	for _, i := range append([]int{r.best[wanted]}, r.further[wanted]...) {
		if i >= 0 && r.contents[i].filled > 0 {
			return i
		}
	}
	return r.best[wanted]
}

// resolveNames decides what a column is whose header means a name in one list and a part of it in
// another: "Nombre" above "Apellidos", "Nom" after "Prénom", "Name" after "Vorname".
func (r *roleColumns) resolveNames(rows [][]string) {
	move := func(from, to role) {
		if i := r.best[from]; i >= 0 && r.best[to] < 0 {
			r.best[to], r.best[from] = i, -1
		}
	}
	if r.best[roleLastName] >= 0 || r.best[roleNameOrLast] >= 0 {
		move(roleNameOrFirst, roleFirstName)
	}
	if r.best[roleFirstName] >= 0 {
		move(roleNameOrLast, roleLastName)
	}
	move(roleNameOrFirst, roleName)
	move(roleNameOrLast, roleName)
	name, first := r.best[roleName], r.best[roleFirstName]
	if name < 0 || first < 0 || r.best[roleLastName] >= 0 {
		return
	}
	for _, row := range rows {
		if name < len(row) && first < len(row) && row[first] != "" && slices.Contains(strings.Fields(row[name]), row[first]) {
			return // a full name
		}
	}
	move(roleName, roleLastName)
}

// dropAddresses takes the role of a website from a column of a list of contacts that holds e-mail
// addresses, if no other column does: useContent reads it as the addresses of the contacts.
func (r *roleColumns) dropAddresses() {
	i := r.best[roleSite]
	if r.object == schema.Contact && i >= 0 && r.best[roleEmail] < 0 && !r.has(fieldEmail) && r.contents[i].kind() == kindEmail {
		r.best[roleSite] = -1
		r.contradicted[i] = kindNames[kindEmail]
	}
}

// preferOwnKey sets the id of the employer aside in a list of contacts that has another key: it stands for all its people.
func (r *roleColumns) preferOwnKey() {
	employer := r.best[roleKey]
	if employer < 0 || !namesEmployer(r.header[employer]) {
		return
	}
	best := -1
	var rank int
	for i, name := range r.header {
		m, exact, ok := meaningOf(name)
		if ok && exact && m.role == roleKey && !namesEmployer(name) && r.contents[i].fits(roleKey) > 0 && (best < 0 || m.rank < rank) {
			best, rank = i, m.rank
		}
	}
	if best < 0 && isLinkedInNumber(r.rows, employer) {
		r.best[roleKey] = -1
		r.setAside(employer, unusedColumn{reason: "it is LinkedIn's number of the employer, which colleagues share; --map key=" + r.mapReference(employer) + " uses it as the key", noted: true, instead: -1})
	}
	if best < 0 && r.best[roleKey] >= 0 && r.best[rolePersonKey] < 0 && r.isShared(employer) {
		r.best[roleKey] = -1
		r.setAside(employer, unusedColumn{reason: "it is the id of the employer, which colleagues share; --map key=" + r.mapReference(employer) + " uses it as the key", noted: true, instead: -1})
	}
	if best >= 0 {
		r.best[roleKey] = best
		r.setAside(employer, unusedColumn{fmt.Sprintf("%s is the key", r.names[best]), false, best, ""})
		delete(r.unused, best)
	}
}

// isShared reports whether colleagues share the employer's key in column i: its header means a company only, or a
// value stands on several lines of the sample.
func (r *roleColumns) isShared(i int) bool {
	if !slices.ContainsFunc(headerTokens(r.header[i]), func(w string) bool { return accountWords[w] }) {
		return true
	}
	seen := map[string]bool{}
	for _, row := range r.rows {
		if i >= len(row) || row[i] == "" || isPlaceholder(row[i]) {
			continue
		}
		if seen[row[i]] {
			return true
		}
		seen[row[i]] = true
	}
	return false
}

// isLinkedInNumber reports whether the cells of column i of the rows are the numbers in the addresses of company pages on the same
// lines, as scrapers write them.
func isLinkedInNumber(rows [][]string, i int) bool {
	same, filled := 0, 0
	for _, row := range rows {
		if i >= len(row) || row[i] == "" {
			continue
		}
		filled++
		if slices.ContainsFunc(row, func(cell string) bool {
			return kindOf(cell) == kindCompany && strings.HasSuffix(strings.TrimRight(cell, "/"), "/"+row[i])
		}) {
			same++
		}
	}
	return same > 0 && same*10 >= filled*9
}

// namesEmployer reports whether the header of a key says that it is that of a company, which may be the employer.
func namesEmployer(header string) bool {
	return slices.ContainsFunc(headerTokens(header), func(w string) bool { return headerWords.classes[w]&wordCompany != 0 && !clientWords[w] })
}

// accountWords are words for a customer's account, which may be that of a person.
var accountWords = wordSet("account accounts compte cuenta conta konto konta アカウント")

// clientWords are words for a company that may also be a person.
var clientWords = wordSet("customer client kunde kunden cliente klant klanten klient klienta")

// assignFields maps roles to the fields of the object. Fields set by --map stay.
func (r *roleColumns) assignFields() {
	assign := func(f field, candidates ...role) {
		for _, wanted := range candidates {
			if i := r.best[wanted]; i >= 0 && !r.has(f) {
				r.columns[f], r.reasons[f], r.alternatives[f] = i, ReasonHeader, r.further[wanted]
				for _, j := range r.further[wanted] {
					r.notes = append(r.notes, fmt.Sprintf("%s is read where %s has no usable cell", r.names[j], r.names[i]))
				}
			} else if i >= 0 && r.columns[f] != i {
				r.setAside(i, unusedColumn{fmt.Sprintf("%s is the %s", r.names[r.columns[f]], fieldNames[f]), true, r.columns[f], ""})
			}
		}
	}
	if r.object == schema.Contact {
		// In a list of contacts "domain" can only be the employer's.
		if r.has(fieldDomain) && !r.has(fieldCompanyDomain) {
			r.columns[fieldCompanyDomain], r.reasons[fieldCompanyDomain] = r.columns[fieldDomain], r.reasons[fieldDomain]
		}
		r.columns[fieldDomain] = -1
		r.preferOwnKey()
		assign(fieldKey, rolePersonKey, roleKey)
		assign(fieldID, rolePersonID, roleID)
		assign(fieldName, rolePerson, roleName)
		assign(fieldFirstName, roleFirstName)
		assign(fieldLastName, roleLastName)
		assign(fieldLinkedIn, roleLinkedIn)
		assign(fieldEmail, roleEmail)
		assign(fieldCompanyName, roleOrganisation)
		assign(fieldCompanyDomain, roleSite)
		return
	}
	// In a list of companies "company_name" and "company_domain" are the company's own.
	for own, alias := range map[field]field{fieldName: fieldCompanyName, fieldDomain: fieldCompanyDomain} {
		if r.has(alias) && !r.has(own) {
			r.columns[own], r.reasons[own] = r.columns[alias], r.reasons[alias]
		}
		r.columns[alias] = -1
	}
	assign(fieldKey, roleKey, rolePersonKey)
	assign(fieldID, roleCompanyID, roleID)
	assign(fieldDomain, roleSite)
	assign(fieldName, roleOrganisation, roleName)
	for _, f := range []field{fieldFirstName, fieldLastName, fieldLinkedIn, fieldEmail} {
		r.columns[f] = -1
	}
}

func noRoles() (roles [numRoles]int) {
	for r := range roles {
		roles[r] = -1
	}
	return roles
}
