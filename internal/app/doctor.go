package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/bucket"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

// DoctorOptions say what is looked at.
type DoctorOptions struct {
	Lake  string // empty: none
	API   APIOptions
	Store StoreOptions
}

// CheckResult is one finding: ok, a warning, or a failure with the error that a run
// would end with.
type CheckResult struct {
	Name   string `json:"check"`
	State  string `json:"state"` // ok, warning, failed
	Detail string `json:"detail"`
	Advice string `json:"advice,omitempty"`
	Err    error  `json:"-"`
}

// checkup collects findings.
type checkup struct {
	DoctorOptions
	env     *Env
	results []CheckResult
}

func (x *checkup) addOK(name, detail string, args ...any) {
	x.results = append(x.results, CheckResult{Name: name, State: "ok", Detail: fmt.Sprintf(detail, args...)})
}

func (x *checkup) addWarning(name, advice, detail string, args ...any) {
	x.results = append(x.results, CheckResult{Name: name, State: "warning", Detail: fmt.Sprintf(detail, args...), Advice: advice})
}

func (x *checkup) addFailure(name string, err error, advice string) {
	x.results = append(x.results, CheckResult{Name: name, State: "failed", Detail: err.Error(), Advice: advice, Err: err})
}

// Examine looks at everything that a run needs. With the findings it gives the
// policy that a bucket needs.
func Examine(ctx context.Context, env *Env, o DoctorOptions, open func(context.Context) (Endpoint, error)) (results []CheckResult, policy string) {
	x := &checkup{DoctorOptions: o, env: env}
	x.checkAccount(ctx, open)
	if o.Lake != "" {
		policy = x.checkLake(ctx, o.Lake)
	}
	return x.results, policy
}

// clockTolerance is how far clocks may differ before rate windows are misjudged.
const clockTolerance = 30 * time.Second

// checkAccount looks at key, options, usage and clock.
func (x *checkup) checkAccount(ctx context.Context, open func(context.Context) (Endpoint, error)) {
	at, err := open(ctx)
	if err != nil {
		x.addFailure("key", err, "")
		return
	}
	defer at.Close()
	client, err := newClient(x.env, x.API, at)
	if err != nil {
		x.addFailure("key", &Error{KindUsage, err}, "")
		return
	}
	limiter, err := newLimiter(ctx, x.env, x.API.withS3(x.Store.S3), at)
	if err != nil {
		x.addFailure("quota", err, "")
		return
	}
	defer limiter.Close() //nolint:errcheck // its counts are kept call by call
	client.OnFreeRequest(limiter.AddCalls)
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	options, err := client.FetchOptions(ctx, schema.Company)
	optionsV3, errV3 := client.FetchOptionsV3(ctx, schema.Company)
	if unserved := unservedText(err); unserved != "" && errV3 == nil {
		x.addWarning("api", "siglake run uses v3", "v2 answers: %s", unserved)
		options, err = optionsV3, nil
	}
	if err != nil {
		x.addFailure("key", err, "check the key, the account and --base-url")
		return
	}
	x.addOK("key", "%s accepts it and offers %s for companies", at.BaseURL, format.Count(len(options.Signals), "signal type"))
	if errV3 != nil {
		x.addWarning("api", "siglake run --api v2 works without it; resolve, score, lookalikes and visitors need it", "v3 is not available: %v", errV3)
	} else {
		x.addOK("api", "v3 offers %s for companies", format.Count(len(optionsV3.Signals), "signal type"))
	}
	switch clock := options.ClockOffset; {
	case clock == nil:
		x.addWarning("clock", "", "the API's answers have no date")
	case clock.Ahead.Abs()-clock.Tolerance > clockTolerance:
		x.addWarning("clock", "set this machine's clock, for example with NTP", "it differs from the API's by %s: siglake would misjudge days and rate windows", clock.Ahead.Abs().Round(time.Second))
	default:
		x.addOK("clock", "within %s of the API's clock", (clock.Ahead.Abs() + clock.Tolerance).Round(100*time.Millisecond))
	}
	x.checkUsage(ctx, client)
	x.checkQuota(ctx)
	for _, w := range limiter.State().Windows {
		if w.Limit >= 0 {
			x.addOK("rate", "%s: %s", w.Name, callsLeftText(w.Left, w.Limit))
		}
	}
}

// grantAdvice is an advice about permissions, for a request that a store has refused; the message of another error says
// itself what to do.
func grantAdvice(err error, advice string) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return advice
	case errors.Is(err, bucket.ErrUnconditional):
		return "siglake cannot use a store without conditional writes"
	}
	return ""
}

