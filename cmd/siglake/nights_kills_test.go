package main

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// TestKillNights kills the processes of two weeks of nights, which ask a list that changes every night
// from where the lake ends. No night is refused, no event is lost or sold twice, and the windows that
// each pair was asked for have no gap.
func TestKillNights(t *testing.T) {
	t.Parallel()
	parts, kills := proof.Size(1, 1, 6), proof.Size(1, 40, 50) // kills of each part
	for part := range parts {
		t.Run(fmt.Sprint("part ", part), func(t *testing.T) {
			t.Parallel()
			counts := widenCounts{}
			for seed := uint64(1000*part + 1); counts["kills"] < kills && !t.Failed(); seed++ {
				played := counts["lakes"]
				t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
					newKilledNights(t, seed, counts).play(proof.Size(3, 14, 14))
				})
				if played > 0 && counts["lakes"] == played {
					break // -run names the seeds before it
				}
			}
			t.Log(counts)
		})
	}
}

// killedNights is a lake, and the scheduler of the nights that buy into it.
type killedNights struct {
	*widening
	command []string // what the scheduler starts
	lists   []string // paths
	nightly bool     // whether every type is due every night
	round   *widenRound
	removed []string                  // domains that are on no list now
	sold    map[pair]map[string]*sale // by event, its last sale
	seen    int                       // entries of the bill that were checked
	lost    map[string]bool           // keys of lines of calls in doubt that were accepted as lost
	again   map[string]bool           // keys of lines of calls in doubt that were released
	// The last day before each release of a call, by its name: the days after it ask again.
	released map[string]ledger.Day
	// Pairs that were asked tonight from the day of a known event, to learn whether windows contain their
	// first day; and whether an earlier night has learned that.
	probed  map[pair]bool
	learned bool
}

// nightTypes are the signal types of those nights: weekly and monthly ones.
const nightTypes = "news,growth"

func newKilledNights(t *testing.T, seed uint64, counts widenCounts) *killedNights {
	t.Helper()
	start := time.Until(time.Date(2026, 5, 6, 9, 0, 0, 0, time.UTC))
	n := &killedNights{widening: newWidening(t, seed, proof.Size(8, 40, 60), &dirStore{t.TempDir()}, start, counts), sold: map[pair]map[string]*sale{}, again: map[string]bool{}, lost: map[string]bool{}, released: map[string]ledger.Day{}}
	n.rng = rand.New(rand.NewPCG(seed, 14))
	n.nightly = seed%3 != 0
	n.round = &widenRound{question: question{api: []string{"v3", "v2"}[seed%2], signals: nightTypes}}
	n.counts["lakes"]++
	dir := t.TempDir()
	settings := [][2]string{
		{"lake", n.lake}, {"base-url", n.url}, {"plan", "unlimited"}, {"rate", "0"}, {"timeout", "5s"}, {"batch-size", "10"}, {"concurrency", "4"},
		{"api", n.round.api}, {"signals", nightTypes}, {"backfill", "40d"}, {"max-results", "25"}, {"max-credits", "unlimited"},
	}
	if n.nightly {
		settings = append(settings, [2]string{"nightly-types", nightTypes})
	}
	if seed%4 < 2 { // one list, by flags
		n.lists = []string{filepath.Join(dir, "crm.csv")}
		n.command = []string{"run", n.lists[0], "--unattended"}
		for _, s := range settings {
			n.command = append(n.command, "--"+s[0], s[1])
		}
		return n
	}
	n.lists = []string{filepath.Join(dir, "eu.csv"), filepath.Join(dir, "us.csv")}
	file := "version: 1\njobs:\n  nightly:\n    list: [eu.csv, us.csv]\n"
	for _, s := range settings {
		file += fmt.Sprintf("    %s: %s\n", s[0], s[1])
	}
	path := filepath.Join(dir, "siglake.yaml")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	n.command = []string{"job", "nightly", "--config", path}
	return n
}

// play plays nights. The last one is not killed.
func (n *killedNights) play(nights int) {
	n.t.Helper()
	for night := range nights {
		if night > 0 {
			n.decide()
			n.shop.ahead.Add(int64(24 * time.Hour))
		}
		n.counts["nights"]++
		n.changeList()
		n.playNight(night == nights-1)
		n.checkSales()
		if n.t.Failed() {
			return
		}
	}
	n.checkEnd()
}

