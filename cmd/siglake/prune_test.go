package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/bucket/buckettest"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/sinks"
)

// prunedLake is a lake that is rehearsed: night by night, and pruned on another day.
type prunedLake struct {
	*storedLake
	nights *nights
}

// pruneNight is the night of every pruning.
const pruneNight = 60

// eachPruned runs a test on a lake in a directory and on one in a bucket.
func eachPruned(t *testing.T, test func(t *testing.T, l *prunedLake)) {
	t.Helper()
	t.Run("directory", func(t *testing.T) {
		t.Parallel()
		test(t, newPrunedLake(t))
	})
	t.Run("bucket", func(t *testing.T) {
		store, l := buckettest.Start(t), newPrunedLake(t)
		l.uri, l.access = store.URI("lakes/pruned"), s3LakeFlags(t, store)
		l.bucket = openTestBucket(t, store, l.uri)
		test(t, l)
	})
}

func newPrunedLake(t *testing.T) *prunedLake {
	n := newNights(t, simulator.Config{Seed: 7}, nil)
	return &prunedLake{&storedLake{rig: n.rig, uri: n.lake}, n}
}

// asOf are the flags of a command on a night.
func (l *prunedLake) asOf(night int) []string {
	return []string{"--as-of", l.nights.day(night).Format(time.DateOnly)}
}

// buyOn runs a list on a night.
func (l *prunedLake) buyOn(night int, path string) {
	l.t.Helper()
	l.nights.today.Store(int64(night))
	l.mustBuy(path, append(l.asOf(night), "--new-run")...)
}

// lookAt runs a command that must succeed, and returns what it prints.
func (l *prunedLake) lookAt(words ...string) string {
	l.t.Helper()
	code, output := l.look(words...)
	if code != exitComplete {
		l.t.Fatalf("%v: exit %d: %s", words, code, output)
	}
	return output
}

// pruneReport runs "siglake prune --json".
func (l *prunedLake) pruneReport(words ...string) (r app.PruneReport) {
	l.t.Helper()
	output := l.lookAt(slices.Concat([]string{"prune", "--json"}, words, l.asOf(pruneNight))...)
	if err := json.Unmarshal([]byte(output), &r); err != nil {
		l.t.Fatalf("%s: %v", output, err)
	}
	return r
}

// size is how much is stored below a folder.
func (l *prunedLake) size(folder string) (sum int64) {
	for _, raw := range l.files(folder) {
		sum += int64(len(raw))
	}
	return sum
}

// buyForPruning buys two lists in the first nights, and a third one much later, so that a checkpoint has left the
// first two behind.
func (l *prunedLake) buyForPruning() {
	l.t.Helper()
	l.buyOn(0, writeList(l.t, "first", 12))
	l.buyOn(1, writeList(l.t, "second", 6))
	l.buyOn(pruneNight, writeList(l.t, "third", 40))
}

