package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/siglake/siglake/internal/bench/answers"
)

// Long answers, as of companies with the most events in every signal: memory is measured with so many
// companies, of which so many are rendered. One call asks about 14 of them and gets 11 MB.
const (
	heavyCompanies = 336
	heavyRendered  = 14
)

// bench is one measurement.
type bench struct {
	options
	work string // folder for lakes, removed at the end
	served
	rounds []round
	heavy  usage // of a run with long answers
}

// round is what each program took in one round.
type round struct {
	plain, run, oneCore, verify, rebuild usage
	columns, plainColumns, encode        map[string]float64 // of Go benchmarks, by unit
	pqarrow                              map[string]float64
	size, plainSize                      int64 // of the Parquet files, in bytes
	peers                                peerRound
}

// run measures, prints the table and adds a line to the file of results.
func (b *bench) run(ctx context.Context) error {
	if err := errors.Join(b.measureHeavy(ctx), b.writeQueriedLake(ctx)); err != nil {
		return err
	}
	stop, err := b.startAnswers(ctx, b.companies, 0)
	if err != nil {
		return err
	}
	defer func() { _ = stop() }() // measured already
	if err := b.writePeerFiles(); err != nil {
		return err
	}
	for i := range b.options.rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", i+1, b.options.rounds)
		r, err := b.measureRound(ctx)
		if err != nil {
			return err
		}
		b.rounds = append(b.rounds, r)
	}
	if err := b.print(os.Stdout); err != nil || b.record == "" {
		return err
	}
	return b.recordLine()
}

// startAnswers starts the server and sets what it serves.
func (b *bench) startAnswers(ctx context.Context, companies, heavy int) (stop func() error, err error) {
	b.served, stop, err = startServer(ctx, companies, heavy, b.path("list.csv"))
	return stop, err
}

// path is that of a file or folder of the measurement.
func (b *bench) path(name string) string { return filepath.Join(b.work, name) }

// program is the path of a program that is measured.
func (b *bench) program(name string) string { return filepath.Join(b.bin, name) }

// measureHeavy measures the memory of a run with long answers, once: it does not vary.
func (b *bench) measureHeavy(ctx context.Context) error {
	fmt.Fprintln(os.Stderr, "memory with long answers")
	stop, err := b.startAnswers(ctx, heavyCompanies, heavyRendered)
	if err != nil {
		return err
	}
	b.heavy, err = measure(ctx, nil, b.program("siglake"), b.runCommand("heavy")...)
	return errors.Join(err, stop(), os.RemoveAll(b.path("heavy")))
}

// runCommand is the command line of a run to a lake.
func (b *bench) runCommand(lake string) []string {
	return []string{"run", b.path("list.csv"), "--lake", b.path(lake), "--map", "id=company_id", "--map", "key=account_id",
		"--signals", "news,growth,risk,intent", "--since", answers.Since, "--as-of", answers.Today, "--max-results", "100",
		"--rate", "0", "--plan", "unlimited", "--max-credits", "unlimited", "--api", "v2", "--base-url", b.URL,
		"--quota-dir", b.path("quota"), "--quiet"}
}

// measureRound measures every program once, one after the other. The lake of the run is what verify,
// rebuild, the encoder and DuckDB read.
func (b *bench) measureRound(ctx context.Context) (r round, err error) {
	siglake := b.program("siglake")
	steps := []func() error{
		b.emptied("plain", func() error { return b.runPlain(ctx, &r) }),
		b.emptied("lake", func() (err error) {
			r.run, err = measure(ctx, nil, siglake, b.runCommand("lake")...)
			return err
		}),
		b.emptied("one-core", func() (err error) {
			r.oneCore, err = measure(ctx, []string{"GOMAXPROCS=1"}, siglake, b.runCommand("one-core")...)
			return err
		}),
		func() (err error) {
			r.verify, err = measure(ctx, nil, siglake, "verify", "--lake", b.path("lake"), "--quiet")
			return err
		},
		b.emptied("rebuilt", func() (err error) {
			r.rebuild, err = measure(ctx, nil, siglake, "rebuild", "--lake", b.path("lake"), "--into", b.path("rebuilt"), "--quiet")
			return err
		}),
		func() error { return b.measureParts(ctx, &r) },
		func() (err error) {
			r.size, err = sizeOf(b.path("lake/data"))
			return err
		},
		func() error { return b.measurePeers(ctx, &r.peers) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return r, err
		}
	}
	return r, nil
}

// emptied is a step that begins with an empty folder.
func (b *bench) emptied(folder string, step func() error) func() error {
	return func() error { return errors.Join(os.RemoveAll(b.path(folder)), step()) }
}

// runPlain runs the plain program, which must find all events.
func (b *bench) runPlain(ctx context.Context, r *round) (err error) {
	r.plain, err = measure(ctx, nil, b.program("plain"), "-list", b.path("list.csv"), "-base-url", b.URL, "-since", answers.Since, "-out", b.path("plain"))
	if err != nil {
		return err
	}
	if want := fmt.Sprintf("%d events\n", b.Events); r.plain.output != want {
		return fmt.Errorf("the plain program prints %q, want %q", r.plain.output, want)
	}
	r.plainSize, err = sizeOf(b.path("plain"))
	return err
}

// measureParts measures the Go benchmarks of parts, each next to its yardstick.
func (b *bench) measureParts(ctx context.Context, r *round) error {
	for _, part := range []struct {
		program, benchmark string
		into               *map[string]float64
	}{
		{"columns.test", "BenchmarkColumns", &r.columns},
		{"plain.test", "BenchmarkPlainColumns", &r.plainColumns},
		{"sinks.test", "BenchmarkEncode/siglake", &r.encode},
		{"sinks.test", "BenchmarkEncode/pqarrow", &r.pqarrow},
	} {
		u, err := measure(ctx, []string{"SIGLAKE_BENCH_LAKE=" + b.path("lake")}, b.program(part.program),
			"-test.run", "^$", "-test.bench", "^"+part.benchmark+"$", "-test.benchtime", "2s", "-test.benchmem")
		if err != nil {
			return err
		}
		if *part.into = parseMetrics(u.output)[part.benchmark]; *part.into == nil {
			return fmt.Errorf("%s has no benchmark %s:\n%s", part.program, part.benchmark, u.output)
		}
	}
	return nil
}

// profile runs siglake end to end and rebuilds the lake, with profiles.
func (b *bench) profile(ctx context.Context) error {
	stop, err := b.startAnswers(ctx, b.companies, 0)
	if err != nil {
		return err
	}
	defer func() { _ = stop() }()
	commands := [][]string{
		b.runCommand("lake"),
		{"rebuild", "--lake", b.path("lake"), "--into", b.path("rebuilt"), "--quiet"},
	}
	for _, command := range commands {
		if _, err := measure(ctx, nil, b.program("siglake"), append(command, "--profile", b.profileDir)...); err != nil {
			return err
		}
	}
	return nil
}
