package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/ledger"
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
	inLedger   bool     // what is broken, if anything is, another lake from this journal would have too
	pruned     bool     // answers are gone from the journal
	// The check could not run; Detail says why.
	Unchecked bool
}

// VerifyLake checks the invariants of a lake. When some are violated it returns an
// error with the findings.
func VerifyLake(ctx context.Context, env *Env, store StoreOptions, uri, key string) ([]Finding, error) {
	l, err := openExistingLake(ctx, env, store, uri, readOnly)
	if err != nil {
		return nil, err
	}
	defer l.close() //nolint:errcheck // nothing was written that matters
	findings, err := checkInvariants(ctx, l, key)
	if err != nil {
		return nil, lakeError(err)
	}
	violated := 0
	for _, f := range findings {
		if len(f.Violations) > 0 {
			violated++
		}
	}
	switch {
	case violated > 0 && l.changedSinceOpen(ctx):
		return findings, &Error{KindLocked, fmt.Errorf("a run worked on %s during the comparison, which is therefore invalid: verify again when the run has ended", uri)}
	case violated > 0:
		return findings, &Error{KindIntegrity, fmt.Errorf("%d of %s of %s violated", violated, format.Count(len(findings), "invariant"), uri)}
	}
	return findings, nil
}

// IsRebuildable reports whether a lake that is rebuilt from the journal would
// violate none of the invariants. One with pruned answers cannot be rebuilt.
func IsRebuildable(findings []Finding) bool {
	return len(findings) > 0 && !slices.ContainsFunc(findings, func(f Finding) bool { return f.pruned || len(f.Violations) > 0 && f.inLedger })
}

// checkInvariants checks the invariants of the lake. key must occur nowhere in it.
func checkInvariants(ctx context.Context, l *lake, key string) ([]Finding, error) {
	var secret func([]byte) bool
	if len(key) >= 8 {
		secret = func(p []byte) bool { return bytes.Contains(p, []byte(key)) }
	}
	audit, err := l.ledger.Audit(ctx, secret)
	if err != nil {
		return nil, err
	}
	sink, err := sinks.Inspect(ctx, l.uri, l.options)
	if err != nil {
		return nil, err
	}
	defer sink.Close() //nolint:errcheck // it was only read
	published, err := checkPublished(ctx, l, sink, audit)
	if err != nil {
		return nil, err
	}
	if secret != nil {
		err := sink.ScanObjects(ctx, func(name string, content []byte) {
			published.scanned += int64(len(content))
			if secret(content) {
				published.leaks = append(published.leaks, name)
			}
		})
		if err != nil {
			return nil, err
		}
	}
	p := published
	return []Finding{
		{1, "the ledger equals the sum of the charges, and every charge is allocated to the credit",
			answersText(audit), append(audit.Mismatched, p.unbalanced...), len(audit.Mismatched) > 0, len(audit.Pruned) > 0, false},
		{2, "the vendor's bill lies within the interval",
			intervalText(audit), p.undeclared, false, false, false},
		{3, "every attempt was recorded before it was sent, and the journal has all that manifests name",
			format.Count(audit.Attempts, "attempt"), slices.Concat(audit.WithoutIntent, audit.Checkpoint, audit.Unannounced, p.older), true, false, false},
		{4, "nothing was bought twice, except on request", format.Count(audit.Entities, "identity") + " with an answer", audit.BoughtTwice, true, false, false},
		{5, "published rows match the answers", p.rowText(), p.differing, false, false, false},
		{6, "a manifest lists every visible file", p.fileText(), p.unlisted, false, false, false},
		{7, "every visible file is intact", format.Bytes(p.bytes) + " read", p.damaged, false, false, false},
		{8, "the generations form one chain, and each lists the files that hold every row", format.Count(p.generations, "generation"), p.brokenChain, false, false, false},
		{9, "every line has exactly one status", format.Count(p.lines, "line"), p.badStatus, false, false, false},
		{10, "no run could exceed its budget at any time", format.Count(audit.Runs, "run"), audit.OverBudget, true, false, false},
		{11, "the API key is stored nowhere", secretText(secret, p), append(audit.WithSecret, p.leaks...), true, false, secret == nil},
		{12, "a finished run has nothing left to request", p.finishedText, p.unfinished, false, false, false},
	}, nil
}

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

func secretText(secret func([]byte) bool, p *publicationCheck) string {
	if secret == nil {
		return KeyVariable + " is not set, or too short to distinguish from other text"
	}
	return format.Bytes(p.scanned) + " and every answer searched"
}

