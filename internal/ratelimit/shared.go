package ratelimit

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math/rand/v2"
	"time"

	"github.com/siglake/siglake/internal/bucket"
	"github.com/siglake/siglake/pipeline"
)

// This file shares the state of an account between hosts: it is one object of a bucket, replaced by
// compare-and-swap.
//
// A request to a bucket takes as long as a part of a call, so a host does not make one for every call. It
// takes places for several calls at once, a block, and reports what became of the calls with the next block.
// What a host has not reported yet waits in its queue of changes, which it applies to every version of the
// object that it reads, until one of its own is in the bucket. Places that are not used within placeLife are
// returned; those of a host that died expire as calls in flight do.
//
// The times of the object are those of the API's clock, as far as a host knows it: hosts differ. Each begins
// with its own clock, corrected by what the API's answers say. Time never runs backwards for those who share
// the object: a host whose clock is behind goes by the latest time that is in it.
//
// If the bucket cannot be reached, a host goes on alone: by its last version of the object and by what the
// headers of its own answers say. It tries the bucket again every retryAway.

// Bucket is what sharing an account needs of a bucket; a [bucket.Bucket] implements it.
type Bucket interface {
	// Get reads an object and its version; fs.ErrNotExist if there is none.
	Get(ctx context.Context, name string) (data []byte, etag string, err error)
	// Swap replaces one version of an object, "" being none; bucket.ErrChanged if it is another.
	Swap(ctx context.Context, name, etag string, data []byte) error
	// URI names an object in messages.
	URI(name string) string
}

const (
	maxBlock      = 8                // places that a host takes at once
	placeLife     = 10 * time.Second // after which a place is not used any more
	retryAway     = 15 * time.Second // after which a bucket that was out of reach is tried again
	objectTimeout = 3 * time.Second  // of one exchange with the bucket
	maxChanges    = 512              // that wait while the bucket is out of reach
)

// objectMagic begins the object, and ends with the version of its form.
const objectMagic = "slshare1"

// change is a change of the state. It is applied to the host's own view when it happens, and again to what
// other hosts have made of the object meanwhile. at is when it happened, now is not before it.
type change func(at, now int64)

// queuedChange is a change that is not in the bucket yet.
type queuedChange struct {
	at    int64
	apply change
}

// sharedAccount is what a host knows of an account that it shares. Limiter.mu guards all but the bucket.
type sharedAccount struct {
	l      *Limiter
	bucket Bucket
	name   string

	busy    bool        // a goroutine of this process exchanges the object
	places  []admission // taken and not used, in the order of their starts
	block   int         // places to take next
	queue   []queuedChange
	dropped int64 // calls whose changes the queue had no room for

	latest int64       // of the times in the object
	clock  clockOffset // of the API's clock to the times of the object, as this host knows it
	known  bool        // whether an answer has shown it
	offset int64       // of these times to the clock of this host

	away    bool // the bucket was out of reach the last time
	retryAt int64
}

func newSharedAccount(l *Limiter, b Bucket, account string) *sharedAccount {
	return &sharedAccount{l: l, bucket: b, name: "quota-" + account, block: 1, clock: l.state.Clock}
}

// open reads the object for the first time. An object that is none of ours is an error, and so are missing rights; a
// bucket out of reach is none.
func (x *sharedAccount) open() error {
	ctx, cancel := context.WithTimeout(context.Background(), objectTimeout) // one request, and its caller waits for it
	defer cancel()
	body, _, err := x.bucket.Get(ctx, x.name)
	if err == nil {
		err = x.decode(body)
	}
	switch {
	case err == nil:
		x.adopt()
	case errors.Is(err, fs.ErrNotExist):
	case errors.Is(err, errForeign) || errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: %w", x.bucket.URI(x.name), err)
	default:
		x.goAway(err)
	}
	return nil
}

// now is the time of the object.
func (x *sharedAccount) now() int64 {
	now := x.l.cfg.Now().UnixNano() + x.offset
	if behind := x.latest - now; behind > 0 && behind <= assumedSkew {
		return x.latest
	}
	return now
}

// adopt sets what of a state that was read is this host's own.
func (x *sharedAccount) adopt() { x.l.state.Clock, x.l.state.ClockKnown = x.clock, x.known }

// recentre makes the API's clock, as far as it is known, the time of the object. Times that are in the object stay.
func (x *sharedAccount) recentre() {
	s := &x.l.state
	if s.ClockKnown {
		middle := (s.Clock.Min + s.Clock.Max) / 2
		s.Clock.Min, s.Clock.Max = s.Clock.Min-middle, s.Clock.Max-middle
		x.offset += middle
	}
	x.clock, x.known = s.Clock, s.ClockKnown
}

