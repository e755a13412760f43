package main

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/schema"
)

// TestResume: "siglake resume" does what the run's own command would.
func TestResume(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	baseline := newRig(t, simulator.Config{})
	path := writeList(t, "resume", 1000)
	baseline.runList(context.Background(), nil, path, baseFlags...)
	resume := func(r *rig, flags ...string) (int, string, string) {
		code, stdout, stderr := runProgram(t, slices.Concat([]string{"resume", "--lake", r.lake, "--plan", "unlimited", "--rate", "0"}, flags)...)
		r.manifest = r.readManifest()
		return code, stdout, stderr
	}
	bought := func(r *rig) {
		t.Helper()
		if got, want := r.sim.Bill().Credits, baseline.sim.Bill().Credits; got != want {
			t.Errorf("billed %d in all, want %d", got, want)
		}
		if diff := cmp.Diff(baseline.uids(baseline.manifest), r.uids(r.generations()...)); diff != "" {
			t.Errorf("rows by event_uid, undisturbed and resumed (-want +got):\n%.2000s", diff)
		}
	}

	t.Run("after a crash", func(t *testing.T) {
		r := newRig(t, simulator.Config{})
		crashAt(t, func(op, _ string) bool { return op == "sync" && r.billedCalls() == 7 })
		args := slices.Concat([]string{"run", path, "--lake", r.lake, "--base-url", r.server.URL, "--plan", "unlimited", "--rate", "0", "--concurrency", "1", "--quiet"}, baseFlags)
		code, _, _ := runProgram(t, args...)
		clearHook(t)
		if code != exitStorage {
			t.Fatalf("exit %d, want %d", code, exitStorage)
		}
		if code, _, stderr := resume(r, "--quiet"); code != exitComplete {
			t.Errorf("resume: exit %d: %s", code, stderr)
		}
		bought(r)
		if code, stdout, _ := resume(r); code != exitComplete || !strings.Contains(stdout, "Nothing to resume") {
			t.Errorf("resume of a finished lake: exit %d, %q", code, stdout)
		}
	})

	t.Run("after a stop", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		var posts atomic.Int64
		r := newRig(t, simulator.Config{Latency: time.Millisecond, Log: func(e simulator.Entry) {
			if e.Method == http.MethodPost && posts.Add(1) == 4 {
				cancel()
			}
		}})
		r.runList(ctx, nil, path, append(slices.Clone(baseFlags), "--concurrency", "1")...)
		if r.code != exitDeferred || r.manifest.Accounts.ByStatus[schema.Deferred] == 0 {
			t.Fatalf("exit %d, want %d and lines left", r.code, exitDeferred)
		}
		if code, _, stderr := resume(r, "--quiet"); code != exitComplete {
			t.Errorf("resume: exit %d: %s", code, stderr)
		}
		bought(r)
	})

	t.Run("with another budget", func(t *testing.T) {
		r := newRig(t, simulator.Config{})
		r.runList(context.Background(), nil, path, slices.Concat(baseFlags, []string{"--max-credits", "200", "--unattended"})...)
		spent := r.sim.Bill().Credits
		if r.code != exitDeferred || spent > 200 {
			t.Fatalf("exit %d, %d credits; want %d and at most 200", r.code, spent, exitDeferred)
		}
		// A run that exhausted its budget continues only with a new one.
		code, _, stderr := resume(r, "--quiet")
		if now := r.sim.Bill().Credits; code != exitUsage || now != spent || !strings.Contains(stderr, "its budget of 200 credits") {
			t.Errorf("resume without a budget: exit %d, %d credits; want %d, none: %s", code, now-spent, exitUsage, stderr)
		}
		code, _, stderr = resume(r, "--quiet", "--max-credits", "100")
		if now := r.sim.Bill().Credits; code != exitDeferred || now > spent+100 {
			t.Errorf("resume: exit %d, %d credits; want %d and at most 100: %s", code, now-spent, exitDeferred, stderr)
		}
		if code, _, stderr := resume(r, "--quiet", "--max-credits", "unlimited"); code != exitComplete {
			t.Errorf("resume: exit %d: %s", code, stderr)
		}
		bought(r)
	})

	t.Run("within its budget", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		var posts atomic.Int64
		r := newRig(t, simulator.Config{Latency: time.Millisecond, Switches: simulator.Switches{Events: "most"}, Log: func(e simulator.Entry) {
			if e.Method == http.MethodPost && posts.Add(1) == 4 {
				cancel()
			}
		}})
		const budget = 3000
		r.runList(ctx, nil, path, slices.Concat(baseFlags, []string{"--concurrency", "2", "--max-credits", strconv.Itoa(budget)})...)
		spent := r.sim.Bill().Credits
		if r.code != exitDeferred || spent == 0 || spent > budget {
			t.Fatalf("exit %d, %d credits; want %d and at most %d", r.code, spent, exitDeferred, budget)
		}
		code, _, stderr := resume(r, "--quiet")
		if now := r.sim.Bill().Credits; code != exitDeferred || now <= spent || now > budget {
			t.Errorf("resume: exit %d, %d credits after %d; want %d and at most %d in all: %s", code, now, spent, exitDeferred, budget, stderr)
		}
	})

	t.Run("what is in doubt", func(t *testing.T) {
		r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "drop-before", At: 2}}})
		r.runList(context.Background(), nil, path, slices.Concat(baseFlags, []string{"--concurrency", "1"})...)
		if code, stdout, _ := resume(r); r.code != exitInDoubt || code != exitComplete || !strings.Contains(stdout, "Nothing to resume") {
			t.Errorf("run: exit %d; resume, holding: exit %d, %q; want %d, %d and nothing to do", r.code, code, stdout, exitInDoubt, exitComplete)
		}
		if code, _, stderr := resume(r, "--quiet", "--in-doubt", "probe"); code != exitComplete {
			t.Errorf("resume, probing: exit %d: %s", code, stderr)
		}
		bought(r)
	})

	t.Run("what cannot be", func(t *testing.T) {
		r := newRig(t, simulator.Config{})
		list, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		r.run(string(list), slices.Concat(baseFlags, []string{"--max-credits", "100"})...)
		before := r.sim.Bill().Requests
		for _, tt := range []struct {
			args []string
			says string
		}{
			{nil, "from standard input; name the list: siglake resume LIST"},
			{[]string{writeList(t, "other", 10), "--max-credits", "9"}, "name the original list"},
			{[]string{filepath.Join(t.TempDir(), "none.csv"), "--max-credits", "9"}, "none.csv"},
			{[]string{path}, "its budget of 100 credits"},
			{[]string{path, "--refresh"}, "--refresh applies to a new run"},
			{[]string{path, path}, "at most one list"},
		} {
			if code, _, stderr := resume(r, tt.args...); code != exitUsage || !strings.Contains(stderr, tt.says) {
				t.Errorf("resume %v: exit %d, %q; want %d and %q", tt.args, code, stderr, exitUsage, tt.says)
			}
		}
		if asked := r.sim.Bill().Requests - before; asked != 0 {
			t.Errorf("refused commands made %d requests", asked)
		}
		if code, _, stderr := resume(r, path, "--max-credits", "unlimited", "--quiet"); code != exitComplete {
			t.Errorf("resume of a list that came by standard input: exit %d: %s", code, stderr)
		}
		bought(r)
	})

	t.Run("in an invented world", func(t *testing.T) {
		lake := filepath.Join(t.TempDir(), "lake")
		args := slices.Concat([]string{"run", path, "--lake", lake, "--simulate", "--seed", "5", "--sim-plan", "unlimited", "--plan", "unlimited", "--rate", "0", "--quiet", "--max-credits", "100"}, baseFlags)
		if code, _, stderr := runProgram(t, args...); code != exitDeferred {
			t.Fatalf("exit %d: %s", code, stderr)
		}
		code, _, stderr := runProgram(t, "resume", "--lake", lake, "--sim-plan", "unlimited", "--plan", "unlimited", "--rate", "0", "--quiet", "--max-credits", "unlimited")
		if m := (&rig{t: t, lake: lake}).readManifest(); code != exitComplete || m.Accounts.ByStatus[schema.Cached] == 0 {
			t.Errorf("exit %d, fates %v: %s", code, m.Accounts.ByStatus, stderr)
		}
	})
}
