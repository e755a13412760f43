package sources

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/schema"
)

// TestColumns checks the description of how a list is read.
func TestColumns(t *testing.T) {
	t.Parallel()
	field := func(name string, r Reason) []ColumnField { return []ColumnField{{name, r}} }
	for _, c := range []struct {
		text string
		o    Options
		want Input
	}{
		{
			text: "\nId,Firm,Website,Homepage,Info\n1,Acme,acme.com,acme.com,x\n2,Beta,,beta.com,\n",
			o:    Options{Map: map[string]string{"name": "Firm"}},
			want: Input{Format: FormatCSV, HeaderLine: 2, Columns: []Column{
				{Number: 1, Name: "Id", Fields: field("key", ReasonHeader), Filled: 2},
				{Number: 2, Name: "Firm", Fields: field("name", ReasonMap), Filled: 2},
				{Number: 3, Name: "Website", Fields: field("domain", ReasonHeader), Looks: "domain", Filled: 1, Alike: 1},
				{Number: 4, Name: "Homepage", Fields: field("domain", ReasonFallback), Looks: "domain", Filled: 2, Alike: 2},
				{Number: 5, Name: "Info", Filled: 1},
			}},
		},
		{
			text: "acme.com\nbeta.com\n",
			want: Input{Format: FormatText, Columns: []Column{
				{Number: 1, Name: "column 1", Fields: field("domain", ReasonContent), Looks: "domain", Filled: 2, Alike: 2},
			}},
		},
	} {
		c.o.Stdin = strings.NewReader(c.text)
		l, err := Open(context.Background(), "-", c.o)
		if err != nil {
			t.Errorf("Open(%q) = %v", c.text, err)
			continue
		}
		in := l.Input()
		if diff := cmp.Diff(c.want, Input{Format: in.Format, HeaderLine: in.HeaderLine, Columns: in.Columns}); diff != "" {
			t.Errorf("Input() of %q (-want +got):\n%s", c.text, diff)
		}
		_ = l.Close() // only read: nothing to lose
	}
}

// TestUnusedColumns: a column that looks like an identifier and is not used has a reason, and no column two notes.
func TestUnusedColumns(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(accounts, "awful", "*.csv"))
	if err != nil {
		t.Fatal(err)
	}
	unused := 0
	for _, file := range files {
		for _, object := range []schema.Object{schema.Company, schema.Contact} {
			l, err := Open(t.Context(), file, Options{Object: object})
			if err != nil {
				continue
			}
			in := l.Input()
			_ = l.Close() // only read: nothing to lose
			for i, c := range in.Columns {
				if (c.Looks == "" || len(c.Fields) > 0) != (c.Unused == "") {
					t.Errorf("%s as %q: the reason of column %d is %q, its fields are %v, and it looks like %q", file, object, c.Number, c.Unused, c.Fields, c.Looks)
				}
				if c.Unused == "" {
					continue
				}
				unused++
				label := fmt.Sprintf("%s (column %d)", c.Name, c.Number)
				if first := slices.IndexFunc(in.Columns, func(other Column) bool { return other.Name == c.Name }); first == i {
					label = c.Name
				}
				notes := slices.DeleteFunc(slices.Clone(in.Notes), func(n string) bool {
					return !strings.HasPrefix(n, label+" is not used") && !strings.HasPrefix(n, label+" holds")
				})
				if len(notes) > 1 || len(notes) == 1 && !strings.HasSuffix(notes[0], " is not used: "+c.Unused) {
					t.Errorf("%s as %q: column %d has the notes %q, want at most one, with the reason %q", file, object, c.Number, notes, c.Unused)
				}
			}
		}
	}
	if unused < 30 {
		t.Errorf("%d columns are not used, want 30 at least", unused)
	}
}
