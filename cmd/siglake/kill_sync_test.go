package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/internal/subscriptions"
)

// TestKillSync kills the commands that change subscriptions at random instants, at operations on files, and before and
// after the vendor carries a request out, while lists change and others work on the same account. What the last command
// leaves is what the lists want: each entity once, nothing of others touched, the state what the vendor lists, and each
// entity that was refused is named.
func TestKillSync(t *testing.T) {
	t.Parallel()
	parts, kills := proof.Size(1, 2, 4), proof.Size(4, 25, 100) // kills of each part
	for part := range parts {
		t.Run(fmt.Sprint("part ", part), func(t *testing.T) {
			t.Parallel()
			counts := widenCounts{}
			for seed := uint64(1000*part + 1); counts["kills"] < kills && !t.Failed(); seed++ {
				k := newKilledSyncs(t, seed, counts)
				for range 14 {
					if k.playRound(); t.Failed() {
						t.Fatalf("seed %d", seed)
					}
					if counts["kills"] >= kills {
						break
					}
				}
			}
			t.Log(counts)
		})
	}
}

// killedSyncs are the webhooks of a lake whose commands are killed.
type killedSyncs struct {
	t      *testing.T
	rng    *rand.Rand
	counts widenCounts
	vendor *killingVendor
	lake   string
	dir    string              // of the lists
	size   int                 // of a list, at most
	lists  map[string][]string // entities by the name of the list
	wanted map[string][]string // signals by the name of the list
	// Subscriptions of others as the vendor lists them, by id, and the entities of the lake that they occupy.
	foreign  map[string]string
	refused  map[string]string // codes by entity
	gaps     map[string]bool   // entities of which deliveries may be missing
	isPaused bool
	optOuts  bool // they were subscribed to
}

// The signals of the lists, as the vendor names them.
var (
	syncCompanySignals = []string{"commercialActivityNews", "financialEventsNews", "peopleNews", "surgeInHiring"}
	syncContactSignals = []string{"companyChange", "promotion"}
)

func newKilledSyncs(t *testing.T, seed uint64, counts widenCounts) *killedSyncs {
	t.Helper()
	k := &killedSyncs{
		t: t, rng: rand.New(rand.NewPCG(seed, 23)), counts: counts, lake: filepath.Join(t.TempDir(), "lake"), dir: t.TempDir(), size: 30,
		lists: map[string][]string{}, wanted: map[string][]string{}, foreign: map[string]string{}, gaps: map[string]bool{},
		refused: map[string]string{"1000003": "FORBIDDEN", "1000011": "FORBIDDEN", "1000005": "FOREIGN_SUBSCRIPTION"},
	}
	if proof.IsShort() && seed%4 == 0 {
		k.size = 260 // so that changes replace subscriptions
	}
	asked := 0
	k.vendor = newKillingVendor(t, simulator.Config{Seed: 5, Keys: []string{canary}, Refuse: map[string]int{"1000003": 451, "1000011": 451}, Transport: challenged(&asked)})
	env := ownEnv(t)
	env.set(app.KeyVariable, canary)
	env.set("XDG_STATE_HOME", t.TempDir())
	counts["lakes"]++
	// Of another lake for the same URL, of persons for another one, and of an entity that no list has.
	k.vendor.subscribe(hookURL, "siglake:deadbeef:theirs", "1000005")
	k.vendor.subscribe("https://other.example/in", "CRM", "1000001", "1000002", "1000006")
	k.vendor.subscribe(hookURL, "CRM", "2000000")
	for _, s := range k.vendor.list() {
		k.foreign[s.ID] = fmt.Sprint(s)
	}
	k.vendor.subscribe(hookURL, "by hand", "1000007") // to be adopted
	k.editLists()
	return k
}

