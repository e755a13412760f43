package ratelimit

import (
	"testing"
	"time"
)

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
