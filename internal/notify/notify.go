// Package notify tells a monitor or a chat how a job fares, by one POST each: the pings of
// healthchecks.io and its kin, a JSON document, or a message of Slack.
//
// An address is a secret: it allows to report in the job's name. No error repeats it.
package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/siglake/siglake/internal/policy"
)

// Event is what a notification is about.
type Event string

// The events.
const (
	Start   Event = "start"
	Success Event = "success"
	Failure Event = "failure"
	Warning Event = "warning" // besides the end, which it does not change
	Alarm   Event = "alarm"   // of a command that has no end
)

// Message is a notification, in every form that a format may need.
type Message struct {
	Event    Event
	ExitCode int
	RunID    string // a UUID, the same for the start and the end of a job; empty: it is about no job
	Title    string // one line
	Text     string // for people
	Document any    // for machines
}

// Sender sends notifications.
type Sender struct {
	// Transport carries requests. Nil: the network.
	Transport http.RoundTripper
	// Sleep waits between attempts, and reports whether the time has passed before ctx ended. Nil:
	// policy.Sleep.
	Sleep func(ctx context.Context, d time.Duration) bool
}

const (
	timeout  = 10 * time.Second // of one attempt
	attempts = 3
	backoff  = 2 * time.Second // before the second attempt; it doubles
	// maxText is the length in bytes of a text that healthchecks.io keeps.
	maxText = 100_000
)

// Send posts a message to an address in a format: healthchecks, json or slack. What a later attempt
// may mend is tried three times.
func (s *Sender) Send(ctx context.Context, address, format string, m *Message) error {
	target, body, contentType, err := request(address, format, m)
	if err != nil {
		return err
	}
	sleep := s.Sleep
	if sleep == nil {
		sleep = policy.Sleep
	}
	for n, wait := 1, backoff; ; n, wait = n+1, 2*wait {
		again, err := s.post(ctx, target, body, contentType)
		if err == nil || !again || n == attempts {
			return err
		}
		if !sleep(ctx, wait) {
			return err
		}
	}
}

// request is what is posted where.
func request(address, format string, m *Message) (target string, body []byte, contentType string, err error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "", nil, "", errors.New("the address is not valid")
	}
	switch format {
	case "json":
		body, err = json.Marshal(m.Document)
		return u.String(), body, "application/json", err
	case "slack":
		text := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(m.Title)
		body, err = json.Marshal(map[string]string{"text": text})
		return u.String(), body, "application/json", err
	}
	switch m.Event {
	case Start:
		u = u.JoinPath("start")
	case Failure:
		u = u.JoinPath(strconv.Itoa(m.ExitCode))
	case Warning:
		u = u.JoinPath("log")
	case Alarm:
		u = u.JoinPath("fail")
	}
	if m.RunID != "" {
		q := u.Query()
		q.Set("rid", m.RunID)
		u.RawQuery = q.Encode()
	}
	return u.String(), []byte(cut(m.Text, maxText)), "text/plain; charset=utf-8", nil
}

// cut is the beginning of a text, of at most so many bytes.
func cut(text string, length int) string {
	if len(text) <= length {
		return text
	}
	for length > 0 && !utf8.RuneStart(text[length]) {
		length--
	}
	return text[:length]
}

// post makes one attempt, and reports whether another one may help.
func (s *Sender) post(ctx context.Context, target string, body []byte, contentType string) (again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return false, errors.New("the address is not valid")
	}
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("User-Agent", "siglake")
	client := http.Client{Transport: s.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(r)
	if err != nil {
		var wrapped *url.Error // which repeats the address
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return true, err
	}
	defer answer.Body.Close()                                      //nolint:errcheck // it was only read
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<16)) // so that the connection ends in order
	switch code := answer.StatusCode; {
	case code < 300:
		return false, nil
	case code >= 500 || code == http.StatusTooManyRequests || code == http.StatusRequestTimeout:
		return true, fmt.Errorf("HTTP %d", code)
	default:
		return false, fmt.Errorf("HTTP %d", code)
	}
}
