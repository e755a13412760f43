package flatten

import (
	"bytes"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"

	"github.com/siglake/siglake/internal/columns"
	"github.com/siglake/siglake/schema"
)

// sentences makes texts of the columns of a row.
type sentences struct {
	*cells
	columns *summaryColumns
}

func (f *Flattener) sentences() sentences { return sentences{&f.cells, &f.kind.summary} }

// summary says what happened in one line of plain text: the record's own summary, or a sentence
// made of its columns. It is empty if the record has nothing to say.
func (s sentences) summary(signal *schema.Signal) []byte {
	c := s.columns
	switch signal.Record {
	case "news":
		return s.oneLine(s.firstText(c.eventSummary, c.articleTitle, c.articleHighlight))
	case "person":
		return s.summarizePerson(signal)
	case "headcount", "traffic", "itSpend":
		return s.summarizeChange(signal)
	case "surge", "surgeDepartment", "surgeLocation":
		return s.summarizeSurge()
	case "jobPost":
		return s.oneLine(s.join(": ", jobPost, s.join(", ", s.textAt(c.jobTitle), s.textAt(c.department), s.place())))
	case "location":
		return s.oneLine(s.join(": ", newLocation, s.place()))
	case "intent", "intentGeography":
		return s.oneLine(s.join(": ", interest, s.join(", ", s.textAt(c.topic), s.place())))
	case "visitors":
		return s.summarizeVisits()
	case "activity":
		return s.oneLine(s.firstText(c.activitySummary, c.activityType))
	}
	return nil
}

// Values gives the values of a row by the names of its columns.
type Values interface {
	Text(column string) string // empty: null
	Integer(column string) (n int64, isSet bool)
	Float(column string) (v float64, isSet bool)
}

// Summarizer makes the column summary_text of rows that were written before there was the column. One
// goroutine uses it.
type Summarizer struct{ flattener *Flattener }

// NewSummarizer returns a summarizer for rows of any table. It costs much more than a summary.
func NewSummarizer() *Summarizer {
	return &Summarizer{New(Options{Version: schema.Version})}
}

// Summarize is what the column summary_text has of an event.
func (s *Summarizer) Summarize(signal string, row Values) string {
	f := s.flattener
	f.kind = f.kindOf(signal)
	table, rows := &f.kind.layout.table, columns.NewChunk()
	defer rows.Release()
	f.reset(rows, len(table.Columns))
	rows.BeginRow(nil, 0)
	for i := range table.Columns {
		f.addValue(i, &table.Columns[i], row)
	}
	return string(f.sentences().summary(&f.kind.signal))
}

// addValue adds the value of a column, if it is not null.
func (c *cells) addValue(at int, column *schema.Column, row Values) {
	switch column.Type {
	case schema.String:
		if text := row.Text(column.Name); text != "" {
			c.addString(at, text)
		}
	case schema.Double:
		if v, ok := row.Float(column.Name); ok {
			c.addInt(at, int64(math.Float64bits(v)))
		}
	case schema.Int64:
		if n, ok := row.Integer(column.Name); ok {
			c.addInt(at, n)
		}
	}
}

// summaryColumns are the positions of the columns that sentences are made of; -1 if the table does not
// have the column.
type summaryColumns struct {
	eventSummary, articleTitle, articleHighlight, activitySummary, activityType int
	jobTitle, department, city, state, country                                  int
	title, company, previousTitle, previousCompany                              int
	baseline, employees, jobsOfMonth, jobsOfWeek, visitors, sessions            int
	rate, topic                                                                 int
}

func (l *layout) findSummaryColumns() (c summaryColumns) {
	for name, at := range map[string]*int{
		"event_summary": &c.eventSummary, "article_title": &c.articleTitle, "article_highlight": &c.articleHighlight,
		"activity_summary": &c.activitySummary, "activity_type": &c.activityType,
		"job_title": &c.jobTitle, "department": &c.department, "city": &c.city, "state": &c.state, "country": &c.country,
		"current_title": &c.title, "current_company_name": &c.company, "previous_title": &c.previousTitle, "previous_company_name": &c.previousCompany,
		"baseline_employees_count": &c.baseline, "new_employees_count": &c.employees, "new_jobs_posted_last_4_weeks": &c.jobsOfMonth,
		"new_jobs_posted_last_week": &c.jobsOfWeek, "unique_visitors": &c.visitors, "total_sessions": &c.sessions,
		"change_rate_percent_abs": &c.rate, "topic_name": &c.topic,
	} {
		*at = l.column(name)
	}
	return c
}

