package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/bucket"
	"github.com/siglake/siglake/internal/forecast"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/internal/policy"
	"github.com/siglake/siglake/internal/ratelimit"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/sinks"
	"github.com/siglake/siglake/sources"
)

// KeyVariable holds the API key. There is no flag for it: argv is visible to
// every user of the machine.
const KeyVariable = "LUSHA_API_KEY"

// Endpoint is where the API is.
type Endpoint struct {
	BaseURL, Key string
	Close        func() // ends an embedded simulator
}

// connection is a way to the API, with the counts of calls to it.
type connection struct {
	baseURL    string
	client     *lusha.Client // nil: without a key, nothing is asked
	limiter    *ratelimit.Limiter
	disconnect func()
	now        func() time.Time // the clock that windows end by
	clientNow  func() time.Time // the clock that the client measures by
	skewLogged bool
}

// connectAPI connects to the API that open gives.
func connectAPI(ctx context.Context, env *Env, o APIOptions, open func(context.Context) (Endpoint, error)) (connection, error) {
	at, err := open(ctx)
	if err != nil {
		return connection{}, err
	}
	client, err := newClient(env, o, at)
	if err != nil {
		at.Close()
		return connection{}, &Error{KindUsage, err}
	}
	limiter, err := newLimiter(ctx, env, o, at)
	if err != nil {
		at.Close()
		return connection{}, err
	}
	client.OnFreeRequest(limiter.AddCalls)
	now := env.Now
	if o.Simulate { // the embedded simulator has the clock of the client
		now = env.clientClock()
	}
	return connection{baseURL: at.BaseURL, client: client, limiter: limiter, disconnect: func() {
		_ = limiter.Close() // its counts are kept call by call
		at.Close()
	}, now: now, clientNow: env.clientClock()}, nil
}

// publishedAPI stands for an API that cannot be asked: there is no key for it.
func publishedAPI(ctx context.Context, env *Env, o APIOptions) (connection, error) {
	limiter, err := newLimiter(ctx, env, o, Endpoint{BaseURL: o.BaseURL})
	if err != nil {
		return connection{}, err
	}
	return connection{baseURL: o.BaseURL, limiter: limiter, disconnect: func() { _ = limiter.Close() }, now: env.Now, clientNow: env.clientClock()}, nil
}

// usageTimeout is how long a run waits for the account's usage, which it can do without.
const usageTimeout = 3 * time.Second

// readUsage reads the account's usage and prices from the free usage endpoint. Some
// accounts have no such endpoint, and it allows few requests, so a run does not fail
// if this does.
func (c *connection) readUsage(ctx context.Context) (*lusha.Usage, error) {
	ctx, cancel := context.WithTimeout(ctx, usageTimeout)
	defer cancel()
	u, err := c.client.FetchUsage(ctx)
	if err != nil {
		return nil, err
	}
	c.limiter.UpdateWindows(u.Rate(), [3]time.Time{u.Minute.ResetAt, u.Hour.ResetAt, u.Day.ResetAt})
	return u, nil
}

// maxClockSkew is how far the machine's clock may differ from the API's before a run is refused:
// windows, and the ages of ids, would be wrong, and what was bought would be bought again.
const maxClockSkew = time.Hour

// checkClock compares the clock with the date of the free calls so far.
func (c *connection) checkClock(allowed bool, log *slog.Logger) error {
	text := c.skewText()
	if text == "" || c.skewLogged {
		return nil
	}
	if allowed {
		log.Warn(text + "; windows end on the API's day")
		c.skewLogged = true
		return nil
	}
	return UsageErrorf("%s; nothing was bought: set the clock, for example with NTP, or add --clock-skew-ok", text)
}

// skewText says by how much the machine's clock is wrong; empty: by less than matters, or unknown.
func (c *connection) skewText() string {
	ahead := c.clockAhead()
	if ahead.Abs() <= maxClockSkew {
		return ""
	}
	direction := "behind"
	if ahead < 0 {
		direction = "ahead of"
	}
	return fmt.Sprintf("this machine's clock is %s %s the API's: siglake would misjudge days, and buy again what it has", ahead.Abs().Round(time.Second), direction)
}

// clockAhead is how far the API's clock is ahead of the machine's at least; 0 if it is not known to
// differ.
func (c *connection) clockAhead() time.Duration {
	if c.client == nil {
		return 0
	}
	offset := c.client.ClockOffset()
	if offset == nil {
		return 0
	}
	ahead := offset.Ahead + c.clientNow().Sub(c.now())
	if ahead.Abs() <= offset.Tolerance+clockTolerance {
		return 0
	}
	return ahead
}

// apiTime is a time of this machine by the API's clock, if they are known to differ.
func (c *connection) apiTime(t time.Time) time.Time { return t.Add(c.clockAhead()) }

