package sources

import (
	_ "embed"
	"errors"
	"fmt"
	"html"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/siglake/siglake/schema"
)

//go:embed nonaccounts.txt
var nonAccountText string

// maxPlaceholder is the maximum length of a cell that is compared with placeholders, in bytes.
const maxPlaceholder = 63

// nonAccounts are the texts of nonaccounts.txt: sets of folded texts, and beginnings of lines.
type nonAccounts struct {
	placeholders, abbreviations, errors, counted, verbs, totals, ends, offices map[string]bool

	notices [256][]string // folded, with a space between two words, by their first byte
	longest int           // of placeholders, in bytes as written
	// First bytes of placeholders with digits, and of the other ones, folded, by their length in bytes.
	digitFirst [256]bool
	first      [maxPlaceholder + 1][256]bool
	// Longest placeholder with a first byte, folded.
	longestFrom [256]int
}

var notAccounts = func() *nonAccounts {
	n, err := parseNonAccounts(nonAccountText)
	if err != nil {
		panic(err) // the tests read the same text
	}
	return n
}()

// parseNonAccounts reads sections of lines such as "de: keine, unbekannt".
func parseNonAccounts(text string) (*nonAccounts, error) {
	n := &nonAccounts{}
	sets := map[string]*map[string]bool{
		"[placeholder]": &n.placeholders, "[abbreviation]": &n.abbreviations, "[error]": &n.errors, "[counted]": &n.counted, "[count-verb]": &n.verbs, "[total]": &n.totals, "[end]": &n.ends, "[office]": &n.offices,
	}
	for _, set := range sets {
		*set = map[string]bool{}
	}
	var section string
	for i, line := range strings.Split(text, "\n") {
		switch language, list, ok := strings.Cut(line, ": "); {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			if section = line; sets[section] == nil && section != "[notice]" {
				return nil, fmt.Errorf("line %d: unknown section %s", i+1, section)
			}
		case !ok || section == "" || len(language) > 2:
			return nil, fmt.Errorf("line %d: expected LANGUAGE: TEXT, TEXT", i+1)
		default:
			for text := range strings.SplitSeq(list, ", ") {
				n.add(sets[section], section, strings.TrimSuffix(text, ","))
			}
		}
	}
	return n, nil
}

func (n *nonAccounts) add(set *map[string]bool, section, text string) {
	for _, spelling := range []string{text, umlauts.Replace(text)} {
		switch section {
		case "[notice]":
			folded := foldWords(spelling)
			if folded == "" { // a mark, such as ©: see yearOrMark
				continue
			}
			if list := &n.notices[folded[0]]; !slices.Contains(*list, folded) {
				*list = append(*list, folded)
			}
		case "[abbreviation]":
			(*set)[text] = true
		case "[placeholder]":
			n.longest = max(n.longest, len(text))
			if strings.ContainsAny(text, "0123456789") {
				(*set)[text] = true
				n.digitFirst[text[0]], n.digitFirst[strings.ToUpper(text)[0]] = true, true
				continue
			}
			folded := strings.ReplaceAll(foldWords(spelling), " ", "")
			(*set)[folded] = true
			n.first[len(folded)][folded[0]] = true
			n.longestFrom[folded[0]] = max(n.longestFrom[folded[0]], len(folded))
		default:
			(*set)[strings.ReplaceAll(foldWords(spelling), " ", "")] = true
		}
	}
}

// foldWords is a text in lower case, without accents and punctuation, with one space between words and
// numbers.
func foldWords(text string) string {
	var b strings.Builder
	gap := false
	last := runeOther
	for _, r := range text {
		class := runeClassOf(r)
		if class == runeOther {
			gap = b.Len() > 0
			last = class
			continue
		}
		if gap || (class == runeDigit) != (last == runeDigit) && last != runeOther {
			b.WriteByte(' ')
			gap = false
		}
		foldRune(&b, r)
		last = class
	}
	return b.String()
}

