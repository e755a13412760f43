package schema

import (
	"slices"
	"strings"
	"testing"
)

// TestMeanings: every signal has a meaning of its own, a unit, and a layout whose columns its table has.
func TestMeanings(t *testing.T) {
	if len(Meanings) != len(Signals) {
		t.Errorf("%d meanings, want %d", len(Meanings), len(Signals))
	}
	seen := map[string]string{}
	for _, s := range Signals {
		m := Meanings[s.Key]
		if m.Text == "" || m.Unit == "" || strings.HasSuffix(m.Text, ".") {
			t.Errorf("%s: %+v, want a sentence without a full stop, and a unit", s.Key, m)
		}
		if other := seen[m.Text]; other != "" {
			t.Errorf("%s means the same as %s", s.Key, other)
		}
		seen[m.Text] = s.Key
	}
}

// TestRecordLayouts: the layouts have the columns that read the fields of their signals, and those that
// records always fill are among them.
func TestRecordLayouts(t *testing.T) {
	used := map[string]bool{}
	for _, s := range Signals {
		used[s.Record] = true
		table, layout := EventTable(s.Category), RecordLayouts[s.Record]
		var want []string
		for _, c := range table.Columns {
			if slices.ContainsFunc(c.From, func(f string) bool { return slices.Contains(strings.Fields(payloads[s.Key]), f) }) {
				want = append(want, c.Name)
			}
		}
		got := slices.Sorted(slices.Values(layout.Columns))
		if slices.Sort(want); !slices.Equal(got, want) {
			t.Errorf("%s: layout %s has columns %q, want %q", s.Key, s.Record, got, want)
		}
		for _, name := range layout.Always {
			if !slices.Contains(layout.Columns, name) {
				t.Errorf("layout %s: always has %s, which is none of its columns", s.Record, name)
			}
		}
		if announced := s.V2 == Announced && s.V3 == Announced; announced != (len(layout.Always) == 0) {
			t.Errorf("layout %s: always %q; of announced keys nothing is known", s.Record, layout.Always)
		}
	}
	for record := range RecordLayouts {
		if !used[record] {
			t.Errorf("layout %s belongs to no signal", record)
		}
	}
}

// TestColumnLists: columns that are always set, closed lists, examples and additions are of columns and
// tables that there are.
func TestColumnLists(t *testing.T) {
	columns := map[string]bool{"event_month": true, "url": true, "person_name": true, "person_email": true, "answered_status": true} // of views
	for _, table := range Tables {
		for _, name := range table.AlwaysSet() {
			if table.ColumnIndex(name) < 0 {
				t.Errorf("%s has no column %s, which is always set", table.Name, name)
			}
		}
		if len(table.AlwaysSet()) == 0 || table.Since() < OldestVersion || table.Since() > Version {
			t.Errorf("%s: always set %q, since %d", table.Name, table.AlwaysSet(), table.Since())
		}
		for _, c := range table.Columns {
			columns[c.Name], columns[table.Name+"."+c.Name] = true, true
			if c.Type != String && c.Example() == "" {
				t.Errorf("%s.%s has no example", table.Name, c.Name)
			}
		}
	}
	for name := range closedLists {
		if !columns[name] {
			t.Errorf("a closed list is of %s, which is no column", name)
		}
	}
	for name := range examples {
		if !columns[name] {
			t.Errorf("an example is of %s, which is no column", name)
		}
	}
}
