package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/forecast"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// inProcessTransport hands requests to a simulator in this process, without a network. What
// costs takes the same time each time, so that a forecast of the whole can be
// held against it: a few hundred answers of varying length would not do.
type inProcessTransport struct {
	sim     *simulator.Server
	latency time.Duration
}

func (d inProcessTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodPost {
		time.Sleep(d.latency) // of the bubble
	}
	w := httptest.NewRecorder()
	there := req.Clone(req.Context())
	there.RequestURI, there.Header = req.URL.RequestURI(), http.Header{}
	for name, values := range req.Header { // as a server reads them off the wire
		there.Header[http.CanonicalHeaderKey(name)] = values
	}
	d.sim.ServeHTTP(w, there)
	resp := w.Result()
	resp.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat)) // a real server's does
	resp.Request = req
	return resp, nil
}

// inBubble, set in a child's environment, makes it run one test in a bubble of
// virtual time.
const inBubble = "SIGLAKE_TEST_IN_BUBBLE"

// onVirtualTime runs a test in a bubble, in which the clock shows a day of 2026. It
// does so in a process of its own: encoders are pooled, and one that was made in a
// bubble must not be used outside of it.
func onVirtualTime(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	if os.Getenv(inBubble) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), inBubble+"=1")
		out, err := cmd.CombinedOutput()
		t.Logf("%s", out)
		if err != nil {
			t.Error(err)
		}
		return
	}
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 5, 6, 10, 17, 33, 0, time.UTC))) // of the bubble: it takes no time
		test(t)
	})
}

// useSimulator makes a simulator the API.
func useSimulator(t *testing.T, cfg simulator.Config, answer time.Duration) *simulator.Server {
	t.Helper()
	cfg.Keys = []string{canary}
	sim, err := simulator.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	envFor(t).Transport = inProcessTransport{sim, answer}
	return sim
}

// runProgram runs the program and gives its exit code and what it printed.
func runProgram(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, problems bytes.Buffer
	code = envFor(t).execute(context.Background(), append([]string{"siglake"}, args...), strings.NewReader(""), &out, &problems)
	if strings.Contains(out.String()+problems.String(), canary) {
		t.Error("the API key was printed")
	}
	return code, out.String(), problems.String()
}

// planJSON asks for a plan.
func planJSON(t *testing.T, args ...string) (o app.PlanReport) {
	t.Helper()
	code, stdout, stderr := runProgram(t, append([]string{"plan", "--json", "--quiet"}, args...)...)
	if code != exitComplete {
		t.Fatalf("plan: exit %d: %s", code, stderr)
	}
	if err := json.Unmarshal([]byte(stdout), &o); err != nil {
		t.Fatalf("plan printed %q: %v", stdout, err)
	}
	return o
}

