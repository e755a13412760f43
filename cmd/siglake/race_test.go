//go:build race

package main

import (
	"flag"
	"strings"

	"github.com/siglake/siglake/internal/proof"
)

// chooseTests selects those tests, unless the command line selects others.
func chooseTests() error {
	if flag.Lookup("test.run").Value.String() != "" || proof.IsFull() {
		return nil
	}
	return flag.Set("test.run", "^("+strings.Join(underRaceDetector, "|")+")$")
}
