package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/schema"
)

// rewriteAnswers has answers rewritten on their way: an API that differs from the
// simulator in something that is not documented either way.
func (r *rig) rewriteAnswers(edit func(path string, answer map[string]any) bool) {
	r.server.Close()
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		q.Header.Del("Accept-Encoding")
		rec := httptest.NewRecorder()
		r.sim.ServeHTTP(rec, q)
		body := rec.Body.Bytes()
		var answer map[string]any
		d := json.NewDecoder(bytes.NewReader(body))
		d.UseNumber()
		if rec.Code == http.StatusOK && d.Decode(&answer) == nil && edit(q.URL.Path, answer) {
			var err error
			if body, err = json.Marshal(answer); err != nil {
				r.t.Error(err)
			}
		}
		for name, values := range rec.Header() {
			if name != "Content-Length" {
				w.Header()[name] = values
			}
		}
		w.WriteHeader(rec.Code)
		_, _ = io.Copy(w, bytes.NewReader(body))
	}))
	r.t.Cleanup(r.server.Close)
}

// crashThenRun runs a command and kills its process after all calls, before its files
// are published; then it runs the same command again.
func (r *rig) crashThenRun(do func() runResult) runResult {
	r.t.Helper()
	crashAt(r.t, func(_, path string) bool { return strings.HasSuffix(path, ".parquet.tmp") })
	do()
	clearHook(r.t)
	return do()
}

// listByIDs is a list of the entities that a run found, by id.
func (r *rig) listByIDs() string {
	list := "key,lusha company id\n"
	for i, row := range r.rowsOf(schema.CategoryIdentities) {
		list += fmt.Sprintf("k%d,%s\n", i, row["entity_id"])
	}
	return list
}

var newsInV3 = []string{"--api", "v3", "--signals", "news", "--concurrency", "1"}

// TestEntityInDoubt: what may be paid for is not asked again by another
// identifier of the same entity: by its id, by a name that leads to it, or, after
// a kill, by another line of the same list.
func TestEntityInDoubt(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	fault := simulator.Config{Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 2}}}
	held := func(r *rig, v runResult, list string) {
		t.Helper()
		before := r.sim.Bill().ByType["search"]
		got := r.exec(t.Context(), []string{"run", "-"}, list, newsInV3...)
		if spent := got.credits - (r.sim.Bill().ByType["search"] - before); spent != 0 || got.code != exitInDoubt {
			t.Errorf("by another identifier: exit %d, %d credits for signals, want %d and none", got.code, spent, exitInDoubt)
		}
		r.mustExit(exitComplete, "verify")
	}
	r := newRig(t, fault)
	v := r.exec(t.Context(), []string{"run", "-"}, domainLines(20), newsInV3...)
	held(r, v, r.listByIDs())

	r = newRig(t, fault)
	var ids []any
	r.rewriteAnswers(func(path string, answer map[string]any) bool {
		if !strings.HasSuffix(path, "companies/search") {
			return false
		}
		results, first := answer["results"].([]any), ids == nil
		for i, x := range results {
			o := x.(map[string]any)
			if first {
				ids = append(ids, o["id"])
			} else if delete(o, "error"); ids[i] != nil {
				o["id"] = ids[i]
			} else {
				o["id"] = fmt.Sprint(500 + i)
			}
		}
		return !first
	})
	v = r.exec(t.Context(), []string{"run", "-"}, domainLines(20), newsInV3...)
	names := "key,company name\n"
	for i := range 20 {
		names += fmt.Sprintf("n%d,Tallow %c Works\n", i, 'a'+i)
	}
	held(r, v, names)

	other := newRig(t, simulator.Config{})
	other.runProduct(app.ResolveName, domainLines(20))
	list := "key,domain,lusha company id\n"
	for i := range 20 {
		list += fmt.Sprintf("d%d,company-%04d.example,\n", i, i)
	}
	for i, row := range other.rowsOf(schema.CategoryIdentities) {
		list += fmt.Sprintf("i%d,,%s\n", i, row["entity_id"])
	}
	quiet, killed := newRig(t, fault), newRig(t, fault)
	do := func(r *rig) func() runResult {
		return func() runResult { return r.exec(t.Context(), []string{"run", "-"}, list, newsInV3...) }
	}
	do(quiet)()
	killed.crashThenRun(do(killed))
	if quiet.sim.Bill().Credits != killed.sim.Bill().Credits || !cmp.Equal(quiet.manifest.Accounts.ByStatus, killed.manifest.Accounts.ByStatus) {
		t.Errorf("%d credits, lines %v; after a kill %d, %v; want the same", quiet.sim.Bill().Credits, quiet.manifest.Accounts.ByStatus, killed.sim.Bill().Credits, killed.manifest.Accounts.ByStatus)
	}
}

// TestAliases: who was bought by one id is not bought by another that the
// answers stated.
func TestAliases(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	switches, err := simulator.ParseSwitches([]string{"v3-ids=tokens"})
	if err != nil {
		t.Fatal(err)
	}
	numbers := newRig(t, simulator.Config{})
	numbers.runProduct(app.ResolveName, domainLines(20))
	r := newRig(t, simulator.Config{Switches: switches})
	r.exec(t.Context(), []string{"run", "-"}, domainLines(20), newsInV3...)
	if v := r.exec(t.Context(), []string{"run", "-"}, numbers.listByIDs(), newsInV3...); v.credits != 0 {
		t.Errorf("by their numbers they cost %d credits, want none", v.credits)
	}
}

