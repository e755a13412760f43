// Package pipeline is siglake's main job: it turns a list of accounts into typed Parquet and a
// bill that allocates every charge to what it bought.
//
// Start with pipeline.go: it defines what the job needs (a [Source] of lines, a [Fetcher] that
// calls the API, a [Sink] that stores rows). run.go is the job from start to end. Nothing here
// knows HTTP, CSV or Parquet.
//
//	Source ──▶ batcher ──▶ prefetch ──▶ recorder ──▶ Sink
//	lines      batches     answers      records      files, manifest
//	                       and rows,
//	                       in order
//
// batcher.go drops duplicates, decides the status of lines that need no request, and fills batches.
// prefetch.go keeps several batches in flight and returns the answers in the order of the batches,
// so that everything after it is sequential and its output a pure function of the answers:
// concurrency changes neither the rows nor their order. The goroutine that receives an answer also makes
// the rows of its events, in flatten.go: most of the work on an answer depends on nothing but the answer.
// recover.go does the same for the recorded answers of a run whose process ended. room.go bounds the bytes
// of the answers and rows that are under way or wait for their turn: it decides which calls may start.
// allocate.go allocates a call's charge to what it bought, recorder.go writes rows and charges as Arrow
// records, and manifest.go accounts for everything, up to the [Reconciliation] with the account.
// query.go decides what an action costs, at most ([Query.Ceiling]) and exactly ([Query.CostOf]), at the
// price that the query states; tariff.go has the form of an account's price list.
//
// # Queries
//
// A [Query] says what to buy ([Ask]), with which version of the API ([APIVersion]), and what it can
// cost at most. There is one Ask for each [Service]: signals are one of several, and all take the
// same path, through the same stack of fetchers, and the same journal, bill and tables. Services
// differ in the format of their requests and answers, which only the fetcher knows, and in the
// columns of their rows, which schema defines.
//
// If signals are requested by id only, the list is walked twice: first to search for the ids that
// are not known yet (searchItems, in batcher.go), then to request the signals by id. So the calls
// of both kinds are full, and each walk is as sequential in its effects as a single one. Known ids
// come from [Purchases]; they are not kept here.
//
// Services with paged answers have their own loop, in pages.go: the request for a page depends on
// the answer to the previous page, so nothing can run concurrently. A page with a lost answer
// ends the run.
//
// What webhooks deliver is published by a run that requests nothing, in deliveries.go: each delivery is a batch with one
// item, whose call has its answer from the beginning. So rows, bill and tables come about as they do for a request.
//
// # Stopping
//
// A stop is not a cancellation. When the context ends, or a fetcher returns a [*Stop], no new call
// starts; calls on the wire are awaited, because they may be charged; the rest of the list is read
// to its end, so that every line gets its status, deferred; and what was paid for is published.
//
// # Drift
//
// While an event is typed, the flattener meets every field that no column reads and every value that a
// column cannot hold: drift.go notes them, with types that the catalogue does not have and fields that
// should be there, so no record is read a second time for that. The notes are a function of the answers
// alone, whatever their order: each answer is looked at for itself, and the recorder adds up what was
// found. Under a frozen [Contract] the first answer that differs stops the run as soon as it was received.
//
// # Money
//
// The server's number is the bill. A charge that was not understood is unknown, never zero. A call
// with an unknown outcome is [InDoubt]: its items are in doubt, listed in the manifest with their
// maximum cost, and never requested again in the same run.
package pipeline
