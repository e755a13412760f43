package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/journal"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sources"
)

// services are the commands that buy something else than signals.
var services = map[string]pipeline.Service{
	resolveName: pipeline.Search, scoreName: pipeline.Scores, lookalikesName: pipeline.Lookalikes, visitorsName: pipeline.Visits,
}

const (
	resolveName    = "resolve"
	scoreName      = "score"
	lookalikesName = "lookalikes"
	visitorsName   = "visitors"
)

func resolveCommand() *cli.Command {
	return &cli.Command{
		Name:      resolveName,
		Usage:     "find out the API's ids of a list's companies or contacts, and write the matches as a dataset",
		ArgsUsage: "LIST",
		Description: "Searches domains, names, e-mail and LinkedIn addresses in full batches; the API charges a credit for every\n" +
			"started 25 that it finds. What was found counts for --resolve-hits, what was not for --resolve-misses: nothing\n" +
			"is searched, or paid for, twice within that time, not by siglake run --api v3 either. The matches are in\n" +
			"data/identities, the fate of every line in ledger/accounts.",
		Flags:  productFlags(ttlFlags(), listFlags(), workFlags()),
		Action: listAction(pipeline.Search),
	}
}

func scoreCommand() *cli.Command {
	return &cli.Command{
		Name:      scoreName,
		Usage:     "buy one signal score for every line of a list",
		ArgsUsage: "LIST",
		Description: "One number from 0 to 1 for each company or contact, and which signals count towards it; one credit for each\n" +
			"that is scored. The scores are in data/signal_scores; what was bought today is not bought again today.",
		Flags:  productFlags(listFlags(), workFlags()),
		Action: listAction(pipeline.Scores),
	}
}

func lookalikesCommand() *cli.Command {
	return &cli.Command{
		Name:  lookalikesName,
		Usage: "find contacts or companies like a set of seeds",
		Description: "5 to 100 seeds, all contacts or all companies; companies by domain. The API charges for each result. What a\n" +
			"seed set returned is remembered, with the API's session: the same command with a higher --limit goes on behind\n" +
			"it and buys only what is new. The results are in data/lookalikes, in the order of their likeness.",
		Flags: productFlags([]cli.Flag{
			&cli.StringFlag{Name: "seeds", EnvVars: []string{"SIGLAKE_SEEDS"}, Usage: "`LIST` of the seeds: a CSV file, or anything else that siglake run reads"},
			&cli.StringFlag{Name: "exclude", EnvVars: []string{"SIGLAKE_EXCLUDE"}, Usage: "`LIST` of those that must not be returned, at most 100 by one kind of identifier"},
			&cli.IntFlag{Name: "limit", Value: 25, EnvVars: []string{"SIGLAKE_LIMIT"}, Usage: "results in all, those of earlier runs included"},
			&cli.IntFlag{Name: "page-size", Value: 50, EnvVars: []string{"SIGLAKE_PAGE_SIZE"}, Usage: "results in a call, 1 to 100; contacts at most 50"},
		}, listFlags(), hideFlags(workFlags())),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return usageErrorf("lookalikes takes its list behind --seeds, got %q by itself", c.Args().First())
			}
			if c.String("seeds") == "" {
				return usageErrorf("say whom results are to be like with --seeds LIST; see siglake lookalikes --help")
			}
			return (&job{c: c, lakeURI: c.String("lake"), listURI: c.String("seeds"), maxEventPrice: 1, service: pipeline.Lookalikes}).run()
		},
	}
}

func visitorsCommand() *cli.Command {
	return &cli.Command{
		Name:  visitorsName,
		Usage: "list the companies that visited a site with the vendor's pixel",
		Description: "Pages through the visits of a period of at most three months. What the API charges is not published; one credit\n" +
			"a result is assumed for --max-credits, and the bill is the API's own number. The visits are in\n" +
			"data/website_visits; their columns are those of websiteVisitors signals.",
		Flags: productFlags([]cli.Flag{
			&cli.StringSliceFlag{Name: "domain", EnvVars: []string{"SIGLAKE_DOMAIN"}, Usage: "the visited `SITE`; several are asked about together"},
			&cli.StringFlag{Name: "since", Value: "30d", EnvVars: []string{"SIGLAKE_SINCE"}, Usage: "first day, as `DATE` (2026-01-31) or age (30d, 6w, 3m); the period ends today"},
			&cli.IntFlag{Name: "limit", EnvVars: []string{"SIGLAKE_LIMIT"}, Usage: "results in all, those of earlier runs included; 0 for all there are"},
			&cli.IntFlag{Name: "page-size", Value: 100, EnvVars: []string{"SIGLAKE_PAGE_SIZE"}, Usage: "results in a call, 1 to 150"},
		}, hideFlags(listFlags()), hideFlags(workFlags())),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return usageErrorf("visitors takes its site behind --domain, got %q by itself", c.Args().First())
			}
			if len(splitWords(c.StringSlice("domain"))) == 0 {
				return usageErrorf("say which site with --domain SITE; see siglake visitors --help")
			}
			return newVisitorsJob(c).run()
		},
	}
}

