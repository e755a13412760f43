package lusha

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/lusha/lushatest"
	"github.com/siglake/siglake/internal/policy"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

const paidAnswer = `{"companies":{"1001":{"companyId":"1001","surgeInHiring":[{"signalId":"7"}]}},"creditCharged":1}`

// rawServer answers each connection by hand. It counts the requests it read.
func rawServer(t *testing.T, serve func(n int64, conn net.Conn, r *bufio.Reader)) (url string, requests *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	requests = new(atomic.Int64)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r := bufio.NewReader(conn)
			for {
				req, err := http.ReadRequest(r)
				if err != nil {
					break
				}
				io.Copy(io.Discard, req.Body)
				n := requests.Add(1)
				serve(n, conn, r)
			}
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return "http://" + l.Addr().String(), requests
}

func fetchOne(t *testing.T, c *Client, b *pipeline.Batch) (pipeline.Call, pipeline.ItemReply) {
	t.Helper()
	reply, err := Decode(c).Fetch(t.Context(), b)
	if err != nil || len(reply.Calls) != 1 || len(reply.Items) != len(b.Items) {
		t.Fatalf("Fetch(%s) = %d calls, %d items, %v, want 1, %d, nil", b.ID, len(reply.Calls), len(reply.Items), err, len(b.Items))
	}
	return reply.Calls[0], reply.Items[0]
}

// TestWire is the outcome table for everything that can happen to an answer on
// its way.
func TestWire(t *testing.T) {
	head := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	var zipped bytes.Buffer
	zw := gzip.NewWriter(&zipped)
	io.WriteString(zw, strings.Repeat(" ", 100)+paidAnswer)
	zw.Close()
	badCRC, err := os.ReadFile("../../testdata/hard-answers/gzip-bad-crc.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(zipped.Bytes())
	damaged[len(damaged)-6] ^= 1 // in its checksum
	var refusal bytes.Buffer
	zw.Reset(&refusal)
	io.WriteString(zw, `{"statusCode":400,"message":"no"}`)
	zw.Close()
	refusal.Bytes()[refusal.Len()-6] ^= 1
	for _, tt := range []struct {
		name    string
		answer  string // then the connection is closed
		outcome pipeline.Outcome
		status  schema.Status
		problem string
	}{
		{"whole", head + "Content-Length: " + strconv.Itoa(len(paidAnswer)) + "\r\n\r\n" + paidAnswer, pipeline.Charged, schema.Enriched, ""},
		{"close-delimited, whole", head + "Connection: close\r\n\r\n" + paidAnswer, pipeline.Charged, schema.Enriched, ""},
		{"close-delimited, cut", head + "Connection: close\r\n\r\n" + paidAnswer[:len(paidAnswer)-9], pipeline.InDoubt, schema.InDoubt, "not a complete JSON document"},
		{"close-delimited, cut before the charge", head + "Connection: close\r\n\r\n" + paidAnswer[:len(paidAnswer)-19], pipeline.InDoubt, schema.InDoubt, "not a complete JSON document"},
		{"shorter than announced", head + "Content-Length: 5000\r\n\r\n" + paidAnswer[:40], pipeline.InDoubt, schema.InDoubt, "broke off after 40 bytes"},
		{"shorter than announced, but whole", head + "Content-Length: 5000\r\n\r\n" + paidAnswer, pipeline.Charged, schema.Enriched, "broke off"},
		{"chunks without an end", head + "Transfer-Encoding: chunked\r\n\r\n10\r\n" + paidAnswer[:16] + "\r\n", pipeline.InDoubt, schema.InDoubt, "broke off after 16 bytes"},
		{"zipped", head + "Content-Encoding: gzip\r\nContent-Length: " + strconv.Itoa(zipped.Len()) + "\r\n\r\n" + zipped.String(), pipeline.Charged, schema.Enriched, ""},
		{"zipped and cut", head + "Content-Encoding: gzip\r\nConnection: close\r\n\r\n" + zipped.String()[:30], pipeline.InDoubt, schema.InDoubt, "broke off"},
		{"zipped, followed by something", head + "Content-Encoding: gzip\r\nConnection: close\r\n\r\n" + zipped.String() + "\r\n", pipeline.Charged, schema.Enriched, "broke off"},
		{"zipped, a wrong checksum", head + "Content-Encoding: gzip\r\nConnection: close\r\n\r\n" + string(damaged), pipeline.InDoubt, schema.InDoubt, "damaged on its way: gzip: invalid checksum"},
		{"zipped, digits changed", head + "Content-Encoding: gzip\r\nConnection: close\r\n\r\n" + string(badCRC), pipeline.InDoubt, schema.InDoubt, "damaged on its way"},
		{"a zipped refusal, a wrong checksum", strings.Replace(head, "200", "400", 1) + "Content-Encoding: gzip\r\nConnection: close\r\n\r\n" + refusal.String(), pipeline.InDoubt, schema.InDoubt, "damaged on its way"},
		{"no answer", "", pipeline.InDoubt, schema.InDoubt, "the connection broke off before an answer came"},
		{"half a head", "HTTP/1.1 200 OK\r\nContent-Ty", pipeline.InDoubt, schema.InDoubt, "malformed"},
		{"not HTTP", "SSH-2.0-OpenSSH_9.6\r\n", pipeline.InDoubt, schema.InDoubt, "malformed HTTP"},
		{"no content", "HTTP/1.1 204 No Content\r\n\r\n", pipeline.InDoubt, schema.InDoubt, "not a complete JSON document"},
		{"a cut error", "HTTP/1.1 500 Oops\r\nContent-Length: 90\r\n\r\n{\"statusCode\":500,", pipeline.InDoubt, schema.InDoubt, "broke off"},
		{"a proxy that repeats its status", "HTTP/1.1 503 Sorry\r\nContent-Length: 3\r\n\r\n503", pipeline.InDoubt, schema.InDoubt, "HTTP 503 Service Unavailable"},
		{"see other: it was carried out", "HTTP/1.1 303 See Other\r\nLocation: /done\r\nContent-Length: 0\r\n\r\n", pipeline.InDoubt, schema.InDoubt, "303"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url, requests := rawServer(t, func(_ int64, conn net.Conn, _ *bufio.Reader) {
				io.WriteString(conn, tt.answer)
				conn.Close()
			})
			call, item := fetchOne(t, testClient(t, url), lushatest.Companies(1))
			if call.Outcome != tt.outcome || item.Status != tt.status || !strings.Contains(call.Problem, tt.problem) || tt.problem == "" && call.Problem != "" {
				t.Errorf("Fetch() = %s, item %s, problem %q, want %s, %s, %q", call.Outcome, item.Status, call.Problem, tt.outcome, tt.status, tt.problem)
			}
			if n := requests.Load(); n != 1 {
				t.Errorf("the server read %d requests, want 1", n)
			}
		})
	}
}

