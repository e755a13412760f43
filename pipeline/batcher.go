package pipeline

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/siglake/siglake/internal/idmap"
	"github.com/siglake/siglake/schema"
)

// workItem is the unit of work of the paid phase: a batch to request, or none, and the lines read
// meanwhile that need no call.
type workItem struct {
	batch *Batch
	lines []Line
}

// maxPendingLines bounds the lines that wait for the next batch.
const maxPendingLines = 4096

// batcher turns a list into work items. It groups lines that fit into the same call: of one object,
// all by id or all by another identifier.
type batcher struct {
	queries map[schema.Object]*Query
	// Requested first, if signals are requested by id only.
	searchQueries map[schema.Object]*Query
	batchSize     int
	// See Runner.MaxEntities.
	maxEntities func(*Query, int) int
	// The first row of each; the only part that grows with the list.
	identities *idmap.Map
	purchases  Purchases
	schedule   Schedule // nil: none
	done       rowSet   // lines with a status from before
	lastBatch  int
	// Pairs to request that were bought the same day with another query.
	repurchasedPairs int64
	// Queries without the types bought before, by object and types.
	narrowedByKey map[string]*Query
	narrowed      []*Query // the same, in the order of their creation
	// Queries with a lower cap, by what they lower and the cap.
	lowered       map[loweredQuery]*Query
	priorCoverage map[*Query]map[string]PriorCoverage
	// The queries of the questions that a schedule has, by object, window and types.
	questions map[string]*Query
	err       error // of the source, after the walk

	// The reason why nothing more is requested; nil, or nil result: none.
	stopped func() *Stop
	// Nothing is requested: ids that a search would find count as known.
	planning bool
	// When planning: lines to search for, by group.
	unsearched map[string]int64
	// When planning: the undecided calls that concern lines of the list.
	inDoubt []PlannedInDoubt
}

// maxRows is the maximum length of a list for one run: rows are stored in 32 bits.
const maxRows = 1<<32 - 1

// ErrTooLong is the error of a run with a list of more lines than one run can process; the lines
// before are requested.
var ErrTooLong = fmt.Errorf("more than %d lines; split the list", int64(maxRows))

// items are the work of a run: every line of a list, with its status or in a batch.
func (s *batcher) items(ctx context.Context, accounts iter.Seq2[schema.Account, error]) iter.Seq[workItem] {
	return func(yield func(workItem) bool) {
		open := openBatches{byGroup: map[string]*Batch{}, divisible: map[string]ask{}, names: map[groupKey]string{}}
		var pending []Line
		send := func(b *Batch) bool {
			work := workItem{batch: b, lines: pending}
			pending = nil
			return yield(work)
		}
		for a, err := range accounts {
			if s.err = checkRow(a, err); s.err != nil {
				break
			}
			l, asks := s.classify(ctx, a)
			if s.done.has(a.Row) {
				continue
			}
			if l.Status != "" {
				s.addEntity(ctx, &l)
				pending = append(pending, l)
				if len(pending) >= maxPendingLines && !send(nil) {
					return
				}
				continue
			}
			for _, k := range asks {
				if b := open.add(&a, k); b != nil && !send(s.assignID(b)) {
					return
				}
			}
		}
		for b := range open.divide(s) {
			if !send(s.assignID(b)) {
				return
			}
		}
		for _, group := range open.order {
			if !send(s.assignID(open.byGroup[group])) {
				return
			}
		}
		if len(pending) > 0 {
			send(nil)
		}
	}
}

// addEntity adds the entity to a line that needs no call, so that its row joins the events that were
// bought before.
func (s *batcher) addEntity(ctx context.Context, l *Line) {
	switch l.Status {
	case schema.Cached, schema.InDoubt, schema.WrittenOff:
	default:
		return
	}
	if l.Entity != nil || s.planning {
		return
	}
	if e := s.purchases.Entity(ctx, &l.Account); e.ID != "" {
		l.Entity = &e
	}
}

