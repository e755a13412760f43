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

// TestListenKills: a listener is killed with SIGKILL while deliveries arrive from several connections, at random
// instants and at chosen operations on its files, and started again; the vendor repeats what was not acknowledged.
// Whatever was acknowledged is in the inbox, and everything is there once.
func TestListenKills(t *testing.T) {
	t.Parallel()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	lake := filepath.Join(t.TempDir(), "lake")
	env := envFor(t)
	env.set(app.SecretVariable, testSecret)
	rng := rand.New(rand.NewPCG(17, 4))
	sender := &killSender{acknowledged: map[string]bool{}}
	kills, lives := proof.Size(4, 60, 2000), 0
	for landed := 0; landed < kills; lives++ {
		killAfter := 0
		if lives%2 == 0 { // at an operation, else after so many acknowledgements
			killAfter = (1 + rng.IntN(60)) * (1 - 2*rng.IntN(2))
		}
		cmd := exec.Command(program, "listen", "--lake", lake, "--listen", "127.0.0.1:0", "--publish-every", "0")
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
			t.Fatalf("life %d was not killed: %v, %s", lives, err, stderr.String())
		}
		landed++
	}
	// A last life, which nothing disturbs, gets what was not acknowledged.
	l := startListening(t, env, lake)
	sender.load(t, l.url, 0, false, nil)
	l.stop(exitComplete)
	stored := storedIDs(t, lake)
	for id, n := range stored {
		if n != 1 {
			t.Errorf("%s is %d times in the inbox", id, n)
		}
	}
	for id := range sender.acknowledged {
		if stored[id] == 0 {
			t.Errorf("%s was acknowledged, and is not in the inbox", id)
		}
	}
	if len(stored) != sender.next || len(sender.acknowledged) != sender.next || sender.next < kills {
		t.Errorf("%d deliveries were sent, %d acknowledged, and %d are in the inbox", sender.next, len(sender.acknowledged), len(stored))
	}
	t.Logf("%d kills, %d deliveries, %d sent again; %d acknowledged, %d stored", kills, sender.next, sender.again, len(sender.acknowledged), len(stored))
}

// killSender delivers to a listener that is killed.
type killSender struct {
	mu           sync.Mutex
	next         int      // number of the next new delivery
	pending      []string // that were not acknowledged
	again        int      // deliveries that were sent more than once
	acknowledged map[string]bool
}

// take is the next delivery: one that was not acknowledged, or a new one.
func (s *killSender) take(isNew bool) (id string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.pending); n > 0 {
		id, s.pending = s.pending[n-1], s.pending[:n-1]
		s.again++
		return id, true
	}
	if !isNew {
		return "", false
	}
	s.next++
	return fmt.Sprintf("delivery-%06d", s.next), true
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
				id, ok := s.take(kill != nil)
				if !ok {
					return
				}
				status, _, err := v.deliver(ctx, id)
				s.mu.Lock()
				if err == nil && status == http.StatusCreated {
					s.acknowledged[id] = true
					if acks++; killsItself && acks == after+1 {
						kill()
					}
				} else {
					s.pending = append(s.pending, id)
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
