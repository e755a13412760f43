package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/pipeline"
)

// accountRows are the rows of accounts that a reader who globs a lake sees.
func accountRows(t *testing.T, lake string) (rows []map[string]any) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(lake, "ledger", "accounts", "*.parquet"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files of accounts in %s, %v", len(files), lake, err)
	}
	for _, f := range files {
		rows = append(rows, readParquet(t, f)...)
	}
	return rows
}

// TestKeep: kept columns are in the row of every line, whatever became of it, also of a run that another
// process continues, and in a rebuilt lake; they change nothing of what is requested.
func TestKeep(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	list, plain := "domain,account_id,Owner,ARR\n", "domain,account_id\n"
	for i := range 30 {
		list += fmt.Sprintf("company-%d.example,k%d,\"owner \"\"%d\"\"\",%d.50\n", i, i, i, i)
		plain += fmt.Sprintf("company-%d.example,k%d\n", i, i)
	}
	list += "www.company-3.example,again,=1+1,\nnot a domain,bad,none,-1\n"
	path := filepath.Join(t.TempDir(), "list.csv")
	if err := os.WriteFile(path, []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	baseline, r := newRig(t, simulator.Config{}), newRig(t, simulator.Config{})
	baseline.runList(context.Background(), strings.NewReader(plain), "-", baseFlags...)
	flags := slices.Concat(baseFlags, []string{"--keep", "Owner,4", "--batch-size", "10", "--concurrency", "1"})
	crashAt(t, func(op, _ string) bool { return op == "sync" && r.billedCalls() == 2 })
	if code, _, _ := runProgram(t, r.args(append([]string{"run", path}, flags...))[1:]...); code != exitStorage {
		t.Fatalf("exit %d, want that of a crash, %d", code, exitStorage)
	}
	clearHook(t)
	if code, _, stderr := runProgram(t, "resume", "--lake", r.lake, "--plan", "unlimited", "--rate", "0", "--quiet"); code != exitRejects {
		t.Fatalf("resume: exit %d: %s", code, stderr)
	}
	if got, want := r.sim.Bill().Credits, baseline.sim.Bill().Credits; got != want {
		t.Errorf("billed %d, want %d as without --keep", got, want)
	}
	if diff := cmp.Diff([]string{"Owner", "ARR"}, r.readManifest().Input.Kept); diff != "" {
		t.Errorf("kept_columns of the manifest (-want +got):\n%s", diff)
	}
	rebuilt := filepath.Join(t.TempDir(), "rebuilt")
	r.mustExit(exitComplete, "verify")
	r.mustExit(exitComplete, "rebuild", "--into", rebuilt)
	for _, lake := range []string{r.lake, rebuilt} {
		rows := accountRows(t, lake)
		if len(rows) != 32 {
			t.Errorf("%s: %d rows, want 32", lake, len(rows))
		}
		for _, row := range rows {
			want := fmt.Sprintf(`{"Owner":"owner \"%d\"","ARR":"%[1]d.50"}`, row["row"].(int64)-1)
			switch row["account_key"] {
			case "again":
				want = `{"Owner":"=1+1","ARR":""}`
			case "bad":
				want = `{"Owner":"none","ARR":"-1"}`
			}
			if row["extra"] != want {
				t.Errorf("%s: extra of %v (%v) = %v, want %s", lake, row["account_key"], row["status"], row["extra"], want)
			}
		}
		at := &rig{t: t, lake: lake}
		for _, f := range at.readManifest().Files {
			want := []pipeline.KeptColumn{{Name: "Owner", Type: pipeline.KeptText}, {Name: "ARR", Type: pipeline.KeptDecimal, Digits: 2, Scale: 2}}
			if diff := cmp.Diff(want, f.Kept); f.Table == "accounts" && diff != "" {
				t.Errorf("%s: kept columns (-want +got):\n%s", lake, diff)
			}
		}
	}
	if code, _, stderr := runProgram(t, r.args([]string{"run", path, "--signals", "news", "--keep", "Ownr"})[1:]...); code != exitUsage || !strings.Contains(stderr, "did you mean Owner?") {
		t.Errorf("--keep Ownr: exit %d, %s; want %d and the nearest column", code, stderr, exitUsage)
	}
}

// TestRebuildCompletesAccounts: lakes of versions that left the entity of cached and duplicate lines open
// verify as they are, and are rebuilt with them.
func TestRebuildCompletesAccounts(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"compacted", "people", "probed"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			(&oldLake{t: t, dir: dir}).unpack(filepath.Join("..", "..", "testdata", "lakes-0", name))
			r := &rig{t: t, lake: filepath.Join(dir, "lake")}
			known, open := map[any]any{}, 0
			for _, row := range accountRows(t, r.lake) {
				if row["entity_id"] != nil {
					known[row["identifier"]] = row["entity_id"]
				} else if row["status"] == "cached" || row["status"] == "duplicate" {
					open++
				}
			}
			if len(known) == 0 || open == 0 {
				t.Fatalf("%d entities are known and %d lines lack theirs: want some of both", len(known), open)
			}
			r.mustExit(exitComplete, "verify")
			rebuilt := filepath.Join(dir, "rebuilt")
			r.mustExit(exitComplete, "rebuild", "--into", rebuilt)
			for _, row := range accountRows(t, rebuilt) {
				if row["entity_id"] != known[row["identifier"]] && row["status"] != "held" {
					t.Errorf("%v line %v of %v has the entity %v, want %v", row["status"], row["row"], row["run_id"], row["entity_id"], known[row["identifier"]])
				}
			}
			r.lake = rebuilt
			r.mustExit(exitComplete, "verify")
		})
	}
}
