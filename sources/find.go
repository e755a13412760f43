package sources

import (
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
	URI    string
	Size   int64
	ETag   string // its version on S3; empty elsewhere
	SHA256 string // hex, of the bytes as stored; empty on S3, and where nobody has read them yet
}

// Find looks for the files that a URI names: itself, those below a folder, or
// those that match a pattern, in the order of their names. With Options.Objects
// set to them, Open reads these and no others. Local files are read for their
// digest; objects on S3 are not, because their ETag names their version. Errors
// are *Error, save the context's own.
func Find(ctx context.Context, uri string, o Options) ([]Object, error) {
	objects, err := find(ctx, uri, o)
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
		if err := objects[i].hash(); err != nil {
			return nil, err
		}
	}
	return objects, nil
}

// Fingerprint identifies the content of a list, in hex: the SHA-256 of a local
// file's bytes; for several files, and for S3, that of their addresses, versions
// and sizes, so that a huge object is not read twice. It is empty as long as a
// digest is missing.
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

func (o *Object) hash() error {
	f, err := openFile(o.URI, nil)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	if o.Size, err = io.Copy(sum, f); err != nil {
		return fileError(o.URI, err)
	}
	o.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return nil
}

func find(ctx context.Context, uri string, o Options) ([]Object, error) {
	switch {
	case uri == "-":
		return []Object{{URI: uri}}, nil
	case strings.HasPrefix(uri, "s3://") && o.Bucket != nil:
		return findRemote(ctx, uri, o)
	}
	return findLocal(ctx, uri)
}

// findLocal looks for files. A name that exists is itself, whatever it contains.
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
	case errors.Is(err, fs.ErrNotExist) && strings.ContainsAny(name, special):
		if p, err = parsePattern(uri, filepath.ToSlash(name)); err != nil {
			return nil, err
		}
	default:
		return nil, fileError(uri, err)
	}
	var found []Object
	err = filepath.WalkDir(filepath.FromSlash(p.root), func(name string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || d.IsDir() {
			return err
		}
		relative, err := filepath.Rel(filepath.FromSlash(p.root), name)
		if err != nil || !p.matches(filepath.ToSlash(relative)) {
			return err
		}
		info, err := os.Stat(name) // what a link points to
		if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
			return err
		}
		if strings.HasPrefix(uri, "file:") {
			name = (&url.URL{Scheme: "file", Path: filepath.ToSlash(name)}).String()
		}
		found = append(found, Object{URI: name, Size: info.Size()})
		return nil
	})
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, fileError(uri, err)
	}
	return sorted(uri, found)
}

// findRemote looks for objects, with one request for a name that exists.
func findRemote(ctx context.Context, uri string, o Options) ([]Object, error) {
	store, err := openBucket(ctx, uri, o)
	if err != nil {
		return nil, err
	}
	name, key, err := bucket.Split(uri)
	if err != nil {
		return nil, &Error{File: uri, Problem: "is no address on S3", Expected: "s3://bucket/key", Err: err}
	}
	p := pattern{root: key, rest: []string{anyDepth}}
	if key != "" && !strings.HasSuffix(key, "/") {
		there, err := store.Stat(ctx, key)
		switch isPattern := strings.ContainsAny(key, special); {
		case err == nil:
			return []Object{{URI: uri, Size: there.Size, ETag: there.ETag}}, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case isPattern && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)):
			// Where listing is all that is allowed, a name that is not there is forbidden.
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
	var found []Object
	for there, err := range store.List(ctx, prefix+p.literal()) {
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			return nil, remoteError(uri, err)
		case there.Size > 0 && p.matches(strings.TrimPrefix(there.Name, prefix)):
			found = append(found, Object{URI: "s3://" + name + "/" + there.Name, Size: there.Size, ETag: there.ETag})
		}
	}
	return sorted(uri, found)
}

