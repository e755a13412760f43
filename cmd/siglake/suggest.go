package main

import (
	"regexp"
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
func flagError(cmd *cli.Command, path string, args []string, err error) error {
	see := strings.Join(strings.Fields("siglake "+path+" --help"), " ")
	name := unknownFlag(err.Error())
	if name == "" {
		return app.UsageErrorf("%s; see %s", flagProblem(cmd, err), see)
	}
	if cmd != nil && len(cmd.Subcommands) > 0 {
		return app.UsageErrorf("flag %s belongs to a command of %s: name %s first; see %s", asTyped(name, args), path, alternatives(commandNames(cmd.Subcommands)), see)
	}
	return app.UsageErrorf("unknown flag %s%s; see %s", asTyped(name, args), suggestFlag(cmd, name), see)
}

// suggestFlag is what the message says about a flag that is not known. Almost any flag is like one of one or two
// letters, so nothing is suggested for these, and none of one letter.
func suggestFlag(cmd *cli.Command, name string) string {
	if cmd == nil || len(name) < 3 {
		return ""
	}
	var known []string
	for _, f := range cmd.VisibleFlags() {
		for _, n := range f.Names() {
			if len(n) > 1 {
				known = append(known, "--"+n)
			}
		}
	}
	return app.DidYouMean("--"+name, known)
}

// asTyped is a flag with its dashes.
func asTyped(name string, args []string) string {
	for _, a := range args {
		typed, _, _ := strings.Cut(a, "=")
		if strings.HasPrefix(typed, "-") && strings.TrimLeft(typed, "-") == name {
			return typed
		}
	}
	return "--" + name
}

// The messages of the flag library about a value that it cannot read: on the command line, and in a variable.
var (
	badValue    = regexp.MustCompile(`^invalid (?:boolean )?value ("(?:[^"\\]|\\.)*") for (?:flag )?-([a-z0-9-]+):`)
	badVariable = regexp.MustCompile(`^could not parse ("(?:[^"\\]|\\.)*") as .* from environment variable "([A-Z0-9_]+)" for flag ([a-z0-9-]+):`)
)

// flagProblem says in the user's words what the flag library could not read, and what it expected.
func flagProblem(cmd *cli.Command, err error) string {
	text := err.Error()
	if m := badVariable.FindStringSubmatch(text); m != nil && cmd != nil && flagNamed(cmd, m[3]) != nil {
		return m[2] + " " + m[1] + ": expected " + expectedWord(flagNamed(cmd, m[3]))
	}
	if m := badValue.FindStringSubmatch(text); m != nil && cmd != nil && flagNamed(cmd, m[2]) != nil {
		return "--" + m[2] + " " + m[1] + ": expected " + expectedWord(flagNamed(cmd, m[2]))
	}
	return strings.ReplaceAll(text, "flag -", "flag --")
}

// expectedWord says what a flag takes.
func expectedWord(f cli.Flag) string {
	word, _ := valueWord(f, "")
	return word
}

// suggestCommand is what the message says about a command that is not known.
func suggestCommand(commands []*cli.Command, word string) string {
	return app.DidYouMean(word, commandNames(commands))
}

// alternatives are words of which one is chosen.
func alternatives(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// commandNames are the names of the commands that help shows.
func commandNames(commands []*cli.Command) (names []string) {
	for _, c := range commands {
		if !c.Hidden {
			names = append(names, c.Name)
		}
	}
	return names
}
