package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Proxy forwards the requests of one test to a mock. It requests the kind of answer that the test
// wants, and reports everything that the mock finds wrong with a request. Set the fields before the
// first request.
type Proxy struct {
	URL string

	// The mock's Prefer header; nil: a plain answer.
	Prefer func(path string) string
	// Paths that are forwarded to another path.
	Reroute map[string]string
	// Generated answers are about random entities; this makes them about the requested ones.
	AlignEntities bool
	// Remove rate limits from answers: generated ones may be reached.
	NoRateLimits bool
	// Reports violations; nil: as errors of the test.
	Report func(string)

	mock      *Mock
	mu        sync.Mutex
	exchanges []Exchange
}

// Exchange is a checked request, and its answer as the client received it.
type Exchange struct {
	// "POST /v3/contacts/search"; {} stands for the variable part of a path.
	Operation string
	Status    int
	Answer    []byte
}

var rateLimitHeader = regexp.MustCompile(`(?i)^x-(rate-limit|minute|hourly|daily)-`)

// NewProxy starts a proxy for a test, and stops it with the test.
func (m *Mock) NewProxy(t testing.TB) *Proxy {
	p := &Proxy{mock: m}
	p.Report = func(text string) { t.Error(text) }
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	p.URL = server.URL
	return p
}

// Exchanges returns the exchanges so far, in the order of the answers.
func (p *Proxy) Exchanges() []Exchange {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.exchanges)
}

func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		p.Report(fmt.Sprintf("%s %s: %v", r.Method, r.URL.Path, err))
		return
	}
	path := r.URL.Path
	if other := p.Reroute[path]; other != "" {
		path = other
	}
	target := *r.URL
	target.Path = path
	// The request is checked even if the client gives up.
	req, err := http.NewRequestWithContext(context.WithoutCancel(r.Context()), r.Method, p.mock.URL+target.RequestURI(), bytes.NewReader(body)) //nolint:gosec // always to the mock
	if err != nil {
		p.Report(err.Error())
		return
	}
	req.Header = r.Header.Clone()
	if p.Prefer != nil {
		req.Header.Set("Prefer", p.Prefer(path))
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		p.Report(fmt.Sprintf("%s %s: the mock: %v", r.Method, path, err))
		return
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		p.Report(fmt.Sprintf("%s %s: the mock: %v", r.Method, path, err))
		return
	}
	for _, violation := range findViolations(resp, answer) {
		p.Report(fmt.Sprintf("%s %s (prefer %q): %s\nrequest: %.2000s", r.Method, path, req.Header.Get("Prefer"), violation, body))
	}
	if p.AlignEntities && resp.StatusCode/100 == 2 {
		answer = alignEntities(body, answer)
	}
	p.mu.Lock()
	p.exchanges = append(p.exchanges, Exchange{operationName(r.Method, path), resp.StatusCode, answer})
	p.mu.Unlock()
	maps.Copy(w.Header(), resp.Header)
	if p.NoRateLimits {
		maps.DeleteFunc(w.Header(), func(name string, _ []string) bool { return rateLimitHeader.MatchString(name) })
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	w.WriteHeader(resp.StatusCode)
	_, _ = w.Write(answer) // a client that has disconnected misses nothing
}

var subscriptionPath = regexp.MustCompile(`^/api/subscriptions/[0-9a-f]{24}`)

// operationName is the description's name of an operation: method and path with placeholders.
func operationName(method, path string) string {
	for _, prefix := range []string{"/api/signals/filters/", "/v3/companies/signals/filters/"} {
		if strings.HasPrefix(path, prefix) {
			path = prefix + "{}"
		}
	}
	path = subscriptionPath.ReplaceAllString(path, "/api/subscriptions/{}")
	return method + " " + path
}

// findViolations lists what the mock finds wrong with a request or with its own answer.
func findViolations(resp *http.Response, answer []byte) (found []string) {
	if text := resp.Header.Get("sl-violations"); text != "" {
		var listed []struct {
			Location []string
			Message  string
		}
		if err := json.Unmarshal([]byte(text), &listed); err != nil {
			return []string{text}
		}
		for _, v := range listed {
			found = append(found, strings.Join(v.Location, ".")+": "+v.Message)
		}
	}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json") {
		found = append(found, string(answer))
	}
	return found
}

// alignEntities gives the entities of an answer, one after the other, the ids or references of the
// request.
func alignEntities(request, answer []byte) []byte {
	var asked struct {
		ContactIDs []json.Number     `json:"contactIds"`
		CompanyIDs []json.Number     `json:"companyIds"`
		IDs        []json.RawMessage `json:"ids"`
		Contacts   []map[string]any  `json:"contacts"`
		Companies  []map[string]any  `json:"companies"`
	}
	var doc map[string]any
	if json.Unmarshal(request, &asked) != nil || decodeJSON(answer, &doc) != nil {
		return answer
	}
	var names []string
	for _, n := range append(asked.ContactIDs, asked.CompanyIDs...) {
		names = append(names, n.String())
	}
	member := "id"
	for _, one := range append(asked.Contacts, asked.Companies...) {
		name, ok := one["id"].(string)
		if ref, isRef := one["clientReferenceId"].(string); isRef {
			name, ok, member = ref, true, "clientReferenceId"
		}
		if ok {
			names = append(names, name)
		}
	}
	for _, id := range asked.IDs {
		var text string
		if json.Unmarshal(id, &text) == nil {
			names = append(names, text)
		}
	}
	for _, root := range []string{"contacts", "companies"} {
		entries, ok := doc[root].(map[string]any)
		if !ok {
			continue
		}
		aligned := map[string]any{}
		for i, key := range slices.Sorted(maps.Keys(entries)) {
			if i < len(names) {
				aligned[names[i]] = entries[key]
			} else {
				aligned[key] = entries[key]
			}
		}
		doc[root] = aligned
	}
	if results, ok := doc["results"].([]any); ok {
		for i, r := range results {
			if entry, ok := r.(map[string]any); ok && i < len(names) {
				entry[member] = names[i]
			}
		}
	}
	aligned, err := json.Marshal(doc)
	if err != nil {
		return answer
	}
	return aligned
}

// decodeJSON decodes JSON and keeps numbers as they are written.
func decodeJSON(text []byte, target any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d.Decode(target)
}
