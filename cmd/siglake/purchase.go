package main

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/report"
	"github.com/siglake/siglake/pipeline"
)

// purchaseCommand is a command that buys something: what its flags fill in.
type purchaseCommand struct {
	run app.RunOptions
	sim SimulatorOptions
	out OutputOptions
	end *report.RunEnd // of this execution of the command
	// Of commands that request pages: only say what they would request.
	dryRun bool
	yes    bool // buy without asking
}

// newPurchase has the defaults of the flags that every such command has.
func newPurchase(command string, service pipeline.Service) *purchaseCommand {
	return &purchaseCommand{
		run: app.RunOptions{Command: command, Service: service, Source: app.DefaultList(), Money: app.DefaultMoney(), API: app.DefaultAPI(), Work: app.DefaultWork(), Store: app.DefaultStore()},
		sim: defaultSimulator(), out: defaultOutput(),
	}
}

// targetFlags name the lake, and a simulator instead of the API.
func (p *purchaseCommand) targetFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "lake", Destination: &p.run.Lake, Action: shardedLake(&p.run.Lake, p.shard()), EnvVars: []string{"SIGLAKE_LAKE"}, Usage: "`DIR` or s3://bucket/prefix that receives the Parquet files and the manifest"},
		simulateFlag(&p.run.API.Simulate, "use an embedded simulator instead of the API: no key, no money, invented answers"),
		asOfFlag(),
	}
}

// shard is the value of --shard; nil: the command has none, since it sends its list as a whole.
func (p *purchaseCommand) shard() *string {
	if p.run.Service.IsPaged() {
		return nil
	}
	return &p.run.Source.Shard
}

func simulateFlag(dest *bool, usage string) cli.Flag {
	return &cli.BoolFlag{Name: "simulate", Destination: dest, EnvVars: []string{"SIGLAKE_SIMULATE"}, Usage: usage}
}

// productFlags are those of the commands that buy something else than signals, and
// some of their own.
func (p *purchaseCommand) productFlags(extra ...[]cli.Flag) []cli.Flag {
	return joinFlags(p.targetFlags(), joinFlags(extra...),
		moneyFlags(&p.run.Money), []cli.Flag{p.yesFlag()}, apiFlags(&p.run.API), storeFlags(&p.run.Store), simulatorFlags(&p.sim), outputFlags(&p.out), metricsFlag(&p.out))
}

// runFlags are those of siglake run.
func (p *purchaseCommand) runFlags() []cli.Flag {
	return joinFlags(p.targetFlags(), queryFlags(&p.run.Query), nightFlags(&p.run.Nights), apiVersionFlags(&p.run.Query), moneyFlags(&p.run.Money), []cli.Flag{p.yesFlag()}, ttlFlags(&p.run.TTL), listFlags(&p.run.Source), lineFlags(&p.run.Source), shardFlag(&p.run.Source),
		apiFlags(&p.run.API), workFlags(&p.run.Work), contractFlag(&p.run.Work), storeFlags(&p.run.Store), simulatorFlags(&p.sim), outputFlags(&p.out), metricsFlag(&p.out))
}

// newRunPurchase has the defaults of siglake run.
func newRunPurchase(command string) *purchaseCommand {
	p := newPurchase(command, pipeline.Signals)
	p.run.Query, p.run.Nights, p.run.TTL = app.DefaultQuery(), app.DefaultNights(), app.DefaultTTL()
	return p
}

func runCommand() *cli.Command {
	p := newRunPurchase("run")
	return &cli.Command{
		Name:      "run",
		Usage:     "request signals for every line of a list and write them to a lake",
		ArgsUsage: "LIST",
		Description: "LIST is a CSV file (also gzip or zstd), a plain list of domains, or - for standard input. A folder or a pattern\n" +
			"(lists/*.csv, lists/**) is one list of many files. Lists may lie on S3: s3://bucket/lists/*.csv.\n" +
			"The API charges for what it returns; the summary and the manifest show the bill.\n\n" +
			"Exit codes: 0 complete, 10 complete but lines were rejected, 12 complete but\n" +
			"charged more than the events explain, 20 part was not requested (run again), 21 calls in\n" +
			"doubt and perhaps lines not requested as well, 23 answers changed (--contract freeze), 30 key or plan, 40 disk or bucket, 50 another run is at work on the\n" +
			"lake, 60 the lake or its journal is damaged, 64 wrong flags or an unreadable list.\n\n" +
			"If a run ends early, even by kill -9, the same command continues it; nothing already paid for is bought again.",
		Flags:  p.runFlags(),
		Action: p.executeList,
	}
}

// executeList carries out a command that asks about each line of a list.
func (p *purchaseCommand) executeList(c *cli.Context) error {
	list, err := oneList(c)
	if err != nil {
		return err
	}
	p.run.List = list
	return p.execute(c)
}

// pathOf is the full name of a command, without that of the program.
func pathOf(c *cli.Context) string {
	var words []string
	for _, parent := range c.Lineage() {
		if parent.Command != nil && parent.Command.Name != c.App.Name {
			words = append(words, parent.Command.Name)
		}
	}
	slices.Reverse(words)
	return strings.TrimSpace(strings.Join(words, " "))
}

// oneList is the list that is the one argument of a command.
func oneList(c *cli.Context) (string, error) {
	name := pathOf(c)
	switch c.NArg() {
	case 0:
		return "", app.UsageErrorf("%[1]s takes one list, and none is named; see siglake %[1]s --help", name)
	case 1:
		return c.Args().First(), nil
	}
	return "", app.UsageErrorf("%[1]s takes one list, got %[2]d arguments; for several files, name their folder, or quote a pattern, as in 'lists/*.csv'; see siglake %[1]s --help", name, c.NArg())
}