// TestPruneJournal removes old answers. Before that it says so, and removes nothing; after it bill,
// runs and files are as before, verify says what was pruned, rebuild why it is not possible, and
// nothing is bought again.
func TestPruneJournal(t *testing.T) {
	eachPruned(t, func(t *testing.T, l *prunedLake) {
		l.buyForPruning()
		billed := l.sim.Bill()
		look := func() string {
			return l.lookAt("runs", "--json") + l.lookAt("status") + l.lookAt("held", "list")
		}
		state, before, size := look(), l.files(""), l.size(app.StateDir)
		prune := []string{"--journal", "--older-than", "40d"}
		plan := l.pruneReport(prune...)
		if plan.Done || plan.Journal.Answers == 0 || len(plan.Journal.Runs) != 2 || plan.Bytes == 0 {
			t.Fatalf("prune without --yes = %s", jsonText(plan))
		}
		if text := l.lookAt(slices.Concat([]string{"prune"}, prune, l.asOf(pruneNight))...); !strings.Contains(text, "Lost: siglake rebuild") || !strings.Contains(text, "--yes") {
			t.Errorf("prune without --yes says %q", text)
		}
		for name, raw := range l.files("") {
			if string(before[name]) != string(raw) {
				t.Errorf("a plan changed %s", name)
			}
		}
		done := l.pruneReport(append(prune, "--yes")...)
		if !done.Done || done.Journal.Answers != plan.Journal.Answers || size-l.size(app.StateDir) < plan.Bytes*8/10 {
			t.Errorf("prune --yes = %+v after the plan %+v; the journal has %d bytes after %d", done, plan, l.size(app.StateDir), size)
		}
		if after := look(); after != state {
			t.Errorf("after pruning:\n%s\nwant\n%s", after, state)
		}
		for name, raw := range before {
			if !strings.HasPrefix(name, app.StateDir) && string(l.files(name)[name]) != string(raw) {
				t.Errorf("pruning the journal changed %s", name)
			}
		}
		l.checkPruned(plan, billed.Credits)
		if again := l.pruneReport(append(prune, "--yes")...); again.Done || again.Journal.Answers > 0 {
			t.Errorf("pruning again = %+v", again)
		}
		if code, output, requests := l.buy(slices.Concat([]string{"run", writeList(t, "third", 40)}, baseFlags, l.asOf(pruneNight))...); code != exitComplete || requests > 1 || l.sim.Bill().Credits != billed.Credits {
			t.Errorf("the last list again: exit %d, %d requests, %d credits: %s", code, requests, l.sim.Bill().Credits-billed.Credits, output)
		}
		l.checkTampered()
	})
}

// checkPruned checks what verify, rebuild and salvage say about a pruned journal.
func (l *prunedLake) checkPruned(plan app.PruneReport, credits int64) {
	t := l.t
	t.Helper()
	verified := l.lookAt("verify")
	if !strings.Contains(verified, "2 runs not rebuilt, since siglake prune removed the answers") || !strings.Contains(verified, strconv.FormatInt(credits, 10)+" credits over") {
		t.Errorf("verify: %s", verified)
	}
	into := filepath.Join(t.TempDir(), "rebuilt")
	code, output := l.look("rebuild", "--into", into)
	if _, err := os.Stat(into); code != exitUsage || !os.IsNotExist(err) {
		t.Errorf("rebuild: exit %d, and %s is there (%v): %s", code, into, err, output)
	}
	for _, want := range []string{plan.Journal.Runs[0].Run, plan.Journal.Runs[1].Run, "siglake prune", "restore a copy"} {
		if !strings.Contains(output, want) {
			t.Errorf("rebuild says %q, want %q in it", output, want)
		}
	}
	if report := l.salvage(exitComplete); !report.Whole {
		t.Errorf("salvage = %+v, want a whole journal", report)
	}
}

// checkTampered damages what is left of the first segment.
func (l *prunedLake) checkTampered() {
	l.t.Helper()
	name := app.StateDir + "/journal/00000001.journal"
	if l.bucket != nil {
		name = app.StateDir + "/journal/whole/00000001"
	}
	raw := slices.Clone(l.files(name)[name])
	raw[len(raw)-20] ^= 1
	l.write(name, raw)
	if code, output := l.look("verify"); code != exitIntegrity {
		l.t.Errorf("verify of a damaged segment: exit %d, want %d: %s", code, exitIntegrity, output)
	}
}

