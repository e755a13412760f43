package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// Begin makes durable that a run begins, or goes on in another session, and
// makes it the run that the other methods write about.
func (j *Journal) Begin(b Begin) (*Run, error) {
	head, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	if _, err := j.log.append(byte(kindRun), head, nil); err != nil {
		return nil, err
	}
	if err := j.takeRun(&b); err != nil {
		return nil, err
	}
	j.run, err = j.runNamed(b.ID)
	return j.run, err
}

// Attach makes a run of the past the one that the other methods write about.
func (j *Journal) Attach(r *Run) { j.run = r }

// Known says what was asked about an account before, by any run.
func (j *Journal) Known(a *schema.Account, q *pipeline.Query) pipeline.Known {
	return j.known(a, q, func(*Run) bool { return true })
}

// Refreshed is the journal as a run sees it that buys again what was bought
// before: it knows only its own purchases, and those of the runs it continues.
// nil stands for a run that is still to begin. Ids that were found out are
// signals' means and are not bought again, unless ids says that they are what
// the run is about.
func (j *Journal) Refreshed(r *Run, ids bool) pipeline.Journal {
	return refreshed{j, j.Own(r), ids}
}

// Own tells the runs that belong to a purchase that is made again: the run
// itself and those that it continues. nil stands for a run that is still to
// begin.
func (j *Journal) Own(r *Run) func(*Run) bool {
	own := map[string]bool{}
	counts := func(r *Run) bool { return own[r.ID] }
	if r == nil {
		return counts
	}
	for id := r.ID; id != ""; {
		own[id] = true
		old, err := j.runNamed(id)
		if err != nil || !old.Refresh {
			break
		}
		id = old.Continues
	}
	return counts
}

type refreshed struct {
	*Journal
	own func(*Run) bool
	ids bool
}

func (f refreshed) Identify(a *schema.Account) pipeline.Identified {
	if !f.ids {
		return f.Journal.Identify(a)
	}
	return f.identify(a, f.own)
}

func (f refreshed) Known(a *schema.Account, q *pipeline.Query) pipeline.Known {
	return f.known(a, q, f.own)
}

// known says what counts of an account's own identifier, or, where a search has
// found out whose that is, of the entity: it may have been bought by its id, or by
// another name. A question in V3 is asked by id and looks for itself.
func (j *Journal) known(a *schema.Account, q *pipeline.Query, counts func(*Run) bool) pipeline.Known {
	known := j.knownBy(a, q, counts)
	if q.Service != pipeline.Signals || q.Dialect != pipeline.V2 || a.ID != "" || known.Doubt != nil || len(known.Missing) == 0 || !j.searched(a) {
		return known
	}
	if found := j.Identify(a); found.Entity.ID != "" {
		named := *a
		named.ID = found.Entity.ID
		if other := j.knownBy(&named, q, counts); other.Doubt != nil || len(other.Missing) < len(known.Missing) {
			return other
		}
	}
	return known
}

// searched reports whether an account's identifier was ever searched.
func (j *Journal) searched(a *schema.Account) (searched bool) {
	j.mu.Lock() // calls are being added to what is looked through
	defer j.mu.Unlock()
	j.index.calls(pipeline.IdentityOf(a), func(n uint32) {
		searched = searched || j.calls[n-1].Query.Service == pipeline.Search
	})
	return searched
}

