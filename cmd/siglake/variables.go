package main

import (
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// variableError is an error of which the message names variables in the place of flags.
type variableError struct {
	text  string
	cause error
}

// Error gives the message.
func (e *variableError) Error() string { return e.text }

// Unwrap gives the error with the names of the flags.
func (e *variableError) Unwrap() error { return e.cause }

// withVariables names the variable in a message about a flag that the environment has set: such a flag
// is not on the command line. Flags in advice, such as "add --force", stay.
func withVariables(program *cli.App, args []string, message error) error {
	if message == nil {
		return nil
	}
	text := nameVariables(message.Error(), setByVariables(program, args))
	if text == message.Error() {
		return message
	}
	return &variableError{text, message}
}

// nameVariables replaces the names of flags by those of their variables where a text is about them.
func nameVariables(text string, variables map[string]string) string {
	for flag, variable := range variables {
		// A message is about the flag with which it begins, and about those that follow a comma or an "and".
		about := regexp.MustCompile(`(^|^(?:--|SIGLAKE_).*(?:, | and ))--` + regexp.QuoteMeta(flag) + `($|[^a-z0-9=-])`)
		text = about.ReplaceAllString(text, "${1}"+variable+"${2}")
		text = strings.ReplaceAll(text, "omit --"+flag, "unset "+variable)
	}
	return text
}

// setByVariables are the flags of a command line's command that variables set, and the command line does
// not: their names, with those of the variables.
func setByVariables(program *cli.App, args []string) map[string]string {
	set := map[string]string{}
	for _, f := range flagsOf(program, args) {
		d, ok := f.(cli.DocGenerationFlag)
		if ok && f.IsSet() && len(d.GetEnvVars()) > 0 && !isGiven(f.Names(), args) { // by the environment: the library notes nothing else
			set[f.Names()[0]] = d.GetEnvVars()[0]
		}
	}
	return set
}

// flagsOf are the flags of the command that a command line names, and of the commands above it.
func flagsOf(program *cli.App, args []string) (flags []cli.Flag) {
	commands := program.Commands
	for _, word := range args[min(1, len(args)):] {
		i := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(word) })
		if i < 0 {
			break
		}
		flags = append(flags, commands[i].Flags...)
		commands = commands[i].Subcommands
	}
	return flags
}

// isGiven reports whether a command line has a flag, by one of its names.
func isGiven(names, args []string) bool {
	return slices.ContainsFunc(args, func(arg string) bool {
		name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		return strings.HasPrefix(arg, "-") && slices.Contains(names, name)
	})
}
