package simulator

import (
	"math"
	"strconv"
	"strings"
)

// quirks are the ways in which a fault bends the text of an answer that was paid for. The zero
// value bends nothing.
type quirks struct {
	charge       string // how the charge is written; "" as it should be
	extraFields  bool   // fields nobody documented
	unknownType  bool   // a signal type nobody asked for
	oddTypes     bool   // values of another JSON type than documented
	dropSome     bool   // entities that were found and paid for are left out
	foreign      bool   // an entity nobody asked about
	duplicateKey bool   // one key of the map twice, with different content
	rootList     bool   // a list in place of the map
	status       int    // in place of the usual one
	contentType  string // in place of the usual one
}

// v2Writer writes one answer.
type v2Writer struct {
	b   []byte
	sw  *Switches
	q   *quirks
	odd dice // decides which values oddTypes touches
}

func v2Encode(dst []byte, a *answer, sw *Switches, q *quirks) []byte {
	w := &v2Writer{b: dst, sw: sw, q: q, odd: dice(blend(a.draw, 'o'))}
	a.arrange(sw.Order)
	root := "companies"
	if a.order.object == contact {
		root = "contacts"
	}
	w.b = append(w.b, '{')
	if q.extraFields {
		w.b = append(w.b, `"apiRevision":"2031-04","trace":{"hops":[1,2,3],"region":null}`...)
	}
	w.b = jsonKey(w.b, root)
	if q.rootList {
		w.b = append(w.b, '[')
	} else {
		w.b = append(w.b, '{')
	}
	w.findings(a)
	if q.rootList {
		w.b = append(w.b, ']')
	} else {
		w.b = append(w.b, '}')
	}
	w.b = append(jsonKey(w.b, "startDate"), '"')
	w.b = append(a.order.span.from.append(w.b), '"')
	w.b = append(jsonKey(w.b, "endDate"), '"')
	w.b = append(a.order.span.to.append(w.b), '"')
	w.charge(a)
	return append(w.b, '}')
}

func (w *v2Writer) findings(a *answer) {
	nth, doubled := 0, false
	for i := range a.findings {
		f := &a.findings[i]
		if !f.known {
			if w.sw.NotFound == "error" && !w.q.rootList {
				w.b = append(w.key(f.lookup.ref), `{"error":{"code":3,"name":"EMPTY_DATA","message":"No data for this entry"}}`...)
			}
			continue
		}
		nth++
		if w.q.dropSome && nth%3 == 1 {
			continue
		}
		w.entry(f.lookup.ref, a.order, f, f.events)
		if w.q.duplicateKey && !doubled {
			doubled = true
			w.entry(f.lookup.ref, a.order, f, make([][]event, len(f.events)))
		}
	}
	if w.q.foreign {
		w.stranger(a)
	}
}

// stranger adds an entity that nobody asked about.
func (w *v2Writer) stranger(a *answer) {
	id := int64(700_000_000_000 + a.draw%90_000_000_000)
	for i := range a.order.lookups {
		if a.order.lookups[i].id == id {
			id++
		}
	}
	ref := strconv.FormatInt(id, 10)
	f := finding{lookup: &lookup{ref: ref, id: id}, known: true,
		entity: entity{object: a.order.object, id: id, root: a.draw, name: "Stranger & Sons", domain: "stranger.example"}}
	lists := make([][]event, len(a.order.types))
	if a.order.types[0].record == hiring {
		lists[0] = []event{{signal: a.order.types[0], id: 900_000_000_000_000_001, date: a.order.span.from, now: 30, was: 10, rate: 200}}
	}
	w.entry(ref, a.order, &f, lists)
}

func (w *v2Writer) key(ref string) []byte {
	w.b = jsonComma(w.b)
	if w.q.rootList {
		return w.b
	}
	w.b = jsonText(w.b, ref)
	return append(w.b, ':')
}

// entry writes what is known about one entity: who it is, and one list per type asked for.
func (w *v2Writer) entry(ref string, o *order, f *finding, lists [][]event) {
	w.b = append(w.key(ref), '{')
	if f.entity.object == contact {
		w.id("personId", f.entity.id, false)
	} else {
		w.company(&f.entity)
	}
	if w.q.extraFields {
		w.b = append(w.b, `,"industry":{"main":"Manufacturing","sub":["Valves & Pumps"]},"isCustomer":false`...)
	}
	for i, sig := range o.types {
		w.list(sig.key, &f.entity, lists[i])
	}
	if w.q.unknownType {
		// A key of an older generation, with the value words it used to have.
		w.b = append(jsonKey(w.b, "headcountGrowth"), `[{"score":"high","oldValue":120,"newValue":180,"signalDate":"`...)
		w.b = append(o.span.from.append(w.b), `"}]`...)
	}
	w.b = append(w.b, '}')
}

func (w *v2Writer) company(e *entity) {
	w.id("companyId", e.id, false)
	w.string("companyName", e.name)
	w.string("domain", e.domain)
}

