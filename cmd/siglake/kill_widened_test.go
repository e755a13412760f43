package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/bucket/buckettest"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/wal"
)

// TestKillWidened kills runs, asks for more or for another part in each round, and decides, reads
// again, compacts, rebuilds, salvages between rounds: every pair is compared with the bill, request
// by request.
func TestKillWidened(t *testing.T) {
	t.Parallel()
	widenLoop(t, proof.Size(1, 1, 4), proof.Size(5, 40, 500), proof.Size(30, 120, 150), func(t *testing.T, _ uint64) (lakeStore, time.Duration) {
		return &dirStore{t.TempDir()}, time.Until(time.Date(2026, 5, 6, 9, 0, 0, 0, time.UTC))
	})
}

// TestKillWidenedOnS3 is TestKillWidened with lakes in a bucket, and every other journal in a
// directory.
func TestKillWidenedOnS3(t *testing.T) {
	store := buckettest.Start(t)
	widenLoop(t, 1, proof.Size(1, 10, 100), proof.Size(10, 60, 100), func(t *testing.T, seed uint64) (lakeStore, time.Duration) {
		s := &bucketStore{store: store, access: s3LakeFlags(t, store), prefix: fmt.Sprint("widened/", seed)}
		if seed%2 == 0 {
			s.state = t.TempDir()
		}
		return s, 0 // the store compares the clocks
	})
}

// widenLoop plays rounds in one world after another, in so many parts at once, until there were
// enough kills.
func widenLoop(t *testing.T, parts, kills, lines int, begin func(*testing.T, uint64) (lakeStore, time.Duration)) {
	t.Helper()
	counts := make([]widenCounts, parts)
	t.Run("parts", func(t *testing.T) {
		for i := range counts {
			counts[i] = widenCounts{}
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				if parts > 1 {
					t.Parallel()
				}
				for seed := uint64(1000*i + 1); counts[i]["kills"] < kills/parts && !t.Failed(); seed++ {
					played := counts[i]["lakes"]
					t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
						store, ahead := begin(t, seed)
						w := newWidening(t, seed, lines, store, ahead, counts[i])
						t.Cleanup(w.keep)
						w.play(kills / parts)
					})
					if played > 0 && counts[i]["lakes"] == played {
						break // -run names the seeds before it
					}
				}
			})
		}
	})
	sum := widenCounts{}
	for _, c := range counts {
		for what, n := range c {
			sum[what] += n
		}
	}
	t.Log(sum)
}

// question is what a round asks about its list.
type question struct {
	api, signals string
	filter       string // of --news-event-types
	limit, days  int    // of --max-results and --since
}

func (q question) flags() []string {
	flags := []string{"--api", q.api, "--signals", q.signals, "--max-results", fmt.Sprint(q.limit), "--since", fmt.Sprintf("%dd", q.days)}
	if q.filter != "" {
		flags = append(flags, "--news-event-types", q.filter)
	}
	return flags
}

// filterOf is what decides which events of a signal type pass: V3 has its events filtered after
// the purchase.
func (q question) filterOf(signal string) string {
	if q.filter == "" || !strings.HasSuffix(signal, "News") {
		return ""
	}
	return q.api + " " + q.filter
}

// passes reports whether an event of a signal type passes the filter.
func (q question) passes(signal string, e soldEvent) bool {
	return q.filterOf(signal) == "" || strings.EqualFold(e.eventType, q.filter)
}

// widenRound is one command, repeated until it ends or is given up.
type widenRound struct {
	question
	refresh  bool
	inDoubt  string // of --in-doubt
	printed  strings.Builder
	finished bool
	doneBy   string // the run that had requested all of it; empty: it was one of the round
	first    int    // of its entries on the bill
	// Of a refresh, those with which the command began anew: the process that died before had published.
	anew []int
	// Digests of requests that were released, and written off, before the round.
	released, lost map[string]bool
}

// nothingToDo finds the run that requested all that a command asks.
var nothingToDo = regexp.MustCompile(`Nothing to do: run (\S+) requested all`)

// announces is the largest number of pairs that the round says it buys again.
func (w *widenRound) announces() (most int) {
	for _, m := range regexp.MustCompile(`repeating purchases.* pairs_again=(\d+)`).FindAllStringSubmatch(w.printed.String(), -1) {
		n, _ := strconv.Atoi(m[1])
		most = max(most, n)
	}
	return most
}

// widenCounts are the figures of worlds, by what they count.
type widenCounts map[string]int

