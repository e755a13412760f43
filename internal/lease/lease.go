package lease

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/siglake/siglake/internal/bucket"
)

// Lock is the lock of a lake on a disk or in a bucket.
type Lock interface {
	// Lost is closed when another process may have the lock. Then the holder starts
	// nothing new that costs money, and completes what is in flight. It is nil for
	// a lock that cannot be lost.
	Lost() <-chan struct{}
	// Err says why the lock was lost; nil while it is held.
	Err() error
	// Valid reports whether no other process can have the lock yet.
	Valid() bool
	// Close releases the lock.
	Close() error
}

// Bucket is what a lease needs of a bucket; a [bucket.Bucket] implements it.
type Bucket interface {
	// Create writes an object under a name that must be free; otherwise the error
	// is fs.ErrExist.
	Create(ctx context.Context, name string, data []byte) error
	// Get reads an object and its version; fs.ErrNotExist if there is none.
	Get(ctx context.Context, name string) (data []byte, etag string, err error)
	// Stat returns when an object was written, by the store's clock.
	Stat(ctx context.Context, name string) (bucket.Object, error)
	// Swap replaces one version of an object; bucket.ErrChanged if it is another.
	Swap(ctx context.Context, name, etag string, data []byte) error
}

// Options configure a lease; the zero value works.
type Options struct {
	// TTL is the time after which an unrenewed lease expires, and so the time that
	// other processes wait for one that died on another machine; 0 means a minute.
	// The holder renews the lease every quarter of it, and considers the lease lost
	// after seven eighths.
	TTL time.Duration
}

// Lease keeps processes on other machines off a lake while it is renewed. It is an
// object that names its holder and is replaced by compare-and-swap.
//
// It prevents the nuisance of two concurrent runs; paid answers do not depend on it.
// Only the store's clock decides whether it has expired: a process compares the time
// of the lease with that of an object that it has just written itself. The holder
// gives the lease up earlier, by its own clock, counted from before the request that
// renewed it.
type Lease struct {
	bucket Bucket
	name   string
	ttl    time.Duration
	own    claim

	cancel context.CancelFunc
	done   chan struct{} // closed when the renewing goroutine has ended
	lost   chan struct{}

	mu         sync.Mutex
	renewedAt  time.Time // just before the last successful renewal's request
	lostReason error     // nil while the lease is held
	takenOver  bool      // another process has it: do not write it any more
}

// claim is the object's content.
type claim struct {
	Token    string    `json:"token"` // random, identifies the holder
	Host     string    `json:"host"`
	Process  process   `json:"process"`
	Command  string    `json:"command"`
	Since    time.Time `json:"since"`       // by the holder's clock, for people
	TTL      float64   `json:"ttl_seconds"` // after which others may take it over
	Renewals int       `json:"renewals"`    // makes every version differ
	Released bool      `json:"released,omitempty"`
}

// process identifies a process on its machine. On systems that offer no such
// identity, Boot is empty.
type process struct {
	ID           int    `json:"id"`
	Boot         string `json:"boot,omitempty"`  // identifies the machine and its boot
	PIDNamespace string `json:"space,omitempty"` // in which ID is valid
	Start        string `json:"start,omitempty"` // start time: process ids are reused
}

// errTakenOver means that another process has the lease.
var errTakenOver = errors.New("another process has taken over the lock")

// Acquire takes the lease with a name; ErrLocked if another process has it. holder,
// the command, is for the error messages of other processes. A goroutine renews the
// lease from now on; Close ends that goroutine, and waits for it.
func Acquire(ctx context.Context, b Bucket, name, holder string, o Options) (*Lease, error) {
	if o.TTL <= 0 {
		o.TTL = time.Minute
	}
	l := &Lease{
		bucket: b, name: name, ttl: o.TTL, lost: make(chan struct{}), done: make(chan struct{}),
		own: claim{Token: rand.Text(), Host: hostname(), Process: currentProcess(), Command: holder, Since: time.Now().UTC(), TTL: o.TTL.Seconds()},
	}
	if err := l.tryAcquire(ctx); err != nil {
		return nil, err
	}
	// Only Close releases the lease: after a cancellation, calls in flight still have
	// to be completed under it.
	ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go l.renewLoop(ctx, l.renewedAt)
	return l, nil
}

// tryAcquire retries if another process was first, and if the outcome of its own
// request is unknown.
func (l *Lease) tryAcquire(ctx context.Context) (err error) {
	const tries = 5
	for range tries {
		started := time.Now()
		var etag string
		var current claim
		current, etag, err = l.readClaim(ctx)
		if err == nil && current.Token != l.own.Token {
			err = l.checkExpired(ctx, current, etag)
		}
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			err = l.writeClaim(ctx, etag)
		}
		if err == nil {
			l.renewedAt = started
			return nil
		}
		if ctx.Err() != nil || errors.Is(err, ErrLocked) || errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	if errors.Is(err, bucket.ErrChanged) || errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: other processes keep taking its lock", ErrLocked)
	}
	return err
}

// readClaim reads the current claim. An unreadable claim counts as one of an unknown
// process.
func (l *Lease) readClaim(ctx context.Context) (claim, string, error) {
	data, etag, err := l.bucket.Get(ctx, l.name)
	if err != nil {
		return claim{}, "", err
	}
	var c claim
	if json.Unmarshal(data, &c) != nil || c.TTL <= 0 {
		c = claim{Command: "unknown: its claim cannot be read", TTL: time.Minute.Seconds()}
	}
	return c, etag, nil
}

