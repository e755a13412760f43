package pipeline

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/flatten"
	"github.com/siglake/siglake/schema"
)

// Manifest is the account of one run: what was requested, what it cost, the status of every line,
// and the files it added to the lake. Publishing it is what makes the run exist for readers of
// manifests.
//
// A compaction has a manifest, too, with only the fields about files: it requests nothing, costs
// nothing, and its files hold the rows of other files.
type Manifest struct {
	Generation int64 `json:"generation"`         // counts the publications of a lake, from 1
	Previous   *Link `json:"previous,omitempty"` // the previous generation
	// List of the files that hold every row of the lake as of this generation.
	Snapshot *Link `json:"snapshot,omitempty"`

	Run      RunInfo           `json:"run"`
	Versions map[string]string `json:"versions"`
	Input    Input             `json:"input"`
	Queries  []Query           `json:"queries"`
	Accounts AccountTotals     `json:"accounts"`
	Credits  CreditTotals      `json:"credits"`
	Events   EventTotals       `json:"events"`
	// Results of products other than signals: ids found, scores, lookalikes, visits.
	Products map[string]int64 `json:"products,omitempty"`
	Calls    CallTotals       `json:"calls"`
	// This run's own, in its order, then those of earlier runs.
	InDoubt        []InDoubtCall   `json:"held"`
	Pages          *PageTotals     `json:"pages,omitempty"` // of a run with paged answers
	Reconciliation *Reconciliation `json:"account,omitempty"`
	Audit          *Audit          `json:"audit,omitempty"` // of a run that audits pairs
	Drift          *DriftReport    `json:"drift,omitempty"` // how the answers differ from what the schema knows
	Timings        Timings         `json:"timings"`
	Files          []File          `json:"files"`
	// Paths of earlier files with which the events could not be compared.
	Unread []string `json:"not_compared,omitempty"`
	// Paths of the files that a compaction's files replace.
	Replaces []string `json:"replaces,omitempty"`
	// Files that a pruning removes: replaced ones, lists of files of earlier generations, and what
	// abandoned compactions left.
	Removes []string      `json:"removes,omitempty"`
	PerCall []CallSummary `json:"per_call"`
}

// Link is the path of a manifest, or of a list of files, with the digest of its bytes.
type Link struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
}

// RunInfo says what ran, when, and how it ended.
type RunInfo struct {
	ID          string         `json:"id"`
	Kind        GenerationKind `json:"kind,omitempty"`
	Started     time.Time      `json:"started"`
	Finished    time.Time      `json:"finished"`
	Outcome     RunOutcome     `json:"outcome"`
	Stop        *StopInfo      `json:"stop,omitempty"`
	Concurrency int            `json:"concurrency"`
	BatchSize   int            `json:"batch_size"`
	Endpoint    string         `json:"endpoint"`             // base URL of the API
	APIChoice   string         `json:"api_choice,omitempty"` // the API version, and why it was chosen
	// The run that left the lines which this one requested, or with the calls that it read again.
	Continues string `json:"continues,omitempty"`
	// Of the window of its queries, the run asked for what the lake did not have.
	SinceLast bool `json:"since_last,omitempty"`
	Simulated bool `json:"simulated,omitempty"` // the answers are from the embedded simulator
	// The part of the inbox of webhooks that the run published: it requested nothing.
	Inbox *InboxRange `json:"inbox,omitempty"`
	// How new events of subscribed entities came to the lake; nil: the run is not nightly, or the lake has
	// no webhooks.
	Webhooks *WebhookShare `json:"webhooks,omitempty"`
}

// WebhookShare says how many new events webhooks delivered, and how many a nightly run found nevertheless. Events are
// counted in rows.
type WebhookShare struct {
	// New events of the deliveries that were published since the nightly run before, of any list of the lake.
	Delivered int64 `json:"delivered"`
	// New events of this run about entities and signals that the lake is subscribed to.
	Polled int64 `json:"found_by_polling"`
}

