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
	avgMinutes                float64 // of an average session
	days, pages               int     // days with visits, high-intent pages
	last                      day
	country                   string
}

var visitorCountries = []string{"US", "DE", "NO", "FR", "GB", "IN"}

// drawVisit draws the measures behind a score; days bounds the number of days with visits.
func drawVisit(score int, last day, days int, d *dice) visit {
	v := visit{score: score, last: last, sessions: d.between(1, 40)}
	v.visitors = d.between(1, v.sessions)
	v.avgMinutes = float64(d.between(2, 90)) / 4
	v.days = d.between(1, min(v.sessions, days))
	v.pages = d.intN(v.sessions)
	v.country = pick(d, visitorCountries)
	return v
}

var scoreBands = []string{"cold", "warm", "hot"}

func (v *visit) scoreBand() string { return scoreBands[(v.score-1)/34] }

// visitMeasures are the numbers of a visit that a request can sort by. Most of them can be
// filtered by, too.
var visitMeasures = map[string]func(*visit) float64{
	"score":               func(v *visit) float64 { return float64(v.score) },
	"totalSessions":       func(v *visit) float64 { return float64(v.sessions) },
	"avgSessionMinutes":   func(v *visit) float64 { return v.avgMinutes },
	"uniqueVisitors":      func(v *visit) float64 { return float64(v.visitors) },
	"daysVisited":         func(v *visit) float64 { return float64(v.days) },
	"highIntentPageviews": func(v *visit) float64 { return float64(v.pages) },
}

const lastVisit, daysSinceLast = "lastVisit", "daysSinceLastVisit"

// visitOrder is the part of the visits that a request asks for.
type visitOrder struct {
	page, size       int
	measure          func(*visit) float64 // sort key
	ascending        bool
	bands            []string // nil: all
	include, exclude []string // countries; nil: all
	ranges           []visitRange
}

type visitRange struct {
	measure func(*visit) float64
	min     *float64
	max     *float64
}

func (o *visitOrder) matches(v *visit) bool {
	if o.bands != nil && !containsFold(o.bands, v.scoreBand()) || o.include != nil && !containsFold(o.include, v.country) || containsFold(o.exclude, v.country) {
		return false
	}
	return !slices.ContainsFunc(o.ranges, func(r visitRange) bool {
		n := r.measure(v)
		return r.min != nil && n < *r.min || r.max != nil && n > *r.max
	})
}

func v3Visits() *operation {
	return &operation{
		parse: func(s *Server, body []byte, now time.Time) (*order, *problem) {
			o := &order{product: productVisits, object: company, now: now, visits: &visitOrder{page: 1, size: defaultVisitPage, measure: visitMeasures["score"]}}
			return o, v3Decode(body, []string{"domains", "startDate", "endDate", "pagination", "sort", "filters"}, func(c *checker, obj *jsonObject) {
				readSites(c, s, obj, o)
				readVisitSpan(c, obj, o)
				readVisitPage(c, obj, o.visits)
				readVisitSort(c, obj, o.visits)
				readVisitFilters(c, obj, o)
			})
		},
		answer: (*Server).answerVisits,
		encode: encodeVisits,
	}
}

// Companies on a page of visits: by default, and at most.
const (
	defaultVisitPage = 25
	maxVisitPage     = 150
)

// untrackedPrefix is the name prefix of sites without the pixel that counts visits.
const untrackedPrefix = "untracked"

func readSites(c *checker, s *Server, obj *jsonObject, o *order) {
	seen := map[string]bool{}
	for i, item := range c.readBatch(s, "", obj, "domains") {
		field := "domains." + strconv.Itoa(i)
		l, ok := readSeedDomain(c, s, field, item)
		switch {
		case !ok:
		case strings.HasPrefix(l.domain, untrackedPrefix):
			c.addError(field, "is not a tracked site of this account")
		case !seen[l.domain]:
			seen[l.domain] = true
			o.lookups = append(o.lookups, l)
		}
	}
}

