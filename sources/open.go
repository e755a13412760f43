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
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/siglake/siglake/internal/bucket"
	"github.com/siglake/siglake/schema"
)

// Options say how a list is read. The zero value detects everything; each field that is set
// replaces one detection.
type Options struct {
	// Object is what the list holds. Empty: contacts if the header or the content shows contact
	// columns, else companies.
	Object schema.Object
	// ObjectBySignals says that Object follows from the signals that are requested, and not from what the user says about the
	// list. A list of people is then no list of companies.
	ObjectBySignals bool
	// Map maps fields to columns, by header name or 1-based number. Fields: key, id, domain (or
	// website, url), name, first_name, last_name, linkedin, email, company_name, company_domain.
	// Other fields are still detected.
	Map map[string]string
	// Header says whether the first record is a header. Empty: detected.
	Header Header
	// Delimiter separates cells; it must be ASCII. 0: detected among comma, semicolon, tab and bar.
	// '\n': the list has one column and no delimiter.
	Delimiter rune
	// Encoding is a label of the WHATWG standard, such as utf-8, utf-16le, windows-1252 or shift_jis,
	// or a code page of DOS, such as cp850. Empty: detected.
	Encoding string
	// Keep are columns, by header name or 1-based number, or KeepAll: Accounts hold their cells as they
	// stand in the list.
	Keep []string
	// DidYouMean is what a message says behind a word that is not known: the nearest of those that are.
	// Nil: nothing.
	DidYouMean func(word string, known []string) string
	// Sheet is the name of the sheet of an Excel workbook, or its number from 1. Empty: the first
	// visible one.
	Sheet string
	// TempDir returns the name of a folder for temporary files, which is created, and what removes it. Nil: one that stays
	// if the process is killed.
	TempDir func() (dir string, remove func() error, err error)
	// Stdin is read for the URI "-". Nil: os.Stdin. If it cannot be read again from its beginning (an
	// io.ReaderAt with a Size), Clashes stay unknown.
	Stdin io.Reader
	// Bucket opens a bucket by its s3:// URI. Nil: there are no lists on S3.
	Bucket func(ctx context.Context, uri string) (*bucket.Bucket, error)
	// Objects are the result of Find for the URI; they are read in the versions that Find saw. Nil:
	// Open finds them.
	Objects []Object
	// StrictFiles refuses a folder or pattern with a file that is no list. By default the file is
	// skipped with a note.
	StrictFiles bool
	// Sample are the records that Accounts yields. Nil: all.
	Sample *Sample
	// Part is the part of the list whose accounts Accounts yields, of those of Sample. Nil: all.
	Part *Part
	// Rejects receives the rejected records as they stand in the list, in UTF-8, behind a first column
	// with the reason, so that they can be mended and read as a list. Nil: nothing does.
	Rejects io.Writer
	// Cells receives each record right before Accounts yields its account. Nil: nothing does.
	Cells func(RawRecord)
	// Clashes are shared by all readings of one list. Nil: this reading has its own.
	Clashes *Clashes

	// Columns and objects that were chosen by their content, by header, for the files of one list.
	chosen  chosenColumns
	objects chosenObjects
}

// Part is a part of a list. What the list is, and how its lines are read, depends on all of it.
type Part struct {
	Name     string // for notes
	Contains func(*schema.Account) bool
}

// RawRecord is a record as it stands in the list, in UTF-8. It is valid until the next one.
type RawRecord struct {
	// Names of the columns, the same slice for all records of a file: header cells as written, or
	// "column 3" where there is none. Empty columns at the end have none.
	Names []string
	// Cells may be fewer or more than the names. A record that cannot be split is one cell.
	Cells [][]byte
}

// Header says whether a list begins with a header.
type Header string

// The values of Options.Header. "auto" is the same as empty.
const (
	HeaderAuto Header = ""
	HeaderYes  Header = "yes"
	HeaderNo   Header = "no"
)

