package ledger

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// SalvageOptions of a damaged ledger. Decode must be set.
type SalvageOptions struct {
	Decode Decode
	Now    func() time.Time // nil means time.Now
	// What the lake's manifests say about its runs: it shows what is missing, and stands in for
	// records of runs.
	Published []*pipeline.Manifest
	// Statuses counts the lines of a run by their status, as the ledger yields them; an error that is
	// ErrPruned: it cannot. nil: lines are not compared with the manifests.
	Statuses func(ctx context.Context, l *Ledger, r *Run) (map[schema.Status]int64, error)
}

// Salvaged says what was kept of a damaged ledger, and what is missing.
type Salvaged struct {
	Records int       `json:"records"` // whole ones in the damaged ledger
	Runs    int       `json:"runs"`    // in the new ledger
	Calls   int       `json:"calls"`   // likewise
	Charged int64     `json:"credits"` // of the calls with an answer
	Gaps    []wal.Gap `json:"gaps"`
	Lost    []Loss    `json:"lost"`
	// Records that a process wrote after another one had taken over.
	Late int `json:"late"`
	// Runs with a beginning that is missing: what manifests and later records say stands for it.
	Restored []string `json:"runs_restored"`
	// Bounds on the cost of unsettled calls, by the account's usage, that no longer hold.
	Bounds int `json:"bounds_dropped"`
}

// IsComplete reports whether nothing is missing.
func (s *Salvaged) IsComplete() bool { return len(s.Gaps) == 0 && len(s.Lost) == 0 }

// Loss is a paid or perhaps paid call of which something is missing, or lines of a run that are missing.
type Loss struct {
	Run     string `json:"run"`
	Call    string `json:"call"` // empty: of lines
	What    string `json:"missing"`
	Credits *int64 `json:"credits"`                // charged, as an outcome or a manifest states; null: unknown
	MaxCost int64  `json:"credits_most,omitempty"` // its ceiling, where its intent is there
	// It is held as a call in doubt. Any other loss may be bought again.
	InDoubt bool  `json:"held"`
	Lines   int64 `json:"lines,omitempty"` // without the status that they were published with; 0: of a call
}

// Salvage writes every whole record of a damaged ledger into an empty store, so that it can be
// opened, and says what is missing. A call without its answer is in doubt. It reads nothing but the
// ledger, and changes nothing in it.
func Salvage(ctx context.Context, from, to wal.Store, o SalvageOptions) (*Salvaged, error) {
	log, err := wal.Open(ctx, to, wal.Options{})
	if err != nil {
		return nil, err
	}
	s := &salvager{
		log: log, published: map[string]*pipeline.Manifest{}, result: &Salvaged{},
		specs: map[string]json.RawMessage{}, answered: map[string]bool{}, pieces: map[string]int{}, charged: map[string]bool{}, prepared: map[string]bool{}, commits: map[string]bool{},
		late: map[string]bool{}, recorded: map[string]bool{},
		begun: map[string]bool{}, calls: map[string]*salvagedCall{}, texts: map[string]int{}, numbers: map[int]int{}, lost: map[string]int{},
	}
	for _, m := range o.Published {
		if !m.Run.Kind.IsMaintenance() {
			s.published[m.Run.ID] = m
		}
	}
	err = s.salvage(ctx, from, o)
	return s.result, errors.Join(err, log.Close())
}

