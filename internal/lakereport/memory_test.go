package lakereport

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/siglake/siglake/internal/extsort/rowtest"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/schema"
)

// bytesPerLine is how much memory a line without events may take, whatever its texts are.
const bytesPerLine = 200

// TestMemoryOfLines: a million lines of lists fit into 256 MiB, and rows of earlier nights take no more.
func TestMemoryOfLines(t *testing.T) {
	lines := proof.Size(20_000, 200_000, 1_000_000)
	c := New(Scope{}, []string{"country"}, nil)
	if !c.Choose() {
		t.Fatal("no run is chosen")
	}
	before := heap()
	for _, pass := range []Reader{c.ReadIdentities, c.ReadLines} {
		for night := range 2 {
			for first := 0; first < lines; first += 10_000 {
				addLines(t, pass, fmt.Sprintf("2026113%dT000000Z-x", night), first, min(first+10_000, lines))
			}
		}
	}
	took := heap() - before
	t.Logf("%d lines take %d MiB, %d bytes each", lines, took>>20, took/uint64(lines))
	if took > uint64(lines*bytesPerLine) {
		t.Errorf("%d lines take %d bytes each, want at most %d", lines, took/uint64(lines), bytesPerLine)
	}
	if row := c.Report(About{}).Find("hits_by_list").Rows[0]; row[1] != any(int64(lines)) || row[4] != any(int64(lines)) {
		t.Errorf("hits by list: %v, want %d lines, all found", row, lines)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// addLines adds the rows of a run about some lines of a list.
func addLines(t *testing.T, pass Reader, run string, first, end int) {
	t.Helper()
	columns, add := pass(schema.Accounts)
	table := schema.Table{Name: schema.Accounts.Name}
	for _, name := range columns {
		table.Columns = append(table.Columns, schema.Accounts.Columns[schema.Accounts.ColumnIndex(name)])
	}
	var rows []rowtest.Values
	for i := first; i < end; i++ {
		values := map[string]any{
			"run_id": run, "row": int64(i + 1), "account_key": fmt.Sprintf("ACC-%07d", i), "status": string(schema.NoSignal), "object_type": string(schema.Company),
			"identifier_type": "domain", "identifier": fmt.Sprintf("company-number-%d.com", i), "entity_id": fmt.Sprint(100_000_000 + i), "entity_name": fmt.Sprintf("Company number %d", i),
			"input_file": "million.csv", schema.ExtraColumn: fmt.Sprintf(`{"country":"C%d"}`, i%5), "command": "run", "line_name": fmt.Sprintf("Company number %d", i),
		}
		row := make(rowtest.Values, len(columns))
		for n, name := range columns {
			row[n] = values[name]
		}
		rows = append(rows, row)
	}
	rec := rowtest.NewRecord(t, table, rows)
	defer rec.Release()
	if err := add(rec); err != nil {
		t.Fatal(err)
	}
}
