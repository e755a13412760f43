package lusha

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/siglake/siglake/internal/jsonscan"
	"github.com/siglake/siglake/internal/policy"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// HooksPerMinute is the quota of the endpoints that manage webhooks, in requests a minute and account.
const HooksPerMinute = 100

// hookSpacing keeps these requests within those that the API allows in a second.
const hookSpacing = 50 * time.Millisecond

// MaxHookItems is the number of subscriptions that one request can create or delete.
const MaxHookItems = 25

// maxHookPage is the length of a page of a list.
const maxHookPage = 100

// Webhooks manages the webhooks of the client's account. Its requests are free of charge. They keep to a quota
// of their own, which the methods wait for, and are repeated when they fail if that changes nothing. The
// methods end with ctx; an error is a *RefusalError when the API refused.
type Webhooks struct{ client *Client }

// Webhooks are those of the client's account.
func (c *Client) Webhooks() Webhooks { return Webhooks{c} }

// Subscription is the order to deliver the events of one entity to a URL.
type Subscription struct {
	ID       string
	Object   schema.Object
	EntityID string
	Signals  []string
	URL      string
	Name     string
	Active   bool
	// Why the API delivers nothing any more, and since when; empty and zero: it was not the API that stopped.
	BlockReason string
	BlockedAt   time.Time
	CreatedAt   time.Time
}

// NewSubscription is a subscription that is to be created.
type NewSubscription struct {
	Object   schema.Object
	EntityID string
	Signals  []string
	Name     string
}

// HookResult is what became of one item of a request about several.
type HookResult struct {
	Subscription *Subscription // that exists now; nil: none was stated
	Code         string        // of the error; empty: there is none
	Message      string
}

// The codes of errors of single items that decide what comes next.
const (
	HookDuplicate = "DUPLICATE_SUBSCRIPTION"
	HookNotFound  = "NOT_FOUND"
)

// Subscriptions lists all subscriptions of the account. A page may contain items of the page before, because
// others are created meanwhile: each is returned once. The number that the API states as the total is -1 if
// it states none.
func (w Webhooks) Subscriptions(ctx context.Context) (all []Subscription, total int64, err error) {
	known := map[string]bool{}
	for offset := 0; ; {
		call, err := w.send(ctx, http.MethodGet, fmt.Sprintf("/api/subscriptions?limit=%d&offset=%d", maxHookPage, offset), nil, true)
		if err != nil {
			return nil, -1, fmt.Errorf("list of subscriptions: %w", err)
		}
		page, err := decodeHookPage(call.Body)
		if err != nil {
			return nil, -1, fmt.Errorf("list of subscriptions: %w", err)
		}
		for _, value := range page.items {
			s, err := decodeSubscription(value)
			if err != nil {
				return nil, -1, fmt.Errorf("list of subscriptions: %w", err)
			}
			if !known[s.ID] {
				known[s.ID] = true
				all = append(all, s)
			}
		}
		offset += len(page.items)
		if total = page.total; page.isLast() {
			return all, total, nil
		}
	}
}

// Create creates at most MaxHookItems subscriptions with a URL. The results are in the order of the items.
func (w Webhooks) Create(ctx context.Context, hookURL string, items []NewSubscription) ([]HookResult, error) {
	type item struct {
		EntityID    string        `json:"entityId"`
		EntityType  schema.Object `json:"entityType"`
		SignalTypes []string      `json:"signalTypes"`
		Name        string        `json:"name"`
	}
	var body struct {
		Defaults struct {
			URL string `json:"url"`
		} `json:"defaults"`
		Subscriptions []item `json:"subscriptions"`
	}
	body.Defaults.URL = hookURL
	for _, s := range items {
		body.Subscriptions = append(body.Subscriptions, item{s.EntityID, s.Object, s.Signals, s.Name})
	}
	call, err := w.send(ctx, http.MethodPost, "/api/subscriptions", body, true)
	if err != nil {
		return nil, fmt.Errorf("creating subscriptions: %w", err)
	}
	return decodeHookResults(call.Body, len(items))
}

