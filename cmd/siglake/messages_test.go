package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

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
		{[]string{"resume", "--lake", empty}, exitComplete, empty + " has no run yet", "finished"},
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
