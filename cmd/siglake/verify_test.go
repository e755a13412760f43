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
		}, " has the content of "},
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

// TestVerifyNamesMisplacedFiles: files that have exchanged their names are named once, with whose content they have. That
// needs no rebuild; a file that nothing else has the content of does.
func TestVerifyNamesMisplacedFiles(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	r.run(domainLines(30), "--signals", "news")
	var names, paths []string
	for _, f := range r.manifest.Files {
		names, paths = append(names, f.Path), append(paths, filepath.Join(r.lake, f.Path))
	}
	slices.Sort(names)
	slices.Sort(paths)
	if len(paths) < 3 {
		t.Fatalf("files %v, want three", names)
	}
	contents := make([][]byte, 3)
	for i := range contents {
		var err error
		if contents[i], err = os.ReadFile(paths[i]); err != nil {
			t.Fatal(err)
		}
	}
	const own = ": give each file its own name again"
	for _, tt := range []struct {
		order   []int // whose content each file gets
		says    []string
		rebuild bool
	}{
		{[]int{1, 0, 2}, []string{names[0] + " and " + names[1] + " have each other's content: exchange their names"}, false},
		{[]int{1, 2, 0}, []string{
			names[0] + " has the content of " + names[1] + ", and its own is in " + names[2] + own,
			names[1] + " has the content of " + names[2] + ", and its own is in " + names[0] + own,
			names[2] + " has the content of " + names[0] + ", and its own is in " + names[1] + own,
		}, false},
		{[]int{0, 0, 2}, []string{names[1] + " has the content of " + names[0] + ", and no file has its own"}, true},
	} {
		for i, from := range tt.order {
			if err := os.WriteFile(paths[i], contents[from], 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, words := range [][]string{{"verify"}, {"verify", "--quick"}} {
			out := r.mustExit(exitIntegrity, words...)
			for _, text := range tt.says {
				if !strings.Contains(out, text) {
					t.Errorf("%q does not say %q:\n%s", words, text, out)
				}
			}
			advises := strings.Contains(out, "siglake rebuild") || strings.Contains(out, "reads the answers, too")
			if strings.Count(out, "BROKEN") != 1 || strings.Count(out, names[0])+strings.Count(out, names[1])+strings.Count(out, names[2]) > 3*len(tt.says) || advises != tt.rebuild {
				t.Errorf("%q: more is broken, or the advice is wrong, rebuild: %t:\n%s", words, tt.rebuild, out)
			}
		}
	}
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
