package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/inbox"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// TestKillPushed kills nightly runs that publish the inbox before they ask: at operations on files, around requests, and
// at random instants. Deliveries wait in the inbox, some of them twice, and some entities have no subscription. In the
// end each delivery is published once, nothing was bought twice, the bill is the ledger's, and the journal alone gives
// the same rows.
func TestKillPushed(t *testing.T) {
	t.Parallel()
	parts, kills := proof.Size(1, 2, 4), proof.Size(3, 20, 90) // kills of each part
	for part := range parts {
		t.Run(fmt.Sprint("part ", part), func(t *testing.T) {
			t.Parallel()
			counts := widenCounts{}
			for seed := uint64(1000*part + 1); counts["kills"] < kills && !t.Failed(); seed++ {
				if newKilledPushes(t, seed, counts).play(proof.Size(3, 10, 12)); t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
			t.Log(counts)
		})
	}
}

// killedPushes is a lake that polls and is pushed, and whose runs are killed.
type killedPushes struct {
	*world
	rng    *rand.Rand
	counts widenCounts
	vendor *killingVendor
	to     *pushedTo
	args   []string
}

func newKilledPushes(t *testing.T, seed uint64, counts widenCounts) *killedPushes {
	t.Helper()
	k := &killedPushes{rng: rand.New(rand.NewPCG(seed, 29)), counts: counts, to: &pushedTo{t: t}}
	k.vendor = newKillingVendor(t, simulator.Config{Seed: seed, Keys: []string{canary}, Transport: k.to})
	k.vendor.ahead.Store(int64(time.Until(time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC))))
	env := ownEnv(t)
	env.set(app.KeyVariable, canary)
	env.set("XDG_STATE_HOME", t.TempDir())
	env.Now = k.vendor.now
	k.world = &world{t: t, url: k.vendor.url, lake: filepath.Join(t.TempDir(), "lake"), readBill: k.vendor.sim.Bill}
	k.to.lake, k.to.now = k.lake, k.vendor.now
	list := filepath.Join(t.TempDir(), "list.csv")
	if err := os.WriteFile(list, []byte("domain\n"+domainLines(proof.Size(40, 90, 120))), 0o600); err != nil {
		t.Fatal(err)
	}
	k.args = []string{"run", list, "--lake", k.lake, "--base-url", k.url, "--plan", "unlimited", "--rate", "0", "--timeout", "5s", "--batch-size", "10",
		"--api", []string{"v2", "v3"}[seed%2], "--signals", pushedSignals, "--nightly-types", pushedSignals, "--since", "last", "--backfill", "60d", "--max-results", "100", "--quiet"}
	if seed%3 > 0 { // else the lines of calls in doubt are held
		k.args = append(k.args, "--in-doubt", "probe")
	}
	counts["lakes"]++
	return k
}

// pushedSignals are the signal types of those runs.
const pushedSignals = "growth,news,risk"

// play plays nights. The last one is not killed.
func (k *killedPushes) play(nights int) {
	k.t.Helper()
	k.night(0)
	k.subscribe()
	for night := range nights {
		k.vendor.ahead.Add(int64(24 * time.Hour))
		k.deliver()
		kills := k.rng.IntN(5)
		if night == nights-1 {
			kills = 0
		}
		if k.night(kills); k.t.Failed() {
			return
		}
	}
	k.check()
}

// night starts the run of a night until it ends, or gives the night up.
func (k *killedPushes) night(kills int) {
	k.t.Helper()
	k.counts["nights"]++
	for range 20 {
		d := new(death)
		if kills > 0 {
			d = newDeath(k.rng, []int{60, 400}[k.rng.IntN(2)], 12)
		}
		k.vendor.ahead.Add(int64(time.Minute)) // the account's usage is answered five times a minute
		code, _, stderr := k.vendor.live(d, k.args...)
		switch code {
		case exitComplete, exitInDoubt:
			return
		case -1:
			kills--
			k.counts["kills"]++
			if k.rng.IntN(3) == 0 {
				k.repeatDelivery()
			}
			if kills == 0 && k.rng.IntN(3) == 0 {
				k.counts["nights given up"]++
				return
			}
		default:
			k.t.Fatalf("exit %d: %s", code, stderr)
		}
	}
	k.t.Fatal("the night does not end")
}

