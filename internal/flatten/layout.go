package flatten

import (
	"slices"
	"strings"
	"sync"

	"github.com/siglake/siglake/schema"
)

// layout says, for one table, which columns the members of a record fill. It does not change.
type layout struct {
	table   schema.Table
	index   map[string]int // column name -> position
	fields  int            // number of all fields
	members fieldSet       // of a record
	facts   []string       // names in content digests, ascending
	columns columnIndexes
	summary summaryColumns
	// Columns that every record of a layout fills, by schema.Signal.Record.
	always map[string][]int
	// The columns of schema.EventKeys, by schema.Signal.Record.
	keys map[string][]naturalKey
}

// fieldSet are the known members of an object.
type fieldSet struct {
	prefix string // of their paths: "author." of nested ones
	byName map[string]*field
	start  int // id that stands for the place before the first member
}

// field is a member of a record that the schema knows, or one that a flattener has met.
type field struct {
	id      int
	name    string // as it stands in its object
	path    string // "author.id" if it is nested
	quoted  string // the name with its quotes and the colon
	targets []target
	nested  *fieldSet // its own members, if it is an object; nil: they are not read
	unread  bool      // documented, and no column reads it
	// Name in content digests, and its place among them: names that are known have odd places, others that
	// of the gap between two known ones.
	fact  string
	place int
	// The digest leaves it out: ids of the event and its entity.
	isID, isCompany, isPerson bool
}

// target is a column that reads a field; lower ranks take precedence.
type target struct {
	column, rank int
	*schema.Column
}

// naturalKey is one list of columns of schema.EventKeys.
type naturalKey struct {
	names   []string
	columns []int
}

// layouts are the layouts of schema.RowTables. They are made once for each version of the schema.
func layouts(version int) []layout {
	key := [2]int{version}
	for i := range schema.RowTables {
		key[1] += len(schema.RowTables[i].Columns) // a schema that learns a column is another one
	}
	l, _ := layoutsByVersion.LoadOrStore(key, sync.OnceValue(func() (list []layout) {
		for _, t := range schema.RowTables {
			list = append(list, newLayout(t.AsOf(version)))
		}
		return list
	}))
	return l.(func() []layout)()
}

var layoutsByVersion sync.Map

func newLayout(t schema.Table) layout {
	l := layout{table: t, index: map[string]int{}, always: map[string][]int{}, keys: map[string][]naturalKey{}}
	for i, c := range t.Columns {
		l.index[c.Name] = i
	}
	l.members = l.newSet("")
	for i := range t.Columns {
		c := &t.Columns[i]
		for rank, path := range c.From {
			f := l.fieldAt(&l.members, path)
			f.targets = append(f.targets, target{i, rank, c})
			if outer, inner, found := strings.Cut(path, "."); found {
				parent := l.fieldAt(&l.members, outer)
				if parent.nested == nil {
					nested := l.newSet(outer + ".")
					parent.nested = &nested
				}
				parent.nested.byName[inner] = l.sameField(f, inner)
			}
		}
	}
	for _, name := range schema.UnreadFields[schema.Category(t.Name)] {
		l.fieldAt(&l.members, name).unread = true
	}
	l.shareTargets()
	l.nameFacts()
	l.columns, l.summary = l.findColumns(), l.findSummaryColumns()
	l.expect()
	return l
}

func (l *layout) newSet(prefix string) fieldSet {
	s := fieldSet{prefix: prefix, byName: map[string]*field{}, start: l.fields}
	l.fields++
	return s
}

// fieldAt finds a field of a set by its name, or adds it.
func (l *layout) fieldAt(s *fieldSet, name string) *field {
	f := s.byName[name]
	if f == nil {
		f = newField(s, name)
		f.id = l.fields
		l.fields++
		s.byName[name] = f
	}
	return f
}

func newField(s *fieldSet, name string) *field {
	f := &field{name: name, path: s.prefix + name, quoted: `"` + name + `":`, fact: s.prefix + name}
	if strings.ContainsAny(name, `\"`) {
		f.quoted = "\x00" // it is never spelled as it is
	}
	return f
}

// sameField is a field as it is named within its object.
func (l *layout) sameField(f *field, name string) *field {
	inner := *f
	inner.id, inner.name, inner.quoted = l.fields, name, `"`+name+`":`
	l.fields++
	return &inner
}

