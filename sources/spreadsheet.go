package sources

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// This file undoes what spreadsheets do to the cells of a list: they write text as formulas, hide
// addresses behind links, and turn long numbers into shorter ones.

// maxExactDigits is the number of digits that a spreadsheet keeps.
const maxExactDigits = 15

var (
	// textFormula is a text that is kept from becoming a number: ="00123".
	textFormula = regexp.MustCompile(`^=\s*"((?:[^"]|"")*)"$`)
	// linkFormula is a HYPERLINK formula, in any language of a spreadsheet.
	linkFormula  = regexp.MustCompile(`(?i)^=\s*(?:hyperlink|lien_?\.?hypertexte|hiperv[íi]nculo|hiperligação|hiperlink|collegamento\.ipertestuale|collegam\.ipertestuale|hiperłącze|hyperlänk|hyperlinkki|hyperkobling|hypertextový\.odkaz|hypertextové_prepojenie|hiperhivatkozás|köprü|гиперссылка|гіперпосилання|υπερσυνδεση)\s*\(\s*"((?:[^"]|"")*)"\s*(?:[,;]\s*"((?:[^"]|"")*)"\s*)?\)$`)
	htmlLink     = regexp.MustCompile(`(?i)^<a\s[^<>]*?href\s*=\s*(?:"([^"<>]+)"|'([^'<>]+)')[^<>]*>([^<>]*)</a>$`)
	markdownLink = regexp.MustCompile(`^\[([^\[\]]*)\]\(\s*<?([^\s()<>]+)>?(?:\s+"[^"]*")?\s*\)$`)
	// accessLink is a link of Microsoft Access, text#address#.
	accessLink = regexp.MustCompile(`^([^#]*)#((?:https?://|mailto:)[^#\s]+)#(?:[^#]*#)?$`)
	// otherFormula is any other formula, whose value a list should have instead.
	otherFormula = regexp.MustCompile(`^=\s*(?:"|[\p{L}_][\p{L}\d_.]*\(|\$?[A-Za-z]{1,3}\$?\d+|'?[^=]*'?!|[\d(+-]|[\w. ]+\|)|^[+@-][\w. ]+\|.*!|^[+@-][A-Z]{2,}\(`)
	// layoutTag is a tag of HTML that only says how a text looks; htmlTag is any.
	layoutTag = regexp.MustCompile(`(?i)</?(?:b|i|u|em|strong|span|font|p|div|small|sup|sub|br|li|ul|td|tr|nobr)(?:\s[^<>]*)?/?>`)
	htmlTag   = regexp.MustCompile(`(?i)</[a-z][a-z0-9]*\s*>|<(?:a|img|script|style|iframe|input|button|table|h[1-6])(?:\s[^<>]*)?/?>`)
	// scientific is a number as spreadsheets write long ones: 1.23457E+15, in German 1,23457E+15.
	scientific = regexp.MustCompile(`^[+-]?(?:\d[.,]\d+[eE]\+?\d{1,3}|\d+[eE]\+\d{1,3})$`)
	// decimal is a whole number that became a decimal one: 70114455.0.
	decimal = regexp.MustCompile(`^[+-]?\d+[.,]0+$`)
)

// errFormula says that a cell has a formula in place of its value.
var errFormula = errors.New("is a formula, not its value; export the list with values, or open the workbook in Excel and save it")

// plainText returns the text of a cell that a spreadsheet wrote as a formula, or a wiki as a link. Of a link it is the
// target if link is set, else the text that is shown.
func plainText(cell string, link bool) string {
	switch {
	case strings.HasPrefix(cell, "="):
	case strings.HasPrefix(cell, "<a "), strings.HasPrefix(cell, "<A "), strings.HasPrefix(cell, "["):
		if target, shown, ok := markupLink(cell); ok && link {
			return target
		} else if ok && shown != "" {
			return shown
		}
		return cell
	case strings.HasSuffix(cell, "#"):
		if m := accessLink.FindStringSubmatch(cell); m != nil && link {
			return m[2]
		} else if m != nil && m[1] != "" {
			return m[1]
		}
		return cell
	default:
		return cell
	}
	if m := textFormula.FindStringSubmatch(cell); m != nil {
		return strings.TrimSpace(strings.ReplaceAll(m[1], `""`, `"`))
	}
	target, shown, ok := hyperlink(cell)
	switch {
	case !ok:
		return cell
	case link || shown == "":
		return target
	}
	return shown
}

// hyperlink reads a HYPERLINK formula: its target and the text that a spreadsheet shows.
func hyperlink(formula string) (target, shown string, ok bool) {
	m := linkFormula.FindStringSubmatch(formula)
	if m == nil {
		return "", "", false
	}
	return strings.ReplaceAll(m[1], `""`, `"`), strings.ReplaceAll(m[2], `""`, `"`), true
}

