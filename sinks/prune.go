package sinks

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/siglake/siglake/pipeline"
)

// A pruning removes files of a lake that no reader of its newest generation needs:
//
//   - files whose rows a compaction has merged into others, if that was published long ago and a list of
//     merges has hidden them from the tables of query engines;
//   - lists of files of generations that were superseded long ago, except every 32nd: they follow
//     from the manifests, all of which stay;
//   - files of compactions that never became a generation.
//
// A generation of its own names all of them before the first one is removed. So verify knows what is
// gone, and a pruning that was killed is completed by the next one.

// listsKept is the interval of the old generations that keep their lists.
const listsKept = 32

// PrunePlan is what a pruning removes.
type PrunePlan struct {
	// Files whose rows are in files of compactions, too, with their number and that of their rows.
	Replaced     []string `json:"replaced_files"`
	ReplacedRows int64    `json:"replaced_rows"`
	Lists        []string `json:"lists"`           // of files, of old generations
	Abandoned    []string `json:"abandoned_files"` // of compactions that never became a generation
	// Files that would be among Replaced if the tables of query engines did not read them yet: they stop doing so
	// an hour after the list of merges is written.
	Waiting int   `json:"waiting_files"`
	Bytes   int64 `json:"bytes"`             // of replaced files
	Oldest  int64 `json:"oldest_generation"` // the oldest that siglake ddl --generation can show then

	newest    int64
	announced map[string]bool // by an earlier pruning, which did not come to its end
	merged    []pipeline.File // files of compactions that must be whole
}

// IsEmpty reports whether there is nothing to remove.
func (p *PrunePlan) IsEmpty() bool { return p.Waiting+len(p.names()) == 0 }

// names are all that is removed, in this order: a list goes before the files of compactions that it may show.
func (p *PrunePlan) names() []string { return slices.Concat(p.Replaced, p.Lists, p.Abandoned) }

// PlanPrune finds out what can be removed now that nothing has needed since a time. It changes nothing.
func (i *Inspector) PlanPrune(ctx context.Context, before, now time.Time) (*PrunePlan, error) {
	g := &i.published
	newest, _, err := g.newestGeneration(ctx)
	if err != nil || newest.Generation == 0 {
		return &PrunePlan{}, err
	}
	chain, err := g.readChain(ctx, newest.manifestLink())
	if err != nil {
		return nil, err
	}
	files, err := g.generationFiles(ctx, newest.manifestLink())
	if err != nil {
		return nil, err
	}
	merges, err := g.newestMergesOf(ctx, chain)
	if err != nil {
		return nil, err
	}
	there := map[string]bool{}
	for _, dir := range append(PublishedDirs(), snapshotDir, MergesDir) {
		for name, err := range g.backend.listNames(ctx, dir) {
			if err != nil {
				return nil, err
			}
			there[name] = true
		}
	}
	p := &PrunePlan{newest: newest.Generation, announced: RemovedFiles(chain), Replaced: []string{}, Lists: []string{}, Abandoned: []string{}}
	p.chooseReplaced(chain, files, there, merges.hidden(mergeDelay, now), before)
	p.chooseLists(chain, there, before)
	p.chooseMerges(chain, there, &merges, now)
	p.findOldest(chain)
	return p, nil
}

// readChain returns the manifests from the first one to the one that link names.
func (g *generations) readChain(ctx context.Context, link *pipeline.Link) (chain []*pipeline.Manifest, err error) {
	for link != nil {
		m, err := g.readManifest(ctx, link)
		if err != nil {
			return nil, err
		}
		chain = append(chain, m)
		link = m.Previous
	}
	slices.Reverse(chain)
	return chain, nil
}

// RemovedFiles are the files that the prunings of a chain remove.
func RemovedFiles(chain []*pipeline.Manifest) map[string]bool {
	removed := map[string]bool{}
	for _, m := range chain {
		for _, name := range m.Removes {
			removed[name] = true
		}
	}
	return removed
}

// chooseReplaced chooses data files: no generation since before lists them, and no table reads them. live are
// those of the newest generation.
func (p *PrunePlan) chooseReplaced(chain []*pipeline.Manifest, live []DataFile, there map[string]bool, hidden map[[2]string]bool, before time.Time) {
	isLive, named := map[string]bool{}, map[string]pipeline.File{}
	partitions := map[string]bool{} // with a replaced file
	for _, f := range live {
		isLive[f.Path] = true
	}
	for _, m := range chain {
		for _, f := range m.Files {
			named[f.Path] = f
		}
	}
	for _, m := range chain {
		if !m.Run.Finished.Before(before) {
			continue
		}
		for _, path := range m.Replaces {
			f := named[path]
			if isLive[path] || !there[path] || f.Path == "" {
				continue
			}
			if row := mergedFile(path, m, false); !hidden[[2]string{row.Table, row.Name}] {
				p.Waiting++
				continue
			}
			p.Replaced = append(p.Replaced, path)
			p.ReplacedRows += f.Rows
			p.Bytes += f.Bytes
			partitions[f.Table+"/"+f.Partition] = true
		}
	}
	for _, f := range live {
		if !f.Globbed && partitions[f.Table+"/"+f.Partition] {
			p.merged = append(p.merged, named[f.Path])
		}
	}
	for _, path := range slices.Sorted(maps.Keys(there)) {
		if _, ok := named[path]; !ok && strings.HasPrefix(path, compactDir+"/") {
			p.Abandoned = append(p.Abandoned, path)
		}
	}
}

