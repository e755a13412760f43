package quota

import (
	"time"

	"github.com/siglake/siglake/pipeline"
)

// Times in this file are nanoseconds since 1970, because they are stored in a file.

// noLimit stands for a window without a limit.
const noLimit = -1

// window is one rate window: its rules, and what is known about it.
type window struct {
	*windowRecord
	name       string
	span       int64
	plan       int64 // limit to assume until one is stated, or noLimit
	minReserve int64 // calls to reserve, if more than the share
	reserve    Reserve
}

// windowRecord is what is known about a window. Its layout is that of the file.
type windowRecord struct {
	Ended slidingWindow // calls that ended here

	Limit       int64 // as stated; 0 not yet, or noLimit
	ClosedUntil int64 // a 429 said that it is used up until then

	// The server's last statement about it.
	Known       bool // there is one about the present window
	Unstated    bool // answers say nothing about it
	Used, Left  int64
	SentAt      int64 // it was true at some moment between this one
	ReceivedAt  int64 // and this one
	Uncounted   int64 // calls that ended since without a statement
	UncountedAt int64 // the last of them

	// The present window of the server.
	FirstSeen int64 // when its first statement was received
	ResetAt   int64 // it ends then, as stated; 0 not stated
	Local     int64 // calls of this host in it, at most, including those in flight
	External  int64 // calls of others in it, at least

	// How the server's windows lie.
	LastReset int64 // its last turn was not before this moment
	Unaligned bool  // not on UTC's minutes, hours, days
	Rolling   bool
}

// effectiveLimit is how many calls the window allows, or noLimit.
func (w *window) effectiveLimit() int64 {
	if w.Limit != 0 {
		return w.Limit
	}
	return w.plan
}

// blockedUntil reports whether one more call has to wait, and until when; 0 means
// until a call in flight has ended.
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
			allowed = w.Ended.Sum + 1 // time to look again
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
		case ended && inFlight == 0: // this call brings the next statement
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

// availableCalls is how many calls the server's last statement leaves to this host,
// when nothing is in flight.
func (w *window) availableCalls(reserved int64) int64 {
	return w.Left - w.Uncounted - max(0, reserved-w.External)
}

// grace is how much later than expected a window may turn: the server's
// machines need not agree on the time.
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

// nextBoundary is when the first UTC boundary after t has passed on the server.
func (w *window) nextBoundary(t int64, c clockOffset) int64 {
	return (floorDiv(t+c.Min, w.span)+1)*w.span - c.Min + w.grace()
}

// countStart counts an admission. inFlight is the number of calls in flight before it.
func (w *window) countStart(now, inFlight int64, c clockOffset) {
	if w.Known && inFlight == 0 && now >= w.endsAt(c) {
		w.Known, w.Unstated = false, false
	}
	w.Local++
}

// addUncounted notes calls that ended without a statement about the window.
func (w *window) addUncounted(n, now int64) {
	if w.Known {
		w.Uncounted += n
		w.UncountedAt = now
	}
}

