package lusha

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/siglake/siglake/internal/jsonscan"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// isV3 reports whether a query uses V3. V2 has no service but signals.
func isV3(q *pipeline.Query) bool {
	return q.APIVersion == pipeline.V3 || q.Service() != pipeline.Signals
}

// maxRefLength is how long a reference may be that the API gives back.
const maxRefLength = 256

// newRequestV3 writes the request for a batch with a checked query.
func newRequestV3(b *pipeline.Batch) (*Request, error) {
	q := b.Query
	r := &Request{Method: http.MethodPost, Path: "/v3/" + pluralName(q.Object)}
	var err error
	switch ask := q.Ask.(type) {
	case pipeline.SignalsAsk:
		r.Path += "/signals"
		r.buildSignals(b, &ask)
	case pipeline.SearchAsk:
		r.Path += "/search"
		err = r.buildLookup(b)
	case pipeline.ScoreAsk:
		r.Path += "/signal-score"
		err = r.buildLookup(b)
	case pipeline.LookalikeAsk:
		r.Path += "/lookalike"
		err = r.buildLookalikes(b, &ask)
	case pipeline.VisitsAsk:
		r.Path += "/website-visits"
		err = r.buildVisits(b, &ask)
	default:
		err = fmt.Errorf("unknown service %q", q.Service())
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// rejectReasonV3 says why V3 cannot ask about an item; empty when it can.
func rejectReasonV3(b *pipeline.Batch, i int) string {
	item := &b.Items[i]
	switch b.Query.Service() {
	case pipeline.Signals:
		if item.EntityID() == "" {
			return "no id to ask by: V3 knows signals by id only"
		}
	case pipeline.Search, pipeline.Scores:
		switch {
		case item.Ref == "":
			return "no reference to ask under"
		case len([]rune(item.Ref)) > maxRefLength:
			return fmt.Sprintf("the reference is longer than %d characters", maxRefLength)
		}
		identifier, _ := lookupIdentifier(b, i)
		if identifier == "" {
			return "no identifier to search by"
		}
		if b.Query.Object == schema.Contact && identifier == schema.ByName {
			if _, _, ok := splitName(item.Account.Name); !ok {
				return fmt.Sprintf("name %q: V3 searches by first and last name, and this is one word", truncateText(item.Account.Name, 80))
			}
		}
	}
	return ""
}

// buildSignals asks for events by id.
func (r *Request) buildSignals(b *pipeline.Batch, ask *pipeline.SignalsAsk) {
	q := b.Query
	var ids []string
	seen := make(map[string]bool, len(b.Items))
	for i := range b.Items {
		if r.addItem(b, i) {
			ids = appendOnce(ids, seen, b.Items[i].EntityID())
		}
	}
	body := appendList([]byte(`{"ids":`), ids)
	body = appendList(append(body, `,"signalTypes":`...), ask.Types)
	body = jsonscan.AppendQuoted(append(body, `,"startDate":`...), q.Since)
	body = strconv.AppendInt(append(body, `,"maxResultsPerSignal":`...), int64(ask.MaxResults), 10)
	body = appendFilters(body, q)
	r.Body = append(body, '}')
}

// appendOnce adds a text that is not among the seen.
func appendOnce(list []string, seen map[string]bool, text string) []string {
	if seen[text] {
		return list
	}
	seen[text] = true
	return append(list, text)
}

// buildLookup asks about entities by one identifier each, under references that the
// answer repeats. References must differ, since the answer identifies its items by them.
func (r *Request) buildLookup(b *pipeline.Batch) error {
	body := jsonscan.AppendQuoted([]byte{'{'}, pluralName(b.Query.Object))
	body = append(body, ":["...)
	seen := make(map[string]bool, len(b.Items))
	for i := range b.Items {
		if !r.addItem(b, i) {
			continue
		}
		item := &b.Items[i]
		if seen[item.Ref] {
			return fmt.Errorf("two items bear the reference %q", item.Ref)
		}
		if len(seen) > 0 {
			body = append(body, ',')
		}
		seen[item.Ref] = true
		body = jsonscan.AppendQuoted(append(body, `{"clientReferenceId":`...), item.Ref)
		switch identifier, value := lookupIdentifier(b, i); {
		case b.Query.Object == schema.Contact && identifier == schema.ByName:
			body = appendPerson(append(body, ','), &item.Account)
		default:
			body = jsonscan.AppendQuoted(append(body, ','), identifierNamesV3[identifier])
			body = jsonscan.AppendQuoted(append(body, ':'), value)
		}
		body = append(body, '}')
	}
	r.Body = append(body, "]}"...)
	return nil
}

// identifierNamesV3 are the names of the identifier families.
var identifierNamesV3 = map[schema.Identifier]string{
	schema.ByID: "id", schema.ByLinkedIn: "linkedinUrl", schema.ByEmail: "email", schema.ByDomain: "domain", schema.ByName: "name",
}

// lookupIdentifier picks the one identifier that is sent. A search is by what the line
// says; a score is asked by the id that a search found, if there is one.
func lookupIdentifier(b *pipeline.Batch, i int) (identifier schema.Identifier, value string) {
	item := &b.Items[i]
	a := item.Account
	a.Object = b.Query.Object
	if b.Query.Service() == pipeline.Scores {
		a.ID = item.EntityID()
	}
	identifier = a.Identifier()
	return identifier, map[schema.Identifier]string{
		schema.ByID: a.ID, schema.ByLinkedIn: a.LinkedIn, schema.ByEmail: a.Email, schema.ByDomain: a.Domain, schema.ByName: a.Name,
	}[identifier]
}

// splitName parts a full name: the last word is the last name. The API has no
// field for a name in one.
func splitName(full string) (first, last string, ok bool) {
	words := strings.Fields(full)
	if len(words) < 2 {
		return "", "", false
	}
	n := len(words) - 1
	return strings.Join(words[:n], " "), words[n], true
}

// appendPerson writes the members that name a person and an employer.
func appendPerson(body []byte, a *schema.Account) []byte {
	first, last, _ := splitName(a.Name)
	body = jsonscan.AppendQuoted(append(body, `"firstName":`...), first)
	body = jsonscan.AppendQuoted(append(body, `,"lastName":`...), last)
	if a.CompanyDomain != "" {
		return jsonscan.AppendQuoted(append(body, `,"companyDomain":`...), a.CompanyDomain)
	}
	return jsonscan.AppendQuoted(append(body, `,"companyName":`...), a.CompanyName)
}

// singlePage is the one page that a batch of a paged service asks for.
func (r *Request) singlePage(b *pipeline.Batch) (*pipeline.Page, error) {
	if len(b.Items) != 1 || b.Items[0].Page == nil {
		return nil, fmt.Errorf("%d items, not the one page that is asked at a time", len(b.Items))
	}
	r.Sent = []int{0}
	return b.Items[0].Page, nil
}

// The bounds of a page. By its reference, the API also accepts 100 contacts; a client by
// the vendor itself stops at 50.
const (
	maxContactPage = 50
	maxCompanyPage = 100
	maxVisitsPage  = 150
	minSeeds       = 5
	maxSeeds       = 100
)

// buildLookalikes asks for entities like the seeds, and unlike the excluded ones.
func (r *Request) buildLookalikes(b *pipeline.Batch, ask *pipeline.LookalikeAsk) error {
	q := b.Query
	page, err := r.singlePage(b)
	if err != nil {
		return err
	}
	maxPage := maxCompanyPage
	if q.Object == schema.Contact {
		maxPage = maxContactPage
	}
	if page.Limit < 1 || page.Limit > maxPage {
		return fmt.Errorf("a page of %d %s, not 1 to %d", page.Limit, pluralName(q.Object), maxPage)
	}
	seeds, n, err := encodeSeeds(q.Object, ask.Seeds)
	if err != nil {
		return err
	}
	if n < minSeeds || n > maxSeeds {
		return fmt.Errorf("%d different seeds, but the API takes %d to %d", n, minSeeds, maxSeeds)
	}
	exclude, n, err := encodeSeeds(q.Object, ask.Exclude)
	if err != nil {
		return fmt.Errorf("to exclude: %w", err)
	}
	body := append([]byte(`{"seeds":`), seeds...)
	if n > 0 {
		body = append(append(body, `,"exclude":`...), exclude...)
	}
	body = strconv.AppendInt(append(body, `,"limit":`...), int64(page.Limit), 10)
	if page.Session != "" {
		body = jsonscan.AppendQuoted(append(body, `,"dedupeSessionId":`...), page.Session)
	}
	r.Body = append(body, '}')
	return nil
}

// encodeSeeds groups accounts into the API's lists, each under the one identifier
// that is the most certain; n counts those that differ.
func encodeSeeds(o schema.Object, accounts []schema.Account) (object []byte, n int, err error) {
	names := []string{"ids", "linkedinUrls", "emails", "contacts"}
	if o == schema.Company {
		names = []string{"domains", "linkedinUrls"}
	}
	lists := map[string][]string{} // of JSON values
	seen := map[string]bool{}
	for i := range accounts {
		name, value := encodeSeed(o, &accounts[i])
		if name == "" {
			return nil, 0, seedError(o, &accounts[i])
		}
		if key := name + string(value); !seen[key] {
			seen[key] = true
			lists[name] = append(lists[name], string(value))
		}
		if len(lists[name]) > maxSeeds {
			return nil, 0, fmt.Errorf("more than %d %s, but the API takes %[1]d of a kind", maxSeeds, name)
		}
	}
	object = []byte{'{'}
	for _, name := range names {
		if len(lists[name]) == 0 {
			continue
		}
		if len(object) > 1 {
			object = append(object, ',')
		}
		object = append(jsonscan.AppendQuoted(object, name), ":["...)
		object = append(object, strings.Join(lists[name], ",")...)
		object = append(object, ']')
	}
	return append(object, '}'), len(seen), nil
}

// encodeSeed returns the list that takes an account, and the value that stands for it;
// the name is empty if no list takes it.
func encodeSeed(o schema.Object, a *schema.Account) (list string, value []byte) {
	switch {
	case o == schema.Company && a.Domain != "":
		return "domains", jsonscan.AppendQuoted(nil, a.Domain)
	case o == schema.Contact && a.ID != "":
		return "ids", jsonscan.AppendQuoted(nil, a.ID)
	case a.LinkedIn != "":
		return "linkedinUrls", jsonscan.AppendQuoted(nil, a.LinkedIn)
	case o == schema.Contact && a.Email != "":
		return "emails", jsonscan.AppendQuoted(nil, a.Email)
	case o == schema.Contact && (a.CompanyName != "" || a.CompanyDomain != ""):
		if _, _, ok := splitName(a.Name); ok {
			return "contacts", append(appendPerson([]byte{'{'}, a), '}')
		}
	}
	return "", nil
}

func seedError(o schema.Object, a *schema.Account) error {
	name := truncateText(cmp.Or(a.Key, a.ID, a.Name, a.Domain), 80)
	if o == schema.Company {
		return fmt.Errorf("company %q has neither domain nor LinkedIn address, and the API takes no other seed, not even an id", name)
	}
	return fmt.Errorf("contact %q has neither id, LinkedIn address, email nor first name, last name and company", name)
}

// buildVisits asks which companies visited the sites.
func (r *Request) buildVisits(b *pipeline.Batch, ask *pipeline.VisitsAsk) error {
	q := b.Query
	page, err := r.singlePage(b)
	if err != nil {
		return err
	}
	switch {
	case q.Object != schema.Company:
		return fmt.Errorf("website visits are of companies, not of %s", pluralName(q.Object))
	case page.Number < 1:
		return fmt.Errorf("page %d, but pages are counted from 1", page.Number)
	case page.Limit < 1 || page.Limit > maxVisitsPage:
		return fmt.Errorf("a page of %d visits, not 1 to %d", page.Limit, maxVisitsPage)
	case len(q.Since) != len("2006-01-02") || len(q.Until) != len("2006-01-02"):
		return fmt.Errorf("the window from %q to %q is not of two days YYYY-MM-DD", q.Since, q.Until)
	case len(ask.Sites) == 0:
		return fmt.Errorf("no site to list visitors of")
	}
	var domains []string
	for i, site := range ask.Sites {
		switch {
		case site == "":
			return fmt.Errorf("site %d has no domain", i+1)
		case !slices.Contains(domains, site):
			domains = append(domains, site)
		}
	}
	body := appendList([]byte(`{"domains":`), domains)
	body = jsonscan.AppendQuoted(append(body, `,"startDate":`...), q.Since)
	body = jsonscan.AppendQuoted(append(body, `,"endDate":`...), q.Until)
	body = strconv.AppendInt(append(body, `,"pagination":{"page":`...), page.Number, 10)
	body = strconv.AppendInt(append(body, `,"size":`...), int64(page.Limit), 10)
	r.Body = append(body, `},"sort":{"by":"score","order":"desc"}}`...)
	return nil
}
