package report

import (
	"io"
	"time"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
)

// PrintErasures lists the requests of persons to be forgotten.
func PrintErasures(w io.Writer, lake string, list *app.ErasureList) {
	for i := range list.Requests {
		r := &list.Requests[i]
		opted := "unknown"
		if r.Requested != nil {
			opted = r.Requested.UTC().Format(time.DateOnly)
		}
		format.Fprintf(w, "contact %s  opted out %s  received %s  due %s  %s\n", r.Contact, opted, r.Received.UTC().Format(time.DateOnly), r.Due.UTC().Format(time.DateOnly), r.Reason)
	}
	format.Fprintf(w, "%s of %s. siglake requests nothing about these persons, and exports, reports and the views of siglake ddl leave them out; the files still have them.\n",
		format.Count(int64(len(list.Requests)), "request"), lake)
	if list.Pending > 0 {
		format.Fprintf(w, "Note: %s in the inbox; siglake webhooks publish records them.\n", format.Count(int64(list.Pending), "further notice"))
	}
	if text := app.OptOutGapText(list.OptOutGaps); text != "" {
		format.Fprintf(w, "Note: %s.\n", text)
	}
}
