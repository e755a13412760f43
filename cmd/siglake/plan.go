package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/forecast"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/internal/ratelimit"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sources"
)

func planCommand() *cli.Command {
	p := newRunPurchase("run")
	price := ""
	return &cli.Command{
		Name:      "plan",
		Usage:     "what siglake run would ask, what that is expected to cost, and how long it takes; spends nothing",
		ArgsUsage: "LIST",
		Description: "Takes the flags of siglake run. It reads the list and the lake's journal, and asks the API for free what\n" +
			"it offers, what it costs, and what is left of the account's windows; without a key it goes by what the\n" +
			"vendor publishes. The credits are forecast from what this lake's own calls returned; without any, from\n" +
			"a stated guess. The ceiling holds whatever is answered.",
		Flags: joinFlags([]cli.Flag{
			&cli.BoolFlag{Name: "json", Destination: &p.out.JSON, EnvVars: []string{"SIGLAKE_JSON"}, Category: "Output", Usage: "machine-readable output"},
			&cli.StringFlag{Name: "for", Value: p.run.Command, Destination: &p.run.Command, EnvVars: []string{"SIGLAKE_FOR"}, Usage: "the command that is planned: run, resolve or score"},
			&cli.StringFlag{Name: "price-per-credit", Destination: &price, EnvVars: []string{"SIGLAKE_PRICE_PER_CREDIT"}, Category: "Money",
				Usage: "what you pay for a credit, as `AMOUNT` with or without a currency (0.025, \"0.025 EUR\"); shows the costs in money, too"},
		}, p.runFlags()),
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return usageErrorf("plan takes one list, got %d arguments; see siglake plan --help", c.NArg())
			}
			p.run.List = c.Args().First()
			return p.plan(c, price)
		},
	}
}

// plan plans the command, and prints the plan.
func (p *purchaseCommand) plan(c *cli.Context, pricePerCredit string) error {
	env, err := loggingEnv(c, p.out)
	if err != nil {
		return err
	}
	if err := p.checkSimulator(c); err != nil {
		return err
	}
	price, err := parseCreditPrice(pricePerCredit)
	if err != nil {
		return err
	}
	j, _ := p.newJob(env)
	if !p.run.API.Simulate && p.run.API.KeyFile == "" && strings.TrimSpace(env.Getenv(keyVariable)) == "" {
		j.openAPI = nil // the plan goes by what is published
	}
	report, err := j.plan(c.Context)
	if err != nil {
		return err
	}
	report.Money = price.costOf(report.Credits)
	switch {
	case p.out.JSON:
		return printJSON(env.Stdout, report)
	case p.out.Quiet:
		fmt.Fprintf(env.Stdout, "%s: %s entities, %s calls, %s credits expected, never more than %s\n",
			report.List, thousands(report.Entities), thousands(report.Calls), thousands(report.Credits.P50), thousands(report.Credits.Ceiling))
	default:
		printPlan(env.Stdout, report, p.run.Command, p.run.Money.MaxCredits != "")
	}
	return nil
}

// planReport is everything a plan says. Its JSON form is what --json prints.
type planReport struct {
	List             string                  `json:"list"`
	Lake             string                  `json:"lake,omitempty"`
	ResumesRun       string                  `json:"goes_on_with,omitempty"` // run that the same command would go on with
	Lines            int64                   `json:"lines"`
	WithoutCall      map[schema.Status]int64 `json:"lines_without_a_call"`
	Entities         int64                   `json:"entities"`
	Pairs            int64                   `json:"entity_signal_pairs"`
	RepurchasedPairs int64                   `json:"pairs_bought_before"` // the same day, by another question
	Calls            int64                   `json:"calls"`
	Queries          []pipeline.Query        `json:"queries"`
	Credits          forecast.Estimate       `json:"credits"`
	MaxEventPrice    int64                   `json:"credits_per_event_at_most"`
	SpentBefore      int64                   `json:"credits_spent_already,omitempty"` // or in doubt, by the run that is continued: they count against its budget
	AdvisedBudget    int64                   `json:"max_credits_advised,omitempty"`   // absent: a sample should be bought first
	Money            *moneyEstimate          `json:"money,omitempty"`
	Time             planTime                `json:"time"`
	Windows          []planWindow            `json:"windows"`
	CreditsLeft      *int64                  `json:"account_credits_left,omitempty"`
	Notes            []string                `json:"notes"`

	rejects   []pipeline.RejectLine
	freeCalls int64 // calls that cost nothing, ahead of the others
}

