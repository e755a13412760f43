package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/siglake/siglake/internal/forecast"
	"github.com/siglake/siglake/internal/wal"
)

// checkpointVersion is that of encodeCheckpoint and of the rules by which records are applied: raise it
// whenever either changes. A checkpoint of another version is ignored.
const checkpointVersion = 5

// checkpointHead is the head of a checkpoint.
type checkpointHead struct {
	Version int       `json:"version"`
	After   place     `json:"after"`   // the end of the log before it
	Segment uint64    `json:"segment"` // of that place, by its random number
	Runs    int       `json:"runs"`
	Calls   int       `json:"calls"`
	Kept    int       `json:"kept"`    // calls that are not left behind
	Lengths []int     `json:"lengths"` // of its parts, decompressed
	Time    time.Time `json:"time"`
}

// checkpointDays is how long a checkpoint keeps all calls: longer than search results are valid by
// default, so that no nightly run needs what it has left behind, and than a month, for which
// MaxCostSince sums calls up. Windows may be longer: see the package comment.
const checkpointDays = 35

const (
	defaultCheckpointEvery = 4 << 20
	maxCheckpoint          = 128 << 20 // half of the longest record
	maxPart                = 1 << 30   // decompressed
)

// past is what a checkpoint has left behind of the records before it. It holds no call that may still
// change, and none that decides about a window or a search of the last days.
type past struct {
	at      wal.Position       // of the checkpoint; zero: there is none, or what it left behind was read
	size    int64              // of its record
	days    Day                // newest end of a window of a call that is left behind; 0: none is
	newest  time.Time          // such a call, likewise
	history []forecast.History // of queries that only such calls refer to
	err     error              // of reading it when it was needed; guarded by state.mu
}

// pastCalls sums the calls of a run up that are left behind. All of them have a known cost.
type pastCalls struct {
	Calls   int   `json:"calls,omitempty"`
	Charged int64 `json:"credits,omitempty"`
}

// with adds a call.
func (p pastCalls) with(c *Call) pastCalls {
	return pastCalls{p.Calls + 1, p.Charged + c.Charge.Credits}
}

// isValid reports whether a call that is left behind may have been made after a time.
func (p *past) isValid(since time.Time) bool { return p.days > 0 && !p.newest.Before(since) }

// leftBehind reports whether calls with a window that ends on a day are left behind.
func (p *past) leftBehind(until string) bool {
	return p.days > 0 && DayOf(until) <= p.days
}

// errLeftBehind reports a record that refers to something that the checkpoint has left behind.
var errLeftBehind = fmt.Errorf("%w: a record refers to something older than the checkpoint", wal.ErrCorrupt)

// openState builds the state of a log: from its newest checkpoint that can be used and the records
// after it, else from all of its records.
func openState(ctx context.Context, log *wal.Log, debug func(string)) (*state, error) {
	note := func(p wal.Position, err error) {
		if debug != nil {
			debug(fmt.Sprintf("the checkpoint at %s of the journal is not used: %v", p, err))
		}
	}
	for p, err := range log.Backward(ctx, byte(kindCheckpoint)) {
		if err != nil {
			return nil, err
		}
		s, err := readCheckpoint(ctx, log, p)
		if err == nil {
			err = replay(ctx, log, s, p, wal.Position{})
		}
		if err == nil {
			return s, nil
		}
		if note(p, err); ctx.Err() != nil {
			return nil, err
		}
		break // an older one would save little, and this is rare
	}
	s := newState()
	return s, replay(ctx, log, s, wal.First, wal.Position{})
}

// readCheckpoint is the state that the checkpoint at p holds.
func readCheckpoint(ctx context.Context, log *wal.Log, p wal.Position) (*state, error) {
	parts, size, err := readParts(ctx, log, p)
	if err != nil {
		return nil, err
	}
	s, err := decodeCheckpoint(parts)
	if err != nil {
		return nil, err
	}
	s.past.at, s.past.size = p, size
	return s, nil
}

// readParts returns the parts of the checkpoint at p, and the size of the record.
func readParts(ctx context.Context, log *wal.Log, p wal.Position) (parts []part, size int64, err error) {
	rec, err := log.Read(ctx, p)
	if err != nil {
		return nil, 0, err
	}
	var h checkpointHead
	if err := json.Unmarshal(rec.Head, &h); err != nil {
		return nil, 0, fmt.Errorf("%w: %w", wal.ErrCorrupt, err)
	}
	if h.Version != checkpointVersion {
		return nil, 0, fmt.Errorf("it has version %d, and this program reads version %d", h.Version, checkpointVersion)
	}
	if !log.Follows(p, h.After.position(), h.Segment) {
		return nil, 0, errors.New("it is that of another journal")
	}
	parts, err = unpackParts(rec.Body, h.Lengths)
	return parts, int64(len(rec.Head) + len(rec.Body)), err
}

// checkpointer writes the checkpoints of a ledger.
type checkpointer struct {
	*loader
	now   func() time.Time
	every int64        // see Options
	at    wal.Position // of the last checkpoint; zero: there is none
}

// writeIfDue ends a published run with a checkpoint, if the records since the last one are many.
// Nothing depends on a checkpoint, so a failure is none of the run's: a log that is broken now says
// so when it is closed.
func (c *checkpointer) writeIfDue() {
	every := max(c.every, 2*c.state.past.size)
	if c.every == 0 {
		every = max(defaultCheckpointEvery, every)
	}
	from := wal.First
	if c.at != (wal.Position{}) {
		from = c.at
	}
	if c.log.SizeFrom(from) < every {
		return
	}
	// Not cancellable: the run is over, and what it recorded is as it will be.
	if err := c.write(context.Background()); err != nil && c.debug != nil {
		c.debug("no checkpoint was written: " + err.Error())
	}
}

// write records a checkpoint of what the process that opens the ledger next would know, so it
// is built from the records and not from what this process knows.
func (c *checkpointer) write(ctx context.Context) error {
	s, err := openState(ctx, c.log, c.debug)
	if err != nil {
		return err
	}
	then := c.of(s)
	if err := then.loadRecent(ctx); err != nil {
		return err
	}
	if c.state.cursors.table != nil || c.state.cursors.stored != nil || s.cursors.stored != nil {
		if err := then.loadCursors(ctx); err != nil {
			return err
		}
	}
	parts, kept, err := encodeCheckpoint(s)
	if err != nil {
		return err
	}
	compressed, lengths := packParts(parts)
	if len(compressed) > maxCheckpoint || slices.Max(lengths) > maxPart {
		return fmt.Errorf("it would be %d bytes long", len(compressed))
	}
	end, segment := c.log.Mark()
	head, err := json.Marshal(checkpointHead{checkpointVersion, placeOf(end), segment, len(s.runs), len(s.calls), kept, lengths, c.now().UTC()})
	if err != nil {
		return err
	}
	p, err := c.log.Append(byte(kindCheckpoint), head, compressed)
	if err == nil {
		c.at, c.state.past.size = p, int64(len(head)+len(compressed))
	}
	return err
}
