package journal

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/siglake/siglake/pipeline"
)

// Audit is what reading a whole journal again found.
type Audit struct {
	Runs, Attempts, Answers int   // Answers: complete ones that count, not what a lost call left
	Charged                 int64 // credits of answers whose charge was understood
	Unsettled               Unsettled
	Entities                int64 // identities with an answer

	Miscounted []string // answers that say something else than what was noted of them
	Unmeant    []string // answers without an earlier intent
	Twice      []string // identities bought twice without a reason
	Over       []string // moments at which a budget could have been exceeded
	Secret     []string // answers that hold the key
}

// Audit reads every answer again and checks what can be checked of the journal
// alone. secret is looked for in every answer; empty: nothing is.
func (j *Journal) Audit(ctx context.Context, secret func([]byte) bool) (*Audit, error) {
	a := &Audit{Runs: len(j.runs), Unsettled: j.Unsettled(nil)}
	for _, c := range j.calls {
		if c.unsent != nil {
			continue
		}
		a.Attempts++
		if c.response != nil && !c.intent.before(*c.response) {
			a.Unmeant = append(a.Unmeant, name(c))
		}
		b, call, err := j.exchange(ctx, c)
		if err != nil {
			return nil, err
		}
		j.decode(b, call)
		if call.Outcome == pipeline.Charged {
			a.Answers++
		}
		if secret != nil && (secret(call.Body) || secret(call.Header) || secret([]byte(call.Problem))) {
			a.Secret = append(a.Secret, name(c))
		}
		credits := int64(-1)
		if call.Outcome == pipeline.Charged && call.Charge.Known {
			credits = call.Charge.Credits
			a.Charged += credits
		}
		if call.Outcome != c.Outcome || credits != c.Credits {
			a.Miscounted = append(a.Miscounted, fmt.Sprintf("%s: noted %s %d, its answer says %s %d", name(c), c.Outcome, c.Credits, call.Outcome, credits))
		}
	}
	a.Entities, a.Twice = j.boughtTwice(ctx)
	a.Over = j.overBudget()
	return a, nil
}

func name(c *Call) string { return c.Run.ID + "/" + c.ID }

func (p position) before(o position) bool {
	return p.segment < o.segment || p.segment == o.segment && p.offset < o.offset
}

// boughtTwice looks at every identity that several calls were about.
func (j *Journal) boughtTwice(ctx context.Context) (entities int64, twice []string) {
	for s := range j.index.shards {
		slots := slices.DeleteFunc(slices.Clone(j.index.shards[s].slots), func(x slot) bool { return x.call == 0 })
		slices.SortFunc(slots, func(a, b slot) int {
			if c := slices.Compare(a.key[:], b.key[:]); c != 0 {
				return c
			}
			return int(a.call) - int(b.call)
		})
		for from := 0; from < len(slots); {
			to := from + 1
			for to < len(slots) && slots[to].key == slots[from].key {
				to++
			}
			entities++
			for i := from; i < to; i++ {
				for k := i + 1; k < to; k++ {
					first, second := j.calls[slots[i].call-1], j.calls[slots[k].call-1]
					if j.needless(ctx, slots[i].key, first, second) {
						twice = append(twice, fmt.Sprintf("%x by %s and %s", slots[i].key[:4], name(first), name(second)))
					}
				}
			}
			from = to
		}
	}
	return entities, twice
}

