// Package flatten types what was bought: of the JSON record of an event, or of another product's
// result, it makes the values of the columns of its table, with the id of the event and the digest of
// its content.
//
// A record is read once, from its bytes. The name of a member is compared with that of the member which
// followed the last time, because records of a type have their members in one order; only if it is
// another one it is looked up. Texts stay where they are: a cell refers to the bytes of the record, unless
// its text is not in there. What is rare is left to plain code that works on strings: escapes, unusual
// spellings of numbers and dates, lists, HTML, versions of the schema before 3.
//
// A [Flattener] remembers what it has met, so each goroutine has its own. The rows do not depend on what
// it met before.
//
// Nothing is lost of a value that has no place: its column is null, a note says why, and raw has the
// record.
package flatten

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/columns"
	"github.com/siglake/siglake/internal/jsonscan"
	"github.com/siglake/siglake/schema"
)

// Options are what the rows of a run have in common.
type Options struct {
	RunID       string
	PartitionBy string // schema.ByMonth or schema.ByDay
	Version     int    // of the schema
	Drift       Drift  // what differs from what the schema knows; nil: it is not looked at
}

// Flattener types events. One goroutine uses it at a time.
type Flattener struct {
	Options
	layouts []layout
	kinds   map[string]*kind // by signal type or product
	last    *kind
	// The members that followed a field, by its id, for each layout; with those that no schema knows.
	guesses [][]*field
	unknown []map[string]*field
	places  []places // of each table
	news    newsKinds
	name    []byte // of a field that no schema knows
	// Called with a full chunk before the next row of the same event; it returns the chunk of that row. Nil:
	// the rows of an event go to one chunk.
	Full func(*columns.Chunk) *columns.Chunk

	// The row that is read at the moment.
	current
	watch
	cells
	content content
}

// current is what a row is made of.
type current struct {
	rows  *columns.Chunk // that get the row
	kind  *kind
	event *schema.Event
	topic []byte // nested topic that the row is about, or nil
	notes notes
}

// kind is what is known of the events of a type.
type kind struct {
	key    string
	signal schema.Signal // zero: the catalogue does not have it
	known  bool
	intent bool // its records may have nested topics
	table  int
	*layout
	expected []int        // columns that every record fills
	natural  []naturalKey // of schema.EventKeys
	shared   sharedList
}

// New returns a flattener.
func New(o Options) *Flattener {
	n := len(schema.RowTables)
	return &Flattener{
		Options: o, layouts: layouts(o.Version), kinds: map[string]*kind{}, news: newsKinds{},
		guesses: make([][]*field, n), unknown: make([]map[string]*field, n), places: make([]places, n),
	}
}

// Forget drops the last event, which would keep the memory of its answer, and Full.
func (f *Flattener) Forget() {
	f.Full = nil
	f.current.rows, f.current.event, f.current.topic, f.Chunk = nil, nil, nil, nil
	clear(f.content.facts[:cap(f.content.facts)])
}

// kindOf finds out about a type.
func (f *Flattener) kindOf(key string) *kind {
	if f.last != nil && f.last.key == key {
		return f.last
	}
	k := f.kinds[key]
	if k == nil {
		k = &kind{key: key}
		k.signal, k.known = schema.LookupSignal(key)
		category := Category(key)
		k.intent, k.table = category == schema.CategoryIntent, tableIndex(category)
		k.layout = &f.layouts[k.table]
		k.expected, k.natural = k.always[k.signal.Record], k.keys[k.signal.Record]
		if len(f.kinds) == maxRemembered { // an answer may have any number of types
			clear(f.kinds)
		}
		f.kinds[key] = k
	}
	if f.guesses[k.table] == nil {
		f.guesses[k.table] = make([]*field, k.fields)
		f.unknown[k.table] = map[string]*field{}
	}
	f.last = k
	return k
}

// maxRemembered bounds the names and texts from answers that are remembered.
const maxRemembered = 1000

// Category is the dataset of a signal key, known or unknown, or of a product.
func Category(signal string) schema.Category {
	if c, ok := categories[signal]; ok {
		return c
	}
	return schema.CategoryOther
}

