package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/schema"
)

// Properties of snapshots. Those of the newest generation are properties of the table, too, if later
// generations have not changed the table for long.
const (
	propGeneration = "siglake.generation"
	propRun        = "siglake.run"
	propKind       = "siglake.kind"    // of the generation: run, compaction, reread; or rebuild
	propCredits    = "siglake.credits" // what the run was charged: the same in every table
	propManifest   = "siglake.manifest"
)

// kindRebuild is the kind of a snapshot of a lake that has replaced another one.
const kindRebuild = "rebuild"

// propLake is the property of a table that names the lake.
const propLake = "siglake.lake"

// monthColumn is the column that partitions events.
const monthColumn = "event_month"

// tableSchema is a table as Iceberg describes it: its columns with the ids that the files have.
func tableSchema(t schema.Table) *iceberg.Schema {
	var fields []iceberg.NestedField
	if t.IsEvent() {
		fields = append(fields, iceberg.NestedField{ID: schema.PartitionFieldID, Name: monthColumn, Type: iceberg.PrimitiveTypes.String,
			Doc: "Month of the event date, or unknown"})
	}
	for i, c := range t.Columns {
		doc := c.Doc
		if c.Unit != "" {
			doc += " (" + c.Unit + ")"
		}
		fields = append(fields, iceberg.NestedField{ID: t.FieldID(i), Name: c.Name, Type: columnType(c.Type), Doc: doc})
	}
	return iceberg.NewSchema(0, fields...)
}

func columnType(t schema.Type) iceberg.Type {
	switch t {
	case schema.Int64:
		return iceberg.PrimitiveTypes.Int64
	case schema.Double:
		return iceberg.PrimitiveTypes.Float64
	case schema.Bool:
		return iceberg.PrimitiveTypes.Bool
	case schema.Date:
		return iceberg.PrimitiveTypes.Date
	case schema.Time:
		return iceberg.PrimitiveTypes.TimestampTz
	default:
		return iceberg.PrimitiveTypes.String
	}
}

// partitionSpec divides events by month. A file of one day is in one month, so the way in which a lake divides
// its folders does not matter, and may change.
func partitionSpec(t schema.Table) iceberg.PartitionSpec {
	if !t.IsEvent() {
		return *iceberg.UnpartitionedSpec
	}
	return iceberg.NewPartitionSpec(iceberg.PartitionField{
		SourceIDs: []int{schema.PartitionFieldID}, FieldID: iceberg.PartitionDataIDStart, Name: monthColumn, Transform: iceberg.IdentityTransform{},
	})
}

// tableProperties are those of a new table. Engines must not delete the files of a lake, which gc.enabled
// forbids. Files of versions before field ids are read by names.
func tableProperties(t schema.Table, lake string) (iceberg.Properties, error) {
	mapping, err := json.Marshal(tableSchema(t).NameMapping())
	return iceberg.Properties{
		propLake:                                  lake,
		"comment":                                 t.Doc,
		table.PropertyFormatVersion:               "2",
		table.DefaultNameMappingKey:               string(mapping),
		table.GCEnabledKey:                        "false",
		table.ManifestMergeEnabledKey:             "true",
		table.MetadataDeleteAfterCommitEnabledKey: "true",
	}, err
}

// replica is an Iceberg table that follows a table of a lake.
type replica struct {
	of    schema.Table
	table *table.Table
	// The newest generation that it has, and the SHA-256 of that manifest; 0: it has none.
	generation int64
	manifest   string
	files      map[string]iceberg.DataFile // by address; nil: not read yet
}

// newReplica reads how far a table is. The generation among its properties is newer than those of its snapshots:
// the next snapshot removes it.
func newReplica(t schema.Table, loaded *table.Table) (*replica, error) {
	r := &replica{of: t, table: loaded}
	if loaded.Properties()[propGeneration] != "" {
		return r, r.readGeneration(loaded.Properties())
	}
	for s := loaded.CurrentSnapshot(); s != nil; s = parentOf(loaded, s) {
		if s.Summary != nil && s.Summary.Properties[propGeneration] != "" { // else it is of another program
			return r, r.readGeneration(s.Summary.Properties)
		}
	}
	return r, nil
}

func parentOf(t *table.Table, s *table.Snapshot) *table.Snapshot {
	if s.ParentSnapshotID == nil {
		return nil
	}
	return t.SnapshotByID(*s.ParentSnapshotID)
}

func (r *replica) readGeneration(p iceberg.Properties) (err error) {
	if r.generation, err = strconv.ParseInt(p[propGeneration], 10, 64); err != nil || r.generation < 1 {
		return &app.Error{Kind: app.KindIntegrity, Err: fmt.Errorf("table %s: %s = %q is no generation", name(r.table), propGeneration, p[propGeneration])}
	}
	r.manifest = p[propManifest]
	return nil
}

func name(t *table.Table) string { return identifierText(t.Identifier()) }

// readFiles reads the files that the newest snapshot has.
func (r *replica) readFiles(ctx context.Context) error {
	if r.files != nil {
		return nil
	}
	files := map[string]iceberg.DataFile{}
	if r.table.CurrentSnapshot() != nil {
		scan := r.table.Scan()
		tasks, err := scan.PlanFiles(ctx)
		if err != nil {
			return fmt.Errorf("files of table %s: %w", name(r.table), err)
		}
		for _, task := range tasks {
			if len(task.DeleteFiles)+len(task.EqualityDeleteFiles)+len(task.DeletionVectorFiles) > 0 {
				return changedError(r.table, "rows have been deleted")
			}
			files[task.File.FilePath()] = task.File
		}
	}
	r.files = files
	return nil
}

