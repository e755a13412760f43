package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/internal/subscriptions"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// maxStepsShown is the number of changes of one kind that are printed; --json has all.
const maxStepsShown = 20

// webhookActions are the actions in the order in which they are printed, with their mark and name.
var webhookActions = []struct {
	action   subscriptions.Action
	mark     string
	to, done string
}{
	{subscriptions.Create, "+", "to create", "created"},
	{subscriptions.Change, "~", "to change", "changed"},
	{subscriptions.Adopt, "~", "to adopt", "adopted"},
	{subscriptions.Unblock, "!", "to unblock", "unblocked"},
	{subscriptions.Delete, "-", "to delete", "deleted"},
	{subscriptions.Refuse, "x", "of another lake", "of another lake"},
	{subscriptions.Keep, "=", "unchanged", "unchanged"},
}

// PrintWebhookSync says what a sync changes, or has changed.
func PrintWebhookSync(w io.Writer, r *app.WebhookSync) {
	lake := r.Lake
	if r.LakeID != "" {
		lake += " (" + r.LakeID + ")"
	}
	format.Fprintf(w, "Webhooks of %s, list %s, delivered to %s\n\n", lake, r.Name, r.URL)
	format.Fprintf(w, "  %-10s %9s   %s\n", "Lines", format.Thousands(r.Lines), webhookLinesText(r))
	for _, o := range slices.Sorted(maps.Keys(r.Signals)) {
		if keys := r.Signals[o]; len(keys) > 0 {
			format.Fprintf(w, "  %-10s %9s   of each %s: %s\n", "Signals", format.Thousands(int64(len(keys))), o, format.List(keys, 5))
		}
	}
	printWebhookRejects(w, r.Rejects, r.ByStatus[schema.Rejected])
	printWebhookSearch(w, r)
	format.Fprintf(w, "\n")
	searches := r.Search != nil && !r.Attempted
	if (!searches || len(r.Steps) > 0) && r.Actions != nil {
		printWebhookChanges(w, &r.WebhookChanges, r.Done)
	}
	if searches {
		format.Fprintf(w, "Plan: search for the unknown ids, %s, and create a subscription for each entity that is found.\n", format.Thousands(r.Search.Lines))
	}
	if r.NoSecret {
		format.Fprintf(w, "Note: the account has no signing secret, so nothing is delivered: siglake webhooks rotate-secret --secret-file FILE creates one.\n")
	}
	switch {
	case !r.Attempted:
		format.Fprintf(w, "Nothing was changed. Add --yes to carry this out.\n")
	case !r.Done:
		format.Fprintf(w, "It was not carried out to its end. What was bought and changed stays; the same command does the rest, and buys no id twice.\n")
	}
}

// printWebhookSearch says what the search for unknown ids can cost, or has cost.
func printWebhookSearch(w io.Writer, r *app.WebhookSync) {
	s := r.Search
	if s == nil {
		return
	}
	cost := fmt.Sprintf("%s, at most %s", format.Count(s.Calls, "call"), format.Count(s.MaxCredits, "credit"))
	if b := s.Bought; b != nil {
		cost = fmt.Sprintf("searched for by %s, %s (run %s)", format.Count(b.Calls, "call"), format.Count(b.Credits, "credit"), b.Run)
		if b.MaxCredits > b.Credits {
			cost += fmt.Sprintf("; calls of unknown charge can make it %s", format.Thousands(b.MaxCredits))
		}
	} else if r.Attempted {
		cost = "nothing was bought"
	}
	format.Fprintf(w, "  %-10s %9s   lines with an id that the lake did not know: %s\n", "Search", format.Thousands(s.Lines), cost)
	for _, note := range s.Notes {
		if !r.Attempted {
			format.Fprintf(w, "             %s\n", note)
		}
	}
}

func webhookLinesText(r *app.WebhookSync) string {
	parts := []string{format.Count(int64(r.Entities), "entity")}
	names := map[schema.Status]string{schema.Duplicate: "duplicate", schema.Rejected: "rejected", schema.NotFound: "not found", schema.Restricted: "restricted", schema.Deferred: "with an unknown id", schema.InDoubt: "in doubt", schema.WrittenOff: "written off"}
	for _, s := range slices.Sorted(maps.Keys(r.ByStatus)) {
		if n := r.ByStatus[s]; n > 0 {
			parts = append(parts, format.Thousands(n)+" "+cmp.Or(names[s], string(s)))
		}
	}
	return strings.Join(parts, " · ")
}

