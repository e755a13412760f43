package sources

import (
	"fmt"
	"maps"
	"slices"
	"strings"

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

// layout says how the records of a list are read.
type layout struct {
	tableColumns
	fieldColumns
	object schema.Object
	// The object as which the lines can be read as well; empty: the columns or the options decide.
	otherObject schema.Object
	notes       []string
	described   []Column
	clashes     *Clashes
	kept        []keptColumn // in the order of the list
	keptNames   []string     // likewise
	isSheet     bool         // records end with their last filled cell
}

// draft is a layout while it is decided.
type draft struct {
	layout
	// Further columns by role, best first.
	further [numRoles][]int
	// Columns whose content is no value of the role that their header names, and what it is.
	contradicted map[int]string
	unused       map[int]unusedColumn
	emailDomain  bool       // the domains are those of e-mail addresses
	rows         [][]string // of the sample, below the header
}

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

// newLayout decides on header, object and columns by the first records.
func newLayout(d csvDialect, o Options) (layout, error) {
	if d.mark != nil {
		o.Header = HeaderYes
	}
	l, rows := newDraft(d, hasHeader(d.sample, o))
	if err := l.applyMap(o.Map); err != nil {
		return l.layout, err
	}
	if err := l.chooseKept(o); err != nil {
		return l.layout, err
	}
	var err error
	if d.mark == nil || !l.readMark(d.mark, o) {
		err = l.decideColumns(rows, o)
	}
	l.describeColumns()
	if err != nil {
		return l.layout, err
	}
	return l.layout, l.validateColumns(rows, o.ObjectBySignals)
}

// newDraft knows the columns of a list, and nothing about what they mean. rows are the records below the header.
func newDraft(d csvDialect, isHeader bool) (l *draft, rows [][]string) {
	l = &draft{unused: map[int]unusedColumn{}, contradicted: map[int]string{}}
	l.delimiter, l.line = d.delimiter, d.line
	for f := range l.columns {
		l.columns[f] = -1
	}
	rows = d.sample
	var first []string
	if len(rows) > 0 {
		first = rows[0]
	}
	l.width, _, _ = columnStats(rows)
	if isHeader {
		l.header, rows = first, rows[1:]
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
	l.rows = rows
	return l, rows
}

// decideColumns decides on the object and on the columns of its fields.
func (l *draft) decideColumns(rows [][]string, o Options) (err error) {
	roles := l.bestColumns()
	roles.resolveNames(rows)
	l.object = o.Object
	if l.object == "" && !o.objects.apply(l) {
		if l.object, err = roles.decideObject(o.Map); err != nil {
			return err
		}
		o.objects.remember(l)
	}
	if o.ObjectBySignals && o.Object == schema.Company && l.header != nil && !decidedByMap(o.Map) {
		if err := roles.checkPeople(); err != nil {
			return err
		}
	}
	roles.dropAddresses()
	roles.assignFields()
	switch {
	case l.header != nil:
		err = l.chooseColumns(o)
	case len(o.Map) == 0:
		err = l.inferColumns(rows, o)
	case o.Header == HeaderNo:
		l.notes = append(l.notes, "no header: the first line is read as an account")
	default:
		l.notes = append(l.notes, "no header: the first line is read as an account; --header=yes if it names the columns")
	}
	l.noteColumns()
	return err
}

// hasHeader decides whether the first record is a header.
func hasHeader(records [][]string, o Options) bool {
	switch {
	case o.Header == HeaderYes:
		return true
	case o.Header == HeaderNo || len(records) == 0:
		return false
	case len(records[0]) == 1 && isComment(records[0][0]) && len(o.Map) == 0:
		return false
	case len(headerRoles(records[0])) > 0:
		return true
	}
	for _, column := range slices.Concat(slices.Collect(maps.Values(o.Map)), o.Keep) {
		if column == KeepAll {
			continue
		}
		if findColumn(records[0], column) >= 0 {
			return true
		}
		if !isNumber(column) {
			// --map or --keep names a header, so there must be one; a missing name is reported later.
			return true
		}
	}
	// A first record of plain words above a column of domains, addresses or profiles is a header in
	// an unknown language.
	for _, cell := range records[0] {
		if k := kindOf(cell); k != kindEmpty && k != kindText {
			return false
		}
	}
	for i := range records[0] {
		c := readContent(records[1:], i)
		if _, ok := kindFields[c.kind()]; ok {
			return true
		}
	}
	return false
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
func (l *draft) applyMap(m map[string]string) error {
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

// validateColumns checks that the columns suffice to request the accounts, of an object that may follow from the signals.
func (l *draft) validateColumns(rows [][]string, bySignals bool) error {
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
	other := map[schema.Object]schema.Object{schema.Contact: schema.Company, schema.Company: schema.Contact}[l.object]
	if list := *l; bySignals && list.fitsObject(other) {
		e.Problem = fmt.Sprintf("the requested signals are about a %s each, and the columns identify a %s; the columns are %s%s", l.object, other, l.columnList(), pages)
		e.Fix += fmt.Sprintf(", or choose signals about a %s with --signals; siglake signals lists them", other)
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
func (l *draft) fitsObject(o schema.Object) bool {
	for f := range l.columns {
		l.columns[f] = -1
	}
	l.object, l.notes = o, nil
	l.unused, l.contradicted, l.further = map[int]unusedColumn{}, map[int]string{}, [numRoles][]int{}
	l.bestColumns().assignFields()
	return l.canIdentify(o)
}

// mapAdvice is the --map option that the content of the columns suggests.
func (l *draft) mapAdvice() string {
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
