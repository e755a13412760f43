package pipeline

import (
	"context"
	"maps"
	"slices"

	"github.com/siglake/siglake/internal/columns"
	"github.com/siglake/siglake/schema"
)

// dividedLine is a line that a run asks several questions about. It becomes one row of the accounts
// table when the run ends: until then another part may be answered.
type dividedLine struct {
	line    Line
	answer  ItemReply // of all parts together; its events are counted
	events  int
	credits Credits
	parts   []string // that were added, by their first signal types
}

// addPart adds what became of one question about a line, or the status that the line has besides its
// answers. What was known first about a question counts.
func (r *recorder) addPart(l Line, events int, cost Credits) {
	d := r.divided[l.Account.Row]
	if d == nil {
		d = &dividedLine{line: l, answer: ItemReply{CallID: l.Call}}
		r.divided[l.Account.Row] = d
	}
	if l.Part != "" && slices.Contains(d.parts, l.Part) {
		return
	}
	d.parts = append(d.parts, l.Part)
	d.raiseStatus(&l)
	d.events += events
	d.credits = d.credits.Add(cost)
	if l.Entity != nil && d.answer.Entity.ID == "" {
		d.answer.Entity = *l.Entity
	}
	if len(d.answer.UnknownFields) == 0 {
		d.answer.UnknownFields = l.UnknownFields
	}
	for _, w := range l.Warnings {
		if !slices.Contains(d.answer.Warnings, w) {
			d.answer.Warnings = append(d.answer.Warnings, w)
		}
	}
}

// raiseStatus gives the line the status that leaves more open.
func (d *dividedLine) raiseStatus(l *Line) {
	if statusRank(l.Status) > statusRank(d.line.Status) {
		d.line.Status, d.line.Reason, d.answer.CallID = l.Status, l.Reason, l.Call
	}
}

// statusRank orders what the questions about a line can come to, by how much they leave open.
func statusRank(s schema.Status) int {
	return slices.Index([]schema.Status{
		schema.Cached, schema.NotFound, schema.NoSignal, schema.Enriched, schema.Restricted, schema.Rejected, schema.Deferred, schema.WrittenOff, schema.InDoubt,
	}, s)
}

// writeDivided writes the rows of the divided lines.
func (r *recorder) writeDivided(ctx context.Context) error {
	for _, row := range slices.Sorted(maps.Keys(r.divided)) {
		d := r.divided[row]
		credits := creditsValue(d.credits)
		if d.line.Status == schema.InDoubt || d.line.Status == schema.WrittenOff {
			credits = columns.Value{}
		}
		if err := r.writeAccount(ctx, d.line, d.answer, d.events, credits); err != nil {
			return err
		}
	}
	clear(r.divided)
	return nil
}