// Error is a fault that ends the reading of a list. It says where the fault is, what it is, and
// what to do.
type Error struct {
	File string // URI as the user named it
	Line int64  // physical line, from 1; 0: the whole file is at fault
	// Header name or "column 3"; empty if no column is at fault.
	Column   string
	Expected string // what would be valid; may be empty
	Problem  string // what was found
	Fix      string // what to do next; may be empty
	Err      error  // the cause, if another package reported one

	// Undecided says that the lines may be companies or contacts: Options.Object decides.
	Undecided bool

	// The file is no list by its content, so a folder can be read without it.
	foreign bool
	// The lines are numbers, of which nothing says that they are ids.
	numbers bool
	// The file holds no account, which is right for a part of many.
	empty bool
	// The only record of a file that holds no account if the other files have it as their header.
	sole []string
}

// Error formats the fault as one line: file, place, problem, expectation, fix.
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

// Unwrap returns the cause, so that errors.Is(err, fs.ErrNotExist) works.
func (e *Error) Unwrap() error { return e.Err }

// Input describes a list that was read, for the manifest. If a list has several files, the
// decisions are those about the first; Notes say which other files are read differently.
type Input struct {
	URI     string
	Objects []Object // files of the list; nil for one local file
	// See Fingerprint; empty if reading stopped early.
	SHA256 string
	Bytes  int64 // as stored, before decompression
	// Accounts read, including rejected ones and those that a sample or a part leaves out; the header is
	// not counted.
	Records     int64
	Rejected    int64  // accounts with a Reject, of the sample and the part
	Lines       int64  // all physical lines
	Blank       int64  // blank physical lines
	Encoding    string // as its canonical name: utf-8, utf-16le, windows-1252, shift_jis
	Compression string // gzip, zstd or empty
	Sheet       string // of a workbook
	Delimiter   string // empty for one column
	Object      schema.Object
	// OtherObject is the object as which the lines can be read as well, since only e-mail addresses
	// decided; empty: none.
	OtherObject schema.Object
	Format      Format
	Header      []string // header cells as written; nil without a header
	HeaderLine  int64    // physical line of the header; 0 without a header
	// Field -> header name, or "column 3" without a header.
	Mapping map[string]string
	// How each column is read, and why, in the order of the list.
	Columns []Column
	Kept    []string // names of the columns that Accounts hold
	Part    string   // the name of the part that Accounts yields; empty: all
	Notes   []string // decisions that the user may want to check
	// Keys that a spreadsheet damaged so that several lines have them; known after Accounts.
	SharedKeys []SharedKey
}

// List is an open list. It can be read once, by one goroutine.
type List struct {
	objects []Object
	options Options
	store   *bucket.Bucket // nil for local files
	first   *file          // at its beginning until Accounts reads it
	skipped map[int]bool   // indexes of objects without accounts
	mangled mangledKeys
	keys    keyUses
	input   Input
	walked  bool
	// Of what was written to Options.Rejects; nil: nothing was.
	rejectHeader *string
	// A file has columns of which lines can clash: see Clashes.
	canClash bool
}

// file is an open file of a list.
type file struct {
	object   Object
	opened   io.ReadCloser
	stored   *digest
	plain    io.Closer // the decompressor
	sheet    *workbook // nil for a text
	csv      *reader
	header   []byte // as it stands in the text; nil: there is none
	layout   layout
	detected Input // what was detected
	preamble int   // bytes before the first record
	stays    bool  // open after it was read
}

