package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/journal"
	"github.com/siglake/siglake/internal/quota"
	"github.com/siglake/siglake/internal/signals"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

func planCommand() *cli.Command {
	return &cli.Command{
		Name:      "plan",
		Usage:     "what siglake run would ask, what that is expected to cost, and how long it takes; spends nothing",
		ArgsUsage: "LIST",
		Description: "Takes the flags of siglake run. It reads the list and the lake's journal, and asks the API for free what\n" +
			"it offers, what it costs, and what is left of the account's windows; without a key it goes by what the\n" +
			"vendor publishes. The credits are forecast from what this lake's own calls returned; without any, from\n" +
			"a stated guess. The ceiling holds whatever is answered.",
		Flags: joinFlags([]cli.Flag{
			&cli.BoolFlag{Name: "json", EnvVars: []string{"SIGLAKE_JSON"}, Category: "Output", Usage: "machine-readable output"},
			&cli.StringFlag{Name: "for", Value: "run", EnvVars: []string{"SIGLAKE_FOR"}, Usage: "the command that is planned: run, resolve or score"},
			&cli.StringFlag{Name: "price-per-credit", EnvVars: []string{"SIGLAKE_PRICE_PER_CREDIT"}, Category: "Money",
				Usage: "what you pay for a credit, as `AMOUNT` with or without a currency (0.025, \"0.025 EUR\"); shows the costs in money, too"},
		}, runFlags()),
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return usagef("plan takes one list, got %d arguments; see siglake plan --help", c.NArg())
			}
			return planList(c, c.Args().First())
		},
	}
}

// outlook is everything a plan says. Its JSON form is what --json prints.
type outlook struct {
	List     string                  `json:"list"`
	Lake     string                  `json:"lake,omitempty"`
	Goes     string                  `json:"goes_on_with,omitempty"` // run that the same command would go on with
	Lines    int64                   `json:"lines"`
	Settled  map[schema.Status]int64 `json:"lines_without_a_call"`
	Entities int64                   `json:"entities"`
	Pairs    int64                   `json:"entity_signal_pairs"`
	Again    int64                   `json:"pairs_bought_before"` // the same day, by another question
	Calls    int64                   `json:"calls"`
	Queries  []pipeline.Query        `json:"queries"`
	Credits  pipeline.Estimate       `json:"credits"`
	Price    int64                   `json:"credits_per_event_at_most"`
	Spent    int64                   `json:"credits_spent_already,omitempty"` // or in doubt, by the run that is gone on with: they count against its budget
	Enough   int64                   `json:"max_credits_advised,omitempty"`   // absent: a sample should be bought first
	Money    *money                  `json:"money,omitempty"`
	Time     outlookTime             `json:"time"`
	Windows  []outlookWindow         `json:"windows"`
	Left     *int64                  `json:"account_credits_left,omitempty"`
	Notes    []string                `json:"notes"`

	rejects []pipeline.RejectLine
	free    int64 // calls that cost nothing, ahead of the others
}

type outlookTime struct {
	Seconds     float64 `json:"seconds"`
	Concurrency int     `json:"concurrency"`
	AnswerMS    int64   `json:"answer_ms"`
	Measured    bool    `json:"answer_measured"`
}

type outlookWindow struct {
	Name  string `json:"name"`
	Limit *int64 `json:"limit"` // null: none
	Left  *int64 `json:"left"`  // null: not known

	Published bool `json:"published,omitempty"` // the account did not say so: the vendor's plan does
}

// money is a price in the user's currency, as decimal numbers.
type money struct {
	PerCredit string `json:"per_credit"`
	Currency  string `json:"currency,omitempty"`
	P5        string `json:"p5"`
	P50       string `json:"p50"`
	P95       string `json:"p95"`
	Ceiling   string `json:"ceiling"`
}

