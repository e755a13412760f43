package ratelimit

import (
	"testing"
	"time"

	"github.com/siglake/siglake/pipeline"
)

// TestStatements: what a row of statements shows about an hour with 100 calls. Answers arrive out
// of order, and only some are about another window. At a reset, the calls of others are counted too
// low by up to a bucket.
func TestStatements(t *testing.T) {
	type said struct {
		sent, heard string // times of day
		used        int64
	}
	for _, tt := range []struct {
		name             string
		said             []said
		left, others     int64
		ends             string
		shifted, rolling bool
	}{
		{"one", []said{{"10:10:00", "10:10:01", 7}}, 93, 6, "11:00:02", false, false},
		{"more", []said{{"10:10:00", "10:10:01", 1}, {"10:10:02", "10:10:03", 2}}, 98, 0, "11:00:02", false, false},
		{"overtaken", []said{{"10:10:01", "10:10:02", 9}, {"10:10:00", "10:10:03", 8}}, 91, 8, "11:00:02", false, false},
		{"turned on the hour", []said{{"10:59:58", "10:59:59", 80}, {"11:00:01", "11:00:20", 3}}, 97, 1, "12:00:02", false, false},
		{"turned, then a straggler", []said{{"10:59:58", "10:59:59", 80}, {"11:00:01", "11:00:03", 2}, {"10:59:59", "11:00:04", 81}}, 98, 0, "12:00:02", false, false},
		{"turned between", []said{{"10:20:00", "10:20:01", 80}, {"10:25:00", "10:25:01", 1}}, 99, 0, "11:25:02", true, false},
		{"turned twice", []said{{"10:20:00", "10:20:01", 80}, {"10:25:00", "10:25:01", 70}, {"10:50:00", "10:50:01", 60}}, 40, 57, "11:50:02", true, true},
		{"turned unseen", []said{{"10:20:00", "10:20:01", 5}, {"14:20:00", "14:20:01", 50}}, 50, 49, "15:00:02", false, false},
	} {
		at := func(clock string) int64 {
			d, err := time.Parse(time.DateTime, "2026-05-01 "+clock)
			if err != nil {
				t.Fatal(err)
			}
			return d.UnixNano()
		}
		c := clockOffset{-int64(time.Second), int64(time.Second)}
		w := window{windowRecord: &windowRecord{}, name: "hour", span: int64(time.Hour), plan: 100}
		for _, s := range tt.said {
			w.countStart(at(s.sent), 0, c)
			w.Ended.add(1, at(s.heard), w.span)
			w.applyStatement(pipeline.Window{Limit: 100, Used: s.used, Left: 100 - s.used}, at(s.sent), at(s.heard), 0, c)
		}
		if w.Left != tt.left || w.External != tt.others || w.endsAt(c) != at(tt.ends) || w.Unaligned != tt.shifted || w.Rolling != tt.rolling {
			t.Errorf("%s: left %d, others %d, ends %s, shifted %v, rolling %v; want %d, %d, %s, %v, %v", tt.name,
				w.Left, w.External, time.Unix(0, w.endsAt(c)).UTC().Format(time.TimeOnly), w.Unaligned, w.Rolling, tt.left, tt.others, tt.ends, tt.shifted, tt.rolling)
		}
	}
}

// TestRecheckRolling: a window that was taken for a rolling one is not, once the server counts far
// fewer calls than this host made.
func TestRecheckRolling(t *testing.T) {
	now := time.Date(2026, 5, 1, 10, 30, 0, 0, time.UTC).UnixNano()
	for used, rolling := range map[int64]bool{50: true, 45: true, 5: false} {
		w := window{windowRecord: &windowRecord{Rolling: true, Known: true, Used: 50, Left: 50}, span: int64(time.Hour), plan: 100}
		w.Ended.add(49, now-int64(20*time.Minute), w.span)
		w.Ended.add(1, now, w.span)
		w.applyStatement(pipeline.Window{Limit: 100, Used: used, Left: 100 - used}, now-1, now, 0, clockOffset{})
		if w.Rolling != rolling || w.Left != 100-used {
			t.Errorf("%d used of 50 calls made here: rolling %v, left %d, want %v, %d", used, w.Rolling, w.Left, rolling, 100-used)
		}
	}
}

// TestClock: the Date of answers narrows down the server's clock, and starts anew after it was set.
func TestClock(t *testing.T) {
	l, err := Open(Config{})
	if err != nil {
		t.Fatal(err)
	}
	ours := time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)
	for i, ahead := range []time.Duration{17400 * time.Millisecond, 17400 * time.Millisecond, 17400 * time.Millisecond, -time.Hour} {
		for _, part := range []int{0, 300, 500, 700, 900} {
			sent := ours.Add(time.Duration(i)*time.Minute + time.Duration(part)*time.Millisecond)
			date := sent.Add(50*time.Millisecond + ahead).Format("Mon, 02 Jan 2006 15:04:05 GMT")
			l.syncClock([]byte(`{"date":"`+date+`","server":"x"}`), sent.UnixNano(), sent.Add(100*time.Millisecond).UnixNano())
			if c := l.state.Clock; c.Min > int64(ahead) || c.Max < int64(ahead) {
				t.Fatalf("clock = %s to %s, want %s within", time.Duration(c.Min), time.Duration(c.Max), ahead)
			}
		}
		if c := l.state.Clock; c.Max-c.Min > int64(400*time.Millisecond) {
			t.Errorf("clock = %s to %s, want it narrower", time.Duration(c.Min), time.Duration(c.Max))
		}
	}
	was := l.state.Clock
	for _, odd := range []string{"", "{}", `{"date":7}`, `{"date":"yesterday"}`} {
		if l.syncClock([]byte(odd), 0, 1); l.state.Clock != was {
			t.Errorf("after %q: clock = %v, want %v", odd, l.state.Clock, was)
		}
	}
}
