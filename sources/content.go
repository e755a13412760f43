package sources

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/siglake/siglake/schema"
)

// The cells of the sample decide where the header does not: the first records of a file, at most
// sampleRecords of them. A column is of a kind if at least nine in ten of its filled cells are.

// kind is what a cell looks like, regardless of the name of its column.
type kind int

const (
	kindEmpty kind = iota
	kindText
	kindDigits
	kindDomain
	kindEmail
	kindPerson  // a LinkedIn profile
	kindCompany // a LinkedIn company page
	kindToken   // an opaque id of the API
	numKinds
)

var kindFields = map[kind]field{kindDomain: fieldDomain, kindEmail: fieldEmail, kindPerson: fieldLinkedIn, kindToken: fieldID}

// kindNames are the contents of columns in messages.
var kindNames = [numKinds]string{"nothing", "plain text", "numbers", "domains", "e-mail addresses", "LinkedIn profiles", "LinkedIn company pages", "ids of the API"}

func kindOf(cell string) kind {
	lower := strings.ToLower(cell)
	switch {
	case cell == "":
		return kindEmpty
	case strings.Contains(lower, "linkedin.com/"):
		if companyPage.MatchString(lower) {
			return kindCompany
		}
		return kindPerson
	case strings.Contains(cell, "@"):
		if _, _, err := Email(cell); err == nil {
			return kindEmail
		}
		return kindText
	case strings.Trim(cell, "0123456789") == "":
		return kindDigits
	case looksLikeDomain(cell):
		return kindDomain
	case isToken(cell):
		return kindToken
	}
	return kindText
}

// companyPage is the address of a page of a company on LinkedIn, also as in Sales Navigator.
var companyPage = regexp.MustCompile(`linkedin\.com/(?:sales/|sales2/|mwlite/|comm/)?(?:company|school|showcase|accounts)/`)

// content is what the cells of a column in the sample are.
type content struct {
	filled int // cells with a value
	count  [numKinds]int
	dotted int // cells of plain text with a dot: perhaps domains of a kind that is unknown here
	// Of the domains and profiles: those that can be requested, and the addresses of a home page.
	own, home int
	// Cells with the most frequent domain.
	sameHost int
	offices  int // e-mail addresses that are no person's
}

// readContent looks at the cells of column i.
func readContent(rows [][]string, i int) content {
	var c content
	hosts := map[string]int{}
	for _, row := range rows {
		if i >= len(row) || isPlaceholder(row[i]) || row[i] == "0" {
			continue
		}
		k := kindOf(row[i])
		c.filled++
		c.count[k]++
		if k == kindText && strings.ContainsAny(row[i], ".@") {
			c.dotted++
		}
		if k == kindEmail {
			address, _, _ := Email(row[i])
			if isOffice(address) {
				c.offices++
			}
		}
		if k == kindPerson {
			if _, _, err := LinkedIn(row[i]); err == nil {
				c.own++
			}
		}
		if k != kindDomain {
			continue
		}
		domain, _, err := Domain(row[i])
		if err != nil {
			continue
		}
		hosts[domain]++
		c.sameHost = max(c.sameHost, hosts[domain])
		c.own++
		if isHomePage(row[i]) {
			c.home++
		}
	}
	return c
}

// kind is the kind of nine in ten of the filled cells; kindEmpty if there are none, kindText if they
// differ.
func (c *content) kind() kind {
	for k, n := range c.count {
		if n > 0 && n*10 >= c.filled*9 {
			return kind(k)
		}
	}
	if c.filled == 0 {
		return kindEmpty
	}
	return kindText
}

// share says how many cells are of a kind.
func (c *content) share(k kind) string {
	return fmt.Sprintf("%d of %d sampled cells are %s", c.count[k], c.filled, kindNames[k])
}

// isOneSite reports whether most of the addresses lie on one site.
func (c *content) isOneSite() bool { return c.filled >= 4 && c.sameHost*2 > c.filled }

