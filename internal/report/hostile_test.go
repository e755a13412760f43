package report

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

// hostile is a text that no terminal should see: a title, a bidirectional override, a
// C1 control, a byte that is no UTF-8, and a line that passes for one of siglake's own.
const hostile = "ev\x1b]0;pwned\x07il\u202e\u2066\u009b31m\x9b\r\x00\nsiglake: forged\u2028"

// fill puts hostile texts into every text of a value, at any depth, and one entry into
// every list and map; numbers become 1.
func fill(v reflect.Value, depth int) {
	if depth > 8 {
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(hostile)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(1)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth+1)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), depth+1)
		fill(v.Index(1), depth+1)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, depth+1)
		fill(value, depth+1)
		v.SetMapIndex(key, value)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)))
			return
		}
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fill(v.Field(i), depth+1)
			}
		}
	}
}

func filled[T any]() T {
	var v T
	fill(reflect.ValueOf(&v).Elem(), 0)
	return v
}

// hostileManifest has texts from outside wherever a manifest has texts.
func hostileManifest() *pipeline.Manifest {
	m := filled[*pipeline.Manifest]()
	for _, s := range schema.Statuses {
		m.Accounts.ByStatus[s] = 9
	}
	m.Run.Outcome = pipeline.RunInDoubt
	m.Products = map[string]int64{schema.ProductScore: 1}
	for i := range m.InDoubt {
		m.InDoubt[i].WrittenOff = false
		m.InDoubt[i].Decision = ""
	}
	return m
}

// hostileEnd has texts from outside wherever a RunEnd has texts.
func hostileEnd() *RunEnd {
	e := filled[*RunEnd]()
	e.Runs = []*pipeline.Manifest{hostileManifest()}
	return e
}

