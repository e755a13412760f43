package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/simulator"
)

// olderLake holds a lake of 20 companies' news from a build whose schema had version 1, without
// the column article_url of news.
const olderLake = "../../testdata/lake-schema-1"

// TestRebuildNewerSchema: a lake that an earlier version wrote, without a column that this one
// knows, verifies as it is, and is rebuilt with the column from the same paid answers without a
// request.
func TestRebuildNewerSchema(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	(&oldLake{t: t, dir: r.lake}).unpack(olderLake)
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
	rebuilt := filepath.Join(t.TempDir(), "rebuilt")
	r.mustExit(exitComplete, "rebuild", "--into", rebuilt)
	if n, full := column(rebuilt); n != rows || full == 0 {
		t.Errorf("rebuilt: %d rows, %d with the column; want %d, most", n, full, rows)
	}
	if bill := r.sim.Bill(); bill.Requests != 0 {
		t.Errorf("rebuild made %d requests", bill.Requests)
	}
	r.lake = rebuilt
	r.mustExit(exitComplete, "verify")
}

// TestRebuildSideBySide: runs that are rebuilt side by side give the same lake, byte by byte, as one after
// another: each is compared with what the ones before it published.
func TestRebuildSideBySide(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	for _, n := range []int{20, 35, 50, 60} {
		r.buyDomains(n, "--signals", "news,growth")
	}
	r.mustExit(exitComplete, "compact", "--min-files", "2")
	var want map[string]string
	for _, jobs := range []string{"1", "4"} {
		into := filepath.Join(t.TempDir(), "rebuilt")
		r.mustExit(exitComplete, "rebuild", "--into", into, "--jobs", jobs)
		got := contentOf(t, into)
		if want == nil {
			want = got
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("rebuilt with %s jobs (-1 +%s):\n%.3000s", jobs, jobs, diff)
		}
		(&rig{t: t, lake: into}).mustExit(exitComplete, "verify", "--jobs", jobs)
	}
	r.mustExit(exitUsage, "rebuild", "--into", filepath.Join(t.TempDir(), "none"), "--jobs", "0")
}

// contentOf are the published files of a lake and its manifests, without what depends on time.
func contentOf(t *testing.T, lake string) map[string]string {
	t.Helper()
	content := map[string]string{}
	err := fs.WalkDir(os.DirFS(lake), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(path, "_state") || path == "_meta/current.json" {
			return err
		}
		raw, err := os.ReadFile(filepath.Join(lake, path))
		if strings.HasPrefix(path, "_meta/manifest/") {
			raw = volatile.ReplaceAll(raw, nil)
		}
		content[path] = string(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// volatile is what the manifests of two rebuilds differ in: how long it took, and so the digest of the one before.
var volatile = regexp.MustCompile(`(?s)"timings": \{.*?\}|"previous": \{.*?\}`)

// TestRebuildCompactedWithoutMeta: a compacted lake that lost _meta is rebuilt from its journal.
func TestRebuildCompactedWithoutMeta(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{})
	r.run(domainLines(10), baseFlags...)
	r.rerun(domainLines(20), baseFlags...)
	r.mustExit(exitComplete, "compact", "--min-files", "2")
	if _, err := os.Stat(filepath.Join(r.lake, "merges")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(r.lake, "_meta")); err != nil {
		t.Fatal(err)
	}
	r.mustExit(exitComplete, "rebuild", "--into", filepath.Join(t.TempDir(), "again"))
}
