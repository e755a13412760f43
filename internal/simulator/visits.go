package simulator

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
)

// This file is the V3 page of companies that visited the customer's own sites.

const productVisits = "websiteVisits"

// visit holds the measures of the visitors from one company.
type visit struct {
	score, sessions, visitors int
	minutes                   float64 // of an average session
	days, pages               int     // days with visits, high-intent pages
	last                      day
	country                   string
}

var visitorCountries = []string{"US", "DE", "NO", "FR", "GB", "IN"}

// visited draws the measures behind a score; days bounds the number of days with visits.
func visited(score int, last day, days int, d *dice) visit {
	v := visit{score: score, last: last, sessions: d.between(1, 40)}
	v.visitors = d.between(1, v.sessions)
	v.minutes = float64(d.between(2, 90)) / 4
	v.days = d.between(1, min(v.sessions, days))
	v.pages = d.upto(v.sessions)
	v.country = pick(d, visitorCountries)
	return v
}

var scoreBands = []string{"cold", "warm", "hot"}

func (v *visit) band() string { return scoreBands[(v.score-1)/34] }

// visitMeasures are the numbers of a visit that a request can sort by. Most of them can be
// filtered by, too.
var visitMeasures = map[string]func(*visit) float64{
	"score":               func(v *visit) float64 { return float64(v.score) },
	"totalSessions":       func(v *visit) float64 { return float64(v.sessions) },
	"avgSessionMinutes":   func(v *visit) float64 { return v.minutes },
	"uniqueVisitors":      func(v *visit) float64 { return float64(v.visitors) },
	"daysVisited":         func(v *visit) float64 { return float64(v.days) },
	"highIntentPageviews": func(v *visit) float64 { return float64(v.pages) },
}

const lastVisit, daysSinceLast = "lastVisit", "daysSinceLastVisit"

// visitOrder is the part of the visits that a request asks for.
type visitOrder struct {
	page, size int
	measure    func(*visit) float64 // sort key
	rising     bool
	bands      []string // nil: all
	in, out    []string // countries; nil: all
	ranges     []visitRange
}

type visitRange struct {
	measure func(*visit) float64
	least   *float64
	most    *float64
}

func (o *visitOrder) admits(v *visit) bool {
	if o.bands != nil && !has(o.bands, v.band()) || o.in != nil && !has(o.in, v.country) || has(o.out, v.country) {
		return false
	}
	return !slices.ContainsFunc(o.ranges, func(r visitRange) bool {
		n := r.measure(v)
		return r.least != nil && n < *r.least || r.most != nil && n > *r.most
	})
}

func v3Visits() *dialect {
	return &dialect{
		parse: func(s *Server, body []byte, now time.Time) (*order, *problem) {
			o := &order{product: productVisits, object: company, now: now, visits: &visitOrder{page: 1, size: visitPage, measure: visitMeasures["score"]}}
			return o, v3Read(body, []string{"domains", "startDate", "endDate", "pagination", "sort", "filters"}, func(c *complaints, obj *jsonObject) {
				readSites(c, s, obj, o)
				readVisitSpan(c, obj, o)
				readVisitPage(c, obj, o.visits)
				readVisitSort(c, obj, o.visits)
				readVisitFilters(c, obj, o)
			})
		},
		answer: (*Server).visitors,
		encode: encodeVisits,
	}
}

// Companies on a page of visits: by default, and at most.
const (
	visitPage  = 25
	visitLimit = 150
)

// untracked is the name prefix of sites without the pixel that counts visits.
const untracked = "untracked"

func readSites(c *complaints, s *Server, obj *jsonObject, o *order) {
	seen := map[string]bool{}
	for i, item := range c.batch(s, "", obj, "domains") {
		field := "domains." + strconv.Itoa(i)
		l, ok := seedDomain(c, s, field, item)
		switch {
		case !ok:
		case strings.HasPrefix(l.domain, untracked):
			c.add(field, "is not a tracked site of this account")
		case !seen[l.domain]:
			seen[l.domain] = true
			o.lookups = append(o.lookups, l)
		}
	}
}

// longestVisits is the longest window, in months.
const longestVisits = 3

