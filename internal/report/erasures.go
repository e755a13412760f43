package report

import (
	"io"
	"time"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
)

// PrintErasures lists the requests of persons to be forgotten.
func PrintErasures(w io.Writer, lake string, requests []app.ErasureRequest, pending int) {
	for i := range requests {
		r := &requests[i]
		opted := "unknown"
		if r.Requested != nil {
			opted = r.Requested.UTC().Format(time.DateOnly)
		}
		format.Fprintf(w, "contact %s  opted out %s  received %s  due %s  %s\n", r.Contact, opted, r.Received.UTC().Format(time.DateOnly), r.Due.UTC().Format(time.DateOnly), r.Reason)
	}
	format.Fprintf(w, "%s of %s. siglake requests nothing about these persons, and the views of siglake ddl and exports leave their rows out; the files still have them.\n",
		format.Count(int64(len(requests)), "request"), lake)
	if pending > 0 {
		format.Fprintf(w, "Note: %s in the inbox; siglake webhooks publish records them.\n", format.Count(int64(pending), "further notice"))
	}
}
