package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sources"
)

// The values of --api.
const (
	APIAuto = "auto"
	APIV2   = "v2"
	APIV3   = "v3"
)

// parse reads the two; zero where the command has no such flags.
func (o *TTLOptions) parse() (positive, negative time.Duration, err error) {
	if positive, err = parseAge("resolve-hits", o.Positive); err == nil {
		negative, err = parseAge("resolve-misses", o.Negative)
	}
	return positive, negative, err
}

func parseAge(flag, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	var n int
	var unit rune
	if read, err := fmt.Sscanf(text, "%d%c", &n, &unit); err != nil || read != 2 || n < 0 || n > 9999 || !strings.ContainsRune("dw", unit) {
		return 0, UsageErrorf("--%s %q: expected an age such as 30d or 6w", flag, text)
	}
	if unit == 'w' {
		n *= 7
	}
	return max(time.Duration(n)*24*time.Hour, time.Nanosecond), nil
}

// apiVersion is a dialect of the API, chosen, with what it offers.
type apiVersion struct {
	version     pipeline.APIVersion
	reason      string // for people; empty when it was asked for by name
	options     optionsFunc
	fromAccount bool // the offers are the account's own
	log         *slog.Logger
}

// versionChooser chooses the API version in which signals are requested. It calls free
// endpoints only.
type versionChooser struct {
	client *lusha.Client // nil: the offers are those that the vendor publishes
	log    *slog.Logger
	input  *listInput
	now    time.Time // by the API's clock
	ended  string    // how v2 refused this command's calls; empty: it did not
}

// choose chooses the API version. asked is the value of --api, which parseOptions has
// checked.
func (c *versionChooser) choose(ctx context.Context, asked string, words []string, list *sources.List) (*apiVersion, error) {
	switch asked {
	case APIV2:
		return c.newVersion(pipeline.V2, ""), nil
	case APIV3:
		return c.newVersion(pipeline.V3, ""), nil
	}
	for _, s := range schema.Signals {
		if s.V2 == schema.Absent && s.V3 != schema.Absent && slices.ContainsFunc(words, matchesKey(s.Key)) {
			return c.newVersion(pipeline.V3, fmt.Sprintf("v2 does not have %s", s.Key)), nil
		}
	}
	switch opaqueID, err := c.input.findOpaqueID(ctx, list); {
	case err != nil:
		return nil, err
	case opaqueID != "":
		return c.newVersion(pipeline.V3, fmt.Sprintf("the list has ids such as %q, which v2 does not accept", opaqueID)), nil
	}
	if c.ended != "" {
		return c.newVersion(pipeline.V3, "v2 answers: "+c.ended), nil
	}
	v2 := c.newVersion(pipeline.V2, "it offers everything requested, and finds identifiers without a charged search")
	if c.client == nil {
		return v2, nil
	}
	return c.chooseOffered(ctx, words, v2), nil
}

// chooseOffered chooses V2 unless only V3 offers to the account what the words name.
func (c *versionChooser) chooseOffered(ctx context.Context, words []string, v2 *apiVersion) *apiVersion {
	for _, o := range []schema.Object{schema.Contact, schema.Company} {
		if !mayConcern(words, o) {
			continue
		}
		offered, err := v2.options(ctx, o)
		if unserved := unservedText(err); unserved != "" {
			return c.newVersion(pipeline.V3, "v2 answers: "+unserved)
		}
		if err != nil {
			return v2 // the same question is asked again, and tells of it
		}
		if v3 := c.afterSunset(ctx, o); v3 != nil {
			return v3
		}
		for _, w := range words {
			if len(schema.MatchSignals(w)) > 0 || slices.Contains(offered.Signals, w) {
				continue
			}
			v3 := c.newVersion(pipeline.V3, fmt.Sprintf("v2 does not offer %s", w))
			if offeredByV3, err := v3.options(ctx, o); err == nil && slices.Contains(offeredByV3.Signals, w) {
				return v3
			}
		}
	}
	return v2
}

