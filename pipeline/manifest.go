package pipeline

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/siglake/siglake/schema"
)

// Manifest is the account of one run: what was asked, what it cost, what came
// of every line, and which files it added to the lake. Publishing it is what
// makes the run exist for manifest readers.
//
// A compaction has one too, in which only what concerns files is filled in: it
// asks nothing, costs nothing, and its files hold the rows of others.
type Manifest struct {
	Generation int64 `json:"generation"`         // counts the publications of a lake, from 1
	Previous   *Link `json:"previous,omitempty"` // the generation before
	Snapshot   *Link `json:"snapshot,omitempty"` // list of the files that hold every row of the lake as of this generation

	Run            RunInfo           `json:"run"`
	Versions       map[string]string `json:"versions"`
	Input          Input             `json:"input"`
	Queries        []Query           `json:"queries"`
	Accounts       AccountTotals     `json:"accounts"`
	Credits        CreditTotals      `json:"credits"`
	Events         EventTotals       `json:"events"`
	Products       map[string]int64  `json:"products,omitempty"` // results of what was bought beside signals: ids found, scores, lookalikes, visits
	Calls          CallTotals        `json:"calls"`
	InDoubt        []InDoubtCall     `json:"held"`            // this run's own, in its order, then those of earlier runs
	Pages          *PageTotals       `json:"pages,omitempty"` // of a run that asked page by page
	Reconciliation *Reconciliation   `json:"account,omitempty"`
	Timings        Timings           `json:"timings"`
	Files          []File            `json:"files"`
	Replaces       []string          `json:"replaces,omitempty"` // paths of the files whose rows a compaction's files hold
	PerCall        []CallSummary     `json:"per_call"`
}

// Link names a manifest, or a list of files, and the digest of its bytes.
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
	APIChoice   string         `json:"api_choice,omitempty"` // the dialect of the API, and why that one
	Continues   string         `json:"continues,omitempty"`  // the run that left what this one asked about
	Simulated   bool           `json:"simulated,omitempty"`  // an embedded simulator invented the answers
}

// GenerationKind says what made a generation.
type GenerationKind string

// The kinds of generations. A run's is empty: it was the only one at first.
const (
	RunGeneration        GenerationKind = ""
	CompactionGeneration GenerationKind = "compaction"
)

// RunOutcome is how a run ended.
type RunOutcome string

// The ways a run ends, worst last.
const (
	RunComplete    RunOutcome = "complete"
	RunWithRejects RunOutcome = "complete_with_rejects"
	RunDeferred    RunOutcome = "deferred"
	RunInDoubt     RunOutcome = "held"
	RunRefused     RunOutcome = "refused" // key, account or plan
)

// StopInfo is a Stop as the manifest keeps it.
type StopInfo struct {
	Kind          StopKind   `json:"kind"`
	Reason        string     `json:"reason"`
	Advice        string     `json:"advice,omitempty"`
	RetryAt       *time.Time `json:"retry_at,omitempty"`
	CreditsNeeded int64      `json:"needs_at_most,omitempty"` // after a budget: credits that suffice for all lines that are left
}

// Stop is the Stop as far as the manifest keeps it, for one that is made again;
// nil when there was none.
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

// Input is the fingerprint of the list that was read.
type Input struct {
	URI         string            `json:"uri"`
	Objects     []InputObject     `json:"objects,omitempty"` // the files of it, when it lies on S3 or has several
	SHA256      string            `json:"sha256"`            // of the bytes as stored; of Objects, when there are any
	Bytes       int64             `json:"bytes"`
	Lines       int64             `json:"lines"` // physical lines
	Records     int64             `json:"records"`
	Encoding    string            `json:"encoding,omitempty"`
	Compression string            `json:"compression,omitempty"`
	Delimiter   string            `json:"delimiter,omitempty"`
	Mapping     map[string]string `json:"mapping,omitempty"` // field -> header name or column number
	Notes       []string          `json:"notes,omitempty"`   // decisions that the list's owner may want to check
}

// InputObject is one file of a list, in the version that was read.
type InputObject struct {
	URI    string `json:"uri"`
	ETag   string `json:"etag,omitempty"`   // on S3
	SHA256 string `json:"sha256,omitempty"` // elsewhere, of the bytes as stored
	Size   int64  `json:"size"`
}

