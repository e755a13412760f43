package ledger

import (
	"context"
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
	for _, c := range calls {
		b, call, err := p.archive.readExchange(ctx, c)
		if err != nil {
			return cursor, nil, err
		}
		page := b.Items[0].Page
		if page == nil {
			continue
		}
		if c.Run.Refresh && page.Offset == 0 && cursor.Results > 0 {
			earlier, cursor = fartherCursor(earlier, cursor), pipeline.Cursor{}
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
	return fartherCursor(earlier, cursor), events, nil
}

// fartherCursor is the cursor of the purchase that got farther: it includes what the other one
// returned.
func fartherCursor(earlier, latest pipeline.Cursor) pipeline.Cursor {
	if latest.InDoubt == nil && earlier.Results > latest.Results {
		return earlier
	}
	return latest
}