// newVisitorsJob is the job of a command that names sites: they are its list.
func newVisitorsJob(c *cli.Context) *job {
	return &job{c: c, lakeURI: c.String("lake"), listURI: "-", maxEventPrice: 1, service: pipeline.Visits}
}

// productFlags are what all these commands can be told, and some of their own.
func productFlags(extra ...[]cli.Flag) []cli.Flag {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "lake", EnvVars: []string{"SIGLAKE_LAKE"}, Usage: "`DIR` or s3://bucket/prefix the Parquet files and the manifest go to"},
		&cli.BoolFlag{Name: "simulate", EnvVars: []string{"SIGLAKE_SIMULATE"}, Usage: "ask an embedded simulator instead of the API: no key, no money, invented answers"},
	}
	flags = append(flags, joinFlags(extra...)...)
	return append(flags, joinFlags(moneyFlags(), apiFlags(), storeFlags(), simulatorFlags(), outputFlags())...)
}

// listAction runs a command that asks about each line of a list.
func listAction(service pipeline.Service) cli.ActionFunc {
	return func(c *cli.Context) error {
		if c.NArg() != 1 {
			return usageErrorf("%s takes one list, got %d arguments; see siglake %s --help", c.Command.Name, c.NArg(), c.Command.Name)
		}
		return (&job{c: c, lakeURI: c.String("lake"), listURI: c.Args().First(), maxEventPrice: 1, service: service}).run()
	}
}

// resolvesIDs reports whether ids are what the job is about.
func (j *job) resolvesIDs() bool { return j.service == pipeline.Search }

// readIdentity is what the user asks for. Of a paged service it reads the lists that
// it needs as a whole.
func (j *job) readIdentity() (runIdentity, error) {
	id := newRunIdentity(j.c, j.service, j.listInput.digest)
	if !j.service.IsPaged() {
		return id, nil
	}
	var err error
	if j.paged, err = j.newPagedQuery(); err != nil {
		return id, err
	}
	if j.paged.excludeURI != "" {
		id.settings["exclude"] = j.paged.excludeURI
	}
	return id, nil
}

// pagedQuery is what a job asks page by page.
type pagedQuery struct {
	query      pipeline.Query
	subject    schema.Account
	limit      int64
	excludeURI string // URI of that list
	accounts   []schema.Account
}

// newPagedQuery reads the seeds, or the sites.
func (j *job) newPagedQuery() (*pagedQuery, error) {
	c, day := j.c, envOf(j.c).Now().UTC()
	p := &pagedQuery{limit: int64(c.Int("limit")), excludeURI: c.String("exclude")}
	maxSize := 100
	if j.service == pipeline.Visits {
		maxSize = 150
	}
	size := c.Int("page-size")
	switch {
	case size < 1 || size > maxSize:
		return nil, usageErrorf("--page-size %d: expected 1 to %d", size, maxSize)
	case p.limit == 0 && j.service == pipeline.Lookalikes:
		return nil, usageErrorf("--limit 0: expected a number of results from 1")
	case p.limit < 0:
		return nil, usageErrorf("--limit %d: expected a number of results", p.limit)
	}
	p.query = pipeline.Query{Service: j.service, APIVersion: pipeline.V3, MaxResults: size, Since: day.Format("2006-01-02"), Until: day.Format("2006-01-02")}
	if j.service == pipeline.Visits {
		return p, p.addSites(c)
	}
	accounts, err := j.readSeeds()
	if err != nil {
		return nil, err
	}
	p.accounts = accounts
	if p.query.Object, err = seedObject(accounts); err != nil {
		return nil, err
	}
	p.query.Signals = []string{schema.ProductLookalike}
	if p.query.Object == schema.Contact {
		p.query.MaxResults = min(size, 50) // the vendor's own client stops there
	}
	if p.query.Seeds, err = uniqueAccounts("--seeds "+j.listURI, accounts, p.query.Object); err != nil {
		return nil, err
	}
	if n := len(p.query.Seeds); n < 5 || n > 100 {
		return nil, usageErrorf("--seeds %s: %s (of %d lines); the API takes 5 to 100", j.listURI, countText(n, "seed"), len(accounts))
	}
	if p.excludeURI != "" {
		if p.query.Exclude, err = j.readExclude(p.excludeURI, p.query.Object); err != nil {
			return nil, err
		}
	}
	p.subject = pageSubject(p.query)
	return p, nil
}