var categories = func() map[string]schema.Category {
	m := map[string]schema.Category{}
	for _, product := range []string{schema.ProductMatch, schema.ProductScore, schema.ProductLookalike, schema.ProductVisit} {
		m[product], _ = schema.ProductCategory(product)
	}
	for i := range schema.Signals {
		m[schema.Signals[i].Key] = schema.Signals[i].Category
	}
	return m
}()

// Flatten types one event and adds its row to others. An intent record with several nested topics has one
// row for each, with the same raw unless they are many. The rows refer to the event's record, which must
// not change any more. Flatten returns the chunk with the last row.
func (f *Flattener) Flatten(e *schema.Event, into *columns.Chunk) *columns.Chunk {
	k := f.kindOf(e.Type)
	f.rows = into
	f.watchEvent(e, k)
	if k.intent {
		if topics := nestedTopics(e.Raw); len(topics) > 0 {
			f.flattenTopics(k, e, topics)
			return f.rows
		}
	}
	f.readRow(k, e, nil)
	return into
}

// UID is the id of an event: of its first row, if it has several.
func (f *Flattener) UID(e *schema.Event) string {
	rows := columns.NewChunk()
	defer rows.Release()
	defer f.Forget()
	f.Flatten(e, rows)
	for column, v := range rows.Values(0) {
		if column == f.kind.columns.uid {
			return v.Text
		}
	}
	return ""
}

// nestedTopics are the topics within an intent record.
func nestedTopics(raw []byte) (topics [][]byte) {
	if !bytes.Contains(raw, []byte("detectedTopics")) && bytes.IndexByte(raw, '\\') < 0 {
		return nil
	}
	for key, value := range jsonscan.Members(raw) {
		if key == topicsField {
			topics = slices.AppendSeq(topics, jsonscan.Elements(value))
		}
	}
	return topics
}

const topicsField = "detectedTopics"

// maxWholeTopics is the number of topics up to which each row of an intent record has all of it as
// its raw. Beyond, it has the record with its own topic only: each row with all of them would take
// the square of their number.
const maxWholeTopics = 100

func (f *Flattener) flattenTopics(k *kind, e *schema.Event, topics [][]byte) {
	var rest jsonscan.ObjectBuilder
	divided := len(topics) > maxWholeTopics && f.Version >= 3
	if divided {
		for key, raw := range jsonscan.Members(e.Raw) {
			if key != topicsField {
				rest.Add([]byte(key), raw)
			}
		}
	}
	for i, topic := range topics {
		if f.Full != nil && f.rows.IsFull() {
			f.rows = f.Full(f.rows)
		}
		part := *e
		if divided {
			own := rest.Clone()
			own.Add([]byte(topicsField), slices.Concat([]byte("["), topic, []byte("]")))
			part.Raw = own.Build()
			part.Note = strings.TrimPrefix(fmt.Sprintf("%s; topic %d of %d of one record", e.Note, i+1, len(topics)), "; ")
		}
		if f.readRow(k, &part, topic); divided {
			f.rows.OwnRecord()
		}
	}
}

// readRow types one event; topic is the nested topic that the row is about, or nil.
func (f *Flattener) readRow(k *kind, e *schema.Event, topic []byte) {
	f.begin(k, e, topic)
	if e.Note != "" {
		f.notes.add(e.Note)
	}
	f.readRecord(e.Raw, &k.members)
	if topic != nil {
		f.readRecord(topic, &k.members)
	}
	f.noteMissing()
	id, c := f.entityID(), &k.columns
	place, uid := f.places[k.table].whole(k.table), []byte(nil)
	if e.Origin != nil {
		f.setOrigin(e.Origin)
		uid = f.productUID(id)
	} else {
		place, uid = f.setEvent(id)
	}
	f.addText(c.uid, uid)
	f.addOptional(c.entityID, id)
	if e.AccountKey != "" {
		f.addString(c.account, e.AccountKey)
	}
	if len(f.notes.list) > 0 {
		f.addString(c.notes, f.notes.text())
	}
	f.addText(c.raw, e.Raw)
	f.complete()
	f.EndRow(place)
}

