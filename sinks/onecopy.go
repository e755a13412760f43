package sinks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"

	"github.com/siglake/siglake/internal/extsort"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// This file keeps one copy of every event. The rows of a table are compared with those that
// earlier runs published in it, and with each other: by event_uid, then by content_digest. A row
// with a known uid and digest is dropped; one with a known uid and another digest is a later
// revision, also if its date has moved it to another partition. Up to version 5 of the schema, the
// rows of each partition were compared on their own; so are those of such a run when it is written
// again.
//
// A person's event has fewer fields when a webhook delivers it than when it is requested, so that the two have
// different digests. A delivered record that comes after a polled one states nothing new, and is dropped. A polled one
// that comes after a delivered one is its next revision: the fields that it adds were paid for.
//
// The rows to compare are sorted by uid, as keys of a few columns, with those published rows whose
// uids may be among them. So neither their number nor that of the published ones takes memory, and
// it does not matter in which order files hold their rows, nor under which entity_id.

// keyTable is the layout of keys. Those of published rows come first, then those of new rows as their answers
// came. The records of a run reach a lake in an order that depends on how full its buffers were; so the numbers
// of rows order only those of one answer, of which the ones in one partition come as the answer has them.
var keyTable = schema.Table{
	Name: "keys",
	Columns: []schema.Column{
		{Name: "event_uid", Type: schema.String},
		{Name: schema.ContentDigest, Type: schema.String},
		{Name: "seen", Type: schema.Time},      // fetched_at; of a published row first_seen_at
		{Name: "call_id", Type: schema.String}, // null: published
		{Name: "revision", Type: schema.Int64}, // null: new
		{Name: numberColumn.Name, Type: numberColumn.Type},
		{Name: "is_new", Type: schema.Bool},        // null: published
		{Name: channelColumn, Type: schema.String}, // null: it does not matter
	},
	Sort: []string{"event_uid", "is_new", "seen", "call_id", numberColumn.Name},
}

// partitionKeyTable orders the keys of one partition, whose rows are numbered as their answers came. Keys of
// published rows have the number publishedRow.
var partitionKeyTable = func() schema.Table {
	t := keyTable
	t.Sort = []string{"event_uid", numberColumn.Name}
	return t
}()

// The positions of columns in keyTable.
const (
	keyUID = iota
	keyDigest
	keySeen
	keyCall
	keyRevision
	keyNumber
	keyIsNew
	keyChannel
)

// channelColumn says how an event came. It matters for the table of person's events only.
const channelColumn = "ingest_source"

// comparesChannels reports whether it matters for a table how its events came.
func comparesChannels(table string) bool { return table == string(schema.CategoryContact) }

const publishedRow = -1

// numberColumn numbers the rows of a partition while they are sorted; no file has it.
var numberColumn = schema.Column{Name: "row_number", Type: schema.Int64}

var keySchema = keyTable.Arrow()

// comparer collects the keys of the rows that are compared with each other.
type comparer struct {
	scope   string // a table, or one of its partitions
	keys    *extsort.Sorter
	sources []int         // columns of the table for the first of keyTable
	channel int           // column of the table for keyChannel; -1: none
	layout  *arrow.Schema // of the table with numberColumn
	rows    int64         // numbered so far
	wanted  uidFilter     // their uids

	verdicts *verdicts // nil until the rows are judged; then no row may be added
}

// wholeTableVersion is the version of the schema since which all rows of a table are compared.
const wholeTableVersion = 6

// comparisonScope is that of the rows which a partition's are compared with: the table, or the partition alone.
func comparisonScope(part schema.Partition, schemaVersion int) string {
	if schemaVersion < wholeTableVersion {
		return part.String()
	}
	return part.Table
}

// comparerFor finds or begins the comparer of a scope.
func (s *sorters) comparerFor(scope string, t *schema.Table, space *extsort.Space) *comparer {
	c := s.comparers[scope]
	if c == nil {
		c = newComparer(t, scope, space)
		s.comparers[scope] = c
	}
	return c
}

// covers reports whether the rows of a partition are among those to compare.
func (c *comparer) covers(partition string) bool {
	table, _, _ := strings.Cut(partition, "/")
	return partition == c.scope || table == c.scope
}

