package main

import (
	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/pipeline"
)

func visitorsCommand() *cli.Command {
	p := newPurchase(app.VisitorsName, pipeline.Visits)
	p.run.List = "-" // its sites are its list
	p.run.Query.Since = "30d"
	pages := &p.run.Pages
	pages.PageSize = 100
	return &cli.Command{
		Name:  app.VisitorsName,
		Usage: "list the companies that visited a site with the vendor's pixel",
		Description: "Pages through the visits of a period of at most three months. The vendor does not publish what visits cost:\n" +
			"--max-credits assumes one credit per result, and the bill is the API's own number. The visits are in\n" +
			"data/website_visits, with the columns of websiteVisitors signals.",
		Flags: p.productFlags([]cli.Flag{
			words(&pages.Sites, &cli.StringSliceFlag{Name: "domain", EnvVars: []string{"SIGLAKE_DOMAIN"}, Usage: "visited `SITE`; several sites are requested together"}),
			&cli.StringFlag{Name: "since", Value: p.run.Query.Since, Destination: &p.run.Query.Since, EnvVars: []string{"SIGLAKE_SINCE"}, Usage: "first day, as `DATE` (2026-01-31) or age (30d, 6w, 3m); the period ends today"},
			&cli.IntFlag{Name: "limit", Destination: &pages.Limit, EnvVars: []string{"SIGLAKE_LIMIT"}, Usage: "total number of results, including those of earlier runs; 0 means all"},
			&cli.IntFlag{Name: "page-size", Value: pages.PageSize, Destination: &pages.PageSize, EnvVars: []string{"SIGLAKE_PAGE_SIZE"}, Usage: "results per call, 1 to 150"},
			p.dryRunFlag(),
		}, hideFlags(listFlags(&p.run.Source)), hideFlags(workFlags(&p.run.Work))),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return app.UsageErrorf("visitors takes its site as --domain SITE, got the argument %q", c.Args().First())
			}
			if len(app.SplitWords(pages.Sites)) == 0 {
				return app.UsageErrorf("name the site with --domain SITE; see siglake visitors --help")
			}
			return p.execute(c)
		},
	}
}
