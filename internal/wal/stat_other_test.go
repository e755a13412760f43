//go:build !unix

package wal

import "io/fs"

// The tests that need these have not been run on such systems; vet reads them.
func blocksOf(fs.FileInfo) int64 { panic("no blocks on this system") }
