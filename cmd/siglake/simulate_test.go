package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// TestSimulateWebhooks: the server delivers to a local webhook while it runs, past events first, and sums
// up the deliveries at its end.
func TestSimulateWebhooks(t *testing.T) {
	t.Parallel()
	arrived := make(chan string, 1000)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			fmt.Fprintf(w, `{"challenge":%q}`, r.URL.Query().Get("challenge"))
			return
		}
		arrived <- r.Header.Get("X-Lusha-Signature")
		w.WriteHeader(http.StatusCreated)
	}))
	defer receiver.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &startOfOutput{first: make(chan string, 1)}
	done := make(chan int)
	go func() { // ends with ctx
		done <- envFor(t).execute(ctx, []string{"siglake", "simulate", "--listen", "127.0.0.1:0", "--webhook-replay", "2160h"}, nil, out, out)
	}()
	url := strings.TrimSpace(strings.TrimPrefix(<-out.first, "simulator listening on "))
	manage := func(path, body string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("api_key", "any")
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("User-Agent", "siglake-test/1")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var answer map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode/100 != 2 {
			t.Fatalf("POST %s = %d %v, %v", path, resp.StatusCode, answer, err)
		}
	}
	manage("/api/account/secret/regenerate", "")
	var items []string
	for i := range 25 {
		items = append(items, fmt.Sprintf(`{"entityId":"%d"}`, 1000+i))
	}
	manage("/api/subscriptions", `{"defaults":{"url":"`+receiver.URL+`/in","entityType":"company","signalTypes":["allSignals"]},"subscriptions":[`+strings.Join(items, ",")+`]}`)
	if signature := <-arrived; len(signature) != 64 {
		t.Errorf("signature %q", signature)
	}
	cancel()
	if code := <-done; code != exitComplete {
		t.Errorf("simulate: exit %d", code)
	}
	if text := out.String(); !regexp.MustCompile(`(?m)^webhooks: [1-9]\d* deliver(y|ies) acknowledged, \d+ pending, 0 lost, 0 missed, 0 unpaid$`).MatchString(text) {
		t.Errorf("output:\n%s", text)
	}
	if code, _, stderr := says(t, "simulate", "--listen", "127.0.0.1:0", "--webhook-replay", "-1h"); code != exitUsage {
		t.Errorf("a negative time: exit %d, want %d: %s", code, exitUsage, stderr)
	}
}

// startOfOutput passes on the first write, and keeps all.
type startOfOutput struct {
	mu    sync.Mutex
	text  bytes.Buffer
	first chan string
}

func (w *startOfOutput) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.text.Len() == 0 {
		w.first <- string(p)
	}
	return w.text.Write(p)
}

func (w *startOfOutput) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}
