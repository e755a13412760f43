package main

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/jobfile"
)

// invocation is one execution of a command, by a command line or by a job.
type invocation struct {
	env *app.Env

	job       string    // the name of the job; empty: a command line
	settings  []setting // of the job
	checkOnly bool      // look at the options, and do nothing
}

// setting is the value of a flag in a job file. It counts unless the command line or the
// environment sets the flag.
type setting struct {
	flag   string
	values []string // more than one only for flags of many words
	at     jobfile.Position
	origin string
}

// invocationKey is where an invocation lies in the metadata of the flag library.
const invocationKey = "invocation"

// invocationOf is the invocation of a command.
func invocationOf(c *cli.Context) *invocation { return c.App.Metadata[invocationKey].(*invocation) }

// run executes a command line, the program's name first, and gives the exit code.
func (inv *invocation) run(ctx context.Context, args []string) int {
	program := newCLI(inv.env)
	program.Metadata[invocationKey] = inv
	dress(program)
	if len(args) > 1 {
		inv.presetFlags(program.Command(args[1]))
	}
	err := program.RunContext(ctx, flagsFirst(program, args))
	code, message := endOf(ctx, err)
	if message != nil {
		// A further line of the text is set off, so that it cannot pass for a message of its own.
		format.Fprintf(inv.env.Stderr, "siglake: %s\n", format.Lines(strings.ReplaceAll(message.Error(), "\n", "\n  ")))
	}
	if advice := diskAdvice(message); advice != "" && code == exitStorage {
		format.Fprintf(inv.env.Stderr, "  Next: %s\n", advice)
	}
	return code
}

// endOf is the exit code of a command that ended with an error, and what there is to print of it.
func endOf(ctx context.Context, err error) (code int, message error) {
	if err == nil {
		return exitComplete, nil
	}
	code, message = exitCode(err)
	if ctx.Err() != nil && errors.Is(message, context.Canceled) { // before a run began: a run ends in order
		return exitDeferred, errors.New("stopped on request before any call that costs credits; run the same command again")
	}
	return code, message
}

// presetFlags lets the settings of a job fill in flags, before the command begins and after it is
// known which flags the command line and the environment set.
func (inv *invocation) presetFlags(cmd *cli.Command) {
	if cmd == nil || len(inv.settings) == 0 {
		return
	}
	if inv.checkOnly && flagNamed(cmd, "max-credits") == nil { // the others look at their options first
		cmd.Action = func(*cli.Context) error { return nil }
	}
	for _, f := range cmd.Flags {
		isSet := slices.ContainsFunc(inv.settings, func(s setting) bool { return s.flag == f.Names()[0] })
		if text, ok := f.(*cli.StringFlag); ok && isSet {
			text.Required = false // the flag library looks for it before
		}
	}
	cmd.Before = func(c *cli.Context) error {
		for _, s := range inv.settings {
			if c.IsSet(s.flag) {
				continue
			}
			for _, v := range s.values {
				if err := c.Set(s.flag, v); err != nil {
					return app.UsageErrorf("job %s: --%s: %v", inv.job, s.flag, err)
				}
			}
		}
		return nil
	}
}
