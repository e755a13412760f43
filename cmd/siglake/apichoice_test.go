package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/schema"
)

// proxy stands in front of a simulator; it says whether it has answered.
type proxy func(w http.ResponseWriter, q *http.Request) bool

// useProxy puts the rig's simulator behind a front.
func (r *rig) useProxy(answered proxy) {
	r.t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if !answered(w, q) {
			r.sim.ServeHTTP(w, q)
		}
	}))
	r.t.Cleanup(server.Close)
	r.server = server
}

// refuseV2 answers V2's paths with a status.
func refuseV2(status int, body string) func(*rig) proxy {
	answer := func(w http.ResponseWriter, q *http.Request) bool {
		gone := strings.HasPrefix(q.URL.Path, "/api/signals/")
		if gone {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body) // of a test's own server
		}
		return gone
	}
	return func(*rig) proxy { return answer }
}

// addNewSignal adds an unknown signal to what V3 offers, and an event of it to every
// answer of V3.
func (r *rig) addNewSignal(w http.ResponseWriter, q *http.Request) bool {
	if !strings.HasPrefix(q.URL.Path, "/v3/companies/signals") || strings.Contains(q.URL.Path, "filters") {
		return false
	}
	edit := func(raw []byte, how func(map[string]any)) []byte {
		var doc map[string]any
		r.decode(raw, &doc)
		how(doc)
		out, err := json.Marshal(doc)
		if err != nil {
			r.t.Error(err)
		}
		return out
	}
	if q.Method == http.MethodPost {
		body, err := io.ReadAll(q.Body)
		if err != nil {
			r.t.Error(err)
		}
		body = edit(body, func(m map[string]any) {
			m["signalTypes"] = slices.DeleteFunc(m["signalTypes"].([]any), func(v any) bool { return v == "moodSwing" })
		})
		q.Body, q.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	answer := httptest.NewRecorder()
	r.sim.ServeHTTP(answer, q)
	out := edit(answer.Body.Bytes(), func(m map[string]any) {
		if types, ok := m["signalTypes"].([]any); ok {
			m["signalTypes"] = append(types, "moodSwing")
		}
		if results, ok := m["results"].([]any); ok {
			first := results[0].(map[string]any)
			first["moodSwing"] = []any{map[string]any{"companyId": first["id"], "mood": "high", "signalDate": "2026-05-01"}}
		}
	})
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(out) // of a test's own server
	return true
}

// TestChooseAPIVersion: --api auto chooses by asking what costs nothing, and says
// why.
func TestChooseAPIVersion(t *testing.T) {
	t.Parallel()
	const (
		two, three = "/api/signals/companies/search", "/v3/companies/signals"
		gone       = `{"statusCode":410,"message":"V2 has been switched off"}`
	)
	for _, c := range []struct {
		name   string
		list   string
		flags  []string
		front  func(*rig) proxy
		asks   string // the path of the signals
		says   string
		events string // a signal type of which there must be some
	}{
		{name: "V2 has it all", asks: two, says: "API V2: it offers everything requested"},
		{name: "named", flags: []string{"--api", "v3"}, asks: three},
		{name: "V2 is gone", front: refuseV2(410, gone), asks: three,
			says: "API V3: v2 answers: V2 has been switched off"},
		{name: "V2 has no route", front: refuseV2(404, `{"message":"no Route matched with those values","request_id":"7"}`), asks: three, says: "API V3: v2 answers: "},
		{name: "V2 is not of the plan", front: refuseV2(403, `{"statusCode":403,"message":"Forbidden","errors":["signals are not part of your plan"]}`), asks: three, says: "API V3: v2 answers: "},
		{name: "a signal of V3", flags: []string{"--signals", "linkedinActivityIntent"}, asks: three,
			says: "API V3: v2 does not have linkedinActivityIntent", events: "linkedinActivityIntent"},
		{name: "opaque ids", list: "key,lusha company id\n1,88003321\n2,v1.none\n", asks: three, says: `API V3: the list has ids such as \"v1.none\"`},
		{name: "a new signal", flags: []string{"--signals", "surgeInHiring,moodSwing"}, front: func(r *rig) proxy { return r.addNewSignal }, asks: three,
			says: "API V3: v2 does not offer moodSwing", events: "moodSwing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, fixedDayConfig(t))
			if c.front != nil {
				r.useProxy(c.front(r))
			}
			if c.list == "" {
				c.list = domainLines(60)
			}
			if c.name == "opaque ids" {
				c.list = strings.ReplaceAll(c.list, "v1.none", r.opaqueID(t))
				c.says = `the list has ids such as`
			}
			flags := c.flags
			if len(flags) == 0 || flags[0] != "--signals" {
				flags = append([]string{"--signals", "surgeInHiring"}, flags...)
			}
			before := len(r.sim.Bill().Entries)
			r.run(c.list, append([]string{"--since", "180d"}, flags...)...)
			if r.code != exitComplete || !strings.Contains(r.stderr, c.says) || c.says == "" && strings.Contains(r.stderr, "using API") {
				t.Errorf("exit %d, want %d and %q:\n%s", r.code, exitComplete, c.says, r.stderr)
			}
			chosen := false
			var asked []string
			for _, e := range r.sim.Bill().Entries[before:] {
				asked = append(asked, e.Method+" "+e.Path)
				switch {
				case e.Method == http.MethodPost:
					chosen = chosen || e.Path == c.asks || strings.HasPrefix(c.asks, "/v3/") && e.Path == "/v3/companies/search"
					if strings.HasPrefix(e.Path, "/v3/") != strings.HasPrefix(c.asks, "/v3/") {
						t.Errorf("%s is asked, having chosen %s", e.Path, c.asks)
					}
				case !chosen && e.Credits != 0:
					t.Errorf("%s costs %d credits before anything was chosen", e.Path, e.Credits)
				}
			}
			if !chosen {
				t.Errorf("asked %q, want %s", asked, c.asks)
			}
			if c.events != "" && r.manifest.Events.BySignal[c.events] == 0 {
				t.Errorf("events %v, want some of %s", r.manifest.Events.BySignal, c.events)
			}
		})
	}
}

