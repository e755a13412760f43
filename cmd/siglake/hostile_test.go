package main

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/simulator"
)

// TestHostileTextsEndToEnd: neither the cells and the name of a list, nor the names of
// flags, nor what the API answers, reach a terminal or a log as they are.
func TestHostileTextsEndToEnd(t *testing.T) {
	t.Parallel()
	const hostile = "ev\x1b]0;pwned\x07il\u202e\u009b31m\x9b\r"
	check := func(what string, texts ...string) {
		t.Helper()
		for _, line := range strings.Split(strings.Join(texts, "\n"), "\n") {
			if line = strings.ReplaceAll(line, "\t", " "); format.Text(line) != line {
				t.Errorf("%s printed %q", what, line)
			}
			if strings.HasPrefix(line, "siglake: forged") {
				t.Errorf("%s let a text begin a line of its own", what)
			}
		}
	}
	r := newRig(t, simulator.Config{})
	folder := filepath.Join(t.TempDir(), hostile)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(folder, "list"+hostile+".csv")
	cells := "domain,name" + hostile + "\n" + strings.ReplaceAll(hostile, "\r", "") + ",x\n\"two\nsiglake: forged\n\",y\n" + simulatorDomain + ",z\n"
	if err := os.WriteFile(list, []byte(cells), 0o600); err != nil {
		t.Fatal(err)
	}
	lake := filepath.Join(folder, "lake")
	shared := []string{"--lake", lake, "--base-url", r.server.URL, "--plan", "unlimited", "--rate", "0"}
	for _, words := range [][]string{
		{"plan", list}, {"run", list}, {"run", list, "--log-format", "json"}, {"run", list, "--refresh", "--log-format", "json"},
		{"run", list + hostile}, {"run", list, "--signals", hostile}, {"run", list, "--" + hostile}, {"run", list, "--log-format", hostile},
	} {
		_, stdout, stderr := runProgram(t, slices.Concat(words, shared)...)
		check(strings.Join(words, " "), stdout, stderr)
		if stdout+stderr == "" {
			t.Errorf("%q printed nothing", words)
		}
	}
	for _, words := range [][]string{{"status"}, {"status", "--json"}, {"verify"}, {"held", "list"}, {"compact"}, {"ddl"}, {"files"}, {"files", "--json"}, {"doctor"}, {"rebuild", "--into", lake + "2"}} {
		_, stdout, stderr := runProgram(t, slices.Concat(words, []string{"--lake", lake})...)
		check(strings.Join(words, " "), stdout, stderr)
	}

	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"statusCode":403,"message":"no\u001b]0;x\u0007\u202e\u009b\nsiglake: forged"}`)
	}))
	defer refusing.Close()
	for _, words := range [][]string{{"usage"}, {"run", list, "--lake", lake + "3"}, {"run", list, "--lake", lake + "4", "--log-format", "json"}, {"doctor"}} {
		code, stdout, stderr := runProgram(t, slices.Concat(words, []string{"--base-url", refusing.URL})...)
		check(strings.Join(words, " "), stdout, stderr)
		if code == exitComplete {
			t.Errorf("%q: exit 0 after a refusal", words)
		}
	}
	envFor(t).set(app.KeyVariable, "key"+hostile)
	_, stdout, stderr := runProgram(t, "usage", "--base-url", r.server.URL)
	check("usage with a hostile key", stdout, stderr)
}

// simulatorDomain is a company that the simulator knows.
const simulatorDomain = "newcomer-11.example"

// TestPrintersUseFormat: commands print through format.Fprintf. The files that are
// excepted print siglake's own texts only.
func TestPrintersUseFormat(t *testing.T) {
	t.Parallel()
	own := []string{"help.go", "man.go", "manbuild.go", "version.go", "completion.go"}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") || slices.Contains(own, name) {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if pkg, ok := s.X.(*ast.Ident); ok && pkg.Name == "fmt" && (strings.HasPrefix(s.Sel.Name, "Fprint") || strings.HasPrefix(s.Sel.Name, "Print")) {
					t.Errorf("%s: fmt.%s: use format.Fprintf", name, s.Sel.Name)
				}
			}
			return true
		})
	}
}

// TestForgedLine: a text of several lines in an error stays one message.
func TestForgedLine(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	code := envFor(t).execute(t.Context(), []string{"siglake", "run", "no\nsiglake: forged\x1b[2J", "--lake", filepath.Join(t.TempDir(), "lake")}, strings.NewReader(""), &stdout, &stderr)
	if code == exitComplete || strings.Contains(stderr.String(), "\nsiglake: forged") || strings.Contains(stderr.String(), "\x1b") {
		t.Errorf("exit %d, %q", code, stderr.String())
	}
}
