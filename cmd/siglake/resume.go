package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/journal"
	"github.com/siglake/siglake/pipeline"
)

const resumeName = "resume"

func resumeCommand() *cli.Command {
	return &cli.Command{
		Name:      resumeName,
		Usage:     "go on with the run that a lake has unfinished",
		ArgsUsage: "[LIST]",
		Description: "The same as repeating the run's command: list, signals and window are the run's own; speed, key and\n" +
			"budget are set here as for siglake run, and the budget is what is left of the run's unless another is named. LIST is needed\n" +
			"when the list came by standard input or lies elsewhere now; its content must be the same.",
		Flags: joinFlags(
			[]cli.Flag{lakeFlag()},
			moneyFlags(), apiFlags(), workFlags(), storeFlags(), simulatorFlags(), outputFlags(),
			ttlFlags(), hideFlags(queryFlags()), hideFlags(apiVersionFlags()), hideFlags(listFlags()), []cli.Flag{
				&cli.BoolFlag{Name: "simulate", Hidden: true}, &cli.StringSliceFlag{Name: "domain", Hidden: true}, &cli.StringFlag{Name: "exclude", Hidden: true},
				&cli.IntFlag{Name: "limit", Hidden: true}, &cli.IntFlag{Name: "page-size", Hidden: true},
			},
		),
		Action: func(c *cli.Context) error {
			if c.NArg() > 1 {
				return usageErrorf("resume takes at most one list, got %d arguments; see siglake resume --help", c.NArg())
			}
			return runResume(c)
		},
	}
}

func runResume(c *cli.Context) error {
	if err := setLogger(c); err != nil {
		return err
	}
	for _, flag := range []string{"refresh", "new-run"} {
		if c.Bool(flag) {
			return usageErrorf("--%s begins a run; resume goes on with one", flag)
		}
	}
	r, stop, runs, err := findResumable(c)
	if err != nil {
		return err
	}
	if r == nil {
		text := "Nothing to resume: every run of %s is finished.\n"
		if runs == 0 {
			text = "Nothing to resume: no run was begun in %s yet.\n"
		}
		if !c.Bool("quiet") {
			fmt.Fprintf(c.App.Writer, text, c.String("lake"))
		}
		return nil
	}
	uri, service := r.URI, services[r.Settings[serviceSetting]]
	switch {
	case service == pipeline.Visits: // its sites are in its settings
	case c.NArg() == 1:
		uri = c.Args().First()
	case uri == "-":
		return usageErrorf("the list of run %s came by standard input; name it: siglake resume LIST --lake %s", r.ID, c.String("lake"))
	}
	budget := remainingBudget(r)
	if r.Budget > 0 && (budget < 1 || stop != nil && stop.Kind == pipeline.StopBudget) && !c.IsSet("max-credits") {
		return usageErrorf("run %s goes no further: its budget of %d credits was used up; say what the rest may cost with --max-credits N, or unlimited", r.ID, r.Budget)
	}
	if err := restoreFlags(c, r, budget); err != nil {
		return err
	}
	j := &job{c: c, lakeURI: c.String("lake"), listURI: uri, maxEventPrice: 1, resumeRunID: r.ID, service: service}
	return j.run()
}

// findResumable is the newest run that is not finished, or that left lines; else the
// newest one of which something in doubt may be asked again by now. With it comes
// the reason for which it stopped asking; nil when there is none of so many.
func findResumable(c *cli.Context) (open *journal.Run, stop *pipeline.StopInfo, total int, err error) {
	l, err := openExistingLake(c, "siglake resume")
	if err != nil {
		return nil, nil, 0, err
	}
	defer l.close() //nolint:errcheck // nothing was written
	runs := l.ledger.Runs()
	if len(runs) == 0 {
		return nil, nil, 0, nil
	}
	last := runs[len(runs)-1]
	switch {
	case last.Prepared == nil:
		return last, nil, len(runs), nil
	case last.Published == nil || last.HasUnaskedLines(), // published, or about to be
		c.String("in-doubt") != inDoubtHold && slices.ContainsFunc(last.Calls, (*journal.Call).InDoubt):
		open = last
	default:
		open = l.reopenedRun()
	}
	if open == nil {
		return nil, nil, len(runs), nil
	}
	m, err := l.ledger.PreparedManifest(c.Context, open)
	if err != nil {
		return nil, nil, 0, &exitError{storageCode(err), err}
	}
	return open, m.Run.Stop, len(runs), nil
}

