// Package app holds the use cases of siglake: run, plan, resume, rebuild, compact,
// verify, status, decisions about calls in doubt, and the checkup. A use case takes
// options, an [Env] and what it needs to reach the API; it gives data, or an [Error]
// of a [Kind]. It reads no flags and prints nothing but log lines.
//
// A [Job] is one run or plan. A lake is opened once by each use case, which locks it
// unless the use case only reads. Two commands with the same [Settings] and the same
// list request the same.
//
// # Which type decides what
//
//	lake              which files and journal a command opens, and with which lock
//	session           what one pass of a job does, from the match to the manifest
//	matcher           whether a command begins a run, continues one or has nothing to do
//	windowClock       which day windows end, and which runs may continue in their window
//	queryBuilder      what a run asks of the API; versionChooser: in which version of it
//	nightScheduler    what --since last asks of each pair of entity and signal type
//	pagedQuery        what lookalikes and visitors ask, and from which page on
//	priceQueries      at which price a query is asked, by the account's tariff or the published prices
//	                  (tariff.go); pipeline.Query.CostOf says what results cost at that price
//	RunExit           with which exit code a run ends: exit.go has all codes, and which is the gravest
//	allowance         what the caps of a day or month leave to a run
//	inDoubtPolicy     what happens to calls in doubt; it reconciles them with the account
//	planner           what a plan says; announcer: which repeated purchases a run announces
//	listInput         how a list is read more than once, and what identifies its content
//	replay            which rows follow from the journal alone: recovery, rebuild, verify
//	rereader          what becomes of recorded answers that a later version can read
//	statusReader      how the runs of a lake stand, and which of them to continue
//	publicationCheck  whether the published files follow from the journal
//	pruning           what a lake does not need any more
//	journalLocation   where the journal of a lake in a bucket is
//
// # What a call passes
//
// The API charges per answer and has no sandbox, no idempotency key and no request
// id, so the question about every attempt is what it means for the bill. A paid
// call passes a stack of [pipeline.Fetcher] decorators that each answer a part of
// it. From the wire outwards:
//
//	lusha.Client            one attempt: sends, reads, proves what never left
//	Recorder.RecordCalls    records the raw answer before it is read
//	lusha.Decode            raw answer -> outcome, charge, one reply for each item
//	Recorder.RecordOutcomes records what Decode made of it
//	ratelimit.Limit         admits every attempt, and sees every refusal
//	policy.Retry            repeats what certainly was not charged; stops the run
//	policy.Bisect           splits a batch that is refused for something in it
//	policy.Budget           keeps the highest possible cost of the run below a cap
package app
