package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/internal/subscriptions"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// WebhookSyncName is the command that makes the vendor's subscriptions those of a list.
const WebhookSyncName = "webhooks sync"

// WebhookSyncOptions say which subscriptions a list stands for. Run says how the list is read, and how ids are
// searched for that the lake does not know.
type WebhookSyncOptions struct {
	Run     RunOptions
	Signals []string
	URL     string // that the vendor delivers to; empty: as before
	Name    string // of the list; empty: that of its file
	LakeID  string // of a lake that has lost its state; empty: as before, or a new one
	Yes     bool   // carry the plan out
}

// DefaultWebhookSync has the default values of its flags. A found id counts for as long as the vendor does not
// contradict: a subscription goes by it.
func DefaultWebhookSync() WebhookSyncOptions {
	o := WebhookSyncOptions{Run: RunOptions{Command: ResolveName, Service: pipeline.Search, Source: DefaultList(), Money: DefaultMoney(), TTL: DefaultTTL(), API: DefaultAPI(), Work: DefaultWork(), Store: DefaultStore()}}
	o.Run.TTL.Positive = "9999d"
	return o
}

// WebhookSync says what a sync changes, or has changed.
type WebhookSync struct {
	Lake   string `json:"lake"`
	List   string `json:"list"`
	Name   string `json:"name"`
	URL    string `json:"url"`
	LakeID string `json:"lake_id"` // in the names of the lake's subscriptions; empty: --yes makes one

	Done      bool `json:"done"`      // it was carried out
	Attempted bool `json:"attempted"` // it was to be carried out; false: this is the plan

	Lines    int64                      `json:"lines"`
	ByStatus map[schema.Status]int64    `json:"lines_by_status"` // of lines without a subscription of their own
	Rejects  []pipeline.RejectLine      `json:"first_rejects"`
	Entities int                        `json:"entities"` // of the list that are to be subscribed to
	Signals  map[schema.Object][]string `json:"signals"`
	Search   *WebhookSearch             `json:"search,omitempty"` // nil: every id is known
	// Subscriptions were created for an account without a signing secret: the vendor delivers nothing.
	NoSecret bool `json:"no_secret,omitempty"`

	WebhookChanges
}

// Warning is what a team should hear of a sync that was carried out: that events were not delivered, or will not be;
// empty: neither.
func (r *WebhookSync) Warning() string {
	switch n := r.Actions[subscriptions.Unblock]; {
	case r.NoSecret:
		return "the account has no signing secret, and the vendor delivers nothing: siglake webhooks rotate-secret creates one"
	case r.Done && n > 0:
		return BlockedText(n, "was") + "; siglake has switched on again, and the next siglake run --since last polls what was not delivered"
	case r.Done:
		return OptOutGapText(r.OptOutGaps)
	}
	return ""
}

// WebhookSearch is the search for ids that the lake does not know.
type WebhookSearch struct {
	Lines      int64    `json:"lines"`
	Calls      int64    `json:"calls"`
	MaxCredits int64    `json:"credits_at_most"`
	Notes      []string `json:"notes"`
	// What it has bought; nil: nothing yet.
	Bought *BoughtSearch `json:"bought,omitempty"`
}

// BoughtSearch is what a search has cost.
type BoughtSearch struct {
	Calls      int64  `json:"calls"`
	Credits    int64  `json:"credits"`         // stated
	MaxCredits int64  `json:"credits_at_most"` // with calls of unknown charge
	Run        string `json:"run"`             // the last one
}

// add adds a run.
func (b *BoughtSearch) add(m *pipeline.Manifest) {
	cost := m.Credits.Cost()
	b.Calls, b.Credits, b.MaxCredits, b.Run = b.Calls+m.Calls.Total, b.Credits+m.Credits.Charged, b.MaxCredits+cost.Max, m.Run.ID
}

