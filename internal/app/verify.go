package app

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

// Finding is the result of checking one invariant.
type Finding struct {
	Number     int
	Text       string
	Detail     string
	Violations []string // nil when it holds
	remedied   int      // violations that say what to do about them, which is less than a rebuild
	inLedger   bool     // what is broken, if anything is, another lake from this journal would have too
	pruned     bool     // answers are gone from the journal
	lost       bool     // a salvage lost calls or lines of published runs
	// The check did not run; Detail says why.
	Unchecked bool
	// What the check left out; empty: nothing.
	LeftOut string
}

// VerifyOptions say what is checked.
type VerifyOptions struct {
	Lake  string
	Quick bool // no answer is read: manifests, bytes and sums only
	Jobs  int  // runs and files that are checked at once, as far as the memory allows it
	Store StoreOptions
	Meter NewWorkMeter
}

// VerifyLake checks the invariants of a lake. When some are violated it returns an
// error with the findings. If the lake cannot be read, the findings are those of the checks that were possible.
func VerifyLake(ctx context.Context, env *Env, o VerifyOptions) ([]Finding, error) {
	if err := checkJobs(o.Jobs); err != nil {
		return nil, err
	}
	if !o.Quick {
		o.Store.warnOfLittleMemory(env, minMemory)
	}
	l, err := openExistingLake(ctx, env, o.Store, o.Lake, readOnly)
	var journal error // why it cannot be read
	if errors.Is(err, wal.ErrCorrupt) || errors.Is(err, sinks.ErrIntegrity) || isUnreadable(o.Lake, err) {
		l, journal, err = &lake{env: env, uri: o.Lake, options: sinkOptions(env, o.Store)}, err, nil
	}
	if err != nil {
		return unopenedFindings(err), err
	}
	defer l.close() //nolint:errcheck // nothing was written that matters
	findings, err := checkInvariants(ctx, l, o, journal)
	if errors.Is(err, wal.ErrCorrupt) { // in a record that opening did not read
		findings, err = checkInvariants(ctx, l, o, err)
	}
	switch {
	case ctx.Err() != nil:
		return nil, cmp.Or(err, ctx.Err())
	case err != nil:
		return findings, lakeError(err)
	case isUnreadable(o.Lake, journal):
		return findings, journal
	}
	return findings, verdict(ctx, l, o.Lake, findings)
}

// isUnreadable reports whether an error is that a journal cannot be read, although the rest of its lake may be: a store that
// does not answer has neither.
func isUnreadable(uri string, err error) bool {
	own := new(Error)
	return isStorage(err) || errors.As(err, &own) && own.Kind == KindStorage && !sinks.OnS3(uri)
}

// verdict is the error of a lake some of whose invariants are violated; nil: none is.
func verdict(ctx context.Context, l *lake, uri string, findings []Finding) error {
	violated := 0
	for _, f := range findings {
		if len(f.Violations) > 0 {
			violated++
		}
	}
	switch {
	case violated > 0 && l.ledger != nil && l.changedSinceOpen(ctx):
		return &Error{KindLocked, fmt.Errorf("a run worked on %s during the comparison, which is therefore invalid: verify again when the run has ended", uri)}
	case violated > 0:
		return &Error{KindIntegrity, fmt.Errorf("%d of %s of %s violated", violated, format.Count(len(findings), "invariant"), uri)}
	}
	return nil
}

// IsViolated reports whether an invariant is violated.
func IsViolated(findings []Finding) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool { return len(f.Violations) > 0 })
}

// IsRebuildable reports whether a lake that is rebuilt from the journal would
// violate none of the invariants, and nothing less does. One with pruned answers cannot be rebuilt, and one
// of which a salvage lost something has rows that its journal lacks.
func IsRebuildable(findings []Finding) bool {
	return NeedsRebuild(findings) && !slices.ContainsFunc(findings, func(f Finding) bool { return f.pruned || f.lost || len(f.Violations) > 0 && f.inLedger })
}

// NeedsRebuild reports whether something is violated of which no violation says what to do.
func NeedsRebuild(findings []Finding) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool { return len(f.Violations) > f.remedied })
}

