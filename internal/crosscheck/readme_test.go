package crosscheck

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

// readREADME returns the README and the manual pages.
func readREADME(t *testing.T) string {
	t.Helper()
	root := filepath.Join("..", "..")
	files, err := filepath.Glob(filepath.Join(root, "cmd", "siglake", "manual", "*.md"))
	if err != nil || len(files) == 0 {
		t.Fatalf("manual pages: %q, %v", files, err)
	}
	text := readFile(t, filepath.Join(root, "README.md"))
	for _, file := range files {
		text += "\n" + readFile(t, file)
	}
	return text
}

// readmeStatements returns the SQL of the README and the manual pages, by the comment above each
// statement.
func readmeStatements(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	parts := strings.Split(readREADME(t), "```sql\n")
	for _, part := range parts[1:] {
		block, _, closed := strings.Cut(part, "```")
		if !closed {
			t.Fatal("an SQL block has no end")
		}
		for _, statement := range strings.Split(block, ";\n") {
			if statement = strings.TrimSpace(statement); statement == "" {
				continue
			}
			comment, _, _ := strings.Cut(strings.TrimPrefix(statement, "-- "), "\n")
			if out[comment] != "" || !strings.HasPrefix(statement, "-- ") {
				t.Fatalf("statement %q: want a unique comment above it", statement)
			}
			out[comment] = statement
		}
	}
	return out
}

