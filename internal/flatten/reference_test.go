package flatten

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/columns"
	"github.com/siglake/siglake/schema"
)

// This file is a second, plain reading of records: with encoding/json, strings and maps, without any
// regard to speed. It states the rules of typing, of event_uid and of content_digest once more, so that
// FuzzFlatten can judge the fast one by it.

// member is a member of an object, in the order of the text; objects may repeat names.
type member struct {
	name string
	raw  json.RawMessage
}

// membersOf are the members of an object; none of any other value.
func membersOf(raw []byte) (list []member) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if token, err := d.Token(); err != nil || token != json.Delim('{') {
		return nil
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			panic(err)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			panic(err)
		}
		list = append(list, member{name.(string), value})
	}
	return list
}

// elementsOf are the elements of a list; another value than null is its own single element.
func elementsOf(raw []byte) (list []json.RawMessage) {
	if raw = bytes.TrimSpace(raw); raw[0] != '[' && raw[0] != 'n' {
		return []json.RawMessage{raw}
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		panic(err)
	}
	return list
}

// textOf is the content of a string, or the spelling of another scalar.
func textOf(raw []byte) (text string) {
	if raw[0] != '"' {
		return string(raw)
	}
	if err := json.Unmarshal(raw, &text); err != nil {
		panic(err)
	}
	return text
}

func isNested(raw []byte) bool { return raw[0] == '{' || raw[0] == '[' }
func isNull(raw []byte) bool   { return raw[0] == 'n' }

// canonical is JSON with sorted members and without spaces.
func canonical(raw []byte) string {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		panic(err)
	}
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// hashOf is the hash of texts with their lengths.
func hashOf(parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		_ = binary.Write(h, binary.BigEndian, int64(len(part)))
		h.Write([]byte(part))
	}
	return hex.EncodeToString(h.Sum(nil))[:32]
}

// reading is a record that is read.
type reading struct {
	version int
	table   schema.Table
	signal  schema.Signal
	event   schema.Event
	topic   []byte
	values  map[string]columns.Value
	ranks   map[string]int
	notes   []string
	facts   [][2]string
}

// columnsOf are the columns that read a path, with its rank in each.
func (r *reading) columnsOf(path string) (list []schema.Column, ranks []int) {
	for _, c := range r.table.Columns {
		if rank := slices.Index(c.From, path); rank >= 0 {
			list, ranks = append(list, c), append(ranks, rank)
		}
	}
	return list, ranks
}

// hasNested reports whether columns read members of a field.
func (r *reading) hasNested(name string) bool {
	return slices.ContainsFunc(r.table.Columns, func(c schema.Column) bool {
		return slices.ContainsFunc(c.From, func(path string) bool { return strings.HasPrefix(path, name+".") && !strings.Contains(name, ".") })
	})
}

func (r *reading) read(raw []byte, prefix string) {
	for _, m := range membersOf(raw) {
		path := prefix + m.name
		list, ranks := r.columnsOf(path)
		nested := prefix == "" && r.hasNested(m.name)
		if nested && !isNull(m.raw) {
			if m.raw[0] != '{' && len(list) == 0 {
				r.notes = append(r.notes, m.name+": not an object: "+truncate(textOfAny(m.raw), 60))
			}
			r.read(m.raw, m.name+".")
		}
		if !(nested && m.raw[0] == '{') && !(r.topic != nil && path == "detectedTopics") {
			r.state(path, list, m.raw)
		}
		for i, c := range list {
			if rank, ok := r.ranks[c.Name]; ok && rank < ranks[i] {
				continue
			}
			v, problem := typed(c, m.raw)
			if problem != "" {
				r.notes = append(r.notes, path+": "+problem)
			}
			if v.Set {
				r.values[c.Name], r.ranks[c.Name] = v, ranks[i]
			}
		}
	}
}

// textOfAny is textOf for a value of any kind.
func textOfAny(raw []byte) string {
	if isNested(raw) {
		return string(raw)
	}
	return textOf(raw)
}

// state adds what a member states to the facts.
func (r *reading) state(path string, list []schema.Column, raw []byte) {
	name, text := path, ""
	if len(list) > 0 {
		name, text = list[0].From[0], factOf(list[0], raw)
	} else {
		text = plain(raw)
	}
	if text != "" {
		r.facts = append(r.facts, [2]string{name, text})
	}
}

func plain(raw []byte) string {
	switch {
	case isNull(raw):
		return ""
	case !isNested(raw):
		return textOf(raw)
	}
	if text := canonical(raw); text != "[]" && text != "{}" {
		return text
	}
	return ""
}

// factOf is the value of a member as content digests have it.
func factOf(c schema.Column, raw []byte) string {
	v, problem := typed(c, raw)
	switch {
	case problem != "":
		return plain(raw)
	case !v.Set:
		return ""
	case c.List == schema.ListJSON:
		return plain([]byte(v.Text))
	case c.Type == schema.String && c.AnyCase:
		return strings.ToLower(v.Text)
	case c.Type == schema.String:
		return v.Text
	case c.Type != schema.Double:
		return strconv.FormatInt(v.N, 10)
	}
	text := strings.TrimSpace(textOf(raw))
	if n, ok := exactInteger(text); ok {
		text = strconv.FormatInt(n, 10)
	} else if math.Abs(v.Float64()) < 1<<53 {
		text = strconv.FormatFloat(v.Float64(), 'g', -1, 64)
	}
	if c.AnySign {
		text = strings.TrimPrefix(text, "-")
	}
	return text
}

