package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/siglake/siglake/internal/inbox"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/internal/subscriptions"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

// A publication is a run that requests nothing: it records what the inbox of webhooks holds in the journal, each
// delivery as a call with its answer, and publishes the events. Its part of the inbox is recorded when it begins, and
// the next publication begins where it ends. So a publication whose process dies is continued with the same part,
// and each delivery is in the journal once.

// WebhooksName is the service of the runs that publish deliveries.
const WebhooksName = "webhooks"

// inboxURI is what such a run has for a list.
const inboxURI = "inbox"

// PublishOptions say whose inbox is published.
type PublishOptions struct {
	Lake    string
	Command string // that holds the lake's lock meanwhile; empty: siglake webhooks publish
	// The deliveries are those of a simulator. It matters for a lake without a run: others know.
	Simulated bool
	Store     StoreOptions
}

// PublishReport says what a publication did.
type PublishReport struct {
	Lake     string             `json:"lake"`
	Manifest *pipeline.Manifest `json:"-"`             // nil: there was nothing to publish
	Run      string             `json:"run,omitempty"` // empty: likewise
	// Deliveries that were published, and their events: those that the lake did not have, those that differ from what
	// it had, and those that it had.
	Deliveries int64 `json:"deliveries"`
	New        int64 `json:"new_events"`
	Changed    int64 `json:"changed_events"`
	Known      int64 `json:"known_events"`
	Credits    int64 `json:"credits"`         // that they state
	Unknown    int64 `json:"unknown_charges"` // deliveries that state none, or none that can be read
	// What else the part of the inbox holds: copies of deliveries, tests, and opt-out notices.
	Copies  int64 `json:"copies"`
	Tests   int64 `json:"tests"`
	OptOuts int64 `json:"opt_out_notices"`
	Lost    int64 `json:"lost"` // deliveries that were removed from the inbox before they were published
	// All before this position of the inbox is published; empty: nothing is.
	Until inbox.Position `json:"-"`
}

// PublishInbox publishes what the inbox of a lake holds. If another process has the lake's lock, the error is of
// KindLocked, at once.
func PublishInbox(ctx context.Context, env *Env, o PublishOptions) (*PublishReport, error) {
	if o.Lake == "" {
		return nil, ErrNoLake
	}
	received, err := openInbox(ctx, env, o.Store, o.Lake)
	if err != nil {
		return nil, err
	}
	defer received.Close() //nolint:errcheck // it was only read
	end, err := received.End(ctx)
	if err != nil {
		return nil, inboxError(o.Lake, err)
	}
	if end == "" { // a lake without an inbox may have a publication that one left
		if err := mustExist(ctx, env, o.Store, o.Lake); err != nil {
			return nil, err
		}
	}
	l, err := openOrCreateLake(ctx, env, o.Store, o.Lake, cmp.Or(o.Command, "siglake webhooks publish"))
	if err != nil {
		return nil, err
	}
	defer l.close() //nolint:errcheck // what matters is durable before
	return newPublisher(l, received, o.Store, o.Simulated).publish(ctx)
}

// openInbox opens the inbox of a lake to read it. A lake without one has an empty one.
func openInbox(ctx context.Context, env *Env, o StoreOptions, uri string) (*inbox.Reader, error) {
	path, options, err := locateInbox(ctx, env, o, uri)
	if err != nil {
		return nil, err
	}
	received, err := inbox.OpenReader(ctx, path, options)
	if err != nil {
		return nil, inboxError(uri, err)
	}
	return received, nil
}

// locateInbox finds the inbox of a lake: its path, and the bucket that has it, if it is in one.
func locateInbox(ctx context.Context, env *Env, o StoreOptions, uri string) (path string, options inbox.Options, err error) {
	options = inbox.Options{Hook: env.Hook, Now: env.Now}
	if !sinks.OnS3(uri) {
		if path, err = sinks.CheckDir(uri); err != nil {
			return "", options, notLake(err)
		}
		return path, options, nil
	}
	if options.Bucket, err = openBucket(ctx, env, o, uri); err != nil {
		return "", options, UsageErrorf("%v", err)
	}
	return uri, options, nil
}

