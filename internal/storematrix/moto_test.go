package storematrix

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/bucket/buckettest"
)

// motoRelease is what pip installs.
const motoRelease = "moto[s3,server]==5.2.5"

// installMoto installs moto into a virtual environment of the user's cache, once for all tests.
var installMoto = sync.OnceValues(func() (server string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "siglake-test", strings.NewReplacer("[", "-", "]", "", ",", "-", "==", "-").Replace(motoRelease))
	server = filepath.Join(dir, "bin", "moto_server")
	if _, err := os.Stat(server); err == nil {
		return server, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	for _, command := range [][]string{{"python3", "-m", "venv", dir}, {filepath.Join(dir, "bin", "pip"), "install", "--quiet", "--retries", "1", motoRelease}} {
		if out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s: %w\n%s", command, err, out)
		}
	}
	return server, nil
})

// startMoto starts moto with one empty bucket until the test ends.
func startMoto(t *testing.T) *buckettest.Store {
	t.Helper()
	server, err := installMoto()
	if err != nil {
		t.Fatalf("moto cannot be installed: %v", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(listener.Addr().String())
	_ = listener.Close() // its port is moto's
	process := exec.Command(server, "-H", host, "-p", port)
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.Process.Kill()
		_ = process.Wait() // it was killed
	})
	s := &buckettest.Store{URL: "http://" + net.JoinHostPort(host, port), Region: "us-east-1", Bucket: "matrix", AccessKey: "matrix", SecretKey: "matrix-secret"}
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	for {
		create, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.URL+"/"+s.Bucket, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := http.DefaultClient.Do(create); err == nil {
			_ = r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return s
			}
		}
		select {
		case <-deadline.C:
			t.Fatal("moto does not accept requests")
		case <-poll.C:
		}
	}
}
