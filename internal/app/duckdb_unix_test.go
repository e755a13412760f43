//go:build unix

package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWriteDuckDBEnviron: the program of DuckDB gets the variables of siglake without the API key.
func TestWriteDuckDBEnviron(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program := filepath.Join(dir, "duckdb")
	script := "#!/bin/sh\nenv > \"$SEEN\"\nfor name; do :; done\n: >> \"$name\"\n" // the last argument is the file
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil {           //nolint:gosec // it is executed
		t.Fatal(err)
	}
	seen := filepath.Join(dir, "seen")
	env := &Env{Environ: func() []string {
		return []string{"SEEN=" + seen, "PATH=" + os.Getenv("PATH"), KeyVariable + "=secret", strings.ToLower(KeyVariable) + "=secret"}
	}}
	o := &DDLOptions{Lake: filepath.Join(dir, "lake"), Into: filepath.Join(dir, "lake.duckdb"), DuckDB: program}
	if err := WriteDuckDB(t.Context(), env, o, []string{o.Lake}, "SELECT 1;", "mark"); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(seen)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(got); strings.Contains(text, "secret") || !strings.Contains(text, "SEEN="+seen) {
		t.Errorf("DuckDB has the variables\n%s", text)
	}
}
