package main

import (
	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/pipeline"
)

func scoreCommand() *cli.Command {
	p := newPurchase(app.ScoreName, pipeline.Scores)
	return &cli.Command{
		Name:      app.ScoreName,
		Usage:     "buy one signal score for every line of a list",
		ArgsUsage: "LIST",
		Description: "Buys one number from 0 to 1 for each company or contact, and the signals that count towards it, for one credit\n" +
			"per score. The scores are in data/signal_scores. A score bought today is not bought again today.",
		Flags:  p.productFlags(listFlags(&p.run.Source), lineFlags(&p.run.Source), shardFlag(&p.run.Source), workFlags(&p.run.Work)),
		Action: p.executeList,
	}
}
