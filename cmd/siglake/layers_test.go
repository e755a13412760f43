package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/siglake/siglake/"

// allowed says which packages of the module a folder's code may import. A
// folder that is not named may import nothing of the module: give a new one its
// floor here.
var allowed = map[string][]string{
	"schema":                     {},
	"internal/simulator":         {},
	"internal/durable":           {"internal/lease/flock"},
	"internal/parallel":          {},
	"internal/lease/flock":       {},
	"internal/bucket":            {},
	"internal/bucket/buckettest": {"internal/lease/flock"}, // for tests, which are not looked at here
	"internal/idmap":             {},
	"internal/jsonscan":          {},
	"internal/forecast":          {"schema", "pipeline"},
	"internal/extsort":           {"schema", "internal/durable"},
	"internal/columns":           {"schema"},
	"internal/flatten":           {"schema", "internal/columns", "internal/jsonscan"},
	"pipeline":                   {"schema", "internal/columns", "internal/flatten", "internal/idmap", "internal/jsonscan"},
	"sources":                    {"schema", "pipeline", "internal/bucket"},
	"sinks":                      {"schema", "pipeline", "internal/bucket", "internal/durable", "internal/extsort", "internal/parallel"},
	"internal/wal":               {"internal/bucket", "internal/durable"},
	"internal/lease":             {"internal/bucket", "internal/lease/flock"},
	"internal/inbox":             {"internal/durable", "internal/lease", "internal/wal"},
	"internal/receiver":          {"internal/inbox", "internal/jsonscan"},
	"internal/ledger":            {"schema", "pipeline", "internal/wal", "internal/forecast", "internal/idmap", "internal/jsonscan"},
	"internal/nights":            {"schema", "pipeline", "internal/ledger"},
	"internal/proof":             {}, // for tests
	"cmd/siglake/manual":         {},
	"internal/policy":            {"schema", "pipeline"},
	"internal/lusha":             {"schema", "pipeline", "internal/policy", "internal/jsonscan"},
	"internal/ratelimit":         {"schema", "pipeline", "internal/bucket", "internal/lease/flock"},
	"internal/subscriptions":     {"schema", "internal/lusha"},
	"internal/lusha/lushatest":   {"schema", "pipeline"}, // for tests
	"internal/export":            {"schema", "pipeline", "internal/durable", "internal/extsort", "internal/flatten"},
	"internal/lakereport":        {"schema", "pipeline", "internal/extsort", "internal/format"},
	"internal/format":            {},
	"internal/jobfile":           {},
	"internal/notify":            {"internal/policy"},
	"internal/app":               {"internal/receiver", "internal/inbox", "internal/export", "internal/lakereport", "internal/format", "schema", "pipeline", "sources", "sinks", "internal/lusha", "internal/policy", "internal/wal", "internal/durable", "internal/lease", "internal/lease/flock", "internal/ledger", "internal/ratelimit", "internal/bucket", "internal/forecast", "internal/idmap", "internal/nights", "internal/parallel", "internal/subscriptions"},
	"internal/report":            {"internal/app", "internal/format", "schema", "pipeline", "sinks", "internal/lusha", "internal/ledger", "internal/forecast", "internal/subscriptions"},
	"internal/dictionary":        {"internal/ddl", "internal/format", "schema"},
	"internal/ddl":               {"internal/app", "internal/format", "schema", "pipeline", "sinks"},
	"cmd/siglake":                {"internal/inbox", "internal/ddl", "internal/dictionary", "cmd/siglake/manual", "internal/app", "internal/report", "internal/format", "internal/jobfile", "internal/notify", "internal/simulator", "schema", "pipeline", "internal/lusha", "internal/ledger"},

	// benchmarks, which are not shipped
	"internal/bench":         {"schema", "internal/bench/answers"},
	"internal/bench/answers": {"internal/simulator"},
	"internal/bench/cputime": {},
	"internal/bench/plain":   {"schema"},

	// helpers of tests
	"internal/durable/durabletest": {},
	"internal/extsort/rowtest":     {"schema"},
	"internal/jsonscan/jsontest":   {},
	"internal/bucket/membucket":    {"internal/bucket", "internal/durable"},
	"internal/report/metricstest":  {},
}

