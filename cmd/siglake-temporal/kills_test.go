//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/bucket"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
)

const shards = 6

const shardedJobs = `version: 1
defaults:
  lake: BUCKETshard-{shard}
  base-url: URL
  plan: unlimited
  rate: 0
  concurrency: 2
  batch-size: 10
  shard: JOB_COMPLETION_INDEX/6
  S3
jobs:
  nightly:
    list: accounts.csv
    signals: [news, growth]
    max-credits: 100000
`

// weather are the faults under which processes are killed.
var weather = []string{"500-refused%4", "503-billed%1", "429-burst%2", "drop-after-charge%1", "reset-mid-body%1", "truncated-close%1"}

// TestKills: a list in shards, three workers, and a night that begins again and again because workers and the server
// are killed. It ends unattended, no call is sent twice, the simulator's bill is the sum of the ledgers and of the
// doubt that they declare, and all invariants hold in each lake.
func TestKills(t *testing.T) {
	workers, servers := proof.Size(4, 8, 1000), proof.Size(1, 1, 20)
	var total tally
	for round := uint64(1); total.workers < workers || total.servers < servers; round++ {
		t.Run(fmt.Sprintf("round %d", round), func(t *testing.T) {
			k := newKillRound(t, round)
			k.night(min(workers-total.workers, 50), min(servers-total.servers, 2))
			k.check()
			total.add(&k.tally)
			t.Logf("%+v in %d attempts of %d parts", k.tally, k.attempts, shards)
		})
		if t.Failed() {
			return
		}
	}
	t.Logf("%d kills of workers, %d of them with their jobs, %d of the server; %d calls billed, 0 sent twice; bill %d = ledgers %d + declared doubt %d in %d calls",
		total.workers, total.machines, total.servers, total.calls, total.billed, total.ledger, total.declared, total.doubts)
}

// TestWorkerDiesAlone: when a worker is killed and its machine is not, its job stops politely: no call is left in doubt,
// and another worker continues the run.
func TestWorkerDiesAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, slowJobs, domainList(200), "--latency", "500ms")
	first := w.startWorker(1)
	w.mustRun("start", "--heartbeat", "2s", "--pause", "1s", "--job", "slow")
	w.await("the first charge", func() bool { return w.bill() > 0 })
	if n := len(childrenOf(first.Process.Pid)); n != 1 {
		t.Fatalf("the worker has %d jobs, want 1", n)
	}
	first.kill()
	w.startWorker(1)
	var r nightReport
	if err := w.dial().GetWorkflow(t.Context(), "siglake-night", "").Get(t.Context(), &r); err != nil {
		t.Fatal(err)
	}
	if r.Outcome != "complete" || r.Parts[0].Attempt < 2 || r.Parts[0].Held != 0 {
		t.Errorf("%+v, want complete by a second attempt, without doubt", r)
	}
}

// tally is what happened in a round.
type tally struct {
	workers, machines, servers, calls, doubts int
	billed, ledger, declared                  int64
}

func (a *tally) add(b *tally) {
	a.workers, a.machines, a.servers, a.calls, a.doubts = a.workers+b.workers, a.machines+b.machines, a.servers+b.servers, a.calls+b.calls, a.doubts+b.doubts
	a.billed, a.ledger, a.declared = a.billed+b.billed, a.ledger+b.ledger, a.declared+b.declared
}

// killRound is a night whose processes are killed.
type killRound struct {
	*world
	tally
	random  *rand.Rand
	workers []*started
	started int
	// Of all parts.
	attempts int32
}

func newKillRound(t *testing.T, round uint64) *killRound {
	flags := []string{"--seed", strconv.FormatUint(round, 10), "--latency", "400ms", "--sim-plan", "unlimited"}
	for _, fault := range weather {
		flags = append(flags, "--fault", fault)
	}
	k := &killRound{world: newWorld(t, shardedJobs, domainList(proof.Size(600, 1200, 6000)), flags...), random: rand.New(rand.NewPCG(round, 1))}
	k.store.Setenv(t) // for readLedger
	for range 3 {
		k.addWorker()
	}
	return k
}

// addWorker starts a worker with a state of its own, as on a machine of its own.
func (k *killRound) addWorker() {
	k.started++
	state := filepath.Join(k.dir, fmt.Sprintf("machine-%d", k.started))
	cmd := k.command("worker", "--slots", "2")
	cmd.Env = append(cmd.Env, "XDG_STATE_HOME="+filepath.Join(state, "state"), "XDG_CACHE_HOME="+filepath.Join(state, "cache"))
	k.workers = append(k.workers, k.startProcess(cmd))
}

// night runs a night, and kills so many workers and servers while it is under way.
func (k *killRound) night(workers, servers int) {
	k.t.Helper()
	k.mustRun("start", "--heartbeat", "2s", "--pause", "1s", "--limit", "1h")
	server := k.dial()
	for !k.hasEnded(server) {
		time.Sleep(time.Duration(500+k.random.IntN(1500)) * time.Millisecond)
		switch {
		case k.tally.workers < workers:
			k.killWorker()
		case k.tally.servers < servers:
			k.killServer()
		}
		if k.tally.servers < servers && k.tally.workers == workers*(k.tally.servers+1)/(servers+1) {
			k.killServer()
		}
	}
}

// hasEnded reports whether the night is over. A server that is starting says nothing.
func (k *killRound) hasEnded(c client.Client) bool {
	ctx, cancel := context.WithTimeout(k.t.Context(), 5*time.Second)
	defer cancel()
	d, err := c.DescribeWorkflow(ctx, "siglake-night", "")
	return err == nil && d.Status != enums.WORKFLOW_EXECUTION_STATUS_RUNNING
}

