package pipeline

import (
	"os"
	"testing"

	"github.com/siglake/siglake/internal/proof"
)

// TestMain runs the tests. The race detector looks at those with goroutines that differ.
func TestMain(m *testing.M) {
	os.Exit(proof.Main(m, "TestManyTypes", "TestRunRecordsAreTheSinks", "TestRunFlushesLargeTextsEarly", "TestRunInterruptedLongList"))
}