// AccountTotals counts the input lines by their one fate; the counts sum to Lines.
type AccountTotals struct {
	Lines    int64                   `json:"lines"`
	ByStatus map[schema.Status]int64 `json:"by_status"`
	Rejects  []RejectLine            `json:"first_rejects,omitempty"` // the first few; the accounts table has all
}

// addLine counts a line with its fate.
func (t *AccountTotals) addLine(l Line) {
	t.Lines++
	t.ByStatus[l.Status]++
	if l.Status == schema.Rejected && len(t.Rejects) < maxRejectsShown {
		t.Rejects = append(t.Rejects, RejectLine{l.Account.File, l.Account.Line, l.Account.Key, l.Reason})
	}
}

// RejectLine is a rejected line as a person wants to see it.
type RejectLine struct {
	File   string `json:"file"`
	Line   int64  `json:"line"`
	Key    string `json:"account_key"`
	Reason string `json:"reason"`
}

// maxRejectsShown is how many rejected lines the manifest itself shows.
const maxRejectsShown = 20

// CreditTotals is the bill in credits, from the server's own numbers.
type CreditTotals struct {
	Charged        int64                     `json:"charged"`               // sum of the charges the server stated
	UnknownCalls   int64                     `json:"unknown_calls"`         // answered, but the charge was not understood
	UnknownCeiling int64                     `json:"unknown_ceiling"`       // the most those can have cost
	InDoubtCalls   int64                     `json:"ambiguous_calls"`       // whether they were charged is not known
	InDoubtCeiling int64                     `json:"ambiguous_ceiling"`     // the most those can have cost
	WholeCall      int64                     `json:"charged_no_event"`      // charged by calls that returned no event
	Discrepancies  int64                     `json:"unexplained_calls"`     // charged something else than the price of the events they returned
	Excess         int64                     `json:"charged_beyond_events"` // what those were charged more, in all
	Shortfall      int64                     `json:"charged_below_events"`  // and what others of them were charged less
	ByAction       map[string]int64          `json:"by_action,omitempty"`   // what the vendor's price list calls them
	BySignal       map[string]int64          `json:"by_signal_type"`        // allocated, known charges
	ByCategory     map[schema.Category]int64 `json:"by_category"`           // allocated, known charges
	ByBasis        map[Basis]int64           `json:"by_basis,omitempty"`    // how the shares were found
}

// EventTotals counts events.
type EventTotals struct {
	Returned    int64                     `json:"returned"`         // in paid answers
	Written     int64                     `json:"written"`          // rows in the event tables
	Filtered    int64                     `json:"beside,omitempty"` // kept out of the tables by the run's own filters, though paid for
	Duplicate   int64                     `json:"duplicate"`        // returned again with equal content
	Unmatched   int64                     `json:"strays"`           // about something never asked, written all the same
	CappedPairs int64                     `json:"capped_pairs"`     // (entity, type) pairs that reached the cap: there may be older events
	BySignal    map[string]int64          `json:"by_signal_type"`
	ByCategory  map[schema.Category]int64 `json:"by_category"`
}

// CallTotals counts attempts.
type CallTotals struct {
	Total     int64             `json:"total"`
	Retries   int64             `json:"retries"` // attempts after a batch's first
	ByOutcome map[Outcome]int64 `json:"by_outcome"`
	ByStatus  map[int]int64     `json:"by_http_status"`
	PerSecond float64           `json:"per_second"`
	LastRate  *Rate             `json:"last_rate,omitempty"` // windows after the last answer that stated them
}

// InDoubtCall is a call that may have been charged and whose answer is not known. One
// of an earlier run is listed when lines were not asked about because of it; its
// credits are in that run's totals and not in this one's.
type InDoubtCall struct {
	Run        string    `json:"run_id,omitempty"` // the earlier run that made the call; empty: this one
	Call       string    `json:"call_id"`
	Sent       time.Time `json:"sent"`
	Problem    string    `json:"problem"`
	Signals    []string  `json:"signals"`
	Accounts   []string  `json:"account_keys"` // of this run's lines that it holds
	MinCredits int64     `json:"credits_least"`
	MaxCredits int64     `json:"credits_most"`
	WrittenOff bool      `json:"accepted_loss,omitempty"` // somebody took it as paid and lost: nothing is left to decide
	Decision   string    `json:"decided,omitempty"`       // before the run was published: accept_loss, or released or not_charged, and the lines were asked again
}