type planTime struct {
	Seconds     float64 `json:"seconds"`
	Concurrency int     `json:"concurrency"`
	LatencyMS   int64   `json:"answer_ms"`
	Measured    bool    `json:"answer_measured"`
}

type planWindow struct {
	Name  string `json:"name"`
	Limit *int64 `json:"limit"` // null: none
	Left  *int64 `json:"left"`  // null: not known

	Published bool `json:"published,omitempty"` // the account did not say so: the vendor's plan does
}

// moneyEstimate is a price in the user's currency, as decimal numbers.
type moneyEstimate struct {
	PerCredit string `json:"per_credit"`
	Currency  string `json:"currency,omitempty"`
	P5        string `json:"p5"`
	P50       string `json:"p50"`
	P95       string `json:"p95"`
	Ceiling   string `json:"ceiling"`
}

// plan finds out what the command would do. Without openAPI it goes by what the
// vendor publishes.
func (j *job) plan(ctx context.Context) (*planReport, error) {
	switch j.Command {
	case "run":
	case resolveName, scoreName:
		j.Service = services[j.Command]
	default:
		return nil, usageErrorf("--for %q: expected run, resolve or score; what lookalikes and visitors can cost is --limit times the price of a result", j.Command)
	}
	if err := j.parseOptions(); err != nil {
		return nil, err
	}
	if err := j.readList(ctx); err != nil {
		return nil, err
	}
	defer j.listInput.close() //nolint:errcheck // a copy of the list in a temporary directory
	var err error
	if j.openAPI != nil {
		j.connection, err = connectAPI(ctx, j.env, j.API, j.openAPI)
	} else {
		j.connection, err = publishedAPI(j.env, j.API)
	}
	if err != nil {
		return nil, err
	}
	defer j.disconnect()
	l, err := openLakeIfExists(ctx, j.env, j.Store, j.Lake)
	if err != nil {
		return nil, err
	}
	if l != nil {
		defer l.close() //nolint:errcheck // nothing was written
		if err := l.checkSimulated(j.API.Simulate); err != nil {
			return nil, err
		}
		l.ledger.SetTTL(j.positiveTTL, j.negativeTTL)
	}
	return j.buildPlan(ctx, l)
}