func (s *salvager) salvage(ctx context.Context, from wal.Store, o SalvageOptions) (err error) {
	if s.result.Gaps, err = wal.Salvage(ctx, from, s.survey); err != nil {
		return err
	}
	if _, err := wal.Salvage(ctx, from, s.write); err != nil {
		return err
	}
	if err := s.restorePublished(o); err != nil {
		return err
	}
	if err := s.log.Flush(); err != nil {
		return err
	}
	l, err := load(ctx, s.log, Options{Decode: o.Decode, Now: o.Now})
	if err != nil {
		return err
	}
	if err := recoverCalls(ctx, l, false); err != nil {
		return err
	}
	if err := s.comparePublished(ctx, l); err != nil {
		return err
	}
	if err := s.restoreRepartition(l); err != nil {
		return err
	}
	if err := s.compareStatuses(ctx, l, o); err != nil {
		return err
	}
	for i := range s.result.Lost {
		if err := s.recordLoss(l, &s.result.Lost[i]); err != nil {
			return err
		}
	}
	s.result.Runs, s.result.Calls = len(l.state.runs), len(l.state.calls)
	for _, c := range l.state.calls {
		if c.Outcome == pipeline.Charged {
			s.result.Charged += c.Charge.Credits
		}
	}
	return nil
}

// salvager writes the whole records of a damaged ledger into a new one.
type salvager struct {
	log       *wal.Log
	published map[string]*pipeline.Manifest // by run
	result    *Salvaged

	// What survey finds. Calls are named as write names them.
	specs    map[string]json.RawMessage // the first head of each run
	pieces   map[string]int             // of answers, by call
	answered map[string]bool            // calls with an answer
	charged  map[string]bool            // calls with an outcome that says so
	prepared map[string]bool            // runs with a prepared manifest
	commits  map[string]bool            // runs that are recorded as published
	late     map[string]bool            // calls with a late intent
	recorded map[string]bool            // queries with a record, by their text

	begun       map[string]bool
	calls       map[string]*salvagedCall
	queries     []pipeline.Query // of the new ledger
	texts       map[string]int   // their numbers, by their text
	numbers     map[int]int      // the same, by their numbers in the damaged ledger
	lateNumbers map[int]int      // those of a process that had been taken over; nil outside of its records
	lost        map[string]int   // places in result.Lost, by call
}

// salvagedCall is a call with an intent.
type salvagedCall struct {
	ceiling    int64
	identities []byte // requested; of a call without an answer
}

// salvagedHead has the fields that the heads of most records share.
type salvagedHead struct {
	callHead
	From    string `json:"from"` // of a reconciliation
	By      string `json:"by"`   // of a reread: the run that publishes it
	Credits *int64 `json:"credits"`
	Problem string `json:"problem"`
	Pieces  int    `json:"pieces"` // of a response
}

// callName is the name of the call that a record is about. The numbers of late calls may be those
// of other calls, made by the process that had taken over, so their names are their own.
func (s *salvager) callName(r *wal.SalvagedRecord, h callHead) callHead {
	late := callHead{h.Run, fmt.Sprintf("%s-late%s", h.Call, r.Segment)}
	if r.Late && s.late[late.name()] {
		return late
	}
	return h
}

func (h callHead) name() string { return h.Run + "/" + h.Call }

// survey notes what is there, before anything is written.
func (s *salvager) survey(r wal.SalvagedRecord) error {
	if kind(r.Kind) == kindCheckpoint {
		return nil // it holds nothing of its own, and the positions in it are those of this log
	}
	if s.result.Records++; r.Late {
		s.result.Late++
	}
	var h salvagedHead
	if err := json.Unmarshal(r.Head, &h); err != nil {
		return fmt.Errorf("%s: %w: %w", r.At, wal.ErrCorrupt, err)
	}
	switch kind(r.Kind) {
	case kindRun:
		if s.specs[h.Run] == nil {
			s.specs[h.Run] = r.Head
		}
	case kindQuery:
		var q queryRecord
		if err := json.Unmarshal(r.Head, &q); err != nil {
			return err
		}
		text, err := json.Marshal(&q.Query)
		s.recorded[string(text)] = true
		return err
	case kindIntent:
		if r.Late {
			s.late[callHead{h.Run, fmt.Sprintf("%s-late%s", h.Call, r.Segment)}.name()] = true
		}
	case kindPiece:
		s.pieces[s.callName(&r, h.callHead).name()]++
	case kindResponse: // of a long answer it is the last piece
		name := s.callName(&r, h.callHead).name()
		s.answered[name] = s.pieces[name] == h.Pieces
	case kindCharged:
		s.charged[s.callName(&r, h.callHead).name()] = true
	case kindPrepare:
		s.prepared[h.Run] = true
	case kindCommit:
		s.commits[h.Run] = true
	}
	return nil
}

