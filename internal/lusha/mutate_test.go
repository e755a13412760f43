package lusha

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/lusha/lushatest"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/pipeline"
)

// recorded is an answer to mutate, with the query that it answers.
type recorded struct {
	name  string
	batch *pipeline.Batch
	body  []byte
	items []pipeline.ItemReply // as decoded without a mutation
	// Without a mutation it is an answer to its query.
	charged bool
}

// recordedAnswers are the recorded answers of both versions, and a bigger one of each.
func recordedAnswers(t *testing.T) (out []recorded) {
	t.Helper()
	for _, f := range fixtures(t) {
		if f.Request.Method == "POST" && f.Response.Status/100 == 2 {
			out = append(out, recorded{name: f.Name, batch: f.batch(t), body: f.answer()})
		}
	}
	for _, version := range []pipeline.APIVersion{pipeline.V2, pipeline.V3} {
		var entries []string
		for i := range 8 {
			id := 1001 + i
			entry := fmt.Sprintf(`{"companyId":"%d","companyName":"Café \u00c6 %d \"x\"","surgeInHiring":[{"signalId":"%d-1","signalDate":"2026-10-01","newJobsPostedLastWeek":%d},{"signalId":"%d-2","historicalAvg":1.5e2,"x":[null,{}]}]}`, id, i, id, i, id)
			if version == pipeline.V3 {
				entry = strings.Replace(entry, `"companyId"`, `"id"`, 1)
			} else {
				entry = fmt.Sprintf(`"%d":`, id) + entry
			}
			entries = append(entries, entry)
		}
		body := `{"companies":{` + strings.Join(entries, ",") + `},"startDate":"2026-08-28","creditCharged":16}`
		if version == pipeline.V3 {
			body = `{"results":[` + strings.Join(entries, ",") + `],"billing":{"creditsCharged":16}}`
		}
		out = append(out, recorded{name: cmp.Or(string(version), "v2"), batch: lushatest.CompaniesIn(version, 8), body: []byte(body)})
	}
	for i := range out {
		call := pipeline.Call{ID: "c", Status: 200, Body: out[i].body}
		out[i].items, _, _ = DecodeAnswer(out[i].batch, &call)
		out[i].charged = call.Outcome == pipeline.Charged
	}
	return out
}

// TestMutatedAnswers: for every mutant that a lenient reader still reads, the entities that the
// mutation did not touch are as they were, and the charge is what the mutant states, or unknown.
// No mutant makes the decoder panic, and a second reading gives the same.
func TestMutatedAnswers(t *testing.T) {
	answers := recordedAnswers(t)
	rng := rand.New(rand.NewPCG(12, 2))
	read := 0
	for range proof.Size(5_000, 200_000, 1_000_000) {
		r := &answers[rng.IntN(len(answers))]
		body := bytes.Clone(r.body)
		for range 1 + rng.IntN(3) {
			body = mutate(rng, body)
		}
		call := pipeline.Call{ID: "c", Status: 200, Body: body}
		items, unmatched, err := DecodeAnswer(r.batch, &call)
		repeated := pipeline.Call{ID: "c", Status: 200, Body: body}
		items2, unmatched2, err2 := DecodeAnswer(r.batch, &repeated)
		if !reflect.DeepEqual(items, items2) || !reflect.DeepEqual(unmatched, unmatched2) || !reflect.DeepEqual(call, repeated) || (err == nil) != (err2 == nil) {
			t.Fatalf("%s: %q: a second reading differs", r.name, body)
		}
		if r.batch.Query.Service() != pipeline.Signals || !r.charged {
			continue
		}
		before, after := readLeniently(r.body), readLeniently(body)
		if after == nil || before == nil {
			continue
		}
		read++
		if call.Charge.Known && fmt.Sprint(call.Charge.Credits) != wholeText(after.charges) {
			t.Fatalf("%s: %q: charge %+v, stated %q", r.name, body, call.Charge, after.charges)
		}
		whole := untouched(before, after)
		if len(whole) > 0 && call.Outcome != pipeline.Charged {
			t.Fatalf("%s: %q: %s, %v, and %d entries are whole", r.name, body, call.Outcome, err, len(whole))
		}
		checkUntouched(t, r, body, items, whole, before, after)
	}
	if read == 0 {
		t.Error("no mutant was read")
	}
	t.Logf("%d mutants were read by the lenient reader", read)
}

