package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

// options are the flags of the command.
type options struct {
	bin        string // folder of the programs that are measured
	rounds     int
	companies  int
	record     string // file that gets a line; empty: none
	commit     string
	peers      bool
	profileDir string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := dispatch(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// dispatch runs the bench, or one of the processes that it starts from its own program.
func dispatch(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == serveCommand {
		return serve(ctx, args[1:], os.Stdin, os.Stdout)
	}
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "siglake-bench-")
	if err != nil {
		return err
	}
	b := &bench{options: o, work: work}
	do := b.run
	if o.profileDir != "" {
		do = b.profile
	}
	return errors.Join(do(ctx), os.RemoveAll(work))
}

func parseOptions(args []string) (o options, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&o.bin, "bin", filepath.Join("bin", "bench"), "`DIR` of the programs that are measured")
	flags.IntVar(&o.rounds, "rounds", 3, "number of rounds")
	flags.IntVar(&o.companies, "companies", 4000, "number of companies in the list")
	flags.StringVar(&o.record, "record", "", "`FILE` with a table of results that gets a line")
	flags.StringVar(&o.commit, "commit", "", "what the line calls the measured `COMMIT`")
	flags.BoolVar(&o.peers, "peers", false, "measure Bento and DuckDB too")
	flags.StringVar(&o.profileDir, "profile", "", "write CPU profiles into `DIR`, and measure nothing")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.rounds < 1 || o.companies < 1 || flags.NArg() > 0 {
		return o, errors.New("want at least one round and one company, and no arguments")
	}
	return o, nil
}
