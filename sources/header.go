package sources

import (
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

// role is the meaning of a header name before it is known whether the list holds companies or
// contacts: "company" is the name in a list of companies and the employer in a list of contacts.
type role int

const (
	roleKey role = iota
	rolePersonKey
	roleID
	roleCompanyID
	rolePersonID
	roleSite
	roleOrganisation
	roleName
	rolePerson
	roleFirstName
	roleLastName
	roleLinkedIn
	roleEmail
	numRoles
)

// synonyms are the known header names, folded by foldName, best first: if two columns have the same
// role, the one with the earlier name is used.
//
// A plain id is the user's own key. Only a column with "Lusha" in its name holds Lusha ids, because
// an id that is mistaken for a Lusha id requests the wrong entity.
var synonyms = [numRoles]string{
	roleKey: "accountkey key externalkey externalid accountid crmid crmkey customerid clientid companyid organizationid organisationid " +
		"orgid recordid rowid id sourceid uniqueid uid uuid guid reference ref customernumber accountnumber symbol ticker tickersymbol " +
		"kundennummer cik",
	rolePersonKey:    "contactid personid leadid contactkey prospectid",
	roleID:           "lushaid",
	roleCompanyID:    "lushacompanyid lushaorganizationid lushaaccountid companylushaid",
	rolePersonID:     "lushacontactid lushapersonid contactlushaid personlushaid",
	roleSite:         "domain companydomain domainname companydomainname primarydomain websitedomain emaildomain accountdomain organizationdomain employerdomain website companywebsite websiteurl companywebsiteurl webaddress websiteaddress site homepage homepageurl companyurl organizationurl accountwebsite url companyhomepage siteurl web hostname host webseite internetseite internet siteweb siteinternet sitioweb paginaweb dominio domaine domäne",
	roleOrganisation: "companyname company organizationname organisationname organization organisation orgname accountname account employer employername currentcompany currentemployer businessname business legalname firmname firm security securityname issuer customername customer clientname client corporatename vendor vendorname brand firma firmenname unternehmen unternehmensname entreprise société societe empresa azienda bedrijf bedrijfsnaam",
	roleName:         "name",
	rolePerson:       "fullname contactname personname contactfullname person contact leadname prospectname employeename",
	roleFirstName:    "firstname givenname forename contactfirstname vorname prénom prenom nombre",
	roleLastName:     "lastname surname familyname contactlastname nachname nomdefamille apellido apellidos",
	roleLinkedIn:     "linkedinurl linkedin linkedinprofile linkedinprofileurl personlinkedinurl personlinkedin contactlinkedinurl contactlinkedin linkedinlink profileurl sociallink socialurl linkedinprofilelink linkedinpublicprofile",
	roleEmail:        "email workemail businessemail emailaddress workemailaddress primaryemail professionalemail corporateemail contactemail personemail mail emailid courriel correo correoelectronico",
}

// headerMeanings maps a folded header name to its role and rank.
var headerMeanings = func() map[string]meaning {
	m := map[string]meaning{}
	for r, names := range synonyms {
		for rank, name := range strings.Fields(names) {
			m[name] = meaning{role(r), rank}
		}
	}
	return m
}()

type meaning struct {
	role role
	rank int
}

// looseRank is the rank of keys recognised by their last word only.
const looseRank = 1000

// meaningOf looks up the meaning of a header name. exact is false for a key that is recognised by
// its last word ("Salesforce Opportunity Id"), which is not enough to take a line for a header.
func meaningOf(name string) (m meaning, exact, ok bool) {
	folded := foldName(name)
	if m, ok = headerMeanings[folded]; ok {
		return m, true, true
	}
	if singular, plural := strings.CutSuffix(folded, "s"); plural { // "Domains", "Websites"
		if m, ok = headerMeanings[singular]; ok {
			return m, true, true
		}
	}
	if before, _, cut := strings.Cut(name, "("); cut { // "Domain (required)"
		if m, ok = headerMeanings[foldName(before)]; ok {
			return m, true, true
		}
	}
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	if n := len(words); n > 1 && (words[n-1] == "id" || words[n-1] == "key") && !slices.Contains(words, "parent") && !slices.Contains(words, "owner") {
		return meaning{roleKey, looseRank}, false, true
	}
	return meaning{}, false, false
}

// foldName removes the differences between spellings of a header name: case, spaces, underscores,
// hyphens, byte order marks.
func foldName(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, name)
}