func readVisitSpan(c *complaints, obj *jsonObject, o *order) {
	read := func(key string) (day, bool) {
		v, ok := obj.get(key)
		if !ok {
			c.add(key, "is required")
			return 0, false
		}
		text, _ := v.(string)
		d, ok := parseDay(text)
		if !ok {
			c.add(key, "must be a date written YYYY-MM-DD")
		}
		return d, ok
	}
	today := dayOf(o.now)
	from, ok1 := read("startDate")
	to, ok2 := read("endDate")
	switch {
	case !ok1 || !ok2:
		return
	case from > today:
		c.add("startDate", "must not be in the future")
	case to < from:
		c.add("endDate", "must not be before startDate")
	case from < to.monthsBack(longestVisits):
		c.add("endDate", "must not be more than %d months after startDate", longestVisits)
	}
	o.span = span{from: from, to: to, today: today}
}

func readVisitPage(c *complaints, obj *jsonObject, o *visitOrder) {
	page := c.part("", obj, "pagination", "page", "size")
	read := func(key string, most int64, into *int) {
		v, ok := page.get(key)
		if !ok {
			return
		}
		n, ok := integer(v)
		if !ok || n < 1 || n > most {
			c.add("pagination."+key, "must be an integer from 1 to %d", most)
			return
		}
		*into = int(n)
	}
	read("page", 1_000_000, &o.page)
	read("size", visitLimit, &o.size)
}

func readVisitSort(c *complaints, obj *jsonObject, o *visitOrder) {
	sort := c.part("", obj, "sort", "by", "order")
	if by, ok := c.text("sort", sort, "by"); ok {
		measure, known := visitMeasures[by]
		switch {
		case by == lastVisit:
			o.measure = func(v *visit) float64 { return float64(v.last) }
		case !known:
			c.add("sort.by", "%q cannot be sorted by", shorten(by))
		default:
			o.measure = measure
		}
	}
	if order, ok := c.text("sort", sort, "order"); ok {
		if order != "asc" && order != "desc" {
			c.add("sort.order", "must be asc or desc")
		}
		o.rising = order == "asc"
	}
}

func readVisitFilters(c *complaints, obj *jsonObject, o *order) {
	ranges := []string{"score", "totalSessions", "avgSessionMinutes", "uniqueVisitors", "daysVisited", "highIntentPageviews", daysSinceLast}
	const at = "filters"
	filters := c.part("", obj, at, append([]string{"scoreBands", "visitorCountries"}, ranges...)...)
	o.visits.bands = readValues(c, at, filters, "scoreBands", scoreBands)
	countries := c.part(at, filters, "visitorCountries", "include", "exclude")
	o.visits.in = readCountries(c, countries, "include")
	o.visits.out = readCountries(c, countries, "exclude")
	today := dayOf(o.now)
	for _, key := range ranges {
		bounds := c.part(at, filters, key, "min", "max")
		r := visitRange{measure: visitMeasures[key], least: c.number(join(at, key), bounds, "min"), most: c.number(join(at, key), bounds, "max")}
		if key == daysSinceLast {
			r.measure = func(v *visit) float64 { return float64(today - v.last) }
		}
		if r.least != nil && r.most != nil && *r.least > *r.most {
			c.add(join(at, key), "must have a min that is not above its max")
		}
		o.visits.ranges = append(o.visits.ranges, r)
	}
}

func readCountries(c *complaints, obj *jsonObject, key string) []string {
	const at = "filters.visitorCountries"
	var codes []string
	for i, item := range c.listAt(at, obj, key, false, 0) {
		code, ok := item.(string)
		if !ok || len(code) != 2 {
			c.add(join(at, key)+"."+strconv.Itoa(i), "must be a country code of two letters")
			continue
		}
		codes = append(codes, code)
	}
	return codes
}

// part reads an optional object within a request; without it, an empty one.
func (c *complaints) part(field string, obj *jsonObject, key string, allowed ...string) *jsonObject {
	if v, ok := obj.get(key); ok {
		if part := c.members(join(field, key), v, allowed...); part != nil {
			return part
		}
	}
	return &jsonObject{}
}

// number reads an optional number.
func (c *complaints) number(field string, obj *jsonObject, key string) *float64 {
	v, ok := obj.get(key)
	if !ok {
		return nil
	}
	text, ok := v.(json.Number)
	if !ok {
		c.add(join(field, key), "must be a number")
		return nil
	}
	n, err := text.Float64()
	if err != nil {
		c.add(join(field, key), "must be a number of a usual size")
		return nil
	}
	return &n
}