// needless reports whether the second of two charged calls bought something
// that the first had brought, without being told to.
func (j *Journal) needless(ctx context.Context, key pipeline.Identity, first, second *Call) bool {
	if first == second || second.Outcome != pipeline.Charged || second.Run.Refresh {
		return false
	}
	if first.Outcome == pipeline.Ambiguous { // what is in doubt is asked again when somebody has decided so, and not before
		decided := first.Resolved != "" && first.decided.before(second.intent)
		asked := first.Query.Service == second.Query.Service && !first.Query.Service.Paged() &&
			slices.ContainsFunc(second.Query.Signals, func(s string) bool { return covers(first.Query, second.Query, s) })
		return asked && !decided && j.asks(ctx, first, key) && j.asks(ctx, second, key)
	}
	if first.Outcome != pipeline.Charged {
		return false
	}
	switch {
	case first.Query.Service != second.Query.Service:
		return false
	case second.Query.Service == pipeline.Search:
		return j.searchedAgain(ctx, key, first, second)
	case second.Query.Service.Paged():
		return j.samePage(ctx, first, second)
	}
	// A pair of which there was nothing may be asked along with a higher cap.
	overlap := slices.ContainsFunc(second.Query.Signals, func(s string) bool { return j.reaches(first, key, second.Query, s) == whole })
	if !overlap {
		return false
	}
	if first.Run != second.Run {
		return true
	}
	// Within a run the same company may be asked by two names before anyone
	// knows that they are one.
	return j.asks(ctx, first, key) && j.asks(ctx, second, key)
}

func (j *Journal) asks(ctx context.Context, c *Call, key pipeline.Identity) bool {
	b, _, err := j.exchange(ctx, c)
	return err != nil || slices.ContainsFunc(b.Items, func(i pipeline.Item) bool {
		return pipeline.IdentityOf(&i.Account) == key || i.ID != "" && pipeline.IdentityByID(c.Query.Object, i.ID) == key
	})
}

// searchedAgain reports whether an identifier was searched while what an earlier
// search had found out still counted.
func (j *Journal) searchedAgain(ctx context.Context, key pipeline.Identity, first, second *Call) bool {
	m, known := j.match(first, key)
	if !known || !j.asks(ctx, second, key) {
		return false
	}
	life := cmp.Or(second.Run.Misses, missLife)
	if m.entity.ID != "" {
		life = cmp.Or(second.Run.Hits, hitLife)
	}
	return second.Time.Sub(first.Time) < life
}

// samePage reports whether two calls bought one page: the same number of the
// same pages, or a session begun again although nothing was excluded.
func (j *Journal) samePage(ctx context.Context, first, second *Call) bool {
	one, _, err := j.exchange(ctx, first)
	two, _, err2 := j.exchange(ctx, second)
	if err != nil || err2 != nil || len(one.Items) != 1 || len(two.Items) != 1 || one.Items[0].Page == nil || two.Items[0].Page == nil {
		return true
	}
	a, b := one.Items[0].Page, two.Items[0].Page
	if second.Query.Service == pipeline.Visits {
		return a.Offset <= b.Offset && b.Offset < a.Offset+int64(a.Limit) && first.Outcome == pipeline.Charged
	}
	return b.Session == "" && len(second.Query.Exclude) <= len(first.Query.Exclude) && a.Limit > 0
}

// overBudget walks the journal in the order in which it was written and adds up
// what calls had cost and what those on their way could cost.
func (j *Journal) overBudget() (over []string) {
	type step struct {
		at     position
		call   *Call
		change int64
	}
	for _, r := range j.runs {
		if r.Budget == 0 {
			continue
		}
		var steps []step
		for _, c := range r.Calls {
			steps = append(steps, step{c.intent, c, c.Ceiling})
			switch {
			case c.unsent != nil:
				steps = append(steps, step{*c.unsent, c, -c.Ceiling})
			case c.Resolved == NotCharged:
				steps = append(steps, step{c.decided, c, -c.Ceiling})
			case c.response != nil:
				steps = append(steps, step{*c.response, c, c.Most() - c.Ceiling})
			}
		}
		slices.SortFunc(steps, func(a, b step) int {
			if a.at.before(b.at) {
				return -1
			}
			return 1
		})
		var sum int64
		for _, s := range steps {
			if sum += s.change; sum > r.Budget {
				over = append(over, fmt.Sprintf("%s: %d credits spent or possible, of %d", name(s.call), sum, r.Budget))
			}
		}
	}
	return over
}
