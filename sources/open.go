package sources

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"iter"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/siglake/siglake/schema"
)

// Options say how a list is read. The zero value recognises everything by
// itself; each field set replaces one recognition by the caller's word.
type Options struct {
	// Object is what the list is about. Empty: contacts when the header or the
	// content shows contact columns, else companies.
	Object schema.Object
	// Map gives the column of a field, by header name or 1-based number. Fields:
	// key, id, domain (or website, url), name, first_name, last_name, linkedin,
	// email, company_name, company_domain. Other fields are still recognised.
	Map map[string]string
	// Header says whether the first record is a header. Empty: recognised.
	Header Header
	// Delimiter separates cells; it must be ASCII. 0: detected among comma,
	// semicolon, tab and bar. '\n': there is one column, nothing separates.
	Delimiter rune
	// Encoding is utf-8, utf-16le, utf-16be or windows-1252. Empty: detected.
	Encoding string
	// Stdin is read for the URI "-". Nil: os.Stdin.
	Stdin io.Reader
}

// Header says whether a list begins with a header.
type Header string

// The values of Options.Header. "auto" is the same as empty.
const (
	HeaderAuto Header = ""
	HeaderYes  Header = "yes"
	HeaderNo   Header = "no"
)

// Error is a fault that ends the reading of a list: where, what, and what to do.
type Error struct {
	File     string // URI as the caller named it
	Line     int64  // physical line, from 1; 0 when the whole file is at fault
	Column   string // header name or "column 3"; empty when no column is at fault
	Expected string // what would have been right; may be empty
	Problem  string // what was found
	Fix      string // what to do next; may be empty
	Err      error  // the cause, if another package reported one
}

// Error gives the fault as one line: file, place, problem, expectation, fix.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	if e.Column != "" {
		b.WriteString(": " + e.Column)
	}
	b.WriteString(": " + e.Problem)
	if e.Expected != "" {
		b.WriteString("; expected " + e.Expected)
	}
	if e.Fix != "" {
		b.WriteString("; fix: " + e.Fix)
	}
	return b.String()
}

// Unwrap gives the cause, so that errors.Is(err, fs.ErrNotExist) works.
func (e *Error) Unwrap() error { return e.Err }

// Input describes a list that was read, for the manifest.
type Input struct {
	URI         string
	SHA256      string // hex, of the bytes as stored; empty when reading was stopped half-way
	Bytes       int64  // as stored, before decompression
	Records     int64  // accounts yielded, rejected ones included; the header is not counted
	Rejected    int64  // of those, how many carry a Reject
	Lines       int64  // physical lines, all of them
	Blank       int64  // physical lines with nothing on them
	Encoding    string // utf-8, utf-16le, utf-16be, windows-1252
	Compression string // gzip, zstd or empty
	Delimiter   string // empty when there is one column
	Object      schema.Object
	Header      []string          // header cells as written; nil when there is no header
	Mapping     map[string]string // field -> header name, or "column 3" when there is no header
	Notes       []string          // decisions an owner may want to check
}

// List is an open list. It is read once, by one goroutine.
type List struct {
	file   io.Closer
	stored *digest
	plain  io.Closer // the decompressor
	csv    *reader
	layout layout
	input  Input
	begun  bool
}

// Open opens a list: a path, a file:// URI, or "-" for standard input. It reads
// the beginning, far enough to know the columns, so that a list that cannot be
// understood fails here, before anything is asked or paid. Errors are *Error,
// save the context's own.
func Open(ctx context.Context, uri string, o Options) (*List, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := o.check(uri); err != nil {
		return nil, err
	}
	f, err := openFile(uri, o.Stdin)
	if err != nil {
		return nil, err
	}
	l := &List{file: f, stored: &digest{r: f, sum: sha256.New()}, input: Input{URI: uri}}
	if err := l.prepare(o); err != nil {
		_ = l.Close() // it was only read; the error in hand matters
		var known *Error
		if errors.As(err, &known) {
			known.File = uri
			return nil, known
		}
		return nil, l.broken(err)
	}
	return l, nil
}

