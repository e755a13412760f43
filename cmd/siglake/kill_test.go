package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// runAsProgram, set in a child's environment, makes the test binary the program.
// Its value is how many operations on files the child lives to see; it kills
// itself before the next one, or after it when the number is negative. 0: it
// lives.
const runAsProgram = "SIGLAKE_TEST_BE_PROGRAM"

// clockAhead, set in a child's environment, is how far its clock is ahead. Then the account's
// usage settles in usageSettlesInTests, and checkpoints are frequent.
const (
	clockAhead          = "SIGLAKE_TEST_CLOCK_AHEAD"
	usageSettlesInTests = 60 * time.Millisecond
)

func TestMain(m *testing.M) {
	if text, ok := os.LookupEnv(runAsProgram); ok {
		n, err := strconv.Atoi(text)
		if err != nil {
			panic(err)
		}
		env := processEnv()
		if n != 0 {
			env.Hook = killAt(n)
		}
		env.JournalRetryFor, env.BucketMaxBackoff = time.Second, 10*time.Millisecond
		if text, ok := os.LookupEnv(clockAhead); ok {
			ahead, err := time.ParseDuration(text)
			if err != nil {
				panic(err)
			}
			env.Now = func() time.Time { return time.Now().Add(ahead) }
			env.UsageSettles, env.CheckpointEvery = usageSettlesInTests, 16<<10
		}
		os.Exit(run(env))
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "siglake-test-*")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	programDir = dir
	flag.Parse()
	if err := chooseTests(); err != nil {
		panic(err)
	}
	return m.Run()
}

func killAt(n int) func(op, path string, do func() error) error {
	die := func() {
		if self, err := os.FindProcess(os.Getpid()); err == nil {
			_ = self.Kill()
		}
	}
	seen := 0
	var turn = make(chan struct{}, 1)
	return func(_, _ string, do func() error) error {
		turn <- struct{}{}
		seen++
		now := seen
		<-turn
		if now == n {
			die()
			select {}
		}
		err := do()
		if now == -n {
			die()
			select {}
		}
		return err
	}
}

// world is a simulator, and what an undisturbed run finds in it.
type world struct {
	t        *testing.T
	url      string
	list     string                   // path
	argv     []string                 // the command and what it is about
	flags    []string                 // of every run
	events   map[string][]string      // event_uids by account key, sorted
	status   map[string]schema.Status // by account key
	ranked   []string                 // lookalikes, in their order
	lake     string
	readBill func() simulator.Bill // the simulator's own account
	before   int                   // requests on the bill that are about earlier lakes
	program  string                // path of the binary
}

// newWorld has its simulator, and its runs, in processes of their own.
func newWorld(t *testing.T, program string, seed uint64, lines int, faults ...string) *world {
	t.Helper()
	w := baselineWorld(t, seed, lines, "--signals", "news,growth", "--timeout", "5s", "--batch-size", "25", "--concurrency", "8", "--quiet")
	w.startProcesses(program, seed, faults...)
	return w
}

