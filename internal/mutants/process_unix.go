//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// setProcessGroup makes the end of a command the end of what it has started. end is for
// the time after.
func setProcessGroup(cmd *exec.Cmd) (cleanup func()) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	kill := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel = kill
	return func() {
		if cmd.Process != nil {
			_ = kill() // nobody is left, as a rule
		}
	}
}