// opaqueID is an id as V3 of the rig's world writes it where it writes tokens.
func (r *rig) opaqueID(t *testing.T) string {
	t.Helper()
	cfg := fixedDayConfig(t, "v3-ids=tokens")
	other := newRig(t, cfg)
	other.run("domain\ncompany-0001.example\ncompany-0002.example\ncompany-0003.example\n", "--signals", "news", "--api", "v3")
	for _, row := range other.table(schema.Accounts) {
		if id, _ := row["entity_id"].(string); strings.HasPrefix(id, "v1.") {
			return id
		}
	}
	t.Fatal("no line has a token for an id")
	return ""
}

// TestActivityByItsKeyAlone: activities on LinkedIn name persons who are not on
// the list, so that no category brings them.
func TestActivityByItsKeyAlone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		signals string
		some    bool
	}{{"all", false}, {"intent", false}, {"intent,news", false}, {"linkedinActivityIntent", true}, {"key:linkedinactivityintent", true}} {
		r := newRig(t, fixedDayConfig(t, "announced"))
		r.run(domainLines(40), "--signals", c.signals, "--api", "v3", "--since", "180d")
		asked := slices.ContainsFunc(r.manifest.Queries[0].ResultTypes(), func(s string) bool { return s == "linkedinActivityIntent" })
		if n := r.manifest.Events.BySignal["linkedinActivityIntent"]; asked != c.some || (n > 0) != c.some {
			t.Errorf("--signals %s: asked %t, %d events, want %t", c.signals, asked, n, c.some)
		}
		if left := strings.Contains(r.stderr, "rows name persons"); left == c.some {
			t.Errorf("--signals %s: said to be left out %t, want %t: %s", c.signals, left, !c.some, r.stderr)
		}
	}
}