// prepare looks at the beginning of the list and decides how to read the rest.
func (l *List) prepare(o Options) error {
	in := &l.input
	plain, compression, err := decompress(l.stored)
	if err != nil {
		return err
	}
	l.plain, in.Compression = plain, compression

	text, encoding, err := decode(plain, o.Encoding)
	if err != nil {
		return err
	}
	in.Encoding = encoding

	head, whole := text.peek(sampleSize)
	if len(head) == 0 && text.err != nil && text.err != io.EOF {
		return text.err
	}
	d, err := detectDialect(head, whole, o)
	if err != nil {
		return err
	}
	in.Delimiter = d.name()

	l.csv = newReader(text, d.delimiter)
	l.csv.mustBeUTF8 = encoding == utf8Name
	if err := l.csv.skip(d.preamble); err != nil {
		return err
	}
	l.layout, err = arrange(d, o)
	if err != nil {
		return err
	}
	in.Object, in.Header, in.Notes = l.layout.object, l.layout.header, l.layout.notes
	in.Mapping = l.layout.mapping()
	if in.Header == nil {
		return nil
	}
	if whole && headerOnly(head[d.preamble:], d.delimiter) {
		// An export that broke off looks like this, and must not pass as done.
		return &Error{Problem: "there is a header and not one line below it", Expected: "one account a line", Fix: "check how the list was exported"}
	}
	_, err = l.csv.next()
	return err
}

// headerOnly reports whether the text of a list ends after its first record.
func headerOnly(text []byte, delimiter byte) bool {
	r := newReader(bytes.NewReader(text), delimiter)
	_, err := r.next()
	if err == nil {
		_, err = r.next()
	}
	return err == io.EOF
}

// Accounts yields every record of the list once, in order. A fatal error, an
// *Error or the context's, is yielded last with an empty account. The sequence
// can be walked once.
func (l *List) Accounts(ctx context.Context) iter.Seq2[schema.Account, error] {
	return func(yield func(schema.Account, error) bool) {
		if l.begun {
			yield(schema.Account{}, &Error{File: l.input.URI, Problem: "the list was already read", Fix: "open it again"})
			return
		}
		l.begun = true
		err := l.each(ctx, func(a schema.Account) bool { return yield(a, nil) })
		if err != nil && err != errStopped {
			yield(schema.Account{}, err)
		}
	}
}

// errStopped says that the caller broke off the iteration.
var errStopped = errors.New("stopped")

func (l *List) each(ctx context.Context, yield func(schema.Account) bool) error {
	for {
		if l.input.Records&1023 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		rec, err := l.csv.next()
		l.input.Lines, l.input.Blank = l.csv.lines(), l.csv.blank
		if err != nil {
			if drained := l.stored.drain(); drained == nil {
				l.input.SHA256 = hex.EncodeToString(l.stored.sum.Sum(nil))
			} else if err == io.EOF {
				err = drained
			}
			l.input.Bytes = l.stored.n
			if err == io.EOF {
				return nil
			}
			return l.broken(err)
		}
		if rec.fault == nil && rec.last > rec.line {
			if f := l.layout.swallowed(&rec); f != nil {
				rec.fault = f
				rec.last = l.csv.reread() - 1
			}
		}
		l.input.Records++
		a := l.layout.account(&rec)
		a.Row, a.File = l.input.Records, l.input.URI
		if a.Reject != nil {
			l.input.Rejected++
		}
		if !yield(a) {
			return errStopped
		}
	}
}

// broken wraps an error of the file or of its decompression.
func (l *List) broken(err error) error {
	e := &Error{File: l.input.URI, Problem: "cannot be read: " + err.Error(), Err: err}
	if l.csv != nil {
		e.Line = l.csv.line
	}
	if c := l.input.Compression; c != "" {
		e.Problem = fmt.Sprintf("the %s data is damaged or cut off (%v)", c, err)
		if e.Line > 0 {
			e.Problem += "; the lines before this one were read"
		}
		e.Expected = "a complete " + c + " file"
		e.Fix = "fetch or export the file again"
	}
	return e
}

// Input describes the list. What was decided is known after Open; counts, Bytes
// and SHA256 are final when Accounts has been walked to its end. The digest
// covers the stored bytes to the end even when a fatal error ended the reading.
func (l *List) Input() Input { return l.input }

// Close releases the file. It does not close a reader given as Options.Stdin.
func (l *List) Close() error {
	if l.plain != nil {
		l.plain.Close() // a decompressor holds memory only; its errors were met while reading
	}
	return l.file.Close()
}

