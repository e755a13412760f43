// Package flatten types what was bought: of the JSON record of an event, or of another product's
// result, it makes the values of the columns of its table, with the id of the event and the digest of
// its content.
//
// A record is read once, from its bytes. The name of a member is compared with that of the member which
// followed the last time, because records of a type have their members in one order; only if it is
// another one it is looked up. Values stay where they are: a cell refers to the bytes of the record, or
// to a buffer that is used again for the next event. What is rare is left to plain code that works on
// strings: escapes, unusual spellings of numbers and dates, lists, HTML, versions of the schema before 3.
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
	"unicode/utf8"

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

// Row is one typed row. It is valid until the flattener is called again.
type Row struct {
	Table     *schema.Table // as the current version of the schema has it
	Partition *schema.Partition
	UID       []byte
	Cells     *columns.Row
}

// Flattener types events. One goroutine uses it.
type Flattener struct {
	Options
	layouts []layout
	kinds   map[string]*kind // by signal type or product
	last    *kind
	// The members that followed a field, by its id, for each layout; with those that no schema knows.
	guesses [][]*field
	unknown []map[string]*field
	places  []places // partitions of each table
	news    newsKinds
	name    []byte // of a field that no schema knows

	// The row that is read at the moment.
	current
	watch
	cells
	content content
	row     Row
}

// current is what a row is made of.
type current struct {
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
	fixed    fixedCells
}

// New returns a flattener.
func New(o Options) *Flattener {
	n := len(schema.RowTables)
	return &Flattener{
		Options: o, layouts: layouts(o.Version), kinds: map[string]*kind{}, news: newsKinds{},
		guesses: make([][]*field, n), unknown: make([]map[string]*field, n), places: make([]places, n),
	}
}