// WebhookChanges are the changes of a lake's subscriptions, planned or carried out.
type WebhookChanges struct {
	// The subscriptions with each action; see package subscriptions.
	Actions map[subscriptions.Action]int `json:"actions"`
	Steps   []WebhookStep                `json:"changes"` // all but those that stay
	// Changes are carried out by deleting and creating, since one call can change one subscription only.
	Replaces bool             `json:"replaces"`
	Calls    int              `json:"calls"` // that the changes take, or took
	Strays   int              `json:"strays"`
	Others   int              `json:"others"` // subscriptions of the account that are not the lake's
	Problems []WebhookProblem `json:"problems"`
	Gaps     int              `json:"gaps"` // entities that the next nightly run polls, since events may be missing
	// Times in which no opt-out notices were delivered; see OptOutGapText.
	OptOutGaps []subscriptions.OptOutGap `json:"opt_out_gaps,omitempty"`
	Pause      *subscriptions.Pause      `json:"pause,omitempty"`
	Pending    int                       `json:"pending"` // wanted, and not there when the command ended
	stray      []lusha.Subscription      // for messages
	state      *subscriptions.State
}

// WebhookStep is what happens to one subscription.
type WebhookStep struct {
	Action     subscriptions.Action `json:"action"`
	Object     schema.Object        `json:"object"`
	EntityID   string               `json:"entity_id"`
	AccountKey string               `json:"account_key,omitempty"`
	ID         string               `json:"id,omitempty"` // of the subscription; empty: there is none yet
	Reason     string               `json:"why,omitempty"`
}

// WebhookProblem is an entity that the vendor did not let be subscribed to.
type WebhookProblem struct {
	Object     schema.Object `json:"object"`
	EntityID   string        `json:"entity_id"`
	AccountKey string        `json:"account_key,omitempty"`
	Code       string        `json:"code"`
	Message    string        `json:"message"`
}

// WebhookSyncer makes the vendor's subscriptions those of a list.
type WebhookSyncer struct {
	*Job
	options WebhookSyncOptions
	report  *WebhookSync
	store   *webhookStore
	state   *subscriptions.State
	lines   *subscribedLines
}

// NewWebhookSyncer prepares a sync. The caller sets what a Job needs.
func NewWebhookSyncer(env *Env, o WebhookSyncOptions) *WebhookSyncer {
	s := &WebhookSyncer{Job: NewJob(env, o.Run), options: o}
	s.ownIDs = true
	return s
}

// Sync plans, and carries out on request. The report is never nil if a plan was made, also with an error. The exit code
// is that of a command that ends without an error.
func (s *WebhookSyncer) Sync(ctx context.Context) (report *WebhookSync, exit int, err error) {
	if err := s.checkOptions(); err != nil {
		return nil, 0, err
	}
	if err := s.parseOptions(); err != nil {
		return nil, 0, err
	}
	if s.listOptions.Object == "" {
		s.listOptions.Object = soleObject(SplitWords(s.options.Signals))
		s.listOptions.ObjectBySignals = true
	}
	if err := s.readList(ctx); err != nil {
		return nil, 0, err
	}
	defer s.listInput.close() //nolint:errcheck // a copy of the list in a temporary directory
	if s.conn, err = connectAPI(ctx, s.env, s.API.withS3(s.Store.S3), s.OpenAPI); err != nil {
		return nil, 0, err
	}
	defer s.conn.disconnect()
	holder := readOnly
	if s.options.Yes {
		holder = "siglake " + WebhookSyncName
	}
	if s.store, err = openWebhooks(ctx, s.env, s.Store, s.Lake, holder); err != nil {
		return nil, 0, err
	}
	defer s.store.close() //nolint:errcheck // what was written is durable
	if err := s.plan(ctx); err != nil {
		return nil, 0, err
	}
	exit = ExitComplete
	if s.options.Yes {
		exit, err = s.carryOut(ctx)
	}
	return s.report, s.exitCode(exit), err
}

