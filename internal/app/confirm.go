package app

import (
	"context"
	"errors"
)

// ErrDeclined ends a command that the user did not confirm. Nothing was bought.
var ErrDeclined = &Error{KindDeferred, errors.New("nothing was bought: the answer was not yes; run the same command again and answer y, or state a cap with --max-credits N")}

// Question is what a command shows before it asks whether to buy. One of both is set.
type Question struct {
	Plan  *PlanReport
	Pages *PagesPlan // of a command that requests pages
}

// confirm asks the user, if the job can, whether to buy what the job would request; it does not ask
// about nothing.
func (j *Job) confirm(ctx context.Context) error {
	if j.Confirm == nil {
		return nil
	}
	question, err := j.question(ctx)
	if err != nil || question == nil {
		return err
	}
	yes, err := j.Confirm(ctx, *question)
	if err == nil && !yes {
		err = ErrDeclined
	}
	return err
}

// question plans the job; nil if it would request nothing.
func (j *Job) question(ctx context.Context) (*Question, error) {
	l, err := openLakeIfExists(ctx, j.env, j.Store, j.Lake)
	if err != nil {
		return nil, err
	}
	if l != nil {
		defer l.close() //nolint:errcheck // nothing was written
		if err := j.checkLake(ctx, l); err != nil {
			return nil, err
		}
	}
	if j.Service.IsPaged() {
		pages, err := newPlanner(j, l).buildPages(ctx)
		if err != nil || pages.Exhausted || pages.Results != nil && *pages.Results == 0 {
			return nil, err
		}
		return &Question{Pages: pages}, nil
	}
	plan, err := newPlanner(j, l).build(ctx)
	if err != nil || plan.Entities == 0 {
		return nil, err
	}
	return &Question{Plan: plan}, nil
}
