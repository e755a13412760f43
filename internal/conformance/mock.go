// Package conformance tests the client against an independent mock of the API: Prism, which checks
// every request against a description of the API and generates answers that the description allows.
// The simulator and the client have the same authors and may share a misreading; the mock shares
// nothing with either but the description, which is data.
//
// The module is for tests only and needs Node.js with npm. It requests the packages in
// package-lock.json from the npm registry once.
//
//	signals.Client or siglake -> Proxy, one per test -> Mock, one for all tests
package conformance

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"
)

// Mock is a mock server for a description of the API, on a loopback port of its own.
type Mock struct {
	URL string

	process *exec.Cmd
	stdin   io.Closer
	done    chan struct{} // closed when the output of the process ends
}

var listening = regexp.MustCompile(`Prism is listening on (http://\S+)`)

// StartMock installs the mock in this directory if necessary, and makes it serve a description.
func StartMock(ctx context.Context, description string) (*Mock, error) {
	return start(ctx, "mock", "--errors", "--port", "0", "--verboseLevel", "info", description)
}

// StartValidator makes the same program forward requests to a server, and check them and the answers
// against a description.
func StartValidator(ctx context.Context, description, server string) (*Mock, error) {
	return start(ctx, "proxy", "--errors", "--port", "0", "--verboseLevel", "info", description, server)
}

// start installs Prism and runs one of its commands.
func start(ctx context.Context, args ...string) (*Mock, error) {
	node, err := installPrism(ctx)
	if err != nil {
		return nil, err
	}
	m := &Mock{done: make(chan struct{})}
	m.process = exec.CommandContext(ctx, node, append([]string{"--require", "./stdin.cjs", "node_modules/@stoplight/prism-cli/dist/index.js"}, args...)...) //nolint:gosec // node, and paths of the caller
	m.process.Env = append(os.Environ(), "NO_COLOR=1", "FORCE_COLOR=0")
	if m.stdin, err = m.process.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := m.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	m.process.Stderr = m.process.Stdout
	if err := m.process.Start(); err != nil {
		return nil, err
	}
	address := make(chan string, 1)
	var output bytes.Buffer // until it listens
	go func() {             // awaited by Close
		defer close(m.done)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for found := false; lines.Scan(); {
			if found {
				continue
			}
			fmt.Fprintln(&output, lines.Text())
			if match := listening.FindSubmatch(lines.Bytes()); match != nil {
				found = true
				address <- string(match[1])
			}
		}
		_, _ = io.Copy(io.Discard, out) // the rest after a line that is too long
	}()
	select {
	case m.URL = <-address:
		return m, nil
	case <-m.done:
		err = fmt.Errorf("the mock exited before it listened:\n%s", output.String())
	}
	return nil, errors.Join(err, m.Close())
}

// Close ends the mock and waits for it.
func (m *Mock) Close() error {
	_ = m.stdin.Close()
	select {
	case <-m.done:
	case <-time.After(5 * time.Second):
		_ = m.process.Process.Kill()
		<-m.done
	}
	return m.process.Wait()
}

// installPrism installs node_modules as in package-lock.json, and finds node.
func installPrism(ctx context.Context) (node string, err error) {
	npm, err := exec.LookPath("npm")
	if err == nil {
		node, err = exec.LookPath("node")
	}
	if err != nil {
		return "", fmt.Errorf("these tests need Node.js 18.20 or newer with npm in the PATH: %w", err)
	}
	lock, err := os.ReadFile("package-lock.json")
	if err != nil {
		return "", err
	}
	stamp := filepath.Join("node_modules", ".installed")
	if have, err := os.ReadFile(stamp); err == nil && bytes.Equal(have, lock) {
		return node, nil
	}
	out, err := exec.CommandContext(ctx, npm, "ci", "--no-audit", "--no-fund").CombinedOutput() //nolint:gosec // npm
	if err != nil {
		return "", fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	return node, os.WriteFile(stamp, lock, 0o600) //nolint:gosec // a constant name
}
