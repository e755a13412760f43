package wal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/siglake/siglake/internal/bucket/membucket"
	"github.com/siglake/siglake/internal/proof"
)

// fenceSim is a world of processes on machines of their own that share a bucket
// and nothing else, no lock either. Every request of each waits until it is its
// turn, and once more until it gets its answer: so a machine can be paused
// anywhere, also with a request on the wire, and wake up much later.
type fenceSim struct {
	rng      *rand.Rand
	bucket   *membucket.Bucket
	waiting  []*request
	arrivals chan *request
	started  int // processes

	acked          []string // heads, as their appends were acknowledged
	called         []string // calls, in the order in which they were made
	views          []view   // of those that have something acknowledged
	readings       [][]string
	fencedSegments int // segments that another process has taken over: nothing is appended to them
	lateAppends    []string
	fencedCount    int
}

// view is what a process found when it opened the journal.
type view struct {
	who   string
	heads []string
}

type request struct {
	who    string
	isDone bool // and its answer is waited for
	turn   chan bool
}

var errKilled = errors.New("killed")

// newHandle is the bucket as one process sees it.
func (p *fenceSim) newHandle(who string, seed uint64) membucket.Handle {
	dead := false
	rng := rand.New(rand.NewPCG(seed, 1))
	wait := func(done bool) bool {
		r := &request{who, done, make(chan bool)}
		p.arrivals <- r
		return <-r.turn
	}
	return p.bucket.WithHook(func(op, _ string, do func() error) error {
		if dead {
			return errKilled
		}
		if !wait(false) {
			dead = true
			return errKilled
		}
		err := do()
		if op == "create" && rng.IntN(3) == 0 && !wait(true) {
			dead = true
			return errKilled
		}
		if op == "create" && err == nil && rng.IntN(40) == 0 {
			return membucket.ErrNet // its answer is lost
		}
		return err
	})
}

// runWriter opens the journal and makes calls: an intent, the call, its answer.
func (p *fenceSim) runWriter(who string, seed uint64, calls int) {
	o := Options{SegmentSize: 300 << (seed % 4)}
	l, err := Open(context.Background(), noRetryObjects(p.newHandle(who, seed)), o)
	if err != nil {
		if errors.Is(err, ErrCorrupt) {
			panic(fmt.Sprintf("%s: open = %v", who, err))
		}
		return
	}
	found, err := contents(l)
	if err != nil {
		if !errors.Is(err, errKilled) {
			panic(fmt.Sprintf("%s: contents = %v", who, err))
		}
		return
	}
	p.fencedSegments = max(p.fencedSegments, l.segments.count())
	v := view{who, heads(found)}
	recorded := false
	add := func(head string) bool {
		fencedUpTo := p.fencedSegments
		pos, err := l.Append(1, []byte(head), make([]byte, 50))
		if err == nil && pos.segment <= fencedUpTo {
			p.lateAppends = append(p.lateAppends, head)
		}
		if err != nil {
			if errors.Is(err, ErrFenced) {
				p.fencedCount++
			}
			return false
		}
		p.acked = append(p.acked, head)
		if !recorded {
			recorded = true
			p.views = append(p.views, v)
		}
		return true
	}
	for n := range calls {
		name := fmt.Sprintf("%s call %d", who, n)
		if !add(name + " intent") {
			return
		}
		p.called = append(p.called, name)
		if !add(name + " answer") {
			return
		}
	}
	if seed%3 == 0 {
		_ = l.Close() // or it just ends
	}
}

// runReader looks at the journal as one who only reads.
func (p *fenceSim) runReader(who string, seed uint64) {
	all, err := peek(noRetryObjects(p.newHandle(who, seed)))
	if err != nil {
		if !errors.Is(err, errKilled) && !strings.Contains(err.Error(), errKilled.Error()) {
			panic(fmt.Sprintf("%s: %v", who, err))
		}
		return
	}
	p.readings = append(p.readings, all)
}

