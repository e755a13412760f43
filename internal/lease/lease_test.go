package lease

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siglake/siglake/internal/bucket"
	"github.com/siglake/siglake/internal/bucket/membucket"
	"github.com/siglake/siglake/internal/proof"
)

const leaseName = "_state/lock.json"

func mustAcquire(t testing.TB, b Bucket, who string) *Lease {
	t.Helper()
	l, err := Acquire(t.Context(), b, leaseName, who, Options{})
	if err != nil {
		t.Fatalf("AcquireLease(%s) = %v", who, err)
	}
	return l
}

func wantLocked(t testing.TB, b Bucket, by string) {
	t.Helper()
	l, err := Acquire(t.Context(), b, leaseName, "another", Options{})
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), ", "+by+", since ") {
		t.Errorf("AcquireLease while %s has it = %v, want %v", by, err, ErrLocked)
	}
	if err == nil {
		l.Close()
	}
}

func isLost(h Lock) bool {
	select {
	case <-h.Lost():
		return true
	default:
		return false
	}
}

// advance lets time pass, in a bubble.
func advance(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// cutBucket is a bucket with a network that can be cut for one process.
type cutBucket struct {
	membucket.Handle
	cut atomic.Bool
}

func newCutBucket(m *membucket.Bucket) *cutBucket {
	s := &cutBucket{}
	s.Handle = m.WithHook(func(_, _ string, do func() error) error {
		if s.cut.Load() {
			return membucket.ErrNet
		}
		return do()
	})
	return s
}

// TestLease: a lease keeps others off while it is renewed, whatever the store's clock
// says.
func TestLease(t *testing.T) {
	for _, off := range []time.Duration{0, 24 * time.Hour, -24 * time.Hour} {
		t.Run(fmt.Sprintf("store's clock off by %s", off), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := membucket.New()
				m.ClockSkew = off
				a := mustAcquire(t, m, "run a")
				for range 20 {
					advance(29 * time.Second)
					wantLocked(t, m, "run a")
					if isLost(a) || !a.Valid() || a.Err() != nil {
						t.Fatalf("a lease that is renewed is lost: %v", a.Err())
					}
				}
				if err := errors.Join(a.Close(), a.Close()); err != nil {
					t.Errorf("Close, Close = %v", err)
				}
				b := mustAcquire(t, m, "run b")
				wantLocked(t, m, "run b")
				if err := b.Close(); err != nil {
					t.Errorf("Close = %v", err)
				}
				if got := len(m.Objects); got != 2 {
					t.Errorf("%d objects are left, want the lease and the clock", got)
				}
			})
		})
	}
}

// TestLeaseExpires: a machine is cut off. It gives up before anyone else can
// take over, and does not disturb who does.
func TestLeaseExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := membucket.New()
		net := newCutBucket(m)
		a := mustAcquire(t, net, "run a")
		advance(16 * time.Second) // renewed once
		net.cut.Store(true)
		begun := time.Now()
		var lost, taken time.Duration
		var b *Lease
		for b == nil {
			advance(time.Second)
			if lost == 0 && isLost(a) {
				lost = time.Since(begun)
			}
			var err error
			if b, err = Acquire(t.Context(), m, leaseName, "run b", Options{}); err == nil {
				taken = time.Since(begun)
			} else if !errors.Is(err, ErrLocked) {
				t.Fatalf("AcquireLease = %v", err)
			}
		}
		if lost == 0 || lost > 53*time.Second || taken < 59*time.Second || taken > 63*time.Second {
			t.Errorf("cut off, the lease was given up after %s and taken over after %s; want before 53s and after a minute", lost, taken)
		}
		if a.Valid() || a.Err() == nil {
			t.Errorf("Valid, Err of a lease that is lost = %v, %v", a.Valid(), a.Err())
		}
		net.cut.Store(false)
		advance(time.Minute)
		if err := a.Close(); err != nil {
			t.Errorf("Close of a lease that was taken over = %v", err)
		}
		if isLost(b) || !b.Valid() {
			t.Errorf("the lease that was taken over is lost: %v", b.Err())
		}
		wantLocked(t, m, "run b")
		b.Close()
	})
}

