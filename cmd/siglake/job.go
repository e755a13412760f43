package main

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/jobfile"
	"github.com/siglake/siglake/internal/report"
)

// configVariable and configDefault name the job file of a command line without --config.
const (
	configVariable = "SIGLAKE_CONFIG"
	configDefault  = "siglake.yaml"
)

// configFlag names the job file.
func configFlag(dest *string) cli.Flag {
	return &cli.StringFlag{Name: "config", Value: configDefault, Destination: dest, EnvVars: []string{configVariable}, TakesFile: true,
		Usage: "`FILE` that describes the jobs"}
}

func jobCommand() *cli.Command {
	return &cli.Command{
		Name:      "job",
		Usage:     "run a job of a job file, unattended",
		ArgsUsage: "NAME",
		Description: "The job file names, for each job, a command, its list or lists, and any flag by its long name. Flags behind NAME\n" +
			"and the variables of the environment count more than the file. A job with several lists runs its command on one\n" +
			"after the other; the exit code is the gravest. --unattended is implied: a job needs a cap on its credits.",
		Flags: []cli.Flag{
			configFlag(new(string)),
			&cli.BoolFlag{Name: completeExitsZero, EnvVars: []string{completeVariable},
				Usage: "exit 0 instead of 10 and 12, for schedulers to which every other code is a failure"},
		},
		SkipFlagParsing: true, // the flags are those of the job's command
		Action:          func(c *cli.Context) error { return runJob(c.Context, invocationOf(c), c.App, c.Args().Slice()) },
	}
}

// completeExitsZero is the flag, and completeVariable the variable, that let a job exit 0 whenever it
// is complete: some schedulers know no other success.
const (
	completeExitsZero = "complete-exits-0"
	completeVariable  = "SIGLAKE_COMPLETE_EXITS_0"
)

// runJob runs the job that the arguments of siglake job name.
func runJob(ctx context.Context, inv *invocation, program *cli.App, args []string) error {
	line, err := parseJobLine(inv.env, program, args)
	if err != nil {
		return err
	}
	jobs, err := loadJobs(line.path, inv.env)
	if err != nil {
		return err
	}
	if len(line.names) != 1 {
		return app.UsageErrorf("name one job of %s: %s", line.path, strings.Join(jobs.names(), ", "))
	}
	j, err := jobs.find(line.names[0])
	if err != nil {
		return err
	}
	code := j.run(ctx, inv, line.flags)
	if line.completeExitsZero && isCompleteCode(code) {
		code = exitComplete
	}
	return statusOf(code)
}

// jobLine is the command line of siglake job.
type jobLine struct {
	path              string   // of the job file
	names             []string // of jobs
	flags             []string // of the job's command
	completeExitsZero bool
}

// parseJobLine splits the arguments of siglake job.
func parseJobLine(env *app.Env, program *cli.App, args []string) (line jobLine, err error) {
	known := program.Command("job").Flags
	for _, name := range jobCommands {
		known = slices.Concat(known, commandOf(program, name).Flags)
	}
	line.path = cmp.Or(env.Getenv(configVariable), configDefault)
	zero := env.Getenv(completeVariable)
	given, names, err := splitFlags(known, args)
	if err != nil {
		return line, err
	}
	line.names = names
	for i := 0; i < len(given); i++ {
		name, value, joined := strings.Cut(strings.TrimLeft(given[i], "-"), "=")
		switch {
		case name == completeExitsZero && joined:
			zero = value
		case name == completeExitsZero:
			zero = "true"
		case name != "config":
			line.flags = append(line.flags, given[i])
		case joined:
			line.path = value
		case i+1 < len(given):
			i++
			line.path = given[i]
		}
	}
	if zero != "" {
		if line.completeExitsZero, err = strconv.ParseBool(zero); err != nil {
			return line, app.UsageErrorf("--%s %q: expected true or false", completeExitsZero, zero)
		}
	}
	return line, nil
}

// run runs the job's command on its lists, one after the other, and gives the gravest exit code.
// flags count more than the job's own. What stops one list may not concern the next, unless it is
// the key, the account, the lake, or a request to stop.
func (j *job) run(ctx context.Context, inv *invocation, flags []string) (gravest int) {
	lists := j.lists
	if len(lists) == 0 {
		lists = []string{""}
	}
	n := newNotifier(j, inv)
	n.start(ctx)
	metricsFile, ends := "", []*report.RunEnd(nil)
	for _, list := range lists {
		args := slices.Concat([]string{"siglake"}, strings.Fields(j.command), flags)
		if list != "" {
			args = append(args, "--", list)
		}
		one := &invocation{env: inv.env, console: inv.console, job: j.name, settings: j.settings, checkOnly: inv.checkOnly}
		code := one.run(ctx, args)
		gravest, metricsFile, ends = max(gravest, code), one.metricsFile, append(ends, one.end)
		if ctx.Err() != nil || slices.Contains([]int{exitAuth, exitStorage, exitLocked, exitIntegrity}, code) {
			break
		}
	}
	inv.console.writeMetrics(metricsFile, ends)
	n.end(ctx, ends, gravest)
	return gravest
}

// loadJobs reads a job file, and compares it with the flags that there are.
func loadJobs(path string, env *app.Env) (*jobs, error) {
	raw, err := os.ReadFile(path) //nolint:gosec // it is the user's to name
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, app.UsageErrorf("no job file %s: name it with --config FILE or %s; siglake help jobs shows one", path, configVariable)
	case err != nil:
		return nil, app.UsageErrorf("job file: %v", err)
	}
	compiler := jobCompiler{file: jobfile.Parse(path, raw, app.DidYouMean), env: env, dir: filepath.Dir(path)}
	all := compiler.compile()
	if err := compiler.file.Err(); err != nil {
		return nil, app.UsageErrorf("%v", err)
	}
	return &jobs{path, all}, nil
}
