package pipeline

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/siglake/siglake/schema"
)

// unit is what the paid phase works on: a batch to ask about, or none, and the
// lines read meanwhile whose fate needs no call.
type unit struct {
	batch   *Batch
	settled []Line
}

// settledAtOnce bounds the lines that wait for a batch to travel with.
const settledAtOnce = 4096

// sharder turns a list into units. Lines are grouped by what one call can hold:
// one object, all by id or all by another identifier.
type sharder struct {
	queries map[schema.Object]*Query
	search  map[schema.Object]*Query // what is asked ahead, where signals are asked by id alone
	size    int
	asked   *seen // who asked first
	journal Journal
	done    rowSet // whose fate is known from before
	batches int
	again   int64             // pairs to ask about that were bought the same day with another question
	parts   map[string]*Query // queries without what was asked before, by object and types
	sorts   []*Query          // the same, in the order in which they came up
	reached map[*Query]map[string]Reached
	err     error // of the source, after the walk

	stopped  func() *Stop     // why nothing more is asked; nil, or its result: it goes on
	planning bool             // nothing is asked: ids that a search would find count as known
	unknown  map[string]int64 // of a plan: lines to be searched, by group
}

// maxRows is the longest list one run can take: rows are kept in 32 bits.
const maxRows = 1<<32 - 1

// ErrTooLong is what a run ends with whose list has more lines than one run can
// take; the lines before are asked about.
var ErrTooLong = fmt.Errorf("more than %d lines; split the list", int64(maxRows))

func (s *sharder) units(accounts iter.Seq2[schema.Account, error]) iter.Seq[unit] {
	return func(yield func(unit) bool) {
		open := map[string]*Batch{}
		var order []string // of open groups, by the first line of each
		var settled []Line
		send := func(b *Batch) bool {
			u := unit{batch: b, settled: settled}
			settled = nil
			return yield(u)
		}
		for a, err := range accounts {
			if err != nil {
				s.err = err
				break
			}
			if a.Row > maxRows {
				s.err = fmt.Errorf("%s: row %d: %w", a.File, a.Row, ErrTooLong)
				break
			}
			l, query, size, id := s.judge(a)
			if s.done.has(a.Row) {
				continue
			}
			if l.Status != "" {
				settled = append(settled, l)
				if len(settled) >= settledAtOnce && !send(nil) {
					return
				}
				continue
			}
			byID := byID(&a, query)
			group := string(a.Object) + strconv.FormatBool(byID) + " " + strconv.Itoa(size) + " " + strings.Join(query.Signals, " ")
			b := open[group]
			if b == nil {
				b = &Batch{Query: query, ByID: byID}
				open[group] = b
				order = append(order, group)
			}
			item := Item{Ref: reference(a, byID), Account: a}
			if id != a.ID {
				item.ID, item.Ref = id, id
			}
			b.Items = append(b.Items, item)
			if len(b.Items) == size {
				delete(open, group)
				order = slices.DeleteFunc(order, func(g string) bool { return g == group })
				if !send(s.number(b)) {
					return
				}
			}
		}
		for _, group := range order {
			if !send(s.number(open[group])) {
				return
			}
		}
		if len(settled) > 0 {
			send(nil)
		}
	}
}

// againSize is how many entities are asked in one call that may be paid twice:
// few, so that another loss loses little.
const againSize = 10

// byID reports whether a question names an account by the API's id, under which
// the answer holds it.
func byID(a *schema.Account, q *Query) bool {
	return q.Service == Signals && (q.Dialect == V3 || a.Identifier() == schema.ByID)
}

