package lusha

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/siglake/siglake/internal/jsonscan"
	"github.com/siglake/siglake/internal/policy"
	"github.com/siglake/siglake/pipeline"
)

// Usage is the account's state. Numbers that are missing, or are no whole
// numbers, are -1: unknown, not zero.
type Usage struct {
	Total, Used, Remaining int64 // credits
	Minute, Hour, Day      UsageWindow
	Plan                   string                        // as the vendor calls it; empty when not stated
	Prices                 map[string]pipeline.UnitPrice // by action; a missing one is unknown, not free
	Raw                    json.RawMessage               // the answer as received, compact
}

// UsageWindow is one rate window; ResetAt is zero when it is not stated.
type UsageWindow struct {
	pipeline.Window
	ResetAt time.Time
}

// Rate gives the windows in the form in which answers state them.
func (u *Usage) Rate() pipeline.Rate {
	return pipeline.Rate{Minute: u.Minute.Window, Hour: u.Hour.Window, Day: u.Day.Window}
}

// FetchUsage asks for the account's credits, windows and prices. It is free of
// charge and repeated when it fails, but the API allows five of these a
// minute, so it may wait. Accounts without the newer endpoint are asked at the
// older one, which states credits only.
func (c *Client) FetchUsage(ctx context.Context) (*Usage, error) {
	var refusal *RefusalError
	call, err := c.getFree(ctx, "/v3/account/usage", c.usageLimiter.acquire)
	if errors.As(err, &refusal) && suggestsOldEndpoint(refusal.Class) {
		call, err = c.getFree(ctx, "/account/usage", c.usageLimiter.acquire)
	}
	if err != nil {
		return nil, fmt.Errorf("account usage: %w", err)
	}
	u, err := decodeUsage(call.Body)
	if err != nil {
		return nil, fmt.Errorf("account usage: %w", err)
	}
	return u, nil
}

// suggestsOldEndpoint reports whether a refusal may mean that an account has only the older
// endpoint.
func suggestsOldEndpoint(c Class) bool {
	return c == ClassNotFound || c == ClassRoute || c == ClassGone || c == ClassEntitlement
}

// usagePerMinute is the quota of the usage endpoint, in requests a minute.
const usagePerMinute = 5

// minuteLimiter keeps requests within a quota of so many in any period of a minute.
type minuteLimiter struct {
	mu       sync.Mutex
	requests []time.Time   // the last ones, as many as the quota has, in a ring
	oldest   int           // the oldest of them
	held     time.Time     // none before, since the API refused one
	spacing  time.Duration // between two requests; 0: none
}

func newMinuteLimiter(perMinute int, spacing time.Duration) *minuteLimiter {
	return &minuteLimiter{requests: make([]time.Time, perMinute), spacing: spacing}
}

// acquire waits until the quota allows a request, and counts it; false when ctx
// ends first.
func (l *minuteLimiter) acquire(ctx context.Context) bool {
	for {
		l.mu.Lock()
		delay := l.delay()
		if delay <= 0 {
			l.requests[l.oldest] = time.Now()
			l.oldest = (l.oldest + 1) % len(l.requests)
			l.mu.Unlock()
			return true
		}
		l.mu.Unlock()
		if !policy.Sleep(ctx, delay) {
			return false
		}
	}
}

// delay is how long the quota allows no request. A request arrives a little later than it leaves.
func (l *minuteLimiter) delay() time.Duration {
	newest := l.requests[(l.oldest+len(l.requests)-1)%len(l.requests)]
	return max(time.Until(l.requests[l.oldest].Add(time.Minute+time.Second)), time.Until(newest.Add(l.spacing)), time.Until(l.held))
}

// isReady reports whether acquire would return at once.
func (l *minuteLimiter) isReady() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.delay() <= 0
}

// observe takes over how many requests of the last minute the API counts: those that are not of this limiter
// are another process's, and may have been made just now.
func (l *minuteLimiter) observe(used int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, own := time.Now(), int64(0)
	for _, at := range l.requests {
		if now.Sub(at) < time.Minute {
			own++
		}
	}
	for ; own < min(used, int64(len(l.requests))); own++ {
		l.requests[l.oldest] = now
		l.oldest = (l.oldest + 1) % len(l.requests)
	}
}

// hold allows no request for so long.
func (l *minuteLimiter) hold(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if until := time.Now().Add(d); until.After(l.held) {
		l.held = until
	}
}

