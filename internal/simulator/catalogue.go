package simulator

import "strings"

// object is what a signal is about.
type object uint8

const (
	contact object = iota
	company
)

func (o object) String() string {
	if o == contact {
		return "contact"
	}
	return "company"
}

// eventShape is the shape of an event: which fields it carries and how they are drawn.
type eventShape uint8

const (
	jobMove     eventShape = iota // a person changed company or was promoted
	headcount                     // employees now and some months ago
	hiring                        // postings of one week, with the average
	hiringDept                    // postings of four weeks, by department
	hiringPlace                   // postings of four weeks, by place
	traffic                       // website visits of a month, with average
	itSpend                       // estimated yearly IT spending
	news                          // an article
	jobPost                       // one posting (assumed shape)
	newSite                       // a new place of business (assumed shape)
	intent                        // interest in a topic (assumed shape)
	intentPlace                   // interest by place (assumed shape)
	siteVisit                     // visits to the customer's site (assumed shape)
	social                        // public interest by people of the company
)

// cadence is how often a signal can occur.
type cadence uint8

const (
	daily cadence = iota
	weekly
	monthly
)

// signal is one line of the catalogue. Adding a signal type is adding a line.
type signal struct {
	key     string
	object  object
	shape   eventShape
	cadence cadence
	// Probability of an event at one step of the cadence, for an average entity.
	probability  float64
	windowMonths int  // headcount: length of the window
	decreasing   bool // the decreasing signal of a pair
	// Named only by the help centre; served when the switch says so.
	announced bool
	// Version of the API that first has the signal; 0 for all.
	sinceVersion int
	eventTypes   []string

	// pair is shared by the two directions of a measurement. One draw decides between them, so
	// both never happen at once.
	pair string
	salt uint64
}

const allSignals = "allSignals"

// catalogue holds every signal that the description or the help centre names, in the order of the
// options answer.
var catalogue = func() []*signal {
	list := []*signal{
		{key: "companyChange", object: contact, shape: jobMove, cadence: weekly, probability: 0.016, pair: "career"},
		{key: "promotion", object: contact, shape: jobMove, cadence: weekly, probability: 0.014, pair: "career"},

		{key: "headcountIncrease1m", object: company, shape: headcount, cadence: monthly, windowMonths: 1, probability: 0.04, pair: "headcount"},
		{key: "headcountIncrease3m", object: company, shape: headcount, cadence: monthly, windowMonths: 3, probability: 0.07, pair: "headcount"},
		{key: "headcountIncrease6m", object: company, shape: headcount, cadence: monthly, windowMonths: 6, probability: 0.10, pair: "headcount"},
		{key: "headcountIncrease12m", object: company, shape: headcount, cadence: monthly, windowMonths: 12, probability: 0.15, pair: "headcount"},
		{key: "headcountDecrease1m", object: company, shape: headcount, cadence: monthly, windowMonths: 1, decreasing: true, probability: 0.04, pair: "headcount"},
		{key: "headcountDecrease3m", object: company, shape: headcount, cadence: monthly, windowMonths: 3, decreasing: true, probability: 0.07, pair: "headcount"},
		{key: "headcountDecrease6m", object: company, shape: headcount, cadence: monthly, windowMonths: 6, decreasing: true, probability: 0.10, pair: "headcount"},
		{key: "headcountDecrease12m", object: company, shape: headcount, cadence: monthly, windowMonths: 12, decreasing: true, probability: 0.15, pair: "headcount"},
		{key: "surgeInHiring", object: company, shape: hiring, cadence: weekly, probability: 0.016},
		{key: "surgeInHiringByDepartment", object: company, shape: hiringDept, cadence: weekly, probability: 0.020},
		{key: "surgeInHiringByLocation", object: company, shape: hiringPlace, cadence: weekly, probability: 0.020},
		{key: "websiteTrafficIncrease", object: company, shape: traffic, cadence: monthly, probability: 0.07, pair: "traffic"},
		{key: "websiteTrafficDecrease", object: company, shape: traffic, cadence: monthly, decreasing: true, probability: 0.06, pair: "traffic"},
		{key: "itSpendIncrease", object: company, shape: itSpend, cadence: monthly, probability: 0.05, pair: "itSpend"},
		{key: "itSpendDecrease", object: company, shape: itSpend, cadence: monthly, decreasing: true, probability: 0.04, pair: "itSpend"},
		{key: "financialEventsNews", object: company, shape: news, cadence: weekly, probability: 0.010,
			eventTypes: []string{"Funding Round", "Asset Investment", "Strategic Investment", "IPO"}},
		{key: "commercialActivityNews", object: company, shape: news, cadence: weekly, probability: 0.022,
			eventTypes: []string{"Partnership", "New Customer", "New Vendor"}},
		{key: "corporateStrategyNews", object: company, shape: news, cadence: weekly, probability: 0.014,
			eventTypes: []string{"M&A", "Facilities Expansion", "New Location", "Facility Closure", "Asset Sale", "Lawsuit Filed"}},
		{key: "productActivityNews", object: company, shape: news, cadence: weekly, probability: 0.020,
			eventTypes: []string{"Product Launch", "Product Development", "Product Integration"}},
		{key: "peopleNews", object: company, shape: news, cadence: weekly, probability: 0.018,
			eventTypes: []string{"Executive Hire", "Executive Departure", "Executive Promotion", "Headcount Increase", "Headcount Decrease"}},
		{key: "marketIntelligenceNews", object: company, shape: news, cadence: weekly, probability: 0.016,
			eventTypes: []string{"Event Participation", "Recognition", "Competitor Activity"}},
		{key: "riskNews", object: company, shape: news, cadence: weekly, probability: 0.008,
			eventTypes: []string{"Security Issue", "Lawsuit Faced"}},
		{key: "linkedinActivityIntent", object: company, shape: social, cadence: daily, probability: 0.02, sinceVersion: apiV3},

		{key: "newJobPost", object: company, shape: jobPost, cadence: weekly, probability: 0.025, announced: true},
		{key: "newLocation", object: company, shape: newSite, cadence: weekly, probability: 0.009, announced: true},
		{key: "intent", object: company, shape: intent, cadence: weekly, probability: 0.025, announced: true},
		{key: "intentByGeography", object: company, shape: intentPlace, cadence: weekly, probability: 0.020, announced: true},
		{key: "websiteVisitors", object: company, shape: siteVisit, cadence: daily, probability: 0.004, announced: true},
	}
	for _, s := range list {
		if s.pair == "" {
			s.pair = s.key
		}
		s.salt = hashText(0, s.pair)
	}
	return list
}()

