package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/signals"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// The values of --api.
const (
	apiAuto = "auto"
	apiV2   = "v2"
	apiV3   = "v3"
)

// dialectFlags choose the generation of the API.
func dialectFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "api", Value: apiAuto, EnvVars: []string{"SIGLAKE_API"}, Category: "API",
			Usage: "generation of the API: v2 finds identifiers itself; v3 needs ids, which are searched first and charged for; auto asks free endpoints and says what it chose and why"},
		&cli.BoolFlag{Name: "send-filters", EnvVars: []string{"SIGLAKE_SEND_FILTERS"}, Category: "What to ask",
			Usage: "with v3, send the news and hiring filters along; without it, what they keep out is bought and left out here, because v3 is documented to refuse them"},
		&cli.StringSliceFlag{Name: "intent-categories", EnvVars: []string{"SIGLAKE_INTENT_CATEGORIES"}, Category: "What to ask",
			Usage: "only LinkedIn activity of these topic categories (v3)"},
	}
}

// lifeFlags say how long ids count that were bought.
func lifeFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "resolve-hits", Value: "30d", EnvVars: []string{"SIGLAKE_RESOLVE_HITS"}, Category: "Money",
			Usage: "how long an id that was found counts before it is searched, and paid for, again (`AGE`: 30d, 6w)"},
		&cli.StringFlag{Name: "resolve-misses", Value: "7d", EnvVars: []string{"SIGLAKE_RESOLVE_MISSES"}, Category: "Money",
			Usage: "how long it counts that the API did not know an identifier, or may not speak of it (`AGE`)"},
	}
}

// lives reads the two; zero where the command has no such flags.
func lives(c *cli.Context) (hits, misses time.Duration, err error) {
	if hits, err = parseAge(c, "resolve-hits"); err == nil {
		misses, err = parseAge(c, "resolve-misses")
	}
	return hits, misses, err
}

func parseAge(c *cli.Context, flag string) (time.Duration, error) {
	text := c.String(flag)
	if text == "" {
		return 0, nil
	}
	var n int
	var unit rune
	if read, err := fmt.Sscanf(text, "%d%c", &n, &unit); err != nil || read != 2 || n < 0 || n > 9999 || !strings.ContainsRune("dw", unit) {
		return 0, usagef("--%s %q: expected an age such as 30d or 6w", flag, text)
	}
	if unit == 'w' {
		n *= 7
	}
	return max(time.Duration(n)*24*time.Hour, time.Nanosecond), nil
}

// generation is a dialect of the API, chosen, with what it offers.
type generation struct {
	dialect pipeline.Dialect
	why     string // for people; empty when it was asked for by name
	offered offers
	asked   bool // the offers are the account's own
}

// generation chooses the dialect in which signals are asked for. Only free
// endpoints are asked for it.
func (j *job) generation(ctx context.Context, words []string) (*generation, error) {
	switch j.c.String("api") { // check has looked at it
	case apiV2:
		return j.offers(pipeline.V2, ""), nil
	case apiV3:
		return j.offers(pipeline.V3, ""), nil
	}
	for _, s := range schema.Signals {
		if s.V2 == schema.Absent && s.V3 != schema.Absent && slices.ContainsFunc(words, named(s.Key)) {
			return j.offers(pipeline.V3, fmt.Sprintf("%s is asked for, which v2 does not have", s.Key)), nil
		}
	}
	switch opaque, err := j.opaqueIDs(ctx); {
	case err != nil:
		return nil, err
	case opaque != "":
		return j.offers(pipeline.V3, fmt.Sprintf("the list has ids such as %q, which v2 does not take", opaque)), nil
	}
	two := j.offers(pipeline.V2, "it offers all that is asked for, and finds identifiers without a search that costs extra")
	if j.client == nil {
		return two, nil
	}
	for _, o := range []schema.Object{schema.Contact, schema.Company} {
		if !concerns(words, o) {
			continue
		}
		offer, err := two.offered(ctx, o)
		if gone := ended(err); gone != "" {
			return j.offers(pipeline.V3, "v2 answers: "+gone), nil
		}
		if err != nil {
			return two, nil //nolint:nilerr // the same question is asked again, and tells of it
		}
		for _, w := range words {
			if len(schema.Matching(w)) > 0 || slices.Contains(offer.Signals, w) {
				continue
			}
			three := j.offers(pipeline.V3, fmt.Sprintf("%s is asked for, which v2 does not offer", w))
			if newer, err := three.offered(ctx, o); err == nil && slices.Contains(newer.Signals, w) {
				return three, nil
			}
		}
	}
	return two, nil
}

func named(key string) func(string) bool {
	return func(w string) bool { return strings.EqualFold(strings.TrimPrefix(w, "key:"), key) }
}

// ended says what an answer said if it may mean that the dialect is not served
// any more, or not to this account; else it is empty.
func ended(err error) string {
	var refusal *signals.RefusalError
	if !errors.As(err, &refusal) {
		return ""
	}
	switch refusal.Class {
	case signals.ClassRoute, signals.ClassNotFound, signals.ClassGone, signals.ClassRedirect, signals.ClassEntitlement:
		return refusal.Text()
	}
	return ""
}