// checkUntouched compares the items whose entries were not touched.
func checkUntouched(t *testing.T, r *recorded, body []byte, items []pipeline.ItemReply, whole map[string]bool, before, after *lenient) {
	t.Helper()
	for i := range r.items {
		id := r.items[i].Entity.ID
		if id == "" || len(r.items[i].Events) == 0 {
			continue
		}
		entry, n := "", 0
		for text := range whole {
			if strings.Contains(text, id) {
				entry, n = text, n+1
			}
		}
		for _, original := range before.entries {
			if _, text, _ := strings.Cut(original, "\x00"); strings.Contains(text, id) && text != entry {
				n++
			}
		}
		// An entry that was touched may be about any entity whose id it mentions.
		if n != 1 || strings.Count(after.text, id) != strings.Count(before.text, id) || strings.Count(after.text, entry) != 1 {
			continue
		}
		if items[i].Status != r.items[i].Status || !reflect.DeepEqual(items[i].Events, r.items[i].Events) {
			t.Fatalf("%s: %q: item %d is %s with events %v, want %s with %v", r.name, body, i, items[i].Status, items[i].Events, r.items[i].Status, r.items[i].Events)
		}
	}
}

// lenient is what a reader makes of an answer that replaces invalid bytes and reads the rest with
// encoding/json.
type lenient struct {
	text    string
	entries []string // the values of the root, with their keys
	roots   int
	charges []string
}

// readLeniently returns nil for a document that such a reader refuses.
func readLeniently(body []byte) *lenient {
	text := bytes.TrimPrefix(bytes.ToValidUTF8(body, []byte("\uFFFD")), []byte("\ufeff"))
	var compact bytes.Buffer
	if json.Compact(&compact, text) != nil {
		return nil
	}
	l := &lenient{text: compact.String()}
	walkTokens(compact.Bytes(), func(name string, value json.RawMessage) {
		switch name {
		case "companies", "contacts", "results":
			l.roots++
			walkTokens(value, func(key string, entry json.RawMessage) { l.entries = append(l.entries, key+"\x00"+string(entry)) })
		case "creditCharged", "creditsCharged":
			l.charges = append(l.charges, string(value))
		case "billing":
			walkTokens(value, func(name string, value json.RawMessage) {
				if name == "creditsCharged" {
					l.charges = append(l.charges, string(value))
				}
			})
		}
	})
	return l
}

// walkTokens walks the members of an object or the elements of a list, duplicates included.
func walkTokens(value []byte, each func(name string, value json.RawMessage)) {
	d := json.NewDecoder(bytes.NewReader(value))
	opening, err := d.Token()
	if err != nil || opening != json.Delim('{') && opening != json.Delim('[') {
		return
	}
	for d.More() {
		name := ""
		if opening == json.Delim('{') {
			token, _ := d.Token()
			name, _ = token.(string)
		}
		var member json.RawMessage
		if d.Decode(&member) != nil {
			return
		}
		each(name, member)
	}
}

// untouched is the entries that are in both documents, if their root is.
func untouched(before, after *lenient) map[string]bool {
	whole := map[string]bool{}
	if before.roots != 1 || after.roots != 1 {
		return whole
	}
	for _, entry := range after.entries {
		for _, original := range before.entries {
			if entry == original && len(entry) > len("\x00{}") && strings.HasPrefix(entry[strings.IndexByte(entry, 0)+1:], "{") {
				_, text, _ := strings.Cut(entry, "\x00")
				whole[text] = true
			}
		}
	}
	return whole
}

// wholeText is the one amount that all charges state; empty if they differ.
func wholeText(charges []string) string {
	text := ""
	for i, c := range charges {
		var n json.Number
		if json.Unmarshal([]byte(c), &n) != nil {
			return ""
		}
		f, err := n.Float64()
		if err != nil || i > 0 && text != fmt.Sprintf("%.0f", f) {
			return ""
		}
		text = fmt.Sprintf("%.0f", f)
	}
	return text
}

