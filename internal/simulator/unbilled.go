package simulator

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// This file holds the unbilled operations: the options, their counterparts in V3, and the account
// page.

// serveOptions lists the signals of an object and the values of its filters.
func (x *exchange) serveOptions(o object) {
	b := append([]byte(`{"objectType":"`), o.String()...)
	b = append(b, `","signals":["`+allSignals+`"`...)
	for _, s := range x.signals[apiV2][o] {
		b = appendString(append(b, ','), s.key)
	}
	b = append(b, ']')
	if o == company {
		b = append(b, `,"filterOptions":{"newsEventTypes":`...)
		b = appendStrings(b, slices.Sorted(slices.Values(newsEventTypes())))
		b = append(b, `,"hiringByDepartments":`...)
		b = appendStrings(b, departments)
		b = append(b, `,"hiringByLocations":[`...)
		for _, p := range places {
			b = appendPlace(appendComma(b), p)
		}
		b = append(b, `]}`...)
	}
	x.send(200, jsonType, append(b, '}'), true)
}

func appendStrings(b []byte, list []string) []byte {
	b = append(b, '[')
	for _, s := range list {
		b = appendString(appendComma(b), s)
	}
	return append(b, ']')
}

func appendPlace(b []byte, p place) []byte {
	b = appendString(append(b, `{"country":`...), p.country)
	if p.state != "" {
		b = appendString(append(b, `,"state":`...), p.state)
	}
	return append(b, '}')
}

// serveSignalTypes lists the signals of an object in the form of V3.
func (x *exchange) serveSignalTypes(o object) {
	keys := []string{allSignals}
	for _, s := range x.signals[apiV3][o] {
		keys = append(keys, s.key)
	}
	x.send(200, jsonType, append(appendStrings([]byte(`{"signalTypes":`), keys), '}'), true)
}

// serveFilters lists the filters and whether each requires a query.
func (x *exchange) serveFilters() {
	x.send(200, jsonType, []byte(`{"availableFilters":[{"filterType":"newsEventTypes","requiresQuery":false},`+
		`{"filterType":"hiringByDepartments","requiresQuery":false},{"filterType":"hiringByLocations","requiresQuery":true},`+
		`{"filterType":"intentCategories","requiresQuery":false}]}`), true)
}

// serveFilterValues lists the values of a filter that contain the query. Some filters refuse one.
func serveFilterValues(values []string, refusesQuery bool) func(*exchange) {
	return func(x *exchange) {
		query, prob := x.filterQuery()
		if prob == nil && refusesQuery && query != "" {
			prob = badRequest("query is not supported by this filter")
		}
		if prob != nil {
			x.fail(prob)
			return
		}
		var list []string
		for _, v := range values {
			if strings.Contains(foldCase(v), query) {
				list = append(list, v)
			}
		}
		x.send(200, jsonType, append(appendStrings([]byte(`{"values":`), list), '}'), true)
	}
}

// servePlaceValues lists the places that contain the query in their country or state. The query is
// required.
func (x *exchange) servePlaceValues() {
	query, prob := x.filterQuery()
	if prob == nil && query == "" {
		prob = badRequest("query is required by this filter")
	}
	if prob != nil {
		x.fail(prob)
		return
	}
	b := []byte(`{"values":[`)
	for _, p := range places {
		if strings.Contains(foldCase(p.country), query) || strings.Contains(foldCase(p.state), query) {
			b = appendPlace(appendComma(b), p)
		}
	}
	x.send(200, jsonType, append(b, ']', '}'), true)
}

// filterQuery reads the one parameter of filter values, in comparable form; "" when it is absent.
func (x *exchange) filterQuery() (string, *problem) {
	given := x.r.URL.Query()["query"]
	if len(given) == 0 {
		return "", nil
	}
	text := foldCase(given[0])
	if n := utf8.RuneCountInString(text); len(given) > 1 || n < 2 || n > 256 {
		return "", badRequest("query must have 2 to 256 characters")
	}
	return text, nil
}

const timestamp = "2006-01-02T15:04:05.000Z"

// serveUsage is the account page: credits, quotas, plan and prices.
func (x *exchange) serveUsage() {
	pool, spent := x.ledger.credits()
	b := appendCredits([]byte(`{"credits":`), pool, spent)
	b = append(b, `,"rateLimits":{"daily":`...)
	b = appendWindow(b, x.quota.day, x.now)
	b = append(b, `,"hourly":`...)
	b = appendWindow(b, x.quota.hour, x.now)
	b = append(b, `,"minute":`...)
	b = appendWindow(b, x.quota.minute, x.now)
	year := x.now.Year()
	b = append(b, `},"plan":{"category":"`+x.limiter.plan.name+`","renewalType":"annual","startDate":"`...)
	b = time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC).AppendFormat(b, timestamp)
	b = append(b, `","endDate":"`...)
	b = time.Date(year+1, 1, 1, 0, 0, 0, 0, time.UTC).AppendFormat(b, timestamp)
	b = append(b, `"},"pricing":{`...)
	for _, t := range x.prices {
		b = append(appendKey(b, t.action), `{"credits":`...)
		b = append(strconv.AppendInt(b, t.credits, 10), `,"perQuantity":`...)
		b = append(strconv.AppendInt(b, t.perQuantity, 10), '}')
	}
	x.send(200, jsonType, append(b, '}', '}'), true)
}

// serveLegacyUsage is the older account page: credits only.
func (x *exchange) serveLegacyUsage() {
	pool, spent := x.ledger.credits()
	b := appendCredits([]byte(`{"usage":{"credits":`), pool, spent)
	x.send(200, jsonType, append(b, '}', '}'), true)
}

func appendCredits(b []byte, pool, spent int64) []byte {
	b = strconv.AppendInt(append(b, `{"total":`...), pool, 10)
	b = strconv.AppendInt(append(b, `,"used":`...), spent, 10)
	b = strconv.AppendInt(append(b, `,"remaining":`...), pool-spent, 10)
	return append(b, '}')
}

// appendWindow appends a window, or null for one without a limit.
func appendWindow(b []byte, w window, now time.Time) []byte {
	if w.limit == 0 {
		return append(b, "null"...)
	}
	b = strconv.AppendInt(append(b, `{"limit":`...), w.limit, 10)
	b = strconv.AppendInt(append(b, `,"used":`...), w.used, 10)
	b = strconv.AppendInt(append(b, `,"remaining":`...), w.remaining(), 10)
	b = append(b, `,"resetsAt":"`...)
	b = now.Add(w.untilReset(now)).AppendFormat(b, timestamp)
	return append(b, '"', '}')
}
