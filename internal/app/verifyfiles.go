package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/internal/parallel"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/sinks"
)

// readFile is what was found in a file of the lake, which is read once.
type readFile struct {
	path  string
	table string // whose rows are hashed; empty: they are not
	sinks.FileContent
	err    error
	secret bool // it contains the API key
}

// fileReader reads the files of a lake.
type fileReader struct{ *publicationCheck }

// readFiles reads every file that is there, several at once: its bytes, its footer, and the rows of those
// that compactions replaced and wrote.
func (p fileReader) readFiles(ctx context.Context) error {
	p.read = map[string]*readFile{}
	for _, list := range []func(context.Context) ([]string, error){p.sink.ListGlobbed, p.sink.ListCompacted} {
		paths, err := list(ctx)
		if err != nil {
			return err
		}
		for _, path := range paths {
			p.read[path] = &readFile{path: path}
		}
	}
	p.chooseHashed()
	var read, decoded []*readFile
	for _, path := range slices.Sorted(maps.Keys(p.read)) {
		if f := p.read[path]; f.table == "" {
			read = append(read, f)
		} else {
			decoded = append(decoded, f)
		}
	}
	if err := p.readAtOnce(ctx, p.jobs, read); err != nil {
		return err
	}
	return p.readAtOnce(ctx, p.memory.decodedAtOnce(p.jobs), decoded)
}

func (p fileReader) readAtOnce(ctx context.Context, jobs int, files []*readFile) error {
	return parallel.Do(ctx, jobs, len(files), func(ctx context.Context, i int) error {
		p.readFile(ctx, files[i])
		return ctx.Err()
	})
}

// chooseHashed chooses the files of which the rows are hashed.
func (p fileReader) chooseHashed() {
	if p.auditor == nil {
		return
	}
	tables := map[string]string{} // of all files, by path
	for _, m := range p.chain {
		for _, f := range m.Files {
			tables[f.Path] = f.Table
		}
	}
	for _, m := range p.chain {
		if len(m.Replaces) == 0 || p.isPruned(m) {
			continue
		}
		for _, path := range slices.Concat(m.Replaces, filePaths(m)) {
			if f := p.read[path]; f != nil {
				f.table = tables[path]
			}
		}
	}
}

func (p fileReader) readFile(ctx context.Context, f *readFile) {
	var search *textSearch
	if p.secret != nil {
		search = &textSearch{text: p.secret}
		f.FileContent, f.err = p.sink.ReadFile(ctx, f.path, f.table, search)
		f.secret = search.found
		return
	}
	f.FileContent, f.err = p.sink.ReadFile(ctx, f.path, f.table, nil)
}

// textSearch looks for a text in what is written to it.
type textSearch struct {
	text  []byte
	tail  []byte // the end of what was written, which may begin the text
	found bool
}

// Write searches a piece. It never fails.
func (s *textSearch) Write(piece []byte) (int, error) {
	if s.found {
		return len(piece), nil
	}
	beginning := piece[:min(len(piece), len(s.text)-1)]
	joined := append(s.tail, beginning...)
	s.found = bytes.Contains(joined, s.text) || bytes.Contains(piece, s.text)
	if len(piece) >= len(s.text) {
		joined = piece
	}
	s.tail = append([]byte(nil), joined[max(0, len(joined)-len(s.text)+1):]...)
	return len(piece), nil
}

// findSecret looks for the API key in everything that the lake holds.
func (p *publicationCheck) findSecret(ctx context.Context) error {
	if p.secret == nil {
		return nil
	}
	for _, f := range p.read {
		p.scanned += f.Bytes
		if f.secret {
			p.leaks = append(p.leaks, f.path)
		}
	}
	isRead := func(name string) bool { // what cannot be read is reported
		f := p.read[name]
		return f != nil && (f.err == nil || errors.Is(f.err, fs.ErrPermission))
	}
	err := p.sink.ScanObjects(ctx, isRead, func(name string, content []byte) {
		p.scanned += int64(len(content))
		if bytes.Contains(content, p.secret) {
			p.leaks = append(p.leaks, name)
		}
	})
	slices.Sort(p.leaks)
	p.leaks = slices.Compact(p.leaks)
	return err
}

