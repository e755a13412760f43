package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/siglake/siglake/internal/inbox"
	"github.com/siglake/siglake/internal/receiver"
	"github.com/siglake/siglake/internal/wal"
)

// ListenOptions say where webhooks are received, and when they are published.
type ListenOptions struct {
	Lake         string
	Address      string // host and port
	AdminAddress string // of /healthz and /metrics; empty: they are not served
	SecretFile   string // with one secret a line; read again when it changes. Empty: SecretVariable only
	// Files with a certificate and its key, read again when they change. Empty: plain HTTP.
	CertFile, KeyFile string
	// How far the timestamp of a delivery may be from the time.
	Tolerance time.Duration
	// How often the inbox is published, 0: not by this process, and after how many new deliveries
	// earlier than that.
	PublishEvery time.Duration
	PublishAfter int64
	Store        StoreOptions

	// Publish publishes the inbox, and returns the position up to which it is published. Nil: that is left to
	// others.
	Publish func(context.Context) (until inbox.Position, err error)
	// WriteMetrics writes the figures of a status. Nil: there is no /metrics.
	WriteMetrics func(io.Writer, *ListenStatus)
	// Ready is called when deliveries are received. Nil: not wanted.
	Ready func(*ListenAddresses)
	Alarm Alarmer // nil: alarms are not wanted
}

// DefaultListen are the options of siglake listen.
func DefaultListen() ListenOptions {
	return ListenOptions{Address: "127.0.0.1:8081", Tolerance: 5 * time.Minute, PublishEvery: 15 * time.Minute, PublishAfter: 5000, Store: DefaultStore()}
}

// ListenAddresses are where a listener is to be found.
type ListenAddresses struct {
	URL   string // of the deliveries
	Admin string // URL of /healthz and /metrics; empty: none
	Known int    // deliveries of the last day that are in the inbox
}

// ListenStatus says what a listener did since it began, and how it is.
type ListenStatus struct {
	Lake    string
	Started time.Time
	receiver.Counts
	Waiting    int // deliveries that are not durable yet
	Remembered int // ids
	Secrets    int
	Unhealthy  string // why it is not to get deliveries; empty: it is
	// New deliveries since this process began to publish last, and publications of it by their outcome.
	Unpublished   int64
	Publications  map[PublicationOutcome]int64
	LastPublished time.Time // zero: this process has not
}

// PublicationOutcome is how an attempt of a listener to publish ended.
type PublicationOutcome string

// The outcomes.
const (
	PublicationDone   PublicationOutcome = "done"
	PublicationLocked PublicationOutcome = "locked" // another process worked on the lake
	PublicationFailed PublicationOutcome = "failed"
)

// PublicationOutcomes are all, in the order of the metrics.
var PublicationOutcomes = []PublicationOutcome{PublicationDone, PublicationLocked, PublicationFailed}

const (
	stopWithin    = 10 * time.Second   // for requests that are being answered
	alarmWithin   = 5 * time.Second    // for an alarm before the process ends
	bodiesKeptFor = 7 * 24 * time.Hour // in the inbox, after their publication
	pruneEvery    = 24 * time.Hour     // reads the whole inbox
	publishRetry  = time.Minute        // after a publication that did not come about
)

// listener is a process that receives webhooks.
type listener struct {
	env      *Env
	o        ListenOptions
	inbox    *inbox.Inbox
	receiver *receiver.Receiver
	secrets  *signingSecrets
	alarms   *alarms
	started  time.Time
	full     chan struct{}  // PublishAfter deliveries wait
	done     sync.WaitGroup // goroutines that end with their context or server
	// Of the goroutine that publishes: when the inbox was last pruned.
	lastPruned time.Time

	unpublished atomic.Int64
	stopping    atomic.Bool
	failed      chan struct{}
	failOnce    sync.Once
	failure     error // set before failed is closed

	mu            sync.Mutex
	publications  map[PublicationOutcome]int64
	lastPublished time.Time
}

// Listen receives webhooks into the inbox of a lake, and publishes them, until ctx ends. It returns when the
// requests under way are answered. Another listener of the lake is an error of KindLocked; one of KindStorage
// means that the inbox cannot be written any more.
func Listen(ctx context.Context, env *Env, o ListenOptions) (*ListenStatus, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	l := newListener(env, o)
	l.alarms.prepare()
	status, err := l.listen(ctx)
	l.raiseFailure(ctx, err)
	return status, err
}

