package lakereport

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"hash/maphash"
	"regexp"
	"slices"
	"strings"

	"github.com/siglake/siglake/schema"
)

// accountTotals hold the lines of the lists as the view accounts_latest has them. A lake may have millions, so a
// line has numbers instead of texts, and digests instead of keys: of 128 bits, so that no two keys share one. Only lines
// of entities with events keep the texts that the report shows.
type accountTotals struct {
	finished map[string]number   // when a run finished
	aliases  map[string][]string // by object and id: ids of the same entity
	kept     []*keptColumn
	run      string  // the only one of the period; empty: there are others
	ofRun    []int32 // its rows, as it left them

	digests    digester
	runs       numbered[string]
	groups     numbered[lineGroup]
	statuses   numbered[string]
	identities map[keyDigest]int32
	answers    []answer // by identity
	// By identity: those of which an id has events.
	eventful map[int32]*eventful

	lines      map[keyDigest]int32 // the first row of each line that the newest run wrote
	rows       []lineRow
	keptValues []uint8 // by row: a value of each kept column
	free       []int32 // rows that newer ones have replaced
	shown      map[int32]shownLine
}

// lineRow is a row of accounts about a line. A line has several if its list has several with the same key.
type lineRow struct {
	next       int32 // the next row of the line; noRow: there is none
	of         int32 // the identity; noIdentity: nothing can be requested about the line
	run, group int32
}

const noRow, noIdentity = -1, -1

// lineGroup is what many lines have in common.
type lineGroup struct {
	file, object, kind, status string
	reason, column             string // of a rejected line: the reason without its value
}

// shownLine are the texts of a line that has events.
type shownLine struct{ account, entity, name string } // names: of what was found, and on the line

// line is a row of accounts.
type line struct {
	lineGroup
	row, of   int32
	hasEvents bool
	kept      []uint8
}

// answer is what the newest run that was answered says about an identity.
type answer struct{ run, status int32 } // noRow: none was

// eventful is an identity that has events.
type eventful struct {
	object, kind, text string
	ids                []string
	name               string // of the entity
}

// numbered gives each of few different values a number.
type numbered[T comparable] struct {
	numbers map[T]int32
	values  []T
}

func (n *numbered[T]) add(v T) int32 {
	i, ok := n.numbers[v]
	if !ok {
		if n.numbers == nil {
			n.numbers = map[T]int32{}
		}
		i = int32(len(n.values)) //nolint:gosec // few values
		n.numbers[v], n.values = i, append(n.values, v)
	}
	return i
}

type keyDigest [2]uint64

// digester computes digests of keys, which differ from process to process.
type digester struct {
	seeds [2]maphash.Seed
	key   []byte
}

// of is the digest of texts.
func (d *digester) of(texts ...[]byte) keyDigest {
	d.key = d.key[:0]
	for _, t := range texts {
		d.key = append(binary.AppendUvarint(d.key, uint64(len(t))), t...)
	}
	return keyDigest{maphash.Bytes(d.seeds[0], d.key), maphash.Bytes(d.seeds[1], d.key)}
}

// keptColumn is a column of lists with few different values.
type keptColumn struct {
	name   string
	values []string // the first is that of an empty cell
}

// maxKeptValues is how many values a column may have to get hit rates for each.
const maxKeptValues = 50

var accountColumns = []string{
	"run_id", "row", "account_key", "status", "reason", "object_type", "identifier_type", "identifier", "entity_id", "entity_name",
	"input_file", "input_column", schema.ExtraColumn, "command", "line_name",
}

// identityColumns are those of accountColumns that say what an identifier stands for.
var identityColumns = []string{"run_id", "status", "reason", "object_type", "identifier_type", "identifier", "entity_id", "command"}

var aliasColumns = []string{"object_type", "entity_id", "alias_id"}