// CheckWebhookSync finds options that are wrong by themselves, and opens nothing. What may be right by the time of the
// sync is warned about.
func CheckWebhookSync(env *Env, o WebhookSyncOptions) error {
	s := NewWebhookSyncer(env, o)
	if err := s.checkOptions(); err != nil {
		return err
	}
	if err := s.parseOptions(); err != nil {
		return err
	}
	s.Query.Signals = o.Signals
	s.warnOfAbsent(env)
	return nil
}

// listNamePattern is that of a list's name: it stands between colons in the names of subscriptions.
var listNamePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// checkOptions checks what no other command has, and completes it.
func (s *WebhookSyncer) checkOptions() error {
	o := &s.options
	if o.Run.Lake == "" {
		return ErrNoLake
	}
	if len(SplitWords(o.Signals)) == 0 {
		return UsageErrorf("name the signals to subscribe to with --signals: keys, categories (contact, growth, intent, news, risk) or all; siglake signals lists them")
	}
	if o.URL != "" {
		if err := checkHookURL(o.URL); err != nil {
			return err
		}
	}
	if o.Name == "" {
		base := path.Base(strings.TrimRight(o.Run.List, "/"))
		o.Name, _, _ = strings.Cut(base, ".")
	}
	if !listNamePattern.MatchString(o.Name) || len(o.Name) > subscriptions.MaxListName {
		return UsageErrorf("--name %q: expected a name for the list of at most %d letters, digits, dots, dashes and underscores; the vendor shows it with each subscription", o.Name, subscriptions.MaxListName)
	}
	if o.LakeID != "" && !lakeIDPattern.MatchString(o.LakeID) {
		return UsageErrorf("--lake-id %q: expected the 8 digits behind \"siglake:\" in the names of the lake's subscriptions; siglake webhooks list --all shows them", o.LakeID)
	}
	return nil
}

var lakeIDPattern = regexp.MustCompile(`^[0-9a-f]{8}$`)

// maxHookURL is the length that the vendor allows.
const maxHookURL = 2048

// checkHookURL checks what the vendor requires of a URL.
func checkHookURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "":
		return UsageErrorf("--url: expected the address of your receiver, such as https://hooks.example.com/in")
	case u.User != nil:
		return UsageErrorf("--url %s: no user or password belongs there", u.Redacted())
	case u.Fragment != "":
		return UsageErrorf("--url %q: omit what follows #", text)
	case len(text) > maxHookURL:
		return UsageErrorf("--url: it is longer than the %d bytes that the vendor allows", maxHookURL)
	case u.Scheme == "https":
		return nil
	}
	ip := net.ParseIP(u.Hostname())
	if u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()) {
		return nil // of a simulator on this machine
	}
	return UsageErrorf("--url %q: the vendor delivers to https addresses only", text)
}

// newLakeID is a name by which the vendor's list tells the subscriptions of lakes apart.
func newLakeID() string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return fmt.Sprintf("%x", b)
}

// plan reads list, lake and account, and says what has to change.
func (s *WebhookSyncer) plan(ctx context.Context) (err error) {
	if s.state, err = s.store.read(ctx); err != nil {
		return err
	}
	s.report = &WebhookSync{Attempted: s.options.Yes, Lake: s.Lake, List: s.List, Name: s.options.Name, Rejects: []pipeline.RejectLine{}}
	if err := errors.Join(s.checkStateShard(), s.adoptState()); err != nil {
		return err
	}
	if err := s.readLines(ctx); err != nil {
		return err
	}
	if s.report.Search, err = s.planSearch(ctx); err != nil {
		return err
	}
	if err := s.want(); err != nil || s.options.Yes { // what is carried out is compared then
		return err
	}
	changes, err := planWebhookChanges(ctx, s.conn.client.Webhooks(), s.state, "", s.env.Now())
	if err != nil {
		return askError(ctx, err)
	}
	s.report.WebhookChanges = *changes
	return nil
}

