package schema

// Version is the schema version of the tables. It increases when any of them changes, or the meaning of
// its values does:
//
//	2  news has the column article_url
//	3  event_uid says whom the event is about; undated events of lakes by day lie in UnknownDay;
//	   events have first_seen_at, revision and content_digest, accounts new_events and known_events
//	4  accounts.extra holds kept columns of the list, and answer_extra what extra held before; cached and
//	   duplicate lines have an entity_id; accounts have the name and the e-mail address of the line, events
//	   summary_text, news event_type_norm; the tables runs and requests are new
//	5  the table drift is new
//	6  events are compared with those of all partitions, so that one whose date moves to another
//	   partition is a revision there
const Version = 6

// productVersion is the version that last changed the tables of products.
const productVersion = 3

// EntitiesVersion is the version since which lines that need no call have an entity_id, and extra holds
// columns of the list.
const EntitiesVersion = 4

// OldestVersion is the oldest version that can still be written, to verify or complete a run of an
// earlier build.
const OldestVersion = 2

// eventColumns are the first columns of every event table.
var eventColumns = []Column{
	{Name: "event_uid", Type: String, Doc: "Stable id of the event, derived from whom it is about, its type and what identifies it: the same event has the same id in every run, API version and source", Rare: true},
	{Name: "signal_type", Type: String, Doc: "Signal key, as received"},
	{Name: "object_type", Type: String, Doc: "What the event is about: contact or company"},
	{Name: "entity_id", Type: String, Doc: "The API's id of the contact or company"},
	{Name: "account_key", Type: String, Doc: "The key of the input line that asked first; null when the answer was about something never asked"},
	{Name: "event_date", Type: Date, Doc: "Date of the event: the first present of the record's signal, publication, effective and activity dates"},
	{Name: "fetched_at", Type: Time, Doc: "When the answer that holds the event was received"},
	{Name: "run_id", Type: String, Doc: "Run that bought the event"},
	{Name: "call_id", Type: String, Doc: "Call that bought the event; joins with ledger/calls and ledger/credits within the run"},
	{Name: "ingest_source", Type: String, Doc: "How the event came: poll or webhook"},
	{Name: "schema_version", Type: Int64, Doc: "Version of this table's layout"},
	{Name: "notes", Type: String, Doc: "What of the record could not be typed, and why; null when all of it could", Rare: true},
	{Name: "raw", Type: String, Doc: "The record as received, JSON, nothing removed", Rare: true},
}

// revisionColumns are the last columns of every event table.
var revisionColumns = []Column{
	{Name: "first_seen_at", Type: Time, Since: 3, Doc: "When the first revision of the event was received: fetched_at of that row"},
	{Name: "revision", Type: Int64, Since: 3, Doc: "1 for the first content of the event that was bought, 2 for the next that differs, and so on; rows of one answer share it"},
	{Name: ContentDigest, Type: String, Since: 3, Rare: true, Doc: "Digest of what the record states, whatever its spelling and the run, call, API version and source: an event is written once with each content"},
	{Name: "summary_text", Type: String, Since: 4, Rare: true, Doc: "What happened, in one line of plain text without HTML: the record's own summary, or a sentence made of its fields"},
}

// ExtraColumn is the column of accounts with the kept columns of the list.
const ExtraColumn = "extra"

// ContentDigest is the column by which contents of an event are compared.
const ContentDigest = "content_digest"

// companyColumns are the identity fields that every company record repeats.
var companyColumns = []Column{
	{Name: "company_id", Type: String, Doc: "The API's company id in the record", From: []string{"companyId"}},
	{Name: "company_name", Type: String, Doc: "Company name in the record", From: []string{"companyName"}},
	{Name: "company_domain", Type: String, Doc: "Company domain in the record, without a leading www", From: []string{"domain"}, Host: true},
	{Name: "signal_id", Type: String, Doc: "The API's id of the event", From: []string{"signalId"}, Rare: true},
}

