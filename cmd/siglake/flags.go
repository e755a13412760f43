package main

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/simulator"
)

// OutputOptions say what a command prints.
type OutputOptions struct {
	Quiet     bool
	LogFormat string
	JSON      bool

	MetricsFile string // of a command that buys; empty: none
}

// SimulatorOptions shape the embedded simulator.
type SimulatorOptions struct {
	Seed     uint64
	Faults   []string
	Switches []string
	Credits  int64
	Plan     string
	Latency  time.Duration
	Lateness string
	V2Ends   string

	// Names of the flags among these that were set, by the command line or the environment.
	Set []string

	countDistinct bool // for a demo of nights; it has no flag

	WebhookReplay time.Duration // of a server
}

func defaultOutput() OutputOptions { return OutputOptions{LogFormat: "text"} }

func defaultSimulator() SimulatorOptions {
	return SimulatorOptions{Seed: 1, Plan: "scale", Lateness: latenessNames()[0]}
}

// words makes a flag of many words fill in dest, which holds its default.
func words(dest *[]string, f *cli.StringSliceFlag) *cli.StringSliceFlag {
	if len(*dest) > 0 {
		f.Value = cli.NewStringSlice(*dest...)
	}
	f.Action = func(_ *cli.Context, given []string) error {
		*dest = given
		return nil
	}
	return f
}

// noteSet notes that a flag was set, by the command line or the environment.
func noteSet[T any](dest *bool) func(*cli.Context, T) error {
	return func(*cli.Context, T) error {
		*dest = true
		return nil
	}
}

// lakeFlag names a lake that must be there.
func lakeFlag(dest *string) cli.Flag { return shardedLakeFlag(dest, nil) }

// shardedLakeFlag is lakeFlag for a command with --shard.
func shardedLakeFlag(dest, shard *string) cli.Flag {
	return &cli.StringFlag{Name: "lake", Destination: dest, EnvVars: []string{"SIGLAKE_LAKE"}, Required: true, Action: shardedLake(dest, shard), Usage: "`DIR` or s3://bucket/prefix of the lake"}
}

// jsonFlag asks for output that machines read.
func jsonFlag(o *OutputOptions) *cli.BoolFlag {
	return &cli.BoolFlag{Name: "json", Destination: &o.JSON, EnvVars: []string{"SIGLAKE_JSON"}, Usage: "machine-readable output"}
}

