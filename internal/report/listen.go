package report

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
)

// listenMetric is a family of samples of a listener in the OpenMetrics format. A counter grows while the
// process lives.
type listenMetric struct {
	name, unit, help string
	counter          bool
	samples          func(s *app.ListenStatus) []metricSample
}

// listenMetrics are the families, in their order.
var listenMetrics = []listenMetric{
	{"siglake_webhook_deliveries", "", "Deliveries that were acknowledged, by kind; known: a copy of one that was.", true, deliverySamples},
	{"siglake_webhook_refused", "", "Requests that were not acknowledged, by reason.", true, refusalSamples},
	{"siglake_webhook_challenges", "", "Questions whether the address receives webhooks, answered.", true,
		func(s *app.ListenStatus) []metricSample { return oneSample(s.Challenges) }},
	{"siglake_webhook_durable_seconds", "seconds", "Time until deliveries were durable, in sum; divide it by the deliveries.", true,
		func(s *app.ListenStatus) []metricSample {
			return []metricSample{{"", fmt.Sprintf("%d.%06d", s.Took.Microseconds()/1e6, s.Took.Microseconds()%1e6)}}
		}},
	{"siglake_webhook_waiting", "", "Deliveries that wait to become durable.", false,
		func(s *app.ListenStatus) []metricSample { return oneSample(int64(s.Waiting)) }},
	{"siglake_webhook_remembered_ids", "", "Ids of deliveries of the last day.", false,
		func(s *app.ListenStatus) []metricSample { return oneSample(int64(s.Remembered)) }},
	{"siglake_webhook_secrets", "", "Secrets that a delivery may be signed with.", false,
		func(s *app.ListenStatus) []metricSample { return oneSample(int64(s.Secrets)) }},
	{"siglake_webhook_received_since_publication", "", "New deliveries that this process received since it last published; a run publishes them, too.", false,
		func(s *app.ListenStatus) []metricSample { return oneSample(s.Unpublished) }},
	{"siglake_webhook_publications", "", "Attempts of this process to publish, by outcome; locked: a run worked on the lake.", true, publicationSamples},
	{"siglake_webhook_last_delivery_timestamp_seconds", "seconds", "When the last delivery was received; 0: none was.", false,
		func(s *app.ListenStatus) []metricSample { return oneSample(unixOrZero(s.Last)) }},
	{"siglake_webhook_last_publication_timestamp_seconds", "seconds", "When this process last published; 0: it has not.", false,
		func(s *app.ListenStatus) []metricSample { return oneSample(unixOrZero(s.LastPublished)) }},
	{"siglake_webhook_start_timestamp_seconds", "seconds", "When this process began.", false,
		func(s *app.ListenStatus) []metricSample { return oneSample(unixOrZero(s.Started)) }},
	{"siglake_webhook_healthy", "", "Whether deliveries can be received.", false,
		func(s *app.ListenStatus) []metricSample {
			if s.Unhealthy != "" {
				return oneSample(0)
			}
			return oneSample(1)
		}},
}

func deliverySamples(s *app.ListenStatus) (samples []metricSample) {
	for _, k := range app.DeliveryKinds {
		kind := `kind="` + labelText(k.String()) + `",state="`
		samples = append(samples, metricSample{kind + `new"`, strconv.FormatInt(s.New[k], 10)}, metricSample{kind + `known"`, strconv.FormatInt(s.Known[k], 10)})
	}
	return samples
}

func refusalSamples(s *app.ListenStatus) (samples []metricSample) {
	for _, r := range app.RefusalReasons {
		samples = append(samples, labelled("reason", string(r), s.Refused[r]))
	}
	return samples
}

func publicationSamples(s *app.ListenStatus) (samples []metricSample) {
	for _, o := range app.PublicationOutcomes {
		samples = append(samples, labelled("outcome", string(o), s.Publications[o]))
	}
	return samples
}

func unixOrZero(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// WriteListenMetrics writes the figures of a listener in the OpenMetrics text format.
func WriteListenMetrics(w io.Writer, s *app.ListenStatus) {
	lake := `lake="` + labelText(s.Lake) + `"`
	for _, m := range listenMetrics {
		kind, name := "gauge", m.name
		if m.counter {
			kind, name = "counter", m.name+"_total"
		}
		format.Fprintf(w, "# TYPE %s %s\n", m.name, kind)
		if m.unit != "" {
			format.Fprintf(w, "# UNIT %s %s\n", m.name, m.unit)
		}
		format.Fprintf(w, "# HELP %s %s\n", m.name, m.help)
		for _, sample := range m.samples(s) {
			labels := lake
			if sample.label != "" {
				labels += "," + sample.label
			}
			format.Fprintf(w, "%s{%s} %s\n", name, labels, sample.value)
		}
	}
	format.Fprintf(w, "# EOF\n")
}

// PrintListening says where deliveries are received.
func PrintListening(w io.Writer, a *app.ListenAddresses) {
	format.Fprintf(w, "receiving webhooks at %s; %s of the last day in the inbox\n", a.URL, deliveries(int64(a.Known)))
	if a.Admin != "" {
		format.Fprintf(w, "health and metrics at %s/healthz and %[1]s/metrics\n", a.Admin)
	}
}

// PrintListenEnd says what a listener received.
func PrintListenEnd(w io.Writer, s *app.ListenStatus) {
	fresh, known := s.Total()
	refused := int64(0)
	for _, n := range s.Refused {
		refused += n
	}
	format.Fprintf(w, "received %s, and %s again; refused %s\n", deliveries(fresh), format.Thousands(known), format.Count(refused, "request"))
}

func deliveries(n int64) string {
	if n == 1 {
		return "1 delivery"
	}
	return format.Thousands(n) + " deliveries"
}
