package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/bucket/buckettest"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// unreadable takes the place of the brace that begins an answer, which no version reads then;
// readableJournal puts the brace back.
const unreadable = "#"

// garbleAnswers makes answers to paid calls unreadable; n counts them from 1. How "lost" closes
// the connection after the charge instead.
func (r *rig) garbleAnswers(how func(n int) string) {
	r.server.Close()
	paid := 0
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		q.Header.Del("Accept-Encoding")
		rec := httptest.NewRecorder()
		r.sim.ServeHTTP(rec, q)
		body := rec.Body.String()
		if q.Method == http.MethodPost && rec.Code/100 == 2 {
			paid++
			switch how(paid) {
			case "unreadable":
				body = unreadable + body[1:]
			case "lost":
				panic(http.ErrAbortHandler)
			}
		}
		for name, values := range rec.Header() {
			if name != "Content-Length" {
				w.Header()[name] = values
			}
		}
		w.WriteHeader(rec.Code)
		_, _ = io.WriteString(w, body)
	}))
	r.t.Cleanup(r.server.Close)
}

// readableJournal writes the journal as if its unreadable answers had been readable ones: it is then
// the journal of a version that could not read what the present one can.
func (r *rig) readableJournal() {
	r.t.Helper()
	if makeReadable(r.t, filepath.Join(r.lake, app.StateDir, "journal")) == 0 {
		r.t.Fatal("the journal has no unreadable answer")
	}
}

// makeReadable does so for the answers in a journal in a directory, and counts them.
func makeReadable(t *testing.T, dir string) (changed int) {
	t.Helper()
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	records, changed := readableRecords(t, openLog(t, dir+".old"))
	writeRecords(t, openLog(t, dir), records)
	if err := os.RemoveAll(dir + ".old"); err != nil {
		t.Fatal(err)
	}
	return changed
}