func (j *Journal) knownBy(a *schema.Account, q *pipeline.Query, counts func(*Run) bool) (known pipeline.Known) {
	j.mu.Lock() // calls are being added to what is looked through
	defer j.mu.Unlock()
	var calls []*Call
	key := pipeline.IdentityOf(a)
	j.index.calls(key, func(n uint32) {
		if c := j.calls[n-1]; counts(c.Run) {
			calls = append(calls, c)
		}
	})
	var lost *pipeline.Doubt
	for _, signal := range q.Signals {
		answered, bought, nothing, reached := false, false, true, 0
		var doubt *pipeline.Doubt
		for _, c := range calls {
			far := j.reaches(c, key, q, signal)
			switch {
			case far == apart:
				bought = bought || c.Outcome == pipeline.Charged && overlaps(c.Query, q, signal)
			case far == capped:
				bought, reached = true, max(reached, c.Query.MaxResults)
			case c.Outcome == pipeline.Ambiguous && (c.Resolved == "" || c.Resolved == Lost):
				if doubt != nil && !doubt.Accepted {
					break // what is still to be decided goes before what was given up
				}
				doubt = doubtAbout(c)
			case c.Outcome == pipeline.Ambiguous:
				known.Again = true
			default:
				known.Call = c.Run.ID + "/" + c.ID
				answered = true
				nothing = nothing && far == empty
			}
		}
		switch {
		case answered: // what was in doubt was asked again since
			if nothing {
				known.Empty = append(known.Empty, signal)
			}
		case doubt != nil && doubt.Accepted:
			lost = doubt
		default:
			known.Missing = append(known.Missing, signal)
			if doubt != nil {
				known.Doubt = doubt
			}
			if bought {
				known.Rebought++
			}
			if reached > 0 {
				if known.Full == nil {
					known.Full = map[string]int{}
				}
				known.Full[signal] = reached
			}
		}
	}
	if len(known.Missing) == 0 {
		known.Doubt = lost // else the rest is asked about
	}
	return known
}

// Keep writes down lines that no answer decides.
func (j *Journal) Keep(kept []pipeline.Line) error {
	head, err := json.Marshal(lines{Run: j.run.ID, Session: j.run.Session, Lines: len(kept)})
	if err != nil {
		return err
	}
	body, err := pack(kept)
	if err != nil {
		return err
	}
	p, err := j.log.write(byte(kindLines), head, body)
	if err == nil {
		j.run.lines = append(j.run.lines, p)
	}
	return err
}

// Prepare makes durable that the run's files are staged.
func (j *Journal) Prepare(m *pipeline.Manifest) error {
	head, err := json.Marshal(prepare{Run: j.run.ID, Files: len(m.Files), Time: j.now().UTC()})
	if err != nil {
		return err
	}
	body, err := pack(m)
	if err != nil {
		return err
	}
	p, err := j.log.append(byte(kindPrepare), head, body)
	if err == nil {
		j.run.Staged = &p
	}
	return err
}

// Commit makes durable that the run is published.
func (j *Journal) Commit(m *pipeline.Manifest) error {
	c := Commit{
		Run: j.run.ID, Generation: m.Generation, Outcome: m.Run.Outcome,
		Deferred: m.Accounts.ByStatus[schema.Deferred], Held: m.Accounts.ByStatus[schema.Held],
		Rejected: m.Accounts.ByStatus[schema.Rejected], Time: j.now().UTC(),
	}
	for _, d := range m.Held {
		if d.Run != "" {
			c.Holds = append(c.Holds, d.Name())
		}
	}
	if s := m.Run.Stop; s != nil {
		c.Unread = s.Kind == pipeline.StopInterrupted || s.Kind == pipeline.StopInput
	}
	head, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if j.run.sealed, err = j.log.append(byte(kindCommit), head, nil); err == nil {
		j.run.Done = &c
	}
	return err
}

// Resolve makes durable what somebody decided about a doubt.
func (j *Journal) Resolve(c *Call, how How, why string) error {
	head, err := json.Marshal(resolution{Run: c.Run.ID, Call: c.ID, How: how, Why: why, Time: j.now().UTC()})
	if err != nil {
		return err
	}
	p, err := j.log.append(byte(kindResolved), head, nil)
	if err == nil {
		c.Resolved, c.decided = how, p
	}
	return err
}

// Read makes durable what the account's usage says: all that is unsettled of
// the calls made so far, from a run's first on, cost so much at the most. It
// changes nothing about any call's fate. A reading that says nothing new is not
// written.
func (j *Journal) Read(from *Run, most int64, why string) error {
	var open []*Call
	for _, c := range j.calls {
		if new(Unsettled).span(c) != nil && len(from.Calls) > 0 && c.at >= from.Calls[0].at {
			open = append(open, c)
		}
	}
	if most >= j.Most(open...) {
		return nil
	}
	head, err := json.Marshal(reading{From: from.ID, Most: most, Why: why, Time: j.now().UTC()})
	if err != nil {
		return err
	}
	if _, err := j.log.append(byte(kindReading), head, nil); err != nil {
		return err
	}
	j.bound(from, most)
	return nil
}

