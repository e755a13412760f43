package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sources"
)

// services are the commands that buy something else than signals.
var services = map[string]pipeline.Service{
	ResolveName: pipeline.Search, ScoreName: pipeline.Scores, LookalikesName: pipeline.Lookalikes, VisitorsName: pipeline.Visits,
}

// The names of these commands.
const (
	ResolveName    = "resolve"
	ScoreName      = "score"
	LookalikesName = "lookalikes"
	VisitorsName   = "visitors"
)

// resolvesIDs reports whether ids are what the run is about.
func (o *RunOptions) resolvesIDs() bool { return o.Service == pipeline.Search }

// pagedQuery is what a job asks page by page.
type pagedQuery struct {
	query    pipeline.Query
	subject  schema.Account
	limit    int64
	accounts []schema.Account
}

// check finds what is wrong with single values.
func (o *PageOptions) check(s pipeline.Service) error {
	maxSize := 100
	if s == pipeline.Visits {
		maxSize = 150
	}
	switch {
	case o.PageSize < 1 || o.PageSize > maxSize:
		return UsageErrorf("--page-size %d: expected 1 to %d", o.PageSize, maxSize)
	case o.Limit < 1 && s == pipeline.Lookalikes:
		return UsageErrorf("--limit %d: expected a number of results from 1", o.Limit)
	case o.Limit < 0:
		return UsageErrorf("--limit %d: expected a number of results, or 0 for all", o.Limit)
	}
	return nil
}

// newPagedQuery reads the seeds, or the sites.
func newPagedQuery(ctx context.Context, o *RunOptions, input *listInput, now time.Time) (*pagedQuery, error) {
	day := now.UTC()
	p := &pagedQuery{limit: int64(o.Pages.Limit)}
	if err := o.Pages.check(o.Service); err != nil {
		return nil, err
	}
	p.query = pipeline.Query{APIVersion: pipeline.V3, Since: day.Format("2006-01-02"), Until: day.Format("2006-01-02")}
	if o.Service == pipeline.Visits {
		return p, p.addSites(o, now)
	}
	accounts, err := input.readAccounts(ctx)
	if err != nil {
		return nil, err
	}
	p.accounts = accounts
	if p.query.Object, err = seedObject(accounts); err != nil {
		return nil, err
	}
	ask := pipeline.LookalikeAsk{PageSize: o.Pages.PageSize}
	if p.query.Object == schema.Contact {
		ask.PageSize = min(ask.PageSize, 50) // the vendor's own client stops there
	}
	if ask.Seeds, err = uniqueAccounts("--seeds "+o.List, accounts, p.query.Object); err != nil {
		return nil, err
	}
	if n := len(ask.Seeds); n < 5 || n > 100 {
		return nil, UsageErrorf("--seeds %s: %s (of %s); the API takes 5 to 100", o.List, format.Count(n, "seed"), format.Count(len(accounts), "line"))
	}
	if exclude := o.Pages.Exclude; exclude != "" {
		if ask.Exclude, err = readExclude(ctx, exclude, input.options, p.query.Object); err != nil {
			return nil, err
		}
	}
	p.query.Ask = ask
	p.subject = pageSubject(p.query)
	return p, nil
}

// pageSubject is what the pages of a question are about.
func pageSubject(q pipeline.Query) schema.Account {
	if ask, ok := q.Ask.(pipeline.LookalikeAsk); ok {
		id := seedSetID(q.Object, &ask)
		return schema.Account{Object: q.Object, Key: id, ID: id}
	}
	ask, _ := q.Ask.(pipeline.VisitsAsk)
	site := strings.Join(ask.Sites, "; ")
	return schema.Account{Object: q.Object, Key: site, ID: fmt.Sprintf("visits of %s, %s to %s", site, q.Since, q.Until)}
}

// siteNames are the words of --domain, in an order that does not matter.
func (o *PageOptions) siteNames() []string {
	words := SplitWords(o.Sites)
	slices.Sort(words)
	return words
}

