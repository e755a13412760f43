package lakereport

import (
	"crypto/sha256"
	_ "embed" // the parts of the page
	"encoding/base64"
	"html/template"
	"io"
	"slices"
	"strings"

	"github.com/siglake/siglake/internal/format"
)

// The parts of the page. uPlot 1.6.32 (MIT, assets/uPlot-LICENSE.txt) draws the charts; its files are those of the
// release, with the SHA-256 digests 19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f (script) and
// df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04 (style).
var (
	//go:embed assets/page.html
	pageHTML string
	//go:embed assets/page.css
	pageCSS string
	//go:embed assets/page.js
	pageJS string
	//go:embed assets/uPlot-1.6.32.iife.min.js
	chartJS string
	//go:embed assets/uPlot-1.6.32.min.css
	chartCSS string
	//go:embed assets/uPlot-LICENSE.txt
	chartLicense string
)

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"show": show, "words": strings.Fields, "thousands": format.Thousands, "len64": func(rows [][]any) int64 { return int64(len(rows)) }, "list": func(words []string) string { return format.List(words, 5) },
	"visible":  visibleColumns,
	"isKey":    func(id string) bool { return id == "signal_type" || id == "outcome" || id == "run_id" },
	"isNumber": func(k Kind) bool { return k == Count || k == Decimal || k == Percent },
}).Parse(pageHTML))

// WriteHTML writes the report as a page.
func WriteHTML(w io.Writer, r *Report) error {
	style := chartCSS + "\n" + pageCSS
	// The scripts stand in the page as they are, so that the digests in the policy are those of their texts.
	return page.Execute(w, map[string]any{
		"Report": r, "Style": template.CSS(style), "Chart": template.JS(chartJS), "Script": template.JS(pageJS), //nolint:gosec // parts of the program
		"License": strings.TrimSpace(chartLicense),
		"Policy": "default-src 'none'; script-src " + digest(chartJS) + " " + digest(pageJS) + "; style-src " + digest(style) +
			"; base-uri 'none'; form-action 'none'",
	})
}

// digest is the source of a policy that allows one text.
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// placedColumn is a column with its place in the rows.
type placedColumn struct {
	Column
	Index int
}

// visibleColumns are the columns that the page has: a sparse one only if it says something.
func visibleColumns(t Table) (columns []placedColumn) {
	for i, c := range t.Columns {
		isZero := func(row []any) bool { return row[i] == any(int64(0)) }
		if !c.Sparse || !allRows(t.Rows, isZero) {
			columns = append(columns, placedColumn{c, i})
		}
	}
	return columns
}

func allRows(rows [][]any, is func([]any) bool) bool {
	return !slices.ContainsFunc(rows, func(row []any) bool { return !is(row) })
}
