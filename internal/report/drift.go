package report

import (
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/pipeline"
)

// maxDriftShown is the number of differences that a summary lists.
const maxDriftShown = 8

// logDrift warns in the log about answers that differ from what the schema knows.
func logDrift(log *slog.Logger, d *pipeline.DriftReport) {
	if d != nil {
		first := &d.Found[0]
		log.Warn("answers differ from what this version knows: see ledger/drift", "differences", d.Differences, "first_call", first.FirstCall, "first", first.Describe())
	}
}

// printDrift says how the answers of a run differ from what the schema knows; d is nil if they do not.
func printDrift(w io.Writer, d *pipeline.DriftReport) {
	if d == nil {
		return
	}
	format.Fprintf(w, "\n  Drift: answers differ from what this version knows in %s, first in call %s; every value is kept (siglake help contract)\n",
		waysText(d), d.Found[0].FirstCall)
	printDifferences(w, d)
}

// waysText is the number of differences.
func waysText(d *pipeline.DriftReport) string {
	text := format.Count(d.Differences, "way")
	if d.Truncated {
		text += " or more"
	}
	return text
}

// printDifferences lists differences, those of several signal types in one line.
func printDifferences(w io.Writer, d *pipeline.DriftReport) {
	groups := groupDrift(d.Found)
	for _, g := range groups[:min(maxDriftShown, len(groups))] {
		of := ""
		if len(g.signals) > 1 {
			of = ", in " + format.List(g.signals, 3)
		}
		format.Fprintf(w, "    %s%s: %s, from call %s\n", g.text, of, format.Count(int(g.events), g.unit), g.first)
	}
	if n := len(groups) - maxDriftShown; n > 0 || len(d.Found) < d.Differences {
		format.Fprintf(w, "    and more, in ledger/drift\n")
	}
}

// driftGroup is a difference that several signal types may show.
type driftGroup struct {
	text, first, unit string
	signals           []string
	events            int64
}

// groupDrift joins the differences of signal types that are the same but for the type.
func groupDrift(found []pipeline.Drift) (groups []driftGroup) {
	at := map[string]int{}
	for i := range found {
		d := found[i]
		key := fmt.Sprintf("%q %q %q %q", d.Kind, d.Path, d.Expected, d.Found)
		if d.Kind == pipeline.NewType {
			key += d.SignalType
		}
		if n, ok := at[key]; ok {
			g := &groups[n]
			if len(g.signals) == 1 { // the text named the first one
				bare := d
				bare.SignalType = ""
				g.text = bare.Describe()
			}
			g.events, g.signals = g.events+d.Events, append(g.signals, d.SignalType)
			g.first = min(g.first, d.FirstCall)
			continue
		}
		at[key] = len(groups)
		g := driftGroup{d.Describe(), d.FirstCall, "event", []string{d.SignalType}, d.Events}
		switch {
		case strings.HasPrefix(d.Path, "entry."):
			g.unit = "account"
		case strings.HasPrefix(d.Path, "answer."):
			g.unit = "answer"
		}
		groups = append(groups, g)
	}
	return groups
}

// printDriftStatus says what the newest run with drift met; d is nil if there is none.
func printDriftStatus(w io.Writer, d *app.DriftStatus) {
	if d == nil {
		return
	}
	format.Fprintf(w, "  Drift: answers to run %s (%s) differ from what its version knew in %s; every value is kept (siglake help contract)\n",
		d.Run, timeText(&d.Finished), waysText(&d.DriftReport))
	printDifferences(w, &d.DriftReport)
}
