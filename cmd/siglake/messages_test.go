package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/simulator"
)

// TestMessages: a message names what is wrong and what to do next.
func TestMessages(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	list := writeList(t, "messages", 3)
	run := []string{"run", list, "--lake", r.lake, "--base-url", r.server.URL, "--signals", "news"}
	none, empty := t.TempDir(), filepath.Join(t.TempDir(), "empty")
	if err := os.MkdirAll(filepath.Join(empty, app.StateDir), 0o700); err != nil {
		t.Fatal(err)
	}
	seeds := filepath.Join(t.TempDir(), "seeds.csv")
	if err := os.WriteFile(seeds, []byte("name,domain\nNordwind,nordwind-test.com\nSuedstern,gmail.com\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args  []string
		code  int
		says  string
		never string
	}{
		{[]string{"--version"}, exitComplete, "siglake " + version, ""},
		{[]string{"held", "bogus"}, exitUsage, "bogus", "Did you mean"},
		{[]string{"help", "bogus"}, exitUsage, "bogus", "Did you mean"},
		{slices.Concat(run, []string{"--fault", "drop@1"}), exitUsage, "--fault applies to the simulator only; add --simulate", ""},
		{slices.Concat(run, []string{"--seed", "3"}), exitUsage, "--seed applies to the simulator", ""},
		{slices.Concat(run, []string{"--since", "10y"}), exitUsage, "is more than a year back", ""},
		{slices.Concat(run, []string{"--since", "soon"}), exitUsage, "30d, 6w, 3m or 1y", ""},
		{[]string{"resume", "--lake", none}, exitUsage, none + " is not a siglake lake", "resume"},
		{[]string{"run", list, "--lake"}, exitUsage, "--lake needs a value", "list"},
		{[]string{"run", list, "--lake", "--simulate"}, exitUsage, "--lake needs a value", "list"},
		{[]string{"check", list, "-x"}, exitUsage, "unknown flag -x;", "did you mean"},
		{[]string{"check", list, "--rejekts=x"}, exitUsage, "unknown flag --rejekts (did you mean --rejects?)", ""},
		{[]string{"runs", "--lake", none, "--last", "x"}, exitUsage, `--last "x": expected a whole number`, ""},
		{[]string{"run", list, "--rate", "x"}, exitUsage, `--rate "x": expected a number`, ""},
		{[]string{"run", list, "--quiet=x"}, exitUsage, `--quiet "x": expected true or false`, ""},
		{[]string{"run", list, "--timeout", "9"}, exitUsage, `--timeout "9": expected a duration`, ""},
		{[]string{"check", list, "--rejects", filepath.Join(none, "no", "x.csv")}, exitUsage, "the directory " + filepath.Join(none, "no") + " does not exist", ".siglake-rejects"},
		{[]string{"check", list, "--rejects", filepath.Join(list, "x.csv")}, exitUsage, list + " is not a directory", ".siglake-rejects"},
		{[]string{"files", "--lake", none, "--table", "account_events"}, exitUsage, "a view of siglake ddl", ""},
		{[]string{"files", "--lake", none, "--table", "news_all"}, exitUsage, "its rows come from news", ""},
		{[]string{"files", "--lake", none, "--table", "nws"}, exitUsage, "did you mean news?", ""},
		{[]string{"lookalikes", "--seeds", seeds, "--limit", "5", "--simulate", "--lake", filepath.Join(none, "new")}, exitUsage, "gmail.com is a free mail provider", "--map"},
		{[]string{"rebuild", "--lake", none}, exitUsage, "rebuild needs --into DIR", "USAGE"},
		{[]string{"resume", "--lake", empty}, exitComplete, empty + " has no run yet", "finished"},
		{[]string{"status", none}, exitUsage, "siglake status --lake " + none, ""},
		{[]string{"held", "--lake", none}, exitUsage, "name list, reread, retry or accept-loss first", "unknown flag"},
		{[]string{"run"}, exitUsage, "none is named", ""},
		{[]string{"run", list, list, "--lake", r.lake}, exitUsage, "quote a pattern", ""},
		{[]string{"plan", list, "--signals", "news", "--simulate"}, exitComplete, "--simulate --lake DIR --max-credits ", ""},
	} {
		code, stdout, stderr := runProgram(t, tt.args...)
		if said := stdout + stderr; code != tt.code || !strings.Contains(said, tt.says) || tt.never != "" && strings.Contains(said, tt.never) {
			t.Errorf("%q: exit %d, %q; want %d, %q and no %q", tt.args, code, said, tt.code, tt.says, tt.never)
		}
	}
	if n := r.sim.Bill().Billed; n != 0 {
		t.Errorf("%d calls were billed, want none", n)
	}

	envFor(t).set(app.KeyVariable, "a key\nof two lines")
	if code, _, stderr := runProgram(t, run...); code != exitAuth || !strings.Contains(stderr, "a character at position 2 that cannot be sent") || strings.Contains(stderr, "of two lines") {
		t.Errorf("a key of two lines: exit %d, %q; want %d and not the key", code, stderr, exitAuth)
	}
}

// TestVariableMessages: a variable that cannot be read is named, with what was expected.
func TestVariableMessages(t *testing.T) {
	t.Setenv("SIGLAKE_MAX_RESULTS", "abc")
	code, stdout, stderr := runProgram(t, "run", "list.csv", "--lake", "lake")
	if says := `SIGLAKE_MAX_RESULTS "abc": expected a whole number`; code != exitUsage || stdout != "" || !strings.Contains(stderr, says) {
		t.Errorf("exit %d, %q, %q; want %d, nothing, %q", code, stdout, stderr, exitUsage, says)
	}
}

// TestLakeMessages: each command that reads a lake has one message about a lake that is not named, and one about a lake
// that does not exist.
func TestLakeMessages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	none, file, other := filepath.Join(dir, "none"), writeList(t, "file", 3), t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "notes.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	commands := [][]string{{"held", "list"}, {"resume"}}
	for _, cmd := range newCLI(&app.Env{}).Commands {
		if lake, ok := flagNamed(cmd, "lake").(*cli.StringFlag); ok && lake.Required {
			commands = append(commands, []string{cmd.Name})
		}
	}
	if len(commands) < 11 {
		t.Fatalf("%d commands that read a lake, want 11 or more", len(commands))
	}
	further := map[string][]string{"prune": {"--older-than", "30d"}, "rebuild": {"--into", filepath.Join(dir, "new")}, "export": {"--output", filepath.Join(t.TempDir(), "out.csv")}, "report": {"--output", filepath.Join(t.TempDir(), "out.html")}}
	for _, words := range commands {
		words = append(words, further[words[0]]...)
		for lake, says := range map[string]string{
			"":    "siglake: name the lake with --lake DIR or --lake s3://bucket/prefix\n",
			none:  "siglake: --lake: " + none + " is not a siglake lake: the directory does not exist\n",
			file:  "siglake: --lake: " + file + " is not a siglake lake: it is a file\n",
			dir:   "siglake: --lake: " + dir + " is not a siglake lake: no journal found\n",
			other: "siglake: --lake: " + other + " is not a siglake lake: it holds \"notes.txt\" and no _meta\n",
		} {
			args := slices.Clone(words)
			if lake != "" {
				args = append(args, "--lake", lake)
			}
			if code, stdout, stderr := runProgram(t, args...); code != exitUsage || stdout != "" || stderr != says {
				t.Errorf("%q: exit %d, %q, %q; want %d, nothing, %q", args, code, stdout, stderr, exitUsage, says)
			}
		}
	}
}

// TestUnreachable: without a network a run says so in one sentence, and what to do.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	onVirtualTime(t, func(t *testing.T) {
		code, _, stderr := runProgram(t, "run", writeList(t, "unreachable", 3), "--lake", filepath.Join(t.TempDir(), "lake"), "--base-url", "http://127.0.0.1:1",
			"--signals", "news", "--quiet")
		const says = "siglake: the API cannot be reached (dial tcp 127.0.0.1:1: connect: connection refused): check network, proxy and --base-url, then run the same command again\n"
		if code != exitDeferred || stderr != says {
			t.Errorf("exit %d, %q; want %d, %q", code, stderr, exitDeferred, says)
		}
	})
}

// TestDemoLeavesRealLakes: a demo that is refused has written nothing.
func TestDemoLeavesRealLakes(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	r.run(domainLines(3), baseFlags...)
	code, _, stderr := runProgram(t, "demo", "--lake", r.lake)
	if _, err := os.Stat(r.lake + "-accounts.csv"); code != exitUsage || !strings.Contains(stderr, "holds real answers") || !os.IsNotExist(err) {
		t.Errorf("exit %d, %q, its list: %v; want %d, a refusal, and none", code, stderr, err, exitUsage)
	}
}
