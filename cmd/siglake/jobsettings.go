package main

import (
	"flag"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/jobfile"
)

// jobCommands are the commands that a job can run: those that end, and ask no questions.
var jobCommands = []string{
	"run", "resume", "resolve", "score", "lookalikes", "visitors", "plan", "compact", "prune", "verify", "status", "doctor",
	"webhooks sync", "webhooks publish", "webhooks audit", "webhooks cap",
}

// commandOf is the command of a job.
func commandOf(program *cli.App, name string) *cli.Command {
	cmd, _, _ := commandOfArgs(program, strings.Fields(name))
	return cmd
}

// jobs are the jobs of a file.
type jobs struct {
	path string
	all  []job
}

// job is a job with settings that are values of known flags.
type job struct {
	name, command string
	lists         []string
	settings      []setting // each flag once
	notify        []jobfile.Notification
}

func (j *jobs) names() (names []string) {
	for _, job := range j.all {
		names = append(names, job.name)
	}
	return names
}

func (j *jobs) find(name string) (*job, error) {
	for i := range j.all {
		if j.all[i].name == name {
			return &j.all[i], nil
		}
	}
	return nil, app.UsageErrorf("%s has no job %q%s; its jobs are %s", j.path, name, app.DidYouMean(name, j.names()), strings.Join(j.names(), ", "))
}

// The keys of a job that are no flags.
const (
	commandKey = "command"
	listKey    = "list"
	notifyKey  = "notify"
)

// jobCompiler compares a job file with the flags of the commands, and notes in the file what is
// wrong. There is no list of settings besides those flags.
type jobCompiler struct {
	file *jobfile.File
	env  *app.Env
	dir  string // of the file: paths in it begin there
}

func (c *jobCompiler) compile() (all []job) {
	c.checkDefaults()
	for _, section := range c.file.Jobs {
		all = append(all, c.job(section))
	}
	return all
}

// checkDefaults finds settings that no command has.
func (c *jobCompiler) checkDefaults() {
	known := []string{notifyKey}
	program := newCLI(c.env)
	for _, name := range jobCommands {
		known = append(known, longNames(commandOf(program, name))...)
	}
	for _, field := range c.file.Defaults {
		switch {
		case field.Key == commandKey || field.Key == listKey:
			c.file.Report(field.At, "%s belongs to a job, not to the defaults", field.Key)
		case !slices.Contains(known, field.Key):
			c.file.ReportKey(field, "setting", known)
		}
	}
}

// longNames are the names by which a job file knows the flags of a command.
func longNames(cmd *cli.Command) (names []string) {
	for _, f := range cmd.Flags {
		names = append(names, f.Names()[0])
	}
	return names
}

// job makes a job of its section and of the defaults.
func (c *jobCompiler) job(section jobfile.Job) job {
	j := job{name: section.Name, command: "run"}
	for _, field := range section.Settings {
		if text, ok := "", false; field.Key == commandKey {
			if text, ok = c.file.Text(field); ok {
				j.command = text
			}
			if ok && !slices.Contains(jobCommands, text) {
				c.file.Report(field.Value.At, "a job cannot run %q%s; it can run %s", text, app.DidYouMean(text, jobCommands), strings.Join(jobCommands, ", "))
				return j
			}
		}
	}
	cmd := commandOf(newCLI(c.env), j.command)
	known := append(longNames(cmd), commandKey, listKey, notifyKey)
	set := scratchFlags(cmd)
	for _, field := range section.Settings {
		switch f := flagNamed(cmd, field.Key); {
		case field.Key == commandKey:
		case field.Key == listKey && flagNamed(cmd, listKey) == nil: // else it is a flag like others
			j.lists = c.lists(field, j.command, cmd)
		case field.Key == notifyKey:
			j.notify = c.notifications(field)
		case !slices.Contains(known, field.Key):
			c.file.ReportKey(field, "setting of siglake "+j.command, known)
		default:
			j.settings = append(j.settings, c.setting(field, f, set, "job"))
		}
	}
	if cmd.ArgsUsage == "LIST" && len(j.lists) == 0 {
		c.file.Report(section.At, "job %s names no list: siglake %s needs one", j.name, j.command)
	}
	c.addDefaults(&j, cmd, set, section)
	return j
}

