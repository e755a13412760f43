package sources

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/siglake/siglake/schema"
)

// field is the meaning of a column.
type field int

const (
	fieldKey field = iota
	fieldID
	fieldDomain
	fieldName
	fieldFirstName
	fieldLastName
	fieldLinkedIn
	fieldEmail
	fieldCompanyName
	fieldCompanyDomain
	numFields
)

// fieldNames are the names used by --map and Input.Mapping.
var fieldNames = [numFields]string{"key", "id", "domain", "name", "first_name", "last_name",
	"linkedin", "email", "company_name", "company_domain"}

// fieldNamed returns the field for a --map name.
func fieldNamed(name string) (field, bool) {
	if name == "website" || name == "url" {
		return fieldDomain, true
	}
	i := slices.Index(fieldNames[:], name)
	return field(i), i >= 0
}

// headerRoles returns the roles of a record's cells if the record can be a header: it has at least
// one known name and no data.
func headerRoles(cells []string) map[role]bool {
	roles := map[role]bool{}
	paths := arePaths(cells) || haveRelations(cells)
	for _, c := range cells {
		k := kindOf(c)
		if k != kindEmpty && k != kindText && k != kindDigits && !(paths && k == kindDomain) { // a column may be named 2026
			return nil
		}
		if m, exact, ok := meaningOf(c); ok && exact {
			roles[m.role] = true
		}
	}
	return roles
}

// arePaths reports whether the cells that look like domains are names of fields in an object, such as
// company.name and company.site: all with the same first part, and at least two of them known.
func arePaths(cells []string) bool {
	object, known := "", 0
	for _, c := range cells {
		if kindOf(c) != kindDomain {
			continue
		}
		first, rest, _ := strings.Cut(c, ".")
		if object != "" && first != object {
			return false
		}
		object = first
		if _, exact, ok := meaningOf(rest); ok && exact {
			known++
		}
	}
	return known > 1
}

// haveRelations reports whether the cells that look like domains are fields of related objects, such as OWNER.NAME, among
// at least two names of columns.
func haveRelations(cells []string) bool {
	known := 0
	for _, c := range cells {
		k := kindOf(c)
		if k == kindDomain {
			c = lastLabel(c)
		}
		_, exact, ok := meaningOf(c)
		switch {
		case k == kindDomain && !(ok && exact):
			return false
		case k != kindDomain && ok && exact:
			known++
		}
	}
	return known > 1
}

// layout says which column holds which field.
type layout struct {
	object   schema.Object
	columns  [numFields]int // index of the column; -1: none
	reasons  [numFields]Reason
	contents []content // of the columns in the sample
	// Further columns by role, best first, and those that a field is read from if the cell in its
	// column is empty.
	further      [numRoles][]int
	alternatives [numFields][]int
	// Columns whose content is no value of the role that their header names, and what it is.
	contradicted map[int]string
	unused       map[int]string // why a column is not used
	emailDomain  bool           // the domains are those of e-mail addresses
	header       []string       // nil without a header
	names        []string       // names of the columns in messages
	width        int            // maximum number of filled columns of a record
	line         int64          // line of the first record
	delimiter    byte
	notes        []string
	described    []Column
	clashes      *Clashes
	kept         []keptColumn // in the order of the list
	keptNames    []string     // likewise
}

func (l *layout) has(f field) bool { return l.columns[f] >= 0 }

// fieldMapping returns the layout as field name -> column name.
func (l *layout) fieldMapping() map[string]string {
	m := map[string]string{}
	for f, i := range l.columns {
		if i >= 0 {
			m[fieldNames[f]] = columnName(l.header, i+1)
		}
	}
	return m
}

