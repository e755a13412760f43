package signals

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// Bisector finds the items for which the API refuses a batch as a whole, so
// that the others are answered.
type Bisector struct {
	inner pipeline.Fetcher
}

// fruitless is how many calls may fail alike, without one part of a batch
// being accepted, before the question rather than an item is blamed.
const fruitless = 40

// Bisect wraps a decoded fetcher. Refusals are not charged, so the search
// costs requests, never credits: with k bad items among n, about
// 2k·log2(n/k) of them, and never more than 2n-1.
func Bisect(inner pipeline.Fetcher) *Bisector { return &Bisector{inner} }

// Fetch asks about the batch, and about its halves as long as they are refused
// for what is in them. An item refused alone is Rejected, or Restricted when
// the refusal is a legal one. When one part ends the run, what the others
// brought is kept and the rest is Deferred.
func (s *Bisector) Fetch(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	q := search{inner: s.inner}
	p := q.ask(ctx, b)
	if p.err == nil && p.refused && len(b.Items) == 1 && wholeRequest(p.verdict) {
		p.err = blame(p.verdict, p.b.Query)
	}
	q.split(ctx, &p, true)
	return p.reply, p.err
}

// search is the state of one batch's bisection.
type search struct {
	inner    pipeline.Fetcher
	accepted bool   // some part was
	same     int    // refusals so far, all with the same words
	words    string // of the refusals
}

// part is a stretch of the batch and what came of asking about it.
type part struct {
	b       *pipeline.Batch
	reply   *pipeline.Reply
	verdict Verdict
	refused bool // for what is in it
	err     error
}

func (q *search) ask(ctx context.Context, b *pipeline.Batch) part {
	reply, err := q.inner.Fetch(ctx, b)
	if reply == nil {
		reply = &pipeline.Reply{}
	}
	if len(reply.Items) != len(b.Items) {
		reply.Items = fates(b, schema.Deferred, "not asked", "")
	}
	p := part{b: b, reply: reply, err: err}
	if err != nil || len(reply.Calls) == 0 {
		return p
	}
	call := &reply.Calls[len(reply.Calls)-1]
	if call.Outcome != pipeline.NotCharged {
		q.accepted = true
		return p
	}
	p.verdict = verdictOf(call)
	switch p.verdict.Class {
	case ClassBadRequest, ClassName, ClassLegal:
		p.refused = true
	default:
		q.accepted = q.accepted || p.verdict.Class == ClassNotFound
		return p
	}
	if words := p.verdict.Text(); words != q.words {
		q.words, q.same = words, 0
	}
	q.same++
	return p
}

// split replaces what was refused by what its halves bring.
func (q *search) split(ctx context.Context, p *part, top bool) {
	if p.err != nil || !p.refused {
		return
	}
	if len(p.b.Items) < 2 {
		p.reply.Items = []pipeline.ItemReply{condemn(p)}
		return
	}
	if !q.accepted && q.same >= fruitless {
		p.err = blame(p.verdict, p.b.Query)
		return
	}
	b0, b1 := p.b.Split()
	one := q.ask(ctx, b0)
	two := part{b: b1, reply: nothing(b1, "not asked: another part of its batch ended the run")}
	if one.err == nil {
		two = q.ask(ctx, b1)
	}
	if top && one.refused && two.refused && one.verdict.Text() == two.verdict.Text() && wholeRequest(one.verdict) {
		one.err = blame(one.verdict, p.b.Query)
	}
	// What stops one half stops the other, but takes nothing from it.
	if one.err == nil && two.err == nil {
		q.split(ctx, &one, false)
	}
	if one.err == nil && two.err == nil {
		q.split(ctx, &two, false)
	}
	p.err = one.err
	if p.err == nil {
		p.err = two.err
	}
	p.reply = &pipeline.Reply{
		Calls:  concat(p.reply.Calls, one.reply.Calls, two.reply.Calls),
		Items:  concat(one.reply.Items, two.reply.Items),
		Strays: concat(p.reply.Strays, one.reply.Strays, two.reply.Strays),
	}
}

func concat[T any](lists ...[]T) []T {
	var out []T
	for _, l := range lists {
		out = append(out, l...)
	}
	return out
}

// condemn is the fate of an item that was refused alone.
func condemn(p *part) pipeline.ItemReply {
	call := p.reply.Calls[len(p.reply.Calls)-1]
	item := pipeline.ItemReply{Status: schema.Rejected, CallID: call.ID, Reason: p.verdict.problem()}
	if p.verdict.Class == ClassLegal {
		item.Status = schema.Restricted
	}
	return item
}

var (
	// question names what concerns every item of a request.
	question = regexp.MustCompile(`(?i)(^|[^a-z])(signals|signal ?types?|signal keys?|(start|end) ?date|pagination|max ?results ?per ?signal|filters|news ?event ?types|hiring ?by ?(departments|locations))([^a-z]|$)`)
	// anItem names one of them.
	anItem = regexp.MustCompile(`(?i)(contacts|companies|contact ?ids|company ?ids|(^|[^a-z])ids|items?)\W{0,3}\d`)
	// aSeed names what the one question about lookalikes is made of.
	aSeed = regexp.MustCompile(`(?i)(^|[^a-z])(seeds|exclude)([^a-z]|$)`)
)

// wholeRequest reports whether a refusal is about the question as such, so
// that no part of the batch can be accepted.
func wholeRequest(v Verdict) bool {
	text := v.Text()
	return v.Class == ClassBadRequest && (aSeed.MatchString(text) || question.MatchString(text) && !anItem.MatchString(text))
}

func blame(v Verdict, q *pipeline.Query) error {
	advice := "check the signal types, the dates, the filters and the seeds against the API's options"
	if q.SendFilters && strings.Contains(v.Text(), "filters") {
		advice = "leave out --send-filters: then the events are filtered here, and those that are kept out are paid for as well"
	}
	return &pipeline.Stop{
		Kind:   pipeline.StopRequest,
		Reason: fmt.Sprintf("the API refuses the question itself: %s", v.problem()),
		Advice: advice,
	}
}
