package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/siglake/siglake/internal/forecast"
	"github.com/siglake/siglake/internal/wal"
)

// recentParts are the parts of a checkpoint with recent purchases, until they are asked for: the calls
// that it keeps and that are not open, their queries, the history, and the index of all calls. Each run
// has the sum of its calls among them.
type recentParts struct{ document, calls, index part }

// laterOutcome is an outcome that was recorded after a checkpoint, while its recent purchases are not
// decoded: history and index do not have it yet.
type laterOutcome struct {
	call *Call
	at   wal.Position // of the record
	kind kind
}

// outcomeSummary is what a call itself has of an outcomeRecord.
type outcomeSummary struct {
	callHead
	Credits *int64               `json:"credits"`
	Problem string               `json:"problem"`
	Size    *forecast.ResultSize `json:"size"`
}

// settleLater applies the outcome of a call, without history, index and cursors. identities is the
// number of those that its answer decided.
func (s *state) settleLater(l laterOutcome, h *outcomeSummary, identities int) error {
	record := &outcomeRecord{callHead: h.callHead, Credits: h.Credits, Problem: h.Problem, Size: h.Size}
	l.call.setOutcome(l.kind, record)
	l.call.outcomeAt = l.at
	s.addSize(l.call, record)
	s.later = append(s.later, l)
	return s.addToCursors(undated{call: l.call, at: l.at, count: identities})
}

// loadRecent decodes the recent purchases of the checkpoint from which the ledger was opened, for a
// question about purchases. If they cannot be decoded, all records are read instead. After an error
// no call is made.
func (l *Ledger) loadRecent(ctx context.Context) error {
	s := l.state
	if s.recent == nil {
		return s.pastError()
	}
	err := s.loadRecent(ctx, l.log)
	if errors.Is(err, wal.ErrCorrupt) && s.recent != nil {
		if l.options.Debug != nil {
			l.options.Debug(fmt.Sprintf("all records are read instead of the checkpoint at %s: %v", s.past.at, err))
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

// loadRecent decodes the recent purchases and applies the outcomes that were recorded since.
func (s *state) loadRecent(ctx context.Context, log *wal.Log) error {
	if err := s.decodeRecent(); err != nil {
		return err
	}
	return s.applyLater(ctx, log)
}

// decodeRecent decodes the recent purchases. After an error nothing has changed.
func (s *state) decodeRecent() error {
	var blocks [3][]byte
	for i, p := range []part{s.recent.document, s.recent.calls, s.recent.index} {
		var err error
		if blocks[i], err = p.open(); err != nil {
			return err
		}
	}
	var document recentDocument
	if err := json.Unmarshal(blocks[0], &document); err != nil {
		return fmt.Errorf("%w: %w", wal.ErrCorrupt, err)
	}
	own := *newState()
	own.runs, own.queries, own.calls = s.runs, slices.Clone(s.queries), slices.Clone(s.calls)
	if !own.restoreQueries(document.Shared, document.Queries) || !own.decodeCalls(blocks[1]) || !own.restoreUnsettled(document.Unsettled) {
		s.listCalls()
		return errContradiction
	}
	index, ok := own.decodeIndex(blocks[2])
	if !ok || !own.restoreHistory(&document) {
		s.listCalls()
		return errContradiction
	}
	s.queries, s.calls, s.index = own.queries, own.calls, index
	maps.Copy(s.callNumbers, own.callNumbers)
	s.history, s.past.history = own.history, own.past.history
	s.recent = nil
	for _, r := range s.runs {
		r.recent = pastCalls{}
	}
	s.listCalls()
	return nil
}

// restoreHistory adds the history of queries that were restored. It reports whether they exist.
func (s *state) restoreHistory(d *recentDocument) bool {
	for i := range d.History {
		h := &d.History[i]
		n := h.Query.Number
		if n < 1 || n > len(s.queries) || s.queries[n-1] == nil {
			return false
		}
		restored := h.history(s.queries[n-1])
		s.history[n] = &restored
	}
	for i := range d.Earlier {
		q, ok := d.Shared.restore(&d.Earlier[i].Query)
		if !ok {
			return false
		}
		s.past.history = append(s.past.history, d.Earlier[i].history(q))
	}
	return true
}

// listCalls gives each run its calls, in their order.
func (s *state) listCalls() {
	for _, r := range s.runs {
		r.Calls = nil
	}
	for _, c := range s.calls {
		if c != nil {
			c.Run.Calls = append(c.Run.Calls, c)
		}
	}
}

// applyLater adds to history and index what was recorded before they were decoded.
func (s *state) applyLater(ctx context.Context, log *wal.Log) error {
	for ; len(s.later) > 0; s.later = s.later[1:] {
		l := s.later[0]
		rec, err := log.Read(ctx, l.at)
		if err != nil {
			return err
		}
		h := new(outcomeRecord)
		if err := json.Unmarshal(rec.Head, h); err != nil {
			return fmt.Errorf("%s: %w: %w", l.at, wal.ErrCorrupt, err)
		}
		s.addToHistory(l.call, l.kind, h, rec.Body)
		s.addToIndex(l.call, rec.Body)
	}
	s.later = nil
	return nil
}
