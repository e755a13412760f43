// Command vetall checks the types of a module's packages and tests on other
// systems than this one:
//
//	vetall DIR GOOS/GOARCH...
//
// go vet does the same and more, and compiles every dependency for it: minutes for
// each system, where this takes seconds. What else vet finds does not depend on
// the system; make lint looks for it on this one.
package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/tools/go/packages"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: vetall DIR GOOS/GOARCH...")
		os.Exit(2)
	}
	dir, err := filepath.Abs(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	failed := false
	for _, system := range os.Args[2:] {
		count, problems, err := check(dir, system)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		for _, p := range problems {
			fmt.Println(p)
		}
		fmt.Printf("vet %s: %d packages, %d errors\n", system, count, len(problems))
		failed = failed || len(problems) > 0 || count == 0
	}
	if failed {
		os.Exit(1)
	}
}

// check gives the type errors of the module in dir on a system.
func check(dir, system string) (count int, problems []string, err error) {
	goos, arch, _ := strings.Cut(system, "/")
	loaded, err := packages.Load(&packages.Config{
		Dir: dir, Tests: true,
		Env:  append(os.Environ(), "GOOS="+goos, "GOARCH="+arch, "CGO_ENABLED=0"),
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedCompiledGoFiles | packages.NeedImports | packages.NeedDeps | packages.NeedTypes | packages.NeedSyntax | packages.NeedTypesSizes | packages.NeedTypesInfo,
		ParseFile: func(set *token.FileSet, name string, src []byte) (*ast.File, error) {
			file, err := parser.ParseFile(set, name, src, parser.SkipObjectResolution)
			if file != nil && !strings.HasPrefix(name, dir+string(filepath.Separator)) {
				leaveOutBodies(file)
			}
			return file, err
		},
	}, "./...")
	if err != nil {
		return 0, nil, fmt.Errorf("%s: %w", system, err)
	}
	seen := map[string]bool{}
	for _, p := range loaded {
		if strings.HasSuffix(p.ID, ".test") {
			continue // the main package that go test makes
		}
		count++
		for _, e := range p.Errors {
			if text := e.Error(); !seen[text] { // a package and the same with its tests
				seen[text], problems = true, append(problems, text)
			}
		}
	}
	return count, problems, nil
}

// leaveOutBodies keeps of a dependency what others can see of it. Errors in what
// is left, such as imports that are no longer used, are not looked at.
func leaveOutBodies(file *ast.File) {
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok {
			f.Body = nil
		}
	}
}
