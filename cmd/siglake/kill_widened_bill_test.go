package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// pair is an entity, by the key of its line, and a signal type; or "search".
type pair struct{ key, signal string }

// sale is a request on the bill that was charged, with what a second simulator says that it bought.
type sale struct {
	*widenRound
	digest     string
	day, start string
	limit      int
	refreshes  int // that the round had completed before it
	events     map[pair][]soldEvent
	forgotten  bool // a salvage lost the record of it, which was accepted
}

// covers reports whether a sale answers what another one asks about a pair.
func (s *sale) covers(o *sale, p pair) bool {
	if p.signal == "search" {
		return true
	}
	return s.filterOf(p.signal) == o.filterOf(p.signal) && s.day == o.day && s.start <= o.start &&
		(s.limit >= o.limit || len(s.events[p]) < s.limit)
}

// attempt is what the journal says of a request that was made.
type attempt struct {
	credits  int64 // charged, or the most that it can have cost
	decision ledger.Decision
	keys     []string // of the lines of one that is in doubt
}

// attempts are those of equal requests.
type attempts struct{ charged, doubts []attempt }

// readJournal reads the journal of the lake, if there is one.
func (w *widening) readJournal(read func(*ledger.Ledger)) {
	w.t.Helper()
	dir := filepath.Join(w.store.local(w.t, w.lake), app.StateDir, "journal")
	if _, err := os.Stat(dir); os.IsNotExist(err) {
		return
	}
	store, err := wal.OpenDir(dir, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	defer store.Close()
	j, err := ledger.Open(context.Background(), store, ledger.Options{Decode: app.DecodeRecorded, ReadOnly: true, Now: w.shop.now})
	if err != nil {
		w.t.Fatal(err)
	}
	defer j.Close()
	read(j)
}

// hasPublished reports whether the newest run is published.
func (w *widening) hasPublished() (published bool) {
	w.t.Helper()
	w.readJournal(func(j *ledger.Ledger) {
		if runs := j.Runs(); len(runs) > 0 {
			published = runs[len(runs)-1].Published != nil
		}
	})
	return published
}

// attempts are those in the journal that may have cost something, by the digest of the request.
func (w *widening) attempts() map[string]*attempts {
	w.t.Helper()
	all := map[string]*attempts{}
	w.readJournal(func(j *ledger.Ledger) { w.addAttempts(all, j) })
	return all
}

func (w *widening) addAttempts(all map[string]*attempts, j *ledger.Ledger) {
	w.t.Helper()
	for _, run := range j.Runs() {
		decisions := map[string]ledger.Decision{}
		for _, c := range run.Calls {
			decisions[c.ID] = c.Decision
		}
		for a, err := range j.Reader().Answers(context.Background(), run) {
			if err != nil {
				w.t.Fatal(err)
			}
			req, err := lusha.NewRequest(a.Batch)
			if err != nil {
				w.t.Fatal(err)
			}
			digest := digestOf(req.Body)
			if all[digest] == nil {
				all[digest] = new(attempts)
			}
			switch c := a.Reply.Calls[0]; {
			case c.Outcome == pipeline.Charged && c.Charge.Known:
				all[digest].charged = append(all[digest].charged, attempt{credits: c.Charge.Credits})
			case c.Outcome == pipeline.Charged || c.Outcome == pipeline.InDoubt:
				d := attempt{credits: c.Ceiling, decision: decisions[c.ID]}
				for i := range a.Batch.Items {
					d.keys = append(d.keys, a.Batch.Items[i].Account.Key)
				}
				all[digest].doubts = append(all[digest].doubts, d)
			}
		}
	}
}

// decided are the digests of requests in doubt that were released, and of those written off.
func (w *widening) decided() (released, lost map[string]bool) {
	released, lost = map[string]bool{}, map[string]bool{}
	for digest, a := range w.attempts() {
		for _, d := range a.doubts {
			switch d.decision {
			case ledger.Retry, ledger.NotCharged:
				released[digest] = true
			case ledger.WriteOff:
				lost[digest] = true
			}
		}
	}
	return released, lost
}

// check compares the journal with the bill, every pair that the round bought with all earlier
// purchases of it, and every pair of a finished round with the lake.
func (w *widening) check(r *widenRound) {
	w.t.Helper()
	known := w.attempts()
	bill := w.shop.sim.Bill().Entries
	w.checkBill(known, bill)
	pairsAgain := map[pair]bool{}
	for i, e := range bill[r.first:] {
		if e.Request == "" {
			continue
		}
		w.counts["requests on the bill"]++
		if e.Credits == 0 {
			continue
		}
		s := w.newSale(r, e)
		for _, n := range r.anew {
			if r.first+i >= n {
				s.refreshes++
			}
		}
		for p, events := range s.events {
			w.counts["pairs on the bill"]++
			w.checkPair(known, s, p, events, pairsAgain)
		}
		w.sales = append(w.sales, s)
		w.counts["requests charged"]++
	}
	w.counts["pairs bought again, announced"] += len(pairsAgain)
	if n := r.announces(); n < len(pairsAgain) {
		w.t.Errorf("%d pairs were bought again, %d announced: %s", len(pairsAgain), n, r.printed.String())
	}
	if r.finished {
		w.checkLake(known, r)
	}
}

// checkBill: no request is unknown to the journal, and none is billed beyond what it has or
// declares to be in doubt.
func (w *widening) checkBill(known map[string]*attempts, bill []simulator.Entry) {
	w.t.Helper()
	type sum struct {
		requests int
		credits  int64
	}
	billed := map[string]*sum{}
	for _, e := range bill {
		if e.Request == "" || w.forgotten[e.Request] {
			continue
		}
		if billed[e.Request] == nil {
			billed[e.Request] = new(sum)
		}
		if e.Credits > 0 {
			billed[e.Request].requests++
		}
		billed[e.Request].credits += e.Credits
	}
	for digest, b := range billed {
		a := cmp.Or(known[digest], new(attempts))
		rest := b.credits
		for _, c := range a.charged {
			rest -= c.credits
		}
		most := int64(0)
		for _, d := range a.doubts {
			if d.decision != ledger.NotCharged {
				most += d.credits
			}
		}
		if rest < 0 || rest > most || b.requests > len(a.charged)+len(a.doubts) {
			w.t.Errorf("a request was billed %d credits in %d times, the journal has %+v: %s", b.credits, b.requests, *a, w.shop.body(digest))
		}
	}
}

// newSale asks the second simulator what an entry of the bill bought.
func (w *widening) newSale(r *widenRound, e simulator.Entry) *sale {
	w.t.Helper()
	var asked struct {
		StartDate           string
		MaxResultsPerSignal int
	}
	body := w.shop.body(e.Request)
	if err := json.Unmarshal(body, &asked); err != nil {
		w.t.Fatalf("%s: %v", body, err)
	}
	s := &sale{widenRound: r, digest: e.Request, day: e.Time.Format(time.DateOnly), start: asked.StartDate, limit: asked.MaxResultsPerSignal}
	credits := int64(0)
	if s.events, credits = w.shop.sells(e.Time, e.Path, body); credits != e.Credits {
		w.t.Errorf("billed %d credits for what costs %d: %s", e.Credits, credits, body)
	}
	return s
}

// checkPair holds a purchase of a pair against every earlier one that brought the same events. What
// was answered is bought again only if a wider question or a refresh announces that, or on another day;
// what is in doubt, only if it was decided, or is named. A refresh repeats earlier purchases, not its
// own, and no searches.
func (w *widening) checkPair(known map[string]*attempts, b *sale, p pair, events []soldEvent, again map[pair]bool) {
	w.t.Helper()
	for i, a := range w.sales {
		overlaps := slices.ContainsFunc(a.events[p], func(e soldEvent) bool { return slices.Contains(events, e) })
		if !overlaps || a.forgotten {
			continue
		}
		repeats := b.refresh && (a.widenRound != b.widenRound || a.refreshes < b.refreshes) && p.signal != "search"
		at := cmp.Or(known[a.digest], new(attempts))
		reason := ""
		if len(at.charged) > 0 {
			switch {
			case a.covers(b, p) && !repeats:
				reason = "it was answered"
			case a.day != b.day:
			case b.announces() == 0:
				reason = "it was bought the same day, and nothing announces that"
			default:
				again[p] = true
			}
			if reason == "" {
				continue
			}
		}
		if len(at.doubts) > 0 {
			settled := slices.ContainsFunc(w.sales[i+1:], func(c *sale) bool {
				return c.events[p] != nil && c.covers(a, p) && known[c.digest] != nil && len(known[c.digest].charged) > 0
			})
			switch {
			case b.released[a.digest], b.inDoubt != "hold", settled:
				continue
			case b.lost[a.digest] && (a.day != b.day || b.announces() > 0):
				continue
			case (a.day != b.day || repeats) && strings.Contains(b.printed.String(), "repeating calls in doubt that are undecided"):
				continue
			}
			reason = cmp.Or(reason, "it is in doubt and undecided")
		}
		w.t.Fatalf("%v was bought twice, and %s: %+v since %s on %s, %+v, then %+v since %s on %s\n%s", p, reason,
			a.question, a.start, a.day, at, b.question, b.start, b.day, b.printed.String())
	}
}

// checkLake: the lake has the events of every answer that the journal has, and no others; and each
// pair of the list has all events that its question brings, or its line is held or written off.
func (w *widening) checkLake(known map[string]*attempts, r *widenRound) {
	w.t.Helper()
	code, stdout, stderr := runProgram(w.t, slices.Concat([]string{"verify", "--lake", w.lake}, w.store.flags())...)
	if code != exitComplete && !w.damaged { // a lost record is missed for ever
		w.t.Errorf("verify: exit %d\n%s%s", code, stdout, stderr)
	}
	lake := &rig{t: w.t, lake: w.store.local(w.t, w.lake)}
	rows, status := lake.signalRows(r.doneBy)
	w.checkRows(known, rows)
	writtenOff := writtenOffKeys(known)
	for p, events := range w.wanted(r) {
		switch {
		case status[p.key] == schema.InDoubt:
			w.counts["pairs held"]++
			continue
		case writtenOff[p.key]:
			w.counts["pairs of lines written off"]++
			continue
		}
		w.counts["pairs complete in the lake"]++
		for _, e := range events {
			if r.passes(p.signal, e) && !rows[p][e.id] {
				w.t.Errorf("the lake lacks the event %s of %v, and the line is %q", e.id, p, status[p.key])
			}
		}
	}
}

// checkRows compares the rows of the lake with what was sold.
func (w *widening) checkRows(known map[string]*attempts, rows map[pair]map[string]bool) {
	w.t.Helper()
	sold := map[pair]map[string]bool{}
	for _, s := range w.sales {
		at := known[s.digest]
		answered := at != nil && len(at.charged) > 0 && len(at.doubts) == 0 && !s.forgotten
		for p, events := range s.events {
			if sold[p] == nil {
				sold[p] = map[string]bool{}
			}
			for _, e := range events {
				sold[p][e.id] = true
				if answered && p.signal != "search" && s.passes(p.signal, e) && !rows[p][e.id] {
					w.t.Errorf("the event %s of %v was paid and answered, and is not in the lake", e.id, p)
				}
			}
		}
	}
	for p, ids := range rows {
		for id := range ids {
			if !sold[p][id] {
				w.t.Errorf("the lake has the event %s of %v, which was never sold", id, p)
			}
		}
	}
}

// writtenOffKeys are those of the lines of calls that were written off.
func writtenOffKeys(known map[string]*attempts) map[string]bool {
	keys := map[string]bool{}
	for _, a := range known {
		for _, d := range a.doubts {
			for _, key := range d.keys {
				keys[key] = keys[key] || d.decision == ledger.WriteOff
			}
		}
	}
	return keys
}

// wanted is what the question of a round brings without faults.
func (w *widening) wanted(r *widenRound) map[pair][]soldEvent {
	w.t.Helper()
	all := map[pair][]soldEvent{}
	domains := slices.Clone(w.domains)
	slices.Sort(domains)
	now := w.shop.now()
	request := map[string]any{"signals": schemaSignals(r.signals), "startDate": now.AddDate(0, 0, -r.days).UTC().Format(time.DateOnly), "maxResultsPerSignal": r.limit}
	if r.filter != "" && r.api == "v2" {
		request["filters"] = map[string]any{"include": map[string]any{"newsEventTypes": []string{r.filter}}}
	}
	for chunk := range slices.Chunk(slices.Compact(domains), 100) {
		var companies []map[string]string
		for i, d := range chunk {
			companies = append(companies, map[string]string{"id": fmt.Sprint(i), "domain": d})
		}
		request["companies"] = companies
		body, err := json.Marshal(request)
		if err != nil {
			w.t.Fatal(err)
		}
		sold, _ := w.shop.sells(now, "/api/signals/companies/search", body)
		maps.Copy(all, sold)
	}
	return all
}

// schemaSignals are the keys of signal types or categories.
func schemaSignals(text string) (keys []string) {
	for _, name := range strings.Split(text, ",") {
		for _, s := range schema.MatchSignals(name) {
			if s.Object == schema.Company && s.V2 == schema.Documented {
				keys = append(keys, s.Key)
			}
		}
	}
	return keys
}

// signalRows are the events of a lake by pair, and the status of each line in a run, or after it if its calls
// were read again; empty: in the newest run.
func (r *rig) signalRows(run string) (rows map[pair]map[string]bool, status map[string]schema.Status) {
	r.t.Helper()
	rows, status = map[pair]map[string]bool{}, map[string]schema.Status{}
	newest := ""
	for _, r.manifest = range r.generations() {
		for _, row := range r.events() {
			var raw struct{ SignalID string }
			r.decode([]byte(row["raw"].(string)), &raw)
			p := pair{row["account_key"].(string), row["signal_type"].(string)}
			if rows[p] == nil {
				rows[p] = map[string]bool{}
			}
			rows[p][raw.SignalID] = true
		}
		switch of := r.manifest.Run; {
		case of.Kind == pipeline.RunGeneration && (run == "" || run == of.ID):
			clear(status)
			newest = of.ID
		case of.Kind == pipeline.RereadGeneration && of.Continues == newest: // it has some lines of the run
		default: // another run, or a compaction, with the lines of several runs in any order
			continue
		}
		for _, row := range r.accountRows() {
			if s := schema.Status(row["status"].(string)); s != schema.Duplicate {
				status[row["account_key"].(string)] = s
			}
		}
	}
	return rows, status
}
