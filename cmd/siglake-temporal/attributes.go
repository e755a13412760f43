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

// show sets the search attributes, if the night has them.
func (n *nightRun) show(ctx workflow.Context) error {
	if !n.in.SearchAttributes {
		return nil
	}
	updates := []temporal.SearchAttributeUpdate{creditsAttribute.ValueSet(n.report.Credits), outcomeAttribute.ValueSet(n.report.Outcome)}
	if len(n.lists) > 0 {
		updates = append(updates, listAttribute.ValueSet(n.lists))
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
