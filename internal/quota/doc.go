// Package quota keeps a client within the rate limits of its account: so many
// calls a minute, an hour and a day, all at once, and so many a second. The aim
// is that no answer is ever a 429, and that little of what is allowed stays unused.
//
// A [Limiter] is the state of one account. [Limit] makes a decorator of it:
// each call waits for its admission, and each answer corrects the state.
//
// # What a call has to pass
//
// How the server divides time into windows is not documented. They are most likely
// the minutes, hours and days of UTC, but may begin with the first call, or may
// roll. So there are two independent checks for each window, and a call passes
// when both allow it.
//
//   - The sliding window counts this host's calls, and bounds them in every period
//     of the window's length, wherever it begins. A call counts from its admission
//     until a window's length after its answer, because the server counted it at
//     some moment between the two. A client that is alone on the account therefore
//     cannot exceed any of the three kinds of window.
//   - The headers state the server's count. The calls that it last stated to be
//     left, less the calls in flight, less the reserve, must be more than zero.
//     This includes the calls of other users, of other machines, and those from
//     before a state that was lost. When none is left, calls wait until the window
//     has turned.
//
// The sliding window counts in 300 buckets. A bucket leaves it as a whole, when its
// latest moment is as old as the window is long, so at most 1/300 of what is
// allowed is lost, and memory is bounded.
//
// # When a window turns
//
// This is not documented either. The limiter uses, in this order: a stated time (of
// the usage endpoint, of the message of a 429); for windows that were seen to turn
// at another moment than UTC's, a window's length after the first statement about
// the present one, which no fixed window outlives; else the next UTC minute, hour
// or day on the server's clock. The server's clock is known from the Date of its
// answers to within the time of an answer, and is taken to be anywhere within 30 s
// of this host's until there is one.
//
// A turn shows in a count that decreased between two calls of which the second left
// after the first was answered: answers arrive out of order, so any other decrease
// proves nothing. Two turns closer to each other than the window is long are only
// possible if it rolls; then the sliding window decides, and the headers only tell
// how much others use.
//
// Whenever nothing is known about a window (no answer yet, a lost state, a turn that
// is expected but not seen), one call goes ahead alone and brings a statement.
//
// # The reserve
//
// The reserve is what other users of the account may take of each window. What they
// are seen to have taken in the present one is subtracted from it. So if they take
// as much as is reserved, the window is used up to the last call. When they take
// more, this host takes less as soon as an answer shows it; only a burst of theirs
// within the last few calls of a window can then lead to a 429.
//
// # State
//
// All numbers of an account are one value of fixed size in one file, which every
// process of this host uses, under the file's lock, at every admission and every
// answer. The file has two slots, written in turn, each with a sequence number and a
// checksum: a process killed in the middle of a write leaves the other slot intact,
// and what is lost is an admission that led to no call, or the end of a call, which
// then counts as in flight until it expires. Unlike a temporary file and a rename,
// this lets the file be its own lock, leaves nothing to clean up, and makes a write
// one system call. Nothing is synced to the disk: a kill does not lose what was
// written, and after a power cut the next answer corrects an old or damaged state.
// A file that cannot be read is copied aside and emptied.
//
// With no limit known for any window, calls are only spaced, and no file is used.
package quota
