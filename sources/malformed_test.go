package sources

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/schema"
)

var update = flag.Bool("update", false, "rewrite the .want files of testdata/accounts/awful")

const accounts = "../testdata/accounts"

// TestMalformed reads every list of testdata/accounts/awful and compares the status of each record
// with the .want file next to the list. The .want files are the specification:
//
//	options: <options of the command line, as key=value>
//	input: <what was detected>
//	<row> <line> ok <identifier>=<value> [other identifiers] key=<account_key>
//	<row> <line> reject <column, value, reason> key=<account_key>
//	        note: <note>
//	fatal: <error>
func TestMalformed(t *testing.T) {
	checkMalformed(t, func(_ *testing.T, file string) (string, Options) { return file, Options{} })
}

// checkMalformed reads every list at the URI that place returns.
func checkMalformed(t *testing.T, place func(t *testing.T, file string) (uri string, o Options)) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(accounts, "awful", "*"))
	if err != nil {
		t.Fatal(err)
	}
	lists := 0
	for _, file := range files {
		if strings.HasSuffix(file, ".want") {
			continue
		}
		lists++
		t.Run(filepath.Base(file), func(t *testing.T) {
			want, err := os.ReadFile(file + ".want")
			if err != nil {
				t.Fatal(err)
			}
			options, _, _ := strings.Cut(string(want), "\n")
			uri, o := place(t, file)
			parseOptions(t, options, &o)
			got := options + "\n" + readStatuses(t, uri, o)
			if *update {
				if err := os.WriteFile(file+".want", []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(want), got); diff != "" && !*update {
				t.Errorf("statuses of %s (-want +got):\n%s", file, diff)
			}
		})
	}
	if lists < 40 {
		t.Errorf("found %d malformed lists, want at least 40", lists)
	}
}

// parseOptions parses the first line of a .want file.
func parseOptions(t *testing.T, line string, o *Options) {
	t.Helper()
	for _, word := range strings.Fields(strings.TrimPrefix(line, "options:")) {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "object":
			o.Object = schema.Object(value)
		case "signals":
			o.Object, o.ObjectBySignals = schema.Object(value), true
		case "header":
			o.Header = Header(value)
		case "encoding":
			o.Encoding = value
		case "sheet":
			o.Sheet = value
		case "delimiter":
			if o.Delimiter = rune(value[0]); value == "none" {
				o.Delimiter = '\n'
			}
		case "map":
			o.Map = map[string]string{}
			for pair := range strings.SplitSeq(value, ",") {
				field, column, _ := strings.Cut(pair, ":")
				o.Map[field] = column
			}
		default:
			t.Fatalf("unknown option %q", word)
		}
	}
}

// readStatuses reads a list to its end and describes the status of each record.
func readStatuses(t *testing.T, file string, o Options) string {
	t.Helper()
	var b strings.Builder
	fatal := func(err error) {
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("error %v is a %T, want *Error", err, err)
		}
		fmt.Fprintf(&b, "fatal: %s\n", strings.ReplaceAll(err.Error(), file, filepath.Base(file)))
	}
	l, err := Open(context.Background(), file, o)
	if err != nil {
		fatal(err)
		return b.String()
	}
	defer l.Close()
	var rows strings.Builder
	var fatalErr error
	var count, rejected int64
	for a, err := range l.Accounts(context.Background()) {
		if err != nil {
			fatalErr = err
			continue
		}
		count++
		if a.Row != count || a.File != file {
			t.Errorf("account %d has Row %d, File %q", count, a.Row, a.File)
		}
		if a.Reject != nil {
			rejected++
		}
		fmt.Fprintf(&rows, "%d %d %s\n", a.Row, a.Line, accountStatus(t, a))
		for _, n := range a.Notes {
			fmt.Fprintf(&rows, "\tnote: %s\n", n)
		}
	}
	in := l.Input()
	if in.Records != count || in.Rejected != rejected {
		t.Errorf("Input() has %d records, %d rejected, want %d, %d", in.Records, in.Rejected, count, rejected)
	}
	fmt.Fprintf(&b, "input: %s\n", strings.Join(strings.Fields(fmt.Sprintf("%s %s %s delimiter=%q lines=%d blank=%d", in.Object, in.Encoding, in.Compression, in.Delimiter, in.Lines, in.Blank)), " "))
	if in.Format == FormatXLSX {
		fmt.Fprintf(&b, "format: %s, sheet %q\n", in.Format, in.Sheet)
	}
	if in.Header != nil {
		fmt.Fprintf(&b, "header: %q\n", in.Header)
	}
	for _, f := range slices.Sorted(maps.Keys(in.Mapping)) {
		fmt.Fprintf(&b, "column: %s = %s\n", f, in.Mapping[f])
	}
	for _, n := range in.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	b.WriteString(rows.String())
	if fatalErr != nil {
		fatal(fatalErr)
	}
	return b.String()
}

func accountStatus(t *testing.T, a schema.Account) string {
	t.Helper()
	value := map[schema.Identifier]string{schema.ByID: a.ID, schema.ByLinkedIn: a.LinkedIn, schema.ByEmail: a.Email, schema.ByDomain: a.Domain, schema.ByName: a.Name}
	by := a.Identifier()
	if a.Reject != nil {
		if by != "" {
			t.Errorf("row %d is rejected and has an identifier: %+v", a.Row, a)
		}
		return fmt.Sprintf("reject %s key=%s", oneLine(a.Reject.String()), oneLine(a.Key))
	}
	if by == "" {
		t.Errorf("row %d is not rejected and has no identifier: %+v", a.Row, a)
	}
	parts := []string{"ok", fmt.Sprintf("%s=%s", by, value[by])}
	for _, f := range []struct {
		name  schema.Identifier
		value string
	}{{schema.ByEmail, a.Email}, {schema.ByDomain, a.Domain}, {schema.ByName, a.Name}, {"company_name", a.CompanyName}, {"company_domain", a.CompanyDomain}} {
		if f.name != by && f.value != "" {
			parts = append(parts, fmt.Sprintf("%s=%s", f.name, f.value))
		}
	}
	for i, p := range parts {
		parts[i] = oneLine(p)
	}
	return strings.Join(parts, " ") + " key=" + oneLine(a.Key)
}

// oneLine keeps a value readable and on one line.
func oneLine(s string) string {
	if len(s) > 400 {
		s = s[:400] + "..."
	}
	return strings.NewReplacer("\n", `\n`, "\r", `\r`, "\t", `\t`, "\x00", `\0`).Replace(strings.ToValidUTF8(s, `\ufffd`))
}