// offers gives what a dialect offers, each object asked about once.
func (j *job) offers(d pipeline.Dialect, why string) *generation {
	g := &generation{dialect: d, why: why, asked: j.client != nil}
	answers := map[schema.Object]*signals.Options{}
	ask := published(d)
	if j.client != nil {
		ask = j.client.Options
		if d == pipeline.V3 {
			ask = j.client.OptionsV3
		}
	}
	g.offered = func(ctx context.Context, o schema.Object) (*signals.Options, error) {
		if answers[o] != nil {
			return answers[o], nil
		}
		got, err := ask(ctx, o)
		if err == nil {
			answers[o] = got
		}
		return got, err
	}
	return g
}

// text names the dialect for people.
func (g *generation) text() string {
	name := "V2"
	if g.dialect == pipeline.V3 {
		name = "V3"
	}
	if g.why == "" {
		return "the API is asked in " + name
	}
	return fmt.Sprintf("the API is asked in %s: %s", name, g.why)
}

// opaqueIDs is an id of the list that is no number; empty when there is none.
func (j *job) opaqueIDs(ctx context.Context) (string, error) {
	j.walked = true
	list, err := j.openList()
	if err != nil {
		return "", err
	}
	defer list.Close() //nolint:errcheck // it was only read
	if list.Input().Mapping["id"] == "" {
		return "", nil
	}
	for a, err := range list.Accounts(ctx) {
		if err != nil {
			return "", nil // whoever reads the list for its lines tells of it
		}
		if strings.Trim(a.ID, "0123456789") != "" {
			return a.ID, nil
		}
	}
	return "", nil
}

// questions are what the job asks about each kind of object, having asked the
// API (for free) what it offers.
func (j *job) questions(ctx context.Context, now time.Time) ([]pipeline.Query, error) {
	day := now.UTC().Format(time.DateOnly)
	var out []pipeline.Query
	switch j.service {
	case pipeline.Search:
		for _, o := range j.objects() {
			out = append(out, searchFor(o, day))
		}
	case pipeline.Scores:
		for _, o := range j.objects() {
			out = append(out, pipeline.Query{Object: o, Service: pipeline.Scores, Dialect: pipeline.V3, Signals: []string{schema.ProductScore}, Since: day, Until: day, MaxResults: 1})
		}
	case pipeline.Lookalikes, pipeline.Visits:
		out = append(out, j.paged.query)
	default:
		g, err := j.generation(ctx, splitWords(j.c.StringSlice("signals")))
		if err != nil {
			return nil, err
		}
		j.choice = g.text()
		if g.why != "" && !j.tour && !(g.dialect == pipeline.V2 && j.client == nil) {
			j.say(g.text())
		}
		if out, err = queries(ctx, j.c, g, now); err != nil {
			return nil, err
		}
		for _, q := range out {
			if slices.ContainsFunc(q.Signals, q.FiltersHere) {
				j.say("v3 charges for all events, also for those that the filters then keep out of the tables; v2, or --send-filters, has the API filter")
			}
		}
		if g.dialect == pipeline.V3 {
			for _, q := range slices.Clone(out) {
				out = append(out, searchFor(q.Object, day))
			}
		}
	}
	j.quote(out)
	return out, nil
}

// searchFor is the question for ids.
func searchFor(o schema.Object, day string) pipeline.Query {
	return pipeline.Query{Object: o, Service: pipeline.Search, Dialect: pipeline.V3, Signals: []string{schema.ProductMatch}, Since: day, Until: day, MaxResults: 1}
}

// objects are those that --object leaves open.
func (j *job) objects() []schema.Object {
	if o := j.options.Object; o != "" {
		return []schema.Object{o}
	}
	return []schema.Object{schema.Contact, schema.Company}
}

// say tells people something about the job; of a plan, among its notes.
func (j *job) say(text string) {
	if j.note != nil {
		j.note(text)
		return
	}
	slog.Info(text)
}

// usualPrices are what actions cost by the vendor's public page; credits for
// every started so many results. Of site visits nothing is published: one credit
// for each is assumed.
var usualPrices = map[string]signals.UnitPrice{"api_search": {Credits: 1, PerQuantity: 25}}

// quote states in questions what their answers cost at the most. Of signals, an
// event costs at worst what the list has for a started quantity of them.
func (j *job) quote(queries []pipeline.Query) {
	for i := range queries {
		q := &queries[i]
		p, known := j.prices[q.Action()]
		if !known || p.Credits < 0 {
			p = usualPrices[q.Action()]
		}
		q.Price, q.Per = max(p.Credits, 1), 0
		if q.Service != pipeline.Signals && p.PerQuantity > 1 {
			q.Per = p.PerQuantity
		}
	}
}

// asks are a run's questions by object: what it asks about, and what it searches
// ahead of that.
func asks(queries []pipeline.Query) (ask, search map[schema.Object]*pipeline.Query) {
	ask, search = map[schema.Object]*pipeline.Query{}, map[schema.Object]*pipeline.Query{}
	for i := range queries {
		if q := &queries[i]; q.Service == pipeline.Search {
			search[q.Object] = q
		} else {
			ask[q.Object] = q
		}
	}
	if len(ask) == 0 {
		return search, nil
	}
	return ask, search
}