// inboxError is the error of a lake whose inbox cannot be read.
func inboxError(lake string, err error) error {
	return lakeError(fmt.Errorf("the inbox of %s: %w", lake, err))
}

// publisher publishes the inbox of a lake that is locked.
type publisher struct {
	lake      *lake
	inbox     *inbox.Reader
	simulated bool
	options   StoreOptions
	state     *subscriptions.State // of the lake's webhooks

	part   pipeline.InboxRange
	known  map[string]bool // calls of other publications
	report *PublishReport
}

func newPublisher(l *lake, received *inbox.Reader, o StoreOptions, simulated bool) *publisher {
	if runs := l.ledger.Runs(); len(runs) > 0 {
		simulated = runs[0].Simulated // all runs of a lake agree
	}
	return &publisher{lake: l, inbox: received, simulated: simulated, options: o, report: &PublishReport{Lake: l.uri}}
}

// lastPublication is the newest run that publishes deliveries; nil: there is none.
func lastPublication(runs []*ledger.Run) *ledger.Run {
	for i := len(runs) - 1; i >= 0; i-- {
		if runs[i].Inbox != nil {
			return runs[i]
		}
	}
	return nil
}

// publish continues the publication that a process left, and publishes what arrived since.
func (p *publisher) publish(ctx context.Context) (*PublishReport, error) {
	if err := p.lake.recoverRuns(ctx); err != nil {
		return nil, lakeError(err)
	}
	if err := p.recordOptOuts(ctx); err != nil {
		return nil, err
	}
	last := lastPublication(p.lake.ledger.Runs())
	if last != nil && last.Published == nil {
		if err := p.resume(ctx, last); err != nil {
			return nil, err
		}
	}
	if last != nil {
		p.part.From = last.Inbox.To
		p.report.Until = inbox.Position(last.Inbox.To)
	}
	end, err := p.inbox.End(ctx)
	if err != nil {
		return nil, inboxError(p.lake.uri, err)
	}
	if p.part.To = string(end); p.part.To == p.part.From || p.part.To == "" {
		return p.report, nil
	}
	deliveries, err := p.survey(ctx, nil)
	if errors.Is(err, inbox.ErrReplaced) {
		p.lake.env.Log.Warn("the inbox is not the one that was published last: all that it holds is compared with the journal", "lake", p.lake.uri)
		p.part.From = ""
		deliveries, err = p.survey(ctx, nil)
	}
	if err != nil {
		return nil, inboxError(p.lake.uri, err)
	}
	if deliveries == 0 {
		return p.report, nil
	}
	spec, err := p.spec(ctx, deliveries)
	if err != nil {
		return nil, err
	}
	return p.report, p.run(ctx, spec, nil)
}

// resume continues a publication with its part of the inbox. If that is gone, it publishes what was recorded.
func (p *publisher) resume(ctx context.Context, r *ledger.Run) error {
	p.part = *r.Inbox
	_, err := p.survey(ctx, r)
	if errors.Is(err, inbox.ErrReplaced) {
		p.lake.env.Log.Warn("an interrupted publication ends with what it recorded: its part of the inbox is gone", "run", r.ID)
		if err = p.lake.abandonRun(ctx, r); err != nil {
			return lakeError(err)
		}
		return nil
	}
	if err != nil {
		return inboxError(p.lake.uri, err)
	}
	spec := r.RunSpec
	spec.Session, spec.Started, spec.Versions = r.Session+1, p.lake.env.Now().UTC(), ComponentVersions(p.lake.env.Build)
	return p.run(ctx, spec, r)
}

