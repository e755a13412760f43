package sinks

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/siglake/siglake/pipeline"
)

// Query engines whose tables read folders know nothing of generations: they list the files of data/,
// ledger/ and compact/ when a query runs. A list of merges tells them which of these files hold every
// row once. It is a small Parquet file that each query reads, and that has
//
//   - the files that compactions have merged into others, which are hidden, and
//   - the files that compactions have written, which are shown unless a later one has merged them.
//
// What no list names is shown in data/ and ledger/, and hidden in compact/. All of a list comes into
// effect at one moment, an hour after it was written, by the clock of the engine. So a query that
// listed the folders before the merged files were there does not use it yet, and one that uses it
// finds these files. A pruning removes only what a list has hidden for another hour. So no moment loses
// or doubles a row, and a process that dies before it writes the list leaves the files as the list
// before it shows them: the next compaction or pruning writes it.

// MergesDir holds the lists of merges, one for each generation that is a compaction.
const MergesDir = "merges"

// mergeDelay is longer than a query runs, and than clocks differ.
const mergeDelay = time.Hour

// mergesKept is how long a list stays after another one has come into effect.
const mergesKept = 24 * time.Hour

// MergedFile is a row of a list of merges.
type MergedFile struct {
	Generation  int64  `parquet:"generation"`   // the compaction, the same in all rows of a list
	EffectiveAt int64  `parquet:"effective_at"` // Unix seconds, the same in all rows of a list
	Table       string `parquet:"table_name"`
	Name        string `parquet:"name"` // the last folder and the file
	Shown       bool   `parquet:"shown"`
}

// mergedFile is the row of a path.
func mergedFile(file string) MergedFile {
	parts := strings.Split(strings.TrimPrefix(file, compactDir+"/"), "/")
	return MergedFile{Table: parts[min(1, len(parts)-1)], Name: path.Join(path.Base(path.Dir(file)), path.Base(file))}
}

// mergeList is a list of merges; the zero value hides nothing.
type mergeList struct {
	name string // of the file
	rows []MergedFile
}

func (m *mergeList) generation() int64 {
	if len(m.rows) == 0 {
		return 0
	}
	return m.rows[0].Generation
}

// isEffective reports whether tables have read the list for some time.
func (m *mergeList) isEffective(since time.Duration, now time.Time) bool {
	return len(m.rows) > 0 && !time.Unix(m.rows[0].EffectiveAt, 0).Add(since).After(now)
}

// hides reports whether tables do not read a file.
func (m *mergeList) hides(file string) bool {
	want := mergedFile(file)
	at, found := slices.BinarySearchFunc(m.rows, want, compareMerged)
	return found && !m.rows[at].Shown
}

func compareMerged(a, b MergedFile) int {
	return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Name, b.Name))
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
			err = fmt.Errorf("%w: %s is damaged: %w; remove it: siglake compact writes it again from the manifests", ErrIntegrity, name, err)
		}
	}()
	m.name = name
	m.rows, err = parquet.Read[MergedFile](bytes.NewReader(data), int64(len(data)))
	if err == nil && name != mergesName(m.generation()) {
		err = errors.New("it is not the list of this generation")
	}
	return m, err
}

// effectiveMerges reads the newest list that tables have read for some time.
func (g *generations) effectiveMerges(ctx context.Context, now time.Time) (m mergeList, err error) {
	names, err := g.mergeLists(ctx)
	for _, name := range slices.Backward(names) {
		if m, err = g.readMerges(ctx, name); err != nil || m.isEffective(mergeDelay, now) {
			return m, err
		}
	}
	return mergeList{}, err
}

// after is the list that has the compactions of manifests, oldest first, besides those of m. It is m if
// none of them is another compaction.
func (m *mergeList) after(manifests []*pipeline.Manifest) (next mergeList) {
	shown, generation := map[MergedFile]bool{}, m.generation()
	for _, row := range m.rows {
		shown[MergedFile{Table: row.Table, Name: row.Name}] = row.Shown
	}
	for _, manifest := range manifests {
		if len(manifest.Replaces) == 0 || manifest.Generation <= m.generation() {
			continue
		}
		generation = manifest.Generation
		for _, file := range manifest.Replaces {
			shown[mergedFile(file)] = false
		}
		for _, f := range manifest.Files {
			shown[mergedFile(f.Path)] = true
		}
	}
	next.name = mergesName(generation)
	for _, row := range slices.SortedFunc(maps.Keys(shown), compareMerged) {
		row.Generation, row.Shown = generation, shown[row]
		next.rows = append(next.rows, row)
	}
	return next
}

// recordMerges writes the list of all compactions, unless it is there, and removes the one before the
// last if no query has used it for a day.
func (l *Lake) recordMerges(ctx context.Context) error {
	newest, _, err := l.newestGeneration(ctx)
	if err != nil {
		return err
	}
	var last mergeList
	var unlisted []*pipeline.Manifest // newest first
	link := newest.manifestLink()
	for ; link != nil && last.name == ""; link = unlisted[len(unlisted)-1].Previous {
		m, err := l.readManifest(ctx, link)
		if err != nil {
			return err
		}
		if len(m.Replaces) > 0 {
			if last, err = l.readMerges(ctx, mergesName(m.Generation)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		unlisted = append(unlisted, m)
	}
	slices.Reverse(unlisted)
	next := last.after(unlisted)
	if next.generation() == last.generation() {
		return nil
	}
	effective := l.options.Now().UTC().Add(mergeDelay).Unix()
	for i := range next.rows {
		next.rows[i].EffectiveAt = effective
	}
	var data bytes.Buffer
	if err := parquet.Write(&data, next.rows, parquet.Compression(&parquet.Zstd)); err != nil {
		return fmt.Errorf("%s: %w", next.name, err)
	}
	if err := l.backend.createObject(ctx, next.name, data.Bytes()); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if last.isEffective(mergesKept, l.options.Now()) {
		_ = l.removeMerges(ctx, link) // a bucket may forbid it, and a pruning does it again
	}
	return nil
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

// CheckMerges compares the newest list of merges with the chain of manifests.
func (i *Inspector) CheckMerges(ctx context.Context, chain []*pipeline.Manifest) (violations []string, err error) {
	names, err := i.published.mergeLists(ctx)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	m, err := i.published.readMerges(ctx, names[len(names)-1])
	if errors.Is(err, ErrIntegrity) {
		return []string{err.Error()}, nil
	}
	if err != nil {
		return nil, err
	}
	var listed []*pipeline.Manifest
	for _, manifest := range chain {
		if manifest.Generation <= m.generation() {
			listed = append(listed, manifest)
		}
	}
	want := (&mergeList{}).after(listed)
	for at := range want.rows {
		want.rows[at].EffectiveAt = m.rows[0].EffectiveAt
	}
	if !slices.Equal(want.rows, m.rows) {
		violations = []string{fmt.Sprintf("%s names other files than the compactions that it lists", m.name)}
	}
	return violations, nil
}
