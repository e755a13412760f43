package proof

import (
	"flag"
	"strings"
	"testing"
)

// Main runs the tests of a package from its TestMain and returns the exit code. Under the race
// detector, which makes a program about seven times as slow, it leaves out the tests named: they take
// long and have no goroutines that the others lack. make test runs such a package in whole without
// the detector, too. A test named with -run, and SIGLAKE_PROOF=full, are never left out.
func Main(m *testing.M, sequential ...string) int {
	flag.Parse()
	if raceDetector && !IsFull() && flag.Lookup("test.run").Value.String() == "" {
		if err := flag.Set("test.skip", "^("+strings.Join(sequential, "|")+")$"); err != nil {
			panic(err)
		}
	}
	return m.Run()
}
