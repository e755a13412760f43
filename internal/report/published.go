package report

import (
	"io"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
)

// PrintPublished says what siglake webhooks publish did, apart from the summary of its run.
func PrintPublished(w io.Writer, r *app.PublishReport) {
	if r.Manifest == nil {
		format.Fprintf(w, "Nothing to publish: all that the inbox of %s holds is in the lake.\n", r.Lake)
	} else {
		PrintSummary(w, r.Lake, r.Manifest, app.UndecidedCalls{})
	}
	for _, n := range []struct {
		count int64
		noun  string
		why   string
	}{
		{r.Copies, "copy", "of deliveries that the lake has"},
		{r.Tests, "delivery", "stating a charge of 0: taken for a test, kept in the inbox and not published"},
		{r.OptOuts, "opt-out notice", "in the inbox"},
		{r.Lost, "delivery", "removed from the inbox before it was published"},
	} {
		if n.count > 0 {
			format.Fprintf(w, "  %s %s\n", format.Count(n.count, n.noun), n.why)
		}
	}
}

// PublishFigures sum up what was published.
func PublishFigures(r *app.PublishReport) *Figures {
	return &Figures{
		Text:   "published: " + format.Count(r.Deliveries, "delivery"),
		Values: map[string]int64{"deliveries": r.Deliveries, "copies": r.Copies, "tests": r.Tests, "opt_out_notices": r.OptOuts, "lost": r.Lost},
	}
}
