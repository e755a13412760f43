// Package quota keeps a client within the rate limits of its account: so many
// calls a minute, an hour and a day, all at once, and so many a second. The aim
// is that no answer is ever a 429, and that little of what is allowed is left.
//
// A [Limiter] is the state of one account. [Limit] makes a decorator of it:
// each call waits for its admission, and each answer corrects the state.
//
// # What a call has to pass
//
// How the server cuts time into windows is not documented. They are most likely
// the minutes, hours and days of UTC, but may begin with the first call, or may
// roll. So there are two independent checks for each window, and a call passes
// when both allow it.
//
//   - The ledger holds what this account did here, and bounds the calls in every
//     stretch of time as long as the window, wherever it begins. A call counts
//     from its admission until a window's length after its answer, because the
//     server counted it somewhere between. Who is alone on the account can
//     therefore not exceed any of the three kinds of window.
//   - The headers hold what the server did. What it last stated to be left, less
//     the calls in flight, less the reserve, must be more than nothing. That
//     includes calls of other users, of other machines, and those from before
//     a lost ledger. When nothing is left, it holds until the window has turned.
//
// The ledger counts in 300 buckets of each window's length. A bucket leaves it
// as a whole, when its latest moment is as old as the window is long, so at
// most 1/300 of what is allowed is lost, and memory is bounded.
//
// # When a window turns
//
// Nothing says so, either; in this order: a time that was stated (by the usage
// page, by the message of a 429); for windows that were seen to turn at another
// moment than UTC's, a window's length after the first statement about the
// present one, which no fixed window outlives; else the next UTC minute, hour or
// day on the server's clock. The server's clock is known from the Date of its
// answers to within the time of an answer, and is taken to be anywhere within
// 30 s of ours until there is one.
//
// That a window turned shows in a count that went down between two calls of
// which the second left after the first was answered: answers arrive out of
// order, so any other fall proves nothing. Two turns closer to each other than
// the window is long are only possible if it rolls; then the ledger rules, and
// the headers only tell how much others use.
//
// Whenever nothing is known about a window (no answer yet, a lost state, a turn
// that is expected but not seen), one call goes ahead alone and brings news.
//
// # The reserve
//
// It is what other users of the account may take of each window: what they have
// taken in the present one is subtracted from it, as far as it shows. So if they
// take as much as was reserved, the window is used up to the last call. When
// they take more, calls here make room as soon as an answer shows it; only a
// burst of theirs within the last few calls of a window can then lead to a 429.
//
// # State
//
// All numbers of an account are one value of fixed size, kept in one file that
// every process of this host uses, under its lock, at every admission and every
// answer. It has two slots, written in turn, each with a sequence number and a
// checksum: whoever is killed in the middle of a write leaves the other slot
// whole, and what is lost is an admission that led to no call, or the end of a
// call, which then counts as in flight until it expires. That was chosen over a
// temporary file and a rename, because then the file can be its own lock,
// nothing has to be swept up, and a write is one system call. Nothing is synced
// to the disk: a kill does not lose what was written, and after a power cut an
// old or damaged state is corrected by the next answer. A file that cannot be
// read is copied aside and begun anew.
//
// With no limit known for any window, calls are only spaced, and no file is
// touched.
package quota
