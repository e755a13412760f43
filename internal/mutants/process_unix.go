//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// setProcessGroup makes the end of a command also end the processes that it has started.
// cleanup does that for a command that has exited.
func setProcessGroup(cmd *exec.Cmd) (cleanup func()) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	kill := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel = kill
	return func() {
		if cmd.Process != nil {
			_ = kill() // usually no process is left
		}
	}
}
