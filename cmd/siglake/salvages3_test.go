package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/bucket/buckettest"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/internal/wal"
)

// salvage runs "siglake salvage --json" on the lake.
func (l *storedLake) salvage(want int, flags ...string) (report app.SalvageReport) {
	l.t.Helper()
	before := l.sim.Bill().Requests
	args := slices.Concat([]string{"salvage", "--lake", l.uri, "--json"}, flags, l.access)
	code, stdout, stderr := runProgram(l.t, args...)
	if code != want || l.sim.Bill().Requests != before {
		l.t.Fatalf("salvage %v: exit %d after %d requests, want %d after none: %s%s", flags, code, l.sim.Bill().Requests-before, want, stdout, stderr)
	}
	if err := json.Unmarshal([]byte(stdout), &report); err != nil {
		l.t.Fatalf("%s: %v", stdout, err)
	}
	return report
}

// newBucketLake is a lake on S3 with one run of two calls, and the credits of that run. Its journal
// lies in its parts alone, as when a run was killed after it had published.
func newBucketLake(t *testing.T) (l *storedLake, store *buckettest.Store, list string, charged int64) {
	t.Helper()
	freezeDay(t)
	r := newRig(t, simulator.Config{})
	store = buckettest.Start(t)
	l = &storedLake{rig: r, uri: store.URI("lakes/salvage"), access: s3LakeFlags(t, store)}
	l.bucket = openTestBucket(t, store, l.uri)
	list = writeList(t, "salvage", 40)
	l.mustBuy(list, "--concurrency", "1", "--batch-size", "20")
	for name := range l.files(app.StateDir + "/journal/whole/") {
		l.remove(name)
	}
	return l, store, list, r.sim.Bill().Credits
}

// TestSalvageBucket damages the objects of a journal in a bucket. Salvage keeps all that other
// objects hold, names the rest with its credits, holds a call without its answer, and leaves the
// damaged objects as they are.
func TestSalvageBucket(t *testing.T) {
	l, _, list, charged := newBucketLake(t)
	if report := l.salvage(exitComplete); !report.Whole || report.Replaced {
		t.Errorf("salvage of a journal without damage = %+v", report)
	}
	whole, n := l.files(""), 0
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(whole)), func(name string) bool { return !strings.HasPrefix(name, app.StateDir+"/journal/") })
	seal, losses := slices.Max(slices.Collect(maps.Keys(l.files(app.StateDir+"/journal/parts/")))), 0
	for _, name := range names {
		for _, tampering := range tamperings[:3] {
			if n++; n%proof.Size(9, 4, 1) != 0 || name == seal && tampering.name == "delete" { // the next process writes a seal
				continue
			}
			l.replace("", whole)
			if changed := tampering.change(whole[name], nil, nil); changed == nil {
				l.remove(name)
			} else {
				l.write(name, changed)
			}
			if l.checkSalvage(t.Name()+": "+tampering.name+" of "+name, list, charged) > 0 {
				losses++
			}
		}
	}
	if losses == 0 {
		t.Error("nothing was ever lost: the test shows nothing")
	}
}

