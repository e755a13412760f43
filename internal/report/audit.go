package report

import (
	"fmt"

	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/pipeline"
)

// missedText says what share of events the nights missed, by all audits so far.
func missedText(a *pipeline.AuditCounts) string {
	pairs := format.Count(a.Pairs, "audited pair")
	if a.Events == 0 {
		return fmt.Sprintf("missed: not known yet, from %s without an event older than the lateness", pairs)
	}
	share, least, most := a.MissedShare()
	return fmt.Sprintf("missed: %.1f %% (%.1f-%.1f %%), from %s with %s", 100*share, 100*least, 100*most, pairs, format.Count(a.Events, "event"))
}

// auditText adds what the audits of this run found, which the lake has now.
func auditText(a *pipeline.Audit) string {
	return fmt.Sprintf("%s; tonight %s found %s", missedText(&a.Total), format.Count(a.Pairs, "audit"), format.Count(a.Late, "late event"))
}
