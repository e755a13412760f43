package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// budgetCase is one seed's purchase: a list, a question and what it may cost, against
// a simulator that gives every entity as many events as can be asked for.
type budgetCase struct {
	*rig
	rng       *rand.Rand
	command   []string // the command, up to its flags
	list      string
	flags     []string
	entityMax int64 // most credits of one entity, or page
	searchMax int64 // and of finding out its id
	batchMax  int64 // and of one batch
	listMax   int64 // and of the whole list
	batchSize int64 // of a batch
	paged     bool

	limit   atomic.Int64 // the bill must never be higher
	overrun atomic.Int64 // a bill that was
}

const maxInFlight = 16

// indeterminateFaults are the faults after which only the vendor knows the charge.
var indeterminateFaults = []string{"drop-after-charge", "500-billed", "empty-200", "reset-mid-body", "garbage-200", "charge-missing", "charge-null"}

func newBudgetCase(t *testing.T, seed uint64) *budgetCase {
	t.Helper()
	p := &budgetCase{rng: rand.New(rand.NewPCG(seed, 1)), command: []string{"run", "-"}}
	p.drawSignals(t, seed)
	return p
}

// drawSignals are what the purse buys.
func (p *budgetCase) drawSignals(t *testing.T, seed uint64) {
	t.Helper()
	var types []string
	var line func(i int) string
	if p.rng.IntN(4) == 0 {
		p.list, types = "email\n", []string{"companyChange", "promotion"}
		line = func(i int) string { return fmt.Sprintf("ada.sample%c@company-%d.example\n", 'a'+i%26, i) }
	} else {
		p.list, types = "domain\n", []string{"surgeInHiring", "headcountIncrease3m", "websiteTrafficDecrease", "riskNews", "peopleNews", "itSpendIncrease"}
		line = func(i int) string { return fmt.Sprintf("company-%d.example\n", i) }
	}
	p.rng.Shuffle(len(types), func(i, j int) { types[i], types[j] = types[j], types[i] })
	types = types[:1+p.rng.IntN(len(types))]
	results := 1 + p.rng.IntN(12)
	lines := 1 + p.rng.IntN(min(300, 3000/len(types)/results)) // answers stay small enough for a thousand seeds
	for i := range lines {
		p.list += line(i)
	}
	size := 1 + p.rng.IntN(min(100, max(lines/4, 2)))
	price := 1 + p.rng.Int64N(7)
	p.entityMax, p.batchSize = price*int64(len(types)*results), int64(size)
	p.batchMax, p.listMax = p.entityMax*int64(min(size, lines)), p.entityMax*int64(lines)

	p.startSimulator(t, simulator.Config{Seed: seed, EventPrice: price})
	p.flags = append(p.flags, "--signals", strings.Join(types, ","), "--max-results", fmt.Sprint(results), "--batch-size", fmt.Sprint(size),
		"--since", "20d", // few partitions: files take more time here than money
		"--concurrency", fmt.Sprint(maxInFlight), "--timeout", "5s")
}

// startSimulator begins the account: it gives as much as can be asked for, at times loses
// answers, and now and then has little in it.
func (p *budgetCase) startSimulator(t *testing.T, cfg simulator.Config) {
	t.Helper()
	cfg.Credits, cfg.Switches, cfg.Log = 1<<40, simulator.Switches{Events: "most"}, p.watchBill
	if p.rng.IntN(3) == 0 {
		cfg.Faults = []simulator.Fault{{Kind: indeterminateFaults[p.rng.IntN(len(indeterminateFaults))], Rate: float64(1+p.rng.IntN(15)) / 100}}
	}
	if p.rng.IntN(10) == 0 {
		cfg.Credits = 1 + p.rng.Int64N(p.listMax) // the account itself runs out
	}
	p.rig = newRig(t, cfg)
}

// watchBill is called by the simulator whenever a request has ended, so after every
// charge.
func (p *budgetCase) watchBill(simulator.Entry) {
	if b := p.sim.Bill().Credits; b > p.limit.Load() {
		p.overrun.CompareAndSwap(0, b)
	}
}