// GenerationKind says what made a generation.
type GenerationKind string

// The kinds of generations. That of a run is empty: it was the first kind.
const (
	RunGeneration        GenerationKind = ""
	CompactionGeneration GenerationKind = "compaction"
	// Answers to calls in doubt of an earlier run, which a later version can read.
	RereadGeneration GenerationKind = "reread"
	// No row changes: files that hold no row of the lake, or that hold them a second time, are removed.
	PruneGeneration GenerationKind = "prune"
)

// IsMaintenance reports whether a generation is of no run: it buys nothing, and the journal does not
// know it.
func (k GenerationKind) IsMaintenance() bool {
	return k == CompactionGeneration || k == PruneGeneration
}

// RunOutcome is how a run ended.
type RunOutcome string

// The outcomes of a run, worst last.
const (
	RunComplete    RunOutcome = "complete"
	RunWithRejects RunOutcome = "complete_with_rejects"
	RunDeferred    RunOutcome = "deferred"
	RunInDoubt     RunOutcome = "held"
	RunRefused     RunOutcome = "refused" // key, account or plan
)

// StopInfo is a Stop as stored in the manifest.
type StopInfo struct {
	Kind    StopKind   `json:"kind"`
	Reason  string     `json:"reason"`
	Advice  string     `json:"advice,omitempty"`
	RetryAt *time.Time `json:"retry_at,omitempty"`
	// After a budget stop: credits that suffice for all remaining lines.
	CreditsNeeded int64 `json:"needs_at_most,omitempty"`
}

// Stop converts the stored stop back, for a run that is rebuilt; nil if there was none.
func (s *StopInfo) Stop() *Stop {
	if s == nil {
		return nil
	}
	stop := &Stop{Kind: s.Kind, Reason: s.Reason, Advice: s.Advice}
	if s.RetryAt != nil {
		stop.RetryAt = *s.RetryAt
	}
	return stop
}

// Input is the fingerprint of the list.
type Input struct {
	URI         string            `json:"uri"`
	Objects     []InputObject     `json:"objects,omitempty"` // the files of a list on S3, or of several files
	SHA256      string            `json:"sha256"`            // of the bytes as stored, or of Objects if there are any
	Bytes       int64             `json:"bytes"`
	Lines       int64             `json:"lines"` // physical lines
	Records     int64             `json:"records"`
	Encoding    string            `json:"encoding,omitempty"`
	Compression string            `json:"compression,omitempty"`
	Sheet       string            `json:"sheet,omitempty"` // of a workbook
	Delimiter   string            `json:"delimiter,omitempty"`
	Mapping     map[string]string `json:"mapping,omitempty"` // field -> header name or column number
	Notes       []string          `json:"notes,omitempty"`   // decisions that the user may want to check
	Format      string            `json:"format,omitempty"`  // csv, text or xlsx
	HeaderLine  int64             `json:"header_line,omitempty"`
	// Columns that hold a field, or look like an identifier and are not used.
	Columns []InputColumn `json:"columns,omitempty"`
	// Names of the columns of the list that accounts.extra holds.
	Kept []string `json:"kept_columns,omitempty"`
	// Keys that a spreadsheet damaged, so that several lines have the same one: the most frequent ones.
	SharedKeys []SharedKey `json:"shared_keys,omitempty"`
	// Records of the list, as counted before it was read; 0: not counted.
	Total int64 `json:"total_records,omitempty"`
	// The part of the list that the run requested, as index/count, by the identity of entities; empty: all of it.
	// Records and Lines are those of the whole list.
	Shard string `json:"shard,omitempty"`
	// The run was stopped and did not read the list to its end: Lines and Records count what it read,
	// and the lines after that have no row.
	Unread bool `json:"unread,omitempty"`
}

// SharedKey is an account_key that stands for several lines although they have nothing in common.
type SharedKey struct {
	Key   string `json:"key"`
	Lines int64  `json:"lines"`
	// The first few of the lines, as file:line.
	Places []string `json:"places"`
}

