//go:build unix

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/siglake/siglake/internal/bucket/buckettest"
	"github.com/siglake/siglake/internal/lease/flock"
)

// canaries are secrets of the tests: no history may hold them.
const (
	canaryKey    = "canary-7f3e-never-in-a-history"
	canaryServer = "canary-91ab-of-temporal"
)

// cacheDir is where built programs are kept; it is read before a test changes the environment.
var cacheDir = func() string {
	if dir, err := os.UserCacheDir(); err == nil {
		return dir
	}
	return os.TempDir()
}()

// buildServer returns Temporal's CLI, which has a server for development, named after a hash of the module that names
// its version. It takes minutes the first time.
var buildServer = sync.OnceValues(func() (binary string, err error) {
	module := filepath.Join("..", "..", "internal", "temporaldev")
	made := sha256.New()
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(module, name))
		if err != nil {
			return "", err
		}
		made.Write(text)
	}
	binary = filepath.Join(cacheDir, "siglake", "temporal-"+runtime.Version()+"-"+hex.EncodeToString(made.Sum(nil)[:8]))
	if err := os.MkdirAll(filepath.Dir(binary), 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(binary+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close() // and unlocks it
	if err := flock.Lock(lock); err != nil {
		return "", err
	}
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	unfinished := binary + ".tmp"
	if err := goBuild(module, unfinished, "github.com/temporalio/cli/cmd/temporal"); err != nil {
		return "", err
	}
	return binary, os.Rename(unfinished, binary)
})

// programs are siglake and siglake-temporal, side by side.
var programs = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "siglake-temporal-programs-"); err != nil {
		return "", err
	}
	programsDir = dir
	return dir, errors.Join(
		goBuild(filepath.Join("..", ".."), filepath.Join(dir, "siglake"), "./cmd/siglake"),
		goBuild(".", filepath.Join(dir, "siglake-temporal"), "."),
	)
})

func goBuild(module, to, what string) error {
	to, err := filepath.Abs(to)
	if err != nil {
		return err
	}
	cmd := exec.Command("go", "build", "-buildvcs=false", "-ldflags=-s -w", "-o", to, what)
	cmd.Dir = module
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", what, err, said)
	}
	return nil
}

// programsDir is the folder of the programs, once they are built.
var programsDir string

func TestMain(m *testing.M) {
	code := m.Run()
	if programsDir != "" {
		_ = os.RemoveAll(programsDir)
	}
	os.Exit(code)
}

// world is a server of Temporal, a simulated vendor, a store on S3 and a job file.
type world struct {
	t         *testing.T
	dir       string // with the job file and the list
	programs  string
	address   string // of the server of Temporal
	server    *started
	simulator string // its URL
	store     *buckettest.Store
	environ   []string
}

// newWorld starts all but workers. jobs is the job file, in which URL stands for the simulator's address and S3 for the settings
// of the store; simulate are flags of the simulator.
func newWorld(t *testing.T, jobs string, list string, simulate ...string) *world {
	t.Helper()
	binaries, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: t.TempDir(), programs: binaries, store: buckettest.Start(t)}
	w.environ = slices.Concat(os.Environ(), w.store.Environ(), []string{
		"LUSHA_API_KEY=" + canaryKey, "TEMPORAL_CANARY=" + canaryServer,
		"XDG_STATE_HOME=" + filepath.Join(w.dir, "state"), "XDG_CACHE_HOME=" + filepath.Join(w.dir, "cache"),
	})
	w.startSimulator(simulate...)
	s3 := fmt.Sprintf("s3-endpoint: %s\n  s3-region: %s\n  s3-path-style: true", w.store.URL, w.store.Region)
	jobs = strings.NewReplacer("URL", w.simulator, "S3", s3, "BUCKET", w.store.URI("")).Replace(jobs)
	w.write("siglake.yaml", jobs)
	w.write("accounts.csv", list)
	w.address = freeAddress(t)
	w.startServer()
	w.mustRun("register")
	return w
}

