package flatten

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/columns"
	"github.com/siglake/siglake/schema"
)

// referenceRows are the rows of an event by the plain reading.
func referenceRows(o Options, e schema.Event) (rows []row) {
	signal, _ := schema.LookupSignal(e.Type)
	category := signal.Category
	if product, ok := schema.ProductCategory(e.Type); ok {
		category = product
	} else if signal.Key == "" {
		category = schema.CategoryOther
	}
	table, _ := schema.TableNamed(string(category))
	topics := []json.RawMessage{nil}
	if category == schema.CategoryIntent {
		var found []json.RawMessage
		for _, m := range membersOf(e.Raw) {
			if m.name == "detectedTopics" {
				found = append(found, elementsOf(m.raw)...)
			}
		}
		if len(found) > 0 {
			topics = found
		}
	}
	for i, topic := range topics {
		r := reading{version: o.Version, table: table.AsOf(o.Version), signal: signal, event: e, topic: topic, values: map[string]columns.Value{}, ranks: map[string]int{}}
		if len(topics) > maxWholeTopics && o.Version >= 3 {
			r.event.Raw = onlyTopic(e.Raw, topic)
			r.event.Note = strings.TrimPrefix(fmt.Sprintf("%s; topic %d of %d of one record", e.Note, i+1, len(topics)), "; ")
		}
		rows = append(rows, r.row(o))
	}
	return rows
}

// onlyTopic is a record with one of its topics, as its last member. Names that a record repeats are
// numbered.
func onlyTopic(raw, topic []byte) []byte {
	var parts []string
	seen := map[string]bool{}
	add := func(name string, value []byte) {
		unique := name
		for n := 2; seen[unique]; n++ {
			unique = fmt.Sprintf("%s#%d", name, n)
		}
		seen[unique] = true
		parts = append(parts, quoted(unique)+":"+string(value))
	}
	for _, m := range membersOf(raw) {
		if m.name != "detectedTopics" {
			add(m.name, m.raw)
		}
	}
	add("detectedTopics", slices.Concat([]byte("["), topic, []byte("]")))
	return []byte("{" + strings.Join(parts, ",") + "}")
}

