// Package ratelimit keeps a client within the rate limits of its account: a number of calls per minute,
// hour and day, all at once, and a number per second. The aim is that no answer is ever a 429, and
// that almost all of the allowed calls can be used.
//
// A [Limiter] is the state of one account. [Limit] wraps a fetcher with it: each call waits for its
// admission, and each answer corrects the state.
//
// # Admission
//
// How the server divides time into windows is not documented. The windows are most likely the
// minutes, hours and days of UTC, but may start with the first call, or may be rolling. So there are two
// independent checks for each window, and a call passes if both allow it.
//
//   - The sliding window counts what this account did on this host, and bounds the calls in every
//     period of the window's length, wherever it starts. A call counts from its admission until a
//     window's length after its answer, because the server counted it somewhere in between. A
//     client that is alone on the account can therefore not exceed any of the three kinds of
//     window.
//   - The headers report what the server counted. The calls it last stated to be left, minus the
//     calls in flight, minus the reserve, must be more than zero. That includes calls of other
//     users, of other machines, and calls from before the state was lost. If nothing is left, calls
//     wait until the window has reset.
//
// slidingwindow.go has the first, window.go the second, and limiter.go admits a call if both allow it.
//
// The sliding window counts in 300 buckets. A bucket leaves it as a whole, when its latest moment
// is as old as the window is long, so at most 1/300 of the allowed calls is lost, and memory is
// bounded.
//
// # Reset of a window
//
// The time of a reset is not documented either. It is, in this order: a stated time (by the usage
// page, or by the message of a 429); for windows that have reset at other moments than those of
// UTC, a window's length after the first statement about the present one, which no fixed window
// outlives; else the next UTC minute, hour or day on the server's clock. The server's clock is
// known from the Date of its answers to within the duration of an answer. Before the first answer
// it is assumed to be within 30 s of the local clock.
//
// A reset shows in a count that decreases between two calls if the second call left after the first
// was answered: answers arrive out of order, so any other decrease proves nothing. Two resets in
// less time than the window's length are only possible if the windows are rolling; then the sliding
// window decides, and the headers only tell how much others use.
//
// Whenever nothing is known about a window (no answer yet, a lost state, a reset that is expected
// but not seen), a single call goes ahead to obtain a statement.
//
// # The reserve
//
// The reserve is the part of each window that is left to other users of the account. What they have
// used of the present window, as far as it shows, is subtracted from it. So if they use as much as
// was reserved, the window is used up to the last call. If they use more, calls here give way as
// soon as an answer shows it; only a burst of theirs within the last few calls of a window can then
// lead to a 429.
//
// # State
//
// All numbers of an account are one value of fixed size, kept in one file that every process of
// this host uses, under its lock, at every admission and every answer. The file has two slots,
// written in turn, each with a sequence number and a checksum. A process that is killed during a
// write leaves the other slot intact; what is lost is an admission that led to no call, or the end
// of a call, which then counts as in flight until it expires. The reasons for slots instead of a
// temporary file and a rename: the file can be its own lock, there is nothing to clean up, and a
// write is one system call. Nothing is synced to the disk: a kill does not lose what was written,
// and after a power failure the next answer corrects an old or damaged state. An unreadable file is
// copied aside and reset.
//
// Hosts can share the state as an object of a bucket instead: see shared.go.
//
// If no window has a known limit, calls are only spaced, and neither a file nor a bucket is touched.
package ratelimit
