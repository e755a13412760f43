package sources

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/siglake/siglake/schema"
)

// maxLineBreaks is the maximum number of line breaks in an identifier. A name broken over two lines
// exists; a name broken over five is a quote that was closed too late.
const maxLineBreaks = 3

// parseAccount turns a record into an account, or into the reason why it is not one.
func (l *layout) parseAccount(rec *record) schema.Account {
	a := schema.Account{Line: rec.line, Object: l.object}
	if f := rec.fault; f != nil {
		a.Reject = &schema.Reject{Column: columnName(l.header, f.column), Value: f.value, Reason: f.reason}
		return a
	}
	a.Kept = l.keptCells(rec.cells)
	r := rowParser{layout: l, cells: rec.cells, account: &a}
	if l.clashes != nil && !l.clashes.found {
		r.searchClash(rec)
		return a
	}
	a.Key = r.cellText(fieldKey)
	if isMangled(a.Key) {
		r.addNote("%s %q: a spreadsheet turned the key into a number, and digits may be lost", columnName(r.header, r.columns[fieldKey]+1), a.Key)
	}
	if a.Reject = r.checkRecord(rec); a.Reject == nil {
		if l.object == schema.Contact {
			r.readContact()
		} else {
			r.readCompany()
		}
		if a.Identifier() == schema.ByName {
			if a.Reject = r.notAccount(); a.Reject != nil {
				r.rejected = nil
			}
		}
		r.finishAccount()
	}
	if a.Key == "" {
		a.Key = r.defaultKey()
	}
	return a
}

// rowParser parses one record into an account.
type rowParser struct {
	*layout
	cells    [][]byte
	account  *schema.Account
	texts    [numFields]cellOf // see cellText
	rejected []badIdentifier   // invalid identifiers, most reliable first
	cut      bool              // see ownDomain
}

// cellOf is the text of a field's column.
type cellOf struct {
	text    string
	column  int // that it is read from
	read    bool
	decoded bool // HTML entities in it were
	// HTML tags were removed.
	stripped bool
}

type badIdentifier struct {
	column, value string
	err           error
}

// cellText is the text of a field's column. Records with too few cells read as if padded with empty
// ones.
func (r *rowParser) cellText(f field) string {
	if c := &r.texts[f]; !c.read {
		*c = r.readText(f)
	}
	return r.texts[f].text
}

// readText reads the field's column, or the first of its alternatives that is filled if its own is empty.
func (r *rowParser) readText(f field) cellOf {
	own := r.columns[f]
	if len(r.alternatives[f]) > 0 && !r.isFilled(own) {
		for _, i := range r.alternatives[f] {
			if r.isFilled(i) {
				return r.readCell(f, i)
			}
		}
	}
	return r.readCell(f, own)
}

// readCell reads the cell of column i for a field.
func (r *rowParser) readCell(f field, i int) cellOf {
	if i < 0 || i >= len(r.cells) {
		return cellOf{column: i, read: true}
	}
	text := string(trimCell(r.cells[i]))
	if f != fieldEmail || !strings.HasPrefix(text, "[") { // else mailAddresses reads the link
		text = plainText(text, f == fieldDomain || f == fieldCompanyDomain || f == fieldLinkedIn || f == fieldEmail)
	}
	if f == fieldKey {
		return cellOf{text: text, column: i, read: true}
	}
	decoded := decodeEntities(text)
	c := cellOf{text: decoded, column: i, read: true, decoded: len(decoded) != len(text)}
	if bare := stripTags(decoded); len(bare) != len(decoded) {
		c.text, c.stripped = bare, true
	}
	return c
}

// columnOf is the column that a field is read from: its own, or one of its alternatives.
func (r *rowParser) columnOf(f field) int {
	r.cellText(f)
	return r.texts[f].column
}

func (r *rowParser) isFilled(i int) bool {
	if i < 0 || i >= len(r.cells) {
		return false
	}
	text := string(trimCell(r.cells[i]))
	return text != "0" && !isPlaceholder(text)
}