// fragments are what mutations insert.
var fragments = []string{
	"\xff", "\xe9", "\xed\xa0\x80", "\x00", "\t", "\n", `\x`, `\ud800`, `\udc00`, `\u00e9`, `\"`, `"`, `\`, "{", "}", "[", "]", ",", ":", "null", "NaN", "-Infinity", "1e999", "-1",
	`{}`, `[]`, `""`, `"a":1,`, `[[[`, `]]]`, "\ufeff", "\u2028", `"{\"a\":1}"`, `"creditCharged":9,`, `"error":"x",`, `"companies":null,`,
}

// mutate changes a document in one place.
func mutate(rng *rand.Rand, doc []byte) []byte {
	if len(doc) == 0 {
		return []byte("{}")
	}
	at := rng.IntN(len(doc))
	end := min(len(doc), at+1+rng.IntN(12))
	splice := func(from, to int, text string) []byte {
		return append(append(bytes.Clone(doc[:from]), text...), doc[to:]...)
	}
	switch rng.IntN(10) {
	case 0: // a bit
		doc[at] ^= 1 << rng.IntN(8)
		return doc
	case 1: // a byte
		doc[at] = byte(rng.IntN(256))
		return doc
	case 2, 3, 4:
		return splice(at, at, fragments[rng.IntN(len(fragments))])
	case 5:
		return splice(at, end, fragments[rng.IntN(len(fragments))])
	case 6:
		return splice(at, end, "")
	case 7: // repeated
		return splice(at, at, string(doc[at:end]))
	case 8: // a long or deep text in the place of a value
		if i := bytes.IndexByte(doc[at:], ':'); i >= 0 {
			depth := 1 + rng.IntN(600)
			return splice(at+i+1, at+i+1, []string{
				strings.Repeat("[", depth) + strings.Repeat("]", depth) + `,"m":`, `"` + strings.Repeat("x", 1<<rng.IntN(14)) + `","m":`,
			}[rng.IntN(2)])
		}
	case 9: // cut
		if rng.IntN(4) == 0 {
			return bytes.Clone(doc[:at])
		}
	}
	return doc
}

// TestMutatedTexts: a defect in the texts of one entity does not touch the others, whatever a
// lenient reader makes of it.
func TestMutatedTexts(t *testing.T) {
	defects := []string{"\xff", "\xe9\xe9", "\x00", "\t", "\r\n", `\x`, `\u12`, `\ud800`, `\udfff\ud800`, "\xf0\x9f", `\ `, "\x1b[31m"}
	rng := rand.New(rand.NewPCG(12, 3))
	for _, r := range recordedAnswers(t) {
		if len(r.items) != 8 {
			continue
		}
		for range proof.Size(500, 5_000, 50_000) {
			n := rng.IntN(8)
			mark := fmt.Sprintf(` %d \"x\""`, n) // the end of the entity's name
			defect := ""
			for range 1 + rng.IntN(4) {
				defect += defects[rng.IntN(len(defects))]
			}
			body := bytes.Replace(r.body, []byte(mark), []byte(defect+mark), 1)
			call := pipeline.Call{ID: "c", Status: 200, Body: body}
			items, unmatched, err := DecodeAnswer(r.batch, &call)
			if err != nil || len(unmatched) != 0 || (call.Charge != pipeline.Charge{Known: true, Credits: 16}) {
				t.Fatalf("%s: %q: %s, %+v, %v", r.name, defect, call.Outcome, call.Charge, err)
			}
			for i := range items {
				if !reflect.DeepEqual(r.items[i].Events, items[i].Events) {
					t.Fatalf("%s: %q: events of item %d = %+v, want %+v", r.name, defect, i, items[i].Events, r.items[i].Events)
				}
				if i == n {
					continue
				}
				if !reflect.DeepEqual(r.items[i], items[i]) {
					t.Fatalf("%s: %q: item %d = %+v, want %+v", r.name, defect, i, items[i], r.items[i])
				}
			}
		}
	}
}