// Forget drops the last event, which would keep the memory of its answer. The last row is no longer valid.
func (f *Flattener) Forget() {
	f.current.event, f.current.topic, f.row = nil, nil, Row{}
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

// Flatten types one event and passes on its row. An intent record with several nested topics has one
// row for each, with the same raw unless they are many. It ends with the first error of add.
func (f *Flattener) Flatten(e *schema.Event, add func(*Row) error) error {
	k := f.kindOf(e.Type)
	f.watchEvent(e, k)
	if k.intent {
		if topics := nestedTopics(e.Raw); len(topics) > 0 {
			return f.flattenTopics(k, e, topics, add)
		}
	}
	f.readRow(k, e, nil)
	return add(&f.row)
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

func (f *Flattener) flattenTopics(k *kind, e *schema.Event, topics [][]byte, add func(*Row) error) error {
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
		part := *e
		if divided {
			own := rest.Clone()
			own.Add([]byte(topicsField), slices.Concat([]byte("["), topic, []byte("]")))
			part.Raw = own.Build()
			part.Note = strings.TrimPrefix(fmt.Sprintf("%s; topic %d of %d of one record", e.Note, i+1, len(topics)), "; ")
		}
		f.readRow(k, &part, topic)
		if err := add(&f.row); err != nil {
			return err
		}
	}
	return nil
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
	f.row.Table = &schema.RowTables[k.table]
	id := f.entityID()
	c := &k.columns
	if e.Origin != nil {
		f.row.Partition = f.places[k.table].unpartitioned(k.table)
		f.setOrigin(e.Origin)
		f.row.UID = f.productUID(id)
	} else {
		f.setEvent(id)
	}
	f.addText(c.uid, f.row.UID)
	f.addOptional(c.entityID, id)
	if e.AccountKey != "" {
		f.addString(c.account, e.AccountKey)
	}
	if len(f.notes.list) > 0 {
		f.addString(c.notes, f.notes.text())
	}
	f.addText(c.raw, e.Raw)
	f.row.Cells = f.complete()
}

// setEvent sets the columns and the partition that only events have.
func (f *Flattener) setEvent(id []byte) {
	k, c, e := f.kind, &f.kind.columns, f.event
	day, dated := f.eventDate()
	f.row.Partition = f.places[k.table].at(f, k.table, day, dated)
	if rate, ok := f.intAt(c.rate); ok {
		f.addInt(c.rateAbs, int64(math.Float64bits(math.Abs(math.Float64frombits(uint64(rate))))))
	}
	f.row.UID = f.eventUID(day, dated, id)
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
}

// fixedCells are the cells that rows of one type, answer and kind of object have in common.
type fixedCells struct {
	made      bool
	call      string
	source    string
	fetchedAt time.Time
	object    schema.Object
	valid     bool // they are valid UTF-8
	row       columns.Row
}

// fixedCells are those of an event.
func (f *Flattener) fixedCells(k *kind, e *schema.Event) *fixedCells {
	x := &k.fixed
	if x.made && x.call == e.CallID && x.object == e.Entity.Object && x.source == e.Source && x.fetchedAt.Equal(e.FetchedAt) {
		return x
	}
	x.made, x.call, x.object, x.source, x.fetchedAt = true, e.CallID, e.Entity.Object, e.Source, e.FetchedAt
	x.valid = true
	x.row.Reset()
	c, signal := &k.columns, &k.signal
	x.addString(c.signalType, e.Type)
	x.addString(c.object, string(e.Entity.Object))
	x.addString(c.run, f.RunID)
	x.addString(c.call, e.CallID)
	x.addString(c.source, e.Source)
	x.addInt(c.version, columns.Int(int64(k.layout.table.Version)))
	x.addInt(c.fetchedAt, columns.TimeOrNull(e.FetchedAt))
	x.addInt(c.firstSeen, columns.TimeOrNull(e.FetchedAt))
	x.addInt(c.revision, columns.Int(1)) // until the sink has compared it with the lake
	x.addInt(c.isRisk, columns.Bool(signal.Risk))
	if signal.Trend != "" {
		x.addString(c.direction, string(signal.Trend))
	}
	if signal.WindowMonths > 0 {
		x.addInt(c.window, columns.Int(int64(signal.WindowMonths)))
	}
	return x
}

func (x *fixedCells) addString(column int, text string) {
	if column >= 0 {
		x.row.AddString(column, text)
		x.valid = x.valid && utf8.ValidString(text)
	}
}

func (x *fixedCells) addInt(column int, v columns.Value) {
	if column >= 0 && v.Set {
		x.row.AddInt(column, v.N)
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
	whole *schema.Partition
	byDay map[int64]*schema.Partition // or by the first day of a month; of what is dated
	other *schema.Partition           // of dates outside the span in which signals can exist
}

func (p *places) unpartitioned(table int) *schema.Partition {
	if p.whole == nil {
		p.whole = &schema.Partition{Table: schema.RowTables[table].Name}
	}
	return p.whole
}

// at is the partition of an event date. Dates outside the span in which signals can exist would litter
// the lake with partitions of one row.
func (p *places) at(f *Flattener, table int, day int64, dated bool) *schema.Partition {
	if !dated || day < firstDay || day > lastDay {
		if p.other == nil {
			p.other = &schema.Partition{Table: schema.RowTables[table].Name, Key: f.PartitionBy, Value: schema.UnknownPartition}
			if f.PartitionBy == schema.ByDay && f.Version >= 3 {
				p.other.Value = schema.UnknownDay
			}
		}
		return p.other
	}
	if p.byDay == nil {
		p.byDay = map[int64]*schema.Partition{}
	}
	if p.byDay[day] == nil {
		p.add(f.PartitionBy, table, day)
	}
	return p.byDay[day]
}

// add adds the partition of a day; by month, it is that of the month's first day.
func (p *places) add(by string, table int, day int64) {
	t := time.Unix(day*86400, 0).UTC()
	named, value := day, t.Format(time.DateOnly)
	if by != schema.ByDay {
		named, value = day-int64(t.Day())+1, t.Format("2006-01")
	}
	if p.byDay[named] == nil {
		p.byDay[named] = &schema.Partition{Table: schema.RowTables[table].Name, Key: by, Value: value}
	}
	p.byDay[day] = p.byDay[named]
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
