package enginematrix

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// dbtPackages are dbt with its adapter for DuckDB. Later releases of dbt-core load a parser of their own when
// they are installed, and not from the package registry.
const dbtPackages = "dbt-core==1.11.16 dbt-duckdb==1.11.1 duckdb==1.5.5 pytz"

// installDBT installs dbt, and returns the directory of its programs.
var installDBT = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(cacheDir(), "dbt")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	if err := command(ctx, ".", "python3", "-m", "venv", dir); err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "bin")
	return bin, command(ctx, ".", append([]string{filepath.Join(bin, "python"), "-m", "pip", "install", "--quiet"}, strings.Fields(dbtPackages)...)...)
})

const (
	dbtProject = "name: siglake\nprofile: siglake\nmodel-paths: [models]\n"
	dbtProfile = "siglake: {target: lake, outputs: {lake: {type: duckdb, path: lake.duckdb, threads: 1}}}\n"
	// makeDatabase makes a database file of a script.
	makeDatabase = "import duckdb, sys\nc = duckdb.connect('lake.duckdb')\nc.execute(sys.stdin.read())\n"
	// doubleNews makes a view that has each event twice, and a direction that there is not.
	doubleNews = "CREATE OR REPLACE VIEW news AS SELECT * FROM news_all UNION ALL SELECT * FROM news_all;\n" +
		"CREATE OR REPLACE VIEW risk AS SELECT * REPLACE ('sideways' AS direction) FROM risk_all;"
)

// dbtRun runs a program of dbt's environment in a directory, with a text as its input.
func dbtRun(t *testing.T, dir, input string, words ...string) (output string, err error) {
	t.Helper()
	bin, err := installDBT()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(filepath.Join(bin, words[0]), words[1:]...)
	c.Dir, c.Stdin = dir, strings.NewReader(input)
	c.Env = append(os.Environ(), "DBT_SEND_ANONYMOUS_USAGE_STATS=false", "DBT_PROFILES_DIR="+dir, "NO_COLOR=1")
	out, err := c.CombinedOutput()
	return string(out), err
}

// TestDBT: dbt parses the source that siglake schema dbt prints, and its tests hold in a lake with every
// signal, also after answers have changed; they fail of views that are wrong.
func TestDBT(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lake := filepath.Join(dir, "lake")
	siglake(t, "run", "../../cmd/siglake/demo.csv", "--lake", lake, "--signals", "all,linkedinActivityIntent", "--simulate", "--fault", "drift@2", "--batch-size", "10", "--since", "30d", "--quiet")
	for name, text := range map[string]string{"dbt_project.yml": dbtProject, "profiles.yml": dbtProfile, "models/sources.yml": siglake(t, "schema", "dbt")} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	script := siglake(t, "ddl", "--lake", lake, "--persistent")
	if out, err := dbtRun(t, dir, script, "python", "-c", makeDatabase); err != nil {
		t.Fatalf("database: %v\n%s", err, out)
	}
	if out, err := dbtRun(t, dir, "", "dbt", "parse", "--warn-error"); err != nil {
		t.Fatalf("dbt parse: %v\n%s", err, out)
	}
	out, err := dbtRun(t, dir, "", "dbt", "test")
	if err != nil || !strings.Contains(out, "WARN=0 ERROR=0") || strings.Contains(out, "PASS=0 ") {
		t.Fatalf("dbt test: %v\n%s", err, out)
	}
	if out, err := dbtRun(t, dir, doubleNews, "python", "-c", makeDatabase); err != nil {
		t.Fatalf("database: %v\n%s", err, out)
	}
	out, err = dbtRun(t, dir, "", "dbt", "test", "--select", "source:siglake.news", "source:siglake.risk")
	if err == nil || !strings.Contains(out, "source_unique_siglake_news_event_uid") || !strings.Contains(out, "ERROR=2") {
		t.Errorf("dbt test of views that are wrong: %v\n%s", err, out)
	}
}