// TestUnsent: what provably never left costs nothing.
func TestUnsent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing := l.Addr().String()
	l.Close()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	secure.StartTLS()
	defer secure.Close()
	for _, tt := range []struct{ name, url, problem string }{
		{"connection refused", "http://" + refusing, "refused"},
		{"no such host", "https://signals.invalid", "lookup"},
		{"TLS against a plain server", "https://" + plain.Listener.Addr().String(), "tls"},
		{"certificate not trusted", secure.URL, "certificate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			call, item := fetchOne(t, testClient(t, tt.url), lushatest.Companies(2))
			if call.Outcome != pipeline.NotCharged || item.Status != schema.Deferred || !strings.Contains(call.Problem, tt.problem) {
				t.Errorf("Fetch() = %s, item %s, problem %q, want not_charged, deferred, %q", call.Outcome, item.Status, call.Problem, tt.problem)
			}
			if v := classifyCall(&call); v.Class != ClassUnsent {
				t.Errorf("verdictOf() = %s, want unsent", v.Class)
			}
		})
	}
}

// TestNothingProven: a failure of a foreign transport proves nothing.
func TestNothingProven(t *testing.T) {
	c := testClient(t, "http://127.0.0.1:1")
	c.transport = roundTripper(func(*http.Request) (*http.Response, error) { return nil, errors.New("dial refused, or so it says") })
	defer func() { c.transport = &http.Transport{} }()
	if call, _ := fetchOne(t, c, lushatest.Companies(1)); call.Outcome != pipeline.InDoubt {
		t.Errorf("Fetch() = %s, want ambiguous", call.Outcome)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestNoReplay: a kept-alive connection that breaks after the request was read must
// not cause a retry in the transport.
func TestNoReplay(t *testing.T) {
	url, requests := rawServer(t, func(n int64, conn net.Conn, _ *bufio.Reader) {
		if n == 2 {
			conn.Close() // charged, say, and not delivered
			return
		}
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(paidAnswer), paidAnswer)
	})
	c := testClient(t, url)
	first, _ := fetchOne(t, c, lushatest.Companies(1))
	second, item := fetchOne(t, c, lushatest.Companies(1))
	if first.Outcome != pipeline.Charged || second.Outcome != pipeline.InDoubt || item.Status != schema.InDoubt {
		t.Errorf("Fetch() twice = %s, %s with item %s, want charged, ambiguous, held", first.Outcome, second.Outcome, item.Status)
	}
	if n := requests.Load(); n != 2 {
		t.Errorf("the server read %d requests, want 2: the transport replayed a POST", n)
	}
}

// TestReplayTrap shows that the trap is real: with GetBody and an idempotency
// key the same transport sends the request again.
func TestReplayTrap(t *testing.T) {
	url, requests := rawServer(t, func(n int64, conn net.Conn, _ *bufio.Reader) {
		if n == 2 {
			conn.Close()
			return
		}
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
	})
	tr := newTransport(nil)
	defer tr.CloseIdleConnections()
	for range 2 {
		req, _ := http.NewRequest("POST", url, strings.NewReader("{}"))
		req.Header.Set("Idempotency-Key", "1")
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	if n := requests.Load(); n != 3 {
		t.Errorf("the server read %d requests, want 3: the trap is gone, and so is the reason for GetBody = nil", n)
	}
}

// TestStaleConnection: a connection that the server closed while idle fails
// before a byte leaves, or is not used at all.
func TestStaleConnection(t *testing.T) {
	w := &tracedConn{Conn: discardConn{}}
	w.startRequest()
	if !w.blockIfUnwritten() {
		t.Error("seal() = false before any write, want true")
	}
	if _, err := w.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Write() after seal = %v, want net.ErrClosed", err)
	}
	w = &tracedConn{Conn: discardConn{}}
	w.Write([]byte("the request before"))
	w.startRequest()
	if !w.blockIfUnwritten() {
		t.Error("seal() = false after start, want true")
	}
	w = &tracedConn{Conn: discardConn{}}
	w.startRequest()
	w.Write([]byte("x"))
	if w.blockIfUnwritten() {
		t.Error("seal() = true after a write, want false")
	}
}

type discardConn struct{ net.Conn }

func (discardConn) Write(p []byte) (int, error) { return len(p), nil }

// TestRedirect: the key goes nowhere else.
func TestRedirect(t *testing.T) {
	var hits atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer other.Close()
	for _, status := range []int{301, 302, 307, 308} {
		srv := httptest.NewServer(http.RedirectHandler(other.URL, status))
		call, item := fetchOne(t, testClient(t, srv.URL), lushatest.Companies(1))
		srv.Close()
		if v := classifyCall(&call); v.Class != ClassRedirect || call.Outcome != pipeline.NotCharged || item.Status != schema.Deferred {
			t.Errorf("Fetch() under %d = %s, %s, item %s, want redirect, not_charged, deferred", status, v.Class, call.Outcome, item.Status)
		}
	}
	if n := hits.Load(); n != 0 {
		t.Errorf("the redirect's target met %d requests, want 0", n)
	}
}

// TestNotCancelled: ctx ends while the answer is on its way; the answer comes.
func TestNotCancelled(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		cancel(errors.New("interrupt"))
		io.WriteString(w, paidAnswer)
	}))
	defer srv.Close()
	d := Decode(testClient(t, srv.URL))
	reply, err := d.Fetch(ctx, lushatest.Companies(1))
	if err != nil || reply.Calls[0].Outcome != pipeline.Charged {
		t.Errorf("Fetch() = %+v, %v, want charged, nil", reply, err)
	}
	// The next one is not sent at all.
	reply, err = d.Fetch(ctx, lushatest.Companies(2))
	var stop *pipeline.Stop
	if !errors.As(err, &stop) || stop.Kind != pipeline.StopInterrupted || len(reply.Calls) != 0 || reply.Items[1].Status != schema.Deferred {
		t.Errorf("Fetch() with ctx done = %+v, %v, want no calls, deferred, interrupted", reply, err)
	}
}