var jobPost, newLocation, interest, hiringSurge = []byte("Job post"), []byte("New location"), []byte("Interest"), []byte("Hiring surge")

// firstText is the first of some columns that has a text.
func (c *cells) firstText(list ...int) []byte {
	for _, column := range list {
		if text := c.textAt(column); !isBlank(text) {
			return text
		}
	}
	return nil
}

func isBlank(text []byte) bool { return len(text) == 0 || len(bytes.TrimSpace(text)) == 0 }

// join joins the parts that are not empty.
func (t *texts) join(separator string, parts ...[]byte) []byte {
	start, joined := len(t.arena), false
	for _, part := range parts {
		if isBlank(part) {
			continue
		}
		if joined {
			t.arena = append(t.arena, separator...)
		}
		t.arena = append(t.arena, part...)
		joined = true
	}
	return t.since(start)
}

func (s sentences) place() []byte {
	c := s.columns
	return s.join(", ", s.textAt(c.city), s.textAt(c.state), s.textAt(c.country))
}

func (s sentences) summarizePerson(signal *schema.Signal) []byte {
	c := s.columns
	now := s.join(" at ", s.textAt(c.title), s.textAt(c.company))
	before := s.textAt(c.previousTitle)
	if signal.Key != "promotion" { // there the former company is undefined
		before = s.join(" at ", before, s.textAt(c.previousCompany))
	}
	return s.oneLine(s.join(", before: ", now, before))
}

// changeNames are what a change is of, by the layout of its record.
var changeNames = map[string]string{"headcount": "Headcount", "traffic": "Website traffic", "itSpend": "IT spend"}

func (s sentences) summarizeChange(signal *schema.Signal) []byte {
	c, start := s.columns, len(s.arena)
	s.say(changeNames[signal.Record], " ", string(signal.Trend))
	if rate, ok := s.intAt(c.rate); ok {
		s.say(" of ")
		s.arena = strconv.AppendFloat(s.arena, math.Float64frombits(uint64(rate)), 'f', -1, 64)
		s.say(" %")
	}
	if signal.WindowMonths == 1 {
		s.say(" in a month")
	} else if signal.WindowMonths > 1 {
		s.sayNumber(" in ", int64(signal.WindowMonths), " months")
	}
	from, known := s.intAt(c.baseline)
	if to, ok := s.intAt(c.employees); ok && known {
		s.sayNumber(", from ", from, " to ")
		s.sayNumber("", to, " people")
	}
	return s.since(start)
}

func (s sentences) summarizeSurge() []byte {
	c := s.columns
	where := s.join(", ", s.textAt(c.department), s.place())
	start := len(s.arena)
	s.join(" in ", hiringSurge, where)
	if n, ok := s.intAt(c.jobsOfMonth); ok {
		s.sayNumber(": ", n, " jobs posted in four weeks")
	} else if n, ok := s.intAt(c.jobsOfWeek); ok {
		s.sayNumber(": ", n, " jobs posted in a week")
	}
	return s.oneLine(s.since(start))
}

func (s sentences) summarizeVisits() []byte {
	c, start := s.columns, len(s.arena)
	s.say("Website visits")
	if n, ok := s.intAt(c.visitors); ok {
		s.sayNumber(" of ", n, " people")
	}
	if n, ok := s.intAt(c.sessions); ok {
		s.sayNumber(" in ", n, " sessions")
	}
	return s.since(start)
}

// say adds texts to the sentence at the end of the arena.
func (t *texts) say(texts ...string) {
	for _, text := range texts {
		t.arena = append(t.arena, text...)
	}
}

func (t *texts) sayNumber(before string, n int64, after string) {
	t.say(before)
	t.arena = strconv.AppendInt(t.arena, n, 10)
	t.say(after)
}

// oneLine is a text without HTML, control characters and line breaks.
func (t *texts) oneLine(text []byte) []byte {
	if isOneLine(text) {
		return text
	}
	text = t.withoutHTML(text)
	start := len(t.arena)
	t.arena = appendWords(t.arena, text)
	return t.since(start)
}

