package inbox

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"sync"
	"time"

	"github.com/siglake/siglake/internal/durable"
	"github.com/siglake/siglake/internal/lease"
	"github.com/siglake/siglake/internal/wal"
)

// Delivery is a delivery as it was received.
type Delivery struct {
	// Identifies the delivery. Of an opt-out notice, which has no id, it is a digest of the contact and
	// the date; of what cannot be read, a digest of the body.
	ID       string
	Kind     Kind
	Received time.Time // in UTC, to the microsecond
	Stamp    string    // the timestamp header, as received
	Body     []byte    // as received
	// The body was pruned: Stamp and Body are empty.
	Pruned bool
}

// Kind says what a delivery is. It is the kind of its record.
type Kind byte

// The kinds of deliveries.
const (
	Event      Kind = 1 // a signal
	OptOut     Kind = 2 // a person has opted out
	Test       Kind = 3 // asked for by siglake webhooks test
	Unreadable Kind = 4 // it has the right signature, and is none of the others
)

func (k Kind) String() string {
	switch k {
	case Event:
		return "event"
	case OptOut:
		return "opt-out notice"
	case Test:
		return "test"
	case Unreadable:
		return "unreadable"
	}
	return fmt.Sprintf("kind %d", byte(k))
}

// Errors of an inbox.
var (
	// ErrLocked reports that another process receives deliveries for the lake.
	ErrLocked = errors.New("another siglake listen receives deliveries for this lake")
	// ErrBusy reports that too many deliveries wait to become durable. The delivery was not added.
	ErrBusy = errors.New("too many deliveries wait to become durable")
	// ErrReplaced reports a position in another inbox than this one, which was removed or restored from
	// a copy. The deliveries of this one are to be read from its beginning.
	ErrReplaced = errors.New("the inbox is not the one that this position is in")
)

// Bucket is what an inbox in a bucket needs of it; a bucket.Bucket implements it.
type Bucket interface {
	wal.Bucket
	lease.Bucket
}

// Options of an inbox; the zero value is that of a lake in a directory.
type Options struct {
	// The bucket of a lake on S3. Nil: the lake is a directory.
	Bucket Bucket
	// Surrounds every operation on a file. Nil: none.
	Hook durable.Hook
	// The time. Nil: time.Now.
	Now func() time.Time
	// The command that holds the lock, for the message of another process; empty: siglake listen.
	Holder string
	// How many deliveries may wait to become durable; more are refused with ErrBusy. 0: 256.
	MaxWaiting int
	// How many ids are remembered, at most; 0: 200,000. The oldest ones are forgotten first.
	MaxIDs int
	// How long a failing write to a bucket is retried; 0: a minute.
	Patience time.Duration
	// The size of a segment in bytes; 0: 4 MiB. Only complete segments are pruned.
	SegmentSize int64
}

const (
	stateDir      = "_state/inbox" // in the lake
	lockObject    = stateDir + "/lock.json"
	rememberedFor = 24 * time.Hour
)

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Holder == "" {
		o.Holder = "siglake listen"
	}
	if o.MaxWaiting == 0 {
		o.MaxWaiting = 256
	}
	if o.MaxIDs == 0 {
		o.MaxIDs = 200_000
	}
	if o.Patience == 0 {
		o.Patience = time.Minute
	}
	if o.SegmentSize == 0 {
		o.SegmentSize = 4 << 20
	}
	return o
}

// store opens where the log lies. With create, a missing directory is created.
func (o Options) store(lake string) (store wal.Store, closeStore func() error, err error) {
	if o.Bucket != nil {
		s := wal.NewObjects(o.Bucket, stateDir, wal.ObjectsOptions{Patience: o.Patience, Memory: 32 << 20})
		return s, s.Close, nil
	}
	s, err := wal.OpenDir(dirOf(lake), o.Hook)
	if err != nil {
		return nil, nil, err
	}
	return s, s.Close, nil
}

func dirOf(lake string) string { return filepath.Join(lake, filepath.FromSlash(stateDir)) }

