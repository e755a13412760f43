package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/siglake/siglake/schema"
)

// book writes answers down: events into their tables, lines, calls and charges
// into the ledger tables, and their sums into the manifest. One goroutine uses
// it, in the order of the batches.
type book struct {
	sink     Sink
	flat     *flattener
	manifest *Manifest
	open     map[schema.Partition]*page
	searched map[int64]int64 // credits of the searches that found out a row's id; -1 when a charge is not known
	bytes    int64           // of strings in open pages
	doubts   map[string]int  // where the manifest lists calls in doubt, by name
	unknown  map[string]bool // calls of which nobody knows what they cost
}

// page collects rows of one partition until they are handed to the sink.
type page struct {
	table   schema.Table
	builder *array.RecordBuilder
	rows    int
}

// Rows go to the sink in records of this many rows, or sooner when the strings
// of all open pages exceed the byte limit.
const (
	pageRows  = 4096
	pageBytes = 8 << 20
)

func newBook(sink Sink, partitionBy string, m *Manifest) *book {
	return &book{sink: sink, flat: newFlattener(m.Run.ID, partitionBy), manifest: m, open: map[schema.Partition]*page{}, doubts: map[string]int{}, unknown: map[string]bool{}}
}

// settle writes a line whose fate needed no call, or is not what answers alone
// say.
func (k *book) settle(ctx context.Context, l Line) error {
	credits := intValue(0)
	if l.Status == schema.Held || l.Status == schema.Lost || k.unknown[l.Call] {
		credits = value{}
	}
	if l.Doubt != nil {
		k.hold(l)
	}
	a := ItemReply{CallID: l.Call, Extra: l.Extra, Notes: l.Notes}
	if l.Entity != nil {
		a.Entity = *l.Entity
	}
	return k.account(ctx, l, a, credits)
}

// found writes what a search brought, and the lines whose fate that is. An id
// that was found is no fate yet: the line is asked about by it. It gives the
// lines whose fate must be kept, because reading the answer again does not give
// it.
func (k *book) found(ctx context.Context, b *Batch, reply *Reply, done *rowSet) (left []Line, err error) {
	paid, err := k.bill(ctx, b, reply)
	if err != nil {
		return nil, err
	}
	for i, item := range b.Items {
		a := reply.Items[i]
		switch a.Status {
		case schema.Resolved, schema.Deferred:
			k.search(item.Account.Row, paid[i], k.unknown[a.CallID])
			continue
		}
		done.add(item.Account.Row)
		if err := k.item(ctx, b, reply, i, paid); err != nil {
			return nil, err
		}
	}
	for _, l := range undecided(b, reply) {
		if l.Status != schema.Deferred {
			left = append(left, l)
		}
	}
	return left, nil
}

// search remembers what finding out the id of a row cost, for its line.
func (k *book) search(row, credits int64, unknown bool) {
	if credits == 0 && !unknown {
		return
	}
	if k.searched == nil {
		k.searched = map[int64]int64{}
	}
	if unknown || k.searched[row] < 0 {
		credits = -1 - k.searched[row]
	}
	k.searched[row] += credits
}

// hold lists a line under the call that holds it. That is one of an earlier run,
// or one of this run itself, made by a process that ended: it is listed already.
func (k *book) hold(l Line) {
	held, d := &k.manifest.Held, *l.Doubt
	if d.Run == k.manifest.Run.ID {
		d.Run = ""
	}
	at, listed := k.doubts[d.Name()]
	if !listed {
		at = len(*held)
		k.doubts[d.Name()] = at
		d.Accounts = []string{}
		*held = append(*held, d)
	}
	if d.Accepted {
		(*held)[at].Accepted, (*held)[at].Decided = true, d.Decided
	}
	(*held)[at].Accounts = append((*held)[at].Accounts, l.Account.Key)
}

// enter writes everything a reply says: its calls, its items with their events,
// and its strays.
func (k *book) enter(ctx context.Context, b *Batch, reply *Reply) error {
	paid, err := k.bill(ctx, b, reply)
	if err != nil {
		return err
	}
	for i := range b.Items {
		if err := k.item(ctx, b, reply, i, paid); err != nil {
			return err
		}
	}
	return nil
}

// enterPast writes what an earlier process was answered: of its lines, those
// that the answer settles and that nothing settled before.
func (k *book) enterPast(ctx context.Context, b *Batch, reply *Reply, done *rowSet) error {
	paid, err := k.bill(ctx, b, reply)
	if err != nil {
		return err
	}
	for i, item := range b.Items {
		if b.Query.Service.Paged() {
			continue // its lines were kept
		}
		if status := reply.Items[i].Status; b.Query.Service == Search && !k.onlyIDs() && (status == schema.Resolved || status == schema.Deferred) {
			k.search(item.Account.Row, paid[i], k.unknown[reply.Items[i].CallID])
			continue
		}
		if !settledByAnswer(reply.Items[i].Status) || done.has(item.Account.Row) {
			continue
		}
		done.add(item.Account.Row)
		if err := k.item(ctx, b, reply, i, paid); err != nil {
			return err
		}
	}
	return nil
}

