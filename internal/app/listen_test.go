package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
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
		state := t.TempDir()
		env := &Env{Now: time.Now, Log: slog.New(slog.NewTextHandler(&log, nil)), Getenv: func(string) string { return state }}
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
		var alarms []AlarmCondition
		o.Lake, o.Alarm = lake, func(_ context.Context, a *Alarm) error {
			alarms = append(alarms, a.Condition)
			return nil
		}
		l := newListener(env, o)
		l.inbox = box
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
		if !slices.Equal(alarms, []AlarmCondition{AlarmNotPublished}) {
			t.Errorf("alarms %v, want one of the publication that failed", alarms)
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

// TestRefusalWatch: answers of 503 are reported in the minute in which they happen, and refusals for signature or age
// when there are several in a row.
func TestRefusalWatch(t *testing.T) {
	t.Parallel()
	var w refusalWatch
	for minute, c := range []struct {
		acknowledged, busy, late, wrong, old int64
		want                                 []AlarmCondition
	}{
		{acknowledged: 5},
		{acknowledged: 5, busy: 1, want: []AlarmCondition{AlarmNotStored}},
		{acknowledged: 5, busy: 1},
		{acknowledged: 6, busy: 1, late: 2, wrong: 100, want: []AlarmCondition{AlarmNotStored}}, // and one was accepted
		{acknowledged: 6, busy: 1, late: 2, wrong: 102, old: 1},
		{acknowledged: 6, busy: 1, late: 2, wrong: 102, old: 2, want: []AlarmCondition{AlarmNotAccepted}},
		{acknowledged: 7, busy: 1, late: 2, wrong: 103, old: 2},
	} {
		counts := receiver.Counts{
			New:     map[inbox.Kind]int64{inbox.Event: c.acknowledged},
			Refused: map[receiver.Reason]int64{receiver.Busy: c.busy, receiver.TooLate: c.late, receiver.WrongSignature: c.wrong, receiver.TooOld: c.old, receiver.Unsigned: 1000},
		}
		var got []AlarmCondition
		for _, a := range w.look(&counts) {
			got = append(got, a.Condition)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("minute %d: %v, want %v", minute, got, c.want)
		}
	}
}

// TestAlarms: each condition is reported once a day, whatever process asks for it and whichever of the records can be
// written, and again if it could not be sent.
func TestAlarms(t *testing.T) {
	t.Parallel()
	for _, full := range []string{"", "lake", "machine"} {
		state, lake := t.TempDir(), t.TempDir()
		now := time.Date(2026, 4, 7, 23, 0, 0, 0, time.UTC)
		env := &Env{Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler), Getenv: func(string) string { return state }}
		if err := os.Mkdir(filepath.Join(lake, StateDir), 0o700); err != nil {
			t.Fatal(err)
		}
		switch full {
		case "lake":
			env.Hook = func(string, string, func() error) error { return errors.New("full") }
		case "machine":
			state = filepath.Join(state, "a-file")
			if err := os.WriteFile(state, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var sent []string
		var down error
		raise := func(conditions ...AlarmCondition) {
			a := newAlarms(env, StoreOptions{}, lake, func(_ context.Context, a *Alarm) error {
				sent = append(sent, string(a.Condition)+" "+a.Time.Format("02"))
				return down
			})
			a.prepare()
			for _, c := range conditions {
				a.raise(t.Context(), c, "text")
			}
		}
		down = errors.New("down")
		raise(AlarmNotStored)
		down = nil
		raise(AlarmNotStored, AlarmNotStored)
		raise(AlarmNotStored, AlarmNotAccepted)
		raise(AlarmNotAccepted)
		now = now.Add(time.Hour)
		raise(AlarmNotAccepted, AlarmNotAccepted)
		raise(AlarmNotAccepted)
		if want := []string{"not-stored 07", "not-stored 07", "not-accepted 07", "not-accepted 08"}; !slices.Equal(sent, want) {
			t.Errorf("%q cannot be written: sent %q, want %q", full, sent, want)
		}
	}
	newAlarms(&Env{Now: time.Now}, StoreOptions{}, "no lake", nil).raise(t.Context(), AlarmNotStored, "not wanted")
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