// checkFiles compares the files that are there with those that manifests name.
func (p fileReader) checkFiles(context.Context) error {
	contents := newFileContents(p.listed, p.read)
	for _, path := range slices.Sorted(maps.Keys(p.read)) {
		f, compacted := p.read[path], sinks.IsCompacted(path)
		_, listed := p.listed[path]
		switch {
		case listed:
			p.checkFile(f, contents)
		case compacted:
			p.orphans++
			continue
		default:
			p.addUnlisted(path)
		}
		if compacted {
			p.compacted++
		} else {
			p.visible++
		}
	}
	for _, path := range slices.Sorted(maps.Keys(p.listed)) {
		switch {
		case p.removed[path]:
			p.gone++
		case isListed(p.chain, path):
			p.damaged = append(p.damaged, path+" is listed in a manifest and missing")
		}
	}
	return nil
}

// fileContents says which files have which content, by the SHA-256 of their bytes.
type fileContents struct {
	owners  map[string]string // paths that manifests give to contents
	holders map[string]string // paths of the files that have them, where these are others
}

func newFileContents(listed map[string]pipeline.File, read map[string]*readFile) *fileContents {
	c := &fileContents{owners: map[string]string{}, holders: map[string]string{}}
	for path, f := range listed {
		c.owners[f.SHA256] = path
	}
	for path, f := range read {
		if owner := c.owners[f.SHA256]; f.err == nil && owner != "" && owner != path && listed[path].SHA256 != f.SHA256 {
			c.holders[f.SHA256] = path
		}
	}
	return c
}

// misplacedText says whose content a file has, and where its own is; empty: it has no other's, or a text of the
// other file says so. mendable is true if names alone are wrong.
func (c *fileContents) misplacedText(got *readFile, f *pipeline.File) (text string, mendable, isOther bool) {
	owner, holder := c.owners[got.SHA256], c.holders[f.SHA256]
	switch {
	case owner == "":
		return "", false, false
	case owner != holder && holder != "":
		return fmt.Sprintf("%s has the content of %s, and its own is in %s: give each file its own name again", f.Path, owner, holder), true, true
	case owner != holder:
		return fmt.Sprintf("%s has the content of %s, and no file has its own", f.Path, owner), false, true
	case f.Path < owner:
		return fmt.Sprintf("%s and %s have each other's content: exchange their names", f.Path, owner), true, true
	}
	return "", true, true
}

// addUnlisted reports a file that no manifest lists. One that is not named as a run names its files came from
// elsewhere: a lake that is rebuilt lacks it, as does this one when it is moved away.
func (p fileReader) addUnlisted(name string) {
	ours := p.lake.ledger == nil || slices.ContainsFunc(p.journalRuns(), func(r *ledger.Run) bool { return strings.HasPrefix(path.Base(name), r.ID+"-") })
	if !ours {
		name += ", which is not a file of any run: move it out of the lake"
		p.remedied[filesListed]++
	}
	p.unlisted = append(p.unlisted, name)
}

// checkFile compares a file with its entry in the manifest, and removes the entry from those to check.
func (p fileReader) checkFile(got *readFile, contents *fileContents) {
	f := p.listed[got.path]
	p.bytes += f.Bytes
	delete(p.listed, got.path)
	if got.isIntact(&f) {
		return
	}
	if got.err == nil {
		if text, mendable, isOther := contents.misplacedText(got, &f); isOther {
			if text != "" {
				p.damaged = append(p.damaged, text)
			}
			if text != "" && mendable {
				p.remedied[filesIntact]++
			}
			return
		}
	}
	switch {
	case errors.Is(got.err, fs.ErrPermission):
		p.damaged = append(p.damaged, fmt.Sprintf("%s cannot be read: %s", f.Path, unreadText(got.err)))
		p.remedied[filesIntact]++
	case got.err != nil:
		p.damaged = append(p.damaged, fmt.Sprintf("%s cannot be read: %v", f.Path, got.err))
		p.countRemedy(filesIntact, got.err)
	case got.Bytes != f.Bytes || got.File.Rows != f.Rows:
		p.damaged = append(p.damaged, fmt.Sprintf("%s has %s and %s, its manifest says %s and %s", f.Path, format.Count(got.Bytes, "byte"), format.Count(got.File.Rows, "row"), format.Count(f.Bytes, "byte"), format.Count(f.Rows, "row")))
	default:
		p.damaged = append(p.damaged, f.Path+" has other content than its manifest says")
	}
}

