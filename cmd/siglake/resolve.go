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
		Usage:     "find the API's ids of a list's companies or contacts, and write the matches as a dataset",
		ArgsUsage: "LIST",
		Description: "Searches domains, names, e-mail and LinkedIn addresses in full batches; the API charges one credit for every\n" +
			"started 25 that it finds. A found id is valid for --resolve-hits, a miss for --resolve-misses: within that time\n" +
			"no command, including siglake run --api v3, searches or pays for it again. The matches are in data/identities,\n" +
			"the status of every line in ledger/accounts.",
		Flags:  p.productFlags(ttlFlags(&p.run.TTL), listFlags(&p.run.Source), lineFlags(&p.run.Source), shardFlag(&p.run.Source), workFlags(&p.run.Work)),
		Action: p.executeList,
	}
}
