package sources

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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
				{Number: 4, Name: "Homepage", Looks: "domain", Filled: 2, Alike: 2, Unused: "Website means the same"},
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
