//go:build unix

package ratelimit_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/ratelimit"
	"github.com/siglake/siglake/pipeline"
)

// The windows of the test in real time.
var (
	shortSpans = [3]time.Duration{1500 * time.Millisecond, 6 * time.Second, time.Minute}
	shortPlan  = ratelimit.Plan{Minute: 30, Hour: 60, Day: 500}
)

const childEnv = "RATELIMIT_TEST_CHILD" // address of the server, directory of the state

// TestMain runs the child process if the environment says so.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		runChild()
		return
	}
	os.Exit(proof.Main(m, "TestAlone", "TestDay", "TestEstimateDuration", "TestEstimateDurationLarge", "TestSharedBucket", "TestSlidingWindow"))
}

// runChild makes calls until it is killed.
func runChild() {
	var where struct{ URL, Dir string }
	if err := json.Unmarshal([]byte(os.Getenv(childEnv)), &where); err != nil {
		panic(err)
	}
	cfg := ratelimit.Config{Dir: where.Dir, Account: "a1", Plan: shortPlan, PerSecond: 200, MaxWait: time.Minute, Timeout: 2 * time.Second}
	cfg.SetSpans(shortSpans[0], shortSpans[1], shortSpans[2])
	l, err := ratelimit.Open(cfg)
	if err != nil {
		panic(err)
	}
	ask := fetcherFunc(func(_ context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
		call := pipeline.Call{Sent: time.Now(), Outcome: pipeline.Charged}
		resp, err := http.Get(where.URL)
		if err != nil {
			return pipeline.NewReply(b, err.Error()), err
		}
		defer resp.Body.Close()
		call.Status = resp.StatusCode
		call.Header = fmt.Appendf(nil, `{"date":%q}`, resp.Header.Get("Date"))
		return replyWith(b, call), json.NewDecoder(resp.Body).Decode(&call.Rate)
	})
	f := ratelimit.Limit(ask, l, classify)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				if _, err := f.Fetch(context.Background(), batch(1)); err != nil {
					panic(err)
				}
				fmt.Println("answered")
			}
		})
	}
	wg.Wait()
}

// TestProcesses: two processes share an account over a real network, and one of them is killed and
// replaced again and again. The API refuses no call, and the other process continues.
func TestProcesses(t *testing.T) {
	for _, alignment := range []string{"utc", "rolling"} {
		t.Run(alignment, func(t *testing.T) {
			t.Parallel()
			m := newModel(alignment, shortPlan)
			m.spans = shortSpans
			var mu sync.Mutex
			admitted, refused := 0, 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				time.Sleep(5 * time.Millisecond)
				status, _, rate := m.count(time.Now())
				mu.Lock()
				if admitted++; status == 429 {
					admitted--
					refused++
				}
				mu.Unlock()
				w.WriteHeader(status)
				_ = json.NewEncoder(w).Encode(rate)
			}))
			defer server.Close()
			where, err := json.Marshal(struct{ URL, Dir string }{server.URL, t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			// startChild starts a process. It sends a value for each call that was answered.
			startChild := func() (answers <-chan struct{}, kill func()) {
				cmd := exec.Command(os.Args[0], "-test.run=^$")
				cmd.Env = append(os.Environ(), childEnv+"="+string(where))
				cmd.Stderr = os.Stderr
				out, err := cmd.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				answered := make(chan struct{}, 1<<16) // more than the windows allow
				go func() {                            // ends with the process
					defer close(answered)
					for lines := bufio.NewScanner(out); lines.Scan(); {
						answered <- struct{}{}
					}
				}()
				kill = sync.OnceFunc(func() { _ = cmd.Process.Kill(); _, _ = cmd.Process.Wait() })
				t.Cleanup(kill)
				return answered, kill
			}
			await := func(answers <-chan struct{}, n int) {
				t.Helper()
				for i := range n {
					if _, ok := <-answers; !ok {
						t.Fatalf("a process ended after %d answers, want %d", i, n)
					}
				}
			}
			survivor, stop := startChild()
			await(survivor, 1)
			for n := range 4 {
				other, kill := startChild()
				await(other, 1+2*n)
				kill()
			}
			// The calls that the killed processes had in flight do not block the others for ever.
			for len(survivor) > 0 {
				<-survivor
			}
			await(survivor, 10)
			stop()
			mu.Lock()
			defer mu.Unlock()
			t.Logf("%s: %d calls admitted, %d refused", alignment, admitted, refused)
			if refused > 0 {
				t.Errorf("%d calls were refused and %d admitted, want none refused", refused, admitted)
			}
		})
	}
}