// record makes a change now, and queues it for the bucket. Limiter.mu is held.
func (x *sharedAccount) record(calls int64, c change) {
	now := x.now()
	x.l.expireCalls(now)
	c(now, now)
	x.recentre()
	x.l.afterUpdate(now)
	if len(x.queue) == maxChanges {
		x.dropped += calls
		return
	}
	x.queue = append(x.queue, queuedChange{now, c})
}

// admit is Limiter.admit for a shared account.
func (x *sharedAccount) admit(ctx context.Context) (admission, *pipeline.Stop) {
	l := x.l
	for {
		if ctx.Err() != nil {
			return admission{}, interruptedStop(ctx)
		}
		l.mu.Lock()
		wake := l.wake
		if a, ok := x.takePlace(); ok {
			pause := time.Duration(a.start - x.now())
			l.mu.Unlock()
			if !sleepOrWake(ctx, pause, nil) {
				l.release(a)
				return admission{}, interruptedStop(ctx)
			}
			return a, nil
		}
		if x.busy {
			l.mu.Unlock()
			sleepOrWake(ctx, time.Minute, wake)
			continue
		}
		x.busy = true
		l.mu.Unlock()
		refill := x.exchange(ctx, true)
		l.mu.Lock()
		x.busy = false
		close(l.wake)
		l.wake = make(chan struct{})
		wake = l.wake
		l.mu.Unlock()
		if refill.announce != "" {
			l.cfg.OnWait(refill.announce, time.Unix(0, refill.until-x.offset))
		}
		if refill.stop != nil {
			return admission{}, refill.stop
		}
		if refill.pause > 0 {
			x.pauseAlone(ctx, refill.pause, wake)
		}
	}
}

// pauseAlone waits as the one goroutine of the process that asks the bucket again.
func (x *sharedAccount) pauseAlone(ctx context.Context, pause time.Duration, wake <-chan struct{}) {
	x.l.mu.Lock()
	alone := !x.busy
	x.busy = true
	x.l.mu.Unlock()
	sleepOrWake(ctx, pause, wake)
	if alone {
		x.l.mu.Lock()
		x.busy = false
		x.l.mu.Unlock()
	}
}

// takePlace takes the first place that is not too old. A place that was not used in time is returned, and the next
// block is smaller. Limiter.mu is held.
func (x *sharedAccount) takePlace() (a admission, ok bool) {
	for len(x.places) > 0 {
		a, x.places = x.places[0], x.places[1:]
		if x.now()-a.start < int64(placeLife) {
			if len(x.places) == 0 { // a block that was used up
				x.block = min(2*x.block, maxBlock)
			}
			return a, true
		}
		x.block = 1
		x.returnPlace(a)
	}
	return admission{}, false
}

// returnPlace returns a place that led to no call. Limiter.mu is held.
func (x *sharedAccount) returnPlace(a admission) {
	x.record(0, func(int64, int64) {
		if x.l.endCall(a) {
			for _, w := range x.l.windows {
				w.Local--
			}
		}
	})
}

// refill is what came of an exchange with the bucket.
type refill struct {
	pause    time.Duration // to wait before the next one; 0: there are places
	stop     *pipeline.Stop
	announce string // the window that is waited for, for the first time
	until    int64
	places   []admission
}

// exchange brings the changes of this host into the bucket, and takes a block of places if it may. One goroutine of the
// process does it at a time.
func (x *sharedAccount) exchange(ctx context.Context, takes bool) (r refill) {
	// A request that is under way is not cancelled: whether it changed the object would not be known.
	wire, cancel := context.WithTimeout(context.WithoutCancel(ctx), objectTimeout)
	defer cancel()
	x.l.mu.Lock()
	away := x.away && x.now() < x.retryAt
	x.l.mu.Unlock()
	for try := 0; !away; try++ {
		body, etag, err := x.bucket.Get(wire, x.name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			x.goAway(err)
			break
		}
		x.l.mu.Lock()
		if err == nil {
			if err = x.decode(body); err != nil {
				x.l.mu.Unlock()
				x.goAway(err)
				break
			}
			x.adopt()
		}
		applied := x.applyQueue()
		var changed bool
		r, changed = x.take(takes)
		x.latest = max(x.latest, x.now())
		next := x.encode()
		x.l.mu.Unlock()
		if !changed && applied == 0 {
			x.comeBack(0, r.places)
			return r
		}
		if err = x.bucket.Swap(wire, x.name, etag, next); err == nil {
			x.comeBack(applied, r.places)
			return r
		}
		if !errors.Is(err, bucket.ErrChanged) {
			x.goAway(err)
			break
		}
		// Others were faster. A pause of a random length lets them finish.
		sleepOrWake(wire, time.Duration(rand.Int64N(int64(10*time.Millisecond)<<min(try, 5))), nil)
	}
	x.l.mu.Lock()
	defer x.l.mu.Unlock()
	r, _ = x.take(takes) // alone
	x.places = append(x.places, r.places...)
	return r
}

