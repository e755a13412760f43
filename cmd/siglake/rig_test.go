package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/apache/arrow/go/v17/parquet/file"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// canary is the API key of every test: it must stand in no byte that a run
// writes or prints.
const canary = "canary-7f3e-never-printed"

// rig runs the program, in process, on a list against a simulator of its own
// and keeps everything it left behind.
type rig struct {
	t        *testing.T
	sim      *simulator.Server
	server   *httptest.Server
	lake     string
	code     int
	stdout   string
	stderr   string
	manifest *pipeline.Manifest
}

// newRig starts a simulator. It accepts the canary key only.
func newRig(t *testing.T, cfg simulator.Config) *rig {
	t.Helper()
	cfg.Keys = []string{canary}
	if cfg.Seed == 0 {
		cfg.Seed = 7
	}
	if cfg.Plan == "" {
		cfg.Plan = "unlimited"
	}
	sim, err := simulator.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, sim: sim, server: httptest.NewServer(sim), lake: filepath.Join(t.TempDir(), "lake")}
	t.Cleanup(r.server.Close)
	envFor(t).set(app.KeyVariable, canary)
	// Calls are counted by address, and ports come again: another test's account
	// must not be taken for this one's.
	envFor(t).set("XDG_STATE_HOME", t.TempDir())
	return r
}

// run runs "siglake run" on the text of a list and checks what must hold after
// any run whatever.
func (r *rig) run(list string, flags ...string) {
	r.t.Helper()
	r.runList(context.Background(), strings.NewReader(list), "-", flags...)
}

func (r *rig) runList(ctx context.Context, stdin io.Reader, uri string, flags ...string) {
	r.t.Helper()
	r.runChecked(ctx, stdin, append([]string{"run", uri}, flags...)...)
}

// runChecked runs a command that buys something, and checks what must hold after the
// first of them on a lake.
func (r *rig) runChecked(ctx context.Context, stdin io.Reader, words ...string) {
	r.t.Helper()
	args := r.args(words)
	var stdout, stderr bytes.Buffer
	r.code = envFor(r.t).execute(ctx, args, stdin, &stdout, &stderr)
	r.stdout, r.stderr = stdout.String(), stderr.String()
	r.manifest = r.readManifest()
	r.check()
}

// runProductChecked carries out a command other than "siglake run" on a new lake, and checks
// what must hold then.
func (r *rig) runProductChecked(name, list string, flags ...string) {
	r.t.Helper()
	v := r.runProduct(name, list, flags...)
	r.code, r.stdout, r.stderr = v.code, v.stdout, v.stderr
	r.check()
}

// args are those of a command, the rig's own before the others.
func (r *rig) args(words []string) []string {
	return slices.Concat([]string{"siglake", words[0], "--lake", r.lake, "--base-url", r.server.URL, "--plan", "unlimited", "--rate", "0"}, words[1:])
}

// readManifest follows current.json; nil when the lake has no generation.
func (r *rig) readManifest() *pipeline.Manifest {
	r.t.Helper()
	raw, err := os.ReadFile(filepath.Join(r.lake, "_meta", "current.json"))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		r.t.Fatal(err)
	}
	var current struct {
		Path string `json:"path"`
	}
	r.decode(raw, &current)
	if raw, err = os.ReadFile(filepath.Join(r.lake, current.Path)); err != nil {
		r.t.Fatal(err)
	}
	m := new(pipeline.Manifest)
	r.decode(raw, m)
	return m
}

func (r *rig) decode(raw []byte, into any) {
	r.t.Helper()
	if err := json.Unmarshal(raw, into); err != nil {
		r.t.Fatalf("%s: %v", raw, err)
	}
}

