package crosscheck

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/siglake/siglake/schema"
)

// actAsDuckDB is the variable that makes this program act as the program duckdb.
const actAsDuckDB = "CROSSCHECK_AS_DUCKDB"

// runDuckDB runs the script of the standard input in a file, as the program duckdb does.
func runDuckDB(words []string, in io.Reader, out, problems io.Writer) int {
	name, options := words[len(words)-1], "?threads=1"
	if words[0] == "-readonly" {
		options += "&access_mode=read_only"
	}
	script, err := io.ReadAll(in)
	if err != nil {
		fmt.Fprintln(problems, err)
		return 1
	}
	if got := strings.Join(words[:len(words)-1], " "); strings.TrimPrefix(got, "-readonly ") != "-init "+os.DevNull+" -bail -batch -csv -noheader" {
		fmt.Fprintln(problems, "unexpected flags", got)
		return 1
	}
	db, err := sql.Open("duckdb", name+options)
	if err == nil {
		defer db.Close()
		var rows *sql.Rows
		if rows, err = db.Query(string(script)); err == nil {
			defer rows.Close()
			for rows.Next() {
				var cell any
				if err = rows.Scan(&cell); err != nil {
					break
				}
				fmt.Fprintln(out, cell)
			}
			err = errors.Join(err, rows.Err())
		}
	}
	if err != nil {
		fmt.Fprintln(problems, err)
		return 1
	}
	return 0
}

// writeInto runs siglake ddl --into, and returns its exit code and what it says.
func writeInto(t *testing.T, lake, file string, environ ...string) (int, string) {
	t.Helper()
	program, err := buildProgram()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(program, "ddl", "--lake", lake, "--into", file)
	c.Env = slices.Concat(os.Environ(), []string{"SIGLAKE_DUCKDB=" + os.Args[0], actAsDuckDB + "=1"}, environ)
	out, err := c.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), string(out)
}

// openFile opens a database file as another program would, for reading only.
func openFile(t *testing.T, file string) *DuckDB {
	t.Helper()
	db, err := sql.Open("duckdb", file+"?access_mode=read_only")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return &DuckDB{db}
}

// TestInto: the database file has every view, is replaced while a program reads it, and only if siglake has written
// it. A program that fails leaves what was there.
func TestInto(t *testing.T) {
	lines, f := kestrelFixture(t, unedited)
	lake, _ := runIntoNewLake(t, lines, f, "event_month")
	dir := t.TempDir()
	file := filepath.Join(dir, "lake's.duckdb")
	expect := func(want int, into, text string, environ ...string) {
		t.Helper()
		if code, out := writeInto(t, lake, into, environ...); code != want || !strings.Contains(out, text) {
			t.Fatalf("ddl --into %s: exit %d, %s; want %d with %q", into, code, out, want, text)
		}
	}
	answer := func(d *DuckDB, sql string) string {
		t.Helper()
		_, rows, err := d.Query(t.Context(), sql)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(rows)
	}
	expect(0, file, "generation 1")
	d := openFile(t, file)
	for _, table := range append(slices.Clone(schema.Tables), schema.Table{Name: "signals"}, schema.Table{Name: "account_events"}) {
		answer(d, "SELECT count(*) FROM "+table.Name)
	}
	session := openSession(t, printDDL(t, lake))
	for _, sql := range []string{"SELECT signal_type, credits_per_event FROM signals ORDER BY 1", "SELECT count(*) FROM account_events"} {
		if got, want := answer(d, sql), answer(session, sql); got != want || got == "[]" {
			t.Errorf("%s in the file = %s, want %s as in a session", sql, got, want)
		}
	}
	before, known := answer(d, "SELECT generation FROM siglake_lake"), answer(d, "SELECT count(*) FROM accounts")
	rerunCached(t, lake, "r2", lines)
	expect(64, file, "exit status", "SIGLAKE_DUCKDB=false")
	expect(40, filepath.Join(dir, "none.duckdb"), "exit status", "SIGLAKE_DUCKDB=false")
	expect(0, file, "generation 2")
	if now := answer(d, "SELECT generation FROM siglake_lake"); now != before || answer(d, "SELECT count(*) FROM accounts") != known {
		t.Errorf("the file changed while it was open: generation %s, was %s", now, before)
	}
	other := exec.Command(os.Args[0], "-readonly", "-init", os.DevNull, "-bail", "-batch", "-csv", "-noheader", file) // in this process it is still the old one
	other.Env, other.Stdin = append(os.Environ(), actAsDuckDB+"=1"), strings.NewReader("SELECT generation FROM siglake_lake")
	if now, err := other.CombinedOutput(); err != nil || string(now) != "2\n" {
		t.Errorf("the new file shows generation %s, %v, want 2", now, err)
	}
	expect(64, filepath.Join(lake, "inside.duckdb"), "lies in the lake")
	expect(64, dir, "not a file")
	foreign, tables := filepath.Join(dir, "foreign"), filepath.Join(dir, "tables.duckdb")
	if err := os.WriteFile(foreign, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(64, foreign, "siglake did not write it")
	expect(0, tables, "generation 2")
	own, err := sql.Open("duckdb", tables)
	if err == nil {
		_, err = own.Exec("CREATE TABLE mine AS SELECT 1")
		err = errors.Join(err, own.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	expect(64, tables, "it has tables")
	expect(64, filepath.Join(dir, "none.duckdb"), "--persistent | duckdb", "SIGLAKE_DUCKDB=no-such-program")
	if names, err := filepath.Glob(filepath.Join(dir, ".siglake*")); err != nil || len(names) > 0 {
		t.Errorf("files are left over: %q, %v", names, err)
	}
	if raw, err := os.ReadFile(foreign); string(raw) != "mine" {
		t.Errorf("a foreign file has %q, %v", raw, err)
	}
}
