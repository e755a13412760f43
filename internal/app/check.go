package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sources"
)

// ListReport says how a list is read. Its JSON form is what siglake check --json prints.
type ListReport struct {
	List   string         `json:"list"`
	Input  pipeline.Input `json:"input"`
	Object schema.Object  `json:"object"`
	Lines  int64          `json:"lines"` // records
	// Lines that would be requested, by identifier: id, linkedin, email, domain or name.
	Identifiers map[schema.Identifier]int64 `json:"lines_by_identifier"`
	Duplicates  int64                       `json:"duplicates"`
	Rejected    int64                       `json:"rejected"`
	Noted       int64                       `json:"lines_with_notes"`
	NoteKinds   []NoteKind                  `json:"notes_by_kind"`  // most frequent first
	Reasons     []RejectReason              `json:"reject_reasons"` // most frequent first
	First       []schema.Account            `json:"first_lines"`
	// How the list can be read if neither its columns nor the options decide; the first is used.
	Readings    []Reading `json:"readings,omitempty"`
	RejectsFile string    `json:"rejects_file,omitempty"` // empty: none was written
	// UnwrittenRejects is the name of a file of rejected lines that was not written, because there are none.
	UnwrittenRejects string `json:"-"`
}

// RejectReason is a reason for which lines are rejected, with the first of them.
type RejectReason struct {
	Reason string `json:"reason"`
	Lines  int64  `json:"lines"`
	File   string `json:"file"`
	Line   int64  `json:"line"`
	Value  string `json:"value,omitempty"`
}

// ColumnsText says which column of a list is which field, and why.
func ColumnsText(in *pipeline.Input) string {
	var parts []string
	for _, c := range in.Columns {
		for _, f := range c.Fields {
			parts = append(parts, fmt.Sprintf("%s = %s (%s)", f.Field, c.Name, f.Reason))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, " · ")
}

// logReading says how the list is read, once a command and before anything is bought.
func (in *listInput) logReading(log *slog.Logger, name string, list *sources.List) {
	if in.logged {
		return
	}
	in.logged = true
	input := describeList(list)
	attrs := []any{"list", name, "format", input.Format, "encoding", input.Encoding, "delimiter", input.Delimiter, "header_line", input.HeaderLine, "columns", ColumnsText(&input)}
	if input.Shard != "" {
		attrs = append(attrs, "shard", input.Shard)
	}
	if len(input.Kept) > 0 {
		attrs = append(attrs, "kept", strings.Join(input.Kept, ", "))
	}
	if len(input.Notes) > 0 {
		attrs = append(attrs, "notes", strings.Join(input.Notes, "; "))
	}
	log.Info("reading the list", attrs...)
}

const (
	shownLines = 5
	// maxReasons is how many reasons are counted one by one: most texts have a value in them.
	maxReasons   = 1000
	otherReasons = "other reasons"
)

// ListMeter shows how far a list is read.
type ListMeter func(total int64) Meter

// CheckList reads a list to its end, without a network but that of a list on S3. It writes the rejected lines, if
// there are any, to a file that must not exist yet; empty: to none.
func CheckList(ctx context.Context, env *Env, o RunOptions, rejects string, meter ListMeter) (report *ListReport, exit int, err error) {
	j := NewJob(env, o)
	if j.allowedRejects, err = parseRejectAllowance(o.Source.AllowRejected); err != nil {
		return nil, 0, err
	}
	if j.listOptions, err = o.Source.parse(o.Store.S3, env.Stdin); err != nil {
		return nil, 0, err
	}
	out, err := createRejects(rejects)
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, out.close(err == nil && report.RejectsFile != "")) }()
	if out.w != nil {
		j.listOptions.Rejects = out.w
	}
	if o.warnOfUnknownSignals(env); j.listOptions.Object == "" {
		j.listOptions.Object = soleObject(SplitWords(j.Query.Signals))
		j.listOptions.ObjectBySignals = true
	}
	if j.listInput, err = openListInput(ctx, j.List, j.listOptions); err != nil {
		return nil, 0, err
	}
	defer j.listInput.close() //nolint:errcheck // a copy of the list in a temporary directory
	if err := j.listInput.drawSample(ctx, j.Source.Sample, j.Source.SampleSeed); err != nil {
		return nil, 0, err
	}
	list, err := j.listInput.open(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer list.Close() //nolint:errcheck // it was only read
	reading := j.listInput.meterLines(list, func(total int64, _ *pipeline.Activity) Meter { return meter(total) })
	c := &listCheck{source: reading, report: &ListReport{List: j.List, Object: list.Input().Object, Reasons: []RejectReason{}, First: []schema.Account{}}, reasons: map[string]*RejectReason{}}
	plan, err := (&pipeline.Runner{BatchSize: pipeline.MaxBatch, Queries: anyQueries()}).Plan(ctx, c)
	reading.Close()
	if err != nil {
		return nil, 0, runError(err)
	}
	r := c.finish(plan)
	if r.Readings, err = j.listInput.readings(ctx, list, plan); err != nil {
		return nil, 0, err
	}
	r.Input = describeList(list)
	if r.RejectsFile = rejects; list.Input().Rejected == 0 {
		r.RejectsFile, r.UnwrittenRejects = "", rejects
	}
	exit = ExitComplete
	if faulty := r.Rejected + sharedKeyLines(list); faulty > 0 {
		exit = j.ExitOf(ExitRejects, faulty, r.Lines)
	}
	return r, exit, nil
}