func printWebhookRejects(w io.Writer, rejects []pipeline.RejectLine, total int64) {
	const shown = 5
	for _, r := range rejects[:min(shown, len(rejects))] {
		format.Fprintf(w, "             %s:%d  %s\n", r.File, r.Line, r.Reason)
	}
	if total > shown {
		format.Fprintf(w, "             … and %s; siglake check --rejects FILE writes them all\n", format.Count(total-shown, "more line"))
	}
}

// PrintWebhookChanges says what changes, or has changed, of a lake's subscriptions.
func PrintWebhookChanges(w io.Writer, c *app.WebhookChanges, done bool) {
	printWebhookChanges(w, c, done)
	if !done {
		format.Fprintf(w, "Nothing was changed. Add --yes to carry this out.\n")
	}
}

func printWebhookChanges(w io.Writer, c *app.WebhookChanges, done bool) {
	shown := map[subscriptions.Action]int{}
	for _, a := range webhookActions {
		for i := range c.Steps {
			s := &c.Steps[i]
			if s.Action != a.action {
				continue
			}
			if shown[a.action]++; shown[a.action] > maxStepsShown {
				format.Fprintf(w, "  %s … and %s; --json lists all\n", a.mark, format.Thousands(int64(c.Actions[a.action]-maxStepsShown)))
				break
			}
			format.Fprintf(w, "  %s %-7s %s\n", a.mark, s.Object, strings.Join(nonEmpty(s.EntityID, s.AccountKey, s.Reason), "  "))
		}
	}
	if len(c.Steps) > 0 {
		format.Fprintf(w, "\n")
	}
	var parts []string
	for _, a := range webhookActions {
		if n := c.Actions[a.action]; n > 0 {
			word := a.to
			if done {
				word = a.done
			}
			parts = append(parts, format.Thousands(int64(n))+" "+word)
		}
	}
	title := "Plan"
	if done {
		title = "Done"
	}
	if len(parts) == 0 {
		parts = []string{"nothing to do"}
	}
	format.Fprintf(w, "%s: %s.\n", title, strings.Join(parts, ", "))
	if c.Calls > 0 && !done {
		format.Fprintf(w, "It takes %s. Subscriptions are free; each delivery is charged.\n", c.EstimateText())
	}
	if c.Replaces {
		format.Fprintf(w, "More than 200 change: siglake deletes and creates them, 25 a call, since one call can change only one.\n")
	}
	printWebhookNotes(w, c)
}

func printWebhookNotes(w io.Writer, c *app.WebhookChanges) {
	for _, text := range nonEmpty(app.PauseText(c.Pause), app.GapsText(c.Gaps), app.OptOutGapText(c.OptOutGaps), c.StraysText()) {
		format.Fprintf(w, "Note: %s.\n", text)
	}
	for i, p := range c.Problems {
		if i == maxStepsShown {
			format.Fprintf(w, "  … and %s; --json lists all\n", format.Count(int64(len(c.Problems)-maxStepsShown), "more"))
			break
		}
		format.Fprintf(w, "  refused: %s\n", strings.Join(nonEmpty(string(p.Object), p.EntityID, p.AccountKey, p.Code, p.Message), "  "))
	}
}

// nonEmpty are the texts that are not empty.
func nonEmpty(texts ...string) []string {
	return slices.DeleteFunc(texts, func(s string) bool { return s == "" })
}

// PrintWebhookList lists subscriptions.
func PrintWebhookList(w io.Writer, l *app.WebhookList) {
	for i := range l.Subscriptions {
		s := &l.Subscriptions[i]
		state := "active"
		if !s.Active {
			state = "off"
			if s.Blocked != "" {
				state = "blocked (" + s.Blocked + ")"
			}
			if s.BlockedAt != nil {
				state += " since " + s.BlockedAt.Format("2006-01-02 15:04 UTC")
			}
		}
		format.Fprintf(w, "%s  %-7s %s\n", s.ID, s.Object, strings.Join(nonEmpty(s.EntityID, s.AccountKey, state, s.Name, format.List(s.Signals, 3)), "  "))
	}
	if len(l.Subscriptions) > 0 {
		format.Fprintf(w, "\n")
	}
	format.Fprintf(w, "%s of %s, %s of them blocked or off; the account has %s that %s not its own.\n", format.Count(int64(l.Own), "subscription"), l.Lake,
		format.Thousands(int64(l.Blocked)), format.Thousands(int64(l.Others)), map[bool]string{true: "is", false: "are"}[l.Others == 1])
	for _, list := range l.Lists {
		synced := "never completely"
		if !list.Synced.IsZero() {
			synced = list.Synced.Format("2006-01-02 15:04 UTC")
		}
		format.Fprintf(w, "List %s (%s): synced %s; signals %s\n", list.Name, list.URI, synced, strings.Join(list.Signals, ","))
	}
	var pending, blocked string
	if l.Pending > 0 {
		pending = fmt.Sprintf("%s wanted and not there: run siglake webhooks sync again", format.Count(int64(l.Pending), "subscription"))
	}
	if l.Blocked > 0 {
		blocked = "siglake webhooks sync LIST --yes switches blocked subscriptions on again, and notes what to poll"
	}
	for _, text := range nonEmpty(app.PauseText(l.Pause), pending, blocked, app.GapsText(len(l.Gaps)), app.OptOutGapText(l.OptOutGaps)) {
		format.Fprintf(w, "Note: %s.\n", text)
	}
}