// newLogger is the logger of a command, which writes to standard error.
func newLogger(env *app.Env, o OutputOptions) (*slog.Logger, error) {
	options := &slog.HandlerOptions{Level: slog.LevelInfo}
	if o.Quiet {
		options.Level = slog.LevelWarn
	}
	switch o.LogFormat {
	case "text":
		return slog.New(slog.NewTextHandler(env.Stderr, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(env.Stderr, options)), nil
	}
	return nil, app.UsageErrorf("--log-format %q: expected text or json", o.LogFormat)
}

func joinFlags(groups ...[]cli.Flag) []cli.Flag {
	var all []cli.Flag
	for _, g := range groups {
		all = append(all, g...)
	}
	return all
}

// queryFlags say what to ask about every entity; together they decide the bill.
func queryFlags(o *app.QueryOptions) []cli.Flag {
	return []cli.Flag{
		signalsFlag(o),
		&cli.StringFlag{Name: "since", Value: o.Since, Destination: &o.Since, Action: noteSet[string](&o.SinceSet), EnvVars: []string{"SIGLAKE_SINCE"}, Category: "What to request",
			Usage: "first day of the window, as `DATE` (2026-01-31) or age (30d, 6w, 3m); the window ends today; last: ask each entity and signal only for what the lake does not have, which is the default with --unattended"},
		&cli.IntFlag{Name: "max-results", Value: o.MaxResults, Destination: &o.MaxResults, EnvVars: []string{"SIGLAKE_MAX_RESULTS"}, Category: "What to request",
			Usage: "maximum number of events per entity and signal, newest first, 1 to 100; caps the bill"},
		words(&o.NewsEventTypes, &cli.StringSliceFlag{Name: "news-event-types", EnvVars: []string{"SIGLAKE_NEWS_EVENT_TYPES"}, Category: "What to request",
			Usage: "only these kinds of news, for example \"Funding Round,IPO\""}),
		words(&o.HiringDepartments, &cli.StringSliceFlag{Name: "hiring-departments", EnvVars: []string{"SIGLAKE_HIRING_DEPARTMENTS"}, Category: "What to request",
			Usage: "only hiring surges in these departments"}),
		words(&o.HiringLocations, &cli.StringSliceFlag{Name: "hiring-locations", EnvVars: []string{"SIGLAKE_HIRING_LOCATIONS"}, Category: "What to request",
			Usage: "only hiring surges in these places, as COUNTRY or COUNTRY:STATE"}),
	}
}

func signalsFlag(o *app.QueryOptions) cli.Flag {
	return words(&o.Signals, &cli.StringSliceFlag{Name: "signals", Aliases: []string{"s"}, EnvVars: []string{"SIGLAKE_SIGNALS"}, Category: "What to request",
		Usage: "signal keys, categories (contact, growth, intent, news, risk) or all; siglake signals lists them; key:intent is the signal intent, not the category"})
}

// apiVersionFlags choose the generation of the API.
func apiVersionFlags(o *app.QueryOptions) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "api", Value: o.APIVersion, Destination: &o.APIVersion, EnvVars: []string{"SIGLAKE_API"}, Category: "API",
			Usage: "generation of the API: v2 finds identifiers itself; v3 needs ids, which siglake first searches for, at a charge; auto calls free endpoints and reports what it chose and why"},
		&cli.BoolFlag{Name: "send-filters", Destination: &o.SendFilters, EnvVars: []string{"SIGLAKE_SEND_FILTERS"}, Category: "What to request",
			Usage: "with v3, send the news and hiring filters to the API; by default siglake buys all events and filters them itself, because v3 is documented to refuse filters"},
		words(&o.IntentCategories, &cli.StringSliceFlag{Name: "intent-categories", EnvVars: []string{"SIGLAKE_INTENT_CATEGORIES"}, Category: "What to request",
			Usage: "only LinkedIn activity of these topic categories (v3)"}),
	}
}

// listFlags say how the list is to be read.
func listFlags(o *app.ListOptions) []cli.Flag {
	return []cli.Flag{
		words(&o.Map, &cli.StringSliceFlag{Name: "map", EnvVars: []string{"SIGLAKE_MAP"}, Category: "List",
			Usage: "column of a field, as FIELD=COLUMN (a header or a number); fields: " + "key, id, domain, name, first_name, last_name, linkedin, email, company_name, company_domain"}),
		words(&o.Keep, &cli.StringSliceFlag{Name: "keep", EnvVars: []string{"SIGLAKE_KEEP"}, Category: "List",
			Usage: "columns of the list to keep in the column extra of accounts: headers or numbers, or all"}),
		&cli.StringFlag{Name: "object", Value: o.Object, Destination: &o.Object, EnvVars: []string{"SIGLAKE_OBJECT"}, Category: "List", Usage: "what each line names: contact, company or auto"},
		&cli.StringFlag{Name: "header", Value: o.Header, Destination: &o.Header, EnvVars: []string{"SIGLAKE_HEADER"}, Category: "List", Usage: "whether the first line is a header: yes, no or auto"},
		&cli.StringFlag{Name: "delimiter", Value: o.Delimiter, Destination: &o.Delimiter, EnvVars: []string{"SIGLAKE_DELIMITER"}, Category: "List", Usage: "column separator: one character, tab, none or auto"},
		&cli.StringFlag{Name: "encoding", Value: o.Encoding, Destination: &o.Encoding, EnvVars: []string{"SIGLAKE_ENCODING"}, Category: "List", Usage: "encoding of the list: auto, or any name that browsers know, such as utf-8, utf-16le, windows-1252, windows-1251, shift_jis, gbk"},
		&cli.StringFlag{Name: "sheet", Destination: &o.Sheet, EnvVars: []string{"SIGLAKE_SHEET"}, Category: "List", Usage: "sheet of an Excel workbook, as `NAME` or number; by default the first visible one"},
		&cli.BoolFlag{Name: "strict-files", Destination: &o.StrictFiles, EnvVars: []string{"SIGLAKE_STRICT_FILES"}, Category: "List", Usage: "refuse a folder or pattern with a file that is no list; by default the file is skipped with a note"},
	}
}

