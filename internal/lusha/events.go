package lusha

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/siglake/siglake/internal/jsonscan"
	"github.com/siglake/siglake/pipeline"
)

// eventList collects the events that an entry holds under one signal type. Documented is
// a list of objects.
type eventList struct {
	*entry
	key  string // the signal type
	name []byte // as the answer spells it
}

// readEvents reads a list of events, element by element.
func (a *answer) readEvents(l eventList) {
	a.Enter('[')
	for first := true; a.HasNext(first, ']'); first = false {
		start := a.Offset()
		if value := a.ReadValue(); a.Err == nil {
			l.add(value, repairNote(a.CountRepairs(start)))
		}
	}
}

// addAll adds what stands in the place of the list: an object of events, one event, or a
// text that holds events. It reports whether the value is one of them.
func (l eventList) addAll(value json.RawMessage, note string) bool {
	switch {
	case string(value) == "{}":
		l.warn("%s is an empty object; read as no event")
	case value[0] == '{':
		if !isEventMap(value) {
			l.warn("%s is one object; read as a list of one")
		}
		l.add(value, note)
	case embedded(value) != nil:
		l.add(value, note)
	default:
		return false
	}
	return true
}

// add adds one element of the list. Besides an event that may be a list, an object of
// events as PHP writes a list with gaps, and a text that holds one of these: what is
// meant is read. Any other element is kept among the unknown fields: no table has a
// place for it.
func (l eventList) add(value json.RawMessage, note string) {
	switch inner := embedded(value); {
	case isPlainEvent(value):
		l.addEvent(value, note)
	case inner != nil:
		l.warn("%s holds events as texts; the texts were read")
		l.add(inner, joinNotes(note, "received as a text"))
	case value[0] == '{' && isEventMap(value):
		l.warn("%s is an object of events; read as a list")
		for _, event := range jsonscan.Members(value) {
			l.add(event, joinNotes(note, "received in an object"))
		}
	case value[0] == '{':
		l.addEvent(value, note)
	case value[0] == '[':
		l.warn("%s holds a list in a list; read as one list")
		for event := range jsonscan.Elements(value) {
			l.add(event, joinNotes(note, "received in an inner list"))
		}
	case value[0] == 'n':
	default:
		l.unknown.Add(l.name, value)
		l.warn("%s holds something that is no event; kept as an extra field")
	}
}

// addEvent adds an event.
func (l eventList) addEvent(value json.RawMessage, note string) {
	if l.reply.Events == nil {
		l.reply.Events = make([]pipeline.RawEvent, 0, max(l.expected, 1))
	}
	l.reply.Events = append(l.reply.Events, pipeline.RawEvent{Type: l.key, Raw: slices.Clip(value), Note: note})
}

func (l eventList) warn(format string) {
	l.reply.Warnings = appendWarning(l.reply.Warnings, format, truncateText(l.key, 80))
}

// joinNotes adds a note to those that there are, once.
func joinNotes(notes, note string) string {
	switch {
	case notes == "":
		return note
	case strings.Contains(notes, note):
		return notes
	}
	return notes + "; " + note
}

// isEventMap reports whether an object is a list in the form of an object, such as
// {"0": {…}, "2": {…}} or {"items": [{…}]}: it holds objects and lists only, under
// numbers, or each of them an event.
func isEventMap(object json.RawMessage) bool {
	n := 0
	for key, value := range jsonscan.Members(object) {
		inner := json.RawMessage(value)
		if text := embedded(inner); text != nil {
			inner = text
		}
		switch {
		case jsonscan.IsNull(inner):
			continue
		case inner[0] != '{' && inner[0] != '[':
			return false
		case !isNumber(key) && !(inner[0] == '{' && hasEventMarker(inner)) && !(inner[0] == '[' && looksLikeEvents(inner)):
			return false
		}
		n++
	}
	return n > 0
}

// isPlainEvent reports whether a value surely is an event: an object whose first member is a number, a
// literal or a text that holds no JSON.
func isPlainEvent(value json.RawMessage) bool {
	c := jsonscan.Cursor{Doc: value}
	if c.PeekByte() != '{' {
		return false
	}
	c.Enter('{')
	if !c.HasNext(true, '}') {
		return false
	}
	c.ReadName()
	switch b := c.PeekByte(); b {
	case '"':
		b = value[c.Offset()+1]
		return b == '"' || b > ' ' && b != '{' && b != '[' && b != '\\' && b < utf8.RuneSelf
	case 'n', '{', '[':
		return false
	}
	return true
}

func isNumber(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}

// hasEventMarker reports whether an object has a member that only events have.
func hasEventMarker(object json.RawMessage) bool {
	for name := range jsonscan.Members(object) {
		if slices.Contains(eventMarkers, name) {
			return true
		}
	}
	return false
}

// embedded returns the object or list that a JSON string holds as its text; nil if it
// holds none. A text within the text stays one: every level may double the backslashes.
func embedded(value json.RawMessage) json.RawMessage {
	if len(value) < 4 || value[0] != '"' {
		return nil
	}
	text := strings.TrimSpace(jsonscan.Text(value))
	if text == "" || text[0] != '{' && text[0] != '[' {
		return nil
	}
	c := jsonscan.NewCursor([]byte(text))
	inner := c.ReadValue()
	if c.ExpectEnd(); c.Err != nil {
		return nil
	}
	return inner
}

// repairNote describes the repairs of a value; empty if there are none.
func repairNote(places int) string {
	switch places {
	case 0:
		return ""
	case 1:
		return "one place is not valid JSON; repaired"
	}
	return fmt.Sprintf("%d places are not valid JSON; repaired", places)
}