// buildPlan finds out what the command would do.
func (j *job) buildPlan(ctx context.Context, l *lake) (*planReport, error) {
	list, err := j.listInput.open(ctx)
	if err != nil {
		return nil, err
	}
	defer list.Close() //nolint:errcheck // it was only read
	j.object = list.Input().Object
	p := &planReport{List: j.List, Lake: j.Lake, Notes: []string{}}
	j.addNote = p.addNote
	var b ledger.RunStart
	if j.client != nil {
		u, err := j.readUsage(ctx, &b)
		if err != nil {
			prices := "an event is taken to cost 1 credit"
			if day := j.restorePrices(&b, l.runs()); day != "" {
				prices = "prices are those that it stated on " + day
			}
			var refusal *lusha.RefusalError
			switch {
			case errors.As(err, &refusal) && refusal.Class == lusha.ClassUnsent:
				return nil, askError(ctx, err)
			case errors.As(err, &refusal) && refusal.Class == lusha.ClassRateBurst:
				prices += "; the page can be read five times a minute"
			}
			p.addNote(fmt.Sprintf("the account's usage could not be read, so its credits are not known, and %s: %v", prices, err))
		} else if u.Remaining >= 0 {
			p.CreditsLeft = &u.Remaining
		}
	} else {
		p.addNote("no API key: signals, prices and windows are those that the vendor publishes")
	}
	var match runMatch
	var past []forecast.History
	if l != nil {
		match, past = l.findMatch(j.identity, j.Money.NewRun), l.ledger.History()
	}
	switch continued := firstRun(match.resume, match.continues); {
	case continued != nil:
		p.ResumesRun, p.Queries, b.Refresh, p.SpentBefore = continued.ID, continued.Queries, continued.Refresh, spentBefore(match.resume)
		b.Price = max(continued.Price, b.Price)
		j.maxEventPrice = max(b.Price, 1)
	default:
		var err error
		if p.Queries, err = j.buildQueries(ctx, j.env.Now(), list); err != nil {
			return nil, err
		}
		if j.client != nil {
			p.freeCalls = 2 + int64(len(p.Queries)) // usage before and after, and options, which the run asks, too
		}
		b.Refresh = j.Money.Refresh
	}
	p.Queries = slices.Clone(p.Queries)
	j.priceQueries(p.Queries)
	if j.client != nil && b.Price == 0 {
		p.addNote("the account does not say what an event costs: 1 credit is assumed, and if it is more, so is all that is said about credits")
	}
	if match.blocking != nil && !j.Money.NewRun {
		p.addNote(blockingText(match.blocking, j.identity) + "; siglake run refuses until that is finished (siglake resume) or left (--new-run)")
	}

	var ledger pipeline.Ledger
	if l != nil {
		ledger = l.ledger
		if b.Refresh {
			ledger = l.ledger.ForRefresh(firstRun(match.resume, match.continues), j.resolvesIDs())
		}
	}
	plan, err := j.dryRun(ctx, list, p.Queries, ledger)
	if err != nil {
		return nil, err
	}
	p.Lines, p.WithoutCall, p.rejects = plan.Accounts.Lines, plan.Accounts.ByStatus, plan.Accounts.Rejects
	if inapplicable := inapplicableSignals(p.Queries, j.object, splitWords(j.Query.Signals)); j.Service == pipeline.Signals && len(inapplicable) > 0 {
		p.addNote(inapplicableText(j.object) + ": " + strings.Join(inapplicable, ", "))
	}
	p.Queries = slices.DeleteFunc(slices.Clone(p.Queries), func(q pipeline.Query) bool { return q.Object != j.object })
	p.Entities, p.Pairs, p.Calls, p.RepurchasedPairs = plan.Entities(), plan.Pairs(), plan.Calls(), plan.RepurchasedPairs
	if p.RepurchasedPairs > 0 {
		p.addNote(fmt.Sprintf("%s of the pairs were bought before, %s: what they brought is paid again", thousands(p.RepurchasedPairs), repurchaseReason))
	}
	p.Credits, p.MaxEventPrice = forecast.New(plan, past), j.maxEventPrice
	switch {
	case p.Credits.ObservedEntities > 0 && len(p.Credits.WithoutHistory) == 0:
		// An entity is asked about only while the most that it can cost is left.
		p.AdvisedBudget = p.SpentBefore + min(p.Credits.P95+plan.MaxUnitCost(), p.Credits.Ceiling)
	case p.Entities <= sampleLines || j.Service != pipeline.Signals: // a result a line at the most: there is little to find out
		p.AdvisedBudget = p.SpentBefore + p.Credits.Ceiling
	}
	if l != nil {
		j.noteInDoubt(p, l.ledger.CallsInDoubt())
	}
	j.estimateTime(p, past)
	p.addAdvice(j.Service)
	p.addBudgetAdvice(j.budget, plan)
	return p, nil
}

// firstRun is the first run that there is.
func firstRun(runs ...*ledger.Run) *ledger.Run {
	for _, r := range runs {
		if r != nil {
			return r
		}
	}
	return nil
}

// noteInDoubt says what the figures leave out: the run decides about calls in
// doubt before it asks, and then asks again what they hold.
func (j *job) noteInDoubt(p *planReport, inDoubt []*ledger.Call) {
	policy := j.Money.InDoubt
	if policy == inDoubtHold || len(inDoubt) == 0 {
		return
	}
	var maxCost int64
	for _, d := range inDoubt {
		maxCost += d.Ceiling
	}
	p.addNote(fmt.Sprintf("%d calls of this lake are in doubt, and their lines are not in these figures: with --in-doubt %s the run may ask about them again, for %s credits more at the most",
		len(inDoubt), policy, thousands(maxCost)))
}

// dryRun counts what a run of the list would ask, given what is known.
func (j *job) dryRun(ctx context.Context, list *sources.List, asked []pipeline.Query, ledger pipeline.Ledger) (*pipeline.Plan, error) {
	runner := &pipeline.Runner{BatchSize: j.Work.BatchSize, Ledger: ledger}
	runner.Queries, runner.Searches = queriesByObject(asked)
	plan, err := runner.Plan(ctx, list)
	if err != nil {
		return nil, runError(err)
	}
	return plan, nil
}

