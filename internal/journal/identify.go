package journal

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// How long what a search found out counts, unless somebody says otherwise. The
// vendor does not say that ids are stable for ever, nor that who is unknown today
// will be unknown tomorrow.
const (
	hitLife  = 30 * 24 * time.Hour
	missLife = 7 * 24 * time.Hour
)

// SetLife says how long an id that was found counts, and how long it counts that
// none was. Zero leaves what there is.
func (j *Journal) SetLife(hits, misses time.Duration) {
	j.hits, j.misses = cmp.Or(hits, j.hits), cmp.Or(misses, j.misses)
}

// Identify says what was found out about an account's identifier, by any run:
// by searches, and by signals that were asked by it in the older dialect, whose
// answers state the id besides.
func (j *Journal) Identify(a *schema.Account) pipeline.Identified {
	return j.identify(a, func(*Run) bool { return true })
}

func (j *Journal) identify(a *schema.Account, counts func(*Run) bool) (found pipeline.Identified) {
	j.mu.Lock() // calls are being added to what is looked through
	defer j.mu.Unlock()
	key := pipeline.IdentityOf(a)
	var calls []*Call
	j.index.calls(key, func(n uint32) {
		if c := j.calls[n-1]; counts(c.Run) && (c.Query.Service == pipeline.Search || c.Query.Service == pipeline.Signals && !c.ByID) {
			calls = append(calls, c)
		}
	})
	slices.SortFunc(calls, func(a, b *Call) int { return b.at - a.at }) // the newest first
	for _, c := range calls {
		age, searched := j.now().Sub(c.Time), c.Query.Service == pipeline.Search
		if c.Run == j.run { // what a run has found out counts as long as it goes on
			age = 0
		}
		switch {
		case c.Outcome == pipeline.Ambiguous && !searched:
		case c.Outcome == pipeline.Ambiguous && c.Resolved == "":
			found.Status, found.Doubt = schema.Held, doubtAbout(c)
			found.Reason = fmt.Sprintf("the search %s may have been charged and its answer is lost; see siglake held", found.Doubt.Name())
			return found
		case c.Outcome == pipeline.Ambiguous && c.Resolved == Lost:
			if age < j.misses {
				found.Status, found.Doubt = schema.Lost, doubtAbout(c)
				found.Reason = fmt.Sprintf("the search %s was taken as paid and lost; it is made again from %s on", found.Doubt.Name(), c.Time.Add(j.misses).UTC().Format(time.DateOnly))
				return found
			}
		case c.Outcome == pipeline.Ambiguous:
			found.Again = true
		case c.Outcome == pipeline.Charged || c.Outcome == pipeline.NotCharged:
			m, ok := j.match(c, key)
			switch {
			case !ok:
			case m.entity.ID != "" && age < j.hits:
				found.Entity, found.Call, found.Again = m.entity, c.Run.ID+"/"+c.ID, false
				return found
			case m.entity.ID == "" && searched && age < j.misses:
				found.Status, found.Call, found.Again = m.status, c.Run.ID+"/"+c.ID, false
				found.Reason = fmt.Sprintf("%s, says the search %s of %s; it is made again from %s on",
					cmp.Or(m.reason, "not known to the API"), found.Call, c.Time.UTC().Format(time.DateOnly), c.Time.Add(j.misses).UTC().Format(time.DateOnly))
				return found
			case searched: // it has had its time, and so have those before it
				return pipeline.Identified{Again: found.Again}
			}
		}
	}
	return found
}

func doubtAbout(c *Call) *pipeline.Doubt {
	return &pipeline.Doubt{
		Run: c.Run.ID, Call: c.ID, Sent: c.Time, Problem: c.Problem, Signals: c.Query.Signals, Most: c.Ceiling,
		Accepted: c.Resolved == Lost, Decided: string(c.Resolved),
	}
}

// match is what an answer says about one identifier.
type match struct {
	entity schema.Entity
	status schema.Status
	reason string
}

// matches are the answers that were read last. A list that is walked in the
// order in which it was searched meets one after the other.
type matches struct {
	of    map[*Call]map[pipeline.Identity]match
	order []*Call
}

// matchesKept is how many answers are remembered; one takes some 20 KB.
const matchesKept = 128

// match reads what a call found out about an identifier; false when it says
// nothing about it, or cannot be read: verify tells of that.
func (j *Journal) match(c *Call, key pipeline.Identity) (match, bool) {
	known, ok := j.matches.of[c]
	if !ok {
		known = j.readMatches(c)
		if j.matches.of == nil {
			j.matches.of = map[*Call]map[pipeline.Identity]match{}
		}
		j.matches.of[c] = known
		if j.matches.order = append(j.matches.order, c); len(j.matches.order) > matchesKept {
			delete(j.matches.of, j.matches.order[0])
			j.matches.order = j.matches.order[1:]
		}
	}
	m, ok := known[key]
	return m, ok
}

func (j *Journal) readMatches(c *Call) map[pipeline.Identity]match {
	b, call, err := j.exchange(context.Background(), c) // one record: who stops a run waits for the list to be read, too
	if err != nil {
		return nil
	}
	items, _ := j.decode(b, call)
	known := make(map[pipeline.Identity]match, len(items))
	for i := range items {
		m := match{entity: items[i].Entity, status: items[i].Status, reason: items[i].Reason}
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

// Pages says how far the pages about one thing have come by the runs that count,
// and what they returned, oldest first.
func (j *Journal) Pages(ctx context.Context, about *schema.Account, q *pipeline.Query, counts func(*Run) bool) (at pipeline.Cursor, given []pipeline.RawEvent, err error) {
	var calls []*Call
	j.index.calls(pipeline.IdentityOf(about), func(n uint32) {
		if c := j.calls[n-1]; c.Query.Service == q.Service && c.Query.Object == q.Object && counts(c.Run) {
			calls = append(calls, c)
		}
	})
	slices.SortFunc(calls, func(a, b *Call) int { return a.at - b.at })
	var before pipeline.Cursor // of a purchase that was made again since
	for _, c := range calls {
		b, call, err := j.exchange(ctx, c)
		if err != nil {
			return at, nil, err
		}
		page := b.Items[0].Page
		if page == nil {
			continue
		}
		if c.Run.Refresh && page.Offset == 0 && at.Results > 0 {
			before, at = farther(before, at), pipeline.Cursor{}
		}
		if c.Outcome == pipeline.Ambiguous {
			switch {
			case c.Resolved == "", c.Resolved == Lost && q.Service == pipeline.Lookalikes && page.Session == "":
				at.Doubt = doubtAbout(c) // lost, too, is the session that it began
			case c.Resolved == Lost && q.Service == pipeline.Visits: // what stood on it is given up
				at.Page, at.Results, at.Place, at.Doubt = page.Number, at.Results+int64(page.Limit), page.Offset+int64(page.Limit), nil
			default:
				at.Doubt = nil
			}
			continue
		}
		items, strays := j.decode(b, call)
		at.Follow(b, &pipeline.Reply{Calls: []pipeline.Call{*call}, Items: items, Strays: strays})
		for i := range items {
			given = append(given, items[i].Events...)
		}
	}
	return farther(before, at), given, nil
}

// farther is the cursor of the purchase that came farther: what the other one
// brought is known by it, too.
func farther(before, at pipeline.Cursor) pipeline.Cursor {
	if at.Doubt == nil && before.Results > at.Results {
		return before
	}
	return at
}