// afterSunset is V3 if the day is past from which V2 may no longer answer, as it says itself, and if
// V3 answers; else nil.
func (c *versionChooser) afterSunset(ctx context.Context, o schema.Object) *apiVersion {
	sunset := c.client.Retirement(pipeline.V2).Sunset
	if sunset.IsZero() || c.now.Before(sunset) {
		return nil
	}
	v3 := c.newVersion(pipeline.V3, "v2 was to end on "+sunset.Format(time.DateOnly))
	if _, err := v3.options(ctx, o); err != nil {
		return nil
	}
	return v3
}

// warnOfRetirement says, once a command, that a version of the API ends.
func warnOfRetirement(env *Env, version pipeline.APIVersion, r lusha.Retirement) {
	name, other := "V2", "; from then on, --api auto uses V3"
	if version == pipeline.V3 {
		name, other = "V3", ""
	}
	text := ""
	switch {
	case r.Sunset.IsZero():
		text = fmt.Sprintf("API %s is deprecated as of %s, as its answers say", name, r.Deprecated.Format(time.DateOnly))
	case r.Sunset.After(env.Now()):
		text = fmt.Sprintf("API %s ends on %s, as its answers say%s", name, r.Sunset.Format(time.DateOnly), other)
	default:
		text = fmt.Sprintf("API %s was to end on %s, as its answers say", name, r.Sunset.Format(time.DateOnly))
	}
	var about []any
	if r.Link != "" {
		about = append(about, "about", format.Text(r.Link))
	}
	env.Log.Warn(text, about...)
}

// leavesV2 reports whether a run in V2 was refused because V2 has ended, so that the rest is to be
// requested in V3: no call is served, and not even the signals are listed any more. Only --api auto
// may leave it.
func (j *Job) leavesV2(ctx context.Context, m *pipeline.Manifest) bool {
	isGone := func(c pipeline.CallSummary) bool {
		return c.Status == http.StatusNotFound || c.Status == http.StatusGone
	}
	mayLeave := j.Query.APIVersion == APIAuto || j.Query.APIVersion == ""
	if j.Service != pipeline.Signals || !mayLeave || j.v2Ended != "" || m.Run.Outcome != pipeline.RunRefused || !slices.ContainsFunc(m.PerCall, isGone) {
		return false
	}
	v2, refused := (&versionChooser{client: j.conn.client, log: j.env.Log}).newVersion(pipeline.V2, ""), ""
	for _, q := range m.Queries {
		if !isV2Signals(q) {
			continue
		}
		_, err := v2.options(ctx, q.Object)
		var refusal *lusha.RefusalError
		if !errors.As(err, &refusal) || !slices.Contains([]lusha.Class{lusha.ClassRoute, lusha.ClassNotFound, lusha.ClassGone}, refusal.Class) {
			return false
		}
		refused = refusal.FullMessage()
	}
	if refused == "" {
		return false
	}
	j.v2Ended = refused
	return true
}

// dropV2 makes a new run, in V3, of one that would request the rest of another in V2. That of a
// refresh remains: a new refresh would buy again what its beginning bought.
func (s *session) dropV2(match runMatch) runMatch {
	if r := match.continues; s.job.v2Ended != "" && r != nil && !s.job.spec.Refresh && slices.ContainsFunc(r.Queries, isV2Signals) {
		match.continues = nil
	}
	return match
}

func isV2Signals(q pipeline.Query) bool {
	return q.Service() == pipeline.Signals && q.APIVersion == pipeline.V2
}

func matchesKey(key string) func(string) bool {
	return func(w string) bool { return strings.EqualFold(strings.TrimPrefix(w, "key:"), key) }
}

// unservedText says what an answer said if it may mean that the dialect is not served
// any more, or not to this account; else it is empty.
func unservedText(err error) string {
	var refusal *lusha.RefusalError
	if !errors.As(err, &refusal) {
		return ""
	}
	switch refusal.Class {
	case lusha.ClassRoute, lusha.ClassNotFound, lusha.ClassGone, lusha.ClassRedirect, lusha.ClassEntitlement:
		return refusal.FullMessage()
	}
	return ""
}

