package policy_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/internal/lusha/lushatest"
	"github.com/siglake/siglake/internal/policy"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// TestRetryV3: what follows the refusals that only V3 knows.
func TestRetryV3(t *testing.T) {
	gone := lushatest.Step{Status: 410, Body: `{"code":"DEDUPE_SESSION_INVALID","message":"m"}`}
	down := lushatest.Step{Status: 502, Body: `{"statusCode":502,"message":"identities cannot be resolved"}`}
	plan := lushatest.Step{Status: 402, Body: `{"statusCode":402,"message":"your plan does not include company signals"}`}
	found := lushatest.Step{Status: 200, Body: `{"results":[{"clientReferenceId":"r0","id":"1","signalScore":1}]}`, Billed: true}
	session := lushatest.NewBatchV3(pipeline.Lookalikes, schema.Company)
	session.Items[0].Page.Session = "s-1"
	for _, tt := range []struct {
		name   string
		b      *pipeline.Batch
		steps  []lushatest.Step
		calls  int
		status string
		stop   pipeline.StopKind
	}{
		{"a session that is gone", session, []lushatest.Step{gone}, 1, "deferred", ""},
		{"a 410 to the first page", lushatest.NewBatchV3(pipeline.Lookalikes, schema.Company), []lushatest.Step{gone}, 1, "deferred", pipeline.StopAuth},
		{"a 410 to signals", lushatest.CompaniesIn(pipeline.V3, 1), []lushatest.Step{gone}, 1, "deferred", pipeline.StopAuth},
		{"a score, from an API that is down", lushatest.NewBatchV3(pipeline.Scores, schema.Contact, lushatest.People(1)...), []lushatest.Step{down, down, found}, 3, "enriched", ""},
		{"a score, from a proxy whose API is down", lushatest.NewBatchV3(pipeline.Scores, schema.Contact, lushatest.People(1)...), []lushatest.Step{lushatest.ProxyPage}, 1, "held", ""},
		{"company signals that the plan does not include", lushatest.CompaniesIn(pipeline.V3, 1), []lushatest.Step{plan}, 1, "deferred", pipeline.StopAuth},
		{"no credits", lushatest.NewBatchV3(pipeline.Search, schema.Company, lushatest.Sites(1)...), []lushatest.Step{lushatest.NoCredits}, 1, "deferred", pipeline.StopCredits},
		{"lost", session, []lushatest.Step{lushatest.Lost}, 1, "held", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reply, err := policy.Bisect(policy.Retry(lusha.Decode(&lushatest.FakeAPI{Steps: tt.steps}), lusha.Rules{}, policy.RetryConfig{}), lusha.Rules{}).Fetch(t.Context(), tt.b)
				var stop *pipeline.Stop
				var kind pipeline.StopKind
				if errors.As(err, &stop) {
					kind = stop.Kind
				}
				if kind != tt.stop || len(reply.Calls) != tt.calls || lushatest.Statuses(reply.Items) != tt.status {
					t.Errorf("Fetch() = %d calls, %s, %v, want %d, %s, %q", len(reply.Calls), lushatest.Statuses(reply.Items), err, tt.calls, tt.status, tt.stop)
				}
				if next := reply.Items[0].Next; (next != nil && next.SessionExpired) != (tt.name == "a session that is gone") {
					t.Errorf("next = %+v", next)
				}
			})
		})
	}
}
