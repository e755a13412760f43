package app

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/internal/parallel"
	"github.com/siglake/siglake/pipeline"
)

// publishedRuns compares the journal's runs with their manifests and rows.
type publishedRuns struct{ *publicationCheck }

// checkRuns compares the journal's runs with their manifests.
func (p publishedRuns) checkRuns(ctx context.Context) error {
	manifests := map[string]*pipeline.Manifest{}
	for _, m := range p.chain {
		if !m.Run.Kind.IsMaintenance() {
			manifests[m.Run.ID] = m
		}
	}
	runs := p.lake.ledger.Runs()
	var compared []*runCheck
	for _, r := range runs {
		c, err := p.checkRun(ctx, r, manifests[r.ID])
		if err != nil {
			return err
		}
		if c != nil {
			compared = append(compared, c)
		}
	}
	p.finishedText = strings.TrimPrefix(p.finishedText, "; ")
	if p.finishedText == "" {
		p.finishedText = format.Count(len(runs), "run") + ", all finished"
	}
	return p.compareRuns(ctx, compared)
}

// checkRun compares a run with its manifest, nil if there is none, without its answers. It returns the
// check of these; nil: they are not compared.
func (p publishedRuns) checkRun(ctx context.Context, r *ledger.Run, m *pipeline.Manifest) (*runCheck, error) {
	if r.Prepared != nil && r.Published == nil { // between the two, files may be visible already
		m, err := p.lake.ledger.Reader().PreparedManifest(ctx, r)
		if err != nil {
			return nil, err
		}
		p.list(m)
	}
	if r.Published == nil {
		by := "its command"
		if r.Inbox != nil {
			by = "the next run, or siglake webhooks publish,"
		}
		p.finishedText += fmt.Sprintf("; run %s is unfinished: %s continues it", r.ID, by)
		return nil, nil
	}
	if m == nil {
		return nil, p.checkUnlinked(ctx, r)
	}
	if err := p.comparePrepared(ctx, r, m); err != nil {
		return nil, err
	}
	if lost := p.lake.ledger.Losses().Of(r); !lost.IsNone() { // its credits are no longer those of its calls
		p.incomplete = append(p.incomplete, incompleteText(r, lost))
		return nil, nil
	}
	switch {
	case p.auditor == nil:
		p.compareCredits(r, m)
		return nil, nil
	case m.SchemaVersion() == 0:
		return nil, nil // of a version that this build cannot write
	case p.auditor.HasPruned(r):
		p.checkPruned(r, m)
		return nil, nil
	}
	return &runCheck{lake: p.lake, answers: p.auditor.Reader(), run: r, published: m, earlier: p.sink.Before(m), cut: p.cut}, nil
}

// incompleteRuns are the published runs of which a salvage lost something, with what it lost.
func incompleteRuns(l *ledger.Ledger) (runs []string) {
	for _, r := range l.Runs() {
		if lost := l.Losses().Of(r); r.Published != nil && !lost.IsNone() {
			runs = append(runs, incompleteText(r, lost))
		}
	}
	return runs
}

// incompleteText names a run, with what a salvage lost of it.
func incompleteText(r *ledger.Run, lost ledger.LostParts) string {
	return fmt.Sprintf("run %s, of which %s", r.ID, lostText(lost))
}

// lostText says what a salvage lost of a run: 2 calls and 3 lines.
func lostText(lost ledger.LostParts) string {
	var parts []string
	if lost.Calls > 0 {
		parts = append(parts, format.Count(lost.Calls, "call"))
	}
	if lost.Lines > 0 {
		parts = append(parts, format.Count(lost.Lines, "line"))
	}
	return strings.Join(parts, " and ")
}

// checkUnlinked checks a published run without a manifest. If the chain of manifests is broken that is the fault,
// and the run's files are those that it prepared.
func (p publishedRuns) checkUnlinked(ctx context.Context, r *ledger.Run) error {
	if !p.cut || r.Prepared == nil {
		p.differing = append(p.differing, fmt.Sprintf("run %s was published as generation %d, which is missing", r.ID, r.Published.Generation))
		return nil
	}
	p.unlinked = append(p.unlinked, "run "+r.ID)
	m, err := p.lake.ledger.Reader().PreparedManifest(ctx, r)
	if err == nil {
		p.list(m)
	}
	return err
}

// compareRuns compares what was published with the answers, several runs at once. Each depends on what
// was published before it, and not on what another check finds.
func (p publishedRuns) compareRuns(ctx context.Context, checks []*runCheck) error {
	atOnce := max(1, min(p.memory.decodedAtOnce(p.jobs), len(checks)))
	options := p.lake.options
	options.SortMemory = p.memory.checkedMemory(atOnce) / int64(atOnce)
	options.Jobs = max(1, p.jobs/atOnce)
	err := parallel.Do(ctx, atOnce, len(checks), func(ctx context.Context, i int) error { return checks[i].compare(ctx, options) })
	if err != nil {
		return err
	}
	for _, c := range checks {
		if c.pruned {
			p.checkPruned(c.run, c.published)
			continue
		}
		if c.unlinked {
			p.unlinked = append(p.unlinked, "run "+c.run.ID)
			continue
		}
		if len(c.lacks) > 0 {
			p.noteLacking(c)
			continue
		}
		p.runs++
		p.events += c.published.Events.Written
		p.differing = append(p.differing, c.differing...)
		p.undeclared = append(p.undeclared, c.undeclared...)
		p.unbalanced = append(p.unbalanced, c.unbalanced...)
	}
	return nil
}

// noteLacking notes a run that was not compared, since a file cannot be read: that is the fault, which is
// reported if a manifest lists the file.
func (p publishedRuns) noteLacking(c *runCheck) {
	for _, path := range c.lacks {
		if !isListed(p.chain, path) {
			p.differing = append(p.differing, fmt.Sprintf("run %s cannot be compared: its events were compared with %s, which cannot be read any more", c.run.ID, format.List(c.lacks, 3)))
			return
		}
	}
	p.lacking = append(p.lacking, "run "+c.run.ID)
}

// checkPruned compares what is left to compare of a run with pruned answers.
func (p publishedRuns) checkPruned(r *ledger.Run, m *pipeline.Manifest) {
	p.pruned++
	p.compareCredits(r, m)
}

// compareCredits compares the credits of a manifest with the recorded outcomes of the calls.
func (p publishedRuns) compareCredits(r *ledger.Run, m *pipeline.Manifest) {
	if credits := r.PublishedCredits(); credits != m.Credits.Charged {
		p.unbalanced = append(p.unbalanced, fmt.Sprintf("run %s: the manifest says %s, its recorded outcomes %s", r.ID, format.Count(m.Credits.Charged, "credit"), format.Thousands(credits)))
	}
}

// comparePrepared compares a published manifest with the one that its run prepared.
func (p publishedRuns) comparePrepared(ctx context.Context, r *ledger.Run, published *pipeline.Manifest) error {
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
