//go:build !unix

package main

func applyUmask(int) {}
