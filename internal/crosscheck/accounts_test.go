package crosscheck

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// keysJoinSQL counts, for each run, its lines by status, those that join an event by entity_id, and
// those whose company has an event by the identifier that was asked: every one of these must join.
const keysJoinSQL = `
WITH events AS (SELECT entity_id FROM news UNION SELECT entity_id FROM growth),
lines AS (SELECT *, entity_id IN (FROM events) AS joins,
                 identifier IN (SELECT identifier FROM accounts WHERE status = 'enriched' AND identifier IS NOT NULL) AS has_events FROM accounts)
SELECT dense_rank() OVER (ORDER BY run_id) AS run, status, count(*) AS lines, count(DISTINCT account_key) AS keys, count(*) FILTER (joins) AS joined,
       count(*) FILTER (has_events) AS expected, count(*) FILTER (has_events AND joins IS NOT TRUE OR joins AND NOT has_events) AS wrong
FROM lines GROUP BY run_id, status ORDER BY run, status`

// TestEveryKeyJoins: two lists name the same companies with different keys and spellings, one of them
// some companies twice, in one lake and on nights of which the second buys nothing. Every line of every
// run joins the events of its company by entity_id; a rebuilt lake has the same rows.
func TestEveryKeyJoins(t *testing.T) {
	program, err := buildProgram()
	if err != nil {
		t.Fatal(err)
	}
	for _, api := range []string{"v2", "v3"} {
		t.Run(api, func(t *testing.T) {
			dir := t.TempDir()
			crm, sales := "account_id,domain,Owner\n", "key;website;Team\n"
			for i := range 40 {
				crm += fmt.Sprintf("crm-%d,company-%d.example,Ann\n", i, i)
				if i%4 == 0 {
					crm += fmt.Sprintf("crm-%d-again,https://www.company-%d.example/about,Bob\n", i, i)
				}
				if i%2 == 0 {
					sales += fmt.Sprintf("sales-%d;company-%d.example;%03d\nsales-%d-again;www.company-%d.example;%03d\n", i, i, i, i, i, i)
				}
			}
			write := func(name, text string) string {
				t.Helper()
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				return filepath.Join(dir, name)
			}
			run := func(args ...string) {
				t.Helper()
				cmd := exec.Command(program, args...)
				cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+dir)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("siglake %s: %v: %s", strings.Join(args, " "), err, out)
				}
			}
			lake, rebuilt := filepath.Join(dir, "lake"), filepath.Join(dir, "rebuilt")
			crmPath, salesPath := write("crm.csv", crm), write("sales.csv", sales)
			for _, day := range []string{"2026-06-13", "2026-06-14"} {
				for _, list := range []string{crmPath, salesPath} {
					run("run", list, "--lake", lake, "--signals", "news,headcountIncrease1m", "--since", "last", "--backfill", "30d", "--api", api, "--simulate", "--as-of", day, "--keep", "all", "--quiet", "--rate", "0")
				}
			}
			run("verify", "--lake", lake)
			run("rebuild", "--lake", lake, "--into", rebuilt)
			var tables []string
			for _, lake := range []string{lake, rebuilt} {
				d := openSession(t, printDDL(t, lake))
				names, rows, err := d.Query(t.Context(), keysJoinSQL)
				if err != nil {
					t.Fatal(err)
				}
				table := strings.Join(names, "  ")
				for _, row := range rows {
					table += "\n" + strings.TrimSpace(fmt.Sprintln(row...))
					if wrong := row[len(row)-1]; wrong != int64(0) {
						t.Errorf("%v: lines that do not join although their company has events, or the reverse", row)
					}
				}
				tables = append(tables, table)
			}
			t.Logf("\n%s", tables[0])
			if diff := cmp.Diff(tables[0], tables[1]); diff != "" {
				t.Errorf("the rebuilt lake (-lake +rebuilt):\n%s", diff)
			}
			for _, status := range []string{"cached", "duplicate"} {
				if !strings.Contains(tables[0], status) {
					t.Errorf("no line is %s: the test shows nothing", status)
				}
			}
		})
	}
}

