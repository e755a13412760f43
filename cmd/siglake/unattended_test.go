package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// unattended is a scheduler: it runs "siglake run" on a list in a file, night after night.
type unattended struct {
	*rig
	now   time.Time
	list  string // path
	flags []string
}

func newUnattended(t *testing.T, cfg simulator.Config) *unattended {
	t.Helper()
	n := &unattended{now: time.Date(2026, 5, 4, 2, 0, 0, 0, time.UTC), list: filepath.Join(t.TempDir(), "crm.txt")}
	clock := func() time.Time { return n.now }
	setNow(t, clock)
	cfg.Now = clock
	n.rig = newRig(t, cfg)
	n.flags = slices.Concat([]string{"--unattended", "--max-credits", "unlimited", "--concurrency", "1"}, baseFlags)
	return n
}

// run runs the night's command on a list of so many lines, of which the first differs every night.
func (n *unattended) run(lines int, flags ...string) runResult {
	n.t.Helper()
	text := fmt.Sprintf("tonight-%s.example\n", n.now.Format("0102")) + domainLines(lines-1)
	if err := os.WriteFile(n.list, []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
	return n.exec(n.t.Context(), []string{"run", n.list}, "", slices.Concat(n.flags, flags)...)
}

// tomorrow moves the clock to the next night.
func (n *unattended) tomorrow() { n.now = n.now.AddDate(0, 0, 1) }

// status is what status --json says.
func (n *unattended) status(want int, flags ...string) (s app.LakeStatus) {
	n.t.Helper()
	n.decode([]byte(n.mustExit(want, append([]string{"status", "--json"}, flags...)...)), &s)
	return s
}

// checkBill holds the manifests of all runs against the simulator's bill: what is in neither is at
// most what the manifests declare to be in doubt.
func (n *unattended) checkBill() {
	n.t.Helper()
	var charged, inDoubt int64
	for _, m := range n.generations() {
		charged += m.Credits.Charged
		inDoubt += m.Credits.InDoubtCeiling
	}
	if lost := n.sim.Bill().Credits - charged; lost < 0 || lost > inDoubt {
		n.t.Errorf("%d credits were billed and are in no manifest, want at most the declared %d", lost, inDoubt)
	}
	n.mustExit(exitComplete, "verify")
}

// TestUnattendedNights: whatever happened to a night, the next one publishes what it paid for, keeps
// its calls in doubt held, and requests its own window, in one command, about a list that changes.
func TestUnattendedNights(t *testing.T) {
	t.Parallel()
	for name, died := range map[string]func(n *unattended) func(op, path string) bool{
		"with a call in doubt": func(n *unattended) func(op, path string) bool {
			return func(op, _ string) bool { return op == "write" && n.billedCalls() == 2 }
		},
		"with an answer unread": func(n *unattended) func(op, path string) bool {
			return func(op, _ string) bool { return op == "sync" && n.billedCalls() == 2 }
		},
		"before publication": func(*unattended) func(op, path string) bool {
			return func(_, path string) bool { return strings.HasSuffix(path, ".parquet.tmp") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newUnattended(t, simulator.Config{})
			crashAt(t, died(n))
			if v := n.run(300); v.code != exitStorage || n.manifest != nil {
				t.Fatalf("the first night: exit %d, manifest %v; want %d and none: %s", v.code, n.manifest, exitStorage, v.stderr)
			}
			clearHook(t)
			bought := n.sim.Bill().Credits
			n.tomorrow()
			v := n.run(300)
			chain := n.generations()
			if v.code != exitComplete || v.entities != 300 || len(chain) != 2 {
				t.Fatalf("the second night: exit %d, %d entities, %d generations; want %d, 300, 2: %s", v.code, v.entities, len(chain), exitComplete, v.stderr)
			}
			if until := n.manifest.Queries[0].Until; until != "2026-05-05" {
				t.Errorf("the second night's window ends on %s, want its own day", until)
			}
			first, inDoubt := chain[0], name == "with a call in doubt"
			if first.Credits.Charged+first.Credits.InDoubtCeiling < bought || (first.Credits.InDoubtCalls == 1) != inDoubt || first.Run.Stop.Kind != pipeline.StopClosed {
				t.Errorf("the first night published %+v, stop %+v; want all of %d credits, and a call in doubt: %t", first.Credits, first.Run.Stop, bought, inDoubt)
			}
			if strings.Contains(v.stderr, "stay held") != inDoubt || !strings.Contains(v.stderr, first.Run.ID) {
				t.Errorf("the second night says of the first %q", v.stderr)
			}
			s := n.status(exitComplete)
			if s.OpenLines != 0 || s.Unfinished != "" || (s.Liability.InDoubt.Calls == 1) != inDoubt || s.Runs[0].Exit != nil || s.Runs[1].Exit == nil || *s.Runs[1].Exit != exitComplete {
				t.Errorf("status %+v; want nothing open, the call in doubt: %t, and the exit code of the second night alone", s, inDoubt)
			}
			n.checkBill()
		})
	}
}

// TestUnattendedCrashes: nights that crash anywhere, one after another, with a list that changes every
// night: none is refused, nothing paid is lost, nothing is bought twice, and the next undisturbed night
// has its own window.
func TestUnattendedCrashes(t *testing.T) {
	t.Parallel()
	for seed := range proof.Size(2, 12, 60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(uint64(seed), 1))
			n := newUnattended(t, simulator.Config{})
			n.flags = append(n.flags, "--batch-size", "20")
			crashes := 0
			for range 6 {
				var ops atomic.Int64
				last := 20 + rng.Int64N(250)
				crashAt(t, func(string, string) bool { return ops.Add(1) > last })
				switch v := n.run(90 + rng.IntN(20)); v.code {
				case exitStorage:
					crashes++
				case exitComplete, exitInDoubt:
				default:
					t.Fatalf("night %s: exit %d: %s", n.now.Format(time.DateOnly), v.code, v.stderr)
				}
				clearHook(t)
				n.tomorrow()
			}
			v := n.run(100)
			if q := n.manifest.Queries[0]; v.code != exitComplete || v.entities != 100 || q.Until != n.now.Format(time.DateOnly) || crashes == 0 {
				t.Errorf("after %d crashes: exit %d, %d entities, window until %s; want %d, 100, today: %s", crashes, v.code, v.entities, q.Until, exitComplete, v.stderr)
			}
			if s := n.status(exitComplete); s.OpenLines != 0 || s.Unfinished != "" {
				t.Errorf("status: %d open lines, unfinished %q; want none", s.OpenLines, s.Unfinished)
			}
			n.checkBill()
		})
	}
}

