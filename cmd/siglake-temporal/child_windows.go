package main

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// childAttributes give the process a group of its own, which stop can address.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP}
}

// stop asks the process to stop politely.
func (p *process) stop() {
	_ = windows.GenerateConsoleCtrlEvent(windows.CTRL_BREAK_EVENT, uint32(p.cmd.Process.Pid)) // unless it has ended
}

// removeOpen leaves the file: Windows removes no open one. It lies among the temporary files.
func removeOpen(string) error { return nil }
