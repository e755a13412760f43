package report

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/report/metricstest"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

func writtenMetrics(t *testing.T, earlier string, ends ...*RunEnd) (string, map[metricstest.Sample]string) {
	t.Helper()
	var out bytes.Buffer
	WriteMetrics(&out, ends, earlier)
	samples, err := metricstest.Parse(out.String())
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	return out.String(), samples
}

func metricsEnd(code int, at int64) *RunEnd {
	return &RunEnd{Command: "run", Lake: "lake", List: `a "b"\c.csv`, Started: time.Unix(at-90, 0), Finished: time.UnixMilli(at*1000 + 50), ExitCode: code}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	left := int64(77)
	e := metricsEnd(10, 2000)
	e.Job = "nightly"
	e.Runs = []*pipeline.Manifest{
		{Credits: pipeline.CreditTotals{Charged: 5, InDoubtCeiling: 40}, Calls: pipeline.CallTotals{ByOutcome: map[pipeline.Outcome]int64{pipeline.Charged: 1, pipeline.InDoubt: 1}}},
		{
			Run:     pipeline.RunInfo{Webhooks: &pipeline.WebhookShare{Delivered: 365, Polled: 2}},
			Credits: pipeline.CreditTotals{Charged: 6, UnknownCeiling: 30, Excess: 2}, Reconciliation: &pipeline.Reconciliation{Remaining: &left},
			Events:   pipeline.EventTotals{Returned: 20, Written: 12, New: 9, Changed: 3, Known: 5, Duplicate: 2, Filtered: 1},
			Accounts: pipeline.AccountTotals{ByStatus: map[schema.Status]int64{schema.Deferred: 3, schema.Rejected: 1}},
			Calls: pipeline.CallTotals{ByOutcome: map[pipeline.Outcome]int64{pipeline.Charged: 2}, LastRate: &pipeline.Rate{
				Minute: pipeline.Window{Limit: 100, Used: 7}, Hour: pipeline.Window{Limit: -1, Used: -1}, Day: pipeline.Window{Limit: 5000, Used: 8},
			}},
		},
	}
	_, got := writtenMetrics(t, "", e)
	l := `job="nightly",command="run",lake="lake",list="a \"b\"\\c.csv"`
	want := map[metricstest.Sample]string{}
	for name, value := range map[string]string{
		"siglake_last_success_timestamp_seconds": "2000", "siglake_last_end_timestamp_seconds": "2000", "siglake_last_exit_code": "10", "siglake_last_duration_seconds": "90.050",
		"siglake_last_credits": "11", "siglake_last_credits_in_doubt_ceiling": "40", "siglake_last_credits_unknown_ceiling": "30", "siglake_last_credits_beyond_events": "2",
		`siglake_last_calls|outcome="charged"`: "3", `siglake_last_calls|outcome="not_charged"`: "0", `siglake_last_calls|outcome="ambiguous"`: "1",
		`siglake_last_events|state="new"`: "9", `siglake_last_events|state="changed"`: "3", `siglake_last_events|state="known"`: "5", `siglake_last_events|state="duplicate"`: "2", `siglake_last_events|state="filtered"`: "1",
		`siglake_last_webhook_events|source="webhook"`: "365", `siglake_last_webhook_events|source="polling"`: "2",
		`siglake_last_lines|status="deferred"`: "3", `siglake_last_lines|status="rejected"`: "1",
		`siglake_rate_window_calls|window="minute"`: "7", `siglake_rate_window_calls|window="day"`: "8",
		`siglake_rate_window_limit_calls|window="minute"`: "100", `siglake_rate_window_limit_calls|window="day"`: "5000",
		"siglake_account_credits_left": "77",
	} {
		name, extra, _ := strings.Cut(name, "|")
		if extra != "" {
			extra = "," + extra
		}
		want[metricstest.Sample{Name: name, Labels: l + extra}] = value
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	e.Runs[1].Run.Webhooks = nil
	if text, _ := writtenMetrics(t, "", e); strings.Contains(text, "siglake_last_webhook_events{") {
		t.Errorf("a lake without webhooks has their events:\n%s", text)
	}
}

// TestEndLineOfWebhooks: the one line of a chat says what webhooks delivered and what polling found, if the lake has
// webhooks.
func TestEndLineOfWebhooks(t *testing.T) {
	t.Parallel()
	m := &pipeline.Manifest{Run: pipeline.RunInfo{Webhooks: &pipeline.WebhookShare{Delivered: 1365, Polled: 2}}}
	e := &RunEnd{Command: "run", List: "a.csv", Runs: []*pipeline.Manifest{m}}
	if line := EndLine(e); !strings.Contains(line, "webhooks: 1,365 delivered, 2 found by polling") {
		t.Errorf("with webhooks: %s", line)
	}
	m.Run.Webhooks = nil
	if line := EndLine(e); strings.Contains(line, "webhooks") {
		t.Errorf("without webhooks: %s", line)
	}
}

// TestLastSuccess: the time of the last success stays until a run of the same list succeeds again,
// whatever the file before looks like.
func TestLastSuccess(t *testing.T) {
	t.Parallel()
	success := func(samples map[metricstest.Sample]string) (at []string) {
		for s, v := range samples {
			if s.Name == lastSuccess {
				at = append(at, v)
			}
		}
		return at
	}
	text, first := writtenMetrics(t, "", metricsEnd(0, 1000))
	failed, second := writtenMetrics(t, text, metricsEnd(20, 2000))
	_, third := writtenMetrics(t, failed, metricsEnd(40, 3000))
	_, fourth := writtenMetrics(t, failed, metricsEnd(12, 4000))
	_, fifth := writtenMetrics(t, failed, metricsEnd(10, 5000))
	other := metricsEnd(21, 6000)
	other.List = "b.csv"
	_, sixth := writtenMetrics(t, failed, other)
	for i, c := range []struct {
		samples map[metricstest.Sample]string
		want    string
	}{{first, "1000"}, {second, "1000"}, {third, "1000"}, {fourth, "1000"}, {fifth, "5000"}, {sixth, "0"}} {
		if got := success(c.samples); len(got) != 1 || got[0] != c.want {
			t.Errorf("file %d: last success %v, want %s", i+1, got, c.want)
		}
	}
	labels := runLabels(metricsEnd(0, 1))
	for _, garbage := range []string{"garbage", lastSuccess + "{" + labels + "} x\n", lastSuccess + "{" + labels + "} -5\n", lastSuccess + "{" + labels + "}\n", lastSuccess + "{} 5\n# EOF\n"} {
		if _, samples := writtenMetrics(t, garbage, metricsEnd(20, 2000)); success(samples)[0] != "0" {
			t.Errorf("after %q: last success %v, want 0", garbage, success(samples))
		}
	}
}

// TestMetricsOfTwo: two lists have samples each; one that came twice has those of the last.
func TestMetricsOfTwo(t *testing.T) {
	t.Parallel()
	other := metricsEnd(20, 2000)
	other.List = "b.csv"
	_, samples := writtenMetrics(t, "", metricsEnd(0, 1000), other, metricsEnd(40, 3000))
	for list, want := range map[string]string{`a \"b\"\\c.csv`: "40", "b.csv": "20"} {
		if got := samples[metricstest.Sample{Name: "siglake_last_exit_code", Labels: `command="run",lake="lake",list="` + list + `"`}]; got != want {
			t.Errorf("exit code of %s: %q, want %s", list, got, want)
		}
	}
}

// TestHostileMetrics: a name of a list does not break the format.
func TestHostileMetrics(t *testing.T) {
	t.Parallel()
	e := hostileEnd()
	e.List = hostile + "} 5\n# EOF\n\"\\"
	_, samples := writtenMetrics(t, hostile, e)
	if len(samples) < 10 {
		t.Errorf("%d samples", len(samples))
	}
}

// TestStrictMetrics: the parser of the tests refuses what monitors refuse.
func TestStrictMetrics(t *testing.T) {
	t.Parallel()
	const good = "# TYPE a_seconds gauge\n# UNIT a_seconds seconds\n# HELP a_seconds Text.\na_seconds{x=\"1\"} 5\n# EOF\n"
	if _, err := metricstest.Parse(good); err != nil {
		t.Error(err)
	}
	for _, c := range [][2]string{
		{"# EOF\n", "# EOF"}, {"# EOF\n", ""}, {"5\n", "5 \n"}, {"} 5", "} five"}, {"} 5", "} 5 1700000000"}, {"x=\"1\"", "x=\"1\",x=\"2\""}, {"x=\"1\"", "x=1"},
		{"x=\"1\"", "x=\"\\1\""}, {"gauge", "counter"}, {"UNIT a_seconds seconds", "UNIT a_seconds bytes"}, {"# HELP a_seconds Text.\n", ""}, {"# UNIT", "# HELP"},
		{"a_seconds", "a_total"}, {"\n", "\r\n"}, {"5\n", "5\na_seconds{x=\"1\"} 6\n"}, {"5\n", "5\n\n"}, {"a_seconds{", "b_seconds{"},
	} {
		if _, err := metricstest.Parse(strings.ReplaceAll(good, c[0], c[1])); err == nil {
			t.Errorf("%q for %q is accepted", c[1], c[0])
		}
	}
}
