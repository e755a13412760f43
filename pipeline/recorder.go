package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/columns"
	"github.com/siglake/siglake/internal/flatten"
	"github.com/siglake/siglake/schema"
)

// recorder writes answers: events into their tables, lines, calls and charges into the ledger
// tables, and their sums into the manifest. One goroutine uses it, in the order of the batches.
type recorder struct {
	rows     *columns.Writer
	maker    *rowMaker // of events; it may be used concurrently
	version  int       // of the schema
	drift    *driftWatch
	manifest *Manifest
	uri      string // of the list
	// Lines with several questions, by row.
	divided map[int64]*dividedLine
	// Cost of the searches for the id of a row, by row.
	searchCosts map[int64]Credits
	// Index of calls in doubt in the manifest, by name.
	inDoubt map[string]int

	// Calls with an unknown cost, with what they can have cost.
	unknownCosts map[string]Credits
	types        TypeList // of the manifest
	kept         KeptColumns
}

func newRecorder(sink Sink, spec *RunSpec, version int, m *Manifest) *recorder {
	return &recorder{
		rows:    columns.NewWriter(sink.Write, version),
		maker:   newRowMaker(flatten.Options{RunID: m.Run.ID, PartitionBy: spec.PartitionKey(), Version: version}),
		version: version, drift: newDriftWatch(), manifest: m, uri: spec.URI, inDoubt: map[string]int{},
		divided: map[int64]*dividedLine{}, searchCosts: map[int64]Credits{}, unknownCosts: map[string]Credits{},
	}
}

// recordLine writes a line that needed no call, or a status that the answers alone do not yield.
func (r *recorder) recordLine(ctx context.Context, l Line) error {
	credits := creditsValue(r.unknownCosts[l.Call])
	if l.Status == schema.InDoubt || l.Status == schema.WrittenOff {
		credits = columns.Value{}
	}
	if l.InDoubt != nil {
		r.addInDoubt(l)
	}
	if l.Part != "" || r.divided[l.Account.Row] != nil {
		r.addPart(l, 0, r.unknownCosts[l.Call])
		return nil
	}
	a := ItemReply{CallID: l.Call, UnknownFields: l.UnknownFields, Warnings: l.Warnings}
	if l.Entity != nil {
		a.Entity = *l.Entity
	}
	return r.writeAccount(ctx, l, a, 0, credits)
}

// recordResolution writes the answer to a search, and the lines that it decides. A line with a
// found id has no status yet: it is requested by that id. recordResolution returns the lines to
// record because decoding the answer again does not yield their status.
func (r *recorder) recordResolution(ctx context.Context, b *Batch, reply *flattened, done *rowSet) (toRecord []Line, err error) {
	paid, err := r.recordCalls(ctx, b, reply)
	if err != nil {
		return nil, err
	}
	for i, item := range b.Items {
		a := reply.Items[i]
		switch a.Status {
		case schema.Resolved, schema.Deferred:
			r.addSearchCost(item.Account.Row, paid[i])
			continue
		}
		done.add(item.Account.Row)
		if err := r.recordItem(ctx, b, reply.Reply, i, paid); err != nil {
			return nil, err
		}
	}
	for _, l := range unreplayableLines(b, reply.Reply) {
		if l.Status != schema.Deferred {
			toRecord = append(toRecord, l)
		}
	}
	return toRecord, nil
}

// addSearchCost remembers the cost of a search for the id of a row, for its line.
func (r *recorder) addSearchCost(row int64, cost Credits) {
	if cost != (Credits{}) {
		r.searchCosts[row] = r.searchCosts[row].Add(cost)
	}
}

