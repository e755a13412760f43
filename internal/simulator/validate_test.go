package simulator

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestValidation(t *testing.T) {
	many := func(n int) string {
		b := []byte{'['}
		for i := range n {
			b = fmt.Appendf(appendComma(b), "%d", i+1)
		}
		return string(append(b, ']'))
	}
	const ok = 200
	tests := []struct {
		path, body string
		status     int
		names      string // what errors[] has to name
	}{
		// the document
		{companyIDs, ``, 400, "valid JSON"},
		{companyIDs, `[]`, 400, "object"},
		{companyIDs, `{"companyIds":[1],"signals":["riskNews"]`, 400, "valid JSON"},
		{companyIDs, `{"companyIds":[1,],"signals":["riskNews"]}`, 400, "valid JSON"},
		{companyIDs, `{"companyIds":[1],"signals":["riskNews"]} {}`, 400, "more than one"},
		{companyIDs, `{"companyIds":[1],"companyIds":[2],"signals":["riskNews"]}`, 400, "companyIds"},
		{companyIDs, "{\"companyIds\":[1],\"signals\":[\"\xff\"]}", 400, "UTF-8"},
		{companyIDs, strings.Repeat("[", 100), 400, "deep"},
		{companyIDs, `{"companyIds":[1],"signals":["riskNews"],"pageSize":3}`, 400, "pageSize"},
		{companyIDs, `{"companyIds":[1],"signals":["riskNews"],"endDate":"2026-01-01"}`, 400, "endDate"},
		{companyIDs, `{"companyIds":[1],"signals":["riskNews"],"pad":"` + strings.Repeat("x", maxBody) + `"}`, 413, "body"},

		// ids
		{companyIDs, `{"companyIds":[1,9223372036854775807],"signals":["riskNews"]}`, ok, ""},
		{companyIDs, `{"companyIds":[7,7,7],"signals":["riskNews"]}`, ok, ""},
		{companyIDs, `{"companyIds":` + many(100) + `,"signals":["riskNews"]}`, ok, ""},
		{companyIDs, `{"companyIds":` + many(101) + `,"signals":["riskNews"]}`, 400, "companyIds"},
		{companyIDs, `{"companyIds":[],"signals":["riskNews"]}`, 400, "companyIds"},
		{companyIDs, `{"signals":["riskNews"]}`, 400, "companyIds"},
		{companyIDs, `{"companyIds":null,"signals":["riskNews"]}`, 400, "companyIds"},
		{companyIDs, `{"companyIds":1,"signals":["riskNews"]}`, 400, "companyIds"},
		{companyIDs, `{"companyIds":["1"],"signals":["riskNews"]}`, 400, "companyIds.0"},
		{companyIDs, `{"companyIds":[1,2.5],"signals":["riskNews"]}`, 400, "companyIds.1"},
		{companyIDs, `{"companyIds":[1e3],"signals":["riskNews"]}`, 400, "companyIds.0"},
		{companyIDs, `{"companyIds":[0],"signals":["riskNews"]}`, 400, "companyIds.0"},
		{companyIDs, `{"companyIds":[9223372036854775808],"signals":["riskNews"]}`, 400, "companyIds.0"},
		{contactIDs, `{"contactIds":[1],"signals":["promotion"]}`, ok, ""},
		{contactIDs, `{"companyIds":[1],"signals":["promotion"]}`, 400, "contactIds"},

		// signals
		{companyIDs, `{"companyIds":[1],"signals":[]}`, 400, "signals"},
		{companyIDs, `{"companyIds":[1]}`, 400, "signals"},
		{companyIDs, `{"companyIds":[1],"signals":"riskNews"}`, 400, "signals"},
		{companyIDs, `{"companyIds":[1],"signals":[null]}`, 400, "signals.0"},
		{companyIDs, `{"companyIds":[1],"signals":["riskNews","RiskNews"]}`, 400, "signals.1"},
		{companyIDs, `{"companyIds":[1],"signals":["promotion"]}`, 400, "signals.0"},
		{companyIDs, `{"companyIds":[1],"signals":["newJobPost"]}`, 400, "newJobPost"},
		{companyIDs, `{"companyIds":[1],"signals":["linkedinActivityIntent"]}`, 400, "linkedinActivityIntent"},
		{companyIDs, `{"companyIds":[1],"signals":["headcountGrowth"]}`, 400, "headcountGrowth"},
		{companyIDs, `{"companyIds":[1],"signals":["riskNews","allSignals"]}`, ok, ""},
		{contactIDs, `{"contactIds":[1],"signals":["allSignals"]}`, ok, ""},
		{contactIDs, `{"contactIds":[1],"signals":["riskNews"]}`, 400, "signals.0"},

		// window and cap
		{companyIDs, `{"companyIds":[1],"signals":["riskNews"],"startDate":"2026-05-01"}`, ok, ""},
		{companyIDs, `{"companyIds":[1],"signals":["riskNews"],"startDate":"0001-01-01"}`, ok, ""},
		{companyIDs, `{"companyIds":[1],"signals":["riskNews"],"startDate":"2026-05-02"}`, 400, "startDate"},
		{companyIDs, `{"companyIds":[1],"signals":["riskNews"],"startDate":"2026-02-30"}`, 400, "startDate"},
		{companyIDs, `{"companyIds":[1],"signals":["riskNews"],"startDate":"2026-2-3"}`, 400, "startDate"},
		{companyIDs, `{"companyIds":[1],"signals":["riskNews"],"startDate":"2026-02-03T00:00:00Z"}`, 400, "startDate"},
		{companyIDs, `{"companyIds":[1],"signals":["riskNews"],"startDate":null}`, 400, "startDate"},
		{companyIDs, `{"companyIds":[1],"signals":["riskNews"],"maxResultsPerSignal":1}`, ok, ""},
		{companyIDs, `{"companyIds":[1],"signals":["riskNews"],"maxResultsPerSignal":0}`, 400, "maxResultsPerSignal"},
		{companyIDs, `{"companyIds":[1],"signals":["riskNews"],"maxResultsPerSignal":"5"}`, 400, "maxResultsPerSignal"},
		{companyIDs, `{"companyIds":[1],"signals":["riskNews"],"maxResultsPerSignal":1.5}`, 400, "maxResultsPerSignal"},
		{companyIDs, `{"companyIds":[1],"signals":["riskNews"],"maxResultsPerSignal":null}`, 400, "maxResultsPerSignal"},

		// filters
		{companyIDs, `{"companyIds":[1],"signals":["riskNews"],"filters":{}}`, ok, ""},
		{companyIDs, `{"companyIds":[1],"signals":["riskNews"],"filters":{"include":{"newsEventTypes":["m&a","IPO"],"hiringByDepartments":["sales"],"hiringByLocations":[{"country":"norway"},{"country":"US","state":"Ohio"}]}}}`, ok, ""},
		{companyIDs, `{"companyIds":[1],"signals":["riskNews"],"filters":null}`, 400, "filters"},
		{companyIDs, `{"companyIds":[1],"signals":["riskNews"],"filters":{"exclude":{}}}`, 400, "filters.exclude"},
		{companyIDs, `{"companyIds":[1],"signals":["riskNews"],"filters":{"include":{"intentCategories":[]}}}`, 400, "filters.include.intentCategories"},
		{companyIDs, `{"companyIds":[1],"signals":["riskNews"],"filters":{"include":{"newsEventTypes":["Merger"]}}}`, 400, "filters.include.newsEventTypes.0"},
		{companyIDs, `{"companyIds":[1],"signals":["riskNews"],"filters":{"include":{"newsEventTypes":"IPO"}}}`, 400, "filters.include.newsEventTypes"},
		{companyIDs, `{"companyIds":[1],"signals":["riskNews"],"filters":{"include":{"hiringByDepartments":["Sales",1]}}}`, 400, "filters.include.hiringByDepartments.1"},
		{companyIDs, `{"companyIds":[1],"signals":["riskNews"],"filters":{"include":{"hiringByLocations":[{"state":"Ohio"}]}}}`, 400, "filters.include.hiringByLocations.0.country"},
		{companyIDs, `{"companyIds":[1],"signals":["riskNews"],"filters":{"include":{"hiringByLocations":["Norway"]}}}`, 400, "filters.include.hiringByLocations.0"},
		{companyIDs, `{"companyIds":[1],"signals":["riskNews"],"filters":{"include":{"hiringByLocations":[{"country":"Norway","city":"Bergen"}]}}}`, 400, "filters.include.hiringByLocations.0.city"},
		{contactIDs, `{"contactIds":[1],"signals":["promotion"],"filters":{}}`, 400, "filters"},

		// companies by identifier
		{companySearch, `{"companies":[{"id":"a","domain":"a.example"},{"id":"b","name":"B"},{"id":"c","name":"C","domain":"c.example"}],"signals":["riskNews"]}`, ok, ""},
		{companySearch, `{"companies":[{"id":"a","domain":"bücher.example"},{"id":"b","domain":"xn--bcher-kva.example"},{"id":"c","domain":"WWW.A.example."}],"signals":["riskNews"]}`, ok, ""},
		{companySearch, `{"companies":[{"domain":"a.example"}],"signals":["riskNews"]}`, 400, "companies.0.id"},
		{companySearch, `{"companies":[{"id":7,"domain":"a.example"}],"signals":["riskNews"]}`, 400, "companies.0.id"},
		{companySearch, `{"companies":[{"id":"","domain":"a.example"}],"signals":["riskNews"]}`, 400, "companies.0.id"},
		{companySearch, `{"companies":[{"id":"a"}],"signals":["riskNews"]}`, 400, "companies.0"},
		{companySearch, `{"companies":["a.example"],"signals":["riskNews"]}`, 400, "companies.0"},
		{companySearch, `{"companies":[{"id":"a","domain":"https://a.example"}],"signals":["riskNews"]}`, 400, "companies.0.domain"},
		{companySearch, `{"companies":[{"id":"a","domain":"a.example/about"}],"signals":["riskNews"]}`, 400, "companies.0.domain"},
		{companySearch, `{"companies":[{"id":"a","domain":"localhost"}],"signals":["riskNews"]}`, 400, "companies.0.domain"},
		{companySearch, `{"companies":[{"id":"a","domain":""}],"signals":["riskNews"]}`, 400, "companies.0.domain"},
		{companySearch, `{"companies":[{"id":"a","name":" "}],"signals":["riskNews"]}`, 400, "companies.0.name"},
		{companySearch, `{"companies":[{"id":"a","domain":"a.example","url":"x"}],"signals":["riskNews"]}`, 400, "companies.0.url"},
		{companySearch, `{"companies":[{"id":"a","domain":"a.example"},{"id":"a","domain":"b.example"}],"signals":["riskNews"]}`, 400, "companies.1.id"},
		{companySearch, `{"companyIds":[1],"signals":["riskNews"]}`, 400, "companyIds"},

		// contacts by identifier
		{contactSearch, `{"contacts":[{"id":"a","email":"a@b.example"},{"id":"b","social_link":"https://www.linkedin.com/in/b"},{"id":"c","full_name":"Ada Sample","companies":[{"name":"Harbor Quill"}]},{"id":"d","full_name":"Ada Sample","companies":[{"domain":"h.example","is_current":false}]}],"signals":["promotion"]}`, ok, ""},
		{contactSearch, `{"contacts":[{"id":"a"}],"signals":["promotion"]}`, 400, "contacts.0"},
		{contactSearch, `{"contacts":[{"id":"a","full_name":"Ada Sample"}],"signals":["promotion"]}`, 400, "contacts.0"},
		{contactSearch, `{"contacts":[{"id":"a","full_name":"Ada","companies":[{"name":"x"}]}],"signals":["promotion"]}`, 412, "contacts.0.full_name"},
		{contactSearch, `{"contacts":[{"id":"a","full_name":"Ada","companies":[{"name":"x"}]},{"id":"b"}],"signals":["promotion"]}`, 400, "contacts.1"},
		{contactSearch, `{"contacts":[{"id":"a","email":"a.b.example"}],"signals":["promotion"]}`, 400, "contacts.0.email"},
		{contactSearch, `{"contacts":[{"id":"a","email":"a@b"}],"signals":["promotion"]}`, 400, "contacts.0.email"},
		{contactSearch, `{"contacts":[{"id":"a","social_link":"https://example.com/in/a"}],"signals":["promotion"]}`, 400, "contacts.0.social_link"},
		{contactSearch, `{"contacts":[{"id":"a","social_link":5}],"signals":["promotion"]}`, 400, "contacts.0.social_link"},
		{contactSearch, `{"contacts":[{"id":"a","full_name":"Ada Sample","companies":[{}]}],"signals":["promotion"]}`, 400, "contacts.0.companies.0"},
		{contactSearch, `{"contacts":[{"id":"a","full_name":"Ada Sample","companies":[]}],"signals":["promotion"]}`, 400, "contacts.0.companies"},
		{contactSearch, `{"contacts":[{"id":"a","full_name":"Ada Sample","companies":{"name":"x"}}],"signals":["promotion"]}`, 400, "contacts.0.companies"},
		{contactSearch, `{"contacts":[{"id":"a","full_name":"Ada Sample","companies":[{"name":"x","is_current":"yes"}]}],"signals":["promotion"]}`, 400, "contacts.0.companies.0.is_current"},
		{contactSearch, `{"contacts":[{"id":"a","full_name":"Ada Sample","companies":[{"name":"x","fqdn":"x"}]}],"signals":["promotion"]}`, 400, "contacts.0.companies.0.fqdn"},

		// V3 signals
		{companySignals3, `{"ids":["1","9223372036854775807"],"signalTypes":["riskNews","linkedinActivityIntent"]}`, ok, ""},
		{companySignals3, `{"ids":["1","1"],"signalTypes":["riskNews"],"maxResultsPerSignal":100}`, ok, ""},
		{companySignals3, `{"ids":["1"],"signalTypes":["riskNews"],"filters":{"include":{"intentCategories":["Security"]}}}`, ok, ""},
		{companySignals3, `{"ids":["1"]}`, 400, "signalTypes"},
		{companySignals3, `{"ids":["1"],"signalTypes":[]}`, 400, "signalTypes"},
		{companySignals3, `{"ids":["1"],"signalTypes":["promotion"]}`, 400, "signalTypes.0"},
		{companySignals3, `{"ids":["1"],"signals":["riskNews"]}`, 400, "signals"},
		{companySignals3, `{"ids":["1"],"signalTypes":["newJobPost"]}`, 400, "newJobPost"},
		{companySignals3, `{"signalTypes":["riskNews"]}`, 400, "ids"},
		{companySignals3, `{"ids":[],"signalTypes":["riskNews"]}`, 400, "ids"},
		{companySignals3, `{"ids":[1],"signalTypes":["riskNews"]}`, 400, "ids.0"},
		{companySignals3, `{"ids":["1","x"],"signalTypes":["riskNews"]}`, 400, "ids.1"},
		{companySignals3, `{"ids":["v1.AAAAAAAAAAAAAAAA"],"signalTypes":["riskNews"]}`, 400, "ids.0"},
		{companySignals3, `{"ids":["0"],"signalTypes":["riskNews"]}`, 400, "ids.0"},
		{companySignals3, `{"ids":` + idsJSON(1, 101, `"`) + `,"signalTypes":["riskNews"]}`, 400, "ids"},
		{companySignals3, `{"ids":["1"],"signalTypes":["riskNews"],"maxResultsPerSignal":0}`, 400, "maxResultsPerSignal"},
		{companySignals3, `{"ids":["1"],"signalTypes":["riskNews"],"maxResultsPerSignal":101}`, 400, "maxResultsPerSignal"},
		{companySignals3, `{"ids":["1"],"signalTypes":["riskNews"],"startDate":"2026-05-02"}`, 400, "startDate"},
		{companySignals3, `{"ids":["1"],"signalTypes":["riskNews"],"endDate":"2026-05-01"}`, 400, "endDate"},
		{companySignals3, `{"ids":["1"],"signalTypes":["riskNews"],"tableId":"t"}`, 400, "tableId"},
		{companySignals3, `{"ids":["1"],"signalTypes":["riskNews"],"filters":{"include":{"intentCategories":["Nonsense"]}}}`, 400, "filters.include.intentCategories.0"},
		{contactSignals3, `{"ids":["1"],"signalTypes":["allSignals"]}`, ok, ""},
		{contactSignals3, `{"ids":["1"],"signalTypes":["linkedinActivityIntent"]}`, 400, "signalTypes.0"},
		{contactSignals3, `{"ids":["1"],"signalTypes":["promotion"],"filters":{}}`, 400, "filters"},

		// V3 search
		{companySearch3, `{"companies":[{"domain":"a.example"},{"clientReferenceId":"r","name":"A"},{"id":"7"}],"options":{"includePartialProfiles":false}}`, ok, ""},
		{companySearch3, `{"companies":[{"clientReferenceId":"` + strings.Repeat("é", 256) + `","name":"A"}]}`, ok, ""},
		{companySearch3, `{"companies":[{"clientReferenceId":"` + strings.Repeat("x", 257) + `","name":"A"}]}`, 400, "companies.0.clientReferenceId"},
		{companySearch3, `{"companies":[{"clientReferenceId":7,"name":"A"}]}`, 400, "companies.0.clientReferenceId"},
		{companySearch3, `{"companies":[]}`, 400, "companies"},
		{companySearch3, `{"options":{}}`, 400, "companies"},
		{companySearch3, `{"companies":[{"clientReferenceId":"a"}]}`, 400, "companies.0"},
		{companySearch3, `{"companies":[{"domain":"a.example","name":"A"}]}`, 400, "companies.0"},
		{companySearch3, `{"companies":[{"id":7}]}`, 400, "companies.0.id"},
		{companySearch3, `{"companies":[{"domain":"https://a.example"}]}`, 400, "companies.0.domain"},
		{companySearch3, `{"companies":[{"name":" "}]}`, 400, "companies.0.name"},
		{companySearch3, `{"companies":[{"email":"a@b.example"}]}`, 400, "companies.0.email"},
		{companySearch3, `{"companies":[{"name":"A"}],"options":{"includePartialProfiles":"yes"}}`, 400, "options.includePartialProfiles"},
		{companySearch3, `{"companies":[{"name":"A"}],"options":{"partial":true}}`, 400, "options.partial"},
		{companySearch3, `{"companies":[{"name":"A"}],"signals":{}}`, 400, "signals.types"},
		{companySearch3, `{"companies":[{"name":"A"}],"signals":{"types":["riskNews"],"startDate":"2026-13-01"}}`, 400, "signals.startDate"},
		{companySearch3, `{"companies":[{"name":"A"}],"signals":{"types":["riskNews"],"maxResultsPerSignal":101}}`, 400, "signals.maxResultsPerSignal"},
		{companySearch3, `{"companies":[{"name":"A"}],"signals":{"types":["promotion"]}}`, 400, "signals.types.0"},
		{companySearch3, `{"companies":[{"name":"A"}],"reveal":["emails"]}`, 400, "reveal"},
		{contactSearch3, `{"contacts":[{"email":"a@b.example"},{"linkedinUrl":"linkedin.com/in/a"},{"id":"7"},{"firstName":"A","lastName":"B","companyName":"C","companyDomain":"c.example"}]}`, ok, ""},
		{contactSearch3, `{"contacts":[{"email":"a@b.example","id":"7"}]}`, 400, "contacts.0"},
		{contactSearch3, `{"contacts":[{"email":"a@b.example","firstName":"A"}]}`, 400, "contacts.0"},
		{contactSearch3, `{"contacts":[{}]}`, 400, "contacts.0"},
		{contactSearch3, `{"contacts":[{"firstName":"A","companyName":"C"}]}`, 400, "contacts.0.lastName"},
		{contactSearch3, `{"contacts":[{"firstName":"A","lastName":"B"}]}`, 400, "contacts.0"},
		{contactSearch3, `{"contacts":[{"firstName":"A","lastName":"B","companyDomain":"c"}]}`, 400, "contacts.0.companyDomain"},
		{contactSearch3, `{"contacts":[{"email":"nobody"}]}`, 400, "contacts.0.email"},
		{contactSearch3, `{"contacts":[{"linkedinUrl":"https://example.com/in/a"}]}`, 400, "contacts.0.linkedinUrl"},
		{contactSearch3, `{"contacts":[{"full_name":"Ada Sample"}]}`, 400, "contacts.0.full_name"},

		// V3 score
		{companyScore, `{"companies":[{"email":"a@b.example"},{"clientReferenceId":"r","name":"A"}]}`, ok, ""},
		{companyScore, `{"companies":[{"email":"a.example"}]}`, 400, "companies.0.email"},
		{companyScore, `{"companies":[{"email":"a@b.example","id":"7"}]}`, 400, "companies.0"},
		{companyScore, `{"companies":[{"name":"A"}],"signals":{"types":["riskNews"]}}`, 400, "signals"},
		{contactScore, `{"companies":[{"name":"A"}]}`, 400, "contacts"},
		{contactScore, `{"contacts":[{"firstName":"A","lastName":"B","companyName":"C"}]}`, ok, ""},

		// lookalikes
		{companyLike, `{"seeds":{"domains":["a.example","b.example","c.example"],"linkedinUrls":["https://www.linkedin.com/company/d","linkedin.com/company/e/"]}}`, ok, ""},
		{companyLike, `{` + seedsJSON(companyLike, "a", 100) + `,"exclude":{"domains":["x.example"]},"limit":100,"dedupeSessionId":null}`, ok, ""},
		{companyLike, `{"limit":5}`, 400, "seeds"},
		{companyLike, `{"seeds":[]}`, 400, "seeds"},
		{companyLike, `{` + seedsJSON(companyLike, "a", 4) + `}`, 400, "seeds"},
		{companyLike, `{` + seedsJSON(companyLike, "a", 101) + `}`, 400, "seeds.domains"},
		{companyLike, `{"seeds":{"domains":` + string(appendStrings(nil, slices.Repeat([]string{"a.example"}, 60))) + `,"linkedinUrls":` + string(appendStrings(nil, slices.Repeat([]string{"linkedin.com/company/a"}, 41))) + `}}`, 400, "seeds"},
		{companyLike, `{"seeds":{"domains":["a.example","b.example","c.example","d.example","e"]}}`, 400, "seeds.domains.4"},
		{companyLike, `{"seeds":{"domains":["a.example","b.example","c.example","d.example"],"linkedinUrls":["linkedin.com/in/e"]}}`, 400, "seeds.linkedinUrls.0"},
		{companyLike, `{"seeds":{"ids":["1","2","3","4","5"]}}`, 400, "seeds.ids"},
		{companyLike, `{` + seedsJSON(companyLike, "a", 5) + `,"limit":0}`, 400, "limit"},
		{companyLike, `{` + seedsJSON(companyLike, "a", 5) + `,"limit":101}`, 400, "limit"},
		{companyLike, `{` + seedsJSON(companyLike, "a", 5) + `,"exclude":{"emails":[]}}`, 400, "exclude.emails"},
		{companyLike, `{` + seedsJSON(companyLike, "a", 5) + `,"dedupeSessionId":"7"}`, 400, "dedupeSessionId"},
		{companyLike, `{` + seedsJSON(companyLike, "a", 5) + `,"tableId":"7"}`, 400, "tableId"},
		{companyLikeOld, `{` + seedsJSON(companyLike, "a", 4) + `}`, 400, "seeds"},
		{contactLike, `{"seeds":{"ids":["1"],"contactIds":[2],"linkedinUrls":["linkedin.com/in/c"],"emails":["d@x.example"],"contacts":[{"firstName":"E","lastName":"E","companyName":"X"}]},"limit":50}`, ok, ""},
		{contactLike, `{` + seedsJSON(contactLike, "a", 5) + `,"limit":51}`, 400, "limit"},
		{contactLike, `{"seeds":{"ids":[1],"contactIds":["2"],"linkedinUrls":["c"],"emails":["d"],"contacts":[{"firstName":"E","companyName":"X"}]}}`, 400, "seeds.contactIds.0"},
		{contactLike, `{"seeds":{"ids":["1","2","3","4"],"contacts":[{"firstName":"E","companyName":"X"}]}}`, 400, "seeds.contacts.0.lastName"},
		{contactLikeOld, `{` + seedsJSON(contactLike, "a", 5) + `,"page":2}`, 400, "page"},

		// visits
		{websiteVisits, `{"domains":["a.example","b.example","a.example"],"startDate":"2026-02-01","endDate":"2026-05-01","pagination":{},"sort":{},"filters":{}}`, ok, ""},
		{websiteVisits, `{"startDate":"2026-02-01","endDate":"2026-05-01"}`, 400, "domains"},
		{websiteVisits, `{"domains":[],"startDate":"2026-02-01","endDate":"2026-05-01"}`, 400, "domains"},
		{websiteVisits, `{"domains":["a.example","Untracked7.example"],"startDate":"2026-02-01","endDate":"2026-05-01"}`, 400, "domains.1"},
		{websiteVisits, `{"domains":["https://a.example"],"startDate":"2026-02-01","endDate":"2026-05-01"}`, 400, "domains.0"},
		{websiteVisits, `{"domains":["a.example"],"endDate":"2026-05-01"}`, 400, "startDate"},
		{websiteVisits, `{"domains":["a.example"],"startDate":"2026-02-01"}`, 400, "endDate"},
		{websiteVisits, `{"domains":["a.example"],"startDate":"2026-01-31","endDate":"2026-05-01"}`, 400, "endDate"},
		{websiteVisits, `{"domains":["a.example"],"startDate":"2026-04-02","endDate":"2026-04-01"}`, 400, "endDate"},
		{websiteVisits, `{"domains":["a.example"],"startDate":"2026-05-02","endDate":"2026-05-03"}`, 400, "startDate"},
		{websiteVisits, `{"domains":["a.example"],"startDate":"2026-05-01","endDate":"2026-05-03"}`, ok, ""},
		{websiteVisits, `{"domains":["a.example"],"startDate":"2026-05-01","endDate":"2026-05-01","pagination":{"page":0}}`, 400, "pagination.page"},
		{websiteVisits, `{"domains":["a.example"],"startDate":"2026-05-01","endDate":"2026-05-01","pagination":{"size":151}}`, 400, "pagination.size"},
		{websiteVisits, `{"domains":["a.example"],"startDate":"2026-05-01","endDate":"2026-05-01","pagination":{"limit":5}}`, 400, "pagination.limit"},
		{websiteVisits, `{"domains":["a.example"],"startDate":"2026-05-01","endDate":"2026-05-01","sort":{"by":"mood"}}`, 400, "sort.by"},
		{websiteVisits, `{"domains":["a.example"],"startDate":"2026-05-01","endDate":"2026-05-01","sort":{"by":"score","order":"up"}}`, 400, "sort.order"},
		{websiteVisits, `{"domains":["a.example"],"startDate":"2026-05-01","endDate":"2026-05-01","filters":{"scoreBands":["boiling"]}}`, 400, "filters.scoreBands.0"},
		{websiteVisits, `{"domains":["a.example"],"startDate":"2026-05-01","endDate":"2026-05-01","filters":{"visitorCountries":{"include":["USA"]}}}`, 400, "filters.visitorCountries.include.0"},
		{websiteVisits, `{"domains":["a.example"],"startDate":"2026-05-01","endDate":"2026-05-01","filters":{"visitorCountries":["US"]}}`, 400, "filters.visitorCountries"},
		{websiteVisits, `{"domains":["a.example"],"startDate":"2026-05-01","endDate":"2026-05-01","filters":{"score":{"min":"5"}}}`, 400, "filters.score.min"},
		{websiteVisits, `{"domains":["a.example"],"startDate":"2026-05-01","endDate":"2026-05-01","filters":{"score":{"min":5,"max":4}}}`, 400, "filters.score"},
		{websiteVisits, `{"domains":["a.example"],"startDate":"2026-05-01","endDate":"2026-05-01","filters":{"lastVisit":{}}}`, 400, "filters.lastVisit"},
	}
	s := rig(t, Config{})
	for _, tt := range tests {
		before := s.Bill().Credits
		w := post(s, tt.path, tt.body)
		if w.Code != tt.status {
			t.Errorf("POST %s %.150s = %d %.300s, want %d", tt.path, tt.body, w.Code, w.Body, tt.status)
			continue
		}
		if tt.status == ok {
			continue
		}
		var p struct {
			StatusCode int
			Message    string
			Errors     []string
		}
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.StatusCode != tt.status || p.Message == "" {
			t.Errorf("POST %s %.150s = %s, want the envelope (%v)", tt.path, tt.body, w.Body, err)
		}
		if !strings.Contains(strings.Join(p.Errors, "\n"), tt.names) || len(p.Errors) == 0 {
			t.Errorf("POST %s %.150s: errors = %q, want one naming %s", tt.path, tt.body, p.Errors, tt.names)
		}
		if s.Bill().Credits != before {
			t.Errorf("POST %s %.150s was billed", tt.path, tt.body)
		}
	}
}