// survey counts what the part of the inbox holds; deliveries are those to publish. own is the run that publishes
// them; nil: it has not begun.
func (p *publisher) survey(ctx context.Context, own *ledger.Run) (deliveries int64, err error) {
	if p.known, err = p.lake.ledger.Reader().Deliveries(ctx, own); err != nil {
		return 0, err
	}
	counts := p.report
	counts.Copies, counts.Tests, counts.OptOuts, counts.Lost = 0, 0, 0, 0
	seen := map[string]bool{}
	for d, err := range p.inbox.Deliveries(ctx, inbox.Position(p.part.From), inbox.Position(p.part.To)) {
		if err != nil {
			return 0, err
		}
		switch id := callOf(&d); {
		case d.Kind == inbox.Test:
			counts.Tests++
		case d.Kind == inbox.OptOut:
			counts.OptOuts++
			if err := p.recordOptOut(ctx, &d); err != nil {
				return 0, err
			}
		case p.known[id] || seen[id]:
			counts.Copies++
		case d.Pruned:
			counts.Lost++
		default:
			seen[id] = true
			deliveries++
		}
	}
	if counts.Lost > 0 {
		p.lake.env.Log.Warn("deliveries were removed from the inbox before they were published", "deliveries", counts.Lost)
	}
	return deliveries, nil
}

// spec is that of a publication that begins.
func (p *publisher) spec(ctx context.Context, deliveries int64) (pipeline.RunSpec, error) {
	l := p.lake
	now := l.env.Now().UTC()
	partition := findPartition(ctx, l.ledger).key
	partition = cmp.Or(partition, schema.ByMonth)
	part := p.part
	sum := sha256.Sum256([]byte(part.From + "\n" + part.To))
	spec := pipeline.RunSpec{
		Session: 1, Started: now, Settings: map[string]string{serviceSetting: WebhooksName, partitionSetting: partitionWord(partition)},
		Input: hex.EncodeToString(sum[:]), URI: inboxURI, ListRecords: deliveries, Endpoint: deliveryEndpoint, Queries: []pipeline.Query{},
		Simulated: p.simulated, Partition: partition, Inbox: &part, Versions: ComponentVersions(l.env.Build),
	}
	spec.CommandDigest = commandDigest(spec.Settings, spec.Input)
	spec.Tariff, _ = earlierTariff(l.ledger.Runs())
	var err error
	spec.ID, err = newRunID(now, rand.Reader)
	return spec, err
}

// run records the part of the inbox and publishes it. resumed is the run so far; nil: it begins.
func (p *publisher) run(ctx context.Context, spec pipeline.RunSpec, resumed *ledger.Run) error {
	l := p.lake
	sink, err := l.openSink(ctx, l.uri, spec.ID)
	if err != nil {
		return &Error{KindStorage, err}
	}
	defer sink.Close() //nolint:errcheck // what matters is published or reported before
	recorder, err := l.beginRun(ctx, spec)
	if err != nil {
		return err
	}
	if p.state, err = WebhookState(ctx, l.env, p.options, l.uri); err != nil {
		l.env.Log.Warn("deliveries get the ids of their entities as account keys: the state of the webhooks cannot be read", "error", err)
		p.state = new(subscriptions.State)
	}
	run, received := recorder.Run(), new(receivedDelivery)
	runner := &pipeline.Runner{
		Fetcher: recorder.RecordOutcomes(lusha.Decode(recorder.RecordDeliveries(received))), Sink: sink, Spec: run.Spec(), Now: l.env.clientClock(),
		Ledger: recorder, ExitCode: ManifestExit, Input: func() pipeline.Input { return pipeline.Input{URI: run.URI, SHA256: run.Input} },
	}
	if resumed != nil {
		l.env.Log.Info("resuming run", "run", run.ID, "deliveries", run.CallCount())
		runner.Recorded = recordedLog(ctx, l.ledger.Reader(), run)
	}
	watched, stopWatch := l.watchLock(ctx)
	defer stopWatch()
	m, err := runner.RunDeliveries(watched, p.batches(watched, received, run.Tariff))
	if errors.Is(err, context.Canceled) {
		err = context.Cause(watched)
	}
	if err != nil {
		return runError(fmt.Errorf("publishing the inbox: %w; the next publication continues run %s", err, run.ID))
	}
	p.report.add(m)
	l.env.Log.Info("published what webhooks delivered", "run", m.Run.ID, "deliveries", m.Accounts.Lines, "new_events", m.Events.New, "known_events", m.Events.Known, "credits", m.Credits.Charged)
	return nil
}

