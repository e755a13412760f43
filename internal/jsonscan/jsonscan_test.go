package jsonscan

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/siglake/siglake/internal/jsonscan/jsontest"
)

// member is one member of an object, its value as spelled.
type member struct{ Key, Value string }

func membersOf(raw []byte) []member {
	var out []member
	for key, value := range Members(raw) {
		out = append(out, member{key, string(value)})
	}
	return out
}

func elementsOf(raw []byte) []string {
	var out []string
	for e := range Elements(raw) {
		out = append(out, string(e))
	}
	return out
}

// readMembers is what encoding/json makes of an object, duplicates kept.
func readMembers(t rapid.TB, raw []byte) []member {
	d := json.NewDecoder(bytes.NewReader(raw))
	if opening, err := d.Token(); err != nil || opening != json.Delim('{') {
		return nil
	}
	var out []member
	for d.More() {
		key, err := d.Token()
		if err != nil {
			t.Fatalf("%q: key: %v", raw, err)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			t.Fatalf("%q: value of %q: %v", raw, key, err)
		}
		out = append(out, member{key.(string), string(value)})
	}
	return out
}

// readElements is what encoding/json makes of a list; another value but null
// is a list of one.
func readElements(t rapid.TB, raw []byte) []string {
	var list []json.RawMessage
	trimmed := strings.Trim(string(raw), " \t\r\n")
	switch {
	case trimmed == "null":
		return nil
	case trimmed[0] != '[':
		return []string{trimmed}
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	var out []string
	for _, e := range list {
		out = append(out, string(e))
	}
	return out
}

func TestMembers(t *testing.T) {
	for _, c := range []struct {
		name, raw string
		want      []member
	}{
		{"empty", ``, nil},
		{"no object", `[{"a":1}]`, nil},
		{"text", `"{\"a\":1}"`, nil},
		{"empty object", ` { } `, nil},
		{"scalars", `{"a":1,"b":"x","c":true,"d":null}`, []member{{"a", "1"}, {"b", `"x"`}, {"c", "true"}, {"d", "null"}}},
		{"spaces", " {\n\t\"a\" : 1 ,\r\n\"b\" : [ 1 , 2 ] } ", []member{{"a", "1"}, {"b", "[ 1 , 2 ]"}}},
		{"number as spelled", `{"a":12345678901234567890.50e+2}`, []member{{"a", "12345678901234567890.50e+2"}}},
		{"brackets in text", `{"a":"}]\"{[","b":{"c":"]"}}`, []member{{"a", `"}]\"{["`}, {"b", `{"c":"]"}`}}},
		{"backslash at the end", `{"a":"\\","b":1}`, []member{{"a", `"\\"`}, {"b", "1"}}},
		{"escaped key", `{"\u0061\n\ud83d\ude00":1}`, []member{{"a\n😀", "1"}}},
		{"half a surrogate", `{"\ud800":1}`, []member{{"\uFFFD", "1"}}},
		{"duplicates", `{"a":1,"a":2}`, []member{{"a", "1"}, {"a", "2"}}},
		{"empty key", `{"":""}`, []member{{"", `""`}}},
	} {
		if diff := cmp.Diff(c.want, membersOf([]byte(c.raw))); diff != "" {
			t.Errorf("%s: Members(%s) (-want +got):\n%s", c.name, c.raw, diff)
		}
	}
}

func TestElements(t *testing.T) {
	for _, c := range []struct {
		raw  string
		want []string
	}{
		{``, nil},
		{` null `, nil},
		{`[]`, nil},
		{` [ ] `, nil},
		{`[null]`, []string{"null"}},
		{`[1, "a,b", {"c":[2]}, [3,[4]] ]`, []string{"1", `"a,b"`, `{"c":[2]}`, "[3,[4]]"}},
		{`{"a":1}`, []string{`{"a":1}`}},
		{`"text"`, []string{`"text"`}},
		{"7 \n", []string{"7"}},
		{" {} ", []string{"{}"}},
	} {
		if diff := cmp.Diff(c.want, elementsOf([]byte(c.raw))); diff != "" {
			t.Errorf("Elements(%s) (-want +got):\n%s", c.raw, diff)
		}
	}
}

func TestWalksStopWhenAsked(t *testing.T) {
	for key := range Members([]byte(`{"a":1,"b":2}`)) {
		if key != "a" {
			t.Errorf("Members went on to %q after a break", key)
		}
		break
	}
	for e := range Elements([]byte(`[1,2]`)) {
		if string(e) != "1" {
			t.Errorf("Elements went on to %q after a break", e)
		}
		break
	}
}

func TestText(t *testing.T) {
	for _, c := range []struct{ raw, want string }{
		{`"plain"`, "plain"},
		{`""`, ""},
		{`"a\"b\\c\/d\b\f\n\r\t"`, "a\"b\\c/d\b\f\n\r\t"},
		{`"\u00e9\u4f60\ud83d\ude00"`, "é你😀"},
		{`"é你😀"`, "é你😀"},
		{"\"\xff\"", "\uFFFD"},
		{"\"\xff\\n\"", "\uFFFD\n"},
		{`9007199254740993`, "9007199254740993"},
		{`-0.10E+2`, "-0.10E+2"},
		{`7`, "7"},
		{`true`, "true"},
	} {
		if got := Text([]byte(c.raw)); got != c.want {
			t.Errorf("Text(%s) = %q, want %q", c.raw, got, c.want)
		}
	}
}

func TestScannerAgreesWithEncodingJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		doc := jsontest.Draw(t, 4)
		suffix := rapid.SampledFrom([]string{"", ",1", "}", "]", " ", "\n"}).Draw(t, "suffix")
		checkScanner(t, []byte(doc))
		if got := ValueLength([]byte(doc + suffix)); got != len(doc) {
			t.Fatalf("ValueLength(%q) = %d, want %d", doc+suffix, got, len(doc))
		}
	})
}

