package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/pipeline"
)

// shop is the API of a loop: a simulator that may kill the process that asks, and a second one
// without faults that says what a request buys.
type shop struct {
	t         *testing.T
	url       string
	sim, twin *simulator.Server
	twinNow   time.Time
	ids       map[string]string // domains by the ids that searches found
	ahead     atomic.Int64      // nanoseconds of its clock
	open      atomic.Int64      // connections

	mu     sync.Mutex
	bodies map[string][]byte // of requests, by digest
	times  map[string]int    // that each was sent
	usage  map[string]any    // of the account
	// The number of the paid request at which kill is called; 0: none. When it is negative, kill
	// is called after the answer.
	killAt int
	kill   func()
}

// widenFaults is the weather of the loop.
var widenFaults = []string{"500-refused%3", "503-billed%1", "429-burst%1", "drop-after-charge%2", "reset-mid-body%1", "truncated-close%1", "garbage-200%0.5"}

// usageDelay is how late the account's usage has a charge: less than a probe waits.
const usageDelay = usageSettlesInTests / 3

// newShop opens the API of a seed.
func newShop(t *testing.T, seed uint64, ahead time.Duration) *shop {
	t.Helper()
	s := &shop{t: t, ids: map[string]string{}, bodies: map[string][]byte{}, times: map[string]int{}}
	s.ahead.Store(int64(ahead))
	cfg := simulator.Config{Seed: seed, Plan: "unlimited", Credits: 1_000_000_000, Keys: []string{canary}, Now: s.now, Latency: 4 * time.Millisecond}
	for _, text := range widenFaults {
		f, err := simulator.ParseFault(text)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Faults = append(cfg.Faults, f)
	}
	var err error
	if s.sim, err = simulator.New(cfg); err != nil {
		t.Fatal(err)
	}
	cfg.Faults, cfg.Latency, cfg.Now = nil, 0, func() time.Time { return s.twinNow }
	if s.twin, err = simulator.New(cfg); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(s)
	server.Config.ConnState = s.countConnection
	server.Start()
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// now is the clock of the API, and of those who ask.
func (s *shop) now() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }

func (s *shop) countConnection(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.open.Add(-1)
	}
}

// settle waits until the requests of processes that have ended are served: one that was killed leaves some
// behind, and what is counted next is not about them.
func (s *shop) settle() {
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for quiet := 0; quiet < 3; quiet++ {
		<-poll.C
		if s.open.Load() > 0 {
			quiet = -1
		}
	}
}

