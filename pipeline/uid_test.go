package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/schema"
)

// TestEventsWithoutIDs runs a list of three people, with equal answers that state no id, and
// two answers about something that was never requested. Each paid event is an event of its own,
// and keeps its uid in another run of another list.
func TestEventsWithoutIDs(t *testing.T) {
	text, err := os.ReadFile("../testdata/hard-answers/no-ids-contact.json")
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Contacts map[string]struct{ Promotion []json.RawMessage }
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatal(err)
	}
	raw := answer.Contacts["r1"].Promotion[0]
	item := ItemReply{Status: schema.Enriched, CallID: "1-1", Events: []RawEvent{{Type: "promotion", Raw: raw}}}
	f := fetchFunc(func(_ context.Context, b *Batch) (*Reply, error) {
		reply := &Reply{
			Calls:     []Call{{ID: "1-1", Batch: b.ID, Object: schema.Contact, Sent: epoch, Outcome: Charged, Charge: knownCharge(int64(len(b.Items)) + 2)}},
			Unmatched: []ItemReply{item, item},
		}
		for range b.Items {
			reply.Items = append(reply.Items, item)
		}
		return reply, nil
	})
	uids := func(mails ...string) (uids []string) {
		var lines list
		for i, mail := range mails {
			lines.accounts = append(lines.accounts, schema.Account{Row: int64(i + 1), Key: fmt.Sprint("key ", i), Object: schema.Contact, Email: mail})
		}
		seen := map[string]bool{}
		for _, row := range mustRun(t, Runner{Fetcher: f, Queries: bothQueries()}, lines).sink.read("contact") {
			if uids = append(uids, row.text("event_uid")); seen[row.text("event_uid")] {
				t.Errorf("two events have the uid %s", row.text("event_uid"))
			}
			seen[row.text("event_uid")] = true
		}
		if len(uids) != len(mails)+2 {
			t.Errorf("%d rows for %d people, want one of each and two", len(uids), len(mails))
		}
		return uids
	}
	first, second := uids("a@x.example", "b@x.example", "c@x.example"), uids("c@x.example", "a@x.example", "b@x.example")
	if diff := cmp.Diff([]string{first[2], first[0], first[1]}, second[:3]); diff != "" {
		t.Errorf("uids in another run (-want +got):\n%s", diff)
	}
}
