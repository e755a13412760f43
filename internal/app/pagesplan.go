package app

import (
	"context"
	"fmt"

	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/pipeline"
)

// PagesPlan is what lookalikes or visitors would request. How many results there are is up to the
// API, so that the figures are upper bounds; nil stands for none, because all results are wanted.
type PagesPlan struct {
	Command string `json:"command"`
	Subject string `json:"about"` // seed set or sites
	Lake    string `json:"lake"`
	// Results of earlier runs, which are not bought again.
	Bought    int64  `json:"results_bought"`
	Exhausted bool   `json:"exhausted"` // there are no more
	Results   *int64 `json:"results_most"`
	Calls     *int64 `json:"calls_most"`
	Credits   *int64 `json:"credits_most"`
	// One page, for a plan without bounds.
	PageSize    int64 `json:"page_size"`
	PageCredits int64 `json:"page_credits_most"`
	// The account's; nil: unknown.
	CreditsLeft *int64   `json:"credits_left"`
	Notes       []string `json:"notes"`
}

// PlanPages finds out what lookalikes or visitors would request. It buys nothing.
func (j *Job) PlanPages(ctx context.Context) (*PagesPlan, error) {
	if j.Lake == "" {
		return nil, ErrNoLake
	}
	var plan *PagesPlan
	err := j.inspect(ctx, func(l *lake) (err error) {
		plan, err = newPlanner(j, l).buildPages(ctx)
		return err
	})
	return plan, err
}

// buildPages finds out what the pages would cost.
func (p *planner) buildPages(ctx context.Context) (plan *PagesPlan, err error) {
	j := p.job
	if err := p.readTariff(ctx); err != nil {
		return nil, err
	}
	if j.paged, err = newPagedQuery(ctx, &j.RunOptions, j.listInput, j.apiNow()); err != nil {
		return nil, err
	}
	queries := []pipeline.Query{j.paged.query}
	priceQueries(queries, p.tariff)
	if j.conn.client != nil && p.tariff.Price == 0 && queries[0].Price == 0 {
		p.report.addNote("the account does not state the price of a result: siglake assumes 1 credit")
	}
	plan = &PagesPlan{Command: j.Command, Subject: j.paged.subject.Key, Lake: j.Lake, CreditsLeft: p.report.CreditsLeft}
	if err := p.addPages(ctx, plan, &queries[0]); err != nil {
		return nil, err
	}
	plan.Notes = p.report.Notes
	return plan, nil
}

// addPages adds what was bought before, and what is left to buy in pages as large as those of the run.
func (p *planner) addPages(ctx context.Context, plan *PagesPlan, q *pipeline.Query) error {
	j := p.job
	answers := NewAnswerSizes(j.env, j.memory, nil)
	if p.lake != nil {
		answers = NewAnswerSizes(j.env, j.memory, p.lake.ledger)
		cursor, _, err := j.paged.progress(ctx, p.lake, q, nil)
		if err != nil {
			return err
		}
		if d := cursor.InDoubt; d != nil {
			p.report.addNote(fmt.Sprintf("call %s holds further pages: it may have been charged, for at most %s; decide with siglake held retry or accept-loss", d.Name(), format.Count(d.MaxCredits, "credit")))
		}
		if !j.Money.Refresh {
			plan.Bought, plan.Exhausted = cursor.Results, cursor.Exhausted
		}
	}
	plan.PageSize = answers.maxPage(q, int64(q.MaxResults()))
	plan.PageCredits = q.CostOf(plan.PageSize)
	var results int64
	switch {
	case plan.Exhausted:
	case j.paged.limit == 0:
		p.report.addNote("without --limit the API decides how many results there are: set --limit, or cap the cost with --max-credits")
		return nil
	default:
		results = max(j.paged.limit-plan.Bought, 0)
	}
	full, rest := results/plan.PageSize, results%plan.PageSize
	calls, credits := full, full*plan.PageCredits
	if rest > 0 {
		calls, credits = calls+1, credits+q.CostOf(rest)
	}
	plan.Results, plan.Calls, plan.Credits = &results, &calls, &credits
	if budget := j.spec.Budget; budget > 0 && credits > budget {
		p.report.addNote(fmt.Sprintf("--max-credits %s can end the run before it has all results", format.Thousands(budget)))
	}
	return nil
}
