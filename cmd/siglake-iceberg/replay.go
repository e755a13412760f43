package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

// options say what a replay writes.
type options struct {
	Namespace string // with dots between its parts
	Prefix    string // of the name of every table
	// Replace drops tables that show another lake, or whose metadata is gone, and creates them anew.
	Replace bool
}

// replayer brings Iceberg tables up to the newest generation of a lake.
type replayer struct {
	options   options
	address   string // of the lake
	warehouse string // where tables keep their metadata; empty: the catalogue decides
	lake      *sinks.Inspector
	catalog   catalog.Catalog
	report    func(*change) // of every commit; nil: not wanted
	// hook is called around every step that changes a catalogue, for tests that end the program there. Nil: none.
	hook func(step string) error
	// wait waits before a further attempt: sleep, but in tests.
	wait func(ctx context.Context, d time.Duration) error
}

// change is what a generation does to one table.
type change struct {
	Table      string `json:"table"`
	Generation int64  `json:"generation"`
	Operation  string `json:"operation"` // append, replace, overwrite
	Added      int    `json:"files_added"`
	Removed    int    `json:"files_removed"`

	manifest *pipeline.Manifest
	sum      string // SHA-256 of the manifest
	rebuilt  bool   // all that was there before is of another history
	add      []sinks.DataFile
	remove   []string // addresses; of a rebuild: all
}

func (r *replayer) step(name string) error {
	if r.hook == nil {
		return nil
	}
	return r.hook(name)
}

// maxAttempts is how often a commit is tried that another program anticipates.
const maxAttempts = 10

// The pause before the second attempt is random, up to firstPause. The limit doubles with every attempt, up to maxPause.
const (
	firstPause = 200 * time.Millisecond
	maxPause   = 5 * time.Second
)

// replay brings all tables up to date, and returns the newest generation.
func (r *replayer) replay(ctx context.Context) (newest int64, err error) {
	if err := r.createNamespace(ctx); err != nil {
		return 0, err
	}
	var replicas []*replica
	since := int64(-1)
	for _, t := range schema.Tables {
		replica, err := r.ensure(ctx, t)
		if err != nil {
			return 0, err
		}
		replicas = append(replicas, replica)
		if since < 0 || replica.generation < since {
			since = replica.generation
		}
	}
	h, err := readHistory(ctx, r.lake, since)
	if err != nil || h.newest == 0 {
		return 0, err
	}
	for _, replica := range replicas {
		if err := r.skipLost(ctx, h, replica); err != nil {
			return 0, err
		}
		if err := r.expireRebuilt(ctx, replica); err != nil {
			return 0, err
		}
	}
	for generation := h.since + 1; generation <= h.newest; generation++ {
		if err := r.replayGeneration(ctx, h, replicas, generation); err != nil {
			return 0, fmt.Errorf("generation %d: %w", generation, err)
		}
	}
	for _, replica := range replicas {
		if err := r.finish(ctx, h, replica); err != nil {
			return 0, err
		}
	}
	return h.newest, nil
}

func (r *replayer) createNamespace(ctx context.Context) error {
	parts := r.namespace()
	for n := 1; n <= len(parts); n++ {
		exists, err := r.catalog.CheckNamespaceExists(ctx, parts[:n])
		if err == nil && !exists {
			if err = r.step("create namespace"); err == nil {
				err = r.catalog.CreateNamespace(ctx, parts[:n], nil)
			}
		}
		if err != nil && !errors.Is(err, catalog.ErrNamespaceAlreadyExists) {
			return fmt.Errorf("namespace %s: %w", identifierText(parts[:n]), err)
		}
	}
	return nil
}

func (r *replayer) namespace() table.Identifier { return strings.Split(r.options.Namespace, ".") }

// identifier names the table of a dataset. Events have every revision there, as in the scripts of siglake ddl.
func (r *replayer) identifier(t schema.Table) table.Identifier {
	return append(r.namespace(), r.options.Prefix+tableName(t))
}

func tableName(t schema.Table) string {
	if t.IsEvent() {
		return t.Name + "_all"
	}
	return t.Name
}

func identifierText(id table.Identifier) string { return strings.Join(id, ".") }
func identifierPath(id table.Identifier) string { return strings.Join(id, "/") }

