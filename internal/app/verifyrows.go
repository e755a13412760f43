package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/sinks"
)

// runCheck compares the rows of a run with its answers, and what the manifest says of both.
type runCheck struct {
	lake      *lake
	answers   ledger.Reader
	run       *ledger.Run
	published *pipeline.Manifest
	earlier   *sinks.Earlier // what the lake held before

	cut                               bool     // some manifests cannot be read
	pruned                            bool     // an answer is gone, so that nothing was compared
	unlinked                          bool     // a manifest before it cannot be read, so that nothing was compared
	lacks                             []string // files that its events were compared with, and that cannot be read now
	differing, undeclared, unbalanced []string
}

// compare computes the manifest of the run from the journal, with the digests of its rows, and compares.
func (c *runCheck) compare(ctx context.Context, o sinks.Options) error {
	derived, err := c.derive(ctx, o)
	if errors.Is(err, ledger.ErrPruned) { // an answer of another run that states an entity of this one
		c.pruned = true
		return nil
	}
	m := c.published
	if c.unlinked = c.cut && errors.Is(err, sinks.ErrIntegrity); c.unlinked {
		return nil
	}
	if errors.Is(err, sinks.ErrIntegrity) {
		c.differing = append(c.differing, fmt.Sprintf("run %s cannot be compared with what the lake held before it: %v", c.run.ID, err))
		return nil
	}
	if err != nil {
		return err
	}
	if lost := newlyUnread(m, derived); len(lost) > 0 {
		c.lacks = lost
		return nil
	}
	c.compareFiles(derived)
	if listed, derived := inDoubtText(m), inDoubtText(derived); listed != derived {
		c.undeclared = append(c.undeclared, fmt.Sprintf("run %s: its manifest lists in doubt: %s; its answers and lines give: %s", c.run.ID, listed, derived))
	}
	if a, b := m.Events, derived.Events; a.Known != b.Known || a.Changed != b.Changed {
		c.differing = append(c.differing, fmt.Sprintf("run %s: the manifest says that the lake had %s of its events and %s changed, its answers %s and %s", c.run.ID, format.Thousands(a.Known), format.Thousands(a.Changed), format.Thousands(b.Known), format.Thousands(b.Changed)))
	}
	if derived.Credits.Charged != m.Credits.Charged {
		c.unbalanced = append(c.unbalanced, fmt.Sprintf("run %s: the manifest says %s, its answers %s", c.run.ID, format.Count(m.Credits.Charged, "credit"), format.Thousands(derived.Credits.Charged)))
	}
	return nil
}

// newlyUnread are the files that were read when a run was published, and cannot be read now.
func newlyUnread(published, derived *pipeline.Manifest) []string {
	return slices.DeleteFunc(slices.Clone(derived.Unread), func(path string) bool { return slices.Contains(published.Unread, path) })
}

// compareFiles compares the names of files and the digests of their rows.
func (c *runCheck) compareFiles(derived *pipeline.Manifest) {
	published, expected := filesByPath(c.published), filesByPath(derived)
	for _, path := range slices.Sorted(maps.Keys(expected)) {
		f := expected[path]
		if w, ok := published[path]; !ok || w.Digest != f.Digest || w.Rows != f.Rows {
			c.differing = append(c.differing, path+" follows from the answers but is not published")
		}
	}
	for _, path := range slices.Sorted(maps.Keys(published)) {
		if _, ok := expected[path]; !ok {
			c.differing = append(c.differing, path+" is published but does not follow from the answers")
		}
	}
}

func filesByPath(m *pipeline.Manifest) map[string]pipeline.File {
	files := map[string]pipeline.File{}
	for _, f := range m.Files {
		files[f.Path] = f
	}
	return files
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

// derive computes the manifest of the run from the journal, as of its version of the schema. It leaves out
// the events that the lake had before.
func (c *runCheck) derive(ctx context.Context, o sinks.Options) (manifest *pipeline.Manifest, err error) {
	dir, remove, err := CreateTemporary("siglake-verify-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	o.RunID, o.SchemaVersion, o.Earlier = c.run.ID, c.published.SchemaVersion(), c.earlier
	sink, err := sinks.OpenCheck(dir, o, c.published.Files)
	if err != nil {
		return nil, belowTemporary(dir, err)
	}
	defer func() { err = errors.Join(err, sink.Close()) }()
	manifest, err = (&replay{c.lake.ledger, c.run, o.SchemaVersion, c.answers}).rebuild(ctx, sink)
	return manifest, belowTemporary(dir, err)
}
