package app

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/siglake/siglake/internal/forecast"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/internal/nights"
	"github.com/siglake/siglake/internal/subscriptions"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// sinceLast, as a window, asks each pair of entity and signal type from where the lake ends.
const sinceLast = "last"

// NightOptions say what a run asks with --since last.
type NightOptions struct {
	Completeness string   // economy or strict
	Backfill     string   // AGE: the window of what was never asked
	Lateness     []string // TYPE=DAYS
	NightlyTypes []string // types that are asked whatever their cadence
	Audit        string   // a share like 2%, of pairs to ask for known days again; empty: none
}

// DefaultNights has the default values of the flags that fill in NightOptions.
func DefaultNights() NightOptions {
	return NightOptions{Completeness: string(nights.Economy), Backfill: strconv.Itoa(nights.DefaultBackfill) + "d"}
}

// isNightly reports whether the run asks from where the lake ends.
func (o *RunOptions) isNightly() bool {
	return o.Service == pipeline.Signals && o.Query.Since == sinceLast
}

// windowText is how a window is given: in which flag, and what it says.
type windowText struct{ flag, text string }

// sinceFlag is that of a run that asks one window.
const sinceFlag = "--since"

// window is the longest one that the run asks.
func (o *RunOptions) window() windowText {
	if o.isNightly() {
		return windowText{"--backfill", o.Nights.Backfill}
	}
	return windowText{sinceFlag, o.Query.Since}
}

// chooseSince makes --since last the default of unattended runs.
func (o *RunOptions) chooseSince() error {
	if o.Service != pipeline.Signals {
		return nil
	}
	if o.Money.Unattended && !o.Query.SinceSet {
		o.Query.Since = sinceLast
	}
	if o.Query.Since != sinceLast {
		return nil
	}
	if o.Money.Refresh {
		return UsageErrorf("--refresh buys a window again, and --since last asks only for what is new: name the window, for example --since 30d")
	}
	_, err := o.Nights.policy()
	return err
}

// checkWindow checks how the window is written, and notices flags of --since last in a run that asks
// one window. One that was not chosen was most likely not meant.
func (o *RunOptions) checkWindow(env *Env) error {
	if o.Service != pipeline.Signals {
		return nil
	}
	w := o.window()
	if _, err := parseDay(w.flag, w.text, env.Now()); err != nil && !o.isNightly() {
		return UsageErrorf("%v, or last, which asks for what the lake does not have", err)
	} else if err != nil || o.isNightly() {
		return err
	}
	names := strings.Join(o.Nights.changed(), ", ")
	switch {
	case names == "":
	case !o.Query.SinceSet:
		return UsageErrorf("%s has no effect without --since last: add --since last, or omit %[1]s", names)
	default:
		o.warn(env, fmt.Sprintf("%s has no effect with --since %s", names, o.Query.Since))
	}
	return nil
}

// warn warns about the options, and names the job if they stand in a job file.
func (o *RunOptions) warn(env *Env, text string) {
	var about []any
	if o.Money.Job != "" {
		about = []any{"job", o.Money.Job}
	}
	env.Log.Warn(text, about...)
}

// changed are the flags with values that are not the default ones.
func (o *NightOptions) changed() (names []string) {
	defaults := DefaultNights()
	for _, f := range []struct {
		name    string
		changed bool
	}{
		{"--completeness", orDefault(o.Completeness, defaults.Completeness) != defaults.Completeness},
		{"--backfill", orDefault(o.Backfill, defaults.Backfill) != defaults.Backfill},
		{"--lateness", len(SplitWords(o.Lateness)) > 0},
		{"--nightly-types", len(SplitWords(o.NightlyTypes)) > 0},
		{"--audit", o.Audit != ""},
	} {
		if f.changed {
			names = append(names, f.name)
		}
	}
	return names
}

// policy reads the options; the day is not known yet.
func (o *NightOptions) policy() (p nights.Policy, err error) {
	p.Completeness = nights.Completeness(o.Completeness)
	if p.Completeness != nights.Economy && p.Completeness != nights.Strict {
		return p, UsageErrorf("--completeness %q: expected economy or strict", o.Completeness)
	}
	if p.Audit, err = o.auditShare(); err != nil {
		return p, err
	}
	p.Lateness, p.Nightly = map[string]int{}, map[string]bool{}
	for _, word := range SplitWords(o.Lateness) {
		name, text, _ := strings.Cut(word, "=")
		days, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(text), "d"))
		if err != nil || days < 1 || days > maxLateness {
			return p, UsageErrorf("--lateness %q: expected SIGNAL=DAYS with 1 to %d days, for example news=30", word, maxLateness)
		}
		signals, err := signalsNamed("--lateness", name)
		if err != nil {
			return p, err
		}
		for _, s := range signals {
			p.Lateness[s] = days
		}
	}
	for _, word := range SplitWords(o.NightlyTypes) {
		signals, err := signalsNamed("--nightly-types", word)
		if err != nil {
			return p, err
		}
		for _, s := range signals {
			p.Nightly[s] = true
		}
	}
	return p, nil
}

