package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/pipeline"
)

// lastSuccess is the metric that outlives the run that it is about: its value is taken over from
// the file before, until a run succeeds again.
const lastSuccess = "siglake_last_success_timestamp_seconds"

// metric is a family of samples in the OpenMetrics format. All are gauges: each file describes the
// last run, so nothing in it only grows.
type metric struct {
	name, unit, help string
	samples          func(e *RunEnd, s *RunSummary) []metricSample
}

// metricSample is one value, with its label in addition to those of the run.
type metricSample struct {
	label, value string // label: empty, or name="value"
}

// metrics are the families, in their order in the file.
var metrics = []metric{
	{"siglake_last_end_timestamp_seconds", "seconds", "When the last run ended, however it ended.",
		func(e *RunEnd, _ *RunSummary) []metricSample { return oneSample(e.Finished.Unix()) }},
	{"siglake_last_exit_code", "", "Exit code of the last run; see siglake help exit-codes.",
		func(_ *RunEnd, s *RunSummary) []metricSample { return oneSample(int64(s.ExitCode)) }},
	{"siglake_last_duration_seconds", "seconds", "Duration of the last run.",
		func(_ *RunEnd, s *RunSummary) []metricSample {
			return []metricSample{{"", fmt.Sprintf("%d.%03d", s.DurationMS/1000, s.DurationMS%1000)}}
		}},
	{"siglake_last_credits", "", "Credits that the API charged for the last run.",
		func(_ *RunEnd, s *RunSummary) []metricSample { return oneSample(s.Credits) }},
	{"siglake_last_credits_in_doubt_ceiling", "", "The most that calls in doubt of the last run can have cost in addition.",
		func(_ *RunEnd, s *RunSummary) []metricSample { return oneSample(s.InDoubtCeiling) }},
	{"siglake_last_credits_unknown_ceiling", "", "The most that answers without a readable charge can have cost in addition.",
		func(_ *RunEnd, s *RunSummary) []metricSample { return oneSample(s.UnknownCeiling) }},
	{"siglake_last_credits_beyond_events", "", "Credits of the last run that its events do not explain.",
		func(_ *RunEnd, s *RunSummary) []metricSample { return oneSample(s.BeyondEvents) }},
	{"siglake_last_calls", "", "Calls of the last run by outcome.", callSamples},
	{"siglake_last_events", "", "Events returned to the last run: new, changed, known to the lake with equal content, returned twice, or kept out by a filter.",
		func(_ *RunEnd, s *RunSummary) []metricSample {
			return []metricSample{
				labelled("state", "new", s.NewEvents), labelled("state", "changed", s.ChangedEvents), labelled("state", "known", s.KnownEvents),
				labelled("state", "duplicate", s.Duplicates), labelled("state", "filtered", s.Filtered),
			}
		}},
	{"siglake_last_webhook_events", "", "New events since the nightly run before: delivered by webhooks, or about what is subscribed to and found by polling only.", webhookSamples},
	{"siglake_last_lines", "", "Lines of the last run's list by status.", lineSamples},
	{"siglake_rate_window_calls", "", "Calls in the account's rate windows after the last answer that stated them.",
		func(e *RunEnd, _ *RunSummary) []metricSample {
			return rateSamples(e, func(w pipeline.Window) int64 { return w.Used })
		}},
	{"siglake_rate_window_limit_calls", "", "Calls that the account's rate windows allow.",
		func(e *RunEnd, _ *RunSummary) []metricSample {
			return rateSamples(e, func(w pipeline.Window) int64 { return w.Limit })
		}},
	{"siglake_account_credits_left", "", "Credits left in the account after the last run, if the account stated them.", creditsLeft},
}

func oneSample(n int64) []metricSample { return []metricSample{{"", strconv.FormatInt(n, 10)}} }

func labelled(name, value string, n int64) metricSample {
	return metricSample{name + `="` + labelText(value) + `"`, strconv.FormatInt(n, 10)}
}

func callSamples(_ *RunEnd, s *RunSummary) (samples []metricSample) {
	for _, o := range []pipeline.Outcome{pipeline.Charged, pipeline.NotCharged, pipeline.InDoubt} {
		samples = append(samples, labelled("outcome", string(o), s.CallsByResult[o]))
	}
	return samples
}

