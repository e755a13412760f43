package report

import (
	"io"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
)

// PrintPagesPlan prints what lookalikes or visitors would request.
func PrintPagesPlan(w io.Writer, p *app.PagesPlan) {
	format.Fprintf(w, "Plan of siglake %s for %s; nothing was bought\n\n", p.Command, p.Subject)
	printPagesFigures(w, p)
}

// printPagesFigures prints the figures and notes of a plan of pages.
func printPagesFigures(w io.Writer, p *app.PagesPlan) {
	bought := format.Count(p.Bought, "result") + ", which are not bought again"
	if p.Exhausted {
		bought = format.Count(p.Bought, "result") + "; there are no more"
	}
	format.Fprintf(w, "  Bought before  %s\n", bought)
	if p.Results != nil {
		format.Fprintf(w, "  To request     %s at most, in %s\n", format.Count(*p.Results, "result"), format.Count(*p.Calls, "call"))
		format.Fprintf(w, "  Credits        at most %s", format.Thousands(*p.Credits))
	} else {
		format.Fprintf(w, "  To request     all there are, in pages of %s\n", format.Thousands(p.PageSize))
		format.Fprintf(w, "  Credits        no bound; at most %s a page", format.Thousands(p.PageCredits))
	}
	if p.CreditsLeft != nil {
		format.Fprintf(w, " · %s left in the account", format.Thousands(*p.CreditsLeft))
	}
	format.Fprintf(w, "\n")
	for _, note := range p.Notes {
		format.Fprintf(w, "\n  Note: %s\n", note)
	}
}
