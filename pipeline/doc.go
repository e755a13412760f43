// Package pipeline is siglake's main job: a list of accounts becomes typed
// Parquet with a bill.
//
// Read pipeline.go first: it says what the job needs (a [Source] of lines, a
// [Fetcher] that asks the API, a [Sink] that keeps rows) and run.go tells the
// job as one story. Nothing here knows HTTP, CSV or Parquet.
//
//	Source ──▶ shard ──▶ ahead ──▶ book ──▶ Sink
//	lines      batches   answers   rows     files, manifest
//	                     in order
//
// idTable.go drops duplicates, settles the lines that cannot be asked about and
// fills batches. prefetch.go keeps several batches in flight and hands the answers
// back in the order of the batches, so that everything after it is sequential
// and its output a pure function of the answers: concurrency changes neither
// the rows nor their order. flatten.go types one event, bill.go spreads a
// call's charge over what it bought, recorder.go writes both as Arrow records, and
// manifest.go is the account of it all.
//
// # What is asked
//
// A [Query] says what is bought ([Service]), in which generation of the API
// ([APIVersion]) and what it costs at the most. Signals are one service among
// several, and all go the same way: through the same stack of fetchers, the same
// journal, bill and tables. A service differs in how its requests are written and
// its answers read, which is the fetcher's business, and in what its rows look
// like, which is schema's.
//
// Where signals are asked by id alone, the list is walked twice: first to search
// the ids that nobody has found out yet (searches, in idTable.go), then to ask by
// them. So both kinds of calls are full, and each walk is sequential in its
// effects like one. What was found out is asked of the [Ledger], not kept here.
//
// Services whose answers come page by page have a loop of their own, pages.go:
// what a page is asked with stands in the answer before it, so there is nothing to
// do at the same time. A page whose answer is lost ends the run.
//
// # Stopping
//
// A stop is not a cancel. When the context ends, or a fetcher returns a [*Stop],
// no new call is made; calls on the wire are waited for, because they may be
// charged; the rest of the list is read to its end so that every line gets its
// one fate, deferred; and what was paid is published.
//
// # Money
//
// The server's number is the bill. A charge that was not understood is unknown,
// never zero. An attempt whose fate is unknown is [InDoubt]: its items are
// held, itemised in the manifest with the most they can have cost, and never
// asked again in the same run.
package pipeline