// reread counts what a run of the list would ask, in a walk of its own.
func (j *job) reread(ctx context.Context, asked []pipeline.Query, ledger pipeline.Ledger) (*pipeline.Plan, error) {
	list, err := j.listInput.open(ctx)
	if err != nil {
		return nil, err
	}
	defer list.Close() //nolint:errcheck // it was only read
	return j.dryRun(ctx, list, asked, ledger)
}

// assumedLatency is the latency of an answer until one is measured.
const assumedLatency = 500 * time.Millisecond

// estimateTime adds how long the calls take under the account's windows.
func (j *job) estimateTime(p *planReport, past []forecast.History) {
	latency, measured := assumedLatency, false
	var calls int64
	var took time.Duration
	for _, e := range past {
		calls, took = calls+e.Calls, took+e.Took
	}
	if calls > 0 {
		latency, measured = took/time.Duration(calls), true
	}
	workers := j.Work.Concurrency
	estimate := j.limiter.EstimateDuration(p.Calls, p.freeCalls, time.Now(), latency, workers)
	p.Time = planTime{Seconds: estimate.Seconds(), Concurrency: workers, LatencyMS: latency.Milliseconds(), Measured: measured}
	published, _ := ratelimit.PlanByName(j.API.Plan) // the limiter was made with it
	limits := [3]int64{published.Minute, published.Hour, published.Day}
	for i, w := range j.limiter.State().Windows {
		line := planWindow{Name: w.Name, Published: w.Left < 0 && w.Limit >= 0 && w.Limit == limits[i]}
		if w.Limit >= 0 {
			line.Limit = &w.Limit
			left := w.Left
			if left < 0 {
				left = max(0, w.Limit-w.Recent)
			}
			line.Left = &left
			if i > 0 && p.Calls > left {
				p.addNote(fmt.Sprintf("the calls are more than this %s has left (%s): the run waits for the next one if that is at most --max-wait %s away, else it publishes what it has, exits 20, and the same command goes on",
					w.Name, thousands(left), j.API.MaxWait))
			}
		}
		p.Windows = append(p.Windows, line)
	}
}

func (p *planReport) addNote(text string) { p.Notes = append(p.Notes, text) }

// sampleLines are enough for a forecast: a run of so many makes it a measurement.
const sampleLines = 200

// addAdvice adds what the figures mean for the account.
func (p *planReport) addAdvice(service pipeline.Service) {
	e := p.Credits
	switch {
	case p.Entities == 0:
		return
	case service != pipeline.Signals && e.ObservedEntities == 0:
		p.addNote("nothing of the kind was bought for this lake before: the credits rest on how many of such lines the API usually knows, 85 of 100")
	case service != pipeline.Signals:
	case e.ObservedEntities == 0:
		p.addNote("nothing was bought for this lake before, so the credits are a guess: 0.2 events per entity, signal and 90 days, a tenth or ten times that")
	case len(e.WithoutHistory) > 0:
		p.addNote("for signals never asked for in this lake the guess stands: " + shortList(e.WithoutHistory, 5))
	}
	if p.CreditsLeft != nil && *p.CreditsLeft < e.P95 {
		p.addNote(fmt.Sprintf("the account has %s credits left, which may not be enough; when they are used up the run publishes what it has and exits 20", thousands(*p.CreditsLeft)))
	}
}

// addBudgetAdvice adds what a cap means. A run asks about an entity only while the
// most that it can cost is left.
func (p *planReport) addBudgetAdvice(budget int64, plan *pipeline.Plan) {
	if p.Entities == 0 {
		return
	}
	if p.SpentBefore > 0 {
		p.addNote(fmt.Sprintf("run %s has spent %s credits, calls in doubt included, which count against --max-credits", p.ResumesRun, thousands(p.SpentBefore)))
	}
	if budget == 0 {
		return
	}
	e, left, maxEntity := p.Credits, budget-p.SpentBefore, plan.MaxUnitCost()
	switch {
	case left < plan.MinUnitCost():
		p.addNote(fmt.Sprintf("--max-credits %d: nothing can be asked: one entity can cost %s credits, and %s are left", budget, thousands(plan.MinUnitCost()), thousands(max(left, 0))))
		return
	case left < min(e.P5+maxEntity, e.Ceiling):
		about := float64(p.Entities) * float64(max(left-maxEntity, 0)) / float64(max(e.P50, 1))
		p.addNote(fmt.Sprintf("--max-credits %d will end the run before the list does, after about %s of %s entities", budget, thousands(min(int64(about)+1, p.Entities)), thousands(p.Entities)))
	case left < min(e.P95+maxEntity, e.Ceiling):
		p.addNote(fmt.Sprintf("--max-credits %d may end the run before the list does", budget))
	}
	if left < e.Ceiling {
		p.addNote("batches shrink to what is left of --max-credits, so there may be more calls than these")
	}
}

