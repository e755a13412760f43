package quota

import (
	"time"

	"github.com/siglake/siglake/pipeline"
)

// Times in here are nanoseconds since 1970, because they are kept in a file.

const none = -1 // no limit

// window is one rate window: its rules, and what is known about it.
type window struct {
	*tally
	name    string
	span    int64
	plan    int64 // limit to assume until one is stated; none
	least   int64 // calls of it to reserve
	reserve Reserve
}

// tally is what is known about a window. It is stored as it stands.
type tally struct {
	Ledger ledger // calls that ended here

	Limit  int64 // as stated; 0 not yet, or none
	Closed int64 // a 429 said that it is used up until then

	// The server's last statement about it.
	Known      bool  // there is one about the present window
	Silent     bool  // answers say nothing about it
	Used, Left int64 //
	Sent       int64 // it was true at some moment between this one
	Heard      int64 // and this one
	Muted      int64 // calls that ended since without a statement
	MutedAt    int64 // the last of them

	// The present window of the server.
	Epoch  int64 // its first statement was heard then
	Turns  int64 // it ends then, as stated; 0 not stated
	Ours   int64 // at most so many of its calls are ours, flying ones included
	Others int64 // at least so many are not

	// How its windows lie.
	Dropped int64 // not before then did it turn last
	Shifted bool  // not on UTC's minutes, hours, days
	Rolling bool
}

// limit is how many calls the window allows, or none.
func (w *window) limit() int64 {
	if w.Limit != 0 {
		return w.Limit
	}
	return w.plan
}

// blocked reports whether one more call has to wait, and until when; 0 means
// until a call in flight has ended.
func (w *window) blocked(now, flying int64, c clock) (until int64, blocked bool) {
	w.Ledger.advance(now, w.span)
	if now < w.Closed {
		return w.Closed, true
	}
	limit := w.limit()
	if limit < 0 {
		return 0, false
	}
	spare := w.reserve.of(limit, w.least)
	quota := limit - spare
	if w.Rolling && w.Others > spare {
		quota = limit - w.Others
		if quota <= 0 && flying == 0 && now >= w.Heard+w.span/10 {
			quota = w.Ledger.Sum + 1 // time to look again
		}
	}
	if over := w.Ledger.Sum + flying - quota + 1; over > 0 {
		until, blocked = w.Ledger.opens(over, w.span), true
		if quota <= 0 {
			until = w.Heard + w.span/10
		}
	}
	switch {
	case w.Rolling:
	case w.Known:
		free := w.free(spare)
		switch ended := now >= w.ends(c); {
		case free > flying && (flying > 0 || !ended):
		case ended && flying == 0: // this one finds out
		case !ended && free <= 0:
			until, blocked = max(until, w.ends(c)), true
		default:
			blocked = true
		}
	case !w.Silent && flying > 0:
		blocked = true // one at a time until something is known
	}
	return until, blocked
}

// free is what the server said to be left for us, when nothing is in flight.
func (w *window) free(spare int64) int64 {
	return w.Left - w.Muted - max(0, spare-w.Others)
}

// grace is how much later than expected a window may turn: the server's
// machines need not agree on the time.
func (w *window) grace() int64 { return min(w.span/240, int64(time.Second)) }

// ends is when the server's present window has ended, at the latest.
func (w *window) ends(c clock) int64 {
	switch {
	case w.Turns > 0:
		return w.Turns
	case w.Shifted:
		return w.Epoch + w.span + w.grace()
	}
	return w.boundary(w.Sent, c)
}

// boundary is when the first UTC boundary after t has passed on the server.
func (w *window) boundary(t int64, c clock) int64 {
	return (floor(t+c.Least, w.span)+1)*w.span - c.Least + w.grace()
}

// take enters an admission. flying counts those before it.
func (w *window) take(now, flying int64, c clock) {
	if w.Known && flying == 0 && now >= w.ends(c) {
		w.Known, w.Silent = false, false
	}
	w.Ours++
}

// mute notes calls that ended without a statement about the window.
func (w *window) mute(n, now int64) {
	if w.Known {
		w.Muted += n
		w.MutedAt = now
	}
}

