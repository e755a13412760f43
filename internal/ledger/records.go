package ledger

import (
	"encoding/json"
	"time"

	"github.com/siglake/siglake/internal/forecast"
	"github.com/siglake/siglake/pipeline"
)

// kind says what a record is. The numbers are on disk and never change.
type kind byte

// Every record has a head, a small JSON object, and may have a body.
const (
	kindRun            kind = 1  // a run begins or goes on; head Begin
	kindIntent         kind = 2  // a call is about to be made; head intent, body its items as JSON, zstd
	kindResponse       kind = 3  // what came back; head response, body the answer as received, zstd
	kindCharged        kind = 4  // the answer was read and counts; head settled, body identities
	kindNotCharged     kind = 5  // certainly not charged; head settled, body identities of what it decided all the same
	kindInDoubt        kind = 6  // may have been charged; head settled, body identities
	kindDecision       kind = 7  // somebody decided about a doubt; head resolution
	kindLines          kind = 8  // fates of lines that no call decided; head lines, body the lines, zstd
	kindPrepare        kind = 9  // the run's files are staged and will be published; head prepare, body the manifest, zstd
	kindCommit         kind = 10 // they are published; head Commit
	kindQuery          kind = 11 // a question that intents refer to by its number; head query
	kindReconciliation kind = 12 // what the account's usage says of all that is unsettled before it; head reading
)

// RunStart is the head of a run's first record, and of one more for every process
// that goes on with it.
type RunStart struct {
	ID            string            `json:"run"`
	Session       int               `json:"session"` // 1 for the process that began it
	Started       time.Time         `json:"started"` // of the session
	CommandDigest string            `json:"command"` // digest of the input and of every setting that decides what is bought
	Settings      map[string]string `json:"settings"`
	Input         string            `json:"input"` // SHA-256 of the list's bytes
	URI           string            `json:"uri"`
	Endpoint      string            `json:"endpoint"`
	Queries       []pipeline.Query  `json:"queries"`
	Budget        int64             `json:"budget,omitempty"`            // credits; 0 for none
	Price         int64             `json:"price,omitempty"`             // most credits of one event; 0 when not known: 1
	Prices        map[string]Price  `json:"prices,omitempty"`            // as the account stated them, by action
	UsedCredits   *int64            `json:"used,omitempty"`              // credits the account had used when the run began; absent: not known
	PositiveTTL   time.Duration     `json:"resolve_hits_ns,omitempty"`   // how long ids that were found counted; 0: as usual
	NegativeTTL   time.Duration     `json:"resolve_misses_ns,omitempty"` // and that none was
	Continues     string            `json:"continues,omitempty"`
	APIChoice     string            `json:"api_choice,omitempty"` // which dialect, and why
	Simulated     bool              `json:"simulated,omitempty"`
	Refresh       bool              `json:"refresh,omitempty"`
	Partition     string            `json:"partition,omitempty"` // how its rows are partitioned
	Versions      map[string]string `json:"versions,omitempty"`
}

// Price is what an action costs: Credits for every started PerQuantity; -1 where
// the account does not say.
type Price struct {
	Credits     int64 `json:"credits"`
	PerQuantity int64 `json:"per_quantity"`
}

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

// queryRecord is a question, numbered from 1 in the order of the journal.
type queryRecord struct {
	Number int            `json:"number"`
	Query  pipeline.Query `json:"query"`
}

// responseRecord is a pipeline.Call as the wire gave it.
type responseRecord struct {
	callHead
	Endpoint string           `json:"endpoint"`
	Entities int              `json:"entities"`
	Sent     time.Time        `json:"sent"`
	Duration time.Duration    `json:"duration_ns"`
	Status   int              `json:"status"`
	Outcome  pipeline.Outcome `json:"outcome"` // preliminary: nobody has read the answer yet
	Rate     pipeline.Rate    `json:"rate"`
	Header   json.RawMessage  `json:"header,omitempty"`
	Problem  string           `json:"problem,omitempty"`
}

// callHead is what the heads of all records about a call begin with.
type callHead struct {
	Run  string `json:"run"`
	Call string `json:"call"`
}

// outcomeRecord says what became of a call. The body of its record holds, in 12 bytes
// each, the identities that the answer decided or, for a call in doubt, those
// that were asked about: by the identifier asked by and by the API's id.
type outcomeRecord struct {
	callHead
	Credits *int64                      `json:"credits,omitempty"` // charged; absent when the server's statement was not understood
	Events  map[string]forecast.Moments `json:"events,omitempty"`  // by signal type
	Total   *forecast.Moments           `json:"all,omitempty"`     // of all types together
	Problem string                      `json:"problem,omitempty"`
}

// decisionRecord ends a doubt.
type decisionRecord struct {
	Run      string    `json:"run"`
	Call     string    `json:"call"`
	Decision Decision  `json:"how"`
	Reason   string    `json:"why,omitempty"`
	Time     time.Time `json:"time"`
}

// reconciliationRecord bounds what the calls before it, from a run's first on, can have cost
// beside what answers state.
type reconciliationRecord struct {
	From    string    `json:"from"` // run
	MaxCost int64     `json:"most"` // credits
	Reason  string    `json:"why,omitempty"`
	Time    time.Time `json:"time"`
}

// Decision a doubt ended.
type Decision string

// The ways. A released pair may be bought again; a lost one is taken to be paid
// for and is not asked again in its window.
const (
	Retry      Decision = "released"                  // may be asked again, at the risk of paying twice
	NotCharged Decision = pipeline.DecisionNotCharged // the account's usage shows that nothing was charged
	WriteOff   Decision = "accept_loss"               // taken as paid and lost
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
	Run         string              `json:"run"`
	Generation  int64               `json:"generation"`
	Outcome     pipeline.RunOutcome `json:"outcome"`
	Deferred    int64               `json:"deferred"` // lines left for another run
	Held        int64               `json:"held"`
	Rejected    int64               `json:"rejected,omitempty"`
	BlockedBy   []string            `json:"holds,omitempty"`  // calls of earlier runs, as "run/call", that its lines are held by
	InputUnread bool                `json:"unread,omitempty"` // lines may be left that are in no count: the list was not read to its end
	Time        time.Time           `json:"time"`
}