// rateColumns are the columns of changes, shared by growth and risk.
var rateColumns = []Column{
	{Name: "change_rate_percent", Type: Double, Unit: "percent", Doc: "Rate of change, sign as received; the direction column, not the sign, is authoritative", From: []string{"changeRatePercent"}, AnySign: true},
	{Name: "change_rate_percent_abs", Type: Double, Unit: "percent", Doc: "Rate of change without its sign"},
	{Name: "direction", Type: String, Doc: "increase or decrease, as the signal key states"},
	{Name: "window_months", Type: Int64, Unit: "months", Doc: "Length of the compared window, as the signal key states"},
	{Name: "baseline_employees_count", Type: Int64, Unit: "people", Doc: "Headcount at the start of the window", From: []string{"baselineEmployeesCount"}, Rare: true},
	{Name: "new_employees_count", Type: Int64, Unit: "people", Doc: "Headcount at the end of the window", From: []string{"newEmployeesCount"}, Rare: true},
	{Name: "last_month_visits", Type: Int64, Unit: "visits", Doc: "Website visits of the last month", From: []string{"lastMonthVisits"}, Rare: true},
	{Name: "historical_avg", Type: Double, Doc: "Average the new value is compared with, in the unit of that value", From: []string{"historicalAvg"}},
	{Name: "estimated_annual_it_spend", Type: Int64, Doc: "Estimated yearly IT spend; the vendor does not state the currency", From: []string{"estimatedAnnualItSpend"}, Rare: true},
}

// visitColumns are the measurements of a website-visitors record.
var visitColumns = []Column{
	{Name: "score", Type: Double, Doc: "Visitor score", From: []string{"score"}},
	{Name: "score_band", Type: String, Doc: "Band of the visitor score", From: []string{"scoreBand"}},
	{Name: "total_sessions", Type: Int64, Unit: "sessions", Doc: "Sessions in the period", From: []string{"totalSessions"}},
	{Name: "unique_visitors", Type: Int64, Unit: "people", Doc: "Distinct visitors in the period", From: []string{"uniqueVisitors"}},
	{Name: "avg_session_minutes", Type: Double, Unit: "minutes", Doc: "Average session length", From: []string{"avgSessionMinutes"}},
	{Name: "days_visited", Type: Int64, Unit: "days", Doc: "Days with at least one visit", From: []string{"daysVisited"}},
	{Name: "high_intent_pageviews", Type: Int64, Unit: "page views", Doc: "Views of high-intent pages", From: []string{"highIntentPageviews"}},
	{Name: "last_visit", Type: Date, Doc: "Date of the last visit", From: []string{"lastVisit"}},
	{Name: "visitor_country", Type: String, Doc: "Country of the visitors", From: []string{"visitorCountry"}},
}

// activityColumns are the columns of a LinkedIn activity record.
var activityColumns = []Column{
	{Name: "signal_category", Type: String, Doc: "Vendor's category of the activity", From: []string{"signalCategory"}},
	{Name: "intent_topics", Type: String, Doc: "Topics, as a JSON list of {topic, category}", From: []string{"intentTopics"}, List: ListJSON, Rare: true},
	{Name: "author_id", Type: String, Doc: "The API's id of the author", From: []string{"author.id"}, Rare: true},
	{Name: "author_full_name", Type: String, Doc: "Author of the activity", From: []string{"author.fullName"}, Rare: true},
	{Name: "author_linkedin_url", Type: String, Doc: "Author's LinkedIn profile", From: []string{"author.linkedinUrl"}, Rare: true},
	{Name: "contacts_mentioned", Type: String, Doc: "People mentioned, as a JSON list", From: []string{"contactsMentioned"}, List: ListJSON, Rare: true},
	{Name: "companies_mentioned", Type: String, Doc: "Companies mentioned, as a JSON list", From: []string{"companiesMentioned"}, List: ListJSON, Rare: true},
	{Name: "activity_url", Type: String, Doc: "Address of the activity", From: []string{"activityUrl"}, Rare: true},
	{Name: "activity_summary", Type: String, Doc: "Summary of the activity", From: []string{"activitySummary"}, Rare: true},
	{Name: "activity_likes", Type: Int64, Doc: "Likes when measured", From: []string{"activityLikes"}},
	{Name: "activity_comments", Type: Int64, Doc: "Comments when measured", From: []string{"activityComments"}},
	{Name: "activity_shares", Type: Int64, Doc: "Shares when measured", From: []string{"activityShares"}},
	{Name: "activity_type", Type: String, Doc: "Kind of activity", From: []string{"activityType"}},
	{Name: "activity_publication_date", Type: Date, Doc: "Date the activity was published", From: []string{"activityPublicationDate"}},
}