// Delete deletes at most MaxHookItems subscriptions, by id. The results are in the order of the ids.
func (w Webhooks) Delete(ctx context.Context, ids []string) ([]HookResult, error) {
	call, err := w.send(ctx, http.MethodPost, "/api/subscriptions/delete", map[string][]string{"ids": ids}, true)
	if err != nil {
		return nil, fmt.Errorf("deleting subscriptions: %w", err)
	}
	return decodeHookResults(call.Body, len(ids))
}

// HookChange is what changes of a subscription; what is empty stays.
type HookChange struct {
	Signals []string `json:"signalTypes,omitempty"`
	URL     string   `json:"url,omitempty"`
	Name    string   `json:"name,omitempty"`
	// Deliver, or stop. The first forgets why the API had stopped.
	Active *bool `json:"isActive,omitempty"`
}

// Change changes a subscription, and returns it as it is then.
func (w Webhooks) Change(ctx context.Context, id string, change HookChange) (*Subscription, error) {
	call, err := w.send(ctx, http.MethodPatch, "/api/subscriptions/"+url.PathEscape(id), change, true)
	if err != nil {
		return nil, fmt.Errorf("changing subscription %s: %w", id, err)
	}
	s, err := decodeSubscription(call.Body)
	if err != nil {
		return nil, fmt.Errorf("changing subscription %s: %w", id, err)
	}
	return &s, nil
}

// HookTest is how a test delivery went.
type HookTest struct {
	SubscriptionID string        `json:"subscription"`
	URL            string        `json:"url"`
	Success        bool          `json:"success"`
	Status         int64         `json:"status_code"` // of the receiver's answer; -1: not stated
	Duration       time.Duration `json:"duration_ns"` // -1: not stated
}

// Test makes the API deliver an invented event, free of charge. The request is made once.
func (w Webhooks) Test(ctx context.Context, id string) (*HookTest, error) {
	call, err := w.send(ctx, http.MethodPost, "/api/subscriptions/"+url.PathEscape(id)+"/test?mode=direct", nil, false)
	if err != nil {
		return nil, fmt.Errorf("test of subscription %s: %w", id, err)
	}
	t := &HookTest{SubscriptionID: id, Status: -1, Duration: -1}
	err = jsonscan.WalkObject(call.Body, func(name string, value json.RawMessage) {
		switch text, _ := jsonscan.ScalarText(value); name {
		case "url":
			t.URL = text
		case "isSuccess":
			t.Success = text == "true"
		case "flowCheck":
			_ = jsonscan.WalkObject(value, func(name string, value json.RawMessage) { // null: not stated
				switch name {
				case "statusCode":
					t.Status = parseCount(value)
				case "durationMs":
					if ms := parseCount(value); ms >= 0 {
						t.Duration = time.Duration(ms) * time.Millisecond
					}
				}
			})
		}
	})
	if err != nil {
		return nil, fmt.Errorf("test of subscription %s: %w", id, err)
	}
	return t, nil
}

// HookOptOuts is the signal type of the subscription to notices of contacts that opt out. Its entity is the account.
const HookOptOuts = "optOut"

// SubscribeOptOuts orders the notices of contacts that opt out. An account can have one such order: the API
// answers 403 to a second.
func (w Webhooks) SubscribeOptOuts(ctx context.Context, hookURL, name string) (*Subscription, error) {
	body := map[string]string{"entityType": string(schema.Contact), "url": hookURL, "name": name}
	call, err := w.send(ctx, http.MethodPost, "/api/subscriptions/opt-out", body, true)
	if err != nil {
		return nil, fmt.Errorf("subscription to opt-out notices: %w", err)
	}
	s, err := decodeSubscription(call.Body)
	if err != nil {
		return nil, fmt.Errorf("subscription to opt-out notices: %w", err)
	}
	return &s, nil
}

