package dictionary

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"github.com/siglake/siglake/internal/ddl"
	"github.com/siglake/siglake/schema"
)

// TestNew: every table, view and column of the scripts is in the dictionary with the text of its comment, and
// every signal with columns that its table has.
func TestNew(t *testing.T) {
	t.Parallel()
	d := New(schema.Version)
	relations := ddl.Relations()
	if len(d.Tables) != len(relations) || len(d.Tables) < len(schema.Tables)+10 {
		t.Fatalf("%d tables and views, want %d", len(d.Tables), len(relations))
	}
	for i, r := range relations {
		got := d.Tables[i]
		if got.Name != r.Name || got.Meaning != r.Doc || len(got.Columns) != len(r.Columns) {
			t.Errorf("%s: %q, %d columns, want %q, %d", r.Name, got.Meaning, len(got.Columns), r.Doc, len(r.Columns))
		}
		for j, c := range r.Columns {
			if g := got.Columns[j]; g.Name != c.Name || g.Meaning != c.Doc || g.Type != c.Type.String() || g.Since < schema.OldestVersion {
				t.Errorf("%s.%s: %+v, want %+v", r.Name, c.Name, g, c)
			}
			if g := got.Columns[j]; len(g.Values) > 0 && !slices.Contains(g.Values, g.Example) {
				t.Errorf("%s.%s: example %q is none of %q", r.Name, c.Name, g.Example, g.Values)
			}
		}
		if got.Key != "" && !slices.ContainsFunc(got.Columns, func(c Column) bool { return c.Name == got.Key && !c.Nullable }) {
			t.Errorf("%s: the key %q is no column that is always set", got.Name, got.Key)
		}
	}
	if len(d.Signals) != len(schema.Signals) {
		t.Errorf("%d signals, want %d", len(d.Signals), len(schema.Signals))
	}
	for _, s := range d.Signals {
		table, _ := schema.TableNamed(s.Table)
		for _, c := range s.Columns {
			if table.ColumnIndex(c) < 0 {
				t.Errorf("%s: %s has no column %s", s.Key, s.Table, c)
			}
		}
		if s.Meaning == "" || s.Unit == "" || s.Cadence == "" || len(s.Columns) == 0 {
			t.Errorf("%s is not described: %+v", s.Key, s)
		}
	}
}

// TestStoredForm: a dictionary is the same after it was stored.
func TestStoredForm(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(New(schema.Version))
	if err != nil {
		t.Fatal(err)
	}
	d, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if changes := Diff(d, New(schema.Version)); len(changes) != 0 {
		t.Errorf("changes of a stored dictionary: %+v", changes)
	}
	for _, broken := range []string{"[]", "{", `{"format": 2}`} {
		if _, err := Parse([]byte(broken)); err == nil {
			t.Errorf("Parse(%q) succeeds", broken)
		}
	}
}

// change edits a copy of the dictionary.
func change(t *testing.T, edit func(d *Document, news *Table)) *Document {
	t.Helper()
	d := New(schema.Version)
	edit(d, d.Find("news"))
	return d
}

