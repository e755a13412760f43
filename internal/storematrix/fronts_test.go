package storematrix

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/siglake/siglake/internal/bucket/buckettest"
)

// front changes what passes between the program and a store. request may answer a request itself.
type front struct {
	name    string
	flags   []string // of the program
	request func(w http.ResponseWriter, r *http.Request) (answered bool)
	answer  func(r *http.Response)
}

// fronts are the front ends; the first one changes nothing.
func fronts() []front {
	var gets atomic.Int64
	return []front{
		{name: "plain"},
		{name: "encoding", request: func(_ http.ResponseWriter, r *http.Request) bool {
			r.Header.Set("Accept-Encoding", "gzip, identity;q=0.5")
			return false
		}},
		{name: "weak ETags", answer: func(r *http.Response) { rewriteETag(r, `W/%s`) }},
		{name: "suffixed ETags", answer: func(r *http.Response) { rewriteETag(r, `%.33s-gzip"`) }},
		{name: "checksums", flags: []string{"--s3-checksum", "when-supported"}, request: demandChecksum},
		{name: "cut bodies", answer: func(r *http.Response) {
			if r.Request.Method == http.MethodGet && r.StatusCode/100 == 2 && gets.Add(1)%4 == 0 {
				r.Body = &cutBody{ReadCloser: r.Body, left: 40}
			}
		}},
	}
}

// rewriteETag changes the ETag if it is an MD5, and not that of an upload in parts.
func rewriteETag(r *http.Response, form string) {
	if e := r.Header.Get("ETag"); len(e) == 34 {
		r.Header.Set("ETag", fmt.Sprintf(form, e))
	}
}

// demandChecksum refuses uploads without a checksum, as buckets with Object Lock do.
func demandChecksum(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodPut || r.Header.Get("Content-MD5") != "" || r.Header.Get("X-Amz-Trailer") != "" {
		return false
	}
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Amz-Checksum-") {
			return false
		}
	}
	w.WriteHeader(http.StatusBadRequest)
	_, _ = io.WriteString(w, "<Error><Code>InvalidRequest</Code><Message>Content-MD5 or x-amz-checksum- header is required</Message></Error>")
	return true
}

// cutBody is a body that ends early, with an error, so that its connection breaks.
type cutBody struct {
	io.ReadCloser
	left int
}

func (c *cutBody) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errors.New("cut")
	}
	n, err := c.ReadCloser.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// start puts the front before a store until the test ends.
func (f *front) start(t *testing.T, s *buckettest.Store) *buckettest.Store {
	t.Helper()
	if f.request == nil && f.answer == nil {
		return s
	}
	to, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host // it is signed
		},
		ModifyResponse: func(r *http.Response) error {
			if f.answer != nil {
				f.answer(r)
			}
			return nil
		},
		ErrorLog: log.New(io.Discard, "", 0), // of the bodies that a front cuts
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.request == nil || !f.request(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	changed := *s
	changed.URL = server.URL
	return &changed
}
