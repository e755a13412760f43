package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/app"
)

// alarmSink receives alarms at https://alarms.example; other requests go on.
type alarmSink struct {
	next http.RoundTripper

	mu    sync.Mutex
	paths []string
	texts []string
}

func (s *alarmSink) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Host != "alarms.example" {
		return s.next.RoundTrip(req)
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paths, s.texts = append(s.paths, req.URL.Path+req.URL.RawQuery), append(s.texts, string(body))
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: req}, nil
}

// newAlarmSink gives the flags that send alarms there.
func newAlarmSink(t *testing.T, format string) (s *alarmSink, flags []string) {
	t.Helper()
	env := envFor(t)
	env.set("XDG_STATE_HOME", t.TempDir())
	s = &alarmSink{next: env.Transport}
	env.Transport = s
	file := filepath.Join(t.TempDir(), "alarms.url")
	if err := os.WriteFile(file, []byte("https://alarms.example/"+hookSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return s, []string{"--notify-url-file", file, "--notify-format", format}
}

// TestWebhookFigures: a notification of a job about webhooks has the figures of its command, for people and machines, and
// none of a run that there was not.
func TestWebhookFigures(t *testing.T) {
	t.Parallel()
	h, heard := newHookTest(t), newHook(t)
	envFor(t).Transport = hostTransport{strings.TrimPrefix(heard.URL, "http://"), envFor(t).Transport}
	setNow(t, func() time.Time { return time.Date(2026, 4, 7, 12, 0, 0, 0, time.UTC) })
	h.writeIDs("101", "102")
	config := writeJobFile(t, strings.NewReplacer("LAKE", h.lake, "HOOK", heard.URL, "ACCOUNTS", h.list, "URL", hookURL).Replace(`version: 1
defaults:
  lake: LAKE
  notify: [{url: "HOOK/chat", on: [success, failure], format: json}, {url: "HOOK/people", on: [success, failure], format: slack}]
jobs:
  sync: {command: webhooks sync, list: ACCOUNTS, signals: news, url: "URL", max-credits: 10, yes: true, rate: 0, plan: unlimited}
  audit: {command: webhooks audit}
  cap: {command: webhooks cap, max-credits-per-day: 10}
  publish: {command: webhooks publish}
`), nil)
	receive(t, h.lake, eventDelivery(1, "101", "2026-04-07 10:00:00", 4))
	for _, c := range []struct {
		job, text, key string
		value          int64
		hasRun         bool
	}{
		{"sync", "subscriptions: 2 created", "create", 2, true},
		{"audit", "of 0 deliveries since 2026-03-31 the lake has 0 and lacks 0", "missing", 0, false},
		{"cap", "deliveries have cost 4 of 10 credits", "delivered_credits", 4, false},
		{"publish", "published: 1 delivery, 1 new event, 4 credits", "deliveries", 1, true},
		{"publish", "published: 0 deliveries", "deliveries", 0, false},
	} {
		if code, _, stderr := runProgram(t, "job", c.job, "--config", config); code != exitComplete {
			t.Fatalf("job %s: exit %d: %s", c.job, code, stderr)
		}
		var machine jobDocument
		people := ""
		for _, post := range heard.take() {
			if !strings.HasSuffix(post.path, "/chat") {
				people = post.body
			} else if err := json.Unmarshal([]byte(post.body), &machine); err != nil {
				t.Fatal(err)
			}
		}
		if !strings.Contains(people, c.text) || strings.Contains(people, "new event") != c.hasRun {
			t.Errorf("job %s posted %q, want %q, with events: %v", c.job, people, c.text, c.hasRun)
		}
		if len(machine.Runs) != 1 {
			t.Errorf("job %s posted %+v, want one end", c.job, machine)
		} else if got, ok := machine.Runs[0].Figures[c.key]; !ok || got != c.value {
			t.Errorf("job %s: figures %v, want %s %d", c.job, machine.Runs[0].Figures, c.key, c.value)
		}
	}
}

// TestBlockedNotifies: a team hears of subscriptions that the vendor has switched off, from the audit and from the sync
// that switches them on again, and of an account without a secret.
func TestBlockedNotifies(t *testing.T) {
	t.Parallel()
	h, heard := newHookTest(t), newHook(t)
	envFor(t).Transport = hostTransport{strings.TrimPrefix(heard.URL, "http://"), envFor(t).Transport}
	h.writeIDs("101", "102")
	config := writeJobFile(t, strings.NewReplacer("LAKE", h.lake, "HOOK", heard.URL, "ACCOUNTS", h.list, "URL", hookURL).Replace(`version: 1
defaults:
  lake: LAKE
  notify: [{url: "HOOK/chat", on: [failure, warning], format: slack}]
jobs:
  sync: {command: webhooks sync, list: ACCOUNTS, signals: news, url: "URL", max-credits: 10, yes: true, rate: 0, plan: unlimited}
  audit: {command: webhooks audit}
`), nil)
	job := func(name string, want ...string) {
		t.Helper()
		if code, _, stderr := runProgram(t, "job", name, "--config", config); code != exitComplete {
			t.Errorf("job %s: exit %d: %s", name, code, stderr)
		}
		posts := heard.take()
		if len(posts) != len(want) {
			t.Fatalf("job %s posted %v, want %q", name, posts, want)
		}
		for i, text := range want {
			if !strings.Contains(posts[i].body, text) {
				t.Errorf("job %s posted %q, want %q", name, posts[i].body, text)
			}
		}
	}
	job("sync", "no signing secret")
	job("sync")
	job("audit")
	h.vendor.subs[0]["isActive"], h.vendor.subs[0]["blockReason"], h.vendor.subs[0]["blockedAt"] = false, "Max retries exceeded", "2026-03-04T05:06:07.000Z"
	job("audit", "1 subscription is switched off at the vendor")
	job("sync", "1 subscription was switched off at the vendor")
	job("sync")
	job("audit")
}

// TestListenAlarms: a listener that cannot keep deliveries says so before it ends, and not again when its supervisor starts
// it again, also if the lake has no room for a record of that. One that is stopped says nothing.
func TestListenAlarms(t *testing.T) {
	t.Parallel()
	env := envFor(t)
	env.set(app.SecretVariable, testSecret)
	sink, flags := newAlarmSink(t, "healthchecks")
	var full sync.Mutex // guards isFull
	isFull := false
	env.Hook = func(op, path string, do func() error) error {
		full.Lock()
		defer full.Unlock()
		if isFull && (op == "write" || op == "sync") {
			return syscall.ENOSPC
		}
		return do()
	}
	setFull := func(to bool) {
		full.Lock()
		defer full.Unlock()
		isFull = to
	}
	lake := filepath.Join(t.TempDir(), "lake")
	l := startListening(t, env, lake, flags...)
	l.vendor.mustDeliver(t, "a", http.StatusCreated)
	l.stop(exitComplete)
	if len(sink.paths) > 0 {
		t.Errorf("alarms of a listener that was stopped: %q", sink.texts)
	}
	for _, id := range []string{"b", "c"} {
		setFull(false)
		l = startListening(t, env, lake, flags...)
		setFull(true)
		l.vendor.mustDeliver(t, id, http.StatusServiceUnavailable)
		if code := <-l.code; code != exitStorage {
			t.Errorf("exit %d, want %d: %s", code, exitStorage, l.stderr)
		}
	}
	if want := []string{"/" + hookSecret + "/fail"}; !slices.Equal(sink.paths, want) || !strings.Contains(sink.texts[0], "nothing is received until it runs again") {
		t.Errorf("posted to %q, %q, want one alarm to %q", sink.paths, sink.texts, want)
	}
	if text := l.stdout.String() + l.stderr.String(); strings.Contains(text, hookSecret) {
		t.Errorf("an address was printed: %s", text)
	}
}
