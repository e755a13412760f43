package report

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"path"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// LogRun warns in the log about charges of a run that are unknown or unexplained.
func LogRun(log *slog.Logger, m *pipeline.Manifest) {
	logDrift(log, m.Drift)
	if m.Credits.Excess > 0 {
		log.Warn("charges exceed what the returned events explain: see the notes in ledger/calls", "calls", m.Credits.Discrepancies, "credits", m.Credits.Excess)
	}
	if m.Credits.UnknownCalls > 0 {
		log.Warn("the charge of answered calls is unknown: compare the account's usage", "calls", m.Credits.UnknownCalls, "credits_at_most", m.Credits.UnknownCeiling)
	}
}

// LogIncomplete says in the log what a run left, instead of a summary.
func LogIncomplete(log *slog.Logger, m *pipeline.Manifest) {
	log.Warn("run ended "+outcomeText(m.Run.Outcome), "run", m.Run.ID, "rejected", m.Accounts.ByStatus[schema.Rejected],
		"deferred", m.Accounts.ByStatus[schema.Deferred], "held", m.Accounts.ByStatus[schema.InDoubt], "reason", stopReason(m))
}

func stopReason(m *pipeline.Manifest) string {
	s := m.Run.Stop
	switch {
	case s == nil && len(m.Accounts.Deferrals) > 0:
		return deferralText(m.Accounts.Deferrals[0]) + "; next: " + deferralAdvice
	case s == nil:
		return ""
	case s.Advice == "":
		return s.Reason
	}
	return s.Reason + "; next: " + s.Advice
}

// deferralAdvice is what to do about lines that were left without a reason to stop.
const deferralAdvice = "run the same command again, which requests the rest; if it happens again, check the API's status"

func deferralText(d pipeline.Deferral) string {
	return fmt.Sprintf("%s: %s", format.Count(d.Lines, "line"), d.Reason)
}

// printDeferrals says why lines are left to a later run. The reason of a run that
// stopped is that of its lines.
func printDeferrals(w io.Writer, m *pipeline.Manifest) {
	n := m.Accounts.ByStatus[schema.Deferred] + m.Accounts.PartlyRequested
	if n == 0 || m.Run.Stop != nil {
		return
	}
	format.Fprintf(w, "\n  Deferred lines (%s):\n", format.Thousands(n))
	for _, d := range m.Accounts.Deferrals {
		format.Fprintf(w, "    %s\n", deferralText(d))
	}
	format.Fprintf(w, "  Next: %s\n", deferralAdvice)
}

// PrintNothingToDo answers a command that has nothing to ask.
func PrintNothingToDo(w io.Writer, n *app.NothingToDo) {
	switch {
	case n.RunID != "":
	case n.Exhausted:
		format.Fprintf(w, "Nothing to do: %s has no further results; it returned %s.\n", n.Subject, format.Count(n.Results, "result"))
		return
	default:
		format.Fprintf(w, "Nothing to do: %s has already returned %s, and --limit is %d; raise it to fetch further results.\n", n.Subject, format.Count(n.Results, "result"), n.Limit)
		return
	}
	format.Fprintf(w, "Nothing to do: run %s requested all of this on %s (%s, generation %d).\n",
		n.RunID, n.Begun.Format("2006-01-02 15:04 UTC"), outcomeText(n.Outcome), n.Generation)
	if n.WrittenOff > 0 {
		format.Fprintf(w, "%s accepted as paid and lost, 0 to %s credits: siglake does not request their lines again in this window.\n", format.Count(n.WrittenOff, "call"), format.Thousands(n.MaxLoss))
	}
	advice := "Run the command tomorrow for tomorrow's window; --refresh buys today's window again."
	if n.SinceLast {
		advice = "Run the command tomorrow for what is due then."
	}
	if n.Service == pipeline.Lookalikes {
		advice = "Raise --limit to fetch further results; --refresh starts over and buys the same results again."
	}
	if n.InDoubt > 0 {
		retry, writtenOff := "those lines only", "gives them up for today"
		if n.Service.IsPaged() {
			retry, writtenOff = "that page and the pages after it", "gives it up and lets this command continue after it"
		}
		advice = fmt.Sprintf("%s in doubt: siglake held list --lake %s shows what may have been charged;\n"+
			"siglake held retry lets this command request %s, siglake held accept-loss %s.", format.Count(n.InDoubt, "call"), format.Text(n.Lake), retry, writtenOff)
	}
	format.Fprintf(w, "%s\n", format.Lines(advice))
	if printUndecided(w, n.Undecided); len(n.Undecided.Calls) > 0 {
		format.Fprintf(w, "  Next: siglake held list --lake %s shows them; siglake held retry or accept-loss decides\n", n.Lake)
	}
}

