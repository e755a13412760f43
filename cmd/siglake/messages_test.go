package main

import (
	"os"
	"path/filepath"
	"regexp"
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
		{[]string{"runs", "--lake", none, "--last", "-3"}, exitUsage, "--last -3: expected a number of runs, or 0 for all", "from 1"},
		{[]string{"runs", "--lake", empty, "--job", "night"}, exitUsage, "no run of the lake belongs to a job", "none yet"},
		{[]string{"runs", "--lake", empty, "--list", list}, exitUsage, "the lake has no run yet", "none yet"},
		{[]string{"export", "--lake", empty, "--output", filepath.Join(none, "no", "x.csv")}, exitUsage, "--output " + filepath.Join(none, "no", "x.csv") + ": the directory " + filepath.Join(none, "no") + " does not exist", ".tmp"},
		{[]string{"export", "--lake", empty, "--output", filepath.Join(list, "x.csv")}, exitUsage, list + " is not a directory", ".tmp"},
		{[]string{"export", "--lake", empty, "--output", filepath.Join(none, "x.parquet"), "--bom", "yes"}, exitUsage, "--bom yes applies to CSV only, and the format is parquet", ""},
		{[]string{"plan", list, "--signals", "news", "--simulate"}, exitComplete, "without --lake the plan knows of no earlier purchases, so", "this lake"},
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

// oneOfMany is the number one before a noun in the plural.
var oneOfMany = regexp.MustCompile(`(?m)(?:^|[^0-9,.-])1 (?:event |new |more |answered |audited |late |entity-signal )?(?:answers|attempts|batches|bytes|calls|charges|columns|companies|compactions|contacts|credits|days|` +
	`entities|events|files|generations|identities|invariants|lines|notes|pairs|reasons|requests|results|retries|rows|runs|seeds|statuses)\b`)

// TestSingular: what there is one of is counted in the singular by every command.
func TestSingular(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{Switches: simulator.Switches{Events: "most"}, Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 2}}})
	output := filepath.Join(t.TempDir(), "out.csv")
	check := func(args ...string) {
		t.Helper()
		_, stdout, stderr := runProgram(t, args...)
		text := strings.ReplaceAll(stdout+stderr, "0 to 1 ", "0 to one ") // an interval
		if text == "" || oneOfMany.MatchString(text) {
			t.Errorf("%q counts one in the plural, %q:\n%s", args, oneOfMany.FindAllString(text, -1), text)
		}
	}
	flags := []string{"--lake", r.lake, "--base-url", r.server.URL, "--signals", "news", "--max-results", "1"}
	list := writeList(t, "singular", 1)
	check(slices.Concat([]string{"plan", list}, flags)...)
	check(slices.Concat([]string{"run", list, "--max-credits", "1"}, flags)...)
	check(slices.Concat([]string{"run", list, "--refresh"}, flags)...)
	check(slices.Concat([]string{"plan", list}, flags)...)
	for _, command := range []string{"status", "runs", "verify", "held list", "held reread", "held retry", "export --output " + output, "compact", "rebuild --into " + filepath.Join(t.TempDir(), "new")} {
		check(append(strings.Fields(command), "--lake", r.lake)...)
	}
	check("doctor", "--lake", r.lake, "--base-url", r.server.URL)
	check("usage", "--base-url", r.server.URL)
	check("check", list)
}

// TestVariableMessages: a variable that cannot be read is named, with what was expected.
func TestVariableMessages(t *testing.T) {
	t.Setenv("SIGLAKE_MAX_RESULTS", "abc")
	code, stdout, stderr := runProgram(t, "run", "list.csv", "--lake", "lake")
	if says := `SIGLAKE_MAX_RESULTS "abc": expected a whole number`; code != exitUsage || stdout != "" || !strings.Contains(stderr, says) {
		t.Errorf("exit %d, %q, %q; want %d, nothing, %q", code, stdout, stderr, exitUsage, says)
	}
}

