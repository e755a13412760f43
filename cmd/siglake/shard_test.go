package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/schema"
)

// shardRig is a rig of which each shard has a lake of its own.
type shardRig struct {
	*rig
	minutes atomic.Int64 // by which its clock is ahead
}

func newShardRig(t *testing.T) *shardRig {
	t.Helper()
	r := new(shardRig)
	noon := time.Date(2026, 5, 6, 12, 0, 0, 0, time.UTC)
	now := func() time.Time { return noon.Add(time.Duration(r.minutes.Load()) * time.Minute) }
	setNow(t, now)
	r.rig = newRig(t, simulator.Config{Now: now})
	r.lake = filepath.Join(t.TempDir(), "shard-"+app.ShardPlaceholder)
	return r
}

// runShards runs the shards of a list, each into its lake, and sums up what they cost. They run a minute apart: the
// account's usage can be read five times a minute.
func (r *shardRig) runShards(list string, count int, flags ...string) (all []runResult, sum runResult) {
	r.t.Helper()
	for i := range count {
		r.minutes.Add(1)
		v := r.rerun(list, append(slices.Clone(flags), "--shard", fmt.Sprintf("%d/%d", i, count))...)
		all = append(all, v)
		sum.code, sum.requests, sum.calls, sum.entities, sum.credits = max(sum.code, v.code), sum.requests+v.requests, sum.calls+v.calls, sum.entities+v.entities, sum.credits+v.credits
	}
	return all, sum
}

// shard is a rig with the lake of one shard.
func (r *shardRig) shard(index int) *rig {
	one := *r.rig
	one.lake = strings.ReplaceAll(r.lake, app.ShardPlaceholder, fmt.Sprint(index))
	one.manifest = one.readManifest()
	return &one
}

// TestShardEdits: all shards together buy each entity of a list once, also one with several lines, and after lines
// were inserted, deleted and moved they buy the inserted ones only, by the simulator's own bill.
func TestShardEdits(t *testing.T) {
	t.Parallel()
	lines, count := proof.Size(3000, 20_000, 100_000), 6
	r := newShardRig(t)
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same list each time
	text := func(domains []string) string { return "domain\n" + strings.Join(domains, "\n") + "\n" }
	domains := make([]string, lines)
	for i := range domains {
		domains[i] = fmt.Sprintf("company-%06d.example", i)
	}
	duplicates := lines / 100
	list := slices.Clone(domains)
	for range duplicates { // written differently, anywhere in the list
		list = slices.Insert(list, random.IntN(len(list)), "HTTPS://www."+strings.ToUpper(domains[random.IntN(lines)])+"/about")
	}
	flags := []string{"--signals", "riskNews", "--max-results", "1", "--quiet"}
	all, sum := r.runShards(text(list), count, flags...)
	if sum.code != exitComplete || sum.entities != lines || sum.credits == 0 {
		t.Fatalf("exit %d, %d entities for %d credits; want %d and %d: %s", sum.code, sum.entities, sum.credits, exitComplete, lines, all[0].stderr)
	}
	var total, twice int64
	for i, v := range all {
		mean := lines / count
		if off := v.entities - mean; off*off > 25*mean {
			t.Errorf("shard %d asked about %d entities, want about %d", i, v.entities, mean)
		}
		m := r.shard(i).manifest
		total, twice = total+m.Accounts.Lines, twice+m.Accounts.ByStatus[schema.Duplicate]
		if want := fmt.Sprintf("%d/%d", i, count); m.Input.Shard != want || m.Input.Records != int64(len(list)) {
			t.Errorf("the manifest has shard %q of %d lines, want %q of %d", m.Input.Shard, m.Input.Records, want, len(list))
		}
	}
	if total != int64(len(list)) || twice != int64(duplicates) {
		t.Errorf("the shards have %d lines with %d duplicates, want %d with %d", total, twice, len(list), duplicates)
	}
	t.Logf("%d lines in %d shards: %d entities asked in %d calls for %d credits", len(list), count, sum.entities, sum.calls, sum.credits)

	inserted := lines / 100
	for i := range inserted {
		at := random.IntN(len(list))
		list = slices.Insert(list, at, fmt.Sprintf("new-%06d.example", i))
		at = random.IntN(len(list))
		if !strings.HasPrefix(list[at], "new-") {
			list = slices.Delete(list, at, at+1)
		}
		a, b := random.IntN(len(list)), random.IntN(len(list))
		list[a], list[b] = list[b], list[a]
	}
	_, sum = r.runShards(text(list), count, flags...)
	if sum.code != exitComplete || sum.entities != inserted {
		t.Errorf("edited: exit %d with %d entities, want %d with the %d inserted ones", sum.code, sum.entities, exitComplete, inserted)
	}
	t.Logf("edited: %d entities asked in %d calls for %d credits", sum.entities, sum.calls, sum.credits)
	slices.Reverse(list)
	if _, sum = r.runShards(text(list), count, flags...); sum.code != exitComplete || sum.entities != 0 || sum.credits != 0 {
		t.Errorf("reversed: exit %d with %d entities for %d credits, want %d with none", sum.code, sum.entities, sum.credits, exitComplete)
	}
}