// TestTimeout: an answer that does not come in time may be charged.
func TestTimeout(t *testing.T) {
	release := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer srv.Close()
	defer close(release)
	c, err := New(Config{BaseURL: srv.URL, Key: NewKey(canaryKey), Timeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	call, item := fetchOne(t, c, lushatest.Companies(1))
	if call.Outcome != pipeline.InDoubt || item.Status != schema.InDoubt || call.Problem != "no answer within 50ms" {
		t.Errorf("Fetch() = %s, %s, %q, want ambiguous, held, no answer within 50ms", call.Outcome, item.Status, call.Problem)
	}
}

// TestPlainProblems: what a call came to is written without the words of the network library.
func TestPlainProblems(t *testing.T) {
	release := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "5000")
		io.WriteString(w, paidAnswer[:40])
		w.(http.Flusher).Flush()
		<-release
	}))
	defer srv.Close()
	defer close(release)
	cut, _ := rawServer(t, func(_ int64, conn net.Conn, _ *bufio.Reader) {
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"+paidAnswer[:40])
		conn.Close()
	})
	closed, _ := rawServer(t, func(_ int64, conn net.Conn, _ *bufio.Reader) { conn.Close() })
	for _, tt := range []struct {
		url     string
		timeout time.Duration
		want    string
	}{
		{srv.URL, 50 * time.Millisecond, "the answer broke off after 40 bytes: the rest did not come within 50ms"},
		{cut, time.Minute, "the answer broke off after 40 bytes: the connection ended"},
		{closed, time.Minute, "the connection broke off before an answer came"},
	} {
		c, err := New(Config{BaseURL: tt.url, Key: NewKey(canaryKey), Timeout: tt.timeout})
		if err != nil {
			t.Fatal(err)
		}
		if call, _ := fetchOne(t, c, lushatest.Companies(1)); call.Problem != tt.want {
			t.Errorf("Fetch() = %q, want %q", call.Problem, tt.want)
		}
	}
	for d, want := range map[time.Duration]string{time.Minute: "1m", time.Hour: "1h", 10 * time.Second: "10s", 90 * time.Second: "1m30s"} {
		if got := timeoutText(d); got != want {
			t.Errorf("timeoutText(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestMaxAnswer(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, paidAnswer) }))
	defer srv.Close()
	for _, tt := range []struct {
		limit   int64
		outcome pipeline.Outcome
	}{{int64(len(paidAnswer)), pipeline.Charged}, {int64(len(paidAnswer)) - 1, pipeline.InDoubt}} {
		c, _ := New(Config{BaseURL: srv.URL, Key: NewKey(canaryKey), MaxAnswerBytes: tt.limit})
		call, _ := fetchOne(t, c, lushatest.Companies(1))
		if call.Outcome != tt.outcome || int64(len(call.Body)) != tt.limit {
			t.Errorf("Fetch() with MaxAnswer %d = %s, %d bytes, want %s, %d", tt.limit, call.Outcome, len(call.Body), tt.outcome, tt.limit)
		}
	}
}

// TestRequestHead: what is sent, and what must not be.
func TestRequestHead(t *testing.T) {
	var sent http.Header
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent = r.Header.Clone()
		w.Header().Set("Set-Cookie", "session=1")
		w.Header().Set("x-minute-requests-left", "7")
		w.Header().Set("x-rate-limit-minute", "many")
		io.WriteString(w, paidAnswer)
	}))
	defer srv.Close()
	b := lushatest.Companies(3)
	b.NextAttempt = 4
	call, _ := fetchOne(t, testClient(t, srv.URL), b)
	if sent.Get("api_key") != canaryKey || sent.Get("Content-Type") != "application/json" || !strings.HasPrefix(sent.Get("User-Agent"), "siglake") {
		t.Errorf("request header = %v, want key, content type and agent", sent)
	}
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key", "Authorization", "Cookie"} {
		if sent.Get(name) != "" {
			t.Errorf("request header %s = %q, want none", name, sent.Get(name))
		}
	}
	none := pipeline.Window{Limit: -1, Used: -1, Left: -1}
	want := pipeline.Call{
		ID: "000012-4", Batch: "000012", Attempt: 4, Endpoint: "POST /api/signals/companies", Object: schema.Company,
		Entities: 3, Types: 1, Ceiling: 30, Status: 200, Outcome: pipeline.Charged, Charge: pipeline.Charge{Known: true, Credits: 1},
		Rate: pipeline.Rate{Minute: pipeline.Window{Limit: -1, Used: -1, Left: 7}, Hour: none, Day: none}, Body: []byte(paidAnswer),
	}
	if !json.Valid(call.Header) || bytes.Contains(call.Header, []byte("session")) {
		t.Errorf("Call.Header = %s, want valid JSON without cookies", call.Header)
	}
	if call.Sent.IsZero() || call.Duration <= 0 {
		t.Errorf("Call.Sent, Duration = %v, %v, want both", call.Sent, call.Duration)
	}
	call.Header, call.Sent, call.Duration = nil, time.Time{}, 0
	if diff := cmp.Diff(want, call); diff != "" {
		t.Errorf("Call (-want +got):\n%s", diff)
	}
}

