package schema

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "add the field ids of new columns to testdata/field_ids.txt")

// TestFieldIDs: an id stands for the same column for ever, since files and Iceberg tables name columns by it.
// The golden file lists every id that a version has written; -update adds ids and changes none.
func TestFieldIDs(t *testing.T) {
	var now []string
	for _, table := range Tables {
		if table.IsEvent() {
			now = append(now, fmt.Sprintf("%s %d event_month", table.Name, PartitionFieldID))
		}
		for i, c := range table.Columns {
			now = append(now, fmt.Sprintf("%s %d %s", table.Name, table.FieldID(i), c.Name))
		}
	}
	path := filepath.Join("testdata", "field_ids.txt")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	golden := strings.Split(strings.TrimSpace(string(raw)), "\n")
	columns := map[string]string{} // by table and id
	for _, line := range golden {
		at := strings.LastIndexByte(line, ' ')
		columns[line[:at]] = line[at+1:]
		if !slices.Contains(now, line) {
			t.Errorf("%q was written by an earlier version, and is gone: give new columns new ids, at the end of their table", line)
		}
	}
	for _, line := range now {
		at := strings.LastIndexByte(line, ' ')
		switch was, taken := columns[line[:at]]; {
		case taken && was != line[at+1:]:
			t.Errorf("%s is the id of %s, and now of %s", line[:at], was, line[at+1:])
		case !taken && !*update:
			t.Errorf("%q is not in %s; add it with -update", line, path)
		}
	}
	if *update && !t.Failed() {
		if err := os.WriteFile(path, []byte(strings.Join(now, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
