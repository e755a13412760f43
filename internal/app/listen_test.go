package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siglake/siglake/internal/inbox"
	"github.com/siglake/siglake/internal/receiver"
)

// TestPublishLoop: the inbox is published at times, and earlier when many deliveries wait; while a run has the
// lake, a minute later. A failure ends nothing, and bodies go a week after their publication.
func TestPublishLoop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log lockedText
		lake := t.TempDir()
		env := &Env{Now: time.Now, Log: slog.New(slog.NewTextHandler(&log, nil))}
		box, err := inbox.Open(t.Context(), lake, inbox.Options{SegmentSize: 2000})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		var at []time.Duration
		outcomes := []error{nil, &Error{KindLocked, errors.New("locked")}, errors.New("disk")}
		o := DefaultListen()
		o.PublishAfter = 100
		o.Publish = func(context.Context) (inbox.Position, error) {
			at = append(at, time.Since(began))
			var err error
			if len(outcomes) > 0 {
				err, outcomes = outcomes[0], outcomes[1:]
			}
			return box.End(), err
		}
		l := &listener{env: env, o: o, inbox: box, full: make(chan struct{}, 1), publications: map[PublicationOutcome]int64{}}
		l.receiver = receiver.New(receiver.Options{Inbox: box})
		ctx, cancel := context.WithCancel(t.Context())
		l.done.Go(func() { l.publishLoop(ctx) })
		receive := func(n int) {
			for range n {
				if _, err := box.Append(ctx, &inbox.Delivery{ID: fmt.Sprint(l.unpublished.Load(), time.Now()), Kind: inbox.Event, Received: time.Now(), Body: make([]byte, 100)}); err != nil {
					t.Fatal(err)
				}
				l.received()
			}
		}
		receive(99)
		<-time.After(20 * time.Minute) // after 15 minutes
		receive(100)                   // at once, and the lake is locked; then it fails, and then it is published
		<-time.After(8 * 24 * time.Hour)
		cancel()
		l.done.Wait()
		if len(at) < 4 || at[0] != 15*time.Minute || at[1] != 20*time.Minute || at[2] != 21*time.Minute || at[3] != 22*time.Minute {
			t.Errorf("published at %v, want after 15m, 20m, 21m and 22m", at[:min(len(at), 4)])
		}
		p := l.publications
		if p[PublicationLocked] != 1 || p[PublicationFailed] != 1 || p[PublicationDone] != int64(len(at)-2) || l.unpublished.Load() != 0 {
			t.Errorf("publications %v of %d, %d deliveries unpublished", p, len(at), l.unpublished.Load())
		}
		if text := log.String(); !strings.Contains(text, "a run works on the lake") || !strings.Contains(text, "error=disk") || strings.Contains(text, "not removed") {
			t.Errorf("the log is\n%s", text)
		}
		end := box.End()
		if err := box.Close(); err != nil {
			t.Fatal(err)
		}
		reader, err := inbox.OpenReader(t.Context(), lake, inbox.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Close() //nolint:errcheck // it was only read
		kept, all := 0, 0
		for d, err := range reader.Deliveries(t.Context(), "", end) {
			if err != nil {
				t.Fatal(err)
			}
			if all++; !d.Pruned {
				kept++
			}
		}
		if all != 199 || kept == 0 || kept > 20 {
			t.Errorf("after a week %d of %d deliveries have their bodies, want only those of the last segment", kept, all)
		}
	})
}

// TestChildEnviron: a program that siglake starts gets no secret.
func TestChildEnviron(t *testing.T) {
	t.Parallel()
	env := &Env{Environ: func() []string { return []string{"A=1", KeyVariable + "=x", SecretVariable + "=x", "B=2"} }}
	if got := strings.Join(env.ChildEnviron("B"), " "); got != "A=1" {
		t.Errorf("ChildEnviron(B) = %s, want A=1", got)
	}
}

// lockedText is text that goroutines write.
type lockedText struct {
	mu sync.Mutex
	strings.Builder
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Builder.Write(p)
}
