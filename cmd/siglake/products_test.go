package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/report"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

func (r *rig) rowsOf(c schema.Category) []map[string]any {
	r.t.Helper()
	table, ok := schema.TableNamed(string(c))
	if !ok {
		r.t.Fatalf("no table %s", c)
	}
	return r.table(table)
}

// rerunCost runs a command once more, or another one after it, and gives what it cost.
func (r *rig) rerunCost(words ...string) (credits int64) {
	r.t.Helper()
	before := r.sim.Bill().Credits
	var stdout, stderr bytes.Buffer
	r.code = envFor(r.t).execute(r.t.Context(), r.args(words), nil, &stdout, &stderr)
	r.stdout, r.stderr, r.manifest = stdout.String(), stderr.String(), r.readManifest()
	return r.sim.Bill().Credits - before
}

// writeDomains writes a list of n domains.
func writeDomains(t *testing.T, n int) string {
	t.Helper()
	return filepath.Join(writeFiles(t, map[string]string{"list.txt": domainLines(n)}), "list.txt")
}

// TestResolve: what was searched is a dataset, and is not searched again.
func TestResolve(t *testing.T) {
	t.Parallel()
	r := newRig(t, fixedDayConfig(t, "restricted=some"))
	list := writeDomains(t, 900) // some of them may not be shown
	r.runChecked(t.Context(), nil, "resolve", list)
	by := r.manifest.Accounts.ByStatus
	if r.code != exitComplete || by[schema.Resolved] < 500 || by[schema.NotFound] < 50 || by[schema.Restricted] < 1 || by[schema.Resolved]+by[schema.NotFound]+by[schema.Restricted] != 900 {
		t.Errorf("exit %d, fates %v; want %d, and all three", r.code, by, exitComplete)
	}
	if m := r.manifest; len(m.Credits.ByAction) != 1 || m.Credits.ByAction["api_search"] != m.Credits.Charged || m.Credits.Charged < by[schema.Resolved]/25 || m.Events.Returned != 0 {
		t.Errorf("credits %+v, events %+v; want searches alone, one for every started 25 of %d", m.Credits, m.Events, by[schema.Resolved])
	}
	ids := map[any]any{}
	for _, row := range r.rowsOf(schema.CategoryIdentities) {
		ids[row["account_key"]] = row["entity_id"]
		if row["identifier_type"] != "domain" || row["identifier"] != row["account_key"] || row["domain"] != row["identifier"] || row["object_type"] != "company" || row["name"] == nil || row["country"] == nil {
			t.Errorf("identity %v is not the match of a domain", row)
		}
	}
	for _, row := range r.table(schema.Accounts) {
		if row["entity_id"] != ids[row["account_key"]] || (row["status"] == "resolved") != (row["entity_id"] != nil) {
			t.Errorf("line %v is %v with id %v, want %v", row["account_key"], row["status"], row["entity_id"], ids[row["account_key"]])
		}
	}
	if n := r.rerunCost("resolve", list); n != 0 || !strings.Contains(r.stdout, "Nothing to do") {
		t.Errorf("the same command: %d credits: %s", n, r.stdout)
	}
	// Another list with the same lines, and one more.
	longer := writeDomains(t, 901)
	if n := r.rerunCost("resolve", longer); n > 1 || r.manifest.Accounts.ByStatus[schema.Cached] != by[schema.Resolved] {
		t.Errorf("a list with one more line: %d credits, %v; want 1 at most, and %d cached", n, r.manifest.Accounts.ByStatus, by[schema.Resolved])
	}
	// Signals in V3 need no further search.
	r.rerunCost("run", list, "--api", "v3", "--signals", "surgeInHiring")
	if n := r.manifest.Credits.ByAction["api_search"]; n != 0 || r.manifest.Events.Written == 0 {
		t.Errorf("a run in V3 after it: %d credits for searches, %d events", n, r.manifest.Events.Written)
	}
	r.checkRebuild()
}

