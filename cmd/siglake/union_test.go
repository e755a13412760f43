package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/proof"
)

// readUnion runs siglake union, and returns its exit code, what it found and what it says about it.
func readUnion(t *testing.T, lakes ...string) (code int, found app.UnionReport, stderr string) {
	t.Helper()
	var stdout, problems bytes.Buffer
	code = envFor(t).execute(t.Context(), append([]string{"siglake", "union", "--json"}, lakes...), nil, &stdout, &problems)
	if stdout.Len() > 0 {
		if err := json.Unmarshal(stdout.Bytes(), &found); err != nil {
			t.Fatal(err)
		}
	}
	return code, found, problems.String()
}

// checkUnionBill holds the one bill of all shards against the simulator's own, and its parts against each other.
func checkUnionBill(t *testing.T, u *app.UnionReport, credits int64) {
	t.Helper()
	var lakes, lists, runs int64
	for _, l := range u.Lakes {
		lakes += l.Credits
	}
	for _, l := range u.Lists {
		lists += l.Credits
	}
	signals := u.OtherCredits
	for _, l := range u.Signals {
		signals += l.Credits
	}
	for _, r := range u.Runs {
		runs += r.Credits
	}
	if lakes != u.Credits || lists != u.Credits || signals != u.Credits || runs != u.Credits {
		t.Errorf("%d credits are %d by shard, %d by list, %d by signal and %d by run", u.Credits, lakes, lists, signals, runs)
	}
	if u.Credits > credits || u.MaxCost < credits {
		t.Errorf("the bill is %d to %d credits, and the simulator billed %d", u.Credits, u.MaxCost, credits)
	}
}

// TestUnionBill: the bill of all shards is the simulator's, whatever way the lakes are named.
func TestUnionBill(t *testing.T) {
	t.Parallel()
	r := newShardRig(t)
	flags, lines := []string{"--signals", "news,growth", "--max-results", "2", "--quiet"}, proof.Size(300, 3000, 100_000)
	if _, sum := r.runShards(domainLines(lines), 3, flags...); sum.code != exitComplete {
		t.Fatalf("exit %d", sum.code)
	}
	r.minutes.Add(24 * 60)
	if _, sum := r.runShards(domainLines(lines+10), 3, flags...); sum.code != exitComplete {
		t.Fatalf("exit %d", sum.code)
	}
	all := []string{r.shard(2).lake, r.shard(0).lake, r.shard(1).lake}
	for _, lakes := range [][]string{{r.lake}, {filepath.Dir(r.lake)}, all} {
		code, found, stderr := readUnion(t, lakes...)
		if code != exitComplete || !found.Complete || found.Shards != 3 || len(found.Runs) != 6 || found.Credits != found.MaxCost {
			t.Errorf("%q: exit %d, %+v: %s", lakes, code, found, stderr)
		}
		checkUnionBill(t, &found, r.sim.Bill().Credits)
	}
	var stdout, stderr bytes.Buffer
	if code := envFor(t).execute(t.Context(), []string{"siglake", "compact", "--lake", r.shard(0).lake}, nil, &stdout, &stderr); code != exitComplete {
		t.Fatalf("compact: exit %d: %s", code, stderr.String())
	}
	code, found, problems := readUnion(t, r.lake)
	if code != exitComplete {
		t.Errorf("after a compaction: exit %d: %s", code, problems)
	}
	checkUnionBill(t, &found, r.sim.Bill().Credits)
}

// TestUnionFewLines: a shard to which no line of the list belongs is complete like the others.
func TestUnionFewLines(t *testing.T) {
	t.Parallel()
	r := newShardRig(t)
	if _, sum := r.runShards(domainLines(2), 5, "--signals", "news", "--quiet"); sum.code != exitComplete {
		t.Fatalf("exit %d", sum.code)
	}
	code, found, stderr := readUnion(t, r.lake)
	if code != exitComplete || !found.Complete || len(found.Lakes) != 5 {
		t.Errorf("exit %d, %+v: %s", code, found, stderr)
	}
	checkUnionBill(t, &found, r.sim.Bill().Credits)
}

// TestUnionOtherDivision: a lake of another division is refused also where its index is beyond those of the first one.
func TestUnionOtherDivision(t *testing.T) {
	t.Parallel()
	r := newShardRig(t)
	if _, sum := r.runShards(domainLines(40), 2, "--signals", "news", "--quiet"); sum.code != exitComplete {
		t.Fatalf("exit %d", sum.code)
	}
	r.minutes.Add(1)
	if v := r.rerun(domainLines(40), "--signals", "news", "--quiet", "--shard", "2/3"); v.code != exitComplete {
		t.Fatalf("exit %d: %s", v.code, v.stderr)
	}
	for _, lakes := range []string{r.lake, filepath.Dir(r.lake)} {
		if code, _, stderr := readUnion(t, lakes); code != exitUsage || !strings.Contains(stderr, "is shard 2/3") {
			t.Errorf("%s: exit %d: %s", lakes, code, stderr)
		}
	}
}

