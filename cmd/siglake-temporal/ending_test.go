package main

import (
	"os/exec"
	"reflect"
	"slices"
	"testing"
	"time"
)

// TestLogReader: figures come from the log, those of several lists as sums, and credits of a run count once over all attempts.
func TestLogReader(t *testing.T) {
	t.Parallel()
	first := newLogReader(memory{})
	for _, line := range []string{
		`reading the list`,
		`{"level":"INFO","msg":"progress","lines":40,"of":100,"calls":3,"events":70,"credits":70,"deferred":1,"held":2}`,
	} {
		first.readLine([]byte(line))
	}
	if got, want := first.progress(), (memory{Lines: 40, Of: 100, Calls: 3, Events: 70, Credits: 70, Deferred: 1, Held: 2, Runs: map[string]int64{}}); !reflect.DeepEqual(got, want) {
		t.Errorf("progress = %+v, want %+v", got, want)
	}
	first.readLine([]byte(`{"level":"WARN","msg":"run finished","run":"r1","lake":"l","list":"a.csv","lines":100,"deferred":9,"held":2,"credits":90,"credits_in_doubt_at_most":8,"retry_at":"2026-12-01T03:00:00Z","reason":"the hour"}`))
	first.readLine([]byte(`{"level":"WARN","msg":"run finished","run":"r2","lake":"l","list":"b.csv","lines":10,"deferred":10,"credits":5,"retry_at":"2026-12-01T04:00:00Z","reason":"the hour, too"}`))
	at := time.Date(2026, 12, 1, 4, 0, 0, 0, time.UTC)
	want := &ending{ExitCode: 21, Reason: "the hour, too", RetryAt: &at, Lake: "l", Lists: []string{"a.csv", "b.csv"}, Lines: 110, Deferred: 19, Held: 2, Credits: 95, InDoubtCeiling: 8}
	if got := first.endWith(21, false); !reflect.DeepEqual(got, want) {
		t.Errorf("endWith = %+v, want %+v", got, want)
	}

	second := newLogReader(first.progress())
	second.readLine([]byte(`{"level":"INFO","msg":"run finished","run":"r1","list":"a.csv","credits":0,"reason":"nothing to do"}`))
	second.readLine([]byte(`{"level":"INFO","msg":"run finished","run":"r2","list":"b.csv","credits":30}`))
	if got := second.endWith(0, false).Credits; got != 120 {
		t.Errorf("two attempts cost %d credits, want 120", got)
	}
}

// TestFailuresInARow: ends without a stated time count, those with one begin anew, and a locked lake changes nothing.
func TestFailuresInARow(t *testing.T) {
	t.Parallel()
	const stated = `{"msg":"run finished","retry_at":"2026-12-01T03:00:00Z"}`
	var m memory
	for i, c := range []struct {
		code int
		line string
		want int
	}{{40, "", 1}, {20, "", 2}, {exitLocked, "", 2}, {2, "", 3}, {20, stated, 0}, {20, "", 1}, {0, "", 0}} {
		r := newLogReader(m)
		r.readLine([]byte(c.line))
		r.endWith(c.code, false)
		if m = r.progress(); m.Failures != c.want {
			t.Errorf("attempt %d: %d failures in a row, want %d", i, m.Failures, c.want)
		}
	}
}

// TestErrorIsReason: a command that does not begin has its error as reason.
func TestErrorIsReason(t *testing.T) {
	t.Parallel()
	r := newLogReader(memory{})
	r.readLine([]byte(`{"level":"ERROR","msg":"siglake.yaml has no job \"x\"","exit_code":64}`))
	if got := r.endWith(64, false).Reason; got != `siglake.yaml has no job "x"` {
		t.Errorf("reason %q", got)
	}
}

// TestChildEnviron: Temporal's settings and keys do not reach siglake, and all else does.
func TestChildEnviron(t *testing.T) {
	t.Parallel()
	got := childEnviron([]string{"LUSHA_API_KEY=k", "TEMPORAL_API_KEY=t", "SIGLAKE_COMPLETE_EXITS_0=true", "SIGLAKE_SHARD=9/9"}, "1/3")
	want := []string{"LUSHA_API_KEY=k", "SIGLAKE_SHARD=9/9", "SIGLAKE_LOG_FORMAT=json", "SIGLAKE_QUIET=false", "SIGLAKE_SHARD=1/3"}
	if !slices.Equal(got, want) {
		t.Errorf("childEnviron = %q, want %q", got, want)
	}
	if cmd := (&exec.Cmd{Env: got}); !slices.Contains(cmd.Environ(), "SIGLAKE_SHARD=1/3") || slices.Contains(cmd.Environ(), "SIGLAKE_SHARD=9/9") {
		t.Errorf("a child has %q, want the shard of the activity", cmd.Environ())
	}
}
