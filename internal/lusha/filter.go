package lusha

import (
	"encoding/json"
	"html"
	"slices"
	"strings"

	"github.com/siglake/siglake/internal/jsonscan"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// filterEvents moves the events that the query's sub-filters reject, and that V3 was
// not asked to filter, to Filtered. They are paid for, so none is dropped, and an
// event that cannot be judged stays.
func filterEvents(q *pipeline.Query, r *pipeline.ItemReply) {
	ask, _ := q.Ask.(pipeline.SignalsAsk)
	if ask.SendFilters || len(ask.NewsEventTypes)+len(ask.HiringDepartments)+len(ask.HiringLocations) == 0 {
		return
	}
	var passing []pipeline.RawEvent
	for i, e := range r.Events {
		if passesFilters(&ask.Filters, &r.Events[i]) {
			passing = append(passing, e)
		} else {
			r.Filtered = append(r.Filtered, e)
		}
	}
	if r.Events = passing; len(passing) == 0 && len(r.Filtered) > 0 {
		r.Status = schema.NoSignal
		r.Warnings = appendWarning(r.Warnings, "the filters let none of its events through (%d); they are paid for all the same", len(r.Filtered))
	}
}

// passesFilters reports whether an event is let through, or cannot be judged.
func passesFilters(f *pipeline.Filters, e *pipeline.RawEvent) bool {
	switch {
	case len(f.NewsEventTypes) > 0 && isNews(e.Type):
		kind := eventTexts(e.Raw, "eventType")[0]
		return kind == "" || slices.ContainsFunc(f.NewsEventTypes, func(w string) bool { return equalFold(w, kind) })
	case len(f.HiringDepartments) > 0 && e.Type == "surgeInHiringByDepartment":
		department := eventTexts(e.Raw, "department")[0]
		return department == "" || slices.ContainsFunc(f.HiringDepartments, func(w string) bool { return matchesDepartment(w, department) })
	case len(f.HiringLocations) > 0 && e.Type == "surgeInHiringByLocation":
		place := eventTexts(e.Raw, "country", "state")
		return place[0] == "" || slices.ContainsFunc(f.HiringLocations, func(w pipeline.Location) bool {
			return equalFold(w.Country, place[0]) && (w.State == "" || place[1] == "" || equalFold(w.State, place[1]))
		})
	}
	return true
}

// eventTexts reads texts of an event; empty where there is none. Answers are said
// to hold HTML entities.
func eventTexts(event json.RawMessage, names ...string) []string {
	out := make([]string, len(names))
	c := jsonscan.Cursor{Doc: event}
	c.Enter('{')
	for first := true; c.HasNext(first, '}'); first = false {
		index := slices.Index(names, string(c.ReadName()))
		value := c.ReadValue()
		if index < 0 || c.Err != nil {
			continue
		}
		text, _ := jsonscan.ScalarText(value)
		out[index] = strings.TrimSpace(html.UnescapeString(text))
	}
	return out
}

func equalFold(wanted, stated string) bool {
	return strings.EqualFold(strings.TrimSpace(wanted), stated)
}

// matchesDepartment compares a department with a wanted one. Answers do not keep to
// the vocabulary: what is outside it is the wanted one, too, when either name
// holds every word of the other, as "Engineering" and "Engineering & Technical".
func matchesDepartment(wanted, stated string) bool {
	if equalFold(wanted, stated) {
		return true
	}
	if slices.ContainsFunc(schema.Departments, func(d string) bool { return equalFold(d, stated) }) {
		return false
	}
	wantedWords, statedWords := splitWords(wanted), splitWords(stated)
	return containsAll(wantedWords, statedWords) || containsAll(statedWords, wantedWords)
}

func splitWords(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return r == ' ' || r == '&' || r == ',' || r == '/' })
}

func containsAll(all, some []string) bool {
	return len(some) > 0 && !slices.ContainsFunc(some, func(w string) bool { return !slices.Contains(all, w) })
}