// TestTLS: the watched connection above TLS, and HTTP/1.1 only.
func TestTLS(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 1 {
			t.Errorf("protocol = %s, want HTTP/1.1", r.Proto)
		}
		io.WriteString(w, paidAnswer)
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	tr := newTransport(&tls.Config{RootCAs: pool})
	defer tr.CloseIdleConnections()
	c, err := New(Config{BaseURL: srv.URL, Key: NewKey(canaryKey), Transport: tr})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if call, _ := fetchOne(t, c, lushatest.Companies(1)); call.Outcome != pipeline.Charged {
			t.Errorf("Fetch() over TLS = %s, %q, want charged", call.Outcome, call.Problem)
		}
	}
}

func TestBaseURL(t *testing.T) {
	for _, tt := range []struct {
		url   string
		allow bool
		ok    bool
	}{
		{"", false, true},
		{"https://api.example/v/", false, true},
		{"http://127.0.0.1:8080", false, true},
		{"http://[::1]:8080", false, true},
		{"http://localhost:8080", false, true},
		{"http://api.example", false, false},
		{"http://api.example", true, true},
		{"http://127.0.0.1.evil.example", false, false},
		{"ftp://api.example", true, false},
		{"https://user:secret@api.example", false, false},
		{"https://api.example?x=1", false, false},
		{"api.example", false, false},
		{"https://", false, false},
		{"http://%zz", false, false},
	} {
		_, err := New(Config{BaseURL: tt.url, AllowHTTP: tt.allow, Key: NewKey(canaryKey)})
		if (err == nil) != tt.ok {
			t.Errorf("New(%q, AllowHTTP %v) = %v, want ok %v", tt.url, tt.allow, err, tt.ok)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("New(%q) = %v, which shows a password", tt.url, err)
		}
	}
}