// reconcile reads the account's usage after the run. It makes one attempt, so that the end of the
// run is not delayed.
func (c *connection) reconcile(ctx context.Context, usedBefore *int64, log *slog.Logger) *pipeline.Reconciliation {
	m := &pipeline.Reconciliation{Before: usedBefore}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), usageTimeout) // the bill is compared after a stop, too
	defer cancel()
	u, err := c.client.TryFetchUsage(ctx)
	if err != nil {
		log.Info("the account's usage after the run is not available: the manifest does not compare it with the bill", "error", err)
		return m
	}
	if u.Used >= 0 {
		m.After = &u.Used
	}
	if u.Remaining >= 0 {
		m.Remaining = &u.Remaining
	}
	return m
}

// newClient makes the client of an API.
func newClient(env *Env, o APIOptions, at Endpoint) (*lusha.Client, error) {
	if o.Timeout <= 0 {
		return nil, fmt.Errorf("--timeout %s: expected a duration such as 60s", o.Timeout)
	}
	return lusha.New(lusha.Config{
		BaseURL:   at.BaseURL,
		Key:       lusha.NewKey(at.Key),
		UserAgent: "siglake/" + env.Version,
		Timeout:   o.Timeout,
		Transport: env.Transport,
		Now:       env.clientClock(),

		OnRetirement: func(v pipeline.APIVersion, r lusha.Retirement) { warnOfRetirement(env, v, r) },

		MaxAnswerBytes: env.AnswerLimit,
		PieceBytes:     env.AnswerPiece,
	})
}

// AnswerSizes is what is known about the length of answers, and the length that none should exceed.
type AnswerSizes struct {
	sizes  *forecast.AnswerSizes
	target int64
}

// NewAnswerSizes goes by the answers in a ledger; nil stands for an empty one.
func NewAnswerSizes(env *Env, memory Memory, l *ledger.Ledger) AnswerSizes {
	a := AnswerSizes{new(forecast.AnswerSizes), memory.answerTarget(env)}
	if l != nil {
		a.sizes = l.AnswerSizes()
	}
	return a
}

// maxEntities is pipeline.Runner.MaxEntities by what is known now: the batches of a run do not
// depend on when an answer comes.
func (a AnswerSizes) maxEntities() func(q *pipeline.Query, n int) int {
	sizes := a.sizes.Clone()
	return func(q *pipeline.Query, n int) int { return sizes.MaxEntities(q, n, a.target) }
}

// maxPage is pipeline.PagedQuery.MaxPage by what is known when each page is requested.
func (a AnswerSizes) maxPage(q *pipeline.Query, n int64) int64 {
	return a.sizes.MaxResults(q, n, a.target)
}

// NewFetcher stacks what a paid call goes through, from the wire outwards. Each
// layer is a pipeline.Fetcher around the one before.
func NewFetcher(retry policy.RetryConfig, client pipeline.Fetcher, recorder *ledger.Recorder, limiter *ratelimit.Limiter, answers AnswerSizes, budget policy.BudgetConfig) pipeline.Fetcher {
	f := recorder.RecordOutcomes(lusha.Decode(recorder.RecordCalls(client)))
	f = ratelimit.Limit(f, limiter, rateRefusal)
	f = policy.Retry(f, lusha.Rules{}, retry)
	f = policy.Bisect(f, lusha.Rules{})
	f = policy.LimitSize(f, answers.sizes, answers.target)
	if budget.Credits > 0 {
		// Outside of Bisect, which takes a refusal to be about all that it asked,
		// whereas of a batch that a budget cut, other parts may be paid for.
		f = policy.Budget(f, budget)
	}
	return f
}

// retryConfig is how a run repeats calls: it says in the log what it waits for.
func retryConfig(env *Env, o APIOptions) policy.RetryConfig {
	return policy.RetryConfig{MaxWait: o.MaxWait, Now: env.clientClock(), OnWait: func(refusal string, until time.Time) {
		env.Log.Info("waiting: the API refuses calls and does not say for how long", "answer", refusal, "until at most", until.UTC().Format("2006-01-02 15:04:05 UTC"))
	}}
}

