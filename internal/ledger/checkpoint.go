package ledger

import (
	"bytes"
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
const checkpointVersion = 4

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
func (s *state) leftBehind(until string) bool {
	return s.past.days > 0 && DayOf(until) <= s.past.days
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

// checkpointIfDue ends a published run with a checkpoint, if the records since the last one are many.
// Nothing depends on a checkpoint, so a failure is none of the run's: a log that is broken now says
// so when it is closed.
func (l *Ledger) checkpointIfDue() {
	every := max(l.options.CheckpointEvery, 2*l.state.past.size)
	if l.options.CheckpointEvery == 0 {
		every = max(defaultCheckpointEvery, every)
	}
	from := wal.First
	if l.checkpointAt != (wal.Position{}) {
		from = l.checkpointAt
	}
	if l.log.SizeFrom(from) < every {
		return
	}
	// Not cancellable: the run is over, and what it recorded is as it will be.
	if err := l.writeCheckpoint(context.Background()); err != nil && l.options.Debug != nil {
		l.options.Debug("no checkpoint was written: " + err.Error())
	}
}

// writeCheckpoint records a checkpoint of what the process that opens the ledger next would know, so it
// is built from the records and not from what this process knows.
func (l *Ledger) writeCheckpoint(ctx context.Context) error {
	s, err := openState(ctx, l.log, l.options.Debug)
	if err != nil {
		return err
	}
	then := &Ledger{log: l.log, now: l.now, state: s, archive: newArchive(l.log, l.archive.decode)}
	if err := then.loadRecent(ctx); err != nil {
		return err
	}
	if l.state.cursors != nil || l.state.stored != nil || s.stored != nil {
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
	end, segment := l.log.Mark()
	head, err := json.Marshal(checkpointHead{checkpointVersion, placeOf(end), segment, len(s.runs), len(s.calls), kept, lengths, l.now().UTC()})
	if err != nil {
		return err
	}
	p, err := l.log.Append(byte(kindCheckpoint), head, compressed)
	if err == nil {
		l.checkpointAt, l.state.past.size = p, int64(len(head)+len(compressed))
	}
	return err
}

// auditCheckpoint compares the checkpoint from which the ledger was opened with what the records before
// it say, and adds what it has left behind.
func (l *Ledger) auditCheckpoint(ctx context.Context) (differs []string, err error) {
	at := l.state.past.at
	if at == (wal.Position{}) {
		return nil, nil
	}
	recorded, _, err := readParts(ctx, l.log, at)
	if err != nil {
		return nil, err
	}
	then, err := decodeCheckpoint(recorded)
	if err != nil {
		return nil, err
	}
	walked, err := l.stateBefore(ctx, at)
	if err != nil {
		return nil, err
	}
	if then.stored != nil {
		before := &Ledger{log: l.log, now: l.now, state: walked, archive: newArchive(l.log, l.archive.decode)}
		if err := before.loadCursors(ctx); err != nil {
			return nil, err
		}
	}
	parts, _, err := encodeCheckpoint(walked)
	if err != nil {
		return nil, err
	}
	same, err := equalParts(recorded, parts)
	if err != nil {
		return nil, err
	}
	if !same {
		differs = append(differs, fmt.Sprintf("the checkpoint at %s of the journal differs from what the records before it say", at))
	}
	return differs, l.addPast(ctx, walked)
}

// equalParts reports whether recorded parts are these ones.
func equalParts(recorded []part, parts [][]byte) (same bool, err error) {
	for i, p := range recorded {
		b, err := p.open()
		if err != nil || !bytes.Equal(b, parts[i]) {
			return false, err
		}
	}
	return true, nil
}

// stateBefore is the state of all records before a position.
func (l *Ledger) stateBefore(ctx context.Context, p wal.Position) (*state, error) {
	s := newState()
	return s, replay(ctx, l.log, s, wal.First, p)
}

// needPast reads what the checkpoint has left behind, for a question about an old window. Without it
// something could be bought twice, so after an error no call is made.
func (l *Ledger) needPast(ctx context.Context) {
	if l.state.pastError() != nil {
		return
	}
	if err := l.readPast(ctx); err != nil {
		l.state.mu.Lock()
		defer l.state.mu.Unlock()
		l.state.past.err = errors.Join(errors.New("the part of the journal before its checkpoint cannot be read"), err)
	}
}

func (s *state) pastError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.past.err
}

// readPast adds what the checkpoint has left behind.
func (l *Ledger) readPast(ctx context.Context) error {
	if l.state.past.days == 0 {
		return l.loadRecent(ctx)
	}
	before, err := l.stateBefore(ctx, l.state.past.at)
	if err == nil {
		err = l.addPast(ctx, before)
	}
	return err
}

// loadCalls completes the calls of a run.
func (l *Ledger) loadCalls(ctx context.Context, r *Run) error {
	switch {
	case r.past.Calls > 0:
		return l.readPast(ctx)
	case r.recent.Calls > 0:
		return l.loadRecent(ctx)
	}
	return nil
}

// addPast adds what the checkpoint has left behind, from the state of all records before it, and its
// recent purchases if they are not decoded. What was left behind has not changed since.
func (l *Ledger) addPast(ctx context.Context, before *state) error {
	s := l.state
	s.mu.Lock()
	for i, c := range before.calls {
		if s.calls[i] != nil {
			continue
		}
		run, err := s.findRun(c.Run.ID)
		if err != nil {
			continue // not possible: a checkpoint has every run
		}
		c.Run = run
		s.calls[i] = c
		s.callNumbers[run.ID+"/"+c.ID] = uint32(c.number) //nolint:gosec // see addCall
	}
	for i, q := range before.queries {
		if s.recent != nil {
			s.history[i+1] = before.history[i+1]
		}
		if s.queries[i] == nil {
			s.queries[i], s.history[i+1] = q, before.history[i+1]
		}
	}
	for _, r := range s.runs {
		r.past, r.recent = pastCalls{}, pastCalls{}
	}
	s.listCalls()
	s.index = mergeIndex(&before.index, &s.index)
	s.past, s.recent = past{at: s.past.at, size: s.past.size}, nil
	s.mu.Unlock()
	return s.applyLater(ctx, l.log)
}
