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

	"github.com/siglake/siglake/internal/simulator"
)

// failure is a way in which an operation on a file fails.
type failure struct {
	name  string
	on    []string // the operations that can fail so
	err   syscall.Errno
	how   func(path string, do func() error) error // what is done of the operation all the same; nil: nothing
	lasts bool                                     // from then on, every such operation fails
	then  *failure                                 // in this way; nil: in the same one
}

var (
	taking   = []string{"mkdir", "create", "allocate", "write", "sync", "syncdir", "link", "rename"} // room on the disk
	changing = append([]string{"truncate", "remove", "close"}, taking...)
	every    = append([]string{"list", "open", "read", "stat"}, changing...)
	syncing  = []string{"sync", "syncdir"}

	diskFull = failure{name: "disk full", on: taking, err: syscall.ENOSPC, lasts: true}
)

var failures = []failure{
	{name: "no space once", on: taking, err: syscall.ENOSPC},
	diskFull,
	{name: "no large room", on: []string{"allocate"}, err: syscall.ENOSPC, lasts: true},
	{name: "input/output error once", on: every, err: syscall.EIO},
	{name: "disk gone", on: every, err: syscall.EIO, lasts: true},
	{name: "short write once", on: []string{"write"}, err: syscall.ENOSPC, how: half},
	{name: "short write, then disk full", on: []string{"write"}, err: syscall.ENOSPC, how: half, lasts: true, then: &diskFull},
	{name: "sync error once", on: syncing, err: syscall.EIO},
	{name: "sync errors", on: syncing, err: syscall.EIO, lasts: true},
	{name: "done, and reported as failed", on: changing, err: syscall.EIO, how: whole}, // the answer was lost, as over a network
}

// absorbed are the failures that a run may survive: it ends as if nothing had
// been, and is then really complete.
var absorbed = []struct {
	on   []string // operations
	path string   // what the path ends in, or below the lake begins with
	why  string
}{
	{[]string{"create", "allocate", "write", "sync"}, "/next.tmp", "for want of room a segment is begun once more, with no more room than is needed at once"},
	{[]string{"allocate"}, ".journal", "likewise, when it grows"},
	{[]string{"truncate", "write", "sync", "close"}, ".journal", "it is closed: all that it holds is durable already, and whoever opens it settles it"},
	{[]string{"link"}, ".json", "a manifest that is there all the same, and is ours, is as good"},
	{[]string{"remove"}, "/_staging/", "all is published by then, and the next run sweeps the scratch directory"},
}

func whole(_ string, do func() error) error { return do() }