// skipLost takes a table past what cannot be replayed: to the newest generation if what it shows is not part of
// the lake's history, as after a rebuild; and past generations whose files a pruning has removed.
func (r *replayer) skipLost(ctx context.Context, h *history, t *replica) error {
	switch {
	case t.generation == 0: // nothing to compare
	case t.generation > h.newest, h.sums[t.generation] != t.manifest:
		return r.moveTo(ctx, h, t, h.newest, true)
	}
	if floor := h.floor(t.of.Name); floor > t.generation {
		return r.moveTo(ctx, h, t, floor, false)
	}
	return nil
}

// moveTo gives a table the files of a generation, whatever it has.
func (r *replayer) moveTo(ctx context.Context, h *history, t *replica, generation int64, rebuilt bool) error {
	want, err := h.files(ctx, t.of.Name, generation)
	if err == nil {
		err = t.readFiles(ctx)
	}
	if err != nil {
		return err
	}
	c := &change{Generation: generation, manifest: h.manifests[generation], sum: h.sums[generation], rebuilt: rebuilt}
	if c.manifest == nil {
		if c.manifest, err = manifestOf(ctx, r.lake, generation); err != nil {
			return err
		}
	}
	addresses := map[string]bool{}
	for _, path := range slices.Sorted(maps.Keys(want)) {
		address := r.fileAddress(path)
		addresses[address] = true
		if rebuilt || t.files[address] == nil {
			c.add = append(c.add, want[path])
		}
	}
	for _, address := range slices.Sorted(maps.Keys(t.files)) {
		if !addresses[address] {
			c.remove = append(c.remove, address)
		}
	}
	return r.apply(ctx, t, c)
}

// manifestOf reads the manifest of the newest generation.
func manifestOf(ctx context.Context, lake *sinks.Inspector, generation int64) (*pipeline.Manifest, error) {
	for m, err := range lake.Generations(ctx) {
		if err != nil || m.Generation == generation {
			return m, err
		}
	}
	return nil, fmt.Errorf("generation %d is gone", generation)
}

// replayGeneration repeats what a generation did to the tables that have not seen it.
func (r *replayer) replayGeneration(ctx context.Context, h *history, replicas []*replica, generation int64) error {
	m := h.manifests[generation]
	for _, t := range replicas {
		if t.generation >= generation {
			continue
		}
		c := &change{Generation: generation, manifest: m, sum: h.sums[generation]}
		for _, f := range m.Files {
			if f.Table == t.of.Name {
				c.add = append(c.add, sinks.DataFile{Path: f.Path, Table: f.Table, Partition: f.Partition, Rows: f.Rows, Bytes: f.Bytes})
			}
		}
		for _, path := range m.Replaces {
			if tableOf(path) == t.of.Name {
				c.remove = append(c.remove, r.fileAddress(path))
			}
		}
		if len(c.add)+len(c.remove) == 0 {
			continue
		}
		if err := r.apply(ctx, t, c); err != nil {
			return err
		}
	}
	if len(m.Removes) == 0 {
		return nil
	}
	for _, t := range replicas {
		if err := r.expireBefore(ctx, t, h.floor(t.of.Name)); err != nil {
			return err
		}
	}
	return nil
}

// apply commits a change.
func (r *replayer) apply(ctx context.Context, t *replica, c *change) error {
	if err := t.readFiles(ctx); err != nil {
		return err
	}
	added, err := r.dataFiles(ctx, t, c)
	if err != nil {
		return err
	}
	done := false
	err = r.retry(ctx, t, func() error {
		if t.manifest == c.sum || t.generation >= c.Generation && !c.rebuilt {
			return nil // by another replay, or the answer to the attempt before was lost
		}
		err := r.commitOnce(ctx, t, c, added)
		done = err == nil
		return err
	})
	if err != nil || !done {
		return err
	}
	t.generation, t.manifest = c.Generation, c.sum
	if r.report != nil {
		c.Table = name(t.table)
		r.report(c)
	}
	return r.step(fmt.Sprintf("committed %s %d", t.of.Name, c.Generation))
}

// retry calls try until it succeeds. The catalogue accepts a change only if the table is as it was when the change
// was made. If it is not, the table is loaded again after a pause: another replay may have made the same change.
func (r *replayer) retry(ctx context.Context, t *replica, try func() error) error {
	for attempt := 1; ; attempt++ {
		err := try()
		if err == nil || ctx.Err() != nil {
			return err
		}
		err = fmt.Errorf("table %s: %w", name(t.table), err)
		before := t.table.MetadataLocation()
		if reloadErr := r.reload(ctx, t); reloadErr != nil {
			return errors.Join(err, reloadErr)
		}
		switch {
		case t.table.MetadataLocation() == before && !errors.Is(err, table.ErrCommitFailed):
			return err
		case attempt == maxAttempts:
			return &app.Error{Kind: app.KindLocked, Err: fmt.Errorf("other programs were faster %d times; run siglake-iceberg again: %w", attempt, err)}
		}
		if err := r.wait(ctx, pauseAfter(attempt)); err != nil {
			return err
		}
		if err := r.reload(ctx, t); err != nil {
			return err
		}
	}
}