// isPlaceholder reports whether a cell is empty or stands for an empty one: a word for nothing in one
// of several languages, whatever stands around it, an error of a spreadsheet, or dashes, dots and
// question marks.
func isPlaceholder(s string) bool {
	if len(s) > min(notAccounts.longest+len("[[]] ."), maxPlaceholder) {
		return false
	}
	if s == "" || s == `\N` || s == `\n` || !isLetterOrDigit(s[0]) && strings.Trim(s, "-–—_.?* ") == "" {
		return true
	}
	if len(s) <= len("n. n.") && strings.ContainsAny(s, "./") && notAccounts.abbreviations[strings.ToLower(s)] {
		return true
	}
	letters, digits, ascii := 0, false, true
	for i := range len(s) {
		switch c := s[i]; {
		case c >= utf8.RuneSelf:
			ascii = false
		case '0' <= c && c <= '9':
			digits = true
		case 'a' <= c|0x20 && c|0x20 <= 'z':
			letters++
		}
	}
	switch {
	case digits:
		return notAccounts.digitFirst[s[0]] && notAccounts.placeholders[strings.ToLower(s)] || s[0] == '#' && notAccounts.isError(s)
	case ascii && letters == 0:
		return s[0] == '#' && notAccounts.isError(s)
	case s[0] == '#':
		return notAccounts.isError(s)
	case ascii:
		var room [maxPlaceholder]byte
		folded := room[:0]
		for i := range len(s) {
			if c := s[i] | 0x20; 'a' <= c && c <= 'z' {
				folded = append(folded, c)
			}
		}
		return notAccounts.first[len(folded)][folded[0]] && notAccounts.placeholders[string(folded)]
	case notAccounts.isLonger(s):
		return false
	}
	return notAccounts.placeholders[strings.ReplaceAll(foldWords(s), " ", "")]
}

// isLetterOrDigit reports whether c is an ASCII letter or digit.
func isLetterOrDigit(c byte) bool { return c-'0' < 10 || c|0x20-'a' < 26 }

func firstRune(s string) rune {
	r, _ := utf8.DecodeRuneInString(s)
	return r
}

// isLonger reports whether a text that begins with an ASCII letter has more of them than any placeholder that
// begins with it.
func (n *nonAccounts) isLonger(s string) bool {
	letters := 0
	for i := range len(s) {
		if isLetterOrDigit(s[i]) {
			letters++
		}
	}
	return isLetterOrDigit(s[0]) && letters > n.longestFrom[s[0]|0x20]
}

// anyError is an error in the language of any spreadsheet: #ЗНАЧ!, #DEĞER!
var anyError = regexp.MustCompile(`^#[¡¿]?[\p{Lu}\d/ .]+[!?]$`)

// isError reports whether a cell that begins with a number sign is an error of a spreadsheet.
func (n *nonAccounts) isError(s string) bool {
	if anyError.MatchString(s) || strings.HasPrefix(s, "#N/A ") { // the latter with what a data feed says about it
		return true
	}
	name := strings.TrimRight(strings.TrimLeft(s, "#¡"), "!?")
	if strings.Trim(s, "#") == "" { // a number that did not fit into its column
		return true
	}
	return n.errors[strings.ToLower(name)] || n.errors[strings.ReplaceAll(foldWords(name), " ", "")]
}

// entity is an HTML entity.
var entity = regexp.MustCompile(`&(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});`)

// decodeEntities decodes HTML entities, also those that were encoded twice.
func decodeEntities(s string) string {
	for range 2 {
		if strings.IndexByte(s, '&') < 0 || strings.IndexByte(s, ';') < 0 {
			break
		}
		s = entity.ReplaceAllStringFunc(s, html.UnescapeString)
	}
	return s
}

// notAccount says why a record that could only be requested by a name is no account: it repeats the
// header, it belongs to the frame of a report, or most of its columns are missing.
func (r *rowParser) notAccount() *schema.Reject {
	first, filled, words := "", 0, 0
	for _, c := range r.cells {
		text := tidyText(string(trimCell(c)))
		if text == "" {
			continue
		}
		if filled++; filled == 1 {
			first = text
		}
		if strings.IndexFunc(text, unicode.IsLetter) >= 0 {
			words++
		}
	}
	switch {
	case filled > 1 && r.repeatsNames():
		return &schema.Reject{Reason: "repeats a header: its cells are names of columns; was the list pasted together?"}
	case filled > 1 && isLegend(r.cells):
		return &schema.Reject{Value: truncate(first), Reason: "says what the columns hold, not an account"}
	case filled == 1 && words == 0 && bareNumber.MatchString(first):
		return &schema.Reject{Value: truncate(first), Reason: "a date or a number, not an account"}
	case words <= 1, len(r.cells) < r.width && (strings.ContainsAny(first, ":：") || prompt.MatchString(first)): // a comma in a note splits it
		if kind := notAccounts.frameOf(first, r.width > 1 && len(r.cells) > 0); kind != "" {
			return &schema.Reject{Value: truncate(first), Reason: kind + ", not an account"}
		}
	}
	if n := len(r.cells); r.width > 2 && (n == 1 || 2*n <= r.width && n < r.width-1) {
		return &schema.Reject{Value: truncate(first),
			Reason: fmt.Sprintf("the record has %d of %d columns, and only a name: a line of a report, or delimiters are missing", n, r.width)}
	}
	return nil
}

