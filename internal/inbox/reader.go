package inbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"strings"

	"github.com/siglake/siglake/internal/wal"
)

// Position is a place in an inbox, between two deliveries: the segment, the offset in it, and the random
// number of that segment. It is text, and of two positions in one inbox, the text of the earlier one is
// less. The empty position is the beginning.
type Position string

func positionOf(p wal.Position, id uint64) Position {
	segment, offset := p.Place()
	if segment == 0 {
		return ""
	}
	return Position(fmt.Sprintf("%08d@%010d#%016x", segment, offset, id))
}

// parse takes a position apart. The beginning has no id.
func (p Position) parse() (at wal.Position, id uint64, err error) {
	if p == "" {
		return wal.First, 0, nil
	}
	var segment int
	var offset int64
	if _, err := fmt.Sscanf(string(p), "%08d@%010d#%016x", &segment, &offset, &id); err != nil || positionOf(wal.PositionAt(segment, offset), id) != p {
		return at, 0, fmt.Errorf("%q is not a position in an inbox", string(p))
	}
	return wal.PositionAt(segment, offset), id, nil
}

// Before reports whether p lies before another position of the same inbox.
func (p Position) Before(other Position) bool { return strings.Compare(string(p), string(other)) < 0 }

// Reader reads a lake's inbox. It writes nothing and takes no lock, while another process may append.
// It is for one goroutine at a time.
type Reader struct {
	store wal.Store // nil: there is no inbox
	close func() error
}

// OpenReader opens the inbox of a lake to read it. A lake without one has no deliveries.
func OpenReader(_ context.Context, lake string, o Options) (*Reader, error) {
	o = o.withDefaults()
	if o.Bucket == nil {
		if _, err := os.Stat(dirOf(lake)); errors.Is(err, fs.ErrNotExist) {
			return &Reader{}, nil
		} else if err != nil {
			return nil, err
		}
	}
	store, closeStore, err := o.store(lake)
	if err != nil {
		return nil, err
	}
	return &Reader{store, closeStore}, nil
}

// Close releases the reader.
func (r *Reader) Close() error {
	if r.close == nil {
		return nil
	}
	return r.close()
}

// open reads the log as it is now.
func (r *Reader) open(ctx context.Context) (*wal.Log, error) {
	return wal.Open(ctx, r.store, wal.Options{ReadOnly: true, Lazy: true})
}

// End is the position behind the last durable delivery; empty if there is none.
func (r *Reader) End(ctx context.Context) (end Position, err error) {
	if r.store == nil {
		return "", nil
	}
	log, err := r.open(ctx)
	if err != nil {
		return "", err
	}
	return positionOf(log.Durable()), log.Close()
}

// Deliveries walks the deliveries from one position to another, in the order in which they became
// durable. Both must be positions of this inbox, ErrReplaced otherwise. A delivery belongs to the caller.
func (r *Reader) Deliveries(ctx context.Context, from, to Position) iter.Seq2[Delivery, error] {
	return func(yield func(Delivery, error) bool) {
		if from == to {
			return
		}
		err := r.walk(ctx, from, to, func(d Delivery) bool { return yield(d, nil) })
		if err != nil && !errors.Is(err, errStop) {
			yield(Delivery{}, err)
		}
	}
}

// walk is Deliveries; visit returns false to end it.
func (r *Reader) walk(ctx context.Context, from, to Position, visit func(Delivery) bool) error {
	if r.store == nil {
		return fmt.Errorf("%w: there is none", ErrReplaced)
	}
	log, err := r.open(ctx)
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // it was only read
	first, err := find(ctx, log, from)
	if err != nil {
		return err
	}
	end, err := find(ctx, log, to)
	if err != nil {
		return err
	}
	return log.WalkFrom(ctx, first, false, func(p wal.Position, kind byte, head []byte, body int64) error {
		if !p.Before(end) {
			return errStop
		}
		d := Delivery{Kind: Kind(kind), Pruned: body == wal.PrunedBody}
		if d.Received, d.ID, err = decodeHead(head); err == nil && !d.Pruned {
			err = readBody(ctx, log, p, &d)
		}
		if err != nil {
			return fmt.Errorf("inbox: record at %v: %w", p, err)
		}
		if !visit(d) {
			return errStop
		}
		return nil
	})
}

func readBody(ctx context.Context, log *wal.Log, p wal.Position, d *Delivery) error {
	record, err := log.Read(ctx, p)
	if err != nil {
		return err
	}
	if d.Pruned = record.Pruned; d.Pruned { // since the walk was there
		return nil
	}
	d.Stamp, d.Body, err = decodeBody(record.Body)
	return err
}

// find makes sure that a position is one of the log.
func find(ctx context.Context, log *wal.Log, p Position) (wal.Position, error) {
	at, id, err := p.parse()
	if err != nil || p == "" {
		return at, err
	}
	end, _ := log.Durable()
	segment, _ := at.Place()
	if end.Before(at) {
		return at, fmt.Errorf("%w: %s lies behind its end", ErrReplaced, p)
	}
	if known, err := log.SegmentID(ctx, segment); err != nil {
		return at, err
	} else if known != id {
		return at, fmt.Errorf("%w: %s", ErrReplaced, p)
	}
	return at, nil
}