// widening is a lake that is asked for more in every round, and the API that it is bought from.
type widening struct {
	*world
	rng        *rand.Rand
	seed       uint64
	store      lakeStore
	shop       *shop
	asked      question
	domains    []string
	next       int // number of the first domain that no list has had
	sales      []*sale
	forgotten  map[string]bool // digests of requests that a salvage lost
	unfinished bool            // a run was given up
	damaged    bool            // its journal was: it cannot be rebuilt
	counts     widenCounts
}

// newWidening begins a world with a lake in a store.
func newWidening(t *testing.T, seed uint64, lines int, store lakeStore, ahead time.Duration, counts widenCounts) *widening {
	t.Helper()
	w := &widening{
		rng: rand.New(rand.NewPCG(seed, 7)), seed: seed, store: store, shop: newShop(t, seed, ahead), counts: counts, forgotten: map[string]bool{},
		asked: question{api: "v2", signals: "news", limit: 2, days: 30},
	}
	w.world = &world{t: t, url: w.shop.url, list: filepath.Join(t.TempDir(), "list.csv"), lake: store.uri(0), program: os.Args[0]}
	env := ownEnv(t)
	env.set("XDG_STATE_HOME", t.TempDir())
	env.Now = w.shop.now
	w.domains = w.newDomains(lines)
	return w
}

// play plays twelve rounds, or until there were enough kills.
func (w *widening) play(kills int) {
	w.t.Helper()
	w.counts["lakes"]++
	for n := range 12 {
		r := &widenRound{question: w.asked, inDoubt: "hold"}
		if n > 0 {
			r = w.widen()
		}
		w.playRound(r)
		w.check(r)
		if w.t.Failed() || w.counts["kills"] >= kills && r.finished {
			break
		}
		w.between()
	}
	for _, a := range w.attempts() {
		for _, d := range a.doubts {
			w.counts["calls in doubt: "+cmp.Or(string(d.decision), "undecided")]++
		}
	}
}

// keep keeps what a failed test leaves, where the flag -artifacts says.
func (w *widening) keep() {
	if !w.t.Failed() {
		return
	}
	dir := w.t.ArtifactDir()
	bodies := map[string]string{}
	for _, s := range w.sales {
		bodies[s.digest] = string(w.shop.body(s.digest))
	}
	bill, err := json.Marshal(map[string]any{"entries": w.shop.sim.Bill().Entries, "bodies": bodies})
	if err = cmp.Or(err, os.WriteFile(filepath.Join(dir, "bill.json"), bill, 0o600)); err != nil {
		w.t.Error(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "lake"), os.DirFS(w.store.local(w.t, w.lake))); err != nil {
		w.t.Error(err)
	}
}

// newDomains are domains that no list has had.
func (w *widening) newDomains(n int) (domains []string) {
	for range n {
		domains = append(domains, fmt.Sprintf("company-%d-%04d.example", w.seed, w.next))
		w.next++
	}
	return domains
}

// widen changes what the next round asks, or repeats the question.
func (w *widening) widen() *widenRound {
	q, rng := w.asked, w.rng
	for range rng.IntN(3) {
		switch rng.IntN(6) {
		case 0:
			q.limit = 1 + rng.IntN(8)
		case 1:
			q.days = []int{20, 30, 60, 90, 150}[rng.IntN(5)]
		case 2:
			q.filter = []string{"", "Partnership"}[rng.IntN(2)]
		case 3:
			q.signals = []string{"news", "growth", "news,growth", "surgeInHiring,financialEventsNews"}[rng.IntN(4)]
		case 4:
			q.api = []string{"v2", "v3"}[rng.IntN(2)]
		case 5:
			w.editList()
		}
	}
	if q.filter != "" && !strings.Contains(q.signals, "news") {
		q.filter = ""
	}
	r := &widenRound{question: q, refresh: rng.IntN(8) == 0, inDoubt: []string{"hold", "hold", "hold", "retry", "probe"}[rng.IntN(5)]}
	if r.refresh {
		r.inDoubt = "hold"
	}
	w.asked = q
	return r
}

// editList inserts, removes, repeats or reorders lines.
func (w *widening) editList() {
	n := max(len(w.domains)/10, 1)
	at := w.rng.IntN(len(w.domains))
	switch w.rng.IntN(4) {
	case 0:
		w.domains = slices.Insert(w.domains, at, w.newDomains(n)...)
	case 1:
		w.domains = slices.Delete(w.domains, at, min(at+n, len(w.domains)))
	case 2:
		w.domains = append(w.domains, w.domains[at])
	case 3:
		w.rng.Shuffle(len(w.domains), func(i, j int) { w.domains[i], w.domains[j] = w.domains[j], w.domains[i] })
	}
	if len(w.domains) == 0 {
		w.domains = w.newDomains(n)
	}
}

