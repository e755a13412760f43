package simulator

import (
	"strconv"
	"strings"
)

// article is the text of a news event.
type article struct{ title, summary, highlight, url string }

// headline is a pair of sentence patterns for one kind of news. {c} is the company, {p} another
// company, {w} a person, {n} a number, {l} a town.
type headline struct{ title, summary string }

var headlines = map[string]headline{
	"Funding Round":        {"{c} raises {n} million", "{c} closed a round of {n} million led by {p}."},
	"Asset Investment":     {"{c} buys plant in {l}", "{c} put {n} million into machinery at its site in {l}."},
	"Strategic Investment": {"{c} takes a stake in {p}", "{c} acquired {n} percent of {p} to secure supply."},
	"IPO":                  {"{c} prepares to list", "{c} filed for a listing that could bring in {n} million."},
	"Partnership":          {"{c} and {p} join forces", "{c} will sell the products of {p} in {l} for {n} years."},
	"New Customer":         {"{p} picks {c}", "{p} signed a contract with {c} covering {n} sites."},
	"New Vendor":           {"{c} moves to {p}", "{c} chose {p} as its supplier for {n} locations."},
	"M&A":                  {"{c} to merge with {p}", "{c} agreed to take over {p} and its {n} employees."},
	"Facilities Expansion": {"{c} adds space in {l}", "{c} extends its halls in {l} by {n} thousand square metres."},
	"New Location":         {"{c} opens in {l}", "{c} opened an office for {n} people in {l}."},
	"Facility Closure":     {"{c} leaves {l}", "{c} closes its site in {l}; {n} jobs are affected."},
	"Asset Sale":           {"{c} sells a unit to {p}", "{p} pays {n} million for a business of {c}."},
	"Lawsuit Filed":        {"{c} sues {p}", "{c} filed a complaint against {p} over {n} patents."},
	"Product Launch":       {"{c} presents a new line", "{c} launched {n} products at an event in {l}."},
	"Product Development":  {"{c} tests a prototype", "{c} started trials with {n} customers around {l}."},
	"Product Integration":  {"{c} now works with {p}", "{c} connected its software to {p} through {n} interfaces."},
	"Executive Hire":       {"{w} joins {c}", "{c} hired {w}, who spent {n} years at {p}."},
	"Executive Departure":  {"{w} leaves {c}", "{w} steps down at {c} after {n} years."},
	"Executive Promotion":  {"{c} promotes {w}", "{w} moves up at {c} and will lead {n} people."},
	"Headcount Increase":   {"{c} is hiring", "{c} plans to add {n} jobs, most of them in {l}."},
	"Headcount Decrease":   {"{c} cuts jobs", "{c} will let {n} people go in {l}."},
	"Event Participation":  {"Meet {c} in {l}", "{c} shows its work at stand {n} of the fair in {l}."},
	"Recognition":          {"{c} wins an award", "{c} was named among the best {n} employers of {l}."},
	"Competitor Activity":  {"{p} challenges {c}", "{p} undercuts {c} by {n} percent in {l}."},
	"Security Issue":       {"{c} reports a breach", "{c} found a leak that touched {n} thousand records."},
	"Lawsuit Faced":        {"{p} takes {c} to court", "{p} demands {n} million from {c} before a court in {l}."},
}

var highlights = []string{
	"The firm plans to double its support desk.",
	"\"We have been working towards this for {n} months,\" said {w}.",
	"Shares of {p} were unchanged.",
	"Terms were not disclosed.",
	"The decision takes effect within {n} weeks.",
	"{w} called it a step that customers in {l} had asked for.",
	"Analysts at {p} had expected as much.",
}

var rtlTexts = []string{
	"الشركة تعلن عن نتائج الربع الثالث", "شراكة جديدة في المنطقة", "החברה מרחיבה את הפעילות", "הודעה לעיתונות: מינוי חדש",
}

var emojis = []string{"🚀", "📈", "👩🏽‍💻", "🏭", "🇳🇴", "⚖️", "✨"}

// filler is repeated to make very long articles.
const filler = "The company gave no further details on the matter, but people close to it expect more news soon.\n\t\u2013 "

// newArticle returns the texts of a news event about a company of the given name. A few texts are of
// a kind that breaks careless readers: HTML entities, emoji, right-to-left script, quotes and
// backslashes, line breaks, or several kilobytes of text.
func newArticle(e *event, name string) article {
	d := dice(mix(e.textSeed, 'w'))
	h := headlines[e.topic]
	c := placeholders{
		'c': name,
		'p': pick(&d, companyFirst) + " & " + pick(&d, companySecond),
		'w': personName(&d),
		'n': strconv.Itoa(d.between(2, 90)),
		'l': pick(&d, places).city,
	}
	a := article{title: c.expand(h.title), summary: c.expand(h.summary), highlight: c.expand(pick(&d, highlights))}
	a.url = "https://news.example/" + strconv.FormatUint(e.id%1_000_000_000, 36) + "/" + titleSlug(a.title)
	switch luck := d.float(); {
	case luck < 0.08:
		a.title = "&#8220;" + strings.ReplaceAll(a.title, "&", "&amp;") + "&#8221;"
		a.summary = "<b>" + strings.ReplaceAll(a.summary, "&", "&amp;") + "</b>&nbsp;&hellip;"
	case luck < 0.14:
		a.title += " " + pick(&d, emojis)
		a.highlight = pick(&d, emojis) + " " + a.highlight
	case luck < 0.18:
		a.title = pick(&d, rtlTexts)
		a.highlight = pick(&d, rtlTexts) + " (" + name + ")"
	case luck < 0.21:
		a.summary = `C:\news\` + name + ` says: "` + a.summary + "\"\r\n\tMore to come,\u2028perhaps."
	case luck < 0.218:
		a.summary += " " + strings.Repeat(filler, d.between(4_000, 19_000)/len(filler)+1)
	}
	return a
}

// placeholders holds the values of the placeholders in a sentence pattern, indexed by the placeholder's
// letter.
type placeholders ['w' + 1]string

// expand replaces the placeholders of a pattern.
func (c *placeholders) expand(pattern string) string {
	b := make([]byte, 0, len(pattern)+64)
	for i := 0; i < len(pattern); i++ {
		if pattern[i] == '{' {
			b = append(b, c[pattern[i+1]]...)
			i += len("{c}") - 1
			continue
		}
		b = append(b, pattern[i])
	}
	return string(b)
}

// titleSlug turns a title into the last part of the article's URL.
func titleSlug(title string) string {
	b := make([]byte, 0, len(title))
	for i := range len(title) {
		switch ch := title[i] | 0x20; {
		case ch >= 'a' && ch <= 'z' || ch >= '0' && ch <= '9':
			b = append(b, ch)
		case title[i] == ' ' && len(b) > 0 && b[len(b)-1] != '-':
			b = append(b, '-')
		}
	}
	return strings.Trim(string(b), "-")
}