// checkSalvage salvages a damaged journal, and returns the number of calls that are not all there.
func (l *storedLake) checkSalvage(what, list string, charged int64) int {
	t, damaged := l.t, l.files("")
	t.Helper()
	buy := append([]string{"run", list, "--new-run"}, baseFlags...)
	code, output, requests := l.buy(buy...)
	if code != exitIntegrity || requests != 0 {
		t.Fatalf("%s: run: exit %d after %d requests, want %d after none: %s", what, code, requests, exitIntegrity, output)
	}
	report := app.SalvageReport{}
	if code, output := l.look("salvage"); code == exitIntegrity {
		if now := l.files(""); !maps.EqualFunc(now, damaged, bytes.Equal) {
			t.Errorf("%s: a salvage that was not accepted changed the lake", what)
		}
		report = l.salvage(exitComplete, "--accept-loss")
		if len(report.Lost) == 0 && len(report.Gaps) == 0 {
			t.Errorf("%s: --accept-loss was demanded for nothing: %s", what, output)
		}
		if !report.Replaced || report.KeptAs != l.uri+"/"+app.StateDir+"/journal/" {
			t.Errorf("%s: salvage --accept-loss = %+v", what, report)
		}
	} else if code != exitComplete || !strings.Contains(output, "was replaced") {
		t.Errorf("%s: salvage: exit %d: %s", what, code, output)
	}
	for name, raw := range damaged {
		if name != app.StateDir+"/journal.json" && !bytes.Equal(raw, l.files(name)[name]) {
			t.Errorf("%s: salvage changed %s", what, name)
		}
	}
	// The mark that it is retired: a process that still has it open writes nothing to it, and none
	// opens it.
	if _, err := wal.Open(t.Context(), wal.NewObjects(l.bucket, app.StateDir+"/journal", wal.ObjectsOptions{}), wal.Options{ReadOnly: true}); !errors.Is(err, wal.ErrCorrupt) || len(l.files(app.StateDir+"/journal/segments/00000002")) != 1 {
		t.Errorf("%s: the journal that was replaced is not retired: Open = %v", what, err)
	}
	if again := l.salvage(exitComplete); !again.Whole {
		t.Errorf("%s: the new journal is damaged: %+v", what, again)
	}
	var held, lost int64
	for _, loss := range report.Lost {
		switch {
		case loss.Credits == nil:
			t.Errorf("%s: the charge of %+v is in the manifest, and is unknown", what, loss)
		case loss.InDoubt:
			held += *loss.Credits
		default:
			lost += *loss.Credits
		}
	}
	if report.Replaced && report.Charged+held+lost != charged {
		t.Errorf("%s: %d credits kept, %d held, %d lost; want %d in all: %+v", what, report.Charged, held, lost, charged, report.Lost)
	}
	before := l.sim.Bill().Credits
	code, output, _ = l.buy(buy...)
	if want := map[bool]int{true: exitInDoubt, false: exitComplete}[held > 0]; code != want || l.sim.Bill().Credits-before != lost {
		t.Errorf("%s: the list again: exit %d for %d credits, want %d for %d: %s", what, code, l.sim.Bill().Credits-before, want, lost, output)
	}
	return len(report.Lost)
}

// TestSalvageBucketInterrupted ends salvage at each of its requests to the store, before or after the
// store carries it out. Whatever it leaves, the lake has the damaged journal, which runs refuse, or
// the new one; another salvage completes it, and removes what the first one left.
func TestSalvageBucketInterrupted(t *testing.T) {
	l, store, list, charged := newBucketLake(t)
	env := envFor(t)
	env.JournalRetryFor, env.BucketMaxBackoff = time.Nanosecond, time.Nanosecond
	for name, raw := range l.files(app.StateDir + "/journal/parts/") { // the first one: a run, a query, a call
		l.write(name, tamperings[1].change(raw, nil, nil))
		break
	}
	damaged := l.files("")
	var budget, seen atomic.Int64
	late := false
	proxy := buckettest.StartProxy(t, store, func(*http.Request) buckettest.Fault {
		switch n := seen.Add(1); {
		case n == budget.Load() && late:
			return buckettest.Fault{Late: true, Status: buckettest.Denied.Status, Code: buckettest.Denied.Code}
		case n >= budget.Load():
			return buckettest.Denied
		}
		return buckettest.Fault{}
	})
	direct := l.access
	through := slices.Concat(direct, []string{"--s3-endpoint", proxy.URL})
	old, replaced, total := 0, 0, 0
	for n := 1; ; n += proof.Size(31, 9, 1) {
		late = n%2 == 0
		l.replace("", damaged)
		budget.Store(int64(n))
		seen.Store(0)
		l.access = through
		code, output := l.look("salvage", "--accept-loss")
		l.access = direct
		if code == exitComplete && seen.Load() < int64(n) {
			total = n
			break
		}
		l.remove(app.StateDir + "/lock.json") // it expires, or the process that held it is known to have ended
		before := l.sim.Bill().Credits
		buy, problem, requests := l.buy(append([]string{"run", list, "--new-run"}, baseFlags...)...)
		switch {
		case buy == exitIntegrity && requests == 0:
			old++
			if code, output := l.look("salvage", "--accept-loss"); code != exitComplete || !strings.Contains(output, "was replaced") {
				t.Errorf("interrupted at request %d: salvage again: exit %d: %s", n, code, output)
			}
			buy, problem, _ = l.buy(append([]string{"run", list, "--new-run"}, baseFlags...)...)
		default:
			replaced++
		}
		if bought := l.sim.Bill().Credits - before; buy != exitComplete && buy != exitInDoubt || bought >= charged {
			t.Errorf("interrupted at request %d (exit %d: %s): run: exit %d for %d credits: %s", n, code, output, buy, bought, problem)
		}
		prefixes := map[string]bool{}
		for name := range l.files(app.StateDir + "/journal") {
			prefixes[strings.Split(name, "/")[1]] = true
		}
		if len(prefixes) > 3 { // the location, the damaged journal and the new one
			t.Errorf("interrupted at request %d: left behind: %v", n, slices.Sorted(maps.Keys(prefixes)))
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d requests; the damaged journal was left %d times, the new one %d times", total, old, replaced)
	if old == 0 || replaced == 0 && proof.Size(0, 0, 1) == 1 {
		t.Errorf("the damaged journal was left %d times, the new one %d times: the test shows nothing", old, replaced)
	}
}

// TestSalvageBucketLocked: a journal that is being written is not salvaged.
func TestSalvageBucketLocked(t *testing.T) {
	l, _, _, _ := newBucketLake(t)
	tried, handler := false, l.server.Config.Handler
	l.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && !tried {
			tried = true
			if code, output := l.look("salvage", "--accept-loss"); code != exitLocked {
				t.Errorf("salvage during a run: exit %d, want %d: %s", code, exitLocked, output)
			}
		}
		handler.ServeHTTP(w, r)
	})
	l.mustBuy(writeList(t, "locked", 20))
	if !tried {
		t.Error("salvage was not tried")
	}
	nowhere := *l
	nowhere.uri += "-nowhere"
	nowhere.bucket = openTestBucket(t, buckettest.Start(t), nowhere.uri)
	if code, output := nowhere.look("salvage"); code != exitUsage || !strings.Contains(output, "is not a siglake lake") {
		t.Errorf("salvage of no lake: exit %d: %s", code, output)
	}
}