// playRound runs one round: the command is killed and repeated until it ends, or given up.
func (w *widening) playRound(r *widenRound) {
	w.t.Helper()
	w.counts["rounds"]++
	var list strings.Builder
	list.WriteString("account_id,domain\n")
	for _, d := range w.domains {
		fmt.Fprintf(&list, "%s,%s\n", d, d)
	}
	if err := os.WriteFile(w.list, []byte(list.String()), 0o600); err != nil {
		w.t.Fatal(err)
	}
	r.first = len(w.shop.sim.Bill().Entries)
	r.released, r.lost = w.decided()
	args := slices.Concat([]string{"run", w.list, "--lake", w.lake, "--base-url", w.url, "--plan", "unlimited", "--rate", "0",
		"--timeout", "5s", "--batch-size", "10", "--concurrency", "4", "--in-doubt", r.inDoubt}, r.flags(), w.store.flags())
	switch {
	case r.inDoubt == "retry":
		args = append(args, "--in-doubt-budget", []string{"40", "unlimited"}[w.rng.IntN(2)])
	case r.refresh:
		args = append(args, "--refresh")
	}
	newRun := w.unfinished
	kills := w.rng.IntN(6)
	giveUp := w.rng.IntN(4) == 0 && r.first > 0 // the first round makes the lake
	for tries := 0; ; tries++ {
		flags := args
		if newRun {
			flags = append(slices.Clone(args), "--new-run")
		}
		if kills == 0 && giveUp {
			w.unfinished = true
			w.counts["rounds given up"]++
			return
		}
		code, text := w.live(kills > 0, flags...)
		r.printed.WriteString(text)
		w.t.Logf("%v: exit %d", flags[slices.Index(flags, "--in-doubt"):], code)
		switch code {
		case -1:
			kills--
			newRun = false
			if r.refresh && w.hasPublished() {
				r.anew = append(r.anew, len(w.shop.sim.Bill().Entries))
			}
		case exitUsage:
			if newRun || !strings.Contains(text, "--new-run") {
				w.t.Fatalf("%v: exit %d: %s", flags, code, text)
			}
			newRun = true
		case exitDeferred:
			newRun = false
		case exitComplete, exitInDoubt:
			r.finished, w.unfinished = true, false
			if m := nothingToDo.FindStringSubmatch(text); m != nil {
				r.doneBy = m[1]
			}
			return
		default:
			w.t.Fatalf("%v: exit %d: %s", flags, code, text)
		}
		if tries > 60 {
			w.t.Fatalf("the round does not end: %s", text)
		}
	}
}

// live runs a process, kills it if mortal after a random time, or before or after a random
// operation on files or paid request, and returns its exit code, -1 if it was killed, and what it
// printed.
func (w *widening) live(mortal bool, args ...string) (code int, printed string) {
	w.t.Helper()
	operation, request, life := 0, 0, time.Hour
	if mortal {
		sign := 1 - 2*w.rng.IntN(2)
		switch w.rng.IntN(5) {
		case 0:
			life = 20*time.Millisecond + time.Duration(w.rng.ExpFloat64()*float64(60*time.Millisecond))
		case 1, 2:
			operation = sign * (1 + w.rng.IntN(150))
		default:
			request = sign * (1 + w.rng.IntN(10))
		}
	}
	cmd := w.childCommand(operation, args...)
	cmd.Env = append(cmd.Env, clockAhead+"="+time.Duration(w.shop.ahead.Load()).String())
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	kill := func() { _ = cmd.Process.Kill() }
	w.shop.killFrom(request, kill)
	timer := time.AfterFunc(life, kill)
	code = exitOf(cmd.Wait())
	timer.Stop()
	w.shop.killFrom(0, nil)
	if code == -1 {
		w.counts["kills"]++
	}
	if strings.Contains(out.String(), canary) {
		w.t.Error("the API key was printed")
	}
	return code, out.String()
}

// repeat runs a command until it is not killed any more.
func (w *widening) repeat(args ...string) (code int, printed string) {
	w.t.Helper()
	for range 1 + w.rng.IntN(2) {
		if code, printed = w.live(w.rng.IntN(2) == 0, args...); code != -1 {
			return code, printed
		}
	}
	return w.live(false, args...)
}

