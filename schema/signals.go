package schema

import (
	"strings"
	"unicode"
)

// Availability says how certain it is that an API version accepts a signal key.
type Availability string

// Documented keys are in the vendor's API reference. Announced keys are only in its help pages, so
// they are sent only if the options endpoint lists them.
const (
	Documented Availability = "documented"
	Announced  Availability = "announced"
	Absent     Availability = "absent"
)

// Signal is one entry of the catalogue.
type Signal struct {
	Key      string
	Object   Object
	Category Category
	// How often the vendor refreshes it: "daily", "weekly", "monthly" or "not stated".
	Cadence string
	V2, V3  Availability
	// The record layout; keys with the same layout have the same fields.
	Record string
	// Names persons who did not ask for it; requested only if the user gives the key itself.
	Personal bool
	// Also a risk signal, although it is stored in another dataset.
	Risk           bool
	Trend          Trend    // direction stated by the key
	WindowMonths   int      // window length stated by the key; 0: none
	NewsEventTypes []string // event types of a news key
}

// Trend is the direction that a key states. The key is authoritative, because the sign of the
// received rate is undocumented.
type Trend string

// The two trends; empty if the key states none.
const (
	Increase Trend = "increase"
	Decrease Trend = "decrease"
)

// Signals is the catalogue: every key that the vendor documents or announces. Source: the vendor's
// V2 and V3 references and the table in its help centre.
var Signals = []Signal{
	{Key: "companyChange", Object: Contact, Category: CategoryContact, Cadence: "weekly", V2: Documented, V3: Documented, Record: "person"},
	{Key: "promotion", Object: Contact, Category: CategoryContact, Cadence: "weekly", V2: Documented, V3: Documented, Record: "person"},

	{Key: "headcountIncrease1m", Object: Company, Category: CategoryGrowth, Cadence: "monthly", V2: Documented, V3: Documented, Record: "headcount", Trend: Increase, WindowMonths: 1},
	{Key: "headcountIncrease3m", Object: Company, Category: CategoryGrowth, Cadence: "monthly", V2: Documented, V3: Documented, Record: "headcount", Trend: Increase, WindowMonths: 3},
	{Key: "headcountIncrease6m", Object: Company, Category: CategoryGrowth, Cadence: "monthly", V2: Documented, V3: Documented, Record: "headcount", Trend: Increase, WindowMonths: 6},
	{Key: "headcountIncrease12m", Object: Company, Category: CategoryGrowth, Cadence: "monthly", V2: Documented, V3: Documented, Record: "headcount", Trend: Increase, WindowMonths: 12},
	{Key: "surgeInHiring", Object: Company, Category: CategoryGrowth, Cadence: "weekly", V2: Documented, V3: Documented, Record: "surge", Trend: Increase},
	{Key: "surgeInHiringByDepartment", Object: Company, Category: CategoryGrowth, Cadence: "weekly", V2: Documented, V3: Documented, Record: "surgeDepartment", Trend: Increase},
	{Key: "surgeInHiringByLocation", Object: Company, Category: CategoryGrowth, Cadence: "weekly", V2: Documented, V3: Documented, Record: "surgeLocation", Trend: Increase},
	{Key: "newJobPost", Object: Company, Category: CategoryGrowth, Cadence: "weekly", V2: Announced, V3: Announced, Record: "jobPost"},
	{Key: "newLocation", Object: Company, Category: CategoryGrowth, Cadence: "weekly", V2: Announced, V3: Announced, Record: "location"},
	{Key: "websiteTrafficIncrease", Object: Company, Category: CategoryGrowth, Cadence: "monthly", V2: Documented, V3: Documented, Record: "traffic", Trend: Increase},
	{Key: "itSpendIncrease", Object: Company, Category: CategoryGrowth, Cadence: "monthly", V2: Documented, V3: Documented, Record: "itSpend", Trend: Increase},

	{Key: "intent", Object: Company, Category: CategoryIntent, Cadence: "weekly", V2: Announced, V3: Announced, Record: "intent"},
	{Key: "intentByGeography", Object: Company, Category: CategoryIntent, Cadence: "weekly", V2: Announced, V3: Announced, Record: "intentGeography"},
	{Key: "websiteVisitors", Object: Company, Category: CategoryIntent, Cadence: "daily", V2: Announced, V3: Announced, Record: "visitors"},
	{Key: "linkedinActivityIntent", Object: Company, Category: CategoryIntent, Cadence: "not stated", V2: Absent, V3: Documented, Record: "activity", Personal: true},

	{Key: "financialEventsNews", Object: Company, Category: CategoryNews, Cadence: "weekly", V2: Documented, V3: Documented, Record: "news",
		NewsEventTypes: []string{"Funding Round", "Asset Investment", "Strategic Investment", "IPO"}},
	{Key: "commercialActivityNews", Object: Company, Category: CategoryNews, Cadence: "weekly", V2: Documented, V3: Documented, Record: "news",
		NewsEventTypes: []string{"Partnership", "New Customer", "New Vendor"}},
	{Key: "corporateStrategyNews", Object: Company, Category: CategoryNews, Cadence: "weekly", V2: Documented, V3: Documented, Record: "news",
		NewsEventTypes: []string{"M&A", "Facilities Expansion", "New Location", "Facility Closure", "Asset Sale", "Lawsuit Filed"}},
	{Key: "productActivityNews", Object: Company, Category: CategoryNews, Cadence: "weekly", V2: Documented, V3: Documented, Record: "news",
		NewsEventTypes: []string{"Product Launch", "Product Development", "Product Integration"}},
	{Key: "peopleNews", Object: Company, Category: CategoryNews, Cadence: "weekly", V2: Documented, V3: Documented, Record: "news",
		NewsEventTypes: []string{"Executive Hire", "Executive Departure", "Executive Promotion", "Headcount Increase", "Headcount Decrease"}},
	{Key: "marketIntelligenceNews", Object: Company, Category: CategoryNews, Cadence: "weekly", V2: Documented, V3: Documented, Record: "news",
		NewsEventTypes: []string{"Event Participation", "Recognition", "Competitor Activity"}},
	{Key: "riskNews", Object: Company, Category: CategoryNews, Cadence: "weekly", V2: Documented, V3: Documented, Record: "news", Risk: true,
		NewsEventTypes: []string{"Security Issue", "Lawsuit Faced"}},

	{Key: "headcountDecrease1m", Object: Company, Category: CategoryRisk, Cadence: "monthly", V2: Documented, V3: Documented, Record: "headcount", Risk: true, Trend: Decrease, WindowMonths: 1},
	{Key: "headcountDecrease3m", Object: Company, Category: CategoryRisk, Cadence: "monthly", V2: Documented, V3: Documented, Record: "headcount", Risk: true, Trend: Decrease, WindowMonths: 3},
	{Key: "headcountDecrease6m", Object: Company, Category: CategoryRisk, Cadence: "monthly", V2: Documented, V3: Documented, Record: "headcount", Risk: true, Trend: Decrease, WindowMonths: 6},
	{Key: "headcountDecrease12m", Object: Company, Category: CategoryRisk, Cadence: "monthly", V2: Documented, V3: Documented, Record: "headcount", Risk: true, Trend: Decrease, WindowMonths: 12},
	{Key: "websiteTrafficDecrease", Object: Company, Category: CategoryRisk, Cadence: "monthly", V2: Documented, V3: Documented, Record: "traffic", Risk: true, Trend: Decrease},
	{Key: "itSpendDecrease", Object: Company, Category: CategoryRisk, Cadence: "monthly", V2: Documented, V3: Documented, Record: "itSpend", Risk: true, Trend: Decrease},
}