// checkRecord finds what is wrong with the record as a whole.
func (r *rowParser) checkRecord(rec *record) *schema.Reject {
	filled := false
	for i, c := range r.cells {
		if len(trimCell(c)) == 0 {
			continue
		}
		filled = true
		if i >= r.width {
			return &schema.Reject{Column: columnName(r.header, i+1), Value: truncate(c),
				Reason: fmt.Sprintf("the record has %d columns; expected %d: a cell with a delimiter in it needs quotes", len(r.cells), r.width)}
		}
	}
	if !filled {
		return &schema.Reject{Reason: "empty record: no cell is filled"}
	}
	if r.header == nil && r.width <= 1 && isComment(string(r.cells[0])) {
		return &schema.Reject{Value: truncate(r.cells[0]), Reason: "a comment, not an account"}
	}
	if r.isWholeLine() {
		return &schema.Reject{Column: columnName(r.header, 1), Value: truncate(r.cells[0]),
			Reason: fmt.Sprintf("the record is one cell that seems to hold all of its %d columns: quotes belong around single cells, and one delimiter between them", r.width)}
	}
	if r.repeatsHeader() {
		return &schema.Reject{Reason: "repeats the header: was the list pasted together?"}
	}
	if rec.last > rec.line {
		for f, i := range r.columns {
			if i >= 0 && i < len(r.cells) && countLines(r.cells[i]) > maxLineBreaks {
				return &schema.Reject{Column: columnName(r.header, i+1), Value: truncate(firstLine(r.cells[i])),
					Reason: fmt.Sprintf("the %s is part of a record from line %d to line %d: is a quote missing?", fieldNames[f], rec.line, rec.last)}
			}
		}
	}
	return nil
}

// isWholeLine reports whether the only filled cell of a record holds as many cells as the list has columns: the line is quoted
// as a whole, or has another delimiter. "Acme, Inc." is a name, and may stand alone; where the other cells are empty, one of the
// parts must be an identifier.
func (r *rowParser) isWholeLine() bool {
	alone := len(r.cells) == 1 && !r.isSheet
	if r.width < 2 || !alone && r.columns[fieldName] != 0 || slices.ContainsFunc(r.cells[1:], func(c []byte) bool { return len(trimCell(c)) > 0 }) {
		return false
	}
	cell := string(trimCell(r.cells[0]))
	for _, c := range []byte(delimiters) {
		parts := strings.Split(cell, string(rune(c)))
		if len(parts) != r.width {
			continue
		}
		identifiers := 0
		for _, part := range parts {
			if isIdentifier(strings.TrimSpace(part)) {
				identifiers++
			}
		}
		if identifiers > 0 && identifiers < len(parts) || identifiers == 0 && c == r.delimiter && alone && !strings.Contains(cell, string(rune(c))+" ") {
			return true
		}
	}
	return false
}

// repeatsHeader reports whether the record is a copy of the header.
func (r *rowParser) repeatsHeader() bool {
	if r.header == nil || len(r.cells) < r.width {
		return false
	}
	for i := range r.width {
		if c := string(trimCell(r.cells[i])); !strings.EqualFold(plainText(c, true), r.header[i]) {
			return false
		}
	}
	return true
}

// unclosedQuote reports whether a record that spans several lines consists of several records,
// joined by a quote that was closed too late: the inner lines of one of its cells have as many
// delimiters as a record, and a domain, an e-mail address or a profile in the column where the list
// has them.
func (l *layout) unclosedQuote(rec *record) *fault {
	if l.delimiter == 0 || l.width < 2 {
		return nil
	}
	for i, c := range rec.cells {
		lines := bytes.FieldsFunc(c, func(r rune) bool { return r == '\n' || r == '\r' })
		if len(lines) < 3 {
			continue
		}
		similar := 0
		for _, line := range lines[1 : len(lines)-1] {
			if l.looksLikeRecord(line) {
				similar++
			}
		}
		if similar == len(lines)-2 {
			return &fault{column: i + 1, value: truncate(firstLine(c)),
				reason: fmt.Sprintf("the cell is quoted over lines that are records themselves, up to line %d: a quote is missing on line %d; the lines after it are read one by one", rec.last, rec.line)}
		}
	}
	return nil
}

func (l *layout) looksLikeRecord(line []byte) bool {
	cells := bytes.Split(line, []byte{l.delimiter})
	if len(cells) != l.width {
		return false
	}
	for _, f := range []field{fieldDomain, fieldCompanyDomain, fieldEmail, fieldLinkedIn} {
		if i := l.columns[f]; i >= 0 && i < len(cells) {
			if _, ok := kindFields[kindOf(tidyText(string(cells[i])))]; ok {
				return true
			}
		}
	}
	return false
}

func (r *rowParser) readCompany() {
	a := r.account
	a.ID = r.readField(fieldID, ID)
	a.Domain = r.readDomain(fieldDomain, fieldName)
	a.Name = r.readField(fieldName, Name)
	if a.ID == "" {
		a.Domain = r.settleClash(fieldDomain, a.Domain, a.Name)
	}
}