// changeList adds, removes, edits and reorders lines.
func (n *killedNights) changeList() {
	n.t.Helper()
	some := 1 + len(n.domains)/12
	n.rng.Shuffle(len(n.domains), func(i, k int) { n.domains[i], n.domains[k] = n.domains[k], n.domains[i] })
	n.removed = append(n.removed, n.domains[:some]...)
	n.domains = append(n.domains[some:], n.newDomains(some)...)
	if back := n.rng.IntN(some + 1); back > 0 && len(n.removed) > 3*some {
		n.domains, n.removed = append(n.domains, n.removed[:back]...), n.removed[back:]
	}
	texts := make([]string, len(n.lists))
	for i := range texts {
		texts[i] = "account_id,domain,owner\n"
	}
	for _, d := range n.domains {
		spelt := []string{d, strings.ToUpper(d), "https://www." + d + "/", "www." + d}[n.rng.IntN(4)]
		texts[int(d[len(d)-len("0.example")])%len(texts)] += fmt.Sprintf("%s,%s,owner %d\n", d, spelt, n.rng.IntN(3))
	}
	for i, path := range n.lists {
		if err := os.WriteFile(path, []byte(texts[i]), 0o600); err != nil {
			n.t.Fatal(err)
		}
	}
}

// playNight starts the night's command until it ends, or gives the night up after a kill.
func (n *killedNights) playNight(last bool) {
	n.t.Helper()
	kills := n.rng.IntN(6)
	if last {
		kills = 0
	}
	for range 40 {
		code, text := n.live(kills > 0, n.command...)
		kills--
		switch code {
		case exitComplete, exitInDoubt:
			n.counts["nights complete"]++
			return
		case exitDeferred:
			if !last {
				n.counts["nights deferred"]++
				return
			}
		case -1:
			switch n.rng.IntN(6) {
			case 0, 1:
				n.counts["nights given up"]++
				return
			case 2:
				n.changeList()
			}
		default:
			n.t.Fatalf("a night is refused: exit %d: %s", code, text)
		}
	}
	n.t.Fatal("the night does not end")
}

// decide decides about calls in doubt on some days, or compacts.
func (n *killedNights) decide() {
	n.t.Helper()
	words := [][]string{nil, nil, nil, {"held", "retry"}, {"held", "accept-loss"}, {"compact", "--min-files", "2"}}[n.rng.IntN(6)]
	if words == nil {
		return
	}
	n.shop.settle()
	before := len(n.shop.sim.Bill().Entries)
	code, text := n.repeat(append(words, "--lake", n.lake)...)
	if code != exitComplete && code != exitInDoubt && (code != exitUsage || n.seen > 0) { // there may be no lake yet
		n.t.Errorf("%v: exit %d: %s", words, code, text)
	}
	if made := len(n.shop.sim.Bill().Entries) - before; made > 0 {
		n.t.Errorf("%v made %d requests", words, made)
	}
	n.counts["then "+strings.Join(words[:min(len(words), 2)], " ")]++
	n.noteReleases()
}

// noteReleases notes which calls in doubt were released today.
func (n *killedNights) noteReleases() {
	n.t.Helper()
	n.walkJournal(func(run *ledger.Run, _ *pipeline.AnsweredBatch) {
		for _, c := range run.Calls {
			name := run.ID + "/" + c.ID
			if _, noted := n.released[name]; !noted && (c.Decision == ledger.Retry || c.Decision == ledger.NotCharged) {
				n.released[name] = n.today()
			}
		}
	})
}

func (n *killedNights) today() ledger.Day {
	return ledger.DayOf(n.shop.now().UTC().Format(time.DateOnly))
}

// checkSales compares the bill since the last check with the journal and with all earlier sales: no
// event is sold twice, unless a call in doubt about its line was released, or it shows whether windows contain
// their first day.
func (n *killedNights) checkSales() {
	n.t.Helper()
	known, bill := n.attempts(), n.shop.sim.Bill().Entries
	n.checkBill(known, bill)
	for _, a := range known {
		for _, d := range a.doubts {
			for _, key := range d.keys {
				n.again[key] = n.again[key] || d.decision == ledger.Retry || d.decision == ledger.NotCharged
				n.lost[key] = n.lost[key] || d.decision == ledger.WriteOff
			}
		}
	}
	n.probed = map[pair]bool{}
	tonight := len(n.sales)
	for _, e := range bill[n.seen:] {
		if e.Request == "" || e.Credits == 0 {
			continue
		}
		s := n.newSale(n.round, e)
		for p, events := range s.events {
			n.checkSale(s, p, events)
		}
		n.sales = append(n.sales, s)
		n.counts["requests charged"]++
	}
	n.seen = len(bill)
	for _, s := range n.sales[tonight:] {
		at := cmp.Or(known[s.digest], new(attempts))
		n.learned = n.learned || len(at.charged) > 0 && len(at.doubts) == 0 && s.showsFirstDay()
	}
}