// InputColumn says how a column of the list is read.
type InputColumn struct {
	Number int                `json:"number"` // from 1
	Name   string             `json:"name"`
	Fields []InputColumnField `json:"fields,omitempty"` // empty: it is not used
	// What at least nine in ten filled cells of the sample look like: domain, email, linkedin, id or
	// company page; empty: none of them.
	Looks  string `json:"looks_like,omitempty"`
	Filled int    `json:"sampled_cells,omitempty"`
	Alike  int    `json:"cells_alike,omitempty"`
	Unused string `json:"unused,omitempty"` // why a column that looks like an identifier is not used
}

// InputColumnField is a field that a column holds.
type InputColumnField struct {
	Field  string `json:"field"`
	Reason string `json:"reason"` // map, header or content
}

// InputObject is one file of a list, in the version that was read.
type InputObject struct {
	URI    string `json:"uri"`
	ETag   string `json:"etag,omitempty"`   // on S3
	SHA256 string `json:"sha256,omitempty"` // of local files, of the bytes as stored
	Size   int64  `json:"size"`
}

// AccountTotals counts the input lines by status; the counts sum to Lines.
type AccountTotals struct {
	Lines    int64                   `json:"lines"`
	ByStatus map[schema.Status]int64 `json:"by_status"`
	Rejects  []RejectLine            `json:"first_rejects,omitempty"` // the first few; the accounts table has all
	// Why lines were deferred, in the order in which the reasons came up; the first few,
	// the accounts table has all.
	Deferrals []Deferral `json:"deferred_reasons,omitempty"`
	// Lines with signal types that were left for another request. They also have a status.
	PartlyRequested int64 `json:"partly_requested,omitempty"`
}

// Deferral is a reason for which lines were not requested, or not answered.
type Deferral struct {
	Reason string `json:"reason"`
	Lines  int64  `json:"lines"`
}

// maxDeferralsShown is the number of reasons for deferred lines in the manifest.
const maxDeferralsShown = 5

// addLine counts a line by its status.
func (t *AccountTotals) addLine(l Line) {
	t.Lines++
	t.ByStatus[l.Status]++
	if l.Status == schema.Rejected && len(t.Rejects) < maxRejectsShown {
		t.Rejects = append(t.Rejects, RejectLine{l.Account.File, l.Account.Line, l.Account.Key, l.Reason})
	}
	if l.Status == schema.Deferred {
		t.addDeferral(l.Reason)
	}
}

// addPartlyRequested counts a line with signal types that are left for another request.
func (t *AccountTotals) addPartlyRequested() {
	t.PartlyRequested++
	t.addDeferral("some of its signal types are still to be requested: an answer about all of them was cut")
}

func (t *AccountTotals) addDeferral(reason string) {
	for i := range t.Deferrals {
		if t.Deferrals[i].Reason == reason {
			t.Deferrals[i].Lines++
			return
		}
	}
	if len(t.Deferrals) < maxDeferralsShown {
		t.Deferrals = append(t.Deferrals, Deferral{reason, 1})
	}
}

// RejectLine describes a rejected line for people.
type RejectLine struct {
	File   string `json:"file"`
	Line   int64  `json:"line"`
	Key    string `json:"account_key"`
	Reason string `json:"reason"`
}

// maxRejectsShown is the number of rejected lines in the manifest.
const maxRejectsShown = 20

