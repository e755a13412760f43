package sources

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/siglake/siglake/schema"
)

// maxBreaks is how many line breaks an identifier may have. A name broken over
// two lines exists; one over five is a quote that was closed too late.
const maxBreaks = 3

// account turns one record into an account, or into the reason why not.
func (l *layout) account(rec *record) schema.Account {
	a := schema.Account{Line: rec.line, Object: l.object}
	if f := rec.fault; f != nil {
		a.Reject = &schema.Reject{Column: columnName(l.header, f.column), Value: f.value, Reason: f.reason}
		return a
	}
	r := row{layout: l, cells: rec.cells, account: &a}
	a.Key = r.cell(fieldKey)
	if a.Reject = r.unfit(rec); a.Reject == nil {
		if l.object == schema.Contact {
			r.contact()
		} else {
			r.company()
		}
		r.settle()
	}
	if a.Key == "" {
		a.Key = r.writtenKey()
	}
	return a
}

// row is one record on its way to becoming an account.
type row struct {
	*layout
	cells   [][]byte
	account *schema.Account
	aside   []finding // identifiers that are no good, best first
}

type finding struct {
	column, value string
	err           error
}

// cell gives the text of a field's column; short rows read as if padded.
func (r *row) cell(f field) string {
	i := r.columns[f]
	if i < 0 || i >= len(r.cells) {
		return ""
	}
	return string(trim(r.cells[i]))
}

// unfit finds what is wrong with the record as a whole.
func (r *row) unfit(rec *record) *schema.Reject {
	filled := false
	for i, c := range r.cells {
		if len(trim(c)) == 0 {
			continue
		}
		filled = true
		if i >= r.width {
			return &schema.Reject{Column: columnName(r.header, i+1), Value: shorten(c),
				Reason: fmt.Sprintf("the record has %d columns; expected %d: a cell with a delimiter in it needs quotes", len(r.cells), r.width)}
		}
	}
	if !filled {
		return &schema.Reject{Reason: "empty record: no cell is filled"}
	}
	if r.header == nil && r.width <= 1 && isComment(string(r.cells[0])) {
		return &schema.Reject{Value: shorten(r.cells[0]), Reason: "a comment, not an account"}
	}
	if r.repeatsHeader() {
		return &schema.Reject{Reason: "repeats the header: was the list pasted together?"}
	}
	if rec.last > rec.line {
		for f, i := range r.columns {
			if i >= 0 && i < len(r.cells) && countLines(r.cells[i]) > maxBreaks {
				return &schema.Reject{Column: columnName(r.header, i+1), Value: shorten(firstLine(r.cells[i])),
					Reason: fmt.Sprintf("the %s is part of a record from line %d to line %d: is a quote missing?", fieldNames[f], rec.line, rec.last)}
			}
		}
	}
	return nil
}

// repeatsHeader tells whether the record is the header again.
func (r *row) repeatsHeader() bool {
	if r.header == nil || len(r.cells) < r.width {
		return false
	}
	for i := range r.width {
		if c := trim(r.cells[i]); !strings.EqualFold(string(c), r.header[i]) {
			return false
		}
	}
	return true
}

