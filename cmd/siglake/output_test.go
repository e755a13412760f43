package main

import (
	"bytes"
	"context"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/urfave/cli/v2"
)

// fullDisk is a file on a full disk.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) {
	return 0, &fs.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.ENOSPC}
}

// TestFullOutput: every command notices that what it prints could not be written, says so once, and does not
// promise to continue what cannot be continued.
func TestFullOutput(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	list, lake := writeList(t, "output", 5), filepath.Join(dir, "lake")
	all := [][]string{
		{"run", list, "--simulate", "--signals", "growth", "--lake", lake}, // the others read the lake
		{"verify", "--lake", lake}, {"status", "--lake", lake}, {"files", "--lake", lake}, {"ddl", "--lake", lake}, {"export", "--lake", lake, "--format", "csv", "--output", "-"},
		{"schema", "docs"}, {"schema", "docs", "--format", "json"}, {"check", list}, {"signals"}, {"help", "sql"}, {"version"}, {"--version"}, {"examples"},
	}
	everyCommand(func(_ *cli.Command, path string) { all = append(all, append(strings.Fields(path), "--help")) })
	for _, words := range all {
		var stderr bytes.Buffer
		code := envFor(t).execute(context.Background(), append([]string{"siglake"}, words...), strings.NewReader(""), fullDisk{}, &stderr)
		text := stderr.String()
		if code != exitStorage || strings.Count(text, syscall.ENOSPC.Error()) != 1 || strings.Contains(text, "continues") != (words[0] == "run" && len(words) > 2) {
			t.Errorf("%q: exit code %d, want %d, and why, once: %s", words, code, exitStorage, text)
		}
	}
}
