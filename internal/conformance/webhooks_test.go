package conformance

import (
	"fmt"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/schema"
)

// TestWebhookClient: every request that the client makes to manage webhooks is one that the description
// allows, and it reads the simulator's answers.
func TestWebhookClient(t *testing.T) {
	if !isDescribed(t, "POST /api/subscriptions") {
		return
	}
	s := newWebhookSession(t)
	defer addTotals(s.proxy, 0)
	client, ctx := newClient(t, s.proxy).Webhooks(), t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	const url = "https://hooks.siglake.example/in"
	if key, err := client.Secret(ctx); err != nil || !key.IsEmpty() {
		t.Errorf("Secret before there is one = %v, want none", err)
	}
	made, err := client.ReplaceSecret(ctx)
	must(err)
	if key, err := client.Secret(ctx); err != nil || key.Reveal() != made.Reveal() || made.IsEmpty() {
		t.Errorf("Secret = %v, want the one that was made", err)
	}
	var items []lusha.NewSubscription
	for i := range 12 {
		items = append(items, lusha.NewSubscription{Object: schema.Company, EntityID: fmt.Sprint(1000 + i), Signals: []string{"peopleNews", "riskNews", "headcountIncrease3m"}, Name: "siglake:conformance:list"})
	}
	items = append(items, items[0], lusha.NewSubscription{Object: schema.Contact, EntityID: "x", Signals: []string{"promotion"}, Name: "siglake:conformance:list"})
	results, err := client.Create(ctx, url, items)
	must(err)
	for i, r := range results {
		want := map[int]string{12: lusha.HookDuplicate, 13: "VALIDATION_ERROR"}[i]
		if r.Code != want || (want == "") != (r.Subscription != nil) {
			t.Errorf("item %d = %+v, want code %q", i, r, want)
		}
	}
	listed, total, err := client.Subscriptions(ctx)
	if err != nil || total != 12 || len(listed) != 12 || listed[11].ID != results[0].Subscription.ID || listed[0].URL != url || !listed[0].Active {
		t.Errorf("Subscriptions = %d of %d, %v", len(listed), total, err)
	}
	id := results[0].Subscription.ID
	on := true
	for _, change := range []lusha.HookChange{{Active: new(bool)}, {Active: &on}, {Signals: []string{"peopleNews"}}, {URL: "https://other.siglake.example/in"}, {Name: "other"}} {
		if got, err := client.Change(ctx, id, change); err != nil || got.ID != id {
			t.Errorf("Change(%+v) = %+v, %v", change, got, err)
		}
	}
	if got, err := client.Test(ctx, id); err != nil || !got.Success || got.SubscriptionID != id {
		t.Errorf("Test = %+v, %v, want success", got, err)
	}
	optOuts, err := client.SubscribeOptOuts(ctx, url, "opt-outs")
	if err != nil || optOuts.Signals[0] != "optOut" {
		t.Errorf("SubscribeOptOuts = %+v, %v", optOuts, err)
	}
	for range 60 {
		s.now = s.now.Add(24 * time.Hour)
		_, err := s.sim.Deliver(ctx)
		must(err)
	}
	attempts := map[string]bool{}
	for a, err := range client.Attempts(ctx, lusha.HookDelivered) {
		must(err)
		attempts[a.DeliveryID] = true
	}
	for _, d := range s.sim.Deliveries() {
		if !attempts[d.ID] {
			t.Errorf("the audit log lacks %+v", d)
		}
	}
	if stats, err := client.Stats(ctx); err != nil || stats.Success != int64(len(attempts)) || stats.Success == 0 || stats.Failed != 0 || stats.Credits != s.sim.Bill().Credits {
		t.Errorf("Stats = %+v, %v, want %d deliveries for %d credits", stats, err, len(attempts), s.sim.Bill().Credits)
	}
	gone, err := client.Delete(ctx, []string{id, "0123456789abcdef01234567"})
	if err != nil || gone[0].Code != "" || gone[1].Code != lusha.HookNotFound {
		t.Errorf("Delete = %+v, %v", gone, err)
	}
}