// readableRecords are the records of a journal, with all answers readable.
func readableRecords(t *testing.T, from *wal.Log) (records []wal.Record, changed int) {
	t.Helper()
	decoder, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	err = from.Walk(context.Background(), false, func(p wal.Position, _ byte, _ []byte, _ int64) error {
		rec, err := from.Read(context.Background(), p)
		if body, bad := decoder.DecodeAll(rec.Body, nil); bad == nil && bytes.HasPrefix(body, []byte(unreadable)) {
			rec.Body = encoder.EncodeAll(append([]byte("{"), body[1:]...), nil)
			changed++
		}
		records = append(records, wal.Record{Kind: rec.Kind, Head: slices.Clone(rec.Head), Body: slices.Clone(rec.Body)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return records, changed
}

// writeRecords writes records to a journal, and closes it.
func writeRecords(t *testing.T, to *wal.Log, records []wal.Record) {
	t.Helper()
	for _, rec := range records {
		if _, err := to.Write(rec.Kind, rec.Head, rec.Body); err != nil {
			t.Fatal(err)
		}
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
}

func openLog(t *testing.T, dir string) *wal.Log {
	t.Helper()
	store, err := wal.OpenDir(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	log, err := wal.Open(context.Background(), store, wal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return log
}

// checkBilled: the manifests together state what the simulator billed, to the credit.
func (r *rig) checkBilled() {
	r.t.Helper()
	var charged int64
	for _, m := range r.generations() {
		charged += m.Credits.Charged
	}
	if billed := r.sim.Bill().Credits; charged != billed {
		r.t.Errorf("the manifests state %d credits, the simulator billed %d", charged, billed)
	}
	var status struct {
		Credits int64 `json:"credits"`
		MaxCost int64 `json:"credits_most"`
	}
	r.decode([]byte(r.mustExit(exitComplete, "status", "--json")), &status)
	if billed := r.sim.Bill().Credits; status.Credits != billed || status.MaxCost != billed {
		r.t.Errorf("status says %d to %d credits, the simulator billed %d", status.Credits, status.MaxCost, billed)
	}
}

// allRows are the keys of the rows of tables of events or products in every generation.
func (r *rig) allRows() []string {
	r.t.Helper()
	keys := map[string]bool{}
	for _, r.manifest = range r.generations() {
		for _, row := range append(r.events(), r.products()...) {
			for _, column := range []string{"event_uid", "row_uid", "uid", "lookalike_uid", "visit_uid"} {
				if uid, ok := row[column].(string); ok {
					keys[uid] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(keys))
}

func secondUnreadable(n int) string {
	if n == 2 {
		return "unreadable"
	}
	return ""
}

// TestReread: an answer that an earlier version could not read is read from the journal, by the
// command for it and before anything that is in doubt is bought again. That costs nothing, and the
// lake then has the rows and the bill of a run without a doubt.
func TestReread(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	list, flags := domainLines(300), append([]string{"--concurrency", "1"}, baseFlags...)
	baseline := newRig(t, simulator.Config{})
	baseline.run(list, flags...)
	wanted := baseline.allRows()
	retry := []string{"--in-doubt", "retry", "--in-doubt-budget", "unlimited"}
	for _, c := range []struct {
		name          string
		before, after func(r *rig)
		flags         []string
		generations   int // before the last run
		last          bool
	}{
		{name: "held reread", after: func(r *rig) {
			var read []app.RereadCall
			r.decode([]byte(r.mustExit(exitComplete, "held", "reread", "--json")), &read)
			if len(read) != 1 || read[0].Outcome != pipeline.Charged || read[0].Credits == nil || read[0].Lines != 100 || read[0].Generation != 2 {
				t.Errorf("held reread = %+v, want one charged call of 100 lines in generation 2", read)
			}
			if text := r.mustExit(exitComplete, "held", "reread"); !strings.Contains(text, "0 calls read") {
				t.Errorf("the second reading says %q", text)
			}
		}, generations: 2},
		{name: "held retry", after: func(r *rig) {
			if text := r.mustExit(exitComplete, "held", "retry"); !strings.Contains(text, "100 lines answered") || strings.Contains(text, "released") {
				t.Errorf("held retry says %q", text)
			}
		}, generations: 2},
		{name: "run", generations: 2},
		{name: "a run that may retry", flags: retry, generations: 2},
		{name: "released by the earlier version", before: func(r *rig) { r.mustExit(exitComplete, "held", "retry") }, generations: 2},
		{name: "written off by the earlier version", before: func(r *rig) { r.mustExit(exitComplete, "held", "accept-loss") }, generations: 2},
		{name: "by its name", after: func(r *rig) {
			r.mustExit(exitUsage, "held", "reread", "no/such")
			d := r.generations()[0]
			r.mustExit(exitComplete, "held", "reread", d.Run.ID+"/"+d.InDoubt[0].Call)
		}, generations: 2},
		{name: "killed between the record and the rows", after: func(r *rig) {
			crashAt(t, func(_, path string) bool { return strings.HasSuffix(path, ".parquet.tmp") })
			r.mustExit(exitStorage, "held", "reread")
			clearHook(t)
		}, generations: 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, simulator.Config{})
			r.garbleAnswers(secondUnreadable)
			r.rerun(list, flags...)
			if n := r.manifest.Accounts.ByStatus[schema.InDoubt]; n != 100 {
				t.Fatalf("%d lines held, want 100", n)
			}
			if text := r.mustExit(exitInDoubt, "held", "reread"); !strings.Contains(text, "0 calls read, 1 still in doubt") {
				t.Errorf("an answer that is not understood: %q", text)
			}
			requests := r.sim.Bill().Requests
			if c.before != nil {
				c.before(r)
			}
			r.readableJournal()
			if c.after != nil {
				c.after(r)
			}
			if n := r.sim.Bill().Requests - requests; n != 0 {
				t.Errorf("%d requests, want none", n)
			}
			if c.after == nil {
				plan := r.exec(t.Context(), []string{"plan", "-"}, list, append(c.flags, flags...)...)
				if plan.code != exitComplete || !strings.Contains(plan.stdout, "1 call in doubt with answers that this version reads") || strings.Contains(plan.stdout, "lines held") || plan.requests > 2 {
					t.Errorf("the plan: exit %d, %d requests: %s%s", plan.code, plan.requests, plan.stdout, plan.stderr)
				}
			}
			v := r.rerun(list, append(c.flags, flags...)...)
			if v.code != exitComplete || v.calls != 0 || v.credits != 0 {
				t.Errorf("exit %d, %d calls, %d credits; want %d and none: %s%s", v.code, v.calls, v.credits, exitComplete, v.stdout, v.stderr)
			}
			if all := r.generations(); len(all) < c.generations || all[1].Run.Kind != pipeline.RereadGeneration || all[1].Run.Continues != all[0].Run.ID || all[1].Accounts.Lines != 100 {
				t.Errorf("%d generations, the second %+v, %+v; want a reread of the first, with 100 lines", len(all), all[1].Run, all[1].Accounts)
			}
			if text := r.mustExit(exitComplete, "held", "list"); !strings.Contains(text, "0 calls in doubt") {
				t.Errorf("held list says %q", text)
			}
			r.checkBilled()
			r.checkRebuild()
			if diff := cmp.Diff(wanted, r.allRows()); diff != "" || len(wanted) == 0 {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRereadBucket: the same of a lake on S3. What is read again is published in the bucket, at
// no cost.
func TestRereadBucket(t *testing.T) {
	freezeDay(t)
	r, store := newRig(t, simulator.Config{}), buckettest.Start(t)
	l := &storedLake{rig: r, uri: store.URI("lakes/reread"), access: s3LakeFlags(t, store)}
	l.bucket = openTestBucket(t, store, l.uri)
	list := writeList(t, "reread", 60)
	r.garbleAnswers(secondUnreadable)
	run := append([]string{"run", list, "--concurrency", "1", "--batch-size", "20"}, baseFlags...)
	if code, output, _ := l.buy(run...); code != exitInDoubt {
		t.Fatalf("run: exit %d: %s", code, output)
	}
	if code, output := l.look("held", "reread"); code != exitInDoubt || !strings.Contains(output, "0 calls read, 1 still in doubt") {
		t.Errorf("an answer that is not understood: exit %d: %s", code, output)
	}

	open := func(prefix string, o wal.Options) *wal.Log {
		log, err := wal.Open(t.Context(), wal.NewObjects(l.bucket, prefix, wal.ObjectsOptions{}), o)
		if err != nil {
			t.Fatal(err)
		}
		return log
	}
	const journal = app.StateDir + "/journal/"
	records, changed := readableRecords(t, open(journal, wal.Options{ReadOnly: true}))
	if writeRecords(t, open("readable", wal.Options{}), records); changed != 1 {
		t.Fatalf("%d answers changed, want 1", changed)
	}
	l.replace(journal, nil)
	for name, raw := range l.files("readable/") {
		l.write(journal+strings.TrimPrefix(name, "readable/"), raw)
		l.remove(name)
	}

	billed := r.sim.Bill()
	var read []app.RereadCall
	code, stdout, stderr := runProgram(t, slices.Concat([]string{"held", "reread", "--json", "--lake", l.uri}, l.access)...)
	if r.decode([]byte(stdout), &read); code != exitComplete || len(read) != 1 || read[0].Outcome != pipeline.Charged || read[0].Lines != 20 || read[0].Generation != 2 {
		t.Errorf("held reread: exit %d, %+v, want one charged call of 20 lines in generation 2: %s", code, read, stderr)
	}
	if code, output := l.look("held", "reread"); code != exitComplete || !strings.Contains(output, "0 calls read") {
		t.Errorf("the second reading: exit %d: %s", code, output)
	}
	if code, output := l.look("verify"); code != exitComplete {
		t.Errorf("verify: exit %d: %s", code, output)
	}
	if code, output, _ := l.buy(run...); code != exitComplete || r.sim.Bill().Credits != billed.Credits {
		t.Errorf("run: exit %d for %d credits, want %d for none: %s", code, r.sim.Bill().Credits-billed.Credits, exitComplete, output)
	}
	var charged int64
	for _, m := range bucketGenerations(t, store, l.uri) {
		charged += m.Credits.Charged
	}
	if charged != billed.Credits || charged == 0 {
		t.Errorf("the manifests state %d credits, the simulator billed %d", charged, billed.Credits)
	}
}

// TestRereadUnpublished: a run that was not published has the rows of an answer that is read again
// among its own.
func TestRereadUnpublished(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	list, flags := domainLines(300), append([]string{"--concurrency", "1"}, baseFlags...)
	r := newRig(t, simulator.Config{})
	r.garbleAnswers(secondUnreadable)
	crashAt(t, func(_, path string) bool { return strings.HasSuffix(path, ".parquet.tmp") })
	r.rerun(list, flags...)
	clearHook(t)
	r.readableJournal()
	if text := r.mustExit(exitComplete, "held", "reread"); !strings.Contains(text, "will publish its rows") {
		t.Errorf("held reread says %q", text)
	}
	v := r.rerun(list, flags...)
	if v.code != exitComplete || v.calls != 0 || len(r.generations()) != 1 || r.manifest.Accounts.ByStatus[schema.InDoubt] != 0 {
		t.Errorf("exit %d, %d calls, %+v; want %d, none, one generation without a doubt: %s", v.code, v.calls, r.manifest.Accounts, exitComplete, v.stderr)
	}
	r.check()
	r.checkBilled()
	r.checkRebuild()
}

// TestRereadLeavesLinesOpen: what an answer that is read again leaves open, ids that were searched
// or further pages, is requested by the next run, and nothing twice.
func TestRereadLeavesLinesOpen(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	companies := writeFiles(t, map[string]string{"list.txt": domainLines(40)})
	list := filepath.Join(companies, "list.txt")
	for _, c := range []struct {
		name  string
		words []string
		first int // the answer that is unreadable
	}{
		{"run by id", []string{"run", list, "--api", "v3", "--signals", "news", "--concurrency", "1"}, 1},
		{"signals by id", []string{"run", list, "--api", "v3", "--signals", "news", "--concurrency", "1"}, 2},
		{"resolve", []string{"resolve", list}, 1},
		{"score", []string{"score", list}, 1},
		{"lookalikes", []string{"lookalikes", "--seeds", list, "--limit", "60"}, 1},
		{"lookalikes, the second page", []string{"lookalikes", "--seeds", list, "--limit", "120"}, 2},
		{"visitors", []string{"visitors", "--domain", "company-0001.example", "--since", "7d"}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			baseline := newRig(t, simulator.Config{})
			baseline.rerunCost(c.words...)
			if baseline.code != exitComplete {
				t.Fatalf("exit %d: %s", baseline.code, baseline.stderr)
			}
			r := newRig(t, simulator.Config{})
			r.garbleAnswers(func(n int) string {
				if n == c.first {
					return "unreadable"
				}
				return ""
			})
			r.rerunCost(c.words...)
			if r.code != exitInDoubt {
				t.Fatalf("exit %d, want %d: %s", r.code, exitInDoubt, r.stderr)
			}
			r.readableJournal()
			r.mustExit(exitComplete, "held", "reread")
			r.rerunCost(c.words...)
			if r.code != exitComplete {
				t.Errorf("exit %d, want %d: %s%s", r.code, exitComplete, r.stdout, r.stderr)
			}
			if got, want := r.sim.Bill().Credits, baseline.sim.Bill().Credits; got != want {
				t.Errorf("billed %d credits, want %d", got, want)
			}
			r.checkBilled()
			r.checkRebuild()
			if diff := cmp.Diff(baseline.allRows(), r.allRows()); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRepeatedFailure: entities that were requested again and failed in the same way are not
// requested a third time, unless that is allowed in so many words. Another kind of failure is not a
// repetition.
func TestRepeatedFailure(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	list, flags := domainLines(40), append([]string{"--concurrency", "1"}, baseFlags...)
	retry := append([]string{"--in-doubt", "retry", "--in-doubt-budget", "unlimited"}, flags...)
	for _, c := range []struct {
		name        string
		first, then string
		stops       bool
	}{
		{"not understood twice", "unreadable", "unreadable", true},
		{"lost twice", "lost", "lost", true},
		{"lost, then not understood", "lost", "unreadable", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, simulator.Config{})
			r.garbleAnswers(func(n int) string {
				if n == 1 {
					return c.first
				}
				return c.then
			})
			r.rerun(list, flags...)
			r.mustExit(exitComplete, "held", "retry")
			if v := r.rerun(list, flags...); v.code != exitInDoubt || v.entities != 40 {
				t.Fatalf("exit %d, %d entities; want %d and 40: %s", v.code, v.entities, exitInDoubt, v.stderr)
			}
			if !c.stops {
				r.mustExit(exitComplete, "held", "retry")
				if v := r.rerun(list, flags...); v.entities != 40 {
					t.Errorf("%d entities, want 40: %s", v.entities, v.stderr)
				}
				return
			}
			text := r.mustExit(exitInDoubt, "held", "retry")
			for _, says := range []string{"failed in the same way", "held retry --repeat-failed", "held accept-loss", "0 calls released"} {
				if !strings.Contains(text, says) {
					t.Errorf("held retry does not say %q: %s", says, text)
				}
			}
			for _, f := range [][]string{flags, retry} {
				if v := r.rerun(list, f...); v.code != exitInDoubt || v.calls != 0 || v.credits != 0 {
					t.Errorf("%v: exit %d, %d calls, %d credits; want %d and none: %s", f, v.code, v.calls, v.credits, exitInDoubt, v.stderr)
				}
			}
			if v := r.rerun(list, retry...); !strings.Contains(v.stderr, "--repeat-failed") {
				t.Errorf("the run does not say what to do: %s", v.stderr)
			}
			var held []app.InDoubtCall
			r.decode([]byte(r.mustExit(exitComplete, "held", "list", "--json")), &held)
			var released app.DecisionReport
			r.decode([]byte(r.mustExit(exitComplete, "held", "retry", "--json", "--repeat-failed", held[0].Call)), &released)
			if v := r.rerun(list, flags...); len(held) != 4 || len(released.Calls) != 1 || v.entities != 10 {
				t.Errorf("%d calls in doubt, released %+v, %d entities requested; want 4, 1, 10: %s", len(held), released, v.entities, v.stderr)
			}
			text = r.mustExit(exitInDoubt, "held", "retry", "--json")
			if err := json.Unmarshal([]byte(text), &released); err != nil || len(released.Calls) != 0 || len(released.Repeated) != 4 {
				t.Errorf("held retry --json = %s, %v, want 4 repeated", text, err)
			}
			r.checkRebuild()
		})
	}
}

// TestRereadSettlesRepeatedFailure: entities that failed twice are read from both answers, and the
// bill is known to the credit.
func TestRereadSettlesRepeatedFailure(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	list, flags := domainLines(40), append([]string{"--concurrency", "1"}, baseFlags...)
	r := newRig(t, simulator.Config{})
	r.garbleAnswers(func(int) string { return "unreadable" })
	r.rerun(list, flags...)
	r.mustExit(exitComplete, "held", "retry")
	r.rerun(list, flags...)
	r.readableJournal()
	if text := r.mustExit(exitComplete, "held", "retry"); !strings.Contains(text, "4 calls read") {
		t.Errorf("held retry says %q", text)
	}
	if text := r.mustExit(exitComplete, "held", "reread"); !strings.Contains(text, "1 call read") {
		t.Errorf("held reread says %q", text)
	}
	if v := r.rerun(list, flags...); v.code != exitComplete || v.calls != 0 {
		t.Errorf("exit %d, %d calls; want %d and none: %s", v.code, v.calls, exitComplete, fmt.Sprint(v.stdout, v.stderr))
	}
	r.checkBilled()
	r.checkRebuild()
}

// TestRereadCrash: whichever file operation a reading ends at, the next one completes it: the rows
// are published once, and the bill is that of the simulator.
func TestRereadCrash(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	list, flags := domainLines(30), append([]string{"--concurrency", "1", "--batch-size", "10"}, baseFlags...)
	r := newRig(t, simulator.Config{})
	r.garbleAnswers(secondUnreadable)
	r.rerun(list, flags...)
	r.readableJournal()
	untouched := r.lake
	step := proof.Size(17, 3, 1)
	for at := 1; ; at += step {
		r.lake = filepath.Join(t.TempDir(), "lake")
		if err := os.CopyFS(r.lake, os.DirFS(untouched)); err != nil {
			t.Fatal(err)
		}
		operations := 0
		crashAt(t, func(string, string) bool { operations++; return operations >= at })
		var stdout, stderr bytes.Buffer
		code := envFor(t).execute(t.Context(), []string{"siglake", "held", "reread", "--lake", r.lake}, strings.NewReader(""), &stdout, &stderr)
		clearHook(t)
		if code == exitComplete {
			if at < 10 {
				t.Errorf("only %d operations", at)
			}
			break
		}
		if v := r.rerun(list, flags...); v.code != exitComplete || v.calls != 0 {
			t.Errorf("after %d operations, exit %d: exit %d, %d calls; want %d and none: %s", at-1, code, v.code, v.calls, exitComplete, v.stderr)
		}
		r.checkBilled()
		r.checkRebuild()
		if t.Failed() {
			break
		}
	}
}
