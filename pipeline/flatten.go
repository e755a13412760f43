package pipeline

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/jsonscan"
	"github.com/siglake/siglake/schema"
)

// row is one event with a typed value for every column of its table.
type row struct {
	table     int // index in schema.RowTables
	uid       string
	partition schema.Partition
	values    []value // one per column
}

// value is one typed cell. Strings are in s, everything else in n: an integer, the bits of a
// double, 0 or 1, days since 1970, or microseconds since 1970.
type value struct {
	set bool
	s   string
	n   int64
}

func stringValue(s string) value { return value{set: true, s: s} }
func intValue(n int64) value     { return value{set: true, n: n} }
func boolValue(b bool) value {
	if b {
		return intValue(1)
	}
	return intValue(0)
}
func doubleValue(f float64) value { return value{set: true, n: int64(math.Float64bits(f))} }
func timeValue(t time.Time) value { return value{set: true, n: t.UnixMicro()} }
func (v value) double() float64   { return math.Float64frombits(uint64(v.n)) }
func dateValue(s string) value {
	n, ok := parseDate(s)
	return value{set: ok && isPlausible(time.Unix(n*86400, 0)), n: n}
}
func optionalTime(t time.Time) value {
	if t.IsZero() {
		return value{}
	}
	return timeValue(t)
}
func optionalString(s string) value {
	if s == "" {
		return value{}
	}
	return stringValue(s)
}

// flattener types events. It is made once and used by one goroutine.
type flattener struct {
	runID       string
	partitionBy string        // schema.ByMonth or schema.ByDay
	version     int           // of the schema
	layouts     []tableLayout // one per schema.RowTables
	// What of the events differs from what the schema knows; nil: it is not looked at.
	drift *driftWatch
}

// tableLayout says, for one table, which columns the members of a record fill.
type tableLayout struct {
	table schema.Table
	index map[string]int // column name -> position
	// Record key ("author.id" if nested) -> columns.
	targets map[string][]columnTarget
	nested  map[string]bool // record keys with nested members
	unread  map[string]bool // documented keys that no column reads
	// Columns that every record of a layout fills, by schema.Signal.Record.
	always map[string][]int
}

// columnTarget is a column that reads a key; lower ranks take precedence.
type columnTarget struct{ column, rank int }

func newFlattener(runID, partitionBy string, version int) *flattener {
	f := &flattener{runID: runID, partitionBy: partitionBy, version: version}
	for _, t := range schema.RowTables {
		t = t.AsOf(version)
		layout := tableLayout{table: t, index: map[string]int{}, targets: map[string][]columnTarget{}, nested: map[string]bool{}, unread: map[string]bool{}, always: map[string][]int{}}
		for i, c := range t.Columns {
			layout.index[c.Name] = i
			for rank, key := range c.From {
				layout.targets[key] = append(layout.targets[key], columnTarget{i, rank})
				if outer, _, found := strings.Cut(key, "."); found {
					layout.nested[outer] = true
				}
			}
		}
		layout.expect()
		f.layouts = append(f.layouts, layout)
	}
	return f
}

// expect notes what the schema says about the records of the table.
func (l *tableLayout) expect() {
	for _, key := range schema.UnreadFields[schema.Category(l.table.Name)] {
		l.unread[key] = true
	}
	for _, s := range schema.Signals {
		if string(s.Category) != l.table.Name || l.always[s.Record] != nil {
			continue
		}
		for _, column := range schema.RecordLayouts[s.Record].Always {
			if i, ok := l.index[column]; ok {
				l.always[s.Record] = append(l.always[s.Record], i)
			}
		}
	}
}

// dateFields are the dates of a record, in the order in which they become the date of the event. It
// is unknown by which of them the API's window filters, so an event outside the window is kept.
var dateFields = [len(recordDates{})]string{"signal_date", "article_published_date", "event_effective_date", "activity_publication_date"}

// flattenEvent types one event. It yields one row, except for an intent record with several nested
// topics: those become one row each, with the same raw unless they are many.
func (f *flattener) flattenEvent(e schema.Event) []row {
	signal, known := schema.LookupSignal(e.Type)
	category := categoryOf(e.Type)
	layout := &f.layouts[tableIndex(category)]
	drift := f.watchEvent(&e, layout.table.Name, known)
	var topics [][]byte
	if category == schema.CategoryIntent {
		for key, raw := range jsonscan.Members(e.Raw) {
			if key == "detectedTopics" {
				for topic := range jsonscan.Elements(raw) {
					topics = append(topics, topic)
				}
			}
		}
	}
	if len(topics) == 0 {
		return []row{f.newRow(layout, signal, e, nil, drift)}
	}
	rows := make([]row, 0, len(topics))
	var rest jsonscan.ObjectBuilder
	divided := len(topics) > maxWholeTopics && f.version >= 3
	if divided {
		for key, raw := range jsonscan.Members(e.Raw) {
			if key != "detectedTopics" {
				rest.Add([]byte(key), raw)
			}
		}
	}
	for i, topic := range topics {
		part := e
		if divided {
			own := rest.Clone()
			own.Add([]byte("detectedTopics"), slices.Concat([]byte("["), topic, []byte("]")))
			part.Raw = own.Build()
			part.Note = strings.TrimPrefix(fmt.Sprintf("%s; topic %d of %d of one record", e.Note, i+1, len(topics)), "; ")
		}
		rows = append(rows, f.newRow(layout, signal, part, topic, drift))
	}
	return rows
}

