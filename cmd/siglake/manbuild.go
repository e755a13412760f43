//go:build man

package main

import (
	"fmt"
	"os"
)

// A program that is built with the tag man writes the manual pages of man(1) into
// the folder that it is given, and ends; see make man. The program that ships
// does not carry the converter.
func init() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: siglake DIR; a build with the tag man only writes manual pages")
		os.Exit(exitUsage)
	}
	if err := writeManPages(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitStorage)
	}
	os.Exit(exitComplete)
}
