package main

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/journal"
	"github.com/siglake/siglake/internal/signals"
	"github.com/siglake/siglake/pipeline"
)

// The policies for calls in doubt.
const (
	inDoubtHold  = "hold"
	inDoubtRetry = "retry"
	inDoubtProbe = "probe"
)

func checkDoubtFlags(c *cli.Context) error {
	policy := c.String("in-doubt")
	switch policy {
	case inDoubtHold:
		if c.String("in-doubt-budget") != "" {
			return usagef("--in-doubt-budget says what asking again may cost, and --in-doubt hold asks nothing again: add --in-doubt retry or probe")
		}
	case inDoubtProbe:
	case inDoubtRetry:
		if c.String("in-doubt-budget") == "" {
			return usagef("--in-doubt retry may pay twice: say how much with --in-doubt-budget N, or unlimited")
		}
	default:
		return usagef("--in-doubt %q: expected hold, retry or probe", policy)
	}
	_, err := doubtBudget(c)
	return err
}

func doubtBudget(c *cli.Context) (int64, error) {
	switch text := c.String("in-doubt-budget"); text {
	case "":
		return 0, nil
	case "unlimited":
		return math.MaxInt64, nil
	default:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 1 {
			return 0, usagef("--in-doubt-budget %q: expected a number of credits from 1, or unlimited", text)
		}
		return n, nil
	}
}

// settleDoubts decides about calls in doubt as the policy says, before a run
// looks at what is known.
func (s *state) settleDoubts(c *cli.Context, client *signals.Client, asks func(*journal.Call) bool) error {
	policy := c.String("in-doubt")
	doubts := slices.DeleteFunc(s.journal.Doubts(), func(d *journal.Call) bool { return !asks(d) })
	if policy == inDoubtHold || len(doubts) == 0 {
		return nil
	}
	if policy == inDoubtProbe {
		var err error
		if doubts, err = s.probe(c.Context, client, doubts); err != nil {
			return err
		}
	}
	left, err := doubtBudget(c)
	if err != nil {
		return err
	}
	budget := left
	var released, credits, least, all int64
	for _, d := range doubts {
		all += d.Ceiling
		if d.Ceiling > left {
			if least == 0 || d.Ceiling < least {
				least = d.Ceiling
			}
			continue
		}
		left -= d.Ceiling
		if err := s.journal.Resolve(d, journal.Released, "--in-doubt "+policy); err != nil {
			return &exitError{exitStorage, err}
		}
		released++
		credits += d.Ceiling
	}
	if released > 0 {
		slog.Warn("asking again about calls in doubt: they may be paid twice", "calls", released, "credits_at_most", credits)
	}
	if kept := int64(len(doubts)) - released; kept > 0 && budget > 0 {
		// A call is released whole: what is decided about it is one record, and one
		// fate in the bill. So a budget below its ceiling covers none of its lines.
		slog.Warn(fmt.Sprintf("calls stay in doubt: a call is asked again only if all of it fits into --in-doubt-budget, of which %d is left; the cheapest of them can cost %d, all of them together with those asked again %d",
			left, least, all), "calls", kept)
	}
	return nil
}

// probe holds the account's own count against what the journal explains. When
// both agree, nothing in doubt was charged. It gives the doubts that remain.
//
// The count is the account's, not ours: if others use the account, it moves by
// more than we explain. What it moved by beyond the answers is still the most
// that all calls of ours can have cost beside them, and is kept as that. Both
// conclusions hold as far as the vendor's count only ever grows and has every
// call by the time it is read; that it fell, as at the end of a billing period,
// is seen when a later reading is lower, and then nothing is concluded.
func (s *state) probe(ctx context.Context, client *signals.Client, doubts []*journal.Call) ([]*journal.Call, error) {
	from := doubts[0].Run // the oldest
	if from.Used == nil {
		slog.Info("nothing can be told from the account's usage: it was not known when the run in doubt began", "run", from.ID)
		return doubts, nil
	}
	limited, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	u, err := client.Usage(limited)
	if err != nil || u.Used < 0 {
		slog.Info("nothing can be told from the account's usage", "error", err)
		return doubts, nil
	}
	var explained int64
	unknown, since, last := "", false, *from.Used
	for _, r := range s.journal.Runs() {
		if since = since || r == from; !since {
			continue
		}
		if r.Used != nil {
			if *r.Used < last {
				slog.Info("nothing can be told from the account's usage: its count fell since the run in doubt began", "run", from.ID)
				return doubts, nil
			}
			last = *r.Used
		}
		for _, call := range r.Calls {
			switch {
			case call.Outcome == pipeline.Charged && call.Credits < 0:
				unknown = r.ID + "/" + call.ID
			case call.Outcome == pipeline.Charged:
				explained += call.Credits
			}
		}
	}
	moved := u.Used - *from.Used
	if u.Used < last || moved < explained {
		slog.Info("nothing can be told from the account's usage: it moved by less than the answers were charged", "credits", moved, "explained", explained)
		return doubts, nil
	}
	if moved != explained {
		slog.Warn("the account moved by more than the answers explain: calls in doubt can have cost no more than that", "credits", moved, "explained", explained, "in_doubt_at_most", moved-explained)
		why := fmt.Sprintf("the account moved by %d credits since run %s began, and answers explain %d", moved, from.ID, explained)
		if err := s.journal.Read(from, moved-explained, why); err != nil {
			return nil, &exitError{exitStorage, err}
		}
		return doubts, nil
	}
	if unknown != "" {
		slog.Info("nothing can be told from the account's usage: a call's charge is unknown", "call", unknown)
		return doubts, nil
	}
	why := fmt.Sprintf("the account moved by %d credits since run %s began, and answers explain all of them", moved, from.ID)
	for _, d := range doubts {
		if err := s.journal.Resolve(d, journal.NotCharged, why); err != nil {
			return nil, &exitError{exitStorage, err}
		}
	}
	slog.Info("calls in doubt were not charged: "+why, "calls", len(doubts))
	return nil, nil
}