func newListener(env *Env, o ListenOptions) *listener {
	return &listener{
		env: env, o: o, alarms: newAlarms(env, o.Store, o.Lake, o.Alarm), started: env.Now(),
		full: make(chan struct{}, 1), failed: make(chan struct{}), publications: map[PublicationOutcome]int64{},
	}
}

// listen receives until ctx ends.
func (l *listener) listen(ctx context.Context) (_ *ListenStatus, err error) {
	env, o := l.env, &l.o
	if l.secrets, err = openSecrets(env, o.SecretFile); err != nil {
		return nil, err
	}
	config, err := o.tlsConfig(env)
	if err != nil {
		return nil, err
	}
	if l.inbox, err = openInboxToWrite(ctx, env, o.Store, o.Lake); err != nil {
		return nil, err
	}
	l.receiver = receiver.New(receiver.Options{
		Inbox: l.inbox, Secrets: l.secrets.list, Now: env.Now, Tolerance: o.Tolerance, Log: env.Log, Failed: l.fail, Received: l.received,
	})
	err = l.serve(ctx, config)
	l.done.Wait()
	status := l.status()
	if closeErr := l.inbox.Close(); closeErr != nil && err == nil {
		err = lakeError(fmt.Errorf("the inbox of %s: %w", o.Lake, closeErr))
	}
	return status, err
}

// raiseFailure sends an alarm if the listener ended with an error that another process of this lake does not explain.
// The supervisor does not wait for long.
func (l *listener) raiseFailure(ctx context.Context, err error) {
	var typed *Error
	if err == nil || errors.As(err, &typed) && (typed.Kind == KindUsage || typed.Kind == KindLocked) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), alarmWithin) // the command's own context may be over
	defer cancel()
	l.alarms.raise(ctx, AlarmListenerFailed, fmt.Sprintf("siglake listen has ended, and nothing is received until it runs again: %v", err))
}

// check refuses options that do not go together.
func (o *ListenOptions) check() error {
	switch {
	case o.Lake == "":
		return ErrNoLake
	case o.Tolerance < time.Second || o.Tolerance > 24*time.Hour:
		return UsageErrorf("--tolerance %s: expected a duration from 1s to 24h, such as 5m: for longer than that the ids of deliveries are not remembered", o.Tolerance)
	case o.PublishEvery < 0 || o.PublishEvery > 0 && o.PublishEvery < time.Second:
		return UsageErrorf("--publish-every %s: expected a duration from 1s, such as 15m, or 0: siglake run and siglake webhooks publish do it", o.PublishEvery)
	case o.PublishAfter < 1:
		return UsageErrorf("--publish-after %d: expected a number of deliveries from 1", o.PublishAfter)
	case (o.CertFile == "") != (o.KeyFile == ""):
		return UsageErrorf("--tls-cert and --tls-key belong together: the certificate of the server, and its key")
	}
	return nil
}

// openInboxToWrite opens the inbox of a lake, and creates it for a new one.
func openInboxToWrite(ctx context.Context, env *Env, o StoreOptions, uri string) (*inbox.Inbox, error) {
	path, options, err := locateInbox(ctx, env, o, uri)
	if err != nil {
		return nil, err
	}
	options.Patience = env.JournalRetryFor
	i, err := inbox.Open(ctx, path, options)
	switch {
	case errors.Is(err, inbox.ErrLocked):
		return nil, &Error{KindLocked, fmt.Errorf("lake %s: %w", uri, err)}
	case errors.Is(err, wal.ErrLocked):
		return nil, &Error{KindLocked, fmt.Errorf("lake %s: %w: %w", uri, inbox.ErrLocked, err)}
	case err != nil:
		return nil, lakeError(fmt.Errorf("the inbox of %s: %w", uri, err))
	}
	return i, nil
}