func newAccountTotals(kept []string) *accountTotals {
	a := &accountTotals{
		finished: map[string]number{}, aliases: map[string][]string{}, digests: digester{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}},
		identities: map[keyDigest]int32{}, eventful: map[int32]*eventful{}, lines: map[keyDigest]int32{}, shown: map[int32]shownLine{},
	}
	for _, name := range slices.SortedStableFunc(slices.Values(kept), func(a, b string) int { return order(!isCountry(a), !isCountry(b)) }) {
		a.kept = append(a.kept, &keptColumn{name: name, values: []string{""}})
	}
	return a
}

// isCountry reports whether a column of a list holds countries, by its name: its table comes first.
func isCountry(name string) bool {
	name = strings.ToLower(name)
	return strings.Contains(name, "country") || slices.Contains([]string{"land", "pays", "país", "paese", "kraj"}, name)
}

// isGroup reports whether a kept column divides the lines into groups, and does not identify them.
func (a *accountTotals) isGroup(column int) bool {
	const linesOfGroup = 3
	values := int64(len(a.kept[column].values) - 1)
	if values == 0 || values > maxKeptValues {
		return false
	}
	filled := int64(0)
	a.latest(func(string) bool { return true }, func(l *line) {
		if l.kept[column] > 0 {
			filled++
		}
	})
	return filled >= linesOfGroup*values
}

// addAlias adds a pair of ids of one entity.
func (a *accountTotals) addAlias(r *row) {
	object, id, alias := r.text("object_type"), r.text("entity_id"), r.text("alias_id")
	if id == "" || alias == "" {
		return
	}
	a.aliases[entityKey(object, id)] = append(a.aliases[entityKey(object, id)], alias)
	a.aliases[entityKey(object, alias)] = append(a.aliases[entityKey(object, alias)], id)
}

func entityKey(object, id string) string { return object + " " + id }

// isRun reports whether a row is of a command that requests signals.
func isRun(r *row) bool {
	command := r.bytes("command")
	return command == nil || string(command) == "run"
}

// addIdentity adds what a run says about what a line is requested by. Events and aliases are known by then.
func (a *accountTotals) addIdentity(r *row, events *eventTotals) {
	of := a.identityOf(r)
	if of == noIdentity {
		return
	}
	if id := r.text("entity_id"); id != "" && a.isEventful(r.text("object_type"), id, events) {
		e := a.eventful[of]
		if e == nil {
			e = &eventful{object: r.text("object_type"), kind: r.text("identifier_type"), text: r.text("identifier")}
			a.eventful[of] = e
		}
		if !slices.Contains(e.ids, id) {
			e.ids = append(e.ids, id)
		}
	}
	if status := r.text("status"); isRun(r) && isAnswer(status) {
		run := r.text("run_id")
		if known := &a.answers[of]; known.run == noRow || run > a.runs.values[known.run] {
			*known = answer{a.runs.add(run), a.statuses.add(status)}
		}
	}
}

// identityOf finds the identity of a row.
func (a *accountTotals) identityOf(r *row) int32 {
	text := r.bytes("identifier")
	if len(text) == 0 {
		return noIdentity
	}
	key := a.digests.of(r.bytes("object_type"), r.bytes("identifier_type"), text)
	of, ok := a.identities[key]
	if !ok {
		of = int32(len(a.answers)) //nolint:gosec // a lake has fewer
		a.identities[key], a.answers = of, append(a.answers, answer{noRow, noRow})
	}
	return of
}

// isEventful reports whether an id, or another one of its entity, has events.
func (a *accountTotals) isEventful(object, id string, events *eventTotals) bool {
	return slices.ContainsFunc(a.withAliases(object, []string{id}), func(id string) bool { return events.entities[entityKey(object, id)] != nil })
}

// add adds what a run says about a line. The identities are known by then.
func (a *accountTotals) add(r *row) {
	of, run := a.identityOf(r), r.text("run_id")
	if a.run != "" && run == a.run {
		a.ofRun = append(a.ofRun, a.newRow(r, of, run))
	}
	if !isRun(r) {
		return
	}
	if e := a.eventful[of]; e != nil {
		e.name = max(e.name, r.text("entity_name"))
	}
	key := a.lineKey(r)
	first, ok := a.lines[key]
	if ok {
		newest := a.runs.values[a.rows[first].run]
		switch age := compareRuns(run, a.finished[run], newest, a.finished[newest]); {
		case age < 0:
			return
		case age > 0:
			a.release(first)
			ok = false
		}
	}
	at := a.newRow(r, of, run)
	if ok {
		a.rows[at].next = first
	}
	a.lines[key] = at
}