// learn takes a statement in. It was true at some moment between sent and
// heard; flying calls may or may not be in it. It reports whether it says
// anything.
func (w *window) learn(stated pipeline.Window, sent, heard, flying int64, c clock) bool {
	limit, used, left := stated.Limit, stated.Used, stated.Left
	switch {
	case limit >= boundless:
		w.Limit, w.Known, w.Silent = none, false, true
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
	w.Ledger.advance(heard, w.span)
	w.doubt(used, flying)
	later := sent >= w.Heard // than the statement before, for certain
	switch {
	case !w.Known:
		w.begin(used, sent, heard, flying, c)
	case w.Rolling:
		if sent < w.Sent {
			return true
		}
		w.Others = max(0, used-w.Ledger.Sum-flying)
	case used < w.Used && later:
		w.turned(heard, c)
		w.begin(used, sent, heard, flying, c)
	case used < w.Used:
		return true // overtaken by the one before
	case sent < w.Epoch && used > w.Ours+w.Others:
		return true // about the window before
	default:
		if sent > w.Epoch+w.span {
			w.Epoch = heard // it turned unseen
		}
		w.Others = max(w.Others, used-w.Ours)
	}
	w.Used, w.Left = used, left
	w.Sent, w.Heard = max(w.Sent, sent), heard
	if sent >= w.MutedAt {
		w.Muted = 0
	}
	return true
}

// begin opens the account of another window of the server.
func (w *window) begin(used, sent, heard, flying int64, c clock) {
	from := w.Sent
	if !w.Shifted {
		from = max(from, floor(heard+c.Least, w.span)*w.span-c.Most)
	}
	ours, rolling := w.Ledger.since(from, w.span), w.Ledger.Sum+flying
	if used-ours > max(5, w.limit()/20) && used <= rolling && used >= rolling-w.edge(flying) {
		// A new window that begins with just as many calls of others as have
		// not yet left the ledger? It is no new window.
		w.Rolling = true
	}
	w.Ours, w.Others = min(used, ours)+flying, max(0, used-ours)
	if w.Rolling {
		w.Others = max(0, used-rolling)
	}
	w.Known, w.Silent = true, false
	w.Epoch, w.Turns = heard, 0
	w.Sent = sent
}

// doubt gives up that windows roll when the server counts much less than what
// was asked here within a span.
func (w *window) doubt(used, flying int64) {
	if w.Rolling && used < w.Ledger.Sum*3/4-w.edge(flying) {
		w.Rolling, w.Known, w.Dropped = false, false, 0
	}
}

// edge is how far the ledger may be off from the count of a server whose
// windows roll.
func (w *window) edge(flying int64) int64 {
	oldest := w.Ledger.Newest - parts
	return int64(w.Ledger.Counts[mod(oldest)]+w.Ledger.Counts[mod(oldest+1)]) + flying + 3
}

// turned learns how windows lie from one that turned after w.Sent and before
// heard.
func (w *window) turned(heard int64, c clock) {
	w.Rolling = w.Rolling || w.Dropped != 0 && heard-w.Dropped < w.span
	w.Dropped = w.Sent
	switch onUTC := floor(heard+c.Most, w.span) > floor(w.Sent+c.Least-1, w.span); {
	case !onUTC:
		w.Shifted = true
	case heard-w.Sent < w.span/4:
		w.Shifted = false
	}
}

// refuse closes the window after a 429: for as long as that said, else until it
// should turn. A refusal where the window should just have turned shows that it
// lies otherwise.
func (w *window) refuse(now, wait, epoch int64, guessed bool, c clock) {
	until := now + wait
	switch {
	case wait > 0:
	case guessed:
		w.Shifted = true
		until = epoch + w.span
		if until <= now {
			until = now + w.span/24
		}
	case w.Shifted:
		until = w.Epoch + w.span
	default:
		until = w.boundary(now, c) - w.grace()
	}
	w.Closed = max(w.Closed, until+w.grace())
	w.Known, w.Silent = false, false
}

// clock bounds how far the server's clock is ahead of ours.
type clock struct{ Least, Most int64 }

// parts is how many buckets a window's length is cut into.
const parts = 300

// ledger counts what happened within the last span, in buckets of span/parts.
type ledger struct {
	Newest int64 // number of the newest bucket, counted from 1970
	Sum    int64 // of all counts
	Counts [parts + 1]uint32
}

// advance drops the buckets that have left the span. When the clock was set
// back, what is known moves with it.
func (l *ledger) advance(now, span int64) {
	n := floor(now, span/parts)
	switch {
	case n < l.Newest-1:
		was := *l
		for i := range int64(len(l.Counts)) {
			l.Counts[mod(n-i)] = was.Counts[mod(was.Newest-i)]
		}
		l.Newest = n
	case n-l.Newest > parts:
		*l = ledger{Newest: n}
	}
	for l.Newest < n {
		l.Newest++
		count := &l.Counts[mod(l.Newest)]
		l.Sum -= int64(*count)
		*count = 0
	}
}

func (l *ledger) add(n, now, span int64) {
	l.advance(now, span)
	l.Counts[mod(l.Newest)] += uint32(n)
	l.Sum += n
}

// opens is when k of the calls will have left; 0 when there are fewer.
func (l *ledger) opens(k, span int64) int64 {
	for n := l.Newest - parts; n <= l.Newest; n++ {
		if k -= int64(l.Counts[mod(n)]); k <= 0 {
			return (n + 1 + parts) * (span / parts)
		}
	}
	return 0
}

// since counts what happened after a time, give or take a bucket.
func (l *ledger) since(from, span int64) (sum int64) {
	for n := max(l.Newest-parts, floor(from, span/parts)); n <= l.Newest; n++ {
		sum += int64(l.Counts[mod(n)])
	}
	return sum
}

func mod(n int64) int64 { return ((n % (parts + 1)) + parts + 1) % (parts + 1) }

// floor divides, rounding down: times before 1970 are below zero.
func floor(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
