package export

import (
	"html"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/siglake/siglake/schema"
)

// maxHeadline is how many characters of a headline are kept.
const maxHeadline = 300

// describe fills in what an event says: a headline, an address, a company and a person.
func describe(e *Event, r *recordRow) {
	e.URL = firstText(r, "article_url", "job_url", "activity_url")
	e.Company = plainText(firstText(r, "company_name", "current_company_name"))
	e.CompanyDomain = firstText(r, "company_domain", "current_domain")
	e.Person = plainText(r.text("author_full_name"))
	signal, _ := schema.LookupSignal(e.Signal)
	e.Headline = plainText(headline(signal.Record, e, r))
}

func firstText(r *recordRow, columns ...string) string {
	for _, c := range columns {
		if s := r.text(c); s != "" {
			return s
		}
	}
	return ""
}

// headline says in one sentence what happened: the title of an article, or the summary of the event. Rows
// from before schema version 4 have no summary; theirs is made by the layout of the record.
func headline(layout string, e *Event, r *recordRow) string {
	text := r.text("article_title")
	if text == "" {
		text = r.text("summary_text")
	}
	if text != "" {
		return text
	}
	switch layout {
	case "person":
		text = personHeadline(e.Signal, r)
	case "headcount":
		text = "Headcount " + change(r) + span(r.number("baseline_employees_count"), r.number("new_employees_count"), "employees")
	case "traffic":
		text = "Website traffic " + change(r) + amount(", ", r.number("last_month_visits"), " visits last month")
	case "itSpend":
		text = "IT spend " + change(r) + amount(", estimated ", r.number("estimated_annual_it_spend"), " a year")
	case "surge", "surgeDepartment", "surgeLocation":
		text = "Hiring surge" + prefixed(" in ", r.text("department")) + prefixed(" in ", place(r)) +
			amount(", ", r.number("new_jobs_posted_last_week"), " jobs posted last week") + amount(", ", r.number("new_jobs_posted_last_4_weeks"), " in four weeks")
	case "jobPost":
		text = prefixed("New job: ", joined(r.text("job_title"), r.text("department"), place(r)))
	case "location":
		text = prefixed("New location: ", place(r))
	case "intent", "intentGeography":
		text = prefixed("Interest in ", r.text("topic_name")) + prefixed(" in ", place(r)) + measured(", score ", r, "topic_score") + prefixed(", trend ", r.text("topic_trend"))
	case "visitors":
		text = "Website visits" + amount(": ", r.number("total_sessions"), " sessions") + amount(", ", r.number("unique_visitors"), " visitors") + prefixed(", ", r.text("score_band"))
	case "activity":
		text = firstText(r, "activity_summary")
	case "news":
		text = firstText(r, "event_summary", "article_highlight", "event_type")
	}
	if text == "" {
		text = e.Signal
	}
	return text
}

// personHeadline is about a new job or a promotion. The record has no name.
func personHeadline(signal string, r *recordRow) string {
	what := "New job: "
	if signal == "promotion" {
		what = "Promoted: "
	}
	before := at(r.text("previous_title"), r.text("previous_company_name"))
	if signal == "promotion" { // the former employer of a promotion is undefined
		before = r.text("previous_title")
	}
	text := prefixed(what, at(r.text("current_title"), r.text("current_company_name")))
	if text != "" && before != "" {
		text += " (before: " + before + ")"
	}
	return text
}

func at(title, company string) string {
	if title == "" || company == "" {
		return title + company
	}
	return title + " at " + company
}

// change says how much a measure changed, in which direction, and in which time.
func change(r *recordRow) string {
	text := "changed"
	switch schema.Trend(r.text("direction")) {
	case schema.Increase:
		text = "up"
	case schema.Decrease:
		text = "down"
	}
	if rate, ok := r.measure("change_rate_percent_abs"); ok {
		text += " " + rounded(rate) + " %"
	}
	switch months := r.number("window_months"); {
	case months.N == 1:
		text += " in 1 month"
	case months.N > 1:
		text += " in " + strconv.FormatInt(months.N, 10) + " months"
	}
	return text
}

// rounded has at most one decimal.
func rounded(v float64) string { return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0") }

func measured(before string, r *recordRow, column string) string {
	v, ok := r.measure(column)
	if !ok {
		return ""
	}
	return before + rounded(v)
}

func span(from, to Cell, unit string) string {
	switch {
	case from.Set && to.Set:
		return ", from " + strconv.FormatInt(from.N, 10) + " to " + strconv.FormatInt(to.N, 10) + " " + unit
	case to.Set:
		return ", to " + strconv.FormatInt(to.N, 10) + " " + unit
	}
	return ""
}

func amount(before string, n Cell, after string) string {
	if !n.Set {
		return ""
	}
	return before + strconv.FormatInt(n.N, 10) + after
}

func prefixed(before, text string) string {
	if text == "" {
		return ""
	}
	return before + text
}

func joined(parts ...string) string {
	var given []string
	for _, p := range parts {
		if p != "" {
			given = append(given, p)
		}
	}
	return strings.Join(given, ", ")
}

func place(r *recordRow) string { return joined(r.text("city"), r.text("state"), r.text("country")) }

var (
	hiddenHTML = regexp.MustCompile(`(?is)<(script|style)\b[^>]*>.*?</(script|style)\s*>|<!--.*?-->`)
	tagHTML    = regexp.MustCompile(`(?s)</?[A-Za-z!?][^<>]*>`)
)

func withoutTags(s string) string {
	if !strings.ContainsRune(s, '<') {
		return s
	}
	return tagHTML.ReplaceAllString(hiddenHTML.ReplaceAllString(s, " "), " ")
}

// plainText is a text without HTML, in one line and not too long. Records have tags, entities and
// entities of tags.
func plainText(s string) string {
	if isPlain(s) {
		return s
	}
	s = withoutTags(s)
	for range 3 {
		decoded := html.UnescapeString(s)
		if decoded == s {
			break
		}
		s = withoutTags(decoded)
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r), unicode.IsSpace(r):
			return ' '
		case unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
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
