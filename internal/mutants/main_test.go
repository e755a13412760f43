package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// testModule is the module that TestStatuses mutates. Its test guards Add, and nothing else.
var testModule = map[string]string{
	"go.mod": "module small\n\ngo 1.26\n",
	"add/add.go": `package add

func Add(a, b int) int { return a + b }

func Sub(a, b int) int { return a - b }
`,
	"add/add_test.go": `package add

import "testing"

func TestAdd(t *testing.T) {
	t.Run("small", func(t *testing.T) {
		if got := Add(1, 2); got != 3 {
			t.Errorf("Add(1, 2) = %d, want 3", got)
		}
	})
}
`,
}

// diffOf makes the diff that replaces one line of add.go.
func diffOf(old, replacement string) string {
	return "--- a/add/add.go\n+++ b/add/add.go\n@@ -2,4 +2,4 @@\n \n-" + old + "\n+" + replacement + "\n \n func Sub(a, b int) int { return a - b }\n"
}

// TestStatuses: a mutant is killed when a test fails, and by nothing else.
func TestStatuses(t *testing.T) {
	l := runner{root: t.TempDir(), scratch: t.TempDir(), timeout: 5 * time.Second, parts: 1}
	for name, text := range testModule {
		path := filepath.Join(l.root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var list []mutant
	const add = "func Add(a, b int) int { return a + b }"
	cases := []struct {
		name string
		now  string // takes the place of Add
		run  string
		want status
		by   string
	}{
		{"wrong sum", "func Add(a, b int) int { return a - b }", "TestAdd", killed, "add TestAdd/small"},
		{"panic", `func Add(a, b int) int { panic("gone") }`, "TestAdd", killed, "add TestAdd/small"},
		{"equivalent", "func Add(a, b int) int { return b + a }", "TestAdd", survived, "-"},
		{"no such test", "func Add(a, b int) int { return a - b }", "TestNoSuch", survived, "-"},
		{"hangs", "func Add(a, b int) int { for { } }", "TestAdd", timedOut, "-"},
		{"does not compile", "func Add(a, b int) int { return a + c }", "TestAdd", notBuilt, "-"},
		{"does not apply", "", "TestAdd", stale, "-"},
	}
	for _, c := range cases {
		m := mutant{name: c.name, diff: diffOf(add, c.now), files: []string{"add/add.go"}, pkg: "add", run: c.run}
		if c.now == "" {
			m.diff = diffOf("func Mul(a, b int) int { return a * b }", "")
		}
		list = append(list, m)
	}
	if err := l.checkBaseline(t.Context(), list); err != nil {
		t.Fatalf("checkBaseline() = %v, want no error", err)
	}
	results := l.runAll(t.Context(), list, 2)
	for i, c := range cases {
		if r := results[i]; r.status != c.want || killers("add", r.failed) != c.by {
			t.Errorf("%s, tests %s: %s by %s, want %s by %s\n%s", list[i].name, c.run, r.status, killers("add", r.failed), c.want, c.by, r.output)
		}
	}
	var out strings.Builder
	if got, want := printResults(&out, list, results), len(cases)-2; got != want || !strings.Contains(out.String(), "STALE") {
		t.Errorf("printResults() = %d not killed, want %d:\n%s", got, want, out.String())
	}
	l.scratch, l.part, l.parts = t.TempDir(), 2, 3
	results = l.runAll(t.Context(), list, 2)
	for i, want := range []status{built, built, survived, built, built, notBuilt, stale} {
		if r := results[i]; r.status != want {
			t.Errorf("one in three, %s: %s, want %s\n%s", list[i].name, r.status, want, r.output)
		}
	}
	text, err := os.ReadFile(filepath.Join(l.root, "add", "add.go"))
	if err != nil || string(text) != testModule["add/add.go"] {
		t.Errorf("the file was touched: %v\n%s", err, text)
	}
}

// TestBaseline: a test that fails without a mutant is an error.
func TestBaseline(t *testing.T) {
	l := runner{root: t.TempDir(), scratch: t.TempDir(), timeout: time.Minute}
	for name, text := range testModule {
		path := filepath.Join(l.root, filepath.Base(name))
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "got != 3", "got != 4")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	err := l.checkBaseline(t.Context(), []mutant{{pkg: ".", run: "TestAdd"}})
	if err == nil || !strings.Contains(err.Error(), "TestAdd") {
		t.Errorf("checkBaseline() = %v, want that TestAdd does not pass", err)
	}
}
