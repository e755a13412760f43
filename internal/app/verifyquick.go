package app

import (
	"context"

	"github.com/siglake/siglake/internal/format"
)

// checkQuickly checks what needs no answer: the chain of manifests, the digests of all bytes, and sums.
func (p *publicationCheck) checkQuickly(ctx context.Context) error {
	return runChecks(ctx, p.readChain, p.readFiles, p.checkGenerations, p.checkJournal, p.checkRuns, p.checkFiles)
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
		{Number: 5, Text: rowsMatch, Detail: "manifests as they were prepared", Violations: p.differing, LeftOut: "the rows, neither of runs nor of compactions"},
		{Number: 6, Text: filesListed, Detail: p.fileText(), Violations: p.unlisted},
		{Number: 7, Text: filesIntact, Detail: format.Bytes(p.bytes) + " read", Violations: p.damaged},
		{Number: 8, Text: oneChain, Detail: format.Count(p.generations, "generation"), Violations: p.brokenChain},
		{Number: 9, Text: oneStatus, Detail: format.Count(p.lines, "line"), Violations: p.badStatus},
		unread(10, withinBudget),
		unread(11, keyNowhere),
		{Number: 12, Text: nothingLeft, Detail: p.finishedText, Violations: p.unfinished},
	}
}
