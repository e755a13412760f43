package export

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"io"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/schema"
)

// sheetCell is a cell as the file has it.
type sheetCell struct {
	Ref     string  `xml:"r,attr"`
	Type    string  `xml:"t,attr"`
	Style   int     `xml:"s,attr"`
	Value   string  `xml:"v"`
	Text    string  `xml:"is>t"`
	Formula *string `xml:"f"`
}

// readSheets reads the sheets of a workbook without the library that wrote it.
func readSheets(t *testing.T, book []byte) map[string][][]sheetCell {
	t.Helper()
	archive, err := zip.NewReader(bytes.NewReader(book), int64(len(book)))
	if err != nil {
		t.Fatal(err)
	}
	sheets := map[string][][]sheetCell{}
	for _, f := range archive.File {
		if !strings.HasPrefix(f.Name, "xl/worksheets/sheet") {
			continue
		}
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		var sheet struct {
			Rows []struct {
				Cells []sheetCell `xml:"c"`
			} `xml:"sheetData>row"`
		}
		if err := xml.Unmarshal(content, &sheet); err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, []byte("<dimension")) {
			t.Errorf("%s states a dimension, which is not known before its end", f.Name)
		}
		for _, row := range sheet.Rows {
			sheets[f.Name] = append(sheets[f.Name], row.Cells)
		}
	}
	return sheets
}

// cellFormat is a format of cells as the file has it.
type cellFormat struct {
	Number int  `xml:"numFmtId,attr"` // 49 is text
	Quoted bool `xml:"quotePrefix,attr"`
}

// readFormats reads the formats of a workbook, and those of the columns of its first sheet.
func readFormats(t *testing.T, book []byte) (formats []cellFormat, columns []int) {
	t.Helper()
	archive, err := zip.NewReader(bytes.NewReader(book), int64(len(book)))
	if err != nil {
		t.Fatal(err)
	}
	var styles struct {
		Formats []cellFormat `xml:"cellXfs>xf"`
	}
	var sheet struct {
		Columns []struct {
			First int `xml:"min,attr"`
			Last  int `xml:"max,attr"`
			Style int `xml:"style,attr"`
		} `xml:"cols>col"`
	}
	for name, into := range map[string]any{"xl/styles.xml": &styles, "xl/worksheets/sheet1.xml": &sheet} {
		f, err := archive.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := xml.NewDecoder(f).Decode(into); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range sheet.Columns {
		if c.First != len(columns)+1 {
			t.Errorf("the columns of the sheet are not in order: %v", sheet.Columns)
		}
		for range c.Last - c.First + 1 {
			columns = append(columns, c.Style)
		}
	}
	return styles.Formats, columns
}

// TestWorkbook: every text is typed as text and no cell is a formula, dates are days with a style, and a
// full sheet is followed by another.
func TestWorkbook(t *testing.T) {
	t.Parallel()
	columns := []schema.Column{{Name: "=header"}, {Name: "count", Type: schema.Int64}, {Name: "day", Type: schema.Date}, {Name: "seen", Type: schema.Time}}
	var out bytes.Buffer
	w, err := newWorkbook(&out, columns, "prospects", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w.maxRows = 3
	texts := []string{"=cmd|' /C calc'!A0", " a\n<b>&\" ", "0012345678901234567", "_x0041_"}
	for i, text := range texts {
		row := []Cell{textCell(text), numberCell(-int64(i)), numberCell(20_000), numberCell(1_700_000_000_000_000)}
		if i == 3 {
			row[2], row[3] = numberCell(-40_000), Cell{} // before the first day of Excel
		}
		if err := w.writeRow(row); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	sheets := readSheets(t, out.Bytes())
	if len(sheets) != 2 || len(sheets["xl/worksheets/sheet1.xml"]) != 3 || len(sheets["xl/worksheets/sheet2.xml"]) != 3 {
		t.Fatalf("the sheets are %v, want two of three rows", sheets)
	}
	var got [][]string
	for _, name := range []string{"xl/worksheets/sheet1.xml", "xl/worksheets/sheet2.xml"} {
		for _, row := range sheets[name] {
			var values []string
			for _, c := range row {
				if c.Formula != nil {
					t.Errorf("%s %s is a formula: %s", name, c.Ref, *c.Formula)
				}
				values = append(values, c.Type+":"+c.Value+c.Text)
			}
			got = append(got, values)
		}
	}
	header := []string{"inlineStr:=header", "inlineStr:count", "inlineStr:day", "inlineStr:seen"}
	want := [][]string{
		header, {"inlineStr:" + texts[0], ":0", ":45569", ":45244.92592592593"}, {"inlineStr:" + texts[1], ":-1", ":45569", ":45244.92592592593"},
		header, {"inlineStr:" + texts[2], ":-2", ":45569", ":45244.92592592593"}, {"inlineStr:_x005F_x0041_", ":-3", "inlineStr:1860-06-26"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("cells (-want +got):\n%s", diff)
	}
	const textFormat = 49
	formats, styles := readFormats(t, out.Bytes())
	for i, c := range []sheetCell{sheets["xl/worksheets/sheet1.xml"][1][0], sheets["xl/worksheets/sheet1.xml"][2][0], sheets["xl/worksheets/sheet2.xml"][1][0]} {
		if f := formats[c.Style]; f.Number != textFormat || f.Quoted != (i == 0) {
			t.Errorf("the format of %q is %+v, want text, and a quote before a formula only", texts[i], f)
		}
	}
	if formats[styles[0]] != (cellFormat{Number: textFormat}) || formats[styles[1]].Number == textFormat {
		t.Errorf("the columns have the formats %v of %v, want text for the first one only", styles, formats)
	}
	if day := sheets["xl/worksheets/sheet1.xml"][1][2]; day.Style == 0 {
		t.Error("a date has no style, so it shows as a number")
	}
}

func TestCutCell(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		cut  bool
	}{
		{strings.Repeat("a", maxCellUnits), false}, {strings.Repeat("a", maxCellUnits+1), true},
		{strings.Repeat("ä", maxCellUnits), false}, {strings.Repeat("😀", maxCellUnits/2), false}, {strings.Repeat("😀", maxCellUnits), true},
	} {
		got := cutCell(c.text)
		units := len(utf16.Encode([]rune(got)))
		if (got != c.text) != c.cut || units > maxCellUnits || c.cut && !strings.Contains(got, "[cut: the text has ") {
			t.Errorf("cutCell of %d bytes: %d units, ends with %q", len(c.text), units, got[max(0, len(got)-80):])
		}
	}
}

// TestLargeSheet: a sheet ends before its part of the archive becomes too large.
func TestLargeSheet(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w, err := newWorkbook(&out, []schema.Column{{Name: "a"}}, "prospects", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w.maxBytes = 1000
	for range 4 {
		if err := w.writeRow([]Cell{textCell(strings.Repeat("&", 150))}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	if sheets := readSheets(t, out.Bytes()); len(sheets) != 2 || len(sheets["xl/worksheets/sheet1.xml"]) != 3 || len(sheets["xl/worksheets/sheet2.xml"]) != 3 {
		t.Errorf("%d sheets, the first of %d rows; want two of three", len(sheets), len(sheets["xl/worksheets/sheet1.xml"]))
	}
}

func TestTooManyColumns(t *testing.T) {
	t.Parallel()
	if _, err := newWorkbook(io.Discard, make([]schema.Column, maxSheetColumns+1), "prospects", t.TempDir()); err == nil || !strings.Contains(err.Error(), "--signals") {
		t.Errorf("error %v, want one that says what to do", err)
	}
}