// planList plans a run of a list with the flags of c.
func planList(c *cli.Context, uri string) error {
	if err := setLog(c); err != nil {
		return err
	}
	j := &job{c: c, lake: c.String("lake"), uri: uri, price: 1}
	switch command := c.String("for"); command {
	case "run":
	case resolveName, scoreName:
		j.service = services[command]
	default:
		return usagef("--for %q: expected run, resolve or score; what lookalikes and visitors can cost is --limit times the price of a result", command)
	}
	if err := j.check(); err != nil {
		return err
	}
	inMoney, err := moneyOf(c.String("price-per-credit"))
	if err != nil {
		return err
	}
	if j.in, err = openInput(c.Context, uri, j.options); err != nil {
		return err
	}
	defer j.in.close() //nolint:errcheck // a copy of the list in a temporary directory
	if j.cmd, err = j.command(); err != nil {
		return err
	}
	disconnect, err := j.connectIfKeyed()
	if err != nil {
		return err
	}
	defer disconnect()
	s, err := j.existingState()
	if err != nil {
		return err
	}
	if s != nil {
		defer s.close() //nolint:errcheck // nothing was written
		if err := s.sameWorld(c); err != nil {
			return err
		}
		s.journal.SetLife(j.hits, j.misses)
	}
	o, err := j.look(s)
	if err != nil {
		return err
	}
	o.Money = inMoney.of(o.Credits)
	if c.Bool("json") {
		return printJSON(c, o)
	}
	if c.Bool("quiet") {
		fmt.Fprintf(c.App.Writer, "%s: %s entities, %s calls, %s credits expected, never more than %s\n",
			o.List, thousands(o.Entities), thousands(o.Calls), thousands(o.Credits.P50), thousands(o.Credits.Ceiling))
		return nil
	}
	printOutlook(c.App.Writer, o, c)
	return nil
}

// connectIfKeyed opens the API for free questions; without a key the plan goes
// by what is published.
func (j *job) connectIfKeyed() (disconnect func(), err error) {
	c := j.c
	if c.Bool("simulate") || c.String("api-key-file") != "" || strings.TrimSpace(os.Getenv(keyVariable)) != "" {
		return j.connect()
	}
	j.baseURL = c.String("base-url")
	if j.governor, err = newGovernor(c, j.baseURL, ""); err != nil {
		return nil, err
	}
	return func() { _ = j.governor.Close() }, nil
}

// existingState opens the lake's journal; nil when there is none. A plan makes
// no lake.
func (j *job) existingState() (*state, error) {
	if j.lake == "" {
		return nil, nil
	}
	if there, err := lakeExists(j.c, j.lake); err != nil || !there {
		return nil, err
	}
	return openState(j.c, j.lake, onlooker)
}

// look finds out what the command would do.
func (j *job) look(s *state) (*outlook, error) {
	c := j.c
	o := &outlook{List: j.uri, Lake: j.lake, Notes: []string{}}
	j.note = o.note
	var b journal.Begin
	if j.client != nil {
		u, err := j.usage(&b)
		if err != nil {
			prices := "an event is taken to cost 1 credit"
			if day := j.remember(&b, s.runs()); day != "" {
				prices = "prices are those that it stated on " + day
			}
			var refusal *signals.RefusalError
			switch {
			case errors.As(err, &refusal) && refusal.Class == signals.ClassUnsent:
				return nil, askError(c.Context, err)
			case errors.As(err, &refusal) && refusal.Class == signals.ClassRateBurst:
				prices += "; the page can be read five times a minute"
			}
			o.note(fmt.Sprintf("the account's usage could not be read, so its credits are not known, and %s: %v", prices, err))
		} else if u.Remaining >= 0 {
			o.Left = &u.Remaining
		}
	} else {
		o.note("no API key: signals, prices and windows are those that the vendor publishes")
	}
	var known decision
	var past []pipeline.Experience
	if s != nil {
		known, past = s.relate(c, j.cmd), s.journal.Experience()
	}
	switch asked := cmpRun(known.resume, known.continues); {
	case asked != nil:
		o.Goes, o.Queries, b.Refresh, o.Spent = asked.ID, asked.Queries, asked.Refresh, spent(known.resume)
		b.Price = max(asked.Price, b.Price)
		j.price = max(b.Price, 1)
	default:
		var err error
		if o.Queries, err = j.questions(c.Context, today()); err != nil {
			return nil, err
		}
		if j.client != nil {
			o.free = 2 + int64(len(o.Queries)) // usage before and after, and options, which the run asks, too
		}
		b.Refresh = c.Bool("refresh")
	}
	o.Queries = slices.Clone(o.Queries)
	j.quote(o.Queries)
	if j.client != nil && b.Price == 0 {
		o.note("the account does not say what an event costs: 1 credit is assumed, and if it is more, so is all that is said about credits")
	}
	if known.other != nil && !c.Bool("new-run") {
		o.note(otherCommand(known.other, j.cmd) + "; siglake run refuses until that is finished (siglake resume) or left (--new-run)")
	}

	var memory pipeline.Journal
	if s != nil {
		memory = s.journal
		if b.Refresh {
			memory = s.journal.Refreshed(cmpRun(known.resume, known.continues), j.onlyIDs())
		}
	}
	plan, err := j.survey(o.Queries, memory)
	if err != nil {
		return nil, err
	}
	o.Lines, o.Settled, o.rejects = plan.Accounts.Lines, plan.Accounts.ByStatus, plan.Accounts.Rejects
	if left := unfit(o.Queries, j.object, splitWords(c.StringSlice("signals"))); j.service == pipeline.Signals && len(left) > 0 {
		o.note(unfitText(j.object) + ": " + strings.Join(left, ", "))
	}
	o.Queries = slices.DeleteFunc(slices.Clone(o.Queries), func(q pipeline.Query) bool { return q.Object != j.object })
	o.Entities, o.Pairs, o.Calls, o.Again = plan.Entities(), plan.Pairs(), plan.Calls(), plan.Again
	if o.Again > 0 {
		o.note(fmt.Sprintf("%s of the pairs were bought before, %s: what they brought is paid again", thousands(o.Again), whyAgain))
	}
	o.Credits, o.Price = plan.Estimate(past), j.price
	switch {
	case o.Credits.Observed > 0 && len(o.Credits.Unseen) == 0:
		// An entity is asked about only while the most that it can cost is left.
		o.Enough = o.Spent + min(o.Credits.P95+plan.Dearest(), o.Credits.Ceiling)
	case o.Entities <= sampleLines || j.service != pipeline.Signals: // a result a line at the most: there is little to find out
		o.Enough = o.Spent + o.Credits.Ceiling
	}
	if s != nil {
		j.warnOfDoubts(o, s.journal.Doubts())
	}
	j.foresee(o, past)
	o.advise(j.service)
	o.adviseBudget(j.budget, plan)
	return o, nil
}

