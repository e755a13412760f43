package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/bucket/buckettest"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/inbox"
	"github.com/siglake/siglake/internal/lease"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// delivered is a delivery of an event that the simulator's API returned.
type delivered struct {
	uid, digest, entity, signal string
	credits                     int64
	delivery                    inbox.Delivery
}

// deliveriesOf turns the events of a rig's lake into deliveries of them, each in the form that webhooks have: the ids
// of people are numbers, departments are a list of objects, and the seniority is absent.
func (r *rig) deliveriesOf(received time.Time) (all []delivered) {
	r.t.Helper()
	var rows []map[string]any
	for _, m := range r.generations() {
		rows = append(rows, (&rig{t: r.t, lake: r.lake, manifest: m}).events()...)
	}
	for i, row := range rows {
		var record map[string]json.RawMessage
		r.decode([]byte(row["raw"].(string)), &record)
		object := row["object_type"].(string)
		if object == "contact" {
			delete(record, "currentSeniorityLabel")
			for sample, name := range map[string]string{"id": "personId", "newCompany": "currentCompanyName", "previousCompany": "previousCompanyName"} {
				if value, ok := record[sample]; ok && record[name] == nil { // a record with the names of V3's sample alone
					record[name] = value
				}
				delete(record, sample)
			}
			record["personId"] = json.RawMessage(strings.Trim(string(record["personId"]), `"`))
			if name, ok := record["currentDepartments"]; ok {
				record["currentDepartments"] = json.RawMessage(`[{"id":4,"value":` + string(name) + `}]`)
			}
		}
		data, err := json.Marshal(record)
		if err != nil {
			r.t.Fatal(err)
		}
		d := delivered{uid: row["event_uid"].(string), digest: row[schema.ContentDigest].(string), entity: row["entity_id"].(string), signal: row["signal_type"].(string), credits: 1}
		id := fmt.Sprintf("5a0d2a58-3f0c-4c55-9f43-%012d", i)
		d.delivery = inbox.Delivery{ID: id, Kind: inbox.Event, Received: received.Add(time.Duration(i) * time.Second).UTC(), Stamp: "1", Body: fmt.Appendf(nil,
			`{"id":%q,"type":%q,"entityType":%q,"entityId":%q,"subscriptionId":"66aa","data":%s,"timestamp":"2026-04-02T08:15:30.120Z","billing":{"creditsCharged":%d}}`, id, d.signal, object, d.entity, data, d.credits)}
		all = append(all, d)
	}
	if len(all) == 0 {
		r.t.Fatal("the lake has no events")
	}
	return all
}

