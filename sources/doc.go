// Package sources reads lists of accounts: companies or contacts, one a line.
//
// A list is whatever an analyst or a nightly export hands over, so the package
// decides by itself what it can (compression, encoding, delimiter, header,
// columns, companies or contacts) and [List.Input] reports every decision. What
// it cannot decide it does not guess, because a line that is misread costs
// money: [Open] stops with an [Error] that names the columns it saw and the
// option to write.
//
// The bytes pass through these steps, each in a file of its own:
//
//	findObjects.go       path, folder, pattern or s3:// URI -> the files it names
//	open.go       files or standard input -> counted, hashed bytes -> List
//	s3.go         one version of an object -> ranges -> bytes
//	encoding.go   gzip, zstd; UTF-16, Windows-1252 -> UTF-8
//	csv.go        UTF-8 -> records with their physical lines, within fixed caps
//	csvDialect.go    a sample of the text -> the delimiter
//	header.go     header cells or column content -> which column is which field
//	account.go    record -> schema.Account, or the reason why not
//	normalise.go  one cell -> the identifier the API understands (pure functions)
//	sharedSites.go      hosts that many companies share, as data
//
// # One fate for each line
//
// Every physical line is the header, a blank line, or part of exactly one
// record, and every record is yielded exactly once: as an account that can be
// asked about, or with a Reject that says where and why. A line that cannot be
// split costs only itself: an unclosed quote is rejected where it was opened and
// reading resumes at the line after it. A stream that breaks (a gzip file cut
// off half-way) yields the whole lines before the break and then an [Error] with
// the line it reached.
//
// # What a normalised account notes
//
// Changes of spelling are silent: case, scheme, "www.", path, white space.
// Changes of meaning leave a note: a sub-domain that was cut, a share class, a
// second address that was ignored, an identifier that was set aside for a lesser
// one. When several identifiers are good all are kept; schema.Account.Identifier
// picks the one to ask by.
//
// # Many files
//
// A folder or a pattern is one list of many files, in the order of their names:
// rows are counted across them, and each file is read like a list of its own,
// with its own header, dialect and encoding. Hidden files (.name, _name) and
// empty ones are none of it. S3 and local files behave alike.
//
// An object on S3 is read in the version that was found: its ETag stands in the
// fingerprint of the input and in each request, so that an object that is
// replaced meanwhile ends the reading with an error and never gives lines of two
// versions. Answers that break off are gone on with where they did.
//
// Memory is constant: one record (at most 1 MiB), two 64 KiB samples, and on S3
// one range (at most 8 MiB).
package sources
