package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestList: the list has not rotted. What the tests make of it is tried by
// make weakened.
func TestList(t *testing.T) {
	root, err := moduleRoot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, w := range weaknesses {
		if w.name == "" || w.harm == "" || w.pkg == "" || w.run == "" || names[w.name] {
			t.Errorf("weakness %q: something is missing, or another one bears its name", w.name)
		}
		names[w.name] = true
		source, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(w.file)))
		if err != nil {
			t.Error(err)
			continue
		}
		if weakened, err := w.apply(string(source)); err != nil || weakened == string(source) {
			t.Errorf("weakness %q changes nothing, or cannot: %v", w.name, err)
		}
		if _, err := regexp.Compile(w.run); err != nil {
			t.Errorf("weakness %q: %v", w.name, err)
		}
	}
}
