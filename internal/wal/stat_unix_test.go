//go:build unix

package wal

import (
	"io/fs"
	"syscall"
)

func blocksOf(info fs.FileInfo) int64 { return info.Sys().(*syscall.Stat_t).Blocks }
