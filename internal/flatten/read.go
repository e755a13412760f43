package flatten

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/siglake/siglake/internal/jsonscan"
	"github.com/siglake/siglake/schema"
)

// begin begins with another row.
func (f *Flattener) begin(k *kind, e *schema.Event, topic []byte) {
	f.kind, f.event, f.topic = k, e, topic
	f.notes = notes{list: f.notes.list[:0], whole: f.Version < 3}
	f.plain = bytes.IndexByte(e.Raw, '\\') < 0 && bytes.IndexByte(topic, '\\') < 0
	f.reset(f.rows, len(k.layout.table.Columns))
	f.BeginRow(e.Raw, k.shared.of(f, k, e))
	f.valid = utf8.Valid(e.Raw) && utf8.Valid(topic)
	f.content.begin(f.Version >= 3 && e.Origin == nil, topic != nil, e.Entity.Object)
}

// readRecord fills the columns for the members of a record, or of an object in it. A member that cannot
// be typed leaves its column null and adds a note.
func (f *Flattener) readRecord(raw []byte, set *fieldSet) {
	pos := skipSpace(raw, 0)
	if pos == len(raw) || raw[pos] != '{' {
		return
	}
	previous := set.start
	for pos = skipSpace(raw, pos+1); pos < len(raw) && raw[pos] == '"'; pos = skipSpace(raw, pos+1) {
		m, from := f.fieldAt(raw, pos, set, previous)
		to := f.valueEnd(raw, from)
		if to == from {
			return
		}
		f.readMember(m, raw[from:to])
		previous = m.id
		if pos = skipSpace(raw, to); pos == len(raw) || raw[pos] != ',' {
			return
		}
	}
}

// fieldAt finds the field whose name stands at a position, and where its value begins. Most often it is
// the one that followed the previous field the last time.
func (f *Flattener) fieldAt(raw []byte, pos int, set *fieldSet, previous int) (m *field, value int) {
	guesses := f.guesses[f.kind.table]
	if m = guesses[previous]; m != nil && len(raw)-pos > len(m.quoted) && string(raw[pos:pos+len(m.quoted)]) == m.quoted {
		return m, skipSpace(raw, pos+len(m.quoted))
	}
	end := f.valueEnd(raw, pos)
	name := f.text(raw[pos:end])
	if m = set.byName[string(name)]; m == nil {
		m = f.unknownField(set, name)
	}
	f.guesses[f.kind.table][previous] = m
	if end = skipSpace(raw, end); end == len(raw) || raw[end] != ':' {
		return m, len(raw)
	}
	return m, skipSpace(raw, end+1)
}

// unknownField is a field that the schema does not know.
func (f *Flattener) unknownField(set *fieldSet, name []byte) *field {
	table := f.kind.table
	f.name = append(append(append(f.name[:0], set.prefix...), 0), name...)
	if m := f.unknown[table][string(f.name)]; m != nil {
		return m
	}
	m := newField(set, string(name))
	f.kind.placeFact(m)
	if len(f.unknown[table]) == maxRemembered {
		m.id = set.start // it is not remembered
		return m
	}
	m.id = len(f.guesses[table])
	f.guesses[table] = append(f.guesses[table], nil)
	f.unknown[table][string(f.name)] = m
	return m
}

// readMember fills the columns that read a field.
func (f *Flattener) readMember(m *field, val []byte) {
	isObject := val[0] == '{' && m.nested != nil
	if m.nested != nil && !jsonscan.IsNull(val) {
		if !isObject && len(m.targets) == 0 {
			f.notes.add(fmt.Sprintf("%s: not an object: %s", m.name, truncate(jsonscan.Text(val), 60)))
		}
		f.readRecord(val, m.nested)
	}
	stated := !isObject && f.content.counts(m) // of an object, its members are stated
	if len(m.targets) == 0 {
		if stated {
			f.content.add(m, f.plainText(val))
		}
		f.noteField(m, val)
		return
	}
	for i := range m.targets {
		t := &m.targets[i]
		taken := f.isTaken(t.column, t.rank)
		if taken && (i > 0 || !stated) {
			continue
		}
		v := f.parse(t.Column, val)
		if i == 0 && stated {
			f.content.add(m, f.factText(t.Column, val, &v))
		}
		if taken {
			continue
		}
		if v.problem != "" {
			f.notes.add(fmt.Sprintf("%s: %s", m.path, v.problem))
			f.noteProblem(t, m.path, val, v.problem)
		}
		switch {
		case !v.set:
		case t.Type == schema.String:
			f.setText(t.column, v.text, t.rank)
		default:
			f.setInt(t.column, v.n, t.rank)
		}
	}
}

// maxNotes is the number of notes that a row lists. A record may repeat a member any number of times.
const maxNotes = 20

// notes are what a row says of its record.
type notes struct {
	list  []string
	whole bool // it lists all, as the rows of versions of the schema before 3 do
	cut   int  // further notes
}

func (n *notes) add(text string) {
	if len(n.list) >= maxNotes && !n.whole {
		n.cut++
		return
	}
	n.list = append(n.list, text)
}

// text is the text of the notes.
func (n *notes) text() string {
	text := strings.Join(n.list, "; ")
	if n.cut > 0 {
		text += fmt.Sprintf("; and %d more", n.cut)
	}
	return text
}

// skipSpace is the position of the next byte that is no white space; the length of raw if there is none.
func skipSpace(raw []byte, pos int) int {
	for pos < len(raw) && raw[pos] <= ' ' && (raw[pos] == ' ' || raw[pos] == '\t' || raw[pos] == '\r' || raw[pos] == '\n') {
		pos++
	}
	return min(pos, len(raw))
}

// valueEnd is the end of the value at a position; the position itself if there is none.
func (t *texts) valueEnd(raw []byte, pos int) int {
	if pos >= len(raw) {
		return pos
	}
	switch raw[pos] {
	case '"':
		if t.plain {
			return pos + 2 + bytes.IndexByte(raw[pos+1:], '"')
		}
		return pos + jsonscan.ValueLength(raw[pos:])
	case '{', '[':
		return pos + jsonscan.ValueLength(raw[pos:])
	}
	end := pos
	for end < len(raw) && !endsScalar[raw[end]] {
		end++
	}
	return end
}

// endsScalar marks the bytes behind a number or a literal.
var endsScalar = [256]bool{',': true, '}': true, ']': true, ' ': true, '\t': true, '\r': true, '\n': true}

// text is the content of a JSON string; of any other scalar it is its spelling.
func (t *texts) text(raw []byte) []byte {
	if len(raw) < 2 || raw[0] != '"' {
		return raw
	}
	inner := raw[1 : len(raw)-1]
	if (t.plain || bytes.IndexByte(inner, '\\') < 0) && (t.valid || utf8.Valid(inner)) {
		return inner
	}
	if t.valid {
		start := len(t.arena)
		t.arena = jsonscan.AppendText(t.arena, inner)
		return t.since(start)
	}
	return t.keep(jsonscan.Text(raw))
}
