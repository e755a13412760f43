package sinks

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/siglake/siglake/pipeline"
)

// DataFile is one file of a snapshot.
type DataFile struct {
	Path      string `json:"path"` // relative to the lake
	Table     string `json:"table"`
	Partition string `json:"partition"` // "event_month=2026-03"; empty for unpartitioned tables
	Rows      int64  `json:"rows"`
	Bytes     int64  `json:"bytes"`
	Digest    string `json:"logical_digest"` // of the rows, as in the manifest
	Run       string `json:"run"`            // the run or compaction that wrote it
	Globbed   bool   `json:"visible"`        // in data/ or ledger/, not a compaction's
	// Of accounts: the columns of lists that extra holds.
	Kept []pipeline.KeptColumn `json:"kept_columns,omitempty"`
}

// Snapshot is the list of files that hold every row of a lake, each once, as of
// one generation.
type Snapshot struct {
	Generation int64 // 0: nothing has been published
	// Where the list lies; nil for generations whose list was pruned, and those from before there
	// were lists: they are assembled from the manifests.
	Link  *pipeline.Link
	Files []DataFile // by path
}

// snapshotName contains the digest of the content: two publishers that prepare the
// same generation write two lists, and the list of the one that does not publish
// blocks no other publisher.
func snapshotName(generation int64, sum string) string {
	return fmt.Sprintf("%s/%08d-%s.ndjson", snapshotDir, generation, sum[:16])
}

// encodeSnapshot writes one line of JSON for each file. Equal lists give equal bytes.
func encodeSnapshot(generation int64, files []DataFile) (*pipeline.Link, []byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	for i := range files {
		if err := e.Encode(&files[i]); err != nil {
			return nil, nil, fmt.Errorf("snapshot: %w", err)
		}
	}
	sum := sha256.Sum256(b.Bytes())
	text := hex.EncodeToString(sum[:])
	return &pipeline.Link{Path: snapshotName(generation, text), SHA256: text}, b.Bytes(), nil
}

// writeSnapshot writes the list for the generation that m will be. The list must exist
// before m does.
func (g *generations) writeSnapshot(ctx context.Context, m *pipeline.Manifest) (*pipeline.Link, error) {
	before, err := g.generationFiles(ctx, m.Previous)
	if err != nil {
		return nil, err
	}
	after, err := applyManifest(before, m)
	if err != nil {
		return nil, err
	}
	link, data, err := encodeSnapshot(m.Generation, after)
	if err != nil {
		return nil, err
	}
	err = g.backend.createObject(ctx, link.Path, data)
	if errors.Is(err, fs.ErrExist) { // by the same run, which died before its manifest
		_, err = g.readSnapshot(ctx, link)
	}
	return link, err
}

// generationFiles returns the files of the generation that link names: from its list, or
// from the manifests since the last generation that has a list. Lakes of earlier
// versions have no lists, so the first publication reads their whole chain, once; old
// lists are pruned.
func (g *generations) generationFiles(ctx context.Context, link *pipeline.Link) (files []DataFile, err error) {
	var unlisted []*pipeline.Manifest // newest first
	for link != nil {
		m, err := g.readManifest(ctx, link)
		if err != nil {
			return nil, err
		}
		if m.Snapshot != nil {
			if files, err = g.readSnapshot(ctx, m.Snapshot); err == nil {
				break
			}
			if !g.removed[m.Snapshot.Path] || !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
		}
		unlisted = append(unlisted, m)
		link = m.Previous
	}
	for _, m := range slices.Backward(unlisted) {
		if files, err = applyManifest(files, m); err != nil {
			return nil, fmt.Errorf("%w: generation %d: %w", ErrIntegrity, m.Generation, err)
		}
	}
	if len(unlisted) > 0 {
		return files, checkDerived(unlisted[0], files)
	}
	return files, nil
}

// checkDerived makes sure that the files that follow from the manifests are those that a generation's
// list had, which siglake prune removes.
func checkDerived(m *pipeline.Manifest, files []DataFile) error {
	if m.Snapshot == nil {
		return nil
	}
	link, _, err := encodeSnapshot(m.Generation, files)
	if err == nil && *link != *m.Snapshot {
		err = fmt.Errorf("%w: the list of files of generation %d is missing, and does not follow from the manifests", ErrIntegrity, m.Generation)
	}
	return err
}