// isHomePage reports whether a web address has no path but that of a start page.
func isHomePage(s string) bool {
	a, err := parseAddress(s)
	if err != nil {
		return false
	}
	path, _, _ := strings.Cut(a.path, "?")
	path, _, _ = strings.Cut(path, "#")
	path = strings.ToLower(strings.Trim(path, "/"))
	page, extension, _ := strings.Cut(path, ".")
	if extension != "" {
		return slices.Contains([]string{"index", "default", "home"}, page)
	}
	return len(path) <= 2 && !isNumber(path) || len(path) == 5 && (path[2] == '-' || path[2] == '_' || path[2] == '/') || page == "home"
}

// use says what the content of a column can be used for, whatever its header.
type use int

const (
	useNot use = iota
	useDoubtful
	useSure
)

// use judges whether the cells of column i are the identifiers of the lines. They are not if the
// header names another entity, or if most of the addresses lie on one site, or on sites that many
// companies share. Addresses of pages are doubtful.
func (t *tableColumns) use(i int, k kind) use {
	c := &t.contents[i]
	if c.kind() != k || c.filled == 0 {
		return useNot
	}
	sure := useSure
	switch {
	case k != kindDomain && k != kindPerson:
	case c.own*10 < c.filled*9, k == kindDomain && c.isOneSite():
		return useNot
	case k == kindDomain && c.home*10 < c.filled*9:
		sure = useDoubtful
	}
	switch {
	case t.namesOther(i):
		return useNot
	case i < len(t.header) && headerWords.names(wordPerhapsOther, headerTokens(t.header[i])):
		return useDoubtful
	}
	return sure
}

// isBest reports whether column i can be used and no other column of its kind is better.
func (t *tableColumns) isBest(i int) bool {
	k := t.contents[i].kind()
	u := t.use(i, k)
	for j := range t.width {
		if t.use(j, k) > u {
			return false
		}
	}
	return u != useNot
}

// suits is fits for a choice among columns. If the columns are read cell by cell, the first is not given up because
// some of its cells hold something else, or all cells of the sample are empty.
func (c *content) suits(r role) int {
	if k, ok := map[role]kind{roleSite: kindDomain, roleEmail: kindEmail, roleLinkedIn: kindPerson}[r]; ok && (c.filled == 0 || c.count[k] > 0) {
		return agrees
	}
	return c.fits(r)
}

// How the content of a column agrees with a role.
const (
	contradicts = iota
	unclear
	agrees
)

// fits says how the content of a column agrees with a role.
func (c *content) fits(r role) int {
	k := c.kind()
	switch {
	case r == roleKey || r == rolePersonKey || r == roleCompanyPage || k == kindEmpty:
		return unclear
	case k == kindText && c.count[kindText]*10 < c.filled*9: // cells of different kinds
		return unclear
	}
	var right, wrong []kind
	switch r {
	case roleSite:
		right, wrong = []kind{kindDomain}, []kind{kindPerson, kindCompany, kindDigits, kindToken}
	case roleEmail:
		right, wrong = []kind{kindEmail}, []kind{kindDomain, kindPerson, kindCompany, kindDigits, kindToken}
	case roleLinkedIn:
		right, wrong = []kind{kindPerson}, []kind{kindDomain, kindEmail, kindCompany, kindDigits, kindToken}
	case roleID, roleCompanyID, rolePersonID:
		right, wrong = []kind{kindDigits, kindToken}, []kind{kindDomain, kindEmail, kindPerson, kindCompany}
	default: // names
		right, wrong = []kind{kindText}, []kind{kindDomain, kindEmail, kindPerson, kindCompany, kindDigits, kindToken}
	}
	switch {
	case slices.Contains(right, k):
		return agrees
	case slices.Contains(wrong, k):
		return contradicts
	}
	return unclear
}

// candidates are the columns that hold identifiers of a kind and are not used for it: those that are
// surely meant, and the doubtful ones. A column with a known header is none, unless its content
// contradicts the header, or it is a key.
func (l *draft) candidates(k kind) (sure, doubtful []int) {
	for i := range l.names {
		if _, unused := l.unused[i]; unused && l.contradicted[i] == "" || l.usedAsIdentifier(i) {
			continue
		}
		switch l.use(i, k) {
		case useSure:
			sure = append(sure, i)
		case useDoubtful:
			doubtful = append(doubtful, i)
		}
	}
	if unnamed := slices.DeleteFunc(slices.Clone(sure), func(i int) bool { return l.columns[fieldKey] == i }); len(unnamed) > 0 {
		sure = unnamed // a key may be a domain, too
	}
	return sure, doubtful
}

