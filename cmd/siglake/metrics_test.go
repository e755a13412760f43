package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/report/metricstest"
	"github.com/siglake/siglake/internal/simulator"
)

// readMetrics reads a file of metrics: the values of each metric by the rest of its labels, those
// that all samples have left out.
func readMetrics(t *testing.T, path string) map[string]string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	samples, err := metricstest.Parse(string(raw))
	if err != nil {
		t.Fatalf("%v\n%s", err, raw)
	}
	values := map[string]string{}
	for s, v := range samples {
		_, extra, _ := strings.Cut(s.Labels, `,list="`)
		list, extra, _ := strings.Cut(extra, `"`)
		values[strings.TrimPrefix(s.Name, "siglake_")+extra+" "+filepath.Base(list)] = v
	}
	return values
}

// TestMetricsFile: the file is replaced whenever a command ends, agrees with the simulator's bill,
// and keeps the time of the last success.
func TestMetricsFile(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 6, 12, 0, 0, 0, time.UTC)
	setNow(t, func() time.Time { return now })
	r := newRig(t, simulator.Config{Now: func() time.Time { return now }})
	dir := t.TempDir()
	path := filepath.Join(dir, "siglake.prom")
	check := func(name string, want map[string]string) {
		t.Helper()
		got := readMetrics(t, path)
		for key, value := range want {
			if got[key+" -"] != value {
				t.Errorf("%s: %s = %q, want %s", name, key, got[key+" -"], value)
			}
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 1 {
			t.Errorf("%s left %v in the folder, %v", name, entries, err)
		}
	}
	first := fmt.Sprint(now.Unix())
	flags := append([]string{"--metrics-file", path}, baseFlags...)
	v := r.rerun(domainLines(20), flags...)
	check("success", map[string]string{
		"last_success_timestamp_seconds": first, "last_exit_code": "0", "last_credits": fmt.Sprint(v.credits), `last_calls,outcome="charged"`: fmt.Sprint(v.calls),
		`last_events,state="new"`: fmt.Sprint(r.manifest.Events.Written), "last_credits_in_doubt_ceiling": "0", "last_duration_seconds": "0.000",
	})
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("the file has %v, %v; want it readable for a monitor", info.Mode(), err)
	}
	now = now.Add(time.Hour)
	v = r.rerun(domainLines(300), append(flags, "--max-credits", "8")...)
	check("budget", map[string]string{"last_success_timestamp_seconds": first, "last_end_timestamp_seconds": fmt.Sprint(now.Unix()), "last_exit_code": "20", "last_credits": fmt.Sprint(v.credits)})
	for name, c := range map[string]struct {
		flags []string
		code  int
	}{
		"a wrong value":      {[]string{"--concurrency", "0"}, exitUsage},
		"an unreadable flag": {[]string{"--concurrency", "x"}, exitUsage},
		"a key file":         {[]string{"--api-key-file", "/no/such"}, exitAuth},
		"an action's error":  {[]string{"--umask", "999"}, exitUsage},
	} {
		v := r.rerun(domainLines(41), append(flags, c.flags...)...)
		if v.code != c.code {
			t.Errorf("%s: exit %d, want %d: %s", name, v.code, c.code, v.stderr)
		}
		got := readMetrics(t, path)
		for key, value := range got {
			if strings.HasPrefix(key, "last_exit_code") && value != fmt.Sprint(c.code) {
				t.Errorf("%s: %s = %s, want %d", name, key, value, c.code)
			}
		}
	}
	v = r.rerun(domainLines(20), append([]string{"--metrics-file", filepath.Join(dir, "no", "such")}, baseFlags...)...)
	if v.code != exitComplete || !strings.Contains(v.stderr, "no does not exist") || strings.Contains(v.stderr, ".tmp") {
		t.Errorf("a file that cannot be written: exit %d, %q; want a warning only", v.code, v.stderr)
	}
}

// TestMetricsOfJob: a job of two lists has one file with both, also when a list cannot be read.
func TestMetricsOfJob(t *testing.T) {
	t.Parallel()
	text := strings.Replace(nightlyFile, "    max-credits: 5000\n", "    max-credits: 5000\n    metrics-file: m.prom\n    log-format: json\n", 1)
	r, config := jobRig(t, simulator.Config{}, text, map[string]string{"b.csv": domainLines(5)})
	r.job("job", "nightly", "--config", config)
	got := readMetrics(t, filepath.Join(filepath.Dir(config), "m.prom"))
	if got["last_exit_code a.csv"] != fmt.Sprint(exitUsage) || got["last_exit_code b.csv"] != "0" || got["last_success_timestamp_seconds a.csv"] != "0" || got["last_success_timestamp_seconds b.csv"] == "0" {
		t.Errorf("metrics %v; want both lists, and the success of one", got)
	}
	finished := 0
	for _, line := range logLines(t, r.stderr) {
		if line["msg"] == "run finished" {
			finished++
			if line["job"] != "nightly" {
				t.Errorf("%v, want the job", line)
			}
		}
	}
	if finished != 2 {
		t.Errorf("%d lines say that a run finished, want two: %s", finished, r.stderr)
	}
}