// addInDoubt lists a line under the call in doubt. That is a call of an earlier run, or one of this
// run, made by a process that has ended: then it is already listed.
func (r *recorder) addInDoubt(l Line) {
	calls, d := &r.manifest.InDoubt, *l.InDoubt
	if d.Run == r.manifest.Run.ID {
		d.Run = ""
	}
	at, listed := r.inDoubt[d.Name()]
	if !listed {
		at = len(*calls)
		r.inDoubt[d.Name()] = at
		d.Accounts = []string{}
		*calls = append(*calls, d)
	}
	if d.WrittenOff {
		(*calls)[at].WrittenOff, (*calls)[at].Decision = true, d.Decision
	}
	(*calls)[at].Accounts = append((*calls)[at].Accounts, l.Account.Key)
}

// recordBatch writes everything in a reply: its calls, its items with their events, and its
// unmatched entries.
func (r *recorder) recordBatch(ctx context.Context, b *Batch, reply *flattened) error {
	paid, err := r.recordCalls(ctx, b, reply)
	if err != nil {
		return err
	}
	for i := range b.Items {
		if err := r.recordItem(ctx, b, reply.Reply, i, paid); err != nil {
			return err
		}
	}
	return nil
}

// replayBatch writes what an earlier process received: of its lines, those that the answer decides
// and that are not in done.
func (r *recorder) replayBatch(ctx context.Context, b *Batch, reply *flattened, done *rowSet) error {
	paid, err := r.recordCalls(ctx, b, reply)
	if err != nil {
		return err
	}
	for i, item := range b.Items {
		if b.Query.Service().IsPaged() {
			continue // its lines are recorded
		}
		if status := reply.Items[i].Status; b.Query.Service() == Search && !r.onlySearches() && (status == schema.Resolved || status == schema.Deferred) {
			r.addSearchCost(item.Account.Row, paid[i])
			continue
		}
		if !isReplayable(reply.Items[i].Status) || done.has(item.Account.Row) {
			continue
		}
		if !item.Part { // the schedule knows which questions were answered
			done.add(item.Account.Row)
		}
		if err := r.recordItem(ctx, b, reply.Reply, i, paid); err != nil {
			return err
		}
	}
	return nil
}

// onlySearches reports whether the run requests only ids.
func (r *recorder) onlySearches() bool {
	return !slices.ContainsFunc(r.manifest.Queries, func(q Query) bool { return q.Service() != Search })
}

// recordItem writes the line of an item.
func (r *recorder) recordItem(ctx context.Context, b *Batch, reply *Reply, i int, paid []Credits) error {
	a := reply.Items[i]
	if !isReplayable(a.Status) {
		return r.recordLine(ctx, lineOf(b, i, &a)) // as when it is replayed
	}
	if b.Items[i].Part {
		r.addPart(lineOf(b, i, &a), len(a.Events), paid[i])
		return nil
	}
	credits := creditsValue(paid[i])
	if a.Status == schema.InDoubt {
		credits = columns.Value{}
	} else if left := b.Items[i].TypesLeft; left > 0 {
		r.manifest.Accounts.addPartlyRequested()
		a.Warnings = append(slices.Clip(a.Warnings), fmt.Sprintf("%d more signal types are requested on their own: an answer about all of them was cut", left))
	}
	return r.writeAccount(ctx, Line{Account: b.Items[i].Account, Status: a.Status, Reason: a.Reason}, a, len(a.Events), credits)
}

// recordCalls writes events, calls and charges. It returns the cost of each answer: its share of
// the call's charge, or everything that the call can have cost if the charge is unknown.
func (r *recorder) recordCalls(ctx context.Context, b *Batch, reply *flattened) (paid []Credits, err error) {
	answers := reply.Items
	if len(reply.Unmatched) > 0 {
		answers = append(append([]ItemReply(nil), reply.Items...), reply.Unmatched...)
	}
	sharesByCall, err := r.recordEvents(ctx, b, reply, answers)
	if err != nil {
		return nil, err
	}
	paid = make([]Credits, len(answers))
	for _, c := range reply.Calls {
		shares := sharesByCall[c.ID]
		if err := r.recordCall(ctx, b, reply.Reply, answers, c, shares); err != nil {
			return nil, err
		}
		for _, s := range shares {
			paid[s.item] = paid[s.item].Add(Exactly(s.credits))
		}
	}
	for i, a := range answers {
		if cost, unknown := r.unknownCosts[a.CallID]; unknown {
			paid[i] = cost
		}
	}
	return paid, nil
}