// subscribe subscribes to three of four of the entities that the lake knows.
func (k *killedPushes) subscribe() {
	k.t.Helper()
	var items []string
	lake := &rig{t: k.t, lake: k.lake}
	lake.manifest = lake.readManifest()
	for i, row := range lake.accountRows() {
		if id, ok := row["entity_id"].(string); ok && i%4 > 0 {
			items = append(items, fmt.Sprintf(`{"entityId":%q}`, id))
		}
	}
	types := `"` + strings.Join(schemaSignals(pushedSignals), `","`) + `"`
	k.vendor.manage(http.MethodPost, "/api/account/secret/regenerate", `{}`)
	for block := range slices.Chunk(items, 25) {
		k.vendor.manage(http.MethodPost, "/api/subscriptions", fmt.Sprintf(`{"defaults":{"url":"https://hooks.example/in","entityType":"company","signalTypes":[%s]},"subscriptions":[%s]}`, types, strings.Join(block, ",")))
	}
}

// deliver receives what is due.
func (k *killedPushes) deliver() {
	k.t.Helper()
	var err error
	if k.to.inbox, err = inbox.Open(k.t.Context(), k.lake, inbox.Options{Now: k.to.now}); err != nil {
		k.t.Fatal(err)
	}
	defer k.to.inbox.Close()
	if _, err := k.vendor.sim.Webhooks.Deliver(k.t.Context()); err != nil {
		k.t.Fatal(err)
	}
}

// repeatDelivery receives a copy of a delivery that the inbox has forgotten.
func (k *killedPushes) repeatDelivery() {
	k.t.Helper()
	if all := k.stored(); len(all) > 0 {
		i, err := inbox.Open(k.t.Context(), k.lake, inbox.Options{Now: func() time.Time { return k.vendor.now().Add(72 * time.Hour) }})
		if err != nil {
			k.t.Fatal(err)
		}
		defer i.Close()
		if fresh, err := i.Append(k.t.Context(), &all[k.rng.IntN(len(all))]); err != nil || !fresh {
			k.t.Fatalf("%v, %v", fresh, err)
		}
		k.counts["copies received"]++
	}
}