// TestUnattendedSameNight: a scheduler's retry in the same night continues the run, also past
// midnight, and buys nothing twice.
func TestUnattendedSameNight(t *testing.T) {
	t.Parallel()
	n := newUnattended(t, simulator.Config{})
	n.now = n.now.Add(21*time.Hour + 50*time.Minute) // 23:50
	crashAt(t, func(op, _ string) bool { return op == "sync" && n.billedCalls() == 2 })
	n.run(500)
	clearHook(t)
	before := n.sim.Bill()
	if len(before.Entries) == 0 || before.Billed != 2 {
		t.Fatalf("%d calls were billed, want 2", before.Billed)
	}
	list, err := os.ReadFile(n.list)
	if err != nil {
		t.Fatal(err)
	}
	n.now = n.now.Add(20 * time.Minute)
	v := n.exec(t.Context(), []string{"run", n.list}, string(list), n.flags...)
	if until := n.manifest.Queries[0].Until; v.code != exitComplete || v.entities != 300 || until != "2026-05-04" || len(n.generations()) != 1 {
		t.Errorf("exit %d, %d entities, window until %s; want %d, the 300 that were left, and the window of the night: %s", v.code, v.entities, until, exitComplete, v.stderr)
	}
	n.checkBill()
}

// TestUnattendedEarlyEnd: the lines of a night that ended by its budget are counted until the next
// night requests them, in its own window and with the list of that night.
func TestUnattendedEarlyEnd(t *testing.T) {
	t.Parallel()
	for _, changed := range []bool{true, false} {
		t.Run(fmt.Sprintf("changed=%t", changed), func(t *testing.T) {
			t.Parallel()
			n := newUnattended(t, simulator.Config{Switches: simulator.Switches{Events: "most"}})
			v := n.run(300, "--max-credits", "500")
			left := n.manifest.Accounts.ByStatus[schema.Deferred]
			if v.code != exitDeferred || left == 0 {
				t.Fatalf("exit %d, %d lines left; want %d and some: %s", v.code, left, exitDeferred, v.stderr)
			}
			s := n.status(exitStale, "--max-age", "26h")
			if s.OpenLines != left || len(s.Lists) != 1 || s.Lists[0].Open != left || s.Lists[0].GoodAt != nil || *s.Runs[0].Exit != exitDeferred || s.Runs[0].Stop != "budget" {
				t.Errorf("status after the first night: %d open lines, lists %+v, run %+v; want %d, none good, %d", s.OpenLines, s.Lists, s.Runs[0], left, exitDeferred)
			}
			n.tomorrow()
			if s := n.status(exitComplete); s.OpenLines != left {
				t.Errorf("status before the second night: %d open lines, want %d", s.OpenLines, left)
			}
			if changed {
				v = n.run(300)
			} else {
				v = n.exec(t.Context(), []string{"run", n.list}, "", n.flags...)
			}
			if until := n.manifest.Queries[0].Until; v.code != exitComplete || v.entities != 300 || until != "2026-05-05" || n.manifest.Run.Continues != "" {
				t.Errorf("the second night: exit %d, %d entities, window until %s; want %d, all 300, its own day: %s", v.code, v.entities, until, exitComplete, v.stderr)
			}
			if s := n.status(exitComplete, "--max-age", "26h"); s.OpenLines != 0 || s.Lists[0].LastGood != n.manifest.Run.ID || *s.Lists[0].Age != 0 {
				t.Errorf("status after the second night: %d open lines, lists %+v; want none, and its run", s.OpenLines, s.Lists)
			}
			n.now = n.now.Add(27 * time.Hour)
			if s := n.status(exitStale, "--max-age", "26h"); !s.Lists[0].Stale || *s.Lists[0].Age != 27*3600 {
				t.Errorf("27 hours later: lists %+v, want a stale one", s.Lists)
			}
			n.status(exitComplete, "--max-age", "2d")
			n.checkBill()
		})
	}
}

