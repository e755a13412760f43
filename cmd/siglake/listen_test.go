package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/inbox"
	"github.com/siglake/siglake/internal/lease"
	"github.com/siglake/siglake/internal/report/metricstest"
)

// testSecret signs the deliveries of tests. It must stand in no byte that siglake writes.
const testSecret = "whsec_canary_of_webhooks_8d41"

// vendor delivers webhooks as the vendor does.
type vendor struct {
	url    string
	secret string
	client *http.Client
}

// deliver posts an event with an id and returns the status of the answer.
func (v *vendor) deliver(ctx context.Context, id string) (status int, answer string, err error) {
	body := fmt.Sprintf(`{"id":%q,"type":"promotion","entityType":"contact","entityId":"70114455","subscriptionId":"66aa00112233445566778899","data":{"personId":70114455,"currentTitle":"Leiter R&D <Köln>","signalDate":"2026-04-01"},"timestamp":"2026-04-02T08:15:30.120Z","billing":{"creditsCharged":1}}`, id)
	return v.post(ctx, body)
}

func (v *vendor) post(ctx context.Context, body string) (status int, answer string, err error) {
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, []byte(v.secret))
	_, _ = io.WriteString(mac, stamp+"."+body)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, v.url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("X-Lusha-Signature", hex.EncodeToString(mac.Sum(nil)))
	req.Header.Set("X-Lusha-Timestamp", stamp)
	req.Header.Set("User-Agent", "Lusha-Webhooks/1.0")
	req.Header.Set("Content-Type", "application/json")
	res, err := v.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, string(text), err
}

// mustDeliver expects a status.
func (v *vendor) mustDeliver(t *testing.T, id string, want int) {
	t.Helper()
	status, answer, err := v.deliver(t.Context(), id)
	if err != nil || status != want {
		t.Fatalf("delivery %s: %d %s, %v, want %d", id, status, answer, err, want)
	}
	if want == http.StatusCreated && !strings.Contains(answer, `"received":true`) || !strings.Contains(answer, `"webhookId":"`+id+`"`) && want == http.StatusCreated {
		t.Errorf("delivery %s: acknowledged with %s", id, answer)
	}
}

// lines passes on the lines that are written to it, and keeps all.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
	next chan string
}

func newLines() *lines { return &lines{next: make(chan string, 100)} }

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(string(p)) {
		select {
		case l.next <- strings.TrimSpace(line):
		default:
		}
	}
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// listening is siglake listen in this process.
type listening struct {
	t              *testing.T
	lake, url      string
	admin          string
	stdout, stderr *lines
	stopIt         context.CancelFunc
	code           chan int
	vendor         *vendor
}

