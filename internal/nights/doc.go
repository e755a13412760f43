// Package nights decides what a nightly run asks, so that it buys what is new and little else.
//
// # Cursors
//
// What the lake knows about a pair of entity and signal type is its cursor in the ledger: the date of
// the newest event, the days that were asked, and the day up to which nothing more is expected. A
// question has a first day and no last one, so a pair with a recent event is asked from the day after
// it: known events are outside the window and are not bought again. A pair without a recent event is
// asked with a long look back, which costs nothing while it is empty, and finds late events.
//
// # Due times
//
// The vendor refreshes most types once a week or once a month, and events become visible some days
// after their date. A weekly type is due once for every week, when that week has settled; a monthly one
// once for every month. A night that did not happen, or ended early, leaves its pairs due: they are
// asked the next night, with a window that reaches back to the last time.
//
// # Completeness
//
// Economy never asks for the days of a known event again, so an event that becomes visible after a
// newer one of the same pair is missed. Strict asks once more for all days after the one up to which
// the pair is closed, when its known events are older than the lateness of the type: it buys each event
// about twice, and misses only what is later than that.
//
// # Charges for nothing
//
// An account that is charged for types without events is asked as seldom, and with the whole look back
// each time: where a pair costs a credit whatever the answer has, a shorter window saves nothing.
//
// # Doubts
//
// What a call in doubt may have bought is not asked again before it is decided about: until then the
// pair is asked from the day after that call's window. Once the call is released or was not charged,
// the next question reaches back over its window.
package nights