// LookupSignal finds a catalogue entry by its exact key; ok is false for a key that is not in the
// catalogue.
func LookupSignal(key string) (s Signal, ok bool) {
	i, ok := signalIndex[key]
	if !ok {
		return Signal{}, false
	}
	return Signals[i], true
}

// MatchSignals expands one word of a --signals list: "all", a category, or a key in any letter
// case. The risk category includes riskNews, which is stored under news. "intent" is both a
// category and a key; "key:intent" selects the key. The result is nil if nothing matches.
func MatchSignals(word string) []Signal {
	var out []Signal
	key, only := strings.CutPrefix(word, "key:")
	for _, s := range Signals {
		switch {
		case only && !strings.EqualFold(key, s.Key):
		case only,
			strings.EqualFold(word, "all"),
			strings.EqualFold(word, string(s.Category)),
			strings.EqualFold(word, "risk") && s.Risk,
			strings.EqualFold(word, s.Key):
			out = append(out, s)
		}
	}
	return out
}

// EventKeys tell apart the events of one type about one company on one day, by record layout. Of a
// layout's lists, the first whose first column has a value counts, all of it; the columns of the
// others may be in one answer and not in the next. A layout without lists has one event a day.
var EventKeys = map[string][][]string{
	"surgeDepartment": {{"department"}},
	"surgeLocation":   {{"country", "state"}, {"state"}},
	"jobPost":         {{"external_job_id"}, {"job_url"}, {"job_title", "department", "country", "state", "city"}},
	"location":        {{"country", "state", "city"}, {"city", "state"}, {"state"}},
	"intent":          {{"topic_name"}},
	"intentGeography": {{"topic_name", "country", "state"}},
	"activity":        {{"activity_url"}},
	"news":            {{"article_url", "event_type"}, {"article_title", "event_type"}},
}

// Departments is the vendor's vocabulary for hiring surges by department. Answers may contain other
// values.
var Departments = []string{
	"Business Development", "Consulting", "Customer Service", "Engineering & Technical",
	"Finance", "General Management", "Health Care & Medical", "Human Resources",
	"Information Technology", "Legal", "Marketing", "Operations", "Other", "Product",
	"Research & Analytics", "Sales",
}

// OtherNews is the kind of news that the catalogue does not have.
const OtherNews = "Other"

// NormalizeNewsType gives a kind of news in the spelling of the catalogue, however it was spelled:
// letter case, spaces, hyphens and underscores do not count. Kinds that the catalogue does not have are
// OtherNews.
func NormalizeNewsType(text string) string {
	if name, ok := newsTypes[foldNewsType(text)]; ok {
		return name
	}
	return OtherNews
}

// foldNewsType leaves the letters of a text, in lower case.
func foldNewsType(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '&':
			return unicode.ToLower(r)
		}
		return -1
	}, strings.ReplaceAll(text, "&amp;", "&"))
}

var newsTypes = func() map[string]string {
	m := map[string]string{}
	for _, s := range Signals {
		for _, name := range s.NewsEventTypes {
			m[foldNewsType(name)] = name
		}
	}
	return m
}()

var signalIndex = func() map[string]int {
	m := make(map[string]int, len(Signals))
	for i, s := range Signals {
		m[s.Key] = i
	}
	return m
}()
