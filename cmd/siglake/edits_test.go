package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// runResult is one command among several on a lake, and what it cost by the
// simulator's bill.
type runResult struct {
	code           int
	stdout, stderr string
	requests       int // of any kind
	calls          int // of those, to what costs
	entities       int // asked about in them
	credits        int64
}

// rerun runs "siglake run" on a lake that other runs have been at; what rig.run
// checks holds for the first one only.
func (r *rig) rerun(list string, flags ...string) runResult {
	r.t.Helper()
	return r.rerunContext(context.Background(), list, flags...)
}

func (r *rig) rerunContext(ctx context.Context, list string, flags ...string) runResult {
	r.t.Helper()
	return r.exec(ctx, []string{"run", "-"}, list, flags...)
}

// exec carries out a command that costs.
func (r *rig) exec(ctx context.Context, words []string, list string, flags ...string) runResult {
	r.t.Helper()
	before := r.sim.Bill()
	args := append(append([]string{"siglake"}, words...), "--lake", r.lake, "--base-url", r.server.URL, "--plan", "unlimited", "--rate", "0")
	args = append(args, flags...)
	var stdout, stderr bytes.Buffer
	v := runResult{code: envFor(r.t).execute(ctx, args, strings.NewReader(list), &stdout, &stderr)}
	v.stdout, v.stderr = stdout.String(), stderr.String()
	if strings.Contains(v.stdout+v.stderr, canary) {
		r.t.Error("the API key was printed")
	}
	after := r.sim.Bill()
	v.requests, v.credits = after.Requests-before.Requests, after.Credits-before.Credits
	for _, e := range after.Entries[before.Requests:] {
		if e.Method == http.MethodPost {
			v.calls++
			v.entities += e.Entities
		}
	}
	r.manifest = r.readManifest()
	return v
}

// generations are the lake's manifests, oldest first.
func (r *rig) generations() (all []*pipeline.Manifest) {
	r.t.Helper()
	for m := r.readManifest(); m != nil; {
		all = append(all, m)
		if m.Previous == nil {
			break
		}
		raw, err := os.ReadFile(filepath.Join(r.lake, m.Previous.Path))
		if err != nil {
			r.t.Fatal(err)
		}
		m = new(pipeline.Manifest)
		r.decode(raw, m)
	}
	slices.Reverse(all)
	return all
}

// uids counts the rows of every event over some generations.
func (r *rig) uids(of ...*pipeline.Manifest) map[string]int {
	r.t.Helper()
	rows := map[string]int{}
	for _, m := range of {
		at := &rig{t: r.t, lake: r.lake, manifest: m}
		for _, row := range at.events() {
			rows[row["event_uid"].(string)]++
		}
	}
	return rows
}