// canIdentify reports whether the columns suffice to request an object.
func (l *layout) canIdentify(o schema.Object) bool {
	if o == schema.Contact {
		person := l.has(fieldName) || l.has(fieldFirstName) && l.has(fieldLastName)
		employer := l.has(fieldCompanyName) || l.has(fieldCompanyDomain)
		return l.has(fieldID) || l.has(fieldLinkedIn) || l.has(fieldEmail) || person && employer
	}
	return l.has(fieldID) || l.has(fieldDomain) || l.has(fieldName)
}

// newLayout decides on header, object and columns by the first records.
func newLayout(d csvDialect, o Options) (layout, error) {
	l := layout{delimiter: d.delimiter, line: d.line, unused: map[int]string{}, contradicted: map[int]string{}}
	records := d.sample
	for f := range l.columns {
		l.columns[f] = -1
	}
	var first []string
	if len(records) > 0 {
		first = records[0]
	}
	if d.mark != nil {
		o.Header = HeaderYes
	}
	isHeader, err := hasHeader(records, o)
	if err != nil {
		return l, err
	}
	rows := records
	l.width, _, _ = columnStats(records)
	if isHeader {
		l.header, rows = first, records[1:]
		l.width = len(first)
		for l.width > 1 && first[l.width-1] == "" {
			l.width--
		}
	}
	for i := range max(l.width, len(first)) {
		l.names = append(l.names, columnName(l.header, i+1))
	}
	for i := range l.names {
		l.contents = append(l.contents, readContent(rows, i))
	}
	if err := l.applyMap(o.Map); err != nil {
		return l, err
	}
	if err := l.chooseKept(o); err != nil {
		return l, err
	}
	if d.mark != nil && l.readMark(d.mark, o) {
		l.described = l.describeColumns()
		return l, l.validateColumns(rows)
	}
	roles := l.bestColumns()
	l.resolveNames(&roles, rows)
	l.object = o.Object
	if l.object == "" {
		if l.object, err = l.decideObject(&roles, o.Map); err != nil {
			return l, err
		}
	}
	l.dropAddresses(&roles)
	l.assignFields(roles)
	switch {
	case isHeader:
		err = l.chooseColumns(o)
	case len(o.Map) == 0:
		err = l.inferColumns(rows, o.Object)
	default:
		l.notes = append(l.notes, "no header: the first line is read as an account")
	}
	l.noteContradictions()
	l.described = l.describeColumns()
	if err != nil {
		return l, err
	}
	return l, l.validateColumns(rows)
}

// hasHeader decides whether the first record is a header.
func hasHeader(records [][]string, o Options) (bool, error) {
	switch {
	case o.Header == HeaderYes:
		return true, nil
	case o.Header == HeaderNo || len(records) == 0:
		return false, nil
	case len(records[0]) == 1 && isComment(records[0][0]) && len(o.Map) == 0:
		return false, nil
	case len(headerRoles(records[0])) > 0:
		return true, nil
	}
	for _, column := range slices.Concat(slices.Collect(maps.Values(o.Map)), o.Keep) {
		if column == KeepAll {
			continue
		}
		if findColumn(records[0], column) >= 0 {
			return true, nil
		}
		if !isNumber(column) {
			// --map or --keep names a header, so there must be one; a missing name is reported later.
			return true, nil
		}
	}
	// A first record of plain words above a column of domains, addresses or profiles is a header in
	// an unknown language.
	for _, cell := range records[0] {
		if k := kindOf(cell); k != kindEmpty && k != kindText {
			return false, nil
		}
	}
	for i := range records[0] {
		c := readContent(records[1:], i)
		if _, ok := kindFields[c.kind()]; ok {
			return true, nil
		}
	}
	return false, nil
}

// findColumn finds a column by header name: as written, else folded.
func findColumn(header []string, name string) int {
	if i := slices.Index(header, strings.TrimSpace(name)); i >= 0 {
		return i
	}
	folded := foldName(name)
	return slices.IndexFunc(header, func(h string) bool { return folded != "" && foldName(h) == folded })
}