func TestStatementsOfTheREADME(t *testing.T) {
	yesterday := time.Now().UTC().AddDate(0, 0, -1).Format(time.DateOnly)
	lines, f := kestrelFixture(t, func(raw string) string {
		return strings.NewReplacer("2026-04-18", yesterday, `"Engineering"`, `"Sales"`).Replace(raw)
	})
	lines[0].Kept = `{"Owner":"Ann"}`
	lake, _ := runIntoNewLake(t, lines, f, "event_month")
	rerunCached(t, lake, "r2", lines)
	productLake, _ := runIntoNewLake(t, lines, f, "event_month") // with tables for products
	buyProducts(t, productLake, "p")
	d, views := openDuckDB(t), openSession(t, printDDL(t, lake))

	var news, newsOfKeys, newsTypes []string
	for _, s := range schema.Signals {
		if s.Category == schema.CategoryNews {
			newsTypes = append(newsTypes, fmt.Sprintf("[%s 1]", s.Key))
			for _, key := range []string{"crm-1", "crm-3"} { // which repeats crm-1
				newsOfKeys = append(newsOfKeys, fmt.Sprintf("[%s list.csv %s %s 00:00:00 +0000 UTC Kestrel Loom made the papers.]", key, s.Key, yesterday))
			}
			news = append(news, fmt.Sprintf("[crm-1 %s %s 00:00:00 +0000 UTC Kestrel Loom made the papers.]", s.Key, yesterday))
		}
	}
	costs := []string{"[companyChange 3 1 3]", "[promotion 2 1 2]", "[moodSwing <nil> 1 <nil>]"}
	for _, s := range schema.Signals {
		if s.Object == schema.Company {
			costs = append(costs, fmt.Sprintf("[%s 1 1 1]", s.Key))
		}
	}
	var recent []string // of crm-1, and of crm-3, which repeats it
	for _, key := range []string{"crm-1", "crm-3"} {
		recent = append(recent, slices.Repeat([]string{fmt.Sprintf("[list.csv %s news %s 00:00:00 +0000 UTC Kestrel Loom made the papers.]", key, yesterday)}, len(news))...)
	}
	got := map[string][]string{}
	for comment, statement := range readmeStatements(t) {
		in, on := lake, d
		if strings.Contains(comment, "(in a session of siglake ddl)") {
			on = views
		} else if !strings.Contains(statement, "'lake/") {
			t.Errorf("statement %q = %s, want it to read the lake", comment, statement)
		}
		if strings.Contains(comment, "(after siglake ") {
			in = productLake
		}
		_, rows, err := on.Query(t.Context(), strings.ReplaceAll(statement, "'lake/", strings.TrimSuffix(QuoteLiteral(in), "'")+"/"))
		if err != nil {
			t.Error(err)
			continue
		}
		if strings.HasPrefix(comment, "trend by week") || strings.HasPrefix(comment, "the events of every line") {
			got[comment] = []string{fmt.Sprint(len(rows))}
			continue
		}
		got[comment] = []string{}
		for _, row := range rows {
			got[comment] = append(got[comment], fmt.Sprint(row))
		}
	}
	if diff := cmp.Diff(map[string][]string{
		"what happened to my accounts in the last 30 days (in a session of siglake ddl)":         recent,
		"news of each account that was requested, and what all its signals cost":                 {fmt.Sprintf("[crm-1 %d %d]", len(news), len(eventsOf(t, schema.Company, unedited)))},
		"events of each type (in a session of siglake ddl)":                                      newsTypes,
		"the newest content of each event, without views":                                        news,
		"news of each type that were known on the first of June (in a session of siglake ddl)":   newsTypes,
		"what each run cost, by its manifest":                                                    {fmt.Sprintf("[r1 8 %d]", len(eventsOf(t, schema.Company, unedited))+6), "[r2 8 0]"},
		"how answers differ from what siglake knows, newest first (in a session of siglake ddl)": {"[<nil> new_type moodSwing <nil> <nil> 1 000006-1]", "[<nil> new_field <nil> entry.size number 1 000001-2]", "[<nil> new_field <nil> answer.page number 1 000001-2]"},
		"what each account cost": {fmt.Sprintf("[crm-1 %d]", len(eventsOf(t, schema.Company, unedited))), "[crm-2 5]", "[<nil> 1]", "[crm-8 <nil>]"},
		"which lines could not be requested, and why, by the newest run of each list": {`[list.csv 5 Website Website "?": not a host name]`},
		"the latest state of each line of each list (in a session of siglake ddl)": {
			"[list.csv crm-1 kestrelloom.example enriched Kestrel Loom]",
			"[list.csv crm-2 https://www.linkedin.com/in/ida-moen enriched Ida Moen]",
			"[list.csv crm-3 kestrelloom.example enriched Kestrel Loom]",
			"[list.csv crm-4 <nil> <nil> <nil>]",
			"[list.csv crm-5 50099 no_signal Brackwater Mills]",
			"[list.csv crm-6 Quiet & Sons <nil> <nil>]",
			"[list.csv crm-7 nobody.example not_found <nil>]",
			"[list.csv crm-8 50031 enriched Fjord Fibre]",
		},
		"news of every account key of every list (in a session of siglake ddl)": newsOfKeys,
		"the rows of accounts with a column of their list, by --keep Owner":     {"[r1 list.csv crm-1 Ann enriched]", "[r2 list.csv crm-1 Ann cached]"},
		"calls whose charge differs from what their events explain: their credits are spread by events": {
			"[000002-1 5 2 3 credits more than its events explain; spread over its events by their number]",
			"[000003-1 1 0 1 credit more than its events explain; it returned none]",
		},
		"lookalikes that are not on my lists yet, best first (after siglake lookalikes)": {"[1 Fjord Fibre fjordfibre.example Textiles 95 Norway]"},
		"accounts with their score and the number of their news (after siglake score)":   {fmt.Sprintf("[crm-1 Kestrel Loom 0.75 %d]", len(news)), "[crm-2 Ida Moen 0 0]"},
		"who raised money and is hiring in Sales (in a session of siglake ddl)":          {"[crm-1 Kestrel Loom]", "[crm-3 Kestrel Loom]"},
		"contacts who changed jobs (in a session of siglake ddl)": {
			"[<nil> <nil> 2026-03-09 00:00:00 +0000 UTC VP Operations at Kestrel Loom, before: Plant Manager at Brackwater Mills]",
		},
		"accounts at risk (in a session of siglake ddl)": {
			fmt.Sprintf("[crm-1 Kestrel Loom 7 %s 00:00:00 +0000 UTC]", yesterday), fmt.Sprintf("[crm-3 Kestrel Loom 7 %s 00:00:00 +0000 UTC]", yesterday),
		},
		"cost by list and month (in a session of siglake ddl)":         {"[<nil> r1 34]", "[<nil> r2 0]"},
		"cost of a new event, by signal (in a session of siglake ddl)": costs,
		"top movers by headcount (in a session of siglake ddl)": slices.Concat(
			slices.Repeat([]string{"[Kestrel Loom 2026-04-01 00:00:00 +0000 UTC 15]"}, 4), slices.Repeat([]string{"[Kestrel Loom 2026-04-01 00:00:00 +0000 UTC -13]"}, 4)),
		"what is new since last week (in a session of siglake ddl)":                             {},
		"the events of every line, by the keys of the list (in a session of siglake ddl)":       {fmt.Sprint(2*len(eventsOf(t, schema.Company, unedited)) + 2 + 1 + 4)}, // of crm-1 and crm-3, crm-2, crm-8, and lines without
		"trend by week (in a session of siglake ddl)":                                           {"10"},
		"signals that were requested and never returned anything (in a session of siglake ddl)": {},
	}, got, cmp.Transformer("unordered", countRows)); diff != "" {
		t.Errorf("rows of the README's statements (-want +got):\n%s", diff)
	}
}

