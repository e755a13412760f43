package signals

import (
	"encoding/json"
	"html"
	"slices"
	"strings"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// beside sets apart the events that a question's sub-filters do not let through
// and that V3 was not asked to filter. They are paid for, so none is dropped,
// and one that cannot be judged stays.
func beside(q *pipeline.Query, r *pipeline.ItemReply) {
	if q.SendFilters || len(q.NewsEventTypes)+len(q.HiringDepartments)+len(q.HiringLocations) == 0 {
		return
	}
	var in []pipeline.RawEvent
	for i, e := range r.Events {
		if passes(q, &r.Events[i]) {
			in = append(in, e)
		} else {
			r.Beside = append(r.Beside, e)
		}
	}
	if r.Events = in; len(in) == 0 && len(r.Beside) > 0 {
		r.Status = schema.NoSignal
		r.Notes = note(r.Notes, "the filters let none of its events through (%d); they are paid for all the same", len(r.Beside))
	}
}

// passes reports whether an event is let through, or cannot be judged.
func passes(q *pipeline.Query, e *pipeline.RawEvent) bool {
	switch {
	case len(q.NewsEventTypes) > 0 && isNews(e.Type):
		kind := traits(e.Raw, "eventType")[0]
		return kind == "" || slices.ContainsFunc(q.NewsEventTypes, func(w string) bool { return alike(w, kind) })
	case len(q.HiringDepartments) > 0 && e.Type == "surgeInHiringByDepartment":
		department := traits(e.Raw, "department")[0]
		return department == "" || slices.ContainsFunc(q.HiringDepartments, func(w string) bool { return inDepartment(w, department) })
	case len(q.HiringLocations) > 0 && e.Type == "surgeInHiringByLocation":
		place := traits(e.Raw, "country", "state")
		return place[0] == "" || slices.ContainsFunc(q.HiringLocations, func(w pipeline.Location) bool {
			return alike(w.Country, place[0]) && (w.State == "" || place[1] == "" || alike(w.State, place[1]))
		})
	}
	return true
}

// traits reads texts of an event; empty where there is none. Answers are said
// to hold HTML entities.
func traits(event json.RawMessage, names ...string) []string {
	out := make([]string, len(names))
	c := cursor{doc: event}
	c.open('{')
	for first := true; c.more(first, '}'); first = false {
		at := slices.Index(names, string(c.name()))
		value := c.value()
		if at < 0 || c.err != nil {
			continue
		}
		text, _ := textOf(value)
		out[at] = strings.TrimSpace(html.UnescapeString(text))
	}
	return out
}

func alike(wanted, stated string) bool { return strings.EqualFold(strings.TrimSpace(wanted), stated) }

// inDepartment compares a department with a wanted one. Answers do not keep to
// the vocabulary: what is outside it is the wanted one, too, when either name
// holds every word of the other, as "Engineering" and "Engineering & Technical".
func inDepartment(wanted, stated string) bool {
	if alike(wanted, stated) {
		return true
	}
	if slices.ContainsFunc(schema.Departments, func(d string) bool { return alike(d, stated) }) {
		return false
	}
	one, two := words(wanted), words(stated)
	return holds(one, two) || holds(two, one)
}

func words(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return r == ' ' || r == '&' || r == ',' || r == '/' })
}

func holds(all, some []string) bool {
	return len(some) > 0 && !slices.ContainsFunc(some, func(w string) bool { return !slices.Contains(all, w) })
}