// checkRow returns the error of the source, or that the list is too long.
func checkRow(a schema.Account, err error) error {
	if err == nil && a.Row > maxRows {
		return fmt.Errorf("%s: row %d: %w", a.File, a.Row, ErrTooLong)
	}
	return err
}

// ask is a query about one line.
type ask struct {
	query *Query
	size  int    // entities per call
	id    string // to request by; empty: another identifier
	// It is one of several about the line.
	part bool
	// Its signal types may be asked in several calls.
	divisible bool
	audit     bool // see Item.Audit
	// See Item.TypesLeft.
	typesLeft int
}

// openBatches are the batches that are not full yet, by what their lines have in common.
type openBatches struct {
	byGroup   map[string]*Batch
	divisible map[string]ask // groups of divisible asks, by one of these
	order     []string       // groups, by the first line of each
	names     map[groupKey]string
}

// groupKey decides the group of a line. Groups of different queries can be the same.
type groupKey struct {
	object schema.Object
	byID   bool
	size   int
	query  *Query
}

// nameOf is the group of a line.
func (o *openBatches) nameOf(k groupKey) string {
	name, known := o.names[k]
	if !known {
		name = string(k.object) + strconv.FormatBool(k.byID) + " " + strconv.Itoa(k.size) + " " + strconv.Itoa(k.query.MaxResults()) + " " + k.query.Since + " " + strings.Join(k.query.ResultTypes(), " ")
		o.names[k] = name
	}
	return name
}

// add adds a line to the batch for its query and size. It returns the batch once it is full; that is
// then no longer open.
func (o *openBatches) add(a *schema.Account, k ask) *Batch {
	byID := asksByID(a, k.query)
	group := o.nameOf(groupKey{a.Object, byID, k.size, k.query})
	b := o.byGroup[group]
	if b == nil {
		b = &Batch{Query: k.query, ByID: byID}
		o.byGroup[group] = b
		o.order = append(o.order, group)
		if k.divisible && len(k.query.ResultTypes()) > 1 {
			o.divisible[group] = k
		}
	}
	item := Item{Ref: itemRef(*a, byID), Account: *a, Part: k.part, Audit: k.audit, TypesLeft: k.typesLeft}
	if k.id != a.ID {
		item.ID, item.Ref = k.id, k.id
	}
	if b.Items = append(b.Items, item); len(b.Items) < k.size {
		return nil
	}
	o.remove(group)
	return b
}

func (o *openBatches) remove(group string) {
	delete(o.byGroup, group)
	delete(o.divisible, group)
	o.order = slices.DeleteFunc(o.order, func(g string) bool { return g == group })
}

// minShared is the number of lines with the same question below which its signal types are asked
// one by one, so that lines with other questions share the calls.
const minShared = 25

// divide divides the batches with few lines by signal type. It yields those that become full; the
// others stay open.
func (o *openBatches) divide(s *batcher) iter.Seq[*Batch] {
	return func(yield func(*Batch) bool) {
		for _, group := range slices.Clone(o.order) {
			k, divisible := o.divisible[group]
			if b := o.byGroup[group]; divisible && len(b.Items) < min(minShared, k.size) {
				o.remove(group)
				for _, item := range b.Items {
					for _, signal := range b.Query.ResultTypes() {
						part := ask{query: s.question(b.Query, Question{Types: []string{signal}, Since: b.Query.Since}), size: k.size, id: item.EntityID(), part: true}
						if full := o.add(&item.Account, part); full != nil && !yield(full) {
							return
						}
					}
				}
			}
		}
	}
}

// retryBatchSize is the number of entities per call that may be paid for twice: few, so that
// another lost answer costs little.
const retryBatchSize = 10

// asksByID reports whether a query requests an account by the API's id, which is then the key in
// the answer.
func asksByID(a *schema.Account, q *Query) bool {
	return q.Service() == Signals && (q.APIVersion == V3 || a.Identifier() == schema.ByID)
}