// editLists changes what the lists have and want.
func (k *killedSyncs) editLists() {
	for name, first := range map[string]int{"eu": 1_000_000, "us": 1_000_000 + k.size/2, "people": 3_000_000} {
		if k.rng.IntN(3) == 0 && k.lists[name] != nil {
			continue
		}
		k.lists[name] = nil
		most := min(k.size, map[string]int{"people": 30}[name]+k.size)
		for i := range most {
			if k.rng.IntN(4) > 0 || i < 8 {
				k.lists[name] = append(k.lists[name], strconv.Itoa(first+i))
			}
		}
		signals := syncCompanySignals
		if name == "people" {
			signals = syncContactSignals
		}
		if k.wanted[name] == nil || k.rng.IntN(3) == 0 {
			k.wanted[name] = slices.DeleteFunc(slices.Clone(signals), func(string) bool { return k.rng.IntN(3) == 0 })
			if len(k.wanted[name]) == 0 {
				k.wanted[name] = signals[:1]
			}
		}
		kind := "company"
		if name == "people" {
			kind = "contact"
		}
		text := "lusha " + kind + " id,account_id\n"
		for _, id := range k.lists[name] {
			text += id + ",acct-" + id + "\n"
		}
		if err := os.WriteFile(filepath.Join(k.dir, name+".csv"), []byte(text), 0o600); err != nil {
			k.t.Fatal(err)
		}
	}
}

// playRound carries out one command, over and over until one is not killed, and checks what it leaves.
func (k *killedSyncs) playRound() {
	k.t.Helper()
	synced := k.state().Lists
	switch n := k.rng.IntN(10); {
	case n == 0 && len(synced) > 0 && !k.isPaused:
		k.repeat("webhooks", "pause")
		k.isPaused = true
	case k.isPaused && n < 6:
		for _, u := range k.state().Subscriptions {
			k.gaps[u.EntityID] = true
		}
		k.repeat("webhooks", "resume")
		k.isPaused = false
	case n == 1 && len(synced) > 0:
		k.repeat("webhooks", "remove", synced[k.rng.IntN(len(synced))].Name, "--yes")
	case len(synced) > 0 && (n == 2 || n == 3 && !k.optOuts):
		k.repeat("webhooks", "opt-outs", "--url", hookURL)
		k.optOuts = true
	case n < 5 && len(synced) > 0 && !k.isPaused:
		k.disturb()
		fallthrough
	default:
		k.editLists()
		names := slices.Sorted(maps.Keys(k.lists))
		k.sync(names[k.rng.IntN(len(names))])
	}
	k.check()
}

// disturb switches subscriptions of the lake off and deletes some, as a person does at the vendor.
func (k *killedSyncs) disturb() {
	k.t.Helper()
	var own []string
	for _, s := range k.vendor.list() {
		switch {
		case !k.isOwn(s) || k.rng.IntN(4) > 0:
		case s.EntityID == optOutEntity:
			k.vendor.manage(http.MethodPatch, "/api/subscriptions/"+s.ID, `{"isActive":false}`)
		default:
			own = append(own, s.ID)
			k.gaps[s.EntityID] = true
		}
	}
	for i, id := range own[:min(len(own), 20)] {
		if i%2 == 0 {
			k.vendor.manage(http.MethodPatch, "/api/subscriptions/"+id, `{"isActive":false}`)
		} else {
			k.vendor.manage(http.MethodPost, "/api/subscriptions/delete", fmt.Sprintf(`{"ids":[%q]}`, id))
		}
	}
	for _, s := range k.vendor.list() { // those beyond the first 20 are undisturbed
		if slices.Contains(own[min(len(own), 20):], s.ID) {
			delete(k.gaps, s.EntityID)
		}
	}
	k.counts["disturbed"]++
}

// optOutEntity is the entity of a subscription to opt-out notices: the account.
const optOutEntity = "55501"

func (k *killedSyncs) isOwn(s vendorSubscription) bool {
	lake := k.state().Lake
	return lake != "" && strings.HasPrefix(s.Name, "siglake:"+lake+":")
}

