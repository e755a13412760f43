package lakereport

import (
	"cmp"
	"slices"
	"strings"

	"github.com/siglake/siglake/schema"
)

// How many rows a page has.
const (
	maxNewest   = 100
	maxMovers   = 20
	maxAccounts = 1000
	maxWeeks    = 53
	maxDays     = 366
	maxListed   = 200
)

// eventTotals sum up the events of the period.
type eventTotals struct {
	total    int64
	weeks    map[int32]*[categoryCount]int64
	signals  map[signalKey]*signalTotals
	entities map[string]*entityTotals // by object and id
	newest   top[newsItem]
	up, down map[string]*headcount
	hiring   map[string]*hiring
	funding  top[newsItem]
	risks    map[string]*risk
}

// categoryCount is the number of event tables.
const categoryCount = 6

type signalKey struct{ category, signal string }

type signalTotals struct {
	events    int64
	delivered int64 // of these, by webhooks
	newest    int32 // day
}

// entityTotals are the events of one company or person.
type entityTotals struct {
	byCategory [categoryCount]int32
	newest     int32
}

// newsItem is an event as a list of events shows it.
type newsItem struct {
	date                                     int32
	category, signal, kind, company, account string
	headline, uid                            string
}

// headcount is the largest change of a company's headcount.
type headcount struct {
	company, account, uid string
	rate                  float64
	from, to, months      number
	date                  int32
}

// hiring is what the events say about a company's job posts.
type hiring struct {
	company, account      string
	fourWeeks             number
	surges, posts, events int64
	newest                int32
}

// risk are the risks of one company, of which one is shown.
type risk struct {
	newsItem
	events int64
}

func newEventTotals() *eventTotals {
	return &eventTotals{
		weeks: map[int32]*[categoryCount]int64{}, signals: map[signalKey]*signalTotals{}, entities: map[string]*entityTotals{},
		newest: top[newsItem]{limit: maxNewest, compare: compareNews}, funding: top[newsItem]{limit: maxMovers, compare: compareNews},
		up: map[string]*headcount{}, down: map[string]*headcount{}, hiring: map[string]*hiring{}, risks: map[string]*risk{},
	}
}

// eventColumns are the columns of event tables that are read; a table has some of them.
var eventColumns = []string{
	"event_uid", "signal_type", "object_type", "entity_id", "account_key", "event_date", "fetched_at", "run_id", "ingest_source", "first_seen_at", "revision", "summary_text",
	"company_name", "current_company_name", "event_type_norm", "is_risk",
	"change_rate_percent_abs", "baseline_employees_count", "new_employees_count", "window_months", "new_jobs_posted_last_4_weeks",
}

// fundingKinds are the kinds of news that say that a company raised money.
var fundingKinds = []string{"Funding Round", "IPO"}

// columnsOf are those of the wanted columns that a table has.
func columnsOf(t schema.Table, wanted []string) (names []string) {
	for _, name := range wanted {
		if t.ColumnIndex(name) >= 0 {
			names = append(names, name)
		}
	}
	return names
}

// add adds the newest revision of an event.
func (e *eventTotals) add(category int, r *row, key []byte) {
	e.total++
	date, signal := r.day("event_date"), r.bytes("signal_type")
	week := e.weeks[weekOf(date)]
	if week == nil {
		week = new([categoryCount]int64)
		e.weeks[weekOf(date)] = week
	}
	week[category]++
	s := e.signals[signalKey{schema.EventTables[category].Name, string(signal)}]
	if s == nil {
		s = &signalTotals{newest: noDay}
		e.signals[signalKey{schema.EventTables[category].Name, string(signal)}] = s
	}
	s.events, s.newest = s.events+1, max(s.newest, date)
	if string(r.bytes("ingest_source")) == schema.IngestWebhook {
		s.delivered++
	}
	e.addEntity(category, date, key)
	item := newsItem{date: date, category: schema.EventTables[category].Name, signal: string(signal)}
	if e.newest.bound == nil || item.date >= e.newest.bound.date {
		item.describe(r)
	}
	e.newest.add(&item)
	e.addMover(r, &item, string(key))
}

// addEntity counts an event of an entity.
func (e *eventTotals) addEntity(category int, date int32, key []byte) {
	t := e.entities[string(key)]
	if t == nil {
		t = &entityTotals{newest: noDay}
		e.entities[string(key)] = t
	}
	t.byCategory[category]++
	t.newest = max(t.newest, date)
}

// describe fills in what the event says.
func (n *newsItem) describe(r *row) {
	n.company, n.account = companyOf(r), r.text("account_key")
	n.kind, n.uid = r.text("event_type_norm"), r.text("event_uid")
	if n.headline = r.text("summary_text"); n.headline == "" {
		n.headline = n.signal
	}
}

