package nights

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// Schedule decides what a run asks about each account. It is a pipeline.Schedule.
type Schedule struct {
	policy    Policy
	cursors   *ledger.Cursors
	purchases pipeline.Purchases
	doubts    map[pipeline.Identity][]*ledger.Call
	edges     map[pipeline.APIVersion]ledger.Edge // as the night began
	maxProbes int64
	undecided []*ledger.Call // see Undecided
	noted     map[*ledger.Call]bool
	// Webhooks have delivered events, which the ledger has under the ids of their entities.
	delivered bool
	polled    map[pipeline.Identity][]string // see Polled

	// What was decided so far.
	Counts Counts
}

// Undecided are the calls in doubt that may have bought what the accounts so far were therefore not asked for, whether it
// is due tonight or not: in the order in which they were met.
func (s *Schedule) Undecided() []*ledger.Call { return s.undecided }

// noteUndecided notes the calls in doubt that may have bought events of a pair, which the lake lacks until they are
// decided about.
func (s *Schedule) noteUndecided(identities []pipeline.Identity, q *pipeline.Query, signal string) {
	for _, identity := range identities {
		for _, c := range s.doubts[identity] {
			if !c.InDoubt() || s.noted[c] || !slices.Contains(c.Query.ResultTypes(), signal) || !c.Query.SameFilters(q, signal) || s.wasAskedAgain(identity, c, signal) {
				continue
			}
			s.noted[c], s.undecided = true, append(s.undecided, c)
		}
	}
}

// Counts are numbers of pairs of entity and signal type.
type Counts struct {
	First    int64 `json:"never_asked"`      // never asked
	LookBack int64 `json:"no_recent_event"`  // without a recent event
	Onward   int64 `json:"after_the_newest"` // from the day after the newest event
	Closing  int64 `json:"closing"`          // asked once more, to find late events
	Audited  int64 `json:"audited"`          // with a recent event, and asked for days before it again
	// With a recent event, and asked from its day on, to learn whether windows contain their first day.
	EdgeProbes int64 `json:"edge_probes"`
	NotDue     int64 `json:"not_due"`
	// Held until a call in doubt is decided about.
	Held int64 `json:"held"`
	// Of which an earlier answer reached a lower cap, and asked for its window again; and the events of
	// theirs that the lake has, which are bought again.
	CappedAgain  int64 `json:"capped_again"`
	CappedEvents int64 `json:"capped_events_again"`
	// Of entities whose subscription was blocked.
	Gaps int64 `json:"not_delivered,omitempty"`
	// Of which an answer reached a cap, and not asked for older events with tonight's cap.
	Capped int64 `json:"capped"`
}

// NewSchedule makes the schedule of a night from what the ledger knows. purchases say which entity an
// identifier stands for.
func NewSchedule(ctx context.Context, l *ledger.Ledger, purchases pipeline.Purchases, p Policy) (*Schedule, error) {
	cursors, err := l.Cursors(ctx)
	if err != nil {
		return nil, err
	}
	s := &Schedule{
		policy: p, cursors: cursors, purchases: purchases, doubts: map[pipeline.Identity][]*ledger.Call{}, noted: map[*ledger.Call]bool{}, delivered: len(p.Gaps) > 0,
		edges: map[pipeline.APIVersion]ledger.Edge{pipeline.V2: cursors.Edge(pipeline.V2), pipeline.V3: cursors.Edge(pipeline.V3)},
	}
	spent := int64(0)
	for _, run := range l.Runs() {
		if run.Inbox != nil { // its calls are deliveries
			s.delivered = true
			continue
		}
		spent += run.ChargedCredits()
		for _, c := range run.Calls {
			if c.Outcome != pipeline.InDoubt && c.Outcome != "" || c.Query.Service() != pipeline.Signals {
				continue
			}
			items, err := l.Reader().CallItems(ctx, c)
			if err != nil {
				return nil, err
			}
			for i := range items {
				s.addDoubt(c, &items[i])
			}
		}
	}
	s.maxProbes = maxProbes(spent)
	return s, nil
}

// Rereads reports whether the schedule asks every due pair for all days of the look-back.
func (s *Schedule) Rereads() bool { return s.policy.Reread }

func (s *Schedule) addDoubt(c *ledger.Call, item *pipeline.Item) {
	identity := pipeline.IdentityOf(&item.Account)
	s.doubts[identity] = append(s.doubts[identity], c)
	if id := item.EntityID(); id != "" {
		if byID := pipeline.IdentityByID(item.Account.Object, id); byID != identity {
			s.doubts[byID] = append(s.doubts[byID], c)
		}
	}
}

