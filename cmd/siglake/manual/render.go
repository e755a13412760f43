package manual

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// Style says how Render marks text; the zero value marks nothing.
type Style struct {
	Strong, Code func(string) string // nil leaves the text as it is
}

// Terminal marks headings and literals with the sequences that terminals know.
var Terminal = Style{
	Strong: func(s string) string { return "\x1b[1m" + s + "\x1b[0m" },
	Code:   func(s string) string { return "\x1b[36m" + s + "\x1b[0m" },
}

// Render lays out Markdown for a terminal of so many columns. It knows what the
// manual pages use: headings, paragraphs, lists, tables, fenced blocks, code,
// strong text and links.
func Render(text string, width int, style Style) string {
	var out strings.Builder
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i := 0; i < len(lines); {
		line := lines[i]
		end := i + 1
		switch {
		case strings.HasPrefix(line, "```"):
			for end < len(lines) && lines[end] != "```" {
				out.WriteString(indented(style.code(lines[end]), "    "))
				end++
			}
			end++
		case strings.HasPrefix(line, "#"):
			out.WriteString(style.strong(strings.TrimLeft(line, "# ")) + "\n")
		case strings.HasPrefix(line, "|"):
			for end < len(lines) && strings.HasPrefix(lines[end], "|") {
				end++
			}
			out.WriteString(table(lines[i:end], width, style))
		case strings.TrimSpace(line) == "":
			out.WriteString("\n")
		default:
			hang := item.FindString(line)
			for end < len(lines) && continues(lines[end]) {
				end++
			}
			words := strings.TrimPrefix(strings.Join(lines[i:end], " "), hang)
			out.WriteString(wrap(words, width, hang, strings.Repeat(" ", len(hang)), style))
		}
		i = end
	}
	return out.String()
}

// Wrap lays out words in lines of at most width columns; first and rest begin them.
func Wrap(words string, width int, first, rest string) string {
	return wrap(words, width, first, rest, Style{})
}

var item = regexp.MustCompile(`^(- |\d+\. )`)

// continues reports whether a line belongs to the paragraph or item before it.
func continues(line string) bool {
	return strings.TrimSpace(line) != "" && !item.MatchString(line) && !strings.HasPrefix(line, "```") && !strings.HasPrefix(line, "|") && !strings.HasPrefix(line, "#")
}

func indented(line, by string) string {
	if line == "" {
		return "\n"
	}
	return by + line + "\n"
}

func wrap(words string, width int, first, rest string, style Style) string {
	var out strings.Builder
	line, used := first, utf8.RuneCountInString(first)
	empty := true // nothing stands behind the line's beginning yet
	for _, s := range spans(words) {
		n := utf8.RuneCountInString(s.plain())
		if !empty && used+1+n > width {
			out.WriteString(strings.TrimRight(line, " ") + "\n")
			line, used, empty = rest, utf8.RuneCountInString(rest), true
		}
		if !empty {
			line, used = line+" ", used+1
		}
		line, used, empty = line+s.styled(style), used+n, false
	}
	return out.String() + strings.TrimRight(line, " ") + "\n"
}

// span is a word, of one or more kinds of text.
type span []piece

type piece struct {
	text string
	kind byte // 0 for plain text, '*' for strong, '`' for code
}

func (s span) plain() string { return s.styled(Style{}) }

func (s span) styled(style Style) string {
	var b strings.Builder
	for _, p := range s {
		switch p.kind {
		case '*':
			b.WriteString(style.strong(p.text))
		case '`':
			b.WriteString(style.code(p.text))
		default:
			b.WriteString(p.text)
		}
	}
	return b.String()
}

func (s Style) strong(text string) string { return applied(s.Strong, text) }
func (s Style) code(text string) string   { return applied(s.Code, text) }

func applied(mark func(string) string, text string) string {
	if mark == nil || text == "" {
		return text
	}
	return mark(text)
}

var (
	link   = regexp.MustCompile(`\[([^\]]+)\]\([^)]*\)`)
	inline = regexp.MustCompile("(`[^`]+`|\\*\\*[^*]+\\*\\*)")
)

// spans cuts text into words, which keep the marks that they stand in.
func spans(text string) (words []span) {
	text = link.ReplaceAllString(text, "$1")
	joined := false // the next piece belongs to the last word
	add := func(chunk string, kind byte) {
		if chunk == "" {
			return
		}
		for i, word := range strings.FieldsFunc(chunk, func(r rune) bool { return r == ' ' || r == '\n' }) {
			if i == 0 && joined && !strings.HasPrefix(chunk, " ") && len(words) > 0 {
				words[len(words)-1] = append(words[len(words)-1], piece{word, kind})
				continue
			}
			words = append(words, span{{word, kind}})
		}
		joined = !strings.HasSuffix(chunk, " ")
	}
	at := 0
	for _, m := range inline.FindAllStringIndex(text, -1) {
		add(text[at:m[0]], 0)
		mark := text[m[0]:m[1]]
		add(strings.Trim(mark, "`*"), mark[0])
		at = m[1]
	}
	add(text[at:], 0)
	return words
}

// table aligns the cells of a table, and wraps those for which there is no room.
func table(lines []string, width int, style Style) string {
	var rows [][]string
	for i, line := range lines {
		if i == 1 {
			continue // the rule under the head
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for j := range cells {
			cells[j] = strings.TrimSpace(cells[j])
		}
		rows = append(rows, cells)
	}
	widths := columns(rows, width)
	var out strings.Builder
	for i, row := range rows {
		var cells [][]string
		height := 0
		for j, cell := range row {
			s := style
			if i == 0 {
				cell, s = strings.ReplaceAll(cell, "`", ""), Style{}
			}
			wrapped := strings.Split(strings.TrimSuffix(wrap(cell, widths[min(j, len(widths)-1)], "", "", s), "\n"), "\n")
			cells, height = append(cells, wrapped), max(height, len(wrapped))
		}
		for k := range height {
			line := ""
			for j := range cells {
				text := ""
				if k < len(cells[j]) {
					text = cells[j][k]
				}
				line += text + strings.Repeat(" ", max(0, widths[min(j, len(widths)-1)]-visible(text))+2)
			}
			line = strings.TrimRight(line, " ")
			if i == 0 {
				line = style.strong(line)
			}
			out.WriteString(line + "\n")
		}
	}
	return out.String()
}

// columns shares the width among a table's columns: each gets what it needs, and
// the widest give way.
func columns(rows [][]string, width int) []int {
	var widths []int
	for _, row := range rows {
		for j, cell := range row {
			n := 0
			for k, s := range spans(cell) {
				n += utf8.RuneCountInString(s.plain()) + min(k, 1)
			}
			if j == len(widths) {
				widths = append(widths, 0)
			}
			widths[j] = max(widths[j], n)
		}
	}
	for {
		total, widest := 2*(len(widths)-1), 0
		for j, n := range widths {
			total += n
			if n > widths[widest] {
				widest = j
			}
		}
		if total <= width || widths[widest] <= 12 {
			return widths
		}
		widths[widest]--
	}
}

var escape = regexp.MustCompile("\x1b\\[[0-9]*m")

// visible counts the columns that a text takes on a terminal.
func visible(text string) int { return utf8.RuneCountInString(escape.ReplaceAllString(text, "")) }