// maxWholeTopics is the number of topics up to which each row of an intent record has all of it as
// its raw. Beyond, it has the record with its own topic only: each row with all of them would take
// the square of their number.
const maxWholeTopics = 100

// newRow types one event; topic is the nested topic that the row is about, or nil. drift, if not nil,
// notes what differs from what the schema knows.
func (f *flattener) newRow(layout *tableLayout, signal schema.Signal, e schema.Event, topic []byte, drift *eventDrift) row {
	b := rowBuilder{layout: layout, drift: drift, values: make([]value, len(layout.table.Columns)), ranks: map[int]int{}, listsAllNotes: f.version < 3}
	b.content.wanted, b.content.topic = f.version >= 3 && e.Origin == nil, topic != nil
	if e.Note != "" {
		b.note(e.Note)
	}
	b.readRecord(e.Raw, "")
	if topic != nil {
		b.readRecord(topic, "")
	}
	drift.noteRow(&b, signal.Record)
	b.setSignal(signal)
	date, entityID := b.eventDate(), b.entityID(e)
	r := row{table: tableIndex(schema.Category(layout.table.Name)), partition: schema.Partition{Table: layout.table.Name}, values: b.values}
	if e.Origin != nil {
		b.setOrigin(e.Origin)
		r.uid = f.productUID(e, entityID)
		b.set("row_uid", stringValue(r.uid))
	} else {
		r.partition.Key, r.partition.Value = f.partitionBy, f.partitionValue(date)
		r.uid = f.eventUID(&b, signal, e, topic, date)
		b.set("event_uid", stringValue(r.uid))
		b.set("first_seen_at", optionalTime(e.FetchedAt))
		b.set("revision", intValue(1)) // until the sink has compared it with the lake
		b.set("summary_text", optionalString(Summarize(signal, &b)))
		if kind := b.get("event_type"); kind.set {
			b.set("event_type_norm", stringValue(schema.NormalizeNewsType(kind.s)))
		}
		b.set(schema.ContentDigest, stringValue(b.content.digest(e.Entity.Object, e.Raw)))
	}
	b.set("signal_type", stringValue(e.Type))
	b.set("object_type", stringValue(string(e.Entity.Object)))
	b.set("entity_id", optionalString(entityID))
	b.set("account_key", optionalString(e.AccountKey))
	b.set("event_date", date)
	b.set("fetched_at", optionalTime(e.FetchedAt))
	b.set("run_id", stringValue(f.runID))
	b.set("call_id", stringValue(e.CallID))
	b.set("ingest_source", stringValue(e.Source))
	b.set("schema_version", intValue(int64(layout.table.Version)))
	b.set("notes", optionalString(b.noteText()))
	b.set("raw", stringValue(string(e.Raw)))
	return r
}

// rowBuilder fills the columns of one row.
type rowBuilder struct {
	layout *tableLayout
	values []value     // one per column
	ranks  map[int]int // of the keys that the columns were read from
	notes  []string
	cut    int // further notes
	// As the rows of earlier schema versions do.
	listsAllNotes bool
	// What the record states.
	content content
	drift   *eventDrift
}

// maxNotes is the number of notes that a row lists. A record may repeat a member any number of times.
const maxNotes = 20

func (b *rowBuilder) note(text string) {
	if len(b.notes) >= maxNotes && !b.listsAllNotes {
		b.cut++
		return
	}
	b.notes = append(b.notes, text)
}

// noteText is the text of the notes.
func (b *rowBuilder) noteText() string {
	text := strings.Join(b.notes, "; ")
	if b.cut > 0 {
		text += fmt.Sprintf("; and %d more", b.cut)
	}
	return text
}

// set sets a column, if the table has it.
func (b *rowBuilder) set(column string, v value) {
	if i, ok := b.layout.index[column]; ok {
		b.values[i] = v
	}
}

// get is the value of a column; null if the table does not have it.
func (b *rowBuilder) get(column string) value {
	if i, ok := b.layout.index[column]; ok {
		return b.values[i]
	}
	return value{}
}