// setEvent sets the columns that only events have. It returns the event's partition and id.
func (f *Flattener) setEvent(id []byte) (place *columns.Place, uid []byte) {
	k, c, e := f.kind, &f.kind.columns, f.event
	day, dated := f.eventDate()
	if rate, ok := f.intAt(c.rate); ok {
		f.addInt(c.rateAbs, int64(math.Float64bits(math.Abs(math.Float64frombits(uint64(rate))))))
	}
	uid = f.eventUID(day, dated, id)
	if dated {
		f.addInt(c.eventDate, day)
	}
	if c.summary >= 0 {
		f.addOptional(c.summary, f.sentences().summary(&k.signal))
	}
	if c.newsKind >= 0 && f.has(c.eventType) {
		f.addString(c.newsKind, f.news.of(f.textAt(c.eventType)))
	}
	if f.content.wanted {
		f.addText(c.digest, f.content.digest(&f.cells, e.Raw))
	}
	return f.places[k.table].at(f, k.table, day, dated), uid
}

// sharedList is the cells that rows of one type, answer and kind of object have in common, as a list of a
// chunk.
type sharedList struct {
	chunk     uint64
	list      uint32
	call      string
	source    string
	fetchedAt time.Time
	object    schema.Object
}

// of is the list of an event of a kind, in the chunk that gets its row.
func (x *sharedList) of(f *Flattener, k *kind, e *schema.Event) uint32 {
	if x.chunk == f.number && x.call == e.CallID && x.object == e.Entity.Object && x.source == e.Source && x.fetchedAt.Equal(e.FetchedAt) {
		return x.list
	}
	x.chunk, x.call, x.object, x.source, x.fetchedAt = f.number, e.CallID, e.Entity.Object, e.Source, e.FetchedAt
	c, signal := &k.columns, &k.signal
	f.BeginShared()
	f.shareText(c.signalType, e.Type)
	f.shareText(c.object, string(e.Entity.Object))
	f.shareText(c.run, f.RunID)
	f.shareText(c.call, e.CallID)
	f.shareText(c.source, e.Source)
	f.shareInt(c.version, columns.Int(int64(k.layout.table.Version)))
	f.shareInt(c.fetchedAt, columns.TimeOrNull(e.FetchedAt))
	f.shareInt(c.firstSeen, columns.TimeOrNull(e.FetchedAt))
	f.shareInt(c.revision, columns.Int(1)) // until the sink has compared it with the lake
	f.shareInt(c.isRisk, columns.Bool(signal.Risk))
	if signal.Trend != "" {
		f.shareText(c.direction, string(signal.Trend))
	}
	if signal.WindowMonths > 0 {
		f.shareInt(c.window, columns.Int(int64(signal.WindowMonths)))
	}
	x.list = f.EndShared()
	return x.list
}

func (c *cells) shareText(column int, text string) {
	if column >= 0 {
		c.AddString(column, strings.ToValidUTF8(text, "\uFFFD"))
	}
}

func (c *cells) shareInt(column int, v columns.Value) {
	if column >= 0 && v.Set {
		c.AddInt(column, v.N)
	}
}

// eventDate is the first date that the record has, in days since 1970.
func (f *Flattener) eventDate() (day int64, ok bool) {
	for _, column := range f.kind.columns.dates {
		if day, ok := f.intAt(column); ok {
			return day, true
		}
	}
	return 0, false
}

// entityID is the id of the event's entity: from the answer, else from the record.
func (f *Flattener) entityID() []byte {
	switch e := f.event; {
	case e.Entity.ID != "":
		return f.keep(e.Entity.ID)
	case e.Origin != nil:
		return f.keep(ResultID(e.Raw))
	}
	person, company := f.textAt(f.kind.columns.person), f.textAt(f.kind.columns.company) // an unknown record may have both
	if len(company) == 0 || f.event.Entity.Object == schema.Contact && len(person) > 0 {
		return person
	}
	return company
}