// LogUndecided warns in the log about calls in doubt of earlier runs that may have bought what a night therefore did not
// ask for.
func LogUndecided(log *slog.Logger, u app.UndecidedCalls) {
	if len(u.Calls) == 0 {
		return
	}
	var names []string
	for _, c := range u.Calls {
		names = append(names, c.Call)
	}
	log.Warn("calls of earlier runs are in doubt: what they may have bought is not requested until siglake held retry or accept-loss decides",
		"calls", format.List(names, 5), "credits_at_most", u.MaxCost)
}

// printUndecided lists calls in doubt of earlier runs that may have bought what a night therefore did not ask for.
func printUndecided(w io.Writer, u app.UndecidedCalls) {
	if len(u.Calls) == 0 {
		return
	}
	const shown = 5
	format.Fprintf(w, "\n  Calls of earlier runs in doubt (%d, 0 to %s): the days that they may have bought are not requested.\n",
		len(u.Calls), format.Count(u.MaxCost, "credit"))
	for _, c := range u.Calls[:min(shown, len(u.Calls))] {
		format.Fprintf(w, "    %s: %s; %s, 0 to %s credits\n", c.Call, c.Problem, format.Count(c.Entities, string(c.Object)), format.Thousands(c.MaxCost))
	}
	if n := len(u.Calls) - shown; n > 0 {
		format.Fprintf(w, "    and %d more\n", n)
	}
}

// PrintSummary is the closing word of a run, for people. undecided are the calls in doubt of earlier runs that narrowed it.
func PrintSummary(w io.Writer, lake string, m *pipeline.Manifest, undecided app.UndecidedCalls) {
	took := m.Run.Finished.Sub(m.Run.Started).Round(100 * time.Millisecond)
	simulated := ""
	if m.Run.Simulated {
		simulated = ", simulated"
	}
	outcome := outcomeText(m.Run.Outcome)
	if m.Run.Outcome == pipeline.RunWithRejects && m.Accounts.ByStatus[schema.Rejected] == 0 {
		outcome = "complete, with keys that stand for several lines"
	}
	if n := m.Credits.UnknownCalls; n > 0 {
		outcome += fmt.Sprintf(", %s unknown", format.Count(n, "charge"))
	}
	if len(undecided.Calls) > 0 {
		outcome += ", calls of earlier runs in doubt"
	}
	if outcome == outcomeText(pipeline.RunComplete) {
		format.Fprintf(w, "\nRun %s: %s in %s%s\n\n", m.Run.ID, outcome, took, simulated)
	} else {
		format.Fprintf(w, "\nRun %s: %s; took %s%s\n\n", m.Run.ID, outcome, took, simulated)
	}
	reading := readingLines(&m.Input)
	if m.Run.Inbox != nil {
		reading = []string{"the inbox of webhooks"}
	}
	for i, line := range reading {
		format.Fprintf(w, "  %-13s %s\n", map[bool]string{true: "List"}[i == 0], line)
	}
	printTotals(w, lake, m)
	if m.Events.CappedPairs > 0 {
		format.Fprintf(w, "\n  %s reached --max-results %d: the API did not return their older events.\n",
			format.Count(m.Events.CappedPairs, "entity-signal pair"), m.Queries[0].MaxResults())
		if m.Run.SinceLast && m.Queries[0].MaxResults() < app.MaxResultsLimit {
			format.Fprintf(w, "  The same command with a higher --max-results, up to %d, asks for them, and buys these pairs' newer events again.\n", app.MaxResultsLimit)
		}
	}
	if a := m.Reconciliation; a != nil && a.Change != nil {
		format.Fprintf(w, "\n  Account       %s, %s\n", balanceText(*a.Change), accountText(a))
	}
	if m.Audit != nil {
		format.Fprintf(w, "\n  Audit         %s\n", auditText(m.Audit))
	}
	printDrift(w, m.Drift)
	printPages(w, m.Pages)
	printRejects(w, m)
	printSharedKeys(w, m.Input.SharedKeys, "in the manifest")
	printDeferrals(w, m)
	printInDoubt(w, lake, m, undecided.Without(m.InDoubt))
	printStop(w, m.Run.Stop)
	format.Fprintf(w, "\n  Manifest  %s\n", strings.TrimRight(lake, "/")+fmt.Sprintf("/_meta/manifest/%08d.json", m.Generation))
	printQuery(w, lake, m)
}

