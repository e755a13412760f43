package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// maxWindow is how far back a window may start: nothing is documented beyond it.
const maxWindow = 366 * 24 * time.Hour

// optionsFunc says what may be asked about an object.
type optionsFunc func(context.Context, schema.Object) (*lusha.Options, error)

// check finds what is wrong with single values. Which signals there are, the API says.
func (o *QueryOptions) check() error {
	if len(SplitWords(o.Signals)) == 0 {
		return UsageErrorf("name the signals to request with --signals: keys, categories (contact, growth, intent, news, risk) or all; siglake signals lists them")
	}
	if n := o.MaxResults; n < 1 || n > MaxResultsLimit {
		return UsageErrorf("--max-results %d: expected 1 to %d", n, MaxResultsLimit)
	}
	return nil
}

// buildSignals turns the options into one query per kind of object, having asked the
// API (for free) what it offers, so that nothing is paid for a call that the
// API would refuse.
func (b *queryBuilder) buildSignals(ctx context.Context, v *apiVersion) ([]pipeline.Query, error) {
	o, words, window := &b.options.Query, SplitWords(b.options.Query.Signals), b.options.window()
	if err := o.check(); err != nil {
		return nil, err
	}
	since, err := parseSince(window.flag, window.text, b.now)
	if err != nil {
		return nil, err
	}
	offered := map[schema.Object]*lusha.Options{}
	for _, object := range []schema.Object{schema.Contact, schema.Company} {
		if !mayConcern(words, object) {
			continue
		}
		if offered[object], err = v.options(ctx, object); err != nil {
			return nil, askError(ctx, fmt.Errorf("requesting what the API offers: %w", err))
		}
	}
	chosen, err := chooseSignals(words, offered, v)
	if err != nil {
		return nil, err
	}

	var out []pipeline.Query
	var company *pipeline.Query
	for _, object := range []schema.Object{schema.Contact, schema.Company} {
		if keys := chosen[object]; len(keys) > 0 {
			out = append(out, pipeline.Query{
				Object: object, APIVersion: v.version, Ask: pipeline.SignalsAsk{Types: keys, MaxResults: o.MaxResults}, Since: since, Until: b.now.UTC().Format(time.DateOnly),
			})
			if object == schema.Company {
				company = &out[len(out)-1]
			}
		}
	}
	return out, o.addFilters(company, offered[schema.Company])
}

// publishedOptions is what the vendor's reference documents of a dialect, for a plan
// without a key. Filters are taken as they are.
func publishedOptions(d pipeline.APIVersion) optionsFunc {
	return func(_ context.Context, o schema.Object) (*lusha.Options, error) {
		options := &lusha.Options{Object: o}
		for _, s := range schema.Signals {
			if s.Object == o && (d == pipeline.V2 && s.V2 == schema.Documented || d == pipeline.V3 && s.V3 == schema.Documented) {
				options.Signals = append(options.Signals, s.Key)
			}
		}
		return options, nil
	}
}

// isUnsent reports whether a free request did not reach the API.
func isUnsent(err error) bool {
	var refusal *lusha.RefusalError
	return errors.As(err, &refusal) && refusal.Class == lusha.ClassUnsent
}

// askError gives the error of a free question its exit code.
func askError(ctx context.Context, err error) error {
	var refusal *lusha.RefusalError
	switch known := errors.As(err, &refusal); {
	case known && refusal.Class == lusha.ClassUnsent:
		return &Error{KindDeferred, fmt.Errorf("the API cannot be reached (%s): check network, proxy and --base-url, then run the same command again",
			strings.TrimPrefix(refusal.FullMessage(), "not sent: "))}
	case !known && ctx.Err() == nil:
		return &Error{KindAuth, fmt.Errorf("%w; check the API's address", err)}
	case known && refusal.Advice() != "":
		return fmt.Errorf("%w; next: %s", err, refusal.Advice())
	}
	return err
}