// startListening starts siglake listen on a free port.
func startListening(t *testing.T, env *testEnv, lake string, flags ...string) *listening {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &listening{t: t, lake: lake, stdout: newLines(), stderr: newLines(), stopIt: cancel, code: make(chan int, 1)}
	args := append([]string{"siglake", "listen", "--lake", lake, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--publish-every", "0"}, flags...)
	go func() { l.code <- env.execute(ctx, args, nil, l.stdout, l.stderr) }() // ends with ctx
	t.Cleanup(cancel)
	word := func(n int) string {
		select {
		case line := <-l.stdout.next:
			return strings.TrimRight(strings.Fields(line + " ? ? ? ?")[n], ";")
		case code := <-l.code:
			t.Fatalf("siglake listen: exit %d: %s", code, l.stderr)
			return ""
		}
	}
	l.url = word(3)
	l.admin = strings.TrimSuffix(word(4), "/healthz")
	l.vendor = &vendor{url: l.url, secret: testSecret, client: &http.Client{}}
	return l
}

// get reads a path of the admin address.
func (l *listening) get(path string) (status int, text string) {
	l.t.Helper()
	res, err := http.Get(l.admin + path)
	if err != nil {
		l.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	return res.StatusCode, string(raw)
}

// stop ends it, and expects an exit code.
func (l *listening) stop(want int) {
	l.t.Helper()
	l.stopIt()
	if code := <-l.code; code != want {
		l.t.Errorf("siglake listen: exit %d, want %d: %s", code, want, l.stderr)
	}
}

// storedIDs are the ids in the inbox of a lake, and how often each is there.
func storedIDs(t *testing.T, lake string) map[string]int {
	t.Helper()
	r, err := inbox.OpenReader(t.Context(), lake, inbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	end, err := r.End(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]int{}
	for d, err := range r.Deliveries(t.Context(), "", end) {
		if err != nil {
			t.Fatal(err)
		}
		ids[d.ID]++
	}
	return ids
}

// checkNoWebhookSecret looks for the secret in all files of a folder, and in texts.
func checkNoWebhookSecret(t *testing.T, folder string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(text, testSecret) {
			t.Errorf("the secret is printed:\n%s", text)
		}
	}
	err := filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if bytes.Contains(raw, []byte(testSecret)) {
			t.Errorf("the secret stands in %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func writeSecrets(t *testing.T, path string, secrets ...string) {
	t.Helper()
	next := path + ".next"
	if err := errors.Join(os.WriteFile(next, []byte(strings.Join(secrets, "\n")+"\n"), 0o600), os.Rename(next, path)); err != nil {
		t.Fatal(err)
	}
}

// TestListen: deliveries are received, a copy has no effect, strangers are refused, the figures say so; a
// second listener says that there is one; a stop ends in order, and what was received is there afterwards.
func TestListen(t *testing.T) {
	t.Parallel()
	lake, secrets := filepath.Join(t.TempDir(), "lake"), filepath.Join(t.TempDir(), "secrets")
	writeSecrets(t, secrets, testSecret)
	env := envFor(t)
	l := startListening(t, env, lake, "--secret-file", secrets)
	res, err := http.Get(l.url + "?challenge=abc")
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("the vendor's question: %v, %v", res, err)
	}
	if text, _ := io.ReadAll(res.Body); strings.TrimSpace(string(text)) != `{"challenge":"abc"}` {
		t.Errorf("the vendor's question is answered with %s", text)
	}
	_ = res.Body.Close()
	for _, id := range []string{"a", "b", "a"} {
		l.vendor.mustDeliver(t, id, http.StatusCreated)
	}
	(&vendor{url: l.url, secret: "whsec_of_a_stranger", client: l.vendor.client}).mustDeliver(t, "c", http.StatusUnauthorized)

	if status, text := l.get("/healthz"); status != 200 || text != "ok\n" {
		t.Errorf("/healthz: %d %s", status, text)
	}
	if status, _ := l.get("/in?challenge=x"); status != 404 {
		t.Errorf("the admin address answers the vendor: %d", status)
	}
	_, text := l.get("/metrics")
	figures, err := metricstest.Parse(text)
	if err != nil {
		t.Fatalf("/metrics: %v\n%s", err, text)
	}
	label := `lake="` + lake + `"`
	for sample, want := range map[metricstest.Sample]string{
		{Name: "siglake_webhook_deliveries_total", Labels: label + `,kind="event",state="new"`}:   "2",
		{Name: "siglake_webhook_deliveries_total", Labels: label + `,kind="event",state="known"`}: "1",
		{Name: "siglake_webhook_refused_total", Labels: label + `,reason="signature"`}:            "1",
		{Name: "siglake_webhook_challenges_total", Labels: label}:                                 "1",
	} {
		if figures[sample] != want {
			t.Errorf("%v = %s, want %s", sample, figures[sample], want)
		}
	}
	var out, errs bytes.Buffer
	if code := env.execute(t.Context(), []string{"siglake", "listen", "--lake", lake, "--listen", "127.0.0.1:0", "--secret-file", secrets}, nil, &out, &errs); code != exitLocked || !strings.Contains(errs.String(), "another siglake listen receives deliveries for this lake") {
		t.Errorf("a second listener: exit %d, %s, want %d", code, errs.String(), exitLocked)
	}
	l.stop(exitComplete)
	if end := l.stdout.String(); !strings.HasSuffix(end, "received 2 deliveries, and 1 again; refused 1 request\n") {
		t.Errorf("it ends with\n%s", end)
	}
	if got := storedIDs(t, lake); len(got) != 2 || got["a"] != 1 || got["b"] != 1 {
		t.Errorf("the inbox holds %v, want a and b once", got)
	}
	l = startListening(t, env, lake, "--secret-file", secrets)
	l.vendor.mustDeliver(t, "b", http.StatusCreated)
	l.stop(exitComplete)
	if got := storedIDs(t, lake); len(got) != 2 || got["b"] != 1 {
		t.Errorf("after a restart and another copy the inbox holds %v", got)
	}
	checkNoWebhookSecret(t, lake, l.stdout.String(), l.stderr.String(), out.String(), errs.String())
}

// TestListenStorage: what cannot be made durable is refused, and then the listener ends, so that a supervisor
// starts another one; what was acknowledged is there.
func TestListenStorage(t *testing.T) {
	t.Parallel()
	env := envFor(t)
	env.set(app.SecretVariable, testSecret)
	var full sync.Mutex // guards isFull
	isFull := false
	env.Hook = func(op, path string, do func() error) error {
		full.Lock()
		defer full.Unlock()
		if isFull && strings.Contains(path, "inbox") && (op == "write" || op == "sync") {
			return syscall.ENOSPC
		}
		return do()
	}
	lake := filepath.Join(t.TempDir(), "lake")
	l := startListening(t, env, lake)
	l.vendor.mustDeliver(t, "a", http.StatusCreated)
	full.Lock()
	isFull = true
	full.Unlock()
	l.vendor.mustDeliver(t, "b", http.StatusServiceUnavailable)
	if code := <-l.code; code != exitStorage || !strings.Contains(l.stderr.String(), "cannot be written any more") {
		t.Errorf("exit %d, want %d: %s", code, exitStorage, l.stderr)
	}
	if got := storedIDs(t, lake); len(got) != 1 || got["a"] != 1 {
		t.Errorf("the inbox holds %v, want a", got)
	}
}

// TestListenRotation: while deliveries arrive, the vendor replaces the secret, and the file gets the new one a
// moment later. What was refused in between is accepted when the vendor repeats it; nothing is lost.
func TestListenRotation(t *testing.T) {
	t.Parallel()
	lake, secrets := filepath.Join(t.TempDir(), "lake"), filepath.Join(t.TempDir(), "secrets")
	const newSecret = testSecret + "_new"
	writeSecrets(t, secrets, testSecret)
	l := startListening(t, envFor(t), lake, "--secret-file", secrets)
	const senders, each = 4, 30
	replaced, written := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	refused, sent := 0, 0
	for s := range senders {
		wg.Go(func() {
			for n := range each {
				id := fmt.Sprintf("delivery-%d-%d", s, n)
				for try := 0; ; try++ {
					v := &vendor{url: l.url, secret: testSecret, client: l.vendor.client}
					select {
					case <-replaced:
						v.secret = newSecret
					default:
					}
					status, answer, err := v.deliver(t.Context(), id)
					if status == http.StatusCreated {
						break
					}
					if try == 3 || err != nil || status != http.StatusUnauthorized {
						t.Errorf("%s: try %d: %d %s %v", id, try, status, answer, err)
						return
					}
					mu.Lock()
					refused++
					mu.Unlock()
					<-written
				}
				mu.Lock()
				sent++
				if sent == senders*each/3 {
					close(replaced)
				}
				mu.Unlock()
			}
		})
	}
	<-replaced
	if status, _, err := (&vendor{url: l.url, secret: newSecret, client: l.vendor.client}).deliver(t.Context(), "first of the new secret"); status != http.StatusUnauthorized || err != nil {
		t.Errorf("before the file has the new secret: %d, %v", status, err)
	}
	writeSecrets(t, secrets, newSecret, testSecret)
	close(written)
	wg.Wait()
	writeSecrets(t, secrets, newSecret)
	l.vendor.mustDeliver(t, "late", http.StatusUnauthorized)
	if err := os.WriteFile(secrets, nil, 0o600); err != nil { // as while a program writes it
		t.Fatal(err)
	}
	(&vendor{url: l.url, secret: newSecret, client: l.vendor.client}).mustDeliver(t, "last", http.StatusCreated)
	l.stop(exitComplete)
	got := storedIDs(t, lake)
	for s := range senders {
		for n := range each {
			if id := fmt.Sprintf("delivery-%d-%d", s, n); got[id] != 1 {
				t.Errorf("%s is %d times in the inbox, want once", id, got[id])
			}
		}
	}
	if len(got) != senders*each+1 {
		t.Errorf("%d deliveries in the inbox, want %d", len(got), senders*each+1)
	}
	t.Logf("%d refused between the two", refused)
	checkNoWebhookSecret(t, lake, l.stdout.String(), l.stderr.String())
}

// makeCertificate writes a certificate for 127.0.0.1 and its key.
func makeCertificate(t *testing.T, certFile, keyFile string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "127.0.0.1"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"hooks.example"},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{keyFile: {Type: "PRIVATE KEY", Bytes: raw}, certFile: {Type: "CERTIFICATE", Bytes: cert}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestListenTLS: with a certificate deliveries arrive over TLS; the certificate is replaced without a restart,
// and while its files do not fit together the one from before serves.
func TestListenTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	makeCertificate(t, cert, key, 1)
	env := envFor(t)
	env.set(app.SecretVariable, "  "+testSecret+"\nwhsec_another_one ")
	env.Environ = env.pairs
	l := startListening(t, env, filepath.Join(dir, "lake"), "--tls-cert", cert, "--tls-key", key)
	if !strings.HasPrefix(l.url, "https://127.0.0.1:") {
		t.Fatalf("it receives at %s, want https", l.url)
	}
	serial := func() int64 {
		t.Helper()
		var got int64
		v := &vendor{url: l.url, secret: testSecret, client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
			InsecureSkipVerify: true, //nolint:gosec // the certificate is compared by its number
			VerifyConnection: func(s tls.ConnectionState) error {
				got = s.PeerCertificates[0].SerialNumber.Int64()
				return nil
			},
		}}}}
		v.mustDeliver(t, "a", http.StatusCreated)
		return got
	}
	if got := serial(); got != 1 {
		t.Errorf("certificate %d, want 1", got)
	}
	if strings.Contains(l.stderr.String(), app.SecretVariable) {
		t.Errorf("the variable of the secret is warned about: %s", l.stderr)
	}
	makeCertificate(t, cert, key, 2)
	if got := serial(); got != 2 {
		t.Errorf("certificate %d after a replacement, want 2", got)
	}
	if err := os.WriteFile(key, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := serial(); got != 2 || !strings.Contains(l.stderr.String(), "certificate was not read again") {
		t.Errorf("certificate %d with a damaged key, want 2 and a warning: %s", got, l.stderr)
	}
	l.stop(exitComplete)
}

// TestListenRefusals: what cannot work is refused before a delivery could be lost.
func TestListenRefusals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("good", testSecret+"\n", 0o600)
	taken := startListening(t, envFor(t), filepath.Join(dir, "taken"), "--secret-file", good)
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--secret-file", good, "x"}, exitUsage, "no arguments"},
		{nil, exitAuth, "--secret-file"},
		{[]string{"--secret-file", filepath.Join(dir, "none")}, exitAuth, "none"},
		{[]string{"--secret-file", file("empty", " \n", 0o600)}, exitAuth, "is empty"},
		{[]string{"--secret-file", file("shared", testSecret, 0o644)}, exitAuth, "and replace the secret if it may have been read\n"},
		{[]string{"--secret-file", file("short", testSecret+"\nwhsec_\n", 0o600)}, exitAuth, "number 2"},
		{[]string{"--secret-file", file("many", strings.Repeat(testSecret+"\n", 9), 0o600)}, exitAuth, "at most 8"},
		{[]string{"--secret-file", dir}, exitAuth, "not a regular file"},
		{[]string{"--secret-file", good, "--tolerance", "0s"}, exitUsage, "--tolerance"},
		{[]string{"--secret-file", good, "--tolerance", "25h"}, exitUsage, "--tolerance"},
		{[]string{"--secret-file", good, "--publish-every", "1ms"}, exitUsage, "--publish-every"},
		{[]string{"--secret-file", good, "--publish-after", "0"}, exitUsage, "--publish-after"},
		{[]string{"--secret-file", good, "--tls-cert", good}, exitUsage, "belong together"},
		{[]string{"--secret-file", good, "--tls-cert", good, "--tls-key", good}, exitUsage, "--tls-cert"},
		{[]string{"--secret-file", good, "--listen", strings.TrimPrefix(strings.TrimSuffix(taken.url, "/in"), "http://")}, exitUsage, "--listen"},
		{[]string{"--secret-file", good, "--admin-listen", strings.TrimPrefix(taken.admin, "http://")}, exitUsage, "--admin-listen"},
		{[]string{"--secret-file", good, "--listen", "nowhere"}, exitUsage, "--listen"},
		{[]string{"--secret-file", good, "--lake", good}, exitUsage, "good"},
	} {
		args := append([]string{"listen", "--lake", filepath.Join(dir, "lake"), "--listen", "127.0.0.1:0"}, c.args...)
		code, stdout, stderr := says(t, args...)
		if code != c.code || !strings.Contains(stderr, c.says) {
			t.Errorf("%v: exit %d, %s, want %d and %q", c.args, code, stderr, c.code, c.says)
		}
		checkNoWebhookSecret(t, filepath.Join(dir, "taken"), stdout, stderr)
	}
	taken.stop(exitComplete)
}