// chooseLists chooses lists of generations that another one has followed before.
func (p *PrunePlan) chooseLists(chain []*pipeline.Manifest, there map[string]bool, before time.Time) {
	for at, m := range chain {
		last := at == len(chain)-1
		if !last && m.Snapshot != nil && there[m.Snapshot.Path] && m.Generation%listsKept != 0 && chain[at+1].Run.Finished.Before(before) {
			p.Lists = append(p.Lists, m.Snapshot.Path)
		}
	}
}

// chooseMerges chooses lists of merges: those before the newest, once all of it has been in effect for some time,
// and those of generations that are no compactions, from before an older _meta was restored.
func (p *PrunePlan) chooseMerges(chain []*pipeline.Manifest, there map[string]bool, newest *mergeList, now time.Time) {
	compactions := map[string]bool{}
	for _, m := range chain {
		compactions[mergesName(m.Generation)] = len(m.Replaces) > 0
	}
	for _, name := range slices.Sorted(maps.Keys(there)) {
		superseded := name < newest.name && newest.isEffective(mergesKept, now)
		if strings.HasPrefix(name, MergesDir+"/") && (superseded || !compactions[name]) {
			p.Lists = append(p.Lists, name)
		}
	}
}

// findOldest finds the oldest generation all of whose files are there after the pruning: the one in
// which the last of the removed files were replaced.
func (p *PrunePlan) findOldest(chain []*pipeline.Manifest) {
	removed := maps.Clone(p.announced)
	for _, path := range p.Replaced {
		removed[path] = true
	}
	p.Oldest = 1
	for _, m := range chain {
		if slices.ContainsFunc(m.Replaces, func(path string) bool { return removed[path] }) {
			p.Oldest = m.Generation
		}
	}
}

// PruneOptions of Prune. Proceed must be set.
type PruneOptions struct {
	Versions map[string]string // for the manifest
	Proceed  func() error      // asked before files are removed
}

// Prune removes what a plan says. It first reads back the files that have the rows, and publishes a
// generation that names what it removes; its number is returned.
//
// The caller must hold the lake's lock.
func Prune(ctx context.Context, uri string, o Options, p *PrunePlan, options PruneOptions) (generation int64, err error) {
	o.RunID = fmt.Sprintf("prune-%08d", p.newest)
	if o.Now == nil {
		o.Now = time.Now
	}
	l, err := Open(ctx, uri, o)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	for _, f := range p.merged {
		if err := l.checkMerged(ctx, f); err != nil {
			return 0, err
		}
	}
	if _, err := l.recordMerges(ctx); err != nil { // compactions of earlier versions did not
		return 0, err
	}
	if generation, err = l.announce(ctx, p, options); err != nil {
		return 0, err
	}
	for chunk := range slices.Chunk(p.names(), 100) {
		if err := errors.Join(ctx.Err(), options.Proceed()); err != nil {
			return generation, err
		}
		for _, name := range chunk {
			if err := l.backend.removeObject(ctx, name); err != nil {
				return generation, err
			}
		}
	}
	return generation, nil
}

// checkMerged makes sure that a compaction's file is whole.
func (l *Lake) checkMerged(ctx context.Context, want pipeline.File) error {
	o, err := l.backend.openObject(ctx, want.Path)
	if err == nil {
		var got pipeline.File
		if got, err = describeFile(o); err == nil && (got.SHA256 != want.SHA256 || got.Digest != want.Digest || got.Rows != want.Rows) {
			err = errors.New("it has other content than its manifest says")
		}
	}
	if err != nil {
		return fmt.Errorf("%w: %s has the rows of the files that would be removed, and cannot be relied on: %w; nothing was removed", ErrIntegrity, want.Path, err)
	}
	return nil
}

// announce publishes a generation that names what is removed, if an earlier one does not name all of
// it.
func (l *Lake) announce(ctx context.Context, p *PrunePlan, o PruneOptions) (generation int64, err error) {
	now := l.options.Now().UTC()
	m := pipeline.NewManifest(pipeline.RunInfo{ID: l.options.RunID, Kind: pipeline.PruneGeneration, Started: now, Finished: now, Outcome: pipeline.RunComplete})
	m.Versions, m.Queries = o.Versions, []pipeline.Query{}
	for _, name := range p.names() {
		if !p.announced[name] {
			m.Removes = append(m.Removes, name)
		}
	}
	newest, current, err := l.newestGeneration(ctx)
	if err != nil {
		return 0, err
	}
	if len(m.Removes) == 0 { // a pruning that died may have announced it, and not replaced current.json yet
		return newest.Generation, l.swapCurrent(ctx, current, newest)
	}
	last, err := l.readManifest(ctx, newest.manifestLink())
	if err == nil {
		err = o.Proceed()
	}
	if err != nil {
		return 0, err
	}
	if newest.Generation != p.newest {
		return 0, fmt.Errorf("%w: generation %d was published meanwhile", ErrConflict, newest.Generation)
	}
	m.Run.Simulated = last.Run.Simulated
	err = l.Publish(ctx, m)
	return m.Generation, err
}
