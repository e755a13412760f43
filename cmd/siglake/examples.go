package main

import (
	"embed"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
)

// deployFiles are the examples of schedulers: a folder for each kind.
//
//go:embed deploy
var deployFiles embed.FS

// exampleKinds are the kinds of examples, in reading order.
var exampleKinds = []struct{ name, about string }{
	{"job", "the job file that cron, systemd and docker name"},
	{"cron", "a line for cron, and a script that retries by exit code"},
	{"systemd", "a service and a timer"},
	{"kubernetes", "a CronJob with its volume and its job file"},
	{"airflow", "a DAG"},
	{"docker", "a Dockerfile, and a line for cron that runs the container"},
	{"shards", "one list in several tasks: Kubernetes, AWS Batch, Airflow"},
	{"webhooks", "a service for siglake listen, and proxies with TLS in front of it"},
	{"watch", "jobs that sync and audit webhooks and watch their cap, for cron, systemd and Kubernetes"},
}

func examplesCommand() *cli.Command {
	return &cli.Command{
		Name:      "examples",
		Usage:     "print the files that run siglake under a scheduler",
		ArgsUsage: "[KIND [FILE]]",
		Description: "Kinds are job, cron, systemd, kubernetes, airflow, docker, shards, webhooks and watch. Without FILE, all files of the kind are\n" +
			"printed, each below its name; with FILE, that file as it is:\n" +
			"    siglake examples cron siglake-retry > siglake-retry\n\n" +
			"siglake help deploy explains them, siglake help shards those of shards, and siglake help receiving those of webhooks and watch.",
		Action: func(c *cli.Context) error { return printExamples(c, c.Args().Slice()) },
	}
}

// printExamples prints the list of examples, those of a kind, or one file.
func printExamples(c *cli.Context, args []string) error {
	w := c.App.Writer
	if len(args) == 0 {
		for _, k := range exampleKinds {
			format.Fprintf(w, "%-10s  %-45s  %s\n", k.name, strings.Join(exampleFiles(k.name), ", "), k.about)
		}
		return nil
	}
	files := exampleFiles(args[0])
	switch {
	case len(args) > 2:
		return app.UsageErrorf("examples takes a kind and a file, got %q too", args[2])
	case len(files) == 0:
		return app.UsageErrorf("no examples of kind %q%s; siglake examples lists the kinds", args[0], app.DidYouMean(args[0], exampleKindNames()))
	case len(args) == 2 && !slices.Contains(files, args[1]):
		return app.UsageErrorf("no file %q among the examples of %s%s; there are: %s", args[1], args[0], app.DidYouMean(args[1], files), strings.Join(files, ", "))
	case len(args) == 2:
		_, err := io.WriteString(w, exampleText(args[0], args[1]))
		return err
	}
	for i, file := range files {
		if len(files) > 1 {
			format.Fprintf(w, strings.Repeat("\n", min(i, 1))+"--- %s\n", file)
		}
		if _, err := io.WriteString(w, exampleText(args[0], file)); err != nil {
			return err
		}
	}
	return nil
}

func exampleKindNames() (names []string) {
	for _, k := range exampleKinds {
		names = append(names, k.name)
	}
	return names
}

// exampleFiles are the names of the files of a kind; none for an unknown one.
func exampleFiles(kind string) (names []string) {
	if !slices.Contains(exampleKindNames(), kind) {
		return nil
	}
	entries, _ := fs.ReadDir(deployFiles, path.Join("deploy", kind)) // embedded: a test reads each
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// exampleText is the text of a file of a kind.
func exampleText(kind, file string) string {
	raw, _ := fs.ReadFile(deployFiles, path.Join("deploy", kind, file)) // embedded, as its name
	return string(raw)
}
