package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/siglake/siglake/internal/bucket/buckettest"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/simulator"
)

// TestQuota: three hosts, each with a lake and a list of its own, share the rate windows of a key through an object
// of a real store. None of their calls is refused, or hardly any when they use up every minute; each is in the
// simulator's bill once.
func TestQuota(t *testing.T) {
	store := buckettest.Start(t)
	r := newRig(t, simulator.Config{Plan: "scale"})
	quota, access := store.URI("quota"), s3LakeFlags(t, store)
	calls := proof.Size(8, 40, 700) // of each host
	var hosts sync.WaitGroup
	for host := range 3 {
		list := filepath.Join(t.TempDir(), "list.csv")
		var text strings.Builder
		text.WriteString("domain\n")
		for i := range calls {
			fmt.Fprintf(&text, "company-%d-%04d.example\n", host, i)
		}
		if err := os.WriteFile(list, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		hosts.Go(func() {
			code, _, stderr := runProgram(t, slices.Concat([]string{"run", list, "--lake", filepath.Join(t.TempDir(), "lake"), "--quota", quota, "--base-url", r.server.URL, "--api", "v2",
				"--signals", "news", "--since", "30d", "--batch-size", "1", "--plan", "scale", "--quiet"}, access)...)
			if code != exitComplete || strings.Contains(stderr, "not shared") {
				t.Errorf("host %d: exit %d: %s", host, code, stderr)
			}
		})
	}
	hosts.Wait()
	refused, asked := 0, map[string]int{}
	for _, e := range r.sim.Bill().Entries {
		if e.Status == http.StatusTooManyRequests && e.Method == http.MethodPost { // the page of the usage has a limit of its own
			refused++
		}
		if e.Request != "" && e.Status == http.StatusOK {
			asked[e.Request]++
		}
	}
	if len(asked) != 3*calls || refused*1000 > 3*3*calls {
		t.Errorf("%d different calls, %d refused, want %d and at most 0.3 %%", len(asked), refused, 3*calls)
	}
	for request, n := range asked {
		if n != 1 {
			t.Errorf("call %s was made %d times", request, n)
		}
	}
	t.Logf("%d calls, %d refused", len(asked), refused)
	b := openTestBucket(t, store, quota)
	for o, err := range b.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		body, _, err := b.Get(t.Context(), o.Name)
		if err != nil || strings.Contains(o.Name+string(body), canary) {
			t.Errorf("%s: %v, or it holds the key", o.Name, err)
		}
		if err := b.Swap(t.Context(), o.Name, o.ETag, []byte("something else")); err != nil {
			t.Fatal(err)
		}
	}
	code, _, stderr := runProgram(t, slices.Concat([]string{"usage", "--base-url", r.server.URL, "--quota", quota}, access[:len(access)-2])...)
	if code != exitStorage || !strings.Contains(stderr, quota+"/quota-") || !strings.Contains(stderr, "delete it") {
		t.Errorf("exit %d with a foreign object: %s", code, stderr)
	}
}

// TestQuotaAway: a bucket that cannot be reached stops nobody, and is said.
func TestQuotaAway(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "a")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "s")
	r := newRig(t, simulator.Config{})
	list := filepath.Join(t.TempDir(), "list.csv")
	if err := os.WriteFile(list, []byte(domainLines(3)), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := runProgram(t, "run", list, "--lake", r.lake, "--quota", "s3://nowhere/quota", "--s3-endpoint", "http://127.0.0.1:1", "--s3-region", "us-east-1", "--s3-path-style",
		"--base-url", r.server.URL, "--signals", "news", "--since", "30d")
	if code != exitComplete || strings.Count(stderr, "not shared with other hosts") != 1 {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
	for _, bad := range [][]string{{"--quota", "/tmp/quota"}, {"--quota", "s3://b/q", "--quota-dir", t.TempDir()}} {
		if code, _, stderr := runProgram(t, slices.Concat([]string{"usage", "--base-url", r.server.URL}, bad)...); code != exitUsage || !strings.Contains(stderr, "--quota") {
			t.Errorf("%q: exit %d: %s", bad, code, stderr)
		}
	}
}
