package simulator

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// This file holds the encoding that all operations share: events, values and the charge.

// quirks are the ways in which a fault distorts the text of a paid answer. The zero value changes
// nothing.
type quirks struct {
	charge      string // form of the charge; "" for the normal one
	extraFields bool   // undocumented fields
	unknownType bool   // a signal type that was not requested
	oddTypes    bool   // values of another JSON type than documented
	// Entities that were found and paid for are left out.
	dropSome     bool
	foreign      bool   // an entity that was not requested
	duplicateKey bool   // one entity twice, with different content
	rootList     bool   // a list in place of the map, or the reverse
	status       int    // in place of the usual status
	contentType  string // in place of the usual content type
}

// writer writes one answer, in either version of the API.
type writer struct {
	b          []byte
	sw         *Switches
	q          *quirks
	oddDice    dice // decides which values are odd
	world      world
	apiVersion int
	// Documented place of the charge: a name, or "billing" for one inside that object.
	chargeKey string
}

func newWriter(dst []byte, a *answer, sw *Switches, q *quirks) *writer {
	a.sortEvents(sw.Order)
	return &writer{b: dst, sw: sw, q: q, world: a.world, oddDice: dice(mix(a.draw, 'o'))}
}

// open begins an answer.
func (w *writer) open() {
	w.b = append(w.b, '{')
	if w.q.extraFields {
		w.b = append(w.b, `"apiRevision":"2031-04","trace":{"hops":[1,2,3],"region":null}`...)
	}
}

// entries writes the findings under a name, as a map by reference or as a list. missing writes
// the stand-in for an entity that is not known, or returns false.
func (w *writer) entries(name string, a *answer, asMap bool, known func(*answer, *finding), missing func(*finding) bool) {
	brackets := "[]"
	if asMap {
		brackets = "{}"
	}
	w.b = append(appendKey(w.b, name), brackets[0])
	next := func(f *finding) {
		w.b = appendComma(w.b)
		if asMap {
			w.b = append(appendString(w.b, f.lookup.ref), ':')
		}
	}
	nth, repeated := 0, false
	for i := range a.findings {
		f := &a.findings[i]
		if !f.known {
			before := len(w.b)
			next(f)
			if !missing(f) {
				w.b = w.b[:before]
			}
			continue
		}
		nth++
		if w.q.dropSome && nth%3 == 1 {
			continue
		}
		next(f)
		known(a, f)
		if w.q.duplicateKey && !repeated {
			repeated = true
			empty := *f
			empty.events = make([][]event, len(f.events))
			next(f)
			known(a, &empty)
		}
	}
	if w.q.foreign {
		f := foreignFinding(a)
		next(f)
		known(a, f)
	}
	w.b = append(w.b, brackets[1])
}

// foreignFinding returns an entity that was not requested.
func foreignFinding(a *answer) *finding {
	id := int64(700_000_000_000 + a.draw%90_000_000_000)
	for i := range a.order.lookups {
		if a.order.lookups[i].id == id {
			id++
		}
	}
	f := &finding{lookup: &lookup{ref: strconv.FormatInt(id, 10), id: id, hasReference: true}, known: true,
		entity: entity{object: a.order.object, id: id, root: a.draw, name: "Stranger & Sons", domain: "stranger.example"},
		events: make([][]event, len(a.order.types))}
	if len(a.order.types) > 0 && a.order.types[0].shape == hiring {
		f.events[0] = []event{{signal: a.order.types[0], id: 900_000_000_000_000_001, date: a.order.span.from, value: 30, baseline: 10, changePercent: 200}}
	}
	return f
}

// window writes the days that an answer covers.
func (w *writer) window(o *order) {
	w.b = append(appendKey(w.b, "startDate"), '"')
	w.b = append(o.span.from.appendTo(w.b), '"')
	w.b = append(appendKey(w.b, "endDate"), '"')
	w.b = append(o.span.to.appendTo(w.b), '"')
}

// extraFields writes undocumented members of an entity, the first under the given name.
func (w *writer) extraFields(name string) {
	if w.q.extraFields {
		w.b = append(appendKey(w.b, name), `{"main":"Manufacturing","sub":["Valves & Pumps"]},"isCustomer":false`...)
	}
}

// signalLists writes the events of an entity, one list per requested type.
func (w *writer) signalLists(o *order, f *finding) {
	w.extraFields("industry")
	for i, sig := range o.types {
		w.eventList(sig.key, &f.entity, f.events[i])
	}
	w.unknownSignal(o)
}

