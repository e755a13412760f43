package ledger

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// everyItem has a value in every field of an item.
var everyItem = pipeline.Item{
	Ref: "1", ID: "c2", Part: true, Audit: true, TypesLeft: 3,
	Account: schema.Account{
		Row: 4, File: "l.csv", Line: 5, Key: "k \"5\" \u00e9\n<", Object: schema.Company, ID: "6", Domain: "a.example", Name: "n", LinkedIn: "l", Email: "e",
		CompanyName: "c", CompanyDomain: "d", Kept: `{"tier":"gold"}`, Notes: []string{"one", "two"},
	},
}

// TestReadItems: the items that requests usually have are read without encoding/json.
func TestReadItems(t *testing.T) {
	t.Parallel()
	paged, rejected := everyItem, everyItem
	paged.Page, rejected.Account.Reject = &pipeline.Page{Number: 2}, new(schema.Reject)
	for name, tt := range map[string]struct {
		items []pipeline.Item
		want  bool
	}{
		"every field": {[]pipeline.Item{everyItem, {}, everyItem}, true},
		"none":        {[]pipeline.Item{}, true},
		"a page":      {[]pipeline.Item{paged}, false},
		"a reject":    {[]pipeline.Item{rejected}, false},
	} {
		text, err := json.Marshal(tt.items)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := readList(text, 0, (*itemReader).readItem)
		if diff := cmp.Diff(tt.items, got); ok != tt.want || ok && diff != "" {
			t.Errorf("%s: readList = %v, want %v (-want +got):\n%s", name, ok, tt.want, diff)
		}
		if got, err := decodeItems(text); err != nil || !cmp.Equal(tt.items, got) {
			t.Errorf("%s: decodeItems = %+v, %v", name, got, err)
		}
	}
}

// FuzzReadItems: whatever is read, encoding/json reads it in the same way.
func FuzzReadItems(f *testing.F) {
	text, err := json.Marshal([]pipeline.Item{everyItem, {}})
	if err != nil {
		f.Fatal(err)
	}
	for _, doc := range []string{
		string(text), `[]`, ` [{}]`, `null`, "\xef\xbb\xbf[]", `[{"Ref":null}]`, `[{"ref":"1"}]`, `[{"Ref":"\ud800"}]`, `[{"TypesLeft":1.0}]`, `[{"TypesLeft":-0}]`,
		`[{"Account":{"ID":"1"},"Account":{"Key":"2"}}]`, `[{"Account":{"Notes":["a","b"],"Notes":[]}}]`, `[{"Part":false}]`, `[{"Ref":"a"}] `, `[{"Account":{"Row":9223372036854775808}}]`,
	} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		got, ok := readList(doc, 0, (*itemReader).readItem)
		if !ok {
			return
		}
		var want []pipeline.Item
		if err := json.Unmarshal(doc, &want); err != nil {
			t.Fatalf("%q is read, and encoding/json refuses it: %v", doc, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", doc, diff)
		}
	})
}

// everyLine has a value in every field of a line that an itemReader knows.
var everyLine = pipeline.Line{
	Account: everyItem.Account, Status: schema.Cached, Reason: "because", DuplicateOf: 7, Call: "000001-1", Entity: &schema.Entity{Object: schema.Company, ID: "6", Name: "n", Domain: "a.example"},
	Warnings: []string{"one"}, Part: "newJobPost",
}

// TestReadLines: the lines that runs usually have are read without encoding/json.
func TestReadLines(t *testing.T) {
	t.Parallel()
	doubt, extra, rejected := everyLine, everyLine, everyLine
	doubt.InDoubt, extra.UnknownFields, rejected.Account.Reject = &pipeline.InDoubtCall{}, json.RawMessage(`{"x":1}`), &schema.Reject{Column: "c"}
	for name, tt := range map[string]struct {
		lines []pipeline.Line
		want  bool
	}{
		"every field":    {[]pipeline.Line{everyLine, {}, everyLine}, true},
		"in doubt":       {[]pipeline.Line{doubt}, false},
		"unknown fields": {[]pipeline.Line{extra}, false},
		"a reject":       {[]pipeline.Line{rejected}, false},
	} {
		text, err := json.Marshal(tt.lines)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := readList(text, 0, (*itemReader).readLine)
		if diff := cmp.Diff(tt.lines, got); ok != tt.want || ok && diff != "" {
			t.Errorf("%s: readList = %v, want %v (-want +got):\n%s", name, ok, tt.want, diff)
		}
		if got, err := decodeLines(text); err != nil || !cmp.Equal(tt.lines, got) {
			t.Errorf("%s: decodeLines = %+v, %v", name, got, err)
		}
	}
}

// FuzzReadLines: whatever is read, encoding/json reads it in the same way.
func FuzzReadLines(f *testing.F) {
	text, err := json.Marshal([]pipeline.Line{everyLine, {}})
	if err != nil {
		f.Fatal(err)
	}
	for _, doc := range []string{
		string(text), `[]`, `[{"account":{"ID":"1"},"account":{"Key":"2"}}]`, `[{"entity":{"ID":"1"},"entity":{"Name":"2"}}]`, `[{"entity":null}]`, `[{"Status":"x"}]`,
		`[{"notes":["a"],"notes":[]}]`, `[{"duplicate_of":1e3}]`, `[{"extra":{}}]`,
	} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		got, ok := readList(doc, 0, (*itemReader).readLine)
		if !ok {
			return
		}
		var want []pipeline.Line
		if err := json.Unmarshal(doc, &want); err != nil {
			t.Fatalf("%q is read, and encoding/json refuses it: %v", doc, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", doc, diff)
		}
	})
}
