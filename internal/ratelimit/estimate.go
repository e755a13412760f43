package ratelimit

import (
	"math"
	"time"
)

// EstimateDuration estimates the time from now to the last answer of a number of calls, if each
// takes the time answer and up to workers are in flight. It projects the windows from their present
// counts, assumes that others use the whole reserve, and expects no disturbance. It waits for every
// window, regardless of MaxWait. free is the number of calls made first, without an admission, that
// count but take no time worth mentioning. EstimateDuration sends no request and changes nothing.
func (l *Limiter) EstimateDuration(calls, free int64, now time.Time, answer time.Duration, workers int) time.Duration {
	if calls <= 0 {
		return 0
	}
	var s accountState
	l.mu.Lock()
	l.withState(func(int64) bool { s = l.state; return false })
	l.mu.Unlock()

	perSecond := throughput(l.maxRate, answer.Seconds(), workers)
	var projections []*projection
	step := int64(math.MaxInt64)
	start := now.UnixNano()
	for _, w := range l.windowsOf(&s) {
		if w.effectiveLimit() < 0 && w.ClosedUntil <= start {
			continue
		}
		p := newProjection(w, start, s.countInFlight(), s.Clock)
		p.Ended.add(free, start, p.span)
		p.started = free
		projections = append(projections, p)
		step = min(step, w.span/bucketsPerSpan)
	}
	t := max(start, s.PausedUntil, s.LastStart)
	if len(projections) == 0 {
		return time.Duration(t-start) + time.Duration(float64(calls-1)/perSecond*float64(time.Second)) + answer
	}

	// From one bucket of the shortest window to the next: as many calls as fit, evenly spaced,
	// which end together one answer later.
	type completion struct{ at, n int64 }
	completions := []completion{{start + int64(answer), s.countInFlight()}}
	inFlight := s.countInFlight()
	end := t
	for calls > 0 {
		for len(completions) > 0 && completions[0].at <= t {
			for _, p := range projections {
				p.Ended.add(completions[0].n, completions[0].at, p.span)
			}
			inFlight -= completions[0].n
			completions = completions[1:]
		}
		capacity, until := calls, int64(0)
		for _, p := range projections {
			n, at := p.capacityAt(t, inFlight)
			if capacity = min(capacity, n); n <= 0 {
				until = max(until, at)
			}
		}
		if capacity <= 0 {
			if len(completions) > 0 && (until <= t || completions[0].at < until) {
				until = completions[0].at
			}
			t = until
			continue
		}
		n := min(capacity, max(1, int64(perSecond*float64(step)/float64(time.Second))))
		elapsed := int64(float64(n) / perSecond * float64(time.Second))
		completions = append(completions, completion{t + elapsed/2 + int64(answer), n})
		inFlight += n
		calls -= n
		for _, p := range projections {
			p.started += n
		}
		end = t + elapsed - elapsed/n // when the last call starts
		t += max(1, elapsed)
	}
	return time.Duration(end-start) + answer
}

// throughput is the number of calls per second of workers, each of which waits for its start, at
// most limit a second, and then for an answer of varying duration. Where both bind, the throughput
// is below either: a start is lost if no worker is there to use it. This is mean value analysis of
// a queue with constant service times, in which a call leaves when its service begins.
func throughput(limit, answer float64, workers int) float64 {
	interval := 1 / limit
	perSecond, waiting := 0.0, 0.0
	for n := range min(max(workers, 1), 10_000) {
		delay := interval * (1 + waiting - perSecond*interval/2)
		perSecond = float64(n+1) / max(answer+delay-interval, interval)
		waiting = perSecond * delay
	}
	return min(perSecond, limit)
}

// projection is a window projected into the future.
type projection struct {
	window
	allowed        int64 // calls of this host within a span
	available      int64 // left by the server's count, until it ends
	availableUntil int64 // 0 if the server's count is unknown
	started        int64 // calls since the beginning, including free ones
}

func newProjection(w window, now, inFlight int64, c clockOffset) *projection {
	p := &projection{window: w, allowed: math.MaxInt64}
	if limit := w.effectiveLimit(); limit >= 0 {
		reserved := w.reserve.callsOf(limit, w.minReserve)
		p.allowed = limit - reserved
		if w.Known && !w.Rolling && now < w.endsAt(c) {
			p.available, p.availableUntil = w.availableCalls(reserved)-inFlight, w.endsAt(c)
		}
	}
	if w.ClosedUntil > now && w.ClosedUntil > p.availableUntil {
		p.available, p.availableUntil = 0, w.ClosedUntil
	}
	return p
}

// capacityAt is the number of calls that fit now and, if none does, the earliest time to check
// again; 0 if only an answer can change it.
func (p *projection) capacityAt(now, inFlight int64) (n, until int64) {
	p.Ended.advance(now, p.span)
	n = p.allowed - p.Ended.Sum - inFlight
	if n <= 0 {
		until = p.Ended.expiryOf(1-n, p.span)
	}
	if now < p.availableUntil && p.available-p.started < n {
		if n = p.available - p.started; n <= 0 {
			until = max(until, p.availableUntil)
		}
	}
	return n, until
}