// showsFirstDay reports whether the window of a sale contains its first day.
func (s *sale) showsFirstDay() bool {
	for _, events := range s.events {
		if slices.ContainsFunc(events, func(e soldEvent) bool { return e.day > 0 && e.day == ledger.DayOf(s.start) }) {
			return true
		}
	}
	return false
}

// mostProbes is the number of pairs that a night asks from the day of a known event at most.
const mostProbes = 5

// negativeDays is the default of --resolve-misses: what a search did not find, or was accepted as lost, is
// searched again after so many days.
const negativeDays = 7

func (n *killedNights) checkSale(s *sale, p pair, events []soldEvent) {
	n.t.Helper()
	if n.sold[p] == nil {
		n.sold[p] = map[string]*sale{}
	}
	for _, e := range events {
		before := n.sold[p][e.id]
		n.sold[p][e.id] = s
		switch {
		case before == nil:
			n.counts["events sold"]++
		case n.again[p.key]:
			n.counts["events sold again after a release"]++
		case p.signal == "search" && n.lost[p.key] && ledger.DayOf(s.day) >= ledger.DayOf(before.day)+negativeDays:
			n.counts["searches repeated that were accepted as lost"]++
		case !n.learned && e.day > 0 && e.day == ledger.DayOf(s.start) && (n.probed[p] || len(n.probed) < mostProbes):
			n.probed[p] = true
			n.counts["events sold again as probes"]++
		default:
			n.t.Errorf("the event %s of %v was sold on %s since %s, and again on %s since %s", e.id, p, before.day, before.start, s.day, s.start)
		}
	}
}

// checkEnd checks the lake after the last night.
func (n *killedNights) checkEnd() {
	n.t.Helper()
	lake := &rig{t: n.t, lake: n.lake}
	lake.mustExit(exitComplete, "verify")
	var status app.LakeStatus
	lake.decode([]byte(lake.mustExit(exitComplete, "status", "--json")), &status)
	if status.Unfinished != "" || status.OpenLines > 0 {
		n.t.Errorf("status: unfinished %q, %d open lines; want none", status.Unfinished, status.OpenLines)
	}
	known := n.attempts()
	rows, _ := lake.signalRows("")
	n.checkRows(known, rows)
	n.checkWindows(lake)
	for _, a := range known {
		for _, d := range a.doubts {
			n.counts["calls in doubt: "+cmp.Or(string(d.decision), "undecided")]++
		}
	}
	if n.counts["then compact"] == 0 {
		for event, copies := range (&nights{rig: lake}).boughtEvents() {
			if copies > 1 {
				n.t.Errorf("a reader who globs finds %d rows of %s", copies, event)
			}
		}
	}
	into := filepath.Join(n.t.TempDir(), "rebuilt")
	lake.mustExit(exitComplete, "rebuild", "--into", into)
	was, is := lake.rowsOfRuns(), (&rig{t: n.t, lake: into}).rowsOfRuns()
	for row, count := range was {
		if is[row] != count {
			n.t.Errorf("%d rows of %s, %d rebuilt", count, row, is[row])
		}
	}
	if len(was) != len(is) || len(was) == 0 {
		n.t.Errorf("%d different rows, %d rebuilt", len(was), len(is))
	}
}

// rowsOfRuns counts the equal rows of events, lines and credits that the runs of a lake published.
func (r *rig) rowsOfRuns() map[string]int {
	r.t.Helper()
	rows := map[string]int{}
	for _, m := range r.generations() {
		if m.Run.Kind != "" {
			continue // a compaction
		}
		at := &rig{t: r.t, lake: r.lake, manifest: m}
		for _, table := range [][]map[string]any{at.events(), at.table(schema.Accounts), at.table(schema.Credits)} {
			for _, row := range table {
				rows[fmt.Sprint(row)]++
			}
		}
	}
	return rows
}

// window is a time for which a pair was asked.
type window struct{ since, until ledger.Day }

