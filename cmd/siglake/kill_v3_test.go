package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// mixedList is a list of which most lines name a domain, and some the id of a
// company that no other line names.
func mixedList(t *testing.T, seed uint64, lines int) string {
	t.Helper()
	r := newRig(t, simulator.Config{Seed: seed})
	var others strings.Builder
	for i := range lines / 8 {
		fmt.Fprintf(&others, "other-%d-%04d.example\n", seed, i)
	}
	r.runProduct("resolve", others.String())
	var text strings.Builder
	text.WriteString("account_id,domain,lusha company id\n")
	ids := r.products()
	for i := range lines {
		if i%9 == 4 && len(ids) > 0 {
			fmt.Fprintf(&text, "K%05d,,%s\n", i, ids[0]["entity_id"])
			ids = ids[1:]
			continue
		}
		fmt.Fprintf(&text, "K%05d,company-%d-%04d.example,\n", i, seed, i)
	}
	return text.String()
}

// seedList is a list of contacts or companies that others can be like.
func seedList(o schema.Object, seed uint64) string {
	var text strings.Builder
	text.WriteString(map[schema.Object]string{schema.Contact: "email\n", schema.Company: "domain\n"}[o])
	for i := range 8 {
		if o == schema.Contact {
			fmt.Fprintf(&text, "ada.sample%c@company-%d.example\n", 'a'+i, seed)
		} else {
			fmt.Fprintf(&text, "company-%d-%04d.example\n", seed, i)
		}
	}
	return text.String()
}

// runProduct runs a command other than "siglake run" on a list that comes by
// standard input, if it takes one.
func (r *rig) runProduct(name, list string, flags ...string) runResult {
	r.t.Helper()
	words := []string{name}
	switch name {
	case app.LookalikesName:
		words = append(words, "--seeds", "-")
	case app.VisitorsName:
	default:
		words = append(words, "-")
	}
	return r.exec(context.Background(), words, list, flags...)
}

// mixedWorld is one of "siglake run --api v3": ids are searched, then signals
// are asked for by id.
func mixedWorld(t *testing.T, seed uint64, lines int) *world {
	t.Helper()
	return listWorld(t, seed, mixedList(t, seed, lines), nil,
		"--api", "v3", "--signals", "news,growth", "--timeout", "5s", "--batch-size", "25", "--concurrency", "8", "--quiet")
}

// lookalikesWorld is one of "siglake lookalikes".
func lookalikesWorld(t *testing.T, o schema.Object, seed uint64, limit int) *world {
	t.Helper()
	return listWorld(t, seed, seedList(o, seed), []string{app.LookalikesName, "--seeds"},
		"--limit", fmt.Sprint(limit), "--page-size", "20", "--timeout", "5s", "--quiet")
}

// rerunUntilDone decides about the pages that were lost, and repeats the command, until
// there is nothing left to ask. Every other time they are given up.
func (w *world) rerunUntilDone(rng *rand.Rand) (lost int) {
	w.t.Helper()
	for range 60 {
		decision := []string{"retry", "accept-loss"}[rng.IntN(2)]
		if len((&rig{t: w.t, lake: w.lake}).rankedLookalikes()) == 0 {
			decision = "retry" // else the session would be given up, and all with it
		}
		if code, _, stderr := runProgram(w.t, "held", decision, "--lake", w.lake); code != exitComplete {
			w.t.Fatalf("held %s: exit %d\n%s", decision, code, stderr)
		}
		cmd, stderr := w.startRun(0)
		switch code := exitOf(cmd.Wait()); code {
		case exitComplete:
			return lost
		case exitInDoubt:
			lost++
		default:
			w.t.Fatalf("after held %s: exit %d\n%s", decision, code, stderr)
		}
	}
	w.t.Fatal("it does not come to an end")
	return lost
}

// checkPages holds a lake of pages against the simulator's bill and against the
// undisturbed run.
func (w *world) checkPages() (doubts int) {
	w.t.Helper()
	if code, stdout, stderr := runProgram(w.t, "verify", "--lake", w.lake); code != exitComplete {
		w.t.Errorf("verify: exit %d\n%s%s", code, stdout, stderr)
	}
	doubts = w.reconcile()
	r := &rig{t: w.t, lake: w.lake}
	r.checkSecret()
	firstLost, begun := w.countSessions()
	sessions := map[string]bool{}
	for i, row := range r.rankedLookalikes() {
		sessions[fmt.Sprint(row["session_id"])] = true
		if got := row["rank"].(int64); got != int64(i)+1 {
			w.t.Errorf("the %d-th result has the rank %d", i+1, got)
			break
		}
	}
	if n := r.countTwice(); n > 0 {
		w.t.Errorf("%d results are in the lake twice", n)
	}
	if begun > 1+firstLost {
		w.t.Errorf("a session was begun %d times, and the first page was lost %d times", begun, firstLost)
	}
	if len(sessions) != 1 {
		w.t.Errorf("results of %d sessions, want one", len(sessions))
	}
	// A lost page may have taken results out of the session.
	got, want := r.lookalikeNames(), w.ranked
	if n := len(got); n > len(want) || n < len(want)-20*doubts {
		w.t.Errorf("%d results with %d pages lost, want as many as an undisturbed run's %d but for the lost ones", n, doubts, len(want))
	}
	if doubts > 0 {
		return doubts
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Errorf("results differ from those of an undisturbed run (-want +got):\n%s", diff)
	}
	_, status := lakeRowsByKey(r)
	if diff := cmp.Diff(w.status, status); diff != "" {
		w.t.Errorf("fates differ from those of an undisturbed run (-want +got):\n%s", diff)
	}
	return doubts
}