// The statuses of attempts that are the last ones of their delivery.
const (
	HookDelivered = "success"
	HookGivenUp   = "permanent_failure"
)

// HookAttempt is an entry of the API's log of deliveries.
type HookAttempt struct {
	ID             string    `json:"id"`
	SubscriptionID string    `json:"subscription"`
	DeliveryID     string    `json:"delivery"`
	URL            string    `json:"url"`
	Status         string    `json:"status"` // HookDelivered, HookGivenUp or failed
	StatusCode     int64     `json:"status_code"`
	DeliveredAt    time.Time `json:"delivered_at"`
	Error          string    `json:"error,omitempty"`
}

// Attempts walks the API's log of deliveries with a status, page by page; empty: of every status. Entries that
// are added meanwhile can make earlier ones occur twice.
func (w Webhooks) Attempts(ctx context.Context, status string) iter.Seq2[HookAttempt, error] {
	return func(yield func(HookAttempt, error) bool) {
		filter := ""
		if status != "" {
			filter = "status=" + url.QueryEscape(status) + "&"
		}
		for offset := 0; ; {
			call, err := w.send(ctx, http.MethodGet, fmt.Sprintf("/api/audit-logs?%slimit=%d&offset=%d", filter, maxHookPage, offset), nil, true)
			if err != nil {
				yield(HookAttempt{}, fmt.Errorf("log of deliveries: %w", err))
				return
			}
			page, err := decodeHookPage(call.Body)
			if err != nil {
				yield(HookAttempt{}, fmt.Errorf("log of deliveries: %w", err))
				return
			}
			for _, value := range page.items {
				a, err := decodeHookAttempt(value)
				if !yield(a, err) || err != nil {
					return
				}
			}
			if offset += len(page.items); page.isLast() {
				return
			}
		}
	}
}

// HookStats are the API's totals of deliveries; -1: not stated.
type HookStats struct {
	Total            int64  `json:"total"`
	Success          int64  `json:"success"`
	Failed           int64  `json:"failed"`
	PermanentFailure int64  `json:"permanent_failure"`
	Credits          int64  `json:"credits"`
	SuccessRate      string `json:"success_rate,omitempty"` // as the API writes it
}

