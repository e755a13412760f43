package app

import (
	"context"
	"fmt"
	"slices"

	"github.com/siglake/siglake/internal/forecast"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/internal/nights"
	"github.com/siglake/siglake/pipeline"
)

// PlanNight is what a plan of a run with --since last says about the night.
type PlanNight struct {
	Pairs    nights.Counts     `json:"pairs"`
	Lateness []nights.Lateness `json:"lateness"` // by signal type
	Reread   PlanReread        `json:"reread"`
}

// PlanReread is what the same list would cost tonight without --since last.
type PlanReread struct {
	Since   string            `json:"since"` // first day of the default window
	Credits forecast.Estimate `json:"credits"`
	Saved   int64             `json:"credits_saved"` // expected, against those of the plan
}

// schedule is that of the planned run; without a lake everything is asked for the first time.
func (p *planner) schedule(ctx context.Context, purchases pipeline.Purchases) (*nights.Schedule, error) {
	if p.lake == nil {
		return nil, nil
	}
	var lateness map[string]int
	if r := p.match.resume; r != nil {
		lateness = r.Lateness
	}
	return (&nightScheduler{&p.job.RunOptions, p.lake, p.report.Queries, p.gaps}).schedule(ctx, purchases, lateness)
}

// addNight reports what a night asks, how late it expects events, and what it saves.
func (p *planner) addNight(ctx context.Context, queries []pipeline.Query, s *nights.Schedule) error {
	night := &PlanNight{Pairs: s.Counts, Lateness: s.Expected(signalTypes(queries))}
	p.report.Night = night
	for _, text := range slices.Concat(nightText(s, &p.job.Nights, p.job.Query.MaxResults), latenessText(night.Lateness)) {
		p.report.addNote(text)
	}
	if err := p.addReread(ctx, queries, &night.Reread); err != nil {
		return err
	}
	if text := night.Reread.text(p.report.Credits.P50); text != "" {
		p.report.addNote(text)
	}
	return nil
}

// addReread estimates what asking for the default window would cost, from what the lake has bought.
func (p *planner) addReread(ctx context.Context, queries []pipeline.Query, r *PlanReread) (err error) {
	queries = slices.Clone(queries)
	for i := range queries {
		q := &queries[i]
		if q.Service() != pipeline.Signals {
			continue
		}
		if q.Since, err = parseSince("--since", DefaultQuery().Since, ledger.DayOf(q.Until).Date()); err != nil {
			return err
		}
		r.Since = q.Since
	}
	plan, err := p.job.reread(ctx, queries, p.lake.ledger.Purchases(nil, ttlOf(&p.job.spec)).ForRefresh(nil, false))
	if err != nil {
		return err
	}
	r.Credits = forecast.New(plan, p.past)
	r.Saved = max(r.Credits.P50-p.report.Credits.P50, 0)
	return nil
}

// text says what a night saves; empty: nothing, or that is not known.
func (r *PlanReread) text(tonight int64) string {
	if r.Saved == 0 || r.Credits.ObservedEntities == 0 {
		return ""
	}
	return fmt.Sprintf("tonight costs about %s and saves about %s: to ask for all days since %s again would cost about %s (%s to %s), by what the lake has bought",
		format.Count(tonight, "credit"), format.Thousands(r.Saved), r.Since, format.Thousands(r.Credits.P50), format.Thousands(r.Credits.P5), format.Thousands(r.Credits.P95))
}

// latenessText says how late events are expected, and why, for signal types that agree in both.
func latenessText(expected []nights.Lateness) (notes []string) {
	for len(expected) > 0 {
		days, source := expected[0].Days, expected[0].Source
		var names []string
		events := int64(0)
		expected = slices.DeleteFunc(slices.Clone(expected), func(l nights.Lateness) bool {
			same := l.Days == days && l.Source == source
			if same {
				names, events = append(names, l.Signal), events+l.Events
			}
			return same
		})
		why := map[nights.Source]string{
			nights.ByDefault: "by default",
			nights.Learned:   "learned from " + format.Count(events, "event"),
			nights.Stated:    "--lateness",
		}[source]
		notes = append(notes, fmt.Sprintf("events are visible %s after their date at the latest, %s: %s", format.Count(days, "day"), why, format.List(names, 4)))
	}
	return notes
}

// rereadText says why a night buys known events again.
const rereadText = "the account was charged for signals without events: each question asks for all days on which late events may appear, because a shorter window would save nothing; asking fewer signals would"

// nightText says what a night asks, and why.
func nightText(schedule *nights.Schedule, o *NightOptions, maxResults int) []string {
	var notes []string
	p := &schedule.Counts
	add := func(n int64, text string) {
		if n > 0 {
			notes = append(notes, fmt.Sprintf("%s %s", format.Count(n, "pair"), text))
		}
	}
	add(p.First, "of entity and signal never asked: the run asks for the days of --backfill")
	if schedule.Rereads() {
		notes = append(notes, rereadText)
		add(p.LookBack, "due: the run looks back as far as events are late")
	} else {
		add(p.LookBack, "without a recent event: the run looks back as far as events are late")
	}
	add(p.Onward, "with a recent event: the run asks from the day after it")
	add(p.Gaps, "of entities whose events may not have been delivered: the run asks, due or not, from the day after the newest event, or from the day before the subscription was blocked")
	add(p.EdgeProbes, "of those asked from the day of the event: that shows whether the API counts the first day of a window, and may buy the event again")
	add(p.Closing, "asked once more for days that may have had late events (--completeness "+o.Completeness+")")
	add(p.Audited, fmt.Sprintf("with a recent event: the run asks for all days of the look-back, to measure what is missed (--audit %s). It buys their known events again, for at most %s",
		o.Audit, format.Count(p.Audited*int64(maxResults), "result")))
	add(p.CappedAgain, fmt.Sprintf("reached a lower --max-results: the run asks for their older events, and buys up to %s again that the lake has",
		format.Count(p.CappedEvents, "event")))
	add(p.Capped, cappedText(maxResults))
	add(p.NotDue, "not due tonight: the run does not ask")
	add(p.Held, "held until a call in doubt is decided about")
	return notes
}

// cappedText says what pairs miss that reached --max-results, and what would buy it.
func cappedText(maxResults int) string {
	if maxResults >= MaxResultsLimit {
		return "reached --max-results: the API returns no older events of theirs"
	}
	return fmt.Sprintf("reached --max-results: older events were not returned, and the run does not ask for them. A higher --max-results than the number of their known events does, up to %d, and buys these again", MaxResultsLimit)
}