// companyOf names the company of an event, or else its entity.
func companyOf(r *row) string {
	for _, name := range []string{"company_name", "current_company_name"} {
		if s := r.text(name); s != "" {
			return s
		}
	}
	return r.text("entity_id")
}

// addMover adds an event to the lists of those who move.
func (e *eventTotals) addMover(r *row, item *newsItem, key string) {
	isRisk := item.category == string(schema.CategoryRisk) || r.flag("is_risk")
	isFunding := item.category == string(schema.CategoryNews) && slices.Contains(fundingKinds, string(r.bytes("event_type_norm")))
	if (isRisk || isFunding) && item.uid == "" {
		item.describe(r)
	}
	if isFunding {
		e.funding.add(item)
	}
	if isRisk {
		e.addRisk(item, key)
	}
	switch {
	case item.category == string(schema.CategoryGrowth) && strings.HasPrefix(item.signal, "headcount"):
		addHeadcount(e.up, r, key)
	case item.category == string(schema.CategoryRisk) && strings.HasPrefix(item.signal, "headcount"):
		addHeadcount(e.down, r, key)
	case item.category == string(schema.CategoryGrowth) && (strings.HasPrefix(item.signal, "surgeInHiring") || item.signal == "newJobPost"):
		e.addHiring(r, item, key)
	}
}

func (e *eventTotals) addRisk(item *newsItem, key string) {
	known := e.risks[key]
	if known == nil {
		e.risks[key] = &risk{*item, 1}
		return
	}
	known.events++
	if compareNews(item, &known.newsItem) < 0 {
		known.newsItem = *item
	}
}

func addHeadcount(of map[string]*headcount, r *row, key string) {
	h := headcount{
		company: companyOf(r), account: r.text("account_key"), uid: r.text("event_uid"), rate: r.rate("change_rate_percent_abs"),
		from: r.number("baseline_employees_count"), to: r.number("new_employees_count"), months: r.number("window_months"), date: r.day("event_date"),
	}
	if known := of[key]; known == nil || compareHeadcounts(&h, known) < 0 {
		of[key] = &h
	}
}

func (e *eventTotals) addHiring(r *row, item *newsItem, key string) {
	h := e.hiring[key]
	if h == nil {
		h = &hiring{newest: noDay}
		e.hiring[key] = h
	}
	h.company, h.account = max(h.company, companyOf(r)), max(h.account, r.text("account_key"))
	h.fourWeeks = larger(h.fourWeeks, r.number("new_jobs_posted_last_4_weeks"))
	if item.signal == "newJobPost" {
		h.posts++
	} else {
		h.surges++
	}
	h.events, h.newest = h.events+1, max(h.newest, item.date)
}

func larger(a, b number) number {
	if byNumberDown(a, b) <= 0 {
		return a
	}
	return b
}

// compareNews puts the newest first.
func compareNews(a, b *newsItem) int {
	return cmp.Or(cmp.Compare(b.date, a.date), byText(a.category, b.category), byText(a.signal, b.signal), byText(a.company, b.company),
		byText(a.account, b.account), byText(a.headline, b.headline), byText(a.kind, b.kind), byText(a.uid, b.uid))
}

// compareHeadcounts puts the largest change first.
func compareHeadcounts(a, b *headcount) int {
	return cmp.Or(byRateDown(a.rate, b.rate), cmp.Compare(b.date, a.date), byText(a.company, b.company), byText(a.account, b.account),
		byNumberDown(a.months, b.months), byNumberDown(a.from, b.from), byNumberDown(a.to, b.to), byText(a.uid, b.uid))
}

// compareHiring puts who hires most first.
func compareHiring(a, b *hiring) int {
	return cmp.Or(byNumberDown(a.fourWeeks, b.fourWeeks), cmp.Compare(b.events, a.events), cmp.Compare(b.newest, a.newest),
		byText(a.company, b.company), byText(a.account, b.account), cmp.Compare(b.posts, a.posts))
}

// compareRisks puts the most risks first.
func compareRisks(a, b *risk) int {
	return cmp.Or(cmp.Compare(b.events, a.events), compareNews(&a.newsItem, &b.newsItem))
}

// firstOf are the first rows of a map, and how many it has.
func firstOf[T any](all map[string]*T, limit int, compare func(a, b *T) int) (rows []T, total int64) {
	t := top[T]{limit: limit, compare: compare}
	for _, v := range all {
		t.add(v)
	}
	return t.sorted(), t.total
}