var signalDate = Column{Name: "signal_date", Type: Date, Doc: "Date of the measurement or change", From: []string{"signalDate"}}

// EventTables are the event tables, one per category, in the order of Categories.
var EventTables = []Table{
	newEventTable(CategoryContact, "People who changed company or were promoted", []Column{
		{Name: "person_id", Type: String, Doc: "The API's contact id in the record", From: []string{"personId", "id"}, Rare: true},
		signalDate,
		{Name: "current_company_id", Type: String, Doc: "The API's id of the present employer", From: []string{"currentCompanyId"}},
		{Name: "current_company_name", Type: String, Doc: "Present employer", From: []string{"currentCompanyName", "newCompany"}},
		{Name: "current_domain", Type: String, Doc: "Domain of the present employer, without a leading www", From: []string{"currentDomain"}, Host: true},
		{Name: "current_title", Type: String, Doc: "Present job title", From: []string{"currentTitle"}},
		{Name: "current_departments", Type: String, Doc: "Present departments, separated by '; '", From: []string{"currentDepartments"}, List: ListJoined},
		{Name: "current_seniority_label", Type: String, Doc: "Present seniority; a free vocabulary", From: []string{"currentSeniorityLabel"}},
		{Name: "previous_company_name", Type: String, Doc: "Former employer; on promotions its meaning is undefined", From: []string{"previousCompanyName", "previousCompany"}},
		{Name: "previous_domain", Type: String, Doc: "Domain of the former employer, without a leading www; on promotions its meaning is undefined", From: []string{"previousDomain"}, Host: true},
		{Name: "previous_title", Type: String, Doc: "Former job title", From: []string{"previousTitle"}},
	}),
	newEventTable(CategoryGrowth, "Companies that grow: headcount, hiring, locations, traffic, IT spend", companyColumns, []Column{signalDate}, rateColumns, []Column{
		{Name: "new_jobs_posted_last_week", Type: Int64, Unit: "job posts", Doc: "Jobs posted in the last week", From: []string{"newJobsPostedLastWeek"}},
		{Name: "new_jobs_posted_last_4_weeks", Type: Int64, Unit: "job posts", Doc: "Jobs posted in the last four weeks", From: []string{"newJobsPostedLast4Weeks"}},
		{Name: "department", Type: String, Doc: "Department of the surge or of the post", From: []string{"department"}, AnyCase: true},
		{Name: "country", Type: String, Doc: "Country of the surge, the post or the location", From: []string{"country"}},
		{Name: "state", Type: String, Doc: "State or region of the surge, the post or the location", From: []string{"state"}},
		{Name: "city", Type: String, Doc: "City of the post or the location", From: []string{"city"}},
		{Name: "external_job_id", Type: String, Doc: "Id of the job post at its source", From: []string{"externalJobId"}, Rare: true},
		{Name: "job_title", Type: String, Doc: "Title of the job post", From: []string{"jobTitle"}},
		{Name: "job_url", Type: String, Doc: "Address of the job post", From: []string{"jobUrl"}, Rare: true},
		{Name: "location_source", Type: String, Doc: "What a new location was detected from", From: []string{"source"}},
	}),
	newEventTable(CategoryIntent, "Companies that show interest: topics, site visits, LinkedIn activity", companyColumns, []Column{
		signalDate,
		{Name: "topic_name", Type: String, Doc: "Topic of interest", From: []string{"topicName"}},
		{Name: "topic_score", Type: Double, Doc: "Strength of the interest", From: []string{"topicScore", "metadata.topicScore"}},
		{Name: "topic_trend", Type: String, Doc: "Trend of the interest, as received", From: []string{"topicTrend", "metadata.topicTrend"}},
		{Name: "country", Type: String, Doc: "Country of the interest", From: []string{"country"}},
		{Name: "state", Type: String, Doc: "State or region of the interest", From: []string{"state"}},
	}, visitColumns, activityColumns),
	newEventTable(CategoryNews, "Companies in the news", companyColumns, []Column{
		{Name: "event_type", Type: String, Doc: "Kind of news, spelling as received", From: []string{"eventType"}, AnyCase: true},
		{Name: "event_summary", Type: String, Doc: "Summary of the event", From: []string{"eventSummary"}, Rare: true},
		{Name: "article_title", Type: String, Doc: "Title of the article", From: []string{"articleTitle"}, Rare: true},
		{Name: "article_highlight", Type: String, Doc: "Passage of the article", From: []string{"articleHighlight"}, Rare: true},
		{Name: "article_url", Type: String, Doc: "Address of the article", From: []string{"articleUrl"}, Rare: true},
		{Name: "article_published_date", Type: Date, Doc: "Date of publication", From: []string{"articlePublishedDate"}},
		{Name: "event_effective_date", Type: Date, Doc: "Date the event takes effect", From: []string{"eventEffectiveDate"}},
		{Name: "is_risk", Type: Bool, Doc: "Whether the signal also counts as a risk (riskNews)"},
	}),
	newEventTable(CategoryRisk, "Companies that shrink: headcount, traffic, IT spend; risk news lies under news with is_risk", companyColumns, []Column{signalDate}, rateColumns),
	newEventTable(CategoryOther, "Events of a type this version does not know; nothing paid for is dropped", companyColumns, []Column{
		signalDate,
		{Name: "person_id", Type: String, Doc: "The API's contact id in the record", From: []string{"personId"}, Rare: true},
		{Name: "article_published_date", Type: Date, Doc: "Date of publication", From: []string{"articlePublishedDate"}},
		{Name: "event_effective_date", Type: Date, Doc: "Date the event takes effect", From: []string{"eventEffectiveDate"}},
		{Name: "activity_publication_date", Type: Date, Doc: "Date the activity was published", From: []string{"activityPublicationDate"}},
	}),
}

