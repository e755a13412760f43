package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/siglake/siglake/schema"
)

// TestBentoConfig: Bento writes every column of the tables that the benchmark fills, and asks for every
// signal that siglake asks for.
func TestBentoConfig(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "bento.yaml")
	c := newBentoConfig("list.csv", served{URL: "http://127.0.0.1:1", Events: 7}, "out")
	if err := c.writeTo(path); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	if len(c.Tables) != 3 || len(c.Signals) != 22 || !strings.Contains(text, "count: 7 ") || strings.Contains(text, "<no value>") {
		t.Errorf("%d tables, %d signals, and the file:\n%s", len(c.Tables), len(c.Signals), text)
	}
	for _, name := range []schema.Category{schema.CategoryGrowth, schema.CategoryNews, schema.CategoryRisk} {
		for _, column := range schema.EventTable(name).Columns {
			if !strings.Contains(text, "root."+column.Name+" = ") || !strings.Contains(text, "{ name: "+column.Name+", type: "+bentoTypes[column.Type]) {
				t.Errorf("column %s of %s is not written", column.Name, name)
			}
		}
	}
}
