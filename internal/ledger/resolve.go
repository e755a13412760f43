package ledger

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// The default validity of search results. The vendor promises neither that ids are stable for
// ever nor that an unknown entity stays unknown.
const (
	defaultPositiveTTL = 30 * 24 * time.Hour
	defaultNegativeTTL = 7 * 24 * time.Hour
)

// SetTTL sets how long a search result with an id is valid, and how long one without. Zero
// changes nothing.
func (l *Ledger) SetTTL(positive, negative time.Duration) {
	l.positiveTTL, l.negativeTTL = cmp.Or(positive, l.positiveTTL), cmp.Or(negative, l.negativeTTL)
}

// Resolve says what any run found for an account's identifier: by a search, or by V2 signals
// that were requested by it, since their answers state the id.
func (l *Ledger) Resolve(ctx context.Context, a *schema.Account) pipeline.Resolution {
	return l.resolveAmong(ctx, a, func(*Run) bool { return true })
}

func (l *Ledger) resolveAmong(ctx context.Context, a *schema.Account, include func(*Run) bool) (found pipeline.Resolution) {
	key := pipeline.IdentityOf(a)
	calls := l.settledCalls(key, func(c *Call) bool {
		return include(c.Run) && (c.Query.Service() == pipeline.Search || c.Query.Service() == pipeline.Signals && !c.ByID)
	})
	slices.SortFunc(calls, func(a, b *Call) int { return b.number - a.number }) // newest first
	for _, c := range calls {
		age, searched := l.now().Sub(c.Time), c.Query.Service() == pipeline.Search
		if c.Run == l.current { // what a run finds is valid until it ends
			age = 0
		}
		switch {
		case c.Outcome == pipeline.InDoubt && !searched:
		case c.Outcome == pipeline.InDoubt && c.Decision == "":
			found.Status, found.InDoubt = schema.InDoubt, inDoubtCall(c)
			found.Reason = fmt.Sprintf("the search %s may have been charged and its answer is lost; see siglake held", found.InDoubt.Name())
			return found
		case c.Outcome == pipeline.InDoubt && c.Decision == WriteOff:
			if age < l.negativeTTL {
				found.Status, found.InDoubt = schema.WrittenOff, inDoubtCall(c)
				found.Reason = fmt.Sprintf("the search %s was taken as paid and lost; it is made again from %s on", found.InDoubt.Name(), c.Time.Add(l.negativeTTL).UTC().Format(time.DateOnly))
				return found
			}
		case c.Outcome == pipeline.InDoubt:
			found.RiskOfDoubleCharge = true
		case c.Outcome == pipeline.Charged || c.Outcome == pipeline.NotCharged:
			m, ok := l.cachedResolution(ctx, c, key)
			switch {
			case !ok:
			case m.entity.ID != "" && age < l.positiveTTL:
				found.Entity, found.Call, found.RiskOfDoubleCharge = m.entity, c.Run.ID+"/"+c.ID, false
				return found
			case m.entity.ID == "" && searched && age < l.negativeTTL:
				found.Status, found.Call, found.RiskOfDoubleCharge = m.status, c.Run.ID+"/"+c.ID, false
				found.Reason = fmt.Sprintf("%s, says the search %s of %s; it is made again from %s on",
					cmp.Or(m.reason, "not known to the API"), found.Call, c.Time.UTC().Format(time.DateOnly), c.Time.Add(l.negativeTTL).UTC().Format(time.DateOnly))
				return found
			case searched: // it has expired, and so have those before it
				return pipeline.Resolution{RiskOfDoubleCharge: found.RiskOfDoubleCharge}
			}
		}
	}
	return found
}

func inDoubtCall(c *Call) *pipeline.InDoubtCall {
	return &pipeline.InDoubtCall{
		Run: c.Run.ID, Call: c.ID, Sent: c.Time, Problem: c.Problem, Signals: c.Query.ResultTypes(), MaxCredits: c.Ceiling,
		WrittenOff: c.Decision == WriteOff, Decision: string(c.Decision),
	}
}

// resolution is what an answer says about an identifier.
type resolution struct {
	entity schema.Entity
	status schema.Status
	reason string
}

// resolutionCache has the answers that were read last. A list is searched and later read in the
// same order, so that its lines need one answer after the other.
type resolutionCache struct {
	byCall map[*Call]map[pipeline.Identity]resolution
	order  []*Call
}

func (r *resolutionCache) add(c *Call, known map[pipeline.Identity]resolution) {
	if _, ok := r.byCall[c]; ok {
		return
	}
	if r.byCall == nil {
		r.byCall = map[*Call]map[pipeline.Identity]resolution{}
	}
	r.byCall[c] = known
	if r.order = append(r.order, c); len(r.order) > maxResolutionCalls {
		delete(r.byCall, r.order[0])
		r.order = r.order[1:]
	}
}

// maxResolutionCalls is the number of answers in the cache; one takes about 20 KB.
const maxResolutionCalls = 128

// cachedResolution returns what a call found for an identifier; false if its answer says
// nothing about it or cannot be read, which verify reports.
func (l *Ledger) cachedResolution(ctx context.Context, c *Call, key pipeline.Identity) (resolution, bool) {
	l.mu.Lock()
	known, ok := l.resolutions.byCall[c]
	l.mu.Unlock()
	if !ok {
		known = l.readResolutions(ctx, c)
		if ctx.Err() == nil { // else not readable now, which says nothing about the answer
			l.mu.Lock()
			l.resolutions.add(c, known)
			l.mu.Unlock()
		}
	}
	m, ok := known[key]
	return m, ok
}

func (l *Ledger) readResolutions(ctx context.Context, c *Call) map[pipeline.Identity]resolution {
	b, call, err := l.readExchange(ctx, c)
	if err != nil {
		return nil
	}
	items, _ := l.decode(b, call)
	known := make(map[pipeline.Identity]resolution, len(items))
	for i := range items {
		m := resolution{entity: items[i].Entity, status: items[i].Status, reason: items[i].Reason}
		switch items[i].Status {
		case schema.Resolved, schema.Enriched, schema.NoSignal:
		case schema.NotFound, schema.Restricted:
			m.entity = schema.Entity{}
		default:
			continue
		}
		known[pipeline.IdentityOf(&b.Items[i].Account)] = m
	}
	return known
}