// publicationCheck is what the lake shows, held against the journal.
type publicationCheck struct {
	lake   *lake
	sink   *sinks.Inspector
	audit  *ledger.Audit
	chain  []*pipeline.Manifest     // of all generations
	listed map[string]pipeline.File // files in manifests that are not checked yet, by path

	runs, generations, visible      int
	compactions, compacted, orphans int // generations, their files, files of those that never became one
	events, lines, bytes, scanned   int64
	finishedText                    string
	incomplete                      []string        // runs of which a salvage lost calls, which was accepted
	pruned                          int             // runs with pruned answers
	removed                         map[string]bool // files that siglake prune removes
	gone                            int             // those of them that are not there
	unread                          int             // compactions that replaced some of these

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
		text += "; not compared, since a salvage of the journal lost answers: " + format.List(p.incomplete, 5)
	}
	return text
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

// checkPublished makes the rows of every published run again, and compares.
func checkPublished(ctx context.Context, l *lake, sink *sinks.Inspector, audit *ledger.Audit) (*publicationCheck, error) {
	p := &publicationCheck{lake: l, sink: sink, audit: audit, listed: map[string]pipeline.File{}}
	for _, check := range []func(context.Context) error{p.checkGenerations, p.checkJournal, p.checkRuns, p.checkFiles} {
		if err := check(ctx); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// checkGenerations reads the chain of manifests, and checks what needs no journal.
func (p *publicationCheck) checkGenerations(ctx context.Context) (err error) {
	p.chain, err = p.sink.ReadChain(ctx)
	switch {
	case errors.Is(err, sinks.ErrIntegrity):
		p.brokenChain = append(p.brokenChain, err.Error())
	case err != nil:
		return err
	}
	p.removed = sinks.RemovedFiles(p.chain)
	for _, m := range p.chain {
		p.generations++
		p.list(m)
		if !m.Run.Kind.IsMaintenance() {
			p.checkTotals(m)
		} else if err := p.checkCompaction(ctx, m); err != nil {
			return err
		}
	}
	for _, check := range []func(context.Context, []*pipeline.Manifest) ([]string, error){p.sink.CheckSnapshots, p.sink.CheckMerges} {
		violations, err := check(ctx, p.chain)
		p.brokenChain = append(p.brokenChain, violations...)
		if err != nil {
			return err
		}
	}
	return nil
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
	if err != nil && !errors.Is(err, sinks.ErrIntegrity) { // of which the chain consists is checked before
		return err
	}
	for _, m := range all {
		if missing := missingFromJournal(p.lake.ledger, m); missing != "" {
			p.older = append(p.older, fmt.Sprintf("generation %d was published at %s, and of the journal: %s", m.Generation, timeText(m.Run.Finished), missing))
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

// checkRuns compares the journal's runs with their manifests.
func (p *publicationCheck) checkRuns(ctx context.Context) error {
	manifests := map[string]*pipeline.Manifest{}
	for _, m := range p.chain {
		if !m.Run.Kind.IsMaintenance() {
			manifests[m.Run.ID] = m
		}
	}
	runs := p.lake.ledger.Runs()
	for _, r := range runs {
		if r.Prepared != nil && r.Published == nil { // between the two, files may be visible already
			m, err := p.lake.ledger.Reader().PreparedManifest(ctx, r)
			if err != nil {
				return err
			}
			p.list(m)
		}
		if r.Published == nil {
			p.finishedText += fmt.Sprintf("; run %s is unfinished: its command continues it", r.ID)
			continue
		}
		m := manifests[r.ID]
		if m == nil {
			p.differing = append(p.differing, fmt.Sprintf("run %s was published as generation %d, which is missing", r.ID, r.Published.Generation))
			continue
		}
		if err := p.comparePrepared(ctx, r, m); err != nil {
			return err
		}
		if m.SchemaVersion() == 0 {
			continue // of a version that this build cannot write
		}
		if p.audit.Pruned[r] > 0 {
			p.checkPruned(r, m)
			continue
		}
		if n := p.lake.ledger.Losses().Count(r); n > 0 {
			p.incomplete = append(p.incomplete, fmt.Sprintf("run %s, of which %s", r.ID, format.Count(n, "call")))
			continue
		}
		err := p.compareRun(ctx, r, m)
		if errors.Is(err, ledger.ErrPruned) { // an answer of another run that states an entity of this one
			p.checkPruned(r, m)
		} else if err != nil {
			return err
		}
	}
	p.finishedText = strings.TrimPrefix(p.finishedText, "; ")
	if p.finishedText == "" {
		p.finishedText = format.Count(len(runs), "run") + ", all finished"
	}
	return nil
}

// checkPruned compares what is left to compare of a run with pruned answers.
func (p *publicationCheck) checkPruned(r *ledger.Run, m *pipeline.Manifest) {
	p.pruned++
	if credits := r.PublishedCredits(); credits != m.Credits.Charged {
		p.unbalanced = append(p.unbalanced, fmt.Sprintf("run %s: the manifest says %s, its recorded outcomes %d", r.ID, format.Count(m.Credits.Charged, "credit"), credits))
	}
}

// comparePrepared compares a published manifest with the one that its run prepared.
func (p *publicationCheck) comparePrepared(ctx context.Context, r *ledger.Run, published *pipeline.Manifest) error {
	if r.Prepared == nil {
		return nil // checkJournal reports it
	}
	m, err := p.lake.ledger.Reader().PreparedManifest(ctx, r)
	if err != nil {
		return err
	}
	compared := []struct{ what, prepared, published string }{
		{"credits", fmt.Sprint(m.Credits.Charged), fmt.Sprint(published.Credits.Charged)},
		{"statuses", fmt.Sprint(m.Accounts.ByStatus), fmt.Sprint(published.Accounts.ByStatus)},
		{"calls", fmt.Sprint(m.Calls.ByOutcome), fmt.Sprint(published.Calls.ByOutcome)},
		{"files", fileNames(m), fileNames(published)},
	}
	rebuilt := m.Versions["schema"] != ComponentVersions(p.lake.env.Build)["schema"] // this version may have rebuilt the lake, with other rows
	if rebuilt || p.lake.ledger.Partitions().ChangedAfter(r) {
		compared = compared[:len(compared)-1]
	}
	for _, c := range compared {
		if c.prepared != c.published {
			p.differing = append(p.differing, fmt.Sprintf("run %s: the %s of its manifest are %s, it prepared %s", r.ID, c.what, c.published, c.prepared))
		}
	}
	return nil
}

// fileNames are the files of a manifest; their names hold the digests of their rows.
func fileNames(m *pipeline.Manifest) string {
	var names []string
	for _, f := range m.Files {
		names = append(names, f.Path)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// checkFiles compares the files that are there with those that manifests name.
func (p *publicationCheck) checkFiles(ctx context.Context) error {
	visible, err := p.sink.ListGlobbed(ctx)
	if err != nil {
		return err
	}
	for _, path := range visible {
		p.visible++
		if _, ok := p.listed[path]; !ok {
			p.unlisted = append(p.unlisted, path)
			continue
		}
		p.checkFile(ctx, path)
	}
	compacted, err := p.sink.ListCompacted(ctx)
	if err != nil {
		return err
	}
	for _, path := range compacted {
		if _, ok := p.listed[path]; !ok {
			p.orphans++
			continue
		}
		p.compacted++
		p.checkFile(ctx, path)
	}
	for path := range p.listed {
		switch {
		case p.removed[path]:
			p.gone++
		case isListed(p.chain, path):
			p.damaged = append(p.damaged, path+" is listed in a manifest and missing")
		}
	}
	return nil
}

// checkFile holds a file against what its manifest says, and strikes it off.
func (p *publicationCheck) checkFile(ctx context.Context, path string) {
	f := p.listed[path]
	switch got, err := p.sink.DescribeFile(ctx, path); {
	case err != nil:
		p.damaged = append(p.damaged, fmt.Sprintf("%s cannot be read: %v", path, err))
	case got.Bytes != f.Bytes || got.Rows != f.Rows:
		p.damaged = append(p.damaged, fmt.Sprintf("%s has %s and %s, its manifest says %d and %d", path, format.Count(got.Bytes, "byte"), format.Count(got.Rows, "row"), f.Bytes, f.Rows))
	case got.SHA256 != f.SHA256 || got.Digest != f.Digest:
		p.damaged = append(p.damaged, path+" has other content than its manifest says")
	}
	p.bytes += f.Bytes
	delete(p.listed, path)
}

// checkCompaction compares the rows of a compaction's files with those of the
// files that it replaced. A file that cannot be read is reported elsewhere, too.
func (p *publicationCheck) checkCompaction(ctx context.Context, m *pipeline.Manifest) error {
	if len(m.Replaces) == 0 {
		return nil // a pruning
	}
	isRemoved := func(path string) bool { return p.removed[path] }
	if slices.ContainsFunc(m.Replaces, isRemoved) || slices.ContainsFunc(m.Files, func(f pipeline.File) bool { return isRemoved(f.Path) }) {
		p.unread++
		return nil
	}
	p.compactions++
	replaced, written := map[string][]string{}, map[string][]string{} // paths by table
	for _, path := range m.Replaces {
		table := p.listed[path].Table
		replaced[table] = append(replaced[table], path)
	}
	for _, f := range m.Files {
		written[f.Table] = append(written[f.Table], f.Path)
	}
	for table := range replaced {
		before, err := p.sink.HashRows(ctx, table, replaced[table])
		after, afterErr := p.sink.HashRows(ctx, table, written[table])
		if err = errors.Join(err, afterErr); ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil || before != after {
			p.differing = append(p.differing, fmt.Sprintf("%s of compaction %s: it replaced %s by %d others: %v", table, m.Run.ID, format.Count(before.Rows, "row"), after.Rows, err))
		}
	}
	return nil
}

func isListed(chain []*pipeline.Manifest, path string) bool {
	for _, m := range chain {
		for _, f := range m.Files {
			if f.Path == path {
				return true
			}
		}
	}
	return false
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
		p.unbalanced = append(p.unbalanced, fmt.Sprintf("run %s: %s charged, %d allocated", m.Run.ID, format.Count(m.Credits.Charged, "credit"), credits+m.Credits.WholeCall))
	}
}

// compareRun makes a run's files again, in a directory of its own, and compares
// their names, which hold the digests of their rows.
func (p *publicationCheck) compareRun(ctx context.Context, r *ledger.Run, m *pipeline.Manifest) error {
	p.runs++
	p.events += m.Events.Written
	rebuilt, err := rebuildRun(ctx, p.lake, r, m.SchemaVersion(), p.sink.Before(m))
	if err != nil {
		return err
	}
	published, expected := map[string]pipeline.File{}, map[string]pipeline.File{}
	for _, f := range m.Files {
		published[f.Path] = f
	}
	for _, f := range rebuilt.Files {
		expected[f.Path] = f
	}
	for path, f := range expected {
		if w, ok := published[path]; !ok || w.Digest != f.Digest || w.Rows != f.Rows {
			p.differing = append(p.differing, fmt.Sprintf("%s follows from the answers but is not published", path))
		}
	}
	for path := range published {
		if _, ok := expected[path]; !ok {
			p.differing = append(p.differing, fmt.Sprintf("%s is published but does not follow from the answers", path))
		}
	}
	if listed, derived := inDoubtText(m), inDoubtText(rebuilt); listed != derived {
		p.undeclared = append(p.undeclared, fmt.Sprintf("run %s: its manifest lists in doubt: %s; its answers and lines give: %s", r.ID, listed, derived))
	}
	if a, b := m.Events, rebuilt.Events; a.Known != b.Known || a.Changed != b.Changed {
		p.differing = append(p.differing, fmt.Sprintf("run %s: the manifest says that the lake had %d of its events and %d changed, its answers %d and %d", r.ID, a.Known, a.Changed, b.Known, b.Changed))
	}
	if rebuilt.Credits.Charged != m.Credits.Charged {
		p.unbalanced = append(p.unbalanced, fmt.Sprintf("run %s: the manifest says %s, its answers %d", r.ID, format.Count(m.Credits.Charged, "credit"), rebuilt.Credits.Charged))
	}
	return nil
}

// inDoubtText are the calls in doubt that a manifest lists, with what they hold and
// may have cost.
func inDoubtText(m *pipeline.Manifest) string {
	var parts []string
	for _, d := range m.InDoubt {
		parts = append(parts, fmt.Sprintf("%s (%s, %d to %d credits)", d.Name(), format.Count(len(d.Accounts), "line"), d.MinCredits, d.MaxCredits))
	}
	slices.Sort(parts) // answers that are read again come in another order
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// rebuildRun makes a run's rows in a temporary lake, as of a version of the schema. It leaves out the
// events that the lake had before.
func rebuildRun(ctx context.Context, l *lake, r *ledger.Run, version int, earlier *sinks.Earlier) (manifest *pipeline.Manifest, err error) {
	dir, remove, err := createTemporary("siglake-verify-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	sink, err := l.openTemporarySink(ctx, dir, r.ID, version, earlier)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, sink.Close()) }()
	return (&replay{l.ledger, r, version}).rebuild(ctx, sink)
}
