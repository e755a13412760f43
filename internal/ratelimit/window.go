package ratelimit

import (
	"time"

	"github.com/siglake/siglake/pipeline"
)

// Times in this file are nanoseconds since 1970, because they are stored in a file.

const noLimit = -1

// window is one rate window: its rules, and what is known about it.
type window struct {
	*windowRecord
	name       string
	span       int64
	plan       int64 // limit to assume until one is stated, or noLimit
	minReserve int64 // calls of this window to reserve
	reserve    Reserve
}

// windowRecord is what is known about a window. It is stored in this form.
type windowRecord struct {
	Ended slidingWindow // calls from this host that have ended

	Limit       int64 // as stated; 0: not yet, or none
	ClosedUntil int64 // a 429 said that the window is used up until then

	// The server's last statement about it.
	Known       bool  // there is one about the present window
	Unstated    bool  // answers say nothing about the window
	Used, Left  int64 //
	SentAt      int64 // the statement was true at some moment from here
	ReceivedAt  int64 // to here
	Uncounted   int64 // calls ended since then without a statement
	UncountedAt int64 // when the last of them ended

	// The present window of the server.
	FirstSeen int64 // when its first statement was received
	ResetAt   int64 // when it ends, as stated; 0: not stated
	// At most this many of its calls are ours, including those in flight.
	Local    int64
	External int64 // at least this many of its calls are not ours

	// The alignment of the server's windows.
	LastReset int64 // the last reset was not before this time
	Unaligned bool  // not on UTC minutes, hours, days
	Rolling   bool
}

// effectiveLimit is the number of calls that the window allows, or noLimit.
func (w *window) effectiveLimit() int64 {
	if w.Limit != 0 {
		return w.Limit
	}
	return w.plan
}

// blockedUntil reports whether the next call has to wait, and until when; 0 means until a call in
// flight has ended.
func (w *window) blockedUntil(now, inFlight int64, c clockOffset) (until int64, blocked bool) {
	w.Ended.advance(now, w.span)
	if now < w.ClosedUntil {
		return w.ClosedUntil, true
	}
	limit := w.effectiveLimit()
	if limit < 0 {
		return 0, false
	}
	reserved := w.reserve.callsOf(limit, w.minReserve)
	allowed := limit - reserved
	if w.Rolling && w.External > reserved {
		allowed = limit - w.External
		if allowed <= 0 && inFlight == 0 && now >= w.ReceivedAt+w.span/10 {
			allowed = w.Ended.Sum + 1 // time to check again
		}
	}
	if excess := w.Ended.Sum + inFlight - allowed + 1; excess > 0 {
		until, blocked = w.Ended.expiryOf(excess, w.span), true
		if allowed <= 0 {
			until = w.ReceivedAt + w.span/10
		}
	}
	switch {
	case w.Rolling:
	case w.Known:
		available := w.availableCalls(reserved)
		switch ended := now >= w.endsAt(c); {
		case available > inFlight && (inFlight > 0 || !ended):
		case ended && inFlight == 0: // this call obtains a statement
		case !ended && available <= 0:
			until, blocked = max(until, w.endsAt(c)), true
		default:
			blocked = true
		}
	case !w.Unstated && inFlight > 0:
		blocked = true // one at a time until something is known
	}
	return until, blocked
}

// availableCalls is the number of calls that the server left to us, if none is in flight.
func (w *window) availableCalls(reserved int64) int64 {
	return w.Left - w.Uncounted - max(0, reserved-w.External)
}

// grace is how much later than expected a window may reset: the server's machines need not agree on
// the time.
func (w *window) grace() int64 { return min(w.span/240, int64(time.Second)) }

// endsAt is when the server's present window has ended, at the latest.
func (w *window) endsAt(c clockOffset) int64 {
	switch {
	case w.ResetAt > 0:
		return w.ResetAt
	case w.Unaligned:
		return w.FirstSeen + w.span + w.grace()
	}
	return w.nextBoundary(w.SentAt, c)
}

// nextBoundary is when the server's clock has passed the first UTC boundary after t.
func (w *window) nextBoundary(t int64, c clockOffset) int64 {
	return (floorDiv(t+c.Min, w.span)+1)*w.span - c.Min + w.grace()
}

// countStart records an admission. inFlight is the number of calls before it.
func (w *window) countStart(now, inFlight int64, c clockOffset) {
	if w.Known && inFlight == 0 && now >= w.endsAt(c) {
		w.Known, w.Unstated = false, false
	}
	w.Local++
}

// addUncounted records calls that ended without a statement about the window.
func (w *window) addUncounted(n, now int64) {
	if w.Known {
		w.Uncounted += n
		w.UncountedAt = now
	}
}

