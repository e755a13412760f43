package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
)

// console prints what the program says on standard error besides its log: errors, warnings,
// notices. They are text or, if the log is JSON, lines of JSON like it. It may be used
// concurrently.
type console struct {
	w    io.Writer
	json atomic.Bool
	buys atomic.Bool // the command makes calls that cost credits
}

// stopping says what a request to stop waits for.
func (c *console) stopping() string {
	if c.buys.Load() {
		return "shutting down after in-flight calls; press Ctrl-C again to abort"
	}
	return "stopping; press Ctrl-C again to abort"
}

// follow takes the format of the log from where it can be set: the command line, the environment,
// the settings of a job. It is known before the flags are read, and even if they cannot be read.
func (c *console) follow(env *app.Env, args []string, settings []setting) {
	text := env.Getenv("SIGLAKE_LOG_FORMAT")
	if i := slices.IndexFunc(settings, func(s setting) bool { return s.flag == "log-format" }); i >= 0 && text == "" {
		text = settings[i].values[0]
	}
	for i, a := range args {
		name, value, joined := strings.Cut(a, "=")
		switch {
		case name != "--log-format" && name != "-log-format":
		case joined:
			text = value
		case i+1 < len(args):
			text = args[i+1]
		}
	}
	c.json.Store(text == "json")
}

// print prints a text of siglake's own; parts from outside must have passed through format.Text.
func (c *console) print(level slog.Level, text string, attrs ...any) {
	if c.json.Load() {
		slog.New(slog.NewJSONHandler(format.NewWriter(c.w), nil)).Log(context.Background(), level, text, attrs...)
		return
	}
	// A further line of the text is set off, so that it cannot pass for a message of its own.
	format.Fprintf(c.w, "siglake: %s\n", format.Lines(strings.ReplaceAll(text, "\n", "\n  ")))
}

// report prints the error that ended a command, one that buys or another; nil when everything is printed.
func (c *console) report(code int, message error, buys bool) {
	if message == nil {
		return
	}
	advice := diskAdvice(message, buys)
	if code != exitStorage {
		advice = ""
	}
	attrs := []any{"exit_code", code}
	if advice != "" {
		attrs = append(attrs, "next", advice)
	}
	c.print(slog.LevelError, message.Error(), attrs...)
	if advice != "" && !c.json.Load() {
		format.Fprintf(c.w, "  Next: %s\n", advice)
	}
}

// warnVariables warns about variables with the prefix of siglake that no flag has:
// a cap that is misspelt would be no cap.
func (c *console) warnVariables(env *app.Env, program *cli.App) {
	if env.Environ == nil {
		return
	}
	known := []string{publishedRunVariable, publishedGenerationVariable, app.SecretVariable}
	var walk func(commands []*cli.Command)
	walk = func(commands []*cli.Command) {
		for _, cmd := range commands {
			for _, f := range cmd.Flags {
				if d, ok := f.(cli.DocGenerationFlag); ok {
					known = append(known, d.GetEnvVars()...)
				}
			}
			walk(cmd.Subcommands)
		}
	}
	walk(program.Commands)
	var unknown []string
	for _, pair := range env.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "SIGLAKE_") && !slices.Contains(known, name) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	for _, name := range unknown {
		c.print(slog.LevelWarn, "the variable "+format.Text(name)+" belongs to no flag and has no effect"+app.DidYouMean(name, known))
	}
}

// endOf is the exit code of a command that ended with an error, and what there is to print of it.
func endOf(ctx context.Context, err error, buys bool) (code int, message error) {
	if err == nil {
		return exitComplete, nil
	}
	code, message = exitCode(err)
	switch {
	case ctx.Err() == nil || !errors.Is(message, context.Canceled):
		return code, message
	case buys: // before a run began: a run ends in order
		return exitDeferred, errors.New("stopped on request before any call that costs credits; run the same command again")
	}
	return exitDeferred, errors.New("stopped on request before it was done; run the same command again")
}
