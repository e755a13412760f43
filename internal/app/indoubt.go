package app

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/internal/policy"
	"github.com/siglake/siglake/pipeline"
)

// The policies for calls in doubt.
const (
	inDoubtHold  = "hold"
	inDoubtRetry = "retry"
	inDoubtProbe = "probe"
)

// inDoubtPolicy says what to do about calls in doubt.
type inDoubtPolicy struct {
	name   string
	budget int64 // most credits that asking again may cost, over all passes of a command
	spent  int64 // most that the calls can cost that earlier passes released
	// Between the two readings of the account's usage that prove something.
	settlingTime time.Duration
	proven       []*ledger.Call // found not charged by this pass
	matched      int64          // credits that answers explained then
	first        *lusha.Usage   // a reading that this pass has made already; nil: none
	usage        *lusha.Usage   // the last reading, which the run that follows begins with
}

// usageSettles is how long the vendor may take to book a call: usage that does not change
// meanwhile is taken for final.
const usageSettles = 45 * time.Second

// inDoubtPolicy reads --in-doubt and --in-doubt-budget.
func (o *MoneyOptions) inDoubtPolicy() (p inDoubtPolicy, err error) {
	p.name = o.InDoubt
	switch p.name {
	case inDoubtHold:
		if o.InDoubtBudget != "" {
			return p, UsageErrorf("--in-doubt-budget caps repeated calls, and --in-doubt hold repeats none: add --in-doubt retry or probe")
		}
	case inDoubtProbe:
	case inDoubtRetry:
		if o.InDoubtBudget == "" {
			return p, UsageErrorf("--in-doubt retry may pay twice: cap it with --in-doubt-budget N, or unlimited")
		}
	default:
		return p, UsageErrorf("--in-doubt %q: expected hold, retry or probe", p.name)
	}
	switch text := o.InDoubtBudget; text {
	case "":
	case "unlimited":
		p.budget = math.MaxInt64
	default:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 1 {
			return p, UsageErrorf("--in-doubt-budget %q: expected a number of credits from 1, or unlimited", text)
		}
		p.budget = n
	}
	return p, nil
}

// decideInDoubt decides about the calls in doubt that the job could repeat, as the policy says.
func (s *session) decideInDoubt(ctx context.Context) error {
	j, l := s.job, s.lake
	j.inDoubt.proven = nil
	inDoubt := slices.DeleteFunc(l.ledger.CallsInDoubt(), func(d *ledger.Call) bool { return !j.canRepeat(d) })
	if j.inDoubt.name == inDoubtHold || len(inDoubt) == 0 {
		return nil
	}
	queries, err := s.repeatQueries(ctx)
	if err != nil {
		return err
	}
	if j.inDoubt.first = nil; j.usage != nil && j.usage.err == nil {
		j.inDoubt.first = j.usage.found
	}
	return j.inDoubt.apply(ctx, l, j.conn.client, inDoubt, queries)
}

// canRepeat reports whether a call is one that the run could make again.
func (o *RunOptions) canRepeat(d *ledger.Call) bool {
	return d.Query.Service() == o.Service || d.Query.Service() == pipeline.Search && o.Service == pipeline.Signals
}

// repeatQueries are the queries that a run will make, priced: those of the run that it resumes or
// else, as far as they matter for a budget, new ones.
func (s *session) repeatQueries(ctx context.Context) ([]pipeline.Query, error) {
	j := s.job
	if resumed := newMatcher(j, s.lake).find().resume; resumed != nil {
		return resumed.Queries, nil
	}
	if j.inDoubt.budget == 0 || j.inDoubt.budget == math.MaxInt64 {
		return nil, nil
	}
	built, err := s.buildOnce(ctx)
	if err != nil {
		return nil, err
	}
	if j.usage == nil {
		j.usage = new(usageReading)
		j.usage.found, j.usage.err = j.conn.readUsage(ctx)
	}
	tariff, _ := earlierTariff(s.lake.ledger.Runs())
	if j.usage.err == nil {
		tariff = newTariff(j.usage.found)
	}
	queries := slices.Clone(built.queries)
	priceQueries(queries, tariff)
	return queries, nil
}

