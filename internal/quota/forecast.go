package quota

import (
	"math"
	"time"
)

// Forecast is how long so many calls take from now, to the last answer, when
// each takes answer and up to workers are in flight. It follows the windows
// from their present counts, with the reserve taken in full by others, and
// knows of nothing unforeseen. It waits for every window, whatever MaxWait says.
// free is how many calls go ahead of them at once, past the governor, that count
// and take no time to speak of. Nothing is asked and nothing changes.
func (g *Governor) Forecast(calls, free int64, now time.Time, answer time.Duration, workers int) time.Duration {
	if calls <= 0 {
		return 0
	}
	var s state
	g.mu.Lock()
	g.with(func(int64) bool { s = g.state; return false })
	g.mu.Unlock()

	pace := throughput(g.full, answer.Seconds(), workers)
	var run []*horizon
	step := int64(math.MaxInt64)
	start := now.UnixNano()
	for _, w := range g.views(&s) {
		if w.limit() < 0 && w.Closed <= start {
			continue
		}
		h := newHorizon(w, start, s.flying(), s.Clock)
		h.Ledger.add(free, start, h.span)
		h.made = free
		run = append(run, h)
		step = min(step, w.span/parts)
	}
	t := max(start, s.Hold, s.Turn)
	if len(run) == 0 {
		return time.Duration(t-start) + time.Duration(float64(calls-1)/pace*float64(time.Second)) + answer
	}

	// From one bucket of the shortest window to the next: as many calls as fit,
	// evenly spaced, which end together an answer later.
	type landing struct{ at, n int64 }
	flight := []landing{{start + int64(answer), s.flying()}}
	flying := s.flying()
	end := t
	for calls > 0 {
		for len(flight) > 0 && flight[0].at <= t {
			for _, h := range run {
				h.Ledger.add(flight[0].n, flight[0].at, h.span)
			}
			flying -= flight[0].n
			flight = flight[1:]
		}
		room, until := calls, int64(0)
		for _, h := range run {
			n, at := h.room(t, flying)
			if room = min(room, n); n <= 0 {
				until = max(until, at)
			}
		}
		if room <= 0 {
			if len(flight) > 0 && (until <= t || flight[0].at < until) {
				until = flight[0].at
			}
			t = until
			continue
		}
		n := min(room, max(1, int64(pace*float64(step)/float64(time.Second))))
		took := int64(float64(n) / pace * float64(time.Second))
		flight = append(flight, landing{t + took/2 + int64(answer), n})
		flying += n
		calls -= n
		for _, h := range run {
			h.made += n
		}
		end = t + took - took/n // when the last one left
		t += max(1, took)
	}
	return time.Duration(end-start) + answer
}

// throughput is how many calls a second workers make, each of which waits for
// its turn, at most limit a second, and then for an answer of varying length.
// Where both bind it is below either: a turn that nobody is there to take is
// lost. This is mean value analysis of a queue with constant service times, in
// which a call leaves when its service begins.
func throughput(limit, answer float64, workers int) float64 {
	turn := 1 / limit
	pace, waiting := 0.0, 0.0
	for n := range min(max(workers, 1), 10_000) {
		delay := turn * (1 + waiting - pace*turn/2)
		pace = float64(n+1) / max(answer+delay-turn, turn)
		waiting = pace * delay
	}
	return min(pace, limit)
}

// horizon is a window seen ahead.
type horizon struct {
	window
	quota int64 // calls of ours within a span
	free  int64 // left by the server's count, until it ends
	ends  int64 // 0 when its count is unknown
	made  int64 // calls since the beginning, free ones included
}

func newHorizon(w window, now, flying int64, c clock) *horizon {
	h := &horizon{window: w, quota: math.MaxInt64}
	if limit := w.limit(); limit >= 0 {
		spare := w.reserve.of(limit, w.least)
		h.quota = limit - spare
		if w.Known && !w.Rolling && now < w.ends(c) {
			h.free, h.ends = w.free(spare)-flying, w.ends(c)
		}
	}
	if w.Closed > now && w.Closed > h.ends {
		h.free, h.ends = 0, w.Closed
	}
	return h
}

// room is how many calls fit now and, when none does, the earliest moment to
// look again; 0 when only an answer can change it.
func (h *horizon) room(now, flying int64) (n, until int64) {
	h.Ledger.advance(now, h.span)
	n = h.quota - h.Ledger.Sum - flying
	if n <= 0 {
		until = h.Ledger.opens(1-n, h.span)
	}
	if now < h.ends && h.free-h.made < n {
		if n = h.free - h.made; n <= 0 {
			until = max(until, h.ends)
		}
	}
	return n, until
}