// checkQuota tries what sharing the rate windows with other hosts rests on.
func (x *checkup) checkQuota(ctx context.Context) {
	b, err := quotaBucket(ctx, x.env, x.API.withS3(x.Store.S3))
	if err != nil || b == nil { // it was reported when the limiter was opened
		return
	}
	started := time.Now()
	if err := b.ProbeConditions(ctx, ""); err != nil {
		x.addFailure("quota", &Error{KindStorage, err}, grantAdvice(err, "grant s3:GetObject, s3:PutObject and s3:DeleteObject below --quota"))
		return
	}
	x.addOK("quota", "%s honours conditional writes; seven requests took %s", b.URI(""), time.Since(started).Round(time.Millisecond))
}

func (x *checkup) checkUsage(ctx context.Context, client *lusha.Client) {
	u, err := client.FetchUsage(ctx)
	if err != nil {
		x.addWarning("account", "a run works without it: it assumes 1 credit per event, and takes rate windows from --plan", "its usage is not available: %v", err)
		return
	}
	switch {
	case u.Remaining == 0:
		x.addFailure("account", &Error{KindDeferred, errors.New("no credits are left")}, "buy credits first")
	case u.Remaining < 0:
		x.addWarning("account", "", "it does not state how many credits are left")
	default:
		x.addOK("account", "%s left, plan %s", format.Count(u.Remaining, "credit"), orDefault(u.Plan, "not stated"))
	}
	for _, action := range []string{"showSignalsContact", "showSignalsCompany"} {
		if p, ok := u.Prices[action]; ok {
			x.addOK("price", "%s: %s for every %d", action, format.Count(p.Credits, "credit"), p.PerQuantity)
		} else {
			x.addWarning("price", "", "%s has no price, which does not mean that it is free", action)
		}
	}
}

// callsLeftText says what is left of a rate window; left is negative when unknown.
func callsLeftText(left, limit int64) string {
	if left < 0 {
		return format.Count(limit, "call") + " allowed, remaining unknown"
	}
	return fmt.Sprintf("%s of %s left", format.Thousands(left), format.Count(limit, "call"))
}

func orDefault(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

// checkLake looks at everything that keeps what was paid for. It gives the policy
// that a bucket needs.
func (x *checkup) checkLake(ctx context.Context, uri string) (policy string) {
	if sinks.OnS3(uri) {
		policy = x.checkBucket(ctx, uri)
		if scratch, err := sinks.ScratchDir(uri, x.Store.S3.endpointOf(x.env, uri), x.Store.Scratch); err != nil {
			x.addFailure("scratch", &Error{KindStorage, err}, "")
		} else {
			x.checkDisk(scratch, "scratch")
		}
	} else {
		x.checkDisk(strings.TrimPrefix(uri, "file://"), "disk")
	}
	inspector, err := inspectLake(ctx, x.env, x.Store, uri)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		x.addOK("lake", "none yet: the first run creates it")
		return policy
	case err != nil:
		x.addFailure("lake", err, "")
		return policy
	}
	defer inspector.Close() //nolint:errcheck // it was only read
	chain, err := inspector.ReadChain(ctx)
	if err != nil {
		x.addFailure("lake", lakeError(err), "siglake verify reports details")
	} else if len(chain) == 0 {
		x.addOK("lake", "empty")
	} else {
		newest := chain[len(chain)-1]
		x.addOK("lake", "%s, the newest of %s", format.Count(newest.Generation, "generation"), newest.Run.Finished.UTC().Format("2006-01-02 15:04 UTC"))
	}
	x.checkJournal(ctx, uri)
	return policy
}

// checkJournal opens the journal, which reads all of its heads.
func (x *checkup) checkJournal(ctx context.Context, uri string) {
	switch exists, err := lakeExists(ctx, x.env, x.Store, uri); {
	case err != nil:
		x.addFailure("journal", err, "")
		return
	case !exists:
		x.addOK("journal", "none yet: the first run creates it")
		return
	}
	l, err := openLake(ctx, x.env, x.Store, uri, readOnly)
	if err != nil {
		advice := "siglake verify reports details"
		if kind := new(Error); errors.As(err, &kind) && kind.Kind == KindIntegrity {
			advice = "restore the journal from a copy, or see siglake help lake about siglake salvage"
		}
		x.addFailure("journal", err, advice)
		return
	}
	defer l.close() //nolint:errcheck // nothing was written
	if err := checkJournal(ctx, l, x.Store, l.ledger, false); err != nil && !l.changedSinceOpen(ctx) {
		x.addFailure("journal", lakeError(err), "no command that pays works on the lake until then")
		return
	}
	runs, inDoubt := l.ledger.Runs(), l.ledger.CallsInDoubt()
	x.addOK("journal", "%s", format.Count(len(runs), "run"))
	if n := len(inDoubt); n > 0 {
		x.addWarning("journal", "siglake held list --lake "+uri+" shows them", "in doubt: %s", format.Count(n, "call"))
	}
	if last := lastCommand(runs); last != nil && last.Published == nil {
		x.addWarning("journal", "siglake resume --lake "+uri+" continues it", "run %s is unfinished", last.ID)
	}
	if last := lastPublication(runs); last != nil && last.Published == nil {
		x.addWarning("journal", "siglake webhooks publish --lake "+uri+" continues it", "run %s, which publishes deliveries, is unfinished", last.ID)
	}
}

