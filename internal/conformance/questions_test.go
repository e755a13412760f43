package conformance

import (
	"fmt"
	"slices"
	"strings"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

var (
	objects     = []schema.Object{schema.Contact, schema.Company}
	identifiers = map[schema.Object][]schema.Identifier{
		schema.Contact: {schema.ByLinkedIn, schema.ByEmail, schema.ByName},
		schema.Company: {schema.ByDomain, schema.ByName},
	}
	plurals = map[schema.Object]string{schema.Contact: "contacts", schema.Company: "companies"}
)

// newItems makes n entities, each with one kind of identifier. Their names contain characters that
// JSON has to escape.
func newItems(o schema.Object, by schema.Identifier, n int) []pipeline.Item {
	out := make([]pipeline.Item, n)
	for i := range out {
		a := &out[i].Account
		out[i].Ref = fmt.Sprintf("row-%d", i)
		a.Object = o
		switch by {
		case schema.ByID:
			a.ID = fmt.Sprint(5_000_000_000 + i)
		case schema.ByLinkedIn:
			a.LinkedIn = fmt.Sprintf("https://www.linkedin.com/in/person-%d", i)
		case schema.ByEmail:
			a.Email = fmt.Sprintf("person+%d@kestrelloom.example", i)
		case schema.ByDomain:
			a.Domain = fmt.Sprintf("kestrelloom-%d.example", i)
		case schema.ByName:
			a.Name = fmt.Sprintf("Ida \"Ö\" <Moen> & \\ \u2028 %d", i)
			if o == schema.Contact && i%3 != 1 {
				a.CompanyName = "Kestrel Loom\tAS"
			}
			if o == schema.Contact && i%3 != 0 {
				a.CompanyDomain = "kestrelloom.example"
			}
		}
	}
	return out
}

// signalKeys are the signal keys that an API version has for an object.
func signalKeys(o schema.Object, d pipeline.APIVersion) (out []string) {
	for _, s := range schema.Signals {
		if s.Object == o && (s.V2 != schema.Absent || d == pipeline.V3) {
			out = append(out, s.Key)
		}
	}
	return out
}

// newBatch is a request for n entities.
func newBatch(o schema.Object, d pipeline.APIVersion, s pipeline.Service, by schema.Identifier, n int) *pipeline.Batch {
	asks := map[pipeline.Service]pipeline.Ask{
		pipeline.Signals: pipeline.SignalsAsk{Types: signalKeys(o, d), MaxResults: 10}, pipeline.Search: pipeline.SearchAsk{}, pipeline.Scores: pipeline.ScoreAsk{},
	}
	q := &pipeline.Query{Object: o, APIVersion: d, Ask: asks[s], Since: "2026-02-06", Until: "2026-05-06"}
	b := &pipeline.Batch{Query: q, ByID: by == schema.ByID, Items: newItems(o, by, n)}
	return withID(b, fmt.Sprintf("%s%s %s by %s, %d", d, s, plurals[o], by, n))
}

func withID(b *pipeline.Batch, name string) *pipeline.Batch {
	b.ID = strings.ReplaceAll(name, " ", "_")
	return b
}

// newPageBatch is a request to a paged service.
func newPageBatch(o schema.Object, s pipeline.Service, p pipeline.Page, seeds, exclude []schema.Account) *pipeline.Batch {
	q := &pipeline.Query{Object: o, APIVersion: pipeline.V3, Since: "2026-02-06", Until: "2026-05-06"}
	switch s {
	case pipeline.Lookalikes:
		q.Ask = pipeline.LookalikeAsk{Seeds: seeds, Exclude: exclude}
	case pipeline.Visits:
		var sites []string
		for _, a := range seeds {
			sites = append(sites, a.Domain)
		}
		q.Ask = pipeline.VisitsAsk{Sites: sites}
	}
	b := &pipeline.Batch{Query: q, Items: []pipeline.Item{{Ref: "page", Page: &p}}}
	return withID(b, fmt.Sprintf("%s %s of %d seeds, %d excluded, page %+v", s, plurals[o], len(seeds), len(exclude), p))
}

// accountsOf are the entities of several lists of items.
func accountsOf(lists ...[]pipeline.Item) (out []schema.Account) {
	for _, item := range slices.Concat(lists...) {
		out = append(out, item.Account)
	}
	return out
}

const sessionID = "3f0c4c55-9f43-4f7c-8a7f-1d205a0d2a58"

// typicalBatches has one request for each paid operation.
func typicalBatches() map[string]*pipeline.Batch {
	const n = 7
	out := map[string]*pipeline.Batch{
		"POST /v3/companies/website-visits": newPageBatch(schema.Company, pipeline.Visits, pipeline.Page{Number: 1, Limit: 50}, accountsOf(newItems(schema.Company, schema.ByDomain, 1)), nil),
	}
	for _, o := range objects {
		seeds := identifiers[o][0]
		lookalike := newPageBatch(o, pipeline.Lookalikes, pipeline.Page{Number: 2, Offset: 25, Limit: 25, Session: sessionID}, accountsOf(newItems(o, seeds, n)), nil)
		for path, b := range map[string]*pipeline.Batch{
			"/api/signals/%s":        newBatch(o, pipeline.V2, pipeline.Signals, schema.ByID, n),
			"/api/signals/%s/search": newBatch(o, pipeline.V2, pipeline.Signals, identifiers[o][0], n),
			"/v3/%s/signals":         newBatch(o, pipeline.V3, pipeline.Signals, schema.ByID, n),
			"/v3/%s/search":          newBatch(o, pipeline.V3, pipeline.Search, identifiers[o][0], n),
			"/v3/%s/signal-score":    newBatch(o, pipeline.V3, pipeline.Scores, identifiers[o][0], n),
			"/v3/%s/lookalike":       lookalike,
			"/v3/lookalike/%s":       lookalike,
		} {
			out["POST "+fmt.Sprintf(path, plurals[o])] = b
		}
	}
	return out
}

// olderPaths are the former paths of lookalikes, which the client does not use. The tests reroute
// requests to them.
var olderPaths = map[string]string{
	"/v3/contacts/lookalike":  "/v3/lookalike/contacts",
	"/v3/companies/lookalike": "/v3/lookalike/companies",
}

// reroutesOf are the reroutes that lead to an operation.
func reroutesOf(op string) map[string]string {
	for path, older := range olderPaths {
		if op == "POST "+older {
			return map[string]string{path: older}
		}
	}
	return nil
}

// changeSignals changes what a query for signals asks; another query stays as it is.
func changeSignals(q *pipeline.Query, change func(*pipeline.SignalsAsk)) {
	if ask, ok := q.Ask.(pipeline.SignalsAsk); ok {
		change(&ask)
		q.Ask = ask
	}
}

// allBatches has every kind of request that the client can make.
func allBatches() (all []*pipeline.Batch) {
	add := func(b *pipeline.Batch, name string, change func(a *pipeline.SignalsAsk)) {
		changeSignals(b.Query, change)
		all = append(all, withID(b, b.ID+" "+name))
	}
	for _, o := range objects {
		for _, n := range []int{1, 100} {
			all = append(all, newBatch(o, pipeline.V2, pipeline.Signals, schema.ByID, n), newBatch(o, pipeline.V3, pipeline.Signals, schema.ByID, n))
			for _, by := range identifiers[o] {
				all = append(all, newBatch(o, pipeline.V2, pipeline.Signals, by, n), newBatch(o, pipeline.V3, pipeline.Search, by, n), newBatch(o, pipeline.V3, pipeline.Scores, by, n))
			}
			all = append(all, newBatch(o, pipeline.V3, pipeline.Search, schema.ByID, n), newBatch(o, pipeline.V3, pipeline.Scores, schema.ByID, n))
			for _, cap := range []int{1, 100} {
				add(newBatch(o, pipeline.V2, pipeline.Signals, schema.ByID, n), fmt.Sprint("cap ", cap), func(a *pipeline.SignalsAsk) { a.MaxResults = cap })
				add(newBatch(o, pipeline.V3, pipeline.Signals, schema.ByID, n), fmt.Sprint("cap ", cap), func(a *pipeline.SignalsAsk) { a.MaxResults = cap })
			}
		}
		for _, d := range []pipeline.APIVersion{pipeline.V2, pipeline.V3} {
			for _, key := range signalKeys(o, d) {
				add(newBatch(o, d, pipeline.Signals, schema.ByID, 2), key, func(a *pipeline.SignalsAsk) { a.Types = []string{key} })
			}
		}
		// A token, and the same entity twice.
		odd := newBatch(o, pipeline.V3, pipeline.Signals, schema.ByID, 3)
		odd.Items[0].Account.ID, odd.Items[1].ID, odd.Items[2].ID = "v1.Zm9v-_.YmFy", "v1.same", "v1.same"
		all = append(all, withID(odd, odd.ID+" tokens"))
		twice := newBatch(o, pipeline.V2, pipeline.Signals, schema.ByID, 2)
		twice.Items[1].Account.ID = twice.Items[0].Account.ID
		all = append(all, withID(twice, twice.ID+" twice"))
	}
	for name, change := range filterVariants() {
		add(newBatch(schema.Company, pipeline.V2, pipeline.Signals, schema.ByID, 2), name, change)
		add(newBatch(schema.Company, pipeline.V2, pipeline.Signals, schema.ByDomain, 2), name, change)
		add(newBatch(schema.Company, pipeline.V3, pipeline.Signals, schema.ByID, 2), name, change)
	}
	return append(all, pageBatches()...)
}

// filterVariants are the filters for companies.
func filterVariants() map[string]func(*pipeline.SignalsAsk) {
	var news []string
	for _, s := range schema.Signals {
		news = append(news, s.NewsEventTypes...)
	}
	places := []pipeline.Location{{Country: "Norway"}, {Country: "United States", State: "Ohio"}}
	return map[string]func(*pipeline.SignalsAsk){
		"news":       func(a *pipeline.SignalsAsk) { a.NewsEventTypes = news },
		"department": func(a *pipeline.SignalsAsk) { a.HiringDepartments = []string{"Sales", "Health Care & Medical"} },
		"place":      func(a *pipeline.SignalsAsk) { a.HiringLocations = places },
		"intent":     func(a *pipeline.SignalsAsk) { a.IntentCategories = []string{"Hiring & growth"} },
		"all": func(a *pipeline.SignalsAsk) {
			a.NewsEventTypes, a.HiringDepartments, a.HiringLocations, a.IntentCategories = news[:2], []string{"Legal"}, places[:1], []string{"Funding"}
		},
		"without its key": func(a *pipeline.SignalsAsk) {
			a.Types, a.NewsEventTypes, a.HiringDepartments = []string{"intent"}, news[:1], []string{"Legal"}
		},
	}
}

// pageBatches are requests to the paged services.
func pageBatches() (all []*pipeline.Batch) {
	for _, o := range objects {
		maxLimit := 100
		if o == schema.Contact {
			maxLimit = 50
		}
		var mixed, full []schema.Account
		for _, by := range identifiers[o] {
			if o == schema.Contact || by == schema.ByDomain {
				mixed = append(mixed, accountsOf(newItems(o, by, 5))...)
				full = accountsOf(newItems(o, by, 100))
				all = append(all, newPageBatch(o, pipeline.Lookalikes, pipeline.Page{Number: 1, Limit: 1}, accountsOf(newItems(o, by, 5)), nil))
			}
		}
		if o == schema.Contact {
			mixed = append(mixed, accountsOf(newItems(o, schema.ByID, 5))...)
		} else {
			mixed = append(mixed, schema.Account{Object: o, LinkedIn: "https://www.linkedin.com/company/kestrel-loom"})
		}
		all = append(all,
			newPageBatch(o, pipeline.Lookalikes, pipeline.Page{Number: 1, Limit: maxLimit}, mixed, mixed),
			newPageBatch(o, pipeline.Lookalikes, pipeline.Page{Number: 3, Offset: 50, Limit: 25, Session: sessionID}, full, full),
		)
	}
	for _, p := range []pipeline.Page{{Number: 1, Limit: 1}, {Number: 9, Offset: 1200, Limit: 150}} {
		all = append(all, newPageBatch(schema.Company, pipeline.Visits, p, accountsOf(newItems(schema.Company, schema.ByDomain, 3)), nil))
	}
	return all
}