// TestShardKept: the lake of a shard refuses other shards, other counts and whole lists before anything is asked,
// and says what they would buy. So does a lake of whole lists.
func TestShardKept(t *testing.T) {
	t.Parallel()
	r := newShardRig(t)
	list := domainLines(300)
	news := []string{"--signals", "news", "--max-results", "2"}
	if v := r.rerun(list, append(slices.Clone(news), "--shard", "1/3")...); v.code != exitComplete || v.credits == 0 {
		t.Fatalf("exit %d with %d credits: %s", v.code, v.credits, v.stderr)
	}
	mine := r.shard(1)
	refuse := func(of *rig, words []string, flags []string, want ...string) {
		t.Helper()
		v := of.exec(t.Context(), words, list, flags...)
		for _, w := range want {
			if v.code != exitUsage || v.calls != 0 || !strings.Contains(v.stderr, w) {
				t.Errorf("%q %q: exit %d after %d calls, want %d after none, and %q: %s", words, flags, v.code, v.calls, exitUsage, w, v.stderr)
			}
		}
	}
	lines := mine.manifest.Accounts.Lines
	for _, words := range [][]string{{"run", "-"}, {"plan", "-"}} {
		refuse(mine, words, append(slices.Clone(news), "--shard", "0/3"), "is that of shard 1/3", "use --shard 1/3")
		refuse(mine, words, append(slices.Clone(news), "--shard", "1/4"), "is that of shard 1/3")
		refuse(mine, words, news, "without --shard", fmt.Sprintf("of 300 entities that this command is about, it would buy %d ", 300-lines))
	}
	for _, name := range []string{"resolve", "score"} {
		refuse(mine, []string{name, "-"}, []string{"--shard", "2/3"}, "is that of shard 1/3")
	}
	refuse(mine, []string{"run", "-"}, append(slices.Clone(news), "--shard", "2/3", "--new-run", "--refresh"), "is that of shard 1/3")
	if v := mine.rerun(list, append(slices.Clone(news), "--shard", "1/3")...); v.code != exitComplete || v.calls != 0 || !strings.Contains(v.stdout, "Nothing to do") {
		t.Errorf("the same shard: exit %d after %d calls: %s%s", v.code, v.calls, v.stdout, v.stderr)
	}

	whole := *r.rig
	whole.lake = filepath.Join(t.TempDir(), "whole")
	if v := whole.rerun(list, news...); v.code != exitComplete {
		t.Fatalf("exit %d: %s", v.code, v.stderr)
	}
	refuse(&whole, []string{"run", "-"}, append(slices.Clone(news), "--shard", "0/3"), "holds runs of whole lists")
}

// TestShardNames: the index of a shard may be in a variable of the scheduler, and stands in the name of the lake for
// all commands; what is no shard is refused.
func TestShardNames(t *testing.T) {
	t.Parallel()
	r := newShardRig(t)
	env := envFor(t)
	env.set("JOB_COMPLETION_INDEX", "2")
	list := domainLines(50)
	if v := r.rerun(list, "--signals", "news", "--max-results", "1", "--shard", "JOB_COMPLETION_INDEX/3"); v.code != exitComplete {
		t.Fatalf("exit %d: %s", v.code, v.stderr)
	}
	if m := r.shard(2).manifest; m == nil || m.Input.Shard != "2/3" {
		t.Errorf("the lake of shard 2 has the manifest %v", m)
	}
	env.set(shardVariable, "JOB_COMPLETION_INDEX/3") // for commands without the flag
	var stdout, stderr bytes.Buffer
	if code := env.execute(t.Context(), []string{"siglake", "verify", "--lake", r.lake}, nil, &stdout, &stderr); code != exitComplete {
		t.Errorf("verify: exit %d: %s", code, stderr.String())
	}
	for _, text := range []string{"3/3", "-1/3", "+1/3", "1", "1/0", "0/1001", "a b/3", "1/3/4", "/3", "NOT_SET/3", "1.0/3"} {
		if v := r.rerun(list, "--signals", "news", "--shard", text); v.code != exitUsage || v.requests != 0 || !strings.Contains(v.stderr, "--shard") {
			t.Errorf("--shard %q: exit %d after %d requests: %s", text, v.code, v.requests, v.stderr)
		}
	}
	env.set(shardVariable, "")
	if v := r.rerun(list, "--signals", "news"); v.code != exitUsage || v.requests != 0 || !strings.Contains(v.stderr, app.ShardPlaceholder) {
		t.Errorf("no shard for the lake: exit %d after %d requests: %s", v.code, v.requests, v.stderr)
	}
}

// TestShardResumes: a run of a shard that a cap stopped is continued as a run of that shard.
func TestShardResumes(t *testing.T) {
	t.Parallel()
	r := newShardRig(t)
	list := filepath.Join(t.TempDir(), "list.csv")
	if err := os.WriteFile(list, []byte("domain\n"+domainLines(400)), 0o600); err != nil {
		t.Fatal(err)
	}
	flags := []string{"--signals", "news", "--max-results", "1", "--batch-size", "20"}
	v := r.exec(t.Context(), []string{"run", list}, "", append(slices.Clone(flags), "--shard", "0/2", "--max-credits", "45")...)
	if v.code != exitDeferred {
		t.Fatalf("exit %d, want %d: %s", v.code, exitDeferred, v.stderr)
	}
	mine := r.shard(0)
	w := mine.exec(t.Context(), []string{"resume"}, "", "--max-credits", "unlimited")
	if w.code != exitComplete || mine.manifest.Input.Shard != "0/2" {
		t.Errorf("exit %d with shard %q: %s", w.code, mine.manifest.Input.Shard, w.stderr)
	}
	both := v.entities + w.entities
	if again := mine.exec(t.Context(), []string{"run", list}, "", append(slices.Clone(flags), "--shard", "0/2")...); again.entities != 0 {
		t.Errorf("the shard asked about %d entities, and then about %d", both, again.entities)
	}
	if other := r.exec(t.Context(), []string{"run", list}, "", append(slices.Clone(flags), "--shard", "1/2")...); both+other.entities != 400 {
		t.Errorf("the shards asked about %d and %d entities, want 400 together", both, other.entities)
	}
}