// printers calls every printer of the package with hostile texts; those for machines
// write through the guard that the program puts around its output.
var printers = map[string]func(w io.Writer){
	"PrintFiles": func(w io.Writer) {
		_ = PrintFiles(w, hostile, filled[*sinks.Snapshot](), "", false)
		_ = PrintFiles(format.NewWriter(w), hostile, filled[*sinks.Snapshot](), "", true)
	},
	"PrintJSON": func(w io.Writer) { _ = PrintJSON(format.NewWriter(w), hostileManifest()) },
	"PrintInDoubtCalls": func(w io.Writer) {
		PrintInDoubtCalls(w, filled[[]app.InDoubtCall](), 1)
	},
	"PrintReread":   func(w io.Writer) { PrintReread(w, filled[[]app.RereadCall]()) },
	"PrintDecision": func(w io.Writer) { PrintDecision(w, filled[app.DecisionReport]()) },
	"PrintCompaction": func(w io.Writer) {
		PrintCompaction(w, filled[app.CompactOptions](), nil)
		PrintCompaction(w, filled[app.CompactOptions](), hostileManifest())
	},
	"PrintPruning": func(w io.Writer) {
		r := filled[*app.PruneReport]()
		for _, done := range []bool{false, true} {
			r.Done = done
			PrintPruning(w, r)
		}
		PrintPruning(w, &app.PruneReport{Lake: hostile})
		PrintPruning(w, &app.PruneReport{Lake: hostile, Journal: r.Journal})
	},
	"PrintCheckup":       func(w io.Writer) { PrintCheckup(w, filled[[]app.CheckResult](), "{\n}", false) },
	"WriteListenMetrics": func(w io.Writer) { WriteListenMetrics(w, filled[*app.ListenStatus]()) },
	"PrintListening":     func(w io.Writer) { PrintListening(w, filled[*app.ListenAddresses]()) },
	"PrintListenEnd":     func(w io.Writer) { PrintListenEnd(w, filled[*app.ListenStatus]()) },
	"PrintFindings":      func(w io.Writer) { PrintFindings(w, filled[[]app.Finding](), false) },
	"PrintExport":        func(w io.Writer) { PrintExport(w, filled[*app.ExportReport]()) },
	"PrintList":          func(w io.Writer) { PrintList(w, filled[*app.ListReport]()) },
	"PrintQuestion": func(w io.Writer) {
		PrintQuestion(w, app.Question{Plan: filled[*app.PlanReport]()})
		PrintQuestion(w, app.Question{Pages: filled[*app.PagesPlan]()})
	},
	"PrintPlan": func(w io.Writer) { PrintPlan(w, filled[*app.PlanReport](), hostile, false) },
	"PrintCatalogue": func(w io.Writer) {
		s := filled[[]schema.Signal]()
		for i := range s {
			s[i].Category = schema.Categories[i] // the tables are siglake's own
		}
		PrintCatalogue(w, s, true)
	},
	"PrintCatalogueJSON": func(w io.Writer) {
		_ = PrintCatalogueJSON(format.NewWriter(w), schema.Signals[:1])
	},
	"PrintStatus": func(w io.Writer) {
		s := filled[*app.LakeStatus]()
		_ = PrintStatus(w, s, time.Now())
		s.Runs[0].Process, s.Runs[1].Process, s.Unfinished = nil, nil, s.Runs[0].Run
		_ = PrintStatus(w, s, time.Now())
	},
	"PrintUnion": func(w io.Writer) { _ = PrintUnion(w, filled[*app.UnionReport]()) },
	"PrintHistory": func(w io.Writer) {
		h := filled[*app.History]()
		_ = PrintHistory(w, h)
		h.Months = nil
		_ = PrintHistory(w, h)
		h.Runs = nil
		_ = PrintHistory(w, h)
	},
	"PrintJobs":   func(w io.Writer) { PrintJobs(w, hostile, filled[[]JobListing]()) },
	"PrintNights": func(w io.Writer) { _ = PrintNights(w, filled[*NightTable]()) },
	"PrintPagesPlan": func(w io.Writer) {
		p := filled[*app.PagesPlan]()
		PrintPagesPlan(w, p)
		p.Results, p.Exhausted = nil, false
		PrintPagesPlan(w, p)
	},
	"PrintNothingToDo": func(w io.Writer) {
		n := filled[*app.NothingToDo]()
		PrintNothingToDo(w, n)
		n.RunID = ""
		PrintNothingToDo(w, n)
	},
	"PrintPublished": func(w io.Writer) {
		PrintPublished(w, &app.PublishReport{Lake: hostile, Copies: 1, Tests: 2, OptOuts: 3, Lost: 1})
	},
	"PrintSummary": func(w io.Writer) {
		PrintSummary(w, hostile, hostileManifest(), filled[app.UndecidedCalls]())
		m := hostileManifest()
		m.Events.Written = 0
		m.Files[0].Table = "scores"
		PrintSummary(w, hostile, m, filled[app.UndecidedCalls]())
	},
	"PrintSalvage": func(w io.Writer) {
		r := filled[*app.SalvageReport]()
		r.Whole = false
		PrintSalvage(w, r)
		r.Whole = true
		PrintSalvage(w, r)
	},
	"PrintTree":  func(w io.Writer) { PrintTree(w, hostile, hostileManifest()) },
	"PrintUsage": func(w io.Writer) { PrintUsage(w, filled[AccountUsage]()) },
	"LogRun": func(w io.Writer) {
		LogRun(slog.New(slog.NewTextHandler(format.NewWriter(w), nil)), hostileManifest())
		LogRun(slog.New(slog.NewJSONHandler(format.NewWriter(w), nil)), hostileManifest())
	},
	"LogEnd": func(w io.Writer) {
		LogEnd(slog.New(slog.NewTextHandler(format.NewWriter(w), nil)), hostileEnd())
		LogEnd(slog.New(slog.NewJSONHandler(format.NewWriter(w), nil)), hostileEnd())
	},
	"PrintEnd":     func(w io.Writer) { PrintEnd(w, hostileEnd()) },
	"WriteMetrics": func(w io.Writer) { WriteMetrics(w, []*RunEnd{hostileEnd()}, hostile) },
	"LogUndecided": func(w io.Writer) {
		LogUndecided(slog.New(slog.NewTextHandler(format.NewWriter(w), nil)), filled[app.UndecidedCalls]())
		LogUndecided(slog.New(slog.NewJSONHandler(format.NewWriter(w), nil)), filled[app.UndecidedCalls]())
	},
	"PrintErasures": func(w io.Writer) { PrintErasures(w, hostile, filled[*app.ErasureList]()) },
	"PrintWebhookSync": func(w io.Writer) {
		r := filled[*app.WebhookSync]()
		for _, a := range webhookActions {
			r.Actions[a.action], r.Steps[0].Action = 1, a.action
			r.Done = !r.Done
			PrintWebhookSync(w, r)
		}
	},
	"PrintWebhookChanges": func(w io.Writer) { PrintWebhookChanges(w, filled[*app.WebhookChanges](), false) },
	"PrintWebhookList":    func(w io.Writer) { PrintWebhookList(w, filled[*app.WebhookList]()) },
	"PrintWebhookTests":   func(w io.Writer) { PrintWebhookTests(w, filled[[]lusha.HookTest]()) },
	"PrintWebhookTotals":  func(w io.Writer) { PrintWebhookTotals(w, filled[*app.WebhookTotals]()) },
	"PrintOptOutOrder":    func(w io.Writer) { PrintOptOutOrder(w, filled[*app.OptOutOrder]()) },
	"PrintWebhookAudit":   func(w io.Writer) { PrintWebhookAudit(w, filled[*app.WebhookAudit]()) },
	"PrintWebhookCap":     func(w io.Writer) { PrintWebhookCap(w, filled[*app.WebhookCap]()) },
	"PrintSecret": func(w io.Writer) {
		r := filled[*app.SecretReport]()
		PrintSecret(w, r)
		r.Old = 0
		PrintSecret(w, r)
		r.Until = time.Time{}
		PrintSecret(w, r)
	},
	"LogIncomplete": func(w io.Writer) {
		LogIncomplete(slog.New(slog.NewTextHandler(format.NewWriter(w), nil)), hostileManifest())
		LogIncomplete(slog.New(slog.NewJSONHandler(format.NewWriter(w), nil)), hostileManifest())
	},
}

