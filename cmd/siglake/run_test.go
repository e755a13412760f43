package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/schema"
)

// TestLists runs the extracts of four real public lists without any
// preparation; the rig reconciles each bill.
func TestLists(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("..", "..", "testdata", "accounts", "*.*"))
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, f := range files {
		if ext := filepath.Ext(f); ext != ".csv" && ext != ".txt" {
			continue
		}
		ran++
		t.Run(filepath.Base(f), func(t *testing.T) {
			r := newRig(t, simulator.Config{})
			r.runList(context.Background(), strings.NewReader(""), f, "--signals", "all")
			if r.code != exitComplete && r.code != exitRejects {
				t.Errorf("exit %d: %s", r.code, r.stderr)
			}
			if r.manifest.Events.Written == 0 || r.manifest.Credits.Charged == 0 {
				t.Errorf("events %+v, credits %+v; want some", r.manifest.Events, r.manifest.Credits)
			}
			if r.manifest.Input.SHA256 == "" || r.manifest.Input.Records != r.manifest.Accounts.Lines {
				t.Errorf("input %+v does not describe %d lines", r.manifest.Input, r.manifest.Accounts.Lines)
			}
		})
	}
	if ran != 4 {
		t.Errorf("ran %d lists, want 4", ran)
	}
}

// TestConcurrency: the same list and seed give the same rows in the same order
// whatever the concurrency; only what names the run and the time differs.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	var runs []map[string][]map[string]any
	for _, n := range []string{"1", "16"} {
		r := newRig(t, simulator.Config{Latency: 3_000_000})
		r.run(domainLines(400), "--signals", "all", "--concurrency", n)
		if r.code != exitComplete {
			t.Fatalf("exit %d: %s", r.code, r.stderr)
		}
		tables := map[string][]map[string]any{}
		for _, list := range [][]schema.Table{schema.EventTables, schema.LedgerTables} {
			for _, table := range list {
				rows := r.table(table)
				for _, row := range rows {
					for _, volatile := range []string{"run_id", "fetched_at", "first_seen_at", "sent_at", "started_at", "finished_at", "duration_ms", "minute_left", "hour_left", "day_left"} {
						delete(row, volatile)
					}
				}
				tables[table.Name] = rows
			}
		}
		runs = append(runs, tables)
	}
	if len(runs[0]["news"]) < 300 {
		t.Fatalf("%d news rows, want enough to tell", len(runs[0]["news"]))
	}
	if !reflect.DeepEqual(runs[0], runs[1]) {
		diff := cmp.Diff(runs[0], runs[1])
		t.Errorf("rows differ between concurrency 1 and 16 (-1 +16):\n%.3000s", diff)
	}
}

// TestContacts: a contact list is asked about people.
func TestContacts(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	r.run("crm id,first name,last name,company,email,linkedin url\n"+
		"c1,Ada,Sample,Harbor Quill,ada.sample@harborquill.example,\n"+
		"c2,Ilse,Example,Tallow & Finch,,https://www.linkedin.com/in/ilse-example?trk=x\n"+
		"c3,Jo,Bloggs,Harbor Quill,,\n"+
		"c4,,,Harbor Quill,,\n"+
		"c5,Ada,Sample,,ADA.SAMPLE@harborquill.example,\n", "--signals", "contact", "--since", "365d", "--max-results", "100")
	var got []string
	for _, row := range r.table(schema.Accounts) {
		kind, _ := row["identifier_type"].(string)
		got = append(got, row["account_key"].(string)+" "+kind+" "+row["object_type"].(string))
	}
	want := []string{"c1 email contact", "c2 linkedin contact", "c3 name contact", "c4  contact", "c5 email contact"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("accounts (-want +got):\n%s", diff)
	}
	if by := r.manifest.Accounts.ByStatus; by[schema.Rejected] != 1 || by[schema.Duplicate] != 1 {
		t.Errorf("statuses %v, want 1 rejected and 1 duplicate", by)
	}
}