// TestScore: one number for each line, once a day; what has none costs nothing.
func TestScore(t *testing.T) {
	t.Parallel()
	for _, price := range []string{"priced", "unpriced"} {
		r := newRig(t, fixedDayConfig(t, "score-price="+price))
		list := listByName(t, 60)
		r.runChecked(t.Context(), nil, "score", list)
		by, rows := r.manifest.Accounts.ByStatus, r.rowsOf(schema.CategoryScores)
		if r.code != exitRejects || by[schema.Enriched] < 50 || by[schema.NoSignal] < 1 || by[schema.NotFound] < 1 || int64(len(rows)) != by[schema.Enriched] {
			t.Errorf("%s: exit %d, fates %v, %d scores; want %d and a score for each enriched line", price, r.code, by, len(rows), exitRejects)
		}
		objects := map[any]int{}
		for _, row := range rows {
			objects[row["object_type"]]++
			score, ok := row["signal_score"].(float64)
			if !ok || score < 0 || score > 1 || (row["no_active_signals"] == true) != (score == 0) || (row["score_signals"] == nil) != (score == 0) || row["scored_on"] != "2026-05-06" || row["name"] == nil {
				t.Errorf("score %v", row)
			}
		}
		if objects["contact"] == 0 || objects["company"] == 0 {
			t.Errorf("scores of %v, want both", objects)
		}
		want := map[string]int64{"signal_score_company_reveal": int64(objects["company"]), "signal_score_contact_reveal": int64(objects["contact"])}
		if price == "unpriced" {
			want = map[string]int64{"signal_score_company_reveal": 0, "signal_score_contact_reveal": 0}
		}
		if diff := cmp.Diff(want, r.manifest.Credits.ByAction); diff != "" {
			t.Errorf("%s: credits by action (-want +got):\n%s", price, diff)
		}
		for _, row := range r.table(schema.Accounts) {
			if reason, _ := row["reason"].(string); row["status"] == "no_signal" && !strings.HasPrefix(reason, "NO_SCORE") {
				t.Errorf("line %v has no score because of %q", row["account_key"], reason)
			}
		}
		if n := r.rerunCost("score", list); n != 0 {
			t.Errorf("%s: the same command: %d credits", price, n)
		}
		r.checkRebuild()
	}
}

// TestVisitors: pages follow each other whatever the API says of them, and no
// visit comes twice.
func TestVisitors(t *testing.T) {
	t.Parallel()
	var all []string
	for _, pagination := range []string{"page-size", "limit-offset", "absent"} {
		t.Run("row 32 pagination="+pagination, func(t *testing.T) {
			r := newRig(t, fixedDayConfig(t, "pagination="+pagination))
			r.runChecked(t.Context(), nil, "visitors", "--domain", "https://www.shop.example/", "--page-size", "50")
			var got []string
			for _, row := range r.rowsOf(schema.CategoryVisits) {
				got = append(got, fmt.Sprint(row["row_uid"]))
				if row["object_type"] != "company" || row["site"] != "shop.example" || row["window_end"] != "2026-05-06" || row["entity_id"] == nil || row["last_visit"] == nil || row["score"] == nil {
					t.Errorf("visit %v", row)
				}
			}
			slices.Sort(got)
			if all == nil {
				all = got
			}
			if p := r.manifest.Pages; r.code != exitComplete || len(got) < 60 || !slices.Equal(got, all) || !p.Exhausted || p.Results != int64(len(got)) {
				t.Errorf("exit %d, %d visits, pages %+v; want %d, and the same %d to the end", r.code, len(got), p, exitComplete, len(all))
			}
			if c := r.manifest.Credits; c.ByAction["websiteVisits"] != int64(len(got)) || c.WholeCall != 0 {
				t.Errorf("credits %+v, want one for each of %d", c, len(got))
			}
			for _, row := range r.table(schema.Credits) {
				if row["row"] != nil {
					t.Errorf("credits of a page are those of row %v, want none: it is about no line", row["row"])
				}
			}
		})
	}
	t.Run("limit", func(t *testing.T) {
		r := newRig(t, fixedDayConfig(t))
		r.runChecked(t.Context(), nil, "visitors", "--domain", "shop.example", "--page-size", "20", "--limit", "30")
		if p := r.manifest.Pages; p.Results != 30 || p.Exhausted || p.Pages != 2 {
			t.Errorf("--limit 30 in pages of 20: %+v, want two pages, the second a short one", p)
		}
		if n := r.rerunCost("visitors", "--domain", "shop.example", "--page-size", "20", "--limit", "60"); n != 30 || r.manifest.Pages.PriorResults != 30 {
			t.Errorf("--limit 60 after it: %d credits, %+v; want the other 30", n, r.manifest.Pages)
		}
		if n := r.rerunCost("visitors", "--domain", "shop.example", "--page-size", "20", "--limit", "60"); n != 0 {
			t.Errorf("the same command: %d credits", n)
		}
		r.checkRebuild()
	})
	t.Run("a site without pixel", func(t *testing.T) {
		r := newRig(t, fixedDayConfig(t))
		r.runChecked(t.Context(), nil, "visitors", "--domain", "untracked.example")
		if r.code != exitUsage || !strings.Contains(r.stdout, "is not a tracked site of this account") {
			t.Errorf("exit %d, want %d and why: %s%s", r.code, exitUsage, r.stdout, r.stderr)
		}
	})
}

