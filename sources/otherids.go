package sources

import (
	"regexp"
	"strings"
	"unicode"
)

// idForms are the forms of numbers and ids that are no names, most specific first.
var idForms = []struct {
	form *regexp.Regexp
	what string
}{
	{regexp.MustCompile(`^[({]?[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}[)}]?$`), "a GUID"},
	{regexp.MustCompile(`^(?:[0-9a-fA-F]{24}|[0-9a-fA-F]{32}|[0-9a-fA-F]{40}|[0-9a-fA-F]{64})$`), "an id of a program"},
	{regexp.MustCompile(`^(?:00[0-9A-Za-z]|a[0-9][0-9A-Za-z])[0-9A-Za-z]{12}(?:[0-9A-Za-z]{3})?$`), "an id of Salesforce"},
	{regexp.MustCompile(`^[A-Z]{2,3}[ -]?[A-Z]?\d[\d. -]{5,13}(?:[A-Z]|B\d\d| ?(?:MWST|TVA|IVA))?$`), "a VAT id or another number"},
	{regexp.MustCompile(`^[A-Z0-9]{8,34}$`), "a number with letters, such as a VAT id or an ISIN"},
	{regexp.MustCompile(`^(?i:(?:tel|telefon|telephone|phone|mobile?|handy|cell|fax|fon|[tmpf])[.:]* ?)?[+(]?\d[\d ()/.\-–]*(?: ?(?i:ext|x|#|dw)\.? ?\d+)?$`), "a telephone number or another number"},
}

// maxOtherID is the length of the longest of idForms, in bytes.
const maxOtherID = 64

// minIDDigits is the number of digits from which a text of one of idForms is none that a company has as its name.
const minIDDigits = 6

// otherID says which number or id of another register or program a text is; empty: none.
func otherID(name string) string {
	digits := 0
	for i := range len(name) {
		if name[i]-'0' < 10 {
			digits++
		}
	}
	switch {
	case digits < minIDDigits && (len(name) < 15 || digits < 3):
		return ""
	case len(name) > maxOtherID:
		return ""
	case bareNumber.MatchString(name):
		return "a date or a number"
	}
	for _, id := range idForms {
		if id.form.MatchString(name) && (digits >= minIDDigits || id.what == "an id of Salesforce" && isMixed(name) || id.what == "a GUID") {
			return id.what
		}
	}
	return ""
}

// isMixed reports whether a text has capitals and small letters.
func isMixed(s string) bool {
	return strings.ContainsFunc(s, unicode.IsUpper) && strings.ContainsFunc(s, unicode.IsLower)
}

// areOtherIDs reports whether at least half of the names in a column are numbers or ids of other registers or programs, and
// which.
func areOtherIDs(rows [][]string, i int) string {
	found, names, ids := "", 0, 0
	for _, row := range rows {
		if i >= len(row) || isPlaceholder(row[i]) || isComment(row[i]) {
			continue
		}
		names++
		if what := otherID(row[i]); what != "" {
			found = what
			ids++
		}
	}
	if ids == 0 || 2*ids < names {
		return ""
	}
	return found
}