// applyMap applies --map.
func (l *layout) applyMap(m map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		f, _ := fieldNamed(name)
		i := l.findNumbered(m[name])
		if i < 0 {
			return &Error{Problem: fmt.Sprintf("--map %s=%s: no such column", name, m[name]),
				Expected: "one of " + l.columnList(), Fix: "use the name in the header, or the number of the column, counted from 1"}
		}
		l.columns[f], l.reasons[f] = i, ReasonMap
	}
	return nil
}

// bestColumns finds the best column for each role: content that fits the role counts first, then
// the rank of the header name. A column whose content contradicts its header has no role.
func (l *layout) bestColumns() [numRoles]int {
	var best [numRoles]int
	for r := range best {
		best[r] = -1
	}
	var of [numRoles]meaning
	known := map[int]meaning{}
	seen := map[string]bool{}
	for i, name := range l.header {
		if f := strings.ToLower(name); name == "" {
			continue
		} else if seen[f] {
			l.unused[i] = "an earlier column has the same header"
			l.notes = append(l.notes, fmt.Sprintf("the header has %q twice: the first column is used", name))
			continue
		} else {
			seen[f] = true
		}
		m, _, ok := meaningOf(name)
		if !ok || i >= len(l.contents) || l.usedAsIdentifier(i) {
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
		fits, before := l.contents[i].fits(m.role), l.contents[j].fits(m.role)
		if fits > before || fits == before && m.rank < of[m.role].rank {
			best[m.role], of[m.role] = i, m
		}
	}
	l.noteFurther(best, known)
	l.emailDomain = best[roleSite] >= 0 && of[roleSite].rank >= rankEmailDomain
	return best
}

// dropAddresses takes the role of a website from a column of a list of contacts that holds e-mail
// addresses, if no other column does: useContent reads it as the addresses of the contacts.
func (l *layout) dropAddresses(roles *[numRoles]int) {
	i := roles[roleSite]
	if l.object == schema.Contact && i >= 0 && roles[roleEmail] < 0 && !l.has(fieldEmail) && l.contents[i].kind() == kindEmail {
		roles[roleSite] = -1
		l.contradicted[i] = kindNames[kindEmail]
	}
}

// noteFurther notes the columns of a role behind the best. A website, an address or a profile is read
// from the next column if the cell in the best is empty.
func (l *layout) noteFurther(best [numRoles]int, known map[int]meaning) {
	for i := range l.header {
		m, ok := known[i]
		switch {
		case !ok || best[m.role] == i:
			continue
		case m.role == roleSite && m.rank < rankEmailDomain, m.role == roleEmail, m.role == roleLinkedIn:
			l.further[m.role] = append(l.further[m.role], i)
			l.unused[i] = fmt.Sprintf("it is read where %s is empty", l.names[best[m.role]])
			continue
		}
		l.unused[i] = l.names[best[m.role]] + " means the same"
		if m.role != roleKey && m.role != rolePersonKey && m.role != roleCompanyPage { // lists have many ids; only the best is used
			l.notes = append(l.notes, fmt.Sprintf("%s is not used: %s", l.names[i], l.unused[i]))
		}
	}
	for _, further := range l.further {
		slices.SortStableFunc(further, func(i, j int) int { return cmp.Compare(known[i].rank, known[j].rank) })
	}
}

// resolveNames decides what a column is whose header means a name in one list and a part of it in
// another: "Nombre" above "Apellidos", "Nom" after "Prénom", "Name" after "Vorname".
func (l *layout) resolveNames(roles *[numRoles]int, rows [][]string) {
	move := func(from, to role) {
		if i := roles[from]; i >= 0 && roles[to] < 0 {
			roles[to], roles[from] = i, -1
		}
	}
	if roles[roleLastName] >= 0 || roles[roleNameOrLast] >= 0 {
		move(roleNameOrFirst, roleFirstName)
	}
	if roles[roleFirstName] >= 0 {
		move(roleNameOrLast, roleLastName)
	}
	move(roleNameOrFirst, roleName)
	move(roleNameOrLast, roleName)
	name, first := roles[roleName], roles[roleFirstName]
	if name < 0 || first < 0 || roles[roleLastName] >= 0 {
		return
	}
	for _, row := range rows {
		if name < len(row) && first < len(row) && row[first] != "" && slices.Contains(strings.Fields(row[name]), row[first]) {
			return // a full name
		}
	}
	move(roleName, roleLastName)
}

// decideObject decides by the columns whether the list holds companies or contacts.
func (l *layout) decideObject(roles *[numRoles]int, m map[string]string) (schema.Object, error) {
	if i := roles[rolePersonKey]; i >= 0 {
		if _, exact, _ := meaningOf(l.header[i]); exact {
			return schema.Contact, nil
		}
	}
	for _, r := range []role{rolePersonID, rolePerson, roleFirstName, roleLastName, roleLinkedIn, roleEmail} {
		if roles[r] >= 0 {
			return schema.Contact, nil
		}
	}
	for _, f := range []field{fieldFirstName, fieldLastName, fieldLinkedIn, fieldEmail} {
		if l.has(f) {
			return schema.Contact, nil
		}
	}
	if l.has(fieldName) && (l.has(fieldCompanyName) || l.has(fieldCompanyDomain)) {
		return schema.Contact, nil
	}
	if n, c := roles[roleName], roles[roleOrganisation]; n >= 0 && c >= 0 && len(m) == 0 {
		return "", &Error{Line: l.line, Problem: fmt.Sprintf("%s and %s may be a person and an employer, or a company twice", l.names[n], l.names[c]),
			Fix: "add --object=contact or --object=company"}
	}
	if l.header == nil || decidedByMap(m) {
		return schema.Company, nil
	}
	return l.objectOfContent(roles)
}

// objectOfContent decides by the cells of columns without a known header.
func (l *layout) objectOfContent(roles *[numRoles]int) (schema.Object, error) {
	profiles, _ := l.candidates(kindPerson)
	addresses, _ := l.candidates(kindEmail)
	people := slices.Concat(profiles, addresses)
	if len(people) == 0 {
		return schema.Company, nil
	}
	for _, r := range []role{roleCompanyID, roleID, roleSite, roleOrganisation} {
		if i := roles[r]; i >= 0 {
			return "", &Error{Line: l.line, Problem: fmt.Sprintf("%s is a column of companies, and %s is one of contacts (%s)", l.names[i], l.columnText(people[0]),
				l.contents[people[0]].share(l.contents[people[0]].kind())), Fix: "add --object=contact or --object=company"}
		}
	}
	return schema.Contact, nil
}

// noteContradictions says which headers are not believed.
func (l *layout) noteContradictions() {
	for i, name := range l.names {
		found, ok := l.contradicted[i]
		if !ok {
			if k := l.contents[i].kind(); k == kindEmail && (l.columns[fieldDomain] == i || l.columns[fieldCompanyDomain] == i) && l.header != nil {
				l.notes = append(l.notes, fmt.Sprintf("%s holds e-mail addresses, not domains: the part after the @ is used", name))
			}
			continue
		}
		switch {
		case l.usedAsIdentifier(i): // its own note says so
		case found == kindNames[kindCompany]:
			l.unused[i] = "company pages cannot be requested"
			l.notes = append(l.notes, fmt.Sprintf("%s holds company pages, which cannot be requested: the column is ignored", name))
		default:
			if l.unused[i] == "" {
				l.unused[i] = "the content contradicts the header"
			}
			l.notes = append(l.notes, fmt.Sprintf("%s is not used: the sample of it holds %s, which its header does not mean", name, found))
		}
	}
}

// preferOwnKey sets the id of the employer aside in a list of contacts that has another key: it stands for all its people.
func (l *layout) preferOwnKey(roles *[numRoles]int) {
	employer := roles[roleKey]
	if employer < 0 || !namesEmployer(l.header[employer]) {
		return
	}
	best := -1
	var rank int
	for i, name := range l.header {
		m, exact, ok := meaningOf(name)
		if ok && exact && m.role == roleKey && !namesEmployer(name) && l.contents[i].fits(roleKey) > 0 && (best < 0 || m.rank < rank) {
			best, rank = i, m.rank
		}
	}
	if best >= 0 {
		roles[roleKey] = best
		l.unused[employer] = fmt.Sprintf("%s is the key", l.names[best])
		delete(l.unused, best)
	}
}

// namesEmployer reports whether the header of a key says that it is that of a company, which may be the employer.
func namesEmployer(header string) bool {
	return slices.ContainsFunc(headerTokens(header), func(w string) bool { return headerWords.classes[w]&wordCompany != 0 && !clientWords[w] })
}

// clientWords are words for a company that may also be a person.
var clientWords = wordSet("customer client kunde kunden cliente klant klanten klient klienta")

// assignFields maps roles to the fields of the object. Fields set by --map stay.
func (l *layout) assignFields(roles [numRoles]int) {
	assign := func(f field, candidates ...role) {
		for _, r := range candidates {
			if i := roles[r]; i >= 0 && !l.has(f) {
				l.columns[f], l.reasons[f], l.alternatives[f] = i, ReasonHeader, l.further[r]
				for _, j := range l.further[r] {
					l.notes = append(l.notes, fmt.Sprintf("%s is read where %s is empty", l.names[j], l.names[i]))
				}
			} else if i >= 0 && l.columns[f] != i {
				l.unused[i] = fmt.Sprintf("%s is the %s", l.names[l.columns[f]], fieldNames[f])
				l.notes = append(l.notes, fmt.Sprintf("%s is not used: %s", l.names[i], l.unused[i]))
			}
		}
	}
	if l.object == schema.Contact {
		// In a list of contacts "domain" can only be the employer's.
		if l.has(fieldDomain) && !l.has(fieldCompanyDomain) {
			l.columns[fieldCompanyDomain], l.reasons[fieldCompanyDomain] = l.columns[fieldDomain], l.reasons[fieldDomain]
		}
		l.columns[fieldDomain] = -1
		l.preferOwnKey(&roles)
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
		if l.has(alias) && !l.has(own) {
			l.columns[own], l.reasons[own] = l.columns[alias], l.reasons[alias]
		}
		l.columns[alias] = -1
	}
	assign(fieldKey, roleKey, rolePersonKey)
	assign(fieldID, roleCompanyID, roleID)
	assign(fieldDomain, roleSite)
	assign(fieldName, roleOrganisation, roleName)
	for _, f := range []field{fieldFirstName, fieldLastName, fieldLinkedIn, fieldEmail} {
		l.columns[f] = -1
	}
}

// inferColumns recognises the columns of a list without a header.
func (l *layout) inferColumns(rows [][]string, wanted schema.Object) error {
	if l.width <= 1 {
		return l.inferOneColumn(rows, wanted)
	}
	for i := range l.width {
		f, ok := kindFields[l.contents[i].kind()]
		if !ok || !l.isBest(i) {
			continue
		}
		if l.has(f) {
			return &Error{Line: l.line, Problem: fmt.Sprintf("no header, and columns %d and %d both look like %s", l.columns[f]+1, i+1, fieldNames[f]),
				Expected: "a header, or --map with column numbers", Fix: l.mapAdvice()}
		}
		l.columns[f], l.reasons[f] = i, ReasonContent
	}
	l.object = wanted
	if wanted == "" {
		l.object = schema.Company
		if l.has(fieldEmail) || l.has(fieldLinkedIn) {
			l.object = schema.Contact
		}
	}
	l.assignFields(noRoles()) // decides which field a domain is
	if !l.canIdentify(l.object) {
		return &Error{Line: l.line, Problem: "no header, and no column is recognised by its content",
			Expected: "a header, or --map with column numbers", Fix: l.mapAdvice()}
	}
	l.notes = append(l.notes, "no header: the columns were recognised by their content")
	return nil
}

// isBest reports whether column i can be used and no other column of its kind is better.
func (l *layout) isBest(i int) bool {
	k := l.contents[i].kind()
	u := l.use(i, k)
	for j := range l.width {
		if l.use(j, k) > u {
			return false
		}
	}
	return u != useNot
}

func noRoles() (roles [numRoles]int) {
	for r := range roles {
		roles[r] = -1
	}
	return roles
}

// isComment reports whether a line of a plain list is a comment.
func isComment(cell string) bool { return strings.HasPrefix(strings.TrimSpace(cell), "#") }

// inferOneColumn recognises the content of a one-column list by majority. Names need two thirds,
// because a name may look like anything, and a domain that is requested as a name finds the wrong
// company.
func (l *layout) inferOneColumn(rows [][]string, wanted schema.Object) error {
	var count [numKinds]int
	total := 0
	for _, row := range rows {
		if k := kindOf(row[0]); k != kindEmpty && !isComment(row[0]) {
			count[k]++
			total++
		}
	}
	object, f := schema.Company, numFields
	for k, n := range count {
		if 2*n <= total || n == 0 {
			continue
		}
		switch kind(k) {
		case kindText:
			if 3*n >= 2*total {
				f = fieldName
			}
		case kindDigits, kindToken:
			f = fieldID
		case kindCompany:
			return &Error{Line: l.line, Problem: "the lines are LinkedIn company pages, which cannot be requested",
				Expected: "domains or names of companies", Fix: "replace the pages by the companies' domains"}
		case kindDomain:
			f = fieldDomain
		case kindEmail:
			object, f = schema.Contact, fieldEmail
			if wanted == schema.Company {
				f = fieldDomain
			}
		case kindPerson:
			object, f = schema.Contact, fieldLinkedIn
		}
	}
	l.object = object
	if wanted != "" {
		l.object = wanted
	}
	if f == numFields {
		return &Error{Line: l.line, Problem: "no header, and the lines hold different kinds of identifiers", Expected: "domains, names, e-mail addresses, LinkedIn profiles or Lusha ids, one kind only",
			Fix: "add a header line, or name the column: --map domain=1"}
	}
	l.columns[f], l.reasons[f] = 0, ReasonContent
	l.notes = append(l.notes, fmt.Sprintf("no header: the only column was recognised as %s by its content", fieldNames[f]))
	return nil
}

// validateColumns checks that the columns suffice to request the accounts.
func (l *layout) validateColumns(rows [][]string) error {
	if i := l.columns[fieldName]; l.delimiter == 0 && i >= 0 {
		for _, row := range rows {
			if c := row[i]; holdsCells(c) && !isComment(c) {
				return &Error{Line: l.line, Problem: fmt.Sprintf("the list has one column, but %q looks like several cells", truncate(c)),
					Expected: "the same columns on every line, under at most one header line", Fix: "remove a title line, or give each column a header"}
			}
		}
	}
	if l.canIdentify(l.object) {
		return nil
	}
	pages := ""
	if i := slices.IndexFunc(l.contents, func(c content) bool { return c.kind() == kindCompany }); i >= 0 {
		pages = fmt.Sprintf(" (%s holds LinkedIn company pages, which cannot be requested)", l.names[i])
	}
	e := &Error{Line: l.line, Problem: fmt.Sprintf("no column identifies a %s; the columns are %s%s", l.object, l.columnList(), pages),
		Expected: "a column with a domain or a company name", Fix: l.mapAdvice()}
	if l.object == schema.Contact {
		e.Expected = "a column with LinkedIn profiles or e-mail addresses, or full names with employers"
		if company := *l; company.fitsObject(schema.Company) {
			e.Fix += ", or request the companies with --object=company"
		}
	}
	return e
}

// holdsCells reports whether a name consists of several cells, with a domain or an address among
// them.
func holdsCells(name string) bool {
	parts := strings.FieldsFunc(name, func(r rune) bool { return strings.ContainsRune(delimiters, r) })
	return len(parts) > 1 && slices.ContainsFunc(parts, func(p string) bool {
		_, ok := kindFields[kindOf(strings.TrimSpace(p))]
		return ok
	})
}

// fitsObject tries the header as that of a list of the other object.
func (l *layout) fitsObject(o schema.Object) bool {
	for f := range l.columns {
		l.columns[f] = -1
	}
	l.object, l.notes = o, nil
	l.unused, l.contradicted, l.further = map[int]string{}, map[int]string{}, [numRoles][]int{}
	l.assignFields(l.bestColumns())
	return l.canIdentify(o)
}

// mapAdvice is the --map option that the content of the columns suggests.
func (l *layout) mapAdvice() string {
	fieldOf := map[kind]field{kindDomain: fieldDomain, kindToken: fieldID}
	if l.object == schema.Contact {
		fieldOf = map[kind]field{kindEmail: fieldEmail, kindPerson: fieldLinkedIn, kindToken: fieldID}
	}
	var parts []string
	for i := range l.names {
		k := l.contents[i].kind()
		if f, ok := fieldOf[k]; ok && !l.namesOther(i) {
			delete(fieldOf, k)
			parts = append(parts, fmt.Sprintf("--map %s=%s", fieldNames[f], l.mapReference(i)))
		}
	}
	if i := slices.IndexFunc(l.contents, func(c content) bool { return c.kind() == kindEmail }); len(parts) == 0 && l.object == schema.Company && i >= 0 {
		parts = append(parts, fmt.Sprintf("--map domain=%s", l.mapReference(i)))
	}
	switch {
	case len(parts) > 0:
		return "add " + strings.Join(parts, " ")
	case l.object == schema.Contact:
		return "add --map email=N or --map linkedin=N, where N is the number of the column"
	default:
		return "add --map domain=N, --map name=N or, for Lusha ids, --map id=N, where N is the number of the column"
	}
}

// mapReference is the name of a column in a --map option, quoted for a shell; its number if the name
// cannot be quoted, or does not denote it.
func (l *layout) mapReference(i int) string {
	if i >= len(l.header) || l.header[i] == "" || findColumn(l.header, l.header[i]) != i || strings.ContainsAny(l.header[i], "\"\\$`!,=") ||
		strings.ContainsFunc(l.header[i], unicode.IsControl) || len(l.header[i]) > 80 {
		return strconv.Itoa(i + 1)
	}
	if strings.ContainsFunc(l.header[i], func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_-.", r)
	}) {
		return `"` + l.header[i] + `"`
	}
	return l.header[i]
}

// columnList lists the columns for a message, with their numbers.
func (l *layout) columnList() string {
	parts := make([]string, 0, len(l.names))
	for i, name := range l.names {
		if i == 30 {
			parts = append(parts, fmt.Sprintf("and %d more", len(l.names)-i))
			break
		}
		if l.header != nil && name != columnName(nil, i+1) {
			name = fmt.Sprintf("%d %q", i+1, truncate(name))
		}
		parts = append(parts, name)
	}
	return strings.Join(parts, ", ")
}

// columnName is the name of a column in messages: its header name, else its number from 1. It is
// empty for number 0.
func columnName(header []string, number int) string {
	switch {
	case number == 0:
		return ""
	case number <= len(header) && header[number-1] != "":
		return header[number-1]
	}
	return fmt.Sprintf("column %d", number)
}

func isNumber(s string) bool {
	_, err := strconv.Atoi(s)
	return err == nil
}