func webhookSamples(_ *RunEnd, s *RunSummary) []metricSample {
	if s.Delivered == nil {
		return nil
	}
	return []metricSample{labelled("source", "webhook", *s.Delivered), labelled("source", "polling", *s.Polled)}
}

func lineSamples(e *RunEnd, _ *RunSummary) (samples []metricSample) {
	if m := e.last(); m != nil {
		for _, status := range slices.Sorted(maps.Keys(m.Accounts.ByStatus)) {
			samples = append(samples, labelled("status", string(status), m.Accounts.ByStatus[status]))
		}
	}
	return samples
}

// rateSamples are figures of the rate windows that an answer stated.
func rateSamples(e *RunEnd, figure func(pipeline.Window) int64) (samples []metricSample) {
	m := e.last()
	if m == nil || m.Calls.LastRate == nil {
		return nil
	}
	r := m.Calls.LastRate
	for _, w := range []struct {
		name   string
		window pipeline.Window
	}{{"minute", r.Minute}, {"hour", r.Hour}, {"day", r.Day}} {
		if w.window.Limit > 0 {
			samples = append(samples, labelled("window", w.name, figure(w.window)))
		}
	}
	return samples
}

func creditsLeft(e *RunEnd, _ *RunSummary) []metricSample {
	if m := e.last(); m != nil && m.Reconciliation != nil && m.Reconciliation.Remaining != nil {
		return oneSample(*m.Reconciliation.Remaining)
	}
	return nil
}

// WriteMetrics writes how runs ended, in the OpenMetrics text format. earlier is the file that it
// replaces; empty if there is none.
func WriteMetrics(w io.Writer, ends []*RunEnd, earlier string) {
	successes := earlierSuccesses(earlier)
	latest := map[string]*RunEnd{} // a list that came twice has one set of samples
	var labels []string
	for _, e := range ends {
		l := runLabels(e)
		if latest[l] == nil {
			labels = append(labels, l)
		}
		latest[l] = e
	}
	metricHead(w, metric{name: lastSuccess, unit: "seconds", help: "When the last run that exited 0 or 10 ended; 0 if none is known."})
	for _, l := range labels {
		at := successes[l]
		if latest[l].IsSuccess() {
			at = strconv.FormatInt(latest[l].Finished.Unix(), 10)
		}
		if at == "" {
			at = "0"
		}
		format.Fprintf(w, "%s{%s} %s\n", lastSuccess, l, at)
	}
	for _, m := range metrics {
		metricHead(w, m)
		for _, l := range labels {
			s := latest[l].Summary()
			for _, sample := range m.samples(latest[l], &s) {
				all := l
				if sample.label != "" {
					all += "," + sample.label
				}
				format.Fprintf(w, "%s{%s} %s\n", m.name, all, sample.value)
			}
		}
	}
	format.Fprintf(w, "# EOF\n")
}

func metricHead(w io.Writer, m metric) {
	format.Fprintf(w, "# TYPE %s gauge\n", m.name)
	if m.unit != "" {
		format.Fprintf(w, "# UNIT %s %s\n", m.name, m.unit)
	}
	format.Fprintf(w, "# HELP %s %s\n", m.name, m.help)
}

// runLabels say which runs a sample is about.
func runLabels(e *RunEnd) string {
	text := `command="` + labelText(e.Command) + `",lake="` + labelText(e.Lake) + `",list="` + labelText(e.List) + `"`
	if e.Job != "" {
		text = `job="` + labelText(e.Job) + `",` + text
	}
	return text
}

// labelText is a label's value: nothing in it steers a terminal, and quotes and backslashes are
// escaped.
func labelText(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(format.Text(s))
}

// earlierSuccesses are the times of the last successes in a file of WriteMetrics, by labels. What
// looks otherwise is not believed.
func earlierSuccesses(text string) map[string]string {
	found := map[string]string{}
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), lastSuccess+"{")
		i := strings.LastIndex(rest, "} ")
		if !ok || i < 0 {
			continue
		}
		if n, err := strconv.ParseInt(rest[i+2:], 10, 64); err == nil && n >= 0 {
			found[rest[:i]] = strconv.FormatInt(n, 10)
		}
	}
	return found
}
