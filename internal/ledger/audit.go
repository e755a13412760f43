package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
)

// Audit is the result of reading a whole ledger again.
type Audit struct {
	// Answers counts charged answers, not what is left of a lost call.
	Runs, Attempts, Answers int
	Charged                 int64 // credits of answers with a charge that was understood
	Liability               Liability
	Entities                int64 // identities with an answer

	Mismatched    []string // answers that contradict their recorded outcome
	WithoutIntent []string // answers without an earlier intent
	BoughtTwice   []string // identities bought twice without a reason
	OverBudget    []string // moments at which a budget could have been exceeded
	// Calls that were charged more than the price list allows. They are the vendor's discrepancy
	// and not the lake's: no budget can prevent them.
	AboveCeiling []string
	WithSecret   []string // answers that contain the key
	// That the checkpoint from which the ledger was opened differs from the records before it.
	Checkpoint []string
	// Runs of which answers were pruned, with their number. They are not in Mismatched: of such an
	// answer the recorded outcome counts.
	Pruned map[*Run]int
	// Answers that are gone although no pruning was recorded that removed them.
	Unannounced []string
}

// Audit reads every record, decodes every answer again and checks what the ledger alone can show.
// secret reports whether an answer contains the key; nil: this is not checked.
func (l *Ledger) Audit(ctx context.Context, secret func([]byte) bool) (*Audit, error) {
	r, err := l.BeginAudit(ctx, secret)
	if err != nil {
		return nil, err
	}
	return r.Finish(ctx)
}

// Auditor is an audit in progress. Between its begin and its end a caller that needs the answers as well
// reads them with the Reader of the audit: then they are read and decoded once. Finish reads those that
// are left.
type Auditor struct {
	*loader
	secret func([]byte) bool // nil: it is not searched
	pruned *prunedAnswers
	caps   map[string][]sessionCap
	result *Audit

	mu     sync.Mutex // guards stated
	stated map[*Call]statedOutcome
}

// statedOutcome is what the audit needs of an answer.
type statedOutcome struct {
	outcome    pipeline.Outcome
	charge     pipeline.Charge // without its text
	withSecret bool
}