// checkScanner compares every level of a valid document with encoding/json.
func checkScanner(t rapid.TB, raw []byte) {
	if !json.Valid(raw) {
		t.Fatalf("%q is not valid JSON: the test is wrong", raw)
	}
	wantMembers, wantElements := readMembers(t, raw), readElements(t, raw)
	if diff := cmp.Diff(wantMembers, membersOf(raw)); diff != "" {
		t.Fatalf("Members(%q) (-want +got):\n%s", raw, diff)
	}
	if diff := cmp.Diff(wantElements, elementsOf(raw)); diff != "" {
		t.Fatalf("Elements(%q) (-want +got):\n%s", raw, diff)
	}
	for _, m := range wantMembers {
		checkScanner(t, []byte(m.Value))
	}
	if len(wantElements) != 1 || wantElements[0] != strings.Trim(string(raw), " \t\r\n") {
		for _, e := range wantElements {
			checkScanner(t, []byte(e))
		}
	}
	if trimmed := bytes.Trim(raw, " \t\r\n"); trimmed[0] == '"' {
		var want string
		if err := json.Unmarshal(trimmed, &want); err != nil {
			t.Fatalf("%q: %v", trimmed, err)
		}
		if got := Text(trimmed); got != want {
			t.Fatalf("Text(%q) = %q, want %q", trimmed, got, want)
		}
		if got := AppendText([]byte("x"), trimmed[1:len(trimmed)-1]); utf8.Valid(trimmed) && string(got) != "x"+want {
			t.Fatalf("AppendText(%q) = %q, want %q", trimmed, got, want)
		}
	}
}

// TestPlainLength: a byte that does not stand for itself is found wherever it is.
func TestPlainLength(t *testing.T) {
	for b := range 256 {
		for n := range 20 {
			text := []byte(strings.Repeat("é~", 7))[:20]
			text[n] = byte(b)
			want := len(text)
			if b < ' ' || b == '"' || b == '\\' {
				want = n
			}
			if got := plainLength(text); got != want {
				t.Fatalf("plainLength(%q) = %d, want %d", text, got, want)
			}
		}
	}
}

func FuzzMembers(f *testing.F) {
	for _, seed := range []string{
		`{"a":1,"a":"\u00e9","b":[{"c":null},2.40e2],"d":{}}`, `[]`, `0 `, `[[],{"a":[]}]`, `"\""`, `{"a":"\\"}`, ` { "a" : tru`, "{\"\xff\":\"\\ud800\"}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if json.Valid(raw) {
			if len(raw) <= 1<<10 { // the check is quadratic in the depth
				checkScanner(t, raw)
			}
			return
		}
		// Nothing invalid should come here; if it does, it must not do harm.
		for key, value := range Members(raw) {
			_, _ = key, Text(value)
		}
		for _, e := range slices.Collect(Elements(raw)) {
			_ = Text(e)
		}
	})
}