// typed is a value as a column has it, or why it has none.
func typed(c schema.Column, raw []byte) (v columns.Value, problem string) {
	notA := func(text string) string {
		return "not a " + strings.ToLower(c.Type.String()) + ": " + truncate(text, 60)
	}
	switch {
	case isNull(raw):
		return v, ""
	case c.List == schema.ListJSON:
		var b bytes.Buffer
		if err := json.Compact(&b, raw); err != nil {
			panic(err)
		}
		if raw[0] != '[' {
			return columns.Text("[" + b.String() + "]"), ""
		}
		return columns.Text(b.String()), ""
	case isNested(raw) && c.List == schema.ListJoined:
		return joined(raw, notA)
	case isNested(raw):
		return v, notA(string(raw))
	case c.Host:
		return columns.TextOrNull(schema.BareHost(textOf(raw))), ""
	case c.Type == schema.String:
		return columns.Text(textOf(raw)), ""
	}
	text := strings.TrimSpace(textOf(raw))
	if text == "" {
		return v, ""
	}
	v, plausible := number(c.Type, text)
	if !plausible {
		return columns.Value{}, "outside 1900 to 2200: " + truncate(text, 60)
	}
	if !v.Set {
		return v, notA(text)
	}
	return v, ""
}

// number is a value of another type than String.
func number(t schema.Type, text string) (v columns.Value, plausible bool) {
	switch t {
	case schema.Int64:
		if n, ok := exactInteger(text); ok {
			v = columns.Int(n)
		}
	case schema.Double:
		if f, err := strconv.ParseFloat(text, 64); err == nil && decimalSpelling.MatchString(text) {
			v = columns.Double(f)
		}
	case schema.Bool:
		if text == "true" || text == "false" {
			v = columns.Bool(text == "true")
		}
	case schema.Date:
		if timestampSpelling.MatchString(text) {
			text = text[:10]
		}
		if t, err := time.Parse("2006-01-02", text); err == nil {
			v = columns.Int(int64(math.Floor(float64(t.Unix()) / 86400)))
			return v, t.Year() >= 1900 && t.Year() <= 2200
		}
	}
	return v, true
}

func joined(raw []byte, notA func(string) string) (v columns.Value, problem string) {
	var parts []string
	for _, e := range elementsOf(raw) {
		readable := !isNested(e)
		if readable && !isNull(e) {
			parts = append(parts, textOf(e))
		}
		for _, m := range membersOf(e) {
			if m.name == "value" {
				if readable = true; !isNull(m.raw) {
					parts = append(parts, textOfAny(m.raw))
				}
			}
		}
		if !readable && problem == "" {
			problem = notA(string(e))
		}
	}
	return columns.TextOrNull(strings.Join(parts, "; ")), problem
}

var (
	decimalSpelling   = regexp.MustCompile(`^[-+.0-9eE]+$`)
	timestampSpelling = regexp.MustCompile(`^[^\x80-\x{10ffff}]{10}[T ]`)
	tokenSpelling     = regexp.MustCompile(`^v[0-9]+\.`)
)

var integerSpelling = regexp.MustCompile(`^([-+]?)([0-9]*)(?:\.([0-9]*))?(?:[eE]([-+]?[0-9]+))?$`)

// exactInteger is an integer, which may be written with a fraction of zeros or an exponent up to 30. The
// zeros that a negative exponent takes away are written.
func exactInteger(text string) (int64, bool) {
	m := integerSpelling.FindStringSubmatch(text)
	if m == nil || m[2]+m[3] == "" {
		return 0, false
	}
	exponent := 0
	if m[4] != "" {
		var err error
		if exponent, err = strconv.Atoi(m[4]); err != nil || exponent < -30 || exponent > 30 {
			return 0, false
		}
	}
	digits, shift := m[2]+m[3], exponent-len(m[3])
	if shift < 0 {
		if len(digits) <= -shift || strings.Trim(digits[len(digits)+shift:], "0") != "" {
			return 0, false
		}
		digits = digits[:len(digits)+shift]
	} else {
		digits += strings.Repeat("0", shift)
	}
	n, err := strconv.ParseInt(m[1]+digits, 10, 64)
	return n, err == nil
}

// date is the date of the event.
func (r *reading) date() columns.Value {
	for _, column := range []string{"signal_date", "article_published_date", "event_effective_date", "activity_publication_date"} {
		if v := r.values[column]; v.Set {
			return v
		}
	}
	return columns.Value{}
}

func (r *reading) text(column string) string { return r.values[column].Text }