// anyQueries stand for what may be requested about lines of each kind.
func anyQueries() map[schema.Object]*pipeline.Query {
	queries := map[schema.Object]*pipeline.Query{}
	for _, o := range []schema.Object{schema.Contact, schema.Company} {
		queries[o] = &pipeline.Query{Object: o, Ask: pipeline.SignalsAsk{Types: []string{"any"}, MaxResults: 1}}
	}
	return queries
}

// listCheck counts the lines that pass it.
type listCheck struct {
	source  pipeline.Source
	report  *ListReport
	reasons map[string]*RejectReason
	notes   noteTally
}

// Accounts is that of the list.
func (c *listCheck) Accounts(ctx context.Context) iter.Seq2[schema.Account, error] {
	return func(yield func(schema.Account, error) bool) {
		for a, err := range c.source.Accounts(ctx) {
			if err == nil {
				c.add(&a)
			}
			if !yield(a, err) {
				return
			}
		}
	}
}

func (c *listCheck) add(a *schema.Account) {
	r := c.report
	r.Lines++
	if len(r.First) < shownLines {
		r.First = append(r.First, *a)
	}
	if len(a.Notes) > 0 {
		r.Noted++
		c.notes.add(a)
	}
	if a.Reject == nil {
		return
	}
	text := a.Reject.Reason
	if c.reasons[text] == nil && len(c.reasons) >= maxReasons {
		text = otherReasons
	}
	if c.reasons[text] == nil {
		c.reasons[text] = &RejectReason{Reason: text, File: a.File, Line: a.Line, Value: a.Reject.Value}
	}
	c.reasons[text].Lines++
}

// finish completes the report with what the plan counts.
func (c *listCheck) finish(plan *pipeline.Plan) *ListReport {
	r := c.report
	r.NoteKinds = c.notes.list()
	r.Identifiers, r.Rejected, r.Duplicates = plan.Identifiers, plan.Accounts.ByStatus[schema.Rejected], plan.Accounts.ByStatus[schema.Duplicate]
	for _, reason := range slices.SortedFunc(maps.Values(c.reasons), func(a, b *RejectReason) int {
		if a.Lines != b.Lines {
			return int(b.Lines - a.Lines)
		}
		return int(a.Line - b.Line)
	}) {
		r.Reasons = append(r.Reasons, *reason)
	}
	return r
}

// rejectsFile is a file that appears under its name when it is complete.
type rejectsFile struct {
	name string
	file *os.File
	w    io.Writer // nil: there is no file
}

// rejectsPrefix begins the names of temporary files of rejected lines.
const rejectsPrefix = ".siglake-rejects-"

func createRejects(name string) (r rejectsFile, err error) {
	if name == "" {
		return r, nil
	}
	if _, err := os.Lstat(name); err == nil {
		return r, UsageErrorf("--rejects %s: it exists; name a file that does not exist yet", name)
	}
	r.name = name
	if r.file, err = createLocked(filepath.Dir(name), rejectsPrefix, 0o600); err != nil {
		return r, NewFileError("--rejects "+name, filepath.Dir(name), err)
	}
	r.w = r.file
	return r, nil
}

// NewFileError is the error that no file can be created in a directory, which the cause says of a temporary one.
func NewFileError(what, dir string, err error) error {
	if info, statErr := os.Stat(dir); errors.Is(statErr, fs.ErrNotExist) {
		return UsageErrorf("%s: the directory %s does not exist", what, dir)
	} else if statErr == nil && !info.IsDir() {
		return UsageErrorf("%s: %s is not a directory", what, dir)
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = &fs.PathError{Op: "create a file in", Path: dir, Err: path.Err}
	}
	return &Error{KindStorage, fmt.Errorf("%s: %w", what, err)}
}

// close gives the file its name, or removes it.
func (r *rejectsFile) close(complete bool) error {
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	if err == nil && complete {
		err = os.Rename(r.file.Name(), r.name)
	}
	if err != nil || !complete {
		err = errors.Join(err, os.Remove(r.file.Name()))
	}
	if err != nil {
		return &Error{KindStorage, fmt.Errorf("--rejects %s: %w", r.name, err)}
	}
	return nil
}

// meteredList shows how far a list is read.
type meteredList struct {
	list *sources.List
	Meter
}

// Accounts is that of the list.
func (m *meteredList) Accounts(ctx context.Context) iter.Seq2[schema.Account, error] {
	return func(yield func(schema.Account, error) bool) {
		var lines int64
		for a, err := range m.list.Accounts(ctx) {
			if lines++; lines%4096 == 0 {
				m.Show(pipeline.Progress{Lines: lines})
			}
			if !yield(a, err) {
				return
			}
		}
		m.Show(pipeline.Progress{Lines: lines})
	}
}

// meterLines adds a meter of its lines to a list; newMeter may be nil.
func (in *listInput) meterLines(list *sources.List, newMeter func(int64, *pipeline.Activity) Meter) *meteredList {
	m := &meteredList{list: list, Meter: Meter{Show: func(pipeline.Progress) {}, Close: func() {}}}
	if newMeter != nil {
		m.Meter = newMeter(in.expectedLines(list), nil)
	}
	return m
}
