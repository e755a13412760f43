package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// small is the module that TestVerdicts weakens. Its test guards Add, and nothing else.
var small = map[string]string{
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

// TestVerdicts: a weakness is caught when a test fails, and by nothing else.
func TestVerdicts(t *testing.T) {
	l := lab{root: t.TempDir(), scratch: t.TempDir(), patience: 5 * time.Second}
	for name, text := range small {
		path := filepath.Join(l.root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var list []weakness
	cases := []struct {
		old, new string
		run      string
		want     verdict
		by       string
	}{
		{"a + b", "a - b", "TestAdd", caught, "add TestAdd/small"},
		{"{ return a + b }", `{ panic("gone") }`, "TestAdd", caught, "add TestAdd/small"},
		{"a - b", "a * b", "TestAdd", missed, "-"},
		{"a + b", "a - b", "TestNoSuch", missed, "-"},
		{"{ return a + b }", "{ for { } }", "TestAdd", hung, "-"},
		{"a + b", "a + c", "TestAdd", broken, "-"},
		{"return", "return 1 +", "TestAdd", rotten, "-"},
		{"a / b", "a + b", "TestAdd", rotten, "-"},
	}
	for _, c := range cases {
		list = append(list, weakness{name: c.old + " to " + c.new, file: "add/add.go", old: c.old, new: c.new, pkg: "add", run: c.run})
	}
	if err := l.strong(t.Context(), list); err != nil {
		t.Fatalf("strong() = %v, want no error", err)
	}
	results := l.all(t.Context(), list, 2)
	for i, c := range cases {
		if r := results[i]; r.verdict != c.want || by("add", r.by) != c.by {
			t.Errorf("%s, tests %s: %s by %s, want %s by %s\n%s", list[i].name, c.run, r.verdict, by("add", r.by), c.want, c.by, r.output)
		}
	}
	var out strings.Builder
	if got, want := report(&out, list, results), len(cases)-2; got != want || !strings.Contains(out.String(), "ROTTEN") {
		t.Errorf("report() = %d not caught, want %d:\n%s", got, want, out.String())
	}
	text, err := os.ReadFile(filepath.Join(l.root, "add", "add.go"))
	if err != nil || string(text) != small["add/add.go"] {
		t.Errorf("the file was touched: %v\n%s", err, text)
	}
}

// TestStrong: tests that fail anyway are not relied on.
func TestStrong(t *testing.T) {
	l := lab{root: t.TempDir(), scratch: t.TempDir(), patience: time.Minute}
	for name, text := range small {
		path := filepath.Join(l.root, filepath.Base(name))
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "got != 3", "got != 4")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	err := l.strong(t.Context(), []weakness{{file: "add.go", pkg: ".", run: "TestAdd"}})
	if err == nil || !strings.Contains(err.Error(), "TestAdd") {
		t.Errorf("strong() = %v, want that TestAdd does not pass", err)
	}
}
