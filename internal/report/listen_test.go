package report

import (
	"bytes"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/inbox"
	"github.com/siglake/siglake/internal/receiver"
	"github.com/siglake/siglake/internal/report/metricstest"
)

// TestListenMetrics: a monitor reads the figures of a listener, each kind and reason from the beginning.
func TestListenMetrics(t *testing.T) {
	t.Parallel()
	s := &app.ListenStatus{
		Lake: `la"ke`, Started: time.Unix(1000, 0), Waiting: 3, Remembered: 9, Secrets: 2, Unpublished: 5, LastPublished: time.Unix(2000, 0),
		Publications: map[app.PublicationOutcome]int64{app.PublicationDone: 4},
		Counts: receiver.Counts{
			New: map[inbox.Kind]int64{inbox.Event: 7, inbox.OptOut: 1}, Known: map[inbox.Kind]int64{inbox.Event: 2},
			Refused: map[receiver.Reason]int64{receiver.WrongSignature: 6}, Challenges: 1, Took: 1_000_020 * time.Microsecond, Last: time.Unix(3000, 5),
		},
	}
	var out bytes.Buffer
	WriteListenMetrics(&out, s)
	got, err := metricstest.Parse(out.String())
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	lake := `lake="la\"ke"`
	for sample, want := range map[metricstest.Sample]string{
		{Name: "siglake_webhook_deliveries_total", Labels: lake + `,kind="event",state="new"`}:      "7",
		{Name: "siglake_webhook_deliveries_total", Labels: lake + `,kind="event",state="known"`}:    "2",
		{Name: "siglake_webhook_deliveries_total", Labels: lake + `,kind="unreadable",state="new"`}: "0",
		{Name: "siglake_webhook_refused_total", Labels: lake + `,reason="signature"`}:               "6",
		{Name: "siglake_webhook_refused_total", Labels: lake + `,reason="age"`}:                     "0",
		{Name: "siglake_webhook_durable_seconds_total", Labels: lake}:                               "1.000020",
		{Name: "siglake_webhook_publications_total", Labels: lake + `,outcome="done"`}:              "4",
		{Name: "siglake_webhook_publications_total", Labels: lake + `,outcome="locked"`}:            "0",
		{Name: "siglake_webhook_waiting", Labels: lake}:                                             "3",
		{Name: "siglake_webhook_received_since_publication", Labels: lake}:                          "5",
		{Name: "siglake_webhook_last_delivery_timestamp_seconds", Labels: lake}:                     "3000",
		{Name: "siglake_webhook_last_publication_timestamp_seconds", Labels: lake}:                  "2000",
		{Name: "siglake_webhook_healthy", Labels: lake}:                                             "1",
	} {
		if got[sample] != want {
			t.Errorf("%s{%s} = %q, want %q", sample.Name, sample.Labels, got[sample], want)
		}
	}
	out.Reset()
	WriteListenMetrics(&out, &app.ListenStatus{Unhealthy: "stopping"})
	if got, err = metricstest.Parse(out.String()); err != nil || got[metricstest.Sample{Name: "siglake_webhook_healthy", Labels: `lake=""`}] != "0" {
		t.Errorf("of a listener that stops: %v\n%s", err, out.String())
	}
}
