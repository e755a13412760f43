package sources

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/schema"
)

// TestRejectsAreAList: the rejected records of every list of the corpus are written as a list of which every record is
// rejected again, for the same reason.
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
		first, _, err := rejectReasons(file, o)
		if err != nil || len(first) == 0 {
			continue
		}
		checked++
		for _, o := range []Options{{}, o} { // without options, and with those of the list
			o.Sheet, o.Rejects, o.Stdin = "", nil, strings.NewReader(written.String())
			second, accepted, err := rejectReasons("-", o)
			if diff := cmp.Diff(first, second); err != nil || accepted > 0 || diff != "" {
				t.Errorf("%s: the list of rejected records has %d that can be requested, %v, reasons (-list +rejects):\n%s%s", filepath.Base(file), accepted, err, diff, truncate(written.String()))
			}
		}
	}
	if checked < 40 {
		t.Errorf("%d lists with rejected records, want 40 or more", checked)
	}
}

// rejectReasons reads a list, and returns why its records are rejected, without the numbers of lines, and how many are not.
func rejectReasons(uri string, o Options) (reasons []string, accepted int, err error) {
	l, err := Open(context.Background(), uri, o)
	if err != nil {
		return nil, 0, err
	}
	for a, err := range l.Accounts(context.Background()) {
		switch {
		case err != nil:
			return nil, 0, err
		case a.Reject != nil:
			if strings.Contains(a.Reject.Reason, "quote") { // the records around it are others
				a.Reject = &schema.Reject{Reason: "a quote"}
			}
			reasons = append(reasons, lineNumbers.ReplaceAllString(a.Reject.String(), "line N"))
		default:
			accepted++
		}
	}
	return reasons, accepted, nil
}

var lineNumbers = regexp.MustCompile(`line \d+`)

// TestMendedRejects: what was rejected is mended in the file of rejects, and the file is run.
func TestMendedRejects(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, list, written, broken, mended, want string }{
		{"CSV", "Company;Website;Key\r\nA;acme.com;1\r\n;?;2\r\nB;bad_host;3\r\n",
			"\"siglake_reason company header=beef0858 key=3 domain=2 name=1\";Company;Website;Key\n\"no company identifier: nothing usable in Website, Company\";;?;2\n", ";;?;2", ";C;gamma.com;2", "gamma.com"},
		{"short records", "Company,Website,Key,City\nA,acme.com,1,Bonn\nWesttal\n",
			"\"siglake_reason company header=7f203d45 key=3 domain=2 name=1\",Company,Website,Key,City\n\"the record has 1 of 4 columns, and only a name: a line of a report, or delimiters are missing\",Westtal\n", ",Westtal\n", ",Westtal,west.com,2,Ulm\n", "west.com"},
		{"one column", "acme.com\nco.uk\nbeta.com\n", "\"siglake_reason company body=a7a91e0b plain domain=1\",domain\n\"", ",co.uk\n", ",gamma.co.uk\n", "gamma.co.uk"},
		{"one column with a header", "Company\nAcme\nn/a\nBeta\n", "\"siglake_reason company header=800230d3 plain name=1\",Company\n\"", ",n/a\n", ",Gamma\n", "Gamma"},
		{"a list without a header", "Acme,acme.com,1\nBeta,beta.com,2\n?,?,3\nGamma,gamma.com,4\n", "\"siglake_reason company body=", ",?,?,3\n", ",Delta,delta.com,3\n", "delta.com"},
		{"columns moved", "Company,Website,City\nA,acme.com,Bonn\n?,?,Ulm\n", "\"siglake_reason company header=", "Company,Website,City\n\"no company identifier: nothing usable in Website, Company\",?,?,Ulm\n",
			"City,Company,Website\n\"no company identifier\",Ulm,Delta,delta.com\n", "delta.com"},
		{"no reason left", "Company,Website,City\nA,acme.com,Bonn\n?,?,Ulm\n", "\"siglake_reason company header=", "\"no company identifier: nothing usable in Website, Company\",?,?,Ulm\n", ",Delta,delta.com,Ulm\n", "delta.com"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var written strings.Builder
			if _, _, err := rejectReasons("-", Options{Stdin: strings.NewReader(c.list), Rejects: &written}); err != nil || !strings.HasPrefix(written.String(), c.written) {
				t.Fatalf("written:\n%s\nwant\n%s", written.String(), c.written)
			}
			if !strings.Contains(written.String(), c.broken) {
				t.Fatalf("written:\n%s\nwant %q in it", written.String(), c.broken)
			}
			l, err := Open(context.Background(), "-", Options{Stdin: strings.NewReader(strings.Replace(written.String(), c.broken, c.mended, 1))})
			if err != nil {
				t.Fatal(err)
			}
			mended := 0
			for a, err := range l.Accounts(context.Background()) {
				mended++
				if err != nil || a.Reject != nil || a.Domain != c.want && a.Name != c.want {
					t.Errorf("the mended list reads %+v, %v, want %s", a, err, c.want)
				}
			}
			if mended != 1 {
				t.Errorf("the mended list has %d records, want 1", mended)
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
