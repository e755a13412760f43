package app

import (
	"testing"

	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/pipeline"
)

// TestContinueText: what continues a run is its job, with --refresh if the run is a refresh, or siglake resume.
func TestContinueText(t *testing.T) {
	t.Parallel()
	s := statusReader{lake: &lake{uri: "L"}}
	for want, spec := range map[string]pipeline.RunSpec{
		"siglake job n":           {Job: "n"},
		"siglake job n --refresh": {Job: "n", Refresh: true},
		"siglake resume --lake L": {Refresh: true},
	} {
		if got := s.continueText(&ledger.Run{RunSpec: spec}); got != want {
			t.Errorf("continueText(%+v) = %q, want %q", spec, got, want)
		}
	}
}