// readDomain is readField for the domain of the company of a name.
func (r *rowParser) readDomain(f, name field) string {
	company := r.cellText(name)
	if isPlaceholder(company) || checkNoSite(company) != nil {
		company = ""
	}
	return r.readField(f, func(s string) (string, string, error) {
		d, err := companyDomain(s, company)
		if err != nil && company != "" {
			if _, _, unusable := Name(company); unusable != nil { // the line cannot fall back to it
				d, err = companyDomain(s, "")
			}
		}
		r.cut = d.cut
		return d.domain, d.note, err
	})
}

func (r *rowParser) readContact() {
	a := r.account
	a.ID = r.readField(fieldID, ID)
	a.LinkedIn = r.readField(fieldLinkedIn, LinkedIn)
	a.Email = r.readField(fieldEmail, Email)
	if a.Name = r.readField(fieldName, FullName); a.Name == "" {
		first, last := r.cellText(fieldFirstName), r.cellText(fieldLastName)
		switch {
		case isPlaceholder(first) && isPlaceholder(last):
		case isPlaceholder(first), isPlaceholder(last):
			r.rejected = append(r.rejected, badIdentifier{r.nameColumn(), strings.TrimSpace(first + " " + last), errors.New("a contact needs a first and a last name")})
		default:
			a.Name = r.normaliseText(r.nameColumn(), first+" "+last, FullName)
		}
	}
	a.CompanyDomain = r.readDomain(fieldCompanyDomain, fieldCompanyName)
	a.CompanyName = r.readField(fieldCompanyName, Name)
	r.preferFindable()
	if a.Identifier() == schema.ByName {
		a.CompanyDomain = r.settleClash(fieldCompanyDomain, a.CompanyDomain, a.CompanyName)
	}
}

// preferFindable sets LinkedIn's internal address of a person aside if the line has anything else to
// request by.
func (r *rowParser) preferFindable() {
	a := r.account
	other := *a
	if other.LinkedIn = ""; !isInternalProfile(a.LinkedIn) || other.Identifier() == "" {
		return
	}
	column := columnName(r.header, r.columnOf(fieldLinkedIn)+1)
	a.LinkedIn = ""
	a.Notes = slices.DeleteFunc(a.Notes, func(n string) bool { return strings.HasPrefix(n, column) && strings.HasSuffix(n, internalProfile) })
	r.rejected = append(r.rejected, badIdentifier{column, r.cellText(fieldLinkedIn), errors.New(internalProfile)})
}

// nameColumn is the column at fault for a name that consists of two cells.
func (r *rowParser) nameColumn() string {
	for _, f := range []field{fieldFirstName, fieldLastName} {
		if i := r.columns[f]; i >= 0 && r.cellText(f) != "" {
			return columnName(r.header, i+1)
		}
	}
	return fieldNames[fieldName]
}

// readField normalises the cell of a field, or the first usable one of its alternatives. It collects invalid
// identifiers: whether they matter depends on the other identifiers of the record.
func (r *rowParser) readField(f field, normalise func(string) (value, note string, err error)) string {
	valid := len(r.rejected)
	value := r.readValue(f, normalise)
	if len(r.rejected) == valid || len(r.alternatives[f]) == 0 {
		return value
	}
	first, notes := r.texts[f], len(r.account.Notes)
	further := r.alternatives[f][slices.Index(r.alternatives[f], first.column)+1:] // all if it is the field's own
	for _, i := range further {
		if !r.isFilled(i) {
			continue
		}
		r.texts[f] = r.readCell(f, i)
		if value := r.readValue(f, normalise); value != "" {
			bad := r.rejected[valid]
			r.rejected = r.rejected[:valid]
			r.addNote("%s is read, because %s %q is not usable: %v", r.names[i], bad.column, truncate(bad.value), bad.err)
			return value
		}
		r.account.Notes = r.account.Notes[:notes]
	}
	r.texts[f] = first
	return ""
}

// readValue normalises the cell that was read for a field.
func (r *rowParser) readValue(f field, normalise func(string) (value, note string, err error)) string {
	s := r.cellText(f)
	if s == "" {
		return ""
	}
	if s == "0" && f != fieldID { // a spreadsheet shows it for a reference to an empty cell
		return ""
	}
	i := r.columnOf(f)
	column := r.names[i]
	if own := r.columns[f]; i != own && !r.isFilled(own) {
		r.addNote("%s is read, because %s is empty", column, r.names[own])
	}
	if r.texts[f].decoded {
		r.addNote("%s: HTML entities are decoded", column)
	}
	if r.texts[f].stripped {
		r.addNote("%s: HTML tags are removed", column)
	}
	return r.normaliseText(column, s, normalise)
}

