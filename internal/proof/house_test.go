package proof

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The size of what one reader holds in their head.
const (
	maxMethods = 25 // of a type
	maxLines   = 60 // of a function
)

// largeTypes have more methods, at most so many.
var largeTypes = map[string]int{}

// longFunctions have more lines, at most so many.
var longFunctions = map[string]int{}

// flagReads are functions that read flags by name, and how often.
var flagReads = map[string]int{
	"cmd/siglake presetFlags": 1, // the settings of a job name flags
}

// TestHouse: no type and no function outside of tests is too large, options come from structs and not
// from flags by name, and no test assigns a variable of a package, so that tests can run in parallel.
func TestHouse(t *testing.T) {
	t.Parallel()
	h := newHouse()
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && file != root && (name == "testdata" || strings.HasPrefix(name, ".")):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		name, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		return h.addFile(filepath.ToSlash(name), file, nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(h.methods) < 200 || len(h.lines) < 2000 {
		t.Fatalf("%d types with methods and %d functions were found, want those of the module", len(h.methods), len(h.lines))
	}
	for _, problem := range h.problems(largeTypes, longFunctions, flagReads) {
		t.Error(problem)
	}
}

// TestHouseFindsBreaches: what TestHouse looks for is found, and an exception that is not needed, too.
func TestHouseFindsBreaches(t *testing.T) {
	t.Parallel()
	code := "package a\nimport \"github.com/urfave/cli/v2\"\nvar hook, clock, table = 1, 2, map[int]int{}\ntype large[T any] struct{}\n"
	for i := range maxMethods + 1 {
		code += fmt.Sprintf("func (l *large[T]) m%d() {}\n", i)
	}
	code += "func long() {" + strings.Repeat("\n", maxLines) + "}\n" +
		"func short() {" + strings.Repeat("\n", maxLines-1) + "}\n" +
		"func run(c *cli.Context) { c.Args(); c.NArg(); _ = func(c interface{ IsSet(string) bool }) { c.IsSet(`x`) }; c.IsSet(`x`) }\n"
	tests := "package a\nimport \"example.com/b\"\nfunc f(clock int) { hook++; clock = 3; var hook int; hook = 4; b.Now = nil; local := b.Now; local.x = 1 }\n" +
		"func (l *large[T]) test() { table[1] = 2 }\n"
	newTestHouse := func() *house {
		h := newHouse()
		for name, text := range map[string]string{"a/a.go": code, "a/a_test.go": tests} {
			if err := h.addFile(name, name, text); err != nil {
				t.Fatal(err)
			}
		}
		return h
	}
	want := []string{
		"a.large has 26 methods, want at most 25",
		"a long has 61 lines, want at most 60",
		"a run has 1 reads of flags by name, want at most 0",
		"a/a_test.go:3: a test assigns the variable hook",
		"a/a_test.go:3: a test assigns the variable b.Now",
		"a/a_test.go:4: a test assigns the variable table",
	}
	if got := newTestHouse().problems(nil, nil, nil); !slices.Equal(got, want) {
		t.Errorf("problems = %q, want %q", got, want)
	}
	got := newTestHouse().problems(map[string]int{"a.large": 26, "a.gone": 30}, map[string]int{"a long": 60, "a short": 61}, map[string]int{"a run": 1})
	want = append([]string{
		"a.gone has 0 methods, and no exception is needed any more",
		"a long has 61 lines, want at most 60",
		"a short has 60 lines, and no exception is needed any more",
	}, want[3:]...)
	if !slices.Equal(got, want) {
		t.Errorf("problems with exceptions = %q, want %q", got, want)
	}
}

// house is what the sources of a module consist of.
type house struct {
	positions *token.FileSet
	methods   map[string]int  // of types outside of tests, as folder.Type
	lines     map[string]int  // of functions outside of tests, as folder name
	reads     map[string]int  // of flags by name, by function
	variables map[string]bool // of packages, as folder.name
	assigned  []assignment    // by tests
}

// assignment is one to a name that no function declares.
type assignment struct {
	folder, name string
	foreign      bool // of another package
	at           token.Position
}

func newHouse() *house {
	return &house{positions: token.NewFileSet(), methods: map[string]int{}, lines: map[string]int{}, reads: map[string]int{}, variables: map[string]bool{}}
}

// addFile adds a source file, by its name in the module. src is as in parser.ParseFile.
func (h *house) addFile(name, file string, src any) error {
	parsed, err := parser.ParseFile(h.positions, file, src, 0)
	if err != nil {
		return err
	}
	folder := path.Dir(name)
	if strings.HasSuffix(name, "_test.go") {
		h.addTest(folder, parsed)
		return nil
	}
	for _, d := range parsed.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			h.addFunction(folder, d)
		case *ast.GenDecl:
			h.addVariables(folder, d)
		}
	}
	return nil
}

