package manual_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/cmd/siglake/manual"
)

// TestPages: every file is a page, says what it is about, and fits a terminal
// but for its blocks of code.
func TestPages(t *testing.T) {
	files, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	pages := manual.Pages()
	if len(pages) != len(files) {
		t.Errorf("%d pages, %d files", len(pages), len(files))
	}
	for _, p := range pages {
		if p.Summary == "" || !strings.HasPrefix(p.Text, "# "+p.Topic+": ") {
			t.Errorf("%s: want a title %q and a summary", p.Topic, "# "+p.Topic+": …")
		}
		for _, line := range strings.Split(manual.Render(p.Text, 80, manual.Style{}), "\n") {
			if utf8.RuneCountInString(line) > 80 && !strings.HasPrefix(line, "    ") && strings.Contains(line, " ") && !strings.Contains(line, "read_parquet") {
				t.Errorf("%s: longer than a line: %q", p.Topic, line)
			}
		}
	}
	if _, ok := manual.Lookup("../main"); ok {
		t.Error("Lookup of a path that is no topic")
	}
}

// TestFewBlocksDoNotRun: a block that cannot be executed is the exception.
func TestFewBlocksDoNotRun(t *testing.T) {
	blocks := map[string]int{}
	for _, p := range manual.Pages() {
		for _, part := range strings.Split("\n"+p.Text, "\n```")[1:] {
			if kind, _, _ := strings.Cut(part, "\n"); kind != "" {
				blocks[kind]++
			}
		}
	}
	if blocks["text"] > 8 || blocks["console"] < 20 || blocks["sql"] < 5 || len(blocks) != 3 {
		t.Errorf("blocks by kind: %v, want at most eight of text, and no other kinds than text, console and sql", blocks)
	}
}

func TestRender(t *testing.T) {
	marks := manual.Style{Strong: func(s string) string { return "<" + s + ">" }, Code: func(s string) string { return "{" + s + "}" }}
	for _, c := range []struct {
		name, text, want string
		width            int
		style            manual.Style
	}{
		{"heading and paragraph", "# lists: the input\n\nOne `word` and\n**another one**, [linked](x.md).\n", "<lists: the input>\n\nOne {word} and <another>\n<one>, linked.\n", 20, marks},
		{"marks take no room", "a `b` c", "a {b} c\n", 5, marks},
		{"list", "- one two three\n- four\n  five", "- one two\n  three\n- four five\n", 11, manual.Style{}},
		{"code", "```console\n$ x\n\ny  z\n```\n\nend", "    $ x\n\n    y  z\n\nend\n", 80, manual.Style{}},
		{"table", "| a | long head |\n|---|---|\n| `x` | one two three four five |\n", "a  long head\nx  one two three\n   four five\n", 16, manual.Style{}},
	} {
		if diff := cmp.Diff(c.want, manual.Render(c.text, c.width, c.style)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// TestReadmeIsOnePage: what a newcomer reads in five minutes.
func TestReadmeIsOnePage(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("..", "..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(strings.Fields(string(raw))); n > 1100 {
		t.Errorf("README.md has %d words, want at most 1100: what is more belongs into a manual page", n)
	}
	for _, p := range manual.Pages() {
		if !strings.Contains(string(raw), "cmd/siglake/manual/"+p.Topic+".md") {
			t.Errorf("README.md does not name the page %s", p.Topic)
		}
	}
}