// lineFlags choose lines of the list at random, and say how many may be rejected.
func lineFlags(o *app.ListOptions) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "allow-rejected", Destination: &o.AllowRejected, EnvVars: []string{"SIGLAKE_ALLOW_REJECTED"}, Category: "List",
			Usage: "exit 0 instead of 10 if at most this `NUMBER` of lines (20), or share of them (2%), is rejected or shares a key that a spreadsheet damaged"},
		&cli.IntFlag{Name: "sample", Destination: &o.Sample, EnvVars: []string{"SIGLAKE_SAMPLE"}, Category: "List",
			Usage: "only `N` lines of the list, drawn at random, to learn what the rest will cost; a run of the whole list on the same day buys only the rest. 0: the whole list"},
		&cli.Uint64Flag{Name: "sample-seed", Value: o.SampleSeed, Destination: &o.SampleSeed, EnvVars: []string{"SIGLAKE_SAMPLE_SEED"}, Category: "List",
			Usage: "`SEED` of --sample: the same seed draws the same lines, and a larger sample contains the smaller one"},
	}
}

// shardVariable is the variable of --shard.
const shardVariable = "SIGLAKE_SHARD"

// shardFlag divides the list.
func shardFlag(o *app.ListOptions) []cli.Flag {
	return []cli.Flag{&cli.StringFlag{Name: "shard", Destination: &o.Shard, EnvVars: []string{shardVariable}, Category: "List",
		Action: func(c *cli.Context, text string) (err error) {
			o.Shard, err = app.ResolveShard(shardEnv(c), text)
			return err
		},
		Usage: "only the entities of one part of the list, as `INDEX/COUNT` with an index from 0 (3/6), or with the name of a variable that holds it (JOB_COMPLETION_INDEX/6); each part has a lake of its own, in whose name {shard} stands for the index"}}
}

// shardEnv reads the variables that --shard names. A job file is checked without those of its scheduler.
func shardEnv(c *cli.Context) func(string) string {
	inv := invocationOf(c)
	return func(name string) string {
		value := inv.env.Getenv(name)
		if inv.checkOnly {
			value = cmp.Or(value, "0")
		}
		return value
	}
}

// shardedLake puts the index of a shard into the value of --lake: of the one that --shard names, if the command
// has it, or else of that of the variable, so that each command finds the lake that a run has written.
func shardedLake(lake, shard *string) func(*cli.Context, string) error {
	return func(c *cli.Context, text string) (err error) {
		of := invocationOf(c).env.Getenv(shardVariable)
		if shard != nil { // the flag has read its variable
			of = *shard
		}
		*lake, err = app.ShardLake(shardEnv(c), of, text)
		return err
	}
}