// digests gives the digest of every file of the lake.
func (r *rig) digests() map[string]string {
	r.t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(r.lake, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		sum := sha256.Sum256(raw)
		all[strings.TrimPrefix(path, r.lake)] = hex.EncodeToString(sum[:])
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

// onCopy makes the rig work on a copy of its lake.
func (r *rig) onCopy() *rig {
	r.t.Helper()
	there := *r
	there.lake = filepath.Join(r.t.TempDir(), "lake")
	if err := os.CopyFS(there.lake, os.DirFS(r.lake)); err != nil {
		r.t.Fatal(err)
	}
	return &there
}

// freezeDay keeps a test within the day in which it began: another day is another
// window, and is bought.
func freezeDay(t *testing.T) {
	t.Helper()
	begun := time.Now()
	setNow(t, func() time.Time { return begun })
}

// crashAt makes every operation on the lake's files fail from the first one on
// that at accepts. What is left is what a killed process leaves.
func crashAt(t *testing.T, matches func(op, path string) bool) {
	t.Helper()
	var crashed atomic.Bool
	setHook(t, func(op, path string, do func() error) error {
		if crashed.Load() || matches(op, path) {
			crashed.Store(true)
			return errors.New("the process is dead")
		}
		return do()
	})
}

// billedCalls counts the calls that were charged.
func (r *rig) billedCalls() int { return r.sim.Bill().Billed }

func joinLines(lines []string) string { return strings.Join(lines, "\n") + "\n" }

// baseFlags are the flags of the purchase that the lists and flags below differ from.
var baseFlags = []string{"--signals", "surgeInHiring,financialEventsNews", "--max-results", "2", "--since", "90d"}

const extraDomain = "newcomer-11.example" // has events, most days

// purchase is what one run of its own, on an empty lake, would buy.
type purchase struct {
	lines []string
	flags []string
}

type edit struct {
	name        string
	list        string
	flags       []string  // behind those of the first purchase
	purchase    *purchase // nil: nothing
	repurchases bool      // buys pairs that were bought before
	duplicates  int64     // duplicate lines
	nothingToDo bool      // the same command to siglake: not even a run
}

// TestEditedList buys a list of 5,000 lines, edits list or flags, and buys
// again: only what is new costs anything.
func TestEditedList(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	lines := strings.Fields(domainLines(proof.Size(700, 5000, 5000)))
	r := newRig(t, simulator.Config{})
	r.run(joinLines(lines), baseFlags...)
	if r.code != exitComplete {
		t.Fatalf("exit %d: %s", r.code, r.stderr)
	}
	first := r.manifest
	known := r.uids(first)
	ids := "lusha company id,domain\n"
	for i, a := range r.table(schema.Accounts) {
		if id, ok := a["entity_id"].(string); ok {
			ids += id + ",\n"
		} else {
			ids += "," + lines[i] + "\n"
		}
	}

	var spelled []string
	for i, l := range lines {
		spelled = append(spelled, fmt.Sprintf([]string{"https://www.%s/", "  %s ", "HTTP://%s/about?x=1", "%s."}[i%4], strings.ToUpper(l)))
	}
	reversed := slices.Clone(lines)
	slices.Reverse(reversed)
	same := joinLines(lines)
	another := &purchase{[]string{extraDomain}, baseFlags}
	all := func(flags ...string) *purchase { return &purchase{lines, flags} }
	table := []edit{
		{name: "line inserted at the top", list: extraDomain + "\n" + same, purchase: another},
		{name: "line inserted in the middle", list: joinLines(slices.Insert(slices.Clone(lines), len(lines)/2, extraDomain)), purchase: another},
		{name: "line inserted, batches of 37", list: joinLines(slices.Insert(slices.Clone(lines), len(lines)/2, extraDomain)), flags: []string{"--batch-size", "37"}, purchase: another},
		{name: "line deleted", list: joinLines(slices.Delete(slices.Clone(lines), 300, 301))},
		{name: "lines reversed", list: joinLines(reversed)},
		{name: "line duplicated", list: lines[41] + "\n" + same, duplicates: 1},
		{name: "spelled otherwise", list: joinLines(spelled)},
		{name: "by id instead of domain", list: ids},
		{name: "batches of 37 for 100", list: same, flags: []string{"--batch-size", "37"}, nothingToDo: true},
		{name: "concurrency 3 for 8", list: same, flags: []string{"--concurrency", "3"}, nothingToDo: true},
		{name: "signal type added", list: same, flags: []string{"--signals", "websiteTrafficIncrease"},
			purchase: all("--signals", "websiteTrafficIncrease", "--max-results", "2")},
		{name: "--max-results 1 for 2", list: same, flags: []string{"--max-results", "1"}},
		{name: "--since 120d for 90d", list: same, flags: []string{"--since", "120d"}, repurchases: true,
			purchase: all("--signals", "surgeInHiring,financialEventsNews", "--max-results", "2", "--since", "120d")},
		{name: "--since 30d for 90d", list: same, flags: []string{"--since", "30d"}},
		{name: "news filter added", list: same, flags: []string{"--news-event-types", "Funding Round"}, repurchases: true,
			purchase: all("--signals", "financialEventsNews", "--max-results", "2", "--news-event-types", "Funding Round")},
		{name: "--refresh", list: same, flags: []string{"--refresh"}, repurchases: true, purchase: all(baseFlags...)},
	}

	var report strings.Builder
	out := tabwriter.NewWriter(&report, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(out, "edit\tcalls\tcredits\tfree requests\tstatuses\t\n")
	fmt.Fprintf(out, "(first purchase)\t%d\t%d\t\t%v\t\n", first.Calls.Total, first.Credits.Charged, first.Accounts.ByStatus)
	for _, e := range table {
		t.Run(e.name, func(t *testing.T) {
			alone := newRig(t, simulator.Config{})
			alone.manifest = &pipeline.Manifest{}
			if e.purchase != nil {
				alone.run(joinLines(e.purchase.lines), e.purchase.flags...)
			}
			want := runResult{calls: int(alone.manifest.Calls.Total), credits: alone.manifest.Credits.Charged, entities: len(alone.accountRows())}

			at := r.onCopy()
			at.t = t
			got := at.rerun(e.list, slices.Concat(baseFlags, e.flags)...)
			fmt.Fprintf(out, "%s\t%d\t%d\t%d\t%v\t\n", e.name, got.calls, got.credits, got.requests-got.calls, at.manifest.Accounts.ByStatus)
			if (runResult{calls: got.calls, credits: got.credits, entities: got.entities}) != want {
				t.Errorf("cost %d calls about %d entities, %d credits; want %d, %d, %d", got.calls, got.entities, got.credits, want.calls, want.entities, want.credits)
			}
			if got.code != exitComplete {
				t.Errorf("exit %d, want %d: %s", got.code, exitComplete, got.stderr)
			}
			if e.nothingToDo {
				if got.requests != 0 || at.manifest.Generation != 1 {
					t.Errorf("%d requests, generation %d; want none and the first", got.requests, at.manifest.Generation)
				}
				return
			}
			if said := strings.Contains(got.stderr, "repeating purchases"); said != e.repurchases {
				t.Errorf("it says that it buys again: %v; want %v: %s", said, e.repurchases, got.stderr)
			}
			at.checkStatuses(e, alone.manifest.Accounts.ByStatus)

			rows := at.uids(at.generations()...)
			there := map[string]int{}
			for _, list := range []map[string]int{known, alone.uids(alone.manifest)} {
				for uid, n := range list {
					there[uid] = n
				}
			}
			if diff := cmp.Diff(there, rows); diff != "" {
				t.Errorf("rows by event_uid differ from those of the two purchases, each event once (-want +got):\n%.2000s", diff)
			}
			if n := at.manifest.Events.Known; n > 0 != e.repurchases {
				t.Errorf("%d events were in the lake already; bought again: %v", n, e.repurchases)
			}
			at.checkSecret()
		})
	}
	if err := out.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Logf("extra cost of an edit to a list of %d lines:\n%s", len(lines), report.String())
}

// TestRaisedCap: a higher cap asks again only about the pairs that reached the
// lower one. The others brought all there was.
func TestRaisedCap(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	list := domainLines(2000)
	common := []string{"--signals", "surgeInHiring,financialEventsNews", "--since", "90d"}
	capped := func(n string) []string { return append([]string{"--max-results", n}, common...) }
	whole := newRig(t, simulator.Config{})
	whole.run(list, capped("5")...)

	r := newRig(t, simulator.Config{})
	r.run(list, capped("2")...)
	pairs := func(of *rig) map[string]int { // events by account and signal type
		n := map[string]int{}
		for _, e := range of.events() {
			n[fmt.Sprint(e["account_key"], " ", e["signal_type"])]++
		}
		return n
	}
	entities, credits := map[string]bool{}, 0
	all := pairs(whole)
	for pair, n := range pairs(r) {
		if n == 2 {
			credits += all[pair]
			entities[strings.Fields(pair)[0]] = true
		}
	}
	v := r.rerun(list, capped("5")...)
	if v.code != exitComplete || v.credits != int64(credits) || v.entities != len(entities) || v.entities == 0 || v.entities > 1000 {
		t.Errorf("a higher cap: exit %d, %d credits, %d entities; want %d, %d, %d: %s", v.code, v.credits, v.entities, exitComplete, credits, len(entities), v.stderr)
	}
	if !strings.Contains(v.stderr, "repeating purchases") {
		t.Errorf("a higher cap says %q, want that it buys again", v.stderr)
	}
	got, want := slices.Sorted(maps.Keys(r.uids(r.generations()...))), slices.Sorted(maps.Keys(whole.uids(whole.manifest)))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events of both purchases (-want +got):\n%.2000s", diff)
	}
	if code, _, stderr := runProgram(t, "verify", "--lake", r.lake); code != exitComplete {
		t.Errorf("verify: exit %d: %s", code, stderr)
	}
	if again := r.rerun(list, append(capped("6"), "--batch-size", "50")...); again.entities >= v.entities {
		t.Errorf("a cap of 6 after one of 5: %d entities, want less than the %d of 5 after 2", again.entities, v.entities)
	}
}

// TestRaisedCapOfMany: with many signal types, almost every entity lacks other ones.
// siglake still requests them in few calls, because a pair that returned nothing may
// be requested again. The plan knows that such pairs have more events than others, and
// their results do not bias the forecast for other entities.
func TestRaisedCapOfMany(t *testing.T) {
	t.Parallel()
	day := time.Date(2026, 5, 6, 10, 17, 33, 0, time.UTC) // the same bill each day
	setNow(t, func() time.Time { return day })
	r := newRig(t, simulator.Config{Now: envFor(t).Now})
	list := writeList(t, "many", 1500)
	flags := func(list, limit string) []string {
		return []string{list, "--lake", r.lake, "--base-url", r.server.URL, "--signals", "all", "--max-results", limit, "--plan", "unlimited", "--rate", "0"}
	}
	buy := func(limit string) {
		t.Helper()
		if code, _, stderr := runProgram(t, append([]string{"run", "--quiet"}, flags(list, limit)...)...); code != exitComplete {
			t.Fatalf("run: exit %d: %s", code, stderr)
		}
	}
	buy("1")
	fresh := writeList(t, "fresh", 300)
	before, o := r.sim.Bill().Credits, planJSON(t, flags(list, "10")...)
	unbiased := planJSON(t, flags(fresh, "10")...).Credits
	buy("10")
	if cost := r.sim.Bill().Credits - before; o.Calls > 30 || o.Entities >= 1500 || cost < o.Credits.P5 || cost > o.Credits.P95 {
		t.Errorf("%d entities in %d calls for %d credits, foreseen %d to %d; want less than 1500, at most 30, and a cost within", o.Entities, o.Calls, cost, o.Credits.P5, o.Credits.P95)
	}
	if diff := cmp.Diff(unbiased, planJSON(t, flags(fresh, "10")...).Credits); diff != "" {
		t.Errorf("forecast of another list, before and after the higher cap (-before +after):\n%s", diff)
	}
	if code, stdout, stderr := runProgram(t, "verify", "--lake", r.lake); code != exitComplete {
		t.Errorf("verify: exit %d: %s%s", code, stdout, stderr)
	}
}

// accountRows are the rows of the accounts table; none without a manifest.
func (r *rig) accountRows() []map[string]any { return r.table(schema.Accounts) }

// checkStatuses: what was bought fares as it would on a lake of its own, and all
// other lines are cached, or repeat another one.
func (r *rig) checkStatuses(e edit, bought map[schema.Status]int64) {
	r.t.Helper()
	want := map[schema.Status]int64{}
	rest := int64(len(r.accountRows())) - e.duplicates
	for s, n := range bought {
		want[s] = n
		rest -= n
	}
	if rest > 0 {
		want[schema.Cached] = rest
	}
	if e.duplicates > 0 {
		want[schema.Duplicate] = e.duplicates
	}
	if diff := cmp.Diff(want, r.manifest.Accounts.ByStatus); diff != "" {
		r.t.Errorf("lines by status (-want +got):\n%s", diff)
	}
}

// TestFinishedAgain: a command that has been carried out asks nothing, costs
// nothing and changes nothing, however it had ended, and ends in the same way.
func TestFinishedAgain(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	for name, c := range map[string]struct {
		cfg  simulator.Config
		list string
		code int
	}{
		"complete":     {code: exitComplete, list: domainLines(300)},
		"with rejects": {code: exitRejects, list: domainLines(300) + "no domain at all\n"},
		"in doubt":     {code: exitInDoubt, list: domainLines(300), cfg: simulator.Config{Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 2}}}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, c.cfg)
			r.run(c.list, baseFlags...)
			if r.code != c.code {
				t.Fatalf("exit %d, want %d: %s", r.code, c.code, r.stderr)
			}
			before := r.digests()
			v := r.rerun(c.list, baseFlags...)
			if v.code != c.code || v.requests != 0 || v.credits != 0 {
				t.Errorf("again: exit %d, %d requests, %d credits; want %d, 0, 0", v.code, v.requests, v.credits, c.code)
			}
			if diff := cmp.Diff(before, r.digests()); diff != "" {
				t.Errorf("files changed (-before +after):\n%s", diff)
			}
			if !strings.Contains(v.stdout, "Nothing to do") {
				t.Errorf("it says %q, want that there is nothing to do", v.stdout)
			}
		})
	}
}

