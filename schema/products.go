package schema

import (
	"slices"
	"strings"
)

// The products: what the API sells in addition to signals. A product's name takes the place of the
// signal key in calls, bills and manifests; no signal key in the catalogue has the same name.
const (
	ProductMatch     = "search"        // the id for an identifier
	ProductScore     = "signalScore"   // one number per entity
	ProductLookalike = "lookalike"     // an entity similar to the seeds
	ProductVisit     = "websiteVisits" // a company that visited a site
)

// The datasets of the products, and of the ids that denote the same entity.
const (
	CategoryIdentities Category = "identities"
	CategoryScores     Category = "signal_scores"
	CategoryLookalikes Category = "lookalikes"
	CategoryVisits     Category = "website_visits"
	CategoryAliases    Category = "aliases"
)

// ProductCategory is the dataset of a product; ok is false if product is not the name of one.
func ProductCategory(product string) (c Category, ok bool) {
	switch product {
	case ProductMatch:
		return CategoryIdentities, true
	case ProductScore:
		return CategoryScores, true
	case ProductLookalike:
		return CategoryLookalikes, true
	case ProductVisit:
		return CategoryVisits, true
	}
	return "", false
}

// BareHost reduces a domain to the form in which domains are compared: the host in lower case,
// without scheme, leading www, port, path or trailing dot. The API writes some domains with www and
// some without.
func BareHost(domain string) string {
	s := strings.ToLower(strings.TrimSpace(domain))
	if _, rest, found := strings.Cut(s, "://"); found {
		s = rest
	}
	if end := strings.IndexAny(s, "/?#:"); end >= 0 {
		s = s[:end]
	}
	s = strings.TrimRight(s, ".")
	if host, found := strings.CutPrefix(s, "www."); found && strings.Contains(host, ".") {
		s = host
	}
	return s
}

// productColumns are the first columns of every product table.
var productColumns = []Column{
	{Name: "row_uid", Type: String, Doc: "Id of the row, derived from what it says", Rare: true},
	{Name: "object_type", Type: String, Doc: "What the row is about: contact or company"},
	{Name: "entity_id", Type: String, Doc: "The API's id of it; opaque", Rare: true},
	{Name: "account_key", Type: String, Doc: "The key of the input line, seed set or site that asked", Rare: true},
	{Name: "fetched_at", Type: Time, Doc: "When the answer that holds the row was received"},
	{Name: "run_id", Type: String, Doc: "Run that bought the row"},
	{Name: "call_id", Type: String, Doc: "Call that bought the row; joins with ledger/calls and ledger/credits within the run"},
	{Name: "schema_version", Type: Int64, Doc: "Version of this table's layout"},
	{Name: "notes", Type: String, Doc: "What of the record could not be typed, and why; null when all of it could", Rare: true},
	{Name: "raw", Type: String, Doc: "The record as received, JSON, nothing removed", Rare: true},
}

// profileColumns are the columns of a preview of a contact or a company.
var profileColumns = []Column{
	{Name: "name", Type: String, Doc: "Name of the company, or full name of the contact", From: []string{"name", "fullName"}, Rare: true},
	{Name: "domain", Type: String, Doc: "Domain of the company, without a leading www", From: []string{"domain"}, Host: true, Rare: true},
	{Name: "industry", Type: String, Doc: "Industry of the company", From: []string{"industry"}},
	{Name: "employee_count", Type: Int64, Unit: "people", Doc: "Headcount of the company", From: []string{"employeeCount.exact", "employeeCount"}},
	{Name: "employees_min", Type: Int64, Unit: "people", Doc: "Lower end of the company's size band", From: []string{"employeeCount.min"}},
	{Name: "employees_max", Type: Int64, Unit: "people", Doc: "Upper end of the company's size band", From: []string{"employeeCount.max"}},
	{Name: "first_name", Type: String, Doc: "First name of the contact", From: []string{"firstName"}},
	{Name: "last_name", Type: String, Doc: "Last name of the contact", From: []string{"lastName"}, Rare: true},
	{Name: "job_title", Type: String, Doc: "Job title of the contact", From: []string{"jobTitle.title", "jobTitle"}},
	{Name: "departments", Type: String, Doc: "Departments of the contact, separated by '; '", From: []string{"jobTitle.departments"}, List: ListJoined},
	{Name: "seniority", Type: String, Doc: "Seniority of the contact; a free vocabulary", From: []string{"jobTitle.seniority"}},
	{Name: "company_id", Type: String, Doc: "The API's id of the contact's employer", From: []string{"company.id", "company.companyId"}, Rare: true},
	{Name: "company_name", Type: String, Doc: "The contact's employer", From: []string{"company.name"}, Rare: true},
	{Name: "company_domain", Type: String, Doc: "Domain of the contact's employer, without a leading www", From: []string{"company.domain"}, Host: true, Rare: true},
	{Name: "city", Type: String, Doc: "City", From: []string{"location.city"}},
	{Name: "state", Type: String, Doc: "State or region", From: []string{"location.state"}},
	{Name: "country", Type: String, Doc: "Country", From: []string{"location.country"}},
	{Name: "linkedin_url", Type: String, Doc: "LinkedIn address", From: []string{"socialLinks.linkedin", "linkedinUrl"}, Rare: true},
}

