package proxymatrix

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	secret = "whsec_of_the_proxies"
	host   = "hooks.example.com"
)

// build is siglake, built from this tree.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "siglake")
	cmd := exec.Command("go", "build", "-o", program, "./cmd/siglake")
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// start starts a program, and ends it with the test.
func start(t *testing.T, cmd *exec.Cmd) (stop func()) {
	t.Helper()
	var log bytes.Buffer
	if cmd.Stderr == nil {
		cmd.Stderr = &log
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("%s:\n%s", cmd.Path, log.String())
		}
	})
	return stop
}

// listen starts siglake listen on an address, or on a free port, and returns its address.
func listen(t *testing.T, program, lake, address string) (at string, stop func()) {
	t.Helper()
	cmd := exec.Command(program, "listen", "--lake", lake, "--listen", address, "--publish-every", "0")
	cmd.Env = append(os.Environ(), "SIGLAKE_WEBHOOK_SECRET="+secret)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stop = start(t, cmd)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(line, "http://")
	at, _, _ = strings.Cut(rest, "/")
	return at, stop
}

// certificate writes a certificate and its key.
func certificate(t *testing.T, dir string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{host}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{keyFile: {Type: "PRIVATE KEY", Bytes: raw}, certFile: {Type: "CERTIFICATE", Bytes: cert}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// configuration is the one that siglake examples webhooks prints, with other places.
func configuration(t *testing.T, program, file string, replace ...string) string {
	t.Helper()
	out, err := exec.Command(program, "examples", "webhooks", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	text := string(out)
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(text, replace[i]) {
			t.Fatalf("%s does not have %q", file, replace[i])
		}
		text = strings.ReplaceAll(text, replace[i], replace[i+1])
	}
	return text
}

// proxy starts a proxy in front of an address, and returns the Unix socket that it serves TLS on.
type proxy func(t *testing.T, program, backend string) (socket string)

func nginx(t *testing.T, program, backend string) string {
	t.Helper()
	dir := t.TempDir()
	cert, key := certificate(t, dir)
	socket := filepath.Join(dir, "socket")
	server := configuration(t, program, "nginx.conf", "listen 443 ssl", "listen unix:"+socket+" ssl", "http://127.0.0.1:8081", "http://"+backend,
		"/etc/ssl/hooks.example.com.pem", cert, "/etc/ssl/hooks.example.com.key", key)
	temporary := ""
	for _, what := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temporary += what + "_temp_path " + filepath.Join(dir, what) + ";\n"
	}
	user := ""
	if os.Geteuid() == 0 { // whose workers would be another user, who may not read the folder of a test
		user = "user root;\n"
	}
	conf := user + "daemon off;\npid " + filepath.Join(dir, "pid") + ";\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n" + temporary + server + "}\n"
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	binary, err := exec.LookPath("nginx")
	if err != nil {
		if binary, err = exec.LookPath("/usr/sbin/nginx"); err != nil {
			t.Fatal("no nginx: install Debian's package nginx-light")
		}
	}
	start(t, exec.Command(binary, "-p", dir, "-c", path))
	return socket
}

func caddy(t *testing.T, program, backend string) string {
	t.Helper()
	dir := t.TempDir()
	cert, key := certificate(t, dir)
	socket := filepath.Join(dir, "socket")
	server := configuration(t, program, "Caddyfile", "hooks.example.com {", "https://hooks.example.com {\n\tbind unix/"+socket+"\n\ttls "+cert+" "+key, "127.0.0.1:8081", backend)
	path := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(path, []byte("{\n\tadmin off\n\tauto_https disable_redirects\n}\n"+server), 0o600); err != nil {
		t.Fatal(err)
	}
	binary, err := exec.LookPath("caddy")
	if err != nil {
		t.Fatal("no Caddy: install Debian's package caddy")
	}
	cmd := exec.Command(binary, "run", "--config", path, "--adapter", "caddyfile")
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	start(t, cmd)
	return socket
}

// client speaks TLS through a Unix socket. A proxy that is being started is waited for.
func client(t *testing.T, socket string) *http.Client {
	t.Helper()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		for {
			conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
			if err == nil {
				return conn, nil
			}
			select {
			case <-ctx.Done():
				return nil, err
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	return &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		DialContext: dial, TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: host}, //nolint:gosec // the certificate is the test's own
	}}
}