// recordEvents writes the events and aliases of answers, and counts what each call brought.
func (r *recorder) recordEvents(ctx context.Context, b *Batch, reply *flattened, answers []ItemReply) (sharesByCall map[string][]share, err error) {
	if err := r.writeEvents(ctx, b, reply); err != nil {
		return nil, err
	}
	sharesByCall = map[string][]share{}
	var counter shareCounter
	for i := range answers {
		a := &answers[i]
		counter.begin(i)
		for n := range a.Events {
			counter.add(a.Events[n].Type)
		}
		for n := range a.Filtered { // paid for, and kept in the journal
			counter.add(a.Filtered[n].Type)
		}
		r.manifest.Events.Filtered += int64(len(a.Filtered))
		r.manifest.countCapped(b.Query, counter.shares)
		sharesByCall[a.CallID] = append(sharesByCall[a.CallID], counter.shares...)
		if len(a.Aliases) == 0 {
			continue
		}
		if err := r.writeAliases(ctx, b, i, a, reply.received(a.CallID)); err != nil {
			return nil, err
		}
	}
	return sharesByCall, nil
}

// recordCall writes one call and its charge, which it divides among the shares.
func (r *recorder) recordCall(ctx context.Context, b *Batch, reply *Reply, answers []ItemReply, c Call, shares []share) error {
	if b.Query.Service().IsPaged() && len(reply.Items) == 1 && reply.Items[0].CallID == c.ID { // no line has them
		c.Warnings = slices.Concat(c.Warnings, reply.Items[0].Warnings)
	}
	// A decision about the call does not say what its lines cost.
	if cost := CostOf(c.Outcome, c.Charge, c.Ceiling); !cost.IsKnown() {
		r.unknownCosts[c.ID] = cost
	}
	var basis Basis
	if c.Outcome == Charged {
		basis = allocate(c.Charge, shares)
		if err := r.writeCredits(ctx, b, answers, c, shares, basis); err != nil {
			return err
		}
	}
	if err := r.writeCall(ctx, c, b.Query, shares); err != nil {
		return err
	}
	if err := r.writeRequests(ctx, b.Query, c, shares); err != nil {
		return err
	}
	r.manifest.addCall(c, b, reply, r.listedShares(shares), basis)
	r.manifest.Events.OtherTypes = r.types.Others()
	if c.Outcome == InDoubt {
		r.inDoubt[c.ID] = len(r.manifest.InDoubt) - 1
	}
	return nil
}

// shareCounter counts the events of one item by type: an answer may have any number of types.
type shareCounter struct {
	item     int
	shares   []share        // in the order in which the types come up
	position map[string]int // of a type's share, if there are many
}

// begin begins with another item.
func (c *shareCounter) begin(item int) {
	c.item, c.shares = item, c.shares[:0]
	clear(c.position)
}

// fewShares is the number of types up to which looking through all of them is the fastest.
const fewShares = 32

func (c *shareCounter) add(signal string) {
	if n := len(c.shares); n > 0 && c.shares[n-1].signal == signal { // events of a type come together
		c.shares[n-1].events++
		return
	}
	if at := c.find(signal); at >= 0 {
		c.shares[at].events++
		return
	}
	if len(c.shares) >= fewShares {
		c.position[signal] = len(c.shares)
	}
	c.shares = append(c.shares, share{item: c.item, signal: signal, events: 1})
}

