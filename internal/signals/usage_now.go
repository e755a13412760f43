package signals

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/siglake/siglake/pipeline"
)

// errUsagePace says that the usage endpoint's own quota is used up.
var errUsagePace = errors.New("asked five times within the last minute, which is all that the API allows")

// UsageNow is Usage for who would rather not know than wait: it makes one
// attempt, and none when that would have to wait.
func (c *Client) UsageNow(ctx context.Context) (*Usage, error) {
	if !c.usage.free() {
		return nil, fmt.Errorf("account usage: %w", errUsagePace)
	}
	if !c.usage.turn(ctx) {
		return nil, context.Cause(ctx)
	}
	call := &pipeline.Call{Attempt: 1, Endpoint: "GET /v3/account/usage"}
	limited, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	c.exchange(limited, http.MethodGet, "/v3/account/usage", nil, call)
	if c.count != nil && call.Outcome != pipeline.NotCharged { // otherwise it never left
		c.count(1)
	}
	if v := verdictOf(call); call.Status/100 != 2 || call.Problem != "" || v.Status != call.Status {
		return nil, fmt.Errorf("account usage: %w", &RefusalError{v})
	}
	u, err := decodeUsage(call.Body)
	if err != nil {
		return nil, fmt.Errorf("account usage: %w", err)
	}
	return u, nil
}

// free reports whether turn would not have to wait.
func (p *pace) free() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Until(p.sent[p.next].Add(time.Minute+time.Second)) <= 0
}