// Stats reads the totals of deliveries.
func (w Webhooks) Stats(ctx context.Context) (*HookStats, error) {
	call, err := w.send(ctx, http.MethodGet, "/api/audit-logs/stats", nil, true)
	if err != nil {
		return nil, fmt.Errorf("totals of deliveries: %w", err)
	}
	s := &HookStats{-1, -1, -1, -1, -1, ""}
	err = jsonscan.WalkObject(call.Body, func(name string, value json.RawMessage) {
		switch name {
		case "total":
			s.Total = parseCount(value)
		case "success":
			s.Success = parseCount(value)
		case "failed":
			s.Failed = parseCount(value)
		case "permanentFailure":
			s.PermanentFailure = parseCount(value)
		case "totalCreditsConsumed":
			s.Credits = parseCount(value)
		case "successRate":
			s.SuccessRate, _ = jsonscan.ScalarText(value)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("totals of deliveries: %w", err)
	}
	return s, nil
}

// Secret reads the secret by which the API signs deliveries; an empty Key: the account has none. The API may
// also refuse to show it.
func (w Webhooks) Secret(ctx context.Context) (Key, error) {
	call, err := w.send(ctx, http.MethodGet, "/api/account/secret", nil, true)
	if refusal := new(RefusalError); errors.As(err, &refusal) && refusal.Class == ClassNotFound {
		return Key{}, nil
	}
	if err != nil {
		return Key{}, fmt.Errorf("signing secret: %w", err)
	}
	return decodeSecret(call.Body)
}

// ReplaceSecret makes the API create a secret, or replace it: the old one is worth nothing from then on. The
// request is made once. After an error that is no refusal, the secret may have been replaced.
func (w Webhooks) ReplaceSecret(ctx context.Context) (Key, error) {
	call, err := w.send(ctx, http.MethodPost, "/api/account/secret/regenerate", nil, false)
	if err != nil {
		return Key{}, fmt.Errorf("new signing secret: %w", err)
	}
	return decodeSecret(call.Body)
}

// Reveal gives the text of a signing secret, for the file that the receiver reads.
func (k Key) Reveal() string {
	if k.text == nil {
		return ""
	}
	return *k.text
}

// decodeSecret reads an answer without showing any of it.
func decodeSecret(body []byte) (k Key, err error) {
	err = jsonscan.WalkObject(body, func(name string, value json.RawMessage) {
		if text, ok := jsonscan.ScalarText(value); ok && name == "secret" {
			k = NewKey(text)
		}
	})
	if err != nil || k.IsEmpty() {
		return Key{}, errors.New("signing secret: the answer states none")
	}
	return k, nil
}

const (
	// maxHookAttempts is how often a request is made that fails for a moment.
	maxHookAttempts = 6
	// maxHookRefusals is how often a request is made that exceeds the quota, which others may use, too.
	maxHookRefusals = 10
)

// send makes a request. It repeats one that never left, or that the API refused for the moment; one that may
// have been carried out only if repeating it changes nothing.
func (w Webhooks) send(ctx context.Context, method, path string, body any, repeatable bool) (*pipeline.Call, error) {
	c := w.client
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	for try, refusals := 1, 0; ; {
		if !c.hookLimiter.acquire(ctx) {
			return nil, context.Cause(ctx)
		}
		call := &pipeline.Call{Attempt: try, Endpoint: method + " " + path}
		c.sendRequest(context.WithoutCancel(ctx), method, path, text, call, bodyReader{limit: maxFreeAnswer}) // it ends by its own time-out
		if c.onFreeRequest != nil && call.Outcome != pipeline.NotCharged {                                    // otherwise it never left
			c.onFreeRequest(1)
		}
		if call.Rate.Minute.Limit == HooksPerMinute {
			c.hookLimiter.observe(call.Rate.Minute.Used)
		}
		v := classifyCall(call)
		switch {
		case call.Status/100 == 2 && call.Problem == "" && v.Status == call.Status:
			return call, nil
		case call.Status/100 == 2 && call.Problem != "":
			v.Message = call.Problem
		}
		delay := max(time.Duration(rand.Float64()*float64(time.Second<<(try-1))), v.RetryAfter)
		switch refused := v.Class == ClassRateBurst; {
		case refused && refusals < maxHookRefusals && v.RetryAfter <= time.Minute:
			refusals++
			c.hookLimiter.hold(max(v.RetryAfter, hookPause))
			continue
		case refused, try == maxHookAttempts, !isTransient(v.Class), !repeatable && v.Class != ClassUnsent, delay > time.Minute:
			return nil, &RefusalError{v}
		case !policy.Sleep(ctx, delay):
			return nil, context.Cause(ctx)
		}
		try++
	}
}

// hookPause is how long no request is made after one exceeded the quota without a statement for how long.
const hookPause = 10 * time.Second

// hookPage is a page of a list. Numbers that are not stated are -1.
type hookPage struct {
	items   []json.RawMessage
	total   int64
	hasMore string // as stated; empty: it is not
}

func (p *hookPage) isLast() bool { return len(p.items) == 0 || p.hasMore == "false" }

// decodeHookPage reads a list under either of its names for pages.
func decodeHookPage(body []byte) (*hookPage, error) {
	p := &hookPage{total: -1}
	listed := false
	err := jsonscan.WalkObject(body, func(name string, value json.RawMessage) {
		switch name {
		case "data":
			listed = true
			for item := range jsonscan.Elements(value) {
				p.items = append(p.items, item)
			}
		case "pagination":
			_ = jsonscan.WalkObject(value, func(name string, value json.RawMessage) { // null: not stated
				switch name {
				case "total":
					p.total = parseCount(value)
				case "hasMore":
					p.hasMore, _ = jsonscan.ScalarText(value)
				}
			})
		}
	})
	if err == nil && !listed {
		err = fmt.Errorf("the answer has no list: %s", truncateText(string(body), 200))
	}
	return p, err
}

func decodeSubscription(body []byte) (s Subscription, err error) {
	err = jsonscan.WalkObject(body, func(name string, value json.RawMessage) {
		text, _ := jsonscan.ScalarText(value)
		switch name {
		case "id":
			s.ID = text
		case "entityType":
			s.Object = schema.Object(text)
		case "entityId":
			s.EntityID = text
		case "signalTypes":
			s.Signals = readAllTexts(value)
		case "url":
			s.URL = text
		case "name":
			s.Name = text
		case "isActive":
			s.Active = text == "true"
		case "blockReason":
			s.BlockReason = text
		case "blockedAt":
			s.BlockedAt = parseHookTime(text)
		case "createdAt":
			s.CreatedAt = parseHookTime(text)
		}
	})
	if err == nil && s.ID == "" {
		err = fmt.Errorf("a subscription without an id: %s", truncateText(string(body), 200))
	}
	return s, err
}

// parseHookTime reads a time; zero: it is none.
func parseHookTime(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// decodeHookResults reads what became of n items. An item without a result is an error of that item.
func decodeHookResults(body []byte, n int) ([]HookResult, error) {
	results := make([]HookResult, n)
	for i := range results {
		results[i] = HookResult{Code: "NO_RESULT", Message: "the answer does not mention it"}
	}
	listed := false
	err := jsonscan.WalkObject(body, func(name string, value json.RawMessage) {
		if name != "results" {
			return
		}
		listed = true
		position := 0
		for element := range jsonscan.Elements(value) {
			i, r := decodeHookResult(element, position)
			if position++; 0 <= i && i < n {
				results[i] = r
			}
		}
	})
	if err == nil && !listed {
		err = fmt.Errorf("the answer has no results: %s", truncateText(string(body), 200))
	}
	return results, err
}

// decodeHookResult reads the result of an item, and which one it is: by its index, or else by its position.
func decodeHookResult(body []byte, position int) (i int, r HookResult) {
	i = position
	success := ""
	_ = jsonscan.WalkObject(body, func(name string, value json.RawMessage) {
		switch name {
		case "index":
			if text, _ := jsonscan.ScalarText(value); text != "" {
				if n, err := strconv.Atoi(text); err == nil {
					i = n
				}
			}
		case "success":
			success, _ = jsonscan.ScalarText(value)
		case "subscription":
			if s, err := decodeSubscription(value); err == nil {
				r.Subscription = &s
			}
		case "error":
			r.Code, r.Message = decodeHookError(value)
		}
	})
	if success == "false" && r.Code == "" {
		r.Code = "UNKNOWN_ERROR"
	}
	return i, r
}

func decodeHookError(value json.RawMessage) (code, message string) {
	if jsonscan.IsNull(value) {
		return "", ""
	}
	code, message = "UNKNOWN_ERROR", ""
	if text, ok := jsonscan.ScalarText(value); ok {
		return code, text
	}
	_ = jsonscan.WalkObject(value, func(name string, value json.RawMessage) {
		switch text, _ := jsonscan.ScalarText(value); name {
		case "code":
			code = text
		case "message":
			message = text
		}
	})
	return code, message
}

func decodeHookAttempt(body []byte) (a HookAttempt, err error) {
	a.StatusCode = -1
	err = jsonscan.WalkObject(body, func(name string, value json.RawMessage) {
		text, _ := jsonscan.ScalarText(value)
		switch name {
		case "id":
			a.ID = text
		case "subscriptionId":
			a.SubscriptionID = text
		case "payloadId":
			a.DeliveryID = text
		case "url":
			a.URL = text
		case "status":
			a.Status = text
		case "statusCode":
			a.StatusCode = parseCount(value)
		case "deliveredAt":
			a.DeliveredAt = parseHookTime(text)
		case "error":
			a.Error = text
		}
	})
	return a, err
}
