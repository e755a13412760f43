package report

import (
	"io"
	"strings"
	"text/tabwriter"

	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/schema"
)

// PrintCatalogue prints signal types, one a line, and the columns of their tables.
func PrintCatalogue(out io.Writer, chosen []schema.Signal, columns bool) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	format.Fprintf(w, "KEY\tOBJECT\tCATEGORY\tCADENCE\tAPI V2\tAPI V3\n")
	for _, s := range chosen {
		category := string(s.Category)
		if s.Risk && s.Category != schema.CategoryRisk {
			category += " (is_risk)"
		}
		if s.Personal {
			category += " (by its key only)"
		}
		format.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", s.Key, s.Object, category, s.Cadence, s.V2, s.V3)
	}
	_ = w.Flush() // the writer below reports its own errors
	if !columns {
		return
	}
	shown := map[schema.Category]bool{}
	for _, s := range chosen {
		if len(s.NewsEventTypes) > 0 {
			format.Fprintf(out, "\n%s event types: %s\n", s.Key, strings.Join(s.NewsEventTypes, ", "))
		}
		if shown[s.Category] {
			continue
		}
		shown[s.Category] = true
		t := schema.EventTable(s.Category)
		format.Fprintf(out, "\nTable %s (version %d): %s\n\n", t.Name, t.Version, t.Doc)
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		for _, col := range t.Columns {
			doc := col.Doc
			if col.Unit != "" {
				doc += " [" + col.Unit + "]"
			}
			format.Fprintf(w, "  %s\t%s\t%s\n", col.Name, col.Type, doc)
		}
		_ = w.Flush()
	}
}

// PrintCatalogueJSON prints signal types for machines, with the columns of their tables.
func PrintCatalogueJSON(w io.Writer, chosen []schema.Signal) error {
	type column struct {
		Name string   `json:"name"`
		Type string   `json:"type"`
		Doc  string   `json:"doc"`
		Unit string   `json:"unit,omitempty"`
		From []string `json:"from,omitempty"`
	}
	type entry struct {
		Key        string   `json:"key"`
		Object     string   `json:"object"`
		Category   string   `json:"category"`
		Cadence    string   `json:"cadence"`
		V2         string   `json:"v2"`
		V3         string   `json:"v3"`
		IsRisk     bool     `json:"is_risk"`
		EventTypes []string `json:"news_event_types,omitempty"`
		ByKeyOnly  bool     `json:"by_key_only"` // names persons: no category includes it
		Columns    []column `json:"columns"`
	}
	out := make([]entry, 0, len(chosen))
	for _, s := range chosen {
		e := entry{s.Key, string(s.Object), string(s.Category), s.Cadence, string(s.V2), string(s.V3), s.Risk, s.NewsEventTypes, s.Personal, nil}
		for _, col := range schema.EventTable(s.Category).Columns {
			e.Columns = append(e.Columns, column{col.Name, col.Type.String(), col.Doc, col.Unit, col.From})
		}
		out = append(out, e)
	}
	return PrintJSON(w, out)
}