// rowsOf is the hash of the rows of a lake in a directory, by table, as its newest generation has them.
func rowsOf(t *testing.T, lake string) map[string]sinks.MultisetHash {
	t.Helper()
	i, err := sinks.Inspect(t.Context(), lake, sinks.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	s, err := i.ReadSnapshot(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	paths, rows := map[string][]string{}, map[string]sinks.MultisetHash{}
	for _, f := range s.Files {
		paths[f.Table] = append(paths[f.Table], f.Path)
	}
	for table := range paths {
		if rows[table], err = i.HashRows(t.Context(), table, paths[table]); err != nil {
			t.Fatal(err)
		}
	}
	return rows
}

// compactForPruning buys a list, and a longer one that returns the same events and others, and
// compacts.
func (l *prunedLake) compactForPruning() {
	l.t.Helper()
	l.buyOn(0, writeList(l.t, "list", 12))
	l.buyOn(1, writeList(l.t, "list", 24))
	if status := l.lookAt("status", "--json"); !strings.Contains(status, `"known_events"`) {
		l.t.Fatalf("the second run found no known events: %s", status)
	}
	l.lookAt(append([]string{"compact", "--min-files", "2"}, l.asOf(2)...)...)
}

// TestPruneFiles removes the small files that a compaction merged. The rows of the lake are the same,
// later runs find their events known, verify knows what was removed, and finds what was not.
func TestPruneFiles(t *testing.T) {
	eachPruned(t, func(t *testing.T, l *prunedLake) {
		l.compactForPruning()
		if r := l.pruneReport("--older-than", "100d", "--yes"); r.Done || !r.IsEmpty() {
			t.Fatalf("prune of what is too young = %+v", r)
		}
		var rows map[string]sinks.MultisetHash
		if l.bucket == nil {
			rows = rowsOf(t, l.uri)
		}
		before := len(l.files("data")) + len(l.files("ledger"))
		plan := l.pruneReport("--older-than", "40d")
		if plan.Done || len(plan.Files.Replaced) == 0 || len(plan.Files.Lists) == 0 || plan.Files.Oldest != 3 {
			t.Fatalf("prune without --yes = %s", jsonText(plan))
		}
		if now := len(l.files("data")) + len(l.files("ledger")); now != before {
			t.Fatalf("a plan removed files: %d of %d are left", now, before)
		}
		done := l.pruneReport("--older-than", "40d", "--yes")
		if left := len(l.files("data")) + len(l.files("ledger")); !done.Done || done.Files.Generation != 4 || left != before-len(plan.Files.Replaced) {
			t.Errorf("prune --yes = %+v; %d files of %d are left", done, left, before)
		}
		if l.bucket == nil {
			for table, hash := range rowsOf(t, l.uri) {
				if rows[table] != hash {
					t.Errorf("%s: the rows are others", table)
				}
			}
		}
		verified := l.lookAt("verify")
		if !strings.Contains(verified, "removed by siglake prune") || !strings.Contains(verified, "1 compaction not re-read") {
			t.Errorf("verify: %s", verified)
		}
		if code, output := l.look("ddl", "--generation", "2"); code != exitUsage || !strings.Contains(output, "the oldest one that can be read is 3") {
			t.Errorf("ddl --generation 2: exit %d: %s", code, output)
		}
		l.lookAt("ddl", "--generation", "3")
		l.buyOn(pruneNight, writeList(t, "list", 12))
		l.lookAt("verify")
		if report := l.salvage(exitComplete); !report.Whole {
			t.Errorf("salvage = %+v, want a whole journal", report)
		}
		if again := l.pruneReport("--older-than", "40d", "--yes"); again.Done || !again.Files.IsEmpty() {
			t.Errorf("pruning again = %+v", again)
		}
		l.remove(slices.Sorted(maps.Keys(l.files("compact")))[0])
		if code, output := l.look("verify"); code != exitIntegrity {
			t.Errorf("verify without a merged file: exit %d, want %d: %s", code, exitIntegrity, output)
		}
	})
}

// TestScriptOfPrunedList: the script of a generation whose list of files was pruned names the files itself.
func TestScriptOfPrunedList(t *testing.T) {
	t.Parallel()
	l := newPrunedLake(t)
	l.buyForPruning()
	if r := l.pruneReport("--older-than", "40d", "--yes"); len(r.Files.Lists) == 0 {
		t.Fatalf("prune --yes = %s, want it to remove lists", jsonText(r))
	}
	if script := l.lookAt("ddl", "--generation", "1"); strings.Contains(script, "_meta/snapshot/") || !strings.Contains(script, "/ledger/accounts/") {
		t.Errorf("ddl --generation 1 after a pruning = %.2000s, want the files", script)
	}
}

// TestPruneFilesDamaged: nothing is removed if the file that has the rows is damaged.
func TestPruneFilesDamaged(t *testing.T) {
	eachPruned(t, func(t *testing.T, l *prunedLake) {
		l.compactForPruning()
		name := slices.Sorted(maps.Keys(l.files("compact")))[0]
		raw := slices.Clone(l.files(name)[name])
		raw[len(raw)/2] ^= 1
		l.write(name, raw)
		before := len(l.files(""))
		code, output := l.look(append([]string{"prune", "--older-than", "40d", "--yes"}, l.asOf(pruneNight)...)...)
		if code != exitIntegrity || !strings.Contains(output, "nothing was removed") || len(l.files("")) != before {
			t.Errorf("prune: exit %d, %d files of %d are left: %s", code, len(l.files("")), before, output)
		}
	})
}

// TestPruneDies kills prunings at every operation. The lake is whole at any time, and the next pruning
// comes to the same end.
func TestPruneDies(t *testing.T) {
	t.Parallel()
	for _, journal := range []bool{false, true} {
		l := newPrunedLake(t)
		words := []string{"--older-than", "40d", "--yes"}
		if journal {
			l.buyForPruning()
			words = append(words, "--journal")
		} else {
			l.compactForPruning()
		}
		baseline, steps := l.uri, 0
		for at := 0; at <= steps; at += proof.Size(61, 17, 1) { // at first it only counts
			l.uri = filepath.Join(t.TempDir(), "lake")
			if err := os.CopyFS(l.uri, os.DirFS(baseline)); err != nil {
				t.Fatal(err)
			}
			n := 0
			setHook(t, func(op, path string, do func() error) error {
				if n++; at > 0 && n >= at {
					return &os.PathError{Op: op, Path: path, Err: os.ErrDeadlineExceeded}
				}
				return do()
			})
			code, output := l.look(slices.Concat([]string{"prune"}, words, l.asOf(pruneNight))...)
			clearHook(t)
			if steps = max(steps, n); at > 0 && n >= at && code == exitComplete {
				t.Errorf("journal %t, operation %d failed: prune: exit %d: %s", journal, at, code, output)
			}
			l.lookAt("verify")
			l.pruneReport(words...)
			l.lookAt("verify")
			if again := l.pruneReport(words...); !again.IsEmpty() {
				t.Errorf("journal %t, operation %d: a third pruning = %+v", journal, at, again)
			}
			if t.Failed() {
				t.FailNow()
			}
		}
		if steps < 20 {
			t.Errorf("journal %t: a pruning took %d operations", journal, steps)
		}
	}
}

// TestPruneRefused: what the command refuses.
func TestPruneRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	r.run(domainLines(3), baseFlags...)
	for _, words := range [][]string{{}, {"--older-than", "0d"}, {"--older-than", "soon"}, {"--older-than", "3d", "all"}} {
		if code, stdout, stderr := runProgram(t, append([]string{"prune", "--lake", r.lake}, words...)...); code != exitUsage {
			t.Errorf("prune %v: exit %d, want %d: %s%s", words, code, exitUsage, stdout, stderr)
		}
	}
	if code, _, stderr := runProgram(t, "prune", "--lake", filepath.Join(t.TempDir(), "none"), "--older-than", "3d", "--yes"); code != exitUsage {
		t.Errorf("prune of no lake: exit %d: %s", code, stderr)
	}
	if m := r.readManifest(); m.Generation != 1 || m.Run.Kind != pipeline.RunGeneration {
		t.Errorf("the lake ends with generation %d", m.Generation)
	}
}

func jsonText(v any) string {
	text, _ := json.Marshal(v)
	return string(text)
}
