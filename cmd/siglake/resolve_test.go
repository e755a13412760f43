package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/schema"
)

// fakeClock gives a test a clock for the program and its simulator, and what turns
// it by so many days.
func fakeClock(t *testing.T) (cfg simulator.Config, advance func(n int)) {
	t.Helper()
	at := time.Now()
	setNow(t, func() time.Time { return at })
	return simulator.Config{Now: func() time.Time { return at }}, func(n int) { at = at.Add(time.Duration(n) * 24 * time.Hour) }
}

// searchCalls are the simulator's entries for searches, from one on.
func (r *rig) searchCalls(from int) (calls, entities int, credits int64) {
	for _, e := range r.sim.Bill().Entries[from:] {
		if strings.HasSuffix(e.Path, "/search") && strings.HasPrefix(e.Path, "/v3/") {
			calls++
			entities += e.Entities
			credits += e.Credits
		}
	}
	return calls, entities, credits
}

// callCounts is what a command cost, apart by what it bought.
type callCounts struct {
	searches, searched int // calls, and the entities in them
	calls, entities    int // others
}

func (r *rig) countCalls(do func() runResult) (v runResult, bought callCounts) {
	r.t.Helper()
	from := r.sim.Bill().Requests
	v = do()
	bought.searches, bought.searched, _ = r.searchCalls(from)
	bought.calls, bought.entities = v.calls-bought.searches, v.entities-bought.searched
	return v, bought
}

// v3Flags are the flags of the purchase that the edits below differ from.
var v3Flags = append([]string{"--api", "v3"}, baseFlags...)

// TestEditsV3: however a list is edited and whenever it is requested again, ids are
// searched once while they are valid, and signals once a day.
func TestEditsV3(t *testing.T) {
	t.Parallel()
	for _, ids := range []string{"numeric", "tokens"} {
		t.Run(ids, func(t *testing.T) {
			const lines = 110
			cfg, pass := fakeClock(t)
			cfg.Switches.V3IDs = ids
			r := newRig(t, cfg)
			list := domainLines(lines)
			r.run(list, v3Flags...)
			known, missed := 0, 0
			byID := "lusha company id\n"
			for _, a := range r.accountRows() {
				switch schema.Status(a["status"].(string)) {
				case schema.NotFound:
					missed++
				case schema.Enriched, schema.NoSignal:
					known++
					byID += a["entity_id"].(string) + "\n"
				default:
					t.Fatalf("%v, want every line answered", a)
				}
			}
			if r.code != exitComplete || known == 0 || missed == 0 {
				t.Fatalf("exit %d, %d found and %d not: %s", r.code, known, missed, r.stderr)
			}
			full := func(n int) int { return (n + 99) / 100 }
			for _, c := range []struct {
				name  string
				days  int
				list  string
				flags []string
				want  callCounts
			}{
				{name: "the same list"},
				{name: "by id instead of domain", list: byID},
				{name: "a line inserted", list: extraDomain + "\n" + list, want: callCounts{1, 1, 1, 1}},
				{name: "the next day", days: 1, want: callCounts{0, 0, full(known), known}},
				{name: "by id, that day", list: byID},
				{name: "what was not found counts for a day", flags: []string{"--resolve-misses", "1d", "--new-run"}, want: callCounts{full(missed), missed, 0, 0}},
				{name: "after eight days more", days: 8, want: callCounts{full(missed), missed, full(known), known}},
				{name: "what was found counts for a week", days: 1, flags: []string{"--resolve-hits", "1w"}, want: callCounts{full(known), known, full(known), known}},
				{name: "after thirty days more", days: 30, want: callCounts{full(lines), lines, full(known), known}},
				{name: "the last time, once more"},
				{name: "after four weeks, with a long memory", days: 28, flags: []string{"--resolve-misses", "8w"}, want: callCounts{0, 0, full(known), known}},
			} {
				pass(c.days)
				if c.list == "" {
					c.list = list
				}
				v, got := r.countCalls(func() runResult { return r.rerun(c.list, append(c.flags, v3Flags...)...) })
				if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(callCounts{})); diff != "" || v.code != exitComplete {
					t.Errorf("%s: exit %d, bought (-want +got):\n%s%s", c.name, v.code, diff, v.stderr)
				}
			}
			r.checkInvariants()
			r.checkRebuild()
		})
	}
}