// sync makes the vendor's subscriptions those of a list, and checks that a refused entity is named.
func (k *killedSyncs) sync(name string) {
	k.t.Helper()
	args := []string{"webhooks", "sync", filepath.Join(k.dir, name+".csv"), "--signals", strings.Join(k.wanted[name], ","), "--url", hookURL, "--yes", "--json"}
	var r app.WebhookSync
	out := k.repeat(args...)
	if err := json.Unmarshal(out, &r); err != nil {
		k.t.Fatalf("%q: %v", out, err)
	}
	named := map[string]string{}
	for _, p := range r.Problems {
		named[p.EntityID] = p.Code
	}
	want := map[string]string{}
	for _, u := range k.state().Subscriptions {
		if code := k.refused[u.EntityID]; code != "" && !k.isPaused {
			want[u.EntityID] = code
		}
	}
	if diff := cmp.Diff(want, named); diff != "" {
		k.t.Errorf("problems that the sync names (-want +got):\n%s", diff)
	}
	k.counts["entities refused"] += len(want)
}

// repeat runs a command until it is not killed, and gives what it printed.
func (k *killedSyncs) repeat(args ...string) []byte {
	k.t.Helper()
	args = append(args, "--lake", k.lake, "--base-url", k.vendor.url, "--quiet")
	k.counts[strings.Join(args[:2], " ")]++
	for kills := k.rng.IntN(6); ; kills-- {
		code, out := k.live(kills > 0, args...)
		switch code {
		case -1:
			k.counts["kills"]++
		case exitComplete, exitRejects:
			return out
		default:
			k.t.Fatalf("%v: exit %d: %s", args, code, out)
		}
	}
}

// live runs a process and kills it, if it is mortal.
func (k *killedSyncs) live(mortal bool, args ...string) (code int, out []byte) {
	k.t.Helper()
	k.vendor.ahead.Add(int64(time.Minute)) // its quota is not the subject
	d := &death{}
	if mortal {
		d = newDeath(k.rng, 14, 8)
	}
	code, stdout, stderr := k.vendor.live(d, args...)
	if code != exitComplete && code != exitRejects && code != -1 {
		return code, stderr
	}
	return code, stdout
}

func (k *killedSyncs) state() *subscriptions.State {
	k.t.Helper()
	text, err := os.ReadFile(filepath.Join(k.lake, "_state", "webhooks.json"))
	if os.IsNotExist(err) {
		return &subscriptions.State{}
	}
	if err != nil {
		k.t.Fatal(err)
	}
	s, err := subscriptions.Decode(text)
	if err != nil {
		k.t.Fatal(err)
	}
	return s
}

// check compares the vendor's list with the state and with the lists.
func (k *killedSyncs) check() {
	k.t.Helper()
	state := k.state()
	foreign, own := map[string]string{}, map[string][]vendorSubscription{}
	optOuts := 0
	for _, s := range k.vendor.list() {
		switch {
		case s.EntityID == optOutEntity:
			if optOuts++; s.ID != state.OptOut || !s.IsActive {
				k.t.Errorf("the subscription to opt-out notices is %+v, the state has %q", s, state.OptOut)
			}
		case k.isOwn(s):
			own[s.EntityID] = append(own[s.EntityID], s)
		case s.Name != "by hand":
			foreign[s.ID] = fmt.Sprint(s)
		}
	}
	if diff := cmp.Diff(k.foreign, foreign); diff != "" {
		k.t.Errorf("subscriptions of others (-before +after):\n%s", diff)
	}
	if (optOuts == 1) != k.optOuts || optOuts > 1 {
		k.t.Errorf("%d subscriptions to opt-out notices, wanted: %v", optOuts, k.optOuts)
	}
	if (state.Pause != nil) != k.isPaused {
		k.t.Errorf("paused %+v, want %v", state.Pause, k.isPaused)
	}
	wanted, gaps := map[string]bool{}, map[string]bool{}
	for _, g := range state.Gaps {
		gaps[g.EntityID] = true
	}
	for i := range state.Subscriptions {
		u := &state.Subscriptions[i]
		wanted[u.EntityID] = true
		k.checkWanted(u, own[u.EntityID], gaps[u.EntityID])
	}
	maps.DeleteFunc(k.gaps, func(id string, _ bool) bool { return !wanted[id] }) // when it comes back, it is new
	for id, left := range own {
		if !wanted[id] {
			k.t.Errorf("no list has %s, and the vendor has %v", id, left)
		}
	}
	k.checkLists(state)
	k.counts["subscriptions checked"] += len(own)
}

