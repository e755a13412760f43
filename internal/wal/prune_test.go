package wal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/siglake/siglake/internal/bucket/membucket"
	"github.com/siglake/siglake/internal/durable/durabletest"
	"github.com/siglake/siglake/internal/proof"
)

// prunedText is the body of a pruned record in what contents returns.
const prunedText = "\x00pruned"

var proceed = func() error { return nil }

// prunedPlace is a log, on a disk or in a bucket, that tests prune.
type prunedPlace struct {
	name  string
	store func(hook func(op, name string, do func() error) error) Store
	size  func() int64 // of all that is stored
	// damage flips a bit in what is stored, at a place that n chooses; false: there is no such place.
	damage func(n int) bool
}

func prunedPlaces(t *testing.T) []prunedPlace {
	dir, m := durabletest.Scratch(t), membucket.New()
	segments := func() []string { names, _ := filepath.Glob(filepath.Join(dir, "j", "*.journal")); return names }
	return []prunedPlace{
		{"disk", func(hook func(op, name string, do func() error) error) Store {
			return mustOpenDir(t, filepath.Join(dir, "j"), hook)
		}, func() (sum int64) {
			for _, name := range segments() {
				info, err := os.Stat(name)
				if err != nil {
					t.Fatal(err)
				}
				sum += info.Size()
			}
			return sum
		}, func(n int) bool {
			raw, err := os.ReadFile(segments()[0])
			if err != nil {
				t.Fatal(err)
			}
			if n >= len(raw) {
				return false
			}
			raw[n] ^= 4
			return os.WriteFile(segments()[0], raw, 0o600) == nil
		}},
		{"bucket", func(hook func(op, name string, do func() error) error) Store {
			return noRetryObjects(m.WithHook(hook))
		}, func() (sum int64) {
			for _, o := range m.Snapshot() {
				sum += int64(len(o.Data))
			}
			return sum
		}, func(n int) bool {
			name := "j/whole/00000001"
			raw := slices.Clone(m.Snapshot()[name].Data)
			if n >= len(raw) {
				return false
			}
			raw[n] ^= 4
			m.Put(name, raw)
			return true
		}},
	}
}

