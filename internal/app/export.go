package app

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/export"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
	"github.com/siglake/siglake/sources"
)

// ExportOptions say what is exported, and where to.
type ExportOptions struct {
	Lake       string
	List       string // empty: the lines of the lake
	Source     ListOptions
	Events     bool     // a row for each event
	Signals    []string // keys, categories, all, or key:NAME; empty: those that occur
	Since      string   // DATE or AGE; empty: all events
	Generation int64    // 0: the newest
	Output     string   // "-": standard output
	Format     string   // empty: that of the name
	BOM        string   // auto, yes or no
	Force      bool     // replace an existing file
	Store      StoreOptions
}

// DefaultExport has the default values of the flags that fill in ExportOptions.
func DefaultExport() ExportOptions {
	return ExportOptions{Source: DefaultList(), Store: DefaultStore(), BOM: "auto"}
}

// ExportReport says what was exported.
type ExportReport struct {
	Lake       string   `json:"lake"`
	Generation int64    `json:"generation"`
	List       string   `json:"list,omitempty"`
	Output     string   `json:"output"`
	Format     string   `json:"format"`
	Rows       int64    `json:"rows"`
	Columns    int      `json:"columns"`
	Lines      int64    `json:"lines"`
	WithEvents int64    `json:"lines_with_events"`
	Events     int64    `json:"events"` // of all lines: the event of two lines counts twice
	Bytes      int64    `json:"bytes"`
	Notes      []string `json:"notes,omitempty"` // about the list
}

// exporter carries out one export.
type exporter struct {
	env       *Env
	options   *ExportOptions
	join      *export.Join
	inspector *sinks.Inspector
	files     []sinks.DataFile
	file      *exportFile
	report    *ExportReport
}

// Export writes the lines of a list or of a lake with their events. It reads the lake only, takes no lock,
// and asks the API nothing.
func Export(ctx context.Context, env *Env, o ExportOptions) (report *ExportReport, err error) {
	out := export.Output{Parquet: func(w io.Writer, t schema.Table) (export.RecordWriter, error) {
		return sinks.NewTableWriter(w, t, env.Version)
	}}
	joined := export.Options{Events: o.Events, FromLake: o.List == ""}
	if err = o.checkSource(); err != nil {
		return nil, err
	}
	if out.Format, err = o.formatOf(); err != nil {
		return nil, err
	}
	if out.BOM, err = o.needsBOM(out.Format); err != nil {
		return nil, err
	}
	if joined.Signals, err = exportedSignals(SplitWords(o.Signals)); err != nil {
		return nil, err
	}
	if joined.Since, err = exportSince(o.Since, env.Now()); err != nil {
		return nil, err
	}
	e := &exporter{env: env, options: &o, report: &ExportReport{List: o.List, Output: o.Output, Format: string(out.Format)}}
	if err := e.openLake(ctx); err != nil {
		return nil, err
	}
	defer e.inspector.Close() //nolint:errcheck // it was only read
	joined.IsLeftOut = leaveOutOptedOut(ctx, env, o.Store, o.Lake)
	var remove func() error
	if joined.Dir, remove, err = CreateTemporary("siglake-export-"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	if err := os.Mkdir(joined.Dir, 0o700); err != nil {
		return nil, temporaryError("", err)
	}
	if e.file, err = createExport(env, &o); err != nil {
		return nil, err
	}
	defer e.file.discard()
	counted := &countedWriter{w: e.file.w}
	out.W = counted
	if err := e.write(ctx, joined, out); err != nil {
		return nil, belowTemporary(joined.Dir, err)
	}
	e.report.Bytes = counted.n
	return e.report, e.file.publish()
}

// checkSource refuses what says how a list is read if there is no list.
func (o *ExportOptions) checkSource() error {
	s, none := o.Source, DefaultList()
	if o.List != "" {
		return nil
	}
	for _, f := range []struct {
		flag  string
		given bool
	}{
		{"map", len(s.Map) > 0}, {"keep", len(s.Keep) > 0}, {"object", s.Object != none.Object}, {"header", s.Header != none.Header}, {"delimiter", s.Delimiter != none.Delimiter},
		{"encoding", s.Encoding != none.Encoding}, {"sheet", s.Sheet != ""}, {"strict-files", s.StrictFiles},
	} {
		if f.given {
			return UsageErrorf("--%s says how a list is read, and without --list the export is of the lines of the lake: name the list with --list, or omit --%[1]s", f.flag)
		}
	}
	return nil
}

// exportedSignals are the keys that words name; nil: no word was given.
func exportedSignals(words []string) (keys []string, err error) {
	if len(words) == 0 {
		return nil, nil
	}
	wanted := map[string]bool{}
	var unknown []string
	for _, word := range words {
		found := schema.MatchSignals(word)
		for _, s := range found {
			wanted[s.Key] = true
		}
		key, isKey := strings.CutPrefix(word, "key:")
		switch {
		case len(found) > 0:
		case isKey && key != "":
			unknown = append(unknown, key)
		default:
			return nil, UsageErrorf("unknown signal type or category %q%s; siglake signals lists them, and key:%s exports a type that this version does not know", word, SuggestSignal(word), word)
		}
	}
	for _, s := range schema.Signals {
		if wanted[s.Key] {
			keys = append(keys, s.Key)
		}
	}
	slices.Sort(unknown)
	return append(keys, slices.Compact(unknown)...), nil
}

// exportSince is the first day of the events.
func exportSince(text string, now time.Time) (c export.Cell, err error) {
	if text == "" {
		return c, nil
	}
	day, err := parseDay("--since", text, now.UTC().Truncate(24*time.Hour))
	if err != nil {
		return c, err
	}
	return export.Cell{Set: true, N: day.Unix() / 86400}, nil
}

// openLake finds the files of the generation.
func (e *exporter) openLake(ctx context.Context) (err error) {
	if e.report.Lake, err = lakeAddress(e.options.Lake); err != nil {
		return err
	}
	if e.inspector, err = inspectLake(ctx, e.env, e.options.Store, e.options.Lake); err != nil {
		return err
	}
	snapshot, err := e.inspector.ReadSnapshot(ctx, e.options.Generation)
	if err != nil {
		_ = e.inspector.Close() // it was only read
		if !errors.Is(err, sinks.ErrIntegrity) && e.options.Generation != 0 {
			return &Error{KindUsage, err}
		}
		return lakeError(err)
	}
	e.files, e.report.Generation = snapshot.Files, snapshot.Generation
	if e.report.Generation > 0 || hasLayout(e.report.Lake) {
		return nil
	}
	if err = mustExist(ctx, e.env, e.options.Store, e.options.Lake); err != nil {
		_ = e.inspector.Close() // it was only read
	}
	return err
}

// write joins lines and events, and writes them.
func (e *exporter) write(ctx context.Context, o export.Options, out export.Output) (err error) {
	if e.join, err = export.NewJoin(o); err != nil {
		return &Error{KindStorage, err}
	}
	defer func() { err = errors.Join(err, e.join.Close()) }()
	if e.options.List != "" {
		if err := e.readList(ctx); err != nil {
			return err
		}
	}
	e.env.Log.Info("reading the lake", "generation", e.report.Generation, "files", len(e.files))
	if err := e.readTables(ctx, func(t schema.Table) bool { return t.Name == schema.Accounts.Name }); err != nil {
		return err
	}
	if o.FromLake {
		err = e.join.AddLakeLines(ctx)
	}
	if err == nil {
		err = e.join.MatchLines(ctx)
	}
	if err != nil {
		return e.failed(ctx, err)
	}
	if err := e.readTables(ctx, schema.Table.IsEvent); err != nil {
		return err
	}
	if err := e.join.Match(ctx); err != nil {
		return e.failed(ctx, err)
	}
	counts, err := e.join.Write(ctx, out)
	if err != nil {
		return e.failed(ctx, err)
	}
	r := e.report
	r.Rows, r.Columns, r.Lines, r.WithEvents, r.Events = counts.Rows, counts.Columns, counts.Lines, counts.WithEvents, counts.Events
	return nil
}

// failed is the error of a step that uses the disk.
func (e *exporter) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &Error{KindStorage, err}
}