// check refuses options that could only be typing errors.
func (o *Options) check(uri string) error {
	bad := func(format string, args ...any) error {
		return &Error{File: uri, Problem: fmt.Sprintf(format, args...)}
	}
	switch {
	case o.Object != "" && o.Object != schema.Company && o.Object != schema.Contact:
		return bad("object %q is not known; expected company or contact", o.Object)
	case o.Header != HeaderAuto && o.Header != "auto" && o.Header != HeaderYes && o.Header != HeaderNo:
		return bad("header %q is not known; expected auto, yes or no", o.Header)
	case o.Delimiter >= 0x80 || o.Delimiter < 0 || o.Delimiter == '"' || o.Delimiter == '\r':
		return bad("delimiter %q cannot be used; expected one ASCII character that is not a quote", o.Delimiter)
	}
	for name := range o.Map {
		if _, ok := fieldNamed(name); !ok {
			return bad("--map names the field %q; expected one of %s", name, strings.Join(fieldNames[:], ", "))
		}
	}
	return nil
}

// openFile opens what a URI names. Remote schemes are refused by name, so that
// "s3://bucket/list.csv" is never looked for as a local path.
func openFile(uri string, stdin io.Reader) (io.ReadCloser, error) {
	path := uri
	scheme, _, hasScheme := strings.Cut(uri, "://")
	switch {
	case uri == "-":
		if stdin == nil {
			stdin = os.Stdin
		}
		return io.NopCloser(stdin), nil
	case uri == "":
		return nil, &Error{File: `""`, Problem: "no list was named", Expected: "a path, a file:// URI, or - for standard input"}
	case hasScheme && strings.EqualFold(scheme, "file"):
		u, err := url.Parse(uri)
		if err != nil || (u.Host != "" && u.Host != "localhost") || u.Path == "" {
			return nil, &Error{File: uri, Problem: "is not a local file URI", Expected: "file:///path/to/list.csv", Err: err}
		}
		path = u.Path
	case hasScheme && !strings.ContainsAny(scheme, `/\.`):
		return nil, &Error{File: uri, Problem: "lists cannot be read over " + scheme + ":// here",
			Expected: "a path, a file:// URI, or - for standard input", Fix: "copy the list to a local file, or pipe it in and name it -"}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fileError(uri, err)
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = &Error{File: uri, Problem: "is a directory", Expected: "one list", Fix: "name the file in it"}
	} else if err != nil {
		err = fileError(uri, err)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func fileError(uri string, err error) error {
	e := &Error{File: uri, Problem: "cannot be opened: " + err.Error(), Err: err}
	var pathErr *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Problem, e.Fix = "there is no such file", "check the path"
	case errors.Is(err, fs.ErrPermission):
		e.Problem, e.Fix = "may not be read: permission denied", "check the file's owner and mode"
	case errors.As(err, &pathErr):
		e.Problem = "cannot be opened: " + pathErr.Err.Error()
	}
	return e
}

// digest counts and hashes the bytes that pass.
type digest struct {
	r   io.Reader
	sum hash.Hash
	n   int64
}

func (d *digest) Read(p []byte) (int, error) {
	n, err := d.r.Read(p)
	d.sum.Write(p[:n])
	d.n += int64(n)
	return n, err
}

// drain reads what a decompressor left behind its last frame, so that the
// digest covers the file and not only the part of it that was needed.
func (d *digest) drain() error {
	_, err := io.Copy(io.Discard, d)
	return err
}

// preview is a reader whose beginning can be looked at before it is read.
type preview struct {
	r    io.Reader
	head []byte
	err  error
}

// peek gives up to n bytes and whether the stream ends with them. A read error
// ends the head too; it is kept and comes back when Read reaches that place.
func (p *preview) peek(n int) (head []byte, whole bool) {
	for len(p.head) < n && p.err == nil {
		p.head = slices.Grow(p.head, n-len(p.head))
		var m int
		m, p.err = p.r.Read(p.head[len(p.head):n])
		p.head = p.head[:len(p.head)+m]
	}
	return p.head, p.err == io.EOF
}

func (p *preview) Read(b []byte) (int, error) {
	if len(p.head) > 0 {
		n := copy(b, p.head)
		p.head = p.head[n:]
		return n, nil
	}
	if p.err != nil {
		return 0, p.err
	}
	return p.r.Read(b)
}
