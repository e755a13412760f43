package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
)

// journalFiles are the files of a journal directory, by name.
func journalFiles(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		raw, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(raw)
	}
	return files
}

// salvage runs "siglake salvage --json".
func (r *rig) salvage(want int, flags ...string) (report app.SalvageReport) {
	r.t.Helper()
	var stdout, stderr bytes.Buffer
	before := r.sim.Bill().Requests
	code := envFor(r.t).execute(context.Background(), append([]string{"siglake", "salvage", "--lake", r.lake, "--json"}, flags...), nil, &stdout, &stderr)
	if code != want || r.sim.Bill().Requests != before {
		r.t.Fatalf("salvage %v: exit %d after %d requests, want %d after none: %s%s", flags, code, r.sim.Bill().Requests-before, want, stdout.String(), stderr.String())
	}
	if err := json.Unmarshal(stdout.Bytes(), &report); err != nil {
		r.t.Fatalf("%s: %v", stdout.String(), err)
	}
	return report
}

// place is where a record of a journal lies in the file of its segment.
type place struct {
	kind    byte
	at      int64
	segment string
}

// recordPlaces are the records of a journal.
func recordPlaces(t *testing.T, journal string) (places []place) {
	t.Helper()
	dir, err := wal.OpenDir(journal, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	gaps, err := wal.Salvage(t.Context(), dir, func(r wal.SalvagedRecord) error {
		segment, offset, _ := strings.Cut(r.At.String(), "@")
		at, err := strconv.ParseInt(offset, 10, 64)
		places = append(places, place{r.Kind, 4096 + at, segment})
		return err
	})
	if err != nil || len(gaps) > 0 {
		t.Fatalf("Salvage(%s) = %v, %v", journal, gaps, err)
	}
	return places
}

// TestSalvage damages every record of a journal in turn. All others are kept. What a request or an
// answer said is named with its credits; a call without its answer is held and not bought again.
// Nothing is replaced before the loss is accepted, and the damaged journal stays.
func TestSalvage(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	flags := append([]string{"--concurrency", "1", "--batch-size", "20"}, baseFlags...)
	r.run(domainLines(40), flags...)
	bought, whole := r.manifest, r.lake
	if report := r.salvage(exitComplete); !report.Whole || report.Replaced {
		t.Errorf("salvage of a journal without damage = %+v", report)
	}
	kinds := map[byte]int{}
	for _, p := range recordPlaces(t, filepath.Join(whole, app.StateDir, "journal")) {
		kinds[p.kind]++
		r.lake = filepath.Join(t.TempDir(), "lake")
		if err := os.CopyFS(r.lake, os.DirFS(whole)); err != nil {
			t.Fatal(err)
		}
		r.checkSalvage(p, bought.Credits.Charged, flags)
	}
	for _, kind := range []byte{1, 2, 3, 4, 9, 10, 11} {
		if kinds[kind] == 0 {
			t.Errorf("the journal has no record of kind %d", kind)
		}
	}
}

// checkSalvage damages the record at a place, and salvages the journal.
func (r *rig) checkSalvage(p place, charged int64, flags []string) {
	t, journal := r.t, filepath.Join(r.lake, app.StateDir, "journal")
	t.Helper()
	path := filepath.Join(journal, "00000001.journal")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[p.at+33] ^= 0x55 // in its head
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if v := r.rerun(domainLines(40), flags...); v.code != exitIntegrity || v.requests != 0 {
		t.Errorf("a run on a journal with a damaged record of kind %d: exit %d, %d requests; want %d, 0", p.kind, v.code, v.requests, exitIntegrity)
	}
	r.salvage(exitIntegrity)
	if got := journalFiles(t, journal); len(got) != 1 || got["00000001.journal"] != string(raw) {
		t.Error("a salvage that was not accepted changed the journal")
	}
	report := r.salvage(exitComplete, "--accept-loss")
	if !report.Replaced || len(report.Gaps) != 1 || report.Runs != 1 {
		t.Errorf("kind %d: salvage --accept-loss = %+v", p.kind, report)
	}
	if got := journalFiles(t, report.KeptAs); got["00000001.journal"] != string(raw) {
		t.Error("the damaged journal was not kept")
	}
	var held, lost int64
	losses := 0
	for _, l := range report.Lost {
		switch losses++; {
		case l.Credits == nil:
			t.Errorf("kind %d: the charge of %+v is in the manifest, and is unknown", p.kind, l)
		case l.InDoubt:
			held += *l.Credits
		default:
			lost += *l.Credits
		}
	}
	if want := map[byte]int{2: 1, 3: 1}[p.kind]; report.Charged+held+lost != charged || losses != want || p.kind == 3 && lost > 0 {
		t.Errorf("kind %d: %d credits kept, %d held, %d lost; want %d in all and %d losses: %+v", p.kind, report.Charged, held, lost, charged, want, report.Lost)
	}
	v := r.rerun(domainLines(40), append([]string{"--new-run"}, flags...)...)
	if want := map[bool]int{true: exitInDoubt, false: exitComplete}[p.kind == 3]; v.credits != lost || v.code != want {
		t.Errorf("kind %d: the list again: %d credits, exit %d; want %d, exit %d: %s", p.kind, v.credits, v.code, lost, want, v.stderr)
	}
}

// TestSalvageOlder: a journal that lacks a run that the lake has is salvaged only if the loss is
// accepted, names it with its credits, and buys it again then, once. The lake is no broken one.
func TestSalvageOlder(t *testing.T) {
	eachStore(t, simulator.Config{}, func(t *testing.T, l *storedLake) {
		first, second := writeList(t, "first", 20), writeList(t, "second", 30)
		l.mustBuy(first)
		backup, before := l.files(app.StateDir), l.sim.Bill().Credits
		l.mustBuy(second)
		lost := l.sim.Bill().Credits - before
		l.replace(app.StateDir, backup)
		buy := append([]string{"run", second}, baseFlags...)
		if code, output, requests := l.buy(buy...); code != exitIntegrity || requests != 0 {
			t.Fatalf("run: exit %d after %d requests: %s", code, requests, output)
		}
		l.salvage(exitIntegrity)
		report := l.salvage(exitComplete, "--accept-loss")
		var named int64
		for _, loss := range report.Lost {
			if named += *loss.Credits; loss.InDoubt {
				t.Errorf("%+v is held, and the journal lacks it", loss)
			}
		}
		if !report.Replaced || named != lost || report.Charged != before || report.Runs != 2 || lost == 0 {
			t.Errorf("salvage --accept-loss = %+v, want %d credits lost of %d", report, lost, lost+before)
		}
		if code, output := l.look("verify"); code != exitComplete || !strings.Contains(output, "not compared") {
			t.Errorf("verify: exit %d: %s", code, output)
		}
		if again := l.salvage(exitComplete); !again.Whole {
			t.Errorf("salvage of the new journal = %+v", again)
		}
		for _, want := range []int64{lost, 0} {
			before = l.sim.Bill().Credits
			if code, output, _ := l.buy(buy...); code != exitComplete || l.sim.Bill().Credits-before != want {
				t.Errorf("run: exit %d for %d credits, want %d: %s", code, l.sim.Bill().Credits-before, want, output)
			}
		}
	})
}

// TestSalvageLines: the newest run bought nothing, and the journal lost it. Its lines count as lost, and the
// lake, which has their rows, is not advised to be rebuilt without them.
func TestSalvageLines(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{})
	const lines = 20
	r.run(domainLines(lines), baseFlags...)
	journal, backup := filepath.Join(r.lake, app.StateDir, "journal"), filepath.Join(t.TempDir(), "backup")
	if err := os.CopyFS(backup, os.DirFS(journal)); err != nil {
		t.Fatal(err)
	}
	if v := r.rerun(domainLines(lines), append([]string{"--new-run"}, baseFlags...)...); v.code != exitComplete || v.credits != 0 {
		t.Fatalf("the list again: exit %d for %d credits: %s", v.code, v.credits, v.stderr)
	}
	if err := errors.Join(os.RemoveAll(journal), os.CopyFS(journal, os.DirFS(backup))); err != nil {
		t.Fatal(err)
	}
	r.salvage(exitIntegrity)
	report := r.salvage(exitComplete, "--accept-loss")
	if !report.Replaced || len(report.Restored) != 1 || len(report.Lost) != 1 || report.Lost[0].Run != report.Restored[0] || report.Lost[0].Lines != lines || *report.Lost[0].Credits != 0 {
		t.Errorf("salvage --accept-loss = %+v, want %d lines lost", report, lines)
	}
	if out := r.mustExit(exitComplete, "verify"); !strings.Contains(out, "run "+report.Restored[0]+", of which 20 lines") {
		t.Errorf("verify does not name the run: %s", out)
	}
	r.mustExit(exitComplete, "verify", "--quick")
	if again := r.salvage(exitComplete); !again.Whole {
		t.Errorf("salvage of the new journal = %+v", again)
	}
	code, stdout, stderr := says(t, "rebuild", "--lake", r.lake, "--into", filepath.Join(t.TempDir(), "again"))
	for _, text := range []string{stdout, stderr} {
		if code != exitComplete || !strings.Contains(text, report.Restored[0]+", of which 20 lines") {
			t.Errorf("rebuild: exit %d, want %d, and the run named: %s", code, exitComplete, text)
		}
	}
	if err := os.RemoveAll(filepath.Join(r.lake, "data")); err != nil {
		t.Fatal(err)
	}
	if out := r.mustExit(exitIntegrity, "verify"); strings.Contains(out, "siglake rebuild") {
		t.Errorf("verify advises a rebuild, which would lack lines: %s", out)
	}
}