// judge gives a line its fate if it needs no call, else the question to ask, how
// many may be asked in one call, and the id to ask by if one is known.
func (s *sharder) judge(a schema.Account) (l Line, query *Query, size int, id string) {
	l = Line{Account: a}
	query = s.queries[a.Object]
	switch {
	case a.Reject != nil:
		l.Status, l.Reason = schema.Rejected, a.Reject.String()
		return l, nil, 0, ""
	case a.Identifier() == "":
		l.Status, l.Reason = schema.Rejected, "no identifier that can be asked about"
		return l, nil, 0, ""
	case query == nil:
		l.Status, l.Reason = schema.Rejected, fmt.Sprintf("no signal was asked for that applies to a %s; add one with --signals", a.Object)
		return l, nil, 0, ""
	}
	row := uint32(a.Row) //nolint:gosec // bounded by maxRows
	if first := s.asked.first(IdentityOf(&a), row); first != row {
		l.Status, l.DuplicateOf = schema.Duplicate, int64(first)
		l.Reason = fmt.Sprintf("asks the same as row %d", first)
		return l, nil, 0, ""
	}
	if query.Service == Search {
		return s.judgeSearch(l, query)
	}
	known := s.journal.Known(&a, query)
	id = a.ID
	if s.search[a.Object] != nil && id == "" {
		found, open := s.journal.Identify(&a), known.Doubt == nil && len(known.Missing) > 0
		switch {
		case found.Entity.ID != "": // also of a line that is settled: those behind it may be the same
			id = found.Entity.ID
			if first := s.asked.first(IdentityByID(a.Object, id), row); first != row {
				l.Status, l.DuplicateOf, l.Entity = schema.Duplicate, int64(first), &found.Entity
				l.Reason = fmt.Sprintf("is the same %s as row %d", a.Object, first)
				return l, nil, 0, ""
			}
			named := a
			named.ID = id
			if other := s.journal.Known(&named, query); other.Doubt != nil || len(other.Missing) < len(known.Missing) {
				known = other // bought by another identifier of it
			}
		case !open:
		case found.Status != "":
			l.Status, l.Reason, l.Doubt = found.Status, found.Reason, found.Doubt
			return l, nil, 0, ""
		case s.planning:
			s.unsearched(string(a.Object), found.Again)
		default:
			l.Status, l.Reason = schema.Deferred, "its id was not found out: the search for it was not answered"
			if s.stopped != nil && s.stopped() != nil {
				l.Reason = s.stopped().Reason
			}
			return l, nil, 0, ""
		}
	}
	switch {
	case known.Doubt != nil:
		l.Status, l.Doubt = schema.Held, known.Doubt
		l.Reason = fmt.Sprintf("call %s may have been charged for it and its answer is lost; see siglake held", known.Doubt.Name())
		if known.Doubt.Accepted {
			l.Status = schema.Lost
			l.Reason = fmt.Sprintf("call %s was taken as paid and lost; it is not asked again in its window", known.Doubt.Name())
		}
	case len(known.Missing) == 0:
		l.Status, l.Reason = schema.Cached, "answered by call "+known.Call
	case len(known.Missing) < len(query.Signals):
		query = s.fitting(query, known)
	}
	if l.Status == "" {
		s.note(query, known)
	}
	if size = s.size; known.Again {
		size = min(size, againSize)
	}
	return l, query, size, id
}

// judgeSearch is judge for a run that asks for nothing but ids.
func (s *sharder) judgeSearch(l Line, q *Query) (_ Line, query *Query, size int, id string) {
	found := s.journal.Identify(&l.Account)
	if found.Entity.ID != "" {
		l.Status, l.Reason, l.Entity = schema.Cached, "found by call "+found.Call, &found.Entity
		return l, nil, 0, ""
	}
	if size = s.size; found.Again {
		size = min(size, againSize)
	}
	l.Status, l.Reason, l.Doubt = found.Status, found.Reason, found.Doubt
	return l, q, size, l.Account.ID
}

func (s *sharder) unsearched(group string, again bool) {
	if s.unknown == nil {
		s.unknown = map[string]int64{}
	}
	if again {
		group += " again"
	}
	s.unknown[group]++
}

