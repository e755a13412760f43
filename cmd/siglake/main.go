// Command siglake turns account and contact lists into typed Parquet with a
// bill, by asking the Lusha Signals API about them.
//
// main.go is the program's shell: commands, and signals to context. exit.go gives an error one of the
// exit codes that package app defines. Each command has a file of its own: it fills in the options of a use case
// of package app, and prints what that gives with package report. wire.go offers an
// embedded simulator in the place of the API.
package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/report"
)

// version is set by the linker.
var version = "dev"

func main() { os.Exit(run(processEnv())) }

// run is the process: it executes the command line and gives the exit code.
func run(env app.Env) int {
	if memory, err := app.NewMemory(&env, "", ""); err == nil && env.Getenv("GOMEMLIMIT") == "" { // which the runtime keeps to
		env.LimitHeap(memory.Heap)
		if env.Getenv("GOGC") == "" {
			debug.SetGCPercent(garbagePercent)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	out := &console{w: env.Stderr}
	interrupts := make(chan os.Signal, 2)
	signal.Notify(interrupts, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP) // a closed terminal stops as politely as the others
	go awaitStop(interrupts, func() {                                        // for the whole life of the process
		if !out.json.Load() {
			format.Fprintf(env.Stderr, "\n") // behind the ^C of a terminal
		}
		out.print(slog.LevelWarn, out.stopping())
		cancel()
	}, func() { os.Exit(exitKilled) })
	return executeOn(ctx, env, out, os.Args)
}

// privateUmask keeps a lake, its journal and temporary files to their owner: they hold
// rows about persons. --umask opens them to others.
const privateUmask = 0o077

// sameStop is how long after a signal another one belongs to the same request to stop:
// timeout(1) signals a process and then its group, and so do some supervisors.
const sameStop = time.Second

// awaitStop calls stop at the first signal, and abort at a later one that is not part
// of the same request.
func awaitStop(signals <-chan os.Signal, stop, abort func()) {
	<-signals
	first := time.Now()
	stop()
	for range signals {
		if time.Since(first) >= sameStop {
			abort()
			return
		}
	}
}

// execute runs the program and gives its exit code. It is main without the
// process, so that tests can run the same code.
func execute(ctx context.Context, env app.Env, args []string) int {
	return executeOn(ctx, env, &console{w: env.Stderr}, args)
}

func executeOn(ctx context.Context, env app.Env, out *console, args []string) int {
	if env.SetUmask != nil {
		env.SetUmask(privateUmask)
	}
	env.Stdout, env.Stderr = format.NewWriter(env.Stdout), format.NewWriter(env.Stderr)
	program := newCLI(&env)
	if answersCompletion(program, args, env.Stdout) || answersHelp(program, args) {
		code, message := withOutput(env.Stdout, exitComplete, nil)
		out.report(code, message, false)
		return code
	}
	out.follow(&env, args, nil)
	out.warnVariables(&env, program)
	inv := &invocation{env: &env, console: out}
	code := inv.run(ctx, args)
	out.writeMetrics(inv.metricsFile, []*report.RunEnd{inv.end})
	return code
}

// diskAdvice says what to do when a disk fails; empty when that is not what
// happened. A command that buys continues its run from any point.
func diskAdvice(err error, buys bool) string {
	isAny := func(codes ...error) bool {
		return slices.ContainsFunc(codes, func(c error) bool { return errors.Is(err, c) })
	}
	action := ""
	switch {
	case isAny(syscall.ENOSPC, syscall.EDQUOT):
		action = "free space on the disk"
	case isAny(fs.ErrPermission, syscall.EROFS):
		action = "grant the permission there"
	case isAny(syscall.EIO):
		action = "check the disk"
	default:
		return ""
	}
	action += ", then run the same command again"
	if buys {
		action += ": it continues where this run stopped"
	}
	return action
}

func newCLI(env *app.Env) *cli.App {
	return &cli.App{
		Name:           "siglake",
		Usage:          "account and contact lists in, typed signal events in Parquet out, with a bill",
		HideHelp:       true, // execute answers it
		HideVersion:    true,
		Reader:         env.Stdin,
		Writer:         env.Stdout,
		ErrWriter:      env.Stderr,
		Metadata:       map[string]any{envKey: env},
		ExitErrHandler: func(*cli.Context, error) {}, // execute decides the code
		OnUsageError:   func(c *cli.Context, err error, _ bool) error { return flagError(nil, "", invocationOf(c).args, err) },
		Commands: []*cli.Command{
			demoCommand(), checkCommand(), planCommand(), profiled(runCommand()), profiled(resumeCommand()), jobCommand(), configCommand(), resolveCommand(), scoreCommand(), lookalikesCommand(), visitorsCommand(), usageCommand(), profiled(verifyCommand()), profiled(rebuildCommand()), salvageCommand(), profiled(compactCommand()), pruneCommand(), ddlCommand(), unionCommand(), filesCommand(), schemaCommand(), exportCommand(), reportCommand(), statusCommand(), runsCommand(), heldCommand(), doctorCommand(), webhooksCommand(), listenCommand(), eraseCommand(), simulateCommand(), signalsCommand(), examplesCommand(), completionCommand(), versionCommand(), helpCommand(),
		},
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return app.UsageErrorf("unknown command %q%s; see siglake --help", c.Args().First(), suggestCommand(c.App.Commands, c.Args().First()))
			}
			return cli.ShowAppHelp(c)
		},
	}
}

// flagsFirst lets flags stand after a command's arguments, as people write
// them ("run LIST --lake DIR"): the library reads flags only before them. A flag that
// lacks its value is an error.
func flagsFirst(program *cli.App, args []string) ([]string, error) {
	if len(args) < 2 {
		return args, nil
	}
	cmd, from := program.Command(args[1]), 2
	for cmd != nil && len(cmd.Subcommands) > 0 {
		if from >= len(args) || strings.HasPrefix(args[from], "-") {
			return args, nil
		}
		i := slices.IndexFunc(cmd.Subcommands, func(sub *cli.Command) bool { return sub.HasName(args[from]) })
		if i < 0 {
			return args, nil
		}
		cmd, from = cmd.Subcommands[i], from+1
	}
	if cmd == nil || cmd.SkipFlagParsing {
		return args, nil
	}
	flags, rest, err := splitFlags(cmd.Flags, args[from:])
	return slices.Concat(args[:from], flags, rest), err
}

// splitFlags separates the flags among a command's arguments, with their values, from the rest. A flag of the command
// is not the value of another one: --lake --simulate lacks the lake.
func splitFlags(known []cli.Flag, args []string) (flags, rest []string, err error) {
	takesValue := map[string]bool{}
	for _, f := range known {
		_, isBool := f.(*cli.BoolFlag)
		for _, name := range f.Names() {
			takesValue[name] = !isBool
		}
	}
	for i := 0; i < len(args); i++ {
		a := args[i]
		if a == "--" {
			rest = append(rest, args[i:]...)
			break
		}
		if len(a) < 2 || a[0] != '-' {
			rest = append(rest, a)
			continue
		}
		flags = append(flags, a)
		if !takesValue[strings.TrimLeft(a, "-")] {
			continue
		}
		if i++; i == len(args) || isFlag(takesValue, args[i]) {
			return nil, nil, app.UsageErrorf("%s needs a value", a)
		}
		flags = append(flags, args[i])
	}
	return flags, rest, nil
}

// isFlag reports whether an argument is one of the flags.
func isFlag(known map[string]bool, arg string) bool {
	name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
	_, isKnown := known[name]
	return isKnown && len(arg) > 1 && arg[0] == '-'
}