// PrintWebhookTests says how test deliveries went.
func PrintWebhookTests(w io.Writer, tests []lusha.HookTest) {
	for _, t := range tests {
		result := "delivered"
		if !t.Success {
			result = "not delivered"
		}
		switch {
		case t.Status > 0:
			result += fmt.Sprintf(", answer %d", t.Status)
		case !t.Success:
			result += ", no answer: see that siglake listen runs, and that the vendor reaches the URL"
		}
		if t.Duration >= 0 && t.Status > 0 {
			result += " after " + t.Duration.Round(time.Millisecond).String()
		}
		format.Fprintf(w, "%s  %s  %s\n", t.SubscriptionID, t.URL, result)
	}
}

// PrintWebhookTotals prints the vendor's totals.
func PrintWebhookTotals(w io.Writer, t *app.WebhookTotals) {
	number := func(n int64) string {
		if n < 0 {
			return "not stated"
		}
		return format.Thousands(n)
	}
	format.Fprintf(w, "Deliveries of the account, as the vendor counts them (successes of 90 days, failures of 180):\n")
	for _, line := range []struct {
		name string
		n    int64
	}{{"attempts", t.Vendor.Total}, {"successful", t.Vendor.Success}, {"failed", t.Vendor.Failed}, {"given up", t.Vendor.PermanentFailure}, {"credits", t.Vendor.Credits}} {
		format.Fprintf(w, "  %-11s %12s\n", line.name, number(line.n))
	}
	if t.Vendor.SuccessRate != "" {
		format.Fprintf(w, "  %-11s %12s\n", "success", t.Vendor.SuccessRate)
	}
	format.Fprintf(w, "%s subscribes to %s in %s.\n", t.Lake, format.Count(int64(t.Wanted), "entity"), format.Count(int64(t.Lists), "list"))
	for _, text := range nonEmpty(app.PauseText(t.Pause), app.GapsText(t.Gaps), app.OptOutGapText(t.OptOutGaps)) {
		format.Fprintf(w, "Note: %s.\n", text)
	}
}

// PrintSecret says what was done with the signing secret.
func PrintSecret(w io.Writer, r *app.SecretReport) {
	switch {
	case !r.Until.IsZero() && r.Old > 0:
		format.Fprintf(w, "The account has a new signing secret, which is the first line of %s. The old one stays there until %s, for deliveries that are under way; then this command removes it. siglake listen reads the file again.\n", r.File, r.Until.Format("15:04 UTC"))
	case !r.Until.IsZero():
		format.Fprintf(w, "The old secret is removed from %s.\n", r.File)
	case r.Replaced:
		format.Fprintf(w, "The account has a new signing secret, which is in %s.\n", r.File)
	default:
		format.Fprintf(w, "%s has the account's present secret, and no other one.\n", r.File)
	}
}

// PrintOptOutOrder says that notices of opt-outs are ordered.
func PrintOptOutOrder(w io.Writer, o *app.OptOutOrder) {
	format.Fprintf(w, "The vendor delivers notices of contacts that opt out to %s (subscription %s).\n", o.Subscription.URL, o.Subscription.ID)
	if text := app.OptOutGapText(o.Gaps); text != "" {
		format.Fprintf(w, "Note: %s.\n", text)
	}
}

