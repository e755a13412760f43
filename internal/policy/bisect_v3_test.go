package policy_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/internal/lusha/lushatest"
	"github.com/siglake/siglake/internal/policy"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// TestBisectV3: the search finds an item of a V3 request that is refused.
func TestBisectV3(t *testing.T) {
	api := &lushatest.FakeAPI{Next: func(b *pipeline.Batch) lushatest.Step {
		if i := slices.IndexFunc(b.Items, func(i pipeline.Item) bool { return i.Account.ID == "v1.bad" }); i >= 0 {
			return lushatest.Step{Status: 400, Body: fmt.Sprintf(`{"statusCode":400,"message":"bad request","errors":["ids.%d is not valid for signalTypes"]}`, i)}
		}
		return lushatest.Step{Status: 200, Body: `{"results":[{"id":"1"},{"id":"2"},{"id":"4"}]}`, Billed: true}
	}}
	reply, err := policy.Bisect(lusha.Decode(api), lusha.Rules{}).Fetch(t.Context(), lushatest.NewBatchV3(pipeline.Signals, schema.Company, lushatest.IDs("1", "2", "v1.bad", "4")...))
	if err != nil || lushatest.Statuses(reply.Items) != "no_signal no_signal rejected no_signal" {
		t.Errorf("Fetch() = %s, %v, want the bad one rejected", lushatest.Statuses(reply.Items), err)
	}
}