// pauseAfter is how long to wait after an attempt.
func pauseAfter(attempt int) time.Duration {
	return rand.N(min(firstPause<<(attempt-1), maxPause))
}

// sleep waits, or gives the error of a context that ends meanwhile.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reload loads a table that another program has changed.
func (r *replayer) reload(ctx context.Context, t *replica) error {
	loaded, err := r.catalog.LoadTable(ctx, t.table.Identifier())
	if err != nil {
		return err
	}
	fresh, err := newReplica(t.of, loaded)
	if err != nil {
		return err
	}
	*t = *fresh
	return t.readFiles(ctx)
}

// commitOnce tries to commit a change.
func (r *replayer) commitOnce(ctx context.Context, t *replica, c *change, described []iceberg.DataFile) error {
	added, removed, err := t.changes(c, described)
	if err != nil {
		return err
	}
	tx := t.table.NewTransaction()
	if err := tx.AssertRefSnapshotID(table.MainBranch); err != nil {
		return err
	}
	if t.table.Properties()[propGeneration] != "" { // the snapshot has it
		if err := tx.RemoveProperties([]string{propGeneration, propManifest}); err != nil {
			return err
		}
	}
	if err := stage(ctx, tx, c, added, removed); err != nil {
		return err
	}
	if err := r.step(fmt.Sprintf("commit %s %d", t.of.Name, c.Generation)); err != nil {
		return err
	}
	committed, err := tx.Commit(ctx)
	if err != nil {
		return err
	}
	t.table, c.Added, c.Removed = committed, len(added), len(removed)
	for _, f := range removed {
		delete(t.files, f.FilePath())
	}
	for _, f := range added {
		t.files[f.FilePath()] = f
	}
	return nil
}

// changes are the files that a change adds to what a table has, and that it removes.
func (t *replica) changes(c *change, described []iceberg.DataFile) (added, removed []iceberg.DataFile, err error) {
	if c.rebuilt { // a file of the same name may have other bytes
		return described, slices.Collect(maps.Values(t.files)), nil
	}
	for _, address := range c.remove {
		file := t.files[address]
		if file == nil {
			return nil, nil, changedError(t.table, "it lacks "+address)
		}
		removed = append(removed, file)
	}
	for _, f := range described {
		switch has := t.files[f.FilePath()]; {
		case has == nil:
			added = append(added, f)
		case has.FileSizeBytes() != f.FileSizeBytes():
			return nil, nil, changedError(t.table, "it has "+f.FilePath()+" with another size")
		}
	}
	return added, removed, nil
}

// stage makes the snapshot of a change.
func stage(ctx context.Context, tx *table.Transaction, c *change, added, removed []iceberg.DataFile) error {
	properties := snapshotProperties(c)
	switch {
	case c.rebuilt && len(added) > 0 && len(removed) > 0:
		// Two snapshots in one commit: one snapshot cannot remove and add files of the same names.
		if err := tx.ReplaceDataFilesWithDataFiles(ctx, removed, nil, nil); err != nil {
			return err
		}
		c.Operation = string(table.OpOverwrite)
		return tx.AddDataFiles(ctx, added, properties, table.WithoutDuplicateCheck())
	case len(removed) == 0 && len(added) > 0:
		c.Operation = string(table.OpAppend)
		return tx.AddDataFiles(ctx, added, properties, table.WithoutDuplicateCheck())
	case len(added) > 0 && c.manifest.Run.Kind == pipeline.CompactionGeneration:
		c.Operation = string(table.OpReplace)
		rewrite := tx.NewRewrite(properties)
		for _, f := range removed {
			rewrite.DeleteFile(f)
		}
		for _, f := range added {
			rewrite.AddDataFile(f)
		}
		return rewrite.Commit(ctx)
	case len(removed) > 0:
		c.Operation = string(table.OpOverwrite)
		return tx.ReplaceDataFilesWithDataFiles(ctx, removed, added, properties)
	}
	// No file changes: only the generation is noted.
	c.Operation = "none"
	return tx.SetProperties(iceberg.Properties{propGeneration: properties[propGeneration], propManifest: properties[propManifest]})
}