// Open opens a list: a path, a file:// or s3:// URI, or "-" for standard input. A folder, or a
// pattern such as lists/*.csv, is a list of many files, each read like a list of its own. Open
// reads the beginning of every file, far enough to know the columns, so that a list that cannot be
// understood fails before anything is requested or paid for. Errors are *Error, except those of
// ctx.
func Open(ctx context.Context, uri string, o Options) (*List, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := o.validate(uri); err != nil {
		return nil, err
	}
	o.chosen, o.objects = chosenColumns{}, chosenObjects{}
	if o.Clashes == nil {
		o.Clashes = &Clashes{}
	}
	l := &List{objects: o.Objects, options: o}
	var err error
	if l.objects == nil {
		if l.objects, err = findObjects(ctx, uri, o); err != nil {
			return nil, err
		}
	}
	l.objects = slices.Clone(l.objects) // digests are added
	if strings.HasPrefix(l.objects[0].URI, "s3://") {
		if l.store, err = openBucket(ctx, uri, o); err != nil {
			return nil, err
		}
	}
	notes, err := l.openAll(ctx)
	if err != nil {
		_ = l.Close() // only read: nothing to lose
		return nil, err
	}
	if o.Sheet != "" && !notes.sheets {
		_ = l.Close() // only read: nothing to lose
		return nil, &Error{File: uri, Problem: "--sheet " + o.Sheet + ": the list is no Excel workbook", Expected: "an .xlsx file", Fix: "omit --sheet"}
	}
	l.input.URI = uri
	if len(l.objects) > 1 || l.store != nil {
		l.input.Objects, l.input.Notes = l.objects, notes.mergeNotes()
	}
	if o.Sample != nil {
		l.input.Notes = append(l.input.Notes, o.Sample.note())
	}
	if o.Part != nil {
		l.input.Part = o.Part.Name
	}
	return l, nil
}

// openAll opens all files far enough to know how to read them, and keeps the first one open.
func (l *List) openAll(ctx context.Context) (notes fileNotes, err error) {
	var skipped, unclear []*Error
	l.skipped = map[int]bool{}
	parts := make([]filePart, len(l.objects))
	defer func() {
		for _, p := range parts {
			if p.open != nil && p.open != l.first {
				p.open.close()
			}
		}
	}()
	var kept [2]bool // the first file that is a bare list of names, and the first that is none, stay open
	for i, object := range l.objects {
		f, err := l.openObject(ctx, object)
		if fault := new(Error); errors.As(err, &fault) && l.canSkip(fault) {
			parts[i].fault = fault
			continue
		}
		if err != nil {
			return notes, err
		}
		parts[i] = newFilePart(f)
		if n := parts[i].openIndex(); !kept[n] {
			kept[n], parts[i].open = true, f
		} else {
			f.close()
		}
	}
	if err := refuseBareParts(parts, l.objects, l.options); err != nil {
		return notes, err
	}
	for i, object := range l.objects {
		p := &parts[i]
		if fault := p.fault; fault != nil {
			skipped = append(skipped, fault)
			l.skipped[i] = true
			notes.skipFile(object, fault)
			if fault.sole != nil {
				unclear = append(unclear, fault)
			}
			continue
		}
		if l.first == nil {
			l.first, l.input = p.open, p.detected
		}
		l.canClash = l.canClash || p.canClash
		notes.addFile(object, p.detected)
	}
	if l.first == nil {
		first := *skipped[0]
		first.Problem = fmt.Sprintf("%s; none of the %d files holds an account", first.Problem, len(l.objects))
		return notes, &first
	}
	for _, fault := range unclear {
		if !slices.Equal(fault.sole, l.input.Header) {
			return notes, fault
		}
	}
	return notes, nil
}

// filePart is a file of a list, while it is decided which of them are read.
type filePart struct {
	detected Input
	fault    *Error // why it is not read
	open     *file  // nil: it was closed again
	canClash bool
	// It has one column, which is a name or an id: the field; else empty.
	only      string
	hasHeader bool
}

func newFilePart(f *file) filePart {
	l := &f.layout
	p := filePart{detected: f.detected, canClash: l.canClash(), hasHeader: l.header != nil}
	for _, field := range []field{fieldName, fieldID} {
		if l.width <= 1 && l.has(field) && l.reasons[field] != ReasonMap {
			p.only = fieldNames[field]
		}
	}
	return p
}

// isBare reports whether a file is lines of text without a header, which would be names or ids.
func (p *filePart) isBare() bool { return p.only != "" && !p.hasHeader }

func (p *filePart) openIndex() int {
	if p.isBare() {
		return 1
	}
	return 0
}