// execute carries out a command that did not need to look at its options first.
func (p *purchaseCommand) execute(c *cli.Context) error {
	env, err := loggingEnv(c, p.out)
	if err != nil {
		return err
	}
	if err := p.checkSimulator(); err != nil {
		return err
	}
	p.attach(invocationOf(c))
	if invocationOf(c).checkOnly {
		return app.CheckOptions(env, p.run)
	}
	if p.dryRun {
		return p.planPages(c.Context, env)
	}
	return p.buy(c.Context, env)
}

// attach makes the command one of an invocation.
func (p *purchaseCommand) attach(inv *invocation) {
	p.run.Money.Job, p.end = inv.job, inv.end
	p.end.Lake, p.end.List, p.end.Started = p.run.Lake, p.run.List, inv.env.Now()
	if p.run.Service == pipeline.Visits {
		p.end.List = strings.Join(p.run.Pages.Sites, ",")
	}
}

// dryRunFlag is that of commands that request pages.
func (p *purchaseCommand) dryRunFlag() cli.Flag {
	return &cli.BoolFlag{Name: "dry-run", Destination: &p.dryRun, EnvVars: []string{"SIGLAKE_DRY_RUN"}, Usage: "print what was bought before, and how many calls and credits the rest can take at most; buy nothing"}
}

// planPages prints what the command would request.
func (p *purchaseCommand) planPages(ctx context.Context, env *app.Env) error {
	plan, err := p.newPlanJob(env).PlanPages(ctx)
	if err == nil {
		report.PrintPagesPlan(env.Stdout, plan)
	}
	return err
}

// checkSimulator refuses flags about a simulator that is not asked for.
func (p *purchaseCommand) checkSimulator() error {
	if p.run.API.Simulate || len(p.sim.Set) == 0 {
		return nil
	}
	return app.UsageErrorf("--%[1]s applies to the simulator only; add --simulate, or omit --%[1]s", p.sim.Set[0])
}

// newJob prepares the job of the command. bill is that of an embedded simulator; it
// is nil before the API is opened, and of the real one.
func (p *purchaseCommand) newJob(env *app.Env) (j *app.Job, bill func() *simulatorBill) {
	p.run.API.Seed = p.sim.Seed
	j = app.NewJob(env, p.run)
	var simulated func() simulatorBill
	j.OpenAPI = func(ctx context.Context) (at app.Endpoint, err error) {
		at, simulated, err = openAPI(ctx, env, p.run.API, p.sim)
		return at, err
	}
	return j, func() *simulatorBill {
		if simulated == nil {
			return nil
		}
		b := simulated()
		return &b
	}
}

// newPlanJob prepares the job of a plan, which needs no API key: without one it goes by what is
// published.
func (p *purchaseCommand) newPlanJob(env *app.Env) *app.Job {
	j, _ := p.newJob(env)
	if !p.run.API.Simulate && !env.Rehearses() && p.run.API.KeyFile == "" && strings.TrimSpace(env.Getenv(app.KeyVariable)) == "" {
		j.OpenAPI = nil
	}
	j.NewMeter = func(total int64, _ *pipeline.Activity) app.Meter {
		return newMeter(env.Stderr, env.Log, p.out.Quiet || p.out.JSON, total, nil)
	}
	return j
}

// buy runs the job, and prints what it came to.
func (p *purchaseCommand) buy(ctx context.Context, env *app.Env) error {
	j, bill := p.newJob(env)
	if p.mustAsk(env) {
		j.Confirm = p.askBefore(env)
	}
	logsJSON := p.out.LogFormat == "json"
	j.NewMeter = func(total int64, now *pipeline.Activity) app.Meter {
		w := env.Stderr
		if logsJSON { // a bar is no line of JSON
			w = io.Discard
		}
		return newMeter(w, env.Log, p.out.Quiet, total, now)
	}
	j.Report = func(m *pipeline.Manifest) {
		p.end.Runs, p.end.Undecided = append(p.end.Runs, m), j.Undecided()
		report.LogRun(env.Log, m)
		if p.out.Quiet {
			report.LogUndecided(env.Log, j.Undecided())
			if logsJSON { // its last line says all of this
				return
			}
			if code := j.ExitOf(app.ManifestExit(m), app.FaultyLines(m), m.Accounts.Lines); code != exitComplete && code != exitUnexplained && m.Run.Outcome != pipeline.RunComplete { // of the others LogRun and LogUndecided warn
				report.LogIncomplete(env.Log, m)
			}
			return
		}
		report.PrintSummary(env.Stdout, p.run.Lake, m, j.Undecided())
		if b := bill(); b != nil {
			format.Fprintf(env.Stdout, "  Simulator's own bill: %s, %s of them delivered\n", format.Count(b.Credits, "credit"), format.Thousands(b.Delivered))
		}
		if p.run.Demo {
			format.Fprintf(env.Stdout, "\n")
			report.PrintTree(env.Stdout, p.run.Lake, m)
		}
	}
	m, nothing, err := j.Run(ctx)
	p.end.Nothing = nothing
	switch {
	case err != nil:
		return err
	case m != nil:
		return statusOf(j.ExitOf(app.ManifestExit(m), app.FaultyLines(m), m.Accounts.Lines))
	case !p.out.Quiet:
		report.PrintNothingToDo(env.Stdout, nothing)
	default:
		report.LogUndecided(env.Log, nothing.Undecided)
	}
	if nothing.RunID == "" {
		return nil
	}
	return statusOf(j.ExitOf(app.OutcomeExit(nothing.Outcome), nothing.Faulty, nothing.Lines))
}
