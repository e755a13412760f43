package main

import (
	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/pipeline"
)

func resolveCommand() *cli.Command {
	p := newPurchase(app.ResolveName, pipeline.Search)
	p.run.TTL = app.DefaultTTL()
	return &cli.Command{
		Name:      app.ResolveName,
		Usage:     "find out the API's ids of a list's companies or contacts, and write the matches as a dataset",
		ArgsUsage: "LIST",
		Description: "Searches domains, names, e-mail and LinkedIn addresses in full batches; the API charges a credit for every\n" +
			"started 25 that it finds. What was found counts for --resolve-hits, what was not for --resolve-misses: nothing\n" +
			"is searched, or paid for, twice within that time, not by siglake run --api v3 either. The matches are in\n" +
			"data/identities, the fate of every line in ledger/accounts.",
		Flags:  p.productFlags(ttlFlags(&p.run.TTL), listFlags(&p.run.Source), workFlags(&p.run.Work)),
		Action: p.executeList,
	}
}