// writeList writes a list of companies that no other name has.
func writeList(t *testing.T, name string, lines int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name+".txt")
	var text strings.Builder
	for i := range lines {
		fmt.Fprintf(&text, "%s-%05d.example\n", name, i)
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// writeText writes a list.
func writeText(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "list.csv")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestPlan holds plans against what then happens: the bill within the forecast's
// nine in ten, the calls exactly, the time within 5 %.
func TestPlan(t *testing.T) { onVirtualTime(t, testPlan) }

func testPlan(t *testing.T) {
	seeds := uint64(proof.Size(3, 20, 100))
	var measured, guessed forecastTally
	for seed := uint64(1); seed <= seeds; seed++ {
		rng := rand.New(rand.NewPCG(seed, 1))
		one := func(words ...string) string { return words[rng.IntN(len(words))] }
		plan := one("pro", "premium", "scale", "legacy", "unlimited")
		signals := one("news", "growth", "all", "risk,news", "surgeInHiring,financialEventsNews", "headcountIncrease3m", "growth,riskNews")
		billing := one("per_event", "per_event", "per_event", "per_type")
		first, second, size := 60+rng.IntN(400), 40+rng.IntN(1200), 3+rng.IntN(98)
		if seed%2 == 0 {
			size = 3 + rng.IntN(8) // many calls: the windows decide about the time
		}
		window := []string{"--since", one("30d", "60d", "90d", "150d"), "--max-results", one("1", "2", "5", "10")}
		later := window
		if rng.IntN(3) == 0 {
			later = []string{"--since", one("45d", "90d", "120d"), "--max-results", one("3", "10")}
		}
		cfg := simulator.Config{Seed: seed, Plan: plan}
		cfg.Switches.Billing = billing
		sim := useSimulator(t, cfg, time.Duration(100+rng.IntN(600))*time.Millisecond)
		lake := filepath.Join(t.TempDir(), "lake")
		common := []string{"--lake", lake, "--base-url", "http://127.0.0.1:1", "--plan", plan, "--quota-dir", t.TempDir(), "--signals", signals,
			"--batch-size", fmt.Sprint(size), "--concurrency", fmt.Sprint(1 + seed%8), "--max-wait", "100h"}

		buy := func(list string, window []string) (o app.PlanReport, m *pipeline.Manifest, took time.Duration) {
			flags := slices.Concat([]string{list}, common, window)
			before := sim.Bill().Credits
			o = planJSON(t, flags...)
			if cost := sim.Bill().Credits - before; cost != 0 {
				t.Errorf("seed %d: the plan cost %d credits", seed, cost)
			}
			begun := time.Now()
			if code, _, stderr := runProgram(t, slices.Concat([]string{"run", "--quiet"}, flags)...); code != exitComplete {
				t.Fatalf("seed %d: run: exit %d: %s", seed, code, stderr)
			}
			took = time.Since(begun)
			m = (&rig{t: t, lake: lake}).readManifest()
			if o.Calls != m.Calls.Total || o.Lines != m.Accounts.Lines {
				t.Errorf("seed %d: planned %d calls for %d lines, the run made %d for %d", seed, o.Calls, o.Lines, m.Calls.Total, m.Accounts.Lines)
			}
			if billed := sim.Bill().Credits - before; billed != m.Credits.Charged || billed > o.Credits.Ceiling {
				t.Errorf("seed %d: billed %d, manifest %d, ceiling %d", seed, billed, m.Credits.Charged, o.Credits.Ceiling)
			}
			return o, m, took
		}
		o, m, _ := buy(writeList(t, "first", first), window)
		guessed.count(o.Credits, m.Credits.Charged)
		if o.Credits.ObservedEntities != 0 || o.Time.Measured {
			t.Errorf("seed %d: an empty lake has experience: %+v", seed, o)
		}
		o, m, took := buy(writeList(t, "second", second), later)
		within := measured.count(o.Credits, m.Credits.Charged)
		off := math.Abs(o.Time.Seconds - took.Seconds())
		if off > took.Seconds()/20 && off > 1.5 {
			t.Errorf("seed %d: %.1f s foreseen, %.1f s taken", seed, o.Time.Seconds, took.Seconds())
		}
		t.Logf("seed %d: %s %s of %s, %d entities, %d calls; credits %d to %d, expected %d, cost %d, within: %t; %.1f s foreseen, %.1f s taken, %+.1f %%",
			seed, plan, billing, signals, o.Entities, o.Calls, o.Credits.P5, o.Credits.P95, o.Credits.P50, m.Credits.Charged, within, o.Time.Seconds, took.Seconds(), 100*(o.Time.Seconds/took.Seconds()-1))
	}
	t.Logf("within p5 to p95: %d of %d by experience, %d of %d by the stated guess", measured.within, measured.all, guessed.within, guessed.all)
	if measured.within*100 < 90*measured.all || guessed.within*100 < 90*guessed.all {
		t.Error("want at least 90 % of each")
	}
}

// forecastTally counts how many bills lay within what was foreseen.
type forecastTally struct{ within, all int }

func (c *forecastTally) count(e forecast.Estimate, cost int64) (within bool) {
	c.all++
	if within = e.P5 <= cost && cost <= e.P95; within {
		c.within++
	}
	return within
}

// TestPlanSpendsNothing: a plan leaves no trace: no credit, no lake, no changed
// byte in the one that is there; with a key or without.
func TestPlanSpendsNothing(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{})
	path := writeList(t, "plan", 230)
	flags := slices.Concat([]string{path, "--lake", r.lake, "--base-url", r.server.URL}, baseFlags)

	o := planJSON(t, flags...)
	if _, err := os.Stat(r.lake); !os.IsNotExist(err) {
		t.Errorf("the plan made a lake: %v", err)
	}
	if o.Lines != 230 || o.Entities != 230 || o.Calls != 3 || o.Pairs != 460 || o.Credits.Ceiling != 920 || o.Credits.ObservedEntities != 0 || o.CreditsLeft == nil {
		t.Errorf("plan of an empty lake: %+v", o)
	}
	if bill := r.sim.Bill(); bill.Credits != 0 || bill.Billed != 0 {
		t.Errorf("the plan was billed: %+v", bill)
	}

	r.runList(context.Background(), nil, path, baseFlags...)
	before := r.digests()
	o = planJSON(t, flags...)
	if o.Entities != 0 || o.Calls != 0 || o.Credits.P95 != 0 || o.Credits.Ceiling != 0 || o.WithoutCall[schema.Cached] != 230 {
		t.Errorf("plan of what is paid for: %+v", o)
	}
	o = planJSON(t, append([]string{"--refresh"}, flags...)...)
	if o.Entities != 230 || o.Credits.ObservedEntities != 230 || o.Credits.P95 == 0 {
		t.Errorf("plan of buying again: %+v", o)
	}
	if diff := cmp.Diff(before, r.digests()); diff != "" {
		t.Errorf("plans changed the lake (-before +after):\n%s", diff)
	}

	envFor(t).set(app.KeyVariable, "")
	bill := r.sim.Bill()
	o = planJSON(t, slices.Concat(flags, []string{"--since", "120d"})...)
	if o.Entities != 230 || o.Calls != 3 || o.CreditsLeft != nil || len(o.Notes) == 0 || !strings.Contains(o.Notes[0], "no API key") || o.RepurchasedPairs == 0 || !o.Windows[0].Published {
		t.Errorf("plan without a key: %+v", o)
	}
	if now := r.sim.Bill(); now.Requests != bill.Requests {
		t.Errorf("a plan without a key made %d requests", now.Requests-bill.Requests)
	}
}