// startProcesses gives the world a simulator in a process of its own, and lets its runs
// be such processes, too.
func (w *world) startProcesses(program string, seed uint64, faults ...string) {
	t := w.t
	t.Helper()
	w.program = program
	args := []string{"simulate", "--listen", "127.0.0.1:0", "--seed", fmt.Sprint(seed), "--sim-plan", "unlimited", "--latency", "4ms", "--credits", "1000000000"}
	for _, f := range faults {
		args = append(args, "--fault", f)
	}
	cmd := w.childCommand(0, args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	w.url = strings.TrimSpace(strings.TrimPrefix(line, "simulator listening on "))
	w.readBill = w.fetchBill
}

// baselineWorld makes a list, and finds out what a run brings that nothing disturbs.
// Its simulator is gone then.
func baselineWorld(t *testing.T, seed uint64, lines int, flags ...string) *world {
	t.Helper()
	var list strings.Builder
	list.WriteString("account_id,domain\n")
	for i := range lines {
		fmt.Fprintf(&list, "K%05d,company-%d-%04d.example\n", i, seed, i)
	}
	return listWorld(t, seed, list.String(), nil, flags...)
}

// listWorld makes a world of the text of a list. verb is the command up to where
// the path of the list comes; nil: it is "siglake run".
func listWorld(t *testing.T, seed uint64, list string, argv []string, flags ...string) *world {
	t.Helper()
	w := &world{t: t, lake: filepath.Join(t.TempDir(), "lake"), list: filepath.Join(t.TempDir(), "list.csv")}
	if err := os.WriteFile(w.list, []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	if argv == nil {
		argv = []string{"run"}
	}
	w.argv = append(slices.Clone(argv), w.list)
	w.flags = append([]string{"--plan", "unlimited", "--rate", "0"}, flags...)
	envFor(t).set(app.KeyVariable, canary)

	baseline := newRig(t, simulator.Config{Seed: seed})
	code, _, stderr := runProgram(t, w.args(baseline.lake, baseline.server.URL)...)
	if baseline.manifest = baseline.readManifest(); baseline.manifest != nil {
		baseline.check()
		w.events, w.status = lakeRowsByKey(baseline)
		w.ranked = baseline.lookalikeNames()
	}
	if code != exitComplete || len(w.events) == 0 {
		t.Fatalf("the undisturbed run: exit %d, %s", code, stderr)
	}
	return w
}

// args are the command, on a lake and against an API.
func (w *world) args(lake, url string) []string {
	return slices.Concat(w.argv, []string{"--lake", lake, "--base-url", url}, w.flags)
}

// childCommand is the program as a child process.
func (w *world) childCommand(killAfter int, args ...string) *exec.Cmd {
	return childOf(w.t, w.program, killAfter, args...)
}

// childOf is a program as a child process.
func childOf(t *testing.T, program string, killAfter int, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Env = slices.Concat(os.Environ(), envFor(t).pairs(), []string{fmt.Sprintf("%s=%d", runAsProgram, killAfter)})
	return cmd
}

// startRun starts a run of the list.
func (w *world) startRun(killAfter int) (*exec.Cmd, *strings.Builder) {
	cmd := w.childCommand(killAfter, w.args(w.lake, w.url)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	return cmd, &stderr
}

// lakeRowsByKey collects what a lake holds over all its generations: events and rows of
// products, and the last fate of each line that is more than a note that it was answered before.
func lakeRowsByKey(r *rig) (events map[string][]string, status map[string]schema.Status) {
	events, status = map[string][]string{}, map[string]schema.Status{}
	for _, m := range r.generations() {
		at := &rig{t: r.t, lake: r.lake, manifest: m}
		for _, row := range at.events() {
			key := row["account_key"].(string)
			events[key] = append(events[key], row["event_uid"].(string))
		}
		for _, row := range at.products() {
			key := row["account_key"].(string)
			events[key] = append(events[key], row["row_uid"].(string))
		}
		for _, row := range at.accountRows() {
			if s := schema.Status(row["status"].(string)); s != schema.Cached {
				status[row["account_key"].(string)] = s
			}
		}
	}
	for _, uids := range events {
		slices.Sort(uids)
	}
	return events, status
}

// fetchBill asks a simulator in another process.
func (w *world) fetchBill() (b simulator.Bill) {
	w.t.Helper()
	resp, err := http.Get(w.url + "/_simulator/bill?entries=1")
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&b); err != nil {
		w.t.Fatal(err)
	}
	return b
}

// check holds the lake against the simulator's bill and the undisturbed run,
// and gives the number of calls in doubt.
func (w *world) check() (doubts int) {
	w.t.Helper()
	var stdout, stderr strings.Builder
	if code := envFor(w.t).execute(context.Background(), []string{"siglake", "verify", "--lake", w.lake}, nil, &stdout, &stderr); code != exitComplete {
		w.t.Errorf("verify: exit %d\n%s%s", code, stdout.String(), stderr.String())
	}
	doubts = w.reconcile()

	r := &rig{t: w.t, lake: w.lake}
	if r.manifest = r.readManifest(); r.manifest == nil {
		w.t.Fatal("no manifest")
	}
	r.checkSecret()
	events, status := lakeRowsByKey(r)
	want, wantStatus := maps.Clone(w.events), maps.Clone(w.status)
	for key, s := range status {
		if s != schema.InDoubt {
			continue
		}
		for _, uid := range events[key] { // its id may be known
			if !slices.Contains(want[key], uid) {
				w.t.Errorf("%s is held and has the row %s, which an undisturbed run does not bring", key, uid)
			}
		}
		delete(want, key)
		delete(events, key)
		wantStatus[key] = schema.InDoubt
	}
	if diff := cmp.Diff(want, events); diff != "" {
		w.t.Errorf("events of lines that are not held differ from those of an undisturbed run (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(wantStatus, status); diff != "" {
		w.t.Errorf("fates differ from those of an undisturbed run (-want +got):\n%s", diff)
	}
	return doubts
}

// openJournal opens the journal of the lake, until the test ends.
func (w *world) openJournal() *ledger.Ledger {
	w.t.Helper()
	store, err := wal.OpenDir(filepath.Join(w.lake, app.StateDir, "journal"), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = store.Close() })
	j, err := ledger.Open(context.Background(), store, ledger.Options{Decode: app.DecodeRecorded})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = j.Close() })
	return j
}