// refuseBareParts gives files that are lines of text a fault, next to files with headers: a licence and notes look like lists of
// names. So does a part of a list of one column; it is read if another part has the header.
func refuseBareParts(parts []filePart, objects []Object, o Options) error {
	headed, tables := map[string]bool{}, false
	for _, p := range parts {
		if p.fault == nil && p.hasHeader {
			headed[p.only], tables = true, true
		}
	}
	for i := range parts {
		if p := &parts[i]; p.fault != nil && p.fault.numbers && headed[fieldNames[fieldID]] {
			p.fault.foreign = false // it may be a part of that list: nothing of it may be lost
		}
		if p := &parts[i]; tables && p.fault == nil && p.isBare() && !headed[p.only] {
			p.fault = &Error{File: objects[i].URI, Problem: fmt.Sprintf("has one column and no header, unlike other files, and would be read as %ss", p.only),
				Expected: "files with a header", Fix: "move it out of the folder, or give it a header", foreign: true}
			if o.StrictFiles {
				return p.fault
			}
		}
	}
	return nil
}

// canSkip reports whether a list of many files can be read without a file that has the fault.
func (l *List) canSkip(fault *Error) bool {
	return len(l.objects) > 1 && (fault.empty || fault.sole != nil || fault.foreign && !l.options.StrictFiles)
}

// openObject opens a file and detects how to read it.
func (l *List) openObject(ctx context.Context, object Object) (f *file, err error) {
	f = &file{object: object}
	if l.store == nil {
		if f.opened, err = openFile(object.URI, l.options.Stdin); err != nil {
			return nil, err
		}
		f.stored = &digest{}
		if file, ok := f.opened.(*os.File); ok {
			if f.opened, err = newLocalFile(file, object); err != nil {
				_ = file.Close() // only read: nothing to lose
				return nil, f.readError(err)
			}
		}
		f.stored = &digest{r: f.opened, sum: sha256.New()}
	} else {
		if object.ETag == "" {
			return nil, &Error{File: object.URI, Problem: "the store reports no version (ETag) of the object, so a change during reading would go unnoticed",
				Expected: "an object written through the S3 interface of the store", Fix: "upload it again through that interface"}
		}
		if f.opened, err = newRemote(ctx, l.store, object); err != nil {
			return nil, remoteError(object.URI, err)
		}
		f.stored = &digest{r: f.opened}
	}
	if err := f.detectFormat(l.options); err != nil {
		f.close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		var fault *Error
		if errors.As(err, &fault) && f.stored.err == nil {
			fault.File = object.URI
			return nil, fault
		}
		return nil, f.readError(err)
	}
	return f, nil
}

// detectFormat reads the beginning of the file and decides how to read the rest.
func (f *file) detectFormat(o Options) error {
	in := &f.detected
	err := f.detectText(o)
	if fault := new(Error); in.Compression != "" && errors.As(err, &fault) && fault.foreign && !strings.HasPrefix(fault.Problem, "is compressed") {
		fault.Problem += " in " + in.Compression
	}
	return err
}

func (f *file) detectText(o Options) error {
	in := &f.detected
	if isOfficeLock(path.Base(filepath.ToSlash(f.object.URI))) {
		return format{"a file that Office writes while a document is open", "name the document itself"}.refuse()
	}
	plain, compression, err := decompress(f.stored)
	if err != nil {
		return err
	}
	f.plain, in.Compression = plain, compression

	stream := &preview{r: plain}
	if head, _ := stream.peek(sampleSize); isZip(head) && mayBeWorkbook(head) {
		return f.detectSheet(stream, o)
	}
	if head, _ := stream.peek(sampleSize); readRejectMark(head) != nil && (o.Encoding == "" || utf8.Valid(head[:len(head)-partialRuneLen(head)])) {
		o.Encoding = utf8Name
	}
	text, encoding, err := decodeText(stream, o.Encoding)
	if err != nil {
		return err
	}
	in.Encoding = encoding
	if o.Encoding == "" && !strings.HasPrefix(encoding, "utf-") {
		in.Notes = append(in.Notes, fmt.Sprintf("the encoding was recognised as %s by the letters of the text; if names look wrong, name it with --encoding", encoding))
	}

	head, atEOF := peekSample(text)
	if len(head) == 0 && text.err != nil && text.err != io.EOF {
		return text.err
	}
	if readRejectMark(head) != nil {
		return f.detectColumns(text, head, atEOF, o)
	}
	if format, foreign := textFormat(head, f.object.URI); foreign {
		return format.refuse()
	}
	err = f.detectColumns(text, head, atEOF, o)
	if err != nil && isProse(head) {
		return prose.refuse()
	}
	if f.layout.header == nil && f.layout.width <= 1 && o.Header == HeaderAuto && len(o.Map) == 0 {
		if format, foreign := columnlessFormat(head); foreign {
			return format.refuse()
		}
	}
	return err
}