// between does something to the lake that buys nothing.
func (w *widening) between() {
	w.t.Helper()
	at := slices.Concat([]string{"--lake", w.lake}, w.store.flags())
	choice := []string{"held retry", "held accept-loss", "held reread", "compact", "rebuild", "salvage", "tomorrow", "nothing"}[w.rng.IntN(8)]
	w.shop.settle()
	requests := len(w.shop.sim.Bill().Entries)
	code, text, wanted := 0, "", []int{exitComplete}
	switch choice {
	case "held retry", "held accept-loss":
		code, text = w.repeat(slices.Concat(strings.Fields(choice), at)...)
		wanted = []int{exitComplete, exitInDoubt}
	case "held reread":
		if w.rng.IntN(3) > 0 {
			w.store.mendJournal(w.t, w.lake)
		}
		code, text = w.repeat(slices.Concat(strings.Fields(choice), at)...)
		wanted = []int{exitComplete, exitInDoubt}
	case "compact":
		code, text = w.repeat(slices.Concat([]string{"compact", "--min-files", "2"}, at)...)
	case "rebuild":
		if s, ok := w.store.(*bucketStore); w.damaged || ok && s.state != "" {
			return
		}
		code, text = w.rebuild(at)
	case "salvage":
		if _, ok := w.store.(*dirStore); !ok {
			return
		}
		w.salvage()
	case "tomorrow":
		if w.shop.ahead.Load() == 0 {
			return
		}
		w.shop.ahead.Add(int64(24 * time.Hour))
	}
	w.t.Logf("%s: exit %d", choice, code)
	w.counts["then "+choice]++
	if !slices.Contains(wanted, code) {
		w.t.Fatalf("%s: exit %d: %s", choice, code, text)
	}
	if n := len(w.shop.sim.Bill().Entries) - requests; n > 0 {
		w.t.Errorf("%s made %d requests", choice, n)
	}
}

// rebuild replaces the lake by one that is rebuilt from its journal, by month or by day.
func (w *widening) rebuild(at []string) (code int, text string) {
	w.t.Helper()
	number := int(w.rng.Int32())
	into := w.store.uri(number)
	args := slices.Concat([]string{"rebuild", "--into", into, "--partition-by", []string{"month", "day"}[number%2]}, at)
	if code, text = w.live(w.rng.IntN(2) == 0, args...); code == -1 {
		w.store.remove(w.t, into)
		code, text = w.live(false, args...)
	}
	w.lake = into
	return code, text
}

// salvage damages a record of the journal, and replaces the journal by what is left.
func (w *widening) salvage() {
	w.t.Helper()
	before := w.attempts()
	journal := filepath.Join(w.lake, app.StateDir, "journal")
	if w.rng.IntN(4) == 0 {
		w.damageJournal(journal)
	}
	code, text := w.repeat("salvage", "--lake", w.lake)
	if code == exitIntegrity {
		code, text = w.repeat("salvage", "--accept-loss", "--lake", w.lake)
	}
	if code != exitComplete {
		w.t.Fatalf("salvage: exit %d: %s", code, text)
	}
	after := w.attempts()
	for digest, b := range before {
		a := after[digest]
		if a == nil || len(a.charged)+len(a.doubts) < len(b.charged)+len(b.doubts) {
			w.forgotten[digest] = true
			w.counts["requests that a salvage lost"]++
		}
	}
	for _, s := range w.sales {
		s.forgotten = s.forgotten || w.forgotten[s.digest]
	}
}

// damageJournal flips bits of the head of a random record.
func (w *widening) damageJournal(journal string) {
	w.t.Helper()
	dir, err := wal.OpenDir(journal, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	var places []string
	_, err = wal.Salvage(w.t.Context(), dir, func(r wal.SalvagedRecord) error {
		places = append(places, r.At.String())
		return nil
	})
	if err := cmp.Or(err, dir.Close()); err != nil {
		w.t.Fatal(err)
	}
	if len(places) < 3 {
		return
	}
	segment, offset, _ := strings.Cut(places[w.rng.IntN(len(places))], "@")
	at, err := strconv.Atoi(offset)
	if err != nil {
		w.t.Fatal(err)
	}
	path := filepath.Join(journal, segment+".journal")
	raw, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	raw[4096+at+33] ^= 0x55
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.damaged = true
}
