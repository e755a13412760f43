package pipeline

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/net/html"

	"github.com/siglake/siglake/schema"
)

// Columns gives the values of an event's row by the names of its columns. A column that the row does not have is
// null.
type Columns interface {
	Text(column string) string // "": null
	Integer(column string) (n int64, isSet bool)
	Float(column string) (v float64, isSet bool)
}

func (b *rowBuilder) Text(column string) string { return b.get(column).s }

func (b *rowBuilder) Integer(column string) (n int64, isSet bool) {
	v := b.get(column)
	return v.n, v.set
}

func (b *rowBuilder) Float(column string) (v float64, isSet bool) {
	n := b.get(column)
	return n.double(), n.set
}

// Summarize says what happened in one line of plain text: the record's own summary, or a sentence
// made of its columns. It is empty if the record has nothing to say. It is the value of the column summary_text.
func Summarize(signal schema.Signal, row Columns) string {
	switch signal.Record {
	case "news":
		return OneLine(firstText(row, "event_summary", "article_title", "article_highlight"))
	case "person":
		return summarizePerson(signal, row)
	case "headcount", "traffic", "itSpend":
		return summarizeChange(signal, row)
	case "surge", "surgeDepartment", "surgeLocation":
		return summarizeSurge(row)
	case "jobPost":
		return OneLine(joinParts(": ", "Job post", joinParts(", ", row.Text("job_title"), row.Text("department"), place(row))))
	case "location":
		return OneLine(joinParts(": ", "New location", place(row)))
	case "intent", "intentGeography":
		return OneLine(joinParts(": ", "Interest", joinParts(", ", row.Text("topic_name"), place(row))))
	case "visitors":
		return summarizeVisits(row)
	case "activity":
		return OneLine(firstText(row, "activity_summary", "activity_type"))
	}
	return ""
}

// firstText is the first of some columns that has a text.
func firstText(row Columns, columns ...string) string {
	for _, column := range columns {
		if text := row.Text(column); strings.TrimSpace(text) != "" {
			return text
		}
	}
	return ""
}

// joinParts joins the parts that are not empty.
func joinParts(separator string, parts ...string) string {
	var out []string
	for _, part := range parts {
		if strings.TrimSpace(part) != "" {
			out = append(out, part)
		}
	}
	return strings.Join(out, separator)
}

func place(row Columns) string {
	return joinParts(", ", row.Text("city"), row.Text("state"), row.Text("country"))
}

func summarizePerson(signal schema.Signal, row Columns) string {
	now := joinParts(" at ", row.Text("current_title"), row.Text("current_company_name"))
	before := row.Text("previous_title")
	if signal.Key != "promotion" { // there the former company is undefined
		before = joinParts(" at ", before, row.Text("previous_company_name"))
	}
	return OneLine(joinParts(", before: ", now, before))
}

// changeNames are what a change is of, by the layout of its record.
var changeNames = map[string]string{"headcount": "Headcount", "traffic": "Website traffic", "itSpend": "IT spend"}

func summarizeChange(signal schema.Signal, row Columns) string {
	text := changeNames[signal.Record] + " " + string(signal.Trend)
	if rate, ok := row.Float("change_rate_percent_abs"); ok {
		text += " of " + strconv.FormatFloat(rate, 'f', -1, 64) + " %"
	}
	if signal.WindowMonths == 1 {
		text += " in a month"
	} else if signal.WindowMonths > 1 {
		text += fmt.Sprintf(" in %d months", signal.WindowMonths)
	}
	from, hasFrom := row.Integer("baseline_employees_count")
	if to, hasTo := row.Integer("new_employees_count"); hasFrom && hasTo {
		text += fmt.Sprintf(", from %d to %d people", from, to)
	}
	return text
}

func summarizeSurge(row Columns) string {
	text := joinParts(" in ", "Hiring surge", joinParts(", ", row.Text("department"), place(row)))
	if n, ok := row.Integer("new_jobs_posted_last_4_weeks"); ok {
		text += fmt.Sprintf(": %d jobs posted in four weeks", n)
	} else if n, ok := row.Integer("new_jobs_posted_last_week"); ok {
		text += fmt.Sprintf(": %d jobs posted in a week", n)
	}
	return OneLine(text)
}

func summarizeVisits(row Columns) string {
	text := "Website visits"
	if n, ok := row.Integer("unique_visitors"); ok {
		text += fmt.Sprintf(" of %d people", n)
	}
	if n, ok := row.Integer("total_sessions"); ok {
		text += fmt.Sprintf(" in %d sessions", n)
	}
	return text
}

// OneLine returns a text without HTML, control characters and line breaks. A "<" that begins no element
// stays, and so does what looks like an entity and is none.
func OneLine(text string) string {
	for range 3 { // what is encoded twice is decoded twice
		if !strings.ContainsAny(text, "<&") {
			break
		}
		plain := withoutElements(text)
		if plain == text {
			break
		}
		text = plain
	}
	return joinWords(text)
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

// joinWords puts one space between words, and drops characters that are not seen.
func joinWords(text string) string {
	var out strings.Builder
	space := false
	for _, r := range text {
		switch {
		case unicode.IsSpace(r):
			space = out.Len() > 0
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r) && r != '\u200d': // emoji are joined by it
		default:
			if space {
				out.WriteByte(' ')
				space = false
			}
			out.WriteRune(r)
		}
	}
	return out.String()
}