// Inbox is the inbox of a lake, opened by its one writer. It may be used concurrently.
type Inbox struct {
	lock    lease.Lock
	log     *wal.Log
	close   func() error // of the store
	options Options

	mu      sync.Mutex
	waiting int
	pending map[idDigest]*appending
	known   *recentIDs
}

// appending is a delivery that is being made durable.
type appending struct {
	done chan struct{}
	err  error // set before done is closed
}

// idDigest stands for an id in memory.
type idDigest [16]byte

func digestOf(id string) idDigest {
	sum := sha256.Sum256([]byte(id))
	return idDigest(sum[:16])
}

// Open takes the lock of a lake's inbox, which it creates if there is none, and reads the ids of the last
// day. Another process that has the lock is ErrLocked.
func Open(ctx context.Context, lake string, o Options) (*Inbox, error) {
	o = o.withDefaults()
	i := &Inbox{options: o, pending: map[idDigest]*appending{}, known: newRecentIDs(o.MaxIDs)}
	var err error
	if i.lock, err = o.acquire(ctx, lake); err != nil {
		return nil, err
	}
	if err = i.open(ctx, lake); err != nil {
		return nil, errors.Join(err, i.Close())
	}
	return i, nil
}

func (o Options) acquire(ctx context.Context, lake string) (l lease.Lock, err error) {
	if o.Bucket != nil {
		l, err = lease.Acquire(ctx, o.Bucket, lockObject, o.Holder, lease.Options{})
	} else if err = durable.MkdirAll(dirOf(lake), 0o770, o.Hook); err == nil { // before the lock, whose directory all may read
		l, err = lease.AcquireFlock(dirOf(lake), o.Holder)
	}
	if errors.Is(err, lease.ErrLocked) {
		return nil, fmt.Errorf("%w%s", ErrLocked, lease.HolderText(err))
	}
	if err != nil {
		return nil, err
	}
	return l, nil
}

func (i *Inbox) open(ctx context.Context, lake string) error {
	store, closeStore, err := i.options.store(lake)
	if err != nil {
		return err
	}
	i.close = closeStore
	if i.log, err = wal.Open(ctx, store, wal.Options{SegmentSize: i.options.SegmentSize, Lazy: true}); err != nil {
		return err
	}
	return i.readRecentIDs(ctx)
}

// readRecentIDs reads the ids of the last day from the log.
func (i *Inbox) readRecentIDs(ctx context.Context) error {
	since := i.options.Now().Add(-rememberedFor)
	from, err := firstSegmentFrom(ctx, i.log, since)
	if err != nil {
		return err
	}
	return i.log.WalkFrom(ctx, from, false, func(p wal.Position, _ byte, head []byte, _ int64) error {
		received, id, err := decodeHead(head)
		if err != nil {
			return fmt.Errorf("inbox: record at %v: %w", p, err)
		}
		if received.After(since) {
			i.known.add(digestOf(id), received)
		}
		return nil
	})
}

// firstSegmentFrom is the beginning of the last segment that begins before a time, or of the log.
func firstSegmentFrom(ctx context.Context, log *wal.Log, since time.Time) (wal.Position, error) {
	end, _ := log.Durable()
	segment, _ := end.Place()
	for ; segment > 1; segment-- {
		begin := beginningOf(segment)
		received, found, err := firstReceived(ctx, log, begin)
		if err != nil {
			return begin, err
		}
		if found && received.Before(since) {
			return begin, nil
		}
	}
	return wal.First, nil
}

func beginningOf(segment int) wal.Position {
	_, offset := wal.First.Place()
	return wal.PositionAt(segment, offset)
}

// firstReceived is when the first delivery from a position on arrived.
func firstReceived(ctx context.Context, log *wal.Log, from wal.Position) (received time.Time, found bool, err error) {
	err = log.WalkFrom(ctx, from, false, func(_ wal.Position, _ byte, head []byte, _ int64) (err error) {
		if received, _, err = decodeHead(head); err != nil {
			return err
		}
		found = true
		return errStop
	})
	if errors.Is(err, errStop) {
		err = nil
	}
	return received, found, err
}

// errStop ends a walk.
var errStop = errors.New("enough was read")