// TestKeptColumnsInViews: the view of accounts has each kept column under a name of its own, whatever
// stands in the header, with the type that all of its cells have; extra has every cell as it stands in the
// list.
func TestKeptColumnsInViews(t *testing.T) {
	program, err := buildProgram()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	lake := filepath.Join(dir, "lake")
	for _, c := range []struct{ list, text string }{
		{"a.csv", "key,domain,Owner,owner,OWNER ,\"We \"\"quote\"\"\",a/b~c,$$ SELECT 1,'; DROP VIEW accounts; --,0,Größe m²,担当者,(!),ARR,Seats,Since,Zip,Nothing\n" +
			"k1,company-1.example,o1,o2,o3,\"say \"\"hi\"\"\",p1,d1,q1,n1,g1,t1,b1,-10.50,7,2024-02-29,00123,\n" +
			"k2,company-2.example,,,,,,,,,,,,,,,,\n" +
			"k3,company-3.example,o1,=1+1,\"x\ty\",\\n,p3,d3,q3,n3,g3,t3,b3,1234567.1,900719925474099312,2025-01-01,1.0,\n"},
		{"b.csv", "key,domain,ARR,Seats,Since\nk4,company-4.example,12,1.25,soon\n"},
	} {
		path := filepath.Join(dir, c.list)
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(program, "run", path, "--lake", lake, "--signals", "news", "--simulate", "--keep", "all", "--encoding", "utf-8", "--quiet", "--rate", "0").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	d := openSession(t, printDDL(t, lake))
	columns, err := d.DescribeColumns(t.Context(), "(SELECT COLUMNS('extra_.*') FROM accounts)")
	if err != nil {
		t.Fatal(err)
	}
	want := []Column{
		{"extra_0", "VARCHAR"}, {"extra_a_b_c", "VARCHAR"}, {"extra_arr", "DECIMAL(9,2)"}, {"extra_column", "VARCHAR"}, {"extra_domain", "VARCHAR"}, {"extra_drop_view_accounts", "VARCHAR"},
		{"extra_größe_m", "VARCHAR"}, {"extra_key", "VARCHAR"}, {"extra_nothing", "VARCHAR"}, {"extra_owner", "VARCHAR"}, {"extra_owner_2", "VARCHAR"}, {"extra_owner_3", "VARCHAR"},
		{"extra_seats", "DECIMAL(20,2)"}, {"extra_select_1", "VARCHAR"}, {"extra_since", "VARCHAR"}, {"extra_we_quote", "VARCHAR"}, {"extra_zip", "VARCHAR"}, {"extra_担当者", "VARCHAR"},
	}
	if diff := cmp.Diff(want, columns); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
	for query, want := range map[string]string{
		`SELECT extra_owner, extra_owner_2, extra_owner_3, extra_we_quote, extra_a_b_c, extra_select_1, extra_drop_view_accounts, extra_0, "extra_größe_m", extra_担当者, extra_column FROM accounts WHERE account_key = 'k1'`: `o1 o2 o3 say "hi" p1 d1 q1 n1 g1 t1 b1`,
		"SELECT extra_arr::VARCHAR, extra_seats::VARCHAR, extra_since, extra_zip, extra_nothing FROM accounts WHERE account_key = 'k1'":                                                                                     "-10.50 7.00 2024-02-29 00123 <nil>",
		"SELECT extra_arr::VARCHAR, extra_seats::VARCHAR FROM accounts WHERE account_key = 'k3'":                                                                                                                            "1234567.10 900719925474099312.00",
		"SELECT extra_owner, extra_we_quote FROM accounts WHERE account_key = 'k3'":                                                                                                                                         `o1 \n`,
		"SELECT extra_arr::VARCHAR, extra_owner FROM accounts WHERE account_key = 'k4'":                                                                                                                                     "12.00 <nil>",
		"SELECT count(*), count(extra_owner), count(DISTINCT extra), count(*) FILTER (json_valid(extra)) FROM accounts":                                                                                                     "4 2 4 4",
		`SELECT comment FROM duckdb_columns() WHERE table_name = 'accounts' AND column_name = 'extra_owner_3'`:                                                                                                              "Column OWNER of the lists, as --keep has kept it in extra. Null for an empty cell",
	} {
		_, rows, err := d.Query(t.Context(), query)
		if err != nil || len(rows) != 1 || strings.TrimSpace(fmt.Sprintln(rows[0]...)) != want {
			t.Errorf("%s = %v, %v, want %s", query, rows, err, want)
		}
	}
}
