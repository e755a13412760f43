package receiver

import (
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/siglake/siglake/internal/inbox"
)

// Reason is why a request was not accepted.
type Reason string

// The reasons.
const (
	Unsigned       Reason = "unsigned"        // without the headers of a signature
	WrongSignature Reason = "signature"       // that of nothing that the secrets sign
	TooOld         Reason = "age"             // a right signature, and a timestamp out of --tolerance
	BadTimestamp   Reason = "timestamp"       // a right signature, and a timestamp that is none
	TooLarge       Reason = "oversize"        // a body of more than a megabyte
	TooSlow        Reason = "slow"            // the body did not arrive in time
	CutOff         Reason = "cut off"         // the body did not arrive
	Busy           Reason = "busy"            // too many others wait
	TooLate        Reason = "not yet durable" // it may become durable later
	NotWritten     Reason = "not durable"     // the inbox cannot be written
	BadChallenge   Reason = "challenge"       // empty or too long
	NoSuchPath     Reason = "path"
	NoSuchMethod   Reason = "method"
)

// Reasons are all, in the order of the metrics.
var Reasons = []Reason{Unsigned, WrongSignature, TooOld, BadTimestamp, TooLarge, TooSlow, CutOff, Busy, TooLate, NotWritten, BadChallenge, NoSuchPath, NoSuchMethod}

// Status is the status of the answer.
func (r Reason) Status() int {
	switch r {
	case Unsigned, WrongSignature, TooOld, BadTimestamp:
		return http.StatusUnauthorized
	case TooLarge:
		return http.StatusRequestEntityTooLarge
	case TooSlow:
		return http.StatusRequestTimeout
	case Busy, TooLate, NotWritten:
		return http.StatusServiceUnavailable
	case NoSuchPath:
		return http.StatusNotFound
	case NoSuchMethod:
		return http.StatusMethodNotAllowed
	}
	return http.StatusBadRequest
}

// Kinds are the kinds of deliveries, in the order of the metrics.
var Kinds = []inbox.Kind{inbox.Event, inbox.OptOut, inbox.Test, inbox.Unreadable}

// Counts are what a receiver did since it began.
type Counts struct {
	New, Known map[inbox.Kind]int64 // deliveries that were acknowledged
	Refused    map[Reason]int64
	Challenges int64
	// The time of all deliveries from the first byte of their bodies until they were durable.
	Took time.Duration
	// When the last one was acknowledged; zero: none was.
	Last time.Time
}

// Total is the number of deliveries that were acknowledged.
func (c *Counts) Total() (fresh, known int64) {
	for _, k := range Kinds {
		fresh, known = fresh+c.New[k], known+c.Known[k]
	}
	return fresh, known
}

type counts struct {
	challenges atomic.Int64

	mu  sync.Mutex
	sum Counts
}

func (c *counts) note(d *inbox.Delivery, fresh bool, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sum.init()
	if fresh {
		c.sum.New[d.Kind]++
	} else {
		c.sum.Known[d.Kind]++
	}
	c.sum.Took += took
	c.sum.Last = d.Received
}

func (c *counts) refuse(reason Reason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sum.init()
	c.sum.Refused[reason]++
}

func (c *Counts) init() {
	if c.New == nil {
		c.New, c.Known, c.Refused = map[inbox.Kind]int64{}, map[inbox.Kind]int64{}, map[Reason]int64{}
	}
}

// Counts are those at the moment.
func (r *Receiver) Counts() Counts {
	r.counts.mu.Lock()
	defer r.counts.mu.Unlock()
	all := Counts{Challenges: r.counts.challenges.Load(), Took: r.counts.sum.Took, Last: r.counts.sum.Last}
	all.init()
	for _, k := range Kinds {
		all.New[k], all.Known[k] = r.counts.sum.New[k], r.counts.sum.Known[k]
	}
	for _, reason := range Reasons {
		all.Refused[reason] = r.counts.sum.Refused[reason]
	}
	return all
}

// throttle limits lines about refusals: strangers decide how many there are.
type throttle struct {
	mu    sync.Mutex
	lines map[Reason]*throttled
}

type throttled struct {
	last    time.Time
	skipped int
}

func (t *throttle) log(log *slog.Logger, now time.Time, reason Reason, line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lines == nil {
		t.lines = map[Reason]*throttled{}
	}
	l := t.lines[reason]
	if l == nil {
		l = &throttled{}
		t.lines[reason] = l
	}
	if since := now.Sub(l.last); since >= 0 && since < logEvery {
		l.skipped++
		return
	}
	if l.skipped > 0 {
		line += fmt.Sprintf("; %d more since the last such line", l.skipped)
	}
	*l = throttled{last: now}
	log.Warn("refused "+line, "reason", string(reason))
}
