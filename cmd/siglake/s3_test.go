package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/bucket"
	"github.com/siglake/siglake/internal/bucket/buckettest"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

// s3LakeFlags gives the flags that reach a lake on a real store.
func s3LakeFlags(t *testing.T, store *buckettest.Store) []string {
	t.Helper()
	store.Setenv(t)
	return []string{"--s3-endpoint", store.URL, "--s3-region", store.Region, "--s3-path-style", "--scratch", t.TempDir()}
}

// openTestBucket opens a store's bucket past siglake.
func openTestBucket(t *testing.T, store *buckettest.Store, uri string) *bucket.Bucket {
	t.Helper()
	b, err := bucket.Open(t.Context(), uri, bucket.Config{Endpoint: store.URL, Region: store.Region, PathStyle: true, HTTP: store.Client})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// bucketGenerations are the manifests of a lake in a bucket.
func bucketGenerations(t *testing.T, store *buckettest.Store, lake string) []*pipeline.Manifest {
	t.Helper()
	look, err := sinks.Inspect(t.Context(), lake, sinks.Options{Bucket: func(context.Context, string) (sinks.Bucket, error) {
		return openTestBucket(t, store, lake), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer look.Close()
	chain, err := look.ReadChain(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return chain
}

// fileShapes says what files hold, whatever run they are of.
func fileShapes(files []pipeline.File) (all []string) {
	for _, f := range files {
		all = append(all, fmt.Sprintf("%s %s: %d rows, %d duplicate", f.Table, f.Partition, f.Rows, f.Duplicate))
	}
	return all
}

func fileDigests(chain []*pipeline.Manifest) (all []string) {
	for _, m := range chain {
		for _, f := range m.Files {
			all = append(all, f.Path+" "+f.Digest)
		}
	}
	return all
}

// lakeRows are all rows of all tables of a lake in a directory, in the order of
// its files.
func lakeRows(t *testing.T, lake string) (rows []map[string]any) {
	t.Helper()
	at := &rig{t: t, lake: lake}
	for _, m := range at.generations() {
		at.manifest = m
		for _, table := range slices.Concat(schema.EventTables, schema.LedgerTables) {
			rows = append(rows, at.table(table)...)
		}
	}
	return rows
}

// TestLakeOnS3: the same list into a directory and into a bucket gives the same files,
// row for row; another machine knows what is paid, and rebuilds a lake from the
// bucket's journal.
func TestLakeOnS3(t *testing.T) {
	freezeDay(t)
	store := buckettest.Start(t)
	r := newRig(t, simulator.Config{})
	path := writeList(t, "bucket", 700)
	r.runList(context.Background(), nil, path, baseFlags...)
	local := r.manifest

	lake, access := store.URI("lakes/one"), s3LakeFlags(t, store)
	run := func(list string, more ...string) (int, string, string) {
		t.Helper()
		return runProgram(t, slices.Concat([]string{"run", list, "--lake", lake, "--base-url", r.server.URL, "--plan", "unlimited", "--rate", "0"}, baseFlags, access, more)...)
	}
	before := r.sim.Bill()
	code, _, stderr := run(path, "--quiet")
	if code != exitComplete {
		t.Fatalf("run: exit %d: %s", code, stderr)
	}
	if got, want := r.sim.Bill().Credits-before.Credits, local.Credits.Charged; got != want {
		t.Errorf("billed %d for the bucket, %d for the directory", got, want)
	}
	chain := bucketGenerations(t, store, lake)
	if len(chain) != 1 {
		t.Fatalf("%d generations, want 1", len(chain))
	}
	// Names and digests hold the run's id; rows and sizes do not.
	if diff := cmp.Diff(fileShapes(local.Files), fileShapes(chain[0].Files)); diff != "" {
		t.Errorf("files in the directory and in the bucket (-directory +bucket):\n%s", diff)
	}
	for name, args := range map[string][]string{
		"verify": {"verify", "--lake", lake}, "status": {"status", "--lake", lake}, "doctor": {"doctor", "--lake", lake, "--base-url", r.server.URL},
	} {
		if code, stdout, stderr := runProgram(t, slices.Concat(args, access)...); code != exitComplete {
			t.Errorf("%s: exit %d\n%s%s", name, code, stdout, stderr)
		}
	}

	// Another machine: another scratch directory, nothing else.
	access = s3LakeFlags(t, store)
	before = r.sim.Bill()
	if code, stdout, stderr := run(path); code != exitComplete || !strings.Contains(stdout, "Nothing to do") {
		t.Errorf("the same command elsewhere: exit %d: %s%s", code, stdout, stderr)
	}
	if n := r.sim.Bill().Requests - before.Requests; n != 0 {
		t.Errorf("the same command elsewhere made %d requests", n)
	}
	if code, _, stderr := run(writeList(t, "bucket", 702), "--quiet"); code != exitComplete {
		t.Errorf("two more lines: exit %d: %s", code, stderr)
	}
	asked := 0
	for _, e := range r.sim.Bill().Entries[before.Requests:] {
		asked += e.Entities
	}
	if asked != 2 {
		t.Errorf("two more lines asked about %d entities", asked)
	}

	for _, into := range []string{store.URI("lakes/two"), r.lake + "-again"} {
		if code, _, stderr := runProgram(t, slices.Concat([]string{"rebuild", "--lake", lake, "--into", into}, access)...); code != exitComplete {
			t.Fatalf("rebuild into %s: exit %d: %s", into, code, stderr)
		}
		if code, stdout, stderr := runProgram(t, slices.Concat([]string{"verify", "--lake", into}, access)...); code != exitComplete {
			t.Errorf("verify of %s: exit %d\n%s%s", into, code, stdout, stderr)
		}
	}
	twice := bucketGenerations(t, store, store.URI("lakes/two"))
	if diff := cmp.Diff(fileDigests(bucketGenerations(t, store, lake)), fileDigests(twice)); diff != "" {
		t.Errorf("files of the lake and of the one made again (-lake +again):\n%s", diff)
	}
	// Arrow's reader finds the same rows in both.
	if diff := cmp.Diff(lakeRows(t, r.lake+"-again"), lakeRows(t, downloadLake(t, store, lake))); diff != "" {
		t.Errorf("rows of the journal's lake in a directory and of that in the bucket (-directory +bucket):\n%.2000s", diff)
	}
	for o, err := range openTestBucket(t, store, store.URI("")).List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		raw, _, err := openTestBucket(t, store, store.URI("")).Get(t.Context(), o.Name)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{canary, store.SecretKey} {
			if strings.Contains(string(raw), secret) {
				t.Errorf("a secret stands in %s", o.Name)
			}
		}
	}
}

// downloadLake is a lake in a bucket as a directory: every object as a file, and the
// journal record for record.
func downloadLake(t *testing.T, store *buckettest.Store, lake string) string {
	t.Helper()
	b, dir := openTestBucket(t, store, lake), filepath.Join(t.TempDir(), "lake")
	for o, err := range b.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(o.Name, app.StateDir+"/") {
			continue
		}
		raw, _, err := b.Get(t.Context(), o.Name)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(o.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	j, err := ledger.Open(t.Context(), wal.NewObjects(b, app.StateDir+"/journal/", wal.ObjectsOptions{}), ledger.Options{Decode: app.DecodeRecorded})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	to, err := wal.OpenDir(filepath.Join(dir, app.StateDir, "journal"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if err := j.CopyTo(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestKillOnS3 is TestKill with lake, journal and lock in a bucket.
func TestKillOnS3(t *testing.T) {
	kills := proof.Size(1, 6, 1000)
	program := buildProgram(t)
	store := buckettest.Start(t)
	access := s3LakeFlags(t, store)
	landed, doubts, rounds := 0, 0, 0
	for seed := uint64(1); landed < kills; seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			w := newWorld(t, program, seed, proof.Size(400, 1000, 1000), faultMenu...)
			w.lake = store.URI(fmt.Sprintf("lakes/%d", seed))
			w.flags = append(w.flags, access...)
			rounds++
			w.runWithKills(rand.New(rand.NewPCG(seed, 1)), 150*time.Millisecond, func() { landed++ })
			if code, stdout, stderr := runProgram(t, slices.Concat([]string{"verify", "--lake", w.lake}, access)...); code != exitComplete {
				t.Errorf("verify: exit %d\n%s%s", code, stdout, stderr)
			}
			w.lake = downloadLake(t, store, w.lake)
			doubts += w.check()
		})
		if t.Failed() {
			return
		}
	}
	t.Logf("%d kills over %d runs, %d calls in doubt", landed, rounds, doubts)
}
