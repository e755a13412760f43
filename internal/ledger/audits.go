package ledger

import (
	"context"
	"fmt"
	"slices"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// auditSetting is the setting of a run that audits pairs.
const auditSetting = "audit"

// auditedPair is a pair that a run audited, with the events of the answer.
type auditedPair struct {
	call       *Call
	identities []pipeline.Identity
	signal     string
	since      Day // from here on the answer has every event
	settled    Day // up to here no further event is expected
	uids       []string
	events     []pipeline.AuditedEvent
	newest     Day // of the events that were known before
}

// SumAudits sums the audits of published runs up.
func SumAudits(runs []*Run) (sum pipeline.AuditCounts) {
	for _, r := range runs {
		if r.Published != nil && r.Published.Audit != nil {
			sum.Add(*r.Published.Audit)
		}
	}
	return sum
}

// pairAuditor compares the answers to the audits of a run with all earlier answers.
type pairAuditor struct {
	*loader
	run   *Run
	pairs []*auditedPair
}

// audit returns what the audits of the run found; nil for a run without audits. Only calls about audited
// pairs are read.
func (a *pairAuditor) audit(ctx context.Context) (*pipeline.Audit, error) {
	if a.run.Settings[auditSetting] == "" {
		return nil, nil
	}
	if err := a.readPairs(ctx); err != nil {
		return nil, err
	}
	if err := a.findKnown(ctx); err != nil {
		return nil, err
	}
	// A call that a checkpoint has left behind may have bought what seems to be new, and then what seems
	// to be newer than all known events is late.
	if past := a.state.past.days; slices.ContainsFunc(a.pairs, func(p *auditedPair) bool { return p.hasUnknown(past) }) {
		if err := a.readPast(ctx); err != nil {
			return nil, err
		}
		if err := a.findKnown(ctx); err != nil {
			return nil, err
		}
	}
	var counts pipeline.AuditCounts
	for _, p := range a.pairs {
		counts.AddPair(p.events, int64(p.since), int64(p.settled), int64(p.newest))
	}
	return pipeline.NewAudit(counts, SumAudits(a.state.runs)), nil
}

// hasUnknown reports whether an event that is not known is dated on a day or before it.
func (p *auditedPair) hasUnknown(day Day) bool {
	return slices.ContainsFunc(p.events, func(e pipeline.AuditedEvent) bool { return !e.Known && e.Day <= int64(day) })
}

// readPairs reads the answers to the audits of the run.
func (a *pairAuditor) readPairs(ctx context.Context) error {
	for _, c := range a.run.Calls {
		if c.Query.Service() != pipeline.Signals || len(c.Query.ResultTypes()) != 1 || c.Outcome == pipeline.InDoubt || c.unsentAt != nil {
			continue
		}
		b, call, err := a.archive.readExchange(ctx, c)
		if err != nil {
			return fmt.Errorf("%s: %w", callName(c), err)
		}
		if !slices.ContainsFunc(b.Items, func(i pipeline.Item) bool { return i.Audit }) {
			continue
		}
		items, _ := a.archive.decodeSettled(c, b, call)
		for i := range items {
			if b.Items[i].Audit && (items[i].Status == schema.Enriched || items[i].Status == schema.NoSignal) {
				a.pairs = append(a.pairs, newAuditedPair(c, b, i, &items[i]))
			}
		}
	}
	return nil
}

func newAuditedPair(c *Call, b *pipeline.Batch, i int, item *pipeline.ItemReply) *auditedPair {
	signal, until := c.Query.ResultTypes()[0], DayOf(c.Query.Until)
	p := &auditedPair{call: c, identities: answeredIdentitiesOf(b, i, item), signal: signal, since: DayOf(c.Query.Since)}
	if lateness := c.Run.lateness(signal); int(until) > lateness {
		p.settled = until - Day(lateness) - 1 //nolint:gosec // less than until
	}
	for _, found := range pairsOf(c.Query, until, item) {
		if found.events >= uint64(c.Query.MaxResults()) { //nolint:gosec // a cap
			p.since = max(p.since, found.oldest+1) // older ones may be left out
		}
	}
	for n := range item.Events {
		e := &item.Events[n]
		if day, dated := pipeline.EventDay(e); dated && e.Type == signal {
			p.uids = append(p.uids, pipeline.EventUID(b, i, item, e))
			p.events = append(p.events, pipeline.AuditedEvent{Day: day})
		}
	}
	return p
}

// findKnown notes which events of audited pairs the answers of other runs had, and reads each of those
// once.
func (a *pairAuditor) findKnown(ctx context.Context) error {
	byCall := map[*Call]map[pipeline.Identity][]*auditedPair{}
	var order []*Call
	for _, p := range a.pairs {
		for _, identity := range p.identities {
			for _, c := range a.state.settledCalls(identity, func(c *Call) bool { return c.Run != a.run && p.mayKnow(c) }) {
				if byCall[c] == nil {
					byCall[c] = map[pipeline.Identity][]*auditedPair{}
					order = append(order, c)
				}
				byCall[c][identity] = append(byCall[c][identity], p)
			}
		}
	}
	for _, c := range order {
		b, call, err := a.archive.readExchange(ctx, c)
		if err != nil {
			return fmt.Errorf("%s: %w", callName(c), err)
		}
		items, _ := a.archive.decodeSettled(c, b, call)
		for i := range items {
			for _, identity := range answeredIdentitiesOf(b, i, &items[i]) {
				for _, p := range byCall[c][identity] {
					p.addKnown(c, b, i, &items[i])
				}
			}
		}
	}
	return nil
}

// mayKnow reports whether the answer to a call may have events of the audited days.
func (p *auditedPair) mayKnow(c *Call) bool {
	q := c.Query
	return c.Outcome == pipeline.Charged && q.Service().HasEvents() && slices.Contains(q.ResultTypes(), p.signal) &&
		q.SameFilters(p.call.Query, p.signal) && DayOf(q.Until) >= p.since
}

// addKnown notes what an earlier answer says about the pair.
func (p *auditedPair) addKnown(c *Call, b *pipeline.Batch, i int, item *pipeline.ItemReply) {
	for _, found := range pairsOf(c.Query, DayOf(c.Query.Until), item) {
		if c.Query.ResultTypes()[found.signal] == p.signal {
			p.newest = max(p.newest, found.newest)
		}
	}
	for n := range item.Events {
		if e := &item.Events[n]; e.Type == p.signal {
			if at := slices.Index(p.uids, pipeline.EventUID(b, i, item, e)); at >= 0 {
				p.events[at].Known = true
			}
		}
	}
}
