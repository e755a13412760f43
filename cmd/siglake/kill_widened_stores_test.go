package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/bucket"
	"github.com/siglake/siglake/internal/bucket/buckettest"
	"github.com/siglake/siglake/internal/wal"
)

// lakeStore is where a lake of the loop lies.
type lakeStore interface {
	// uri names the n-th lake of a seed; flags reach it.
	uri(n int) string
	flags() []string
	// local makes a copy in a directory, or returns the lake itself.
	local(t *testing.T, uri string) string
	// mendJournal makes unreadable answers in the journal readable.
	mendJournal(t *testing.T, uri string)
	remove(t *testing.T, uri string)
}

// dirStore keeps lakes in a directory.
type dirStore struct{ dir string }

func (s *dirStore) uri(n int) string                      { return filepath.Join(s.dir, fmt.Sprint("lake", n)) }
func (s *dirStore) flags() []string                       { return nil }
func (s *dirStore) local(_ *testing.T, uri string) string { return uri }

func (s *dirStore) mendJournal(t *testing.T, uri string) {
	t.Helper()
	mendLog(t, filepath.Join(uri, app.StateDir, "journal"))
}

func (s *dirStore) remove(t *testing.T, uri string) {
	t.Helper()
	if err := os.RemoveAll(uri); err != nil {
		t.Fatal(err)
	}
}

// mendLog makes the unreadable answers in a local journal readable, if there are any.
func mendLog(t *testing.T, dir string) {
	t.Helper()
	if _, err := os.Stat(dir); err == nil {
		makeReadable(t, dir)
	}
}

// bucketStore keeps lakes in a bucket, and their journals there or in a directory.
type bucketStore struct {
	store  *buckettest.Store
	access []string
	prefix string
	state  string // directory of the journal; empty: the bucket
}

func (s *bucketStore) uri(n int) string { return s.store.URI(fmt.Sprintf("%s/%d", s.prefix, n)) }

func (s *bucketStore) flags() []string {
	if s.state == "" {
		return s.access
	}
	return append(slices.Clone(s.access), "--state", s.state)
}

func (s *bucketStore) local(t *testing.T, uri string) string {
	t.Helper()
	dir := downloadLake(t, s.store, uri)
	if s.state == "" {
		return dir
	}
	journal := filepath.Join(dir, app.StateDir, "journal")
	if err := os.RemoveAll(journal); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(s.state, "journal")); err == nil {
		if err := os.CopyFS(journal, os.DirFS(filepath.Join(s.state, "journal"))); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func (s *bucketStore) mendJournal(t *testing.T, uri string) {
	t.Helper()
	if s.state != "" {
		mendLog(t, filepath.Join(s.state, "journal"))
		return
	}
	b := openTestBucket(t, s.store, uri)
	open := func() *wal.Log {
		log, err := wal.Open(t.Context(), wal.NewObjects(b, app.StateDir+"/journal/", wal.ObjectsOptions{}), wal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return log
	}
	from := open()
	records, _ := readableRecords(t, from)
	if err := from.Close(); err != nil {
		t.Fatal(err)
	}
	s.removeBelow(t, b, app.StateDir+"/journal/")
	writeRecords(t, open(), records)
}

func (s *bucketStore) remove(t *testing.T, uri string) {
	t.Helper()
	s.removeBelow(t, openTestBucket(t, s.store, uri), "")
}

func (s *bucketStore) removeBelow(t *testing.T, b *bucket.Bucket, prefix string) {
	t.Helper()
	for o, err := range b.List(t.Context(), prefix) {
		if err == nil {
			err = b.Delete(t.Context(), o.Name)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