// snapshotProperties say what a snapshot is of.
func snapshotProperties(c *change) iceberg.Properties {
	kind := string(c.manifest.Run.Kind)
	switch {
	case c.rebuilt:
		kind = kindRebuild
	case kind == "":
		kind = "run"
	}
	return iceberg.Properties{
		propGeneration: strconv.FormatInt(c.Generation, 10),
		propRun:        c.manifest.Run.ID,
		propKind:       kind,
		propCredits:    strconv.FormatInt(c.manifest.Credits.Charged, 10),
		propManifest:   c.sum,
	}
}

// expireBefore forgets the snapshots of generations before one, whose files a pruning has removed.
func (r *replayer) expireBefore(ctx context.Context, t *replica, floor int64) error {
	return r.expire(ctx, t, func(s *table.Snapshot) bool { return generationOf(s) < floor })
}

// expireRebuilt forgets the snapshots from before a rebuild: their files are those of the lake that was replaced.
func (r *replayer) expireRebuilt(ctx context.Context, t *replica) error {
	return r.expire(ctx, t, func(s *table.Snapshot) bool {
		for _, later := range t.table.Metadata().Snapshots() {
			if later.Summary != nil && later.Summary.Properties[propKind] == kindRebuild && later.SequenceNumber > s.SequenceNumber {
				return true
			}
		}
		return false
	})
}

// generationOf is the generation of a snapshot; 0: it is of another program.
func generationOf(s *table.Snapshot) (generation int64) {
	if s.Summary != nil {
		generation, _ = strconv.ParseInt(s.Summary.Properties[propGeneration], 10, 64)
	}
	return generation
}

// expire forgets snapshots. Files of rows are the lake's, and stay.
func (r *replayer) expire(ctx context.Context, t *replica, isGone func(*table.Snapshot) bool) error {
	return r.update(ctx, t, "expire", func() []table.Update {
		current := t.table.CurrentSnapshot()
		var ids []int64
		for _, s := range t.table.Metadata().Snapshots() {
			if current != nil && s.SnapshotID != current.SnapshotID && isGone(&s) {
				ids = append(ids, s.SnapshotID)
			}
		}
		if len(ids) == 0 {
			return nil
		}
		return []table.Update{table.NewRemoveSnapshotsUpdate(ids, false)}
	})
}

// update changes the metadata of a table, unless updates gives none.
func (r *replayer) update(ctx context.Context, t *replica, step string, updates func() []table.Update) error {
	return r.retry(ctx, t, func() error {
		changes := updates()
		if len(changes) == 0 {
			return nil
		}
		requirements := []table.Requirement{table.AssertTableUUID(t.table.Metadata().TableUUID())}
		if s := t.table.CurrentSnapshot(); s != nil {
			requirements = append(requirements, table.AssertRefSnapshotID(table.MainBranch, &s.SnapshotID))
		}
		if err := r.step(step + " " + t.of.Name); err != nil {
			return err
		}
		if _, _, err := r.catalog.CommitTable(ctx, t.table.Identifier(), requirements, changes); err != nil {
			return err
		}
		loaded, err := r.catalog.LoadTable(ctx, t.table.Identifier())
		if err == nil {
			t.table = loaded
		}
		return err
	})
}

// notedEvery is after how many generations without a change a table notes that it has seen them: replays read the
// manifests since the oldest generation that a table has.
const notedEvery = 32

// finish compares a table with the lake, and notes the generation in a table that has not changed for long.
func (r *replayer) finish(ctx context.Context, h *history, t *replica) error {
	if t.generation > h.newest { // another replay has come further meanwhile
		return nil
	}
	want, err := h.files(ctx, t.of.Name, h.newest)
	if err == nil {
		err = t.readFiles(ctx)
	}
	if err != nil {
		return err
	}
	for path := range want {
		if t.files[r.fileAddress(path)] == nil {
			return changedError(t.table, "it lacks "+path)
		}
	}
	if len(want) != len(t.files) {
		return changedError(t.table, fmt.Sprintf("it has %d files instead of %d", len(t.files), len(want)))
	}
	return r.update(ctx, t, "note", func() []table.Update {
		if h.newest-t.generation < notedEvery {
			return nil
		}
		return []table.Update{table.NewSetPropertiesUpdate(iceberg.Properties{propGeneration: strconv.FormatInt(h.newest, 10), propManifest: h.sums[h.newest]})}
	})
}
