// Package buckettest starts real S3 stores for tests, and injects faults in front of them.
//
//	store := buckettest.Start(t)            // versitygw, with an empty bucket
//	store = buckettest.StartProxy(t, store, buckettest.FaultOnce(http.MethodPut, buckettest.ResetLate))
//	store.Setenv(t) // credentials, for the standard chain
//	bucket.Open(ctx, store.URI(""), bucket.Config{Endpoint: store.URL, Region: store.Region, PathStyle: true})
//
// The stores are third-party programs, so that siglake is not tested against its own idea of S3.
// They live in their own module (internal/stores) and run as processes that end with the test. The
// first test on a machine builds them, which takes minutes; the binary is kept in the user's cache
// directory.
//
// Properties of the stores:
//
//	versitygw   honours conditions, refuses wrong credentials and checksums; keeps
//	            objects as files, so a key "a/b" next to "a" is refused; ignores
//	            encryption and storage class
//	gofakes3    honours conditions on PUT, not on GET and on uploads in parts;
//	            accepts any credentials
//
// The package imports only the standard library and flock.
package buckettest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/lease/flock"
)

// Store is a running store with one empty bucket.
type Store struct {
	URL       string // endpoint, for path-style requests
	Region    string
	Bucket    string
	AccessKey string
	// Random, so that a test can search for leaks of it.
	SecretKey string
	Client    *http.Client // reaches the store; nil: any client does
}

// Start starts versitygw, which ends with the test.
func Start(t testing.TB) *Store {
	t.Helper()
	return startStore(t, "versitygw", t.TempDir())
}

// StartFake starts gofakes3, which ends with the test.
func StartFake(t testing.TB) *Store {
	t.Helper()
	return startStore(t, "gofakes3")
}

// URI is the address of an object in the store's bucket.
func (s *Store) URI(key string) string { return "s3://" + s.Bucket + "/" + key }

// Environ is the environment that gives a process the store's credentials and hides those of the
// machine's user.
func (s *Store) Environ() []string {
	return []string{
		"AWS_ACCESS_KEY_ID=" + s.AccessKey, "AWS_SECRET_ACCESS_KEY=" + s.SecretKey, "AWS_SESSION_TOKEN=", "AWS_PROFILE=",
		"AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull, "AWS_EC2_METADATA_DISABLED=true",
		"AWS_REGION=", "AWS_DEFAULT_REGION=", "AWS_ENDPOINT_URL=", "AWS_ENDPOINT_URL_S3=", "AWS_CA_BUNDLE=",
	}
}

// Setenv sets the same environment for this process until the end of the test.
func (s *Store) Setenv(t testing.TB) {
	t.Helper()
	for _, pair := range s.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		t.Setenv(name, value)
	}
}

// startStore runs the binary of the stores and waits for the address that it prints.
func startStore(t testing.TB, args ...string) *Store {
	t.Helper()
	binary, err := buildStores(t.Context())
	if err != nil {
		t.Fatalf("building the S3 stores: %v", err)
	}
	s := &Store{
		Region: "us-east-1", Bucket: "siglake-test",
		AccessKey: "CANARYKEY" + rand.Text()[:11], SecretKey: "canary-secret-" + rand.Text(),
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), binary, args...) //nolint:gosec // our own binary, which clean-ups may still ask
	cmd.Env = append(append(os.Environ(), s.Environ()...), "STORE_BUCKET="+s.Bucket)
	cmd.Stderr = &stderr
	hold, err := cmd.StdinPipe() // the store ends when its standard input does
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = hold.Close()       // for a store that is still starting
		_ = cmd.Process.Kill() // it has nothing to save
		_ = cmd.Wait()         // reports the kill
	})
	first, err := bufio.NewReader(out).ReadString('\n')
	if s.URL = strings.TrimSpace(first); err != nil {
		_ = hold.Close()
		t.Fatalf("%s did not start: %v; %v\n%s", args[0], err, cmd.Wait(), stderr.String())
	}
	return s
}

// cacheDir is determined before a test can change the environment.
var cacheDir = func() string {
	if dir, err := os.UserCacheDir(); err == nil {
		return dir
	}
	return os.TempDir()
}()

// buildStores returns the binary of the stores, named after a hash of its sources. Tests of other
// packages that need it at the same time wait for it.
func buildStores(ctx context.Context) (binary string, err error) {
	source, err := sourceDir()
	if err != nil {
		return "", err
	}
	made := sha256.New()
	for _, name := range []string{"go.mod", "go.sum", "main.go"} {
		text, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			return "", err
		}
		made.Write(text)
	}
	binary = filepath.Join(cacheDir, "siglake", "stores-"+runtime.Version()+"-"+hex.EncodeToString(made.Sum(nil)[:8]))
	if runtime.GOOS == "windows" {
		binary += ".exe"
	}
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
	unfinished := fmt.Sprintf("%s.%d.tmp", binary, os.Getpid())
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-ldflags=-s -w", "-o", unfinished, ".") //nolint:gosec // names of our own
	cmd.Dir = source
	cmd.Env = slices.DeleteFunc(os.Environ(), func(pair string) bool { return strings.HasPrefix(pair, "GOFLAGS=") })
	if said, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build in %s: %w\n%s", source, err, said)
	}
	return binary, os.Rename(unfinished, binary)
}

// sourceDir finds the module of the stores: tests run in the directory of their package.
func sourceDir() (string, error) {
	here, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := here; ; dir = filepath.Dir(dir) {
		source := filepath.Join(dir, "internal", "stores")
		if _, err := os.Stat(filepath.Join(source, "go.mod")); err == nil {
			return source, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no internal/stores at or above %s", here)
		}
	}
}

// drainBody reads a body to its end, so that its connection can be reused.
func drainBody(body io.ReadCloser) {
	_, _ = io.Copy(io.Discard, body)
	_ = body.Close()
}
