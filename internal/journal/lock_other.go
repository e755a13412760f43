//go:build !unix

package journal

import (
	"errors"
	"os"
)

// tryLock fails: without a lock that ends with the process, two runs could buy
// the same.
func tryLock(*os.File) (bool, error) { return false, errors.ErrUnsupported }
