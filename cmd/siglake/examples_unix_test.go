//go:build unix

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/simulator"
)

// writeProgram writes a script that a shell finds under its name.
func writeProgram(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
}

// shell runs a command of sh and gives its exit code and what it prints.
func shell(t *testing.T, command string, environ ...string) (code int, printed string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
	cmd.Env = environ
	out, err := cmd.CombinedOutput()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return failed.ExitCode(), string(out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0, string(out)
}

// TestExampleRetry: the script repeats what a repetition helps, so often, and gives the last code.
func TestExampleRetry(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		codes string // of the command, one after the other; the last one stays
		code  int
		runs  int
	}{
		{"0", 0, 1}, {"10", 0, 1}, {"12", 0, 1},
		{"21", 21, 1}, {"30", 30, 1}, {"60", 60, 1}, {"64", 64, 1}, {"127", 127, 1}, {"1", 1, 1},
		{"20", 20, 4}, {"40 50 20 0", 0, 4}, {"130 137 10", 0, 3}, {"50 30", 30, 2}, {"143 64", 64, 2},
	} {
		dir := t.TempDir()
		writeProgram(t, dir, "siglake-retry", exampleText("cron", "siglake-retry"))
		writeProgram(t, dir, "siglake", fmt.Sprintf("#!/bin/sh\necho \"$2\" >> %[1]s/runs\nset -- %[2]s\nn=$(grep -c . %[1]s/runs)\nwhile [ $n -gt 1 ] && [ $# -gt 1 ]; do shift; n=$((n - 1)); done\nexit $1\n", dir, c.codes))
		code, printed := shell(t, "siglake-retry siglake job 'a job'", "PATH="+dir+":"+os.Getenv("PATH"), "TRIES=4", "PAUSE=0")
		raw, err := os.ReadFile(filepath.Join(dir, "runs"))
		if runs := strings.Count(string(raw), "job\n"); err != nil || code != c.code || runs != c.runs || printed != "" {
			t.Errorf("codes %s: exit %d after %d runs, want %d after %d (%v, %q)", c.codes, code, runs, c.code, c.runs, err, printed)
		}
	}
}

// TestExampleCronNights: the line of the crontab, night after night, with calls that fail: all is bought
// in spite of them, and no day costs more than its cap, however often the script repeats the job.
func TestExampleCronNights(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	start := time.Now()
	clock := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	r := newRig(t, simulator.Config{Now: clock, Faults: []simulator.Fault{{Kind: "402-credits", At: 2}, {Kind: "402-credits", At: 4}}})
	dir := t.TempDir()
	const perDay = 30
	local := strings.NewReplacer("/var/lib/siglake", dir, "/etc/siglake", dir)
	jobFile := strings.NewReplacer("per-day: 500", fmt.Sprintf("per-day: %d\n    batch-size: 1\n    max-results: 1", perDay)).Replace(local.Replace(exampleText("job", "siglake.yaml")))
	variables, lines, err := parseCron(local.Replace(exampleText("cron", "siglake.cron")))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"siglake.yaml": jobFile, "accounts.csv": domainLines(30), "lusha-api-key": canary} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	writeProgram(t, dir, "siglake-retry", exampleText("cron", "siglake-retry"))
	writeProgram(t, dir, "siglake", fmt.Sprintf("#!/bin/sh\necho \"$2\" >> %s/runs\nexec %s \"$@\"\n", dir, self))

	done, nights := false, 0
	for night := 0; night < 6 && !done; night++ {
		nights++
		ahead.Store(int64(time.Duration(night) * 24 * time.Hour))
		before := r.sim.Bill().Credits
		environ := append(variables, "PATH="+dir+":"+os.Getenv("PATH"), "PAUSE=0", "TRIES=3", runAsProgram+"=0",
			clockAhead+"="+time.Duration(ahead.Load()).String(), "SIGLAKE_BASE_URL="+r.server.URL, "SIGLAKE_PLAN=unlimited", "SIGLAKE_RATE=0", "SIGLAKE_MAX_WAIT=0s")
		code, printed := shell(t, lines[0].command, environ...)
		if code != exitComplete && code != exitDeferred {
			t.Fatalf("night %d: exit %d\n%s", night, code, printed)
		}
		if billed := r.sim.Bill().Credits - before; billed > perDay && clock().Day() == start.AddDate(0, 0, night).Day() {
			t.Errorf("night %d: %d credits billed, want at most %d", night, billed, perDay)
		}
		done = code == exitComplete
	}
	raw, err := os.ReadFile(filepath.Join(dir, "runs"))
	if jobs := strings.Count(string(raw), "nightly\n"); err != nil || !done || jobs < 4 || strings.Count(string(raw), "compact\n") != nights {
		t.Errorf("done %t after the jobs %q (%v), want repetitions, and a compaction behind each of %d nights", done, raw, err, nights)
	}
	r.lake = filepath.Join(dir, "lake")
	var status app.LakeStatus
	r.decode([]byte(r.mustExit(exitComplete, "status", "--json")), &status)
	if billed := r.sim.Bill().Credits; status.Credits != billed || billed <= perDay {
		t.Errorf("%d credits in status, %d by the simulator, want the same, and more than one night's", status.Credits, billed)
	}
}

