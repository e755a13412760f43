package sources

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// keptOf reads a list with kept columns. It returns their names, and what each line keeps.
func keptOf(t *testing.T, list string, keep ...string) (names, kept []string) {
	t.Helper()
	near := func(string, []string) string { return " (near)" }
	l, err := Open(t.Context(), "-", Options{Stdin: strings.NewReader(list), Keep: keep, DidYouMean: near})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for a, err := range l.Accounts(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, a.Kept)
	}
	return l.Input().Kept, kept
}

// TestKeep: the named columns are kept in the order of the list, with the cells as they stand there.
func TestKeep(t *testing.T) {
	t.Parallel()
	const list = "\ufeffdomain,Owner,owner,Owner, ,A\u200bRR,all\n" +
		"a.example,\" Ann \",x,y,\"a\"\"b\\c\",=\"\"00123\"\",z\n" +
		"b.example,\"=1+1\"\n" +
		",,,,,no identifier,\n"
	for _, c := range []struct {
		keep  []string
		names []string
		kept  []string
	}{
		{nil, nil, []string{"", "", ""}},
		{[]string{"ARR", "2"}, []string{"Owner", "ARR"}, []string{`{"Owner":"Ann","ARR":"00123"}`, `{"Owner":"=1+1","ARR":""}`, `{"Owner":"","ARR":"no identifier"}`}},
		{[]string{"5", "2", "5"}, []string{"Owner", "column 5"}, []string{`{"Owner":"Ann","column 5":"a\"b\\c"}`, `{"Owner":"=1+1","column 5":""}`, `{"Owner":"","column 5":""}`}},
		{[]string{"all"}, []string{"domain", "Owner", "owner", "Owner (2)", "column 5", "ARR", "all"}, []string{
			`{"domain":"a.example","Owner":"Ann","owner":"x","Owner (2)":"y","column 5":"a\"b\\c","ARR":"00123","all":"z"}`,
			`{"domain":"b.example","Owner":"=1+1","owner":"","Owner (2)":"","column 5":"","ARR":"","all":""}`,
			`{"domain":"","Owner":"","owner":"","Owner (2)":"","column 5":"","ARR":"no identifier","all":""}`,
		}},
	} {
		names, kept := keptOf(t, strings.ReplaceAll(list, `=""00123""`, `"=""00123"""`), c.keep...)
		if diff := cmp.Diff(c.names, names) + cmp.Diff(c.kept, kept); diff != "" {
			t.Errorf("keep %q (-want +got):\n%s", c.keep, diff)
		}
	}
	names, kept := keptOf(t, "a.example;north\nb.example;south\n", "2")
	if diff := cmp.Diff([]string{"column 2"}, names) + cmp.Diff([]string{`{"column 2":"north"}`, `{"column 2":"south"}`}, kept); diff != "" {
		t.Errorf("without a header (-want +got):\n%s", diff)
	}
}

// TestKeepUnknown: a column that is not there is refused, with the nearest one.
func TestKeepUnknown(t *testing.T) {
	t.Parallel()
	near := func(word string, known []string) string { return " (did you mean " + known[1] + ", not " + word + "?)" }
	for _, keep := range []string{"Ownr", "3", "0", "-1"} {
		_, err := Open(t.Context(), "-", Options{Stdin: strings.NewReader("domain,Owner\na.example,x\n"), Keep: []string{keep}, DidYouMean: near})
		if fault := new(Error); !errors.As(err, &fault) || !strings.Contains(err.Error(), "--keep "+keep) || !strings.Contains(err.Error(), "did you mean Owner, not "+keep) {
			t.Errorf("Open with --keep %s = %v, want an error with the nearest column", keep, err)
		}
	}
}

// FuzzKeptCells: whatever cells hold, what is kept is a JSON object of texts that loses nothing but bytes
// that are no text.
func FuzzKeptCells(f *testing.F) {
	for _, cell := range []string{"", "plain", `"quoted" \back`, "a\x00b", "\xff\xfe", "tab\tline\nend", "\u2028<&>", "=cmd|' /C calc'!A0", "{\"a\":1}", "\ud7ff\U0010ffff", "\x1b[31m"} {
		f.Add("name", cell)
		f.Add(cell, "cell")
	}
	f.Fuzz(func(t *testing.T, name, cell string) {
		l := layout{tableColumns: tableColumns{header: []string{name, name}, width: 2, names: []string{"1", "2"}}}
		if err := l.chooseKept(Options{Keep: []string{KeepAll}}); err != nil {
			t.Fatal(err)
		}
		kept := l.keptCells([][]byte{[]byte(cell)})
		var cells map[string]string
		if err := json.Unmarshal([]byte(kept), &cells); err != nil || !utf8.ValidString(kept) || strings.Contains(kept, `\u0000`) {
			t.Fatalf("%q is kept as %q: %v", cell, kept, err)
		}
		whole := strings.NewReplacer("\uFFFD", "", "\x00", "") // of what is text
		want := whole.Replace(strings.ToValidUTF8(plainText(string(trimCell([]byte(cell))), false), ""))
		if got := whole.Replace(cells[l.keptNames[0]]); len(cells) != 2 || cells[l.keptNames[1]] != "" || got != want {
			t.Errorf("%q is kept as %q, want %q", cell, got, want)
		}
	})
}