// pageSubject is what the pages of a question are about.
func pageSubject(q pipeline.Query) schema.Account {
	if q.Service == pipeline.Lookalikes {
		id := seedSetID(q)
		return schema.Account{Object: q.Object, Key: id, ID: id}
	}
	var names []string
	for _, a := range q.Seeds {
		names = append(names, a.Domain)
	}
	site := strings.Join(names, "; ")
	return schema.Account{Object: q.Object, Key: site, ID: fmt.Sprintf("visits of %s, %s to %s", site, q.Since, q.Until)}
}

// readSeeds reads the list of seeds.
func (j *job) readSeeds() ([]schema.Account, error) {
	list, err := j.openList()
	if err != nil {
		return nil, err
	}
	defer list.Close() //nolint:errcheck // it was only read
	return readAccounts(j.c.Context, list)
}

// siteNames are the words of --domain, in an order that does not matter.
func siteNames(c *cli.Context) []string {
	words := splitWords(c.StringSlice("domain"))
	slices.Sort(words)
	return words
}

// addSites makes the question about visits. A site is a host, not the domain that it
// belongs to: the pixel may stand on one shop of several.
func (p *pagedQuery) addSites(c *cli.Context) (err error) {
	q := &p.query
	q.Object, q.Signals = schema.Company, []string{schema.ProductVisit}
	if q.Since, err = parseSince(c.String("since"), envOf(c).Now()); err != nil {
		return err
	}
	if from, _ := time.Parse(time.DateOnly, q.Since); from.Before(envOf(c).Now().UTC().AddDate(0, -3, -1)) {
		return usageErrorf("--since %s is more than three months back, which is the longest period that the API takes", q.Since)
	}
	var names []string
	for _, word := range siteNames(c) {
		host := schema.BareHost(word)
		if !strings.Contains(host, ".") || strings.ContainsAny(host, " @_,;") {
			return usageErrorf("--domain %q: expected the host name of a site, such as shop.example.com", word)
		}
		names = append(names, host)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	for _, name := range names {
		q.Seeds = append(q.Seeds, schema.Account{Object: schema.Company, Domain: name})
	}
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
			return nil, usageErrorf("the list has more than 10,000 lines, and the API takes 100 of them")
		}
	}
	return accounts, nil
}

