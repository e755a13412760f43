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

	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// purse is one seed's purchase: a list, a question and what it may cost, against
// a simulator that gives every entity as many events as can be asked for.
type purse struct {
	*rig
	dice  *rand.Rand
	verb  []string // the command, up to its flags
	list  string
	flags []string
	one   int64 // most credits of one entity, or page
	first int64 // and of finding out its id
	batch int64 // and of one batch
	most  int64 // and of the whole list
	size  int64 // of a batch
	paged bool

	limit atomic.Int64 // the bill must never be higher
	over  atomic.Int64 // a bill that was
}

const atOnce = 16

// unpaid are the faults after which nobody but the vendor knows the charge.
var unpaid = []string{"drop-after-charge", "500-billed", "empty-200", "reset-mid-body", "garbage-200", "charge-missing", "charge-null"}

func newPurse(t *testing.T, seed uint64) *purse {
	t.Helper()
	p := &purse{dice: rand.New(rand.NewPCG(seed, 1)), verb: []string{"run", "-"}}
	p.signals(t, seed)
	return p
}

// signals are what the purse buys.
func (p *purse) signals(t *testing.T, seed uint64) {
	t.Helper()
	var types []string
	var line func(i int) string
	if p.dice.IntN(4) == 0 {
		p.list, types = "email\n", []string{"companyChange", "promotion"}
		line = func(i int) string { return fmt.Sprintf("ada.sample%c@company-%d.example\n", 'a'+i%26, i) }
	} else {
		p.list, types = "domain\n", []string{"surgeInHiring", "headcountIncrease3m", "websiteTrafficDecrease", "riskNews", "peopleNews", "itSpendIncrease"}
		line = func(i int) string { return fmt.Sprintf("company-%d.example\n", i) }
	}
	p.dice.Shuffle(len(types), func(i, j int) { types[i], types[j] = types[j], types[i] })
	types = types[:1+p.dice.IntN(len(types))]
	results := 1 + p.dice.IntN(12)
	lines := 1 + p.dice.IntN(min(300, 3000/len(types)/results)) // answers stay small enough for a thousand seeds
	for i := range lines {
		p.list += line(i)
	}
	size := 1 + p.dice.IntN(min(100, max(lines/4, 2)))
	price := 1 + p.dice.Int64N(7)
	p.one, p.size = price*int64(len(types)*results), int64(size)
	p.batch, p.most = p.one*int64(min(size, lines)), p.one*int64(lines)

	p.open(t, simulator.Config{Seed: seed, EventPrice: price})
	p.flags = append(p.flags, "--signals", strings.Join(types, ","), "--max-results", fmt.Sprint(results), "--batch-size", fmt.Sprint(size),
		"--since", "20d", // few partitions: files take more time here than money
		"--concurrency", fmt.Sprint(atOnce), "--timeout", "5s")
}

// open begins the account: it gives as much as can be asked for, at times loses
// answers, and now and then has little in it.
func (p *purse) open(t *testing.T, cfg simulator.Config) {
	t.Helper()
	cfg.Credits, cfg.Switches, cfg.Log = 1<<40, simulator.Switches{Events: "most"}, p.look
	if p.dice.IntN(3) == 0 {
		cfg.Faults = []simulator.Fault{{Kind: unpaid[p.dice.IntN(len(unpaid))], Rate: float64(1+p.dice.IntN(15)) / 100}}
	}
	if p.dice.IntN(10) == 0 {
		cfg.Credits = 1 + p.dice.Int64N(p.most) // the account itself runs out
	}
	p.rig = newRig(t, cfg)
}

// look is called by the simulator whenever a request has ended, so after every
// charge.
func (p *purse) look(simulator.Entry) {
	if b := p.sim.Bill().Credits; b > p.limit.Load() {
		p.over.CompareAndSwap(0, b)
	}
}

// budget draws one: often too small, at times for less than one entity or for
// more than all.
func (p *purse) budget() int64 {
	if p.dice.IntN(8) == 0 {
		return 1 + p.dice.Int64N(2*p.one)
	}
	return 1 + p.dice.Int64N(p.most+p.most/8+1)
}