func (w *v2Writer) list(key string, e *entity, events []event) {
	asObject := len(events) == 1 &&
		(w.sw.Single == "object-all" || w.sw.Single == "object" && e.object == contact || w.q.oddTypes && w.odd.under(0.3))
	switch {
	case len(events) == 0 && w.sw.Empty == "absent":
		return
	case len(events) == 0 && (w.sw.Empty == "null" || w.q.oddTypes && w.odd.under(0.3)):
		w.b = append(jsonKey(w.b, key), "null"...)
		return
	}
	w.b = jsonKey(w.b, key)
	if !asObject {
		w.b = append(w.b, '[')
	}
	for i := range events {
		w.b = jsonComma(w.b)
		w.b = append(w.b, '{')
		w.event(e, &events[i])
		if w.q.extraFields {
			w.b = append(w.b, `,"confidence":0.875,"lineage":{"model":"m-7","parts":[{"n":1},{"n":2}]}`...)
		}
		w.b = append(w.b, '}')
	}
	if !asObject {
		w.b = append(w.b, ']')
	}
}

func (w *v2Writer) event(e *entity, ev *event) {
	if ev.signal.record == jobMove {
		w.move(e, ev)
		return
	}
	w.company(e)
	w.string("signalId", strconv.FormatUint(ev.id, 10))
	if ev.signal.record == news {
		w.news(e, ev)
		return
	}
	w.date("signalDate", ev.date)
	d := dice(blend(ev.detail, 'd'))
	switch ev.signal.record {
	case headcount:
		w.number("baselineEmployeesCount", ev.was)
		w.number("newEmployeesCount", ev.now)
		w.rate(ev)
	case hiring:
		w.number("newJobsPostedLastWeek", ev.now)
		w.number("historicalAvg", ev.was)
		w.rate(ev)
	case hiringDept:
		spelled := ev.topic
		if spelled == "Engineering & Technical" && d.under(0.5) {
			spelled = "Engineering" // answers do not always spell as the filter does
		}
		w.string("department", spelled)
		w.number("newJobsPostedLast4Weeks", ev.now)
		w.number("historicalAvg", ev.was)
		w.rate(ev)
	case hiringPlace:
		w.where(ev.place)
		w.number("newJobsPostedLast4Weeks", ev.now)
		w.number("historicalAvg", ev.was)
		w.rate(ev)
	case traffic:
		w.number("lastMonthVisits", ev.now)
		w.number("historicalAvg", ev.was)
		w.rate(ev)
	case itSpend:
		w.number("estimatedAnnualItSpend", ev.now)
		w.rate(ev)
	case jobPost:
		job := strconv.FormatUint(ev.id%1_000_000_007, 36)
		w.string("externalJobId", "job-"+job)
		w.string("jobTitle", jobTitle(ev.topic, &d))
		w.string("department", ev.topic)
		w.where(ev.place)
		w.string("city", ev.place.city)
		w.string("jobUrl", "https://jobs.example/"+job)
	case newSite:
		w.where(ev.place)
		w.string("city", ev.place.city)
		w.string("source", pick(&d, []string{"news", "jobs"}))
	case intent, intentPlace:
		w.string("topicName", ev.topic)
		w.number("topicScore", ev.now)
		w.string("topicTrend", strings.Replace("+"+strconv.Itoa(d.between(-12, 25)), "+-", "-", 1))
		if ev.signal.record == intentPlace {
			w.where(ev.place)
		}
	case siteVisit:
		w.visits(ev, &d)
	}
}

func (w *v2Writer) visits(ev *event, d *dice) {
	sessions := d.between(1, 40)
	w.number("score", ev.now)
	w.string("scoreBand", []string{"cold", "warm", "hot"}[int(ev.now-1)/34])
	w.number("totalSessions", float64(sessions))
	w.number("uniqueVisitors", float64(d.between(1, sessions)))
	w.number("avgSessionMinutes", float64(d.between(2, 90))/4)
	w.number("daysVisited", float64(d.between(1, min(sessions, 7))))
	w.number("highIntentPageviews", float64(d.upto(sessions)))
	w.date("lastVisit", ev.date)
	w.string("visitorCountry", pick(d, []string{"US", "DE", "NO", "FR", "GB", "IN"}))
}

func (w *v2Writer) news(e *entity, ev *event) {
	d := dice(blend(ev.detail, 'd'))
	a := written(ev, e.name)
	kind := ev.topic
	if lower := d.under(0.1); w.sw.EventTypeCase == "lower" || lower && w.sw.EventTypeCase == "mixed" {
		kind = strings.ToLower(kind)
	}
	w.string("eventType", kind)
	w.string("eventSummary", a.summary)
	w.string("articleTitle", a.title)
	w.string("articleHighlight", a.highlight)
	w.string("articleUrl", a.url)
	if w.sw.NewsDates != "effective" {
		w.date("articlePublishedDate", ev.date)
	}
	if known := !d.under(0.2); w.sw.NewsDates == "effective" || known && w.sw.NewsDates == "both" {
		w.date("eventEffectiveDate", ev.took)
	}
}

