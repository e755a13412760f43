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

// summaryText says what happened in one line of plain text: the record's own summary, or a sentence
// made of its columns. It is empty if the record has nothing to say.
func (b *rowBuilder) summaryText(signal schema.Signal) string {
	switch signal.Record {
	case "news":
		return oneLine(firstText(b, "event_summary", "article_title", "article_highlight"))
	case "person":
		return b.summarizePerson(signal)
	case "headcount", "traffic", "itSpend":
		return b.summarizeChange(signal)
	case "surge", "surgeDepartment", "surgeLocation":
		return b.summarizeSurge()
	case "jobPost":
		return oneLine(joinParts(": ", "Job post", joinParts(", ", b.text("job_title"), b.text("department"), b.place())))
	case "location":
		return oneLine(joinParts(": ", "New location", b.place()))
	case "intent", "intentGeography":
		return oneLine(joinParts(": ", "Interest", joinParts(", ", b.text("topic_name"), b.place())))
	case "visitors":
		return b.summarizeVisits()
	case "activity":
		return oneLine(firstText(b, "activity_summary", "activity_type"))
	}
	return ""
}

// text is the text of a column.
func (b *rowBuilder) text(column string) string { return b.get(column).s }

// firstText is the first of some columns that has a text.
func firstText(b *rowBuilder, columns ...string) string {
	for _, column := range columns {
		if text := b.text(column); strings.TrimSpace(text) != "" {
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

func (b *rowBuilder) place() string {
	return joinParts(", ", b.text("city"), b.text("state"), b.text("country"))
}

func (b *rowBuilder) summarizePerson(signal schema.Signal) string {
	now := joinParts(" at ", b.text("current_title"), b.text("current_company_name"))
	before := b.text("previous_title")
	if signal.Key != "promotion" { // there the former company is undefined
		before = joinParts(" at ", before, b.text("previous_company_name"))
	}
	return oneLine(joinParts(", before: ", now, before))
}

// changeNames are what a change is of, by the layout of its record.
var changeNames = map[string]string{"headcount": "Headcount", "traffic": "Website traffic", "itSpend": "IT spend"}

func (b *rowBuilder) summarizeChange(signal schema.Signal) string {
	text := changeNames[signal.Record] + " " + string(signal.Trend)
	if rate := b.get("change_rate_percent_abs"); rate.set {
		text += " of " + strconv.FormatFloat(rate.double(), 'f', -1, 64) + " %"
	}
	if signal.WindowMonths == 1 {
		text += " in a month"
	} else if signal.WindowMonths > 1 {
		text += fmt.Sprintf(" in %d months", signal.WindowMonths)
	}
	if from, to := b.get("baseline_employees_count"), b.get("new_employees_count"); from.set && to.set {
		text += fmt.Sprintf(", from %d to %d people", from.n, to.n)
	}
	return text
}

func (b *rowBuilder) summarizeSurge() string {
	text := joinParts(" in ", "Hiring surge", joinParts(", ", b.text("department"), b.place()))
	if n := b.get("new_jobs_posted_last_4_weeks"); n.set {
		text += fmt.Sprintf(": %d jobs posted in four weeks", n.n)
	} else if n := b.get("new_jobs_posted_last_week"); n.set {
		text += fmt.Sprintf(": %d jobs posted in a week", n.n)
	}
	return oneLine(text)
}

func (b *rowBuilder) summarizeVisits() string {
	text := "Website visits"
	if n := b.get("unique_visitors"); n.set {
		text += fmt.Sprintf(" of %d people", n.n)
	}
	if n := b.get("total_sessions"); n.set {
		text += fmt.Sprintf(" in %d sessions", n.n)
	}
	return text
}

// oneLine is a text without HTML, control characters and line breaks. A "<" that begins no element
// stays, and so does what looks like an entity and is none.
func oneLine(text string) string {
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