// adoptState completes the state by the options: the lake's id and URL.
func (s *WebhookSyncer) adoptState() error {
	o, state := &s.options, s.state
	switch {
	case o.LakeID == "" || o.LakeID == state.Lake:
	case state.Lake != "":
		return UsageErrorf("--lake-id %s: the subscriptions of this lake are named after %s; omit the flag", o.LakeID, state.Lake)
	}
	state.Lake = cmp.Or(state.Lake, o.LakeID)
	known := state.Lake != ""
	if !known {
		state.Lake = newLakeID()
	}
	if state.URL = cmp.Or(o.URL, state.URL); state.URL == "" {
		return UsageErrorf("name the address that the vendor delivers to with --url: that of siglake listen, or of the proxy in front of it, such as https://hooks.example.com/in")
	}
	if s.report.URL = state.URL; known || s.options.Yes { // a plan keeps no new id
		s.report.LakeID = state.Lake
	}
	return nil
}

// want makes the state want what the list stands for.
func (s *WebhookSyncer) want() error {
	entities := s.lines.entities
	if len(entities) == 0 && s.lines.missing == 0 {
		return UsageErrorf("%s has no line that can be subscribed to; to end its subscriptions, use siglake webhooks remove %s", s.List, s.options.Name)
	}
	list := subscriptions.List{Name: s.options.Name, URI: s.List, Signals: SplitWords(s.options.Signals), Shard: s.Source.Shard}
	if before := s.state.FindList(list.Name); before != nil {
		list.Synced = before.Synced
	}
	s.report.Entities = len(entities)
	if len(entities) == 0 { // their ids are not known yet
		return nil
	}
	s.state.SetList(list, s.report.Signals, entities)
	return nil
}

// planSearch says what the search for ids costs that the lake does not know; nil: it knows all.
func (s *WebhookSyncer) planSearch(ctx context.Context) (*WebhookSearch, error) {
	if s.lines.missing == 0 {
		return nil, nil
	}
	l, err := openLakeIfExists(ctx, s.env, s.Store, s.Lake)
	if err != nil {
		return nil, err
	}
	if l != nil {
		defer l.close() //nolint:errcheck // nothing was written
		if err := s.checkLake(ctx, l); err != nil {
			return nil, err
		}
	}
	plan, err := newPlanner(s.Job, l).build(ctx)
	if err != nil {
		return nil, err
	}
	return &WebhookSearch{Lines: s.lines.missing, Calls: plan.Calls, MaxCredits: plan.Credits.Ceiling, Notes: plan.Notes}, nil
}

// carryOut buys the ids that are missing, and changes the subscriptions.
func (s *WebhookSyncer) carryOut(ctx context.Context) (exit int, err error) {
	if s.report.Search != nil {
		if exit, err = s.search(ctx); err != nil {
			return exit, err
		}
		if err := s.readLines(ctx); err != nil {
			return exit, err
		}
		if err := s.want(); err != nil {
			return exit, err
		}
	}
	w := &webhookWriter{env: s.env, client: s.conn.client.Webhooks(), store: s.store, state: s.state}
	changes, err := w.reconcile(ctx, "")
	if changes != nil {
		s.report.WebhookChanges = *changes
	}
	if s.report.Done = err == nil; err == nil && changes.Actions[subscriptions.Create] > 0 {
		secret, secretErr := s.conn.client.Webhooks().Secret(ctx)
		s.report.NoSecret = secretErr == nil && secret.IsEmpty() // the vendor may refuse to show it
	}
	return exit, err
}

// search buys the ids that the lake does not know, by a run like that of siglake resolve.
func (s *WebhookSyncer) search(ctx context.Context) (exit int, err error) {
	report := s.Report
	s.Report = func(m *pipeline.Manifest) {
		if s.report.Search.Bought == nil {
			s.report.Search.Bought = &BoughtSearch{}
		}
		s.report.Search.Bought.add(m)
		report(m)
	}
	m, nothing, err := s.runPasses(ctx)
	switch {
	case err != nil:
		return 0, err
	case m != nil:
		exit = ManifestExit(m)
	case nothing != nil:
		exit = OutcomeExit(nothing.Outcome)
	}
	if exit == ExitRejects { // the report counts the lines itself
		exit = ExitComplete
	}
	return exit, nil
}