// Versions of the API.
const (
	apiV2 = 2
	apiV3 = 3
)

// signalsOf lists the signals of an object that this account may request in one version of the
// API.
func signalsOf(version int, o object, announced bool) []*signal {
	var list []*signal
	for _, s := range catalogue {
		if s.object == o && s.sinceVersion <= version && (announced || !s.announced) {
			list = append(list, s)
		}
	}
	return list
}

func signalByKey(key string) *signal {
	for _, s := range catalogue {
		if s.key == key {
			return s
		}
	}
	return nil
}

// departments are the values of the hiringByDepartments filter.
var departments = []string{
	"Business Development", "Consulting", "Customer Service", "Engineering & Technical", "Finance",
	"General Management", "Health Care & Medical", "Human Resources", "Information Technology", "Legal",
	"Marketing", "Operations", "Other", "Product", "Research & Analytics", "Sales",
}

// intentCategories returns the values of the intentCategories filter, in order of their first
// topic.
func intentCategories() []string {
	var list []string
	for _, t := range topics {
		if !containsFold(list, t.category) {
			list = append(list, t.category)
		}
	}
	return list
}

// newsEventTypes returns the values of the newsEventTypes filter: the event types of all news
// signals.
func newsEventTypes() []string {
	var list []string
	for _, s := range catalogue {
		list = append(list, s.eventTypes...)
	}
	return list
}

// place is a location of the hiringByLocations filter, plus a town for texts.
type place struct{ country, state, city string }

var places = []place{
	{"United States", "Ohio", "Columbus"}, {"United States", "Texas", "Austin"},
	{"United States", "California", "San Diego"}, {"United States", "New York", "Buffalo"},
	{"United States", "Massachusetts", "Boston"}, {"United States", "Colorado", "Denver"},
	{"Canada", "Ontario", "Ottawa"}, {"Canada", "Quebec", "Montréal"},
	{"United Kingdom", "England", "Leeds"}, {"United Kingdom", "Scotland", "Dundee"},
	{"Germany", "Bavaria", "Nuremberg"}, {"Germany", "Hesse", "Kassel"},
	{"France", "Occitania", "Toulouse"}, {"France", "Brittany", "Rennes"},
	{"Norway", "Vestland", "Bergen"}, {"Norway", "", "Oslo"},
	{"Netherlands", "Utrecht", "Utrecht"}, {"Belgium", "Flanders", "Ghent"},
	{"Spain", "Aragon", "Zaragoza"}, {"Poland", "Lesser Poland", "Kraków"},
	{"India", "Karnataka", "Mysuru"}, {"Japan", "Kansai", "大阪"},
	{"Brazil", "Paraná", "Curitiba"}, {"Singapore", "", "Singapore"},
	{"Côte d'Ivoire", "", "Abidjan"}, {"Australia", "Victoria", "Geelong"},
}

// canonicalValue returns the vocabulary's spelling of a value written in any letter case.
func canonicalValue(vocabulary []string, value string) (string, bool) {
	for _, v := range vocabulary {
		if strings.EqualFold(v, value) {
			return v, true
		}
	}
	return "", false
}
