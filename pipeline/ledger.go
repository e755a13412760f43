package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"iter"
	"slices"
	"strings"

	"github.com/siglake/siglake/schema"
)

// Purchases says what was bought, by this run and by others. It is used by one goroutine.
type Purchases interface {
	// Coverage says what part of a query about an account was bought before, by the account's own
	// identifier or by another one of the entity that a search found for it. It reads recorded
	// answers; one that cannot be read, also because ctx is done, counts as not bought.
	Coverage(ctx context.Context, a *schema.Account, q *Query) Coverage
	// Resolve says what searches have found for an account's identifier, and whether that is still
	// valid. Answers are read as by Coverage.
	Resolve(ctx context.Context, a *schema.Account) Resolution
	// Suppressed says why nothing may be asked about an account, ever; empty: it may.
	Suppressed(ctx context.Context, a *schema.Account) (reason string)
	// Entity is the entity of an account as earlier answers state it, however old they are; without an
	// ID if none states it. Answers are read as by Coverage.
	Entity(ctx context.Context, a *schema.Account) schema.Entity
}

// Ledger records what a run does, and lets it survive its process. It is used by one goroutine.
type Ledger interface {
	// RecordLines records the status of lines that no answer decides. It need not be durable before
	// Prepare: until then the list still has the lines.
	RecordLines(lines []Line) error
	// Prepare records durably that m's files are staged. From then on the run will be published,
	// whatever happens.
	Prepare(m *Manifest) error
	// Commit records that m is published.
	Commit(m *Manifest) error
}

// Schedule decides, in place of one window for all, what a run asks about each pair of account and
// signal type. It is used by one goroutine.
type Schedule interface {
	// Due says what of a query to ask about an account.
	Due(ctx context.Context, a *schema.Account, q *Query) Due
}

// Due is what to ask about one account. Its questions have no signal type in common.
type Due struct {
	Questions []Question
	// Why there are none.
	Reason string
	// A call without an answer that may have bought all that is due; nil: none.
	InDoubt *InDoubtCall
	// Some of what is asked is in a call that got no answer, and may be paid for twice.
	RiskOfDoubleCharge bool
}

// Question asks about some signal types with one window, which ends with the query's.
type Question struct {
	Types []string // in the order of the query's
	Since string   // first day of the window
	// The types may be asked in several calls, if few accounts have the same question.
	Divisible bool
	// It asks for days that were asked before, to find what was missed.
	Audit bool
}

// Coverage is what was bought for one account before. The zero value: nothing.
type Coverage struct {
	// One for each signal type of the query, in its order; nil: nothing was bought.
	Signals []SignalCoverage
	// The call that answered types that are Empty or Full, as "run/call".
	Call string
	// Some of the missing types are in a call that got no answer and may be paid for twice: they
	// are requested in small batches.
	RiskOfDoubleCharge bool
	// If that answer was cut: the most entities of a batch, fewer than its own, so that it is not
	// cut again; 0: no answer was.
	MaxBatch int
	// If even the answer to a batch of one was cut: the most signal types to request at a time, fewer
	// than its own; 0: no such answer was.
	MaxTypes int
	// An answer with more than this many results of a type was cut, so that no more can be had of it;
	// 0: no such answer was.
	Truncated int
	// A call that may have been charged for missing types and has no answer, with its run,
	// without its accounts; one that was written off only if nothing is missing; nil: none.
	InDoubt *InDoubtCall
	// Undecided calls with windows that overlap the query's, for missing types, that hold nothing:
	// those of other days, because another day's window is another purchase, and those that a refresh
	// repeats. The events of the shared days may be paid for twice. A call may be listed more than once.
	RepeatedInDoubt []*InDoubtCall
}

// SignalCoverage is what was bought of one signal type for one account.
type SignalCoverage struct {
	State CoverageState
	// The highest lower cap that was reached, if CoverageCapped.
	Cap int
	// If the answer to a request for this type alone was cut: the most results to request, fewer than
	// its own; 0: no such answer was.
	MaxResults int
	// The type is missing, and was bought the same day with a lower cap, a shorter window or
	// another filter: its events are paid for again.
	Repurchased bool
}

