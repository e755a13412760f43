package signals

import (
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// Rules explains the API's refusals to the policies. The zero value is ready
// for use.
type Rules struct{}

// Deferred returns one reply for each item of a batch that was not sent:
// Rejected for an item that the API's version cannot express, Deferred with the
// reason for every other.
func (Rules) Deferred(b *pipeline.Batch, reason string) []pipeline.ItemReply {
	return itemsWithStatus(b, schema.Deferred, reason, "")
}

// Refusal explains a call that did not end as Charged.
func (Rules) Refusal(call *pipeline.Call) Refusal {
	v := classifyCall(call)
	r := Refusal{RetryAfter: v.RetryAfter, Message: v.FullMessage(), Summary: v.summary(), Stop: terminalStop(v)}
	if call.Outcome != pipeline.NotCharged {
		if v.Class == ClassProxy && v.Status/100 == 4 || v.Class == ClassRedirect {
			r.Kind = Intercepted
		}
		return r
	}
	switch v.Class {
	case ClassBadRequest, ClassBadName:
		r.Kind, r.BadQuery = BadItem, refusesQuery(v)
	case ClassLegal:
		r.Kind = RestrictedItem
	case ClassNotFound:
		r.Kind = NoMatch
	case ClassServer, ClassUnsent:
		r.Kind = Transient
	case ClassRateBurst:
		r.Kind, r.RetryAfter = RateBurst, 0 // the rate limiter keeps the delay, for every batch at once
	case ClassRateHour, ClassRateDay:
		r.Kind = RateWindow
	case ClassGone:
		r.Kind = SessionExpired
	default:
		if r.Stop != nil {
			r.Kind = Terminal
		}
	}
	return r
}
