package report

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/ledger"
)

// maxPrunedRunsShown is the number of runs that are printed; --json has all.
const maxPrunedRunsShown = 5

// PrintPruning says what a pruning removes or has removed, and what is lost.
func PrintPruning(w io.Writer, r *app.PruneReport) {
	if r.IsEmpty() {
		format.Fprintf(w, "Nothing to remove: %s\n", emptyReason(r))
		return
	}
	verb := "Would remove"
	if r.Done {
		verb = "Removed"
	}
	if r.Files != nil {
		printFilePruning(w, verb, r)
	}
	if r.Journal != nil {
		printJournalPruning(w, verb, r)
	}
	if !r.Done {
		format.Fprintf(w, "Nothing was removed yet. Add --yes to remove this; that cannot be undone.\n")
	}
}

func emptyReason(r *app.PruneReport) string {
	date := r.Before.Format(time.DateOnly)
	switch {
	case r.Journal == nil:
		return fmt.Sprintf("no file of %s was superseded before %s. siglake compact merges small files; prune removes them later.", r.Lake, date)
	case r.Journal.Checkpoint == "":
		return fmt.Sprintf("the journal of %s has no checkpoint yet. A run writes one when the journal has grown by a few MiB.", r.Lake)
	}
	return fmt.Sprintf("the journal of %s has no answer from before %s that can go.%s", r.Lake, date, keptText(r.Journal))
}

func printFilePruning(w io.Writer, verb string, r *app.PruneReport) {
	f := r.Files
	var parts []string
	if n := len(f.Replaced); n > 0 {
		parts = append(parts, fmt.Sprintf("%s with %s (%s) that compactions merged into larger ones before %s",
			format.Count(n, "file"), format.Count(f.ReplacedRows, "row"), format.Bytes(f.Bytes), r.Before.Format(time.DateOnly)))
	}
	if n := len(f.Lists); n > 0 {
		parts = append(parts, format.Count(n, "list")+" of the files of old generations")
	}
	if n := len(f.Abandoned); n > 0 {
		parts = append(parts, format.Count(n, "file")+" of compactions that did not finish")
	}
	format.Fprintf(w, "%s %s.\n", verb, strings.Join(parts, ", and "))
	if len(f.Replaced) > 0 {
		format.Fprintf(w, "Lost: readers who glob data/ or ledger/ do not see these rows any more. The tables and views of siglake ddl do.\n")
		format.Fprintf(w, "Lost: siglake ddl --generation N shows no generation before %d. All manifests stay, and so does news_as_of(MOMENT).\n", f.Oldest)
	}
	if f.Waiting > 0 {
		format.Fprintf(w, "%s more can be removed later: tables of query engines still read them, until an hour after the list of merges is written.\n", format.Count(f.Waiting, "file"))
	}
	if f.Generation > 0 && r.Done {
		format.Fprintf(w, "Generation %d records what was removed.\n", f.Generation)
	}
}

func printJournalPruning(w io.Writer, verb string, r *app.PruneReport) {
	j := r.Journal
	format.Fprintf(w, "%s %s (about %s, bought for %s) of %s published before %s.\n", verb,
		format.Count(j.Answers, "answer"), format.Bytes(r.Bytes), format.Count(j.Credits, "credit"), format.Count(len(j.Runs), "run"), r.Before.Format(time.DateOnly))
	for i, run := range j.Runs {
		if i == maxPrunedRunsShown && len(j.Runs) > i+1 {
			format.Fprintf(w, "  and %s more, up to %s\n", format.Count(len(j.Runs)-i, "run"), j.Runs[len(j.Runs)-1].Run)
			break
		}
		format.Fprintf(w, "  %s of %s, published %s\n", run.Run, run.List, run.Published.Format(time.DateOnly))
	}
	format.Fprintf(w, "Lost: siglake rebuild is not possible any more, and siglake verify compares these runs by their credits only: the lake's own files alone have their rows. Back the lake up.\n")
	format.Fprintf(w, "Kept: the bill, cursors, what was bought and what is in doubt.%s\n", keptText(j))
}

// keptTexts say why answers stay.
var keptTexts = []struct {
	reason ledger.KeepReason
	text   string
}{
	{ledger.KeptRecent, "of newer runs"}, {ledger.KeptCheckpoint, "that no checkpoint has left behind"}, {ledger.KeptInDoubt, "to calls that are or were in doubt"},
	{ledger.KeptUnknown, "with an unknown charge"}, {ledger.KeptUnpublished, "of unpublished runs"}, {ledger.KeptPages, "with pages of results"},
	{ledger.KeptValid, "with ids that still count"}, {ledger.KeptUndated, "with dates that nothing else has"},
}

func keptText(j *app.JournalPruning) string {
	text := ""
	for _, k := range keptTexts {
		if n := j.Kept[k.reason]; n > 0 {
			text += fmt.Sprintf(", %s %s", format.Count(n, "answer"), k.text)
		}
	}
	if text == "" {
		return ""
	}
	return " These stay: " + text[2:] + "."
}
