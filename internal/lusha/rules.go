package lusha

import (
	"github.com/siglake/siglake/internal/policy"
	"github.com/siglake/siglake/pipeline"
)

// Rules explains the API's refusals to the policies. The zero value is ready
// for use.
type Rules struct{}

// UnsentReply is the reply to a batch that was not sent: items that the API's
// version cannot express are Rejected, the others Deferred with the reason.
func (Rules) UnsentReply(b *pipeline.Batch, reason string) *pipeline.Reply {
	reply := pipeline.NewReply(b, reason)
	rejectInexpressible(b, reply.Items)
	return reply
}

// Refusal explains a call that did not end as Charged.
func (Rules) Refusal(call *pipeline.Call) policy.Refusal {
	v := classifyCall(call)
	r := policy.Refusal{RetryAfter: v.RetryAfter, Message: v.FullMessage(), Summary: v.explanation(), Stop: terminalStop(v)}
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