// TestHostileTexts: no printer lets a text from outside steer the terminal or begin a
// line of its own.
func TestHostileTexts(t *testing.T) {
	t.Parallel()
	for name, print := range printers {
		var out bytes.Buffer
		print(&out)
		if out.Len() == 0 {
			t.Errorf("%s printed nothing", name)
		}
		for _, line := range strings.Split(out.String(), "\n") {
			if text := strings.ReplaceAll(line, "\t", " "); format.Text(text) != text {
				t.Errorf("%s printed %q", name, line)
			}
			if strings.HasPrefix(strings.TrimSpace(line), "siglake: forged") && !strings.HasPrefix(name, "Write") {
				t.Errorf("%s let a text begin a line: %q", name, line)
			}
		}
	}
}

// TestEveryPrinter: the table above names every printer, and none writes by another way
// than format.Fprintf.
func TestEveryPrinter(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				name := n.Name.Name
				if n.Recv != nil {
					return name != "writeLine" // of a script, which the program's guard covers
				}
				if strings.HasPrefix(name, "Print") || strings.HasPrefix(name, "Write") || strings.HasPrefix(name, "Log") {
					found++
					if printers[name] == nil {
						t.Errorf("%s is not fed with hostile texts", name)
					}
				}
			case *ast.SelectorExpr:
				if pkg, ok := n.X.(*ast.Ident); ok && pkg.Name == "fmt" && strings.HasPrefix(n.Sel.Name, "Fprint") {
					t.Errorf("%s: fmt.%s in a printer: use format.Fprintf", file.Name, n.Sel.Name)
				}
			}
			return true
		})
	}
	if found != len(printers) {
		t.Errorf("%d printers, and %d in the table", found, len(printers))
	}
}
