package main

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/siglake/siglake/internal/bucket/buckettest"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/schema"
)

// TestUnwritableDirectory: a directory of the lake that cannot be written stops a run before it buys
// anything.
func TestUnwritableDirectory(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{})
	r.run(domainLines(30), baseFlags...)
	for _, dir := range []string{"data", "ledger", "ledger/accounts", "compact", "_meta", "_meta/manifest", "_meta/snapshot"} {
		if err := os.MkdirAll(filepath.Join(r.lake, dir), 0o700); err != nil {
			t.Fatal(err)
		}
		setHook(t, func(op, path string, do func() error) error {
			if op == "probe" && path == filepath.Join(r.lake, filepath.FromSlash(dir)) {
				return &os.PathError{Op: op, Path: path, Err: syscall.EACCES}
			}
			return do()
		})
		v := r.rerun(extraDomain+"\n", baseFlags...)
		if v.code != exitStorage || v.calls != 0 || !strings.Contains(v.stderr, filepath.Join(r.lake, dir)) || !strings.Contains(v.stderr, "permissions") {
			t.Errorf("%s: exit %d after %d calls, want %d and none: %s", dir, v.code, v.calls, exitStorage, v.stderr)
		}
	}
	clearHook(t)
	if err := os.Remove(filepath.Join(r.lake, "compact")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.lake, "compact"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if v := r.rerun(extraDomain+"\n", baseFlags...); v.code != exitStorage || v.calls != 0 {
		t.Errorf("compact is a file: exit %d after %d calls, want %d and none: %s", v.code, v.calls, exitStorage, v.stderr)
	}
	if err := os.Remove(filepath.Join(r.lake, "compact")); err != nil {
		t.Fatal(err)
	}
	if v := r.rerun(extraDomain+"\n", baseFlags...); v.code != exitComplete || v.calls == 0 {
		t.Errorf("afterwards: exit %d after %d calls: %s", v.code, v.calls, v.stderr)
	}
	r.mustExit(exitComplete, "verify")
}

// TestUnwritablePrefix: a policy that forbids to write below one prefix of a lake stops a run before
// it buys anything, and doctor finds it.
func TestUnwritablePrefix(t *testing.T) {
	freezeDay(t)
	r, store := newRig(t, simulator.Config{}), buckettest.Start(t)
	backend, err := url.Parse(store.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy, denied := httputil.NewSingleHostReverseProxy(backend), ""
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.Method != http.MethodGet && q.Method != http.MethodHead && strings.Contains(q.URL.Path, "/denied/"+denied+"/") {
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte("<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"))
			return
		}
		proxy.ServeHTTP(w, q)
	}))
	defer front.Close()
	access := s3LakeFlags(t, store)
	access[slices.Index(access, "--s3-endpoint")+1] = front.URL
	lake, list := store.URI("denied"), writeList(t, "denied", 10)
	run := func() (int, string, int) {
		before := r.sim.Bill().Billed
		code, stdout, stderr := runProgram(t, slices.Concat([]string{"run", list, "--lake", lake, "--base-url", r.server.URL, "--plan", "unlimited", "--rate", "0"}, baseFlags, access)...)
		return code, stdout + stderr, r.sim.Bill().Billed - before
	}
	for _, denied = range []string{"data", "ledger", "compact", "_meta"} {
		if code, output, billed := run(); code != exitStorage || billed != 0 || !strings.Contains(output, "/"+denied+"/") {
			t.Errorf("%s: exit %d after %d paid calls, want %d and none: %s", denied, code, billed, exitStorage, output)
		}
		if denied != "_meta" {
			if code, stdout, stderr := runProgram(t, slices.Concat([]string{"doctor", "--lake", lake, "--base-url", r.server.URL}, access)...); code != exitStorage || !strings.Contains(stdout, "/"+denied+"/") {
				t.Errorf("doctor, %s: exit %d, want %d: %s%s", denied, code, exitStorage, stdout, stderr)
			}
		}
	}
	b := openTestBucket(t, store, lake)
	for o, err := range b.List(t.Context(), "") {
		if !strings.HasPrefix(o.Name, "_state/lock") {
			t.Errorf("left behind: %s, %v", o.Name, err)
		}
	}
	denied = "-"
	if code, output, billed := run(); code != exitComplete || billed == 0 {
		t.Errorf("allowed: exit %d after %d paid calls: %s", code, billed, output)
	}
}

// TestMissingFiles: a run notices files of earlier runs that are missing from the partitions that it
// touches. It publishes what it bought, and ends with 60.
func TestMissingFiles(t *testing.T) {
	eachStore(t, simulator.Config{}, func(t *testing.T, l *storedLake) {
		l.mustBuy(writeList(t, "missing", 30))
		names := slices.Sorted(maps.Keys(l.files("ledger/" + schema.Accounts.Name)))
		kept := l.files("ledger/" + schema.Accounts.Name)
		if len(names) != 1 {
			t.Fatalf("files of accounts: %v, want one", names)
		}
		l.remove(names[0])
		code, output, requests := l.buy(append([]string{"run", writeList(t, "others", 30)}, baseFlags...)...)
		if code != exitIntegrity || requests == 0 || !strings.Contains(output, names[0]) || !strings.Contains(output, "generation 2 is published") {
			t.Errorf("exit %d after %d requests, want %d, some, and the missing file: %s", code, requests, exitIntegrity, output)
		}
		if code, output := l.look("verify"); code != exitIntegrity || !strings.Contains(output, names[0]) || !strings.Contains(output, "siglake rebuild") {
			t.Errorf("verify: exit %d: %s", code, output)
		}
		l.write(names[0], kept[names[0]])
		l.mustBuy(writeList(t, "third", 30))
		if code, output := l.look("verify"); code != exitComplete {
			t.Errorf("verify with the file: exit %d: %s", code, output)
		}
	})
}
