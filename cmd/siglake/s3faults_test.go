package main

import (
	"fmt"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"text/tabwriter"

	"github.com/siglake/siglake/internal/bucket/buckettest"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/schema"
)

// s3Faults are what stores and networks do. lasting says that the fault stays
// until the run has ended: no attempt gets through.
var s3Faults = []struct {
	name    string
	fault   buckettest.Fault
	lasting bool
}{
	{"503 slow down", buckettest.SlowDown, false},
	{"reset before effect", buckettest.Reset, false},
	{"reset after effect", buckettest.ResetLate, false},
	{"409", buckettest.Conflict, false},
	{"500", buckettest.Internal, false},
	{"500 after effect", buckettest.InternalLate, false},
	{"200 with an error", buckettest.ErrorIn200, false},
	{"answer cut", buckettest.CutAfter(7), false},
	{"expired token", buckettest.ExpiredToken, true},
	{"clock skew", buckettest.Skewed, true},
	{"access denied", buckettest.Denied, true},
}

// TestS3Faults strikes every request to the store of a small run, in every way, and
// then runs the same command again. The run survives every transient fault and reports
// every lasting one; either way what is paid is kept and bought once.
func TestS3Faults(t *testing.T) {
	most := proof.Size(1, 1, math.MaxInt)
	const seed = 5
	store := buckettest.Start(t)
	access := s3LakeFlags(t, store)
	w := baselineWorld(t, seed, 60, "--signals", "surgeInHiring,riskNews", "--since", "60d", "--batch-size", "20", "--concurrency", "2", "--s3-part-size", "5242880")
	w.program = os.Args[0]
	flags := w.flags
	var strike atomic.Pointer[func(*http.Request) buckettest.Fault]
	proxy := buckettest.StartProxy(t, store, func(r *http.Request) buckettest.Fault {
		if f := strike.Load(); f != nil {
			return (*f)(r)
		}
		return buckettest.Fault{}
	})
	through := slices.Concat(access, []string{"--s3-endpoint", proxy.URL})
	lakes := 0
	fresh := func(t *testing.T) {
		lakes++
		w.startSimulator(t, seed)
		w.lake = store.URI(fmt.Sprintf("faults/%d", lakes))
		w.flags = slices.Concat(flags, through)
	}

	// The requests of an undisturbed run, counted.
	fresh(t)
	var requests atomic.Int64
	count := func(*http.Request) buckettest.Fault { requests.Add(1); return buckettest.Fault{} }
	strike.Store(&count)
	if code, output := w.runInProcess(); code != exitComplete {
		t.Fatalf("exit %d\n%s", code, output)
	}
	there := int(requests.Load())

	var report strings.Builder
	out := tabwriter.NewWriter(&report, 0, 8, 2, ' ', 0)
	for i, f := range s3Faults {
		codes, again := map[int]int{}, map[int]int{}
		points := min(there, most)
		for k := range points {
			n := int64(1 + (k*len(s3Faults)+i)*there/(points*len(s3Faults)))
			t.Run(fmt.Sprintf("%s, request %d", f.name, n), func(t *testing.T) {
				fresh(t)
				var seen atomic.Int64
				hit := func(*http.Request) buckettest.Fault {
					if at := seen.Add(1); at == n || f.lasting && at > n {
						return f.fault
					}
					return buckettest.Fault{}
				}
				strike.Store(&hit)
				// In a process of its own: a lock that could not be released is known
				// to be free because its process is gone.
				cmd, stderr := w.startRun(0)
				code := exitOf(cmd.Wait())
				output := stderr.String()
				strike.Store(nil)
				codes[code]++
				switch {
				case strings.Contains(output, canary) || strings.Contains(output, store.SecretKey):
					t.Errorf("a secret was printed: %s", output)
				case f.lasting && code == exitComplete && (n > int64(there)-7 || strings.Contains(output, "could not look for missing files")):
					// All was published: what failed was looking at older files, or giving the lock back.
				case f.lasting && code != exitStorage && seen.Load() > n:
					t.Errorf("exit %d, want %d\n%s", code, exitStorage, output)
				case f.lasting && seen.Load() > n && !strings.Contains(output, "s3://"):
					t.Errorf("the message does not name the object:\n%s", output)
				case !f.lasting && code != exitComplete:
					t.Errorf("exit %d, want %d: one fault is borne\n%s", code, exitComplete, output)
				}
				w.t = t
				code, output = w.runInProcess()
				if again[code]++; code != exitComplete && code != exitInDoubt {
					t.Errorf("the same command again: exit %d\n%s", code, output)
				}
				w.lake = downloadLake(t, store, w.lake)
				doubts := w.check()
				if doubts > 0 && !f.lasting {
					t.Errorf("%d calls in doubt after a fault that passed", doubts)
				}
			})
			if t.Failed() {
				return
			}
		}
		fmt.Fprintf(out, "%s\t%d of %d\t%v\t%v\t\n", f.name, points, there, codes, again)
	}
	if err := out.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d requests of a run; fault, struck, exit codes, exit codes of the same command again:\n%s", there, report.String())
}

// TestTwoWriters: two machines run at the same moment on one lake in a bucket.
// One is turned away before it pays, or loses the lock and pays for nothing more;
// nothing is bought twice and no generation is lost.
func TestTwoWriters(t *testing.T) {
	rounds := proof.Size(1, 5, 50)
	store := buckettest.Start(t)
	outcomes := map[string]int{}
	for round := range rounds {
		t.Run(fmt.Sprint("round ", round), func(t *testing.T) {
			w := baselineWorld(t, uint64(100+round), 300, "--signals", "surgeInHiring,riskNews", "--batch-size", "10", "--concurrency", "4", "--quiet")
			w.startSimulator(t, uint64(100+round))
			w.lake = store.URI(fmt.Sprintf("two/%d", round))
			flags := w.flags
			w.program = os.Args[0] // two processes, as two machines are
			var writers []*exec.Cmd
			for range 2 {
				args := slices.Concat([]string{"run", w.list, "--lake", w.lake, "--base-url", w.url, "--scratch", filepath.Join(t.TempDir(), "scratch")}, flags, s3LakeFlags(t, store)[:5])
				cmd := w.childCommand(0, args...)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				writers = append(writers, cmd)
			}
			first, second := exitOf(writers[0].Wait()), exitOf(writers[1].Wait())
			outcomes[fmt.Sprint(max(first, second), " and ", min(first, second))]++
			if min(first, second) != exitComplete || max(first, second) != exitComplete && max(first, second) != exitLocked {
				t.Errorf("exit %d and %d, want %d and %d, or %[3]d and %[3]d", first, second, exitComplete, exitLocked)
			}
			w.lake = downloadLake(t, store, w.lake)
			if doubts := w.check(); doubts != 0 {
				t.Errorf("%d calls in doubt", doubts)
			}
			for key, s := range w.status {
				if s == schema.InDoubt {
					t.Errorf("%s is held", key)
				}
			}
		})
	}
	t.Log(outcomes)
}
