// Package sources reads lists of accounts: companies or contacts, one per line.
//
// A list is whatever an analyst or a nightly export produces, so the package detects what it can
// (compression, encoding, delimiter, header, columns, companies or contacts), and [List.Input]
// reports every decision. It does not guess what it cannot detect, because a misread line costs
// money: [Open] fails with an [Error] that names the columns it found and the option that decides.
//
// The bytes pass through these steps, one per file:
//
//	objects.go    path, folder, pattern or s3:// URI -> the files it names
//	open.go       files or standard input -> counted, hashed bytes -> List
//	s3.go         one version of an object -> ranges -> bytes
//	encoding.go   gzip, zstd; any encoding -> UTF-8
//	charset.go    the encodings: their names, and how to recognise one
//	latin.go      code pages with Latin letters, by the languages of the text
//	filetype.go   a file that is no list -> what it is instead
//	workbook.go   one sheet of an Excel workbook -> UTF-8
//	sheetxml.go   the XML of a sheet -> what the library for workbooks does not say
//	csv.go        UTF-8 -> records with their physical lines, within fixed limits
//	dialect.go    a sample of the text -> the delimiter
//	vocabulary.go header cell -> role (vocabulary.txt holds the words)
//	content.go    cells of the sample -> what a column holds
//	header.go     the first records -> the header, and a layout: which column is which field
//	columns.go    columns by name and number, and the fields that they hold
//	roles.go      words of the header and content -> roles, object, fields
//	object.go     companies or contacts
//	infer.go      content alone -> fields, for a list without a header
//	unused.go     columns that are not used, and why
//	reading.go    the decisions -> a description for others to print
//	account.go    record -> schema.Account, or the reason why it is none
//	spreadsheet.go  what spreadsheets do to cells -> the text
//	nonaccounts.go  placeholders, and lines that name no account (nonaccounts.txt holds the texts)
//	otherids.go   telephone numbers and ids of other programs, which are no names
//	normalise.go  one cell -> the identifier that the API understands (pure functions)
//	mail.go       a cell with names, labels or several addresses -> one address
//	wrappers.go   a rewritten link -> the link in it
//	sites.go      addresses that are not a company's own site; sites.txt lists them
//	sharedkeys.go one key under which lines request different entities
//	clashes.go    one domain that lines with different names have by a cut part only
//
// # One status per line
//
// Every physical line is the header, a blank line, or part of exactly one record, and every record
// is yielded exactly once: as an account that can be requested, or with a Reject that says where
// the problem is and why. A line that cannot be split affects only itself: an unclosed quote is
// rejected where it opens, and reading resumes at the next line. A stream that breaks (such as a
// truncated gzip file) yields the whole lines before the break and then an [Error] with the line
// reached.
//
// # Notes of a normalised account
//
// Changes of spelling are silent: case, scheme, "www.", path, white space. Changes of meaning leave
// a note: a sub-domain that was cut, a share class, a second address that was ignored, an invalid
// identifier that was skipped for a less reliable one. If several identifiers are valid, all are
// kept; schema.Account.Identifier picks the one to request by.
//
// A domain is used only if it is the company's own. An address at a free mail provider, a site
// builder or a network, or one that other lines share by a part that was cut, is set aside for the
// name; without a name the line is rejected.
//
// # Many files
//
// A folder or a pattern is one list of many files, in the order of their names. Rows are counted
// across the files, and each file is read like a list of its own, with its own header, dialect and
// encoding. Hidden files (.name, _name, ~$name) and empty files are skipped, and with a note files that are
// no list by their content, or lines of text next to files with headers. S3 and local files behave alike.
//
// An object on S3 is read in the version that was found: its ETag is part of the fingerprint of the
// input and of each request. If the object is replaced in the meantime, reading ends with an error
// and never mixes lines of two versions. Reading resumes where an answer breaks off.
//
// Memory is constant: one record (at most 1 MiB), two samples (64 KiB, or up to 1 MiB if lines are
// long or the text is not plainly UTF-8), and on S3 one range (at most 8 MiB). A workbook is unpacked
// to temporary files, and takes up to about 200 MiB for the index of its texts. Only a list with both
// names and domains takes 12 bytes a line before its first line is yielded: see Clashes. A list with a column of keys takes 12 bytes a line until it was
// read, 24 MB at most: see keyUses. The text of a
// workbook is kept in a temporary file for that, because unpacking it is most of the work.
//
// # Cost
//
// Most cells of most lists are plain, so each judgement of a cell begins with a look at its bytes that
// settles plain ones: plainAddress, mayList, isTidyLatin, hasSingleLetters, latinKey, the first bytes of
// placeholders. A test compares each with what it saves. BenchmarkKinds compares kinds of lists.
package sources
