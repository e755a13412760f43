package main

import "syscall"

// childAttributes let the process outlive a Ctrl-C at the worker's terminal, which the worker passes on once, and
// have it stop politely when the worker dies.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
