package app

import (
	"time"

	"github.com/siglake/siglake/internal/ledger"
)

// windowClock knows the day that windows end, and with that which runs are still continued in their own
// window.
type windowClock struct {
	// The API's clock if it is known, else the machine's: windows end on its day.
	now func() time.Time
}

// today is the day that windows end.
func (c windowClock) today() time.Time { return c.now().UTC().Truncate(24 * time.Hour) }

// mayContinue reports whether the lines that a run left are still requested in its own window. The
// cursors of --since last make a better one on the next day.
func (c windowClock) mayContinue(r *ledger.Run) bool {
	return windowEnd(r).Equal(c.today()) || c.isOpen(r) && r.Settings["since"] != sinceLast
}

// isOfThisNight reports whether a run belongs to the night that a scheduler's command is for, and
// not to an earlier one: its window ends today, or it began a few hours ago, before midnight. The
// lines that an earlier night left are requested in tonight's window.
func (c windowClock) isOfThisNight(r *ledger.Run) bool {
	const night = 12 * time.Hour
	return windowEnd(r).Equal(c.today()) || c.isOpen(r) && c.now().Sub(r.FirstStarted) < night
}

// isOpen reports whether the lines that a run left are still asked about in
// its own window: that of today, or of a night that continues past midnight.
func (c windowClock) isOpen(r *ledger.Run) bool {
	return !windowEnd(r).Before(c.today().AddDate(0, 0, -1)) && !c.endsInFuture(r)
}

// endsInFuture reports whether a run's window ends behind tomorrow, as one that began under a
// wrong clock. The API refuses such a window, and takes another one for granted than the journal
// says, so the run cannot be continued. Tomorrow is not enough: clocks differ by minutes.
func (c windowClock) endsInFuture(r *ledger.Run) bool {
	return windowEnd(r).After(c.today().AddDate(0, 0, 1))
}

// windowEnd is the day that a run's window ends.
func windowEnd(r *ledger.Run) (day time.Time) {
	for _, q := range r.Queries {
		if t, err := time.Parse(time.DateOnly, q.Until); err == nil && t.After(day) {
			day = t
		}
	}
	return day
}
