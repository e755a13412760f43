package schema

// Meaning says what a signal tells about its entity, in one sentence, and in what its figures count.
type Meaning struct{ Text, Unit string }

// Meanings are those of the keys of the catalogue.
var Meanings = map[string]Meaning{
	"commercialActivityNews":    {"News of partners, customers and vendors", "article"},
	"companyChange":             {"A person of the list works for another company", "job change"},
	"corporateStrategyNews":     {"News of mergers, sites, sales of assets and lawsuits that the company filed", "article"},
	"financialEventsNews":       {"News of money: rounds, investments, an IPO", "article"},
	"headcountDecrease12m":      {"The company has fewer employees than 12 months ago", "people"},
	"headcountDecrease1m":       {"The company has fewer employees than a month ago", "people"},
	"headcountDecrease3m":       {"The company has fewer employees than 3 months ago", "people"},
	"headcountDecrease6m":       {"The company has fewer employees than 6 months ago", "people"},
	"headcountIncrease12m":      {"The company has more employees than 12 months ago", "people"},
	"headcountIncrease1m":       {"The company has more employees than a month ago", "people"},
	"headcountIncrease3m":       {"The company has more employees than 3 months ago", "people"},
	"headcountIncrease6m":       {"The company has more employees than 6 months ago", "people"},
	"intent":                    {"The company reads about a topic more than others do", "score of a topic"},
	"intentByGeography":         {"The company's staff at one place read about a topic more than others do", "score of a topic"},
	"itSpendDecrease":           {"The company's estimated yearly spending on IT fell", "amount of money a year, currency not stated"},
	"itSpendIncrease":           {"The company's estimated yearly spending on IT rose", "amount of money a year, currency not stated"},
	"linkedinActivityIntent":    {"Staff of the company, or others, wrote or reacted on LinkedIn about a topic of interest; names persons", "post or reaction"},
	"marketIntelligenceNews":    {"News of events, awards and competitors", "article"},
	"newJobPost":                {"The company published a job", "job post"},
	"newLocation":               {"The company has a place that it did not have before, by news or by its job posts", "place"},
	"peopleNews":                {"News of executives and of headcount", "article"},
	"productActivityNews":       {"News of products: launches, development, integrations", "article"},
	"promotion":                 {"A person of the list has a higher title at the same company", "promotion"},
	"riskNews":                  {"News of security issues and of lawsuits against the company", "article"},
	"surgeInHiring":             {"The company posted more jobs last week than it usually does", "job posts a week"},
	"surgeInHiringByDepartment": {"The company posted more jobs of one department in four weeks than it usually does", "job posts in four weeks"},
	"surgeInHiringByLocation":   {"The company posted more jobs at one place in four weeks than it usually does", "job posts in four weeks"},
	"websiteTrafficDecrease":    {"The website had fewer visits last month than it usually has", "visits a month"},
	"websiteTrafficIncrease":    {"The website had more visits last month than it usually has", "visits a month"},
	"websiteVisitors":           {"Staff of the company visited your own website", "score, sessions and people"},
}

// tableSince are the versions of the schema that added tables; the others are as old as OldestVersion.
var tableSince = map[string]int{"requests": 4, "runs": 4, "drift": 5}

// Since is the version of the schema that added the table.
func (t Table) Since() int { return max(tableSince[t.Name], OldestVersion) }

// SinceOf is the version of the schema that added a column.
func (t Table) SinceOf(c Column) int { return max(c.Since, t.Since()) }

// AlwaysSet are the columns that every row of the table has a value in. A file of an earlier version may
// lack columns that were added since.
func (t Table) AlwaysSet() []string {
	switch {
	case t.IsEvent():
		return []string{"event_uid", "signal_type", "object_type", "run_id", "call_id", "ingest_source", "schema_version", "raw"}
	case t.IsProduct():
		return []string{"row_uid", "object_type", "run_id", "call_id", "schema_version", "raw"}
	}
	return ledgerColumns[t.Name]
}

