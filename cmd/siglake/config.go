package main

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/jobfile"
	"github.com/siglake/siglake/internal/report"
)

func configCommand() *cli.Command {
	return &cli.Command{
		Name:        "config",
		Usage:       "check or show a job file",
		Subcommands: []*cli.Command{configCheckCommand(), configShowCommand()},
	}
}

func configCheckCommand() *cli.Command {
	path := ""
	return &cli.Command{
		Name:      "check",
		Usage:     "find everything that is wrong with a job file",
		ArgsUsage: "[NAME]",
		Description: "Lists unknown keys and wrong values with file, line and column, then what the commands of the jobs would refuse.\n" +
			"Warns about lists that do not exist at present and signals that this version does not know. Nothing is opened but\n" +
			"the job file. Exits 64 if anything is wrong.",
		Flags: []cli.Flag{configFlag(&path)},
		Action: func(c *cli.Context) error {
			return checkJobs(c.Context, invocationOf(c), path, c.Args().Slice())
		},
	}
}

func configShowCommand() *cli.Command {
	path, effective := "", false
	return &cli.Command{
		Name:      "show",
		Usage:     "show the settings of the jobs of a job file, and where they come from",
		ArgsUsage: "[NAME]",
		Flags: []cli.Flag{
			configFlag(&path),
			&cli.BoolFlag{Name: "effective", Destination: &effective, EnvVars: []string{"SIGLAKE_EFFECTIVE"},
				Usage: "show every flag of a job's command: also those that the environment sets, and built-in defaults"},
		},
		Action: func(c *cli.Context) error {
			env := envOf(c)
			selected, err := selectJobs(path, env, c.Args().Slice())
			if err != nil {
				return err
			}
			var listings []report.JobListing
			for _, j := range selected {
				listings = append(listings, j.listing(env, effective))
			}
			report.PrintJobs(env.Stdout, path, listings)
			return nil
		},
	}
}

// selectJobs reads the job file, and chooses the jobs of these names; all if there are none.
func selectJobs(path string, env *app.Env, names []string) ([]job, error) {
	jobs, err := loadJobs(path, env)
	if err != nil || len(names) == 0 {
		if jobs == nil {
			return nil, err
		}
		return jobs.all, err
	}
	var selected []job
	for _, name := range names {
		j, err := jobs.find(name)
		if err != nil {
			return nil, err
		}
		selected = append(selected, *j)
	}
	return selected, nil
}

// checkJobs checks the values of jobs as their commands would.
func checkJobs(ctx context.Context, inv *invocation, path string, names []string) error {
	selected, err := selectJobs(path, inv.env, names)
	if err != nil {
		return err
	}
	worst := exitComplete
	for _, j := range selected {
		worst = max(worst, j.run(ctx, &invocation{env: inv.env, console: inv.console, checkOnly: true}, nil))
	}
	if worst != exitComplete {
		return statusOf(exitUsage)
	}
	format.Fprintf(inv.env.Stdout, "%s: %s, nothing wrong\n", path, format.Count(len(selected), "job"))
	return nil
}

// listing is a job for people: its settings, or all flags of its command.
func (j *job) listing(env *app.Env, effective bool) report.JobListing {
	l := report.JobListing{Name: j.name, Command: j.command, Lists: j.lists}
	for _, n := range j.notify {
		shown := report.JobNotification{URLFile: n.URLFile, On: n.On, Format: n.Format}
		if n.URL != "" {
			shown.URL = jobfile.PublicURL(n.URL)
		}
		l.Notify = append(l.Notify, shown)
	}
	for _, s := range j.settings {
		origin := s.origin
		if s.at != (jobfile.Position{}) {
			origin = fmt.Sprintf("%s, line %d", s.origin, s.at.Line)
		}
		l.Settings = append(l.Settings, report.JobSetting{Flag: s.flag, Values: s.values, Origin: origin})
	}
	if effective {
		l.Settings = j.effective(env, l.Settings)
	}
	return l
}

// effective are the values that the flags of a job's command have when the job runs.
func (j *job) effective(env *app.Env, own []report.JobSetting) (all []report.JobSetting) {
	set := map[string]report.JobSetting{}
	for _, s := range own {
		set[s.Flag] = s
	}
	cmd := commandOf(newCLI(env), j.command)
	flags := scratchFlags(cmd)
	visible := cmd.VisibleFlags()
	for _, f := range cmd.Flags {
		name := f.Names()[0]
		d, ok := f.(cli.DocGenerationFlag)
		switch s, isOwn := set[name]; {
		case !isOwn && !slices.Contains(visible, f):
		case ok && f.IsSet(): // by the environment
			all = append(all, report.JobSetting{Flag: name, Values: valuesOfFlag(flags.Lookup(name)), Origin: "variable " + strings.Join(d.GetEnvVars(), ", ")})
		case isOwn:
			all = append(all, s)
		default:
			all = append(all, report.JobSetting{Flag: name, Values: valuesOfFlag(flags.Lookup(name)), Origin: "built in"})
		}
	}
	return all
}

// valuesOfFlag are the values that a flag has by now.
func valuesOfFlag(f *flag.Flag) []string {
	if list, ok := f.Value.(*cli.StringSlice); ok {
		return list.Value()
	}
	return []string{f.Value.String()}
}
