// Package answers serves the answers of the benchmarks: V2 signals of companies, rendered once by the
// simulator and afterwards only copied, so that a measured program spends the time and not the server.
//
//	New ──── asks the simulator about one company after the other, until enough of them have
//	  │      events, and keeps the text of each entry with its charge
//	ServeHTTP
//	  ├─ POST /api/signals/companies   the entries of the companies asked for, one after the other
//	  ├─ GET  /account/usage           credits: what was charged here
//	  └─ everything else               the simulator: options, clock
//
// The day of the simulated world is fixed, so the answers are the same bytes whenever they are
// measured. Every request must ask what was rendered: all signals, a year, 100 results.
package answers

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/siglake/siglake/internal/simulator"
)

// Today is the last day of the simulated world, and Since the first one that is asked for: a year.
const (
	Today = "2026-06-30"
	Since = "2025-06-30"
)

// maxResults is the number of events per company and signal.
const maxResults = 100

// firstID is the id with which the search for companies begins.
const firstID = 10_000_000

// credits is the pool of the account, which no benchmark empties.
const credits = 1 << 50

// path is that of the operation that is served from memory.
const path = "/api/signals/companies"

// Config says which companies are served.
type Config struct {
	Companies int // with events
	// Of the companies so many are rendered, each with the most events that the API returns: 100 of every
	// signal. The others have their texts, under ids of their own. 0: every company has the texts and
	// the number of events that the simulator draws for it.
	Heavy int
}

// Server is the answers. It is an [http.Handler], for concurrent use.
type Server struct {
	simulator *simulator.Server
	ids       []int64 // of the companies, ascending
	entries   map[int64]entry
	rendered  bool // all entries
	charged   atomic.Int64
}

// entry is what an answer holds about one company.
type entry struct {
	text   []byte // its JSON
	id     string // under which the text names the company
	events int64  // each costs a credit
}

// request is the body of a request for signals.
type request struct {
	CompanyIDs          []int64  `json:"companyIds"`
	Signals             []string `json:"signals"`
	StartDate           string   `json:"startDate"`
	MaxResultsPerSignal int      `json:"maxResultsPerSignal"`
}

// answer is the part of the simulator's answer that is used.
type answer struct {
	Companies     map[string]json.RawMessage `json:"companies"`
	CreditCharged int64                      `json:"creditCharged"`
}

// New renders the answers: about a second of CPU for 4,000 companies.
func New(c Config) (*Server, error) {
	s := &Server{entries: make(map[int64]entry, c.Companies)}
	config := simulator.Config{Plan: "unlimited", Credits: credits, Now: s.now}
	if c.Heavy > 0 {
		var err error
		if config.Switches, err = simulator.ParseSwitches([]string{"events=most"}); err != nil {
			return nil, err
		}
	}
	var err error
	if s.simulator, err = simulator.New(config); err != nil {
		return nil, err
	}
	rendered := c.Companies
	if c.Heavy > 0 {
		rendered = min(c.Heavy, c.Companies)
	}
	id := int64(firstID)
	for ; len(s.ids) < rendered; id++ {
		e, err := s.render(id)
		if err != nil {
			return nil, err
		}
		if e.events > 0 {
			s.add(id, e)
		}
	}
	for ; len(s.ids) < c.Companies; id++ {
		s.add(id, s.entries[s.ids[len(s.ids)%rendered]])
	}
	s.rendered = true
	return s, nil
}

// now is the clock of the simulated world, which stands on its last day. While the answers are rendered
// it is evening, so that they are always the same; afterwards it shows the time of day, as the clock of
// siglake run --as-of does.
func (s *Server) now() time.Time {
	day, err := time.Parse(time.DateOnly, Today)
	if err != nil {
		panic(err) // a constant
	}
	if !s.rendered {
		return day.Add(20 * time.Hour)
	}
	now := time.Now().UTC()
	return day.Add(now.Sub(now.Truncate(24 * time.Hour)))
}

func (s *Server) add(id int64, e entry) {
	s.ids = append(s.ids, id)
	s.entries[id] = e
}

