package report

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/pipeline"
)

// TestPrintDrift: the same difference of several signal types is one line, and a long list is cut.
func TestPrintDrift(t *testing.T) {
	t.Parallel()
	d := &pipeline.DriftReport{Differences: 5, Found: []pipeline.Drift{
		{Kind: pipeline.NewField, SignalType: "riskNews", Path: "mood", Found: "number", Events: 2, FirstCall: "000002-1"},
		{Kind: pipeline.NewField, SignalType: "peopleNews", Path: "mood", Found: "number", Events: 3, FirstCall: "000003-1"},
		{Kind: pipeline.NewType, SignalType: "a", Events: 1, FirstCall: "000004-1"},
		{Kind: pipeline.NewType, SignalType: "b", Events: 1, FirstCall: "000004-1"},
		{Kind: pipeline.NewField, Path: "entry.size", Found: "list", Events: 1, FirstCall: "000004-1"},
	}}
	var b bytes.Buffer
	printDrift(&b, d)
	printDrift(&b, nil)
	want := `
  Drift: answers differ from what this version knows in 5 ways, first in call 000002-1; every value is kept (siglake help contract)
    field mood is new (number), in riskNews, peopleNews: 5 events, from call 000002-1
    signal type a is new: 1 event, from call 000004-1
    signal type b is new: 1 event, from call 000004-1
    field entry.size is new (list): 1 account, from call 000004-1
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for i := range 20 {
		d.Found = append(d.Found, pipeline.Drift{Kind: pipeline.NewType, SignalType: string(rune('c' + i)), Events: 1})
	}
	b.Reset()
	printDrift(&b, d)
	if !strings.HasSuffix(b.String(), "and more, in ledger/drift\n") || strings.Count(b.String(), "\n") != maxDriftShown+3 {
		t.Errorf("a long list:\n%s", b.String())
	}
	end := &RunEnd{Runs: []*pipeline.Manifest{{Drift: d}}}
	if s := end.Summary(); s.Drift != 5 || !strings.Contains(EndLine(end), "field riskNews.mood is new (number)") {
		t.Errorf("%+v: %s", s, EndLine(end))
	}
}
