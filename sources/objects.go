package sources

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/siglake/siglake/internal/bucket"
)

// Object is one file of a list, in the version that was found.
type Object struct {
	URI  string
	Size int64
	ETag string // version on S3; empty for local files
	// Hex digest of the bytes as stored; empty on S3, and until the file is read.
	SHA256 string
	// Lines of the bytes as stored, the last one even without a line end; 0 where SHA256 is empty.
	Lines int64

	info os.FileInfo // of a local file, before its digest was computed; nil without a digest
}

// Find finds the files that a URI names: the file itself, those below a folder, or those that match
// a pattern, in the order of their names. If Options.Objects holds its result, Open reads exactly
// these files. Local files are read for their digest; objects on S3 are not, because their ETag
// identifies their version. Errors are *Error, except those of ctx.
func Find(ctx context.Context, uri string, o Options) ([]Object, error) {
	objects, err := findObjects(ctx, uri, o)
	if err != nil {
		return nil, err
	}
	for i := range objects {
		if objects[i].ETag != "" || uri == "-" {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := objects[i].computeDigest(); err != nil {
			return nil, err
		}
	}
	return objects, nil
}

// Fingerprint identifies the content of a list, in hex. For one local file it is the SHA-256 of its
// bytes; for several files, and for S3, that of their addresses, versions and sizes, so that a huge
// object is not read twice. It is empty while a digest is missing.
func Fingerprint(objects []Object) string {
	if len(objects) == 1 && objects[0].ETag == "" {
		return objects[0].SHA256
	}
	sum := sha256.New()
	for _, o := range objects {
		if o.ETag == "" && o.SHA256 == "" {
			return ""
		}
		fmt.Fprintf(sum, "%q %s %s %d\n", o.URI, o.ETag, o.SHA256, o.Size)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

func (o *Object) computeDigest() error {
	f, err := openFile(o.URI, nil)
	if err != nil {
		return err
	}
	defer f.Close()
	if file, ok := f.(*os.File); ok {
		if o.info, err = file.Stat(); err != nil {
			return fileError(o.URI, err)
		}
	}
	sum, lines := sha256.New(), new(lineCounter)
	if o.Size, err = io.Copy(io.MultiWriter(sum, lines), f); err != nil {
		return fileError(o.URI, err)
	}
	o.SHA256, o.Lines = hex.EncodeToString(sum.Sum(nil)), lines.count()
	return nil
}

// lineCounter counts the lines of what is written to it.
type lineCounter struct {
	ends int64
	open bool // bytes follow the last line end
}

func (c *lineCounter) Write(p []byte) (int, error) {
	if len(p) > 0 {
		c.ends += int64(bytes.Count(p, []byte{'\n'}))
		c.open = p[len(p)-1] != '\n'
	}
	return len(p), nil
}

func (c *lineCounter) count() int64 {
	if c.open {
		return c.ends + 1
	}
	return c.ends
}

func findObjects(ctx context.Context, uri string, o Options) ([]Object, error) {
	switch {
	case uri == "-":
		return []Object{{URI: uri}}, nil
	case strings.HasPrefix(uri, "s3://") && o.Bucket != nil:
		return findRemote(ctx, uri, o)
	}
	return findLocal(ctx, uri)
}

// findLocal finds local files. A name that exists is never a pattern.
func findLocal(ctx context.Context, uri string) ([]Object, error) {
	name, err := localPath(uri)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(name)
	var p pattern
	switch {
	case err == nil && !info.IsDir():
		return []Object{{URI: uri, Size: info.Size()}}, nil
	case err == nil:
		p = pattern{root: filepath.ToSlash(filepath.Clean(name)), rest: []string{anyDepth}}
	case errors.Is(err, fs.ErrNotExist) && strings.ContainsAny(name, wildcards):
		if p, err = parsePattern(uri, filepath.ToSlash(name)); err != nil {
			return nil, err
		}
	default:
		return nil, fileError(uri, err)
	}
	var objects []Object
	err = filepath.WalkDir(filepath.FromSlash(p.root), func(name string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || d.IsDir() {
			return err
		}
		relative, err := filepath.Rel(filepath.FromSlash(p.root), name)
		if err != nil || !p.matchName(filepath.ToSlash(relative)) {
			return err
		}
		info, err := os.Stat(name) // of the target of a link
		if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
			return err
		}
		if strings.HasPrefix(uri, "file:") {
			name = (&url.URL{Scheme: "file", Path: filepath.ToSlash(name)}).String()
		}
		objects = append(objects, Object{URI: name, Size: info.Size()})
		return nil
	})
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, fileError(uri, err)
	}
	return sortObjects(uri, objects)
}

// findRemote finds objects. A name that exists takes one request.
func findRemote(ctx context.Context, uri string, o Options) ([]Object, error) {
	store, err := openBucket(ctx, uri, o)
	if err != nil {
		return nil, err
	}
	name, key, err := bucket.SplitURI(uri)
	if err != nil {
		return nil, &Error{File: uri, Problem: "is not an S3 URI", Expected: "s3://bucket/key", Err: err}
	}
	p := pattern{root: key, rest: []string{anyDepth}}
	if key != "" && !strings.HasSuffix(key, "/") {
		object, err := store.Stat(ctx, key)
		switch isPattern := strings.ContainsAny(key, wildcards); {
		case err == nil:
			return []Object{{URI: uri, Size: object.Size, ETag: object.ETag}}, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case isPattern && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)):
			// If only listing is allowed, a missing name is forbidden.
			if p, err = parsePattern(uri, key); err != nil {
				return nil, err
			}
		default:
			return nil, remoteError(uri, err)
		}
	}
	prefix := p.root
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	var objects []Object
	for object, err := range store.List(ctx, prefix+p.literalPrefix()) {
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			return nil, remoteError(uri, err)
		case object.Size > 0 && p.matchName(strings.TrimPrefix(object.Name, prefix)):
			objects = append(objects, Object{URI: "s3://" + name + "/" + object.Name, Size: object.Size, ETag: object.ETag})
		}
	}
	return sortObjects(uri, objects)
}