// BeginAudit checks what can be checked without an answer, and loads the calls of all runs. secret is as
// for Audit.
func (l *Ledger) BeginAudit(ctx context.Context, secret func([]byte) bool) (*Auditor, error) {
	r := &Auditor{
		loader: l.loader, secret: secret, caps: map[string][]sessionCap{}, stated: map[*Call]statedOutcome{},
		result: &Audit{Runs: len(l.state.runs), Liability: l.Bill().Liability(nil), Pruned: map[*Run]int{}},
	}
	var err error
	if r.result.Checkpoint, err = r.checkCheckpoint(ctx); err != nil {
		return nil, err
	}
	// Not every record is read below: replay reads heads, and the rest is for a rebuild.
	if r.pruned, err = findPruned(ctx, l.log, false); err != nil {
		return nil, err
	}
	err = l.log.Walk(ctx, true, func(p wal.Position, k byte, head []byte, _ int64) error {
		if kind(k) != kindRun {
			return nil
		}
		return decodeHead(head, func(s *pipeline.RunSpec) error {
			r.caps[s.ID] = append(r.caps[s.ID], sessionCap{p, s.Budget})
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return r, l.readPast(ctx)
}

// Reader is a Reader whose answers are audited on the way. Answers of several runs can be read at once.
func (r *Auditor) Reader() Reader { return Reader{r.loader, r.note} }

// HasPruned reports whether answers of a run were pruned.
func (r *Auditor) HasPruned(run *Run) bool {
	return len(r.pruned.calls) > 0 && slices.ContainsFunc(run.Calls, func(c *Call) bool { return r.pruned.calls[callName(c)] })
}

// note notes what the answer to a call states, as it was decoded.
func (r *Auditor) note(c *Call, call *pipeline.Call) {
	problem := call.Problem
	s := statedOutcome{outcome: call.Outcome, charge: pipeline.Charge{Known: call.Charge.Known, Credits: call.Charge.Credits}}
	if c.staysInDoubt(call) {
		s.outcome, s.charge, problem = pipeline.InDoubt, pipeline.Charge{}, c.Problem
	}
	if r.secret != nil {
		s.withSecret = r.secret(call.Body) || r.secret(call.Header) || r.secret([]byte(problem))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stated[c] = s
}

// Finish reads the answers that were not read yet, in the order of writing, and completes the audit. The
// error is that of the first answer that cannot be read.
func (r *Auditor) Finish(ctx context.Context) (*Audit, error) {
	for _, c := range r.state.calls {
		if c.unsentAt != nil {
			continue
		}
		if err := r.auditCall(ctx, c); err != nil {
			return nil, err
		}
	}
	r.findBoughtTwice(ctx)
	r.findRepeatedPages()
	r.result.OverBudget = findOverBudget(r.state.runs, r.caps)
	return r.result, nil
}

// checkCheckpoint compares the checkpoint from which the ledger was opened with what the records before
// it say, and adds what it has left behind.
func (r *Auditor) checkCheckpoint(ctx context.Context) (differs []string, err error) {
	at := r.state.past.at
	if at == (wal.Position{}) {
		return nil, nil
	}
	recorded, _, err := readParts(ctx, r.log, at)
	if err != nil {
		return nil, err
	}
	then, err := decodeCheckpoint(recorded)
	if err != nil {
		return nil, err
	}
	walked, err := r.stateBefore(ctx, at)
	if err != nil {
		return nil, err
	}
	if then.cursors.stored != nil {
		if err := r.of(walked).loadCursors(ctx); err != nil {
			return nil, err
		}
	}
	parts, _, err := encodeCheckpoint(walked)
	if err != nil {
		return nil, err
	}
	same, err := equalParts(recorded, parts)
	if err != nil {
		return nil, err
	}
	if !same {
		differs = append(differs, fmt.Sprintf("the checkpoint at %s of the journal differs from what the records before it say", at))
	}
	return differs, r.addPast(ctx, walked)
}

// equalParts reports whether recorded parts are these ones.
func equalParts(recorded []part, parts [][]byte) (same bool, err error) {
	for i, p := range recorded {
		b, err := p.open()
		if err != nil || !bytes.Equal(b, parts[i]) {
			return false, err
		}
	}
	return true, nil
}

// auditCall compares a call with its answer.
func (r *Auditor) auditCall(ctx context.Context, c *Call) error {
	a := r.result
	a.Attempts++
	if c.responseAt != nil && !c.intentAt.Before(*c.responseAt) {
		a.WithoutIntent = append(a.WithoutIntent, callName(c))
	}
	stated, err := r.readStated(ctx, c)
	if errors.Is(err, ErrPruned) {
		r.auditPruned(c)
		return nil
	}
	if err != nil {
		return err
	}
	if stated.outcome == pipeline.Charged {
		a.Answers++
	}
	if stated.withSecret {
		a.WithSecret = append(a.WithSecret, callName(c))
	}
	answered := pipeline.CostOf(stated.outcome, stated.charge, c.Ceiling)
	if stated.outcome == pipeline.Charged && stated.charge.Known {
		a.Charged += stated.charge.Credits
	}
	r.checkCeiling(c, stated.outcome, stated.charge)
	if noted := pipeline.CostOf(c.Outcome, c.Charge, c.Ceiling); stated.outcome != c.Outcome || stated.outcome == pipeline.Charged && noted != answered {
		a.Mismatched = append(a.Mismatched, fmt.Sprintf("%s: recorded as %s, %s; its answer says %s, %s", callName(c), c.Outcome, noted, stated.outcome, answered))
	}
	return nil
}

// readStated is what the answer to a call states, which it reads unless it was read before.
func (r *Auditor) readStated(ctx context.Context, c *Call) (statedOutcome, error) {
	if s, ok := r.stated[c]; ok {
		return s, nil
	}
	b, call, err := r.archive.readExchange(ctx, c)
	if err != nil {
		return statedOutcome{}, err
	}
	r.archive.decode(b, call)
	r.note(c, call)
	return r.stated[c], nil
}

// auditPruned counts a call without its answer, as it was recorded.
func (r *Auditor) auditPruned(c *Call) {
	r.result.Pruned[c.Run]++
	if c.Outcome == pipeline.Charged {
		r.result.Answers++
		r.result.Charged += c.Charge.Credits
	}
	r.checkCeiling(c, c.Outcome, c.Charge)
	if !r.pruned.isAnnounced(c) {
		r.result.Unannounced = append(r.result.Unannounced, "the answer to "+callName(c)+" was removed, and no siglake prune recorded that")
	}
}

func (r *Auditor) checkCeiling(c *Call, o pipeline.Outcome, charge pipeline.Charge) {
	if o == pipeline.Charged && charge.Known && charge.Credits > c.Ceiling && !c.isDelivery() { // which states its own price
		r.result.AboveCeiling = append(r.result.AboveCeiling, fmt.Sprintf("%s was charged %d credits, above its ceiling of %d", callName(c), charge.Credits, c.Ceiling))
	}
}

func callName(c *Call) string { return c.Run.ID + "/" + c.ID }

// findBoughtTwice compares the calls about each identity, pair by pair. A lake of many nights has many pairs, of which
// next to none can be the same purchase.
func (r *Auditor) findBoughtTwice(ctx context.Context) {
	kinds, ofKey := purchaseKinds(r.state.calls), []int32(nil)
	for key, calls := range r.state.index.Sorted() {
		r.result.Entities++
		ofKey = ofKey[:0]
		for _, n := range calls {
			ofKey = append(ofKey, kinds[n-1])
		}
		for i, kind := range ofKey {
			for j := i + 1; j < len(ofKey); j++ {
				if kind != ofKey[j] && kind != anyKind && ofKey[j] != anyKind {
					continue
				}
				first, second := r.state.calls[calls[i]-1], r.state.calls[calls[j]-1]
				if second.number < first.number { // its answer was read again after the other one came
					first, second = second, first
				}
				if !first.concerns(key) || !second.concerns(key) {
					continue
				}
				if r.isRepurchase(ctx, key, first, second) || r.repeatsInDoubt(ctx, key, calls, first, second) {
					r.result.BoughtTwice = append(r.result.BoughtTwice, fmt.Sprintf("%x by %s and %s", key[:4], callName(first), callName(second)))
				}
			}
		}
	}
}

// anyKind is that of a call that may have bought what any other one did, because it is or was in doubt.
const anyKind = 0

// purchaseKinds gives each call a number: calls with different ones have not bought the same. Those of signals and scores
// have not if their windows end on different days, and deliveries if their ids differ.
func purchaseKinds(calls []*Call) []int32 {
	type kind struct {
		service pipeline.Service
		of      string
	}
	numbers, kinds := map[kind]int32{}, make([]int32, len(calls))
	for i, c := range calls {
		if c.Outcome == pipeline.InDoubt || c.reread != nil {
			continue
		}
		k := kind{service: c.Query.Service()}
		switch {
		case c.isDelivery():
			k.of = c.ID
		case k.service != pipeline.Search && !k.service.IsPaged():
			k.of = c.Query.Until
		}
		n, known := numbers[k]
		if !known {
			n = int32(len(numbers)) + 1 //nolint:gosec // not more than calls, which have numbers of 32 bits
			numbers[k] = n
		}
		kinds[i] = n
	}
	return kinds
}

// isRepurchase reports whether the second of two charged calls bought something
// that the first one returned, without an instruction to buy it again.
func (r *Auditor) isRepurchase(ctx context.Context, key pipeline.Identity, first, second *Call) bool {
	if first == second || second.Outcome != pipeline.Charged || second.Run.Refresh {
		return false
	}
	if first.Outcome != pipeline.Charged || first.wasInDoubtAt(second.intentAt) {
		return false
	}
	switch {
	case first.Query.Service() != second.Query.Service():
		return false
	case second.isDelivery(): // another one was not asked for
		return first.ID == second.ID
	case second.Query.Service() == pipeline.Search:
		return r.isRepeatedSearch(ctx, key, first, second)
	case second.Query.Service().IsPaged():
		return r.isSamePage(ctx, first, second)
	}
	// A pair without events may be requested again, with a higher cap.
	overlap := slices.ContainsFunc(second.Query.ResultTypes(), func(s string) bool {
		return r.archive.callCoverage(ctx, first, key, second.Query, s) == pipeline.CoverageFull
	})
	if !overlap {
		return false
	}
	if first.Run != second.Run {
		return true
	}
	// A run may request the same company by two names before it learns that both are one.
	return r.asksAbout(ctx, first, key) && r.asksAbout(ctx, second, key)
}

// repeatsInDoubt reports whether the second call bought a part of what the first, in doubt, may
// have bought, without a decision: whatever holds a line must not be requested. calls are the
// numbers of all calls about the identity.
func (r *Auditor) repeatsInDoubt(ctx context.Context, key pipeline.Identity, calls []uint32, first, second *Call) bool {
	if !isUndecidedBefore(first, second) || first.Query.Service().IsPaged() {
		return false
	}
	var before []*Call
	for _, n := range calls {
		if c := r.state.calls[n-1]; c.number < second.number {
			before = append(before, c)
		}
	}
	repeated := slices.ContainsFunc(second.Query.ResultTypes(), func(s string) bool {
		return queryOverlaps(first.Query, second.Query, s) && windowsOverlap(first.Query, second.Query, s) && !r.archive.wasBoughtAgain(ctx, first, before, key, s)
	})
	return repeated && r.asksAbout(ctx, first, key) && r.asksAbout(ctx, second, key)
}

// isUndecidedBefore reports whether a call was in doubt when a later one was made, and charged,
// without a decision that allowed it.
func isUndecidedBefore(first, second *Call) bool {
	if first == second || !first.wasInDoubtAt(second.intentAt) || first.unsentAt != nil || second.Outcome != pipeline.Charged || second.Run.Refresh {
		return false
	}
	return len(first.decisions) == 0 || !first.decidedAt.Before(second.intentAt)
}

// findRepeatedPages compares each page in doubt with the pages that were bought after it, until a
// refresh began them anew. Other exclusions and another start make another subject, so the
// identity does not show it.
func (r *Auditor) findRepeatedPages() {
	for i, first := range r.state.calls {
		if first.Outcome != pipeline.InDoubt && first.reread == nil || !first.Query.Service().IsPaged() {
			continue
		}
		for _, second := range r.state.calls[i+1:] {
			if !pagesOverlap(first.Query, second.Query) {
				continue
			}
			if second.Run.Refresh && second.Outcome == pipeline.Charged {
				break
			}
			if isUndecidedBefore(first, second) {
				r.result.BoughtTwice = append(r.result.BoughtTwice, fmt.Sprintf("pages by %s and %s", callName(first), callName(second)))
			}
		}
	}
}

func (r *Auditor) asksAbout(ctx context.Context, c *Call, key pipeline.Identity) bool {
	b, err := r.archive.readRequest(ctx, c)
	return err != nil || slices.ContainsFunc(b.Items, func(i pipeline.Item) bool {
		return pipeline.IdentityOf(&i.Account) == key || i.ID != "" && pipeline.IdentityByID(c.Query.Object, i.ID) == key
	})
}

// isRepeatedSearch reports whether an identifier was searched while the result of an earlier
// search was still valid.
func (r *Auditor) isRepeatedSearch(ctx context.Context, key pipeline.Identity, first, second *Call) bool {
	m, known := r.archive.cachedResolution(ctx, first, key)
	if !known || !r.asksAbout(ctx, second, key) {
		return false
	}
	valid := TTL{second.Run.PositiveTTL, second.Run.NegativeTTL}.orDefault()
	if m.entity.ID != "" {
		return second.Time.Sub(first.Time) < valid.Positive
	}
	return second.Time.Sub(first.Time) < valid.Negative
}

// isSamePage reports whether two calls bought one page: the same number of the
// same pages, or a session begun again although nothing was excluded.
func (r *Auditor) isSamePage(ctx context.Context, first, second *Call) bool {
	firstBatch, _, err := r.archive.readExchange(ctx, first)
	secondBatch, _, secondErr := r.archive.readExchange(ctx, second)
	if err != nil || secondErr != nil || len(firstBatch.Items) != 1 || len(secondBatch.Items) != 1 || firstBatch.Items[0].Page == nil || secondBatch.Items[0].Page == nil {
		return true
	}
	firstPage, secondPage := firstBatch.Items[0].Page, secondBatch.Items[0].Page
	if second.Query.Service() == pipeline.Visits {
		return firstPage.Offset <= secondPage.Offset && secondPage.Offset < firstPage.Offset+int64(firstPage.Limit) && first.Outcome == pipeline.Charged
	}
	firstAsk, _ := first.Query.Ask.(pipeline.LookalikeAsk)
	secondAsk, _ := second.Query.Ask.(pipeline.LookalikeAsk)
	return secondPage.Session == "" && len(secondAsk.Exclude) <= len(firstAsk.Exclude) && firstPage.Limit > 0
}

// sessionCap is the cap of a process that worked on a run, which began at a position; 0: none.
type sessionCap struct {
	at      wal.Position
	credits int64
}

// capAt is the cap at a position.
func capAt(p wal.Position, caps []sessionCap) (credits int64) {
	for _, c := range caps {
		if c.at.Before(p) {
			credits = c.credits
		}
	}
	return credits
}

// findOverBudget walks the records in the order of writing. At each it adds the cost of the
// answered calls, at most their ceilings, and the ceilings of those without an answer. What a call may
// cost counts against the cap of the process that made it: a run can be resumed with a lower one.
func findOverBudget(runs []*Run, caps map[string][]sessionCap) (findings []string) {
	type step struct {
		at     wal.Position
		call   *Call
		change int64
	}
	for _, r := range runs {
		var steps []step
		for _, c := range r.Calls {
			steps = append(steps, step{c.intentAt, c, c.Ceiling})
			switch {
			case c.unsentAt != nil:
				steps = append(steps, step{*c.unsentAt, c, -c.Ceiling})
			case len(c.decisions) > 0 && c.decisions[0].decision == NotCharged: // even if that was taken back later
				steps = append(steps, step{c.decidedAt, c, -c.Ceiling})
			case c.responseAt != nil:
				steps = append(steps, step{*c.responseAt, c, min(c.Cost().Max, c.Ceiling) - c.Ceiling})
			}
		}
		slices.SortFunc(steps, func(a, b step) int {
			if a.at.Before(b.at) {
				return -1
			}
			return 1
		})
		var sum int64
		for _, s := range steps {
			sum += s.change
			if most := capAt(s.at, caps[r.ID]); most > 0 && s.change > 0 && sum > most {
				findings = append(findings, fmt.Sprintf("%s: %d credits spent or possible, of %d", callName(s.call), sum, most))
			}
		}
	}
	return findings
}