// TestSalvageState: the journal of a lake on S3 in a directory of one machine is salvaged there. A
// run after an interrupted salvage does not begin another journal.
func TestSalvageState(t *testing.T) {
	freezeDay(t)
	r := newRig(t, simulator.Config{})
	store, state := buckettest.Start(t), filepath.Join(t.TempDir(), "state")
	l := &storedLake{rig: r, uri: store.URI("lakes/state"), access: append(s3LakeFlags(t, store), "--state", state)}
	l.bucket = openTestBucket(t, store, l.uri)
	list := writeList(t, "state", 40)
	l.mustBuy(list, "--concurrency", "1", "--batch-size", "20")
	journal, answers := filepath.Join(state, "journal"), []place{}
	for _, p := range recordPlaces(t, journal) {
		if p.kind == 3 {
			answers = append(answers, p)
		}
	}
	path := filepath.Join(journal, "00000001.journal")
	raw, err := os.ReadFile(path)
	if err != nil || len(answers) != 2 {
		t.Fatal(len(answers), err)
	}
	damaged := bytes.Clone(raw)
	damaged[answers[0].at+33] ^= 0x55
	if err := os.WriteFile(path, damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	again := append([]string{"run", list, "--new-run"}, baseFlags...)
	if code, output, requests := l.buy(again...); code != exitIntegrity || requests != 0 {
		t.Errorf("run: exit %d after %d requests: %s", code, requests, output)
	}
	l.salvage(exitIntegrity)
	report := l.salvage(exitComplete, "--accept-loss")
	if !report.Replaced || len(report.Lost) != 1 || !report.Lost[0].InDoubt || filepath.Dir(report.KeptAs) != state {
		t.Errorf("salvage --accept-loss = %+v", report)
	}
	if kept, err := os.ReadFile(filepath.Join(report.KeptAs, "00000001.journal")); err != nil || !bytes.Equal(kept, damaged) {
		t.Errorf("the damaged journal was not kept: %v", err)
	}
	billed := r.sim.Bill().Credits
	if code, output, _ := l.buy(again...); code != exitInDoubt || r.sim.Bill().Credits != billed {
		t.Errorf("run after salvage: exit %d for %d credits: %s", code, r.sim.Bill().Credits-billed, output)
	}

	if err := os.Rename(journal, journal+".salvaged"); err != nil {
		t.Fatal(err)
	}
	if code, output, requests := l.buy(again...); code != exitIntegrity || requests != 0 || !strings.Contains(output, "siglake salvage") {
		t.Errorf("run after an interrupted salvage: exit %d after %d requests: %s", code, requests, output)
	}
	if report := l.salvage(exitComplete); !report.Replaced {
		t.Errorf("salvage after an interrupted one = %+v", report)
	}
	if code, output, _ := l.buy(again...); code != exitInDoubt || r.sim.Bill().Credits != billed {
		t.Errorf("run after both: exit %d for %d credits: %s", code, r.sim.Bill().Credits-billed, output)
	}
	if code, _, stderr := runProgram(t, "salvage", "--lake", r.lake, "--state", state); code != exitUsage {
		t.Errorf("--state of a local lake: exit %d: %s", code, stderr)
	}
}
