package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/inbox"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/schema"
)

// optOutFeed is a lake with contacts, a listener, and a simulator that delivers notices to it.
type optOutFeed struct {
	*rig
	listener *listening
	list     string
	contacts map[string]string // ids of contacts that were found, by the key of their line
}

// optOutContacts is the number of contacts in the list.
const optOutContacts = 36

func newOptOutFeed(t *testing.T) *optOutFeed {
	t.Helper()
	f := &optOutFeed{rig: newRig(t, simulator.Config{Seed: 11}), contacts: map[string]string{}}
	env := ownEnv(t)
	env.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
		if !strings.HasSuffix(req.URL.Path, "/account/usage") {
			return http.DefaultTransport.RoundTrip(req)
		}
		w := httptest.NewRecorder() // the account would answer five times a minute
		w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
		w.Header().Set("Content-Type", "application/json")
		answer(w, http.StatusForbidden, map[string]any{"statusCode": 403, "message": "Forbidden", "errors": []string{"not on this plan"}})
		return w.Result(), nil
	})
	env.set(app.SecretVariable, f.post("/api/account/secret/regenerate", "{}")["secret"].(string))
	f.list = "key,linkedin\n"
	for i := range optOutContacts {
		f.list += fmt.Sprintf("k%d,https://www.linkedin.com/in/sample-%d\n", i, i)
	}
	f.mustRun(f.list)
	for _, a := range f.accountRows() {
		if id, ok := a["entity_id"].(string); ok && a["status"] == string(schema.Enriched) {
			f.contacts[a["account_key"].(string)] = id
		}
	}
	if len(f.contacts) < 4 {
		t.Fatalf("%d contacts have ids, want some", len(f.contacts))
	}
	f.listener = startListening(t, env, f.lake)
	f.mustExit(exitComplete, "webhooks", "opt-outs", "--url", f.listener.url, "--base-url", f.server.URL)
	return f
}

// post makes a request to the simulator, and returns its answer.
func (f *optOutFeed) post(path, body string) (answer map[string]any) {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), http.MethodPost, f.server.URL+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header = http.Header{"Api_key": {canary}, "Content-Type": {"application/json"}, "User-Agent": {"siglake-test/1"}}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		f.t.Fatalf("POST %s: %s", path, resp.Status)
	}
	_ = json.NewDecoder(resp.Body).Decode(&answer) // it may be empty
	return answer
}