// find is the place of a type's share; -1 if it has none.
func (c *shareCounter) find(signal string) int {
	if len(c.shares) < fewShares {
		return slices.IndexFunc(c.shares, func(s share) bool { return s.signal == signal })
	}
	if len(c.position) == 0 {
		if c.position == nil {
			c.position = map[string]int{}
		}
		for i := range c.shares {
			c.position[c.shares[i].signal] = i
		}
	}
	if at, ok := c.position[signal]; ok {
		return at
	}
	return -1
}

// listedShares are shares under the names by which the manifest lists their types.
func (r *recorder) listedShares(shares []share) []share {
	listed, own := shares, false
	for i, s := range shares {
		if name := r.types.Name(s.signal); name != s.signal {
			if !own {
				listed, own = slices.Clone(shares), true
			}
			listed[i].signal = name
		}
	}
	return listed
}

// writeAliases writes the other ids that an answer states for an entity.
func (r *recorder) writeAliases(ctx context.Context, b *Batch, item int, a *ItemReply, fetchedAt time.Time) error {
	table := schema.Aliases.AsOf(r.version)
	for _, other := range a.Aliases {
		if a.Entity.ID == "" || other == "" || other == a.Entity.ID {
			continue
		}
		key := ""
		if item < len(b.Items) {
			key = b.Items[item].Account.Key
		}
		raw, err := json.Marshal([]string{a.Entity.ID, other})
		if err != nil {
			return err
		}
		if err := r.rows.AddValues(ctx, &schema.Aliases, []columns.Value{
			columns.Text(flatten.Hash("alias", string(b.Query.Object), a.Entity.ID, other)), columns.Text(string(b.Query.Object)), columns.Text(a.Entity.ID), columns.Text(other),
			columns.TextOrNull(key), columns.TimeOrNull(fetchedAt), columns.Text(r.manifest.Run.ID), columns.Text(a.CallID), columns.Int(int64(table.Version)), columns.Text(string(raw)),
		}); err != nil {
			return err
		}
	}
	return nil
}

// writeAccount writes the row of a line, the answers to which had a number of events.
func (r *recorder) writeAccount(ctx context.Context, l Line, a ItemReply, events int, credits columns.Value) error {
	r.manifest.Accounts.addLine(l)
	acc := l.Account
	kind := acc.Identifier()
	notes := acc.Notes
	if len(a.Warnings) > 0 {
		notes = append(append([]string(nil), notes...), a.Warnings...)
	}
	column := ""
	if acc.Reject != nil {
		column = acc.Reject.Column
	}
	original := columns.Value{}
	if l.DuplicateOf > 0 {
		original = columns.Int(l.DuplicateOf)
	}
	if searchCost := r.searchCosts[acc.Row]; !searchCost.IsKnown() {
		credits = columns.Value{}
	} else if credits.Set {
		credits.N += searchCost.Min
	}
	extra := acc.Kept
	r.kept.addCells(extra)
	if r.version < schema.EntitiesVersion {
		extra = string(a.UnknownFields)
	}
	return r.rows.AddValues(ctx, &schema.Accounts, []columns.Value{
		columns.Text(r.manifest.Run.ID),
		columns.Int(acc.Row),
		columns.TextOrNull(acc.Key),
		columns.Text(string(l.Status)),
		columns.TextOrNull(l.Reason),
		columns.TextOrNull(string(acc.Object)),
		columns.TextOrNull(string(kind)),
		columns.TextOrNull(identifierText(&acc, kind)),
		columns.TextOrNull(a.Entity.ID),
		columns.TextOrNull(a.Entity.Name),
		columns.TextOrNull(a.Entity.Domain),
		columns.Int(int64(events)),
		credits,
		columns.TextOrNull(a.CallID),
		original,
		columns.TextOrNull(acc.File),
		columns.Int(acc.Line),
		columns.TextOrNull(column),
		columns.TextOrNull(strings.Join(notes, "; ")),
		columns.TextOrNull(extra),
		columns.Text(r.manifest.commandName()),
		columns.Int(int64(len(a.Events))), // until the sink has compared them with the lake
		columns.Int(0),
		columns.TextOrNull(acc.Name),
		columns.TextOrNull(acc.Email),
		columns.TextOrNull(string(a.UnknownFields)),
	})
}

