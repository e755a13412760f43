//go:build unix

package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/simulator"
)

// TestPipesAndDevices: a device is refused as a list and as a key file, and a pipe that nothing
// writes to is waited for until the first request to stop.
func TestPipesAndDevices(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, list, key string
		code            int
		says            string
	}{
		{"list is a device", "/dev/zero", "", exitUsage, "/dev/zero is a device"},
		{"list is a pipe", pipe, "", exitDeferred, "stopped on request"},
		{"key is a device", "", "/dev/zero", exitAuth, "/dev/zero is a device"},
		{"key is a pipe", "", pipe, exitDeferred, "stopped on request"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, simulator.Config{})
			if c.list == "" {
				c.list = writeDomains(t, 3)
			}
			words := []string{"run", c.list, "--signals", "news"}
			if c.key != "" {
				words = append(words, "--api-key-file", c.key)
			}
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan int)
			var stdout, stderr bytes.Buffer
			env := envFor(t)
			go func() { ended <- env.execute(ctx, r.args(words), nil, &stdout, &stderr) }() // awaited below
			select {
			case code := <-ended:
				stop()
				if c.code == exitDeferred {
					t.Fatalf("exit %d before anything was written to the pipe: %s", code, stderr.String())
				}
				ended = make(chan int, 1)
				ended <- code
			case <-time.After(500 * time.Millisecond):
				stop()
			}
			if code := <-ended; code != c.code || !strings.Contains(stderr.String(), c.says) || r.billedCalls() > 0 {
				t.Errorf("exit %d, want %d and %q: %s", code, c.code, c.says, stderr.String())
			}
		})
	}
}
