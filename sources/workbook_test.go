package sources

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/xuri/excelize/v2"

	"github.com/siglake/siglake/schema"
)

// newWorkbook returns a workbook with rows in its only sheet.
func newWorkbook(t testing.TB, rows [][]any) []byte {
	t.Helper()
	f := excelize.NewFile()
	for i, row := range rows {
		if err := f.SetSheetRow("Sheet1", fmt.Sprintf("A%d", i+1), &row); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if err := f.Write(&b); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestWorkbookAmongLists reads a folder with a workbook, gzip around one, and CSV, twice: its files
// are opened for their columns and again for their lines.
func TestWorkbookAmongLists(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	book := newWorkbook(t, [][]any{{"Company", "Website"}, {"Acme", "acme.com"}, {"Beta", "beta.com"}})
	dir := t.TempDir()
	for name, text := range map[string]string{"a.csv": "domain\ngamma.com\n", "b.xlsx": string(book), "c.xlsx.gz": gzipped(t, string(book))} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"a.csv:2 gamma.com", "b.xlsx:2 acme.comAcme", "b.xlsx:3 beta.comBeta", "c.xlsx.gz:2 acme.comAcme", "c.xlsx.gz:3 beta.comBeta"}
	for range 2 {
		got, in := readList(t, dir+"/", Options{}, dir+"/")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("accounts (-want +got):\n%s", diff)
		}
		if in.SHA256 != Fingerprint(in.Objects) {
			t.Errorf("digest %q, want that of the files", in.SHA256)
		}
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("temporary files %v, %v, want none", left, err)
	}
}

// TestWorkbookOnPipe reads a workbook from standard input.
func TestWorkbookOnPipe(t *testing.T) {
	t.Parallel()
	book := newWorkbook(t, [][]any{{"domain"}, {"acme.com"}})
	l, err := Open(t.Context(), "-", Options{Stdin: bytes.NewReader(book)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var domains []string
	for a, err := range l.Accounts(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		domains = append(domains, a.Domain)
	}
	if in := l.Input(); !slices.Equal(domains, []string{"acme.com"}) || in.Format != FormatXLSX || in.Sheet != "Sheet1" || in.Bytes != int64(len(book)) {
		t.Errorf("domains %q, input %+v", domains, in)
	}
}

// TestManyTexts reads a workbook whose texts are too large for memory, so that the library keeps
// them in a temporary file.
func TestManyTexts(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 30_000)
	rows := [][]any{{"Company", "Website", "Notes"}}
	for i := range 300 {
		rows = append(rows, []any{fmt.Sprintf("Acme %d", i), fmt.Sprintf("acme-%d.com", i), fmt.Sprint(i, long)})
	}
	l, err := Open(t.Context(), "-", Options{Stdin: bytes.NewReader(newWorkbook(t, rows))})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	n := 0
	for a, err := range l.Accounts(t.Context()) {
		if err != nil || a.Name != fmt.Sprintf("Acme %d", n) || a.Domain != fmt.Sprintf("acme-%d.com", n) || a.Line != int64(n)+2 {
			t.Fatalf("account %d: %+v, %v", n, a, err)
		}
		n++
	}
	if n != 300 {
		t.Errorf("%d accounts, want 300", n)
	}
}

// TestWorkbookBombs refuses archives that would take more memory or disk than a list needs.
func TestWorkbookBombs(t *testing.T) {
	t.Parallel()
	book := newWorkbook(t, [][]any{{"domain"}, {"acme.com"}})
	const row = `<row r="2"`
	for name, c := range map[string]struct {
		part   string
		change func(text string) string
		want   string
	}{
		"text":    {"xl/sharedStrings.xml", func(s string) string { return strings.Replace(s, "acme.com", strings.Repeat("a", 4<<20), 1) }, "a text has more than"},
		"tag":     {"xl/worksheets/sheet1.xml", func(s string) string { return strings.Replace(s, row, row+strings.Repeat(" ", 2<<20), 1) }, "a text has more than"},
		"columns": {"xl/worksheets/sheet1.xml", func(s string) string { return strings.Replace(s, `r="A2"`, `r="ZZZZZZ2"`, 1) }, "more than 16384 columns"},
		"row": {"xl/worksheets/sheet1.xml", func(s string) string {
			return strings.Replace(s, "</row></sheetData>", strings.Repeat("<c><v>"+strings.Repeat("1", 1000)+"</v></c>", 17_000)+"</row></sheetData>", 1)
		}, "row 2 has more than"},
		"styles": {"xl/styles.xml", func(s string) string { return s + strings.Repeat(" ", maxOtherPart) }, "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			changed := changePart(t, book, c.part, c.change)
			if _, err := Open(t.Context(), "-", Options{Stdin: bytes.NewReader(changed)}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Open() = %v, want %q", err, c.want)
			}
		})
	}
}

