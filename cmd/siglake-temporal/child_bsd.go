//go:build unix && !linux

package main

import "syscall"

// childAttributes let the process outlive a Ctrl-C at the worker's terminal, which the worker passes on once. If the
// worker is killed, the process works on to its end, and its lake is locked until then.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