// swallowed tells whether a record over several lines is in truth several, held
// together by a quote that was closed too late: the inner lines of one of its
// cells have as many delimiters as a record, and a domain, an address or a
// profile in the column where the list has them.
func (l *layout) swallowed(rec *record) *fault {
	if l.delimiter == 0 || l.width < 2 {
		return nil
	}
	for i, c := range rec.cells {
		lines := bytes.FieldsFunc(c, func(r rune) bool { return r == '\n' || r == '\r' })
		if len(lines) < 3 {
			continue
		}
		alike := 0
		for _, line := range lines[1 : len(lines)-1] {
			if l.looksLikeRecord(line) {
				alike++
			}
		}
		if alike == len(lines)-2 {
			return &fault{column: i + 1, value: shorten(firstLine(c)),
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
			if _, ok := kindFields[kindOf(tidy(string(cells[i])))]; ok {
				return true
			}
		}
	}
	return false
}

func (r *row) company() {
	a := r.account
	a.ID = r.use(fieldID, ID)
	a.Domain = r.use(fieldDomain, Domain)
	a.Name = r.use(fieldName, Name)
}

func (r *row) contact() {
	a := r.account
	a.ID = r.use(fieldID, ID)
	a.LinkedIn = r.use(fieldLinkedIn, LinkedIn)
	a.Email = r.use(fieldEmail, Email)
	if a.Name = r.use(fieldName, FullName); a.Name == "" {
		first, last := r.cell(fieldFirstName), r.cell(fieldLastName)
		switch {
		case isPlaceholder(first) && isPlaceholder(last):
		case isPlaceholder(first), isPlaceholder(last):
			r.aside = append(r.aside, finding{r.nameColumn(), first + last, errors.New("a contact needs a first and a last name")})
		default:
			a.Name = r.normal(r.nameColumn(), first+" "+last, FullName)
		}
	}
	a.CompanyDomain = r.use(fieldCompanyDomain, Domain)
	a.CompanyName = r.use(fieldCompanyName, Name)
}

// nameColumn is the column to blame for a name made of two cells.
func (r *row) nameColumn() string {
	for _, f := range []field{fieldFirstName, fieldLastName} {
		if i := r.columns[f]; i >= 0 && r.cell(f) != "" {
			return columnName(r.header, i+1)
		}
	}
	return fieldNames[fieldName]
}

// use normalises the cell of a field. An identifier that is no good is set
// aside: whether that matters is known when all of them were looked at.
func (r *row) use(f field, normalise func(string) (value, note string, err error)) string {
	s := r.cell(f)
	if s == "" {
		return ""
	}
	return r.normal(columnName(r.header, r.columns[f]+1), s, normalise)
}

func (r *row) normal(column, s string, normalise func(string) (value, note string, err error)) string {
	if isPlaceholder(s) {
		return ""
	}
	value, note, err := normalise(s)
	if err != nil {
		r.aside = append(r.aside, finding{column, s, err})
		return ""
	}
	if note != "" {
		r.note("%s: %s", column, note)
	}
	return value
}

// settle rejects the account if nothing it has can be asked about, and notes the
// identifiers that were set aside.
func (r *row) settle() {
	a := r.account
	aside := r.aside
	if a.Identifier() == "" {
		a.Reject = r.unidentified()
		if len(aside) > 0 {
			a.Reject = &schema.Reject{Column: aside[0].column, Value: shorten(aside[0].value), Reason: aside[0].err.Error()}
			aside = aside[1:]
		}
		a.ID, a.Domain, a.Name, a.LinkedIn, a.Email, a.CompanyName, a.CompanyDomain = "", "", "", "", "", "", ""
	}
	for _, f := range aside {
		r.note("%s %q set aside: %v", f.column, shorten(f.value), f.err)
	}
}

// unidentified says what the record lacks.
func (r *row) unidentified() *schema.Reject {
	if r.account.Name != "" {
		return &schema.Reject{Column: r.nameOrigin(), Value: shorten(r.account.Name),
			Reason: "a name alone does not identify a contact; expected the employer's name or domain beside it"}
	}
	var empty []string
	for f := fieldID; f <= fieldEmail; f++ {
		if r.has(f) {
			empty = append(empty, columnName(r.header, r.columns[f]+1))
		}
	}
	return &schema.Reject{Reason: fmt.Sprintf("no %s identifier: nothing usable in %s", r.object, strings.Join(empty, ", "))}
}

func (r *row) nameOrigin() string {
	if r.cell(fieldName) != "" {
		return columnName(r.header, r.columns[fieldName]+1)
	}
	return r.nameColumn()
}

func (r *row) note(format string, args ...any) {
	r.account.Notes = append(r.account.Notes, fmt.Sprintf(format, args...))
}

// writtenKey is the account_key of a record whose owner gave none: the
// identifier it is asked by, as written. A name is not unique to a person, so
// the employer is put after it.
func (r *row) writtenKey() string {
	person := func() string {
		name := r.cell(fieldName)
		if name == "" {
			name = strings.TrimSpace(r.cell(fieldFirstName) + " " + r.cell(fieldLastName))
		}
		employer := r.cell(fieldCompanyDomain)
		if employer == "" || r.account.Reject == nil && r.account.CompanyDomain == "" {
			employer = r.cell(fieldCompanyName)
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
		return r.cell(fieldID)
	case schema.ByLinkedIn:
		return r.cell(fieldLinkedIn)
	case schema.ByEmail:
		return r.cell(fieldEmail)
	case schema.ByDomain:
		return r.cell(fieldDomain)
	case schema.ByName:
		return person()
	}
	for _, f := range []field{fieldID, fieldLinkedIn, fieldEmail, fieldDomain} {
		if s := r.cell(f); s != "" {
			return s
		}
	}
	return person()
}

// trim drops white space and invisible characters around a cell.
func trim(c []byte) []byte {
	for len(c) > 0 && c[0] == ' ' {
		c = c[1:]
	}
	if n := len(c); n > 0 && c[0] > ' ' && c[0] < 0x7f && c[n-1] > ' ' && c[n-1] < 0x7f {
		return c
	}
	return bytes.TrimFunc(c, func(r rune) bool { return unicode.IsSpace(r) || isInvisible(r) })
}
