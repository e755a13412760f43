package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/simulator"
)

// TestRebuildNewerSchema: an earlier version wrote a lake without a column that this
// version knows. rebuild adds the column from the same paid answers, for nothing;
// until then the lake verifies as it is.
func TestRebuildNewerSchema(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	list := filepath.Join(t.TempDir(), "list.txt")
	if err := os.WriteFile(list, []byte(domainLines(60)), 0o600); err != nil {
		t.Fatal(err)
	}
	older := olderProgram(t, `		{Name: "article_url", Type: String, Doc: "Address of the article", From: []string{"articleUrl"}, Rare: true},
`)
	cmd := exec.Command(older, slices.Concat([]string{"run", list, "--lake", r.lake, "--base-url", r.server.URL, "--plan", "unlimited", "--rate", "0", "--signals", "news", "--quiet"})...)
	cmd.Env = append(os.Environ(), envFor(t).pairs()...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the earlier version: %v\n%s", err, out)
	}
	before := r.sim.Bill()
	column := func(lake string) (rows, filled int) {
		at := &rig{t: t, lake: lake}
		at.manifest = at.readManifest()
		for _, row := range at.events() {
			rows++
			if url, ok := row["article_url"].(string); ok && url != "" {
				filled++
			}
		}
		return rows, filled
	}
	rows, filled := column(r.lake)
	if rows == 0 || filled != 0 {
		t.Fatalf("the earlier version wrote %d rows, %d with the column; want some, none", rows, filled)
	}
	if out := r.mustExit(exitComplete, "verify"); !strings.Contains(out, "holds") {
		t.Errorf("verify of the earlier version's lake:\n%s", out)
	}
	again := filepath.Join(t.TempDir(), "again")
	r.mustExit(exitComplete, "rebuild", "--into", again)
	if n, full := column(again); n != rows || full == 0 {
		t.Errorf("made again: %d rows, %d with the column; want %d, most", n, full, rows)
	}
	if now := r.sim.Bill(); now.Requests != before.Requests {
		t.Errorf("making it again made %d requests", now.Requests-before.Requests)
	}
	r.lake = again
	r.mustExit(exitComplete, "verify")
}

// olderProgram builds the program without a line of its tables, as a version
// before.
func olderProgram(t *testing.T, line string) string {
	t.Helper()
	tables, err := filepath.Abs("../../schema/tables.go")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(tables)
	if err != nil {
		t.Fatal(err)
	}
	const version = "const version = 2"
	if strings.Count(string(text), line) != 1 || !strings.Contains(string(text), version) {
		t.Fatalf("the tables do not have the line once: %s", line)
	}
	dir := t.TempDir()
	changed := filepath.Join(dir, "tables.go")
	old := strings.ReplaceAll(strings.Replace(string(text), line, "", 1), version, "const version = 1")
	if err := os.WriteFile(changed, []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {tables: changed}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "siglake")
	if out, err := exec.Command("go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}