func decodeUsage(body []byte) (*Usage, error) {
	unknown := UsageWindow{Window: pipeline.Window{Limit: -1, Used: -1, Left: -1}}
	u := &Usage{Total: -1, Used: -1, Remaining: -1, Minute: unknown, Hour: unknown, Day: unknown}
	stated := false
	err := jsonscan.WalkObject(body, func(name string, value json.RawMessage) {
		switch name {
		case "credits":
			stated = u.decodeCredits(value) || stated
		case "usage":
			// The older endpoint: the numbers here, or under one of two names.
			stated = u.decodeCredits(value) || stated
			_ = jsonscan.WalkObject(value, func(name string, value json.RawMessage) { // null holds nothing
				if name == "credits" || name == "bulkCredits" {
					stated = u.decodeCredits(value) || stated
				}
			})
		case "rateLimits":
			_ = jsonscan.WalkObject(value, u.decodeWindow)
		case "plan":
			if u.Plan, _ = jsonscan.ScalarText(value); u.Plan == "" {
				_ = jsonscan.WalkObject(value, func(name string, value json.RawMessage) {
					if name == "category" {
						u.Plan, _ = jsonscan.ScalarText(value)
					}
				})
			}
		case "pricing":
			u.Prices = map[string]pipeline.UnitPrice{}
			_ = jsonscan.WalkObject(value, func(action string, value json.RawMessage) {
				p := pipeline.UnitPrice{Credits: -1, PerQuantity: -1}
				_ = jsonscan.WalkObject(value, func(name string, value json.RawMessage) {
					switch name {
					case "credits":
						p.Credits = parseCount(value)
					case "perQuantity":
						p.PerQuantity = parseCount(value)
					}
				})
				u.Prices[action] = p
			})
		}
	})
	if err != nil {
		return nil, err
	}
	if !stated {
		return nil, fmt.Errorf("the answer states no credits: %s", truncateText(string(body), 200))
	}
	d := jsonscan.NewCursor(body)
	u.Raw = d.ReadValue()
	return u, nil
}

// decodeCredits reads an object with the credit numbers; false when it holds none.
func (u *Usage) decodeCredits(value json.RawMessage) (stated bool) {
	_ = jsonscan.WalkObject(value, func(name string, value json.RawMessage) {
		switch name {
		case "total":
			u.Total, stated = parseCount(value), true
		case "used":
			u.Used, stated = parseCount(value), true
		case "remaining":
			u.Remaining, stated = parseCount(value), true
		}
	})
	return stated
}

func (u *Usage) decodeWindow(name string, value json.RawMessage) {
	var w *UsageWindow
	switch name {
	case "minute":
		w = &u.Minute
	case "hourly":
		w = &u.Hour
	case "daily":
		w = &u.Day
	default:
		return
	}
	_ = jsonscan.WalkObject(value, func(name string, value json.RawMessage) { // null: not stated
		switch name {
		case "limit":
			w.Limit = parseCount(value)
		case "used":
			w.Used = parseCount(value)
		case "remaining":
			w.Left = parseCount(value)
		case "resetsAt":
			text, _ := jsonscan.ScalarText(value)
			w.ResetAt, _ = time.Parse(time.RFC3339, text)
		}
	})
}

// parseCount reads a whole number, exactly; a text of digits counts here, since
// nothing is billed by it.
func parseCount(value json.RawMessage) int64 {
	text, _ := jsonscan.ScalarText(value)
	if n, ok := jsonscan.WholeNumber(json.RawMessage(text)); ok {
		return n
	}
	return -1
}

// errUsageLimit says that the usage endpoint's own quota is used up.
var errUsageLimit = errors.New("five requests within the last minute, which is all that the API allows")

// TryFetchUsage is FetchUsage without waiting: it makes one attempt, and none when
// the usage endpoint's quota would delay it.
func (c *Client) TryFetchUsage(ctx context.Context) (*Usage, error) {
	if !c.usageLimiter.isReady() {
		return nil, fmt.Errorf("account usage: %w", errUsageLimit)
	}
	if !c.usageLimiter.acquire(ctx) {
		return nil, context.Cause(ctx)
	}
	call := &pipeline.Call{Attempt: 1, Endpoint: "GET /v3/account/usage"}
	limited, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	c.sendRequest(limited, http.MethodGet, "/v3/account/usage", nil, call, bodyReader{limit: maxFreeAnswer})
	if c.onFreeRequest != nil && call.Outcome != pipeline.NotCharged { // otherwise it never left
		c.onFreeRequest(1)
	}
	if v := classifyCall(call); call.Status/100 != 2 || call.Problem != "" || v.Status != call.Status {
		return nil, fmt.Errorf("account usage: %w", &RefusalError{v})
	}
	u, err := decodeUsage(call.Body)
	if err != nil {
		return nil, fmt.Errorf("account usage: %w", err)
	}
	return u, nil
}
