package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/simulator"
)

// hook receives notifications.
type hook struct {
	*httptest.Server
	mu    sync.Mutex
	posts []hookPost
	code  int
}

type hookPost struct{ path, rid, body string }

// hookSecret is the part of addresses that must be seen nowhere.
const hookSecret = "hook-5ecret-61ab"

func newHook(t *testing.T) *hook {
	t.Helper()
	h := &hook{code: http.StatusOK}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.posts = append(h.posts, hookPost{r.URL.Path, r.URL.Query().Get("rid"), string(body)})
		w.WriteHeader(h.code)
	}))
	t.Cleanup(h.Close)
	return h
}

// take gives what was posted since the last time.
func (h *hook) take() []hookPost {
	h.mu.Lock()
	defer h.mu.Unlock()
	posts := h.posts
	h.posts = nil
	return posts
}

const notifiedFile = `version: 1
defaults: {lake: lake, base-url: URL, plan: unlimited, rate: 0, signals: [growth], max-results: 2, max-credits: 5000, quiet: true}
jobs:
  nightly:
    list: LIST
    notify:
    - {url: "HOOK/hc/SECRET", on: [start, success, failure]}
    - {url-file: chat.url, on: failure, format: slack}
    - {url: "HOOK/json/SECRET", format: json}
`

// TestNotifications: each address hears of the events that it wants, in its format, with the figures
// of the bill. Nothing that goes wrong there changes how the job ends, and no address is seen.
func TestNotifications(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	text := strings.NewReplacer("HOOK", h.URL, "SECRET", hookSecret, "LIST", "a.csv").Replace(notifiedFile)
	r, config := jobRig(t, simulator.Config{}, text, map[string]string{"a.csv": domainLines(15), "chat.url": h.URL + "/chat/" + hookSecret + "\n"})
	var pauses []time.Duration
	envFor(t).Sleep = func(_ context.Context, d time.Duration) bool {
		pauses = append(pauses, d)
		return true
	}
	run := func(code int, paths ...string) []hookPost {
		t.Helper()
		if r.job("job", "nightly", "--config", config); r.code != code {
			t.Errorf("exit %d, want %d: %s", r.code, code, r.stderr)
		}
		if strings.Contains(r.stdout+r.stderr, hookSecret) {
			t.Errorf("an address was printed: %s%s", r.stdout, r.stderr)
		}
		posts := h.take()
		var got []string
		for _, p := range posts {
			got = append(got, strings.ReplaceAll(p.path, "/"+hookSecret, ""))
		}
		if !slices.Equal(got, paths) {
			t.Errorf("posted to %q, want %q", got, paths)
		}
		return posts
	}

	posts := run(exitComplete, "/hc/start", "/hc", "/json")
	if posts[0].rid == "" || posts[0].rid != posts[1].rid || len(posts[0].rid) != 36 || posts[2].rid != "" {
		t.Errorf("ids of the pings: %q, %q", posts[0].rid, posts[1].rid)
	}
	if !strings.Contains(posts[1].body, "exit 0") || !strings.Contains(posts[1].body, r.manifest.Run.ID) {
		t.Errorf("the summary is %q", posts[1].body)
	}
	var document jobDocument
	if err := json.Unmarshal([]byte(posts[2].body), &document); err != nil || document.RunID != posts[0].rid || *document.ExitCode != 0 || document.Job != "nightly" ||
		document.Runs[0].Credits != r.sim.Bill().Credits || document.Runs[0].Credits == 0 || document.Runs[0].Run != r.manifest.Run.ID {
		t.Errorf("document %s: %v", posts[2].body, err)
	}

	if err := os.Remove(filepath.Join(filepath.Dir(config), "a.csv")); err != nil {
		t.Fatal(err)
	}
	posts = run(exitUsage, "/hc/start", "/hc/64", "/chat", "/json")
	var message map[string]string
	if err := json.Unmarshal([]byte(posts[2].body), &message); err != nil || !strings.Contains(message["text"], "siglake job nightly: exit 64") || !strings.Contains(message["text"], "a.csv") {
		t.Errorf("message %s: %v", posts[2].body, err)
	}

	h.code = http.StatusInternalServerError
	run(exitUsage, "/hc/start", "/hc/start", "/hc/start", "/hc/64", "/hc/64", "/hc/64", "/chat", "/chat", "/chat", "/json", "/json", "/json")
	if n := strings.Count(r.stderr, "failed: HTTP 500"); n != 4 || !strings.Contains(r.stderr, h.URL+"/…") || len(pauses) != 8 {
		t.Errorf("%d warnings after %d pauses, want 4 and 8: %s", n, len(pauses), r.stderr)
	}

	h.Close()
	if err := os.Remove(filepath.Join(filepath.Dir(config), "chat.url")); err != nil {
		t.Fatal(err)
	}
	run(exitUsage)
	if n := strings.Count(r.stderr, "the notification "); n != 4 {
		t.Errorf("%d warnings without a hook, want 4: %s", n, r.stderr)
	}
	if code, stdout, stderr := says(t, "config", "check", "--config", config); code != exitComplete || strings.Contains(stdout+stderr, hookSecret) || strings.Contains(stderr, "notification") {
		t.Errorf("config check: exit %d, %s%s", code, stdout, stderr)
	}
}

// TestNotificationOfStop: a job that is stopped still says how it ended.
func TestNotificationOfStop(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	text := strings.NewReplacer("HOOK", h.URL, "SECRET", hookSecret, "LIST", "a.csv").Replace(notifiedFile)
	_, config := jobRig(t, simulator.Config{}, text, map[string]string{"a.csv": domainLines(5), "chat.url": h.URL + "/chat/" + hookSecret + "\n"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	code := envFor(t).execute(ctx, []string{"siglake", "job", "nightly", "--config", config}, nil, io.Discard, io.Discard)
	var got []string
	for _, p := range h.take() {
		got = append(got, strings.ReplaceAll(p.path, "/"+hookSecret, ""))
	}
	if want := []string{"/hc/20", "/chat", "/json"}; code != exitDeferred || !slices.Equal(got, want) {
		t.Errorf("exit %d, posted to %q; want %d and %q", code, got, exitDeferred, want)
	}
}
