package main

import (
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// The search attributes of a night.
var (
	listAttribute    = temporal.NewSearchAttributeKeyKeywordList("SiglakeList")
	creditsAttribute = temporal.NewSearchAttributeKeyInt64("SiglakeCredits")
	outcomeAttribute = temporal.NewSearchAttributeKeyKeyword("SiglakeOutcome")
)

// What the server takes as values of a search attribute: bytes of one, and how many.
const (
	maxKeyword = 255
	maxLists   = 50
)

// show sets the search attributes, if the night has them.
func (n *nightRun) show(ctx workflow.Context) error {
	if !n.in.SearchAttributes {
		return nil
	}
	updates := []temporal.SearchAttributeUpdate{creditsAttribute.ValueSet(n.report.Credits), outcomeAttribute.ValueSet(n.report.Outcome)}
	var lists []string
	for _, list := range n.lists[:min(len(n.lists), maxLists)] {
		if len(list) <= maxKeyword {
			lists = append(lists, list)
		}
	}
	if len(lists) > 0 {
		updates = append(updates, listAttribute.ValueSet(lists))
	}
	return workflow.UpsertTypedSearchAttributes(ctx, updates...)
}

// firstAttributes are those of a night that begins, so that a server that lacks them refuses it at once.
func firstAttributes(in *nightInput) temporal.SearchAttributes {
	if !in.SearchAttributes {
		return temporal.SearchAttributes{}
	}
	return temporal.NewSearchAttributes(creditsAttribute.ValueSet(0), outcomeAttribute.ValueSet(outcomeRunning))
}