// isLegend reports whether each filled cell says what its column holds, as a row of units below a header does:
// "(text)", "(url)", "varchar(255)".
func isLegend(cells [][]byte) bool {
	filled := 0
	for _, c := range cells {
		text := tidyText(string(trimCell(c)))
		if text == "" {
			continue
		}
		if filled++; !legend.MatchString(text) {
			return false
		}
	}
	return filled > 1
}

// errSetApart says that a mark in the list excludes a line. The rest of the line does not change that.
var errSetApart = errors.New("says that the line is not to be used")

// isSetApart reports whether a name has a mark with it that the line is not to be used: "Acme (DO NOT CONTACT)".
func isSetApart(name string) bool {
	if len(name) < len("no usar") || strings.IndexByte(name, ' ') < 0 {
		return false
	}
	for i := 2; i < len(name)-2; i++ {
		if name[i] != ' ' {
			continue
		}
		switch b := name[i-1] | 0x20; { // the last letters of what setApart begins with
		case b == 't' && strings.IndexByte("onhe'", name[i-2]|0x20) >= 0, b == 't' && name[i-2] == '\'', b == 's' && name[i-2]|0x20 == 'a',
			b == 'o' && (name[i-2]|0x20 == 'n' || name[i-2] >= utf8.RuneSelf), b == 'n' && name[i-2]|0x20 == 'o':
			return setApart.MatchString(name)
		}
	}
	return false
}

// repeatsNames reports whether the columns that are read hold names of columns, in two of them at least, or all
// columns do.
func (r *rowParser) repeatsNames() bool {
	names := 0
	for f, i := range r.columns {
		if i < 0 || i >= len(r.cells) || slices.Contains(r.columns[:f], i) {
			continue
		}
		text := tidyText(string(r.cells[i]))
		if text != "" && !isColumnName(text) {
			return false
		}
		if text != "" {
			names++
		}
	}
	return names > 1 || !slices.ContainsFunc(r.cells, func(c []byte) bool {
		text := tidyText(string(c))
		return text != "" && !isColumnName(text)
	})
}

// isColumnName reports whether a text is certainly the name of a column.
func isColumnName(text string) bool {
	_, exact, ok := meaningOf(strings.Trim(text, `"'`))
	return ok && exact
}

var (
	datedNote = regexp.MustCompile(`(?i)^(?:as of|as at|stand|état au|au|al|per|stan na|na dzień)[ :]+\d{1,4}[./-]\d`)
	// bareNumber is a date, a time, a decimal number or a share, which no company has as its name.
	bareNumber = regexp.MustCompile(`^(?:\d{1,4}[./-]\d{1,2}[./-]\d{1,4}(?:[ T,]+\d.*)?|\d{1,2}:\d\d(?::\d\d)?|[+-]?\d+(?:[.,]\d+)+ ?%?|\d+ ?%)$`)
	// mergeMark is a line that version control leaves where two versions of a list differ.
	legend = regexp.MustCompile(`(?i)^(?:[(\[<{][^()\[\]<>{}]*[)\]>}]|(?:n?(?:var)?char2?|decimal|numeric|number) ?\([\d, ]+\)|string|text|varchar|integer|bigint|url|uri|boolean|date|datetime|timestamp|float|double|required|optional)$`)
	// setApart is a mark in capitals, in brackets, or behind a dash: "Do Not Use Ltd" is a company.
	setApart = regexp.MustCompile(`\b(?:DO NOT|DON'T|DONT) (?:USE|CONTACT|CALL|E-?MAIL|MAIL|DISTURB|IMPORT|DELETE|TOUCH|SELL)\b|\b(?:NICHT (?:VERWENDEN|KONTAKTIEREN|BENUTZEN|ANRUFEN)|NE PAS (?:UTILISER|CONTACTER|APPELER)|NO (?:USAR|CONTACTAR|LLAMAR)|NÃO (?:USAR|CONTATAR)|NON (?:USARE|CONTATTARE)|NIET (?:GEBRUIKEN|BENADEREN))(?:\P{L}|$)` +
		`|(?i)[(\[*–—-] ?(?:(?:do not|don'?t) (?:use|contact|call|e-?mail|mail|import|sell)|nicht (?:verwenden|kontaktieren|benutzen|anrufen)|ne pas (?:utiliser|contacter|appeler)|no (?:usar|contactar|llamar)|não (?:usar|contatar)|non (?:usare|contattare)|niet (?:gebruiken|benaderen))[!.]? ?(?:[)\]*]|$)`)
	mergeMark  = regexp.MustCompile(`^(?:<{7}|>{7}|\|{7})(?: |$)`)
	prompt     = regexp.MustCompile(`^(?:(?:SQL|mysql|sqlite|hive|ftp)> ?|Query OK\b)`)
	digitsOnly = regexp.MustCompile(`^[\d.,\s]+$`)
	yearOrMark = regexp.MustCompile(`(?i)^(copyright\s*)?(©|\(c\))|^copyright\s+(by\s|[12]\d{3})`)
)