// CreditTotals is the bill in credits, from the server's own numbers.
type CreditTotals struct {
	Charged        int64 `json:"charged"`           // sum of the stated charges
	UnknownCalls   int64 `json:"unknown_calls"`     // answered, but the charge was not understood
	UnknownCeiling int64 `json:"unknown_ceiling"`   // maximum cost of those
	InDoubtCalls   int64 `json:"ambiguous_calls"`   // unknown whether they were charged
	InDoubtCeiling int64 `json:"ambiguous_ceiling"` // maximum cost of those
	WholeCall      int64 `json:"charged_no_event"`  // charged by calls without an event
	// Calls with a charge other than the price of the events they returned.
	Discrepancies int64                     `json:"unexplained_calls"`
	Excess        int64                     `json:"charged_beyond_events"` // sum of the excess of those that charged more
	Shortfall     int64                     `json:"charged_below_events"`  // sum of the shortfall of those that charged less
	ByAction      map[string]int64          `json:"by_action,omitempty"`   // by the names in the vendor's price list
	BySignal      map[string]int64          `json:"by_signal_type"`        // allocated, known charges
	ByCategory    map[schema.Category]int64 `json:"by_category"`           // allocated, known charges
	ByBasis       map[Basis]int64           `json:"by_basis,omitempty"`    // by the basis of allocation
}

// EventTotals counts events.
type EventTotals struct {
	Returned int64 `json:"returned"` // in paid answers
	Written  int64 `json:"written"`  // rows in the event tables
	// Paid for, but kept out of the tables by the run's own filters.
	Filtered  int64 `json:"beside,omitempty"`
	Duplicate int64 `json:"duplicate"` // returned again by this run, with equal content
	// Of the rows written: those of events that the lake did not have, and of contents that differ
	// from what it had of their events.
	New     int64 `json:"new,omitempty"`
	Changed int64 `json:"changed,omitempty"`
	// Paid for, and not written: an earlier run wrote them, with equal content.
	Known int64 `json:"known,omitempty"`
	// About entities that were never requested; written nevertheless.
	Unmatched int64 `json:"strays"`
	// (entity, type) pairs that reached the cap: there may be older events.
	CappedPairs int64                     `json:"capped_pairs"`
	BySignal    map[string]int64          `json:"by_signal_type"`
	ByCategory  map[schema.Category]int64 `json:"by_category"`
	// Number of types that are not listed by name, here or in the credits: OtherTypes sums them up.
	OtherTypes int64 `json:"types_not_listed,omitempty"`
}

// CallTotals counts attempts.
type CallTotals struct {
	Total     int64             `json:"total"`
	Retries   int64             `json:"retries"` // attempts after the first of a batch
	ByOutcome map[Outcome]int64 `json:"by_outcome"`
	ByStatus  map[int]int64     `json:"by_http_status"`
	PerSecond float64           `json:"per_second"`
	LastRate  *Rate             `json:"last_rate,omitempty"` // windows after the last answer that stated them
}

// InDoubtCall is a call without a known answer that may have been charged. A call of an earlier run
// is listed if lines were not requested because of it; its credits are in the totals of that run
// and not in this one's.
type InDoubtCall struct {
	Run        string    `json:"run_id,omitempty"` // the earlier run of the call; empty: this run
	Call       string    `json:"call_id"`
	Sent       time.Time `json:"sent"`
	Problem    string    `json:"problem"`
	Signals    []string  `json:"signals"`
	Accounts   []string  `json:"account_keys"` // this run's lines in doubt because of it
	MinCredits int64     `json:"credits_least"`
	MaxCredits int64     `json:"credits_most"`
	// The user wrote it off as charged and lost: nothing is left to decide.
	WrittenOff bool `json:"accepted_loss,omitempty"`
	// Decided before the run was published: accept_loss; or released or not_charged, and the lines
	// were requested again.
	Decision string `json:"decided,omitempty"`
}

// DecisionNotCharged is the decision about a call in doubt that has been proven not to be charged.
// The other decisions leave its cost open.
const DecisionNotCharged = "not_charged"

// IsOpen reports whether a call in doubt of the manifest's own run is undecided.
func (d *InDoubtCall) IsOpen() bool { return d.Run == "" && d.Decision == "" }

// Name is the call as "run/call", or "call" for one of the manifest's own run.
func (d *InDoubtCall) Name() string {
	if d.Run == "" {
		return d.Call
	}
	return d.Run + "/" + d.Call
}