var pricePattern = regexp.MustCompile(`^([0-9]{1,9}(?:\.[0-9]{1,9})?)(?:\s*([A-Za-z]{3}|[€$£¥]))?$`)

// creditPrice is the price of one credit; the zero value is none.
type creditPrice struct {
	text, currency string
	perCredit      *big.Rat
}

func parseCreditPrice(text string) (p creditPrice, err error) {
	if text = strings.TrimSpace(text); text == "" {
		return p, nil
	}
	parts := pricePattern.FindStringSubmatch(text)
	if parts == nil {
		return p, usageErrorf("--price-per-credit %q: expected an amount such as 0.025, with or without a currency such as EUR", text)
	}
	p.text, p.currency = parts[1], strings.ToUpper(parts[2])
	p.perCredit, _ = new(big.Rat).SetString(parts[1]) // the pattern sees to it
	return p, nil
}

// costAttrs gives the cost of an estimate, to the hundredth.
func (p creditPrice) costOf(e forecast.Estimate) *moneyEstimate {
	if p.perCredit == nil {
		return nil
	}
	cost := func(credits int64) string {
		return new(big.Rat).Mul(p.perCredit, new(big.Rat).SetInt64(credits)).FloatString(2)
	}
	return &moneyEstimate{PerCredit: p.text, Currency: p.currency, P5: cost(e.P5), P50: cost(e.P50), P95: cost(e.P95), Ceiling: cost(e.Ceiling)}
}

// printPlan is a plan of a command for people. With a budget it advises none.
func printPlan(w io.Writer, p *planReport, command string, budgeted bool) {
	fmt.Fprintf(w, "\nPlan for %s: nothing was spent.\n\n", p.List)
	row := func(name, figure, detail string) { fmt.Fprintf(w, "  %-8s %12s   %s\n", name, figure, detail) }
	var withoutCall []string
	for _, s := range schema.Statuses {
		if n := p.WithoutCall[s]; n > 0 {
			withoutCall = append(withoutCall, thousands(n)+" "+string(s))
		}
	}
	if len(withoutCall) == 0 {
		withoutCall = []string{"each is to be asked about"}
	}
	row("Lines", thousands(p.Lines), strings.Join(withoutCall, " · "))
	for _, q := range p.Queries {
		switch q.Service {
		case pipeline.Search:
			row("Ids", "", fmt.Sprintf("of each %s that has none, by a search: %s", q.Object, priceText(q)))
			continue
		case pipeline.Scores:
			row("Scores", "", fmt.Sprintf("one for each %s: %s", q.Object, priceText(q)))
			continue
		}
		row("Signals", fmt.Sprint(len(q.Signals)), fmt.Sprintf("about a %s, %s to %s, at most %d events each: %s", q.Object, q.Since, q.Until, q.MaxResults, shortList(q.Signals, 4)))
	}
	row("To ask", thousands(p.Entities), thousands(p.Pairs)+" pairs of entity and signal")
	row("Calls", thousands(p.Calls), windowsText(p.Windows))
	e := p.Credits
	basis := "guessed: see the note"
	if e.ObservedEntities > 0 {
		basis = fmt.Sprintf("from %s entities that this lake has asked about", thousands(e.ObservedEntities))
	}
	row("Credits", thousands(e.P50), fmt.Sprintf("expected; nine times in ten %s to %s; never more than %s", thousands(e.P5), thousands(e.P95), thousands(e.Ceiling)))
	row("", "", basis)
	if m := p.Money; m != nil {
		row("Money", m.P50, strings.TrimSpace(fmt.Sprintf("%s expected; nine times in ten %s to %s; never more than %s", m.Currency, m.P5, m.P95, m.Ceiling)))
	}
	if p.CreditsLeft != nil {
		row("Account", thousands(*p.CreditsLeft), "credits left")
	}
	how := "assumed"
	if p.Time.Measured {
		how = "as measured"
	}
	estimate := time.Duration(p.Time.Seconds * float64(time.Second))
	row("Time", durationText(estimate), fmt.Sprintf("%d calls at a time, %d ms an answer (%s)", p.Time.Concurrency, p.Time.LatencyMS, how))
	if len(p.rejects) > 0 {
		fmt.Fprintf(w, "\n  Rejected lines (%s):\n", thousands(p.WithoutCall[schema.Rejected]))
		for _, r := range p.rejects[:min(5, len(p.rejects))] {
			fmt.Fprintf(w, "    %s:%d: %s\n", r.File, r.Line, r.Reason)
		}
	}
	for i, n := range p.Notes {
		if i == 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "  Note: %s\n", n)
	}
	if p.ResumesRun != "" {
		fmt.Fprintf(w, "\n  The same command goes on with run %s.\n", p.ResumesRun)
	}
	switch {
	case p.Entities == 0:
		fmt.Fprintln(w, "\n  There is nothing to ask.")
	case p.AdvisedBudget == 0:
		fmt.Fprintf(w, "\n  Next: siglake %s the first %d lines with the same flags (their calls cost at most %s credits), then plan again\n",
			command, sampleLines, thousands(p.Credits.Ceiling/p.Entities*sampleLines))
	case !budgeted:
		fmt.Fprintf(w, "\n  Next: siglake %s with the same flags, and --max-credits %d, which suffices nineteen times in twenty (near its end batches shrink: more calls)\n", command, p.AdvisedBudget)
	}
}

