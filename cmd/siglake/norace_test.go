//go:build !race

package main

import (
	"flag"

	"github.com/siglake/siglake/internal/proof"
)

// chooseTests runs every test. Random properties have as many cases as the size of the proof.
func chooseTests() error {
	return flag.Set("rapid.checks", []string{"30", "100", "1000"}[proof.Size(0, 1, 2)])
}