// newVersion gives what a dialect offers, each object asked about once.
func (c *versionChooser) newVersion(d pipeline.APIVersion, reason string) *apiVersion {
	v := &apiVersion{version: d, reason: reason, fromAccount: c.client != nil, log: c.log}
	cached := map[schema.Object]*lusha.Options{}
	fetch := publishedOptions(d)
	if c.client != nil {
		fetch = c.client.FetchOptions
		if d == pipeline.V3 {
			fetch = c.client.FetchOptionsV3
		}
	}
	v.options = func(ctx context.Context, o schema.Object) (*lusha.Options, error) {
		if cached[o] != nil {
			return cached[o], nil
		}
		got, err := fetch(ctx, o)
		if err == nil {
			cached[o] = got
		}
		return got, err
	}
	return v
}

// choiceText names the dialect for people.
func (v *apiVersion) choiceText() string {
	name := "V2"
	if v.version == pipeline.V3 {
		name = "V3"
	}
	if v.reason == "" {
		return "using API " + name
	}
	return fmt.Sprintf("using API %s: %s", name, v.reason)
}

// queryBuilder turns the options of a job into queries. It asks the API, at no cost, what it offers.
type queryBuilder struct {
	versionChooser
	options *RunOptions
	objects []schema.Object // that the lines of the list may be
	paged   *pagedQuery     // of a service that is asked page by page
	note    func(string)    // takes what the user may want to know
}

// newQueryBuilder prepares the queries of a job, whose windows end today by the API's clock.
func newQueryBuilder(j *Job, note func(string)) *queryBuilder {
	return &queryBuilder{
		versionChooser: versionChooser{client: j.conn.client, log: j.env.Log, input: j.listInput, now: j.apiNow(), ended: j.v2Ended},
		options:        &j.RunOptions, objects: candidateObjects(j.listOptions.Object), paged: j.paged, note: note,
	}
}

// build gives the queries about each kind of object, and the choice of the API version, for people.
func (b *queryBuilder) build(ctx context.Context, list *sources.List) (out []pipeline.Query, apiChoice string, err error) {
	day := b.now.UTC().Format(time.DateOnly)
	switch b.options.Service {
	case pipeline.Search:
		for _, o := range b.objects {
			out = append(out, searchQuery(o, day))
		}
	case pipeline.Scores:
		for _, o := range b.objects {
			out = append(out, pipeline.Query{Object: o, APIVersion: pipeline.V3, Ask: pipeline.ScoreAsk{}, Since: day, Until: day})
		}
	case pipeline.Lookalikes, pipeline.Visits:
		out = append(out, b.paged.query)
	default:
		v, err := b.choose(ctx, b.options.Query.APIVersion, SplitWords(b.options.Query.Signals), list)
		if err != nil {
			return nil, "", err
		}
		apiChoice = v.choiceText()
		if v.reason != "" && !b.options.Demo && !(v.version == pipeline.V2 && b.client == nil) {
			b.note(apiChoice)
		}
		if out, err = b.buildSignals(ctx, v); err != nil {
			return nil, "", err
		}
		for _, q := range out {
			if slices.ContainsFunc(q.ResultTypes(), q.FiltersClientSide) {
				b.note("v3 charges for all events, including those that siglake then filters out; with v2 or --send-filters, the API filters")
			}
		}
		if v.version == pipeline.V3 {
			for _, q := range slices.Clone(out) {
				out = append(out, searchQuery(q.Object, day))
			}
		}
	}
	return out, apiChoice, nil
}

// searchQuery is the question for ids.
func searchQuery(o schema.Object, day string) pipeline.Query {
	return pipeline.Query{Object: o, APIVersion: pipeline.V3, Ask: pipeline.SearchAsk{}, Since: day, Until: day}
}

// candidateObjects are those that --object leaves open.
func candidateObjects(o schema.Object) []schema.Object {
	if o != "" {
		return []schema.Object{o}
	}
	return []schema.Object{schema.Contact, schema.Company}
}

// queriesByObject are a run's questions by object: what it asks about, and what it searches
// ahead of that.
func queriesByObject(queries []pipeline.Query) (asked, searches map[schema.Object]*pipeline.Query) {
	asked, searches = map[schema.Object]*pipeline.Query{}, map[schema.Object]*pipeline.Query{}
	for i := range queries {
		if q := &queries[i]; q.Service() == pipeline.Search {
			searches[q.Object] = q
		} else {
			asked[q.Object] = q
		}
	}
	if len(asked) == 0 {
		return searches, nil
	}
	return asked, searches
}
