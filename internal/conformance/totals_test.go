package conformance

import (
	"flag"
	"testing"
)

// The tests of this file run last.

// All operations of our own description are covered if all tests run.
func TestAllOperationsMet(t *testing.T) {
	totals.Lock()
	defer totals.Unlock()
	t.Logf("%d operations, %d requests checked, %d answers decoded, %d events in them",
		len(totals.operations), totals.requests, totals.answers, totals.events)
	if !ownDescription || flag.Lookup("test.run").Value.String() != "" {
		return
	}
	for op := range operations {
		if !totals.operations[op] {
			t.Errorf("%s was never called", op)
		}
	}
}
