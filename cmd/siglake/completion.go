package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
)

func completionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print a shell completion script",
		ArgsUsage: "bash | zsh | fish",
		Description: "bash:  source <(siglake completion bash)\n" +
			"zsh:   source <(siglake completion zsh)\n" +
			"fish:  siglake completion fish | source",
		Action: func(c *cli.Context) error {
			script, known := completionScripts[c.Args().First()]
			if !known {
				return app.UsageErrorf("completion supports bash, zsh and fish, not %q", c.Args().First())
			}
			fmt.Fprint(c.App.Writer, script)
			return nil
		},
	}
}
