package sources

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestRawRecords: every record comes as it stands in the list, also one that is rejected, with the
// columns of its own file.
func TestRawRecords(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.csv": "Company;Website;;\n Acme ;\"www.acme.example\";=1;x\nBad \"quote\" ;\"a\" b;c\nShort\n",
		"b.csv": "Website,Name\nbeta.example,Beta\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	var raw RawRecord
	l, err := Open(t.Context(), dir, Options{Cells: func(r RawRecord) { raw = r }})
	if err != nil {
		t.Fatal(err)
	}
	for a, err := range l.Accounts(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		line := a.Key + ": " + strings.Join(raw.Names, "|") + " ="
		for _, c := range raw.Cells {
			line += " [" + string(c) + "]"
		}
		got = append(got, line)
	}
	want := []string{
		"www.acme.example: Company|Website = [ Acme ] [www.acme.example] [=1] [x]",
		": Company|Website = [Bad \"quote\" ;\"a\" b;c]",
		"Short: Company|Website = [Short]",
		"beta.example: Website|Name = [beta.example] [Beta]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}