func sortObjects(uri string, objects []Object) ([]Object, error) {
	if len(objects) == 0 {
		return nil, &Error{File: uri, Problem: "no files, or only empty ones, were found", Expected: "a list, a folder of lists or a pattern such as lists/*.csv"}
	}
	slices.SortFunc(objects, func(a, b Object) int { return strings.Compare(a.URI, b.URI) })
	return objects, nil
}

// wildcards are the characters that make a name a pattern. anyDepth is the pattern element that
// matches any number of folders.
const (
	wildcards = "*?["
	anyDepth  = "**"
)

// pattern matches files below a root. Its elements are those of path.Match and anyDepth. Names that
// begin with a dot or an underscore, such as the _SUCCESS files of job engines, and the files that
// desktops and Office leave in folders, are hidden: only an element that begins with the same
// character matches them.
type pattern struct {
	root string   // without wildcards
	rest []string // elements below the root
}

func parsePattern(uri, text string) (pattern, error) {
	elements := strings.Split(text, "/")
	first := slices.IndexFunc(elements, func(e string) bool { return strings.ContainsAny(e, wildcards) })
	for _, e := range elements[first:] {
		if _, err := path.Match(e, ""); err != nil {
			return pattern{}, &Error{File: uri, Problem: fmt.Sprintf("invalid pattern %q", e), Expected: "* ? [a-z] or **", Err: err}
		}
	}
	p := pattern{root: strings.Join(elements[:first], "/"), rest: elements[first:]}
	if p.root == "" && first > 0 {
		p.root = "/"
	}
	return p, nil
}

// literalPrefix is the common prefix of all matching names below the root.
func (p pattern) literalPrefix() string {
	before, _, _ := strings.Cut(p.rest[0], "[")
	before, _, _ = strings.Cut(before, "*")
	before, _, _ = strings.Cut(before, "?")
	before, _, _ = strings.Cut(before, `\`)
	return before
}

func (p pattern) matchName(name string) bool {
	return !strings.HasSuffix("/"+name, "/") && matchElements(p.rest, strings.Split(name, "/"))
}

func matchElements(pattern, name []string) bool {
	switch {
	case len(pattern) == 0 || len(name) == 0:
		return len(pattern) == len(name)
	case isHidden(name[0]) && pattern[0][:min(1, len(pattern[0]))] != name[0][:1]:
		return false
	case pattern[0] == anyDepth:
		return len(pattern) == 1 && len(name) == 1 || matchElements(pattern, name[1:]) || matchElements(pattern[1:], name)
	}
	ok, _ := path.Match(pattern[0], name[0]) // no error: parsePattern checked it
	return ok && matchElements(pattern[1:], name[1:])
}

func isHidden(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || isOfficeLock(name) || strings.EqualFold(name, "Thumbs.db") || strings.EqualFold(name, "desktop.ini")
}

// isOfficeLock reports whether Office writes a file of the name while a document is open.
func isOfficeLock(name string) bool { return strings.HasPrefix(name, "~$") }

// fileNotes collects the decisions about the files of a list, for the notes of the whole list.
type fileNotes struct {
	files     int
	read      int // files that are not skipped
	sheets    bool
	first     Input
	order     []string          // in the order of their appearance
	firstFile map[string]string // first file with each note
	counts    map[string]int
}

func (s *fileNotes) addFile(o Object, detected Input) {
	s.sheets = s.sheets || detected.Format == FormatXLSX
	if s.read++; s.read == 1 {
		s.first = detected
	}
	notes := slices.Clone(detected.Notes)
	if first, current := describeDetected(s.first), describeDetected(detected); current != first {
		notes = append(notes, "read differently from the first file: "+current)
	}
	s.add(o, notes...)
}

// skipFile notes that a file holds no account.
func (s *fileNotes) skipFile(o Object, fault *Error) {
	switch {
	case fault.foreign:
		s.add(o, "skipped, because it "+fault.Problem)
	case fault.sole != nil:
		s.add(o, noLineBelowHeader+": read as an empty part of the list")
	default:
		s.add(o, fault.Problem+": read as an empty part of the list")
	}
}

func (s *fileNotes) add(o Object, notes ...string) {
	if s.files++; s.files == 1 {
		s.firstFile, s.counts = map[string]string{}, map[string]int{}
	}
	for _, text := range notes {
		if s.counts[text]++; s.counts[text] == 1 {
			s.order = append(s.order, text)
			s.firstFile[text] = o.URI
		}
	}
}

// mergeNotes returns each note once, with the first file that it is about.
func (s *fileNotes) mergeNotes() []string {
	var notes []string
	for _, text := range s.order {
		switch n := s.counts[text]; n {
		case s.files:
			notes = append(notes, text)
		case 1:
			notes = append(notes, s.firstFile[text]+": "+text)
		default:
			notes = append(notes, fmt.Sprintf("%s and %d more: %s", s.firstFile[text], n-1, text))
		}
	}
	return notes
}

// describeDetected describes in one line how a file is read.
func describeDetected(in Input) string {
	words := []string{string(in.Object)}
	for _, field := range slices.Sorted(maps.Keys(in.Mapping)) {
		words = append(words, field+" = "+in.Mapping[field])
	}
	if in.Format == FormatXLSX {
		return strings.Join(append(words, string(in.Format)), " · ")
	}
	return strings.Join(append(words, in.Encoding), " · ")
}