// killWorker kills a worker, sometimes with its jobs, as when its machine dies, and starts another one.
func (k *killRound) killWorker() {
	i := k.random.IntN(len(k.workers))
	w := k.workers[i]
	jobs := childrenOf(w.Process.Pid)
	k.tally.workers++
	_ = w.Process.Kill()
	if k.random.IntN(3) > 0 {
		k.machines++
		for _, pid := range jobs {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	k.workers = append(k.workers[:i], k.workers[i+1:]...)
	k.addWorker()
}

func (k *killRound) killServer() {
	k.tally.servers++
	k.server.kill()
	k.startServer()
}

// childrenOf are the processes that a process has started.
func childrenOf(parent int) (pids []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(raw), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// check holds the report, the lakes and the ledgers against the simulator's bill.
func (k *killRound) check() {
	k.t.Helper()
	var report nightReport
	if err := k.dial().GetWorkflow(k.t.Context(), "siglake-night", "").Get(k.t.Context(), &report); err != nil {
		k.t.Fatalf("the night: %v", err)
	}
	if len(report.Parts) != shards || report.Outcome != "in_doubt" && report.Outcome != "complete" {
		k.t.Errorf("outcome %s with %d parts, want in_doubt or complete with %d", report.Outcome, len(report.Parts), shards)
	}
	for _, p := range report.Parts {
		k.attempts += p.Attempt
		if p.Deferred > 0 {
			k.t.Errorf("%s leaves %d lines: %s", p.part, p.Deferred, p.Reason)
		}
	}
	for _, w := range k.workers {
		_ = w.Process.Signal(syscall.SIGTERM)
	}
	ours := map[string]*request{}
	for i := range shards {
		lake := k.store.URI(fmt.Sprintf("shard-%d", i))
		k.awaitUnlocked(lake)
		if code, stdout, stderr := k.siglake("verify", "--lake", lake); code != exitComplete || !strings.Contains(stdout, "12 invariants hold") {
			k.t.Errorf("verify of %s: exit %d\n%s%s", lake, code, stdout, stderr)
		}
		k.readLedger(lake, ours)
	}
	k.reconcile(ours)
}

// awaitUnlocked waits for the last process of a killed worker, which stops politely.
func (k *killRound) awaitUnlocked(lake string) {
	k.await("the lock of "+lake, func() bool {
		code, _, _ := k.siglake("compact", "--lake", lake, "--min-files", "100000")
		return code != exitLocked
	})
}

// request is what ledgers know of a request.
type request struct {
	attempts, doubts int
	charged, most    int64
}

// readLedger adds the calls of a lake, by the digests of their requests.
func (k *killRound) readLedger(lake string, ours map[string]*request) {
	k.t.Helper()
	b, err := bucket.Open(k.t.Context(), lake, bucket.Config{Endpoint: k.store.URL, Region: k.store.Region, PathStyle: true})
	if err != nil {
		k.t.Fatal(err)
	}
	j, err := ledger.Open(k.t.Context(), wal.NewObjects(b, app.StateDir+"/journal/", wal.ObjectsOptions{}), ledger.Options{Decode: app.DecodeRecorded})
	if err != nil {
		k.t.Fatal(err)
	}
	defer j.Close()
	for _, run := range j.Runs() {
		for a, err := range j.Reader().Answers(k.t.Context(), run) {
			if err != nil {
				k.t.Fatal(err)
			}
			sent, err := lusha.NewRequest(a.Batch)
			if err != nil {
				k.t.Fatal(err)
			}
			digest := sha256.Sum256(sent.Body)
			key := hex.EncodeToString(digest[:])
			if ours[key] == nil {
				ours[key] = &request{}
			}
			r, c := ours[key], a.Reply.Calls[0]
			r.attempts++
			switch {
			case c.Outcome == pipeline.Charged && c.Charge.Known:
				r.charged += c.Charge.Credits
			case c.Outcome == pipeline.Charged || c.Outcome == pipeline.InDoubt:
				r.doubts++
				r.most += c.Ceiling
			}
		}
	}
}

// reconcile compares every request on the bill with the ledgers.
func (k *killRound) reconcile(ours map[string]*request) {
	k.t.Helper()
	var bill simulator.Bill
	if err := json.NewDecoder(bytes.NewReader(k.get("/_simulator/bill?entries=1"))).Decode(&bill); err != nil {
		k.t.Fatal(err)
	}
	sent, billed, credits := map[string]int{}, map[string]int{}, map[string]int64{}
	for _, e := range bill.Entries {
		if e.Request == "" {
			continue // a free question, or a body that never arrived whole
		}
		sent[e.Request]++
		credits[e.Request] += e.Credits
		if k.billed += e.Credits; e.Credits > 0 {
			k.calls++
			billed[e.Request]++
		}
	}
	for digest, n := range sent {
		o := ours[digest]
		if o == nil {
			k.t.Errorf("the simulator saw a request that no ledger knows, billed %d", credits[digest])
			continue
		}
		if billed[digest] > 1 || n > o.attempts {
			k.t.Errorf("a request was sent %d times and billed %d times, the ledger has %d attempts", n, billed[digest], o.attempts)
		}
		rest := credits[digest] - o.charged
		if rest < 0 || rest > o.most || rest > 0 && o.doubts == 0 {
			k.t.Errorf("a request was billed %d, the ledger has %d and declares a doubt of up to %d", credits[digest], o.charged, o.most)
		}
		k.declared += rest
	}
	for _, o := range ours {
		k.ledger += o.charged
		k.doubts += o.doubts
	}
	if k.billed != bill.Credits || k.billed != k.ledger+k.declared {
		k.t.Errorf("the bill is %d, the ledgers hold %d and declare a doubt of %d", bill.Credits, k.ledger, k.declared)
	}
}
