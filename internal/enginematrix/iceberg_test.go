package enginematrix

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/siglake/siglake/schema"
)

// The releases of what reads and keeps Iceberg tables.
const (
	icebergPackages = "pyiceberg[sql-sqlite,pyarrow]==0.12.0 duckdb-extension-avro==1.5.5 duckdb-extension-httpfs==1.5.5 duckdb-extension-iceberg==1.5.5"
	icebergSpark    = "iceberg-spark-runtime-4.1_2.13"
	icebergRelease  = "1.11.0"
)

// icebergTools are the installed programs.
type icebergTools struct{ program, sparkJar, classPath string }

var installIceberg = sync.OnceValues(func() (tools icebergTools, err error) {
	python, err := installPython()
	if err != nil {
		return tools, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	dir, err := filepath.Abs(cacheDir())
	if err != nil {
		return tools, err
	}
	tools = icebergTools{
		filepath.Join(dir, "siglake-iceberg"), filepath.Join(dir, icebergSpark+"-"+icebergRelease+".jar"), filepath.Join(dir, "catalogue-"+icebergRelease, "*"),
	}
	if err := command(ctx, ".", append([]string{python, "-m", "pip", "install", "--quiet"}, strings.Fields(icebergPackages)...)...); err != nil {
		return tools, err
	}
	if _, err := os.Stat(tools.sparkJar); err != nil {
		if err := command(ctx, ".", "mvn", "--batch-mode", "--quiet", "dependency:copy", "-Dartifact=org.apache.iceberg:"+icebergSpark+":"+icebergRelease, "-DoutputDirectory="+dir); err != nil {
			return tools, err
		}
	}
	if _, err := os.Stat(filepath.Dir(tools.classPath)); err != nil {
		if err := command(ctx, ".", "mvn", "--batch-mode", "--quiet", "--file", filepath.Join("testdata", "catalogue.xml"), "dependency:copy-dependencies", "-DoutputDirectory="+filepath.Dir(tools.classPath)); err != nil {
			return tools, err
		}
	}
	return tools, command(ctx, filepath.Join("..", "..", "cmd", "siglake-iceberg"), "go", "build", "-ldflags=-s -w", "-o", tools.program, ".")
})

// startCatalogue starts a REST catalogue, and returns its address.
func startCatalogue(t *testing.T, tools icebergTools) string {
	t.Helper()
	dir := t.TempDir()
	port := startServer(t, func(port string) *exec.Cmd {
		c := exec.Command("java", "-Xmx512m", "-cp", tools.classPath, "org.apache.iceberg.rest.RESTCatalogServer")
		c.Env = append(os.Environ(), "CATALOG_CATALOG__IMPL=org.apache.iceberg.jdbc.JdbcCatalog", "CATALOG_URI=jdbc:sqlite:"+filepath.Join(dir, "catalogue.db"),
			"CATALOG_JDBC_SCHEMA__VERSION=V1", "CATALOG_JDBC_USER=x", "CATALOG_JDBC_PASSWORD=x", "CATALOG_WAREHOUSE=file://"+dir, "CATALOG_REST_PORT="+port)
		return c
	}, "/v1/config", func(*http.Response) bool { return true })
	return "http://127.0.0.1:" + port
}

// tableName is what siglake-iceberg calls the table of a dataset.
func tableName(t schema.Table) string {
	if t.IsEvent() {
		return t.Name + "_all"
	}
	return t.Name
}

// TestIceberg: DuckDB, Spark and Trino answer the questions of the manual over Iceberg tables as DuckDB does over
// the lake: of two lists, then compacted, then pruned, with another month, and rebuilt with other partitions. PyIceberg reads in every
// snapshot of two catalogues what the generation has.
func TestIceberg(t *testing.T) {
	tools, err := installIceberg()
	if err != nil {
		t.Fatal(err)
	}
	first, second, contacts := writeLists(t)
	lake := filepath.Join(t.TempDir(), "lake")
	today := time.Now().UTC()
	earlier := today.AddDate(0, 0, -40).Format(time.DateOnly)
	buy(t, lake, first, earlier, "--signals", "all")
	buy(t, lake, second, earlier, "--signals", "all", "--keep", "all")
	buy(t, lake, contacts, earlier, "--signals", "contact")

	address, sparkDir := startCatalogue(t, tools), t.TempDir()
	port := startTrino(t, map[string]string{"ice": "connector.name=iceberg\niceberg.catalog.type=rest\niceberg.rest-catalog.uri=" + address + "\nfs.hadoop.enabled=true\niceberg.security=ALLOW_ALL\n"})
	replay := func() {
		t.Helper()
		for _, catalogue := range [][]string{{"--catalog", "rest", "--catalog-uri", address}, nil} {
			if err := command(t.Context(), ".", append([]string{tools.program, "--quiet", "--lake", lake}, catalogue...)...); err != nil {
				t.Fatal(err)
			}
		}
	}
	replay()
	direct := startEngine(t, "duckdb")
	engines := map[string]*engine{
		"duckdb": startReader(t, "iceberg_reader.py", "duckdb", address), "trino": startReader(t, "iceberg_reader.py", "trino", port),
		"spark": startReader(t, "iceberg_reader.py", "spark", address, sparkDir, tools.sparkJar),
	}
	flags := map[string][]string{"duckdb": nil, "trino": nil, "spark": {"--database", "default"}}
	for name, e := range engines {
		e.run(siglake(t, append([]string{"ddl", "--lake", lake, "--dialect", name, "--over", "ice.siglake"}, flags[name]...)...))
	}
	engines["trino"].run("USE ice.siglake")
	all := append(questions(t), "SELECT extra_owner, count(*), count(DISTINCT account_key) FROM account_events GROUP BY 1", "SELECT event_month, count(*), count(DISTINCT event_uid), min(event_date), max(fetched_at) FROM news_all GROUP BY 1")
	compare := func(state string) {
		t.Helper()
		direct.run(siglake(t, "ddl", "--lake", lake))
		for _, sql := range all {
			want := direct.query(sql)
			for name, e := range engines {
				if got := e.query(sql); !slices.Equal(got, want) {
					t.Errorf("%s, %s: %s\n%d rows, want %d: %.600q, want %.600q", state, name, sql, len(got), len(want), got, want)
				}
			}
		}
		compareSnapshots(t, lake, state, "type=rest", "uri="+address)
		compareSnapshots(t, lake, state, "type=sql", "uri=sqlite:///"+filepath.Join(lake, "_iceberg", "catalog.db"))
	}
	compare("three lists")
	siglake(t, "compact", "--lake", lake, "--quiet", "--min-files", "2")
	replay()
	compare("compacted")
	siglake(t, "prune", "--lake", lake, "--older-than", "1d", "--as-of", today.AddDate(0, 0, 2).Format(time.DateOnly), "--yes", "--quiet")
	buy(t, lake, first, today.Format(time.DateOnly), "--signals", "all", "--refresh")
	replay()
	compare("pruned, and another month")
	siglake(t, "rebuild", "--lake", lake, "--partition-by", "day", "--into", lake+"-days", "--quiet")
	for _, names := range [][2]string{{filepath.Join(lake, "_iceberg"), filepath.Join(lake+"-days", "_iceberg")}, {lake, lake + "-before"}, {lake + "-days", lake}} {
		if err := os.Rename(names[0], names[1]); err != nil {
			t.Fatal(err)
		}
	}
	replay()
	compare("rebuilt by day")
}

// compareSnapshots compares the rows and months of every snapshot of every table with those of its generation, by the script of
// siglake ddl --generation.
func compareSnapshots(t *testing.T, lake, state string, properties ...string) {
	t.Helper()
	reader := startReader(t, "iceberg_reader.py", "pyiceberg", properties...)
	defer reader.close()
	generations, snapshots := map[int]*engine{}, 0
	for _, of := range schema.Tables {
		for _, row := range reader.query("siglake." + tableName(of)) {
			var got []any
			if err := json.Unmarshal([]byte(row), &got); err != nil {
				t.Fatal(err)
			}
			generation := int(got[0].(float64))
			snapshots++
			if _, known := generations[generation]; !known {
				generations[generation] = startGeneration(t, lake, generation)
			}
			if generations[generation] == nil { // a pruning has removed files of other tables
				continue
			}
			sql := "SELECT count(*), '[]' FROM " + tableName(of)
			if of.IsEvent() {
				sql = "SELECT count(*), to_json(list_sort(coalesce(list(DISTINCT event_month), [])))::VARCHAR FROM " + tableName(of)
			}
			var want []any
			if err := json.Unmarshal([]byte(generations[generation].query(sql)[0]), &want); err != nil {
				t.Fatal(err)
			}
			if got[1] != want[0] || strings.ReplaceAll(got[2].(string), ", ", ",") != want[1] {
				t.Errorf("%s, %s: generation %d of %s has %v, want %v", state, properties[0], generation, of.Name, got[1:], want)
			}
		}
	}
	for _, e := range generations {
		if e != nil {
			e.close()
		}
	}
	if snapshots < 6 { // after a rebuild each table with rows has one
		t.Errorf("%s, %s: %d snapshots", state, properties[0], snapshots)
	}
}

// startGeneration starts DuckDB with the views of a generation; nil: a pruning has removed some of its files.
func startGeneration(t *testing.T, lake string, generation int) *engine {
	t.Helper()
	program, err := buildProgram()
	if err != nil {
		t.Fatal(err)
	}
	script, err := exec.Command(program, "ddl", "--lake", lake, "--generation", strconv.Itoa(generation)).Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && strings.Contains(string(exit.Stderr), "siglake prune removed") {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	e := startEngine(t, "duckdb")
	e.run(string(script))
	return e
}
