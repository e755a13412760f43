package main

import (
	"fmt"
	"path/filepath"
	"testing"
)

// TestListApplies: every mutant of the list is complete and applies to the sources
// as they are. Whether the tests kill it is for make mutants.
func TestListApplies(t *testing.T) {
	root, err := moduleRoot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	list, err := readMutants("list")
	if err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 {
		t.Fatal("the list is empty")
	}
	r := runner{root: root}
	scratch := t.TempDir()
	for i := range list {
		if _, err := r.writeOverlay(t.Context(), filepath.Join(scratch, fmt.Sprint(i)), &list[i]); err != nil {
			t.Errorf("list/%s: %v", list[i].path, err)
		}
	}
}

// TestParseMutant: a mutant that lacks a part is an error.
func TestParseMutant(t *testing.T) {
	const diff = "\n--- a/x.go\n+++ b/x.go\n@@ -1 +1 @@\n-a\n+b\n"
	good := "Costs money.\n\nmutation: x\ntests: pkg TestX\n" + diff
	m, err := parseMutant("x.diff", good)
	if err != nil || m.consequence != "Costs money." || m.name != "x" || m.pkg != "pkg" || m.run != "TestX" || len(m.files) != 1 || m.files[0] != "x.go" {
		t.Errorf("parseMutant(%q) = %+v, %v", good, m, err)
	}
	for _, bad := range []string{
		"",
		"Costs money.\n\nmutation: x\ntests: pkg TestX\n",
		"Costs money.\n\ntests: pkg TestX\n" + diff,
		"Costs money.\n\nmutation: x\n" + diff,
		"Costs money.\n\nmutation: x\ntests: pkg\n" + diff,
		"Costs money.\n\nmutation: x\ntests: pkg Test(\n" + diff,
	} {
		if m, err := parseMutant("x.diff", bad); err == nil {
			t.Errorf("parseMutant(%q) = %+v, want an error", bad, m)
		}
	}
}