// isOneLine reports whether a text is one line of words with one space between them, and surely has no
// HTML in it.
func isOneLine(text []byte) bool {
	wasSpace := true
	for i := 0; i < len(text); {
		switch b := text[i]; {
		case b == ' ':
			if wasSpace {
				return false
			}
			wasSpace = true
			i++
			continue
		case b < ' ', b == 0x7f, b == '<', b == '&' && i+1 < len(text) && text[i+1] != ' ':
			return false
		case b < utf8.RuneSelf:
			i++
		default:
			r, n := utf8.DecodeRune(text[i:])
			if n == 1 || unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) && r != '\u200d' {
				return false
			}
			i += n
		}
		wasSpace = false
	}
	return len(text) == 0 || !wasSpace
}

// OneLine returns a text without HTML, control characters and line breaks.
func OneLine(text string) string { return string(new(cells).oneLine([]byte(text))) }

// withoutHTML is a text without HTML. A "<" that begins no element stays, and so does what looks like an
// entity and is none.
func (t *texts) withoutHTML(text []byte) []byte {
	for range 3 { // what is encoded twice is decoded twice
		if bytes.IndexByte(text, '<') < 0 && bytes.IndexByte(text, '&') < 0 {
			break
		}
		start := len(t.arena)
		plain, ok := appendWithoutElements(t.arena, text)
		if !ok {
			plain = append(t.arena, withoutElements(string(text))...)
		}
		t.arena = plain
		if plain = t.since(start); bytes.Equal(plain, text) {
			break
		}
		text = plain
	}
	return text
}

// appendWithoutElements is withoutElements for a text that has no other elements than those of isInline
// and isBlock, without attributes; ok is false for any other.
func appendWithoutElements(out, text []byte) (plain []byte, ok bool) {
	for {
		open := bytes.IndexByte(text, '<')
		if open < 0 {
			return appendUnescaped(out, text), true
		}
		end := bytes.IndexByte(text[open:], '>')
		if end < 0 {
			return nil, false
		}
		name := bytes.TrimPrefix(text[open+1:open+end], []byte("/"))
		out = appendUnescaped(out, text[:open])
		switch {
		case isBlock[string(name)]:
			out = append(out, ' ')
		case !isInline[string(name)]:
			return nil, false
		}
		text = text[open+end+1:]
	}
}

// appendUnescaped appends a text with its entities decoded.
func appendUnescaped(out, text []byte) []byte {
	if bytes.IndexByte(text, '&') < 0 {
		return append(out, text...)
	}
	return append(out, html.UnescapeString(string(text))...)
}

// withoutElements leaves the text of HTML, with entities decoded; what scripts and styles contain is no
// text. The end of an element divides words.
func withoutElements(text string) string {
	var out strings.Builder
	z, hidden := html.NewTokenizer(strings.NewReader(text)), 0
	for {
		kind := z.Next()
		switch kind {
		case html.ErrorToken:
			if z.Err() != io.EOF {
				return text
			}
			return out.String()
		case html.TextToken:
			if hidden == 0 {
				out.Write(z.Text())
			}
			continue
		case html.StartTagToken, html.EndTagToken:
			if name, _ := z.TagName(); string(name) == "script" || string(name) == "style" {
				hidden = 0
				if kind == html.StartTagToken {
					hidden = 1
				}
			} else if isInline[string(name)] {
				continue
			}
		}
		out.WriteByte(' ')
	}
}

// isInline are the elements that do not divide words.
var isInline = map[string]bool{"a": true, "abbr": true, "b": true, "em": true, "i": true, "mark": true, "small": true, "span": true, "strong": true, "sub": true, "sup": true, "u": true}

// isBlock are frequent elements that divide words.
var isBlock = map[string]bool{"br": true, "div": true, "h1": true, "h2": true, "h3": true, "li": true, "ol": true, "p": true, "ul": true}

// appendWords appends a text with one space between words, and without characters that are not seen.
func appendWords(out, text []byte) []byte {
	start, space := len(out), false
	for i := 0; i < len(text); {
		from := i
		for i < len(text) && ' ' < text[i] && text[i] < 0x7f {
			i++
		}
		r, n := rune(0), 0
		if i == from {
			if r, n = rune(text[i]), 1; r >= utf8.RuneSelf {
				r, n = utf8.DecodeRune(text[i:])
			}
			i += n
		}
		switch {
		case n > 0 && unicode.IsSpace(r):
			space = len(out) > start
			continue
		case n > 0 && (unicode.IsControl(r) || r > unicode.MaxASCII && unicode.Is(unicode.Cf, r) && r != '\u200d'): // emoji are joined by it
			continue
		case space:
			out, space = append(out, ' '), false
		}
		if n > 0 {
			out = utf8.AppendRune(out, r)
		} else {
			out = append(out, text[from:i]...)
		}
	}
	return out
}
