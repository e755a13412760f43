package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/internal/wal"
)

var update = flag.Bool("update", false, "write the golden file anew")

// identityDir holds command lines with the settings and the digest by which their
// runs are recognised, and the lists that they name.
var identityDir = filepath.Join("..", "..", "testdata", "golden", "identity")

var identityCases = filepath.Join(identityDir, "cases.json")

// identityCase is a command line, and how its run is recognised. LIST, SEEDS and
// EXCLUDE stand for lists.
type identityCase struct {
	Args     []string          `json:"args"`
	Settings map[string]string `json:"settings"`
	Digest   string            `json:"digest"`
}

// TestIdentity: the settings by which a run is recognised, and their digest, are
// those of every version before: a run must not change its identity, or it is
// bought again.
func TestIdentity(t *testing.T) {
	t.Parallel()
	setNow(t, func() time.Time { return time.Date(2026, 5, 6, 12, 0, 0, 0, time.UTC) })
	sim, err := simulator.New(simulator.Config{Seed: 7, Plan: "unlimited", Keys: []string{canary}, Now: envFor(t).Now})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	to, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	want := readIdentityCases(t)
	var got []identityCase
	for _, c := range want {
		envFor(t).Transport = redirected{to}
		if slices.Contains(c.Args, "--simulate") || c.Args[0] == "demo" {
			envFor(t).Transport = nil // to the embedded simulator
		}
		got = append(got, runIdentityOf(t, c.Args))
	}
	if *update {
		text, err := json.MarshalIndent(got, "", "  ")
		if err == nil {
			err = os.WriteFile(identityCases, append(text, '\n'), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestRestoreOptions: options that are restored from the settings of a run give
// the same settings again, so that resume continues the run.
func TestRestoreOptions(t *testing.T) {
	t.Parallel()
	for _, c := range readIdentityCases(t) {
		o := newRunPurchase(app.ResumeName).run
		if err := app.RestoreOptions(&o, c.Settings); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.Settings, app.Settings(&o)); diff != "" {
			t.Errorf("%q: %s", c.Args, diff)
		}
	}
}

func readIdentityCases(t *testing.T) (cases []identityCase) {
	t.Helper()
	text, err := os.ReadFile(identityCases)
	if err == nil {
		err = json.Unmarshal(text, &cases)
	}
	if err != nil || len(cases) == 0 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	return cases
}

// runIdentityOf runs a command and reads from the journal how its run is recognised.
func runIdentityOf(t *testing.T, args []string) identityCase {
	t.Helper()
	lake := filepath.Join(t.TempDir(), "lake")
	words := append([]string{"siglake"}, args...)
	for i, w := range words {
		if list := filepath.Join(identityDir, strings.ToLower(w)+".csv"); slices.Contains([]string{"LIST", "SEEDS", "EXCLUDE"}, w) {
			words[i] = filepath.ToSlash(list)
		}
	}
	words = append(words, "--lake", lake, "--rate", "0", "--quiet")
	if envFor(t).Transport != nil {
		words = append(words, "--base-url", oldAddress, "--plan", "unlimited")
	}
	var out bytes.Buffer
	if code := envFor(t).execute(t.Context(), words, nil, &out, &out); code != exitComplete && code != exitRejects {
		t.Fatalf("%q: exit %d: %s", words, code, out.String())
	}
	store, err := wal.OpenDir(filepath.Join(lake, app.StateDir, "journal"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	ledger, err := ledger.Open(t.Context(), store, ledger.Options{Decode: app.DecodeRecorded, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer ledger.Close()
	r := ledger.Runs()[0]
	return identityCase{args, r.Settings, r.CommandDigest}
}
