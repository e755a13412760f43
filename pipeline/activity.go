package pipeline

import "sync/atomic"

// Activity is what a run is doing at the moment. A Runner notes it, and any goroutine may read it
// meanwhile. The zero value is that of a run that has not begun; a nil *Activity notes nothing.
type Activity struct {
	calls      atomic.Int64
	stopping   atomic.Bool
	publishing atomic.Bool
}

// Calls is the number of batches whose answers the run waits for. Once the run is stopping these
// are on the wire; before, some may wait for the rate limits.
func (a *Activity) Calls() int64 { return a.calls.Load() }

// Stopping reports whether the run makes no further calls, although lines may be left.
func (a *Activity) Stopping() bool { return a.stopping.Load() }

// Publishing reports whether the run has all answers and writes the files.
func (a *Activity) Publishing() bool { return a.publishing.Load() }

func (a *Activity) noteCalls(n int64) {
	if a != nil {
		a.calls.Add(n)
	}
}

func (a *Activity) noteStop() {
	if a != nil {
		a.stopping.Store(true)
	}
}

func (a *Activity) notePublication() {
	if a != nil {
		a.publishing.Store(true)
	}
}