// applyStatement applies a statement of the server. It was true at some moment
// between sent and received; it may or may not include the calls in flight.
// applyStatement reports whether the statement says anything about the window.
func (w *window) applyStatement(stated pipeline.Window, sent, received, inFlight int64, c clockOffset) bool {
	limit, used, left := stated.Limit, stated.Used, stated.Left
	switch {
	case limit >= unlimitedFrom:
		w.Limit, w.Known, w.Unstated = noLimit, false, true
		return true
	case limit == 0: // allowing nothing is how some write that there is no limit
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
	later := sent >= w.ReceivedAt // than the statement before, for certain
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
		return true // overtaken by the one before
	case sent < w.FirstSeen && used > w.Local+w.External:
		return true // about the window before
	default:
		if sent > w.FirstSeen+w.span {
			w.FirstSeen = received // it turned unseen
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

// startWindow starts the counts of another window of the server.
func (w *window) startWindow(used, sent, received, inFlight int64, c clockOffset) {
	from := w.SentAt
	if !w.Unaligned {
		from = max(from, floorDiv(received+c.Min, w.span)*w.span-c.Max)
	}
	local, inSpan := w.Ended.countSince(from, w.span), w.Ended.Sum+inFlight
	if used-local > max(5, w.effectiveLimit()/20) && used <= inSpan && used >= inSpan-w.countTolerance(inFlight) {
		// A new window that begins with just as many calls of others as the
		// sliding window still counts is no new window.
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

// recheckRolling drops the assumption that windows roll when the server counts far
// fewer calls than this host made within a span.
func (w *window) recheckRolling(used, inFlight int64) {
	if w.Rolling && used < w.Ended.Sum*3/4-w.countTolerance(inFlight) {
		w.Rolling, w.Known, w.LastReset = false, false, 0
	}
}

// countTolerance is how far the sliding window may be off from the count of a server with
// rolling windows.
func (w *window) countTolerance(inFlight int64) int64 {
	oldest := w.Ended.Newest - bucketsPerSpan
	return int64(w.Ended.Counts[bucketIndex(oldest)]+w.Ended.Counts[bucketIndex(oldest+1)]) + inFlight + 3
}

// recordReset learns how windows lie from one that turned after w.SentAt and before
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

// closeWindow closes the window after a 429: for the stated time, else until the
// window should turn. A refusal where it should just have turned shows that it lies
// otherwise.
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

// clockOffset bounds how far the server's clock is ahead of ours.
type clockOffset struct{ Min, Max int64 }

// bucketsPerSpan is how many buckets a window's length is cut into.
const bucketsPerSpan = 300

// slidingWindow counts calls within the last span, in buckets of span/bucketsPerSpan.
type slidingWindow struct {
	Newest int64 // number of the newest bucket, counted from 1970
	Sum    int64 // of all counts
	Counts [bucketsPerSpan + 1]uint32
}

// advance drops the buckets that have left the span. When the clock was set back,
// the counts move with it.
func (w *slidingWindow) advance(now, span int64) {
	n := floorDiv(now, span/bucketsPerSpan)
	switch {
	case n < w.Newest-1:
		before := *w
		for i := range int64(len(w.Counts)) {
			w.Counts[bucketIndex(n-i)] = before.Counts[bucketIndex(before.Newest-i)]
		}
		w.Newest = n
	case n-w.Newest > bucketsPerSpan:
		*w = slidingWindow{Newest: n}
	}
	for w.Newest < n {
		w.Newest++
		count := &w.Counts[bucketIndex(w.Newest)]
		w.Sum -= int64(*count)
		*count = 0
	}
}

// add counts n calls.
func (w *slidingWindow) add(n, now, span int64) {
	w.advance(now, span)
	w.Counts[bucketIndex(w.Newest)] += uint32(n)
	w.Sum += n
}

// expiryOf is when k of the calls will have left the span; 0 when there are fewer.
func (w *slidingWindow) expiryOf(k, span int64) int64 {
	for n := w.Newest - bucketsPerSpan; n <= w.Newest; n++ {
		if k -= int64(w.Counts[bucketIndex(n)]); k <= 0 {
			return (n + 1 + bucketsPerSpan) * (span / bucketsPerSpan)
		}
	}
	return 0
}

// countSince counts the calls after a time, give or take a bucket.
func (w *slidingWindow) countSince(from, span int64) (sum int64) {
	for n := max(w.Newest-bucketsPerSpan, floorDiv(from, span/bucketsPerSpan)); n <= w.Newest; n++ {
		sum += int64(w.Counts[bucketIndex(n)])
	}
	return sum
}

func bucketIndex(n int64) int64 {
	return ((n % (bucketsPerSpan + 1)) + bucketsPerSpan + 1) % (bucketsPerSpan + 1)
}

// floorDiv divides, rounding down: times before 1970 are below zero.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
