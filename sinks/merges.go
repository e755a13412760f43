package sinks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/siglake/siglake/pipeline"
)

// Query engines whose tables read folders know nothing of generations: they list the files of data/,
// ledger/ and compact/ when a query runs. A list of merges tells them which of these files hold every
// row once. It is a small Parquet file that each query reads. A row of it says that from a moment on
//
//   - a file is hidden: a compaction has merged it into another,
//   - or that a file is shown: a compaction has written it.
//
// A file that is hidden is not shown, whatever another row says. What has no row is shown in data/ and
// ledger/, and hidden in compact/. The rows of one compaction come into effect at the same moment, an
// hour after they were written, by the clock of the engine. So a query that listed the folders before the
// merged files were there does not use them yet, and one that does finds these files. A pruning
// removes only what has been hidden for another hour. So no moment loses or doubles a row, and a
// process that dies before it writes the list leaves the files as the list before shows them:
// the next compaction or pruning writes it.
//
// A list has all rows of the one before, unchanged: a query may read any of them, or several at once, which
// is why it need not find out which is the newest.

// MergesDir holds the lists of merges, each named after the newest compaction that it has.
const MergesDir = "merges"

// mergeDelay is longer than a query runs, and than clocks differ.
const mergeDelay = time.Hour

// mergesKept is how long a list stays after all of the next one has come into effect.
const mergesKept = 24 * time.Hour

// MergedFile is a row of a list of merges.
type MergedFile struct {
	Generation  int64  `parquet:"generation"`   // the compaction
	EffectiveAt int64  `parquet:"effective_at"` // Unix seconds, the same in all rows of a compaction
	Table       string `parquet:"table_name"`
	Name        string `parquet:"name"`  // the last folder and the file
	Shown       bool   `parquet:"shown"` // false: hidden
}

// mergedFile is a row about a path.
func mergedFile(file string, m *pipeline.Manifest, shown bool) MergedFile {
	parts := strings.Split(strings.TrimPrefix(file, compactDir+"/"), "/")
	return MergedFile{Generation: m.Generation, Table: parts[min(1, len(parts)-1)], Name: path.Join(path.Base(path.Dir(file)), path.Base(file)), Shown: shown}
}

// mergeList is a list of merges; the zero value hides nothing.
type mergeList struct {
	name string // of the file
	rows []MergedFile
}

// generation is the newest compaction of the list; 0: there is none.
func (m *mergeList) generation() (newest int64) {
	for i := range m.rows {
		newest = max(newest, m.rows[i].Generation)
	}
	return newest
}

// isEffective reports whether all of the list has been in effect for some time.
func (m *mergeList) isEffective(since time.Duration, now time.Time) bool {
	for i := range m.rows {
		if time.Unix(m.rows[i].EffectiveAt, 0).Add(since).After(now) {
			return false
		}
	}
	return len(m.rows) > 0
}

// hidden are the files that tables have not read for some time, by table and name.
func (m *mergeList) hidden(since time.Duration, now time.Time) map[[2]string]bool {
	files := map[[2]string]bool{}
	for i := range m.rows {
		if r := &m.rows[i]; !r.Shown && !time.Unix(r.EffectiveAt, 0).Add(since).After(now) {
			files[[2]string{r.Table, r.Name}] = true
		}
	}
	return files
}