// readRecord fills the columns for the members of a record. A member that cannot be typed leaves
// its column null and adds a note.
func (b *rowBuilder) readRecord(raw []byte, prefix string) {
	l := b.layout
	for key, val := range jsonscan.Members(raw) {
		path := prefix + key
		if prefix == "" && l.nested[key] && !jsonscan.IsNull(val) {
			if val[0] != '{' && len(l.targets[path]) == 0 {
				b.note(fmt.Sprintf("%s: not an object: %s", key, truncate(jsonscan.Text(val), 60)))
			}
			b.readRecord(val, key+".")
		}
		b.content.add(l, path, val)
		targets := l.targets[path]
		if len(targets) == 0 {
			b.drift.noteField(l, path, val)
		}
		for _, t := range targets {
			if rank, ok := b.ranks[t.column]; ok && rank < t.rank {
				continue
			}
			v, problem := parseValue(l.table.Columns[t.column], val)
			if problem != "" {
				b.note(fmt.Sprintf("%s: %s", path, problem))
				b.drift.noteProblem(t.column, l.table.Columns[t.column].Type, path, val, problem)
			}
			if v.set {
				b.values[t.column], b.ranks[t.column] = v, t.rank
			}
		}
	}
}

// setSignal sets the columns that the catalogue knows about a signal type.
func (b *rowBuilder) setSignal(signal schema.Signal) {
	if rate := b.get("change_rate_percent"); rate.set {
		b.set("change_rate_percent_abs", doubleValue(math.Abs(rate.double())))
	}
	b.set("direction", optionalString(string(signal.Trend)))
	if signal.WindowMonths > 0 {
		b.set("window_months", intValue(int64(signal.WindowMonths)))
	}
	b.set("is_risk", boolValue(signal.Risk))
}

// eventDate is the first date that the record has.
func (b *rowBuilder) eventDate() (date value) {
	for _, field := range dateFields {
		if date = b.get(field); date.set {
			break
		}
	}
	return date
}

// entityID is the id of the event's entity: from the answer, else from the record.
func (b *rowBuilder) entityID(e schema.Event) string {
	switch {
	case e.Entity.ID != "":
		return e.Entity.ID
	case e.Origin != nil:
		return resultID(e.Raw)
	}
	person, company := b.get("person_id").s, b.get("company_id").s // an unknown record may have both
	if e.Entity.Object == schema.Contact {
		return cmp.Or(person, company)
	}
	return cmp.Or(company, person)
}

// setOrigin sets the columns about the request for a product's result.
func (b *rowBuilder) setOrigin(o *schema.Origin) {
	if name := strings.TrimSpace(b.get("first_name").s + " " + b.get("last_name").s); !b.get("name").set {
		b.set("name", optionalString(name))
	}
	b.set("identifier_type", optionalString(string(o.Identifier)))
	b.set("identifier", optionalString(o.Text))
	b.set("seed_set", optionalString(o.SeedSet))
	b.set("session_id", optionalString(o.Session))
	b.set("rank", intValue(o.Rank))
	b.set("site", optionalString(o.Site))
	b.set("window_start", dateValue(o.Since))
	b.set("window_end", dateValue(o.Until))
	b.set("scored_on", dateValue(o.Until))
}

// partitionValue is the Hive value of an event date. Dates outside the span in which signals can
// exist would litter the lake with partitions of one row.
func (f *flattener) partitionValue(date value) string {
	byDay := f.partitionBy == schema.ByDay
	t := time.Unix(date.n*86400, 0).UTC()
	if y := t.Year(); !date.set || y < schema.FirstYear || y > schema.LastYear {
		if byDay && f.version >= 3 {
			return schema.UnknownDay
		}
		return schema.UnknownPartition
	}
	if byDay {
		return t.Format(time.DateOnly)
	}
	return t.Format("2006-01")
}