// writeSeeds writes a list of five that resemble no entity in particular.
func writeSeeds(t *testing.T, o schema.Object) string {
	t.Helper()
	text := "key,domain\n"
	if o == schema.Contact {
		text = "key,email\n"
	}
	for i := range 5 {
		text += map[schema.Object]string{
			schema.Company: fmt.Sprintf("s%d,company-%04d.example\n", i, i), schema.Contact: fmt.Sprintf("s%d,%s.sample@harborquill.example\n", i, letters(i)),
		}[o]
	}
	return filepath.Join(writeFiles(t, map[string]string{"seeds.csv": text}), "seeds.csv")
}

// TestLookalikes: results have their rank, continue where they ended, and leave out
// the exclusions.
func TestLookalikes(t *testing.T) {
	t.Parallel()
	for _, o := range []schema.Object{schema.Company, schema.Contact} {
		t.Run(string(o), func(t *testing.T) {
			r := newRig(t, fixedDayConfig(t))
			list := writeSeeds(t, o)
			r.runChecked(t.Context(), nil, "lookalikes", "--seeds", list, "--limit", "30", "--page-size", "20")
			met := map[any]bool{}
			var set, session any
			check := func(from, to int) {
				t.Helper()
				rows := r.rowsOf(schema.CategoryLookalikes)
				ranks := map[int64]bool{}
				for _, row := range rows {
					ranks[row["rank"].(int64)] = true
					set, session = row["seed_set"], row["session_id"]
					if met[row["entity_id"]] || row["entity_id"] == nil || row["object_type"] != string(o) || row["account_key"] != set || session == nil {
						t.Errorf("lookalike %v", row)
					}
					met[row["entity_id"]] = true
				}
				for i := from; i <= to; i++ {
					if !ranks[int64(i)] {
						t.Errorf("nobody has rank %d", i)
					}
				}
				if len(ranks) != to-from+1 || len(rows) != len(ranks) {
					t.Errorf("%d rows, %d ranks, want %d to %d", len(rows), len(ranks), from, to)
				}
			}
			check(1, 30)
			if c := r.manifest.Credits; r.code != exitComplete || c.Charged != 30 || len(c.ByAction) != 1 {
				t.Errorf("exit %d, credits %+v", r.code, c)
			}
			first := set
			if n := r.rerunCost("lookalikes", "--seeds", list, "--limit", "45", "--page-size", "20"); n != 15 {
				t.Errorf("--limit 45 after 30: %d credits, want 15: %s", n, r.stderr)
			}
			check(31, 45)
			if set != first || r.manifest.Pages.PriorResults != 30 {
				t.Errorf("seed set %v after %v, %+v", set, first, r.manifest.Pages)
			}
			if n := r.rerunCost("lookalikes", "--seeds", list, "--limit", "45", "--page-size", "20"); n != 0 {
				t.Errorf("the same command: %d credits", n)
			}
			r.checkRebuild()
		})
	}
	t.Run("exclude", func(t *testing.T) {
		r := newRig(t, fixedDayConfig(t))
		list := writeSeeds(t, schema.Company)
		r.runChecked(t.Context(), nil, "lookalikes", "--seeds", list, "--limit", "10")
		barred := "key,domain\n"
		out := map[any]bool{}
		for i, row := range r.rowsOf(schema.CategoryLookalikes) {
			barred += fmt.Sprintf("x%d,%s\n", i, row["domain"])
			out[row["domain"]] = true
		}
		exclude := filepath.Join(writeFiles(t, map[string]string{"x.csv": barred}), "x.csv")
		if n := r.rerunCost("lookalikes", "--seeds", list, "--limit", "10", "--exclude", exclude); n != 10 || r.manifest.Pages.PriorResults != 0 {
			t.Errorf("with exclusions: %d credits, %+v; want 10 of another set: %s", n, r.manifest.Pages, r.stderr)
		}
		for _, row := range r.rowsOf(schema.CategoryLookalikes) {
			if out[row["domain"]] {
				t.Errorf("%v was excluded", row["domain"])
			}
		}
	})
}