// moneyFlags say what may be bought.
func moneyFlags(o *app.MoneyOptions) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "max-credits", Destination: &o.MaxCredits, Action: noteSet[string](&o.MaxCreditsSet), EnvVars: []string{"SIGLAKE_MAX_CREDITS"}, Category: "Money",
			Usage: "hard cap on what the run can cost: a `NUMBER` of credits, or unlimited; when it is exhausted, the run publishes what it has and exits 20"},
		&cli.StringFlag{Name: "max-credits-per-day", Destination: &o.MaxPerDay, EnvVars: []string{"SIGLAKE_MAX_CREDITS_PER_DAY"}, Category: "Money",
			Usage: "cap on what all runs of a day (UTC) can cost: a `NUMBER` of credits, or unlimited; the runs of the same job, or, without a job, all runs of the lake. Calls in doubt count"},
		&cli.StringFlag{Name: "max-credits-per-month", Destination: &o.MaxPerMonth, EnvVars: []string{"SIGLAKE_MAX_CREDITS_PER_MONTH"}, Category: "Money",
			Usage: "the same for a calendar month: a `NUMBER` of credits, or unlimited"},
		&cli.StringFlag{Name: "max-lake-credits-per-day", Destination: &o.MaxLakePerDay, EnvVars: []string{"SIGLAKE_MAX_LAKE_CREDITS_PER_DAY"}, Category: "Money",
			Usage: "cap on what all runs of the lake can cost in a day (UTC), whatever their jobs: a `NUMBER` of credits, or unlimited"},
		&cli.StringFlag{Name: "max-lake-credits-per-month", Destination: &o.MaxLakePerMonth, EnvVars: []string{"SIGLAKE_MAX_LAKE_CREDITS_PER_MONTH"}, Category: "Money",
			Usage: "the same for a calendar month: a `NUMBER` of credits, or unlimited"},
		&cli.BoolFlag{Name: "unattended", Destination: &o.Unattended, EnvVars: []string{"SIGLAKE_UNATTENDED"}, Category: "Money",
			Usage: "for schedulers: no prompts, and an unfinished earlier run does not block: siglake publishes what it paid for and requests tonight's window; requires a cap such as --max-credits"},
		&cli.BoolFlag{Name: "new-run", Destination: &o.NewRun, EnvVars: []string{"SIGLAKE_NEW_RUN"}, Category: "Money",
			Usage: "close an unfinished run, publish what it paid for, and start a new run; nothing already paid for is bought again"},
		&cli.BoolFlag{Name: "refresh", Destination: &o.Refresh, EnvVars: []string{"SIGLAKE_REFRESH"}, Category: "Money",
			Usage: "buy everything again, even if the lake already holds it"},
		&cli.StringFlag{Name: "in-doubt", Value: o.InDoubt, Destination: &o.InDoubt, EnvVars: []string{"SIGLAKE_IN_DOUBT"}, Category: "Money",
			Usage: "how to treat calls that may have been charged but lost their answers: hold them, retry (may pay again) within --in-doubt-budget, or probe (read the account's usage first, and retry only if it is inconclusive)"},
		&cli.StringFlag{Name: "in-doubt-budget", Destination: &o.InDoubtBudget, EnvVars: []string{"SIGLAKE_IN_DOUBT_BUDGET"}, Category: "Money",
			Usage: "cap on what repeating calls in doubt can cost a run: a `NUMBER` of credits, or unlimited; a call is repeated as a whole or not at all"},
		&cli.BoolFlag{Name: "clock-skew-ok", Destination: &o.ClockSkewOK, EnvVars: []string{"SIGLAKE_CLOCK_SKEW_OK"}, Category: "Money",
			Usage: "run although this machine's clock differs from the API's by more than an hour"},
	}
}

// ttlFlags say how long ids count that were bought.
func ttlFlags(o *app.TTLOptions) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "resolve-hits", Value: o.Positive, Destination: &o.Positive, Action: noteSet[string](&o.PositiveSet), EnvVars: []string{"SIGLAKE_RESOLVE_HITS"}, Category: "Money",
			Usage: "how long a found id counts, as `AGE` (30d, 6w), before siglake searches for it again, and pays again"},
		&cli.StringFlag{Name: "resolve-misses", Value: o.Negative, Destination: &o.Negative, Action: noteSet[string](&o.NegativeSet), EnvVars: []string{"SIGLAKE_RESOLVE_MISSES"}, Category: "Money",
			Usage: "how long siglake remembers, as `AGE` (7d, 6w), that the API does not know an identifier, or may not report on it"},
	}
}

