package lease

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/siglake/siglake/internal/bucket"
)

// Lock is a lake's lock, whichever kind of store the lake is on.
type Lock interface {
	// Lost is closed when another process may have the lock. Then nothing new is
	// begun that costs money; what is on its way is seen through. It is nil for a
	// lock that cannot be lost.
	Lost() <-chan struct{}
	// Err says why it was lost; nil as long as it is not.
	Err() error
	// Valid reports whether nobody else can have the lock yet.
	Valid() bool
	// Close lets others in.
	Close() error
}

// Bucket is what a lease needs of a bucket; a [bucket.Bucket] has it.
type Bucket interface {
	// Create writes an object under a name that must be free, else fs.ErrExist.
	Create(ctx context.Context, name string, data []byte) error
	// Get reads an object and the name of its version, else fs.ErrNotExist.
	Get(ctx context.Context, name string) (data []byte, etag string, err error)
	// Stat says when an object was written, by the store's clock.
	Stat(ctx context.Context, name string) (bucket.Object, error)
	// Swap replaces a version of an object, else bucket.ErrChanged.
	Swap(ctx context.Context, name, etag string, data []byte) error
}

// Options change how a lease is kept; the zero value is good.
type Options struct {
	// TTL is how long a lease lasts that is not renewed, and so how long others
	// wait for a process that died elsewhere; 0 means a minute. It is renewed
	// four times as often, and given up after seven eighths.
	TTL time.Duration
}

// Lease keeps other processes, on other machines, off a lake, for as long as it
// is renewed. It is an object that says who holds it, replaced by compare-and-swap.
//
// It spares people the trouble of two runs; what is paid for does not depend on
// it. Whether it has run out is told by the store's clock alone: by when the
// object was written, and when another one was that the asking process wrote just
// now. Its holder gives it up earlier, by its own clock, counted from before the
// request that renewed it.
type Lease struct {
	bucket Bucket
	name   string
	ttl    time.Duration
	own    claim

	cancel context.CancelFunc
	done   chan struct{} // closed when the renewing goroutine has ended
	lost   chan struct{}

	mu         sync.Mutex
	renewedAt  time.Time // just before the request that did
	lostReason error     // why it is lost; nil: it is not
	takenOver  bool      // by another process: it is no longer ours to write
}

// claim is the object's content.
type claim struct {
	Token    string    `json:"token"` // random: whose it is
	Host     string    `json:"host"`
	Process  process   `json:"process"`
	Command  string    `json:"command"`
	Since    time.Time `json:"since"`       // by the holder's clock, for people
	TTL      float64   `json:"ttl_seconds"` // after which others may take it over
	Renewals int       `json:"renewals"`    // makes every version another one
	Released bool      `json:"released,omitempty"`
}

// process tells a process from all others on its machine. Where the system has
// no such thing, Boot is empty.
type process struct {
	ID           int    `json:"id"`
	Boot         string `json:"boot,omitempty"`  // names the machine and the time since it was started
	PIDNamespace string `json:"space,omitempty"` // within which ID means something
	Start        string `json:"start,omitempty"` // when it was started: a number is used again some day
}

// errTakenOver means that another process has the lease.
var errTakenOver = errors.New("another process has taken the lock over")

// Acquire takes the lease of a name. ErrLocked when another process has it.
// who, the command, is for the message that others get. A goroutine renews it
// from now on; Close ends that, and waits for it.
func Acquire(ctx context.Context, b Bucket, name, holder string, o Options) (*Lease, error) {
	if o.TTL <= 0 {
		o.TTL = time.Minute
	}
	host, err := os.Hostname()
	if err != nil {
		host = "a host without a name" // for people only
	}
	l := &Lease{
		bucket: b, name: name, ttl: o.TTL, lost: make(chan struct{}), done: make(chan struct{}),
		own: claim{Token: rand.Text(), Host: host, Process: currentProcess(), Command: holder, Since: time.Now().UTC(), TTL: o.TTL.Seconds()},
	}
	if err := l.tryAcquire(ctx); err != nil {
		return nil, err
	}
	// It is given back by Close, not when whoever asked for it is cancelled: then
	// what is on its way is still to be seen through.
	ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go l.renewLoop(ctx, l.renewedAt)
	return l, nil
}

// tryAcquire tries again where somebody was quicker, and where nobody knows if its
// own request was.
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
		return fmt.Errorf("%w: others take turns at its lock", ErrLocked)
	}
	return err
}

// readClaim gets the claim that is there. One that cannot be understood is somebody's
// all the same.
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

// writeClaim replaces the version named, or none, by this process's claim.
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

// checkExpired returns nil when the claim of another process counts no more.
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
	return fmt.Errorf("%w: process %d on %s, %s, since %s; unless it renews its lock, which a run does all the time, it can be taken over in %s, at %s", ErrLocked,
		current.Process.ID, current.Host, current.Command, current.Since.Format(time.RFC3339), remaining.Round(time.Second), time.Now().Add(remaining).UTC().Format(time.TimeOnly+" UTC"))
}

// storeTime is a time by the store's clock, between the call and its return: that
// of an object beside the lease, which is written for nothing else.
func (l *Lease) storeTime(ctx context.Context) (time.Time, error) {
	name := l.name + ".clock"
	_, etag, err := l.bucket.Get(ctx, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = l.bucket.Create(ctx, name, []byte(rand.Text()))
	case err == nil:
		err = l.bucket.Swap(ctx, name, etag, []byte(rand.Text()))
	}
	if err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, bucket.ErrChanged) { // those have written it, too, just now
		return time.Time{}, err
	}
	o, err := l.bucket.Stat(ctx, name)
	return o.Modified, err
}

// holdTime is how long after a renewal the lease is taken to be held.
func (l *Lease) holdTime() time.Duration { return l.ttl - l.ttl/8 }

// renewLoop renews the lease until it is closed or taken. When it could have run out
// it is lost; renewing goes on, so that what is on its way has its peace.
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

// renew writes the claim again. Whether it is still there decides: a request
// whose answer was lost may have been done.
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

// Err says why the lease is lost; nil when it is not.
func (l *Lease) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lostReason
}

// Valid reports whether nobody else can have the lease, going by both clocks of
// this machine: one of them stands still while the machine sleeps.
func (l *Lease) Valid() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	return l.lostReason == nil && now.Sub(l.renewedAt) < l.holdTime() && now.Round(0).Sub(l.renewedAt.Round(0)) < l.holdTime()
}

// Close gives the lease back, unless another process has it. The object stays,
// and says so: deleting it could not be conditioned.
func (l *Lease) Close() error {
	l.cancel()
	<-l.done
	if l.takenOver || l.own.Released {
		return nil
	}
	// Whoever is cancelled gives the lease back all the same.
	ctx, cancel := context.WithTimeout(context.Background(), l.ttl/4)
	defer cancel()
	l.own.Released = true
	var err error
	for range 3 {
		if err = l.renew(ctx); err == nil || errors.Is(err, errTakenOver) {
			return nil
		}
	}
	return fmt.Errorf("the lock was not given back, and runs out within %s: %w", l.ttl, err)
}