// TestKilledStatuses: after a kill, lines have the same status as in an undisturbed
// run, and the rows that the journal yields again.
func TestKilledStatuses(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	restricting := func(path string, answer map[string]any) bool {
		if results, ok := answer["results"].([]any); ok && strings.HasSuffix(path, "companies/search") {
			for _, x := range results {
				if o := x.(map[string]any); o["clientReferenceId"] == "r3" {
					clear(o)
					o["clientReferenceId"], o["policy"] = "r3", "eu"
					o["error"] = map[string]any{"code": "COMPLIANCE_RESTRICTED", "message": "no"}
				}
			}
			return true
		}
		if companies, ok := answer["companies"].(map[string]any); ok {
			companies["r3"] = map[string]any{"error": map[string]any{"code": "COMPLIANCE_RESTRICTED", "message": "no"}, "policy": "eu"}
			return true
		}
		return false
	}
	fate := func(r *rig) (fates []string) {
		for _, row := range r.table(schema.Accounts) {
			if row["status"] == string(schema.Restricted) {
				fates = append(fates, fmt.Sprint(row["reason"], row["call_id"], row["credits"], row["answer_extra"]))
			}
		}
		return fates
	}
	for _, api := range []string{app.APIV2, app.APIV3} {
		quiet, killed := newRig(t, simulator.Config{}), newRig(t, simulator.Config{})
		for _, r := range []*rig{quiet, killed} {
			r.rewriteAnswers(restricting)
		}
		do := func(r *rig) func() runResult {
			return func() runResult {
				return r.exec(t.Context(), []string{"run", "-"}, domainLines(10), "--api", api, "--signals", "news", "--concurrency", "1")
			}
		}
		do(quiet)()
		killed.crashThenRun(do(killed))
		for _, r := range []*rig{quiet, killed} {
			r.mustExit(exitComplete, "verify")
		}
		if got, want := fate(killed), fate(quiet); len(want) != 1 || !strings.Contains(want[0], `{"policy":"eu"}`) || !cmp.Equal(got, want) {
			t.Errorf("%s: after a kill %q, undisturbed %q; want one restricted line, the same", api, got, want)
		}
		if got, want := killed.manifest.Run.APIChoice, quiet.manifest.Run.APIChoice; got != want || want == "" {
			t.Errorf("%s: after a kill the choice of the dialect is %q, want %q", api, got, want)
		}
	}
}

// TestPagesGoOn: pages that were bought are not bought again with another page size,
// after midnight, or after a deliberate repurchase.
func TestPagesGoOn(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 6, 23, 50, 0, 0, time.UTC)
	setNow(t, func() time.Time { return now })
	site := func(r *rig, want int64, flags ...string) {
		t.Helper()
		v := r.runProduct(app.VisitorsName, "", append([]string{"--domain", "shop.example.com", "--page-size", "20"}, flags...)...)
		if v.credits != want {
			t.Errorf("%v cost %d credits, want %d: %s", flags, v.credits, want, v.stderr)
		}
		r.mustExit(exitComplete, "verify")
	}
	config := simulator.Config{Now: func() time.Time { return now }}
	r := newRig(t, config)
	site(r, 60, "--limit", "60")
	site(r, 0, "--limit", "60", "--page-size", "50")
	site(r, 40, "--limit", "100", "--page-size", "50")
	site(r, 20, "--limit", "20", "--refresh")
	site(r, 20, "--limit", "120")

	r = newRig(t, config)
	site(r, 40, "--limit", "60", "--max-credits", "40")
	now = now.Add(20 * time.Minute)
	site(r, 20, "--limit", "60")

	r = newRig(t, config)
	seeds := seedList(schema.Company, 7)
	for _, step := range []struct {
		flags []string
		want  int64
	}{{[]string{"--limit", "20"}, 20}, {[]string{"--limit", "20", "--refresh"}, 20}, {[]string{"--limit", "40"}, 20}} {
		if v := r.runProduct(app.LookalikesName, seeds, append(step.flags, "--page-size", "20")...); v.credits != step.want {
			t.Errorf("lookalikes %v cost %d credits, want %d", step.flags, v.credits, step.want)
		}
		r.mustExit(exitComplete, "verify")
	}
}

// TestNoSession: an API that states no session, always or once, is not paid twice
// for the same.
func TestNoSession(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	for name, mute := range map[string]func(call int) bool{"never": func(int) bool { return true }, "not on the second page": func(n int) bool { return n == 2 }} {
		r, calls := newRig(t, simulator.Config{}), 0
		r.rewriteAnswers(func(path string, answer map[string]any) bool {
			if !strings.Contains(path, "lookalike") {
				return false
			}
			if calls++; mute(calls) {
				answer["dedupeSessionId"] = nil
			}
			return true
		})
		v := r.runProduct(app.LookalikesName, seedList(schema.Company, 7), "--limit", "80", "--page-size", "20")
		met := map[any]bool{}
		for _, row := range r.rankedLookalikes() {
			met[row["domain"]] = true
		}
		if int64(len(met)) != v.credits || v.credits != 80 || v.code != exitComplete {
			t.Errorf("a session stated %s: exit %d, %d credits for %d companies, want 80 for 80", name, v.code, v.credits, len(met))
		}
		r.mustExit(exitComplete, "verify")
	}
}

