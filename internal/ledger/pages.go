package ledger

import (
	"context"
	"maps"
	"slices"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// PageProgress says how far the pages about one subject were bought, and what they returned,
// oldest first.
func (p *Purchases) PageProgress(ctx context.Context, account *schema.Account, q *pipeline.Query) (cursor pipeline.Cursor, events []pipeline.RawEvent, err error) {
	calls := p.state.settledCalls(pipeline.IdentityOf(account), func(c *Call) bool {
		return c.Query.Service() == q.Service() && c.Query.Object == q.Object && p.include(c.Run)
	})
	slices.SortFunc(calls, func(a, b *Call) int { return a.number - b.number })
	var earlier pipeline.Cursor // of a purchase before the last refresh
	refreshed := 0              // number of the call that began the last refresh
	for _, c := range calls {
		b, call, err := p.archive.readExchange(ctx, c)
		if err != nil {
			return cursor, nil, err
		}
		page := b.Items[0].Page
		if page == nil {
			continue
		}
		if c.Run.Refresh && page.Offset == 0 {
			refreshed = c.number
			if cursor.Results > 0 {
				earlier, cursor = fartherCursor(earlier, cursor), pipeline.Cursor{}
			}
		}
		if c.Outcome == pipeline.InDoubt {
			switch {
			case c.Decision == "", c.Decision == WriteOff && q.Service() == pipeline.Lookalikes && page.Session == "":
				cursor.InDoubt = inDoubtCall(c) // the session that it began is lost, too
			case c.Decision == WriteOff && q.Service() == pipeline.Visits: // its content is given up
				cursor.Page, cursor.Results, cursor.Offset, cursor.InDoubt = page.Number, cursor.Results+int64(page.Limit), page.Offset+int64(page.Limit), nil
			default:
				cursor.InDoubt = nil
			}
			continue
		}
		items, unmatched := p.archive.decode(b, call)
		cursor.Advance(b, &pipeline.Reply{Calls: []pipeline.Call{*call}, Items: items, Unmatched: unmatched})
		for i := range items {
			events = append(events, items[i].Events...)
		}
	}
	cursor = fartherCursor(earlier, cursor)
	if cursor.InDoubt == nil && !cursor.Exhausted {
		cursor.InDoubt = p.overlappingPage(q, func(c *Call) bool { return c.number > refreshed && !slices.Contains(calls, c) })
	}
	return cursor, events, nil
}

// overlappingPage is an undecided call that may have bought, as pages about another subject,
// results that a query's pages return, too; nil: none. Other exclusions make another subject of
// the same seeds, and another start another one of the same sites.
func (p *Purchases) overlappingPage(q *pipeline.Query, other func(*Call) bool) *pipeline.InDoubtCall {
	p.state.mu.Lock()
	defer p.state.mu.Unlock()
	for _, c := range p.state.calls {
		if c != nil && c.InDoubt() && p.include(c.Run) && other(c) && pagesOverlap(c.Query, q) {
			return inDoubtCall(c)
		}
	}
	return nil
}

// pagesOverlap reports whether the pages of two queries can return the same results. Pages of
// visits do so within a day only, since every day begins another purchase.
func pagesOverlap(a, b *pipeline.Query) bool {
	if a.Object != b.Object || a.Service() != b.Service() {
		return false
	}
	switch first := a.Ask.(type) {
	case pipeline.LookalikeAsk:
		second, _ := b.Ask.(pipeline.LookalikeAsk)
		return maps.Equal(identitySet(first.Seeds), identitySet(second.Seeds))
	case pipeline.VisitsAsk:
		second, _ := b.Ask.(pipeline.VisitsAsk)
		return a.Until == b.Until && slices.ContainsFunc(first.Sites, func(site string) bool { return slices.Contains(second.Sites, site) })
	}
	return false
}

func identitySet(accounts []schema.Account) map[pipeline.Identity]bool {
	set := map[pipeline.Identity]bool{}
	for i := range accounts {
		set[pipeline.IdentityOf(&accounts[i])] = true
	}
	return set
}

// fartherCursor is the cursor of the purchase that got farther: it includes what the other one
// returned.
func fartherCursor(earlier, latest pipeline.Cursor) pipeline.Cursor {
	if latest.InDoubt == nil && earlier.Results > latest.Results {
		return earlier
	}
	return latest
}