// searches are the calls that find out the ids by which the lines of a list are
// asked about, as far as nobody found them out before. What a line is told by
// units, it is told there.
func (s *sharder) searches(accounts iter.Seq2[schema.Account, error]) iter.Seq[unit] {
	return func(yield func(unit) bool) {
		type group struct {
			object schema.Object
			again  bool
		}
		open := map[group]*Batch{}
		met := new(seen)
		for a, err := range accounts {
			if err != nil {
				break // the walk that follows meets it, too
			}
			query, search := s.queries[a.Object], s.search[a.Object]
			if query == nil || search == nil || a.Reject != nil || a.Row > maxRows || s.done.has(a.Row) {
				continue
			}
			if kind := a.Identifier(); kind == "" || kind == schema.ByID {
				continue
			}
			row := uint32(a.Row) //nolint:gosec // bounded above
			if met.first(IdentityOf(&a), row) != row {
				continue
			}
			if known := s.journal.Known(&a, query); known.Doubt != nil || len(known.Missing) == 0 {
				continue
			}
			found := s.journal.Identify(&a)
			if found.known() {
				continue
			}
			g, size := group{a.Object, found.Again}, s.size
			if found.Again {
				size = min(size, againSize)
			}
			b := open[g]
			if b == nil {
				b = &Batch{Query: search}
				open[g] = b
			}
			if b.Items = append(b.Items, Item{Ref: reference(a, false), Account: a}); len(b.Items) == size {
				delete(open, g)
				if !yield(unit{batch: s.number(b)}) {
					return
				}
			}
		}
		for _, g := range []group{{schema.Contact, false}, {schema.Contact, true}, {schema.Company, false}, {schema.Company, true}} {
			if b := open[g]; b != nil && !yield(unit{batch: s.number(b)}) {
				return
			}
		}
	}
}

// manyParts is how many different queries without something may arise before
// further ones are avoided: each fills calls of its own.
const manyParts = 16

// fitting is a query without the types that were asked before. When there are
// many such already, it may ask along for types of which there is nothing.
func (s *sharder) fitting(q *Query, known Known) *Query {
	if len(s.sorts) < manyParts || len(known.Empty) == 0 || s.parts[partName(q, known.Missing)] != nil {
		return s.part(q, known.Missing)
	}
	var best *Query
	within := func(list []string) func(string) bool { return func(w string) bool { return !slices.Contains(list, w) } }
	may := slices.DeleteFunc(slices.Clone(q.Signals), func(w string) bool { return !slices.Contains(known.Missing, w) && !slices.Contains(known.Empty, w) })
	for _, p := range s.sorts {
		if p.Object == q.Object && (best == nil || len(p.Signals) < len(best.Signals)) &&
			!slices.ContainsFunc(known.Missing, within(p.Signals)) && !slices.ContainsFunc(p.Signals, within(may)) {
			best = p
		}
	}
	switch {
	case best != nil:
		return best
	case len(may) == len(q.Signals):
		return q
	}
	return s.part(q, may)
}

// note counts what is known of the pairs that are asked about.
func (s *sharder) note(query *Query, known Known) {
	s.again += int64(known.Rebought)
	if len(known.Full) == 0 {
		return
	}
	if s.reached == nil {
		s.reached = map[*Query]map[string]Reached{}
	}
	if s.reached[query] == nil {
		s.reached[query] = map[string]Reached{}
	}
	for _, signal := range query.Signals {
		r := s.reached[query][signal]
		if limit := known.Full[signal]; limit > 0 {
			r.Full++
			r.Events += int64(limit)
		} else if slices.Contains(known.Empty, signal) {
			r.Empty++
		}
		s.reached[query][signal] = r
	}
}

func partName(q *Query, missing []string) string {
	return string(q.Object) + " " + strings.Join(missing, " ")
}

// part is a query without the types that were asked before.
func (s *sharder) part(q *Query, missing []string) *Query {
	name := partName(q, missing)
	if s.parts[name] == nil {
		part := *q
		part.Signals = missing
		if s.parts == nil {
			s.parts = map[string]*Query{}
		}
		s.parts[name] = &part
		s.sorts = append(s.sorts, &part)
	}
	return s.parts[name]
}

func (s *sharder) number(b *Batch) *Batch {
	s.batches++
	b.ID = fmt.Sprintf("%06d", s.batches)
	return b
}

// reference is the caller's reference of an item within its request: the id
// where the API answers by id, else the row.
func reference(a schema.Account, byID bool) string {
	if byID {
		return a.ID
	}
	return "r" + strconv.FormatInt(a.Row, 10)
}

// identifierText is the identifier as it is asked, for identities and for the
// accounts table.
func identifierText(a *schema.Account, kind schema.Identifier) string {
	switch kind {
	case schema.ByID:
		return a.ID
	case schema.ByLinkedIn:
		return a.LinkedIn
	case schema.ByEmail:
		return a.Email
	case schema.ByDomain:
		return a.Domain
	case schema.ByName:
		if a.Object == schema.Company {
			return a.Name
		}
		if a.CompanyDomain != "" {
			return a.Name + " @ " + a.CompanyDomain
		}
		return a.Name + " @ " + a.CompanyName
	}
	return ""
}
