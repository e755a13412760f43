//go:build !unix

package main

// setUmask does nothing: access is governed by the lists of the folder.
func setUmask(int) {}