// TestLocked: while a run is at work on a lake, another one is turned away
// before it asks anything, whatever it wants.
func TestLocked(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	tries := 0
	setHook(t, func(op, path string, do func() error) error {
		if r.billedCalls() == 2 && tries == 0 { // in the middle of the first run, which waits meanwhile
			tries++
			for _, flags := range [][]string{baseFlags, {"--signals", "news", "--new-run"}, {"--signals", "news", "--refresh"}} {
				v := r.rerun(domainLines(300), flags...)
				if v.code != exitLocked || v.requests != 0 {
					t.Errorf("%v during another run: exit %d, %d requests; want %d, 0", flags, v.code, v.requests, exitLocked)
				}
				for _, part := range []string{fmt.Sprintf("process %d", os.Getpid()), "wait until it has ended", "siglake status --lake " + r.lake} {
					if !strings.Contains(v.stderr, part) {
						t.Errorf("message %q does not say who is at work, and what to do: want %q", v.stderr, part)
					}
				}
			}
		}
		return do()
	})
	defer clearHook(t)
	r.run(domainLines(300), append([]string{"--concurrency", "1"}, baseFlags...)...)
	if r.code != exitComplete || tries == 0 {
		t.Errorf("exit %d, %d others tried; want %d and one: %s", r.code, tries, exitComplete, r.stderr)
	}
}

