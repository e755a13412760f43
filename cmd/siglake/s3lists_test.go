package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/bucket"
	"github.com/siglake/siglake/internal/bucket/buckettest"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// s3Access gives the flags by which a store is reached.
func s3Access(t *testing.T, s *buckettest.Store) []string {
	t.Helper()
	s.Setenv(t)
	return []string{"--s3-endpoint", s.URL, "--s3-region", s.Region, "--s3-path-style"}
}

// putObject writes an object, over another if need be.
func putObject(t *testing.T, s *buckettest.Store, name, text string) {
	t.Helper()
	b, err := bucket.Open(t.Context(), s.URI(""), bucket.Config{Endpoint: s.URL, Region: s.Region, PathStyle: true})
	if err != nil {
		t.Fatal(err)
	}
	there, _ := b.Stat(t.Context(), name) // an empty ETag when there is none
	if err := b.Swap(t.Context(), name, there.ETag, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func manyLines(name string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%s-%05d.example\n", name, i)
	}
	return b.String()
}

func gzipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	fmt.Fprint(z, text)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestListOnS3 runs a folder of objects: planned, bought, continued, edited.
func TestListOnS3(t *testing.T) {
	freezeDay(t)
	store := buckettest.Start(t)
	flags := slices.Concat(baseFlags, s3Access(t, store))
	files := map[string]string{
		"lists/a.csv": "domain,crm id\nresume-00001.example,1\nresume-00002.example,2\n\nnone at all,3\n",
		"lists/b.gz":  gzipped(t, "Website\nresume-00003.example\nresume-00004.example\n"), "lists/deep/c.txt": manyLines("deep", 200),
	}
	dir := t.TempDir()
	for name, text := range files {
		putObject(t, store, name, text)
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	local := newRig(t, simulator.Config{})
	local.runList(context.Background(), nil, filepath.Join(dir, "lists"), baseFlags...)
	r := newRig(t, simulator.Config{})

	if got := planJSON(t, slices.Concat([]string{store.URI("lists/"), "--lake", r.lake, "--base-url", r.server.URL}, flags)...); got.Lines != 205 {
		t.Errorf("plan counts %d lines, want 205", got.Lines)
	}
	r.runList(context.Background(), nil, store.URI("lists/"), flags...)
	if r.code != exitRejects || local.code != exitRejects {
		t.Fatalf("exit %d on S3, %d locally, want %d: %s", r.code, local.code, exitRejects, r.stderr)
	}
	if got, want := r.sim.Bill().Credits, local.sim.Bill().Credits; got != want || got == 0 {
		t.Errorf("billed %d on S3, want %d as locally", got, want)
	}
	if diff := cmp.Diff(local.uids(local.manifest), r.uids(r.manifest)); diff != "" {
		t.Errorf("rows by event_uid, locally and on S3 (-want +got):\n%.2000s", diff)
	}
	stands := func(r *rig, root string) (rows []string) {
		for _, a := range r.table(schema.Accounts) {
			rows = append(rows, fmt.Sprintf("%v %s:%v %v", a["row"], strings.TrimPrefix(a["input_file"].(string), root), a["input_line"], a["account_key"]))
		}
		return rows[:6]
	}
	want := []string{"1 lists/a.csv:2 1", "2 lists/a.csv:3 2", "3 lists/a.csv:5 3", "4 lists/b.gz:2 resume-00003.example", "5 lists/b.gz:3 resume-00004.example", "6 lists/deep/c.txt:1 deep-00000.example"}
	if diff := cmp.Diff(want, stands(r, store.URI(""))); diff != "" {
		t.Errorf("accounts on S3 (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, stands(local, dir+"/")); diff != "" {
		t.Errorf("accounts of a folder (-want +got):\n%s", diff)
	}
	checkObjects(t, r.manifest.Input, store.URI(""), files)
	checkObjects(t, local.manifest.Input, dir+"/", files)

	billed := r.sim.Bill().Credits
	r.runList(context.Background(), nil, store.URI("lists/"), flags...)
	if !strings.Contains(r.stdout, "Nothing to do") || r.sim.Bill().Credits != billed {
		t.Errorf("the same again = %q, billed %d, want nothing to do, %d", r.stdout, r.sim.Bill().Credits, billed)
	}
	putObject(t, store, "lists/a.csv", files["lists/a.csv"]+extraDomain+",4\n")
	if code, _, stderr := runProgram(t, slices.Concat([]string{"run", store.URI("lists/"), "--lake", r.lake, "--base-url", r.server.URL, "--plan", "unlimited", "--quiet"}, flags)...); code != exitRejects {
		t.Errorf("with one line more: exit %d, %q, want %d", code, stderr, exitRejects)
	}
	r.manifest = r.readManifest()
	if got := r.manifest.Accounts.ByStatus; got[schema.Cached] != 204 || r.manifest.Accounts.Lines != 206 || r.sim.Bill().Credits == billed {
		t.Errorf("with one line more: %v, billed %d, want 204 cached and the new one bought", got, r.sim.Bill().Credits)
	}
	checkNoSecret(t, r, store)
}

// checkObjects compares the manifest's account of a list with its files.
func checkObjects(t *testing.T, in pipeline.Input, root string, files map[string]string) {
	t.Helper()
	var names []string
	var size int64
	for _, o := range in.Objects {
		name := strings.TrimPrefix(o.URI, root)
		names = append(names, name)
		if size += o.Size; o.Size != int64(len(files[name])) || (o.ETag == "") == (o.SHA256 == "") {
			t.Errorf("manifest says %+v of %s, want %d bytes and its version", o, name, len(files[name]))
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(files)), names); diff != "" {
		t.Errorf("objects of the manifest (-want +got):\n%s", diff)
	}
	if in.Bytes != size || in.SHA256 == "" || in.Records != 205 {
		t.Errorf("manifest says %d bytes, %d records, digest %q, want %d, 205 and one", in.Bytes, in.Records, in.SHA256, size)
	}
}

// checkNoSecret looks for the store's credentials in the lake and in what was printed.
func checkNoSecret(t *testing.T, r *rig, s *buckettest.Store) {
	t.Helper()
	has := func(text string) bool {
		return strings.Contains(text, s.SecretKey) || strings.Contains(text, s.AccessKey)
	}
	if has(r.stdout + r.stderr) {
		t.Error("credentials of S3 were printed")
	}
	if _, err := os.Stat(r.lake); err != nil {
		return // refused before the lake was opened
	}
	err := filepath.WalkDir(r.lake, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if has(string(raw)) {
			t.Errorf("credentials of S3 stand in %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestResumeListOnS3 continues a killed run, and refuses one after its list was
// replaced.
func TestResumeListOnS3(t *testing.T) {
	freezeDay(t)
	store := buckettest.Start(t)
	flags := s3Access(t, store)
	text := manyLines("resume", 500)
	putObject(t, store, "list.txt", text)
	r := newRig(t, simulator.Config{})
	crashAt(t, func(op, _ string) bool { return op == "sync" && r.billedCalls() == 2 })
	code, _, _ := runProgram(t, slices.Concat([]string{"run", store.URI("list.txt"), "--lake", r.lake, "--base-url", r.server.URL, "--plan", "unlimited", "--rate", "0",
		"--concurrency", "1", "--quiet"}, baseFlags, flags)...)
	clearHook(t)
	if code != exitStorage {
		t.Fatalf("exit %d, want %d", code, exitStorage)
	}
	resume := slices.Concat([]string{"resume", "--lake", r.lake, "--plan", "unlimited", "--rate", "0", "--quiet"}, flags)

	putObject(t, store, "list.txt", text+"one-more.example\n")
	if code, _, stderr := runProgram(t, resume...); code != exitUsage || !strings.Contains(stderr, "the list differs") {
		t.Errorf("resume with a list that was replaced: exit %d, %q, want %d", code, stderr, exitUsage)
	}
	putObject(t, store, "list.txt", text)
	if code, _, stderr := runProgram(t, resume...); code != exitComplete {
		t.Errorf("resume: exit %d, %q, want %d", code, stderr, exitComplete)
	}
	r.manifest = r.readManifest()
	r.check()
	if r.manifest.Accounts.Lines != 500 {
		t.Errorf("manifest counts %d lines, want 500", r.manifest.Accounts.Lines)
	}
}

// TestListsThatCannotBeRead fail before anything is asked.
func TestListsThatCannotBeRead(t *testing.T) {
	store := buckettest.Start(t)
	flags := slices.Concat(baseFlags, s3Access(t, store))
	putObject(t, store, "lists/a.csv", "domain\nresume-00001.example\n")
	putObject(t, store, "lists/b.csv", "PK\x03\x04")
	putObject(t, store, "c.csv", "domain\nresume-00001.example\n")
	for uri, want := range map[string]string{
		store.URI("none.csv"): "no such object", store.URI("none/*"): "no files", "s3://": "not an S3 URI",
		store.URI("lists/b.csv"): "lists/b.csv: is a zip archive", "s3://none-such/list.csv": "no such object", t.TempDir(): "no files",
	} {
		r := newRig(t, simulator.Config{})
		r.runList(context.Background(), nil, uri, flags...)
		if r.code != exitUsage || !strings.Contains(r.stderr, want) {
			t.Errorf("run %s: exit %d, %q, want %d, %q", uri, r.code, r.stderr, exitUsage, want)
		}
	}
	other := *store
	other.SecretKey += "x"
	r := newRig(t, simulator.Config{})
	r.runList(context.Background(), nil, store.URI("c.csv"), slices.Concat(baseFlags, s3Access(t, &other))...)
	if r.code != exitUsage || !strings.Contains(r.stderr, "access denied") {
		t.Errorf("run with wrong credentials: exit %d, %q, want %d", r.code, r.stderr, exitUsage)
	}
	checkNoSecret(t, r, &other)
}

func TestBucketConfig(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want bucket.Config
		err  string
	}{
		{nil, bucket.Config{PartSize: 16 << 20}, ""},
		{
			[]string{"--s3-endpoint", "http://localhost:9000", "--s3-region", "eu-central-1", "--s3-path-style", "--s3-profile", "lake", "--s3-role", "arn:x", "--s3-external-id", "y",
				"--s3-sse", "aws:kms", "--s3-kms-key", "alias/k", "--s3-storage-class", "STANDARD_IA", "--s3-part-size", "64MiB"},
			bucket.Config{Endpoint: "http://localhost:9000", Region: "eu-central-1", PathStyle: true, Profile: "lake", Role: "arn:x", ExternalID: "y",
				Encryption: "aws:kms", KMSKey: "alias/k", StorageClass: "STANDARD_IA", PartSize: 64 << 20}, "",
		},
		{[]string{"--s3-part-size", "5242880"}, bucket.Config{PartSize: 5 << 20}, ""},
		{[]string{"--s3-part-size", "5 GiB"}, bucket.Config{PartSize: 5 << 30}, ""},
		{[]string{"--s3-part-size", "4MiB"}, bucket.Config{}, "from 5MiB to 5GiB"},
		{[]string{"--s3-part-size", "9999999999GiB"}, bucket.Config{}, "from 5MiB to 5GiB"},
		{[]string{"--s3-part-size", "much"}, bucket.Config{}, "from 5MiB to 5GiB"},
		{[]string{"--s3-endpoint", "localhost:9000"}, bucket.Config{}, "expected http:// or https://"},
		{[]string{"--s3-sse", "aes"}, bucket.Config{}, "expected AES256 or aws:kms"},
		{[]string{"--s3-sse", "AES256", "--s3-kms-key", "k"}, bucket.Config{}, "goes with --s3-sse aws:kms"},
		{[]string{"--s3-external-id", "y"}, bucket.Config{}, "goes with --s3-role"},
	} {
		set := flag.NewFlagSet("test", flag.ContinueOnError)
		o := app.DefaultStore().S3
		for _, f := range s3Flags(&o) {
			if err := f.Apply(set); err != nil {
				t.Fatal(err)
			}
		}
		if err := set.Parse(c.args); err != nil {
			t.Fatal(err)
		}
		got, err := o.Config()
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("config of %q = %v, want %q", c.args, err, c.err)
			}
			continue
		}
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("config of %q = %v (-want +got):\n%s", c.args, err, diff)
		}
	}
}
