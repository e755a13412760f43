package lusha

import (
	"encoding/json"
	"fmt"

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

// add adds one element. Elements that are no objects are kept among the unknown fields:
// no table has a place for them.
func (l eventList) add(value json.RawMessage, note string) {
	switch value[0] {
	case '{':
		l.reply.Events = append(l.reply.Events, pipeline.RawEvent{Type: l.key, Raw: value, Note: note})
	case 'n':
	default:
		l.unknown.Add(l.name, value)
		l.reply.Warnings = appendWarning(l.reply.Warnings, "%s holds something that is no event; kept as an extra field", truncateText(l.key, 80))
	}
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