// drawBudget draws one: often too small, at times for less than one entity or for
// more than all.
func (p *budgetCase) drawBudget() int64 {
	if p.rng.IntN(8) == 0 {
		return 1 + p.rng.Int64N(2*p.entityMax)
	}
	return 1 + p.rng.Int64N(p.listMax+p.listMax/8+1)
}

// runWithBudget runs the list with a budget, at times in two processes of which the
// first one dies. It dies before it has staged anything: else the second one
// publishes the run, and begins another, with a budget of its own.
func (p *budgetCase) runWithBudget(budget int64) (v runResult, died bool) {
	p.t.Helper()
	before := p.sim.Bill().Credits
	p.limit.Store(before + budget)
	flags := append([]string{"--max-credits", fmt.Sprint(budget)}, p.flags...)
	if p.rng.IntN(4) == 0 {
		var seen atomic.Int64
		var staging atomic.Bool
		within := int64(30)
		if p.paged {
			within = 8
		}
		n := 2 + p.rng.Int64N(within)
		crashAt(p.t, func(op, path string) bool {
			if strings.HasSuffix(path, ".parquet.tmp") {
				staging.Store(true)
			}
			return !staging.Load() && op == "sync" && strings.HasSuffix(path, ".journal") && seen.Add(1) == n
		})
		first := p.exec(context.Background(), p.command, p.list, flags...)
		clearHook(p.t)
		died = first.code == exitStorage
		if !died {
			return first, false
		}
	}
	v = p.exec(context.Background(), p.command, p.list, flags...)
	v.credits = p.sim.Bill().Credits - before
	return v, died
}

// ending is what a run with a budget came to.
type ending string

// checkBudget holds a run against its budget.
func (p *budgetCase) checkBudget(v runResult, budget int64) ending {
	p.t.Helper()
	if b := p.overrun.Load(); b != 0 {
		p.t.Errorf("the bill came to %d, want at most %d at any moment", b, p.limit.Load())
	}
	if v.credits > budget {
		p.t.Errorf("billed %d with a budget of %d", v.credits, budget)
	}
	m := p.manifest
	if m == nil {
		p.t.Fatalf("exit %d and no manifest: %s", v.code, v.stderr)
	}
	spent := m.Credits.Charged + m.Credits.UnknownCeiling + m.Credits.InDoubtCeiling
	if spent > budget {
		p.t.Errorf("ledger %d + unknown %d + in doubt %d = %d with a budget of %d",
			m.Credits.Charged, m.Credits.UnknownCeiling, m.Credits.InDoubtCeiling, spent, budget)
	}
	if v.credits > spent || v.credits < m.Credits.Charged {
		p.t.Errorf("billed %d, the manifest brackets it by %d and %d", v.credits, m.Credits.Charged, spent)
	}
	by := m.Accounts.ByStatus
	deferred := int64(0)
	for _, line := range p.accountRows() {
		if line["status"] == string(schema.Deferred) {
			deferred++
		}
	}
	if deferred != by[schema.Deferred] {
		p.t.Errorf("the accounts table has %d lines deferred, the manifest %d", deferred, by[schema.Deferred])
	}
	stop := m.Run.Stop
	if stop == nil {
		if deferred != 0 || v.code != exitComplete && v.code != exitInDoubt {
			p.t.Errorf("exit %d with %d lines deferred and no reason to stop: %s", v.code, deferred, v.stdout)
		}
		return "all asked"
	}
	code := exitDeferred
	if by[schema.InDoubt] > 0 || m.Credits.InDoubtCalls > 0 {
		code = exitInDoubt // a person should look first
	}
	if v.code != code || deferred == 0 {
		p.t.Errorf("stopped (%s): exit %d with %d lines deferred; want %d and some", stop.Kind, v.code, deferred, code)
	}
	if stop.Kind != pipeline.StopBudget {
		return ending("stopped: " + stop.Kind)
	}
	// Nothing is in flight any more: what is left does not pay for one entity,
	// let alone a batch.
	if left := budget - spent; left >= p.entityMax || left >= p.batchMax {
		p.t.Errorf("stopped with %d of %d credits left, want less than the %d of one entity", left, budget, p.entityMax)
	}
	says := []string{fmt.Sprintf("--max-credits %d or more", p.entityMax)}
	if !p.paged {
		remaining := fmt.Sprintf("remaining %d lines", deferred)
		if deferred == 1 {
			remaining = "remaining line"
		}
		says = append(says, fmt.Sprintf("%s can cost at most %d", remaining, p.maxCost(deferred)))
	}
	searching := p.searchMax > 0 && strings.Contains(stop.Advice, "with a higher --max-credits;")
	if cap := fmt.Sprintf("run the same command again with --max-credits %d:", p.maxCost(deferred)); !p.paged && !searching && !strings.HasPrefix(stop.Advice, cap) {
		p.t.Errorf("the manifest advises %q, want the cap that suffices: %q", stop.Advice, cap)
	}
	if searching {
		says = says[1:] // it stopped while it searched
	}
	for _, want := range says {
		if !strings.Contains(stop.Advice, want) || !strings.Contains(v.stdout, want) {
			p.t.Errorf("the manifest advises %q and the summary says\n%s\nwant %q in both", stop.Advice, v.stdout, want)
		}
	}
	return "stopped: budget"
}

