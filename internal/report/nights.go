package report

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/siglake/siglake/internal/format"
)

// NightTable is a rehearsal of nights, with what it is compared with.
type NightTable struct {
	Lake   string
	Nights []Night
	// Different events that the nights bought, and that requests for the whole window found.
	Found, Findable int64
}

// Night is one night of a rehearsal.
type Night struct {
	Day     string
	Since   string // the window
	Credits int64
	New     int64 // events that no earlier night bought
	Whole   int64 // credits of the whole window, in a lake of its own
}

// PrintNights prints what each night cost and brought, and what the nights after the first come to.
func PrintNights(out io.Writer, t *NightTable) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	format.Fprintf(w, "NIGHT\tDAY\tSINCE\tCREDITS\tNEW EVENTS\tWHOLE WINDOW AGAIN\t\n")
	var later Night
	for i, n := range t.Nights {
		format.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t\n", i+1, n.Day, n.Since, format.Thousands(n.Credits), format.Thousands(n.New), format.Thousands(n.Whole))
		if i > 0 {
			later.Credits, later.New, later.Whole = later.Credits+n.Credits, later.New+n.New, later.Whole+n.Whole
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	format.Fprintf(out, "\nNights 2 to %d: %s for %s%s.\n", len(t.Nights), format.Count(later.Credits, "credit"), format.Count(later.New, "new event"), each(later.Credits, later.New))
	format.Fprintf(out, "Requesting the whole window every night: %s for the same nights%s.\n", format.Count(later.Whole, "credit"), each(later.Whole, later.New))
	if missed := t.Findable - t.Found; missed > 0 {
		format.Fprintf(out, "The whole window found %s that the nights missed.\n", format.Count(missed, "event"))
	}
	format.Fprintf(out, "The lake is %s; siglake status --lake %s shows its runs.\n", t.Lake, t.Lake)
	return nil
}

// each is the price of a new event, to a tenth of a credit.
func each(credits, events int64) string {
	if events == 0 {
		return ""
	}
	tenths := (credits*10 + events/2) / events
	return fmt.Sprintf(", %s.%d each", format.Thousands(tenths/10), tenths%10)
}