// checkWindows walks all calls of the journal. The windows for which a pair was answered, or which a
// call in doubt holds that was not released, follow one another without a gap, from the backfill of
// the first night to the last night that it is on the list.
func (n *killedNights) checkWindows(lake *rig) {
	n.t.Helper()
	asked := n.askedWindows()
	excused := map[string]bool{} // lines without an id
	for _, m := range lake.generations() {
		lake.manifest = m
		for _, row := range lake.accountRows() {
			switch s := schema.Status(row["status"].(string)); s {
			case schema.NotFound, schema.InDoubt, schema.WrittenOff:
				excused[row["account_key"].(string)] = true
			}
		}
	}
	for p, windows := range asked {
		slices.SortFunc(windows, func(a, b window) int { return cmp.Compare(a.since, b.since) })
		until := windows[0].until
		for _, w := range windows {
			if w.since > until+1 {
				n.t.Errorf("%v was not asked for the days from %s to %s: %v", p, until+1, w.since-1, windows)
			}
			until = max(until, w.until)
		}
		if first := slices.MinFunc(windows, func(a, b window) int { return cmp.Compare(a.until, b.until) }); windows[0].since+40 > first.until {
			n.t.Errorf("%v was never asked for the backfill: %v", p, windows)
		}
	}
	for _, d := range n.domains {
		for _, signal := range schemaSignals(nightTypes) {
			n.counts["pairs of the last list"]++
			windows, last := asked[pair{d, signal}], ledger.Day(0)
			for _, w := range windows {
				last = max(last, w.until)
			}
			switch due := n.lastDue(signal, n.today()); {
			case len(windows) == 0 && excused[d]:
				n.counts["pairs of the last list that cannot be asked"]++
			case last < due:
				n.t.Errorf("%s of %s was last asked until %s, due was %s: %v", signal, d, last, due, windows)
			}
		}
	}
}

// lastDue is the last day on which a type was due.
func (n *killedNights) lastDue(signal string, today ledger.Day) ledger.Day {
	of, _ := schema.LookupSignal(signal)
	switch {
	case n.nightly:
		return today
	case of.Cadence == "monthly":
		return min(today, ledger.DayOf("2026-05-11"))
	}
	for day := today; ; day-- {
		if day.Date().Weekday() == time.Saturday {
			return day
		}
	}
}

// askedWindows are the windows of each pair that were answered, or that a call in doubt holds: one that
// was not released, or a pair of which was not asked since.
func (n *killedNights) askedWindows() map[pair][]window {
	n.t.Helper()
	all, released := map[pair][]window{}, map[pair]map[string]window{}
	n.walkJournal(func(run *ledger.Run, a *pipeline.AnsweredBatch) {
		q, call := a.Batch.Query, run.ID+"/"+a.Reply.Calls[0].ID
		if q.Service() != pipeline.Signals {
			return
		}
		held := a.Reply.Calls[0].Outcome == pipeline.InDoubt
		_, again := n.released[call]
		for i, item := range a.Reply.Items {
			returned := map[string]int{}
			for _, e := range item.Events {
				returned[e.Type]++
			}
			for _, signal := range q.ResultTypes() {
				p, w := pair{a.Batch.Items[i].Account.Key, signal}, window{ledger.DayOf(q.Since), ledger.DayOf(q.Until)}
				switch {
				case returned[signal] >= q.MaxResults():
					n.t.Errorf("an answer about %v reached its cap: the test needs a higher one", p)
				case held && again && released[p] == nil:
					released[p] = map[string]window{call: w}
				case held && again:
					released[p][call] = w
				case held, slices.Contains([]schema.Status{schema.Enriched, schema.NoSignal, schema.NotFound}, item.Status):
					all[p] = append(all[p], w)
				}
			}
		}
	})
	for p, calls := range released {
		for call, w := range calls {
			if !slices.ContainsFunc(all[p], func(later window) bool { return later.until > n.released[call] }) {
				all[p] = append(all[p], w)
			}
		}
	}
	return all
}

// walkJournal visits every answer of every run, and every call without one.
func (n *killedNights) walkJournal(visit func(*ledger.Run, *pipeline.AnsweredBatch)) {
	n.t.Helper()
	dir := filepath.Join(n.lake, app.StateDir, "journal")
	if _, err := os.Stat(dir); os.IsNotExist(err) {
		return
	}
	store, err := wal.OpenDir(dir, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	defer store.Close()
	j, err := ledger.Open(context.Background(), store, ledger.Options{Decode: app.DecodeRecorded, ReadOnly: true, Now: n.shop.now})
	if err != nil {
		n.t.Fatal(err)
	}
	defer j.Close()
	for _, run := range j.Runs() {
		for a, err := range j.Reader().Answers(context.Background(), run) {
			if err != nil {
				n.t.Fatal(err)
			}
			visit(run, &a)
		}
	}
}