// changePart changes the text of one part of a workbook.
func changePart(t *testing.T, book []byte, name string, change func(string) string) []byte {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(book), int64(len(book)))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if f.Name == name {
			text = []byte(change(string(text)))
		}
		part, err := w.Create(f.Name)
		if err == nil {
			_, err = part.Write(text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestMangledKeys counts lines that have the same damaged key; those with keys of their own do not
// count.
func TestMangledKeys(t *testing.T) {
	t.Parallel()
	const list = "Account ID,Company\n1.23457E+15,A\n1.23457E+15,B\n2.5E+15,C\n123,D\n123,E\n70114455.0,F\n12E5,G\n12E5,H\n"
	l, err := Open(t.Context(), "-", Options{Stdin: strings.NewReader(list)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, err := range l.Accounts(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
	}
	in := l.Input()
	want := []SharedKey{{Key: "1.23457E+15", Lines: 2, Places: []Place{{"-", 2}, {"-", 3}}}}
	if diff := cmp.Diff(want, in.SharedKeys); diff != "" || in.Rejected != 0 {
		t.Errorf("shared keys (-want +got), %d rejected:\n%s", in.Rejected, diff)
	}
}

// TestWorkbookClashes: a workbook whose lines clash is read like the same CSV, also if its text cannot be kept between the
// search for clashes and the reading.
func TestWorkbookClashes(t *testing.T) {
	t.Parallel()
	rows := [][]any{{"Company", "Website"}, {"Nordwind Cafe", "nordwind.sites-test.com"}, {"Suedstern Bau", "suedstern.sites-test.com"}, {"Westend", "westend-test.com"}}
	var text strings.Builder
	for i := range 3000 { // more than the sample
		rows = append(rows, []any{fmt.Sprintf("Acme Holdings of the North and the South %d", i), fmt.Sprintf("acme-%d.com", i)})
	}
	for _, row := range rows {
		fmt.Fprintf(&text, "%s,%s\n", row...)
	}
	book := newWorkbook(t, rows)
	read := func(data []byte, drop bool) (accounts []schema.Account) {
		l, err := Open(t.Context(), "-", Options{Stdin: bytes.NewReader(data)})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if drop {
			l.first.sheet.dropText()
		}
		for a, err := range l.Accounts(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			accounts = append(accounts, a)
		}
		return accounts
	}
	want := read([]byte(text.String()), false)
	if len(want) != len(rows)-1 || want[0].Domain != "" || want[1].Domain != "" || want[2].Domain == "" {
		t.Fatalf("%d lines of CSV, the first %+v; want the first two without the domain that they share", len(want), want[:3])
	}
	for _, drop := range []bool{false, true} {
		if diff := cmp.Diff(want, read(book, drop)); diff != "" {
			t.Errorf("the workbook, with its text dropped: %t (-CSV +workbook):\n%s", drop, diff)
		}
	}
}

// BenchmarkXLSX reads a workbook of 200,000 rows, as BenchmarkCSV reads a list.
func BenchmarkXLSX(b *testing.B) {
	const lines = 200_000
	rows := [][]any{{"name", "domain"}}
	for i := range lines {
		rows = append(rows, []any{fmt.Sprintf("Acme Holdings %d", i), fmt.Sprintf("acme-%d.com", i)})
	}
	book := newWorkbook(b, rows)
	b.SetBytes(int64(len(book)))
	b.ReportAllocs()
	for b.Loop() {
		l, err := Open(b.Context(), "-", Options{Stdin: bytes.NewReader(book)})
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for a, err := range l.Accounts(b.Context()) {
			if err != nil || a.Reject != nil {
				b.Fatalf("line %d: %v %v", a.Line, a.Reject, err)
			}
			n++
		}
		if _ = l.Close(); n != lines {
			b.Fatalf("read %d accounts, want %d", n, lines)
		}
	}
	b.ReportMetric(float64(lines)*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
}

// TestCoverSheet: the text on the first sheet is no list of names if another sheet has rows, nor if it is prose.
func TestCoverSheet(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	data := [][]any{{"Company", "Website"}, {"Acme", "acme.com"}}
	for name, c := range map[string]struct {
		first, second [][]any
		sheet, fails  string
	}{
		"prose before a list":       {[][]any{{"This workbook contains the accounts of Q3."}, {}, {"See sheet Data"}}, data, "", "add --sheet Data"},
		"words before a list":       {[][]any{{"Overview"}, {"Third quarter"}}, data, "", "add --sheet Data"},
		"prose that was chosen":     {[][]any{{"This workbook contains the accounts of Q3."}}, data, "1", "prose"},
		"prose alone":               {[][]any{{"This workbook contains what you asked for."}, {"It is not the list."}}, nil, "", "prose"},
		"names before empty sheet":  {[][]any{{"Acme"}, {"Beta"}}, nil, "", ""},
		"names that were chosen":    {[][]any{{"Acme"}, {"Beta"}}, data, "1", ""},
		"the list":                  {[][]any{{"This workbook contains the accounts of Q3."}}, data, "Data", ""},
		"a list before other rows":  {data, data, "", ""},
		"domains before other rows": {[][]any{{"acme.com"}, {"beta.com"}}, data, "", ""},
	} {
		file := excelize.NewFile()
		if _, err := file.NewSheet("Data"); err != nil {
			t.Fatal(err)
		}
		for sheet, rows := range map[string][][]any{"Sheet1": c.first, "Data": c.second} {
			for i, row := range rows {
				if err := file.SetSheetRow(sheet, fmt.Sprintf("A%d", i+1), &row); err != nil {
					t.Fatal(err)
				}
			}
		}
		path := filepath.Join(t.TempDir(), "book.xlsx")
		if err := file.SaveAs(path); err != nil {
			t.Fatal(err)
		}
		l, err := Open(t.Context(), path, Options{Sheet: c.sheet})
		switch {
		case c.fails == "" && err != nil, c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)):
			t.Errorf("%s: Open = %v, want an error that contains %q", name, err, c.fails)
		case err == nil:
			_ = l.Close() // only read
		}
	}
}

// TestLinkedCells: a cell of a site leads where its link leads, unless it shows an address; a linked name stays a name. A
// formula that was never computed is not an empty cell.
func TestLinkedCells(t *testing.T) {
	t.Parallel()
	f := excelize.NewFile()
	for i, row := range [][]any{{"Company", "Website"}, {"Acme", "Link"}, {"Beta", "beta.io"}, {"Gamma", nil}} {
		if err := f.SetSheetRow("Sheet1", fmt.Sprintf("A%d", i+1), &row); err != nil {
			t.Fatal(err)
		}
	}
	for cell, target := range map[string]string{"B1": "https://help.crm-x.com", "B2": "https://www.acme.com/?a=1&b=2", "A3": "https://crm-x.com/3", "B3": "https://wrong.com"} {
		if err := f.SetCellHyperLink("Sheet1", cell, target, "External"); err != nil {
			t.Fatal(err)
		}
	}
	for cell, formula := range map[string]string{"B4": "named_range", "A5": `VLOOKUP(A2,Sheet2!A:B,2,0)`} {
		if err := f.SetCellFormula("Sheet1", cell, formula); err != nil {
			t.Fatal(err)
		}
	}
	var book bytes.Buffer
	if err := f.Write(&book); err != nil {
		t.Fatal(err)
	}
	l, err := Open(t.Context(), "-", Options{Stdin: bytes.NewReader(book.Bytes())})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // it was only read
	var got []string
	for a, err := range l.Accounts(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, accountStatus(t, a))
	}
	const formula = "is a formula, not its value; export the list with values, or open the workbook in Excel and save it"
	want := []string{
		"ok domain=acme.com name=Acme key=https://www.acme.com/?a=1&b=2",
		"ok domain=beta.io name=Beta key=beta.io",
		"ok name=Gamma key=Gamma",
		`reject Company "=(VLOOKUP(A2,Sheet2!A:B,2,0))": ` + formula + " key==(VLOOKUP(A2,Sheet2!A:B,2,0))",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}