// TestRefusedBeforePaying: what the API would not serve, and flags that make no
// sense, end the run with a usage error before any call is made.
func TestRefusedBeforePaying(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		flags []string
		says  string
	}{
		"no signals":        {nil, "--signals"},
		"unknown signal":    {[]string{"--signals", "newsy"}, `unknown signal type or category "newsy"`},
		"not offered":       {[]string{"--signals", "newJobPost"}, "does not offer"},
		"all pseudo-key":    {[]string{"--signals", "allSignals"}, "unknown signal type"},
		"future":            {[]string{"--signals", "news", "--since", "2999-01-01"}, "future"},
		"too old":           {[]string{"--signals", "news", "--since", "2001-01-01"}, "more than a year"},
		"no date":           {[]string{"--signals", "news", "--since", "soon"}, "expected a date"},
		"too many":          {[]string{"--signals", "news", "--max-results", "101"}, "1 to 100"},
		"news kind":         {[]string{"--signals", "news", "--news-event-types", "Gossip"}, "the API offers: "},
		"nothing to narrow": {[]string{"--signals", "promotion", "--object", "company", "--news-event-types", "IPO"}, "none is requested"},
		"wrong family":      {[]string{"--signals", "growth", "--news-event-types", "IPO"}, "not requested"},
		"bad place":         {[]string{"--signals", "growth", "--hiring-locations", ":Ohio"}, "COUNTRY"},
		"batch size":        {[]string{"--signals", "news", "--batch-size", "101"}, "1 to 100"},
		"concurrency":       {[]string{"--signals", "news", "--concurrency", "0"}, "1 to 64"},
		"place":             {[]string{"--signals", "growth", "--hiring-locations", "Narnia"}, "the API offers: "},
		"mapped twice":      {[]string{"--signals", "news", "--map", "domain=a", "--map", "domain=b"}, "twice"},
		"rate":              {[]string{"--signals", "news", "--rate", "-1"}, "--rate"},
		"timeout":           {[]string{"--signals", "news", "--timeout", "5"}, "90s"},
		"map":               {[]string{"--signals", "news", "--map", "domain"}, "FIELD=COLUMN"},
		"missing column":    {[]string{"--signals", "news", "--map", "domain=nope"}, "nope"},
		"plan":              {[]string{"--signals", "news", "--plan", "gold"}, "scale"},
		"log format":        {[]string{"--signals", "news", "--log-format", "xml"}, "text or json"},
		"flag":              {[]string{"--sinals", "news"}, "sinals"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, simulator.Config{})
			r.run("domain\na.example\n", c.flags...)
			if r.code != exitUsage {
				t.Errorf("exit %d, want %d", r.code, exitUsage)
			}
			if !strings.Contains(r.stderr, c.says) {
				t.Errorf("message %q does not say %q", r.stderr, c.says)
			}
			if n := r.sim.Bill().Billed; n != 0 || r.manifest != nil {
				t.Errorf("%d calls were billed and manifest %v; want nothing", n, r.manifest)
			}
		})
	}
}

