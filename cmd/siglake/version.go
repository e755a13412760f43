package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/schema"
)

func versionCommand() *cli.Command {
	return &cli.Command{
		Name:  "version",
		Usage: "version of the program, its parts and its schemas",
		Action: func(c *cli.Context) error {
			v := componentVersions()
			for _, part := range []string{"siglake", "go", "platform", "arrow", "parquet-go", "schema"} {
				fmt.Fprintf(c.App.Writer, "%-12s %s\n", part, v[part])
			}
			return nil
		},
	}
}

// componentVersions names the parts whose version decides what a file looks like.
func componentVersions() map[string]string {
	v := map[string]string{
		"siglake":  version,
		"go":       runtime.Version(),
		"platform": runtime.GOOS + "/" + runtime.GOARCH,
		"schema":   strconv.Itoa(schema.EventTables[0].Version),
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	for _, d := range info.Deps {
		switch d.Path {
		case "github.com/apache/arrow/go/v17":
			v["arrow"] = d.Version
		case "github.com/parquet-go/parquet-go":
			v["parquet-go"] = d.Version
		}
	}
	return v
}