// reconcile matches every request that the simulator saw with the attempts that
// the journal has, by the digest of the body: nothing unknown to the journal,
// and nothing billed beyond what it knows or declares to be in doubt.
func (w *world) reconcile() (doubts int) {
	w.t.Helper()
	j := w.openJournal()
	type sum struct {
		attempts, doubts int
		charged, most    int64
	}
	ours := map[string]*sum{}
	for _, run := range j.Runs() {
		if run.Inbox != nil {
			continue // it requested nothing
		}
		for a, err := range j.Reader().Answers(context.Background(), run) {
			if err != nil {
				w.t.Fatal(err)
			}
			req, err := lusha.NewRequest(a.Batch)
			if err != nil {
				w.t.Fatal(err)
			}
			digest := sha256.Sum256(req.Body)
			s := ours[hex.EncodeToString(digest[:])]
			if s == nil {
				s = &sum{}
				ours[hex.EncodeToString(digest[:])] = s
			}
			c := a.Reply.Calls[0]
			s.attempts++
			switch {
			case c.Outcome == pipeline.Charged && c.Charge.Known:
				s.charged += c.Charge.Credits
			case c.Outcome == pipeline.Charged || c.Outcome == pipeline.InDoubt:
				s.doubts++
				doubts++
				s.most += c.Ceiling
			}
		}
	}
	type seen struct {
		requests int
		credits  int64
	}
	theirs := map[string]*seen{}
	var billed, declared, ledger int64
	for _, e := range w.readBill().Entries[w.before:] {
		if e.Request == "" {
			continue // a free question, or a body that never arrived whole
		}
		s := theirs[e.Request]
		if s == nil {
			s = &seen{}
			theirs[e.Request] = s
		}
		s.requests++
		s.credits += e.Credits
		billed += e.Credits
	}
	for digest, s := range theirs {
		o := ours[digest]
		if o == nil {
			w.t.Errorf("the simulator saw a request that the journal does not know, billed %d", s.credits)
			continue
		}
		if s.requests > o.attempts {
			w.t.Errorf("the simulator saw a request %d times, the journal meant it %d times", s.requests, o.attempts)
		}
		rest := s.credits - o.charged
		if rest < 0 || rest > o.most || rest > 0 && o.doubts == 0 {
			w.t.Errorf("a request was billed %d, the ledger has %d and declares a doubt of up to %d", s.credits, o.charged, o.most)
		}
		declared += rest
	}
	for _, o := range ours {
		ledger += o.charged
	}
	if billed != ledger+declared {
		w.t.Errorf("billed %d, ledger %d + declared %d", billed, ledger, declared)
	}
	return doubts
}

// crashPhase says where a kill landed, from a copy of what it left behind.
func (w *world) crashPhase() string {
	copied := filepath.Join(w.t.TempDir(), "journal")
	if err := os.CopyFS(copied, os.DirFS(filepath.Join(w.lake, app.StateDir, "journal"))); err != nil {
		return "before the journal"
	}
	store, err := wal.OpenDir(copied, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	defer store.Close()
	j, err := ledger.Open(context.Background(), store, ledger.Options{Decode: app.DecodeRecorded})
	if err != nil {
		w.t.Fatalf("the journal after a kill: %v", err)
	}
	defer j.Close()
	runs := j.Runs()
	if len(runs) == 0 {
		return "before the run"
	}
	last := runs[len(runs)-1]
	inFlight := 0
	for _, c := range last.Calls {
		if c.Problem == "the process ended while the call was on its way" {
			inFlight++
		}
	}
	switch {
	case last.Published != nil:
		return "after the commit"
	case last.Prepared != nil:
		return "publishing"
	case len(last.Calls) == 0:
		return "before the first call"
	case inFlight > 0:
		return "calls on the wire (in this or an earlier life)"
	}
	return "asking or staging, nothing on the wire"
}

// faultMenu is the weather in which processes are killed.
var faultMenu = []string{"500-refused%4", "503-billed%1", "429-burst%2", "drop-after-charge%1", "reset-mid-body%1", "truncated-close%1"}

// TestKill kills runs at random instants and starts them again until they end:
// no event lost, none twice, no charge outside declared doubt.
func TestKill(t *testing.T) {
	t.Parallel()
	killLoop(t, proof.Size(2, 30, 1000), func(t *testing.T, program string, seed uint64) (*world, time.Duration) {
		return newWorld(t, program, seed, proof.Size(600, 1500, 1500), faultMenu...), 60 * time.Millisecond
	}, func(w *world, _ *rand.Rand) int { return w.check() })
}

// killLoop kills runs in one world after another, and checks each when a run
// has come to its end.
func killLoop(t *testing.T, kills int, begin func(t *testing.T, program string, seed uint64) (*world, time.Duration), check func(*world, *rand.Rand) int) {
	t.Helper()
	program := buildProgram(t)
	phases := map[string]int{}
	landed, doubts, rounds := 0, 0, 0
	for seed := uint64(1); landed < kills; seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			w, life := begin(t, program, seed)
			rounds++
			rng := rand.New(rand.NewPCG(seed, 0))
			w.runWithKills(rng, life, func() {
				landed++
				phases[w.crashPhase()]++
			})
			doubts += check(w, rng)
		})
		if t.Failed() {
			return
		}
	}
	t.Logf("%d kills over %d runs, %d calls in doubt; where they landed: %v", landed, rounds, doubts, phases)
}