// importRooms says where a third-party package may be imported: files or folders.
var importRooms = map[string][]string{
	"github.com/parquet-go/parquet-go":      {"sinks/parquet.go", "sinks/smallfile.go", "sinks/footer.go", "sinks/layout.go", "sinks/bounds.go", "sinks/compress.go", "sinks/keys.go", "sinks/columns.go", "sinks/merges.go"},
	"github.com/apache/arrow/go/v17":        {"schema", "pipeline", "internal/columns", "sinks", "internal/extsort/rowtest", "internal/extsort", "internal/export", "internal/lakereport", "internal/bench/plain"},
	"github.com/KimMachineGun/automemlimit": {"cmd/siglake/memory.go"},
	"github.com/urfave/cli/v2":              {"cmd/siglake"},
	"github.com/vbauerster/mpb/v8":          {"cmd/siglake/progress.go"},
	"golang.org/x/term":                     {"cmd/siglake/progress.go", "cmd/siglake/help.go"},
	"golang.org/x/sync":                     {"pipeline/prefetch.go", "sinks/publish.go", "sinks/s3.go", "internal/bucket", "internal/lusha/decode.go"},
	"golang.org/x/time":                     {"internal/ratelimit"},
	"golang.org/x/net":                      {"sources", "internal/flatten/summary.go"},
	"golang.org/x/text":                     {"sources"},
	"github.com/wlynxg/chardet":             {"sources/charset.go"},
	"github.com/xuri/excelize/v2":           {"sources/workbook.go", "internal/export/xlsx.go"},
	"github.com/klauspost/compress":         {"sources", "internal/ledger", "internal/extsort/block.go", "sinks/compress.go"},
	"net/http":                              {"internal/receiver", "cmd/siglake", "internal/app", "internal/lusha", "internal/notify", "internal/simulator", "internal/bucket", "internal/bucket/buckettest", "internal/bench", "internal/bench/answers", "internal/bench/plain"},
	"github.com/cpuguy83/go-md2man/v2":      {"cmd/siglake/man.go"},
	"go.yaml.in/yaml/v4":                    {"internal/jobfile", "internal/dictionary/dbt.go"},
	"github.com/google/go-cmp":              {},
	"github.com/rogpeppe/go-internal":       {},
	"pgregory.net/rapid":                    {"internal/jsonscan/jsontest"},
	"github.com/aws/aws-sdk-go-v2":          {"internal/bucket"},
	"github.com/aws/smithy-go":              {"internal/bucket"},
	"github.com/duckdb/duckdb-go/v2":        {},
	"github.com/versity/versitygw":          {},
	"github.com/johannesboyne/gofakes3":     {},
	"github.com/marcboeker/go-duckdb/v2":    {},
}

// layerViolations checks the imports of one file against both lists.
func layerViolations(file string, imports []string) []string {
	var out []string
	folder := filepath.ToSlash(filepath.Dir(file))
	for _, path := range imports {
		if name, ours := strings.CutPrefix(path, module); ours {
			if !slices.Contains(allowed[folder], name) {
				out = append(out, file+" imports "+name+": a floor may import only those below it")
			}
			continue
		}
		for dependency, rooms := range importRooms {
			if path != dependency && !strings.HasPrefix(path, dependency+"/") {
				continue
			}
			if !slices.Contains(rooms, folder) && !slices.Contains(rooms, filepath.ToSlash(file)) {
				out = append(out, file+" imports "+path+", which has its home in "+strings.Join(rooms, ", "))
			}
		}
		if strings.Contains(strings.Split(path, "/")[0], ".") && !slices.ContainsFunc(mapKeys(importRooms), func(h string) bool {
			return path == h || strings.HasPrefix(path, h+"/")
		}) {
			out = append(out, file+" imports "+path+", which has no home yet")
		}
	}
	return out
}

func TestLayers(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != "." && strings.HasPrefix(d.Name(), ".") || slices.Contains([]string{"testdata", "crosscheck", "conformance", "tools", "stores", "storematrix", "enginematrix", "schedulermatrix", "browsermatrix", "proxymatrix", "siglake-iceberg", "siglake-temporal", "temporaldev", "bento", "duckdb"}, d.Name()) {
				return filepath.SkipDir // nested modules and data
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		files++
		var imports []string
		for _, i := range parsed.Imports {
			p, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			imports = append(imports, p)
		}
		for _, b := range layerViolations(name, imports) {
			t.Error(b)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 20 {
		t.Errorf("looked at %d files, want the whole module", files)
	}
}

func TestLayersFindBreaches(t *testing.T) {
	t.Parallel()
	for file, path := range map[string]string{
		"schema/x.go":             module + "pipeline",
		"pipeline/x.go":           module + "sinks",
		"sources/x.go":            module + "sinks",
		"internal/simulator/x.go": module + "schema",
		"internal/new/x.go":       module + "schema",
		"sinks/dir.go":            "github.com/parquet-go/parquet-go",
		"pipeline/run.go":         "golang.org/x/sync/errgroup",
		"schema/y.go":             "example.com/no/home",
	} {
		if got := layerViolations(file, []string{path}); len(got) != 1 {
			t.Errorf("breaches(%q, %q) = %q, want one", file, path, got)
		}
	}
}

func mapKeys(m map[string][]string) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	return out
}