// mayConcern says whether any of the words may name a signal about the object;
// words that the catalogue does not know may.
func mayConcern(words []string, o schema.Object) bool {
	return slices.ContainsFunc(words, func(w string) bool {
		found := schema.MatchSignals(w)
		return len(found) == 0 || slices.ContainsFunc(found, func(s schema.Signal) bool { return s.Object == o })
	})
}

// signalChoice is what became of the words of --signals.
type signalChoice struct {
	words    []string
	offered  map[schema.Object]*lusha.Options
	version  *apiVersion
	wanted   map[schema.Object]map[string]bool
	leftOut  []string // not offered
	personal []string // offered, and left out unless asked for by key
}

// isOffered reports whether the API offers a signal.
func (c *signalChoice) isOffered(o schema.Object, key string) bool {
	return c.offered[o] != nil && slices.Contains(c.offered[o].Signals, key)
}

// chooseSignals expands the words to explicit keys that the API offers. A category or
// "all" leaves out what is not offered; a key by name must be.
func chooseSignals(words []string, offered map[schema.Object]*lusha.Options, v *apiVersion) (map[schema.Object][]string, error) {
	c := &signalChoice{words: words, offered: offered, version: v, wanted: map[schema.Object]map[string]bool{schema.Contact: {}, schema.Company: {}}}
	for _, word := range words {
		if err := c.addWord(word); err != nil {
			return nil, err
		}
	}
	leftOutReason := "not offered to this account"
	if !v.fromAccount {
		leftOutReason = "not offered by the vendor's reference"
	}
	if len(c.leftOut) > 0 {
		v.log.Info("skipping signals: "+leftOutReason, "signals", strings.Join(slices.Compact(c.leftOut), ","))
	}
	if len(c.personal) > 0 {
		v.log.Info("skipping signals whose rows name persons who are not on your list; request them by key if you have grounds to", "signals", strings.Join(slices.Compact(c.personal), ","))
	}
	keys := c.keys()
	switch {
	case len(keys) > 0:
		return keys, nil
	case len(c.personal) > 0:
		return nil, UsageErrorf("of the requested signals, the API offers only %s; its rows name persons who are not on your list: request it by key if you have grounds to", strings.Join(slices.Compact(c.personal), ", "))
	}
	return nil, UsageErrorf("none of the requested signals is available: each is %s", leftOutReason)
}

// addWord adds the signals that a word names: a key, a category or "all".
func (c *signalChoice) addWord(word string) error {
	found := schema.MatchSignals(word)
	exact := len(found) == 1 && strings.EqualFold(found[0].Key, strings.TrimPrefix(word, "key:"))
	known := len(found) > 0
	for _, s := range found {
		switch {
		case s.Personal && !exact:
			if c.isOffered(s.Object, s.Key) && !slices.ContainsFunc(c.words, matchesKey(s.Key)) {
				c.personal = append(c.personal, s.Key)
			}
		case c.isOffered(s.Object, s.Key):
			c.wanted[s.Object][s.Key] = true
		case exact:
			return c.notOfferedError(s)
		default:
			c.leftOut = append(c.leftOut, s.Key)
		}
	}
	for _, o := range []schema.Object{schema.Contact, schema.Company} {
		if !known && c.isOffered(o, word) { // new at the vendor, asked for by name
			c.wanted[o][word], known = true, true
		}
	}
	if !known {
		return UsageErrorf("unknown signal type or category %q%s; siglake signals lists them", word, SuggestSignal(word))
	}
	return nil
}

// notOfferedError is the error for a signal that is named by its key and not offered.
func (c *signalChoice) notOfferedError(s schema.Signal) error {
	offered := strings.Join(c.offered[s.Object].Signals, ", ")
	switch {
	case c.version.version == pipeline.V2 && s.V2 == schema.Absent:
		return UsageErrorf("only v3 has the signal %s: add --api v3, or omit --api", s.Key)
	case !c.version.fromAccount:
		return UsageErrorf("the vendor's reference does not list the signal %q as offered; it lists: %s", s.Key, offered)
	}
	return UsageErrorf("the API does not offer the signal %q to this account; it offers: %s", s.Key, offered)
}

