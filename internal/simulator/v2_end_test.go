package simulator

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestV2Ends: the older version announces its end six months ahead, and is gone from the day on. The
// newer one says nothing of it.
func TestV2Ends(t *testing.T) {
	t.Parallel()
	var now time.Time
	sim, err := New(Config{V2Ends: time.Date(2026, 11, 18, 0, 0, 0, 0, time.UTC), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		now, path string
		status    int
		sunset    string
	}{
		{"2026-05-17T23:59:59Z", "/api/signals/filters/company", 200, ""},
		{"2026-05-18T00:00:00Z", "/api/signals/filters/company", 200, "Wed, 18 Nov 2026 00:00:00 GMT"},
		{"2026-11-17T23:59:59Z", "/api/signals/filters/contact", 200, "Wed, 18 Nov 2026 00:00:00 GMT"},
		{"2026-11-18T00:00:00Z", "/api/signals/filters/contact", 410, "Wed, 18 Nov 2026 00:00:00 GMT"},
		{"2027-02-01T12:00:00Z", "/api/signals/companies", 410, "Wed, 18 Nov 2026 00:00:00 GMT"},
		{"2027-02-01T12:00:00Z", "/v3/companies/signals/types", 200, ""},
	} {
		if now, err = time.Parse(time.RFC3339, c.now); err != nil {
			t.Fatal(err)
		}
		q := httptest.NewRequestWithContext(t.Context(), http.MethodGet, c.path, strings.NewReader(""))
		q.Header.Set("api_key", "k")
		q.Header.Set("User-Agent", "test of the simulator")
		w := httptest.NewRecorder()
		sim.ServeHTTP(w, q)
		h := w.Header()
		if w.Code != c.status || h.Get("Sunset") != c.sunset {
			t.Errorf("%s at %s = %d, Sunset %q, want %d, %q", c.path, c.now, w.Code, h.Get("Sunset"), c.status, c.sunset)
		}
		if stated := h.Get("Deprecation") == "@1779062400" && strings.Contains(h.Get("Link"), `rel="sunset"`); stated != (c.sunset != "") {
			t.Errorf("%s at %s: Deprecation %q, Link %q", c.path, c.now, h.Get("Deprecation"), h.Get("Link"))
		}
	}
}