// resultID is the id that a product's result states for itself.
func resultID(raw []byte) (id string) {
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

// tableIndex is the index of a dataset's table in schema.RowTables.
func tableIndex(c schema.Category) int {
	if i, ok := tableIndexes[c]; ok {
		return i
	}
	return tableIndexes[schema.CategoryOther]
}

var tableIndexes = func() map[schema.Category]int {
	m := map[schema.Category]int{}
	for i, t := range schema.RowTables {
		m[schema.Category(t.Name)] = i
	}
	return m
}()

// parseValue parses one JSON value as the type of a column. It is liberal if the meaning is clear
// (a number in quotes, a timestamp for a date); else it describes the problem and leaves the value
// null.
func parseValue(c schema.Column, raw []byte) (v value, problem string) {
	if jsonscan.IsNull(raw) {
		return value{}, ""
	}
	if raw[0] == '{' || raw[0] == '[' || c.List == schema.ListJSON {
		return parseList(c, raw)
	}
	s := jsonscan.Text(raw)
	if c.Host {
		return optionalString(schema.BareHost(s)), ""
	}
	if c.Type == schema.String {
		return stringValue(s), ""
	}
	s = strings.TrimSpace(s)
	if s == "" {
		return value{}, ""
	}
	ok := false
	switch c.Type {
	case schema.Int64:
		v.n, ok = parseInteger(s)
	case schema.Double:
		f, err := strconv.ParseFloat(s, 64)
		v, ok = doubleValue(f), err == nil && !math.IsInf(f, 0) && !math.IsNaN(f) && !strings.ContainsAny(s, "xX_")
	case schema.Bool:
		v.n, ok = map[string]int64{"true": 1, "false": 0}[s]
	case schema.Date:
		if v.n, ok = parseDate(s); ok && !isPlausible(time.Unix(v.n*86400, 0)) {
			return value{}, implausibleDate(s)
		}
	case schema.Time:
		t, err := time.Parse(time.RFC3339Nano, s)
		if err == nil && !isPlausible(t) {
			return value{}, implausibleDate(s)
		}
		v, ok = timeValue(t), err == nil
	}
	if !ok {
		return value{}, fmt.Sprintf("not a %s: %s", strings.ToLower(c.Type.String()), truncate(s, 60))
	}
	v.set = true
	return v, ""
}

// isPlausible reports whether a date of a record can be meant. Vendors write 0001-01-01 for no
// date, and pandas and Spark fail on a whole file because of one.
func isPlausible(t time.Time) bool {
	year := t.UTC().Year()
	return firstYear <= year && year <= lastYear
}

// firstYear and lastYear bound the dates of records.
const firstYear, lastYear = 1900, 2200

func implausibleDate(s string) string {
	return fmt.Sprintf("%s%d to %d: %s", implausible, firstYear, lastYear, truncate(s, 60))
}

// implausible begins the problem of a date that is one, but cannot be meant.
const implausible = "outside "

// parseList parses a list or an object into a String column. For ListJSON, a single value becomes a
// list of one.
func parseList(c schema.Column, raw []byte) (v value, problem string) {
	problemWith := func(raw []byte) string {
		return fmt.Sprintf("not a %s: %s", strings.ToLower(c.Type.String()), truncate(string(raw), 60))
	}
	switch c.List {
	case schema.ListJSON:
		var b bytes.Buffer
		if err := json.Compact(&b, raw); err != nil {
			return value{}, problemWith(raw)
		}
		if raw[0] != '[' {
			return stringValue("[" + b.String() + "]"), ""
		}
		return stringValue(b.String()), ""
	case schema.ListJoined:
		var parts []string
		for e := range jsonscan.Elements(raw) {
			named := e[0] != '{' && e[0] != '['
			if named && !jsonscan.IsNull(e) {
				parts = append(parts, jsonscan.Text(e))
			}
			for key, val := range jsonscan.Members(e) {
				if key == "value" {
					if named = true; !jsonscan.IsNull(val) {
						parts = append(parts, jsonscan.Text(val))
					}
				}
			}
			if !named && problem == "" {
				problem = problemWith(e)
			}
		}
		return optionalString(strings.Join(parts, "; ")), problem
	default:
		return value{}, problemWith(raw)
	}
}

// parseInteger parses an integer exactly. It accepts a fraction of zeros and an exponent that
// leaves an integer.
func parseInteger(s string) (int64, bool) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, true
	}
	mantissa, exponent, hasExponent := strings.Cut(strings.ToLower(s), "e")
	if !strings.ContainsAny(mantissa, "0123456789") {
		return 0, false
	}
	shift := 0
	if hasExponent {
		var err error
		if shift, err = strconv.Atoi(exponent); err != nil || shift < -30 || shift > 30 {
			return 0, false
		}
	}
	integer, fraction, _ := strings.Cut(mantissa, ".")
	digits := integer + fraction
	shift -= len(fraction)
	for ; shift < 0; shift++ {
		if !strings.HasSuffix(digits, "0") {
			return 0, false
		}
		digits = digits[:len(digits)-1]
	}
	n, err := strconv.ParseInt(digits+strings.Repeat("0", shift), 10, 64)
	return n, err == nil
}

// parseDate parses a date, or the date of a timestamp, as days since 1970.
func parseDate(s string) (int64, bool) {
	if len(s) > 10 && (s[10] == 'T' || s[10] == ' ') {
		s = s[:10]
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return 0, false
	}
	return t.Unix() / 86400, true // midnight UTC: divides exactly, before 1970 too
}

// truncate cuts a text for a message, at a character boundary.
func truncate(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
