package schema

// RecordLayout says what the records of a layout hold.
type RecordLayout struct {
	// Columns that read the record, in the order of its fields.
	Columns []string
	// Those of the columns that every record fills, in each known reading of the API: a record without
	// one of them has changed.
	Always []string
}

// measurement are the columns of a measurement, before those of its layout.
func measurement(columns ...string) []string {
	return append([]string{"company_id", "company_name", "company_domain", "signal_id", "signal_date"}, columns...)
}

// RecordLayouts are the layouts of the records of the catalogue, by Signal.Record. The layouts of
// announced keys are assumed, so nothing is expected of their records.
var RecordLayouts = map[string]RecordLayout{
	"person": {
		[]string{"person_id", "current_company_id", "current_company_name", "current_domain", "current_title", "previous_title", "current_departments",
			"current_seniority_label", "previous_company_name", "previous_domain", "signal_date"},
		[]string{"current_company_name", "signal_date"}},
	"headcount": {measurement("baseline_employees_count", "new_employees_count", "change_rate_percent"),
		[]string{"signal_date", "baseline_employees_count", "new_employees_count", "change_rate_percent"}},
	"surge": {measurement("new_jobs_posted_last_week", "historical_avg", "change_rate_percent"),
		[]string{"signal_date", "new_jobs_posted_last_week", "historical_avg", "change_rate_percent"}},
	"surgeDepartment": {measurement("department", "new_jobs_posted_last_4_weeks", "historical_avg", "change_rate_percent"),
		[]string{"signal_date", "department", "new_jobs_posted_last_4_weeks", "historical_avg", "change_rate_percent"}},
	"surgeLocation": {measurement("country", "state", "new_jobs_posted_last_4_weeks", "historical_avg", "change_rate_percent"),
		[]string{"signal_date", "country", "new_jobs_posted_last_4_weeks", "historical_avg", "change_rate_percent"}},
	"traffic": {measurement("last_month_visits", "historical_avg", "change_rate_percent"),
		[]string{"signal_date", "last_month_visits", "historical_avg", "change_rate_percent"}},
	"itSpend": {measurement("estimated_annual_it_spend", "change_rate_percent"),
		[]string{"signal_date", "estimated_annual_it_spend", "change_rate_percent"}},
	"news": {
		[]string{"company_id", "company_name", "company_domain", "signal_id", "event_type", "event_summary", "article_title", "article_highlight", "article_url",
			"article_published_date", "event_effective_date"},
		[]string{"event_type", "article_title", "article_url"}},
	"jobPost":         {measurement("external_job_id", "job_title", "department", "country", "state", "city", "job_url"), nil},
	"location":        {measurement("country", "state", "city", "location_source"), nil},
	"intent":          {measurement("topic_name", "topic_score", "topic_trend"), nil},
	"intentGeography": {measurement("topic_name", "topic_score", "topic_trend", "country", "state"), nil},
	"visitors": {measurement("score", "score_band", "total_sessions", "unique_visitors", "avg_session_minutes", "days_visited", "high_intent_pageviews",
		"last_visit", "visitor_country"), nil},
	"activity": {
		[]string{"company_id", "activity_publication_date", "signal_category", "intent_topics", "author_id", "author_full_name", "author_linkedin_url",
			"contacts_mentioned", "companies_mentioned", "activity_url", "activity_summary", "activity_likes", "activity_comments", "activity_shares", "activity_type"},
		[]string{"activity_publication_date", "activity_url"}},
}

// UnreadFields are fields of records that are documented and that no column reads: raw has them.
var UnreadFields = map[Category][]string{
	CategoryIntent: {"detectedTopics", "topicCount"},
}

// UnreadEntryFields are fields of an entity's entry in an answer that are documented. If one has another
// value than was expected, accounts.answer_extra has it.
var UnreadEntryFields = []string{"id", "personId", "contactId", "companyId", "companyName", "name", "fullName", "domain", "clientReferenceId", "error"}

// UnreadAnswerFields are fields of an answer that are documented and that no column reads: calls.extra
// has them.
var UnreadAnswerFields = []string{"requestId", "resultsReturned", "startDate", "endDate", "statusCode", "error", "tableWrite", "billing", "contacts", "companies", "results"}
