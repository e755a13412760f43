package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/ratelimit"
	"github.com/siglake/siglake/internal/simulator"
)

// quotaState is what the runs of a key know of its windows.
func quotaState(t *testing.T, dir, plan string) ratelimit.State {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Fatalf("ReadDir(%s) = %d files, %v, want that of one key", dir, len(files), err)
	}
	p, _ := ratelimit.PlanByName(plan)
	g, err := ratelimit.Open(ratelimit.Config{Dir: dir, Account: strings.TrimPrefix(files[0].Name(), "quota-"), Plan: p})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	return g.State()
}

// TestFreeCallsCount: what a run asks free of charge counts like what it pays
// for, and is not taken for the calls of others.
func TestFreeCallsCount(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{Plan: "pro"})
	dir := t.TempDir()
	r.run(domainLines(250), "--signals", "news,contact", "--plan", "pro", "--quota-dir", dir)
	day := quotaState(t, dir, "pro").Windows[2]
	asked := int64(r.sim.Bill().Requests)
	if r.code != exitComplete || asked <= r.manifest.Calls.Total {
		t.Fatalf("exit %d, %d requests for %d paid calls, want %d and free ones: %s", r.code, asked, r.manifest.Calls.Total, exitComplete, r.stderr)
	}
	if day.Recent != asked || day.External != 0 || day.Left != day.Limit-asked {
		t.Errorf("after %d requests: %+v, want all of them here, none of others", asked, day)
	}
}

// TestNoUsagePage: an account without a usage page and without windows in its answers
// gets the windows of its plan.
func TestNoUsagePage(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	requests := int64(0)
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		requests++ // one at a time: nothing is known yet, or concurrency is 1
		if strings.HasSuffix(q.URL.Path, "/account/usage") {
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"message":"no Route matched with those values","request_id":"1"}`))
			return
		}
		answer := httptest.NewRecorder()
		r.sim.ServeHTTP(answer, q)
		w.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	}))
	defer r.server.Close()
	dir := t.TempDir()
	r.run(domainLines(250), "--signals", "news", "--concurrency", "1", "--plan", "pro", "--quota-dir", dir)
	if r.code != exitComplete || !strings.Contains(r.stderr, "usage is not available") {
		t.Errorf("exit %d, want %d and a note: %s", r.code, exitComplete, r.stderr)
	}
	plan, _ := ratelimit.PlanByName("pro")
	for i, limit := range []int64{plan.Minute, plan.Hour, plan.Day} {
		if w := quotaState(t, dir, "pro").Windows[i]; w.Limit != limit || w.Recent != requests {
			t.Errorf("window = %+v, want limit %d and %d calls here", w, limit, requests)
		}
	}
}
