package pipeline

import (
	"math"
	"sync"

	"github.com/siglake/siglake/internal/flatten"
	"github.com/siglake/siglake/schema"
)

// Audit says how many events the nights missed, as far as audits show it. An audit asks a pair of
// entity and signal type, a recent event of which is known, for all days of the look-back instead of
// those after its newest event.
type Audit struct {
	AuditCounts             // of this run
	Total       AuditCounts `json:"so_far"` // of all runs up to this one
	// The share of events that were missed, by Total, and its interval.
	Missed      float64 `json:"missed_share"`
	MissedLeast float64 `json:"missed_share_least"`
	MissedMost  float64 `json:"missed_share_most"`
}

// AuditCounts sums audits up. An event is late if it is not newer than the newest event that was known
// of its pair, and was not known itself: no later question would have asked for it.
//
// Events and Missed are those dated on days older than the lateness of their type. On later days events
// are still to come, and early ones would count more often than late ones: such a day is audited on
// every night until it is old, and a late event is found on the last of them only.
type AuditCounts struct {
	Pairs  int64 `json:"pairs"`      // that were audited
	Events int64 `json:"events"`     // that they have
	Missed int64 `json:"missed"`     // of these, late ones
	Late   int64 `json:"late_found"` // late ones, dated on any day
}

// AuditedEvent is an event in the answer to an audit.
type AuditedEvent struct {
	Day   int64 // since 1970
	Known bool  // an earlier answer had it
}

// AddPair counts the audit of one pair. Its days from since to settled are older than the lateness;
// newest is the day of the newest event that was known.
func (a *AuditCounts) AddPair(events []AuditedEvent, since, settled, newest int64) {
	a.Pairs++
	for _, e := range events {
		late := !e.Known && e.Day <= newest
		if late {
			a.Late++
		}
		if e.Day < since || e.Day > settled {
			continue
		}
		if a.Events++; late {
			a.Missed++
		}
	}
}

// Add adds other audits.
func (a *AuditCounts) Add(o AuditCounts) {
	a.Pairs += o.Pairs
	a.Events += o.Events
	a.Missed += o.Missed
	a.Late += o.Late
}

// NewAudit is the audit of a run after others.
func NewAudit(run, before AuditCounts) *Audit {
	a := &Audit{AuditCounts: run, Total: before}
	a.Total.Add(run)
	a.Missed, a.MissedLeast, a.MissedMost = a.Total.MissedShare()
	return a
}

// MissedShare is the share of events that were missed, with an exact interval (Clopper and Pearson)
// that holds the true share in at least 95 of 100 cases. Without an event it is from 0 to 1.
func (a *AuditCounts) MissedShare() (share, least, most float64) {
	if a.Events == 0 {
		return 0, 0, 1
	}
	const tail = 0.025
	share, most = float64(a.Missed)/float64(a.Events), 1
	if a.Missed > 0 {
		least = bisect(func(p float64) bool { return 1-binomialUpTo(a.Missed-1, a.Events, p) > tail })
	}
	if a.Missed < a.Events {
		most = bisect(func(p float64) bool { return binomialUpTo(a.Missed, a.Events, p) < tail })
	}
	return share, least, most
}

// bisect finds where a condition on a share begins to be true.
func bisect(isAbove func(p float64) bool) float64 {
	low, high := 0.0, 1.0
	for range 50 {
		if middle := (low + high) / 2; isAbove(middle) {
			high = middle
		} else {
			low = middle
		}
	}
	return (low + high) / 2
}

// binomialUpTo is the probability of at most k of n, each with probability p between 0 and 1.
func binomialUpTo(k, n int64, p float64) (sum float64) {
	odds := math.Log(p) - math.Log1p(-p)
	term := float64(n) * math.Log1p(-p) // logarithm of the probability of i
	for i := int64(0); ; i++ {
		if sum += math.Exp(term); i == k {
			return min(sum, 1)
		}
		term += math.Log(float64(n-i)) - math.Log(float64(i+1)) + odds
	}
}

// EventUID is the event_uid of the row of an event in an answer: of the first row, if it has several.
func EventUID(b *Batch, item int, a *ItemReply, e *RawEvent) string {
	requestedBy, requested := b.Items[item].requested()
	entity := a.Entity
	if entity.Object == "" {
		entity.Object = b.Query.Object
	}
	f := uidFlatteners.Get().(*flatten.Flattener)
	defer uidFlatteners.Put(f)
	return f.UID(&schema.Event{Entity: entity, RequestedBy: requestedBy, Requested: requested, Type: e.Type, Raw: e.Raw})
}

// uidFlatteners make rows of which only the id is read.
var uidFlatteners = sync.Pool{New: func() any { return flatten.New(flatten.Options{Version: schema.Version}) }}

// EventDay is the date of an event, as its row has it, in days since 1970; false if it has none. Of a
// record with several topics, which has a row for each, it is the newest one.
func EventDay(e *RawEvent) (day int64, ok bool) { return flatten.Day(e.Type, e.Raw) }