// TestLeaseReconnects: after a broken connection, a process that was not replaced
// renews its lease, so that its calls in flight finish.
func TestLeaseReconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := membucket.New()
		net := newCutBucket(m)
		a := mustAcquire(t, net, "run a")
		net.cut.Store(true)
		advance(45 * time.Second)
		if isLost(a) {
			t.Errorf("the lease is lost after 45s: %v", a.Err())
		}
		net.cut.Store(false)
		advance(30 * time.Second)
		if isLost(a) || !a.Valid() {
			t.Errorf("the lease is lost though it was renewed: %v", a.Err())
		}
		net.cut.Store(true)
		advance(2 * time.Minute)
		net.cut.Store(false)
		advance(10 * time.Second)
		if !isLost(a) || a.Valid() {
			t.Errorf("the lease is not lost after 2m")
		}
		wantLocked(t, m, "run a")
		if err := a.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
		mustAcquire(t, m, "run b").Close()
	})
}

// TestLeaseSleep: right after waking up, before any timer has run, a process can
// tell that it slept too long.
func TestLeaseSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := mustAcquire(t, membucket.New(), "run a")
		defer a.Close()
		a.mu.Lock() // the wall clock has advanced, the monotonic one has not
		a.renewedAt = a.renewedAt.Round(0).Add(-time.Minute)
		a.mu.Unlock()
		if a.Valid() {
			t.Errorf("Valid() = true, a minute after the last renewal")
		}
	})
}

// TestLeaseTakenOver: a process that finds another claim in place of its own has lost
// the lease.
func TestLeaseTakenOver(t *testing.T) {
	for name, change := range map[string]func(m *membucket.Bucket){
		"another": func(m *membucket.Bucket) {
			m.Put(leaseName, []byte(`{"token":"x","command":"thief","ttl_seconds":60}`))
		},
		"unreadable": func(m *membucket.Bucket) { m.Put(leaseName, []byte("?")) },
		"deleted":    func(m *membucket.Bucket) { m.Delete(leaseName) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := membucket.New()
				a := mustAcquire(t, m, "run a")
				change(m)
				left := string(m.Objects[leaseName].Data)
				advance(16 * time.Second)
				if !isLost(a) || !errors.Is(a.Err(), errTakenOver) {
					t.Errorf("Err() = %v, want %v", a.Err(), errTakenOver)
				}
				if err := a.Close(); err != nil {
					t.Errorf("Close = %v", err)
				}
				if got := string(m.Objects[leaseName].Data); got != left {
					t.Errorf("the object became %s, want %s", got, left)
				}
				if left != "" { // it counts like any other, for as long
					if _, err := Acquire(t.Context(), m, leaseName, "b", Options{}); !errors.Is(err, ErrLocked) {
						t.Errorf("AcquireLease = %v, want %v", err, ErrLocked)
					}
					advance(time.Minute)
				}
				mustAcquire(t, m, "run b").Close()
			})
		})
	}
}

// TestLeaseProcessEnded: what a process of this machine left is taken at once, where the
// system tells one machine from another. Nothing is guessed.
func TestLeaseProcessEnded(t *testing.T) {
	const told = runtime.GOOS == "linux"
	current := currentProcess()
	child := exec.Command(os.Args[0], "-test.run=^$")
	if err := child.Run(); err != nil {
		t.Fatal(err)
	}
	dead := current
	dead.ID = child.Process.Pid
	reused := current // the number was given to another process
	reused.Start += "1"
	elsewhere := dead
	elsewhere.Boot = "other"
	container := dead
	container.PIDNamespace = "pid:[1]"
	for _, tt := range []struct {
		name string
		p    process
		want bool
	}{
		{"this process", current, false},
		{"one that has ended", dead, told},
		{"one of the same number", reused, told},
		{"one of another machine", elsewhere, false},
		{"one of another container", container, false},
		{"unknown", process{ID: dead.ID}, false},
	} {
		if got := tt.p.hasEnded(); got != tt.want {
			t.Errorf("gone(%s: %+v) = %v, want %v", tt.name, tt.p, got, tt.want)
		}
		text, err := json.Marshal(claim{Token: "x", Command: "left", TTL: 60, Process: tt.p})
		if err != nil {
			t.Fatal(err)
		}
		m := membucket.New()
		m.Put(leaseName, text)
		if tt.want {
			mustAcquire(t, m, "run").Close()
		} else {
			wantLocked(t, m, "left")
		}
	}
}

