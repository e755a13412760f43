package app

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sources"
)

// Reading is what the lines of a list are requested by if they are read as one object.
type Reading struct {
	Object      schema.Object               `json:"object"`
	Flag        string                      `json:"flag"` // that decides for it
	Mapping     map[string]string           `json:"mapping"`
	Lines       int64                       `json:"lines"`
	Partial     bool                        `json:"partial,omitempty"` // the counts are about the first lines only
	Identifiers map[schema.Identifier]int64 `json:"lines_by_identifier"`
	Duplicates  int64                       `json:"duplicates"`
	Rejected    int64                       `json:"rejected"`
}

// Text is the reading in one line.
func (r *Reading) Text() string {
	kinds := IdentifiersText(r.Identifiers)
	if kinds == "" {
		kinds = "none can be requested"
	}
	text := fmt.Sprintf("as %s: %s", ObjectsText(r.Object), kinds)
	if r.Duplicates > 0 {
		text += ", " + format.Thousands(r.Duplicates) + " duplicate"
	}
	if r.Rejected > 0 {
		text += ", " + format.Thousands(r.Rejected) + " rejected"
	}
	if r.Partial {
		text += " (of the first " + format.Thousands(r.Lines) + " lines)"
	}
	return fmt.Sprintf("%s: %s, or --signals about %s only", text, r.Flag, ObjectsText(r.Object))
}

// ObjectsText is the plural of an object.
func ObjectsText(o schema.Object) string {
	return map[schema.Object]string{schema.Company: "companies", schema.Contact: "contacts"}[o]
}

// IdentifiersText says how many lines are requested by each identifier; empty: none are.
func IdentifiersText(counts map[schema.Identifier]int64) string {
	var parts []string
	for _, kind := range []schema.Identifier{schema.ByID, schema.ByLinkedIn, schema.ByEmail, schema.ByDomain, schema.ByName} {
		if n := counts[kind]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s by %s", format.Thousands(n), kind))
		}
	}
	return strings.Join(parts, ", ")
}

// readings are how a list can be read if neither its columns nor the options decide what its lines are; nil if
// they do. plan is that of the list as it is read, without what was bought; nil: it is counted. The other reading is
// counted in a walk of its own; if that is impossible, there is but one reading.
func (in *listInput) readings(ctx context.Context, list *sources.List, plan *pipeline.Plan) (out []Reading, err error) {
	read := list.Input()
	if read.OtherObject == "" {
		return nil, nil
	}
	var first Reading
	if plan != nil {
		first = newReading(read, plan)
	} else if first, err = in.countReading(ctx, read.Object); err != nil {
		return nil, err
	}
	other, err := in.countReading(ctx, read.OtherObject)
	if fault := new(sources.Error); errors.As(err, &fault) {
		return nil, nil // it takes further options, such as --map, to read it so
	}
	if err != nil {
		return nil, err
	}
	return []Reading{first, other}, nil
}

func newReading(in sources.Input, plan *pipeline.Plan) Reading {
	return Reading{Object: in.Object, Flag: "--object " + string(in.Object), Mapping: in.Mapping, Lines: in.Records, Identifiers: plan.Identifiers,
		Duplicates: plan.Accounts.ByStatus[schema.Duplicate], Rejected: plan.Accounts.ByStatus[schema.Rejected]}
}

// countedLines is how many lines of a reading are counted that is not used: enough to compare, and not as much work as
// the list itself.
const countedLines = 1_000_000

// firstLines are the first lines of a list.
type firstLines struct {
	list         pipeline.Source
	lines, limit int64
	more         bool // the list has more
}

// Accounts is that of the list, up to the limit.
func (f *firstLines) Accounts(ctx context.Context) iter.Seq2[schema.Account, error] {
	return func(yield func(schema.Account, error) bool) {
		for a, err := range f.list.Accounts(ctx) {
			if f.more = err == nil && f.lines == f.limit; f.more {
				return
			}
			if f.lines++; !yield(a, err) {
				return
			}
		}
	}
}

// countReading counts the lines of the list, read as one object.
func (in *listInput) countReading(ctx context.Context, object schema.Object) (r Reading, err error) {
	other := *in
	other.options.Object, other.options.Rejects, other.options.Clashes = object, nil, &sources.Clashes{}
	list, err := other.open(ctx)
	if err != nil {
		return r, err
	}
	defer list.Close() //nolint:errcheck // it was only read
	counted := &firstLines{list: list, limit: countedLines}
	plan, err := (&pipeline.Runner{BatchSize: pipeline.MaxBatch, Queries: anyQueries()}).Plan(ctx, counted)
	if err != nil {
		return r, runError(err)
	}
	r = newReading(list.Input(), plan)
	r.Lines, r.Partial = counted.lines, counted.more
	return r, nil
}

// describeUndecided adds to an error about a list that may hold companies or contacts what each reading would request.
func (in *listInput) describeUndecided(ctx context.Context, err error) error {
	fault := new(sources.Error)
	if !errors.As(err, &fault) || !fault.Undecided {
		return err
	}
	for _, object := range []schema.Object{schema.Contact, schema.Company} {
		r, countErr := in.countReading(ctx, object)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case countErr == nil:
			fault.Problem += "; " + r.Text()
		}
	}
	return err
}