// cmpRun is the first run that there is.
func cmpRun(runs ...*journal.Run) *journal.Run {
	for _, r := range runs {
		if r != nil {
			return r
		}
	}
	return nil
}

// warnOfDoubts says what the figures leave out: the run decides about calls in
// doubt before it asks, and then asks again what they hold.
func (j *job) warnOfDoubts(o *outlook, doubts []*journal.Call) {
	policy := j.c.String("in-doubt")
	if policy == inDoubtHold || len(doubts) == 0 {
		return
	}
	var most int64
	for _, d := range doubts {
		most += d.Ceiling
	}
	o.note(fmt.Sprintf("%d calls of this lake are in doubt, and their lines are not in these figures: with --in-doubt %s the run may ask about them again, for %s credits more at the most",
		len(doubts), policy, thousands(most)))
}

// survey counts what a run of the list would ask, given what is known.
func (j *job) survey(asked []pipeline.Query, memory pipeline.Journal) (*pipeline.Plan, error) {
	list, err := j.openList()
	if err != nil {
		return nil, err
	}
	defer list.Close() //nolint:errcheck // it was only read
	j.object = list.Input().Object
	runner := &pipeline.Runner{BatchSize: j.c.Int("batch-size"), Journal: memory}
	runner.Queries, runner.Searches = asks(asked)
	plan, err := runner.Plan(j.c.Context, list)
	if err != nil {
		return nil, runError(err)
	}
	return plan, nil
}

// assumedAnswer is how long an answer takes as long as nobody has measured it.
const assumedAnswer = 500 * time.Millisecond

// foresee adds how long the calls take under the account's windows.
func (j *job) foresee(o *outlook, past []pipeline.Experience) {
	c := j.c
	answer, measured := assumedAnswer, false
	var calls int64
	var took time.Duration
	for _, e := range past {
		calls, took = calls+e.Calls, took+e.Took
	}
	if calls > 0 {
		answer, measured = took/time.Duration(calls), true
	}
	workers := c.Int("concurrency")
	takes := j.governor.Forecast(o.Calls, o.free, time.Now(), answer, workers)
	o.Time = outlookTime{Seconds: takes.Seconds(), Concurrency: workers, AnswerMS: answer.Milliseconds(), Measured: measured}
	named, _ := quota.PlanNamed(c.String("plan")) // the governor was made with it
	limits := [3]int64{named.Minute, named.Hour, named.Day}
	for i, w := range j.governor.State().Windows {
		line := outlookWindow{Name: w.Name, Published: w.Left < 0 && w.Limit >= 0 && w.Limit == limits[i]}
		if w.Limit >= 0 {
			line.Limit = &w.Limit
			left := w.Left
			if left < 0 {
				left = max(0, w.Limit-w.Here)
			}
			line.Left = &left
			if i > 0 && o.Calls > left {
				o.note(fmt.Sprintf("the calls are more than this %s has left (%s): the run waits for the next one if that is at most --max-wait %s away, else it publishes what it has, exits %d, and the same command goes on",
					w.Name, thousands(left), c.Duration("max-wait"), exitDeferred))
			}
		}
		o.Windows = append(o.Windows, line)
	}
}