// onlyIDs reports whether the run asks for nothing but ids.
func (k *book) onlyIDs() bool {
	return !slices.ContainsFunc(k.manifest.Queries, func(q Query) bool { return q.Service != Search })
}

// item writes the line behind an item.
func (k *book) item(ctx context.Context, b *Batch, reply *Reply, i int, paid []int64) error {
	a := reply.Items[i]
	if !settledByAnswer(a.Status) {
		return k.settle(ctx, lineOf(&b.Items[i], &a)) // as it is when it is read again
	}
	credits := intValue(paid[i])
	if k.unknown[a.CallID] || a.Status == schema.Held {
		credits = value{}
	}
	return k.account(ctx, Line{Account: b.Items[i].Account, Status: a.Status, Reason: a.Reason}, a, credits)
}

// bill writes events, calls and charges. It gives what each answer cost, and
// the calls whose charge is not known.
func (k *book) bill(ctx context.Context, b *Batch, reply *Reply) (paid []int64, err error) {
	answers := reply.Items
	if len(reply.Strays) > 0 {
		answers = append(append([]ItemReply(nil), reply.Items...), reply.Strays...)
	}
	fetched := map[string]time.Time{}
	for _, c := range reply.Calls {
		if !c.Sent.IsZero() {
			fetched[c.ID] = c.Sent.Add(c.Duration)
		}
	}

	bought := map[string][]share{} // by call
	for i, a := range answers {
		from := len(bought[a.CallID])
		for n, e := range a.Events {
			if err := k.event(ctx, b, i, n, a, e, fetched[a.CallID]); err != nil {
				return nil, err
			}
			bought[a.CallID] = tallyShare(bought[a.CallID], from, i, e.Type)
		}
		for _, e := range a.Beside { // paid for, and kept in the journal
			bought[a.CallID] = tallyShare(bought[a.CallID], from, i, e.Type)
		}
		k.manifest.Events.Beside += int64(len(a.Beside))
		k.manifest.noteCapped(b.Query, bought[a.CallID][from:])
		if err := k.aliases(ctx, b, i, a, fetched[a.CallID]); err != nil {
			return nil, err
		}
	}

	paid = make([]int64, len(answers))
	for _, c := range reply.Calls {
		if b.Query.Service.Paged() && len(reply.Items) == 1 && reply.Items[0].CallID == c.ID { // no line has them
			c.Notes = slices.Concat(c.Notes, reply.Items[0].Notes)
		}
		shares := bought[c.ID]
		var basis Basis
		if c.Outcome == Ambiguous || c.Outcome == Charged && !c.Charge.Known {
			k.unknown[c.ID] = true
		}
		if c.Outcome == Charged {
			basis = allocate(c.Charge, shares)
			if err := k.credits(ctx, b, answers, c, shares, basis); err != nil {
				return nil, err
			}
		}
		for _, s := range shares {
			paid[s.item] += s.credits
		}
		if err := k.call(ctx, c, b.Query, shares); err != nil {
			return nil, err
		}
		k.manifest.noteCall(c, b, reply, shares, basis)
		if c.Outcome == Ambiguous {
			k.doubts[c.ID] = len(k.manifest.Held) - 1
		}
	}
	return paid, nil
}

// tallyShare counts an event into the share of its (entity, type) pair, which
// lies at or after from.
func tallyShare(shares []share, from, item int, signal string) []share {
	for i := from; i < len(shares); i++ {
		if shares[i].signal == signal {
			shares[i].events++
			return shares
		}
	}
	return append(shares, share{item: item, signal: signal, events: 1})
}

// event writes the n-th event of an item, or of a stray.
func (k *book) event(ctx context.Context, b *Batch, item, n int, a ItemReply, e RawEvent, fetched time.Time) error {
	key := ""
	if item < len(b.Items) {
		key = b.Items[item].Account.Key
	}
	about := a.Entity
	if about.Object == "" {
		about.Object = b.Query.Object // of a page, whose results are many entities
	}
	rows := k.flat.flatten(schema.Event{
		Entity: about, AccountKey: key, Type: e.Type, Raw: e.Raw,
		CallID: a.CallID, FetchedAt: fetched, Source: "poll", Asked: askedFor(b, item, n, a),
	})
	for _, r := range rows {
		if err := k.append(ctx, schema.Rows[r.table], r.partition, r.values); err != nil {
			return err
		}
	}
	return nil
}