// checkInvariants checks the invariants of the lake. journal is why its journal cannot be read; nil: it can.
func checkInvariants(ctx context.Context, l *lake, o VerifyOptions, journal error) ([]Finding, error) {
	sink, err := sinks.Inspect(ctx, l.uri, l.options)
	if err != nil {
		return unopenedFindings(err), err
	}
	defer sink.Close() //nolint:errcheck // it was only read
	p := &publicationCheck{lake: l, sink: sink, store: o.Store, jobs: o.Jobs, memory: o.Store.memory(l.env), listed: map[string]pipeline.File{}, remedied: map[string]int{}}
	defer func() { p.meter.Close() }()
	if journal != nil {
		p.meter = NewWorkMeter(nil).begin("", 0)
		if err := p.checkWithoutJournal(ctx); err != nil {
			return p.stoppedFindings(err), err
		}
		return journalFindings(p, journal), nil
	}
	if o.Quick {
		p.meter = NewWorkMeter(nil).begin("", 0)
		if err := p.checkQuickly(ctx); err != nil {
			return p.stoppedFindings(err), err
		}
		return quickFindings(p), nil
	}
	p.showAnswers(o.Meter)
	if key := strings.TrimSpace(l.env.Getenv(KeyVariable)); len(key) >= minSecret {
		p.secret = []byte(key)
	}
	if err := p.checkAll(ctx); err != nil {
		return p.stoppedFindings(err), err
	}
	return completeFindings(p), nil
}

// checkAll checks everything. Answers that are compared with rows are audited on the way, so that they are
// decoded once. The audit reads the others after that.
func (p *publicationCheck) checkAll(ctx context.Context) (err error) {
	p.stoppedAt = recordedFirst
	if p.auditor, err = p.lake.ledger.BeginAudit(ctx, contains(p.secret)); err != nil {
		return err
	}
	err = p.checkPublished(ctx)
	if err != nil && !errors.Is(err, wal.ErrCorrupt) {
		return err
	}
	// Of several damaged answers the audit names the first one, and not the one that was read first.
	audit, auditErr := p.auditor.Finish(ctx)
	p.audit = audit
	return cmp.Or(auditErr, err)
}

// showAnswers shows how many answers were read.
func (p *publicationCheck) showAnswers(meter NewWorkMeter) {
	answers := 0
	for _, r := range p.lake.ledger.Runs() {
		answers += r.CallCount()
	}
	p.meter = meter.begin("answers", answers)
	p.lake.answerRead = func() { p.meter.Add(1) }
}

// minSecret is the length of a key that can be distinguished from other text.
const minSecret = 8

// contains reports whether text contains a secret; nil: it is not known.
func contains(secret []byte) func(text []byte) bool {
	if secret == nil {
		return nil
	}
	return func(text []byte) bool { return bytes.Contains(text, secret) }
}

// completeFindings are the findings after all checks.
func completeFindings(p *publicationCheck) []Finding {
	audit := p.audit
	return []Finding{
		{Number: 1, Text: allocated, Detail: answersText(audit), Violations: append(audit.Mismatched, p.unbalanced...), inLedger: len(audit.Mismatched) > 0, pruned: len(audit.Pruned) > 0},
		{Number: 2, Text: withinInterval, Detail: intervalText(audit), Violations: p.undeclared},
		{Number: 3, Text: recordedFirst, Detail: format.Count(audit.Attempts, "attempt"), Violations: slices.Concat(audit.WithoutIntent, audit.Checkpoint, audit.Unannounced, p.older), inLedger: true},
		{Number: 4, Text: boughtOnce, Detail: format.Count(audit.Entities, "identity") + " with an answer", Violations: audit.BoughtTwice, inLedger: true},
		{Number: 5, Text: rowsMatch, Detail: p.rowText(), Violations: p.differing, lost: len(p.incomplete) > 0},
		{Number: 6, Text: filesListed, Detail: p.fileText(), Violations: p.unlisted, remedied: p.remedied[filesListed]},
		{Number: 7, Text: filesIntact, Detail: format.Bytes(p.bytes) + " read", Violations: p.damaged, remedied: p.remedied[filesIntact]},
		{Number: 8, Text: oneChain, Detail: p.chainText(), Violations: p.brokenChain, remedied: p.remedied[oneChain]},
		{Number: 9, Text: oneStatus, Detail: format.Count(p.lines, "line"), Violations: p.badStatus},
		{Number: 10, Text: withinBudget, Detail: format.Count(audit.Runs, "run"), Violations: audit.OverBudget, inLedger: true},
		{Number: 11, Text: keyNowhere, Detail: p.secretText(), Violations: append(audit.WithSecret, p.leaks...), inLedger: true, Unchecked: p.secret == nil},
		{Number: 12, Text: nothingLeft, Detail: p.finishedText, Violations: p.unfinished},
	}
}