// keys are the chosen signals of each object: those of the catalogue in its order,
// then those that it does not know.
func (c *signalChoice) keys() map[schema.Object][]string {
	out := map[schema.Object][]string{}
	for o, options := range c.offered {
		var unknown []string
		for _, key := range options.Signals {
			if _, ok := schema.LookupSignal(key); !ok {
				unknown = append(unknown, key)
			}
		}
		if len(unknown) > 0 {
			c.version.log.Info("the API offers signals that this version does not know; request them by key", "object", o, "signals", strings.Join(unknown, ","))
		}
		for _, s := range schema.Signals {
			if c.wanted[o][s.Key] {
				out[o] = append(out[o], s.Key)
			}
		}
		for _, key := range unknown {
			if c.wanted[o][key] {
				out[o] = append(out[o], key)
			}
		}
	}
	return out
}

// inapplicableSignals are the signals that were asked for and that no line of a list can be
// asked about. Who asked for all of them meant those that fit.
func inapplicableSignals(queries []pipeline.Query, object schema.Object, words []string) (inapplicable []string) {
	if slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(w, "all") }) {
		return nil
	}
	for _, q := range queries {
		if q.Object != object {
			inapplicable = append(inapplicable, q.ResultTypes()...)
		}
	}
	return inapplicable
}

func inapplicableText(object schema.Object) string {
	return fmt.Sprintf("every line of the list is a %s: these signals apply to none", object)
}

// addFilters adds the sub-filters to the company query.
func (o *QueryOptions) addFilters(q *pipeline.Query, offered *lusha.Options) error {
	news, departments := SplitWords(o.NewsEventTypes), SplitWords(o.HiringDepartments)
	locations, categories := SplitWords(o.HiringLocations), SplitWords(o.IntentCategories)
	if q == nil {
		if len(news)+len(departments)+len(locations)+len(categories) > 0 {
			return UsageErrorf("--news-event-types, --hiring-departments, --hiring-locations and --intent-categories narrow company signals, and none is requested")
		}
		return nil
	}
	if o.SendFilters && q.APIVersion != pipeline.V3 {
		return UsageErrorf("--send-filters applies to v3 only, because v2 always receives the filters: add --api v3, or omit --send-filters")
	}
	ask, _ := q.Ask.(pipeline.SignalsAsk)
	ask.SendFilters = o.SendFilters
	var err error
	if ask.IntentCategories, err = matchOffered("--intent-categories", categories, offered.IntentCategories); err != nil {
		return err
	}
	if ask.NewsEventTypes, err = matchOffered("--news-event-types", news, offered.NewsEventTypes); err != nil {
		return err
	}
	if ask.HiringDepartments, err = matchOffered("--hiring-departments", departments, offered.Departments); err != nil {
		return err
	}
	for _, l := range locations {
		country, state, _ := strings.Cut(l, ":")
		if strings.TrimSpace(country) == "" {
			return UsageErrorf("--hiring-locations %q: expected COUNTRY or COUNTRY:STATE", l)
		}
		if !isOfferedPlace(offered.Locations, strings.TrimSpace(country), strings.TrimSpace(state)) {
			return UsageErrorf("--hiring-locations %q: the API offers: %s", l, placeNames(offered.Locations))
		}
		ask.HiringLocations = append(ask.HiringLocations, pipeline.Location{Country: strings.TrimSpace(country), State: strings.TrimSpace(state)})
	}
	for flag, filter := range map[string]struct {
		set    bool
		family func(string) bool
	}{
		"--news-event-types":   {len(news) > 0, func(k string) bool { return strings.HasSuffix(k, "News") }},
		"--hiring-departments": {len(departments) > 0, func(k string) bool { return k == "surgeInHiringByDepartment" }},
		"--intent-categories":  {len(categories) > 0, func(k string) bool { return k == "linkedinActivityIntent" }},
		"--hiring-locations":   {len(locations) > 0, func(k string) bool { return k == "surgeInHiringByLocation" }},
	} {
		if filter.set && !slices.ContainsFunc(ask.Types, filter.family) {
			return UsageErrorf("%s narrows signals that are not requested; add them to --signals", flag)
		}
	}
	q.Ask = ask
	return nil
}

