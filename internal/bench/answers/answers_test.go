package answers

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
)

// post asks a server about companies.
func post(t *testing.T, s *Server, ids []int64, since string) *httptest.ResponseRecorder {
	t.Helper()
	body, err := json.Marshal(request{CompanyIDs: ids, Signals: []string{"allSignals"}, StartDate: since, MaxResultsPerSignal: maxResults})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, newRequest(t.Context(), string(body)))
	return w
}

// TestAnswers: an answer has the entries of the companies asked for, as the simulator words them, and
// charges for each of their events.
func TestAnswers(t *testing.T) {
	t.Parallel()
	s, err := New(Config{Companies: 3})
	if err != nil {
		t.Fatal(err)
	}
	ids := s.IDs()
	w := post(t, s, ids[1:], Since)
	var got answer
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK {
		t.Fatalf("the answer is %d, %v: %s", w.Code, err, w.Body)
	}
	events := int64(0)
	for _, id := range ids[1:] {
		name := strconv.FormatInt(id, 10)
		entry := got.Companies[name]
		if direct := httptest.NewRecorder(); true {
			s.simulator.ServeHTTP(direct, newRequest(t.Context(), `{"companyIds":[`+name+`],"signals":["allSignals"],"startDate":"`+Since+`","maxResultsPerSignal":100}`))
			if !bytes.Contains(direct.Body.Bytes(), entry) || len(entry) == 0 {
				t.Errorf("the entry of company %s differs from the simulator's: %s", name, entry)
			}
		}
		events += int64(bytes.Count(entry, []byte(`"signalId"`)))
	}
	if len(got.Companies) != 2 || got.CreditCharged != events || events == 0 {
		t.Errorf("%d companies with %d events were charged with %d credits", len(got.Companies), events, got.CreditCharged)
	}
	if total := s.Events(); total <= events {
		t.Errorf("Events() = %d of three companies, and two have %d", total, events)
	}
	for _, w := range []*httptest.ResponseRecorder{post(t, s, []int64{5}, Since), post(t, s, ids, "2026-01-01")} {
		if w.Code != http.StatusBadRequest {
			t.Errorf("a request for what was not rendered is answered with %d: %s", w.Code, w.Body)
		}
	}
}

// TestHeavyAnswers: companies with borrowed texts appear under ids of their own.
func TestHeavyAnswers(t *testing.T) {
	t.Parallel()
	s, err := New(Config{Companies: 3, Heavy: 1})
	if err != nil {
		t.Fatal(err)
	}
	ids := s.IDs()
	text := post(t, s, ids[2:], Since).Body.String()
	if strings.Contains(text, strconv.FormatInt(ids[0], 10)) || !strings.Contains(text, `"companyId":"`+strconv.FormatInt(ids[2], 10)) {
		t.Errorf("the answer about company %d names company %d: %.200s", ids[2], ids[0], text)
	}
	if n := s.Events(); n < 3*1500 {
		t.Errorf("three companies with the most events have %d", n)
	}
}

// TestWriteList: the list has a line for each company.
func TestWriteList(t *testing.T) {
	t.Parallel()
	s, err := New(Config{Companies: 2})
	if err != nil {
		t.Fatal(err)
	}
	var list strings.Builder
	if err := s.WriteList(&list); err != nil {
		t.Fatal(err)
	}
	ids := s.IDs()
	want := "account_id,company_id\nacct-000001," + strconv.FormatInt(ids[0], 10) + "\nacct-000002," + strconv.FormatInt(ids[1], 10) + "\n"
	if list.String() != want {
		t.Errorf("WriteList() = %q, want %q", list.String(), want)
	}
}
