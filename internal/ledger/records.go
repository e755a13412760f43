package ledger

import (
	"encoding/json"
	"time"

	"github.com/siglake/siglake/internal/forecast"
	"github.com/siglake/siglake/pipeline"
)

// kind says what a record is. The numbers are on disk and never change.
type kind byte

// The kinds. Every record has a head, a small JSON object, and may have a body.
const (
	kindRun            kind = 1  // a run begins or is resumed, one per session; head pipeline.RunSpec
	kindIntent         kind = 2  // a call will be made; head intentRecord, body its items as JSON, zstd
	kindResponse       kind = 3  // the answer; head responseRecord, body as received, zstd
	kindCharged        kind = 4  // the call was charged; head outcomeRecord, body identities
	kindNotCharged     kind = 5  // certainly not charged; head outcomeRecord, body identities that it decided nevertheless
	kindInDoubt        kind = 6  // may have been charged; head outcomeRecord, body identities
	kindDecision       kind = 7  // a decision about a call in doubt; head decisionRecord
	kindLines          kind = 8  // the status of lines that no call decided; head linesRecord, body the lines, zstd
	kindPrepare        kind = 9  // the run's files are staged and will be published; head prepareRecord, body the manifest, zstd
	kindCommit         kind = 10 // they are published; head Commit
	kindQuery          kind = 11 // a query that intents refer to by its number; head queryRecord
	kindReconciliation kind = 12 // a bound on all that is unsettled before it, from the account's usage; head reconciliationRecord
	kindReread         kind = 13 // the outcome of a call that was in doubt, by a later version; head rereadRecord, body identities
	kindPiece          kind = 14 // a piece of an answer, before its kindResponse; head callHead, body as received, zstd
	kindLoss           kind = 15 // something of a call was missing when the ledger was salvaged; head lossRecord
	kindCheckpoint     kind = 16 // what the records before it say; head checkpointHead, body see encodeCheckpoint, zstd
	kindPrune          kind = 17 // bodies of answers are about to be removed; head PruneRecord
	kindRepartition    kind = 18 // how the events of all runs before it are partitioned; head repartitionRecord
	kindErasure        kind = 19 // a person asks to be forgotten; head Erasure
)

type intentRecord struct {
	Run      string    `json:"run"`
	Call     string    `json:"call"`
	Batch    string    `json:"batch"`
	Attempt  int       `json:"attempt"`
	ByID     bool      `json:"by_id,omitempty"`
	Query    int       `json:"query"` // number of a query record before it
	Entities int       `json:"entities"`
	Ceiling  int64     `json:"ceiling"` // credits
	Time     time.Time `json:"time"`
}

// queryRecord is a query, numbered from 1 in the order of the records.
type queryRecord struct {
	Number int            `json:"number"`
	Query  pipeline.Query `json:"query"`
}

// responseRecord is a pipeline.Call before decoding.
type responseRecord struct {
	callHead
	Endpoint string           `json:"endpoint"`
	Entities int              `json:"entities"`
	Sent     time.Time        `json:"sent"`
	Duration time.Duration    `json:"duration_ns"`
	Status   int              `json:"status"`
	Outcome  pipeline.Outcome `json:"outcome"` // preliminary: the answer is not decoded yet
	Rate     pipeline.Rate    `json:"rate"`
	Header   json.RawMessage  `json:"header,omitempty"`
	Problem  string           `json:"problem,omitempty"`
	Corrupt  bool             `json:"corrupt,omitempty"`
	Cut      bool             `json:"cut,omitempty"`
	Length   int64            `json:"length,omitempty"` // bytes of the answer, uncompressed; absent in old records
	Pieces   int              `json:"pieces,omitempty"` // records that hold the answer up to the body of this one
}

// responseSummary is what a call has of a responseRecord.
type responseSummary struct {
	callHead
	Duration time.Duration `json:"duration_ns"`
	Cut      bool          `json:"cut"`
	Length   int64         `json:"length"`
	Pieces   int           `json:"pieces"`
}

// callHead is the beginning of the head of every record about a call.
type callHead struct {
	Run  string `json:"run"`
	Call string `json:"call"`
}

// outcomeRecord is the outcome of a call. The body of its record holds the identities, in 12
// bytes each, that the answer decided or, for a call in doubt, that were requested: by the
// requested identifier and by the API's id.
type outcomeRecord struct {
	callHead
	Credits *int64                      `json:"credits,omitempty"` // charged; absent if the server's statement was not understood
	Events  map[string]forecast.Moments `json:"events,omitempty"`  // by signal type
	Total   *forecast.Moments           `json:"all,omitempty"`     // of all types together
	Problem string                      `json:"problem,omitempty"`
	Size    *forecast.ResultSize        `json:"size,omitempty"` // of all results, filtered ones included
	// Which entities have events, and their dates: see encodePairs. Absent in old records.
	Pairs []byte `json:"pairs,omitempty"`
	// The ids that the answer states: see encodeIDs. Absent in old records.
	IDs []byte `json:"ids,omitempty"`
}