// maxVisitMonths is the longest window, in months.
const maxVisitMonths = 3

func readVisitSpan(c *checker, obj *jsonObject, o *order) {
	read := func(key string) (day, bool) {
		v, ok := obj.get(key)
		if !ok {
			c.addError(key, "is required")
			return 0, false
		}
		text, _ := v.(string)
		d, ok := parseDay(text)
		if !ok {
			c.addError(key, "must be a date written YYYY-MM-DD")
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
		c.addError("startDate", "must not be in the future")
	case to < from:
		c.addError("endDate", "must not be before startDate")
	case from < to.monthsBack(maxVisitMonths):
		c.addError("endDate", "must not be more than %d months after startDate", maxVisitMonths)
	}
	o.span = span{from: from, to: to, today: today}
}

func readVisitPage(c *checker, obj *jsonObject, o *visitOrder) {
	page := c.readOptionalObject("", obj, "pagination", "page", "size")
	read := func(key string, limit int64, into *int) {
		v, ok := page.get(key)
		if !ok {
			return
		}
		n, ok := parseInteger(v)
		if !ok || n < 1 || n > limit {
			c.addError("pagination."+key, "must be an integer from 1 to %d", limit)
			return
		}
		*into = int(n)
	}
	read("page", 1_000_000, &o.page)
	read("size", maxVisitPage, &o.size)
}

func readVisitSort(c *checker, obj *jsonObject, o *visitOrder) {
	sort := c.readOptionalObject("", obj, "sort", "by", "order")
	if by, ok := c.readText("sort", sort, "by"); ok {
		measure, known := visitMeasures[by]
		switch {
		case by == lastVisit:
			o.measure = func(v *visit) float64 { return float64(v.last) }
		case !known:
			c.addError("sort.by", "%q cannot be sorted by", truncate(by))
		default:
			o.measure = measure
		}
	}
	if direction, ok := c.readText("sort", sort, "order"); ok {
		if direction != "asc" && direction != "desc" {
			c.addError("sort.order", "must be asc or desc")
		}
		o.ascending = direction == "asc"
	}
}

func readVisitFilters(c *checker, obj *jsonObject, o *order) {
	ranges := []string{"score", "totalSessions", "avgSessionMinutes", "uniqueVisitors", "daysVisited", "highIntentPageviews", daysSinceLast}
	const at = "filters"
	filters := c.readOptionalObject("", obj, at, append([]string{"scoreBands", "visitorCountries"}, ranges...)...)
	o.visits.bands = readValues(c, at, filters, "scoreBands", scoreBands)
	countries := c.readOptionalObject(at, filters, "visitorCountries", "include", "exclude")
	o.visits.include = readCountries(c, countries, "include")
	o.visits.exclude = readCountries(c, countries, "exclude")
	today := dayOf(o.now)
	for _, key := range ranges {
		bounds := c.readOptionalObject(at, filters, key, "min", "max")
		r := visitRange{measure: visitMeasures[key], min: c.readNumber(joinPath(at, key), bounds, "min"), max: c.readNumber(joinPath(at, key), bounds, "max")}
		if key == daysSinceLast {
			r.measure = func(v *visit) float64 { return float64(today - v.last) }
		}
		if r.min != nil && r.max != nil && *r.min > *r.max {
			c.addError(joinPath(at, key), "must have a min that is not above its max")
		}
		o.visits.ranges = append(o.visits.ranges, r)
	}
}

func readCountries(c *checker, obj *jsonObject, key string) []string {
	const at = "filters.visitorCountries"
	var codes []string
	for i, item := range c.readList(at, obj, key, false, 0) {
		code, ok := item.(string)
		if !ok || len(code) != 2 {
			c.addError(joinPath(at, key)+"."+strconv.Itoa(i), "must be a country code of two letters")
			continue
		}
		codes = append(codes, code)
	}
	return codes
}

// readOptionalObject reads an optional object within a request; without it, an empty one.
func (c *checker) readOptionalObject(field string, obj *jsonObject, key string, allowed ...string) *jsonObject {
	if v, ok := obj.get(key); ok {
		if part := c.readObject(joinPath(field, key), v, allowed...); part != nil {
			return part
		}
	}
	return &jsonObject{}
}

// readNumber reads an optional number.
func (c *checker) readNumber(field string, obj *jsonObject, key string) *float64 {
	v, ok := obj.get(key)
	if !ok {
		return nil
	}
	text, ok := v.(json.Number)
	if !ok {
		c.addError(joinPath(field, key), "must be a number")
		return nil
	}
	n, err := text.Float64()
	if err != nil {
		c.addError(joinPath(field, key), "must be a number of a usual size")
		return nil
	}
	return &n
}

// answerVisits lists the companies that visited the sites of an order and returns the requested page.
func (s *Server) answerVisits(o *order, draw uint64) *answer {
	a := s.newAnswer(o, draw)
	all := s.drawVisitors(o)
	slices.SortStableFunc(all, func(x, y finding) int {
		c := cmp.Compare(o.visits.measure(x.visit), o.visits.measure(y.visit))
		if !o.visits.ascending {
			c = -c
		}
		return cmp.Or(c, cmp.Compare(x.entity.id, y.entity.id))
	})
	a.total = len(all)
	from := min((o.visits.page-1)*o.visits.size, len(all))
	to := min(from+o.visits.size, len(all))
	a.findings, a.found, a.hasMore = all[from:to], to-from, to < len(all)
	a.addCharge(productVisits, int64(a.found))
	return a
}

// A site has up to maxVisitors visitors in a window, out of all companies that can visit any.
const (
	maxVisitors       = 600
	visitorPopulation = 20_000
	maxFullVisits     = 20_000 // events=most fills pages up to this row
)

// drawVisitors draws the companies that visited the sites and pass the filters. A company that visited
// several of the sites counts once, with its visit to the first.
func (s *Server) drawVisitors(o *order) []finding {
	var list []finding
	seen := map[int64]bool{}
	last := min(o.span.to, o.span.today)
	days := int(last-o.span.from) + 1
	for i := range o.lookups {
		root := hashText(s.world.seed, o.lookups[i].domain)
		root = mix(root, uint64(o.span.from)<<32|uint64(uint32(o.span.to)))
		count, population, tries := int(root%(maxVisitors+1)), uint64(visitorPopulation), 1
		if s.switches.Events == "most" {
			count, population, tries = min((o.visits.page+1)*o.visits.size, maxFullVisits), 1<<40, 64
		}
		for n := uint64(0); count > 0; n++ {
			d := dice(mix(root, n))
			l := s.world.nthResident(company, d.next()%population)
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
				v := drawVisit(d.between(1, 100), last-day(d.intN(days)), days, &d)
				if o.visits.matches(&v) {
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
	w.apiVersion, w.chargeKey = apiV3, "billing"
	w.open()
	w.requestID(a)
	w.results(a, (*writer).visitResult)
	w.pagination(a)
	w.charge(a)
	return append(w.b, '}')
}

func (w *writer) visitResult(a *answer, f *finding) {
	w.preview(a, f)
	w.extraFields("segment")
	v := f.visit
	// The entity that a fault added has no visit.
	if v == nil {
		v = &visit{score: 50, sessions: 1, visitors: 1, avgMinutes: 1, days: 1, last: a.order.span.from, country: "US"}
	}
	w.visit(v)
}

func (w *writer) pagination(a *answer) {
	o := a.order.visits
	switch w.sw.Pagination {
	case "absent":
		return
	case "limit-offset":
		w.b = append(appendKey(w.b, "pagination"), '{')
		w.number("limit", float64(o.size))
		w.number("offset", float64((o.page-1)*o.size))
	default:
		w.b = append(appendKey(w.b, "pagination"), '{')
		w.number("page", float64(o.page))
		w.number("size", float64(o.size))
	}
	w.number("total", float64(a.total))
	w.b = append(strconv.AppendBool(appendKey(w.b, "hasMore"), a.hasMore), '}')
}