// fill writes a log of several segments, each by a process of its own.
func (p *prunedPlace) fill(t *testing.T) (written []entry) {
	t.Helper()
	for life := range 4 {
		l, err := Open(t.Context(), p.store(nil), Options{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 12 {
			e := entry{kind: byte(i), head: fmt.Sprint("head ", len(written)), body: strings.Repeat(fmt.Sprint(life, i), 60*i)}
			if e.pos, err = l.Append(e.kind, []byte(e.head), []byte(e.body)); err != nil {
				t.Fatal(err)
			}
			written = append(written, e)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return written
}

// prune removes the bodies of some records, through a hook.
func (p *prunedPlace) prune(ctx context.Context, at []Position, hook func(op, name string, do func() error) error) (plan *Pruning, err error) {
	l, err := Open(ctx, p.store(hook), Options{Lazy: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if plan, err = l.PlanPruning(ctx, at); err != nil {
		return nil, err
	}
	return plan, l.Prune(ctx, plan, proceed)
}

func (p *prunedPlace) read(t *testing.T) []entry {
	t.Helper()
	l, err := Open(t.Context(), p.store(nil), Options{ReadOnly: true})
	if err != nil {
		t.Fatalf("open = %v", err)
	}
	all, err := contents(l)
	if err = errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
	return all
}

// somePositions are every third record of the first two segments, and what is left without them.
func somePositions(written []entry) (at []Position, left []entry) {
	left = slices.Clone(written)
	for i := 1; i < 24; i += 3 {
		at, left[i].body = append(at, left[i].pos), prunedText
	}
	return at, left
}

// TestPrune removes bodies of records. All others stay as they were, at their places, and the log
// becomes smaller; the second pruning finds nothing to do, and a later one removes more.
func TestPrune(t *testing.T) {
	t.Parallel()
	for _, p := range prunedPlaces(t) {
		t.Run(p.name, func(t *testing.T) {
			written := p.fill(t)
			at, left := somePositions(written)
			before := p.size()
			plan, err := p.prune(t.Context(), at, nil)
			if err != nil || plan.Records != len(at) {
				t.Fatalf("Prune = %+v, %v; want %d records", plan, err, len(at))
			}
			if got := p.read(t); !slices.Equal(got, left) {
				t.Errorf("after pruning the log holds %v, want %v", heads(got), heads(left))
			}
			if after := p.size(); before-after < plan.Bytes*9/10 || plan.Bytes < 2000 {
				t.Errorf("the log has %d bytes after %d, want about %d less", after, before, plan.Bytes)
			}
			if again, err := p.prune(t.Context(), at, nil); err != nil || !again.IsEmpty() || again.Bytes > 0 {
				t.Errorf("the same Prune again = %+v, %v; want nothing", again, err)
			}
			left[2].body = prunedText
			if more, err := p.prune(t.Context(), append(at, left[2].pos), nil); err != nil || more.Records != 1 {
				t.Errorf("a later Prune = %+v, %v; want one record more", more, err)
			}
			if got := p.read(t); !slices.Equal(got, left) {
				t.Errorf("after another pruning the log holds %v, want %v", heads(got), heads(left))
			}
			checkSalvagePruned(t, p.store(nil), left)
		})
	}
}

// checkSalvagePruned reads a pruned log as a damaged one, and writes it into another log.
func checkSalvagePruned(t *testing.T, store Store, want []entry) {
	t.Helper()
	to := membucket.New()
	l := openObjects(t, to, Options{})
	at := 0
	gaps, err := Salvage(t.Context(), store, func(r SalvagedRecord) error {
		if w := want[at]; string(r.Head) != w.head || r.Pruned != (w.body == prunedText) || !r.Pruned && string(r.Body) != w.body {
			t.Errorf("salvaged %q, pruned %t; want %q", r.Head, r.Pruned, w.head)
		}
		at++
		if r.Pruned {
			_, err := l.WritePruned(r.Kind, r.Head)
			return err
		}
		_, err := l.Write(r.Kind, r.Head, r.Body)
		return err
	})
	if err = errors.Join(err, l.Close()); err != nil || len(gaps) > 0 || at != len(want) {
		t.Fatalf("Salvage = %v, %v after %d records, want %d", gaps, err, at, len(want))
	}
	got, err := readBucket(to, Options{})
	for i := range got {
		got[i].pos = want[i].pos
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("the salvaged log holds %v, %v", heads(got), err)
	}
	// In such a log the parts are all there is: nothing may remove them.
	objects := noRetryObjects(to.WithHook(nil))
	parts := len(to.Names("parts/"))
	if pruned, err := objects.isPruned(t.Context(), segmentName(1)); pruned || err != nil || objects.removeSpare(t.Context(), segmentName(1)) != nil || len(to.Names("parts/")) != parts {
		t.Errorf("isPruned = %t, %v, and %d of %d parts are left", pruned, err, len(to.Names("parts/")), parts)
	}
}

// errPruneKilled ends a process in the middle of an operation.
var errPruneKilled = errors.New("killed")

// TestPruneDies kills a pruning before and after every operation. Whatever is left holds all records
// but those that were to go, and the next pruning completes it.
func TestPruneDies(t *testing.T) {
	t.Parallel()
	for _, name := range []int{0, 1} {
		steps := 0
		for n := 0; n <= steps; n += proof.Size(7, 2, 1) { // at first it only counts
			p := prunedPlaces(t)[name]
			written := p.fill(t)
			at, left := somePositions(written)
			var mu sync.Mutex // objects are read several at a time
			ops, dead := 0, false
			_, err := p.prune(t.Context(), at, func(op, _ string, do func() error) error {
				mu.Lock()
				ops++
				last := n > 0 && ops == n
				refused := dead || last && n%2 == 0
				dead = dead || last
				mu.Unlock()
				if refused {
					return errPruneKilled
				}
				if err := do(); !last {
					return err
				}
				return errPruneKilled
			})
			if steps = max(steps, ops); err == nil && dead {
				t.Fatalf("%s: killed at operation %d, and Prune = nil", p.name, n)
			}
			for i, got := range p.read(t) {
				if got != written[i] && got != left[i] {
					t.Fatalf("%s: after a kill at operation %d record %d is %q, want %q or pruned", p.name, n, i, got.head, written[i].head)
				}
			}
			if _, err := p.prune(t.Context(), at, nil); err != nil {
				t.Fatalf("%s: after a kill at operation %d: Prune = %v", p.name, n, err)
			}
			if got := p.read(t); !slices.Equal(got, left) {
				t.Fatalf("%s: after a kill at operation %d and another pruning the log holds %v", p.name, n, heads(got))
			}
			if plan, err := p.prune(t.Context(), at, nil); err != nil || !plan.IsEmpty() {
				t.Fatalf("%s: after a kill at operation %d a third pruning = %+v, %v", p.name, n, plan, err)
			}
		}
		if steps < 5 {
			t.Errorf("a pruning took %d operations", steps)
		}
	}
}

// TestPruneDamage flips bits in what is left of a segment: each is found. A salvage keeps what does
// not depend on them.
func TestPruneDamage(t *testing.T) {
	t.Parallel()
	for _, p := range prunedPlaces(t) {
		written := p.fill(t)
		at, left := somePositions(written)
		if _, err := p.prune(t.Context(), at, nil); err != nil {
			t.Fatal(err)
		}
		for n := 0; p.damage(n); n += proof.Size(397, 29, 1) {
			l, err := Open(t.Context(), p.store(nil), Options{ReadOnly: true})
			if err == nil {
				var all []entry
				if all, err = contents(l); err == nil {
					t.Errorf("%s: a flipped bit in byte %d is not found: %v", p.name, n, heads(all))
				}
			}
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s: a flipped bit in byte %d: %v, want %v", p.name, n, err, ErrCorrupt)
			}
			found := 0
			if gaps, err := Salvage(t.Context(), p.store(nil), func(SalvagedRecord) error { found++; return nil }); err != nil || len(gaps) == 0 || found < len(left)-12 {
				t.Errorf("%s: a flipped bit in byte %d: Salvage = %v, %v with %d records", p.name, n, gaps, err, found)
			}
			p.damage(n)
		}
	}
}

// TestPruneRefused: the segment that is written is not pruned, nor a segment with damage.
func TestPruneRefused(t *testing.T) {
	t.Parallel()
	for _, p := range prunedPlaces(t) {
		written := p.fill(t)
		l, err := Open(t.Context(), p.store(nil), Options{})
		if err != nil {
			t.Fatal(err)
		}
		plan, err := l.PlanPruning(t.Context(), []Position{written[40].pos})
		if err != nil || plan.Records != 1 {
			t.Fatalf("%s: PlanPruning = %+v, %v", p.name, plan, err)
		}
		if err := l.Prune(t.Context(), plan, proceed); err == nil {
			t.Errorf("%s: the last segment was pruned", p.name)
		}
		stop := errors.New("the lock is lost")
		if plan, err = l.PlanPruning(t.Context(), []Position{written[4].pos}); err == nil {
			err = l.Prune(t.Context(), plan, func() error { return stop })
		}
		if !errors.Is(err, stop) {
			t.Errorf("%s: Prune without a lock = %v, want %v", p.name, err, stop)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if got := p.read(t); !slices.Equal(got, written) {
			t.Errorf("%s: the log holds %v", p.name, heads(got))
		}
		p.damage(map[string]int{"disk": 4096 + 100, "bucket": 132}[p.name])
		if _, err := p.prune(t.Context(), []Position{written[4].pos}, nil); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: a damaged segment: Prune = %v, want %v", p.name, err, ErrCorrupt)
		}
	}
}

// TestPruneFences: a process that was paused before another one took over stays fenced off, although
// the segment that it wrote has been pruned.
func TestPruneFences(t *testing.T) {
	t.Parallel()
	m := membucket.New()
	paused := openObjects(t, m, Options{})
	at, err := paused.Append(1, []byte("head"), []byte(strings.Repeat("paid ", 100)))
	if err != nil {
		t.Fatal(err)
	}
	l, err := Open(t.Context(), noRetryObjects(m.WithHook(nil)), Options{})
	if err == nil {
		_, err = l.Append(2, []byte("taken over"), nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	plan, err := l.PlanPruning(t.Context(), []Position{at})
	if err == nil {
		err = l.Prune(t.Context(), plan, proceed)
	}
	if err = errors.Join(err, l.Close()); err != nil || plan.Records != 1 {
		t.Fatalf("Prune = %+v, %v", plan, err)
	}
	if _, err := paused.Append(3, []byte("paid as well"), nil); !errors.Is(err, ErrFenced) {
		t.Errorf("the paused process appends: %v, want %v", err, ErrFenced)
	}
}
