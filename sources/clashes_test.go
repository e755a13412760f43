package sources

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/schema"
)

// requests are what the lines of a list are requested by, with a star for lines with a note.
func requests(t *testing.T, l *List) (out []string) {
	t.Helper()
	for a, err := range l.Accounts(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		text := a.Name
		if a.Identifier() == schema.ByDomain {
			text = a.Domain
		} else if a.Object == schema.Contact {
			text += " @ " + a.CompanyDomain + "|" + a.CompanyName
		}
		if len(a.Notes) > 0 {
			text += " *"
		}
		out = append(out, text)
	}
	return out
}

func TestClashes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ list, want string }{
		"two sub-domains":          {"name,domain\nAlpha,a1.host.com\nBeta,b2.host.com\n", "Alpha *,Beta *"},
		"two paths":                {"name,domain\nAlpha,host.com/1\nBeta,https://host.com/2\n", "Alpha *,Beta *"},
		"languages":                {"name,domain\nAlpha,host.com/de\nBeta,host.com/en\n", "Alpha *,Beta *"},
		"a front page is no path":  {"name,domain\nAlpha,host.com/index.html\nBeta,www.host.com/?x=1\n", "host.com,host.com"},
		"one name":                 {"name,domain\nAlpha GmbH,a1.host.com\nALPHA,b2.host.com\n", "host.com *,host.com *"},
		"the owner keeps it":       {"name,domain\nBeta,b2.host.com\nAlpha,host.com\nAlpha Ltd,a1.host.com\n", "Beta *,host.com *,host.com *"},
		"the namesake keeps it":    {"name,domain\nHost,www.x.host.com\nBeta,b2.host.com\n", "host.com *,Beta *"},
		"far apart":                {"name,domain\nAlpha,a1.host.com\n" + strings.Repeat("Gamma,gamma.com\n", 5) + "Beta,b2.host.com\n", "Alpha *,gamma.com,gamma.com,gamma.com,gamma.com,gamma.com,Beta *"},
		"no name":                  {"name,domain\n,a1.host.com\nBeta,b2.host.com\n", "host.com *,host.com *"},
		"addresses":                {"name,domain\nAlpha,info@a1.host.com\nBeta,b2.host.com\n", "Alpha *,Beta *"},
		"whole domains as before":  {"name,domain\nAlpha,host.com\nBeta,host.com\n", "host.com,host.com"},
		"ids are not merged":       {"name,domain,lusha id\nAlpha,a1.host.com,1\nBeta,b2.host.com,2\n", "Alpha *,Beta *"},
		"employers":                {"full name,company domain,company\nAda King,a1.host.com,Alpha\nAda King,b2.host.com,Beta\n", "Ada King @ |Alpha *,Ada King @ |Beta *"},
		"employers of an e-mail":   {"full name,company domain,company,email\nAda King,a1.host.com,Alpha,a@x.com\nAda King,b2.host.com,Beta,b@x.com\n", "Ada King @ host.com|Alpha *,Ada King @ host.com|Beta *"},
		"the same employer, twice": {"full name,company domain,company\nAda King,a1.host.com,Alpha\nBo Lund,b2.host.com,Alpha\n", "Ada King @ host.com|Alpha *,Bo Lund @ host.com|Alpha *"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := Open(t.Context(), "-", Options{Stdin: strings.NewReader(c.list)})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Split(c.want, ","), requests(t, l)); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

// TestClashesAcross finds clashes across the files of a list, once for all readings.
func TestClashesAcross(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{"1.txt": "domain\nx.host.com\n", "2.csv": "name,domain\nAlpha,a1.host.com\n", "3.csv": "domain;company\nb2.host.com;Beta\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	clashes := &Clashes{}
	for range 2 {
		l, err := Open(t.Context(), dir, Options{Clashes: clashes})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"host.com *", "Alpha *", "Beta *"}, requests(t, l)); diff != "" {
			t.Errorf("requests (-want +got):\n%s", diff)
		}
		if in := l.Input(); in.Records != 3 || in.SHA256 == "" {
			t.Errorf("Input() has %d records, SHA256 %q, want 3 and a digest", in.Records, in.SHA256)
		}
		if len(clashes.domains) != 1 || !clashes.found {
			t.Errorf("found %d clashes, want 1", len(clashes.domains))
		}
	}
	// A stream that cannot be read again is read once, as before.
	l, err := Open(t.Context(), "-", Options{Stdin: io.MultiReader(strings.NewReader("name,domain\nAlpha,a1.host.com\nBeta,b2.host.com\n"))})
	if err != nil {
		t.Fatal(err)
	}
	if got := requests(t, l); len(got) != 2 || got[0] != "host.com *" {
		t.Errorf("requests of a stream = %q, want host.com twice", got)
	}
}
