package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/schema"
)

// A lake partitions its events by one key. What a run's record says about that is overruled by a later
// record of a repartition: a rebuild wrote the rows of all runs before it by another key. Earlier
// versions would verify and continue these runs by the old one, so they must not open such a ledger:
// they know neither the kind of the record nor the version of the checkpoints after it.

// repartitionRecord says how the events of all runs before it are partitioned.
type repartitionRecord struct {
	By   string    `json:"by"` // schema.ByMonth or schema.ByDay
	Runs int       `json:"runs"`
	Time time.Time `json:"time"`
}

// repartition is the last one of a ledger.
type repartition struct {
	by string
	at wal.Position // of its record; zero: it is not recorded in this ledger
}

// repartition changes the event partitions of all runs so far.
func (s *state) repartition(by string, at wal.Position) {
	for _, r := range s.runs {
		r.Partition = by
	}
	s.repartitioned = &repartition{by, at}
}

// isPartitionKey reports whether this version knows a key.
func isPartitionKey(key string) bool { return key == schema.ByMonth || key == schema.ByDay }

func (r *replayer) applyRepartition(p wal.Position, h *repartitionRecord) error {
	if !isPartitionKey(h.By) {
		return fmt.Errorf("%w: events partitioned by %q; was it written by a newer version?", wal.ErrCorrupt, h.By)
	}
	r.state.repartition(h.By, p)
	return nil
}

// Partitions say how the events of a ledger's runs are partitioned.
type Partitions struct{ state *state }

// Partitions are those of the events of all runs.
func (l *Ledger) Partitions() Partitions { return Partitions{l.state} }

// Change changes the event partitions of all runs, in memory and in the copies that Ledger.CopyTo makes.
// It leaves the ledger itself as it is recorded.
func (p Partitions) Change(by string) { p.state.repartition(by, wal.Position{}) }

// ChangedTo is the key of the last repartition; empty: there was none.
func (p Partitions) ChangedTo() string {
	if p.state.repartitioned == nil {
		return ""
	}
	return p.state.repartitioned.by
}

// ChangedAfter reports whether the files of a published run have other partitions than those that the run
// prepared.
func (p Partitions) ChangedAfter(r *Run) bool {
	last := p.state.repartitioned
	return last != nil && r.Prepared != nil && r.Prepared.Before(last.at)
}

// CopyTo copies the ledger into an empty store, record by record. Meanwhile the ledger may be
// read and must not be written. After an error the copy is incomplete, and of no use.
func (l *Ledger) CopyTo(ctx context.Context, to wal.Store) error {
	if err := l.log.CopyTo(ctx, to); err != nil {
		return err
	}
	last := l.state.repartitioned
	if last == nil || last.at != (wal.Position{}) { // the copy has its record
		return nil
	}
	log, err := wal.Open(ctx, to, wal.Options{Lazy: true})
	if err != nil {
		return err
	}
	_, err = recordRepartition(log, repartitionRecord{last.by, len(l.state.runs), l.now().UTC()})
	return errors.Join(err, log.Close())
}

// Begins reports whether a store holds the beginning of the ledger and nothing else, as a copy does that was
// interrupted.
func (l *Ledger) Begins(ctx context.Context, copied wal.Store) (bool, error) {
	return l.log.Begins(ctx, copied)
}

// recordRepartition records a repartition durably.
func recordRepartition(log *wal.Log, r repartitionRecord) (wal.Position, error) {
	head, err := json.Marshal(r)
	if err != nil {
		return wal.Position{}, err
	}
	return log.Append(byte(kindRepartition), head, nil)
}