// receive appends deliveries to the inbox of a lake, as siglake listen does.
func receive(t *testing.T, lake string, deliveries ...delivered) {
	t.Helper()
	i, err := inbox.Open(t.Context(), lake, inbox.Options{MaxWaiting: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	for _, d := range deliveries {
		if _, err := i.Append(t.Context(), &d.delivery); err != nil {
			t.Fatal(err)
		}
	}
}

// publish runs siglake webhooks publish on a lake.
func publish(t *testing.T, lake string) (r app.PublishReport) {
	t.Helper()
	code, stdout, stderr := runProgram(t, "webhooks", "publish", "--lake", lake, "--json")
	if code != exitComplete {
		t.Fatalf("publish: exit %d: %s", code, stderr)
	}
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("%s: %v", stdout, err)
	}
	return r
}

// polledRig is a rig with a lake that has bought contacts, and companies with every signal.
func polledRig(t *testing.T) *rig {
	t.Helper()
	r := newRig(t, simulator.Config{Seed: 11})
	r.poll()
	return r
}

// poll buys all signals of companies, and of contacts.
func (r *rig) poll() {
	r.t.Helper()
	for object, line := range map[string]string{"company": "company-11-%04d.example", "contact": "https://www.linkedin.com/in/sample-%d"} {
		list := "key," + map[string]string{"company": "domain", "contact": "linkedin"}[object] + "\n"
		for i := range 12 {
			list += fmt.Sprintf("%s%d,"+line+"\n", object, i, i)
		}
		if v := r.exec(r.t.Context(), []string{"run", "-"}, list, "--signals", "all", "--since", "180d", "--object", object); v.code != exitComplete {
			r.t.Fatalf("exit %d: %s", v.code, v.stderr)
		}
	}
}

// eventsOf are the uids with their digests of all generations of a lake, and of how many rows.
func eventsOf(t *testing.T, lake string) (digests map[string][]string) {
	t.Helper()
	digests = map[string][]string{}
	for _, m := range (&rig{t: t, lake: lake}).generations() {
		for _, row := range (&rig{t: t, lake: lake, manifest: m}).events() {
			uid := row["event_uid"].(string)
			digests[uid] = append(digests[uid], row[schema.ContentDigest].(string))
		}
	}
	return digests
}

// TestPublishKnownEvents: an event that was polled is delivered as well: it is charged for, and has one row.
func TestPublishKnownEvents(t *testing.T) {
	t.Parallel()
	r := polledRig(t)
	before := eventsOf(t, r.lake)
	deliveries := r.deliveriesOf(time.Now())
	byType := map[string]bool{}
	for _, d := range deliveries {
		byType[d.signal] = true
	}
	if len(byType) < 20 {
		t.Fatalf("the lake has %d types, want nearly all", len(byType))
	}
	receive(t, r.lake, deliveries...)
	got := publish(t, r.lake)
	n := int64(len(deliveries))
	if got.Deliveries != n || got.Known != n || got.New != 0 || got.Changed != 0 || got.Credits != n {
		t.Errorf("published %+v, want %d known events and credits", got, n)
	}
	if diff := cmp.Diff(before, eventsOf(t, r.lake)); diff != "" {
		t.Errorf("events (-before +after):\n%s", diff)
	}
	if again := publish(t, r.lake); again.Run != "" || again.Deliveries != 0 {
		t.Errorf("published again: %+v", again)
	}
	verifyLake(t, r.lake)
}

// TestPublishNewEvents: a delivered event has the id that a polled one has. What is polled afterwards, as the API
// returns it, is known. A copy of a delivery counts once, and the lake can be rebuilt from its journal alone.
func TestPublishNewEvents(t *testing.T) {
	t.Parallel()
	r := polledRig(t)
	deliveries := r.deliveriesOf(time.Now())
	lake := t.TempDir() + "/pushed"
	half := len(deliveries) / 2
	receive(t, lake, deliveries[:half]...)
	first := publish(t, lake)
	copied := slices.Clone(deliveries[:half])
	for i := range copied { // long after, when the inbox has forgotten the ids
		copied[i].delivery.Received = copied[i].delivery.Received.Add(48 * time.Hour)
	}
	var log []delivered
	log = append(append(log, copied...), deliveries[half:]...)
	receiveAgain(t, lake, log)
	second := publish(t, lake)
	if n := int64(len(deliveries)); first.New+second.New != n || first.Credits+second.Credits != n || second.Copies != int64(half) || first.Deliveries+second.Deliveries != n {
		t.Errorf("published %+v and %+v, want %d events and credits, %d copies", first, second, n, half)
	}
	polled, pushed := eventsOf(t, r.lake), eventsOf(t, lake)
	if diff := cmp.Diff(keysOf(polled), keysOf(pushed)); diff != "" {
		t.Errorf("events (-polled +delivered):\n%s", diff)
	}
	differing := 0
	for uid, digests := range pushed {
		if len(digests) != 1 {
			t.Errorf("event %s has %d rows", uid, len(digests))
		}
		if !slices.Equal(digests, polled[uid]) {
			differing++
		}
	}
	if contacts := differingContacts(deliveries); differing > contacts {
		t.Errorf("%d events have other digests than the polled ones, want those of at most %d people", differing, contacts)
	}
	verifyLake(t, lake)
	rebuilt := t.TempDir() + "/rebuilt"
	if code, _, stderr := runProgram(t, "rebuild", "--lake", lake, "--into", rebuilt); code != exitComplete {
		t.Fatalf("rebuild: exit %d: %s", code, stderr)
	}
	if diff := cmp.Diff(pushed, eventsOf(t, rebuilt)); diff != "" {
		t.Errorf("rebuilt events (-before +after):\n%s", diff)
	}
	verifyLake(t, rebuilt)
	r.lake = lake
	r.poll() // a window, which nothing that was delivered answers
	checkCompleted(t, lake, pushed, polled)
	receiveAgain(t, lake, moved(deliveries, 96*time.Hour, "-again")) // under other ids
	if again := publish(t, lake); again.New != 0 || again.Changed != 0 || again.Known != int64(len(deliveries)) {
		t.Errorf("delivered after they were polled: %+v, want known events", again)
	}
	checkCompleted(t, lake, pushed, polled)
	verifyLake(t, lake)
}

// checkCompleted checks a lake whose events were delivered, and polled later. Where the polled record of a person states more
// than the delivered one, it is its next revision, which the views show; first_seen_at stays that of the delivery. There is
// no further row.
func checkCompleted(t *testing.T, lake string, pushed, polled map[string][]string) {
	t.Helper()
	seniority, completed := map[string]bool{}, 0
	for uid, digests := range eventsOf(t, lake) {
		want := slices.Clone(pushed[uid])
		if !slices.Equal(want, polled[uid]) {
			want, completed = append(want, polled[uid]...), completed+1
		}
		if !slices.Equal(digests, want) {
			t.Errorf("event %s has the contents %v, want %v", uid, digests, want)
		}
	}
	if completed == 0 {
		t.Error("no polled record states more than the delivered one")
	}
	firstSeen := map[string]any{}
	for _, m := range (&rig{t: t, lake: lake}).generations() {
		for _, row := range (&rig{t: t, lake: lake, manifest: m}).events() {
			uid := row["event_uid"].(string)
			if len(pushed[uid]) == 0 || slices.Equal(pushed[uid], polled[uid]) {
				continue
			}
			isPolled := row["ingest_source"] != "webhook"
			if revision := map[bool]string{false: "1", true: "2"}[isPolled]; fmt.Sprint(row["revision"]) != revision {
				t.Errorf("event %s from %v is revision %v, want %s", uid, row["ingest_source"], row["revision"], revision)
			}
			if !isPolled {
				firstSeen[uid] = row["first_seen_at"]
			} else if row["first_seen_at"] != firstSeen[uid] {
				t.Errorf("event %s: first_seen_at %v of the polled revision, want %v", uid, row["first_seen_at"], firstSeen[uid])
			}
			seniority[uid] = seniority[uid] || isPolled && row["current_seniority_label"] != nil
		}
	}
	for uid, known := range seniority {
		if !known {
			t.Errorf("event %s lacks the seniority that polling bought", uid)
		}
	}
}

// moved are deliveries of the same events that arrive later, under other ids.
func moved(deliveries []delivered, by time.Duration, suffix string) []delivered {
	again := slices.Clone(deliveries)
	for i := range again {
		d := &again[i].delivery
		d.Body = bytes.ReplaceAll(d.Body, []byte(d.ID), []byte(d.ID+suffix))
		d.ID, d.Received = d.ID+suffix, d.Received.Add(by)
	}
	return again
}

// differingContacts is the number of delivered events of people: their records lack a field.
func differingContacts(deliveries []delivered) (n int) {
	for _, d := range deliveries {
		if s, _ := schema.LookupSignal(d.signal); s.Object == schema.Contact {
			n++
		}
	}
	return n
}

func keysOf(events map[string][]string) (uids []string) {
	for uid := range events {
		uids = append(uids, uid)
	}
	slices.Sort(uids)
	return uids
}

// receiveAgain appends deliveries of which the inbox knows the ids, as a second listener would that has forgotten them.
func receiveAgain(t *testing.T, lake string, deliveries []delivered) {
	t.Helper()
	i, err := inbox.Open(t.Context(), lake, inbox.Options{Now: func() time.Time { return time.Now().Add(72 * time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	for _, d := range deliveries {
		if fresh, err := i.Append(t.Context(), &d.delivery); err != nil || !fresh {
			t.Fatalf("%v, %v", fresh, err)
		}
	}
}

func verifyLake(t *testing.T, lake string) {
	t.Helper()
	if code, stdout, stderr := runProgram(t, "verify", "--lake", lake); code != exitComplete {
		t.Errorf("verify: exit %d\n%s%s", code, stdout, stderr)
	}
}

// tokenRecords makes V3 state nothing but opaque ids: those of its records are those of its results, too.
type tokenRecords struct {
	next http.RoundTripper

	mu      sync.Mutex
	numbers map[string]any // what the records stated, by token
}

func (r *tokenRecords) RoundTrip(req *http.Request) (*http.Response, error) {
	answer, err := r.next.RoundTrip(req)
	if err != nil || !strings.HasSuffix(req.URL.Path, "/signals") {
		return answer, err
	}
	defer answer.Body.Close()
	decoder := json.NewDecoder(answer.Body)
	decoder.UseNumber()
	var document map[string]any
	if err := decoder.Decode(&document); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	results, _ := document["results"].([]any)
	for _, result := range results {
		entity := result.(map[string]any)
		for _, records := range entity {
			records, _ := records.([]any)
			for _, record := range records {
				record := record.(map[string]any)
				for _, name := range []string{"companyId", "personId", "id"} {
					if record[name] != nil {
						r.numbers[entity["id"].(string)], record[name] = record[name], entity["id"]
					}
				}
			}
		}
	}
	text, err := json.Marshal(document)
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	answer.Header.Del("Content-Length")
	return answer, err
}

// restore gives the records of deliveries the numbers that webhooks have.
func (r *tokenRecords) restore(t *testing.T, deliveries []delivered) {
	t.Helper()
	for i := range deliveries {
		d := &deliveries[i].delivery
		var document map[string]any
		decoder := json.NewDecoder(bytes.NewReader(d.Body))
		decoder.UseNumber()
		if err := decoder.Decode(&document); err != nil {
			t.Fatal(err)
		}
		number := r.numbers[document["entityId"].(string)]
		if number == nil {
			t.Fatalf("no number of %v", document["entityId"])
		}
		data := document["data"].(map[string]any)
		for _, name := range []string{"companyId", "personId", "id"} {
			if data[name] != nil {
				data[name] = number
			}
		}
		var err error
		if d.Body, err = json.Marshal(document); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNightAfterDeliveries: what webhooks have delivered, the nightly run does not buy again, although it asks by domain
// and the deliveries name ids. It publishes the inbox before it asks. The events have the same ids as polled ones, also if
// V3 names entities by opaque ids, as long as its records state the numbers.
func TestNightAfterDeliveries(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, api, object string
		switches          []string
		opaque            bool // nothing that V3 states is a number
	}{
		{name: "v2", api: "v2", object: "company"},
		{name: "v3", api: "v3", object: "company"},
		{name: "v3 tokens", api: "v3", object: "company", switches: []string{"v3-ids=tokens"}},
		{name: "v3 tokens, contacts", api: "v3", object: "contact", switches: []string{"v3-ids=tokens"}},
		{name: "v3 tokens, contacts as in the sample", api: "v3", object: "contact", switches: []string{"v3-ids=tokens", "v3-events=sample"}},
		{name: "v3 tokens in records", api: "v3", object: "company", switches: []string{"v3-ids=tokens"}, opaque: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			switches, err := simulator.ParseSwitches(c.switches)
			if err != nil {
				t.Fatal(err)
			}
			n := newNights(t, simulator.Config{Switches: switches}, companyDomains(12))
			signals := "news,growth"
			if c.object == "contact" {
				signals, n.list = "contact", "key,linkedin\n"
				for i := range 150 {
					n.list += fmt.Sprintf("c%d,https://www.linkedin.com/in/sample-%d\n", i, i)
				}
			}
			records := &tokenRecords{next: http.DefaultTransport, numbers: map[string]any{}}
			if c.opaque {
				envFor(t).Transport = records
			}
			flags := []string{"--api", c.api, "--object", c.object, "--signals", signals, "--since", "last", "--backfill", "60d", "--max-results", "100", "--nightly-types", signals}
			polled, pushed := n.lake, n.lake+"-pushed"
			n.run(0, flags...)
			n.lake = pushed
			n.run(0, flags...)
			n.lake = polled
			if n.run(20, flags...); n.manifest.Events.New < 5 {
				t.Fatalf("%d new events, want some", n.manifest.Events.New)
			}
			var deliveries []delivered
			for _, d := range n.deliveriesOf(n.day(20)) {
				if n.uids(n.manifest)[d.uid] > 0 {
					deliveries = append(deliveries, d)
				}
			}
			if len(c.switches) > 0 && !strings.HasPrefix(deliveries[0].entity, "v1.") {
				t.Fatalf("an event is about %s, want an opaque id", deliveries[0].entity)
			}
			if c.opaque {
				records.restore(t, deliveries)
			}
			want := n.manifest.Events.New
			n.lake = pushed
			receive(t, pushed, deliveries...)
			v := n.run(20, flags...)
			if v.code != exitComplete || v.credits != 0 || n.manifest.Events.Returned != 0 {
				t.Errorf("exit %d, %d credits for %d events that were delivered: %s", v.code, v.credits, n.manifest.Events.Returned, v.stderr)
			}
			generations := n.generations()
			published := generations[len(generations)-2]
			if published.Run.Inbox == nil || published.Events.New != want || published.Credits.Charged != want {
				t.Errorf("published %+v, %+v, want %d new events", published.Run, published.Events, want)
			}
			diff := cmp.Diff(keysOf(eventsOf(t, polled)), keysOf(eventsOf(t, pushed)))
			if c.opaque && diff == "" {
				t.Error("the ids of events do not depend on how their records name the entity: the manual says so, and siglake need not")
			}
			if !c.opaque && diff != "" {
				t.Errorf("events (-polled +delivered):\n%s", diff)
			}
			verifyLake(t, pushed)
		})
	}
}

// receiveOnCall receives a delivery when the first call about signals is made.
type receiveOnCall struct {
	t     *testing.T
	lake  string
	once  *sync.Once
	given delivered
}

func (r receiveOnCall) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodPost {
		r.once.Do(func() {
			r.given.delivery.Received = time.Now().UTC()
			receive(r.t, r.lake, r.given)
		})
	}
	return http.DefaultTransport.RoundTrip(req)
}

// TestDeliveredMeanwhile: what webhooks charge while a run is under way explains a part of what the account lost, and is
// published later.
func TestDeliveredMeanwhile(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{Seed: 12})
	given := inventedDelivery(2)
	receive(t, r.lake, inventedDelivery(1)) // published before the run reads the account
	envFor(t).Transport = receiveOnCall{t, r.lake, new(sync.Once), given}
	r.exec(t.Context(), []string{"run", "-"}, "company-12-0001.example\n", "--signals", "news", "--since", "60d")
	a := r.manifest.Reconciliation
	if a == nil || a.Delivered != given.credits || a.Unmatched == nil || *a.Unmatched != -given.credits {
		t.Fatalf("account %+v, want %d delivered credits, which the simulator did not charge", a, given.credits)
	}
	if got := publish(t, r.lake); got.Deliveries != 1 || got.Credits != given.credits {
		t.Errorf("published %+v", got)
	}
	verifyLake(t, r.lake)
}

// TestPublishOdd: what cannot be read is in the table of other events, with its body. Tests and opt-out notices are no
// events, and an inbox without a delivery makes no run.
func TestPublishOdd(t *testing.T) {
	t.Parallel()
	lake := t.TempDir() + "/lake"
	odd := func(id string, kind inbox.Kind, body string) delivered {
		return delivered{delivery: inbox.Delivery{ID: id, Kind: kind, Received: time.Now().UTC(), Body: []byte(body)}}
	}
	receive(t, lake, odd("t", inbox.Test, `{}`), odd("o", inbox.OptOut, `{"contactId":"1","contactOptOutDate":"2026-05-06 07:41:02"}`))
	if got := publish(t, lake); got.Run != "" || got.Tests != 1 || got.OptOuts != 1 {
		t.Errorf("published %+v, want nothing", got)
	}
	receive(t, lake, odd("u", inbox.Unreadable, "\xff\x00no JSON"), odd("a/b", inbox.Event, `{"type":"shareBuyback","entityType":"company","entityId":"9","data":{"amount":5}}`))
	got := publish(t, lake)
	if got.Deliveries != 2 || got.Unknown != 2 || got.Credits != 0 || got.Tests != 1 {
		t.Errorf("published %+v, want two deliveries with unknown charges", got)
	}
	m := (&rig{t: t, lake: lake}).readManifest()
	at := &rig{t: t, lake: lake, manifest: m}
	for _, row := range at.table(schema.EventTable(schema.CategoryOther)) {
		if raw := row["raw"].(string); !strings.Contains(raw, "no JSON") && raw != `{"amount":5}` {
			t.Errorf("raw %q", raw)
		}
	}
	for _, row := range at.table(schema.Credits) {
		if row["credits"] != nil {
			t.Errorf("a charge of %v that no delivery states", row["credits"])
		}
	}
	if at := m.Events.Written; at != 2 {
		t.Errorf("%d events, want 2", at)
	}
	verifyLake(t, lake)
}

// TestPublishBusy: a lake at which another command is at work is refused at once, and nothing is lost.
func TestPublishBusy(t *testing.T) {
	t.Parallel()
	lake := t.TempDir() + "/lake"
	receive(t, lake, inventedDelivery(1))
	held, err := lease.AcquireFlock(lake+"/_state", "siglake run")
	if err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := runProgram(t, "webhooks", "publish", "--lake", lake); code != exitLocked || !strings.Contains(stderr, "siglake run") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	if got := publish(t, lake); got.New != 1 {
		t.Errorf("published %+v", got)
	}
	if code, _, stderr := runProgram(t, "webhooks", "publish", "--lake", t.TempDir()); code != exitUsage {
		t.Errorf("exit %d without a lake: %s", code, stderr)
	}
}

// TestPublishOnS3: the inbox of a lake in a bucket is published from any machine.
func TestPublishOnS3(t *testing.T) {
	store := buckettest.Start(t)
	lake, access := store.URI("lakes/pushed"), s3LakeFlags(t, store)
	i, err := inbox.Open(t.Context(), lake, inbox.Options{Bucket: openTestBucket(t, store, lake)})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	for round := range 2 {
		for n := range 3 {
			d := inventedDelivery(3*round + n)
			if fresh, err := i.Append(t.Context(), &d.delivery); err != nil || !fresh {
				t.Fatalf("%v, %v", fresh, err)
			}
		}
		for _, want := range []int64{3, 0} {
			code, stdout, stderr := runProgram(t, slices.Concat([]string{"webhooks", "publish", "--lake", lake, "--json"}, access)...)
			var r app.PublishReport
			if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != exitComplete || r.New != want {
				t.Errorf("exit %d, published %+v, %v, want %d events: %s", code, r, err, want, stderr)
			}
		}
	}
	if code, stdout, stderr := runProgram(t, slices.Concat([]string{"verify", "--lake", lake}, access)...); code != exitComplete {
		t.Errorf("verify: exit %d\n%s%s", code, stdout, stderr)
	}
	if chain := bucketGenerations(t, store, lake); len(chain) != 2 {
		t.Errorf("%d generations, want 2", len(chain))
	}
}

// TestWaitForListener: a listener that publishes holds the lock for seconds, and no command fails because of that.
func TestWaitForListener(t *testing.T) {
	t.Parallel()
	lake := t.TempDir() + "/lake"
	receive(t, lake, inventedDelivery(1))
	held, err := lease.AcquireFlock(lake+"/_state", app.ListenHolder)
	if err != nil {
		t.Fatal(err)
	}
	waits, released := &notifyingLog{text: "waiting until", met: make(chan struct{})}, make(chan error, 1)
	go func() { // ends when the command waits
		<-waits.met
		released <- held.Close()
	}()
	var stdout bytes.Buffer
	if code := envFor(t).execute(t.Context(), []string{"siglake", "webhooks", "publish", "--lake", lake}, strings.NewReader(""), &stdout, waits); code != exitComplete || !strings.Contains(stdout.String(), "all new") {
		t.Errorf("exit %d: %s", code, stdout.String())
	}
	waits.once.Do(func() { close(waits.met) })
	if err := <-released; err != nil {
		t.Error(err)
	}
}

// notifyingLog is a log that notices a text.
type notifyingLog struct {
	text string
	met  chan struct{}
	once sync.Once
}

func (l *notifyingLog) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte(l.text)) {
		l.once.Do(func() { close(l.met) })
	}
	return len(line), nil
}

// TestPublishPruned: the bodies of old deliveries can be pruned from the journal. Their charges and ids stay.
func TestPublishPruned(t *testing.T) {
	t.Parallel()
	lake := t.TempDir() + "/lake"
	receive(t, lake, inventedDelivery(1), inventedDelivery(2))
	publish(t, lake)
	envFor(t).Now = func() time.Time { return time.Now().AddDate(0, 2, 0) }
	receive(t, lake, inventedDelivery(3))
	publish(t, lake)
	if code, stdout, stderr := runProgram(t, "prune", "--journal", "--older-than", "40d", "--yes", "--lake", lake); code != exitComplete || !strings.Contains(stdout, "2 answers") {
		t.Fatalf("exit %d: %s%s", code, stdout, stderr)
	}
	verifyLake(t, lake)
	receiveAgain(t, lake, []delivered{inventedDelivery(3)})
	if got := publish(t, lake); got.Run != "" || got.Copies != 1 {
		t.Errorf("published %+v, want a copy", got)
	}
	var status app.LakeStatus
	_, stdout, _ := runProgram(t, "status", "--lake", lake, "--json")
	if err := json.Unmarshal([]byte(stdout), &status); err != nil || status.Credits != 2+3+1 {
		t.Errorf("%d credits, %v, want 6", status.Credits, err)
	}
}

// TestPublishReplacedInbox: an inbox that is lost, and begun anew, costs no delivery that arrives later, and brings none
// twice. So does one that is lost while a publication is unfinished: what was recorded is published.
func TestPublishReplacedInbox(t *testing.T) {
	t.Parallel()
	for _, interrupted := range []bool{false, true} {
		t.Run(fmt.Sprint("interrupted ", interrupted), func(t *testing.T) {
			t.Parallel()
			ownEnv(t)
			lake := t.TempDir() + "/lake"
			receive(t, lake, inventedDelivery(1), inventedDelivery(2))
			if interrupted {
				begun := false // it is recorded
				envFor(t).Hook = func(op, path string, do func() error) error {
					if begun && op == "create" {
						return errors.New("the disk is full")
					}
					begun = begun || op == "sync" && strings.Contains(path, "journal")
					return do()
				}
				if code, _, stderr := runProgram(t, "webhooks", "publish", "--lake", lake); code != exitStorage {
					t.Fatalf("exit %d: %s", code, stderr)
				}
				envFor(t).Hook = nil
				if _, stdout, _ := runProgram(t, "status", "--lake", lake); !strings.Contains(stdout, "siglake webhooks publish --lake") {
					t.Errorf("status does not say how to continue: %s", stdout)
				}
			} else {
				publish(t, lake)
			}
			if err := os.RemoveAll(lake + "/_state/inbox"); err != nil {
				t.Fatal(err)
			}
			receive(t, lake, inventedDelivery(1), inventedDelivery(3))
			publish(t, lake)
			var events int
			for _, digests := range eventsOf(t, lake) {
				events += len(digests)
			}
			if events != 3 {
				t.Errorf("%d events, want 3", events)
			}
			verifyLake(t, lake)
			if again := publish(t, lake); again.Run != "" {
				t.Errorf("published again: %+v", again)
			}
		})
	}
}

// TestPublishSample: the delivery in the vendor's documentation is a row, although it lacks fields that polled ones have.
func TestPublishSample(t *testing.T) {
	t.Parallel()
	lake := t.TempDir() + "/lake"
	receive(t, lake, delivered{delivery: inbox.Delivery{ID: "5a0d2a58-3f0c-4c55-9f43-5f7c3a7f1d20", Kind: inbox.Event, Received: time.Date(2026, 4, 2, 8, 15, 31, 0, time.UTC), Body: []byte(
		`{"id":"5a0d2a58-3f0c-4c55-9f43-5f7c3a7f1d20","type":"promotion","entityType":"contact","entityId":"70114455","subscriptionId":"66aa00112233445566778899",` +
			`"data":{"personId":70114455,"currentCompanyId":88003321,"currentTitle":"Head of Finance","currentDepartments":[{"id":4,"value":"Finance"}],"signalDate":"2026-04-01"},` +
			`"timestamp":"2026-04-02T08:15:30.120Z","billing":{"creditsCharged":1}}`)}})
	publish(t, lake)
	m := (&rig{t: t, lake: lake}).readManifest()
	at := &rig{t: t, lake: lake, manifest: m}
	if m.Drift != nil {
		t.Errorf("drift %+v, want none", m.Drift.Found)
	}
	row := at.events()[0]
	for column, want := range map[string]any{
		"entity_id": "70114455", "account_key": "70114455", "call_id": "5a0d2a58-3f0c-4c55-9f43-5f7c3a7f1d20", "ingest_source": "webhook", "object_type": "contact",
		"current_title": "Head of Finance", "current_departments": "Finance", "notes": nil,
	} {
		if row[column] != want {
			t.Errorf("%s is %v, want %v", column, row[column], want)
		}
	}
	call := at.table(schema.Calls)[0]
	for column, want := range map[string]any{"endpoint": "webhook", "credits": int64(1), "entities": int64(1), "events": int64(1)} {
		if call[column] != want {
			t.Errorf("%s of the call is %v, want %v", column, call[column], want)
		}
	}
	if line := at.accountRows()[0]; line["status"] != "enriched" || line["command"] != "webhooks" || line["credits"] != int64(1) {
		t.Errorf("line %v", line)
	}
}

// pushedTo is the network of a simulator's deliveries: all of it is the inbox of a lake.
type pushedTo struct {
	t     *testing.T
	lake  string
	now   func() time.Time
	inbox *inbox.Inbox // open while the simulator delivers
	down  bool         // nothing is received
}

func (p *pushedTo) RoundTrip(req *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	if req.Method == http.MethodGet {
		fmt.Fprintf(w, `{"challenge":%q}`, req.URL.Query().Get("challenge"))
		return w.Result(), nil
	}
	if p.down {
		w.WriteHeader(http.StatusServiceUnavailable)
		return w.Result(), nil
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	var d struct{ ID string }
	if err := json.Unmarshal(body, &d); err != nil {
		return nil, err
	}
	if _, err := p.inbox.Append(req.Context(), &inbox.Delivery{ID: d.ID, Kind: inbox.Event, Received: p.now().UTC(), Stamp: req.Header.Get("X-Lusha-Timestamp"), Body: body}); err != nil {
		return nil, err
	}
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, `{"received":true,"timestamp":"2026-05-01T12:00:00.000Z","webhookId":%q}`, d.ID)
	return w.Result(), nil
}

// TestPushedNights: nights of a list whose entities have subscriptions, as the simulator delivers. The nights buy nothing
// that was delivered, no event is missed or there twice, and the bill is the ledger's to the credit.
func TestPushedNights(t *testing.T) {
	t.Parallel()
	to := &pushedTo{t: t}
	n := newNights(t, simulator.Config{Transport: to}, companyDomains(proof.Size(90, 200, 400)))
	n.watch.Signals = []string{"surgeInHiring", "surgeInHiringByLocation", "financialEventsNews", "peopleNews", "commercialActivityNews", "headcountIncrease1m"}
	signals := strings.Join(n.watch.Signals, ",")
	to.lake, to.now = n.lake, func() time.Time { return n.day(int(n.today.Load())).Add(12 * time.Hour) }
	flags := []string{"--signals", signals, "--since", "last", "--backfill", "60d", "--max-results", "100", "--nightly-types", signals}
	n.run(0, flags...)
	n.subscribe()
	last := proof.Size(12, 30, 30)
	for night := 1; night <= last; night++ {
		n.today.Store(int64(night))
		n.deliver(to)
		n.run(night, flags...)
	}
	bill := n.sim.Bill()
	if bill.Webhooks < 15 {
		t.Fatalf("%d credits for deliveries, want some", bill.Webhooks)
	}
	var charged, pushed, polled int64
	for i, m := range n.generations() {
		charged += m.Credits.Charged
		switch {
		case m.Run.Inbox != nil:
			pushed += m.Credits.Charged
			if m.Events.New != m.Accounts.Lines {
				t.Errorf("%d of %d delivered events are new", m.Events.New, m.Accounts.Lines)
			}
		case i > 0:
			polled += m.Credits.Charged
		}
	}
	if charged != bill.Credits || pushed != bill.Webhooks {
		t.Errorf("the ledger has %d credits, %d of them of deliveries; the bill %d and %d", charged, pushed, bill.Credits, bill.Webhooks)
	}
	if polled > pushed/50+1 { // a night may buy an event again to learn about the edges of windows
		t.Errorf("%d credits for what the nights found besides %d deliveries", polled, pushed)
	}
	for uid, digests := range eventsOf(t, n.lake) {
		if len(digests) != 1 {
			t.Errorf("event %s has %d rows", uid, len(digests))
		}
	}
	f := n.figures(3, 2)
	if f.missed > 0 || f.found < 10 || f.copies > 0 {
		t.Errorf("%s, want no event missed", f)
	}
	t.Logf("%d nights: N %d, %d credits for deliveries, %d for polling after the first night", last, f.visible, pushed, polled)
	verifyLake(t, n.lake)
}

// TestPushedOutage: the receiver is down for six hours of a night, in which the vendor gives deliveries up and blocks
// their subscriptions. The sync of the next night switches them on, and its run has the events that were not delivered,
// due or not, for hardly more than they cost.
func TestPushedOutage(t *testing.T) {
	t.Parallel()
	var at atomic.Int64 // Unix time
	now := func() time.Time { return time.Unix(at.Load(), 0).UTC() }
	at.Store(firstNight.Add(2 * time.Hour).Unix())
	setNow(t, now)
	to, companies := &pushedTo{t: t, now: now}, companyDomains(proof.Size(120, 400, 2400))
	n := &nights{rig: newRig(t, simulator.Config{Seed: 1, Credits: 1 << 40, Now: now, Transport: to}), list: strings.Join(companies, "\n") + "\n", first: firstNight}
	n.watch.Companies, n.watch.Signals = companies, []string{"surgeInHiring", "surgeInHiringByLocation", "financialEventsNews", "peopleNews", "commercialActivityNews"}
	signals := strings.Join(n.watch.Signals, ",")
	to.lake = n.lake
	printed := ""
	run := func() {
		t.Helper()
		v := n.exec(t.Context(), []string{"run", "-"}, n.list, "--signals", signals, "--since", "last", "--backfill", "60d", "--max-results", "100")
		if v.code != exitComplete {
			t.Fatalf("exit %d: %s", v.code, v.stderr)
		}
		n.credits, n.calls, printed = append(n.credits, v.credits), append(n.calls, v.calls), v.stdout
	}
	run()
	if strings.Contains(printed, "Webhooks") {
		t.Errorf("the summary of a lake without webhooks speaks of them:\n%s", printed)
	}
	before := int64(len(eventsOf(t, n.lake)))
	if code, _, stderr := runProgram(t, "webhooks", "rotate-secret", "--secret-file", filepath.Join(t.TempDir(), "secrets"), "--base-url", n.server.URL); code != exitComplete {
		t.Fatalf("rotate-secret: exit %d: %s", code, stderr)
	}
	sync := func() {
		t.Helper()
		v := n.exec(t.Context(), []string{"webhooks", "sync", "-", "--name", "companies"}, n.list, "--signals", signals, "--url", "https://hooks.example/in", "--yes")
		if v.code != exitComplete || v.credits != 0 {
			t.Fatalf("sync: exit %d, %d credits: %s", v.code, v.credits, v.stderr)
		}
	}
	sync()
	last, outage, lost := proof.Size(12, 30, 30), proof.Size(7, 15, 15), int64(0)
	var byNight []int64 // credits for deliveries on the simulator's own bill: one for each event
	for night := 1; night <= last; night++ {
		midnight, billed := n.day(night).Unix(), n.sim.Bill().Webhooks
		to.down = night == outage
		for hour := range int64(7) {
			at.Store(midnight + 3600*hour + 1800)
			n.deliver(to)
		}
		to.down = false
		sync()
		run()
		byNight = append(byNight, n.sim.Bill().Webhooks-billed)
		if night == outage {
			lost = n.manifest.Events.New
		}
		line := format.Thousands(byNight[night-1]) + "   new events delivered since the last nightly run · " + format.Thousands(n.manifest.Events.New) + " of subscribed entities found by polling"
		if !strings.Contains(printed, line) {
			t.Errorf("night %d: the summary lacks %q:\n%s", night, line, printed)
		}
	}
	if lost == 0 {
		t.Errorf("the night of the outage found no event, want those that were not delivered")
	}
	var polled, pushed, delivered int64 // credits, and events since the last nightly run
	for i, m := range n.generations() {
		switch share := m.Run.Webhooks; {
		case m.Run.Inbox != nil:
			pushed, delivered = pushed+m.Credits.Charged, delivered+m.Events.New
		case i == 0 && share != nil:
			t.Errorf("the run before the first subscription counts deliveries: %+v", share)
		case i > 0:
			polled += m.Credits.Charged
			if !m.Run.SinceLast { // a generation of a sync
				continue
			}
			if len(byNight) == 0 {
				t.Fatalf("generation %d: a night too many", m.Generation)
			}
			if want := (pipeline.WebhookShare{Delivered: delivered, Polled: m.Events.New}); share == nil || *share != want || delivered != byNight[0] {
				t.Errorf("generation %d counts deliveries %+v, want %+v; the bill has %d", m.Generation, share, want, byNight[0])
			}
			before += share.Delivered + share.Polled
			delivered, byNight = 0, byNight[1:]
		}
	}
	if rows := int64(len(eventsOf(t, n.lake))); before != rows || len(byNight) > 0 {
		t.Errorf("the nights account for %d events, the lake has %d; %d nights are not there", before, rows, len(byNight))
	}
	bill, f := n.sim.Bill(), n.figures(3, 2)
	if pushed != bill.Webhooks {
		t.Errorf("%d credits for deliveries in the ledger, the bill has %d", pushed, bill.Webhooks)
	}
	if f.missed > 0 || f.copies > 0 || pushed+polled > f.visible+f.visible/50+3 {
		t.Errorf("%s; want no event missed, and at most 1.02 N credits", f)
	}
	rebuilt := t.TempDir() + "/rebuilt"
	if code, _, stderr := runProgram(t, "rebuild", "--lake", n.lake, "--into", rebuilt); code != exitComplete {
		t.Fatalf("rebuild: exit %d: %s", code, stderr)
	}
	if diff := cmp.Diff(n.shares(), (&nights{rig: &rig{t: t, lake: rebuilt}}).shares()); diff != "" {
		t.Errorf("what webhooks delivered and polling found, by run (-before +rebuilt):\n%s", diff)
	}
	t.Logf("%d nights, N %d: %d credits for deliveries, %d for polling (%.3f N); %d events of the outage", last, f.visible, pushed, polled, float64(pushed+polled)/float64(f.visible), lost)
	verifyLake(t, n.lake)
}

// shares are what webhooks delivered and polling found, by run.
func (n *nights) shares() map[string]*pipeline.WebhookShare {
	n.t.Helper()
	shares := map[string]*pipeline.WebhookShare{}
	for _, m := range n.generations() {
		shares[m.Run.ID] = m.Run.Webhooks
	}
	return shares
}

// TestReplayedDeliveries: the events of the past month that the simulator delivers to new subscriptions are those that
// a run has requested by domain: each is paid for twice, and has one row.
func TestReplayedDeliveries(t *testing.T) {
	t.Parallel()
	var minutes atomic.Int64
	now := func() time.Time { return firstNight.Add(12*time.Hour + time.Duration(minutes.Load())*time.Minute) }
	setNow(t, now)
	to := &pushedTo{t: t, now: now}
	n := &nights{rig: newRig(t, simulator.Config{Now: now, Transport: to, DeliveryReplay: 30 * 24 * time.Hour})}
	to.lake = n.lake
	list := domainLines(30)
	if v := n.exec(t.Context(), []string{"run", "-"}, list, "--signals", "news,growth", "--since", "60d", "--max-results", "100"); v.code != exitComplete {
		t.Fatalf("exit %d: %s", v.code, v.stderr)
	}
	if code, _, stderr := runProgram(t, "webhooks", "rotate-secret", "--secret-file", filepath.Join(t.TempDir(), "secrets"), "--base-url", n.server.URL); code != exitComplete {
		t.Fatalf("rotate-secret: exit %d: %s", code, stderr)
	}
	if v := n.exec(t.Context(), []string{"webhooks", "sync", "-", "--name", "companies"}, list, "--signals", "news,growth", "--url", "https://hooks.example/in", "--yes"); v.code != exitComplete {
		t.Fatalf("sync: exit %d: %s", v.code, v.stderr)
	}
	for range 3 {
		minutes.Add(1)
		n.deliver(to)
	}
	got := publish(t, n.lake)
	if got.Deliveries < 5 || got.Known != got.Deliveries || got.Credits != n.sim.Bill().Webhooks {
		t.Errorf("published %+v, want known events only, and the %d credits of the bill", got, n.sim.Bill().Webhooks)
	}
	verifyLake(t, n.lake)
}

// subscribe subscribes to the watched signals of the lake's entities.
func (n *nights) subscribe() {
	n.t.Helper()
	var items []string
	for _, row := range n.accountRows() {
		if id, ok := row["entity_id"].(string); ok {
			items = append(items, fmt.Sprintf(`{"entityId":%q}`, id))
		}
	}
	types := `"` + strings.Join(n.watch.Signals, `","`) + `"`
	n.manage("/api/account/secret/regenerate", `{}`)
	for block := range slices.Chunk(items, 25) {
		n.manage("/api/subscriptions", fmt.Sprintf(`{"defaults":{"url":"https://hooks.example/in","entityType":"company","signalTypes":[%s]},"subscriptions":[%s]}`, types, strings.Join(block, ",")))
	}
}

// manage makes a call about webhooks.
func (n *nights) manage(path, body string) {
	n.t.Helper()
	req, err := http.NewRequestWithContext(n.t.Context(), http.MethodPost, n.server.URL+path, strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	req.Header.Set("api_key", app.SimulatedKey)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "siglake-test")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	if answer, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode/100 != 2 || strings.Contains(string(answer), `"success":false`) {
		n.t.Fatalf("%s: %d %s %v", path, resp.StatusCode, answer, err)
	}
}

// deliver delivers what is due.
func (n *nights) deliver(to *pushedTo) {
	n.t.Helper()
	var err error
	if to.inbox, err = inbox.Open(n.t.Context(), to.lake, inbox.Options{Now: to.now}); err != nil {
		n.t.Fatal(err)
	}
	defer to.inbox.Close()
	if _, err := n.sim.Webhooks.Deliver(n.t.Context()); err != nil {
		n.t.Fatal(err)
	}
}
