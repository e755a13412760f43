package ledger

import (
	"context"
	"encoding/json"
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

// loadRecent decodes the recent purchases of the checkpoint, and applies the outcomes that were recorded
// since.
func (r *replayer) loadRecent(ctx context.Context) error {
	if err := (restorer{r.state}).decodeRecent(); err != nil {
		return err
	}
	return r.applyWaiting(ctx)
}

// decodeRecent decodes the recent purchases. After an error nothing has changed.
func (s restorer) decodeRecent() error {
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
	own := restorer{newState()}
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
func (s restorer) restoreHistory(d *recentDocument) bool {
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

// applyWaiting adds to history and index what was recorded before they were decoded.
func (r *replayer) applyWaiting(ctx context.Context) error {
	s := r.state
	for ; len(s.later) > 0; s.later = s.later[1:] {
		l := s.later[0]
		rec, err := r.log.Read(ctx, l.at)
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