// addDefaults gives a job the defaults that its command has a flag for, and that it does not
// set.
func (c *jobCompiler) addDefaults(j *job, cmd *cli.Command, set *flag.FlagSet, section jobfile.Job) {
	own := func(key string) bool {
		return slices.ContainsFunc(section.Settings, func(f jobfile.Field) bool { return f.Key == key })
	}
	names := longNames(cmd)
	for _, field := range c.file.Defaults {
		switch {
		case own(field.Key):
		case field.Key == notifyKey:
			j.notify = c.notifications(field)
		case slices.Contains(names, field.Key):
			j.settings = append(j.settings, c.setting(field, flagNamed(cmd, field.Key), set, "defaults"))
		}
	}
	if slices.Contains(names, "unattended") && !slices.ContainsFunc(j.settings, func(s setting) bool { return s.flag == "unattended" }) {
		j.settings = append(j.settings, setting{flag: "unattended", values: []string{"true"}, origin: "implied by siglake job"})
	}
}

// lists are the lists of a job, as siglake run takes them.
func (c *jobCompiler) lists(field jobfile.Field, command string, cmd *cli.Command) []string {
	if !strings.Contains(cmd.ArgsUsage, "LIST") {
		c.file.Report(field.At, "siglake %s takes no list", command)
		return nil
	}
	lists := c.file.Strings(field)
	for i, list := range lists {
		lists[i] = c.resolve(list)
	}
	return lists
}

// notifications are those of a job.
func (c *jobCompiler) notifications(field jobfile.Field) []jobfile.Notification {
	all := c.file.Notifications(field)
	for i := range all {
		all[i].URLFile = c.resolve(all[i].URLFile)
	}
	return all
}

// setting is the value of a flag. set takes it for a trial.
func (c *jobCompiler) setting(field jobfile.Field, f cli.Flag, set *flag.FlagSet, origin string) setting {
	s := setting{flag: field.Key, at: field.At, origin: origin}
	if _, isList := f.(*cli.StringSliceFlag); isList {
		s.values = c.file.Strings(field)
	} else if text, ok := c.file.Text(field); ok {
		s.values = []string{text}
	}
	for i, v := range s.values {
		if wanted, plain := valueWord(f, v); !plain || set.Set(field.Key, v) != nil {
			c.file.Report(field.Value.At, "%s: expected %s", field.Key, wanted)
		}
		if isPath(f) {
			s.values[i] = c.resolve(v)
		}
	}
	return s
}

// scratchFlags are the flags of a command for trials.
func scratchFlags(cmd *cli.Command) *flag.FlagSet {
	set := flag.NewFlagSet(cmd.Name, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	for _, f := range cmd.Flags {
		_ = f.Apply(set) // what is wrong with a variable is reported when the command runs
	}
	return set
}

// wholeNumber is a number with one meaning: 010 is 8 in some notations.
var wholeNumber = regexp.MustCompile(`^(0|-?[1-9][0-9]*)$`)

// valueWord says what a flag takes, and whether a value is written so that it has one meaning.
func valueWord(f cli.Flag, value string) (word string, isPlain bool) {
	switch f.(type) {
	case *cli.BoolFlag:
		return "true or false", value == "true" || value == "false"
	case *cli.IntFlag, *cli.Int64Flag, *cli.Uint64Flag:
		return "a whole number", wholeNumber.MatchString(value)
	case *cli.Float64Flag:
		return "a number", true
	case *cli.DurationFlag:
		return "a duration such as 90s, 15m or 2h", true
	}
	return "a text", true
}

// pathWords are the words for values that are paths, in the usage of flags.
var pathWords = []string{"`DIR`", "`FILE`", "`LIST`"}

// isPath reports whether a flag takes the name of a file or folder.
func isPath(f cli.Flag) bool {
	d, ok := f.(cli.DocGenerationFlag)
	return ok && slices.ContainsFunc(pathWords, func(word string) bool { return strings.Contains(d.GetUsage(), word) })
}

// resolve lets a path begin at the folder of the job file, so that a job does the same whatever
// folder the scheduler starts it in.
func (c *jobCompiler) resolve(path string) string {
	if path == "-" || path == "" || filepath.IsAbs(path) || strings.Contains(path, "://") {
		return path
	}
	return filepath.Join(c.dir, path)
}