// TestLeaseFaults fails every request of a lease's life in every way, alone and
// while another process wants it: there is never more than one that has it.
func TestLeaseFaults(t *testing.T) {
	faults := []struct {
		name string
		fail func(op string, do func() error) error
	}{
		{"not done", func(string, func() error) error { return membucket.ErrNet }},
		{"done but failed", func(_ string, do func() error) error { return errors.Join(do(), membucket.ErrNet) }},
		{"done but refused", func(op string, do func() error) error {
			err := do()
			switch {
			case err == nil && op == "create":
				return fs.ErrExist
			case err == nil && op == "swap":
				return bucket.ErrChanged
			case err == nil:
				return membucket.ErrNet
			}
			return err
		}},
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			n := 1
			for hit := true; hit; n++ {
				synctest.Test(t, func(t *testing.T) { hit = leaseFaultAt(t, n, f.fail) })
			}
			t.Logf("%d requests", n-2)
		})
	}
}

func leaseFaultAt(t *testing.T, n int, fail func(op string, do func() error) error) bool {
	m := membucket.New()
	m.RefusesRepeats = true
	// There is a claim that has run out.
	left, err := json.Marshal(claim{Token: "x", Command: "left", TTL: 60})
	if err != nil {
		t.Fatal(err)
	}
	m.Put(leaseName, left)
	advance(2 * time.Minute)
	ops, failed := 0, ""
	h := m.WithHook(func(op, name string, do func() error) error {
		if ops++; ops == n {
			failed = op + " " + name
			return fail(op, do)
		}
		return do()
	})
	a, err := Acquire(t.Context(), h, leaseName, "run a", Options{})
	if err != nil {
		// The process may have the lease nevertheless; then it expires.
		if failed == "" {
			t.Errorf("AcquireLease = %v", err)
		}
		advance(2 * time.Minute)
		mustAcquire(t, m, "run b").Close()
		return true
	}
	for range 5 {
		advance(13 * time.Second)
		wantLocked(t, m, "run a")
		if isLost(a) {
			t.Errorf("request %d, %s: lost: %v", n, failed, a.Err())
		}
	}
	if err := a.Close(); err != nil {
		t.Errorf("request %d, %s: Close = %v", n, failed, err)
	}
	mustAcquire(t, m, "run b").Close()
	return failed != ""
}

// TestLeaseRace lets many want one lease at random moments, over networks that
// fail: at no time do two hold it.
func TestLeaseRace(t *testing.T) {
	seeds := proof.Size(40, 300, 10000)
	held, lost := 0, 0
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			m := membucket.New()
			var mu sync.Mutex
			var leases [5]*Lease
			count := func() {
				mu.Lock()
				defer mu.Unlock()
				valid := 0
				for _, l := range leases {
					if l != nil && l.Valid() {
						valid++
					}
				}
				if held += valid; valid > 1 {
					t.Errorf("seed %d: %d have the lease at once", seed, valid)
				}
			}
			var wg sync.WaitGroup
			for p := range leases {
				wg.Go(func() {
					source := rand.New(rand.NewPCG(uint64(seed), uint64(p)))
					random := func(n int) int {
						mu.Lock()
						defer mu.Unlock()
						return source.IntN(n)
					}
					var bad time.Time // until then the network is
					turn := make(chan bool, 1)
					h := m.WithHook(func(_, _ string, do func() error) error {
						turn <- true // a process asks one thing at a time
						defer func() { <-turn }()
						<-time.After(time.Duration(random(400)) * time.Millisecond)
						if random(30) == 0 {
							bad = time.Now().Add(time.Duration(random(150)) * time.Second)
						}
						switch {
						case time.Now().Before(bad):
							return membucket.ErrNet
						case random(10) == 0:
							return errors.Join(do(), membucket.ErrNet)
						}
						return do()
					})
					for range 8 {
						<-time.After(time.Duration(random(60)) * time.Second)
						l, err := Acquire(context.Background(), h, leaseName, fmt.Sprint("run ", p), Options{})
						if err != nil {
							continue
						}
						mu.Lock()
						leases[p] = l
						mu.Unlock()
						for range random(30) {
							count()
							<-time.After(time.Duration(random(10)) * time.Second)
						}
						mu.Lock()
						leases[p] = nil
						if isLost(l) {
							lost++
						}
						mu.Unlock()
						_ = l.Close() // the network may be bad just then
					}
				})
			}
			wg.Wait()
		})
		if t.Failed() {
			return
		}
	}
	t.Logf("%d races: found held %d times, lost %d times", seeds, held, lost)
}
