// Package proof says how thorough the long proofs are: the tests that kill processes,
// cut power, fail every file operation or try a thousand seeds.
//
// SIGLAKE_PROOF chooses: unset in make test, where every proof runs with a few cases
// and the whole suite takes minutes; "short" in make proof, which CI runs; "full" for
// the figures that a release quotes, which take hours.
package proof

import "os"

// variable names the environment variable.
const variable = "SIGLAKE_PROOF"

// Size chooses the number of cases.
func Size(quick, short, full int) int {
	switch value := os.Getenv(variable); value {
	case "":
		return quick
	case "short":
		return short
	case "full":
		return full
	default:
		panic(variable + `="` + value + `": want short, full, or nothing for the quick version`)
	}
}

// IsShort reports whether at least the short version runs.
func IsShort() bool { return Size(0, 1, 1) == 1 }

// IsFull reports whether the full version runs.
func IsFull() bool { return Size(0, 0, 1) == 1 }
