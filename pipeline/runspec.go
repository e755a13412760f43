package pipeline

import (
	"time"

	"github.com/siglake/siglake/schema"
)

// RunSpec says what a run is: what it requests, and under which terms. It is filled once, from
// what the user asks for and what the API offers. The ledger stores it as it is, so its JSON form
// never changes; the manifest holds what its readers need, in a RunInfo.
type RunSpec struct {
	ID      string    `json:"run"`     // names the run's files and rows: letters, digits, '-'
	Session int       `json:"session"` // 1 for the process that began it
	Started time.Time `json:"started"` // of the session
	// Digest of the input and of every setting that affects purchases: two runs with the same
	// digest request the same.
	CommandDigest string            `json:"command"`
	Settings      map[string]string `json:"settings"`
	Input         string            `json:"input"` // SHA-256 of the list's bytes
	URI           string            `json:"uri"`   // of the list
	// Records of the list, as counted before it was read; 0: not counted.
	ListRecords int64   `json:"list_records,omitempty"`
	Endpoint    string  `json:"endpoint"`
	Queries     []Query `json:"queries"`
	Budget      int64   `json:"budget,omitempty"` // credits; 0 for none
	// The job of a job file that began it.
	Job string `json:"job,omitempty"`
	Tariff
	// Credits the account had used when the run began; absent: not known.
	UsedCredits *int64        `json:"used,omitempty"`
	PositiveTTL time.Duration `json:"resolve_hits_ns,omitempty"`   // validity of search results with an id; 0: the default
	NegativeTTL time.Duration `json:"resolve_misses_ns,omitempty"` // and without one
	Continues   string        `json:"continues,omitempty"`         // the run that left the lines which this one requests
	Rereads     string        `json:"rereads,omitempty"`           // the run with the calls that this one read again, without a request
	APIChoice   string        `json:"api_choice,omitempty"`        // which API version, and why
	Simulated   bool          `json:"simulated,omitempty"`         // the answers are from the embedded simulator
	Refresh     bool          `json:"refresh,omitempty"`           // what was bought before is bought again
	// The key of its event partitions: schema.ByMonth (default) or schema.ByDay.
	Partition string `json:"partition,omitempty"`
	// The part of the inbox of webhooks that the run publishes; nil: it requests something.
	Inbox *InboxRange `json:"inbox,omitempty"`
	// How many days after its date an event is expected at most, by signal type; absent: not known.
	Lateness map[string]int    `json:"lateness,omitempty"`
	Versions map[string]string `json:"versions,omitempty"` // of the components
}

// InboxRange is a part of the inbox of webhooks: the deliveries from one position up to another one, which
// is not included. An empty From is the beginning.
type InboxRange struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// info is the part of the spec that the manifest holds.
func (s *RunSpec) info() RunInfo {
	info := RunInfo{
		ID: s.ID, Started: s.Started.UTC(), Endpoint: s.Endpoint, APIChoice: s.APIChoice,
		Continues: s.Continues, Simulated: s.Simulated, SinceLast: s.SinceLast(), Inbox: s.Inbox,
	}
	if s.Rereads != "" {
		info.Kind, info.Continues = RereadGeneration, s.Rereads
	}
	return info
}

// SinceLast reports whether the run asks for what the lake does not have, and not for one window.
func (s *RunSpec) SinceLast() bool { return s.Settings["since"] == "last" }

// PartitionKey is the key of the run's event partitions.
func (s *RunSpec) PartitionKey() string { return orString(s.Partition, schema.ByMonth) }