// newRow keeps a row.
func (a *accountTotals) newRow(r *row, of int32, run string) (at int32) {
	if n := len(a.free); n > 0 {
		at, a.free = a.free[n-1], a.free[:n-1]
	} else {
		at = int32(len(a.rows)) //nolint:gosec // a lake has fewer
		a.rows, a.keptValues = append(a.rows, lineRow{}), append(a.keptValues, make([]uint8, len(a.kept))...)
	}
	g := lineGroup{file: r.text("input_file"), object: r.text("object_type"), kind: r.text("identifier_type"), status: r.text("status")}
	if g.status == string(schema.Rejected) {
		g.column = r.text("input_column")
		g.reason = plainReason(r.text("reason"), g.column)
	}
	a.rows[at] = lineRow{noRow, of, a.runs.add(run), a.groups.add(g)}
	a.readKept(r, a.keptOf(at))
	if a.eventful[of] != nil {
		a.shown[at] = shownLine{r.text("account_key"), r.text("entity_name"), r.text("line_name")}
	}
	return at
}

// release gives up the rows of a line.
func (a *accountTotals) release(first int32) {
	for at := first; at != noRow; at = a.rows[at].next {
		delete(a.shown, at)
		a.free = append(a.free, at)
	}
}

// lineAt is a row.
func (a *accountTotals) lineAt(at int32) *line {
	r := &a.rows[at]
	return &line{lineGroup: a.groups.values[r.group], row: at, of: r.of, hasEvents: a.eventful[r.of] != nil, kept: a.keptOf(at)}
}

func (a *accountTotals) keptOf(at int32) []uint8 {
	n := len(a.kept)
	return a.keptValues[int(at)*n : (int(at)+1)*n]
}

// compareRuns compares runs by age, as accounts_latest does: the id of a run begins with the second in
// which it began.
func compareRuns(a string, aFinished number, b string, bFinished number) int {
	return cmp.Or(cmp.Compare(a[:min(len(a), 16)], b[:min(len(b), 16)]), -byNumberDown(aFinished, bFinished), cmp.Compare(a, b))
}

// lineKey is what identifies a line: its list and its key, or else its identifier, or else its place.
func (a *accountTotals) lineKey(r *row) keyDigest {
	file, object := r.bytes("input_file"), r.bytes("object_type")
	account, identifier := r.bytes("account_key"), r.bytes("identifier")
	switch {
	case account != nil:
		return a.digests.of(file, object, []byte{'k'}, account)
	case identifier != nil:
		return a.digests.of(file, object, []byte{'i'}, identifier)
	}
	return a.digests.of(file, object, binary.AppendVarint(nil, r.number("row").n))
}

func isAnswer(status string) bool {
	switch schema.Status(status) {
	case schema.Enriched, schema.NoSignal, schema.NotFound, schema.Restricted:
		return true
	}
	return false
}

// readKept reads the values that a line has in the kept columns, as indexes.
func (a *accountTotals) readKept(r *row, values []uint8) {
	clear(values)
	text := r.bytes(schema.ExtraColumn)
	if len(values) == 0 || text == nil {
		return
	}
	var cells map[string]any
	if json.Unmarshal(text, &cells) != nil {
		return
	}
	for i, c := range a.kept {
		cell, _ := cells[c.name].(string)
		values[i] = c.index(cell)
	}
}

func (c *keptColumn) index(cell string) uint8 {
	i := slices.Index(c.values, cell)
	if i < 0 {
		if len(c.values) > maxKeptValues { // too many: the column is left out
			return 0
		}
		i, c.values = len(c.values), append(c.values, cell)
	}
	return uint8(i) //nolint:gosec // maxKeptValues fits
}

// hits count what became of lines.
type hits struct {
	lines, rejected, answered, found, withEvents int64
}