// entityID is the id of the entity, from the answer or the record.
func (r *reading) entityID() string {
	switch {
	case r.event.Entity.ID != "":
		return r.event.Entity.ID
	case r.event.Origin != nil:
		id := ""
		for _, m := range membersOf(r.event.Raw) {
			if !slices.Contains([]string{"id", "contactId", "personId", "companyId"}, m.name) || isNull(m.raw) {
				continue
			}
			if s := textOfAny(m.raw); s != "" && (id == "" || m.name == "id") {
				id = s
			}
		}
		return id
	case r.event.Entity.Object == schema.Contact:
		return cmp.Or(r.text("person_id"), r.text("company_id"))
	}
	return cmp.Or(r.text("company_id"), r.text("person_id"))
}

// who is whom the event is about: an id that is no token, else a token, else what was requested.
func (r *reading) who() (kind, text string) {
	own := r.text("company_id")
	if r.event.Entity.Object == schema.Contact {
		own = r.text("person_id")
	}
	ids := []string{own, r.event.Entity.ID, ""}
	if r.event.RequestedBy == schema.ByID {
		ids[2] = r.event.Requested
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return id == "" })
	for _, id := range ids {
		if !tokenSpelling.MatchString(id) {
			return "id", id
		}
	}
	if len(ids) > 0 {
		return "id", ids[0]
	}
	return string(r.event.RequestedBy), r.event.Requested
}

func (r *reading) lower(columns ...string) (texts []string) {
	for _, column := range columns {
		texts = append(texts, strings.ToLower(r.text(column)))
	}
	return texts
}

// uid is the id of the event.
func (r *reading) uid() string {
	day := ""
	if d := r.date(); d.Set {
		day = strconv.FormatInt(d.N, 10)
	}
	if r.version < 3 {
		return r.uid2(day)
	}
	kind, subject := r.who()
	parts := []string{"event 3", string(r.event.Entity.Object), kind, subject, r.event.Type}
	id := r.text("signal_id")
	switch {
	case r.signal.Record == "person":
		parts = append(parts, "date", day)
	case id != "":
		parts = append(parts, "id", id)
		parts = append(parts, r.lower("topic_name")...)
		if r.topic != nil {
			parts = append(parts, r.lower("country", "state", "city")...)
		}
	default:
		parts = append(parts, r.natural(day)...)
	}
	if r.topic != nil && r.text("topic_name") == "" {
		parts = append(parts, canonical(r.topic))
	}
	return hashOf(parts...)
}

// natural is what tells the event apart without an id.
func (r *reading) natural(day string) []string {
	keys := schema.EventKeys[r.signal.Record]
	for _, key := range keys {
		if r.text(key[0]) != "" {
			return slices.Concat([]string{"key", day}, key, r.lower(key...))
		}
	}
	if r.signal.Key != "" && len(keys) == 0 {
		return []string{"key", day}
	}
	return []string{"content", canonical(r.event.Raw)}
}

// uid2 is the id in versions of the schema up to 2.
func (r *reading) uid2(day string) string {
	var parts []string
	id := r.text("signal_id")
	switch {
	case id != "":
		parts = []string{"signal", r.event.Type, id, r.text("topic_name")}
	case r.signal.Record == "person":
		parts = []string{"person", r.event.Type, cmp.Or(r.text("person_id"), r.entityID()), day, r.text("current_company_id"), strings.ToLower(r.text("current_title"))}
	case r.signal.Key != "":
		parts = append([]string{"company", r.event.Type, cmp.Or(r.text("company_id"), r.entityID()), day},
			r.lower("department", "country", "state", "city", "event_type", "article_url", "external_job_id", "topic_name", "activity_url")...)
	default:
		parts = []string{"other", r.event.Type, r.entityID(), string(r.event.Raw)}
	}
	if r.topic != nil && r.text("topic_name") == "" {
		parts = append(parts, string(r.topic))
	} else if r.topic != nil && id != "" {
		parts = append(parts, r.lower("country", "state", "city")...)
	}
	return hashOf(parts...)
}

// productUID is the id of a product's row.
func (r *reading) productUID() string {
	e, o, id := &r.event, r.event.Origin, r.entityID()
	parts := []string{e.Type, string(e.Entity.Object), id, string(o.Identifier), o.Text, o.SeedSet, o.Session, o.Site, o.Since, o.Until}
	if id == "" {
		parts = append(parts, string(e.Raw))
		if r.version >= 3 {
			parts = append(parts, string(e.RequestedBy), e.Requested)
		}
	}
	return hashOf(parts...)
}

// digest is the digest of the content.
func (r *reading) digest() string {
	own := "companyId"
	if r.event.Entity.Object == schema.Contact {
		own = "personId"
	}
	seen, parts := map[[2]string]bool{}, []string{"content 1"}
	slices.SortFunc(r.facts, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	for _, fact := range r.facts {
		if !seen[fact] && fact[0] != own && fact[0] != "signalId" {
			parts = append(parts, fact[:]...)
		}
		seen[fact] = true
	}
	if r.event.Raw[0] != '{' {
		parts = append(parts, string(r.event.Raw))
	}
	return hashOf(parts...)
}