// The ledger tables. Every run writes one file of each, except of drift if there was none.
var (
	Accounts = Table{
		Name: "accounts", Version: Version,
		Doc: "Every line of the input list with its one terminal status",
		Columns: []Column{
			{Name: "run_id", Type: String, Doc: "The run"},
			{Name: "row", Type: Int64, Doc: "Ordinal of the record in the input, from 1", Rare: true},
			{Name: "account_key", Type: String, Doc: "The caller's own key of the line", Rare: true},
			{Name: "status", Type: String, Doc: "enriched, no_signal, not_found, resolved, seed, duplicate, cached, rejected, restricted, held, lost or deferred"},
			{Name: "reason", Type: String, Doc: "Why, for every status that is not an answer"},
			{Name: "object_type", Type: String, Doc: "contact or company"},
			{Name: "identifier_type", Type: String, Doc: "What the line was asked by: id, linkedin, email, domain or name"},
			{Name: "identifier", Type: String, Doc: "The normalised identifier that was asked", Rare: true},
			{Name: "entity_id", Type: String, Doc: "The API's id of what was found, by this run or an earlier one; joins with entity_id of the event tables", Rare: true},
			{Name: "entity_name", Type: String, Doc: "Name of what was found", Rare: true},
			{Name: "entity_domain", Type: String, Doc: "Domain of what was found", Rare: true},
			{Name: "events", Type: Int64, Unit: "events", Doc: "Events the answer held for this line"},
			{Name: "credits", Type: Int64, Unit: "credits", Doc: "Share of the call's charge; null when the charge is unknown"},
			{Name: "call_id", Type: String, Doc: "The call that decided the status"},
			{Name: "duplicate_of_row", Type: Int64, Doc: "The earlier row that asks the same", Rare: true},
			{Name: "input_file", Type: String, Doc: "File of the line"},
			{Name: "input_line", Type: Int64, Doc: "Physical line on which the record starts, from 1", Rare: true},
			{Name: "input_column", Type: String, Doc: "Column at fault when the line was rejected"},
			{Name: "notes", Type: String, Doc: "What normalisation changed or set aside, and oddities of the answer", Rare: true},
			{Name: ExtraColumn, Type: String, Doc: "Columns of the list that --keep named, as a JSON object of texts in the order of the list; before version 4 of the schema what answer_extra holds", Rare: true},
			{Name: "command", Type: String, Doc: "What the line was given to: run (signals), resolve, score, lookalikes or visitors; webhooks if it is a delivery. A status means another thing for each"},
			{Name: "new_events", Type: Int64, Unit: "events", Since: 3, Doc: "Of the events: those that the lake did not have, or with other content; their rows name the run"},
			{Name: "known_events", Type: Int64, Unit: "events", Since: 3, Doc: "Of the events: those that were paid for and not written again, because the lake or an earlier answer of the run has them with the same content"},
			{Name: "line_name", Type: String, Since: 4, Rare: true, Doc: "Name on the line: of the company, or of the person"},
			{Name: "line_email", Type: String, Since: 4, Rare: true, Doc: "E-mail address on the line of a person"},
			{Name: "answer_extra", Type: String, Since: 4, Doc: "Fields of the answer's entry that this version does not know, JSON", Rare: true},
		},
		Sort: []string{"row"},
	}
	Credits = Table{
		Name: "credits", Version: 1,
		Doc: "The bill, row by row: each call's charge allocated to entities and signal types; sums exactly to the calls",
		Columns: []Column{
			{Name: "run_id", Type: String, Doc: "The run"},
			{Name: "call_id", Type: String, Doc: "The call that was charged"},
			{Name: "row", Type: Int64, Doc: "Input row of the entity; null for what was never asked and for what cannot be allocated"},
			{Name: "account_key", Type: String, Doc: "The caller's own key of the entity", Rare: true},
			{Name: "entity_id", Type: String, Doc: "The API's id of the entity", Rare: true},
			{Name: "object_type", Type: String, Doc: "contact or company"},
			{Name: "signal_type", Type: String, Doc: "Signal key; null when the share is of the call as a whole"},
			{Name: "category", Type: String, Doc: "Dataset of the signal"},
			{Name: "events", Type: Int64, Unit: "events", Doc: "Events returned"},
			{Name: "credits", Type: Int64, Unit: "credits", Doc: "Share of the charge; null when the charge is unknown"},
			{Name: "basis", Type: String, Doc: "How the share was found: per_event or per_type when the charge equals that count, proportional or whole_call otherwise, unknown when the server did not say"},
		},
		Sort: []string{"call_id", "row", "signal_type"},
	}
	Calls = Table{
		Name: "calls", Version: 1,
		Doc: "Every attempt that was made, with its outcome and the server's own charge",
		Columns: []Column{
			{Name: "run_id", Type: String, Doc: "The run"},
			{Name: "call_id", Type: String, Doc: "The attempt"},
			{Name: "batch_id", Type: String, Doc: "The batch it asked about"},
			{Name: "attempt", Type: Int64, Doc: "Ordinal of the attempt at the batch, from 1"},
			{Name: "endpoint", Type: String, Doc: "Method and path"},
			{Name: "object_type", Type: String, Doc: "contact or company"},
			{Name: "entities", Type: Int64, Doc: "Entities asked about"},
			{Name: "signal_types", Type: Int64, Doc: "Signal types asked for"},
			{Name: "sent_at", Type: Time, Doc: "When the request was handed to the network"},
			{Name: "duration_ms", Type: Int64, Unit: "milliseconds", Doc: "Until the answer was complete or the attempt failed", Rare: true},
			{Name: "http_status", Type: Int64, Doc: "HTTP status; 0 when no answer came"},
			{Name: "outcome", Type: String, Doc: "charged, not_charged or ambiguous"},
			{Name: "credits", Type: Int64, Unit: "credits", Doc: "The server's own charge; null when it did not say"},
			{Name: "charge_text", Type: String, Doc: "What stood where the charge belongs, when it was not a whole number"},
			{Name: "ceiling", Type: Int64, Unit: "credits", Doc: "The most it could have cost"},
			{Name: "events", Type: Int64, Unit: "events", Doc: "Events returned"},
			{Name: "answer_bytes", Type: Int64, Unit: "bytes", Doc: "Size of the answer", Rare: true},
			{Name: "window_start", Type: Date, Doc: "First day the answer says it covers"},
			{Name: "window_end", Type: Date, Doc: "Last day the answer says it covers"},
			{Name: "minute_left", Type: Int64, Doc: "Calls left in the minute, from the answer's headers", Rare: true},
			{Name: "hour_left", Type: Int64, Doc: "Calls left in the hour", Rare: true},
			{Name: "day_left", Type: Int64, Doc: "Calls left in the day", Rare: true},
			{Name: "problem", Type: String, Doc: "What went wrong"},
			{Name: "notes", Type: String, Doc: "Oddities that were accepted", Rare: true},
			{Name: "extra", Type: String, Doc: "Root fields of the answer that this version does not know, JSON", Rare: true},
		},
		Sort: []string{"call_id"},
	}
	Requests = Table{
		Name: "requests", Version: Version,
		Doc: "What was requested, answered or not: each signal type of each call, also of those that returned nothing",
		Columns: []Column{
			{Name: "run_id", Type: String, Doc: "The run"},
			{Name: "call_id", Type: String, Doc: "The call; joins with ledger/calls within the run"},
			{Name: "list", Type: String, Doc: "The list of the run"},
			{Name: "object_type", Type: String, Doc: "contact or company"},
			{Name: "signal_type", Type: String, Doc: "Signal key that was requested, or that was returned without a request"},
			{Name: "category", Type: String, Doc: "Dataset of the signal"},
			{Name: "window_start", Type: Date, Doc: "First day that was requested; null: as many as the API keeps"},
			{Name: "window_end", Type: Date, Doc: "Last day that was requested"},
			{Name: "sent_at", Type: Time, Doc: "When the request was handed to the network"},
			{Name: "outcome", Type: String, Doc: "charged, or ambiguous when no answer is known"},
			{Name: "entities", Type: Int64, Doc: "Entities requested"},
			{Name: "entities_with_events", Type: Int64, Doc: "Entities of which the answer had events of the type; null without an answer"},
			{Name: "events", Type: Int64, Unit: "events", Doc: "Events returned; null without an answer"},
			{Name: "credits", Type: Int64, Unit: "credits", Doc: "Share of the charge; null when the charge is unknown"},
		},
		Sort: []string{"call_id", "signal_type"},
	}
	Runs = Table{
		Name: "runs", Version: Version,
		Doc: "Every run that was published, with what it requested, brought and cost",
		Columns: []Column{
			{Name: "run_id", Type: String, Doc: "The run"},
			{Name: "command", Type: String, Doc: "run (signals), resolve, score, lookalikes or visitors; webhooks if it published deliveries"},
			{Name: "job", Type: String, Doc: "Job of the job file"},
			{Name: "list", Type: String, Doc: "The list, as it was named"},
			{Name: "list_sha256", Type: String, Doc: "Digest of the list"},
			{Name: "signals", Type: String, Doc: "Signal keys that were requested, separated by '; '"},
			{Name: "since_last", Type: Bool, Doc: "Whether only what the lake did not have was requested"},
			{Name: "window_start", Type: Date, Doc: "First day of which signals were requested; null: as many as the API keeps, or no signals"},
			{Name: "window_end", Type: Date, Doc: "Last day of which signals were requested"},
			{Name: "started_at", Type: Time, Doc: "When the run, or its last session, began"},
			{Name: "finished_at", Type: Time, Doc: "When its rows were complete, just before they were published"},
			{Name: "outcome", Type: String, Doc: "complete, complete_with_rejects, deferred, held or refused"},
			{Name: "stop", Type: String, Doc: "Kind of what stopped the run before its end"},
			{Name: "stop_reason", Type: String, Doc: "What stopped the run before its end"},
			{Name: "exit_code", Type: Int64, Doc: "Exit code that the outcome gives; --allow-rejected may have made it 0"},
			{Name: "lines", Type: Int64, Doc: "Lines with a row in accounts: those of the list, or of a run that was closed those that it had recorded"},
			{Name: "enriched", Type: Int64, Doc: "Lines with events"},
			{Name: "rejected", Type: Int64, Doc: "Lines that could not be requested"},
			{Name: "deferred", Type: Int64, Doc: "Lines that are left for a later run"},
			{Name: "held", Type: Int64, Doc: "Lines of calls in doubt"},
			{Name: "calls", Type: Int64, Doc: "Attempts that were made"},
			{Name: "events", Type: Int64, Unit: "events", Doc: "Events returned"},
			{Name: "new_events", Type: Int64, Unit: "events", Doc: "Of these: written, because the lake did not have them"},
			{Name: "changed_events", Type: Int64, Unit: "events", Doc: "Of these: written as another revision"},
			{Name: "credits", Type: Int64, Unit: "credits", Doc: "Charged, by the server's own numbers"},
			{Name: "credits_at_most", Type: Int64, Unit: "credits", Doc: "With what calls of unknown charge can have cost"},
			{Name: "simulated", Type: Bool, Doc: "Whether the embedded simulator answered"},
		},
		Sort: []string{"run_id"},
	}
	Drift = Table{
		Name: "drift", Version: Version,
		Doc: "How the answers of a run differ from what this version of the schema knows",
		Columns: []Column{
			{Name: "run_id", Type: String, Doc: "The run"},
			{Name: "kind", Type: String, Doc: "new_type, new_field, changed_type, new_value or missing_field"},
			{Name: "object_type", Type: String, Doc: "contact or company"},
			{Name: "signal_type", Type: String, Doc: "Signal key of the events; null for what an answer or an entity's entry has outside of events"},
			{Name: "dataset", Type: String, Doc: "Table that has the rows"},
			{Name: "path", Type: String, Doc: "Field in the record, with dots between nested names; entry.* is in the entry of an entity, answer.* at the root of an answer"},
			{Name: "expected", Type: String, Doc: "Type of the column that reads the field; null if no column does"},
			{Name: "found", Type: String, Doc: "JSON type that the field has; for new_value the value"},
			{Name: "kept_in", Type: String, Doc: "Column that has the value as received"},
			{Name: "events", Type: Int64, Unit: "events", Doc: "Events that show it; of entry and answer the entities or answers"},
			{Name: "first_call_id", Type: String, Doc: "The first call that shows it; joins with ledger/calls within the run"},
			{Name: "first_received_at", Type: Time, Doc: "When its answer was received"},
		},
		Sort: []string{"kind", "signal_type", "path"},
	}
)