// spend runs the list with a budget, at times in two processes of which the
// first one dies. It dies before it has staged anything: else the second one
// publishes the run, and begins another, with a budget of its own.
func (p *purse) spend(budget int64) (v visit, died bool) {
	p.t.Helper()
	before := p.sim.Bill().Credits
	p.limit.Store(before + budget)
	flags := append([]string{"--max-credits", fmt.Sprint(budget)}, p.flags...)
	if p.dice.IntN(4) == 0 {
		var seen atomic.Int64
		var staging atomic.Bool
		within := int64(30)
		if p.paged {
			within = 8
		}
		n := 2 + p.dice.Int64N(within)
		dieAt(p.t, func(op, path string) bool {
			if strings.HasSuffix(path, ".parquet.tmp") {
				staging.Store(true)
			}
			return !staging.Load() && op == "sync" && strings.HasSuffix(path, ".journal") && seen.Add(1) == n
		})
		first := p.carry(context.Background(), p.verb, p.list, flags...)
		revive()
		died = first.code == exitStorage
		if !died {
			return first, false
		}
	}
	v = p.carry(context.Background(), p.verb, p.list, flags...)
	v.credits = p.sim.Bill().Credits - before
	return v, died
}

// fate is what a run with a budget came to.
type fate string

// check holds a run against its budget.
func (p *purse) check(v visit, budget int64) fate {
	p.t.Helper()
	if b := p.over.Load(); b != 0 {
		p.t.Errorf("the bill came to %d, want at most %d at any moment", b, p.limit.Load())
	}
	if v.credits > budget {
		p.t.Errorf("billed %d with a budget of %d", v.credits, budget)
	}
	m := p.manifest
	if m == nil {
		p.t.Fatalf("exit %d and no manifest: %s", v.code, v.stderr)
	}
	spent := m.Credits.Charged + m.Credits.UnknownCeiling + m.Credits.AmbiguousCeiling
	if spent > budget {
		p.t.Errorf("ledger %d + unknown %d + in doubt %d = %d with a budget of %d",
			m.Credits.Charged, m.Credits.UnknownCeiling, m.Credits.AmbiguousCeiling, spent, budget)
	}
	if v.credits > spent || v.credits < m.Credits.Charged {
		p.t.Errorf("billed %d, the manifest brackets it by %d and %d", v.credits, m.Credits.Charged, spent)
	}
	by := m.Accounts.ByStatus
	deferred := int64(0)
	for _, line := range p.lines() {
		if line["status"] == string(schema.Deferred) {
			deferred++
		}
	}
	if deferred != by[schema.Deferred] {
		p.t.Errorf("the accounts table has %d lines deferred, the manifest %d", deferred, by[schema.Deferred])
	}
	stop := m.Run.Stop
	if stop == nil {
		if deferred != 0 || v.code != exitComplete && v.code != exitHeld {
			p.t.Errorf("exit %d with %d lines deferred and no reason to stop: %s", v.code, deferred, v.stdout)
		}
		return "all asked"
	}
	code := exitDeferred
	if by[schema.Held] > 0 || m.Credits.AmbiguousCalls > 0 {
		code = exitHeld // a person should look first
	}
	if v.code != code || deferred == 0 {
		p.t.Errorf("stopped (%s): exit %d with %d lines deferred; want %d and some", stop.Kind, v.code, deferred, code)
	}
	if stop.Kind != pipeline.StopBudget {
		return fate("stopped: " + stop.Kind)
	}
	// Nothing is in flight any more: what is left does not pay for one entity,
	// let alone a batch.
	if left := budget - spent; left >= p.one || left >= p.batch {
		p.t.Errorf("stopped with %d of %d credits left, want less than the %d of one entity", left, budget, p.one)
	}
	says := []string{fmt.Sprintf("--max-credits %d or more", p.one)}
	if !p.paged {
		says = append(says, fmt.Sprintf("%d lines that are left can cost %d at the most", deferred, p.needs(deferred)))
	}
	if p.first > 0 && strings.Contains(stop.Advice, "with a higher --max-credits;") {
		says = says[1:] // it stopped while it searched
	}
	for _, want := range says {
		if !strings.Contains(stop.Advice, want) || !strings.Contains(v.stdout, want) {
			p.t.Errorf("the manifest advises %q and the summary says\n%s\nwant %q in both", stop.Advice, v.stdout, want)
		}
	}
	return "stopped: budget"
}

// needs is what so many lines can cost: each its signals, and a search for every
// ten, which is the fewest that a call may be about when there are more.
func (p *purse) needs(lines int64) int64 {
	together := max(1, min(p.size, 10))
	return lines*p.one + (lines+together-1)/together*p.first
}

