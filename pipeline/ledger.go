package pipeline

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"iter"
	"slices"
	"strings"

	"github.com/siglake/siglake/schema"
)

// Ledger remembers what was asked, by this run and by others, and makes a run
// outlive its process. One goroutine uses it.
type Ledger interface {
	// Coverage says what of a question about an account has been asked before.
	Coverage(a *schema.Account, q *Query) Coverage
	// Resolve says what searches have found out about an account's identifier,
	// and whether that still counts.
	Resolve(a *schema.Account) Resolution
	// RecordLines writes down the fates of lines that no answer decides. It need not
	// be durable before Prepare: until then the list still has the lines.
	RecordLines(lines []Line) error
	// Prepare makes durable that m's files are staged. From here on the run is
	// published whatever happens.
	Prepare(m *Manifest) error
	// Commit notes that m is published.
	Commit(m *Manifest) error
}

// Coverage is what was asked about one account before. Nothing asked: all of the
// query's signal types are missing.
type Coverage struct {
	Missing            []string       // signal types of the query that nobody asked about in its window, in its order; not those taken as paid and lost
	Call               string         // the call that answered others, as "run/call"
	Repurchased        int            // of the missing ones, how many were bought the same day with a lower cap, a shorter window or another filter: their events are paid again
	Capped             map[string]int // of those, the ones that reached a lower cap, and that cap
	Empty              []string       // types that are not missing, asked with a lower cap, of which there was nothing: asking along costs nothing
	RiskOfDoubleCharge bool           // some of what is missing was asked in vain and may be paid twice: it is asked in small batches
	InDoubt            *InDoubtCall   // a call that may have been charged for others and whose answer is lost, with its run, without its accounts; one that was taken as lost only when nothing is missing; nil when there is none
}

// Resolution is what is known of an identifier. The zero value: nothing is, or
// not any more, and a search may be made.
type Resolution struct {
	Entity             schema.Entity // with its ID; empty when none was found
	Status             schema.Status // when there is no ID to ask by: NotFound, Restricted, Held or Lost
	Reason             string
	Call               string       // that found it out, as "run/call"
	InDoubt            *InDoubtCall // the search that holds it
	RiskOfDoubleCharge bool         // it was searched in vain and may be paid twice: it is asked in small batches
}

// isKnown reports whether no search is to be made.
func (i *Resolution) isKnown() bool { return i.Entity.ID != "" || i.Status != "" }

// Line is a line of the list with its fate.
type Line struct {
	Account     schema.Account `json:"account"`
	Status      schema.Status  `json:"status"`
	Reason      string         `json:"reason,omitempty"`
	DuplicateOf int64          `json:"duplicate_of,omitempty"` // row, for duplicates
	Call        string         `json:"call,omitempty"`         // the call of this run that decided it
	InDoubt     *InDoubtCall   `json:"doubt,omitempty"`        // the call of an earlier run that holds it: it may be paid for already
	Entity      *schema.Entity `json:"entity,omitempty"`       // what is known of it all the same

	UnknownFields json.RawMessage `json:"extra,omitempty"` // as in ItemReply
	Warnings      []string        `json:"notes,omitempty"` // as in ItemReply
}

// AnsweredBatch is a call that was made before, with its answer read again.
type AnsweredBatch struct {
	Batch *Batch
	Reply *Reply
}

// RunLog is what a run did before its process ended. Answers come in an order
// that follows from the run alone; Lines are those that Keep was given by the
// run's last process.
type RunLog struct {
	Answers iter.Seq2[AnsweredBatch, error]
	Lines   iter.Seq2[Line, error]
}

// Identity stands for what is asked about: object, identifier family and the
// normalised identifier. A collision would lose a line; at 96 bits a hundred
// million lines make one with probability 6e-14.
type Identity [12]byte

// IdentityOf is the identity of an account by the identifier it is asked by.
func IdentityOf(a *schema.Account) Identity {
	kind := a.Identifier()
	return newIdentity(a.Object, kind, identifierText(a, kind))
}

// IdentityByID is the identity of whatever bears an id of the API.
func IdentityByID(o schema.Object, id string) Identity { return newIdentity(o, schema.ByID, id) }

func newIdentity(o schema.Object, kind schema.Identifier, text string) Identity {
	if kind == schema.ByName {
		text = strings.ToLower(text) // the others are normalised by their source, and ids are opaque
	}
	h := sha256.New()
	var length [4]byte
	for _, part := range []string{string(o), string(kind), text} {
		binary.BigEndian.PutUint32(length[:], uint32(len(part))) //nolint:gosec // cells are at most 64 KiB
		h.Write(length[:])
		h.Write([]byte(part))
	}
	return Identity(h.Sum(nil)[:12])
}

// noLedger is the Journal of a run without one.
type noLedger struct{}

func (noLedger) Coverage(_ *schema.Account, q *Query) Coverage { return Coverage{Missing: q.Signals} }
func (noLedger) Resolve(*schema.Account) Resolution            { return Resolution{} }
func (noLedger) RecordLines([]Line) error                      { return nil }
func (noLedger) Prepare(*Manifest) error                       { return nil }
func (noLedger) Commit(*Manifest) error                        { return nil }

// isReplayable reports whether a status follows from a recorded answer
// alone, so that reading the answer again gives it again. An id that was found
// settles a line only of a run that asks for nothing else.
func isReplayable(s schema.Status) bool {
	return slices.Contains([]schema.Status{schema.Enriched, schema.NoSignal, schema.NotFound, schema.Restricted, schema.Resolved, schema.InDoubt}, s)
}

// unreplayableLines are the lines of a batch whose fate the answers alone do not give
// again: what bisection found out, what was not asked.
func unreplayableLines(b *Batch, reply *Reply) (lines []Line) {
	for i, a := range reply.Items {
		if !isReplayable(a.Status) || a.Status == schema.Restricted { // which may have been found out by asking about it alone
			lines = append(lines, lineOf(&b.Items[i], &a))
		}
	}
	return lines
}

// lineOf is the line behind an item, with all that its row says.
func lineOf(item *Item, a *ItemReply) Line {
	l := Line{Account: item.Account, Status: a.Status, Reason: a.Reason, Call: a.CallID, UnknownFields: a.UnknownFields, Warnings: a.Warnings}
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