// chosenColumns are the columns that were chosen by their content, by the header of a file. The
// other files of a list with the same header are read alike, even if they have few lines.
type chosenColumns map[string][numFields]int

func headerKey(l *draft) string { return string(l.object) + "\x00" + strings.Join(l.header, "\x00") }

// chooseColumns finds the columns that the header does not name, as in other files of the list or by
// their content.
func (l *draft) chooseColumns(o Options) error {
	o.chosen.apply(l, o.Map)
	if err := l.useContent(o.Map); err != nil {
		return err
	}
	o.chosen.remember(l)
	return nil
}

// remember adds the choices for a header that has none.
func (chosen chosenColumns) remember(l *draft) {
	columns, found := l.columns, false
	for f, r := range l.reasons {
		if r != ReasonContent || !l.has(field(f)) {
			columns[f] = -1
			continue
		}
		found = true
	}
	if _, known := chosen[headerKey(l)]; !known && found && chosen != nil {
		chosen[headerKey(l)] = columns
	}
}

// apply uses the choices of an earlier file, unless the content of this one contradicts them.
func (chosen chosenColumns) apply(l *draft, m map[string]string) {
	columns, known := chosen[headerKey(l)]
	if !known || decidedByMap(m) {
		return
	}
	for f, i := range columns {
		if i < 0 || l.has(field(f)) || l.usedAsIdentifier(i) {
			continue
		}
		if k := l.contents[i].kind(); k != kindEmpty && k != kindText {
			continue // useContent decides
		}
		l.columns[f], l.reasons[f] = i, ReasonContent
		l.notes = append(l.notes, fmt.Sprintf("%s is read as %s, as in another file with the same header", l.names[i], fieldNames[f]))
	}
}

// decidedByMap reports whether --map names what is requested.
func decidedByMap(m map[string]string) bool {
	for name := range m {
		if f, _ := fieldNamed(name); f != fieldKey {
			return true
		}
	}
	return false
}

// useContent finds the columns that the header does not name by their content. It fails if several
// could be meant and the accounts would otherwise be requested by name.
func (l *draft) useContent(m map[string]string) error {
	if decidedByMap(m) {
		l.noteUnused()
		return nil
	}
	kinds := []kind{kindToken, kindDomain}
	if l.object == schema.Contact {
		kinds = []kind{kindToken, kindPerson, kindEmail, kindDomain}
	}
	for _, k := range kinds {
		f := kindFields[k]
		if l.object == schema.Contact && f == fieldDomain {
			f = fieldCompanyDomain
			if !l.has(fieldName) && !(l.has(fieldFirstName) && l.has(fieldLastName)) {
				continue
			}
		}
		sure, doubtful := l.candidates(k)
		if len(sure) > 0 && l.holdsNone(f) {
			l.contradicted[l.columns[f]] = kindNames[l.contents[l.columns[f]].kind()]
			l.columns[f], l.alternatives[f] = -1, nil
		}
		if l.has(f) && !(f == fieldDomain && l.emailDomain && len(sure) > 0) {
			continue
		}
		switch {
		case len(sure) == 1 && !l.has(f):
			l.columns[f], l.reasons[f] = sure[0], ReasonContent
			l.notes = append(l.notes, fmt.Sprintf("%s is read as %s: %s", l.names[sure[0]], fieldNames[f], l.contents[sure[0]].share(k)))
		case len(sure)+len(doubtful) > 0 && (l.byNameOnly() || !l.canIdentify(l.object)):
			return l.ambiguous(f, k, append(sure, doubtful...))
		}
	}
	l.noteUnused()
	return nil
}