// unopenedFindings are the findings if a lake cannot be opened for a reason other than the command line: none of the
// invariants was checked.
func unopenedFindings(err error) []Finding {
	if own := new(Error); errors.As(err, &own) && own.Kind == KindUsage {
		return nil
	}
	return (&publicationCheck{remedied: map[string]int{}}).stoppedFindings(err)
}

// stoppedFindings are the findings if a check could not read what it needs: what was found until then, and why it
// stopped.
func (p *publicationCheck) stoppedFindings(err error) []Finding {
	findings := []Finding{
		{Text: allocated, Violations: p.unbalanced}, {Text: withinInterval, Violations: p.undeclared}, {Text: recordedFirst, Violations: p.older, inLedger: true},
		{Text: boughtOnce}, {Text: rowsMatch, Violations: p.differing}, {Text: filesListed, Violations: p.unlisted}, {Text: filesIntact, Violations: p.damaged},
		{Text: oneChain, Violations: p.brokenChain}, {Text: oneStatus, Violations: p.badStatus}, {Text: withinBudget}, {Text: keyNowhere, Violations: p.leaks}, {Text: nothingLeft, Violations: p.unfinished},
	}
	isTemporary := errors.As(err, new(*TemporaryError)) // of which the lake is not the cause
	for i := range findings {
		f := &findings[i]
		f.Number, f.remedied, f.Detail = i+1, p.remedied[f.Text], "the check stopped before its end"
		if f.Text == p.stoppedAt && !isTemporary {
			f.Violations = append(f.Violations, unreadText(err))
			f.remedied++
		}
		f.Unchecked = len(f.Violations) == 0
	}
	return findings
}

// unreadText says why something cannot be read, and what to do if a permission is missing.
func unreadText(err error) string {
	if errors.Is(err, fs.ErrPermission) {
		return err.Error() + "; grant the permission to read it"
	}
	return err.Error()
}

// The invariants.
const (
	allocated      = "the ledger equals the sum of the charges, and every charge is allocated to the credit"
	withinInterval = "the vendor's bill lies within the interval"
	recordedFirst  = "every attempt was recorded before it was sent, and the journal has all that manifests name"
	boughtOnce     = "nothing was bought twice, except on request"
	rowsMatch      = "published rows match the answers"
	filesListed    = "a manifest lists every visible file"
	filesIntact    = "every visible file is intact"
	oneChain       = "the generations form one chain, and each lists the files that hold every row"
	oneStatus      = "every line has exactly one status"
	withinBudget   = "no run could exceed its budget at any time"
	keyNowhere     = "the API key is stored nowhere"
	nothingLeft    = "a finished run has nothing left to request"
)

// answersText counts the answers and their charges.
func answersText(a *ledger.Audit) string {
	text := fmt.Sprintf("%s over %s", format.Count(a.Charged, "credit"), format.Count(a.Answers, "answer"))
	pruned := 0
	for _, n := range a.Pruned {
		pruned += n
	}
	if pruned > 0 {
		text += fmt.Sprintf("; of %s that siglake prune removed, the recorded outcomes", format.Thousands(int64(pruned)))
	}
	return text
}

// intervalText is the vendor's bill as far as it is known. What was decided about
// a doubt does not narrow it.
func intervalText(a *ledger.Audit) string {
	u := a.Liability
	text := fmt.Sprintf("between %s and %s credits: %s in doubt, %s unknown", format.Thousands(a.Charged), format.Thousands(a.Charged+u.MaxCost),
		format.Count(u.InDoubt.Calls, "call"), format.Count(u.UnknownCharge.Calls, "charge"))
	if n := u.Retry.Calls; n > 0 {
		text += fmt.Sprintf(", %s released for retry", format.Count(n, "call"))
	}
	if n := u.WrittenOff.Calls; n > 0 {
		text += fmt.Sprintf(", %s accepted as lost", format.Count(n, "call"))
	}
	if len(a.AboveCeiling) > 0 {
		text += "; discrepancy: " + format.List(a.AboveCeiling, 5)
	}
	return text
}

func (p *publicationCheck) secretText() string {
	if p.secret == nil {
		return KeyVariable + " is not set, or too short to distinguish from other text"
	}
	return format.Bytes(p.scanned) + " and every answer searched"
}