// ServeHTTP is the simulator, with requests kept, usage that comes late, and answers with bytes
// that are not UTF-8, with raw controls, or unreadable.
func (s *shop) ServeHTTP(out http.ResponseWriter, q *http.Request) {
	switch {
	case strings.HasSuffix(q.URL.Path, "/account/usage"):
		s.serveUsage(out, q)
		return
	case q.Method != http.MethodPost:
		s.sim.ServeHTTP(out, q)
		return
	}
	body, err := io.ReadAll(q.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	q.Body = io.NopCloser(bytes.NewReader(body))
	draw, kill := s.receive(body)
	defer kill()
	change := func(text string) string { return unreadable + text[1:] }
	switch {
	case draw < 8: // of 256
		change = func(text string) string {
			return strings.Replace(text, `"companyName":"`, "\"companyName\":\"\xff\t", 1)
		}
	case draw >= 16:
		s.sim.ServeHTTP(out, q)
		return
	}
	rec := httptest.NewRecorder()
	s.sim.ServeHTTP(rec, q)
	text := rec.Body.String()
	if rec.Code/100 == 2 && strings.HasPrefix(text, "{") {
		text = change(text)
	}
	rec.Header().Del("Content-Length")
	maps.Copy(out.Header(), rec.Header())
	out.WriteHeader(rec.Code)
	_, _ = io.WriteString(out, text)
}

// receive keeps the body of a paid request, draws a number for it, and kills the process that sent
// it if it is to be killed now. kill is called after the answer.
func (s *shop) receive(body []byte) (draw byte, kill func()) {
	digest := digestOf(body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bodies[digest] = body
	s.times[digest]++
	kill = func() {}
	switch {
	case s.killAt == 1:
		s.kill()
	case s.killAt == -1:
		kill = s.kill
	}
	switch {
	case s.killAt > 0:
		s.killAt--
	case s.killAt < 0:
		s.killAt++
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", digest, s.times[digest]))
	return sum[0], kill
}

// body is that of a request.
func (s *shop) body(digest string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bodies[digest]
}

func digestOf(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// serveUsage states the usage without the charges of the last moment.
func (s *shop) serveUsage(out http.ResponseWriter, q *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.usage == nil { // the API answers five times a minute
		rec := httptest.NewRecorder()
		s.sim.ServeHTTP(rec, q)
		d := json.NewDecoder(rec.Body)
		d.UseNumber()
		if err := d.Decode(&s.usage); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
	var booked int64
	for _, e := range s.sim.Bill().Entries {
		if e.Time.Before(s.now().Add(-usageDelay)) {
			booked += e.Credits
		}
	}
	s.usage["credits"].(map[string]any)["used"] = booked
	out.Header().Set("Content-Type", "application/json")
	out.Header().Set("Date", s.now().UTC().Format(http.TimeFormat))
	_ = json.NewEncoder(out).Encode(s.usage)
}

// killFrom sets at which request a process is killed.
func (s *shop) killFrom(request int, kill func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.killAt, s.kill = request, kill
}

// soldEvent is an event of a request; day is its date, 0 if it has none.
type soldEvent struct {
	id, eventType string
	day           ledger.Day
}

// sells is what a request brings from a simulator without faults, and what it costs.
func (s *shop) sells(now time.Time, path string, body []byte) (events map[pair][]soldEvent, credits int64) {
	s.t.Helper()
	s.twinNow = now
	before := s.twin.Bill().Credits
	q := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
	q.Header = http.Header{"Api_key": {canary}, "Content-Type": {"application/json"}, "User-Agent": {"siglake-test/1"}}
	rec := httptest.NewRecorder()
	s.twin.ServeHTTP(rec, q)
	var answer struct {
		Companies map[string]map[string]json.RawMessage
		Results   []map[string]json.RawMessage
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &answer); err != nil || rec.Code != http.StatusOK {
		s.t.Fatalf("%d, %v: %s", rec.Code, err, rec.Body.Bytes())
	}
	events = map[pair][]soldEvent{}
	for _, entity := range slices.Concat(slices.Collect(maps.Values(answer.Companies)), answer.Results) {
		domain := s.domainOf(path, entity)
		if domain == "" {
			continue // not found
		}
		if strings.HasSuffix(path, "/companies/search") && answer.Results != nil {
			events[pair{domain, "search"}] = []soldEvent{{id: domain}}
			continue
		}
		for signal, list := range entity {
			var of []json.RawMessage
			if !bytes.HasPrefix(list, []byte("[{")) || json.Unmarshal(list, &of) != nil {
				continue
			}
			for _, raw := range of {
				var e struct{ SignalID, EventType string }
				if err := json.Unmarshal(raw, &e); err != nil || e.SignalID == "" {
					s.t.Fatalf("an event without an id: %s", list)
				}
				day, _ := pipeline.EventDay(&pipeline.RawEvent{Type: signal, Raw: raw})
				events[pair{domain, signal}] = append(events[pair{domain, signal}], soldEvent{e.SignalID, e.EventType, ledger.Day(day)})
			}
		}
	}
	return events, s.twin.Bill().Credits - before
}

// domainOf is the domain of an entity in an answer. What is known by its id alone has another one
// there than in the list.
func (s *shop) domainOf(path string, entity map[string]json.RawMessage) string {
	s.t.Helper()
	var domain string
	id := strings.Trim(string(slices.Concat(entity["companyId"], entity["id"])), `"`)
	if path == "/v3/companies/signals" {
		if domain = s.ids[id]; domain == "" {
			s.t.Fatalf("the company %s was never searched", id)
		}
		return domain
	}
	_ = json.Unmarshal(entity["domain"], &domain)
	domain = strings.TrimPrefix(domain, "www.")
	s.ids[id] = domain
	return domain
}