func (h *house) addFunction(folder string, d *ast.FuncDecl) {
	name := folder + " " + d.Name.Name
	if d.Recv != nil {
		h.methods[folder+"."+receiverType(d)]++
	}
	if lines := h.positions.Position(d.End()).Line - h.positions.Position(d.Pos()).Line + 1; lines > h.lines[name] {
		h.lines[name] = lines
	}
	ast.Inspect(d, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && readsFlag(call) {
			h.reads[name]++
		}
		return true
	})
}

func receiverType(d *ast.FuncDecl) string {
	of := d.Recv.List[0].Type
	for {
		switch t := of.(type) {
		case *ast.StarExpr:
			of = t.X
		case *ast.IndexExpr:
			of = t.X
		case *ast.IndexListExpr:
			of = t.X
		case *ast.Ident:
			return t.Name
		default:
			return fmt.Sprintf("%T", of)
		}
	}
}

// readsFlag reports whether a call is one of a method of a *cli.Context other than those about
// arguments, and c.Set.
func readsFlag(call *ast.CallExpr) bool {
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || len(call.Args) == 0 || f.Sel.Name == "Set" {
		return false
	}
	on, ok := f.X.(*ast.Ident)
	if !ok || on.Obj == nil { //nolint:staticcheck // scopes are enough, types would have to be computed
		return false
	}
	field, ok := on.Obj.Decl.(*ast.Field) //nolint:staticcheck // as above
	if !ok {
		return false
	}
	pointer, ok := field.Type.(*ast.StarExpr)
	if !ok {
		return false
	}
	of, ok := pointer.X.(*ast.SelectorExpr)
	if !ok || of.Sel.Name != "Context" {
		return false
	}
	from, ok := of.X.(*ast.Ident)
	return ok && from.Name == "cli"
}

func (h *house) addVariables(folder string, d *ast.GenDecl) {
	if d.Tok != token.VAR {
		return
	}
	for _, s := range d.Specs {
		for _, name := range s.(*ast.ValueSpec).Names {
			h.variables[folder+"."+name.Name] = true
		}
	}
}

// addTest notes the assignments to what no function of the file declares.
func (h *house) addTest(folder string, file *ast.File) {
	imported := map[string]bool{}
	for _, i := range file.Imports {
		if i.Name != nil {
			imported[i.Name.Name] = true
		} else if name, err := strconv.Unquote(i.Path.Value); err == nil {
			imported[path.Base(name)] = true
		}
	}
	note := func(target ast.Expr) {
		root, selected := rootOf(target)
		if root == nil || root.Name == "_" || root.Obj != nil { //nolint:staticcheck // as above
			return
		}
		a := assignment{folder: folder, name: root.Name, at: h.positions.Position(root.Pos())}
		if a.foreign = imported[root.Name] && selected != ""; a.foreign {
			a.name += "." + selected
		}
		h.assigned = append(h.assigned, a)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for _, target := range n.Lhs {
				note(target)
			}
		case *ast.IncDecStmt:
			note(n.X)
		}
		return true
	})
}

// rootOf is the name that an assignment changes, or a part of it; selected is the name behind its first
// dot.
func rootOf(target ast.Expr) (root *ast.Ident, selected string) {
	for {
		switch t := target.(type) {
		case *ast.Ident:
			return t, selected
		case *ast.SelectorExpr:
			target, selected = t.X, t.Sel.Name
		case *ast.IndexExpr:
			target, selected = t.X, ""
		case *ast.StarExpr:
			target = t.X
		case *ast.ParenExpr:
			target = t.X
		default:
			return nil, ""
		}
	}
}

// problems are what is too large, and exceptions that are not needed, in a fixed order.
func (h *house) problems(largeTypes, longFunctions, flagReads map[string]int) (list []string) {
	list = slices.Concat(
		exceeding(h.methods, maxMethods, largeTypes, "methods"),
		exceeding(h.lines, maxLines, longFunctions, "lines"),
		exceeding(h.reads, 0, flagReads, "reads of flags by name"))
	for _, a := range h.assigned {
		if a.foreign || h.variables[a.folder+"."+a.name] {
			list = append(list, fmt.Sprintf("%s:%d: a test assigns the variable %s", a.at.Filename, a.at.Line, a.name))
		}
	}
	return list
}

// exceeding are the counts above a limit, or above that of an exception, and the exceptions of others.
func exceeding(counts map[string]int, limit int, exceptions map[string]int, what string) (list []string) {
	names := maps.Clone(counts)
	maps.Copy(names, exceptions)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		n := counts[name]
		allowed, excepted := exceptions[name]
		switch {
		case excepted && n <= limit:
			list = append(list, fmt.Sprintf("%s has %d %s, and no exception is needed any more", name, n, what))
		case n > max(limit, allowed):
			list = append(list, fmt.Sprintf("%s has %d %s, want at most %d", name, n, what, max(limit, allowed)))
		}
	}
	return list
}
