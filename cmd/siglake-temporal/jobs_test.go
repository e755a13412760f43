package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestParts: a job whose shard leaves the index to a variable becomes one activity for each shard.
func TestParts(t *testing.T) {
	t.Parallel()
	const defaults = "version: 1\ndefaults:\n  lake: l-{shard}\n  shard: JOB_COMPLETION_INDEX/3\njobs:\n"
	for _, c := range []struct {
		name, text string
		want       []part
	}{
		{"plain", "version: 1\njobs:\n  a: {list: x.csv}\n", []part{{Job: "a"}}},
		{"own shard", "version: 1\njobs:\n  a: {list: x.csv, shard: I/2, lake: 'l-{shard}'}\n", []part{{Job: "a", Shard: "0/2"}, {Job: "a", Shard: "1/2"}}},
		{"one shard of others", "version: 1\njobs:\n  a: {list: x.csv, shard: 1/2}\n", []part{{Job: "a"}}},
		{"the defaults divide", defaults + "  a: {command: compact}\n", []part{{Job: "a", Shard: "0/3"}, {Job: "a", Shard: "1/3"}, {Job: "a", Shard: "2/3"}}},
		{"a lake of its own", defaults + "  a: {command: compact, lake: whole}\n", []part{{Job: "a"}}},
		{"one part of one", defaults + "  a: {list: x.csv, shard: I/1}\n", []part{{Job: "a", Shard: "0/1"}}},
	} {
		f, err := loadJobs(writeJobs(t, c.text))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if all, err := f.choose(nil); err != nil || len(all) != 1 || !reflect.DeepEqual(all[0], c.want) {
			t.Errorf("%s: parts %v, %v, want %v", c.name, all, err, c.want)
		}
	}
}

// TestJobFileErrors: what is wrong with a job file, or with the name of a job, is a mistake of usage.
func TestJobFileErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, name, want string }{
		{"version: 1\njobs:\n  a: {list: x.csv}\n", "b", `has no job "b"; its jobs are a`},
		{"version: 1\njobs:\n  a: {list: x.csv}\n", "--config=/etc/passwd", "has no job"},
		{"version: 1\njobs:\n  a: {list: x.csv, shard: I/0}\n", "a", "a count from 1 to 10000"},
		{"version: 1\njobs:\n  a: {list: x.csv, shard: I/99999999999999999999}\n", "a", "a count from 1 to 10000"},
		{"nonsense\n", "a", "siglake.yaml"},
	} {
		f, err := loadJobs(writeJobs(t, c.text))
		if err == nil {
			_, err = f.choose([]string{c.name})
		}
		if _, isUsage := err.(*usageError); !isUsage || !strings.Contains(err.Error(), c.want) { //nolint:errorlint // it is not wrapped
			t.Errorf("%q, job %q: %v, want %q", c.text, c.name, err, c.want)
		}
	}
}

func writeJobs(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "siglake.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