// checkWanted checks what the vendor has of a wanted entity.
func (k *killedSyncs) checkWanted(u *subscriptions.Subscription, own []vendorSubscription, hasGap bool) {
	k.t.Helper()
	if k.gaps[u.EntityID] && !hasGap && k.refused[u.EntityID] == "" && !k.isPaused {
		k.t.Errorf("%s was not delivered for a while, and will not be polled", u.EntityID)
	}
	if code := k.refused[u.EntityID]; code != "" || k.isPaused {
		if len(own) > 0 || u.ID != "" || code != "" && !k.isPaused && !strings.HasPrefix(u.Problem, code) {
			k.t.Errorf("%s is refused or paused: the vendor has %v, the state %+v", u.EntityID, own, *u)
		}
		return
	}
	if len(own) != 1 {
		k.t.Errorf("the vendor has %d subscriptions of %s: %v", len(own), u.EntityID, own)
		return
	}
	s := own[0]
	slices.Sort(s.SignalTypes)
	if u.ID != s.ID || !u.Active || !s.IsActive || u.Problem != "" || s.URL != hookURL || s.EntityType != string(u.Object) || !slices.Equal(u.Signals(), s.SignalTypes) {
		k.t.Errorf("the vendor has %+v, the state %+v with %v", s, *u, u.Signals())
	}
}

// checkLists checks that the state wants what the lists had when they were last synced. That of the present text may
// be a later one, unless it was this round's.
func (k *killedSyncs) checkLists(state *subscriptions.State) {
	k.t.Helper()
	have := map[string]int{}
	for _, u := range state.Subscriptions {
		for _, w := range u.Wants {
			have[w.List]++
		}
	}
	for _, l := range state.Lists {
		if have[l.Name] == 0 || l.Synced.IsZero() {
			k.t.Errorf("the list %s has %d subscriptions, and was synced on %s", l.Name, have[l.Name], l.Synced)
		}
		delete(have, l.Name)
	}
	if len(have) > 0 {
		k.t.Errorf("subscriptions of unknown lists: %v", have)
	}
}

// killingVendor is a simulator that kills the process that asks it.
type killingVendor struct {
	t     *testing.T
	sim   *simulator.Server
	url   string
	ahead atomic.Int64
	open  atomic.Int64 // requests

	mu       sync.Mutex
	killAt   int // the request before which the process dies; negative: after which
	isServed bool
	kill     func()
}

func newKillingVendor(t *testing.T, cfg simulator.Config) *killingVendor {
	t.Helper()
	v := &killingVendor{t: t}
	cfg.Plan, cfg.Credits, cfg.Now = "unlimited", 1<<40, v.now
	var err error
	if v.sim, err = simulator.New(cfg); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(v)
	t.Cleanup(server.Close)
	v.url = server.URL
	return v
}

func (v *killingVendor) now() time.Time { return time.Now().Add(time.Duration(v.ahead.Load())) }

func (v *killingVendor) killFrom(request int, isServed bool, kill func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.killAt, v.isServed, v.kill = request, isServed, kill
}

// ServeHTTP answers as the simulator does. A process can die before its request is carried out, while it is, and after
// the answer.
func (v *killingVendor) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	v.open.Add(1)
	defer v.open.Add(-1)
	v.mu.Lock()
	kill, isServed, dies := v.kill, v.isServed, v.killAt
	switch {
	case v.killAt > 0:
		v.killAt--
	case v.killAt < 0:
		v.killAt++
	}
	v.mu.Unlock()
	switch {
	case dies == 1 && isServed:
		body, err := io.ReadAll(req.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
		kill()
		v.sim.ServeHTTP(httptest.NewRecorder(), req)
		panic(http.ErrAbortHandler)
	case dies == 1:
		kill()
		panic(http.ErrAbortHandler)
	}
	v.sim.ServeHTTP(w, req)
	if dies == -1 {
		kill()
	}
}

