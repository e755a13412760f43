package app

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/lakereport"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

// ReportOptions say what a report is about, and where it is written.
type ReportOptions struct {
	Lake       string
	Run        string // id, or last; empty: all runs
	Since      string // DATE or AGE; empty: all of the lake
	Generation int64  // 0: the newest
	Output     string // "-": standard output
	Format     string // html, md or json; empty: that of the name
	Force      bool   // replace an existing file
	Store      StoreOptions
}

// reportFormats are the formats of a report, with how each is written.
var reportFormats = []struct {
	name  string
	write func(io.Writer, *lakereport.Report) error
}{
	{"html", lakereport.WriteHTML}, {"md", lakereport.WriteMarkdown}, {"json", lakereport.WriteJSON},
}

// Report sums up a lake on one page. It reads the lake only, takes no lock, and asks the API nothing.
func Report(ctx context.Context, env *Env, o ReportOptions) (err error) {
	write, err := o.writer()
	if err != nil {
		return err
	}
	scope, err := o.scope(env.Now())
	if err != nil {
		return err
	}
	page, err := collectReport(ctx, env, &o, scope)
	if err != nil {
		return err
	}
	file, err := createExport(env, &ExportOptions{Lake: o.Lake, Output: o.Output, Force: o.Force})
	if err != nil {
		return err
	}
	defer file.discard()
	if err := write(file.w, page); err != nil {
		return file.storageError(err)
	}
	return file.publish()
}

// writer is what writes the format that --format names, or else the name of the file.
func (o *ReportOptions) writer() (func(io.Writer, *lakereport.Report) error, error) {
	named := strings.TrimPrefix(strings.ToLower(filepath.Ext(o.Output)), ".")
	switch named {
	case "htm":
		named = "html"
	case "markdown":
		named = "md"
	}
	name := o.Format
	switch {
	case name != "":
	case o.Output == "-":
		name = "html"
	default:
		name = named
	}
	for _, f := range reportFormats {
		if strings.EqualFold(f.name, name) {
			return f.write, o.agrees(f.name, named)
		}
	}
	if o.Format != "" {
		return nil, UsageErrorf("--format %q: expected html, md or json", o.Format)
	}
	return nil, UsageErrorf("--output %s: the name says no format; end it with .html, .md or .json, or add --format", o.Output)
}

// agrees makes sure that the name of the file says no other format.
func (o *ReportOptions) agrees(format, named string) error {
	for _, f := range reportFormats {
		if f.name == named && named != format {
			return contradiction(o.Output, o.Format)
		}
	}
	return nil
}

// scope is what the report is about.
func (o *ReportOptions) scope(now time.Time) (s lakereport.Scope, err error) {
	switch {
	case o.Run != "" && o.Since != "":
		return s, UsageErrorf("--run and --since exclude each other: a run has a period of its own")
	case o.Since != "":
		s.Since, err = parseDay("--since", o.Since, now.UTC().Truncate(24*time.Hour))
	}
	s.Run = o.Run
	return s, err
}

// collectReport reads the lake.
func collectReport(ctx context.Context, env *Env, o *ReportOptions, scope lakereport.Scope) (*lakereport.Report, error) {
	e := &exporter{env: env, options: &ExportOptions{Lake: o.Lake, Generation: o.Generation, Store: o.Store}, report: &ExportReport{}}
	if err := e.openLake(ctx); err != nil {
		return nil, err
	}
	defer e.inspector.Close() //nolint:errcheck // it was only read
	env.Log.Info("reading the lake", "generation", e.report.Generation, "files", len(e.files))
	c := lakereport.New(scope, keptNames(e.files), OptedOut(ctx, env, o.Store, o.Lake))
	if err := e.readWith(ctx, c.ReadRuns); err != nil {
		return nil, err
	}
	if !c.Choose() {
		newest := format.List(c.RunIDs(3), 3)
		if newest == "" {
			return nil, UsageErrorf("--run %s: the lake has no table of runs; siglake rebuild adds it", o.Run)
		}
		return nil, UsageErrorf("--run %s: generation %d of the lake has no such run; the newest are %s", o.Run, e.report.Generation, newest)
	}
	for _, pass := range []lakereport.Reader{c.ReadRevisions, c.ReadEvents, c.ReadOptedOut, c.ReadIdentities, c.ReadLines} {
		if err := e.readWith(ctx, pass); err != nil {
			return nil, err
		}
	}
	return c.Report(lakereport.About{Lake: e.report.Lake, Generation: e.report.Generation, Created: env.Now(), Version: env.Version}), nil
}

// keptNames are the columns of lists that files keep.
func keptNames(files []sinks.DataFile) (names []string) {
	var kept pipeline.KeptColumns
	for _, f := range files {
		for _, c := range f.Kept {
			kept.Add(c)
		}
	}
	for _, c := range kept.List() {
		if format.Text(c.Name) == c.Name {
			names = append(names, c.Name)
		}
	}
	slices.Sort(names)
	return names
}

// readWith reads what one pass needs of the lake.
func (e *exporter) readWith(ctx context.Context, pass lakereport.Reader) error {
	for _, f := range e.files {
		t, known := schema.TableNamed(f.Table)
		if !known {
			continue
		}
		columns, add := pass(t)
		if add == nil {
			continue
		}
		if err := e.inspector.ReadColumns(ctx, f, columns, add); err != nil {
			if ctx.Err() != nil {
				return errors.Join(ctx.Err(), err)
			}
			return dataError(e.options.Lake, err)
		}
	}
	return nil
}