// isCompared reports whether the rows of a table are compared with published ones.
func isCompared(t *schema.Table) bool {
	return t.IsEvent() && t.ColumnIndex(schema.ContentDigest) >= 0
}

// numberedTable is a table with numberColumn as its last column.
func numberedTable(t *schema.Table) *schema.Table {
	numbered := *t
	numbered.Columns = append(slices.Clip(t.Columns), numberColumn)
	return &numbered
}

func newComparer(t *schema.Table, scope string, space *extsort.Space) *comparer {
	order := &keyTable
	if scope != t.Name {
		order = &partitionKeyTable
	}
	c := &comparer{scope: scope, keys: extsort.New(order, "the keys of "+scope, space), layout: numberedTable(t).Arrow()}
	for _, column := range []string{"event_uid", schema.ContentDigest, "fetched_at", "call_id"} {
		c.sources = append(c.sources, t.ColumnIndex(column))
	}
	c.channel = -1
	if comparesChannels(t.Name) {
		c.channel = t.ColumnIndex(channelColumn)
	}
	return c
}

// addRows adds the keys of a record's rows. It returns the record with the numbers of the rows, which
// the caller releases.
func (c *comparer) addRows(rec arrow.Record) (arrow.Record, error) {
	n := int(rec.NumRows())
	numbers, revisions := array.NewInt64Builder(memory.DefaultAllocator), array.MakeArrayOfNull(memory.DefaultAllocator, arrow.PrimitiveTypes.Int64, n)
	truths := array.NewBooleanBuilder(memory.DefaultAllocator)
	defer revisions.Release()
	for range n {
		numbers.Append(c.rows)
		truths.Append(true)
		c.rows++
	}
	number, isNew := numbers.NewArray(), truths.NewArray()
	defer number.Release()
	defer isNew.Release()
	channels, err := c.channelsOf(rec)
	if err != nil {
		return nil, err
	}
	defer channels.Release()
	columns := make([]arrow.Array, 0, len(keyTable.Columns))
	for _, at := range c.sources {
		// A copy: the columns of a record may share one piece of memory, which they would keep alive.
		column, err := array.Concatenate([]arrow.Array{rec.Column(at)}, memory.DefaultAllocator)
		if err != nil {
			return nil, err
		}
		defer column.Release()
		columns = append(columns, column)
	}
	uids := columns[keyUID].(*array.String)
	for i := range n {
		if uids.IsValid(i) {
			c.wanted.add([]byte(uids.Value(i)))
		}
	}
	keys := array.NewRecord(keySchema, append(columns, revisions, number, isNew, channels), rec.NumRows())
	defer keys.Release()
	if err := c.keys.Add(keys); err != nil {
		return nil, err
	}
	return array.NewRecord(c.layout, append(slices.Clip(rec.Columns()), number), rec.NumRows()), nil
}

// channelsOf is keyChannel of a record's rows, which the caller releases.
func (c *comparer) channelsOf(rec arrow.Record) (arrow.Array, error) {
	if c.channel < 0 {
		return array.MakeArrayOfNull(memory.DefaultAllocator, arrow.BinaryTypes.String, int(rec.NumRows())), nil
	}
	return array.Concatenate([]arrow.Array{rec.Column(c.channel)}, memory.DefaultAllocator)
}

// addPublished adds the keys of published rows, which it releases.
func (c *comparer) addPublished(ctx context.Context, keys arrow.Record, maxMemory int64) error {
	defer keys.Release()
	if keys.NumRows() == 0 {
		return nil
	}
	if err := c.keys.Add(keys); err != nil {
		return err
	}
	if c.keys.Memory() > maxMemory {
		return c.keys.Spill(ctx)
	}
	return nil
}