func (w *v2Writer) move(e *entity, ev *event) {
	d := dice(blend(ev.detail, 'd'))
	w.id("personId", e.id, false)
	w.id("currentCompanyId", ev.to.companyID, true)
	w.string("currentCompanyName", ev.to.company)
	w.string("currentDomain", ev.to.domain)
	w.string("currentTitle", ev.to.title())
	w.departments(ev.to)
	if !d.under(0.1) {
		w.string("currentSeniorityLabel", ev.to.seniority())
	}
	promoted := ev.signal.key == "promotion"
	if promoted && d.under(0.5) {
		w.string("previousTitle", ev.from.title())
	}
	if !promoted || d.under(0.7) {
		w.string("previousCompanyName", ev.from.company)
		w.string("previousDomain", ev.from.domain)
	}
	w.date("signalDate", ev.date)
}

func (w *v2Writer) departments(s *stint) {
	switch w.sw.Departments {
	case "list":
		w.b = append(jsonText(append(jsonKey(w.b, "currentDepartments"), '['), s.department()), ']')
	case "objects":
		w.b = append(jsonKey(w.b, "currentDepartments"), `[{"id":`...)
		w.b = strconv.AppendInt(w.b, int64(s.ladder+1), 10)
		w.b = append(jsonText(append(w.b, `,"value":`...), s.department()), '}', ']')
	default:
		w.string("currentDepartments", s.department())
	}
}

func (w *v2Writer) where(p place) {
	w.string("country", p.country)
	if p.state != "" {
		w.string("state", p.state)
	}
}

func (w *v2Writer) rate(ev *event) {
	rate := float64(ev.rate)
	if w.sw.DecreaseSign == "positive" {
		rate = math.Abs(rate)
	}
	w.number("changeRatePercent", rate)
}

func (w *v2Writer) string(key, value string) {
	w.b = jsonKey(w.b, key)
	switch {
	case w.q.oddTypes && w.odd.under(0.04):
		w.b = strconv.AppendInt(w.b, int64(w.odd.upto(100000)), 10)
	case w.q.oddTypes && w.odd.under(0.04):
		w.b = append(w.b, "null"...)
	default:
		w.b = jsonText(w.b, value)
	}
}

func (w *v2Writer) number(key string, value float64) {
	w.b = jsonKey(w.b, key)
	if w.q.oddTypes && w.odd.under(0.3) {
		w.b = append(jsonNumber(append(w.b, '"'), value), '"')
		return
	}
	w.b = jsonNumber(w.b, value)
}

// id writes an id as documented for its field, or as the switch has it.
func (w *v2Writer) id(key string, id int64, asNumber bool) {
	switch w.sw.IDs {
	case "text":
		asNumber = false
	case "number":
		asNumber = true
	}
	if w.q.oddTypes && w.odd.under(0.3) {
		asNumber = !asNumber
	}
	w.b = jsonKey(w.b, key)
	if asNumber {
		w.b = strconv.AppendInt(w.b, id, 10)
		return
	}
	w.b = append(strconv.AppendInt(append(w.b, '"'), id, 10), '"')
}

var oddDates = []string{`"31/12/2026"`, `"2026-02-30"`, `"soon"`, `""`, `1767225600`, `"2026-W07"`, `null`, `"0000-00-00"`, `"12026-01-01"`}

func (w *v2Writer) date(key string, d day) {
	w.b = jsonKey(w.b, key)
	if w.q.oddTypes && w.odd.under(0.3) {
		w.b = append(w.b, pick(&w.odd, oddDates)...)
		return
	}
	w.b = append(d.append(append(w.b, '"')), '"')
}

// charge writes what the call cost, in one of the many ways a fault can have it.
func (w *v2Writer) charge(a *answer) {
	plain := func(key string) { w.b = strconv.AppendInt(jsonKey(w.b, key), a.charge, 10) }
	switch w.q.charge {
	case "missing":
	case "null":
		w.b = append(jsonKey(w.b, "creditCharged"), "null"...)
	case "string":
		w.b = append(strconv.AppendInt(append(jsonKey(w.b, "creditCharged"), '"'), a.charge, 10), '"')
	case "negative":
		w.b = append(jsonKey(w.b, "creditCharged"), "-1"...)
	case "fraction":
		w.b = append(strconv.AppendInt(jsonKey(w.b, "creditCharged"), a.charge, 10), ".5"...)
	case "duplicate":
		plain("creditCharged")
		w.b = strconv.AppendInt(jsonKey(w.b, "creditCharged"), a.charge+7, 10)
	case "case":
		plain("CreditCharged")
	case "elsewhere":
		if a.draw&1 == 0 {
			plain("creditsCharged")
		} else {
			w.billing(a)
		}
	default:
		switch w.sw.ChargeField {
		case "billing":
			w.billing(a)
		default:
			plain(w.sw.ChargeField)
		}
	}
}

func (w *v2Writer) billing(a *answer) {
	w.b = append(jsonKey(w.b, "billing"), `{"creditsCharged":`...)
	w.b = strconv.AppendInt(w.b, a.charge, 10)
	w.b = append(w.b, `,"resultsReturned":`...)
	w.b = strconv.AppendInt(w.b, int64(a.found), 10)
	w.b = append(w.b, '}')
}
