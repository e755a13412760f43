// Package app holds the use cases of siglake: run, plan, resume, rebuild, compact,
// verify, status, decisions about calls in doubt, and the checkup. A use case takes
// options, an [Env] and what it needs to reach the API; it gives data, or an [Error]
// of a [Kind]. It reads no flags and prints nothing but log lines.
//
// A [Job] is one run or plan. A lake is opened once by each use case, which locks it:
// its ledger decides whether a command begins a run or continues one. Two commands
// with the same [Settings] and the same list request the same.
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