// TestNoLine: a list without a line is the list's fault, for run and plan, and
// leaves no run that would be in the way of the next list.
func TestNoLine(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	for _, list := range []string{"", "account_id,domain\n", "domain\r\n\r\n"} {
		r.run(list, "--signals", "news")
		if r.code != exitUsage || !strings.Contains(r.stderr, "check how the list was exported") || r.manifest != nil {
			t.Errorf("run of %q: exit %d, manifest %v, %q; want %d and none", list, r.code, r.manifest, r.stderr, exitUsage)
		}
		path := filepath.Join(t.TempDir(), "list.csv")
		if err := os.WriteFile(path, []byte(list), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, _, stderr := runProgram(t, "plan", path, "--lake", r.lake, "--base-url", r.server.URL, "--signals", "news"); code != exitUsage {
			t.Errorf("plan of %q: exit %d, want %d: %s", list, code, exitUsage, stderr)
		}
	}
	if r.run(domainLines(2), "--signals", "news"); r.code != exitComplete {
		t.Errorf("the next list: exit %d, want %d: %s", r.code, exitComplete, r.stderr)
	}
}

// TestAnnouncedSignals: types that the vendor announces, or adds, are asked for by
// name and kept.
func TestAnnouncedSignals(t *testing.T) {
	t.Parallel()
	for _, api := range []string{"v2", "v3"} {
		r := newRig(t, fixedDayConfig(t, "announced"))
		r.run(domainLines(300), "--signals", "all", "--max-results", "100", "--api", api)
		seen := map[string]bool{}
		for _, row := range r.events() {
			seen[row["signal_type"].(string)] = true
		}
		var missing []string
		for _, s := range schema.Signals {
			if s.Object == schema.Company && s.V2 != schema.Absent && !seen[s.Key] {
				missing = append(missing, s.Key)
			}
		}
		if len(missing) > 0 {
			t.Errorf("%s: no event of %v", api, missing)
		}
	}
}

// TestFilters: the sub-filters reach the API and narrow only their family.
func TestFilters(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	r.run(domainLines(800), "--signals", "financialEventsNews,surgeInHiring,surgeInHiringByDepartment", "--news-event-types", "ipo", "--hiring-departments", "sales", "--since", "365d")
	kinds, departments, others := map[string]bool{}, map[string]bool{}, 0
	for _, row := range r.events() {
		switch row["signal_type"] {
		case "financialEventsNews":
			kinds[strings.ToLower(row["event_type"].(string))] = true
		case "surgeInHiringByDepartment":
			departments[row["department"].(string)] = true
		default:
			others++
		}
	}
	if len(kinds) != 1 || !kinds["ipo"] || len(departments) != 1 || !departments["Sales"] || others == 0 {
		t.Errorf("news %v, departments %v, others %d; want only ipo, only Sales, and some", kinds, departments, others)
	}
}

// TestSecondRun: a lake takes many runs; their manifests are chained.
func TestSecondRun(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	r.run(domainLines(50), "--signals", "news")
	first := r.manifest
	var stdout, stderr bytes.Buffer
	code := envFor(t).execute(context.Background(), []string{"siglake", "run", "-", "--lake", r.lake, "--base-url", r.server.URL, "--signals", "growth", "--quiet"},
		strings.NewReader(domainLines(50)), &stdout, &stderr)
	second := r.readManifest()
	if code != exitComplete || second.Generation != 2 || second.Previous == nil {
		t.Fatalf("exit %d, generation %d, previous %v: %s", code, second.Generation, second.Previous, stderr.String())
	}
	if stdout.Len() != 0 || stderr.Len() != 0 {
		t.Errorf("--quiet printed %q and %q", stdout.String(), stderr.String())
	}
	if first.Run.ID == second.Run.ID {
		t.Error("two runs share a name")
	}
}

// TestLogJSON: every line on standard error is JSON, and the last one says how the run ended, with
// the figures of its manifest, however it ended.
func TestLogJSON(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	r.run(domainLines(10), "--signals", "all", "--log-format", "json")
	lines := logLines(t, r.stderr)
	got, m := lines[len(lines)-1], r.manifest
	for key, want := range map[string]any{
		"msg": "run finished", "level": "INFO", "command": "run", "run": m.Run.ID, "outcome": "complete", "lake": r.lake, "list": "-", "window": m.Queries[0].Since + "/" + m.Queries[0].Until,
		"lines": 10, "deferred": 0, "held": 0, "rejected": 0, "calls": m.Calls.Total, "events": m.Events.Returned, "new_events": m.Events.Written, "credits": r.sim.Bill().Credits,
		"credits_in_doubt_at_most": 0, "generation": 1, "duration_ms": got["duration_ms"], "exit_code": 0, "reason": "",
	} {
		if now := got[key]; fmt.Sprint(now) != fmt.Sprint(want) || now == nil {
			t.Errorf("run finished: %s is %v, want %v", key, now, want)
		}
	}
	for _, c := range []struct {
		lines  int
		flags  []string
		level  string
		code   int
		reason string
	}{
		{200, []string{"--signals", "news", "--max-credits", "1", "--max-results", "5"}, "WARN", exitDeferred, "budget exhausted"},
		{200, []string{"--signals", "news", "--max-credits", "1", "--max-results", "5", "--quiet"}, "WARN", exitDeferred, "budget exhausted"},
		{200, []string{"--signals", "news", "--max-credits", "none"}, "WARN", exitUsage, "--max-credits"},
		{10, []string{"--signals", "all"}, "INFO", exitComplete, "nothing to do"},
	} {
		v := r.rerun(domainLines(c.lines), append(c.flags, "--log-format", "json")...)
		lines := logLines(t, v.stderr)
		if len(lines) == 0 {
			t.Errorf("%q: exit %d without a log", c.flags, v.code)
			continue
		}
		last := lines[len(lines)-1]
		reason, _ := last["reason"].(string)
		if last["msg"] != "run finished" || last["level"] != c.level || last["exit_code"] != float64(c.code) || !strings.Contains(reason, c.reason) || last["lake"] != r.lake {
			t.Errorf("%q: exit %d, the last line is %v; want %s, exit code %d and %q", c.flags, v.code, last, c.level, c.code, c.reason)
		}
	}
	if v := r.rerun(domainLines(10), "--signals", "all", "--log-format", "json", "--quiet"); v.stderr != "" {
		t.Errorf("quiet success prints %q", v.stderr)
	}
}

// TestKey: the key comes from the environment or a file, and its absence is
// said before anything else happens.
func TestKey(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	envFor(t).set(app.KeyVariable, "")
	r.run(domainLines(3), "--signals", "news")
	if r.code != exitAuth || !strings.Contains(r.stderr, app.KeyVariable) {
		t.Errorf("without a key: exit %d, %q", r.code, r.stderr)
	}
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(canary+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.run(domainLines(3), "--signals", "news", "--api-key-file", file)
	if r.code != exitComplete {
		t.Errorf("with a key file: exit %d, %q", r.code, r.stderr)
	}
	r = newRig(t, simulator.Config{})
	envFor(t).set(app.KeyVariable, "wrong-key")
	r.run(domainLines(3), "--signals", "news")
	if r.code != exitAuth || strings.Contains(r.stderr, "wrong-key") {
		t.Errorf("with a wrong key: exit %d, %q; want %d and the key nowhere", r.code, r.stderr, exitAuth)
	}
}

func TestFlagsFirst(t *testing.T) {
	t.Parallel()
	program := newCLI(&app.Env{})
	for _, c := range []struct{ args, want string }{
		{"siglake run list.csv --lake x", "siglake run --lake x list.csv"},
		{"siglake run - --lake x -q --since 3d", "siglake run --lake x -q --since 3d -"},
		{"siglake run --lake=x list.csv --simulate", "siglake run --lake=x --simulate list.csv"},
		{"siglake run --lake x -- -odd-name.csv", "siglake run --lake x -- -odd-name.csv"},
		{"siglake", "siglake"},
		{"siglake --help", "siglake --help"},
	} {
		got, err := flagsFirst(program, strings.Fields(c.args))
		if want := strings.Fields(c.want); err != nil || !slices.Equal(got, want) {
			t.Errorf("flagsFirst(%q) = %q, %v; want %q", c.args, got, err, want)
		}
	}
}
