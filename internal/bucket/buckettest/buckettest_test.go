package buckettest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// TestStart also builds the stores before other tests need them.
func TestStart(t *testing.T) {
	real, fake := Start(t), StartFake(t)
	if real.URL == fake.URL {
		t.Errorf("both stores are at %s", real.URL)
	}
	for _, c := range []struct {
		store *Store
		want  int // for a request without credentials
	}{{real, http.StatusForbidden}, {fake, http.StatusOK}} {
		answer, err := http.Get(c.store.URL + "/" + c.store.Bucket)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if answer.StatusCode != c.want {
			t.Errorf("GET %s = %s, want %d", c.store.URL, answer.Status, c.want)
		}
	}
}

func TestProxy(t *testing.T) {
	var seen atomic.Int32
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Add(1)
		io.WriteString(w, "an answer to "+r.Host)
	}))
	defer store.Close()
	for name, c := range map[string]struct {
		fault Fault
		// Status and body; or "reset", with what came before it.
		want string
		seen int32
	}{
		"none":       {Fault{}, "200 an answer to HOST", 1},
		"reset":      {Reset, "reset", 0},
		"lost":       {ResetLate, "reset", 1},
		"slow down":  {SlowDown, "503 <Code>SlowDown</Code>", 0},
		"late error": {InternalLate, "500 <Code>InternalError</Code>", 1},
		"in 200":     {ErrorIn200, "200 <Code>InternalError</Code>", 0},
		"cut":        {CutAfter(5), "reset 200 an an", 1},
	} {
		t.Run(name, func(t *testing.T) {
			for _, over := range []func(testing.TB, *Store, func(*http.Request) Fault) *Store{StartProxy, StartTLSProxy} {
				seen.Store(0)
				front := over(t, &Store{URL: store.URL}, FaultOnce(http.MethodPost, c.fault))
				client := front.Client
				if client == nil {
					client = http.DefaultClient
				}
				got := postTo(client, front.URL)
				if !strings.Contains(got, strings.ReplaceAll(c.want, "HOST", strings.Split(front.URL, "/")[2])) && !isErrorBody(got, c.want) {
					t.Errorf("POST = %q, want %q", got, c.want)
				}
				if seen.Load() != c.seen {
					t.Errorf("the store saw %d requests, want %d", seen.Load(), c.seen)
				}
				if got := postTo(client, front.URL); !strings.HasPrefix(got, "200 an answer") {
					t.Errorf("the second POST = %q, want an answer", got)
				}
			}
		})
	}
}

func postTo(client *http.Client, url string) string {
	answer, err := client.Post(url, "text/plain", strings.NewReader("a question"))
	if err != nil {
		return "reset"
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	got := answer.Status[:3] + " " + string(body)
	if err != nil {
		return "reset " + got
	}
	return got
}

// isErrorBody compares an XML answer by status and code.
func isErrorBody(got, want string) bool {
	status, code, _ := strings.Cut(want, " ")
	return strings.HasPrefix(code, "<Code>") && strings.HasPrefix(got, status) && strings.Contains(got, code)
}
