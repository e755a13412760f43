package report

import (
	"cmp"
	"io"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
)

// PrintExport says what was exported.
func PrintExport(w io.Writer, r *app.ExportReport) {
	format.Fprintf(w, "%s: %s, %s, %s\n\n", r.Output, format.Count(r.Rows, "row"), format.Count(r.Columns, "column"), format.Bytes(r.Bytes))
	format.Fprintf(w, "  Lake      %s, generation %d\n", r.Lake, r.Generation)
	format.Fprintf(w, "  Lines     %s of %s, %s with events\n", format.Thousands(r.Lines), cmp.Or(r.List, "the lake"), format.Thousands(r.WithEvents))
	shared := ""
	if r.Events > 0 {
		shared = ", counted for each line that they belong to"
	}
	format.Fprintf(w, "  Events    %s%s\n", format.Thousands(r.Events), shared)
	for _, note := range r.Notes {
		format.Fprintf(w, "  Note      %s\n", note)
	}
}
