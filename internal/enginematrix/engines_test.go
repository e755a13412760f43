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

	"github.com/siglake/siglake/internal/bucket/buckettest"
	"github.com/siglake/siglake/internal/ddl"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/sinks"
)

// The releases of the engines, as pip and Maven know them.
const (
	pythonPackages = "duckdb==1.5.5 duckdb-extension-httpfs==1.5.5 pytz chdb==4.4.0 pyspark==4.1.4 trino sqlglot"
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

var buildDir string // of the program

func TestMain(m *testing.M) {
	code := m.Run()
	if buildDir != "" {
		_ = os.RemoveAll(buildDir)
	}
	os.Exit(code)
}

// buildProgram builds siglake. Tests of another tree may run at the same time.
var buildProgram = sync.OnceValues(func() (string, error) {
	var err error
	if buildDir, err = os.MkdirTemp("", "siglake-engines-"); err != nil {
		return "", err
	}
	program := filepath.Join(buildDir, "siglake")
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

// startSimulator serves the simulated API at an address, for a lake that holds no simulated answers, and
// sets the key for it.
func startSimulator(t *testing.T) string {
	t.Helper()
	program, err := buildProgram()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(program, "simulate", "--listen", "127.0.0.1:0")
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	_, address, ok := strings.Cut(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		t.Fatalf("simulator: %q, %v", line, err)
	}
	t.Setenv("LUSHA_API_KEY", "a-key-for-the-simulator-0123456789")
	return address
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

// startServer starts a program that serves HTTP at a port, waits until its answer to a path says that it is ready,
// and returns the port. The program ends with the test.
func startServer(t *testing.T, program func(port string) *exec.Cmd, path string, isReady func(*http.Response) bool) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	_ = listener.Close() // its port is the program's
	c := program(port)
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
			t.Fatalf("%s ended before it started: %v\n%.3000s", c.Path, err, output.String())
		case <-poll.C:
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:"+port+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			continue
		}
		ready := isReady(answer)
		_ = answer.Body.Close()
		if ready {
			return port
		}
	}
}

// startTrino starts a server with a catalogue of files, and returns its port. Further catalogues are given by
// the text of their files, by name. It needs Java 25, in TRINO_JAVA_HOME or the path.
func startTrino(t *testing.T, catalogues map[string]string) string {
	t.Helper()
	server, err := installTrino()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	return startServer(t, func(port string) *exec.Cmd {
		configureTrino(t, dir, port, catalogues)
		c := exec.Command(filepath.Join(server, "bin", "launcher"), "run", "--etc-dir="+filepath.Join(dir, "etc"))
		if java := os.Getenv("TRINO_JAVA_HOME"); java != "" {
			c.Env = append(os.Environ(), "PATH="+filepath.Join(java, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"))
		}
		return c
	}, "/v1/info", func(answer *http.Response) bool {
		var info struct{ Starting bool }
		return json.NewDecoder(answer.Body).Decode(&info) == nil && !info.Starting
	})
}

// configureTrino writes the files in etc of a server.
func configureTrino(t *testing.T, dir, port string, catalogues map[string]string) {
	t.Helper()
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

// matrix is the engines side by side, over the same lakes.
type matrix struct {
	t        *testing.T
	engines  map[string]*engine
	sparkDir string
}

// engineFlags are the flags of siglake ddl for each engine.
var engineFlags = map[string][]string{"duckdb": nil, "clickhouse": nil, "spark": nil, "trino": {"--database", "hive.lakes"}}

func startMatrix(t *testing.T) *matrix {
	t.Helper()
	m := &matrix{t: t, sparkDir: t.TempDir(), engines: map[string]*engine{}}
	port := startTrino(t, nil)
	m.engines["duckdb"], m.engines["clickhouse"] = startEngine(t, "duckdb"), startEngine(t, "clickhouse")
	m.engines["spark"], m.engines["trino"] = startEngine(t, "spark", m.sparkDir), startEngine(t, "trino", port)
	m.engines["trino"].run("CREATE SCHEMA hive.lakes")
	m.engines["trino"].run("USE hive.lakes")
	return m
}

// restartSpark starts another session: one keeps the list of files that it has read.
func (m *matrix) restartSpark() {
	m.t.Helper()
	m.engines["spark"].close()
	m.engines["spark"] = startEngine(m.t, "spark", m.sparkDir)
}

// run runs the script of a lake in an engine.
func (m *matrix) run(name, lake string, more ...string) {
	m.t.Helper()
	m.engines[name].run(siglake(m.t, slices.Concat([]string{"ddl", "--lake", lake, "--dialect", name}, engineFlags[name], more)...))
}

// runAll runs the script of a lake in every engine.
func (m *matrix) runAll(lake string, more ...string) {
	m.t.Helper()
	for name := range m.engines {
		m.run(name, lake, more...)
	}
}

// compare runs queries in all engines, and returns what all of them answer. Only DuckDB needs its script
// again to see the newest generation.
func (m *matrix) compare(state string, queries []string, lake string, more ...string) map[string][]string {
	m.t.Helper()
	want := map[string][]string{}
	m.run("duckdb", lake, more...)
	for _, sql := range queries {
		want[sql] = m.engines["duckdb"].query(sql)
		if len(want[sql]) == 0 && !strings.Contains(sql, "INTERVAL") && !strings.Contains(sql, "returned = 0") { // these depend on the day and the world
			m.t.Errorf("%s: no row for %s", state, sql)
		}
		for _, name := range []string{"clickhouse", "spark", "trino"} {
			if got := m.engines[name].query(sql); !slices.Equal(got, want[sql]) {
				m.t.Errorf("%s, %s: %s\n%d rows, DuckDB has %d: %.600q, want %.600q", state, name, sql, len(got), len(want[sql]), got, want[sql])
			}
		}
	}
	return want
}

// expectSame compares the answers of two states.
func (m *matrix) expectSame(state string, before, after map[string][]string) {
	m.t.Helper()
	for sql, rows := range before {
		if !slices.Equal(rows, after[sql]) {
			m.t.Errorf("%s: other answers to %s", state, sql)
		}
	}
}

// yesterday is when a compaction is to have been, so that tables read its files and a pruning removes
// those that it has merged.
func yesterday() string { return time.Now().UTC().AddDate(0, 0, -1).Format(time.DateOnly) }

// prune removes the files of a lake that have been merged.
func (m *matrix) prune(lake string) {
	m.t.Helper()
	before, err := filepath.Glob(filepath.Join(lake, "ledger", "accounts", "*.parquet"))
	if err != nil {
		m.t.Fatal(err)
	}
	siglake(m.t, "prune", "--lake", lake, "--older-than", "1d", "--yes")
	after, err := filepath.Glob(filepath.Join(lake, "ledger", "accounts", "*.parquet"))
	if err != nil || len(after) >= len(before) {
		m.t.Fatalf("pruning left %d files of %d, %v", len(after), len(before), err)
	}
}

// buy runs a list in the simulator, on a day.
func buy(t *testing.T, lake, list, today string, more ...string) {
	t.Helper()
	siglake(t, append([]string{"run", list, "--lake", lake, "--simulate", "--as-of", today, "--since", "180d", "--quiet"}, more...)...)
}

// TestEngines: DuckDB, ClickHouse, Spark and Trino answer the questions of the manual alike: of a lake
// with two lists of the same companies, then compacted, then pruned, then with another month, without a
// step between. The scripts of two lakes stand in one database.
func TestEngines(t *testing.T) {
	first, second, contacts := writeLists(t)
	lake, trial := filepath.Join(t.TempDir(), "lake"), filepath.Join(t.TempDir(), "trial")
	today := time.Now().UTC()
	earlier := today.AddDate(0, 0, -40).Format(time.DateOnly)
	buy(t, lake, first, earlier, "--signals", "all")
	buy(t, lake, second, earlier, "--signals", "all", "--keep", "all")
	buy(t, lake, contacts, earlier, "--signals", "contact")
	buy(t, trial, first, earlier, "--signals", "news")
	m := startMatrix(t)
	for range 2 {
		m.runAll(lake)
		m.runAll(trial, "--prefix", "trial_")
	}
	all := append(questions(t), "SELECT count(*) FROM trial_events", "SELECT count(*), count(entity_id) FROM accounts_latest",
		"SELECT extra_owner, count(*), count(DISTINCT account_key) FROM account_events GROUP BY 1", "SELECT event_month, count(*) FROM news_all GROUP BY 1",
		"SELECT sum(credits), count(*) FROM credits", "SELECT count(*) FROM calls", "SELECT count(*) FROM requests")
	before := m.compare("three lists", all, lake)
	siglake(t, "compact", "--lake", lake, "--quiet", "--min-files", "2", "--as-of", yesterday())
	m.restartSpark()
	m.expectSame("compacted", before, m.compare("compacted", all, lake))
	m.prune(lake)
	m.restartSpark()
	m.expectSame("pruned", before, m.compare("pruned", all, lake))
	buy(t, lake, first, today.Format(time.DateOnly), "--signals", "all", "--refresh")
	m.restartSpark()
	m.compare("another month", all, lake)
}

// TestOlderLakes: the same for lakes that earlier versions began, in one database.
func TestOlderLakes(t *testing.T) {
	first, _, _ := writeLists(t)
	m := startMatrix(t)
	m.compareOlder("one_", "lake-schema-1", first)
	m.compareOlder("three_", filepath.Join("lakes-0", "compacted"), first)
}

// compareOlder compares a lake that an earlier version began: as it is, continued by this version, then
// compacted and pruned.
func (m *matrix) compareOlder(prefix, fixture, list string) {
	m.t.Helper()
	lake := filepath.Join(m.t.TempDir(), "lake")
	if err := os.MkdirAll(lake, 0o700); err != nil {
		m.t.Fatal(err)
	}
	if err := command(m.t.Context(), lake, "tar", "--zstd", "-xf", absolute(m.t, "..", "..", "testdata", fixture, "lake.tar.zst")); err != nil {
		m.t.Fatal(err)
	}
	if inner := filepath.Join(lake, "lake"); isDir(inner) {
		lake = inner
	}
	var queries []string
	for _, sql := range []string{
		"SELECT signal_type, count(*), count(DISTINCT event_uid), min(event_date), max(event_date), count(url), count(summary_text) FROM @events GROUP BY 1",
		"SELECT event_month, count(*) FROM @news_all GROUP BY 1", "SELECT status, count(*), count(entity_id), count(account_key) FROM @accounts_latest GROUP BY 1",
		"SELECT status, count(*), count(run_id) FROM @accounts GROUP BY 1", "SELECT signal_type, count(*), count(account_key) FROM @account_events GROUP BY 1",
		"SELECT sum(credits), count(*) FROM @credits", "SELECT count(*), count(call_id) FROM @calls",
	} {
		queries = append(queries, strings.ReplaceAll(sql, "@", prefix))
	}
	m.runAll(lake, "--prefix", prefix)
	m.compare(fixture, queries, lake, "--prefix", prefix)
	siglake(m.t, "run", list, "--lake", lake, "--base-url", startSimulator(m.t), "--plan", "unlimited", "--since", "30d", "--signals", "news", "--new-run", "--quiet")
	m.restartSpark()
	before := m.compare(fixture+", continued", queries, lake, "--prefix", prefix)
	compactAndPrune(m.t, lake)
	m.restartSpark()
	m.expectSame(fixture+", pruned", before, m.compare(fixture+", pruned", queries, lake, "--prefix", prefix))
}

// compactAndPrune compacts a lake as if it were three days ago, and prunes it. The program itself rehearses other days only
// in lakes of simulated answers.
func compactAndPrune(t *testing.T, lake string) {
	t.Helper()
	now := time.Now().UTC()
	earlier := sinks.Options{Now: func() time.Time { return now.AddDate(0, 0, -3) }}
	if m, err := sinks.Compact(t.Context(), lake, earlier, sinks.CompactOptions{MinFiles: 2}); err != nil || m == nil {
		t.Fatalf("Compact() = %v, %v, want a generation", m, err)
	}
	inspector, err := sinks.Inspect(t.Context(), lake, sinks.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer inspector.Close() //nolint:errcheck // it was only read
	plan, err := inspector.PlanPrune(t.Context(), now.AddDate(0, 0, -1), now)
	if err != nil || len(plan.Replaced) == 0 {
		t.Fatalf("PlanPrune() = %+v, %v, want files to remove", plan, err)
	}
	if _, err := sinks.Prune(t.Context(), lake, sinks.Options{}, plan, sinks.PruneOptions{Proceed: func() error { return nil }}); err != nil {
		t.Fatal(err)
	}
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func absolute(t *testing.T, parts ...string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestS3: DuckDB answers the questions of a lake in a bucket as those of one in a directory, and so of the union of the
// lakes of two shards.
func TestS3(t *testing.T) {
	store := buckettest.Start(t)
	for _, pair := range store.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		t.Setenv(name, value)
	}
	first, second, contacts := writeLists(t)
	local, remote := filepath.Join(t.TempDir(), "lake"), store.URI("lakes/one")
	earlier := time.Now().UTC().AddDate(0, 0, -40).Format(time.DateOnly)
	for lake, access := range map[string][]string{local: nil, remote: {"--s3-endpoint", store.URL, "--s3-region", store.Region, "--s3-path-style", "--scratch", t.TempDir()}} {
		buy(t, lake, first, earlier, append(access, "--signals", "all")...)
		buy(t, lake, second, earlier, append(access, "--signals", "all", "--keep", "all")...)
		buy(t, lake, contacts, earlier, append(access, "--signals", "contact")...)
	}
	access := []string{"--s3-endpoint", store.URL, "--s3-region", store.Region, "--s3-path-style"}
	compareS3(t, store, siglake(t, "ddl", "--lake", local), siglake(t, append([]string{"ddl", "--lake", remote}, access...)...))

	local, remote = filepath.Join(t.TempDir(), "shard-{shard}"), store.URI("shards/shard-{shard}")
	for lake, access := range map[string][]string{local: nil, remote: slices.Concat(access, []string{"--scratch", t.TempDir()})} {
		for _, shard := range []string{"0/2", "1/2"} {
			buy(t, lake, second, earlier, append(access, "--signals", "news,growth", "--keep", "all", "--shard", shard)...)
		}
	}
	compareS3(t, store, siglake(t, "union", local, "--dialect", "duckdb"), siglake(t, append([]string{"union", remote, "--dialect", "duckdb"}, access...)...))
}

// compareS3 compares the answers of DuckDB by the script of lakes in directories, and by that of lakes in a bucket.
func compareS3(t *testing.T, store *buckettest.Store, local, remote string) {
	t.Helper()
	near, far := startEngine(t, "duckdb"), startEngine(t, "duckdb", "httpfs")
	near.run(local)
	far.run(fmt.Sprintf("CREATE SECRET (TYPE s3, KEY_ID '%s', SECRET '%s', REGION '%s', ENDPOINT '%s', URL_STYLE 'path', USE_SSL false)",
		store.AccessKey, store.SecretKey, store.Region, strings.TrimPrefix(store.URL, "http://")))
	far.run(remote)
	for _, sql := range questions(t) {
		if got, want := far.query(sql), near.query(sql); !slices.Equal(got, want) {
			t.Errorf("%s\nin the bucket %d rows, in the directory %d: %.600q, want %.600q", sql, len(got), len(want), got, want)
		}
	}
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
		o := ddl.Options{Dialect: dialect, Address: "s3://bucket/lake", Database: "lakes", Snapshot: &sinks.Snapshot{Generation: 1, Files: files}, OptedOut: []string{"77001"}}
		var script, union bytes.Buffer
		if err := ddl.Write(&script, o); err != nil {
			t.Fatal(err)
		}
		if err := ddl.WriteUnion(&union, o, []ddl.Member{{Shard: 0, Address: o.Address, Snapshot: o.Snapshot}, {Shard: 1, Address: "s3://bucket/other", Snapshot: &sinks.Snapshot{}}}); err != nil {
			t.Fatal(err)
		}
		for _, text := range []*bytes.Buffer{&script, &union} {
			c := exec.Command(python, "grammar.py", dialect)
			c.Stdin = text
			if out, err := c.CombinedOutput(); err != nil || strings.Contains(string(out), "unsupported syntax") {
				t.Errorf("the script for %s: %v\n%.3000s", dialect, err, out)
			}
		}
	}
}