// Reconciliation compares the account's usage during a run with what the run knows. They differ if
// others use the account, if something in doubt was charged, or if the vendor books late.
type Reconciliation struct {
	// Credits that the account had used when the run began; null: unknown.
	Before  *int64 `json:"used_before"`
	After   *int64 `json:"used_after"`      // the same when it ended; null: unknown
	Change  *int64 `json:"moved,omitempty"` // the difference
	Matched int64  `json:"explained"`       // credits stated by the run's answers
	// Maximum credits of calls in doubt and of charges not understood.
	Liability int64 `json:"possible"`
	// Credits that webhooks charged meanwhile, as their deliveries state; they are no part of the run's bill.
	Delivered int64 `json:"delivered,omitempty"`
	// The part of the change that the run does not explain; negative if the account changed less.
	Unmatched *int64 `json:"beyond,omitempty"`
	Remaining *int64 `json:"remaining,omitempty"` // credits left in the account
}

// Reconcile computes the result from the two readings and the bill.
func (a *Reconciliation) Reconcile(c *CreditTotals) {
	cost := c.Cost()
	a.Matched, a.Liability = cost.Min, cost.Max-cost.Min
	if a.Before == nil || a.After == nil {
		return
	}
	change := *a.After - *a.Before
	unmatched := change - a.Matched - a.Delivered
	if unmatched > 0 {
		unmatched = max(0, unmatched-a.Liability)
	}
	a.Change, a.Unmatched = &change, &unmatched
}

// Timings are the durations of the phases, in milliseconds.
type Timings struct {
	Ask     int64 `json:"ask_ms"`     // reading, requesting and typing, which overlap
	Stage   int64 `json:"stage_ms"`   // sorting, encoding, verifying
	Publish int64 `json:"publish_ms"` // until just before the manifest was written
}

// CallSummary is one attempt in the manifest's list of calls; the calls table has the details.
type CallSummary struct {
	ID       string  `json:"id"`
	Entities int     `json:"entities"`
	Status   int     `json:"http_status"`
	Outcome  Outcome `json:"outcome"`
	Credits  *int64  `json:"credits"` // null: unknown
	Events   int64   `json:"events"`
}

// SchemaComponent is the key of the schema version of a run's rows in Versions.
const SchemaComponent = "schema"

// SchemaVersion is the schema version of the rows that the manifest is about; 0 if this build cannot
// write such rows.
func (m *Manifest) SchemaVersion() int {
	version := SchemaVersionOf(m.Versions)
	if version < schema.OldestVersion || version > schema.Version {
		return 0
	}
	return version
}

// SchemaVersionOf is the schema version among the versions of components; 0 if they state none.
func SchemaVersionOf(versions map[string]string) int {
	version, err := strconv.Atoi(versions[SchemaComponent])
	if err != nil {
		return 0
	}
	return version
}

// PartitionKey is the key of the event partitions that the run's files lie in; empty: it wrote no events.
func (m *Manifest) PartitionKey() string {
	for i := range m.Files {
		if key, _, found := strings.Cut(m.Files[i].Partition, "="); found {
			return key
		}
	}
	return ""
}

// NewManifest starts the manifest of a run or a compaction.
func NewManifest(run RunInfo) *Manifest {
	return &Manifest{
		Run:      run,
		Accounts: AccountTotals{ByStatus: map[schema.Status]int64{}},
		Credits: CreditTotals{
			ByAction: map[string]int64{}, BySignal: map[string]int64{}, ByCategory: map[schema.Category]int64{}, ByBasis: map[Basis]int64{},
		},
		Products: map[string]int64{},
		Events:   EventTotals{BySignal: map[string]int64{}, ByCategory: map[schema.Category]int64{}},
		Calls:    CallTotals{ByOutcome: map[Outcome]int64{}, ByStatus: map[int]int64{}},
		InDoubt:  []InDoubtCall{}, Files: []File{}, PerCall: []CallSummary{},
	}
}

