package simulator

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

// header reads one of the nine.
func header(t *testing.T, w *httptest.ResponseRecorder, name string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(w.Header().Get(name), 10, 64)
	if err != nil {
		t.Fatalf("header %s = %q", name, w.Header().Get(name))
	}
	return n
}

func TestWindows(t *testing.T) {
	now := &clock{t: noon.Add(30 * time.Second)}
	s := rig(t, Config{Plan: "pro", Burst: -1, Now: now.now})
	call := func() *httptest.ResponseRecorder { return get(s, companyOptions) }
	spend := func(n int) {
		for i := range n {
			if w := call(); w.Code != 200 {
				t.Fatalf("request %d of %d = %d %s", i+1, n, w.Code, w.Body)
			}
		}
	}
	expect429 := func(hint string, none ...string) {
		t.Helper()
		w := call()
		body := strings.ToLower(w.Body.String())
		if w.Code != 429 || !strings.Contains(body, hint) {
			t.Fatalf("request = %d %s, want 429 with %q", w.Code, w.Body, hint)
		}
		for _, word := range none {
			if strings.Contains(body, word) {
				t.Fatalf("429 = %s, want nothing about %q", w.Body, word)
			}
		}
		if w.Header().Get("Retry-After") != "" {
			t.Errorf("Retry-After = %q, want none", w.Header().Get("Retry-After"))
		}
	}

	spend(50) // the quota of the minute
	expect429("minute", "hourly", "daily", "trial")
	expect429("minute", "hourly", "daily", "trial")
	w := call()
	for name, want := range map[string]int64{
		"x-rate-limit-minute": 50, "x-minute-usage": 50, "x-minute-requests-left": 0,
		"x-rate-limit-hourly": 150, "x-hourly-usage": 50, "x-hourly-requests-left": 100,
		"x-rate-limit-daily": 1500, "x-daily-usage": 50, "x-daily-requests-left": 1450,
	} {
		if got := header(t, w, name); got != want {
			t.Errorf("%s on a 429 = %d, want %d", name, got, want)
		}
	}

	// A new minute of the clock, though not 60 s after the first request.
	now.advance(30 * time.Second)
	spend(50)
	now.advance(time.Minute)
	spend(50)
	now.advance(10 * time.Minute) // 12:12
	expect429("reset in 2880 seconds", "daily", "trial")
	now.advance(48*time.Minute - time.Second)
	expect429("reset in 1 seconds", "daily", "trial")
	now.advance(time.Second)
	for range 9 {
		for range 3 {
			spend(50)
			now.advance(time.Minute)
		}
		now.advance(57 * time.Minute)
	}
	expect429("daily", "hourly", "trial") // 10 x 150
	now.advance(24 * time.Hour)
	spend(1)
}

func TestBurst(t *testing.T) {
	now := &clock{t: noon}
	s := rig(t, Config{Plan: "scale", Now: now.now})
	for i := range 25 {
		if w := get(s, companyOptions); w.Code != 200 {
			t.Fatalf("request %d = %d", i+1, w.Code)
		}
	}
	w := get(s, companyOptions)
	body := strings.ToLower(w.Body.String())
	if w.Code != 429 || strings.Contains(body, "hourly") || strings.Contains(body, "daily") || strings.Contains(body, "trial") {
		t.Errorf("request 26 = %d %s, want a 429 without a hint", w.Code, w.Body)
	}
	if used := header(t, w, "x-minute-usage"); used != 25 {
		t.Errorf("x-minute-usage = %d, want 25: refused requests do not count", used)
	}
	now.advance(40 * time.Millisecond)
	if a, b := get(s, companyOptions).Code, get(s, companyOptions).Code; a != 200 || b != 429 {
		t.Errorf("requests after 40 ms = %d, %d, want 200, 429", a, b)
	}
}

func TestPlans(t *testing.T) {
	for _, p := range plans {
		s := rig(t, Config{Plan: p.name, Burst: -1})
		w := get(s, companyOptions)
		for name, want := range map[string]int64{"x-rate-limit-minute": p.minute, "x-rate-limit-hourly": p.hour, "x-rate-limit-daily": p.day} {
			if want == 0 {
				want = unlimitedQuota
			}
			if got := header(t, w, name); got != want {
				t.Errorf("plan %s: %s = %d, want %d", p.name, name, got, want)
			}
		}
		if u := get(s, accountUsage); (p.hour == 0) != strings.Contains(u.Body.String(), `"hourly":null`) {
			t.Errorf("plan %s: usage = %s", p.name, u.Body)
		}
	}
	s := rig(t, Config{Plan: "unlimited"})
	for i := range 500 {
		if w := get(s, companyOptions); w.Code != 200 {
			t.Fatalf("unlimited: request %d = %d", i+1, w.Code)
		}
	}
}

func TestUsageHasAnAllowanceOfItsOwn(t *testing.T) {
	now := &clock{t: noon}
	s := rig(t, Config{Now: now.now})
	for i := range 5 {
		if w := get(s, []string{accountUsage, accountUsageOld}[i%2]); w.Code != 200 {
			t.Fatalf("usage %d = %d", i+1, w.Code)
		}
	}
	if w := get(s, accountUsage); w.Code != 429 {
		t.Errorf("sixth usage in a minute = %d, want 429", w.Code)
	}
	if w := get(s, companyOptions); w.Code != 200 {
		t.Errorf("options beside it = %d, want 200", w.Code)
	}
	now.advance(time.Minute)
	if w := get(s, accountUsage); w.Code != 200 {
		t.Errorf("usage a minute later = %d, want 200", w.Code)
	}
}

func TestRateScope(t *testing.T) {
	for scope, want := range map[string]int{"account": 429, "key": 200} {
		s := rig(t, Config{Burst: 3, Plan: "scale", Switches: Switches{RateScope: scope}})
		for range 3 {
			get(s, companyOptions)
		}
		r := request("GET", companyOptions, "")
		r.Header.Set("api_key", "key-2")
		if w := do(s, r); w.Code != want {
			t.Errorf("rate-scope %s: a second key after the first is exhausted = %d, want %d", scope, w.Code, want)
		}
	}
	// Unknown keys must not fill the memory.
	s := rig(t, Config{Keys: []string{"a"}, Switches: Switches{RateScope: "key"}})
	for i := range 100 {
		r := request("GET", companyOptions, "")
		r.Header.Set("api_key", fmt.Sprintf("guess-%d", i))
		if w := do(s, r); w.Code != http.StatusUnauthorized || header(t, w, "x-daily-usage") != 0 {
			t.Fatalf("guess = %d %v", w.Code, w.Header())
		}
	}
	if n := len(s.limiter.quotas); n != 0 {
		t.Errorf("%d quotas for strangers", n)
	}
}

func TestWindowsFromTheFirstRequest(t *testing.T) {
	now := &clock{t: noon.Add(30 * time.Second)}
	s := rig(t, Config{Plan: "free", Burst: -1, Now: now.now, Switches: Switches{Windows: "first-request", RetryAfter: "present"}})
	for range 40 {
		get(s, companyOptions)
	}
	now.advance(45 * time.Second)
	w := get(s, companyOptions)
	if w.Code != 429 || w.Header().Get("Retry-After") != "15" {
		t.Errorf("45 s after the first request = %d, Retry-After %q, want 429 and 15", w.Code, w.Header().Get("Retry-After"))
	}
	now.advance(15 * time.Second)
	if w := get(s, companyOptions); w.Code != 200 {
		t.Errorf("60 s after the first request = %d, want 200", w.Code)
	}
}