// TestSalvageInterrupted: a salvage that was interrupted between its last two renames leaves no
// lake without a journal, and is completed by the same command.
func TestSalvageInterrupted(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	r.run(domainLines(60), baseFlags...)
	journal := filepath.Join(r.lake, app.StateDir, "journal")
	if err := os.Rename(journal, journal+".salvaged"); err != nil {
		t.Fatal(err)
	}
	if v := r.rerun(domainLines(60), append([]string{"--new-run"}, baseFlags...)...); v.code != exitIntegrity || v.requests != 0 || !strings.Contains(v.stderr, "siglake salvage") {
		t.Errorf("a run after an interrupted salvage: exit %d, %d requests; want %d, 0, and the remedy: %s", v.code, v.requests, exitIntegrity, v.stderr)
	}
	if report := r.salvage(exitComplete); !report.Replaced {
		t.Errorf("salvage after an interrupted one = %+v", report)
	}
	r.mustExit(exitComplete, "verify")
}

// TestSalvageAgain: the name for the damaged journal is taken by that of a salvage in the same second, and
// an earlier one was interrupted before its first rename.
func TestSalvageAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	r.run(domainLines(60), baseFlags...)
	journal := filepath.Join(r.lake, app.StateDir, "journal")
	for range 3 {
		if err := os.Mkdir(journal+".salvaged", 0o700); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(journal, "00000001.journal")
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		raw[len(raw)/2] ^= 0x55
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		if report := r.salvage(exitComplete, "--accept-loss"); !report.Replaced {
			t.Fatalf("salvage = %+v", report)
		}
	}
	kept, err := filepath.Glob(journal + ".damaged-*")
	if err != nil || len(kept) != 3 {
		t.Errorf("damaged journals that are kept: %v, %v", kept, err)
	}
}

// TestSalvageWhileRunning: a journal that is being written is not salvaged.
func TestSalvageWhileRunning(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	tried := false
	setHook(t, func(_, _ string, do func() error) error {
		if r.billedCalls() == 1 && !tried {
			tried = true
			if err := os.Remove(filepath.Join(r.lake, app.StateDir, "lock")); err != nil {
				t.Error(err)
			}
			var stdout, stderr bytes.Buffer
			if code := envFor(t).execute(context.Background(), []string{"siglake", "salvage", "--lake", r.lake}, nil, &stdout, &stderr); code != exitLocked {
				t.Errorf("salvage during a run: exit %d, want %d: %s", code, exitLocked, stderr.String())
			}
		}
		return do()
	})
	defer clearHook(t)
	r.run(domainLines(100), append([]string{"--concurrency", "1", "--batch-size", "20"}, baseFlags...)...)
	if !tried || r.manifest == nil || r.manifest.Calls.ByOutcome[pipeline.Charged] != 1 {
		t.Errorf("tried: %t; manifest %+v", tried, r.manifest)
	}
}
