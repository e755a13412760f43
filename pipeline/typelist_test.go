package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/schema"
)

// TestManyTypes: an answer with any number of types is a row for each event, and the manifest lists
// a bounded number of types, with the number and the sum of the others.
func TestManyTypes(t *testing.T) {
	t.Parallel()
	n := proof.Size(20_000, 100_000, 100_000)
	fetcher := fetchFunc(func(_ context.Context, b *Batch) (*Reply, error) {
		a := ItemReply{Status: schema.Enriched, CallID: b.ID + "-1"}
		for i := range n {
			a.Events = append(a.Events, RawEvent{Type: fmt.Sprintf("type%d", i), Raw: json.RawMessage(fmt.Sprintf(`{"signalId":"%d"}`, i))})
		}
		a.Events = append(a.Events, RawEvent{Type: "riskNews", Raw: json.RawMessage(`{"signalId":"r"}`)}, a.Events[0])
		charge := Charge{Known: true, Credits: int64(len(a.Events))}
		return &Reply{Calls: []Call{{ID: a.CallID, Batch: b.ID, Attempt: 1, Outcome: Charged, Charge: charge}}, Items: []ItemReply{a}}, nil
	})
	sink := &memorySink{}
	query := &Query{Object: schema.Company, Ask: SignalsAsk{Types: []string{"riskNews"}, MaxResults: 10}}
	m, err := (&Runner{Fetcher: fetcher, Sink: sink, Queries: map[schema.Object]*Query{schema.Company: query}, Spec: RunSpec{ID: "r"}}).Run(t.Context(), list{accounts: lines(1)})
	if err != nil {
		t.Fatal(err)
	}
	events, credits := m.Events.BySignal, m.Credits.BySignal
	for name, got := range map[string]map[string]int64{"events": events, "credits": credits} {
		if len(got) != maxListedTypes+2 || got["riskNews"] != 1 || got["type0"] != 2 || got[OtherTypes] != int64(n-maxListedTypes) || sumOf(got) != int64(n+2) {
			t.Errorf("%s: %d types, riskNews %d, type0 %d, others %d", name, len(got), got["riskNews"], got["type0"], got[OtherTypes])
		}
	}
	if m.Events.OtherTypes != int64(n-maxListedTypes) || m.Events.ByCategory[schema.CategoryOther] != int64(n+1) {
		t.Errorf("%d types are not listed, %d events in other, want %d and %d", m.Events.OtherTypes, m.Events.ByCategory[schema.CategoryOther], n-maxListedTypes, n+1)
	}
	if text, err := json.Marshal(m); err != nil || len(text) > 64<<10 {
		t.Errorf("the manifest takes %d bytes, %v", len(text), err)
	}
	if rows := sink.read(string(schema.CategoryOther)); len(rows) != n+1 {
		t.Errorf("%d rows, want %d", len(rows), n+1)
	}
	if rows := sink.read(schema.Credits.Name); len(rows) != n+1 {
		t.Errorf("%d rows of credits, want one for each type, %d", len(rows), n+1)
	}
}