// TestVariableNames: a message about a flag that a variable sets names the variable; one on the command line counts more.
func TestVariableNames(t *testing.T) {
	for variable, value := range map[string]string{
		"SIGLAKE_LATENCY": "1s", "SIGLAKE_OBJECT": "x", "SIGLAKE_LAKE": filepath.Join(t.TempDir(), "none"), "SIGLAKE_LAST": "-3", "SIGLAKE_COMPLETE_EXITS_0": "x",
	} {
		t.Setenv(variable, value)
	}
	list := writeList(t, "variables", 3)
	run := []string{"run", list, "--signals", "news", "--max-credits", "5"}
	for _, tt := range []struct {
		args []string
		says string
	}{
		{run, "siglake: SIGLAKE_LATENCY applies to the simulator only; add --simulate, or unset SIGLAKE_LATENCY\n"},
		{slices.Concat(run, []string{"--latency", "2s"}), "siglake: --latency applies to the simulator only; add --simulate, or omit --latency\n"},
		{slices.Concat(run, []string{"--latency=2s"}), "siglake: --latency applies"},
		{[]string{"check", list}, "siglake: SIGLAKE_OBJECT \"x\": expected contact, company or auto\n"},
		{[]string{"check", list, "--object", "y"}, "siglake: --object \"y\": expected"},
		{[]string{"held", "list"}, "siglake: SIGLAKE_LAKE: "},
		{[]string{"runs"}, "siglake: SIGLAKE_LAST -3: expected a number of runs, or 0 for all\n"},
		{[]string{"job", "night"}, "siglake: SIGLAKE_COMPLETE_EXITS_0 \"x\": expected true or false; see siglake job --help\n"},
	} {
		if code, stdout, stderr := runProgram(t, tt.args...); code != exitUsage || stdout != "" || !strings.HasPrefix(stderr, tt.says) {
			t.Errorf("%q: exit %d, %q, %q; want %d, nothing, %q", tt.args, code, stdout, stderr, exitUsage, tt.says)
		}
	}
}

// TestNamedVariables: a message names a variable only where it is about its flag.
func TestNamedVariables(t *testing.T) {
	t.Parallel()
	variables := map[string]string{"since": "SIGLAKE_SINCE", "refresh": "SIGLAKE_REFRESH", "max-credits": "SIGLAKE_MAX_CREDITS", "lake": "SIGLAKE_LAKE"}
	for says, want := range map[string]string{
		"--refresh buys a window again, and --since last asks for less": "SIGLAKE_REFRESH buys a window again, and SIGLAKE_SINCE last asks for less",
		"--since, --refresh narrow signals":                             "SIGLAKE_SINCE, SIGLAKE_REFRESH narrow signals",
		"--since-last x":                                                "--since-last x",
		"add --max-credits N: siglake plan --lake l forecasts the cost": "add --max-credits N: siglake plan --lake l forecasts the cost",
		"--rate 1: add --max-credits N, or omit --rate":                 "--rate 1: add --max-credits N, or omit --rate",
	} {
		if got := nameVariables(says, variables); got != want {
			t.Errorf("nameVariables(%q) = %q, want %q", says, got, want)
		}
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
		if lake, ok := flagNamed(cmd, "lake").(*cli.StringFlag); ok && lake.Required && cmd.Name != "listen" { // which may come before the first run
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
			none:  "siglake: --lake: " + none + " is not a siglake lake: the directory does not exist; check the path, or create the lake with siglake run\n",
			file:  "siglake: --lake: " + file + " is not a siglake lake: it is a file; check the path\n",
			dir:   "siglake: --lake: " + dir + " is not a siglake lake: no journal found; check the path, or create the lake with siglake run\n",
			other: "siglake: --lake: " + other + " is not a siglake lake: it holds \"notes.txt\" and no _meta; check the path\n",
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