// TestTwoLists: the unfinished run of one list is in no other list's way, even without --unattended,
// and its own command and resume request what it left.
func TestTwoLists(t *testing.T) {
	t.Parallel()
	for _, by := range []string{"run", "resume"} {
		t.Run(by, func(t *testing.T) {
			t.Parallel()
			freezeDay(t)
			r := newRig(t, simulator.Config{})
			eu, us := writeList(t, "eu", 500), writeList(t, "us", 200)
			flags := append([]string{"--concurrency", "1"}, baseFlags...)
			crashAt(t, func(op, _ string) bool { return op == "sync" && r.billedCalls() == 2 })
			r.exec(t.Context(), []string{"run", eu}, "", flags...)
			clearHook(t)
			v := r.exec(t.Context(), []string{"run", us}, "", flags...)
			if v.code != exitComplete || v.entities != 200 || len(r.generations()) != 2 {
				t.Fatalf("the other list: exit %d, %d entities; want %d, 200: %s", v.code, v.entities, exitComplete, v.stderr)
			}
			var s app.LakeStatus
			r.decode([]byte(r.mustExit(exitComplete, "status", "--json")), &s)
			if s.OpenLines != 300 || !slices.Contains(s.Next, "siglake resume --lake "+r.lake) || len(s.Lists) != 2 || s.Lists[0].Open != 300 || s.Lists[1].Open != 0 {
				t.Errorf("status: %d open lines, next %q, lists %+v; want the 300 of the first list, and resume", s.OpenLines, s.Next, s.Lists)
			}
			words := []string{"run", eu}
			if by == "resume" {
				words, flags = []string{"resume"}, nil
			}
			if v := r.exec(t.Context(), words, "", flags...); v.code != exitComplete || v.entities != 300 {
				t.Errorf("%s: exit %d, %d entities; want %d, the 300 that were left: %s", by, v.code, v.entities, exitComplete, v.stderr)
			}
			r.mustExit(exitComplete, "verify")
		})
	}
}