// maxCost is what so many lines can cost: each its signals, and a search for every
// ten, which is the fewest that a call may be about when there are more.
func (p *budgetCase) maxCost(lines int64) int64 {
	together := max(1, min(p.batchSize, 10))
	return lines*p.entityMax + (lines+together-1)/together*p.searchMax
}

// newBudgetCaseV3 buys signals by ids that are searched first: both share the budget.
func newBudgetCaseV3(t *testing.T, seed uint64) *budgetCase {
	t.Helper()
	p := &budgetCase{rng: rand.New(rand.NewPCG(seed, 2)), command: []string{"run", "-"}, searchMax: 1, flags: []string{"--api", "v3"}}
	p.drawSignals(t, seed)
	return p
}

// newProductBudgetCase buys something else than signals.
func newProductBudgetCase(t *testing.T, seed uint64) *budgetCase {
	t.Helper()
	p := &budgetCase{rng: rand.New(rand.NewPCG(seed, 3)), entityMax: 1, flags: []string{"--timeout", "5s"}}
	lines := 1 + p.rng.IntN(300)
	size := 1 + p.rng.IntN(50)
	switch p.rng.IntN(4) {
	case 0, 1:
		p.command, p.list, p.paged = []string{app.LookalikesName, "--seeds", "-"}, seedList([]schema.Object{schema.Contact, schema.Company}[p.rng.IntN(2)], seed), true
		p.flags = append(p.flags, "--limit", fmt.Sprint(lines), "--page-size", fmt.Sprint(size))
	case 2:
		p.command, p.paged = []string{app.VisitorsName, "--domain", "shop.example"}, true
		p.flags = append(p.flags, "--limit", fmt.Sprint(lines), "--page-size", fmt.Sprint(size))
	default:
		p.command, p.list = []string{app.ScoreName, "-"}, domainLines(lines)
		p.flags = append(p.flags, "--batch-size", fmt.Sprint(size), "--concurrency", fmt.Sprint(maxInFlight))
	}
	p.batchMax, p.listMax = p.entityMax*int64(size), max(int64(lines), p.entityMax)
	p.startSimulator(t, simulator.Config{Seed: seed})
	return p
}

// TestBudgetV3 is TestBudget for signals by ids that are searched first, and
// TestBudgetOf for everything else that is sold.
func TestBudgetV3(t *testing.T) { runBudgetCases(t, proof.Size(2, 10, 300), newBudgetCaseV3) }

func TestBudgetOf(t *testing.T) { runBudgetCases(t, proof.Size(3, 10, 300), newProductBudgetCase) }

// TestBudget: whatever is asked, and however dear the answers are, the vendor's
// own bill never exceeds a run's budget, and a run that stops for its budget
// could not have asked about one entity more.
func TestBudget(t *testing.T) {
	t.Parallel()
	runBudgetCases(t, proof.Size(3, 12, 1000), newBudgetCase)
}

