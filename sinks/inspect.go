package sinks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path"
	"slices"
	"sync"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/siglake/siglake/internal/durable"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// Inspector reads a lake without changing it.
type Inspector struct {
	published generations
	dir       *durable.Dir // nil on S3
	chain     []*pipeline.Manifest
	merged    *mergedFiles // nil: the chain was not read, or nothing was pruned
}

// Inspect opens a lake read-only. It uses only Bucket of the options.
func Inspect(ctx context.Context, uri string, o Options) (*Inspector, error) {
	o.RunID = "inspect"
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if OnS3(uri) {
		b, err := o.openBucket(ctx, uri)
		if err != nil {
			return nil, fmt.Errorf("open lake: %w", err)
		}
		return &Inspector{published: generations{backend: &s3Backend{bucket: b}}}, ctx.Err()
	}
	base, err := CheckDir(uri)
	if err != nil {
		return nil, err
	}
	d, err := durable.Open(base, o.Hook)
	if err != nil {
		return nil, fmt.Errorf("open lake: %w", err)
	}
	return &Inspector{published: generations{backend: &dirBackend{Dir: d}}, dir: d}, ctx.Err()
}

// Close releases the lake.
func (i *Inspector) Close() error {
	if i.dir == nil {
		return nil
	}
	return i.dir.Close()
}