// TestLockFileRemoved: without the lock's file another run is turned away by the journal, which the
// first one is writing. That one buys nothing more, keeps what it bought, and the journal stays whole.
func TestLockFileRemoved(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	tries := 0
	setHook(t, func(op, path string, do func() error) error {
		if r.billedCalls() == 2 && tries == 0 { // in the middle of the first run, which waits meanwhile
			tries++
			if err := os.Remove(filepath.Join(r.lake, app.StateDir, "lock")); err != nil {
				t.Error(err)
			}
			if v := r.rerun(domainLines(300), append([]string{"--new-run"}, baseFlags...)...); v.code != exitLocked || v.requests != 0 {
				t.Errorf("another run without the lock's file: exit %d, %d requests; want %d, 0: %s", v.code, v.requests, exitLocked, v.stderr)
			}
		}
		return do()
	})
	defer clearHook(t)
	r.run(domainLines(300), append([]string{"--concurrency", "1", "--batch-size", "20"}, baseFlags...)...)
	if r.code != exitStorage || tries == 0 || r.billedCalls() != 2 || !strings.Contains(r.stdout, "lock file") {
		t.Errorf("exit %d after %d paid calls, %d others tried; want %d after 2, one, and the reason: %s", r.code, r.billedCalls(), tries, exitStorage, r.stdout)
	}
	clearHook(t)
	if v := r.rerun(domainLines(300), append([]string{"--concurrency", "1", "--batch-size", "20"}, baseFlags...)...); v.code != exitComplete || v.entities != 260 {
		t.Errorf("the same command again: exit %d, %d entities asked; want %d, 260: %s", v.code, v.entities, exitComplete, v.stderr)
	}
	r.mustExit(exitComplete, "verify")
}

