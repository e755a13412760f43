package sources

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/siglake/siglake/schema"
)

// inferColumns recognises the columns of a list without a header.
func (l *draft) inferColumns(rows [][]string, o Options) error {
	wanted := o.Object
	if l.width <= 1 {
		return l.inferOneColumn(rows, o)
	}
	for i := range l.width {
		f, ok := kindFields[l.contents[i].kind()]
		if !ok || !l.isBest(i) {
			continue
		}
		if l.has(f) {
			return l.sameColumns(rows, f, i)
		}
		l.columns[f], l.reasons[f] = i, ReasonContent
	}
	l.object = wanted
	if wanted == "" {
		l.object = schema.Company
		if l.has(fieldEmail) || l.has(fieldLinkedIn) {
			l.object = schema.Contact
		}
		if l.has(fieldEmail) && !l.has(fieldLinkedIn) {
			var err error
			if l.object, err = (&roleColumns{l, noRoles()}).objectOfEmails(l.columns[fieldEmail]); err != nil {
				return err
			}
		}
	}
	(&roleColumns{l, noRoles()}).assignFields() // decides which field a domain is
	if !l.canIdentify(l.object) {
		return l.unknownColumns(rows, o)
	}
	l.notes = append(l.notes, "no header: the columns were recognised by their content")
	return nil
}

// inferOneColumn recognises the content of a one-column list by majority. Names need two thirds,
// because a name may look like anything, and a domain that is requested as a name finds the wrong
// company.
func (l *draft) inferOneColumn(rows [][]string, o Options) error {
	wanted := o.Object
	var count [numKinds]int
	total := 0
	for _, row := range rows {
		if k := kindOf(row[0]); k != kindEmpty && !isComment(row[0]) {
			count[k]++
			total++
		}
	}
	if n := count[kindDigits]; 2*n > total || n > 0 && n == total-1 && kindOf(rows[0][0]) == kindText {
		return unnamedNumbers(rows, l.line)
	}
	if what := areOtherIDs(rows, 0); what != "" {
		return noNames(what, l.line)
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
			if first := rows[0][0]; o.Header != HeaderNo && n > 1 && headerWords.names(wordHeading, headerTokens(first)) && !hasLegalForm(first) {
				return &Error{Line: l.line, Problem: fmt.Sprintf("%q may be a header, or a name", truncate(first)), Fix: "add --header=yes --map name=1 if it is a header, or --header=no if it is a name"}
			}
		case kindToken:
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
			if c := &l.contents[0]; wanted == "" && c.areOffices() {
				l.otherObject = schema.Company
				l.notes = append(l.notes, "the addresses are those of offices, such as info@acme.com: the lines are read as contacts; --object=company reads them as companies, by their domains")
			}
		case kindPerson:
			object, f = schema.Contact, fieldLinkedIn
		}
	}
	l.object = cmp.Or(wanted, object)
	if f == numFields {
		return &Error{Line: l.line, Problem: "no header, and the lines hold different kinds of identifiers", Expected: "domains, names, e-mail addresses, LinkedIn profiles or Lusha ids, one kind only",
			Fix: "add a header line, or name the column: --map domain=1"}
	}
	l.columns[f], l.reasons[f] = 0, ReasonContent
	l.notes = append(l.notes, fmt.Sprintf("no header: the only column was recognised as %s by its content", fieldNames[f]))
	return nil
}

// sameColumns is the error about a list without a header whose column i holds the same field as an earlier one. A single
// line of nothing else is a list that was written side by side.
func (l *draft) sameColumns(rows [][]string, f field, i int) error {
	first := l.columns[f]
	e := &Error{Line: l.line, Problem: fmt.Sprintf("no header, and columns %d and %d both look like %s", first+1, i+1, fieldNames[f]),
		Expected: "a header, or --map with column numbers", Fix: fmt.Sprintf("add --map %s=%d or --map %s=%d", fieldNames[f], first+1, fieldNames[f], i+1)}
	k := l.contents[i].kind()
	same := func(c content) bool { return c.filled == 0 || c.kind() == k }
	if len(rows) == 1 && !slices.ContainsFunc(l.contents, func(c content) bool { return !same(c) }) {
		e.Problem = fmt.Sprintf("the line holds several %s", kindNames[k])
		e.Expected, e.Fix = "one a line", "write each on a line of its own"
	}
	return e
}

// hasLegalForm reports whether a name ends with the legal form of a company.
func hasLegalForm(name string) bool {
	words := strings.Fields(name)
	return len(words) > 1 && legalForms[squash(foldLetters(words[len(words)-1]))]
}

// unknownColumns is the error about a list without a known header of which no column is recognised. Its first line may be a
// header in another language.
func (l *draft) unknownColumns(rows [][]string, o Options) error {
	e := &Error{Line: l.line, Problem: "no header, and no column is recognised by its content", Expected: "a header, or --map with column numbers", Fix: l.mapAdvice()}
	if o.Header == HeaderNo || slices.ContainsFunc(rows[0], func(c string) bool { k := kindOf(c); return k != kindText && k != kindEmpty }) {
		return e
	}
	var cells []string
	for i, c := range rows[0] {
		cells = append(cells, fmt.Sprintf("%d %q", i+1, truncate(c)))
	}
	e.Problem = fmt.Sprintf("no column is recognised by its content, or by its header, if the first line is one: %s", strings.Join(cells[:min(30, len(cells))], ", "))
	if !strings.Contains(e.Fix, "N") {
		e.Fix += " --map name=N"
	}
	e.Fix = strings.Replace(e.Fix, "add ", "add --header=yes, if the first line is a header, and ", 1)
	return e
}

// noNames is the error about a list of ids of others, such as telephone numbers.
func noNames(what string, line int64) error {
	return &Error{Line: line, Problem: fmt.Sprintf("at least half of the lines are no names: such a line is %s", what),
		Expected: "domains, names, e-mail addresses, LinkedIn profiles or Lusha ids", Fix: "replace them by domains or names"}
}

// unnamedNumbers is the error about a list of numbers that no header and no option says to be Lusha ids: they may be
// anything, such as postcodes, years or telephone numbers.
func unnamedNumbers(rows [][]string, line int64) error {
	e := &Error{Line: line, Problem: "the lines are numbers, and nothing says what they number",
		Expected: "domains, names, e-mail addresses or LinkedIn profiles, or a header such as Lusha ID", Fix: "add --map id=1 if these are Lusha ids", foreign: true, numbers: true}
	if first := rows[0][0]; kindOf(first) == kindText {
		e.Problem = fmt.Sprintf("the lines are numbers, and %q does not say that they are Lusha ids", truncate(first))
		e.Fix = "add --header=yes --map id=1 if these are Lusha ids"
	}
	return e
}

// isComment reports whether a line of a plain list is a comment.
func isComment(cell string) bool { return strings.HasPrefix(strings.TrimSpace(cell), "#") }