// workFlags say how the run works.
func workFlags(o *app.WorkOptions) []cli.Flag {
	return []cli.Flag{
		&cli.IntFlag{Name: "concurrency", Value: o.Concurrency, Destination: &o.Concurrency, EnvVars: []string{"SIGLAKE_CONCURRENCY"}, Category: "Work", Usage: "batches in flight, 1 to 64"},
		&cli.IntFlag{Name: "batch-size", Value: o.BatchSize, Destination: &o.BatchSize, EnvVars: []string{"SIGLAKE_BATCH_SIZE"}, Category: "Work", Usage: "entities per call, 1 to 100"},
		&cli.StringFlag{Name: "answer-memory", Destination: &o.AnswerMemory, EnvVars: []string{"SIGLAKE_ANSWER_MEMORY"}, Category: "Work", Action: checkAnswerMemory,
			Usage: "memory for answers that are under way or wait for their turn, as a `SIZE` from 1MiB; default: a quarter of --memory"},
		&cli.StringFlag{Name: "partition-by", Destination: &o.PartitionBy, EnvVars: []string{"SIGLAKE_PARTITION_BY"}, Category: "Work",
			Usage: "partition events by month or day; default: month, or what the lake has. siglake rebuild changes that of a lake"},
	}
}

// contractFlag says what a run does when answers differ from what the schema knows.
func contractFlag(o *app.WorkOptions) []cli.Flag {
	return []cli.Flag{&cli.StringFlag{Name: "contract", Value: o.Contract, Destination: &o.Contract, Action: noteSet[string](&o.ContractSet), EnvVars: []string{"SIGLAKE_CONTRACT"}, Category: "Work",
		Usage: "when answers have a signal type, field, value or type that this version does not know, or lack a field: evolve keeps it, reports it and continues; freeze keeps and reports it, requests nothing more and exits 23"}}
}

// apiFlags say where the API is and how hard it may be asked.
func apiFlags(o *app.APIOptions) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "api-key-file", Destination: &o.KeyFile, EnvVars: []string{"SIGLAKE_API_KEY_FILE"}, Category: "API", TakesFile: true,
			Usage: "`FILE` with the API key; default: the variable " + app.KeyVariable},
		&cli.BoolFlag{Name: "insecure-key-file", Destination: &o.InsecureKeyFile, EnvVars: []string{"SIGLAKE_INSECURE_KEY_FILE"}, Category: "API",
			Usage: "accept an --api-key-file that other users of the machine can read or change"},
		&cli.StringFlag{Name: "base-url", Value: o.BaseURL, Destination: &o.BaseURL, EnvVars: []string{"SIGLAKE_BASE_URL"}, Category: "API",
			Usage: "base URL of the API"},
		&cli.StringFlag{Name: "plan", Value: o.Plan, Destination: &o.Plan, EnvVars: []string{"SIGLAKE_PLAN"}, Category: "API",
			Usage: "your plan, from which the rate limits start: free, starter, pro, premium, scale, legacy, unlimited; the API's answers correct them"},
		&cli.Float64Flag{Name: "rate", Value: o.Rate, Destination: &o.Rate, EnvVars: []string{"SIGLAKE_RATE"}, Category: "API",
			Usage: "maximum number of calls per second; 0 means no limit"},
		&cli.Float64Flag{Name: "reserve", Destination: &o.Reserve, EnvVars: []string{"SIGLAKE_RESERVE"}, Category: "API",
			Usage: "share of every rate window left to other users of the account, 0 to 0.9"},
		&cli.StringFlag{Name: "quota-dir", Destination: &o.QuotaDir, EnvVars: []string{"SIGLAKE_QUOTA_DIR"}, Category: "API",
			Usage: "`DIR` in which all runs on this machine count the calls of a key; default: siglake/quota in the user's state directory"},
		&cli.StringFlag{Name: "quota", Destination: &o.Quota, EnvVars: []string{"SIGLAKE_QUOTA"}, Category: "API",
			Usage: "`URI` s3://bucket/prefix in which runs on several machines count the calls of a key together; needs the rights to read and write below it"},
		&cli.DurationFlag{Name: "max-wait", Value: o.MaxWait, Destination: &o.MaxWait, EnvVars: []string{"SIGLAKE_MAX_WAIT"}, Category: "API",
			Usage: "maximum time to wait for an hourly or daily quota to reset, or for a Retry-After; beyond it, the run publishes what it has and exits 20. The run always waits for the next minute"},
		&cli.DurationFlag{Name: "timeout", Value: o.Timeout, Destination: &o.Timeout, EnvVars: []string{"SIGLAKE_TIMEOUT"}, Category: "API",
			Usage: "timeout per API request; a request that times out may still be charged"},
	}
}

