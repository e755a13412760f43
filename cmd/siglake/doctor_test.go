package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/bucket/buckettest"
	"github.com/siglake/siglake/internal/simulator"
)

// TestDoctor: what is wrong is named with what to do, and ends as a run would;
// nothing is spent, and nothing is made where there was nothing.
func TestDoctor(t *testing.T) {
	freezeDay(t)
	r := newRig(t, simulator.Config{})
	api := []string{"--base-url", r.server.URL}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	store, fake := buckettest.Start(t), buckettest.StartFake(t)
	reach := func(s *buckettest.Store) []string {
		return []string{"--s3-endpoint", s.URL, "--s3-region", s.Region, "--s3-path-style", "--scratch", t.TempDir()}
	}
	poor := newRig(t, simulator.Config{Credits: -1})
	for _, tt := range []struct {
		name  string
		args  []string
		key   string
		store *buckettest.Store
		code  int
		says  []string
	}{
		{"all is well", slices.Concat(api, []string{"--lake", r.lake}), canary, nil, exitComplete,
			[]string{"accepts it and offers", "within", "credits left", "a durable write takes", "none yet"}},
		{"no key", api, "", nil, exitAuth, []string{"no API key"}},
		{"a wrong key", api, "wrong-key-0123456789", nil, exitAuth, []string{"check the key"}},
		{"no credits", []string{"--base-url", poor.server.URL}, canary, nil, exitDeferred, []string{"no credits are left", "buy credits first"}},
		{"a lake that is a file", slices.Concat(api, []string{"--lake", file}), canary, nil, exitStorage, []string{"is a file"}},
		{"a bucket", slices.Concat(api, reach(store), []string{"--lake", store.URI("doctor")}), canary, store, exitComplete,
			[]string{"conditional writes; seven requests", `"s3:PutObject"`, "arn:aws:s3:::" + store.Bucket + "/doctor/*"}},
		{"a bucket that is not there", slices.Concat(api, reach(store), []string{"--lake", "s3://nowhere/doctor"}), canary, store, exitStorage, []string{"s3://nowhere"}},
		{"a store that ignores conditions", slices.Concat(api, reach(fake), []string{"--lake", fake.URI("doctor")}), canary, fake, exitStorage, []string{"the store ignores this condition"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			envFor(t).set(app.KeyVariable, tt.key)
			if tt.store != nil {
				tt.store.Setenv(t)
			}
			code, stdout, stderr := runProgram(t, append([]string{"doctor"}, tt.args...)...)
			for _, want := range tt.says {
				if code != tt.code || !strings.Contains(stdout+stderr, want) {
					t.Errorf("exit %d, want %d and %q in:\n%s%s", code, tt.code, want, stdout, stderr)
				}
			}
		})
	}
	if _, err := os.Stat(r.lake); !os.IsNotExist(err) {
		t.Errorf("the doctor made a lake: %v", err)
	}
	if bill := r.sim.Bill(); bill.Credits != 0 || bill.Billed != 0 {
		t.Errorf("the doctor was billed: %+v", bill)
	}
	store.Setenv(t)
	for o, err := range openTestBucket(t, store, store.URI("doctor")).List(t.Context(), "") {
		t.Errorf("the doctor left %s behind, %v", o.Name, err)
	}

	// A lake with a doubt: said, and no failure.
	r = newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 1}}})
	r.run(domainLines(150), baseFlags...)
	code, stdout, stderr := runProgram(t, "doctor", "--json", "--base-url", r.server.URL, "--lake", r.lake)
	var found []app.CheckResult
	if err := json.Unmarshal([]byte(stdout), &found); err != nil || code != exitComplete {
		t.Fatalf("doctor --json: exit %d, %v: %s%s", code, err, stdout, stderr)
	}
	if !slices.ContainsFunc(found, func(d app.CheckResult) bool {
		return d.Name == "journal" && d.State == "warning" && strings.Contains(d.Detail, "in doubt") && strings.Contains(d.Advice, "held list")
	}) {
		t.Errorf("no word of the call in doubt: %s", fmt.Sprint(found))
	}
}