// TestKeyHidden prints everything that ever holds the key, in every way.
func TestKeyHidden(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("api_key")
		w.Header().Set("Location", "https://login.example/?key="+key)
		w.Header().Set("Via", key)
		w.WriteHeader(401)
		fmt.Fprintf(w, `{"statusCode":401,"message":"unknown key %s"}`, key)
	}))
	defer srv.Close()
	cfg := Config{BaseURL: srv.URL, Key: NewKey(" " + canaryKey + "\n")}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	reply, stop := policy.Retry(Decode(c), Rules{}, policy.RetryConfig{}).Fetch(t.Context(), lushatest.Companies(1))
	lost := testClient(t, "https://"+canaryKey+".invalid")
	lostReply, _ := Decode(lost).Fetch(t.Context(), lushatest.Companies(1))
	_, optionsErr := c.FetchOptions(t.Context(), schema.Company)
	_, badErr := New(Config{Key: NewKey(canaryKey + "\x00")})
	_, mixedErr := New(Config{BaseURL: "http://" + canaryKey, Key: NewKey(canaryKey)})
	var out bytes.Buffer
	for _, v := range []any{cfg, &cfg, c, *reply, reply.Calls[0], lostReply.Calls[0], stop, optionsErr, badErr, mixedErr, cfg.Key, &cfg.Key, c.key} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%t"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		text, _ := json.Marshal(v)
		out.Write(text)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
	}
	for _, call := range []pipeline.Call{reply.Calls[0], lostReply.Calls[0]} {
		out.Write(call.Body)
		out.Write(call.Header)
	}
	if i := strings.Index(out.String(), canaryKey); i >= 0 {
		t.Errorf("the key is printed: …%s…", out.String()[max(0, i-200):i+60])
	}
	if hex := fmt.Sprintf("%x", canaryKey); strings.Contains(out.String(), hex) {
		t.Error("the key is printed in hexadecimal")
	}
	for _, bad := range []string{"", "  ", "two words", "new\nline", "ключ"} {
		if _, err := New(Config{Key: NewKey(bad)}); err == nil || bad != "" && strings.TrimSpace(bad) != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("New(key %q) = %v, want an error that does not show it", bad, err)
		}
	}
}

