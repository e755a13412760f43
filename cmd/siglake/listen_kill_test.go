package main

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/proof"
)

// TestListenKills: a listener, which publishes what it receives, is killed with SIGKILL while deliveries arrive from
// several connections, at random instants and at chosen operations on its files, and started again; the vendor repeats
// what was not acknowledged. Whatever was acknowledged is in the inbox and in the lake, and everything is there once,
// with its charge.
func TestListenKills(t *testing.T) {
	t.Parallel()
	lakes, kills := proof.Size(1, 4, 20), proof.Size(4, 25, 100) // kills of each lake
	for seed := range lakes {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			killListener(t, rand.New(rand.NewPCG(uint64(seed), 4)), kills)
		})
	}
}

func killListener(t *testing.T, rng *rand.Rand, kills int) {
	lake := filepath.Join(t.TempDir(), "lake")
	env := ownEnv(t)
	env.set(app.SecretVariable, testSecret)
	sender := &killSender{acknowledged: map[string]bool{}}
	for life := range kills {
		killAfter := 0
		if life%2 == 0 { // at an operation, else after so many acknowledgements
			killAfter = (1 + rng.IntN(50+350*rng.IntN(2))) * (1 - 2*rng.IntN(2))
		}
		cmd := exec.Command(os.Args[0], "listen", "--lake", lake, "--listen", "127.0.0.1:0", "--publish-every", "1h", "--publish-after", fmt.Sprint(1+rng.IntN(40)))
		cmd.Env = slices.Concat(os.Environ(), env.pairs(), []string{fmt.Sprintf("%s=%d", runAsProgram, killAfter)})
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		var stderr strings.Builder
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		if err == nil {
			url := strings.TrimRight(strings.Fields(line)[3], ";")
			sender.load(t, url, rng.IntN(80), killAfter == 0, func() { _ = cmd.Process.Kill() })
		}
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != -1 {
			t.Fatalf("life %d was not killed: %v, %s", life, err, stderr.String())
		}
	}
	// A last life, which nothing disturbs, gets what was not acknowledged.
	l := startListening(t, env, lake)
	sender.load(t, l.url, 0, false, nil)
	l.stop(exitComplete)
	sender.check(t, lake, kills)
	if code, _, stderr := runProgram(t, "webhooks", "publish", "--lake", lake, "--quiet"); code != exitComplete {
		t.Fatalf("webhooks publish: exit %d: %s", code, stderr)
	}
	published := &killedPublisher{t: t, lake: lake}
	for n := range sender.next {
		published.received = append(published.received, inventedDelivery(n))
	}
	published.check()
}

// check compares what was acknowledged with the inbox.
func (s *killSender) check(t *testing.T, lake string, kills int) {
	t.Helper()
	stored := storedIDs(t, lake)
	for id, n := range stored {
		if n != 1 {
			t.Errorf("%s is %d times in the inbox", id, n)
		}
	}
	for id := range s.acknowledged {
		if stored[id] == 0 {
			t.Errorf("%s was acknowledged, and is not in the inbox", id)
		}
	}
	if len(stored) != s.next || len(s.acknowledged) != s.next || s.next == 0 {
		t.Errorf("%d deliveries were sent, %d acknowledged, and %d are in the inbox", s.next, len(s.acknowledged), len(stored))
	}
	t.Logf("%d kills, %d deliveries, %d sent again; %d acknowledged, %d stored", kills, s.next, s.again, len(s.acknowledged), len(stored))
}

// killSender delivers to a listener that is killed.
type killSender struct {
	mu           sync.Mutex
	next         int   // number of the next new delivery
	pending      []int // that were not acknowledged
	again        int   // deliveries that were sent more than once
	acknowledged map[string]bool
}

// take is the next delivery: one that was not acknowledged, or a new one.
func (s *killSender) take(isNew bool) (number int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.pending); n > 0 {
		number, s.pending = s.pending[n-1], s.pending[:n-1]
		s.again++
		return number, true
	}
	if !isNew {
		return 0, false
	}
	s.next++
	return s.next - 1, true
}

// load delivers from several connections until the listener is gone. It kills it after a number of
// acknowledgements; without kill it delivers what is pending.
func (s *killSender) load(t *testing.T, url string, after int, killsItself bool, kill func()) {
	const connections = 8
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	v := &vendor{url: url, secret: testSecret, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections}}}
	var acks int
	var wg sync.WaitGroup
	for range connections {
		wg.Go(func() {
			for {
				number, ok := s.take(kill != nil)
				if !ok {
					return
				}
				d := inventedDelivery(number).delivery
				status, _, err := v.post(ctx, string(d.Body))
				s.mu.Lock()
				if err == nil && status == http.StatusCreated {
					s.acknowledged[d.ID] = true
					if acks++; killsItself && acks == after+1 {
						kill()
					}
				} else {
					s.pending = append(s.pending, number)
				}
				s.mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		t.Fatal("the listener was not killed within a minute")
	}
	v.client.CloseIdleConnections()
}