// printTotals prints the table of a run: what was asked, what it cost, what was written.
func printTotals(w io.Writer, lake string, m *pipeline.Manifest) {
	row := func(name string, total int64, detail string) {
		format.Fprintf(w, "%s\n", strings.TrimRight(fmt.Sprintf("  %-8s %12s   %s", name, format.Thousands(total), detail), " "))
	}
	row("Lines", m.Accounts.Lines, statusText(m))
	row("Calls", m.Calls.Total, callText(m))
	if m.Events.Returned > 0 || len(m.Products) == 0 {
		row("Events", m.Events.Returned, eventText(m))
	}
	for _, name := range slices.Sorted(maps.Keys(m.Products)) {
		row(productLabels[name][0], m.Products[name], productLabels[name][1])
	}
	if s := m.Run.Webhooks; s != nil {
		row("Webhooks", s.Delivered, "new events delivered since the last nightly run · "+format.Thousands(s.Polled)+" of subscribed entities found by polling")
	}
	row("Credits", m.Credits.Charged, chargeText(m))
	var bytes, rows int64
	for _, f := range m.Files {
		bytes += f.Bytes
		rows += f.Rows
	}
	row("Files", int64(len(m.Files)), fmt.Sprintf("%s, %s in %s", format.Bytes(bytes), format.Count(rows, "row"), lake))
}

// printPages says how far the pages of a subject have come; p is nil if there are none.
func printPages(w io.Writer, p *pipeline.PageTotals) {
	if p == nil {
		return
	}
	more := "there may be more"
	if p.Exhausted {
		more = "there are no more"
	}
	format.Fprintf(w, "\n  Of %s: %s in this run, %s from earlier runs; %s.\n", p.Subject, format.Count(p.Results, "result"), format.Thousands(p.PriorResults), more)
	if p.Repeated > 0 {
		format.Fprintf(w, "  The API returned, and charged for, %s of them a second time: it did not honour its session.\n", format.Thousands(p.Repeated))
	}
}

