package policy

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/siglake/siglake/internal/lusha/lushatest"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// sizeEstimate allows a number of entities per call, which shrinks with every call.
type sizeEstimate struct{ allowed []int }

func (s *sizeEstimate) ResultBytes(*pipeline.Query) int64 { return 700 }

func (s *sizeEstimate) MaxEntities(_ *pipeline.Query, n int, _ int64) int {
	allowed := s.allowed[0]
	if len(s.allowed) > 1 {
		s.allowed = s.allowed[1:]
	}
	return min(n, allowed)
}

// TestLimitSize: a batch with an answer that may be too long is sent in parts, by what is known when
// each part is sent, and its answers keep the order of its items.
func TestLimitSize(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		allowed []int
		failAt  string
		ids     []string
		sizes   []int
		unsent  int
	}{
		{[]int{100}, "", []string{"000012"}, []int{10}, 0},
		{[]int{4}, "", []string{"000012+0", "000012+1", "000012+2"}, []int{4, 4, 2}, 0},
		{[]int{8, 1}, "", []string{"000012+0", "000012+1", "000012+2"}, []int{8, 1, 1}, 0},
		{[]int{4}, "000012+1", []string{"000012+0", "000012+1"}, []int{4, 4}, 2},
	} {
		b := lushatest.Companies(10)
		var ids []string
		var sizes []int
		s := LimitSize(fetcherFunc(func(_ context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
			if b.ResultBytes != 700 || b.PossibleBytes() == 0 {
				t.Errorf("batch %s has no estimate of its answer", b.ID)
			}
			ids, sizes = append(ids, b.ID), append(sizes, len(b.Items))
			reply := &pipeline.Reply{Calls: []pipeline.Call{{ID: b.ID + "-1"}}}
			for _, item := range b.Items {
				reply.Items = append(reply.Items, pipeline.ItemReply{Status: schema.Enriched, Reason: item.Ref})
			}
			if b.ID == tt.failAt {
				return reply, errors.New("stop")
			}
			return reply, nil
		}), &sizeEstimate{tt.allowed}, 1)
		reply, err := s.Fetch(t.Context(), b)
		if !slices.Equal(ids, tt.ids) || !slices.Equal(sizes, tt.sizes) || (err != nil) != (tt.failAt != "") || len(reply.Calls) != len(ids) {
			t.Errorf("allowed %v: %v of %v items, %v, want %v of %v", tt.allowed, ids, sizes, err, tt.ids, tt.sizes)
		}
		if len(reply.Items) != len(b.Items) {
			t.Fatalf("allowed %v: %d replies for %d items", tt.allowed, len(reply.Items), len(b.Items))
		}
		for i, item := range reply.Items {
			if sent := i < len(b.Items)-tt.unsent; sent && item.Reason != b.Items[i].Ref || !sent && item.Status != schema.Deferred {
				t.Errorf("allowed %v: item %d = %s, %q", tt.allowed, i, item.Status, item.Reason)
			}
		}
	}
}
