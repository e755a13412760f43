package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// peerRound is what other programs took in a round.
type peerRound struct {
	bento     usage
	bentoSize int64 // of the Parquet files, in bytes
	duckdb    metrics
}

// peerFigures are added to the table with -peers.
var peerFigures = []figure{
	{name: "Bento, events per CPU second", peer: true, of: func(b *bench, r *round) float64 { return perSecond(b.Events, r.peers.bento) }},
	{name: "  end to end, times Bento", peer: true, of: func(_ *bench, r *round) float64 { return ratio(r.peers.bento.cpu, r.run.cpu) }},
	{name: "  files of the lake, of Bento's", peer: true, of: func(_ *bench, r *round) float64 { return float64(r.size) / float64(r.peers.bentoSize) }},
	{name: "  memory of Bento, MiB", peer: true, of: func(_ *bench, r *round) float64 { return r.peers.bento.rss }},
	{name: "encode news, times DuckDB", peer: true, of: func(_ *bench, r *round) float64 {
		return r.encode["rows/cpu-s"] / r.peers.duckdb["BenchmarkDuckDB/encode"]["rows/cpu-s"]
	}},
	{name: "  size, of DuckDB", peer: true, of: func(_ *bench, r *round) float64 {
		return r.encode["bytes/row"] / r.peers.duckdb["BenchmarkDuckDB/encode"]["bytes/row"]
	}},
	query("DuckDB by entity_id, unsorted / lake", "lookup-entity"),
	query("  the same, 4 columns", "lookup-columns"),
	query("  an absent entity_id", "lookup-absent"),
	query("  by account_key", "lookup-account"),
	query("  the same, 4 columns", "lookup-account-columns"),
	query("  count in a range of dates", "range-count"),
	query("  range by type", "range-by-type"),
	query("  scan by type", "scan-by-type"),
	query("  scan of a text", "scan-text"),
}

// query is the figure of a query in DuckDB: how much longer it takes over files that are not siglake's.
func query(name, benchmark string) figure {
	return figure{name: name, peer: true, of: func(_ *bench, r *round) float64 {
		m := r.peers.duckdb["BenchmarkDuckDB/"+benchmark]
		return m["unsorted-ms"] / m["lake-ms"]
	}}
}

// writePeerFiles writes what the peers read.
func (b *bench) writePeerFiles() error {
	if !b.peers {
		return nil
	}
	c := newBentoConfig(b.path("list.csv"), b.served, b.path("bento"))
	return c.writeTo(b.path("bento.yaml"))
}

// bentoTimeout is more than Bento needs.
const bentoTimeout = 20 * time.Minute

// queriedCompanies is the number of companies in the lake that DuckDB queries: its files of news have about
// 50,000 rows. Those of the other lake have no more than DuckDB reads at a time.
const queriedCompanies = 100_000

// writeQueriedLake writes the lake that DuckDB queries.
func (b *bench) writeQueriedLake(ctx context.Context) error {
	if !b.peers {
		return nil
	}
	fmt.Fprintln(os.Stderr, "a lake for queries")
	stop, err := b.startAnswers(ctx, queriedCompanies, 0)
	if err != nil {
		return err
	}
	_, err = measure(ctx, nil, b.program("siglake"), b.runCommand("queried")...)
	return errors.Join(err, stop())
}

// measurePeers measures the peers; DuckDB encodes the rows of the lake of the round.
func (b *bench) measurePeers(ctx context.Context, r *peerRound) (err error) {
	if !b.peers {
		return nil
	}
	if err := errors.Join(os.RemoveAll(b.path("bento")), os.RemoveAll(b.path("duckdb"))); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, bentoTimeout) // it waits for events that it has dropped
	defer cancel()
	if r.bento, err = measure(limited, nil, b.program("bento"), "-c", b.path("bento.yaml")); err != nil {
		return err
	}
	if r.bentoSize, err = sizeOf(b.path("bento")); err != nil {
		return err
	}
	if r.bentoSize == 0 {
		return fmt.Errorf("Bento wrote no files: %s", r.bento.output) //nolint:staticcheck // a name
	}
	u, err := measure(ctx, nil, b.program("duckdb"), "-lake", b.path("lake"), "-queries", b.path("queried"), "-work", b.path("duckdb"))
	if err != nil {
		return err
	}
	if r.duckdb = parseMetrics(u.output); len(r.duckdb) == 0 {
		return fmt.Errorf("DuckDB's program prints no figures: %s", u.output)
	}
	return nil
}