// write writes a record, if what it refers to is there.
func (s *salvager) write(r wal.SalvagedRecord) error {
	if kind(r.Kind) == kindCheckpoint {
		return nil
	}
	switch {
	case r.Late && s.lateNumbers == nil:
		s.lateNumbers = maps.Clone(s.numbers)
	case !r.Late:
		s.lateNumbers = nil
	}
	var h salvagedHead
	if err := json.Unmarshal(r.Head, &h); err != nil {
		return err
	}
	switch k := kind(r.Kind); {
	case k == kindRun:
		s.begun[h.Run] = true
		return s.add(k, r.Head, r.Body)
	case k == kindQuery:
		var q queryRecord
		if err := json.Unmarshal(r.Head, &q); err != nil {
			return err
		}
		_, err := s.addQuery(q.Number, &q.Query)
		return err
	case k == kindIntent:
		return s.writeIntent(&r)
	case k == kindReconciliation:
		return s.writeReconciliation(&r, h.From)
	case k == kindLoss || k == kindPrune || k == kindRepartition || k == kindErasure:
		return s.add(k, r.Head, r.Body)
	case h.Call != "":
		return s.writeCall(&r, &h)
	case k == kindCommit && !s.prepared[h.Run]:
		if err := s.restorePrepare(h.Run); err != nil {
			return err
		}
	}
	if err := s.ensureRun(h.Run); err != nil {
		return err
	}
	if err := s.add(kind(r.Kind), r.Head, r.Body); err != nil || kind(r.Kind) != kindPrepare {
		return err
	}
	return s.restoreCommit(h.Run) // here, since decisions that follow are no part of what was published
}

func (s *salvager) add(k kind, head, body []byte) error {
	_, err := s.log.Write(byte(k), head, body)
	return err
}

func (s *salvager) addJSON(k kind, head any, body []byte) error {
	text, err := json.Marshal(head)
	if err != nil {
		return err
	}
	return s.add(k, text, body)
}

// ensureRun writes the beginning of a run, if it is missing before the first record about it.
func (s *salvager) ensureRun(id string) error {
	if s.begun[id] {
		return nil
	}
	s.begun[id] = true
	s.result.Restored = append(s.result.Restored, id)
	if spec := s.specs[id]; spec != nil { // of a later session
		return s.add(kindRun, spec, nil)
	}
	spec := pipeline.RunSpec{ID: id, Session: 1, URI: "unknown: its record was lost"}
	for _, other := range s.specs {
		var o pipeline.RunSpec
		if err := json.Unmarshal(other, &o); err != nil {
			return err
		}
		spec.Simulated, spec.Endpoint = o.Simulated, o.Endpoint // a lake has one kind
		break
	}
	if m := s.published[id]; m != nil {
		spec.Started, spec.URI, spec.Input, spec.Queries, spec.Versions = m.Run.Started, m.Input.URI, m.Input.SHA256, m.Queries, m.Versions
		spec.Endpoint, spec.APIChoice, spec.Continues, spec.Simulated = m.Run.Endpoint, m.Run.APIChoice, m.Run.Continues, m.Run.Simulated
		spec.Partition, spec.Inbox = m.PartitionKey(), m.Run.Inbox
		if m.Run.Kind == pipeline.RereadGeneration {
			spec.Continues, spec.Rereads = "", m.Run.Continues
		}
	}
	return s.addJSON(kindRun, spec, nil)
}

// restorePublished writes what is missing about the publication of runs.
func (s *salvager) restorePublished(o SalvageOptions) error {
	for _, m := range o.Published {
		id := m.Run.ID
		if s.published[id] != m {
			continue
		}
		if !s.prepared[id] {
			if err := s.restorePrepare(id); err != nil {
				return err
			}
		}
		if err := s.restoreCommit(id); err != nil {
			return err
		}
	}
	return nil
}

