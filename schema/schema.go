// Package schema defines what siglake moves: a line of an input list, what can be requested for it,
// what the API returns, and the columns in which siglake writes it.
//
// The package holds nouns and data only. Every other package imports it and it imports nothing of
// the module: to add a signal type, a column or a category, add lines to a literal here
// (signals.go, records.go, tables.go, and what they mean in dictionary.go) and write no code.
package schema

import (
	"encoding/json"
	"fmt"
	"time"
)

// Object is the kind of entity that a signal is about.
type Object string

// The two kinds of entity that the API knows.
const (
	Contact Object = "contact"
	Company Object = "company"
)

// Category groups signal types into one dataset (table).
type Category string

// The datasets. Other holds every type that the catalogue does not name, so that nothing that was
// paid for is dropped.
const (
	CategoryContact Category = "contact"
	CategoryGrowth  Category = "growth"
	CategoryIntent  Category = "intent"
	CategoryNews    Category = "news"
	CategoryRisk    Category = "risk"
	CategoryOther   Category = "other"
)

// Categories lists the datasets in display order.
var Categories = []Category{
	CategoryContact, CategoryGrowth, CategoryIntent, CategoryNews, CategoryRisk, CategoryOther,
}

// Account is one normalised line of the user's list, with the user's own key. Identifiers that the
// line does not have are empty. A line that cannot be requested has a Reject and no identifiers
// that may be sent.
type Account struct {
	// Ordinal of the record in the whole input, from 1; the header is not counted.
	Row int64 `json:",omitempty"`
	// URI of the file, as the user named it ("-" for standard input).
	File string `json:",omitempty"`
	// Physical line on which the record starts, from 1.
	Line int64 `json:",omitempty"`
	// account_key: the user's own key, or else the identifier as written.
	Key    string `json:",omitempty"`
	Object Object `json:",omitempty"`

	ID string `json:",omitempty"` // Lusha id, opaque
	// company: registrable domain, lower case, punycode
	Domain        string `json:",omitempty"`
	Name          string `json:",omitempty"` // company: name; contact: full name
	LinkedIn      string `json:",omitempty"` // contact: https://www.linkedin.com/in/<slug>
	Email         string `json:",omitempty"` // contact: lower-case address
	CompanyName   string `json:",omitempty"` // contact: employer's name
	CompanyDomain string `json:",omitempty"` // contact: employer's registrable domain

	// The cells of kept columns: a JSON object of texts, in the order of the list; empty: none are kept.
	Kept string `json:",omitempty"`

	// What normalisation changed or ignored, for the accounts table.
	Notes []string `json:",omitempty"`
	// Why the line cannot be requested; nil if it can.
	Reject *Reject `json:",omitempty"`
}

// Reject says why a line was rejected, where the problem is, and what is expected instead.
type Reject struct {
	// Header name, or "column 3" without a header; empty if the whole line is at fault.
	Column string
	Value  string // the offending value, truncated
	// What is wrong and what was expected.
	Reason string
}

// String formats the reject as one line: column, value, reason.
func (r *Reject) String() string {
	switch {
	case r.Column == "":
		return r.Reason
	case r.Value == "":
		return fmt.Sprintf("%s: %s", r.Column, r.Reason)
	default:
		return fmt.Sprintf("%s %q: %s", r.Column, r.Value, r.Reason)
	}
}

// Identifier is the kind of identifier by which an account is requested. Only one identifier is
// sent, because the API's precedence among several is undocumented.
type Identifier string

// The kinds of identifier, most reliable first.
const (
	ByID       Identifier = "id"
	ByLinkedIn Identifier = "linkedin"
	ByEmail    Identifier = "email"
	ByDomain   Identifier = "domain"
	ByName     Identifier = "name" // company: name; contact: full name + company
)

// Unrequested stands for the identifier of an entity that was never requested.
const Unrequested Identifier = "unrequested"

// Identifier picks the most reliable kind of identifier that the line has. It is empty if the line
// has none.
func (a *Account) Identifier() Identifier {
	switch {
	case a.ID != "":
		return ByID
	case a.Object == Contact && a.LinkedIn != "":
		return ByLinkedIn
	case a.Object == Contact && a.Email != "":
		return ByEmail
	case a.Object == Contact && a.Name != "" && (a.CompanyName != "" || a.CompanyDomain != ""):
		return ByName
	case a.Object == Company && a.Domain != "":
		return ByDomain
	case a.Object == Company && a.Name != "":
		return ByName
	}
	return ""
}

// Entity is the contact or company that an answer is about, as the answer states it.
type Entity struct {
	Object Object
	ID     string // the API's id, as text
	Name   string
	Domain string
}

// Event is one signal event as received, before its columns are typed.
type Event struct {
	Entity     Entity
	AccountKey string
	// What was requested: the kind of identifier and its normalised text. For an answer about
	// something that was never requested, the kind is Unrequested and the text unique.
	RequestedBy Identifier
	Requested   string
	Type        string // signal type key, as received
	Raw         json.RawMessage
	// What of Raw differs from the answer, or from its documented form.
	Note string

	RunID     string
	CallID    string
	FetchedAt time.Time
	Source    string // IngestPoll or IngestWebhook

	// Request that returned a product's row; nil for events.
	Origin *Origin
}

// Origin describes the request for a product's row, as far as the row itself does not.
type Origin struct {
	// Kind of identifier that was searched for.
	Identifier Identifier
	Text       string // the identifier
	SeedSet    string // lookalikes
	// Lookalikes: the API session that returned the row.
	Session string
	// Lookalikes: position among all results of the seed set, from 1.
	Rank  int64
	Site  string // visits
	Since string // visits; YYYY-MM-DD
	Until string // visits and scores; YYYY-MM-DD
}

// Partition names the set of files that a row belongs to: a table, and for partitioned tables the
// Hive key and value.
type Partition struct {
	Table string // dataset name, for example "news" or "accounts"
	Key   string // ByMonth or ByDay; empty for unpartitioned tables
	Value string // "2026-03", "2026-03-09", or UnknownPartition or UnknownDay
}

// String formats the partition as in a path: "news/event_month=2026-03".
func (p Partition) String() string {
	if p.Key == "" {
		return p.Table
	}
	return p.Table + "/" + p.Key + "=" + p.Value
}

// ByMonth and ByDay are the keys by which a lake partitions its events: all of them by one.
const (
	ByMonth = "event_month"
	ByDay   = "event_day"
)

// UnknownPartition and UnknownDay are the partition values of events with a missing or implausible
// date, by month and by day. A day is a date even then: DuckDB and ClickHouse infer the type of
// event_day from its values, and a text among dates changes the type or fails the query. So does
// Hive's own value for null in ClickHouse. No event with a date lies in that day.
const (
	UnknownPartition = "unknown"
	UnknownDay       = "1970-01-01"
)

// FirstYear and LastYear bound the plausible dates of events: all others lie in the unknown partition.
const (
	FirstYear = 2000
	LastYear  = 2099
)

// How an event came to the lake.
const (
	IngestPoll    = "poll"
	IngestWebhook = "webhook"
)
