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

// Audits sums the audits of all published runs up.
func (l *Ledger) Audits() (sum pipeline.AuditCounts) {
	for _, r := range l.state.runs {
		if r.Published != nil && r.Published.Audit != nil {
			sum.Add(*r.Published.Audit)
		}
	}
	return sum
}

// audit compares the answers to the audits of a run with all earlier answers; nil for a run without
// audits. Only calls about audited pairs are read.
func (l *Ledger) audit(ctx context.Context, r *Run) (*pipeline.Audit, error) {
	if r.Settings[auditSetting] == "" {
		return nil, nil
	}
	pairs, err := l.auditedPairs(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := l.findKnown(ctx, r, pairs); err != nil {
		return nil, err
	}
	// A call that a checkpoint has left behind may have bought what seems to be new, and then what seems
	// to be newer than all known events is late.
	if past := l.state.past.days; slices.ContainsFunc(pairs, func(p *auditedPair) bool { return p.hasUnknown(past) }) {
		if err := l.readPast(ctx); err != nil {
			return nil, err
		}
		if err := l.findKnown(ctx, r, pairs); err != nil {
			return nil, err
		}
	}
	var counts pipeline.AuditCounts
	for _, p := range pairs {
		counts.AddPair(p.events, int64(p.since), int64(p.settled), int64(p.newest))
	}
	return pipeline.NewAudit(counts, l.Audits()), nil
}

// hasUnknown reports whether an event that is not known is dated on a day or before it.
func (p *auditedPair) hasUnknown(day Day) bool {
	return slices.ContainsFunc(p.events, func(e pipeline.AuditedEvent) bool { return !e.Known && e.Day <= int64(day) })
}

// auditedPairs reads the answers to the audits of a run.
func (l *Ledger) auditedPairs(ctx context.Context, r *Run) (pairs []*auditedPair, err error) {
	for _, c := range r.Calls {
		if c.Query.Service() != pipeline.Signals || len(c.Query.ResultTypes()) != 1 || c.Outcome == pipeline.InDoubt || c.unsentAt != nil {
			continue
		}
		b, call, err := l.archive.readExchange(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", callName(c), err)
		}
		if !slices.ContainsFunc(b.Items, func(i pipeline.Item) bool { return i.Audit }) {
			continue
		}
		items, _ := l.archive.decodeSettled(c, b, call)
		for i := range items {
			if b.Items[i].Audit && (items[i].Status == schema.Enriched || items[i].Status == schema.NoSignal) {
				pairs = append(pairs, newAuditedPair(c, b, i, &items[i]))
			}
		}
	}
	return pairs, nil
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

func answeredIdentitiesOf(b *pipeline.Batch, i int, item *pipeline.ItemReply) []pipeline.Identity {
	return answeredIdentities(&pipeline.Batch{Query: b.Query, Items: b.Items[i : i+1]}, []pipeline.ItemReply{*item})
}

// findKnown notes which events of audited pairs the answers of other runs had, and reads each of those
// once.
func (l *Ledger) findKnown(ctx context.Context, r *Run, pairs []*auditedPair) error {
	byCall := map[*Call]map[pipeline.Identity][]*auditedPair{}
	var order []*Call
	for _, p := range pairs {
		for _, identity := range p.identities {
			for _, c := range l.state.settledCalls(identity, func(c *Call) bool { return c.Run != r && p.mayKnow(c) }) {
				if byCall[c] == nil {
					byCall[c] = map[pipeline.Identity][]*auditedPair{}
					order = append(order, c)
				}
				byCall[c][identity] = append(byCall[c][identity], p)
			}
		}
	}
	for _, c := range order {
		b, call, err := l.archive.readExchange(ctx, c)
		if err != nil {
			return fmt.Errorf("%s: %w", callName(c), err)
		}
		items, _ := l.archive.decodeSettled(c, b, call)
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
	return c.Outcome == pipeline.Charged && q.Service() == pipeline.Signals && slices.Contains(q.ResultTypes(), p.signal) &&
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