// quoted is a JSON string with the escapes that it needs.
func quoted(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '"', r == '\\':
			b.WriteString(`\` + string(r))
		case r < ' ':
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return `"` + b.String() + `"`
}

// row is the row of a record.
func (r *reading) row(o Options) row {
	e := &r.event
	if e.Note != "" {
		r.notes = append(r.notes, e.Note)
	}
	r.read(e.Raw, "")
	if r.topic != nil {
		r.read(r.topic, "")
	}
	set := func(column string, v columns.Value) {
		if r.table.ColumnIndex(column) >= 0 {
			r.values[column] = v
		}
	}
	uid, p := "", schema.Partition{Table: r.table.Name}
	if e.Origin != nil {
		uid = r.productUID()
		r.setOrigin(set)
		set("row_uid", columns.Text(uid))
	} else {
		uid = r.uid()
		p.Key, p.Value = o.PartitionBy, r.partitionValue(o)
		r.setEvent(set, uid)
	}
	set("signal_type", columns.Text(e.Type))
	set("object_type", columns.Text(string(e.Entity.Object)))
	set("entity_id", columns.TextOrNull(r.entityID()))
	set("account_key", columns.TextOrNull(e.AccountKey))
	set("event_date", r.date())
	set("fetched_at", columns.TimeOrNull(e.FetchedAt))
	set("run_id", columns.Text(o.RunID))
	set("call_id", columns.Text(e.CallID))
	set("ingest_source", columns.Text(e.Source))
	set("schema_version", columns.Int(int64(r.table.Version)))
	set("raw", columns.Text(string(e.Raw)))
	notes := r.notes
	if len(notes) > 20 && r.version >= 3 {
		notes = append(notes[:20:20], "")
	}
	text := strings.TrimSuffix(strings.Join(notes, "; "), "; ")
	if len(r.notes) > 20 && r.version >= 3 {
		text += fmt.Sprintf("; and %d more", len(r.notes)-20)
	}
	set("notes", columns.TextOrNull(text))
	return r.inOrder(uid, p)
}

func (r *reading) inOrder(uid string, p schema.Partition) row {
	table := tableIndex(schema.Category(r.table.Name))
	out := row{table, uid, p, make([]columns.Value, len(schema.RowTables[table].Columns))}
	for i, c := range r.table.Columns {
		out.values[i] = r.values[c.Name]
	}
	return out
}

func (r *reading) setOrigin(set func(string, columns.Value)) {
	o := r.event.Origin
	if !r.values["name"].Set {
		set("name", columns.TextOrNull(strings.TrimSpace(r.text("first_name")+" "+r.text("last_name"))))
	}
	for column, text := range map[string]string{"identifier_type": string(o.Identifier), "identifier": o.Text, "seed_set": o.SeedSet, "session_id": o.Session, "site": o.Site} {
		set(column, columns.TextOrNull(text))
	}
	set("rank", columns.Int(o.Rank))
	for column, text := range map[string]string{"window_start": o.Since, "window_end": o.Until, "scored_on": o.Until} {
		if v, plausible := number(schema.Date, text); plausible {
			set(column, v)
		}
	}
}

func (r *reading) setEvent(set func(string, columns.Value), uid string) {
	set("event_uid", columns.Text(uid))
	if rate := r.values["change_rate_percent"]; rate.Set {
		set("change_rate_percent_abs", columns.Double(math.Abs(rate.Float64())))
	}
	set("direction", columns.TextOrNull(string(r.signal.Trend)))
	if r.signal.WindowMonths > 0 {
		set("window_months", columns.Int(int64(r.signal.WindowMonths)))
	}
	set("is_risk", columns.Bool(r.signal.Risk))
	set("first_seen_at", columns.TimeOrNull(r.event.FetchedAt))
	set("revision", columns.Int(1))
	set("summary_text", columns.TextOrNull(r.sentence()))
	if kind := r.values["event_type"]; kind.Set {
		set("event_type_norm", columns.Text(schema.NormalizeNewsType(kind.Text)))
	}
	set("content_digest", columns.Text(r.digest()))
}

func (r *reading) partitionValue(o Options) string {
	date := r.date()
	if t := time.Unix(date.N*86400, 0).UTC(); date.Set && t.Year() >= 2000 && t.Year() <= 2099 {
		if o.PartitionBy == schema.ByDay {
			return t.Format("2006-01-02")
		}
		return t.Format("2006-01")
	}
	if o.PartitionBy == schema.ByDay && r.version >= 3 {
		return "1970-01-01"
	}
	return "unknown"
}

// joinTexts joins the texts that are not blank.
func joinTexts(separator string, texts ...string) string {
	return strings.Join(slices.DeleteFunc(texts, func(text string) bool { return strings.TrimSpace(text) == "" }), separator)
}

// sentence is the summary of the event.
func (r *reading) sentence() string {
	count := func(format, column string) string {
		if v := r.values[column]; v.Set {
			return fmt.Sprintf(format, v.N)
		}
		return ""
	}
	first := func(columns ...string) string {
		for _, column := range columns {
			if text := r.text(column); strings.TrimSpace(text) != "" {
				return text
			}
		}
		return ""
	}
	place := joinTexts(", ", r.text("city"), r.text("state"), r.text("country"))
	text := ""
	switch r.signal.Record {
	case "news":
		text = first("event_summary", "article_title", "article_highlight")
	case "activity":
		text = first("activity_summary", "activity_type")
	case "person":
		before := r.text("previous_title")
		if r.signal.Key != "promotion" {
			before = joinTexts(" at ", before, r.text("previous_company_name"))
		}
		text = joinTexts(", before: ", joinTexts(" at ", r.text("current_title"), r.text("current_company_name")), before)
	case "headcount", "traffic", "itSpend":
		text = map[string]string{"headcount": "Headcount", "traffic": "Website traffic", "itSpend": "IT spend"}[r.signal.Record] + " " + string(r.signal.Trend)
		if rate := r.values["change_rate_percent_abs"]; rate.Set {
			text += " of " + strconv.FormatFloat(rate.Float64(), 'f', -1, 64) + " %"
		}
		switch m := r.signal.WindowMonths; m {
		case 0:
		case 1:
			text += " in a month"
		default:
			text += fmt.Sprintf(" in %d months", m)
		}
		if from, to := count(", from %d", "baseline_employees_count"), count(" to %d people", "new_employees_count"); from != "" && to != "" {
			text += from + to
		}
	case "surge", "surgeDepartment", "surgeLocation":
		text = joinTexts(" in ", "Hiring surge", joinTexts(", ", r.text("department"), place))
		if n := count(": %d jobs posted in four weeks", "new_jobs_posted_last_4_weeks"); n != "" {
			text += n
		} else {
			text += count(": %d jobs posted in a week", "new_jobs_posted_last_week")
		}
	case "jobPost":
		text = joinTexts(": ", "Job post", joinTexts(", ", r.text("job_title"), r.text("department"), place))
	case "location":
		text = joinTexts(": ", "New location", place)
	case "intent", "intentGeography":
		text = joinTexts(": ", "Interest", joinTexts(", ", r.text("topic_name"), place))
	case "visitors":
		text = "Website visits" + count(" of %d people", "unique_visitors") + count(" in %d sessions", "total_sessions")
	}
	for range 3 {
		if strings.ContainsAny(text, "<&") {
			text = withoutElements(text)
		}
	}
	return string(appendWords(nil, []byte(text)))
}

// fuzzKeys are the types of events and products.
func fuzzKeys() []string {
	keys := []string{"newsEvent", schema.ProductMatch, schema.ProductScore, schema.ProductLookalike, schema.ProductVisit}
	for _, s := range schema.Signals {
		keys = append(keys, s.Key)
	}
	return keys
}

// fuzzRecords are records to begin with: those that are documented, and every object of hard answers.
func fuzzRecords(t testing.TB) (records [][]byte) {
	t.Helper()
	files, err := filepath.Glob("../../testdata/golden/records/*.json")
	hard, _ := filepath.Glob("../../testdata/hard-answers/*.json")
	if err != nil || len(files) == 0 || len(hard) == 0 {
		t.Fatalf("%d records, %d answers, %v", len(files), len(hard), err)
	}
	for _, file := range slices.Concat(files, hard) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(string(text), "\n") {
			records = appendObjects(records, []byte(line))
		}
		records = appendObjects(records, text)
	}
	slices.SortFunc(records, bytes.Compare)
	return slices.CompactFunc(records, bytes.Equal)
}

// appendObjects appends the objects within a document that hold no other objects than a few.
func appendObjects(records [][]byte, doc []byte) [][]byte {
	if !json.Valid(doc) || len(doc) > 1<<16 {
		return records
	}
	if len(doc) < 4096 {
		records = append(records, doc)
	}
	for _, m := range membersOf(doc) {
		records = appendObjects(records, m.raw)
	}
	if strings.HasPrefix(strings.TrimSpace(string(doc)), "[") {
		for _, e := range elementsOf(doc) {
			records = appendObjects(records, e)
		}
	}
	return records
}

// FuzzFlatten compares the rows of any record, of every type and version of the schema, with those of
// the plain reading: every column, the notes, the id, the digest and the partition.
func FuzzFlatten(f *testing.F) {
	keys := fuzzKeys()
	for i, raw := range fuzzRecords(f) {
		f.Add(raw, uint8(i), uint8(i), uint8(i*7))
	}
	flatteners := map[Options]*Flattener{}
	f.Fuzz(func(t *testing.T, raw []byte, key, version, variant uint8) {
		if !json.Valid(raw) || !utf8.Valid(raw) || len(raw) > 1<<14 {
			return // the reader of answers passes on no such record
		}
		o := Options{RunID: "run-1", PartitionBy: schema.ByMonth, Version: schema.OldestVersion + int(version)%(schema.Version-schema.OldestVersion+1)}
		if variant&1 > 0 {
			o.PartitionBy = schema.ByDay
		}
		if flatteners[o] == nil {
			flatteners[o] = New(o)
		}
		e := event(keys[int(key)%len(keys)], string(raw))
		varyEvent(&e, variant)
		got, want := rowsOf(t, flatteners[o], e), referenceRows(o, e)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(row{})); diff != "" {
			t.Fatalf("version %d, %s %s (-reference +rows):\n%s", o.Version, e.Type, raw, diff)
		}
	})
}

// varyEvent varies what the answer and the request say about an event.
func varyEvent(e *schema.Event, variant uint8) {
	if variant&2 > 0 {
		e.Entity.Object = schema.Contact
	}
	if variant&4 > 0 {
		e.Entity.ID = ""
	}
	if variant&8 > 0 {
		e.RequestedBy, e.Requested = schema.ByID, "v1.abc"
	} else if variant&16 > 0 {
		e.RequestedBy, e.Requested = schema.ByDomain, "a.example"
	}
	if variant&32 > 0 {
		e.Note, e.AccountKey, e.FetchedAt = "one place is not valid JSON; repaired", "", time.Time{}
	}
	if _, product := schema.ProductCategory(e.Type); product {
		e.Origin = &schema.Origin{Identifier: schema.ByDomain, Text: "a.example", Rank: 3, Site: "s", Since: "2026-01-01", Until: "2026-02-30"}
	}
}
