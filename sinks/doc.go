// Package sinks writes rows into a lake and publishes them. A lake is a directory of
// typed, Hive-partitioned Parquet files with a chain of manifests. [Open] returns a
// [Lake], which is a pipeline.Sink.
//
// # What a lake looks like
//
//	data/<category>/event_month=2026-03/<run>-<digest8>.parquet
//	ledger/<table>/<run>-<digest8>.parquet
//	compact/data/..., compact/ledger/...    large files that compactions merged from those
//	merges/00000004.parquet         which of both a table over folders shows
//	_meta/manifest/00000001.json    one per publication, immutable, each naming the
//	                                previous one with the SHA-256 of its bytes
//	_meta/snapshot/00000001-<digest16>.ndjson    the files that hold every row as of
//	                                a generation, one a line; its manifest names it
//	_meta/current.json              {generation, path, sha256, snapshot} of the newest one
//	_staging/<run>/*.tmp            spilled rows and finished files, before publication
//
// A file's name contains the first eight digits of the SHA-256 of its rows (not
// of its bytes), so writing the same rows again gives the same name. A
// partition that outgrows the target size in one run becomes several files,
// numbered -0001, -0002 and so on after the digest.
//
// # How rows become files
//
// [Lake.Write] gives Arrow records to the sorter of their partition (package extsort).
// When they exceed the memory allowed for all partitions together, the largest are
// spilled. [Lake.Stage] first decides which rows of all partitions are written: of
// events those that the lake does not have. From then on partitions depend on nothing but
// themselves, and several are merged and streamed through Parquet writers at once; accounts
// come last, since they say which of their events are new. How many depends on the
// memory allowed, so memory depends on the limits in [Options], not on the number of rows,
// partitions or cores. What is written, its order and an error do not depend on how many work
// at once. Before Stage returns a file, it syncs the file, reads it back from the disk
// and compares it with what it was to hold.
//
// A [Check] does the same for a run that is published, and takes the digests of the rows
// instead of writing them.
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
//  4. links the next manifest generation, which fails if another publisher has taken it,
//  5. replaces current.json: from here on, readers of manifests see the run.
//
// A crash in between loses nothing and needs no rollback: nothing visible is ever
// withdrawn. To publish the same files again, from the same process or another one that
// opens the lake with the same run id, finds the files already in place, accepts them if
// their rows are the same, and continues from there. If a process died between steps 4
// and 5, the next publication finds its generation and completes it. If a process died
// between steps 3 and 4, its list blocks no other publisher: the list's name contains
// its digest, and the next publisher of that generation, which may have other files,
// writes another list.
//
// Readers get one of two guarantees. Those that glob see complete, immutable files; a run
// appears file by file. Those that follow current.json to the list that it names see
// complete runs, as of one generation.
//
// # Compaction
//
// A nightly run leaves a small file in each partition that it touches. [Compact]
// merges them into large files with exactly the same rows, and publishes these by the
// same steps, as a generation that lists the large files instead of the small ones.
// Nothing is deleted. The large files lie outside of data/ and ledger/, so readers that
// glob there still read the small ones and see no row twice. Compaction also keeps the
// lists short, since each generation lists every file that a reader needs.
//
// # No rollback
//
// No operation withdraws a generation: what was visible has been read, joined and
// reported on, and a reader that has the list of a generation open must find its files.
// To undo a run that turned out wrong, read an earlier generation, which keeps its list,
// or rebuild the lake from the journal.
package sinks