// shareTargets gives nested fields the targets of those with the same path.
func (l *layout) shareTargets() {
	for _, f := range l.members.byName {
		if f.nested == nil {
			continue
		}
		for _, inner := range f.nested.byName {
			inner.targets = l.members.byName[inner.path].targets
		}
	}
}

// nameFacts gives every field its name in content digests.
func (l *layout) nameFacts() {
	l.eachField(func(f *field) {
		if len(f.targets) > 0 {
			f.fact = f.targets[0].From[0]
		}
		l.facts = append(l.facts, f.fact)
	})
	slices.Sort(l.facts)
	l.facts = slices.Compact(l.facts)
	l.eachField(l.placeFact)
}

// placeFact notes where the name of a field's fact lies among the others.
func (l *layout) placeFact(f *field) {
	at, known := slices.BinarySearch(l.facts, f.fact)
	if f.place = 2 * at; known {
		f.place++
	}
	f.isID, f.isCompany, f.isPerson = f.fact == "signalId", f.fact == "companyId", f.fact == "personId"
}

func (l *layout) eachField(visit func(f *field)) {
	for _, f := range l.members.byName {
		visit(f)
		if f.nested != nil {
			for _, inner := range f.nested.byName {
				visit(inner)
			}
		}
	}
}

// expect notes what the schema says about the records of the table.
func (l *layout) expect() {
	for i := range schema.Signals {
		record := schema.Signals[i].Record
		if string(schema.Signals[i].Category) != l.table.Name || l.keys[record] != nil {
			continue
		}
		for _, column := range schema.RecordLayouts[record].Always {
			if at, ok := l.index[column]; ok {
				l.always[record] = append(l.always[record], at)
			}
		}
		l.keys[record] = []naturalKey{}
		for _, names := range schema.EventKeys[record] {
			key := naturalKey{names: names}
			for _, name := range names {
				key.columns = append(key.columns, l.column(name))
			}
			l.keys[record] = append(l.keys[record], key)
		}
	}
}

// column is the position of a column; -1 if the table does not have it.
func (l *layout) column(name string) int {
	if at, ok := l.index[name]; ok {
		return at
	}
	return -1
}

// columnIndexes are the positions of columns that siglake derives, or derives others from; -1 if the
// table does not have the column.
type columnIndexes struct {
	uid, signalType, object, entityID, account, eventDate, fetchedAt, run, call, source, version, notes, raw int
	firstSeen, revision, digest, summary, newsKind                                                           int
	rate, rateAbs, direction, window, isRisk                                                                 int
	company, person, signalID, topic, eventType                                                              int
	dates                                                                                                    [4]int
}

// dateColumns are the dates of a record, in the order in which they become the date of the event. It
// is unknown by which of them the API's window filters, so an event outside the window is kept.
var dateColumns = [4]string{"signal_date", "article_published_date", "event_effective_date", "activity_publication_date"}

func (l *layout) findColumns() (c columnIndexes) {
	for name, at := range map[string]*int{
		"event_uid": &c.uid, "signal_type": &c.signalType, "object_type": &c.object, "entity_id": &c.entityID, "account_key": &c.account,
		"event_date": &c.eventDate, "fetched_at": &c.fetchedAt, "run_id": &c.run, "call_id": &c.call, "ingest_source": &c.source,
		"schema_version": &c.version, "notes": &c.notes, "raw": &c.raw, "first_seen_at": &c.firstSeen, "revision": &c.revision,
		schema.ContentDigest: &c.digest, "summary_text": &c.summary, "event_type_norm": &c.newsKind,
		"change_rate_percent": &c.rate, "change_rate_percent_abs": &c.rateAbs, "direction": &c.direction, "window_months": &c.window, "is_risk": &c.isRisk,
		"company_id": &c.company, "person_id": &c.person, "signal_id": &c.signalID, "topic_name": &c.topic, "event_type": &c.eventType,
	} {
		*at = l.column(name)
	}
	if l.table.IsProduct() {
		c.uid = l.column("row_uid")
	}
	for i, name := range dateColumns {
		c.dates[i] = l.column(name)
	}
	return c
}

// tableIndex is the index of a dataset's table in schema.RowTables.
func tableIndex(c schema.Category) int {
	if i, ok := tableIndexes[c]; ok {
		return i
	}
	return tableIndexes[schema.CategoryOther]
}

var tableIndexes = func() map[schema.Category]int {
	m := map[schema.Category]int{}
	for i, t := range schema.RowTables {
		m[schema.Category(t.Name)] = i
	}
	return m
}()