// CoverageState says how far earlier calls answer a query for one signal type. The type is missing
// if it is CoverageNone or CoverageCapped.
type CoverageState uint8

// The states, in ascending order of what is known.
const (
	// Nothing was bought that answers it.
	CoverageNone CoverageState = iota
	// It was requested with a lower cap, which was reached: there may be more events.
	CoverageCapped
	// It was requested and written off as charged and lost.
	CoverageWrittenOff
	// It was requested with a lower cap and has no events: to request it again costs nothing.
	CoverageEmpty
	// A further call cannot return anything that is missing.
	CoverageFull
)

// signal is the coverage of the i-th signal type of the query.
func (c *Coverage) signal(i int) SignalCoverage {
	if c.Signals == nil {
		return SignalCoverage{}
	}
	return c.Signals[i]
}

// Missing returns the signal types of the query that must be requested, in its order.
func (c *Coverage) Missing(q *Query) []string {
	if c.Signals == nil {
		return q.ResultTypes()
	}
	return c.signalsWhere(q, func(s CoverageState) bool { return s <= CoverageCapped })
}

func (c *Coverage) signalsWhere(q *Query, include func(CoverageState) bool) (signals []string) {
	for i, s := range c.Signals {
		if include(s.State) {
			signals = append(signals, q.ResultTypes()[i])
		}
	}
	return signals
}

// needsNoCall reports whether a line has a status without a further call: it is answered, in doubt
// or written off.
func (c *Coverage) needsNoCall(q *Query) bool { return c.InDoubt != nil || len(c.Missing(q)) == 0 }

// Resolution is what is known about an identifier. The zero value: nothing, or no longer, and a
// search is allowed.
type Resolution struct {
	Entity schema.Entity // with its ID; empty if none was found
	// Status without an ID to request by: NotFound, Restricted, InDoubt or WrittenOff.
	Status schema.Status
	Reason string
	// The call that decided it, as "run/call".
	Call    string
	InDoubt *InDoubtCall // the search in doubt
	// Undecided searches that a refresh repeats.
	RepeatedInDoubt []*InDoubtCall
	// A search for it got no answer and may be paid for twice: it is requested in small batches.
	RiskOfDoubleCharge bool
}

// isKnown reports whether no search is needed.
func (i *Resolution) isKnown() bool { return i.Entity.ID != "" || i.Status != "" }

// Line is a line of the list with its status.
type Line struct {
	Account     schema.Account `json:"account"`
	Status      schema.Status  `json:"status"`
	Reason      string         `json:"reason,omitempty"`
	DuplicateOf int64          `json:"duplicate_of,omitempty"` // row of the earlier line, for duplicates
	Call        string         `json:"call,omitempty"`         // the call of this run that decided the status
	// The call of an earlier run because of which the line is in doubt: it may be paid for already.
	InDoubt *InDoubtCall `json:"doubt,omitempty"`
	// What earlier answers state about the entity; nil: nothing is known.
	Entity *schema.Entity `json:"entity,omitempty"`

	UnknownFields json.RawMessage `json:"extra,omitempty"` // as in ItemReply
	Warnings      []string        `json:"notes,omitempty"` // as in ItemReply

	// The first signal type of one of several questions about the line: the status is that of the
	// question. Empty: it is the line's.
	Part string `json:"part,omitempty"`
}

// AnsweredBatch is an earlier call, with its recorded answer.
type AnsweredBatch struct {
	Batch *Batch
	Reply *Reply
}

// RecordedAnswer is an earlier call that is read when its turn comes near.
type RecordedAnswer struct {
	Entities int   // that were requested
	Length   int64 // of the answer in bytes
	// Reads and decodes it. Several goroutines may read an answer each.
	Read func(context.Context) (AnsweredBatch, error)
}

// RunLog is what a run did before its process ended. Answers come in an order that depends on the
// run alone. Lines are those that the run's last process passed to RecordLines.
type RunLog struct {
	Answers iter.Seq2[RecordedAnswer, error]
	Lines   iter.Seq2[Line, error]
}