// changedError says that a table has not the rows of a lake.
func changedError(t *table.Table, how string) error {
	return &app.Error{Kind: app.KindIntegrity, Err: fmt.Errorf("table %s has been changed by another program: %s; drop it, and run siglake-iceberg again to have it anew", name(t), how)}
}

// ensure loads a table, and creates it, or adds the columns that it lacks.
func (r *replayer) ensure(ctx context.Context, t schema.Table) (*replica, error) {
	id := r.identifier(t)
	loaded, err := r.catalog.LoadTable(ctx, id)
	if r.isElsewhere(loaded, err) {
		if err = r.step("drop " + t.Name); err == nil {
			err = r.catalog.DropTable(ctx, id)
		}
		if err == nil || errors.Is(err, catalog.ErrNoSuchTable) { // another replay was faster
			loaded, err = r.catalog.LoadTable(ctx, id)
		}
	}
	if errors.Is(err, catalog.ErrNoSuchTable) || errors.Is(err, catalog.ErrNoSuchNamespace) {
		loaded, err = r.create(ctx, t)
		if errors.Is(err, catalog.ErrTableAlreadyExists) { // another one was faster
			loaded, err = r.catalog.LoadTable(ctx, id)
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("table %s: its metadata is gone: %w; if the lake or the metadata has moved, add --replace", identifierText(id), err)
	}
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", identifierText(id), err)
	}
	if err := r.checkOwner(loaded); err != nil {
		return nil, err
	}
	if loaded, err = r.addColumns(ctx, t, loaded); err != nil {
		return nil, fmt.Errorf("table %s: %w", identifierText(id), err)
	}
	return newReplica(t, loaded)
}

// isElsewhere reports whether the catalogue's entry of a table is to be replaced: it shows another lake, or its metadata is no
// longer where the entry says. Nothing is lost with it: the lake has all that the table needs.
func (r *replayer) isElsewhere(t *table.Table, err error) bool {
	if !r.options.Replace {
		return false
	}
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	lake := t.Properties()[propLake]
	return lake != "" && lake != r.address
}

// checkOwner refuses a table that follows another lake, or none.
func (r *replayer) checkOwner(t *table.Table) error {
	switch lake := t.Properties()[propLake]; {
	case lake == "":
		return app.UsageErrorf("table %s exists, and siglake-iceberg has not made it; choose another --namespace or --prefix", name(t))
	case lake != r.address:
		return app.UsageErrorf("table %s shows the lake %s, not %s; choose another --namespace or --prefix, or add --replace if the lake has moved", name(t), lake, r.address)
	}
	return nil
}

func (r *replayer) create(ctx context.Context, t schema.Table) (*table.Table, error) {
	id, spec := r.identifier(t), partitionSpec(t)
	properties, err := tableProperties(t, r.address)
	if err != nil {
		return nil, err
	}
	options := []catalog.CreateTableOpt{catalog.WithPartitionSpec(&spec), catalog.WithProperties(properties)}
	if r.warehouse != "" {
		options = append(options, catalog.WithLocation(r.warehouse+"/"+identifierPath(id)))
	}
	if err := r.step("create " + t.Name); err != nil {
		return nil, err
	}
	return r.catalog.CreateTable(ctx, id, tableSchema(t), options...)
}

// addColumns adds the columns that a table of an earlier version lacks. An id that stands for another column
// would mix the columns up.
func (r *replayer) addColumns(ctx context.Context, t schema.Table, loaded *table.Table) (*table.Table, error) {
	want, has := tableSchema(t), loaded.Schema()
	missing := false
	for _, f := range want.Fields() {
		switch got, ok := has.FindFieldByID(f.ID); {
		case !ok:
			missing = true
		case got.Name != f.Name || !got.Type.Equals(f.Type):
			return nil, &app.Error{Kind: app.KindIntegrity, Err: fmt.Errorf("column id %d is %s %s, and %s %s in the files: the catalogue has given ids of its own", f.ID, got.Name, got.Type, f.Name, f.Type)}
		}
	}
	if !missing {
		return loaded, nil
	}
	fields := want.Fields()
	for _, f := range has.Fields() {
		if _, ours := want.FindFieldByID(f.ID); !ours { // of a later version
			fields = append(fields, f)
		}
	}
	next := iceberg.NewSchema(loaded.Metadata().CurrentSchema().ID+1, fields...)
	mapping, err := json.Marshal(next.NameMapping())
	if err == nil {
		err = r.step("add columns to " + t.Name)
	}
	if err != nil {
		return nil, err
	}
	_, _, err = r.catalog.CommitTable(ctx, loaded.Identifier(),
		[]table.Requirement{table.AssertTableUUID(loaded.Metadata().TableUUID()), table.AssertCurrentSchemaID(has.ID)},
		[]table.Update{table.NewAddSchemaUpdate(next), table.NewSetCurrentSchemaUpdate(-1), table.NewSetPropertiesUpdate(iceberg.Properties{table.DefaultNameMappingKey: string(mapping)})})
	fresh, loadErr := r.catalog.LoadTable(ctx, loaded.Identifier())
	if loadErr != nil {
		return nil, errors.Join(err, loadErr)
	}
	for _, f := range want.Fields() {
		if got, ok := fresh.Schema().FindFieldByID(f.ID); err != nil && (!ok || got.Name != f.Name) { // nor has another one added them
			return nil, err
		}
	}
	return fresh, nil
}