// reopenedRun is the newest run, among the newest of each command, that was
// reopened and whose window still ends today; nil when there is none.
func (l *lake) reopenedRun() *journal.Run {
	seen := map[string]bool{}
	for _, r := range slices.Backward(l.ledger.Runs()) {
		if !seen[r.CommandDigest] && l.ledger.RetryDecided(r) && windowEnd(r).Equal(l.env.Now().UTC().Truncate(24*time.Hour)) {
			return r
		}
		seen[r.CommandDigest] = true
	}
	return nil
}

// resumesRun reports whether a decision goes on with a run.
func (m runMatch) resumesRun(runID string) bool {
	return m.resume != nil && m.resume.ID == runID || m.continues != nil && m.continues.ID == runID
}

// resumeError says why a command does not go on with a run.
func (l *lake) resumeError(runID string, identity runIdentity) error {
	for _, r := range l.ledger.Runs() {
		if r.ID == runID && r.Input != identity.inputDigest {
			return usageErrorf("the list has other content than that of run %s (%s, begun %s); name that list as it was, or ask about this one with siglake run, adding --new-run if the run is to be left as it is",
				runID, listName(r.URI), r.FirstStarted.Format("2006-01-02 15:04 UTC"))
		}
		if r.ID == runID && r.CommandDigest != identity.digest() {
			return usageErrorf("%s; to run it as it is now: siglake %s", blockingText(r, identity), orDefault(r.Settings[serviceSetting], "run"))
		}
		if r.ID == runID {
			return usageErrorf("what run %s left belongs to a window that ended on %s; siglake run asks about today's", runID, windowEnd(r).Format(time.DateOnly))
		}
	}
	return usageErrorf("run %s is not in the journal", runID)
}

func listName(uri string) string {
	if uri == "-" {
		return "from standard input"
	}
	return uri
}

// remainingBudget is what is left of a run's budget for whoever goes on with it. A run
// that was not staged counts by itself what it has spent; the rest of one that
// was is asked by another run, which counts from nothing.
func remainingBudget(r *journal.Run) int64 {
	if r.Prepared == nil {
		return r.Budget
	}
	return r.Budget - r.Cost().Max
}

// restoreFlags sets the flags to what the run was told, with a budget if it had one.
func restoreFlags(c *cli.Context, r *journal.Run, budget int64) error {
	settings := map[string]string{}
	for name, value := range r.Settings {
		settings[name] = value
	}
	if r.Budget > 0 && !c.IsSet("max-credits") {
		settings["max-credits"] = strconv.FormatInt(budget, 10)
	}
	if r.Refresh {
		settings["refresh"] = "true"
	}
	for name, ttl := range map[string]time.Duration{"resolve-hits": r.PositiveTTL, "resolve-misses": r.NegativeTTL} {
		if ttl > 0 && !c.IsSet(name) {
			settings[name] = fmt.Sprintf("%dd", ttl/(24*time.Hour))
		}
	}
	if r.Simulated {
		seed := strings.TrimPrefix(settings["base-url"], simulatedAddress)
		settings["simulate"], settings["seed"] = "true", seed
		delete(settings, "base-url")
	}
	for name, value := range settings {
		_, text := c.Value(name).(string) // which a command without the flag has as nothing, whatever it is by default here
		if name == serviceSetting || value == "" && !text && !slices.Contains(c.FlagNames(), name) {
			continue // a list of nothing
		}
		if err := c.Set(name, value); err != nil {
			return fmt.Errorf("--%s of run %s: %w", name, r.ID, err)
		}
	}
	return nil
}
