package simulator

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
)

// event is one thing that happened, independent of the wire format. The shape of its signal
// decides which fields are set.
type event struct {
	signal *signal
	id     uint64 // the signalId; contacts have none
	// Date of the measurement, the move or the publication.
	date     day
	textSeed uint64 // start of the draws about texts and spelling

	// Measured value, and the value it is compared with.
	value, baseline float64
	changePercent   int // change in percent, negative for a decrease
	place           place
	// Department, news event type or topic of intent.
	topic string
	// News: the day it took effect; 0 when not known.
	effective      day
	fromJob, toJob *position // contacts: the job before and the job after
}

// position is one job in a person's career.
type position struct {
	companyID    int64
	company      string
	domain       string
	rung, ladder int
}

func (p *position) title() string      { return ladders[p.ladder].titles[p.rung] }
func (p *position) seniority() string  { return seniorities[p.rung] }
func (p *position) department() string { return ladders[p.ladder].department }

// span is a window of days, together with the day on which the request is made.
type span struct {
	from, to day // inclusive
	// Events published after this day do not exist yet.
	today day
}

func (s span) contains(d day) bool { return d >= s.from && d <= s.to }

// signalFilter narrows families of signals; an empty list narrows nothing.
type signalFilter struct {
	newsTypes   []string
	departments []string
	places      []place // state "" matches the whole country
	categories  []string
}

func (f *signalFilter) matches(e *event) bool {
	switch e.signal.shape {
	case news:
		return f.newsTypes == nil || containsFold(f.newsTypes, e.topic)
	case hiringDept:
		return f.departments == nil || containsFold(f.departments, e.topic)
	case hiringPlace:
		return f.places == nil || f.matchesPlace(e.place)
	case social:
		return f.categories == nil || slices.ContainsFunc(intentTopics(e), func(t topic) bool { return containsFold(f.categories, t.category) })
	}
	return true
}

func (f *signalFilter) matchesPlace(p place) bool {
	for _, want := range f.places {
		if strings.EqualFold(want.country, p.country) && (want.state == "" || strings.EqualFold(want.state, p.state)) {
			return true
		}
	}
	return false
}

func containsFold(list []string, value string) bool {
	for _, v := range list {
		if strings.EqualFold(v, value) {
			return true
		}
	}
	return false
}

// history draws the events of one entity. Each entity has its own, because several signals share
// the headcount and the career.
type history struct {
	world  world
	entity *entity
	span   span
	filter *signalFilter

	headcounts []float64 // headcount by month, 0 where not yet drawn
	// Events of both contact signals, oldest first.
	career      []event
	position    *position // the last job that the service knows of
	careerDrawn bool
}

// appendEvents appends the events of one signal within the window, oldest first.
func (h *history) appendEvents(dst []event, s *signal) []event {
	if s.shape == jobMove {
		for _, e := range h.careerEvents() {
			if e.signal == s {
				dst = append(dst, e)
			}
		}
		return dst
	}
	root := mix(h.entity.root, s.salt)
	from := max(h.windowStart(s), worldStart)
	switch s.cadence {
	case daily:
		for d := from; d <= h.span.to; d++ {
			dst = h.drawStep(dst, s, root, d)
		}
	case weekly:
		// News is drawn for its week and published on one of its days. The week that holds the
		// first day of the window therefore counts too; the draw checks the day itself.
		for d := from.monday(); d <= h.span.to; d += 7 {
			dst = h.drawStep(dst, s, root, d)
		}
	case monthly:
		for m := from.monthIndex(); ; m++ {
			d := firstOfMonth(m)
			if d > h.span.to {
				break
			}
			if s.shape == headcount {
				dst = h.drawHeadcount(dst, s, root, m)
			} else {
				dst = h.drawStep(dst, s, root, d)
			}
		}
	}
	return dst
}

// The service looks back a quarter for public activity and caps the number of events, whatever
// the request says.
const (
	socialDays      = 90
	maxSocialEvents = 50
)

// windowStart returns the first day of a signal's window.
func (h *history) windowStart(s *signal) day {
	if s.shape == social && h.span.today != endOfTime {
		return max(h.span.from, h.span.today-socialDays+1)
	}
	return h.span.from
}

// intentTopics returns the topics of a public activity, the event's own first.
func intentTopics(e *event) []topic {
	d := dice(mix(e.textSeed, 't'))
	at := slices.IndexFunc(topics, func(t topic) bool { return t.name == e.topic })
	list := []topic{topics[at]}
	for d.chance(0.35) {
		if t := pick(&d, topics); !slices.Contains(list, t) {
			list = append(list, t)
		}
	}
	return list
}

