package app

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/sinks"
)

// Kind is what an error of a use case is about, and so what a caller can do.
type Kind string

// The kinds of errors.
const (
	KindUsage     Kind = "usage"     // flags, arguments or an unreadable list
	KindAuth      Kind = "auth"      // key, account or plan
	KindStorage   Kind = "storage"   // disk, bucket or lake
	KindLocked    Kind = "locked"    // another run works on the lake
	KindIntegrity Kind = "integrity" // the lake or its journal contradicts itself
	KindDeferred  Kind = "deferred"  // nothing is wrong that the same command cannot do later
	KindStale     Kind = "stale"     // the last good run is too old
	KindDrift     Kind = "drift"     // answers differ from what the schema knows, and the contract is frozen
)

// Error is an error of a use case, with its kind.
type Error struct {
	Kind Kind
	Err  error
}

// Error gives the message of the cause.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// UsageErrorf is an error of the caller's making: a flag, an argument, a list.
func UsageErrorf(format string, args ...any) error {
	return &Error{KindUsage, fmt.Errorf(format, args...)}
}

// lakeError is an error from reading or writing a lake or its journal: damage, or
// the storage beneath.
func lakeError(err error) error {
	if errors.Is(err, wal.ErrLocked) {
		return &Error{KindLocked, fmt.Errorf("%w; wait until that process has ended, then repeat the command", err)}
	}
	if damaged := new(sinks.ManifestError); errors.As(err, &damaged) && !hasRemedy(err) {
		return &Error{KindIntegrity, fmt.Errorf("%w; siglake verify lists all damage, and siglake rebuild --into DIR writes the lake again from its journal, at no cost", err)}
	}
	if errors.Is(err, wal.ErrCorrupt) || errors.Is(err, sinks.ErrIntegrity) {
		return &Error{KindIntegrity, err}
	}
	return &Error{KindStorage, err}
}

// hasRemedy reports whether an error says what to do about the damage of a lake.
func hasRemedy(err error) bool {
	remedy := new(sinks.RemedyError)
	return errors.As(err, &remedy)
}

// dataError is the error of reading files that the lake at an address lists.
func dataError(uri string, err error) error {
	if hasRemedy(err) || !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, sinks.ErrIntegrity) {
		return lakeError(err)
	}
	return &Error{KindIntegrity, fmt.Errorf("a file of the lake is missing or damaged: %w; siglake verify --lake %s lists all such files, and siglake rebuild --lake %[2]s --into DIR writes the lake again, at no cost", err, uri)}
}