// half writes, and then makes the file's latter half of what was written what
// it was before.
func half(path string, do func() error) error {
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

// strike makes the n-th operation fail that can fail so, until the hook is
// removed, and gives what has failed.
func strike(t *testing.T, f *failure, n int) (struck func() []operation) {
	t.Helper()
	var mu sync.Mutex
	var failed []operation
	seen := 0
	fileHook = func(op, path string, do func() error) error {
		mu.Lock()
		now := f
		if len(failed) > 0 && f.then != nil {
			now = f.then
		}
		can := slices.Contains(now.on, op)
		if can {
			seen++
		}
		if !can || len(failed) == 0 && seen < n || len(failed) > 0 && !f.lasts {
			mu.Unlock()
			return do()
		}
		failed = append(failed, operation{op, path})
		mu.Unlock()
		if now.how != nil {
			if err := now.how(path, do); err != nil {
				return err // it would have failed anyway: a file that is not there
			}
		}
		return now.err
	}
	return func() []operation {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(failed)
	}
}

type operation struct{ op, path string }

func (o operation) String() string { return o.op + " " + o.path }

// serve gives the world a new simulator in this process.
func (w *world) serve(t *testing.T, seed uint64) {
	t.Helper()
	sim, err := simulator.New(simulator.Config{Seed: seed, Plan: "unlimited", Keys: []string{canary}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	w.t, w.url, w.bill, w.lake = t, server.URL, sim.Bill, filepath.Join(t.TempDir(), "lake")
}

// here runs the list in this process.
func (w *world) here() (code int, output string) {
	w.t.Helper()
	var out bytes.Buffer
	code = execute(context.Background(), append([]string{"siglake"}, w.args(w.lake, w.url)...), nil, &out, &out)
	return code, out.String()
}

// wound is what the process before left behind.
type wound struct {
	name   string
	at     func() func(op, path string) bool // where it died; nil: there was none
	doubts bool                              // it may have left calls in doubt
}

var (
	unhurt = wound{name: "new lake"}
	wounds = []wound{
		{name: "calls were on the wire", doubts: true, at: func() func(op, path string) bool {
			syncs := 0
			return func(op, path string) bool {
				if op == "sync" && strings.HasSuffix(path, ".journal") {
					syncs++
				}
				return syncs == 6
			}
		}},
		{name: "half of the files were visible", at: func() func(op, path string) bool {
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

// inflict lets a run die on the new lake.
func (w *world) inflict(t *testing.T, before wound) {
	t.Helper()
	if before.at == nil {
		return
	}
	var mu sync.Mutex
	at := before.at()
	dieAt(t, func(op, path string) bool {
		mu.Lock()
		defer mu.Unlock()
		return at(op, path)
	})
	defer revive()
	if code, output := w.here(); code != exitStorage {
		t.Fatalf("%s: exit %d, want %d\n%s", before.name, code, exitStorage, output)
	}
}

// TestFileFailures makes every operation on a file fail, in every way it can,
// and then runs the same command again, as a person would who has seen to the
// disk.
func TestFileFailures(t *testing.T) {
	most, mostWounded := 3, 1
	if full() {
		most, mostWounded = math.MaxInt, math.MaxInt
		// One at a time, the n-th operation is always the same one.
		t.Run("one call at a time", func(t *testing.T) { fileFailures(t, unhurt, 1, most) })
	}
	t.Run(unhurt.name, func(t *testing.T) { fileFailures(t, unhurt, 3, most) })
	for _, before := range wounds {
		t.Run(before.name, func(t *testing.T) { fileFailures(t, before, 3, mostWounded) })
	}
}

// fileFailures strikes, with each kind of failure, every operation that it can
// befall, or as many as given, other ones for each kind.
func fileFailures(t *testing.T, before wound, inFlight, most int) {
	const seed, lines = 5, 60
	w := calmWorld(t, seed, lines, "--signals", "surgeInHiring,riskNews", "--since", "60d", "--max-results", "100",
		"--batch-size", "10", "--concurrency", fmt.Sprint(inFlight), "--timeout", "5s")
	operations := w.operations(t, seed, before)
	var report strings.Builder
	out := tabwriter.NewWriter(&report, 0, 8, 2, ' ', 0)
	planned, total, lost := 0, 0, 0
	for i := range failures {
		f := &failures[i]
		codes, again := map[int]int{}, map[int]int{}
		cases := 0
		there := 0
		for _, op := range f.on {
			there += operations[op]
		}
		points, reach := min(there, most), there
		if before.doubts && points < there {
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
					w.serve(t, seed)
					w.inflict(t, before)
					struck := strike(t, f, n)
					code, output = w.here()
					revive()
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
				second, doubts := w.completes(failed, code)
				again[second]++
				lost += doubts
				allowed := 0
				if before.doubts {
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
		sum(operations), operations, total, lost, report.String())
}

// operations counts those of an undisturbed run.
func (w *world) operations(t *testing.T, seed uint64, before wound) map[string]int {
	t.Helper()
	w.serve(t, seed)
	w.inflict(t, before)
	var mu sync.Mutex
	count := map[string]int{}
	fileHook = func(op, _ string, do func() error) error {
		mu.Lock()
		count[op]++
		mu.Unlock()
		return do()
	}
	defer revive()
	if code, output := w.here(); code != exitComplete && !(before.doubts && code == exitHeld) {
		t.Fatalf("exit %d, want %d\n%s", code, exitComplete, output)
	}
	return count
}

func sum(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// completes runs the same command again and holds what is there then against
// what an undisturbed run finds. first is how the one that failed ended.
func (w *world) completes(failed []operation, first int) (code, doubts int) {
	w.t.Helper()
	before := w.bill().Requests
	code, output := w.here()
	if code != exitComplete && code != exitHeld {
		w.t.Fatalf("%v failed; the same command again: exit %d, want %d or %d\n%s", failed[0], code, exitComplete, exitHeld, output)
	}
	doubts = w.check()
	if (code == exitHeld) != (doubts > 0) {
		w.t.Errorf("%v failed; the same command again: exit %d with %d calls in doubt", failed[0], code, doubts)
	}
	bill := w.bill()
	if first != exitStorage && bill.Requests != before {
		w.t.Errorf("%v failed, the run survived it, and the same command again asks %d times", failed[0], bill.Requests-before)
	}
	asked := 0
	for _, e := range bill.Entries {
		asked += e.Entities
	}
	if lines := len(w.status); asked > lines || asked < lines && doubts == 0 {
		w.t.Errorf("%v failed: %d entities were asked about in both runs, want each of %d once", failed[0], asked, lines)
	}
	return code, doubts
}

// checkFailed looks at a run among whose operations some have failed.
func (w *world) checkFailed(before wound, failed []operation, code int, output string) {
	w.t.Helper()
	survived := exitComplete
	if before.doubts && code == exitHeld {
		survived = exitHeld
	}
	switch code {
	case survived:
		for _, o := range failed {
			if !o.absorbed(w.lake) {
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
	if code := execute(context.Background(), []string{"siglake", "verify", "--lake", w.lake}, nil, &output, &output); code != exitComplete {
		w.t.Errorf("%v failed; verify then: exit %d\n%s", failed[0], code, output.String())
	}
}

func (o operation) onJournal() bool { return strings.Contains(o.path, "/"+stateDir+"/journal/") }

func (o operation) absorbed(lake string) bool {
	for _, a := range absorbed {
		if slices.Contains(a.on, o.op) && (strings.HasSuffix(o.path, a.path) || strings.HasPrefix(strings.TrimPrefix(o.path, lake), a.path)) {
			return true
		}
	}
	return false
}
