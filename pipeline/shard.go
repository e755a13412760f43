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
			l, query, size := s.judge(a)
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
			byID := a.Identifier() == schema.ByID
			group := string(a.Object) + strconv.FormatBool(byID) + " " + strconv.Itoa(size) + " " + strings.Join(query.Signals, " ")
			b := open[group]
			if b == nil {
				b = &Batch{Query: query, ByID: byID}
				open[group] = b
				order = append(order, group)
			}
			b.Items = append(b.Items, Item{Ref: reference(a, byID), Account: a})
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

// judge gives a line its fate if it needs no call, else the question to ask and
// how many may be asked in one call.
func (s *sharder) judge(a schema.Account) (l Line, query *Query, size int) {
	l = Line{Account: a}
	query = s.queries[a.Object]
	switch {
	case a.Reject != nil:
		l.Status, l.Reason = schema.Rejected, a.Reject.String()
		return l, nil, 0
	case a.Identifier() == "":
		l.Status, l.Reason = schema.Rejected, "no identifier that can be asked about"
		return l, nil, 0
	case query == nil:
		l.Status, l.Reason = schema.Rejected, fmt.Sprintf("no signal was asked for that applies to a %s; add one with --signals", a.Object)
		return l, nil, 0
	}
	row := uint32(a.Row) //nolint:gosec // bounded by maxRows
	if first := s.asked.first(IdentityOf(&a), row); first != row {
		l.Status, l.DuplicateOf = schema.Duplicate, int64(first)
		l.Reason = fmt.Sprintf("asks the same as row %d", first)
		return l, nil, 0
	}
	known := s.journal.Known(&a, query)
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
	return l, query, size
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