// classify returns a line with its status if it needs no call, else what to ask about it.
func (s *batcher) classify(ctx context.Context, a schema.Account) (l Line, asks []ask) {
	l = Line{Account: a}
	query := s.queries[a.Object]
	switch {
	case a.Reject != nil:
		l.Status, l.Reason = schema.Rejected, a.Reject.String()
		return l, nil
	case a.Identifier() == "":
		l.Status, l.Reason = schema.Rejected, "no identifier that can be requested"
		return l, nil
	case query == nil:
		l.Status, l.Reason = schema.Rejected, fmt.Sprintf("none of the requested signals applies to a %s; add one with --signals", a.Object)
		return l, nil
	}
	if reason := s.purchases.Suppressed(ctx, &a); reason != "" {
		l.Status, l.Reason = schema.Restricted, reason
		return l, nil
	}
	row := uint32(a.Row) //nolint:gosec // bounded by maxRows
	if first := s.identities.LoadOrStore(IdentityOf(&a), row); first != row {
		l.Status, l.DuplicateOf = schema.Duplicate, int64(first)
		l.Reason = fmt.Sprintf("same request as row %d", first)
		return l, nil
	}
	if query.Service() == Search {
		return s.classifySearch(ctx, l, query)
	}
	if s.schedule != nil {
		return s.classifyDue(ctx, l, query)
	}
	return s.classifyCovered(ctx, l, query)
}

// classifyCovered is classify for a line of a run that asks every query as it is, without what was
// bought before.
func (s *batcher) classifyCovered(ctx context.Context, l Line, query *Query) (_ Line, asks []ask) {
	a := &l.Account
	coverage := s.purchases.Coverage(ctx, a, query)
	defer func() { s.countInDoubt(&l, &coverage) }()
	id := a.ID
	if s.searchQueries[a.Object] != nil && id == "" {
		if id = s.resolveLine(ctx, &l, coverage.needsNoCall(query)); l.Status != "" {
			return l, nil
		}
	}
	missing := coverage.Missing(query)
	switch {
	case coverage.InDoubt != nil:
		l.hold(coverage.InDoubt)
		return l, nil
	case len(missing) == 0:
		l.Status, l.Reason = schema.Cached, "answered by call "+coverage.Call
		if coverage.Truncated > 0 {
			l.Reason += fmt.Sprintf("; an answer with more than %d results of a signal type was cut, so that no more can be bought", coverage.Truncated)
		}
		return l, nil
	}
	asked := query
	query, left := s.missingQuery(query, missing, &coverage)
	s.countPriorCoverage(asked, query, &coverage)
	size := s.sizeFor(query)
	if coverage.RiskOfDoubleCharge {
		size = min(size, retryBatchSize)
	}
	if coverage.MaxBatch > 0 {
		size = min(size, coverage.MaxBatch)
	}
	return l, []ask{{query: query, size: size, id: id, typesLeft: left}}
}

// classifyDue is classify for a line of a run with a schedule.
func (s *batcher) classifyDue(ctx context.Context, l Line, query *Query) (_ Line, asks []ask) {
	defer func() { s.countInDoubt(&l, &Coverage{}) }()
	a := &l.Account
	due := s.schedule.Due(ctx, a, query)
	id := a.ID
	if s.searchQueries[a.Object] != nil && id == "" {
		if id = s.resolveLine(ctx, &l, len(due.Questions) == 0); l.Status != "" {
			return l, nil
		}
	}
	switch {
	case len(due.Questions) > 0:
	case due.InDoubt != nil:
		l.hold(due.InDoubt)
	default:
		l.Status, l.Reason = schema.Cached, due.Reason
	}
	for _, question := range due.Questions {
		k := ask{query: s.question(query, question), id: id, part: len(due.Questions) > 1, divisible: question.Divisible, audit: question.Audit}
		if k.size = s.sizeFor(k.query); due.RiskOfDoubleCharge {
			k.size = min(k.size, retryBatchSize)
		}
		asks = append(asks, k)
	}
	return l, asks
}

