//go:build unix

package main

import (
	"os"
	"syscall"
)

// stop asks the process to stop politely.
func (p *process) stop() { _ = p.cmd.Process.Signal(syscall.SIGTERM) } // unless it has ended

// removeOpen removes the name of a file that is open.
func removeOpen(name string) error { return os.Remove(name) }
