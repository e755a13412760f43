package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/tabwriter"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/simulator"
)

// failure is a way in which an operation on a file fails.
type failure struct {
	name      string
	ops       []string // the operations that can fail so
	err       syscall.Errno
	effect    func(path string, do func() error) error // the part of the operation that takes effect; nil: none
	permanent bool                                     // from then on, every such operation fails
	next      *failure                                 // in this way; nil: in the same one
}

var (
	spaceOps    = []string{"mkdir", "create", "allocate", "write", "sync", "syncdir", "link", "rename"} // room on the disk
	mutatingOps = append([]string{"truncate", "remove", "close"}, spaceOps...)
	allOps      = append([]string{"list", "open", "read", "stat"}, mutatingOps...)
	syncOps     = []string{"sync", "syncdir"}

	diskFull = failure{name: "disk full", ops: spaceOps, err: syscall.ENOSPC, permanent: true}
)

var failures = []failure{
	{name: "no space once", ops: spaceOps, err: syscall.ENOSPC},
	diskFull,
	{name: "no large room", ops: []string{"allocate"}, err: syscall.ENOSPC, permanent: true},
	{name: "input/output error once", ops: allOps, err: syscall.EIO},
	{name: "disk gone", ops: allOps, err: syscall.EIO, permanent: true},
	{name: "short write once", ops: []string{"write"}, err: syscall.ENOSPC, effect: doHalf},
	{name: "short write, then disk full", ops: []string{"write"}, err: syscall.ENOSPC, effect: doHalf, permanent: true, next: &diskFull},
	{name: "sync error once", ops: syncOps, err: syscall.EIO},
	{name: "sync errors", ops: syncOps, err: syscall.EIO, permanent: true},
	{name: "done, and reported as failed", ops: mutatingOps, err: syscall.EIO, effect: doFully}, // the answer was lost, as over a network
}

// tolerated are the failures that a run may survive: it ends as if nothing had
// been, and is then really complete.
var tolerated = []struct {
	on   []string // operations
	path string   // what the path ends in, or below the lake begins with
	why  string
}{
	{[]string{"create", "allocate", "write", "sync"}, "/next.tmp", "for want of room a segment is begun once more, with no more room than is needed at once"},
	{[]string{"allocate"}, ".journal", "likewise, when it grows"},
	{[]string{"truncate", "write", "sync", "close"}, ".journal", "it is closed: all that it holds is durable already, and whoever opens it settles it"},
	{[]string{"link"}, ".json", "a manifest that is there all the same, and is ours, is as good"},
	{[]string{"link"}, ".ndjson", "likewise a snapshot, whose name says what it holds"},
	{[]string{"remove"}, "/_staging/", "all is published by then, and the next run sweeps the scratch directory"},
}

func doFully(_ string, do func() error) error { return do() }

// doHalf writes, and then makes the file's latter half of what was written what
// it was before.
func doHalf(path string, do func() error) error {
	before, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	after, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	from := 0
	for from < min(len(before), len(after)) && before[from] == after[from] {
		from++
	}
	to := len(after)
	for to > from && to <= len(before) && before[to-1] == after[to-1] {
		to--
	}
	middle := from + (to-from)/2
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if middle < len(before) {
		if _, err := f.WriteAt(before[middle:min(to, len(before))], int64(middle)); err != nil {
			return err
		}
	}
	return f.Truncate(int64(max(middle, len(before))))
}

// injectFailure makes the n-th operation fail that can fail so, until the hook is
// removed, and gives what has failed.
func injectFailure(t *testing.T, f *failure, n int) (failures func() []operation) {
	t.Helper()
	var mu sync.Mutex
	var failed []operation
	seen := 0
	setHook(t, func(op, path string, do func() error) error {
		mu.Lock()
		now := f
		if len(failed) > 0 && f.next != nil {
			now = f.next
		}
		can := slices.Contains(now.ops, op)
		if can {
			seen++
		}
		if !can || len(failed) == 0 && seen < n || len(failed) > 0 && !f.permanent {
			mu.Unlock()
			return do()
		}
		failed = append(failed, operation{op, path})
		mu.Unlock()
		if now.effect != nil {
			if err := now.effect(path, do); err != nil {
				return err // it would have failed anyway: a file that is not there
			}
		}
		return now.err
	})
	return func() []operation {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(failed)
	}
}

type operation struct{ op, path string }

func (o operation) String() string { return o.op + " " + o.path }

