package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/schema"
)

// fixedDayConfig are readings of the open questions, on a day that is always the same:
// so the world is, too.
func fixedDayConfig(t *testing.T, settings ...string) simulator.Config {
	t.Helper()
	s, err := simulator.ParseSwitches(settings)
	if err != nil {
		t.Fatal(err)
	}
	noon := time.Date(2026, 5, 6, 12, 0, 0, 0, time.UTC)
	setNow(t, func() time.Time { return noon })
	return simulator.Config{Switches: s, Now: envFor(t).Now}
}

// writeFiles writes a list of several files.
func writeFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// listByID is a list of two files, companies and contacts, all by the API's ids.
func listByID(t *testing.T, n int) string {
	t.Helper()
	companies, contacts := "key,lusha company id\n", "key,lusha contact id\n"
	for i := range n {
		companies += fmt.Sprintf("a%03d,%d\n", i, 88_003_321+i)
		contacts += fmt.Sprintf("p%03d,%d\n", i, 70_114_455+i)
	}
	return writeFiles(t, map[string]string{"companies.csv": companies + "twice,88003321\n", "contacts.csv": contacts})
}

// listByName is one in which both are named in every other way; some are in it twice,
// and some cannot be asked about.
func listByName(t *testing.T, n int) string {
	t.Helper()
	companies := "key,domain,company name\ntwice,company-0000.example,\nnothing,,\nnobody,company-nobody-0.example,\n"
	contacts := "key,first name,last name,company,email,linkedin url\nnothing,Aa,,,,\n"
	for i := range n {
		companies += []string{fmt.Sprintf("a%03d,company-%04d.example,\n", i, i), fmt.Sprintf("a%03d,,Tallow %d Works\n", i, i)}[i%2]
		contacts += []string{
			fmt.Sprintf("p%03d,,,,%s.sample@harborquill.example,\n", i, letters(i)),
			fmt.Sprintf("p%03d,,,,,https://www.linkedin.com/in/sample-%d\n", i, i),
			fmt.Sprintf("p%03d,Ilse,Example-%s,Tallow & Finch,,\n", i, letters(i)),
		}[i%3]
	}
	companies += "again,https://www.company-0000.example/about,\n"
	contacts += "again,,,,AA.Sample@harborquill.example,\nnamed,Aa,Sample,Harbor Quill,,\n"
	return writeFiles(t, map[string]string{"companies.csv": companies, "contacts.csv": contacts})
}

// letters spells a number without digits.
func letters(i int) string { return string([]rune{'a' + rune(i/26%26), 'a' + rune(i%26)}) }

// difference is where the lakes that two dialects leave behind differ, and why.
// A column of "*" is whether a row is there at all.
type difference struct{ tables, columns, why string }

// alwaysDiffer are the differences between two runs in two dialects, whatever is asked.
var alwaysDiffer = []difference{
	{"contact growth intent news risk accounts", "run_id", "they are two runs"},
	{"contact growth intent news risk", "fetched_at first_seen_at", "at two times"},
	{"contact", "raw", "V3 has names of its own for the fields of people's events, beside those of V2"},
}

// differBySearch are those that come of V3's asking by id, after a search for it.
var differBySearch = []difference{
	{"contact growth intent news risk accounts", "call_id", "the searches come first, and are calls"},
	{"accounts", "credits", "a line bears its share of the search"},
	{"accounts", "reason", "V3 says of an identifier that it does not know it; V2 is silent"},
	{"accounts", "entity_name", "V3 states the names of people"},
	{"accounts", "status duplicate_of_row events known_events", "V3 tells that two identifiers denote one entity, before it is paid for twice"},
}

// differBySample are those of the four names that V3's one documented sample has.
var differBySample = []difference{
	{"contact", "current_company_id current_domain current_title current_departments current_seniority_label previous_domain previous_title summary_text", "the sample has none of them"},
	{"contact", "content_digest", "so it is other content"},
}

// differByToken are those of ids that V3 writes as opaque tokens.
var differByToken = []difference{
	{"contact growth intent news risk accounts", "entity_id", "an event is about the id that was asked for; aliases has the other one"},
}

// differByFilter are those of filters that V3 leaves to us.
var differByFilter = []difference{
	{"accounts", "credits", "what they keep out is paid for"},
	{"accounts", "notes", "and said to be"},
}