// post delivers a body with its signature.
func post(c *http.Client, path, body string, chunked bool) (status int, answer string, err error) {
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = io.WriteString(mac, stamp+"."+body)
	var in io.Reader = strings.NewReader(body)
	if chunked {
		in = struct{ io.Reader }{in}
	}
	req, err := http.NewRequest(http.MethodPost, "https://"+host+path, in)
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("X-Lusha-Signature", hex.EncodeToString(mac.Sum(nil)))
	req.Header.Set("X-Lusha-Timestamp", stamp)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Lusha-Webhooks/1.0")
	res, err := c.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, string(text), err
}

func delivery(id, title string) string {
	return `{"id":"` + id + `","type":"promotion","entityType":"contact","entityId":"1","data":{"currentTitle":"` + title + `"},"billing":{"creditsCharged":1}}`
}

// TestProxies: behind each proxy, with the configuration that siglake prints, deliveries arrive as the vendor
// signed them, whatever is in them and however long they are; the vendor's question is answered; what is too long
// or goes elsewhere is refused; and while siglake is away the vendor gets an error, and repeats.
func TestProxies(t *testing.T) {
	program := build(t)
	for name, inFront := range map[string]proxy{"nginx": nginx, "caddy": caddy} {
		t.Run(name, func(t *testing.T) {
			lake := filepath.Join(t.TempDir(), "lake")
			backend, stop := listen(t, program, lake, "127.0.0.1:0")
			c := client(t, inFront(t, program, backend))

			res, err := c.Get("https://" + host + "/in?challenge=a%26b")
			if err != nil {
				t.Fatal(err)
			}
			var echo map[string]string
			if err := json.NewDecoder(res.Body).Decode(&echo); err != nil || echo["challenge"] != "a&b" {
				t.Errorf("the vendor's question: %d %v, %v", res.StatusCode, echo, err)
			}
			_ = res.Body.Close()

			for _, d := range []struct {
				what, path, body string
				chunked          bool
				want             int
			}{
				{"a delivery", "/in", delivery("a", "Leiter R&D <Köln> \\u0000 %41 \U0001f600"), false, 201},
				{"a copy", "/in", delivery("a", "Leiter R&D <Köln> \\u0000 %41 \U0001f600"), false, 201},
				{"one in chunks", "/in", delivery("b", "x"), true, 201},
				{"one of 900 KiB", "/in", delivery("c", strings.Repeat("é", 450<<10)), false, 201},
				{"one of 900 KiB in chunks", "/in", delivery("d", strings.Repeat("é", 450<<10)), true, 201},
				{"one with line breaks", "/in", strings.ReplaceAll(delivery("e", "x"), ",", ",\r\n\t"), false, 201},
				{"one that is too long", "/in", delivery("f", strings.Repeat("x", 1<<20)), false, 413},
				{"another path", "/", delivery("g", "x"), false, 404},
				{"a path below", "/in/x", delivery("g", "x"), false, 404},
				{"the admin address", "/metrics", delivery("g", "x"), false, 404},
			} {
				status, answer, err := post(c, d.path, d.body, d.chunked)
				if name == "caddy" && status == 502 && d.want == 413 { // siglake refuses it, and Caddy 2.6 says it in its own way
					continue
				}
				if err != nil || status != d.want {
					t.Errorf("%s: %d %s, %v, want %d", d.what, status, answer, err, d.want)
				}
			}

			var wg sync.WaitGroup
			for n := range 100 {
				wg.Go(func() {
					id := fmt.Sprintf("many-%d", n)
					if status, answer, err := post(c, "/in", delivery(id, "x"), false); err != nil || status != 201 || !strings.Contains(answer, `"webhookId":"`+id+`"`) {
						t.Errorf("%s: %d %s, %v", id, status, answer, err)
					}
				})
			}
			wg.Wait()

			stop()
			if status, _, err := post(c, "/in", delivery("away", "x"), false); err != nil || status != 502 {
				t.Errorf("while siglake is away: %d, %v, want 502", status, err)
			}
			_, stop = listen(t, program, lake, backend)
			defer stop()
			for range 2 {
				if status, answer, err := post(c, "/in", delivery("away", "x"), false); err != nil || status != 201 {
					t.Errorf("when siglake is back: %d %s, %v, want 201", status, answer, err)
				}
			}
		})
	}
}