// schedule lets processes begin, wake up, sleep and die until none waits.
func (p *fenceSim) schedule(processes int) {
	p.arrivals = make(chan *request, 100)
	for {
		synctest.Wait() // everyone waits for a turn, or has ended
		for len(p.arrivals) > 0 {
			p.waiting = append(p.waiting, <-p.arrivals)
		}
		if p.started < processes && (len(p.waiting) == 0 || p.rng.IntN(12) == 0) {
			p.started++
			who, seed, calls := fmt.Sprint("process ", p.started), p.rng.Uint64(), 1+p.rng.IntN(6)
			if p.rng.IntN(3) == 0 {
				go p.runReader(who, seed)
			} else {
				go p.runWriter(who, seed, calls)
			}
			continue
		}
		if len(p.waiting) == 0 {
			return
		}
		// As a rule, one of the latest processes continues; the others sleep.
		slices.SortStableFunc(p.waiting, func(a, b *request) int { return strings.Compare(a.who, b.who) })
		i := len(p.waiting) - 1 - min(p.rng.IntN(len(p.waiting)), p.rng.IntN(len(p.waiting)))
		r := p.waiting[i]
		p.waiting = slices.Delete(p.waiting, i, i+1)
		r.turn <- p.rng.IntN(60) != 0
	}
}

// checkInvariants says what must never come of it.
func (p *fenceSim) checkInvariants() error {
	got, err := readBucket(p.bucket, Options{})
	if err != nil {
		return fmt.Errorf("reread = %w", err)
	}
	final := heads(got)
	if len(p.lateAppends) > 0 {
		return fmt.Errorf("%q were accepted from a process that had been shut out", p.lateAppends)
	}
	for _, head := range p.acked {
		if !slices.Contains(final, head) {
			return fmt.Errorf("%q was acknowledged and is lost in %q", head, final)
		}
	}
	for i, head := range final {
		if slices.Index(final, head) != i {
			return fmt.Errorf("%q is there twice in %q", head, final)
		}
	}
	for _, call := range p.called {
		if !slices.Contains(final, call+" intent") {
			return fmt.Errorf("%q was made, and its intent is not in %q", call, final)
		}
	}
	// What lies before a process's first record is what it found when it took
	// over: nothing came to it from anyone who was shut out.
	for _, v := range p.views {
		first := slices.IndexFunc(final, func(head string) bool { return strings.HasPrefix(head, v.who+" ") })
		if first < 0 || !slices.Equal(final[:first], v.heads) {
			return fmt.Errorf("%s found %q, and before its first record lies %q", v.who, v.heads, final[:max(first, 0)])
		}
	}
	for _, reading := range p.readings {
		if len(reading) > len(final) || !slices.Equal(reading, final[:len(reading)]) {
			return fmt.Errorf("a reader saw %q, which is no beginning of %q", reading, final)
		}
	}
	return nil
}

// TestFence lets several processes take the same journal over from each other at
// random moments, without any lock.
func TestFence(t *testing.T) {
	t.Parallel()
	seeds := proof.Size(150, 3000, 100000)
	var acked, paid, fenced, readings, views int
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			p := &fenceSim{rng: rand.New(rand.NewPCG(uint64(seed), 9)), bucket: membucket.New()}
			p.bucket.Unlisted = p.rng.IntN(4)
			p.bucket.RefusesRepeats = p.rng.IntN(2) == 0
			p.schedule(3 + p.rng.IntN(6))
			if err := p.checkInvariants(); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			acked, paid, fenced = acked+len(p.acked), paid+len(p.called), fenced+p.fencedCount
			readings, views = readings+len(p.readings), views+len(p.views)
		})
		if t.Failed() {
			return
		}
	}
	t.Logf("%d worlds: %d processes wrote %d records about %d calls, %d were shut out, %d readings", seeds, views, acked, paid, fenced, readings)
	if fenced < seeds/10 || readings < seeds/2 {
		t.Errorf("in %d worlds %d were shut out and %d read: too few to tell", seeds, fenced, readings)
	}
}
