package lakereport

import (
	"slices"
	"time"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/siglake/siglake/schema"
)

// Collector sums up the tables of a lake. It is used by one goroutine.
type Collector struct {
	scope    Scope
	revised  map[string]map[string]int64 // by table: the newest revision of events that have a second one
	runs     runTotals
	selected map[string]bool // runs of the period
	events   *eventTotals
	accounts *accountTotals
	calls    *callTotals
	requests requestTotals
	key      []byte // of the entity of an event
	optedOut optedOut
}

// New begins a report. kept are the columns that lists keep; optedOut are the ids of contacts whose rows are left out.
func New(scope Scope, kept, optedOut []string) *Collector {
	return &Collector{
		optedOut: newOptedOut(optedOut), scope: scope, revised: map[string]map[string]int64{}, selected: map[string]bool{},
		events: newEventTotals(), accounts: newAccountTotals(kept), calls: newCallTotals(), requests: requestTotals{},
	}
}

// Reader is what a pass reads of a table: columns, and what takes records of them. No columns: it needs
// nothing of the table.
type Reader func(t schema.Table) (columns []string, add func(arrow.Record) error)

// ReadRuns is the first pass.
func (c *Collector) ReadRuns(t schema.Table) (columns []string, add func(arrow.Record) error) {
	if t.Name == schema.Runs.Name {
		return reader(t, runColumns, c.runs.add)
	}
	return nil, nil
}

// Choose finds the runs of the period, after the first pass. The run "last" is that which started last. ok
// is false if the run of the scope is none of the lake's.
func (c *Collector) Choose() (ok bool) {
	if c.scope.Run == "last" && len(c.runs.all) > 0 {
		c.scope.Run = slices.MinFunc(c.runs.all, func(a, b run) int { return compareStarts(&a, &b) }).id
	}
	c.accounts.run = c.scope.Run
	for i := range c.runs.all {
		r := &c.runs.all[i]
		c.accounts.finished[r.id] = r.finished
		if c.scope.hasRun(r.id, r.started) {
			c.selected[r.id] = true
		}
	}
	return c.scope.Run == "" || c.selected[c.scope.Run]
}

// RunIDs are the ids of the newest runs, at most n.
func (c *Collector) RunIDs(n int) (ids []string) {
	slices.SortFunc(c.runs.all, func(a, b run) int { return compareStarts(&a, &b) })
	for _, r := range c.runs.all[:min(n, len(c.runs.all))] {
		ids = append(ids, r.id)
	}
	return ids
}

// isSelected reports whether the period has a run. Of all of a lake it also has those that ledger/runs
// does not know.
func (c *Collector) isSelected(id string) bool {
	return c.scope == Scope{} || c.selected[id]
}

// ReadRevisions is the second pass: few events have a second revision, and what replaces others is
// found before they are counted.
func (c *Collector) ReadRevisions(t schema.Table) (columns []string, add func(arrow.Record) error) {
	if !t.IsEvent() {
		return nil, nil
	}
	newest := map[string]int64{}
	if known := c.revised[t.Name]; known != nil {
		newest = known
	}
	c.revised[t.Name] = newest
	return reader(t, []string{"event_uid", "revision"}, func(r *row) {
		if n := r.number("revision"); n.n > 1 {
			newest[r.text("event_uid")] = max(newest[r.text("event_uid")], n.n)
		}
	})
}

// ReadEvents is the third pass, over events, ids, calls and requests.
func (c *Collector) ReadEvents(t schema.Table) (columns []string, add func(arrow.Record) error) {
	ofPeriod := func(add func(*row)) func(*row) {
		return func(r *row) {
			if c.isSelected(r.text("run_id")) {
				add(r)
			}
		}
	}
	switch {
	case t.IsEvent():
		return c.readEvents(t)
	case t.Name == schema.Aliases.Name:
		return reader(t, aliasColumns, func(r *row) {
			if !c.optedOut.has(r, "entity_id") && !c.optedOut.has(r, "alias_id") {
				c.accounts.addAlias(r)
			}
		})
	case t.Name == schema.Calls.Name:
		return reader(t, callColumns, ofPeriod(c.calls.add))
	case t.Name == schema.Requests.Name:
		return reader(t, requestColumns, ofPeriod(c.requests.add))
	}
	return nil, nil
}

// ReadOptedOut is the fourth pass: which identifiers persons have who opted out is known before other lines are looked at.
func (c *Collector) ReadOptedOut(t schema.Table) (columns []string, add func(arrow.Record) error) {
	if t.Name != schema.Accounts.Name || len(c.optedOut.ids) == 0 {
		return nil, nil
	}
	return reader(t, []string{"object_type", "identifier_type", "identifier", "entity_id"}, c.optedOut.learn)
}

// ReadIdentities is the fifth pass: which lines have events is known before their rows are kept.
func (c *Collector) ReadIdentities(t schema.Table) (columns []string, add func(arrow.Record) error) {
	if t.Name != schema.Accounts.Name {
		return nil, nil
	}
	return reader(t, identityColumns, func(r *row) {
		if !c.optedOut.hasLine(r) {
			c.accounts.addIdentity(r, c.events)
		}
	})
}

// ReadLines is the last pass.
func (c *Collector) ReadLines(t schema.Table) (columns []string, add func(arrow.Record) error) {
	if t.Name != schema.Accounts.Name {
		return nil, nil
	}
	return reader(t, accountColumns, func(r *row) {
		if !c.optedOut.hasLine(r) {
			c.accounts.add(r)
		}
	})
}

func (c *Collector) readEvents(t schema.Table) (columns []string, add func(arrow.Record) error) {
	category := slices.IndexFunc(schema.EventTables, func(e schema.Table) bool { return e.Name == t.Name })
	revised := c.revised[t.Name]
	return reader(t, columnsOf(t, eventColumns), func(r *row) {
		if len(revised) > 0 {
			if newest, ok := revised[string(r.bytes("event_uid"))]; ok && max(r.number("revision").n, 1) < newest {
				return
			}
		}
		if c.scope.hasEvent(r) && !c.optedOut.has(r, "entity_id") {
			c.key = append(append(append(c.key[:0], r.bytes("object_type")...), ' '), r.bytes("entity_id")...)
			c.events.add(category, r, c.key)
		}
	})
}

// reader visits the rows of records with some columns of a table.
func reader(t schema.Table, columns []string, visit func(*row)) ([]string, func(arrow.Record) error) {
	return columns, func(rec arrow.Record) error {
		eachRow(t, columns, rec, visit)
		return nil
	}
}

// About is what the tables do not say.
type About struct {
	Lake       string
	Generation int64
	Created    time.Time
	Version    string // of siglake
}
