package export

import (
	"strings"

	"github.com/siglake/siglake/internal/flatten"
)

// maxHeadline is how many characters of a headline are kept.
const maxHeadline = 300

// describer fills in what events say. One goroutine uses it.
type describer struct {
	summarizer *flatten.Summarizer // nil until a row has no summary
}

// describe fills in a headline, an address, a company and a person.
func (d *describer) describe(e *Event, r *recordRow) {
	e.URL = firstText(r, "article_url", "job_url", "activity_url")
	e.Company = plainText(firstText(r, "company_name", "current_company_name"))
	e.CompanyDomain = firstText(r, "company_domain", "current_domain")
	e.Person = plainText(r.Text("author_full_name"))
	e.Headline = plainText(d.headline(e.Signal, r))
}

func firstText(r *recordRow, columns ...string) string {
	for _, c := range columns {
		if s := r.Text(c); s != "" {
			return s
		}
	}
	return ""
}

// headline says in one sentence what happened: the title of an article, or the summary of the event. Rows
// from before schema version 4 have no summary; theirs is made of their columns.
func (d *describer) headline(signalType string, r *recordRow) string {
	text := firstText(r, "article_title", "summary_text")
	if text == "" {
		if d.summarizer == nil {
			d.summarizer = flatten.NewSummarizer()
		}
		text = d.summarizer.Summarize(signalType, r)
	}
	if text == "" {
		text = signalType
	}
	return text
}

// plainText is a text without HTML, in one line and not too long.
func plainText(s string) string {
	if isPlain(s) {
		return s
	}
	s = flatten.OneLine(s)
	if runes := []rune(s); len(runes) > maxHeadline {
		s = strings.TrimSpace(string(runes[:maxHeadline-1])) + "…"
	}
	return s
}

// isPlain reports whether plainText leaves a text as it is, for most texts at once.
func isPlain(s string) bool {
	space := true
	for i := range len(s) {
		c := s[i]
		if c < ' ' || c > '~' || c == '<' || c == '&' || c == ' ' && space {
			return false
		}
		space = c == ' '
	}
	return len(s) <= maxHeadline && (!space || s == "")
}