// TestUnionIncomplete: a shard that is missing, unfinished or behind is named with the exit code 20; lakes that would
// count rows twice, or that are none of shards, are refused.
func TestUnionIncomplete(t *testing.T) {
	t.Parallel()
	r := newShardRig(t)
	list := filepath.Join(t.TempDir(), "list.csv")
	if err := os.WriteFile(list, []byte("domain\n"+domainLines(300)), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(want int, shard string, flags ...string) {
		t.Helper()
		r.minutes.Add(1)
		v := r.exec(t.Context(), []string{"run", list}, "", append([]string{"--signals", "news", "--max-results", "2", "--batch-size", "10", "--quiet", "--shard", shard}, flags...)...)
		if v.code != want {
			t.Fatalf("shard %s: exit %d, want %d: %s", shard, v.code, want, v.stderr)
		}
	}
	says := func(want int, shard int, text string) {
		t.Helper()
		code, found, stderr := readUnion(t, r.lake)
		if code != want || found.Complete || !strings.Contains(strings.Join(found.Lakes[shard].Problems, "; "), text) || !strings.Contains(stderr, text) {
			t.Errorf("exit %d, %+v; want %d, and of shard %d %q: %s", code, found.Lakes, want, shard, text, stderr)
		}
		checkUnionBill(t, &found, r.sim.Bill().Credits)
	}
	run(exitComplete, "0/3")
	run(exitComplete, "2/3")
	says(exitDeferred, 1, "missing")
	run(exitDeferred, "1/3", "--max-credits", "30")
	says(exitDeferred, 1, "left to request")
	run(exitComplete, "1/3")
	if code, found, stderr := readUnion(t, r.lake); code != exitComplete || !found.Complete {
		t.Errorf("all there: exit %d, %+v: %s", code, found.Lakes, stderr)
	}
	r.minutes.Add(24 * 60)
	run(exitComplete, "0/3")
	says(exitDeferred, 1, "the newest run about "+list+" is of 2026-05-06, and other shards have one of 2026-05-07")

	whole, second := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "second")
	run(exitComplete, "1/3", "--lake", second, "--max-results", "1")
	run(exitComplete, "", "--lake", whole)
	half := filepath.Join(t.TempDir(), "half")
	run(exitComplete, "0/2", "--lake", half)
	for _, c := range []struct {
		lakes []string
		want  string
	}{
		{[]string{r.shard(0).lake, r.shard(1).lake, second}, "are both shard 1/3"},
		{[]string{r.shard(0).lake, half}, "is shard 0/3 and"},
		{[]string{r.shard(0).lake, whole}, "holds runs of whole lists"},
		{[]string{t.TempDir()}, "neither a lake nor a folder of lakes"},
		{[]string{filepath.Join(t.TempDir(), "none-{shard}")}, "no lake of any shard"},
		{nil, "union takes the lakes"},
	} {
		if code, _, stderr := readUnion(t, c.lakes...); code != exitUsage || !strings.Contains(stderr, c.want) {
			t.Errorf("%q: exit %d, want %d and %q: %s", c.lakes, code, exitUsage, c.want, stderr)
		}
	}
}

// TestShardKills: three shards run at once, and each is killed again and again: no call is sent twice, and the one bill
// brackets the simulator's.
func TestShardKills(t *testing.T) {
	kills := proof.Size(6, 30, 300)
	w := newWorld(t, buildProgram(t), 11, proof.Size(600, 1500, 1500))
	const count = 3
	lake := filepath.Join(t.TempDir(), "shard-"+app.ShardPlaceholder)
	var all sync.WaitGroup
	var landed atomic.Int64
	left, lock := kills, sync.Mutex{}
	for i := range count {
		all.Go(func() { // awaited below
			random := rand.New(rand.NewPCG(11, uint64(i))) //nolint:gosec // the same lives each time
			for tries := 0; tries < kills+20; tries++ {
				c := w.childCommand(0, append(w.args(lake, w.url), "--shard", fmt.Sprintf("%d/%d", i, count))...)
				if err := c.Start(); err != nil {
					t.Error(err)
					return
				}
				lock.Lock()
				kill := left > 0
				left--
				lock.Unlock()
				if kill {
					time.Sleep(time.Duration(20+random.IntN(150)) * time.Millisecond)
					_ = c.Process.Kill()
				}
				code := exitOf(c.Wait())
				if code == -1 {
					landed.Add(1)
				}
				if !kill && slices.Contains([]int{exitComplete, exitInDoubt}, code) {
					return
				}
			}
			t.Errorf("shard %d did not end", i)
		})
	}
	all.Wait()
	code, found, stderr := readUnion(t, lake)
	if !slices.Contains([]int{exitComplete, exitInDoubt}, code) || found.Shards != count {
		t.Fatalf("union: exit %d, %+v: %s", code, found.Lakes, stderr)
	}
	bill := w.readBill()
	checkUnionBill(t, &found, bill.Credits)
	sent := map[string]int{}
	for _, e := range bill.Entries {
		if e.Request != "" && e.Credits > 0 {
			sent[e.Request]++
		}
	}
	for request, n := range sent {
		if n > 1 {
			t.Errorf("the call %s was billed %d times", request, n)
		}
	}
	if landed.Load() == 0 {
		t.Error("no kill met a run: the test shows nothing")
	}
	t.Logf("%d kills: %d billed calls, %d of them different; the bill is %d to %d credits, the simulator's %d", landed.Load(), bill.Billed, len(sent), found.Credits, found.MaxCost, bill.Credits)
	for i := range count {
		var out, problems bytes.Buffer
		if code := envFor(t).execute(t.Context(), []string{"siglake", "verify", "--lake", strings.ReplaceAll(lake, app.ShardPlaceholder, fmt.Sprint(i))}, nil, &out, &problems); code != exitComplete {
			t.Errorf("verify of shard %d: exit %d: %s%s", i, code, out.String(), problems.String())
		}
	}
}