// MissingNeighbours names the files that were published before into the partitions of a published
// manifest's files and that are not there any more, and those with which its rows could not be compared. It lists
// these partitions only.
func (l *Lake) MissingNeighbours(ctx context.Context, m *pipeline.Manifest) (missing []string, err error) {
	missing = slices.Clone(m.Unread)
	if m.Snapshot == nil || len(m.Files) == 0 {
		return missing, nil
	}
	files, err := l.readSnapshot(ctx, m.Snapshot)
	if err != nil {
		return nil, err
	}
	touched, listed := map[string]bool{}, map[string][]string{} // partitions; paths by directory
	for _, f := range m.Files {
		touched[f.Table+"/"+f.Partition] = true
	}
	for _, f := range files {
		if touched[f.Table+"/"+f.Partition] {
			dir := path.Dir(f.Path)
			listed[dir] = append(listed[dir], f.Path)
		}
	}
	dirs := slices.Sorted(maps.Keys(listed))
	found, failed := make([]map[string]bool, len(dirs)), make([]error, len(dirs))
	for from := 0; from < len(dirs); from += maxParallelReads {
		var readers sync.WaitGroup // awaited below
		for i := from; i < min(from+maxParallelReads, len(dirs)); i++ {
			readers.Go(func() { found[i], failed[i] = l.listDir(ctx, dirs[i]) })
		}
		readers.Wait()
	}
	for i, dir := range dirs {
		for _, name := range listed[dir] {
			if failed[i] == nil && !found[i][name] && !slices.Contains(m.Unread, name) {
				missing = append(missing, name)
			}
		}
	}
	return missing, errors.Join(failed...)
}

// MissingManifests names the manifests that are not there of the generations up to one.
func (g *generations) MissingManifests(ctx context.Context, newest int64) (missing []string, err error) {
	found, err := g.listDir(ctx, manifestDir)
	if err != nil {
		return nil, err
	}
	for generation := int64(1); generation <= newest; generation++ {
		if name := manifestName(generation); !found[name] {
			missing = append(missing, name)
		}
	}
	return missing, nil
}

func (g *generations) listDir(ctx context.Context, dir string) (map[string]bool, error) {
	names := map[string]bool{}
	for name, err := range g.backend.listNames(ctx, dir) {
		if err != nil {
			return nil, err
		}
		names[name] = true
	}
	return names, nil
}

// readSnapshot reads a list and checks it against the link that names it.
func (g *generations) readSnapshot(ctx context.Context, link *pipeline.Link) (files []DataFile, err error) {
	data, err := g.backend.readObject(ctx, link.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: a list of files is missing: %w", ErrIntegrity, err)
	}
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != link.SHA256 {
		return nil, fmt.Errorf("%w: %s has SHA-256 %x, and the file that names it says %s", ErrIntegrity, link.Path, sum, link.SHA256)
	}
	for d := json.NewDecoder(bytes.NewReader(data)); ; {
		var e DataFile
		err := d.Decode(&e)
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrIntegrity, link.Path, err)
		}
		files = append(files, e)
	}
}

// applyManifest derives the files of a generation from those of the previous one.
func applyManifest(before []DataFile, m *pipeline.Manifest) ([]DataFile, error) {
	files := map[string]DataFile{}
	for _, e := range before {
		files[e.Path] = e
	}
	for _, path := range m.Replaces {
		if _, ok := files[path]; !ok {
			return nil, fmt.Errorf("%w: the rows of %s have got into another file", errReplaced, path)
		}
		delete(files, path)
	}
	for _, f := range m.Files {
		if was, ok := files[f.Path]; ok && was.Digest != f.Digest {
			return nil, fmt.Errorf("%w: two generations name %s, with different rows", ErrIntegrity, f.Path)
		}
		files[f.Path] = DataFile{
			Path: f.Path, Table: f.Table, Partition: f.Partition, Rows: f.Rows, Bytes: f.Bytes, Digest: f.Digest,
			Run: m.Run.ID, Globbed: !strings.HasPrefix(f.Path, compactDir+"/"), Kept: f.Kept,
		}
	}
	after := make([]DataFile, 0, len(files))
	for _, e := range files {
		after = append(after, e)
	}
	slices.SortFunc(after, func(a, b DataFile) int { return strings.Compare(a.Path, b.Path) })
	return after, nil
}

var errReplaced = errors.New("another compaction finished first; run this one again")
