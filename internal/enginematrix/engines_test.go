package enginematrix

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/ddl"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/sinks"
)

// The releases of the engines, as pip and Maven know them.
const (
	pythonPackages = "duckdb==1.5.5 pytz chdb==4.4.0 pyspark==4.1.4 trino sqlglot"
	trinoRelease   = "476"
)

// cacheDir keeps what the tests install.
func cacheDir() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "siglake-test", "engines")
}

func command(ctx context.Context, dir string, words ...string) error {
	c := exec.CommandContext(ctx, words[0], words[1:]...)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%.200q: %w\n%.4000s", words, err, out)
	}
	return nil
}

// installPython installs the engines that are Python packages, and returns the interpreter.
var installPython = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(cacheDir(), "python")
	python := filepath.Join(dir, "bin", "python")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	if err := command(ctx, ".", "python3", "-m", "venv", dir); err != nil {
		return "", err
	}
	return python, command(ctx, ".", append([]string{python, "-m", "pip", "install", "--quiet"}, strings.Fields(pythonPackages)...)...)
})

// installTrino unpacks Trino's server, and returns its directory: the one that SIGLAKE_TRINO names, or
// else one that Maven fetches.
var installTrino = sync.OnceValues(func() (string, error) {
	if dir := os.Getenv("SIGLAKE_TRINO"); dir != "" {
		return dir, nil
	}
	dir := filepath.Join(cacheDir(), "trino-server-"+trinoRelease)
	if _, err := os.Stat(filepath.Join(dir, "bin", "launcher")); err == nil {
		return dir, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	artifact := "io.trino:trino-server:" + trinoRelease + ":tar.gz"
	if err := command(ctx, ".", "mvn", "--batch-mode", "--quiet", "dependency:copy", "-Dartifact="+artifact, "-DoutputDirectory="+cacheDir()); err != nil {
		return "", err
	}
	return dir, command(ctx, cacheDir(), "tar", "xzf", "trino-server-"+trinoRelease+".tar.gz")
})

// buildProgram builds siglake.
var buildProgram = sync.OnceValues(func() (string, error) {
	program := filepath.Join(cacheDir(), "siglake")
	return program, command(context.Background(), filepath.Join("..", ".."), "go", "build", "-o", program, "./cmd/siglake")
})

// siglake runs the program and returns what it prints. Exit code 10, for rejected lines, is no failure.
func siglake(t *testing.T, words ...string) string {
	t.Helper()
	program, err := buildProgram()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	c := exec.Command(program, words...)
	c.Stderr = &stderr
	out, err := c.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 10 {
		err = nil
	}
	if err != nil {
		t.Fatalf("siglake %q: %v\n%s", words, err, stderr.String())
	}
	return string(out)
}

// engine is a process that runs SQL.
type engine struct {
	t     *testing.T
	name  string
	in    io.WriteCloser
	out   *bufio.Reader
	close func()
}

func startEngine(t *testing.T, name string, arguments ...string) *engine {
	t.Helper()
	return startReader(t, "reader.py", name, arguments...)
}

// startReader starts an engine of a program in Python.
func startReader(t *testing.T, program, name string, arguments ...string) *engine {
	t.Helper()
	python, err := installPython()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(python, append([]string{program, name}, arguments...)...)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	stop := sync.OnceFunc(func() {
		_ = in.Close()
		_ = c.Wait() // it ends with its input
	})
	t.Cleanup(stop)
	return &engine{t, name, in, bufio.NewReaderSize(out, 1<<20), stop}
}

// send sends one request and returns the rows of its query.
func (e *engine) send(request map[string]string) []string {
	e.t.Helper()
	line, err := json.Marshal(request)
	if err == nil {
		_, err = e.in.Write(append(line, '\n'))
	}
	if err != nil {
		e.t.Fatalf("%s: %v", e.name, err)
	}
	answer, err := e.out.ReadBytes('\n')
	if err != nil {
		e.t.Fatalf("%s ended: %v", e.name, err)
	}
	var reply struct {
		Rows  []json.RawMessage
		Error string
	}
	if err := json.Unmarshal(answer, &reply); err != nil || reply.Error != "" {
		e.t.Fatalf("%s: %s%v, request: %.500s", e.name, reply.Error, err, line)
	}
	rows := make([]string, len(reply.Rows))
	for i, r := range reply.Rows {
		rows[i] = string(r)
	}
	slices.Sort(rows)
	return rows
}

func (e *engine) run(script string) {
	e.t.Helper()
	e.send(map[string]string{"script": script})
}

func (e *engine) query(sql string) []string {
	e.t.Helper()
	return e.send(map[string]string{"query": sql})
}

// startTrino starts a server with a catalogue of files, and returns its port. Further catalogues are given by
// the text of their files, by name.
func startTrino(t *testing.T, catalogues map[string]string) string {
	t.Helper()
	server, err := installTrino()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	_ = listener.Close() // its port is Trino's
	dir := t.TempDir()
	files := map[string]string{
		"node.properties":   "node.environment=test\nnode.id=one\nnode.data-dir=" + dir + "/data\n",
		"jvm.config":        "-Xmx2G\n-XX:+UseSerialGC\n-Djdk.attach.allowAttachSelf=true\n--sun-misc-unsafe-memory-access=allow\n",
		"config.properties": "coordinator=true\nnode-scheduler.include-coordinator=true\nhttp-server.http.port=" + port + "\ndiscovery.uri=http://127.0.0.1:" + port + "\n",
		"log.properties":    "io.trino=WARN\n",
		"catalog/hive.properties": "connector.name=hive\nhive.metastore=file\nhive.metastore.catalog.dir=" + dir + "/catalogue\nfs.hadoop.enabled=true\nhive.security=allow-all\n" +
			"hive.partition-projection-enabled=true\nhive.ignore-absent-partitions=true\nhive.timestamp-precision=MICROSECONDS\nhive.non-managed-table-writes-enabled=true\n",
	}
	for name, text := range catalogues {
		files["catalog/"+name+".properties"] = text
	}
	for name, text := range files {
		path := filepath.Join(dir, "etc", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.Command(filepath.Join(server, "bin", "launcher"), "run", "--etc-dir="+filepath.Join(dir, "etc"))
	if java := os.Getenv("TRINO_JAVA_HOME"); java != "" {
		c.Env = append(os.Environ(), "PATH="+filepath.Join(java, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"))
	}
	var output bytes.Buffer
	c.Stdout, c.Stderr = &output, &output
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1) // of the process
	go func() { ended <- c.Wait() }()
	t.Cleanup(func() {
		_ = c.Process.Signal(os.Interrupt)
		<-ended
	})
	poll := time.NewTicker(time.Second)
	defer poll.Stop()
	for {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("Trino ended before it started: %v; it needs Java 25, in TRINO_JAVA_HOME\n%.3000s", err, output.String())
		case <-poll.C:
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:"+port+"/v1/info", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			continue
		}
		var info struct{ Starting bool }
		err = json.NewDecoder(answer.Body).Decode(&info)
		_ = answer.Body.Close()
		if err == nil && !info.Starting {
			return port
		}
	}
}

// questions are the statements of the manual that read the views.
func questions(t *testing.T) (all []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "cmd", "siglake", "manual", "sql.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.Split(string(text), "```sql\n")[1:] {
		block, _, _ := strings.Cut(part, "```")
		for statement := range strings.SplitSeq(strings.TrimSpace(block)+"\n", ";\n") {
			comment, sql, _ := strings.Cut(strings.TrimSpace(statement), "\n")
			if strings.Contains(comment, "(in a session of siglake ddl)") && !strings.Contains(sql, "_as_of(") {
				all = append(all, sql)
			}
		}
	}
	return all
}

// writeLists writes a list of companies, one of the same companies with other keys, and one of contacts.
func writeLists(t *testing.T) (first, second, contacts string) {
	t.Helper()
	var a, b, c strings.Builder
	a.WriteString("id,company,website\n")
	b.WriteString("crm id,owner,company,website\n")
	c.WriteString("id,full name,email\n")
	for i := range 400 {
		fmt.Fprintf(&a, "A%d,Company %d,company-%d.com\n", i, i, i)
		fmt.Fprintf(&b, "B%d,%s,Company %d,https://www.company-%d.com/about\n", i, []string{"Ann", "Bob"}[i%2], i%90, i%90)
		fmt.Fprintf(&c, "P%d,Ida Moen%d,ida%d@company-%d.com\n", i, i, i, i)
	}
	dir := t.TempDir()
	paths := []string{filepath.Join(dir, "first.csv"), filepath.Join(dir, "second.csv"), filepath.Join(dir, "contacts.csv")}
	for i, text := range []string{a.String(), b.String(), c.String()} {
		if err := os.WriteFile(paths[i], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return paths[0], paths[1], paths[2]
}

// TestEngines: DuckDB, ClickHouse, Spark and Trino answer the questions of the manual alike: of a lake
// with two lists of the same companies, then compacted, then with another month, without a step between.
// The scripts of two lakes stand in one database.
func TestEngines(t *testing.T) {
	first, second, contacts := writeLists(t)
	lake, trial := filepath.Join(t.TempDir(), "lake"), filepath.Join(t.TempDir(), "trial")
	run := func(lake, list, today string, more ...string) {
		siglake(t, append([]string{"run", list, "--lake", lake, "--simulate", "--as-of", today, "--since", "180d", "--quiet"}, more...)...)
	}
	today := time.Now().UTC()
	earlier := today.AddDate(0, 0, -40).Format(time.DateOnly)
	run(lake, first, earlier, "--signals", "all")
	run(lake, second, earlier, "--signals", "all", "--keep", "all")
	run(lake, contacts, earlier, "--signals", "contact")
	run(trial, first, earlier, "--signals", "news")

	sparkDir := t.TempDir()
	port := startTrino(t, nil)
	flags := map[string][]string{"duckdb": nil, "clickhouse": nil, "spark": nil, "trino": {"--database", "hive.lakes"}}
	engines := map[string]*engine{
		"duckdb": startEngine(t, "duckdb"), "clickhouse": startEngine(t, "clickhouse"), "spark": startEngine(t, "spark", sparkDir), "trino": startEngine(t, "trino", port),
	}
	engines["trino"].run("CREATE SCHEMA hive.lakes")
	script := func(name, lake string, more ...string) string {
		return siglake(t, slices.Concat([]string{"ddl", "--lake", lake, "--dialect", name}, flags[name], more)...)
	}
	for name, e := range engines {
		e.run(script(name, lake))
		e.run(script(name, trial, "--prefix", "trial_"))
		e.run(script(name, lake)) // once more
	}
	engines["trino"].run("USE hive.lakes")
	all := append(questions(t), "SELECT count(*) FROM trial_events", "SELECT count(*), count(entity_id) FROM accounts_latest",
		"SELECT extra_owner, count(*), count(DISTINCT account_key) FROM account_events GROUP BY 1", "SELECT event_month, count(*) FROM news_all GROUP BY 1")
	compare := func(state string) map[string][]string {
		t.Helper()
		want := map[string][]string{}
		engines["duckdb"].run(script("duckdb", lake))
		for _, sql := range all {
			want[sql] = engines["duckdb"].query(sql)
			if len(want[sql]) == 0 && !strings.Contains(sql, "INTERVAL") && !strings.Contains(sql, "HAVING") { // these depend on the day and the world
				t.Errorf("%s: no row for %s", state, sql)
			}
			for _, name := range []string{"clickhouse", "spark", "trino"} {
				if got := engines[name].query(sql); !slices.Equal(got, want[sql]) {
					t.Errorf("%s, %s: %s\n%d rows, DuckDB has %d: %.600q, want %.600q", state, name, sql, len(got), len(want[sql]), got, want[sql])
				}
			}
		}
		return want
	}
	before := compare("three lists")
	siglake(t, "compact", "--lake", lake, "--quiet")
	after := compare("compacted")
	for _, sql := range all {
		if !slices.Equal(before[sql], after[sql]) {
			t.Errorf("a compaction changed the answer to %s", sql)
		}
	}
	run(lake, first, today.Format(time.DateOnly), "--signals", "all", "--refresh")
	engines["spark"].close() // a session keeps the list of files that it has read
	engines["spark"] = startEngine(t, "spark", sparkDir)
	compare("another month")
}

// TestGrammar: the scripts that no engine here can run are at least SQL of their dialect.
func TestGrammar(t *testing.T) {
	python, err := installPython()
	if err != nil {
		t.Fatal(err)
	}
	files := []sinks.DataFile{{
		Path: "data/news/event_month=2026-01/x.parquet", Table: "news", Partition: "event_month=2026-01",
	}, {
		Path: "ledger/accounts/x.parquet", Table: "accounts",
		Kept: []pipeline.KeptColumn{{Name: "Owner"}, {Name: "Größe, m²", Type: pipeline.KeptDecimal, Digits: 3, Scale: 2}, {Name: "Since", Type: pipeline.KeptDate}},
	}}
	for _, dialect := range []string{"athena", "trino", "spark", "clickhouse", "snowflake", "bigquery", "redshift"} {
		var script bytes.Buffer
		if err := ddl.Write(&script, ddl.Options{Dialect: dialect, Address: "s3://bucket/lake", Database: "lakes", Snapshot: &sinks.Snapshot{Generation: 1, Files: files}}); err != nil {
			t.Fatal(err)
		}
		c := exec.Command(python, "grammar.py", dialect)
		c.Stdin = &script
		if out, err := c.CombinedOutput(); err != nil || strings.Contains(string(out), "unsupported syntax") {
			t.Errorf("the script for %s: %v\n%.3000s", dialect, err, out)
		}
	}
}