// unknownSignal writes a key of an older version of the API, with the value words it had there.
func (w *writer) unknownSignal(o *order) {
	if w.q.unknownType {
		w.b = append(appendKey(w.b, "headcountGrowth"), `[{"score":"high","oldValue":120,"newValue":180,"signalDate":"`...)
		w.b = append(o.span.from.appendTo(w.b), `"}]`...)
	}
}

func (w *writer) company(e *entity, domain string) {
	w.id("companyId", e.id, false)
	w.string("companyName", e.name)
	w.string("domain", domain)
}

func (w *writer) eventList(key string, e *entity, events []event) {
	asObject := len(events) == 1 &&
		(w.sw.Single == "object-all" || w.sw.Single == "object" && e.object == contact || w.q.oddTypes && w.oddDice.chance(0.3))
	switch {
	case len(events) == 0 && w.sw.Empty == "absent":
		return
	case len(events) == 0 && (w.sw.Empty == "null" || w.q.oddTypes && w.oddDice.chance(0.3)):
		w.b = append(appendKey(w.b, key), "null"...)
		return
	}
	w.b = appendKey(w.b, key)
	if !asObject {
		w.b = append(w.b, '[')
	}
	for i := range events {
		w.b = appendComma(w.b)
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

func (w *writer) event(e *entity, ev *event) {
	if ev.signal.shape == jobMove {
		w.jobMove(e, ev)
		return
	}
	if ev.signal.shape == social {
		w.socialEvent(e, ev)
		return
	}
	w.company(e, e.domain)
	w.string("signalId", strconv.FormatUint(ev.id, 10))
	if ev.signal.shape == news {
		w.newsEvent(e, ev)
		return
	}
	w.date("signalDate", ev.date)
	d := dice(mix(ev.textSeed, 'd'))
	switch ev.signal.shape {
	case headcount:
		w.number("baselineEmployeesCount", ev.baseline)
		w.number("newEmployeesCount", ev.value)
		w.changeRate(ev)
	case hiring:
		w.number("newJobsPostedLastWeek", ev.value)
		w.number("historicalAvg", ev.baseline)
		w.changeRate(ev)
	case hiringDept:
		spelled := ev.topic
		if spelled == "Engineering & Technical" && d.chance(0.5) {
			// Answers do not always use the filter's spelling.
			spelled = "Engineering"
		}
		w.string("department", spelled)
		w.number("newJobsPostedLast4Weeks", ev.value)
		w.number("historicalAvg", ev.baseline)
		w.changeRate(ev)
	case hiringPlace:
		w.countryAndState(ev.place)
		w.number("newJobsPostedLast4Weeks", ev.value)
		w.number("historicalAvg", ev.baseline)
		w.changeRate(ev)
	case traffic:
		w.number("lastMonthVisits", ev.value)
		w.number("historicalAvg", ev.baseline)
		w.changeRate(ev)
	case itSpend:
		w.number("estimatedAnnualItSpend", ev.value)
		w.changeRate(ev)
	case jobPost:
		job := strconv.FormatUint(ev.id%1_000_000_007, 36)
		w.string("externalJobId", "job-"+job)
		w.string("jobTitle", jobTitle(ev.topic, &d))
		w.string("department", ev.topic)
		w.countryAndState(ev.place)
		w.string("city", ev.place.city)
		w.string("jobUrl", "https://jobs.example/"+job)
	case newSite:
		w.countryAndState(ev.place)
		w.string("city", ev.place.city)
		w.string("source", pick(&d, []string{"news", "jobs"}))
	case intent, intentPlace:
		w.string("topicName", ev.topic)
		w.number("topicScore", ev.value)
		w.string("topicTrend", strings.Replace("+"+strconv.Itoa(d.between(-12, 25)), "+-", "-", 1))
		if ev.signal.shape == intentPlace {
			w.countryAndState(ev.place)
		}
	case siteVisit:
		v := drawVisit(int(ev.value), ev.date, 7, &d)
		w.visit(&v)
	}
}

func (w *writer) newsEvent(e *entity, ev *event) {
	d := dice(mix(ev.textSeed, 'd'))
	a := newArticle(ev, e.name)
	kind := ev.topic
	if lower := d.chance(0.1); w.sw.EventTypeCase == "lower" || lower && w.sw.EventTypeCase == "mixed" {
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
	if known := !d.chance(0.2); w.sw.NewsDates == "effective" || known && w.sw.NewsDates == "both" {
		w.date("eventEffectiveDate", ev.effective)
	}
}

// jobMove writes a job move under the names of V2, those of the one sample that V3 gives, or both.
func (w *writer) jobMove(e *entity, ev *event) {
	d := dice(mix(ev.textSeed, 'd'))
	names := "v2"
	if w.apiVersion == apiV3 {
		names = w.sw.V3Events
	}
	promoted := ev.signal.key == "promotion"
	labelled := !d.chance(0.1)
	titled := promoted && d.chance(0.5)
	moved := !promoted || d.chance(0.7)
	if names != "v2" {
		w.id("id", e.id, false)
		if moved {
			w.string("previousCompany", ev.fromJob.company)
		}
		w.string("newCompany", ev.toJob.company)
	}
	if names != "sample" {
		w.id("personId", e.id, false)
		w.id("currentCompanyId", ev.toJob.companyID, true)
		w.string("currentCompanyName", ev.toJob.company)
		w.string("currentDomain", ev.toJob.domain)
		w.string("currentTitle", ev.toJob.title())
		w.departments(ev.toJob)
		if labelled {
			w.string("currentSeniorityLabel", ev.toJob.seniority())
		}
		if titled {
			w.string("previousTitle", ev.fromJob.title())
		}
		if moved {
			w.string("previousCompanyName", ev.fromJob.company)
			w.string("previousDomain", ev.fromJob.domain)
		}
	}
	w.date("signalDate", ev.date)
}

var (
	socialCategories = []string{"Vendor evaluation", "Budget planning", "Team growth", "Pain point"}
	socialKinds      = []string{"post", "comment", "reaction", "share"}
)

// socialEvent writes a public activity with the people and companies it mentions. Some of them are
// unknown to the service and have no id.
func (w *writer) socialEvent(e *entity, ev *event) {
	d := dice(mix(ev.textSeed, 'd'))
	w.id("companyId", e.id, true)
	w.date("activityPublicationDate", ev.date)
	w.string("signalCategory", pick(&d, socialCategories))
	w.b = append(appendKey(w.b, "intentTopics"), '[')
	for _, t := range intentTopics(ev) {
		w.b = append(appendComma(w.b), '{')
		w.string("topic", t.name)
		w.string("category", t.category)
		w.b = append(w.b, '}')
	}
	w.b = append(w.b, ']')
	w.b = appendKey(w.b, "author")
	w.mention(&d, contact)
	for _, list := range []struct {
		name string
		of   object
	}{{"contactsMentioned", contact}, {"companiesMentioned", company}} {
		w.b = append(appendKey(w.b, list.name), '[')
		for range d.intN(3) {
			w.b = appendComma(w.b)
			w.mention(&d, list.of)
		}
		w.b = append(w.b, ']')
	}
	activity := strconv.FormatUint(ev.id, 10)
	w.string("activityUrl", "https://www.linkedin.com/feed/update/urn:li:activity:"+activity)
	if d.chance(0.2) {
		w.b = append(appendKey(w.b, "activitySummary"), "null"...)
	} else {
		w.string("activitySummary", personName(&d)+" asks about "+ev.topic+" & what it costs.")
	}
	w.number("activityLikes", float64(d.intN(400)))
	w.number("activityComments", float64(d.intN(60)))
	w.number("activityShares", float64(d.intN(20)))
	w.string("activityType", pick(&d, socialKinds))
}

// mention writes a person or a company that an activity mentions.
func (w *writer) mention(d *dice, o object) {
	id := w.world.idOf(o, "mentioned/"+strconv.Itoa(d.intN(100_000)))
	w.b = append(w.b, '{')
	if d.chance(0.3) {
		w.b = append(appendKey(w.b, "id"), "null"...)
	} else {
		w.id("id", id, false)
	}
	if o == contact {
		first, last := w.world.inventPerson(id)
		w.string("fullName", first+" "+last)
		w.string("linkedinUrl", profileURL(first, last, id))
	} else {
		name, _ := w.world.inventCompany(id)
		w.string("name", name)
		w.string("linkedinUrl", companyURL(name))
	}
	w.b = append(w.b, '}')
}

func (w *writer) departments(p *position) {
	switch w.sw.Departments {
	case "list":
		w.b = append(appendString(append(appendKey(w.b, "currentDepartments"), '['), p.department()), ']')
	case "objects":
		w.b = append(appendKey(w.b, "currentDepartments"), `[{"id":`...)
		w.b = strconv.AppendInt(w.b, int64(p.ladder+1), 10)
		w.b = append(appendString(append(w.b, `,"value":`...), p.department()), '}', ']')
	default:
		w.string("currentDepartments", p.department())
	}
}

func (w *writer) countryAndState(p place) {
	w.string("country", p.country)
	if p.state != "" {
		w.string("state", p.state)
	}
}

func (w *writer) changeRate(ev *event) {
	rate := float64(ev.changePercent)
	if w.sw.DecreaseSign == "positive" {
		rate = math.Abs(rate)
	}
	w.number("changeRatePercent", rate)
}

func (w *writer) string(key, value string) {
	w.b = appendKey(w.b, key)
	switch {
	case w.q.oddTypes && w.oddDice.chance(0.04):
		w.b = strconv.AppendInt(w.b, int64(w.oddDice.intN(100000)), 10)
	case w.q.oddTypes && w.oddDice.chance(0.04):
		w.b = append(w.b, "null"...)
	default:
		w.b = appendString(w.b, value)
	}
}

func (w *writer) number(key string, value float64) {
	w.b = appendKey(w.b, key)
	if w.q.oddTypes && w.oddDice.chance(0.3) {
		w.b = append(appendNumber(append(w.b, '"'), value), '"')
		return
	}
	w.b = appendNumber(w.b, value)
}

// id writes an id as documented for its field, or in the form of the switch.
func (w *writer) id(key string, id int64, asNumber bool) {
	switch w.sw.IDs {
	case "text":
		asNumber = false
	case "number":
		asNumber = true
	}
	if w.q.oddTypes && w.oddDice.chance(0.3) {
		asNumber = !asNumber
	}
	w.b = appendKey(w.b, key)
	if asNumber {
		w.b = strconv.AppendInt(w.b, id, 10)
		return
	}
	w.b = append(strconv.AppendInt(append(w.b, '"'), id, 10), '"')
}

var oddDates = []string{`"31/12/2026"`, `"2026-02-30"`, `"soon"`, `""`, `1767225600`, `"2026-W07"`, `null`, `"0000-00-00"`, `"12026-01-01"`}

func (w *writer) date(key string, d day) {
	w.b = appendKey(w.b, key)
	if w.q.oddTypes && w.oddDice.chance(0.3) {
		w.b = append(w.b, pick(&w.oddDice, oddDates)...)
		return
	}
	w.b = append(d.appendTo(append(w.b, '"')), '"')
}

// charge writes what the call cost, in the form that a fault may impose.
func (w *writer) charge(a *answer) {
	field := w.sw.ChargeField
	if field == "documented" {
		field = w.chargeKey
	}
	if w.q.charge == "elsewhere" {
		others := slices.DeleteFunc([]string{"creditCharged", "creditsCharged", "billing"}, func(f string) bool { return f == field })
		field = others[a.draw&1]
	}
	if field != "billing" {
		w.credits(field, a.charge)
		return
	}
	w.b = append(appendKey(w.b, "billing"), '{')
	w.credits("creditsCharged", a.charge)
	w.b = append(strconv.AppendInt(appendKey(w.b, "resultsReturned"), int64(a.found), 10), '}')
}

func (w *writer) credits(key string, n int64) {
	switch w.q.charge {
	case "missing":
	case "null":
		w.b = append(appendKey(w.b, key), "null"...)
	case "string":
		w.b = append(strconv.AppendInt(append(appendKey(w.b, key), '"'), n, 10), '"')
	case "negative":
		w.b = append(appendKey(w.b, key), "-1"...)
	case "fraction":
		w.b = append(strconv.AppendInt(appendKey(w.b, key), n, 10), ".5"...)
	case "duplicate":
		w.b = strconv.AppendInt(appendKey(w.b, key), n, 10)
		w.b = strconv.AppendInt(appendKey(w.b, key), n+7, 10)
	case "case":
		w.b = strconv.AppendInt(appendKey(w.b, "C"+key[1:]), n, 10)
	default:
		w.b = strconv.AppendInt(appendKey(w.b, key), n, 10)
	}
}