// TestListenPublishes: when enough deliveries wait, they are published while others arrive, and the command of
// --after-publish runs. A run that has the lake does not keep deliveries from arriving.
func TestListenPublishes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lake, seen := filepath.Join(dir, "lake"), filepath.Join(dir, "seen")
	env := envFor(t)
	env.set(app.SecretVariable, testSecret)
	l := startListening(t, env, lake, "--publish-every", "1h", "--publish-after", "3", "--after-publish", "echo published >> '"+seen+"'")
	deliver := func(from, to int) {
		t.Helper()
		for n := from; n < to; n++ {
			if status, answer, err := l.vendor.post(t.Context(), string(inventedDelivery(n).delivery.Body)); err != nil || status != http.StatusCreated {
				t.Fatalf("delivery %d: %d %s %v", n, status, answer, err)
			}
		}
	}
	published := func(want string) {
		t.Helper()
		for {
			_, text := l.get("/metrics")
			if strings.Contains(text, `outcome="done"} `+want+"\n") {
				return
			}
			if !strings.Contains(text, `outcome="failed"} 0`) || t.Context().Err() != nil {
				t.Fatalf("the inbox is not published: %s", l.stderr)
			}
			<-time.After(5 * time.Millisecond)
		}
	}
	deliver(0, 3)
	published("1")
	if got := eventsOf(t, lake); len(got) != 3 {
		t.Errorf("%d events are published, want 3", len(got))
	}
	held := filepath.Join(lake, app.StateDir)
	lock, err := lease.AcquireFlock(held, "siglake run")
	if err != nil {
		t.Fatal(err)
	}
	deliver(3, 6) // which are not published now
	for _, text := l.get("/metrics"); !strings.Contains(text, `outcome="locked"} 1`); _, text = l.get("/metrics") {
		<-time.After(5 * time.Millisecond)
	}
	deliver(6, 7)
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	deliver(7, 9)
	published("2")
	l.stop(exitComplete)
	if got := eventsOf(t, lake); len(got) != 9 {
		t.Errorf("%d events are published, want 9: %s", len(got), l.stderr)
	}
	if text, err := os.ReadFile(seen); err != nil || strings.Count(string(text), "published") != 2 {
		t.Errorf("the command of --after-publish left %q, %v, want two lines", text, err)
	}
	verifyLake(t, lake)
}