// Generations walks the manifests from the one that current.json names back to
// the first. It ends at a broken link, with ErrIntegrity.
func (i *Inspector) Generations(ctx context.Context) iter.Seq2[*pipeline.Manifest, error] {
	return func(yield func(*pipeline.Manifest, error) bool) {
		current, _, err := i.published.readCurrent(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		generation := current.Generation
		for link := current.manifestLink(); link != nil; generation-- {
			m, err := i.published.readManifest(ctx, link)
			if err == nil && m.Generation != generation {
				err = fmt.Errorf("%w: %s says it is generation %d, want %d", ErrIntegrity, link.Path, m.Generation, generation)
			}
			if err == nil && generation == current.Generation {
				err = current.checkSnapshot(m)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(m, nil) {
				return
			}
			link = m.Previous
		}
		if generation != 0 {
			yield(nil, fmt.Errorf("%w: the chain ends before generation %d", ErrIntegrity, generation))
		}
	}
}

// CurrentGeneration returns the link to the manifest that current.json names, and its
// generation; nil and 0 if the lake has none.
func (i *Inspector) CurrentGeneration(ctx context.Context) (*pipeline.Link, int64, error) {
	return i.published.CurrentGeneration(ctx)
}

// ReadChain returns the manifests from the first generation to the one that
// current.json names. If a link is broken, it returns ErrIntegrity and the manifests
// after it. If current.json is damaged, or the manifest that it names, these are the ones that follow each
// other from the first.
func (i *Inspector) ReadChain(ctx context.Context) (chain []*pipeline.Manifest, err error) {
	for m, broken := range i.Generations(ctx) {
		if broken != nil {
			err = broken
			break
		}
		chain = append(chain, m)
	}
	if len(chain) == 0 && errors.Is(err, ErrIntegrity) {
		return i.ReadNumbered(ctx), err
	}
	slices.Reverse(chain)
	if removed := RemovedFiles(chain); err == nil && len(removed) > 0 {
		var current generationRef
		if current, _, err = i.published.readCurrent(ctx); err == nil {
			i.chain, i.merged, i.published.removed = chain, &mergedFiles{removed: removed}, removed
			i.merged.live, err = i.published.generationFiles(ctx, current.manifestLink())
		}
	}
	return chain, err
}

// ReadNumbered returns the manifests that follow each other from the first one on, whether current.json
// names them or not.
func (i *Inspector) ReadNumbered(ctx context.Context) (chain []*pipeline.Manifest) {
	newest, _, _ := i.published.newestAfter(ctx, generationRef{}, nil) // as far as it goes
	for link := newest.manifestLink(); link != nil; {
		m, err := i.published.readManifest(ctx, link)
		if err != nil {
			return nil // it was changed meanwhile
		}
		chain, link = append(chain, m), m.Previous
	}
	slices.Reverse(chain)
	return chain
}

// ReadManifests visits the manifests from the newest generation, whether current.json names it
// already or not, back to the first. Of those before the newest it leaves out the ones that skip
// reports, unread; the others are read by their names and not checked against the chain. It returns
// the newest generation; 0: nothing was published.
func (i *Inspector) ReadManifests(ctx context.Context, skip func(generation int64) bool, visit func(*pipeline.Manifest) error) (newest int64, err error) {
	ref, _, err := i.published.newestGeneration(ctx)
	if err != nil || ref.Generation == 0 {
		return 0, err
	}
	m, err := i.published.readManifest(ctx, ref.manifestLink())
	if err == nil {
		err = visit(m)
	}
	if err != nil {
		return ref.Generation, err
	}
	var wanted []int64
	for generation := ref.Generation - 1; generation > 0; generation-- {
		if !skip(generation) {
			wanted = append(wanted, generation)
		}
	}
	for chunk := range slices.Chunk(wanted, maxParallelReads) {
		manifests, err := i.readNumbered(ctx, chunk)
		if err != nil {
			return ref.Generation, err
		}
		for _, m := range manifests {
			if err := visit(m); err != nil {
				return ref.Generation, err
			}
		}
	}
	return ref.Generation, nil
}

// maxParallelReads is the number of manifests that are read at once.
const maxParallelReads = 16

// readNumbered reads the manifests of some generations by their names.
func (i *Inspector) readNumbered(ctx context.Context, generations []int64) ([]*pipeline.Manifest, error) {
	manifests, failed := make([]*pipeline.Manifest, len(generations)), make([]error, len(generations))
	var readers sync.WaitGroup // awaited below
	for at, generation := range generations {
		readers.Go(func() { manifests[at], failed[at] = i.readNumberedManifest(ctx, generation) })
	}
	readers.Wait()
	return manifests, errors.Join(failed...)
}

func (i *Inspector) readNumberedManifest(ctx context.Context, generation int64) (*pipeline.Manifest, error) {
	name := manifestName(generation)
	data, err := i.published.backend.readObject(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &ManifestError{fmt.Errorf("%w: a manifest is missing: %w", ErrIntegrity, err)}
	}
	if err != nil {
		return nil, err
	}
	m, err := parseManifest(name, data)
	if err == nil && m.Generation != generation {
		err = fmt.Errorf("%w: %s says it is generation %d", ErrIntegrity, name, m.Generation)
	}
	return m, err
}

// HasFiles reports whether the lake holds a file of rows, whatever its manifests say.
func (i *Inspector) HasFiles(ctx context.Context) (bool, error) {
	for _, top := range publishedDirs {
		for name, err := range i.published.backend.listNames(ctx, top) {
			if err != nil {
				return false, err
			}
			if !isHidden(name) {
				return true, nil
			}
		}
	}
	return false, nil
}

// isHidden reports whether readers skip a file because of its name.
func isHidden(name string) bool {
	base := path.Base(name)
	return base[0] == '.' || base[0] == '_'
}

// ReadSnapshot returns the files of a generation; 0 is the one that current.json names. Without that file
// it is the newest with a manifest: all files of such a generation are there, and a lake that has lost
// current.json is not read as an empty one.
func (i *Inspector) ReadSnapshot(ctx context.Context, generation int64) (*Snapshot, error) {
	current, raw, err := i.published.readCurrent(ctx)
	if err == nil && raw == nil {
		current, _, err = i.published.newestGeneration(ctx)
	}
	if err != nil {
		return nil, err
	}
	if generation < 0 || generation > current.Generation {
		return nil, fmt.Errorf("the lake has no generation %d; the newest is %d", generation, current.Generation)
	}
	link := current.manifestLink()
	if generation != 0 && generation != current.Generation {
		// The manifest is not checked against the chain here; the list that it names is.
		data, err := i.published.backend.readObject(ctx, manifestName(generation))
		if err != nil {
			return nil, err
		}
		m, err := parseManifest(manifestName(generation), data)
		if err != nil {
			return nil, err
		}
		described := newGenerationRef(m, data)
		link = described.manifestLink()
	}
	s := &Snapshot{}
	if link == nil {
		return s, nil
	}
	m, err := i.published.readManifest(ctx, link)
	if err != nil {
		return nil, err
	}
	s.Generation, s.Link = m.Generation, m.Snapshot
	since, err := i.manifestsSince(ctx, &current, m.Generation)
	if err != nil {
		return nil, err
	}
	i.published.removed = RemovedFiles(since)
	if s.Link != nil && i.published.removed[s.Link.Path] {
		s.Link = nil // a reader cannot rely on it
	}
	if s.Files, err = i.published.generationFiles(ctx, link); err == nil {
		err = i.checkUnpruned(since, s)
	}
	return s, err
}

// manifestsSince returns the manifests after a generation, oldest first.
func (i *Inspector) manifestsSince(ctx context.Context, current *generationRef, generation int64) (since []*pipeline.Manifest, err error) {
	if generation >= current.Generation {
		return nil, nil
	}
	for link := current.manifestLink(); link != nil; {
		m, err := i.published.readManifest(ctx, link)
		if err != nil {
			return nil, err
		}
		if m.Generation <= generation {
			break
		}
		since = append(since, m)
		link = m.Previous
	}
	slices.Reverse(since)
	return since, nil
}

// checkUnpruned makes sure that no later pruning has removed files of a generation.
func (i *Inspector) checkUnpruned(since []*pipeline.Manifest, s *Snapshot) error {
	removed, gone := RemovedFiles(since), 0
	for _, f := range s.Files {
		if removed[f.Path] {
			gone++
		}
	}
	if gone == 0 {
		return nil
	}
	p := PrunePlan{announced: removed}
	p.findOldest(since)
	return fmt.Errorf("siglake prune removed %d of the files of generation %d; the oldest one that can be read is %d. For what was known at an earlier time, filter the newest generation by first_seen_at: see siglake help sql", gone, s.Generation, p.Oldest)
}

// CheckSnapshots recomputes the list of files of each generation of a chain. It reports
// lists that are missing or differ, and compactions that hold other rows than the files
// that they replaced.
func (i *Inspector) CheckSnapshots(ctx context.Context, chain []*pipeline.Manifest) (broken []string, err error) {
	var files []DataFile
	removed := RemovedFiles(chain)
	for at, m := range chain {
		if at == 0 && m.Generation > 1 && m.Snapshot != nil { // those before it cannot be read
			if files, err = i.published.readSnapshot(ctx, m.Snapshot); err != nil {
				return append(broken, err.Error()), nil
			}
			continue
		}
		after, err := applyManifest(files, m)
		if err != nil {
			return append(broken, fmt.Sprintf("generation %d: %v", m.Generation, err)), nil
		}
		if m.Snapshot != nil {
			link, _, err := encodeSnapshot(m.Generation, after)
			if err != nil {
				return nil, err
			}
			if *link != *m.Snapshot {
				broken = append(broken, fmt.Sprintf("generation %d lists its files in %s; those that follow are in %s", m.Generation, m.Snapshot.Path, link.Path))
			}
			if _, err := i.published.readSnapshot(ctx, m.Snapshot); errors.Is(err, fs.ErrNotExist) && removed[m.Snapshot.Path] {
				// It follows from the manifests, as was just seen.
			} else if errors.Is(err, ErrIntegrity) {
				broken = append(broken, err.Error())
			} else if err != nil {
				return nil, err
			}
		}
		files = after
	}
	return broken, nil
}

// HashRows computes the hash of the rows that files of one table hold together.
func (i *Inspector) HashRows(ctx context.Context, table string, paths []string) (t MultisetHash, err error) {
	for _, path := range paths {
		content, err := i.ReadFile(ctx, path, table, nil)
		if err := errors.Join(err, content.RowsErr); err != nil {
			return t, fmt.Errorf("%s: %w", path, err)
		}
		t.Add(&content.Rows)
	}
	return t, nil
}

// ListGlobbed lists the files that readers who glob see, whatever their names.
func (i *Inspector) ListGlobbed(ctx context.Context) (paths []string, err error) {
	for _, top := range []string{dataDir, ledgerDir} {
		for name, err := range i.published.backend.listNames(ctx, top) {
			if err != nil {
				return nil, err
			}
			paths = append(paths, name)
		}
	}
	return paths, nil
}

// ListCompacted lists the files of compactions. It includes those of compactions that
// never became a generation: no manifest names these, and no reader sees them.
func (i *Inspector) ListCompacted(ctx context.Context) (paths []string, err error) {
	for name, err := range i.published.backend.listNames(ctx, compactDir) {
		if err != nil {
			return nil, err
		}
		paths = append(paths, name)
	}
	return paths, nil
}

// ScanObjects calls visit with every object of the lake and its content, including
// objects that are not for readers, unless skip reports that it is not wanted.
func (i *Inspector) ScanObjects(ctx context.Context, skip func(name string) bool, visit func(name string, content []byte)) error {
	for name, err := range i.published.backend.listNames(ctx, "") {
		if err != nil {
			return err
		}
		if skip(name) {
			continue
		}
		content, err := i.published.backend.readObject(ctx, name)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrIntegrity) {
			continue // it has been removed since it was listed, or is no file
		}
		if err != nil {
			return err
		}
		visit(name, content)
	}
	return nil
}

// DescribeFile reads a whole file and describes its content.
func (i *Inspector) DescribeFile(ctx context.Context, path string) (pipeline.File, error) {
	content, err := i.ReadFile(ctx, path, "", nil)
	return content.File, err
}

// FileContent is what a file of rows holds.
type FileContent struct {
	pipeline.File
	Rows    MultisetHash // unless no table was named
	RowsErr error        // why the rows could not be read, or that they are not those of the footer
}

// ReadFile reads a file once: its bytes, which also gets, its footer, and its rows if they are those of
// a named table. also may be nil.
func (i *Inspector) ReadFile(ctx context.Context, path, table string, also io.Writer) (c FileContent, err error) {
	o, err := i.published.backend.openObject(ctx, path)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	if table != "" {
		if err := bufferAll(o); err != nil {
			return c, err
		}
	}
	if c.File, err = describeObject(o, also); err != nil || table == "" {
		return c, err
	}
	definition, ok := schema.TableNamed(table)
	if !ok {
		c.RowsErr = fmt.Errorf("unknown table %q", table)
		return c, nil
	}
	_, c.RowsErr = readRows(o, o.Size(), &definition, func(rec arrow.Record) error {
		c.Rows.addRecord(&definition, rec)
		return ctx.Err()
	})
	return c, ctx.Err()
}
