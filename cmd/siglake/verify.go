package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/journal"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

func verifyCommand() *cli.Command {
	return &cli.Command{
		Name:  "verify",
		Usage: "check a lake and its journal against each other, offline",
		Description: "Reads every answer again, makes every published file's rows again and compares them with what lies\n" +
			"in the lake. Asks nothing and changes no data. Exit codes: 0 all holds, 60 something does not.",
		Flags: joinFlags([]cli.Flag{lakeFlag()}, storeFlags(), outputFlags()),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return usagef("verify takes no arguments, got %q", c.Args().First())
			}
			if err := setLog(c); err != nil {
				return err
			}
			return verify(c)
		},
	}
}

func lakeFlag() cli.Flag {
	return &cli.StringFlag{Name: "lake", EnvVars: []string{"SIGLAKE_LAKE"}, Required: true, Usage: "`DIR` or s3://bucket/prefix of the lake"}
}

// finding is what was found out about one invariant.
type finding struct {
	number  int
	text    string
	figures string
	broken  []string // nil when it holds
	journal bool     // what is broken, if anything is, another lake from this journal would have too
}

func verify(c *cli.Context) error {
	lake := c.String("lake")
	s, err := openExisting(c, onlooker)
	if err != nil {
		return err
	}
	defer s.close() //nolint:errcheck // nothing was written that matters
	findings, err := s.verify(c.Context, strings.TrimSpace(os.Getenv(keyVariable)))
	if err != nil {
		return &exitError{storageCode(err), err}
	}
	broken := 0
	for _, f := range findings {
		mark := "holds"
		if len(f.broken) > 0 {
			mark = "BROKEN"
			broken++
		}
		if !c.Bool("quiet") || len(f.broken) > 0 {
			fmt.Fprintf(c.App.Writer, "%3d  %-7s %s: %s\n", f.number, mark, f.text, f.figures)
		}
		for i, b := range f.broken {
			if i == 10 {
				fmt.Fprintf(c.App.Writer, "             and %d more\n", len(f.broken)-i)
				break
			}
			fmt.Fprintf(c.App.Writer, "             %s\n", b)
		}
	}
	if broken > 0 && s.moved(c.Context) {
		return &exitError{exitLocked, fmt.Errorf("a run was at work on %s meanwhile, so what was compared does not belong together: verify again when it has ended", lake)}
	}
	if broken > 0 {
		if !slices.ContainsFunc(findings, func(f finding) bool { return len(f.broken) > 0 && f.journal }) {
			fmt.Fprintf(c.App.Writer, "The journal is sound: siglake rebuild --lake %s --into DIR makes the lake again from it, at no cost.\n", lake)
		}
		return &exitError{exitIntegrity, fmt.Errorf("%d of %d invariants do not hold for %s", broken, len(findings), lake)}
	}
	return nil
}

