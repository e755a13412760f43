package flatten

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/siglake/siglake/schema"
)

// TestOneLine: a summary is one line of text, without HTML.
func TestOneLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Plain text":      "Plain text",
		" two\n\tlines  ": "two lines",
		"<p>Acme &amp; Sons <b>raised</b> $5m</p>":  "Acme & Sons raised $5m",
		"<p>One</p><p>Two</p>three<br>four":         "One Two three four",
		"re<b>mark</b>able":                         "remarkable",
		"&lt;p&gt;escaped &amp;amp; sent&lt;/p&gt;": "escaped & sent",
		"a < b and b > c, <3":                       "a < b and b > c, <3",
		"AT&T, R&D; &nosuchentity;":                 "AT&T, R&D; &nosuchentity;",
		"x<script>alert('1')</script>y":             "x y",
		"<style>p{}</style>shown":                   "shown",
		"zero\u200bwidth\u0000nul\u202ebidi":        "zerowidthnulbidi",
		"👩\u200d💻 hired":                            "👩\u200d💻 hired",
		"&#8364;5 &euro;6&nbsp;&hellip;":            "€5 €6 …",
		"<img src=x onerror=1>":                     "",
		"":                                          "",
	} {
		if got := OneLine(text); got != want {
			t.Errorf("OneLine(%q) = %q, want %q", text, got, want)
		}
	}
}

// TestSummaries: each layout of a record has a sentence.
func TestSummaries(t *testing.T) {
	t.Parallel()
	f := byMonth(schema.Version)
	for _, test := range []struct{ signal, raw, want string }{
		{"financialEventsNews", `{"eventType":"funding_round","eventSummary":"<b>Acme</b> raises 5&nbsp;million","articleTitle":"T"}`, "Acme raises 5 million"},
		{"peopleNews", `{"eventType":"Executive Hire","articleTitle":"A new CFO"}`, "A new CFO"},
		{"companyChange", `{"currentTitle":"CTO","currentCompanyName":"Acme","previousTitle":"VP","previousCompanyName":"Beta"}`, "CTO at Acme, before: VP at Beta"},
		{"promotion", `{"currentTitle":"CTO","currentCompanyName":"Acme","previousTitle":"VP","previousCompanyName":"Beta"}`, "CTO at Acme, before: VP"},
		{"headcountIncrease3m", `{"baselineEmployeesCount":10,"newEmployeesCount":15,"changeRatePercent":50.5}`, "Headcount increase of 50.5 % in 3 months, from 10 to 15 people"},
		{"headcountDecrease1m", `{"changeRatePercent":-4}`, "Headcount decrease of 4 % in a month"},
		{"websiteTrafficDecrease", `{}`, "Website traffic decrease"},
		{"itSpendIncrease", `{"changeRatePercent":2}`, "IT spend increase of 2 %"},
		{"surgeInHiringByDepartment", `{"department":"Sales","newJobsPostedLast4Weeks":12}`, "Hiring surge in Sales: 12 jobs posted in four weeks"},
		{"surgeInHiring", `{"newJobsPostedLastWeek":3}`, "Hiring surge: 3 jobs posted in a week"},
		{"surgeInHiringByLocation", `{"country":"Germany","state":"Hesse"}`, "Hiring surge in Hesse, Germany"},
		{"newJobPost", `{"jobTitle":"Cook","department":"Operations","city":"Bonn"}`, "Job post: Cook, Operations, Bonn"},
		{"newLocation", `{"country":"Chile"}`, "New location: Chile"},
		{"intent", `{"topicName":"CRM"}`, "Interest: CRM"},
		{"websiteVisitors", `{"uniqueVisitors":3,"totalSessions":9}`, "Website visits of 3 people in 9 sessions"},
		{"linkedinActivityIntent", `{"activitySummary":"Posted\nabout CRM"}`, "Posted about CRM"},
		{"somethingNew", `{"a":1}`, ""},
	} {
		rows := rowsOf(t, f, schema.Event{Type: test.signal, Raw: json.RawMessage(test.raw)})
		if got := rows[0].value("summary_text").Text; len(rows) != 1 || got != test.want {
			t.Errorf("summary of %s %s = %q, want %q", test.signal, test.raw, got, test.want)
		}
	}
}

// TestNewsTypes: a kind of news has one spelling.
func TestNewsTypes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Funding Round": "Funding Round", "funding round": "Funding Round", "FUNDING_ROUND": "Funding Round", "fundingRound": "Funding Round",
		"M&A": "M&A", "m &amp; a": "M&A", "ipo": "IPO", "Lawsuit-Filed": "Lawsuit Filed", "Merger": schema.OtherNews, "": schema.OtherNews,
	} {
		if got := schema.NormalizeNewsType(text); got != want {
			t.Errorf("NormalizeNewsType(%q) = %q, want %q", text, got, want)
		}
	}
}

// TestSimpleElements: simple elements are taken away as all others are.
func TestSimpleElements(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOf(rapid.SampledFrom([]string{
			"a", " ", "<b>", "</b>", "<p>", "</p>", "<br>", "<br/>", "<B>", "<", ">", "&", "&amp;", "&lt;", "&nbsp", "&#8364;", "&nosuch;", "</", "<p class=x>", "<script>", "<title>", "\r\n", "é", "\x00", "<!--", "-->",
		})).Draw(t, "parts"), "")
		if got, ok := appendWithoutElements(nil, []byte(text)); ok && string(appendWords(nil, got)) != string(appendWords(nil, []byte(withoutElements(text)))) {
			t.Fatalf("appendWithoutElements(%q) = %q, want %q", text, got, withoutElements(text))
		}
	})
}
