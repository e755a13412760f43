package sinks

import (
	"context"
	"slices"

	"github.com/siglake/siglake/internal/extsort"
	"github.com/siglake/siglake/schema"
)

// selection decides which of the sorted rows of a partition are written, and fills in what is only
// known then.
type selection interface {
	// selectRows returns the rows to write, in order, in the memory of rows.
	selectRows(rows []extsort.Row) (kept []extsort.Row, err error)
	// repeated counts the rows that were left out because the run has written them already.
	repeated() int64
}

func (l *Lake) newSelection(ctx context.Context, p *partition) (selection, error) {
	switch {
	case p.compared != nil:
		return l.comparison.selectEvents(ctx, p)
	case l.prefix != "":
		return allRows{}, nil // readers of the small files see all of them
	case p.table.ColumnIndex("known_events") >= 0:
		return &accountSelection{
			table: p.table, known: l.comparison.dropped, columns: accountColumns(p.table), originals: p.originals, entityID: p.table.ColumnIndex("entity_id"),
			events: p.table.ColumnIndex("events"), newEvents: p.table.ColumnIndex("new_events"), knownEvents: p.table.ColumnIndex("known_events"),
		}, nil
	}
	return newDeduplicator(p.table), nil
}

// allRows selects all rows.
type allRows struct{}

func (allRows) selectRows(rows []extsort.Row) ([]extsort.Row, error) {
	return rows, nil
}
func (allRows) repeated() int64 { return 0 }

// selectRows drops repeated rows.
func (d *deduplicator) selectRows(rows []extsort.Row) ([]extsort.Row, error) {
	return slices.DeleteFunc(rows, func(r extsort.Row) bool { return !d.isFirst(r) }), nil
}

func (d *deduplicator) repeated() int64 { return d.dropped }

// eventSelection drops the events that the lake has, and gives the others their revisions.
type eventSelection struct {
	dropped  map[uint64]int64 // as in comparison
	table    *schema.Table    // with numberColumn
	verdicts *verdicts
	accounts [3]int
	number   int   // numberColumn
	repeats  int64 // rows that were left out because they repeat others of the run
	counted  newCounter
}

// newCounter counts the rows of new events that Options.CountNew picks.
type newCounter struct {
	wanted  func(object schema.Object, entityID, signalType string) bool // nil: none
	columns [3]int                                                       // of its arguments
	rows    int64
}

func newCounterOf(t *schema.Table, wanted func(schema.Object, string, string) bool) newCounter {
	c := newCounter{wanted: wanted}
	for i, name := range []string{"object_type", "entity_id", "signal_type"} {
		c.columns[i] = t.ColumnIndex(name)
	}
	return c
}

// add counts the row of a new event.
func (c *newCounter) add(r extsort.Row) {
	if c.wanted == nil {
		return
	}
	var texts [3]string
	for i, at := range c.columns {
		if v := &r.View.Columns[at]; !v.IsNull(r.Index) {
			texts[i] = string(v.TextAt(r.Index))
		}
	}
	if c.wanted(schema.Object(texts[0]), texts[1], texts[2]) {
		c.rows++
	}
}

// selectEvents selects rows of a partition.
func (c *comparison) selectEvents(ctx context.Context, p *partition) (*eventSelection, error) {
	v, err := c.judge(ctx, p.compared)
	if err != nil {
		return nil, err
	}
	return &eventSelection{
		dropped: c.dropped, table: numberedTable(p.table), verdicts: v, accounts: accountColumns(p.table), number: len(p.table.Columns),
		counted: newCounterOf(p.table, c.options.CountNew),
	}, nil
}

func (s *eventSelection) repeated() int64 { return s.repeats }

func (s *eventSelection) selectRows(rows []extsort.Row) ([]extsort.Row, error) {
	rows = slices.DeleteFunc(rows, func(r extsort.Row) bool {
		row := s.numberOf(r)
		if !s.verdicts.dropped.has(row) {
			return false
		}
		if s.verdicts.repeated.has(row) {
			s.repeats++
		}
		s.dropped[accountHash(r, s.accounts)]++
		return true
	})
	var at []int
	var revisions []revision
	for i, r := range rows {
		if revised, ok := s.verdicts.revised[s.numberOf(r)]; ok {
			at, revisions = append(at, i), append(revisions, revised)
			continue
		}
		s.counted.add(r)
	}
	err := overrideRows(s.table, rows, at, map[int]func(int) cell{
		s.table.ColumnIndex("revision"):      func(i int) cell { return integer(revisions[i].number) },
		s.table.ColumnIndex("first_seen_at"): func(i int) cell { return cell{number: revisions[i].firstSeen, known: revisions[i].seen} },
	})
	return rows, err
}

func (s *eventSelection) numberOf(r extsort.Row) int64 {
	return r.View.Columns[s.number].Int64At(r.Index)
}

// accountSelection notes in each account which of its events were dropped, and in a line that repeats an
// earlier one the entity of that.
type accountSelection struct {
	table                                    *schema.Table
	known                                    map[uint64]int64
	columns                                  [3]int
	originals                                *originals // nil: duplicates have no entity
	events, newEvents, knownEvents, entityID int
}

func (s *accountSelection) repeated() int64 { return 0 }

// completedAccount is what a row gets besides what was written.
type completedAccount struct{ newEvents, knownEvents, entityID cell }

func (s *accountSelection) selectRows(rows []extsort.Row) ([]extsort.Row, error) {
	var at []int
	var completed []completedAccount
	for i, r := range rows {
		if c, changed := s.complete(r); changed {
			at, completed = append(at, i), append(completed, c)
		}
	}
	err := overrideRows(s.table, rows, at, map[int]func(int) cell{
		s.newEvents:   func(i int) cell { return completed[i].newEvents },
		s.knownEvents: func(i int) cell { return completed[i].knownEvents },
		s.entityID:    func(i int) cell { return completed[i].entityID },
	})
	return rows, err
}

// complete completes one row; false: nothing changes.
func (s *accountSelection) complete(r extsort.Row) (c completedAccount, changed bool) {
	number := func(column int) cell {
		if v := &r.View.Columns[column]; !v.IsNull(r.Index) {
			return integer(v.Int64At(r.Index))
		}
		return cell{}
	}
	c.newEvents, c.knownEvents = number(s.newEvents), number(s.knownEvents)
	if v := &r.View.Columns[s.entityID]; !v.IsNull(r.Index) {
		c.entityID = cell{text: string(v.TextAt(r.Index)), known: true}
	}
	// An event of several rows may be known in part.
	if n, events := s.known[accountHash(r, s.columns)], number(s.events); n > 0 && events.known {
		n = min(n, events.number)
		c.newEvents, c.knownEvents, changed = integer(events.number-n), integer(n), true
	}
	if s.originals == nil {
		return c, changed
	}
	if original := number(s.originals.duplicateOf); original.known && !c.entityID.known {
		c.entityID = s.originals.entityID(original.number)
		changed = changed || c.entityID.known
	}
	if row := number(s.originals.row); row.known {
		s.originals.note(row.number, c.entityID)
	}
	return c, changed
}