func priceText(q pipeline.Query) string {
	if q.Per > 1 {
		return fmt.Sprintf("%s for every started %d", countText(int(q.Price), "credit"), q.Per)
	}
	return countText(int(q.Price), "credit") + " each at the most"
}

func windowsText(windows []planWindow) string {
	var parts []string
	published := ""
	for _, w := range windows {
		switch {
		case w.Limit == nil:
		case w.Published:
			published = ", by the published plan"
			parts = append(parts, fmt.Sprintf("%s each %s", thousands(*w.Limit), w.Name))
		default:
			parts = append(parts, fmt.Sprintf("%s of %s left this %s", thousands(*w.Left), thousands(*w.Limit), w.Name))
		}
	}
	if len(parts) == 0 {
		return "no rate windows"
	}
	return strings.Join(parts, " · ") + published
}

// durationText is a duration to two units.
func durationText(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%.1f days", d.Hours()/24)
	case d >= time.Hour:
		return fmt.Sprintf("%dh %02dm", int(d.Hours()), int(d.Minutes())%60)
	case d >= time.Minute:
		return fmt.Sprintf("%dm %02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%.1fs", d.Seconds())
}

// announceRefresh says what buying again will cost, before it is bought.
func (j *job) announceRefresh(ctx context.Context, l *lake, b ledger.RunStart) error {
	plan, err := j.reread(ctx, b.Queries, l.ledger.ForRefresh(nil, j.resolvesIDs()))
	if err != nil {
		return err
	}
	before, err := j.reread(ctx, b.Queries, l.ledger)
	if err != nil {
		return err
	}
	j.env.Log.Info(repurchaseText, j.costAttrs(l, plan, plan.Pairs()-before.Pairs())...)
	return nil
}

// announceRepurchase says, before it is bought, that a run asks for more of what was
// bought the same day: a user who raises a cap does not expect to pay twice.
func (j *job) announceRepurchase(ctx context.Context, l *lake, b ledger.RunStart) error {
	plan, err := j.reread(ctx, b.Queries, l.ledger)
	if err == nil && plan.RepurchasedPairs > 0 {
		j.env.Log.Warn(repurchaseText+": "+repurchaseReason, j.costAttrs(l, plan, plan.RepurchasedPairs)...)
	}
	return err
}

const (
	repurchaseText   = "buying again what was bought before"
	repurchaseReason = "with a lower --max-results that it reached, a later --since or another filter"
)

// costAttrs are the figures of what is about to be bought, for the log.
func (j *job) costAttrs(l *lake, plan *pipeline.Plan, repurchased int64) []any {
	e := forecast.New(plan, l.ledger.History())
	return []any{
		"pairs_again", repurchased, "pairs", plan.Pairs(), "calls", plan.Calls(),
		"credits_expected", e.P50, "credits_from", e.P5, "credits_to", e.P95, "credits_at_most", e.Ceiling,
	}
}
