// Package sinks writes rows into a lake: a directory of typed, Hive-partitioned
// Parquet files with a chain of manifests. [Open] gives a [Lake], which is a
// pipeline.Sink.
//
// # What a lake looks like
//
//	data/<category>/event_month=2026-03/<run>-<digest8>.parquet
//	ledger/<table>/<run>-<digest8>.parquet
//	compact/data/..., compact/ledger/...    what compactions made of many of those
//	_meta/manifest/00000001.json    one per publication, never changed, each naming
//	                                the one before with the SHA-256 of its bytes
//	_meta/snapshot/00000001-<digest16>.ndjson    the files that hold every row as of
//	                                a generation, one a line; its manifest names it
//	_meta/current.json              {generation, path, sha256, snapshot} of the newest one
//	_staging/<run>/*.tmp            spilled rows and finished files, before publication
//
// A file's name carries the first eight digits of the SHA-256 of its rows (not
// of its bytes), so writing the same rows again gives the same name. A
// partition that outgrows the target size in one run becomes several files,
// numbered -0001, -0002 and so on behind the digest.
//
// # How rows become files
//
// [Lake.Write] gives Arrow records to the sorter of their partition (package extsort).
// When they exceed the memory allowed for all partitions together, the largest are
// spilled. [Lake.Stage] merges one partition after another, drops duplicate rows, and
// streams the rest through one Parquet writer at a time: memory depends on the limits
// in [Options], not on how many rows or partitions there are. A staged file is synced,
// read back from the disk and compared with what was meant to be written before Stage
// names it.
//
// # How files become visible
//
// Readers glob for *.parquet, hidden directories included, and one torn file
// fails their whole query. So nothing unfinished ever has a name below data/ or
// ledger/. [Lake.Publish] then
//
//  1. renames every staged file to its final name; each appears whole or not at all,
//  2. syncs the directories, so that a power cut cannot take a name back,
//  3. writes the list of all files as of the next generation: those of the
//     generation before and the run's own,
//  4. links the next manifest generation, which fails if somebody else has taken it,
//  5. replaces current.json: from here on, readers of manifests see the run.
//
// A crash in between loses nothing and needs no undoing: nothing visible is ever
// taken back. Publishing the same files again, from the same process or another
// one that opens the lake with the same run id, finds what is already in place,
// accepts it if its rows are the same, and goes on from there. A generation that
// was linked by a process that died before step 5 is found and completed by the
// next publication. A list whose generation never came stands in nobody's way:
// its name holds its digest, and the next publisher of that generation, who may
// have other files, writes another one.
//
// Two promises differ. Someone who globs sees complete, immutable files, one run
// appearing file by file. Someone who follows current.json to the list that it
// names sees whole runs, of one generation.
//
// # Compaction
//
// A nightly run leaves a small file in each partition that it touches. [Compact]
// merges them into large ones with the same rows, every one of them, and
// publishes these by the same steps: a generation whose list has the large files
// instead of the small ones. Nothing is deleted. The large files lie outside of
// data/ and ledger/, so that someone who globs there goes on with the small ones
// and sees no row twice. It also keeps the lists short, which hold every file
// that a reader needs once in each generation.
//
// # No way back
//
// There is no operation that takes a generation back, and none is wanted: what
// was visible has been read, joined and reported on, and a reader who has the
// list of a generation open must find its files. A run that turned out wrong is
// answered by reading an earlier generation, whose list stays as it is, or by
// building the lake anew from the journal.
package sinks