// death says when a process dies; the zero value: it lives.
type death struct {
	after     time.Duration // 0: not after a time
	operation int           // on files; see killAt
	request   int           // see killingVendor.killAt
	isServed  bool          // the request before whose answer it dies is carried out
}

// newDeath draws one of so many operations on files or requests, or a time.
func newDeath(rng *rand.Rand, operations, requests int) *death {
	sign := 1 - 2*rng.IntN(2)
	switch rng.IntN(5) {
	case 0:
		return &death{after: 20*time.Millisecond + time.Duration(rng.ExpFloat64()*float64(60*time.Millisecond))}
	case 1, 2:
		return &death{operation: sign * (1 + rng.IntN(operations))}
	default:
		return &death{request: sign * (1 + rng.IntN(requests)), isServed: rng.IntN(2) == 0}
	}
}

// live runs a process until it ends or dies, and gives its exit code, -1 if it was killed, and what it printed.
func (v *killingVendor) live(d *death, args ...string) (code int, stdout, stderr []byte) {
	v.t.Helper()
	cmd := childOf(v.t, os.Args[0], d.operation, args...)
	cmd.Env = append(cmd.Env, clockAhead+"="+time.Duration(v.ahead.Load()).String())
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Start(); err != nil {
		v.t.Fatal(err)
	}
	kill := func() { _ = cmd.Process.Kill() }
	v.killFrom(d.request, d.isServed, kill)
	if d.after > 0 {
		timer := time.AfterFunc(d.after, kill)
		defer timer.Stop()
	}
	code = exitOf(cmd.Wait())
	v.killFrom(0, false, nil)
	v.settle()
	return code, out.Bytes(), problems.Bytes()
}

// settle waits until the requests of a process that is dead are served.
func (v *killingVendor) settle() {
	for v.open.Load() > 0 {
		<-time.After(time.Millisecond)
	}
}

// manage makes a request about webhooks, as others of the account do.
func (v *killingVendor) manage(method, path, body string) []byte {
	v.t.Helper()
	var w *httptest.ResponseRecorder
	for w == nil || w.Code == http.StatusTooManyRequests {
		if w != nil {
			v.ahead.Add(int64(time.Minute)) // its quota is not the subject
		}
		req := httptest.NewRequest(method, path, strings.NewReader(body))
		req.Header = http.Header{"Api_key": {canary}, "Content-Type": {"application/json"}, "User-Agent": {"siglake-test/1"}}
		w = httptest.NewRecorder()
		v.sim.ServeHTTP(w, req)
	}
	if w.Code/100 != 2 || strings.Contains(w.Body.String(), `"success":false`) {
		v.t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
	return w.Body.Bytes()
}

// subscribe subscribes to companies under a name.
func (v *killingVendor) subscribe(url, name string, ids ...string) {
	v.t.Helper()
	var items []string
	for _, id := range ids {
		items = append(items, fmt.Sprintf(`{"entityId":%q,"entityType":"company","signalTypes":["surgeInHiring"],"name":%q}`, id, name))
	}
	v.manage(http.MethodPost, "/api/subscriptions", fmt.Sprintf(`{"defaults":{"url":%q},"subscriptions":[%s]}`, url, strings.Join(items, ",")))
}

// vendorSubscription is a subscription as the vendor lists it.
type vendorSubscription struct {
	ID, EntityType, EntityID, URL, Name, BlockReason string
	SignalTypes                                      []string
	IsActive                                         bool
}

// list lists all subscriptions of the account.
func (v *killingVendor) list() (all []vendorSubscription) {
	v.t.Helper()
	for {
		var page struct {
			Data       []vendorSubscription
			Pagination struct{ HasMore bool }
		}
		if err := json.Unmarshal(v.manage(http.MethodGet, fmt.Sprintf("/api/subscriptions?limit=100&offset=%d", len(all)), ""), &page); err != nil {
			v.t.Fatal(err)
		}
		if all = append(all, page.Data...); !page.Pagination.HasMore {
			return all
		}
	}
}
