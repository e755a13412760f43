package main

import (
	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
)

// nightFlags say what a run requests with --since last.
func nightFlags(o *app.NightOptions) []cli.Flag {
	const category = "Nights (--since last)"
	return []cli.Flag{
		&cli.StringFlag{Name: "completeness", Value: o.Completeness, Destination: &o.Completeness, EnvVars: []string{"SIGLAKE_COMPLETENESS"}, Category: category,
			Usage: "economy buys each event once and misses some that become visible late; strict requests days again that may have had late events, and buys each event about twice"},
		&cli.StringFlag{Name: "backfill", Value: o.Backfill, Destination: &o.Backfill, EnvVars: []string{"SIGLAKE_BACKFILL"}, Category: category,
			Usage: "window for an entity and signal that siglake has not requested before, as `AGE` or date"},
		words(&o.Lateness, &cli.StringSliceFlag{Name: "lateness", EnvVars: []string{"SIGLAKE_LATENESS"}, Category: category,
			Usage: "at most so many days after its date an event of a signal or category becomes visible, as `SIGNAL=DAYS`; default: learned from the lake, and 30 while it has few events"}),
		words(&o.NightlyTypes, &cli.StringSliceFlag{Name: "nightly-types", EnvVars: []string{"SIGLAKE_NIGHTLY_TYPES"}, Category: category,
			Usage: "signals or categories to request every night, whatever their cadence"}),
		&cli.StringFlag{Name: "audit", Value: o.Audit, Destination: &o.Audit, EnvVars: []string{"SIGLAKE_AUDIT"}, Category: category,
			Usage: "`SHARE`, such as 2%, of the pairs of entity and signal with a recent event, of which siglake requests earlier days again: measures how many late events economy misses, and finds those"},
	}
}
