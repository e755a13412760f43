package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/simulator"
)

// TestUnknownVariables: a misspelt variable is warned about by every command, with the nearest known
// name and without its value, and nothing else is.
func TestUnknownVariables(t *testing.T) {
	t.Parallel()
	e := envFor(t)
	e.Environ = e.pairs
	e.set("SIGLAKE_MAX_CREDIT", "s3cr3t")
	e.set("SIGLAKE_MAX_CREDITS", "5")
	e.set("SIGLAKE_CONFIG", "x.yaml")
	e.set("SIGLAKE_DEMO_LAKE", "x")
	e.set("SIGLAKE_\x1b[31m", "x")
	e.set("MY_SIGLAKE_X", "x")
	for _, args := range [][]string{{"signals"}, {"signals", "--quiet"}, {"version"}} {
		_, _, stderr := says(t, args...)
		want := "siglake: the variable SIGLAKE_MAX_CREDIT belongs to no flag and has no effect (did you mean SIGLAKE_MAX_CREDITS?)\n"
		if n := strings.Count(stderr, "the variable "); n != 2 || !strings.Contains(stderr, want) || strings.Contains(stderr, "s3cr3t") || strings.Contains(stderr, "\x1b") {
			t.Errorf("siglake %q: %d warnings in %q; want two, one of them %q", args, n, stderr, want)
		}
	}
	for _, args := range [][]string{{completeCommand, "ru"}, {"run", "--help"}, {"--version"}} {
		if _, _, stderr := says(t, args...); stderr != "" {
			t.Errorf("siglake %q: %q, want no warning", args, stderr)
		}
	}
	e.set("SIGLAKE_LOG_FORMAT", "json")
	_, _, stderr := says(t, "version")
	if n := len(logLines(t, stderr)); n != 2 {
		t.Errorf("%d lines of JSON, want two: %s", n, stderr)
	}
}

// logLines reads a JSON log, every line of which must be an object with a time, a level and a message.
func logLines(t *testing.T, text string) (lines []map[string]any) {
	t.Helper()
	for line := range strings.Lines(text) {
		var entry map[string]any
		err := json.Unmarshal([]byte(line), &entry)
		for _, key := range []string{"time", "level", "msg"} {
			if s, ok := entry[key].(string); err != nil || !ok || s == "" {
				t.Errorf("log line %q has no %s: %v", line, key, err)
			}
		}
		lines = append(lines, entry)
	}
	return lines
}

// TestErrorsAreJSON: next to a JSON log, errors are JSON, wherever the format is set, and even if
// the flags cannot be read.
func TestErrorsAreJSON(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	config := writeJobFile(t, strings.ReplaceAll(nightlyFile, "URL", r.server.URL)+"    log-format: json\n  other: {list: a.csv, log-format: json, signals: [nwes], max-credits: 5}\n", nil)
	list := filepath.Join(writeFiles(t, map[string]string{"a.csv": "domain\na.example\n"}), "a.csv")
	for _, c := range []struct {
		args []string
		code int
	}{
		{[]string{"run", list, "--log-format", "json", "--signals", "nwes", "--lake", r.lake, "--base-url", r.server.URL}, exitUsage},
		{[]string{"run", list, "--sinals", "news", "--log-format=json"}, exitUsage},
		{[]string{"run", list, "--log-format", "json", "--signals", "news", "--lake", "/proc/no/lake", "--base-url", r.server.URL}, exitStorage},
		{[]string{"bogus", "--log-format", "json"}, exitUsage},
		{[]string{"job", "other", "--config", config}, exitUsage},
		{[]string{"job", "other", "--config", config + "x", "--log-format", "json"}, exitUsage},
	} {
		code, _, stderr := says(t, c.args...)
		if code != c.code {
			t.Errorf("siglake %q: exit %d, want %d: %s", c.args, code, c.code, stderr)
		}
		errors := 0
		for _, entry := range logLines(t, stderr) {
			if entry["level"] == "ERROR" {
				errors++
				if entry["exit_code"] != float64(c.code) {
					t.Errorf("siglake %q: %v, want exit_code %d", c.args, entry, c.code)
				}
			}
		}
		if errors != 1 {
			t.Errorf("siglake %q: %d errors, want one: %s", c.args, errors, stderr)
		}
	}
	envFor(t).set(app.KeyVariable, "")
	_, _, stderr := says(t, "usage", "--log-format", "json")
	if lines := logLines(t, stderr); len(lines) != 1 {
		t.Errorf("usage without a key: %q, want one line", stderr)
	}
}
