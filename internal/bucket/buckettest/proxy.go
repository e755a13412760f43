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

// Fault is what happens to a request on its way. The zero value is nothing.
type Fault struct {
	Delay    time.Duration // before anything else
	Late     bool          // the store acts on the request, then this happens instead of its answer
	Drop     bool          // the connection is reset
	Status   int           // the answer is an error with this status; 200 with an error inside is possible
	Code     string        // S3's name of it
	CutAfter int64         // the connection is reset after so many bytes of the answer's body; 0: not
}

// The faults that stores and networks are known for.
var (
	Reset        = Fault{Drop: true}             // the store has not seen the request
	ResetLate    = Fault{Drop: true, Late: true} // it has acted on it, and nobody knows
	SlowDown     = Fault{Status: http.StatusServiceUnavailable, Code: "SlowDown"}
	Conflict     = Fault{Status: http.StatusConflict, Code: "ConditionalRequestConflict"}
	Internal     = Fault{Status: http.StatusInternalServerError, Code: "InternalError"}
	InternalLate = Fault{Status: http.StatusInternalServerError, Code: "InternalError", Late: true}
	ErrorIn200   = Fault{Status: http.StatusOK, Code: "InternalError"} // as CompleteMultipartUpload may answer
	ExpiredToken = Fault{Status: http.StatusBadRequest, Code: "ExpiredToken"}
	Skewed       = Fault{Status: http.StatusForbidden, Code: "RequestTimeTooSkewed"}
	Denied       = Fault{Status: http.StatusForbidden, Code: "AccessDenied"}
)

// CutAfter ends the answer's connection after n bytes of its body.
func CutAfter(n int64) Fault { return Fault{CutAfter: n} }

// FaultOnce does something to the first request with a method, and to no other.
func FaultOnce(method string, f Fault) func(*http.Request) Fault {
	var done atomic.Bool
	return func(r *http.Request) Fault {
		if r.Method == method && done.CompareAndSwap(false, true) {
			return f
		}
		return Fault{}
	}
}

// StartProxy stands in front of a store until the test ends. decide is asked about
// every request, from several goroutines at once; it must not read the body.
func StartProxy(t testing.TB, s *Store, decide func(*http.Request) Fault) *Store {
	t.Helper()
	server := httptest.NewServer(proxyHandler(t, s, decide))
	t.Cleanup(server.Close)
	front := *s
	front.URL = server.URL
	return &front
}

// StartTLSProxy is Proxy over https. The Client of the store it gives brings requests for
// any host to the proxy, AWS's own included, and trusts it.
func StartTLSProxy(t testing.TB, s *Store, decide func(*http.Request) Fault) *Store {
	t.Helper()
	server := httptest.NewTLSServer(proxyHandler(t, s, decide))
	t.Cleanup(server.Close)
	front := *s
	front.URL = server.URL
	front.Client = &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 16,
		TLSClientConfig:     &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // it is asked as many hosts
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
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = target.Scheme, target.Host, r.In.Host // which the signature covers
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := decide(r)
		if f.Delay > 0 {
			body, err := io.ReadAll(r.Body) // until then a client that gives up goes unnoticed
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

// discardWriter takes an answer that nobody gets.
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
	_ = http.NewResponseController(c.ResponseWriter).Flush() // what was promised arrives
	c.remaining = 0
	return n, io.ErrShortWrite // for which the proxy resets the connection
}

// Unwrap lets the proxy flush.
func (c *cutWriter) Unwrap() http.ResponseWriter { return c.ResponseWriter }