// detectSheet opens a sheet of an Excel workbook and decides what its columns mean.
func (f *file) detectSheet(stored io.Reader, o Options) error {
	w, err := openWorkbook(stored, o)
	if err != nil {
		return err
	}
	f.sheet = w
	if o.Clashes != nil && !o.Clashes.found {
		w.keepText()
	}
	in := &f.detected
	in.Sheet, in.Encoding, in.Notes = w.sheet, utf8Name, w.notes()
	text := &preview{r: w}
	head, atEOF := text.peek(sampleSize)
	if len(head) == 0 && text.err != nil && text.err != io.EOF {
		return text.err
	}
	o.Delimiter = ','
	if err = f.detectColumns(text, head, atEOF, o); err == nil {
		err = f.refuseCover(head, o)
	}
	if !f.layout.canClash() {
		w.dropText()
	}
	in.Delimiter, in.Format = "", FormatXLSX
	if fault := new(Error); errors.As(err, &fault) && fault.Column == "" {
		fault.Column = "sheet " + strconv.Quote(w.sheet)
	}
	return err
}

// refuseCover refuses a sheet that is no list: prose, or lines of text on a sheet that was not chosen, while another sheet has
// rows, too.
func (f *file) refuseCover(head []byte, o Options) error {
	if f.layout.header != nil || f.layout.width > 1 || !f.layout.has(fieldName) || len(o.Map) > 0 || o.Header != HeaderAuto && o.Header != "auto" {
		return nil
	}
	others := f.sheet.filledOthers()
	switch {
	case len(others) > 0 && o.Sheet == "":
		return &Error{Problem: "the sheet has no header, and its lines would be requested by name; other sheets with rows: " + quoteAll(others),
			Expected: "the sheet with the list", Fix: fmt.Sprintf("add --sheet %s, or --sheet %s if it is the list", shellWord(others[0]), shellWord(f.sheet.sheet))}
	case !isProse(head):
		return nil
	case len(others) > 0:
		return &Error{Problem: "the sheet is prose", Expected: "the sheet with the list", Fix: "add --sheet " + shellWord(others[0])}
	}
	return prose.refuse()
}

// shellWord quotes a name for a shell if need be.
func shellWord(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' && r != '-' }) {
		return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
	}
	return name
}

// detectColumns decides how the text is split into cells, and what they mean.
func (f *file) detectColumns(text io.Reader, head []byte, atEOF bool, o Options) error {
	in := &f.detected
	d, err := detectDialect(head, atEOF, o)
	if err != nil {
		return err
	}
	in.Delimiter, in.Notes = d.delimiterName(), append(in.Notes, d.notes...)

	f.csv = d.newReader(text)
	f.csv.requireUTF8 = in.Encoding == utf8Name
	f.preamble = d.preamble
	if err := f.csv.skipBytes(d.preamble); err != nil {
		return err
	}
	f.layout, err = newLayout(d, o)
	if fault := new(Error); errors.As(err, &fault) && len(d.sample) == 1 && atEOF && headerOnly(d.newReader(bytes.NewReader(head[d.preamble:]))) {
		fault.sole = d.sample[0]
	}
	if err != nil {
		return err
	}
	f.layout.clashes, f.layout.isSheet = o.Clashes, f.sheet != nil
	in.Object, in.OtherObject, in.Header, in.Notes = f.layout.object, f.layout.otherObject, f.layout.header, append(in.Notes, f.layout.notes...)
	in.Mapping, in.Columns, in.Kept, in.Format = f.layout.fieldMapping(), f.layout.described, f.layout.keptNames, FormatCSV
	if d.delimiter == 0 {
		in.Format = FormatText
	}
	if in.Header == nil && d.mark == nil {
		return nil
	}
	if in.Header != nil {
		in.HeaderLine = d.line
	}
	if d.mark != nil {
		in.Notes = append(in.Notes, "a list of rejected lines: the reasons in its first column are not read")
	}
	if atEOF && headerOnly(d.newReader(bytes.NewReader(head[d.preamble:]))) {
		// An interrupted export looks like this, and must not pass as a complete list. A part of many
		// is different: job engines write one for each partition, also for an empty one.
		return &Error{Problem: noLineBelowHeader, Expected: "one account per line", Fix: "check how the list was exported", empty: true}
	}
	header, err := f.csv.next()
	f.header = bytes.Clone(header.raw)
	return err
}