// TestResolvedBefore: no command searches for ids that siglake resolve found, and what
// was bought in one API version is not bought in the other.
func TestResolvedBefore(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	list := domainLines(250)
	for _, ids := range []string{"numeric", "tokens"} {
		r := newRig(t, simulator.Config{Switches: simulator.Switches{V3IDs: ids}})
		if v, got := r.countCalls(func() runResult { return r.runProduct(app.ResolveName, list) }); v.code != exitComplete || got.searches != 3 || got.calls != 0 {
			t.Errorf("resolve: exit %d, %+v; want %d and 3 searches: %s", v.code, got, exitComplete, v.stderr)
		}
		r.check()
		v, got := r.countCalls(func() runResult { return r.rerun(list, v3Flags...) })
		if v.code != exitComplete || got.searches != 0 || got.calls == 0 {
			t.Errorf("after resolve: exit %d, %+v; want %d and no search: %s", v.code, got, exitComplete, v.stderr)
		}
		if v, got := r.countCalls(func() runResult { return r.runProduct(app.ResolveName, list, "--new-run") }); v.code != exitComplete || got != (callCounts{}) {
			t.Errorf("resolve again: exit %d, %+v; want %d and nothing: %s", v.code, got, exitComplete, v.stderr)
		}
		if v, got := r.countCalls(func() runResult { return r.runProduct(app.ResolveName, list, "--refresh") }); v.code != exitComplete || got.searches != 3 {
			t.Errorf("resolve --refresh: exit %d, %+v; want %d and 3 searches: %s", v.code, got, exitComplete, v.stderr)
		}
		if _, got := r.countCalls(func() runResult { return r.rerun(list, append([]string{"--refresh"}, v3Flags...)...) }); got.searches != 0 || got.calls == 0 {
			t.Errorf("signals refreshed: %+v, want them bought again by the ids that are known", got)
		}
		r.checkInvariants()
		r.checkRebuild()
	}
}

// TestOtherAPIVersion: signals that were bought in V2 are not bought again in V3 on
// the same day, and the reverse; nor is an id searched that an answer stated.
func TestOtherAPIVersion(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	list := domainLines(250)
	in := func(api string) []string { return append([]string{"--api", api}, baseFlags...) }
	for _, first := range []string{"v2", "v3"} {
		second := map[string]string{"v2": "v3", "v3": "v2"}[first]
		r := newRig(t, simulator.Config{})
		r.run(list, in(first)...)
		missed := int(r.manifest.Accounts.ByStatus[schema.NotFound])
		v, got := r.countCalls(func() runResult { return r.rerun(list, in(second)...) })
		// Of whom the search knew nothing, V2 was not asked.
		want := callCounts{}
		if first == "v3" && missed > 0 {
			want = callCounts{0, 0, 1, missed}
		}
		if v.code != exitComplete || got != want {
			t.Errorf("%s after %s: exit %d, %+v; want %d, %+v: %s", second, first, v.code, got, exitComplete, want, v.stderr)
		}
		// One more signal needs no search of who was answered.
		v, got = r.countCalls(func() runResult { return r.rerun(list, append(in("v3"), "--signals", "websiteTrafficIncrease")...) })
		if first == "v2" && (v.code != exitComplete || got.searched > missed || got.entities == 0) {
			t.Errorf("one more signal in v3: exit %d, %+v; want at most the %d unknown ones searched: %s", v.code, got, missed, v.stderr)
		}
		r.checkInvariants()
	}
}

// TestOneCompanyTwice: a line by domain and one by id that are one company are
// asked about once, whichever comes first.
func TestOneCompanyTwice(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	ids := newRig(t, simulator.Config{})
	ids.runProduct(app.ResolveName, "company-0003.example\n")
	rows := ids.products()
	if len(rows) != 1 {
		t.Fatalf("%d ids, want one: %s", len(rows), ids.stderr)
	}
	id := rows[0]["entity_id"]
	for _, list := range []string{
		fmt.Sprintf("domain,lusha company id\ncompany-0003.example,\n,%s\n", id),
		fmt.Sprintf("domain,lusha company id\n,%s\ncompany-0003.example,\n", id),
		"domain,linkedin\ncompany-0003.example,\nwww.company-0003.example,\n",
	} {
		r := newRig(t, simulator.Config{})
		r.run(list, v3Flags...)
		by := r.manifest.Accounts.ByStatus
		if r.code != exitComplete || by[schema.Duplicate] != 1 || len(by) != 2 {
			t.Errorf("exit %d, %v; want %d and one line a duplicate: %s", r.code, by, exitComplete, r.stderr)
		}
		r.checkInvariants()
		r.checkRebuild()
	}
}