// optOut makes a contact opt out by the simulator's route, and waits until the notice is delivered.
func (f *optOutFeed) optOut(contact string) {
	f.t.Helper()
	f.post("/_simulator/opt-out?contact="+contact, "")
	if _, err := f.sim.Webhooks.Deliver(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	all := f.sim.Deliveries()
	if d := all[len(all)-1]; d.State != simulator.DeliveryAcknowledged {
		f.t.Fatalf("the notice is %+v, want it acknowledged", d)
	}
}

// mustRun runs a list of contacts from the day on which the last run ended.
func (f *optOutFeed) mustRun(list string, flags ...string) runResult {
	f.t.Helper()
	v := f.exec(f.t.Context(), []string{"run", "-"}, list, append([]string{"--signals", "contact", "--since", "180d", "--api", "v2"}, flags...)...)
	if v.code != exitComplete {
		f.t.Fatalf("run %v: exit %d: %s", flags, v.code, v.stderr)
	}
	return v
}

// requests are the persons that are listed, and whether there are notices that no run has recorded.
func (f *optOutFeed) requests() (contacts []string, pending bool) {
	f.t.Helper()
	var listed []app.ErasureRequest
	f.decode([]byte(f.mustExit(exitComplete, "erase", "list", "--json")), &listed)
	for _, r := range listed {
		contacts = append(contacts, r.Contact)
	}
	return contacts, strings.Contains(f.mustExit(exitComplete, "erase", "list"), "further notice")
}

func (f *optOutFeed) wantRequests(want ...string) {
	f.t.Helper()
	if got, pending := f.requests(); !slices.Equal(got, want) || pending {
		f.t.Errorf("requests %v, further ones: %v; want %v alone", got, pending, want)
	}
}

// TestOptOutFeed: a notice of the simulator is durable when it is acknowledged, and has its effect on whatever asks next:
// plans, syncs, searches, runs, nights and seeds. A copy changes nothing, views and exports leave the person out, and
// rebuilt and salvaged lakes know the request.
func TestOptOutFeed(t *testing.T) {
	t.Parallel()
	f := newOptOutFeed(t)
	keys := []string{}
	for key := range f.contacts {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	key := keys[0]
	gone, others := f.contacts[key], optOutContacts-1
	f.optOut(gone)
	if n := len(storedIDs(t, f.lake)); n != 1 {
		t.Fatalf("%d deliveries are durable, want the notice", n)
	}
	f.listener.stop(exitComplete)

	// Before any run has recorded it.
	if got, pending := f.requests(); len(got) != 0 || !pending {
		t.Errorf("requests %v before they are recorded, further ones: %v", got, pending)
	}
	var plan app.PlanReport
	f.decode([]byte(f.exec(t.Context(), []string{"plan", "-"}, f.list, "--signals", "contact", "--since", "10d", "--api", "v2", "--refresh", "--json").stdout), &plan)
	if plan.WithoutCall[schema.Restricted] != 1 || plan.Entities != int64(others) {
		t.Errorf("the plan asks about %d persons, %v; want one restricted", plan.Entities, plan.WithoutCall)
	}
	v := f.exec(t.Context(), []string{"webhooks", "sync", "-"}, f.list, "--name", "people", "--signals", "contact", "--url", "http://127.0.0.1:1/in", "--json")
	var sync app.WebhookSync
	f.decode([]byte(v.stdout), &sync)
	if sync.ByStatus[schema.Restricted] != 1 || slices.ContainsFunc(sync.Steps, func(s app.WebhookStep) bool { return s.EntityID == gone }) {
		t.Errorf("the sync subscribes to %+v, want one line restricted", sync.Steps)
	}
	// A search is no run that publishes, and asks about persons.
	if v := f.exec(t.Context(), []string{"resolve", "-"}, f.list); v.code != exitComplete || v.entities > others {
		t.Errorf("resolve: exit %d, asked about %d persons: %s", v.code, v.entities, v.stderr)
	}
	f.wantRequests(gone)
	f.checkGone(key, gone)

	f.copies(gone)
	f.checkSeeds(keys)
	f.checkViews(gone)
	f.checkSurvival(key, gone)
}

// checkGone checks that nothing asks about the person of a line.
func (f *optOutFeed) checkGone(key, gone string) {
	f.t.Helper()
	for _, api := range []string{"v2", "v3"} {
		if v := f.mustRun(f.list, "--refresh", "--api", api); v.entities == 0 || f.manifest.Accounts.ByStatus[schema.Restricted] != 1 {
			f.t.Errorf("%s: asked about %d persons, %v", api, v.entities, f.manifest.Accounts.ByStatus)
		}
		for _, row := range f.events() {
			if row["entity_id"] == gone {
				f.t.Errorf("%s: bought %v", api, row["event_uid"])
			}
		}
	}
	line := "key,linkedin\nk,linkedin.com/in/sample-" + strings.TrimPrefix(key, "k") + "\n"
	for _, words := range [][]string{{"run", "-", "--since", "last", "--signals", "contact"}, {"resolve", "-"}, {"score", "-"}} {
		if v := f.exec(f.t.Context(), words, line); v.entities != 0 {
			f.t.Errorf("%v asked about the person: exit %d: %s", words, v.code, v.stderr)
		}
	}
}

// erasureRecord is the kind of the record of a request in the journal.
const erasureRecord = 19

// copies receives the notice once more: while the inbox knows it, and when it has forgotten it; and a later notice about
// the same person, which is another request.
func (f *optOutFeed) copies(gone string) {
	f.t.Helper()
	var notice inbox.Delivery
	r, err := inbox.OpenReader(f.t.Context(), f.lake, inbox.Options{})
	if err != nil {
		f.t.Fatal(err)
	}
	defer r.Close()
	end, _ := r.End(f.t.Context())
	for d, err := range r.Deliveries(f.t.Context(), "", end) {
		if err != nil {
			f.t.Fatal(err)
		}
		notice = d
	}
	if notice.Kind != inbox.OptOut || !strings.Contains(string(notice.Body), gone) {
		f.t.Fatalf("the inbox has %+v", notice)
	}
	l := startListening(f.t, envFor(f.t), f.lake)
	l.vendor.secret = envFor(f.t).Getenv(app.SecretVariable)
	if status, answer, err := l.vendor.post(f.t.Context(), string(notice.Body)); err != nil || status != http.StatusCreated || !strings.Contains(answer, `"webhookId":""`) {
		f.t.Errorf("a copy: %d %s, %v", status, answer, err)
	}
	l.stop(exitComplete)
	if n := storedIDs(f.t, f.lake)[notice.ID]; n != 1 {
		f.t.Errorf("the notice is %d times in the inbox", n)
	}
	receiveAgain(f.t, f.lake, []delivered{{delivery: notice}, inventedDelivery(3)})
	publish(f.t, f.lake)
	f.wantRequests(gone)
}

// checkSeeds checks that a person who has opted out is no seed.
func (f *optOutFeed) checkSeeds(keys []string) {
	f.t.Helper()
	seeds := "linkedin\n"
	for i := range 8 {
		seeds += fmt.Sprintf("https://www.linkedin.com/in/sample-%s\n", strings.TrimPrefix(append(keys, "k20", "k21", "k22", "k23", "k24")[i], "k"))
	}
	v := f.exec(f.t.Context(), []string{"lookalikes", "--seeds", "-"}, seeds, "--limit", "10")
	if v.calls != 0 || v.code != exitUsage || !strings.Contains(v.stderr, "line 2") {
		f.t.Errorf("lookalikes: exit %d, %d calls: %s", v.code, v.calls, v.stderr)
	}
}

// checkViews checks that views and exports leave the person out.
func (f *optOutFeed) checkViews(gone string) {
	f.t.Helper()
	code, script, stderr := runProgram(f.t, "ddl", "--lake", f.lake)
	if code != exitComplete {
		f.t.Fatalf("ddl: exit %d: %s", code, stderr)
	}
	for _, block := range strings.Split(script, "CREATE OR REPLACE TEMP ")[1:] {
		name := strings.Split(block, `"`)[1]
		table, known := schema.TableNamed(strings.TrimSuffix(name, "_all"))
		if table.IsEvent() && name == table.Name { // it reads the other
			continue
		}
		if hides := strings.Contains(block, "'"+gone+"'"); known && (table.IsEvent() || table.IsProduct() || name == "accounts" || name == "credits") && !hides {
			f.t.Errorf("the view %s shows the person", name)
		}
	}
	for _, flags := range [][]string{{"--events"}, nil, {"--list", "-"}, {"--list", "-", "--events"}} {
		v := f.exec2([]string{"export", "--output", "-", "--format", "csv"}, flags)
		for _, line := range strings.Split(v, "\n") {
			if strings.Contains(line, gone) {
				f.t.Errorf("export %v has %s", flags, line)
			}
		}
		if len(v) < 200 {
			f.t.Errorf("export %v: %q", flags, v)
		}
	}
}

// exec2 runs a command that reads the lake alone, and gives what it prints.
func (f *optOutFeed) exec2(words, flags []string) string {
	f.t.Helper()
	var out, problems strings.Builder
	args := slices.Concat([]string{"siglake"}, words, []string{"--lake", f.lake}, flags)
	if code := envFor(f.t).execute(f.t.Context(), args, strings.NewReader(f.list), &out, &problems); code != exitComplete {
		f.t.Fatalf("%v: exit %d: %s", args, code, problems.String())
	}
	return out.String()
}

// checkSurvival checks that a rebuilt lake and a salvaged one know the request.
func (f *optOutFeed) checkSurvival(key, gone string) {
	f.t.Helper()
	verifyLake(f.t, f.lake)
	into := filepath.Join(f.t.TempDir(), "rebuilt")
	f.mustExit(exitComplete, "rebuild", "--into", into)
	original := f.lake
	f.lake = into
	f.wantRequests(gone)
	f.checkGone(key, gone)
	f.lake = original
	damaged := map[byte]bool{} // a record of each kind
	defer func() {
		if !damaged[erasureRecord] {
			f.t.Error("the journal has no record of the request")
		}
	}()
	for _, p := range recordPlaces(f.t, filepath.Join(original, app.StateDir, "journal")) {
		if damaged[p.kind] || !proof.IsShort() && p.kind != 1 && p.kind != erasureRecord {
			continue
		}
		damaged[p.kind] = true
		f.lake = filepath.Join(f.t.TempDir(), "damaged")
		if err := os.CopyFS(f.lake, os.DirFS(original)); err != nil {
			f.t.Fatal(err)
		}
		path := filepath.Join(f.lake, app.StateDir, "journal", p.segment+".journal")
		raw, err := os.ReadFile(path)
		if err != nil {
			f.t.Fatal(err)
		}
		raw[p.at+33] ^= 0x55 // in its head
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			f.t.Fatal(err)
		}
		f.salvage(exitComplete, "--accept-loss")
		f.exec(f.t.Context(), []string{"resolve", "-"}, "key,linkedin\nk,linkedin.com/in/nobody\n")
		if f.wantRequests(gone); f.t.Failed() {
			f.t.Fatalf("after the loss of a record of kind %d", p.kind)
		}
	}
}