// exitCode is that of a sync whose search ended with a code.
func (s *WebhookSyncer) exitCode(search int) int {
	code := search
	if s.report.ByStatus[schema.Rejected] > 0 {
		code = max(code, s.ExitOf(ExitRejects, s.report.ByStatus[schema.Rejected], s.report.Lines))
	}
	if len(s.report.Problems) > 0 || s.report.Actions[subscriptions.Refuse] > 0 {
		code = max(code, ExitRejects)
	}
	if s.report.Done && (s.report.Pending > len(s.report.Problems) || s.report.ByStatus[schema.Deferred] > 0) {
		code = max(code, ExitDeferred)
	}
	if s.report.ByStatus[schema.InDoubt] > 0 {
		code = max(code, ExitInDoubt)
	}
	return code
}

// subscribedLines are the lines of a list as they are subscribed to.
type subscribedLines struct {
	entities []subscriptions.Entity
	index    map[schema.Entity]int
	missing  int64 // lines with an id that is not known
}

// add adds a line to those of its entity, and reports whether it is the first one.
func (l *subscribedLines) add(e schema.Entity, accountKey string) (first bool) {
	i, known := l.index[e]
	if !known {
		i = len(l.entities)
		l.index[e] = i
		l.entities = append(l.entities, subscriptions.Entity{Object: e.Object, ID: e.ID})
	}
	if keys := &l.entities[i].AccountKeys; !slices.Contains(*keys, accountKey) {
		*keys = append(*keys, accountKey)
	}
	return !known
}

// readLines reads the list, and finds the id of each line as the lake knows it.
func (s *WebhookSyncer) readLines(ctx context.Context) error {
	list, err := s.listInput.open(ctx)
	if err != nil {
		return err
	}
	defer list.Close() //nolint:errcheck // it was only read
	s.listInput.logReading(s.env.Log, s.List, list)
	if s.report.Signals == nil {
		if err := s.chooseSignals(ctx, list.Input().Object); err != nil {
			return err
		}
	}
	l, err := openLakeIfExists(ctx, s.env, s.Store, s.Lake)
	if err != nil {
		return err
	}
	var purchases pipeline.Purchases
	if l != nil {
		defer l.close() //nolint:errcheck // nothing was written
		if err := s.checkShard(ctx, l); err != nil {
			return err
		}
		purchases = l.ledger.Purchases(nil, ttlOf(&s.spec))
	}
	if purchases, err = withPendingOptOuts(ctx, s.env, s.Store, s.Lake, l, purchases); err != nil {
		return err
	}
	r := s.report
	r.Lines, r.ByStatus, r.Rejects = 0, map[schema.Status]int64{}, []pipeline.RejectLine{}
	s.lines = &subscribedLines{index: map[schema.Entity]int{}}
	before := s.entitiesByKey()
	for a, err := range list.Accounts(ctx) {
		if err != nil {
			return runError(err)
		}
		s.addLine(ctx, &a, purchases, before)
	}
	return ctx.Err()
}

// entitiesByKey are the entities that the lines of the list were subscribed to before.
func (s *WebhookSyncer) entitiesByKey() map[string]schema.Entity {
	known := map[string]schema.Entity{}
	for i := range s.state.Subscriptions {
		u := &s.state.Subscriptions[i]
		for _, w := range u.Wants {
			for _, key := range w.AccountKeys {
				if w.List == s.options.Name {
					known[key] = schema.Entity{Object: u.Object, ID: u.EntityID}
				}
			}
		}
	}
	return known
}

// maxListedRejects is the number of rejected lines in the report.
const maxListedRejects = 20