func (r *rowParser) normaliseText(column, s string, normalise func(string) (value, note string, err error)) string {
	if isPlaceholder(s) {
		return ""
	}
	value, note, err := normalise(s)
	if isOtherFormula(s) {
		err = errFormula
	}
	if err != nil {
		r.rejected = append(r.rejected, badIdentifier{column, s, err})
		return ""
	}
	if note != "" {
		r.account.Notes = append(r.account.Notes, column+": "+note)
	}
	return value
}

// finishAccount rejects the account if none of its identifiers can be requested, and otherwise
// notes the invalid ones.
func (r *rowParser) finishAccount() {
	a := r.account
	rejected := r.rejected
	apart := slices.IndexFunc(rejected, func(b badIdentifier) bool { return errors.Is(b.err, errSetApart) })
	if a.Reject == nil && apart >= 0 {
		a.Reject = &schema.Reject{Column: rejected[apart].column, Value: truncate(rejected[apart].value), Reason: errSetApart.Error()}
		rejected = slices.Delete(rejected, apart, apart+1)
	}
	if a.Reject == nil && a.Identifier() == "" {
		a.Reject = r.missingIdentifier()
		if len(rejected) > 0 {
			a.Reject = &schema.Reject{Column: rejected[0].column, Value: truncate(rejected[0].value), Reason: rejected[0].err.Error()}
			rejected = rejected[1:]
		}
	}
	if a.Reject != nil {
		a.ID, a.Domain, a.Name, a.LinkedIn, a.Email, a.CompanyName, a.CompanyDomain = "", "", "", "", "", "", ""
	}
	for _, f := range rejected {
		r.addNote("%s %q set aside: %v", f.column, truncate(f.value), f.err)
	}
}

// missingIdentifier is the reject of a record without a usable identifier.
func (r *rowParser) missingIdentifier() *schema.Reject {
	if r.account.Name != "" {
		return &schema.Reject{Column: r.nameSource(), Value: truncate(r.account.Name),
			Reason: "a name alone does not identify a contact; expected the employer's name or domain as well"}
	}
	var empty []string
	for f := fieldID; f <= fieldEmail; f++ {
		if r.has(f) {
			empty = append(empty, columnName(r.header, r.columns[f]+1))
		}
	}
	return &schema.Reject{Reason: fmt.Sprintf("no %s identifier: nothing usable in %s", r.object, strings.Join(empty, ", "))}
}

func (r *rowParser) nameSource() string {
	if r.cellText(fieldName) != "" {
		return columnName(r.header, r.columns[fieldName]+1)
	}
	return r.nameColumn()
}

func (r *rowParser) addNote(format string, args ...any) {
	r.account.Notes = append(r.account.Notes, fmt.Sprintf(format, args...))
}

// defaultKey is the account_key of a record without a key of its own: the identifier that is
// requested, as written. A person's name is not unique, so it is followed by the employer.
func (r *rowParser) defaultKey() string {
	person := func() string {
		name := r.cellText(fieldName)
		if name == "" {
			name = strings.TrimSpace(r.cellText(fieldFirstName) + " " + r.cellText(fieldLastName))
		}
		employer := r.cellText(fieldCompanyDomain)
		if employer == "" || r.account.Reject == nil && r.account.CompanyDomain == "" {
			employer = r.cellText(fieldCompanyName)
		}
		if r.object == schema.Company || employer == "" {
			return name
		}
		if name == "" {
			return employer
		}
		return name + ", " + employer
	}
	switch r.account.Identifier() {
	case schema.ByID:
		return r.cellText(fieldID)
	case schema.ByLinkedIn:
		return r.cellText(fieldLinkedIn)
	case schema.ByEmail:
		return r.cellText(fieldEmail)
	case schema.ByDomain:
		return r.cellText(fieldDomain)
	case schema.ByName:
		return person()
	}
	for _, f := range []field{fieldID, fieldLinkedIn, fieldEmail, fieldDomain} {
		if s := r.cellText(f); s != "" {
			return s
		}
	}
	return person()
}

// trimCell removes white space and invisible characters around a cell.
func trimCell(c []byte) []byte {
	for len(c) > 0 && c[0] == ' ' {
		c = c[1:]
	}
	if n := len(c); n > 0 && c[0] > ' ' && c[0] < 0x7f && c[n-1] > ' ' && c[n-1] < 0x7f {
		return c
	}
	return bytes.TrimFunc(c, func(r rune) bool { return unicode.IsSpace(r) || isInvisible(r) })
}