// applyStatement applies a statement of the server. It was true at some moment between sent and
// received, and may or may not include the calls in flight. applyStatement reports whether the
// statement says anything.
func (w *window) applyStatement(stated pipeline.Window, sent, received, inFlight int64, c clockOffset) bool {
	limit, used, left := stated.Limit, stated.Used, stated.Left
	switch {
	case limit >= unlimitedFrom:
		w.Limit, w.Known, w.Unstated = noLimit, false, true
		return true
	case limit == 0: // some APIs state a limit of 0 for no limit
		used, left = -1, -1
	case limit > 0:
		w.Limit = limit
		if left < 0 && used >= 0 {
			left = max(0, limit-used)
		}
		if used < 0 && left >= 0 {
			used = max(0, limit-left)
		}
	}
	if used < 0 || left < 0 {
		return false
	}
	w.Ended.advance(received, w.span)
	w.recheckRolling(used, inFlight)
	later := sent >= w.ReceivedAt // certainly later than the previous statement
	switch {
	case !w.Known:
		w.startWindow(used, sent, received, inFlight, c)
	case w.Rolling:
		if sent < w.SentAt {
			return true
		}
		w.External = max(0, used-w.Ended.Sum-inFlight)
	case used < w.Used && later:
		w.recordReset(received, c)
		w.startWindow(used, sent, received, inFlight, c)
	case used < w.Used:
		return true // overtaken by the previous one
	case sent < w.FirstSeen && used > w.Local+w.External:
		return true // about the previous window
	default:
		if sent > w.FirstSeen+w.span {
			w.FirstSeen = received // it reset unseen
		}
		w.External = max(w.External, used-w.Local)
	}
	w.Used, w.Left = used, left
	w.SentAt, w.ReceivedAt = max(w.SentAt, sent), received
	if sent >= w.UncountedAt {
		w.Uncounted = 0
	}
	return true
}

// startWindow begins the record of the server's next window.
func (w *window) startWindow(used, sent, received, inFlight int64, c clockOffset) {
	from := w.SentAt
	if !w.Unaligned {
		from = max(from, floorDiv(received+c.Min, w.span)*w.span-c.Max)
	}
	local, inSpan := w.Ended.countSince(from, w.span), w.Ended.Sum+inFlight
	if used-local > max(5, w.effectiveLimit()/20) && used <= inSpan && used >= inSpan-w.countTolerance(inFlight) {
		// A new window that starts with exactly as many calls of others as this host made within a
		// span is not a new window.
		w.Rolling = true
	}
	w.Local, w.External = min(used, local)+inFlight, max(0, used-local)
	if w.Rolling {
		w.External = max(0, used-inSpan)
	}
	w.Known, w.Unstated = true, false
	w.FirstSeen, w.ResetAt = received, 0
	w.SentAt = sent
}

// recheckRolling drops the assumption that windows are rolling if the server counts far fewer calls than
// this host made within a span.
func (w *window) recheckRolling(used, inFlight int64) {
	if w.Rolling && used < w.Ended.Sum*3/4-w.countTolerance(inFlight) {
		w.Rolling, w.Known, w.LastReset = false, false, 0
	}
}

// countTolerance is how far the local count may differ from that of a server with rolling windows.
func (w *window) countTolerance(inFlight int64) int64 {
	oldest := w.Ended.Newest - bucketsPerSpan
	return int64(w.Ended.Counts[bucketIndex(oldest)]+w.Ended.Counts[bucketIndex(oldest+1)]) + inFlight + 3
}

// recordReset derives the alignment of the windows from one that reset after w.SentAt and before
// received.
func (w *window) recordReset(received int64, c clockOffset) {
	w.Rolling = w.Rolling || w.LastReset != 0 && received-w.LastReset < w.span
	w.LastReset = w.SentAt
	switch onUTC := floorDiv(received+c.Max, w.span) > floorDiv(w.SentAt+c.Min-1, w.span); {
	case !onUTC:
		w.Unaligned = true
	case received-w.SentAt < w.span/4:
		w.Unaligned = false
	}
}

// closeWindow closes the window after a 429: for the stated wait, else until it should reset. A
// refusal at a time when the window should just have reset shows that it is aligned differently.
func (w *window) closeWindow(now, wait, firstSeen int64, assumedReset bool, c clockOffset) {
	until := now + wait
	switch {
	case wait > 0:
	case assumedReset:
		w.Unaligned = true
		until = firstSeen + w.span
		if until <= now {
			until = now + w.span/24
		}
	case w.Unaligned:
		until = w.FirstSeen + w.span
	default:
		until = w.nextBoundary(now, c) - w.grace()
	}
	w.ClosedUntil = max(w.ClosedUntil, until+w.grace())
	w.Known, w.Unstated = false, false
}

// clockOffset bounds how far the server's clock is ahead of the local one.
type clockOffset struct{ Min, Max int64 }
