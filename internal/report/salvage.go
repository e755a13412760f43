package report

import (
	"io"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/ledger"
)

// maxLossesShown is the number of lost calls that are printed; --json has all.
const maxLossesShown = 20

// PrintSalvage says what a salvage kept of a journal, and what is missing.
func PrintSalvage(w io.Writer, r *app.SalvageReport) {
	if r.Whole {
		format.Fprintf(w, "The journal of %s is not damaged: nothing was changed. siglake verify compares it with the lake.\n", r.Lake)
		return
	}
	if r.Replaced && r.KeptAs == "" {
		format.Fprintf(w, "An earlier salvage of %s was interrupted; it is complete now.\n", r.Lake)
		return
	}
	if r.Records == 0 && len(r.Lost)+len(r.Gaps) == 0 {
		return
	}
	format.Fprintf(w, "Whole records    %s: %s, %s, %s charged\n", format.Thousands(int64(r.Records)), format.Count(r.Runs, "run"), format.Count(r.Calls, "call"), format.Count(r.Charged, "credit"))
	for _, g := range r.Gaps {
		format.Fprintf(w, "Damaged          %s\n", g)
	}
	if r.Late > 0 {
		format.Fprintf(w, "Two writers      %s by a process after another one had taken over; all were kept\n", format.Count(r.Late, "record"))
	}
	for _, run := range r.Restored {
		format.Fprintf(w, "Run restored     %s, from its manifest and later records\n", run)
	}
	if r.Bounds > 0 {
		format.Fprintf(w, "Bounds dropped   %s of the account's usage: calls in doubt count at their ceilings again\n", format.Count(r.Bounds, "reading"))
	}
	printLosses(w, r)
	if r.Replaced {
		format.Fprintf(w, "The journal was replaced. The damaged one is kept as %s. Next: siglake verify --lake %s\n", r.KeptAs, r.Lake)
	}
}

// printLosses says which lines and calls are not all there, and what the calls were charged.
func printLosses(w io.Writer, r *app.SalvageReport) {
	calls := make([]ledger.Loss, 0, len(r.Lost))
	for _, l := range r.Lost {
		if l.Lines == 0 {
			calls = append(calls, l)
			continue
		}
		format.Fprintf(w, "Missing          run %s: the status of %s; the rows are in the lake, and a rebuild would lack them\n", l.Run, format.Count(l.Lines, "line"))
	}
	if len(calls) > 0 {
		printLostCalls(w, calls)
	} else if len(r.Gaps) > 0 {
		format.Fprintf(w, "Missing          no call that the manifests or other records name; unfinished runs may have made others\n")
	}
}

// printLostCalls says which calls are not all there.
func printLostCalls(w io.Writer, calls []ledger.Loss) {
	var credits, unknown int64
	for i, l := range calls {
		charge := "charge unknown"
		if l.Credits != nil {
			charge = format.Count(*l.Credits, "credit")
			credits += *l.Credits
		} else {
			unknown++
		}
		if i >= maxLossesShown {
			continue
		}
		fate := "may be bought again"
		if l.InDoubt {
			fate = "held as a call in doubt"
		}
		format.Fprintf(w, "Missing          run %s, call %s: %s (%s); %s\n", l.Run, l.Call, l.What, charge, fate)
	}
	if more := len(calls) - maxLossesShown; more > 0 {
		format.Fprintf(w, "                 and %s more; --json lists all\n", format.Count(more, "call"))
	}
	format.Fprintf(w, "Missing in all   %s, charged %s", format.Count(len(calls), "call"), format.Count(credits, "credit"))
	if unknown > 0 {
		format.Fprintf(w, " and what %s cost", format.Count(unknown, "call"))
	}
	format.Fprintf(w, "\n")
}
