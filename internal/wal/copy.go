package wal

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"slices"

	"github.com/siglake/siglake/internal/durable"
)

// CreateDir writes a log into a directory that does not exist yet. The log is there as a whole or, after
// an error or a crash, not at all: then what was written lies under another name.
func CreateDir(path string, hook durable.Hook, write func(Store) error) error {
	to, err := OpenDir(path+incompleteSuffix, hook)
	if err != nil {
		return err
	}
	if err := errors.Join(write(to), to.Close()); err != nil {
		return err
	}
	parent, err := durable.Open(filepath.Dir(path), hook)
	if err != nil {
		return err
	}
	name := filepath.Base(path)
	err = parent.RenameNew(name+incompleteSuffix, name)
	if err == nil {
		err = parent.SyncDir(".")
	}
	return errors.Join(err, parent.Close())
}

// incompleteSuffix is that of the name of a log that is being written.
const incompleteSuffix = ".tmp"

// CopyTo copies the log's segments, unchanged, into an empty store. Meanwhile the
// log may be read and must not be written.
func (l *Log) CopyTo(ctx context.Context, to Store) error {
	if !l.segments.readOnly.Load() {
		if err := l.Flush(); err != nil {
			return err
		}
	}
	if err := l.segments.loadFrom(ctx, 1); err != nil {
		return err
	}
	for number := 1; number <= l.segments.count(); number++ {
		s := l.segments.snapshot(number)
		if err := copySegment(ctx, l.segments.store, to, s.name, s.end); err != nil {
			return err
		}
	}
	return nil
}

func copySegment(ctx context.Context, from, to Store, name string, end int64) (err error) {
	r, err := from.Open(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	head := make([]byte, segmentHeaderSize)
	if err := readFull(r, head, 0); err != nil {
		return err
	}
	s, err := to.Create(ctx, name, head, end-segmentHeaderSize)
	if err != nil {
		return err
	}
	const step = 8 << 20
	for at := int64(segmentHeaderSize); at < end; {
		p := make([]byte, min(step, end-at))
		if err := readFull(r, p, at); err != nil {
			return errors.Join(err, s.Close())
		}
		if err := s.Append(p); err != nil {
			return errors.Join(err, s.Close())
		}
		at += int64(len(p))
	}
	return errors.Join(s.Seal(), s.Close())
}

// Begins reports whether a store holds the beginning of the log and nothing else, as a copy does that was
// interrupted. Meanwhile the log must not be written.
func (l *Log) Begins(ctx context.Context, copied Store) (bool, error) {
	names, err := copied.Segments(ctx)
	if err != nil {
		return false, err
	}
	if err := l.segments.loadFrom(ctx, 1); err != nil {
		return false, err
	}
	slices.Sort(names)
	for i, name := range names {
		if i >= l.segments.count() || name != l.segments.snapshot(i+1).name {
			return false, nil
		}
		same, err := beginsSegment(ctx, l.segments.store, copied, l.segments.snapshot(i+1))
		if errors.Is(err, ErrCorrupt) {
			return false, nil
		}
		if !same || err != nil {
			return false, err
		}
	}
	return true, nil
}

// beginsSegment reports whether a segment has the bytes with which another one of its name begins.
func beginsSegment(ctx context.Context, from, copied Store, s segment) (same bool, err error) {
	got, err := copied.Open(ctx, s.name)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, got.Close()) }()
	want, err := from.Open(ctx, s.name)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, want.Close()) }()
	const step = 1 << 20
	for at := int64(0); at < got.Size(); at += step {
		p := make([]byte, min(step, got.Size()-at))
		q := make([]byte, len(p))
		if at+int64(len(p)) > s.end {
			return false, nil
		}
		if err := cmp.Or(readFull(got, p, at), readFull(want, q, at)); err != nil || !bytes.Equal(p, q) {
			return false, err
		}
	}
	return true, nil
}