// TestListChangesWhileRead: a run of a local list that changes ends with an error that names it,
// and every line that was read has a status.
func TestListChangesWhileRead(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	path := writeList(t, "changes", 30000)
	changed := false
	setHook(t, func(_, _ string, do func() error) error {
		if r.billedCalls() == 2 && !changed {
			changed = true
			if err := os.WriteFile(path, []byte("another.example\n"), 0o600); err != nil {
				t.Error(err)
			}
		}
		return do()
	})
	defer clearHook(t)
	r.runList(t.Context(), nil, path, append([]string{"--concurrency", "1"}, baseFlags...)...)
	if r.code != exitUsage || !changed || r.manifest == nil || !strings.Contains(r.stdout, path) || !strings.Contains(r.stdout, "was changed or replaced") {
		t.Fatalf("exit %d, want %d and the list's name: %s%s", r.code, exitUsage, r.stdout, r.stderr)
	}
	by := r.manifest.Accounts.ByStatus // the rig compares its sum with the lines
	if n := r.manifest.Accounts.Lines; n < 100 || n >= 30000 || by[schema.Enriched] == 0 {
		t.Errorf("%d lines have a status, %v; want those before the change", n, by)
	}
}

// TestReadWhileRunning: a reader of a lake neither stops a run nor is stopped by one,
// and writes nothing.
func TestReadWhileRunning(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{Latency: 3 * time.Millisecond})
	path := writeList(t, "look", 4000)
	done := make(chan int)
	cmd := exec.Command(os.Args[0], slices.Concat([]string{"run", path, "--lake", r.lake, "--base-url", r.server.URL,
		"--plan", "unlimited", "--rate", "0", "--batch-size", "10", "--quiet"}, baseFlags)...)
	cmd.Env = slices.Concat(os.Environ(), envFor(t).pairs(), []string{runAsProgram + "=0"})
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { done <- exitOf(cmd.Wait()) }()
	looks := map[string]int{}
	for running := true; running; {
		select {
		case code := <-done:
			running = false
			if code != exitComplete {
				t.Errorf("the run that was looked at: exit %d, want %d", code, exitComplete)
			}
		default:
		}
		if _, err := os.Stat(filepath.Join(r.lake, app.StateDir, "journal", "00000001.journal")); err != nil {
			continue // it has hardly begun
		}
		for _, args := range [][]string{{"status"}, {"held", "list"}, {"verify"}, slices.Concat([]string{"plan", path, "--base-url", r.server.URL}, baseFlags)} {
			code, _, stderr := runProgram(t, slices.Concat(args, []string{"--lake", r.lake})...)
			compares := args[0] == "verify" || args[0] == "plan" // with the journal as it was when they opened it
			if code != exitComplete && (!compares || code != exitLocked) {
				t.Fatalf("%v: exit %d: %s", args, code, stderr)
			}
			looks[fmt.Sprintf("%s: exit %d", args[0], code)]++
		}
	}
	t.Log(looks)
	if looks["status: exit 0"] < 2 {
		t.Errorf("%d looks, want some during the run", looks["status: exit 0"])
	}
	if got, want := r.sim.Bill().Credits, r.readManifest().Credits.Charged; got != want {
		t.Errorf("billed %d, manifest says %d", got, want)
	}
}