const noLineBelowHeader = "the header is not followed by any line"

// headerOnly reports whether the text of a reader ends after its first record.
func headerOnly(r *reader) bool {
	_, err := r.next()
	if err == nil {
		_, err = r.next()
	}
	return err == io.EOF
}

// Accounts yields every record of the list once, in order. A fatal error, an *Error or that of ctx,
// comes last with an empty account. The sequence can be iterated once.
func (l *List) Accounts(ctx context.Context) iter.Seq2[schema.Account, error] {
	return func(yield func(schema.Account, error) bool) {
		if l.walked {
			yield(schema.Account{}, &Error{File: l.input.URI, Problem: "the list has already been read", Fix: "open it again"})
			return
		}
		l.walked = true
		defer func() {
			l.input.Notes = append(append(l.input.Notes, l.mangled.notes()...), l.keys.notes()...)
			l.input.SharedKeys = l.mangled.shared()
		}()
		err := l.FindClashes(ctx)
		if err == nil {
			err = l.readFiles(ctx, func(a schema.Account) bool { return yield(a, nil) })
		}
		if fatal := new(Error); err == nil || errors.As(err, &fatal) {
			l.input.SHA256 = Fingerprint(l.objects)
		}
		if err != nil && err != errBreak {
			yield(schema.Account{}, err)
		}
	}
}

// errBreak says that the consumer ended the iteration.
var errBreak = errors.New("stopped")

func (l *List) readFiles(ctx context.Context, yield func(schema.Account) bool) error {
	for i, object := range l.objects {
		if l.skipped[i] {
			if err := l.passOver(i); err != nil {
				return err
			}
			continue
		}
		f := l.first
		if f != nil {
			l.first = nil
			f.setContext(ctx)
		} else {
			var err error
			if f, err = l.openObject(ctx, object); err != nil {
				return err
			}
		}
		err := l.readFile(ctx, f, yield)
		l.objects[i].SHA256 = f.object.SHA256
		f.close()
		if err != nil {
			return err
		}
	}
	return nil
}

// passOver counts a file that is skipped. Its digest is part of the fingerprint of the list.
func (l *List) passOver(i int) error {
	if o := &l.objects[i]; o.ETag == "" && o.SHA256 == "" {
		if err := o.computeDigest(); err != nil {
			return err
		}
	}
	l.input.Bytes += l.objects[i].Size
	return nil
}

// readFile yields the accounts of one file.
func (l *List) readFile(ctx context.Context, f *file, yield func(schema.Account) bool) error {
	in, linesBefore, blankBefore := &l.input, l.input.Lines, l.input.Blank
	for {
		if in.Records&1023 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		rec, err := f.csv.next()
		in.Lines, in.Blank = linesBefore+f.csv.lineCount(), blankBefore+f.csv.blank
		if err != nil {
			if drained := f.finishDigest(); err == io.EOF && drained != nil || errors.Is(drained, errChanged) {
				err = drained
			}
			in.Bytes += f.stored.n
			switch {
			case err == io.EOF:
				return nil
			case ctx.Err() != nil:
				return ctx.Err()
			}
			if fault := new(Error); errors.As(err, &fault) { // of a workbook
				fault.File, fault.Line = f.object.URI, f.csv.line
				return fault
			}
			return f.readError(err)
		}
		if rec.fault == nil && rec.last > rec.line {
			if fault := f.layout.unclosedQuote(&rec); fault != nil {
				rec.fault = fault
				rec.raw = firstLine(rec.raw)
				rec.last = f.csv.rewindRecord() - 1
			}
		}
		if in.Records++; !l.options.Sample.contains(in.Records) {
			continue
		}
		a := f.layout.parseAccount(&rec)
		a.Row, a.File = in.Records, f.object.URI
		belongs := l.options.Part == nil || l.options.Part.Contains(&a)
		if belongs && l.options.Cells != nil {
			l.options.Cells(f.rawRecord(&rec))
		}
		if belongs && a.Reject != nil {
			in.Rejected++
			if err := l.writeReject(f, &rec, a.Reject); err != nil {
				return err
			}
		}
		if f.layout.has(fieldKey) && isMangled(a.Key) {
			l.mangled.add(f.detected.Mapping[fieldNames[fieldKey]], a.Key, a.File, a.Line)
		} else if f.layout.has(fieldKey) && l.options.Clashes.found {
			l.keys.add(&a, linesBefore)
		}
		if belongs && !yield(a) {
			return errBreak
		}
	}
}