// hold gives a line the status of a call in doubt that may have bought what it asks for.
func (l *Line) hold(c *InDoubtCall) {
	l.Status, l.InDoubt = schema.InDoubt, c
	l.Reason = fmt.Sprintf("call %s may have been charged for it, and its answer is lost; see siglake held", c.Name())
	if c.WrittenOff {
		l.Status = schema.WrittenOff
		l.Reason = fmt.Sprintf("call %s was written off as charged and lost; the line is not requested again for this window", c.Name())
	}
}

// question is the query of a question; the same for the same question.
func (s *batcher) question(q *Query, question Question) *Query {
	key := question.Since + " " + queryKey(q, question.Types)
	if s.questions[key] == nil {
		if s.questions == nil {
			s.questions = map[string]*Query{}
		}
		s.questions[key] = q.question(question.Types, question.Since)
	}
	return s.questions[key]
}

// missingQuery is the query for what is missing of a query about an entity. left is the number of
// signal types that it leaves for another request: answers about more at a time were cut.
func (s *batcher) missingQuery(q *Query, missing []string, coverage *Coverage) (part *Query, left int) {
	limit := coverage.MaxTypes
	switch {
	case limit > 0 && len(missing) > limit && s.planning: // all passes of the command
		return s.narrowQuery(q, missing), len(missing) - limit
	case limit > 0 && len(missing) > limit:
		part, left = s.narrowQuery(q, missing[:limit:limit]), len(missing)-limit
	case len(missing) == len(q.ResultTypes()):
		part = q
	case limit > 0: // none besides, even if it is free
		part = s.narrowQuery(q, missing)
	default:
		return s.reuseQuery(q, coverage), 0
	}
	for i, signal := range q.ResultTypes() {
		if n := coverage.signal(i).MaxResults; n > 0 && n < q.MaxResults() && slices.Equal(part.ResultTypes(), []string{signal}) {
			part = s.lowerQuery(part, n)
		}
	}
	return part, left
}

// loweredQuery identifies a query with a lower cap.
type loweredQuery struct {
	query      *Query
	maxResults int
}

// lowerQuery is a query for fewer results. Lines share it, since it prices and counts their calls.
func (s *batcher) lowerQuery(q *Query, maxResults int) *Query {
	key := loweredQuery{q, maxResults}
	if s.lowered[key] == nil {
		if s.lowered == nil {
			s.lowered = map[loweredQuery]*Query{}
		}
		s.lowered[key] = q.withMaxResults(maxResults)
	}
	return s.lowered[key]
}

// sizeFor is the number of entities per call of a query.
func (s *batcher) sizeFor(q *Query) int {
	if s.maxEntities == nil {
		return s.batchSize
	}
	return s.maxEntities(q, s.batchSize)
}

// resolveLine returns the id to request a line by; empty if it is unknown, and then the line gets
// a status if it needs a call.
func (s *batcher) resolveLine(ctx context.Context, l *Line, needsNoCall bool) (id string) {
	a := &l.Account
	resolution := s.purchases.Resolve(ctx, a)
	switch {
	// Also for a line that needs no call: later lines may be the same entity.
	case resolution.Entity.ID != "":
		l.Entity = &resolution.Entity
		row := uint32(a.Row) //nolint:gosec // bounded by maxRows
		if first := s.identities.LoadOrStore(IdentityByID(a.Object, resolution.Entity.ID), row); first != row {
			l.Status, l.DuplicateOf = schema.Duplicate, int64(first)
			l.Reason = fmt.Sprintf("same %s as row %d", a.Object, first)
		}
	case needsNoCall:
	case resolution.Status != "":
		l.Status, l.Reason, l.InDoubt = resolution.Status, resolution.Reason, resolution.InDoubt
	case s.planning:
		s.countUnsearched(string(a.Object), resolution.RiskOfDoubleCharge)
	default:
		l.Status, l.Reason = schema.Deferred, "its id is unknown: the search for it was not answered"
		if s.stopped != nil && s.stopped() != nil {
			l.Reason = s.stopped().Reason
		}
	}
	return resolution.Entity.ID
}

