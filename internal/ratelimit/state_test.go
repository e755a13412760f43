package ratelimit

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