func (o *outlook) note(text string) { o.Notes = append(o.Notes, text) }

// sampleLines are enough for a forecast: a run of so many makes it a measurement.
const sampleLines = 200

// advise adds what the figures mean for the account.
func (o *outlook) advise(service pipeline.Service) {
	e := o.Credits
	switch {
	case o.Entities == 0:
		return
	case service != pipeline.Signals && e.Observed == 0:
		o.note("nothing of the kind was bought for this lake before: the credits rest on how many of such lines the API usually knows, 85 of 100")
	case service != pipeline.Signals:
	case e.Observed == 0:
		o.note("nothing was bought for this lake before, so the credits are a guess: 0.2 events per entity, signal and 90 days, a tenth or ten times that")
	case len(e.Unseen) > 0:
		o.note("for signals never asked for in this lake the guess stands: " + shortList(e.Unseen, 5))
	}
	if o.Left != nil && *o.Left < e.P95 {
		o.note(fmt.Sprintf("the account has %s credits left, which may not be enough; when they are used up the run publishes what it has and exits %d", thousands(*o.Left), exitDeferred))
	}
}

// adviseBudget adds what a cap means. A run asks about an entity only while the
// most that it can cost is left.
func (o *outlook) adviseBudget(budget int64, plan *pipeline.Plan) {
	if o.Entities == 0 {
		return
	}
	if o.Spent > 0 {
		o.note(fmt.Sprintf("run %s has spent %s credits, calls in doubt included, which count against --max-credits", o.Goes, thousands(o.Spent)))
	}
	if budget == 0 {
		return
	}
	e, left, one := o.Credits, budget-o.Spent, plan.Dearest()
	switch {
	case left < plan.Cheapest():
		o.note(fmt.Sprintf("--max-credits %d: nothing can be asked: one entity can cost %s credits, and %s are left", budget, thousands(plan.Cheapest()), thousands(max(left, 0))))
		return
	case left < min(e.P5+one, e.Ceiling):
		about := float64(o.Entities) * float64(max(left-one, 0)) / float64(max(e.P50, 1))
		o.note(fmt.Sprintf("--max-credits %d will end the run before the list does, after about %s of %s entities", budget, thousands(min(int64(about)+1, o.Entities)), thousands(o.Entities)))
	case left < min(e.P95+one, e.Ceiling):
		o.note(fmt.Sprintf("--max-credits %d may end the run before the list does", budget))
	}
	if left < e.Ceiling {
		o.note("batches shrink to what is left of --max-credits, so there may be more calls than these")
	}
}

var amount = regexp.MustCompile(`^([0-9]{1,9}(?:\.[0-9]{1,9})?)(?:\s*([A-Za-z]{3}|[€$£¥]))?$`)

// pricing is the price of one credit; the zero value is none.
type pricing struct {
	text, currency string
	perCredit      *big.Rat
}

func moneyOf(text string) (p pricing, err error) {
	if text = strings.TrimSpace(text); text == "" {
		return p, nil
	}
	parts := amount.FindStringSubmatch(text)
	if parts == nil {
		return p, usagef("--price-per-credit %q: expected an amount such as 0.025, with or without a currency such as EUR", text)
	}
	p.text, p.currency = parts[1], strings.ToUpper(parts[2])
	p.perCredit, _ = new(big.Rat).SetString(parts[1]) // the pattern sees to it
	return p, nil
}

// of gives the cost of an estimate, to the hundredth.
func (p pricing) of(e pipeline.Estimate) *money {
	if p.perCredit == nil {
		return nil
	}
	cost := func(credits int64) string {
		return new(big.Rat).Mul(p.perCredit, new(big.Rat).SetInt64(credits)).FloatString(2)
	}
	return &money{PerCredit: p.text, Currency: p.currency, P5: cost(e.P5), P50: cost(e.P50), P95: cost(e.P95), Ceiling: cost(e.Ceiling)}
}