func sorted(uri string, found []Object) ([]Object, error) {
	if len(found) == 0 {
		return nil, &Error{File: uri, Problem: "names no file that has anything in it", Expected: "a list, a folder of lists, or a pattern such as lists/*.csv"}
	}
	slices.SortFunc(found, func(a, b Object) int { return strings.Compare(a.URI, b.URI) })
	return found, nil
}

// special are the characters that make a name a pattern, and anyDepth is the
// element of one that stands for any number of folders.
const (
	special  = "*?["
	anyDepth = "**"
)

// pattern names files below a root. Its elements are those of path.Match and
// anyDepth. Names that begin with a dot or an underscore are hidden, as job
// engines leave them beside their output (_SUCCESS): only an element that begins
// likewise matches them.
type pattern struct {
	root string   // without special characters
	rest []string // elements below it
}

func parsePattern(uri, text string) (pattern, error) {
	elements := strings.Split(text, "/")
	first := slices.IndexFunc(elements, func(e string) bool { return strings.ContainsAny(e, special) })
	for _, e := range elements[first:] {
		if _, err := path.Match(e, ""); err != nil {
			return pattern{}, &Error{File: uri, Problem: fmt.Sprintf("has a pattern that cannot be understood: %q", e), Expected: "* ? [a-z] or **", Err: err}
		}
	}
	p := pattern{root: strings.Join(elements[:first], "/"), rest: elements[first:]}
	if p.root == "" && first > 0 {
		p.root = "/"
	}
	return p, nil
}

// literal is how all names below the root begin.
func (p pattern) literal() string {
	before, _, _ := strings.Cut(p.rest[0], "[")
	before, _, _ = strings.Cut(before, "*")
	before, _, _ = strings.Cut(before, "?")
	before, _, _ = strings.Cut(before, `\`)
	return before
}

func (p pattern) matches(name string) bool {
	return !strings.HasSuffix("/"+name, "/") && matches(p.rest, strings.Split(name, "/"))
}

func matches(pattern, name []string) bool {
	switch {
	case len(pattern) == 0 || len(name) == 0:
		return len(pattern) == len(name)
	case hidden(name[0]) && pattern[0][:min(1, len(pattern[0]))] != name[0][:1]:
		return false
	case pattern[0] == anyDepth:
		return len(pattern) == 1 && len(name) == 1 || matches(pattern, name[1:]) || matches(pattern[1:], name)
	}
	ok, _ := path.Match(pattern[0], name[0]) // it was parsed before
	return ok && matches(pattern[1:], name[1:])
}

func hidden(name string) bool { return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") }

// summary collects what was decided about the files of a list, for the notes of
// the whole.
type summary struct {
	files  int
	first  Input
	texts  []string          // in the order of their appearance
	where  map[string]string // first file of each
	counts map[string]int
}

func (s *summary) add(o Object, how Input) {
	if s.files++; s.files == 1 {
		s.first, s.where, s.counts = how, map[string]string{}, map[string]int{}
	}
	notes := slices.Clone(how.Notes)
	if was, is := manner(s.first), manner(how); is != was {
		notes = append(notes, "read otherwise than the first file: "+is)
	}
	for _, text := range notes {
		if s.counts[text]++; s.counts[text] == 1 {
			s.texts = append(s.texts, text)
			s.where[text] = o.URI
		}
	}
}

// notes gives each note once, with the first file it is about.
func (s *summary) notes() []string {
	var notes []string
	for _, text := range s.texts {
		switch n := s.counts[text]; n {
		case s.files:
			notes = append(notes, text)
		case 1:
			notes = append(notes, s.where[text]+": "+text)
		default:
			notes = append(notes, fmt.Sprintf("%s and %d more: %s", s.where[text], n-1, text))
		}
	}
	return notes
}

// manner is how a file is read, in a line.
func manner(in Input) string {
	words := []string{string(in.Object)}
	for _, field := range slices.Sorted(maps.Keys(in.Mapping)) {
		words = append(words, field+" = "+in.Mapping[field])
	}
	return strings.Join(append(words, in.Encoding), " · ")
}