// TestExampleCronCompacts: the line of the crontab compacts whatever became of the night, and exits with the night's code,
// or else with that of the compaction.
func TestExampleCronCompacts(t *testing.T) {
	t.Parallel()
	_, lines, err := parseCron(exampleText("cron", "siglake.cron"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ night, compaction, code int }{{0, 0, 0}, {10, 0, 0}, {21, 0, 21}, {30, 0, 30}, {0, 40, 40}, {21, 50, 21}, {20, 0, 20}} {
		dir := t.TempDir()
		writeProgram(t, dir, "siglake-retry", exampleText("cron", "siglake-retry"))
		writeProgram(t, dir, "siglake", fmt.Sprintf("#!/bin/sh\necho \"$2\" >> %s/runs\ncase $2 in compact) exit %d ;; esac\nexit %d\n", dir, c.compaction, c.night))
		code, printed := shell(t, lines[0].command, "PATH="+dir+":"+os.Getenv("PATH"), "TRIES=1", "PAUSE=0")
		raw, err := os.ReadFile(filepath.Join(dir, "runs"))
		if err != nil || code != c.code || string(raw) != "nightly\ncompact\n" {
			t.Errorf("night %d, compaction %d: exit %d after the jobs %q (%v, %q), want %d after both", c.night, c.compaction, code, raw, err, printed, c.code)
		}
	}
}

// TestExampleScripts: sh and python3 can read what they are to run, where there is a python3.
func TestExampleScripts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeProgram(t, dir, "x", exampleText("docker", "siglake-docker"))
	writeProgram(t, dir, "docker", "#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
	code, printed := shell(t, "x job 'a job'", "PATH="+dir+":"+os.Getenv("PATH"))
	for _, want := range []string{"\n--read-only\n", "\n--rm\n", "\nsiglake\njob\na job\n"} {
		if code != 0 || !strings.Contains(printed, want) {
			t.Errorf("siglake-docker: exit %d, arguments %q, want %q", code, printed, want)
		}
	}
	if python, err := exec.LookPath("python3"); err == nil {
		cmd := exec.CommandContext(t.Context(), python, "-c", "import ast, sys; ast.parse(sys.stdin.read())")
		cmd.Stdin = strings.NewReader(exampleText("airflow", "siglake_nightly.py"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("siglake_nightly.py: %v\n%s", err, out)
		}
	}
}

// TestExampleUnits: systemd accepts the units, where there is one. Before version 254 it refuses
// RestartForceExitStatus with oneshot.
func TestExampleUnits(t *testing.T) {
	t.Parallel()
	if got := group(t, "systemd", "siglake-nightly.service", `\nType=(.*)`); got == "oneshot" {
		t.Error("Type=oneshot with RestartForceExitStatus")
	}
	dir := t.TempDir()
	verify := []string{"verify"}
	for _, kind := range []string{"systemd", "webhooks", "watch"} {
		for _, file := range exampleFiles(kind) {
			if ext := filepath.Ext(file); ext == ".service" || ext == ".timer" {
				writeProgram(t, dir, file, strings.ReplaceAll(exampleText(kind, file), "/usr/local/bin/siglake", "/bin/true"))
				verify = append(verify, filepath.Join(dir, file))
			}
		}
	}
	if len(verify) != 8 {
		t.Errorf("units %q, want seven", verify[1:])
	}
	if analyze, err := exec.LookPath("systemd-analyze"); err == nil {
		for _, unit := range verify[1:] {
			if err := os.Chmod(unit, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if out, err := exec.CommandContext(t.Context(), analyze, verify...).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("systemd-analyze verify: %v\n%s", err, out)
		}
	}
}