// addSites makes the question about visits. A site is a host, not the domain that it
// belongs to: the pixel may stand on one shop of several.
func (p *pagedQuery) addSites(o *RunOptions, now time.Time) (err error) {
	q := &p.query
	q.Object = schema.Company
	if q.Since, err = parseSince("--since", o.Query.Since, now); err != nil {
		return err
	}
	if from, _ := time.Parse(time.DateOnly, q.Since); from.Before(now.UTC().AddDate(0, -3, -1)) {
		return UsageErrorf("--since %s is more than three months back; the API accepts no longer period", q.Since)
	}
	var names []string
	for _, word := range o.Pages.siteNames() {
		host := schema.BareHost(word)
		if !strings.Contains(host, ".") || strings.ContainsAny(host, " @_,;") {
			return UsageErrorf("--domain %q: expected the host name of a site, such as shop.example.com", word)
		}
		names = append(names, host)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	q.Ask = pipeline.VisitsAsk{Sites: names, PageSize: o.Pages.PageSize}
	p.subject = pageSubject(*q)
	for i, name := range names {
		p.accounts = append(p.accounts, schema.Account{Row: int64(i + 1), File: "--domain", Line: int64(i + 1), Key: name, Object: schema.Company, Domain: name})
	}
	return nil
}

// readAccounts reads a list that is sent as a whole.
func readAccounts(ctx context.Context, list *sources.List) (accounts []schema.Account, err error) {
	for a, err := range list.Accounts(ctx) {
		if err != nil {
			return nil, runError(err)
		}
		if accounts = append(accounts, a); len(accounts) > 10_000 {
			return nil, UsageErrorf("the list has more than 10,000 lines; the API takes at most 100")
		}
	}
	return accounts, nil
}

// seedObject is the kind of the seeds, which must be one.
func seedObject(accounts []schema.Account) (o schema.Object, err error) {
	for _, a := range accounts {
		switch {
		case a.Reject != nil:
		case o == "":
			o = a.Object
		case a.Object != o:
			return "", UsageErrorf("the list mixes companies and contacts, and the API takes one kind at a time: split the list (line %d is a %s)", a.Line, a.Object)
		}
	}
	if o == "" {
		return "", UsageErrorf("the list has no usable seed (%s, all rejected); siglake run --simulate shows why", format.Count(len(accounts), "line"))
	}
	return o, nil
}

// uniqueAccounts are the accounts of a list, each once, with nothing but what they are
// asked by. One that cannot be sent is an error: without it, other results would
// be bought than those that were asked for.
func uniqueAccounts(list string, accounts []schema.Account, o schema.Object) (out []schema.Account, err error) {
	seen := map[pipeline.Identity]bool{}
	for _, a := range accounts {
		if a.Reject != nil {
			return nil, UsageErrorf("%s, line %d cannot be sent: %s", list, a.Line, a.Reject)
		}
		if a.Object != o {
			return nil, UsageErrorf("%s, line %d is a %s, unlike the other lines; the API takes one kind at a time: split the list", list, a.Line, a.Object)
		}
		s := schema.Account{Object: o, ID: a.ID, LinkedIn: a.LinkedIn, Email: a.Email, Domain: a.Domain}
		if o == schema.Company {
			s = schema.Account{Object: o, Domain: a.Domain} // the API takes no ids of companies
			if s.Domain == "" {
				return nil, noDomainError(list, &a)
			}
		} else if s.Identifier() == "" {
			s.Name, s.CompanyName, s.CompanyDomain = a.Name, a.CompanyName, a.CompanyDomain
		}
		if id := pipeline.IdentityOf(&s); !seen[id] {
			seen[id] = true
			out = append(out, s)
		}
	}
	return out, nil
}

// noDomainError refuses a company without a domain, and says why a domain that its line has does not count.
func noDomainError(list string, a *schema.Account) error {
	if len(a.Notes) > 0 {
		return UsageErrorf("%s, line %d has no domain of the company, and the API takes companies by domain here: %s; correct or remove the line",
			list, a.Line, strings.Join(a.Notes, "; "))
	}
	return UsageErrorf("%s, line %d has no domain, and the API takes companies by domain here; --map domain=COLUMN names its column", list, a.Line)
}

// readExclude reads the list of those that must not be returned.
func readExclude(ctx context.Context, uri string, options sources.Options, o schema.Object) ([]schema.Account, error) {
	options.Stdin, options.Objects, options.Keep = nil, nil, nil
	options.Object = o
	list, err := sources.Open(ctx, uri, options)
	if err != nil {
		return nil, &Error{KindUsage, fmt.Errorf("--exclude: %w", err)}
	}
	defer list.Close() //nolint:errcheck // it was only read
	accounts, err := readAccounts(ctx, list)
	if err != nil {
		return nil, err
	}
	out, err := uniqueAccounts("--exclude "+uri, accounts, o)
	if err != nil {
		return nil, err
	}
	if len(out) > 100 {
		return nil, UsageErrorf("--exclude %s: %d entities to exclude; the API takes at most 100", uri, len(out))
	}
	return out, nil
}

// seedSetID names seeds and exclusions, whatever their order.
func seedSetID(o schema.Object, ask *pipeline.LookalikeAsk) string {
	digests := func(list []schema.Account) []string {
		var out []string
		for i := range list {
			id := pipeline.IdentityOf(&list[i])
			out = append(out, hex.EncodeToString(id[:]))
		}
		slices.Sort(out)
		return out
	}
	text, err := json.Marshal([]any{o, digests(ask.Seeds), digests(ask.Exclude)})
	if err != nil {
		panic(err) // of texts
	}
	sum := sha256.Sum256(text)
	return "seeds-" + hex.EncodeToString(sum[:6])
}

// progress is how far the pages of a question have come. A run that buys again counts
// its own only; nil stands for one that is still to begin.
func (p *pagedQuery) progress(ctx context.Context, l *lake, q *pipeline.Query, run *ledger.Run) (pipeline.Cursor, []pipeline.RawEvent, error) {
	// No search results count here, so their validity does not matter.
	cursor, returned, err := purchasesFor(run, l.ledger, ledger.TTL{}, false).PageProgress(ctx, &p.subject, q)
	if err != nil {
		err = &Error{KindIntegrity, err}
	}
	return cursor, returned, err
}

// mayBeSatisfied reports whether earlier runs may have bought all pages that the job wants. A run that it
// continues left some, unless that was a refresh of pages that were there.
func (j *Job) mayBeSatisfied(m runMatch) bool {
	return j.paged != nil && !j.Money.Refresh && m.resume == nil && (m.continues == nil || m.continues.Refresh)
}

// alreadySatisfied says that earlier runs have bought what is wanted; it is nil
// when they have not.
func (p *pagedQuery) alreadySatisfied(ctx context.Context, l *lake) (*NothingToDo, error) {
	cursor, _, err := p.progress(ctx, l, &p.query, nil)
	switch {
	case err != nil || cursor.Calls == 0 || cursor.InDoubt != nil:
		return nil, err
	case cursor.Exhausted, p.limit > 0 && cursor.Results >= p.limit:
		return &NothingToDo{Lake: l.uri, Subject: p.subject.Key, Results: cursor.Results, Limit: p.limit, Exhausted: cursor.Exhausted}, nil
	}
	return nil, nil
}

// run asks page by page, from where earlier runs have come to. budget caps the run; 0 means no
// cap.
func (p *pagedQuery) run(ctx context.Context, runner *pipeline.Runner, l *lake, run *ledger.Run, answers AnswerSizes, budget int64) (*pipeline.Manifest, error) {
	q := &run.Queries[0]
	p.subject = pageSubject(*q) // a run that continues past midnight asks about its own period
	pages := pipeline.PagedQuery{Query: q, Subject: p.subject, Lines: p.accounts, MaxTotal: p.limit, MaxPage: answers.maxPage}
	var err error
	if pages.Cursor, pages.PriorResults, err = p.progress(ctx, l, q, run); err != nil {
		return nil, err
	}
	if pages.Cursor.Repeated > 0 {
		before, _, err := l.ledger.Purchases(run, ledger.TTL{}).Without(run).PageProgress(ctx, &p.subject, q)
		if err != nil {
			return nil, &Error{KindIntegrity, err}
		}
		pages.ReportedRepeats = before.Repeated
	}
	if budget > 0 {
		pages.RemainingCredits = func() int64 { return budget - run.Cost().Max }
	}
	if q.Service() == pipeline.Lookalikes {
		pages.ExcludeQuery = func(given []pipeline.RawEvent) *pipeline.Query { return excludeReturned(*q, given) }
		if n := pages.Cursor.Results; n > 0 {
			l.env.Log.Info(fmt.Sprintf("continuing after the %s that %s has returned", format.Count(n, "result"), p.subject.Key))
		}
	}
	return runner.RunPages(ctx, pages)
}

// excludeReturned is a question for lookalikes that excludes what was returned; nil when
// the API's list of exclusions does not hold it.
func excludeReturned(q pipeline.Query, returned []pipeline.RawEvent) *pipeline.Query {
	ask, _ := q.Ask.(pipeline.LookalikeAsk)
	ask.Exclude = slices.Clone(ask.Exclude)
	for _, e := range returned {
		var r struct {
			ID        json.RawMessage `json:"id"`
			ContactID json.RawMessage `json:"contactId"`
			Domain    string          `json:"domain"`
		}
		if err := json.Unmarshal(e.Raw, &r); err != nil {
			return nil
		}
		a := schema.Account{Object: q.Object, Domain: schema.BareHost(r.Domain)}
		if q.Object == schema.Contact {
			a = schema.Account{Object: q.Object, ID: strings.Trim(string(r.ID), `"`)}
			if len(r.ID) == 0 || string(r.ID) == "null" {
				a.ID = strings.Trim(string(r.ContactID), `"`)
			}
		}
		if a.Identifier() == "" {
			return nil
		}
		ask.Exclude = append(ask.Exclude, a)
	}
	if len(ask.Exclude) > 100 {
		return nil
	}
	q.Ask = ask
	return &q
}