// TestUnfinished: while a run is unfinished, only its own command continues it. Other
// commands say what differs, and can close it with --new-run: what it paid for is
// published and is not bought again.
func TestUnfinished(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	died := map[string]func(r *rig) func(op, path string) bool{
		// The tenth answer came, and the process died before it wrote it down.
		"with a call in doubt": func(r *rig) func(op, path string) bool {
			return func(op, _ string) bool { return op == "write" && r.billedCalls() == 10 }
		},
		// It died when it had been written, and not been read.
		"with an answer unread": func(r *rig) func(op, path string) bool {
			return func(op, _ string) bool { return op == "sync" && r.billedCalls() == 10 }
		},
		"before publication": func(*rig) func(op, path string) bool {
			return func(_, path string) bool { return strings.HasSuffix(path, ".parquet.tmp") }
		},
		"in the middle of publication": func(*rig) func(op, path string) bool {
			return func(op, path string) bool {
				return op == "rename" && strings.Contains(path, "event_month=") && strings.HasSuffix(path, ".parquet")
			}
		},
	}
	list := domainLines(2000)
	more := extraDomain + "\n" + list
	undisturbed := newRig(t, simulator.Config{})
	undisturbed.run(more, baseFlags...)
	for name, at := range died {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, simulator.Config{})
			crashAt(t, at(r))
			first := r.rerun(list, append([]string{"--concurrency", "1"}, baseFlags...)...)
			clearHook(t)
			if first.code != exitStorage || r.manifest != nil {
				t.Fatalf("exit %d, manifest %v; want %d and none: %s", first.code, r.manifest, exitStorage, first.stderr)
			}

			staged := name == "in the middle of publication" // it is only completed
			for _, other := range []struct {
				list  string
				flags []string
				says  string
			}{
				{list, []string{"--max-results", "3"}, `--max-results was "2" and is now "3"`},
				{list, []string{"--signals", "websiteTrafficIncrease"}, `--signals was "financialEventsNews,surgeInHiring" and is now "financialEventsNews,surgeInHiring,websiteTrafficIncrease"`},
				{more, nil, "has changed since"},
				{list, []string{"--refresh", "--since", "30d"}, `--since was "90d" and is now "30d"`},
				{list, []string{"--refresh"}, "--refresh is new"},
			} {
				if staged {
					continue
				}
				v := r.rerun(other.list, slices.Concat(baseFlags, other.flags)...)
				if v.code != exitUsage || v.requests != 0 || !strings.Contains(v.stderr, other.says) || !strings.Contains(v.stderr, "--new-run") {
					t.Errorf("%v: exit %d, %d requests, message %q; want %d, none, and that %s and of --new-run", other.flags, v.code, v.requests, v.stderr, exitUsage, other.says)
				}
			}

			second := r.rerun(more, append([]string{"--new-run"}, baseFlags...)...)
			chain := r.generations()
			if len(chain) != 2 {
				t.Fatalf("%d generations, want that of the dead run and that of the new one; exit %d: %s", len(chain), second.code, second.stderr)
			}
			if n := first.entities + second.entities; n != 2001 {
				t.Errorf("%d and %d entities were asked about, want each of 2001 once", first.entities, second.entities)
			}
			lost := r.sim.Bill().Credits - chain[0].Credits.Charged - chain[1].Credits.Charged
			if want := chain[0].Credits.InDoubtCeiling; lost < 0 || lost > want {
				t.Errorf("%d credits were billed and are in no manifest, want at most the declared %d", lost, want)
			}
			want := undisturbed.uids(undisturbed.manifest)
			held := r.manifest.Accounts.ByStatus[schema.InDoubt]
			if name == "with a call in doubt" {
				if second.code != exitInDoubt || held != 100 || chain[0].Credits.InDoubtCalls != 1 {
					t.Errorf("exit %d, %d lines held, %d calls in doubt; want %d, 100, 1", second.code, held, chain[0].Credits.InDoubtCalls, exitInDoubt)
				}
				for row := range undisturbed.uidsOf(r.inDoubtKeys()) {
					delete(want, row)
				}
			} else if second.code != exitComplete || held != 0 || lost != 0 {
				t.Errorf("exit %d, %d lines held, %d credits lost; want %d, 0, 0: %s", second.code, held, lost, exitComplete, second.stderr)
			}
			if diff := cmp.Diff(want, r.uids(chain...)); diff != "" {
				t.Errorf("rows by event_uid (-want +got):\n%.2000s", diff)
			}
			r.checkSecret()
		})
	}
}

