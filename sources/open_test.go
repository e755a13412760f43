package sources

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/schema"
)

// TestExtracts reads extracts of four public lists without any option.
func TestExtracts(t *testing.T) {
	type counts struct {
		Records, Rejected, ByDomain, ByName, Noted int
		Mapping                                    map[string]string
	}
	for name, want := range map[string]counts{
		"sp500.csv":   {Records: 40, ByName: 40, Noted: 6, Mapping: map[string]string{"key": "Symbol", "name": "Security"}},
		"hiring.csv":  {Records: 40, ByDomain: 24, ByName: 16, Noted: 18, Mapping: map[string]string{"name": "company", "domain": "url"}},
		"dotgov.csv":  {Records: 40, ByDomain: 40, Mapping: map[string]string{"domain": "Domain name", "name": "Organization name"}},
		"opendns.txt": {Records: 40, ByDomain: 35, Rejected: 5, Mapping: map[string]string{"domain": "column 1"}}, // rj.gov.br, sp.gov.br; mail providers
	} {
		file := filepath.Join(accounts, name)
		l, err := Open(context.Background(), file, Options{})
		if err != nil {
			t.Errorf("Open(%s) = %v", name, err)
			continue
		}
		got := counts{Mapping: l.Input().Mapping}
		for a, err := range l.Accounts(context.Background()) {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			got.Records++
			switch a.Identifier() {
			case schema.ByDomain:
				got.ByDomain++
			case schema.ByName:
				got.ByName++
			default:
				got.Rejected++
			}
			if len(a.Notes) > 0 {
				got.Noted++
			}
			if a.Key == "" {
				t.Errorf("%s:%d: the account has no key", name, a.Line)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		stored, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(stored)
		if in := l.Input(); in.SHA256 != hex.EncodeToString(sum[:]) || in.Bytes != int64(len(stored)) {
			t.Errorf("Input() of %s has SHA256 %s, %d bytes, want %x, %d", name, in.SHA256, in.Bytes, sum, len(stored))
		}
		if err := l.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		uri  string
		o    Options
		want string
		is   error
	}{
		{uri: "", want: "no list given"},
		{uri: dir, want: "no files"},
		{uri: filepath.Join(dir, "*.csv"), want: "no files"},
		{uri: filepath.Join(dir, "[a.csv"), want: "invalid pattern"},
		{uri: filepath.Join(dir, "none.csv"), want: "no such file", is: fs.ErrNotExist},
		{uri: "file://" + filepath.ToSlash(filepath.Join(dir, "none.csv")), want: "no such file", is: fs.ErrNotExist},
		{uri: "file://elsewhere/list.csv", want: "not a local file URI"},
		{uri: "s3://bucket/list.csv", want: "s3://"},
		{uri: "https://acme.com/list.csv", want: "https://"},
		{uri: "-", o: Options{Map: map[string]string{"domian": "1"}}, want: `"domian"`},
		{uri: "-", o: Options{Object: "person"}, want: `"person"`},
		{uri: "-", o: Options{Header: "maybe"}, want: `"maybe"`},
		{uri: "-", o: Options{Delimiter: '§'}, want: "delimiter"},
		{uri: "-", o: Options{Stdin: strings.NewReader("")}, want: "is empty"},
		{uri: "-", o: Options{Stdin: strings.NewReader("domain\n")}, want: "not followed by any line"},
		{uri: "-", o: Options{Stdin: strings.NewReader("sep=;\naccount_id;domain\n\n  \n")}, want: "not followed by any line"},
		{uri: "-", o: Options{Encoding: "ebcdic", Stdin: strings.NewReader("domain\nacme.com\n")}, want: "ebcdic"},
	} {
		_, err := Open(context.Background(), c.uri, c.o)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("Open(%q, %+v) = %v, want an *Error that contains %q", c.uri, c.o, err, c.want)
		}
	}
}

func TestFileURI(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a list.csv")
	if err := os.WriteFile(file, []byte("domain\nacme.com\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	uri := "file://" + strings.ReplaceAll(filepath.ToSlash(file), " ", "%20")
	l, err := Open(context.Background(), uri, Options{})
	if err != nil {
		t.Fatalf("Open(%q) = %v", uri, err)
	}
	defer l.Close()
	for a, err := range l.Accounts(context.Background()) {
		if err != nil || a.Domain != "acme.com" || a.File != uri {
			t.Errorf("account = %+v, %v, want acme.com of %s", a, err, uri)
		}
	}
	for _, err := range l.Accounts(context.Background()) {
		if err == nil {
			t.Error("second Accounts() yields an account, want an error")
		}
	}
}

func TestAccountsStops(t *testing.T) {
	const text = "domain\nacme.com\nbeta.com\n"
	open := func() *List {
		l, err := Open(context.Background(), "-", Options{Stdin: strings.NewReader(text)})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	l := open()
	for range l.Accounts(context.Background()) {
		break
	}
	if in := l.Input(); in.Records != 1 || in.SHA256 != "" {
		t.Errorf("Input() after a break = %d records, SHA256 %q, want 1, none", in.Records, in.SHA256)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, err := range open().Accounts(ctx) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Accounts(cancelled) = %v, want context.Canceled", err)
		}
	}
}
