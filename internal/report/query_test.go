package report

import (
	"strings"
	"testing"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// TestQuery: the printed query reads views, since the files of runs have every revision and may be pruned.
func TestQuery(t *testing.T) {
	t.Parallel()
	events, products := &pipeline.Manifest{}, &pipeline.Manifest{Files: []pipeline.File{{Table: string(schema.CategoryScores)}}}
	events.Events.Written = 1
	for _, c := range []struct {
		m    *pipeline.Manifest
		from string
	}{{events, "FROM events "}, {products, "FROM signal_scores "}} {
		var out strings.Builder
		printQuery(&out, "Ida's lake", c.m)
		if got, want := out.String(), `siglake ddl --lake 'Ida'\''s lake' > lake.sql && duckdb -init lake.sql -c "SELECT`; !strings.Contains(got, want) || !strings.Contains(got, c.from) {
			t.Errorf("printQuery = %s, want %s … %s", got, want, c.from)
		}
	}
}