// inDoubtKeys are the keys of the lines in doubt.
func (r *rig) inDoubtKeys() map[string]bool {
	keys := map[string]bool{}
	for _, a := range r.accountRows() {
		if a["status"] == string(schema.InDoubt) {
			keys[a["account_key"].(string)] = true
		}
	}
	return keys
}

// uidsOf are the events about some lines.
func (r *rig) uidsOf(keys map[string]bool) map[string]bool {
	uids := map[string]bool{}
	for _, row := range r.events() {
		if key, ok := row["account_key"].(string); ok && keys[key] {
			uids[row["event_uid"].(string)] = true
		}
	}
	return uids
}

// TestContinued: the same command continues a run that was stopped on request: each
// pair is bought once in total.
func TestContinued(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	list := domainLines(3000)
	baseline := newRig(t, simulator.Config{})
	baseline.run(list, baseFlags...)
	for _, n := range []string{"1", "8"} {
		t.Run("concurrency "+n, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			r := newRig(t, simulator.Config{Latency: 2 * time.Millisecond, Log: func(e simulator.Entry) {
				if e.Seq >= 6 {
					cancel()
				}
			}})
			flags := append([]string{"--concurrency", n}, baseFlags...)
			first := r.rerunContext(ctx, list, flags...)
			before := r.manifest
			if first.code != exitDeferred || before == nil || before.Accounts.ByStatus[schema.Deferred] == 0 {
				t.Fatalf("exit %d, %+v; want %d and lines left: %s", first.code, before, exitDeferred, first.stderr)
			}
			second := r.rerun(list, flags...)
			if second.code != exitComplete || r.manifest.Run.Continues != before.Run.ID {
				t.Errorf("exit %d, continues %q; want %d, %q: %s", second.code, r.manifest.Run.Continues, exitComplete, before.Run.ID, second.stderr)
			}
			if first.entities+second.entities != 3000 || first.credits+second.credits != baseline.manifest.Credits.Charged {
				t.Errorf("asked about %d + %d entities for %d + %d credits, want 3000 and %d in total",
					first.entities, second.entities, first.credits, second.credits, baseline.manifest.Credits.Charged)
			}
			if got, want := r.manifest.Accounts.ByStatus[schema.Cached], int64(first.entities); got != want {
				t.Errorf("%d lines cached, want the %d that were asked about before", got, want)
			}
			if diff := cmp.Diff(baseline.uids(baseline.manifest), r.uids(r.generations()...)); diff != "" {
				t.Errorf("rows by event_uid, undisturbed and continued (-want +got):\n%.2000s", diff)
			}
			if third := r.rerun(list, flags...); third.requests != 0 || third.code != exitComplete {
				t.Errorf("once more: exit %d, %d requests; want %d, 0", third.code, third.requests, exitComplete)
			}
		})
	}
}