// TestTenQuestions: each of the ten questions takes three lines of SQL at most, of a hundred characters at most.
func TestTenQuestions(t *testing.T) {
	_, page, _ := strings.Cut(readREADME(t), "## Ten questions\n\n```sql\n")
	block, _, _ := strings.Cut(page, "```")
	questions := strings.Split(strings.TrimSpace(block), "\n\n")
	if len(questions) != 10 {
		t.Fatalf("%d questions, want 10", len(questions))
	}
	for _, q := range questions {
		lines := strings.Split(q, "\n")
		if len(lines) > 4 || len(lines[len(lines)-1]) == 0 { // a comment, and three
			t.Errorf("%d lines: %s", len(lines)-1, q)
		}
		for _, line := range lines[1:] {
			if len(line) > 100 {
				t.Errorf("%d characters: %s", len(line), line)
			}
		}
	}
}

// TestQuestionsOfRepeatedLines: an event counts once for a key that several lists or lines have, and the time
// zone of a session changes nothing.
func TestQuestionsOfRepeatedLines(t *testing.T) {
	lines, f := kestrelFixture(t, unedited)
	lake, _ := runIntoNewLake(t, lines, f, "event_month")
	views := openSession(t, printDDL(t, lake))
	for comment, statement := range readmeStatements(t) {
		once := strings.HasPrefix(comment, "accounts at risk") || strings.HasPrefix(comment, "who raised money") || strings.HasPrefix(comment, "what is new since")
		if !once && !strings.HasPrefix(comment, "cost by list and month") {
			continue
		}
		repeated := strings.ReplaceAll(statement, "account_events", "(FROM account_events UNION ALL FROM account_events)")
		repeated = strings.ReplaceAll(repeated, "INTERVAL '7' DAY", "INTERVAL '9999' DAY")
		var got []string
		for _, query := range []string{strings.ReplaceAll(statement, "INTERVAL '7' DAY", "INTERVAL '9999' DAY"), repeated} {
			if err := views.Exec(t.Context(), fmt.Sprintf("SET TimeZone = '%s'", []string{"America/Los_Angeles", "Pacific/Kiritimati"}[len(got)])); err != nil {
				t.Fatal(err)
			}
			_, rows, err := views.Query(t.Context(), query)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprint(sortedRows(rows)))
		}
		if got[0] != got[1] || got[0] == "[]" && !strings.HasPrefix(comment, "who") {
			t.Errorf("%s: %.500s, and of repeated lines, or in another time zone: %.500s", comment, got[0], got[1])
		}
	}
}

// everything are purchases of everything.
type everything struct{}

func (everything) Coverage(_ context.Context, _ *schema.Account, q *pipeline.Query) pipeline.Coverage {
	full := slices.Repeat([]pipeline.SignalCoverage{{State: pipeline.CoverageFull}}, len(q.ResultTypes()))
	return pipeline.Coverage{Signals: full, Call: "r1/000001-1"}
}

func (everything) Suppressed(context.Context, *schema.Account) string { return "" }

func (everything) Entity(context.Context, *schema.Account) schema.Entity { return schema.Entity{} }

func (everything) Resolve(context.Context, *schema.Account) pipeline.Resolution {
	return pipeline.Resolution{}
}