func columnNames(lists ...[]difference) (out []string) {
	for _, d := range slices.Concat(lists...) {
		for _, table := range strings.Fields(d.tables) {
			for _, column := range strings.Fields(d.columns) {
				out = append(out, table+"."+column)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// rowKey names a row whatever the dialect it was bought in.
func rowKey(table schema.Table, row map[string]any) string {
	switch {
	case table.Name == schema.Accounts.Name:
		return fmt.Sprint(row["row"])
	case row["signal_id"] != nil:
		return fmt.Sprint(row["signal_type"], row["signal_id"])
	}
	return fmt.Sprint(row["signal_type"], row["account_key"], row["event_date"])
}

// compareLakes gives the columns in which the lakes of two rigs differ, and how many
// rows were compared in each table.
func compareLakes(t *testing.T, one, two *rig) (columns []string, rows map[string]int) {
	t.Helper()
	met := map[string]bool{}
	rows = map[string]int{}
	for _, table := range slices.Concat(schema.EventTables, []schema.Table{schema.Accounts}) {
		index := func(r *rig) map[string]map[string]any {
			byKey := map[string]map[string]any{}
			for _, row := range r.table(table) {
				k := rowKey(table, row)
				if byKey[k] != nil {
					t.Errorf("two rows of %s are %s: they cannot be compared", table.Name, k)
				}
				byKey[k] = row
			}
			return byKey
		}
		a, b := index(one), index(two)
		for k, row := range a {
			other := b[k]
			if other == nil {
				met[table.Name+".*"] = true
				continue
			}
			rows[table.Name]++
			for column, v := range row {
				if v != other[column] {
					met[table.Name+"."+column] = true
				}
			}
		}
		for k := range b {
			if a[k] == nil {
				met[table.Name+".*"] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(met)), rows
}

// TestDialectsAgree: the same list in the same world gives the same lake in V2 and
// in V3, but for what is listed.
func TestDialectsAgree(t *testing.T) {
	t.Parallel()
	filters := []string{"--news-event-types", "Partnership,IPO,Product Launch,Security Issue", "--hiring-departments", "Sales,Finance,Engineering & Technical", "--hiring-locations", "Norway,United States:Ohio,India"}
	for i, c := range []struct {
		name     string
		list     func(*testing.T, int) string
		switches []string
		flags    []string
		differ   []string
	}{
		{"by id", listByID, nil, nil, columnNames(alwaysDiffer)},
		{"by id, all domains with www", listByID, []string{"v3-www=always"}, nil, columnNames(alwaysDiffer)},
		{"by id, field names of V2", listByID, []string{"v3-events=v2"}, nil, columnNames(alwaysDiffer[:2])},
		{"by id, field names of the sample", listByID, []string{"v3-events=sample"}, nil, columnNames(alwaysDiffer, differBySample)},
		{"by id, V3 writes tokens", listByID, []string{"v3-ids=tokens"}, nil, columnNames(alwaysDiffer)},
		{"by id, with filters", listByID, nil, filters, columnNames(alwaysDiffer, differByFilter)},
		{"by name", listByName, nil, nil, columnNames(alwaysDiffer, differBySearch)},
		{"by name, V3 writes tokens", listByName, []string{"v3-ids=tokens"}, nil, columnNames(alwaysDiffer, differBySearch, differByToken)},
		{"by name, with filters", listByName, nil, filters, columnNames(alwaysDiffer, differBySearch, differByFilter)},
	} {
		if i%proof.Size(8, 1, 1) != 0 {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			list := c.list(t, 60)
			ask := func(api string) *rig {
				r := newRig(t, fixedDayConfig(t, append([]string{"announced"}, c.switches...)...))
				r.runList(t.Context(), nil, list, append([]string{"--signals", "all", "--max-results", "100", "--since", "180d", "--api", api}, c.flags...)...)
				if r.code != exitComplete && r.code != exitRejects {
					t.Fatalf("%s: exit %d: %s", api, r.code, r.stderr)
				}
				return r
			}
			two, three := ask("v2"), ask("v3")
			three.mustExit(exitComplete, "verify")
			got, rows := compareLakes(t, two, three)
			if diff := cmp.Diff(c.differ, got); diff != "" {
				t.Errorf("columns that differ (-listed +found):\n%s", diff)
			}
			for _, table := range schema.EventTables[:len(schema.EventTables)-1] {
				if rows[table.Name] < 10 {
					t.Errorf("%d rows of %s compared, want some: the test shows nothing", rows[table.Name], table.Name)
				}
			}
			a, b := two.manifest, three.manifest
			if a.Events.Filtered != 0 || (b.Events.Filtered > 0) != (c.flags != nil) || a.Events.Written != b.Events.Written {
				t.Errorf("V2 returned %d (%d beside), V3 %d (%d beside); want the same but for what V3 cannot filter", a.Events.Returned, a.Events.Filtered, b.Events.Returned, b.Events.Filtered)
			}
			merged := b.Accounts.ByStatus[schema.Duplicate] - a.Accounts.ByStatus[schema.Duplicate]
			for _, s := range []schema.Status{schema.Enriched, schema.NotFound, schema.Rejected} {
				if a.Accounts.ByStatus[s] != b.Accounts.ByStatus[s] && merged == 0 {
					t.Errorf("%d lines %s in V2, %d in V3", a.Accounts.ByStatus[s], s, b.Accounts.ByStatus[s])
				}
			}
			if search := b.Credits.ByAction["api_search"]; b.Credits.Charged != b.Events.Returned+search || a.Credits.Charged != a.Events.Returned || a.Credits.ByAction["api_search"] != 0 {
				t.Errorf("V2 %+v for %d events, V3 %+v for %d events; want a credit each, and the searches", a.Credits, a.Events.Returned, b.Credits, b.Events.Returned)
			}
		})
	}
}