// commandName is the name of the command that requested the lines.
func (m *Manifest) commandName() string {
	if m.Run.Inbox != nil {
		return "webhooks"
	}
	name := "resolve"
	for i := range m.Queries {
		switch m.Queries[i].Service() {
		case Signals:
			return "run"
		case Scores:
			name = "score"
		case Lookalikes:
			name = "lookalikes"
		case Visits:
			name = "visitors"
		}
	}
	return name
}

// addCall adds one attempt, and what it bought, to the totals.
func (m *Manifest) addCall(c Call, b *Batch, reply *Reply, shares []share, basis Basis) {
	m.Calls.add(&c)
	m.addShares(b, shares, basis)
	if c.Outcome == InDoubt {
		m.InDoubt = append(m.InDoubt, newInDoubtCall(c, b, reply))
	}
	m.Credits.addCharge(&c, b.Query, shares, basis)
	m.addPage(b, reply)
	m.PerCall = append(m.PerCall, newCallSummary(&c, shares))
}

// add counts one attempt.
func (t *CallTotals) add(c *Call) {
	t.Total++
	t.ByOutcome[c.Outcome]++
	t.ByStatus[c.Status]++
	if c.Attempt > 1 {
		t.Retries++
	}
	if c.Rate.Minute.Limit > 0 || c.Rate.Hour.Limit > 0 || c.Rate.Day.Limit > 0 {
		rate := c.Rate
		t.LastRate = &rate
	}
}

// addShares adds the results of one call, and the credits allocated to them.
func (m *Manifest) addShares(b *Batch, shares []share, basis Basis) {
	for _, s := range shares {
		category := flatten.Category(s.signal)
		if b.Query.Service().HasEvents() {
			m.Events.Returned += s.events
			m.Events.BySignal[s.signal] += s.events
			m.Events.ByCategory[category] += s.events
			if s.item >= len(b.Items) {
				m.Events.Unmatched += s.events
			}
		} else {
			m.Products[s.signal] += s.events
		}
		if basis != UnknownBasis && basis != "" {
			m.Credits.BySignal[s.signal] += s.credits
			m.Credits.ByCategory[category] += s.credits
		}
	}
}

// addCharge adds the charge of one call to the bill, or what it can cost at most.
func (t *CreditTotals) addCharge(c *Call, q *Query, shares []share, basis Basis) {
	switch {
	case c.Outcome == NotCharged || c.Outcome == InDoubt && c.Decision == DecisionNotCharged:
	case c.Outcome == InDoubt:
		t.InDoubtCalls++
		t.InDoubtCeiling += c.Cost().Max
	case !c.Charge.Known:
		t.UnknownCalls++
		t.UnknownCeiling += c.Cost().Max
	default:
		credits := c.Charge.Credits
		t.Charged += credits
		t.ByBasis[basis] += credits
		t.ByAction[q.Action()] += credits
		if excess := discrepancy(*c, q, shares); excess != 0 {
			t.Discrepancies++
			t.Excess += max(excess, 0)
			t.Shortfall += max(-excess, 0)
		}
		if basis == WholeCall {
			t.WholeCall += credits
		}
	}
}

func newCallSummary(c *Call, shares []share) CallSummary {
	l := CallSummary{ID: c.ID, Entities: c.Entities, Status: c.Status, Outcome: c.Outcome}
	for _, s := range shares {
		l.Events += s.events
	}
	switch {
	case c.Outcome == NotCharged:
		l.Credits = new(int64)
	case c.Outcome != InDoubt && c.Charge.Known:
		credits := c.Charge.Credits
		l.Credits = &credits
	}
	return l
}

// countCapped counts the pairs that returned as many events as allowed: the API does not say how
// many it left out.
func (m *Manifest) countCapped(q *Query, shares []share) {
	if q.Service() != Signals {
		return
	}
	for _, s := range shares {
		if s.events >= int64(q.MaxResults()) {
			m.Events.CappedPairs++
		}
	}
}

