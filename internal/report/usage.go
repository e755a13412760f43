package report

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/lusha"
)

// AccountUsage is the JSON form of the account's state. What is not stated is null.
type AccountUsage struct {
	Total     *int64                  `json:"credits_total"`
	Used      *int64                  `json:"credits_used"`
	Remaining *int64                  `json:"credits_remaining"`
	Plan      string                  `json:"plan,omitempty"`
	Windows   []accountWindow         `json:"windows"`
	Prices    map[string]accountPrice `json:"prices"`
}

type accountWindow struct {
	Name   string     `json:"name"`
	Limit  *int64     `json:"limit"`
	Used   *int64     `json:"used"`
	Left   *int64     `json:"left"`
	Resets *time.Time `json:"resets_at"`
}

type accountPrice struct {
	Credits *int64 `json:"credits"`
	Per     *int64 `json:"per_started"`
}

// NewAccountUsage takes over what the account states.
func NewAccountUsage(u *lusha.Usage) AccountUsage {
	a := AccountUsage{Total: statedOrNil(u.Total), Used: statedOrNil(u.Used), Remaining: statedOrNil(u.Remaining), Plan: u.Plan, Prices: map[string]accountPrice{}, Windows: []accountWindow{}}
	for _, w := range []struct {
		name string
		lusha.UsageWindow
	}{{"minute", u.Minute}, {"hour", u.Hour}, {"day", u.Day}} {
		line := accountWindow{Name: w.name, Limit: statedOrNil(w.Limit), Used: statedOrNil(w.Used), Left: statedOrNil(w.Left)}
		if !w.ResetAt.IsZero() {
			line.Resets = &w.ResetAt
		}
		a.Windows = append(a.Windows, line)
	}
	for action, p := range u.Prices {
		a.Prices[action] = accountPrice{statedOrNil(p.Credits), statedOrNil(p.PerQuantity)}
	}
	return a
}

// statedOrNil is a number, or nil for one that the account does not state.
func statedOrNil(n int64) *int64 {
	if n < 0 {
		return nil
	}
	return &n
}

// PrintUsage prints credits, windows and prices of an account.
func PrintUsage(w io.Writer, a AccountUsage) {
	number := func(n *int64) string {
		if n == nil {
			return "not stated"
		}
		return format.Thousands(*n)
	}
	format.Fprintf(w, "Credits   %s left, %s used, %s in total\n", number(a.Remaining), number(a.Used), number(a.Total))
	if a.Plan != "" {
		format.Fprintf(w, "Plan      %s\n", a.Plan)
	}
	for _, win := range a.Windows {
		if win.Limit == nil {
			format.Fprintf(w, "%-9s no limit stated\n", win.Name)
			continue
		}
		line := fmt.Sprintf("%-9s %s of %s left", win.Name, number(win.Left), format.Count(*win.Limit, "call"))
		if win.Left == nil {
			line = fmt.Sprintf("%-9s %s allowed, remaining not stated", win.Name, format.Count(*win.Limit, "call"))
		}
		if win.Resets != nil {
			line += ", resets " + win.Resets.UTC().Format("2006-01-02 15:04:05 UTC")
		}
		format.Fprintf(w, "%s\n", line)
	}
	var actions []string
	for action := range a.Prices {
		actions = append(actions, action)
	}
	slices.Sort(actions)
	for i, action := range actions {
		title := ""
		if i == 0 {
			title = "Prices"
		}
		p := a.Prices[action]
		per := ""
		if p.Per != nil && *p.Per != 1 {
			per = fmt.Sprintf(" for every started %s", format.Thousands(*p.Per))
		}
		format.Fprintf(w, "%-9s %-28s %s%s\n", title, action, number(p.Credits), per)
	}
	if len(actions) == 0 {
		format.Fprintf(w, "Prices    not stated\n")
	}
}
