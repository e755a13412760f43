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
// # Lateness
//
// How late the events of a type become visible is learned from the events that the lake has. An ask that
// is the first to return an event shows that the event became visible after the ask before, and by
// then: its lateness lies between two bounds, up to one period apart. Only a pair that was asked before
// says something. What its first ask returns, the backfill, has been visible for an unknown time, and so
// has an event before all days that were asked. After a pause of more than five weeks the bounds are too
// far apart. An event that is not dated after all known ones of its pair may itself be a known one, and
// does not count either.
//
// The later an event is, the less likely it is observed: one that becomes visible after a newer event of
// its pair is not, nor is one that is older than every window. In a rehearsal with one event in a hundred
// later than 27 days, 1,700 observed events had one such event at most. So what is learned can only lengthen what
// is expected by default. The lateness of a type is the 99.99 % quantile of the upper bounds: of fewer than
// 10,000 events, the longest. It is too long by a period at most, and that costs nothing: questions about
// empty days are free, and strict nights only ask later. It is 60 days at most.
//
// The settling time is the 95 % quantile, of which the bounds say less: an event that is dated one day
// before an ask can have no upper bound below a week. It therefore stays as it is by default unless that is
// outside the bounds.
//
// # The first day
//
// The API does not say whether a window contains its first day. An answer with an event of that day
// proves that it does. Until then a night asks a few pairs from the day of their newest event, not the
// day after: the known event is in the answer, which is proof, or it is not. Five such answers without
// it show that windows begin a day late, and every question then begins a day earlier. The probes
// cost a hundredth of what the lake has cost at most.
//
// # Completeness
//
// Economy never asks for the days of a known event again, so an event that becomes visible after a
// newer one of the same pair is missed. Strict asks once more for all days after the one up to which
// the pair is closed, when its known events are older than the lateness of the type: it buys each event
// about twice, and misses only what is later than that.
//
// # Caps
//
// An answer with as many events as --max-results allows may lack older ones. The API cannot be asked for
// them alone: a question has a first day and no last one, no pages, and returns the newest events. The next
// question begins behind the newest event nevertheless, so that nothing is bought twice, and the ledger
// remembers the window. Once a night runs with a cap above the number of events that are known of it,
// the pair is asked for the whole window again, which buys the known events again: that is how older
// ones are had, on purpose. A night with the same cap never does it.
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
