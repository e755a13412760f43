package sources

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/schema"
)

// readRecord is a record of a list, copied out of the reader.
type readRecord struct {
	Line, Last int64
	Cells      []string
	Fault      string
}

// readAll reads all records and checks that the physical lines add up: each is blank or in exactly
// one record.
func readAll(t *testing.T, r *reader) ([]readRecord, error) {
	t.Helper()
	var all []readRecord
	var covered, last int64
	for {
		rec, err := r.next()
		if err != nil {
			if err == io.EOF && covered+r.blank != r.lineCount() {
				t.Errorf("%d lines in records and %d blank, want %d lines", covered, r.blank, r.lineCount())
			}
			return all, err
		}
		if rec.line <= last || rec.last < rec.line {
			t.Errorf("record %d spans lines %d to %d, after line %d", len(all)+1, rec.line, rec.last, last)
		}
		covered += rec.last - rec.line + 1
		last = rec.last
		row := readRecord{Line: rec.line, Last: rec.last}
		if rec.fault != nil {
			row.Fault = rec.fault.reason
		} else {
			for _, c := range rec.cells {
				row.Cells = append(row.Cells, string(c))
			}
		}
		all = append(all, row)
	}
}

// TestReaderCaps lowers the limits and tests records around them.
func TestReaderCaps(t *testing.T) {
	for _, c := range []struct {
		text string
		want []readRecord
	}{
		{"0123456789abcdef,x\nok,1\n", []readRecord{{1, 1, nil, "the line is longer than 16 bytes"}, {2, 2, []string{"ok", "1"}, ""}}},
		{"0123456789abcd\r\nok,1\r\n", []readRecord{{1, 1, nil, "the cell is longer than 8 bytes"}, {2, 2, []string{"ok", "1"}, ""}}},
		{"0123456789abcde\r\nok,1\r\n", []readRecord{{1, 1, nil, "the line is longer than 16 bytes"}, {2, 2, []string{"ok", "1"}, ""}}},
		{"a,\"b\nc,d\ne,f\ng,h\ni,j\nk,l\n", []readRecord{{1, 1, nil, "the quote that opens on line 1 is not closed within 16 bytes"},
			{2, 2, []string{"c", "d"}, ""}, {3, 3, []string{"e", "f"}, ""}, {4, 4, []string{"g", "h"}, ""}, {5, 5, []string{"i", "j"}, ""}, {6, 6, []string{"k", "l"}, ""}}},
		{"a,\"0123456789abcdefgh\nb,c\n", []readRecord{{1, 1, nil, "the quote that opens on line 1 is not closed within 16 bytes"}, {2, 2, []string{"b", "c"}, ""}}},
		{"\"a\nb\",\"0123456789abcdefgh\nb,c\n", []readRecord{{1, 2, nil, "the quote that opens on line 2 is not closed within 16 bytes"}, {3, 3, []string{"b", "c"}, ""}}},
		{"0123456789abcdef01234567\r", []readRecord{{1, 1, nil, "the line is longer than 16 bytes"}}},
	} {
		for _, in := range []io.Reader{strings.NewReader(c.text), iotest.OneByteReader(strings.NewReader(c.text))} {
			r := newReader(in, ',')
			r.maxRecord, r.maxCell = 16, 8
			got, err := readAll(t, r)
			if diff := cmp.Diff(c.want, got); diff != "" || err != io.EOF {
				t.Errorf("records of %q: %v (-want +got):\n%s", c.text, err, diff)
			}
		}
	}
}

// TestBrokenStream loses no whole line before the break and invents none.
func TestBrokenStream(t *testing.T) {
	broken := errors.New("cable pulled")
	for text, want := range map[string]int{
		"domain\nacme.com\nbeta.com\ngam": 2, "domain\nacme.com\nbeta.com\n": 2, "domain\nacme.com\r": 0, "domain\n\"acme.com\nbeta.com\n": 0,
	} {
		l, err := Open(context.Background(), "-", Options{Stdin: io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken))})
		if err != nil {
			t.Errorf("Open(%q) = %v", text, err)
			continue
		}
		n := 0
		var last error
		for _, err := range l.Accounts(context.Background()) {
			if last = err; err == nil {
				n++
			}
		}
		var e *Error
		if n != want || !errors.Is(last, broken) || !errors.As(last, &e) || e.Line != int64(want)+2 {
			t.Errorf("Accounts of %q = %d accounts, then %v, want %d, then the error on line %d", text, n, last, want, want+2)
		}
	}
}

