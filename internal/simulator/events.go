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
	date   day
	detail uint64 // start of the draws about texts and spelling

	// Measured value, and the value it is compared with.
	now, was float64
	rate     int // change in percent, negative for a decrease
	place    place
	// Department, news event type or topic of intent.
	topic string
	// News: the day it took effect; 0 when not known.
	took     day
	from, to *stint // contacts: the job before and the job after
}

// stint is one job in a person's career.
type stint struct {
	companyID    int64
	company      string
	domain       string
	rung, ladder int
}

func (s *stint) title() string      { return ladders[s.ladder].titles[s.rung] }
func (s *stint) seniority() string  { return seniorities[s.rung] }
func (s *stint) department() string { return ladders[s.ladder].department }

// span is a window of days, together with the day on which the request is made.
type span struct {
	from, to day // inclusive
	// Events published after this day do not exist yet.
	today day
}

func (s span) holds(d day) bool { return d >= s.from && d <= s.to }

// include narrows families of signals; an empty list narrows nothing.
type include struct {
	newsTypes   []string
	departments []string
	places      []place // state "" matches the whole country
	categories  []string
}

func (f *include) admits(e *event) bool {
	switch e.signal.record {
	case news:
		return f.newsTypes == nil || has(f.newsTypes, e.topic)
	case hiringDept:
		return f.departments == nil || has(f.departments, e.topic)
	case hiringPlace:
		return f.places == nil || f.admitsPlace(e.place)
	case social:
		return f.categories == nil || slices.ContainsFunc(interests(e), func(t topic) bool { return has(f.categories, t.category) })
	}
	return true
}

func (f *include) admitsPlace(p place) bool {
	for _, want := range f.places {
		if strings.EqualFold(want.country, p.country) && (want.state == "" || strings.EqualFold(want.state, p.state)) {
			return true
		}
	}
	return false
}

func has(list []string, value string) bool {
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
	filter *include

	levels []float64 // headcount by month, 0 where not yet drawn
	// Events of both contact signals, oldest first.
	career    []event
	job       *stint // the last job that the service knows of
	hasCareer bool
}

// events appends the events of one signal within the window, oldest first.
func (h *history) events(dst []event, s *signal) []event {
	if s.record == jobMove {
		for _, e := range h.lifetime() {
			if e.signal == s {
				dst = append(dst, e)
			}
		}
		return dst
	}
	root := blend(h.entity.root, s.salt)
	from := max(h.since(s), dawn)
	switch s.cadence {
	case daily:
		for d := from; d <= h.span.to; d++ {
			dst = h.draw(dst, s, root, d)
		}
	case weekly:
		// News is drawn for its week and published on one of its days. The week that holds the
		// first day of the window therefore counts too; the draw checks the day itself.
		for d := from.monday(); d <= h.span.to; d += 7 {
			dst = h.draw(dst, s, root, d)
		}
	case monthly:
		for m := from.month(); ; m++ {
			d := firstOfMonth(m)
			if d > h.span.to {
				break
			}
			if s.record == headcount {
				dst = h.drawHeadcount(dst, s, root, m)
			} else {
				dst = h.draw(dst, s, root, d)
			}
		}
	}
	return dst
}

// The service looks back a quarter for public activity and caps the number of events, whatever
// the request says.
const (
	socialDays = 90
	socialMost = 50
)

// since returns the first day of a signal's window.
func (h *history) since(s *signal) day {
	if s.record == social {
		return max(h.span.from, h.span.today-socialDays+1)
	}
	return h.span.from
}

// interests returns the topics of a public activity, the event's own first.
func interests(e *event) []topic {
	d := dice(blend(e.detail, 't'))
	at := slices.IndexFunc(topics, func(t topic) bool { return t.name == e.topic })
	list := []topic{topics[at]}
	for d.under(0.35) {
		if t := pick(&d, topics); !slices.Contains(list, t) {
			list = append(list, t)
		}
	}
	return list
}

// draw decides whether an event happened at one step of the cadence and, if so, draws it.
func (h *history) draw(dst []event, s *signal, root uint64, step day) []event {
	roll := blend(root, uint64(step))
	luck := fraction(roll)
	chance := min(s.often*h.entity.activity, 0.6)
	if s.falls {
		// The decreasing signal takes the upper end of the draw that both directions share.
		luck = 1 - luck
		chance = min(chance, 0.4)
	}
	if luck >= chance {
		return dst
	}
	d := dice(roll)
	count := 1
	switch s.record {
	case hiringDept, hiringPlace, jobPost, intent, intentPlace:
		for count < 4 && d.under(0.25) {
			count++
		}
	}
	first := len(dst)
	for range count {
		e := event{signal: s, date: step, id: signalID(&d), detail: d.next()}
		h.fill(&e, dice(e.detail))
		if h.span.holds(e.date) && h.published(&e) && h.filter.admits(&e) && !repeats(dst[first:], &e) {
			dst = append(dst, e)
		}
	}
	return dst
}

