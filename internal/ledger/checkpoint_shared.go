package ledger

import (
	"encoding/json"

	"github.com/siglake/siglake/pipeline"
)

// sharedSettings are what the specs of many runs have in common: a night differs from the one before in
// little more than its days. A checkpoint has each value once, and the runs that are opened from it share
// it. Nobody changes the settings of a run that has begun.
type sharedSettings struct {
	Settings []map[string]string `json:"settings"`
	Tariffs  []pipeline.Tariff   `json:"tariffs"`
	Lateness []map[string]int    `json:"lateness"`
	Versions []map[string]string `json:"versions"`
	Queries  []pipeline.Query    `json:"queries"` // without their windows
}

// sharedPlaces are the places of a run's settings in sharedSettings.
type sharedPlaces struct {
	Settings int           `json:"settings"`
	Tariff   int           `json:"tariff"`
	Lateness int           `json:"lateness"`
	Versions int           `json:"versions"`
	Queries  []queryPlaces `json:"queries"`
}

// queryPlaces is a query of a run, with its window.
type queryPlaces struct {
	Query int    `json:"query"`
	Since string `json:"since,omitempty"`
	Until string `json:"until,omitempty"`
}

// sharer fills sharedSettings in.
type sharer struct {
	shared *sharedSettings
	places map[string]int // by kind and JSON
}

func newSharer(s *sharedSettings) *sharer { return &sharer{s, map[string]int{}} }

// shareValue is the place of a value among those of its kind, to which it is added if it is new.
func shareValue[T any](s *sharer, kind string, values *[]T, v T) int {
	text, _ := json.Marshal(v) // what was read from a record can be written
	key := kind + string(text)
	place, known := s.places[key]
	if !known {
		place = len(*values)
		s.places[key], *values = place, append(*values, v)
	}
	return place
}

// divide divides the spec of a run into what is its own and the places of what is shared.
func (s *sharer) divide(spec pipeline.RunSpec) (own pipeline.RunSpec, places sharedPlaces) {
	places = sharedPlaces{
		Settings: shareValue(s, "settings", &s.shared.Settings, spec.Settings),
		Tariff:   shareValue(s, "tariff", &s.shared.Tariffs, spec.Tariff),
		Lateness: shareValue(s, "lateness", &s.shared.Lateness, spec.Lateness),
		Versions: shareValue(s, "versions", &s.shared.Versions, spec.Versions),
	}
	if spec.Queries != nil {
		places.Queries = make([]queryPlaces, 0, len(spec.Queries))
	}
	for _, q := range spec.Queries {
		p := queryPlaces{Since: q.Since, Until: q.Until}
		q.Since, q.Until = "", ""
		p.Query = shareValue(s, "query", &s.shared.Queries, q)
		places.Queries = append(places.Queries, p)
	}
	spec.Settings, spec.Tariff, spec.Lateness, spec.Versions, spec.Queries = nil, pipeline.Tariff{}, nil, nil, nil
	return spec, places
}

// restore completes the spec of a run. It reports whether its places exist.
func (s *sharedSettings) restore(spec *pipeline.RunSpec, at *sharedPlaces) bool {
	ok := find(s.Settings, at.Settings, &spec.Settings) && find(s.Tariffs, at.Tariff, &spec.Tariff) &&
		find(s.Lateness, at.Lateness, &spec.Lateness) && find(s.Versions, at.Versions, &spec.Versions)
	if at.Queries != nil {
		spec.Queries = make([]pipeline.Query, len(at.Queries))
	}
	for i, p := range at.Queries {
		ok = ok && find(s.Queries, p.Query, &spec.Queries[i])
		spec.Queries[i].Since, spec.Queries[i].Until = p.Since, p.Until
	}
	return ok
}

// find copies the value at a place; false: there is none.
func find[T any](values []T, place int, to *T) bool {
	if place < 0 || place >= len(values) {
		return false
	}
	*to = values[place]
	return true
}
