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

// options lists the signals of an object and the values of its filters.
func (x *exchange) options(o object) {
	b := append([]byte(`{"objectType":"`), o.String()...)
	b = append(b, `","signals":["`+allSignals+`"`...)
	for _, s := range x.offered[generation2][o] {
		b = jsonText(append(b, ','), s.key)
	}
	b = append(b, ']')
	if o == company {
		b = append(b, `,"filterOptions":{"newsEventTypes":`...)
		b = jsonTexts(b, slices.Sorted(slices.Values(newsEventTypes())))
		b = append(b, `,"hiringByDepartments":`...)
		b = jsonTexts(b, departments)
		b = append(b, `,"hiringByLocations":[`...)
		for _, p := range places {
			b = jsonPlace(jsonComma(b), p)
		}
		b = append(b, `]}`...)
	}
	x.send(200, jsonType, append(b, '}'), true)
}

func jsonTexts(b []byte, list []string) []byte {
	b = append(b, '[')
	for _, s := range list {
		b = jsonText(jsonComma(b), s)
	}
	return append(b, ']')
}

func jsonPlace(b []byte, p place) []byte {
	b = jsonText(append(b, `{"country":`...), p.country)
	if p.state != "" {
		b = jsonText(append(b, `,"state":`...), p.state)
	}
	return append(b, '}')
}

// signalTypes lists the signals of an object in the form of V3.
func (x *exchange) signalTypes(o object) {
	keys := []string{allSignals}
	for _, s := range x.offered[generation3][o] {
		keys = append(keys, s.key)
	}
	x.send(200, jsonType, append(jsonTexts([]byte(`{"signalTypes":`), keys), '}'), true)
}

// filters lists the filters and whether each requires a query.
func (x *exchange) filters() {
	x.send(200, jsonType, []byte(`{"availableFilters":[{"filterType":"newsEventTypes","requiresQuery":false},`+
		`{"filterType":"hiringByDepartments","requiresQuery":false},{"filterType":"hiringByLocations","requiresQuery":true},`+
		`{"filterType":"intentCategories","requiresQuery":false}]}`), true)
}

// filterValues lists the values of a filter that contain the query. Some filters refuse one.
func filterValues(values []string, unsearchable bool) func(*exchange) {
	return func(x *exchange) {
		query, wrong := x.query()
		if wrong == nil && unsearchable && query != "" {
			wrong = badRequest("query is not supported by this filter")
		}
		if wrong != nil {
			x.fail(wrong)
			return
		}
		var list []string
		for _, v := range values {
			if strings.Contains(fold(v), query) {
				list = append(list, v)
			}
		}
		x.send(200, jsonType, append(jsonTexts([]byte(`{"values":`), list), '}'), true)
	}
}

// placeValues lists the places that contain the query in their country or state. The query is
// required.
func (x *exchange) placeValues() {
	query, wrong := x.query()
	if wrong == nil && query == "" {
		wrong = badRequest("query is required by this filter")
	}
	if wrong != nil {
		x.fail(wrong)
		return
	}
	b := []byte(`{"values":[`)
	for _, p := range places {
		if strings.Contains(fold(p.country), query) || strings.Contains(fold(p.state), query) {
			b = jsonPlace(jsonComma(b), p)
		}
	}
	x.send(200, jsonType, append(b, ']', '}'), true)
}

// query reads the one parameter of filter values, in comparable form; "" when it is absent.
func (x *exchange) query() (string, *problem) {
	given := x.r.URL.Query()["query"]
	if len(given) == 0 {
		return "", nil
	}
	text := fold(given[0])
	if n := utf8.RuneCountInString(text); len(given) > 1 || n < 2 || n > 256 {
		return "", badRequest("query must have 2 to 256 characters")
	}
	return text, nil
}

const timestamp = "2006-01-02T15:04:05.000Z"

// usage is the account page: credits, quotas, plan and prices.
func (x *exchange) usage() {
	pool, spent := x.ledger.credits()
	b := jsonCredits([]byte(`{"credits":`), pool, spent)
	b = append(b, `,"rateLimits":{"daily":`...)
	b = jsonWindow(b, x.tally.day, x.now)
	b = append(b, `,"hourly":`...)
	b = jsonWindow(b, x.tally.hour, x.now)
	b = append(b, `,"minute":`...)
	b = jsonWindow(b, x.tally.minute, x.now)
	year := x.now.Year()
	b = append(b, `},"plan":{"category":"`+x.rates.plan.name+`","renewalType":"annual","startDate":"`...)
	b = time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC).AppendFormat(b, timestamp)
	b = append(b, `","endDate":"`...)
	b = time.Date(year+1, 1, 1, 0, 0, 0, 0, time.UTC).AppendFormat(b, timestamp)
	b = append(b, `"},"pricing":{`...)
	for _, t := range x.prices {
		b = append(jsonKey(b, t.action), `{"credits":`...)
		b = append(strconv.AppendInt(b, t.credits, 10), `,"perQuantity":`...)
		b = append(strconv.AppendInt(b, t.perAmount, 10), '}')
	}
	x.send(200, jsonType, append(b, '}', '}'), true)
}

// usageBefore is the older account page: credits only.
func (x *exchange) usageBefore() {
	pool, spent := x.ledger.credits()
	b := jsonCredits([]byte(`{"usage":{"credits":`), pool, spent)
	x.send(200, jsonType, append(b, '}', '}'), true)
}

func jsonCredits(b []byte, pool, spent int64) []byte {
	b = strconv.AppendInt(append(b, `{"total":`...), pool, 10)
	b = strconv.AppendInt(append(b, `,"used":`...), spent, 10)
	b = strconv.AppendInt(append(b, `,"remaining":`...), pool-spent, 10)
	return append(b, '}')
}

// jsonWindow appends a window, or null for one without a limit.
func jsonWindow(b []byte, w window, now time.Time) []byte {
	if w.limit == 0 {
		return append(b, "null"...)
	}
	b = strconv.AppendInt(append(b, `{"limit":`...), w.limit, 10)
	b = strconv.AppendInt(append(b, `,"used":`...), w.used, 10)
	b = strconv.AppendInt(append(b, `,"remaining":`...), w.left(), 10)
	b = append(b, `,"resetsAt":"`...)
	b = now.Add(w.reset(now)).AppendFormat(b, timestamp)
	return append(b, '"', '}')
}