// writeClaim replaces one version of the claim, or creates it if etag is empty.
func (l *Lease) writeClaim(ctx context.Context, etag string) error {
	l.own.Renewals++
	text, err := json.MarshalIndent(l.own, "", "  ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if etag == "" {
		return l.bucket.Create(ctx, l.name, text)
	}
	return l.bucket.Swap(ctx, l.name, etag, text)
}

// checkExpired returns nil if the claim of another process is no longer valid.
func (l *Lease) checkExpired(ctx context.Context, current claim, etag string) error {
	if current.Released || current.Process.hasEnded() {
		return nil
	}
	o, err := l.bucket.Stat(ctx, l.name)
	if err != nil {
		return err
	}
	if o.ETag != etag {
		return bucket.ErrChanged
	}
	now, err := l.storeTime(ctx)
	if err != nil {
		return err
	}
	// The store's times may be whole seconds.
	remaining := time.Duration(current.TTL*float64(time.Second)) + time.Second - now.Sub(o.Modified)
	if remaining <= 0 {
		return nil
	}
	return fmt.Errorf("%w: process %d on %s, %s, since %s; a live run renews its lock; if this one does not, another run can take it over in %s, at %s", ErrLocked,
		current.Process.ID, current.Host, current.Command, current.Since.Format(time.RFC3339), remaining.Round(time.Second), time.Now().Add(remaining).UTC().Format(time.TimeOnly+" UTC"))
}

// storeTime returns a time by the store's clock, between the call and its return: that
// of a second object, which is written for nothing else.
func (l *Lease) storeTime(ctx context.Context) (time.Time, error) {
	name := l.name + ".clock"
	_, etag, err := l.bucket.Get(ctx, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = l.bucket.Create(ctx, name, []byte(rand.Text()))
	case err == nil:
		err = l.bucket.Swap(ctx, name, etag, []byte(rand.Text()))
	}
	if err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, bucket.ErrChanged) { // then another process has just written it
		return time.Time{}, err
	}
	o, err := l.bucket.Stat(ctx, name)
	return o.Modified, err
}

// holdTime is how long after a renewal the holder relies on the lease.
func (l *Lease) holdTime() time.Duration { return l.ttl - l.ttl/8 }

// renewLoop renews the lease until it is closed or taken over. The lease is marked lost
// when it could have expired; renewal continues, so that calls in flight can complete
// undisturbed.
func (l *Lease) renewLoop(ctx context.Context, renewed time.Time) {
	defer close(l.done)
	expiry := time.AfterFunc(l.holdTime()-time.Since(renewed), func() {
		l.markLost(fmt.Errorf("the lock %s was not renewed in time", l.name))
	})
	defer expiry.Stop()
	interval := l.ttl / 4
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(interval):
		}
		started := time.Now()
		switch err := l.renew(ctx); {
		case err == nil:
			l.mu.Lock()
			l.renewedAt = started
			l.mu.Unlock()
			expiry.Reset(l.holdTime() - time.Since(started))
			interval = l.ttl / 4
		case errors.Is(err, errTakenOver):
			l.mu.Lock()
			l.takenOver = true
			l.mu.Unlock()
			l.markLost(err)
			return
		default:
			interval = l.ttl / 16
		}
	}
}

// renew rewrites the claim. It reads the claim first, since an earlier request without
// an answer may have succeeded.
func (l *Lease) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, l.ttl/4)
	defer cancel()
	current, etag, err := l.readClaim(ctx)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %s is gone", errTakenOver, l.name)
	case err != nil:
		return err
	case current.Token != l.own.Token:
		return fmt.Errorf("%w: process %d on %s, %s", errTakenOver, current.Process.ID, current.Host, current.Command)
	}
	return l.writeClaim(ctx, etag)
}

func (l *Lease) markLost(reason error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lostReason == nil {
		l.lostReason = reason
		close(l.lost)
	}
}

// Lost is closed when another process has the lease, or could have it.
func (l *Lease) Lost() <-chan struct{} { return l.lost }

// Err says why the lease was lost; nil while it is held.
func (l *Lease) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lostReason
}

// Valid reports whether no other process can have the lease, by both clocks of this
// machine: one of them stops while the machine sleeps.
func (l *Lease) Valid() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	return l.lostReason == nil && now.Sub(l.renewedAt) < l.holdTime() && now.Round(0).Sub(l.renewedAt.Round(0)) < l.holdTime()
}

// Close releases the lease, unless another process has it. The object stays, marked as
// released: a deletion cannot be made conditional.
func (l *Lease) Close() error {
	l.cancel()
	<-l.done
	if l.takenOver || l.own.Released {
		return nil
	}
	// Independent of the caller's context: a cancelled run releases its lease, too.
	ctx, cancel := context.WithTimeout(context.Background(), l.ttl/4)
	defer cancel()
	l.own.Released = true
	var err error
	for range 3 {
		if err = l.renew(ctx); err == nil || errors.Is(err, errTakenOver) {
			return nil
		}
	}
	return fmt.Errorf("the lock was not released, and expires within %s: %w", l.ttl, err)
}
