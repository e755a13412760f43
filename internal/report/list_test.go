package report

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/pipeline"
)

// TestReadingLines: a column that is not used has one line, with its reason.
func TestReadingLines(t *testing.T) {
	t.Parallel()
	in := pipeline.Input{
		Format: "csv", HeaderLine: 1, Delimiter: ",",
		Columns: []pipeline.InputColumn{
			{Number: 1, Name: "Website", Fields: []pipeline.InputColumnField{{Field: "domain", Reason: "header"}}, Looks: "domain"},
			{Number: 2, Name: "Website", Looks: "domain", Filled: 9, Alike: 9, Unused: "an earlier column has the same header"},
			{Number: 3, Name: "Blog", Looks: "domain", Filled: 8, Alike: 7, Unused: "most of the addresses lie on one site"},
			{Number: 4, Name: "Email", Looks: "email", Filled: 9, Alike: 9, Unused: "a company is not requested by an e-mail address"},
		},
		Notes: []string{
			"Website (column 2) is not used: an earlier column has the same header",
			"a.csv and 2 more: Blog holds domains and is not used: most of the addresses lie on one site",
			"Blog 2 is not used: most of the addresses lie on one site",
			"Website is read as domain",
		},
	}
	want := []string{
		"CSV, comma-separated, header on line 1",
		"domain = Website (header)",
		"Website (column 2) is not used: 9 of 9 sampled cells look like domain; an earlier column has the same header",
		"Blog is not used: 7 of 8 sampled cells look like domain; most of the addresses lie on one site",
		"Email is not used: 9 of 9 sampled cells look like email; a company is not requested by an e-mail address",
		"Blog 2 is not used: most of the addresses lie on one site",
		"Website is read as domain",
	}
	if diff := cmp.Diff(want, readingLines(&in)); diff != "" {
		t.Errorf("readingLines (-want +got):\n%s", diff)
	}
}