// TestProductSwitches runs the products through every reading of the questions
// that concern them.
func TestProductSwitches(t *testing.T) {
	t.Parallel()
	companies := writeSeeds(t, schema.Company)
	list := listByName(t, 12)
	commands := [][]string{
		{"resolve", list}, {"score", list}, {"lookalikes", "--seeds", companies, "--limit", "6", "--page-size", "3"}, {"visitors", "--domain", "shop.example", "--limit", "6", "--page-size", "3"},
	}
	concern := []string{"charge-field", "status", "not-found", "ids", "session-expiry", "pagination", "v3-ids", "v3-www", "score-price", "restricted", "chaos", "billing"}
	results := func(m *pipeline.Manifest) (n int64) {
		for _, v := range m.Products {
			n += v
		}
		return n
	}
	usual := map[string]int64{}
	for _, doc := range simulator.SwitchDocs() {
		for i, value := range doc.Values {
			setting := doc.Name + "=" + value
			if (i == 0 || !slices.Contains(concern, doc.Name)) && setting != "charge-field=documented" && !proof.IsFull() {
				continue
			}
			for n, words := range commands {
				if usual[words[0]] != 0 && !proof.IsShort() && (n+i)%2 == 0 {
					continue
				}
				t.Run(fmt.Sprintf("row %d %s %s", doc.Row, setting, words[0]), func(t *testing.T) {
					r := newRig(t, fixedDayConfig(t, setting))
					r.runChecked(t.Context(), nil, words...)
					if r.code != exitComplete && r.code != exitRejects {
						t.Fatalf("exit %d: %s", r.code, r.stderr)
					}
					if usual[words[0]] == 0 {
						usual[words[0]] = results(r.manifest)
					}
					if n := results(r.manifest); n < 5 || n != usual[words[0]] && doc.Name != "restricted" && doc.Name != "events" {
						t.Errorf("%d results, want %d", n, usual[words[0]])
					}
					for _, c := range []schema.Category{schema.CategoryIdentities, schema.CategoryScores, schema.CategoryLookalikes, schema.CategoryVisits} {
						for _, row := range r.rowsOf(c) {
							for _, column := range []string{"domain", "company_domain"} {
								if host, _ := row[column].(string); strings.HasPrefix(host, "www.") {
									t.Errorf("%s is %s", column, host)
								}
							}
							if id := fmt.Sprint(row["entity_id"]); (setting == "v3-ids=tokens") != strings.HasPrefix(id, "v1.") {
								t.Errorf("%s of %s: id %s", c, setting, id)
							}
						}
					}
				})
			}
		}
	}
}