// DecisionNotCharged is the decision about a doubt for which there is proof that the call
// was not charged. The others leave open what it cost.
const DecisionNotCharged = "not_charged"

// IsOpen reports whether nobody has decided about a doubt of the manifest's own run.
func (d *InDoubtCall) IsOpen() bool { return d.Run == "" && d.Decision == "" }

// Name is the call as "run/call", or "call" for one of the manifest's own run.
func (d *InDoubtCall) Name() string {
	if d.Run == "" {
		return d.Call
	}
	return d.Run + "/" + d.Call
}

// Reconciliation holds what the account says that it was charged while a run went
// on against what the run knows of. They differ when others use the account, when
// something in doubt was charged, or when the vendor books late.
type Reconciliation struct {
	Before    *int64 `json:"used_before"`         // credits the account had used when the run began; null: not known
	After     *int64 `json:"used_after"`          // and when it ended
	Change    *int64 `json:"moved,omitempty"`     // by how much
	Matched   int64  `json:"explained"`           // credits that the run's answers state
	Liability int64  `json:"possible"`            // most credits besides, of calls in doubt and charges not understood
	Unmatched *int64 `json:"beyond,omitempty"`    // moved and not explained by the run: less than zero when the account moved less
	Remaining *int64 `json:"remaining,omitempty"` // credits the account has left
}

// Reconcile fills in what follows from the two readings and the bill.
func (a *Reconciliation) Reconcile(c *CreditTotals) {
	cost := c.Cost()
	a.Matched, a.Liability = cost.Min, cost.Max-cost.Min
	if a.Before == nil || a.After == nil {
		return
	}
	change := *a.After - *a.Before
	unmatched := change - a.Matched
	if unmatched > 0 {
		unmatched = max(0, unmatched-a.Liability)
	}
	a.Change, a.Unmatched = &change, &unmatched
}

// Timings says where the time went, in milliseconds.
type Timings struct {
	Ask     int64 `json:"ask_ms"`     // reading, asking and typing, which overlap
	Stage   int64 `json:"stage_ms"`   // sorting, encoding, reading back
	Publish int64 `json:"publish_ms"` // until just before the manifest was written
}

// CallSummary is one attempt in the manifest's list of calls; the calls table has
// the details.
type CallSummary struct {
	ID       string  `json:"id"`
	Entities int     `json:"entities"`
	Status   int     `json:"http_status"`
	Outcome  Outcome `json:"outcome"`
	Credits  *int64  `json:"credits"` // null: unknown
	Events   int64   `json:"events"`
}

// NewManifest begins the account of a run or a compaction.
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