// storeFlags say where things are kept.
func storeFlags(o *app.StoreOptions) []cli.Flag {
	return joinFlags([]cli.Flag{
		&cli.StringFlag{Name: "umask", Value: fmt.Sprintf("%03o", privateUmask), EnvVars: []string{"SIGLAKE_UMASK"}, Category: "Output", Action: applyUmask,
			Usage: "permissions that new files do not get, in `OCTAL`: 077 keeps them to you, 007 shares them with your group, 022 lets others read"},
		&cli.StringFlag{Name: "memory", Destination: &o.Memory, EnvVars: []string{"SIGLAKE_MEMORY"}, Category: "Work", Action: applyMemory,
			Usage: "memory to keep to, as a `SIZE` from 160MiB; default: GOMEMLIMIT, otherwise 256MiB, or three quarters of a smaller container"},
		&cli.BoolFlag{Name: "delta-integers", Destination: &o.DeltaIntegers, EnvVars: []string{"SIGLAKE_DELTA_INTEGERS"}, Category: "Output",
			Usage: "write integers that rarely repeat as differences, for smaller files; Spark before 3.3 and fastparquet cannot read them"},
		&cli.StringFlag{Name: afterPublishFlag, Destination: &o.AfterPublish, EnvVars: []string{afterPublishVariable}, Category: "Output",
			Usage: "`COMMAND` of the shell to run when a generation was published, with SIGLAKE_LAKE, SIGLAKE_PUBLISHED_RUN and SIGLAKE_PUBLISHED_GENERATION; if it fails, a complete run exits 13"},
		&cli.StringFlag{Name: "scratch", Destination: &o.Scratch, EnvVars: []string{"SIGLAKE_SCRATCH"}, Category: "S3",
			Usage: "local `DIR` for sorting and staging the files of a lake on S3; default: siglake in the user's cache directory"},
		&cli.StringFlag{Name: "state", Destination: &o.State, EnvVars: []string{"SIGLAKE_STATE"}, Category: "S3",
			Usage: "local `DIR` for the journal of a lake on S3; default: the bucket, so that any machine can continue a run"},
	}, s3Flags(&o.S3))
}

// withoutPublication are storeFlags of a command that publishes nothing, so that no command can follow.
func withoutPublication(flags []cli.Flag) []cli.Flag {
	return slices.DeleteFunc(flags, func(f cli.Flag) bool { return f.Names()[0] == afterPublishFlag })
}

// writeFlags are those of storeFlags that say how a lake is written.
var writeFlags = []string{"umask", "memory", "delta-integers", "s3-sse", "s3-kms-key", "s3-storage-class", "s3-checksum", "s3-part-size"}

// readFlags are storeFlags of a command that writes no lake. It takes those that say how one is written, so that one
// command line serves several commands, and does not list them.
func readFlags(o *app.StoreOptions) []cli.Flag {
	flags := withoutPublication(storeFlags(o))
	return append(slices.DeleteFunc(slices.Clone(flags), isWriteFlag), hideFlags(slices.DeleteFunc(flags, func(f cli.Flag) bool { return !isWriteFlag(f) }))...)
}

func isWriteFlag(f cli.Flag) bool { return slices.Contains(writeFlags, f.Names()[0]) }

// applyUmask makes the permissions of --umask those of the process.
func applyUmask(c *cli.Context, text string) error {
	mask, err := strconv.ParseUint(text, 8, 16)
	if err != nil || mask > 0o777 {
		return app.UsageErrorf("--umask %q: expected an octal number such as 077, 027 or 007", text)
	}
	if mask&0o700 != 0 {
		return app.UsageErrorf("--umask %q takes permissions from siglake itself; the first of the three digits must be 0", text)
	}
	if env := envOf(c); env.SetUmask != nil {
		env.SetUmask(int(mask))
	}
	return nil
}

