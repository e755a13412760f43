package sinks

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/siglake/siglake/internal/extsort"
	"github.com/siglake/siglake/internal/parallel"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// CompactOptions says when a compaction is worthwhile.
type CompactOptions struct {
	MinFiles int               // small files that a partition must have; 0 = 8, at least 2
	Versions map[string]string // for the manifest
	// Begin is called before files are read, with their number, and Read after each of them, by several
	// goroutines; nil: not wanted.
	Begin func(files int)
	Read  func()
	// Restored is called with the name of a file that was missing, and follows from the manifests, if there is
	// nothing to merge; nil: not wanted.
	Restored func(name string)
}

const defaultMinFiles = 8

// compactScratch is the scratch directory of every compaction: only one runs on a lake
// at a time.
const compactScratch = "compact"

// Compact merges the small files of each partition that has many of them into a few
// large ones, as a generation of its own. A file is small if it has less than half of
// the target size. The large files hold exactly the same rows, in the table's order; a
// row that two runs wrote stays twice. They lie outside of the directories that readers
// glob, where the small files remain.
//
// The manifest is nil if there is nothing to do. Compact ignores RunID: a compaction is
// named after what it merges, so that a call after a crash continues under the same
// names.
//
// The caller must hold the lake's lock.
func Compact(ctx context.Context, uri string, o Options, c CompactOptions) (m *pipeline.Manifest, err error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	started := o.Now().UTC()
	o.RunID = compactScratch
	l, err := Open(ctx, uri, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()

	newest, raw, err := l.newestGeneration(ctx)
	if err != nil {
		return nil, fmt.Errorf("compact: %w", err)
	}
	files, err := l.generationFiles(ctx, newest.manifestLink())
	if err != nil {
		return nil, fmt.Errorf("compact: %w", err)
	}
	groups := groupSmallFiles(files, c.MinFiles, l.options.TargetFileSize)
	if len(groups) == 0 {
		return nil, restoreMeta(ctx, l, newest, raw, c.Restored)
	}
	if c.Begin != nil {
		c.Begin(countFiles(groups))
	}
	l.prefix, l.options.RunID = compactDir, compactionID(newest.Generation, groups, l.options.TargetFileSize)
	m = pipeline.NewManifest(pipeline.RunInfo{ID: l.options.RunID, Kind: pipeline.CompactionGeneration, Started: started, Outcome: pipeline.RunComplete})
	m.Versions, m.Queries = c.Versions, []pipeline.Query{}
	if err := compactGroups(ctx, l, groups, c.Read); err != nil {
		return nil, err
	}
	for _, group := range groups {
		for _, f := range group {
			m.Replaces = append(m.Replaces, f.Path)
		}
	}
	if m.Files, err = l.finishStaging(); err != nil {
		return nil, err
	}
	describeKept(m.Files, groups)
	last, err := l.readManifest(ctx, newest.manifestLink())
	if err != nil {
		return nil, err
	}
	m.Run.Simulated, m.Run.Finished = last.Run.Simulated, o.Now().UTC()
	if err := l.Publish(ctx, m); err != nil {
		return nil, err
	}
	_, err = l.recordMerges(context.WithoutCancel(ctx))
	return m, err
}

// restoreMeta writes what follows from the manifests, unless it is there: current.json, whose content is raw, and
// the list of merges. It calls restored, unless that is nil, with the name of each that it has written.
func restoreMeta(ctx context.Context, l *Lake, newest generationRef, raw []byte, restored func(name string)) error {
	if newest.Generation == 0 {
		return nil
	}
	if err := l.swapCurrent(ctx, raw, newest); err != nil { // its publisher may have died just before
		return err
	}
	list, err := l.recordMerges(ctx)
	if restored == nil {
		return err
	}
	if len(raw) == 0 {
		restored(currentFile)
	}
	if list != "" {
		restored(list)
	}
	return err
}

// groupSmallFiles returns the files that are worth merging, by partition.
func groupSmallFiles(files []DataFile, minFiles int, target int64) (groups [][]DataFile) {
	if minFiles <= 0 {
		minFiles = defaultMinFiles
	}
	small := map[string][]DataFile{}
	for _, f := range files {
		if _, known := schema.TableNamed(f.Table); known && f.Bytes < target/2 {
			key := f.Table + "/" + f.Partition
			small[key] = append(small[key], f)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(small)) {
		if g := small[key]; len(g) >= max(minFiles, 2) && !isCompacted(g, target) {
			groups = append(groups, g)
		}
	}
	return groups
}

func countFiles(groups [][]DataFile) (n int) {
	for _, group := range groups {
		n += len(group)
	}
	return n
}

// isCompacted reports whether files are the result of one compaction, which another one
// would not improve. A compaction only estimates sizes while it writes, so its files can
// turn out small.
func isCompacted(files []DataFile, target int64) bool {
	total := int64(0)
	for _, f := range files {
		if f.Globbed || f.Run != files[0].Run {
			return false
		}
		total += f.Bytes
	}
	return total > target/2 // otherwise they were written for a smaller target
}

// compactionID names a compaction after its input.
func compactionID(generation int64, groups [][]DataFile, target int64) string {
	text, err := json.Marshal(groups)
	if err != nil {
		panic(err) // of texts and numbers
	}
	sum := sha256.Sum256(fmt.Appendf(text, "%d", target))
	return fmt.Sprintf("compact-%08d-%s", generation, hex.EncodeToString(sum[:4]))
}

// describeKept states in merged files of accounts which columns of lists they hold: those of all that
// they replace.
func describeKept(files []pipeline.File, groups [][]DataFile) {
	var kept pipeline.KeptColumns
	for _, group := range groups {
		for _, f := range group {
			for _, c := range f.Kept {
				kept.Add(c)
			}
		}
	}
	for i := range files {
		if files[i].Table == schema.Accounts.Name {
			files[i].Kept = kept.List()
		}
	}
}

// compactGroups stages the rows of the files of each group, several groups at once. They share the
// memory.
func compactGroups(ctx context.Context, l *Lake, groups [][]DataFile, read func()) error {
	atOnce := min(l.options.stagedAtOnce(), len(groups))
	parts := make([]*Lake, len(groups))
	err := parallel.Do(ctx, atOnce, len(groups), func(ctx context.Context, i int) error {
		parts[i] = l.share(atOnce)
		if err := parts[i].compactFiles(ctx, groups[i], read); err != nil {
			return fmt.Errorf("compact %s: %w", strings.TrimSpace(groups[i][0].Table+" "+groups[i][0].Partition), err)
		}
		return nil
	})
	for _, part := range parts {
		if part != nil {
			l.staged = append(l.staged, part.staged...)
			part.release()
		}
	}
	return err
}

// share is a lake that stages into the same directory as this one, with a share of its memory.
func (l *Lake) share(of int) *Lake {
	s := &Lake{
		generations: l.generations, uri: l.uri, options: l.options, dir: l.dir, runDir: l.runDir, space: l.space, prefix: l.prefix,
		sorters: newSorters(), fileCount: l.fileCount,
	}
	s.options.SortMemory, s.options.Jobs = max(1, l.options.SortMemory/int64(of)), 1
	return s
}

// compactFiles stages the rows of one partition's files, and verifies by reading them
// back that they are exactly those rows.
func (l *Lake) compactFiles(ctx context.Context, files []DataFile, read func()) error {
	part := schema.Partition{Table: files[0].Table}
	part.Key, part.Value, _ = strings.Cut(files[0].Partition, "=")
	p, err := l.partitionFor(part)
	if err != nil {
		return err
	}
	runs := map[string]bool{}
	var before, after MultisetHash
	for _, f := range files {
		o, err := l.backend.openObject(ctx, f.Path)
		if err != nil {
			return err
		}
		fileRuns, err := readObjectRows(o, p.table, func(rec arrow.Record) error {
			before.addRecord(p.table, rec)
			return l.Write(ctx, part, rec)
		})
		if err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
		for _, r := range fileRuns {
			runs[r] = true
		}
		if read != nil {
			read()
		}
	}
	l.options.sourceRuns = slices.Sorted(maps.Keys(runs))
	staged, err := l.stagePartitions(ctx, []*partition{p})
	if err != nil {
		return err
	}
	for _, f := range staged {
		o, err := l.dir.Open(l.stagedName(f.Path))
		if err != nil {
			return err
		}
		if _, err := readObjectRows(o, p.table, func(rec arrow.Record) error {
			after.addRecord(p.table, rec)
			return ctx.Err()
		}); err != nil {
			if errors.Is(err, ErrIntegrity) { // of what was written just now
				err = errors.New(err.Error() + "; check the disk")
			}
			return fmt.Errorf("read back %s: %w", f.Path, err)
		}
	}
	if before != after {
		return fmt.Errorf("%w: %d rows went in, %d others came out", ErrIntegrity, before.Rows, after.Rows)
	}
	return nil
}

// readObjectRows calls readRows for an object, which it closes.
func readObjectRows(o object, t *schema.Table, yield func(arrow.Record) error) (runs []string, err error) {
	defer func() { err = errors.Join(err, o.Close()) }()
	if err := bufferAll(o); err != nil {
		return nil, err
	}
	tracked := &trackedObject{object: o}
	if runs, err = readRows(tracked, o.Size(), t, yield); tracked.err != nil {
		return nil, tracked.err
	}
	return runs, err
}

// addRecord adds the rows of a record.
func (t *MultisetHash) addRecord(table *schema.Table, rec arrow.Record) {
	view := extsort.NewRecordView(table, rec)
	var encoded []byte
	for i := range int32(rec.NumRows()) {
		encoded = appendRow(encoded[:0], view.Row(i), len(table.Columns))
		t.addEncoded(encoded)
	}
}
