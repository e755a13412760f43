package main

import (
	"path/filepath"
	"testing"

	"go.temporal.io/sdk/worker"
)

// TestReplay: nights that earlier versions began go on under this one. The histories were recorded by the tests, with
// -record; a change of the workflow that breaks them needs a version of the workflow, not new histories.
func TestReplay(t *testing.T) {
	t.Parallel()
	histories, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	if err != nil || len(histories) < 3 {
		t.Fatalf("%d recorded histories, %v", len(histories), err)
	}
	for _, path := range histories {
		replayer := worker.NewWorkflowReplayer()
		registerNight(replayer)
		if err := replayer.ReplayWorkflowHistoryFromJSONFile(nil, path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}
