package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/jobfile"
	"github.com/siglake/siglake/internal/report"
)

// invocation is one execution of a command, by a command line or by a job.
type invocation struct {
	env     *app.Env
	console *console
	args    []string // the command line

	job       string    // the name of the job; empty: a command line
	settings  []setting // of the job
	checkOnly bool      // look at the options, and do nothing

	end         *report.RunEnd   // how it ended, of a command that buys
	metricsFile string           // that --metrics-file names; empty: none
	published   *app.Publication // the newest of the command; nil: none
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
	inv.console.follow(inv.env, args, inv.settings)
	inv.args = args
	own := *inv.env                                             // a flag can change its clock
	own.Stdout = format.NewWriter(format.Below(inv.env.Stdout)) // of whose errors this command knows
	inv.env = &own
	program := newCLI(inv.env)
	program.Metadata[invocationKey] = inv
	dress(program)
	inv.end = &report.RunEnd{Job: inv.job}
	inv.env.Published = func(p app.Publication) { inv.published = &p }
	cmd, path, _ := commandOfArgs(program, args[min(1, len(args)):])
	inv.end.Command = path
	buys := cmd != nil && isPurchase(cmd)
	inv.console.buys.Store(buys)
	inv.presetFlags(cmd)
	args, err := flagsFirst(program, args)
	if err == nil {
		err = program.RunContext(ctx, args)
	}
	code, message := endOf(ctx, err, buys)
	message = withVariables(program, inv.args, message)
	code, message = withOutput(own.Stdout, code, message)
	inv.console.report(code, inv.named(message), buys)
	if failed := inv.afterPublish(ctx); failed != nil {
		inv.console.print(slog.LevelWarn, format.Text(inv.named(failed).Error()))
		if code != exitUnexplained { // which the next run will not say again
			code = max(code, exitAfter)
		}
		if message == nil {
			message = failed
		}
	}
	inv.finish(cmd, code, message)
	return code
}

// named says which job an error concerns: a scheduler, or a check, may run several.
func (inv *invocation) named(message error) error {
	if message == nil || inv.job == "" {
		return message
	}
	return fmt.Errorf("job %s: %w", inv.job, message)
}

// presetFlags lets the settings of a job fill in flags, before the command begins and after it is
// known which flags the command line and the environment set.
func (inv *invocation) presetFlags(cmd *cli.Command) {
	if cmd == nil || len(inv.settings) == 0 {
		return
	}
	looksFirst := flagNamed(cmd, "max-credits") != nil || slices.Contains([]string{"status", "compact", "prune", "verify"}, cmd.Name) || strings.HasPrefix(inv.end.Command, "webhooks ") // at their options
	if inv.checkOnly && !looksFirst {
		cmd.Action = func(*cli.Context) error { return nil }
	}
	required := cmd.Before
	cmd.Before = func(c *cli.Context) error {
		for _, s := range inv.settings {
			if c.IsSet(s.flag) {
				continue
			}
			for _, v := range s.values {
				if err := c.Set(s.flag, v); err != nil {
					return app.UsageErrorf("--%s: %v", s.flag, err)
				}
			}
		}
		if required == nil {
			return nil
		}
		return required(c)
	}
}