// drawStep decides whether an event happened at one step of the cadence and, if so, draws it.
func (h *history) drawStep(dst []event, s *signal, root uint64, step day) []event {
	roll := mix(root, uint64(step))
	luck := unitFloat(roll)
	chance := min(s.probability*h.entity.activity, 0.6)
	if s.decreasing {
		// The decreasing signal takes the upper end of the draw that both directions share.
		luck = 1 - luck
		chance = min(chance, 0.4)
	}
	if luck >= chance {
		return dst
	}
	d := dice(roll)
	count := 1
	switch s.shape {
	case hiringDept, hiringPlace, jobPost, intent, intentPlace:
		for count < 4 && d.chance(0.25) {
			count++
		}
	}
	// All of them are drawn before any is chosen: an event that is published later does not take the
	// place of one that an answer has shown before.
	var drawn [4]event
	happened := drawn[:0]
	for range count {
		e := event{signal: s, date: step, id: signalID(&d), textSeed: d.next()}
		h.fillDetails(&e, dice(e.textSeed))
		if !isDuplicate(happened, &e) {
			happened = append(happened, e)
		}
	}
	for i := range happened {
		if e := &happened[i]; h.span.contains(e.date) && h.isPublished(e) && h.filter.matches(e) {
			dst = append(dst, *e)
		}
	}
	return dst
}

// uncappedEvents is the number of events of a type under events=most when a request states no cap.
const uncappedEvents = 100

// padEvents adds events of one signal to all[from:] up to the given number, oldest first. They are
// drawn for the requested window and not for the history: another window has other events. A
// filter may leave no event to add.
func (h *history) padEvents(all []event, from int, s *signal, count int) []event {
	first := h.windowStart(s)
	days := int(h.span.to-first) + 1
	if days < 1 {
		return all
	}
	root := mix(h.entity.root, hashText('m', s.key))
	for attempt := 0; len(all)-from < count && attempt < 64*count; attempt++ {
		d := dice(mix(root, uint64(attempt)))
		day := first + day(d.intN(days))
		e := event{signal: s, date: day, id: signalID(&d), textSeed: d.next()}
		switch s.shape {
		case jobMove:
			e.fromJob = h.drawPosition(&d, d.intN(len(seniorities)))
			e.toJob = h.drawPosition(&d, e.fromJob.rung)
		case headcount:
			e.baseline = math.Ceil(h.entity.size * (0.5 + d.float()))
			e.value = math.Ceil(e.baseline * (1.1 + d.expFloat()))
			if s.decreasing {
				e.baseline, e.value = e.value, e.baseline
			}
			e.changePercent = percentChange(e.value, e.baseline)
		default:
			h.fillDetails(&e, dice(e.textSeed))
			// The drawn details move the date of a news event.
			e.date = day
		}
		if h.filter.matches(&e) {
			all = append(all, e)
		}
	}
	slices.SortStableFunc(all[from:], func(x, y event) int { return cmp.Compare(x.date, y.date) })
	return all
}

// isDuplicate reports whether the same day already has an event about the same subject: two surges of
// one department in one week would be one surge.
func isDuplicate(events []event, e *event) bool {
	for i := range events {
		if events[i].topic == e.topic && events[i].place == e.place && e.signal.shape != jobPost {
			return true
		}
	}
	return false
}

// signalID draws eighteen digits, wide enough to be unique within a lake.
func signalID(d *dice) uint64 { return 100_000_000_000_000_000 + d.next()%900_000_000_000_000_000 }

// isPublished reports whether the service knows of the event yet.
func (h *history) isPublished(e *event) bool { return h.world.visibleFrom(e) <= h.span.today }

// fillDetails draws the particulars of an event.
func (h *history) fillDetails(e *event, d dice) {
	s, ent := e.signal, h.entity
	switch s.shape {
	case hiring:
		e.baseline = roundHalf(1 + ent.size/80*d.expFloat())
		e.value = math.Ceil(e.baseline * (1.25 + d.expFloat()))
	case hiringDept:
		e.topic = pick(&d, departments)
		e.baseline = roundHalf(1 + ent.size/150*d.expFloat())
		e.value = math.Ceil(e.baseline * (1.2 + d.expFloat()))
	case hiringPlace:
		e.place = h.drawPlace(&d)
		e.baseline = roundHalf(1 + ent.size/200*d.expFloat())
		e.value = math.Ceil(e.baseline * (1.2 + d.expFloat()))
	case traffic:
		e.baseline = math.Round(400 + ent.size*(20+300*d.expFloat()))
		if s.decreasing {
			e.value = math.Round(e.baseline * (0.35 + 0.5*d.float()))
		} else {
			e.value = math.Round(e.baseline * (1.15 + 0.6*d.expFloat()))
		}
	case itSpend:
		e.baseline = math.Round(ent.size * (1500 + 4000*d.expFloat()))
		if s.decreasing {
			e.value = math.Round(e.baseline * (0.6 + 0.34*d.float()))
		} else {
			e.value = math.Round(e.baseline * (1.05 + 0.2*d.expFloat()))
		}
	case news:
		e.topic = pick(&d, s.eventTypes)
		e.date += day(d.intN(7))
		e.effective = e.date + day(d.between(-14, 3))
	case jobPost:
		e.topic = pick(&d, departments)
		e.place = h.drawPlace(&d)
	case newSite:
		e.place = pick(&d, places)
	case social:
		e.topic = pick(&d, topics).name
	case intent:
		e.topic = pick(&d, topics).name
		e.value = float64(d.between(55, 98))
	case intentPlace:
		e.topic = pick(&d, topics).name
		e.value = float64(d.between(55, 98))
		e.place = h.drawPlace(&d)
	case siteVisit:
		e.value = float64(d.between(1, 100))
	}
	if e.baseline > 0 {
		e.changePercent = percentChange(e.value, e.baseline)
	}
}