// Record wraps the client: what is about to be asked is durable before the
// first byte leaves, and what came back before anyone reads it.
func (j *Journal) Record(inner pipeline.Fetcher) pipeline.Fetcher { return &recorder{j, inner} }

type recorder struct {
	journal *Journal
	inner   pipeline.Fetcher
}

func (r *recorder) Fetch(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	if ctx.Err() != nil {
		return r.inner.Fetch(ctx, b) // which will not send it
	}
	room, err := r.journal.log.reserve(2, r.journal.answerRoom(b))
	if err != nil {
		return nil, storageStop(err)
	}
	defer room.release()
	call, err := r.journal.intend(room, b)
	if err != nil {
		return nil, storageStop(err)
	}
	reply, err := r.inner.Fetch(ctx, b)
	if reply == nil {
		reply = &pipeline.Reply{}
	}
	if recordErr := r.journal.respond(room, call, reply); recordErr != nil {
		// The answer is paid for and cannot be kept. The process must end: the
		// next one finds the intent without an answer and declares the doubt.
		return reply, storageStop(errors.Join(recordErr, err))
	}
	return reply, err
}

// storageStop ends a run whose journal cannot be written.
func storageStop(err error) error {
	advice := "see to the disk, then run the same command again"
	if errors.Is(err, ErrFenced) {
		advice = "see what the other run does; when it has ended, run the same command again"
	}
	return &pipeline.Stop{Kind: pipeline.StopStorage, Reason: "the journal cannot be written: " + err.Error(), Advice: advice}
}

// answerRoom is what an answer to a batch may take in the journal: no call is
// made unless so much is sure to fit.
func (j *Journal) answerRoom(b *pipeline.Batch) int64 {
	const fixed, perEvent, most = 64 << 10, 1 << 10, 32 << 20
	return min(fixed+b.Results()*perEvent, most)
}

// intend makes durable that a call is about to be made.
func (j *Journal) intend(room *reservation, b *pipeline.Batch) (*Call, error) {
	body, err := pack(b.Items)
	if err != nil {
		return nil, err
	}
	attempt := max(b.Attempt, 1)
	number, err := j.number(b.Query)
	if err != nil {
		return nil, err
	}
	h := intent{
		Run: j.run.ID, Call: fmt.Sprintf("%s-%d", b.ID, attempt), Batch: b.ID, Attempt: attempt, ByID: b.ByID, Query: number,
		Entities: len(b.Items), Ceiling: b.Ceiling(), Time: j.now().UTC(),
	}
	head, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	p, err := room.append(byte(kindIntent), head, body)
	if err != nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.addCall(j.run, p, &h)
	return j.calls[len(j.calls)-1], nil
}

