package main

import (
	"bufio"
	"context"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/report"
	"github.com/siglake/siglake/pipeline"
)

// yesFlag answers the question that a command asks before it buys.
func (p *purchaseCommand) yesFlag() cli.Flag {
	return &cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Destination: &p.yes, EnvVars: []string{"SIGLAKE_YES"}, Category: "Money",
		Usage: "buy without asking; on a terminal, without --max-credits and with a real key, siglake shows the price first and asks"}
}

// mustAsk reports whether the command asks before it buys: if a person is there to answer, and neither
// a flag nor the job says what it may cost.
func (p *purchaseCommand) mustAsk(env *app.Env) bool {
	m := &p.run.Money
	readsInput := p.run.List == "-" && p.run.Service != pipeline.Visits
	return env.Interactive && !readsInput && !p.yes && !m.MaxCreditsSet && !m.Unattended && m.Job == "" && !p.run.API.Simulate && !env.Rehearses()
}

// askBefore shows what a command would buy, and asks whether it may.
func (p *purchaseCommand) askBefore(env *app.Env) func(context.Context, app.Question) (bool, error) {
	return func(ctx context.Context, q app.Question) (bool, error) {
		report.PrintQuestion(env.Stderr, q)
		format.Fprintf(env.Stderr, "\nProceed? [y/N] ")
		answer := make(chan string, 1)
		go func() { // ends with the line, or with the process: a read cannot be taken back
			line, _ := bufio.NewReader(env.Stdin).ReadString('\n') // no line is no answer
			answer <- line
		}()
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case line := <-answer:
			switch strings.ToLower(strings.TrimSpace(line)) {
			case "y", "yes":
				return true, nil
			}
			return false, nil
		}
	}
}
