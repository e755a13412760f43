package main

import (
	"path/filepath"
	"strings"
	"testing"

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
