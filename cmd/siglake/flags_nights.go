package main

import (
	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
)

// nightFlags say what a run asks with --since last.
func nightFlags(o *app.NightOptions) []cli.Flag {
	const category = "Nights (--since last)"
	return []cli.Flag{
		&cli.StringFlag{Name: "completeness", Value: o.Completeness, Destination: &o.Completeness, EnvVars: []string{"SIGLAKE_COMPLETENESS"}, Category: category,
			Usage: "economy buys each event once and misses some that become visible late; strict asks again for days that may have had late events, and buys each event about twice"},
		&cli.StringFlag{Name: "backfill", Value: o.Backfill, Destination: &o.Backfill, EnvVars: []string{"SIGLAKE_BACKFILL"}, Category: category,
			Usage: "window of an entity and signal that was never asked, as `AGE` or date"},
		words(&o.Lateness, &cli.StringSliceFlag{Name: "lateness", EnvVars: []string{"SIGLAKE_LATENESS"}, Category: category,
			Usage: "days after their date until events of a signal or category become visible at most, as `SIGNAL=DAYS`; learned from the lake by default, and 30 while it has few events"}),
		words(&o.NightlyTypes, &cli.StringSliceFlag{Name: "nightly-types", EnvVars: []string{"SIGLAKE_NIGHTLY_TYPES"}, Category: category,
			Usage: "signals or categories to ask every night, whatever their cadence"}),
		&cli.StringFlag{Name: "audit", Value: o.Audit, Destination: &o.Audit, EnvVars: []string{"SIGLAKE_AUDIT"}, Category: category,
			Usage: "`SHARE` of the pairs with a recent event, like 2%, that are asked for earlier days again: measures how many late events economy misses, and finds those"},
	}
}