// rawRecord is a record with the names of its columns.
func (f *file) rawRecord(rec *record) RawRecord {
	r := RawRecord{Names: f.layout.names[:min(f.layout.width, len(f.layout.names))], Cells: rec.cells}
	if rec.fault != nil {
		r.Cells = [][]byte{bytes.TrimRight(rec.raw, "\r\n")}
	}
	return r
}

// setContext sets the context for the rest of a file that was opened with another context.
func (f *file) setContext(ctx context.Context) {
	if r, ok := f.opened.(*remoteReader); ok {
		r.ctx = ctx
	}
}

// finishDigest completes the digest of a local file. The digest of an object is its ETag, so the
// part that a decompressor did not need is not fetched.
func (f *file) finishDigest() error {
	if f.stored.sum == nil {
		f.stored.n = f.object.Size
		return nil
	}
	err := f.stored.readRest()
	if err == nil {
		found := f.object.SHA256
		f.object.SHA256 = hex.EncodeToString(f.stored.sum.Sum(nil))
		if found != "" && found != f.object.SHA256 { // in a way that its time does not show
			err = errChanged
		}
	}
	return err
}

// rewindSheet makes the file begin anew behind its header, after its sheet was read to the end.
func (f *file) rewindSheet() error {
	if err := f.sheet.rewindText(); err != nil {
		return err
	}
	before := f.csv
	f.csv = newReader(f.sheet, before.delimiter)
	f.csv.requireUTF8 = before.requireUTF8
	err := f.csv.skipBytes(f.preamble)
	if err == nil && f.detected.Header != nil {
		_, err = f.csv.next()
	}
	return err
}

func (f *file) close() {
	if f.stays {
		return
	}
	if f.sheet != nil {
		_ = f.sheet.Close() // only temporary files
	}
	if f.plain != nil {
		// A decompressor holds memory only; its errors occurred while reading.
		f.plain.Close()
	}
	f.opened.Close() // only read: nothing to lose
}

// readError wraps an error of the file or of its decompression.
func (f *file) readError(err error) error {
	e := &Error{File: f.object.URI, Problem: "cannot be read: " + err.Error(), Err: err}
	changed := errors.Is(err, errChanged) || errors.Is(f.stored.err, errChanged)
	if changed {
		e = changedError(f.object.URI)
	} else if f.stored.err != nil && f.stored.sum == nil {
		e = remoteError(f.object.URI, f.stored.err)
	}
	if f.csv != nil {
		e.Line = f.csv.line
	}
	if c := f.detected.Compression; c != "" && f.stored.err == nil && !changed {
		e.Problem = fmt.Sprintf("the %s data is damaged or truncated (%v)", c, err)
		if e.Line > 0 {
			e.Problem += "; the lines before this one were read"
		}
		e.Expected = "a complete " + c + " file"
		e.Fix = "fetch or export the file again"
	}
	return e
}

// Input describes the list. Detected properties are known after Open. Counts, Bytes and SHA256 are
// final after Accounts has been iterated to its end. The digest covers all stored bytes even if a
// fatal error ended the reading.
func (l *List) Input() Input { return l.input }

