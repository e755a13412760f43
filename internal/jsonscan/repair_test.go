package jsonscan

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestRepair(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, c := range []struct {
		name, doc, want string
		at              []int
	}{
		{"valid", `{"a":"\u00e9\n😀\ud83d\ude00\\","b":[-1.5]}`, "", nil},
		{"Latin-1", "[\"Caf\xe9 raises\"]", "[\"Caf\uFFFD raises\"]", []int{5}},
		{"a run of bytes", "[\"\xff\xfe\xe9\",\"\xed\xa0\x80\"]", "[\"\uFFFD\",\"\uFFFD\"]", []int{2, 8}},
		{"a character that is cut", "[\"\xf0\x9f\x98\"]", "[\"\uFFFD\"]", []int{2}},
		{"a bad byte before a good character", "[\"\xe9é\"]", "[\"\uFFFDé\"]", []int{2}},
		{"a raw tab", "[\"a\tb\"]", "[\"a\uFFFDb\"]", []int{3}},
		{"a raw newline and a NUL", "[\"\n\",\t\"\x00\"]", "[\"\uFFFD\",\t\"\uFFFD\"]", []int{2, 9}},
		{"a DOS path", `["C:\dir\x41"]`, "[\"C:\uFFFDdir\uFFFDx41\"]", []int{4, 10}},
		{"a broken escape", `["\u00g0\u12"]`, "[\"\uFFFDu00g0\uFFFDu12\"]", []int{2, 10}},
		{"half a pair", `["x\ud800y","\uDFFF","\uD83D\u0041"]`, `["x\ufffdy","\ufffd","\ufffd\u0041"]`, []int{3, 13, 22}},
		{"two first halves", `["\ud83d\ud83d\ude00"]`, `["\ufffd\ud83d\ude00"]`, []int{2}},
		{"a name", "{\"a\xff\":1}", "{\"a\uFFFD\":1}", []int{3}},
		{"no numbers", `[NaN,Infinity,-Infinity,"NaN"]`, `[null,null,null,"NaN"]`, []int{1, 6, 11}},
		{"deep enough", nested(maxDepth), "", nil},
		{"too deep", nested(maxDepth + 1), strings.Repeat("[", maxDepth) + "null" + strings.Repeat("]", maxDepth), []int{maxDepth}},
		{"far too deep", `{"a":` + nested(1<<20) + `,"b":1}`, `{"a":` + strings.Repeat("[", maxDepth-1) + "null" + strings.Repeat("]", maxDepth-1) + `,"b":1}`, []int{maxDepth + 4}},
		{"deep and cut", nested(maxDepth + 9)[:maxDepth+9], "", nil},
		{"deep and crossed", strings.Repeat("[", maxDepth) + "[{]}" + strings.Repeat("]", maxDepth), "", nil},
	} {
		want := c.want
		if want == "" {
			want = c.doc
		}
		got, at := Repair([]byte(c.doc))
		if string(got) != want || !slices.Equal(at, c.at) {
			t.Errorf("%s: Repair(%.80q) = %.80q, %v, want %.80q, %v", c.name, c.doc, got, at, want, c.at)
		}
	}
}

// FuzzRepair: what is valid stays as it is, and what a cursor accepts is valid.
func FuzzRepair(f *testing.F) {
	for _, seed := range []string{`{"a":"\ud800"}`, "[\"\xff\t\\x\"]", `[NaN]`, strings.Repeat("[", 300) + strings.Repeat("]", 300), `["\ud83d\ude00"]`, `["\`, "[\"\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		repaired, at := Repair(doc)
		again, more := Repair(repaired)
		if string(again) != string(repaired) || more != nil {
			t.Fatalf("Repair(%q) = %q, and again %q", doc, repaired, again)
		}
		c := NewCursor(doc)
		c.SkipValue()
		if c.ExpectEnd(); c.Err == nil && (!json.Valid(c.Doc[boundary(c.Doc):]) || !utf8.Valid(c.Doc)) {
			t.Fatalf("accepted %q, repaired to %q", doc, repaired)
		}
		if c.Err == nil && c.CountRepairs(0) != len(at) {
			t.Fatalf("CountRepairs(0) = %d, want %d", c.CountRepairs(0), len(at))
		}
	})
}

// boundary is the length of a byte-order mark.
func boundary(doc []byte) int {
	if strings.HasPrefix(string(doc), "\ufeff") {
		return len("\ufeff")
	}
	return 0
}
