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
	Delay  time.Duration // before anything else
	After  bool          // the store acts on the request, then this happens instead of its answer
	Drop   bool          // the connection is reset
	Status int           // the answer is an error with this status; 200 with an error inside is possible
	Code   string        // S3's name of it
	Cut    int64         // the connection is reset after so many bytes of the answer's body; 0: not
}

// The faults that stores and networks are known for.
var (
	Reset        = Fault{Drop: true}              // the store has not seen the request
	Lost         = Fault{Drop: true, After: true} // it has acted on it, and nobody knows
	SlowDown     = Fault{Status: http.StatusServiceUnavailable, Code: "SlowDown"}
	Conflict     = Fault{Status: http.StatusConflict, Code: "ConditionalRequestConflict"}
	Internal     = Fault{Status: http.StatusInternalServerError, Code: "InternalError"}
	InternalLate = Fault{Status: http.StatusInternalServerError, Code: "InternalError", After: true}
	ErrorIn200   = Fault{Status: http.StatusOK, Code: "InternalError"} // as CompleteMultipartUpload may answer
	ExpiredToken = Fault{Status: http.StatusBadRequest, Code: "ExpiredToken"}
	Skewed       = Fault{Status: http.StatusForbidden, Code: "RequestTimeTooSkewed"}
	Denied       = Fault{Status: http.StatusForbidden, Code: "AccessDenied"}
)

// Cut ends the answer's connection after n bytes of its body.
func Cut(n int64) Fault { return Fault{Cut: n} }

// Once does something to the first request with a method, and to no other.
func Once(method string, f Fault) func(*http.Request) Fault {
	var done atomic.Bool
	return func(r *http.Request) Fault {
		if r.Method == method && done.CompareAndSwap(false, true) {
			return f
		}
		return Fault{}
	}
}

// Proxy stands in front of a store until the test ends. decide is asked about
// every request, from several goroutines at once; it must not read the body.
func Proxy(t testing.TB, s *Store, decide func(*http.Request) Fault) *Store {
	t.Helper()
	server := httptest.NewServer(handler(t, s, decide))
	t.Cleanup(server.Close)
	front := *s
	front.URL = server.URL
	return &front
}

// TLS is Proxy over https. The Client of the store it gives brings requests for
// any host to the proxy, AWS's own included, and trusts it.
func TLS(t testing.TB, s *Store, decide func(*http.Request) Fault) *Store {
	t.Helper()
	server := httptest.NewTLSServer(handler(t, s, decide))
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

func handler(t testing.TB, s *Store, decide func(*http.Request) Fault) http.Handler {
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
		case f.After:
			forward.ServeHTTP(&nowhere{header: http.Header{}}, r)
		case f.Cut > 0:
			w = &cut{ResponseWriter: w, left: f.Cut}
			fallthrough
		case !f.Drop && f.Status == 0:
			forward.ServeHTTP(w, r)
			return
		}
		if f.Drop {
			panic(http.ErrAbortHandler)
		}
		drain(r.Body)
		text := fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>injected</Message><RequestId>1</RequestId></Error>`, f.Code)
		w.Header().Set("Content-Type", "application/xml")
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		w.WriteHeader(f.Status)
		if r.Method != http.MethodHead {
			_, _ = io.Copy(w, bytes.NewReader([]byte(text)))
		}
	})
}

// nowhere takes an answer that nobody gets.
type nowhere struct{ header http.Header }

func (n *nowhere) Header() http.Header         { return n.header }
func (n *nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (n *nowhere) WriteHeader(int)             {}

// cut passes on the beginning of a body.
type cut struct {
	http.ResponseWriter
	left int64
}

func (c *cut) Write(p []byte) (int, error) {
	if int64(len(p)) < c.left {
		c.left -= int64(len(p))
		return c.ResponseWriter.Write(p)
	}
	n, _ := c.ResponseWriter.Write(p[:c.left])
	_ = http.NewResponseController(c.ResponseWriter).Flush() // what was promised arrives
	c.left = 0
	return n, io.ErrShortWrite // for which the proxy resets the connection
}

// Unwrap lets the proxy flush.
func (c *cut) Unwrap() http.ResponseWriter { return c.ResponseWriter }
