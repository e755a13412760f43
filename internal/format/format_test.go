package format

import "testing"

func TestCount(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		n          int64
		noun, want string
	}{
		{0, "call", "0 calls"}, {1, "call", "1 call"}, {2, "call", "2 calls"}, {12345, "event row", "12,345 event rows"}, {1, "entity", "1 entity"},
		{2, "entity", "2 entities"}, {2, "retry", "2 retries"}, {2, "day", "2 days"}, {2, "batch", "2 batches"}, {2, "status", "2 statuses"}, {-1, "credit", "-1 credits"},
	} {
		if got := Count(tt.n, tt.noun); got != tt.want {
			t.Errorf("Count(%d, %q) = %q, want %q", tt.n, tt.noun, got, tt.want)
		}
	}
}