// TestRefreshContinued: a deliberate repurchase can be interrupted like any other run,
// and continues where it stopped.
func TestRefreshContinued(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	const lines = 1500
	list := domainLines(lines)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var posts atomic.Int64
	r := newRig(t, simulator.Config{Latency: 2 * time.Millisecond, Log: func(e simulator.Entry) {
		if e.Method == http.MethodPost && posts.Add(1) == lines/100+5 {
			cancel()
		}
	}})
	r.run(list, baseFlags...)
	flags := append([]string{"--refresh"}, baseFlags...)
	first := r.rerunContext(ctx, list, flags...)
	if first.code != exitDeferred || first.entities == 0 {
		t.Fatalf("exit %d, asked about %d; want %d and some: %s", first.code, first.entities, exitDeferred, first.stderr)
	}
	second := r.rerun(list, flags...)
	if n := first.entities + second.entities; n != lines || second.code != exitComplete {
		t.Errorf("refreshing, interrupted: exit %d, asked about %d and %d; want %d, each of %d once", second.code, first.entities, second.entities, exitComplete, lines)
	}
	if want := fmt.Sprintf("pairs_again=%d ", 2*second.entities); !strings.Contains(second.stderr, want) {
		t.Errorf("the continued refresh does not say %q: %s", want, second.stderr)
	}
}

// TestGivenUp: a run that was closed for another one has lines that it never read, so
// its command, when repeated, has something to do.
func TestGivenUp(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{})
	list, flags := domainLines(600), append([]string{"--concurrency", "1"}, baseFlags...)
	crashAt(t, func(op, _ string) bool { return op == "sync" && r.billedCalls() == 2 })
	r.rerun(list, flags...)
	clearHook(t)
	if v := r.rerun(extraDomain, append([]string{"--new-run"}, flags...)...); v.code != exitComplete || v.entities != 1 {
		t.Fatalf("another run: exit %d, %d entities; want %d and 1: %s", v.code, v.entities, exitComplete, v.stderr)
	}
	if v := r.rerun(list, flags...); v.code != exitComplete || v.entities != 400 {
		t.Errorf("the first command again: exit %d, %d entities; want %d and the 400 that were left: %s%s", v.code, v.entities, exitComplete, v.stdout, v.stderr)
	}
	if v := r.rerun(list, flags...); v.code != exitComplete || v.requests != 0 {
		t.Errorf("and once more: exit %d, %d requests; want %d and none: %s", v.code, v.requests, exitComplete, v.stdout)
	}
}