// Aliases holds pairs of ids that denote the same entity.
var Aliases = Table{
	Name: string(CategoryAliases), Version: productVersion, Doc: "Ids that answers state for one and the same entity, such as a number and an opaque token",
	Columns: []Column{
		{Name: "row_uid", Type: String, Doc: "Id of the row, derived from what it says", Rare: true},
		{Name: "object_type", Type: String, Doc: "contact or company"},
		{Name: "entity_id", Type: String, Doc: "The id that the event tables use", Rare: true},
		{Name: "alias_id", Type: String, Doc: "Another id of the same entity", Rare: true},
		{Name: "account_key", Type: String, Doc: "The key of the input line that asked", Rare: true},
		{Name: "fetched_at", Type: Time, Doc: "When the answer that states both was received"},
		{Name: "run_id", Type: String, Doc: "Run that bought the answer"},
		{Name: "call_id", Type: String, Doc: "Call that bought the answer"},
		{Name: "schema_version", Type: Int64, Doc: "Version of this table's layout"},
		{Name: "raw", Type: String, Doc: "The two ids as JSON, in a fixed order"},
	},
	Sort: []string{"object_type", "entity_id", "alias_id"}, Bloom: []string{"entity_id"}, Unique: "row_uid",
}

// ProductTables are the tables of the products.
var ProductTables = []Table{
	newProductTable(CategoryIdentities, "Identifiers and the ids that the API knows them by, as bought by searches", []Column{
		{Name: "identifier_type", Type: String, Doc: "What was searched by: id, linkedin, email, domain or name"},
		{Name: "identifier", Type: String, Doc: "The normalised identifier that was searched", Rare: true},
	}, profileColumns, []Column{
		{Name: "available", Type: String, Doc: "What the vendor could reveal besides, separated by '; '", From: []string{"has"}, List: ListJoined},
		{Name: "reveal_prices", Type: String, Doc: "What that would cost, as a JSON list of {field, credits}", From: []string{"canReveal"}, List: ListJSON},
	}),
	newProductTable(CategoryScores, "How active an entity's signals are, as one number", []Column{
		{Name: "signal_score", Type: Double, Doc: "Score from 0 to 1", From: []string{"signalScore"}},
		{Name: "no_active_signals", Type: Bool, Doc: "Whether no signal is active", From: []string{"noActiveSignals"}},
		{Name: "score_signals", Type: String, Doc: "Signals that count towards the score, separated by '; '; a vocabulary of its own, which does not join with signal_type", From: []string{"signalTypes"}, List: ListJoined},
		{Name: "scored_on", Type: Date, Doc: "Day for which the score was asked"},
	}, profileColumns[:2], profileColumns[11:14]),
	newProductTable(CategoryLookalikes, "Contacts or companies like a set of seeds", []Column{
		{Name: "seed_set", Type: String, Doc: "Id of the seeds and exclusions together, derived from them; their order does not matter"},
		{Name: "rank", Type: Int64, Doc: "Place among all that the seed set returned, from 1", Rare: true},
		{Name: "session_id", Type: String, Doc: "The API's session that returned it; within one nothing is returned twice"},
	}, profileColumns),
	newProductTable(CategoryVisits, "Companies that visited a site with the vendor's pixel", []Column{
		{Name: "site", Type: String, Doc: "The visited site, or several separated by '; '"},
		{Name: "window_start", Type: Date, Doc: "First day of the period"},
		{Name: "window_end", Type: Date, Doc: "Last day of the period"},
	}, profileColumns, visitColumns),
	Aliases,
}

// RowTables are the tables of purchased rows: events, then products.
var RowTables = slices.Concat(EventTables, ProductTables)

// Tables are all tables of a lake.
var Tables = slices.Concat(EventTables, ProductTables, LedgerTables)

// IsEvent reports whether the table is an event table. Event tables are partitioned by date.
func (t Table) IsEvent() bool { return t.isOneOf(EventTables) }

// IsProduct reports whether the table is a product table.
func (t Table) IsProduct() bool { return t.isOneOf(ProductTables) }

func (t Table) isOneOf(list []Table) bool {
	return slices.ContainsFunc(list, func(o Table) bool { return o.Name == t.Name })
}

func newProductTable(c Category, doc string, groups ...[]Column) Table {
	t := Table{
		Name: string(c), Version: productVersion, Doc: doc,
		Columns: slices.Clone(productColumns),
		Sort:    []string{"object_type", "account_key", "entity_id", "row_uid"},
		Bloom:   []string{"entity_id", "account_key"},
		Unique:  "row_uid",
	}
	if c == CategoryLookalikes {
		t.Sort = []string{"object_type", "seed_set", "rank", "row_uid"}
	}
	for _, g := range groups {
		t.Columns = append(t.Columns, g...)
	}
	return t
}