// TestStoppedLongList: a run of a long list that is stopped does not read the list to its end,
// says so, and the next run requests every line that it left.
func TestStoppedLongList(t *testing.T) {
	t.Parallel()
	n := newUnattended(t, simulator.Config{})
	lines := proof.Size(30_000, 60_000, 200_000)
	text := domainLines(lines)
	ctx, cancel := context.WithCancel(t.Context())
	if err := os.WriteFile(n.list, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	setHook(t, func(_, _ string, do func() error) error {
		if n.billedCalls() >= 2 {
			cancel()
		}
		return do()
	})
	v := n.exec(ctx, []string{"run", n.list}, "", n.flags...)
	clearHook(t)
	m := n.manifest
	if v.code != exitDeferred || !m.Input.Unread || m.Accounts.Lines >= int64(lines) || m.Input.Total != int64(lines) || m.Input.SHA256 == "" {
		t.Fatalf("exit %d, %d of %d lines, input %+v; want %d, fewer, and that the rest was not read: %s", v.code, m.Accounts.Lines, lines, m.Input, exitDeferred, v.stderr)
	}
	if !strings.Contains(v.stdout, "more not read") {
		t.Errorf("the summary does not say that lines were not read: %s", v.stdout)
	}
	want := int64(lines - v.entities)
	if s := n.status(exitComplete); s.OpenLines != want || s.Runs[0].Stop != "interrupted" {
		t.Errorf("status: %d open lines, stop %q; want %d, interrupted", s.OpenLines, s.Runs[0].Stop, want)
	}
	n.checkBill()
}

// TestRunningStatus: while a run is at work, status tells it from an unfinished one, and says whose
// process it is and how far it has come.
func TestRunningStatus(t *testing.T) {
	t.Parallel()
	n := newUnattended(t, simulator.Config{})
	var during app.LakeStatus
	var text, history string
	setHook(t, func(_, _ string, do func() error) error {
		if n.billedCalls() == 2 && text == "" {
			text = "asked"
			during, text = n.status(exitComplete), n.mustExit(exitComplete, "status")
			history = n.mustExit(exitComplete, "runs")
		}
		return do()
	})
	v := n.run(300)
	clearHook(t)
	if v.code != exitComplete || len(during.Runs) != 1 {
		t.Fatalf("exit %d, status during the run %+v", v.code, during)
	}
	r, host := during.Runs[0], mustHostname(t)
	if p := r.Process; r.State != "running" || p == nil || p.PID != os.Getpid() || p.Host != host || p.Command != "siglake run" || r.Lines != 100 || r.ListRecords != 300 || r.OnWire != 1 || during.Unfinished != "" || len(during.Next) != 0 {
		t.Errorf("status during the run: %+v of process %+v, unfinished %q, next %q; want a running one with 100 of 300 lines and a call on the wire", r, r.Process, during.Unfinished, during.Next)
	}
	if !strings.Contains(text, fmt.Sprintf("process %d on %s", os.Getpid(), host)) || !strings.Contains(text, "100 of about 300 lines") || !strings.Contains(text, "1 call on the wire") || !strings.Contains(history, "running") {
		t.Errorf("status and runs during the run: %s%s", text, history)
	}
	if s := n.status(exitComplete); s.Process != nil || s.Runs[0].State != "complete" || s.Runs[0].Process != nil {
		t.Errorf("status after the run: %+v", s)
	}
	crashAt(t, func(op, _ string) bool { return op == "sync" && n.billedCalls() == 5 })
	n.tomorrow()
	n.run(300)
	clearHook(t)
	if text := n.mustExit(exitComplete, "status"); !strings.Contains(text, "Unfinished: ") || !strings.Contains(text, "200 of about 300 lines answered") {
		t.Errorf("status after a run that died: %s", text)
	}
	if s := n.status(exitComplete); s.Unfinished != s.Runs[1].Run || s.Runs[1].State != "unfinished" || s.OpenLines != 100 || s.Process != nil {
		t.Errorf("status after a run that died: %+v; want it unfinished, with 100 lines left", s)
	}
}

func mustHostname(t *testing.T) string {
	t.Helper()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	return host
}

// TestRunHistory: the history tells of every run when it was, how it ended, what it cost and brought,
// by list, since a day, of the newest, and by month.
func TestRunHistory(t *testing.T) {
	t.Parallel()
	n := newUnattended(t, simulator.Config{Faults: []simulator.Fault{{Kind: "429-burst", At: 2}}})
	n.now = time.Date(2026, 5, 30, 2, 0, 0, 0, time.UTC)
	var credits, events, limited int64
	for range 3 {
		if v := n.run(120); v.code != exitComplete {
			t.Fatalf("exit %d: %s", v.code, v.stderr)
		}
		credits += n.manifest.Credits.Charged
		events += n.manifest.Events.Written
		limited += n.manifest.Calls.ByStatus[429]
		n.tomorrow()
	}
	other := writeList(t, "other", 20)
	n.exec(t.Context(), []string{"run", other}, "", n.flags...)
	history := func(flags ...string) (h app.History) {
		n.decode([]byte(n.mustExit(exitComplete, append([]string{"runs", "--json"}, flags...)...)), &h)
		return h
	}
	all := history()
	if len(all.Runs) != 4 || limited == 0 {
		t.Fatalf("%d runs, %d refusals; want 4 and some", len(all.Runs), limited)
	}
	var got [3]int64
	for _, r := range all.Runs[:3] {
		got[0], got[1], got[2] = got[0]+r.Credits, got[1]+*r.Events, got[2]+*r.RateLimited
		if r.Exit == nil || *r.Exit != exitComplete || r.Finished == nil || r.Until != r.Started.Format(time.DateOnly) || r.Lines != 120 || r.List != n.list || r.Service != "run" {
			t.Errorf("run %+v", r)
		}
	}
	if want := [3]int64{credits, events, limited}; got != want {
		t.Errorf("credits, events and refusals %v, want %v", got, want)
	}
	if h := history("--list", other); len(h.Runs) != 1 || h.Runs[0].List != other {
		t.Errorf("runs of one list: %+v", h.Runs)
	}
	if h := history("--since", "2026-06-01"); len(h.Runs) != 2 {
		t.Errorf("runs since June: %+v", h.Runs)
	}
	if h := history("--last", "1"); len(h.Runs) != 1 || h.Runs[0].Run != all.Runs[3].Run {
		t.Errorf("the last run: %+v", h.Runs)
	}
	months := history("--month").Months
	if len(months) != 3 || months[0].Month != "2026-05" || months[0].Runs != 2 || months[0].Good != 2 || months[1].Runs != 1 || months[0].Credits+months[1].Credits+months[2].Credits != credits+all.Runs[3].Credits {
		t.Errorf("months %+v", months)
	}
	if s := n.status(exitComplete, "--last", "2"); len(s.Runs) != 2 || s.RunsBefore != 2 || s.Credits != credits+all.Runs[3].Credits {
		t.Errorf("status of the last two: %d runs after %d, %d credits", len(s.Runs), s.RunsBefore, s.Credits)
	}
	n.mustExit(exitUsage, "runs", "--list", "misspelt.csv")
	n.mustExit(exitUsage, "status", "--max-age", "soon")
	for _, words := range [][]string{{"runs"}, {"runs", "--month"}, {"status", "--max-age", "1h", "--list", n.list}} {
		want := exitComplete
		if words[0] == "status" {
			want = exitStale
		}
		if text := n.mustExit(want, words...); !strings.Contains(text, n.list) {
			t.Errorf("%v: %s", words, text)
		}
	}
	n.checkBill()
}
