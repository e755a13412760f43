package sinks

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestCheckDir: a lake that lost _meta is a lake by all other names that it may hold.
func TestCheckDir(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	for _, name := range []string{dataDir, ledgerDir, compactDir, MergesDir, "_iceberg", "_state"} {
		if err := os.Mkdir(filepath.Join(path, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := CheckDir(path); err != nil {
		t.Errorf("CheckDir of a lake without %s: %v", metaDir, err)
	}
	if err := os.Mkdir(filepath.Join(path, "photos"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := CheckDir(path); !errors.As(err, new(*NotLakeError)) {
		t.Errorf("CheckDir of a folder of photos: %v", err)
	}
}
