package lushatest

import (
	"fmt"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"strconv"
	"strings"
)

// Companies is a batch of n companies by id, from 1001 on.
func Companies(n int) *pipeline.Batch {
	b := &pipeline.Batch{ID: "000012", ByID: true, Query: &pipeline.Query{
		Object: schema.Company, Since: "2026-01-01", Ask: pipeline.SignalsAsk{Types: []string{"surgeInHiring"}, MaxResults: 10},
	}}
	for i := range n {
		b.Items = append(b.Items, pipeline.Item{
			Ref:     fmt.Sprintf("r%d", i),
			Account: schema.Account{Object: schema.Company, ID: strconv.Itoa(1001 + i)},
		})
	}
	return b
}

// CompaniesIn is a batch of n companies by id, from 1001 on, for either version.
func CompaniesIn(version pipeline.APIVersion, n int) *pipeline.Batch {
	b := Companies(n)
	b.Query.APIVersion = version
	b.ByID = version == pipeline.V2
	return b
}

// NewBatchV3 is a batch of a V3 query about one object, with everything that its
// service may need. The items' references are r0, r1 and so on.
func NewBatchV3(service pipeline.Service, object schema.Object, accounts ...schema.Account) *pipeline.Batch {
	q := &pipeline.Query{Object: object, APIVersion: pipeline.V3, Since: "2026-02-01", Until: "2026-05-01"}
	b := &pipeline.Batch{ID: "000021", Query: q}
	for i, a := range accounts {
		a.Object = object
		b.Items = append(b.Items, pipeline.Item{Ref: fmt.Sprintf("r%d", i), Account: a})
	}
	switch service {
	case pipeline.Signals:
		ask := pipeline.SignalsAsk{Types: []string{"companyChange", "promotion"}, MaxResults: 5}
		if object == schema.Company {
			ask.Types = []string{"surgeInHiring", "riskNews"}
		}
		q.Ask = ask
	case pipeline.Search:
		q.Ask = pipeline.SearchAsk{}
	case pipeline.Scores:
		q.Ask = pipeline.ScoreAsk{}
	case pipeline.Lookalikes:
		ask := pipeline.LookalikeAsk{Seeds: Sites(5), PageSize: 5}
		if object == schema.Contact {
			ask.Seeds = People(5)
		}
		q.Ask = ask
	case pipeline.Visits:
		q.Ask = pipeline.VisitsAsk{Sites: Hosts(5), PageSize: 5}
	}
	if service.IsPaged() {
		b.Items = []pipeline.Item{{Ref: "r0", Page: &pipeline.Page{Number: 1, Limit: 5}}}
	}
	return b
}

// ChangeSignals changes what a batch of signals asks for.
func ChangeSignals(b *pipeline.Batch, change func(*pipeline.SignalsAsk)) {
	ask := b.Query.Ask.(pipeline.SignalsAsk)
	change(&ask)
	b.Query.Ask = ask
}

// ChangeLookalikes changes what a batch of lookalikes asks for.
func ChangeLookalikes(b *pipeline.Batch, change func(*pipeline.LookalikeAsk)) {
	ask := b.Query.Ask.(pipeline.LookalikeAsk)
	change(&ask)
	b.Query.Ask = ask
}

// Hosts are the domains of Sites.
func Hosts(n int) (out []string) {
	for _, a := range Sites(n) {
		out = append(out, a.Domain)
	}
	return out
}

// Sites are companies that are known by their domains.
func Sites(n int) (out []schema.Account) {
	for i := range n {
		out = append(out, schema.Account{Object: schema.Company, Domain: fmt.Sprintf("d%d.example", i)})
	}
	return out
}

// People are contacts that are known by their ids.
func People(n int) (out []schema.Account) {
	for i := range n {
		out = append(out, schema.Account{Object: schema.Contact, ID: fmt.Sprintf("p%d", i)})
	}
	return out
}

// IDs are accounts that are known by their ids.
func IDs(list ...string) (out []schema.Account) {
	for _, id := range list {
		out = append(out, schema.Account{ID: id})
	}
	return out
}

// Statuses lists the items' statuses on one line.
func Statuses(items []pipeline.ItemReply) string {
	var out []string
	for _, i := range items {
		out = append(out, string(i.Status))
	}
	return strings.Join(out, " ")
}