// visitors lists the companies that visited the sites of an order and returns the requested page.
func (s *Server) visitors(o *order, draw uint64) *answer {
	a := s.newAnswer(o, draw)
	all := s.callers(o)
	slices.SortStableFunc(all, func(x, y finding) int {
		c := cmp.Compare(o.visits.measure(x.visit), o.visits.measure(y.visit))
		if !o.visits.rising {
			c = -c
		}
		return cmp.Or(c, cmp.Compare(x.entity.id, y.entity.id))
	})
	a.total = len(all)
	from := min((o.visits.page-1)*o.visits.size, len(all))
	to := min(from+o.visits.size, len(all))
	a.findings, a.found, a.more = all[from:to], to-from, to < len(all)
	a.bill(productVisits, int64(a.found))
	return a
}

// A site has up to mostVisitors visitors in a window, out of all companies that can visit any.
const (
	mostVisitors = 600
	passersBy    = 20_000
	fullVisits   = 20_000 // events=most fills pages up to this row
)

// callers draws the companies that visited the sites and pass the filters. A company that visited
// several of the sites counts once, with its visit to the first.
func (s *Server) callers(o *order) []finding {
	var list []finding
	seen := map[int64]bool{}
	last := min(o.span.to, o.span.today)
	days := int(last-o.span.from) + 1
	for i := range o.lookups {
		root := hashText(s.world.seed, o.lookups[i].domain)
		root = blend(root, uint64(o.span.from)<<32|uint64(uint32(o.span.to)))
		count, of, tries := int(root%(mostVisitors+1)), uint64(passersBy), 1
		if s.switches.Events == "most" {
			count, of, tries = min((o.visits.page+1)*o.visits.size, fullVisits), 1<<40, 64
		}
		for n := uint64(0); count > 0; n++ {
			d := dice(blend(root, n))
			l := s.world.resident(company, d.next()%of)
			e, known := s.world.find(company, l)
			if !known {
				continue
			}
			count--
			if seen[l.id] {
				continue
			}
			seen[l.id] = true
			for range tries {
				v := visited(d.between(1, 100), last-day(d.upto(days)), days, &d)
				if o.visits.admits(&v) {
					list = append(list, finding{known: true, entity: e, visit: &v, lookup: l})
					break
				}
			}
		}
	}
	return list
}

func encodeVisits(dst []byte, a *answer, sw *Switches, q *quirks) []byte {
	w := newWriter(dst, a, sw, q)
	w.generation, w.charged = generation3, "billing"
	w.open()
	w.requestID(a)
	w.results(a, (*writer).caller)
	w.pagination(a)
	w.charge(a)
	return append(w.b, '}')
}

func (w *writer) caller(a *answer, f *finding) {
	w.preview(a, f)
	w.extras("segment")
	v := f.visit
	// The entity that a fault added has no visit.
	if v == nil {
		v = &visit{score: 50, sessions: 1, visitors: 1, minutes: 1, days: 1, last: a.order.span.from, country: "US"}
	}
	w.visit(v)
}

// visit writes the measures of a visit.
func (w *writer) visit(v *visit) {
	w.number("score", float64(v.score))
	w.string("scoreBand", v.band())
	w.number("totalSessions", float64(v.sessions))
	w.number("uniqueVisitors", float64(v.visitors))
	w.number("avgSessionMinutes", v.minutes)
	w.number("daysVisited", float64(v.days))
	w.number("highIntentPageviews", float64(v.pages))
	w.date(lastVisit, v.last)
	w.string("visitorCountry", v.country)
}

func (w *writer) pagination(a *answer) {
	o := a.order.visits
	switch w.sw.Pagination {
	case "absent":
		return
	case "limit-offset":
		w.b = append(jsonKey(w.b, "pagination"), '{')
		w.number("limit", float64(o.size))
		w.number("offset", float64((o.page-1)*o.size))
	default:
		w.b = append(jsonKey(w.b, "pagination"), '{')
		w.number("page", float64(o.page))
		w.number("size", float64(o.size))
	}
	w.number("total", float64(a.total))
	w.b = append(strconv.AppendBool(jsonKey(w.b, "hasMore"), a.more), '}')
}
