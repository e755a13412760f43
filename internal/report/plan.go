package report

import (
	"fmt"
	"io"
	"math/big"
	"regexp"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/forecast"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

var pricePattern = regexp.MustCompile(`^([0-9]{1,9}(?:\.[0-9]{1,9})?)(?:\s*([A-Za-z]{3}|[€$£¥]))?$`)

// CreditPrice is the price of one credit; the zero value is none.
type CreditPrice struct {
	text, currency string
	perCredit      *big.Rat
}

// ParseCreditPrice reads --price-per-credit; empty: no price.
func ParseCreditPrice(text string) (p CreditPrice, err error) {
	if text = strings.TrimSpace(text); text == "" {
		return p, nil
	}
	parts := pricePattern.FindStringSubmatch(text)
	if parts == nil {
		return p, app.UsageErrorf("--price-per-credit %q: expected an amount such as 0.025, with or without a currency such as EUR", text)
	}
	p.text, p.currency = parts[1], strings.ToUpper(parts[2])
	p.perCredit, _ = new(big.Rat).SetString(parts[1]) // the pattern sees to it
	return p, nil
}

// CostOf gives the cost of an estimate, to the hundredth.
func (p CreditPrice) CostOf(e forecast.Estimate) *app.MoneyEstimate {
	if p.perCredit == nil {
		return nil
	}
	cost := func(credits int64) string {
		return new(big.Rat).Mul(p.perCredit, new(big.Rat).SetInt64(credits)).FloatString(2)
	}
	return &app.MoneyEstimate{PerCredit: p.text, Currency: p.currency, P5: cost(e.P5), P50: cost(e.P50), P95: cost(e.P95), Ceiling: cost(e.Ceiling)}
}

// PrintPlan is a plan for people of a command, given as it is typed. With a budget it advises none.
func PrintPlan(w io.Writer, p *app.PlanReport, command string, budgeted bool) {
	format.Fprintf(w, "\nPlan for %s: nothing was spent.\n\n", p.List)
	printFigures(w, p)
	if len(p.Rejects) > 0 {
		format.Fprintf(w, "\n  Rejected lines (%s):\n", format.Thousands(p.WithoutCall[schema.Rejected]))
		for _, r := range p.Rejects[:min(5, len(p.Rejects))] {
			format.Fprintf(w, "    %s:%d: %s\n", r.File, r.Line, r.Reason)
		}
	}
	printNoteKinds(w, p.NoteKinds)
	printNotes(w, p.Notes)
	if p.ResumesRun != "" {
		format.Fprintf(w, "\n  The same command continues run %s.\n", p.ResumesRun)
	}
	switch {
	case p.Entities == 0:
		format.Fprintf(w, "\n  There is nothing to request.\n")
	case p.AdvisedBudget == 0:
		format.Fprintf(w, "\n  Next: buy a random sample, which costs at most %s, and plan again; the run of the whole list buys only the rest:\n    %s --sample %d\n",
			format.Count(p.Credits.Ceiling/p.Entities*app.SampleLines, "credit"), command, app.SampleLines)
	case !budgeted && p.AdvisedBudget == p.SpentBefore+p.Credits.Ceiling:
		format.Fprintf(w, "\n  Next: run it with a cap of the most that it can cost:\n    %s --max-credits %d\n", command, p.AdvisedBudget)
		printSmallSample(w, p, command)
	case !budgeted:
		format.Fprintf(w, "\n  Next: run it with a cap, which is enough nineteen times in twenty (batches shrink near it, which takes more calls):\n    %s --max-credits %d\n", command, p.AdvisedBudget)
	}
}

// printSmallSample advises a sample of a list that is itself no longer than the usual sample, if what it costs is a guess.
func printSmallSample(w io.Writer, p *app.PlanReport, command string) {
	const smallSample = 20
	if p.Credits.ObservedEntities > 0 || p.Entities <= smallSample || p.Entities > app.SampleLines || p.ResumesRun != "" {
		return
	}
	format.Fprintf(w, "  Or buy a random sample first, which costs at most %s, and plan again; the run of the whole list buys only the rest:\n    %s --sample %d\n",
		format.Count(p.Credits.Ceiling/p.Entities*smallSample, "credit"), command, smallSample)
}

// PrintQuestion prints what a command would buy, before it asks whether it may.
func PrintQuestion(w io.Writer, q app.Question) {
	if q.Pages != nil {
		format.Fprintf(w, "\nsiglake %s for %s will request:\n\n", q.Pages.Command, q.Pages.Subject)
		printPagesFigures(w, q.Pages)
	} else {
		format.Fprintf(w, "\n%s will be requested:\n\n", q.Plan.List)
		printFigures(w, q.Plan)
		printNotes(w, q.Plan.Notes)
	}
	format.Fprintf(w, "\n  No --max-credits caps what this costs.\n")
}

func printNotes(w io.Writer, notes []string) {
	for i, n := range notes {
		if i == 0 {
			format.Fprintf(w, "\n")
		}
		format.Fprintf(w, "  Note: %s\n", n)
	}
}

// printFigures prints the table of a plan: what would be asked, and what that takes.
func printFigures(w io.Writer, p *app.PlanReport) {
	row := func(name, figure, detail string) {
		format.Fprintf(w, "%s\n", strings.TrimRight(fmt.Sprintf("  %-8s %12s   %s", name, figure, detail), " "))
	}
	for i, line := range readingLines(&p.Input) {
		row(map[bool]string{true: "List"}[i == 0], "", line)
	}
	for i, r := range p.Readings {
		row("", "", map[bool]string{true: "read ", false: "or "}[i == 0]+r.Text())
	}
	var withoutCall []string
	for _, s := range schema.Statuses {
		if n := p.WithoutCall[s]; n > 0 {
			withoutCall = append(withoutCall, format.Thousands(n)+" "+string(s))
		}
	}
	if len(withoutCall) == 0 {
		withoutCall = []string{"each needs a request"}
	}
	row("Lines", format.Thousands(p.Lines), strings.Join(withoutCall, " · "))
	for _, q := range p.Queries {
		switch q.Service() {
		case pipeline.Search:
			row("Ids", "", fmt.Sprintf("a search for each %s without an id: %s", q.Object, priceText(q)))
			continue
		case pipeline.Scores:
			row("Scores", "", fmt.Sprintf("one for each %s: %s", q.Object, priceText(q)))
			continue
		}
		window := q.Since + " to " + q.Until
		if p.SinceLast {
			window = "what the lake does not have of " + window
		}
		row("Signals", fmt.Sprint(len(q.ResultTypes())), fmt.Sprintf("for each %s, %s, at most %s per signal: %s", q.Object, window, format.Count(q.MaxResults(), "event"), format.List(q.ResultTypes(), 4)))
	}
	row("Entities", format.Thousands(p.Entities), format.Count(p.Pairs, "pair")+" of entity and signal"+identifiersText(p.Identifiers))
	row("Calls", format.Thousands(p.Calls), windowsText(p.Windows))
	printCosts(row, p)
	if p.CreditsLeft != nil {
		row("Account", format.Thousands(*p.CreditsLeft), format.Noun(*p.CreditsLeft, "credit")+" left")
	}
	if p.Calls == 0 {
		return
	}
	how := "assumed"
	if p.Time.Measured {
		how = "measured"
	}
	estimate := time.Duration(p.Time.Seconds * float64(time.Second))
	row("Time", durationText(estimate), fmt.Sprintf("%s at a time, %d ms per answer (%s)", format.Count(p.Time.Concurrency, "call"), p.Time.LatencyMS, how))
}

// printCosts prints what a plan is expected to cost, and at most.
func printCosts(row func(name, figure, detail string), p *app.PlanReport) {
	e := p.Credits
	if p.Entities == 0 && e.Ceiling == 0 {
		row("Credits", "0", "")
		return
	}
	basis := "a guess: see the note"
	if e.ObservedEntities > 0 {
		basis = fmt.Sprintf("from %s about entities in this lake", format.Count(e.ObservedEntities, "answer"))
	}
	row("Credits", format.Thousands(e.P50), fmt.Sprintf("expected; nine times in ten %s to %s; never more than %s", format.Thousands(e.P5), format.Thousands(e.P95), format.Thousands(e.Ceiling)))
	row("", "", basis)
	if m := p.Money; m != nil {
		row("Money", m.P50, strings.TrimSpace(fmt.Sprintf("%s expected; nine times in ten %s to %s; never more than %s", m.Currency, m.P5, m.P95, m.Ceiling)))
	}
}

// identifiersText says by what entities are requested.
func identifiersText(counts map[schema.Identifier]int64) string {
	if text := app.IdentifiersText(counts); text != "" {
		return "; " + text
	}
	return ""
}

func priceText(q pipeline.Query) string {
	if q.Per > 1 {
		return fmt.Sprintf("%s for every started %d", format.Count(q.Price, "credit"), q.Per)
	}
	return format.Count(q.Price, "credit") + " each at most"
}

func windowsText(windows []app.PlanWindow) string {
	var parts []string
	published := ""
	for _, w := range windows {
		switch {
		case w.Limit == nil:
		case w.Published:
			published = ", as published for the plan"
			parts = append(parts, fmt.Sprintf("%s per %s", format.Thousands(*w.Limit), w.Name))
		default:
			parts = append(parts, fmt.Sprintf("%s of %s left this %s", format.Thousands(*w.Left), format.Thousands(*w.Limit), w.Name))
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
