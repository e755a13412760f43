package lusha

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siglake/siglake/internal/lusha/lushatest"
	"github.com/siglake/siglake/pipeline"
)

// transportFunc answers requests without a network.
type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// clientFor is a client whose every answer has a body. Zero values of cfg mean the defaults.
func clientFor(t *testing.T, cfg Config, body func(*http.Request) io.Reader) *Client {
	t.Helper()
	cfg.BaseURL, cfg.Key = "https://api.test", NewKey(canaryKey)
	cfg.Transport = transportFunc(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{}, ContentLength: -1, Body: io.NopCloser(body(r))}, nil
	})
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// paddedAnswer is paidAnswer with n more bytes.
func paddedAnswer(n int) string {
	return strings.TrimSuffix(paidAnswer, "}") + `,"padding":"` + strings.Repeat("x", n) + `"}`
}

// TestPieces: an answer that is longer than a piece is recorded while it is read, none of it is
// lost, and a key that it quotes is in no piece, wherever it stands.
func TestPieces(t *testing.T) {
	t.Parallel()
	for _, keyAt := range []int{100, extendBytes - len(canaryKey), extendBytes - len(canaryKey)/2, extendBytes - 1, extendBytes, 2*extendBytes - 3, 3*extendBytes - len(canaryKey) - 200} {
		text := []byte(paddedAnswer(3*extendBytes - 200))
		copy(text[max(keyAt, len(paidAnswer)+20):], canaryKey)
		c := clientFor(t, Config{PieceBytes: 1000}, func(*http.Request) io.Reader { return bytes.NewReader(text) })
		b := lushatest.Companies(1)
		var got []byte
		pieces := 0
		b.Spill = func(piece []byte) error {
			pieces++
			got = append(got, piece...)
			return nil
		}
		reply, err := c.Fetch(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		call := &reply.Calls[0]
		got = append(got, call.Body...)
		want := bytes.ReplaceAll(text, []byte(canaryKey), []byte(redactedText))
		if !bytes.Equal(got, want) || call.Problem != "" || call.Cut || pieces < 3 || len(call.Body) >= extendBytes {
			t.Errorf("key at %d: %d bytes in %d pieces, the last of %d, equal %v, %q, want %d bytes in 3 pieces or more",
				keyAt, len(got), pieces, len(call.Body), bytes.Equal(got, want), call.Problem, len(want))
		}
	}
}

// TestPieceFails: what cannot be recorded is not read on.
func TestPieceFails(t *testing.T) {
	t.Parallel()
	c := clientFor(t, Config{PieceBytes: 1000}, func(*http.Request) io.Reader { return strings.NewReader(paddedAnswer(5 << 20)) })
	b := lushatest.Companies(1)
	tries := 0
	b.Spill = func([]byte) error { tries++; return errors.New("disk full") }
	reply, err := c.Fetch(t.Context(), b)
	if err != nil || tries != 1 || !reply.Calls[0].Cut || !strings.Contains(reply.Calls[0].Problem, "disk full") {
		t.Errorf("Fetch() = %+v, %v, %d pieces, want a cut answer after one", reply.Calls, err, tries)
	}
}

// TestLimitFollowsBatch: an answer is read as far as it can be one to the batch, and further than
// the limit for small ones.
func TestLimitFollowsBatch(t *testing.T) {
	t.Parallel()
	b := lushatest.Companies(100)
	b.ResultBytes = 300
	possible := b.PossibleBytes()
	for _, tt := range []struct {
		length int64
		cut    bool
	}{{possible, false}, {4 * possible, false}, {4*possible + 1, true}} {
		text := paddedAnswer(int(tt.length) - len(paddedAnswer(0)))
		c := clientFor(t, Config{MaxAnswerBytes: 1000}, func(*http.Request) io.Reader { return strings.NewReader(text) })
		reply, err := Decode(c).Fetch(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		call, want := &reply.Calls[0], pipeline.Charged
		if tt.cut {
			want = pipeline.InDoubt
		}
		if call.Outcome != want || call.Cut != tt.cut {
			t.Errorf("%d bytes, %d possible: %s, cut %v (%s), want %s, %v", tt.length, possible, call.Outcome, call.Cut, call.Problem, want, tt.cut)
		}
	}
}

// slowBody sends chunks with a pause before each one, until the request ends.
type slowBody struct {
	ctx   context.Context
	text  []byte
	chunk int
	pause time.Duration
}

func (s *slowBody) Read(p []byte) (int, error) {
	if len(s.text) == 0 {
		return 0, io.EOF
	}
	select {
	case <-time.After(s.pause):
	case <-s.ctx.Done():
		return 0, context.Cause(s.ctx)
	}
	n := copy(p[:min(len(p), s.chunk)], s.text)
	s.text = s.text[n:]
	return n, nil
}

// TestSlowAnswer: a long answer that arrives steadily is read to its end, however long it takes;
// one that drips is cut by the time-out.
func TestSlowAnswer(t *testing.T) {
	for _, tt := range []struct {
		name  string
		bytes int
		pause time.Duration
		want  pipeline.Outcome
	}{
		{"steady", 8 << 20, 10 * time.Millisecond, pipeline.Charged}, // 512 bytes a pause: 20 s a MiB
		{"drips", 8 << 20, 100 * time.Millisecond, pipeline.InDoubt},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := []byte(paddedAnswer(tt.bytes))
			synctest.Test(t, func(t *testing.T) {
				c := clientFor(t, Config{}, func(r *http.Request) io.Reader { return &slowBody{r.Context(), text, 512, tt.pause} })
				reply, err := Decode(c).Fetch(t.Context(), lushatest.Companies(1))
				if err != nil {
					t.Fatal(err)
				}
				if call := &reply.Calls[0]; call.Outcome != tt.want || call.Cut == (tt.want == pipeline.Charged) {
					t.Errorf("after %s: %s, cut %v, %q, want %s", call.Duration, call.Outcome, call.Cut, call.Problem, tt.want)
				}
			})
		})
	}
}