// startSimulator gives the world a new simulator in this process.
func (w *world) startSimulator(t *testing.T, seed uint64) {
	t.Helper()
	sim, err := simulator.New(simulator.Config{Seed: seed, Plan: "unlimited", Keys: []string{canary}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	w.t, w.url, w.readBill, w.lake = t, server.URL, sim.Bill, filepath.Join(t.TempDir(), "lake")
}

// runInProcess runs the list in this process.
func (w *world) runInProcess() (code int, output string) {
	w.t.Helper()
	var out bytes.Buffer
	code = envFor(w.t).execute(context.Background(), append([]string{"siglake"}, w.args(w.lake, w.url)...), nil, &out, &out)
	return code, out.String()
}

// priorCrash is what the process before left behind.
type priorCrash struct {
	name          string
	crashPoint    func() func(op, path string) bool // where it died; nil: there was none
	leavesInDoubt bool                              // it may have left calls in doubt
}

var (
	noCrash      = priorCrash{name: "new lake"}
	priorCrashes = []priorCrash{
		{name: "calls were on the wire", leavesInDoubt: true, crashPoint: func() func(op, path string) bool {
			syncs := 0
			return func(op, path string) bool {
				if op == "sync" && strings.HasSuffix(path, ".journal") {
					syncs++
				}
				return syncs == 6
			}
		}},
		{name: "half of the files were visible", crashPoint: func() func(op, path string) bool {
			shown := 0
			return func(op, path string) bool {
				if op == "rename" && strings.Contains(path, "/ledger/") && strings.HasSuffix(path, ".parquet") {
					shown++
				}
				return shown == 2
			}
		}},
	}
)

// crashFirst lets a run die on the new lake.
func (w *world) crashFirst(t *testing.T, before priorCrash) {
	t.Helper()
	if before.crashPoint == nil {
		return
	}
	var mu sync.Mutex
	at := before.crashPoint()
	crashAt(t, func(op, path string) bool {
		mu.Lock()
		defer mu.Unlock()
		return at(op, path)
	})
	defer clearHook(t)
	if code, output := w.runInProcess(); code != exitStorage {
		t.Fatalf("%s: exit %d, want %d\n%s", before.name, code, exitStorage, output)
	}
}

// TestFileFailures makes every operation on a file fail, in every way it can,
// and then runs the same command again, as a person would who has seen to the
// disk.
func TestFileFailures(t *testing.T) {
	t.Parallel()
	most, mostWounded := proof.Size(1, 2, math.MaxInt), proof.Size(1, 1, math.MaxInt)
	if proof.IsFull() {
		// One at a time, the n-th operation is always the same one.
		t.Run("one call at a time", func(t *testing.T) { fileFailures(t, noCrash, 1, most) })
	}
	t.Run(noCrash.name, func(t *testing.T) { fileFailures(t, noCrash, 3, most) })
	for _, before := range priorCrashes {
		t.Run(before.name, func(t *testing.T) { fileFailures(t, before, 3, mostWounded) })
	}
}

// fileFailures strikes, with each kind of failure, every operation that it can
// befall, or as many as given, other ones for each kind.
func fileFailures(t *testing.T, before priorCrash, inFlight, most int) {
	const seed, lines = 5, 60
	w := baselineWorld(t, seed, lines, "--signals", "surgeInHiring,riskNews", "--since", "60d", "--max-results", "100",
		"--batch-size", "10", "--concurrency", fmt.Sprint(inFlight), "--timeout", "5s")
	operations := w.countOperations(t, seed, before)
	var report strings.Builder
	out := tabwriter.NewWriter(&report, 0, 8, 2, ' ', 0)
	planned, total, lost := 0, 0, 0
	for i := range failures {
		f := &failures[i]
		codes, again := map[int]int{}, map[int]int{}
		cases := 0
		there := 0
		for _, op := range f.ops {
			there += operations[op]
		}
		points, reach := min(there, most), there
		if before.leavesInDoubt && points < there {
			reach = there * 3 / 4 // how much there is to do depends on which answers were lost
		}
		for k := range points {
			n := 1 + (k*len(failures)+i)*reach/(points*len(failures))
			t.Run(fmt.Sprintf("%s, operation %d", f.name, n), func(t *testing.T) {
				var code int
				var output string
				var failed []operation
				// How answers share a write is a matter of chance, and with it the
				// number of operations: there may be none of so high a number.
				for ; len(failed) == 0 && n > 0; n /= 2 {
					w.startSimulator(t, seed)
					w.crashFirst(t, before)
					struck := injectFailure(t, f, n)
					code, output = w.runInProcess()
					clearHook(t)
					failed = struck()
				}
				if len(failed) == 0 {
					return
				}
				cases++
				codes[code]++
				w.checkFailed(before, failed, code, output)
				if n%2 == 0 {
					w.verifyAfter(failed)
				}
				second, doubts := w.rerunAndCheck(failed, code)
				again[second]++
				lost += doubts
				allowed := 0
				if before.leavesInDoubt {
					allowed += inFlight
				}
				if slices.ContainsFunc(failed, operation.onJournal) {
					allowed += inFlight
				}
				if doubts > allowed {
					t.Errorf("%v failed: %d answers lost, want at most the %d in flight when the journal failed", failed[0], doubts, allowed)
				}
			})
			if t.Failed() {
				return
			}
		}
		total += cases
		planned += points
		fmt.Fprintf(out, "%s\t%d of %d\t%v\t%v\t\n", f.name, cases, there, codes, again)
	}
	if err := out.Flush(); err != nil {
		t.Fatal(err)
	}
	if total*4 < planned*3 {
		t.Errorf("%d of %d operations failed, want nearly all: where are the others?", total, planned)
	}
	t.Logf("%d operations: %v\n%d failures, %d answers lost and declared; kind, failures, exit codes, exit codes of the same command again:\n%s",
		sumCounts(operations), operations, total, lost, report.String())
}

// countOperations counts those of an undisturbed run.
func (w *world) countOperations(t *testing.T, seed uint64, before priorCrash) map[string]int {
	t.Helper()
	w.startSimulator(t, seed)
	w.crashFirst(t, before)
	var mu sync.Mutex
	count := map[string]int{}
	setHook(t, func(op, _ string, do func() error) error {
		mu.Lock()
		count[op]++
		mu.Unlock()
		return do()
	})
	defer clearHook(t)
	if code, output := w.runInProcess(); code != exitComplete && !(before.leavesInDoubt && code == exitInDoubt) {
		t.Fatalf("exit %d, want %d\n%s", code, exitComplete, output)
	}
	return count
}

func sumCounts(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// rerunAndCheck runs the same command again and holds what is there then against
// what an undisturbed run finds. first is how the one that failed ended.
func (w *world) rerunAndCheck(failed []operation, first int) (code, inDoubt int) {
	w.t.Helper()
	before := w.readBill().Requests
	code, output := w.runInProcess()
	if code != exitComplete && code != exitInDoubt {
		w.t.Fatalf("%v failed; the same command again: exit %d, want %d or %d\n%s", failed[0], code, exitComplete, exitInDoubt, output)
	}
	inDoubt = w.check()
	if (code == exitInDoubt) != (inDoubt > 0) {
		w.t.Errorf("%v failed; the same command again: exit %d with %d calls in doubt", failed[0], code, inDoubt)
	}
	bill := w.readBill()
	if first != exitStorage && bill.Requests != before {
		w.t.Errorf("%v failed, the run survived it, and the same command again asks %d times", failed[0], bill.Requests-before)
	}
	asked := 0
	for _, e := range bill.Entries {
		asked += e.Entities
	}
	if lines := len(w.status); asked > lines || asked < lines && inDoubt == 0 {
		w.t.Errorf("%v failed: %d entities were asked about in both runs, want each of %d once", failed[0], asked, lines)
	}
	return code, inDoubt
}

// checkFailed checks a run in which some file operations failed.
func (w *world) checkFailed(before priorCrash, failed []operation, code int, output string) {
	w.t.Helper()
	survived := exitComplete
	if before.leavesInDoubt && code == exitInDoubt {
		survived = exitInDoubt
	}
	switch code {
	case survived:
		for _, o := range failed {
			if !o.isTolerated(w.lake) {
				w.t.Errorf("%v failed: exit %d, want %d\n%s", o, code, exitStorage, output)
			}
		}
	case exitStorage:
		if !slices.ContainsFunc(failed, func(o operation) bool { return strings.Contains(output, strings.TrimSuffix(o.path, "/.")) }) {
			w.t.Errorf("%v failed, and the message does not name the file:\n%s", failed[0], output)
		}
		if !strings.Contains(output, "the same command again") {
			w.t.Errorf("%v failed, and the message does not say what to do:\n%s", failed[0], output)
		}
	default:
		w.t.Errorf("%v failed: exit %d, want %d\n%s", failed[0], code, exitStorage, output)
	}
	if strings.Contains(output, canary) {
		w.t.Error("the API key was printed")
	}
	err := filepath.WalkDir(filepath.Dir(w.lake), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if bytes.Contains(raw, []byte(canary)) {
			w.t.Errorf("the API key stands in %s", path)
		}
		return err
	})
	if err != nil {
		w.t.Error(err)
	}
}

// verifyAfter holds what is left after a failure against the invariants, which
// must hold before anything is mended.
func (w *world) verifyAfter(failed []operation) {
	w.t.Helper()
	if _, err := os.Stat(w.lake); err != nil {
		return // it did not come so far
	}
	var output strings.Builder
	if code := envFor(w.t).execute(context.Background(), []string{"siglake", "verify", "--lake", w.lake}, nil, &output, &output); code != exitComplete {
		w.t.Errorf("%v failed; verify then: exit %d\n%s", failed[0], code, output.String())
	}
}

func (o operation) onJournal() bool { return strings.Contains(o.path, "/"+app.StateDir+"/journal/") }

func (o operation) isTolerated(lake string) bool {
	for _, a := range tolerated {
		if slices.Contains(a.on, o.op) && (strings.HasSuffix(o.path, a.path) || strings.HasPrefix(strings.TrimPrefix(o.path, lake), a.path)) {
			return true
		}
	}
	return false
}