// finish fills in what is only known at the end of a run.
func (m *Manifest) finish(files []File, compared Comparison, stop *Stop) {
	m.Files, m.Unread = files, compared.Unread
	slices.SortStableFunc(m.InDoubt, func(a, b InDoubtCall) int {
		if a.Run == b.Run && a.Run == "" {
			return 0
		}
		return cmp.Or(cmp.Compare(a.Run, b.Run), cmp.Compare(a.Call, b.Call))
	})
	for _, f := range files {
		if t, ok := schema.TableNamed(f.Table); ok && t.IsEvent() {
			m.Events.Written += f.Rows
			m.Events.Duplicate += f.Duplicate
		}
	}
	m.Events.Known, m.Events.Changed, m.Events.New = compared.Known, compared.Changed, m.Events.Written-compared.Changed
	byStatus := m.Accounts.ByStatus
	switch {
	case stop != nil && stop.Kind == StopAuth:
		m.Run.Outcome = RunRefused
	case byStatus[schema.InDoubt] > 0 || m.HasInDoubt():
		m.Run.Outcome = RunInDoubt
	case stop != nil && stop.Kind != StopDrift || byStatus[schema.Deferred]+m.Accounts.PartlyRequested > 0:
		m.Run.Outcome = RunDeferred
	case byStatus[schema.Rejected] > 0 || len(m.Input.SharedKeys) > 0:
		m.Run.Outcome = RunWithRejects
	default:
		m.Run.Outcome = RunComplete
	}
	if stop != nil {
		m.Run.Stop = &StopInfo{Kind: stop.Kind, Reason: stop.Reason, Advice: stop.Advice}
		if !stop.RetryAt.IsZero() {
			m.Run.Stop.RetryAt = &stop.RetryAt
		}
		if deferred := byStatus[schema.Deferred]; stop.Exhausted && deferred > 0 && m.Pages == nil { // lines of pages cost nothing of their own
			m.Run.Stop.CreditsNeeded = m.maxCost(deferred)
			m.Run.Stop.Advice = stop.adviceFor(deferred, m.Run.Stop.CreditsNeeded)
		}
	}
}

// HasInDoubt reports whether the run has undecided calls in doubt.
func (m *Manifest) HasInDoubt() bool {
	return slices.ContainsFunc(m.InDoubt, func(d InDoubtCall) bool { return d.IsOpen() })
}

// maxCost is the maximum cost of a number of the run's lines, over all its queries: a search may
// come before the signals, and its price is per group of entities, of which a call may have only a
// few.
func (m *Manifest) maxCost(lines int64) (credits int64) {
	byObject := map[schema.Object]int64{}
	size := int64(min(orDefault(m.Run.BatchSize, MaxBatch), retryBatchSize))
	for i := range m.Queries {
		q := &m.Queries[i]
		if q.Per > 1 {
			byObject[q.Object] += (lines + size - 1) / size * q.Ceiling(int(size))
		} else {
			byObject[q.Object] += lines * q.Ceiling(1)
		}
		credits = max(credits, byObject[q.Object])
	}
	return credits
}

// newInDoubtCall lists a call in doubt, with the lines that it decided.
func newInDoubtCall(c Call, b *Batch, reply *Reply) InDoubtCall {
	d := InDoubtCall{Call: c.ID, Sent: c.Sent, Problem: c.Problem, Signals: b.Query.ResultTypes(), Accounts: []string{}, Decision: c.Decision}
	cost := c.Cost()
	d.MinCredits, d.MaxCredits = cost.Min, cost.Max
	for i, item := range b.Items {
		if reply.Items[i].CallID == c.ID && item.Page == nil { // the lines of a page are listed one by one
			d.Accounts = append(d.Accounts, item.Account.Key)
		}
	}
	return d
}
