package export

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/schema"
)

// exported is an export as a table: a row for each line or event, by the names of the columns.
func exported(t *testing.T, o Options, fill func(j *Join)) []map[string]string {
	t.Helper()
	o.Dir = t.TempDir()
	j, err := NewJoin(o)
	if err != nil {
		t.Fatal(err)
	}
	fill(j)
	var out bytes.Buffer
	if err := j.Match(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Write(t.Context(), Output{Format: CSV, W: &out}); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(o.Dir + "/runs"); err != nil || len(left) > 0 {
		t.Errorf("left in the temporary directory: %v, %v", left, err)
	}
	records, err := csv.NewReader(&out).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var rows []map[string]string
	for _, r := range records[1:] {
		row := map[string]string{}
		for i, name := range records[0] {
			if _, twice := row[name]; twice {
				t.Errorf("two columns are named %s", name)
			}
			row[name] = r[i]
		}
		rows = append(rows, row)
	}
	return rows
}

// columnsOf reduces rows to some columns.
func columnsOf(rows []map[string]string, names ...string) (out []string) {
	for _, r := range rows {
		var values []string
		for _, n := range names {
			values = append(values, r[n])
		}
		out = append(out, strings.Join(values, "|"))
	}
	return out
}

func cells(texts ...string) (c [][]byte) {
	for _, s := range texts {
		c = append(c, []byte(s))
	}
	return c
}

// example fills a join with a list of two files, what two runs say about its lines, and events.
func example(t *testing.T) func(*Join) {
	return func(j *Join) {
		t.Helper()
		ctx := context.Background()
		check := func(err error) {
			if err != nil {
				t.Helper()
				t.Fatal(err)
			}
		}
		line := func(row int64, domain string) *Line {
			return &Line{Row: row, File: "list.csv", Line: row + 1, Key: fmt.Sprintf("k%d", row), Object: schema.Company, Identifier: schema.ByDomain, Text: domain,
				Identity: Identify(schema.Company, schema.ByDomain, domain)}
		}
		event := func(entity, uid string, revision, day int64, signal, headline string) {
			e := &Event{Object: schema.Company, EntityID: entity, UID: uid, Revision: revision, Fetched: revision, Digest: headline, Category: "news", Signal: signal,
				FirstSeen: numberCell(20_000 * microsecondsPerDay), Headline: headline}
			if day > 0 {
				e.Date = numberCell(day)
			}
			check(j.AddEvent(ctx, e))
		}
		// Events, states and lines come in any order.
		event("1", "u1", 1, 20_100, "peopleNews", "old")
		event("1", "u1", 2, 20_101, "peopleNews", "corrected")
		event("1", "u2", 1, 20_090, "peopleNews", "earlier")
		event("1", "u3", 1, 0, "oddity", "undated")
		event("1", "u4", 1, 20_050, "riskNews", "one of an answer")
		event("1", "u4", 1, 20_050, "riskNews", "two of an answer")
		event("1", "u4", 1, 20_050, "riskNews", "two of an answer") // written again by an old version
		event("2", "u5", 1, 20_000, "riskNews", "=formula")
		event("9", "u6", 1, 20_000, "riskNews", "of no line")
		check(j.AddEvent(ctx, &Event{Object: schema.Contact, EntityID: "1", UID: "u7", Revision: 1, Signal: "promotion", Headline: "a person with the same id"}))

		names, other := []string{"Company", "=x", "status"}, []string{"status", "Company", "Extra"}
		check(j.AddLine(ctx, line(1, "a.example"), names, cells("A", "=1", "mine")))
		check(j.AddLine(ctx, line(2, "b.example"), names, cells("B", "", "")))
		check(j.AddLine(ctx, line(3, "a.example"), names, cells("A again")))
		reject := &Line{Row: 4, File: "list.csv", Key: "k4", Object: schema.Company, Own: State{Status: "rejected", Reason: "no domain"}}
		check(j.AddLine(ctx, reject, names, cells("?", "", "", "one too many")))
		check(j.AddLine(ctx, line(5, "new.example"), other, cells("x", "N", "e")))
		check(j.AddLine(ctx, line(6, "cached.example"), other, cells("x", "C\xff", "e")))

		state := func(run string, row int64, domain, command, status, entity string) {
			check(j.AddState(ctx, Identify(schema.Company, schema.ByDomain, domain), &State{Run: run, Row: row, Command: command, Status: status, Reason: "why " + run, EntityID: entity, EntityName: "Name of " + entity}))
		}
		state("r2", 1, "a.example", "run", "cached", "")
		state("r1", 1, "a.example", "run", "enriched", "1")
		state("r1", 3, "a.example", "run", "duplicate", "")
		state("r1", 2, "b.example", "resolve", "resolved", "2")
		state("r2", 2, "b.example", "run", "no_signal", "2")
		state("r3", 2, "b.example", "score", "enriched", "2")
		state("r2", 6, "cached.example", "run", "cached", "")
	}
}

// TestProspects: one row a line, in the order of the list, whatever order its parts came in.
func TestProspects(t *testing.T) {
	t.Parallel()
	rows := exported(t, Options{}, example(t))
	got := columnsOf(rows, "Company", "'=x", "status", "column 4", "Extra", "siglake_account_key", "siglake_status", "siglake_reason", "siglake_entity_id", "siglake_events", "siglake_last_event_date")
	want := []string{
		"A|'=1|mine|||k1|enriched|why r1|1|5|2025-01-13",
		"B|||||k2|no_signal|why r2|2|1|2024-10-04",
		"A again|||||k3|enriched|why r1|1|5|2025-01-13",
		"?|||one too many||k4|rejected|no domain||0|",
		"N||x||e|k5|not_requested|no run of this lake has requested signals of it||0|",
		"C\ufffd||x||e|k6|cached|why r2||0|",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	got = columnsOf(rows[:3], "peopleNews_count", "peopleNews_date", "peopleNews_headline", "riskNews_count", "riskNews_headline", "oddity_count", "oddity_date", "oddity_headline")
	want = []string{
		"2|2025-01-13|corrected|2|one of an answer|1||undated",
		"0|||1|'=formula|0||",
		"2|2025-01-13|corrected|2|one of an answer|1||undated",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("signals (-want +got):\n%s", diff)
	}
	if _, ok := rows[0]["promotion_count"]; ok {
		t.Error("a signal that no line has events of has columns")
	}
}

// TestSpilled: what does not fit into memory gives the same.
func TestSpilled(t *testing.T) {
	t.Parallel()
	for _, events := range []bool{false, true} {
		want := exported(t, Options{Events: events}, example(t))
		if diff := cmp.Diff(want, exported(t, Options{Events: events, Memory: 1}, example(t))); diff != "" || len(want) == 0 {
			t.Errorf("events %t: in memory %d rows (-memory +disk):\n%s", events, len(want), diff)
		}
	}
}

// TestEventRows: one row an event of a line, the newest first.
func TestEventRows(t *testing.T) {
	t.Parallel()
	rows := exported(t, Options{Events: true}, example(t))
	got := columnsOf(rows, "account_key", "signal_type", "event_date", "headline", "event_uid")
	var want []string
	for _, key := range []string{"k1", "k2", "k3"} {
		if key == "k2" {
			want = append(want, "k2|riskNews|2024-10-04|'=formula|u5")
			continue
		}
		for _, event := range []string{"peopleNews|2025-01-13|corrected|u1", "peopleNews|2025-01-02|earlier|u2", "riskNews|2024-11-23|one of an answer|u4", "riskNews|2024-11-23|two of an answer|u4", "oddity||undated|u3"} {
			want = append(want, key+"|"+event)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if _, ok := rows[0]["Company"]; ok {
		t.Error("events have the columns of the list")
	}
}

// TestChosen: --signals gives the columns and their order, and --since counts by the newest revision.
func TestChosen(t *testing.T) {
	t.Parallel()
	rows := exported(t, Options{Signals: []string{"riskNews", "peopleNews", "promotion"}, Since: numberCell(20_095)}, example(t))
	got := columnsOf(rows[:3], "siglake_events", "peopleNews_count", "riskNews_count", "promotion_count", "peopleNews_headline")
	want := []string{"1|1|0|0|corrected", "0|0|0|0|", "1|1|0|0|corrected"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("signals (-want +got):\n%s", diff)
	}
	if _, ok := rows[0]["oddity_count"]; ok {
		t.Error("a signal that was not chosen has columns")
	}
	rows = exported(t, Options{Since: numberCell(20_000)}, example(t))
	if got := columnsOf(rows[:1], "oddity_count"); got[0] != "1" { // first seen on that day
		t.Errorf("an undated event counts %s times, want by the day on which it was first seen", got[0])
	}
	rows = exported(t, Options{Since: numberCell(20_001)}, example(t))
	if got := columnsOf(rows[:1], "siglake_events"); got[0] != "4" {
		t.Errorf("%s events since the day after, want 4", got[0])
	}
}

// TestEventsAfterLines: events that are added when the entities of the lines are known give the same.
func TestEventsAfterLines(t *testing.T) {
	t.Parallel()
	fill := example(t)
	want := exported(t, Options{}, fill)
	got := exported(t, Options{}, func(j *Join) {
		fill(j)
		if err := j.MatchLines(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i := range 1000 { // of no line
			e := Event{Object: schema.Company, EntityID: fmt.Sprint("other", i), UID: "u", Revision: 1, Signal: "riskNews"}
			if err := j.AddEvent(t.Context(), &e); err != nil {
				t.Fatal(err)
			}
			if i == 0 && !j.wants(&Event{Object: schema.Company, EntityID: "2", Signal: "riskNews"}) {
				t.Error("an event of a line is not wanted")
			}
		}
		if j.wants(&Event{Object: schema.Contact, EntityID: "2", Signal: "riskNews"}) && j.wants(&Event{Object: schema.Contact, EntityID: "1", Signal: "riskNews"}) {
			t.Error("events of no line are wanted")
		}
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-before +after):\n%s", diff)
	}
	late := exported(t, Options{}, func(j *Join) {
		l := &Line{Row: 1, Object: schema.Company, EntityID: "5", Own: State{Status: "enriched"}}
		if err := j.AddLine(t.Context(), l, nil, nil); err != nil {
			t.Fatal(err)
		}
		if err := j.MatchLines(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := j.AddEvent(t.Context(), &Event{Object: schema.Company, EntityID: "5", UID: "u", Revision: 1, Signal: "riskNews"}); err != nil {
			t.Fatal(err)
		}
	})
	if got := columnsOf(late, "riskNews_count"); len(got) != 1 || got[0] != "1" {
		t.Errorf("an event that comes after its line counts %v times", got)
	}
}

// TestPersons: the event of a person has the name that the API knows, or that of the line.
func TestPersons(t *testing.T) {
	t.Parallel()
	rows := exported(t, Options{Events: true}, func(j *Join) {
		for i, known := range []string{"Ida Moen", ""} {
			entity := fmt.Sprint(i)
			l := &Line{Row: int64(i), Key: entity, Object: schema.Contact, Name: "Ida M.", EntityID: entity, Own: State{Status: "enriched", EntityName: known}}
			if err := j.AddLine(t.Context(), l, nil, nil); err != nil {
				t.Fatal(err)
			}
			if err := j.AddEvent(t.Context(), &Event{Object: schema.Contact, EntityID: entity, UID: "u" + entity, Revision: 1, Signal: "promotion"}); err != nil {
				t.Fatal(err)
			}
		}
	})
	if diff := cmp.Diff([]string{"0|Ida Moen", "1|Ida M."}, columnsOf(rows, "account_key", "person")); diff != "" {
		t.Errorf("persons (-want +got):\n%s", diff)
	}
}

// TestEmptyExport: a list that no run has read, and no list at all.
func TestEmptyExport(t *testing.T) {
	t.Parallel()
	if rows := exported(t, Options{FromLake: true}, func(*Join) {}); len(rows) != 0 {
		t.Errorf("rows of nothing: %v", rows)
	}
}