// isOfferedPlace reports whether the vendor lists a place; one that lists none is
// taken at the caller's word, and so is a state of a country listed without any.
func isOfferedPlace(offered []pipeline.Location, country, state string) bool {
	stateless := true
	for _, o := range offered {
		if !strings.EqualFold(o.Country, country) {
			continue
		}
		if state == "" || strings.EqualFold(o.State, state) {
			return true
		}
		stateless = stateless && o.State == ""
	}
	return len(offered) == 0 || stateless && slices.ContainsFunc(offered, func(o pipeline.Location) bool { return strings.EqualFold(o.Country, country) })
}

func placeNames(offered []pipeline.Location) string {
	var names []string
	for _, o := range offered {
		name := o.Country
		if o.State != "" {
			name += ":" + o.State
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

// matchOffered gives the words in the vendor's spelling and refuses those it
// does not offer; a vendor that lists none is taken at the caller's word.
func matchOffered(flag string, words, offered []string) ([]string, error) {
	var out []string
	for _, w := range words {
		i := slices.IndexFunc(offered, func(o string) bool { return strings.EqualFold(o, w) })
		switch {
		case i >= 0:
			out = append(out, offered[i])
		case len(offered) == 0:
			out = append(out, w)
		default:
			return nil, UsageErrorf("%s %q: the API offers: %s", flag, w, strings.Join(offered, ", "))
		}
	}
	return out, nil
}

// parseSince reads a date or an age, and gives the first day of the window. flag is where it was given.
func parseSince(flag, s string, now time.Time) (string, error) {
	today := now.UTC().Truncate(24 * time.Hour)
	day, err := parseDay(flag, s, today)
	if err != nil {
		return "", err
	}
	switch {
	case day.After(today):
		return "", UsageErrorf("%s %s is in the future: today is %s (UTC)", flag, day.Format(time.DateOnly), today.Format(time.DateOnly))
	case today.Sub(day) > maxWindow:
		return "", UsageErrorf("%s %s is more than a year back; the API promises no older events, so the earliest date is %s", flag, day.Format(time.DateOnly), today.Add(-maxWindow).Format(time.DateOnly))
	}
	return day.Format(time.DateOnly), nil
}

// parseDay reads a date, or an age before today.
func parseDay(flag, s string, today time.Time) (time.Time, error) {
	day, err := time.Parse(time.DateOnly, s)
	if err == nil {
		return day, nil
	}
	n, numeric := 0, error(nil)
	if len(s) > 1 {
		n, numeric = strconv.Atoi(s[:len(s)-1])
	}
	if len(s) > 1 && numeric == nil && n >= 0 && n <= 9999 {
		switch s[len(s)-1] {
		case 'd':
			return today.AddDate(0, 0, -n), nil
		case 'w':
			return today.AddDate(0, 0, -7*n), nil
		case 'm':
			return today.AddDate(0, -n, 0), nil
		case 'y':
			return today.AddDate(-n, 0, 0), nil
		}
	}
	return day, UsageErrorf("%s %q: expected a date such as 2026-01-31 or an age such as 30d, 6w, 3m or 1y", flag, s)
}

// SplitWords trims list values; the library has split them at commas.
func SplitWords(list []string) []string {
	var out []string
	for _, w := range list {
		if w = strings.TrimSpace(w); w != "" {
			out = append(out, w)
		}
	}
	return out
}
