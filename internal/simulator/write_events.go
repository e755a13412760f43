package simulator

import (
	"math"
	"strconv"
	"strings"
)

// eventWriter writes events, each in the shape of its signal type.
type eventWriter struct {
	entityWriter
	apiVersion int
	// The event is delivered to a webhook, which has other forms of some fields.
	delivered bool
}

func (w *eventWriter) eventList(key string, e *entity, events []event) {
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
		if w.q.drift {
			w.b = append(w.b, `,"sentimentScore":0.25`...)
		}
		w.b = append(w.b, '}')
	}
	if !asObject {
		w.b = append(w.b, ']')
	}
}

// event writes the members of one event.
func (w *eventWriter) event(e *entity, ev *event) {
	switch ev.signal.shape {
	case jobMove:
		w.jobMove(e, ev)
		return
	case social:
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
	case headcount, hiring, hiringDept, hiringPlace, traffic, itSpend:
		w.changeEvent(ev, &d)
	case jobPost:
		w.jobPost(ev, &d)
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

// changeEvent writes a measure that rose or fell.
func (w *eventWriter) changeEvent(ev *event, d *dice) {
	switch ev.signal.shape {
	case headcount:
		w.number("baselineEmployeesCount", ev.baseline)
		w.number("newEmployeesCount", ev.value)
	case hiring:
		w.number("newJobsPostedLastWeek", ev.value)
		w.number("historicalAvg", ev.baseline)
	case hiringDept:
		spelled := ev.topic
		if spelled == "Engineering & Technical" && d.chance(0.5) {
			// Answers do not always use the filter's spelling.
			spelled = "Engineering"
		}
		w.string("department", spelled)
		w.number("newJobsPostedLast4Weeks", ev.value)
		w.number("historicalAvg", ev.baseline)
	case hiringPlace:
		w.countryAndState(ev.place)
		w.number("newJobsPostedLast4Weeks", ev.value)
		w.number("historicalAvg", ev.baseline)
	case traffic:
		w.number("lastMonthVisits", ev.value)
		if !w.q.drift {
			w.number("historicalAvg", ev.baseline)
		}
	case itSpend:
		w.number("estimatedAnnualItSpend", ev.value)
	}
	w.changeRate(ev)
}

func (w *eventWriter) changeRate(ev *event) {
	rate := float64(ev.changePercent)
	if w.sw.DecreaseSign == "positive" {
		rate = math.Abs(rate)
	}
	if w.q.drift {
		w.b = append(appendNumber(append(appendKey(w.b, "changeRatePercent"), `{"value":`...), rate), `,"unit":"percent"}`...)
		return
	}
	w.number("changeRatePercent", rate)
}

func (w *eventWriter) jobPost(ev *event, d *dice) {
	job := strconv.FormatUint(ev.id%1_000_000_007, 36)
	w.string("externalJobId", "job-"+job)
	w.string("jobTitle", jobTitle(ev.topic, d))
	w.string("department", ev.topic)
	w.countryAndState(ev.place)
	w.string("city", ev.place.city)
	w.string("jobUrl", "https://jobs.example/"+job)
}

func (w *eventWriter) newsEvent(e *entity, ev *event) {
	d := dice(mix(ev.textSeed, 'd'))
	a := newArticle(ev, e.name)
	kind := ev.topic
	if lower := d.chance(0.1); w.sw.EventTypeCase == "lower" || lower && w.sw.EventTypeCase == "mixed" {
		kind = strings.ToLower(kind)
	}
	if w.q.drift && d.chance(0.3) {
		kind = "Layoff Round"
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
func (w *eventWriter) jobMove(e *entity, ev *event) {
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
		w.id("personId", e.id, w.delivered)
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
func (w *eventWriter) socialEvent(e *entity, ev *event) {
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
func (w *eventWriter) mention(d *dice, o object) {
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

func (w *eventWriter) departments(p *position) {
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
