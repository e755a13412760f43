package app

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// A lake partitions its events by month or by day, and all of them alike: engines with one partition
// column for a table, such as Athena, cannot read both, and an event that is returned again is looked
// for in its own partition only. So a run follows the lake, and only a rebuild changes that.

// partitionSetting is the name of the choice among the settings of a run.
const partitionSetting = "partition-by"

// defaultPartition is how a new lake partitions its events.
const defaultPartition = "month"

var partitionKeys = map[string]string{defaultPartition: schema.ByMonth, "day": schema.ByDay}

// parsePartition is the key of the partitions that --partition-by names.
func parsePartition(word string) (key string, err error) {
	key, ok := partitionKeys[word]
	if !ok {
		return "", UsageErrorf("--partition-by %q: expected month or day", word)
	}
	return key, nil
}

// partitionWord is what --partition-by calls a key.
func partitionWord(key string) string {
	for word, k := range partitionKeys {
		if k == key {
			return word
		}
	}
	return key
}

// lakePartition is how the events of a lake are partitioned.
type lakePartition struct {
	key   string // of the newest events; empty: no run has requested any
	mixed bool   // earlier runs wrote others by the other key
}

// findPartition finds out how the events of the lake are partitioned. Where it has none, the newest run that
// requested some decides.
func findPartition(ctx context.Context, l *ledger.Ledger) (p lakePartition) {
	runs := l.Runs()
	for _, r := range slices.Backward(ledger.InOrderOfPublication(runs)) {
		key := r.PartitionKey()
		if key == p.key || !wroteEvents(ctx, l, r) {
			continue
		}
		if p.key != "" {
			p.mixed = true
			return p
		}
		p.key = key
	}
	for _, r := range slices.Backward(runs) {
		if p.key == "" && requestsEvents(r) {
			p.key = r.PartitionKey()
		}
	}
	p.key = cmp.Or(p.key, l.Partitions().ChangedTo())
	return p
}

// wroteEvents reports whether a published run wrote rows of events. Of one with a manifest that is lost,
// it is assumed.
func wroteEvents(ctx context.Context, l *ledger.Ledger, r *ledger.Run) bool {
	if !requestsEvents(r) {
		return false
	}
	totals, err := l.Reader().Totals(ctx, r)
	return err != nil || totals.Events > 0
}

// requestsEvents reports whether a run is one that can write events. The others record a key, too, which
// means nothing.
func requestsEvents(r *ledger.Run) bool {
	return services[r.Settings[serviceSetting]] == pipeline.Signals
}

// choosePartition is how a run partitions its events: as the lake does, or, in a new lake, as is asked
// for. asked is a value of --partition-by; empty: it was not given. l is nil for a lake that is not there.
func choosePartition(ctx context.Context, l *lake, asked string) (p lakePartition, err error) {
	if l != nil {
		p = findPartition(ctx, l.ledger)
	}
	wanted := ""
	if asked != "" {
		if wanted, err = parsePartition(asked); err != nil {
			return p, err
		}
	}
	if p.key != "" && wanted != "" && wanted != p.key {
		has := partitionWord(p.key)
		return p, UsageErrorf("--partition-by %s: the events of %s are partitioned by %s, and a lake has one kind of partitions. Omit the flag or set it to %s; "+
			"or rebuild the lake first, at no cost, and run on the new one: siglake rebuild --lake %s --partition-by %s --into DIR", asked, l.uri, has, has, l.uri, asked)
	}
	p.key = cmp.Or(p.key, wanted, schema.ByMonth)
	return p, nil
}

// choosePartition decides how the job partitions its events, and with that how its run is identified.
// l is nil for a lake that is not there.
func (j *Job) choosePartition(ctx context.Context, l *lake) error {
	if j.Service != pipeline.Signals {
		return nil
	}
	p, err := choosePartition(ctx, l, j.Work.PartitionBy)
	if err != nil {
		return err
	}
	j.spec.Partition = p.key
	j.identify()
	if p.mixed && !j.mixedReported {
		j.mixedReported = true
		word := partitionWord(p.key)
		j.env.Log.Warn("an earlier version let runs partition the events of this lake in different ways, so that not every engine reads it; this run follows the newest events. A rebuild writes all of them alike",
			"lake", j.Lake, "partition_by", word, "command", fmt.Sprintf("siglake rebuild --lake %s --partition-by %s --into DIR", j.Lake, word))
	}
	return nil
}

// checkLake makes sure that the job may use a lake, and fits in with it.
func (j *Job) checkLake(ctx context.Context, l *lake) error {
	if err := l.checkSimulated(j.isSimulated()); err != nil {
		return err
	}
	if err := j.checkShard(ctx, l); err != nil {
		return err
	}
	return j.choosePartition(ctx, l)
}