func TestDiff(t *testing.T) {
	t.Parallel()
	column := func(t *Table, name string) *Column {
		return &t.Columns[slices.IndexFunc(t.Columns, func(c Column) bool { return c.Name == name })]
	}
	for name, test := range map[string]struct {
		edit func(d *Document, news *Table)
		want []Change
	}{
		"nothing": {func(*Document, *Table) {}, []Change{}},
		"column added": {func(_ *Document, news *Table) {
			news.Columns = append(news.Columns, Column{Name: "mood", Type: "DOUBLE", Meaning: "Mood"})
		}, []Change{{Kind: "column_added", Table: "news", Column: "mood", Detail: "DOUBLE: Mood"}}},
		"column removed": {func(_ *Document, news *Table) {
			news.Columns = slices.DeleteFunc(news.Columns, func(c Column) bool { return c.Name == "is_risk" })
		}, []Change{{Kind: "column_removed", Table: "news", Column: "is_risk", Detail: "BOOLEAN"}}},
		"column changed": {func(_ *Document, news *Table) { column(news, "is_risk").Type = "BIGINT" },
			[]Change{{Kind: "column_changed", Table: "news", Column: "is_risk", Detail: `type "BIGINT", was "BOOLEAN"`}}},
		"value added": {func(_ *Document, news *Table) {
			c := column(news, "event_type_norm")
			c.Values = append(slices.Clone(c.Values), "Layoff")
		}, []Change{{Kind: "value_added", Table: "news", Column: "event_type_norm", Detail: "Layoff"}}},
		"value removed": {func(_ *Document, news *Table) {
			c := column(news, "event_type_norm")
			c.Values = slices.DeleteFunc(slices.Clone(c.Values), func(v string) bool { return v == "IPO" })
		}, []Change{{Kind: "value_removed", Table: "news", Column: "event_type_norm", Detail: "IPO"}}},
		"tables": {func(d *Document, _ *Table) {
			d.Tables = append(slices.DeleteFunc(d.Tables, func(t Table) bool { return t.Name == "drift" }), Table{Name: "moods", Meaning: "Moods"})
		}, []Change{{Kind: "table_removed", Table: "drift"}, {Kind: "table_added", Table: "moods", Detail: "Moods"}}},
		"signals": {func(d *Document, _ *Table) {
			d.Signals = append(slices.DeleteFunc(d.Signals, func(s Signal) bool { return s.Key == "intent" }), Signal{Key: "mood", Meaning: "Mood"})
			d.Signals[0].Cadence = "daily"
		}, []Change{{Kind: "signal_changed", Signal: "companyChange"}, {Kind: "signal_removed", Signal: "intent"}, {Kind: "signal_added", Signal: "mood", Detail: "Mood"}}},
	} {
		if diff := cmp.Diff(test.want, Diff(New(schema.Version), change(t, test.edit))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestDiffVersions: between two versions of the schema are the columns and tables that the later one added.
func TestDiffVersions(t *testing.T) {
	t.Parallel()
	got := map[string]bool{}
	for _, c := range Diff(New(3), New(4)) {
		got[c.Kind+" "+c.Table+"."+c.Column] = true
	}
	for _, want := range []string{"table_added runs.", "table_added requests.", "column_added news.event_type_norm", "column_added growth_all.summary_text", "column_added accounts.line_name"} {
		if !got[want] {
			t.Errorf("versions 3 and 4: no %s", want)
		}
	}
	if got["table_added drift."] || got["column_added news.revision"] {
		t.Error("versions 3 and 4: what other versions added")
	}
}

// TestDiffFiles: files are compared as far as they say something.
func TestDiffFiles(t *testing.T) {
	t.Parallel()
	news, _ := schema.TableNamed("news")
	files := OfTables([]schema.Table{news, schema.Accounts})
	for name, changes := range map[string][]Change{"files, version": Diff(files, New(schema.Version)), "version, files": Diff(New(schema.Version), files), "files": Diff(files, files)} {
		if len(changes) != 0 {
			t.Errorf("%s: %+v", name, changes)
		}
	}
	older := OfTables([]schema.Table{news.AsOf(3)})
	if got := Diff(older, New(schema.Version)); len(got) != 2 || got[0].Kind != "column_added" || got[0].Table != "news_all" {
		t.Errorf("files of version 3: %+v", got)
	}
}

// TestWriteDBT: the source is YAML with tests of keys, closed lists and runs.
func TestWriteDBT(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := WriteDBT(&b, New(schema.Version), DBTOptions{Source: "lake", Schema: "raw", Database: "db", Prefix: "sl_"}); err != nil {
		t.Fatal(err)
	}
	var file dbtFile
	if err := yaml.Load(b.Bytes(), &file); err != nil {
		t.Fatal(err)
	}
	source := file.Sources[0]
	if source.Name != "lake" || source.Schema != "raw" || source.Database != "db" || len(source.Tables) != len(New(schema.Version).Tables) {
		t.Errorf("%+v", source)
	}
	tests := map[string]string{}
	for _, table := range source.Tables {
		if table.Identifier != "sl_"+table.Name {
			t.Errorf("%s: identifier %q", table.Name, table.Identifier)
		}
		for _, c := range table.Columns {
			text, err := json.Marshal(c.Tests)
			if err != nil {
				t.Fatal(err)
			}
			tests[table.Name+"."+c.Name] = string(text)
		}
	}
	for column, want := range map[string]string{
		"news.event_uid": `["not_null","unique"]`, "news_all.event_uid": `["not_null"]`, "runs.run_id": `["not_null","unique"]`,
		"growth.direction": `"values":["increase","decrease"]`, "credits.run_id": `"field":"run_id","to":"source('lake', 'runs')"`, "news.article_title": "null",
	} {
		if !strings.Contains(tests[column], want) {
			t.Errorf("%s: tests %s, want %s", column, tests[column], want)
		}
	}
}

// TestMarkdown: a table of one line has as many cells as its head.
func TestMarkdown(t *testing.T) {
	t.Parallel()
	d := New(schema.Version)
	if !d.Only("accounts") || d.Only("nothing") {
		t.Error("Only finds the wrong tables")
	}
	var b bytes.Buffer
	WriteMarkdown(&b, New(schema.Version))
	cells := 0
	for line := range strings.Lines(b.String()) {
		n := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|")
		switch {
		case !strings.HasPrefix(line, "|"):
			cells = 0
		case cells == 0:
			cells = n
		case n != cells:
			t.Errorf("%d cells, want %d: %s", n, cells, line)
		}
	}
	var types bytes.Buffer
	if err := WriteTypes(&types, New(schema.Version).Find("drift")); err != nil || !strings.Contains(types.String(), "timestamp[us, tz=UTC]  INT64 (TIMESTAMP, microseconds, UTC)") {
		t.Errorf("%v:\n%s", err, types.String())
	}
}

// TestHostileTexts: a saved dictionary may say anything, and no line of a comparison steers the terminal or
// passes for another line.
func TestHostileTexts(t *testing.T) {
	t.Parallel()
	const hostile = "a\x1b]0;x\x07\nsiglake: forged\u202e"
	var b bytes.Buffer
	WriteDiff(&b, []Change{{Kind: "column_added", Table: hostile, Column: hostile, Detail: hostile}, {Kind: hostile, Signal: hostile}})
	if text := b.String(); strings.ContainsAny(text, "\x1b\x07\u202e") || strings.Count(text, "\n") != 2 {
		t.Errorf("%q", text)
	}
}
