package main

import (
	"testing"

	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/pipeline"
)

// TestShortPages: behind a page with fewer results than it has room for, though
// more are announced, the next ones are asked for, and none is bought twice: not
// by the audit's word either.
func TestShortPages(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	for _, p := range pagedCommands {
		t.Run(p.name, func(t *testing.T) {
			r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "missing-entities-some", At: 1}}, Switches: simulator.Switches{Events: "most"}})
			words := p.words
			if p.list != "" {
				words = append(words[:len(words):len(words)], writeText(t, p.list))
			}
			v := r.exec(t.Context(), words, "", pageFlags(60)...)
			if v.code != exitUnexplained || r.manifest.Run.Outcome != pipeline.RunComplete || r.manifest.Pages.Pages < 3 {
				t.Errorf("exit %d, %s, %d pages; want %d and more than two: %s", v.code, r.manifest.Run.Outcome, r.manifest.Pages.Pages, exitUnexplained, v.stderr)
			}
			r.mustExit(exitComplete, "verify")
		})
	}
}