// verify checks the invariants of the lake.
func (s *state) verify(ctx context.Context, key string) ([]finding, error) {
	var secret func([]byte) bool
	if len(key) >= 8 {
		secret = func(p []byte) bool { return bytes.Contains(p, []byte(key)) }
	}
	audit, err := s.journal.Audit(ctx, secret)
	if err != nil {
		return nil, err
	}
	sink, err := sinks.Inspect(ctx, s.lake, s.options)
	if err != nil {
		return nil, err
	}
	defer sink.Close() //nolint:errcheck // it was only read
	published, err := s.published(ctx, sink)
	if err != nil {
		return nil, err
	}
	if secret != nil {
		err := sink.Scan(ctx, func(name string, content []byte) {
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
	return []finding{
		{1, "the ledger is the sum of the charges, and every charge is allocated to the credit",
			fmt.Sprintf("%s credits over %s answers", thousands(audit.Charged), thousands(int64(audit.Answers))), append(audit.Miscounted, p.unsummed...), len(audit.Miscounted) > 0},
		{2, "what the vendor billed lies within the bracket",
			bracketText(audit), p.undeclared, false},
		{3, "every attempt was meant before it was made", thousands(int64(audit.Attempts)) + " attempts", audit.Unmeant, true},
		{4, "nothing was bought twice without being told to", thousands(audit.Entities) + " identities with an answer", audit.Twice, true},
		{5, "published rows are those that the answers give", p.rowFigures(), p.differing, false},
		{6, "nothing is visible that no manifest names", p.fileFigures(), p.unnamed, false},
		{7, "every visible file is whole", byteText(p.bytes) + " read", p.damaged, false},
		{8, "the generations are one chain, and each lists the files that hold every row", counted(p.generations, "generation"), p.unchained, false},
		{9, "every line has one fate", thousands(p.lines) + " lines", p.fateless, false},
		{10, "no budget could be exceeded at any moment", counted(audit.Runs, "run"), audit.Over, true},
		{11, "the key stands nowhere", secretFigures(secret, p), append(audit.Secret, p.leaks...), true},
		{12, "a finished run has nothing left to ask", p.finished, p.unfinished, false},
	}, nil
}

// bracketText is the vendor's bill as far as it is known. What was decided about
// a doubt does not narrow it.
func bracketText(a *journal.Audit) string {
	u := a.Unsettled
	text := fmt.Sprintf("between %s and %s credits: %s in doubt, %s unknown", thousands(a.Charged), thousands(a.Charged+u.Most),
		counted(u.Doubts.Calls, "call"), counted(u.Unknown.Calls, "charge"))
	if n := u.Released.Calls; n > 0 {
		text += fmt.Sprintf(", %s released to be asked again", counted(n, "call"))
	}
	if n := u.Lost.Calls; n > 0 {
		text += fmt.Sprintf(", %s accepted as lost", counted(n, "call"))
	}
	return text
}

func secretFigures(secret func([]byte) bool, p *publication) string {
	if secret == nil {
		return "not looked for: " + keyVariable + " is not set, or too short to tell it from other text"
	}
	return byteText(p.scanned) + " read, and every answer"
}

// publication is what the lake shows, held against the journal.
type publication struct {
	runs, generations, visible    int
	compactions, compacted, stray int // generations, their files, files of those that never became one
	events, lines, bytes, scanned int64
	finished                      string

	unsummed, undeclared, differing, unnamed, damaged, unchained, fateless, unfinished, leaks []string
}

func (p *publication) rowFigures() string {
	text := fmt.Sprintf("%s made again, %s event rows", counted(p.runs, "run"), thousands(p.events))
	if p.compactions > 0 {
		text += ", " + counted(p.compactions, "compaction") + " read again"
	}
	return text
}

func (p *publication) fileFigures() string {
	text := counted(p.visible, "file")
	if p.compacted > 0 {
		text += fmt.Sprintf(", %d of compactions", p.compacted)
	}
	if p.stray > 0 {
		text += fmt.Sprintf("; %d of compactions that came to nothing, which nobody reads", p.stray)
	}
	return text
}

// published makes the rows of every published run again, and compares.
func (s *state) published(ctx context.Context, sink *sinks.Inspector) (*publication, error) {
	p := &publication{}
	manifests := map[string]*pipeline.Manifest{}
	named := map[string]pipeline.File{}
	chain, err := sink.Chain(ctx)
	switch {
	case errors.Is(err, sinks.ErrIntegrity):
		p.unchained = append(p.unchained, err.Error())
	case err != nil:
		return nil, err
	}
	for _, m := range chain {
		p.generations++
		for _, f := range m.Files {
			named[f.Path] = f
		}
		if m.Run.Kind == pipeline.OfCompaction {
			if err := p.checkCompaction(ctx, sink, m, named); err != nil {
				return nil, err
			}
			continue
		}
		manifests[m.Run.ID] = m
		p.checkSums(m)
	}
	lists, err := sink.CheckSnapshots(ctx, chain)
	if err != nil {
		return nil, err
	}
	p.unchained = append(p.unchained, lists...)
	for _, r := range s.journal.Runs() {
		if r.Staged != nil && r.Done == nil { // between the two, files may be visible already
			m, err := s.journal.Manifest(ctx, r)
			if err != nil {
				return nil, err
			}
			for _, f := range m.Files {
				named[f.Path] = f
			}
		}
		if r.Done == nil {
			p.finished += fmt.Sprintf("; run %s is not finished: its command goes on with it", r.ID)
			continue
		}
		m := manifests[r.ID]
		if m == nil {
			p.differing = append(p.differing, fmt.Sprintf("run %s was published as generation %d, which is not there", r.ID, r.Done.Generation))
			continue
		}
		if m.Versions["schema"] != versions()["schema"] {
			continue // made by another version: the rows would differ, rightly
		}
		if err := s.compare(ctx, r, m, p); err != nil {
			return nil, err
		}
	}
	p.finished = strings.TrimPrefix(p.finished, "; ")
	if p.finished == "" {
		p.finished = counted(len(s.journal.Runs()), "run") + ", all finished"
	}
	visible, err := sink.Visible(ctx)
	if err != nil {
		return nil, err
	}
	for _, path := range visible {
		p.visible++
		if _, ok := named[path]; !ok {
			p.unnamed = append(p.unnamed, path)
			continue
		}
		p.checkFile(ctx, sink, named, path)
	}
	compacted, err := sink.Compacted(ctx)
	if err != nil {
		return nil, err
	}
	for _, path := range compacted {
		if _, ok := named[path]; !ok {
			p.stray++
			continue
		}
		p.compacted++
		p.checkFile(ctx, sink, named, path)
	}
	for path := range named {
		if manifestNames(chain, path) {
			p.damaged = append(p.damaged, path+" is named by a manifest and missing")
		}
	}
	return p, nil
}

// checkFile holds a file against what its manifest says, and strikes it off.
func (p *publication) checkFile(ctx context.Context, sink *sinks.Inspector, named map[string]pipeline.File, path string) {
	f := named[path]
	switch got, err := sink.Describe(ctx, path); {
	case err != nil:
		p.damaged = append(p.damaged, fmt.Sprintf("%s cannot be read: %v", path, err))
	case got.Bytes != f.Bytes || got.Rows != f.Rows:
		p.damaged = append(p.damaged, fmt.Sprintf("%s has %d bytes and %d rows, its manifest says %d and %d", path, got.Bytes, got.Rows, f.Bytes, f.Rows))
	case got.SHA256 != f.SHA256 || got.Digest != f.Digest:
		p.damaged = append(p.damaged, path+" has another content than its manifest says")
	}
	p.bytes += f.Bytes
	delete(named, path)
}

// checkCompaction compares the rows of a compaction's files with those of the
// files that it replaced. A file that cannot be read is told of elsewhere, too.
func (p *publication) checkCompaction(ctx context.Context, sink *sinks.Inspector, m *pipeline.Manifest, named map[string]pipeline.File) error {
	p.compactions++
	was, is := map[string][]string{}, map[string][]string{} // paths by table
	for _, path := range m.Replaces {
		table := named[path].Table
		was[table] = append(was[table], path)
	}
	for _, f := range m.Files {
		is[f.Table] = append(is[f.Table], f.Path)
	}
	for table := range was {
		before, err := sink.Total(ctx, table, was[table])
		after, afterErr := sink.Total(ctx, table, is[table])
		if err = errors.Join(err, afterErr); ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil || before != after {
			p.differing = append(p.differing, fmt.Sprintf("%s of compaction %s: %d rows were replaced by %d others: %v", table, m.Run.ID, before.Rows, after.Rows, err))
		}
	}
	return nil
}

func manifestNames(chain []*pipeline.Manifest, path string) bool {
	for _, m := range chain {
		for _, f := range m.Files {
			if f.Path == path {
				return true
			}
		}
	}
	return false
}

// checkSums adds up what a manifest says.
func (p *publication) checkSums(m *pipeline.Manifest) {
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
		p.fateless = append(p.fateless, fmt.Sprintf("run %s: %d lines, %d fates, %d rows", m.Run.ID, m.Accounts.Lines, lines, rows))
	}
	for _, n := range m.Credits.BySignal {
		credits += n
	}
	if credits+m.Credits.WholeCall != m.Credits.Charged {
		p.unsummed = append(p.unsummed, fmt.Sprintf("run %s: %d credits charged, %d allocated", m.Run.ID, m.Credits.Charged, credits+m.Credits.WholeCall))
	}
}

// compare makes a run's files again, in a directory of its own, and compares
// their names, which hold the digests of their rows.
func (s *state) compare(ctx context.Context, r *journal.Run, m *pipeline.Manifest, p *publication) error {
	p.runs++
	p.events += m.Events.Written
	again, err := s.again(ctx, r)
	if err != nil {
		return err
	}
	was, is := map[string]pipeline.File{}, map[string]pipeline.File{}
	for _, f := range m.Files {
		was[f.Path] = f
	}
	for _, f := range again.Files {
		is[f.Path] = f
	}
	for path, f := range is {
		if w, ok := was[path]; !ok || w.Digest != f.Digest || w.Rows != f.Rows {
			p.differing = append(p.differing, fmt.Sprintf("%s follows from the answers and is not published", path))
		}
	}
	for path := range was {
		if _, ok := is[path]; !ok {
			p.differing = append(p.differing, fmt.Sprintf("%s is published and does not follow from the answers", path))
		}
	}
	if listed, follow := doubtsOf(m), doubtsOf(again); listed != follow {
		p.undeclared = append(p.undeclared, fmt.Sprintf("run %s: its manifest lists in doubt: %s; its answers and lines give: %s", r.ID, listed, follow))
	}
	if again.Credits.Charged != m.Credits.Charged {
		p.unsummed = append(p.unsummed, fmt.Sprintf("run %s: the manifest says %d credits, its answers %d", r.ID, m.Credits.Charged, again.Credits.Charged))
	}
	return nil
}

// doubtsOf are the calls in doubt that a manifest lists, with what they hold and
// may have cost.
func doubtsOf(m *pipeline.Manifest) string {
	var parts []string
	for _, d := range m.Held {
		parts = append(parts, fmt.Sprintf("%s (%d lines, %d to %d credits)", d.Name(), len(d.Accounts), d.Least, d.Most))
	}
	slices.Sort(parts) // answers that are read again come in another order
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// again makes a run's rows in a temporary lake.
func (s *state) again(ctx context.Context, r *journal.Run) (m *pipeline.Manifest, err error) {
	dir, err := os.MkdirTemp("", "siglake-verify-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	sink, err := s.sink(ctx, dir, r.ID)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, sink.Close()) }()
	return s.replayInto(ctx, r, sink, nil)
}