var ledgerColumns = map[string][]string{
	"accounts": {"run_id", "row", "status"},
	"calls":    {"run_id", "call_id", "batch_id", "attempt", "entities", "outcome"},
	"credits":  {"run_id", "call_id", "basis"},
	"requests": {"run_id", "call_id", "signal_type", "outcome", "entities"},
	"runs":     {"run_id", "command", "outcome", "exit_code", "lines", "calls", "credits"},
	"drift":    {"run_id", "kind", "events"},
}

// Values are all values that a column of the table can have; nil if they are not a closed list.
func (t Table) Values(column string) []string {
	if v := closedLists[t.Name+"."+column]; v != nil {
		return v
	}
	if t.IsEvent() && t.Name != string(CategoryOther) && column == "signal_type" {
		return signalKeys(Category(t.Name))
	}
	return closedLists[column]
}

// signalKeys are the signal keys of a category, in the order of the catalogue.
func signalKeys(c Category) (keys []string) {
	for _, s := range Signals {
		if s.Category == c {
			keys = append(keys, s.Key)
		}
	}
	return keys
}

var (
	objects  = []string{string(Contact), string(Company)}
	commands = []string{"run", "resolve", "score", "lookalikes", "visitors", "webhooks"}

	// closedLists are the values of columns, by table and column, or by column.
	closedLists = map[string][]string{
		"object_type":      objects,
		"direction":        {string(Increase), string(Decrease)},
		"ingest_source":    {IngestPoll, IngestWebhook},
		"event_type_norm":  newsKinds(),
		"identifier_type":  {string(ByID), string(ByLinkedIn), string(ByEmail), string(ByDomain), string(ByName)},
		"command":          commands,
		"status":           statusTexts(),
		"calls.outcome":    {"charged", "not_charged", "ambiguous"},
		"requests.outcome": {"charged", "ambiguous"},
		"runs.outcome":     {"complete", "complete_with_rejects", "deferred", "held", "refused"},
		"basis":            {"per_event", "per_type", "proportional", "whole_call", "unknown"},
		"drift.kind":       {"new_type", "new_field", "changed_type", "new_value", "missing_field"},
	}
)

// newsKinds are the kinds of news of the catalogue, in its order, and the one of all others.
func newsKinds() (kinds []string) {
	for _, s := range Signals {
		kinds = append(kinds, s.NewsEventTypes...)
	}
	return append(kinds, OtherNews)
}

func statusTexts() []string {
	texts := make([]string, len(Statuses))
	for i, s := range Statuses {
		texts[i] = string(s)
	}
	return texts
}

// Example is an invented value of a column, as an engine shows it; empty if there is none.
func (c Column) Example() string {
	if e := examples[c.Name]; e != "" {
		return e
	}
	switch c.Type {
	case Int64:
		return "12"
	case Double:
		return "12.5"
	case Bool:
		return "true"
	case Date:
		return "2026-03-09"
	case Time:
		return "2026-03-09 23:01:02.345678+00"
	}
	return ""
}