// apply decides about calls in doubt as the policy says, before a run looks at what
// is known. queries are those that the run will make.
func (p *inDoubtPolicy) apply(ctx context.Context, l *lake, client *lusha.Client, inDoubt []*ledger.Call, queries []pipeline.Query) error {
	if p.name == inDoubtProbe {
		var err error
		if inDoubt, err = p.reconcile(ctx, l, client, inDoubt); err != nil {
			return err
		}
	}
	inDoubt, repeated, err := withoutRepeatedFailures(ctx, l, inDoubt)
	if err != nil {
		return err
	}
	for _, f := range repeated {
		l.env.Log.Warn("a call stays in doubt: "+f.Reason, "call", f.Call, "credits_at_most", f.MaxCost)
	}
	remaining := p.budget - p.spent
	var released, credits, smallest, total int64
	for _, d := range inDoubt {
		cost := repeatCeiling(d, queries)
		total += cost
		if cost > remaining {
			if smallest == 0 || cost < smallest {
				smallest = cost
			}
			continue
		}
		remaining -= cost
		if err := l.ledger.Recorder(d.Run).RecordDecision(d, ledger.Retry, "--in-doubt "+p.name); err != nil {
			return &Error{KindStorage, err}
		}
		released++
		credits += cost
	}
	p.spent += credits
	if released > 0 {
		l.env.Log.Warn("repeating calls in doubt: they may be paid twice", "calls", released, "credits_at_most", credits)
	}
	if kept := int64(len(inDoubt)) - released; kept > 0 && p.budget > 0 {
		// A call is released whole: what is decided about it is one record, and one
		// fate in the bill. So a budget below its ceiling covers none of its lines.
		l.env.Log.Warn(fmt.Sprintf("calls stay in doubt: siglake repeats a call only if all of it fits into --in-doubt-budget, of which %d is left; the cheapest can cost %d, all of them and those repeated %d",
			remaining, smallest, total), "calls", kept)
	}
	return nil
}

// repeatCeiling is the most that repeating a call in doubt can cost: the question may be a wider one
// by now, and small batches may cost more than a large one.
func repeatCeiling(d *ledger.Call, queries []pipeline.Query) int64 {
	cost := d.Ceiling
	for i := range queries {
		cost = max(cost, queries[i].RepeatCeiling(d.Query, d.Entities))
	}
	return cost
}

// reconcile holds the account's own count against what the journal explains. When
// both agree, nothing in doubt was charged. It gives the doubts that remain.
//
// The count is the account's, not ours: if others use the account, it moves by
// more than we explain. What it moved by beyond the answers is still the most
// that all our calls in doubt can have cost, and is recorded as such. Both
// conclusions hold as far as the vendor's count only ever grows and has every
// call by the time it is read. So it is read twice, with the time between that
// the vendor may take to book a call, and proves nothing if it moved meanwhile.
// That it fell, as at the end of a billing period, is seen when a later reading
// is lower, and then nothing is concluded.
func (p *inDoubtPolicy) reconcile(ctx context.Context, l *lake, client *lusha.Client, inDoubt []*ledger.Call) ([]*ledger.Call, error) {
	from := inDoubt[0].Run // the oldest
	if from.UsedCredits == nil {
		l.env.Log.Info("the account's usage is inconclusive: it was unknown when the run in doubt started", "run", from.ID)
		return inDoubt, nil
	}
	u, err := p.readSettledUsage(ctx, l, client)
	if err != nil || u.Used < 0 {
		l.env.Log.Info("the account's usage is not available", "error", err)
		return inDoubt, nil
	}
	known := knownUsageSince(from, l.ledger.Runs())
	if known.fell {
		l.env.Log.Info("the account's usage is inconclusive: it fell since the run in doubt started", "run", from.ID)
		return inDoubt, nil
	}
	if known.delivered != "" {
		l.env.Log.Info("the account's usage is inconclusive: the charge of a delivery is unknown", "call", known.delivered)
		return inDoubt, nil
	}
	increase, matched := u.Used-*from.UsedCredits, known.matched
	if u.Used < known.lastReading || increase < matched {
		l.env.Log.Info("the account's usage is inconclusive: it rose by less than the charges of the answers", "credits", increase, "explained", matched)
		return inDoubt, nil
	}
	if increase != matched {
		l.env.Log.Warn("the account's usage rose by more than the answers explain: the calls in doubt can have cost at most the difference", "credits", increase, "explained", matched, "in_doubt_at_most", increase-matched)
		reason := fmt.Sprintf("the account's usage rose by %s since run %s started, and answers explain %d", format.Count(increase, "credit"), from.ID, matched)
		if err := l.ledger.Recorder(from).RecordReconciliation(increase-matched, reason); err != nil {
			return nil, &Error{KindStorage, err}
		}
		return inDoubt, nil
	}
	if known.unknown != "" {
		l.env.Log.Info("the account's usage is inconclusive: the charge of a call is unknown", "call", known.unknown)
		return inDoubt, nil
	}
	reason := fmt.Sprintf("the account's usage rose by %s since run %s started, and answers explain all of it", format.Count(increase, "credit"), from.ID)
	for _, d := range inDoubt {
		if err := l.ledger.Recorder(d.Run).RecordDecision(d, ledger.NotCharged, reason); err != nil {
			return nil, &Error{KindStorage, err}
		}
	}
	p.proven, p.matched = inDoubt, matched
	l.env.Log.Info("calls in doubt were not charged: "+reason, "calls", len(inDoubt))
	return nil, nil
}