// addLine adds a line to the report, and to what is subscribed to if its id is known.
func (s *WebhookSyncer) addLine(ctx context.Context, a *schema.Account, purchases pipeline.Purchases, before map[string]schema.Entity) {
	r := s.report
	r.Lines++
	reject := ""
	switch {
	case a.Reject != nil:
		reject = a.Reject.String()
	case a.Identifier() == "":
		reject = "no identifier that can be requested"
	case len(r.Signals[a.Object]) == 0:
		reject = fmt.Sprintf("none of the signals applies to a %s; add one with --signals", a.Object)
	}
	if reject != "" {
		r.ByStatus[schema.Rejected]++
		if len(r.Rejects) < maxListedRejects {
			r.Rejects = append(r.Rejects, pipeline.RejectLine{File: a.File, Line: a.Line, Key: a.Key, Reason: reject})
		}
		return
	}
	if purchases != nil && purchases.Suppressed(ctx, a) != "" {
		r.ByStatus[schema.Restricted]++
		e, _ := findEntity(ctx, a, purchases)
		s.state.NoteOptedOut(cmp.Or(e.ID, before[a.Key].ID))
		return
	}
	e, status := findEntity(ctx, a, purchases)
	if e.ID == "" && (status == schema.Deferred || status == schema.InDoubt) && before[a.Key].Object == a.Object {
		e = before[a.Key] // what the line was found to be
	}
	switch {
	case e.ID == "":
		r.ByStatus[status]++
		if status == schema.Deferred {
			s.lines.missing++
		}
	case !s.lines.add(e, a.Key):
		r.ByStatus[schema.Duplicate]++
	}
}

// findEntity is the entity of a line with its id; without one if the lake does not know it, with the status of the line.
func findEntity(ctx context.Context, a *schema.Account, purchases pipeline.Purchases) (schema.Entity, schema.Status) {
	if a.ID != "" {
		return schema.Entity{Object: a.Object, ID: a.ID}, ""
	}
	if purchases == nil {
		return schema.Entity{}, schema.Deferred
	}
	found := purchases.Resolve(ctx, a)
	if found.Entity.ID == "" && found.Status == "" {
		return schema.Entity{}, schema.Deferred
	}
	return schema.Entity{Object: a.Object, ID: found.Entity.ID}, found.Status
}

// chooseSignals expands --signals to keys that the API offers, which it says for free.
func (s *WebhookSyncer) chooseSignals(ctx context.Context, object schema.Object) error {
	v := newQueryBuilder(s.Job, func(string) {}).newVersion(pipeline.V2, "")
	offered := map[schema.Object]*lusha.Options{}
	objects := candidateObjects(cmp.Or(s.listOptions.Object, object))
	words, err := s.applicableWords(objects)
	if err != nil {
		return err
	}
	for _, o := range objects {
		if !mayConcern(words, o) {
			continue
		}
		var err error
		if offered[o], err = v.options(ctx, o); err != nil {
			return askError(ctx, fmt.Errorf("requesting what the API offers: %w", err))
		}
	}
	chosen, err := chooseSignals(words, offered, v)
	if err != nil {
		return err
	}
	for _, keys := range chosen {
		slices.Sort(keys)
	}
	s.report.Signals = chosen
	return nil
}

// applicableWords are the words of --signals that name a signal about an object that the lines of the list can be.
func (s *WebhookSyncer) applicableWords(objects []schema.Object) (words []string, err error) {
	var others []string
	for _, word := range SplitWords(s.options.Signals) {
		if slices.ContainsFunc(objects, func(o schema.Object) bool { return mayConcern([]string{word}, o) }) {
			words = append(words, word)
		} else {
			others = append(others, word)
		}
	}
	switch {
	case len(words) == 0:
		return nil, UsageErrorf("every line of %s is a %s, and none of these signals is about one: %s; siglake signals lists those that are", s.List, objects[0], strings.Join(others, ", "))
	case len(others) > 0:
		s.env.Log.Warn(fmt.Sprintf("every line of the list is a %s: these signals apply to none", objects[0]), "signals", strings.Join(others, ","))
	}
	return words, nil
}