// restoreCommit writes that a run is published, if it is and its record of that is missing.
func (s *salvager) restoreCommit(id string) error {
	m := s.published[id]
	if m == nil || s.commits[id] {
		return nil
	}
	s.commits[id] = true
	return s.addJSON(kindCommit, commitOf(id, m, m.Run.Finished), nil)
}

// restorePrepare writes the manifest that a published run prepared.
func (s *salvager) restorePrepare(id string) error {
	m := s.published[id]
	if m == nil {
		return nil
	}
	s.prepared[id] = true
	if err := s.ensureRun(id); err != nil {
		return err
	}
	body, err := encodeBody(m)
	if err != nil {
		return err
	}
	return s.addJSON(kindPrepare, prepareRecord{Run: id, Files: len(m.Files), Time: m.Run.Finished}, body)
}

// restoreRepartition records a repartition of which the record is missing: the files of published runs
// have other partitions than the runs began with.
func (s *salvager) restoreRepartition(l *Ledger) error {
	for _, r := range l.state.runs {
		m := s.published[r.ID]
		if m == nil {
			continue
		}
		if by := m.PartitionKey(); by != "" && by != r.PartitionKey() {
			at, err := recordRepartition(s.log, repartitionRecord{by, len(l.state.runs), l.now().UTC()})
			l.state.repartition(by, at)
			return err
		}
	}
	return nil
}

// addQuery gives a query its number in the new ledger.
func (s *salvager) addQuery(old int, q *pipeline.Query) (number int, err error) {
	text, err := json.Marshal(q)
	if err != nil {
		return 0, err
	}
	number = s.texts[string(text)]
	if number == 0 {
		s.queries = append(s.queries, *q)
		number = len(s.queries)
		s.texts[string(text)] = number
		if err := s.addJSON(kindQuery, queryRecord{number, *q}, nil); err != nil {
			return 0, err
		}
	}
	s.queryNumbers()[old] = number
	return number, nil
}

// queryNumbers are those that count for the record that is written.
func (s *salvager) queryNumbers() map[int]int {
	if s.lateNumbers != nil {
		return s.lateNumbers
	}
	return s.numbers
}

// writeIntent writes an intent, under the number that its query has in the new ledger.
func (s *salvager) writeIntent(r *wal.SalvagedRecord) error {
	var h intentRecord
	if err := json.Unmarshal(r.Head, &h); err != nil {
		return err
	}
	var items []pipeline.Item
	if err := decodeBody(r.Body, &items); err != nil {
		return err
	}
	name := s.callName(r, callHead{h.Run, h.Call})
	if err := s.ensureRun(h.Run); err != nil {
		return err
	}
	number := s.queryNumbers()[h.Query]
	if q := s.guessQuery(&h, items); number == 0 && q != nil {
		var err error
		if number, err = s.addQuery(h.Query, q); err != nil {
			return err
		}
	}
	if number == 0 {
		s.addLoss(Loss{Run: name.Run, Call: name.Call, What: "the query", MaxCost: h.Ceiling})
		return nil
	}
	c := &salvagedCall{ceiling: h.Ceiling}
	if !s.answered[name.name()] {
		c.identities = requestedIdentities(s.queries[number-1].Object, items)
	}
	s.calls[name.name()] = c
	if number == h.Query && name.Call == h.Call {
		return s.add(kindIntent, r.Head, r.Body)
	}
	h.Query, h.Call = number, name.Call
	return s.addJSON(kindIntent, h, r.Body)
}