// LedgerTables are the tables that account for lines, calls, credits, requests, runs and drift.
var LedgerTables = []Table{Accounts, Calls, Credits, Requests, Runs, Drift}

// TableNamed finds a table by name.
func TableNamed(name string) (Table, bool) {
	for _, t := range Tables {
		if t.Name == name {
			return t, true
		}
	}
	return Table{}, false
}

// EventTable is the table of a category; unknown categories map to other.
func EventTable(c Category) Table {
	for i, category := range Categories {
		if category == c {
			return EventTables[i]
		}
	}
	return EventTables[len(EventTables)-1]
}

func newEventTable(c Category, doc string, groups ...[]Column) Table {
	t := Table{
		Name: string(c), Version: Version, Doc: doc,
		Columns: append([]Column(nil), eventColumns...),
		Sort:    []string{"signal_type", "entity_id", "event_date", "event_uid"},
		Bloom:   []string{"entity_id", "account_key"},
		Unique:  "event_uid",
	}
	for _, g := range groups {
		t.Columns = append(t.Columns, g...)
	}
	t.Columns = append(t.Columns, revisionColumns...)
	if c == CategoryNews {
		t.Columns = append(t.Columns, Column{Name: "event_type_norm", Type: String, Since: 4, Doc: "Kind of news in the catalogue's spelling, Other if it is not in the catalogue"})
	}
	return t
}