// minFreeDisk is how much free disk a run should find.
const minFreeDisk = 1 << 30

// checkDisk tries a durable write where a directory is or will be.
func (x *checkup) checkDisk(path, name string) {
	path, err := filepath.Abs(path)
	if err != nil {
		x.addFailure(name, &Error{KindStorage, err}, "")
		return
	}
	for {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			break
		}
		if filepath.Dir(path) == path {
			break
		}
		path = filepath.Dir(path)
	}
	took, err := timeSync(path)
	if err != nil {
		x.addFailure(name, &Error{KindStorage, err}, "siglake needs write permission there")
		return
	}
	free, known := freeSpace(path)
	switch {
	case known && free < minFreeDisk:
		x.addWarning(name, "free space before a large run", "%s: %s free, a durable write takes %s", path, format.Bytes(free), took.Round(100*time.Microsecond))
	case known:
		x.addOK(name, "%s: %s free, a durable write takes %s", path, format.Bytes(free), took.Round(100*time.Microsecond))
	default:
		x.addOK(name, "%s: a durable write takes %s", path, took.Round(100*time.Microsecond))
	}
}

// timeSync makes a small file durable and removes it again.
func timeSync(dir string) (took time.Duration, err error) {
	f, name, err := createNameless(dir, ".siglake-doctor-*")
	if err != nil {
		return 0, err
	}
	if name != "" {
		defer func() { err = errors.Join(err, os.Remove(name)) }()
	}
	started := time.Now()
	_, err = f.WriteString("can this be written?\n")
	err = errors.Join(err, f.Sync(), f.Close())
	return time.Since(started), err
}

// checkBucket tries what everything rests on, and gives the policy that allows it.
func (x *checkup) checkBucket(ctx context.Context, uri string) (policy string) {
	name, key, err := bucket.SplitURI(uri)
	if err != nil {
		x.addFailure("bucket", UsageErrorf("%v", err), "")
		return ""
	}
	policy = bucketPolicy(name, strings.Trim(key, "/"), x.Store.S3.KMSKey)
	b, err := openBucket(ctx, x.env, x.Store, uri)
	if err != nil {
		x.addFailure("bucket", UsageErrorf("%v", err), "")
		return policy
	}
	started := time.Now()
	if err := b.ProbeConditions(ctx, StateDir); err != nil {
		x.addFailure("bucket", &Error{KindStorage, err}, grantAdvice(err, "grant the permissions below"))
		return policy
	}
	x.addOK("bucket", "%s honours conditional writes; seven requests took %s", b.URI(""), time.Since(started).Round(time.Millisecond))
	for _, dir := range sinks.PublishedDirs() {
		if err := b.ProbeWrite(ctx, dir); err != nil {
			x.addFailure("bucket", &Error{KindStorage, err}, grantAdvice(err, "grant the permissions below"))
		}
	}
	for _, err := range b.List(ctx, "_meta/") {
		if err != nil {
			x.addFailure("bucket", &Error{KindStorage, err}, grantAdvice(err, "without s3:ListBucket, a store answers 403 for a missing object, which looks like a refusal"))
		}
		break
	}
	return policy
}

// bucketPolicy allows what siglake does below a prefix, and nothing else.
func bucketPolicy(name, prefix, kmsKey string) string {
	within := prefix
	if within != "" {
		within += "/"
	}
	type statement struct {
		Sid       string
		Effect    string
		Action    []string
		Resource  []string
		Condition map[string]map[string]string `json:",omitempty"`
	}
	objects := "arn:aws:s3:::" + name + "/" + within
	statements := []statement{
		{Sid: "ReadAndWrite", Effect: "Allow", Action: []string{"s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"}, Resource: []string{objects + "*"}},
		{Sid: "RemoveProbes", Effect: "Allow", Action: []string{"s3:DeleteObject"}, Resource: []string{objects + StateDir + "/probe-*", objects + "_meta/probe-*", objects + "*/_probe-*"}},
		{Sid: "TellMissingFromForbidden", Effect: "Allow", Action: []string{"s3:ListBucket"}, Resource: []string{"arn:aws:s3:::" + name},
			Condition: map[string]map[string]string{"StringLike": {"s3:prefix": within + "*"}}},
	}
	if kmsKey != "" {
		statements = append(statements, statement{Sid: "UseKey", Effect: "Allow", Action: []string{"kms:GenerateDataKey", "kms:Decrypt"}, Resource: []string{kmsKey}})
	}
	text, err := json.MarshalIndent(struct {
		Version   string
		Statement []statement
	}{"2012-10-17", statements}, "", "  ")
	if err != nil {
		panic(err) // of texts
	}
	return string(text)
}