// printOutlook is a plan for people.
func printOutlook(w io.Writer, o *outlook, c *cli.Context) {
	fmt.Fprintf(w, "\nPlan for %s: nothing was spent.\n\n", o.List)
	row := func(name, figure, detail string) { fmt.Fprintf(w, "  %-8s %12s   %s\n", name, figure, detail) }
	var settled []string
	for _, s := range schema.Statuses {
		if n := o.Settled[s]; n > 0 {
			settled = append(settled, thousands(n)+" "+string(s))
		}
	}
	if len(settled) == 0 {
		settled = []string{"each is to be asked about"}
	}
	row("Lines", thousands(o.Lines), strings.Join(settled, " · "))
	for _, q := range o.Queries {
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
	row("To ask", thousands(o.Entities), thousands(o.Pairs)+" pairs of entity and signal")
	row("Calls", thousands(o.Calls), windowsText(o.Windows))
	e := o.Credits
	basis := "guessed: see the note"
	if e.Observed > 0 {
		basis = fmt.Sprintf("from %s entities that this lake has asked about", thousands(e.Observed))
	}
	row("Credits", thousands(e.P50), fmt.Sprintf("expected; nine times in ten %s to %s; never more than %s", thousands(e.P5), thousands(e.P95), thousands(e.Ceiling)))
	row("", "", basis)
	if m := o.Money; m != nil {
		row("Money", m.P50, strings.TrimSpace(fmt.Sprintf("%s expected; nine times in ten %s to %s; never more than %s", m.Currency, m.P5, m.P95, m.Ceiling)))
	}
	if o.Left != nil {
		row("Account", thousands(*o.Left), "credits left")
	}
	how := "assumed"
	if o.Time.Measured {
		how = "as measured"
	}
	takes := time.Duration(o.Time.Seconds * float64(time.Second))
	row("Time", durationText(takes), fmt.Sprintf("%d calls at a time, %d ms an answer (%s)", o.Time.Concurrency, o.Time.AnswerMS, how))
	if len(o.rejects) > 0 {
		fmt.Fprintf(w, "\n  Rejected lines (%s):\n", thousands(o.Settled[schema.Rejected]))
		for _, r := range o.rejects[:min(5, len(o.rejects))] {
			fmt.Fprintf(w, "    %s:%d: %s\n", r.File, r.Line, r.Reason)
		}
	}
	for i, n := range o.Notes {
		if i == 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "  Note: %s\n", n)
	}
	if o.Goes != "" {
		fmt.Fprintf(w, "\n  The same command goes on with run %s.\n", o.Goes)
	}
	switch {
	case o.Entities == 0:
		fmt.Fprintln(w, "\n  There is nothing to ask.")
	case o.Enough == 0:
		fmt.Fprintf(w, "\n  Next: siglake %s the first %d lines with the same flags (their calls cost at most %s credits), then plan again\n",
			c.String("for"), sampleLines, thousands(o.Credits.Ceiling/o.Entities*sampleLines))
	case c.String("max-credits") == "":
		fmt.Fprintf(w, "\n  Next: siglake %s with the same flags, and --max-credits %d, which suffices nineteen times in twenty (near its end batches shrink: more calls)\n", c.String("for"), o.Enough)
	}
}

func priceText(q pipeline.Query) string {
	if q.Per > 1 {
		return fmt.Sprintf("%s for every started %d", counted(int(q.Price), "credit"), q.Per)
	}
	return counted(int(q.Price), "credit") + " each at the most"
}

func windowsText(windows []outlookWindow) string {
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

// stateRefresh says what buying again will cost, before it is bought.
func (j *job) stateRefresh(s *state, b journal.Begin) error {
	plan, err := j.survey(b.Queries, s.journal.Refreshed(nil, j.onlyIDs()))
	if err != nil {
		return err
	}
	before, err := j.survey(b.Queries, s.journal)
	if err != nil {
		return err
	}
	slog.Info(buyingAgain, j.costOf(s, plan, plan.Pairs()-before.Pairs())...)
	return nil
}

// stateAgain says, before it is bought, that a run asks for more of what was
// bought the same day: nobody who raises a cap means to pay twice.
func (j *job) stateAgain(s *state, b journal.Begin) error {
	plan, err := j.survey(b.Queries, s.journal)
	if err == nil && plan.Again > 0 {
		slog.Warn(buyingAgain+": "+whyAgain, j.costOf(s, plan, plan.Again)...)
	}
	return err
}

const (
	buyingAgain = "buying again what was bought before"
	whyAgain    = "with a lower --max-results that it reached, a later --since or another filter"
)

// costOf are the figures of what is about to be bought, for the log.
func (j *job) costOf(s *state, plan *pipeline.Plan, again int64) []any {
	e := plan.Estimate(s.journal.Experience())
	return []any{
		"pairs_again", again, "pairs", plan.Pairs(), "calls", plan.Calls(),
		"credits_expected", e.P50, "credits_from", e.P5, "credits_to", e.P95, "credits_at_most", e.Ceiling,
	}
}