// ResultID is the id that a product's result states for itself.
func ResultID(raw []byte) (id string) {
	for key, val := range jsonscan.Members(raw) {
		switch key {
		case "id", "contactId", "personId", "companyId":
			if s := jsonscan.Text(val); s != "" && !jsonscan.IsNull(val) && (id == "" || key == "id") {
				id = s
			}
		}
	}
	return id
}

// setOrigin sets the columns about the request for a product's result.
func (f *Flattener) setOrigin(o *schema.Origin) {
	l := f.kind.layout
	if name := l.column("name"); !f.has(name) {
		first, last := f.textAt(l.column("first_name")), f.textAt(l.column("last_name"))
		f.addOptional(name, bytes.TrimSpace(slices.Concat(first, []byte(" "), last)))
	}
	for _, c := range []struct{ name, text string }{
		{"identifier_type", string(o.Identifier)}, {"identifier", o.Text}, {"seed_set", o.SeedSet}, {"session_id", o.Session}, {"site", o.Site},
	} {
		f.addOptional(l.column(c.name), f.keep(c.text))
	}
	f.addInt(l.column("rank"), o.Rank)
	for _, c := range []struct{ name, text string }{{"window_start", o.Since}, {"window_end", o.Until}, {"scored_on", o.Until}} {
		if v := DateValue(c.text); v.Set {
			f.addInt(l.column(c.name), v.N)
		}
	}
}

// newsKinds remembers kinds of news by their spelling.
type newsKinds map[string]string

// of is the kind of news in the spelling of the catalogue.
func (k newsKinds) of(text []byte) string {
	kind, ok := k[string(text)]
	if !ok {
		kind = schema.NormalizeNewsType(string(text))
		if len(k) == maxRemembered {
			clear(k)
		}
		k[string(text)] = kind
	}
	return kind
}

// places are the partitions of one table.
type places struct {
	all   *columns.Place           // of a table that is not partitioned
	byDay map[int64]*columns.Place // or by the first day of a month; of what is dated
	other *columns.Place           // of dates outside the span in which signals can exist
}

func newPlace(table int, key, value string) *columns.Place {
	t := &schema.RowTables[table]
	return &columns.Place{Table: t, Partition: schema.Partition{Table: t.Name, Key: key, Value: value}}
}

// whole is the one partition of a table that is not partitioned.
func (p *places) whole(table int) *columns.Place {
	if p.all == nil {
		p.all = newPlace(table, "", "")
	}
	return p.all
}

// at is the partition of an event date. Dates outside the span in which signals can exist would litter
// the lake with partitions of one row.
func (p *places) at(f *Flattener, table int, day int64, dated bool) *columns.Place {
	if !dated || day < firstDay || day > lastDay {
		if p.other == nil {
			p.other = newPlace(table, f.PartitionBy, schema.UnknownPartition)
			if f.PartitionBy == schema.ByDay && f.Version >= 3 {
				p.other.Partition.Value = schema.UnknownDay
			}
		}
		return p.other
	}
	if p.byDay == nil {
		p.byDay = map[int64]*columns.Place{}
	}
	place := p.byDay[day]
	if place == nil {
		place = p.add(f.PartitionBy, table, day)
	}
	return place
}

// add adds the partition of a day; by month, it is that of the month's first day.
func (p *places) add(by string, table int, day int64) *columns.Place {
	t := time.Unix(day*86400, 0).UTC()
	named, value := day, t.Format(time.DateOnly)
	if by != schema.ByDay {
		named, value = day-int64(t.Day())+1, t.Format("2006-01")
	}
	if p.byDay[named] == nil {
		p.byDay[named] = newPlace(table, by, value)
	}
	p.byDay[day] = p.byDay[named]
	return p.byDay[day]
}

// The days of schema.FirstYear and schema.LastYear, since 1970.
var (
	firstDay = time.Date(schema.FirstYear, 1, 1, 0, 0, 0, 0, time.UTC).Unix() / 86400
	lastDay  = time.Date(schema.LastYear, 12, 31, 0, 0, 0, 0, time.UTC).Unix() / 86400
)

// truncate cuts a text for a message, at a character boundary.
func truncate(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