func (h *history) drawPlace(d *dice) place {
	if d.chance(0.6) {
		return h.entity.home
	}
	return pick(d, places)
}

// roundHalf rounds to half a unit: averages are not always integers.
func roundHalf(x float64) float64 { return math.Round(x*2) / 2 }

func percentChange(value, baseline float64) int { return int(math.Round((value/baseline - 1) * 100)) }

// drawHeadcount compares two points of one curve. All windows of a month therefore end at the
// same number of employees, and a window cannot rise and fall at once.
func (h *history) drawHeadcount(dst []event, s *signal, root uint64, month int) []event {
	value, baseline := h.headcountAt(month), h.headcountAt(month-s.windowMonths)
	change := value/baseline - 1
	if s.decreasing {
		change = -change
	}
	if change < s.probability {
		return dst
	}
	roll := dice(mix(root, uint64(month*16+s.windowMonths)))
	if roll.chance(0.35) { // a long rise is not reported every month
		return dst
	}
	e := event{signal: s, date: firstOfMonth(month), id: signalID(&roll), textSeed: roll.next(),
		value: value, baseline: baseline, changePercent: percentChange(value, baseline)}
	if h.span.contains(e.date) && h.isPublished(&e) {
		dst = append(dst, e)
	}
	return dst
}

// headcountAt returns the number of employees on the first of a month: a steady trend, slow swings and
// some monthly noise.
func (h *history) headcountAt(month int) float64 {
	first := max(h.span.from, worldStart).monthIndex() - maxHeadcountMonths
	if h.headcounts == nil {
		h.headcounts = make([]float64, h.span.to.monthIndex()-first+1)
	}
	if v := h.headcounts[month-first]; v != 0 {
		return v
	}
	root := mix(h.entity.root, 'e')
	d := dice(root)
	trend := -0.02 + 0.07*d.float()
	unrest := 0.3 + 0.5*d.expFloat()
	years := float64(month-worldStart.monthIndex()) / 12
	v := 1 + trend*years + unrest*(0.22*smoothNoise(root, month, 14)+0.07*smoothNoise(root, month, 4)+0.012*smoothNoise(root, month, 1))
	v = max(1, math.Round(h.entity.size*max(v, 0.15)))
	h.headcounts[month-first] = v
	return v
}

// maxHeadcountMonths is the longest window of a headcount signal, in months.
const maxHeadcountMonths = 12

// smoothNoise is smooth noise in [-1,1] with a knot every period months.
func smoothNoise(root uint64, month, period int) float64 {
	knot := func(i int) float64 { return 2*unitFloat(mix(root, uint64(period)<<32|uint64(i))) - 1 }
	at, offset := month/period, month%period
	t := float64(offset) / float64(period)
	return knot(at)*(1-t) + knot(at+1)*t
}

// careerEvents draws a person's career from its start, because each move begins where the last one
// ended. Job moves and promotions share one draw a week, so they never coincide.
func (h *history) careerEvents() []event {
	if h.careerDrawn {
		return h.career
	}
	h.careerDrawn = true
	change, promotion := signalByKey("companyChange"), signalByKey("promotion")
	activity := min(h.entity.activity, 6)
	root := mix(h.entity.root, change.salt)
	start := dice(root)
	job := h.drawPosition(&start, 0)
	h.position = job
	for week := (worldStart + 6).monday(); week <= h.span.to; week += 7 {
		roll := mix(root, uint64(week))
		luck := unitFloat(roll)
		var s *signal
		switch {
		case luck < change.probability*activity:
			s = change
		case luck > 1-promotion.probability*activity && job.rung < len(seniorities)-1:
			s = promotion
		default:
			continue
		}
		d := dice(roll)
		var next *position
		if s == change {
			next = h.drawPosition(&d, job.rung)
		} else {
			promoted := *job
			next = &promoted
			next.rung++
		}
		e := event{signal: s, date: week, textSeed: d.next(), fromJob: job, toJob: next}
		if h.isPublished(&e) {
			h.position = next
			if h.span.contains(e.date) {
				h.career = append(h.career, e)
			}
		}
		job = next
	}
	return h.career
}

// drawPosition draws a new job near the given rung.
func (h *history) drawPosition(d *dice, rung int) *position {
	id := h.world.idOf(company, "employer/"+strconv.Itoa(d.intN(3_000_000)))
	name, domain := h.world.inventCompany(id)
	return &position{
		companyID: id, company: name, domain: domain,
		ladder: d.intN(len(ladders)),
		rung:   min(max(rung+d.between(-1, 1), 0), len(seniorities)-1),
	}
}