// judge compares the rows, and drops their keys.
func (c *comparer) judge(ctx context.Context) (*verdicts, error) {
	v := &verdicts{dropped: newRowSet(c.rows), repeated: newRowSet(c.rows), revised: map[int64]revision{}}
	g := eventGroup{verdicts: v, contents: map[string]knownContent{}, byChannel: map[channel]int{}}
	err := c.keys.Merge(ctx, func(rows []extsort.Row) error {
		for _, r := range rows {
			g.addKey(r)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	g.endEvent()
	c.keys.Release()
	return v, c.keys.RemoveRuns()
}

// verdicts say which of the numbered rows are written, and how.
type verdicts struct {
	dropped  rowSet
	repeated rowSet             // of the dropped ones, those that repeat another one of this run
	revised  map[int64]revision // of rows that do not stay as they were written
	// Rows that are dropped because of a published one, and written ones that differ from an earlier
	// revision.
	known, changed int64
}

// rowSet is a set of numbered rows: a bit for each.
type rowSet []uint64

func newRowSet(rows int64) rowSet { return make(rowSet, rows/64+1) }

func (s rowSet) has(row int64) bool { return s[row/64]>>(row%64)&1 != 0 }

func (s rowSet) add(row int64) { s[row/64] |= 1 << (row % 64) }

// revision is what the comparison says of a row that is written.
type revision struct {
	number    int64
	firstSeen int64 // microseconds since 1970
	seen      bool  // firstSeen is known
}

// eventGroup compares the rows with one uid.
type eventGroup struct {
	verdicts *verdicts
	uid      []byte
	begun    bool // with the first uid
	contents map[string]knownContent
	newest   int64    // the last revision
	first    revision // whose first_seen_at all later ones have
	// Contents by the channel through which they came, if that matters.
	byChannel map[channel]int
	call      []byte
	answer    []newKey // rows that one call brought
	digests   []byte   // of answer, back to back
}

// knownContent is a content of the event that was met before.
type knownContent struct{ published bool }

// channel is how an event came.
type channel byte

// The channels.
const (
	noChannel channel = iota // it does not matter
	polled
	delivered
)

// channelAt is keyChannel of a key.
func channelAt(r extsort.Row) channel {
	c := &r.View.Columns[keyChannel]
	switch {
	case c.IsNull(r.Index):
		return noChannel
	case string(c.TextAt(r.Index)) == "webhook":
		return delivered
	}
	return polled
}

// newKey is the key of a row of this run.
type newKey struct {
	row    int64
	from   channel
	digest []byte // in eventGroup.digests
	hasOne bool   // a digest
	seen   int64
	isSeen bool
}

func (g *eventGroup) addKey(r extsort.Row) {
	at, columns := r.Index, r.View.Columns
	if columns[keyUID].IsNull(at) {
		return // nothing to compare
	}
	if uid := columns[keyUID].TextAt(at); !g.begun || !bytes.Equal(uid, g.uid) {
		g.endEvent()
		g.uid, g.begun = append(g.uid[:0], uid...), true
	}
	k := newKey{row: columns[keyNumber].Int64At(at), from: channelAt(r), hasOne: !columns[keyDigest].IsNull(at), isSeen: !columns[keySeen].IsNull(at)}
	if k.hasOne {
		k.digest = columns[keyDigest].TextAt(at)
	}
	if k.isSeen {
		k.seen = columns[keySeen].Int64At(at)
	}
	if k.row != publishedRow {
		var call []byte
		if c := &columns[keyCall]; !c.IsNull(at) {
			call = c.TextAt(at)
		}
		if !bytes.Equal(call, g.call) {
			g.endAnswer()
			g.call = append(g.call[:0], call...)
		}
		from := len(g.digests)
		g.digests = append(g.digests, k.digest...)
		k.digest = g.digests[from:]
		g.answer = append(g.answer, k)
		return
	}
	number := int64(1)
	if !columns[keyRevision].IsNull(at) {
		number = columns[keyRevision].Int64At(at)
	}
	g.newest = max(g.newest, number)
	if k.hasOne {
		g.addContent(k, true)
	}
	if k.isSeen && (!g.first.seen || k.seen < g.first.firstSeen) {
		g.first = revision{firstSeen: k.seen, seen: true}
	}
}

// addContent notes a content of the event.
func (g *eventGroup) addContent(k newKey, published bool) {
	if _, known := g.contents[string(k.digest)]; !known && k.from != noChannel {
		g.byChannel[k.from]++
	}
	g.contents[string(k.digest)] = knownContent{published}
}

// endEvent judges what is left of the rows with a uid, and forgets them. Most events have one row.
func (g *eventGroup) endEvent() {
	if len(g.answer) == 1 && len(g.contents) == 0 {
		g.keep(g.answer[0], g.newest+1, false)
		g.answer, g.digests = g.answer[:0], g.digests[:0]
	}
	g.endAnswer()
	clear(g.contents)
	clear(g.byChannel)
	g.newest, g.first = 0, revision{}
}

// endAnswer judges the rows that one answer brought. Rows of one answer do not replace each other, and
// not the known one that comes with them: they are several events as long as the API returns them
// together. Otherwise a row with another content is the next revision.
func (g *eventGroup) endAnswer() {
	if len(g.answer) == 0 {
		return
	}
	isKnown := func(k newKey) bool {
		_, known := g.contents[string(k.digest)]
		return k.hasOne && known
	}
	elsewhere := g.fullerContents() // of each of which one of the rows is a part
	number, hasOther := g.newest+1, elsewhere > 0 || slices.ContainsFunc(g.answer, isKnown)
	if hasOther {
		number = g.newest
	}
	for _, k := range g.answer {
		switch {
		case isKnown(k) && !g.contents[string(k.digest)].published:
			g.verdicts.dropped.add(k.row)
			g.verdicts.repeated.add(k.row)
		case isKnown(k), elsewhere > 0 && k.hasOne:
			g.verdicts.dropped.add(k.row)
			g.verdicts.known++
			elsewhere--
		default:
			if k.hasOne {
				g.addContent(k, false)
			}
			g.keep(k, number, hasOther)
		}
	}
	g.newest, g.answer, g.digests = number, g.answer[:0], g.digests[:0]
}

// fullerContents is the number of known contents that state what the rows of the answer do, and more: polled ones, if the
// answer was delivered.
func (g *eventGroup) fullerContents() int {
	if g.answer[0].from != delivered {
		return 0
	}
	return g.byChannel[polled]
}

func (g *eventGroup) keep(k newKey, number int64, hasOther bool) {
	kept := revision{number: number, firstSeen: k.seen, seen: k.isSeen}
	if number > 1 && !hasOther {
		g.verdicts.changed++
		kept.firstSeen, kept.seen = g.first.firstSeen, g.first.seen
	}
	if !g.first.seen && k.isSeen {
		g.first = kept
	}
	if number != 1 || kept.seen != k.isSeen || kept.firstSeen != k.seen {
		g.verdicts.revised[k.row] = kept
	}
}

// uidFilter tells for most uids that are not among the added ones that they are not: a bit for the
// hash of each, with 32 bits or more for every uid up to its largest size.
type uidFilter struct {
	words []uint64 // a power of two
	uids  int
}

const (
	minFilterWords = 1 << 10
	maxFilterWords = 1 << 21 // 16 MiB
)

var uidSeed = maphash.MakeSeed()

func (f *uidFilter) add(uid []byte) {
	if f.words == nil {
		f.words = make([]uint64, minFilterWords)
	}
	if f.uids++; f.uids > len(f.words)*2 && len(f.words) < maxFilterWords {
		// A hash has one bit more now, 0 or 1: both are set.
		f.words = append(f.words, f.words...)
	}
	bit := maphash.Bytes(uidSeed, uid) % uint64(len(f.words)*64)
	f.words[bit/64] |= 1 << (bit % 64)
}

func (f *uidFilter) mayHave(uid []byte) bool {
	bit := maphash.Bytes(uidSeed, uid) % uint64(len(f.words)*64)
	return f.words[bit/64]>>(bit%64)&1 != 0
}

// Earlier is what a lake held before one of its generations. A run that is written again is compared
// with that, and not with what has been published since.
type Earlier struct {
	published generations
	link      *pipeline.Link
	unread    []string     // files that could not be compared then
	merged    *mergedFiles // nil: all files are there
}

// mergedFiles stand for files that a pruning has removed.
type mergedFiles struct {
	removed map[string]bool
	live    []DataFile      // of the newest generation
	runs    map[string]bool // whose rows count
	// Partitions of which the live files are read.
	partitions map[string]bool
}

// Before is what the lake held before a manifest was published. If files of that time were pruned, the
// manifest is one of the chain that was read last.
func (i *Inspector) Before(m *pipeline.Manifest) *Earlier {
	e := &Earlier{i.published, m.Previous, m.Unread, nil}
	if i.merged == nil {
		return e
	}
	own := *i.merged
	own.runs = map[string]bool{}
	for _, earlier := range i.chain {
		if earlier.Generation < m.Generation && !earlier.Run.Kind.IsMaintenance() {
			own.runs[earlier.Run.ID] = true
		}
	}
	e.merged = &own
	return e
}

// runsOf are the runs whose rows count in a partition; nil: all.
func (e *Earlier) runsOf(partition string) map[string]bool {
	if e.merged == nil || !e.merged.partitions[partition] {
		return nil
	}
	return e.merged.runs
}

// replaceRemoved puts the live files of a partition in the place of its files, if one of them was
// removed: they hold the same rows, and later ones.
func (m *mergedFiles) replaceRemoved(files map[string][]DataFile) {
	m.partitions = map[string]bool{}
	for key, of := range files {
		if slices.ContainsFunc(of, func(f DataFile) bool { return m.removed[f.Path] }) {
			m.partitions[key], files[key] = true, nil
		}
	}
	for _, f := range m.live {
		if key := f.Table + "/" + f.Partition; m.partitions[key] {
			files[key] = append(files[key], f)
		}
	}
}

// comparison compares the event rows of a run with those that a lake holds, or held before the run.
type comparison struct {
	published *generations // of the lake
	options   *Options     // of the lake
	checked   bool         // the rows are compared with published ones, and not written

	// The files that are compared with, by partition, and the generation that they are of; nil until
	// the first comparison.
	earlier map[string][]DataFile
	in      *Earlier
	// Of them, those that could not be read.
	unread []string

	known, changed int64
	// Rows that were dropped, by the line of the list that they are about.
	dropped map[uint64]int64
	counted int64 // rows of new events that Options.CountNew picks
}

// earlierFiles are the files with which new rows are compared, by partition.
func (c *comparison) earlierFiles(ctx context.Context) (map[string][]DataFile, error) {
	if c.earlier != nil {
		return c.earlier, nil
	}
	from := c.options.Earlier
	if from == nil {
		newest, _, err := c.published.newestGeneration(ctx)
		if err != nil {
			return nil, err
		}
		from = &Earlier{published: *c.published, link: newest.manifestLink()}
	}
	return c.earlier, c.compareWith(ctx, from)
}

// compareWith makes the files of a generation those with which new rows are compared, without those
// of the run itself.
func (c *comparison) compareWith(ctx context.Context, from *Earlier) error {
	files, err := from.published.generationFiles(ctx, from.link)
	if err != nil {
		return err
	}
	c.earlier, c.in, c.unread = map[string][]DataFile{}, from, slices.Clone(from.unread)
	for _, f := range files {
		if f.Run != c.options.RunID && !slices.Contains(from.unread, f.Path) {
			key := f.Table + "/" + f.Partition
			c.earlier[key] = append(c.earlier[key], f)
		}
	}
	if from.merged != nil {
		from.merged.replaceRemoved(c.earlier)
	}
	return nil
}

// compareWithoutOwn goes back to what the lake held before the run was published: a compaction has
// merged its rows since. It was published, and its process died before it could note that.
func (c *comparison) compareWithoutOwn(ctx context.Context) error {
	for link := c.in.link; link != nil; {
		m, err := c.in.published.readManifest(ctx, link)
		if err != nil {
			return err
		}
		if link = m.Previous; m.Run.ID == c.options.RunID {
			return c.compareWith(ctx, &Earlier{c.in.published, m.Previous, m.Unread, c.in.merged})
		}
	}
	return fmt.Errorf("%w: a compaction holds rows of run %s, which no manifest names", ErrIntegrity, c.options.RunID)
}

// judge compares the rows of a comparer with each other and with what was published, once.
func (c *comparison) judge(ctx context.Context, rows *comparer) (*verdicts, error) {
	if rows.verdicts != nil {
		return rows.verdicts, nil
	}
	err := c.addPublished(ctx, rows)
	if errors.Is(err, errOwnRows) {
		if err = c.compareWithoutOwn(ctx); err == nil {
			err = c.addPublished(ctx, rows) // keys that were added already are added again, which changes nothing
		}
	}
	if err != nil {
		return nil, err
	}
	v, err := rows.judge(ctx)
	if err != nil {
		return nil, err
	}
	rows.verdicts = v
	c.known += v.known
	c.changed += v.changed
	return v, nil
}

// addPublished adds the keys of the published rows that may be compared with new ones.
func (c *comparison) addPublished(ctx context.Context, rows *comparer) error {
	earlier, err := c.earlierFiles(ctx)
	if err != nil {
		return err
	}
	for _, partition := range slices.Sorted(maps.Keys(earlier)) {
		if !rows.covers(partition) {
			continue
		}
		for files := range slices.Chunk(earlier[partition], c.in.published.backend.maxParallel()) {
			found, err := c.readKeysOf(ctx, files, keysWanted{&rows.wanted, c.in.runsOf(partition), rows.channel >= 0})
			for _, keys := range found {
				if keys != nil {
					err = errors.Join(err, rows.addPublished(ctx, keys, c.options.SortMemory))
				}
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// accountHash identifies the line of the list that an event row is about, within the run.
func accountHash(r extsort.Row, columns [3]int) uint64 {
	var h maphash.Hash
	h.SetSeed(uidSeed)
	for _, at := range columns {
		if c := &r.View.Columns[at]; !c.IsNull(r.Index) {
			_, _ = h.Write(c.TextAt(r.Index)) // it never fails
		}
		_ = h.WriteByte(0)
	}
	return h.Sum64()
}

// accountColumns are the columns that event rows and accounts have in common.
func accountColumns(t *schema.Table) (columns [3]int) {
	for i, name := range []string{"call_id", "account_key", "entity_id"} {
		columns[i] = t.ColumnIndex(name)
	}
	return columns
}

// Comparison is what the comparison with the lake found while staging.
func (l *Lake) Comparison() pipeline.Comparison {
	c := l.comparison
	return pipeline.Comparison{Known: c.known, Changed: c.changed, Counted: c.counted, Unread: slices.Sorted(slices.Values(c.unread))}
}

// cell is a value of a column with integers, instants or texts; null if it is not known.
type cell struct {
	number int64
	text   string
	known  bool
}

func integer(n int64) cell { return cell{number: n, known: true} }

// overrideRows replaces values of integer columns in some of the rows, in place. The new rows are valid for as
// long as they are used: the garbage collector frees their memory.
func overrideRows(t *schema.Table, rows []extsort.Row, at []int, columns map[int]func(i int) cell) error {
	if len(at) == 0 {
		return nil
	}
	changed := make([]extsort.Row, len(at))
	for i, n := range at {
		changed[i] = rows[n]
	}
	layout := t.Arrow()
	b := array.NewRecordBuilder(memory.DefaultAllocator, layout)
	defer b.Release()
	arrays := slices.Clone(extsort.BuildRecord(b, t, changed).Columns())
	for column, valueAt := range columns {
		fresh := b.Field(column)
		for i := range at {
			value := valueAt(i)
			switch fresh := fresh.(type) {
			case *array.Int64Builder:
				fresh.AppendValues([]int64{value.number}, []bool{value.known})
			case *array.TimestampBuilder:
				fresh.AppendValues([]arrow.Timestamp{arrow.Timestamp(value.number)}, []bool{value.known})
			case *array.StringBuilder:
				fresh.AppendValues([]string{value.text}, []bool{value.known})
			default:
				return fmt.Errorf("column %s holds neither integers nor texts", t.Columns[column].Name)
			}
		}
		arrays[column] = fresh.NewArray()
	}
	view := extsort.NewRecordView(t, array.NewRecord(layout, arrays, int64(len(at))))
	for i, n := range at {
		rows[n] = view.Row(int32(i)) //nolint:gosec // a few rows
	}
	return nil
}
