// Command bench watches the speed of siglake: make bench runs it, in about three minutes on two cores.
//
// # What is measured
//
// The program as it is shipped, end to end: a list of 4,000 companies, a year, all signals of companies,
// from answers that a process of its own serves on the loopback ([answers]), to a published lake; then
// verify and rebuild of that lake. And two parts of it, as Go benchmarks: from the bytes of an answer to
// Arrow records, and from sorted rows to a Parquet file.
//
// Everything is compared with a yardstick that does the same work in the plain way: the whole with the
// command plain, the columns with its decoder, and the encoder with pqarrow. Seconds depend on the
// machine and on its load; the ratio of two programs that ran one after the other hardly does. So every
// round runs all of them in turn, each ratio is computed within its round, and the table shows the
// median of the rounds.
//
// # How to read it
//
// Time is CPU time, user and system, of the child process with all its threads: the garbage collector
// and the journal count. Wall time counts only where the use of two cores is the question, and needs an
// idle machine. Memory is the peak of the resident set of the process.
//
//	"times plain" 3.0      siglake needs a third of the CPU time of the plain program
//	"of the run" 0.3       verify needs 0.3 of the CPU time of the run that it verifies
//	"size, of pqarrow" 1.1 files are 10 % larger than pqarrow's of the same rows
//
// Differences below 5 % are noise. RESULTS.md has one line for each recorded measurement; make
// bench-record adds one. Only lines of the same CPU are comparable.
//
// # Peers
//
// make bench-peers adds Bento, configured in bento.yaml to write the same columns, and DuckDB, which
// encodes the same rows and reads the files of a larger lake, of 100,000 companies: as they are, and as DuckDB
// itself writes the same rows in random order. Both are built as modules of their own.
//
// # Profiles
//
// With -profile DIR the bench measures nothing: it runs siglake once, end to end and in a rebuild, with
// --profile, and leaves the CPU profiles of both in DIR. make pgo merges them for the compiler.
package main
