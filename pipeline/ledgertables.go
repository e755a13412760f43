package pipeline

import (
	"context"
	"slices"
	"strings"

	"github.com/siglake/siglake/internal/columns"
	"github.com/siglake/siglake/internal/flatten"
	"github.com/siglake/siglake/schema"
)

// newTablesVersion is the schema version since which a run writes the tables of requests and of runs.
const newTablesVersion = 4

// writeRequests writes what a call requested, type by type: also the types that returned nothing. A
// call that the server refused, and did not charge, requested nothing in the end.
func (r *recorder) writeRequests(ctx context.Context, q *Query, c Call, shares []share) error {
	if r.version < newTablesVersion || q.Service() != Signals || c.Outcome == NotCharged {
		return nil
	}
	answered := c.Outcome == Charged
	for _, signal := range requestedTypes(q, shares) {
		var entities, events, credits int64
		for _, s := range shares {
			if s.signal == signal {
				entities, events, credits = entities+1, events+s.events, credits+s.credits
			}
		}
		row := []columns.Value{
			columns.Text(r.manifest.Run.ID), columns.Text(c.ID), columns.TextOrNull(r.uri), columns.Text(string(c.Object)), columns.Text(signal),
			columns.Text(string(flatten.Category(signal))), flatten.DateValue(q.Since), flatten.DateValue(q.Until), columns.TimeOrNull(c.Sent), columns.Text(string(c.Outcome)),
			columns.Int(int64(c.Entities)), {}, {}, {},
		}
		if answered {
			row[11], row[12] = columns.Int(entities), columns.Int(events)
		}
		if answered && c.Cost().IsKnown() {
			row[13] = columns.Int(credits)
		}
		if err := r.rows.AddValues(ctx, &schema.Requests, row); err != nil {
			return err
		}
	}
	return nil
}

// requestedTypes are the types that a query requests, then those that an answer had besides.
func requestedTypes(q *Query, shares []share) []string {
	types := slices.Clone(q.ResultTypes())
	requested := map[string]bool{}
	for _, t := range types {
		requested[t] = true
	}
	for _, s := range shares {
		if !requested[s.signal] {
			requested[s.signal] = true
			types = append(types, s.signal)
		}
	}
	return types
}

// writeRun writes the row of the run, once all else about it is known.
func (r *recorder) writeRun(ctx context.Context, spec *RunSpec, exitCode int) error {
	m := r.manifest
	since, until, signals := requestedWindow(m.Queries)
	stop, reason := "", ""
	if m.Run.Stop != nil {
		stop, reason = string(m.Run.Stop.Kind), m.Run.Stop.Reason
	}
	count := func(s schema.Status) columns.Value { return columns.Int(m.Accounts.ByStatus[s]) }
	return r.rows.AddValues(ctx, &schema.Runs, []columns.Value{
		columns.Text(m.Run.ID), columns.Text(m.commandName()), columns.TextOrNull(spec.Job), columns.TextOrNull(spec.URI), columns.TextOrNull(spec.Input),
		columns.TextOrNull(strings.Join(signals, "; ")), columns.Bool(m.Run.SinceLast), flatten.DateValue(since), flatten.DateValue(until),
		columns.TimeOrNull(m.Run.Started), columns.TimeOrNull(m.Run.Finished), columns.Text(string(m.Run.Outcome)), columns.TextOrNull(stop), columns.TextOrNull(reason),
		columns.Int(int64(exitCode)), columns.Int(m.Accounts.Lines),
		count(schema.Enriched), count(schema.Rejected), count(schema.Deferred), count(schema.InDoubt),
		columns.Int(m.Calls.Total), columns.Int(m.Events.Returned), columns.Int(m.Events.New), columns.Int(m.Events.Changed),
		columns.Int(m.Credits.Charged), columns.Int(m.Credits.Cost().Max), columns.Bool(m.Run.Simulated),
	})
}

// requestedWindow is the span of days and the signal types that queries request together. A query
// without a first day requests as many days as the API keeps.
func requestedWindow(queries []Query) (since, until string, signals []string) {
	open := false
	for i := range queries {
		q := &queries[i]
		if q.Service() != Signals {
			continue
		}
		open = open || q.Since == ""
		if since == "" || q.Since < since {
			since = q.Since
		}
		until = max(until, q.Until)
		for _, t := range q.ResultTypes() {
			if !slices.Contains(signals, t) {
				signals = append(signals, t)
			}
		}
	}
	if open {
		since = ""
	}
	return since, until, signals
}
