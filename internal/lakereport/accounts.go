package lakereport

import (
	"cmp"
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/siglake/siglake/schema"
)

// accountTotals hold the lines of the lists as the view accounts_latest has them.
type accountTotals struct {
	finished   map[string]number    // when a run finished
	lines      map[string]*lineRows // by what identifies a line
	identities map[string]*identity // by what a line is requested by
	aliases    map[string][]string  // object and id to ids of the same entity
	kept       []*keptColumn
	files      map[string]string // one copy of each
	run        string            // the only one of the period; empty: there are others
	ofRun      []line            // its lines, as it left them
}

// lineRows are the rows of a line that the newest run wrote: more than one if its list has several with
// the same key.
type lineRows struct {
	run      string
	finished number
	rows     []line
}

type line struct {
	file, account       string
	entity, name        string    // names: of what was found, and on the line
	of                  *identity // nil: nothing can be requested about it
	object, kind        string
	status, reason, col string // reason and column of a rejected line
	kept                []uint8
}

// identity is what all runs say about an identifier.
type identity struct {
	object, kind, text string
	answeredRun        string
	answered           string // the status
	ids                []string
	name               string // of the entity
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

var aliasColumns = []string{"object_type", "entity_id", "alias_id"}

func newAccountTotals(kept []string) *accountTotals {
	a := &accountTotals{finished: map[string]number{}, lines: map[string]*lineRows{}, identities: map[string]*identity{}, aliases: map[string][]string{}, files: map[string]string{}}
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

// add adds what a run says about a line.
func (a *accountTotals) add(r *row) {
	of, status := a.identify(r), r.text("status")
	if a.run != "" && string(r.bytes("run_id")) == a.run {
		a.ofRun = append(a.ofRun, a.line(r, of, status))
	}
	if command := r.bytes("command"); command != nil && string(command) != "run" {
		return
	}
	if of != nil {
		of.name = max(of.name, r.text("entity_name"))
		if run := r.text("run_id"); isAnswer(status) && run > of.answeredRun {
			of.answeredRun, of.answered = run, status
		}
	}
	key := lineKey(r)
	rows, run := a.lines[string(key)], r.text("run_id")
	if rows == nil {
		rows = &lineRows{}
		a.lines[string(key)] = rows
	}
	switch age := compareRuns(run, a.finished[run], rows.run, rows.finished); {
	case rows.run == "" || age > 0:
		rows.run, rows.finished, rows.rows = run, a.finished[run], rows.rows[:0]
	case age < 0:
		return
	}
	rows.rows = append(rows.rows, a.line(r, of, status))
}

// compareRuns compares runs by age, as accounts_latest does: the id of a run begins with the second in
// which it began.
func compareRuns(a string, aFinished number, b string, bFinished number) int {
	return cmp.Or(cmp.Compare(a[:min(len(a), 16)], b[:min(len(b), 16)]), -byNumberDown(aFinished, bFinished), cmp.Compare(a, b))
}

// lineKey is what identifies a line: its list and its key, or else its identifier, or else its place.
func lineKey(r *row) []byte {
	key := append([]byte{}, r.bytes("input_file")...)
	key = append(append(key, 0), r.bytes("object_type")...)
	account, identifier := r.bytes("account_key"), r.bytes("identifier")
	switch {
	case account != nil:
		key = append(append(key, 0, 'k'), account...)
	case identifier != nil:
		key = append(append(key, 0, 'i'), identifier...)
	default:
		n := r.number("row").n
		for ; n > 0; n >>= 8 {
			key = append(key, byte(n))
		}
	}
	return key
}

// identify finds the identity of a row, and notes the id of its entity.
func (a *accountTotals) identify(r *row) *identity {
	object, kind, text := r.text("object_type"), r.text("identifier_type"), r.text("identifier")
	if text == "" {
		return nil
	}
	key := object + " " + kind + " " + text
	of := a.identities[key]
	if of == nil {
		of = &identity{object: object, kind: kind, text: text}
		a.identities[key] = of
	}
	if id := r.bytes("entity_id"); len(id) > 0 && !slices.Contains(of.ids, string(id)) {
		of.ids = append(of.ids, string(id))
	}
	return of
}

func isAnswer(status string) bool {
	switch schema.Status(status) {
	case schema.Enriched, schema.NoSignal, schema.NotFound, schema.Restricted:
		return true
	}
	return false
}

func (a *accountTotals) line(r *row, of *identity, status string) line {
	l := line{
		file: a.file(r), account: r.text("account_key"), entity: r.text("entity_name"), name: r.text("line_name"),
		of: of, status: status, object: r.text("object_type"), kind: r.text("identifier_type"), kept: a.keptValues(r),
	}
	if status == string(schema.Rejected) {
		l.reason, l.col = r.text("reason"), r.text("input_column")
	}
	return l
}

func (a *accountTotals) file(r *row) string {
	name := r.bytes("input_file")
	if known, ok := a.files[string(name)]; ok {
		return known
	}
	a.files[string(name)] = string(name)
	return string(name)
}

// keptValues are the values that a line has in the kept columns, as indexes.
func (a *accountTotals) keptValues(r *row) []uint8 {
	if len(a.kept) == 0 {
		return nil
	}
	values := make([]uint8, len(a.kept))
	text := r.bytes(schema.ExtraColumn)
	if text == nil {
		return values
	}
	var cells map[string]any
	if json.Unmarshal(text, &cells) != nil {
		return values
	}
	for i, c := range a.kept {
		cell, _ := cells[c.name].(string)
		values[i] = c.index(cell)
	}
	return values
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
func (h *hits) add(l *line, answered string, hasEvents bool) {
	h.lines++
	if l.status == string(schema.Rejected) {
		h.rejected++
	}
	if hasEvents {
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
	for i := range a.ofRun {
		visit(&a.ofRun[i], a.ofRun[i].status)
	}
	if a.run != "" {
		return
	}
	a.latest(selected, func(l *line) {
		answered := ""
		if l.of != nil {
			answered = l.of.answered
		}
		visit(l, answered)
	})
}

// latest visits the rows of accounts_latest that a selected run left.
func (a *accountTotals) latest(selected func(run string) bool, visit func(*line)) {
	for _, rows := range a.lines {
		if selected(rows.run) {
			for i := range rows.rows {
				visit(&rows.rows[i])
			}
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
		of            *identity
	}
	names := map[key]string{}
	a.latest(func(string) bool { return true }, func(l *line) {
		if a.hasEvents(l.of, events) {
			k := key{l.file, l.account, l.of}
			names[k] = max(names[k], cmp.Or(l.entity, l.of.name, l.name))
		}
	})
	t := top[lineEvents]{limit: maxAccounts, compare: compareLines}
	for k, name := range names {
		e := lineEvents{file: k.file, account: k.account, name: name, object: k.of.object, kind: k.of.kind, identifier: k.of.text, newest: noDay}
		for _, id := range a.idsOf(k.of) {
			e.add(events.entities[entityKey(k.of.object, id)])
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

func (a *accountTotals) hasEvents(of *identity, events *eventTotals) bool {
	return of != nil && slices.ContainsFunc(a.idsOf(of), func(id string) bool { return events.entities[entityKey(of.object, id)] != nil })
}

// idsOf are the ids that the entity of an identifier had.
func (a *accountTotals) idsOf(of *identity) []string {
	if len(a.aliases) == 0 {
		return of.ids
	}
	ids := slices.Clone(of.ids)
	for _, id := range of.ids {
		for _, alias := range a.aliases[entityKey(of.object, id)] {
			if !slices.Contains(ids, alias) {
				ids = append(ids, alias)
			}
		}
	}
	return ids
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