// runBudgetCases spends several budgets for each of as many purses.
func runBudgetCases(t *testing.T, seeds int, newCase func(*testing.T, uint64) *budgetCase) {
	t.Helper()
	endings := map[ending]int{}
	runs, deaths, credits, doubts := 0, 0, int64(0), 0
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			p := newCase(t, seed)
			for range 1 + p.rng.IntN(3) {
				budget := p.drawBudget()
				generation := int64(0)
				if p.manifest != nil {
					generation = p.manifest.Generation
				}
				v, died := p.runWithBudget(budget)
				runs++
				credits += v.credits
				if died {
					deaths++
				}
				if p.manifest != nil && p.manifest.Generation == generation {
					if v.requests != 0 || v.credits != 0 {
						t.Errorf("nothing was published, and %d requests were made for %d credits: %s", v.requests, v.credits, v.stderr)
					}
					endings["nothing left to do"]++
					continue
				}
				endings[p.checkBudget(v, budget)]++
				if p.paged && p.manifest.Credits.InDoubtCalls > 0 { // no page after it is requested
					p.mustExit(exitComplete, "held", []string{"retry", "accept-loss"}[p.rng.IntN(2)])
				}
				doubts += int(p.manifest.Credits.InDoubtCalls + p.manifest.Credits.UnknownCalls)
			}
			p.checkRefusals()
			if proof.IsFull() || seed%4 == 0 {
				p.verifyLake()
			}
		})
	}
	t.Logf("%d seeds, %d runs, of which %d died once and went on: %d credits, %d charges not known; %v", seeds, runs, deaths, credits, doubts, endings)
}

// checkRefusals: when the account has run out, no call is begun any more.
func (p *budgetCase) checkRefusals() {
	p.t.Helper()
	after := -1
	for _, e := range p.sim.Bill().Entries {
		switch {
		case e.Status == http.StatusPaymentRequired && after < 0:
			after = 0
		case e.Method == http.MethodPost && after >= 0:
			after++
		case after >= 0:
			after = -1 // the next run, which may try once more
		}
		if after > 2*maxInFlight {
			p.t.Errorf("%d calls after the account had run out, want none but those in flight", after)
			return
		}
	}
}

// VerifyLake holds the lake against all invariants.
func (p *budgetCase) verifyLake() {
	p.t.Helper()
	var output bytes.Buffer
	if code := envFor(p.t).execute(context.Background(), []string{"siglake", "verify", "--lake", filepath.Clean(p.lake)}, nil, &output, &output); code != exitComplete {
		p.t.Errorf("verify: exit %d\n%s", code, output.String())
	}
}

// TestResumedWithLowerCap: a run that is resumed with a cap below what it has cost asks nothing more.
// verify judges the calls by the cap of the process that made them, and the summary counts the calls a
// second of its own process only.
func TestResumedWithLowerCap(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{Switches: simulator.Switches{Events: "most"}})
	list := domainLines(300)
	crashAt(t, func(op, _ string) bool { return op == "sync" && r.billedCalls() == 2 })
	r.rerun(list, append([]string{"--concurrency", "1", "--batch-size", "50", "--max-credits", "100000"}, baseFlags...)...)
	clearHook(t)
	v := r.exec(t.Context(), []string{"resume", "-", "--max-credits", "1"}, list)
	if m := r.manifest; v.credits != 0 || m == nil || m.Run.Stop == nil || m.Run.Stop.Kind != pipeline.StopBudget || m.Calls.Total == 0 || m.Calls.PerSecond != 0 {
		t.Fatalf("exit %d, %d credits, %+v; want no further call, and none a second: %s", v.code, v.credits, m, v.stderr)
	}
	if strings.Contains(v.stdout, "charged in ") || strings.Contains(v.stdout, "requested in ") {
		t.Errorf("the summary says in what time calls may have been charged:\n%s", v.stdout)
	}
	if code, stdout, stderr := says(t, "verify", "--lake", r.lake); code != exitComplete {
		t.Errorf("verify: exit %d: %s%s", code, stdout, stderr)
	}
}