// guessQuery finds the query of an intent without the record of it: the only one of the run that
// has no record, and with which the call could have cost what its intent says.
func (s *salvager) guessQuery(h *intentRecord, items []pipeline.Item) (only *pipeline.Query) {
	var spec pipeline.RunSpec
	if raw := s.specs[h.Run]; raw == nil || json.Unmarshal(raw, &spec) != nil {
		if m := s.published[h.Run]; m != nil {
			spec.Queries = m.Queries
		}
	}
	for i := range spec.Queries {
		q := &spec.Queries[i]
		text, err := json.Marshal(q)
		if err != nil || s.recorded[string(text)] {
			continue
		}
		if b := (&pipeline.Batch{Query: q, ByID: h.ByID, Items: items}); b.Ceiling() == h.Ceiling {
			if only != nil {
				return nil
			}
			only = q
		}
	}
	return only
}

// requestedIdentities are those that a call requested.
func requestedIdentities(o schema.Object, items []pipeline.Item) (all []byte) {
	for i := range items {
		identity := pipeline.IdentityOf(&items[i].Account)
		all = append(all, identity[:]...)
		if items[i].ID != "" {
			identity = pipeline.IdentityByID(o, items[i].ID)
			all = append(all, identity[:]...)
		}
	}
	return all
}

// writeReconciliation writes a bound on the cost of the calls before it. If anything is missing it
// may be too low: a call without its answer is in doubt now, and was not when the bound was read.
func (s *salvager) writeReconciliation(r *wal.SalvagedRecord, from string) error {
	if !s.begun[from] || len(s.result.Gaps) > 0 || r.Late || s.result.Late > 0 {
		s.result.Bounds++
		return nil
	}
	return s.add(kindReconciliation, r.Head, r.Body)
}

// writeCall writes a record about a call, if its intent is there.
func (s *salvager) writeCall(r *wal.SalvagedRecord, h *salvagedHead) error {
	name, k := s.callName(r, h.callHead), kind(r.Kind)
	c := s.calls[name.name()]
	if c == nil {
		s.addLoss(Loss{Run: name.Run, Call: name.Call, What: "its request", Credits: chargeOf(k, h)})
		return nil
	}
	head, body := r.Head, r.Body
	if name.Call != h.Call {
		var err error
		if head, err = renameCall(head, name.Call); err != nil {
			return err
		}
	}
	if s.answered[name.name()] {
		switch {
		case k == kindInDoubt && s.charged[name.name()]:
			return nil // of a process that had taken over before the answer was recorded
		case k == kindReread:
			if err := s.ensureRun(h.By); err != nil {
				return err
			}
		}
		if r.Pruned {
			_, err := s.log.WritePruned(byte(k), head)
			return err
		}
		return s.add(k, head, body)
	}
	switch {
	case k == kindReread:
		s.addLoss(Loss{Run: name.Run, Call: name.Call, What: "its answer", Credits: h.Credits, MaxCost: c.ceiling, InDoubt: true})
		return nil
	case k == kindCharged:
		s.addLoss(Loss{Run: name.Run, Call: name.Call, What: "its answer", Credits: chargeOf(k, h), MaxCost: c.ceiling, InDoubt: true})
		return s.addJSON(kindInDoubt, outcomeRecord{callHead: name, Problem: lostAnswer(h.Credits)}, c.identities)
	case k == kindNotCharged && h.Problem != notSent:
		body = nil // its answer said what it decided
	case k == kindResponse, k > kindReconciliation: // a part of an answer, or about one, which is not all there
		return nil
	}
	return s.add(k, head, body)
}

// lostAnswer says why a call is in doubt.
func lostAnswer(credits *int64) string {
	if credits == nil {
		return "its answer is missing from the journal, which was salvaged; it was charged"
	}
	return fmt.Sprintf("its answer is missing from the journal, which was salvaged; it was charged %d credits", *credits)
}

// chargeOf is the charge that an outcome states.
func chargeOf(k kind, h *salvagedHead) *int64 {
	if k == kindCharged {
		return h.Credits
	}
	return nil
}

// renameCall replaces the call in a head.
func renameCall(head []byte, call string) ([]byte, error) {
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(head, &fields); err != nil {
		return nil, err
	}
	text, err := json.Marshal(call)
	if err != nil {
		return nil, err
	}
	fields["call"] = text
	return json.Marshal(fields)
}