// auditShare reads --audit.
func (o *NightOptions) auditShare() (float64, error) {
	if o.Audit == "" {
		return 0, nil
	}
	percent, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(o.Audit, "%")), 64)
	switch {
	case err != nil || !strings.HasSuffix(o.Audit, "%") || !(percent > 0 && percent <= 100):
		return 0, UsageErrorf("--audit %q: expected a share up to 100%%, for example 2%%", o.Audit)
	case o.Completeness != string(nights.Economy):
		return 0, UsageErrorf("--audit %s and --completeness %s exclude each other: an audit asks for earlier days again to measure what economy misses, and %[2]s asks for each of them again in any case: omit --audit, or choose --completeness economy. If events come later than %[2]s expects, raise --lateness", o.Audit, o.Completeness)
	}
	return percent / 100, nil
}

// maxLateness is the longest lateness in days.
const maxLateness = 180

// signalsNamed are the keys that a word names.
func signalsNamed(flag, word string) (keys []string, err error) {
	for _, s := range schema.MatchSignals(strings.TrimSpace(word)) {
		keys = append(keys, s.Key)
	}
	if len(keys) == 0 {
		return nil, UsageErrorf("%s: unknown signal type or category %q%s; siglake signals lists them", flag, word, SuggestSignal(word))
	}
	return keys, nil
}

// signalTypes are the signal types of queries.
func signalTypes(queries []pipeline.Query) (types []string) {
	for i := range queries {
		if queries[i].Service() == pipeline.Signals {
			types = append(types, queries[i].ResultTypes()...)
		}
	}
	return types
}

// nightScheduler decides what a run with --since last asks of each pair of entity and signal type: by its
// options, and by what the ledger shows.
type nightScheduler struct {
	options *RunOptions
	lake    *lake
	queries []pipeline.Query
	gaps    []subscriptions.Gap // of the lake's webhooks
}

// policy is that of the options, with what the ledger shows about the signal types of the queries.
func (n *nightScheduler) policy(ctx context.Context) (p nights.Policy, err error) {
	if p, err = n.options.Nights.policy(); err != nil {
		return p, err
	}
	cursors, err := n.lake.ledger.Cursors(ctx)
	if err != nil {
		return p, lakeError(err)
	}
	p.Learn(cursors, signalTypes(n.queries))
	return p, nil
}

// schedule is that of the run; nil: it asks one window. lateness is what the
// run expected when it began; nil: it has not begun.
func (n *nightScheduler) schedule(ctx context.Context, purchases pipeline.Purchases, lateness map[string]int) (*nights.Schedule, error) {
	if !n.options.isNightly() || len(n.queries) == 0 {
		return nil, nil
	}
	p, err := n.policy(ctx)
	if err != nil {
		return nil, err
	}
	p.Keep(lateness)
	p.Today = ledger.DayOf(n.queries[len(n.queries)-1].Until)
	window := n.options.window()
	back, err := parseSince(window.flag, window.text, p.Today.Date())
	if err != nil {
		return nil, err
	}
	p.Backfill = int(p.Today - ledger.DayOf(back))
	p.Reread = forecast.ChargesEmptyTypes(n.lake.ledger.History())
	p.Gaps = map[pipeline.Identity]nights.Gap{}
	for _, g := range n.gaps {
		p.Gaps[pipeline.IdentityByID(g.Object, g.EntityID)] = nights.Gap{From: ledger.DayOf(g.From), Polled: g.Polled}
	}
	schedule, err := nights.NewSchedule(ctx, n.lake.ledger, purchases, p)
	if err != nil {
		return nil, lakeError(err)
	}
	return schedule, nil
}

// lateness states, for the spec of the run, when its answers close a pair; nil: the run asks one window.
func (n *nightScheduler) lateness(ctx context.Context) (map[string]int, error) {
	if !n.options.isNightly() {
		return nil, nil
	}
	p, err := n.policy(ctx)
	if err != nil {
		return nil, err
	}
	lateness := map[string]int{}
	for _, signal := range signalTypes(n.queries) {
		lateness[signal] = p.LatenessOf(signal).Days
	}
	return lateness, nil
}