// seedObject is what the seeds are: all the same.
func seedObject(accounts []schema.Account) (o schema.Object, err error) {
	for _, a := range accounts {
		switch {
		case a.Reject != nil:
		case o == "":
			o = a.Object
		case a.Object != o:
			return "", usageErrorf("the seeds are companies and contacts, and the API takes one kind at a time: split the list (line %d is a %s)", a.Line, a.Object)
		}
	}
	if o == "" {
		return "", usageErrorf("none of the list's lines can be a seed: %d lines, all rejected; siglake run --simulate says why", len(accounts))
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
			return nil, usageErrorf("%s, line %d cannot be sent: %s", list, a.Line, a.Reject)
		}
		if a.Object != o {
			return nil, usageErrorf("%s, line %d is a %s, and the others are not: the API takes one kind at a time; split the list", list, a.Line, a.Object)
		}
		s := schema.Account{Object: o, ID: a.ID, LinkedIn: a.LinkedIn, Email: a.Email, Domain: a.Domain}
		if o == schema.Company {
			s = schema.Account{Object: o, Domain: a.Domain} // the API takes no ids of companies
			if s.Domain == "" {
				return nil, usageErrorf("%s, line %d: the API takes companies by their domain here, and the line has none; --map domain=COLUMN names its column", list, a.Line)
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

// readExclude reads the list of those that must not be returned.
func (j *job) readExclude(uri string, o schema.Object) ([]schema.Account, error) {
	options := j.listOptions
	options.Stdin, options.Objects = nil, nil
	options.Object = o
	list, err := sources.Open(j.c.Context, uri, options)
	if err != nil {
		return nil, &exitError{exitUsage, fmt.Errorf("--exclude: %w", err)}
	}
	defer list.Close() //nolint:errcheck // it was only read
	accounts, err := readAccounts(j.c.Context, list)
	if err != nil {
		return nil, err
	}
	out, err := uniqueAccounts("--exclude "+uri, accounts, o)
	if err != nil {
		return nil, err
	}
	if len(out) > 100 {
		return nil, usageErrorf("--exclude %s: %d to exclude; the API takes 100", uri, len(out))
	}
	return out, nil
}

// seedSetID names seeds and exclusions, whatever their order.
func seedSetID(q pipeline.Query) string {
	digests := func(list []schema.Account) []string {
		var out []string
		for i := range list {
			id := pipeline.IdentityOf(&list[i])
			out = append(out, hex.EncodeToString(id[:]))
		}
		slices.Sort(out)
		return out
	}
	text, err := json.Marshal([]any{q.Object, digests(q.Seeds), digests(q.Exclude)})
	if err != nil {
		panic(err) // of texts
	}
	sum := sha256.Sum256(text)
	return "seeds-" + hex.EncodeToString(sum[:6])
}

// pageProgress is how far the pages of the job have come. A run that buys again counts
// its own only; nil stands for one that is still to begin.
func (j *job) pageProgress(ctx context.Context, l *lake, q *pipeline.Query, run *journal.Run) (pipeline.Cursor, []pipeline.RawEvent, error) {
	include := func(*journal.Run) bool { return true }
	if run != nil && run.Refresh {
		include = l.ledger.SamePurchase(run)
	}
	cursor, returned, err := l.ledger.PageProgress(ctx, &j.paged.subject, q, include)
	if err != nil {
		err = &exitError{exitIntegrity, err}
	}
	return cursor, returned, err
}

// alreadySatisfied says that earlier runs have bought what the job wants; it is empty
// when they have not.
func (j *job) alreadySatisfied(l *lake, match runMatch) (string, error) {
	if j.paged == nil || j.c.Bool("refresh") || match.resume != nil || match.continues != nil {
		return "", nil
	}
	cursor, _, err := j.pageProgress(j.c.Context, l, &j.paged.query, nil)
	switch {
	case err != nil || cursor.Calls == 0 || cursor.InDoubt != nil:
		return "", err
	case cursor.Exhausted:
		return fmt.Sprintf("Nothing to do: %s has returned all %s results that there are.", j.paged.subject.Key, thousands(cursor.Results)), nil
	case j.paged.limit > 0 && cursor.Results >= j.paged.limit:
		return fmt.Sprintf("Nothing to do: %s has returned %s results, which is not less than --limit %d; a higher one goes on behind them.", j.paged.subject.Key, thousands(cursor.Results), j.paged.limit), nil
	}
	return "", nil
}

// runPages asks page by page, from where earlier runs have come to.
func (j *job) runPages(ctx context.Context, runner *pipeline.Runner, l *lake, run *journal.Run) (*pipeline.Manifest, error) {
	q := &run.Queries[0]
	j.paged.subject = pageSubject(*q) // a run that goes on past midnight asks about its own period
	p := pipeline.PagedQuery{Query: q, Subject: j.paged.subject, Lines: j.paged.accounts, MaxTotal: j.paged.limit}
	var err error
	if p.Cursor, p.PriorResults, err = j.pageProgress(ctx, l, q, run); err != nil {
		return nil, err
	}
	if p.Cursor.Repeated > 0 {
		before, _, err := l.ledger.PageProgress(ctx, &j.paged.subject, q, func(r *journal.Run) bool { return r != run })
		if err != nil {
			return nil, &exitError{exitIntegrity, err}
		}
		p.ReportedRepeats = before.Repeated
	}
	if j.budget > 0 {
		p.RemainingCredits = func() int64 { return j.budget - run.Cost().Max }
	}
	if q.Service == pipeline.Lookalikes {
		p.ExcludeQuery = func(given []pipeline.RawEvent) *pipeline.Query { return excludeReturned(*q, given) }
		if n := p.Cursor.Results; n > 0 {
			j.logOrNote(fmt.Sprintf("going on behind the %d results that %s has returned", n, p.Subject.Key))
		}
	}
	return runner.RunPages(ctx, p)
}

// excludeReturned is a question for lookalikes that excludes what was returned; nil when
// the API's list of exclusions does not hold it.
func excludeReturned(q pipeline.Query, returned []pipeline.RawEvent) *pipeline.Query {
	q.Exclude = slices.Clone(q.Exclude)
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
		q.Exclude = append(q.Exclude, a)
	}
	if len(q.Exclude) > 100 {
		return nil
	}
	return &q
}