// PrintWebhookAudit says what the lake lacks of what the vendor has delivered.
func PrintWebhookAudit(w io.Writer, a *app.WebhookAudit) {
	for i := range a.Missing {
		m := &a.Missing[i]
		format.Fprintf(w, "  missing: %s\n", strings.Join(nonEmpty(m.DeliveryID, m.DeliveredAt.Format("2006-01-02 15:04:05 UTC"), string(m.Object), m.EntityID, "subscription "+m.SubscriptionID), "  "))
	}
	are := func(n int) string {
		return format.Thousands(int64(n)) + map[bool]string{true: " is", false: " are"}[n == 1]
	}
	format.Fprintf(w, "Since %s the vendor has delivered %s to %s, and %s there; %s missing. It gave up %s.\n", a.Since.Format(time.DateOnly), format.Count(int64(a.Delivered), "event"), a.Lake,
		are(a.Received), are(len(a.Missing)), format.Count(int64(a.GivenUp), "delivery"))
	if a.Polled > 0 {
		format.Fprintf(w, "It did not deliver %s more, whose entities nightly runs have polled since.\n", format.Thousands(int64(a.Polled)))
	}
	if o := &a.OptOuts; o.Delivered+o.GivenUp > 0 {
		format.Fprintf(w, "It has delivered %s of opt-outs, and %s there. It gave up %s.\n", format.Count(int64(o.Delivered), "notice"), are(min(o.Received, o.Delivered)), format.Thousands(int64(o.GivenUp)))
	}
	var notes []string
	if text := app.BlockedText(a.Blocked, "is"); text != "" {
		notes = append(notes, text+"; then siglake webhooks sync LIST --yes switches on again")
	}
	if a.OptOuts.Lost() > 0 {
		notes = append(notes, fmt.Sprintf("%s of opt-outs did not reach the lake, and nothing repeats them: ask the vendor who opted out since %s", format.Count(int64(a.OptOuts.Lost()), "notice"), a.Since.Format(time.DateOnly)))
	}
	notes = append(notes, nonEmpty(app.PauseText(a.Pause), app.GapsText(a.Gaps), app.OptOutGapText(a.OptOutGaps))...)
	for _, text := range notes {
		format.Fprintf(w, "Note: %s.\n", text)
	}
}

// PrintWebhookCap says how far the deliveries of the day are from the cap.
func PrintWebhookCap(w io.Writer, c *app.WebhookCap) {
	format.Fprintf(w, "Today's deliveries to %s have cost %s, %d%% of the cap of %s.\n", c.Lake, format.Count(c.Spent, "credit"), c.Share(), format.Count(c.Cap, "credit"))
	switch {
	case c.Changed == "resumed":
		format.Fprintf(w, "Webhooks are resumed.\n")
	case c.Pause != nil:
		format.Fprintf(w, "Webhooks are %s.\n", app.PauseText(c.Pause))
	}
}

// WebhookFigures sum up changes of a lake's subscriptions that were carried out.
func WebhookFigures(c *app.WebhookChanges) *Figures {
	f := &Figures{Values: map[string]int64{"calls": int64(c.Calls), "refused": int64(len(c.Problems)), "pending": int64(c.Pending), "gaps": int64(c.Gaps), "paused": int64(b2i(c.Pause != nil))}}
	var parts []string
	for _, a := range webhookActions {
		n := int64(c.Actions[a.action])
		if f.Values[string(a.action)] = n; n > 0 {
			parts = append(parts, format.Thousands(n)+" "+a.done)
		}
	}
	if n := len(c.Problems); n > 0 {
		parts = append(parts, format.Thousands(int64(n))+" refused")
	}
	if c.Pending > 0 {
		parts = append(parts, format.Thousands(int64(c.Pending))+" pending")
	}
	f.Text = "subscriptions: " + cmp.Or(strings.Join(parts, ", "), "none")
	return f
}

// AuditFigures sum up an audit of deliveries.
func AuditFigures(a *app.WebhookAudit) *Figures {
	return &Figures{
		Text: fmt.Sprintf("of %s since %s the lake has %s and lacks %s; the vendor gave up %s", format.Count(a.Delivered, "delivery"), a.Since.Format(time.DateOnly),
			format.Thousands(int64(a.Received)), format.Thousands(int64(len(a.Missing))), format.Thousands(int64(a.GivenUp))),
		Values: map[string]int64{
			"delivered": int64(a.Delivered), "received": int64(a.Received), "missing": int64(len(a.Missing)), "given_up": int64(a.GivenUp), "polled": int64(a.Polled), "blocked": int64(a.Blocked),
			"opt_outs_delivered": int64(a.OptOuts.Delivered), "opt_outs_lost": int64(a.OptOuts.Lost()), "gaps": int64(a.Gaps),
		},
	}
}

// CapFigures sum up what the deliveries of the day have cost.
func CapFigures(c *app.WebhookCap) *Figures {
	return &Figures{
		Text:   fmt.Sprintf("today's deliveries have cost %s of %s", format.Thousands(c.Spent), format.Count(c.Cap, "credit")),
		Values: map[string]int64{"delivered_credits": c.Spent, "max_credits_per_day": c.Cap, "paused": int64(b2i(c.Pause != nil))},
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