// newLimiter makes what keeps calls within the account's rate windows, together
// with every other run that uses the key on this machine.
func newLimiter(ctx context.Context, env *Env, o APIOptions, at Endpoint) (*ratelimit.Limiter, error) {
	plan, ok := ratelimit.PlanByName(o.Plan)
	if !ok {
		return nil, UsageErrorf("--plan %q: expected %s", o.Plan, planNames())
	}
	perSecond := o.Rate
	if perSecond < 0 {
		return nil, UsageErrorf("--rate %g: expected calls a second, or 0 for no limit", perSecond)
	}
	if perSecond == 0 {
		perSecond = unlimitedRate
	}
	if o.Reserve < 0 || o.Reserve > 0.9 {
		return nil, UsageErrorf("--reserve %g: expected a share from 0 to 0.9", o.Reserve)
	}
	shared, err := quotaBucket(ctx, env, o)
	if err != nil {
		return nil, err
	}
	account := sha256.Sum256([]byte("siglake account\n" + at.BaseURL + "\n" + at.Key))
	config := ratelimit.Config{
		Dir: quotaDir(env, o), Account: hex.EncodeToString(account[:12]), Plan: plan, Reserve: ratelimit.Reserve{Share: o.Reserve},
		PerSecond: perSecond, MaxWait: o.MaxWait, Timeout: o.Timeout + 30*time.Second, Now: env.clientClock(),
		Warn: func(text string) { env.Log.Warn("rate limits: " + text) },
		OnWait: func(window string, until time.Time) {
			text := "waiting: the account's calls for this " + window + " are used up"
			if window == "hold" {
				text = "waiting: the API requests a pause"
			}
			env.Log.Info(text, "until", until.UTC().Format("2006-01-02 15:04:05 UTC"))
		},
	}
	if shared != nil {
		config.Bucket = shared
	}
	g, err := ratelimit.Open(config)
	switch {
	case err != nil && shared != nil:
		return nil, &Error{KindStorage, fmt.Errorf("--quota: %w", err)}
	case err != nil:
		return nil, &Error{KindStorage, fmt.Errorf("--quota-dir: %w", err)}
	}
	return g, nil
}

// withS3 are the options with the way to the bucket of Quota.
func (o APIOptions) withS3(s S3Options) APIOptions {
	o.S3 = s
	return o
}

// quotaBucket is where hosts share the rate windows of a key; nil: they do not. An embedded simulator is an account of
// its own, and a rehearsal must not touch that of a real one.
func quotaBucket(ctx context.Context, env *Env, o APIOptions) (*bucket.Bucket, error) {
	switch {
	case o.Quota == "":
		return nil, nil
	case !sinks.OnS3(o.Quota):
		return nil, UsageErrorf("--quota %q: expected s3://bucket/prefix, a place that all hosts can reach; runs on one machine share their calls without it", o.Quota)
	case o.QuotaDir != "":
		return nil, UsageErrorf("--quota and --quota-dir exclude each other: omit one of them")
	case o.Simulate:
		env.Log.Warn("--quota has no effect: an embedded simulator has rate windows of its own")
		return nil, nil
	case env.Rehearses():
		return nil, nil
	}
	cfg, err := o.S3.Config()
	if err != nil {
		return nil, err
	}
	cfg.MaxAttempts = 2 // a limiter goes on without the bucket, and asks it again later
	b, err := bucket.Open(ctx, o.Quota, cfg)
	if err != nil {
		return nil, UsageErrorf("--quota: %v", err)
	}
	return b, nil
}

// quotaDir is where the counts of calls are kept; empty for a simulator in this
// process, in a rehearsal, and where there is no home to keep them in.
func quotaDir(env *Env, o APIOptions) string {
	if o.QuotaDir != "" || o.Simulate || env.Rehearses() {
		return o.QuotaDir
	}
	return userStateDir(env, "quota")
}

// userStateDir is a folder for what the commands of a user remember on a machine; empty: there is no home for it.
func userStateDir(env *Env, name string) string {
	if dir := env.Getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "siglake", name)
	}
	if home, err := os.UserHomeDir(); err == nil {
		return filepath.Join(home, ".local", "state", "siglake", name)
	}
	return ""
}

// rateRefusal tells the limiter which window refused a call.
func rateRefusal(call *pipeline.Call) (ratelimit.Refusal, time.Duration) {
	class, wait := lusha.RefusalClass(call)
	switch class {
	case lusha.ClassRateBurst:
		return ratelimit.Burst, wait
	case lusha.ClassRateHour:
		return ratelimit.Hour, wait
	case lusha.ClassRateDay:
		return ratelimit.Day, wait
	}
	return ratelimit.NoRefusal, 0
}

// unlimitedRate is more calls a second than a client can make.
const unlimitedRate = 1e9

func planNames() string {
	var names []string
	for _, p := range ratelimit.Plans {
		names = append(names, p.Name)
	}
	return strings.Join(names, ", ")
}

// APIKey reads the key from the file or the environment.
func APIKey(ctx context.Context, env *Env, o APIOptions) (string, error) {
	if file := o.KeyFile; file != "" {
		raw, err := readKeyFile(ctx, file, o.InsecureKeyFile)
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if err != nil {
			return "", &Error{KindAuth, fmt.Errorf("--api-key-file: %w", err)}
		}
		if key := strings.TrimSpace(string(raw)); key != "" {
			return key, checkKeyText(key, "the file "+file)
		}
		return "", &Error{KindAuth, fmt.Errorf("--api-key-file %s is empty", file)}
	}
	if key := strings.TrimSpace(env.Getenv(KeyVariable)); key != "" {
		return key, checkKeyText(key, "the variable "+KeyVariable)
	}
	return "", &Error{KindAuth, fmt.Errorf("no API key: set the variable %s, or name a file with --api-key-file; to try siglake without a key, add --simulate", KeyVariable)}
}

