// Package report prints what use cases found out, for people and for machines: the
// summary of a run, a plan, the state of a lake or of an account, the SQL that reads
// a lake. Everything here is a function of a writer and of data; it opens nothing,
// and asks nothing. json.go prints what --json prints.
package report