// TestChangeAPIVersion: what was bought in one dialect is not bought again in the
// other; only ids are searched.
func TestChangeAPIVersion(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ first, second, ids string }{{"v2", "v3", "numeric"}, {"v3", "v2", "numeric"}, {"v2", "v3", "tokens"}, {"v3", "v2", "tokens"}} {
		r := newRig(t, fixedDayConfig(t, "v3-ids="+c.ids))
		list := listByName(t, 30)
		r.runList(t.Context(), nil, list, "--signals", "all", "--api", c.first)
		signals := func(entries []simulator.Entry) (n int64) {
			for _, e := range entries {
				if strings.Contains(e.Path, "signals") {
					n += e.Credits
				}
			}
			return n
		}
		before := len(r.sim.Bill().Entries)
		if r.manifest.Credits.Charged < 10 {
			t.Fatalf("%s: %d credits, want some", c.first, r.manifest.Credits.Charged)
		}
		var stdout, stderr bytes.Buffer
		args := []string{"siglake", "run", list, "--lake", r.lake, "--base-url", r.server.URL, "--plan", "unlimited", "--rate", "0", "--signals", "all", "--api", c.second}
		code := envFor(t).execute(t.Context(), args, nil, &stdout, &stderr)
		r.manifest = r.readManifest()
		if n := signals(r.sim.Bill().Entries[before:]); code != exitRejects || n != 0 {
			t.Errorf("%s after %s: exit %d, %d credits for signals, want %d and 0; %v", c.second, c.first, code, n, exitRejects, r.manifest.Accounts.ByStatus)
		}
		r.mustExit(exitComplete, "verify")
	}
}

// TestTokensNeedV3: a line with an opaque id is not sent to V2, which is said, and
// costs nothing; the others are.
func TestTokensNeedV3(t *testing.T) {
	t.Parallel()
	token := newRig(t, fixedDayConfig(t)).opaqueID(t)
	r := newRig(t, fixedDayConfig(t))
	r.run("key,lusha company id\n1,88003321\n2,"+token+"\n", "--signals", "surgeInHiring", "--api", "v2")
	rows := r.table(schema.Accounts)
	if reason, _ := rows[1]["reason"].(string); r.code != exitRejects || rows[0]["status"] == "rejected" || rows[1]["status"] != "rejected" || !strings.Contains(reason, "V3") {
		t.Errorf("exit %d, lines %v and %v; want %d, the second rejected because it needs V3", r.code, rows[0]["status"], rows[1], exitRejects)
	}
}

// TestTokensJoin: a lake bought by opaque ids has the ids that V2 knows as aliases.
func TestTokensJoin(t *testing.T) {
	t.Parallel()
	list := listByName(t, 40)
	two, three := newRig(t, fixedDayConfig(t)), newRig(t, fixedDayConfig(t, "v3-ids=tokens"))
	two.runList(t.Context(), nil, list, "--signals", "all", "--api", "v2", "--since", "180d")
	three.runList(t.Context(), nil, list, "--signals", "all", "--api", "v3", "--since", "180d")
	alias := map[string]string{}
	table, _ := schema.TableNamed("aliases")
	for _, row := range three.table(table) {
		alias[row["object_type"].(string)+row["entity_id"].(string)] = row["alias_id"].(string)
	}
	ids := map[string]any{}
	for _, row := range two.events() {
		ids[row["event_uid"].(string)] = row["entity_id"]
	}
	for _, row := range three.events() {
		id, want := row["entity_id"].(string), ids[row["event_uid"].(string)]
		if !strings.HasPrefix(id, "v1.") || alias[row["object_type"].(string)+id] != want {
			t.Errorf("event %s is about %s, whose alias is %q, want %v", row["event_uid"], id, alias[row["object_type"].(string)+id], want)
		}
	}
	if len(alias) < 10 || len(ids) < 10 {
		t.Errorf("%d aliases, %d events, want some: the test shows nothing", len(alias), len(ids))
	}
}

