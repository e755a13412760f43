//go:build !unix

package journal

import (
	"errors"
	"os"
)

// tryFlock fails: without a lock that ends with the process, two runs could buy
// the same.
func tryFlock(*os.File) (bool, error) { return false, errors.ErrUnsupported }
