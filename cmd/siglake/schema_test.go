package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/simulator"
)

// TestSchemaDiff: what a comparison takes, and its exit codes.
func TestSchemaDiff(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	(&oldLake{t: t, dir: r.lake}).unpack(olderLake)
	dir := t.TempDir()
	saved, broken := filepath.Join(dir, "saved.json"), filepath.Join(dir, "broken.json")
	code, text, _ := runProgram(t, "schema", "docs", "--format", "json")
	if code != exitComplete {
		t.Fatalf("docs: exit %d", code)
	}
	for name, content := range map[string]string{saved: text, broken: "{}", filepath.Join(dir, "x.parquet"): "no file"} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(r.lake, "data", "news", "*", "*.parquet"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"5", "5"}, exitComplete, "No difference."},
		{[]string{saved, "5"}, exitComplete, "No difference."},
		{[]string{"4", "5"}, exitDiffers, "+ table drift: "},
		{[]string{"5", "4"}, exitDiffers, "- table drift"},
		{[]string{"4", "5", "--json"}, exitDiffers, `"kind": "table_added"`},
		{[]string{r.lake, "5"}, exitDiffers, "+ column news_all.article_url: VARCHAR: Address of the article"},
		{[]string{files[0], r.lake}, exitComplete, "No difference."},
		{[]string{"5"}, exitUsage, "two arguments"},
		{[]string{"1", "5"}, exitUsage, "versions 2 to 6"},
		{[]string{broken, "5"}, exitUsage, "format"},
		{[]string{filepath.Join(dir, "none.json"), "5"}, exitUsage, "none.json"},
		{[]string{filepath.Join(dir, "nothing"), "5"}, exitUsage, "not a siglake lake"},
		{[]string{filepath.Join(dir, "x.parquet"), "5"}, exitUsage, "not a readable Parquet file"},
	} {
		code, stdout, stderr := runProgram(t, append([]string{"schema", "diff"}, test.args...)...)
		if code != test.code || !strings.Contains(stdout+stderr, test.says) {
			t.Errorf("schema diff %q: exit %d, want %d and %q:\n%.600s", test.args, code, test.code, test.says, stdout+stderr)
		}
	}
}

// TestSchemaArguments: names that there are not, and names that engines would have to quote.
func TestSchemaArguments(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args string
		code int
		says string
	}{
		{"show nwes", exitUsage, "did you mean news"},
		{"show news growth", exitUsage, "at most one table"},
		{"show accounts", exitComplete, "account_key"},
		{"docs --table nwes", exitUsage, "did you mean news"},
		{"docs --table growth", exitComplete, "`surgeInHiring`"},
		{"docs --format xml", exitUsage, "expected md or json"},
		{"docs growth", exitUsage, "--table"},
		{"dbt --prefix a.b", exitUsage, "letters, digits and underscores"},
		{"dbt --prefix trial_", exitComplete, "identifier: trial_news_all"},
		{"dbt growth", exitUsage, "no arguments"},
	} {
		code, stdout, stderr := runProgram(t, append([]string{"schema"}, strings.Fields(test.args)...)...)
		if code != test.code || !strings.Contains(stdout+stderr, test.says) {
			t.Errorf("schema %s: exit %d, want %d and %q:\n%.600s", test.args, code, test.code, test.says, stdout+stderr)
		}
	}
}
