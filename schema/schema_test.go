package schema

import (
	"slices"
	"testing"
)

func TestIdentifierPrecedence(t *testing.T) {
	for _, c := range []struct {
		name string
		a    Account
		want Identifier
	}{
		{"company, all", Account{Object: Company, ID: "1", Domain: "a.example", Name: "A"}, ByID},
		{"company, domain before name", Account{Object: Company, Domain: "a.example", Name: "A"}, ByDomain},
		{"company, name", Account{Object: Company, Name: "A"}, ByName},
		{"company, a contact's identifiers only", Account{Object: Company, LinkedIn: "l", Email: "e@a.example", CompanyName: "A"}, ""},
		{"contact, all", Account{Object: Contact, ID: "1", LinkedIn: "l", Email: "e", Name: "N", CompanyName: "A"}, ByID},
		{"contact, linkedin before mail", Account{Object: Contact, LinkedIn: "l", Email: "e", Name: "N", CompanyName: "A"}, ByLinkedIn},
		{"contact, mail before name", Account{Object: Contact, Email: "e", Name: "N", CompanyName: "A"}, ByEmail},
		{"contact, name and company", Account{Object: Contact, Name: "N", CompanyName: "A"}, ByName},
		{"contact, name and company domain", Account{Object: Contact, Name: "N", CompanyDomain: "a.example"}, ByName},
		{"contact, name alone", Account{Object: Contact, Name: "N"}, ""},
		{"contact, company alone", Account{Object: Contact, CompanyName: "A", CompanyDomain: "a.example"}, ""},
		{"contact, a company's domain only", Account{Object: Contact, Domain: "a.example"}, ""},
		{"nothing", Account{Object: Company}, ""},
	} {
		if got := c.a.Identifier(); got != c.want {
			t.Errorf("%s: Identifier() = %q, want %q", c.name, got, c.want)
		}
	}
}

func TestRejectString(t *testing.T) {
	for _, c := range []struct {
		reject Reject
		want   string
	}{
		{Reject{Reason: "the line is empty"}, "the line is empty"},
		{Reject{Column: "domain", Reason: "is empty"}, "domain: is empty"},
		{Reject{Column: "domain", Value: "a b", Reason: "not a host name"}, `domain "a b": not a host name`},
	} {
		if got := c.reject.String(); got != c.want {
			t.Errorf("%#v.String() = %q, want %q", c.reject, got, c.want)
		}
	}
}

func TestPartitionString(t *testing.T) {
	for _, c := range []struct {
		p    Partition
		want string
	}{
		{Partition{Table: "accounts"}, "accounts"},
		{Partition{Table: "news", Key: "event_month", Value: "2026-03"}, "news/event_month=2026-03"},
		{Partition{Table: "news", Key: "event_day", Value: UnknownPartition}, "news/event_day=unknown"},
	} {
		if got := c.p.String(); got != c.want {
			t.Errorf("%#v.String() = %q, want %q", c.p, got, c.want)
		}
	}
}

func TestStatusesAreEachListedOnce(t *testing.T) {
	want := []Status{Enriched, NoSignal, NotFound, Resolved, Seed, Duplicate, Rejected, Restricted, Cached, InDoubt, WrittenOff, Deferred}
	got := slices.Clone(Statuses)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("Statuses = %q, want each of %q once", got, want)
	}
}
