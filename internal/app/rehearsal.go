package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// SimulatedKey is the API key of every simulated request. A rehearsal has no other.
const SimulatedKey = "simulated-key"

// Rehearse makes the command's day another one than the machine's: Now shows the day at the present
// time of day, and continues from there. A rehearsal has only simulated lakes, and only a simulator
// for an API: what is dated by an invented day must not mix with what was bought.
func (e *Env) Rehearse(day time.Time) {
	now, started := e.Now().UTC(), time.Now()
	begin := day.UTC().Truncate(24 * time.Hour).Add(now.Sub(now.Truncate(24 * time.Hour)))
	e.Now = func() time.Time { return begin.Add(time.Since(started)) }
	e.rehearsedDay = day.UTC().Format(time.DateOnly)
}

// Rehearses reports whether the command's day is another one than the machine's.
func (e *Env) Rehearses() bool { return e.rehearsedDay != "" }

// clientClock is the clock by which calls are dated, and the rate windows counted: the machine's, but
// for a rehearsal.
func (e *Env) clientClock() func() time.Time {
	if e.Rehearses() {
		return e.Now
	}
	return time.Now
}

// isSimulated reports whether the answers are invented.
func (j *Job) isSimulated() bool { return j.API.Simulate || j.env.Rehearses() }

// checkRehearsal keeps a rehearsal away from a lake of real answers.
func (l *lake) checkRehearsal() error {
	if !l.env.Rehearses() {
		return nil
	}
	for _, r := range l.ledger.Runs() {
		if !r.Simulated {
			return UsageErrorf("--as-of %s: the lake %s holds answers that were not bought with --simulate or --as-of; a rehearsal needs a lake of its own", l.env.rehearsedDay, l.uri)
		}
	}
	return nil
}

// OpenRehearsal gives the simulator at an address. Whatever is there gets no key but SimulatedKey.
func OpenRehearsal(ctx context.Context, env *Env, o APIOptions) (Endpoint, error) {
	what := ""
	switch {
	case o.KeyFile != "":
		return Endpoint{}, UsageErrorf("--as-of %s sends no API key: omit --api-key-file", env.rehearsedDay)
	case o.BaseURL == DefaultAPI().BaseURL: // the vendor is not asked
		what = "it is the vendor's"
	default:
		if err := askSimulator(ctx, env, o.BaseURL); err != nil {
			what = err.Error()
		}
	}
	if what != "" {
		return Endpoint{}, UsageErrorf("--as-of %s applies to simulated lakes only: add --simulate, or name a running siglake simulate with --base-url; the present address is no simulator's: %s", env.rehearsedDay, what)
	}
	return Endpoint{BaseURL: o.BaseURL, Key: SimulatedKey, Close: func() {}}, nil
}

// askSimulator checks, without a key, that a simulator answers at an address.
func askSimulator(ctx context.Context, env *Env, baseURL string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(baseURL, "/")+"/_simulator/clock", http.NoBody)
	if err != nil {
		return errors.New("the address is not a URL") // the parser's error may quote a password
	}
	req.Close = true
	transport := env.Transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer struct {
		Simulator string `json:"simulator"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 4<<10)).Decode(&answer); err != nil || resp.StatusCode != http.StatusOK || answer.Simulator != "siglake" {
		return fmt.Errorf("it answers %d to GET /_simulator/clock", resp.StatusCode)
	}
	return nil
}
