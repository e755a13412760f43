package lusha

import (
	"github.com/siglake/siglake/internal/policy"
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
func (Rules) Refusal(call *pipeline.Call) policy.Refusal {
	v := classifyCall(call)
	r := policy.Refusal{RetryAfter: v.RetryAfter, Message: v.FullMessage(), Summary: v.summary(), Stop: terminalStop(v)}
	if call.Outcome != pipeline.NotCharged {
		if v.Class == ClassProxy && v.Status/100 == 4 || v.Class == ClassRedirect {
			r.Kind = policy.Intercepted
		}
		return r
	}
	switch v.Class {
	case ClassBadRequest, ClassBadName:
		r.Kind, r.BadQuery = policy.BadItem, refusesQuery(v)
	case ClassLegal:
		r.Kind = policy.RestrictedItem
	case ClassNotFound:
		r.Kind = policy.NoMatch
	case ClassServer, ClassUnsent:
		r.Kind = policy.Transient
	case ClassRateBurst:
		r.Kind, r.RetryAfter = policy.RateBurst, 0 // the rate limiter keeps the delay, for every batch at once
	case ClassRateHour, ClassRateDay:
		r.Kind = policy.RateWindow
	case ClassGone:
		r.Kind = policy.SessionExpired
	default:
		if r.Stop != nil {
			r.Kind = policy.Terminal
		}
	}
	return r
}