// TestSessionExpiry: another session continues one that has ended, and buys nothing
// again.
func TestSessionExpiry(t *testing.T) {
	t.Parallel()
	for _, expiry := range []string{"code", "envelope", "restart"} {
		t.Run("row 26 session-expiry="+expiry, func(t *testing.T) {
			cfg := fixedDayConfig(t, "session-expiry="+expiry)
			var passed atomic.Int64
			cfg.Now = func() time.Time { return envFor(t).Now().Add(time.Duration(passed.Load())) }
			r := newRig(t, cfg)
			list := writeSeeds(t, schema.Company)
			r.runChecked(t.Context(), nil, "lookalikes", "--seeds", list, "--limit", "10")
			seen := map[any]bool{}
			for _, row := range r.rowsOf(schema.CategoryLookalikes) {
				seen[row["entity_id"]] = true
			}
			passed.Store(int64(40 * 24 * time.Hour)) // for the simulator alone
			r.rerunCost("lookalikes", "--seeds", list, "--limit", "16", "--clock-skew-ok")
			var twice int
			rows := r.rowsOf(schema.CategoryLookalikes)
			for _, row := range rows {
				if seen[row["entity_id"]] {
					twice++
				}
			}
			if expiry != "restart" && (len(rows) != 6 || twice != 0 || r.code != exitComplete) {
				t.Errorf("exit %d, %d rows, %d of them bought before; want %d, 6, none: %s", r.code, len(rows), twice, exitComplete, r.stderr)
			}
			if expiry == "restart" && !slices.ContainsFunc(r.table(schema.Calls), func(row map[string]any) bool {
				return strings.Contains(fmt.Sprint(row["notes"]), "session was not continued")
			}) && !strings.Contains(r.stdout+r.stderr, "session") {
				t.Errorf("no message says that the session was not continued: %s%s", r.stdout, r.stderr)
			}
			r.checkRebuild()
		})
	}
}

// TestUsage shows what the account states, and what it does not.
func TestUsage(t *testing.T) {
	t.Parallel()
	ask := func(r *rig, more ...string) string {
		t.Helper()
		args := append([]string{"usage", "--base-url", r.server.URL, "--plan", "unlimited"}, more...)
		code, stdout, stderr := runProgram(t, args...)
		if code != exitComplete {
			t.Errorf("usage %q: exit %d: %s", more, code, stderr)
		}
		return stdout
	}
	for _, c := range []struct {
		plan, body string
		says       []string
		windows    []bool // whether minute, hour and day have a limit
		prices     int
	}{
		{plan: "premium", windows: []bool{true, true, true}, prices: 5, says: []string{"Plan      premium", "api_search", "for every started 25", "calls left, resets 2026-05-06"}},
		{plan: "unlimited", windows: []bool{false, false, false}, prices: 5, says: []string{"Credits   1,000,000 left, 0 used, 1,000,000 in total", "no limit stated"}},
		{body: `{"credits":{"used":7}}`, windows: []bool{false, false, false}, says: []string{"not stated left, 7 used, not stated in total", "minute    no limit stated", "Prices    not stated"}},
		{body: `{"credits":{"total":10,"used":3,"remaining":7},"rateLimits":{"daily":{"limit":100},"hourly":null},"pricing":{"api_search":{"credits":1}}}`, windows: []bool{false, false, true}, prices: 1,
			says: []string{"Credits   7 left, 3 used, 10 in total", "100 calls allowed, remaining not stated", "api_search"}},
	} {
		cfg := fixedDayConfig(t)
		cfg.Plan = c.plan
		r := newRig(t, cfg)
		if c.body != "" {
			r.useProxy(func(w http.ResponseWriter, q *http.Request) bool {
				w.Header().Set("Content-Type", "application/json")
				_, _ = w.Write([]byte(c.body)) // of a test's own server
				return true
			})
		}
		text := ask(r)
		for _, says := range c.says {
			if !strings.Contains(text, says) {
				t.Errorf("usage of %s%s does not say %q:\n%s", c.plan, c.body, says, text)
			}
		}
		var a report.AccountUsage
		r.decode([]byte(ask(r, "--json")), &a)
		var windows []bool
		for _, w := range a.Windows {
			windows = append(windows, w.Limit != nil)
		}
		if !slices.Equal(windows, c.windows) || len(a.Prices) < c.prices || c.prices == 0 && len(a.Prices) > 0 || a.Used == nil {
			t.Errorf("usage --json of %s%s = %+v", c.plan, c.body, a)
		}
		if b := r.sim.Bill(); b.Credits != 0 {
			t.Errorf("usage cost %d credits", b.Credits)
		}
	}
}