// isIntact reports whether a file was read, and is the one that a manifest lists.
func (got *readFile) isIntact(f *pipeline.File) bool {
	return got.err == nil && got.Bytes == f.Bytes && got.File.Rows == f.Rows && got.SHA256 == f.SHA256 && got.Digest == f.Digest
}

// isPruned reports whether files that a compaction replaced or wrote were removed since.
func (p fileReader) isPruned(m *pipeline.Manifest) bool {
	return slices.ContainsFunc(slices.Concat(m.Replaces, filePaths(m)), func(path string) bool { return p.removed[path] })
}

// checkCompaction compares the rows of a compaction's files with those of the
// files that it replaced. If a manifest or a file cannot be read, that is the fault, which other invariants
// report, and the compaction is not compared.
func (p fileReader) checkCompaction(m *pipeline.Manifest) {
	if len(m.Replaces) == 0 {
		return // a pruning
	}
	if p.isPruned(m) {
		p.unread++
		return
	}
	paths := slices.Concat(m.Replaces, filePaths(m))
	switch {
	case p.cut && slices.ContainsFunc(paths, func(path string) bool { return p.listed[path].Path == "" }):
		p.unlinked = append(p.unlinked, "compaction "+m.Run.ID)
		return
	case slices.ContainsFunc(paths, p.isReportedDamaged):
		p.lacking = append(p.lacking, "compaction "+m.Run.ID)
		return
	}
	p.compactions++
	replaced, written := map[string][]string{}, map[string][]string{} // paths by table
	for _, path := range m.Replaces {
		table := p.listed[path].Table
		replaced[table] = append(replaced[table], path)
	}
	for _, f := range m.Files {
		written[f.Table] = append(written[f.Table], f.Path)
	}
	for _, table := range slices.Sorted(maps.Keys(replaced)) {
		before, err := hashRows(p.read, table, replaced[table])
		after, afterErr := hashRows(p.read, table, written[table])
		switch err := errors.Join(err, afterErr); {
		case err != nil:
			p.differing = append(p.differing, fmt.Sprintf("%s of compaction %s: its rows cannot be compared: %v", table, m.Run.ID, err))
		case before != after:
			p.differing = append(p.differing, fmt.Sprintf("%s of compaction %s: it replaced %s by %s, and these are not the same", table, m.Run.ID, format.Count(before.Rows, "row"), format.Count(after.Rows, "row")))
		}
	}
}

// isReportedDamaged reports whether a manifest lists a file that is missing or damaged, which checkFiles reports.
func (p fileReader) isReportedDamaged(path string) bool {
	f, listed := p.listed[path]
	got := p.read[path]
	return listed && (got == nil || !got.isIntact(&f))
}

// hashRows is the hash of the rows that files of a table hold together.
func hashRows(read map[string]*readFile, table string, paths []string) (sum sinks.MultisetHash, err error) {
	for _, path := range paths {
		f := read[path]
		switch {
		case f == nil:
			return sum, fmt.Errorf("%s is missing", path)
		case table == "":
			return sum, fmt.Errorf("%s is replaced, and no manifest lists it", path)
		case f.table != table:
			return sum, fmt.Errorf("%s is listed as a file of table %q, and of %q", path, f.table, table)
		}
		if err := errors.Join(f.err, f.RowsErr); err != nil {
			return sum, fmt.Errorf("%s: %w", path, err)
		}
		sum.Add(&f.FileContent.Rows)
	}
	return sum, nil
}

func filePaths(m *pipeline.Manifest) (paths []string) {
	for _, f := range m.Files {
		paths = append(paths, f.Path)
	}
	return paths
}

func isListed(chain []*pipeline.Manifest, path string) bool {
	return slices.ContainsFunc(chain, func(m *pipeline.Manifest) bool { return slices.Contains(filePaths(m), path) })
}
