package dictionary

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/siglake/siglake/internal/format"
)

// Change is one difference between two dictionaries.
type Change struct {
	// table_added, table_removed, column_added, column_removed, column_changed, value_added, value_removed,
	// signal_added, signal_removed or signal_changed.
	Kind   string `json:"kind"`
	Table  string `json:"table,omitempty"`
	Column string `json:"column,omitempty"`
	Signal string `json:"signal,omitempty"`
	Detail string `json:"detail,omitempty"`
}

// Diff lists what is different in newer. What files say of themselves is compared as far as both say it: a
// lake has no file of a table that it never wrote, and no view.
func Diff(older, newer *Document) []Change {
	changes := []Change{}
	files := older.FromFiles || newer.FromFiles
	for i := range older.Tables {
		o := &older.Tables[i]
		if n := newer.Find(stored(o, newer)); n != nil {
			changes = append(changes, diffTables(o, n, files)...)
		} else if !files {
			changes = append(changes, Change{Kind: "table_removed", Table: o.Name})
		}
	}
	if files {
		return changes
	}
	for i := range newer.Tables {
		if n := &newer.Tables[i]; older.Find(n.Name) == nil {
			changes = append(changes, Change{Kind: "table_added", Table: n.Name, Detail: n.Meaning})
		}
	}
	return append(changes, diffSignals(older.Signals, newer.Signals)...)
}

// stored is the name of a table in another dictionary. Files of events are those of the table with every
// revision.
func stored(t *Table, in *Document) string {
	const suffix = "_all"
	name := t.Name
	if in.FromFiles {
		return strings.TrimSuffix(name, suffix)
	}
	if t.Kind == "events" && !strings.HasSuffix(name, suffix) && in.Find(name+suffix) != nil {
		return name + suffix
	}
	return name
}

func diffTables(o, n *Table, files bool) (changes []Change) {
	find := func(t *Table, name string) *Column {
		i := slices.IndexFunc(t.Columns, func(c Column) bool { return c.Name == name })
		if i < 0 {
			return nil
		}
		return &t.Columns[i]
	}
	add := func(kind, column, detail string) {
		changes = append(changes, Change{Kind: kind, Table: n.Name, Column: column, Detail: detail})
	}
	for i := range o.Columns {
		was := &o.Columns[i]
		is := find(n, was.Name)
		if is == nil {
			if !files || was.Name != "event_month" { // which is a folder, not in files
				add("column_removed", was.Name, was.Type)
			}
			continue
		}
		if text := attributeChanges(was, is, files); text != "" {
			add("column_changed", was.Name, text)
		}
		for _, v := range missingFrom(is.Values, was.Values) {
			add("value_added", was.Name, v)
		}
		for _, v := range missingFrom(was.Values, is.Values) {
			add("value_removed", was.Name, v)
		}
	}
	for i := range n.Columns {
		if is := &n.Columns[i]; find(o, is.Name) == nil && (!files || is.Name != "event_month") {
			add("column_added", is.Name, is.Type+": "+is.Meaning)
		}
	}
	return changes
}

// missingFrom are the values of a closed list that another one lacks. A list that is open has all.
func missingFrom(values, in []string) (missing []string) {
	if len(in) == 0 || len(values) == 0 {
		return nil
	}
	for _, v := range values {
		if !slices.Contains(in, v) {
			missing = append(missing, v)
		}
	}
	return missing
}

// attributeChanges says what is different of a column; empty: nothing.
func attributeChanges(was, is *Column, files bool) string {
	var parts []string
	note := func(name, before, after string) {
		if before != after {
			parts = append(parts, fmt.Sprintf("%s %q, was %q", name, after, before))
		}
	}
	note("type", was.Type, is.Type)
	note("unit", was.Unit, is.Unit)
	note("meaning", was.Meaning, is.Meaning)
	if !files {
		note("nullable", fmt.Sprint(was.Nullable), fmt.Sprint(is.Nullable))
		note("answer fields", strings.Join(was.From, ", "), strings.Join(is.From, ", "))
		if (len(was.Values) == 0) != (len(is.Values) == 0) {
			note("values", strings.Join(was.Values, ", "), strings.Join(is.Values, ", "))
		}
	}
	return strings.Join(parts, "; ")
}

func diffSignals(older, newer []Signal) (changes []Change) {
	find := func(list []Signal, key string) *Signal {
		i := slices.IndexFunc(list, func(s Signal) bool { return s.Key == key })
		if i < 0 {
			return nil
		}
		return &list[i]
	}
	for i := range older {
		was := &older[i]
		is := find(newer, was.Key)
		switch {
		case is == nil:
			changes = append(changes, Change{Kind: "signal_removed", Signal: was.Key})
		case fmt.Sprint(*is) != fmt.Sprint(*was):
			changes = append(changes, Change{Kind: "signal_changed", Signal: was.Key, Detail: strings.Join(append(missingFrom(is.Kinds, was.Kinds), missingFrom(is.Columns, was.Columns)...), ", ")})
		}
	}
	for i := range newer {
		if is := &newer[i]; find(older, is.Key) == nil {
			changes = append(changes, Change{Kind: "signal_added", Signal: is.Key, Detail: is.Meaning})
		}
	}
	return changes
}

// signs begin the lines of changes, as in a diff.
var signs = map[string]string{"added": "+", "removed": "-", "changed": "~"}

// WriteDiff prints changes, one a line: + for what is new, - for what is gone, ~ for what has changed.
func WriteDiff(w io.Writer, changes []Change) {
	if len(changes) == 0 {
		format.Fprintf(w, "No difference.\n")
	}
	for _, c := range changes {
		what, how, _ := strings.Cut(c.Kind, "_")
		name := strings.Trim(c.Table+"."+c.Column, ".") + c.Signal
		line := fmt.Sprintf("%s %s %s", signs[how], what, name)
		if c.Detail != "" {
			line += ": " + c.Detail
		}
		format.Fprintf(w, "%s\n", line)
	}
}