// buildProgram makes the real binary.
func buildProgram(t *testing.T) string {
	t.Helper()
	program, err := builtProgram()
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// builtProgram is built once for all tests; TestMain removes it.
var builtProgram = sync.OnceValues(func() (string, error) {
	program := filepath.Join(programDir, "siglake")
	if out, err := exec.Command("go", "build", "-ldflags=-s -w", "-o", program, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return program, nil
})

var programDir string // set by TestMain

// runWithKills kills runs at random instants, and starts them again, until one ends.
// Most kills fall early in a life, of that length on average, so that a run has
// many of them.
func (w *world) runWithKills(rng *rand.Rand, meanLife time.Duration, landed func()) {
	w.t.Helper()
	for tries := 0; ; tries++ {
		cmd, stderr := w.startRun(0)
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		lifetime := time.Duration(rng.ExpFloat64() * float64(meanLife))
		if tries > 60 {
			lifetime = time.Minute
		}
		select {
		case err := <-done:
			if code := exitOf(err); code != exitComplete && code != exitInDoubt {
				w.t.Fatalf("exit %d\n%s", code, stderr)
			}
			return
		case <-time.After(lifetime):
			_ = cmd.Process.Kill()
			if exitOf(<-done) != -1 {
				continue // it ended at the last moment; the next process says how
			}
			landed()
		}
	}
}

// TestCrash kills runs at chosen operations on files, before and after each.
func TestCrash(t *testing.T) {
	t.Parallel()
	crashLoop(t, proof.Size(797, 197, 1), func(t *testing.T, seed uint64) *world {
		return newWorld(t, os.Args[0], seed, 300, "500-refused%4", "drop-after-charge%2")
	}, (*world).check)
}

// crashLoop kills runs at every step-th operation on files.
func crashLoop(t *testing.T, step int, begin func(t *testing.T, seed uint64) *world, check func(*world) int) {
	t.Helper()
	crashes := proof.Size(0, 0, 500)
	phases := map[string]int{}
	landed, doubts := 0, 0
	for seed := uint64(99); seed == 99 || landed < crashes; seed++ {
		n, d := crashEvery(t, begin(t, seed), step, phases, check)
		landed, doubts = landed+n, doubts+d
	}
	t.Logf("%d crashes, %d calls in doubt; where they landed: %v", landed, doubts, phases)
}

// crashEvery kills runs in one world at every step-th operation.
func crashEvery(t *testing.T, w *world, step int, phases map[string]int, check func(*world) int) (landed, doubts int) {
	for n := 1; ; n += step {
		crashed := false
		for _, when := range []int{n, -n} {
			w.lake, w.before = filepath.Join(t.TempDir(), "lake"), len(w.readBill().Entries)
			cmd, _ := w.startRun(when)
			if exitOf(cmd.Wait()) == -1 {
				crashed = true
				landed++
				phases[w.crashPhase()]++
			}
			cmd, stderr := w.startRun(0)
			if code := exitOf(cmd.Wait()); code != exitComplete && code != exitInDoubt {
				t.Fatalf("operation %d: exit %d\n%s", when, code, stderr)
			}
			doubts += check(w)
			if t.Failed() {
				t.Fatalf("after the crash at operation %d", when)
			}
		}
		if !crashed {
			return landed, doubts
		}
	}
}

func exitOf(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode() // -1 when a signal ended it
	}
	return -2
}
