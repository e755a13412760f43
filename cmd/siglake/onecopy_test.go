package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/schema"
)

// listOfPeople is a list of contacts by the API's ids.
func listOfPeople(n int) string {
	var b strings.Builder
	b.WriteString("key,lusha contact id\n")
	for i := range n {
		fmt.Fprintf(&b, "p%03d,%d\n", i, 70_114_455+i)
	}
	return b.String()
}

// TestOneUIDInBothVersions: an event of a person has one uid, whether V2 returns it, or V3 under the
// names of its one documented sample, which has neither title nor employer's id.
func TestOneUIDInBothVersions(t *testing.T) {
	t.Parallel()
	uids := func(api string, switches ...string) map[string]int {
		r := newRig(t, fixedDayConfig(t, switches...))
		r.run(listOfPeople(proof.Size(560, 560, 2000)), "--signals", "contact", "--max-results", "100", "--since", "180d", "--api", api)
		if r.code != exitComplete {
			t.Fatalf("%s: exit %d: %s", api, r.code, r.stderr)
		}
		found := map[string]int{}
		for _, row := range r.table(schema.EventTable(schema.CategoryContact)) {
			found[row["event_uid"].(string)]++
		}
		return found
	}
	two := uids("v2")
	if len(two) < 170 {
		t.Errorf("%d events compared, want more: the test shows nothing", len(two))
	}
	for _, form := range []string{"sample", "union", "v2"}[:proof.Size(1, 3, 3)] {
		if diff := cmp.Diff(two, uids("v3", "v3-events="+form)); diff != "" {
			t.Errorf("uids in V2 and in V3 with the names of %q (-V2 +V3):\n%s", form, diff)
		}
	}
}