// commandName names what the lines of the list were given to.
func (m *Manifest) commandName() string {
	name := "resolve"
	for i := range m.Queries {
		switch m.Queries[i].Service {
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

// addCall adds one attempt, and what it bought, to the sums.
func (m *Manifest) addCall(c Call, b *Batch, reply *Reply, shares []share, basis Basis) {
	m.Calls.Total++
	m.Calls.ByOutcome[c.Outcome]++
	m.Calls.ByStatus[c.Status]++
	if c.Attempt > 1 {
		m.Calls.Retries++
	}
	if c.Rate.Minute.Limit > 0 || c.Rate.Hour.Limit > 0 || c.Rate.Day.Limit > 0 {
		rate := c.Rate
		m.Calls.LastRate = &rate
	}
	l := CallSummary{ID: c.ID, Entities: c.Entities, Status: c.Status, Outcome: c.Outcome}
	for _, s := range shares {
		category := categoryOf(s.signal)
		l.Events += s.events
		if b.Query.Service == Signals {
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
	switch {
	case c.Outcome == NotCharged:
		l.Credits = new(int64)
	case c.Outcome == InDoubt:
		d := newInDoubtCall(c, b, reply)
		m.InDoubt = append(m.InDoubt, d)
		if d.Decision == DecisionNotCharged {
			break
		}
		m.Credits.InDoubtCalls++
		m.Credits.InDoubtCeiling += d.MaxCredits
	case !c.Charge.Known:
		m.Credits.UnknownCalls++
		m.Credits.UnknownCeiling += c.Cost().Max
	default:
		credits := c.Charge.Credits
		l.Credits = &credits
		m.Credits.Charged += credits
		m.Credits.ByBasis[basis] += credits
		m.Credits.ByAction[b.Query.Action()] += credits
		if excess := discrepancy(c, b.Query, shares); excess != 0 {
			m.Credits.Discrepancies++
			m.Credits.Excess += max(excess, 0)
			m.Credits.Shortfall += max(-excess, 0)
		}
		if basis == WholeCall {
			m.Credits.WholeCall += credits
		}
	}
	m.addPage(b, reply)
	m.PerCall = append(m.PerCall, l)
}

// countCapped counts the pairs that returned as many events as were allowed:
// the API says nothing about what it left out.
func (m *Manifest) countCapped(q *Query, shares []share) {
	if q.Service != Signals {
		return
	}
	for _, s := range shares {
		if s.events >= int64(q.MaxResults) {
			m.Events.CappedPairs++
		}
	}
}

// finish fills in what only the end of a run knows.
func (m *Manifest) finish(files []File, stop *Stop) {
	m.Files = files
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
	byStatus := m.Accounts.ByStatus
	switch {
	case stop != nil && stop.Kind == StopAuth:
		m.Run.Outcome = RunRefused
	case byStatus[schema.InDoubt] > 0 || m.HasInDoubt():
		m.Run.Outcome = RunInDoubt
	case stop != nil || byStatus[schema.Deferred] > 0:
		m.Run.Outcome = RunDeferred
	case byStatus[schema.Rejected] > 0:
		m.Run.Outcome = RunWithRejects
	default:
		m.Run.Outcome = RunComplete
	}
	if stop != nil {
		m.Run.Stop = &StopInfo{Kind: stop.Kind, Reason: stop.Reason, Advice: stop.Advice}
		if !stop.RetryAt.IsZero() {
			m.Run.Stop.RetryAt = &stop.RetryAt
		}
		if deferred := byStatus[schema.Deferred]; stop.Exhausted && deferred > 0 && m.Pages == nil { // the lines behind pages cost nothing by themselves
			m.Run.Stop.CreditsNeeded = m.maxCost(deferred)
			m.Run.Stop.Advice += fmt.Sprintf("; the %d lines that are left can cost %d at the most", deferred, m.Run.Stop.CreditsNeeded)
		}
	}
}

// HasInDoubt reports whether calls of the run are in doubt that nobody has decided
// about.
func (m *Manifest) HasInDoubt() bool {
	return slices.ContainsFunc(m.InDoubt, func(d InDoubtCall) bool { return d.IsOpen() })
}

// maxCost is the most that so many lines can cost of those that the run asks
// about, by all that it asks about them: a search may come before the signals,
// and its price is for many together, of which there may be few in a call.
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

// newInDoubtCall itemises an ambiguous call: the lines whose fate it decided.
func newInDoubtCall(c Call, b *Batch, reply *Reply) InDoubtCall {
	d := InDoubtCall{Call: c.ID, Sent: c.Sent, Problem: c.Problem, Signals: b.Query.Signals, Accounts: []string{}, Decision: c.Decision}
	cost := c.Cost()
	d.MinCredits, d.MaxCredits = cost.Min, cost.Max
	for i, item := range b.Items {
		if reply.Items[i].CallID == c.ID && item.Page == nil { // the lines behind a page are listed one by one
			d.Accounts = append(d.Accounts, item.Account.Key)
		}
	}
	return d
}

// sortedKeys gives a map's keys ordered by what name makes of them.
func sortedKeys[K comparable, V any, N cmp.Ordered](m map[K]V, name func(K) N) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b K) int { return cmp.Compare(name(a), name(b)) })
	return keys
}
