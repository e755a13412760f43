package signals

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/siglake/siglake/pipeline"
)

// errUsageLimit says that the usage endpoint's own quota is used up.
var errUsageLimit = errors.New("asked five times within the last minute, which is all that the API allows")

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
	c.sendRequest(limited, http.MethodGet, "/v3/account/usage", nil, call)
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

// isReady reports whether acquire would return at once.
func (l *usageLimiter) isReady() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Until(l.requests[l.oldest].Add(time.Minute+time.Second)) <= 0
}