// confirm takes the proof of a pass back if the account's usage after its run, and a settling time
// later, does not show the run's own charges: then the vendor books later than the probe waited.
// after is the reading at the end of the run; nil: there was none.
func (p *inDoubtPolicy) confirm(ctx context.Context, l *lake, client *lusha.Client, after *int64) error {
	proven := p.proven
	p.proven = nil
	if len(proven) == 0 {
		return nil
	}
	from := proven[0].Run
	matched := knownUsageSince(from, l.ledger.Runs()).matched
	isSeen := func() bool { return after != nil && *after-*from.UsedCredits >= matched }
	if matched == p.matched || isSeen() {
		return nil
	}
	if policy.Sleep(ctx, p.settlingTime) {
		timed, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		if u, err := client.FetchUsage(timed); err == nil && u.Used >= 0 {
			after = &u.Used
		}
	}
	if after == nil || isSeen() { // without a reading nothing contradicts the proof
		return nil
	}
	reason := fmt.Sprintf("taken back: the account's usage rose by %s since run %s started, and answers alone explain %d: the vendor books late", format.Count(*after-*from.UsedCredits, "credit"), from.ID, matched)
	for _, d := range proven {
		if err := l.ledger.Recorder(d.Run).RecordDecision(d, ledger.Retry, reason); err != nil {
			return &Error{KindStorage, err}
		}
	}
	l.env.Log.Warn("calls in doubt may have been charged after all: the proof is "+reason, "calls", len(proven), "credits_at_most", l.ledger.Bill().MaxCost(proven...))
	return nil
}

// readSettledUsage reads the account's usage twice, a settling time apart.
func (p *inDoubtPolicy) readSettledUsage(ctx context.Context, l *lake, client *lusha.Client) (*lusha.Usage, error) {
	read := func() (*lusha.Usage, error) {
		timed, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		return client.FetchUsage(timed)
	}
	first, err := p.first, error(nil)
	if p.first = nil; first == nil {
		first, err = read()
	}
	if err != nil || first.Used < 0 {
		return first, err
	}
	l.env.Log.Info("waiting until the account's usage is final", "time", p.settlingTime)
	if !policy.Sleep(ctx, p.settlingTime) {
		return nil, context.Cause(ctx)
	}
	second, err := read()
	if err == nil && second.Used >= 0 && second.Used != first.Used {
		return nil, fmt.Errorf("it still changes: %s, then %d after %s", format.Count(first.Used, "credit"), second.Used, p.settlingTime)
	}
	if err == nil {
		p.usage = second
	}
	return second, err
}

// deliverySettles is how long after a reading of the account's usage a delivery can arrive that the reading
// counts: its attempts take time, and so does the vendor's book.
const deliverySettles = 2 * time.Minute

// knownUsage is the account's usage since a run began, according to the journal.
type knownUsage struct {
	matched     int64  // credits that answers were charged, and deliveries that certainly came later
	unknown     string // a call with a charge that was not understood, as RUN/CALL; empty: none
	delivered   string // likewise a delivery, which may have come before the run began
	lastReading int64  // of the account's count
	fell        bool   // a reading was lower than the one before
}

// knownUsageSince adds up the runs from one with a reading on.
func knownUsageSince(from *ledger.Run, runs []*ledger.Run) knownUsage {
	known := knownUsage{lastReading: *from.UsedCredits}
	for _, r := range runs[slices.Index(runs, from):] {
		if r.UsedCredits != nil {
			known.fell = known.fell || *r.UsedCredits < known.lastReading
			known.lastReading = *r.UsedCredits
		}
		if r.Inbox == nil {
			known.matched += r.ChargedCredits()
		}
		for _, call := range r.Calls {
			if r.Inbox != nil && call.Time.After(from.FirstStarted.Add(deliverySettles)) {
				known.matched += call.Charge.Credits
			}
			switch {
			case call.Outcome != pipeline.Charged || call.Charge.Known:
			case r.Inbox != nil:
				known.delivered = r.ID + "/" + call.ID
			default:
				known.unknown = r.ID + "/" + call.ID
			}
		}
	}
	return known
}
