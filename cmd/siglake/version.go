package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
)

func versionCommand() *cli.Command {
	return &cli.Command{
		Name:  "version",
		Usage: "show the version of the program, its parts and its schemas",
		Action: func(c *cli.Context) error {
			fmt.Fprintln(c.App.Writer, versionLine())
			v := app.ComponentVersions(buildVersion())
			for _, part := range []string{"go", "platform", "arrow", "parquet-go", "schema"} {
				fmt.Fprintf(c.App.Writer, "%-12s %s\n", part, v[part])
			}
			return nil
		},
	}
}

// commit is set by the linker; empty for a build that was not made by make.
var commit string

// builtFrom is the commit of this build, short; empty when it is not known.
func builtFrom() string {
	if commit != "" {
		return commit
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	revision, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(7, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	if revision == "" {
		return ""
	}
	return revision + dirty
}

// buildVersion is the version with the commit as its build metadata, as semantic
// versions have it.
func buildVersion() string {
	if from := builtFrom(); from != "" {
		return version + "+" + strings.ReplaceAll(from, "-", ".")
	}
	return version
}

// versionLine is what siglake --version prints.
func versionLine() string {
	from := builtFrom()
	if from == "" {
		from = "unknown"
	}
	return fmt.Sprintf("siglake %s (commit %s, %s)", version, from, runtime.Version())
}