// maxKeyFile is more than any key is long.
const maxKeyFile = 64 << 10

// readKeyFile reads a file with a key. One that others can read has given the key away,
// and one that they can change decides who is charged: both are refused. One that root lends to
// the group of this process is accepted. A pipe that nothing writes to is waited for until ctx ends.
func readKeyFile(ctx context.Context, name string, insecure bool) ([]byte, error) {
	read := make(chan struct{})
	var text []byte
	var readErr error
	go func() { // ends with the pipe, or with the process: opening it cannot be taken back
		defer close(read)
		text, readErr = readKey(name, insecure, "key", "; --insecure-key-file accepts the file as it is")
	}()
	select {
	case <-read:
		return text, readErr
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// readKey reads a file with a key or a signing secret, which no other user may be able to read. advice is what else helps.
func readKey(name string, insecure bool, noun, advice string) ([]byte, error) {
	if info, err := os.Stat(name); err == nil && info.Mode()&os.ModeDevice != 0 {
		return nil, fmt.Errorf("%s is a device, not a file with a %s", name, noun)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	// A pipe has no permissions of its own, and Windows has access lists instead.
	if shared := info.Mode().Perm() & 0o066; shared != 0 && info.Mode().IsRegular() && !insecure && runtime.GOOS != "windows" && !isLent(info) {
		return nil, fmt.Errorf("%s has mode %04o, so other users of this machine can read or change it: chmod 600 %[1]s, and replace the %[3]s if it may have been read%[4]s", name, info.Mode().Perm(), noun, advice)
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err == nil && len(raw) > maxKeyFile {
		return nil, fmt.Errorf("%s holds more than a %s: it is longer than %d KiB", name, noun, maxKeyFile>>10)
	}
	return raw, err
}

// checkKeyText says whether a key can stand in a header, without showing it.
func checkKeyText(key, from string) error {
	for i, r := range key {
		if r <= ' ' || r > '~' {
			return &Error{KindAuth, fmt.Errorf("the API key in %s has a character at position %d that cannot be sent, such as a space or a line break; it must be the key and nothing else", from, i+1)}
		}
	}
	return nil
}

// maxSharedKeys is the number of damaged keys that a manifest lists.
const maxSharedKeys = 100

// describeList turns what a source knows of its input into the manifest's fingerprint.
func describeList(l *sources.List) pipeline.Input {
	in := l.Input()
	var objects []pipeline.InputObject
	for _, o := range in.Objects {
		objects = append(objects, pipeline.InputObject{URI: o.URI, ETag: o.ETag, SHA256: o.SHA256, Size: o.Size})
	}
	var shared []pipeline.SharedKey
	for _, k := range in.SharedKeys[:min(len(in.SharedKeys), maxSharedKeys)] {
		shared = append(shared, pipeline.SharedKey{Key: k.Key, Lines: k.Lines, Places: k.Where()})
	}
	return pipeline.Input{
		URI: in.URI, Objects: objects, SHA256: in.SHA256, Bytes: in.Bytes, Lines: in.Lines, Records: in.Records,
		Encoding: in.Encoding, Compression: in.Compression, Delimiter: in.Delimiter, Mapping: in.Mapping, Notes: in.Notes,
		SharedKeys: shared, Sheet: in.Sheet, Format: string(in.Format), HeaderLine: in.HeaderLine, Columns: describeColumns(in.Columns),
		Kept: in.Kept, Shard: in.Part,
	}
}

// describeColumns returns the columns that hold a field or look like an identifier.
func describeColumns(columns []sources.Column) []pipeline.InputColumn {
	var described []pipeline.InputColumn
	for _, c := range columns {
		if len(c.Fields) == 0 && c.Looks == "" {
			continue
		}
		var fields []pipeline.InputColumnField
		for _, f := range c.Fields {
			fields = append(fields, pipeline.InputColumnField{Field: f.Field, Reason: string(f.Reason)})
		}
		described = append(described, pipeline.InputColumn{Number: c.Number, Name: c.Name, Fields: fields, Looks: c.Looks, Filled: c.Filled, Alike: c.Alike, Unused: c.Unused})
	}
	return described
}

// newRunID names a run by its start and four random bytes, so that runs sort by
// time and never share a name.
func newRunID(now time.Time, random io.Reader) (string, error) {
	var b [4]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s-%x", now.UTC().Format("20060102T150405Z"), b), nil
}
