package notify

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// server answers with codes in turn, the last one for ever; 0 is a broken connection.
type server struct {
	codes []int
	got   []string // method, address, content type and body
}

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	s.got = append(s.got, r.Method+" "+r.URL.String()+" "+r.Header.Get("Content-Type")+" "+string(body))
	code := s.codes[0]
	if len(s.codes) > 1 {
		s.codes = s.codes[1:]
	}
	if code == 0 {
		return nil, errors.New("broken")
	}
	return &http.Response{StatusCode: code, Header: http.Header{"Location": {"https://elsewhere.example/"}}, Body: io.NopCloser(strings.NewReader("OK")), Request: r}, nil
}

func TestSend(t *testing.T) {
	t.Parallel()
	m := Message{ExitCode: 20, RunID: "rid-1", Title: "job <a>: exit 20", Text: "summary\n", Document: map[string]int{"exit_code": 20}}
	const address = "https://hc.example/ping/secret?create=1"
	for _, c := range []struct {
		event        Event
		format, want string
	}{
		{Start, "healthchecks", "POST https://hc.example/ping/secret/start?create=1&rid=rid-1 text/plain; charset=utf-8 summary\n"},
		{Success, "healthchecks", "POST https://hc.example/ping/secret?create=1&rid=rid-1 text/plain; charset=utf-8 summary\n"},
		{Failure, "healthchecks", "POST https://hc.example/ping/secret/20?create=1&rid=rid-1 text/plain; charset=utf-8 summary\n"},
		{Alarm, "healthchecks", "POST https://hc.example/ping/secret/fail?create=1&rid=rid-1 text/plain; charset=utf-8 summary\n"},
		{Failure, "json", `POST https://hc.example/ping/secret?create=1 application/json {"exit_code":20}`},
		{Failure, "slack", `POST https://hc.example/ping/secret?create=1 application/json {"text":"job \u0026lt;a\u0026gt;: exit 20"}`},
	} {
		s := &server{codes: []int{200}}
		m.Event = c.event
		if err := (&Sender{Transport: s}).Send(t.Context(), address, c.format, &m); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{c.want}, s.got); diff != "" {
			t.Errorf("%s, %s (-want +got):\n%s", c.event, c.format, diff)
		}
	}
}

// TestSendAgain: what may pass is tried three times, with growing pauses; no error has the address.
func TestSendAgain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		codes  []int
		tries  int
		pauses []time.Duration
		err    string
	}{
		{"at once", []int{204}, 1, nil, ""},
		{"second", []int{503, 200}, 2, []time.Duration{2 * time.Second}, ""},
		{"third", []int{0, 429, 200}, 3, []time.Duration{2 * time.Second, 4 * time.Second}, ""},
		{"never", []int{0}, 3, []time.Duration{2 * time.Second, 4 * time.Second}, "broken"},
		{"gone", []int{404}, 1, nil, "HTTP 404"},
		{"redirect", []int{302}, 1, nil, "HTTP 302"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := &server{codes: c.codes}
			var pauses []time.Duration
			sender := Sender{Transport: s, Sleep: func(_ context.Context, d time.Duration) bool {
				pauses = append(pauses, d)
				return true
			}}
			err := sender.Send(t.Context(), "https://hc.example/secret", "healthchecks", &Message{Event: Success})
			if text := errorText(err); text != c.err || len(s.got) != c.tries || !cmp.Equal(pauses, c.pauses) {
				t.Errorf("Send() = %q after %d attempts with pauses %v, want %q, %d, %v", text, len(s.got), pauses, c.err, c.tries, c.pauses)
			}
		})
	}
	s := &server{codes: []int{500}}
	stopped := Sender{Transport: s, Sleep: func(context.Context, time.Duration) bool { return false }}
	if err := stopped.Send(t.Context(), "https://hc.example/secret", "json", &Message{}); err == nil || len(s.got) != 1 {
		t.Errorf("stopped in a pause: %v after %d attempts, want an error after one", err, len(s.got))
	}
	if err := stopped.Send(t.Context(), "%zz://secret", "json", &Message{}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("Send to no address = %v, want an error without it", err)
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestCut(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", maxText)
	if got := cut(long, maxText); len(got) != maxText || !utf8.ValidString(got) {
		t.Errorf("cut: %d bytes, valid %t", len(got), utf8.ValidString(got))
	}
	if got := cut("x"+long, maxText); len(got) != maxText-1 || !utf8.ValidString(got) {
		t.Errorf("cut inside a character: %d bytes, valid %t", len(got), utf8.ValidString(got))
	}
	if got := cut("short", maxText); got != "short" {
		t.Errorf("cut = %q", got)
	}
}