// headerRoles returns the roles of a record's cells if the record can be a header: it has at least
// one known name and no data.
func headerRoles(cells []string) map[role]bool {
	roles := map[role]bool{}
	for _, c := range cells {
		switch kindOf(c) {
		case kindEmpty, kindText, kindDigits: // a column may be named 2026
			if m, exact, ok := meaningOf(c); ok && exact {
				roles[m.role] = true
			}
		default:
			return nil
		}
	}
	return roles
}

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
	numKinds
)

var kindFields = map[kind]field{kindDomain: fieldDomain, kindEmail: fieldEmail, kindPerson: fieldLinkedIn}

func kindOf(cell string) kind {
	lower := strings.ToLower(cell)
	switch {
	case cell == "":
		return kindEmpty
	case strings.Contains(lower, "linkedin.com/company/"), strings.Contains(lower, "linkedin.com/school/"), strings.Contains(lower, "linkedin.com/showcase/"):
		return kindCompany
	case strings.Contains(lower, "linkedin.com/"):
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
	}
	return kindText
}

// layout says which column holds which field.
type layout struct {
	object    schema.Object
	columns   [numFields]int // index of the column; -1: none
	header    []string       // nil without a header
	names     []string       // names of the columns in messages
	width     int            // maximum number of filled columns of a record
	line      int64          // line of the first record
	delimiter byte
	notes     []string
	clashes   *Clashes
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
	l := layout{delimiter: d.delimiter, line: d.line}
	records := d.sample
	for f := range l.columns {
		l.columns[f] = -1
	}
	var first []string
	if len(records) > 0 {
		first = records[0]
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
	if err := l.applyMap(o.Map); err != nil {
		return l, err
	}
	roles := l.bestColumns()
	l.object = o.Object
	if l.object == "" {
		if l.object, err = l.decideObject(&roles, rows, o.Map); err != nil {
			return l, err
		}
	}
	l.assignFields(roles)
	if !isHeader && len(o.Map) == 0 {
		if err := l.inferColumns(rows, o.Object); err != nil {
			return l, err
		}
	}
	if !isHeader && len(o.Map) > 0 {
		l.notes = append(l.notes, "no header: the first line is read as an account")
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
	for _, column := range o.Map {
		if findColumn(records[0], column) >= 0 {
			return true, nil
		}
		if !isNumber(column) {
			// --map names a header, so there must be one; applyMap reports a missing name.
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
		switch columnKind(records[1:], i) {
		case kindDomain, kindEmail, kindPerson:
			return true, nil
		}
	}
	return false, nil
}

// columnKind is the kind of nine in ten of a column's non-empty cells; kindEmpty if there are none,
// kindText if they differ.
func columnKind(rows [][]string, i int) kind {
	var count [numKinds]int
	total := 0
	for _, row := range rows {
		if i < len(row) && row[i] != "" {
			count[kindOf(row[i])]++
			total++
		}
	}
	for k, n := range count {
		if n > 0 && n*10 >= total*9 {
			return kind(k)
		}
	}
	if total == 0 {
		return kindEmpty
	}
	return kindText
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
		i := findColumn(l.header, m[name])
		if n, err := strconv.Atoi(m[name]); i < 0 && err == nil && n >= 1 && n <= len(l.names) {
			i = n - 1
		}
		if i < 0 {
			return &Error{Problem: fmt.Sprintf("--map %s=%s: no such column", name, m[name]),
				Expected: "one of " + l.columnList(), Fix: "use the name in the header, or the number of the column, counted from 1"}
		}
		l.columns[f] = i
	}
	return nil
}

// bestColumns finds the best column for each role.
func (l *layout) bestColumns() [numRoles]int {
	var best [numRoles]int
	var rank [numRoles]int
	for r := range best {
		best[r] = -1
	}
	seen := map[string]bool{}
	for i, name := range l.header {
		if name == "" {
			continue
		}
		if f := strings.ToLower(name); seen[f] {
			l.notes = append(l.notes, fmt.Sprintf("the header has %q twice: the first column is used", name))
			continue
		} else {
			seen[f] = true
		}
		m, _, ok := meaningOf(name)
		if !ok {
			continue
		}
		switch {
		case best[m.role] < 0:
			best[m.role], rank[m.role] = i, m.rank
		case m.role == roleKey: // lists have many ids; only the best is used
			if m.rank < rank[m.role] {
				best[m.role], rank[m.role] = i, m.rank
			}
		default:
			unused := i
			if m.rank < rank[m.role] {
				unused, best[m.role], rank[m.role] = best[m.role], i, m.rank
			}
			l.notes = append(l.notes, fmt.Sprintf("%s is not used: %s means the same", l.names[unused], l.names[best[m.role]]))
		}
	}
	return best
}

// decideObject decides by the columns whether the list holds companies or contacts.
func (l *layout) decideObject(roles *[numRoles]int, rows [][]string, m map[string]string) (schema.Object, error) {
	if i := roles[roleLinkedIn]; i >= 0 && columnKind(rows, i) == kindCompany {
		l.notes = append(l.notes, fmt.Sprintf("%s holds company pages, which cannot be requested: the column is ignored", l.names[i]))
		roles[roleLinkedIn] = -1
	}
	for _, r := range []role{rolePersonID, rolePersonKey, rolePerson, roleFirstName, roleLastName, roleLinkedIn, roleEmail} {
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
	return schema.Company, nil
}

// assignFields maps roles to the fields of the object. Fields set by --map stay.
func (l *layout) assignFields(roles [numRoles]int) {
	assign := func(f field, candidates ...role) {
		for _, r := range candidates {
			if i := roles[r]; i >= 0 && !l.has(f) {
				l.columns[f] = i
			} else if i >= 0 && l.columns[f] != i {
				l.notes = append(l.notes, fmt.Sprintf("%s is not used: %s is the %s", l.names[i], l.names[l.columns[f]], fieldNames[f]))
			}
		}
	}
	if l.object == schema.Contact {
		// In a list of contacts "domain" can only be the employer's.
		if l.has(fieldDomain) && !l.has(fieldCompanyDomain) {
			l.columns[fieldCompanyDomain] = l.columns[fieldDomain]
		}
		l.columns[fieldDomain] = -1
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
			l.columns[own] = l.columns[alias]
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
		f, ok := kindFields[columnKind(rows, i)]
		if !ok {
			continue
		}
		if l.has(f) {
			return &Error{Line: l.line, Problem: fmt.Sprintf("no header, and columns %d and %d both look like %s", l.columns[f]+1, i+1, fieldNames[f]),
				Expected: "a header, or --map with column numbers", Fix: l.mapAdvice(rows)}
		}
		l.columns[f] = i
	}
	l.object = wanted
	if wanted == "" {
		l.object = schema.Company
		if l.has(fieldEmail) || l.has(fieldLinkedIn) {
			l.object = schema.Contact
		}
	}
	l.assignFields(l.bestColumns()) // decides which field a domain is
	if !l.canIdentify(l.object) {
		return &Error{Line: l.line, Problem: "no header, and no column is recognised by its content",
			Expected: "a header, or --map with column numbers", Fix: l.mapAdvice(rows)}
	}
	l.notes = append(l.notes, "no header: the columns were recognised by their content")
	return nil
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
		case kindDigits:
			f = fieldID
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
	l.columns[f] = 0
	l.notes = append(l.notes, fmt.Sprintf("no header: the only column was recognised as %s by its content", fieldNames[f]))
	return nil
}

// validateColumns checks that the columns suffice to request the accounts.
func (l *layout) validateColumns(rows [][]string) error {
	if len(l.header) > maxColumns {
		return &Error{Line: l.line, Problem: fmt.Sprintf("the header has %d columns", len(l.header)), Expected: fmt.Sprintf("at most %d", maxColumns)}
	}
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
	e := &Error{Line: l.line, Problem: fmt.Sprintf("no column identifies a %s; the columns are %s", l.object, l.columnList()),
		Expected: "a column with a domain or a company name", Fix: l.mapAdvice(rows)}
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
	l.assignFields(l.bestColumns())
	return l.canIdentify(o)
}

// mapAdvice is the --map option that the content of the columns suggests.
func (l *layout) mapAdvice(rows [][]string) string {
	fieldOf := map[kind]field{kindDomain: fieldDomain}
	if l.object == schema.Contact {
		fieldOf = map[kind]field{kindEmail: fieldEmail, kindPerson: fieldLinkedIn}
	}
	var parts []string
	for i := range l.names {
		k := columnKind(rows, i)
		if f, ok := fieldOf[k]; ok {
			delete(fieldOf, k)
			parts = append(parts, fmt.Sprintf("--map %s=%s", fieldNames[f], l.mapReference(i)))
		}
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

// mapReference is the name of a column in a --map option.
func (l *layout) mapReference(i int) string {
	if i < len(l.header) && l.header[i] != "" {
		if strings.ContainsAny(l.header[i], " ,;|&()'") {
			return strconv.Quote(l.header[i])
		}
		return l.header[i]
	}
	return strconv.Itoa(i + 1)
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