// number gives the query's number, having written it down if it has none.
func (j *Journal) number(q *pipeline.Query) (int, error) {
	text, err := json.Marshal(q)
	if err != nil {
		return 0, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if n := j.numbers[string(text)]; n > 0 {
		return n, nil
	}
	head, err := json.Marshal(query{Number: len(j.queries) + 1, Query: *q})
	if err != nil {
		return 0, err
	}
	if _, err := j.log.write(byte(kindQuery), head, nil); err != nil {
		return 0, err
	}
	return len(j.queries) + 1, j.addQuery(*q)
}

// respond makes durable what came of a call, as the wire gave it.
func (j *Journal) respond(room *reservation, c *Call, reply *pipeline.Reply) error {
	if len(reply.Calls) == 0 { // it was not sent after all
		return j.writeSettled(func(k byte, head, body []byte) (position, error) {
			p, err := room.append(k, head, body)
			if err == nil {
				c.unsent = &p
			}
			return p, err
		}, c, kindNoCharge, settled{Problem: "not sent"}, nil)
	}
	call := &reply.Calls[0]
	head, err := json.Marshal(response{
		callHead: callHead{c.Run.ID, c.ID}, Endpoint: call.Endpoint, Entities: call.Entities, Sent: call.Sent, Duration: call.Duration,
		Status: call.Status, Outcome: call.Outcome, Rate: call.Rate, Header: call.Header, Problem: call.Problem,
	})
	if err != nil {
		return err
	}
	p, err := room.append(byte(kindResponse), head, deflate(call.Body))
	if err == nil {
		c.response, c.took = &p, call.Duration
	}
	return err
}

// Settle wraps the decoded client: what an answer means is noted beside it, so
// that opening the journal need not read all answers again.
func (j *Journal) Settle(inner pipeline.Fetcher) pipeline.Fetcher { return &settler{j, inner} }

type settler struct {
	journal *Journal
	inner   pipeline.Fetcher
}

func (s *settler) Fetch(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	reply, err := s.inner.Fetch(ctx, b)
	if reply == nil || len(reply.Calls) == 0 {
		return reply, err
	}
	call := &reply.Calls[len(reply.Calls)-1]
	s.journal.mu.Lock()
	c, noteErr := s.journal.call(s.journal.run.ID, call.ID)
	s.journal.mu.Unlock()
	if noteErr == nil {
		noteErr = s.journal.note(c, call, b, reply.Items)
	}
	if noteErr != nil && err == nil {
		err = storageStop(noteErr)
	}
	return reply, err
}

// note writes down what a call that was read means.
func (j *Journal) note(c *Call, call *pipeline.Call, b *pipeline.Batch, items []pipeline.ItemReply) error {
	k, h, identities := settledBy(call, b, items)
	return j.writeSettled(j.log.write, c, k, h, identities)
}

// settledBy is what a call that was read means.
func settledBy(call *pipeline.Call, b *pipeline.Batch, items []pipeline.ItemReply) (k kind, h settled, identities []byte) {
	h.Problem = call.Problem
	for _, identity := range identitiesOf(b, items) {
		identities = append(identities, identity[:]...)
	}
	switch call.Outcome {
	case pipeline.Charged:
		if call.Charge.Known {
			h.Credits = &call.Charge.Credits
		}
		h.Events, h.All = tallies(items)
		return kindCharged, h, identities
	case pipeline.NotCharged:
		return kindNoCharge, h, identities
	}
	return kindAmbiguous, h, identities
}

// identitiesOf are those that an answer decided, or that are in doubt, by what
// they were asked by, by the id that a search had found out for that, and by every
// id that the answer states.
func identitiesOf(b *pipeline.Batch, items []pipeline.ItemReply) (all []pipeline.Identity) {
	for i := range items {
		switch items[i].Status {
		case schema.Enriched, schema.NoSignal, schema.NotFound, schema.Resolved, schema.Restricted, schema.Held:
		default:
			continue
		}
		from := len(all)
		all = append(all, pipeline.IdentityOf(&b.Items[i].Account))
		for _, id := range append([]string{b.Items[i].ID, items[i].Entity.ID}, items[i].Also...) {
			if id == "" {
				continue
			}
			if byID := pipeline.IdentityByID(b.Query.Object, id); !slices.Contains(all[from:], byID) {
				all = append(all, byID)
			}
		}
	}
	return all
}

func (j *Journal) writeSettled(write func(byte, []byte, []byte) (position, error), c *Call, k kind, h settled, identities []byte) error {
	h.callHead = callHead{c.Run.ID, c.ID}
	head, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if _, err := write(byte(k), head, identities); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	c.set(k, &h)
	j.learn(c, k, &h, identities)
	if c.Query.Service == pipeline.Search { // the run itself asks by what it finds out
		for chunk := range slices.Chunk(identities, len(pipeline.Identity{})) {
			j.index.add(pipeline.Identity(chunk), uint32(c.at)) //nolint:gosec // calls take seconds
		}
	}
	return nil
}

// tallies counts what a call returned, type by type and altogether.
func tallies(items []pipeline.ItemReply) (bySignal map[string]pipeline.Tally, all *pipeline.Tally) {
	bySignal, all = map[string]pipeline.Tally{}, new(pipeline.Tally)
	for _, item := range items {
		own := map[string]int64{}
		for _, e := range item.Events {
			own[e.Type]++
		}
		for signal, n := range own {
			bySignal[signal] = bySignal[signal].Plus(pipeline.TallyOf(n))
		}
		*all = all.Plus(pipeline.TallyOf(int64(len(item.Events))))
	}
	return bySignal, all
}
