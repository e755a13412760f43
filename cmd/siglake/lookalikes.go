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
		Usage: "find contacts or companies that resemble a set of seeds",
		Description: "Takes 5 to 100 seeds, all contacts or all companies; companies by domain. The API charges for each result. siglake\n" +
			"remembers what a seed set has returned, and the API's session: repeat the command with a higher --limit to buy\n" +
			"further results only. The results are in data/lookalikes, most similar first.",
		Flags: p.productFlags([]cli.Flag{
			&cli.StringFlag{Name: "seeds", Destination: &p.run.List, EnvVars: []string{"SIGLAKE_SEEDS"}, Usage: "`LIST` of seeds: a CSV file, or any other list that siglake run reads"},
			&cli.StringFlag{Name: "exclude", Destination: &pages.Exclude, EnvVars: []string{"SIGLAKE_EXCLUDE"}, Usage: "`LIST` of entities that the API must not return, at most 100 per kind of identifier"},
			&cli.IntFlag{Name: "limit", Value: pages.Limit, Destination: &pages.Limit, EnvVars: []string{"SIGLAKE_LIMIT"}, Usage: "total number of results, including those of earlier runs"},
			&cli.IntFlag{Name: "page-size", Value: pages.PageSize, Destination: &pages.PageSize, EnvVars: []string{"SIGLAKE_PAGE_SIZE"}, Usage: "results per call, 1 to 100; at most 50 for contacts"},
			p.dryRunFlag(),
		}, listFlags(&p.run.Source), hideFlags(workFlags(&p.run.Work))),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return app.UsageErrorf("lookalikes takes its list as --seeds LIST, got the argument %q", c.Args().First())
			}
			if p.run.List == "" {
				return app.UsageErrorf("name the seeds with --seeds LIST; see siglake lookalikes --help")
			}
			return p.execute(c)
		},
	}
}
