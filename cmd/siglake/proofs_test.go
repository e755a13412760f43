package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// The race detector makes a run of the program about seven times as slow. Quick and short proofs
// run under it the tests whose goroutines differ; make test runs all others without it, and
// SIGLAKE_PROOF=full runs them all with it.
var underRaceDetector = []string{
	"TestConcurrency", "TestInterrupted", "TestListOnS3", "TestLocked", "TestRefreshContinued", "TestSessionEndsUnderWay",
	"TestTwoWriters", "TestVisitors",
}

// TestUnderRaceDetector: the list names tests.
func TestUnderRaceDetector(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(text, -1) {
			names[string(m[1])] = true
		}
	}
	for _, name := range underRaceDetector {
		if !names[name] {
			t.Errorf("%s is not a test", name)
		}
	}
}
