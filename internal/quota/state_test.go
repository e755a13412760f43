package quota

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestTornWrite: whatever part of a write a kill lets through, and in whatever order its pages were
// written, the state is the one before or the one after.
func TestTornWrite(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "quota-a")
	var s accountState
	st, _, err := openStateFile(dir, "a", &s)
	if err != nil {
		t.Fatal(err)
	}
	defer st.file.Close()
	for s.LastStart = 1; s.LastStart < 5; s.LastStart++ {
		before, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		s.Windows[1].Ended.add(s.LastStart, 1e18+s.LastStart*60e9, int64(time.Hour))
		if err := st.saveState(&s); err != nil {
			t.Fatal(err)
		}
		after, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		before = append(before, make([]byte, len(after)-len(before))...)
		for cut := 0; cut <= len(after); cut += 137 {
			for _, torn := range [][]byte{
				append(append([]byte{}, after[:cut]...), before[cut:]...),
				append(append([]byte{}, before[:cut]...), after[cut:]...),
			} {
				other := t.TempDir()
				if err := os.WriteFile(filepath.Join(other, "quota-a"), torn, 0o600); err != nil {
					t.Fatal(err)
				}
				var got accountState
				again, trouble, err := openStateFile(other, "a", &got)
				if err != nil || got.LastStart != s.LastStart && got.LastStart != s.LastStart-1 || trouble != "" && s.LastStart > 1 {
					t.Fatalf("write %d cut at %d: state %d, %q, %v, want %d or the one before", s.LastStart, cut, got.LastStart, trouble, err, s.LastStart)
				}
				// The next write succeeds.
				got.LastStart = 99
				if err := again.saveState(&got); err != nil {
					t.Fatal(err)
				}
				var next accountState
				if again.file.Close(); !reloadState(t, other, &next) || next.LastStart != 99 {
					t.Fatalf("write %d cut at %d: after another one: %d, want 99", s.LastStart, cut, next.LastStart)
				}
			}
		}
	}
}

func reloadState(t *testing.T, dir string, s *accountState) bool {
	t.Helper()
	st, trouble, err := openStateFile(dir, "a", s)
	if err != nil {
		t.Fatal(err)
	}
	st.file.Close()
	return trouble == ""
}

// TestRefresh: each of two state files sees what the other wrote, and does not read again
// otherwise.
func TestRefresh(t *testing.T) {
	dir := t.TempDir()
	var a, b accountState
	first, _, err := openStateFile(dir, "a", &a)
	if err != nil {
		t.Fatal(err)
	}
	second, _, err := openStateFile(dir, "a", &b)
	if err != nil {
		t.Fatal(err)
	}
	defer first.file.Close()
	defer second.file.Close()
	for i, turn := range []int{0, 1, 0, 0, 1, 0, 0, 0, 1, 1, 0, 1} {
		st, s, other := first, &a, &b
		if turn == 1 {
			st, s, other = second, &b, &a
		}
		st.refreshState(s)
		if s.LastStart != int64(i) {
			t.Fatalf("step %d: state %d, want %d", i, s.LastStart, i)
		}
		s.PausedUntil = -1 // lost if it is read again
		st.refreshState(s)
		if s.PausedUntil != -1 && i > 0 {
			t.Fatalf("step %d: read again unnecessarily", i)
		}
		s.PausedUntil, s.LastStart = 0, int64(i+1)
		if err := st.saveState(s); err != nil {
			t.Fatal(err)
		}
		_ = other
	}
}

// TestSlidingWindow: a count leaves when the last moment of its bucket is a span old, never
// earlier, and a clock that is set does not change the counts.
func TestSlidingWindow(t *testing.T) {
	const span = int64(time.Hour)
	const width = span / bucketsPerSpan
	start := time.Date(2026, 5, 1, 10, 17, 33, 0, time.UTC).UnixNano()
	var w slidingWindow
	for i := range int64(10) {
		w.add(i+1, start+i*5*width, span)
	}
	for _, tt := range []struct{ k, bucket int64 }{{1, 0}, {2, 1}, {3, 1}, {4, 2}, {55, 9}} {
		at := w.expiryOf(tt.k, span)
		want := (floorDiv(start+tt.bucket*5*width, width)+1)*width + span
		if at != want {
			t.Errorf("expiryOf(%d) = %d, want %d", tt.k, at, want)
		}
		then := w
		if then.advance(at-1, span); then.Sum <= 55-tt.k {
			t.Errorf("just before expiryOf(%d) the window holds %d, want more than %d", tt.k, then.Sum, 55-tt.k)
		}
		then = w
		if then.advance(at, span); then.Sum > 55-tt.k {
			t.Errorf("at expiryOf(%d) the window holds %d, want at most %d", tt.k, then.Sum, 55-tt.k)
		}
	}
	if w.expiryOf(56, span) != 0 {
		t.Error("expiryOf(56) of 55 calls is not 0")
	}
	if got := w.countSince(start+8*5*width, span); got != 9+10 {
		t.Errorf("countSince(ninth) = %d, want 19", got)
	}
	for _, by := range []int64{-48 * span, -span / 2, -3 * width, -width, 0, span / 2} {
		moved := w
		if moved.advance(start+45*width+by, span); moved.Sum != 55 {
			t.Errorf("clock set by %s: %d calls are left, want 55", time.Duration(by), moved.Sum)
		}
		if moved.advance(start+45*width+by+span+3*width, span); moved.Sum != 0 {
			t.Errorf("clock set by %s: %d calls are left after a span, want 0", time.Duration(by), moved.Sum)
		}
	}
}
