package buckettest

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// Fault is what happens to a request in transit. The zero value is no fault.
type Fault struct {
	Delay time.Duration // before everything else
	// The store executes the request, then the fault replaces its answer.
	Late bool
	Drop bool // the connection is reset
	// The answer is an error with this status, possibly an error inside a 200.
	Status int
	Code   string // S3's error code
	// The connection is reset after this many bytes of the answer's body; 0: never.
	CutAfter int64
}

// Typical faults of stores and networks.
var (
	Reset        = Fault{Drop: true}             // the store has not seen the request
	ResetLate    = Fault{Drop: true, Late: true} // the store has executed it, and the client does not know
	SlowDown     = Fault{Status: http.StatusServiceUnavailable, Code: "SlowDown"}
	Conflict     = Fault{Status: http.StatusConflict, Code: "ConditionalRequestConflict"}
	Internal     = Fault{Status: http.StatusInternalServerError, Code: "InternalError"}
	InternalLate = Fault{Status: http.StatusInternalServerError, Code: "InternalError", Late: true}
	ErrorIn200   = Fault{Status: http.StatusOK, Code: "InternalError"} // as CompleteMultipartUpload may answer
	ExpiredToken = Fault{Status: http.StatusBadRequest, Code: "ExpiredToken"}
	Skewed       = Fault{Status: http.StatusForbidden, Code: "RequestTimeTooSkewed"}
	Denied       = Fault{Status: http.StatusForbidden, Code: "AccessDenied"}
)

// CutAfter resets the connection after n bytes of the answer's body.
func CutAfter(n int64) Fault { return Fault{CutAfter: n} }

// FaultOnce injects a fault into the first request with a method only.
func FaultOnce(method string, f Fault) func(*http.Request) Fault {
	var done atomic.Bool
	return func(r *http.Request) Fault {
		if r.Method == method && done.CompareAndSwap(false, true) {
			return f
		}
		return Fault{}
	}
}

// StartProxy runs a proxy in front of a store until the test ends. decide is called for every
// request, concurrently; it must not read the body.
func StartProxy(t testing.TB, s *Store, decide func(*http.Request) Fault) *Store {
	t.Helper()
	server := httptest.NewServer(proxyHandler(t, s, decide))
	t.Cleanup(server.Close)
	front := *s
	front.URL = server.URL
	return &front
}

// StartTLSProxy is StartProxy over https. The Client of the returned store sends requests for any
// host, including those of AWS, to the proxy and trusts it.
func StartTLSProxy(t testing.TB, s *Store, decide func(*http.Request) Fault) *Store {
	t.Helper()
	server := httptest.NewTLSServer(proxyHandler(t, s, decide))
	t.Cleanup(server.Close)
	front := *s
	front.URL = server.URL
	front.Client = &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 16,
		TLSClientConfig:     &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // it answers for any host
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
		},
	}}
	t.Cleanup(front.Client.CloseIdleConnections)
	return &front
}

func proxyHandler(t testing.TB, s *Store, decide func(*http.Request) Fault) http.Handler {
	t.Helper()
	target, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 16}
	t.Cleanup(transport.CloseIdleConnections)
	forward := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = target.Scheme, target.Host, r.In.Host // covered by the signature
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := decide(r)
		if f.Delay > 0 {
			body, err := io.ReadAll(r.Body) // or the server does not notice that the client gives up
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			select {
			case <-time.After(f.Delay):
			case <-r.Context().Done():
			}
		}
		switch {
		case f.Late:
			forward.ServeHTTP(&discardWriter{header: http.Header{}}, r)
		case f.CutAfter > 0:
			w = &cutWriter{ResponseWriter: w, remaining: f.CutAfter}
			fallthrough
		case !f.Drop && f.Status == 0:
			forward.ServeHTTP(w, r)
			return
		}
		if f.Drop {
			panic(http.ErrAbortHandler)
		}
		drainBody(r.Body)
		text := fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>injected</Message><RequestId>1</RequestId></Error>`, f.Code)
		w.Header().Set("Content-Type", "application/xml")
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		w.WriteHeader(f.Status)
		if r.Method != http.MethodHead {
			_, _ = io.Copy(w, bytes.NewReader([]byte(text)))
		}
	})
}

// discardWriter discards an answer.
type discardWriter struct{ header http.Header }

func (n *discardWriter) Header() http.Header         { return n.header }
func (n *discardWriter) Write(p []byte) (int, error) { return len(p), nil }
func (n *discardWriter) WriteHeader(int)             {}

// cutWriter passes on the beginning of a body.
type cutWriter struct {
	http.ResponseWriter
	remaining int64
}

func (c *cutWriter) Write(p []byte) (int, error) {
	if int64(len(p)) < c.remaining {
		c.remaining -= int64(len(p))
		return c.ResponseWriter.Write(p)
	}
	n, _ := c.ResponseWriter.Write(p[:c.remaining])
	_ = http.NewResponseController(c.ResponseWriter).Flush() // the announced bytes arrive
	c.remaining = 0
	return n, io.ErrShortWrite // makes the proxy reset the connection
}

// Unwrap lets the proxy flush.
func (c *cutWriter) Unwrap() http.ResponseWriter { return c.ResponseWriter }
