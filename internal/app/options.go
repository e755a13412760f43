package app

import (
	"time"

	"github.com/siglake/siglake/pipeline"
)

// RunOptions are everything that decides what a run does.
type RunOptions struct {
	Command string // for the lock of the lake
	Service pipeline.Service
	Lake    string
	List    string

	Query  QueryOptions
	Pages  PageOptions
	Source ListOptions
	Nights NightOptions
	Money  MoneyOptions
	TTL    TTLOptions
	API    APIOptions
	Work   WorkOptions
	Store  StoreOptions

	// ResumeRunID names the run that must be continued. Empty: any, or a new one.
	ResumeRunID string
	// Demo runs a sample list: what it buys, and in which API version, is not announced.
	Demo bool
}

// QueryOptions say what to ask about every entity; together they decide the bill.
type QueryOptions struct {
	Signals           []string
	Since             string // DATE, AGE or last
	SinceSet          bool
	MaxResults        int
	NewsEventTypes    []string
	HiringDepartments []string
	HiringLocations   []string
	IntentCategories  []string
	SendFilters       bool
	APIVersion        string // auto, v2 or v3; empty: of a command that has no choice
}

// PageOptions say what is asked page by page, and how far.
type PageOptions struct {
	Exclude  string   // list of those that must not be returned
	Sites    []string // visited sites to ask about
	Limit    int      // results in all; 0: all there are
	PageSize int
}

// ListOptions say how a list is read.
type ListOptions struct {
	Map       []string // FIELD=COLUMN
	Keep      []string // columns whose cells accounts.extra gets, or all
	Object    string
	Header    string
	Delimiter string
	Encoding  string
	Sheet     string // of a workbook: a name or number
	// StrictFiles refuses a folder with a file that is no list.
	StrictFiles bool

	// The part of the list that is read, as ParseShard writes it; empty: all of it.
	Shard string

	Sample     int // lines that are drawn at random; 0: all are read
	SampleSeed uint64

	AllowRejected string // N or N%; empty: none
}

// MoneyOptions say what may be bought.
type MoneyOptions struct {
	MaxCredits    string // a number, or unlimited
	MaxCreditsSet bool   // even to nothing
	// Caps on what the runs of a day or month cost together, as MaxCredits: those of Job, or of
	// the lake if there is none; and of the lake in any case.
	MaxPerDay, MaxPerMonth         string
	MaxLakePerDay, MaxLakePerMonth string
	Job                            string // the job of a job file that the run is for
	Unattended                     bool
	NewRun                         bool
	Refresh                        bool
	InDoubt                        string // policy for calls in doubt
	InDoubtBudget                  string
	ClockSkewOK                    bool // run although the clock differs from the API's
}

// TTLOptions say how long ids count that were bought.
type TTLOptions struct {
	Positive, Negative       string // AGE
	PositiveSet, NegativeSet bool
}

// WorkOptions say how a run works.
type WorkOptions struct {
	Concurrency int
	BatchSize   int
	// AnswerMemory is a size; empty: a part of StoreOptions.Memory.
	AnswerMemory string
	PartitionBy  string // month or day; empty: as the lake does it
	// What to do when answers differ from what the schema knows: a pipeline.Contract; empty: evolve.
	Contract    string
	ContractSet bool // even to the default
}

// APIOptions say where the API is and how hard it may be asked.
type APIOptions struct {
	KeyFile string
	// InsecureKeyFile accepts a KeyFile that other users can read or change.
	InsecureKeyFile bool

	BaseURL  string
	Plan     string
	Rate     float64
	Reserve  float64
	QuotaDir string
	// Where all hosts that name it share the rate windows of a key: s3://bucket/prefix; empty: they do not.
	Quota   string
	S3      S3Options // to reach Quota
	MaxWait time.Duration
	Timeout time.Duration

	Simulate bool   // an embedded simulator is the API
	Seed     uint64 // of its world
}

// StoreOptions say where things are kept.
type StoreOptions struct {
	Scratch string
	State   string
	S3      S3Options

	// AfterPublish is the command line that follows a publication; empty: none.
	AfterPublish string

	// Memory of the whole command, as a size; empty: as much as the process may take.
	Memory string

	// DeltaIntegers allows an encoding of integers that old readers do not read.
	DeltaIntegers bool
}

// S3Options say how S3 is reached and how objects are kept there.
type S3Options struct {
	Endpoint     string
	Region       string
	PathStyle    bool
	Profile      string
	Role         string
	ExternalID   string
	Encryption   string
	KMSKey       string
	StorageClass string
	PartSize     string
	Checksum     string // empty: as the SDK's variables say, else by the store
}

// MaxResultsLimit is the highest --max-results that the API takes.
const MaxResultsLimit = 100

// DefaultQuery has the default values of the flags that fill in QueryOptions.
func DefaultQuery() QueryOptions {
	return QueryOptions{Since: "90d", MaxResults: 10, APIVersion: APIAuto}
}

// DefaultList has the default values of the flags that fill in ListOptions.
func DefaultList() ListOptions {
	return ListOptions{Object: "auto", Header: "auto", Delimiter: "auto", Encoding: "auto", SampleSeed: 1}
}

// DefaultMoney has the default values of the flags that fill in MoneyOptions.
func DefaultMoney() MoneyOptions { return MoneyOptions{InDoubt: inDoubtHold} }

// DefaultTTL has the default values of the flags that fill in TTLOptions.
func DefaultTTL() TTLOptions { return TTLOptions{Positive: "30d", Negative: "7d"} }

// DefaultWork has the default values of the flags that fill in WorkOptions.
func DefaultWork() WorkOptions {
	return WorkOptions{Concurrency: 8, BatchSize: pipeline.MaxBatch, Contract: string(pipeline.Evolve)}
}

// DefaultAPI has the default values of the flags that fill in APIOptions.
func DefaultAPI() APIOptions {
	return APIOptions{BaseURL: "https://api.lusha.com", Plan: "scale", Rate: 25, MaxWait: 15 * time.Minute, Timeout: 60 * time.Second}
}

// DefaultStore has the default values of the flags that fill in StoreOptions.
func DefaultStore() StoreOptions { return StoreOptions{S3: S3Options{PartSize: "16MiB"}} }

// check finds what is wrong with single values.
func (o *WorkOptions) check() error {
	check := func(flag string, n, low, high int) error {
		if n < low || n > high {
			return UsageErrorf("--%s %d: expected %d to %d", flag, n, low, high)
		}
		return nil
	}
	if err := check("concurrency", o.Concurrency, 1, 64); err != nil {
		return err
	}
	if err := checkContract(o.Contract); err != nil {
		return err
	}
	if err := check("batch-size", o.BatchSize, 1, pipeline.MaxBatch); err != nil || o.PartitionBy == "" {
		return err
	}
	_, err := parsePartition(o.PartitionBy)
	return err
}