// TestEventsNotCopied: a long answer that is mostly events is not held twice.
func TestEventsNotCopied(t *testing.T) {
	t.Parallel()
	for _, padding := range []int{0, maxKeptBody} {
		text := []byte(`{"companies":{"1001":{"surgeInHiring":[{"signalId":"7","text":"` + strings.Repeat("x", maxKeptBody) + `"}]}},"creditCharged":1,"padding":"` + strings.Repeat("x", padding) + `"}`)
		inner := fetcherFunc(func(_ context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
			reply := pipeline.NewReply(b, "not decoded")
			reply.Calls = []pipeline.Call{{ID: "1", Status: 200, Outcome: pipeline.InDoubt, Body: text}}
			return reply, nil
		})
		reply, err := Decode(inner).Fetch(t.Context(), lushatest.Companies(1))
		if err != nil || len(reply.Items[0].Events) != 1 || reply.Calls[0].Body != nil || reply.Calls[0].AnswerBytes() != int64(len(text)) {
			t.Fatalf("Fetch() = %+v, %v", reply.Items, err)
		}
		raw := reply.Items[0].Events[0].Raw
		text[bytes.IndexByte(text, 'x')] = 'y'
		if shared := bytes.IndexByte(raw, 'y') >= 0; shared != (padding == 0) {
			t.Errorf("%d bytes of padding: the event is within the answer: %t, want %t", padding, shared, padding == 0)
		}
	}
}

// TestLongAnswerFreed: of a long answer that was read, its events and its length are kept.
func TestLongAnswerFreed(t *testing.T) {
	t.Parallel()
	for _, padding := range []int{10, maxKeptBody} {
		text := paddedAnswer(padding)
		c := clientFor(t, Config{}, func(*http.Request) io.Reader { return strings.NewReader(text) })
		reply, err := Decode(c).Fetch(t.Context(), lushatest.Companies(1))
		if err != nil {
			t.Fatal(err)
		}
		call := &reply.Calls[0]
		if call.AnswerBytes() != int64(len(text)) || (call.Body == nil) != (padding > 10) {
			t.Errorf("%d bytes: noted as %d, %d kept", len(text), call.AnswerBytes(), len(call.Body))
		}
		if events := reply.Items[0].Events; len(events) != 1 || string(events[0].Raw) != `{"signalId":"7"}` {
			t.Errorf("events = %+v", events)
		}
	}
}

// TestBodyFits: an answer is held in a buffer of its own length, whether its length is announced or
// not, and later answers do not change it.
func TestBodyFits(t *testing.T) {
	t.Parallel()
	for _, announced := range []bool{true, false} {
		var answers [3][]byte
		c := clientFor(t, Config{}, func(*http.Request) io.Reader { return nil })
		for i, n := range []int{300_000, 1_000_000, 70_000} {
			text := []byte(paddedAnswer(n))
			c.transport = transportFunc(func(*http.Request) (*http.Response, error) {
				length := int64(-1)
				if announced {
					length = int64(len(text))
				}
				return &http.Response{StatusCode: 200, Header: http.Header{}, ContentLength: length, Body: io.NopCloser(bytes.NewReader(text))}, nil
			})
			reply, err := c.Fetch(t.Context(), lushatest.Companies(1))
			if err != nil {
				t.Fatal(err)
			}
			body := reply.Calls[0].Body
			if answers[i] = body; !bytes.Equal(body, text) || cap(body) > len(body)+len(body)/4 {
				t.Errorf("announced %t: %d bytes in a buffer of %d, equal %t", announced, len(body), cap(body), bytes.Equal(body, text))
			}
		}
		if first := []byte(paddedAnswer(300_000)); !bytes.Equal(answers[0], first) {
			t.Errorf("announced %t: the first answer has changed", announced)
		}
	}
}

// TestAnnouncedTooMuch: an answer that announces more than it may have takes no more memory than it
// brings.
func TestAnnouncedTooMuch(t *testing.T) {
	t.Parallel()
	c := clientFor(t, Config{}, func(*http.Request) io.Reader { return nil })
	c.transport = transportFunc(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{}, ContentLength: 1 << 50, Body: io.NopCloser(strings.NewReader(paidAnswer))}, nil
	})
	reply, err := c.Fetch(t.Context(), lushatest.Companies(1))
	if call := &reply.Calls[0]; err != nil || !call.Cut || cap(call.Body) > 1<<10 {
		t.Errorf("Fetch() = %q, cut %t, a buffer of %d bytes, %v", call.Problem, call.Cut, cap(call.Body), err)
	}
}
