package pipeline

import (
	"context"
	"slices"
	"strings"

	"github.com/siglake/siglake/schema"
)

// newTablesVersion is the schema version since which a run writes the tables of requests and of runs.
const newTablesVersion = 4

// writeRequests writes what a call requested, type by type: also the types that returned nothing. A
// call that the server refused, and did not charge, requested nothing in the end.
func (r *recorder) writeRequests(ctx context.Context, q *Query, c Call, shares []share) error {
	if r.flattener.version < newTablesVersion || q.Service() != Signals || c.Outcome == NotCharged {
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
		row := []value{
			stringValue(r.manifest.Run.ID), stringValue(c.ID), optionalString(r.uri), stringValue(string(c.Object)), stringValue(signal),
			stringValue(string(categoryOf(signal))), dateValue(q.Since), dateValue(q.Until), optionalTime(c.Sent), stringValue(string(c.Outcome)),
			intValue(int64(c.Entities)), {}, {}, {},
		}
		if answered {
			row[11], row[12] = intValue(entities), intValue(events)
		}
		if answered && c.Cost().IsKnown() {
			row[13] = intValue(credits)
		}
		if err := r.rows.append(ctx, schema.Requests, schema.Partition{Table: schema.Requests.Name}, row); err != nil {
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
	count := func(s schema.Status) value { return intValue(m.Accounts.ByStatus[s]) }
	return r.rows.append(ctx, schema.Runs, schema.Partition{Table: schema.Runs.Name}, []value{
		stringValue(m.Run.ID), stringValue(m.commandName()), optionalString(spec.Job), optionalString(spec.URI), optionalString(spec.Input),
		optionalString(strings.Join(signals, "; ")), boolValue(m.Run.SinceLast), dateValue(since), dateValue(until),
		optionalTime(m.Run.Started), optionalTime(m.Run.Finished), stringValue(string(m.Run.Outcome)), optionalString(stop), optionalString(reason),
		intValue(int64(exitCode)), intValue(m.Accounts.Lines),
		count(schema.Enriched), count(schema.Rejected), count(schema.Deferred), count(schema.InDoubt),
		intValue(m.Calls.Total), intValue(m.Events.Returned), intValue(m.Events.New), intValue(m.Events.Changed),
		intValue(m.Credits.Charged), intValue(m.Credits.Cost().Max), boolValue(m.Run.Simulated),
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