// holdsNone reports whether the column of a field was chosen by its header and the sample has no
// value for it: no cell is filled, or all hold plain words, or the domains are e-mail addresses.
func (l *draft) holdsNone(f field) bool {
	if !l.has(f) || l.reasons[f] != ReasonHeader {
		return false
	}
	for _, i := range l.alternatives[f] {
		if m, _, _ := meaningOf(l.names[i]); l.contents[i].count[kindText] < l.contents[i].filled && m.rank < rankEmailDomain {
			return false
		}
	}
	c := &l.contents[l.columns[f]]
	return c.count[kindText] == c.filled && c.dotted == 0 || (f == fieldDomain || f == fieldCompanyDomain) && c.kind() == kindEmail
}

// byNameOnly reports whether names are all that the accounts can be requested by, or domains of
// e-mail addresses.
func (l *draft) byNameOnly() bool {
	return l.canIdentify(l.object) && !l.has(fieldID) && !l.has(fieldLinkedIn) && !l.has(fieldEmail) && (!l.has(fieldDomain) || l.emailDomain)
}

// ambiguous is the error about columns of which none is surely meant.
func (l *draft) ambiguous(f field, k kind, columns []int) error {
	var found, fixes []string
	for _, i := range columns {
		found = append(found, fmt.Sprintf("%s (%s)", l.columnText(i), l.contents[i].share(k)))
		fixes = append(fixes, fmt.Sprintf("--map %s=%s", fieldNames[f], l.mapReference(i)))
	}
	e := &Error{Line: l.line, Problem: fmt.Sprintf("no header names the %s, and it may be in %s", fieldNames[f], strings.Join(found, ", "))}
	switch {
	case l.has(fieldDomain):
		e.Problem = fmt.Sprintf("%s holds domains of e-mail addresses, and the %s may be in %s", l.names[l.columns[fieldDomain]], fieldNames[f], strings.Join(found, ", "))
		fixes = append(fixes, fmt.Sprintf("--map domain=%s", l.mapReference(l.columns[fieldDomain])))
	case l.has(fieldName):
		e.Problem += fmt.Sprintf("; without it, siglake would request by name (%s)", l.names[l.columns[fieldName]])
		fixes = append(fixes, fmt.Sprintf("--map name=%s", l.mapReference(l.columns[fieldName])))
	case l.has(fieldFirstName) && l.has(fieldLastName):
		e.Problem += fmt.Sprintf("; without it, siglake would request by name (%s, %s)", l.names[l.columns[fieldFirstName]], l.names[l.columns[fieldLastName]])
		fixes = append(fixes, fmt.Sprintf("--map first_name=%s", l.mapReference(l.columns[fieldFirstName])))
	}
	e.Expected = "one column that is meant"
	e.Fix = "add " + strings.Join(fixes, " or ")
	return e
}

// noteUnused notes the columns of identifiers that stay unused although the accounts are requested by
// name.
func (l *draft) noteUnused() {
	if l.header == nil {
		return
	}
	if !l.byNameOnly() {
		l.noteFuller()
		return
	}
	for i := range l.names {
		c := &l.contents[i]
		k := c.kind()
		_, ok := kindFields[k]
		if partly := c.count[kindDomain]; !ok && partly*2 >= c.filled && partly > 0 {
			k, ok = kindDomain, true
		}
		if !ok && k != kindCompany || l.usedAsIdentifier(i) {
			continue
		}
		noted := l.object == schema.Contact || k != kindPerson
		l.setAside(i, unusedColumn{l.reasonUnused(i, k), noted, -1, kindNames[k]})
	}
}

// noteFuller notes columns of domains that have more of them than the one that is used, since the
// other companies are requested by name.
func (l *draft) noteFuller() {
	used := l.columns[fieldDomain]
	if used < 0 || l.has(fieldID) {
		return
	}
	filled := l.contents[used].filled
	for _, i := range l.alternatives[fieldDomain] {
		filled = max(filled, l.contents[i].filled)
	}
	sure, _ := l.candidates(kindDomain)
	for _, i := range sure {
		if l.columns[fieldKey] != i && l.contents[i].filled > filled {
			l.setAside(i, unusedColumn{fmt.Sprintf("it holds more domains than %s, which is the domain; --map domain=%s uses it", l.names[used], l.mapReference(i)), true, used, ""})
		}
	}
}
