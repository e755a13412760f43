package sources

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFolderOfOtherFiles: text next to tables is no list of names, and files that Office and desktops leave are no lists at
// all. A part of a list of one column, which looks like text, is read.
func TestFolderOfOtherFiles(t *testing.T) {
	t.Parallel()
	write := func(files map[string]string) string {
		dir := t.TempDir()
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return dir + "/"
	}
	dir := write(map[string]string{
		"LICENSE": "MIT License\n\nCopyright (c) 2026 Nordwind\n", "a.csv": "company,website\nNordwind,nordwind-test.com\n",
		"notes.txt": "call Jim\nask Bo about pricing\n", "ids.csv": "10001\n10002\n", "~$a.xlsx": "\x03Ada" + strings.Repeat(" \x00", 80),
		"Thumbs.db": "thumbs\n", "desktop.ini": "Nordwind\n", "domains.txt": "suedstern-test.com\n",
	})
	got, in := readList(t, dir, Options{}, dir)
	if lines := strings.Join(got, " "); lines != "a.csv:2 nordwind-test.comNordwind domains.txt:1 suedstern-test.com" {
		t.Errorf("lines %s, want those of a.csv and domains.txt", lines)
	}
	if notes := strings.Join(in.Notes, "\n"); !strings.Contains(notes, "LICENSE and 1 more: skipped, because it has one column and no header, unlike other files") || strings.Contains(notes, "~$") {
		t.Errorf("notes %s, want one about LICENSE and notes.txt", notes)
	}
	if _, err := Open(t.Context(), dir, Options{StrictFiles: true}); err == nil || !strings.Contains(err.Error(), "ids.csv:1: the lines are numbers") {
		t.Errorf("Open with StrictFiles = %v, want an error about ids.csv", err)
	}
	if err := os.Remove(filepath.Join(dir, "ids.csv")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), dir, Options{StrictFiles: true}); err == nil || !strings.Contains(err.Error(), "LICENSE: has one column") {
		t.Errorf("Open with StrictFiles = %v, want an error about LICENSE", err)
	}
	if _, err := Open(t.Context(), dir+"~$a.xlsx", Options{}); err == nil || !strings.Contains(err.Error(), "Office") {
		t.Errorf("Open of a lock file = %v, want an error about it", err)
	}
	numbers := write(map[string]string{"part-0": "Lusha ID\n10001\n", "part-1": "10002\n"})
	if _, err := Open(t.Context(), numbers, Options{}); err == nil || !strings.Contains(err.Error(), "part-1:1: the lines are numbers") {
		t.Errorf("Open of a part that may be ids = %v, want an error: its lines may not be lost", err)
	}
	parts := write(map[string]string{"part-0": "company\nNordwind\n", "part-1": "Suedstern\n"})
	if got, _ := readList(t, parts, Options{}, parts); strings.Join(got, " ") != "part-0:2 Nordwind part-1:1 Suedstern" {
		t.Errorf("lines %v, want those of both parts", got)
	}
}
