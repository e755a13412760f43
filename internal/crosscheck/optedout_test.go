package crosscheck

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/inbox"
	"github.com/siglake/siglake/schema"
)

// optedOutLake is a lake about contacts of whom one has opted out, between two runs of the same list. secrets are texts
// that stand for that person.
func optedOutLake(t *testing.T) (lake string, secrets []string) {
	t.Helper()
	lake = filepath.Join(t.TempDir(), "lake")
	list := filepath.Join(t.TempDir(), "people.csv")
	var lines strings.Builder
	lines.WriteString("key,linkedin,full name,email\n")
	for i := range 30 {
		fmt.Fprintf(&lines, "k%d,https://www.linkedin.com/in/sample-%d,Person Number%d,p%d@people.example\n", i, i, i, i)
	}
	if err := os.WriteFile(list, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) {
		t.Helper()
		if code, _ := runProgram(t, nil, append(args, "--lake", lake, "--quiet")...); code != 0 {
			t.Fatalf("siglake %q: exit %d", args, code)
		}
	}
	run("run", list, "--signals", "contact", "--since", "180d", "--simulate", "--rate", "0", "--api", "v2")
	run("run", list, "--signals", "contact", "--since", "179d", "--simulate", "--rate", "0", "--api", "v3")
	d := openSession(t, printDDL(t, lake))
	_, rows, err := d.Query(t.Context(), "SELECT c.entity_id, a.account_key FROM contact AS c JOIN accounts AS a ON a.entity_id = c.entity_id WHERE a.events > 0 GROUP BY ALL ORDER BY ALL LIMIT 1")
	if err != nil || len(rows) != 1 {
		t.Fatalf("%d persons with events, %v", len(rows), err)
	}
	contact, number := fmt.Sprint(rows[0][0]), strings.TrimPrefix(fmt.Sprint(rows[0][1]), "k")
	notice := fmt.Sprintf(`{"contactId":%q,"fullName":"Person Number%s","linkedinUrl":"https://linkedin.com/in/sample-%[2]s","contactOptOutDate":"2026-05-06 07:41:02.090","datapoints":[{"datapointId":"p%[2]s@people.example","datapointType":"email"}]}`, contact, number)
	i, err := inbox.Open(t.Context(), lake, inbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.Append(t.Context(), &inbox.Delivery{ID: "opt-out-1", Kind: inbox.OptOut, Received: time.Now().UTC(), Stamp: "1", Body: []byte(notice)}); err != nil {
		t.Fatal(err)
	}
	event := `{"id":"00000000-0000-4000-8000-000000000001","type":"financialEventsNews","entityType":"company","entityId":"50023","subscriptionId":"66aa","data":{"companyId":"50023","signalId":"s1","signalDate":"2026-04-01"},"timestamp":"2026-04-02T08:15:30.120Z","billing":{"creditsCharged":3}}`
	if _, err := i.Append(t.Context(), &inbox.Delivery{ID: "00000000-0000-4000-8000-000000000001", Kind: inbox.Event, Received: time.Now().UTC(), Stamp: "1", Body: []byte(event)}); err != nil {
		t.Fatal(err)
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	run("webhooks", "publish")
	run("run", list, "--signals", "contact", "--since", "150d", "--simulate", "--rate", "0", "--api", "v2")
	return lake, []string{contact, "Person Number" + number, "p" + number + "@people.example", "sample-" + number}
}

// findSecrets says which views of a session have one of the texts in a cell, or at the end of one.
func findSecrets(t *testing.T, d *DuckDB, secrets []string) (found []string) {
	t.Helper()
	for _, name := range viewsOf(t, d) {
		_, rows, err := d.Query(t.Context(), "SELECT * FROM "+name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, row := range rows {
			for _, cell := range row {
				text := fmt.Sprint(cell)
				if i := slices.IndexFunc(secrets, func(secret string) bool {
					return text == secret || strings.HasSuffix(text, "/"+secret) || strings.Contains(text, `"`+secret+`"`)
				}); i >= 0 && !slices.Contains(found, name+" has "+secrets[i]) {
					found = append(found, name+" has "+secrets[i])
				}
			}
		}
	}
	return found
}

// viewsOf are the views of a session.
func viewsOf(t *testing.T, d *DuckDB) (names []string) {
	t.Helper()
	_, rows, err := d.Query(t.Context(), "SELECT view_name FROM duckdb_views() WHERE NOT internal ORDER BY 1")
	if err != nil || len(rows) < len(schema.Tables) {
		t.Fatalf("%d views, %v", len(rows), err)
	}
	for _, row := range rows {
		names = append(names, fmt.Sprint(row[0]))
	}
	return names
}

// TestViewsLeaveOutOptedOut: no view shows a person who has opted out, also not the line of a list about the person;
// the bill keeps its sum, and the report agrees with the views. Views over tables of Iceberg leave out the same.
func TestViewsLeaveOutOptedOut(t *testing.T) {
	t.Parallel()
	lake, secrets := optedOutLake(t)
	d := openSession(t, printDDL(t, lake))
	for _, found := range findSecrets(t, d, secrets) {
		t.Error(found)
	}
	raw := openDuckDB(t)
	const sum = "SELECT CAST(sum(credits) AS BIGINT) FROM "
	_, want, err := raw.Query(t.Context(), sum+ScanExpr(lake, datasetPath(schema.Credits)))
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"credits", "calls"} {
		if _, got, err := d.Query(t.Context(), sum+table); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s sums to %v, %v; want %v", table, got, err, want)
		}
	}
	_, hidden, err := d.Query(t.Context(), "SELECT count(*) FROM credits WHERE entity_id IS NULL AND events > 0")
	if err != nil || fmt.Sprint(hidden) == "[[0]]" {
		t.Errorf("%v rows of the bill without a person, %v; want some", hidden, err)
	}

	_, costs, err := d.Query(t.Context(), "SELECT signal_type, calls, credits, delivered_credits, events, credits_per_event FROM signals WHERE signal_type = 'financialEventsNews' OR delivered_credits IS NULL AND credits_per_event <> credits / events")
	if want := "[[financialEventsNews 0 <nil> 3 1 3]]"; err != nil || fmt.Sprint(costs) != want {
		t.Errorf("what a delivered event cost: %v, %v; want %s", costs, err, want)
	}

	// A copy without the journal shows the person, which proves that the search finds what it looks for.
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(copied, os.DirFS(lake)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(copied, "_state")); err != nil {
		t.Fatal(err)
	}
	over := openSession(t, printDDL(t, copied)+"\nCREATE SCHEMA ice;")
	if found := findSecrets(t, over, secrets); len(found) < 8 {
		t.Errorf("without a request, %v have the person", found)
	}
	for _, table := range schema.Tables {
		name := table.Name
		if table.IsEvent() {
			name += "_all"
		}
		if err := over.Exec(t.Context(), fmt.Sprintf("CREATE TABLE ice.%s AS FROM %[1]s", name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := over.Exec(t.Context(), printDDL(t, lake, "--over", "ice")); err != nil {
		t.Fatal(err)
	}
	for _, found := range findSecrets(t, over, secrets) {
		t.Error("over tables: " + found)
	}

	r := parseReport(t, writeReport(t, lake, "json"))
	if checkReport(t, d, r) == 0 {
		t.Error("the report has no value")
	}
	page := string(writeReport(t, lake, "md"))
	for _, secret := range secrets[1:] {
		if strings.Contains(page, secret+" ") || strings.Contains(page, secret+"\n") {
			t.Errorf("the report has %s", secret)
		}
	}
}
