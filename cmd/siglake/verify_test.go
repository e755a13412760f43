package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/report"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/schema"
)

// TestVerifySaysWhatToDo: a broken lake with an intact journal can be rebuilt, and
// verify says so; no message uses the program's internal words.
func TestVerifySaysWhatToDo(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "drop-after-charge", At: 2}}})
	r.run(domainLines(300), append([]string{"--concurrency", "1"}, baseFlags...)...)
	if out := r.mustExit(exitComplete, "verify"); strings.Contains(out, "siglake rebuild") || !strings.Contains(out, "credits over 2 answers") {
		t.Errorf("verify of a sound lake with 2 answers and a lost one:\n%s", out)
	}
	if out := r.mustExit(exitComplete, "verify"); !strings.Contains(out, "holds       the API key is stored nowhere") {
		t.Errorf("verify with a key:\n%s", out)
	}
	envFor(t).set(app.KeyVariable, "")
	if out := r.mustExit(exitComplete, "verify"); !strings.Contains(out, "not checked the API key is stored nowhere: "+app.KeyVariable) || strings.Count(out, "holds") != 11 {
		t.Errorf("verify without a key:\n%s", out)
	}
	envFor(t).set(app.KeyVariable, canary)
	var calls, accounts string
	for _, f := range r.manifest.Files {
		switch f.Table {
		case schema.Calls.Name:
			calls = filepath.Join(r.lake, f.Path)
		case schema.Accounts.Name:
			accounts = filepath.Join(r.lake, f.Path)
		}
	}
	for _, c := range []struct {
		name   string
		damage func(t *testing.T)
		says   string
	}{
		{"another file's content", func(t *testing.T) {
			raw, err := os.ReadFile(calls)
			if err == nil {
				err = os.WriteFile(accounts, raw, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}, " rows, its manifest says "},
		{"cut", func(t *testing.T) {
			if err := os.Truncate(calls, 100); err != nil {
				t.Fatal(err)
			}
		}, " cannot be read: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.damage(t)
			out := r.mustExit(exitIntegrity, "verify")
			if !strings.Contains(out, c.says) || strings.Contains(out, "<nil>") {
				t.Errorf("verify does not say %q, or says <nil>:\n%s", c.says, out)
			}
			if says := "siglake rebuild --lake " + r.lake + " --into DIR"; !strings.Contains(out, says) {
				t.Errorf("verify does not say %q:\n%s", says, out)
			}
		})
	}
	r.mustExit(exitComplete, "rebuild", "--into", filepath.Join(t.TempDir(), "again"))
}

// TestVerifyReadsWholeJournal: verify finds damage in a record of the journal that no answer depends
// on: the manifest that a run prepared, which a rebuild needs.
func TestVerifyReadsWholeJournal(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	r.run(domainLines(30), baseFlags...)
	r.rerun(extraDomain+"\n", baseFlags...) // the end of the last segment is checked whenever it is opened
	r.mustExit(exitComplete, "verify")
	name := filepath.Join(r.lake, "_state", "journal", "00000001.journal")
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	// The manifest is the last record but one: the commit behind it has a head only.
	for _, at := range []int{len(raw) - 600, len(raw) - 1000, len(raw) - 2000} {
		damaged := slices.Clone(raw)
		damaged[at] ^= 1
		if err := os.WriteFile(name, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		r.mustExit(exitIntegrity, "verify")
	}
}

// TestVerifyJSON: one object, with an invariant a name, whatever was found; the exit codes are those of the text.
func TestVerifyJSON(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	r.buyDomains(3, "--signals", "news")
	verify := func(want int, flags ...string) (v report.Verification, states map[string]string) {
		t.Helper()
		out := r.mustExit(want, append([]string{"verify", "--json"}, flags...)...)
		if err := json.Unmarshal([]byte(out), &v); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		states = map[string]string{}
		for _, i := range v.Invariants {
			states[i.Name] = i.State
			if i.Violations == nil {
				t.Errorf("%s has no list of violations", i.Name)
			}
		}
		if len(states) != 12 {
			t.Errorf("%d names of invariants, want 12: %v", len(states), states)
		}
		return v, states
	}
	if v, states := verify(exitComplete); v.State != "holds" || v.Rebuildable || v.Lake != r.lake || states["key_nowhere"] != "holds" {
		t.Errorf("a whole lake: %+v", v)
	}
	if v, states := verify(exitComplete, "--quick"); v.State != "partly" || !v.Quick || states["rows_match"] != "partly" || states["key_nowhere"] != "not_checked" {
		t.Errorf("a whole lake, quickly: %+v", v)
	}
	if err := os.WriteFile(filepath.Join(r.lake, "data", "mine.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if v, states := verify(exitIntegrity); v.State != "violated" || v.Rebuildable || states["files_listed"] != "violated" || states["rows_match"] != "holds" {
		t.Errorf("a foreign file: %+v", v)
	}
	name := filepath.Join(r.lake, "_meta", "manifest", "00000001.json")
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if v, states := verify(exitIntegrity); !v.Rebuildable || states["one_chain"] != "violated" {
		t.Errorf("a missing manifest: %+v", v)
	}
}