// askedFor says how the n-th result of an item was asked for; nil for events.
func askedFor(b *Batch, item, n int, a ItemReply) *schema.Asked {
	q := b.Query
	if q.Service == Signals {
		return nil
	}
	if item >= len(b.Items) {
		return &schema.Asked{Until: q.Until}
	}
	account, page := &b.Items[item].Account, b.Items[item].Page
	switch q.Service {
	case Search:
		kind := account.Identifier()
		return &schema.Asked{Identifier: kind, Text: identifierText(account, kind)}
	case Scores:
		return &schema.Asked{Until: q.Until}
	case Lookalikes:
		asked := &schema.Asked{SeedSet: account.Key, Rank: int64(n) + 1}
		if page != nil {
			asked.Rank += page.Offset
		}
		if a.Next != nil {
			asked.Session = a.Next.Session
		}
		return asked
	default:
		return &schema.Asked{Site: account.Key, Since: q.Since, Until: q.Until}
	}
}

// aliases writes down which other ids an answer states for an entity.
func (k *book) aliases(ctx context.Context, b *Batch, item int, a ItemReply, fetched time.Time) error {
	table := schema.Aliases
	for _, other := range a.Also {
		if a.Entity.ID == "" || other == "" || other == a.Entity.ID {
			continue
		}
		key := ""
		if item < len(b.Items) {
			key = b.Items[item].Account.Key
		}
		h := sha256.New()
		addParts(h, "alias", string(b.Query.Object), a.Entity.ID, other)
		raw, err := json.Marshal([]string{a.Entity.ID, other})
		if err != nil {
			return err
		}
		if err := k.append(ctx, table, schema.Partition{Table: table.Name}, []value{
			stringValue(hex.EncodeToString(h.Sum(nil)[:16])), stringValue(string(b.Query.Object)), stringValue(a.Entity.ID), stringValue(other),
			optionalString(key), optionalTime(fetched), stringValue(k.manifest.Run.ID), stringValue(a.CallID), intValue(int64(table.Version)), stringValue(string(raw)),
		}); err != nil {
			return err
		}
	}
	return nil
}

func (k *book) account(ctx context.Context, l Line, a ItemReply, credits value) error {
	k.manifest.Accounts.add(l)
	acc := l.Account
	kind := acc.Identifier()
	notes := acc.Notes
	if len(a.Notes) > 0 {
		notes = append(append([]string(nil), notes...), a.Notes...)
	}
	column := ""
	if acc.Reject != nil {
		column = acc.Reject.Column
	}
	original := value{}
	if l.DuplicateOf > 0 {
		original = intValue(l.DuplicateOf)
	}
	if search := k.searched[acc.Row]; search < 0 {
		credits = value{}
	} else if credits.set {
		credits.n += search
	}
	return k.append(ctx, schema.Accounts, schema.Partition{Table: schema.Accounts.Name}, []value{
		stringValue(k.manifest.Run.ID),
		intValue(acc.Row),
		optionalString(acc.Key),
		stringValue(string(l.Status)),
		optionalString(l.Reason),
		optionalString(string(acc.Object)),
		optionalString(string(kind)),
		optionalString(identifierText(&acc, kind)),
		optionalString(a.Entity.ID),
		optionalString(a.Entity.Name),
		optionalString(a.Entity.Domain),
		intValue(int64(len(a.Events))),
		credits,
		optionalString(a.CallID),
		original,
		optionalString(acc.File),
		intValue(acc.Line),
		optionalString(column),
		optionalString(strings.Join(notes, "; ")),
		optionalString(string(a.Extra)),
		stringValue(k.manifest.command()),
	})
}

// credits writes the charge of one call, pair by pair; what no pair explains is
// a row of the call as a whole.
func (k *book) credits(ctx context.Context, b *Batch, answers []ItemReply, c Call, shares []share, basis Basis) error {
	put := func(row value, key, entity, signal string, events int64, credits value) error {
		category := ""
		if signal != "" {
			category = string(categoryOf(signal))
		}
		return k.append(ctx, schema.Credits, schema.Partition{Table: schema.Credits.Name}, []value{
			stringValue(k.manifest.Run.ID), stringValue(c.ID), row, optionalString(key), optionalString(entity),
			stringValue(string(c.Object)), optionalString(signal), optionalString(category),
			intValue(events), credits, stringValue(string(basis)),
		})
	}
	for _, s := range shares {
		row, key := value{}, ""
		if s.item < len(b.Items) {
			acc := b.Items[s.item].Account
			if key = acc.Key; acc.Row > 0 { // a page is about no line of the list
				row = intValue(acc.Row)
			}
		}
		credits := value{}
		if c.Charge.Known {
			credits = intValue(s.credits)
		}
		if err := put(row, key, answers[s.item].Entity.ID, s.signal, s.events, credits); err != nil {
			return err
		}
	}
	if len(shares) > 0 || c.Charge.Known && c.Charge.Credits == 0 {
		return nil
	}
	credits := value{}
	if c.Charge.Known {
		credits = intValue(c.Charge.Credits)
	}
	return put(value{}, "", "", "", 0, credits)
}

