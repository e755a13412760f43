package report

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
)

// PrintUnion prints how the shards of a list stand, and what they cost together.
func PrintUnion(out io.Writer, u *app.UnionReport) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	format.Fprintf(w, "SHARD\tLAKE\tGENERATION\tRUNS\tCALLS\tCREDITS\tSTATE\n")
	incomplete := 0
	for _, s := range u.Lakes {
		state := "complete"
		if len(s.Problems) > 0 {
			state = strings.Join(s.Problems, "; ")
			incomplete++
		}
		lake := s.Lake
		if lake == "" {
			lake = "-"
		}
		format.Fprintf(w, "%d/%d\t%s\t%d\t%s\t%s\t%s\t%s\n", s.Shard, u.Shards, lake, s.Generation, format.Thousands(int64(s.Runs)), format.Thousands(int64(s.Calls)), format.Thousands(s.Credits), state)
	}
	format.Fprintf(w, "\nLIST\tCOMMAND\tRUNS\tCALLS\tCREDITS\n")
	for _, l := range u.Lists {
		format.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", l.Name, l.Service, format.Thousands(int64(l.Runs)), format.Thousands(int64(l.Calls)), format.Thousands(l.Credits))
	}
	format.Fprintf(w, "\nSIGNAL\tCREDITS\n")
	for _, l := range u.Signals {
		format.Fprintf(w, "%s\t%s\n", l.Name, format.Thousands(l.Credits))
	}
	if u.OtherCredits != 0 {
		format.Fprintf(w, "others\t%s\n", format.Thousands(u.OtherCredits))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	total := format.Count(u.Credits, "credit")
	if u.MaxCost > u.Credits {
		total = fmt.Sprintf("%s, at most %s with what is unsettled", total, format.Thousands(u.MaxCost))
	}
	state := "all complete"
	if incomplete > 0 {
		state = fmt.Sprintf("%d of them missing or not complete", incomplete)
	}
	format.Fprintf(out, "\n%s, %s: %s\n", format.Count(u.Shards, "shard"), state, total)
	return nil
}
