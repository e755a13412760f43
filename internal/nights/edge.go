package nights

import (
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/pipeline"
)

// mostProbes is the number of pairs with which a night probes the edge of windows at most: as many as
// show that windows do not contain their first day.
const mostProbes = 5

// maxProbes is the number of probes that cost a hundredth of what the lake has cost.
func maxProbes(spent int64) int64 { return min(spent/100, mostProbes) }

// probeEdge has a pair asked from the day of its newest event instead of the day after, while it is not
// known whether windows contain their first day: if they do, the answer has the known event.
func (s *Schedule) probeEdge(p *pair, q *pipeline.Query) {
	edge := s.edges[q.APIVersion]
	if p.kind != onward || edge.IsInclusive() || edge.IsExclusive() || s.Counts.EdgeProbes >= s.maxProbes {
		return
	}
	p.since, p.probe = p.since-1, true
}

// startOf is the first day of the window that contains a day and those after it.
func (s *Schedule) startOf(since ledger.Day, q *pipeline.Query) string {
	if s.edges[q.APIVersion].IsExclusive() {
		since--
	}
	return since.String()
}