// newPurseV3 buys signals by ids that are searched first: both share the budget.
func newPurseV3(t *testing.T, seed uint64) *purse {
	t.Helper()
	p := &purse{dice: rand.New(rand.NewPCG(seed, 2)), verb: []string{"run", "-"}, first: 1, flags: []string{"--api", "v3"}}
	p.signals(t, seed)
	return p
}

// newPurseOf buys something else than signals.
func newPurseOf(t *testing.T, seed uint64) *purse {
	t.Helper()
	p := &purse{dice: rand.New(rand.NewPCG(seed, 3)), one: 1, flags: []string{"--timeout", "5s"}}
	lines := 1 + p.dice.IntN(300)
	size := 1 + p.dice.IntN(50)
	switch p.dice.IntN(4) {
	case 0, 1:
		p.verb, p.list, p.paged = []string{lookalikesName, "--seeds", "-"}, seedList([]schema.Object{schema.Contact, schema.Company}[p.dice.IntN(2)], seed), true
		p.flags = append(p.flags, "--limit", fmt.Sprint(lines), "--page-size", fmt.Sprint(size))
	case 2:
		p.verb, p.paged = []string{visitorsName, "--domain", "shop.example"}, true
		p.flags = append(p.flags, "--limit", fmt.Sprint(lines), "--page-size", fmt.Sprint(size))
	default:
		p.verb, p.list = []string{scoreName, "-"}, domains(lines)
		p.flags = append(p.flags, "--batch-size", fmt.Sprint(size), "--concurrency", fmt.Sprint(atOnce))
	}
	p.batch, p.most = p.one*int64(size), max(int64(lines), p.one)
	p.open(t, simulator.Config{Seed: seed})
	return p
}

// TestBudgetV3 is TestBudget for signals by ids that are searched first, and
// TestBudgetOf for everything else that is sold.
func TestBudgetV3(t *testing.T) { spendAll(t, 25, 300, newPurseV3) }

func TestBudgetOf(t *testing.T) { spendAll(t, 25, 300, newPurseOf) }

// TestBudget: whatever is asked, and however dear the answers are, the vendor's
// own bill never exceeds a run's budget, and a run that stops for its budget
// could not have asked about one entity more.
func TestBudget(t *testing.T) {
	spendAll(t, 30, 1000, newPurse)
}

// spendAll spends several budgets for each of as many purses.
func spendAll(t *testing.T, few, many uint64, open func(*testing.T, uint64) *purse) {
	t.Helper()
	seeds := few
	if full() {
		seeds = many
	}
	fates := map[fate]int{}
	runs, deaths, credits, doubts := 0, 0, int64(0), 0
	for seed := range seeds {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			p := open(t, seed)
			for range 1 + p.dice.IntN(3) {
				budget := p.budget()
				generation := int64(0)
				if p.manifest != nil {
					generation = p.manifest.Generation
				}
				v, died := p.spend(budget)
				runs++
				credits += v.credits
				if died {
					deaths++
				}
				if p.manifest != nil && p.manifest.Generation == generation {
					if v.requests != 0 || v.credits != 0 {
						t.Errorf("nothing was published, and %d requests were made for %d credits: %s", v.requests, v.credits, v.stderr)
					}
					fates["nothing left to do"]++
					continue
				}
				fates[p.check(v, budget)]++
				if p.paged && p.manifest.Credits.AmbiguousCalls > 0 { // nothing goes on behind it
					p.command(exitComplete, "held", []string{"retry", "accept-loss"}[p.dice.IntN(2)])
				}
				doubts += int(p.manifest.Credits.AmbiguousCalls + p.manifest.Credits.UnknownCalls)
			}
			p.checkRefusals()
			if full() || seed%4 == 0 {
				p.verify()
			}
		})
	}
	t.Logf("%d seeds, %d runs, of which %d died once and went on: %d credits, %d charges not known; %v", seeds, runs, deaths, credits, doubts, fates)
}

// checkRefusals: when the account has run out, no call is begun any more.
func (p *purse) checkRefusals() {
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
		if after > 2*atOnce {
			p.t.Errorf("%d calls after the account had run out, want none but those in flight", after)
			return
		}
	}
}

// verify holds the lake against all invariants.
func (p *purse) verify() {
	p.t.Helper()
	var output bytes.Buffer
	if code := execute(context.Background(), []string{"siglake", "verify", "--lake", filepath.Clean(p.lake)}, nil, &output, &output); code != exitComplete {
		p.t.Errorf("verify: exit %d\n%s", code, output.String())
	}
}
