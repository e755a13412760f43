package app

import (
	"fmt"
	"strconv"
	"time"

	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/internal/policy"
)

// periodCap bounds what the runs of a day or a month can cost together. The ledger says what they
// have cost, so the cap holds across processes and machines: one run at a time works on a lake.
type periodCap struct {
	flag    string
	credits int64
	monthly bool
	job     string // the runs that count are those of this job; empty: all runs of the lake
}

// periodCaps reads the caps beyond one run.
func (o *MoneyOptions) periodCaps() (caps []periodCap, err error) {
	for _, c := range []struct {
		flag, text string
		monthly    bool
		job        string
	}{
		{"max-credits-per-day", o.MaxPerDay, false, o.Job}, {"max-credits-per-month", o.MaxPerMonth, true, o.Job},
		{"max-lake-credits-per-day", o.MaxLakePerDay, false, ""}, {"max-lake-credits-per-month", o.MaxLakePerMonth, true, ""},
	} {
		credits, err := parseCap(c.flag, c.text)
		if err != nil {
			return nil, err
		}
		if credits > 0 {
			caps = append(caps, periodCap{c.flag, credits, c.monthly, c.job})
		}
	}
	return caps, nil
}

// parseCap reads the value of a flag that caps credits; 0 means no cap.
func parseCap(flag, text string) (int64, error) {
	if text == "" || text == "unlimited" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		return 0, UsageErrorf("--%s %q: expected a number of credits from 1, or unlimited", flag, text)
	}
	return n, nil
}

// period is the day or month of a time, in UTC.
func (c *periodCap) period(now time.Time) (begin, end time.Time) {
	y, m, d := now.UTC().Date()
	if c.monthly {
		begin = time.Date(y, m, 1, 0, 0, 0, 0, time.UTC)
		return begin, begin.AddDate(0, 1, 0)
	}
	begin = time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	return begin, begin.AddDate(0, 0, 1)
}

// text names the cap and the runs that it is about.
func (c *periodCap) text() string {
	runs := "this lake"
	if c.job != "" {
		runs = "job " + c.job
	}
	return fmt.Sprintf("--%s %d (%s)", c.flag, c.credits, runs)
}

// allowance is what the tightest cap beyond one run leaves to a run that begins now.
type allowance struct {
	cap     periodCap
	spent   int64 // the most that the runs of the period have cost
	credits int64 // left, never negative
	resets  time.Time
}

// findAllowance looks in the ledger for what the caps leave; nil if there are no caps. now is
// by the clock that dates calls.
func findAllowance(caps []periodCap, now time.Time, l *ledger.Ledger) (tightest *allowance) {
	for _, c := range caps {
		begin, end := c.period(now)
		spent := l.Bill().MaxCostSince(begin, func(r *ledger.Run) bool { return c.job == "" || r.Job == c.job })
		a := &allowance{cap: c, spent: spent, credits: max(0, c.credits-spent), resets: end}
		if tightest == nil || a.credits < tightest.credits || a.credits == tightest.credits && a.resets.After(tightest.resets) {
			tightest = a
		}
	}
	return tightest
}

// check refuses a run to which nothing is left.
func (a *allowance) check() error {
	if a == nil || a.credits > 0 {
		return nil
	}
	return &Error{KindDeferred, fmt.Errorf("%s is used up: earlier runs have cost up to %s, calls in doubt included; nothing was requested. Run the same command again after %s, or raise the cap",
		a.cap.text(), format.Count(a.spent, "credit"), a.resets.Format("2006-01-02 15:04 UTC"))}
}

// limit is the cap on a run: the tighter one of its budget and of the allowance, which may be nil. The
// budget counts what the run cost before it was continued, which is spent; the allowance has that
// subtracted if it was within the period.
func (a *allowance) limit(budget, spent int64) policy.BudgetConfig {
	cfg := policy.BudgetConfig{Credits: budget, Spent: spent}
	if a == nil || budget > 0 && budget-spent <= a.credits {
		return cfg
	}
	cfg.Credits, cfg.Cap, cfg.CapCredits, cfg.RetryAt = spent+a.credits, a.cap.text(), a.cap.credits, a.resets
	return cfg
}

// addAllowance notes in a plan what the caps beyond one run leave.
func (p *PlanReport) addAllowance(a *allowance) {
	if a != nil && (a.credits < p.Credits.P95) {
		p.addNote(fmt.Sprintf("%s leaves %s until %s", a.cap.text(), format.Count(a.credits, "credit"), a.resets.Format("2006-01-02 15:04 UTC")))
	}
}