// readList adds the lines of the list, as a run reads it.
func (e *exporter) readList(ctx context.Context) (err error) {
	options, err := e.options.Source.parse(e.options.Store.S3, e.env.Stdin)
	if err != nil {
		return err
	}
	var raw sources.RawRecord
	options.Cells = func(r sources.RawRecord) { raw = r }
	input, err := openListInput(ctx, e.options.List, options)
	if err != nil {
		return err
	}
	defer input.close() //nolint:errcheck // a copy of the list in a temporary directory
	if err := e.file.refuseList(input.options.Objects); err != nil {
		return err
	}
	list, err := input.open(ctx)
	if err != nil {
		return err
	}
	defer list.Close() //nolint:errcheck // it was only read
	for a, err := range list.Accounts(ctx) {
		if err != nil {
			return listError(ctx, err)
		}
		if err := e.join.AddLine(ctx, exportLine(&a), raw.Names, raw.Cells); err != nil {
			return e.failed(ctx, err)
		}
	}
	e.report.Notes = list.Input().Notes
	return nil
}

// listError is the error of reading a list.
func listError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &Error{KindUsage, err}
}

// exportLine is a line of a list.
func exportLine(a *schema.Account) *export.Line {
	kind, text := a.Identifier(), pipeline.IdentifierText(a)
	l := &export.Line{Row: a.Row, File: a.File, Line: a.Line, Key: a.Key, Object: a.Object, Identifier: kind, Text: text, Name: a.Name, EntityID: a.ID}
	if a.Reject != nil {
		l.Own = export.State{Status: string(schema.Rejected), Reason: a.Reject.String()}
	}
	if kind != "" {
		l.Identity = export.Identify(a.Object, kind, text)
	}
	return l
}

// readTables adds the rows of some of the tables.
func (e *exporter) readTables(ctx context.Context, chosen func(schema.Table) bool) error {
	for _, f := range e.files {
		t, known := schema.TableNamed(f.Table)
		if !known || !chosen(t) {
			continue
		}
		columns, add, ok := e.join.Reader(ctx, t)
		if !ok {
			continue
		}
		err := e.inspector.ReadColumns(ctx, f, columns, add)
		if err != nil {
			return dataError(e.options.Lake, err)
		}
	}
	return nil
}

// countedWriter counts what passes.
type countedWriter struct {
	w io.Writer
	n int64
}

func (c *countedWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
