package ledger

import (
	"os"
	"testing"

	"github.com/siglake/siglake/internal/proof"
)

// TestMain runs the tests. The race detector looks at those with goroutines that differ.
func TestMain(m *testing.M) {
	os.Exit(proof.Main(m, "TestCheckpoint", "TestCheckpointGolden", "TestCheckpointKeepsUnsettled", "TestPastUnreadable", "TestPiecesFromLog", "TestPrune", "TestPruneDies",
		"TestPruneUnannounced", "TestPruneUndated", "TestRecordReservation", "TestSalvageRecords", "TestSalvageTruncated"))
}