// rereadRecord is the outcome of a call that was recorded as in doubt: a later version can read
// its answer.
type rereadRecord struct {
	outcomeRecord
	Outcome   pipeline.Outcome `json:"outcome"`
	Publisher string           `json:"by"`             // the run that publishes the rows: a reread, or the call's own
	Open      int              `json:"open,omitempty"` // lines that the answer leaves open
	Time      time.Time        `json:"time"`
}

// decisionRecord is a decision about a call in doubt.
type decisionRecord struct {
	Run      string    `json:"run"`
	Call     string    `json:"call"`
	Decision Decision  `json:"how"`
	Reason   string    `json:"why,omitempty"`
	Time     time.Time `json:"time"`
}

// reconciliationRecord bounds the cost of the unsettled calls before it, from the first call of
// a run on.
type reconciliationRecord struct {
	From    string    `json:"from"` // run
	MaxCost int64     `json:"most"` // credits
	Reason  string    `json:"why,omitempty"`
	Time    time.Time `json:"time"`
}

// lossRecord is a loss that was accepted when the ledger was salvaged.
type lossRecord struct {
	Loss
	Time time.Time `json:"time"`
}

// Decision is what a user or the account's usage decided about a call in doubt.
type Decision string

// The decisions. A released pair may be bought again; one that was written off counts as
// charged and is not requested again in its window.
const (
	Retry      Decision = "released"                  // may be requested again, at the risk of paying twice
	NotCharged Decision = pipeline.DecisionNotCharged // the account's usage shows that nothing was charged
	WriteOff   Decision = "accept_loss"               // taken as charged and lost
)

type linesRecord struct {
	Run     string `json:"run"`
	Session int    `json:"session"`
	Lines   int    `json:"lines"`
}

type prepareRecord struct {
	Run   string    `json:"run"`
	Files int       `json:"files"`
	Time  time.Time `json:"time"`
}

// Commit is how a published run ended.
type Commit struct {
	Run        string              `json:"run"`
	Generation int64               `json:"generation"`
	Outcome    pipeline.RunOutcome `json:"outcome"`
	Deferred   int64               `json:"deferred"` // lines left for another run
	Held       int64               `json:"held"`
	Rejected   int64               `json:"rejected,omitempty"`
	// The command accepted the lines because of which it is not complete: it exited as if there were none.
	RejectsAllowed bool     `json:"rejects_allowed,omitempty"`
	BlockedBy      []string `json:"holds,omitempty"` // calls in doubt of earlier runs, as "run/call", that its lines wait for
	// Calls in doubt of earlier runs, as "run/call", that may have bought what a night therefore did not ask for its lines.
	NarrowedBy  []string `json:"narrowed_by,omitempty"`
	InputUnread bool     `json:"unread,omitempty"` // the list was not read to its end: further lines are in no count
	// What the run's audits found; nil: it had none.
	Audit  *pipeline.AuditCounts `json:"audit,omitempty"`
	Time   time.Time             `json:"time"`
	Totals *Totals               `json:"totals,omitempty"` // nil: an earlier version wrote it
}

// Totals sum up a published run, so that its history can be shown without its calls.
type Totals struct {
	Lines       int64             `json:"lines"`            // with a status
	Calls       int64             `json:"calls"`            // attempts
	RateLimited int64             `json:"http_429"`         // attempts that the API refused as too many
	Credits     int64             `json:"credits"`          // as the API stated them
	Events      int64             `json:"events"`           // rows that were written to the event tables
	Stop        pipeline.StopKind `json:"stop,omitempty"`   // why it stopped before the end; empty: it did not
	Excess      int64             `json:"excess,omitempty"` // credits beyond what the events explain
	// Of the rows: those of new events, and of known ones with other contents; and the events that were
	// paid for although the lake had them.
	New     int64 `json:"new,omitempty"`
	Changed int64 `json:"changed,omitempty"`
	Known   int64 `json:"known,omitempty"`
	// Pairs of entity and signal type that returned as many events as --max-results allows.
	Capped int64 `json:"capped_pairs,omitempty"`
	// In how many ways its answers differ from what the schema knew.
	Drift int `json:"drift,omitempty"`
}

// HasEvents reports whether the parts of the events are known: an earlier version did not note them.
func (t *Totals) HasEvents() bool { return t.New+t.Changed == t.Events }

// tooManyRequests is the HTTP status of a refusal by the rate limits.
const tooManyRequests = 429

// newTotals sums up a manifest.
func newTotals(m *pipeline.Manifest) *Totals {
	t := &Totals{
		Lines: m.Accounts.Lines, Calls: m.Calls.Total, RateLimited: m.Calls.ByStatus[tooManyRequests],
		Credits: m.Credits.Charged, Events: m.Events.Written, Excess: m.Credits.Excess,
		New: m.Events.New, Changed: m.Events.Changed, Known: m.Events.Known, Capped: m.Events.CappedPairs,
	}
	if m.Run.Stop != nil {
		t.Stop = m.Run.Stop.Kind
	}
	if m.Drift != nil {
		t.Drift = m.Drift.Differences
	}
	return t
}