// render asks the simulator about one company. An unknown one has no events.
func (s *Server) render(id int64) (entry, error) {
	body := fmt.Sprintf(`{"companyIds":[%d],"signals":["allSignals"],"startDate":%q,"maxResultsPerSignal":%d}`, id, Since, maxResults)
	w := httptest.NewRecorder()
	s.simulator.ServeHTTP(w, newRequest(context.Background(), body)) // no connection is behind it
	if w.Code != http.StatusOK {
		return entry{}, fmt.Errorf("the simulator answers %d about company %d: %s", w.Code, id, w.Body)
	}
	var a answer
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		return entry{}, fmt.Errorf("the simulator's answer about company %d: %w", id, err)
	}
	name := strconv.FormatInt(id, 10)
	return entry{text: a.Companies[name], id: name, events: a.CreditCharged}, nil
}

func newRequest(ctx context.Context, body string) *http.Request {
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, path, bytes.NewReader([]byte(body)))
	r.Header = http.Header{"Api_key": {"bench"}, "User-Agent": {"bench/1"}, "Content-Type": {"application/json"}}
	return r
}

// Events is the number of events of all companies.
func (s *Server) Events() (n int64) {
	for _, e := range s.entries {
		n += e.events
	}
	return n
}

// Bytes is the size of all entries.
func (s *Server) Bytes() (n int64) {
	for _, e := range s.entries {
		n += int64(len(e.text))
	}
	return n
}

// IDs are the ids of all companies, in the order of the list.
func (s *Server) IDs() []int64 { return slices.Clone(s.ids) }

// WriteList writes the list of the companies: CSV with the columns account_id and company_id.
func (s *Server) WriteList(w io.Writer) error {
	out := csv.NewWriter(w)
	if err := out.Write([]string{"account_id", "company_id"}); err != nil {
		return err
	}
	for i, id := range s.ids {
		if err := out.Write([]string{fmt.Sprintf("acct-%06d", i+1), strconv.FormatInt(id, 10)}); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Date", s.now().Format(http.TimeFormat)) // by which siglake judges its own clock
	switch r.URL.Path {
	case path:
		s.serveSignals(w, r)
	case "/account/usage":
		used := s.charged.Load()
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"usage":{"credits":{"total":%d,"used":%d,"remaining":%d}}}`, int64(credits), used, credits-used)
	case "/v3/account/usage": // its simulator does not know what is charged here
		http.NotFound(w, r)
	default:
		s.simulator.ServeHTTP(w, r)
	}
}

func (s *Server) serveSignals(w http.ResponseWriter, r *http.Request) {
	var asked request
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	body, events, err := s.compose(&asked)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.charged.Add(events)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // a client that has disconnected does not need it
}

// compose puts an answer together.
func (s *Server) compose(asked *request) (body []byte, events int64, err error) {
	if asked.StartDate != Since || asked.MaxResultsPerSignal != maxResults {
		return nil, 0, fmt.Errorf("the answers are those from %s, with %d results, and not those from %s with %d", Since, maxResults, asked.StartDate, asked.MaxResultsPerSignal)
	}
	size := 200
	for _, id := range asked.CompanyIDs {
		e, known := s.entries[id]
		if !known {
			return nil, 0, fmt.Errorf("company %d is not in the list", id)
		}
		size += len(e.text) + 20
	}
	body = append(make([]byte, 0, size), `{"companies":{`...)
	for i, id := range asked.CompanyIDs {
		if i > 0 {
			body = append(body, ',')
		}
		name := strconv.FormatInt(id, 10)
		body = append(append(append(body, '"'), name...), `":`...)
		e := s.entries[id]
		body = appendReplaced(body, e.text, e.id, name)
		events += e.events
	}
	body = fmt.Appendf(body, `},"startDate":%q,"endDate":%q,"creditCharged":%d}`, Since, Today, events)
	return body, events, nil
}

// appendReplaced appends a text with one id in the place of another.
func appendReplaced(dst, text []byte, old, new string) []byte {
	if old == new {
		return append(dst, text...)
	}
	return append(dst, bytes.ReplaceAll(text, []byte(old), []byte(new))...)
}
