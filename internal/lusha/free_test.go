package lusha

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/schema"
)

// scriptedTransport is a transport that plays answers, "status body", and notes the paths.
type scriptedTransport struct {
	answers []string
	paths   []string
	times   []time.Duration
	start   time.Time
}

func (p *scriptedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	p.paths = append(p.paths, r.URL.Path)
	p.times = append(p.times, time.Since(p.start))
	answer := p.answers[0]
	if len(p.answers) > 1 {
		p.answers = p.answers[1:]
	}
	if answer == "" {
		return nil, errors.New("connection reset")
	}
	status := 0
	for _, d := range answer[:3] {
		status = status*10 + int(d-'0')
	}
	body := answer[4:]
	return &http.Response{StatusCode: status, Header: http.Header{}, ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body))}, nil
}

func newScriptedClient(t *testing.T, answers ...string) (*Client, *scriptedTransport) {
	p := &scriptedTransport{answers: answers, start: time.Now()}
	c, err := New(Config{Key: NewKey(canaryKey), Transport: p})
	if err != nil {
		t.Fatal(err)
	}
	return c, p
}

func TestFreeRetries(t *testing.T) {
	ok := `200 {"objectType":"contact","signals":["allSignals","promotion"]}`
	for _, tt := range []struct {
		name    string
		answers []string
		calls   int
		ok      bool
	}{
		{"at once", []string{ok}, 1, true},
		{"after losses, since it is free", []string{"", "502 <html>", "500 {}", ok}, 4, true},
		{"too many losses", []string{"", "", "", "", ok}, 4, false},
		{"too fast", []string{`429 {"statusCode":429,"message":"slow down"}`, ok}, 2, true},
		{"refused", []string{`401 {"statusCode":401,"message":"unknown key"}`, ok}, 1, false},
		{"refused under a success", []string{`200 {"statusCode":403,"message":"not in plan"}`, ok}, 1, false},
		{"the hour is used up", []string{`429 {"statusCode":429,"message":"hourly limit. Reset in 900 seconds"}`, ok}, 1, false},
		{"nonsense", []string{`200 {"x":1}`}, 1, false},
		{"cut", []string{`200 {"signals":["a`}, 1, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, p := newScriptedClient(t, tt.answers...)
			counted := 0
			c.OnFreeRequest(func(n int) { counted += n })
			o, err := c.FetchOptions(t.Context(), schema.Contact)
			if (err == nil) != tt.ok || len(p.paths) != tt.calls || counted != tt.calls {
				t.Errorf("%s: Options() = %v in %d calls, %d counted, want ok %v in %d", tt.name, err, len(p.paths), counted, tt.ok, tt.calls)
			}
			if tt.ok && (len(o.Signals) != 1 || o.Signals[0] != "promotion") {
				t.Errorf("%s: Signals = %v, want promotion only", tt.name, o.Signals)
			}
		})
	}
}

func TestUsageOldEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := newScriptedClient(t, `404 {"message":"no Route matched","request_id":"1"}`, `200 {"usage":{"total":10,"used":1,"remaining":9}}`)
		u, err := c.FetchUsage(t.Context())
		if err != nil || u.Remaining != 9 {
			t.Fatalf("Usage() = %+v, %v, want 9 remaining", u, err)
		}
		if diff := cmp.Diff([]string{"/v3/account/usage", "/account/usage"}, p.paths); diff != "" {
			t.Errorf("paths (-want +got):\n%s", diff)
		}
		if r := u.Rate(); r.Day.Left != -1 {
			t.Errorf("Rate() = %+v, want unknown windows", r)
		}
		refused, _ := newScriptedClient(t, `401 {"statusCode":401,"error":"invalid_request"}`)
		var refusal *RefusalError
		if _, err := refused.FetchUsage(t.Context()); !errors.As(err, &refusal) || refusal.Class != ClassAuth {
			t.Errorf("Usage() = %v, want a refusal of class auth", err)
		}
		empty, _ := newScriptedClient(t, `200 {"usage":null}`)
		if _, err := empty.FetchUsage(t.Context()); err == nil {
			t.Error("Usage() of nothing = nil, want an error")
		}
	})
}

// TestUsageLimiter: five a minute, for all callers together.
func TestUsageLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := newScriptedClient(t, `200 {"credits":{"total":10,"used":1,"remaining":9}}`)
		for range 12 {
			if _, err := c.FetchUsage(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for i := 5; i < len(p.times); i++ {
			if d := p.times[i] - p.times[i-5]; d < time.Minute {
				t.Errorf("requests %d to %d came within %s", i-5, i, d)
			}
		}
	})
}

func FuzzFree(f *testing.F) {
	for _, x := range fixtures(f) {
		if x.Request.Method == "GET" {
			f.Add([]byte(x.Response.Body))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if o, err := decodeOptions(schema.Company, body); err == nil && !isCompact(o.Raw) {
			t.Fatalf("Raw = %s", o.Raw)
		}
		if u, err := decodeUsage(body); err == nil && (u.Total < -1 || u.Used < -1 || u.Remaining < -1) {
			t.Fatalf("decodeUsage() = %+v", u)
		}
	})
}