// applyQueue applies the changes that are not in the bucket to the state that was read, and says how many. Limiter.mu is
// held.
func (x *sharedAccount) applyQueue() (n int) {
	now := x.now()
	x.l.expireCalls(now)
	for _, c := range x.queue {
		c.apply(min(c.at, now), now)
	}
	if x.dropped > 0 {
		countCalls(&x.l.windows, x.dropped, now, now)
	}
	x.recentre()
	return len(x.queue) + int(x.dropped)
}

// take takes places, as far as the state allows it. Limiter.mu is held.
func (x *sharedAccount) take(takes bool) (r refill, changed bool) {
	l, now := x.l, x.now()
	l.expireCalls(now)
	defer l.afterUpdate(now)
	for takes && len(r.places) < x.block {
		reason, until := l.blockedBy(now)
		if reason == "" {
			r.places = append(r.places, l.startCall(now))
			continue
		}
		if len(r.places) > 0 {
			break
		}
		r.until, r.pause = until, time.Duration(until-now)
		if reason != "second" && reason != windowNames[0] && r.pause > l.cfg.MaxWait {
			r.stop = l.quotaStop(reason, until-x.offset)
		} else if l.shouldNotify(reason, until, now) {
			r.announce = reason
		}
		r.pause = x.pollInterval(r.pause)
		break
	}
	return r, len(r.places) > 0
}

// pollInterval is how long to wait before the bucket is asked again. Other hosts change the object, and cannot wake this
// one; and a place that becomes free is not worth a request, but a block is.
func (x *sharedAccount) pollInterval(pause time.Duration) time.Duration {
	const least, most = 800 * time.Millisecond, time.Second
	switch {
	case pause <= least:
		pause = least
	case x.l.state.countInFlight() > 0: // when they end, there may be places
		pause = min(pause, most)
	default:
		pause = max(min(pause, most), pause/2)
	}
	return pause + rand.N(least/4)
}

// comeBack notes that the bucket has the first changes of the queue, and hands out places.
func (x *sharedAccount) comeBack(applied int, places []admission) {
	x.l.mu.Lock()
	defer x.l.mu.Unlock()
	if x.away {
		x.away = false
		x.l.cfg.Warn(fmt.Sprintf("%s can be reached again: this host shares the account's calls with the others", x.bucket.URI(x.name)))
	}
	x.places = append(x.places, places...)
	if applied > 0 {
		applied -= int(x.dropped)
		x.dropped = 0
	}
	x.queue = x.queue[applied:]
	now := x.now()
	for _, c := range x.queue { // they came meanwhile
		c.apply(min(c.at, now), now)
	}
}

// goAway notes that the bucket cannot be used for now.
func (x *sharedAccount) goAway(err error) {
	x.l.mu.Lock()
	defer x.l.mu.Unlock()
	if !x.away {
		x.l.cfg.Warn(fmt.Sprintf("the account's calls are not shared with other hosts for now, and kept within the limits by what the API's answers state: %v", err))
	}
	x.away, x.retryAt = true, x.now()+int64(retryAway)
}

// close reports what is left, and returns the places that are not used.
func (x *sharedAccount) close() error {
	x.l.mu.Lock()
	for _, a := range x.places {
		x.returnPlace(a)
	}
	x.places, x.busy = nil, true
	left := len(x.queue) > 0
	x.l.mu.Unlock()
	if left {
		x.exchange(context.Background(), false) // the caller's context may have ended already
	}
	return nil
}

// encode is the object for the present state.
func (x *sharedAccount) encode() []byte {
	b := append(make([]byte, 0, slotLength+8), objectMagic...)
	b = append(b, 0, 0, 0, 0) // the CRC, set below
	b = binary.LittleEndian.AppendUint64(b, uint64(x.latest))
	b, err := binary.Append(b, binary.LittleEndian, &x.l.state)
	if err != nil {
		panic(err) // of a value of fixed size
	}
	binary.LittleEndian.PutUint32(b[len(objectMagic):], crc32.Checksum(b[len(objectMagic)+4:], castagnoli))
	return b
}

// errForeign is the error of an object that no limiter wrote.
var errForeign = errors.New("it is no count of an account's calls, or is damaged: delete it, and all hosts begin again with what the API's answers state")

// decode reads the state from the object.
func (x *sharedAccount) decode(b []byte) error {
	const head = len(objectMagic) + 4
	if len(b) < head+8 || !bytes.HasPrefix(b, []byte(objectMagic)) || binary.LittleEndian.Uint32(b[len(objectMagic):]) != crc32.Checksum(b[head:], castagnoli) {
		return errForeign
	}
	var s accountState
	if n, err := binary.Decode(b[head+8:], binary.LittleEndian, &s); err != nil || n != len(b)-head-8 {
		return errForeign
	}
	x.l.state, x.latest = s, max(x.latest, int64(binary.LittleEndian.Uint64(b[head:])))
	return nil
}
