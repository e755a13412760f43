package main

import (
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
)

// unknownFlag is the flag that the flag library did not know; empty when its
// message is about something else.
func unknownFlag(message string) string {
	_, name, found := strings.Cut(message, "flag provided but not defined: ")
	if !found {
		return ""
	}
	return strings.TrimLeft(strings.Fields(name + " ")[0], "-")
}

// flagError is the error of a command line whose flags cannot be read. path is
// the command's full name, empty for none.
func flagError(cmd *cli.Command, path string, err error) error {
	see := strings.Join(strings.Fields("siglake "+path+" --help"), " ")
	name := unknownFlag(err.Error())
	if name == "" {
		return app.UsageErrorf("%s; see %s", flagProblem(err), see)
	}
	var known []string
	if cmd != nil {
		for _, f := range cmd.VisibleFlags() {
			known = append(known, affixed(f.Names(), "--", "")...)
		}
	}
	return app.UsageErrorf("unknown flag --%s%s; see %s", name, app.DidYouMean("--"+name, known), see)
}

// suggestCommand is what the message says about a command that is not known.
func suggestCommand(commands []*cli.Command, word string) string {
	var known []string
	for _, c := range commands {
		if !c.Hidden {
			known = append(known, c.Name)
		}
	}
	return app.DidYouMean(word, known)
}
