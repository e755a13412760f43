package app

import (
	"context"

	"github.com/siglake/siglake/internal/format"
)

// checkQuickly checks what needs no answer: the chain of manifests, the digests of all bytes, and sums.
func (p *publicationCheck) checkQuickly(ctx context.Context) error {
	return p.runChecks(ctx, p.chainCheck(), p.filesCheck(), check{oneChain, p.checkGenerations}, check{oneChain, p.checkJournal},
		check{recordedFirst, publishedRuns{p}.checkRuns}, check{filesIntact, fileReader{p}.checkFiles})
}

// quickFindings are the findings of a quick check, and what it left out.
func quickFindings(p *publicationCheck) []Finding {
	runs := len(p.lake.ledger.Runs())
	unread := func(number int, text string) Finding {
		return Finding{Number: number, Text: text, Detail: "no answer was read", Unchecked: true}
	}
	return []Finding{
		{Number: 1, Text: allocated, Detail: "recorded outcomes of " + format.Count(runs, "run"), Violations: p.unbalanced, LeftOut: "that the answers state these charges"},
		unread(2, withinInterval),
		{Number: 3, Text: recordedFirst, Detail: format.Count(p.generations, "generation"), Violations: p.older, LeftOut: "the order of the records of attempts"},
		unread(4, boughtOnce),
		{Number: 5, Text: rowsMatch, Detail: p.preparedText(), lost: len(p.incomplete) > 0, Violations: p.differing, LeftOut: "the rows, neither of runs nor of compactions"},
		{Number: 6, Text: filesListed, Detail: p.fileText(), Violations: p.unlisted, remedied: p.remedied[filesListed]},
		{Number: 7, Text: filesIntact, Detail: format.Bytes(p.bytes) + " read", Violations: p.damaged, remedied: p.remedied[filesIntact]},
		{Number: 8, Text: oneChain, Detail: p.chainText(), Violations: p.brokenChain, remedied: p.remedied[oneChain]},
		{Number: 9, Text: oneStatus, Detail: format.Count(p.lines, "line"), Violations: p.badStatus},
		unread(10, withinBudget),
		unread(11, keyNowhere),
		{Number: 12, Text: nothingLeft, Detail: p.finishedText, Violations: p.unfinished},
	}
}

// preparedText says which manifests were compared with what their runs prepared.
func (p *publicationCheck) preparedText() string {
	if len(p.incomplete) > 0 {
		return "manifests as they were prepared; credits " + p.incompleteText()
	}
	return "manifests as they were prepared"
}

// checkWithoutJournal checks what needs no journal: the chain of manifests, and the digests of all bytes.
func (p *publicationCheck) checkWithoutJournal(ctx context.Context) error {
	return p.runChecks(ctx, p.chainCheck(), p.filesCheck(), check{oneChain, p.checkGenerations}, check{filesIntact, fileReader{p}.checkFiles})
}

// journalFindings are the findings if the journal cannot be read.
func journalFindings(p *publicationCheck, journal error) []Finding {
	unread := func(number int, text string) Finding {
		return Finding{Number: number, Text: text, Detail: "the journal cannot be read", Unchecked: true}
	}
	return []Finding{
		unread(1, allocated),
		unread(2, withinInterval),
		{Number: 3, Text: recordedFirst, Detail: "the journal cannot be read", Violations: []string{unreadText(journal)}, remedied: 1, inLedger: true},
		unread(4, boughtOnce),
		unread(5, rowsMatch),
		{Number: 6, Text: filesListed, Detail: p.fileText(), Violations: p.unlisted, remedied: p.remedied[filesListed]},
		{Number: 7, Text: filesIntact, Detail: format.Bytes(p.bytes) + " read", Violations: p.damaged, remedied: p.remedied[filesIntact]},
		{Number: 8, Text: oneChain, Detail: p.chainText(), Violations: p.brokenChain, remedied: p.remedied[oneChain]},
		{Number: 9, Text: oneStatus, Detail: format.Count(p.lines, "line"), Violations: p.badStatus},
		unread(10, withinBudget),
		unread(11, keyNowhere),
		unread(12, nothingLeft),
	}
}