// s3Flags say how S3 is reached and how objects are kept there. There is none
// for credentials: argv is visible to every user of the machine.
func s3Flags(o *app.S3Options) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "s3-endpoint", Destination: &o.Endpoint, EnvVars: []string{"SIGLAKE_S3_ENDPOINT"}, Category: "S3",
			Usage: "`URL` of a store other than AWS"},
		&cli.StringFlag{Name: "s3-region", Destination: &o.Region, EnvVars: []string{"SIGLAKE_S3_REGION"}, Category: "S3",
			Usage: "region of the bucket; default: from the AWS variables and files, otherwise us-east-1"},
		&cli.BoolFlag{Name: "s3-path-style", Destination: &o.PathStyle, EnvVars: []string{"SIGLAKE_S3_PATH_STYLE"}, Category: "S3",
			Usage: "put the bucket's name in the path, as most stores other than AWS require"},
		&cli.StringFlag{Name: "s3-profile", Destination: &o.Profile, EnvVars: []string{"SIGLAKE_S3_PROFILE"}, Category: "S3",
			Usage: "profile in the shared AWS files; siglake finds credentials where every AWS tool does"},
		&cli.StringFlag{Name: "s3-role", Destination: &o.Role, EnvVars: []string{"SIGLAKE_S3_ROLE"}, Category: "S3",
			Usage: "`ARN` of a role to assume"},
		&cli.StringFlag{Name: "s3-external-id", Destination: &o.ExternalID, EnvVars: []string{"SIGLAKE_S3_EXTERNAL_ID"}, Category: "S3",
			Usage: "external `ID` that the role requires"},
		&cli.StringFlag{Name: "s3-sse", Destination: &o.Encryption, EnvVars: []string{"SIGLAKE_S3_SSE"}, Category: "S3",
			Usage: "encryption of written objects, AES256 or aws:kms; default: the bucket's"},
		&cli.StringFlag{Name: "s3-kms-key", Destination: &o.KMSKey, EnvVars: []string{"SIGLAKE_S3_KMS_KEY"}, Category: "S3",
			Usage: "`ID` or ARN of the key for aws:kms; default: the bucket's"},
		&cli.StringFlag{Name: "s3-storage-class", Destination: &o.StorageClass, EnvVars: []string{"SIGLAKE_S3_STORAGE_CLASS"}, Category: "S3",
			Usage: "storage `CLASS` of written objects, such as STANDARD_IA; default: the bucket's"},
		&cli.StringFlag{Name: "s3-checksum", Destination: &o.Checksum, EnvVars: []string{"SIGLAKE_S3_CHECKSUM"}, Category: "S3",
			Usage: "when-supported sends a checksum with every upload, as buckets with Object Lock demand, when-required only where S3 demands it always; default: AWS_REQUEST_CHECKSUM_CALCULATION, otherwise when-supported on AWS and when-required on other stores"},
		&cli.StringFlag{Name: "s3-part-size", Value: o.PartSize, Destination: &o.PartSize, EnvVars: []string{"SIGLAKE_S3_PART_SIZE"}, Category: "S3",
			Usage: "upload files of at least this `SIZE` in parts of this size, 5MiB to 5GiB"},
	}
}

// outputFlags say what the program prints.
func outputFlags(o *OutputOptions) []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "quiet", Destination: &o.Quiet, Aliases: []string{"q"}, EnvVars: []string{"SIGLAKE_QUIET"}, Category: "Output", Usage: "print only errors and warnings: no progress, no summary"},
		&cli.StringFlag{Name: "log-format", Value: o.LogFormat, Destination: &o.LogFormat, EnvVars: []string{"SIGLAKE_LOG_FORMAT"}, Category: "Output", Usage: "format of the log on standard error: text or json"},
	}
}

// latencyFlag is the flag for the simulator's response time.
const latencyFlag = "latency"