// check holds what the run left behind against the simulator's own bill and
// against itself.
func (r *rig) check() {
	r.t.Helper()
	r.checkSecret()
	m := r.manifest
	if m == nil {
		if c := r.sim.Bill().Credits; c != 0 {
			r.t.Errorf("the simulator billed %d credits and no manifest says so", c)
		}
		return
	}
	var lines int64
	for _, n := range m.Accounts.ByStatus {
		lines += n
	}
	if lines != m.Accounts.Lines {
		r.t.Errorf("statuses sum to %d, want %d lines", lines, m.Accounts.Lines)
	}
	accounts := r.table(schema.Accounts)
	if int64(len(accounts)) != m.Accounts.Lines {
		r.t.Errorf("accounts table has %d rows, want %d", len(accounts), m.Accounts.Lines)
	}
	byStatus := map[schema.Status]int64{}
	for _, a := range accounts {
		byStatus[schema.Status(a["status"].(string))]++
	}
	for s, n := range m.Accounts.ByStatus {
		if byStatus[s] != n {
			r.t.Errorf("accounts table has %d %s, manifest %d", byStatus[s], s, n)
		}
	}

	ledger, calls := r.sumColumn(schema.Credits, "credits"), r.sumColumn(schema.Calls, "credits")
	if ledger != m.Credits.Charged || calls != m.Credits.Charged {
		r.t.Errorf("credits table sums to %d, calls table to %d, manifest says %d", ledger, calls, m.Credits.Charged)
	}
	var bySignal, perCall int64
	for _, n := range m.Credits.BySignal {
		bySignal += n
	}
	for _, c := range m.PerCall {
		if c.Credits != nil {
			perCall += *c.Credits
		}
	}
	if bySignal+m.Credits.WholeCall != m.Credits.Charged || perCall != m.Credits.Charged {
		r.t.Errorf("by signal %d + whole call %d, per call %d, want %d", bySignal, m.Credits.WholeCall, perCall, m.Credits.Charged)
	}

	billed := r.sim.Bill().Credits
	most := m.Credits.Charged + m.Credits.UnknownCeiling + m.Credits.InDoubtCeiling
	if billed < m.Credits.Charged || billed > most {
		r.t.Errorf("simulator billed %d, manifest brackets it by %d and %d", billed, m.Credits.Charged, most)
	}
	if m.Credits.UnknownCalls == 0 && m.Credits.InDoubtCalls == 0 && billed != m.Credits.Charged {
		r.t.Errorf("simulator billed %d, manifest says %d and declares no doubt", billed, m.Credits.Charged)
	}

	var rows int64
	for _, c := range schema.Categories {
		rows += int64(len(r.table(schema.EventTable(c))))
	}
	if rows != m.Events.Written {
		r.t.Errorf("event tables have %d rows, manifest says %d written", rows, m.Events.Written)
	}
	for product, n := range m.Products {
		category, _ := schema.ProductCategory(product)
		table, _ := schema.TableNamed(string(category))
		rows := int64(len(r.table(table)))
		for _, f := range m.Files {
			if f.Table == table.Name {
				rows += f.Duplicate
			}
		}
		if rows != n {
			r.t.Errorf("%s has %d rows, the duplicates counted, manifest says %d", table.Name, rows, n)
		}
	}
	var byAction int64
	for _, n := range m.Credits.ByAction {
		byAction += n
	}
	if byAction != m.Credits.Charged {
		r.t.Errorf("by action %d credits, want %d", byAction, m.Credits.Charged)
	}
	if m.Events.Written+m.Events.Duplicate+m.Events.Known+m.Events.Filtered != m.Events.Returned || m.Events.New+m.Events.Changed != m.Events.Written {
		r.t.Errorf("%+v: the events do not add up", m.Events)
	}
}

// checkSecret looks for the key in everything written and printed.
func (r *rig) checkSecret() {
	r.t.Helper()
	if strings.Contains(r.stdout+r.stderr, canary) {
		r.t.Error("the API key was printed")
	}
	if _, err := os.Stat(r.lake); err != nil {
		return // refused before the lake was opened
	}
	err := filepath.WalkDir(r.lake, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if raw, err := os.ReadFile(path); err != nil {
			r.t.Error(err)
		} else if bytes.Contains(raw, []byte(canary)) {
			r.t.Errorf("the API key stands in %s", path)
		}
		if strings.HasSuffix(path, ".tmp") {
			r.t.Errorf("left behind: %s", path)
		}
		return nil
	})
	if err != nil {
		r.t.Error(err)
	}
}

// table reads the manifest's files of a table with arrow's own Parquet reader,
// in the order of the manifest, one map a row; null is nil.
func (r *rig) table(t schema.Table) []map[string]any {
	r.t.Helper()
	var rows []map[string]any
	for _, f := range r.manifest.Files {
		if f.Table == t.Name {
			rows = append(rows, readParquet(r.t, filepath.Join(r.lake, filepath.FromSlash(f.Path)))...)
		}
	}
	return rows
}

// events are the rows of every event table.
func (r *rig) events() []map[string]any {
	r.t.Helper()
	var rows []map[string]any
	for _, t := range schema.EventTables {
		rows = append(rows, r.table(t)...)
	}
	return rows
}

// products are the rows of the product tables that were bought one by one.
func (r *rig) products() []map[string]any {
	r.t.Helper()
	var rows []map[string]any
	for _, t := range schema.ProductTables {
		if t.Name != string(schema.CategoryAliases) { // every product may have some
			rows = append(rows, r.table(t)...)
		}
	}
	return rows
}

func (r *rig) sumColumn(t schema.Table, column string) int64 {
	r.t.Helper()
	var sum int64
	for _, row := range r.table(t) {
		if n, ok := row[column].(int64); ok {
			sum += n
		}
	}
	return sum
}

func readParquet(t *testing.T, path string) []map[string]any {
	t.Helper()
	f, err := file.OpenParquetFile(path, false)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	defer f.Close()
	reader, err := pqarrow.NewFileReader(f, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	tbl, err := reader.ReadTable(context.Background())
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	defer tbl.Release()
	rows := make([]map[string]any, tbl.NumRows())
	for i := range rows {
		rows[i] = map[string]any{}
	}
	for c := range int(tbl.NumCols()) {
		at := 0
		for _, chunk := range tbl.Column(c).Data().Chunks() {
			for i := range chunk.Len() {
				rows[at][tbl.Column(c).Name()] = cellValue(chunk, i)
				at++
			}
		}
	}
	return rows
}

func cellValue(a arrow.Array, i int) any {
	if a.IsNull(i) {
		return nil
	}
	switch a := a.(type) {
	case *array.String:
		return a.Value(i)
	case *array.Int64:
		return a.Value(i)
	case *array.Float64:
		return a.Value(i)
	case *array.Boolean:
		return a.Value(i)
	case *array.Date32:
		return a.Value(i).FormattedString()
	case *array.Timestamp:
		return a.Value(i).ToTime(arrow.Microsecond).UTC()
	}
	return a.ValueStr(i)
}