// publicationCheck is what the lake shows, held against the journal.
type publicationCheck struct {
	lake    *lake
	sink    *sinks.Inspector
	jobs    int // files that are read at once, and partitions that are sorted
	memory  Memory
	meter   WorkMeter
	store   StoreOptions             // of the lake
	secret  []byte                   // the API key; nil: it is not searched
	auditor *ledger.Auditor          // nil: no answer is read
	audit   *ledger.Audit            // its result
	chain   []*pipeline.Manifest     // of all generations
	cut     bool                     // some of them cannot be read
	listed  map[string]pipeline.File // files in manifests that are not checked yet, by path
	read    map[string]*readFile     // files that are there, by path

	runs, generations, visible      int
	compactions, compacted, orphans int // generations, their files, files of those that never became one
	events, lines, bytes, scanned   int64
	finishedText                    string
	noMerges                        string          // the list of the newest compaction, if it is missing; empty: it is there
	incomplete                      []string        // runs of which a salvage lost calls or lines, which was accepted
	unlinked                        []string        // runs and compactions not compared, since a manifest cannot be read
	lacking                         []string        // runs and compactions not compared, since a file cannot be read
	pruned                          int             // runs with pruned answers
	removed                         map[string]bool // files that siglake prune removes
	gone                            int             // those of them that are not there
	unread                          int             // compactions that replaced some of these

	remedied  map[string]int // violations of an invariant that say what to do about them
	stoppedAt string         // the invariant of the check that is running; empty: none

	unbalanced, undeclared, differing, unlisted, damaged, brokenChain, badStatus, unfinished, leaks, older []string
}

func (p *publicationCheck) rowText() string {
	text := fmt.Sprintf("%s rebuilt, %s", format.Count(p.runs, "run"), format.Count(p.events, "event row"))
	if p.compactions > 0 {
		text += ", " + format.Count(p.compactions, "compaction") + " re-read"
	}
	if p.unread > 0 {
		text += ", " + format.Count(p.unread, "compaction") + " not re-read, since siglake prune removed the replaced files"
	}
	if p.pruned > 0 {
		text += "; " + format.Count(p.pruned, "run") + " not rebuilt, since siglake prune removed the answers: only their credits were compared"
	}
	if len(p.incomplete) > 0 {
		text += "; " + p.incompleteText()
	}
	if len(p.unlinked) > 0 {
		text += "; not compared, since a manifest cannot be read: " + format.List(p.unlinked, 5)
	}
	if len(p.lacking) > 0 {
		text += "; not compared, since a file of theirs, or of an earlier run, cannot be read: " + format.List(p.lacking, 5)
	}
	return text
}

// incompleteText names the runs that were not compared, since a salvage lost something of them.
func (p *publicationCheck) incompleteText() string {
	return "not compared, since a salvage of the journal lost calls or lines: " + format.List(p.incomplete, 5)
}

func (p *publicationCheck) fileText() string {
	text := format.Count(p.visible, "file")
	if p.compacted > 0 {
		text += fmt.Sprintf(", %d of compactions", p.compacted)
	}
	if p.gone > 0 {
		text += fmt.Sprintf("; %s removed by siglake prune", format.Thousands(int64(p.gone)))
	}
	if p.orphans > 0 {
		text += fmt.Sprintf("; %d unused, of abandoned compactions", p.orphans)
	}
	return text
}

// checkPublished compares what the lake shows with the journal.
func (p *publicationCheck) checkPublished(ctx context.Context) error {
	return p.runChecks(ctx, p.chainCheck(), p.filesCheck(), check{oneChain, p.checkGenerations}, check{oneChain, p.checkJournal},
		check{recordedFirst, publishedRuns{p}.checkRuns}, check{filesIntact, fileReader{p}.checkFiles}, check{keyNowhere, p.findSecret})
}

// check is a part of the verification.
type check struct {
	// That is violated if what the check reads cannot be read.
	invariant string
	run       func(context.Context) error
}

func (p *publicationCheck) chainCheck() check { return check{oneChain, p.readChain} }
func (p *publicationCheck) filesCheck() check { return check{filesIntact, fileReader{p}.readFiles} }

// runChecks runs one check after another, up to the first that cannot run.
func (p *publicationCheck) runChecks(ctx context.Context, checks ...check) error {
	for _, c := range checks {
		p.stoppedAt = c.invariant
		if err := c.run(ctx); err != nil {
			return err
		}
	}
	p.stoppedAt = ""
	return nil
}

// readChain reads the chain of manifests.
func (p *publicationCheck) readChain(ctx context.Context) (err error) {
	p.chain, err = p.sink.ReadChain(ctx)
	switch {
	case errors.Is(err, sinks.ErrIntegrity):
		p.cut = true
		p.breakChain(err)
	case err != nil:
		return err
	case len(p.chain) == 0 && slices.ContainsFunc(p.journalRuns(), func(r *ledger.Run) bool { return r.Published != nil }):
		if p.chain = p.sink.ReadNumbered(ctx); len(p.chain) > 0 {
			p.breakChain(&sinks.RemedyError{Err: errors.New("_meta/current.json is missing: siglake compact writes it again from the manifests")})
		}
	}
	p.removed = sinks.RemovedFiles(p.chain)
	return nil
}

