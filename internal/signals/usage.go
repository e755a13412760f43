package signals

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/siglake/siglake/pipeline"
)

// Usage is the account's state. Numbers that are missing, or are no whole
// numbers, are -1: unknown, not zero.
type Usage struct {
	Total, Used, Remaining int64 // credits
	Minute, Hour, Day      UsageWindow
	Plan                   string               // as the vendor calls it; empty when not stated
	Prices                 map[string]UnitPrice // by action; one that is missing is not priced, which does not mean free
	Raw                    json.RawMessage      // the answer as received, compact
}

// UsageWindow is one rate window; Resets is zero when it is not stated.
type UsageWindow struct {
	pipeline.Window
	Resets time.Time
}

// UnitPrice is what an action costs: Credits for every started PerQuantity.
type UnitPrice struct {
	Credits, PerQuantity int64
}

// Rate gives the windows in the form in which answers state them.
func (u *Usage) Rate() pipeline.Rate {
	return pipeline.Rate{Minute: u.Minute.Window, Hour: u.Hour.Window, Day: u.Day.Window}
}

// Usage asks for the account's credits, windows and prices. It is free of
// charge and repeated when it fails, but the API allows five of these a
// minute, so it may wait. Accounts without the newer endpoint are asked at the
// older one, which states credits only.
func (c *Client) Usage(ctx context.Context) (*Usage, error) {
	var refusal *RefusalError
	call, err := c.free(ctx, "/v3/account/usage", c.usage.turn)
	if errors.As(err, &refusal) && older(refusal.Class) {
		call, err = c.free(ctx, "/account/usage", c.usage.turn)
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

// older reports whether a refusal may mean that an account has only the older
// endpoint.
func older(c Class) bool {
	return c == ClassNotFound || c == ClassRoute || c == ClassGone || c == ClassEntitlement
}

// pace keeps requests to the usage endpoint within its quota: five in any
// stretch of a minute.
type pace struct {
	mu   sync.Mutex
	sent [5]time.Time // the last ones, in a ring
	next int          // the oldest of them
}

// turn waits until the quota allows a request, and enters it; false when ctx
// ended first.
func (p *pace) turn(ctx context.Context) bool {
	for {
		p.mu.Lock()
		oldest := &p.sent[p.next]
		left := time.Until(oldest.Add(time.Minute + time.Second)) // it arrives a little later than it leaves
		if left <= 0 {
			*oldest = time.Now()
			p.next = (p.next + 1) % len(p.sent)
			p.mu.Unlock()
			return true
		}
		p.mu.Unlock()
		if !wait(ctx, left) {
			return false
		}
	}
}

func decodeUsage(body []byte) (*Usage, error) {
	unknown := UsageWindow{Window: pipeline.Window{Limit: -1, Used: -1, Left: -1}}
	u := &Usage{Total: -1, Used: -1, Remaining: -1, Minute: unknown, Hour: unknown, Day: unknown}
	stated := false
	err := fields(body, func(name string, value json.RawMessage) {
		switch name {
		case "credits":
			stated = u.credits(value) || stated
		case "usage":
			// The older endpoint: the numbers here, or under one of two names.
			stated = u.credits(value) || stated
			_ = fields(value, func(name string, value json.RawMessage) { // null holds nothing
				if name == "credits" || name == "bulkCredits" {
					stated = u.credits(value) || stated
				}
			})
		case "rateLimits":
			_ = fields(value, u.window)
		case "plan":
			if u.Plan, _ = textOf(value); u.Plan == "" {
				_ = fields(value, func(name string, value json.RawMessage) {
					if name == "category" {
						u.Plan, _ = textOf(value)
					}
				})
			}
		case "pricing":
			u.Prices = map[string]UnitPrice{}
			_ = fields(value, func(action string, value json.RawMessage) {
				p := UnitPrice{-1, -1}
				_ = fields(value, func(name string, value json.RawMessage) {
					switch name {
					case "credits":
						p.Credits = number(value)
					case "perQuantity":
						p.PerQuantity = number(value)
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
		return nil, fmt.Errorf("the answer states no credits: %s", shorten(string(body), 200))
	}
	d := document(body)
	u.Raw = d.value()
	return u, nil
}

// credits reads an object with the credit numbers; false when it holds none.
func (u *Usage) credits(value json.RawMessage) (stated bool) {
	_ = fields(value, func(name string, value json.RawMessage) {
		switch name {
		case "total":
			u.Total, stated = number(value), true
		case "used":
			u.Used, stated = number(value), true
		case "remaining":
			u.Remaining, stated = number(value), true
		}
	})
	return stated
}

func (u *Usage) window(name string, value json.RawMessage) {
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
	_ = fields(value, func(name string, value json.RawMessage) { // null: not stated
		switch name {
		case "limit":
			w.Limit = number(value)
		case "used":
			w.Used = number(value)
		case "remaining":
			w.Left = number(value)
		case "resetsAt":
			text, _ := textOf(value)
			w.Resets, _ = time.Parse(time.RFC3339, text)
		}
	})
}

// number reads a whole number, exactly; a text of digits counts here, since
// nothing is billed by it.
func number(value json.RawMessage) int64 {
	text, _ := textOf(value)
	if n, ok := wholeNumber(json.RawMessage(text)); ok {
		return n
	}
	return -1
}
