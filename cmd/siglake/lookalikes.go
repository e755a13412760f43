package main

import (
	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/pipeline"
)

func lookalikesCommand() *cli.Command {
	p := newPurchase(app.LookalikesName, pipeline.Lookalikes)
	pages := &p.run.Pages
	*pages = app.PageOptions{Limit: 25, PageSize: 50}
	return &cli.Command{
		Name:  app.LookalikesName,
		Usage: "find contacts or companies like a set of seeds",
		Description: "5 to 100 seeds, all contacts or all companies; companies by domain. The API charges for each result. What a\n" +
			"seed set returned is remembered, with the API's session: the same command with a higher --limit goes on behind\n" +
			"it and buys only what is new. The results are in data/lookalikes, in the order of their likeness.",
		Flags: p.productFlags([]cli.Flag{
			&cli.StringFlag{Name: "seeds", Destination: &p.run.List, EnvVars: []string{"SIGLAKE_SEEDS"}, Usage: "`LIST` of the seeds: a CSV file, or anything else that siglake run reads"},
			&cli.StringFlag{Name: "exclude", Destination: &pages.Exclude, EnvVars: []string{"SIGLAKE_EXCLUDE"}, Usage: "`LIST` of those that must not be returned, at most 100 by one kind of identifier"},
			&cli.IntFlag{Name: "limit", Value: pages.Limit, Destination: &pages.Limit, EnvVars: []string{"SIGLAKE_LIMIT"}, Usage: "results in all, those of earlier runs included"},
			&cli.IntFlag{Name: "page-size", Value: pages.PageSize, Destination: &pages.PageSize, EnvVars: []string{"SIGLAKE_PAGE_SIZE"}, Usage: "results in a call, 1 to 100; contacts at most 50"},
		}, listFlags(&p.run.Source), hideFlags(workFlags(&p.run.Work))),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return app.UsageErrorf("lookalikes takes its list behind --seeds, got %q by itself", c.Args().First())
			}
			if p.run.List == "" {
				return app.UsageErrorf("say whom results are to be like with --seeds LIST; see siglake lookalikes --help")
			}
			return p.execute(c)
		},
	}
}