// mergeLists names the lists of a lake, oldest first.
func (g *generations) mergeLists(ctx context.Context) (names []string, err error) {
	for name, err := range g.backend.listNames(ctx, MergesDir) {
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

func mergesName(generation int64) string {
	return fmt.Sprintf("%s/%08d.parquet", MergesDir, generation)
}

// readMerges reads a list.
func (g *generations) readMerges(ctx context.Context, name string) (m mergeList, err error) {
	data, err := g.backend.readObject(ctx, name)
	if err != nil {
		return m, err
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
		if err != nil {
			err = &RemedyError{fmt.Errorf("%w: %s is damaged: %w; remove it: siglake compact writes it again from the manifests", ErrIntegrity, name, err)}
		}
	}()
	m.name = name
	m.rows, err = parquet.Read[MergedFile](bytes.NewReader(data), int64(len(data)))
	if err == nil && name != mergesName(m.generation()) {
		err = errors.New("it is not the list of this generation")
	}
	return m, err
}

// newestMergesOf reads the list of the newest compaction of a chain that has one; the zero value if there is none. Others may
// be there: those of compactions that are not in the chain, from before an older _meta was restored.
func (g *generations) newestMergesOf(ctx context.Context, chain []*pipeline.Manifest) (m mergeList, err error) {
	for _, manifest := range slices.Backward(chain) {
		if len(manifest.Replaces) > 0 {
			if m, err = g.readMerges(ctx, mergesName(manifest.Generation)); !errors.Is(err, fs.ErrNotExist) {
				return m, err
			}
		}
	}
	return mergeList{}, nil
}

// requiredMerges is the newest compaction before a pruning that removed files, which first wrote its list; 0: there is none.
func requiredMerges(chain []*pipeline.Manifest) (required int64) {
	var compacted int64
	for _, m := range chain {
		switch {
		case len(m.Replaces) > 0:
			compacted = m.Generation
		case len(m.Removes) > 0:
			required = compacted
		}
	}
	return required
}

// MissingMerges names the list of the newest compaction of a chain if it is not there: tables of query engines read the small files
// until it is. The process may have died before it wrote the list, and earlier versions wrote none.
func (i *Inspector) MissingMerges(ctx context.Context, chain []*pipeline.Manifest) (name string, err error) {
	for _, m := range slices.Backward(chain) {
		if len(m.Replaces) > 0 {
			name = mergesName(m.Generation)
			break
		}
	}
	if name == "" {
		return "", nil
	}
	names, err := i.published.mergeLists(ctx)
	if err != nil || slices.Contains(names, name) {
		return "", err
	}
	return name, nil
}

// newestMerges reads the newest list; the zero value if there is none.
func (g *generations) newestMerges(ctx context.Context) (m mergeList, err error) {
	names, err := g.mergeLists(ctx)
	if err != nil || len(names) == 0 {
		return m, err
	}
	return g.readMerges(ctx, names[len(names)-1])
}

// after is the list with the rows of m and those of the compactions among manifests, oldest first, which
// come into effect at a moment.
func (m *mergeList) after(manifests []*pipeline.Manifest, effective time.Time) (next mergeList) {
	last := m.generation()
	next.rows = slices.Clone(m.rows)
	for _, manifest := range manifests {
		if len(manifest.Replaces) == 0 || manifest.Generation <= last {
			continue
		}
		for _, file := range manifest.Replaces {
			next.rows = append(next.rows, mergedFile(file, manifest, false))
		}
		for _, f := range manifest.Files {
			next.rows = append(next.rows, mergedFile(f.Path, manifest, true))
		}
	}
	for i := len(m.rows); i < len(next.rows); i++ {
		next.rows[i].EffectiveAt = effective.Unix()
	}
	next.name = mergesName(next.generation())
	return next
}

// recordMerges writes the list of all compactions, unless it is there, and removes the one before the
// last if no query has used it for a day. It returns the name of the list if it has written it.
func (l *Lake) recordMerges(ctx context.Context) (written string, err error) {
	newest, _, err := l.newestGeneration(ctx)
	if err != nil {
		return "", err
	}
	var last mergeList
	var unlisted []*pipeline.Manifest // newest first
	link := newest.manifestLink()
	for ; link != nil && last.name == ""; link = unlisted[len(unlisted)-1].Previous {
		m, err := l.readManifest(ctx, link)
		if err != nil {
			return "", err
		}
		if len(m.Replaces) > 0 {
			if last, err = l.readMerges(ctx, mergesName(m.Generation)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return "", err
			}
		}
		unlisted = append(unlisted, m)
	}
	slices.Reverse(unlisted)
	next := last.after(unlisted, l.options.Now().Add(mergeDelay))
	if next.generation() == last.generation() {
		return "", nil
	}
	var data bytes.Buffer
	if err := parquet.Write(&data, next.rows, parquet.Compression(&parquet.Zstd)); err != nil {
		return "", fmt.Errorf("%s: %w", next.name, err)
	}
	if err := l.backend.createObject(ctx, next.name, data.Bytes()); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	if last.isEffective(mergesKept, l.options.Now()) {
		_ = l.removeMerges(ctx, link) // a bucket may forbid it, and a pruning does it again
	}
	return next.name, nil
}

// removeMerges removes the list of the newest compaction up to a generation.
func (l *Lake) removeMerges(ctx context.Context, link *pipeline.Link) error {
	for link != nil {
		m, err := l.readManifest(ctx, link)
		if err != nil {
			return err
		}
		if len(m.Replaces) > 0 {
			return l.backend.removeObject(ctx, mergesName(m.Generation))
		}
		link = m.Previous
	}
	return nil
}

// CheckMerges compares the newest list of merges with the chain of manifests. If they differ, or the list is missing that a
// pruning relied on, it returns a RemedyError.
func (i *Inspector) CheckMerges(ctx context.Context, chain []*pipeline.Manifest) error {
	m, err := i.published.newestMerges(ctx)
	if err != nil {
		return err
	}
	if required := requiredMerges(chain); m.generation() < required {
		return &RemedyError{fmt.Errorf("%w: %s is missing, so that tables of query engines lack the rows of pruned files: "+
			"siglake compact writes it again from the manifests, and it takes effect an hour later", ErrIntegrity, mergesName(required))}
	}
	if len(m.rows) == 0 {
		return nil
	}
	var listed []*pipeline.Manifest
	for _, manifest := range chain {
		if manifest.Generation <= m.generation() {
			listed = append(listed, manifest)
		}
	}
	want := (&mergeList{}).after(listed, time.Unix(0, 0))
	same := func(a, b MergedFile) bool { b.EffectiveAt = 0; return a == b }
	if !slices.EqualFunc(want.rows, m.rows, same) {
		return &RemedyError{fmt.Errorf("%w: %s names other files than the compactions of the lake, as after an older _meta was restored: "+
			"remove it, and run siglake compact, which writes the list again; until an hour later tables of query engines may lack rows of pruned files", ErrIntegrity, m.name)}
	}
	return nil
}
