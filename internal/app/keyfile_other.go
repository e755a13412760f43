//go:build !unix

package app

import "io/fs"

// isLent is always false: permissions there are no group's.
func isLent(fs.FileInfo) bool { return false }