// serve receives deliveries until ctx ends, or the inbox cannot be written any more.
func (l *listener) serve(ctx context.Context, config *tls.Config) (err error) {
	hooks, err := listenOn(ctx, "listen", l.o.Address)
	if err != nil {
		return err
	}
	addresses := &ListenAddresses{URL: "http://" + hooks.Addr().String() + receiver.Path, Known: l.inbox.Len()}
	if config != nil {
		hooks = tls.NewListener(hooks, config)
		addresses.URL = "https://" + hooks.Addr().String() + receiver.Path
	} else if !isLoopback(hooks.Addr()) {
		l.env.Log.Warn("deliveries arrive in plain text at an address that other machines can reach: put a proxy with TLS in front of it, or use --tls-cert and --tls-key", "address", hooks.Addr().String())
	}
	server := receiver.NewServer(l.receiver, l.env.Log)
	served := make(chan error, 2) // one for each server
	if l.o.AdminAddress != "" {
		admin, err := listenOn(ctx, "admin-listen", l.o.AdminAddress)
		if err != nil {
			return errors.Join(err, hooks.Close())
		}
		addresses.Admin = "http://" + admin.Addr().String()
		adminServer := receiver.NewServer(l.adminHandler(), l.env.Log)
		l.done.Go(func() { served <- adminServer.Serve(admin) })
		defer adminServer.Close() //nolint:errcheck // it has nothing to lose
	}
	l.done.Go(func() { served <- server.Serve(hooks) })
	background, stop := context.WithCancel(ctx)
	l.done.Go(func() { l.publishLoop(background) })
	l.done.Go(func() { l.summarise(background) })
	if l.o.Ready != nil {
		l.o.Ready(addresses)
	}
	select {
	case err = <-served:
		err = &Error{KindStorage, fmt.Errorf("--listen: %w", err)}
	case <-l.failed:
		err = lakeError(fmt.Errorf("the inbox of %s cannot be written any more; deliveries were refused, and the vendor repeats each three times: %w", l.o.Lake, l.failure))
	case <-l.inbox.Lost():
		err = &Error{KindLocked, fmt.Errorf("the inbox of %s: its lock was not renewed in time, and another process may receive now", l.o.Lake)}
	case <-ctx.Done():
	}
	l.stopping.Store(true)
	stop()
	l.stop(ctx, server)
	return err
}

// stop waits until the requests under way are answered, and lets no other one in.
func (l *listener) stop(ctx context.Context, server *http.Server) {
	// The command's own context is over.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	if server.Shutdown(last) != nil {
		_ = server.Close()
	}
}

// listenOn opens an address.
func listenOn(ctx context.Context, flag, address string) (net.Listener, error) {
	on, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, UsageErrorf("--%s %s: %w", flag, address, err)
	}
	return on, nil
}

// isLoopback reports whether only this machine reaches an address.
func isLoopback(a net.Addr) bool {
	at, err := netip.ParseAddrPort(a.String())
	return err == nil && at.Addr().IsLoopback()
}

// fail ends the listener because the inbox cannot be written any more.
func (l *listener) fail(err error) {
	l.failOnce.Do(func() {
		l.failure = err
		close(l.failed)
	})
}

// received notes a new delivery.
func (l *listener) received() {
	if l.unpublished.Add(1)%l.o.PublishAfter == 0 {
		select {
		case l.full <- struct{}{}:
		default: // it was said, and not heeded yet
		}
	}
}

// status says how the listener is.
func (l *listener) status() *ListenStatus {
	s := &ListenStatus{
		Lake: l.o.Lake, Started: l.started, Counts: l.receiver.Counts(), Waiting: l.inbox.Waiting(), Remembered: l.inbox.Len(), Secrets: len(l.secrets.list()),
		Unpublished: l.unpublished.Load(), Publications: map[PublicationOutcome]int64{},
	}
	select {
	case <-l.failed:
		s.Unhealthy = "the inbox cannot be written"
	default:
		switch {
		case l.stopping.Load():
			s.Unhealthy = "stopping"
		case l.inbox.IsFull():
			s.Unhealthy = "too many deliveries wait to become durable"
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, outcome := range PublicationOutcomes {
		s.Publications[outcome] = l.publications[outcome]
	}
	s.LastPublished = l.lastPublished
	return s
}

// adminHandler serves whether the listener is well, and its figures.
func (l *listener) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if why := l.status().Unhealthy; why != "" {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, why+"\n")
			return
		}
		_, _ = io.WriteString(w, "ok\n")
	})
	if l.o.WriteMetrics != nil {
		mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
			l.o.WriteMetrics(w, l.status())
		})
	}
	return mux
}

// DeliveryKinds and RefusalReasons are what the counts of a status are by, in the order of the metrics.
var (
	DeliveryKinds  = receiver.Kinds
	RefusalReasons = receiver.Reasons
)