// planWebhookChanges lists the account's subscriptions and says what has to change. removed is as in
// subscriptions.Compare.
func planWebhookChanges(ctx context.Context, client lusha.Webhooks, state *subscriptions.State, removed string, now time.Time) (*WebhookChanges, error) {
	exist, err := listSubscriptions(ctx, client)
	if err != nil {
		return nil, err
	}
	return newWebhookChanges(state, subscriptions.Compare(state, exist, removed, now)), nil
}

// listSubscriptions lists the account's subscriptions. While others are deleted, pages move, so that some may be
// missing: then the list is read once more.
func listSubscriptions(ctx context.Context, client lusha.Webhooks) ([]lusha.Subscription, error) {
	exist, total, err := client.Subscriptions(ctx)
	if err == nil && total > int64(len(exist)) {
		exist, _, err = client.Subscriptions(ctx)
	}
	return exist, err
}

func newWebhookChanges(state *subscriptions.State, c *subscriptions.Comparison) *WebhookChanges {
	w := &WebhookChanges{Actions: map[subscriptions.Action]int{}, Steps: []WebhookStep{}, Problems: []WebhookProblem{}, Strays: len(c.Strays), Others: c.Others, Pause: state.Pause, stray: c.Strays, state: state}
	for i := range c.Steps {
		s := &c.Steps[i]
		w.Actions[s.Action]++
		if s.Action == subscriptions.Keep {
			continue
		}
		step := WebhookStep{Action: s.Action, Object: s.Object(), EntityID: s.EntityID(), AccountKey: state.AccountKey(s.Object(), s.EntityID()), Reason: s.Reason}
		if s.Exists != nil {
			step.ID = s.Exists.ID
		}
		w.Steps = append(w.Steps, step)
		if !s.GapFrom.IsZero() {
			w.Gaps++
		}
	}
	w.OptOutGaps = state.OptOutGapsAt(c.OptOut)
	w.Replaces, w.Calls = webhookCalls(c)
	if w.Replaces {
		w.Gaps = max(w.Gaps, countChanged(c))
	}
	return w
}

// countChanged is the number of subscriptions that exist and change.
func countChanged(c *subscriptions.Comparison) int {
	return c.Count(subscriptions.Change) + c.Count(subscriptions.Unblock) + c.Count(subscriptions.Adopt)
}

// maxPatches is the number of subscriptions that are changed one by one. It takes two minutes; to delete and create
// as many, a few calls.
const maxPatches = 200

// webhookCalls says how changes are carried out, and in how many calls.
func webhookCalls(c *subscriptions.Comparison) (replaces bool, calls int) {
	blocks := func(n int) int { return (n + lusha.MaxHookItems - 1) / lusha.MaxHookItems }
	changed := countChanged(c)
	calls = blocks(c.Count(subscriptions.Create)) + blocks(c.Count(subscriptions.Delete))
	if c.OptOut != nil && !c.OptOut.Active {
		calls++
	}
	if changed > maxPatches {
		return true, calls + 2*blocks(changed)
	}
	return false, calls + changed
}

// IsEmpty reports whether nothing has to change.
func (w *WebhookChanges) IsEmpty() bool { return w.Calls == 0 }

// Duration is how long the changes take by the vendor's quota of calls.
func (w *WebhookChanges) Duration() time.Duration {
	return time.Duration(w.Calls/lusha.HooksPerMinute) * time.Minute
}

// StraysText names lists of which the lake has subscriptions and knows nothing; empty: none.
func (w *WebhookChanges) StraysText() string {
	if len(w.stray) == 0 {
		return ""
	}
	var lists []string
	for i := range w.stray {
		lists = append(lists, strings.TrimPrefix(w.stray[i].Name, subscriptions.NamePrefix(w.state.Lake)))
	}
	slices.Sort(lists)
	return fmt.Sprintf("%s of lists that this lake does not know (%s): they deliver, and are charged; siglake webhooks remove NAME deletes those of a list", format.Count(len(w.stray), "subscription"), format.List(slices.Compact(lists), 3))
}

// errWebhooksStopped ends a command that was stopped between two calls.
var errWebhooksStopped = errors.New("stopped; what was done stays, and the same command does the rest")