// lookalikeNames names the lookalikes of all generations, by their rank.
func (r *rig) lookalikeNames() (names []string) {
	r.t.Helper()
	for _, row := range r.rankedLookalikes() {
		names = append(names, fmt.Sprint(row["entity_id"], " ", row["domain"]))
	}
	return names
}

// countTwice are the results that the lake has more than once.
func (r *rig) countTwice() int {
	r.t.Helper()
	names := r.lookalikeNames()
	all := len(names)
	slices.Sort(names)
	return all - len(slices.Compact(names))
}

// rankedLookalikes are the lookalikes of all generations, by their rank.
func (r *rig) rankedLookalikes() (rows []map[string]any) {
	r.t.Helper()
	t, _ := schema.TableNamed(string(schema.CategoryLookalikes))
	for _, m := range r.generations() {
		at := &rig{t: r.t, lake: r.lake, manifest: m}
		rows = append(rows, at.table(t)...)
	}
	slices.SortFunc(rows, func(a, b map[string]any) int { return int(a["rank"].(int64) - b["rank"].(int64)) })
	return rows
}

// countSessions counts the requests that started sessions, and those of them that lost
// their answers.
func (w *world) countSessions() (lost, begun int) {
	w.t.Helper()
	j := w.openJournal()
	for _, run := range j.Runs() {
		for a, err := range j.Reader().Answers(context.Background(), run) {
			if err != nil {
				w.t.Fatal(err)
			}
			c := a.Reply.Calls[0]
			if a.Batch.Items[0].Page.Session != "" || c.Outcome == pipeline.NotCharged {
				continue
			}
			begun++
			if c.Outcome == pipeline.InDoubt {
				lost++
			}
		}
	}
	return lost, begun
}

// TestKillV3 kills runs that search ids before they ask by them.
func TestKillV3(t *testing.T) {
	t.Parallel()
	killLoop(t, proof.Size(1, 12, 500), func(t *testing.T, program string, seed uint64) (*world, time.Duration) {
		w := mixedWorld(t, seed, proof.Size(400, 900, 900))
		w.startProcesses(program, seed, faultMenu...)
		return w, 60 * time.Millisecond
	}, func(w *world, _ *rand.Rand) int { return w.check() })
}

// TestKillPages kills runs that ask for page after page of lookalikes, of
// contacts and of companies.
func TestKillPages(t *testing.T) {
	t.Parallel()
	killLoop(t, proof.Size(1, 12, 500), func(t *testing.T, program string, seed uint64) (*world, time.Duration) {
		w := lookalikesWorld(t, []schema.Object{schema.Contact, schema.Company}[seed%2], seed, 300)
		w.startProcesses(program, seed, faultMenu...)
		return w, 60 * time.Millisecond
	}, func(w *world, rng *rand.Rand) int {
		w.rerunUntilDone(rng)
		return w.checkPages()
	})
}

// TestCrashV3 and TestCrashPages kill runs at chosen operations on files, before
// and after each.
func TestCrashV3(t *testing.T) {
	t.Parallel()
	crashLoop(t, proof.Size(997, 263, 1), func(t *testing.T, seed uint64) *world {
		w := mixedWorld(t, seed, 120)
		w.startProcesses(os.Args[0], seed, "500-refused%4", "drop-after-charge%2")
		return w
	}, (*world).check)
}

func TestCrashPages(t *testing.T) {
	t.Parallel()
	crashLoop(t, proof.Size(661, 167, 1), func(t *testing.T, seed uint64) *world {
		w := lookalikesWorld(t, schema.Company, seed, 160)
		w.startProcesses(os.Args[0], seed, "500-refused%4", "drop-after-charge%2")
		return w
	}, func(w *world) int {
		w.rerunUntilDone(rand.New(rand.NewPCG(1, 1)))
		return w.checkPages()
	})
}
