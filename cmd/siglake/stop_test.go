package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/simulator"
)

// TestSameStop: signals within a second are one request to stop, a later one aborts.
func TestSameStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signals := make(chan os.Signal, 2)
		var events []string
		start := time.Now()
		note := func(what string) func() {
			return func() { events = append(events, fmt.Sprint(what, " ", time.Since(start))) }
		}
		done := make(chan struct{})
		go func() {
			awaitStop(signals, note("stop"), note("abort"))
			close(done)
		}()
		for _, at := range []time.Duration{time.Second, time.Second, 1900 * time.Millisecond, 3 * time.Second} {
			time.Sleep(at - time.Since(start))
			signals <- syscall.SIGTERM
			synctest.Wait()
		}
		<-done
		if got := strings.Join(events, ", "); got != "stop 1s, abort 3s" {
			t.Errorf("signals at 1, 1, 1.9 and 3 s: %s; want stop 1s, abort 3s", got)
		}
	})
}

// TestDeferredSaysWhy: a run that ends with exit 20 gives the reason, in its summary and
// in the log of a quiet run.
func TestDeferredSaysWhy(t *testing.T) {
	t.Parallel()
	onVirtualTime(t, func(t *testing.T) {
		for _, tt := range []struct {
			name, body string
			status     int
			maxWait    string
			says       []string
		}{
			{"failures", `{"statusCode":500,"message":"try later"}`, 500, "15m", []string{"HTTP 500: try later", "run the same command again"}},
			{"too fast, no header", `{"statusCode":429,"message":"slow down"}`, 429, "10m", []string{"HTTP 429: slow down", "attempts in", "run again later"}},
			{"too fast, no body", "", 429, "0s", []string{"HTTP 429 Too Many Requests", "attempts in"}},
			{"too fast, text", "quota of this key exhausted", 429, "1m", []string{"HTTP 429: quota of this key exhausted"}},
			{"too fast, problem document", `{"type":"about:blank","title":"Slow down","status":429,"detail":"the key is shared by 9 clients"}`, 429, "1m",
				[]string{"HTTP 429: Slow down; the key is shared by 9 clients"}},
		} {
			for _, quiet := range []string{"--quiet=false", "--quiet"} {
				refuseCalls(t, tt.status, tt.body, func(time.Time) bool { return true })
				code, stdout, stderr := runProgram(t, "run", writeList(t, "why", 3), "--lake", filepath.Join(t.TempDir(), "lake"), "--signals", "news", "--max-wait", tt.maxWait, quiet)
				for _, want := range tt.says {
					if code != exitDeferred || !strings.Contains(stdout+stderr, want) {
						t.Errorf("%s, %s: exit %d; want %d and %q: %s", tt.name, quiet, code, exitDeferred, want, stdout+stderr)
					}
				}
			}
		}
	})
}

// TestLongBurst: 429s without a header are waited for, far longer than five attempts
// take.
func TestLongBurst(t *testing.T) {
	t.Parallel()
	onVirtualTime(t, func(t *testing.T) {
		start := time.Now()
		refuseCalls(t, http.StatusTooManyRequests, "", func(now time.Time) bool { return now.Sub(start) < 10*time.Minute })
		code, _, stderr := runProgram(t, "run", writeList(t, "burst", 3), "--lake", filepath.Join(t.TempDir(), "lake"), "--signals", "news")
		if code != exitComplete || !strings.Contains(stderr, "does not say for how long") {
			t.Errorf("exit %d, want %d and a line that says what was waited for: %s", code, exitComplete, stderr)
		}
	})
}

// refuseCalls makes a simulator the API that refuses what costs something, at some times.
func refuseCalls(t *testing.T, status int, body string, refuses func(now time.Time) bool) {
	t.Helper()
	envFor(t).set(app.KeyVariable, canary)
	envFor(t).set("XDG_STATE_HOME", t.TempDir())
	useSimulator(t, simulator.Config{Plan: "unlimited", Seed: 7}, time.Millisecond)
	served := envFor(t).Transport
	envFor(t).Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
		if req.Method == http.MethodPost && refuses(time.Now()) {
			return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: req, ProtoMajor: 1, ProtoMinor: 1}, nil
		}
		return served.RoundTrip(req)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// TestStopOffline: a command without calls speaks of none when it is stopped.
func TestStopOffline(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	r.buyDomains(3, "--signals", "news")
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	for _, words := range [][]string{
		{"verify"}, {"verify", "--quick"}, {"rebuild", "--into", filepath.Join(t.TempDir(), "new")}, {"compact"}, {"export", "--output", filepath.Join(t.TempDir(), "o.csv")}, {"report", "--output", "-"},
	} {
		var out, problems bytes.Buffer
		code := envFor(t).execute(stopped, slices.Concat([]string{"siglake"}, words, []string{"--lake", r.lake}), strings.NewReader(""), &out, &problems)
		if says := problems.String(); code != exitDeferred || !strings.Contains(says, "stopped on request before it was done") || strings.Contains(says, "call") {
			t.Errorf("%q, stopped: exit code %d, want %d, and no word of calls: %s", words, code, exitDeferred, says)
		}
	}
	c := &console{}
	if says := c.stopping(); strings.Contains(says, "call") {
		t.Errorf("a command without calls says %q", says)
	}
	if c.buys.Store(true); !strings.Contains(c.stopping(), "in-flight calls") {
		t.Errorf("a command with calls says %q", c.stopping())
	}
}