// TestZeroTTL: ids that count for no time at all count for the run that
// bought them.
func TestZeroTTL(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{})
	if v := r.exec(t.Context(), []string{"run", "-"}, domainLines(50), append([]string{"--resolve-hits", "0d"}, newsInV3...)...); v.code != exitComplete {
		t.Errorf("exit %d, lines %v, want all asked: %s", v.code, r.manifest.Accounts.ByStatus, v.stderr)
	}
}

// TestFilterBehindTheCap: a cap counts what a filter then keeps out, so a higher
// one brings more of what passes.
func TestFilterBehindTheCap(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	switches, err := simulator.ParseSwitches([]string{"events=most"})
	if err != nil {
		t.Fatal(err)
	}
	buy := func(r *rig, limit string) {
		r.exec(t.Context(), []string{"run", "-"}, domainLines(5), "--api", "v3", "--signals", "marketIntelligenceNews", "--news-event-types", "Recognition", "--max-results", limit)
	}
	uids := func(r *rig) map[string]int { return r.uids(r.generations()...) }
	raised, once := newRig(t, simulator.Config{Switches: switches}), newRig(t, simulator.Config{Switches: switches})
	buy(raised, "5")
	few := len(uids(raised))
	buy(raised, "50")
	buy(once, "50")
	if got, want := len(uids(raised)), len(uids(once)); got != want || few >= want {
		t.Errorf("%d events with a cap of 5, %d when it is raised to 50, %d at once; want as many, and more than at first", few, got, want)
	}
}

// TestGivenUpSession: who gave up the page that began a session is not sold it
// again by the same command.
func TestGivenUpSession(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 1}}})
	seeds := seedList(schema.Company, 7)
	r.runProduct(app.LookalikesName, seeds, "--limit", "20", "--page-size", "20")
	r.mustExit(exitComplete, "held", "accept-loss")
	if v := r.runProduct(app.LookalikesName, seeds, "--limit", "20", "--page-size", "20"); v.credits != 0 || r.manifest.Accounts.ByStatus[schema.WrittenOff] == 0 {
		t.Errorf("%d credits, lines %v; want none, and the seeds lost", v.credits, r.manifest.Accounts.ByStatus)
	}
	if v := r.runProduct(app.LookalikesName, seeds, "--limit", "20", "--page-size", "20", "--refresh"); v.credits != 20 || v.code != exitComplete {
		t.Errorf("--refresh: exit %d, %d credits, want a new session with 20", v.code, v.credits)
	}
	r.mustExit(exitComplete, "verify")
}

// TestUnknownSearchCharge: a search with an unknown charge leaves its lines without a
// known cost.
func TestUnknownSearchCharge(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "charge-missing", At: 1}}})
	r.exec(t.Context(), []string{"run", "-"}, domainLines(5), newsInV3...)
	for _, row := range r.table(schema.Accounts) {
		if row["credits"] != nil {
			t.Errorf("line %v cost %v credits, want null: nobody knows", row["row"], row["credits"])
		}
	}
	r.mustExit(exitComplete, "verify")
}

// TestUnmatchedProducts: a result that matches no request is a row of its product.
func TestUnmatchedProducts(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{})
	r.rewriteAnswers(func(path string, answer map[string]any) bool {
		if !strings.HasSuffix(path, "companies/search") {
			return false
		}
		answer["results"] = append(answer["results"].([]any), map[string]any{"clientReferenceId": "zzz", "id": "99887766554433", "name": "Stray Ltd", "domain": "stray-ltd.example"})
		return true
	})
	r.runProduct(app.ResolveName, domainLines(10))
	found := 0
	for _, row := range r.rowsOf(schema.CategoryIdentities) {
		if row["row_uid"] == nil {
			t.Errorf("row %v has no id", row)
		}
		if row["domain"] == "stray-ltd.example" {
			found++
		}
	}
	for _, f := range r.manifest.Files {
		if f.Table == string(schema.CategoryIdentities) && f.Partition != "" {
			t.Errorf("%s is partitioned by %s", f.Path, f.Partition)
		}
	}
	if found != 1 {
		t.Errorf("%d rows of the stray, want 1", found)
	}
	r.mustExit(exitComplete, "verify")
}

// TestManySmallSearches: what searches decide is noted while the list is still
// read; the race detector watches.
func TestManySmallSearches(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{})
	if v := r.exec(t.Context(), []string{"run", "-"}, domainLines(300), "--api", "v3", "--signals", "news", "--batch-size", "1", "--concurrency", "2"); v.code != exitComplete {
		t.Errorf("exit %d: %s", v.code, v.stderr)
	}
}