// simulatorFlags shape the embedded simulator.
func simulatorFlags(o *SimulatorOptions) []cli.Flag {
	return noteNames(&o.Set, []cli.Flag{
		&cli.Uint64Flag{Name: "seed", Value: o.Seed, Destination: &o.Seed, EnvVars: []string{"SIGLAKE_SEED"}, Category: "Simulator",
			Usage: "seed of the simulated world: the same seed gives the same companies, people and events"},
		words(&o.Faults, &cli.StringSliceFlag{Name: "fault", EnvVars: []string{"SIGLAKE_FAULT"}, Category: "Simulator",
			Usage: "inject a fault, as KIND@N (the N-th call), KIND/N (every N-th) or KIND%P (P percent); siglake simulate --list-faults lists the kinds"}),
		words(&o.Switches, &cli.StringSliceFlag{Name: "switch", EnvVars: []string{"SIGLAKE_SWITCH"}, Category: "Simulator",
			Usage: "choose another answer to an open question about the API, as NAME=VALUE; siglake simulate --list-switches lists them"}),
		&cli.Int64Flag{Name: "credits", Destination: &o.Credits, EnvVars: []string{"SIGLAKE_CREDITS"}, Category: "Simulator",
			Usage: "credits in the simulated account; 0 means a million"},
		&cli.StringFlag{Name: "sim-plan", Value: o.Plan, Destination: &o.Plan, EnvVars: []string{"SIGLAKE_SIM_PLAN"}, Category: "Simulator",
			Usage: "rate limits of the simulated account: free, pro, premium, scale, legacy, unlimited"},
		&cli.DurationFlag{Name: latencyFlag, Value: o.Latency, Destination: &o.Latency, EnvVars: []string{"SIGLAKE_LATENCY"}, Category: "Simulator",
			Usage: "typical response time of the simulator"},
		&cli.StringFlag{Name: "sim-lateness", Value: o.Lateness, Destination: &o.Lateness, EnvVars: []string{"SIGLAKE_SIM_LATENESS"}, Category: "Simulator",
			Usage: "`PROFILE` of how many days after their date events become visible: " + strings.Join(latenessNames(), ", ")},
		&cli.StringFlag{Name: "sim-v2-ends", Destination: &o.V2Ends, EnvVars: []string{"SIGLAKE_SIM_V2_ENDS"}, Category: "Simulator",
			Usage: "`DATE` from which the simulator answers 410 to requests of v2; it announces the end six months ahead"},
	})
}

// noteNames notes the names of those flags that were set.
func noteNames(dest *[]string, flags []cli.Flag) []cli.Flag {
	for _, f := range flags {
		switch f := f.(type) {
		case *cli.Uint64Flag:
			f.Action = noteName(dest, f.Name, f.Action)
		case *cli.Int64Flag:
			f.Action = noteName(dest, f.Name, f.Action)
		case *cli.StringFlag:
			f.Action = noteName(dest, f.Name, f.Action)
		case *cli.StringSliceFlag:
			f.Action = noteName(dest, f.Name, f.Action)
		case *cli.DurationFlag:
			f.Action = noteName(dest, f.Name, f.Action)
		default:
			panic(fmt.Sprintf("--%s: no action of a %T", f.Names()[0], f))
		}
	}
	return flags
}

// noteName notes a name before another action, if there is one.
func noteName[T any](dest *[]string, name string, next func(*cli.Context, T) error) func(*cli.Context, T) error {
	return func(c *cli.Context, value T) error {
		*dest = append(*dest, name)
		if next == nil {
			return nil
		}
		return next(c, value)
	}
}

func latenessNames() (names []string) {
	for _, doc := range simulator.LatenessDocs() {
		names = append(names, doc.Name)
	}
	return names
}

// asOfFlag lets a command work as if it were another day.
func asOfFlag() cli.Flag {
	return &cli.StringFlag{Name: "as-of", EnvVars: []string{"SIGLAKE_AS_OF"}, Category: "Simulator",
		Usage: "work as if today were `DATE`, to rehearse nights; for simulated lakes only, and with --simulate or the --base-url of siglake simulate --today DATE; sends no API key",
		Action: func(c *cli.Context, text string) error {
			day, err := parseDay("as-of", text)
			if err == nil {
				envOf(c).Rehearse(day)
			}
			return err
		}}
}

// parseDay reads the value of a flag that names a day.
func parseDay(flag, text string) (time.Time, error) {
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return day, app.UsageErrorf("--%s %q: expected a day such as 2026-06-01", flag, text)
	}
	return day, nil
}
