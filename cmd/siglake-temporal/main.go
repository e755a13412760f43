// Command siglake-temporal runs the jobs of a job file on Temporal.
//
// A night is a workflow: the jobs of siglake.yaml in turn or side by side, where a job over a divided list is one
// activity for each shard. An activity is a process siglake job on the machine of a worker. Temporal adds what a
// scheduler on one machine lacks: another worker takes over when one dies, timers outlive machines, and the
// history says what happened. That nothing is bought twice is the journal's doing, not Temporal's.
//
// # Why a process
//
// The worker starts the program siglake, and does not link its code. What a job does is then exactly what siglake
// job does, with its signals: one SIGTERM is the polite stop, which waits for calls on the wire and publishes what is
// paid. A job that runs out of memory ends alone, and the worker reports it. The kernel sends the same SIGTERM when
// the worker dies (on Linux), so that a crash of the worker leaves no call in doubt.
//
// # What is repeated by whom
//
// The activity turns the exit code into an outcome (see policies): done, repeat at a time, repeat soon, or fail. Temporal
// repeats it, on any worker; a worker that dies is noticed by its missing heartbeats. So a repetition leaves no
// event in the history, and a night may see thousands. What one attempt has to say to the next (credits by run,
// failures in a row) is in the details of its heartbeats.
//
// # Secrets
//
// The input of a workflow names jobs, never settings, and the worker runs no job that its own job file does not
// have. Keys are in the environment or the files of the worker. The history holds figures, paths and messages of
// siglake, which repeat no key.
//
// The command is a module of its own: Temporal's SDK brings gRPC, which the program siglake does without.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/format"
)

// Set by the linker.
var version, commit = "dev", ""

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(execute(ctx, os.Args, format.NewWriter(os.Stdout), format.NewWriter(os.Stderr)))
}

// execute runs the program and gives its exit code, one of those of siglake.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	began := false
	program := newCLI(stdout, stderr)
	program.Before = func(*cli.Context) error { began = true; return nil }
	err := program.RunContext(ctx, args)
	var status exitStatus
	var usage *usageError
	switch {
	case err == nil:
		return exitComplete
	case errors.As(err, &status):
		return int(status)
	}
	format.Fprintf(stderr, "siglake-temporal: %s\n", err)
	switch {
	case errors.As(err, &usage) || !began:
		return exitUsage
	case errors.Is(err, context.Canceled):
		return exitDeferred
	}
	return exitStorage
}

// usageError is a mistake of the command line or of the job file.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

func usageErrorf(text string, args ...any) error { return &usageError{fmt.Errorf(text, args...)} }

// exitStatus is the exit code of a command that has printed all there is to say.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit code %d", int(s)) }

func newCLI(stdout, stderr io.Writer) *cli.App {
	return &cli.App{
		Name: "siglake-temporal", Usage: "run the jobs of siglake.yaml on Temporal", Version: strings.TrimSpace(version + " " + commit),
		HideHelpCommand: true, Writer: stdout, ErrWriter: stderr, ExitErrHandler: func(*cli.Context, error) {},
		OnUsageError: func(_ *cli.Context, err error, _ bool) error { return usageErrorf("%w", err) },
		Description:  "The page siglake help temporal says more.",
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return usageErrorf("no command %q; siglake-temporal --help lists the commands", c.Args().First())
			}
			return cli.ShowAppHelp(c)
		},
		Commands: []*cli.Command{workerCommand(), startCommand(), stopCommand(), scheduleCommand(), registerCommand()},
	}
}

// noArguments refuses arguments: all that a command takes is flags.
func noArguments(c *cli.Context) error {
	if c.NArg() > 0 {
		return usageErrorf("unexpected argument %q; see siglake-temporal %s --help", c.Args().First(), c.Command.Name)
	}
	return nil
}
