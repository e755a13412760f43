package proof

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// packageList is a variable of the Makefile that lists packages.
func packageList(t *testing.T, name string) []string {
	t.Helper()
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile(`(?m)^` + name + ` *:= ((?:.*\\\n)*.*)$`).FindStringSubmatch(string(makefile))
	if match == nil {
		t.Fatalf("the Makefile has no %s", name)
	}
	return strings.Fields(strings.ReplaceAll(match[1], "\\\n", " "))
}

// gitGrep returns the files of the module with a line that matches.
func gitGrep(t *testing.T, pattern, files string) []string {
	t.Helper()
	out, err := exec.Command("git", "-C", "../..", "grep", "--untracked", "-l", pattern, "--", files).Output()
	if err != nil {
		t.Fatalf("git grep %s: %v", pattern, err)
	}
	return strings.Fields(string(out))
}

// TestMainIsComplete: the tests that Main leaves out under the race detector exist, and make test
// runs their packages without the detector.
func TestMainIsComplete(t *testing.T) {
	t.Parallel()
	race, whole := packageList(t, "RACE"), packageList(t, "WHOLE")
	for _, file := range gitGrep(t, "proof.Main(m", "*_test.go") {
		dir := path.Dir(file)
		if dir == "internal/proof" {
			continue
		}
		for name, list := range map[string][]string{"RACE": race, "WHOLE": whole} {
			if !slices.Contains(list, "./"+dir) {
				t.Errorf("%s leaves tests out, but %s in the Makefile lacks ./%s", file, name, dir)
			}
		}
		text, err := os.ReadFile("../../" + file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`"(Test\w+)"`).FindAllStringSubmatch(string(text), -1) {
			if exec.Command("git", "-C", "../..", "grep", "--untracked", "-q", "^func "+name[1]+"(", "--", dir+"/*_test.go").Run() != nil {
				t.Errorf("%s leaves out %s, which is not a test", file, name[1])
			}
		}
	}
}

// TestEveryPackageIsTested: make test runs every package with tests, and under the race detector
// those that start goroutines.
func TestEveryPackageIsTested(t *testing.T) {
	t.Parallel()
	race, whole := packageList(t, "RACE"), packageList(t, "WHOLE")
	var others []string // modules of their own
	for _, file := range gitGrep(t, "^module ", "**/go.mod") {
		others = append(others, path.Dir(file)+"/")
	}
	seen := map[string]bool{}
	for _, file := range gitGrep(t, "^func [TFE][a-z]*[A-Z]", "*_test.go") {
		dir := path.Dir(file)
		if seen[dir] || slices.ContainsFunc(others, func(o string) bool { return strings.HasPrefix(dir+"/", o) }) {
			continue
		}
		seen[dir] = true
		switch {
		case slices.Contains(race, "./"+dir):
		case !slices.Contains(whole, "./"+dir):
			t.Errorf("neither RACE nor WHOLE in the Makefile has ./%s", dir)
		default:
			if place := findGoroutine(t, "../../"+dir); place != "" {
				t.Errorf("%s starts a goroutine, but RACE in the Makefile lacks ./%s", place, dir)
			}
		}
	}
	for _, name := range slices.Concat(race, whole) {
		if !seen[strings.TrimPrefix(name, "./")] {
			t.Errorf("%s is listed in the Makefile, but has no tests", name)
		}
	}
}

// findGoroutine returns the first place in a folder's files that starts a goroutine: a go statement,
// or a method named Go, as groups have.
func findGoroutine(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(dir + "/*.go")
	if err != nil {
		t.Fatal(err)
	}
	place, positions := "", token.NewFileSet()
	for _, name := range files {
		file, err := parser.ParseFile(positions, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				place = positions.Position(n.Pos()).String()
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Go" {
					place = positions.Position(n.Pos()).String()
				}
			}
			return place == ""
		})
		if place != "" {
			return place
		}
	}
	return ""
}

// TestFindGoroutine: it finds those of the simulator's tests, and none in this package.
func TestFindGoroutine(t *testing.T) {
	t.Parallel()
	if findGoroutine(t, "../simulator") == "" {
		t.Error("the simulator's tests start goroutines, and none is found")
	}
	if place := findGoroutine(t, "."); place != "" {
		t.Errorf("%s: want no goroutine", place)
	}
}