// markupLink reads a link of HTML or Markdown that is all of a cell: its target and the text that is shown.
func markupLink(cell string) (target, shown string, ok bool) {
	if m := htmlLink.FindStringSubmatch(cell); m != nil {
		return m[1] + m[2], strings.TrimSpace(m[3]), true
	}
	if m := markdownLink.FindStringSubmatch(cell); m != nil {
		return m[2], m[1], true
	}
	return "", "", false
}

// isOtherFormula reports whether a cell is a formula that plainText does not read.
func isOtherFormula(cell string) bool {
	return cell != "" && strings.IndexByte("=+-@", cell[0]) >= 0 && otherFormula.MatchString(cell)
}

// stripTags removes the tags of HTML that say how a text looks.
func stripTags(s string) string {
	if strings.IndexByte(s, '<') < 0 || strings.IndexByte(s, '>') < 0 {
		return s
	}
	return strings.TrimSpace(strings.ReplaceAll(layoutTag.ReplaceAllStringFunc(s, func(tag string) string {
		switch strings.ToLower(tag)[1] {
		case 'd', 'p', 'l':
			return " "
		}
		if strings.HasPrefix(strings.ToLower(tag), "<br") {
			return " "
		}
		return ""
	}), "  ", " "))
}

// isMangled reports whether a key or an id is a number that a spreadsheet reformatted: digits may be
// lost, and it equals no other system's key any more.
func isMangled(key string) bool {
	if len(key) > 1 && strings.Trim(key, "#") == "" { // the column was too narrow
		return true
	}
	if key == "" || key[len(key)-1] > '9' || strings.IndexByte("+-0123456789", key[0]) < 0 || !strings.ContainsAny(key, ".,eE") {
		return false
	}
	return scientific.MatchString(key) || decimal.MatchString(key)
}

// SharedKey is a key that a spreadsheet turned into a number and that several lines have since: it cannot
// distinguish their rows.
type SharedKey struct {
	Key string
	// Lines that have the key, and where the first few of them are.
	Lines  int64
	Places []Place
}

// Place is a line of a file.
type Place struct {
	File string
	Line int64
}

// Where lists the first few lines that have the key, as file:line.
func (k *SharedKey) Where() (places []string) {
	for _, p := range k.Places {
		places = append(places, fmt.Sprintf("%s:%d", p.File, p.Line))
	}
	return places
}

// mangledKeys counts the keys of a list that a spreadsheet turned into numbers.
type mangledKeys struct {
	column string
	lines  int64
	keys   map[string]*SharedKey
}

// Limits of mangledKeys: keys that are counted, and places that are kept of each.
const (
	maxMangledKeys   = 10_000
	maxMangledPlaces = 5
)

func (m *mangledKeys) add(column, key, file string, line int64) {
	m.column = column
	m.lines++
	if m.keys == nil {
		m.keys = map[string]*SharedKey{}
	}
	k := m.keys[key]
	if k == nil {
		if len(m.keys) == maxMangledKeys {
			return
		}
		k = &SharedKey{Key: key}
		m.keys[key] = k
	}
	if k.Lines++; len(k.Places) < maxMangledPlaces {
		k.Places = append(k.Places, Place{file, line})
	}
}

// shared returns the keys that several lines have, the most frequent ones first.
func (m *mangledKeys) shared() (keys []SharedKey) {
	for _, k := range m.keys {
		if k.Lines > 1 {
			keys = append(keys, *k)
		}
	}
	slices.SortFunc(keys, func(a, b SharedKey) int {
		if a.Lines != b.Lines {
			return int(b.Lines - a.Lines)
		}
		return strings.Compare(a.Key, b.Key)
	})
	return keys
}

// notes describe the damage.
func (m *mangledKeys) notes() (notes []string) {
	if m.lines == 0 {
		return nil
	}
	var example string
	for key := range m.keys {
		if example == "" || key < example {
			example = key
		}
	}
	notes = append(notes, fmt.Sprintf("a spreadsheet turned the keys in %s into numbers, such as %s, on %d lines: digits may be lost, and the rows may join nothing; format the column as text and export again",
		m.column, example, m.lines))
	const most = 10
	shared := m.shared()
	for _, k := range shared[:min(len(shared), most)] {
		notes = append(notes, fmt.Sprintf("the key %s stands for %d lines now, line %d first", k.Key, k.Lines, k.Places[0].Line))
	}
	if n := len(shared); n > most {
		notes = append(notes, fmt.Sprintf("%d more keys stand for several lines each", n-most))
	}
	return notes
}