// TestReconcileAccount: the manifest holds the account's own count against the bill,
// and others who use the account show.
func TestReconcileAccount(t *testing.T) {
	t.Parallel()
	r := newRig(t, fixedDayConfig(t))
	r.run(domainLines(60), "--signals", "news", "--since", "180d")
	a, charged := r.manifest.Reconciliation, r.manifest.Credits.Charged
	if a == nil || *a.Before != 0 || *a.After != charged || *a.Change != charged || a.Matched != charged || a.Liability != 0 || *a.Unmatched != 0 || *a.Remaining != 1_000_000-charged || charged == 0 {
		t.Errorf("account %s, want all of %d explained", asJSON(t, a), charged)
	}
	if !strings.Contains(r.stdout, "which matches the charges of this run") {
		t.Errorf("the summary:\n%s", r.stdout)
	}
	// Another user charges the account during a run. (The account can be read five
	// times a minute: this one is another.)
	r = newRig(t, fixedDayConfig(t))
	other, once := *r, false
	other.lake = filepath.Join(t.TempDir(), "other")
	var others int64
	simServer := r.server
	r.useProxy(func(_ http.ResponseWriter, q *http.Request) bool {
		if !once && q.Method == http.MethodPost {
			once = true
			other.server = simServer
			others = other.rerunCost("run", writeDomains(t, 40), "--signals", "growth", "--since", "180d", "--quiet")
		}
		return false
	})
	spent := r.rerunCost("run", writeDomains(t, 90), "--signals", "growth,news", "--since", "180d", "--api", "v3")
	a, c := r.manifest.Reconciliation, r.manifest.Credits
	if a.Unmatched == nil {
		t.Fatalf("account %s, want both readings: %s", asJSON(t, a), r.stderr)
	}
	if others == 0 || spent != c.Charged+others || *a.Unmatched != others || *a.Change != spent || a.Matched != c.Charged || *a.After-*a.Before != spent {
		t.Errorf("account %s, want %d beyond %d", asJSON(t, a), others, c.Charged)
	}
	if says := fmt.Sprintf("%d", others); !strings.Contains(r.stdout, "Account       balance fell by") || !strings.Contains(r.stdout, says) {
		t.Errorf("the summary does not say %q:\n%s", says, r.stdout)
	}
	if got := slices.Sorted(maps.Keys(c.ByAction)); !slices.Equal(got, []string{"api_search", "showSignalsCompany"}) {
		t.Errorf("actions %v, want searches and company signals", got)
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestProductsRefuse: what the API would refuse is refused before it is asked.
func TestProductsRefuse(t *testing.T) {
	t.Parallel()
	four := filepath.Join(writeFiles(t, map[string]string{"four.csv": "domain\na.example\nb.example\nc.example\nd.example\nd.example\n"}), "four.csv")
	people := writeFiles(t, map[string]string{"a.csv": "email\na.b@c.example\n", "b.csv": "domain\na.example\n"})
	for name, c := range map[string]struct {
		words []string
		says  string
	}{
		"too few seeds":    {[]string{"lookalikes", "--seeds", four}, "4 seeds (of 5 lines); the API takes 5 to 100"},
		"both kinds":       {[]string{"lookalikes", "--seeds", people}, "one kind at a time"},
		"no result":        {[]string{"lookalikes", "--seeds", writeSeeds(t, schema.Company), "--limit", "0"}, "--limit 0"},
		"page too long":    {[]string{"visitors", "--domain", "shop.example", "--page-size", "151"}, "1 to 150"},
		"period too long":  {[]string{"visitors", "--domain", "shop.example", "--since", "200d"}, "three months"},
		"no site":          {[]string{"visitors", "--domain", "not a site"}, "host name of a site"},
		"no list":          {[]string{"resolve"}, "takes one list"},
		"nothing excluded": {[]string{"lookalikes", "--seeds", writeSeeds(t, schema.Company), "--exclude", "nowhere.csv"}, "nowhere.csv"},
		"an odd age":       {[]string{"resolve", four, "--resolve-hits", "1h"}, "30d or 6w"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, fixedDayConfig(t))
			r.runChecked(t.Context(), nil, c.words...)
			if r.code != exitUsage || !strings.Contains(r.stderr, c.says) || r.sim.Bill().Credits != 0 || r.manifest != nil {
				t.Errorf("exit %d, want %d and %q: %s", r.code, exitUsage, c.says, r.stderr)
			}
		})
	}
}