// printStop says why a run stopped asking; s is nil if it did not.
func printStop(w io.Writer, s *pipeline.StopInfo) {
	if s == nil {
		return
	}
	format.Fprintf(w, "\n  Stopped early: %s\n", s.Reason)
	if s.Advice != "" {
		format.Fprintf(w, "  Next: %s\n", s.Advice)
	}
	if s.RetryAt != nil {
		format.Fprintf(w, "  Run again after %s\n", s.RetryAt.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
}

// printQuery prints a command that queries what the run has written.
func printQuery(w io.Writer, lake string, m *pipeline.Manifest) {
	if m.Events.Written > 0 {
		printSQL(w, lake, exampleQuery)
		return
	}
	for _, f := range m.Files {
		if t, ok := schema.TableNamed(f.Table); ok && t.IsProduct() && t.Name != string(schema.CategoryAliases) {
			printSQL(w, lake, productQuery(t))
			return
		}
	}
}

// printSQL prints a command that runs a query of the views: the files of runs alone have every revision of an
// event, and not all rows after a pruning.
func printSQL(w io.Writer, lake, query string) {
	format.Fprintf(w, "  Query     siglake ddl --lake '%s' > lake.sql && duckdb -init lake.sql -c \"%s\"\n", strings.ReplaceAll(lake, "'", `'\''`), query)
}

// productLabels are what people call products, and where their rows lie.
var productLabels = map[string][2]string{
	schema.ProductMatch:     {"Ids", "found by searches, in data/identities"},
	schema.ProductScore:     {"Scores", "in data/signal_scores"},
	schema.ProductLookalike: {"Results", "lookalikes, in data/lookalikes"},
	schema.ProductVisit:     {"Visits", "companies, in data/website_visits"},
}

const exampleQuery = "SELECT signal_type, count(*) AS events, max(event_date) AS newest FROM events GROUP BY 1 ORDER BY 2 DESC"

// productQuery shows the first rows of a product.
func productQuery(t schema.Table) string {
	columns := map[string]string{
		string(schema.CategoryIdentities): "account_key, identifier, entity_id, name", string(schema.CategoryScores): "account_key, name, signal_score, score_signals",
		string(schema.CategoryLookalikes): "rank, entity_id, name, domain", string(schema.CategoryVisits): "site, name, domain, score, total_sessions, last_visit",
	}
	order := map[string]string{string(schema.CategoryScores): " ORDER BY signal_score DESC", string(schema.CategoryLookalikes): " ORDER BY seed_set, rank", string(schema.CategoryVisits): " ORDER BY score DESC"}
	return fmt.Sprintf("SELECT %s FROM %s%s LIMIT 10", columns[t.Name], t.Name, order[t.Name])
}

func outcomeText(o pipeline.RunOutcome) string {
	switch o {
	case pipeline.RunComplete:
		return "complete"
	case pipeline.RunWithRejects:
		return "complete, with rejected lines"
	case pipeline.RunDeferred:
		return "incomplete, some lines were not requested"
	case pipeline.RunInDoubt:
		return "in doubt, some calls may have been charged"
	case pipeline.RunRefused:
		return "refused by the API"
	}
	return string(o)
}

func statusText(m *pipeline.Manifest) string {
	var parts []string
	for _, s := range schema.Statuses {
		if n := m.Accounts.ByStatus[s]; n > 0 {
			parts = append(parts, format.Thousands(n)+" "+strings.ReplaceAll(string(s), "_", " "))
		}
	}
	switch unread := m.Input.Total - m.Input.Records; {
	case m.Input.Unread && unread > 0:
		parts = append(parts, "about "+format.Thousands(unread)+" more not read")
	case m.Input.Unread:
		parts = append(parts, "the rest of the list not read")
	}
	return strings.Join(parts, " · ")
}

func callText(m *pipeline.Manifest) string {
	var parts []string
	switch {
	case m.Run.Inbox != nil:
		return "each a delivery"
	case m.Calls.Total > 0:
		parts = append(parts, fmt.Sprintf("%.1f a second", m.Calls.PerSecond))
	}
	if m.Calls.Retries > 0 {
		parts = append(parts, format.Count(m.Calls.Retries, "retry"))
	}
	if n := m.Calls.ByOutcome[pipeline.InDoubt]; n > 0 {
		parts = append(parts, format.Thousands(n)+" in doubt")
	}
	if r := m.Calls.LastRate; r != nil && r.Day.Limit > 0 {
		parts = append(parts, fmt.Sprintf("%s of %s left today", format.Thousands(r.Day.Left), format.Thousands(r.Day.Limit)))
	}
	return strings.Join(parts, " · ")
}

// accountText says how the account's movement and the bill agree.
func accountText(a *pipeline.Reconciliation) string {
	switch {
	case a.Delivered > 0 && *a.Unmatched == 0:
		return fmt.Sprintf("which matches %s for the calls of this run and %s for what webhooks delivered meanwhile", format.Thousands(a.Matched), format.Thousands(a.Delivered))
	case a.Delivered > 0 && *a.Unmatched > 0:
		return fmt.Sprintf("%s for the calls of this run, %s for what webhooks delivered meanwhile, and %s that they do not explain (others use the account, or the vendor books late)",
			format.Thousands(a.Matched), format.Thousands(a.Delivered), format.Thousands(*a.Unmatched))
	case *a.Unmatched > 0:
		return fmt.Sprintf("%s for the calls of this run and %s that they do not explain (others use the account, or the vendor books late)", format.Thousands(a.Matched), format.Thousands(*a.Unmatched))
	case *a.Unmatched < 0:
		return fmt.Sprintf("%s less than the charges of this run: the vendor may book late", format.Thousands(-*a.Unmatched))
	case *a.Change > a.Matched:
		return fmt.Sprintf("%s for answered calls of this run, the rest for calls in doubt", format.Thousands(a.Matched))
	}
	return "which matches the charges of this run"
}

// knownText says which of the events that were bought the lake had.
func knownText(added, changed, known int64) string {
	return fmt.Sprintf("%s new, %s changed, %s already in the lake", format.Thousands(added), format.Thousands(changed), format.Thousands(known))
}

func eventText(m *pipeline.Manifest) string {
	var parts []string
	switch e := m.Events; {
	case e.Known > 0 || e.Changed > 0:
		parts = append(parts, knownText(e.New, e.Changed, e.Known))
	case e.New > 0 && e.New == e.Returned:
		parts = append(parts, "all new")
	case e.New > 0:
		parts = append(parts, format.Thousands(e.New)+" new")
	}
	for _, c := range schema.Categories {
		if n := m.Events.ByCategory[c]; n > 0 {
			parts = append(parts, format.Thousands(n)+" "+string(c))
		}
	}
	if m.Events.Filtered > 0 {
		parts = append(parts, format.Thousands(m.Events.Filtered)+" paid for but filtered out")
	}
	if m.Events.Duplicate > 0 {
		parts = append(parts, format.Thousands(m.Events.Duplicate)+" returned twice, kept once")
	}
	return strings.Join(parts, " · ")
}

func chargeText(m *pipeline.Manifest) string {
	parts := []string{"as charged by the API"}
	if m.Run.Inbox != nil {
		parts[0] = "as the deliveries state"
	}
	type cost struct {
		signal  string
		credits int64
	}
	var costs []cost
	for s, n := range m.Credits.BySignal {
		costs = append(costs, cost{s, n})
	}
	sort.Slice(costs, func(i, j int) bool {
		return costs[i].credits > costs[j].credits || costs[i].credits == costs[j].credits && costs[i].signal < costs[j].signal
	})
	if n := m.Credits.ByAction["api_search"]; n > 0 && n < m.Credits.Charged {
		parts = append(parts, format.Thousands(n)+" of them for searches")
		costs = slices.DeleteFunc(costs, func(c cost) bool { return c.signal == schema.ProductMatch })
	}
	const shown = 3
	for _, c := range costs[:min(shown, len(costs))] {
		parts = append(parts, format.Thousands(c.credits)+" "+c.signal)
	}
	if n := len(costs) - shown; n > 0 {
		parts = append(parts, "the rest for "+format.Count(n, "other signal"))
	}
	if m.Credits.Excess > 0 {
		parts = append(parts, format.Thousands(m.Credits.Excess)+" more than the returned events explain, spread over them")
	}
	if m.Credits.Shortfall > 0 {
		parts = append(parts, format.Thousands(m.Credits.Shortfall)+" less than the returned events explain")
	}
	if m.Credits.UnknownCalls > 0 {
		parts = append(parts, fmt.Sprintf("plus %s whose charge is unknown (at most %s)", format.Count(m.Credits.UnknownCalls, "answered call"), format.Thousands(m.Credits.UnknownCeiling)))
	}
	if m.Credits.InDoubtCalls > 0 {
		parts = append(parts, fmt.Sprintf("plus between 0 and %s for calls whose answers are lost", format.Thousands(m.Credits.InDoubtCeiling)))
	}
	return strings.Join(parts, " · ")
}

func printRejects(w io.Writer, m *pipeline.Manifest) {
	const shown = 5
	n := m.Accounts.ByStatus[schema.Rejected]
	if n == 0 {
		return
	}
	format.Fprintf(w, "\n  Rejected lines (%s):\n", format.Thousands(n))
	for _, r := range m.Accounts.Rejects[:min(shown, len(m.Accounts.Rejects))] {
		format.Fprintf(w, "    %s:%d: %s\n", r.File, r.Line, r.Reason)
	}
	if n > shown {
		format.Fprintf(w, "    and %s more, in ledger/accounts\n", format.Thousands(n-shown))
	}
}

// printSharedKeys lists the keys that a spreadsheet turned into numbers and that several lines have. where says where
// all are listed.
func printSharedKeys(w io.Writer, keys []pipeline.SharedKey, where string) {
	const shown = 5
	if len(keys) == 0 {
		return
	}
	format.Fprintf(w, "\n  Keys that a spreadsheet turned into numbers, so that each stands for several lines (%s):\n", format.Thousands(int64(len(keys))))
	for _, k := range keys[:min(shown, len(keys))] {
		format.Fprintf(w, "    %s: %s: %s\n", k.Key, format.Count(k.Lines, "line"), format.List(k.Places, 3))
	}
	if n := len(keys) - shown; n > 0 {
		format.Fprintf(w, "    and %s more, %s\n", format.Thousands(int64(n)), where)
	}
	format.Fprintf(w, "  Next: format the column as text in the spreadsheet, and export the list again.\n")
}

// printInDoubt lists the calls that hold lines: the run's own, those of earlier
// runs that wait for a decision, and those that were given up. undecided are those that hold no whole line.
func printInDoubt(w io.Writer, lake string, m *pipeline.Manifest, undecided app.UndecidedCalls) {
	var own, earlier, writtenOff, retried, notCharged []pipeline.InDoubtCall
	for _, d := range m.InDoubt {
		switch {
		case d.WrittenOff:
			writtenOff = append(writtenOff, d)
		case d.Decision == pipeline.DecisionNotCharged:
			notCharged = append(notCharged, d)
		case d.Decision != "":
			retried = append(retried, d)
		case d.Run != "":
			earlier = append(earlier, d)
		default:
			own = append(own, d)
		}
	}
	list := func(calls []pipeline.InDoubtCall, title string) {
		if len(calls) == 0 {
			return
		}
		lines := 0
		for _, d := range calls {
			lines += len(d.Accounts)
		}
		const shown = 5
		format.Fprintf(w, "\n  "+title+"\n", len(calls), format.Count(lines, "line"))
		for _, d := range calls[:min(shown, len(calls))] {
			format.Fprintf(w, "    %s: %s; %s, %s to %s credits\n", d.Name(), d.Problem, format.Count(len(d.Accounts), "line"), format.Thousands(d.MinCredits), format.Thousands(d.MaxCredits))
		}
		if len(calls) > shown {
			format.Fprintf(w, "    and %d more, in the manifest\n", len(calls)-shown)
		}
	}
	list(own, "Calls in doubt (%d): they may have been charged and were not repeated; %s held.")
	list(earlier, "Calls of earlier runs in doubt (%d): %s not requested, because these calls may have bought them already.")
	printUndecided(w, undecided)
	if len(own)+len(earlier)+len(undecided.Calls) > 0 {
		format.Fprintf(w, "  Next: siglake held list --lake %s shows them; siglake held retry or accept-loss decides\n", lake)
	}
	if n := m.Accounts.ByStatus[schema.Deferred]; n > 0 && m.Run.Outcome == pipeline.RunInDoubt {
		format.Fprintf(w, "  Deferred: %s not requested yet; the same command requests the rest, whatever you decide\n", format.Count(n, "line"))
	}
	list(writtenOff, "Calls accepted as paid and lost (%d): %s not requested again in this window.")
	list(retried, "Calls repeated as decided (%d): the first attempt may have been charged; %s held.")
	list(notCharged, "Calls not charged, according to the account's usage (%d): their lines were requested again; %s held.")
}

// PrintTree shows what a run wrote, partitions of a table folded together.
func PrintTree(w io.Writer, lake string, m *pipeline.Manifest) {
	format.Fprintf(w, "%s/\n", lake)
	type dir struct {
		files int
		rows  int64
		names []string
	}
	dirs := map[string]*dir{}
	for _, f := range m.Files {
		d := path.Dir(f.Path)
		if dirs[d] == nil {
			dirs[d] = &dir{}
		}
		dirs[d].files++
		dirs[d].rows += f.Rows
		dirs[d].names = append(dirs[d].names, path.Base(f.Path))
	}
	var names []string
	for d := range dirs {
		names = append(names, d)
	}
	slices.Sort(names)
	for _, d := range names {
		format.Fprintf(w, "  %-44s %8s %-4s  %s\n", d+"/", format.Thousands(dirs[d].rows), format.Noun(dirs[d].rows, "row"), strings.Join(dirs[d].names, " "))
	}
	format.Fprintf(w, "  %-44s\n", fmt.Sprintf("_meta/manifest/%08d.json", m.Generation))
	format.Fprintf(w, "  %-44s\n", "_meta/current.json")
}

// balanceText says how the account's balance changed while a run spent from it.
func balanceText(spent int64) string {
	if spent < 0 {
		return "balance rose by " + format.Count(-spent, "credit")
	}
	return "balance fell by " + format.Count(spent, "credit")
}