// TestPlanSays: what people read, and what is refused.
func TestPlanSays(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{Credits: 300})
	path := writeList(t, "say", 150)
	list, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append([]byte("say-00001.example\n..\n"), list...), 0o600); err != nil {
		t.Fatal(err)
	}
	common := slices.Concat([]string{"plan", path, "--lake", r.lake, "--base-url", r.server.URL, "--plan", "pro"}, baseFlags)
	for _, tt := range []struct {
		name  string
		flags []string
		code  int
		says  []string // on standard output, or in the error
	}{
		{"people", []string{"--price-per-credit", "0.025 EUR"}, exitComplete, []string{
			"nothing was spent", "1 duplicate · 1 rejected", "to 600; never more than 600", "to 15.00; never more than 15.00", "the credits are a guess", "--max-credits", path + ":2:", "50 per minute · 150 per hour · 1,500 per day, as published for the plan"}},
		{"a cap too low", []string{"--max-credits", "20"}, exitComplete, []string{"--max-credits 20 may stop the run before the end of the list"}},
		{"a poor account", []string{"--max-results", "10"}, exitComplete, []string{"the account has 300 credits left, which may not be enough"}},
		{"no price", []string{"--price-per-credit", "cheap"}, exitUsage, []string{`--price-per-credit "cheap": expected an amount`}},
		{"a price as a float", []string{"--price-per-credit", "1e-3"}, exitUsage, []string{"expected an amount"}},
		{"an invented world", []string{"--simulate"}, exitComplete, []string{"nothing was spent"}},
	} {
		code, stdout, stderr := runProgram(t, slices.Concat(common, tt.flags)...)
		for _, want := range tt.says {
			if code != tt.code || !strings.Contains(stdout+stderr, want) {
				t.Errorf("%s: exit %d, want %d and %q in:\n%s%s", tt.name, code, tt.code, want, stdout, stderr)
			}
		}
	}
	if code, _, stderr := runProgram(t, "plan"); code != exitUsage || !strings.Contains(stderr, "takes one list") {
		t.Errorf("plan without a list: exit %d, %s", code, stderr)
	}

	// An account that does not tell its prices has none that a ceiling could hold by.
	blind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.HasSuffix(req.URL.Path, "/account/usage") {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"statusCode":404,"message":"Cannot GET"}`)
			return
		}
		r.sim.ServeHTTP(w, req)
	}))
	defer blind.Close()
	if _, stdout, stderr := runProgram(t, append(common, "--base-url", blind.URL)...); !strings.Contains(stdout, "assumes 1 credit") {
		t.Errorf("a plan that knows no price does not say so:\n%s%s", stdout, stderr)
	}

	// Another command's run is unfinished: the plan says so, and plans.
	crashAt(t, func(op, _ string) bool { return op == "write" && r.billedCalls() == 1 })
	r.rerun(string(list), append([]string{"--concurrency", "1"}, baseFlags...)...)
	clearHook(t)
	code, stdout, stderr := runProgram(t, common...)
	if code != exitComplete || !strings.Contains(stdout, "is unfinished: siglake run closes it") {
		t.Errorf("plan next to another list's unfinished run: exit %d\n%s%s", code, stdout, stderr)
	}
	own := r.exec(t.Context(), []string{"plan", "-"}, string(list), append(slices.Clone(baseFlags), "--max-results", "7")...)
	if own.code != exitComplete || !strings.Contains(own.stdout, "is unfinished, and this command differs") {
		t.Errorf("plan next to an unfinished run about the same list: exit %d\n%s%s", own.code, own.stdout, own.stderr)
	}
	if code, _, stderr = runProgram(t, slices.Concat(common, []string{"--simulate"})...); code != exitUsage || !strings.Contains(stderr, "holds real answers") {
		t.Errorf("plan of an invented world for a real lake: exit %d, %s", code, stderr)
	}
}

// TestRefreshStatesTheCost: a repurchase states its cost before the first call.
func TestRefreshStatesTheCost(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{})
	r.run(domainLines(120), baseFlags...)
	again := r.rerun(domainLines(130), append([]string{"--refresh"}, baseFlags...)...)
	if again.code != exitComplete || !strings.Contains(again.stderr, "repeating purchases") ||
		!strings.Contains(again.stderr, "pairs_again=240") || !strings.Contains(again.stderr, "credits_at_most=520") {
		t.Errorf("exit %d: %s", again.code, again.stderr)
	}
}

// TestPlanAdvises: the budget that a plan advises is enough also for the last
// entity, and a plan says what calls in doubt may add.
func TestPlanAdvises(t *testing.T) {
	t.Parallel()
	day := time.Date(2026, 5, 6, 10, 17, 33, 0, time.UTC) // the same bill each day: one in twenty is above the forecast
	setNow(t, func() time.Time { return day })
	r := newRig(t, simulator.Config{Now: envFor(t).Now, Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 2}}})
	flags := []string{"--signals", "surgeInHiring,financialEventsNews", "--max-results", "10", "--since", "90d", "--concurrency", "1"}
	r.rerun(domainLines(300), flags...)
	path := writeList(t, "few", 4)
	where := slices.Concat([]string{path, "--lake", r.lake, "--base-url", r.server.URL}, flags)
	o := planJSON(t, where...)
	if o.Credits.P95 >= 20 {
		t.Fatalf("credits to %d: the test shows nothing", o.Credits.P95)
	}
	doubtful := planJSON(t, append(where, "--in-doubt", "probe")...)
	if note := strings.Join(doubtful.Notes, "\n"); len(o.Notes) != 1 || !strings.Contains(note, "1 call of this lake in doubt") || !strings.Contains(note, "at most 2,000 more credits") {
		t.Errorf("notes %q, and with --in-doubt probe %q; want the dialect, and the latter to speak of a call in doubt", o.Notes, note)
	}
	code, _, stderr := runProgram(t, append(slices.Concat([]string{"run", "--quiet"}, where), "--max-credits", fmt.Sprint(o.AdvisedBudget))...)
	if m := r.readManifest(); code != exitComplete || m.Accounts.ByStatus[schema.Deferred] != 0 {
		t.Errorf("with the %d credits advised: exit %d, fates %v: %s", o.AdvisedBudget, code, m.Accounts.ByStatus, stderr)
	}
}

// TestPlanBudget: a plan says what a cap will do, counts what an unfinished run has
// spent, and advises no cap while it only guesses.
func TestPlanBudget(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{})
	path := writeList(t, "budget", 900)
	flags := slices.Concat([]string{path, "--lake", r.lake, "--base-url", r.server.URL, "--rate", "0", "--plan", "unlimited"}, baseFlags)
	says := func(want []string, never string, more ...string) {
		t.Helper()
		code, stdout, stderr := runProgram(t, slices.Concat([]string{"plan"}, flags, more)...)
		for _, w := range want {
			if code != exitComplete || !strings.Contains(stdout, w) {
				t.Errorf("plan %v: exit %d, want %d and %q in:\n%s%s", more, code, exitComplete, w, stdout, stderr)
			}
		}
		if never != "" && strings.Contains(stdout, never) {
			t.Errorf("plan %v: want no %q in:\n%s", more, never, stdout)
		}
	}
	says([]string{"--sample 200"}, "--max-credits")
	says([]string{"--max-credits 3 allows no request: one entity can cost 4 credits, and the run has 3 left"}, "shrink", "--max-credits", "3")

	crashAt(t, func(op, _ string) bool { return op == "sync" && r.billedCalls() == 7 })
	code, _, _ := runProgram(t, slices.Concat([]string{"run", "--concurrency", "1", "--quiet"}, flags)...)
	clearHook(t)
	spent := r.sim.Bill().Credits
	if code != exitStorage || spent == 0 {
		t.Fatalf("exit %d, %d credits; want %d and some", code, spent, exitStorage)
	}
	says([]string{fmt.Sprintf("has spent %d credits", spent)}, "")
	says([]string{"will stop the run before the end of the list, after about ", "of 200 entities", "batches shrink"}, "", "--max-credits", fmt.Sprint(spent+10))
	o := planJSON(t, flags...)
	if o.SpentBefore != spent || o.AdvisedBudget <= spent || o.AdvisedBudget > spent+o.Credits.Ceiling {
		t.Errorf("spent %d, advised %d; want %d, and more than that by at most %d", o.SpentBefore, o.AdvisedBudget, spent, o.Credits.Ceiling)
	}
	code, _, stderr := runProgram(t, slices.Concat([]string{"run", "--quiet", "--max-credits", fmt.Sprint(o.AdvisedBudget)}, flags)...)
	if left := r.readManifest().Accounts.ByStatus[schema.Deferred]; code != exitComplete || left != 0 {
		t.Errorf("with the %d credits advised: exit %d, %d lines left: %s", o.AdvisedBudget, code, left, stderr)
	}
	code, stdout, _ := runProgram(t, slices.Concat([]string{"plan", "--quiet"}, flags)...)
	if want := path + ": 0 entities, 0 calls, 0 credits expected, never more than 0\n"; code != exitComplete || stdout != want {
		t.Errorf("plan --quiet = exit %d, %q, want %d, %q", code, stdout, exitComplete, want)
	}
}

// TestUsageUnread: the usage page answers five times a minute. Then neither
// credits nor prices are known, and a cap rests on a guess: both are said.
func TestUsageUnread(t *testing.T) {
	t.Parallel()
	r := newRig(t, fixedDayConfig(t)) // its minute does not end
	flags := slices.Concat([]string{writeList(t, "unread", 10), "--lake", r.lake, "--base-url", r.server.URL}, baseFlags)
	for range 5 {
		planJSON(t, flags...)
	}
	o := planJSON(t, flags...)
	if note := strings.Join(o.Notes, "\n"); o.CreditsLeft != nil || !strings.Contains(note, "the account's usage is not available") {
		t.Errorf("plan when the page is used up: %v credits left, notes %q; want none, and that it was not read", o.CreditsLeft, note)
	}
	const capped = "the price of an event is unknown: --max-credits assumes 1 credit per event"
	code, _, stderr := runProgram(t, slices.Concat([]string{"run", "--quiet", "--max-credits", "1000"}, flags)...)
	if code != exitComplete || !strings.Contains(stderr, "level=WARN msg=\""+capped) {
		t.Errorf("run with a cap: exit %d, %q; want %d and the warning %q", code, stderr, exitComplete, capped)
	}
}

// TestInapplicableSignals: signals that no line can be asked about are named, and a plan does
// not count them among what it asks.
func TestInapplicableSignals(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{})
	flags := []string{writeList(t, "unfit", 10), "--lake", r.lake, "--base-url", r.server.URL, "--signals", "promotion,riskNews"}
	const says = "every line of the list is a company: these signals apply to none"
	o := planJSON(t, flags...)
	if len(o.Queries) != 1 || o.Queries[0].Object != schema.Company || !strings.Contains(strings.Join(o.Notes, "\n"), says+": promotion") {
		t.Errorf("plan: queries %+v, notes %q; want the one about companies, and a word about promotion", o.Queries, o.Notes)
	}
	code, _, stderr := runProgram(t, slices.Concat([]string{"run", "--quiet"}, flags)...)
	if code != exitComplete || strings.Count(stderr, says) != 1 || !strings.Contains(stderr, "promotion") {
		t.Errorf("run: exit %d, %q; want %d and %q once", code, stderr, exitComplete, says)
	}
	code, _, stderr = runProgram(t, append([]string{"run"}, slices.Concat(flags[:5], []string{"--signals", "all"})...)...)
	if code != exitComplete || strings.Contains(stderr, says) {
		t.Errorf("run of all: exit %d, %q; want %d and nothing about what does not fit", code, stderr, exitComplete)
	}

	envFor(t).set(app.KeyVariable, "")
	code, _, stderr = runProgram(t, slices.Concat([]string{"plan"}, flags[:5], []string{"--signals", "all"})...)
	if code != exitComplete || strings.Contains(stderr, "to this account") || !strings.Contains(stderr, "not offered by the vendor's reference") {
		t.Errorf("plan without a key: exit %d, %q; want %d, and no word about an account", code, stderr, exitComplete)
	}
}