// describeKept states in the files of accounts which columns of the list they hold.
func (r *recorder) describeKept(files []File) {
	for i := range files {
		if files[i].Table == schema.Accounts.Name && r.version >= schema.EntitiesVersion {
			files[i].Kept = r.kept.List()
		}
	}
}

// writeCredits writes the charge of one call, pair by pair. What no pair explains is a row of the
// whole call.
func (r *recorder) writeCredits(ctx context.Context, b *Batch, answers []ItemReply, c Call, shares []share, basis Basis) error {
	cost := c.Cost()
	write := func(row columns.Value, key, entity, signal string, events int64, credits columns.Value) error {
		category := ""
		if signal != "" {
			category = string(flatten.Category(signal))
		}
		return r.rows.AddValues(ctx, &schema.Credits, []columns.Value{
			columns.Text(r.manifest.Run.ID), columns.Text(c.ID), row, columns.TextOrNull(key), columns.TextOrNull(entity),
			columns.Text(string(c.Object)), columns.TextOrNull(signal), columns.TextOrNull(category),
			columns.Int(events), credits, columns.Text(string(basis)),
		})
	}
	for _, s := range shares {
		row, key := columns.Value{}, ""
		if s.item < len(b.Items) {
			acc := b.Items[s.item].Account
			if key = acc.Key; acc.Row > 0 { // a page is not about a line of the list
				row = columns.Int(acc.Row)
			}
		}
		credits := columns.Value{}
		if cost.IsKnown() {
			credits = columns.Int(s.credits)
		}
		if err := write(row, key, answers[s.item].Entity.ID, s.signal, s.events, credits); err != nil {
			return err
		}
	}
	if len(shares) > 0 || cost == (Credits{}) {
		return nil
	}
	return write(columns.Value{}, "", "", "", 0, creditsValue(cost))
}

func (r *recorder) writeCall(ctx context.Context, c Call, q *Query, shares []share) error {
	var events int64
	for _, s := range shares {
		events += s.events
	}
	if c.Outcome == Charged && c.Charge.Known {
		if excess := discrepancy(c, q, shares); excess != 0 {
			c.Warnings = append(slices.Clone(c.Warnings), discrepancyText(excess, events))
		}
	}
	charge := columns.Value{}
	if c.Outcome != InDoubt {
		charge = creditsValue(CostOf(c.Outcome, c.Charge, c.Ceiling))
	}
	remaining := func(w Window) columns.Value {
		if w.Left < 0 || w == (Window{}) {
			return columns.Value{}
		}
		return columns.Int(w.Left)
	}
	return r.rows.AddValues(ctx, &schema.Calls, []columns.Value{
		columns.Text(r.manifest.Run.ID), columns.Text(c.ID), columns.Text(c.Batch), columns.Int(int64(c.Attempt)),
		columns.Text(c.Endpoint), columns.Text(string(c.Object)), columns.Int(int64(c.Entities)), columns.Int(int64(c.Types)),
		columns.TimeOrNull(c.Sent), columns.Int(c.Duration.Milliseconds()), columns.Int(int64(c.Status)), columns.Text(string(c.Outcome)),
		charge, columns.TextOrNull(c.Charge.Text), columns.Int(c.Ceiling), columns.Int(events), columns.Int(c.AnswerBytes()),
		flatten.DateValue(c.StartDate), flatten.DateValue(c.EndDate), remaining(c.Rate.Minute), remaining(c.Rate.Hour), remaining(c.Rate.Day),
		columns.TextOrNull(c.Problem), columns.TextOrNull(strings.Join(c.Warnings, "; ")), columns.TextOrNull(string(c.UnknownFields)),
	})
}
