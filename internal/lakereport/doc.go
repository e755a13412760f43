// Package lakereport sums up a lake on one page: what came new, who moves, what it cost, what was found,
// and what is open.
//
// # One model, three formats
//
// A [Collector] reads the tables of one generation and gives a [Report]: headline figures and tables, with
// texts as they are shown. [WriteHTML] and [WriteMarkdown] render it and compute nothing, and as JSON it is
// a format of its own. So one comparison shows that all of them are right.
//
// # Every figure is a query
//
// Each figure and table has the SQL, over the views of siglake ddl, that gives it: the page shows it, and a
// test in internal/crosscheck executes it and compares each row. The collector follows the views: an event
// counts once, as of its newest revision, a line as the newest run left it, and a line has the events of
// every id that its identifier had.
//
// # Memory
//
// Rows pass through. In memory are one entry for each entity with events, for each line of the lists, and for
// each event that was revised; lists of events keep the rows that are shown.
//
// # Hostile text
//
// Names, cells of lists and answers are from outside. A text enters the model without invisible and
// control characters and at most [maxText] characters long (see [Shown]). The page is made with html/template; its policy
// forbids every request and every script but its own, by their digests. In Markdown what could be markup
// is escaped.
package lakereport
