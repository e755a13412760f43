package flatten

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"

	"github.com/siglake/siglake/schema"
)

// eventUID derives the id of an event from three things: whom the event is about, its type, and
// what tells it apart from other events of that type about the same entity. The third is
//
//   - for persons the date alone, because titles and employers are not in every answer,
//   - the API's own event id, if there is one,
//   - the date and the natural key of the record (schema.EventKeys),
//   - the whole content, for types that are not in the catalogue and records without their key.
//
// Nothing else counts: neither measures and texts, which may be corrected, nor fields that are not in
// every answer, nor the run, the API version, or the spelling of the record. So the same event has
// the same id wherever it comes from. What it states besides is in its content digest.
func (f *Flattener) eventUID(day int64, dated bool, entityID []byte) []byte {
	var date []byte
	if dated {
		date = f.integerText(day)
	}
	if f.Version < 3 {
		return f.eventUID2(date, entityID)
	}
	e, h, c := f.event, &f.content.hash, &f.kind.columns
	kind, subject := f.subject()
	h.begin("event 3")
	h.addString(string(e.Entity.Object))
	h.addString(kind)
	h.add(subject)
	h.addString(e.Type)
	id := f.textAt(c.signalID)
	switch {
	case f.kind.signal.Record == "person":
		h.addString("date")
		h.add(date)
	case len(id) > 0:
		h.addString("id")
		h.add(id)
		f.hashColumn(c.topic)
		if f.content.topic {
			f.hashPlace()
		}
	default:
		f.hashNaturalKey(date)
	}
	if f.content.topic && len(f.textAt(c.topic)) == 0 { // topics of one record
		h.addString(canonicalJSON(f.topic))
	}
	return h.sum(&f.cells)
}

// hashNaturalKey hashes what tells the event apart from others of its type, entity and day. It is not
// known of types that are not in the catalogue, and if the record has none of the columns.
func (f *Flattener) hashNaturalKey(date []byte) {
	h, keys := &f.content.hash, f.kind.natural
	known := f.kind.known && len(keys) == 0
	var key naturalKey
	for _, k := range keys {
		if len(f.textAt(k.columns[0])) > 0 {
			key, known = k, true
			break
		}
	}
	if !known { // when in doubt, two events
		h.addString("content")
		h.addString(canonicalJSON(f.event.Raw))
		return
	}
	h.addString("key")
	h.add(date)
	for _, name := range key.names { // one list may look like another
		h.addString(name)
	}
	for _, column := range key.columns {
		f.hashColumn(column)
	}
}

// hashColumn hashes a text of the record. The API varies the case of its own vocabulary.
func (f *Flattener) hashColumn(column int) { f.content.hash.add(f.lower(f.textAt(column))) }

func (f *Flattener) hashPlace() {
	for _, name := range []string{"country", "state", "city"} {
		f.hashColumn(f.kind.column(name))
	}
}

// subject says whom an event is about, and how that is known: the id that the record states, else
// the id that the answer states, else the entity that was requested. An opaque token counts only
// if there is no other id, because the API does not say that an entity keeps its token.
func (f *Flattener) subject() (kind string, text []byte) {
	e := f.event
	stated := f.textAt(f.kind.columns.company)
	if e.Entity.Object == schema.Contact {
		stated = f.textAt(f.kind.columns.person)
	}
	if len(stated) > 0 && !isOpaque(stated) {
		return "id", stated
	}
	ids := [3][]byte{stated, f.keep(e.Entity.ID)}
	if e.RequestedBy == schema.ByID {
		ids[2] = f.keep(e.Requested)
	}
	for _, id := range ids {
		if len(id) > 0 && !isOpaque(id) {
			return "id", id
		}
	}
	for _, id := range ids {
		if len(id) > 0 {
			return "id", id
		}
	}
	return string(e.RequestedBy), f.keep(e.Requested)
}

// isOpaque reports whether an id is one of V3 that is no number: an encrypted text behind its version,
// "v1.".
func isOpaque(id []byte) bool {
	if len(id) == 0 || id[0] != 'v' {
		return false
	}
	digits := len(id[1:]) - len(bytes.TrimLeft(id[1:], "0123456789"))
	return digits > 0 && len(id) > 1+digits && id[1+digits] == '.'
}