// stored are the records of the inbox.
func (k *killedPushes) stored() (all []inbox.Delivery) {
	k.t.Helper()
	r, err := inbox.OpenReader(k.t.Context(), k.lake, inbox.Options{})
	if err != nil {
		k.t.Fatal(err)
	}
	defer r.Close()
	end, err := r.End(k.t.Context())
	if err != nil || end == "" {
		return nil
	}
	for d, err := range r.Deliveries(k.t.Context(), "", end) {
		if err != nil {
			k.t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

// check compares inbox, lake, journal and bill.
func (k *killedPushes) check() {
	k.t.Helper()
	want, got := map[string]int{}, map[string]int{}
	for _, d := range k.stored() {
		want[d.ID] = 1
	}
	bill := k.vendor.sim.Bill()
	var charged, pushed, polled int64
	for i, m := range (&rig{t: k.t, lake: k.lake}).generations() {
		at := &rig{t: k.t, lake: k.lake, manifest: m}
		charged += m.Credits.Charged
		if sum := at.sumColumn(schema.Credits, "credits"); sum != m.Credits.Charged {
			k.t.Errorf("run %s: %d credits in the table, the manifest has %d", m.Run.ID, sum, m.Credits.Charged)
		}
		switch {
		case m.Run.Inbox != nil:
			pushed += m.Credits.Charged
			for _, row := range at.table(schema.Calls) {
				got[row["call_id"].(string)]++
			}
		case i > 0:
			polled += m.Credits.Charged
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		k.t.Errorf("published deliveries, and how often (-received +published):\n%s", diff)
	}
	if pushed != bill.Webhooks || len(want) == 0 {
		k.t.Errorf("the lake has %d credits for %d deliveries, the bill %d", pushed, len(want), bill.Webhooks)
	}
	doubts := k.reconcile()
	if doubts == 0 && charged != bill.Credits {
		k.t.Errorf("the lake has %d credits, the bill %d", charged, bill.Credits)
	}
	k.checkBought()
	events := eventsOf(k.t, k.lake)
	verifyLake(k.t, k.lake)
	rebuilt := filepath.Join(k.t.TempDir(), "rebuilt")
	if code, _, stderr := runProgram(k.t, "rebuild", "--lake", k.lake, "--into", rebuilt); code != exitComplete {
		k.t.Fatalf("rebuild: exit %d: %s", code, stderr)
	}
	if diff := cmp.Diff(events, eventsOf(k.t, rebuilt)); diff != "" {
		k.t.Errorf("rebuilt events (-before +after):\n%s", diff)
	}
	k.counts["deliveries"] += len(want)
	k.counts["credits of deliveries"] += int(pushed)
	k.counts["credits of polling after the first night"] += int(polled)
	k.counts["calls in doubt"] += doubts
	k.counts["credits"] += int(charged)
}

// bought are the deliveries of an event, and the answers to polls that have it.
type bought struct{ delivered, polled, released, probes int }

// checkBought checks that no event was paid for twice: unless a call in doubt about its line was released, or a night
// asked from its day on to learn whether windows contain their first day. Its rows are as many revisions.
func (k *killedPushes) checkBought() {
	k.t.Helper()
	j, events, released := k.openJournal(), map[string]*bought{}, map[string]bool{}
	walk := func(visit func(*ledger.Run, *pipeline.AnsweredBatch)) {
		for _, run := range j.Runs() {
			for a, err := range j.Reader().Answers(k.t.Context(), run) {
				if err != nil {
					k.t.Fatal(err)
				}
				visit(run, &a)
			}
		}
	}
	walk(func(run *ledger.Run, a *pipeline.AnsweredBatch) {
		for _, c := range run.Calls {
			if c.ID == a.Reply.Calls[0].ID && (c.Decision == ledger.NotCharged || c.Decision == ledger.Retry) {
				for _, item := range a.Batch.Items {
					released[item.Account.Key] = true
				}
			}
		}
	})
	walk(func(run *ledger.Run, a *pipeline.AnsweredBatch) {
		if a.Batch.Query.Service() == pipeline.Search {
			return
		}
		for i, item := range a.Reply.Items {
			for _, e := range item.Events {
				var raw struct{ SignalID string }
				if err := json.Unmarshal(e.Raw, &raw); err != nil || raw.SignalID == "" {
					k.t.Fatalf("an event without an id: %s", e.Raw)
				}
				b := events[e.Type+" "+raw.SignalID]
				if b == nil {
					b = new(bought)
					events[e.Type+" "+raw.SignalID] = b
				}
				day, _ := pipeline.EventDay(&e)
				switch {
				case run.Inbox != nil:
					b.delivered++
				case released[a.Batch.Items[i].Account.Key]:
					b.released++
				case ledger.Day(day) == ledger.DayOf(a.Batch.Query.Since):
					b.probes++
				default:
					b.polled++
				}
			}
		}
	})
	for id, b := range events {
		if b.delivered+b.polled > 1 {
			k.t.Errorf("the event %s was bought again: %+v", id, *b)
		}
		all := b.delivered + b.polled + b.released + b.probes
		k.counts["events"]++
		k.counts["events bought again after a release"] += min(b.released, all-1)
		k.counts["events bought again as probes"] += min(b.probes, all-1)
	}
	for uid, digests := range eventsOf(k.t, k.lake) {
		slices.Sort(digests)
		if n := len(digests); n != len(slices.Compact(digests)) {
			k.t.Errorf("event %s has %d rows, some of them equal", uid, n)
		}
	}
}