// Due says what of a query to ask about an account tonight.
func (s *Schedule) Due(ctx context.Context, a *schema.Account, q *pipeline.Query) (due pipeline.Due) {
	byWindow, alone := map[ledger.Day][]string{}, map[string]pair{}
	identities := s.identitiesOf(ctx, a, q)
	var next ledger.Day
	for _, signal := range q.ResultTypes() {
		cursor := s.cursorOf(identities, q, signal)
		p := s.policy.audited(s.policy.due(signal, cursor), identities[0], signal)
		s.probeEdge(&p, q)
		s.askCapped(&p, identities, q, signal)
		s.fillGap(&p, identities, cursor, signal)
		s.noteUndecided(identities, q, signal)
		held := s.applyDoubts(&p, &due, identities, q, signal)
		s.count(p, held)
		switch {
		case held:
		case p.kind == notDue && (next == 0 || p.next < next):
			next = p.next
		case p.kind == notDue:
		case p.kind == onward || p.kind == closing || p.kind == audit || p.kind == capped || p.kind == gap:
			alone[signal] = p
		default:
			byWindow[p.since] = append(byWindow[p.since], signal)
		}
	}
	for _, since := range slices.Sorted(maps.Keys(byWindow)) {
		due.Questions = append(due.Questions, pipeline.Question{Types: byWindow[since], Since: s.startOf(since, q), Divisible: true})
	}
	for _, signal := range q.ResultTypes() {
		if p, ok := alone[signal]; ok {
			due.Questions = append(due.Questions, pipeline.Question{Types: []string{signal}, Since: s.startOf(p.since, q), Audit: p.kind == audit})
		}
	}
	if len(due.Questions) > 0 {
		due.InDoubt = nil
	} else if next > 0 {
		due.Reason = fmt.Sprintf("nothing is due before %s", next)
	}
	return due
}

// identitiesOf are those under which an account may have been asked.
func (s *Schedule) identitiesOf(ctx context.Context, a *schema.Account, q *pipeline.Query) []pipeline.Identity {
	identities := []pipeline.Identity{pipeline.IdentityOf(a)}
	if a.ID != "" {
		return identities
	}
	if q.APIVersion == pipeline.V2 && slices.ContainsFunc(q.ResultTypes(), func(signal string) bool {
		_, asked := s.cursors.Cursor(identities[0], q, signal)
		return asked
	}) {
		if s.delivered {
			if e := s.purchases.Entity(ctx, a); e.ID != "" {
				identities = append(identities, pipeline.IdentityByID(a.Object, e.ID))
			}
		}
		return identities
	}
	if found := s.purchases.Resolve(ctx, a); found.Entity.ID != "" {
		identities = append(identities, pipeline.IdentityByID(a.Object, found.Entity.ID))
	}
	return identities
}

// cursorOf is the cursor of the identity that was asked last, with the newest event of any.
func (s *Schedule) cursorOf(identities []pipeline.Identity, q *pipeline.Query, signal string) (last ledger.Cursor) {
	for _, identity := range identities {
		c, _ := s.cursors.Cursor(identity, q, signal)
		newest := max(last.Newest, c.Newest)
		if c.LastAsked > last.LastAsked {
			last = c
		}
		last.Newest = newest
	}
	return last
}

// applyDoubts moves the window of a pair past the calls in doubt that may have bought it already, or
// back over those that bought nothing. It reports whether nothing is left to ask before a decision.
func (s *Schedule) applyDoubts(p *pair, due *pipeline.Due, identities []pipeline.Identity, q *pipeline.Query, signal string) (held bool) {
	if len(s.doubts) == 0 || p.kind == notDue {
		return false
	}
	var undecided *ledger.Call
	var again, lost, open ledger.Day // first day to ask again, last ones taken as answered and undecided; 0: none
	for _, identity := range identities {
		for _, c := range s.doubts[identity] {
			if !slices.Contains(c.Query.ResultTypes(), signal) || !c.Query.SameFilters(q, signal) || s.wasAskedAgain(identity, c, signal) {
				continue
			}
			since, until := ledger.DayOf(c.Query.Since), ledger.DayOf(c.Query.Until)
			switch {
			case c.InDoubt():
				if until >= open {
					open, undecided = until, c
				}
			case c.Decision == ledger.WriteOff:
				lost = max(lost, until)
			default:
				due.RiskOfDoubleCharge = due.RiskOfDoubleCharge || c.Decision == ledger.Retry
				if again == 0 || since < again {
					again = since
				}
			}
		}
	}
	// What may be asked again is asked, also where it was lost before or since, but never what is
	// undecided: a window has no end.
	if lost > 0 {
		p.since = max(p.since, min(lost+1, s.policy.Today))
	}
	if again > 0 {
		p.since = min(p.since, again)
	}
	if undecided == nil {
		return false
	}
	if p.since = max(p.since, open+1); p.since > s.policy.Today {
		due.InDoubt = undecided.InDoubtCall()
		return true
	}
	return false
}

// wasAskedAgain reports whether later answers contain all that a call asked about a pair, or reached their
// cap: then the API does not return the rest.
func (s *Schedule) wasAskedAgain(identity pipeline.Identity, c *ledger.Call, signal string) bool {
	cursor, _ := s.cursors.Cursor(identity, c.Query, signal)
	since, until := ledger.DayOf(c.Query.Since), ledger.DayOf(c.Query.Until)
	if cursor.LastAsked <= until || cursor.AskedUntil < until {
		return false
	}
	w, reached := s.cursors.Capped(identity, c.Query, signal)
	return cursor.AskedSince <= since || reached && w.Since <= since
}

func (s *Schedule) count(p pair, held bool) {
	n := &s.Counts
	switch {
	case held:
		n.Held++
	default:
		counters := [...]*int64{notDue: &n.NotDue, first: &n.First, lookBack: &n.LookBack, onward: &n.Onward, closing: &n.Closing, audit: &n.Audited, capped: &n.CappedAgain, gap: &n.Gaps}
		*counters[p.kind]++
		if p.probe {
			n.EdgeProbes++
		}
	}
}

// Expected is how late the events of signal types are expected, in their order.
func (s *Schedule) Expected(signals []string) []Lateness { return s.policy.Expected(signals) }
