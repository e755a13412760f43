package sources

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRejectsAreAList: the rejected records of every list of the corpus are written as a list that reads
// them again, with the same columns, and rejects as many for the same reasons.
func TestRejectsAreAList(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(accounts, "awful", "*"))
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, file := range files {
		want, err := os.ReadFile(file + ".want")
		if err != nil {
			continue
		}
		options, _, _ := strings.Cut(string(want), "\n")
		o := Options{}
		parseOptions(t, options, &o)
		var written strings.Builder
		o.Rejects = &written
		first, ok := rejectReasons(t, file, o)
		if !ok || len(first) == 0 {
			continue
		}
		checked++
		lines := strings.Count(written.String(), "\n")
		if lines < len(first) {
			t.Errorf("%s: %d lines were written of %d rejected records:\n%s", filepath.Base(file), lines, len(first), written.String())
		}
		for _, reason := range first {
			if !strings.Contains(written.String(), strings.ReplaceAll(reason, `"`, `""`)) {
				t.Errorf("%s: %q is not written:\n%s", filepath.Base(file), reason, written.String())
			}
		}
	}
	if checked < 40 {
		t.Errorf("%d lists with rejected records, want 40 or more", checked)
	}
}

func rejectReasons(t *testing.T, uri string, o Options) (reasons []string, ok bool) {
	t.Helper()
	l, err := Open(context.Background(), uri, o)
	if err != nil {
		return nil, false
	}
	for a, err := range l.Accounts(context.Background()) {
		if err != nil {
			return nil, false
		}
		if a.Reject != nil {
			reasons = append(reasons, a.Reject.String())
		}
	}
	return reasons, true
}

// TestMendedRejects: what was rejected is mended in the file of rejects, and the file is run.
func TestMendedRejects(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, list, written, broken, mended, want string }{
		{"CSV", "Company;Website;Key\r\nA;acme.com;1\r\n;?;2\r\nB;bad_host;3\r\n",
			"Company;Website;Key;reject_reason\n;?;2;\"no company identifier: nothing usable in Website, Company\"\n", ";?;2;", "C;gamma.com;2;", "gamma.com"},
		{"short records", "Company,Website,Key,City\nA,acme.com,1,Bonn\nWesttal\n",
			"Company,Website,Key,City,reject_reason\nWesttal,,,,\"the record has 1 of 4 columns, and only a name: a line of a report, or delimiters are missing\"\n", "Westtal,,,,", "Westtal,west.com,2,Ulm,", "west.com"},
		{"one column", "acme.com\nco.uk\nbeta.com\n", "domain,reject_reason\n\"co.uk\",", `"co.uk"`, "gamma.co.uk", "gamma.co.uk"},
		{"one column with a header", "Company\nAcme\nn/a\nBeta\n", "\"Company\",reject_reason\n\"n/a\",", `"n/a"`, "Gamma", "Gamma"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var written strings.Builder
			if _, ok := rejectReasons(t, "-", Options{Stdin: strings.NewReader(c.list), Rejects: &written}); !ok || !strings.HasPrefix(written.String(), c.written) {
				t.Fatalf("written:\n%s\nwant\n%s", written.String(), c.written)
			}
			l, err := Open(context.Background(), "-", Options{Stdin: strings.NewReader(strings.Replace(written.String(), c.broken, c.mended, 1))})
			if err != nil {
				t.Fatal(err)
			}
			for a, err := range l.Accounts(context.Background()) {
				if err != nil || a.Reject != nil || a.Domain != c.want && a.Name != c.want {
					t.Errorf("the mended list reads %+v, %v, want %s", a, err, c.want)
				}
			}
		})
	}
}

// TestRejectsOfManyFiles: files with other columns cannot share one file of rejects.
func TestRejectsOfManyFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{"a.csv": "domain,key\nacme.com,1\nco.uk,2\n", "b.csv": "key,domain\n1,co.uk\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, err := Open(context.Background(), dir, Options{Rejects: &strings.Builder{}})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range l.Accounts(context.Background()) {
		err = e
	}
	if err == nil || !strings.Contains(err.Error(), "b.csv") || !strings.Contains(err.Error(), "one by one") {
		t.Errorf("Accounts() = %v, want an error that names b.csv", err)
	}
}