// add adds a line, with the status of its answer if there is one.
func (h *hits) add(l *line, answered string) {
	h.lines++
	if l.status == string(schema.Rejected) {
		h.rejected++
	}
	if l.hasEvents {
		h.withEvents++
	}
	switch schema.Status(answered) {
	case schema.Enriched, schema.NoSignal, schema.Resolved:
		h.found++
		h.answered++
	case schema.NotFound, schema.Restricted:
		h.answered++
	}
}

// ofPeriod visits the lines of the period, with the statuses of their answers: the lines of a run as it left them,
// else those of accounts_latest.
func (a *accountTotals) ofPeriod(selected func(run string) bool, visit func(l *line, answered string)) {
	for _, at := range a.ofRun {
		l := a.lineAt(at)
		visit(l, l.status)
	}
	if a.run != "" {
		return
	}
	a.latest(selected, func(l *line) {
		answered := ""
		if l.of != noIdentity && a.answers[l.of].status != noRow {
			answered = a.statuses.values[a.answers[l.of].status]
		}
		visit(l, answered)
	})
}

// latest visits the rows of accounts_latest that a selected run left.
func (a *accountTotals) latest(selected func(run string) bool, visit func(*line)) {
	for _, first := range a.lines {
		if !selected(a.runs.values[a.rows[first].run]) {
			continue
		}
		for at := first; at != noRow; at = a.rows[at].next {
			visit(a.lineAt(at))
		}
	}
}

// lineEvents are the events of a line.
type lineEvents struct {
	file, account, name, object, kind, identifier string
	byCategory                                    [categoryCount]int64
	events                                        int64
	newest                                        int32
}

// compareLines puts the most events first.
func compareLines(a, b *lineEvents) int {
	return cmp.Or(cmp.Compare(b.events, a.events), cmp.Compare(b.newest, a.newest), byText(a.file, b.file), byText(a.account, b.account),
		byText(a.identifier, b.identifier), byText(a.kind, b.kind), byText(a.object, b.object))
}

// withEvents are the lines that have events, each once in its list.
func (a *accountTotals) withEvents(events *eventTotals) ([]lineEvents, int64) {
	type key struct {
		file, account string
		of            int32
	}
	names := map[key]string{}
	a.latest(func(string) bool { return true }, func(l *line) {
		if l.hasEvents {
			shown := a.shown[l.row]
			k := key{l.file, shown.account, l.of}
			names[k] = max(names[k], cmp.Or(shown.entity, a.eventful[l.of].name, shown.name))
		}
	})
	t := top[lineEvents]{limit: maxAccounts, compare: compareLines}
	for k, name := range names {
		of := a.eventful[k.of]
		e := lineEvents{file: k.file, account: k.account, name: name, object: of.object, kind: of.kind, identifier: of.text, newest: noDay}
		for _, id := range a.withAliases(of.object, of.ids) {
			e.add(events.entities[entityKey(of.object, id)])
		}
		t.add(&e)
	}
	return t.sorted(), t.total
}

func (e *lineEvents) add(t *entityTotals) {
	if t == nil {
		return
	}
	for i, n := range t.byCategory {
		e.byCategory[i] += int64(n)
		e.events += int64(n)
	}
	e.newest = max(e.newest, t.newest)
}

// withAliases are ids, and the others that their entities had.
func (a *accountTotals) withAliases(object string, ids []string) []string {
	if len(a.aliases) == 0 {
		return ids
	}
	all := slices.Clone(ids)
	for _, id := range ids {
		for _, alias := range a.aliases[entityKey(object, id)] {
			if !slices.Contains(all, alias) {
				all = append(all, alias)
			}
		}
	}
	return all
}

var numberedLine = regexp.MustCompile(`line [0-9]+`)

// plainReason is the reason of a rejected line without its column, its value and numbers of lines.
func plainReason(reason, column string) string {
	if i := strings.LastIndex(reason, `": `); i >= 0 {
		reason = reason[i+3:]
	} else {
		reason = strings.TrimPrefix(reason, column+": ")
	}
	return numberedLine.ReplaceAllLiteralString(reason, "a line")
}
