package lusha

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// TestParseRetirement: the fields are read in the forms of their standards; a malformed one is as if it
// were not there.
func TestParseRetirement(t *testing.T) {
	t.Parallel()
	const sunset = "Wed, 18 Nov 2026 00:00:00 GMT"
	end := time.Date(2026, 11, 18, 0, 0, 0, 0, time.UTC)
	since := time.Date(2026, 5, 18, 0, 0, 0, 0, time.UTC)
	page := "https://docs.lusha.com/v3"
	for _, c := range []struct {
		name   string
		header http.Header
		want   Retirement
	}{
		{"nothing", http.Header{}, Retirement{}},
		{"all", http.Header{"Sunset": {sunset}, "Deprecation": {"@1779062400"}, "Link": {`<https://docs.lusha.com/v3>; rel="sunset"; type="text/html"`}}, Retirement{end, since, page}},
		{"blanks", http.Header{"Sunset": {"  " + sunset + " "}, "Deprecation": {" @1779062400 ; x=1"}}, Retirement{Sunset: end, Deprecated: since}},
		{"older date forms", http.Header{"Sunset": {"Wednesday, 18-Nov-26 00:00:00 GMT"}}, Retirement{Sunset: end}},
		{"the first that is a date", http.Header{"Sunset": {"soon", sunset, "Thu, 19 Nov 2026 00:00:00 GMT"}}, Retirement{Sunset: end}},
		{"no dates", http.Header{"Sunset": {"2026-11-18"}, "Deprecation": {"true"}, "Link": {`<https://docs.lusha.com/v3>; rel=sunset`}}, Retirement{}},
		{"a number", http.Header{"Sunset": {"1779062400"}, "Deprecation": {"1779062400"}}, Retirement{}},
		{"no whole number", http.Header{"Deprecation": {"@1779062400.5", "@", "@+1", "@99999999999999999999", "@1e9"}}, Retirement{}},
		{"absurd dates", http.Header{"Sunset": {"Mon, 01 Jan 0001 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT"}, "Deprecation": {"@0"}}, Retirement{}},
		{"the link alone says nothing", http.Header{"Link": {`<https://docs.lusha.com/v3>; rel=sunset`}}, Retirement{}},
		{"several links", http.Header{"Sunset": {sunset}, "Link": {`</a>; rel=next, </b,c>; title="a, \"b\"; rel=sunset"; rel="Deprecation alternate"`, `</d>;rel="x SUNSET"`}}, Retirement{Sunset: end, Link: "https://api.lusha.com/d"}},
		{"by deprecation", http.Header{"Sunset": {sunset}, "Link": {`</b,c>; title="a, \"b\"; rel=sunset"; rel="Deprecation alternate"`}}, Retirement{Sunset: end, Link: "https://api.lusha.com/b,c"}},
		{"up to the fault", http.Header{"Sunset": {sunset}, "Link": {`</a>; rel=sunset, <b; rel=sunset`, `</c>; rel="sunset`, `x`, `</d> rel=sunset`}}, Retirement{Sunset: end, Link: "https://api.lusha.com/a"}},
		{"nothing to open", http.Header{"Sunset": {sunset}, "Link": {`<javascript:alert(1)>; rel=sunset, <https://u:p@x.example/>; rel=sunset, <` + strings.Repeat("a", 600) + `>; rel=sunset, <mailto:a@b.example>; rel=sunset`}}, Retirement{Sunset: end}},
	} {
		base, err := url.Parse("https://api.lusha.com")
		if err != nil {
			t.Fatal(err)
		}
		if got := parseRetirement(c.header, base); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// FuzzWebLinks: no field makes the reader run on or fail, and a target comes from the field.
func FuzzWebLinks(f *testing.F) {
	for _, seed := range []string{`<a>; rel="sunset"`, `<a>;rel=x,<b>;rel="y z";t="\""`, `<`, `<a>;`, `,,<a>`, `<a>;x`, `<a>;rel="\`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, field string) {
		n := 0
		for target := range webLinks(field) {
			if n++; n > len(field) || !strings.Contains(field, "<"+target+">") {
				t.Fatalf("%q: link %d is %q", field, n, target)
			}
		}
	})
}

// TestRetirementRecorded: a call keeps what its answer said about the end of its version, and the
// client passes it on once for each version.
func TestRetirementRecorded(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if strings.HasPrefix(q.URL.Path, "/api/signals/") {
			w.Header().Set("Deprecation", "@1779062400")
			w.Header().Set("Sunset", "Wed, 18 Nov 2026 00:00:00 GMT")
			w.Header().Add("Link", `</v3>; rel="successor-version"`)
			w.Header().Add("Link", `</end>; rel="sunset"`)
		}
		_, _ = fmt.Fprint(w, `{"signals":["news"],"filterOptions":{}}`)
	}))
	defer server.Close()
	var stated []string
	c, err := New(Config{BaseURL: server.URL, Key: NewKey("k"), OnRetirement: func(v pipeline.APIVersion, r Retirement) {
		stated = append(stated, fmt.Sprintf("%q %s %s", v, r.Sunset.Format(time.DateOnly), r.Link))
	}})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := c.FetchOptions(t.Context(), schema.Company); err != nil {
			t.Fatal(err)
		}
	}
	if len(stated) != 1 || stated[0] != fmt.Sprintf("%q 2026-11-18 %s/end", "", server.URL) || c.Retirement(pipeline.V3) != (Retirement{}) {
		t.Errorf("stated %q, want V2's end once", stated)
	}
	call := pipeline.Call{Endpoint: "POST /api/signals/companies"}
	c.sendRequest(t.Context(), http.MethodPost, "/api/signals/companies", []byte("{}"), &call, bodyReader{limit: 1 << 10})
	var kept map[string]string
	if err := json.Unmarshal(call.Header, &kept); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"sunset": "Wed, 18 Nov 2026 00:00:00 GMT", "deprecation": "@1779062400", "link": `</v3>; rel="successor-version", </end>; rel="sunset"`} {
		if kept[name] != want {
			t.Errorf("%s is kept as %q, want %q", name, kept[name], want)
		}
	}
}