// frameOf says what part of a report a text is; empty: of none. alone says that the list has other
// columns, which are empty on this line: then single words are clear enough.
func (n *nonAccounts) frameOf(text string, alone bool) string {
	if len(text) > 400 || text == "" {
		return ""
	}
	if strings.ContainsRune("cC(©", firstRune(text)) && yearOrMark.MatchString(text) {
		return "a copyright notice"
	}
	folded := foldWords(text)
	tokens := strings.Fields(folded)
	if len(tokens) == 0 {
		return ""
	}
	decorated := !unicode.In(firstRune(text), unicode.L, unicode.N)
	joined := strings.Join(tokens, "")
	switch {
	case n.ends[joined] && (alone || decorated || len(tokens) > 1 || joined == "eof"):
		return "the end of a report"
	case n.isTotal(text, tokens, alone):
		return "a total"
	case n.isCount(tokens):
		return "a count of lines"
	case datedNote.MatchString(text):
		return "a note about the report"
	case n.isRange(tokens):
		return "a page number"
	case mergeMark.MatchString(text):
		return "a mark of an unresolved merge"
	case prompt.MatchString(text):
		return "the output of a database"
	}
	for _, notice := range n.notices[folded[0]] {
		rest, ok := strings.CutPrefix(folded, notice)
		if !ok || rest != "" && rest[0] != ' ' {
			continue
		}
		switch one := !strings.Contains(notice, " "); {
		case notice == "copyright" || notice == "c": // by the mark or the year
		case !one || strings.ContainsAny(text, ":：") && strings.HasPrefix(folded[len(notice):], " "):
			return "a note about the report"
		case one && rest != "" && strings.Trim(rest, "0123456789 ofvandesuri/") == "" && strings.ContainsAny(rest, "0123456789"): // "Page 1 of 3"
			return "a page number"
		}
	}
	return ""
}

// isTotal reports whether a text sums a report up: a word for a total, alone, with a number, or with a
// count of lines.
func (n *nonAccounts) isTotal(text string, tokens []string, alone bool) bool {
	for size := min(3, len(tokens)); size > 0; size-- {
		if !n.totals[strings.Join(tokens[:size], "")] {
			continue
		}
		rest := tokens[size:]
		switch {
		case len(rest) == 0:
			return alone || size > 1 || strings.HasSuffix(text, ":")
		case digitsOnly.MatchString(strings.Join(rest, " ")), n.isCount(rest):
			return true
		}
	}
	return false
}

// isRange reports whether words say which lines of how many are shown: "Showing 1 to 10 of 57 entries", "1-50 of 200".
func (n *nonAccounts) isRange(tokens []string) bool {
	numbers, of := 0, false
	for _, t := range tokens {
		switch {
		case digitsOnly.MatchString(t):
			numbers++
		case rangeWords[t]:
			of = true
		case t != "showing" && t != "displaying" && t != "viewing" && !n.counted[t] && !n.verbs[t]:
			return false
		}
	}
	return numbers >= 2 && of
}

var rangeWords = wordSet("to of bis von à sur de di da van tot z do al a")

// isCount reports whether words count lines: "12 rows", "2 rows selected", "Record count: 5".
func (n *nonAccounts) isCount(tokens []string) bool {
	numbers, counted := 0, 0
	for i := 0; i < len(tokens); i++ {
		switch t := tokens[i]; {
		case digitsOnly.MatchString(t):
			numbers++
		case n.counted[t]:
			counted++
		case i+1 < len(tokens) && n.verbs[t+tokens[i+1]]:
			i++
		case n.verbs[t]:
		case t == "sec" || t == "s" || t == "ms": // "2 rows in set (0.01 sec)"
		default:
			return false
		}
	}
	return numbers > 0 && counted > 0 && len(tokens) < 9
}
