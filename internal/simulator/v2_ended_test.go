package simulator

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestV2Ended checks that every path of the older version is gone, and nothing else.
func TestV2Ended(t *testing.T) {
	sim, err := New(Config{Switches: Switches{V2: "ended"}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim)
	defer server.Close()
	for path, want := range map[string]int{
		"/api/signals/filters/company": 404, "/api/signals/companies": 404,
		"/v3/companies/signals/types": 200, "/v3/account/usage": 200,
	} {
		method := http.MethodGet
		if want == 404 && !strings.Contains(path, "filters") {
			method = http.MethodPost
		}
		req, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("api_key", "k")
		req.Header.Set("User-Agent", "test of the simulator")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s %s = %d %s, want %d", method, path, resp.StatusCode, text, want)
		}
	}
}