// classifySearch is classify for a run that requests only ids.
func (s *batcher) classifySearch(ctx context.Context, l Line, q *Query) (_ Line, asks []ask) {
	resolution := s.purchases.Resolve(ctx, &l.Account)
	if resolution.Entity.ID != "" {
		l.Status, l.Reason, l.Entity = schema.Cached, "found by call "+resolution.Call, &resolution.Entity
		if resolution.Call == "" {
			l.Reason = "the line states the id"
		}
		return l, nil
	}
	size := s.batchSize
	if resolution.RiskOfDoubleCharge {
		size = min(size, retryBatchSize)
	}
	l.Status, l.Reason, l.InDoubt = resolution.Status, resolution.Reason, resolution.InDoubt
	s.countInDoubt(&l, &Coverage{RepeatedInDoubt: resolution.RepeatedInDoubt})
	return l, []ask{{query: q, size: size, id: l.Account.ID}}
}

// countInDoubt counts a classified line with the undecided calls that concern it.
func (s *batcher) countInDoubt(l *Line, coverage *Coverage) {
	if !s.planning {
		return
	}
	entry := func(d *InDoubtCall) *PlannedInDoubt {
		i := slices.IndexFunc(s.inDoubt, func(p PlannedInDoubt) bool { return p.Call.Name() == d.Name() })
		if i < 0 {
			i = len(s.inDoubt)
			s.inDoubt = append(s.inDoubt, PlannedInDoubt{Call: d})
		}
		return &s.inDoubt[i]
	}
	switch {
	case l.Status == schema.InDoubt && l.InDoubt != nil:
		entry(l.InDoubt).Held++
	case l.Status == "": // it is requested
		counted := map[string]bool{}
		for _, d := range coverage.RepeatedInDoubt {
			if counted[d.Name()] {
				continue
			}
			if entry(d).Repeated++; len(counted) == 0 {
				entry(d).RepeatedFirst++
			}
			counted[d.Name()] = true
		}
	}
}

func (s *batcher) countUnsearched(group string, risky bool) {
	if s.unsearched == nil {
		s.unsearched = map[string]int64{}
	}
	if risky {
		group += " again"
	}
	s.unsearched[group]++
}

// searchItems are the calls that search for the ids of a list's lines, unless they are known. It
// classifies lines like items, which later sets their status.
func (s *batcher) searchItems(ctx context.Context, accounts iter.Seq2[schema.Account, error]) iter.Seq[workItem] {
	return func(yield func(workItem) bool) {
		type group struct {
			object schema.Object
			again  bool
		}
		open := map[group]*Batch{}
		identities := new(idmap.Map)
		for a, err := range accounts {
			if err != nil {
				break // the next walk meets it, too
			}
			query, search := s.queries[a.Object], s.searchQueries[a.Object]
			if query == nil || search == nil || a.Reject != nil || a.Row > maxRows || s.done.has(a.Row) {
				continue
			}
			if kind := a.Identifier(); kind == "" || kind == schema.ByID {
				continue
			}
			row := uint32(a.Row) //nolint:gosec // bounded above
			if identities.LoadOrStore(IdentityOf(&a), row) != row {
				continue
			}
			if s.purchases.Suppressed(ctx, &a) != "" || s.needsNoCall(ctx, &a, query) {
				continue
			}
			resolution := s.purchases.Resolve(ctx, &a)
			if resolution.isKnown() {
				continue
			}
			g, size := group{a.Object, resolution.RiskOfDoubleCharge}, s.batchSize
			if resolution.RiskOfDoubleCharge {
				size = min(size, retryBatchSize)
			}
			b := open[g]
			if b == nil {
				b = &Batch{Query: search}
				open[g] = b
			}
			if b.Items = append(b.Items, Item{Ref: itemRef(a, false), Account: a}); len(b.Items) == size {
				delete(open, g)
				if !yield(workItem{batch: s.assignID(b)}) {
					return
				}
			}
		}
		for _, g := range []group{{schema.Contact, false}, {schema.Contact, true}, {schema.Company, false}, {schema.Company, true}} {
			if b := open[g]; b != nil && !yield(workItem{batch: s.assignID(b)}) {
				return
			}
		}
	}
}