// TestRejectedItems: items that the dialect cannot express are not sent and not lost.
func TestRejectedItems(t *testing.T) {
	var body string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		body = string(text)
		io.WriteString(w, paidAnswer)
	}))
	defer srv.Close()
	b := lushatest.Companies(1)
	for _, id := range []string{"v1.AbC", "", "007", strings.Repeat("9", 19), "1001"} {
		b.Items = append(b.Items, pipeline.Item{Ref: id, Account: schema.Account{Object: schema.Company, ID: id}})
	}
	c := testClient(t, srv.URL)
	reply, err := Decode(c).Fetch(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	var got []schema.Status
	for _, i := range reply.Items {
		got = append(got, i.Status)
	}
	want := []schema.Status{schema.Enriched, schema.Rejected, schema.Rejected, schema.Rejected, schema.Rejected, schema.Enriched}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
	if !strings.Contains(body, `"companyIds":[1001],`) || reply.Calls[0].Ceiling != 20 {
		t.Errorf("body, ceiling = %s, %d, want the one id, 20", body, reply.Calls[0].Ceiling)
	}
	if !strings.Contains(reply.Items[1].Reason, "needs V3") {
		t.Errorf("reason = %q, want needs V3", reply.Items[1].Reason)
	}
	b.Items = b.Items[1:5]
	body = ""
	reply, err = Decode(c).Fetch(t.Context(), b)
	if err != nil || len(reply.Calls) != 0 || reply.Items[3].Status != schema.Rejected || body != "" {
		t.Errorf("Fetch() of nothing that fits = %+v, %v, want no calls, rejected, nil", reply, err)
	}
}

// TestUnsendable: a batch with an unforeseeable price is not sent.
func TestUnsendable(t *testing.T) {
	c := testClient(t, "http://127.0.0.1:1")
	signals := func(change func(*pipeline.SignalsAsk)) func(*pipeline.Batch) {
		return func(b *pipeline.Batch) { lushatest.ChangeSignals(b, change) }
	}
	for name, change := range map[string]func(*pipeline.Batch){
		"all signals":    signals(func(a *pipeline.SignalsAsk) { a.Types = []string{"allSignals"} }),
		"no signals":     signals(func(a *pipeline.SignalsAsk) { a.Types = nil }),
		"no start":       func(b *pipeline.Batch) { b.Query.Since = "" },
		"no cap":         signals(func(a *pipeline.SignalsAsk) { a.MaxResults = 0 }),
		"no query":       func(b *pipeline.Batch) { b.Query = nil },
		"no object":      func(b *pipeline.Batch) { b.Query.Object = "" },
		"too many":       func(b *pipeline.Batch) { b.Items = lushatest.Companies(101).Items },
		"references":     func(b *pipeline.Batch) { b.ByID = false; b.Items = duplicateRefs() },
		"a cap too high": signals(func(a *pipeline.SignalsAsk) { a.MaxResults = 101 }),
	} {
		b := lushatest.Companies(2)
		change(b)
		reply, err := Decode(c).Fetch(t.Context(), b)
		var stop *pipeline.Stop
		if !errors.As(err, &stop) || stop.Kind != pipeline.StopRequest || len(reply.Calls) != 0 || len(reply.Items) != len(b.Items) {
			t.Errorf("Fetch(%s) = %d calls, %v, want none, a stop", name, len(reply.Calls), err)
		}
	}
}

func duplicateRefs() []pipeline.Item {
	a := schema.Account{Object: schema.Company, Domain: "harborquill.example"}
	return []pipeline.Item{{Ref: "x", Account: a}, {Ref: "x", Account: a}}
}
