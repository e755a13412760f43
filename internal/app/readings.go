package app

import (
	"context"
	"errors"
	"fmt"
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
	return text + ": " + r.Flag
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
// they do. Each is counted in a walk of its own.
func (in *listInput) readings(ctx context.Context, list *sources.List) ([]Reading, error) {
	if list.Input().OtherObject == "" {
		return nil, nil
	}
	var out []Reading
	for _, object := range []schema.Object{list.Input().Object, list.Input().OtherObject} {
		r, err := in.countReading(ctx, object)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
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
	plan, err := (&pipeline.Runner{BatchSize: pipeline.MaxBatch, Queries: anyQueries()}).Plan(ctx, list)
	if err != nil {
		return r, runError(err)
	}
	read := list.Input()
	return Reading{Object: object, Flag: "--object " + string(object), Mapping: read.Mapping, Lines: read.Records, Identifiers: plan.Identifiers,
		Duplicates: plan.Accounts.ByStatus[schema.Duplicate], Rejected: plan.Accounts.ByStatus[schema.Rejected]}, nil
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