// needsNoCall reports whether nothing is to be asked about a line.
func (s *batcher) needsNoCall(ctx context.Context, a *schema.Account, q *Query) bool {
	if s.schedule != nil {
		return len(s.schedule.Due(ctx, a, q).Questions) == 0
	}
	coverage := s.purchases.Coverage(ctx, a, q)
	return coverage.needsNoCall(q)
}

// maxNarrowed is the number of narrowed queries after which further ones are avoided: each needs
// calls of its own.
const maxNarrowed = 16

// reuseQuery is a query without the types bought before. If there are many such queries already, it
// may include types that have no events.
func (s *batcher) reuseQuery(q *Query, coverage *Coverage) *Query {
	missing := coverage.Missing(q)
	allowed := coverage.signalsWhere(q, func(c CoverageState) bool { return c <= CoverageCapped || c == CoverageEmpty })
	if len(s.narrowed) < maxNarrowed || len(allowed) == len(missing) || s.narrowedByKey[queryKey(q, missing)] != nil {
		return s.narrowQuery(q, missing)
	}
	var best *Query
	notIn := func(list []string) func(string) bool { return func(w string) bool { return !slices.Contains(list, w) } }
	for _, p := range s.narrowed {
		if p.Object == q.Object && (best == nil || len(p.ResultTypes()) < len(best.ResultTypes())) &&
			!slices.ContainsFunc(missing, notIn(p.ResultTypes())) && !slices.ContainsFunc(p.ResultTypes(), notIn(allowed)) {
			best = p
		}
	}
	switch {
	case best != nil:
		return best
	case len(allowed) == len(q.ResultTypes()):
		return q
	}
	return s.narrowQuery(q, allowed)
}

// countPriorCoverage counts what is known about the requested pairs: query is asked, or a narrowed
// query of it.
func (s *batcher) countPriorCoverage(asked, query *Query, coverage *Coverage) {
	capped := false
	for _, c := range coverage.Signals {
		if c.Repurchased {
			s.repurchasedPairs++
		}
		capped = capped || c.State == CoverageCapped
	}
	if !capped {
		return
	}
	if s.priorCoverage == nil {
		s.priorCoverage = map[*Query]map[string]PriorCoverage{}
	}
	if s.priorCoverage[query] == nil {
		s.priorCoverage[query] = map[string]PriorCoverage{}
	}
	for i, c := range coverage.Signals {
		signal := asked.ResultTypes()[i]
		if !slices.Contains(query.ResultTypes(), signal) {
			continue
		}
		r := s.priorCoverage[query][signal]
		switch c.State {
		case CoverageCapped:
			r.Capped++
			r.CappedEvents += int64(c.Cap)
		case CoverageEmpty:
			r.Empty++
		}
		s.priorCoverage[query][signal] = r
	}
}

func queryKey(q *Query, missing []string) string {
	return string(q.Object) + " " + strings.Join(missing, " ")
}

// narrowQuery is a query without the types bought before.
func (s *batcher) narrowQuery(q *Query, missing []string) *Query {
	key := queryKey(q, missing)
	if s.narrowedByKey[key] == nil {
		narrow := q.withTypes(missing)
		if s.narrowedByKey == nil {
			s.narrowedByKey = map[string]*Query{}
		}
		s.narrowedByKey[key] = narrow
		s.narrowed = append(s.narrowed, narrow)
	}
	return s.narrowedByKey[key]
}

func (s *batcher) assignID(b *Batch) *Batch {
	s.lastBatch++
	b.ID = fmt.Sprintf("%06d", s.lastBatch)
	return b
}

// itemRef is the reference of an item within its request: the id if the API answers by id, else the
// row.
func itemRef(a schema.Account, byID bool) string {
	if byID {
		return a.ID
	}
	return "r" + strconv.FormatInt(a.Row, 10)
}

// identifierText is the identifier as requested, for identities and for the accounts table.
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