// Identity identifies what is requested: object, kind of identifier and normalised identifier. A
// collision would lose a line; at 96 bits the probability of one in a hundred million lines is
// 6e-14.
type Identity [12]byte

// IdentityOf is the identity of an account by the identifier that is requested.
func IdentityOf(a *schema.Account) Identity {
	kind := a.Identifier()
	return newIdentity(a.Object, kind, identifierText(a, kind))
}

// IdentityByID is the identity of an entity with an id of the API.
func IdentityByID(o schema.Object, id string) Identity { return newIdentity(o, schema.ByID, id) }

// IdentifierText is the identifier of an account as it is requested, in the form that the accounts table
// has.
func IdentifierText(a *schema.Account) string { return identifierText(a, a.Identifier()) }

// IdentityOfText is the identity of an identifier that is normalised, as those of the accounts table are.
func IdentityOfText(o schema.Object, kind schema.Identifier, text string) Identity {
	return newIdentity(o, kind, text)
}

func newIdentity(o schema.Object, kind schema.Identifier, text string) Identity {
	if kind == schema.ByName {
		// The others are normalised by their source, and ids are opaque.
		text = strings.ToLower(text)
	}
	var short [128]byte // longer ones are rare
	b := short[:0]
	for _, part := range [...]string{string(o), string(kind), text} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part))) //nolint:gosec // cells are at most 64 KiB
		b = append(b, part...)
	}
	sum := sha256.Sum256(b)
	return Identity(sum[:12])
}

// NoPurchases are those of a lake in which nothing was bought.
var NoPurchases Purchases = noLedger{}

// noLedger is the Ledger and the Purchases of a run without them.
type noLedger struct{}

func (noLedger) Coverage(context.Context, *schema.Account, *Query) Coverage { return Coverage{} }
func (noLedger) Resolve(context.Context, *schema.Account) Resolution        { return Resolution{} }
func (noLedger) Entity(context.Context, *schema.Account) schema.Entity      { return schema.Entity{} }
func (noLedger) Suppressed(context.Context, *schema.Account) string         { return "" }
func (noLedger) RecordLines([]Line) error                                   { return nil }
func (noLedger) Prepare(*Manifest) error                                    { return nil }
func (noLedger) Commit(*Manifest) error                                     { return nil }

// isReplayable reports whether a status follows from a recorded answer alone, so that decoding the
// answer again yields it again. An id that was found decides a line only in a run that requests
// nothing else.
func isReplayable(s schema.Status) bool {
	return slices.Contains([]schema.Status{schema.Enriched, schema.NoSignal, schema.NotFound, schema.Restricted, schema.Resolved, schema.InDoubt}, s)
}

// unreplayableLines are the lines of a batch with a status that the answers alone do not yield
// again: results of bisection, and lines that were not requested.
func unreplayableLines(b *Batch, reply *Reply) (lines []Line) {
	for i := range reply.Items {
		a := &reply.Items[i]
		if !isReplayable(a.Status) || a.Status == schema.Restricted { // bisection may have found it
			lines = append(lines, lineOf(b, i, a))
		}
	}
	return lines
}

// lineOf is the line of an item, with everything that its row says.
func lineOf(b *Batch, i int, a *ItemReply) Line {
	l := Line{Account: b.Items[i].Account, Status: a.Status, Reason: a.Reason, Call: a.CallID, UnknownFields: a.UnknownFields, Warnings: a.Warnings}
	if b.Items[i].Part {
		l.Part = b.Query.ResultTypes()[0]
	}
	if a.Entity != (schema.Entity{}) {
		l.Entity = &a.Entity
	}
	return l
}

// rowSet is a set of rows.
type rowSet []uint64

func (r *rowSet) add(row int64) {
	for int64(len(*r)) <= row/64 {
		*r = append(*r, 0)
	}
	(*r)[row/64] |= 1 << (row % 64)
}

func (r rowSet) has(row int64) bool {
	return row/64 < int64(len(r)) && r[row/64]&(1<<(row%64)) != 0
}
