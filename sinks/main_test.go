package sinks

import (
	"os"
	"testing"

	"github.com/siglake/siglake/internal/proof"
)

// TestMain runs the tests. The race detector looks at those with goroutines that differ.
func TestMain(m *testing.M) {
	os.Exit(proof.Main(m,
		"TestBackends", "TestCompact", "TestCompactFaults", "TestCompactKeepsRows", "TestCompactNamesDurable",
		"TestCompactRaces", "TestCompactRefuses", "TestCompactSplits", "TestDigest", "TestFaults", "TestIntegerEncodings", "TestKeysInBucket", "TestLeaks", "TestLongTextsKeepFootersShort",
		"TestMemory", "TestNamesDurable", "TestOneCopy", "TestPublishRefuses", "TestRace",
		"TestReadFooterDamaged", "TestRoundTrip", "TestSlices", "TestSmallRecords", "TestSorted",
		"TestSplit",
	))
}