func TestContentType(t *testing.T) {
	s := rig(t, Config{})
	for kind, want := range map[string]int{
		"application/json": 200, "application/json; charset=utf-8": 200, "Application/JSON": 200,
		"": 400, "text/plain": 400, "application/x-www-form-urlencoded": 400,
	} {
		r := request("POST", companyIDs, `{"companyIds":[1],"signals":["riskNews"]}`)
		r.Header.Set("Content-Type", kind)
		if w := do(s, r); w.Code != want {
			t.Errorf("POST as %q = %d, want %d", kind, w.Code, want)
		}
	}
}

// billedPaths are the operations that can cost something.
func billedPaths() []string {
	var paths []string
	for path, r := range routes {
		if r.operation != nil {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}

// FuzzRequest sends bodies to the parser: it must not panic, must answer JSON, and must not
// charge for what it refuses.
func FuzzRequest(f *testing.F) {
	f.Add(`{"companies":[{"id":"a","domain":"a.example"}],"signals":["allSignals"],"startDate":"2026-01-01","maxResultsPerSignal":3}`)
	f.Add(`{"companies":[{"id":"\ud800","name":"-"}],"signals":["riskNews"],"filters":{"include":{"hiringByLocations":[{"country":"x"}]}}}`)
	f.Add(`{"contacts":[{"id":"c","email":"a+b@c.example","companies":[{"name":"\u0000"}]}],"signals":["promotion"]}`)
	f.Add(`{"ids":["1","v1.AAAAAAAAAAAAAAAA"],"signalTypes":["allSignals"],"filters":{"include":{"intentCategories":["security"]}}}`)
	f.Add(`{"contacts":[{"clientReferenceId":"\u0000","firstName":" ","lastName":"-","companyName":"'"}],"signals":{"types":["allSignals"]}}`)
	f.Add(`{"seeds":{"domains":["a.example","b.example","c.example","d.example","e.example"]},"exclude":{"linkedinUrls":["linkedin.com/company/-"]},"limit":3}`)
	f.Add(`{"domains":["a.example"],"startDate":"2026-05-01","endDate":"2026-05-01","pagination":{"page":9},"filters":{"score":{"min":1e3}}}`)
	f.Add(`[[[[[[`)
	s := rig(f, Config{Credits: 1 << 50})
	f.Fuzz(func(t *testing.T, body string) {
		for _, path := range billedPaths() {
			w := post(s, path, body)
			if !json.Valid(w.Body.Bytes()) {
				t.Errorf("POST %s %q = %d %q, want JSON", path, body, w.Code, w.Body)
			}
			b := s.Bill()
			if e := b.Entries[len(b.Entries)-1]; e.Credits > 0 && (w.Code != 200 || !e.Delivered) {
				t.Errorf("POST %s %q: entry %+v is charged", path, body, e)
			}
			s.ledger.entries = nil // otherwise the corpus would grow the bill
		}
	})
}
