package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/simulator"
)

// writeJobFile writes a job file, with files of lists in its folder, and gives its path.
func writeJobFile(t *testing.T, text string, lists map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, list := range lists {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(list), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "siglake.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// jobRig is a rig with its lake in the folder of a job file.
func jobRig(t *testing.T, cfg simulator.Config, text string, lists map[string]string) (r *rig, config string) {
	t.Helper()
	r = newRig(t, cfg)
	config = writeJobFile(t, strings.ReplaceAll(text, "URL", r.server.URL), lists)
	r.lake = filepath.Join(filepath.Dir(config), "lake")
	return r, config
}

// job runs a command line without the rig's own flags, and checks what must hold then.
func (r *rig) job(words ...string) {
	r.t.Helper()
	var stdout, stderr bytes.Buffer
	r.code = envFor(r.t).execute(context.Background(), append([]string{"siglake"}, words...), nil, &stdout, &stderr)
	r.stdout, r.stderr = stdout.String(), stderr.String()
	r.manifest = r.readManifest()
	r.checkSecret()
}

const nightlyFile = `version: 1
defaults:
  lake: lake
  base-url: URL
  plan: unlimited
  rate: 0
  since: 30d
  max-results: 3
  min-files: 2
jobs:
  nightly:
    list: [a.csv, b.csv]
    signals: [news, growth]
    max-credits: 5000
    max-results: 7
  compact:
    command: compact
    quiet: true
`

// TestJob: a job runs its command on each of its lists, with its settings and the defaults that the
// command has, under a cap, wherever the scheduler starts it. Its bill is the simulator's.
func TestJob(t *testing.T) {
	t.Parallel()
	r, config := jobRig(t, simulator.Config{}, nightlyFile, map[string]string{"a.csv": domainLines(6), "b.csv": "domain\nb1.example\nb2.example\nnot a domain\n"})
	r.job("job", "nightly", "--config", config)
	if r.code != exitRejects { // the gravest of the two
		t.Fatalf("exit %d, want %d\n%s%s", r.code, exitRejects, r.stdout, r.stderr)
	}
	if n := strings.Count(r.stdout, "\nRun "); n != 2 || r.manifest.Generation != 2 {
		t.Errorf("%d summaries, generation %d; want 2 of each\n%s", n, r.manifest.Generation, r.stdout)
	}
	if got := r.manifest.Queries[0].MaxResults(); got != 7 {
		t.Errorf("max-results %d, want that of the job, 7", got)
	}
	if got := r.manifest.Input.URI; got != filepath.Join(filepath.Dir(config), "b.csv") {
		t.Errorf("list %s, want b.csv in the folder of the job file", got)
	}
	status := r.statusJSON()
	if billed := r.sim.Bill().Credits; status.Credits != billed || billed == 0 {
		t.Errorf("%d credits in status, %d by the simulator", status.Credits, billed)
	}
	before := r.sim.Bill().Credits
	r.job("job", "nightly", "--max-results", "2", "--config="+config) // the wider answers of before hold the narrower ones
	if r.code != exitRejects || r.manifest.Queries[0].MaxResults() != 2 || r.sim.Bill().Credits != before {
		t.Errorf("exit %d, max-results %d, %d credits more; want the flag to count more than the job\n%s", r.code, r.manifest.Queries[0].MaxResults(), r.sim.Bill().Credits-before, r.stderr)
	}
	r.job("job", "compact", "--config", config)
	if r.code != exitComplete || r.stdout != "" || r.stderr != "" {
		t.Errorf("job compact: exit %d, %q, %q; want quiet success", r.code, r.stdout, r.stderr)
	}
	if r.manifest.Run.Kind != "compaction" {
		t.Errorf("generation of kind %q, want a compaction", r.manifest.Run.Kind)
	}
}

// TestJobNeedsCap: --unattended is implied, and without a cap nothing is bought.
func TestJobNeedsCap(t *testing.T) {
	t.Parallel()
	text := strings.Replace(nightlyFile, "    max-credits: 5000\n", "", 1)
	r, config := jobRig(t, simulator.Config{}, text, map[string]string{"a.csv": domainLines(2), "b.csv": domainLines(2)})
	r.job("job", "nightly", "--config", config)
	if r.code != exitUsage || !strings.Contains(r.stderr, "--max-credits") || r.sim.Bill().Billed != 0 {
		t.Errorf("exit %d, %d calls, %q; want %d and the cap", r.code, r.sim.Bill().Billed, r.stderr, exitUsage)
	}
}

// TestJobStopsAtLake: what concerns the key stops all lists, what concerns a list only that one.
func TestJobStopsAtLake(t *testing.T) {
	t.Parallel()
	r, config := jobRig(t, simulator.Config{}, nightlyFile, map[string]string{"b.csv": domainLines(2)})
	r.job("job", "nightly", "--config", config)
	if r.code != exitUsage || r.manifest == nil || !strings.Contains(r.stderr, "a.csv") {
		t.Errorf("without a.csv: exit %d, manifest %v, %q; want %d and b.csv asked", r.code, r.manifest, r.stderr, exitUsage)
	}
	envFor(t).set(app.KeyVariable, "wrong-key")
	if err := os.WriteFile(filepath.Join(filepath.Dir(config), "a.csv"), []byte(domainLines(3)), 0o600); err != nil {
		t.Fatal(err)
	}
	r.job("job", "nightly", "--config", config)
	if n := strings.Count(r.stderr, "siglake: "); r.code != exitAuth || n != 1 {
		t.Errorf("with a wrong key: exit %d, %d messages; want %d and one\n%s", r.code, n, exitAuth, r.stderr)
	}
}

// TestJobFileMistakes: each is found before anything is opened, at its place, and exits 64.
func TestJobFileMistakes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, body, want string }{
		{"unknown key", "max-credit: 5", `4:5: unknown setting of siglake run "max-credit" (did you mean max-credits?)`},
		{"underscores", "max_credits: 5", "(did you mean max-credits?)"},
		{"short name", "s: news", `unknown setting of siglake run "s"`},
		{"secret", "api-key: abc-secret", "api-key-file"},
		{"bool", "refresh: yes", "4:14: refresh: expected true or false"},
		{"number", "batch-size: ten", "4:17: batch-size: expected a whole number"},
		{"octal", "batch-size: 010", "expected a whole number"},
		{"too large a number", "batch-size: 99999999999999999999", "expected a whole number"},
		{"duration", "timeout: 90", "4:14: timeout: expected a duration"},
		{"float", "rate: fast", "4:11: rate: expected a number"},
		{"list for one", "since: [1d, 2d]", "4:12: since: expected one value"},
		{"mapping", "signals: {a: b}", "4:14: signals: expected a value or a list"},
		{"nothing", "since:", "4:5: since has no value"},
		{"unknown command", "command: rnu", `4:14: a job cannot run "rnu" (did you mean run?)`},
		{"command for people", "command: simulate", "a job cannot run"},
		{"list of a command without", "command: compact", "5:5: siglake compact takes no list"},
		{"flag of another command", "min-files: 3", `unknown setting of siglake run "min-files"`},
		{"default of no command", "since: 3d\n    list: x\ndefaults:\n  frobnicate: 1\n  list: x", `unknown setting "frobnicate"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			text := "version: 1\njobs:\n  nightly:\n    " + c.body + "\n"
			if !strings.Contains(c.body, "list:") {
				text += "    list: a.csv\n"
			}
			config := writeJobFile(t, text, nil)
			for _, command := range [][]string{{"job", "nightly"}, {"config", "check"}, {"config", "show"}} {
				code, stdout, stderr := says(t, append(command, "--config", config)...)
				if code != exitUsage || !strings.Contains(stderr, c.want) || strings.Contains(stdout+stderr, "abc-secret") {
					t.Errorf("siglake %q: exit %d, %q; want %d and %q", command, code, stderr, exitUsage, c.want)
				}
			}
		})
	}
}

// TestJobFileAllMistakes: all at once, the defaults' once.
func TestJobFileAllMistakes(t *testing.T) {
	t.Parallel()
	config := writeJobFile(t, "version: 1\ndefaults:\n  rate: x\njobs:\n  a: {lsit: x}\n  b: {list: y, sinals: news}\n", nil)
	_, _, stderr := says(t, "config", "check", "--config", config)
	var got []string
	for line := range strings.Lines(stderr) {
		if _, rest, found := strings.Cut(line, "siglake.yaml:"); found {
			at, _, _ := strings.Cut(rest, ": ")
			got = append(got, at)
		}
	}
	if diff := cmp.Diff([]string{"3:9", "5:3", "5:7", "6:16"}, got); diff != "" {
		t.Errorf("places (-want +got):\n%s\n%s", diff, stderr)
	}
}

// TestConfigCheckLooksDeeper: what a command would refuse is found without running it.
func TestConfigCheckLooksDeeper(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"max-credits: many":                                 "--max-credits",
		"max-credits: 5\n    partition-by: week":            "--partition-by",
		"lake: x":                                           "--max-credits",
		"max-credits: 5\n    seed: 3":                       "--seed applies to the simulator only",
		"max-credits: 5\n    encoding: utf-8\n    map: [x]": "FIELD=COLUMN",
	} {
		if !strings.Contains(body, "lake") {
			body += "\n    lake: lake"
		}
		config := writeJobFile(t, "version: 1\njobs:\n  nightly:\n    list: a.csv\n    "+body+"\n", nil)
		code, _, stderr := says(t, "config", "check", "--config", config)
		if code != exitUsage || !strings.Contains(stderr, want) {
			t.Errorf("%q: exit %d, %q; want %d and %q", body, code, stderr, exitUsage, want)
		}
		if entries, err := os.ReadDir(filepath.Dir(config)); err != nil || len(entries) != 1 {
			t.Errorf("config check left %v, %v behind", entries, err)
		}
	}
}

func TestJobNames(t *testing.T) {
	t.Parallel()
	config := writeJobFile(t, nightlyFile, nil)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"job", "--config", config}, "name one job of " + config + ": nightly, compact"},
		{[]string{"job", "nightly", "compact", "--config", config}, "name one job"},
		{[]string{"job", "nightyl", "--config", config}, "(did you mean nightly?)"},
		{[]string{"job", "nightly", "--config", config + "x"}, "no job file"},
		{[]string{"job", "compact", "--max-credits", "5", "--config", config}, "unknown flag --max-credits"},
		{[]string{"config", "show", "x", "--config", config}, `has no job "x"`},
	} {
		if code, _, stderr := says(t, c.args...); code != exitUsage || !strings.Contains(stderr, c.want) {
			t.Errorf("siglake %q: exit %d, %q; want %d and %q", c.args, code, stderr, exitUsage, c.want)
		}
	}
	envFor(t).set(configVariable, config)
	if _, stdout, _ := says(t, completeCommand, "job", "n"); stdout != "nightly\n" {
		t.Errorf("completion of a job's name: %q", stdout)
	}
	if code, _, stderr := says(t, "job", "x"); code != exitUsage || !strings.Contains(stderr, config) {
		t.Errorf("with %s: exit %d, %q; want the file", configVariable, code, stderr)
	}
}

// TestJobPrecedence: command line, environment, job, defaults, in this order. The flag library reads
// the environment of the process, so this runs one.
func TestJobPrecedence(t *testing.T) {
	t.Parallel()
	program := buildProgram(t)
	config := writeJobFile(t, nightlyFile, nil)
	run := func(variables []string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program, append(args, "--config", config)...)
		cmd.Env = append([]string{"HOME=" + t.TempDir()}, variables...)
		out, _ := cmd.CombinedOutput()
		return string(out)
	}
	variables := []string{"SIGLAKE_MAX_RESULTS=9", "SIGLAKE_MAX_CREDITS=env", "SIGLAKE_SIGNALS=risk,news"}
	shown := run(variables, "config", "show", "nightly", "--effective")
	for _, want := range []string{
		"max-results: 9 # variable SIGLAKE_MAX_RESULTS", "signals: [risk, news] # variable SIGLAKE_SIGNALS", "since: 30d # defaults, line 7",
		"unattended: true # implied", "concurrency: 8 # built in", "lake: " + filepath.Join(filepath.Dir(config), "lake") + " # defaults",
	} {
		if !strings.Contains(strings.Join(strings.Fields(shown), " "), want) {
			t.Errorf("config show does not print %q:\n%s", want, shown)
		}
	}
	if got := run(nil, "config", "show", "nightly", "--effective"); !strings.Contains(strings.Join(strings.Fields(got), " "), "max-results: 7 # job, line 15") {
		t.Errorf("config show does not print max-results of the job:\n%s", got)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"job", "nightly"}, `SIGLAKE_MAX_CREDITS "env"`},
		{[]string{"job", "nightly", "--max-credits", "flag"}, `--max-credits "flag"`},
	} {
		if got := run(variables, c.args...); !strings.Contains(got, c.want) {
			t.Errorf("siglake %q prints %q, want %q", c.args, got, c.want)
		}
	}
}

// TestJobPaths: the flags that name files are those with values that begin at the folder of the job file.
func TestJobPaths(t *testing.T) {
	t.Parallel()
	var got []string
	program := newCLI(&app.Env{})
	for _, name := range jobCommands {
		for _, f := range commandOf(program, name).Flags {
			if n := f.Names()[0]; isPath(f) && !slices.Contains(got, n) {
				got = append(got, n)
			} else if s, ok := f.(*cli.StringFlag); ok && s.TakesFile && !isPath(f) {
				t.Errorf("siglake %s --%s takes a file, and its usage does not say FILE", name, n)
			}
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{"api-key-file", "exclude", "lake", "list", "metrics-file", "profile", "quota-dir", "scratch", "seeds", "state"}, got); diff != "" {
		t.Errorf("flags that take paths (-want +got):\n%s", diff)
	}
	c := jobCompiler{dir: "etc/jobs"}
	for path, want := range map[string]string{"a.csv": "etc/jobs/a.csv", "/a.csv": "/a.csv", "s3://b/*.csv": "s3://b/*.csv", "-": "-", "../x/*.csv": "etc/x/*.csv", "": ""} {
		if got := c.resolve(path); got != want {
			t.Errorf("resolve(%q) = %q, want %q", path, got, want)
		}
	}
}

// TestConfigShowKeepsSecrets: neither the path of an address nor a password in one is shown.
func TestConfigShowKeepsSecrets(t *testing.T) {
	t.Parallel()
	config := writeJobFile(t, `version: 1
defaults:
  base-url: https://user:s3cr3t@api.example.com/v1
  notify:
  - url: https://hooks.slack.com/services/s3cr3t
    format: slack
jobs:
  nightly: {list: a.csv, lake: lake, max-credits: 1}
`, nil)
	for _, flags := range [][]string{nil, {"--effective"}} {
		code, stdout, stderr := says(t, append([]string{"config", "show", "--config", config}, flags...)...)
		if code != exitComplete || strings.Contains(stdout+stderr, "s3cr3t") || !strings.Contains(stdout, "https://hooks.slack.com/…") || !strings.Contains(stdout, "api.example.com/v1") {
			t.Errorf("exit %d, %s%s", code, stdout, stderr)
		}
	}
}

// TestConfigCheckValues: a check names the job of every value that its command would refuse, and warns
// about what may be there by the time of the run.
func TestConfigCheckValues(t *testing.T) {
	t.Parallel()
	for settings, says := range map[string]string{
		"{list: a.csv}": "name the signals",
		"{list: a.csv, signals: news, since: 30x}":                                      `--since "30x": expected a date such as 2026-01-31 or an age such as 30d, 6w, 3m or 1y, or last`,
		"{list: a.csv, signals: news, max-results: 1000}":                               "--max-results 1000",
		"{list: a.csv, signals: news, backfill: 5x}":                                    `--backfill "5x": expected a date`,
		"{list: a.csv, signals: news, max-credits: lots}":                               `--max-credits "lots"`,
		"{list: a.csv, signals: news, lateness: [news=400]}":                            `--lateness "news=400"`,
		"{command: lookalikes, seeds: a.csv, page-size: 1000}":                          "--page-size 1000",
		"{command: visitors, domain: shop.example, limit: -1}":                          "--limit -1",
		"{command: status, max-age: soon}":                                              `--max-age "soon"`,
		"{command: compact, min-files: 1}":                                              "--min-files 1",
		"{command: compact, target-size: 5PB}":                                          `--target-size "5PB"`,
		"{command: prune, older-than: 5h}":                                              `--older-than "5h"`,
		"{command: webhooks cap}":                                                       "state the cap with --max-credits-per-day",
		"{command: webhooks cap, max-credits-per-day: 0}":                               `--max-credits-per-day "0": expected a number of credits from 1; to end`,
		"{command: webhooks audit, since: soon}":                                        `--since "soon"`,
		"{command: webhooks sync, list: a.csv}":                                         "name the signals to subscribe to",
		"{command: webhooks sync, list: a.csv, signals: news, url: 'http://a.example'}": "--url",
		"{command: webhooks sync, list: a.csv, signals: news, name: 'a b'}":             "--name",
		"{command: webhooks sync, list: a.csv, signals: news, max-credits: lots}":       `--max-credits "lots"`,
	} {
		if code, stderr := checkJob(t, settings); code != exitUsage || !strings.HasPrefix(stderr, "siglake: job checked: "+says) {
			t.Errorf("%s: exit %d, want %d and %q: %s", settings, code, exitUsage, says, stderr)
		}
	}
	for settings, says := range map[string]string{
		"{list: a.csv, signals: news, audit: 2%, since: 30d}":                                      "--audit has no effect with --since 30d",
		"{list: a.csv, signals: [news, growht]}":                                                   "did you mean growth?",
		"{list: gone.csv, signals: news}":                                                          "gone.csv at present",
		"{list: a.csv, signals: news, since: last, audit: 2%}":                                     "",
		"{command: resume}":                                                                        "",
		"{command: status, max-age: 26h, job: x}":                                                  "",
		"{command: webhooks cap, max-credits-per-day: 5}":                                          "",
		"{command: webhooks audit}":                                                                "",
		"{command: webhooks publish}":                                                              "",
		"{command: verify}":                                                                        "",
		"{command: webhooks sync, list: gone.csv, signals: news, url: 'https://a.example'}":        "gone.csv at present",
		"{command: webhooks sync, list: a.csv, signals: [news, growht], url: 'https://a.example'}": "did you mean growth?",
	} {
		code, stderr := checkJob(t, settings)
		if code != exitComplete || !strings.Contains(stderr, says) || (says != "") != strings.Contains(stderr, "job=checked") {
			t.Errorf("%s: exit %d, want %d and %q: %s", settings, code, exitComplete, says, stderr)
		}
	}
}

// checkJob checks a job file with one job.
func checkJob(t *testing.T, settings string) (code int, stderr string) {
	t.Helper()
	config := writeJobFile(t, "version: 1\ndefaults: {lake: lake, max-credits: 5}\njobs:\n  checked: "+settings+"\n", map[string]string{"a.csv": "domain\n"})
	code, _, stderr = says(t, "config", "check", "--config", config)
	return code, stderr
}