// journalRuns are the runs of the journal; none if it cannot be read.
func (p *publicationCheck) journalRuns() []*ledger.Run {
	if p.lake.ledger == nil {
		return nil
	}
	return p.lake.ledger.Runs()
}

// breakChain reports an error of the chain of manifests.
func (p *publicationCheck) breakChain(err error) {
	p.brokenChain = append(p.brokenChain, err.Error())
	p.countRemedy(oneChain, err)
}

// countRemedy counts a violation of an invariant if it says what to do about it.
func (p *publicationCheck) countRemedy(invariant string, err error) {
	if hasRemedy(err) {
		p.remedied[invariant]++
	}
}

// checkGenerations checks what needs no journal.
func (p *publicationCheck) checkGenerations(ctx context.Context) error {
	for _, m := range p.chain {
		p.generations++
		p.list(m)
		if !m.Run.Kind.IsMaintenance() {
			p.checkTotals(m)
		} else if p.auditor != nil {
			fileReader{p}.checkCompaction(m)
		}
	}
	violations, err := p.sink.CheckSnapshots(ctx, p.chain)
	p.brokenChain = append(p.brokenChain, violations...)
	if err != nil || p.cut { // the list of merges may name compactions whose manifests cannot be read
		return err
	}
	if err = p.sink.CheckMerges(ctx, p.chain); errors.Is(err, sinks.ErrIntegrity) {
		p.breakChain(err)
		return nil
	}
	if err == nil {
		p.noMerges, err = p.sink.MissingMerges(ctx, p.chain)
	}
	return err
}

func (p *publicationCheck) chainText() string {
	text := format.Count(p.generations, "generation")
	if p.noMerges != "" {
		text += "; " + p.noMerges + " is missing: until siglake compact writes it, tables of query engines read the files that were merged"
	}
	return text
}

// checkJournal looks for what manifests name and the journal lacks. The newest manifest counts even
// if current.json does not name it.
func (p *publicationCheck) checkJournal(ctx context.Context) error {
	all := p.chain
	_, err := p.sink.ReadManifests(ctx, func(int64) bool { return true }, func(newest *pipeline.Manifest) error {
		if n := len(all); n == 0 || all[n-1].Generation < newest.Generation {
			all = append(slices.Clip(all), newest)
		}
		return nil
	})
	switch {
	case err != nil && !errors.Is(err, sinks.ErrIntegrity):
		return err
	case err != nil && !p.cut: // the chain itself was read
		p.breakChain(err)
	}
	for _, m := range all {
		if missing := missingFromJournal(p.lake.ledger, m); missing != "" {
			p.older = append(p.older, fmt.Sprintf("the journal is older than the lake: generation %d was published at %s, and %s; %s",
				m.Generation, timeText(m.Run.Finished), missing, restoreText(p.store, m.Run.Finished)))
		}
	}
	return nil
}

// list adds the files that a manifest names.
func (p *publicationCheck) list(m *pipeline.Manifest) {
	for _, f := range m.Files {
		p.listed[f.Path] = f
	}
}

// checkTotals adds up what a manifest says.
func (p *publicationCheck) checkTotals(m *pipeline.Manifest) {
	p.lines += m.Accounts.Lines
	var lines, rows, credits int64
	for _, n := range m.Accounts.ByStatus {
		lines += n
	}
	for _, f := range m.Files {
		if f.Table == schema.Accounts.Name {
			rows += f.Rows
		}
	}
	if lines != m.Accounts.Lines || rows != m.Accounts.Lines {
		p.badStatus = append(p.badStatus, fmt.Sprintf("run %s: %s, %s, %s", m.Run.ID, format.Count(m.Accounts.Lines, "line"), format.Count(lines, "status"), format.Count(rows, "row")))
	}
	for _, n := range m.Credits.BySignal {
		credits += n
	}
	if credits+m.Credits.WholeCall != m.Credits.Charged {
		p.unbalanced = append(p.unbalanced, fmt.Sprintf("run %s: %s charged, %s allocated", m.Run.ID, format.Count(m.Credits.Charged, "credit"), format.Thousands(credits+m.Credits.WholeCall)))
	}
}
