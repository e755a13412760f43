// Package schema names the things siglake moves: a line of a list, what can be
// asked about it, what comes back, and the columns it is written as.
//
// It holds nouns and data only. Every other package imports it and it imports
// nothing of the module, so a signal type, a column or a category is added by
// adding lines to a literal here (signals.go, tables.go), not by writing code.
package schema

import (
	"encoding/json"
	"fmt"
	"time"
)

// Object is the kind of thing a signal is about.
type Object string

// The two objects the API knows.
const (
	Contact Object = "contact"
	Company Object = "company"
)

// Category groups signal types into one dataset (table) each.
type Category string

// The datasets. Other holds every type the catalogue does not name, so that
// nothing paid for is dropped.
const (
	CategoryContact Category = "contact"
	CategoryGrowth  Category = "growth"
	CategoryIntent  Category = "intent"
	CategoryNews    Category = "news"
	CategoryRisk    Category = "risk"
	CategoryOther   Category = "other"
)

// Categories lists the datasets in their usual order.
var Categories = []Category{
	CategoryContact, CategoryGrowth, CategoryIntent, CategoryNews, CategoryRisk, CategoryOther,
}

// Account is one line of a caller's list, normalised, with the caller's own
// key. Identifiers that were absent are empty. A line that cannot be asked
// about carries Reject and no identifiers that may be sent.
type Account struct {
	Row    int64  `json:",omitempty"` // ordinal of the record in the whole input, from 1; the header is not counted
	File   string `json:",omitempty"` // URI of the file, as the caller named it ("-" for standard input)
	Line   int64  `json:",omitempty"` // physical line on which the record starts, from 1
	Key    string `json:",omitempty"` // account_key: the caller's own key, else the identifier as written
	Object Object `json:",omitempty"`

	ID            string `json:",omitempty"` // Lusha id, opaque
	Domain        string `json:",omitempty"` // company: registrable domain, lower case, punycode
	Name          string `json:",omitempty"` // company: name; contact: full name
	LinkedIn      string `json:",omitempty"` // contact: https://www.linkedin.com/in/<slug>
	Email         string `json:",omitempty"` // contact: lower-case address
	CompanyName   string `json:",omitempty"` // contact: employer's name
	CompanyDomain string `json:",omitempty"` // contact: employer's registrable domain

	Notes  []string `json:",omitempty"` // what normalisation changed or set aside, for the accounts table
	Reject *Reject  `json:",omitempty"` // why the line cannot be asked about; nil when it can
}

// Reject says why a line was refused, where, and what to do about it.
type Reject struct {
	Column string // header name, or "column 3" when there is no header; empty when the whole line is at fault
	Value  string // the offending value, shortened
	Reason string // what is wrong and what was expected
}

// String gives the reject as one line for people: column, value, reason.
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

// Identifier is the one identifier family by which an account is asked about:
// the API's precedence for mixed hints is undocumented, so only one is sent.
type Identifier string

// The identifier families, best first.
const (
	ByID       Identifier = "id"
	ByLinkedIn Identifier = "linkedin"
	ByEmail    Identifier = "email"
	ByDomain   Identifier = "domain"
	ByName     Identifier = "name" // company: name; contact: full name + company
)

// Identifier picks the family to ask by: the most certain one the line has.
// It is empty when the line has none.
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

// Entity is what an answer says about whom it is about.
type Entity struct {
	Object Object
	ID     string // the API's id, as text
	Name   string
	Domain string
}

// Event is one signal event as it was received, before its columns are typed.
type Event struct {
	Entity     Entity
	AccountKey string
	Type       string // signal type key, as received
	Raw        json.RawMessage

	RunID     string
	CallID    string
	FetchedAt time.Time
	Source    string // "poll" or "webhook"

	Origin *Origin // of products; nil for events
}

// Origin says how one result of a product was asked for, as far as the result
// itself does not.
type Origin struct {
	Identifier Identifier // what was searched by
	Text       string     // the identifier
	SeedSet    string     // of lookalikes
	Session    string     // of lookalikes: the API's, that returned it
	Rank       int64      // of lookalikes: place among all of the seed set, from 1
	Site       string     // of visits
	Since      string     // YYYY-MM-DD; of visits
	Until      string     // YYYY-MM-DD; of visits and scores
}

// Partition names the file set a row belongs to: a table, and for partitioned
// tables the Hive key and value.
type Partition struct {
	Table string // dataset name, for example "news" or "accounts"
	Key   string // "event_month" or "event_day"; empty for unpartitioned tables
	Value string // "2026-03", "2026-03-09" or "unknown"
}

// String gives the partition as it stands in a path: "news/event_month=2026-03".
func (p Partition) String() string {
	if p.Key == "" {
		return p.Table
	}
	return p.Table + "/" + p.Key + "=" + p.Value
}

// UnknownPartition is the partition value of events whose date is missing or absurd.
const UnknownPartition = "unknown"
