package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/siglake/siglake/internal/wal"
)

// loader completes the state of a ledger when a question needs what opening did not read: recent
// purchases and cursors of the checkpoint, the records before it, and answers without recorded dates.
type loader struct {
	log     *wal.Log
	state   *state
	archive *archive
	debug   func(message string) // see Options; nil: it is not reported
}

func (l *loader) replayer() *replayer { return &replayer{l.log, l.state} }

// of is a loader for another state of the same log.
func (l *loader) of(s *state) *loader {
	return &loader{log: l.log, state: s, archive: newArchive(l.log, l.archive.decode)}
}

// loadRecent decodes the recent purchases of the checkpoint from which the ledger was opened, for a
// question about purchases. If they cannot be decoded, all records are read instead. After an error
// no call is made.
func (l *loader) loadRecent(ctx context.Context) error {
	s := l.state
	if s.recent == nil {
		return s.pastError()
	}
	err := l.replayer().loadRecent(ctx)
	if errors.Is(err, wal.ErrCorrupt) && s.recent != nil {
		if l.debug != nil {
			l.debug(fmt.Sprintf("all records are read instead of the checkpoint at %s: %v", s.past.at, err))
		}
		var before *state
		if before, err = l.stateBefore(ctx, s.past.at); err == nil {
			err = l.addPast(ctx, before)
		}
	}
	if err != nil {
		err = errors.Join(errors.New("the recent purchases in the journal cannot be read"), err)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.past.err = err
	}
	return err
}

// needPast reads what the checkpoint has left behind, for a question about an old window. Without it
// something could be bought twice, so after an error no call is made.
func (l *loader) needPast(ctx context.Context) {
	if l.state.pastError() != nil {
		return
	}
	if err := l.readPast(ctx); err != nil {
		l.state.mu.Lock()
		defer l.state.mu.Unlock()
		l.state.past.err = errors.Join(errors.New("the part of the journal before its checkpoint cannot be read"), err)
	}
}

// readPast adds what the checkpoint has left behind.
func (l *loader) readPast(ctx context.Context) error {
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
func (l *loader) loadCalls(ctx context.Context, r *Run) error {
	switch {
	case r.past.Calls > 0:
		return l.readPast(ctx)
	case r.recent.Calls > 0:
		return l.loadRecent(ctx)
	}
	return nil
}

// stateBefore is the state of all records before a position.
func (l *loader) stateBefore(ctx context.Context, p wal.Position) (*state, error) {
	s := newState()
	return s, replay(ctx, l.log, s, wal.First, p)
}

// addPast adds what the checkpoint has left behind, from the state of all records before it, and its
// recent purchases if they are not decoded. What was left behind has not changed since.
func (l *loader) addPast(ctx context.Context, before *state) error {
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
	return l.replayer().applyWaiting(ctx)
}

// loadCursors makes the cursors, from those of the checkpoint and the outcomes after it.
func (l *loader) loadCursors(ctx context.Context) error {
	s := l.state
	switch {
	case s.cursors.table != nil:
	case s.cursors.stored != nil:
		table := new(cursorTable)
		if err := table.decode(s.cursors.stored); err != nil {
			return err
		}
		s.setCursors(table)
	case s.past.at == wal.Position{}:
		s.setCursors(new(cursorTable))
	default: // a checkpoint without cursors
		walked, err := l.stateBefore(ctx, wal.Position{})
		if err != nil {
			return err
		}
		if err := l.of(walked).loadCursors(ctx); err != nil {
			return err
		}
		s.setCursors(walked.cursors.table)
		s.cursors.undated = nil
	}
	return l.dateEvents(ctx)
}

// dateEvents reads the answers without recorded dates, and those that wait for them.
func (l *loader) dateEvents(ctx context.Context) error {
	for _, u := range l.state.cursors.undated {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := l.readUndated(ctx, &u); err != nil {
			return fmt.Errorf("%s: %w", callName(u.call), err)
		}
		l.state.mu.Lock()
		err := l.state.cursors.table.apply(u.call, u.record.Pairs, u.identities)
		l.state.mu.Unlock()
		if err != nil {
			return fmt.Errorf("%s: %w", callName(u.call), err)
		}
		l.state.cursors.undated = l.state.cursors.undated[1:]
	}
	l.state.cursors.undated = nil
	return nil
}

// readUndated completes an outcome with the dates of its events.
func (l *loader) readUndated(ctx context.Context, u *undated) error {
	if u.record == nil {
		r, err := l.log.Read(ctx, u.at)
		if err != nil {
			return err
		}
		u.record, u.identities = new(outcomeRecord), r.Body
		if err := json.Unmarshal(r.Head, u.record); err != nil {
			return fmt.Errorf("%s: %w: %w", u.at, wal.ErrCorrupt, err)
		}
	}
	if u.record.isDated(u.call) {
		return nil
	}
	b, call, err := l.archive.readExchange(ctx, u.call)
	if err != nil {
		return err
	}
	items, _ := l.archive.decodeSettled(u.call, b, call)
	// By this version's reading of the answer, not by the identities as recorded.
	dated := *u.record
	answered := answeredIdentities(b, items)
	dated.Pairs = encodePairs(b, items, answered)
	u.record, u.identities = &dated, joinIdentities(answered)
	return nil
}
