//go:build unix

package main

import "syscall"

// setUmask says which permissions the process never gives to the files that it makes.
func setUmask(mask int) { syscall.Umask(mask) }