func (k *book) call(ctx context.Context, c Call, q *Query, shares []share) error {
	var events int64
	for _, s := range shares {
		events += s.events
	}
	if c.Outcome == Charged && c.Charge.Known {
		if odd := unexplained(c, q, shares); odd != 0 {
			c.Notes = append(slices.Clone(c.Notes), unexplainedText(odd, events))
		}
	}
	charge, left := value{}, func(w Window) value {
		if w.Left < 0 || w == (Window{}) {
			return value{}
		}
		return intValue(w.Left)
	}
	switch {
	case c.Outcome == NotCharged:
		charge = intValue(0)
	case c.Outcome == Charged && c.Charge.Known:
		charge = intValue(c.Charge.Credits)
	}
	return k.append(ctx, schema.Calls, schema.Partition{Table: schema.Calls.Name}, []value{
		stringValue(k.manifest.Run.ID), stringValue(c.ID), stringValue(c.Batch), intValue(int64(c.Attempt)),
		stringValue(c.Endpoint), stringValue(string(c.Object)), intValue(int64(c.Entities)), intValue(int64(c.Types)),
		optionalTime(c.Sent), intValue(c.Duration.Milliseconds()), intValue(int64(c.Status)), stringValue(string(c.Outcome)),
		charge, optionalString(c.Charge.Text), intValue(c.Ceiling), intValue(events), intValue(int64(len(c.Body))),
		dateValue(c.StartDate), dateValue(c.EndDate), left(c.Rate.Minute), left(c.Rate.Hour), left(c.Rate.Day),
		optionalString(c.Problem), optionalString(strings.Join(c.Notes, "; ")), optionalString(string(c.Extra)),
	})
}

// append adds a row to its page and hands full pages to the sink.
func (k *book) append(ctx context.Context, t schema.Table, p schema.Partition, values []value) error {
	pg := k.open[p]
	if pg == nil {
		pg = &page{table: t, builder: array.NewRecordBuilder(memory.DefaultAllocator, arrowSchemas[t.Name])}
		k.open[p] = pg
	}
	for i, v := range values {
		appendValue(pg.builder.Field(i), v)
		k.bytes += int64(len(v.s))
	}
	pg.rows++
	if k.bytes > pageBytes {
		return k.flush(ctx)
	}
	if pg.rows >= pageRows {
		return k.hand(ctx, p, pg)
	}
	return nil
}

// flush hands every open page to the sink, in the order of their names.
func (k *book) flush(ctx context.Context) error {
	for _, p := range sortedKeys(k.open, schema.Partition.String) {
		if err := k.hand(ctx, p, k.open[p]); err != nil {
			return err
		}
	}
	clear(k.open) // pages of partitions that may never come again
	k.bytes = 0
	return nil
}

func (k *book) hand(ctx context.Context, p schema.Partition, pg *page) error {
	if pg.rows == 0 {
		return nil
	}
	pg.rows = 0
	rec := pg.builder.NewRecord()
	defer rec.Release()
	return k.sink.Write(ctx, p, rec)
}

func appendValue(b array.Builder, v value) {
	if !v.set {
		b.AppendNull()
		return
	}
	switch b := b.(type) {
	case *array.StringBuilder:
		b.Append(strings.ToValidUTF8(v.s, "\uFFFD")) // some readers refuse a whole file for one odd byte
	case *array.Int64Builder:
		b.Append(v.n)
	case *array.Float64Builder:
		b.Append(v.double())
	case *array.BooleanBuilder:
		b.Append(v.n != 0)
	case *array.Date32Builder:
		b.Append(arrow.Date32(v.n))
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(v.n))
	default:
		panic("schema: no builder for " + b.Type().String() + " after " + strconv.Itoa(b.Len()) + " rows")
	}
}

// arrowSchemas are made once: a table's layout does not change within a build.
var arrowSchemas = func() map[string]*arrow.Schema {
	m := map[string]*arrow.Schema{}
	for _, t := range schema.Tables {
		m[t.Name] = t.Arrow()
	}
	return m
}()

// categoryOf is the dataset of a signal key, known or not, or of a product.
func categoryOf(signal string) schema.Category {
	if s, ok := schema.Lookup(signal); ok {
		return s.Category
	}
	if c, ok := schema.ProductCategory(signal); ok {
		return c
	}
	return schema.CategoryOther
}
