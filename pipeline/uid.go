package pipeline

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"hash"
	"io"
	"regexp"
	"strconv"
	"strings"

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
func (f *flattener) eventUID(b *rowBuilder, signal schema.Signal, e schema.Event, topic []byte, date value) string {
	if f.version < 3 {
		return b.eventUID2(signal, e, topic, b.entityID(e), date)
	}
	h := sha256.New()
	kind, subject := b.subject(e)
	hashParts(h, "event 3", string(e.Entity.Object), kind, subject, e.Type)
	day := ""
	if date.set {
		day = strconv.FormatInt(date.n, 10)
	}
	id := b.get("signal_id").s
	switch {
	case signal.Record == "person":
		hashParts(h, "date", day)
	case id != "":
		hashParts(h, "id", id)
		b.hashColumns(h, "topic_name")
		if topic != nil {
			b.hashColumns(h, "country", "state", "city")
		}
	default:
		key, known := b.naturalKey(signal)
		if !known { // when in doubt, two events
			hashParts(h, "content", canonicalJSON(e.Raw))
			break
		}
		hashParts(h, "key", day)
		hashParts(h, key...) // with the names of the columns: one list may look like another
		b.hashColumns(h, key...)
	}
	if topic != nil && b.get("topic_name").s == "" { // topics of one record
		hashParts(h, canonicalJSON(topic))
	}
	return uidText(h)
}

// naturalKey names the columns that tell the event apart from others of its type, entity and day.
// It is not known of types that are not in the catalogue, and if the record has none of the columns.
func (b *rowBuilder) naturalKey(signal schema.Signal) (columns []string, known bool) {
	keys := schema.EventKeys[signal.Record]
	for _, key := range keys {
		if b.get(key[0]).s != "" {
			return key, true
		}
	}
	return nil, signal.Key != "" && len(keys) == 0
}

// hashColumns hashes texts of the record. The API varies the case of its own vocabulary.
func (b *rowBuilder) hashColumns(h hash.Hash, columns ...string) {
	for _, column := range columns {
		hashParts(h, strings.ToLower(b.get(column).s))
	}
}

// subject says whom an event is about, and how that is known: the id that the record states, else
// the id that the answer states, else the entity that was requested. An opaque token counts only
// if there is no other id, because the API does not say that an entity keeps its token.
func (b *rowBuilder) subject(e schema.Event) (kind, text string) {
	stated, requested := b.get("company_id").s, ""
	if e.Entity.Object == schema.Contact {
		stated = b.get("person_id").s
	}
	if e.RequestedBy == schema.ByID {
		requested = e.Requested
	}
	ids := []string{stated, e.Entity.ID, requested}
	for _, id := range ids {
		if id != "" && !opaqueToken.MatchString(id) {
			return "id", id
		}
	}
	if id := cmp.Or(ids...); id != "" {
		return "id", id
	}
	return string(e.RequestedBy), e.Requested
}

// opaqueToken matches the ids of V3 that are not numbers: an encrypted text behind its version.
var opaqueToken = regexp.MustCompile(`^v[0-9]+\.`)

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

func uidText(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)[:16]) }

// eventUID2 is eventUID up to version 2 of the schema. It left out the entity of an event with an
// id, and merged events of several entities if neither the record nor the answer stated ids.
func (b *rowBuilder) eventUID2(signal schema.Signal, e schema.Event, topic []byte, entityID string, date value) string {
	h := sha256.New()
	add := func(parts ...string) { hashParts(h, parts...) }
	day := ""
	if date.set {
		day = strconv.FormatInt(date.n, 10)
	}
	id := b.get("signal_id").s
	switch {
	case id != "":
		add("signal", e.Type, id, b.get("topic_name").s)
	case signal.Record == "person":
		person := b.get("person_id").s
		if person == "" {
			person = entityID
		}
		add("person", e.Type, person, day, b.get("current_company_id").s, strings.ToLower(b.get("current_title").s))
	case signal.Key != "":
		// The record's own id, as for persons: the entity may have been requested by a token.
		add("company", e.Type, cmp.Or(b.get("company_id").s, entityID), day)
		for _, column := range []string{"department", "country", "state", "city", "event_type", "article_url", "external_job_id", "topic_name", "activity_url"} {
			add(strings.ToLower(b.get(column).s)) // the API varies the case of its own vocabulary
		}
	default:
		add("other", e.Type, entityID, string(e.Raw))
	}
	// Topics of one record may have the same name in several places, or no name.
	switch {
	case topic != nil && b.get("topic_name").s == "":
		add(string(topic))
	case topic != nil && id != "":
		for _, column := range []string{"country", "state", "city"} {
			add(strings.ToLower(b.get(column).s))
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// productUID derives the id of a product's row from the request and the entity.
func (f *flattener) productUID(e schema.Event, entityID string) string {
	h := sha256.New()
	a := e.Origin
	hashParts(h, e.Type, string(e.Entity.Object), entityID, string(a.Identifier), a.Text, a.SeedSet, a.Session, a.Site, a.Since, a.Until)
	if entityID == "" {
		hashParts(h, string(e.Raw))
	}
	if entityID == "" && f.version >= 3 {
		hashParts(h, string(e.RequestedBy), e.Requested)
	}
	return uidText(h)
}

// hashParts hashes texts such that no two lists of texts yield the same bytes.
func hashParts(h hash.Hash, parts ...string) {
	for _, part := range parts {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(part)))
		h.Write(n[:])
		h.Write([]byte(part))
	}
}
