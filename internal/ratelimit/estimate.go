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

	e := estimation{
		perSecond: perSecond, answer: answer, projections: projections,
		step: max(1, int64(perSecond*float64(step)/float64(time.Second))), inFlight: s.countInFlight(),
	}
	e.completions = []completion{{start + int64(answer), e.inFlight}}
	return time.Duration(e.start(calls, t)-start) + answer
}

// estimation is a simulated sequence of calls. Its steps are as long as one bucket of the shortest
// window: as many calls as fit start evenly spaced, and end together one answer later.
type estimation struct {
	perSecond   float64
	step        int64 // most calls in one step
	answer      time.Duration
	projections []*projection
	completions []completion // to come, in order
	inFlight    int64
}

// completion is the time at which a number of calls end.
type completion struct{ at, n int64 }

// start starts all calls, the first one at t, and returns when the last one starts.
func (e *estimation) start(calls, t int64) (end int64) {
	end = t
	for calls > 0 {
		e.complete(t)
		capacity, until := e.capacityAt(t)
		if capacity <= 0 {
			t = until
			continue
		}
		n := min(calls, capacity, e.step)
		elapsed := int64(float64(n) / e.perSecond * float64(time.Second))
		e.completions = append(e.completions, completion{t + elapsed/2 + int64(e.answer), n})
		e.inFlight += n
		calls -= n
		for _, p := range e.projections {
			p.started += n
		}
		end = t + elapsed - elapsed/n // when the last call starts
		t += max(1, elapsed)
	}
	return end
}

// complete ends the calls that are over at t.
func (e *estimation) complete(t int64) {
	for len(e.completions) > 0 && e.completions[0].at <= t {
		done := e.completions[0]
		for _, p := range e.projections {
			p.Ended.add(done.n, done.at, p.span)
		}
		e.inFlight -= done.n
		e.completions = e.completions[1:]
	}
}

// capacityAt is the number of calls that fit into all windows at t and, if none does, the earliest
// time to check again.
func (e *estimation) capacityAt(t int64) (capacity, until int64) {
	capacity = math.MaxInt64
	for _, p := range e.projections {
		n, at := p.capacityAt(t, e.inFlight)
		if capacity = min(capacity, n); n <= 0 {
			until = max(until, at)
		}
	}
	if capacity <= 0 && len(e.completions) > 0 && (until <= t || e.completions[0].at < until) {
		until = e.completions[0].at
	}
	return capacity, until
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