// add adds a publication to the report: one call can continue one and make another.
func (r *PublishReport) add(m *pipeline.Manifest) {
	r.Manifest, r.Run, r.Until = m, m.Run.ID, inbox.Position(m.Run.Inbox.To)
	r.Deliveries += m.Accounts.Lines
	r.New += m.Events.New
	r.Changed += m.Events.Changed
	r.Known += m.Events.Known
	r.Credits += m.Credits.Charged
	r.Unknown += m.Credits.UnknownCalls
}

// batches are the deliveries of the part of the inbox, each once. Their rows are their places in the part, whatever is
// left out.
func (p *publisher) batches(ctx context.Context, current *receivedDelivery, tariff pipeline.Tariff) iter.Seq2[*pipeline.Batch, error] {
	return func(yield func(*pipeline.Batch, error) bool) {
		row, seen := int64(0), map[string]bool{}
		for d, err := range p.inbox.Deliveries(ctx, inbox.Position(p.part.From), inbox.Position(p.part.To)) {
			if err != nil {
				yield(nil, inboxError(p.lake.uri, err))
				return
			}
			row++
			id := callOf(&d)
			if d.Kind != inbox.Event && d.Kind != inbox.Unreadable || d.Pruned || p.known[id] || seen[id] {
				continue
			}
			seen[id] = true
			current.Delivery, current.call = d, id
			if !yield(p.batch(&d, row, tariff), nil) {
				return
			}
		}
	}
}

// batch is the batch of one delivery. Its line has the key of the line because of which the entity is subscribed to, if
// it is known, else the entity's id.
func (p *publisher) batch(d *inbox.Delivery, row int64, tariff pipeline.Tariff) *pipeline.Batch {
	read := lusha.ReadDelivery(d.Body)
	day := d.Received.UTC().Format(time.DateOnly)
	queries := []pipeline.Query{{Object: read.Entity.Object, Ask: pipeline.DeliveriesAsk{Type: read.Type}, Since: day, Until: day}}
	priceQueries(queries, tariff)
	account := schema.Account{Row: row, File: inboxURI, Line: row, Object: read.Entity.Object, ID: read.Entity.ID}
	account.Key = cmp.Or(p.state.AccountKey(account.Object, account.ID), account.ID, callOf(d))
	return &pipeline.Batch{ID: fmt.Sprintf("%09d", row), Query: &queries[0], ByID: true, Items: []pipeline.Item{{Ref: "1", Account: account}}}
}

// deliveryEndpoint is what a delivery has in the place of the endpoint of a call.
const deliveryEndpoint = "webhook"

// receivedDelivery is the fetcher of a publication: its answer is the delivery that it holds.
type receivedDelivery struct {
	inbox.Delivery
	call string
}

// Fetch answers a batch with the delivery as it was received, when it was received.
func (r *receivedDelivery) Fetch(_ context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	const acknowledged = 201
	reply := pipeline.NewReply(b, "not decoded")
	reply.Calls = []pipeline.Call{{
		ID: r.call, Batch: b.ID, Attempt: 1, Endpoint: deliveryEndpoint, Object: b.Query.Object, Entities: 1, Types: 1, Ceiling: b.Ceiling(),
		Sent: r.Received, Status: acknowledged, Outcome: pipeline.Charged, Body: r.Body,
	}}
	return reply, nil
}

// callOf is the call that stands for a delivery in the journal: its id, unless that could not be part of a name.
func callOf(d *inbox.Delivery) string {
	const longest = 64
	isPlain := d.ID != "" && len(d.ID) <= longest
	for _, b := range []byte(d.ID) {
		switch {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9', b == '-', b == '_', b == '.':
		default:
			isPlain = false
		}
	}
	if isPlain {
		return d.ID
	}
	sum := sha256.Sum256([]byte(d.ID))
	return "id-" + hex.EncodeToString(sum[:16])
}
