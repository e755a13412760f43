package simulator

import (
	"slices"
	"strconv"
	"time"
)

// This file holds the operations that cost nothing: the options and the account page.

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
			b = jsonText(append(jsonComma(b), `{"country":`...), p.country)
			if p.state != "" {
				b = jsonText(append(b, `,"state":`...), p.state)
			}
			b = append(b, '}')
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
	for _, t := range x.tariffs() {
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

// jsonWindow writes a window, or null for one without a limit.
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
