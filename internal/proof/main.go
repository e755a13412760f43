package proof

import (
	"flag"
	"os"
	"strings"
	"testing"
)

// Main runs the tests of a package from its TestMain and returns the exit code. Under the race
// detector, which makes a program about seven times as slow, it leaves out the tests named: they take
// long and have no goroutines that the others lack. make test runs those without the detector, with
// SIGLAKE_TESTS=sequential, which leaves out all others. A test named with -run, and
// SIGLAKE_PROOF=full, are never left out.
func Main(m *testing.M, sequential ...string) int {
	flag.Parse()
	choose := ""
	switch {
	case IsFull() || flag.Lookup("test.run").Value.String() != "":
	case raceDetector:
		choose = "test.skip"
	case os.Getenv("SIGLAKE_TESTS") == "sequential":
		choose = "test.run"
	}
	if choose != "" {
		if err := flag.Set(choose, "^("+strings.Join(sequential, "|")+")$"); err != nil {
			panic(err)
		}
	}
	return m.Run()
}