// TestFiltersOfV3: V3 is not trusted to filter, so that what the filters keep out
// is bought, left out here, and kept in the journal; or it is trusted.
func TestFiltersOfV3(t *testing.T) {
	t.Parallel()
	flags := []string{"--signals", "news,growth", "--since", "180d", "--max-results", "100", "--news-event-types", "Partnership,IPO", "--hiring-departments", "Sales,Finance"}
	with := func(r *rig, more ...string) *rig {
		r.run(domainLines(120), append(slices.Clone(flags), more...)...)
		return r
	}
	two := with(newRig(t, fixedDayConfig(t)), "--api", "v2")
	rows := len(two.uids(two.manifest))
	if rows < 20 {
		t.Fatalf("%d rows in V2, want some", rows)
	}
	for _, c := range []struct {
		name     string
		switches []string
		more     []string
		beside   bool
	}{
		{name: "filters the events itself", beside: true},
		{name: "filtered here, V3 being lenient", switches: []string{"v3-filters=lenient"}, beside: true},
		{name: "sent", switches: []string{"v3-filters=lenient"}, more: []string{"--send-filters"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := with(newRig(t, fixedDayConfig(t, c.switches...)), append(c.more, "--api", "v3")...)
			m := r.manifest
			if got := len(r.uids(m)); r.code != exitComplete || got != rows || (m.Events.Filtered > 0) != c.beside || m.Events.Written != two.manifest.Events.Written {
				t.Errorf("exit %d, %d rows, %d beside, want %d, %d, some %t", r.code, got, m.Events.Filtered, exitComplete, rows, c.beside)
			}
			if got := m.Credits.ByAction["showSignalsCompany"]; got != m.Events.Written+m.Events.Duplicate+m.Events.Filtered {
				t.Errorf("%d credits for signals, want one for each of %d rows and %d kept out", got, m.Events.Written, m.Events.Filtered)
			}
			if says := "filtered out"; c.beside && !strings.Contains(r.stdout, says) {
				t.Errorf("the summary does not say %q:\n%s", says, r.stdout)
			}
			r.checkRebuild() // the journal has it all
		})
	}
	t.Run("sent and refused", func(t *testing.T) {
		r := with(newRig(t, fixedDayConfig(t)), "--api", "v3", "--send-filters", "--concurrency", "1") // or other batches are on their way
		m := r.manifest
		if r.code == exitComplete || m.Run.Stop == nil || m.Credits.ByAction["showSignalsCompany"] != 0 || m.Accounts.ByStatus[schema.Deferred] == 0 {
			t.Fatalf("exit %d, stop %+v, credits %+v, fates %v; want a stop and nothing bought", r.code, m.Run.Stop, m.Credits, m.Accounts.ByStatus)
		}
		if text := m.Run.Stop.Reason + " " + m.Run.Stop.Advice; !strings.Contains(text, "--send-filters") {
			t.Errorf("the stop does not speak of --send-filters: %s", text)
		}
		calls := 0
		for _, e := range r.sim.Bill().Entries {
			if e.Path == "/v3/companies/signals" {
				calls++
			}
		}
		if calls > 6 {
			t.Errorf("%d refused calls: the request is at fault, not an item", calls)
		}
		if again := r.rerun(domainLines(120), append(slices.Clone(flags), "--api", "v3")...); again.code != exitComplete {
			t.Errorf("without it: exit %d: %s", again.code, again.stderr)
		}
	})
	t.Run("few of each", func(t *testing.T) { // a cap counts before we filter, and after V2 does
		r := newRig(t, fixedDayConfig(t))
		r.run(domainLines(120), append(slices.Clone(flags[:4]), "--api", "v3", "--max-results", "1", "--news-event-types", "Partnership,IPO")...)
		all := two.uids(two.manifest)
		for uid := range r.uids(r.manifest) {
			if all[uid] == 0 && !slices.ContainsFunc(r.events(), func(row map[string]any) bool { return row["event_uid"] == uid && row["event_type"] == nil }) {
				t.Errorf("%s is no row of V2", uid)
			}
		}
		if r.manifest.Events.CappedPairs == 0 {
			t.Error("no pair reached the cap, want some")
		}
	})
}
