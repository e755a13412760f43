package app

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// HeldOptions say which calls in doubt are looked at, or decided about.
type HeldOptions struct {
	Command string // for the lock of the lake
	Lake    string
	Calls   []string // as RUN/CALL; empty: all
	Store   StoreOptions
	// Retry: also calls that repeated a call in vain.
	RepeatFailed bool
}

// selectInDoubt are the doubts named, or all.
func selectInDoubt(l *lake, names []string) (calls []*ledger.Call, err error) {
	return selectCalls(l.ledger.CallsInDoubt(), names)
}

// selectCalls are those of some calls in doubt that are named, or all.
func selectCalls(inDoubt []*ledger.Call, names []string) (calls []*ledger.Call, err error) {
	if len(names) == 0 {
		return inDoubt, nil
	}
	for _, name := range names {
		i := slices.IndexFunc(inDoubt, func(c *ledger.Call) bool { return name == c.Run.ID+"/"+c.ID || name == c.ID })
		if i < 0 {
			return nil, UsageErrorf("no call in doubt has the name %q; siglake held list shows them", name)
		}
		if !slices.Contains(calls, inDoubt[i]) {
			calls = append(calls, inDoubt[i])
		}
	}
	return calls, nil
}

// InDoubtCall is a doubt as held list shows it.
type InDoubtCall struct {
	Call     string    `json:"call"`
	Time     time.Time `json:"time"`
	Problem  string    `json:"problem"`
	Object   string    `json:"object"`
	Signals  []string  `json:"signals"`
	Since    string    `json:"since"`
	Until    string    `json:"until"`
	Accounts []string  `json:"accounts"`
	MinCost  int64     `json:"credits_least"`
	MaxCost  int64     `json:"credits_most"`
}

// UndecidedCalls are calls in doubt of earlier runs that may have bought what a night therefore did not ask for.
type UndecidedCalls struct {
	Calls   []UndecidedCall
	MaxCost int64 // credits that all of them can have cost together
}

// UndecidedCall is one of UndecidedCalls.
type UndecidedCall struct {
	Call     string // as RUN/CALL
	Problem  string
	Object   schema.Object
	Entities int
	MaxCost  int64
}

func newUndecidedCalls(l *ledger.Ledger, calls []*ledger.Call) UndecidedCalls {
	u := UndecidedCalls{MaxCost: l.Bill().MaxCost(calls...)}
	for _, c := range slices.SortedFunc(slices.Values(calls), func(a, b *ledger.Call) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.ID, b.ID)) }) {
		u.Calls = append(u.Calls, UndecidedCall{c.Run.ID + "/" + c.ID, c.Problem, c.Query.Object, c.Entities, l.Bill().MaxCost(c)})
	}
	return u
}

// Without leaves out the calls that others list already.
func (u UndecidedCalls) Without(listed []pipeline.InDoubtCall) UndecidedCalls {
	u.Calls = slices.DeleteFunc(slices.Clone(u.Calls), func(c UndecidedCall) bool {
		return slices.ContainsFunc(listed, func(d pipeline.InDoubtCall) bool { return d.Name() == c.Call })
	})
	return u
}

// ListInDoubt describes calls in doubt, and gives what all of them can have cost together.
func ListInDoubt(ctx context.Context, env *Env, o HeldOptions) (listed []InDoubtCall, maxCost int64, err error) {
	l, err := openExistingLake(ctx, env, o.Store, o.Lake, readOnly)
	if err != nil {
		return nil, 0, err
	}
	defer l.close() //nolint:errcheck // nothing was written
	calls, err := selectInDoubt(l, o.Calls)
	if err != nil {
		return nil, 0, err
	}
	listed = []InDoubtCall{}
	for _, d := range calls {
		items, err := l.ledger.Reader().CallItems(ctx, d)
		if err != nil {
			return nil, 0, lakeError(err)
		}
		line := InDoubtCall{
			Call: d.Run.ID + "/" + d.ID, Time: d.Time, Problem: d.Problem, Object: string(d.Query.Object), Signals: d.Query.ResultTypes(),
			Since: d.Query.Since, Until: d.Query.Until, MaxCost: l.ledger.Bill().MaxCost(d),
		}
		for _, i := range items {
			line.Accounts = append(line.Accounts, accountName(i))
		}
		listed = append(listed, line)
	}
	return listed, l.ledger.Bill().MaxCost(calls...), nil
}

// accountName is what the list's owner calls an account.
func accountName(i pipeline.Item) string {
	if i.Account.Key != "" {
		return i.Account.Key
	}
	return fmt.Sprintf("row %d", i.Account.Row)
}

// DecisionReport is what held retry and accept-loss did, for machines.
type DecisionReport struct {
	Decision ledger.Decision `json:"decision"`
	Calls    []string        `json:"calls"`
	MinCost  int64           `json:"credits_least"` // that they may have been charged
	MaxCost  int64           `json:"credits_most"`
	// Retry: what became of the calls after their answers were read again.
	Reread []RereadCall `json:"reread,omitempty"`
	// Retry: calls that stay in doubt because they repeated a call in vain.
	Repeated []RepeatedFailure `json:"repeated,omitempty"`
}

// DecideInDoubt records a decision about calls in doubt. Before a retry, which may be paid twice,
// it reads their answers again.
func DecideInDoubt(ctx context.Context, env *Env, o HeldOptions, decision ledger.Decision) (d DecisionReport, err error) {
	l, err := openExistingLake(ctx, env, o.Store, o.Lake, o.Command)
	if err != nil {
		return d, err
	}
	defer l.close() //nolint:errcheck // what was decided is durable before
	calls, err := selectInDoubt(l, o.Calls)
	if err != nil {
		return d, err
	}
	d = DecisionReport{Decision: decision, Calls: []string{}}
	if decision == ledger.Retry {
		if d.Reread, err = (rereader{l}).reread(ctx, calls); err != nil {
			return d, lakeError(err)
		}
		d.Reread = slices.DeleteFunc(d.Reread, func(c RereadCall) bool { return c.Outcome == pipeline.InDoubt })
		calls = slices.DeleteFunc(calls, func(c *ledger.Call) bool { return !c.InDoubt() })
		if !o.RepeatFailed {
			if calls, d.Repeated, err = withoutRepeatedFailures(ctx, l, calls); err != nil {
				return d, err
			}
		}
	}
	for _, call := range calls {
		if err := l.ledger.Recorder(call.Run).RecordDecision(call, decision, "siglake held"); err != nil {
			return d, &Error{KindStorage, err}
		}
		d.Calls = append(d.Calls, call.Run.ID+"/"+call.ID)
	}
	d.MaxCost = l.ledger.Bill().MaxCost(calls...)
	return d, nil
}