// uncapped is the number of events of a type under events=most when a request states no cap.
const uncapped = 100

// abound adds events of one signal to all[from:] up to the given number, oldest first. They are
// drawn for the requested window and not for the history: another window has other events. A
// filter may leave no event to add.
func (h *history) abound(all []event, from int, s *signal, n int) []event {
	first := h.since(s)
	days := int(h.span.to-first) + 1
	if days < 1 {
		return all
	}
	root := blend(h.entity.root, hashText('m', s.key))
	for try := 0; len(all)-from < n && try < 64*n; try++ {
		d := dice(blend(root, uint64(try)))
		day := first + day(d.upto(days))
		e := event{signal: s, date: day, id: signalID(&d), detail: d.next()}
		switch s.record {
		case jobMove:
			e.from = h.hired(&d, d.upto(len(seniorities)))
			e.to = h.hired(&d, e.from.rung)
		case headcount:
			e.was = math.Ceil(h.entity.size * (0.5 + d.float()))
			e.now = math.Ceil(e.was * (1.1 + d.skewed()))
			if s.falls {
				e.was, e.now = e.now, e.was
			}
			e.rate = percent(e.now, e.was)
		default:
			h.fill(&e, dice(e.detail))
			// The drawn details move the date of a news event.
			e.date = day
		}
		if h.filter.admits(&e) {
			all = append(all, e)
		}
	}
	slices.SortStableFunc(all[from:], func(x, y event) int { return cmp.Compare(x.date, y.date) })
	return all
}

// repeats reports whether the same day already has an event about the same subject: two surges of
// one department in one week would be one surge.
func repeats(same []event, e *event) bool {
	for i := range same {
		if same[i].topic == e.topic && same[i].place == e.place && e.signal.record != jobPost {
			return true
		}
	}
	return false
}

// signalID draws eighteen digits, wide enough to be unique within a lake.
func signalID(d *dice) uint64 { return 100_000_000_000_000_000 + d.next()%900_000_000_000_000_000 }

// published reports whether the service knows of the event yet. Measurements take days to appear,
// and one in twenty takes weeks.
func (h *history) published(e *event) bool {
	d := dice(blend(e.detail, 'p'))
	var lag int
	switch e.signal.cadence {
	case daily:
		lag = 1
	case weekly:
		lag = d.between(2, 5)
	case monthly:
		lag = d.between(4, 9)
	}
	if d.under(0.05) {
		lag += d.between(5, 14)
	}
	return e.date+day(lag) <= h.span.today
}

// fill draws the particulars of an event.
func (h *history) fill(e *event, d dice) {
	s, ent := e.signal, h.entity
	switch s.record {
	case hiring:
		e.was = halves(1 + ent.size/80*d.skewed())
		e.now = math.Ceil(e.was * (1.25 + d.skewed()))
	case hiringDept:
		e.topic = pick(&d, departments)
		e.was = halves(1 + ent.size/150*d.skewed())
		e.now = math.Ceil(e.was * (1.2 + d.skewed()))
	case hiringPlace:
		e.place = h.somewhere(&d)
		e.was = halves(1 + ent.size/200*d.skewed())
		e.now = math.Ceil(e.was * (1.2 + d.skewed()))
	case traffic:
		e.was = math.Round(400 + ent.size*(20+300*d.skewed()))
		if s.falls {
			e.now = math.Round(e.was * (0.35 + 0.5*d.float()))
		} else {
			e.now = math.Round(e.was * (1.15 + 0.6*d.skewed()))
		}
	case itSpend:
		e.was = math.Round(ent.size * (1500 + 4000*d.skewed()))
		if s.falls {
			e.now = math.Round(e.was * (0.6 + 0.34*d.float()))
		} else {
			e.now = math.Round(e.was * (1.05 + 0.2*d.skewed()))
		}
	case news:
		e.topic = pick(&d, s.events)
		e.date += day(d.upto(7))
		e.took = e.date + day(d.between(-14, 3))
	case jobPost:
		e.topic = pick(&d, departments)
		e.place = h.somewhere(&d)
	case newSite:
		e.place = pick(&d, places)
	case social:
		e.topic = pick(&d, topics).name
	case intent:
		e.topic = pick(&d, topics).name
		e.now = float64(d.between(55, 98))
	case intentPlace:
		e.topic = pick(&d, topics).name
		e.now = float64(d.between(55, 98))
		e.place = h.somewhere(&d)
	case siteVisit:
		e.now = float64(d.between(1, 100))
	}
	if e.was > 0 {
		e.rate = percent(e.now, e.was)
	}
}

