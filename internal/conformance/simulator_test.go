package conformance

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/simulator"
)

// webhookSession manages the webhooks of a simulator through a validator, which reports every request and
// every answer that the description does not allow.
type webhookSession struct {
	t     *testing.T
	sim   *simulator.Server
	proxy *Proxy
	now   time.Time
}

// receive acknowledges deliveries and answers challenges.
func receive(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		fmt.Fprintf(w, `{"challenge":%q}`, r.URL.Query().Get("challenge"))
		return
	}
	if strings.HasSuffix(r.URL.Path, "broken") {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusCreated)
}

// inProcess sends requests to a handler.
type inProcess struct{ handler http.HandlerFunc }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	p.handler(w, r)
	return w.Result(), nil
}

func newWebhookSession(t *testing.T) *webhookSession {
	s := &webhookSession{t: t, now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)}
	var err error
	s.sim, err = simulator.New(simulator.Config{Seed: 1, Now: func() time.Time { return s.now }, Transport: inProcess{receive}, Lateness: "fast", MaxSubscriptions: 30, Burst: -1})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.sim)
	t.Cleanup(server.Close)
	validator, err := StartValidator(t.Context(), descriptionFile, server.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = validator.Close() })
	s.proxy = validator.NewProxy(t)
	return s
}

// call makes a request and returns its answer.
func (s *webhookSession) call(method, path, body string, want int) (doc map[string]any) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.proxy.URL+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("User-Agent", "siglake-test/1")
	req.Header.Set("api_key", "a-key")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&doc); err != nil || resp.StatusCode != want {
		s.t.Fatalf("%s %s %s = %d %v, %v, want %d", method, path, body, resp.StatusCode, doc, err, want)
	}
	return doc
}

// create subscribes to entities, and returns the id of the first subscription.
func (s *webhookSession) create(url, object, signals string, entities ...string) string {
	s.t.Helper()
	var items []string
	for _, id := range entities {
		items = append(items, fmt.Sprintf(`{"entityId":%q}`, id))
	}
	doc := s.call(http.MethodPost, "/api/subscriptions", fmt.Sprintf(`{"defaults":{"url":%q,"entityType":%q,"signalTypes":[%s]},"name":"conformance","subscriptions":[%s]}`,
		url, object, signals, strings.Join(items, ",")), http.StatusCreated)
	results, _ := doc["results"].([]any)
	first, _ := results[0].(map[string]any)
	subscription, _ := first["subscription"].(map[string]any)
	return asText(subscription["id"])
}

// TestSimulatedWebhooks: all that the simulator answers to the management of webhooks is what the
// description says.
func TestSimulatedWebhooks(t *testing.T) {
	if !isDescribed(t, "POST /api/subscriptions") {
		return
	}
	s := newWebhookSession(t)
	const url, broken = "https://hooks.siglake.example/in", "https://hooks.siglake.example/broken"
	s.call(http.MethodGet, "/api/account/secret", "", http.StatusNotFound)
	s.call(http.MethodPost, "/api/account/secret/regenerate", "", http.StatusOK)
	s.call(http.MethodGet, "/api/account/secret", "", http.StatusOK)
	companies := []string{"1000", "1000", "x"} // one again, and one that is no id
	for i := range 12 {
		companies = append(companies, fmt.Sprint(1001+i))
	}
	good := s.create(url, "company", `"allSignals"`, companies...)
	lost := s.create(broken, "company", `"allSignals"`, companies[3:]...)
	s.create(url, "contact", `"promotion","companyChange"`, "70114455")
	s.call(http.MethodPost, "/api/subscriptions", `{"defaults":{"url":"`+url+`"},"subscriptions":[{"entityId":"1"}]}`, http.StatusCreated)
	for range 14 * 24 {
		s.now = s.now.Add(time.Hour)
		for range 4 { // with the retries
			if _, err := s.sim.Deliver(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.now = s.now.Add(5 * time.Second)
		}
	}
	states := map[simulator.DeliveryState]int{}
	for _, d := range s.sim.Deliveries() {
		states[d.State]++
	}
	if states[simulator.DeliveryAcknowledged] == 0 || states[simulator.DeliveryLost] == 0 {
		t.Fatalf("deliveries by state: %v, want some lost and some acknowledged", states)
	}
	for _, path := range []string{
		"/api/subscriptions", "/api/subscriptions?limit=5&offset=3", "/api/subscriptions?offset=1000", "/api/subscriptions/" + good, "/api/subscriptions/" + lost,
		"/api/audit-logs", "/api/audit-logs?status=failed&limit=2", "/api/audit-logs?status=permanent_failure", "/api/audit-logs?status=success&offset=1",
		"/api/audit-logs?subscriptionId=" + lost, "/api/audit-logs/stats", "/api/audit-logs/stats?subscriptionId=" + good,
	} {
		s.call(http.MethodGet, path, "", http.StatusOK)
	}
	for _, mode := range []string{"", "?mode=direct", "?mode=kafka", "?mode=full"} {
		s.call(http.MethodPost, "/api/subscriptions/"+good+"/test"+mode, "", http.StatusOK)
		s.call(http.MethodPost, "/api/subscriptions/"+lost+"/test"+mode, "", http.StatusOK)
	}
	s.now = s.now.Add(time.Minute)
	for _, change := range []string{`{"isActive":true}`, `{"isActive":false,"name":"off"}`, `{"signalTypes":["peopleNews"]}`, `{"url":"https://other.siglake.example/in"}`, `{"regenerateSecret":true}`} {
		s.call(http.MethodPatch, "/api/subscriptions/"+lost, change, http.StatusOK)
	}
	const absent = "0123456789abcdef01234567"
	s.call(http.MethodGet, "/api/subscriptions/"+absent, "", http.StatusNotFound)
	s.call(http.MethodPatch, "/api/subscriptions/"+absent, `{"isActive":true}`, http.StatusNotFound)
	s.call(http.MethodPost, "/api/subscriptions/"+absent+"/test", "", http.StatusNotFound)
	s.call(http.MethodPost, "/api/subscriptions/delete", fmt.Sprintf(`{"ids":[%q,%q]}`, good, absent), http.StatusOK)
	const optOut = `{"entityType":"contact","url":"` + url + `","name":"opt-outs"}`
	s.call(http.MethodPost, "/api/subscriptions/opt-out", optOut, http.StatusCreated)
	s.call(http.MethodPost, "/api/subscriptions/opt-out", optOut, http.StatusForbidden)
	s.create(url, "contact", `"promotion"`, "1", "2", "3", "4", "5", "6", "7") // some are too many
	s.call(http.MethodPost, "/api/subscriptions", `{"defaults":{"url":"`+url+`"},"subscriptions":[{"entityId":"1"}]}`, http.StatusForbidden)
	s.now = s.now.Add(time.Minute)
	for range 100 {
		s.call(http.MethodGet, "/api/account/secret", "", http.StatusOK)
	}
	s.call(http.MethodGet, "/api/account/secret", "", http.StatusTooManyRequests)
	addTotals(s.proxy, 0)
}