// rerunCached runs a list again that was bought: each line has a second row in the accounts table.
func rerunCached(t *testing.T, lake, run string, lines accountList) {
	t.Helper()
	sink, err := sinks.Open(t.Context(), lake, sinks.Options{RunID: run, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	queries := map[schema.Object]*pipeline.Query{}
	for _, o := range []schema.Object{schema.Company, schema.Contact} {
		queries[o] = &pipeline.Query{Object: o, Since: "2026-02-06", Ask: pipeline.SignalsAsk{MaxResults: 5}}
	}
	r := pipeline.Runner{Sink: sink, Queries: queries, Spec: pipeline.RunSpec{ID: run, Started: time.Now()}, Purchases: everything{}}
	if _, err := r.Run(t.Context(), lines); err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestNewestRunOfASecond: of two runs that began within a second, the manual's statement takes the one that began later, and
// not the one whose id has the higher random end.
func TestNewestRunOfASecond(t *testing.T) {
	const comment = "which lines could not be requested, and why, by the newest run of each list"
	lines, f := kestrelFixture(t, unedited)
	statement, ok := readmeStatements(t)[comment]
	if !ok {
		t.Fatalf("the manual has no statement %q", comment)
	}
	for _, c := range []struct {
		first, second string
	}{{"20260402T081530Z-0a", "20260402T081530Z-ff"}, {"20260402T081530Z-ff", "20260402T081530Z-0a"}} {
		lake := t.TempDir()
		if err := runInto(t.Context(), lake, c.first, lines, f, "event_month"); err != nil {
			t.Fatal(err)
		}
		rerunCached(t, lake, c.second, lines[:1]) // the line that cannot be requested is gone
		_, rows, err := openDuckDB(t).Query(t.Context(), strings.ReplaceAll(statement, "'lake/", strings.TrimSuffix(QuoteLiteral(lake), "'")+"/"))
		if err != nil || len(rows) > 0 {
			t.Errorf("run %s after %s: rows %v, %v, want none", c.second, c.first, rows, err)
		}
	}
}

func countRows(rows []string) map[string]int {
	out := map[string]int{}
	for _, r := range rows {
		out[r]++
	}
	return out
}

// TestMonthsAreText reads the partition column as text: by default where the values are months, and
// with the documented setting even where they could be dates.
func TestMonthsAreText(t *testing.T) {
	const advice = "hive_types = {'event_month': VARCHAR}"
	if !strings.Contains(readREADME(t), advice) {
		t.Errorf("README.md does not contain %s", advice)
	}
	d := openDuckDB(t)
	for _, months := range [][]string{{"2026-03", "2026-04"}, {"2026-03", "unknown"}, {"2026-03-01", "2026-04-01"}, {"202603", "202604"}} {
		lake := t.TempDir()
		sink, err := sinks.Open(t.Context(), lake, sinks.Options{RunID: "r1"})
		if err != nil {
			t.Fatal(err)
		}
		table := schema.EventTable(schema.CategoryGrowth)
		for _, month := range months {
			b := array.NewRecordBuilder(memory.DefaultAllocator, table.Arrow())
			appendRows(b, table, month, 8)
			rec := b.NewRecord()
			if err := sink.Write(t.Context(), schema.Partition{Table: table.Name, Key: "event_month", Value: month}, rec); err != nil {
				t.Fatal(err)
			}
			rec.Release()
			b.Release()
		}
		publishAndClose(t, sink)

		plain := ScanExpr(lake, datasetPath(table))
		advised := strings.TrimSuffix(plain, ")") + ", " + advice + ")"
		for _, from := range []string{plain, advised} {
			if from == plain && months[0] != "2026-03" {
				continue // DuckDB reads them as a date or a number
			}
			described, err := d.DescribeColumns(t.Context(), from)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(wantColumns(table), described); diff != "" {
				t.Errorf("DescribeColumns(%s) with %q (-want +got):\n%s", from, months, diff)
			}
			_, got, err := d.Query(t.Context(), "SELECT event_month, count(*) FROM "+from+" WHERE event_month LIKE '2026%' GROUP BY 1 ORDER BY 1")
			if err != nil {
				t.Fatal(err)
			}
			var want [][]any
			for _, month := range months {
				if month != schema.UnknownPartition {
					want = append(want, []any{month, int64(8)})
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("months %q of %s (-want +got):\n%s", months, from, diff)
			}
		}
	}
}