// addLoss notes what is missing of a call, once.
func (s *salvager) addLoss(l Loss) {
	name := callHead{l.Run, l.Call}.name()
	at, known := s.lost[name]
	if !known {
		s.lost[name] = len(s.result.Lost)
		s.result.Lost = append(s.result.Lost, l)
		return
	}
	if s.result.Lost[at].Credits == nil {
		s.result.Lost[at].Credits = l.Credits
	}
}

// comparePublished notes the calls that manifests name and the new ledger lacks, or has without an
// answer. What an earlier salvage has lost was accepted.
func (s *salvager) comparePublished(ctx context.Context, l *Ledger) error {
	for _, id := range slices.Sorted(maps.Keys(s.published)) {
		r, err := l.state.findRun(id)
		if err != nil {
			return err // not possible: restorePublished has begun it
		}
		accepted := l.Losses().calls(r)
		for i := range s.published[id].PerCall {
			if listed := &s.published[id].PerCall[i]; !accepted[listed.ID] {
				if err := s.compareCall(ctx, l, r, listed); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// compareCall notes what is missing of a call that a published run names. If it is the record that
// the run read the call's answer again, it is read once more.
func (s *salvager) compareCall(ctx context.Context, l *Ledger, r *Run, listed *pipeline.CallSummary) error {
	run := cmp.Or(r.Rereads, r.ID)
	n := l.state.callNumbers[run+"/"+listed.ID]
	if n == 0 {
		s.addLoss(Loss{Run: run, Call: listed.ID, What: "all of it", Credits: listed.Credits})
		return nil
	}
	c := l.state.calls[n-1]
	if listed.Outcome != pipeline.Charged || c.Outcome == pipeline.Charged {
		return nil
	}
	loss := Loss{Run: run, Call: listed.ID, What: "its answer", Credits: listed.Credits, MaxCost: c.Ceiling, InDoubt: true}
	if c.isRereadable() {
		x, err := l.Rereader().Read(ctx, c)
		if err != nil {
			return err
		}
		if x.Outcome == pipeline.Charged {
			return l.Recorder(r).RecordReread(x)
		}
		loss.What = "how its answer was read" // by a later version than this one
	}
	s.addLoss(loss)
	return nil
}

// compareStatuses notes the lines of published runs that the new ledger yields no longer, or with another
// status: those that no answer decides have records of their own. The lines of a run that lost calls, or
// lines in an earlier salvage, are not compared: nothing compares or rebuilds such a run.
func (s *salvager) compareStatuses(ctx context.Context, l *Ledger, o SalvageOptions) error {
	if o.Statuses == nil {
		return nil
	}
	if err := s.log.Flush(); err != nil {
		return err
	}
	for _, r := range l.state.runs {
		m := s.published[r.ID]
		if m == nil || !l.Losses().Of(r).IsNone() || slices.ContainsFunc(s.result.Lost, func(loss Loss) bool { return loss.concerns(r) }) {
			continue
		}
		statuses, err := o.Statuses(ctx, l, r)
		if errors.Is(err, ErrPruned) {
			continue
		}
		if err != nil {
			return err
		}
		var missing int64
		for status, n := range m.Accounts.ByStatus {
			missing += max(0, n-statuses[status])
		}
		if missing > 0 {
			s.addLoss(Loss{Run: r.ID, What: "the status of lines", Credits: new(int64), Lines: missing})
		}
	}
	return nil
}

// recordLoss records durably that something is missing, and that this was accepted.
func (s *salvager) recordLoss(l *Ledger, loss *Loss) error {
	head, err := json.Marshal(lossRecord{*loss, l.now().UTC()})
	if err != nil {
		return err
	}
	if _, err := l.log.Append(byte(kindLoss), head, nil); err != nil {
		return err
	}
	l.state.losses = append(l.state.losses, *loss)
	return nil
}
