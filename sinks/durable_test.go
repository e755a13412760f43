package sinks

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/proof"
)

// nameTracker knows which directories have entries that a power cut may take. It
// outlives the processes that made them.
type nameTracker struct {
	t        *testing.T
	lake     string
	unsynced map[string]bool // relative to the lake
}

// track does one operation and complains when something becomes visible before
// what it depends on is sure to stay.
func (n *nameTracker) track(op, path string, do func() error) error {
	name, err := filepath.Rel(n.lake, path)
	if err != nil {
		n.t.Fatal(err)
	}
	var created []string // with the operation, if it succeeds
	switch op {
	case "mkdir":
		for p := name; p != "."; p = filepath.Dir(p) {
			if _, err := os.Stat(filepath.Join(n.lake, p)); errors.Is(err, os.ErrNotExist) {
				created = append(created, p)
			}
		}
	case "rename", "link":
		created = []string{name}
		if filepath.Dir(name) == manifestDir {
			n.expectClean("a manifest appears", dataDir, ledgerDir, compactDir, snapshotDir)
		}
		if name == currentFile {
			n.expectClean("a manifest is made the current one", dataDir, ledgerDir, compactDir, snapshotDir, manifestDir)
		}
	}
	if err := do(); err != nil {
		return err
	}
	for _, m := range created {
		n.unsynced[filepath.Dir(m)] = true
	}
	if op == "syncdir" {
		delete(n.unsynced, name)
	}
	return nil
}

func (n *nameTracker) expectClean(when string, trees ...string) {
	n.t.Helper()
	for _, dir := range slices.Sorted(maps.Keys(n.unsynced)) {
		if slices.ContainsFunc(trees, func(tree string) bool { return strings.HasPrefix(dir+"/", tree+"/") }) {
			n.t.Errorf("%s, and the names in %s are not durable", when, dir)
		}
	}
}

// TestNamesDurable: whatever happened to the process before, a name is durable
// before something visible relies on it.
func TestNamesDurable(t *testing.T) {
	t.Parallel()
	dead := errors.New("the process is dead")
	first, n := 0, 0 // the operation with which publication begins
	_, err := smallRun(t.Context(), t, filepath.Join(t.TempDir(), "lake"), "r", func(op, path string, do func() error) error {
		if n++; first == 0 && op == "mkdir" && strings.Contains(path, "/"+dataDir+"/") {
			first = n
		}
		return do()
	})
	if err != nil || first == 0 {
		t.Fatalf("smallRun() = %v, publishing from operation %d, want no error", err, first)
	}
	for way, fail := range map[string]func(n, at int, do func() error) error{
		"done, but failed": func(n, at int, do func() error) error {
			err := do()
			if n == at && err == nil {
				return dead
			}
			return err
		},
		"died": func(n, at int, do func() error) error {
			if n >= at {
				return dead
			}
			return do()
		},
	} {
		t.Run(way, func(t *testing.T) {
			for at := first; ; at += proof.Size(11, 1, 1) {
				tracker := &nameTracker{t: t, lake: filepath.Join(t.TempDir(), "lake"), unsynced: map[string]bool{}}
				n := 0
				var failed string
				_, _ = smallRun(t.Context(), t, tracker.lake, "r", func(op, path string, do func() error) error {
					if n++; n == at {
						failed = op + " " + path
					}
					return fail(n, at, func() error { return tracker.track(op, path, do) })
				})
				if n < at {
					return
				}
				if _, err := smallRun(t.Context(), t, tracker.lake, "r", tracker.track); err != nil {
					t.Fatalf("after operation %d: %v", at, err)
				}
				tracker.expectClean("the run is published", dataDir, ledgerDir, metaDir)
				if t.Failed() {
					t.Fatalf("operation %d was %s", at, failed)
				}
			}
		})
	}
}