// Close releases the open file. It does not close Options.Stdin.
func (l *List) Close() error {
	if l.first != nil {
		l.first.close()
		l.first = nil
	}
	return nil
}

// validate refuses invalid options.
func (o *Options) validate(uri string) error {
	errorf := func(format string, args ...any) error {
		return &Error{File: uri, Problem: fmt.Sprintf(format, args...)}
	}
	switch {
	case o.Object != "" && o.Object != schema.Company && o.Object != schema.Contact:
		return errorf("unknown object %q; expected company or contact", o.Object)
	case o.Header != HeaderAuto && o.Header != "auto" && o.Header != HeaderYes && o.Header != HeaderNo:
		return errorf("unknown header %q; expected auto, yes or no", o.Header)
	case o.Delimiter >= 0x80 || o.Delimiter < 0 || o.Delimiter == '"' || o.Delimiter == '\r':
		return errorf("delimiter %q cannot be used; expected one ASCII character that is not a quote", o.Delimiter)
	}
	for name := range o.Map {
		if _, ok := fieldNamed(name); !ok {
			return errorf("--map: unknown field %q; expected one of %s", name, strings.Join(fieldNames[:], ", "))
		}
	}
	return nil
}

// localPath returns the path that a URI names. Remote schemes are refused, so that
// "s3://bucket/list.csv" is never taken for a local path.
func localPath(uri string) (string, error) {
	scheme, _, hasScheme := strings.Cut(uri, "://")
	switch {
	case uri == "":
		return "", &Error{File: `""`, Problem: "no list given", Expected: "a path, a file:// or s3:// URI, or - for standard input"}
	case hasScheme && strings.EqualFold(scheme, "file"):
		u, err := url.Parse(uri)
		if err != nil || (u.Host != "" && u.Host != "localhost") || u.Path == "" {
			return "", &Error{File: uri, Problem: "is not a local file URI", Expected: "file:///path/to/list.csv", Err: err}
		}
		return u.Path, nil
	case hasScheme && !strings.ContainsAny(scheme, `/\.`):
		return "", &Error{File: uri, Problem: "lists cannot be read from " + scheme + ":// URIs",
			Expected: "a path, a file:// or s3:// URI, or - for standard input", Fix: "copy the list to a local file, or pipe it in and pass - as its name"}
	}
	return uri, nil
}

// openFile opens a local file, or standard input.
func openFile(uri string, stdin io.Reader) (io.ReadCloser, error) {
	if uri == "-" {
		if stdin == nil {
			stdin = os.Stdin
		}
		return io.NopCloser(stdin), nil
	}
	name, err := localPath(uri)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fileError(uri, err)
	}
	return f, nil
}

func fileError(uri string, err error) error {
	e := &Error{File: uri, Problem: "cannot be opened: " + err.Error(), Err: err}
	var pathErr *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Problem, e.Fix = "no such file", "check the path"
	case errors.Is(err, fs.ErrPermission):
		e.Problem, e.Fix = "permission denied", "check the file's owner and mode"
	case errors.As(err, &pathErr):
		e.Problem = "cannot be opened: " + pathErr.Err.Error()
	}
	return e
}

// digest counts the bytes that pass, and hashes them if sum is set.
type digest struct {
	r   io.Reader
	sum hash.Hash // may be nil
	n   int64
	err error // of r, except io.EOF
}

func (d *digest) Read(p []byte) (int, error) {
	n, err := d.r.Read(p)
	if d.sum != nil {
		d.sum.Write(p[:n])
	}
	d.n += int64(n)
	if err != nil && err != io.EOF {
		d.err = err
	}
	return n, err
}

// readRest reads what a decompressor left after its last frame, so that the digest covers the whole
// file.
func (d *digest) readRest() error {
	_, err := io.Copy(io.Discard, d)
	return err
}

// preview is a reader with a beginning that can be peeked at.
type preview struct {
	r    io.Reader
	head []byte
	err  error
}

// peek returns up to n bytes and whether the stream ends with them. A read error ends the head too;
// Read returns it when it reaches that place.
func (p *preview) peek(n int) (head []byte, atEOF bool) {
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