func (w *world) write(name, text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// freeAddress is an address that nothing listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// startSimulator starts the vendor, and waits until it answers.
func (w *world) startSimulator(flags ...string) {
	w.t.Helper()
	address := freeAddress(w.t)
	w.simulator = "http://" + address
	w.startProcess(exec.Command(filepath.Join(w.programs, "siglake"), append([]string{"simulate", "--listen", address, "--quiet"}, flags...)...))
	w.await("the simulator", func() bool {
		answer, err := http.Get(w.simulator + "/_simulator/bill")
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
}

// startServer starts the server of Temporal, with the state that an earlier one left, and waits until it answers.
func (w *world) startServer() {
	w.t.Helper()
	binary, err := buildServer()
	if err != nil {
		w.t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(w.address)
	w.server = w.startProcess(exec.Command(binary, "server", "start-dev", "--headless", "--ip", host, "--port", port, "--db-filename", filepath.Join(w.dir, "temporal.db"), "--log-level", "never"))
	w.await("the server of Temporal", func() bool {
		ctx, cancel := context.WithTimeout(w.t.Context(), 5*time.Second)
		defer cancel()
		c, err := client.DialContext(ctx, w.clientOptions())
		if err != nil {
			return false
		}
		defer c.Close()
		_, err = c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Namespace: "default"})
		return err == nil
	})
}

func (w *world) clientOptions() client.Options {
	return client.Options{HostPort: w.address, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler))}
}

// dial connects to the server until the test ends.
func (w *world) dial() client.Client {
	w.t.Helper()
	c, err := client.Dial(w.clientOptions())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.Close)
	return c
}

// await waits until something is so.
func (w *world) await(what string, isSo func() bool) {
	w.t.Helper()
	for until := time.Now().Add(3 * time.Minute); time.Now().Before(until); time.Sleep(50 * time.Millisecond) {
		if isSo() {
			return
		}
	}
	w.t.Fatalf("waited in vain for %s", what)
}

// started is a process.
type started struct {
	*exec.Cmd
	ended chan struct{} // closed when it has ended
}

// kill kills the process and waits for its end: its port and its files are free then.
func (s *started) kill() {
	_ = s.Process.Kill()
	<-s.ended
}

// startProcess starts a program that ends with the test, whose death its starter notices.
func (w *world) startProcess(cmd *exec.Cmd) *started {
	w.t.Helper()
	var said syncBuffer
	if cmd.Env == nil {
		cmd.Env = w.environ
	}
	cmd.Stderr = &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	s := &started{Cmd: cmd, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // it reports a kill
		close(s.ended)
	}()
	w.t.Cleanup(func() {
		s.kill()
		if w.t.Failed() {
			w.t.Logf("%s said:\n%s", strings.Join(cmd.Args, " "), tail(said.String()))
		}
	})
	return s
}

// tail is the end of a text.
func tail(text string) string {
	const most = 3000
	return text[max(0, len(text)-most):]
}

// syncBuffer is a buffer that several goroutines use.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// command is siglake-temporal with arguments.
func (w *world) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(w.programs, "siglake-temporal"), append([]string{name, "--address", w.address}, args...)...)
	cmd.Env, cmd.Dir = w.environ, w.dir
	return cmd
}

// run runs siglake-temporal to its end.
func (w *world) run(name string, args ...string) (code int, stdout, stderr string) {
	w.t.Helper()
	return runToEnd(w.t, w.command(name, args...))
}

func runToEnd(t *testing.T, cmd *exec.Cmd) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

func (w *world) mustRun(name string, args ...string) (stdout string) {
	w.t.Helper()
	code, stdout, stderr := w.run(name, args...)
	if code != exitComplete {
		w.t.Fatalf("siglake-temporal %s %q: exit %d\n%s%s", name, args, code, stdout, stderr)
	}
	return stdout
}

// siglake runs the program siglake on the store, to its end.
func (w *world) siglake(args ...string) (code int, stdout, stderr string) {
	w.t.Helper()
	cmd := exec.Command(filepath.Join(w.programs, "siglake"), append(args, "--s3-endpoint", w.store.URL, "--s3-region", w.store.Region, "--s3-path-style")...)
	cmd.Env, cmd.Dir = w.environ, w.dir
	return runToEnd(w.t, cmd)
}

// startWorker starts a worker with slots for jobs.
func (w *world) startWorker(slots int) *started {
	w.t.Helper()
	return w.startProcess(w.command("worker", "--slots", fmt.Sprint(slots)))
}

// get asks the simulator.
func (w *world) get(path string) []byte {
	w.t.Helper()
	answer, err := http.Get(w.simulator + path)
	if err != nil {
		w.t.Fatal(err)
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return raw
}