// canonicalJSON is a text that is the same for values that differ in spaces and the order of
// members only. It is the value itself if that is no JSON.
func canonicalJSON(raw []byte) string {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return string(raw)
	}
	if _, err := d.Token(); err != io.EOF {
		return string(raw)
	}
	text, err := json.Marshal(v) // sorts members
	if err != nil {
		return string(raw)
	}
	return string(text)
}

// eventUID2 is eventUID up to version 2 of the schema. It left out the entity of an event with an
// id, and merged events of several entities if neither the record nor the answer stated ids.
func (f *Flattener) eventUID2(date, entityID []byte) []byte {
	e, h, c := f.event, &f.content.hash, &f.kind.columns
	id := f.textAt(c.signalID)
	switch {
	case len(id) > 0:
		h.begin("signal")
		h.addString(e.Type)
		h.add(id)
		h.add(f.textAt(c.topic))
	case f.kind.signal.Record == "person":
		h.begin("person")
		h.addString(e.Type)
		h.add(firstOf(f.textAt(c.person), entityID))
		h.add(date)
		h.add(f.textAt(f.kind.column("current_company_id")))
		f.hashColumn(f.kind.column("current_title"))
	case f.kind.known:
		h.begin("company")
		h.addString(e.Type)
		h.add(firstOf(f.textAt(c.company), entityID)) // the record's own id: the entity may have been requested by a token
		h.add(date)
		for _, name := range []string{"department", "country", "state", "city", "event_type", "article_url", "external_job_id", "topic_name", "activity_url"} {
			f.hashColumn(f.kind.column(name))
		}
	default:
		h.begin("other")
		h.addString(e.Type)
		h.add(entityID)
		h.add(e.Raw)
	}
	// Topics of one record may have the same name in several places, or no name.
	switch {
	case f.content.topic && len(f.textAt(c.topic)) == 0:
		h.add(f.topic)
	case f.content.topic && len(id) > 0:
		f.hashPlace()
	}
	return h.sum(&f.cells)
}

func firstOf(a, b []byte) []byte {
	if len(a) > 0 {
		return a
	}
	return b
}

// productUID derives the id of a product's row from the request and the entity.
func (f *Flattener) productUID(entityID []byte) []byte {
	e, h := f.event, &f.content.hash
	a := e.Origin
	h.begin(e.Type)
	h.addString(string(e.Entity.Object))
	h.add(entityID)
	for _, text := range []string{string(a.Identifier), a.Text, a.SeedSet, a.Session, a.Site, a.Since, a.Until} {
		h.addString(text)
	}
	if len(entityID) == 0 {
		h.add(e.Raw)
		if f.Version >= 3 {
			h.addString(string(e.RequestedBy))
			h.addString(e.Requested)
		}
	}
	return h.sum(&f.cells)
}

// hashInput collects texts for a hash, such that no two lists of texts yield the same bytes.
type hashInput []byte

// begin begins another list.
func (h *hashInput) begin(first string) {
	*h = emptied(*h)
	h.addString(first)
}

func (h *hashInput) add(text []byte) {
	*h = append(binary.BigEndian.AppendUint64(*h, uint64(len(text))), text...)
}

func (h *hashInput) addString(text string) {
	*h = append(binary.BigEndian.AppendUint64(*h, uint64(len(text))), text...)
}

// sum is the hash of the list, 128 bits in hex.
func (h *hashInput) sum(into *cells) []byte {
	sum, start := sha256.Sum256(*h), len(into.arena)
	into.arena = hex.AppendEncode(into.arena, sum[:16])
	return into.since(start)
}

// Hash is the hash of texts, as ids of rows are made of them: 128 bits in hex.
func Hash(parts ...string) string {
	var h hashInput
	for _, part := range parts {
		h.addString(part)
	}
	sum := sha256.Sum256(h)
	return hex.EncodeToString(sum[:16])
}
