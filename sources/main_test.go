package sources

import (
	"os"
	"testing"

	"github.com/siglake/siglake/internal/proof"
)

// TestMain runs the tests. The race detector looks at those with goroutines that differ.
func TestMain(m *testing.M) {
	os.Exit(proof.Main(m, "TestGuessEncoding", "TestMalformed", "TestMalformedOnS3", "TestManyTexts", "TestRanges", "TestRejectsAreAList", "TestRoles", "TestSample"))
}
