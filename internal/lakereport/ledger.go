package lakereport

import (
	"cmp"
	"maps"
	"slices"

	"github.com/siglake/siglake/pipeline"
)

// runTotals are the runs of the lake.
type runTotals struct{ all []run }

type run struct {
	id, command, list, outcome                             string
	started, finished                                      number
	lines, calls, events, newEvents, credits, atMost, exit number
	simulated                                              bool
}

var runColumns = []string{
	"run_id", "command", "list", "started_at", "finished_at", "outcome", "exit_code", "lines", "calls", "events", "new_events", "credits", "credits_at_most", "simulated",
}

func (t *runTotals) add(r *row) {
	t.all = append(t.all, run{
		id: r.text("run_id"), command: r.text("command"), list: r.text("list"), outcome: r.text("outcome"), started: r.number("started_at"), finished: r.number("finished_at"),
		lines: r.number("lines"), calls: r.number("calls"), events: r.number("events"), newEvents: r.number("new_events"), credits: r.number("credits"),
		atMost: r.number("credits_at_most"), exit: r.number("exit_code"), simulated: r.flag("simulated"),
	})
}

// compareStarts puts the run that started last first.
func compareStarts(a, b *run) int {
	return cmp.Or(byNumberDown(a.started, b.started), byText(a.id, b.id))
}

// group sums up runs that have something in common.
type group struct {
	name                                  string
	runs                                  int64
	last                                  number // start
	calls, returned, newEvents, sum, most number
	signals                               number // credits of the runs that request signals or publish delivered ones
}

func (g *group) add(r *run) {
	g.runs++
	g.last = larger(g.last, r.started)
	g.calls.add(r.calls)
	g.returned.add(r.events)
	g.newEvents.add(r.newEvents)
	g.sum.add(r.credits)
	g.most.add(r.atMost)
	if r.command == "" || r.command == "run" || r.command == "webhooks" { // not what ids and scores cost
		g.signals.add(r.credits)
	}
}

// add adds a number if there is one: of none the sum is missing.
func (n *number) add(o number) {
	if o.ok {
		n.n, n.ok = n.n+o.n, true
	}
}

// compareCosts puts the most expensive first.
func compareCosts(a, b *group) int {
	return cmp.Or(byNumberDown(a.sum, b.sum), cmp.Compare(b.runs, a.runs), byText(a.name, b.name))
}

// groupRuns groups runs by a name.
func groupRuns(runs []run, name func(*run) string) []group {
	groups := map[string]*group{}
	for i := range runs {
		g := groups[name(&runs[i])]
		if g == nil {
			g = &group{name: name(&runs[i])}
			groups[g.name] = g
		}
		g.add(&runs[i])
	}
	var sorted []group
	for _, g := range groups {
		sorted = append(sorted, *g)
	}
	slices.SortFunc(sorted, func(a, b group) int { return compareCosts(&a, &b) })
	return sorted
}

// callTotals are the calls of the period.
type callTotals struct {
	days    map[int32]*callDay // by the day on which they were sent; noDay: not sent
	minutes map[int64]int64    // calls by the minute
	inDoubt int64              // calls without a known answer
	unknown int64              // calls whose answer states no charge
	doubts  top[doubt]
}

type callDay struct {
	calls, unknown, refused                   int64
	credits, leastMinute, leastHour, leastDay number
	busiest                                   int64 // calls of a minute
}

// doubt is a call of which it is unknown what it cost.
type doubt struct {
	run, call, endpoint, outcome, problem string
	sent, entities, ceiling               number
}

var callColumns = []string{
	"run_id", "call_id", "endpoint", "entities", "sent_at", "http_status", "outcome", "credits", "ceiling", "minute_left", "hour_left", "day_left", "problem",
}

func newCallTotals() *callTotals {
	return &callTotals{days: map[int32]*callDay{}, minutes: map[int64]int64{}, doubts: top[doubt]{limit: maxListed, compare: compareDoubts}}
}

func compareDoubts(a, b *doubt) int {
	return cmp.Or(byNumberDown(a.sent, b.sent), byText(a.run, b.run), byText(a.call, b.call))
}

// Texts of the outcome of a call in doubt.
const (
	doubtNoAnswer = "no answer is known"
	doubtCharge   = "the answer states no charge"
)

func (t *callTotals) add(r *row) {
	sent, credits, outcome := r.number("sent_at"), r.number("credits"), pipeline.Outcome(r.bytes("outcome"))
	day := int32(noDay)
	if sent.ok {
		day = dayOf(sent.n)
		t.minutes[floorDivide(sent.n, 60_000_000)]++
	}
	d := t.days[day]
	if d == nil {
		d = &callDay{}
		t.days[day] = d
	}
	d.calls++
	d.credits.add(credits)
	if r.number("http_status").n == 429 {
		d.refused++
	}
	d.leastMinute, d.leastHour, d.leastDay = smaller(d.leastMinute, r.number("minute_left")), smaller(d.leastHour, r.number("hour_left")), smaller(d.leastDay, r.number("day_left"))
	v := doubt{outcome: doubtCharge}
	switch {
	case outcome == pipeline.InDoubt:
		t.inDoubt++
		v.outcome = doubtNoAnswer
	case outcome == pipeline.Charged && !credits.ok:
		d.unknown++
		t.unknown++
	default:
		return
	}
	v.run, v.call, v.endpoint, v.problem = r.text("run_id"), r.text("call_id"), r.text("endpoint"), r.text("problem")
	v.sent, v.entities, v.ceiling = sent, r.number("entities"), r.number("ceiling")
	t.doubts.add(&v)
}

func smaller(a, b number) number {
	if !a.ok || b.ok && b.n < a.n {
		return b
	}
	return a
}

// sortedDays are the days on which calls were sent, the newest first.
func (t *callTotals) sortedDays() []int32 {
	for minute, n := range t.minutes {
		d := t.days[dayOf(minute*60_000_000)]
		d.busiest = max(d.busiest, n)
	}
	days := slices.Sorted(maps.Keys(t.days))
	slices.Reverse(days)
	return days
}

// requestTotals are what was requested of each signal.
type requestTotals map[signalKey]*requested

type requested struct {
	signalKey
	entities, newEvents           int64
	withEvents, returned, credits number
}

var requestColumns = []string{"run_id", "signal_type", "category", "outcome", "entities", "entities_with_events", "events", "credits"}

func (t requestTotals) add(r *row) {
	key := signalKey{r.text("category"), r.text("signal_type")}
	q := t[key]
	if q == nil {
		q = &requested{signalKey: key}
		t[key] = q
	}
	if pipeline.Outcome(r.bytes("outcome")) == pipeline.Charged {
		q.entities += r.number("entities").n
	}
	q.withEvents.add(r.number("entities_with_events"))
	q.returned.add(r.number("events"))
	q.credits.add(r.number("credits"))
}

// sorted are the signals, the most expensive first.
func (t requestTotals) sorted() []*requested {
	return slices.SortedFunc(maps.Values(t), func(a, b *requested) int {
		return cmp.Or(byNumberDown(a.credits, b.credits), byText(a.category, b.category), byText(a.signal, b.signal))
	})
}