// examples are invented values, by column.
var examples = map[string]string{
	"account_key":             "acct-9",
	"activity_summary":        "Asks about data warehouses",
	"activity_type":           "post",
	"activity_url":            "https://social.example/7",
	"alias_id":                "v1.c2FtcGxl",
	"answer_extra":            `{"isCustomer": false}`,
	"answered_status":         "enriched",
	"article_highlight":       "The firm plans to double its support desk.",
	"article_title":           "Harbor Quill raises new capital",
	"article_url":             "https://news.example/harbor-quill",
	"attempt":                 "1",
	"author_full_name":        "Ada Sample",
	"author_id":               "70114455",
	"author_linkedin_url":     "https://www.linkedin.com/in/sample-person",
	"available":               "emails",
	"basis":                   "per_event",
	"batch_id":                "000003",
	"call_id":                 "000003-1",
	"category":                "news",
	"change_rate_percent":     "15",
	"change_rate_percent_abs": "15",
	"charge_text":             "3.5",
	"city":                    "Bergen",
	"command":                 "run",
	"companies_mentioned":     "[]",
	"company_domain":          "harborquill.example",
	"company_id":              "88003321",
	"company_name":            "Harbor Quill",
	"contacts_mentioned":      "[]",
	"content_digest":          "0c9a51be77d24f10",
	"country":                 "Norway",
	"current_company_id":      "88003321",
	"current_company_name":    "Harbor Quill",
	"current_departments":     "Finance; Legal",
	"current_domain":          "harborquill.example",
	"current_seniority_label": "director",
	"current_title":           "Head of Finance",
	"dataset":                 "growth",
	"department":              "Sales",
	"departments":             "Finance",
	"direction":               "increase",
	"domain":                  "harborquill.example",
	"endpoint":                "POST /api/signals/companies/search",
	"entity_domain":           "harborquill.example",
	"entity_id":               "88003321",
	"entity_name":             "Harbor Quill",
	"event_month":             "2026-03",
	"event_summary":           "Harbor Quill closed a growth round.",
	"event_type":              "funding round",
	"event_type_norm":         "Funding Round",
	"event_uid":               "6f0c1e7a9b3d4c5f8a1b2c3d4e5f6071",
	"exit_code":               "0",
	"expected":                "DOUBLE",
	"external_job_id":         "job-7",
	"extra":                   `{"Owner": "Ada"}`,
	"first_call_id":           "000003-1",
	"first_name":              "Ada",
	"found":                   "number",
	"http_status":             "200",
	"identifier":              "harborquill.example",
	"identifier_type":         "domain",
	"industry":                "Software",
	"ingest_source":           "poll",
	"input_column":            "Website",
	"input_file":              "accounts.csv",
	"intent_topics":           `[{"topic": "Data warehouses", "category": "IT"}]`,
	"job":                     "nightly",
	"job_title":               "Head of Finance",
	"job_url":                 "https://jobs.example/7",
	"kept_in":                 "raw",
	"kind":                    "new_field",
	"last_name":               "Sample",
	"line_email":              "ada@harborquill.example",
	"line_name":               "Harbor Quill",
	"linkedin_url":            "https://www.linkedin.com/in/sample-person",
	"list":                    "accounts.csv",
	"list_sha256":             "9f86d081…",
	"location_source":         "news",
	"name":                    "Harbor Quill",
	"notes":                   "lastVisit: not a date: soon",
	"object_type":             "company",
	"outcome":                 "charged",
	"path":                    "sentimentScore",
	"person_email":            "ada@harborquill.example",
	"person_id":               "70114455",
	"person_name":             "Ada Sample",
	"previous_company_name":   "Tallow & Finch",
	"previous_domain":         "tallowfinch.example",
	"previous_title":          "Controller",
	"problem":                 "connection reset",
	"rank":                    "1",
	"raw":                     `{"signalId": "9100417", …}`,
	"reason":                  "not in the answer",
	"reveal_prices":           `[{"field": "emails", "credits": 1}]`,
	"revision":                "1",
	"row_uid":                 "6f0c1e7a9b3d4c5f8a1b2c3d4e5f6071",
	"run_id":                  "20260309T230102Z-0badcafe",
	"schema_version":          "5",
	"score_band":              "high",
	"score_signals":           "hiringSignalIncrease",
	"seed_set":                "3f2a",
	"seniority":               "director",
	"session_id":              "5a0d2a58-3f0c-4c55-9f43-5f7c3a7f1d20",
	"signal_category":         "Budget planning",
	"signal_id":               "9100417",
	"signal_score":            "0.5",
	"signal_type":             "financialEventsNews",
	"signals":                 "financialEventsNews; surgeInHiring",
	"site":                    "shop.example.com",
	"state":                   "Vestland",
	"status":                  "enriched",
	"stop":                    "budget",
	"stop_reason":             "Budget exhausted",
	"summary_text":            "Harbor Quill raises new capital",
	"topic_name":              "Data warehouses",
	"topic_trend":             "+7",
	"url":                     "https://news.example/harbor-quill",
	"visitor_country":         "Norway",
	"window_months":           "3",
}