// FuzzCSV reads any bytes as a list: nothing panics, rows count from 1, line numbers increase,
// every line has one place, and neither the size of the reads nor compression makes a difference.
func FuzzCSV(f *testing.F) {
	for _, s := range []string{
		"name,domain\nAcme,acme.com\n", "acme.com\nbeta.com\n", "\"a\nb\",c\r\n\"d,e\nf,\"g\"h\n", "a;b\n\n;\n\"\"\"x\"\";y\n", "sep=;\nname;domain\n\"x;y.com",
		"\xef\xbb\xbfname\tdomain\r\rAcme\tacme.com\r", "email,company\nada@acme.com,\"Acme\"\" Inc\"\n", "\xff\xfea\x00,\x00b\x00", "domain\n\x00\nb\xe9.com\n",
		"name,domain\n\"Acme,acme.com\nB,b.com\nC,c.com\nPipe 12\",pipe.com\n",
	} {
		f.Add([]byte(s), byte(0))
		f.Add([]byte(s), byte(','))
	}
	f.Fuzz(func(t *testing.T, text []byte, delimiter byte) {
		if delimiter < 0x80 && delimiter != '"' && delimiter != '\r' && delimiter != '\n' {
			var runs [2][]readRecord
			for i, in := range []io.Reader{bytes.NewReader(text), iotest.OneByteReader(bytes.NewReader(text))} {
				r := newReader(in, delimiter)
				r.maxRecord, r.maxCell, r.requireUTF8 = 64, 32, true
				runs[i], _ = readAll(t, r)
			}
			if diff := cmp.Diff(runs[0], runs[1]); diff != "" {
				t.Errorf("records of %q depend on the size of reads:\n%s", text, diff)
			}
		}
		// Compressed bytes cannot be compared: they are decompressed once, not twice.
		if bytes.HasPrefix(text, []byte("\x1f\x8b")) || bytes.HasPrefix(text, []byte("\x28\xb5\x2f\xfd")) || len(text) > 3 && string(text[1:4]) == "\x2a\x4d\x18" {
			return
		}
		plain, plainErr := allAccounts(t, text)
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		z.Write(text)
		z.Close()
		unpacked, unpackedErr := allAccounts(t, packed.Bytes())
		if diff := cmp.Diff(plain, unpacked); diff != "" || plainErr != strings.Replace(unpackedErr, " in gzip;", ";", 1) {
			t.Errorf("accounts of %q differ when compressed: %q, %q\n%s", text, plainErr, unpackedErr, diff)
		}
	})
}

func allAccounts(t *testing.T, text []byte) (all []schema.Account, failure string) {
	t.Helper()
	l, err := Open(context.Background(), "-", Options{Stdin: bytes.NewReader(text)})
	if err != nil {
		return nil, err.Error()
	}
	defer l.Close()
	line := int64(0)
	for a, err := range l.Accounts(context.Background()) {
		if err != nil {
			failure = err.Error()
			continue
		}
		all = append(all, a)
		if a.Row != int64(len(all)) || a.Line <= line {
			t.Errorf("account %d has row %d, line %d after line %d", len(all), a.Row, a.Line, line)
		}
		if (a.Identifier() == "") != (a.Reject != nil) {
			t.Errorf("account %+v must have either an identifier or a reject", a)
		}
		line = a.Line
	}
	in := l.Input()
	if in.Records != int64(len(all)) || in.Lines < line || in.Bytes != int64(len(text)) {
		t.Errorf("Input() = %d records, %d lines, %d bytes, want %d, at least %d, %d", in.Records, in.Lines, in.Bytes, len(all), line, len(text))
	}
	return all, failure
}
