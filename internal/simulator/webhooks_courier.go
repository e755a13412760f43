package simulator

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// courier makes the requests to the customer's URLs. It holds no state.
type courier struct {
	client   http.Client
	switches *Switches
	timeout  time.Duration
}

const (
	webhookAgent = "Lusha-Webhooks/1.0"
	// maxAcknowledgement is how much of an answer is read, in bytes.
	maxAcknowledgement = 64 << 10
)

func newCourier(s *Server) courier {
	return courier{switches: s.switches, timeout: s.config.deliveryTimeout(), client: http.Client{
		Transport:     s.config.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// attemptResult is how an attempt ended.
type attemptResult struct {
	status  int // 0: no answer
	problem string
}

func (o attemptResult) acknowledged() bool { return o.problem == "" }

// signature returns the signature of a delivery, in hexadecimal.
func signature(secret, stamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(stamp + "."))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// post sends the body of a delivery and reads its acknowledgement.
func (c *courier) post(ctx context.Context, a *attempt, stamp string, body []byte) attemptResult {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	resp, err := c.postSigned(ctx, a, stamp, body)
	if err != nil {
		return attemptResult{problem: problemOf(ctx, err)}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAcknowledgement))
	switch {
	case err != nil:
		return attemptResult{resp.StatusCode, problemOf(ctx, err)}
	case resp.StatusCode/100 != 2:
		return attemptResult{resp.StatusCode, fmt.Sprintf("HTTP %d", resp.StatusCode)}
	case c.switches.Acknowledgement == "strict":
		return attemptResult{resp.StatusCode, checkAcknowledgement(text, a.id)}
	}
	return attemptResult{status: resp.StatusCode}
}

func (c *courier) postSigned(ctx context.Context, a *attempt, stamp string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url, bytes.NewReader(c.distort(body)))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", webhookAgent)
	req.Header.Set("X-Lusha-Timestamp", stamp)
	req.Header.Set("X-Lusha-Signature", signature(a.secret, stamp, body))
	return c.client.Do(req)
}

// problemOf says why there was no answer, without addresses and ports, which differ from run to run.
func problemOf(ctx context.Context, err error) string {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return "timeout"
	}
	return "no answer: " + rootOf(err).Error()
}

func rootOf(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// checkAcknowledgement returns what a 2xx lacks in order to be the documented acknowledgement.
func checkAcknowledgement(text []byte, id string) string {
	var answer struct {
		Received  bool
		Timestamp string
		WebhookID *string
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return "the acknowledgement is not JSON"
	}
	_, err := time.Parse(time.RFC3339, answer.Timestamp)
	switch {
	case !answer.Received:
		return "the acknowledgement does not say received"
	case err != nil:
		return "the acknowledgement has no timestamp"
	case answer.WebhookID == nil || id != "" && *answer.WebhookID != id:
		return "the acknowledgement does not repeat the id"
	}
	return ""
}

// challenge asks a URL to repeat a text.
func (c *courier) challenge(ctx context.Context, address, challenge string) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	query := u.Query()
	query.Set("challenge", challenge)
	u.RawQuery = query.Encode()
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", webhookAgent)
	resp, err := c.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer struct{ Challenge string }
	err = json.NewDecoder(io.LimitReader(resp.Body, maxAcknowledgement)).Decode(&answer)
	switch {
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("status %d, want 200", resp.StatusCode)
	case err != nil:
		return fmt.Errorf("the answer is not JSON: %w", err)
	case answer.Challenge != challenge:
		return fmt.Errorf("the answer does not repeat the challenge")
	}
	return nil
}

// distort returns a body as a proxy on the way leaves it.
func (c *courier) distort(body []byte) []byte {
	switch c.switches.Delivery {
	case "re-indented":
		var out bytes.Buffer
		if json.Indent(&out, body, "", "  ") == nil {
			return out.Bytes()
		}
	case "re-encoded":
		var v map[string]any
		dec := json.NewDecoder(bytes.NewReader(body))
		dec.UseNumber()
		if dec.Decode(&v) == nil {
			if out, err := json.Marshal(v); err == nil {
				return out
			}
		}
	}
	return body
}