// Append adds a delivery, and returns when it is durable. false: a delivery with its id is in the inbox
// already, and durable. After ErrBusy nothing was added. When ctx ends first, the delivery may become
// durable later; any other error means that the inbox cannot be written any more.
func (i *Inbox) Append(ctx context.Context, d *Delivery) (fresh bool, err error) {
	digest := digestOf(d.ID)
	for {
		a, own, err := i.begin(digest, d)
		if a == nil {
			return false, err
		}
		select {
		case <-a.done:
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
		switch {
		case own:
			return a.err == nil, a.err
		case a.err == nil:
			return false, nil
		}
	}
}

// begin begins to append a delivery, or finds the append of another copy: own is false. Without either,
// the id is known, or err says why not.
func (i *Inbox) begin(digest idDigest, d *Delivery) (a *appending, own bool, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.known.has(digest, i.options.Now().Add(-rememberedFor)) {
		return nil, false, nil
	}
	if a := i.pending[digest]; a != nil {
		return a, false, nil
	}
	if i.waiting >= i.options.MaxWaiting {
		return nil, false, ErrBusy
	}
	if err := i.lock.Err(); err != nil {
		return nil, false, err
	}
	i.waiting++
	a = &appending{done: make(chan struct{})}
	i.pending[digest] = a
	go i.append(digest, *d, a) // ends when the log is durable or broken; Close waits for the log
	return a, true, nil
}

// append makes a delivery durable.
func (i *Inbox) append(digest idDigest, d Delivery, a *appending) {
	_, a.err = i.log.Append(byte(d.Kind), encodeHead(d.Received, d.ID), encodeBody(d.Stamp, d.Body))
	i.mu.Lock()
	defer i.mu.Unlock()
	i.waiting--
	delete(i.pending, digest)
	if a.err == nil {
		i.known.add(digest, d.Received)
	}
	close(a.done)
}

// Lost is closed when another process may have the lock of an inbox in a bucket. It is nil in a directory.
func (i *Inbox) Lost() <-chan struct{} { return i.lock.Lost() }

// Len is the number of ids that are remembered.
func (i *Inbox) Len() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.known.len()
}

// Waiting is the number of deliveries that wait to become durable.
func (i *Inbox) Waiting() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.waiting
}

// IsFull reports whether the next delivery would be refused with ErrBusy.
func (i *Inbox) IsFull() bool { return i.Waiting() >= i.options.MaxWaiting }

// End is the position behind the last durable delivery.
func (i *Inbox) End() Position { return positionOf(i.log.Durable()) }

// Prune removes the bodies of deliveries before a position that arrived before a time. Of what it
// removes, the id and the time of arrival stay. Deliveries in the segment that is being written stay, too.
func (i *Inbox) Prune(ctx context.Context, before Position, olderThan time.Time) error {
	end, _, err := before.parse()
	if err != nil {
		return err
	}
	var records []wal.Position
	last, _ := i.log.Durable()
	lastSegment, _ := last.Place()
	err = i.log.Walk(ctx, false, func(p wal.Position, _ byte, head []byte, body int64) error {
		segment, _ := p.Place()
		if segment >= lastSegment || !p.Before(end) {
			return errStop
		}
		received, _, err := decodeHead(head)
		if err != nil {
			return err
		}
		if body != wal.PrunedBody && received.Before(olderThan) {
			records = append(records, p)
		}
		return nil
	})
	if err != nil && !errors.Is(err, errStop) {
		return err
	}
	if len(records) == 0 {
		return nil
	}
	plan, err := i.log.PlanPruning(ctx, records)
	if err != nil || plan.IsEmpty() {
		return err
	}
	return i.log.Prune(ctx, plan, i.lock.Err)
}

// Close waits until everything is durable, and releases the lock.
func (i *Inbox) Close() (err error) {
	if i.log != nil {
		err = i.log.Close()
	}
	if i.close != nil {
		err = errors.Join(err, i.close())
	}
	return errors.Join(err, i.lock.Close())
}

// Path is where the inbox of a lake lies, below the lake.
func Path() string { return path.Clean(stateDir) }