func (h *history) somewhere(d *dice) place {
	if d.under(0.6) {
		return h.entity.home
	}
	return pick(d, places)
}

// halves rounds to half a unit: averages are not always integers.
func halves(x float64) float64 { return math.Round(x*2) / 2 }

func percent(now, was float64) int { return int(math.Round((now/was - 1) * 100)) }

// drawHeadcount compares two points of one curve. All windows of a month therefore end at the
// same number of employees, and a window cannot rise and fall at once.
func (h *history) drawHeadcount(dst []event, s *signal, root uint64, month int) []event {
	now, was := h.level(month), h.level(month-s.months)
	change := now/was - 1
	if s.falls {
		change = -change
	}
	if change < s.often {
		return dst
	}
	roll := dice(blend(root, uint64(month*16+s.months)))
	if roll.under(0.35) { // a long rise is not reported every month
		return dst
	}
	e := event{signal: s, date: firstOfMonth(month), id: signalID(&roll), detail: roll.next(),
		now: now, was: was, rate: percent(now, was)}
	if h.span.holds(e.date) && h.published(&e) {
		dst = append(dst, e)
	}
	return dst
}

// level returns the number of employees on the first of a month: a steady trend, slow swings and
// some monthly noise.
func (h *history) level(month int) float64 {
	first := max(h.span.from, dawn).month() - longestWindow
	if h.levels == nil {
		h.levels = make([]float64, h.span.to.month()-first+1)
	}
	if v := h.levels[month-first]; v != 0 {
		return v
	}
	root := blend(h.entity.root, 'e')
	d := dice(root)
	trend := -0.02 + 0.07*d.float()
	unrest := 0.3 + 0.5*d.skewed()
	years := float64(month-dawn.month()) / 12
	v := 1 + trend*years + unrest*(0.22*swing(root, month, 14)+0.07*swing(root, month, 4)+0.012*swing(root, month, 1))
	v = max(1, math.Round(h.entity.size*max(v, 0.15)))
	h.levels[month-first] = v
	return v
}

// longestWindow is the longest window of a headcount signal, in months.
const longestWindow = 12

// swing is smooth noise in [-1,1] with a knot every period months.
func swing(root uint64, month, period int) float64 {
	knot := func(i int) float64 { return 2*fraction(blend(root, uint64(period)<<32|uint64(i))) - 1 }
	at, over := month/period, month%period
	t := float64(over) / float64(period)
	return knot(at)*(1-t) + knot(at+1)*t
}

// lifetime draws a person's career from its start, because each move begins where the last one
// ended. Job moves and promotions share one draw a week, so they never coincide.
func (h *history) lifetime() []event {
	if h.hasCareer {
		return h.career
	}
	h.hasCareer = true
	change, promotion := signalByKey("companyChange"), signalByKey("promotion")
	pace := min(h.entity.activity, 6)
	root := blend(h.entity.root, change.salt)
	start := dice(root)
	job := h.hired(&start, 0)
	h.job = job
	for week := (dawn + 6).monday(); week <= h.span.to; week += 7 {
		roll := blend(root, uint64(week))
		luck := fraction(roll)
		var s *signal
		switch {
		case luck < change.often*pace:
			s = change
		case luck > 1-promotion.often*pace && job.rung < len(seniorities)-1:
			s = promotion
		default:
			continue
		}
		d := dice(roll)
		var next *stint
		if s == change {
			next = h.hired(&d, job.rung)
		} else {
			copied := *job
			next = &copied
			next.rung++
		}
		e := event{signal: s, date: week, detail: d.next(), from: job, to: next}
		if h.published(&e) {
			h.job = next
			if h.span.holds(e.date) {
				h.career = append(h.career, e)
			}
		}
		job = next
	}
	return h.career
}

// hired draws a new job near the given rung.
func (h *history) hired(d *dice, rung int) *stint {
	id := h.world.idOf(company, "employer/"+strconv.Itoa(d.upto(3_000_000)))
	name, domain := h.world.invent(id)
	return &stint{
		companyID: id, company: name, domain: domain,
		ladder: d.upto(len(ladders)),
		rung:   min(max(rung+d.between(-1, 1), 0), len(seniorities)-1),
	}
}
