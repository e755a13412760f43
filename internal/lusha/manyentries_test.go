package lusha

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/lusha/lushatest"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// allocatedBytes is what a function allocates. Tests that use it do not run in parallel with others.
func allocatedBytes(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// manyEntries is an answer about one company: with n signal types in one entry, or with one type,
// one other id and one unknown field in each of n entries.
func manyEntries(b *pipeline.Batch, n int, oneEntry bool) string {
	var parts []string
	key := answerKey(b, 0)
	for i := range n {
		fields := fmt.Sprintf(`"type%d":[{"signalId":"%d","signalDate":"2026-01-02"}],"extra%d":%d`, i, i, i, i)
		if !oneEntry {
			fields = fmt.Sprintf(`%q:{"companyId":"%d",%s}`, key, i+1, fields)
		}
		parts = append(parts, fields)
	}
	all := strings.Join(parts, ",")
	if oneEntry {
		all = fmt.Sprintf(`%q:{%s}`, key, all)
	}
	return fmt.Sprintf(`{"companies":{%s},"creditCharged":%d}`, all, n)
}

// TestManyEntries: what it takes to decode an answer grows as its length does, however many types it
// has, and in however many entries about one company they come.
func TestManyEntries(t *testing.T) { // not parallel: it counts what this process allocates
	for _, oneEntry := range []bool{true, false} {
		measure := func(n int) uint64 {
			b := lushatest.Companies(1)
			text := manyEntries(b, n, oneEntry)
			return allocatedBytes(func() {
				call, items, _, err := decodeText(b, text)
				if err != nil || len(items[0].Events) != n || items[0].Status != schema.Enriched || call.Charge.Credits != int64(n) {
					t.Fatalf("one entry %v: %d events, %s, %v, want %d", oneEntry, len(items[0].Events), items[0].Status, err, n)
				}
				if want := map[bool]int{true: 0, false: n - 1}[oneEntry]; len(items[0].Aliases) < want {
					t.Errorf("one entry %v: %d other ids, want %d", oneEntry, len(items[0].Aliases), want)
				}
				if len(items[0].Warnings) > maxWarnings || !strings.Contains(string(items[0].UnknownFields), fmt.Sprintf(`"extra%d":%d`, n-1, n-1)) {
					t.Errorf("one entry %v: %d warnings, or unknown fields are lost", oneEntry, len(items[0].Warnings))
				}
			})
		}
		if few, many := measure(2000), measure(16000); many > 16*few {
			t.Errorf("one entry %v: 16,000 types take %d bytes, 2,000 take %d: more than in proportion", oneEntry, many, few)
		}
	}
}
