package ledger

import (
	"encoding/json"
	"time"

	"github.com/siglake/siglake/pipeline"
)

// sharedSpecs are what the specs of many runs have in common: a night differs from the one before in
// little more than its days. A checkpoint has each value once, and the runs that are opened from it share
// it. The settings of a run that has begun do not change.
type sharedSpecs struct {
	Specs    []pipeline.RunSpec `json:"specs"` // without what is in an ownSpec
	Lateness []map[string]int   `json:"lateness"`
}

// ownSpec is what the spec of a run does not share, with the places of what it shares.
type ownSpec struct {
	ID          string               `json:"run"`
	Session     int                  `json:"session"`
	Started     time.Time            `json:"started"`
	Command     string               `json:"command,omitempty"`
	Input       string               `json:"input,omitempty"`
	ListRecords int64                `json:"list_records,omitempty"`
	Used        *int64               `json:"used,omitempty"`
	Continues   string               `json:"continues,omitempty"`
	Rereads     string               `json:"rereads,omitempty"`
	Inbox       *pipeline.InboxRange `json:"inbox,omitempty"`
	Windows     [][2]string          `json:"windows,omitempty"` // of its queries
	Spec        int                  `json:"spec"`
	Lateness    int                  `json:"lateness"`
}

// sharer finds the places of values that are shared, by kind and JSON.
type sharer map[string]int

func newSharer() *sharer { return &sharer{} }

// shareValue is the place of a value among those of its kind, to which it is added if it is new.
func shareValue[T any](s *sharer, kind string, values *[]T, v T) int {
	text, _ := json.Marshal(v) // what was read from a record can be written
	key := kind + string(text)
	place, known := (*s)[key]
	if !known {
		place = len(*values)
		(*s)[key], *values = place, append(*values, v)
	}
	return place
}

// divide adds what the spec of a run shares to the others', and returns the rest.
func (s *sharedSpecs) divide(places *sharer, spec pipeline.RunSpec) ownSpec {
	own := ownSpec{
		ID: spec.ID, Session: spec.Session, Started: spec.Started, Command: spec.CommandDigest, Input: spec.Input,
		ListRecords: spec.ListRecords, Used: spec.UsedCredits, Continues: spec.Continues, Rereads: spec.Rereads, Inbox: spec.Inbox,
		Lateness: shareValue(places, "lateness", &s.Lateness, spec.Lateness),
	}
	var queries []pipeline.Query
	if spec.Queries != nil {
		queries = []pipeline.Query{}
	}
	for _, q := range spec.Queries {
		own.Windows = append(own.Windows, [2]string{q.Since, q.Until})
		q.Since, q.Until = "", ""
		queries = append(queries, q)
	}
	spec.ID, spec.Session, spec.Started, spec.CommandDigest, spec.Input = "", 0, time.Time{}, "", ""
	spec.ListRecords, spec.UsedCredits, spec.Continues, spec.Rereads = 0, nil, "", ""
	spec.Lateness, spec.Inbox, spec.Queries = nil, nil, queries
	own.Spec = shareValue(places, "spec", &s.Specs, spec)
	return own
}

// restore is the spec of a run; false: its parts do not exist.
func (s *sharedSpecs) restore(own *ownSpec) (spec pipeline.RunSpec, ok bool) {
	if own.Spec < 0 || own.Spec >= len(s.Specs) || own.Lateness < 0 || own.Lateness >= len(s.Lateness) {
		return spec, false
	}
	spec = s.Specs[own.Spec]
	if len(spec.Queries) != len(own.Windows) {
		return spec, false
	}
	spec.Lateness, spec.Queries = s.Lateness[own.Lateness], append(spec.Queries[:0:0], spec.Queries...)
	for i, w := range own.Windows {
		spec.Queries[i].Since, spec.Queries[i].Until = w[0], w[1]
	}
	spec.ID, spec.Session, spec.Started, spec.CommandDigest, spec.Input = own.ID, own.Session, own.Started, own.Command, own.Input
	spec.ListRecords, spec.UsedCredits, spec.Continues, spec.Rereads = own.ListRecords, own.Used, own.Continues, own.Rereads
	spec.Inbox = own.Inbox
	return spec, true
}

// sharedQueries are queries that differ in more than their windows. The runs that are opened from a
// checkpoint share them.
type sharedQueries []pipeline.Query

// checkpointQuery is a query of a ledger by its number, with the place of what it shares.
type checkpointQuery struct {
	Number int    `json:"n"`
	Shared int    `json:"q"`
	Since  string `json:"s,omitempty"`
	Until  string `json:"u,omitempty"`
}

// divide adds what a query shares to the others', and returns the rest.
func (s *sharedQueries) divide(places *sharer, number int, q pipeline.Query) checkpointQuery {
	own := checkpointQuery{Number: number, Since: q.Since, Until: q.Until}
	q.Since, q.Until = "", ""
	own.Shared = shareValue(places, "query", (*[]pipeline.Query)(s), q)
	return own
}

// restore is the query; false: its parts do not exist.
func (s sharedQueries) restore(own *checkpointQuery) (*pipeline.Query, bool) {
	if own.Shared < 0 || own.Shared >= len(s) {
		return nil, false
	}
	q := s[own.Shared]
	q.Since, q.Until = own.Since, own.Until
	return &q, true
}
